"""The store from the command line: one process hosts it, others put, get, list and remove."""
import struct
import unittest

from node_test import FILE, OK, SEGMENT, TRANSFER, UNREACHABLE, USAGE, NodeTest, digest


class Objects(NodeTest):
    def serve_store(self, **more):
        config = self.config("server", store={"segments": [{"name": "main", "bytes": "64MiB"}]}, **more)
        return self.cli.serve(config, "box=4096")

    @staticmethod
    def node(urls):
        return urls["box"].split("/")[0]

    def test_a_file_is_stored_listed_read_and_removed(self):
        source = self.random_file("source", 5_000_001)
        client = ("--config", self.config("client"))
        with self.serve_store() as (_, urls):
            url = f"{self.node(urls)}/models/a b/weights"
            self.assertEqual(self.cli.must("put", source, url, *client)["bytes"], 5_000_001)
            self.assertEqual(self.cli.must("stat", url, *client)["bytes"], 5_000_001)
            listed = self.cli.must("ls", f"{self.node(urls)}/models", *client)
            self.assertEqual((listed["key"], listed["bytes"]), ("models/a b/weights", 5_000_001))
            self.assertEqual(self.cli.must("get", url, self.folder / "back", *client)["bytes"], 5_000_001)
            self.assertEqual(digest(self.folder / "back"), digest(source))
            self.cli.must("rm", url, *client)
            reply = self.cli.run("get", url, self.folder / "gone", *client)
            self.assertEqual((reply.status, reply.json["error"]["status"]), (SEGMENT, "E_NOT_FOUND"))
            self.assertFalse((self.folder / "gone").exists())
            self.assertEqual(self.cli.run("ls", self.node(urls), *client).out, "")

    def test_a_key_keeps_its_value_unless_told_otherwise(self):
        first, second = self.random_file("first", 1000), self.random_file("second", 2000)
        client = ("--config", self.config("client"))
        with self.serve_store() as (_, urls):
            url = f"{self.node(urls)}/key"
            self.cli.must("put", first, url, *client)
            reply = self.cli.run("put", second, url, *client)
            self.assertEqual((reply.status, reply.json["error"]["status"]), (TRANSFER, "E_EXISTS"))
            self.cli.must("get", url, self.folder / "back", *client)
            self.assertEqual(digest(self.folder / "back"), digest(first))
            self.cli.must("put", second, url, "--replace", "--keep", "pinned", *client)
            self.cli.must("get", url, self.folder / "back", *client)
            self.assertEqual(digest(self.folder / "back"), digest(second))
            self.assertEqual(self.cli.must("stat", url, *client)["keep"], "pinned")

    def test_an_empty_file_is_a_value(self):
        (self.folder / "empty").touch()
        client = ("--config", self.config("client"))
        with self.serve_store() as (_, urls):
            url = f"{self.node(urls)}/empty"
            self.cli.must("put", self.folder / "empty", url, *client)
            self.cli.must("get", url, self.folder / "back", *client)
            self.assertEqual((self.folder / "back").read_bytes(), b"")

    def test_the_store_tells_about_itself(self):
        with self.serve_store() as (_, urls):
            self.assertIn("segments", self.cli.must("stat", self.node(urls), "--config", self.config("client")))

    def test_what_goes_wrong_has_a_status_and_a_next_step(self):
        source = self.random_file("source", 1000)
        client = ("--config", self.config("client"))
        with self.serve_store() as (_, urls):
            node = self.node(urls)
            cases = [
                (("put", source, node), USAGE),
                (("put", self.folder / "absent", f"{node}/key"), FILE),
                (("put", source, "127.0.0.1:1/key"), UNREACHABLE),
                (("rm", f"{node}/absent"), SEGMENT),
                (("get", f"{node}/absent", self.folder / "absent"), SEGMENT),
            ]
            for words, status in cases:
                reply = self.cli.run(*words, *client)
                self.assertEqual(reply.status, status, str(reply))
                self.assertTrue(reply.json["error"]["message"])
        with self.cli.serve(self.config("plain"), "box=4096") as (_, urls):
            reply = self.cli.run("put", source, f"{self.node(urls)}/key", *client)
            self.assertNotEqual(reply.status, OK)

    def test_a_tensor_file_is_readable_as_one(self):
        header = b'{"t":{"dtype":"F32","shape":[2,2],"data_offsets":[0,16]}}'
        (self.folder / "tensor").write_bytes(struct.pack("<Q", len(header)) + header + bytes(16))
        client = ("--config", self.config("client"))
        with self.serve_store() as (_, urls):
            self.cli.must("put", self.folder / "tensor", f"{self.node(urls)}/t", *client)
            self.cli.must("get", f"{self.node(urls)}/t", self.folder / "back", *client)
            self.assertEqual((self.folder / "back").read_bytes(), (self.folder / "tensor").read_bytes())


if __name__ == "__main__":
    unittest.main()
