"""A plugin exports its entry symbol and nothing else; libslipway.so exports slipway_* and nothing else."""
import pathlib
import subprocess
import tempfile

import checklib

ENTRY = "slipway_plugin_v1"


def exported(path):
    done = subprocess.run(["nm", "-D", "--defined-only", "--format=posix", str(path)],
                          capture_output=True, text=True, check=True)
    # Version nodes of a version script are listed as absolute symbols.
    lines = [line.split() for line in done.stdout.splitlines()]
    return sorted(words[0].split("@")[0] for words in lines if len(words) > 1 and words[1] != "A")


def plugin_violations(path):
    symbols = exported(path)
    if symbols == [ENTRY]:
        return []
    extra = [s for s in symbols if s != ENTRY]
    found = [] if ENTRY in symbols else [f"{path}: does not export {ENTRY}"]
    if extra:
        found.append(f"{path}: exports {len(extra)} more than {ENTRY}: {', '.join(extra[:8])}")
    return found


def library_violations(path):
    symbols = exported(path)
    extra = [s for s in symbols if not s.startswith("slipway_")]
    found = [f"{path}: exports {len(extra)} symbols that are not slipway_*: {', '.join(extra[:8])}"] if extra else []
    if not any(s.startswith("slipway_") for s in symbols):
        found.append(f"{path}: exports no slipway_* symbol")
    return found


def violations(arguments):
    plugins = sorted(pathlib.Path(arguments.plugins).glob("libslipway-*.so"))
    found = [] if plugins else [f"{arguments.plugins}: holds no plugin to check"]
    for path in plugins:
        found += plugin_violations(path)
    return found + library_violations(pathlib.Path(arguments.library))


def self_test(_):
    with tempfile.TemporaryDirectory(prefix="slipway-check-") as folder:
        def build(name, text):
            out = pathlib.Path(folder, name)
            subprocess.run(["gcc", "-shared", "-fPIC", "-x", "c", "-", "-o", str(out)], input=text, text=True, check=True)
            return out
        checklib.expect(plugin_violations(build("good.so", f"const int {ENTRY} = 1;")))
        checklib.expect(plugin_violations(build("leaks.so", f"const int {ENTRY} = 1; int helper;")), "helper")
        checklib.expect(plugin_violations(build("none.so", "static int x;")), "does not export")
        checklib.expect(library_violations(build("lib.so", "int slipway_version;")))
        checklib.expect(library_violations(build("bad.so", "int slipway_version, internal_thing;")), "internal_thing")
        checklib.expect(library_violations(build("empty.so", "static int x;")), "exports no")


def options(parser):
    parser.add_argument("--plugins", default="build/plugins", help="folder of the built plugins")
    parser.add_argument("--library", default="build/core/engine/libslipway.so", help="the built library")


if __name__ == "__main__":
    checklib.run("exports", violations, self_test, options)
