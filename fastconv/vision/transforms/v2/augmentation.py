"""Augmentations that draw which operations they apply."""

from typing import Any

import numpy as np

from fastconv.creation import linspace, rand, randint
from fastconv.vision import transforms as v1
from fastconv.vision._pillow import is_image
from fastconv.vision.transforms.autoaugment import (
    POLICIES,
    AutoAugmentPolicy,
    Space,
    apply_operation,
    fill_for,
    usual_space,
    wide_space,
)
from fastconv.vision.transforms.images import height_width
from fastconv.vision.transforms.tensors import largest
from fastconv.vision.transforms.transforms import InterpolationMode
from fastconv.vision.transforms.v2 import functional
from fastconv.vision.transforms.v2.samples import Transform

__all__ = ["AugMix", "AutoAugment", "RandAugment", "TrivialAugmentWide"]


def _in_parts(space: Space, bins: int) -> Space:
    """The operations with solarizing's threshold as a part of white."""
    return {**space, "Solarize": (linspace(1.0, 0.0, bins), False)}


class _Augmentation(Transform):
    """Base of those; `_augmented` transforms one image."""

    interpolation: InterpolationMode
    fill: Any

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._augmented(inpt)

    def _augmented(self, image: Any) -> Any:
        raise NotImplementedError

    def _drawn(self, space: Space, magnitude: int | None, bins: int = 0) -> tuple[str, float]:
        name = list(space)[int(randint(len(space), ()).item())]
        magnitudes, signed = space[name]
        if magnitudes is None:
            return name, 0.0
        value = float(magnitudes[int(randint(bins, ()).item()) if magnitude is None else magnitude].item())
        return name, -value if signed and rand(()).item() <= 0.5 else value

    def _applied(self, image: Any, name: str, magnitude: float, fill: Any) -> Any:
        if name == "Solarize":
            magnitude *= 255.0 if is_image(image) else largest(image.dtype)
        return apply_operation(image, name, magnitude, self.interpolation, fill, functional)


class AutoAugment(_Augmentation):
    """:class:`transforms.AutoAugment` of samples."""

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        if policy not in POLICIES:
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy = policy
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill
        self._policies = v1.AutoAugment(policy).policies

    def _augmented(self, image: Any) -> Any:
        space = _in_parts(usual_space(10, *height_width(image)), 10)
        fill = fill_for(self.fill, image)
        for name, probability, bin_ in self._policies[int(randint(len(self._policies), ()).item())]:
            if rand(()).item() > float(np.float32(probability)):
                continue
            magnitudes, signed = space.get(name, (None, False))
            magnitude = 0.0 if magnitudes is None or bin_ is None else float(magnitudes[bin_].item())
            if signed and rand(()).item() <= 0.5:
                magnitude = -magnitude
            image = self._applied(image, name, magnitude, fill)
        return image


class RandAugment(_Augmentation):
    """:class:`transforms.RandAugment` of samples."""

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        if not isinstance(num_ops, int) or num_ops < 0:
            raise ValueError(f"num_ops should be a non-negative integer, but got {num_ops} instead.")
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    def _augmented(self, image: Any) -> Any:
        bins = self.num_magnitude_bins
        space = _in_parts(usual_space(bins, *height_width(image)), bins)
        fill = fill_for(self.fill, image)
        for _ in range(self.num_ops):
            image = self._applied(image, *self._drawn(space, self.magnitude), fill)
        return image


class TrivialAugmentWide(_Augmentation):
    """:class:`transforms.TrivialAugmentWide` of samples."""

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    def _augmented(self, image: Any) -> Any:
        bins = self.num_magnitude_bins
        drawn = self._drawn(_in_parts(wide_space(bins), bins), None, bins)
        return self._applied(image, *drawn, fill_for(self.fill, image))


class AugMix(_Augmentation):
    """:class:`transforms.AugMix` of samples."""

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self._mix = v1.AugMix(severity, mixture_width, chain_depth, alpha, all_ops, interpolation, fill)
        self._mix.draw, self._mix.apply_one = self._drawn, self._applied
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    def _drawn(self, space: Space, magnitude: int | None, bins: int = 0) -> tuple[str, float]:
        return super()._drawn(_in_parts(space, 10), magnitude, bins)

    def _augmented(self, image: Any) -> Any:
        return self._mix(image)
