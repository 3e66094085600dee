"""docs/textbook.ipynb, the page docs/textbook.md with its results: ``python -m tests.notebook`` writes it.

What the page shows below its blocks is taken as their output, and so are the pictures that it shows after them; that
they are what the blocks give is held by tests/test_textbook.py. Nothing of Jupyter is needed, for the format is JSON
(nbformat 4.5).
"""

import base64
import json
import re
from pathlib import Path

PAGE = Path(__file__).resolve().parent.parent / "docs" / "textbook.md"
NOTEBOOK = PAGE.with_suffix(".ipynb")

# Fenced blocks, and pictures that stand alone on a line.
PIECE = re.compile(r"^```(python|text)\n(.*?)^```$|^!\[([^\]]*)\]\((images/[^)]*)\)$", re.MULTILINE | re.DOTALL)
KINDS = {".png": "image/png", ".jpg": "image/jpeg"}


def lines(text: str) -> list[str]:
    """As the format wants text."""
    return text.strip("\n").splitlines(keepends=True)


def cells(page: Path) -> list[dict]:
    """The page's cells: text, code, and what the code gives."""
    text = page.read_text(encoding="utf-8")
    found: list[dict] = []
    end = 0

    def add_text(part: str) -> None:
        if part.strip():
            found.append({"cell_type": "markdown", "metadata": {}, "source": lines(part)})

    for piece in PIECE.finditer(text):
        add_text(text[end : piece.start()])
        end = piece.end()
        kind, contents, caption, picture = piece.groups()
        if kind == "python":
            code = {"cell_type": "code", "metadata": {}, "source": lines(contents), "outputs": []}
            found.append(code | {"execution_count": sum(cell["cell_type"] == "code" for cell in found) + 1})
            continue
        code = next(cell for cell in reversed(found) if cell["cell_type"] == "code")
        if kind == "text":
            code["outputs"].append(
                {"output_type": "stream", "name": "stdout", "text": contents.splitlines(keepends=True)}
            )
        else:
            data = base64.b64encode((page.parent / picture).read_bytes()).decode()
            shown = {KINDS[Path(picture).suffix]: data, "text/plain": [caption]}
            code["outputs"].append({"output_type": "display_data", "data": shown, "metadata": {}})
    add_text(text[end:])
    for number, cell in enumerate(found):
        cell["id"] = f"cell-{number}"
    return found


def notebook(page: Path = PAGE) -> str:
    """The file's contents."""
    about = {
        "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
        "language_info": {"name": "python"},
    }
    book = {"cells": cells(page), "metadata": about, "nbformat": 4, "nbformat_minor": 5}
    return json.dumps(book, indent=1, ensure_ascii=False, sort_keys=True) + "\n"


if __name__ == "__main__":
    NOTEBOOK.write_text(notebook(), encoding="utf-8")
    print(f"{NOTEBOOK}: {len(cells(PAGE))} cells")
