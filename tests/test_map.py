"""CONTRIBUTING's map against what the files import."""

import ast
import re
from pathlib import Path

ROOT = Path(__file__).parent.parent
PACKAGE = ROOT / "fastconv"


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
