"""The profile with which slipway-conform tests cxl on a device or file, and how it is run."""
import json

BOARDS = 8 << 20  # the transport's own bytes at the start of the first window


def profile(device, device_bytes, limits, **config):
    caps = ["READ", "WRITE", "NEEDS_REMOTE_REG", "CROSS_PROCESS", "REG_THREADSAFE", "CANCEL", "PEER_FAILURE"]
    if config.get("sharing", "host") != "host":
        caps.append("CROSS_HOST")
    window = {"device": device} | ({"identity": "conform"} if "CROSS_HOST" in caps else {})
    return {
        "transport": "cxl",
        "config": {"windows": [window], **config},
        "claims": {"caps": caps, "mem_kinds": ["host", "cxl"]},
        "memory_file": {"path": device, "offset": BOARDS, "bytes": (device_bytes - BOARDS) // (2 << 20) * (2 << 20)},
        "limits": limits,
    }


def command(runner, plugin, path, contents):
    """Writes the profile to `path` and gives the words to run."""
    with open(path, "w", encoding="utf-8") as file:
        json.dump(contents, file)
    return [runner, "run", plugin, "--profile", str(path)]
