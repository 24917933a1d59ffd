"""Each way to get it wrong has its own status and a message that says what is wrong and where."""
import contextlib
import os
import pathlib
import shutil
import socket
import subprocess
import unittest

from node_test import (ADDRESS_IN_USE, CONFIG, DENIED, FILE, OK, PLUGIN, SEGMENT, SLOWNESS, TRANSFER, UNREACHABLE, USAGE, NodeTest,
                       cli)


class BadConfiguration(NodeTest):
    def check(self, text):
        path = self.folder / "node.json"
        path.write_text(text, encoding="utf-8")
        return self.cli.run("config", "check", path)

    def test_each_fault_of_a_file_has_its_status(self):
        for text, status, word in (
                ("", "E_CONFIG_SYNTAX", "node.json"),
                ("transports: tcp", "E_CONFIG_SYNTAX", "node.json"),
                ("[" * 100_000, "E_CONFIG_SYNTAX", "node.json"),
                ("[]", "E_CONFIG_TYPE", "object"),
                ('{"transfer": {"slice_bytes": true}}', "E_CONFIG_TYPE", "/transfer/slice_bytes"),
                ('{"transfers": {}}', "E_CONFIG_KEY", "transfers"),
                ('{"transfer": {"bulk_share_percent": 101}}', "E_CONFIG_VALUE", "/transfer/bulk_share_percent"),
                ('{"control": {"listen": "0.0.0.0:0"}}', "E_CONFIG_CONFLICT", "secret_file")):
            with self.subTest(text[:60]):
                self.assert_fails(self.check(text), CONFIG, status, word)

    def test_a_good_file_and_a_missing_one(self):
        self.assertEqual(self.check('{"transports": [{"name": "tcp"}]}').status, OK)
        self.assert_fails(self.cli.run("config", "check", self.folder / "none.json"), CONFIG, "E_CONFIG_FILE", "none.json")

    def test_a_plugin_s_own_options_are_checked_too(self):
        reply = self.check('{"transports": [{"name": "tcp", "options": {"lanes": "many"}}]}')
        self.assertEqual(reply.status, CONFIG, str(reply))
        self.assertIn("lanes", reply.json["error"]["message"])

    def test_every_plugin_s_faults_are_told_at_once(self):
        secret = self.folder / "open-to-all"
        secret.write_text("a-secret-of-many-letters", encoding="utf-8")
        secret.chmod(0o644)
        reply = self.check(f"""{{"transports": [{{"name": "tcp", "options": {{"lanes": "many", "lanez": 1}}}},
            {{"name": "local-memcpy", "options": {{"threads": true}}}}, {{"name": "no-such"}}],
            "control": {{"secret_file": "{secret}"}}}}""")
        self.assertEqual(reply.status, CONFIG, str(reply))
        for place in ("5 errors", "/control/secret_file", "/transports/0/options/lanes:", "/transports/0/options/lanez:",
                      "/transports/1/options/threads:", "/transports/2: no libslipway-no-such.so"):
            self.assertIn(place, reply.json["error"]["message"])

    def test_serve_refuses_what_config_check_refuses(self):
        path = self.folder / "node.json"
        path.write_text('{"transfers": {}}', encoding="utf-8")
        self.assert_fails(self.cli.run("serve", "--config", path), CONFIG, "E_CONFIG_KEY", "transfers")


class BadPlugin(NodeTest):
    def setUp(self):
        super().setUp()
        self.plugins = self.folder / "plugins"
        self.plugins.mkdir()

    def serve_with(self, name):
        config = self.config("node", {"name": name, "required": True}, plugin_path=[str(self.plugins)])
        return self.cli.run("serve", "--config", config)

    def test_a_text_file_is_no_plugin(self):
        (self.plugins / "libslipway-text.so").write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
        reply = self.serve_with("text")
        self.assertEqual(reply.status, PLUGIN, str(reply))
        self.assertIn(reply.json["error"]["status"], ("E_PLUGIN_OPEN", "E_PLUGIN_ARCH"), str(reply))
        self.assertIn("libslipway-text.so: not an ELF file", reply.json["error"]["message"])

    def test_a_plugin_for_another_machine_is_told_from_a_broken_one(self):
        image = bytearray((pathlib.Path(os.environ["SLIPWAY_TEST_PLUGIN_DIR"]) / "libslipway-tcp.so").read_bytes())
        image[18:20] = (0xF3).to_bytes(2, "little")  # e_machine: RISC-V
        (self.plugins / "libslipway-foreign.so").write_bytes(image)
        self.assert_fails(self.serve_with("foreign"), PLUGIN, "E_PLUGIN_ARCH", "libslipway-foreign.so")

    def test_a_plugin_that_is_nowhere(self):
        self.assert_fails(self.serve_with("absent"), PLUGIN, "E_PLUGIN_NOT_FOUND", "absent", self.plugins)

    def test_listing_survives_plugins_that_crash_hang_or_lie(self):
        for path in pathlib.Path(os.environ["SLIPWAY_TEST_BROKEN_DIR"]).glob("libslipway-*.so"):
            shutil.copy(path, self.plugins)
        (self.plugins / "libslipway-text.so").write_text("x\n", encoding="utf-8")
        reply = self.cli.run("plugins", "--plugin-path", self.plugins, "--timeout-ms", int(3000 * SLOWNESS))
        self.assertEqual(reply.status, OK, str(reply))
        rows = [cli.json.loads(line) for line in reply.out.splitlines()]
        states = {row["name"]: row["state"] for row in rows}
        self.assertEqual(states["tcp"], "ok")
        self.assertEqual(states["local-memcpy"], "ok")
        self.assertEqual({n: states[n] for n in ("crashes", "exits", "hangs", "floods", "text")},
                         {"crashes": "crashed", "exits": "crashed", "hangs": "hung", "floods": "refused",
                          "text": "refused"}, str(reply))


class BadAddress(NodeTest):
    def setUp(self):
        super().setUp()
        self.source = self.random_file("source", 1000)
        self.client = self.config("client")

    def push(self, url, *words):
        return self.cli.run("push", self.source, url, "--config", self.client, *words)

    def test_a_name_that_does_not_resolve(self):
        self.assert_fails(self.push("no-such-host.invalid:7700/box"), UNREACHABLE, "E_ADDRESS", "no-such-host.invalid")

    def test_what_is_no_address(self):
        for url in ("", "box", "127.0.0.1/box", "127.0.0.1:7700", "127.0.0.1:99999/box"):
            with self.subTest(url):
                reply = self.push(url)
                self.assertIn(reply.status, (UNREACHABLE, SEGMENT), str(reply))

    def test_nobody_listens_there(self):
        with socket.socket() as taken:
            taken.bind(("127.0.0.1", 0))
            port = taken.getsockname()[1]
            self.assert_fails(self.push(f"127.0.0.1:{port}/box"), UNREACHABLE, "E_UNREACHABLE", port)
            self.assertEqual(self.cli.run("describe", f"127.0.0.1:{port}").status, UNREACHABLE)

    def test_what_listens_there_is_something_else(self):
        with socket.create_server(("127.0.0.1", 0)) as other:
            port = other.getsockname()[1]
            with self.start("push", self.source, f"127.0.0.1:{port}/box", "--config", self.client) as push:
                connection, _ = other.accept()
                with connection:
                    connection.recv(65536)  # the request: closing with it unread would break the connection
                    connection.sendall(b"220 mail is ready\r\n\r\n")
                out, _ = push.communicate(timeout=60)
        self.assertEqual(push.returncode, UNREACHABLE, out)
        self.assertIn("E_BAD_REPLY", out)

    def test_a_port_in_use(self):
        with socket.create_server(("127.0.0.1", 0)) as taken:
            port = taken.getsockname()[1]
            config = self.config("server", listen=f"127.0.0.1:{port}")
            self.assert_fails(self.cli.run("serve", "--config", config), ADDRESS_IN_USE, "E_ADDRESS_IN_USE", port)

    def test_a_segment_that_is_not_there(self):
        with self.cli.serve(self.config("server"), "box=4096") as (_, urls):
            url = urls["box"].replace("/box", "/chest")
            self.assert_fails(self.push(url), SEGMENT, "E_NO_SEGMENT", "chest")

    def test_a_huge_request(self):
        huge = 1 << (40 if SLOWNESS == 1 else 33)  # sanitizers leave less room for mappings
        self.source = self.sparse_file("huge", huge)
        with self.cli.serve(self.config("server"), "box=4096") as (_, urls):
            self.assert_fails(self.push(urls["box"]), SEGMENT, "E_SEGMENT_RANGE", huge)
            reply = self.cli.run("pull", urls["box"], self.folder / "x", "--length", "8190T", "--config", self.client)
            self.assert_fails(reply, SEGMENT, "E_SEGMENT_RANGE")
        reply = self.cli.run("serve", "--segment", "box=4194304T")
        self.assert_fails(reply, FILE, "E_NOMEM", "no memory")

    def test_no_transport_is_shared(self):
        with self.cli.serve(self.config("server", "tcp"), "box=4096") as (_, urls):
            reply = self.cli.run("push", self.source, urls["box"], "--config", self.config("client", "local-memcpy"))
        self.assert_fails(reply, TRANSFER, "E_NO_ROUTE")

    def test_the_wrong_secret(self):
        def secret(name, text):
            path = self.folder / name
            path.write_text(text, encoding="utf-8")
            path.chmod(0o600)
            return {"listen": "127.0.0.1:0", "secret_file": str(path)}

        server = self.config("server", control=secret("right", "a-secret-of-many-letters"))
        with self.cli.serve(server, "box=4096") as (_, urls):
            self.client = self.config("client", control=secret("wrong", "a-secret-of-other-letters"))
            self.assert_fails(self.push(urls["box"]), DENIED, "E_UNAUTHENTICATED")
            node = urls["box"].split("/")[0]
            self.assertEqual(self.cli.run("describe", node).status, DENIED)
            self.client = self.config("client", control=secret("same", "a-secret-of-many-letters"))
            self.assertEqual(self.push(urls["box"]).status, OK)
            self.assertEqual(self.cli.run("describe", node, "--config", self.client).status, OK)


class HostileNode(NodeTest):
    """What answers `describe` is not what it seems."""

    def ask(self, answer, timeout=30):
        """Describes a node that sends `answer` and then keeps the connection; gives the reply."""
        with socket.create_server(("127.0.0.1", 0)) as node:
            port = node.getsockname()[1]
            with self.start("describe", f"127.0.0.1:{port}", "--timeout", timeout * SLOWNESS) as process:
                connection, _ = node.accept()
                with connection, contextlib.suppress(OSError):
                    connection.recv(65536)  # the request: closing with it unread would break the connection
                    connection.sendall(answer)
                    connection.shutdown(socket.SHUT_WR)
                out, err = process.communicate(timeout=60)
        return cli.Reply(process.args, process.returncode, out, err, 0)

    def head(self, length):
        return f"HTTP/1.1 200 OK\r\nContent-Length: {length}\r\n\r\n".encode()

    def test_what_is_not_http(self):
        self.assert_fails(self.ask(b"220 mail is ready\r\n\r\n"), UNREACHABLE, "E_BAD_REPLY", "no Slipway node")
        self.assert_fails(self.ask(b""), UNREACHABLE, "E_BAD_REPLY")

    def test_what_is_not_json_or_far_too_deep(self):
        for body in (b"<html>", b"[" * 3_000_000, b'{"a":' * 100_000, b"\xff\xfe"):
            reply = self.ask(self.head(len(body)) + body)
            self.assert_fails(reply, UNREACHABLE, "E_BAD_REPLY", "not JSON")

    def test_one_that_never_ends(self):
        reply = self.ask(self.head(1 << 40) + b"[" + b"1," * 4_000_000)
        self.assertNotEqual(reply.status, OK)

    def test_one_that_never_answers(self):
        with socket.create_server(("127.0.0.1", 0)) as node:
            reply = self.cli.run("describe", f"127.0.0.1:{node.getsockname()[1]}", "--timeout", 0.3)
        self.assert_fails(reply, UNREACHABLE, "E_UNREACHABLE", "in time")
        self.assertLess(reply.seconds, 30 * SLOWNESS, "it would go on for good")

    def test_terminal_control_in_a_message_is_not_passed_on(self):
        reply = self.ask(b'HTTP/1.1 500 x\r\n\r\n{"error": {"message": "\\u001b]0;owned\\u0007"}}')
        self.assertNotEqual(reply.status, OK)
        self.assertNotIn("\033", reply.err + reply.out)


@unittest.skipUnless(shutil.which("openssl"), "needs the openssl program, to make certificates")
class Encrypted(NodeTest):
    def certificate(self, name):
        files = [self.folder / f"{name}.{suffix}" for suffix in ("key", "pem")]
        subprocess.run(["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
                        "-keyout", files[0], "-out", files[1], "-days", "2", "-subj", f"/CN={name}", "-addext",
                        "subjectAltName=IP:127.0.0.1"], check=True, capture_output=True)
        files[0].chmod(0o600)
        return files

    def test_a_node_with_a_certificate_answers_who_trusts_it(self):
        key, certificate = self.certificate("node")
        _, stranger = self.certificate("stranger")
        listen = {"listen": "127.0.0.1:0"}
        tls = {"certificate_file": str(certificate), "key_file": str(key), "ca_file": str(certificate)}
        source = self.random_file("source", 10_000)
        with self.cli.serve(self.config("server", control=listen | {"tls": tls}), "box=10000") as (_, urls):
            node = urls["box"].split("/")[0]
            trusting = self.config("trusting", control=listen | {"tls": {"ca_file": str(certificate)}})
            self.cli.must("describe", node, "--config", trusting)
            self.cli.must("push", source, urls["box"], "--config", trusting)
            doubting = self.config("doubting", control=listen | {"tls": {"ca_file": str(stranger)}})
            for words in (["describe", node], ["push", source, urls["box"]]):
                self.assert_fails(self.cli.run(*words, "--config", doubting), DENIED, "E_TLS")
            self.assertEqual(self.cli.run("describe", node).status, UNREACHABLE)


class BadCommandLine(NodeTest):
    def test_usage_errors_are_one_status(self):
        for words in ([], ["fly"], ["push"], ["push", "a", "b", "c"], ["serve", "--segment"], ["config"],
                      ["explain", "move", "x"], ["push", "a", "b", "--timeout", "soon"]):
            with self.subTest(words):
                self.assertEqual(self.cli.run(*words).status, USAGE)

    def test_files_that_are_not_there(self):
        self.assert_fails(self.cli.run("push", self.folder / "none", "127.0.0.1:1/box"), FILE, "E_IO", "none")
        reply = self.cli.run("serve", "--segment", f"box={self.folder}/none")
        self.assert_fails(reply, FILE, "E_IO", "none")
        empty = self.random_file("empty", 0)
        self.assert_fails(self.cli.run("serve", "--segment", f"box={empty}"), FILE, "E_IO", "empty")


if __name__ == "__main__":
    unittest.main(verbosity=2)
