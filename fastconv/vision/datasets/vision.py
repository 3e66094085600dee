"""What the image data sets share."""

import os
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.utils.data import Columns, Dataset
from fastconv.vision._pillow import to_image
from fastconv.vision.transforms.transforms import batched

__all__ = ["ArrayDataset", "StandardTransform", "VisionDataset"]


class StandardTransform:
    """A transform of the image and one of the target, as one function of both.

    Parameters
    ----------
    transform, target_transform : callable, optional
    """

    def __init__(
        self, transform: Callable[..., Any] | None = None, target_transform: Callable[..., Any] | None = None
    ) -> None:
        self.transform = transform
        self.target_transform = target_transform

    def __call__(self, input: Any, target: Any) -> tuple[Any, Any]:
        if self.transform is not None:
            input = self.transform(input)
        if self.target_transform is not None:
            target = self.target_transform(target)
        return input, target

    def __repr__(self) -> str:
        lines = [type(self).__name__]
        for title, transform in (("Transform: ", self.transform), ("Target transform: ", self.target_transform)):
            if transform is not None:
                lines += f"{title}{transform!r}".replace("\n", "\n" + " " * len(title)).splitlines()
        return "\n".join(lines)


class VisionDataset(Dataset[Any]):
    """Base class of image data sets: where the files are, and what is done to images and targets.

    Parameters
    ----------
    root : path or None
        Folder of the data.
    transforms : callable, optional
        Takes a Pillow image and a target, and gives both.
    transform : callable, optional
        Takes a Pillow image.
    target_transform : callable, optional
        Takes a target.

    Raises
    ------
    ValueError
        If `transforms` is given and one of the others too.
    """

    def __init__(
        self,
        root: str | os.PathLike[str] | None = None,
        transforms: Callable[..., Any] | None = None,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
    ) -> None:
        self.root: Any = None if root is None else os.path.expanduser(root)
        if transforms is not None and (transform is not None or target_transform is not None):
            raise ValueError("Only transforms or transform/target_transform can be passed as argument")
        self.transform = transform
        self.target_transform = target_transform
        self._transforms = transforms

    @property
    def transforms(self) -> Callable[..., Any] | None:
        """What is done to an image and its target, as one function of both; None if nothing is."""
        if self.transform is None and self.target_transform is None:
            return self._transforms
        return StandardTransform(self.transform, self.target_transform)

    @transforms.setter
    def transforms(self, transforms: Callable[..., Any] | None) -> None:
        self._transforms = transforms

    def __getitem__(self, index: int) -> Any:
        raise NotImplementedError(f"{type(self).__name__} is a VisionDataset and must define __getitem__")

    def __len__(self) -> int:
        raise NotImplementedError(f"{type(self).__name__} is a VisionDataset and must define __len__")

    def extra_repr(self) -> str:
        """Lines of the repr that a subclass adds."""
        return ""

    def __repr__(self) -> str:
        lines = [f"Number of datapoints: {len(self)}"]
        if self.root is not None:
            lines.append(f"Root location: {self.root}")
        lines += self.extra_repr().splitlines()
        if self.transforms is not None:
            lines += repr(self.transforms).splitlines()
        return "\n    ".join([f"Dataset {type(self).__name__}", *lines])


class ArrayDataset(VisionDataset):
    """Images in one array.

    A sample is (image, target). With no transform, or one that works image by image only, the image reaches it as a
    Pillow image; a chain whose steps all have ``batch`` runs over the arrays of a whole batch at once.

    Attributes
    ----------
    data : ndarray or Tensor of uint8, shape (N, H, W) or (N, H, W, 3)
    targets : list of int, or Tensor (N,)
    classes : list of str
        Name of each target.
    class_to_idx : dict
        Target of each name.
    train : bool
        Whether these are the training images.
    """

    classes: Sequence[str] = ()

    def __init__(
        self,
        root: str | os.PathLike[str] | None,
        train: bool,
        transform: Callable[..., Any] | None,
        target_transform: Callable[..., Any] | None,
    ) -> None:
        super().__init__(root, transform=transform, target_transform=target_transform)
        self.train = train
        self.data: np.ndarray | Tensor
        self.targets: list[int] | Tensor

    @property
    def _pixels(self) -> np.ndarray:
        return self.data.numpy() if isinstance(self.data, Tensor) else self.data

    def _target(self, index: int) -> Any:
        return int(self.targets[index])

    @property
    def class_to_idx(self) -> dict[str, int]:
        """Target of each class name."""
        return {name: i for i, name in enumerate(self.classes)}

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        image, target = self._pixels[index], self._target(index)
        whole = batched(self.transform)
        if whole is not None:
            image = whole(image[None])[0]
        else:
            image = to_image(image)
            if self.transform is not None:
                image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __getitems__(self, indices: list[int]) -> Sequence[tuple[Any, Any]]:
        whole = batched(self.transform)
        if whole is None or type(self).__getitem__ is not ArrayDataset.__getitem__:
            return [self[index] for index in indices]
        targets = [self._target(index) for index in indices]
        if self.target_transform is not None:
            targets = [self.target_transform(target) for target in targets]
        return Columns(whole(self._pixels[indices]), targets)

    def __len__(self) -> int:
        return len(self.data)

    def extra_repr(self) -> str:
        return f"Split: {'Train' if self.train else 'Test'}"
