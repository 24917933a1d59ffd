"""One virtual machine: its QEMU command line, its process, and its control socket (QMP)."""
import ctypes
import dataclasses
import fcntl
import json
import os
import pathlib
import re
import signal
import socket
import subprocess
import time

from .errors import CannotRun, LabError
from .kernel import find_program

KVM_GET_API_VERSION, KVM_CREATE_VM = 0xAE00, 0xAE01
CXL_BYTES = 256 << 20
CXL_LABEL_BYTES = 256 << 20
CXL_SERIAL = 0x51195a  # the same on machines that share the memory: it is one device
BOOT_SECONDS = 180  # under emulation on a busy computer; else less than 10


@dataclasses.dataclass
class Plan:
    """What a lab's machines are to be."""
    rdma: bool = False
    cxl: bool = False
    hosts: int = 1
    memory_mib: int = 0  # 0: as much as the machine needs for itself
    cpus: int = 0  # 0: what there is, spread over the hosts, at most 4
    accel: str = "auto"  # or kvm, tcg
    mtu: int = 4200  # room for RDMA's packets of 4096 bytes
    shares: tuple = ()  # folders of this computer that are writable inside, at the same path

    def with_defaults(self):
        cpus = self.cpus or max(1, min(4, os.cpu_count() // self.hosts))
        return dataclasses.replace(self, cpus=cpus, memory_mib=self.memory_mib or (2048 if self.hosts == 1 else 1024),
                                   accel=check_accel(self))


def kvm_opens():
    try:
        with open("/dev/kvm", "r+b", buffering=0) as device:
            if fcntl.ioctl(device, KVM_GET_API_VERSION) != 12:
                return False
            os.close(fcntl.ioctl(device, KVM_CREATE_VM, 0))
            return True
    except OSError:
        return False


def check_accel(plan):
    """What to run on: "auto" is left where KVM opens, as only a machine that boots on it shows that it works."""
    # QEMU emulates each access to CXL memory, and KVM hands it over only for simple instructions.
    if plan.cxl:
        if plan.accel == "kvm":
            raise CannotRun("KVM cannot run vector instructions on QEMU's CXL memory: --cxl needs --accel tcg")
        return "tcg"
    if plan.accel == "kvm" and not kvm_opens():
        raise CannotRun("/dev/kvm is not there, or not for this user: use --accel tcg")
    return "tcg" if plan.accel == "auto" and not kvm_opens() else plan.accel


def counter_is_steady():
    """Whether this computer's own kernel takes its time stamp counter for a clock."""
    try:
        sources = pathlib.Path("/sys/devices/system/clocksource/clocksource0/available_clocksource")
        return "tsc" in sources.read_text(encoding="ascii").split()
    except OSError:
        return False


def qemu_program():
    program = find_program("qemu-system-x86_64", "qemu-system-x86")
    said = subprocess.run([program, "--version"], capture_output=True, text=True, check=False).stdout
    version = re.search(r"version (\d+)\.(\d+)", said)
    if not version or (int(version[1]), int(version[2])) < (7, 2):
        raise CannotRun(f"the lab needs QEMU 7.2 or later, and {program} says {said.splitlines()[:1]}")
    return program


def escape(path):
    """QEMU's options are separated by commas, and a comma in a value is doubled."""
    return str(path).replace(",", ",,")


class Machine:
    """The process of host `number`. Files of its own lie in the lab's folder."""

    def __init__(self, number, plan, folder):
        self.number, self.plan, self.folder = number, plan, pathlib.Path(folder)
        self.address = f"10.7.0.{number}"
        self.process = None
        self.socket = None  # to the agent

    def path(self, name):
        return self.folder / f"{name}-{self.number}"

    def command(self, kernel, image):
        plan = self.plan
        features = ",".join(name for name in ("rdma", "cxl") if getattr(plan, name))
        memory = f"{plan.memory_mib}" + (",maxmem=8G,slots=4" if plan.cxl else "")
        command = [
            qemu_program(), "-nodefaults", "-display", "none", "-no-reboot", "-no-user-config",
            "-machine", "q35" + (",cxl=on" if plan.cxl else ""), "-smp", str(plan.cpus), "-m", memory,
            "-accel", "kvm" if plan.accel == "kvm" else "tcg,thread=multi",
            "-cpu", "host,arch-capabilities=off" if plan.accel == "kvm" else "max",
            "-kernel", str(kernel.image), "-initrd", str(image),
            "-append", f"console=ttyS0 panic=-1 quiet {self.clock()}lab.with={features}",
            "-serial", f"file:{escape(self.path('console'))}",
            "-qmp", f"unix:{escape(self.path('qmp'))},server=on,wait=off",
            "-fsdev", "local,id=host,path=/,security_model=none,readonly=on,multidevs=remap",
            "-device", "virtio-9p-pci,fsdev=host,mount_tag=host",
            "-device", "virtio-serial-pci", "-chardev", f"socket,id=agent,path={escape(self.path('agent'))}",
            "-device", "virtserialport,chardev=agent,name=slipway.lab",
            "-device", "virtio-rng-pci",
        ]
        for index, share in enumerate(plan.shares):
            command += ["-fsdev", f"local,id=share{index},path={escape(share)},security_model=none,multidevs=remap",
                        "-device", f"virtio-9p-pci,fsdev=share{index},mount_tag=share{index}"]
        return command + self.network() + (self.cxl() if plan.cxl else [])

    def clock(self):
        """Under TCG all processors read one time stamp counter, this computer's. The kernel trusts no counter of a processor
        that does not promise a steady one, as QEMU's cannot, and takes the HPET: 4 us a look, 50 times as much as a counter."""
        return "tsc=reliable " if self.plan.accel == "tcg" and counter_is_steady() else ""

    def network(self):
        device = ["-device", f"virtio-net-pci,netdev=n0,id=nic0,mac=52:54:00:07:00:{self.number:02x}"]
        server = "on" if self.number == 1 else "off"  # a wire that nobody is at the other end of will do for one host
        return ["-netdev", f"stream,id=n0,server={server},addr.type=unix,addr.path={escape(self.folder / 'wire')}"] + device

    def cxl(self):
        """A memory expander with labels of its own; its memory is that of all hosts."""
        if self.plan.hosts == 1:
            memory = f"memory-backend-ram,id=cxl-mem,share=on,size={CXL_BYTES}"
        else:
            memory = f"memory-backend-file,id=cxl-mem,share=on,size={CXL_BYTES},mem-path={escape(self.folder / 'cxl-memory')}"
        return [
            "-object", memory, "-object", f"memory-backend-ram,id=cxl-labels,share=on,size={CXL_LABEL_BYTES}",
            "-device", "pxb-cxl,bus_nr=12,bus=pcie.0,id=cxl.1",
            "-device", "cxl-rp,port=0,bus=cxl.1,id=root-port0,chassis=0,slot=2",
            # With one port only, Linux leaves the bridge's decoder off, QEMU 7.2 insists on it, and all reads are 0.
            "-device", "cxl-rp,port=1,bus=cxl.1,id=root-port1,chassis=0,slot=3",
            "-device", f"cxl-type3,bus=root-port0,memdev=cxl-mem,lsa=cxl-labels,id=cxl-pmem0,sn={CXL_SERIAL}",
            "-M", "cxl-fmw.0.targets.0=cxl.1,cxl-fmw.0.size=4G",
        ]

    def start(self, kernel, image):
        """Starts the process and waits until its agent's line is open. The machine then still has to boot."""
        with socket.socket(socket.AF_UNIX) as listener:
            self.path("agent").unlink(missing_ok=True)
            listener.bind(str(self.path("agent")))
            listener.listen(1)
            parent = os.getpid()
            with open(self.path("qemu"), "wb") as said:
                self.process = subprocess.Popen(self.command(kernel, image), stdin=subprocess.DEVNULL, stdout=said,
                                                stderr=said, start_new_session=True, preexec_fn=lambda: die_with(parent))
            listener.settimeout(0.2)
            deadline = time.monotonic() + BOOT_SECONDS
            while True:
                try:
                    self.socket = listener.accept()[0]
                    return
                except TimeoutError:
                    if self.process.poll() is not None or time.monotonic() > deadline:
                        raise LabError(f"host {self.number} did not start: {self.last_words()}") from None

    def last_words(self, lines=50):
        """The end of what QEMU and the machine's console said."""
        said = []
        for name in ("qemu", "console"):
            with open(self.path(name), "a+", encoding="utf-8", errors="replace") as file:
                file.seek(0)
                said += [line.rstrip() for line in file if line.strip()][-lines:]
        return "\n  ".join(said) or "nothing was said"

    def qmp(self, command, **arguments):
        """Asks QEMU for one thing; gives its answer."""
        with socket.socket(socket.AF_UNIX) as line:
            line.settimeout(30)
            line.connect(str(self.path("qmp")))
            with line.makefile("rw", encoding="utf-8") as stream:
                stream.readline()  # its greeting
                for asked in ({"execute": "qmp_capabilities"}, {"execute": command, "arguments": arguments}):
                    stream.write(json.dumps(asked) + "\n")
                    stream.flush()
                    answer = {}
                    while "return" not in answer and "error" not in answer:
                        answer = json.loads(stream.readline())
        if "error" in answer:
            raise LabError(f"host {self.number}: {command}: {answer['error']['desc']}")
        return answer["return"]

    def kill(self):
        """Ends the machine as a power cut does. Harmless when it has ended."""
        if self.process and self.process.poll() is None:
            self.process.kill()
        if self.process:
            self.process.wait()
        if self.socket:
            try:
                self.socket.shutdown(socket.SHUT_RDWR)
            except OSError:
                pass
            self.socket.close()  # its reader ends at its own pace


def die_with(parent):
    """In a new child: it is killed when its parent dies, however that dies."""
    ctypes.CDLL(None).prctl(1, signal.SIGKILL)  # PR_SET_PDEATHSIG
    if os.getppid() != parent:
        os._exit(1)
