"""Pictures of a training run, as PNG files: learning curves, filters, answers on test images and how they are confused.

Colours are told apart by everyone (M. Okabe, K. Ito, 2008), and none of them alone says anything: lines differ by their
marks, wrong answers by their crosses.
"""

import functools
import io
import math
import os
import re
import textwrap
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.files import replacing

__all__ = ["draw_answers", "draw_confusion", "draw_curves", "draw_filters", "short_names", "wrapped"]

BLUE, VERMILION, GREY = "#0072B2", "#D55E00", "#666666"

# Fonts with the letters of East Asia, of which one may be installed where the usual one has none.
FONTS = (
    *("Noto Sans CJK SC", "Noto Sans CJK JP", "Noto Sans SC", "Source Han Sans SC", "WenQuanYi Zen Hei"),
    *("WenQuanYi Micro Hei", "Droid Sans Fallback", "IPAGothic", "Hiragino Sans GB", "PingFang SC", "Microsoft YaHei"),
    *("Noto Sans KR", "NanumGothic", "Unifont", "FreeSans"),
)


def draw_curves(path: str | os.PathLike[str], history: Sequence[dict[Any, Any]]) -> None:
    """Loss, accuracy and learning rate over the epochs, from the records of :func:`fastconv.app.train.fit`."""
    figure = _figure(11, 3.6)
    epochs = [record["epoch"] for record in history]
    best = None
    for place, quantity in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 3, place)
        for part, mark, colour in (("train", "o-", BLUE), ("val", "s--", VERMILION), ("test", "s--", VERMILION)):
            values = [record.get(f"{part}_{quantity}") for record in history]
            if None in values or not values:
                continue
            name = {"val": "validation"}.get(part, part)
            axes.plot(epochs, values, mark, color=colour, markersize=3, label=f"{name} {values[-1]:.4f}")
            if quantity == "accuracy" and part != "train":
                best = max(range(len(values)), key=values.__getitem__)
                axes.plot(epochs[best], values[best], "o", color=VERMILION, markersize=10, fillstyle="none")
        if quantity == "loss" and _is_wide([value for line in axes.lines for value in line.get_ydata()]):
            axes.set_yscale("log")
        axes.set_title(f"{quantity}; the last figures are in the legend", fontsize=8)
        axes.set_ylabel(quantity)
        if axes.lines:
            axes.legend(fontsize=8)
        _over_epochs(axes, epochs)
    axes = figure.add_subplot(1, 3, 3)
    rates = [record.get("lr") for record in history]
    if rates and None not in rates:
        axes.plot(epochs, rates, "o-", color=GREY, markersize=3)
        axes.set_title(f"learning rate at each epoch's end, now {rates[-1]:.3g}", fontsize=8)
    axes.set_ylabel("learning rate")
    axes.ticklabel_format(axis="y", style="sci", scilimits=(-3, 4))
    _over_epochs(axes, epochs)
    spent = sum(record.get("seconds", 0) for record in history)
    title = f"{len(epochs)} epoch{'s' if len(epochs) > 1 else ''}" + (f" in {duration(spent)}" if spent else "")
    if best is not None and len(epochs) > 1:
        title += f"; the ring is at the best accuracy, of epoch {epochs[best]}"
    figure.suptitle(title, fontsize=10)
    figure.tight_layout()
    _write(figure, path)


def _is_wide(values: Sequence[float]) -> bool:
    """Whether most of these would lie on the ground beside the largest, as losses do beside that of a bad epoch."""
    return bool(values) and min(values) > 0 and max(values) > 10 * float(np.median(values))


def _over_epochs(axes: Any, epochs: Sequence[int]) -> None:
    """Epochs along the x axis, which are whole numbers, be there only one."""
    from matplotlib.ticker import MaxNLocator

    axes.set_xlabel("epoch")
    if epochs:
        axes.set_xlim(epochs[0] - 0.5, epochs[-1] + 0.5)
    axes.xaxis.set_major_locator(MaxNLocator(integer=True, min_n_ticks=1))
    axes.grid(alpha=0.3)


def duration(seconds: float) -> str:
    """A time as people say it: 12 s, 3 min 5 s, 2 h 10 min."""
    whole = round(seconds)
    if seconds < 10:
        return f"{seconds:.1f} s"
    if whole < 60:
        return f"{whole} s"
    if whole < 3600:
        return f"{whole // 60} min {whole % 60} s"
    return f"{whole // 3600} h {whole % 3600 // 60} min"


def draw_filters(path: str | os.PathLike[str], weight: np.ndarray, layer: str = "first layer") -> None:
    """The filters of a layer, `weight` (K, C, R, S): in colour if C is 3, else each channel by itself.

    All share one scale, symmetric about zero, which the picture shows: of colours, grey is zero; of single channels,
    white. At most 64 filters of 8 channels are drawn.
    """
    from matplotlib.ticker import MaxNLocator

    total = np.asarray(weight).shape
    weight = np.asarray(weight, np.float64)[:64]
    largest = float(np.abs(weight).max()) or 1.0
    colour = weight.shape[1] == 3
    if colour:
        tiles = (weight / (2 * largest) + 0.5).transpose(0, 2, 3, 1)
        columns = math.ceil(math.sqrt(len(tiles)))
    else:
        tiles = weight[:, :8].reshape(-1, *weight.shape[2:])
        columns = min(weight.shape[1], 8) if weight.shape[1] > 1 else math.ceil(math.sqrt(len(tiles)))
    columns = max(columns, 4)
    several, many = ("s" if number > 1 else "" for number in total[:2])
    name = f"{layer}: {total[0]} filter{several} of {total[1]} channel{many}, {total[2]} x {total[3]}"
    if len(tiles) < total[0] * (1 if colour else total[1]):
        name += f"; {len(tiles)} shown"
    figure, places = _grid(len(tiles), columns, 0.8, name, below=0.75)
    shown: Any = None
    for axes, tile in zip(places, tiles, strict=True):
        shown = axes.imshow(tile, cmap=None if colour else "RdBu_r", vmin=-largest, vmax=largest)
    height = figure.get_figheight()
    scale = figure.add_axes((0.1, 0.42 / height, 0.8, 0.12 / height))
    if colour:
        scale.imshow(
            np.linspace(0, 1, 256)[None, :, None].repeat(3, 2), aspect="auto", extent=(-largest, largest, 0, 1)
        )
        scale.set(yticks=[])
        scale.set_xlabel("red, green and blue: weight of each, grey is 0", fontsize=7)
    else:
        figure.colorbar(shown, cax=scale, orientation="horizontal")
        scale.set_xlabel("weight", fontsize=7)
    scale.xaxis.set_major_locator(MaxNLocator(4))
    scale.tick_params(labelsize=7)
    _write(figure, path)


def draw_answers(
    path: str | os.PathLike[str],
    images: Sequence[np.ndarray],
    labels: Sequence[int] | np.ndarray,
    probabilities: np.ndarray,
    classes: Sequence[str],
    title: str,
) -> None:
    """Images (C, H, W) in [0, 1] under the likeliest answers, in percent; a wrong one crossed, with what it is."""
    names = [wrapped(name, 17, 2) for name in _drawable(short_names(classes))]
    answers = np.argmax(probabilities, 1)
    texts = []
    for label, answer, chances in zip(labels, answers, probabilities, strict=True):
        if answer == label:
            text = _with_share(names[answer], chances[answer])
        else:
            text = _with_share(f"\N{MULTIPLICATION X} {names[answer]}", chances[answer])
            text += "\n" + _with_share(f"is {names[label]}", chances[label])
        texts.append(text)
    tallest = max((text.count("\n") + 1 for text in texts), default=1)
    figure, places = _grid(len(images), min(max(len(images), 4), 8), 1.35, title, lines=0.06 + 0.12 * tallest)
    for axes, image, text, wrong in zip(places, images, texts, answers != np.asarray(labels), strict=True):
        colour = image.shape[0] == 3
        pixels = np.clip(image.transpose(1, 2, 0) if colour else image[0], 0, 1)
        axes.imshow(pixels, cmap=None if colour else "gray", vmin=0, vmax=1)
        axes.set_title(text, parse_math=False, fontsize=7, pad=2, color=VERMILION if wrong else "black")
        for spine in axes.spines.values():
            spine.set(visible=wrong, edgecolor=VERMILION, linewidth=2)
    _write(figure, path)


def _with_share(name: str, share: float) -> str:
    """A wrapped name and its share in percent, which takes a line of its own where it would stand out at the side."""
    percent = f"{100 * share:.0f} %"
    space = " " if len(name.rpartition("\n")[2]) + len(percent) < 20 else "\n"
    return f"{name}{space}{percent}"


def draw_confusion(path: str | os.PathLike[str], counts: np.ndarray, classes: Sequence[str]) -> None:
    """How often images of each class (rows) were answered with each (columns), `counts` (K, K); dark is often."""
    number = len(classes)
    names = [wrapped(name, 14, 2) for name in _drawable(short_names(classes))]
    side = min(max(0.42 * number, 2.6), 16)
    figure = _figure(side + 2.6, side + 2.2)
    axes = figure.add_subplot()
    shares = counts / np.maximum(counts.sum(1, keepdims=True), 1)
    image = axes.imshow(shares, cmap="Blues", vmin=0, vmax=1)
    bar = figure.colorbar(image, ax=axes, fraction=0.046, pad=0.04)
    bar.set_label("share of the images of the row's class", fontsize=7)
    bar.ax.tick_params(labelsize=7)
    step = max(1, math.ceil(number / 60))
    ticks = range(0, number, step)
    shown = [names[k] for k in ticks]
    axes.set_xticks(
        ticks, shown, rotation=90 if number > 6 and max(map(len, shown)) > 3 else 0, fontsize=7, parse_math=False
    )
    axes.set_yticks(ticks, shown, fontsize=7, parse_math=False)
    axes.set_xlabel("answer")
    axes.set_ylabel("class")
    axes.set_title(f"{int(np.trace(counts))} of {int(counts.sum())} right", fontsize=10)
    if number <= 30:
        for i, j in np.ndindex(number, number):
            if counts[i, j]:
                axes.text(j, i, str(counts[i, j]), ha="center", va="center", fontsize=7, color=_on(shares[i, j]))
    figure.tight_layout()
    _write(figure, path)


def _on(share: float) -> str:
    """The colour of what is written on a share's blue."""
    return "white" if share > 0.55 else "black"


def short_names(classes: Sequence[str]) -> list[str]:
    """The classes' names; where all are like MNIST's ``5 - five``, their first words."""
    if classes and all(" - " in name for name in classes):
        return [name.partition(" - ")[0] for name in classes]
    return list(classes)


def wrapped(name: str, width: int, lines: int) -> str:
    """A name in at most so many lines of so many letters; what is more becomes an ellipsis.

    The end stays: names that begin alike are told apart by it.
    """
    parts = textwrap.wrap(name.replace("_", "_ ").strip(), width, break_long_words=True) or [""]
    parts = [part.replace("_ ", "_") for part in parts]
    if len(parts) > lines:
        parts = [*parts[: lines - 1], "\N{HORIZONTAL ELLIPSIS}" + name.strip()[1 - width :]]
    return "\n".join(parts)


@functools.cache
def _fonts() -> tuple[list[str], frozenset[int]]:
    """The installed fonts to draw with, and the letters that they have."""
    from matplotlib import font_manager

    installed = {font.name: font.fname for font in font_manager.fontManager.ttflist}
    found = ["DejaVu Sans", *(name for name in FONTS if name in installed)]
    letters: set[int] = set()
    for name in found:
        if name in installed:
            letters.update(font_manager.get_font(installed[name]).get_charmap())
    return found, frozenset(letters)


def _drawable(names: Sequence[str]) -> list[str]:
    """The names as the installed fonts can draw them, without letters that none has.

    One of which little or nothing is left so, or the same as of another, becomes its number.
    """
    _, letters = _fonts()
    left = ["".join(x if ord(x) in letters else " " for x in name) for name in names]
    left = [" ".join(re.sub(r"\(\s*\)|\[\s*\]|\{\s*\}", " ", name).split()) for name in left]
    drawn = []
    for k, name in enumerate(names):
        if all(ord(letter) in letters or letter.isspace() for letter in name):
            drawn.append(name)
        else:
            good = sum(map(str.isalnum, left[k])) > 2 and left.count(left[k]) == 1
            drawn.append(left[k] if good else f"class {k}")
    return drawn


def _figure(width: float, height: float):
    """A figure of `width` x `height` inches that needs no display and leaves pyplot's state alone."""
    try:
        from matplotlib.backends.backend_agg import FigureCanvasAgg
        from matplotlib.figure import Figure
    except ImportError as error:
        raise ImportError('pictures need matplotlib: pip install "fastconv[train]"') from error
    figure = Figure(figsize=(width, height))
    FigureCanvasAgg(figure)
    return figure


def _grid(count: int, columns: int, inches: float, title: str = "", lines: float = 0.0, below: float = 0.05):
    """A figure with `count` small squares without ticks under a title; `lines` inches of text stand over each."""
    rows = max(1, math.ceil(count / columns))
    height = rows * (inches + lines) + 0.4 + below
    figure = _figure(columns * inches * 1.05, height)
    figure.suptitle(title, fontsize=9, y=1 - 0.08 / height, parse_math=False)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places:
        axes.set(xticks=[], yticks=[])
        axes.set_visible(False)
    for axes in places[:count]:
        axes.set_visible(True)
    figure.subplots_adjust(0.02, below / height, 0.98, 1 - (0.45 + lines) / height, 0.08, 0.08 + lines / inches)
    return figure, places[:count]


def _write(figure, path: str | os.PathLike[str]) -> None:
    import matplotlib

    picture = io.BytesIO()
    with matplotlib.rc_context({"font.family": _fonts()[0]}):
        for text in figure.findobj(lambda artist: hasattr(artist, "set_fontfamily")):
            text.set_fontfamily(_fonts()[0])
        figure.savefig(picture, format="png", dpi=120)
    with replacing(path) as file:
        file.write(picture.getvalue())
