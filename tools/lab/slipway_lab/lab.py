"""The lab: boots machines, runs commands in them, and leaves nothing behind."""
import dataclasses
import json
import os
import pathlib
import shutil
import tempfile
import threading

from . import machine as machines
from .command import Command
from .errors import CannotRun, LabError, TimeLimit
from .initramfs import GUEST, initramfs
from .kernel import default_cache, kernel, locked

KVM_TRIAL_SECONDS = 15

class Host:
    """A booted machine. Commands may run beside each other; all functions may be called from any thread."""

    def __init__(self, lab, number):
        self.lab, self.number = lab, number
        self.machine = machines.Machine(number, lab.plan, lab.folder)
        self.address = self.machine.address  # on eth0
        self.ready = threading.Event()  # the agent answers, or the machine is gone
        self.sending, self.commands_lock = threading.Lock(), threading.Lock()
        self.commands, self.next_number, self.gone = {}, 1, None

    # Life:
    def boot(self, kernel_, image):
        self.machine.start(kernel_, image)
        threading.Thread(target=self._read, name=f"host {self.number}", daemon=True).start()

    def wait_booted(self):
        if not self.ready.wait(machines.BOOT_SECONDS):
            raise LabError(f"host {self.number} did not boot within {machines.BOOT_SECONDS} s: {self.machine.last_words()}")
        self._check()

    def set_up(self):
        """Address, shares, and the devices that were asked for."""
        plan, modules = self.lab.plan, self.lab.kernel.modules
        self._must(["bash", f"{GUEST}/network", self.address, str(plan.mtu), str(modules.parent)])
        for index, share in enumerate(plan.shares):
            self._must(["mount", "-t", "9p", "-o", "trans=virtio,version=9p2000.L,msize=1048576,cache=mmap",
                        f"share{index}", str(share)])
        for device in ("rdma", "cxl"):
            if getattr(plan, device):
                self._must(["bash", f"{GUEST}/{device}"])

    def _must(self, argv):
        command = self.start(argv, cwd="/", on_output=self.lab.on_setup)
        if command.wait(machines.BOOT_SECONDS) != 0:
            raise LabError(f"host {self.number}: {' '.join(argv)} failed: {command.err or command.out}{self.machine.last_words()}")

    # What a test does with it:
    def start(self, argv, cwd=None, env=None, on_output=None):
        """Starts a command (a list of words, or a line for the shell) and returns at once.

        Without `cwd` and `env` it gets those of this process. `on_output(command, "out" or "err", bytes)` is told what it
        writes, from a thread of the lab.
        """
        argv = ["bash", "-c", argv] if isinstance(argv, str) else [str(word) for word in argv]
        with self.commands_lock:
            number, self.next_number = self.next_number, self.next_number + 1
            command = self.commands[number] = Command(self, number, argv, on_output)
        self.send({"op": "run", "id": number, "argv": argv, "cwd": str(cwd or os.getcwd()),
                   "env": dict(os.environ if env is None else env)})
        return command

    def run(self, argv, timeout=None, **options):
        """Runs a command to its end; the Command then has its status, out and err."""
        command = self.start(argv, **options)
        command.wait(timeout)
        return command

    def must(self, argv, timeout=None, **options):
        """Runs a command that has to succeed; gives what it wrote to standard output."""
        command = self.run(argv, timeout, **options)
        if command.status != 0:
            raise LabError(f"{command}: exit status {command.status}\n{command.out}{command.err}")
        return command.out

    def kill(self):
        """The machine is gone at once, as in a power cut."""
        self.machine.kill()

    def pause(self):
        """The machine stands still, its memory as it is."""
        self.machine.qmp("stop")

    def resume(self):
        self.machine.qmp("cont")

    def link(self, up):
        """Plugs the network cable in or out."""
        self.machine.qmp("set_link", name="nic0", up=up)

    # To and from the agent:
    def send(self, message):
        self._check()
        try:
            with self.sending:
                self.machine.socket.sendall(json.dumps(message).encode() + b"\n")
        except OSError as error:
            raise LabError(f"host {self.number} is gone: {error.strerror}") from error

    def _check(self):
        if self.gone:
            raise LabError(self.gone)

    def _read(self):
        try:
            with self.machine.socket.makefile("rb") as stream:
                for line in stream:
                    message = json.loads(line)
                    if message["event"] == "ready":
                        self.ready.set()
                        continue
                    with self.commands_lock:
                        command = self.commands[message["id"]]
                    if message["event"] == "exit":
                        command.end(message["status"])
                    else:
                        command.add_output(message["event"], stream.read(message["bytes"]))
        except (OSError, ValueError):
            pass  # the machine ended, maybe in the middle of a message
        self._lose()

    def _lose(self):
        self.gone = self.lab.why_ended or f"host {self.number} died: {self.machine.last_words()}"
        with self.commands_lock:
            commands = list(self.commands.values())
        for command in commands:
            command.lose(self.gone)
        self.ready.set()


class Lab:
    """A context: `with Lab(rdma=True, hosts=2) as lab: lab.host(1).must("ibv_devinfo")`. See Plan for the arguments.

    Raises CannotRun where something is missing, LabError when a machine fails, TimeLimit after `timeout` seconds of real
    time, whichever call is in progress then.
    """

    def __init__(self, timeout=300, cache=None, on_setup=None, **plan):
        self.plan = machines.Plan(**plan).with_defaults()
        if self.plan.hosts not in (1, 2):
            raise CannotRun("a lab has one host or two")
        self.cache = pathlib.Path(cache or default_cache())
        self.timeout, self.on_setup = timeout, on_setup
        self.why_ended = None  # once the lab ended its machines itself
        self.folder, self.hosts, self.kernel, self.timer = None, [], None, None

    def host(self, number=1):
        return self.hosts[number - 1]

    def prepare(self, renew=False):
        """Fetches and builds what is not in the cache; gives the kernel and its first file system."""
        with locked(self.cache):
            self.kernel = kernel(self.cache, renew)
            parts = self.kernel, initramfs(self.cache, self.kernel)
            if self.plan.accel == "auto":
                accel = "kvm" if kvm_boots(self.cache, *parts) else "tcg"
                self.plan = dataclasses.replace(self.plan, accel=accel)
        return parts

    def check(self):
        """Raises CannotRun where a program that the machine needs is not there."""
        machines.qemu_program()
        need_commands(self.plan)

    def __enter__(self):
        self.check()
        parts = self.prepare()
        self.folder = pathlib.Path(tempfile.mkdtemp(prefix="slipway-lab-"))
        self.timer = threading.Timer(self.timeout, self._expire)
        self.timer.daemon = True
        self.timer.start()
        try:
            self.hosts = [Host(self, number + 1) for number in range(self.plan.hosts)]
            for host in self.hosts:
                host.boot(*parts)
            for host in self.hosts:
                host.wait_booted()
            for host in self.hosts:
                host.set_up()
        except BaseException as error:
            self.close()
            raise self._real(error)
        return self

    def __exit__(self, kind, error, _):
        self.close()
        if isinstance(error, LabError) and self._real(error) is not error:
            raise self._real(error) from error

    def _real(self, error):
        """When time was over, that is why whatever else failed."""
        over = self.why_ended == self._time_message() and isinstance(error, LabError)
        return TimeLimit(self.why_ended) if over else error

    def _time_message(self):
        return f"the time limit of {self.timeout} s is over"

    def _expire(self):
        self.why_ended = self.why_ended or self._time_message()
        for host in self.hosts:
            host.kill()

    def close(self):
        """Ends all machines and removes what they used. May be called twice."""
        self.why_ended = self.why_ended or "the lab has ended"
        if self.timer:
            self.timer.cancel()
        for host in self.hosts:
            host.kill()
        if self.folder:
            shutil.rmtree(self.folder, ignore_errors=True)


def kvm_boots(cache, kernel_, image):
    """Whether a machine boots on KVM here; tried once after each start of this computer, as trying may take a while.

    Opening /dev/kvm says little: within a virtual machine it may be there and hang or fail later.
    """
    boot = pathlib.Path("/proc/sys/kernel/random/boot_id").read_text(encoding="ascii").strip()
    known = cache / "kvm-boots"
    if known.exists() and known.read_text(encoding="ascii").startswith(boot):
        return known.read_text(encoding="ascii").split()[1] == "yes"
    with tempfile.TemporaryDirectory(prefix="slipway-lab-") as folder:
        machine = machines.Machine(1, machines.Plan(accel="kvm", cpus=1, memory_mib=512), folder)
        try:
            machine.start(kernel_, image)
            machine.socket.settimeout(KVM_TRIAL_SECONDS)
            boots = bool(machine.socket.recv(1))  # the agent's first word
        except (OSError, LabError):
            boots = False
        finally:
            machine.kill()
    known.write_text(f"{boot} {'yes' if boots else 'no'}\n", encoding="ascii")
    return boots


def need_commands(plan):
    """The machine uses this computer's programs, so what is missing here is missing there."""
    needed = [("ip", "iproute2"), ("mount", "mount")]
    if plan.rdma:
        needed += [("rdma", "iproute2"), ("ibv_devinfo", "ibverbs-utils")]
    if plan.cxl:
        needed += [("cxl", "ndctl"), ("ndctl", "ndctl"), ("daxctl", "daxctl")]
    path = os.environ.get("PATH", "") + ":/usr/sbin:/sbin"
    missing = {package for program, package in needed if not shutil.which(program, path=path)}
    if plan.rdma and not os.path.isdir("/etc/libibverbs.d"):
        missing.add("ibverbs-providers")
    if missing:
        raise CannotRun(f"not installed: {', '.join(sorted(missing))}: apt-get install {' '.join(sorted(missing))} (or run tools/deps)")
