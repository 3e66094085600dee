"""``fastconv predict`` and :func:`load_run`: what a trained network says of new images, and what it looked at."""

import csv
import json
import os
import sys
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np

import fastconv
from fastconv import nn
from fastconv.app.images import is_image_name, open_image, prepared, visible_files
from fastconv.app.networks import is_network, network
from fastconv.vision._pillow import pillow, to_image

__all__ = ["Run", "heatmap", "load_run", "predict", "read_run"]

WEIGHTS = "model.safetensors"
BEST = "best.safetensors"

# Images that the network is given at once.
BATCH = 32


class Run(NamedTuple):
    """A trained network and what is needed to ask it.

    Attributes
    ----------
    model : nn.Module
        In evaluation mode. Takes images (N, C, H, W), returns scores (N, classes).
    classes : list of str
        What each score is of.
    transform : callable
        Makes a tensor (C, H, W) of a Pillow image of any size and mode.
    """

    model: nn.Module
    classes: list[str]
    transform: Callable[[Any], fastconv.Tensor]


def load_run(folder: str | os.PathLike[str], best: bool = False) -> Run:
    """The network that ``fastconv train`` left in a folder, its classes, and the transform that its images need.

    Parameters
    ----------
    folder : path
        The run's folder, as ``runs/folder-1``.
    best : bool
        Take the weights of the epoch that did best, rather than the last ones.

    Returns
    -------
    Run
        A named tuple (model, classes, transform).

    Raises
    ------
    FileNotFoundError
        There is no such folder, or the run in it has not come to its end.
    CheckpointError
        The file of weights is damaged, or not of ``fastconv train``.

    Examples
    --------
    >>> import PIL.Image
    >>> model, classes, transform = fastconv.load_run("runs/digits-1")
    >>> scores = model(transform(PIL.Image.open("photo.png")).unsqueeze(0))
    >>> classes[scores.argmax()] in "0123456789"
    True
    """
    return read_run(folder, best)[0]


def read_run(folder: str | os.PathLike[str], best: bool) -> tuple[Run, dict[str, Any]]:
    """The run, and what its file says about it."""
    from fastconv.app import checkpoint

    folder = os.fspath(folder)
    path = os.path.join(folder, BEST if best else WEIGHTS)
    if not os.path.isdir(folder):
        there = "is a file, not a run's folder" if os.path.isfile(folder) else "there is no such folder, so no run"
        raise FileNotFoundError(f"{folder}: {there}")
    if not os.path.exists(path):
        if os.path.exists(os.path.join(folder, "checkpoint.safetensors")):
            has_best = not best and os.path.exists(os.path.join(folder, BEST))
            also = "; its best weights so far are there (--best)" if has_best else ""
            raise FileNotFoundError(f"{path}: is not there, for the run has not come to its end{also}")
        raise FileNotFoundError(f"{path}: there are no weights, so no run of `fastconv train`")
    arrays, about = checkpoint.read(path)
    about = _checked(path, about)
    sizes = len(about["mean"]), about["image_size"], len(about["classes"])
    try:
        model = network(about["model"], *sizes)
        model.load_state_dict({name: fastconv.from_numpy(array) for name, array in arrays.items()})
    except (RuntimeError, ValueError) as error:
        raise checkpoint.CheckpointError(f"{path}: does not fit {about['model']}: {error}") from error
    model.eval()
    return Run(model, about["classes"], prepared(about)), about


def _checked(path: str, about: Any) -> dict[str, Any]:
    """What a file of weights says about its run, completed where an earlier release wrote it."""
    from fastconv.app.checkpoint import CheckpointError
    from fastconv.app.settings import DATA, MOST_PIXELS, early_size

    if not isinstance(about, dict) or not about.keys() >= {"model", "data", "classes", "mean", "std"}:
        raise CheckpointError(f"{path}: is no file of weights of `fastconv train`")
    about = {"image_size": None, "squeezed": "image_size" not in about} | about
    if about["image_size"] is None and about["data"] in list(DATA):
        about["image_size"] = early_size(about["data"])

    def numbers(values: Any, least: float) -> bool:
        return isinstance(values, list) and all(isinstance(v, int | float) and v >= least for v in values)

    good = is_network(about["model"]) and isinstance(about["classes"], list) and about["classes"]
    good = good and all(isinstance(name, str) for name in about["classes"])
    good = good and numbers(about["mean"], -1e9) and numbers(about["std"], 1e-9)
    good = good and len(about["mean"]) == len(about["std"]) and len(about["mean"]) in (1, 3)
    good = good and isinstance(about["image_size"], int) and 1 <= about["image_size"] <= MOST_PIXELS
    if not good:
        raise CheckpointError(f"{path}: says nonsense about its run: {str(about)[:300]}")
    return about


def predict(
    folder: str,
    sources: Sequence[str],
    form: str = "text",
    top: int = 3,
    best: bool = False,
    heatmaps: str | None = None,
) -> int:
    """Print what the run's network says of images; returns how many could not be read, each named on standard error.

    Parameters
    ----------
    folder : path
        The run's.
    sources : sequence of str
        Files; folders, of which all images are taken; ``-`` for standard input, an image or the names of files, a line
        each.
    form : 'text', 'csv' or 'json'
        A line an image, with the `top` likeliest classes; or a column a class; or an object a line.
    top : int
    best : bool
        As of :func:`load_run`.
    heatmaps : path, optional
        Folder for a picture of each image, with what the answer looked at; not one that the images come from, which
        they might overwrite.
    """
    if heatmaps is not None:
        _check_heatmaps(heatmaps, sources)
    run, about = read_run(folder, best)
    channels = len(about["mean"])
    unread = 0
    if heatmaps is not None:
        os.makedirs(heatmaps, exist_ok=True)
    write = _writer(form, run.classes, min(top, len(run.classes)))
    taken: set[str] = set()
    waiting: list[tuple[str, Any]] = []
    models = [run.model]

    def answer() -> None:
        images = [run.transform(image) for _, image in waiting]
        # To make a plan takes longer than a batch: it is worth it for whole ones after the first.
        model = models[-1] if len(images) == BATCH else run.model
        for (name, image), x, probabilities in zip(waiting, images, _probabilities(model, images), strict=True):
            drawn = None
            if heatmaps is not None:
                drawn = os.path.join(heatmaps, _free_name(name, taken))
                cut = prepared(about | {"image_size": 320}, whole=True)(image)
                _draw_heatmap(drawn, cut, heatmap(run.model, x, int(probabilities.argmax())))
            write(name, probabilities, drawn)
        sys.stdout.flush()
        if len(images) == BATCH and len(models) == 1:
            models.append(fastconv.optimize(run.model))
        waiting.clear()

    for name, source in _found(sources):
        try:
            waiting.append((name, open_image(source, channels)))
        except RuntimeError as error:
            answer()  # so that what is told of the images is told in their order
            print(f"fastconv predict: {error}", file=sys.stderr)
            unread += 1
        if len(waiting) == BATCH:
            answer()
    answer()
    return unread


def _check_heatmaps(folder: str, sources: Iterable[str]) -> None:
    """That no picture of this folder can be one of the images."""
    if os.path.exists(folder) and not os.path.isdir(folder):
        raise ValueError(f"--heatmap {folder}: is a file, not a folder for pictures; name the images before --heatmap")
    for source in sources:
        place = source if os.path.isdir(source) else os.path.dirname(source)
        if source != "-" and os.path.realpath(place) == os.path.realpath(folder):
            raise ValueError(f"--heatmap {folder}: holds {source}, which a picture might overwrite")


def _found(sources: Iterable[str]) -> Iterator[tuple[str, str | bytes]]:
    """The names and the places of the images: files as they are named, all of a folder but what is hidden."""
    for source in sources:
        if source == "-":
            contents = sys.stdin.buffer.read()
            names = _lines(contents)
            if names is None:
                yield "-", contents
            else:
                yield from ((name, name) for name in names)
        elif os.path.isdir(source):
            paths = [path for path in visible_files(source) if is_image_name(path)]
            if not paths:
                print(f"fastconv predict: {source}: holds no images", file=sys.stderr)
            yield from ((path, path) for path in paths)
        else:
            yield source, source


def _lines(contents: bytes) -> list[str] | None:
    """The lines of what was read, if it is text; None if it is not."""
    try:
        text = contents.decode()
    except UnicodeDecodeError:
        return None
    lines = [line.strip() for line in text.splitlines() if line.strip()]
    return lines if lines and all(line.isprintable() for line in lines) else None


def _probabilities(model: nn.Module, images: Sequence[fastconv.Tensor]) -> np.ndarray:
    """The softmax of the scores of images (C, H, W), in float64: shape (N, classes)."""
    if not images:
        return np.empty((0, 0))
    with fastconv.no_grad():
        scores = model(fastconv.stack(list(images))).numpy().astype(np.float64)
    powers = np.exp(scores - scores.max(1, keepdims=True))
    return powers / powers.sum(1, keepdims=True)


def _writer(form: str, classes: Sequence[str], top: int) -> Callable[[str, np.ndarray, str | None], None]:
    """A function that prints one answer."""
    if form == "csv":
        table = csv.writer(sys.stdout, lineterminator="\n")
        table.writerow(["image", "answer", "probability", *classes])

    def write(name: str, probabilities: np.ndarray, drawn: str | None) -> None:
        order = np.argsort(-probabilities, kind="stable")
        answer, probability = classes[order[0]], float(probabilities[order[0]])
        if form == "csv":
            table.writerow([name, answer, f"{probability:.6f}", *(f"{value:.6f}" for value in probabilities)])
        elif form == "json":
            record = {"image": name, "answer": answer, "probability": round(probability, 6)}
            record["probabilities"] = {c: round(float(p), 6) for c, p in zip(classes, probabilities, strict=True)}
            print(json.dumps(record | ({} if drawn is None else {"heatmap": drawn}), ensure_ascii=False))
        else:
            parts = ", ".join(f"{classes[k]} {100 * probabilities[k]:.1f} %" for k in order[:top])
            print(f"{name}: {parts}" + ("" if drawn is None else f"  ({drawn})"))

    return write


def heatmap(model: nn.Module, image: fastconv.Tensor, label: int) -> np.ndarray:
    """Where the network looked when it gave an image its score of `label`: Grad-CAM (R. R. Selvaraju et al., 2017).

    ``L = relu(sum_k a_k A_k)``, with ``a_k`` the mean over positions of the gradient of the score by the feature map
    ``A_k``. The maps are the output of the last layer that still has at least 4 x 4 positions, or of the last with any.

    Parameters
    ----------
    model : nn.Module
        Left in the mode that it is in; should be in evaluation mode.
    image : Tensor (C, H, W)
    label : int

    Returns
    -------
    ndarray (P, Q) of float64
        In [0, 1]; all zero where nothing speaks for the class.
    """
    seen: list[fastconv.Tensor] = []
    hooks = [
        module.register_forward_hook(
            lambda module, inputs, y: seen.append(y) if isinstance(y, fastconv.Tensor) else None
        )
        for module in model.modules()
    ]
    try:
        with fastconv.enable_grad():
            x = image.detach().unsqueeze(0).requires_grad_()
            score = model(x)[0, label]
    finally:
        for hook in hooks:
            hook.remove()
    maps = [y for y in seen if y.ndim == 4 and y.requires_grad]
    fine = [y for y in maps if min(y.shape[2:]) >= 4] or [y for y in maps if min(y.shape[2:]) > 1] or [x]
    (gradient,) = fastconv.autograd.grad(score, [fine[-1]])
    a, features = (t.detach().numpy()[0].astype(np.float64) for t in (gradient, fine[-1]))
    importance = np.maximum((a.mean((1, 2), keepdims=True) * features).sum(0), 0)
    largest = importance.max()
    return importance / largest if largest > 0 else importance


def _draw_heatmap(path: str, image: Any, importance: np.ndarray) -> None:
    """Write the image, and beside it the image in grey under the importance, from blue over white to yellow."""
    from fastconv.files import replacing

    image_module = pillow()
    image = image.convert("RGB")
    cells = to_image(np.rint(255 * importance).astype(np.uint8)).resize(image.size, image_module.Resampling.BICUBIC)
    share = np.asarray(cells)[:, :, None] / 255
    # Dark blue to yellow, which everyone tells apart: their lightness rises all the way.
    stops = np.array([[0, 32, 92], [87, 92, 109], [163, 149, 119], [255, 234, 70]])
    colours = np.stack([np.interp(share[:, :, 0], np.linspace(0, 1, len(stops)), stops[:, c]) for c in range(3)], 2)
    grey = np.asarray(image.convert("L"))[:, :, None]
    mixed = to_image(np.rint(0.45 * grey + 0.55 * colours).astype(np.uint8))
    both = image_module.new("RGB", (2 * image.width + 8, image.height), "white")
    both.paste(image, (0, 0))
    both.paste(mixed, (image.width + 8, 0))
    with replacing(path) as file:
        both.save(file, format="PNG")


def _free_name(name: str, taken: set[str]) -> str:
    """The name of an image's heatmap, which no other image of this call has."""
    stem = os.path.splitext(os.path.basename(name))[0].strip("-.") or "image"
    free, n = f"{stem}.png", 1
    while free in taken:
        n += 1
        free = f"{stem}-{n}.png"
    taken.add(free)
    return free
