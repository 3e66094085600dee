"""``fastconv train --data folder``: which images a folder holds, of which classes, for training and for which test.

Every file is looked at before the first step of a training. What cannot be read is left out, and said so.
"""

import json
import os
import re
import zlib
from collections import Counter
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np

from fastconv._tensor import Tensor
from fastconv.app.images import is_hidden, is_image_name, open_image, prepared, visible_files
from fastconv.creation import from_numpy, randperm
from fastconv.random import Generator
from fastconv.utils.data import Columns, Dataset
from fastconv.vision._pillow import to_image
from fastconv.vision.transforms import batched

__all__ = ["Photos", "Split", "find_split", "pack", "read_photos", "unpack"]

PARTS = ("train", "val", "test")

# The usual names of the parts, without their case, digits and what follows in FILLING.
NAMES = {
    **dict.fromkeys(("train", "training", "trn", "learn"), "train"),
    **dict.fromkeys(
        ("val", "valid", "validate", "validation", "dev", "devel", "development", "eval", "evaluation"), "val"
    ),
    **dict.fromkeys(("test", "testing", "tst", "holdout", "hold out"), "test"),
}
FILLING = {"set", "data", "dataset", "images", "image", "imgs", "img", "photos", "pictures", "split", "seg", "folder"}

# Pixels of all images together, in bytes, up to which they are kept in memory rather than read in every epoch.
KEPT = 1 << 30


class Split(NamedTuple):
    """The images of a folder.

    Attributes
    ----------
    classes : list of str
    parts : dict
        For ``train``, ``test`` and, where the folder has one, ``val``: pairs of a path in the folder and a label.
    notes : list of str
        What was not taken, and why: sentences for whoever started the training.
    """

    classes: list[str]
    parts: dict[str, list[tuple[str, int]]]
    notes: list[str]


def find_split(root: str, seed: int) -> Split:
    """The images in a folder, by their names alone, and their parts.

    The parts are folders of any usual name (``train``, ``Training``, ``val``, ``valid``, ``dev``, ``test_set`` ...)
    with a folder for each class in each. Where there are none, the folders are the classes, and a fifth of each class
    of two images and more is kept for the test, drawn by `seed`. A folder that holds nothing but another is entered.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or no image where one is needed.
    ValueError
        If there are fewer than two classes, or a test of classes that the training has not.
    """
    if not os.path.isdir(root):
        there = "is a file, no folder" if os.path.exists(root) else "there is no such folder"
        raise FileNotFoundError(f"{root}: {there}")
    top = _entered(root)
    notes: list[str] = []
    parts = _parts_in(top)
    if not parts:
        classes, found = _classes_in(top, root, notes)
        _check_classes(top, classes)
        return Split(classes, _drawn(top, found, classes, seed, notes), notes)
    ignored = sorted(set(_folders(top)) - set(parts.values()))
    if ignored:
        notes.append(f"{', '.join(ignored)}: beside {parts['train']}, but by the name no images for a test: not used")
    train_top = _entered(os.path.join(top, parts["train"]))
    classes, found = _classes_in(train_top, root, notes)
    _check_classes(train_top, classes)
    result = {"train": found}
    for part in ("val", "test"):
        if part not in parts:
            continue
        place = _entered(os.path.join(top, parts[part]))
        if not _folders(place):
            notes.append(f"{place}: holds no folders of classes, so nothing is known of its images: not used")
            continue
        names, others = _classes_in(place, root, notes)
        strange = [name for name in names if name not in classes]
        if strange:
            raise ValueError(
                f"{root}: {parts['train']} has the classes {classes}, {parts[part]} has {names}; "
                f"{strange} could never be answered"
            )
        absent = [name for name in classes if name not in names]
        if absent:
            notes.append(f"{parts[part]}: has no images of {', '.join(absent)}")
        result[part] = [(path, classes.index(names[label])) for path, label in others]
    if len(result) == 1:
        return Split(classes, _drawn(train_top, found, classes, seed, notes), notes)
    if "test" not in result:  # two parts: one to learn from, one to be tested on
        result["test"] = result.pop("val")
    return Split(classes, result, notes)


def _folders(place: str) -> list[str]:
    """The names of the folders in a folder, but for hidden ones."""
    return sorted(e.name for e in os.scandir(place) if e.is_dir() and not is_hidden(e.name))


def _entered(place: str) -> str:
    """The folder, or the one in it where it holds only that and no image: archives are often unpacked so."""
    while True:
        names = [name for name in os.listdir(place) if not is_hidden(name)]
        folders = _folders(place)
        if len(folders) != 1 or any(is_image_name(name) for name in names):
            return place
        inner = os.path.join(place, folders[0])
        if not _folders(inner) or os.path.realpath(inner) == os.path.realpath(place):
            return place
        place = inner


def _parts_in(top: str) -> dict[str, str]:
    """The folder of each part; none where the folders are classes."""
    parts: dict[str, list[str]] = {}
    for name in _folders(top):
        part = _part_of(name)
        if part is not None:
            parts.setdefault(part, []).append(name)
    # A class may bear such a name too, as trains do. Then it holds images rather than classes.
    holding = {part: [name for name in names if _folders(os.path.join(top, name))] for part, names in parts.items()}
    if not any(holding.values()):
        if "train" in parts and len(parts) > 1:
            raise ValueError(
                f"{top}: {', '.join(name for names in parts.values() for name in names)} hold no folders, but each "
                "should hold one a class, with its images"
            )
        return {}
    if not holding.get("train"):
        named = ", ".join(name for names in holding.values() for name in names)
        raise ValueError(
            f"{top}: {named} looks like images for a test, but there are none to train on, in a folder `train`"
        )
    for part, names in holding.items():
        if len(names) > 1:
            raise ValueError(f"{top}: {' and '.join(names)} both look like the images for {part}; leave one there")
    return {part: (holding[part] or names)[0] for part, names in parts.items()}


def _part_of(name: str) -> str | None:
    """Which part of the images a folder's name says, if any."""
    words = [word for word in re.split(r"[^a-z]+", name.lower()) if word and word not in FILLING]
    word = " ".join(words)
    for ending in ("", *FILLING):
        if ending and word.endswith(ending) and word.removesuffix(ending) in NAMES:
            return NAMES[word.removesuffix(ending)]
    return NAMES.get(word)


def _classes_in(place: str, root: str, notes: list[str]) -> tuple[list[str], list[tuple[str, int]]]:
    """The classes in a folder, and their files: paths in `root`, with labels."""
    classes: list[str] = []
    found: list[tuple[str, int]] = []
    strangers = Counter[str]()
    for name in _folders(place):
        paths = visible_files(os.path.join(place, name))
        images = [path for path in paths if is_image_name(path)]
        strangers.update(os.path.splitext(path)[1].lower() or "no ending" for path in paths if not is_image_name(path))
        if images:
            found += [(os.path.relpath(path, root), len(classes)) for path in images]
            classes.append(name)
        else:
            notes.append(f"{os.path.join(place, name)}: holds no images, so it is no class")
    loose = [name for name in os.listdir(place) if is_image_name(name) and not is_hidden(name)]
    if loose and classes:
        notes.append(f"{place}: {_count(len(loose), 'image')} in no folder, so of no class: not used")
    if strangers:
        kinds = ", ".join(f"{count} of {ending}" for ending, count in strangers.most_common())
        notes.append(f"{place}: {_count(sum(strangers.values()), 'file')} by name no image ({kinds}): not used")
    if not classes:
        held = f"{_count(len(loose), 'image')} but no folders" if loose else "no images"
        raise FileNotFoundError(f"{place}: holds {held}; expected a folder a class, with its images: CLASS/IMAGE")
    return classes, found


def _check_classes(place: str, classes: Sequence[str]) -> None:
    if len(classes) < 2:
        raise ValueError(
            f"{place}: holds images of one class only, {classes[0]!r}; what could be told apart? It needs a folder for "
            "each of two classes or more"
        )


def _drawn(
    place: str, images: Sequence[tuple[str, int]], classes: Sequence[str], seed: int, notes: list[str]
) -> dict[str, list[tuple[str, int]]]:
    """A fifth of each class for the test, at least one where there are two, the rest for training."""
    generator = Generator().manual_seed(seed)  # its own: the split does not hang on what else is drawn
    tested: set[int] = set()
    for label, name in enumerate(classes):
        places = [i for i, (_, other) in enumerate(images) if other == label]
        order = randperm(len(places), generator=generator).tolist()
        count = max(1, len(places) // 5) if len(places) > 1 else 0
        if not count:
            notes.append(f"{name}: has one image, which is trained on, so the test says nothing of this class")
        tested.update(places[k] for k in order[:count])
    if not tested:
        raise ValueError(
            f"{place}: each of the {len(classes)} classes has one image only, so there is none to test on: at least "
            "one class needs two, or a folder `test` beside a folder `train` has them"
        )
    parts: dict[str, list[tuple[str, int]]] = {"train": [], "test": []}
    for i, image in enumerate(images):
        parts["test" if i in tested else "train"].append(image)
    return parts


def pack(split: Split) -> Tensor:
    """The classes and parts as bytes, for a checkpoint."""
    text = json.dumps([split.classes, split.parts], ensure_ascii=True)
    return from_numpy(np.frombuffer(bytearray(zlib.compress(text.encode(), 6)), np.uint8))


def unpack(packed: Tensor) -> Split:
    """The inverse of :func:`pack`; ValueError if it is none."""
    try:
        classes, parts = json.loads(zlib.decompress(packed.numpy().tobytes()))
        parts = {name: [(str(path), int(label)) for path, label in images] for name, images in parts.items()}
        good = set(parts) <= set(PARTS) and parts.keys() >= {"train", "test"} and len(classes) > 0
    except (zlib.error, ValueError, TypeError, AttributeError, RecursionError) as error:
        raise ValueError(f"the list of images cannot be read: {error}") from error
    if not good or not all(0 <= label < len(classes) for images in parts.values() for _, label in images):
        raise ValueError("the list of images is none of `fastconv train`")
    return Split([str(name) for name in classes], parts, [])


class Photos(Dataset):
    """Images in files, cut to squares of one size, with their labels; kept in memory where they were few enough.

    Parameters
    ----------
    root : path
    images : list of (path in root, label)
    cut : callable
        Makes of a Pillow image one of the size.
    transform : callable
        Makes the network's input of that.
    pixels : ndarray of uint8, shape (N, H, W, 3), optional
        The images after `cut`.
    """

    def __init__(
        self, root: str, images: Sequence[tuple[str, int]], cut: Any, transform: Any, pixels: np.ndarray | None = None
    ) -> None:
        self.root = root
        self.images = images
        self.cut = cut
        self.transform = transform
        self.pixels = pixels

    def __len__(self) -> int:
        return len(self.images)

    def path(self, index: int) -> str:
        """Where an image is."""
        return os.path.join(self.root, self.images[index][0])

    def image(self, index: int) -> Any:
        """The Pillow image, cut to its size."""
        return self.cut(open_image(self.path(index))) if self.pixels is None else to_image(self.pixels[index])

    def __getitem__(self, index: int) -> tuple[Any, int]:
        return self.transform(self.image(index)), self.images[index][1]

    def __getitems__(self, indices: list[int]) -> Sequence[tuple[Any, int]]:
        whole = batched(self.transform)
        if self.pixels is None:
            with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # reading lets other threads run
                images = list(pool.map(self.image, indices))
            # One after the other, so that what they draw at random is the same in any case.
            return [(self.transform(image), self.images[i][1]) for image, i in zip(images, indices, strict=True)]
        if whole is None:
            return [self[index] for index in indices]
        return Columns(whole(self.pixels[indices]), [self.images[index][1] for index in indices])


def read_photos(
    root: str, images: Sequence[tuple[str, int]], about: dict[str, Any], transform: Any
) -> tuple[Photos, list[str]]:
    """Look at every image; those that can be read, and what is wrong with each of the others, by its path in `root`.

    `about` says to what size they are cut, see :func:`fastconv.app.images.prepared`.
    """
    cut = prepared(about, whole=True)
    size = about["image_size"]
    kept = np.empty((len(images), size, size, 3), np.uint8) if len(images) * size * size * 3 <= KEPT else None

    def look(i: int) -> str | None:
        try:
            image = cut(open_image(os.path.join(root, images[i][0])))
        except RuntimeError as error:
            return str(error).removeprefix(os.path.join(root, ""))
        if kept is not None:
            kept[i] = np.asarray(image)
        return None

    with ThreadPoolExecutor(max_workers=os.cpu_count()) as pool:  # reading lets other threads run
        wrong = list(pool.map(look, range(len(images))))
    good = [i for i, message in enumerate(wrong) if message is None]
    if kept is not None and len(good) < len(images):
        kept = kept[good]
    photos = Photos(root, [images[i] for i in good], cut, transform, kept)
    return photos, [message for message in wrong if message is not None]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'' if number == 1 else 's'}"
