"""The handwritten digits that scikit-learn ships."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv.vision.datasets.vision import ArrayDataset

__all__ = ["Digits"]


class Digits(ArrayDataset):
    """1,797 handwritten digits of 8x8 grey pixels, from scikit-learn (E. Alpaydin, C. Kaynak, 1998).

    Nothing is read from or written to a folder: the scans come with scikit-learn. Every fifth digit of each class is
    a test image (355 of them), the others are training images (1,442).

    Parameters
    ----------
    root : path, optional
        Taken so that all data sets are made by the same call; there is nothing to look for in it.
    train : bool
        The training images, or the test images.
    transform, target_transform : callable, optional
        Applied to the images (Pillow, grey) and to the targets.
    download : bool
        Taken likewise; there is nothing to fetch.

    Attributes
    ----------
    data : ndarray of uint8, shape (N, 8, 8)
        The scans' 17 levels of grey, spread over 0 to 255.
    targets : list of int
    """

    data: Any
    targets: Any

    classes: Sequence[str] = tuple("0123456789")

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        train: bool = True,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(None, train, transform, target_transform)
        try:
            from sklearn.datasets import load_digits
        except ImportError:
            raise ImportError('Digits needs scikit-learn: pip install "fastconv[train]"') from None
        self.classes = list(type(self).classes)
        scans = load_digits()
        targets = np.asarray(scans.target)
        is_test = np.zeros(len(targets), bool)
        for digit in range(10):
            is_test[np.flatnonzero(targets == digit)[4::5]] = True
        chosen = is_test != train
        self.data = np.rint(scans.images[chosen] * (255 / 16)).astype(np.uint8)
        self.targets = targets[chosen].tolist()
