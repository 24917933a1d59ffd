"""What `store_peer table` says, held against how often each way to write may copy. Standard library only."""
import json

WAYS = 16


def check(case, said, source, target, size):
    """`said`: the lines of the program; `source`: what it wrote from; `target`: "any" memory, or "registered" alone."""
    rows = dict(line.split(" ", 1) for line in said.splitlines() if line)
    case.assertEqual(len(rows), WAYS, said)
    for way, text in rows.items():
        row = json.loads(text)
        header_bytes, headers = row["header_bytes"], row["headers"]
        case.assertTrue(row["equal"], way)
        case.assertEqual(header_bytes > 0, headers > 0, way)
        # The store itself never copies what leaves the process, and nothing is ever put together first.
        case.assertEqual(row["store_copies"], 0, way)
        case.assertEqual(row["direct_provider_copies"], 0, way)
        case.assertEqual(row["host_copies"] + row["staged_provider_copies"], row["slices_staged"], way)
        if source not in ("registered", "unregistered"):
            # Staged by the device's provider, and by nobody once more; headers only where registration is needed.
            staged = size + (header_bytes if target == "registered" else 0)
            case.assertEqual(row["host_copies"], headers if target == "registered" else 0, way)
            case.assertGreaterEqual(row["staged_provider_copies"], row["pieces"], way)
        elif target == "any":
            staged = 0
        else:
            # A header is nobody's registered memory.
            staged = header_bytes + (size if source == "unregistered" else 0)
        case.assertEqual(row["staged_bytes"], staged, way)
        case.assertEqual(row["slices_direct"] > 0, staged < size + header_bytes, way)
