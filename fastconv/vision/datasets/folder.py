"""Files in folders, one for each class."""

import contextlib
import functools
import io
import os
import stat
from collections.abc import Callable, Iterator, Sequence
from typing import Any

from fastconv.utils.data import Columns
from fastconv.vision._pillow import pillow
from fastconv.vision.datasets.vision import VisionDataset
from fastconv.vision.transforms.fused import fused

__all__ = ["IMG_EXTENSIONS", "DatasetFolder", "ImageFolder", "default_loader", "find_classes"]
__all__ += ["has_file_allowed_extension", "is_image_file", "make_dataset", "pil_loader"]

IMG_EXTENSIONS = (".jpg", ".jpeg", ".png", ".ppm", ".bmp", ".pgm", ".tif", ".tiff", ".webp")


def has_file_allowed_extension(filename: str, extensions: str | tuple[str, ...]) -> bool:
    """Whether the name ends in one of `extensions`, which are in lower case, or in that one."""
    return filename.lower().endswith(extensions if isinstance(extensions, str) else tuple(extensions))


def is_image_file(filename: str) -> bool:
    """Whether the name ends like an image's."""
    return has_file_allowed_extension(filename, IMG_EXTENSIONS)


def find_classes(directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
    """The names of a folder's folders, in order, and the target of each.

    Raises
    ------
    FileNotFoundError
        If there is no such folder, or none in it.
    """
    if not os.path.isdir(directory):
        raise FileNotFoundError(f"there is no folder {os.fspath(directory)}")
    classes = sorted(entry.name for entry in os.scandir(directory) if entry.is_dir())
    if not classes:
        raise FileNotFoundError(f"Couldn't find any class folder in {os.fspath(directory)}.")
    return classes, {name: i for i, name in enumerate(classes)}


def make_dataset(
    directory: str | os.PathLike[str],
    class_to_idx: dict[str, int] | None = None,
    extensions: str | tuple[str, ...] | None = None,
    is_valid_file: Callable[[str], bool] | None = None,
    allow_empty: bool = False,
) -> list[tuple[str, int]]:
    """The files of each class, with its target: class by class and folder by folder, each in order of names.

    Parameters
    ----------
    directory : path
    class_to_idx : dict, optional
        Target of each class; by default what :func:`find_classes` finds.
    extensions : str or tuple of str, optional
    is_valid_file : callable, optional
        Says of a path whether it counts; either this or `extensions` has to be given.
    allow_empty : bool
        Whether there may be classes without a file.

    Raises
    ------
    ValueError
        If both `extensions` and `is_valid_file` are given or neither, or `class_to_idx` is empty.
    FileNotFoundError
        If a class has no file.
    """
    directory = os.path.expanduser(directory)
    if class_to_idx is None:
        _, class_to_idx = find_classes(directory)
    elif not class_to_idx:
        raise ValueError("'class_to_index' must have at least one entry to collect any samples.")
    if (extensions is None) == (is_valid_file is None):
        raise ValueError("Both extensions and is_valid_file cannot be None or not None at the same time")
    samples = []
    empty = []
    for name in sorted(class_to_idx):
        paths = _files_under(os.path.join(directory, name))
        if is_valid_file is not None:
            found = [path for path in paths if is_valid_file(path)]
        else:
            found = [path for path in paths if has_file_allowed_extension(path, extensions)]  # type: ignore[arg-type]
        samples += [(path, class_to_idx[name]) for path in found]
        if not found:
            empty.append(name)
    if empty and not allow_empty:
        listed = extensions if isinstance(extensions, str) else ", ".join(extensions or ())
        raise FileNotFoundError(
            f"Found no valid file in {directory} for the classes {', '.join(empty)}."
            + (f" Supported extensions are: {listed}" if listed else "")
        )
    return samples


def _files_under(root: str) -> list[str]:
    """All files in a folder, in order; links to folders are followed, but never back into a folder that they are in."""
    found = []
    above = {root: (os.path.realpath(root),)}
    for folder, folders, files in os.walk(root, followlinks=True):
        trail = above.pop(folder)
        for name in list(folders):
            path = os.path.join(folder, name)
            real = os.path.realpath(path)
            if leads_back(real, trail):
                folders.remove(name)
            else:
                above[path] = (*trail, real)
        found.append((folder, sorted(files)))
    return [os.path.join(folder, file) for folder, files in sorted(found) for file in files]


def leads_back(folder: str, trail: Sequence[str]) -> bool:
    """Whether one of the folders of `trail`, by which a link to `folder` was come to, is this one or lies in it."""
    return any(step == folder or step.startswith(os.path.join(folder, "")) for step in trail)


class DatasetFolder(VisionDataset):
    """Files in ``root/class_name/.../file``.

    Parameters
    ----------
    root : path
        Its folders are the classes, in alphabetical order; a subclass may say otherwise in :meth:`find_classes`.
    loader : callable
        Reads a sample, given its path.
    extensions : tuple of str, optional
        In lower case; either these or `is_valid_file` has to be given.
    transform, target_transform : callable, optional
        Applied to the samples and to the targets.
    is_valid_file : callable, optional
        Says of a path whether it is a sample.
    allow_empty : bool
        Whether there may be classes without a file.

    Attributes
    ----------
    classes : list of str
    class_to_idx : dict
        Target of each class.
    samples : list of (path, target)
    targets : list of int

    Raises
    ------
    FileNotFoundError
        If there is no such folder, no class in it, or a class without a file.
    ValueError
        If both `extensions` and `is_valid_file` are given, or neither.
    """

    loader: Any
    samples: list[tuple[str, int]]

    def __init__(
        self,
        root: str | os.PathLike[str],
        loader: Callable[[str], Any],
        extensions: tuple[str, ...] | None = None,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        classes, class_to_idx = self.find_classes(self.root)
        self.samples = self.make_dataset(self.root, class_to_idx, extensions, is_valid_file, allow_empty)
        self.loader = loader
        self.extensions = extensions
        self.classes: list[Any] = classes
        self.class_to_idx: dict[str, int] = class_to_idx
        self.targets: list[int] = [target for _, target in self.samples]

    @staticmethod
    def make_dataset(
        directory: str | os.PathLike[str],
        class_to_idx: dict[str, int],
        extensions: tuple[str, ...] | None = None,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> list[tuple[str, int]]:
        """:func:`make_dataset`, for subclasses that find their samples elsewhere."""
        if class_to_idx is None:
            raise ValueError("The class_to_idx parameter cannot be None.")
        return make_dataset(directory, class_to_idx, extensions, is_valid_file, allow_empty)

    def find_classes(self, directory: str | os.PathLike[str]) -> tuple[list[str], dict[str, int]]:
        """:func:`find_classes`, for subclasses that take other classes."""
        return find_classes(directory)

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        path, target = self.samples[index]
        sample = self.loader(path)
        if self.transform is not None:
            sample = self.transform(sample)
        return sample, target if self.target_transform is None else self.target_transform(target)

    def __getitems__(self, indices: list[int]) -> Sequence[tuple[Any, Any]]:
        """The samples at `indices`; where the transform is of photographs, its last steps run as one."""
        together = fused(self.transform)
        if together is None or type(self).__getitem__ is not DatasetFolder.__getitem__ or not indices:
            return [self[index] for index in indices]
        samples = [self.samples[index] for index in indices]
        in_place = self.loader is pil_loader and together.takes_files
        loader = _load_in_place if in_place else self.loader
        images = together((loader(path) for path, _ in samples), len(samples))
        targets: list[Any] = [target for _, target in samples]
        if self.target_transform is not None:
            targets = [self.target_transform(target) for target in targets]
        return Columns(images, targets)

    def __len__(self) -> int:
        return len(self.samples)


def pil_loader(path: str | os.PathLike[str]) -> Any:
    """The image at `path` as a Pillow image in RGB, as Pillow converts it: EXIF's orientation is not applied.

    Raises
    ------
    PIL.UnidentifiedImageError, which is an OSError, and here a RuntimeError as well
        If it is damaged or no image; the message names it.
    """
    with _opened(path) as image:
        return image.convert("RGB")


def _load_in_place(path: str | os.PathLike[str]) -> Any:
    """:func:`pil_loader` without the copy, where the file is in RGB: the image is of its file's own class."""
    with _opened(path) as image:
        image.load()
        return image if image.mode == "RGB" else image.convert("RGB")


@contextlib.contextmanager
def _opened(path: str | os.PathLike[str]) -> Iterator[Any]:
    """The image at `path`, read as a whole; errors name it."""
    image_module = pillow()
    try:
        descriptor = os.open(path, os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0))
        with open(descriptor, "rb", buffering=0) as file:
            if not stat.S_ISREG(os.fstat(descriptor).st_mode):  # a pipe would be waited for
                raise _damaged_image_error()(f"{os.fspath(path)} is no file")
            content = file.read()
        yield image_module.open(io.BytesIO(content))
    except Exception as error:  # Pillow's readers raise errors of many kinds
        if isinstance(error, _damaged_image_error()):
            raise
        raise _damaged_image_error()(
            f"{os.fspath(path)} is damaged or no image: {type(error).__name__}: {error}"
        ) from error


default_loader = load_rgb = pil_loader


@functools.cache
def _damaged_image_error() -> Any:
    """The class of the error about a file that is no image, made when Pillow is there."""
    from PIL import UnidentifiedImageError

    return type(
        "DamagedImageError",
        (UnidentifiedImageError, RuntimeError),
        {"__module__": __name__, "__doc__": "A file is damaged or no image."},
    )


def __getattr__(name: str) -> Any:
    if name == "DamagedImageError":  # where pickle looks for it
        return _damaged_image_error()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


class ImageFolder(DatasetFolder):
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
    allow_empty : bool
        Whether there may be classes without an image.

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

    def __init__(
        self,
        root: str | os.PathLike[str],
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        loader: Callable[[str], Any] = pil_loader,
        is_valid_file: Callable[[str], bool] | None = None,
        allow_empty: bool = False,
    ) -> None:
        super().__init__(
            root,
            loader,
            IMG_EXTENSIONS if is_valid_file is None else None,
            transform,
            target_transform,
            is_valid_file,
            allow_empty,
        )
        self.imgs: list[tuple[str, int]] = self.samples
        if loader is pil_loader:
            pillow().preinit()  # its readers are imported here, once, rather than in each worker of a loader
