"""MNIST and Fashion-MNIST, from idx files."""

import os
import struct
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy
from fastconv.vision.datasets._files import atomic_write, fetch
from fastconv.vision.datasets.vision import ArrayDataset

__all__ = ["MNIST", "FashionMNIST"]

IMAGES = 1_000_000  # in one file, at most
CHUNK = 1 << 20


class MNIST(ArrayDataset):
    """MNIST: 70,000 handwritten digits of 28x28 grey pixels (Y. LeCun, C. Cortes, C. J. C. Burges).

    The idx files are used as they are when they are well-formed, whoever wrote them: in ``root/MNIST/raw`` or in
    ``root`` itself, compressed (.gz) or not.

    Parameters
    ----------
    root : path
    train : bool
        The training files, or the test files.
    transform, target_transform : callable, optional
        Applied to the images (Pillow, grey) and to the targets.
    download : bool
        Fetch the files (12 MB) if they are not there or malformed.

    Attributes
    ----------
    data : Tensor of uint8, shape (N, 28, 28)
    targets : Tensor of int64, shape (N,)

    Raises
    ------
    RuntimeError
        If the files are not there, or one of them is truncated or foreign; the message names it.
    """

    data: Tensor
    targets: Tensor

    home = "https://ossci-datasets.s3.amazonaws.com/mnist/"
    # Published MD5 checksum and length of each file.
    resources: ClassVar = {
        "train-images-idx3-ubyte.gz": ("f68b3c2dcbeaaa9fbdd348bbdeb94873", 9_912_422),
        "train-labels-idx1-ubyte.gz": ("d53e105ee54ea40749a09fcbcd1e9432", 28_881),
        "t10k-images-idx3-ubyte.gz": ("9fb629c4189551a2d022fa330f9573f3", 1_648_877),
        "t10k-labels-idx1-ubyte.gz": ("ec29112dd5afa0611ce80d1b7f02629c", 4_542),
    }
    classes: Sequence[str] = (
        "0 - zero",
        "1 - one",
        "2 - two",
        "3 - three",
        "4 - four",
        "5 - five",
        "6 - six",
        "7 - seven",
        "8 - eight",
        "9 - nine",
    )

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
            self.data, self.targets = self._load()
        except RuntimeError:
            if not download:
                raise
            self._fetch(self._names(train))
            self.data, self.targets = self._load()
        if download:
            self._fetch(name for name in self._names(not train) if self._find(name) is None)

    @property
    def raw_folder(self) -> Path:
        """Where downloaded files go."""
        return Path(self.root, type(self).__name__, "raw")

    @staticmethod
    def _names(train: bool) -> tuple[str, str]:
        split = "train" if train else "t10k"
        return f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"

    def _find(self, name: str) -> Path | None:
        folders = self.raw_folder, Path(self.root)
        paths = [folder / f"{name}{suffix}" for folder in folders for suffix in ("", ".gz")]
        return next((path for path in paths if path.is_file()), None)

    def _load(self) -> tuple[Tensor, Tensor]:
        paths = []
        for name in self._names(self.train):
            path = self._find(name)
            if path is None:
                raise RuntimeError(
                    f"Dataset not found: {type(self).__name__} needs {name} or {name}.gz in {self.raw_folder} "
                    f"or in {self.root}. You can use download=True to download it"
                )
            paths.append(path)
        images = read_idx(paths[0], (28, 28))
        labels = read_idx(paths[1], ())
        if len(images) != len(labels):
            raise RuntimeError(f"{paths[0]} has {len(images)} images, but {paths[1]} has {len(labels)} labels")
        if labels.max(initial=0) > 9:
            raise RuntimeError(f"{paths[1]} is no {type(self).__name__} file: it has the label {labels.max()}")
        return from_numpy(images), from_numpy(labels.astype(np.int64))

    def download(self) -> None:
        """Fetch all four files, whatever is there."""
        self._fetch((*self._names(True), *self._names(False)))

    def _fetch(self, names: Iterable[str]) -> None:
        import gzip

        for name in names:
            archive = self.raw_folder / f"{name}.gz"
            md5, size = self.resources[archive.name]
            fetch(f"{self.home}{archive.name}", archive, md5, size)
            with gzip.open(archive) as source, atomic_write(self.raw_folder / name) as target:
                while chunk := source.read(CHUNK):
                    target.write(chunk)


class FashionMNIST(MNIST):
    """Fashion-MNIST: 70,000 articles of clothing of 28x28 grey pixels (H. Xiao, K. Rasul, R. Vollgraf, 2017).

    Everything is as in :class:`MNIST`; the files' folder is ``root/FashionMNIST/raw``.
    """

    home = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
    resources: ClassVar = {
        "train-images-idx3-ubyte.gz": ("8d4fb7e6c68d591d4c3dfef9ec88bf0d", 26_421_880),
        "train-labels-idx1-ubyte.gz": ("25c81989df183df01b3e8a0aad5dffbe", 29_515),
        "t10k-images-idx3-ubyte.gz": ("bef4ecab320f06d8554ea6380940ec79", 4_422_102),
        "t10k-labels-idx1-ubyte.gz": ("bb300cfdad3c16e7a12a480ee83cd310", 5_148),
    }
    classes: Sequence[str] = (
        "T-shirt/top",
        "Trouser",
        "Pullover",
        "Dress",
        "Coat",
        "Sandal",
        "Shirt",
        "Sneaker",
        "Bag",
        "Ankle boot",
    )


def read_idx(path: Path, item: tuple[int, ...]) -> np.ndarray:
    """The array in an idx file of unsigned bytes, compressed if its name ends in .gz.

    Parameters
    ----------
    path : Path
    item : tuple of int
        Shape of one item; the file's first dimension is their number.

    Returns
    -------
    ndarray of uint8, shape (N, *item)

    Raises
    ------
    RuntimeError
        If the header is another one, or the file is shorter or longer than its header says. Memory is taken only as
        data is read, whatever the header claims.
    """
    import gzip
    import zlib

    try:
        with gzip.open(path) if path.suffix == ".gz" else open(path, "rb") as file:
            header = file.read(4 + 4 * (1 + len(item)))
            # Magic number: two zero bytes, 8 for unsigned bytes, the number of dimensions.
            expected = bytes([0, 0, 8, 1 + len(item)])
            if header[:4] != expected:
                raise RuntimeError(
                    f"{path} is no idx file of this kind: it begins with {header[:4].hex(' ') or 'nothing'}, "
                    f"expected {expected.hex(' ')}"
                )
            if len(header) != 4 + 4 * (1 + len(item)):
                raise RuntimeError(f"{path} is truncated: it ends within its header")
            count, *shape = struct.unpack(f">{1 + len(item)}I", header[4:])
            if tuple(shape) != item or not 1 <= count <= IMAGES:
                claimed = " x ".join(f"{n:,}" for n in (count, *shape))
                wanted = " x ".join(map(str, (f"1 to {IMAGES:,}", *item)))
                raise RuntimeError(f"{path} is no file of this data set: its header says {claimed}, expected {wanted}")
            length = count * int(np.prod(item, dtype=np.int64))
            content = bytearray()
            while chunk := file.read(min(CHUNK, length + 1 - len(content))):
                content += chunk
    except (EOFError, zlib.error, gzip.BadGzipFile) as error:
        raise RuntimeError(f"{path} is truncated or no gzip file: {error}") from None
    if len(content) != length:
        state = "truncated" if len(content) < length else "too long"
        found = f"{len(content):,}" if len(content) < length else "more"
        raise RuntimeError(f"{path} is {state}: its header says {length:,} bytes of data, it has {found}")
    return np.frombuffer(content, np.uint8).reshape(count, *item)
