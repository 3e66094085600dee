"""Transforms of an image's colours, and of its sharpness."""

import numbers
from collections.abc import Sequence
from typing import Any

from fastconv._tensor import Tensor
from fastconv.checks import number
from fastconv.creation import empty, rand, randperm
from fastconv.dtypes import as_dtype
from fastconv.nn import Module
from fastconv.vision.transforms import functional as F
from fastconv.vision.transforms.images import dimensions, pair

__all__ = [
    "ColorJitter",
    "ConvertImageDtype",
    "GaussianBlur",
    "PILToTensor",
    "RandomAdjustSharpness",
    "RandomAutocontrast",
    "RandomEqualize",
    "RandomGrayscale",
    "RandomInvert",
    "RandomPosterize",
    "RandomSolarize",
]


class PILToTensor:
    """A Pillow image as a tensor (C, H, W) of its own values; those of 16 bits become int32."""

    def __call__(self, pic: Any) -> Tensor:
        return F.pil_to_tensor(pic)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ConvertImageDtype(Module):
    """A tensor in another dtype, with its values scaled so that white stays white.

    Parameters
    ----------
    dtype : dtype
    """

    def __init__(self, dtype: Any) -> None:
        super().__init__()
        self.dtype: Any = as_dtype(dtype)

    def forward(self, image: Tensor) -> Tensor:
        return F.convert_image_dtype(image, self.dtype)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ColorJitter(Module):
    """Change brightness, contrast, saturation and hue of an image at random, in random order.

    Parameters
    ----------
    brightness, contrast, saturation : float or pair of float
        Between which the factor is; a number x stands for (max(0, 1 - x), 1 + x).
    hue : float or pair of float
        Between which the turn is, within [-0.5, 0.5]; a number x stands for (-x, x).
    """

    _functional: Any = F  # where its functions are

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        super().__init__()
        self.brightness: tuple[float, float] | None = _bounds("brightness", brightness, 1, 0, float("inf"))
        self.contrast: tuple[float, float] | None = _bounds("contrast", contrast, 1, 0, float("inf"))
        self.saturation: tuple[float, float] | None = _bounds("saturation", saturation, 1, 0, float("inf"))
        self.hue: tuple[float, float] | None = _bounds("hue", hue, 0, -0.5, 0.5)

    @staticmethod
    def get_params(
        brightness: Sequence[float] | None,
        contrast: Sequence[float] | None,
        saturation: Sequence[float] | None,
        hue: Sequence[float] | None,
    ) -> tuple[Tensor, float | None, float | None, float | None, float | None]:
        """The order of the four, and a random number for each within its bounds."""
        order = randperm(4)
        drawn = [
            None if bounds is None else empty(1).uniform_(*bounds).item()
            for bounds in (brightness, contrast, saturation, hue)
        ]
        return order, drawn[0], drawn[1], drawn[2], drawn[3]

    def forward(self, img: Any) -> Any:
        order, *factors = self.get_params(self.brightness, self.contrast, self.saturation, self.hue)
        changes = tuple(
            getattr(self._functional, f"adjust_{name}") for name in ("brightness", "contrast", "saturation", "hue")
        )
        for i in order.tolist():
            factor = factors[i]
            if factor is not None:
                img = changes[i](img, factor)
        return img

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(brightness={self.brightness}, contrast={self.contrast}, "
            f"saturation={self.saturation}, hue={self.hue})"
        )


def _bounds(name: str, value: Any, center: float, least: float, most: float) -> tuple[float, float] | None:
    """Between which to draw; None where there is nothing to change."""
    if isinstance(value, numbers.Number):
        if value < 0:
            raise ValueError(f"If {name} is a single number, it must be non negative.")
        value = (center - value, center + value)
        if least == 0:
            value = (max(value[0], 0.0), value[1])
    elif not isinstance(value, Sequence) or len(value) != 2:
        raise TypeError(f"{name} should be a single number or a sequence of length 2. Got {value!r}")
    if not least <= value[0] <= value[1] <= most:
        raise ValueError(f"{name} values should be between {least} and {most}, but got {value}.")
    return None if value[0] == value[1] == center else (float(value[0]), float(value[1]))


class RandomGrayscale(Module):
    """Take the colours out of an image with probability `p`; it keeps its number of channels."""

    _functional: Any = F  # where its functions are

    def __init__(self, p: float = 0.1) -> None:
        super().__init__()
        self.p: float = number(p, "p", 0, 1)

    def forward(self, img: Any) -> Any:
        channels, _, _ = dimensions(img)
        if rand(1).item() < self.p:
            return self._functional.rgb_to_grayscale(img, 3 if channels == 3 else 1)
        return img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class GaussianBlur(Module):
    """Convolve an image with a Gaussian of random width.

    Parameters
    ----------
    kernel_size : int or sequence of int
        Columns and rows of the filter, odd.
    sigma : float or pair of float
        Standard deviation in pixels, or between which it is.
    """

    def __init__(self, kernel_size: int | Sequence[int], sigma: float | Sequence[float] = (0.1, 2.0)) -> None:
        super().__init__()
        self.kernel_size: tuple[int, int] = pair(kernel_size)
        for size in self.kernel_size:
            if size <= 0 or size % 2 == 0:
                raise ValueError(f"Kernel size value should be an odd and positive number. Got {kernel_size}")
        if isinstance(sigma, numbers.Number):
            if sigma <= 0:
                raise ValueError("If sigma is a single number, it must be positive.")
            sigma = (sigma, sigma)
        elif not isinstance(sigma, Sequence) or len(sigma) != 2:
            raise ValueError("sigma should be a single number or a list/tuple with length 2.")
        elif not 0.0 < sigma[0] <= sigma[1]:
            raise ValueError("sigma values should be positive and of the form (min, max).")
        self.sigma: Sequence[float] = sigma

    @staticmethod
    def get_params(sigma_min: float, sigma_max: float) -> float:
        """A random standard deviation between two."""
        return empty(1).uniform_(sigma_min, sigma_max).item()

    def forward(self, img: Any) -> Any:
        sigma = self.get_params(*self.sigma)
        return F.gaussian_blur(img, self.kernel_size, [sigma, sigma])

    def __repr__(self) -> str:
        return f"{type(self).__name__}(kernel_size={self.kernel_size}, sigma={self.sigma})"


class _Sometimes(Module):
    """What is done to an image with probability `p`."""

    _functional: Any = F  # where its functions are

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        self.p: float = number(p, "p", 0, 1)

    def _change(self, img: Any) -> Any:
        raise NotImplementedError

    def forward(self, img: Any) -> Any:
        return self._change(img) if rand(1).item() < self.p else img

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class RandomInvert(_Sometimes):
    """Turn an image into its negative with probability `p`."""

    def _change(self, img: Any) -> Any:
        return self._functional.invert(img)


class RandomPosterize(_Sometimes):
    """Keep `bits` bits of each value with probability `p`."""

    def __init__(self, bits: int, p: float = 0.5) -> None:
        super().__init__(p)
        self.bits = bits

    def _change(self, img: Any) -> Any:
        return self._functional.posterize(img, self.bits)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(bits={self.bits},p={self.p})"


class RandomSolarize(_Sometimes):
    """Turn values of `threshold` and above into their negative with probability `p`."""

    def __init__(self, threshold: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.threshold = threshold

    def _change(self, img: Any) -> Any:
        return self._functional.solarize(img, self.threshold)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(threshold={self.threshold},p={self.p})"


class RandomAdjustSharpness(_Sometimes):
    """Make an image sharper (over 1) or smoother with probability `p`."""

    def __init__(self, sharpness_factor: float, p: float = 0.5) -> None:
        super().__init__(p)
        self.sharpness_factor = sharpness_factor

    def _change(self, img: Any) -> Any:
        return self._functional.adjust_sharpness(img, self.sharpness_factor)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(sharpness_factor={self.sharpness_factor},p={self.p})"


class RandomAutocontrast(_Sometimes):
    """Stretch each channel from black to white with probability `p`."""

    def _change(self, img: Any) -> Any:
        return self._functional.autocontrast(img)


class RandomEqualize(_Sometimes):
    """Make each channel's histogram flat with probability `p`."""

    def _change(self, img: Any) -> Any:
        return self._functional.equalize(img)
