"""Installs a build into a folder of its own, moves that folder, and builds clients and a plugin against it alone."""
import argparse
import os
import pathlib
import re
import shutil
import subprocess
import sys
import tempfile
import unittest

ROOT = pathlib.Path(__file__).resolve().parents[2]
COMPILERS = (("gcc", "g++"), ("clang", "clang++"))

CLIENT_C = r"""
#include <slipway/engine.h>
#include <stdio.h>
#include <string.h>

int main(void) {
  const char config[] = "{\"transports\": [{\"name\": \"local-memcpy\", \"required\": true}]}";
  slipway_failure why = {.struct_size = sizeof(why)};
  slipway_engine *engine = NULL;
  char box[1000], note[1000];
  memset(box, 0, sizeof(box));
  memset(note, 7, sizeof(note));
  const slipway_span span = {box, sizeof(box)};
  slipway_segment *segment = NULL;
  slipway_batch *batch = NULL;
  if (slipway_engine_create_from_json(config, strlen(config), &engine, &why) ||
      slipway_segment_publish(engine, "box", &span, 1, SLIPWAY_ACCESS_REMOTE_READ | SLIPWAY_ACCESS_REMOTE_WRITE, &why) ||
      slipway_segment_open(engine, "/box", SLIPWAY_NO_TIMEOUT, &segment, &why)) {
    fprintf(stderr, "%s: %s\n", slipway_status_name(why.code), why.message);
    return 1;
  }
  slipway_request request = {SLIPWAY_REQUEST_WRITE, 0, note, sizeof(note), segment, 0, 0};
  if (slipway_submit(engine, &request, 1, NULL, &batch, &why) || slipway_batch_wait(batch, SLIPWAY_NO_TIMEOUT)) return 1;
  slipway_batch_release(batch);
  slipway_segment_close(segment);
  slipway_engine_destroy(engine);
  printf("moved with %s\n", slipway_version());
  return memcmp(box, note, sizeof(box)) != 0;
}
"""

CMAKE_CLIENT = """
cmake_minimum_required(VERSION 3.22)
project(client LANGUAGES C CXX)
set(CMAKE_CXX_STANDARD 20)
set(CMAKE_C_STANDARD 11)
find_package(Slipway 1.0 REQUIRED)
if(NOT EXISTS ${Slipway_PLUGIN_DIR}/libslipway-tcp.so)
  message(FATAL_ERROR "Slipway_PLUGIN_DIR is ${Slipway_PLUGIN_DIR}")
endif()
foreach(name client_c example_c)
  add_executable(${name} ${name}.c)
  target_link_libraries(${name} PRIVATE Slipway::slipway)
endforeach()
foreach(name example_cpp store_cpp)
  add_executable(${name} ${name}.cc)
  target_link_libraries(${name} PRIVATE Slipway::slipway)
endforeach()
slipway_add_plugin(stub SOURCES stub.c)
"""

PLUGIN_C = r"""
#include <slipway/abi/plugin.h>
const slipway_plugin slipway_plugin_v1 = {
    SLIPWAY_ABI_MAGIC, sizeof(slipway_plugin), SLIPWAY_ABI_MAJOR, SLIPWAY_ABI_MINOR, 8 * sizeof(void *),
    "stub", "1.0.0", "", 0, 0};
"""

FLAGS = ["-Wall", "-Wextra", "-Werror", "-Wno-missing-field-initializers"]


def readme_examples(language):
    """The blocks of that language in the top README: whole programs."""
    return re.findall(rf"```{language}\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)


class Package(unittest.TestCase):
    build = None

    @classmethod
    def setUpClass(cls):
        cls.temporary = tempfile.TemporaryDirectory(prefix="slipway-package-")
        cls.addClassCleanup(cls.temporary.cleanup)
        cls.folder = pathlib.Path(cls.temporary.name)
        cls.run_command("cmake", "--install", cls.build, "--prefix", cls.folder / "first", "--strip")
        # Nothing may remember where it was installed.
        cls.prefix = cls.folder / "moved"
        (cls.folder / "first").rename(cls.prefix)
        cls.sources = cls.folder / "sources"
        cls.sources.mkdir()
        engine_cpp, store_cpp = readme_examples("cpp")
        for name, text in (("client_c.c", CLIENT_C), ("example_c.c", readme_examples("c")[0]), ("stub.c", PLUGIN_C),
                           ("example_cpp.cc", engine_cpp), ("store_cpp.cc", store_cpp),
                           ("CMakeLists.txt", CMAKE_CLIENT)):
            (cls.sources / name).write_text(text, encoding="utf-8")

    @classmethod
    def run_command(cls, *command, **environment):
        kept = {k: v for k, v in os.environ.items() if not k.startswith(("SLIPWAY_", "MC_STORE_"))}
        done = subprocess.run([str(c) for c in command], cwd=cls.folder, capture_output=True, text=True, check=False,
                              env=kept | environment)
        if done.returncode != 0:
            raise AssertionError(f"{' '.join(map(str, command))}\n{done.stdout}\n{done.stderr}")
        return done.stdout

    def library(self):
        return next(self.prefix.rglob("libslipway.so"))

    def run_clients(self, folder, environment):
        self.assertIn("moved with", self.run_command(folder / "client_c", **environment))
        self.run_command(folder / "example_c", **environment)
        self.run_command(folder / "example_cpp", **environment)
        self.run_command(folder / "store_cpp", **environment)

    def test_find_package(self):
        for c, cxx in COMPILERS:
            if not shutil.which(cxx):
                continue
            with self.subTest(c):
                out = self.folder / f"cmake-{c}"
                self.run_command("cmake", "-G", "Ninja", "-S", self.sources, "-B", out, f"-DCMAKE_C_COMPILER={c}",
                                 f"-DCMAKE_CXX_COMPILER={cxx}", f"-DCMAKE_PREFIX_PATH={self.prefix}")
                self.run_command("ninja", "-C", out)
                self.run_clients(out, {})
                self.assertIn("stub", self.run_command(self.prefix / "bin/slipway", "plugins", "--plugin-path", out))

    def test_pkg_config(self):
        path = {"PKG_CONFIG_PATH": str(self.library().parent / "pkgconfig")}
        flags = self.run_command("pkg-config", "--cflags", "--libs", "slipway", **path).split()
        self.assertNotIn(str(self.folder / "first"), " ".join(flags))
        for c, cxx in COMPILERS:
            if not shutil.which(cxx):
                continue
            with self.subTest(c):
                out = self.folder / f"pkg-config-{c}"
                out.mkdir()
                for name in ("client_c", "example_c"):
                    self.run_command(c, "-std=c11", *FLAGS, self.sources / f"{name}.c", "-o", out / name, *flags)
                for name in ("example_cpp", "store_cpp"):
                    self.run_command(cxx, "-std=c++20", *FLAGS, self.sources / f"{name}.cc", "-o", out / name, *flags)
                self.run_clients(out, {"LD_LIBRARY_PATH": str(self.library().parent)})

    def test_pkg_config_for_plugins(self):
        path = {"PKG_CONFIG_PATH": str(self.library().parent / "pkgconfig")}
        flags = self.run_command("pkg-config", "--cflags", "slipway-sdk", **path).split()
        out = self.folder / "libslipway-stub.so"
        self.run_command("gcc", "-std=c11", "-shared", "-fPIC", *FLAGS, self.sources / "stub.c", "-o", out, *flags)
        self.assertTrue(out.is_file())

    def test_another_major_version_is_not_taken(self):
        text = CMAKE_CLIENT.replace("Slipway 1.0", "Slipway 2.0")
        folder = self.folder / "other-major"
        shutil.copytree(self.sources, folder)
        (folder / "CMakeLists.txt").write_text(text, encoding="utf-8")
        with self.assertRaisesRegex(AssertionError, "version"):
            self.run_command("cmake", "-G", "Ninja", "-S", folder, "-B", folder / "build",
                             f"-DCMAKE_PREFIX_PATH={self.prefix}")

    def test_the_installed_program_finds_its_library_and_plugins(self):
        program = self.prefix / "bin/slipway"
        listed = self.run_command(program, "plugins", "--json")
        for name in ("tcp", "local-memcpy"):
            self.assertIn(f'"name": "{name}"', listed)
        self.assertNotIn("crashed", listed)
        source = self.folder / "source"
        source.write_bytes(os.urandom(300_000))
        self.run_command(program, "copy", source, self.folder / "copied")
        self.assertEqual((self.folder / "copied").read_bytes(), source.read_bytes())

    def test_the_library_has_a_soname_and_only_public_headers_are_there(self):
        dynamic = self.run_command("readelf", "-d", self.library())
        self.assertRegex(dynamic, r"SONAME.*libslipway\.so\.\d")
        self.assertNotRegex(dynamic, "R(UN)?PATH")
        top = {p.relative_to(self.prefix / "include").as_posix().split("/")[0]
               for p in (self.prefix / "include").rglob("*") if p.is_file()}
        self.assertEqual(top, {"slipway"})


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    arguments, rest = parser.parse_known_args()
    Package.build = arguments.build
    unittest.main(argv=sys.argv[:1] + rest, verbosity=2)
