"""What the other commands answer, and how serve begins and ends."""
import json
import os
import signal
import unittest

from node_test import OK, NodeTest, cli


class Questions(NodeTest):
    def test_a_running_node_describes_itself(self):
        with self.cli.serve(self.config("server"), "box=4096", "other=8192:ro") as (_, urls):
            node = urls["box"].split("/")[0]
            text = json.dumps(self.cli.must("describe", node))
            self.assertIn("box", text)
            self.assertIn("other", text)
            self.assertIn("tcp", text)

    def test_a_configuration_is_described_without_a_running_node(self):
        self.assertIn("tcp", json.dumps(self.cli.must("describe", "--config", self.config("node"))))

    def test_explain_names_the_transport_and_moves_nothing(self):
        with self.cli.serve(self.config("server"), "box=65536") as (_, urls):
            for operation in ("read", "write"):
                reply = self.cli.must("explain", operation, urls["box"], "--length", "64KiB", "--config",
                                      self.config("client"))
                self.assertIn("tcp", json.dumps(reply))

    def test_text_is_for_people_and_json_for_programs(self):
        with self.cli.serve(self.config("server"), "box=4096") as (_, urls):
            node = urls["box"].split("/")[0]
            with self.start("describe", node) as process:
                json.loads(process.communicate(timeout=60)[0])


class Serving(NodeTest):
    def test_ready_is_told_on_a_descriptor_and_in_a_file(self):
        reading, writing = os.pipe()
        ready_file = self.folder / "ready"
        with self.start("serve", "--config", self.config("server"), "--segment", "box=4096", "--ready-fd", writing,
                            "--ready-file", ready_file, pass_fds=(writing,)) as process:
            os.close(writing)
            with os.fdopen(reading) as pipe:
                from_pipe = pipe.read()  # to its end: the descriptor is closed, though the process goes on
            line = process.stdout.readline()
            self.assertEqual(from_pipe, line)
            self.assertEqual(json.loads(line)["event"], "ready")
            self.assertEqual(ready_file.read_text(encoding="utf-8"), line)
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=60), OK)

    def test_two_nodes_of_one_machine_do_not_mind_each_other(self):
        first, second = self.config("first"), self.config("second")
        source = self.random_file("source", 70_000)
        with self.cli.serve(first, "box=70000") as (_, one), self.cli.serve(second, "box=70000") as (_, two):
            self.assertNotEqual(one["box"], two["box"])
            self.cli.must("push", source, one["box"], "--config", self.config("client"))
            self.cli.must("pull", two["box"], self.folder / "other", "--config", self.config("client"))
            self.assertEqual((self.folder / "other").read_bytes(), bytes(70_000))

    def test_the_same_segment_twice_is_refused(self):
        reply = self.cli.run("serve", "--config", self.config("server"), "--segment", "box=4096", "--segment", "box=1")
        self.assertEqual(reply.json["error"]["status"], "E_SEGMENT_EXISTS")


class Quiet(NodeTest):
    def test_a_pipe_sees_no_progress(self):
        source = self.random_file("source", 1 << 20)
        with self.cli.serve(self.config("server"), f"box={1 << 20}") as (_, urls):
            reply = self.cli.run("push", source, urls["box"], "--config", self.config("client"))
        self.assertEqual((reply.status, reply.err), (OK, ""))
        self.assertIsInstance(reply, cli.Reply)


if __name__ == "__main__":
    unittest.main(verbosity=2)
