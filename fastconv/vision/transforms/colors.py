"""Transforms of the colours of Pillow images."""

import numbers
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv.checks import number
from fastconv.creation import empty, rand, randperm
from fastconv.vision._pillow import pillow
from fastconv.vision.transforms.images import check_image
from fastconv.vision.transforms.transforms import Grayscale

__all__ = ["ColorJitter", "RandomGrayscale"]


def adjust_brightness(image: Any, brightness_factor: float) -> Any:
    """An image with its values multiplied: 0 is black, 1 leaves it as it is."""
    return _enhance("Brightness", image, brightness_factor)


def adjust_contrast(image: Any, contrast_factor: float) -> Any:
    """An image between its mean grey at 0 and itself at 1."""
    return _enhance("Contrast", image, contrast_factor)


def adjust_saturation(image: Any, saturation_factor: float) -> Any:
    """An image between its greys at 0 and itself at 1."""
    return _enhance("Color", image, saturation_factor)


def _enhance(kind: str, image: Any, factor: float) -> Any:
    check_image(image, f"adjusting its {kind.lower()}")
    from PIL import ImageEnhance

    return getattr(ImageEnhance, kind)(image).enhance(factor)


def adjust_hue(image: Any, hue_factor: float) -> Any:
    """An image with its hues turned by `hue_factor`, from -0.5 to 0.5, of a full turn."""
    check_image(image, "adjusting its hue")
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if image.mode in ("L", "1", "I", "F"):
        return image
    hue, saturation, value = image.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(int(hue_factor * 255) % 256)  # hues are a circle of 256 steps
    return pillow().merge("HSV", (pillow().fromarray(turned), saturation, value)).convert(image.mode)


class ColorJitter:
    """Change brightness, contrast, saturation and hue of a Pillow image at random, in random order.

    Parameters
    ----------
    brightness, contrast, saturation : float or pair of float
        Between which the factor is; a number x stands for (max(0, 1 - x), 1 + x).
    hue : float or pair of float
        Between which the turn is, within [-0.5, 0.5]; a number x stands for (-x, x).
    """

    def __init__(
        self,
        brightness: float | Sequence[float] = 0,
        contrast: float | Sequence[float] = 0,
        saturation: float | Sequence[float] = 0,
        hue: float | Sequence[float] = 0,
    ) -> None:
        self.brightness: tuple[float, float] | None = _bounds("brightness", brightness, 1, 0, float("inf"))
        self.contrast: tuple[float, float] | None = _bounds("contrast", contrast, 1, 0, float("inf"))
        self.saturation: tuple[float, float] | None = _bounds("saturation", saturation, 1, 0, float("inf"))
        self.hue: tuple[float, float] | None = _bounds("hue", hue, 0, -0.5, 0.5)

    def __call__(self, image: Any) -> Any:
        check_image(image, "ColorJitter")
        order = randperm(4).tolist()
        changes = (
            (adjust_brightness, self.brightness),
            (adjust_contrast, self.contrast),
            (adjust_saturation, self.saturation),
            (adjust_hue, self.hue),
        )
        drawn = [(change, empty(1).uniform_(*bounds).item() if bounds else None) for change, bounds in changes]
        for change, factor in (drawn[i] for i in order):
            if factor is not None:
                image = change(image, factor)
        return image

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


class RandomGrayscale:
    """Take the colours out of a Pillow image with probability `p`; it keeps its number of channels."""

    def __init__(self, p: float = 0.1) -> None:
        self.p: float = number(p, "p", 0, 1)

    def __call__(self, image: Any) -> Any:
        check_image(image, "RandomGrayscale")
        if rand(1).item() < self.p:
            return Grayscale(3 if len(image.getbands()) == 3 else 1)(image)
        return image

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"
