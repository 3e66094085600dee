"""``python -m tests.compatibility``: writes docs/compatibility.md, the names of torch that there are, with their tests.

The names are those that the modules of :data:`fastconv.as_torch.MODULES` offer; a test of a name is a file of this
folder in whose code it stands. :func:`page` makes the page from both, and a test holds that it is up to date.
"""

import importlib
import re
from pathlib import Path
from types import ModuleType

from fastconv.as_torch import MODULES

PAGE = Path(__file__).parent.parent / "docs" / "compatibility.md"
HEAD = """\
# Names of torch and torchvision

`fastconv run program.py` runs a program written for torch as it stands, `fastconv.as_torch.install()` does it in a
notebook, and `fastconv check program.py` says beforehand which names a program uses that are missing. These are the
names that there are, module by module, each with a test file in which it stands. Most of them are fastconv's own and
are found under its name as well: `torch.nn.Conv2d` is `fastconv.nn.Conv2d`, `torchvision.models` is
`fastconv.vision.models`. Those that say *for programs only* are there because programs written for torch name them; a
machine without a GPU has little to say about them, and they answer as torch does on one.

A name that is missing is an AttributeError or an ImportError that says it, and `hasattr` is False. Names that stand in
several modules of torch's are listed where they are documented.

The page is written by `python -m tests.compatibility`.
"""


def words_of_tests() -> dict[str, list[str]]:
    """The test files in whose code each name stands."""
    found: dict[str, list[str]] = {}
    folder = Path(__file__).parent
    patterns = "test_*.py", "programs/*.py", "beside_torch.txt", "known_numbers.json"
    for path in sorted(path for pattern in patterns for path in folder.glob(pattern)):
        words = set(re.findall(r"[A-Za-z_]\w*", path.read_text()))  # in strings too, by which tests look names up
        for word in words:
            found.setdefault(word, []).append(str(path.relative_to(folder)))
    return found


def names_of(module: str) -> dict[str, str]:
    """The names that a module of torch's has, and the module of fastconv from which each comes."""
    names: dict[str, str] = {}
    for source in MODULES[module]:
        offered = importlib.import_module(source)
        for name in offered.__all__:
            if not isinstance(getattr(offered, name), ModuleType) and not name.startswith("_"):
                names.setdefault(name, source)
    return names


def page() -> str:
    """The page, in Markdown."""
    tests = words_of_tests()
    parts = [HEAD]
    listed: set[tuple[str, str]] = set()
    for module in sorted(MODULES):
        rows = []
        for name, source in sorted(names_of(module).items()):
            if (source, name) in listed or any(part.startswith("_") for part in module.split(".")):
                continue
            listed.add((source, name))
            file = min(tests.get(name, ["none"]), key=lambda file: tests_order(file, source))
            note = " (for programs only)" if "._compat" in source else ""
            rows.append(f"| `{name}`{note} | {file} |")
        if rows:
            parts.append("\n".join([f"## {module}\n", "| name | test |", "|---|---|", *rows]) + "\n")
    return "\n".join(parts)


def tests_order(file: str, source: str) -> tuple[bool, str]:
    """Files that bear a word of the source's name come first."""
    return not any(word in file for word in source.split(".")[1:]), file


if __name__ == "__main__":
    PAGE.write_text(page())
