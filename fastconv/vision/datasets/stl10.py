"""STL-10, from its binary files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.vision.datasets._files import chosen, fetch_archive
from fastconv.vision.datasets.vision import ArrayDataset

__all__ = ["STL10"]

PIXELS = 3 * 96 * 96


class STL10(ArrayDataset):
    """STL-10: 13,000 colour photographs of 96x96 pixels in 10 classes, 100,000 in none (A. Coates and others, 2011).

    Parameters
    ----------
    root : path
        Has the folder ``stl10_binary``.
    split : {'train', 'test', 'unlabeled', 'train+unlabeled'}
    folds : int, optional
        Which of the ten published folds of 1,000 training images; all 5,000 by default.
    transform, target_transform : callable, optional
        Applied to the images (Pillow, RGB) and to the targets.
    download : bool
        Fetch the files (2.6 GB) if they are not there.

    Attributes
    ----------
    data : ndarray of uint8, shape (N, 3, 96, 96)
    labels : ndarray, shape (N,)
        -1 for images without a class.
    classes : list of str

    Raises
    ------
    ValueError
        If there is no such split or fold.
    RuntimeError
        If the files are not there, truncated or foreign.
    """

    url = "http://ai.stanford.edu/~acoates/stl10/stl10_binary.tar.gz"
    tgz_md5 = "91f7769df0f17e558f3565bffb0c7dfb"
    base_folder = "stl10_binary"
    splits: tuple[str, ...] = ("train", "train+unlabeled", "unlabeled", "test")
    classes = ("airplane", "bird", "car", "cat", "deer", "dog", "horse", "monkey", "ship", "truck")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        folds: int | None = None,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, split != "test", transform, target_transform)
        self.split: str = chosen(split, "split", self.splits)
        if folds is not None and not isinstance(folds, int):
            raise ValueError(f"Expected type None or int for argument folds, but got type {type(folds)}.")
        if folds is not None and not 0 <= folds < 10:
            raise ValueError(f"Value for argument folds should be in the range [0, 10), but got {folds}.")
        self.folds = folds
        missing = self._missing()
        if missing and download:
            self.download()
            missing = self._missing()
        if missing:
            raise RuntimeError(
                f"Dataset not found: STL10 needs {', '.join(map(str, missing))}. "
                "You can use download=True to download it"
            )
        parts = [self._read(part) for part in ("train", "unlabeled", "test") if part in split]
        self.data: np.ndarray = np.concatenate([pixels for pixels, _ in parts]) if len(parts) > 1 else parts[0][0]
        self.labels: np.ndarray = np.concatenate([labels for _, labels in parts])
        self.classes = list(type(self).classes)

    @property
    def _folder(self) -> Path:
        return Path(self.root, self.base_folder)

    def _missing(self) -> list[Path]:
        names = [f"{part}_X.bin" for part in ("train", "unlabeled", "test") if part in self.split]
        names += [f"{part}_y.bin" for part in ("train", "test") if part in self.split]
        names += ["fold_indices.txt"] if self.folds is not None and "train" in self.split else []
        return [self._folder / name for name in names if not (self._folder / name).is_file()]

    def _read(self, part: str) -> tuple[np.ndarray, np.ndarray]:
        """Pixels and labels of a part; of the training images' chosen fold."""
        path = self._folder / f"{part}_X.bin"
        count, rest = divmod(path.stat().st_size, PIXELS)
        if rest or not count:
            raise RuntimeError(
                f"{path} is truncated or no STL10 file: it has {path.stat().st_size:,} bytes, which is not some images "
                f"of {PIXELS:,}"
            )
        # Columns come before rows in the files.
        pixels = np.fromfile(path, np.uint8).reshape(-1, 3, 96, 96).transpose(0, 1, 3, 2)
        if part == "unlabeled":
            return pixels, np.full(count, -1)
        path = self._folder / f"{part}_y.bin"
        labels = np.fromfile(path, np.uint8)
        if len(labels) != count or labels.min() < 1 or labels.max() > len(self.classes):
            raise RuntimeError(
                f"{path} is truncated or no STL10 file: it has {len(labels)} labels, where {count} from 1 to "
                f"{len(self.classes)} are expected"
            )
        labels = labels - np.uint8(1)
        if part == "train" and self.folds is not None:
            indices = self._fold(count)
            return pixels[indices], labels[indices]
        return pixels, labels

    def _fold(self, count: int) -> np.ndarray:
        path = self._folder / "fold_indices.txt"
        try:
            indices = np.array(path.read_text().splitlines()[self.folds or 0].split(), np.int64)
        except (ValueError, IndexError) as error:
            raise RuntimeError(f"{path} has no fold {self.folds}: {error}") from None
        if not len(indices) or indices.min() < 0 or indices.max() >= count:
            raise RuntimeError(f"{path}: fold {self.folds} names images that are not among the {count}")
        return indices

    @property
    def _pixels(self) -> np.ndarray:
        return self.data.transpose(0, 2, 3, 1)

    def _target(self, index: int) -> int:
        return int(self.labels[index])

    def download(self) -> None:
        """Fetch and unpack the archive, whatever is there."""
        fetch_archive(self.url, Path(self.root), self.tgz_md5)

    def extra_repr(self) -> str:
        return f"Split: {self.split}"
