#!/usr/bin/env python3
"""Moves a real file over every transport that this machine has, out and back, and compares its SHA-256.

Two processes with a configuration file each; for local-memcpy also two engines in one process. Prints one row a movement. Exit status 1 when anything differs or fails.
"""
import argparse
import hashlib
import pathlib
import random
import struct
import sys
import tempfile

import cli

IN_ONE_PROCESS_TOO = ("local-memcpy",)
ANYWHERE = ("local-memcpy", "tcp")  # what every machine has; others need a device, or are told of one


def assemble(path, sources, size):
    """A file of `size` bytes: real files one after another, then bytes that no pattern could stand in for."""
    generator = random.Random(7)
    with open(path, "wb") as out:
        for source in sources:
            out.write(source.read_bytes()[:max(size - out.tell(), 0)])
        while out.tell() < size:
            out.write(generator.randbytes(min(1 << 20, size - out.tell())))


def digest(path):
    with open(path, "rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


class Table:
    COLUMNS = (("transport", 14), ("how", 34), ("bytes", 13), ("seconds", 9), ("MiB/s", 9), ("slices", 8), ("staged", 8),
               ("SHA-256", 10))

    def __init__(self):
        self.differing = 0
        self.print_row(name for name, _ in self.COLUMNS)

    def print_row(self, cells):
        print("  ".join(str(cell).ljust(width) for cell, (_, width) in zip(cells, self.COLUMNS)).rstrip(), flush=True)

    def add(self, transport, how, reply, equal):
        seconds = reply["seconds"]
        rate = f"{reply['bytes'] / seconds / 2**20:.0f}" if seconds > 0 else "-"
        served = reply["transport"]
        if served != transport:
            how, equal = f"{how} (served by {served or 'none'})", False
        self.differing += not equal
        self.print_row((transport, how, reply["bytes"], f"{seconds:.3f}", rate, reply["slices"], reply["staged_slices"],
                        "equal" if equal else "DIFFERENT"))


def between_processes(program, transport, source, expected, folder, table):
    """A serving process and a moving one: the file goes out to the server's file, and comes back to another."""
    served, returned = folder / "served", folder / "returned"
    with open(served, "wb") as file:
        file.truncate(source.stat().st_size)
    server = cli.write_config(folder / f"{transport}-server.json", "server", [transport])
    client = cli.write_config(folder / f"{transport}-client.json", "client", [transport])
    with program.serve(server, f"file={served}:rw") as (_, urls):
        reply = program.must("push", source, urls["file"], "--config", client)
        table.add(transport, "push, two processes", reply, digest(served) == expected)
        reply = program.must("pull", urls["file"], returned, "--config", client)
        table.add(transport, "pull, two processes", reply, digest(returned) == expected)
    served.unlink()
    returned.unlink()


def through_memory(program, transport, source, expected, folder, table):
    """As between_processes, but the segment is memory that the engine allocated, which processes of a host share."""
    returned = folder / "returned"
    server = cli.write_config(folder / f"{transport}-server.json", "server", [transport])
    client = cli.write_config(folder / f"{transport}-client.json", "client", [transport])
    with program.serve(server, f"box={source.stat().st_size}") as (_, urls):
        reply = program.must("push", source, urls["box"], "--config", client)
        pulled = program.must("pull", urls["box"], returned, "--config", client)
        equal = digest(returned) == expected
        table.add(transport, "push, two processes", reply, equal)
        table.add(transport, "pull, two processes", pulled, equal)
    returned.unlink()


def within_a_process(program, transport, source, expected, folder, table):
    for how, words in (("write, two engines in one process", []), ("read, two engines in one process", ["--read"])):
        copied = folder / "copied"
        reply = program.must("copy", source, copied, "--via", transport, *words)
        table.add(transport, how, reply, digest(copied) == expected)
        copied.unlink()


def through_a_store(program, source, expected, folder):
    """One process hosts a store; others put the file and a small tensor there, and read both back. True when equal."""
    config = cli.write_config(folder / "store-server.json", "server", list(ANYWHERE),
                              store={"segments": [{"name": "main", "bytes": source.stat().st_size * 2}]})
    client = cli.write_config(folder / "store-client.json", "client", list(ANYWHERE))
    header = b'{"weights":{"dtype":"F32","shape":[2,3],"data_offsets":[0,24]}}'
    tensor, returned = folder / "tensor.safetensors", folder / "returned"
    tensor.write_bytes(struct.pack("<Q", len(header)) + header + struct.pack("<6f", *range(6)))
    equal = True
    with program.serve(config, "box=4096") as (_, urls):
        node = urls["box"].split("/")[0]
        for key, path, digest_of_it in (("file", source, expected), ("tensor", tensor, digest(tensor))):
            program.must("put", path, f"{node}/{key}", "--config", client)
            program.must("get", f"{node}/{key}", returned, "--config", client)
            same = digest(returned) == digest_of_it
            print(f"store: {key} of {path.stat().st_size} bytes put and read back, two processes: "
                  f"{'equal' if same else 'DIFFERENT'}")
            equal = equal and same
            returned.unlink()
    return equal


def transports(program):
    """What this machine has, by asking each plugin; says which did not answer."""
    names = []
    for line in program.run("plugins").out.splitlines():
        row = cli.json.loads(line)
        if row["state"] != "ok":
            print(f"plugin {row['name']}: {row['state']}: {row['reason']}")
            continue
        for transport in row["description"].get("transports", []):
            names.append(transport if isinstance(transport, str) else transport["name"])
    return sorted(names)


def main():
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--build", required=True, type=pathlib.Path, help="build folder")
    parser.add_argument("--mebibytes", type=int, default=256, help="size of the file")
    arguments = parser.parse_args()
    program = cli.Cli(arguments.build / "tools/slipway/slipway")
    sources = sorted(p for p in (arguments.build / "lib").rglob("*.so*") if p.is_file())
    with tempfile.TemporaryDirectory(prefix="slipway-run-") as name:
        folder = pathlib.Path(name)
        source = folder / "source"
        assemble(source, sources, arguments.mebibytes << 20)
        expected = digest(source)
        print(f"a file of {arguments.mebibytes} MiB, {len(sources)} built libraries and random bytes, SHA-256 {expected}\n")
        names = transports(program)
        table, absent = Table(), {}
        for transport in names:
            moves = (within_a_process, through_memory) if transport in IN_ONE_PROCESS_TOO else (between_processes,)
            try:
                for move in moves:
                    move(program, transport, source, expected, folder, table)
            except cli.NotServed as why:
                absent[transport] = why
            except cli.Failed as failure:
                print(f"\n{transport}: {failure}", file=sys.stderr)
                return 1
        for transport, why in absent.items():
            print(f"\n{transport} was left out: {why}")
        print()
        try:
            table.differing += not through_a_store(program, source, expected, folder)
        except cli.Failed as failure:
            print(f"store: {failure}", file=sys.stderr)
            return 1
    missing = [transport for transport in ANYWHERE if transport in absent or transport not in names]
    if missing:
        print(f"{', '.join(missing)}: not there, which works on every machine", file=sys.stderr)
        return 1
    print(f"\n{len(names) - len(absent)} transports, " + (f"{table.differing} movements DIFFER" if table.differing else "all equal"))
    return 1 if table.differing else 0


if __name__ == "__main__":
    sys.exit(main())
