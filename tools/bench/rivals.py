"""The programs that are measured against one another in tools/bench, each as a function that gives a rate. No libraries."""
import contextlib
import fcntl
import json
import os
import pathlib
import platform
import shutil
import socket
import statistics
import struct
import subprocess
import sys
import time

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parents[1]))
import cli  # noqa: E402

KIBI, MEBI = 1 << 10, 1 << 20
UNITS = {"GiB": 1 << 30, "MiB": MEBI, "KiB": KIBI, "B": 1}


def size(text):
    """Bytes of 64KiB, 1MiB, 512 and the like."""
    for unit, bytes_each in UNITS.items():
        if text.endswith(unit):
            return int(text[:-len(unit)]) * bytes_each
    return int(text)


def written(count):
    """The other way round."""
    for unit, bytes_each in UNITS.items():
        if count >= bytes_each and count % bytes_each == 0:
            return f"{count // bytes_each} {unit}"
    return f"{count} B"


def machine():
    return f"{os.cpu_count()} cores, Linux {platform.release()}"


def missing(*programs):
    """Which of (program, Debian package) are not installed, said on stderr."""
    lacking = [pair for pair in programs if not shutil.which(pair[0])]
    for program, package in lacking:
        print(f"{program} is not installed: apt-get install {package}", file=sys.stderr)
    return lacking


def free_port():
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


# ---- the network ----------------------------------------------------------------------------------------------------


def enter_own_network():
    """Starts this program again in a network of its own, with nothing but loopback, where that is permitted.

    There the system's congestion control can be chosen for programs that have no option for it, and nobody else notices.
    """
    if os.environ.get("SLIPWAY_BENCH_NETWORK") is not None:
        flags = struct.pack("16sh", b"lo", 1)  # IFF_UP
        with socket.socket() as any_socket, contextlib.suppress(OSError):
            fcntl.ioctl(any_socket, 0x8914, flags)  # SIOCSIFFLAGS
        return os.environ["SLIPWAY_BENCH_NETWORK"] == "own"
    unshare = ["unshare", "--net"] if os.geteuid() == 0 else ["unshare", "--net", "--map-root-user"]
    own = shutil.which("unshare") and subprocess.run([*unshare, "true"], capture_output=True, check=False).returncode == 0
    os.environ["SLIPWAY_BENCH_NETWORK"] = "own" if own else "shared"
    if own:
        sys.stdout.flush()
        os.execvp(unshare[0], [*unshare, sys.executable, *sys.argv])
    return False


CONTROL = pathlib.Path("/proc/sys/net/ipv4/tcp_congestion_control")


def system_control():
    return CONTROL.read_text(encoding="ascii").strip()


def set_system_control(name):
    """False: the system does not let this network have it, though a program may choose it."""
    try:
        CONTROL.write_text(name, encoding="ascii")
    except OSError:
        return False
    return True


def congestion_controls():
    """Those that this machine lets a program choose."""
    try:
        kind = "available" if os.geteuid() == 0 else "allowed"
        return CONTROL.with_name(f"tcp_{kind}_congestion_control").read_text(encoding="ascii").split()
    except OSError:
        return [""]


# ---- iperf3 ---------------------------------------------------------------------------------------------------------


def iperf3(streams, congestion, seconds):
    """Bytes per second that the receiver saw."""
    port = free_port()
    server = subprocess.Popen(["iperf3", "-s", "-1", "-p", str(port)], stdout=subprocess.DEVNULL,
                              stderr=subprocess.DEVNULL)
    try:
        command = ["iperf3", "-c", "127.0.0.1", "-p", str(port), "-t", str(max(1, round(seconds))), "-P", str(streams),
                   "-l", "1M", "-J"]
        command += ["-C", congestion] if congestion else []
        for _ in range(50):
            done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
            reply = json.loads(done.stdout or "{}")
            if "unable to connect" not in reply.get("error", ""):
                break
            time.sleep(0.1)  # the server has not bound its port yet
        if "error" in reply:
            raise cli.Failed(f"iperf3: {reply['error']}")
        return reply["end"]["sum_received"]["bits_per_second"] / 8
    finally:
        server.kill()
        server.wait()


def fastest_control(streams, seconds, names=None):
    """The congestion control, of these or of all, that iperf3 is fastest with, and the median rate of each."""
    rates = {}
    for _ in range(3):
        for congestion in names or congestion_controls():
            rates.setdefault(congestion, []).append(iperf3(streams, congestion, seconds))
    medians = {congestion: statistics.median(values) for congestion, values in rates.items()}
    return max(medians, key=medians.get), medians


# ---- UCX ------------------------------------------------------------------------------------------------------------


def ucx(transports, test, count, request_bytes, window, timeout=60):
    """Runs ucx_perftest with so many requests; gives (seconds each, bytes per second), or None: it does not do that here."""
    port = free_port()
    environment = {**os.environ, "UCX_TLS": transports, "UCX_LOG_LEVEL": "fatal", "UCX_WARN_UNUSED_ENV_VARS": "n"}
    words = ["ucx_perftest", "-p", str(port), "-t", test, "-s", str(request_bytes), "-n", str(count), "-w",
             str(max(4, count // 20)), "-f", "-v"]
    words += ["-O", str(window)] if window else []
    server = subprocess.Popen(words, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    try:
        for _ in range(50):
            client = subprocess.run([*words, "127.0.0.1"], env=environment, capture_output=True, text=True,
                                    timeout=timeout, check=False)
            if client.returncode == 0 or server.poll() is not None:
                break
            time.sleep(0.1)  # the server does not listen yet
    except subprocess.TimeoutExpired:
        return None
    finally:
        server.kill()
        server.wait()
    lines = [line.strip().split(",") for line in client.stdout.splitlines() if line.count(",") >= 5]
    numbers = [line for line in lines if line[0].isdigit()]  # the count of requests, right-aligned
    if not numbers:
        return None
    # iterations, then microseconds: of a percentile, average, overall; then MiB per second: average, overall
    return float(numbers[-1][3]) / 1e6, float(numbers[-1][5]) * MEBI


# ---- ours -----------------------------------------------------------------------------------------------------------


def printed_json(command, seconds, environment=None):
    done = subprocess.run([str(word) for word in command], capture_output=True, text=True, timeout=seconds + 120,
                          check=False, env=environment)
    if done.returncode != 0:
        raise cli.Failed(done.stderr.strip() or f"{command[0]}: exit status {done.returncode}")
    return json.loads(done.stdout)


def libfabric(build, operation, request_bytes, depth, seconds):
    """Bytes per second of libfabric's tcp provider."""
    return printed_json([build / "tools/bench/slipway-libfabric-rma", "--operation", operation, "--bytes", request_bytes,
                         "--depth", depth, "--seconds", seconds], seconds)["bytes_per_second"]


def slipway(build, program, config, url, operation, request_bytes, depth, seconds, *more):
    """Bytes per second of the engine, verified. `more`: further options of slipway-throughput."""
    command = [build / "tools/bench/slipway-throughput", "--config", config, "--segment", url, "--operation", operation,
               "--bytes", request_bytes, "--depth", depth, "--seconds", seconds, *more]
    return printed_json(command, seconds, program.environment)["bytes_per_second"]
