"""Images of noise, for trying programs without data."""

from collections.abc import Callable, Sequence
from typing import Any

from fastconv.checks import integer, integers
from fastconv.creation import randint, randn
from fastconv.random import Generator
from fastconv.vision.datasets.vision import VisionDataset
from fastconv.vision.transforms import ToPILImage

__all__ = ["FakeData"]


class FakeData(VisionDataset):
    """Pillow images of noise and random targets, the same at each call.

    Parameters
    ----------
    size : int
        How many there are.
    image_size : sequence of int
        (C, H, W).
    num_classes : int
    transform, target_transform : callable, optional
        Applied to the images and to the targets.
    random_offset : int
        Image i is drawn from the seed i + `random_offset`.
    """

    def __init__(
        self,
        size: int = 1000,
        image_size: Sequence[int] = (3, 224, 224),
        num_classes: int = 10,
        transform: Callable[..., Any] | None = None,
        target_transform: Callable[..., Any] | None = None,
        random_offset: int = 0,
    ) -> None:
        super().__init__(None, transform=transform, target_transform=target_transform)
        self.size: int = integer(size, "size")
        self.image_size: tuple[int, ...] = integers(image_size, "image_size", 1, 3)
        self.num_classes: int = integer(num_classes, "num_classes", 1)
        self.random_offset = random_offset

    def __getitem__(self, index: int) -> tuple[Any, Any]:
        if index >= len(self):
            raise IndexError(f"{type(self).__name__} index out of range")
        generator = Generator().manual_seed(index + self.random_offset)
        image = ToPILImage()(randn(*self.image_size, generator=generator))
        target = randint(0, self.num_classes, (1,), generator=generator).item()
        if self.transform is not None:
            image = self.transform(image)
        return image, target if self.target_transform is None else self.target_transform(target)

    def __len__(self) -> int:
        return self.size
