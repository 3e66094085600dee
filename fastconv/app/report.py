"""``report.html``: a run in one page that needs nothing beside it."""

import base64
import html
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.app.pictures import duration
from fastconv.files import replacing

__all__ = ["write_report"]

# The pictures, in the order in which they tell the story, and what to read in them.
PICTURES = {
    "curves.png": (
        "How it learned",
        "Where the training goes on getting better and the test does not, the network learns its images by heart: more "
        "images, stronger <code>--augment</code> or fewer epochs help. Where both are still getting better at the end, "
        "more epochs help: <code>--resume RUN --epochs N</code>.",
    ),
    "confusion.png": (
        "What it takes for what",
        "A row for each class, a column for each answer. On the diagonal stand right answers; a dark square beside it "
        "is a pair that is mixed up often.",
    ),
    "mistakes.png": (
        "Its most confident mistakes",
        "Wrong answers that the network was surest of. Many of such are wrong labels, or images of two things.",
    ),
    "answers.png": (
        "Answers to test images",
        "The first images of the test, none of them trained on. Wrong answers bear a cross.",
    ),
    "filters.png": (
        "What its first layer looks for",
        "Each square is a filter: the pattern of pixels to which it answers most.",
    ),
}

STYLE = """
:root { color-scheme: light dark; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 70rem; margin: 0 auto; padding: 1rem; overflow-wrap: anywhere; }
h1 { font-size: 1.6rem; line-height: 1.2; } h2 { font-size: 1.2rem; margin-top: 2.5rem; }
figure { margin: 1rem 0; overflow-x: auto; }
img { max-width: 100%; height: auto; background: white; display: block; }
img.wide { min-width: 45rem; }
.scroll { overflow-x: auto; overflow-wrap: normal; }
table { border-collapse: collapse; }
th, td { padding: .25rem .75rem .25rem 0; text-align: left; vertical-align: top; border-bottom: 1px solid #8884; }
td { overflow-wrap: anywhere; min-width: 5rem; max-width: 40rem; }
td.number, th.number { text-align: right; white-space: nowrap; }
meter { width: 8rem; }
@media (max-width: 40rem) {
  .classes, .classes tbody { display: block; }
  .classes tr { display: grid; grid-template-columns: 1fr 4rem 4.8rem 3rem; border-bottom: 1px solid #8884; }
  .classes th, .classes td { border: 0; min-width: 0; padding-right: .4rem; }
  .classes meter { width: 2.5rem; }
  .classes :is(th, td):last-child { grid-column: 1 / -1; padding-left: 1rem; }
  .classes td:last-child:not(:empty)::before { content: "taken for "; }
  .classes th:last-child, .classes td:last-child:empty { display: none; }
}
code { font-size: .9em; }
.large { font-size: 2.2rem; line-height: 1.2; font-weight: 600; margin: .5rem 0; }
"""


def write_report(
    path: str | os.PathLike[str],
    title: str,
    facts: dict[str, str],
    notes: Sequence[str],
    counts: np.ndarray,
    classes: Sequence[str],
    history: Sequence[dict[str, Any]],
) -> None:
    """Write the page of a run, with the pictures that lie beside `path`.

    Parameters
    ----------
    path : path
        ``report.html`` in the run's folder.
    title : str
    facts : dict of str
        What the run was made with, by names.
    notes : sequence of str
        What was told at its start.
    counts : ndarray of int, shape (K, K)
        How often images of class i were answered with j.
    classes : sequence of str
    history : sequence of dict
        The epochs' records.
    """
    folder = os.path.dirname(os.fspath(path))
    right, total = int(np.trace(counts)), int(counts.sum())
    accuracy = right / max(total, 1)
    guess = counts.sum(1).max() / max(total, 1)
    seconds = sum(record.get("seconds", 0) for record in history)
    parts = [
        f"<h1>{html.escape(title)}</h1>",
        f'<p class="large">{100 * accuracy:.1f} % of {total} test images answered right</p>',
        f"<p>{right} of {total}. Whoever always answered with the most frequent class would be right in "
        f"{100 * guess:.1f} %.{_doubt(accuracy, total)} {len(history)} epochs took {duration(seconds)}.</p>",
        *[f"<p>{html.escape(note)}</p>" for note in notes],
        "<h2>Class by class</h2>",
        _class_table(counts, classes),
    ]
    for name, (heading, text) in PICTURES.items():
        place = os.path.join(folder, name)
        if os.path.exists(place):
            parts.append(f"<h2>{heading}</h2><p>{text}</p>{_picture(place, heading)}")
    rows = "".join(f"<tr><th>{html.escape(k)}</th><td>{html.escape(v)}</td></tr>" for k, v in facts.items())
    parts.append(f'<h2>What it was made with</h2><div class="scroll"><table>{rows}</table></div>')
    page = (
        '<!DOCTYPE html>\n<html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width, initial-scale=1">'
        f"<title>{html.escape(title)}</title><style>{STYLE}</style></head>\n<body>\n"
        + "\n".join(parts)
        + "\n</body></html>\n"
    )
    with replacing(path) as file:
        file.write(page.encode("utf-8", "replace"))


def _doubt(accuracy: float, total: int) -> str:
    """How far another test of as many images may be away: the interval of E. B. Wilson (1927), of 95 %."""
    if not total:
        return ""
    z = 1.96
    middle = (accuracy + z * z / (2 * total)) / (1 + z * z / total)
    half = z / (1 + z * z / total) * ((accuracy * (1 - accuracy) + z * z / (4 * total)) / total) ** 0.5
    low, high = max(0.0, middle - half), min(1.0, middle + half)
    return f" So few images say that it is between {100 * low:.0f} and {100 * high:.0f} %." if half > 0.02 else ""


def _class_table(counts: np.ndarray, classes: Sequence[str]) -> str:
    """A row a class: how many images, how many right, and what it is most often taken for."""
    rows = []
    order = sorted(range(len(classes)), key=lambda k: counts[k, k] / max(counts[k].sum(), 1))
    for k in order:
        total = int(counts[k].sum())
        share = counts[k, k] / total if total else 0.0
        others = counts[k].copy()
        others[k] = 0
        worst = int(others.argmax())
        taken = f"{html.escape(classes[worst])} ({others[worst]})" if others[worst] else ""
        rows.append(
            f'<tr><td>{html.escape(classes[k])}</td><td class="number">{total}</td>'
            + (
                f'<td class="number">{100 * share:.1f} %</td><td><meter value="{share:.4f}"></meter></td>'
                if total
                else "<td></td><td></td>"
            )
            + f"<td>{taken}</td></tr>"
        )
    head = (
        '<tr><th>class</th><th class="number">images</th><th class="number">right</th><th></th>'
        "<th>most often taken for</th></tr>"
    )
    return f'<div class="scroll"><table class="classes">{head}{"".join(rows)}</table></div>'


def _picture(path: str, text: str) -> str:
    """A picture's element, with the picture itself in it."""
    with open(path, "rb") as file:
        data = file.read()
    width = int.from_bytes(data[16:20], "big")  # where PNG has it
    wide = ' class="wide"' if width > 1000 else ""
    source = base64.b64encode(data).decode()
    return f'<figure><img{wide} alt="{html.escape(text)}" src="data:image/png;base64,{source}"></figure>'
