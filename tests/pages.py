"""Pages as programs: ``python tests/pages.py PAGE`` runs the Python and the commands that it shows, in this folder."""

import contextlib
import importlib.util
import io
import re
import shlex
import sys
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent

# A block of Python or of commands and, where it follows, the text block with what it prints.
BLOCK = re.compile(r"^```(python|sh)\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)


# What a page takes for granted, by its name.
GIVEN = {
    "scale": """
from fastconv import nn, zeros
from fastconv.utils.data import TensorDataset
model, train = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4)), TensorDataset(zeros(64, 1, 8, 8), zeros(64))
"""
}
# What not everyone has installed that a block imports, by a word in the block.
NEEDS = {"fastconv.pytorch": "torch", "fastconv.distributed": "mpi4py"}


def run_page(page: Path) -> int:
    """Run the page's blocks in order, in one namespace; returns how many of Python there were.

    Raises AssertionError where a block of Python prints something other than a text block that follows it says, or a
    command of fastconv's fails; other commands are not run.
    """
    text = page.read_text(encoding="utf-8")
    namespace: dict = {"__name__": "page"}
    exec(GIVEN.get(page.stem, ""), namespace)
    count = 0
    for block in BLOCK.finditer(text):
        line = text.count("\n", 0, block.start(2))
        where = f"the block at line {line + 1} of {page.name}"
        if block[1] == "sh":
            for words in map(shorter, commands(block[2])):
                assert words is None or status_of(words) == 0, f"fastconv {' '.join(words)}, in {where}"
            continue
        count += 1
        if any(word in block[2] and importlib.util.find_spec(module) is None for word, module in NEEDS.items()):
            continue
        code = compile("\n" * line + block[2], str(page), "exec")  # tracebacks name the page's lines
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        if block[3] is not None:
            assert printed.getvalue() == block[3], f"{where} printed\n{printed.getvalue()}"
    return count


def commands(block: str) -> list[list[str]]:
    """The words after ``fastconv`` of each of its commands in a block."""
    lines = [shlex.split(line, comments=True) for line in block.splitlines()]
    return [words[1:] for words in lines if words[:1] == ["fastconv"]]


def shorter(words: list[str]) -> list[str] | None:
    """The same command in seconds: trainings of an epoch or, when they go on, two; None if that cannot be."""
    if words[0] == "train":
        if "--epochs" in words:
            at = words.index("--epochs")
            words = words[:at] + words[at + 2 :]
        return [*words, "--epochs", "2" if "--resume" in words else "1"]
    return None if words[0] in ("bench", "launch") else words


def status_of(words: list[str]) -> int:
    """The exit status of the command, in this process."""
    from fastconv.app import cli

    try:
        return cli.main(words)
    except SystemExit as end:  # argparse's way
        return int(end.code or 0)


if __name__ == "__main__":
    run_page(Path(sys.argv[1]))
