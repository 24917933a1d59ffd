"""The core names no protocol and no device, and nothing outside core/config reads the environment."""
import re

import checklib

# Words of an identifier or a string that name a way of moving bytes or a device's software.
PROTOCOL_WORDS = frozenset(
    "tcp rdma roce infiniband verbs ibv ibverbs cxl cuda nvidia nvlink gpudirect rocm musa ucx libfabric efa nvme "
    "memcpy shm".split())
# What looks like one and is not: the ABI's bits for kinds of memory, C's copying function, and the system's own names
# for the sockets that carry control requests.
NOT_PROTOCOLS = re.compile(
    r"\bSLIPWAY_MEM_[A-Z]+\b|\b(?:std::|__builtin_)?memcpy(?=\s*\()|\bIPPROTO_TCP\b|\bTCP_[A-Z_]+\b|<netinet/tcp\.h>")
IDENTIFIER = re.compile(r"[A-Za-z][A-Za-z0-9_]*")
# A run of capitals, a capitalised word, a lower-case word: TCPPort, TcpPort, tcp_port.
PART = re.compile(r"[A-Z]+(?![a-z])|[A-Z][a-z0-9]*|[a-z0-9]+")
ENVIRONMENT = re.compile(r"\b(?:secure_)?getenv\b|\b(?:_?_environ|environ)\b|\b(?:setenv|putenv|unsetenv)\b")


def protocol_words(text):
    """(offset, word) of each protocol named in code without comments."""
    code = NOT_PROTOCOLS.sub(lambda m: " " * len(m.group(0)), text)
    for match in IDENTIFIER.finditer(code):
        for part in PART.findall(match.group(0)):
            if part.lower() in PROTOCOL_WORDS:
                yield match.start(), match.group(0)
                break


def violations(root):
    found = []
    for path in checklib.code_files(root):
        text = checklib.strip_code(checklib.read(root, path), keep_strings=True)
        def line_at(offset, text=text):
            return text.count("\n", 0, offset) + 1
        if path.parts[0] == "core":
            for offset, word in protocol_words(text):
                found.append(f"{path}:{line_at(offset)}: names '{word}': the core reads capability bits and attributes, "
                             "never what a transport is called")
        if path.parts[0] in ("core", "plugins", "sdk", "tools") and path.parts[:2] != ("core", "config"):
            code = checklib.strip_code(text, keep_strings=False)
            for match in ENVIRONMENT.finditer(code):
                found.append(f"{path}:{code.count(chr(10), 0, match.start()) + 1}: uses '{match.group(0)}': only "
                             "core/config reads the environment")
    return found


def self_test(_):
    good = {
        "core/a.cc": "// tcp and cuda in a comment\n#include <netinet/tcp.h>\n"
                     "std::memcpy(a, b, n); memcpy (a, b, n); if (kind & SLIPWAY_MEM_CUDA) setsockopt(IPPROTO_TCP);\n"
                     "int verbose, tcpdumpish, environment;\n",
        "core/config/e.cc": 'getenv("SLIPWAY_X");\n',
        "plugins/tcp/t.cc": "class TcpPeer;\n",
        "tests/t.cc": 'getenv("SLIPWAY_TEST_PLUGIN_DIR"); int tcp;\n',
    }
    with checklib.sample_tree(good) as root:
        checklib.expect(violations(root))
    bad = {
        "core/b.cc": 'if (name == "tcp") x();\n',
        "core/c.cc": "\nclass RdmaRoute;\n",
        "core/d.cc": "bool is_cuda_memory;\n",
        "core/e.cc": 'Use("local-memcpy");\n',
        "core/f.cc": "enum { kTCP };\n",
        "plugins/p/g.cc": 'std::getenv("HOME");\n',
        "tools/h.cc": "extern char** environ;\n",
    }
    with checklib.sample_tree(bad) as root:
        checklib.expect(violations(root), ("b.cc:1", "tcp"), ("c.cc:2", "RdmaRoute"), "d.cc:1", ("e.cc:1", "memcpy"),
                        "f.cc:1", ("g.cc:1", "getenv"), ("h.cc:1", "environ"))


if __name__ == "__main__":
    checklib.run("names", lambda arguments: violations(arguments.root), self_test)
