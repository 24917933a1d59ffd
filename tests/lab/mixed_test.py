"""One machine with RDMA and CXL: batches whose requests go over different transports, each by its own needs."""
import json
import os

import labtest

PEER = os.environ["SLIPWAY_TEST_ENGINE_PEER"]
DAX = "/dev/dax0.0"
MEETING = "/dev/shm/meeting"  # a window of its own for what the instances tell each other, and for a segment
MEBI = 1 << 20
BYTES = 2 * MEBI
BOX_OFFSET = 16 * MEBI  # in the device, behind what the transport needs itself


def pattern(seed):
    """The same as in engine_peer.cc."""
    return bytes((i * 31 + i // 251 + seed * 17) & 0xFF for i in range(BYTES))


def config(*transports, options=None, **memory):
    options = options or {"cxl": {"windows": [{"device": DAX}]}, "rdma-verbs": {"peer_timeout_ms": 5000}}
    return json.dumps({"transports": [{"name": name, "required": True, "options": options.get(name, {})} for name in transports],
                       "memory": {"pin_policy": "whole-region", "staging": {"bytes": 8 * MEBI}, **memory}})


class MixedBatches(labtest.LabTest):
    machines = {"rdma": True, "cxl": True, "timeout": 800}

    def serve(self, transport, *where, configuration=None):
        """A process that publishes a segment over this one transport; gives its URL."""
        command = self.host().start([PEER, "serve", configuration or config(transport), BYTES, *where])
        return self.value(command, "address") + "/box"

    def packets(self):
        return int(self.host().must("cat /sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts"))

    def exchange(self, how, urls):
        """Writes and reads over all at once; gives what the peer said."""
        command = self.host().start([PEER, "exchange", config("cxl", "rdma-verbs", "tcp"), BYTES, how, *urls])
        self.assertEqual(command.wait(timeout=200), 0, command.out + command.err)
        print(f"{how}:\n{command.out}", flush=True)
        return lambda key: json.loads(self.value(command, key))

    def test_1_each_target_by_the_needs_of_its_own_transport(self):
        print(self.host().must("cxl list -M -R; ls -l /dev/dax*; ibv_devinfo -d rxe0 | head -4"), flush=True)
        urls = [self.serve("rdma-verbs"), self.serve("tcp"), self.serve("cxl", DAX, BOX_OFFSET)]
        before = self.packets()
        said = self.exchange("undeclared", urls)
        for way in ("written", "read"):
            rdma, tcp, cxl = said(way)
            self.assertEqual([r["transport"] for r in (rdma, tcp, cxl)], ["rdma-verbs", "tcp", "cxl"])
            self.assertEqual([r["bytes"] for r in (rdma, tcp, cxl)], [BYTES] * 3)
            self.assertEqual(rdma["staged"], rdma["slices"], "memory that is not registered goes through the pool")
            self.assertEqual((tcp["staged"], cxl["staged"]), (0, 0), "and nothing else does because of it")
        slices = sum(said(way)[0]["slices"] for way in ("written", "read"))
        counters = said("counters")
        self.assertEqual(counters["staged_bytes"], 2 * BYTES, "what went over RDMA, once each way")
        self.assertEqual(counters["copies"], slices, "one for each of its slices")
        over_cxl = said("stats-cxl")
        self.assertIn("device-DAX", over_cxl["device"])
        self.assertEqual((over_cxl["stats"]["bytes_written"], over_cxl["stats"]["bytes_read"]), (BYTES, BYTES))
        # The device counted every byte that went over RDMA, and only these: no packet carries more than 4096 bytes.
        packets = self.packets() - before
        print(f"packets {packets}, at least {2 * BYTES // 4096}", flush=True)
        self.assertGreaterEqual(packets, 2 * BYTES // 4096)
        self.assertEqual(said("stats-rdma-verbs")["stats"]["bytes_written"], BYTES)
        # What the device holds, through a mapping that no engine made.
        script = (f"import mmap, os, sys; m = mmap.mmap(os.open('{DAX}', os.O_RDWR), {BYTES}, offset={BOX_OFFSET}); "
                  "sys.stdout.write(m[:].hex())")
        self.assertEqual(bytes.fromhex(self.host().must(["python3", "-c", script], timeout=120)), pattern(3))

    def test_2_registered_memory_is_copied_nowhere(self):
        urls = [self.serve("rdma-verbs"), self.serve("tcp"), self.serve("cxl", DAX, BOX_OFFSET)]
        said = self.exchange("declared", urls)
        for way in ("written", "read"):
            self.assertEqual([r["transport"] for r in said(way)], ["rdma-verbs", "tcp", "cxl"])
            self.assertEqual([r["staged"] for r in said(way)], [0, 0, 0])
        self.assertEqual((said("counters")["copies"], said("counters")["staged_bytes"]), (0, 0))

    def test_3_a_device_that_goes_away_ends_the_request_and_neither_the_process_nor_other_windows(self):
        self.host().must(f"truncate -s {BOX_OFFSET + BYTES} {MEETING}")
        windows = config("cxl", options={"cxl": {"windows": [{"device": MEETING}, {"device": DAX}]}})
        urls = [self.serve("cxl", path, BOX_OFFSET, configuration=windows) for path in (DAX, MEETING)]
        writer = self.host().start([PEER, "write-until-failure", windows, BYTES, *urls])
        writer.wait_for("moving yes", timeout=120)
        self.host().must("echo dax0.0 >/sys/bus/dax/drivers/device_dax/unbind", timeout=60)
        self.assertEqual(writer.wait(timeout=120), 0, writer.out + writer.err)
        failed = json.loads(self.value(writer, "failed"))
        print(failed, flush=True)
        self.assertEqual(failed["status"], "E_DEVICE")
        other = json.loads(self.value(writer, "other"))
        print(other, flush=True)
        self.assertEqual((other["status"], other["transport"], other["bytes"]), ("OK", "cxl", BYTES))


if __name__ == "__main__":
    labtest.main()
