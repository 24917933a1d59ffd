"""A transport over UCX, built against the installed package: moves a file between two processes and keeps the contract."""
import argparse
import json
import pathlib
import shutil
import subprocess
import sys
import unittest

HERE = pathlib.Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parents[1] / "package"))
from installed import COMPILERS, Installed  # noqa: E402

SKIPPED = 77  # CTest's word for a skip
# Within one machine; what UCX calls them. The second also uses shared memory and the kernel's copies.
TLS = ("tcp,self", "tcp,shm,self")


def why_not():
    if not shutil.which("pkg-config"):
        return "pkg-config is not installed"
    found = subprocess.run(["pkg-config", "--exists", "ucx"], check=False).returncode == 0
    return "" if found else "UCX is not installed (package libucx-dev)"


class Ucx(unittest.TestCase):
    build = None

    @classmethod
    def setUpClass(cls):
        cls.installed = Installed(cls.build)
        cls.addClassCleanup(cls.installed.close)
        cls.folder = cls.installed.copy_and_build(HERE / "plugin", "ucx", COMPILERS[0])

    def written(self, name, change):
        """A JSON file of the plugin's, changed."""
        path = self.folder / name
        content = json.loads(path.read_text(encoding="utf-8"))
        change(content)
        path.write_text(json.dumps(content), encoding="utf-8")

    def test_a_file_goes_there_and_back(self):
        for tls in TLS:
            with self.subTest(tls):
                self.written("config.json", lambda c, tls=tls: c["transports"][0]["options"].update(tls=tls))
                said = self.installed.push_and_pull(self.folder)
                self.assertEqual(said.count("over ucx"), 2, said)

    def test_it_keeps_the_contract(self):
        if not self.installed.conform:
            self.skipTest("slipway-conform was not built")
        for tls in TLS:
            with self.subTest(tls):
                self.written("profile.json", lambda p, tls=tls: p["config"].update(tls=tls))
                report = self.installed.run(self.installed.conform, "run", self.folder / "build/libslipway-ucx.so",
                                            "--profile", self.folder / "profile.json")
                print(tls, report.splitlines()[-1])

    def test_a_library_without_a_device_is_a_configuration_error(self):
        self.written("config.json", lambda c: c["transports"][0]["options"].update(tls="no-such-transport"))
        with self.assertRaisesRegex(AssertionError, "/tls"):
            self.installed.push_and_pull(self.folder)


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    arguments, rest = parser.parse_known_args()
    reason = why_not()
    if reason:
        print(f"skipped: {reason}")
        sys.exit(SKIPPED)
    Ucx.build = arguments.build
    unittest.main(argv=sys.argv[:1] + rest, verbosity=2)
