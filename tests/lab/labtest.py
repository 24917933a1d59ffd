"""For tests that run in the hardware lab: one set of machines a class, and "skipped" where the lab cannot run."""
import pathlib
import re
import sys
import unittest

TREE = pathlib.Path(__file__).resolve().parents[2]
sys.path.insert(0, str(TREE / "tools/lab"))
from slipway_lab import CannotRun, Lab, LabError, TimeLimit  # noqa: E402, F401 (for the tests)


def show(command, _, data):
    """What machines say while they are set up belongs in the log of the test."""
    print(f"host {command.host.number}: {data.decode(errors='replace').rstrip()}", flush=True)


class LabTest(unittest.TestCase):
    """Derived classes set `machines` to what Lab takes; their tests share `self.lab`, booted once."""
    machines = {}
    lab = None

    @classmethod
    def setUpClass(cls):
        cls.lab = Lab(on_setup=show, **{"timeout": 480, **cls.machines}).__enter__()
        cls.addClassCleanup(lambda: cls.lab.close())

    def host(self, number=1):
        return self.lab.host(number)

    def value(self, command, key, timeout=120):
        """What a command that speaks in lines, "KEY VALUE", said of `key`, once it has."""
        return command.wait_for(re.compile(rf"^{key} (.*)\n", re.MULTILINE), timeout)[1]


def main():
    """Like unittest.main, but ends with 77 where something that the lab needs is missing."""
    try:
        for arguments in ({}, {"rdma": True}, {"cxl": True}):
            Lab(**arguments).check()
        Lab().prepare()
    except CannotRun as error:
        print(f"skipped: the lab cannot run here: {error}")
        sys.exit(error.status)
    unittest.main(verbosity=2)
