"""CONTRIBUTING's map against what the files import."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastconv"
SOURCES = (".py", ".pyx", ".pxd", ".c", ".h")


def read_map():
    """For each row about the package: its places, what they may import (None: all above), and what of that not."""
    lines = (ROOT / "CONTRIBUTING.md").read_text().splitlines()
    first = lines.index("| where | what | may import |") + 2
    rows = []
    for line in lines[first:]:
        if not line.startswith("|"):
            return rows
        where, _, may_import = (cell.strip() for cell in line.strip("|").split("|"))
        if where.startswith("`fastconv/"):
            places = [place.removeprefix("fastconv/") for place in re.findall(r"`([^`]+)`", where)]
            listed = re.findall(r"`([^`]+)`", may_import.split(";")[0])
            everything = may_import.startswith("all of the above")
            rows.append((places, None if everything else listed, listed if everything else []))
    return rows


def table(header):
    """The rows of the table under this header: for each, its cells' names and its cells."""
    lines = (ROOT / "CONTRIBUTING.md").read_text().splitlines()
    rows = []
    for line in lines[lines.index(header) + 2 :]:
        if not line.startswith("|"):
            return rows
        cells = [cell.strip() for cell in line.strip("|").split("|")]
        rows.append(([re.findall(r"`([^`]+)`", cell) for cell in cells], cells))
    return rows


def row_of(path, rows):
    """The row of the longest place that the file is, or is in."""
    found = [
        (len(place), number)
        for number, (places, _, _) in enumerate(rows)
        for place in places
        if path == place or (place.endswith("/") and path.startswith(place))
    ]
    assert found, f"fastconv/{path} is in no row of CONTRIBUTING's map"
    return max(found)[1]


def imports(path):
    """The lines and the files of the package that a file imports."""
    package = ["fastconv", *path.relative_to(PACKAGE).parts[:-1]]
    for node in walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            targets = [alias.name.split(".") for alias in node.names]
        else:
            base = package[: len(package) + 1 - node.level] if node.level else []
            module = base + (node.module.split(".") if node.module else [])
            targets = [[*module, alias.name] for alias in node.names]
        for target in targets:
            if target[0] == "fastconv":
                file = file_of(target[1:])
                if file is not None:
                    yield node.lineno, file


def walk(node):
    """The imports in a node, but for those that only annotations need or only the first use of a name."""
    if isinstance(node, (ast.Import, ast.ImportFrom)):
        yield node
    if isinstance(node, ast.FunctionDef) and node.name == "__getattr__":
        return
    typing = isinstance(node, ast.If) and ast.unparse(node.test) == "TYPE_CHECKING"
    for child in node.orelse if typing else ast.iter_child_nodes(node):
        yield from walk(child)


def file_of(target):
    """The file that ``fastconv.a`` or ``fastconv.a.b`` is, or is in; None for a module that is not there."""
    for length in range(len(target), 0, -1):
        place = PACKAGE.joinpath(*target[:length])
        if place.is_dir():
            return "/".join(target[:length]) + "/__init__.py"
        if place.with_suffix(".py").exists() or place.with_suffix(".pyx").exists():
            return "/".join(target[:length]) + ".py"
    return "__init__.py" if len(target) < 2 else None


def test_a_file_imports_only_from_rows_above_its_own():
    rows = read_map()
    assert len(rows) > 10
    wrong = []
    for path in sorted(PACKAGE.rglob("*.py")):
        here = str(path.relative_to(PACKAGE))
        row = row_of(here, rows)
        _, listed, excepted = rows[row]
        for line, imported in imports(path):
            other = row_of(imported, rows)
            name = imported.split("/")[0].removesuffix(".py")
            allowed = name not in excepted if listed is None else name in listed
            if other != row and not (other < row and allowed):
                wrong.append(f"fastconv/{here}:{line} imports {imported}")
    assert not wrong, "\n".join(wrong)


def test_every_row_of_the_map_names_what_is_there():
    for places, _, _ in read_map():
        for place in places:
            assert (PACKAGE / place).exists(), place


def module_of(name):
    """A compiled module, as "layers/pooling", by the name of one of its files or by its own."""
    return re.sub(r"\.(pyx|pxd|py)$", "", name)


def cimports(module):
    """The modules of the compiled half that a module's two files cimport."""
    found = set()
    for file in (PACKAGE / "_native" / f"{module}.pyx", PACKAGE / "_native" / f"{module}.pxd"):
        text = file.read_text() if file.exists() else ""
        for source, names in re.findall(r"^from fastconv\._native(\.[\w.]+)? cimport (\([^)]*\)|.*)$", text, re.M):
            found |= {source[1:].replace(".", "/")} if source else set(re.findall(r"\w+", names))
    return found - {module}


def test_compiled_files_cimport_only_what_the_map_says():
    allowed, above, methods = {}, {}, set()
    for (files, _, listed), (_, _, cell) in table("| file | what | cimports |"):
        modules = [module_of(name) for name in files]
        short = {name.split("/")[-1]: name for name in above}
        unknown = set(listed) - set(short)
        assert not unknown, f"{unknown} are in no row above that of {modules}"
        listed = {short[name] for name in listed}
        if cell.startswith("every method"):
            listed |= methods
        # What is cimported from may be met at once too, and the table of kernels is everybody's.
        here = listed.union({"kernels"}, modules, *[above[name] for name in listed])
        for name in modules:
            above[name], allowed[name] = here, here
        if "problem" in here:
            methods |= set(modules)
        idle = listed - methods - set().union(*map(cimports, modules))
        assert not idle, f"{modules} do not cimport {idle}"
    for module, may in allowed.items():
        assert cimports(module) <= may, f"{module} cimports {cimports(module) - may}"


def test_every_compiled_file_is_in_the_map():
    native = PACKAGE / "_native"
    files = {module_of(str(p.relative_to(native))) for p in native.rglob("*.p[yx][xd]") if p.stem != "__init__"}
    assert {module_of(name) for (names, *_), _ in table("| file | what | cimports |") for name in names} == files
    sources = {path.name for path in (ROOT / "src_c").iterdir() if path.suffix in (".c", ".h")}
    assert {name for (names, _), _ in table("| file of `src_c/` | what |") for name in names} == sources


def test_the_walk_of_a_batch_names_what_is_there():
    text = (ROOT / "CONTRIBUTING.md").read_text()
    walk = text.split("### The walk of a batch")[1].split("\nNames: ")[0]
    files = [path for folder in (PACKAGE, ROOT / "src_c") for path in folder.rglob("*") if path.suffix in SOURCES]
    told = ""
    for step in re.split(r"\n\d+\. ", walk)[1:]:
        names = re.findall(r"`([^`]+)`", step)
        for name in [name for name in names if name.endswith(SOURCES)]:
            found = [path for path in files if path.as_posix().endswith(f"/{name.removeprefix('src_c/')}")]
            assert found, f"there is no {name}"
            told += "".join(path.read_text() for path in found)
        # Any other name is made of words that stand in a file which has been named by then, or is a file's own.
        for word in re.findall(r"[A-Za-z_]\w*", " ".join(name for name in names if not name.endswith(SOURCES))):
            known = re.search(rf"\b{word}\b", told) or any(path.stem == word for path in files)
            assert known, f"{word} is in no file that the walk has named"


def test_every_module_says_what_it_offers():
    for path in PACKAGE.rglob("*.py"):
        body = ast.parse(path.read_text()).body
        names = {ast.unparse(node.targets[0]) for node in body if isinstance(node, ast.Assign)}
        offers = (
            len(body) > 1
            and path.name not in ("__main__.py", "_openmp.py")
            and path.parent.name not in ("_native", "_path")
        )
        assert "__all__" in names or not offers, path


def test_no_module_bears_the_name_of_a_public_function():
    import fastconv

    modules = {path.stem for path in PACKAGE.glob("*.py")} | {path.name for path in PACKAGE.iterdir() if path.is_dir()}
    for name in fastconv.__all__:
        if name in modules:
            assert type(getattr(fastconv, name)).__name__ == "module", name
