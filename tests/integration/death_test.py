"""A serving process dies or stops in the middle of a push: the pushing one says so in time, and nothing is left over."""
import json
import signal
import time
import unittest

from node_test import MEBI, SLOWNESS, TRANSFER, NodeTest

# Enough, in small enough slices, to be in the middle of it when the first line of progress has been drawn, 0.2 s after
# the start, also on a machine that is faster than any so far.
SLICE = 4096
SIZE = 4096 * MEBI if SLOWNESS == 1 else 1024 * MEBI


class PeerDeath(NodeTest):
    def push_and_strike(self, number, peer_timeout_ms):
        """Sends the server signal `number` in the middle of a push; gives the push's status, error and seconds since."""
        source = self.sparse_file("source", SIZE)
        options = {"name": "tcp", "required": True,
                   "options": {"peer_timeout_ms": peer_timeout_ms, "preferred_slice_bytes": SLICE}}
        server, client = self.config("server", options), self.config("client", options)
        with self.cli.serve(server, f"box={SIZE}") as (node, urls):
            with self.start("push", source, urls["box"], "--config", client, "--progress", "always") as push:
                try:
                    self.wait_until_line(push, "%", timeout=60 * SLOWNESS)
                    node.send_signal(number)
                    struck = time.monotonic()
                    out, err = push.communicate(timeout=60 * SLOWNESS)
                    seconds = time.monotonic() - struck
                finally:
                    node.kill()
                    node.wait()
        self.assert_folder_holds("source", "server.json", "client.json")
        lines = [line for line in out.splitlines() if line.startswith("{")]
        self.assertTrue(lines, f"status {push.returncode}, no reply: {out!r} {err!r}")
        return push.returncode, json.loads(lines[-1])["error"], seconds

    def test_a_killed_server_ends_the_push_with_a_clear_error(self):
        status, error, seconds = self.push_and_strike(signal.SIGKILL, 600_000)
        self.assertEqual(status, TRANSFER, error)
        self.assertIn(error["status"], ("E_PEER", "E_NO_ROUTE", "E_STALE_REMOTE"), error)
        self.assertTrue(error["next"], "says what to do next")
        self.assertLess(seconds, 60 * SLOWNESS, "it does not wait for the peer timeout")

    def test_a_stopped_server_ends_the_push_within_the_peer_timeout(self):
        status, error, seconds = self.push_and_strike(signal.SIGSTOP, 3000)
        self.assertEqual(status, TRANSFER, error)
        self.assertIn(error["status"], ("E_PEER", "E_TIMEOUT", "E_NO_ROUTE"), error)
        self.assertLess(seconds, 3 + 30 * SLOWNESS)

    def test_a_deadline_ends_the_push_to_a_stopped_server(self):
        source = self.sparse_file("source", 64 * MEBI)
        options = {"name": "tcp", "required": True, "options": {"peer_timeout_ms": 600_000}}
        with self.cli.serve(self.config("server", options), f"box={64 * MEBI}") as (node, urls):
            client = self.config("client", options)
            self.cli.must("push", source, urls["box"], "--config", client)
            node.send_signal(signal.SIGSTOP)
            reply = self.cli.run("push", source, urls["box"], "--config", client, "--timeout", 1)
            node.send_signal(signal.SIGCONT)
        self.assertNotEqual(reply.status, 0)
        self.assertIn(reply.json["error"]["status"], ("E_DEADLINE", "E_UNREACHABLE", "E_TIMEOUT"), str(reply))
        self.assertLess(reply.seconds, 60 * SLOWNESS, "it does not wait for the peer timeout")

    def test_a_killed_push_leaves_the_server_serving(self):
        source = self.sparse_file("source", SIZE)
        slow = {"name": "tcp", "required": True, "options": {"preferred_slice_bytes": SLICE}}
        client = self.config("client", slow)
        with self.cli.serve(self.config("server"), f"box={SIZE}") as (_, urls):
            with self.start("push", source, urls["box"], "--config", client, "--progress", "always") as push:
                self.wait_until_line(push, "%", timeout=60 * SLOWNESS)
                push.kill()
            small = self.random_file("small", 100_000)
            self.cli.must("push", small, urls["box"], "--config", client)
            self.cli.must("pull", urls["box"], self.folder / "back", "--config", client, "--length", 100_000)
        self.assertEqual((self.folder / "back").read_bytes(), small.read_bytes())

    def test_an_interrupted_pull_leaves_no_file(self):
        slow = {"name": "tcp", "required": True, "options": {"preferred_slice_bytes": SLICE}}
        with self.cli.serve(self.config("server"), f"box={SIZE}") as (_, urls):
            with self.start("pull", urls["box"], self.folder / "target", "--config", self.config("client", slow),
                                "--progress", "always") as pull:
                self.wait_until_line(pull, "%", timeout=60 * SLOWNESS)
                pull.send_signal(signal.SIGINT)
                pull.communicate(timeout=30 * SLOWNESS)
        self.assertEqual(pull.returncode, -signal.SIGINT)
        self.assert_folder_holds("server.json", "client.json")


if __name__ == "__main__":
    unittest.main(verbosity=2)
