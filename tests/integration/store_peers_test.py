"""A store that several processes use: how often bytes are copied on the way, and what readers see while writers die.

SLIPWAY_TEST_SOAK_SECONDS says how long each of the latter takes. The seed is printed, and SLIPWAY_TEST_SEED repeats a run.
"""
import contextlib
import json
import os
import pathlib
import random
import subprocess
import sys
import time
import unittest

from node_test import MEBI, SLOWNESS, NodeTest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "store"))
import copy_table  # noqa: E402

PEER = os.environ["SLIPWAY_TEST_STORE_PEER"]
SECONDS = float(os.environ.get("SLIPWAY_TEST_SOAK_SECONDS", "4"))
SEED = int(os.environ.get("SLIPWAY_TEST_SEED", str(random.SystemRandom().randrange(1 << 32))))
PLUGINS = [os.environ["SLIPWAY_TEST_PLUGIN_DIR"], os.environ["SLIPWAY_TEST_FIXTURE_DIR"]]
PATIENCE = 120 * SLOWNESS
KEYS = 8
LEASE_MS = 3000  # of writers that are killed: how long what they held is kept


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


class DyingWriters(Peers):
    """Writers upsert the same keys and are killed at any point, while readers look at every value."""

    def hammer(self, transport):
        rng = random.Random(SEED)
        print(f"{transport}: seed {SEED}", flush=True)
        with self.serve(transport, lease_ms=LEASE_MS) as (node, client), contextlib.ExitStack() as running:
            with self.peer("write", client, 0, KEYS, 1) as first:
                self.ended(first)
            readers = [running.enter_context(self.peer("read", client, KEYS)) for _ in range(2)]
            for reader in readers:
                self.said(reader, "reading")
            seeds = iter(range(1, 1 << 31))
            writers = [running.enter_context(self.peer("write", client, next(seeds), KEYS, 0)) for _ in range(3)]
            kills, end = 0, time.monotonic() + SECONDS
            while kills < 3 or time.monotonic() < end:
                victim = rng.randrange(len(writers))
                for round_number in range(rng.randrange(1, 12)):
                    self.said(writers[victim], "round")
                writers[victim].kill()
                writers[victim].communicate(timeout=PATIENCE)
                writers[victim] = running.enter_context(self.peer("write", client, next(seeds), KEYS, 0))
                kills += 1
            for writer in writers:
                self.ended(writer)
            reads = [json.loads(self.ended(reader).split(" ", 1)[1]) for reader in readers]
            print(f"{transport}: {kills} writers killed; {reads}", flush=True)
            for read in reads:
                self.assertEqual((read["torn"], read["missing"]), (0, 0))
                self.assertGreater(read["whole"], 0)
            self.assert_nothing_is_lost(node)

    def assert_nothing_is_lost(self, node):
        """What killed writers held comes back when their leases are over, and then only what can be seen is used."""
        end = time.monotonic() + PATIENCE
        while True:
            node.stdin.write("space\n")
            node.stdin.flush()
            space = json.loads(self.said(node, "space"))
            self.assertEqual(space["objects"], KEYS)
            if space["used"] == space["needed"]:
                return
            self.assertLess(time.monotonic(), end, f"space is lost: {space}")
            time.sleep(0.1)

    def test_over_tcp(self):
        self.hammer("tcp")

    def test_over_memory_of_this_host(self):
        self.hammer("local-memcpy")


if __name__ == "__main__":
    unittest.main(verbosity=2)
