"""Imagenette, from its folders."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastconv.vision.datasets._files import chosen, fetch_archive
from fastconv.vision.datasets.folder import find_classes, make_dataset, pil_loader
from fastconv.vision.datasets.vision import VisionDataset

__all__ = ["Imagenette"]


class Imagenette(VisionDataset):
    """Imagenette: some 13,400 photographs of ten of ImageNet's classes (J. Howard, 2019).

    The folder is ``root/imagenette2``, ``imagenette2-320`` or ``imagenette2-160``, with ``train`` and ``val`` in it.

    Parameters
    ----------
    root : path
    split : {'train', 'val'}
    size : {'full', '320px', '160px'}
        Of the shorter edge.
    download : bool
        Fetch the archive if the folder is not there.
    transform, target_transform : callable, optional
        Applied to the images (Pillow, RGB) and to the targets.
    loader : callable
        Reads an image, given its path.

    Attributes
    ----------
    classes : list of tuple of str
        The names of each class.
    class_to_idx : dict
        Target of each of these names.
    wnids : list of str
        WordNet's numbers, which the folders are named by.
    wnid_to_idx : dict

    Raises
    ------
    ValueError
        If there is no such split or size.
    RuntimeError
        If the folder is not there.
    """

    loader: Any

    _ARCHIVES = (
        ("full", "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2.tgz", "fe2fc210e6bb7c5664d602c3cd71e612"),
        ("320px", "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-320.tgz", "3df6f0d01a2c9592104656642f5e78a3"),
        ("160px", "https://s3.amazonaws.com/fast-ai-imageclas/imagenette2-160.tgz", "e793b78cc4c9e9a4ccc0c1155377a412"),
    )
    _NAMES = (
        ("n01440764", ("tench", "Tinca tinca")),
        ("n02102040", ("English springer", "English springer spaniel")),
        ("n02979186", ("cassette player",)),
        ("n03000684", ("chain saw", "chainsaw")),
        ("n03028079", ("church", "church building")),
        ("n03394916", ("French horn", "horn")),
        ("n03417042", ("garbage truck", "dustcart")),
        ("n03425413", ("gas pump", "gasoline pump", "petrol pump", "island dispenser")),
        ("n03445777", ("golf ball",)),
        ("n03888257", ("parachute", "chute")),
    )

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "train",
        size: str = "full",
        download: bool = False,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        loader: Callable[[str], Any] = pil_loader,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self._split = chosen(split, "split", ("train", "val"))
        self._size = chosen(size, "size", [name for name, _, _ in self._ARCHIVES])
        _, url, md5 = next(archive for archive in self._ARCHIVES if archive[0] == size)
        folder = Path(self.root, Path(url).stem)
        if download and not folder.is_dir():
            fetch_archive(url, Path(self.root), md5)
        if not folder.is_dir():
            raise RuntimeError(
                f"Dataset not found: there is no folder {folder}. You can use download=True to download it."
            )
        images = str(folder / split)
        self.wnids, self.wnid_to_idx = find_classes(images)
        names = dict(self._NAMES)
        unknown = set(self.wnids) - set(names)
        if unknown:
            raise RuntimeError(f"{images} has folders that are no classes: {', '.join(sorted(unknown))}")
        self.classes: list[tuple[str, ...]] = [names[wnid] for wnid in self.wnids]
        self.class_to_idx: dict[str, int] = {
            name: self.wnid_to_idx[wnid] for wnid in self.wnids for name in names[wnid]
        }
        self._samples = make_dataset(images, self.wnid_to_idx, ".jpeg")
        self.loader = loader

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self._samples[index]
        image = self.loader(path)
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self._samples)
