"""C and C++ are formatted by the tree's .clang-format."""
import pathlib
import shutil
import subprocess
import sys

import checklib

SKIPPED = 77  # CTest's word for a skip


def violations(root):
    paths = [str(p) for p in checklib.code_files(root)]
    if not paths:
        return []
    done = subprocess.run(["clang-format", "--dry-run", "--Werror", "-style=file", *paths],
                          cwd=root, capture_output=True, text=True, check=False)
    at_fault = {}
    for line in done.stderr.splitlines():
        path, _, rest = line.partition(":")
        if "clang-format-violations" in line and path not in at_fault:
            at_fault[path] = rest.split(":")[0]
    if done.returncode != 0 and not at_fault:
        return [f"clang-format failed: {done.stderr.strip()[:500]}"]
    return [f"{path}:{line}: not formatted: run 'clang-format -i {path}'" for path, line in sorted(at_fault.items())]


def self_test(_):
    style = pathlib.Path(__file__).resolve().parents[2].joinpath(".clang-format").read_text(encoding="utf-8")
    with checklib.sample_tree({".clang-format": style, "core/a.cc": "int f() { return 1; }\n"}) as root:
        checklib.expect(violations(root))
    with checklib.sample_tree({".clang-format": style, "core/b.cc": "int  f( ) {return 1 ;}\n"}) as root:
        checklib.expect(violations(root), ("core/b.cc:1", "clang-format -i"))


if __name__ == "__main__":
    if not shutil.which("clang-format"):
        print("format: skipped: clang-format is not installed")
        sys.exit(SKIPPED)
    checklib.run("format", lambda arguments: violations(arguments.root), self_test)
