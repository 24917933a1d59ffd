"""The runner's peers may be on another host: here through remote_peer.py over loopback."""
import argparse
import json
import pathlib
import subprocess
import sys
import tempfile

HERE = pathlib.Path(__file__).resolve().parent
CASES = ["data.visibility", "fail.peer-restart", "fail.peer-sigkill", "comp.nonblocking"]


def main():
    parser = argparse.ArgumentParser()
    parser.add_argument("--runner", required=True)
    parser.add_argument("--plugin", required=True)
    arguments = parser.parse_args()
    relay = [sys.executable, str(HERE / "remote_peer.py")]
    server = subprocess.Popen([*relay, "serve", "127.0.0.1", "0", arguments.runner], stdout=subprocess.PIPE, text=True)
    try:
        port = server.stdout.readline().split()[1]
        profile = json.loads((HERE.parent / "plugins/tcp/conform.json").read_text(encoding="utf-8"))
        include = [word for case in CASES for word in ("--include", case)]
        with tempfile.TemporaryDirectory() as folder:
            path = pathlib.Path(folder, "profile.json")
            path.write_text(json.dumps(profile | {"peer_command": [*relay, "connect", "127.0.0.1", port]}), encoding="utf-8")
            done = subprocess.run([arguments.runner, "run", arguments.plugin, "--profile", path, *include], check=False,
                                  capture_output=True, text=True)
            print(done.stdout, done.stderr)
            assert done.returncode == 0 and f"{len(CASES)} pass" in done.stdout
            # It can fail: nobody is at the other end.
            path.write_text(json.dumps(profile | {"peer_command": ["false"]}), encoding="utf-8")
            done = subprocess.run([arguments.runner, "run", arguments.plugin, "--profile", path, "--include", CASES[0]],
                                  check=False, capture_output=True, text=True)
            assert done.returncode == 1 and "the peer process ended" in done.stdout, done.stdout + done.stderr
    finally:
        server.kill()
        server.wait()


if __name__ == "__main__":
    main()
