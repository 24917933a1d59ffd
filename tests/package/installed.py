"""An installed Slipway in a temporary folder, and plugins built against it and nothing else."""
import os
import pathlib
import shutil
import subprocess
import tempfile
import time

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPILERS = [pair for pair in (("gcc", "g++"), ("clang", "clang++")) if shutil.which(pair[1])]


class Installed:
    """Owns a folder; use as a context. A command that fails raises AssertionError with all it said."""

    def __init__(self, build):
        self._temporary = tempfile.TemporaryDirectory(prefix="slipway-installed-")
        self.folder = pathlib.Path(self._temporary.name)
        self.prefix = self.folder / "prefix"
        try:
            self.run("cmake", "--install", build, "--prefix", self.prefix)
        except AssertionError:
            self._temporary.cleanup()
            raise

    def close(self):
        self._temporary.cleanup()

    def run(self, *command, cwd=None, timeout=600, **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLIPWAY_")}
        done = subprocess.run([str(c) for c in command], cwd=cwd or self.folder, capture_output=True, text=True,
                              check=False, env=kept | environment, timeout=timeout)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))} gave {done.returncode}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    @property
    def slipway(self):
        return self.prefix / "bin/slipway"

    @property
    def conform(self):
        """None where slipway-conform was not built."""
        program = self.prefix / "bin/slipway-conform"
        return program if program.exists() else None

    def copy_and_build(self, source, name, compilers, *options):
        """A copy of `source` in an empty folder, built there; the folder."""
        folder = self.folder / name
        shutil.copytree(source, folder)
        self.run("cmake", "-G", "Ninja", "-S", folder, "-B", folder / "build", f"-DCMAKE_PREFIX_PATH={self.prefix}",
                 f"-DCMAKE_C_COMPILER={compilers[0]}", f"-DCMAKE_CXX_COMPILER={compilers[1]}",
                 "-DCMAKE_C_FLAGS=-Werror", "-DCMAKE_CXX_FLAGS=-Werror", *options)
        text = (folder / "build/build.ninja").read_text(encoding="utf-8")
        if str(ROOT) in text:
            raise AssertionError(f"{name} is built with something of the tree")
        self.run("ninja", "-C", folder / "build", "-j", "2")
        return folder

    def push_and_pull(self, folder, megabytes=8, **environment):
        """Moves a file to a node of another process and back, with `folder`/config.json; what the program said."""
        kept = {k: v for k, v in os.environ.items() if not k.startswith("SLIPWAY_")}
        sent, back, ready = (folder / n for n in ("sent", "back", "ready"))
        sent.write_bytes(os.urandom(megabytes << 20))
        ready.unlink(missing_ok=True)
        config = ("--config", "config.json")
        with open(folder / "serve.log", "wb") as log:
            node = subprocess.Popen([self.slipway, "serve", *config, "--segment", f"box={sent.stat().st_size}",
                                     "--ready-file", ready], cwd=folder, stdout=log, stderr=log, env=kept | environment)
        try:
            deadline = time.monotonic() + 30
            while not (ready.exists() and ready.read_text(encoding="utf-8").endswith("\n")):
                if node.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the node is not ready:\n{(folder / 'serve.log').read_text(encoding='utf-8')}")
                time.sleep(0.02)
            box = ready.read_text(encoding="utf-8").split()[1] + "/box"
            said = self.run(self.slipway, "push", sent, box, *config, cwd=folder, **environment)
            said += self.run(self.slipway, "pull", box, back, *config, cwd=folder, **environment)
        finally:
            node.terminate()
            node.wait(timeout=30)
        if back.read_bytes() != sent.read_bytes():
            raise AssertionError("what came back is not what was sent")
        return said
