"""Caltech 101, from its folders."""

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

from fastconv.vision._pillow import pillow
from fastconv.vision.datasets._files import chosen, fetch_archive, load_mat, unpack
from fastconv.vision.datasets.vision import VisionDataset

__all__ = ["Caltech101"]

# Folders of annotations that bear another name than their images'.
ANNOTATIONS = {
    "Faces": "Faces_2",
    "Faces_easy": "Faces_3",
    "Motorbikes": "Motorbikes_16",
    "airplanes": "Airplanes_Side_2",
}


class Caltech101(VisionDataset):
    """Caltech 101: some 8,700 photographs in 101 categories (L. Fei-Fei, R. Fergus, P. Perona, 2004).

    Parameters
    ----------
    root : path
        Has the folder ``caltech101``, with ``101_ObjectCategories`` and ``Annotations`` in it.
    target_type : {'category', 'annotation'} or list of them
        The category's index, or the outline drawn by hand, an array (2, points), which SciPy reads; a list gives
        a tuple.
    transform, target_transform : callable, optional
        Applied to the images (Pillow, in the file's own mode) and to the targets.
    download : bool
        Fetch the archive if the files are not there.

    Raises
    ------
    ValueError
        If there is no such target type.
    RuntimeError
        If the files are not there.
    """

    url = "https://data.caltech.edu/records/mzrjq-6wc02/files/caltech-101.zip"
    md5 = "3138e1922a9193bfa496528edbbc45d0"

    def __init__(
        self,
        root: str | os.PathLike[str],
        target_type: list[str] | str = "category",
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        download: bool = False,
    ) -> None:
        super().__init__(os.path.join(root, "caltech101"), transform=transform, target_transform=target_transform)
        types = [target_type] if isinstance(target_type, str) else list(target_type)
        self.target_type: list[str] = [chosen(kind, "target_type", ("category", "annotation")) for kind in types]
        images = os.path.join(self.root, "101_ObjectCategories")
        if download and not os.path.isdir(images):
            self.download()
        if not os.path.isdir(images):
            raise RuntimeError(f"Dataset not found: there is no {images}. You can use download=True to download it")
        found = {entry.name for entry in os.scandir(images) if entry.is_dir()}
        self.categories: list[str] = sorted(found - {"BACKGROUND_Google"})  # which is no category
        self.annotation_categories: list[str] = [ANNOTATIONS.get(name, name) for name in self.categories]
        counts = [len(os.listdir(os.path.join(images, name))) for name in self.categories]
        self.index: list[int] = [number for count in counts for number in range(1, count + 1)]
        self.y: list[int] = [target for target, count in enumerate(counts) for _ in range(count)]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        kind, number = self.y[index], self.index[index]
        path = os.path.join(self.root, "101_ObjectCategories", self.categories[kind], f"image_{number:04d}.jpg")
        image = pillow().open(path)
        image.load()  # and the file is closed
        targets = [kind if wanted == "category" else self._outline(kind, number) for wanted in self.target_type]
        target: Any = tuple(targets) if len(targets) > 1 else targets[0]
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def _outline(self, kind: int, number: int) -> Any:
        folder = Path(self.root, "Annotations", self.annotation_categories[kind])
        return load_mat(folder / f"annotation_{number:04d}.mat")["obj_contour"]

    def __len__(self) -> int:
        return len(self.index)

    def download(self) -> None:
        """Fetch and unpack the archive, whatever is there."""
        root = Path(self.root)
        fetch_archive(self.url, root, self.md5)
        for name in ("101_ObjectCategories.tar.gz", "Annotations.tar"):
            unpack(root / "caltech-101" / name, root)

    def extra_repr(self) -> str:
        return f"Target type: {self.target_type}"
