"""Drives the `slipway` command line from Python: runs a command, or a serving node as a context. Standard library only."""
import contextlib
import json
import os
import pathlib
import subprocess
import time


class Failed(Exception):
    """A command that did not end as expected, with what it said."""


class NotServed(Failed):
    """A node that did not start, with the reason that it gave."""


class Reply:
    """How a command ended: its exit status, what it printed, and the last JSON object of its output (None: none)."""

    def __init__(self, command, status, out, err, seconds):
        self.command, self.status, self.out, self.err, self.seconds = command, status, out, err, seconds
        lines = [line for line in out.splitlines() if line.startswith("{")]
        self.json = json.loads(lines[-1]) if lines else None

    def __str__(self):
        return f"{' '.join(self.command)}\n  exit status {self.status}\n  {self.out.strip()}\n  {self.err.strip()}"


class Cli:
    """One build of the program, which finds the plugins built with it. Slipway's environment variables are kept away."""

    def __init__(self, program):
        self.program = str(program)
        self.environment = {k: v for k, v in os.environ.items() if not k.startswith(("SLIPWAY_", "MC_STORE_"))}

    def start(self, *words, **options):
        """A process of `slipway WORDS --json`, its output piped; the caller ends it."""
        return subprocess.Popen([self.program, *map(str, words), "--json"], stdin=subprocess.DEVNULL,
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=self.environment, **options)

    def run(self, *words, timeout=120):
        """Runs `slipway WORDS --json` to its end."""
        begin = time.monotonic()
        with self.start(*words) as process:
            try:
                out, err = process.communicate(timeout=timeout)
            except subprocess.TimeoutExpired:
                process.kill()
                out, err = process.communicate()
                err += f"\nkilled: did not end within {timeout} s"
        return Reply(process.args, process.returncode, out, err, time.monotonic() - begin)

    def must(self, *words, timeout=120):
        """Runs a command that has to succeed; gives its JSON."""
        reply = self.run(*words, timeout=timeout)
        if reply.status != 0 or reply.json is None:
            raise Failed(str(reply))
        return reply.json

    @contextlib.contextmanager
    def serve(self, config, *segments):
        """A serving node: gives (process, {name: url}); ends it with SIGTERM, which must be clean."""
        words = [word for segment in segments for word in ("--segment", segment)]
        process = self.start("serve", "--config", config, *words)
        try:
            line = process.stdout.readline()
            ready = json.loads(line) if line.startswith("{") else {}
            if not ready.get("ok"):
                said = ready.get("error", {}).get("message") or process.communicate(timeout=60)[1].strip()
                raise NotServed(f"serve did not start: {said}")
            yield process, {segment["name"]: segment["url"] for segment in ready["segments"]}
            if process.poll() is None:
                process.terminate()
                _, err = process.communicate(timeout=60)
                if process.returncode != 0:
                    raise Failed(f"serve ended with status {process.returncode}: {err.strip()}")
        finally:
            if process.poll() is None:
                process.kill()
            process.communicate()


def write_config(path, name, transports, listen="127.0.0.1:0", **more):
    """A configuration file; `transports` are names, or objects for those with options. Gives its path."""
    uses = [{"name": t, "required": True} if isinstance(t, str) else t for t in transports]
    config = {"name": name, "transports": uses, "control": {"listen": listen}} | more
    pathlib.Path(path).write_text(json.dumps(config, indent=2) + "\n", encoding="utf-8")
    return path
