"""Every case of slipway-conform passes on a plugin that keeps the contract and fails on the mutant that breaks it there.

A case without a mutant, or with one that it does not notice, is a failure: a check that cannot fail checks nothing. The
templates of the SDK pass all that applies to them; a case that applies to neither is one that a transport has to claim.
"""
import argparse
import concurrent.futures
import json
import pathlib
import subprocess
import sys
import tempfile
import time

HERE = pathlib.Path(__file__).resolve().parent
FAILED = {"fail", "crash", "timeout", "warn"}  # warn: of the cases of level W


def conform(arguments, *words):
    """Runs slipway-conform; its exit code and its report."""
    with tempfile.NamedTemporaryFile(suffix=".json") as report:
        command = [arguments.runner, "run", *map(str, words), "--quiet", "--json", report.name]
        done = subprocess.run(command, capture_output=True, text=True, timeout=300, check=False)
        text = pathlib.Path(report.name).read_text(encoding="utf-8")
        if not text:
            raise RuntimeError(f"{' '.join(command)}: exit {done.returncode}, {done.stderr}")
        return done.returncode, json.loads(text)


def profile_of(case):
    return HERE / "profiles" / ("good-provider.json" if case.startswith("prov.") else "good.json")


def plugin(arguments, name):
    return pathlib.Path(arguments.mutants) / f"libslipway-{name}.so"


def cases(arguments):
    listed = subprocess.run([arguments.runner, "list"], capture_output=True, text=True, check=True).stdout
    return [(line.split()[1], line.split()[0]) for line in listed.splitlines()]


def on_good(arguments):
    """The status of every case on the good transport and the good provider."""
    found = {}
    for name in ("good", "good-provider"):
        profile = HERE / "profiles" / f"{name}.json"
        code, report = conform(arguments, plugin(arguments, name), "--profile", profile, "-j", arguments.jobs, "--strict")
        if code != 0:
            print(f"{name}: exit code {code}, expected 0")
        for result in report["results"]:
            if name == "good" or result["id"].startswith("prov."):
                found[result["id"]] = (result["status"], result["reason"])
    return found


def on_templates(arguments):
    """How every case went on the templates: fail where any failed, pass where any passed, else skip."""
    found = {}
    for path, profile in arguments.template:
        code, report = conform(arguments, path, "--profile", profile, "-j", arguments.jobs, "--strict")
        if code != 0:
            print(f"{path}: exit code {code}, expected 0")
        for result in report["results"]:
            found.setdefault(result["id"], []).append((result["status"], f"{pathlib.Path(path).name}: {result['reason']}"))
    rank = {"pass": 1, "skip": 2}  # anything else comes first
    return {case: min(results, key=lambda r: rank.get(r[0], 0)) for case, results in found.items()}


def on_mutant(arguments, case):
    path = plugin(arguments, case)
    if not path.exists():
        return "no mutant", "", 0
    code, report = conform(arguments, path, "--profile", profile_of(case), "--include", case, "--strict")
    result = next((r for r in report["results"] if r["id"] == case), None)
    if result is None:
        return "not run", "", code
    return result["status"], result["reason"], code


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--runner", required=True, help="slipway-conform")
    parser.add_argument("--mutants", required=True, help="folder of the mutants")
    parser.add_argument("--template", nargs=2, action="append", default=[], metavar=("PLUGIN", "PROFILE"))
    parser.add_argument("--jobs", type=int, default=2)
    arguments = parser.parse_args()
    start = time.monotonic()
    good = on_good(arguments)
    templates = on_templates(arguments)
    wrong = []
    listed = cases(arguments)
    with concurrent.futures.ThreadPoolExecutor(arguments.jobs) as pool:
        broken = list(pool.map(lambda case: on_mutant(arguments, case[0]), listed))
    print(f"{'case':34} {'good':8} {'template':8} {'mutant':8} why")
    for (case, level), (status, reason, code) in zip(listed, broken):
        on_good_one = good.get(case, ("not run", ""))
        template = templates.get(case, ("skip", "not run"))
        complaints = []
        claimed = level == "C" or case.startswith("prov.")
        if template[0] != "pass" and not (template[0] == "skip" and (claimed or not arguments.template)):
            complaints.append(f"{template[0]} on the templates: {template[1]}")
        if on_good_one[0] != "pass":
            complaints.append(f"fails on the good plugin: {on_good_one[1]}")
        if status not in FAILED:
            complaints.append("does not notice its mutant")
        elif code not in (1, 3):
            complaints.append(f"notices its mutant, and the exit code is {code}")
        print(f"{case:34} {on_good_one[0]:8} {template[0]:8} {status:8} {reason[:150]}")
        wrong += [f"{case}: {c}" for c in complaints]
    print(f"{len(listed)} cases in {time.monotonic() - start:.1f} s")
    for line in wrong:
        print("WRONG", line)
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
