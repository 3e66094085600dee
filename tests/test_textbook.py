"""docs/textbook.md runs from top to bottom, prints what it shows, and leaves out nothing of the chapter."""

import contextlib
import io
import json
import re
from pathlib import Path

import notebook
import pytest

PAGE = Path(__file__).resolve().parent.parent / "docs" / "textbook.md"

# A Python block and, where it follows, the text block with its output.
BLOCK = re.compile(r"^```python\n(.*?)^```$(?:\n\n```text\n(.*?)^```$)?", re.MULTILINE | re.DOTALL)

SECTIONS = ["12.1", "12.2", *(f"12.2.{n}" for n in range(1, 9)), "12.3", "12.3.1", "12.4"]
EXAMPLES = ["12.1.1", "12.1.2", "12.2.1", "12.2.2", "12.2.3", "12.2.5", "12.2.6", "12.2.7", "12.2.8", "12.2.9"]
PROBLEMS = ["12.1.3", "12.2.4"]
EQUATIONS = ["12.1", "12.2", "12.3", "12.4", "12.5", "12.6"]


def run_page(page: Path) -> int:
    """Run the page's Python blocks in order, in one namespace and the current folder; returns how many there were.

    Raises AssertionError where a block prints something other than the page shows.
    """
    text = page.read_text(encoding="utf-8")
    namespace: dict = {"__name__": "textbook"}
    blocks = list(BLOCK.finditer(text))
    for block in blocks:
        line = text.count("\n", 0, block.start(1))
        code = compile("\n" * line + block[1], str(page), "exec")  # tracebacks name the page's lines
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            exec(code, namespace)
        assert printed.getvalue() == (block[2] or ""), f"output of the block at line {line + 1} of {page.name}"
    return len(blocks)


def test_page_runs(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    pytest.importorskip("sklearn")
    pytest.importorskip("PIL")
    monkeypatch.chdir(tmp_path)
    assert run_page(PAGE) > 30
    shown = set(re.findall(r"\(images/(.*?)\)", PAGE.read_text(encoding="utf-8")))
    drawn = {path.name for path in (tmp_path / "images").iterdir()}
    kept = {path.name for path in (PAGE.parent / "images").iterdir()}
    assert shown == drawn == kept


def test_page_covers_the_chapter():
    text = PAGE.read_text(encoding="utf-8")
    headings = re.findall(r"^##+ (12[.\d]*\d) ", text, re.MULTILINE)
    assert headings == SECTIONS
    assert re.findall(r"\*\*Example (12[.\d]*\d)", text) == EXAMPLES
    assert re.findall(r"\*\*Problem (12[.\d]*\d)", text) == PROBLEMS
    for number in EQUATIONS:
        assert re.search(rf"[Ee]quation {number}|\({number}\)", text), f"equation {number} is missing"


def test_notebook_is_the_page():
    """What the script makes of the page, and a notebook by its format: every cell of a kind, code with its results."""
    text = notebook.NOTEBOOK.read_text(encoding="utf-8")
    assert text == notebook.notebook(), "python -m tests.notebook writes it anew"
    book = json.loads(text)
    assert (book["nbformat"], book["nbformat_minor"]) == (4, 5)
    assert book.keys() == {"cells", "metadata", "nbformat", "nbformat_minor"}
    page = PAGE.read_text(encoding="utf-8")
    code = [cell for cell in book["cells"] if cell["cell_type"] == "code"]
    assert ["".join(cell["source"]) + "\n" for cell in code] == [block[1] for block in BLOCK.finditer(page)]
    assert [cell["execution_count"] for cell in code] == list(range(1, len(code) + 1))
    printed = ["".join(o["text"]) for cell in code for o in cell["outputs"] if o["output_type"] == "stream"]
    assert printed == [block[2] for block in BLOCK.finditer(page) if block[2]]
    pictures = [o["data"] for cell in code for o in cell["outputs"] if o["output_type"] == "display_data"]
    assert len(pictures) == len(list((PAGE.parent / "images").iterdir()))
    for cell in book["cells"]:
        common = {"cell_type", "id", "metadata", "source"}
        assert cell.keys() == common | ({"execution_count", "outputs"} if cell["cell_type"] == "code" else set())
        assert re.fullmatch(r"[a-zA-Z0-9_-]{1,64}", cell["id"])
        assert "```python" not in "".join(cell["source"])
    assert len({cell["id"] for cell in book["cells"]}) == len(book["cells"])


def test_most_blocks_show_what_they_compute():
    blocks = list(BLOCK.finditer(PAGE.read_text(encoding="utf-8")))
    silent = [block[1].splitlines()[0] for block in blocks if not block[2] and "assert" in block[1]]
    assert len(silent) <= 3, silent


if __name__ == "__main__":
    print(f"{run_page(PAGE)} blocks ran; pictures are in {Path('images').resolve()}")
