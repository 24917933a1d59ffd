"""One machine with RDMA: how often the store copies what it writes to another process, by whether it is registered."""
import json
import os
import pathlib
import shlex
import sys

import labtest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1] / "store"))
import copy_table  # noqa: E402

PEER = os.environ["SLIPWAY_TEST_STORE_PEER"]
DAX = "/dev/dax0.0"
MEBI = 1 << 20
SIZE = 64 * 1024
ENVIRONMENT = [f"{name}={os.environ[name]}" for name in ("SLIPWAY_TEST_PLUGIN_DIR", "SLIPWAY_TEST_FIXTURE_DIR")]


def config(transport, **more):
    options = {"cxl": {"windows": [{"device": DAX}]}, "rdma-verbs": {"peer_timeout_ms": 5000}}[transport]
    return {"plugin_path": [word.split("=")[1] for word in ENVIRONMENT], "log": {"level": "error"},
            "transports": [{"name": transport, "required": True, "options": options}],
            "memory": {"pin_policy": "whole-region", "staging": {"bytes": 8 * MEBI}}} | more


class StoreCopies(labtest.LabTest):
    machines = {"rdma": True, "cxl": True, "timeout": 800}

    def table(self, transport, source, *memory):
        store = {"bytes": "0" if memory else "16MiB"}
        serve = shlex.join(["env", *ENVIRONMENT, PEER, "serve", json.dumps(config(transport, store=store)), *memory])
        node = self.host().start(f"sleep 1000 | {serve}")  # it ends with its input
        client = config(transport, store={"connect": self.value(node, "address")}, control={"listen": ""})
        process = self.host().start(["env", *ENVIRONMENT, PEER, "table", json.dumps(client), source, str(SIZE)])
        self.assertEqual(process.wait(timeout=200), 0, process.out + process.err)
        print(f"{transport}, {source}:\n{process.out}", flush=True)
        return process.out

    def packets(self):
        return int(self.host().must("cat /sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts"))

    def test_1_the_device_reads_registered_memory_where_it_is(self):
        before = self.packets()
        copy_table.check(self, self.table("rdma-verbs", "registered"), "registered", "registered", SIZE)
        # No packet carries more than 4096 bytes.
        self.assertGreaterEqual(self.packets() - before, copy_table.WAYS * SIZE // 4096)

    def test_2_what_is_not_registered_is_staged_once(self):
        copy_table.check(self, self.table("rdma-verbs", "unregistered"), "unregistered", "registered", SIZE)

    def test_3_a_device_without_access_to_the_memory_gets_it_staged_by_its_provider(self):
        copy_table.check(self, self.table("rdma-verbs", "fake-memory"), "fake-memory", "registered", SIZE)

    def test_4_a_segment_in_a_cxl_device_takes_it_as_it_is(self):
        copy_table.check(self, self.table("cxl", "unregistered", "cxl", str(64 * MEBI)), "unregistered", "any", SIZE)


if __name__ == "__main__":
    labtest.main()
