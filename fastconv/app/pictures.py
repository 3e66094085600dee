"""Pictures of a training run, as PNG files: learning curves, filters, and answers on test images."""

import io
import math
import os
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.files import replacing

__all__ = ["draw_answers", "draw_curves", "draw_filters"]


def draw_curves(path: str | os.PathLike[str], history: Sequence[dict[Any, Any]]) -> None:
    """Loss and accuracy over the epochs, from the records that :func:`fastconv.app.train.fit` returns."""
    figure = _figure(9, 3.6)
    epochs = [record["epoch"] for record in history]
    for place, quantity in enumerate(("loss", "accuracy"), start=1):
        axes = figure.add_subplot(1, 2, place)
        for part, mark in (("train", "o-"), ("test", "s-")):
            if history and f"{part}_{quantity}" in history[0]:
                values = [record[f"{part}_{quantity}"] for record in history]
                axes.plot(epochs, values, mark, markersize=3, label=part)
        axes.set_xlabel("epoch")
        axes.set_ylabel(quantity)
        axes.xaxis.get_major_locator().set_params(integer=True)
        axes.grid(alpha=0.3)
        axes.legend()
    figure.tight_layout()
    _write(figure, path)


def draw_filters(path: str | os.PathLike[str], weight: np.ndarray) -> None:
    """The filters of a first layer, `weight` (K, C, R, S): in colour if C is 3, else each channel in grey.

    Grey filters share one scale, symmetric about zero (blue negative, red positive); each colour filter is stretched to
    [0, 1] by itself.
    At most 64 filters of 8 channels are drawn.
    """
    weight = np.asarray(weight)[:64]
    colour = weight.shape[1] == 3
    if colour:
        low, high = weight.min((1, 2, 3), keepdims=True), weight.max((1, 2, 3), keepdims=True)
        tiles = ((weight - low) / np.maximum(high - low, 1e-12)).transpose(0, 2, 3, 1)
        columns = math.ceil(math.sqrt(len(tiles)))
    else:
        tiles = weight[:, :8].reshape(-1, *weight.shape[2:])
        columns = min(weight.shape[1], 8) if weight.shape[1] > 1 else math.ceil(math.sqrt(len(tiles)))
    largest = float(np.abs(weight).max()) or 1.0
    figure, places = _grid(len(tiles), columns, 0.7, "first layer")
    for axes, tile in zip(places, tiles, strict=True):
        axes.imshow(tile, cmap=None if colour else "RdBu_r", vmin=-largest, vmax=largest)
    _write(figure, path)


def draw_answers(
    path: str | os.PathLike[str],
    images: np.ndarray,
    labels: Sequence[int] | np.ndarray,
    answers: Sequence[int] | np.ndarray,
    classes: Sequence[str],
    title: str,
) -> None:
    """Images (N, C, H, W) in [0, 1] under the model's answers; a wrong one in red, with what it is in brackets."""
    figure, places = _grid(len(images), 8, 1.15, title)
    for axes, image, label, answer in zip(places, images, labels, answers, strict=True):
        colour = image.shape[0] == 3
        axes.imshow(image.transpose(1, 2, 0) if colour else image[0], cmap=None if colour else "gray", vmin=0, vmax=1)
        wrong = answer != label
        text = f"{classes[answer]} (is {classes[label]})" if wrong else str(classes[answer])
        axes.set_title(text, parse_math=False, fontsize=6, pad=2, color="red" if wrong else "black")
        for spine in axes.spines.values():
            spine.set(visible=wrong, edgecolor="red", linewidth=2)
    _write(figure, path)


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


def _grid(count: int, columns: int, inches: float, title: str = ""):
    """A figure with `count` small squares without ticks under a title."""
    rows = max(1, math.ceil(count / columns))
    height = rows * inches + 0.4
    figure = _figure(columns * inches, height)
    figure.suptitle(title, fontsize=9, y=1 - 0.08 / height)
    places = figure.subplots(rows, columns, squeeze=False).ravel()
    for axes in places:
        axes.set(xticks=[], yticks=[])
        axes.set_visible(False)
    for axes in places[:count]:
        axes.set_visible(True)
    figure.subplots_adjust(0.02, 0.02, 0.98, 1 - 0.45 / height, wspace=0.1, hspace=0.25)
    return figure, places[:count]


def _write(figure, path: str | os.PathLike[str]) -> None:
    picture = io.BytesIO()
    figure.savefig(picture, format="png", dpi=120)
    with replacing(path) as file:
        file.write(picture.getvalue())
