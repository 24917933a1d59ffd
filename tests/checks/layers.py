"""Who may include whom: the core knows no plugin, a plugin knows only the SDK, the SDK knows nothing of ours."""
import pathlib
import re

import checklib

INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*[<"]([^>"]+)[>"]', re.MULTILINE)
# What an include may be found under, beside the including file's own folder and the root.
INCLUDE_ROOTS = ("sdk/include", "sdk/cpp", "core/include")

# Layer: what it may include (path prefixes), and the rule in words. The first prefix that matches a file is its layer.
LAYERS = (
    ("sdk/include/", ("sdk/include/",), "the ABI's headers include only each other and the C library"),
    ("sdk/python/", ("sdk/python/", "core/include/", "sdk/"), "the Python package includes only itself and what is public"),
    ("sdk/", ("sdk/",), "the SDK includes nothing of ours but itself"),
    ("core/include/", ("core/include/", "sdk/include/"), "the public API includes only itself and the ABI"),
    ("core/", ("core/", "sdk/"), "the core includes only itself and the SDK"),
    ("plugins/", ("sdk/",), "a plugin includes only its own folder and the SDK"),
    ("tools/", ("tools/", "core/include/", "sdk/"), "tools include only what is public"),
)


def resolve(files, includer, name):
    """The tree's file that `#include name` means, or None for a system header."""
    for base in (includer.parent, pathlib.Path(), *map(pathlib.Path, INCLUDE_ROOTS)):
        candidate = pathlib.Path(*_normal(base / name))
        if candidate in files:
            return candidate
    return None


def _normal(path):
    parts = []
    for part in path.parts:
        if part == ".." and parts:
            parts.pop()
        elif part not in (".", ".."):
            parts.append(part)
    return parts or ["."]


def allowed(includer, included):
    name, target = includer.as_posix(), included.as_posix()
    if name.startswith("plugins/") and included.parts[:2] == includer.parts[:2]:
        return None
    for layer, prefixes, rule in LAYERS:
        if name.startswith(layer):
            return None if target.startswith(prefixes) else rule
    return None


def violations(root):
    files = set(checklib.tree_files(root))
    found = []
    for path in checklib.code_files(root):
        text = checklib.strip_code(checklib.read(root, path), keep_strings=True)
        for match in INCLUDE.finditer(text):
            name = match.group(1)
            line = text.count("\n", 0, match.start()) + 1
            included = resolve(files, path, name)
            if included is None:
                continue
            rule = allowed(path, included)
            if rule:
                found.append(f"{path}:{line}: includes {included}: {rule}")
    return found


def self_test(_):
    tree = {
        "sdk/include/slipway/abi/a.h": "#include <stdint.h>\n",
        "sdk/cpp/slipway/sdk/b.hpp": '#include "slipway/abi/a.h"\n',
        "core/include/slipway/engine.h": '#include "slipway/abi/a.h"\n',
        "core/base/c.h": '#include "slipway/engine.h"\n#include <vector>\n',
        "plugins/one/d.h": '#include "slipway/sdk/b.hpp"\n#include "plugins/one/e.h"\n#include "e.h"\n',
        "plugins/one/e.h": "// #include \"core/base/c.h\"\n",
        "tools/t.cc": '#include "slipway/engine.h"\n#include "core_is_not_ours/x.h"\n',
        "tests/t.cc": '#include "core/base/c.h"\n#include "plugins/one/d.h"\n',
    }
    with checklib.sample_tree(tree) as root:
        checklib.expect(violations(root))
    tree |= {
        "sdk/include/slipway/abi/x.h": '#include "slipway/sdk/b.hpp"\n',
        "sdk/cpp/slipway/sdk/y.hpp": '#include <slipway/engine.h>\n',
        "core/include/slipway/z.h": '#include "core/base/c.h"\n',
        "core/base/p.cc": '#  include "plugins/one/d.h"\n',
        "plugins/two/q.cc": '#include "../one/d.h"\n',
        "plugins/two/r.cc": '#include "slipway/engine.h"\n',
        "tools/s.cc": '#include "core/base/c.h"\n',
    }
    with checklib.sample_tree(tree) as root:
        checklib.expect(violations(root), "abi/x.h:1", "sdk/y.hpp:1", "slipway/z.h:1", "core/base/p.cc:1",
                        "two/q.cc:1", "two/r.cc:1", "tools/s.cc:1")


if __name__ == "__main__":
    checklib.run("layers", lambda arguments: violations(arguments.root), self_test)
