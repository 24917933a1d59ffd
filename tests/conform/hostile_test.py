"""slipway-conform itself, given what is no plugin or does its worst: in bounded time, with the right exit code, and with
a message that names the cause. And its other promises: profiles, waivers, reports, selections.
"""
import argparse
import contextlib
import json
import os
import pathlib
import subprocess
import sys
import tempfile
import time
import xml.etree.ElementTree

QUICK = {"limits": {"case_timeout_ms": 1500, "op_timeout_ms": 1000}}


class Checker:
    def __init__(self, arguments, folder):
        self.arguments, self.folder, self.wrong = arguments, pathlib.Path(folder), 0
        self.good = pathlib.Path(arguments.mutants) / "libslipway-good.so"

    def file(self, name, text):
        path = self.folder / name
        path.write_text(text if isinstance(text, str) else json.dumps(text), encoding="utf-8")
        return path

    def run(self, *words, seconds=60):
        start = time.monotonic()
        done = subprocess.run([self.arguments.runner, *map(str, words)], capture_output=True, text=True, timeout=300,
                              check=False, errors="replace")
        took = time.monotonic() - start
        if took > seconds:
            self.complain(words, f"took {took:.1f} s")
        return done

    def complain(self, words, why):
        self.wrong += 1
        print("WRONG", " ".join(map(str, words)), "\n  ", why)

    def expect(self, what, words, code, *texts, seconds=60):
        done = self.run(*words, seconds=seconds)
        said = done.stdout + done.stderr
        missing = [t for t in texts if t not in said]
        if done.returncode != code or missing:
            self.complain(words, f"{what}: exit {done.returncode}, expected {code}; not said: {missing}; said: {said[-600:]}")
        else:
            print(f"ok  {what}")
        return done


def hostile_plugins(check):
    profile = check.file("quick.json", QUICK)

    def refused(what, path, code, *texts, seconds=60):
        check.expect(what, ["run", path, "--profile", profile, "-j", "2"], code, *texts, seconds=seconds)

    hostile = pathlib.Path(check.arguments.hostile)
    # No case passes on what is no library.
    refused("a text file", check.file("libslipway-text.so", "hello"), 3, "not loadable: dlopen refuses the file",
            "; 6 fail, 2 warn, 64 skip;")
    refused("an empty file", check.file("libslipway-empty.so", ""), 3, "dlopen refuses the file")
    refused("no such file", check.folder / "libslipway-none.so", 3, "No such file")
    refused("a folder", check.folder, 3, "dlopen refuses")
    truncated = check.folder / "libslipway-truncated.so"
    truncated.write_bytes(check.good.read_bytes()[:5000])
    refused("half a library", truncated, 3, "not loadable")
    refused("no symbol", hostile / "libslipway-no-symbol.so", 3, "exports no slipway_plugin_v1")
    refused("a newer major", hostile / "libslipway-newer-major.so", 3, "ABI major 2", "checks major 1")
    refused("a wrong magic", hostile / "libslipway-wrong-magic.so", 3, "magic is 0x12345678")
    refused("a NULL entry", pathlib.Path(check.arguments.mutants) / "libslipway-abi.header.so", 3, "NULL: submit")
    refused("a crash in a constructor", hostile / "libslipway-crash-in-constructor.so", 3, "not loadable", "signal 6")
    refused("an exit in a constructor", hostile / "libslipway-exit-in-constructor.so", 3, "ended from inside")
    refused("a hang in a constructor", hostile / "libslipway-hang-in-constructor.so", 3, "still running", "still running:",
            seconds=90)
    refused("a hang in create", hostile / "libslipway-hang-in-create.so", 1, "no instance can be made", "timeout")
    refused("an exit in create", hostile / "libslipway-exit-in-create.so", 1, "must not call exit()")


def selections(check):
    check.expect("everything skipped", ["run", check.arguments.plugin, "--include", "mem.memlock-limit", "--include",
                                        "mem.max-mrs"], 5, "nothing ran")
    check.expect("no such case", ["run", check.good, "--include", "comp.nothing"], 2, "no case is called")
    check.expect("no plugin named", ["run"], 2)
    check.expect("no subcommand", [], 2)
    check.expect("no such mustpass list", ["run", check.good, "--mustpass", "9.9"], 2, "mustpass")
    check.expect("a glob", ["run", check.good, "--include", "reg.*", "--exclude", "reg.query-*"], 0, "9 pass")
    check.expect("the list", ["list"], 0, "comp.exactly-once")
    check.expect("a description", ["describe", check.good], 0, '"transports"')
    check.expect("in this process", ["run", check.good, "--include", "reg.roundtrip", "--in-process"], 0, "pass")


def profiles(check):
    good = check.good

    def with_profile(what, profile, code, *texts, include="reg.roundtrip"):
        path = check.file("profile.json", profile)
        return check.expect(what, ["run", good, "--profile", path, "--include", include], code, *texts)

    with_profile("a profile that is not JSON", "{", 2, "not JSON")
    with_profile("an unknown key", {"configuration": {}}, 2, "/configuration")
    with_profile("an unknown limit", {"limits": {"patience": 1}}, 2, "/limits/patience")
    with_profile("an unknown capability", {"claims": {"caps": ["MAGIC"]}}, 2, "/claims/caps")
    with_profile("claims that differ", {"claims": {"caps": ["READ", "CROSS_HOST"]}}, 1, "claimed and not offered: CROSS_HOST",
                 "offered and not claimed", include="profile.claims")
    with_profile("a configuration that is refused", {"config": {"no": 1}}, 1, "no instance can be made")
    with_profile("no such transport", {"transport": "other"}, 3, "no transport")
    waiver = {"case": "reg.roundtrip", "issue": "BUG-1", "expires": "2999-01-01", "plugin_version": "1.0"}
    with_profile("a waiver of what passes", {"waivers": [waiver]}, 1, "xpass", "BUG-1")
    with_profile("a waiver without an issue", {"waivers": [{"case": "x"}]}, 2, "/waivers/0/issue")

    mutant = pathlib.Path(check.arguments.mutants) / "libslipway-reg.partial-tail.so"
    for what, change, code, text in [("a waiver", {}, 0, "xfail"), ("an expired waiver", {"expires": "2020-01-01"}, 1, "expired"),
                                     ("another version's waiver", {"plugin_version": "0.9"}, 1, "plugin version 0.9")]:
        path = check.file("waiver.json", {"waivers": [{**waiver, "case": "reg.partial-tail", **change}]})
        check.expect(what, ["run", mutant, "--profile", path, "--include", "reg.partial-tail"], code, text, "waived: reg.partial-tail")


def reports(check):
    mutant = pathlib.Path(check.arguments.mutants) / "libslipway-fail.cancel-unknown.so"
    paths = {kind: check.folder / f"report.{kind}" for kind in ("json", "junit", "tap", "html")}
    words = ["run", mutant, "--include", "fail.*", "--seed", "7"]
    for kind, path in paths.items():
        words += [f"--{kind}", path]
    check.expect("reports", words, 1, "alone: slipway-conform run", "crash")
    report = json.loads(paths["json"].read_text())
    result = next(r for r in report["results"] if r["id"] == "fail.cancel-unknown")
    for key in ("repro", "reason", "stacks", "seed", "signal"):
        if key not in result:
            check.complain(words, f"the report in JSON has no {key} for a crash")
    for key in ("sha256", "abi", "name"):
        if key not in report["plugin"]:
            check.complain(words, f"the report in JSON does not know the plugin's {key}")
    if "kernel" not in report["host"] or report["seed"] != 7 or report["exit_code"] != 1:
        check.complain(words, "the report in JSON lacks the kernel, the seed or the exit code")
    suite = xml.etree.ElementTree.parse(paths["junit"]).getroot()[0]
    if suite.get("failures") != "1" or len(suite) != len(report["results"]):
        check.complain(words, "the report in JUnit is wrong")
    tap = paths["tap"].read_text().splitlines()
    points = [line for line in tap if line.startswith(("ok ", "not ok "))]
    if tap[0] != "TAP version 14" or tap[1] != f"1..{len(points)}" or len(points) != len(report["results"]) or \
            sum(line.startswith("not ok") for line in points) != 1 or "  ..." not in tap:
        check.complain(words, "the report in TAP is wrong")
    page = paths["html"].read_text()
    if "prefers-color-scheme:dark" not in page or "http" in page.replace("http://www", ""):
        check.complain(words, "the page is not self-contained, or has no dark side")
    check.expect("repro", ["repro", paths["json"], "fail.cancel-unknown"], 1, "crash", "seed 7")
    check.expect("repro of nothing", ["repro", paths["json"], "reg.roundtrip"], 2, "no result of")
    check.expect("strict", ["run", pathlib.Path(check.arguments.mutants) / "libslipway-load.exports-only-entry.so", "--include",
                            "load.*", "--strict"], 1, "warn")
    check.expect("a warning", ["run", pathlib.Path(check.arguments.mutants) / "libslipway-load.exports-only-entry.so", "--include",
                               "load.*"], 0, "warn")
    check.expect("fuzz", ["fuzz", check.good, "--seconds", "1"], 0, "no finding")
    check.expect("fuzz finds", ["fuzz", pathlib.Path(check.arguments.mutants) / "libslipway-cfg.fuzz.so", "--seconds", "1",
                                "--target", "config"], 1, "--seed")


def no_strangers(check):
    """It stands alone: no file of this project is needed."""
    needed = subprocess.run(["ldd", check.arguments.runner], capture_output=True, text=True, check=False).stdout
    if "slipway" in needed:
        check.complain(["ldd"], needed)
    with contextlib.suppress(FileNotFoundError):
        alone = check.folder / "alone"
        os.mkdir(alone)
        copy = alone / "conform"
        copy.write_bytes(pathlib.Path(check.arguments.runner).read_bytes())
        copy.chmod(0o755)
        done = subprocess.run([copy, "run", check.good, "--include", "comp.exactly-once"], capture_output=True, text=True,
                              env={}, cwd="/", check=False)
        if done.returncode != 0:
            check.complain([copy], done.stdout + done.stderr)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", required=True)
    parser.add_argument("--mutants", required=True)
    parser.add_argument("--hostile", required=True)
    parser.add_argument("--plugin", required=True, help="one that neither pins nor crosses processes")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory(prefix="slipway-conform-") as folder:
        check = Checker(arguments, folder)
        for part in (hostile_plugins, selections, profiles, reports, no_strangers):
            part(check)
    print(f"{check.wrong} wrong" if check.wrong else "all as promised")
    return 1 if check.wrong else 0


if __name__ == "__main__":
    sys.exit(main())
