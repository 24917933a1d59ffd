"""A store that several processes use: how often bytes are copied on the way."""
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import unittest

from node_test import MEBI, SLOWNESS, NodeTest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "store"))
import copy_table  # noqa: E402

PEER = os.environ["SLIPWAY_TEST_STORE_PEER"]
PLUGINS = [os.environ["SLIPWAY_TEST_PLUGIN_DIR"], os.environ["SLIPWAY_TEST_FIXTURE_DIR"]]
PATIENCE = 120 * SLOWNESS


class Peers(NodeTest):
    def setUp(self):
        super().setUp()
        self.window = self.sparse_file("window", 64 * MEBI)

    def node_config(self, transport, **more):
        options = {"cxl": {"windows": [{"device": str(self.window)}]}}.get(transport, {})
        return {"plugin_path": PLUGINS, "log": {"level": "error"}, "control": {"listen": "127.0.0.1:0"},
                "transports": [{"name": transport, "required": True, "options": options}]} | more

    @contextlib.contextmanager
    def peer(self, *words):
        """A process of store_peer, which does not outlive the context."""
        words = [json.dumps(word) if isinstance(word, dict) else str(word) for word in words]
        with subprocess.Popen([PEER, *words], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as process:
            try:
                yield process
            finally:
                process.kill()

    def said(self, process, key):
        """The value of the process's next line, which has to have this key."""
        line = process.stdout.readline()
        self.assertTrue(line.startswith(key + " "), f"{line!r} instead of {key}")
        return line[len(key) + 1:].strip()

    def ended(self, process):
        """What a process says until it has ended, which its input's end brings about."""
        out, _ = process.communicate(timeout=PATIENCE)
        self.assertEqual(process.returncode, 0, out)
        return out

    @contextlib.contextmanager
    def serve(self, transport, *memory, **store):
        """A node with a store; gives (process, configuration of its clients)."""
        config = self.node_config(transport, store={"bytes": "0" if memory else "64MiB"} | store,
                                  transfer={"completion_grace_ms": 1000})
        with self.peer("serve", config, *memory) as node:
            client = self.node_config(transport, store={"connect": self.said(node, "address")})
            client["control"]["listen"] = ""
            yield node, client
            self.ended(node)


class Copies(Peers):
    SIZE = 64 * 1024

    def table(self, client, source):
        with self.peer("table", client, source, self.SIZE) as process:
            out, _ = process.communicate(timeout=PATIENCE)
            if process.returncode == 77:
                self.skipTest(out)
            self.assertEqual(process.returncode, 0, out)
        return out

    def check(self, transport, source, *memory):
        with self.serve(transport, *memory) as (node, client):
            copy_table.check(self, self.table(client, source), source, "any", self.SIZE)
            node.stdin.write("copies\n")
            node.stdin.flush()
            self.assertEqual(set(json.loads(self.said(node, "copies")).values()), {0}, "and the node copies nothing")

    def test_host_memory_is_never_copied_on_its_way_over_tcp(self):
        self.check("tcp", "unregistered")

    def test_nor_into_another_process_of_this_host(self):
        self.check("local-memcpy", "unregistered")

    def test_nor_into_memory_that_hosts_share(self):
        self.check("cxl", "unregistered", "cxl", 32 * MEBI)

    def test_a_devices_memory_is_staged_once_by_its_provider(self):
        self.check("tcp", "fake-memory")

    def test_so_is_that_of_a_cuda_device(self):
        self.check("tcp", "cuda")


if __name__ == "__main__":
    unittest.main(verbosity=2)
