"""CIFAR-10, from its python and from its binary files."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.vision.datasets._files import extract, fetch, has_md5
from fastconv.vision.datasets._pickle import as_array, read_pickle
from fastconv.vision.datasets.vision import ArrayDataset

__all__ = ["CIFAR10"]

PIXELS = 3 * 32 * 32
IMAGES = 10_000  # in one file, at most
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
    test_list: tuple[str] = ("test_batch",)
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
        parts = [read(path) for read, path in self._files()]
        counts = [len(labels) for _, labels in parts]
        if len(set(counts)) != 1:
            listed = ", ".join(f"{path} has {count}" for (_, path), count in zip(self._files(), counts, strict=True))
            raise RuntimeError(f"CIFAR-10's files hold equally many images, so one of these is truncated: {listed}")
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
        names = {f"{self.base_folder}/{name}": name for name in (*self.train_list, *self.test_list, "batches.meta")}
        extract(archive, root / self.base_folder, names, PICKLE_LIMIT)


def read_binary_batch(path: Path) -> tuple[np.ndarray, list[int]]:
    """Pixels, shape (N, 3072), and labels of a binary file: N records of a label byte and 3072 pixels."""
    record = 1 + PIXELS
    size = path.stat().st_size
    count, rest = divmod(size, record)
    if rest or not 1 <= count <= IMAGES:
        raise RuntimeError(
            f"{path} is truncated or no CIFAR-10 file: it has {size:,} bytes, "
            f"which is not 1 to {IMAGES:,} records of {record:,}"
        )
    records = np.fromfile(path, np.uint8).reshape(-1, record)
    return records[:, 1:], _check_labels(path, records[:, 0].tolist())


def read_python_batch(path: Path) -> tuple[np.ndarray, list[int]]:
    """Pixels, shape (N, 3072), and labels of a python file: a pickled dict with ``data`` and ``labels``."""
    size = path.stat().st_size
    if size > PICKLE_LIMIT:
        raise RuntimeError(f"{path} is no CIFAR-10 file: it has {size:,} bytes, more than {PICKLE_LIMIT:,}")
    try:
        batch = read_pickle(path.read_bytes())
    except ValueError as error:
        raise RuntimeError(f"{path} is truncated or no CIFAR-10 file: as a pickle, {error}") from None
    if not isinstance(batch, dict):
        raise RuntimeError(f"{path} is no CIFAR-10 file: it holds a {type(batch).__name__}, not a dict")
    entries = {key.decode("latin-1") if isinstance(key, bytes) else key: value for key, value in batch.items()}
    if "data" not in entries or not isinstance(entries.get("labels"), list):
        raise RuntimeError(f"{path} is no CIFAR-10 file: it has no 'data' or no list of 'labels'")
    try:
        pixels = as_array(entries["data"])
    except ValueError as error:
        raise RuntimeError(f"{path} is truncated or no CIFAR-10 file: its 'data' {error}") from None
    labels = entries["labels"]
    if pixels.shape != (len(labels), PIXELS) or not 1 <= len(labels) <= IMAGES:
        raise RuntimeError(
            f"{path} is truncated or no CIFAR-10 file: its 'data' has the shape {pixels.shape}, where 1 to "
            f"{IMAGES:,} rows of {PIXELS} pixels are expected, and as many labels; it has {len(labels):,} labels"
        )
    return pixels, _check_labels(path, labels)


def _check_labels(path: Path, labels: list[Any]) -> list[int]:
    for i, label in enumerate(labels):
        if not isinstance(label, int) or not 0 <= label < 10:
            raise RuntimeError(f"{path} is no CIFAR-10 file: label {i} is not an integer from 0 to 9")
    return labels
