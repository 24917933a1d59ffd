"""Debian's stock kernel, from its package: downloaded and unpacked once into the cache, never installed."""
import dataclasses
import fcntl
import contextlib
import os
import pathlib
import platform
import re
import shutil
import subprocess
import tempfile

from .errors import CannotRun

META_PACKAGE = "linux-image-amd64"  # its dependency is the current kernel
TREE = pathlib.Path(__file__).resolve().parents[3]


@dataclasses.dataclass(frozen=True)
class Kernel:
    version: str
    image: pathlib.Path
    modules: pathlib.Path  # lib/modules/VERSION, with modules.dep


def default_cache():
    """A folder of the build, beside those of the compilers."""
    return pathlib.Path(os.environ.get("SLIPWAY_BUILD_ROOT") or TREE / "build") / "lab"


def find_program(name, package):
    """The program's path, also where the administrator's folders are not on PATH."""
    path = shutil.which(name, path=os.environ.get("PATH", "") + ":/usr/sbin:/sbin:/usr/bin:/bin")
    if not path:
        raise CannotRun(f"{name} is not installed: apt-get install {package} (or run tools/deps)")
    return path


@contextlib.contextmanager
def locked(cache):
    """Holds the cache, so that two labs that start at once do not prepare it both."""
    try:
        cache.mkdir(parents=True, exist_ok=True)
        lock = open(cache / "lock", "w", encoding="ascii")
    except OSError as error:
        raise CannotRun(f"the cache {cache} cannot be written: {error.strerror}; set SLIPWAY_BUILD_ROOT or give --cache") from error
    with lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def run(command, cwd, hint):
    done = subprocess.run(command, cwd=cwd, stdin=subprocess.DEVNULL, capture_output=True, text=True, check=False)
    if done.returncode != 0:
        said = (done.stderr or done.stdout).strip().splitlines() or ["nothing"]
        raise CannotRun(f"{' '.join(map(str, command))} failed: {said[-1]}; {hint}")
    return done.stdout


def package_name(renew):
    """The kernel package that Debian's meta package stands for now."""
    if platform.machine() != "x86_64":
        raise CannotRun(f"the lab's machine is an x86-64 one, and this computer is {platform.machine()}")
    apt = shutil.which("apt-cache")
    if not apt or not shutil.which("apt-get") or not shutil.which("dpkg"):
        raise CannotRun("the kernel comes from a Debian package, and apt-get and dpkg are not there")
    if renew:
        run(["apt-get", "update", "-qq"], "/", "is there a network?")
    said = subprocess.run([apt, "depends", META_PACKAGE], capture_output=True, text=True, check=False).stdout
    found = re.search(r"Depends: (linux-image-\S+)", said)
    if not found:
        raise CannotRun(f"apt knows no package {META_PACKAGE}: run apt-get update, on Debian 12 or a later one")
    return found.group(1)


def unpack(cache, package):
    """Downloads the package and leaves what a machine needs of it in a folder of the package's name."""
    with tempfile.TemporaryDirectory(dir=cache, prefix="unpacking-") as work:
        # apt drops its rights for the download; without them it could not write here, and warns.
        run(["apt-get", "download", "-o", "APT::Sandbox::User=root", package], work,
            "is there a network, and is the list of packages current (apt-get update)?")
        deb = next(pathlib.Path(work).glob("*.deb"))
        tree = pathlib.Path(work, "tree")
        run(["dpkg", "-x", deb, tree], work, "is the disk full?")
        if not (tree / "lib/modules").exists():  # where the package knows of one /usr only
            shutil.move(tree / "usr/lib", tree / "lib")
        version = next((tree / "lib/modules").iterdir()).name
        run([find_program("depmod", "kmod"), "-b", tree, version], work, "is the package damaged?")
        shutil.rmtree(tree / "usr", ignore_errors=True)
        os.rename(tree, cache / package)


def kernel(cache, renew=False):
    """The kernel in the cache, fetched first where there is none or `renew` asks for the newest. Holds no lock."""
    cache = pathlib.Path(cache)
    have = sorted(cache.glob("linux-image-*"), key=lambda folder: folder.stat().st_mtime)
    if renew or not have:
        name = package_name(renew)
        if not (cache / name).exists():
            unpack(cache, name)
        have.append(cache / name)
    modules = next((have[-1] / "lib/modules").iterdir())
    return Kernel(modules.name, next((have[-1] / "boot").glob("vmlinuz-*")), modules)
