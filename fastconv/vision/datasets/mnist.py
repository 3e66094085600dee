"""MNIST and the data sets in its form, from idx files."""

import os
import struct
import warnings
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Any, ClassVar

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy
from fastconv.vision.datasets._files import atomic_write, chosen, fetch, fetch_archive, open_unpacked
from fastconv.vision.datasets.vision import ArrayDataset

__all__ = ["EMNIST", "KMNIST", "MNIST", "QMNIST", "FashionMNIST"]

IMAGES = 1_000_000  # in one file, at most
CHUNK = 1 << 20


class MNIST(ArrayDataset):
    """MNIST: 70,000 handwritten digits of 28x28 grey pixels (Y. LeCun, C. Cortes, C. J. C. Burges).

    The idx files are used as they are when they are well-formed, whoever wrote them: in ``root/MNIST/raw`` or in
    ``root`` itself, compressed or not, whether their names end in .gz or not; a dot may stand before ``idx``.

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
    resources: ClassVar[dict[str, Any]] = {
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
        self.classes: Sequence[str] = self._class_names()
        try:
            self.data, self.targets = self._load()
        except RuntimeError:
            if not download:
                raise
            self._fetch_what_lacks()
            self.data, self.targets = self._load()

    @property
    def raw_folder(self) -> Path:
        """Where downloaded files go."""
        return Path(self.root, type(self).__name__, "raw")

    @property
    def train_data(self) -> Tensor:
        """`data`, under a name that it had before torchvision 0.3."""
        warnings.warn("train_data has been renamed data", stacklevel=2)
        return self.data

    @property
    def train_labels(self) -> Tensor:
        """`targets`, under a name that it had before torchvision 0.3."""
        warnings.warn("train_labels has been renamed targets", stacklevel=2)
        return self.targets

    @property
    def test_data(self) -> Tensor:
        """`data`, under a name that it had before torchvision 0.3."""
        warnings.warn("test_data has been renamed data", stacklevel=2)
        return self.data

    @property
    def test_labels(self) -> Tensor:
        """`targets`, under a name that it had before torchvision 0.3."""
        warnings.warn("test_labels has been renamed targets", stacklevel=2)
        return self.targets

    def _class_names(self) -> list[str]:
        return list(type(self).classes)

    def _names(self) -> tuple[str, str]:
        return self._names_of(self.train)

    @staticmethod
    def _names_of(train: bool) -> tuple[str, str]:
        split = "train" if train else "t10k"
        return f"{split}-images-idx3-ubyte", f"{split}-labels-idx1-ubyte"

    def _find(self, name: str) -> Path | None:
        folders = self.raw_folder, Path(self.root)
        names = name, name.replace("-idx", ".idx")
        paths = [folder / f"{form}{suffix}" for folder in folders for form in names for suffix in ("", ".gz", ".xz")]
        return next((path for path in paths if path.is_file()), None)

    def _paths(self) -> list[Path]:
        """The files of images and of labels."""
        paths = []
        for name in self._names():
            path = self._find(name)
            if path is None:
                raise RuntimeError(
                    f"Dataset not found: {type(self).__name__} needs {name} or {name}.gz in {self.raw_folder} "
                    f"or in {self.root}. You can use download=True to download it"
                )
            paths.append(path)
        return paths

    def _load(self) -> tuple[Tensor, Tensor]:
        paths = self._paths()
        images = read_idx(paths[0], (28, 28))
        labels = self._labels(paths[1])
        if len(images) != len(labels):
            raise RuntimeError(f"{paths[0]} has {len(images)} images, but {paths[1]} has {len(labels)} labels")
        return from_numpy(images), from_numpy(labels.astype(np.int64))

    def _labels(self, path: Path) -> np.ndarray:
        labels = read_idx(path, ())
        if labels.max(initial=0) >= len(self.classes):
            raise RuntimeError(f"{path} is no {type(self).__name__} file: it has the label {labels.max()}")
        return labels

    def download(self) -> None:
        """Fetch all four files, whatever is there."""
        self._fetch((*self._names_of(True), *self._names_of(False)))

    def _fetch_what_lacks(self) -> None:
        """This split's files, and those of the other that are not there."""
        self._fetch(self._names())
        self._fetch(name for name in self._names_of(not self.train) if self._find(name) is None)

    def _fetch(self, names: Iterable[str]) -> None:
        for name in names:
            archive = self.raw_folder / f"{name}.gz"
            md5, size = self.resources[archive.name]
            fetch(f"{self.home}{archive.name}", archive, md5, size)
            _unpack_beside(archive)


def _unpack_beside(archive: Path) -> None:
    """Unpack a .gz or .xz file, so that it is found under its own name."""
    with open_unpacked(archive) as source, atomic_write(archive.with_suffix("")) as target:
        while chunk := source.read(CHUNK):
            target.write(chunk)


class FashionMNIST(MNIST):
    """Fashion-MNIST: 70,000 articles of clothing of 28x28 grey pixels (H. Xiao, K. Rasul, R. Vollgraf, 2017).

    Everything is as in :class:`MNIST`; the files' folder is ``root/FashionMNIST/raw``.
    """

    home = "https://github.com/zalandoresearch/fashion-mnist/raw/master/data/fashion/"
    resources: ClassVar[dict[str, Any]] = {
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


class KMNIST(MNIST):
    """Kuzushiji-MNIST: 70,000 cursive Japanese letters of 28x28 grey pixels (T. Clanuwat and others, 2018).

    Everything is as in :class:`MNIST`; the files' folder is ``root/KMNIST/raw``.
    """

    home = "https://codh.rois.ac.jp/kmnist/dataset/kmnist/"
    resources: ClassVar[dict[str, Any]] = {
        "train-images-idx3-ubyte.gz": ("bdb82020997e1d708af4cf47b453dcf7", None),
        "train-labels-idx1-ubyte.gz": ("e144d726b3acfaa3e44228e80efcd344", None),
        "t10k-images-idx3-ubyte.gz": ("5c965bf0a639b31b8f53240b1b52f4d7", None),
        "t10k-labels-idx1-ubyte.gz": ("7320c461ea6c1c855c0b718fb2a4b134", None),
    }
    classes: Sequence[str] = ("o", "ki", "su", "tsu", "na", "ha", "ma", "ya", "re", "wo")


class EMNIST(MNIST):
    """EMNIST: handwritten digits and letters of 28x28 grey pixels (G. Cohen and others, 2017).

    The files' folder is ``root/EMNIST/raw``. Rows and columns are exchanged in the files, and here as well, as in
    torchvision. The letters' targets are 1 to 26.

    Parameters
    ----------
    root : path
    split : {'byclass', 'bymerge', 'balanced', 'letters', 'digits', 'mnist'}
        'bymerge' and 'balanced' have one class for both cases of letters that look alike.
    **kwargs
        `train`, `transform`, `target_transform` and `download` (of all splits) of :class:`MNIST`.

    Raises
    ------
    ValueError
        If there is no such split.
    RuntimeError
        As :class:`MNIST`.
    """

    url = "https://biometrics.nist.gov/cs_links/EMNIST/gzip.zip"
    md5 = "58c8d27c78d21e728a6bc7b3cc06412e"
    splits: tuple[str, ...] = ("byclass", "bymerge", "balanced", "letters", "digits", "mnist")
    _merged = tuple("0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabdefghnqrt")
    classes_split_dict: ClassVar[dict[str, Any]] = {
        "byclass": [*"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz"],
        "bymerge": [*_merged],
        "balanced": [*_merged],
        "letters": ["N/A", *"abcdefghijklmnopqrstuvwxyz"],
        "digits": [*"0123456789"],
        "mnist": [*"0123456789"],
    }
    resources: ClassVar[dict[str, Any]] = {}
    classes: Sequence[str] = ()

    def __init__(self, root: str | os.PathLike[str], split: str, **kwargs: Any) -> None:
        self.split: str = chosen(split, "split", self.splits)
        super().__init__(root, **kwargs)

    def _class_names(self) -> list[str]:
        return list(self.classes_split_dict[self.split])

    def _names(self) -> tuple[str, str]:
        prefix = f"emnist-{self.split}-{'train' if self.train else 'test'}"
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx1-ubyte"

    def download(self) -> None:
        """Fetch the archive of all splits, whatever is there."""
        fetch_archive(self.url, self.raw_folder, self.md5)
        for packed in sorted((self.raw_folder / "gzip").glob("*.gz")):
            os.replace(packed, self.raw_folder / packed.name)

    _fetch_what_lacks = download


class QMNIST(MNIST):
    """QMNIST: MNIST reconstructed from NIST's scans, with 60,000 test images (C. Yadav, L. Bottou, 2019).

    The files' folder is ``root/QMNIST/raw``.

    Parameters
    ----------
    root : path
    what : {'train', 'test', 'test10k', 'test50k', 'nist'}, optional
        'test10k' are the test images that MNIST has, 'test50k' the others, 'nist' all of NIST's; by default 'train' or
        'test', by `train`.
    compat : bool
        Whether a target is the class. If not it is all that the files say, an int64 tensor: class, NIST's partition,
        writer, index by writer, NIST's class code, global index, two unused numbers.
    train : bool
    **kwargs
        `transform`, `target_transform` and `download` of :class:`MNIST`.

    Raises
    ------
    ValueError
        If there is no such `what`.
    RuntimeError
        As :class:`MNIST`.
    """

    home = "https://raw.githubusercontent.com/facebookresearch/qmnist/master/"
    subsets: ClassVar[dict[str, str]] = {
        **{"train": "train", "test": "test", "test10k": "test", "test50k": "test", "nist": "nist"}
    }
    resources: ClassVar[dict[str, Any]] = {
        "qmnist-train-images-idx3-ubyte.gz": ("ed72d4157d28c017586c42bc6afe6370", None),
        "qmnist-train-labels-idx2-int.gz": ("0058f8dd561b90ffdd0f734c6a30e5e4", None),
        "qmnist-test-images-idx3-ubyte.gz": ("1394631089c404de565df7b7aeaf9412", None),
        "qmnist-test-labels-idx2-int.gz": ("5b5b05890a5e13444e108efe57b788aa", None),
        "xnist-images-idx3-ubyte.xz": ("7f124b3b8ab81486c9d8c2749c17f834", None),
        "xnist-labels-idx2-int.xz": ("5ed0e788978e45d4a8bd4b7caec3d79d", None),
    }

    def __init__(
        self,
        root: str | os.PathLike[str],
        what: str | None = None,
        compat: bool = True,
        train: bool = True,
        **kwargs: Any,
    ) -> None:
        if what is None:
            what = "train" if train else "test"
        self.what: str = chosen(what, "what", tuple(self.subsets))
        self.compat = compat
        super().__init__(root, train, **kwargs)

    def _names(self) -> tuple[str, str]:
        prefix = {"train": "qmnist-train", "test": "qmnist-test", "nist": "xnist"}[self.subsets[self.what]]
        return f"{prefix}-images-idx3-ubyte", f"{prefix}-labels-idx2-int"

    def _load(self) -> tuple[Tensor, Tensor]:
        images, labels = super()._load()
        part = {"test10k": slice(10_000), "test50k": slice(10_000, None)}.get(self.what, slice(None))
        return images[part], labels[part]

    def _labels(self, path: Path) -> np.ndarray:
        labels = read_idx(path, (8,), np.dtype(">i4"))
        classes = labels[:, 0]
        if classes.min(initial=0) < 0 or classes.max(initial=0) > 9:
            raise RuntimeError(f"{path} is no QMNIST file: it has the labels {classes.min()} to {classes.max()}")
        return labels

    def _target(self, index: int) -> Any:
        return int(self.targets[index][0]) if self.compat else self.targets[index]

    def download(self) -> None:
        """Fetch the files of this part, whatever is there."""
        for name in self._names():
            archive = self.raw_folder / next(resource for resource in self.resources if resource.startswith(name))
            md5, size = self.resources[archive.name]
            fetch(f"{self.home}{archive.name}", archive, md5, size)
            _unpack_beside(archive)

    _fetch_what_lacks = download

    def extra_repr(self) -> str:
        return f"Split: {self.what}"


# The third byte of an idx file.
UINT8 = np.dtype(np.uint8)
CODES = {UINT8: 8, np.dtype(">i4"): 12}


def read_idx(path: Path, item: tuple[int, ...], dtype: np.dtype = UINT8) -> np.ndarray:
    """The array in an idx file, which may be compressed.

    Parameters
    ----------
    path : Path
    item : tuple of int
        Shape of one item; the file's first dimension is their number.
    dtype : dtype
        uint8 or big-endian int32.

    Returns
    -------
    ndarray of `dtype`, shape (N, *item)

    Raises
    ------
    RuntimeError
        If the header is another one, or the file is shorter or longer than its header says. Memory is taken only as
        data is read, whatever the header claims.
    """
    import lzma
    import zlib

    try:
        with open_unpacked(path) as file:
            header = file.read(4 + 4 * (1 + len(item)))
            # Magic number: two zero bytes, the dtype's code, the number of dimensions.
            expected = bytes([0, 0, CODES[dtype], 1 + len(item)])
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
            length = count * int(np.prod(item, dtype=np.int64)) * dtype.itemsize
            content = bytearray()
            while chunk := file.read(min(CHUNK, length + 1 - len(content))):
                content += chunk
    except (EOFError, zlib.error, lzma.LZMAError, OSError) as error:  # gzip.BadGzipFile is an OSError
        raise RuntimeError(f"{path} is truncated or damaged: {error}") from None
    if len(content) != length:
        state = "truncated" if len(content) < length else "too long"
        found = f"{len(content):,}" if len(content) < length else "more"
        raise RuntimeError(f"{path} is {state}: its header says {length:,} bytes of data, it has {found}")
    return np.frombuffer(content, dtype).reshape(count, *item)
