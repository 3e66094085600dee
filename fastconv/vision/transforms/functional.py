"""The transforms as functions of one image, with torchvision.transforms.functional's names."""

from collections.abc import Sequence
from typing import Any

from fastconv._tensor import Tensor
from fastconv.vision.transforms import transforms
from fastconv.vision.transforms.colors import adjust_brightness, adjust_contrast, adjust_hue, adjust_saturation
from fastconv.vision.transforms.geometry import Pad, rotate
from fastconv.vision.transforms.geometry import horizontal_flip as hflip
from fastconv.vision.transforms.geometry import vertical_flip as vflip
from fastconv.vision.transforms.images import crop, height_width
from fastconv.vision.transforms.transforms import InterpolationMode

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_hue",
    "adjust_saturation",
    "center_crop",
    "crop",
    "get_image_size",
    "hflip",
    "normalize",
    "pad",
    "resize",
    "resized_crop",
    "rotate",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]


def to_tensor(pic: Any) -> Tensor:
    """:class:`ToTensor` of an image."""
    return transforms.ToTensor()(pic)


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """:class:`ToPILImage` of a tensor or an array."""
    return transforms.ToPILImage(mode)(pic)


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """:class:`Normalize` of a tensor (..., C, H, W)."""
    return transforms.Normalize(mean, std, inplace)(tensor)


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool = True,
) -> Any:
    """:class:`Resize` of a Pillow image."""
    return transforms.Resize(size, interpolation, max_size, antialias)(img)


def pad(
    img: Any, padding: int | Sequence[int], fill: float | tuple[float, ...] = 0, padding_mode: str = "constant"
) -> Any:
    """:class:`Pad` of an image."""
    return Pad(padding, fill, padding_mode)(img)


def center_crop(img: Any, output_size: int | Sequence[int]) -> Any:
    """:class:`CenterCrop` of an image."""
    return transforms.CenterCrop(output_size)(img)


def resized_crop(
    img: Any,
    top: int,
    left: int,
    height: int,
    width: int,
    size: int | Sequence[int],
    interpolation: InterpolationMode = InterpolationMode.BILINEAR,
    antialias: bool = True,
) -> Any:
    """The window at (top, left) of a Pillow image, resized."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """:class:`Grayscale` of a Pillow image."""
    return transforms.Grayscale(num_output_channels)(img)


def get_image_size(img: Any) -> list[int]:
    """[width, height] of an image or a tensor (..., H, W)."""
    height, width = height_width(img)
    return [width, height]
