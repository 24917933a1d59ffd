"""slipway bench: that what it reports is whole, true to what moved, and leaves nothing behind. No speed is looked at."""
import json
import os
import pathlib
import re
import shutil
import signal
import subprocess
import unittest

from node_test import OK, TRANSFER, USAGE, NodeTest

# A round of little more than one turn of each measurement.
SHORT = ("--runs", 2, "--seconds", 0.001, "--sizes", "64,4KiB,1MiB")


class BenchTest(NodeTest):
    def bench(self, *words, **options):
        return self.cli.run("bench", *words, **options)

    def plain_config(self, *transports):
        return self.config("bench", *(transports or ("local-memcpy", "tcp")))


class Report(BenchTest):
    def setUp(self):
        super().setUp()
        self.page = self.folder / "report.html"
        self.reply = self.bench("--config", self.plain_config(), *SHORT, "--html", self.page)
        self.assertEqual(self.reply.status, OK, str(self.reply))

    def test_every_path_is_there_verified_and_compared(self):
        report = self.reply.json
        self.assertTrue(report["ok"])
        self.assertEqual(report["rounds"], 2)
        for fact in ("processor", "cores", "kernel", "congestion control", "transparent huge pages"):
            self.assertTrue(report["machine"][fact])
        own = [row for row in report["rows"] if row["who"] == "slipway"]
        # Where a machine lets processes reach each other's memory, that is a path as well.
        paths = {(path, operation) for operation in ("read", "write")
                 for path in ("local-memcpy, one process", "tcp, two processes, 1 stream",
                              "tcp, two processes, 4 streams")}
        shared = {("local-memcpy, two processes", operation) for operation in ("read", "write")}
        self.assertIn({(row["path"], row["operation"]) for row in own} - paths, (set(), shared))
        self.assertLessEqual(paths, {(row["path"], row["operation"]) for row in own})
        for row in own:
            self.assertTrue(row["verified"], row)
            self.assertEqual(len(row["runs_seconds"]), 2)
            self.assertLessEqual(row["seconds"]["low"], row["seconds"]["median"])
            self.assertLessEqual(row["seconds"]["median"], row["seconds"]["high"])
            self.assertAlmostEqual(row["bytes_per_second"]["high"] * row["seconds"]["low"] / row["bytes"], 1)
        shapes = {(row["shape"], row["count"]) for row in own if row["path"] == "tcp, two processes, 1 stream"}
        self.assertEqual(shapes, {("single", 1), ("batch", 1024), ("batch", 128), ("batch", 1000), ("scattered", 1000),
                                  ("stream", 8)})
        compared = {(row["medium"], ratio["to"].split(",")[0]) for row in own for ratio in row["times_as_fast_as"]}
        self.assertLessEqual({("memory", "memcpy"), ("tcp", "raw ping-pong"), ("tcp", "raw stream")}, compared)
        self.assertEqual(self.reply.err, "", "a pipe sees no progress")

    def test_a_ratio_is_that_of_the_rounds(self):
        rows = {(row["who"], row["operation"], row["bytes"], row["shape"]): row for row in self.reply.json["rows"]
                if row["medium"] == "tcp" and row["streams"] == 1}
        own, raw = rows["slipway", "read", 4096, "single"], rows["raw ping-pong", "read", 4096, "single"]
        (ratio,) = [r for r in own["times_as_fast_as"] if r["to"] == "raw ping-pong"]
        rounds = sorted(theirs / ours for ours, theirs in zip(own["runs_seconds"], raw["runs_seconds"]))
        self.assertAlmostEqual(ratio["low"] / rounds[0], 1)
        self.assertAlmostEqual(ratio["high"] / rounds[1], 1)

    def test_the_page_stands_alone(self):
        page = self.page.read_text(encoding="utf-8")
        self.assertNotRegex(page, r"(?i)https?://|//[a-z0-9.-]+\.[a-z]{2,}/|\bsrc=|<link|@import|url\(|fetch\(|XMLHttp")
        self.assertIn("default-src 'none'", page)
        (embedded,) = re.findall(r'<script type="application/json" id="report">(.*?)</script>', page, re.DOTALL)
        self.assertEqual(json.loads(embedded), self.reply.json)
        self.assertFalse(list(self.folder.glob("*.part")))


class Words(BenchTest):
    def test_a_person_gets_a_table(self):
        words = ["--config", self.plain_config("local-memcpy"), "--sizes", "4KiB", "--runs", "1", "--seconds", "0.001",
                 "--operations", "write"]
        text = subprocess.run([self.cli.program, "bench", *map(str, words)], env=self.cli.environment, text=True,
                              stdout=subprocess.PIPE, timeout=120, check=True).stdout
        self.assertRegex(text, r"(?m)^local-memcpy, one process$")
        self.assertRegex(text, r"(?m)^  write +4 KiB +one at a time +[0-9.]+ [MG]B/s +[0-9.]+ [nu]s +\d+% +[0-9.]+ x memcpy")

    def test_sizes_that_are_no_sizes_are_refused_before_anything_runs(self):
        for words in (("--sizes", "0"), ("--sizes", "4KiB,x"), ("--runs", 0), ("--operations", "copy")):
            self.assertEqual(self.bench(*words).status, USAGE)

    def test_a_transport_that_is_not_there_is_named(self):
        reply = self.bench("--config", self.plain_config("tcp"), "--transports", "carrier-pigeon")
        self.assertNotEqual(reply.status, OK)
        self.assertIn("carrier-pigeon", reply.json["error"]["message"])

    def test_a_page_that_cannot_be_written_is_an_error_and_the_numbers_are_not_lost(self):
        reply = self.bench("--config", self.plain_config("local-memcpy"), "--sizes", "64", "--runs", 1, "--seconds", 0.001,
                           "--html", self.folder / "no" / "page.html")
        first = json.loads(reply.out.splitlines()[0])
        self.assertTrue(first["rows"])
        self.assertNotEqual(reply.status, OK)
        self.assertIn("page.html", reply.err)

    def test_a_budget_ends_it_early(self):
        reply = self.bench("--config", self.plain_config("local-memcpy"), "--sizes", "64", "--runs", 1000, "--budget", 1)
        self.assertEqual(reply.status, OK)
        self.assertLess(reply.json["rounds"], 1000)


class Faults(BenchTest):
    @unittest.skipUnless(os.environ.get("SLIPWAY_TEST_MUTANT_DIR"), "broken transports are not built here")
    def test_a_transport_that_corrupts_is_found_out(self):
        # It reports the end of a long write and moves the bytes with the one after it.
        shutil.copy(pathlib.Path(os.environ["SLIPWAY_TEST_MUTANT_DIR"], "libslipway-data.visibility.so"),
                    self.folder / "libslipway-mutant.so")
        config = self.config("late", {"name": "good", "plugin": "mutant"}, plugin_path=[str(self.folder)])
        page = self.folder / "page.html"
        reply = self.bench("--config", config, "--sizes", "64KiB", "--runs", 1, "--seconds", 0.001, "--html", page)
        self.assertEqual(reply.status, TRANSFER, str(reply))
        report = json.loads(reply.out.splitlines()[0])
        self.assertFalse(report["ok"])
        wrong = [row for row in report["rows"] if row.get("failure", {}).get("wrong_data")]
        self.assertTrue(wrong)
        self.assertEqual({row["operation"] for row in wrong}, {"write"})
        self.assertFalse(any(row["verified"] for row in wrong))
        self.assertIn("WRONG DATA", reply.err)
        self.assertIn("WRONG DATA", page.read_text(encoding="utf-8"))

    def test_an_interrupt_ends_it_with_its_children(self):
        with self.start("bench", "--config", self.plain_config("tcp"), "--sizes", "1MiB", "--seconds", 600, "--progress",
                        "always") as process:
            self.wait_until_line(process, "round 1 of 5")
            pids = pathlib.Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text(encoding="ascii").split()
            self.assertEqual(len(pids), 3, "a target for either number of streams, and the raw sockets")
            process.send_signal(signal.SIGINT)
            self.assertEqual(process.wait(timeout=60), -signal.SIGINT)
            self.assertEqual(process.stdout.read(), "")
        for pid in pids:
            self.assertFalse(pathlib.Path("/proc", pid).exists())


if __name__ == "__main__":
    unittest.main(verbosity=2)
