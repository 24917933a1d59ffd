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
# Above what they are now, by little: local writes of 64 bytes, 1024 in a batch and one alone, submitted, waited for and
# released. What is copied while it is submitted makes no slice and wakes nobody, which would cost several times as much.
INSTRUCTIONS_PER_SLICE = 450
INSTRUCTIONS_ALONE = 800


class Cost(unittest.TestCase):
    def count(self, batch, batches, *options):
        with tempfile.TemporaryDirectory() as folder:
            command = ["valgrind", "--tool=callgrind", f"--callgrind-out-file={folder}/out", *options,
                       os.environ["SLIPWAY_TEST_ENGINE_COST"], "--rounds", "1", "--batch", str(batch), "--batches",
                       str(batches)]
            done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
            self.assertEqual(done.returncode, 0, done.stdout + done.stderr)
            profile = pathlib.Path(folder, "out").read_text(encoding="utf-8")
            return int(re.search(r"^(?:totals|summary): (\d+)", profile, re.MULTILINE)[1])

    def per_slice(self, *options):
        return (self.count(BATCH, MANY, *options) - self.count(BATCH, FEW, *options)) / ((MANY - FEW) * BATCH)

    def test_instructions_of_a_slice(self):
        per_slice = self.per_slice()
        print(f"{per_slice:.0f} instructions a slice, {INSTRUCTIONS_PER_SLICE} at most")
        self.assertGreater(per_slice, 100, "the workload did not run")
        self.assertLess(per_slice, INSTRUCTIONS_PER_SLICE)

    def test_instructions_of_a_write_alone(self):
        alone = (self.count(1, 100 * MANY) - self.count(1, 100 * FEW)) / (100 * (MANY - FEW))
        print(f"{alone:.0f} instructions for a write alone, {INSTRUCTIONS_ALONE} at most")
        self.assertGreater(alone, 100, "the workload did not run")
        self.assertLess(alone, INSTRUCTIONS_ALONE)

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
