"""What the kernel unpacks and starts first: a static busybox, the modules that the lab loads, and the guest's programs."""
import hashlib
import lzma
import os
import pathlib
import stat

from .errors import CannotRun

GUEST = pathlib.Path(__file__).resolve().parents[1] / "guest"
BUSYBOX = pathlib.Path("/bin/busybox")

# By what is asked for. Loaded in this order, each after those that it depends on; "?" may be missing (or built in).
MODULES = {
    "base": "virtio_pci virtio_console 9pnet_virtio 9p overlay virtio_net ?virtio_rng",
    "rdma": "?crc32_generic ?crc32c_generic ib_uverbs rdma_ucm rdma_rxe",
    "cxl": "libnvdimm ?nfit cxl_acpi cxl_pci cxl_mem ?cxl_port ?cxl_pmem nd_pmem ?dax_pmem device_dax ?kmem",
}


class Archive:
    """A cpio archive of the kind "newc", which is what the kernel reads."""

    def __init__(self):
        self.parts, self.count = [], 0

    def add(self, name, mode, data=b""):
        self.count += 1
        fields = (self.count, mode, 0, 0, 1, 0, len(data), 0, 0, 0, 0, len(name) + 1, 0)
        head = b"070701" + b"".join(b"%08X" % field for field in fields) + name.encode() + b"\0"
        for part in (head, data):
            self.parts.append(part + b"\0" * (-len(part) % 4))

    def folder(self, name):
        self.add(name, stat.S_IFDIR | 0o755)

    def file(self, name, data, mode=0o644):
        self.add(name, stat.S_IFREG | mode, data)

    def bytes(self):
        self.add("TRAILER!!!", 0)
        return b"".join(self.parts)


def normal(name):
    return pathlib.PurePath(name).name.split(".ko")[0].replace("-", "_")


def read_dependencies(modules):
    """Of modules.dep: name -> (path, names it depends on, those to load first last)."""
    table = {}
    for line in (modules / "modules.dep").read_text(encoding="utf-8").splitlines():
        path, needs = line.split(":")
        table[normal(path)] = (path, [normal(need) for need in needs.split()])
    return table


def load_order(table, wanted, loaded, built_in):
    """The names to load for a list such as those of MODULES, each after what it needs."""
    order = []
    for word in wanted.split():
        name = word.lstrip("?")
        if name not in table:
            if word == name and name not in built_in:
                raise CannotRun(f"the kernel has no module {name}; `lab prepare --renew` fetches the newest one")
            continue
        for each in reversed([name] + table[name][1]):
            if each not in loaded:
                loaded.add(each)
                order.append(each)
    return order


def module_bytes(path):
    if path.suffix == ".xz":
        return lzma.decompress(path.read_bytes())
    if path.suffix != ".ko":
        raise CannotRun(f"{path.name} is packed in a way that the lab does not know")
    return path.read_bytes()


def read_busybox():
    try:
        data = BUSYBOX.read_bytes()
    except OSError:
        data = b""
    if not data or b"/ld-linux" in data[:4096]:
        raise CannotRun("a busybox that needs no library is not installed: apt-get install busybox-static (or run tools/deps)")
    return data


def assemble(kernel, busybox):
    archive = Archive()
    for name in ("bin", "dev", "proc", "sys", "modules", "lower", "upper", "machine"):
        archive.folder(name)
    # Where devtmpfs is not yet mounted the kernel opens this one for what the first process says.
    archive.add("dev/console", stat.S_IFCHR | 0o600)
    archive.file("bin/busybox", busybox, 0o755)
    archive.file("init", (GUEST / "init").read_bytes(), 0o755)
    archive.file("agent.py", (GUEST / "agent.py").read_bytes(), 0o755)
    table, loaded = read_dependencies(kernel.modules), set()
    built_in = {normal(line) for line in (kernel.modules / "modules.builtin").read_text(encoding="utf-8").splitlines()}
    for group, wanted in MODULES.items():
        order = load_order(table, wanted, loaded, built_in)
        archive.file(f"modules/{group}", "".join(f"{name}\n" for name in order).encode())
        for name in order:
            archive.file(f"modules/{name}.ko", module_bytes(kernel.modules / table[name][0]))
    return archive.bytes()


def initramfs(cache, kernel):
    """The archive's path in the cache; made where there is none of just this kernel and these programs."""
    busybox = read_busybox()
    of = hashlib.sha256(kernel.version.encode() + repr(MODULES).encode() + busybox)
    for source in (GUEST / "init", GUEST / "agent.py", pathlib.Path(__file__)):
        of.update(source.read_bytes())
    path = pathlib.Path(cache) / f"initramfs-{of.hexdigest()[:16]}"
    if not path.exists():
        for old in pathlib.Path(cache).glob("initramfs-*"):
            old.unlink()  # a machine that boots from it has read it, or holds it open
        fresh = path.with_suffix(".new")
        fresh.write_bytes(assemble(kernel, busybox))
        os.rename(fresh, path)
    return path
