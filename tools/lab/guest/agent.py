"""Runs commands inside a lab machine for the lab outside; the two talk over a virtio port.

In:  one JSON object a line: {"op": "run", "id", "argv", "cwd", "env"}, {"op": "signal", "id", "signal"}, {"op": "end"}.
Out: one JSON object a line: {"event": "ready"}, {"id", "event": "out" or "err", "bytes"} followed by that many bytes,
     {"id", "event": "exit", "status"} (as subprocess has it: negative for a signal), after the last of its output.
"""
import json
import os
import signal
import subprocess
import sys
import threading

PORT = "slipway.lab"
CHUNK_BYTES = 65536


def open_port():
    for name in os.listdir("/sys/class/virtio-ports"):
        with open(f"/sys/class/virtio-ports/{name}/name", encoding="ascii") as file:
            if file.read().strip() == PORT:
                return os.open(f"/dev/{name}", os.O_RDWR | os.O_CLOEXEC)
    raise SystemExit(f"no virtio port is named {PORT}")


class Agent:
    def __init__(self, port):
        self.port = port
        self.sending = threading.Lock()
        self.running = {}  # id -> subprocess.Popen

    def send(self, message, data=b""):
        with self.sending:
            rest = memoryview(json.dumps(message).encode() + b"\n" + data)
            while rest:
                rest = rest[os.write(self.port, rest):]

    def forward(self, number, event, pipe):
        """Passes on what a command writes, as it comes."""
        while data := os.read(pipe.fileno(), CHUNK_BYTES):
            self.send({"id": number, "event": event, "bytes": len(data)}, data)

    def serve(self, number, process):
        readers = [threading.Thread(target=self.forward, args=(number, event, pipe))
                   for event, pipe in (("out", process.stdout), ("err", process.stderr))]
        for reader in readers:
            reader.start()
        status = process.wait()
        # A child that outlives its parent may hold the pipe for ever: the lab does not wait for it long.
        for reader in readers:
            reader.join(timeout=5)
        self.send({"id": number, "event": "exit", "status": status})

    def run(self, message):
        number = message["id"]
        try:
            process = subprocess.Popen(message["argv"], cwd=message["cwd"], env=message["env"], start_new_session=True,
                                       stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
        except OSError as error:
            said = f"lab: {message['argv'][0]} in {message['cwd']}: {error.strerror}\n".encode()
            self.send({"id": number, "event": "err", "bytes": len(said)}, said)
            self.send({"id": number, "event": "exit", "status": 127 if isinstance(error, FileNotFoundError) else 126})
            return
        self.running[number] = process
        threading.Thread(target=self.serve, args=(number, process), daemon=True).start()

    def signal(self, message):
        process = self.running.get(message["id"])
        if process:
            try:
                os.killpg(process.pid, message["signal"])
            except ProcessLookupError:
                pass

    def loop(self):
        self.send({"event": "ready"})
        pending = b""
        while data := os.read(self.port, CHUNK_BYTES):
            *lines, pending = (pending + data).split(b"\n")
            for line in lines:
                message = json.loads(line)
                if message["op"] == "end":
                    return
                getattr(self, message["op"])(message)


if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    Agent(open_port()).loop()
    sys.stdout.flush()
    os._exit(0)  # whatever still runs ends with the machine
