"""The top of the tree is what it is, every folder has a README.md, and no file holds a path of somebody's machine."""
import pathlib
import re

import checklib

TOP = frozenset("CMakeLists.txt core plugins configs tests sdk tools README.md LICENSE".split())
# Folders that only exist because a path must be spelled so, or that hold data for the folder above.
NO_README = re.compile(r"(^|/)include(/|$)|^sdk/cpp/slipway|^sdk/python/(slipway|src)|/(corpus|seeds|data|samples)(/|$)")
SOMEBODYS_PATH = re.compile(r"(?<![\w.])/(?:home|Users|root|work|mnt|data|tmp/[a-z]-)/?[\w.-]*/")
TEXT_SUFFIXES = checklib.CXX_SUFFIXES + (".py", ".sh", ".md", ".txt", ".json", ".cmake", "")


def violations(root):
    files = checklib.tree_files(root)
    found = []
    for name in sorted({p.parts[0] for p in files}):
        if name not in TOP and not name.startswith("."):
            found.append(f"{name}: not one of {' '.join(sorted(TOP))}: put it into one of these folders")
    present = set(files)
    folders = {p.parent for p in files if p.parts[0] in TOP and len(p.parts) > 1}
    # A folder whose files are all deeper has a README as well, as it is where a reader comes through.
    folders |= {pathlib.Path(*f.parts[:n]) for f in folders for n in range(1, len(f.parts))}
    for folder in sorted(folders):
        if not NO_README.search(folder.as_posix()) and folder / "README.md" not in present:
            found.append(f"{folder}: no README.md: purpose, what it may include, where to start reading")
    for path in files:
        if path.suffix in TEXT_SUFFIXES and path.parts[:2] != ("tests", "checks"):
            text = checklib.read(root, path)
            for match in SOMEBODYS_PATH.finditer(text):
                found.append(f"{path}:{text.count(chr(10), 0, match.start()) + 1}: names {match.group(0)}, a path of "
                             "one machine")
    return found


def self_test(_):
    readme = {f"{f}/README.md": "x\n" for f in ("core", "core/base", "sdk", "sdk/include", "tests", "tests/fuzz")}
    tree = readme | {
        "README.md": "x\n", "LICENSE": "x\n", ".gitignore": "x\n", ".ci/run": "x\n",
        "core/base/a.cc": 'open("/proc/self/exe"); open("/dev/null"); "/tmp/x"\n',
        "sdk/include/slipway/abi/b.h": "x\n", "tests/fuzz/corpus/url/seed1": "x\n",
    }
    with checklib.sample_tree(tree) as root:
        checklib.expect(violations(root))
    tree |= {"docs/x.md": "x\n", "notes.txt": "x\n", "core/new/part/c.cc": "x\n", "core/base/d.cc": '"/home/me/x"\n'}
    with checklib.sample_tree(tree) as root:
        checklib.expect(violations(root), "docs", "notes.txt", "core/new: no README", "core/new/part: no README",
                        ("core/base/d.cc:1", "/home/"))


if __name__ == "__main__":
    checklib.run("tree", lambda arguments: violations(arguments.root), self_test)
