"""The live headers against the frozen ones of revision 1.0: as text, and as two compilers lay them out."""
import itertools
import pathlib
import re
import shutil
import subprocess
import tempfile
import unittest

import declarations

HERE = pathlib.Path(__file__).resolve().parent
ROOT = HERE.parents[1]
LIVE = ROOT / "sdk/include"
FROZEN = HERE / "v1.0/include"
RECORD = (HERE / "v1.0/record.inc").read_text(encoding="utf-8")
STANDARDS = (("c", "c11"), ("c++", "c++20"))
COMPILERS = [c for c in ("gcc", "clang") if shutil.which(c)]
# Not values: what they are made of is compared as text.
NOT_ON_RECORD = {"SLIPWAY_HAS", "SLIPWAY_EXPORT", "SLIPWAY_PLUGIN_SYMBOL", "SLIPWAY_PLUGIN_SYMBOL_PREFIX",
                 "SLIPWAY_ABI_MINOR"}


def read(include):
    return declarations.Declarations(include / "slipway/abi")


def layout_errors(include, compiler, language, standard):
    done = subprocess.run([compiler, "-x", language, f"-std={standard}", "-fsyntax-only", "-Wall", "-Wextra", "-Werror",
                           "-I", include, "-I", ROOT, HERE / "layout.c"], capture_output=True, text=True, check=False)
    return done.stderr if done.returncode else ""


class Headers(unittest.TestCase):
    def test_what_1_0_declared_is_there_unchanged(self):
        self.assertEqual(declarations.incompatibilities(read(FROZEN), read(LIVE)), [])

    def test_layouts_are_those_on_record(self):
        for include, compiler, (language, standard) in itertools.product((FROZEN, LIVE), COMPILERS, STANDARDS):
            with self.subTest(include=include.name, compiler=compiler, standard=standard):
                self.assertEqual(layout_errors(include, compiler, language, standard), "")

    def test_everything_of_1_0_is_on_record(self):
        frozen = read(FROZEN)
        wanted = {f"FIELD({s}, {f}" for s in frozen.structs for f in frozen.fields(s)}
        wanted |= {f"{'STRUCT' if declarations.is_sized(m) else 'FIXED'}({s}" for s, m in frozen.structs.items()}
        wanted |= {f"VALUE({v}" for v in frozen.values}
        wanted |= {f"VALUE({m}" for m in frozen.macros if m not in NOT_ON_RECORD}
        recorded = {f"{kind}({', '.join(args.split(', ')[:2 if kind == 'FIELD' else 1])}"
                    for kind, args in re.findall(r"^(STRUCT|FIXED|FIELD|VALUE)\((.*)\)$", RECORD, re.MULTILINE)}
        self.assertEqual(wanted ^ recorded, set())

    def test_no_struct_has_room_at_its_end(self):
        """A field put into padding would not change struct_size, and so seem to be there in an older program."""
        sizes = dict(re.findall(r"(?:STRUCT|FIXED)\((\w+), (\d+)\)", RECORD))
        ends = {s: int(offset) + int(size) for s, offset, size in re.findall(r"FIELD\((\w+), \w+, (\d+), (\d+)\)", RECORD)}
        self.assertEqual({s: int(size) for s, size in sizes.items()}, ends)


class TheTestCanFail(unittest.TestCase):
    """Each change that breaks programs built earlier is found, and what is allowed is not."""

    def changed(self, header, old, new):
        folder = tempfile.TemporaryDirectory(prefix="slipway-abi-")
        self.addCleanup(folder.cleanup)
        include = pathlib.Path(folder.name) / "include"
        shutil.copytree(FROZEN, include)
        path = include / "slipway/abi" / header
        text = path.read_text(encoding="utf-8")
        self.assertIn(old, text)
        path.write_text(text.replace(old, new, 1), encoding="utf-8")
        found = declarations.incompatibilities(read(FROZEN), read(include))
        laid_out = all(not layout_errors(include, COMPILERS[0], *standard) for standard in STANDARDS)
        return found, laid_out

    def test_layouts(self):
        for header, old, new in (
                ("memory.h", "uint64_t length;", "uint32_t length; uint32_t pad;"),
                ("memory.h", "  int32_t device_ordinal;", "  int64_t device_ordinal;"),
                ("status.h", "char where[64];", "char where[60];"),
                ("transport.h", "SLIPWAY_OP_READ = 1, SLIPWAY_OP_WRITE = 2", "SLIPWAY_OP_READ = 2, SLIPWAY_OP_WRITE = 1"),
                ("transport.h", "SLIPWAY_CAP_CANCEL (UINT64_C(1) << 6)", "SLIPWAY_CAP_CANCEL (UINT64_C(1) << 13)"),
                ("host.h", "  void* ctx;\n  const char *name", "  void* more;\n  void* ctx;\n  const char *name"),
                ("transport.h", "} slipway_slice;", "  uint64_t more;\n} slipway_slice;"),
                ("plugin.h", "uint32_t pointer_bits;", "uint64_t pointer_bits;")):
            with self.subTest(header=header, new=new):
                found, laid_out = self.changed(header, old, new)
                self.assertTrue(found)
                self.assertFalse(laid_out)

    def test_types_that_the_layout_does_not_show(self):
        for header, old, new in (
                ("host.h", "uint32_t (*log_level)(void* ctx)", "uint64_t (*log_level)(void* ctx)"),
                ("transport.h", "(*quiesce)(slipway_instance*, uint64_t timeout_ns", "(*quiesce)(slipway_instance*, uint32_t timeout_ns"),
                ("status.h", "typedef int32_t slipway_status", "typedef uint32_t slipway_status")):
            with self.subTest(header=header, new=new):
                self.assertTrue(self.changed(header, old, new)[0])

    def test_appending_is_allowed(self):
        for header, old, new in (
                ("host.h", "} slipway_host;", "  void (*more)(void* ctx);\n} slipway_host;"),
                ("transport.h", "#define SLIPWAY_CAP_ENCRYPTED", "#define SLIPWAY_CAP_MORE (UINT64_C(1) << 13)\n#define SLIPWAY_CAP_ENCRYPTED"),
                ("plugin.h", "#define SLIPWAY_ABI_MINOR 0", "#define SLIPWAY_ABI_MINOR 1")):
            with self.subTest(header=header, new=new):
                self.assertEqual(self.changed(header, old, new), ([], True))


if __name__ == "__main__":
    unittest.main(verbosity=2)
