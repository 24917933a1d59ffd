"""The lab itself: what it passes on, how it ends, and the devices that it promises."""
import contextlib
import os
import pathlib
import signal
import subprocess
import tempfile
import time
import unittest

import labtest
from labtest import Lab, LabError, TimeLimit
from slipway_lab import machine

PROGRAM = labtest.TREE / "tools/lab/lab"


def lab_folders():
    return set(pathlib.Path(tempfile.gettempdir()).glob("slipway-lab-*"))


def machines_of(folder):
    """Processes of QEMU whose command line names the folder."""
    found = []
    for entry in pathlib.Path("/proc").glob("[0-9]*/cmdline"):
        with contextlib.suppress(OSError):
            if str(folder).encode() in entry.read_bytes():
                found.append(int(entry.parent.name))
    return found


def wait_until(condition, seconds, what):
    deadline = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > deadline:
            raise AssertionError(f"not within {seconds} s: {what}")
        time.sleep(0.05)


class CommandLine(unittest.TestCase):
    """The program `lab`, each time with a machine of its own."""

    def setUp(self):
        before = lab_folders()
        self.addCleanup(lambda: self.assertEqual(lab_folders() - before, set(), "a folder is left behind"))

    def start(self, *words):
        return subprocess.Popen([PROGRAM, *words], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)

    def test_output_comes_as_it_is_written_and_the_status_is_that_of_the_command(self):
        with tempfile.TemporaryDirectory() as share:
            go = pathlib.Path(share, "go")
            with self.start("run", "--quiet", "--share", share, "--",
                            "sh", "-c", f"echo first; until [ -e {go} ]; do sleep 0.1; done; echo done >{share}/result; "
                            "printf 'a\\0b' >&2; exit 5") as process:
                self.assertEqual(process.stdout.readline(), b"first\n")  # while the command still runs
                go.touch()
                out, err = process.communicate(timeout=60)
            self.assertEqual((process.returncode, out, err), (5, b"", b"a\0b"))
            self.assertEqual(pathlib.Path(share, "result").read_text(encoding="ascii"), "done\n")

    def test_the_time_limit_ends_everything(self):
        begin = time.monotonic()
        with self.start("run", "--quiet", "--timeout", "15", "--", "sh", "-c", "echo up; sleep 1000") as process:
            _, err = process.communicate(timeout=60)
        self.assertEqual(process.returncode, 124)
        self.assertIn(b"time limit of 15.0 s", err)
        self.assertLess(time.monotonic() - begin, 30)

    def test_an_interrupted_lab_leaves_nothing_behind(self):
        before = lab_folders()
        with self.start("run", "--", "sleep", "1000") as process:
            wait_until(lambda: lab_folders() - before, 60, "a folder for the machine")
            folder = (lab_folders() - before).pop()
            wait_until(lambda: machines_of(folder), 60, "a machine")
            process.send_signal(signal.SIGTERM)
            process.communicate(timeout=30)
        self.assertEqual(process.returncode, 128 + signal.SIGTERM)
        self.assertEqual(machines_of(folder), [])

    def test_a_killed_lab_takes_its_machines_with_it(self):
        before = lab_folders()
        with self.start("run", "--", "sleep", "1000") as process:
            wait_until(lambda: lab_folders() - before, 60, "a folder for the machine")
            folder = (lab_folders() - before).pop()
            wait_until(lambda: machines_of(folder), 60, "a machine")
            process.kill()
            process.communicate(timeout=30)
        wait_until(lambda: not machines_of(folder), 10, "the machine ends")
        subprocess.run(["rm", "-r", folder], check=True)

    def test_where_something_is_missing_it_says_what_and_how_to_get_it(self):
        with tempfile.TemporaryDirectory() as cache:
            kernel = pathlib.Path(cache, "linux-image-0")
            (kernel / "lib/modules/0").mkdir(parents=True)
            (kernel / "boot").mkdir()
            (kernel / "boot/vmlinuz-0").touch()
            for name in ("modules.dep", "modules.builtin"):
                (kernel / "lib/modules/0" / name).touch()
            with self.start("run", "--cache", cache, "--", "true") as process:
                out, err = process.communicate(timeout=60)
        self.assertEqual((process.returncode, out), (77, b""))
        self.assertIn(b"the kernel has no module virtio_pci; `lab prepare --renew`", err)

    def test_wrong_arguments_are_refused(self):
        for words in (["run"], ["run", "--on", "2", "true", "--on", "1", "true"], ["run", "--hosts", "3", "--", "true"],
                      ["run", "--hosts", "2", "--on", "2", "true"], ["run", "--share", "/nowhere", "--", "true"]):
            with self.start(*words) as process:
                process.communicate(timeout=60)
            self.assertEqual(process.returncode, 2, words)


class OneHost(labtest.LabTest):
    """One machine with everything."""
    machines = {"rdma": True, "cxl": True}

    def test_the_rdma_device_is_active_and_moves_bytes(self):
        self.assertIn("PORT_ACTIVE", self.host().must("ibv_devinfo -d rxe0"))
        gids = self.host().must("cat /sys/class/infiniband/rxe0/ports/1/gids/*")
        self.assertIn("fe80:0000:0000:0000", gids)
        self.assertIn("0000:ffff:0a07:0001", gids)
        sent = "/sys/class/infiniband/rxe0/ports/1/hw_counters/sent_pkts"
        before = int(self.host().must(["cat", sent]))
        server = self.host().start("ibv_rc_pingpong -g 1 -n 100")
        self.host().must("until ibv_rc_pingpong -g 1 -n 100 10.7.0.1; do sleep 0.2; done", timeout=60)
        self.assertEqual(server.wait(timeout=30), 0)
        self.assertGreaterEqual(int(self.host().must(["cat", sent])), before + 200)

    def test_the_cxl_device_is_memory(self):
        listed = self.host().must("cxl list -M -R; ls -l /dev/dax0.0; cat /sys/bus/dax/devices/dax0.0/size")
        self.assertIn('"memdev":"mem0"', listed)
        self.assertIn("262144000", listed)
        write = ("import mmap, os; m = mmap.mmap(os.open('/dev/dax0.0', os.O_RDWR), 4 << 20); m[3 << 20:(3 << 20) + 5] = b'hello'; "
                 "n = mmap.mmap(os.open('/dev/dax0.0', os.O_RDWR), 4 << 20); print(n[3 << 20:(3 << 20) + 5])")
        self.assertEqual(self.host().must(["python3", "-c", write]), "b'hello'\n")

    def test_the_clock_is_a_counter_of_the_processors_and_one_for_all(self):
        source = self.host().must("cat /sys/devices/system/clocksource/clocksource0/current_clocksource").strip()
        if machine.counter_is_steady():
            self.assertIn(source, ("tsc", "kvm-clock"))
        # Two processors in turn, each later than what the other says.
        turns = ("import os, struct, sys, time\n"
                 "there, back = os.pipe(), os.pipe()\n"
                 "first = os.fork() != 0\n"
                 "cpus = sorted(os.sched_getaffinity(0))\n"
                 "os.sched_setaffinity(0, {cpus[0 if first else -1]})\n"
                 "get, put = (back[0], there[1]) if first else (there[0], back[1])\n"
                 "for n in range(3000):\n"
                 "    if not first or n: assert struct.unpack('q', os.read(get, 8))[0] <= time.monotonic_ns(), n\n"
                 "    os.write(put, struct.pack('q', time.monotonic_ns()))\n"
                 "if first: sys.exit(os.wait()[1] != 0)\n")
        self.host().must(["python3", "-c", turns], timeout=60)

    def test_commands_run_beside_each_other_and_can_be_stopped(self):
        long = self.host().start("echo running; sleep 1000")
        long.wait_for("running", timeout=30)
        self.assertEqual(self.host().must("echo beside"), "beside\n")
        with self.assertRaises(TimeLimit):
            long.wait(timeout=0.1)
        long.signal(signal.SIGTERM)
        self.assertEqual(long.wait(timeout=30), 128 + signal.SIGTERM)

    def test_much_output_arrives_whole(self):
        data = self.host().must("seq 200000", timeout=60)
        self.assertEqual(data, "".join(f"{n}\n" for n in range(1, 200001)))

    def test_what_is_no_program_says_so(self):
        self.assertEqual(self.host().run(["no-such-program"]).status, 127)
        self.assertEqual(self.host().run(["true"], cwd="/nowhere").status, 127)

    def test_what_is_written_stays_inside(self):
        with tempfile.TemporaryDirectory() as folder:
            self.host().must(f"mkdir -p {folder}; echo x >{folder}/x; cat {folder}/x")
            self.assertEqual(os.listdir(folder), [])


class TwoHosts(labtest.LabTest):
    """Two machines on one network that share a CXL memory."""
    machines = {"hosts": 2, "cxl": True}

    def test_1_they_reach_each_other(self):
        for a, b in ((1, 2), (2, 1)):
            self.host(a).must(f"busybox ping -c 1 -W 10 10.7.0.{b}", timeout=30)
            self.host(a).must(f"busybox ping -c 1 -W 10 lab{b}", timeout=30)

    def test_2_they_see_one_memory(self):
        at = "import mmap, os; m = mmap.mmap(os.open('/dev/dax0.0', os.O_RDWR), 8 << 20); "
        self.host(1).must(["python3", "-c", at + "m[5 << 20:(5 << 20) + 4] = b'from'"])
        self.assertEqual(self.host(2).must(["python3", "-c", at + "print(m[5 << 20:(5 << 20) + 4])"]), "b'from'\n")

    def test_3_the_cable_can_be_pulled_and_a_host_paused(self):
        ping = "busybox ping -c 1 -W 1 10.7.0.2"
        self.host(2).link(False)
        self.assertNotEqual(self.host(1).run(ping, timeout=30).status, 0)
        self.host(2).link(True)
        self.host(1).must(f"until {ping}; do sleep 0.2; done", timeout=30)
        self.host(2).pause()
        self.assertNotEqual(self.host(1).run(ping, timeout=30).status, 0)
        self.host(2).resume()
        self.host(1).must(f"until {ping}; do sleep 0.2; done", timeout=30)

    def test_4_a_host_can_be_killed_while_the_other_lives(self):
        waiting = self.host(2).start("sleep 1000")
        self.host(2).kill()
        with self.assertRaisesRegex(LabError, "host 2 died"):
            waiting.wait(timeout=30)
        with self.assertRaisesRegex(LabError, "host 2"):
            self.host(2).must("true")
        self.assertNotEqual(self.host(1).run("busybox ping -c 1 -W 1 10.7.0.2", timeout=30).status, 0)


class Failing(unittest.TestCase):
    def test_a_machine_that_dies_of_itself_is_an_error_that_shows_its_last_words(self):
        with Lab(timeout=120) as lab:
            with self.assertRaisesRegex(LabError, "(?s)host 1 died.*Kernel panic"):
                lab.host().run("echo 1 >/proc/sys/kernel/sysrq; echo c >/proc/sysrq-trigger", timeout=60)

    def test_time_is_over_during_whichever_call(self):
        with self.assertRaisesRegex(TimeLimit, "time limit of 15 s"):
            with Lab(timeout=15) as lab:
                lab.host().run("sleep 1000")
        with self.assertRaisesRegex(TimeLimit, "time limit of 0.5 s"):
            with Lab(timeout=0.5):
                self.fail("booted in no time")


if __name__ == "__main__":
    labtest.main()
