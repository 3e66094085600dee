"""Images in folders, one for each class."""

import os
from collections.abc import Callable
from typing import Any

from fastconv.vision._pillow import pillow
from fastconv.vision.datasets.vision import VisionDataset

__all__ = ["IMG_EXTENSIONS", "ImageFolder"]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


class ImageFolder(VisionDataset):
    """Images in ``root/class_name/.../file.png``.

    Parameters
    ----------
    root : path
        Its folders are the classes, in alphabetical order.
    transform, target_transform : callable, optional
        Applied to the images (Pillow, RGB) and to the targets.
    loader : callable
        Reads an image, given its path.
    is_valid_file : callable, optional
        Says of a path whether it is an image; by default, its extension does.

    Attributes
    ----------
    classes : list of str
    class_to_idx : dict
        Target of each class.
    samples, imgs : list of (path, target)
    targets : list of int

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no class in it, or a class without an image.
    """

    loader: Any

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        loader: Callable[[str], Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
    ) -> None:
        super().__init__(root, transform, target_transform)
        self.loader = loader or load_rgb
        is_valid_file = is_valid_file or has_image_extension
        if not os.path.isdir(self.root):
            raise FileNotFoundError(f"there is no folder {self.root}")
        self.classes: list[str] = sorted(entry.name for entry in os.scandir(self.root) if entry.is_dir())
        if not self.classes:
            raise FileNotFoundError(f"Couldn't find any class folder in {self.root}.")
        self.class_to_idx: dict[str, int] = {name: i for i, name in enumerate(self.classes)}
        self.samples: list[tuple[str, int]] = []
        empty = []
        for name, target in self.class_to_idx.items():
            paths = [path for path in _files_under(os.path.join(self.root, name)) if is_valid_file(path)]
            self.samples += [(path, target) for path in paths]
            if not paths:
                empty.append(name)
        if empty:
            raise FileNotFoundError(
                f"Found no valid file in {self.root} for the classes {', '.join(empty)}. "
                f"Supported extensions are: {', '.join(IMG_EXTENSIONS)}"
            )
        self.imgs: list[tuple[str, int]] = self.samples
        self.targets: list[int] = [target for _, target in self.samples]

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        image = self.loader(path)
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return len(self.samples)


def _files_under(root: str) -> list[str]:
    """All files in a folder, in order; links to folders are followed, but never back into a folder that they are in."""
    found = []
    above = {root: (os.path.realpath(root),)}
    for folder, folders, files in os.walk(root, followlinks=True):
        trail = above.pop(folder)
        for name in list(folders):
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            if real in trail:
                folders.remove(name)
            else:
                above[path] = (*trail, real)
        found.append((folder, sorted(files)))
    return [os.path.join(folder, file) for folder, files in sorted(found) for file in files]


def has_image_extension(path: str) -> bool:
    """Whether the name ends like an image's."""
    return path.lower().endswith(IMG_EXTENSIONS)


def load_rgb(path: str) -> Any:
    """The image at `path` as a Pillow image in RGB.

    Raises
    ------
    RuntimeError
        If it is damaged or no image; the message names it.
    """
    image_module = pillow()
    if os.path.exists(path) and not os.path.isfile(path):  # a pipe would be waited for
        raise RuntimeError(f"{path} is no file")
    try:
        with open(path, "rb") as file, image_module.open(file) as image:
            return image.convert("RGB")
    except Exception as error:  # Pillow's readers raise errors of many kinds
        raise RuntimeError(f"{path} is damaged or no image: {type(error).__name__}: {error}") from error
