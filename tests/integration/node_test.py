"""What the integration tests share: the program under test, a folder of their own, and proof that nothing stays behind.

The build passes, in the environment: SLIPWAY_TEST_CLI (the program), SLIPWAY_TEST_PLUGIN_DIR, SLIPWAY_TEST_BROKEN_DIR
(plugins that crash or hang), SLIPWAY_TEST_MEBIBYTES (size of the large transfer), SLIPWAY_TEST_SLOWNESS (how many times
slower than usual this build may be).
"""
import contextlib
import hashlib
import os
import pathlib
import random
import select
import sys
import tempfile
import time
import unittest

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[2] / "tools"))
import cli  # noqa: E402

MEBI = 1 << 20
LARGE_BYTES = int(os.environ.get("SLIPWAY_TEST_MEBIBYTES", "1024")) * MEBI
SLOWNESS = float(os.environ.get("SLIPWAY_TEST_SLOWNESS", "1"))

# Exit statuses of the program, see tools/slipway/README.md.
OK, USAGE, CONFIG, UNREACHABLE, TRANSFER, PLUGIN, FILE, SEGMENT, ADDRESS_IN_USE, DENIED = 0, 2, 3, 4, 5, 6, 7, 8, 9, 10


def digest(path, offset=0, length=None):
    with open(path, "rb") as file:
        file.seek(offset)
        if length is None:
            return hashlib.file_digest(file, "sha256").hexdigest()
        return hashlib.sha256(file.read(length)).hexdigest()


class NodeTest(unittest.TestCase):
    """Each test has a folder; at its end no process, no shared memory and no unexpected file may be left."""

    def setUp(self):
        self.cli = cli.Cli(os.environ["SLIPWAY_TEST_CLI"])
        temporary = tempfile.TemporaryDirectory(prefix="slipway-test-")
        self.addCleanup(temporary.cleanup)
        self.folder = pathlib.Path(temporary.name)
        before = self.shared_memory()
        self.addCleanup(lambda: self.assertEqual(self.shared_memory() - before, set(), "shared memory left behind"))

    @staticmethod
    def shared_memory():
        return {name for name in os.listdir("/dev/shm") if "slipway" in name}

    @contextlib.contextmanager
    def start(self, *words, **options):
        """A process of the program, which does not outlive the context however that ends."""
        with self.cli.start(*words, **options) as process:
            try:
                yield process
            finally:
                process.kill()

    def config(self, name, *transports, **more):
        return cli.write_config(self.folder / f"{name}.json", name, transports or ["tcp"], **more)

    def random_file(self, name, size, seed=1):
        path = self.folder / name
        generator = random.Random(seed)
        with open(path, "wb") as out:
            for at in range(0, size, MEBI):
                out.write(generator.randbytes(min(MEBI, size - at)))
        return path

    def sparse_file(self, name, size):
        path = self.folder / name
        with open(path, "wb") as out:
            out.truncate(size)
        return path

    def assert_fails(self, reply, exit_status, status, *words):
        """The command failed with these statuses, and its message says each of the words and what to do next."""
        self.assertEqual(reply.status, exit_status, str(reply))
        self.assertIsNotNone(reply.json, str(reply))
        self.assertFalse(reply.json["ok"])
        error = reply.json["error"]
        self.assertEqual(error["status"], status, str(reply))
        self.assertIn(status, reply.err)
        for word in words:
            self.assertIn(str(word), error["message"], str(reply))
        self.assertGreater(len(error["message"]), 10)

    def assert_folder_holds(self, *names):
        self.assertEqual(sorted(p.name for p in self.folder.iterdir()), sorted(names))

    def wait_until_line(self, process, word, timeout=60):
        """Waits until the process wrote `word` to its standard error; gives what it wrote until then."""
        deadline, text = time.monotonic() + timeout, ""
        while word not in text:
            left = deadline - time.monotonic()
            self.assertGreater(left, 0, f"no '{word}' within {timeout} s: {text!r}")
            # Past the file object, so that nothing stays in its buffer for who reads on.
            if select.select([process.stderr], [], [], left)[0]:
                chunk = os.read(process.stderr.fileno(), 4096).decode()
                self.assertTrue(chunk, f"ended before '{word}': {text!r}")
                text += chunk
        return text
