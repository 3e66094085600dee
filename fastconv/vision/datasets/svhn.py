"""SVHN, from MATLAB's files."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastconv.vision.datasets._files import chosen, fetch, has_md5, load_mat
from fastconv.vision.datasets.vision import ArrayDataset

__all__ = ["SVHN"]


class SVHN(ArrayDataset):
    """SVHN: digits of house numbers, 99,289 colour images of 32x32 pixels and 531,131 more (Y. Netzer and others).

    The file is ``root/train_32x32.mat``, ``test_32x32.mat`` or ``extra_32x32.mat``, whoever wrote it; SciPy reads it.

    Parameters
    ----------
    root : path
    split : {'train', 'test', 'extra'}
    transform, target_transform : callable, optional
        Applied to the images (Pillow, RGB) and to the targets.
    download : bool
        Fetch the file if it is not there.

    Attributes
    ----------
    data : ndarray of uint8, shape (N, 3, 32, 32)
    labels : ndarray of int64, shape (N,)
        0 to 9; the files say 10 for the digit 0.

    Raises
    ------
    ImportError
        If SciPy is not installed.
    ValueError
        If there is no such split.
    RuntimeError
        If the file is not there, damaged or foreign.
    """

    split_list: ClassVar = {
        split: [f"http://ufldl.stanford.edu/housenumbers/{split}_32x32.mat", f"{split}_32x32.mat", md5]
        for split, md5 in (
            ("train", "e26dedcc434d2e4c54c9b2d4a06d8373"),
            ("test", "eb5a983be6a315427106f1b164d9cef3"),
            ("extra", "a93ce644f1a588dc4d68dda5feec44a7"),
        )
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(root, split != "test", transform, target_transform)
        self.split: str = chosen(split, "split", tuple(self.split_list))
        self.url, self.filename, self.file_md5 = self.split_list[split]
        path = Path(self.root, self.filename)
        if download and not path.is_file():
            self.download()
        if not path.is_file():
            raise RuntimeError(f"Dataset not found: there is no {path}. You can use download=True to download it")
        content = load_mat(path)
        try:
            pixels = np.asarray(content["X"])
            pixels = pixels.reshape(*pixels.shape, *(1,) * (4 - pixels.ndim))
            labels = np.ravel(content["y"]).astype(np.int64)
        except (KeyError, ValueError, TypeError) as error:
            raise RuntimeError(f"{path} is no SVHN file: it has no images 'X' with labels 'y' ({error})") from None
        if pixels.dtype != np.uint8 or pixels.shape != (32, 32, 3, len(labels)):
            raise RuntimeError(
                f"{path} is no SVHN file: its 'X' has the shape {pixels.shape} of {pixels.dtype}, where "
                f"(32, 32, 3, N) of uint8 is expected, and N labels; it has {len(labels):,}"
            )
        if not 0 <= labels.min(initial=0) <= labels.max(initial=0) <= 10:
            raise RuntimeError(f"{path} is no SVHN file: its labels are from {labels.min()} to {labels.max()}")
        labels[labels == 10] = 0
        self.data: np.ndarray = pixels.transpose(3, 2, 0, 1)
        self.labels: np.ndarray = labels

    @property
    def _pixels(self) -> np.ndarray:
        return self.data.transpose(0, 2, 3, 1)

    def _target(self, index: int) -> int:
        return int(self.labels[index])

    def download(self) -> None:
        """Fetch the file, unless it is there as it was published."""
        path = Path(self.root, self.filename)
        if not has_md5(path, self.file_md5):
            fetch(self.url, path, self.file_md5)

    def extra_repr(self) -> str:
        return f"Split: {self.split}"
