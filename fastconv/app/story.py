"""What a run shows of itself at its end: pictures, and a page of them all. Where one fails, the others are drawn."""

import contextlib
import os
from typing import Any

import numpy as np

import fastconv
from fastconv import nn
from fastconv.app import pictures
from fastconv.app.info import versions
from fastconv.app.records import attempt
from fastconv.app.report import write_report
from fastconv.app.settings import SETTINGS
from fastconv.utils.data import DataLoader

__all__ = ["tell_story"]

# Images that a picture shows.
MISTAKES, ANSWERS = 24, 48


def tell_story(
    folder: str,
    model: nn.Module,
    sets: Any,
    pixels: dict[str, Any],
    settings: dict[str, Any],
    history: list[dict[str, Any]],
    notes: list[str],
) -> None:
    """Draw a run's pictures into its folder, and write its report.

    Parameters
    ----------
    folder : path
    model : nn.Module
        With its last weights.
    sets : fastconv.app.runs.Sets
    pixels : dict
        ``mean`` and ``std``, by which the images were normalised.
    settings, history
        The run's.
    notes : list of str
        What was told at its start.
    """

    def path(name: str) -> str:
        return os.path.join(folder, name)

    attempt(lambda: pictures.draw_curves(path("curves.png"), history))
    layers = [(name, module) for name, module in model.named_modules() if isinstance(module, nn.Conv2d)]
    if layers:
        name, first = layers[0]
        weight = first.weight.detach().numpy()
        attempt(lambda: pictures.draw_filters(path("filters.png"), weight, f"first layer ({name})"))

    labels, chances = _answers(model, sets.test)
    wrong = np.flatnonzero(labels != chances.argmax(1))
    counts = np.zeros((len(sets.classes),) * 2, np.int64)
    np.add.at(counts, (labels, chances.argmax(1)), 1)
    mean, std = (np.reshape(pixels[name], (-1, 1, 1)) for name in ("mean", "std"))

    def draw(name: str, shown: np.ndarray, title: str) -> None:
        images = [sets.test[int(i)][0].numpy() * std + mean for i in shown]
        pictures.draw_answers(path(name), images, labels[shown], chances[shown], sets.classes, title)

    attempt(lambda: pictures.draw_confusion(path("confusion.png"), counts, sets.classes))
    surest = wrong[np.argsort(-chances[wrong].max(1), kind="stable")][:MISTAKES]
    if len(surest):
        title = f"{len(wrong)} of {len(labels)} test images answered wrong, the most confident answers first"
        attempt(lambda: draw("mistakes.png", surest, title))
    else:
        with contextlib.suppress(FileNotFoundError):  # that of fewer epochs
            os.unlink(path("mistakes.png"))
    shown = _some_of_each(labels, len(sets.classes))
    attempt(lambda: draw("answers.png", shown, f"answers to {len(shown)} of {len(labels)} test images"))
    facts = _facts(model, sets, settings)
    attempt(lambda: write_report(path("report.html"), _title(settings), facts, notes, counts, sets.classes, history))


def _answers(model: nn.Module, images: Any) -> tuple[np.ndarray, np.ndarray]:
    """Labels (N,), and the probabilities of all classes (N, K) in float64."""
    labels, chances = [], []
    model.eval()
    with fastconv.no_grad():
        for batch, targets in DataLoader(images, batch_size=250):
            scores = model(batch).numpy().astype(np.float64)
            powers = np.exp(scores - scores.max(1, keepdims=True))
            labels.append(targets.numpy())
            chances.append(powers / powers.sum(1, keepdims=True))
    return np.concatenate(labels), np.concatenate(chances)


def _some_of_each(labels: np.ndarray, classes: int) -> np.ndarray:
    """Places of images, as many of one class as of another, class by class."""
    ranks = np.empty(len(labels), np.int64)
    for label in range(classes):
        places = np.flatnonzero(labels == label)
        ranks[places] = np.arange(len(places))
    chosen = np.lexsort((labels, ranks))[:ANSWERS]
    return chosen[np.lexsort((ranks[chosen], labels[chosen]))]


def _title(settings: dict[str, Any]) -> str:
    data = os.path.basename(settings["root"]) if settings["data"] == "folder" else settings["data"]
    return f"{settings['model']} on {data}"


def _facts(model: nn.Module, sets: Any, settings: dict[str, Any]) -> dict[str, str]:
    """What the run was made with, by names."""
    parts = {"training": sets.train, "validation": sets.val, "test": sets.test}
    facts = {
        "network": settings["model"],
        "learned numbers": f"{sum(p.numel() for p in model.parameters()):,}",
        "images": ", ".join(f"{len(images):,} for {name}" for name, images in parts.items() if images is not None),
    }
    facts["classes"] = ", ".join(f"{k} {name}" for k, name in enumerate(sets.classes))  # the numbers stand in pictures
    for name in SETTINGS:
        if name != "model" and settings[name] not in (None, False):
            facts[name.replace("_", " ")] = str(settings[name])
    return facts | {"versions": ", ".join(f"{name} {version}" for name, version in versions().items())}
