"""What published networks are to be given: the transforms that torchvision's weights bring."""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.dtypes import float32
from fastconv.vision.transforms.images import height_width
from fastconv.vision.transforms.transforms import CenterCrop, InterpolationMode, Normalize, Resize, ToTensor

__all__ = ["ImageClassification", "SemanticSegmentation"]

MEAN, STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)  # of ImageNet's images


class _Preset(nn.Module):
    """Images in the size, range and normalisation that a network was trained with."""

    resize_size: list[int] | None
    crop_size: list[int] | None

    def __init__(
        self,
        crop_size: int | None,
        resize_size: int | None,
        mean: Sequence[float],
        std: Sequence[float],
        interpolation: InterpolationMode,
        antialias: bool | None,
    ) -> None:
        super().__init__()
        self.crop_size = None if crop_size is None else [crop_size]
        self.resize_size = None if resize_size is None else [resize_size]
        self.mean: list[float] = list(mean)
        self.std: list[float] = list(std)
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.antialias = antialias

    def forward(self, img: Any) -> Tensor:
        """A Pillow image as (C, H, W), or a tensor (..., C, H, W) of any dtype, in the network's terms."""
        if not isinstance(img, Tensor):
            img = img if self.resize_size is None else Resize(self.resize_size, self.interpolation)(img)
            img = img if self.crop_size is None else CenterCrop(self.crop_size)(img)
            return Normalize(self.mean, self.std)(ToTensor()(img))
        img = img if self.resize_size is None else self._resized(img)
        img = img if self.crop_size is None else CenterCrop(self.crop_size)(img)
        if img.dtype.kind != "f":
            img = img.to(float32) / (1.0 if img.dtype.kind == "b" else float(np.iinfo(img.dtype).max))
        return Normalize(self.mean, self.std)(img)

    def _resized(self, img: Tensor) -> Tensor:
        """A tensor resized as torchvision does it: in floats, and rounded if it held integers."""
        height, width = Resize(self.resize_size or 1).target(*height_width(img))
        if (height, width) == tuple(img.shape[-2:]):
            return img
        images = img.reshape(-1, *img.shape[-3:])
        images = images if images.dtype.kind == "f" else images.to(float32)
        mode = self.interpolation.value
        linear = mode in ("bilinear", "bicubic")
        options: dict[str, Any] = {"align_corners": False, "antialias": bool(self.antialias)} if linear else {}
        y = nn.functional.interpolate(images, (height, width), mode=mode, **options)
        if img.dtype.kind != "f":
            y = (y.clamp(0, 255) if mode == "bicubic" and img.dtype == np.uint8 else y).round().to(img.dtype)
        return y.reshape(*img.shape[:-2], height, width)

    def describe(self) -> str:
        """What is done to an image, in a sentence."""
        steps = []
        if self.resize_size is not None:
            steps.append(f"resized to resize_size={self.resize_size} with interpolation={self.interpolation}")
        if self.crop_size is not None:
            steps.append(f"cropped in the middle to crop_size={self.crop_size}")
        steps.append(f"scaled to [0.0, 1.0] and normalized with mean={self.mean} and std={self.std}")
        return (
            "Accepts PIL.Image, batched (B, C, H, W) and single (C, H, W) image tensors. The images are "
            + ", then ".join(steps)
            + "."
        )

    def __repr__(self) -> str:
        shown = ("crop_size", "resize_size", "mean", "std", "interpolation")
        lines = [f"    {name}={getattr(self, name)}" for name in shown if name != "crop_size" or self.crop_size]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


class ImageClassification(_Preset):
    """Images for a classifier: resized, cut to a square in the middle, in [0, 1], normalised.

    Called with a Pillow image it returns a float32 tensor (3, crop_size, crop_size); with a tensor (..., 3, H, W) of
    integers over their whole range or of floats in [0, 1] one (..., 3, crop_size, crop_size).

    Parameters
    ----------
    crop_size : int
        Side of the square.
    resize_size : int
        Length of the shorter side before that.
    mean, std : sequence of float
        What a pixel's channels have subtracted, and what they are divided by.
    interpolation : InterpolationMode
    antialias : bool or None
        Of tensors; Pillow images are always antialiased.
    """

    def __init__(
        self,
        *,
        crop_size: int,
        resize_size: int = 256,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(crop_size, resize_size, mean, std, interpolation, antialias)


class SemanticSegmentation(_Preset):
    """Images for a network that classifies pixels: resized, in [0, 1], normalised; see :class:`ImageClassification`."""

    def __init__(
        self,
        *,
        resize_size: int | None,
        mean: Sequence[float] = MEAN,
        std: Sequence[float] = STD,
        interpolation: InterpolationMode = InterpolationMode.BILINEAR,
        antialias: bool | None = True,
    ) -> None:
        super().__init__(None, resize_size, mean, std, interpolation, antialias)
