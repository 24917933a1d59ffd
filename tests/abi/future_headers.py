"""Writes the headers of a minor that does not exist yet: every struct that can grow has fields appended. Programs built with them stand for a newer core and for newer plugins.

usage: future_headers.py SOURCE-INCLUDE TARGET-INCLUDE
"""
import pathlib
import re
import sys

STRUCT = re.compile(r"^typedef struct (slipway_\w+) \{\n(.*?)^\} \1;$", re.MULTILINE | re.DOTALL)
MINOR = re.compile(r"(#define SLIPWAY_ABI_MINOR )(\d+)")
APPENDED_WORDS = 8


def later(text):
    def grown(match):
        if "struct_size;" not in match.group(2):
            return match.group(0)
        return match.group(0).replace(f"}} {match.group(1)};", f"  uint64_t future[{APPENDED_WORDS}];\n}} {match.group(1)};")
    text = STRUCT.sub(grown, text)
    return MINOR.sub(lambda m: m.group(1) + str(int(m.group(2)) + 1), text)


def main():
    source, target = (pathlib.Path(a) / "slipway/abi" for a in sys.argv[1:])
    target.mkdir(parents=True, exist_ok=True)
    for path in sorted(source.glob("*.h")):
        text = later(path.read_text(encoding="utf-8"))
        out = target / path.name
        if not out.exists() or out.read_text(encoding="utf-8") != text:
            out.write_text(text, encoding="utf-8")


if __name__ == "__main__":
    main()
