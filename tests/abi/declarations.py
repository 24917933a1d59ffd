"""What the ABI's headers declare, read as text: members of structs, values of enums, macros and aliases.

Only what those headers contain is understood: no nested structs, no bit fields, no conditional declarations.
"""
import pathlib
import re

COMMENT = re.compile(r"//[^\n]*|/\*.*?\*/", re.DOTALL)
STRUCT = re.compile(r"typedef struct (\w+) \{(.*?)\} (\w+);", re.DOTALL)
ENUM = re.compile(r"enum \{(.*?)\};", re.DOTALL)
MACRO = re.compile(r"^#define[ \t]+(\w+)(\([^)]*\))?[ \t]*((?:[^\\\n]|\\\n)*)$", re.MULTILINE)
ALIAS = re.compile(r"^typedef (?!struct \w+ \{)([^;{]+);", re.MULTILINE)
TOKEN = re.compile(r"\w+|[^\w\s]")
POINTER_TO_FUNCTION = re.compile(r"\( \* (\w+) \) \(")
LAST_WORD = re.compile(r"(\w+)(?: \[ \w+ \])?$")


def spaced(text):
    return " ".join(TOKEN.findall(text))


def field_names(member):
    """The names that one member declares: more than one in `uint16_t a, b`."""
    function = POINTER_TO_FUNCTION.search(member)
    if function:
        return [function.group(1)]
    return [LAST_WORD.search(part.strip()).group(1) for part in member.split(",")]


def is_sized(members):
    """Whether the struct says how long it is, so that later minors may append to it."""
    return "uint32_t struct_size" in members


class Declarations:
    """Of all headers in a folder."""

    def __init__(self, folder):
        texts = [COMMENT.sub(" ", p.read_text(encoding="utf-8")) for p in sorted(pathlib.Path(folder).glob("*.h"))]
        text = "\n".join(texts)
        self.structs = {}  # name: its members in order, each as its tokens
        for tag, body, name in STRUCT.findall(text):
            if tag != name:
                raise ValueError(f"struct {tag} is called {name}")
            self.structs[name] = [spaced(m) for m in body.split(";") if m.strip()]
        self.values = {}  # name: tokens of the value
        for body in ENUM.findall(text):
            for entry in filter(None, map(str.strip, body.split(","))):
                name, _, value = entry.partition("=")
                self.values[name.strip()] = spaced(value)
        # Include guards and macros without a value say nothing to a program.
        self.macros = {name: spaced(parameters + " " + value.replace("\\\n", " "))
                       for name, parameters, value in MACRO.findall(text) if value.strip()}
        self.aliases = sorted(spaced(a) for a in ALIAS.findall(text))

    def fields(self, struct):
        return [name for member in self.structs[struct] for name in field_names(member)]


def incompatibilities(old, new):
    """Why a program built with `old` would misunderstand one built with `new`; both are Declarations."""
    found = []
    for name, members in old.structs.items():
        now = new.structs.get(name)
        if now is None:
            found.append(f"{name} is gone")
            continue
        for i, member in enumerate(members):
            if i >= len(now) or now[i] != member:
                found.append(f"{name}: member {i} was '{member}', is '{now[i] if i < len(now) else 'gone'}'")
                break
        if not is_sized(members) and len(now) > len(members):
            found.append(f"{name}: has no struct_size, so it cannot grow, and has '{now[len(members)]}' now")
    for kind, before, after in (("value", old.values, new.values), ("macro", old.macros, new.macros)):
        for name, value in before.items():
            if name == "SLIPWAY_ABI_MINOR":
                continue
            if after.get(name) != value:
                found.append(f"{kind} {name} was '{value}', is '{after.get(name, 'gone')}'")
    found += [f"'typedef {alias}' is gone" for alias in old.aliases if alias not in new.aliases]
    return found
