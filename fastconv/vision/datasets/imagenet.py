"""ImageNet 2012, from its archives or its folders."""

import os
import shutil
import tempfile
from pathlib import Path
from typing import Any

import numpy as np

from fastconv.serialization import load, save
from fastconv.vision.datasets._files import chosen, extract, has_md5, load_mat, unpack
from fastconv.vision.datasets.folder import ImageFolder

__all__ = ["ImageNet", "load_meta_file", "parse_devkit_archive", "parse_train_archive", "parse_val_archive"]

ARCHIVE_META: dict[str, tuple[str, str]] = {
    "train": ("ILSVRC2012_img_train.tar", "1d675b47d978889d74fa0da5fadfb00e"),
    "val": ("ILSVRC2012_img_val.tar", "29b22e2961454d5413ddabcf34fc5622"),
    "devkit": ("ILSVRC2012_devkit_t12.tar.gz", "fa75699e90414af021442c21a62c3abf"),
}

META_FILE = "meta.bin"

DEVKIT_LIMIT = 1 << 26  # bytes of one of its files


class ImageNet(ImageFolder):
    """ImageNet 2012: 1.28 million photographs for training and 50,000 for validation, of 1,000 classes.

    Its archives are not to be had without registration: put the development kit and those of the splits, or the
    folders ``train`` and ``val`` and torchvision's file ``meta.bin``, into `root`. What is not unpacked is unpacked.

    Parameters
    ----------
    root : path
    split : {'train', 'val'}
    **kwargs
        `transform`, `target_transform` and the other options of :class:`ImageFolder`.

    Attributes
    ----------
    classes : list of tuple of str
        The names of each class.
    class_to_idx : dict
        Target of each of these names.
    wnids : list of str
        WordNet's numbers, which the folders are named by.
    wnid_to_idx : dict
    samples, imgs : list of (path, target)
    targets : list of int

    Raises
    ------
    ImportError
        If SciPy is not installed and the development kit has not been read.
    ValueError
        If there is no such split.
    RuntimeError
        If an archive is needed and not there, or another than the published one.
    """

    def __init__(self, root: str | os.PathLike[str], split: str = "train", **kwargs: Any) -> None:
        self.root = os.path.expanduser(root)
        self.split: str = chosen(split, "split", ("train", "val"))
        self.parse_archives()
        names, _ = load_meta_file(self.root)
        super().__init__(self.split_folder, **kwargs)
        self.root = os.path.expanduser(root)
        self.wnids: list[str] = self.classes
        self.wnid_to_idx: dict[str, int] = self.class_to_idx
        unknown = [wnid for wnid in self.wnids if wnid not in names]
        if unknown:
            raise RuntimeError(f"{self.split_folder} has folders that are no classes: {', '.join(unknown)}")
        self.classes = [names[wnid] for wnid in self.wnids]
        self.class_to_idx = {name: i for i, synonyms in enumerate(self.classes) for name in synonyms}

    def parse_archives(self) -> None:
        """Read the development kit and unpack the split, unless that has been done."""
        if not os.path.isfile(os.path.join(self.root, META_FILE)):
            parse_devkit_archive(self.root)
        if not os.path.isdir(self.split_folder):
            (parse_train_archive if self.split == "train" else parse_val_archive)(self.root)

    @property
    def split_folder(self) -> str:
        """Where the split's images are."""
        return os.path.join(self.root, self.split)

    def extra_repr(self) -> str:
        return f"Split: {self.split}"


def load_meta_file(
    root: str | os.PathLike[str], file: str | None = None
) -> tuple[dict[str, tuple[str, ...]], list[str]]:
    """The names of each class, by WordNet's number, and the numbers of the validation images.

    Raises
    ------
    RuntimeError
        If the file is not there.
    """
    path = os.path.join(root, file or META_FILE)
    if not os.path.isfile(path):
        raise RuntimeError(
            f"The meta file {path} is not present in the root directory or is corrupted. "
            "This file is automatically created by the ImageNet dataset."
        )
    return load(path, weights_only=True)


def _archive(root: str | os.PathLike[str], file: str | None, kind: str) -> Path:
    """The path of an archive, which has to be the published one."""
    name, md5 = ARCHIVE_META[kind]
    path = Path(root, file or name)
    if not has_md5(path, md5):
        raise RuntimeError(
            f"The archive {path} is not present in the root directory or is corrupted. "
            f"You need to download it externally and place it in {os.fspath(root)}."
        )
    return path


def parse_devkit_archive(root: str | os.PathLike[str], file: str | None = None) -> None:
    """Read the development kit, and keep what is needed of it in ``root/meta.bin``, as torchvision does."""
    archive = _archive(root, file, "devkit")
    names = ("meta.mat", "ILSVRC2012_validation_ground_truth.txt")
    with tempfile.TemporaryDirectory() as folder:
        extract(archive, Path(folder), {f"ILSVRC2012_devkit_t12/data/{name}": name for name in names}, DEVKIT_LIMIT)
        meta, truth = (Path(folder, name) for name in names)
        try:
            synsets = [tuple(synset) for synset in np.ravel(load_mat(meta)["synsets"]).tolist()]
            # Number, WordNet's number, names, gloss, number of children; those without children are the classes.
            leaves = [(int(synset[0]), str(synset[1]), str(synset[2])) for synset in synsets if synset[4] == 0]
            wnids = {number: wnid for number, wnid, _ in leaves}
            validation = [wnids[int(line)] for line in truth.read_text().split()]
        except (KeyError, ValueError, IndexError, TypeError) as error:
            raise RuntimeError(f"{archive} is no development kit of ImageNet 2012: {error!r}") from None
    save(({wnid: tuple(text.split(", ")) for _, wnid, text in leaves}, validation), os.path.join(root, META_FILE))


def parse_train_archive(root: str | os.PathLike[str], file: str | None = None, folder: str = "train") -> None:
    """Unpack the training images into a folder for each class."""
    archive = _archive(root, file, "train")
    target = Path(root, folder)
    unpack(archive, target)
    for packed in sorted(target.glob("*.tar")):
        unpack(packed, packed.with_suffix(""))
        packed.unlink()


def parse_val_archive(
    root: str | os.PathLike[str], file: str | None = None, wnids: list[str] | None = None, folder: str = "val"
) -> None:
    """Unpack the validation images into a folder for each class; `wnids` are the classes of the images in order."""
    archive = _archive(root, file, "val")
    if wnids is None:
        wnids = load_meta_file(root)[1]
    target = Path(root, folder)
    unpack(archive, target)
    for wnid in set(wnids):
        os.makedirs(target / wnid, exist_ok=True)
    images = sorted(entry.path for entry in os.scandir(target) if entry.is_file())
    for wnid, image in zip(wnids, images, strict=False):
        shutil.move(image, target / wnid / os.path.basename(image))
