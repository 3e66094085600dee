"""Chains of transforms of photographs whose last steps run as one: cut, resize, mirror, ToTensor and Normalize.

A photograph's window is resampled into its place in the batch by one compiled pass, whose bytes are Pillow's, and
becomes numbers by a table of 256 values a channel, which the transforms themselves have made. What comes before in the
chain is called as it is, and random numbers are drawn in the same order as when each step is called.
"""

import functools
import itertools
from collections.abc import Callable, Iterable, Sequence
from typing import Any

import numpy as np

from fastconv._native.memory import empty
from fastconv._native.pictures import window_into
from fastconv._tensor import Tensor
from fastconv.creation import from_numpy
from fastconv.vision._pillow import is_image, pillow
from fastconv.vision.transforms.geometry import RandomResizedCrop
from fastconv.vision.transforms.transforms import (
    InterpolationMode,
    Normalize,
    RandomHorizontalFlip,
    Resize,
    ToTensor,
    steps_of,
)

__all__ = ["Fused", "fused"]


def _rows_shrink_more(rows: int, columns: int, new_rows: int, new_columns: int) -> bool:
    """Whether Pillow 13 and later resample along columns first."""
    return new_rows < rows and rows - new_rows > 2 * (columns - new_columns)


@functools.cache
def down_first() -> Callable[[int, int, int, int], bool] | None:
    """Says of a window's height and width, and of the new ones, whether this Pillow resamples along columns first.

    Which of the rules known it follows is tried out; None if it follows none, and is not to be replaced.
    """
    image = pillow().fromarray(np.random.default_rng(0).integers(0, 256, (24, 24, 3), np.uint8))
    every = np.repeat(np.arange(256, dtype=np.float32)[None], 3, 0)
    rules = {"Pillow 13": _rows_shrink_more, "older": lambda *_: False}
    for size in ((9, 17), (17, 9), (9, 30), (11, 18), (12, 18), (30, 40), (40, 20)):
        for cubic, filter in ((False, "BILINEAR"), (True, "BICUBIC")):
            expected = np.asarray(image.resize(size[::-1], pillow().Resampling[filter])).transpose(2, 0, 1)
            found = np.empty((3, *size), np.float32)
            for name, rule in list(rules.items()):
                first = rule(24, 24, *size)
                _, pixels = image.__arrow_c_array__()
                window_into(pixels, 24, 24, 0, 0, 24, 24, cubic, False, first, every, found)
                if not np.array_equal(found, expected):
                    del rules[name]
    return next(iter(rules.values()), None)


def fused(transform: Callable[..., Any] | None) -> "Fused | None":
    """`transform` as a function of many photographs; None where it does not end in ToTensor, or Normalize after it."""
    steps = steps_of(transform)
    kinds = [type(step) for step in steps]
    if ToTensor not in kinds or any(getattr(step, "_hooks", None) is not None for step in steps):
        return None
    last = kinds.index(ToTensor)
    if kinds[last + 1 :] not in ([], [Normalize]):
        return None
    return Fused(steps[:last], steps[last:])


class Fused:
    """What :func:`fused` gives.

    Parameters
    ----------
    before : list of callables
        Steps that take and give Pillow images.
    after : list of callables
        ToTensor, and perhaps Normalize.
    """

    def __init__(self, before: Sequence[Any], after: Sequence[Any]) -> None:
        self._first = list(before)
        self._after = after
        self._flip = self._taken(RandomHorizontalFlip)
        self._crop = self._taken(RandomResizedCrop)
        self._resize = self._crop._resize if self._crop is not None else self._taken(Resize)
        self.takes_files = not self._first  # no step could tell an image from the file that it is read from
        every = np.repeat(np.arange(256, dtype=np.uint8)[None, :, None], 3, axis=2)
        self._tables = np.ascontiguousarray(self._numbers(every)[:, 0])

    def _taken(self, kind: type) -> Any:
        """The last step, taken away, if it is of this very kind."""
        return self._first.pop() if self._first and type(self._first[-1]) is kind else None

    def _numbers(self, picture: Any) -> np.ndarray:
        for step in self._after:
            picture = step(picture)
        return picture.numpy()

    def __call__(self, images: Iterable[Any], count: int) -> Tensor | list[Tensor]:
        """A batch (N, C, H, W) of `count` images; a list where they are not of one shape."""
        images = iter(images)
        batch = None
        for i, image in enumerate(images):
            image, window, size, flip = self._drawn(image)
            shape = (3, *size) if image.mode == "RGB" else None
            if i == 0 and shape is not None:
                batch = empty((count, *shape), np.float32)
            if batch is None or shape != batch.shape[1:]:
                # Of another kind or size: one by one from here on.
                done = [] if batch is None else [from_numpy(x.copy()) for x in batch[:i]]
                rest = (self._drawn(image) for image in images)
                drawn = itertools.chain([(image, window, size, flip)], rest)
                return done + [from_numpy(self._alone(*one)) for one in drawn]
            if not self._written(image, window, flip, batch[i]):
                batch[i] = self._alone(image, window, size, flip)
        return [] if batch is None else from_numpy(batch)

    def _drawn(self, image: Any) -> tuple[Any, tuple[int, int, int, int], tuple[int, int], bool]:
        """The image, the window (top, left, height, width) of it, its size in the end, and whether it is mirrored."""
        for step in self._first:
            image = step(image)
        if not is_image(image):
            raise TypeError(f"pic should be PIL Image. Got {type(image)}")
        if self._crop is not None:
            window = self._crop.get_params(image, self._crop.scale, self._crop.ratio)
        else:
            window = 0, 0, image.height, image.width
        size = window[2:] if self._resize is None else self._resize.target(*window[2:])
        return image, window, size, self._flip is not None and self._flip.draw()

    def _written(self, image: Any, window: tuple[int, int, int, int], flip: bool, out: np.ndarray) -> bool:
        """Whether the compiled pass could do it."""
        mode = InterpolationMode.BILINEAR if self._resize is None else self._resize.interpolation
        cubic = mode is InterpolationMode.BICUBIC
        if not (cubic or mode is InterpolationMode.BILINEAR) or not hasattr(image, "__arrow_c_array__"):
            return False
        rule = down_first()
        if rule is None:
            return False
        first = rule(*window[2:], *out.shape[1:])
        try:
            _, pixels = image.__arrow_c_array__()
            window_into(pixels, image.height, image.width, *window, cubic, flip, first, self._tables, out)
        except ValueError:  # the image lies in several parts, or shrinks very much
            return False
        return True

    def _alone(self, image: Any, window: tuple[int, int, int, int], size: tuple[int, int], flip: bool) -> np.ndarray:
        """The same by Pillow."""
        top, left, height, width = window
        image = image.crop((left, top, left + width, top + height))
        if self._resize is not None and (image.height, image.width) != size:
            image = self._resize(image)
        if flip:
            image = image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)
        return self._numbers(image)
