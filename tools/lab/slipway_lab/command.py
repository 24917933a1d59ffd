"""A command in a lab machine, seen from outside."""
import re
import threading
import time

from .errors import LabError, TimeLimit


class Command:
    """Runs from its creation on. All functions may be called from any thread."""

    def __init__(self, host, number, argv, on_output):
        self.host, self.number, self.argv = host, number, argv
        self.on_output = on_output  # (command, "out" or "err", bytes), in the order they come, or None
        self.changed = threading.Condition()
        self.output = {"out": bytearray(), "err": bytearray()}
        self.status = None  # once it ended; 128 + n after signal n
        self.lost = None  # why it will never end properly: its machine is gone

    # From the host's reader:
    def add_output(self, which, data):
        if self.on_output:
            self.on_output(self, which, data)
        with self.changed:
            self.output[which] += data
            self.changed.notify_all()

    def end(self, status):
        with self.changed:
            self.status = status if status >= 0 else 128 - status
            self.changed.notify_all()

    def lose(self, why):
        with self.changed:
            if self.status is None:
                self.lost = why
            self.changed.notify_all()

    # For everyone:
    @property
    def out(self):
        """What it wrote to standard output so far."""
        with self.changed:
            return self.output["out"].decode(errors="replace")

    @property
    def err(self):
        with self.changed:
            return self.output["err"].decode(errors="replace")

    def ended(self):
        with self.changed:
            return self.status is not None or self.lost is not None

    def wait(self, timeout=None):
        """Its exit status. Raises TimeLimit after `timeout` seconds, LabError when its machine died."""
        self._wait_until(self.ended, timeout, "end")
        if self.status is None:
            raise LabError(self.lost)
        return self.status

    def wait_for(self, text, timeout=60):
        """Waits until `text`, or what a compiled pattern matches, is in its standard output or error; gives the match.

        Raises LabError when it ended without.
        """
        pattern = re.compile(re.escape(text)) if isinstance(text, str) else text
        said = lambda: pattern.search(self.out) or pattern.search(self.err)
        self._wait_until(lambda: said() or self.ended(), timeout, f"say {text!r}")
        if not said():
            raise LabError(f"{self} ended with {self.status} and never said {text!r}: {self.out[-2000:]}{self.err[-2000:]}")
        return said()

    def signal(self, number):
        """Sends a signal to the command and what it started."""
        self.host.send({"op": "signal", "id": self.number, "signal": number})

    def _wait_until(self, is_so, timeout, what):
        deadline = None if timeout is None else time.monotonic() + timeout
        with self.changed:
            while not is_so():
                left = None if deadline is None else deadline - time.monotonic()
                if left is not None and left <= 0:
                    raise TimeLimit(f"{self} did not {what} within {timeout} s: {self.output['out'][-2000:].decode(errors='replace')}")
                self.changed.wait(left)

    def __str__(self):
        return f"host {self.host.number}: {' '.join(self.argv)}"
