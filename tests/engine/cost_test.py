"""What the engine executes for a slice, counted by callgrind over a fixed workload: an upper bound, not a time.

Two runs that differ only in how many batches they submit: what starting and ending cost falls out of the difference.
"""
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

BATCH = 1024
FEW, MANY = 20, 120
# Above what it is now, by a tenth: 1024 local writes of 64 bytes in a batch, submitted, waited for and released.
INSTRUCTIONS_PER_SLICE = 1700


class Cost(unittest.TestCase):
    def count(self, batches, *options):
        with tempfile.TemporaryDirectory() as folder:
            command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", *options,
                       os.environ["SLIPWAY_TEST_ENGINE_COST"], "--rounds", "1", "--batches", str(batches)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            profile = pathlib.Path(folder, "out").read_text(encoding="utf-8")
            return int(re.search(r"^(?:totals|summary): (\d+)", profile, re.MULTILINE)[1])

    def per_slice(self, *options):
        return (self.count(MANY, *options) - self.count(FEW, *options)) / ((MANY - FEW) * BATCH)

    def test_instructions_of_a_slice(self):
        per_slice = self.per_slice()
        print(f"{per_slice:.0f} instructions a slice, {INSTRUCTIONS_PER_SLICE} at most")
        self.assertGreater(per_slice, 100, "the workload did not run")
        self.assertLess(per_slice, INSTRUCTIONS_PER_SLICE)

    def test_no_allocation_for_a_slice(self):
        # An allocation executes 20 instructions at the very least. What is allowed is a few for each batch.
        per_slice = self.per_slice("--toggle-collect=malloc")
        print(f"{per_slice * BATCH:.0f} instructions of malloc a batch of {BATCH}")
        self.assertGreater(per_slice, 0, "the workload did not run")
        self.assertLess(per_slice, 5)


if __name__ == "__main__":
    if shutil.which("valgrind") is None:
        print("skipped: valgrind is not installed")
        sys.exit(77)
    unittest.main(verbosity=2)
