"""What the checks share: the files of the tree, comment stripping, and the way a check reports.

A check is a function of the tree's root that gives a list of violations, each a line a person can act on, and a
self-test that shows on made-up trees that it finds what it is for, and nothing else.
"""
import argparse
import contextlib
import os
import pathlib
import re
import subprocess
import sys
import tempfile

CODE_FOLDERS = ("core", "plugins", "sdk", "tools", "tests")
CXX_SUFFIXES = (".c", ".cc", ".cpp", ".h", ".hpp")


def tree_files(root):
    """All files of the tree, as sorted pathlib paths relative to the root; what git ignores is left out."""
    root = pathlib.Path(root)
    if (root / ".git").exists():
        command = ["git", "-C", str(root), "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
        listed = subprocess.run(command, capture_output=True, check=False)
        if listed.returncode == 0:
            names = {pathlib.Path(os.fsdecode(n)) for n in listed.stdout.split(b"\0") if n}
            return sorted(n for n in names if (root / n).is_file())
    found = []
    for folder, subfolders, names in os.walk(root):
        subfolders[:] = [s for s in subfolders if not s.startswith((".", "build")) and s != "__pycache__"]
        found += [pathlib.Path(folder, n).relative_to(root) for n in names if not n.endswith(".pyc")]
    return sorted(found)


def code_files(root, folders=CODE_FOLDERS, suffixes=CXX_SUFFIXES):
    return [p for p in tree_files(root) if p.parts[0] in folders and p.suffix in suffixes]


def read(root, path):
    return (pathlib.Path(root) / path).read_text(encoding="utf-8", errors="replace")


_TOKEN = re.compile(
    r'//[^\n]*|/\*.*?\*/'  # comments
    r'|R"(?P<raw>[^()\\\s]{0,16})\(.*?\)(?P=raw)"'  # raw strings
    r'|"(?:\\.|[^"\\\n])*"'  # strings
    r"|(?<![0-9a-fA-F])'(?:\\.|[^'\\\n])+'",  # characters, not digit separators
    re.DOTALL)


def strip_code(text, keep_strings):
    """`text` without comments (and strings), each replaced so that line numbers stay as they are."""
    def replace(match):
        token = match.group(0)
        if token.startswith("/"):
            return " " + "\n" * token.count("\n")
        if keep_strings:
            return token
        return '""' + "\n" * token.count("\n")
    return _TOKEN.sub(replace, text)


@contextlib.contextmanager
def sample_tree(files):
    """A temporary tree of {path: text}."""
    with tempfile.TemporaryDirectory(prefix="slipway-check-") as folder:
        for name, text in files.items():
            path = pathlib.Path(folder, name)
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(text, encoding="utf-8")
        yield folder


def expect(violations, *words):
    """Asserts that there is one violation a group of words, each holding all words of its group."""
    groups = [w if isinstance(w, tuple) else (w,) for w in words]
    if len(violations) != len(groups):
        raise AssertionError(f"expected {len(groups)} violations, got {len(violations)}: {violations}")
    for group in groups:
        if not any(all(word in v for word in group) for v in violations):
            raise AssertionError(f"no violation says {group}: {violations}")


def main(title, check, self_test, options=None):
    """Runs a check on --root, or its self-test. `options` adds arguments; `check` takes the parsed arguments."""
    parser = argparse.ArgumentParser(description=title)
    parser.add_argument("--root", default=str(pathlib.Path(__file__).resolve().parents[2]), help="of the tree")
    parser.add_argument("--self-test", action="store_true", help="show that the check can fail")
    if options:
        options(parser)
    arguments = parser.parse_args()
    if arguments.self_test:
        self_test(arguments)
        print(f"{title}: the check finds what it is for")
        return 0
    violations = check(arguments)
    for line in violations:
        print(line)
    print(f"{title}: " + (f"{len(violations)} violation(s), listed above" if violations else "OK"))
    return 1 if violations else 0


def run(title, check, self_test, options=None):
    sys.exit(main(title, check, self_test, options))
