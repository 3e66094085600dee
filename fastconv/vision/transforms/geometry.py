"""Transforms that move pixels: padding, windows of random size, rotations, mirrors."""

import math
import numbers
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.checks import number
from fastconv.creation import empty, rand, randint, randn, tensor
from fastconv.functions import cat, mm
from fastconv.nn import Module
from fastconv.vision.transforms import functional as F
from fastconv.vision.transforms.images import check_padding_mode, crop, dimensions, pad, pair, sides, vertical_flip
from fastconv.vision.transforms.transforms import InterpolationMode, Resize

__all__ = [
    "ElasticTransform",
    "FiveCrop",
    "LinearTransformation",
    "Pad",
    "RandomAffine",
    "RandomErasing",
    "RandomPerspective",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "TenCrop",
]


class Pad(Module):
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
        super().__init__()
        self.padding = padding
        self.fill = fill
        self.padding_mode: str = check_padding_mode(padding_mode)
        if padding is None:
            raise TypeError("Got inappropriate padding arg: expected an int or a sequence, got None")
        sides(padding)

    def forward(self, image: Any) -> Any:
        return pad(image, sides(self.padding), self.fill, self.padding_mode)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(padding={self.padding}, fill={self.fill}, padding_mode={self.padding_mode})"


class RandomResizedCrop(Module):
    """Cut a window of random size and proportions out of an image, and resize it.

    Parameters
    ----------
    size : int or sequence of int
        Height and width of the result; an int is both.
    scale : pair of float
        Between which shares of the image's area the window's is.
    ratio : pair of float
        Between which its width over its height is; the logarithm is drawn uniformly.
    interpolation : InterpolationMode
    antialias : bool or None
        See :class:`Resize`.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        scale: tuple[float, float] = (0.08, 1.0),
        ratio: tuple[float, float] = (3 / 4, 4 / 3),
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        self.size: tuple[int, int] = pair(size)
        for name, bounds in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(bounds, Sequence) or len(bounds) != 2:
                raise TypeError(f"{name} should be a sequence of two numbers. Got {bounds!r}")
            if bounds[0] > bounds[1]:
                warnings.warn(f"Scale and ratio should be of kind (min, max). Got {bounds}", stacklevel=2)
        self.scale = scale
        self.ratio = ratio
        self.interpolation: InterpolationMode | int = InterpolationMode(interpolation)
        self.antialias = antialias
        self._resize = Resize(self.size, self.interpolation, antialias=antialias)

    @staticmethod
    def get_params(img: Any, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int, int, int]:
        """A random window, (top, left, height, width); the largest in the middle if ten are too large."""
        _, height, width = dimensions(img)
        for _ in range(10):
            w, h = _draw_size(height * width, scale, ratio)
            if 0 < w <= width and 0 < h <= height:
                return randint(0, height - h + 1, (1,)).item(), randint(0, width - w + 1, (1,)).item(), h, w
        w, h = width, height
        if width / height < min(ratio):
            h = round(width / min(ratio))
        elif width / height > max(ratio):
            w = round(height * max(ratio))
        return (height - h) // 2, (width - w) // 2, h, w

    def forward(self, image: Any) -> Any:
        return self._resize(crop(image, *self.get_params(image, self.scale, self.ratio)))

    def __repr__(self) -> str:
        scale, ratio = (tuple(round(bound, 4) for bound in bounds) for bounds in (self.scale, self.ratio))
        return (
            f"{type(self).__name__}(size={self.size}, scale={scale}, ratio={ratio}, "
            f"interpolation={self.interpolation.value}, antialias={self.antialias})"
        )


def _draw_size(area: int, scale: Sequence[float], ratio: Sequence[float]) -> tuple[int, int]:
    """The sides of a random rectangle: a share of the area, and proportions (first over second)."""
    area = area * empty(1).uniform_(*scale).item()
    bounds = [float(np.float32(math.log(bound))) for bound in ratio]
    proportions = float(np.float32(math.exp(empty(1).uniform_(*bounds).item())))
    return round(math.sqrt(area * proportions)), round(math.sqrt(area / proportions))


class RandomRotation(Module):
    """Rotate an image by a random angle, counter-clockwise.

    Parameters
    ----------
    degrees : number or pair of numbers
        Between which the angle is; a number d stands for (-d, d).
    interpolation : InterpolationMode
        NEAREST or BILINEAR, for Pillow images BICUBIC too.
    expand : bool
        Enlarge the image so that it holds all of the rotated one.
    center : pair of int, optional
        (x, y) of the centre; by default the image's.
    fill : number or tuple of numbers
        Value of the pixels from outside the image, for all channels or one for each.
    """

    _functional: Any = F  # where its functions are

    def __init__(
        self,
        degrees: float | Sequence[float],
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        expand: bool = False,
        center: Sequence[float] | None = None,
        fill: float | tuple[float, ...] = 0,
    ) -> None:
        super().__init__()
        self.degrees: list[float] = _angles(degrees, "degrees")
        self.interpolation: InterpolationMode | int = InterpolationMode(interpolation)
        self.expand = expand
        self.center = center
        self.fill = fill

    def forward(self, image: Any) -> Any:
        fill = _fill_of(self.fill, image)
        return self._functional.rotate(
            image, self.get_params(self.degrees), self.interpolation, self.expand, self.center, fill
        )

    @staticmethod
    def get_params(degrees: Sequence[float]) -> float:
        """A random angle between two."""
        return empty(1).uniform_(float(degrees[0]), float(degrees[1])).item()

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(degrees={self.degrees}, interpolation={self.interpolation.value}, "
            f"expand={self.expand}, fill={self.fill})"
        )


class RandomVerticalFlip(Module):
    """Mirror top and bottom with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p: float = number(p, "p", 0, 1)

    def forward(self, image: Any) -> Any:
        return vertical_flip(image) if rand(1).item() < self.p else image

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


def _check_lengths(value: Any, name: str, lengths: tuple[int, ...]) -> None:
    wanted = f"{name} should be a sequence of length {' or '.join(map(str, lengths))}."
    if not isinstance(value, Sequence):
        raise TypeError(wanted)
    if len(value) not in lengths:
        raise ValueError(f"{wanted} Got {value!r}")


def _angles(value: Any, name: str, lengths: tuple[int, ...] = (2,)) -> list[float]:
    """Between which an angle is drawn; a number d stands for (-d, d)."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be positive.")
        return [float(-value), float(value)]
    _check_lengths(value, name, lengths)
    return [float(angle) for angle in value]


def _fill_of(fill: Any, image: Any) -> Any:
    """For a tensor, a number for each channel."""
    if not isinstance(image, Tensor) or fill is None:
        return fill
    if isinstance(fill, numbers.Number):
        return [float(fill)] * dimensions(image)[0]
    return [float(value) for value in fill]


class FiveCrop(Module):
    """The windows in the corners and in the middle, a tuple of five images.

    Parameters
    ----------
    size : int or sequence of int
        Their height and width; an int is both.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size: tuple[int, int] = pair(size)

    def forward(self, img: Any) -> tuple[Any, ...]:
        return F.five_crop(img, self.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class TenCrop(Module):
    """:class:`FiveCrop` of the image and of its mirror image, a tuple of ten.

    Parameters
    ----------
    size : int or sequence of int
        Their height and width; an int is both.
    vertical_flip : bool
        Mirror top and bottom rather than left and right.
    """

    def __init__(self, size: int | Sequence[int], vertical_flip: bool = False) -> None:
        super().__init__()
        self.size: tuple[int, int] = pair(size)
        self.vertical_flip = vertical_flip

    def forward(self, img: Any) -> tuple[Any, ...]:
        return F.ten_crop(img, self.size, self.vertical_flip)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, vertical_flip={self.vertical_flip})"


class LinearTransformation(Module):
    """``(x - mean) M`` of an image's pixels as one vector: whitening, for instance.

    Parameters
    ----------
    transformation_matrix : Tensor (D, D)
        With D = C * H * W.
    mean_vector : Tensor (D,)

    Raises
    ------
    ValueError
        If shapes or dtypes do not fit each other, or later the image.
    """

    def __init__(self, transformation_matrix: Tensor, mean_vector: Tensor) -> None:
        super().__init__()
        shape = tuple(transformation_matrix.shape)
        if shape[0] != shape[1]:
            raise ValueError(f"transformation_matrix should be square. Got {shape} rectangular matrix.")
        if mean_vector.shape[0] != shape[0]:
            raise ValueError(
                f"mean_vector should have the same length {mean_vector.shape[0]} as any one of the dimensions of the "
                f"transformation_matrix [{shape}]"
            )
        if transformation_matrix.dtype != mean_vector.dtype:
            raise ValueError(
                f"Input tensors should have the same dtype. Got {transformation_matrix.dtype} and {mean_vector.dtype}"
            )
        self.transformation_matrix = transformation_matrix
        self.mean_vector = mean_vector

    def forward(self, tensor: Tensor) -> Tensor:
        shape = tensor.shape
        length = math.prod(shape[-3:])
        if length != self.transformation_matrix.shape[0]:
            raise ValueError(
                "Input tensor and transformation matrix have incompatible shape."
                f"[{' x '.join(map(str, shape[-3:]))}] != {self.transformation_matrix.shape[0]}"
            )
        flat = tensor.reshape(-1, length) - self.mean_vector
        return mm(flat, self.transformation_matrix.to(flat.dtype)).reshape(*shape)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(transformation_matrix={self.transformation_matrix.tolist()}, "
            f"mean_vector={self.mean_vector.tolist()})"
        )


class RandomAffine(Module):
    """Shear, turn, scale and move an image at random, about its middle.

    Parameters
    ----------
    degrees : number or pair of numbers
        Between which the angle is; a number d stands for (-d, d).
    translate : pair of float, optional
        How far it is moved at most, as parts of its width and height.
    scale : pair of float, optional
        Between which the scale is.
    shear : number or sequence of two or four numbers, optional
        Between which the angle along x is, and that along y; a number d stands for (-d, d) along x.
    interpolation : InterpolationMode
        NEAREST or BILINEAR, for Pillow images BICUBIC too.
    fill : number or sequence of numbers
        Value of the pixels from outside the image, for all channels or one for each.
    center : pair of int, optional
        (x, y), from the upper left corner.
    """

    def __init__(
        self,
        degrees: float | Sequence[float],
        translate: Sequence[float] | None = None,
        scale: Sequence[float] | None = None,
        shear: float | Sequence[float] | None = None,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: float | Sequence[float] | None = 0,
        center: Sequence[int] | None = None,
    ) -> None:
        super().__init__()
        self.degrees: list[float] = _angles(degrees, "degrees")
        if translate is not None:
            _check_lengths(translate, "translate", (2,))
            for part in translate:
                if not 0.0 <= part <= 1.0:
                    raise ValueError("translation values should be between 0 and 1")
        if scale is not None:
            _check_lengths(scale, "scale", (2,))
            for factor in scale:
                if factor <= 0:
                    raise ValueError("scale values should be positive")
        if center is not None:
            _check_lengths(center, "center", (2,))
        self.translate = translate
        self.scale = scale
        self.shear: list[float] | None = None if shear is None else _angles(shear, "shear", (2, 4))
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill: Any = _check_fill(fill)
        self.center = center

    @staticmethod
    def get_params(
        degrees: Sequence[float],
        translate: Sequence[float] | None,
        scale_ranges: Sequence[float] | None,
        shears: Sequence[float] | None,
        img_size: Sequence[int],
    ) -> tuple[float, tuple[int, int], float, tuple[float, float]]:
        """An angle, a translation, a scale and two shears, for an image of (width, height)."""

        def draw(low: float, high: float) -> float:
            return empty(1).uniform_(float(low), float(high)).item()

        angle = draw(*degrees)
        moved = (0, 0)
        if translate is not None:
            x, y = (float(part * length) for part, length in zip(translate, img_size, strict=True))
            moved = round(draw(-x, x)), round(draw(-y, y))
        scale = 1.0 if scale_ranges is None else draw(*scale_ranges)
        shear_x = shear_y = 0.0
        if shears is not None:
            shear_x = draw(*shears[:2])
            shear_y = draw(*shears[2:]) if len(shears) == 4 else 0.0
        return angle, moved, scale, (shear_x, shear_y)

    def forward(self, img: Any) -> Any:
        _, height, width = dimensions(img)
        drawn = self.get_params(self.degrees, self.translate, self.scale, self.shear, [width, height])
        return F.affine(
            img, *drawn, interpolation=self.interpolation, fill=_fill_of(self.fill, img), center=self.center
        )

    def __repr__(self) -> str:
        parts = [f"degrees={self.degrees}"]
        parts += [
            f"{name}={value}"
            for name, value in (("translate", self.translate), ("scale", self.scale), ("shear", self.shear))
            if value is not None
        ]
        if self.interpolation is not InterpolationMode.NEAREST:
            parts.append(f"interpolation={self.interpolation.value}")
        if self.fill != 0:
            parts.append(f"fill={self.fill}")
        if self.center is not None:
            parts.append(f"center={self.center}")
        return f"{type(self).__name__}({', '.join(parts)})"


def _check_fill(fill: Any) -> Any:
    if fill is None:
        return 0
    if not isinstance(fill, (Sequence, numbers.Number)):
        raise TypeError("Fill should be either a sequence or a number.")
    return fill


class RandomPerspective(Module):
    """Put an image into a random perspective with probability `p`.

    Parameters
    ----------
    distortion_scale : float
        How far the corners move at most, as a part of half the width and height.
    p : float
    interpolation : InterpolationMode
    fill : number or sequence of numbers
        Value of the pixels from outside the image, for all channels or one for each.
    """

    def __init__(
        self,
        distortion_scale: float = 0.5,
        p: float = 0.5,
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        fill: float | Sequence[float] | None = 0,
    ) -> None:
        super().__init__()
        self.p: float = number(p, "p", 0, 1)
        self.distortion_scale: float = number(distortion_scale, "distortion_scale", 0, 1)
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill: Any = _check_fill(fill)

    @staticmethod
    def get_params(width: int, height: int, distortion_scale: float) -> tuple[list[list[int]], list[list[int]]]:
        """The corners (x, y), and where they go."""
        across, down = (int(distortion_scale * (length // 2)) for length in (width, height))

        def draw(low: int, high: int) -> int:
            return int(randint(low, high, (1,)).item())

        def point(right: bool, lower: bool) -> list[int]:
            x = draw(width - across - 1, width) if right else draw(0, across + 1)
            y = draw(height - down - 1, height) if lower else draw(0, down + 1)
            return [x, y]

        ends = [point(False, False), point(True, False), point(True, True), point(False, True)]
        return [[0, 0], [width - 1, 0], [width - 1, height - 1], [0, height - 1]], ends

    def forward(self, img: Any) -> Any:
        _, height, width = dimensions(img)
        if not rand(1).item() < self.p:
            return img
        corners = self.get_params(width, height, self.distortion_scale)
        return F.perspective(img, *corners, self.interpolation, _fill_of(self.fill, img))

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomErasing(Module):
    """Overwrite a random rectangle of a tensor with probability `p` (Z. Zhong and others, 2017).

    Parameters
    ----------
    p : float
    scale : pair of float
        Between which shares of the image's area the rectangle's is.
    ratio : pair of float
        Between which its height over its width is.
    value : number, sequence of numbers, or 'random'
        What it is filled with: for all channels, one for each, or normal noise.
    inplace : bool
        Overwrite the tensor instead of making a new one.
    """

    def __init__(
        self,
        p: float = 0.5,
        scale: Sequence[float] = (0.02, 0.33),
        ratio: Sequence[float] = (0.3, 3.3),
        value: float | str | Sequence[float] = 0,
        inplace: bool = False,
    ) -> None:
        super().__init__()
        if not isinstance(value, (numbers.Number, str, tuple, list)):
            raise TypeError("Argument value should be either a number or str or a sequence")
        if isinstance(value, str) and value != "random":
            raise ValueError("If value is str, it should be 'random'")
        for name, bounds in (("Scale", scale), ("Ratio", ratio)):
            if not isinstance(bounds, Sequence):
                raise TypeError(f"{name} should be a sequence")
            if bounds[0] > bounds[1]:
                warnings.warn("Scale and ratio should be of kind (min, max)", stacklevel=2)
        if scale[0] < 0 or scale[1] > 1:
            raise ValueError("Scale should be between 0 and 1")
        if p < 0 or p > 1:
            raise ValueError("Random erasing probability should be between 0 and 1")
        self.p = p
        self.scale = scale
        self.ratio = ratio
        self.value = value
        self.inplace = inplace

    @staticmethod
    def get_params(
        img: Tensor, scale: Sequence[float], ratio: Sequence[float], value: Sequence[float] | None = None
    ) -> tuple[int, int, int, int, Tensor]:
        """A window, (top, left, height, width), and what it is filled with: `value`, or noise if None.

        Where ten do not fit, it is the image itself.
        """
        channels, height, width = img.shape[-3:]
        for _ in range(10):
            h, w = _draw_size(height * width, scale, ratio)
            if h < height and w < width:
                v = randn(channels, h, w) if value is None else tensor(value)[:, None, None]
                return randint(0, height - h + 1, (1,)).item(), randint(0, width - w + 1, (1,)).item(), h, w, v
        return 0, 0, height, width, img

    def forward(self, img: Tensor) -> Tensor:
        if not rand(1).item() < self.p:
            return img
        value: Any = self.value
        if isinstance(value, str):
            value = None
        else:
            value = [float(value)] if isinstance(value, numbers.Number) else [float(part) for part in value]
            if len(value) not in (1, img.shape[-3]):
                raise ValueError(
                    f"If value is a sequence, it should have either a single value or {img.shape[-3]} "
                    "(number of input channels)"
                )
        return F.erase(img, *self.get_params(img, self.scale, self.ratio, value), self.inplace)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(p={self.p}, scale={self.scale}, ratio={self.ratio}, value={self.value}, "
            f"inplace={self.inplace})"
        )


class ElasticTransform(Module):
    """Move pixels by smooth random distances (P. Y. Simard, D. Steinkraus, J. C. Platt, 2003).

    Parameters
    ----------
    alpha : float or pair of float
        How far, in pixels, along x and y.
    sigma : float or pair of float
        Standard deviation of the Gaussian that smooths the distances, in pixels.
    interpolation : InterpolationMode
        NEAREST or BILINEAR.
    fill : number or sequence of numbers
        Value of the pixels from outside the image, for all channels or one for each.
    """

    def __init__(
        self,
        alpha: float | Sequence[float] = 50.0,
        sigma: float | Sequence[float] = 5.0,
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        fill: float | Sequence[float] = 0,
    ) -> None:
        super().__init__()
        self.alpha: list[float] = _two_floats(alpha, "alpha")
        self.sigma: list[float] = _two_floats(sigma, "sigma")
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        if not isinstance(fill, (int, float, list, tuple)):
            raise TypeError(f"fill should be int or float or a list or tuple of them. Got {type(fill)}")
        self.fill: list[float] = [float(value) for value in (fill if isinstance(fill, (list, tuple)) else [fill])]

    @staticmethod
    def get_params(alpha: Sequence[float], sigma: Sequence[float], size: Sequence[int]) -> Tensor:
        """Distances (1, H, W, 2) for an image of (height, width), in halves of its width and height."""
        distances = []
        for axis, length in ((0, size[1]), (1, size[0])):
            distance = rand(1, 1, *size) * 2 - 1
            if sigma[axis] > 0.0:
                taps = int(8 * sigma[axis] + 1) | 1
                distance = F.gaussian_blur(distance, [taps, taps], list(sigma))
            distances.append(distance * alpha[axis] / length)
        return cat(distances, 1).permute(0, 2, 3, 1)

    def forward(self, tensor: Any) -> Any:
        _, height, width = dimensions(tensor)
        displacement = self.get_params(self.alpha, self.sigma, [height, width])
        return F.elastic_transform(tensor, displacement, self.interpolation, self.fill)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(alpha={self.alpha}, sigma={self.sigma}, interpolation={self.interpolation}, "
            f"fill={self.fill})"
        )


def _two_floats(value: Any, name: str) -> list[float]:
    if not isinstance(value, (float, Sequence)):
        raise TypeError(f"{name} should be float or a sequence of floats. Got {type(value)}")
    if isinstance(value, float):
        return [value, value]
    if len(value) != 2:
        raise ValueError(f"If {name} is a sequence its length should be 2. Got {len(value)}")
    for part in value:
        if not isinstance(part, float):
            raise TypeError(f"{name} should be a sequence of floats. Got {type(part)}")
    return list(value)
