"""Builds the wheel as a user does, installs it where nothing else is, and runs the tests of this folder against it.

Then the part of them that needs no store against the package in the build tree. What Python packages the tests need comes
from the package index; where that cannot be reached, nothing is tested, and that is said.
"""

import argparse
import os
import pathlib
import re
import subprocess
import sys
import tempfile
import zipfile

SKIPPED = 77
PACKAGES = ["pytest", "numpy", "ml_dtypes", "safetensors"]
BUILD_PACKAGES = ["scikit-build-core>=0.10", "pybind11>=2.10"]
HERE = pathlib.Path(__file__).resolve().parent


def run(*command, **options):
    print("$", *command, flush=True)
    return subprocess.run([str(word) for word in command], check=True, timeout=1500, **options)


def make_environment(folder):
    """An interpreter with what the tests need; None where the index cannot be reached."""
    run(sys.executable, "-m", "venv", folder)
    python = folder / "bin/python"
    install = [python, "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--only-binary=:all:"]
    done = subprocess.run([*map(str, install), *PACKAGES, *BUILD_PACKAGES], check=False, timeout=600)
    return python if done.returncode == 0 else None


def build_wheel(python, source, folder):
    # Without isolation, so that nothing is fetched twice; the tree's own build folder, so that compilers' caches help.
    run(python, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "--disable-pip-version-check",
        "--wheel-dir", folder, source / "sdk/python",
        env={**os.environ, "PATH": f"{python.parent}:{os.environ['PATH']}"})  # fmt: skip
    (wheel,) = folder.glob("slipway-*.whl")
    names = zipfile.ZipFile(wheel).namelist()
    for part in ("slipway/lib/libslipway.so", "slipway/lib/slipway/plugins/libslipway-tcp.so", "slipway/_core.pyi"):
        if not any(name.startswith(part) for name in names):
            sys.exit(f"the wheel lacks {part}: {names}")
    return wheel


def pytest(python, *arguments, **environment):
    kept = {k: v for k, v in os.environ.items() if k not in ("SLIPWAY_PLUGIN_PATH", "LD_LIBRARY_PATH", "PYTHONPATH")}
    run(python, "-B", "-m", "pytest", "-q", "-p", "no:cacheprovider", "--rootdir", HERE, *arguments, cwd=HERE,
        env={**kept, **environment})  # fmt: skip


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--source", type=pathlib.Path, required=True)
    parser.add_argument("--build", type=pathlib.Path, required=True)
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = pathlib.Path(name)
        python = make_environment(folder / "environment")
        if python is None:
            print("skipped: the packages that these tests need could not be installed")
            return SKIPPED
        wheel = build_wheel(python, arguments.source, folder)
        pytest(python, HERE / "engine_test.py", PYTHONPATH=str(arguments.build / "python"))
        run(python, "-m", "pip", "install", "--quiet", "--no-deps", "--disable-pip-version-check", wheel)
        where = run(python, "-c", "import slipway; print(slipway.__file__)", capture_output=True, text=True, cwd=folder)
        if not where.stdout.startswith(str(folder)):
            sys.exit(f"not the installed package: {where.stdout}")
        pytest(python, HERE)
        for page in ("README.md", "sdk/python/README.md"):
            for example in re.findall(r"```python\n(.*?)```", (arguments.source / page).read_text(), re.DOTALL):
                run(python, "-c", example, cwd=folder)
    return 0


if __name__ == "__main__":
    sys.exit(main())
