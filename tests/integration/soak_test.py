"""A random program against one serving process for a long time: the bytes stay right, and the server does not grow.

SLIPWAY_TEST_SOAK_SECONDS says how long. The seed is printed, and SLIPWAY_TEST_SEED repeats a run.
"""
import os
import pathlib
import random
import re
import time
import unittest

from node_test import MEBI, SLOWNESS, NodeTest

SECONDS = float(os.environ.get("SLIPWAY_TEST_SOAK_SECONDS", "15"))
SEED = int(os.environ.get("SLIPWAY_TEST_SEED", str(random.SystemRandom().randrange(1 << 32))))
BOX = 16 * MEBI


def resident_bytes(pid):
    status = pathlib.Path(f"/proc/{pid}/status").read_text(encoding="ascii")
    return 1024 * int(re.search(r"VmRSS:\s+(\d+)", status).group(1))


class Soak(NodeTest):
    def setUp(self):
        super().setUp()
        self.random = random.Random(SEED)
        self.client = self.config("client")
        self.shadow = bytearray(BOX)
        print(f"seed {SEED}", flush=True)

    def some_range(self):
        offset = self.random.randrange(BOX)
        return offset, self.random.randrange(1, min(BOX - offset, 1 << self.random.randrange(1, 25)) + 1)

    def push_somewhere(self, url):
        offset, length = self.some_range()
        source = self.folder / "pushed"
        source.write_bytes(self.random.randbytes(length))
        self.cli.must("push", source, url, "--offset", offset, "--config", self.client)
        self.shadow[offset:offset + length] = source.read_bytes()

    def pull_somewhere(self, url):
        offset, length = self.some_range()
        target = self.folder / "pulled"
        self.cli.must("pull", url, target, "--offset", offset, "--length", length, "--config", self.client)
        self.assertEqual(target.read_bytes(), self.shadow[offset:offset + length], f"at {offset}, seed {SEED}")

    def kill_a_push(self, url):
        """Into a segment of its own, as nobody can say how far it came."""
        source = self.sparse_file("sparse", BOX)
        with self.start("push", source, url, "--config", self.client, "--progress", "always") as push:
            if self.random.random() < 0.5:
                self.wait_until_line(push, "%", timeout=60 * SLOWNESS)

    def test_a_random_program(self):
        with self.cli.serve(self.config("server"), f"box={BOX}", f"trash={BOX}") as (node, urls):
            source = self.sparse_file("zeros", BOX)
            for name in ("box", "trash"):  # all of the memory is there from here on
                self.cli.must("push", source, urls[name], "--config", self.client)
            for _ in range(20):
                self.pull_somewhere(urls["box"])
            resident, descriptors = resident_bytes(node.pid), len(os.listdir(f"/proc/{node.pid}/fd"))
            end, steps = time.monotonic() + SECONDS, 0
            while time.monotonic() < end:
                step = self.random.choices((self.push_somewhere, self.pull_somewhere, self.kill_a_push), (5, 5, 1))[0]
                step(urls["trash" if step == self.kill_a_push else "box"])
                steps += 1
            print(f"{steps} steps", flush=True)
            self.assertGreater(steps, 10)
            # Connections of killed peers may still be noticed; a leak would be one for each of them.
            self.assertLess(len(os.listdir(f"/proc/{node.pid}/fd")), descriptors + 16)
            self.assertLess(resident_bytes(node.pid), resident + 24 * MEBI * SLOWNESS)


if __name__ == "__main__":
    unittest.main(verbosity=2)
