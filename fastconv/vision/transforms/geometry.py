"""Transforms that move pixels: padding, windows of random size, rotations, mirrors."""

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

from fastconv.checks import number
from fastconv.creation import empty, rand, randint
from fastconv.vision._pillow import is_image, pillow
from fastconv.vision.transforms.images import (
    check_image,
    check_padding_mode,
    crop,
    flipped,
    height_width,
    pad,
    pair,
    sides,
)
from fastconv.vision.transforms.transforms import InterpolationMode, Resize

__all__ = ["Pad", "RandomResizedCrop", "RandomRotation", "RandomVerticalFlip"]


class Pad:
    """Add pixels around an image.

    Parameters
    ----------
    padding : int or sequence of int
        All sides, (left/right, top/bottom), or (left, top, right, bottom).
    fill : number or tuple of numbers
        Value of the added pixels where `padding_mode` is 'constant', for all channels or one for each.
    padding_mode : {'constant', 'edge', 'reflect', 'symmetric'}
    """

    def __init__(
        self, padding: int | Sequence[int], fill: float | tuple[float, ...] = 0, padding_mode: str = "constant"
    ) -> None:
        self.padding = padding
        self.fill = fill
        self.padding_mode: str = check_padding_mode(padding_mode)
        if padding is None:
            raise TypeError("Got inappropriate padding arg: expected an int or a sequence, got None")
        sides(padding)

    def __call__(self, image: Any) -> Any:
        return pad(image, sides(self.padding), self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomResizedCrop:
    """Cut a window of random size and proportions out of a Pillow image, and resize it.

    Parameters
    ----------
    size : int or sequence of int
        Height and width of the result; an int is both.
    scale : pair of float
        Between which shares of the image's area the window's is.
    ratio : pair of float
        Between which its width over its height is; the logarithm is drawn uniformly.
    interpolation : InterpolationMode
    antialias : bool
        Pillow's filters always do it, so True is the only value.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool = True,
    ) -> None:
        self.size: tuple[int, int] = pair(size)
        for name, bounds in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(bounds, Sequence) or len(bounds) != 2:
                raise TypeError(f"{name} should be a sequence of two numbers. Got {bounds!r}")
            if bounds[0] > bounds[1]:
                warnings.warn(f"Scale and ratio should be of kind (min, max). Got {bounds}", stacklevel=2)
        self.scale = scale
        self.ratio = ratio
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.antialias = antialias
        self._resize = Resize(self.size, self.interpolation, antialias=antialias)

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """A random window, (top, left, height, width); the largest in the middle if ten are too large."""
        height, width = height_width(img)
        bounds = [math.log(bound) for bound in ratio]
        for _ in range(10):
            area = height * width * empty(1).uniform_(*scale).item()
            proportions = math.exp(empty(1).uniform_(*bounds).item())
            w, h = round(math.sqrt(area * proportions)), round(math.sqrt(area / proportions))
            if 0 < w <= width and 0 < h <= height:
                return randint(0, height - h + 1, (1,)).item(), randint(0, width - w + 1, (1,)).item(), h, w
        w, h = width, height
        if width / height < min(ratio):
            h = round(width / min(ratio))
        elif width / height > max(ratio):
            w = round(height * max(ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def __call__(self, image: Any) -> Any:
        check_image(image, "RandomResizedCrop")
        return self._resize(crop(image, *self.get_params(image, self.scale, self.ratio)))

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(bound, 4) for bound in bounds) for bounds in (self.scale, self.ratio))
        return (
            f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


class RandomRotation:
    """Rotate a Pillow image by a random angle, counter-clockwise.

    Parameters
    ----------
    degrees : number or pair of numbers
        Between which the angle is; a number d stands for (-d, d).
    interpolation : InterpolationMode
        NEAREST, BILINEAR or BICUBIC.
    expand : bool
        Enlarge the image so that it holds all of the rotated one.
    center : pair of int, optional
        (x, y) of the centre; by default the image's.
    fill : number or tuple of numbers
        Value of the pixels from outside the image, for all channels or one for each.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: float | tuple[float, ...] = 0,
    ) -> None:
        if isinstance(degrees, numbers.Number):
            if degrees < 0:
                raise ValueError("If degrees is a single number, it must be positive.")
            degrees = (-degrees, degrees)
        if not isinstance(degrees, Sequence) or len(degrees) != 2:
            raise ValueError(f"degrees should be a number or a sequence of length 2. Got {degrees!r}")
        self.degrees: list[float] = [float(degree) for degree in degrees]
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.expand = expand
        self.center = center
        self.fill = fill

    def __call__(self, image: Any) -> Any:
        check_image(image, "RandomRotation")
        return rotate(
            image, empty(1).uniform_(*self.degrees).item(), self.interpolation, self.expand, self.center, self.fill
        )

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}, fill={self.fill})"
        )


def rotate(
    image: Any,
    angle: float,
    interpolation: InterpolationMode = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: float | tuple[float, ...] | None = None,
) -> Any:
    """A Pillow image rotated by `angle` degrees, counter-clockwise; see :class:`RandomRotation`."""
    check_image(image, "rotate")
    bands = len(image.getbands())
    if fill is not None:
        fill = tuple(fill) if isinstance(fill, Sequence) else (fill,) * bands
        if len(fill) not in (1, bands):
            raise ValueError(f"fill has {len(fill)} values, the image {bands} channels")
        fill = fill * (bands // len(fill))
        fill = fill[0] if bands == 1 else tuple(map(int, fill))
    resampling = pillow().Resampling[InterpolationMode(interpolation).name]
    return image.rotate(angle, resampling, expand, center, fillcolor=fill)


class RandomVerticalFlip:
    """Mirror top and bottom with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        self.p: float = number(p, "p", 0, 1)

    def __call__(self, image: Any) -> Any:
        return vertical_flip(image) if rand(1).item() < self.p else image

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


def vertical_flip(image: Any) -> Any:
    """An image, or a tensor (..., H, W), with top and bottom mirrored."""
    if is_image(image):
        return image.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)
    return flipped(image, -2)


def horizontal_flip(image: Any) -> Any:
    """An image, or a tensor (..., H, W), with left and right mirrored."""
    if is_image(image):
        return image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)
    return flipped(image, -1)
