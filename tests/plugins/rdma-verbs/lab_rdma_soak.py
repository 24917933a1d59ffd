"""One lab machine: connections and registrations made and taken back ten thousand times, counted by the kernel."""
import os

import labtest
from labtest import LabTest

PROGRAMS = os.environ["SLIPWAY_TEST_RDMA_PROGRAMS"]
ROUNDS = 10_000


class Churn(LabTest):
    machines = {"rdma": True, "timeout": 3500}

    def test_nothing_is_left_behind(self):
        command = self.host().start(f"SLIPWAY_TEST_RDMA_ROUNDS={ROUNDS} {PROGRAMS}/rdma_verbs_device_test "
                                    "--gtest_filter=Churn.LeavesNothingBehind", on_output=labtest.show)
        self.assertEqual(command.wait(3400), 0)
        self.assertIn(f"{ROUNDS} rounds", command.out)


if __name__ == "__main__":
    labtest.main()
