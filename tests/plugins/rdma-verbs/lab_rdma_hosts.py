"""Two lab machines: the conformance runner with its peers on the other host, and a host that dies in the middle of a push."""
import json
import os
import time
import unittest

import labtest
from labtest import TREE, LabTest

CONFORM = os.environ["SLIPWAY_TEST_CONFORM"]
PLUGIN = os.environ["SLIPWAY_TEST_RDMA_PLUGIN"]
CLI = os.environ["SLIPWAY_TEST_CLI"]
ENGINE_PEER = os.environ["SLIPWAY_TEST_ENGINE_PEER"]
PEER_TIMEOUT_MS = 3000
MEBI = 1 << 20


class TwoHosts(LabTest):
    machines = {"rdma": True, "hosts": 2}

    def give(self, number, path, text):
        """A file on one host, readable by its owner alone."""
        self.host(number).must(["python3", "-c", "import os, sys\nos.umask(0o77)\nopen(sys.argv[1], 'w').write(sys.argv[2])",
                                path, text])

    def test_a_the_plugin_conforms_between_hosts(self):
        relay = f"{TREE}/tests/conform/remote_peer.py"
        self.host(2).start(["python3", "-B", relay, "serve", "0.0.0.0", "7000", CONFORM]).wait_for("ready 7000")
        profile = json.loads((TREE / "tests/plugins/rdma-verbs/conform.json").read_text(encoding="utf-8"))
        profile["peer_command"] = ["python3", "-B", relay, "connect", "10.7.0.2", "7000"]
        self.give(1, "/run/profile.json", json.dumps(profile))
        command = self.host(1).start([CONFORM, "run", PLUGIN, "--profile", "/run/profile.json"], on_output=labtest.show)
        self.assertEqual(command.wait(400), 0)

    def test_b_a_host_that_dies_is_noticed_in_time(self):
        config = {"transports": [{"name": "rdma-verbs", "required": True, "options": {"peer_timeout_ms": PEER_TIMEOUT_MS}}],
                  "control": {"listen": "10.7.0.2:7700", "secret_file": "/run/secret"}}
        self.give(2, "/run/secret", "0123456789abcdef0123456789abcdef")
        self.give(2, "/run/node.json", json.dumps(config))
        self.host(2).start([CLI, "serve", "--config", "/run/node.json", "--segment", "box=256MiB", "--json"]).wait_for('"ok"')
        config["control"]["listen"] = "10.7.0.1:0"
        self.give(1, "/run/secret", "0123456789abcdef0123456789abcdef")
        self.give(1, "/run/node.json", json.dumps(config))
        self.host(1).must("truncate -s 256M /dev/shm/source")
        push = self.host(1).start([CLI, "push", "/dev/shm/source", "10.7.0.2:7700/box", "--config", "/run/node.json",
                                   "--json", "--progress", "always"])
        push.wait_for("%")
        told = {}  # when a writer said that it failed

        def note(command, _, data):
            if b"failed" in data:
                told.setdefault(command, time.monotonic())
        # One slice, and more of them than its queue pairs hold at once.
        writers = [self.host(1).start([ENGINE_PEER, "write-until-failure", json.dumps(config), size, "10.7.0.2:7700/box"],
                                      on_output=note) for size in (MEBI, 48 * MEBI)]
        for writer in writers:
            writer.wait_for("moving yes", timeout=120)
        self.host(2).kill()
        struck = time.monotonic()
        for writer in writers:
            self.assertEqual(writer.wait(120), 0, writer.out + writer.err)
            failed = json.loads(self.value(writer, "failed"))
            print(f"write: told after {told[writer] - struck:.2f} s: {failed}", flush=True)
            self.assertEqual(failed["status"], "E_PEER")
            self.assertLessEqual(told[writer] - struck, PEER_TIMEOUT_MS / 1000)
        self.assertNotEqual(push.wait(120), 0)
        seconds = time.monotonic() - struck
        error = json.loads([line for line in push.out.splitlines() if line.startswith("{")][-1])["error"]
        print(f"noticed after {seconds:.1f} s: {error}", flush=True)
        self.assertIn(error["status"], ("E_PEER", "E_NO_ROUTE"))
        # And what connecting again once takes.
        self.assertLess(seconds, PEER_TIMEOUT_MS / 1000 + 15)


if __name__ == "__main__":
    labtest.main()
