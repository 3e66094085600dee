"""CIFAR-10 and CIFAR-100, from their python and from their binary files."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.vision.datasets._files import extract, fetch, has_md5
from fastconv.vision.datasets._pickle import Call, as_array, as_integers, read_pickle
from fastconv.vision.datasets.vision import ArrayDataset

__all__ = ["CIFAR10", "CIFAR100"]

PIXELS = 3 * 32 * 32
IMAGES = 10_000  # in one file, at most; CIFAR-100's training file has five times as many
PICKLE_LIMIT = 2 * IMAGES * PIXELS  # bytes; the published files hold the pixels and 4 % more


class CIFAR10(ArrayDataset):
    """CIFAR-10: 60,000 colour photographs of 32x32 pixels in 10 classes (A. Krizhevsky, 2009).

    The files are used as they are when they have the form of CIFAR-10's files, whoever wrote them: the python version
    in ``root/cifar-10-batches-py``, the binary version in ``root/cifar-10-batches-bin``, or either one in ``root``
    itself. Pickles are read without executing anything.

    Parameters
    ----------
    root : path
    train : bool
        The five training files, or the test file.
    transform, target_transform : callable, optional
        Applied to the images (Pillow, RGB) and to the targets.
    download : bool
        Fetch the files (170 MB) if they are not there or malformed.

    Attributes
    ----------
    data : ndarray of uint8, shape (N, 32, 32, 3)
    targets : list of int

    Raises
    ------
    RuntimeError
        If the files are not there, or one of them is truncated or foreign; the message names it.
    """

    data: Any
    targets: list[int]

    url = "https://www.cs.toronto.edu/~kriz/cifar-10-python.tar.gz"
    filename = "cifar-10-python.tar.gz"
    md5 = "c58f30108f718f92721af3b95e74349a"
    size = 170_498_071
    base_folder = "cifar-10-batches-py"
    binary_folder = "cifar-10-batches-bin"
    train_list: tuple[str, ...] = tuple(f"data_batch_{i}" for i in range(1, 6))
    test_list: tuple[str, ...] = ("test_batch",)
    meta: str = "batches.meta"
    label_names: tuple[str, ...] = ("labels",)  # of a record, in the binary files' order; the last is the target
    most_images: int = IMAGES
    classes: Sequence[str] = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")

    def __init__(
        self,
        root: str | os.PathLike[str],
        train: bool = True,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, train, transform, target_transform)
        self.classes = list(type(self).classes)
        try:
            planes, self.targets = self._load()
        except RuntimeError:
            if not download:
                raise
            self.download()
            planes, self.targets = self._load()
        # Stored plane by plane, as in the files, and seen as (N, H, W, C): a batch is then (N, C, H, W) in memory.
        self.data = planes.transpose(0, 2, 3, 1)

    def _load(self) -> tuple[np.ndarray, list[int]]:
        parts = [read(path, self) for read, path in self._files()]
        counts = [len(labels) for _, labels in parts]
        if len(set(counts)) != 1:
            listed = ", ".join(f"{path} has {count}" for (_, path), count in zip(self._files(), counts, strict=True))
            raise RuntimeError(
                f"{type(self).__name__}'s files hold equally many images, so one of these is truncated: {listed}"
            )
        planes = np.concatenate([pixels for pixels, _ in parts]).reshape(-1, 3, 32, 32)
        return planes, [label for _, labels in parts for label in labels]

    def _files(self) -> list[tuple[Callable[..., Any], Path]]:
        """The files of this split and how each is read, from the first place that has all of them."""
        names = self.train_list if self.train else self.test_list
        root = Path(self.root)
        absent = []
        for folder, suffix, read in (
            (root / self.base_folder, "", read_python_batch),
            (root / self.binary_folder, ".bin", read_binary_batch),
            (root, "", read_python_batch),
            (root, ".bin", read_binary_batch),
        ):
            paths = [folder / f"{name}{suffix}" for name in names]
            missing = [path for path in paths if not path.is_file()]
            if not missing:
                return [(read, path) for path in paths]
            absent.append(missing[0])
        raise RuntimeError(
            f"Dataset not found: {type(self).__name__} needs {', '.join(names)} (python version) or the same with .bin "
            f"(binary version), but there is no {', no '.join(map(str, absent))}. "
            "You can use download=True to download it"
        )

    def download(self) -> None:
        """Fetch and unpack the python version, whatever is there."""
        root = Path(self.root)
        archive = root / self.filename
        if not has_md5(archive, self.md5):
            fetch(self.url, archive, self.md5, self.size)
        names = {f"{self.base_folder}/{name}": name for name in (*self.train_list, *self.test_list, self.meta)}
        extract(archive, root / self.base_folder, names, PICKLE_LIMIT * self.most_images // IMAGES)


CIFAR100_CLASSES = """
    apple aquarium_fish baby bear beaver bed bee beetle bicycle bottle bowl boy bridge bus butterfly camel can
    castle caterpillar cattle chair chimpanzee clock cloud cockroach couch crab crocodile cup dinosaur dolphin
    elephant flatfish forest fox girl hamster house kangaroo keyboard lamp lawn_mower leopard lion lizard lobster
    man maple_tree motorcycle mountain mouse mushroom oak_tree orange orchid otter palm_tree pear pickup_truck
    pine_tree plain plate poppy porcupine possum rabbit raccoon ray road rocket rose sea seal shark shrew skunk
    skyscraper snail snake spider squirrel streetcar sunflower sweet_pepper table tank telephone television tiger
    tractor train trout tulip turtle wardrobe whale willow_tree wolf woman worm
"""


class CIFAR100(CIFAR10):
    """CIFAR-100: 60,000 colour photographs of 32x32 pixels in 100 classes (A. Krizhevsky, 2009).

    Everything is as in :class:`CIFAR10`; the files' folders are ``root/cifar-100-python`` and
    ``root/cifar-100-binary``. The targets are the 100 fine labels.
    """

    url = "https://www.cs.toronto.edu/~kriz/cifar-100-python.tar.gz"
    filename = "cifar-100-python.tar.gz"
    md5 = "eb9058c3a382ffc7106e4002c42a8d85"
    size = 169_001_437
    base_folder = "cifar-100-python"
    binary_folder = "cifar-100-binary"
    train_list: tuple[str, ...] = ("train",)
    test_list: tuple[str, ...] = ("test",)
    meta: str = "meta"
    label_names: tuple[str, ...] = ("coarse_labels", "fine_labels")
    most_images: int = 5 * IMAGES
    classes: Sequence[str] = tuple(CIFAR100_CLASSES.split())


def read_binary_batch(path: Path, kind: CIFAR10) -> tuple[np.ndarray, list[int]]:
    """Pixels, shape (N, 3072), and labels of a binary file: N records of a byte for each label and 3072 pixels."""
    labels = len(kind.label_names)
    record = labels + PIXELS
    size = path.stat().st_size
    count, rest = divmod(size, record)
    if rest or not 1 <= count <= kind.most_images:
        raise RuntimeError(
            f"{path} is truncated or no {type(kind).__name__} file: it has {size:,} bytes, "
            f"which is not 1 to {kind.most_images:,} records of {record:,}"
        )
    records = np.fromfile(path, np.uint8).reshape(-1, record)
    return records[:, labels:], _check_labels(path, records[:, labels - 1].tolist(), kind)


def read_python_batch(path: Path, kind: CIFAR10) -> tuple[np.ndarray, list[int]]:
    """Pixels, shape (N, 3072), and labels of a python file: a pickled dict with ``data`` and the labels."""
    name, most = type(kind).__name__, kind.most_images
    size, limit = path.stat().st_size, PICKLE_LIMIT * most // IMAGES
    if size > limit:
        raise RuntimeError(f"{path} is no {name} file: it has {size:,} bytes, more than {limit:,}")
    try:
        batch = read_pickle(path.read_bytes())
    except ValueError as error:
        raise RuntimeError(f"{path} is truncated or no {name} file: as a pickle, {error}") from None
    if not isinstance(batch, dict):
        raise RuntimeError(f"{path} is no {name} file: it holds a {type(batch).__name__}, not a dict")
    entries = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    label_name = kind.label_names[-1]
    if "data" not in entries or not isinstance(entries.get(label_name), list | Call):
        raise RuntimeError(f"{path} is no {name} file: it has no 'data' or no list of {label_name!r}")
    parts = []
    for key, read in (("data", as_array), (label_name, as_integers)):
        try:
            parts.append(read(entries[key]))
        except ValueError as error:
            raise RuntimeError(f"{path} is truncated or no {name} file: its {key!r} {error}") from None
    pixels, labels = parts
    if pixels.dtype != np.uint8 or pixels.shape != (len(labels), PIXELS) or not 1 <= len(labels) <= most:
        raise RuntimeError(
            f"{path} is truncated or no {name} file: its 'data' has the shape {pixels.shape} of {pixels.dtype}, where "
            f"1 to {most:,} rows of {PIXELS} pixels of uint8 are expected, and as many labels; it has "
            f"{len(labels):,} labels"
        )
    return pixels, _check_labels(path, labels, kind)


def _check_labels(path: Path, labels: list[Any], kind: CIFAR10) -> list[int]:
    most = len(type(kind).classes) - 1
    for i, label in enumerate(labels):
        if not isinstance(label, int) or not 0 <= label <= most:
            raise RuntimeError(f"{path} is no {type(kind).__name__} file: label {i} is not an integer from 0 to {most}")
    return labels
