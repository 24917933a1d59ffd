"""Files have at most 500 lines and functions at most 70, so that each can be read in one go.

The transport that authors begin with is promised to be small: its sources together have a limit of their own.
"""
import ast

import checklib

FILE_LINES_MAX = 500
FUNCTION_LINES_MAX = 70
FOLDER_LINES_MAX = {"sdk/template": 180}  # to be read before anything else is
CONTAINERS = ("namespace", "class", "struct", "union", "enum", "extern")


def without_directives(text):
    """Preprocessor lines, with their continuations, as empty lines."""
    lines, in_directive = [], False
    for line in text.split("\n"):
        in_directive = in_directive or line.lstrip().startswith("#")
        lines.append("" if in_directive else line)
        in_directive = in_directive and line.rstrip().endswith("\\")
    return "\n".join(lines)


def is_function(head):
    """Whether the text before a brace, back to the end of the previous statement, heads a function."""
    head = " ".join(head.split())
    while head.startswith(("template", "public:", "private:", "protected:", "}")):
        if not head.startswith("template"):
            head = head.split(":", 1)[1].strip() if ":" in head else ""
            continue
        depth, end = 0, 0
        for end, c in enumerate(head):
            depth += (c == "<") - (c == ">" and head[end - 1] != "-")
            if c == ">" and depth == 0:
                break
        head = head[end + 1:].strip()
    if not head or head.endswith(("=", ",", "return", "(")) or ")" not in head:
        return False
    return head.split()[0] not in CONTAINERS and not head.startswith(("typedef struct", "static const struct"))


def cxx_functions(text):
    """(first line, lines) of each outermost function body."""
    code = without_directives(checklib.strip_code(text, keep_strings=False))
    line, head, function_at, stack = 1, "", None, []
    for c in code:
        if c == "\n":
            line += 1
        if c == "{":
            stack.append(function_at is None and is_function(head))
            if stack[-1]:
                function_at = line - head.strip("\n").count("\n") if head.strip() else line
            head = ""
        elif c == "}" and stack:
            if stack.pop():
                yield function_at, line - function_at + 1
                function_at = None
            head = ""
        elif c == ";":
            head = ""
        else:
            head = head + c if head or not c.isspace() else ""


def python_functions(text):
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, (ast.FunctionDef, ast.AsyncFunctionDef)):
            yield node.lineno, node.end_lineno - node.lineno + 1


def is_code(root, path):
    if path.suffix in checklib.CXX_SUFFIXES + (".py", ".sh", ".cmake"):
        return True
    if path.suffix or path.name.startswith("."):
        return False
    with open(checklib.pathlib.Path(root, path), "rb") as file:
        return file.read(2) == b"#!"


def folder_violations(root, paths):
    for folder, limit in FOLDER_LINES_MAX.items():
        own = [p for p in paths if p.as_posix().startswith(folder + "/") and p.suffix in checklib.CXX_SUFFIXES]
        lines = sum(checklib.read(root, p).count("\n") for p in own)
        if lines > limit:
            yield (f"{folder}: {lines} lines of source, at most {limit}: move what any transport needs into "
                   "sdk/cpp, and what few need out of the example")


def violations(root):
    found = list(folder_violations(root, checklib.tree_files(root)))
    for path in checklib.tree_files(root):
        if path.parts[0] not in checklib.CODE_FOLDERS or not is_code(root, path):
            continue
        text = checklib.read(root, path)
        lines = text.count("\n")
        if lines > FILE_LINES_MAX:
            found.append(f"{path}: {lines} lines, at most {FILE_LINES_MAX}: split it by concept")
        if path.suffix in checklib.CXX_SUFFIXES:
            functions = cxx_functions(text)
        elif path.suffix == ".py" or text.startswith("#!/usr/bin/env python3"):
            functions = python_functions(text)
        else:
            functions = ()
        for first, length in functions:
            if length > FUNCTION_LINES_MAX:
                found.append(f"{path}:{first}: a function of {length} lines, at most {FUNCTION_LINES_MAX}: split it")
    return found


def self_test(_):
    body = "  x += 1;\n"
    long_body = body * 80
    good = {
        "core/a.cc": "namespace a {\nint f(int x) {\n" + body * 60 + "  return x;\n}\nstruct S {\n"
                     + "".join(f"  int g{i}(int x) {{\n    return x;\n  }}\n" for i in range(40)) + "};\n}\n",
        "core/table.cc": "const int kTable[] = {\n" + "1,\n" * 200 + "};\n",
        "sdk/template/a.cc": "int x;\n" * 180,
        "sdk/template/README.md": "x\n" * 100,
        "sdk/template-shm/a.cc": "int x;\n" * 300,
        "core/digits.cc": "int f() {\n  return 1'000'000;\n}\n// {\n" + "int g();\n" * 100,
    }
    with checklib.sample_tree(good) as root:
        checklib.expect(violations(root))
    bad = {
        "core/long_file.cc": "int x;\n" * 501,
        "core/long_function.cc": "int f(int x) {\n" + long_body + "}\n",
        "core/long_method.cc": "template <typename T>\nclass C : B<int> {\n public:\n  C(int x) : a_{x}, b_(2) {\n"
                               + long_body + "}\n};\n",
        "tests/long_test.cc": "TEST(A, B) {\n  if (x) {\n" + long_body + "}\n}\n",
        "tools/long.py": "def f(x):\n" + "    x += 1\n" * 80,
        "sdk/template/a.cc": "int x;\n" * 100,
        "sdk/template/a.h": "int x;\n" * 81,
    }
    with checklib.sample_tree(bad) as root:
        checklib.expect(violations(root), ("sdk/template", "181"), ("long_file.cc", "501"), "long_function.cc:1",
                        "long_method.cc:4", "long_test.cc:1", "long.py:1")


if __name__ == "__main__":
    checklib.run("sizes", lambda arguments: violations(arguments.root), self_test)
