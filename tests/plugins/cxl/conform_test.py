"""slipway-conform on a file in memory, as processes of one host share it and as hosts without coherence would."""
import os
import pathlib
import subprocess
import tempfile
import unittest

import profile as profiles

RUNNER, PLUGIN = os.environ["SLIPWAY_TEST_CONFORM"], os.environ["SLIPWAY_TEST_PLUGIN"]
BYTES = 512 << 20


class Conform(unittest.TestCase):
    def run_with(self, at_once, **config):
        # Where a file's pages are memory, so that nothing is written to a disk.
        with tempfile.TemporaryDirectory(prefix="slipway-test-", dir="/dev/shm") as folder:
            device = pathlib.Path(folder, "device")
            with open(device, "wb") as file:
                file.truncate(BYTES)
            contents = profiles.profile(str(device), BYTES, {}, **config)
            done = subprocess.run(profiles.command(RUNNER, PLUGIN, pathlib.Path(folder, "profile"), contents) + ["-j", at_once],
                                  stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, check=False)
        self.assertEqual(done.returncode, 0, done.stdout)

    def test_one_host(self):
        self.run_with("2", streaming_bytes="16KiB")

    # One case at a time: a host has eight places, and a case takes up to four.
    def test_hosts_without_coherence(self):
        self.run_with("1", sharing="non-coherent", host_index=3)


if __name__ == "__main__":
    unittest.main(verbosity=2)
