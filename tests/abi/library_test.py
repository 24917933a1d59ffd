"""The C API of libslipway.so, as its symbols and debug information show it, against what was recorded.

What was there must be there unchanged; more is welcome. Needs libabigail (abidw, abidiff) and a library with debug
information; says so and is skipped without them. `--record` writes the record anew, after a change that is meant.
"""
import argparse
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
RECORD = HERE / "libslipway.abi"
SKIPPED = 77  # CTest's word for a skip
# What is declared elsewhere than in the public headers is private: the classes behind the opaque handles.
HEADERS = (ROOT / "core/include/slipway", ROOT / "sdk/include")
WHERE = re.compile(r" path='[^']*?((?:core|tools|tests)/[^']*)'")


def why_not(library):
    for tool in ("abidw", "abidiff"):
        if not shutil.which(tool):
            return f"{tool} is not installed (package abigail-tools)"
    sections = subprocess.run(["readelf", "-SW", library], capture_output=True, text=True, check=True).stdout
    return "" if ".debug_info" in sections else f"{library} has no debug information"


def record(library, out):
    headers = [word for folder in HEADERS for word in ("--headers-dir", folder)]
    subprocess.run(["abidw", "--exported-interfaces-only", "--drop-private-types", *headers, "--no-corpus-path",
                    "--no-comp-dir-path", "--no-show-locs", "--no-elf-needed", "--drop-undefined-syms",
                    "--type-id-style", "hash", "--out-file", out, library], check=True)
    text = out.read_text(encoding="utf-8")
    out.write_text(WHERE.sub(lambda m: f" path='{m.group(1)}'", text), encoding="utf-8")


def changes(before, now):
    """What abidiff has to say of two records but for additions; empty when nothing has changed."""
    done = subprocess.run(["abidiff", "--no-added-syms", "--no-show-locs", before, now],
                          capture_output=True, text=True, check=False)
    return f"abidiff says {done.returncode}:\n{done.stdout}{done.stderr}" if done.returncode else ""


class Library(unittest.TestCase):
    library = None

    @classmethod
    def setUpClass(cls):
        cls.folder = tempfile.TemporaryDirectory(prefix="slipway-abi-")
        cls.addClassCleanup(cls.folder.cleanup)
        cls.now = pathlib.Path(cls.folder.name) / "now.abi"
        record(cls.library, cls.now)

    def test_nothing_recorded_has_changed(self):
        self.assertEqual(changes(RECORD, self.now), "")

    def test_the_test_can_fail(self):
        text = RECORD.read_text(encoding="utf-8")
        for old, new, told in (("slipway_batch_cancel", "slipway_batch_annul", "slipway_batch_annul"),
                               ("layout-offset-in-bits='64'", "layout-offset-in-bits='96'", "offset changed"),
                               ("type-decl name='int' size-in-bits='32'", "type-decl name='int' size-in-bits='64'", "size")):
            with self.subTest(old=old):
                self.assertIn(old, text)
                changed = pathlib.Path(self.folder.name) / "changed.abi"
                changed.write_text(text.replace(old, new), encoding="utf-8")
                self.assertIn(told, changes(changed, self.now))

    def test_more_is_welcome(self):
        text = RECORD.read_text(encoding="utf-8")
        fewer = pathlib.Path(self.folder.name) / "fewer.abi"
        fewer.write_text("".join(line for line in text.splitlines(True) if "elf-symbol name='slipway_version'" not in line))
        self.assertEqual(changes(fewer, self.now), "")


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--library", required=True)
    parser.add_argument("--record", action="store_true")
    arguments, rest = parser.parse_known_args()
    reason = why_not(arguments.library)
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    if arguments.record:
        record(arguments.library, RECORD)
        sys.exit()
    Library.library = arguments.library
    unittest.main(argv=sys.argv[:1] + rest, verbosity=2)
