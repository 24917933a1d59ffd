"""The templates of the SDK, built and held to the contract as their READMEs say."""
import argparse
import re
import sys
import unittest

from installed import COMPILERS, Installed

FENCED = re.compile(r"^```\n(.*?)^```$", re.MULTILINE | re.DOTALL)


class Templates(unittest.TestCase):
    build = None

    @classmethod
    def setUpClass(cls):
        cls.installed = Installed(cls.build)
        cls.addClassCleanup(cls.installed.close)

    @property
    def sources(self):
        """Where the templates were installed."""
        return self.installed.prefix / "share/slipway"

    def made(self, template, compilers):
        return self.installed.copy_and_build(self.sources / template, f"{template}-{compilers[0]}", compilers)

    def hold(self, folder, plugin):
        """Loads the plugin, and runs the conformance cases where there is a runner."""
        run = self.installed.run
        self.assertRegex(run(self.installed.slipway, "plugins", "--plugin-path", folder / "build"), rf"{plugin} +ok")
        if not self.installed.conform:
            print(f"{plugin}: slipway-conform was not built, so it was not run")
            return
        report = run(self.installed.conform, "run", folder / f"build/libslipway-{plugin}.so", "--profile",
                     folder / "profile.json", "--strict", cwd=folder)
        print(report.splitlines()[-1])

    def followed(self, template):
        """What a person sees who types the commands of the template's README, in a home of their own."""
        home = self.installed.folder / f"{template}-home"
        home.mkdir()
        blocks = FENCED.findall((self.sources / template / "README.md").read_text(encoding="utf-8"))
        lines = "".join(blocks).replace("/where/slipway/is/installed", str(self.installed.prefix)).splitlines()
        if not self.installed.conform:
            lines = [line for line in lines if not line.startswith(("slipway-conform", "ctest"))]
        said = self.installed.run("sh", "-e", "-c", "\n".join(lines), cwd=home, HOME=str(home), CMAKE_GENERATOR="Ninja")
        if self.installed.conform:
            self.assertRegex(said, r"(?m)^conforms; \d+ pass")
            self.assertIn("100% tests passed", said)
        return said

    def test_one_process(self):
        for compilers in COMPILERS:
            with self.subTest(compilers[0]):
                folder = self.made("template", compilers)
                self.hold(folder, "sample-copy")
                self.installed.run(self.installed.slipway, "copy", "copy.cc", "copied", "--via", "sample-copy",
                                   "--plugin-path", "build", cwd=folder)
                self.assertEqual((folder / "copied").read_bytes(), (folder / "copy.cc").read_bytes())

    def test_two_processes(self):
        for compilers in COMPILERS:
            with self.subTest(compilers[0]):
                folder = self.made("template-shm", compilers)
                self.hold(folder, "sample-shm")
                said = self.installed.push_and_pull(folder)
                self.assertEqual(said.count("over sample-shm"), 2, said)

    def test_plain_c(self):
        for compilers in COMPILERS:
            with self.subTest(compilers[0]):
                self.hold(self.made("template-c", compilers), "sample-loopback")

    def test_the_readmes_can_be_followed(self):
        for template, plugin in (("template", "sample-copy"), ("template-shm", "sample-shm"),
                                 ("template-c", "sample-loopback")):
            with self.subTest(template):
                said = self.followed(template)
                self.assertRegex(said, rf"(?m)^{plugin} +ok +1\.0\.0 ")
                if template == "template-shm":
                    self.assertIn("over sample-shm", said)

    def test_conformance_cases_are_tests(self):
        folder = self.installed.copy_and_build(self.sources / "template-c", "as-tests", COMPILERS[0])
        listed = self.installed.run("ctest", "--test-dir", folder / "build", "-N")
        if not self.installed.conform:
            self.assertIn("conform.sample-loopback", listed)
            return
        self.assertIn("conform.sample-loopback.data.sizes", listed)
        said = self.installed.run("ctest", "--test-dir", folder / "build", "-R", "reg.roundtrip|cancel-inflight")
        self.assertRegex(said, r"reg\.roundtrip .*Passed")
        self.assertRegex(said, r"cancel-inflight .*Skipped")

    def test_a_plugin_that_breaks_the_contract_fails_the_tests(self):
        if not self.installed.conform:
            self.skipTest("slipway-conform was not built")
        broken = self.installed.folder / "broken-source"
        self.copied(broken)
        channel = broken / "channel.c"
        text = channel.read_text(encoding="utf-8")
        self.assertIn("s->flags != 0 ||", text)
        channel.write_text(text.replace("s->flags != 0 ||", ""), encoding="utf-8")
        folder = self.installed.copy_and_build(broken, "broken", COMPILERS[0])
        with self.assertRaisesRegex(AssertionError, r"comp\.unknown-flag .*Failed"):
            self.installed.run("ctest", "--test-dir", folder / "build", "-R", "unknown-flag")

    def copied(self, target):
        target.mkdir()
        for path in (self.sources / "template-c").iterdir():
            (target / path.name).write_bytes(path.read_bytes())


if __name__ == "__main__":
    parser = argparse.ArgumentParser()
    parser.add_argument("--build", required=True)
    arguments, rest = parser.parse_known_args()
    Templates.build = arguments.build
    unittest.main(argv=sys.argv[:1] + rest, verbosity=2)
