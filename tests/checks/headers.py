"""Every header outside the tests and the Python package (whose headers need Python's) compiles alone, as C++20 with gcc
and clang; those of the C interfaces as C11 too.

One that its own source file includes before anything else is compiled alone by every build, and not once more here.
Include guards are named after the path, in the tests as well.
"""
import concurrent.futures
import os
import pathlib
import re
import shutil
import subprocess

import checklib

INCLUDE_FOLDERS = (".", "core/include", "sdk/include", "sdk/cpp")
FIRST_INCLUDE = re.compile(r'^[ \t]*#[ \t]*include[ \t]*["<]([^">]+)[">]', re.MULTILINE)
GUARD = re.compile(r"#ifndef (\w+)\n#define \1\n")
FLAGS = ("-fsyntax-only", "-Wall", "-Wextra", "-Werror", "-Wno-pragma-once-outside-header",
         "-Wno-missing-field-initializers")


def is_c_header(path):
    """The ABI and the C API are for C programs; other headers named .h are C++."""
    name = path.as_posix()
    return path.suffix == ".h" and name.startswith(("sdk/include/", "core/include/"))


def is_first_in_its_source(root, path):
    """The source file beside it, of the same name, begins with it."""
    source = path.with_suffix(".cc")
    if not (pathlib.Path(root) / source).is_file():
        return False
    first = FIRST_INCLUDE.search(checklib.strip_code(checklib.read(root, source), keep_strings=True))
    return bool(first) and first.group(1) == path.as_posix()


def compile_commands(path):
    name = path.as_posix()
    for compiler in ("gcc", "clang"):
        if not shutil.which(compiler):
            continue
        include = [flag for folder in INCLUDE_FOLDERS for flag in ("-I", folder)]
        yield [compiler, "-x", "c++", "-std=c++20", *FLAGS, *include, "-include", name, "/dev/null"]
        if is_c_header(path):
            yield [compiler, "-x", "c", "-std=c11", "-pedantic", *FLAGS, *include, "-include", name, "/dev/null"]


def compile_alone(root, path):
    for command in compile_commands(path):
        done = subprocess.run(command, cwd=root, capture_output=True, text=True, check=False)
        if done.returncode != 0:
            first = next((line for line in done.stderr.splitlines() if "error" in line), done.stderr.strip())
            return f"{path}: does not compile alone ({command[0]}, {command[3]}): {first}"
    return None


def expected_guard(path):
    """SLIPWAY_<PATH>_H_, the path as it is written in an #include."""
    name = path.as_posix()
    for folder in ("core/include/", "sdk/include/", "sdk/cpp/", "sdk/template-shm/"):
        name = name.removeprefix(folder)
    guard = re.sub(r"\W", "_", name).upper() + "_"
    return guard if guard.startswith("SLIPWAY_") else "SLIPWAY_" + guard


def violations(root):
    headers = [p for p in checklib.code_files(root, suffixes=(".h", ".hpp"))]
    found = []
    for path in headers:
        guard = GUARD.search(checklib.read(root, path))
        if not guard:
            found.append(f"{path}: no include guard; expected {expected_guard(path)}")
        elif guard.group(1) != expected_guard(path):
            found.append(f"{path}: guard {guard.group(1)}; expected {expected_guard(path)}")
    with concurrent.futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        alone = [p for p in headers if p.parts[0] != "tests" and p.parts[:2] != ("sdk", "python")
                 and not is_first_in_its_source(root, p)]
        found += filter(None, pool.map(lambda path: compile_alone(root, path), alone))
    return found


def self_test(_):
    def guarded(guard, text):
        return f"#ifndef {guard}\n#define {guard}\n{text}\n#endif\n"

    tree = {
        "core/base/good.h": guarded("SLIPWAY_CORE_BASE_GOOD_H_", "#include <string>\ninline std::string f();"),
        "sdk/include/slipway/abi/good.h": guarded("SLIPWAY_ABI_GOOD_H_", "#include <stdint.h>\ntypedef uint32_t t;"),
        "core/base/built.h": guarded("SLIPWAY_CORE_BASE_BUILT_H_", "std::string f();"),
        "core/base/built.cc": '// its own header first\n#include "core/base/built.h"\n#include <string>\n',
    }
    with checklib.sample_tree(tree) as root:
        checklib.expect(violations(root))
    tree |= {
        "core/base/leans.h": guarded("SLIPWAY_CORE_BASE_LEANS_H_", "std::string f();"),
        "core/base/leans.cc": '#include <string>\n#include "core/base/leans.h"\n',
        "sdk/include/slipway/abi/cxx.h": guarded("SLIPWAY_ABI_CXX_H_", "#include <stdint.h>\nusing t = uint32_t;"),
        "core/base/bare.h": "int f();\n",
        "core/base/other.h": guarded("SLIPWAY_OTHER_H_", ""),
    }
    with checklib.sample_tree(tree) as root:
        checklib.expect(violations(root), ("leans.h", "alone"), ("abi/cxx.h", "c11"), ("bare.h", "guard"),
                        ("other.h", "guard"))


if __name__ == "__main__":
    checklib.run("headers", lambda arguments: violations(arguments.root), self_test)
