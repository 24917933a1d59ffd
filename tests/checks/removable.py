"""Each plugin can be taken out: without its folder and its line the rest still configures, and its build still adds up.

Nothing is compiled: CMake configures a copy of the tree, and ninja plans the build of everything in it, which fails when
a target needs a file that is gone. That no source file includes a plugin's is what layers.py checks.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess
import tempfile

import checklib


def copy_tree(root, to):
    for path in checklib.tree_files(root):
        target = pathlib.Path(to, path)
        target.parent.mkdir(parents=True, exist_ok=True)
        shutil.copy2(pathlib.Path(root, path), target)


def plugin_names(root):
    return sorted(p.parent.name for p in pathlib.Path(root, "plugins").glob("*/CMakeLists.txt"))


def take_out(tree, name):
    """Removes the plugin's folder and what plugins/CMakeLists.txt says of it: its own line, or its word in a list."""
    shutil.rmtree(pathlib.Path(tree, "plugins", name))
    listing = pathlib.Path(tree, "plugins", "CMakeLists.txt")
    text = listing.read_text(encoding="utf-8")
    word = rf"(?<![\w-]){re.escape(name)}(?![\w-])"
    text = re.sub(rf"^[^\n#]*\badd_subdirectory\({re.escape(name)}\)[^\n]*\n", "", text, flags=re.MULTILINE)
    listing.write_text(re.sub(rf"^([^#\n]*?)[ ]?{word}", r"\1", text, flags=re.MULTILINE), encoding="utf-8")


def run(command, folder):
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 0:
        return None
    words = [line.strip() for line in (done.stdout + done.stderr).splitlines() if line.strip()]
    at = next((i for i, line in enumerate(words) if "error" in line.lower()), max(len(words) - 3, 0))
    return " ".join(words[at:at + 3])


def fault_without(root, gone):
    """What is wrong with the tree without the plugins of these names; None: nothing."""
    with tempfile.TemporaryDirectory(prefix="slipway-check-") as tree:
        copy_tree(root, tree)
        for name in gone:
            take_out(tree, name)
        fault = run(["cmake", "-G", "Ninja", "-S", ".", "-B", "build"], tree)
        step = "configure"
        if not fault:
            fault, step = run(["ninja", "-C", "build", "-n"], tree), "build"
        return f"without plugins/{', plugins/'.join(gone)} the rest does not {step}: {fault}" if fault else None


def violations(root):
    names = plugin_names(root)
    if not names:
        return ["plugins: holds no plugin, so nothing was checked"]
    without = [[name] for name in names] + ([names] if len(names) > 1 else [])
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        return list(filter(None, pool.map(lambda gone: fault_without(root, gone), without)))


def self_test(_):
    good = {
        "CMakeLists.txt": "cmake_minimum_required(VERSION 3.22)\nproject(x NONE)\nadd_subdirectory(plugins)\n"
                          "add_custom_target(core ALL DEPENDS ${CMAKE_SOURCE_DIR}/core.txt)\n",
        "core.txt": "x\n",
        "plugins/CMakeLists.txt": "# the p plugin\nforeach(plugin p\n    q)\n  add_subdirectory(${plugin})\nendforeach()\n",
        "plugins/p/CMakeLists.txt": "\n", "plugins/p/p.cc": "\n", "plugins/q/CMakeLists.txt": "\n",
    }
    with checklib.sample_tree(good) as root:
        checklib.expect(violations(root))
    needs = good["CMakeLists.txt"] + "add_custom_target(t ALL DEPENDS ${CMAKE_SOURCE_DIR}/plugins/p/p.cc)\n"
    with checklib.sample_tree(good | {"CMakeLists.txt": needs}) as root:
        checklib.expect(violations(root), "without plugins/p the rest does not build",
                        "without plugins/p, plugins/q the rest does not build")
    stops = good["CMakeLists.txt"] + "if(NOT EXISTS ${CMAKE_SOURCE_DIR}/plugins/q)\n  message(FATAL_ERROR q)\nendif()\n"
    with checklib.sample_tree(good | {"CMakeLists.txt": stops}) as root:
        checklib.expect(violations(root), "without plugins/q the rest does not configure",
                        "without plugins/p, plugins/q the rest does not configure")


if __name__ == "__main__":
    checklib.run("removable", lambda arguments: violations(arguments.root), self_test)
