#!/usr/bin/env python3
"""What this tree promises of its own source (DESIGN: floors, headers, sizes), checked. Usage: lint.py [ROOT]

Every check is a function that takes the tree's root and yields faults as text; a check whose tool isn't installed says so and is
skipped. lint_test.py breaks each rule once and sees the fault."""
import os
import re
import shutil
import subprocess
import sys
import tempfile
from concurrent.futures import ThreadPoolExecutor

# Arrows between folders go down only. What a folder may include besides itself:
BELOW = {
    "policy": set(),
    "config": {"policy"},
    "hits": {"config", "policy"},
    "resolver": {"hits", "config", "policy"},
    "feeds": {"hits", "config", "policy"},
    "tool": {"hits", "config", "policy"},
}
FUNCTION_WARN, FUNCTION_MAX, FILE_MAX = 60, 100, 800
SOURCE_FOLDERS = sorted(BELOW) + ["test"]
notes = []


def read(root, path):
    with open(os.path.join(root, path), encoding="utf-8", errors="replace") as file:
        return file.read()


def files(root, *endings, folders=None):
    """Paths below the folders (default: all source), relative to root, sorted."""
    for folder in folders or SOURCE_FOLDERS:
        for at, names, found in os.walk(os.path.join(root, folder)):
            names[:] = sorted(n for n in names if n not in ("corpus", "data", "__pycache__"))
            for name in sorted(found):
                if name.endswith(endings):
                    yield os.path.relpath(os.path.join(at, name), root)


def check_arrows(root):
    """Includes between folders go down only."""
    total = backward = 0
    for path in files(root, ".c", ".h", folders=sorted(BELOW)):
        folder = path.split("/")[0]
        for number, line in enumerate(read(root, path).splitlines(), 1):
            found = re.match(r'\s*#\s*include\s+"([a-z]+)/', line)
            if not found or found.group(1) not in BELOW or found.group(1) == folder:
                continue
            total += 1
            if found.group(1) not in BELOW[folder]:
                backward += 1
                yield f"{path}:{number}: {folder}/ may not include {found.group(1)}/"
    notes.append(f"include arrows between folders: {total}, of which {backward} go the wrong way")


def compile_alone(root, header):
    source = f'#include "{header}"\n#include "{header}"\n'
    command = [*os.environ.get("CC", "cc").split(), "-std=gnu17", "-D_GNU_SOURCE", "-Wall", "-Wextra", "-Wno-unused-parameter", "-Werror",
               "-fsyntax-only", "-I", root, "-x", "c", "-"]
    done = subprocess.run(command, input=source, capture_output=True, text=True, check=False)
    return "" if done.returncode == 0 else f"{header}: does not compile alone:\n{done.stderr.strip()}"


def check_headers(root):
    """Every header compiles alone, and twice."""
    headers = list(files(root, ".h", folders=sorted(BELOW)))
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from filter(None, pool.map(lambda header: compile_alone(root, header), headers))
    notes.append(f"headers that compile alone: {len(headers)}")


def functions(text):
    """(name, first line, length) of every function of clang-formatted C: it opens and closes in the first column."""
    begin, first, opening = None, 0, ""
    for number, line in enumerate(text.splitlines(), 1):
        if begin is not None:
            if line.startswith("}"):
                yield re.sub(r"\s*\(.*", "", opening, flags=re.S).split()[-1].lstrip("*"), begin, number - begin + 1
                begin, opening = None, ""
            continue
        if not line.strip() or line[0] in "#/}" or line.startswith(" *") or line.endswith(";"):
            opening = ""
            continue
        first = first if opening else number
        opening = opening + " " + line if opening else line
        if line.endswith("{"):
            if "(" in opening and "=" not in opening.split("(")[0] and not re.match(r"(typedef |struct \w+ \{|enum|union)", opening):
                begin = first
            else:
                opening = ""


def check_sizes(root):
    """Functions up to 100 lines, files up to 800."""
    lengths = []
    for path in files(root, ".c", ".h"):
        text = read(root, path)
        if text.count("\n") > FILE_MAX:
            yield f"{path}: {text.count(chr(10))} lines; a file has at most {FILE_MAX}"
        for name, line, length in functions(text):
            lengths.append(length)
            if length > FUNCTION_MAX:
                yield f"{path}:{line}: {name} has {length} lines; a function has at most {FUNCTION_MAX}"
            elif length > FUNCTION_WARN and not path.startswith("test/"):
                notes.append(f"warning: {path}:{line}: {name} has {length} lines (aim at {FUNCTION_WARN})")
    lengths.sort()
    if lengths:
        notes.append(f"functions: {len(lengths)}, median {lengths[len(lengths) // 2]} lines, "
                     f"99 % up to {lengths[int(len(lengths) * 0.99)]}, longest {lengths[-1]}")


def check_text(root):
    """A file begins by saying its one reason to exist; no marks of unfinished work; ASCII; no tabs, no blanks at line ends."""
    marks = re.compile(r"\b(TODO|FIXME|XXX|HACK)\b")
    for path in files(root, ".c", ".h"):
        text = read(root, path)
        if not text.startswith(f"/* {path}: "):
            yield f"{path}:1: does not begin with /* {path}: and its reason to exist"
        for number, line in enumerate(text.splitlines(), 1):
            if not line.isascii():
                yield f"{path}:{number}: not ASCII"
            if line != line.rstrip() or "\t" in line:
                yield f"{path}:{number}: a tab, or blanks at the end of the line"
    others = files(root, ".py", ".sh", ".build", ".md", folders=SOURCE_FOLDERS + ["doc", "script"])
    for path in [*files(root, ".c", ".h"), *others]:
        if os.path.basename(path).startswith("lint"):
            continue
        for number, line in enumerate(read(root, path).splitlines(), 1):
            if marks.search(line):
                yield f"{path}:{number}: {marks.search(line).group()}: finish it, or leave it out"


def check_format(root):
    """clang-format agrees."""
    tool = shutil.which("clang-format")
    if not tool:
        notes.append("skipped: clang-format is not installed")
        return
    paths = list(files(root, ".c", ".h"))
    if not paths:
        return
    done = subprocess.run([tool, "--dry-run", "-Werror", *paths], cwd=root, capture_output=True, text=True, check=False)
    for line in done.stderr.splitlines():
        if re.match(r".+:\d+:\d+: ", line):
            yield line


def check_manuals(root):
    """mandoc finds nothing to warn of."""
    tool = shutil.which("mandoc")
    if not tool:
        notes.append("skipped: mandoc is not installed")
        return
    pages = [f"doc/{n}" for n in sorted(os.listdir(os.path.join(root, "doc"))) if re.fullmatch(r".+\.[1-8]", n)]
    for page in pages:
        done = subprocess.run([tool, "-T", "lint", "-W", "warning", page], cwd=root, capture_output=True, text=True, check=False)
        yield from done.stdout.splitlines()
    notes.append(f"manual pages: {len(pages)}")


def table_rows(text):
    """{path: default or None} out of config/table.c."""
    rows = {}
    macros = dict(re.findall(r'#define (\w+)\s+((?:\\?\s*"(?:[^"\\]|\\.)*"\s*)+)', text))
    for path, rest in re.findall(r'\{"([\w.\[\]]+)",\s*TYPE_\w+(.*?)\.help\s*=', text, re.S):
        default = re.search(r'\.fallback\s*=\s*("(?:[^"\\]|\\.)*"|\w+)', rest)
        value = default.group(1) if default else None
        value = macros.get(value, value)
        if value is not None:
            value = "".join(re.findall(r'"((?:[^"\\]|\\.)*)"', value)).replace('\\"', '"')
        rows[path] = value
    return rows


def manual_items(text):
    """{path: body} of the keys that sundew.json(5) lists as '.It Ic path'."""
    parts = re.split(r"^\.It Ic (\S+)\n", text, flags=re.M)
    return dict(zip(parts[1::2], parts[2::2]))


def check_keys(root):
    """sundew.json(5) documents the keys of the table, all of them and no others, with their defaults."""
    table, page = os.path.join(root, "config/table.c"), os.path.join(root, "doc/sundew.json.5")
    if not os.path.exists(table) or not os.path.exists(page):
        return
    rows, items = table_rows(read(root, "config/table.c")), manual_items(read(root, "doc/sundew.json.5"))
    for path in sorted(rows.keys() - items.keys()):
        yield f"doc/sundew.json.5: does not document {path}"
    for path in sorted(items.keys() - rows.keys()):
        yield f"doc/sundew.json.5: documents {path}, which config/table.c doesn't know"
    for path in sorted(rows.keys() & items.keys()):
        default = rows[path]
        if default is None:
            continue
        said = re.search(r"^Default:\n?(.*?)\.$", items[path], re.M | re.S)
        shown = re.sub(r"\s+", " ", re.sub(r"^\.(Li|Cm|Ql|Ic|Pa) ", "", said.group(1).strip(), flags=re.M)) if said else "none"
        if not shown.replace(" ", "").replace("\\(dq", '"').strip('"') == default.replace(" ", "").strip('"'):
            yield f"doc/sundew.json.5: {path}: default is {default}, the page says {shown}"
    notes.append(f"configuration keys: {len(rows)}, all documented" if rows.keys() == items.keys() else "")


def check_options(root):
    """The tool's help and sundew(1) know its options, sundew(1) the commands of the control socket."""
    if not os.path.exists(os.path.join(root, "tool/main.c")):
        return
    help_text, page = read(root, "tool/main.c"), read(root, "doc/sundew.1").replace(r"\-", "-")
    rows = dict(re.findall(r'\{"(\w+)", "((?:[^"\\]|\\.)*)"', help_text))
    options = set()
    for path in files(root, ".c", folders=["tool"]):
        text = read(root, path)
        compared = re.findall(r'strcmp\(argv\[\w+\], "(--?[a-z]+)"\)', text)
        for listed in re.findall(r"options\[\] = \{([^}]*)\}", text):
            compared += re.findall(r'"(--?[a-z]+)"', listed)
        options.update((path, option) for option in compared if option not in ("--", "-h"))
    for path, option in sorted(options):
        command = os.path.basename(path)[:-2]
        if not re.search(re.escape(option) + r"\b", rows.get(command, help_text.split("static int help", 1)[-1].split("}", 1)[0])):
            yield f"{path}: {option} isn't in the help of {command}"
        if f"Fl {option[1:]}" not in page:
            yield f"{path}: {option} isn't in doc/sundew.1"
    table = re.findall(r'\{"([a-z]+)", run_\w+\}', read(root, "resolver/command.c"))
    for command in table:
        if not re.search(rf"^\.It Ic {command} Ta", page, re.M):
            yield f"resolver/command.c: {command} isn't among the control protocol's commands in doc/sundew.1"
    notes.append(f"options of sundew: {len(options)}, commands of the control socket: {len(table)}")


CHECKS = [check_arrows, check_headers, check_sizes, check_text, check_format, check_manuals, check_keys, check_options]


def main(root):
    faults = 0
    for check in CHECKS:
        for fault in check(root):
            print(fault)
            faults += 1
    for note in filter(None, notes):
        print(note)
    print(f"lint: {faults} faults")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1] if len(sys.argv) > 1 else os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..")))
