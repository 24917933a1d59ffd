"""What the index of registrations costs with 100,000 of them, counted by callgrind: upper bounds, not times.

Two runs that differ only in how often they ask: what filling it costs falls out of the difference. The simulated caches
are the same on every machine, and too small for the index.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

FEW, MANY = 1_000, 21_000
CACHES = ("--cache-sim=yes", "--I1=32768,8,64", "--D1=32768,8,64", "--LL=1048576,16,64")
# Above what they are now, by little. What a lookup waits for is memory: a binary tree misses the cache ten times where
# this one reads the lines of one leaf.
LOOKUP = {"Ir": 280, "DLmr": 3.5}
ERASE_AND_INSERT = {"Ir": 2100}


class IndexCost(unittest.TestCase):
    def count(self, what, times):
        with tempfile.TemporaryDirectory() as folder:
            command = ["valgrind", "--tool=callgrind", *CACHES, f"--callgrind-out-file={folder}/out",
                       os.environ["SLIPWAY_TEST_INDEX_COST"], what, str(times)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            profile = pathlib.Path(folder, "out").read_text(encoding="utf-8")
        names = re.search(r"^events: (.*)", profile, re.MULTILINE)[1].split()
        values = re.search(r"^(?:totals|summary): (.*)", profile, re.MULTILINE)[1].split()
        return dict(zip(names, map(int, values)))

    def each(self, what, bounds):
        few, many = self.count(what, FEW), self.count(what, MANY)
        for event, at_most in bounds.items():
            each = (many[event] - few[event]) / (MANY - FEW)
            print(f"{what}: {each:.1f} {event} each, {at_most} at most")
            self.assertGreater(each, 1, "the workload did not run")
            self.assertLess(each, at_most)

    def test_a_lookup(self):
        self.each("lookups", LOOKUP)

    def test_erasing_and_inserting(self):
        self.each("changes", ERASE_AND_INSERT)


if __name__ == "__main__":
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        sys.exit(77)
    unittest.main(verbosity=2)
