"""One lab machine: the programs that need a device, the conformance runner, and what a cable that is pulled does."""
import os
import re
import threading

import labtest
from labtest import TREE, LabTest

PROGRAMS = os.environ["SLIPWAY_TEST_RDMA_PROGRAMS"]  # the folder that they were built in
CONFORM = os.environ["SLIPWAY_TEST_CONFORM"]
PLUGIN = os.environ["SLIPWAY_TEST_RDMA_PLUGIN"]


class OneHost(LabTest):
    machines = {"rdma": True, "timeout": 840}

    def run_program(self, line, seconds):
        """Runs a program that says itself what failed; the network cable is moved where it asks for that."""
        command = self.host().start(line, on_output=labtest.show)
        gone = threading.Event()

        def mind_the_cable():
            for word, up in (("cable: out", False), ("cable: in", True)):
                while word not in command.out:
                    if gone.wait(0.02):
                        return
                self.host().link(up)
        hands = threading.Thread(target=mind_the_cable)
        hands.start()
        try:
            self.assertEqual(command.wait(seconds), 0)
        finally:
            gone.set()
            hands.join()

    def test_the_device_is_the_one_that_is_used(self):
        shown = self.host().must("ibv_devinfo")
        print(shown, flush=True)
        device = re.search(r"hca_id:\s*(\S+)", shown)[1]
        self.assertIn("PORT_ACTIVE", shown)
        used = self.host().must(f"{PROGRAMS}/rdma_verbs_device_test --gtest_filter=Data.GoesThroughTheDevice")
        print(used, flush=True)
        self.assertRegex(used, rf"through {device}: \d+ packets")
        print(self.host().must(f"rdma statistic show link {device}/1"), flush=True)

    def test_transfers_keys_and_connections(self):
        self.run_program(f"{PROGRAMS}/rdma_verbs_device_test --gtest_filter=-TwoDevices.*", 300)

    def test_two_devices(self):
        self.host().must("modprobe dummy && ip link add dummy0 type dummy && ip addr add 10.8.0.1/24 dev dummy0 && "
                         "ip link set dummy0 mtu 4200 up && rdma link add rxe1 type rxe netdev dummy0")
        self.run_program(f"{PROGRAMS}/rdma_verbs_device_test --gtest_filter=TwoDevices.*", 120)
        self.host().must("rdma link delete rxe1")

    def test_engines(self):
        self.run_program(f"{PROGRAMS}/rdma_verbs_engine_test --gtest_filter=-LowMemlock.*", 300)

    def test_engines_that_may_not_pin_much(self):
        self.run_program("prlimit --memlock=4194304 setpriv --bounding-set=-ipc_lock --inh-caps=-ipc_lock "
                         f"{PROGRAMS}/rdma_verbs_engine_test --gtest_filter=LowMemlock.*", 120)

    def test_the_plugin_conforms(self):
        profile = TREE / "tests/plugins/rdma-verbs/conform.json"
        self.run_program(f"{CONFORM} run {PLUGIN} --profile {profile}", 400)


if __name__ == "__main__":
    labtest.main()
