"""The Oxford-IIIT pets, from their folders."""

import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from fastconv.vision._pillow import pillow
from fastconv.vision.datasets._files import chosen, fetch_archive
from fastconv.vision.datasets.folder import pil_loader
from fastconv.vision.datasets.vision import VisionDataset

__all__ = ["OxfordIIITPet"]


class OxfordIIITPet(VisionDataset):
    """7,349 photographs of cats and dogs of 37 breeds (O. M. Parkhi and others, 2012).

    Parameters
    ----------
    root : path
        Has the folder ``oxford-iiit-pet``, with ``images`` and ``annotations`` in it.
    split : {'trainval', 'test'}
    target_types : {'category', 'binary-category', 'segmentation'} or sequence of them
        The breed's index, 0 for cats and 1 for dogs, or the trimap (Pillow); several give a tuple, none gives None.
    transforms : callable, optional
        Takes an image (Pillow, RGB) and a target, and gives both; in place of the next two.
    transform, target_transform : callable, optional
        Applied to the images and to the targets.
    download : bool
        Fetch the archives (800 MB) if the files are not there.

    Attributes
    ----------
    classes, bin_classes : list of str
    class_to_idx, bin_class_to_idx : dict

    Raises
    ------
    ValueError
        If there is no such split or target type.
    RuntimeError
        If the files are not there, or the list of images is foreign.
    """

    _RESOURCES = (
        ("https://www.robots.ox.ac.uk/~vgg/data/pets/data/images.tar.gz", "5c4f3ee8e5d25df40f4fd59a7f44e54c"),
        ("https://www.robots.ox.ac.uk/~vgg/data/pets/data/annotations.tar.gz", "95a8c909bbe2e81eed6a22bccdf3f68f"),
    )
    _VALID_TARGET_TYPES = ("category", "binary-category", "segmentation")

    def __init__(
        self,
        root: str | os.PathLike[str],
        split: str = "trainval",
        target_types: Sequence[str] | str = "category",
        transforms: Callable[..., Any] | None = None,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        self._split = chosen(split, "split", ("trainval", "test"))
        types = [target_types] if isinstance(target_types, str) else list(target_types)
        self._target_types = [chosen(kind, "target_types", self._VALID_TARGET_TYPES) for kind in types]
        super().__init__(root, transforms, transform, target_transform)
        base = Path(self.root, "oxford-iiit-pet")
        folders = base / "images", base / "annotations"
        if download and not all(folder.is_dir() for folder in folders):
            for url, md5 in self._RESOURCES:
                fetch_archive(url, base, md5)
        for folder in folders:
            if not folder.is_dir():
                raise RuntimeError(
                    f"Dataset not found: there is no folder {folder}. You can use download=True to download it"
                )
        listing = folders[1] / f"{split}.txt"
        try:
            rows = [line.split() for line in listing.read_text().splitlines() if line.strip()]
            names = [row[0] for row in rows]
            self._labels: list[int] = [int(row[1]) - 1 for row in rows]
            self._bin_labels: list[int] = [int(row[2]) - 1 for row in rows]
        except (OSError, ValueError, IndexError) as error:
            raise RuntimeError(f"{listing} is damaged or no list of the pets' images: {error}") from None
        breeds = {(name.rpartition("_")[0], label) for name, label in zip(names, self._labels, strict=True)}
        self.classes: list[str] = [
            " ".join(word.title() for word in breed.split("_"))
            for breed, _ in sorted(breeds, key=lambda breed: (breed[1], breed[0]))
        ]
        self.bin_classes: list[str] = ["Cat", "Dog"]
        self.class_to_idx: dict[str, int] = {name: i for i, name in enumerate(self.classes)}
        self.bin_class_to_idx: dict[str, int] = {"Cat": 0, "Dog": 1}
        self._images: list[Path] = [folders[0] / f"{name}.jpg" for name in names]
        self._segs: list[Path] = [folders[1] / "trimaps" / f"{name}.png" for name in names]

    def __len__(self) -> int:
        return len(self._images)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image = pil_loader(self._images[index])
        targets: list[Any] = []
        for kind in self._target_types:
            if kind == "segmentation":
                trimap = pillow().open(self._segs[index])
                trimap.load()  # and the file is closed
                targets.append(trimap)
            else:
                targets.append((self._labels if kind == "category" else self._bin_labels)[index])
        target = None if not targets else targets[0] if len(targets) == 1 else tuple(targets)
        transforms = self.transforms
        return (image, target) if transforms is None else transforms(image, target)
