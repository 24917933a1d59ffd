"""Files to a serving process and back over TCP, and between two engines of one process: the bytes are the same."""
import unittest

from node_test import FILE, LARGE_BYTES, MEBI, SEGMENT, USAGE, NodeTest, digest


class LargeTransfer(NodeTest):
    def test_a_large_file_goes_out_over_tcp_and_comes_back(self):
        source = self.random_file("source", LARGE_BYTES)
        server, client = self.config("server"), self.config("client")
        with self.cli.serve(server, f"box={LARGE_BYTES}") as (_, urls):
            pushed = self.cli.must("push", source, urls["box"], "--config", client)
            pulled = self.cli.must("pull", urls["box"], self.folder / "returned", "--config", client)
        for report in (pushed, pulled):
            self.assertEqual(report["bytes"], LARGE_BYTES)
            self.assertEqual(report["transport"], "tcp")
            self.assertEqual(report["staged_slices"], 0, "TCP reaches all host memory: nothing needs staging")
        self.assertEqual(digest(self.folder / "returned"), digest(source))

    def test_a_large_file_is_copied_between_two_engines_of_one_process(self):
        source = self.random_file("source", LARGE_BYTES)
        for words in ([], ["--read"]):
            copied = self.cli.must("copy", source, self.folder / "copied", "--via", "local-memcpy", *words)
            self.assertEqual((copied["bytes"], copied["transport"]), (LARGE_BYTES, "local-memcpy"))
            self.assertEqual(digest(self.folder / "copied"), digest(source))


class TwoProcessesOfOneHost(NodeTest):
    SIZE = 5 * MEBI + 77

    def test_memory_that_the_server_allocated_is_copied_to_directly(self):
        source = self.random_file("source", self.SIZE)
        server, client = self.config("server", "local-memcpy", "tcp"), self.config("client", "local-memcpy", "tcp")
        with self.cli.serve(server, f"box={self.SIZE}") as (_, urls):
            pushed = self.cli.must("push", source, urls["box"], "--config", client)
            pulled = self.cli.must("pull", urls["box"], self.folder / "returned", "--config", client)
        self.assertEqual((pushed["transport"], pulled["transport"]), ("local-memcpy", "local-memcpy"))
        self.assertEqual(digest(self.folder / "returned"), digest(source))

    def test_where_it_is_switched_off_the_next_transport_serves(self):
        source = self.random_file("source", self.SIZE)
        alone = {"name": "local-memcpy", "options": {"cross_process": False}}
        with self.cli.serve(self.config("server", "local-memcpy", "tcp"), f"box={self.SIZE}") as (_, urls):
            pushed = self.cli.must("push", source, urls["box"], "--config", self.config("client", alone, "tcp"))
        self.assertEqual(pushed["transport"], "tcp")


class Slices(NodeTest):
    SIZE = 24 * MEBI + 4099

    def test_every_slice_size_at_odd_offsets_gives_the_same_bytes(self):
        source = self.random_file("source", self.SIZE)
        server = self.config("server")
        room = self.SIZE + MEBI
        with self.cli.serve(server, f"box={room}") as (_, urls):
            for slice_bytes, offset in (("64KiB", 1), ("256KiB", 4095), ("1MiB", 77777), ("16MiB", 3)):
                client = self.config("client", transfer={"slice_bytes": slice_bytes})
                pushed = self.cli.must("push", source, urls["box"], "--config", client, "--offset", offset)
                self.assertGreaterEqual(pushed["slices"], 2)
                pulled = self.cli.must("pull", urls["box"], self.folder / "returned", "--config", client, "--offset",
                                       offset, "--length", self.SIZE)
                self.assertEqual(pulled["bytes"], self.SIZE)
                self.assertEqual(digest(self.folder / "returned"), digest(source), f"{slice_bytes} at {offset}")

    def test_smaller_slices_are_more_slices(self):
        source = self.random_file("source", 8 * MEBI)
        counts = []
        with self.cli.serve(self.config("server"), f"box={8 * MEBI}") as (_, urls):
            for slice_bytes in ("64KiB", "512KiB"):
                client = self.config("client", transfer={"slice_bytes": slice_bytes})
                counts.append(self.cli.must("push", source, urls["box"], "--config", client)["slices"])
        self.assertEqual(counts, [128, 16])

    def test_bytes_around_a_written_range_stay_as_they_were(self):
        before = self.random_file("before", 300_000, seed=2)
        patch = self.random_file("patch", 100_001, seed=3)
        client = self.config("client")
        with self.cli.serve(self.config("server"), "box=300000") as (_, urls):
            self.cli.must("push", before, urls["box"], "--config", client)
            self.cli.must("push", patch, urls["box"], "--config", client, "--offset", 99_999)
            self.cli.must("pull", urls["box"], self.folder / "after", "--config", client)
        expected = bytearray(before.read_bytes())
        expected[99_999:200_000] = patch.read_bytes()
        self.assertEqual((self.folder / "after").read_bytes(), bytes(expected))


class FilesAsSegments(NodeTest):
    def test_a_served_file_takes_what_is_pushed(self):
        source = self.random_file("source", 3 * MEBI + 7)
        target = self.sparse_file("target", 3 * MEBI + 7)
        with self.cli.serve(self.config("server"), f"file={target}:rw") as (_, urls):
            self.cli.must("push", source, urls["file"], "--config", self.config("client"))
        self.assertEqual(digest(target), digest(source))

    def test_a_file_served_without_rw_cannot_be_written(self):
        source = self.random_file("source", 5000)
        served = self.random_file("served", 5000, seed=2)
        before = digest(served)
        with self.cli.serve(self.config("server"), f"file={served}") as (_, urls):
            reply = self.cli.run("push", source, urls["file"], "--config", self.config("client"))
            self.assertNotEqual(reply.status, 0)
            self.assertIn(reply.json["error"]["status"], ("E_SEGMENT_ACCESS", "E_ACCESS"), str(reply))
        self.assertEqual(digest(served), before)

    def test_an_empty_file_is_pushed_and_an_empty_range_is_pulled(self):
        empty = self.random_file("empty", 0)
        client = self.config("client")
        with self.cli.serve(self.config("server"), "box=4096") as (_, urls):
            self.assertEqual(self.cli.must("push", empty, urls["box"], "--config", client)["bytes"], 0)
            pulled = self.folder / "pulled"
            self.assertEqual(self.cli.must("pull", urls["box"], pulled, "--config", client, "--length", 0)["bytes"], 0)
        self.assertEqual(pulled.stat().st_size, 0)
        self.assertEqual(self.cli.must("copy", empty, self.folder / "copied")["bytes"], 0)
        self.assertEqual((self.folder / "copied").stat().st_size, 0)

    def test_a_file_longer_than_the_segment_is_refused_before_any_byte_moves(self):
        source = self.random_file("source", 5000)
        client = self.config("client")
        with self.cli.serve(self.config("server"), "box=4999") as (_, urls):
            reply = self.cli.run("push", source, urls["box"], "--config", client)
            self.assert_fails(reply, SEGMENT, "E_SEGMENT_RANGE", "5000", "4999", "nothing was moved")
            reply = self.cli.run("push", source, urls["box"], "--config", client, "--offset", 2**63)
            self.assert_fails(reply, SEGMENT, "E_SEGMENT_RANGE")
            self.cli.must("pull", urls["box"], self.folder / "after", "--config", client)
        self.assertEqual((self.folder / "after").read_bytes(), bytes(4999))

    def test_a_failed_pull_leaves_the_old_file_and_no_other(self):
        old = self.random_file("old", 1000)
        before = digest(old)
        client = self.config("client")
        with self.cli.serve(self.config("server"), "box=4096") as (_, urls):
            reply = self.cli.run("pull", urls["box"], old, "--config", client, "--length", 4097)
            self.assert_fails(reply, SEGMENT, "E_SEGMENT_RANGE", "4097")
            reply = self.cli.run("pull", urls["box"], self.folder / "nowhere" / "x", "--config", client)
            self.assert_fails(reply, FILE, "E_IO", "nowhere")
        self.assertEqual(digest(old), before)
        self.assert_folder_holds("old", "client.json", "server.json")

    def test_what_is_not_a_file_and_not_a_size_is_refused(self):
        reply = self.cli.run("push", self.folder, "127.0.0.1:1/box")
        self.assert_fails(reply, FILE, "E_IO", "not a regular file")
        reply = self.cli.run("serve", "--segment", "box=0")
        self.assert_fails(reply, USAGE, "E_INVALID", "at least one byte")
        self.assertEqual(self.cli.run("pull", "127.0.0.1:1/box", "x", "--length", "many").status, USAGE)


if __name__ == "__main__":
    unittest.main(verbosity=2)
