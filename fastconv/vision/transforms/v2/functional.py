"""The functions of torchvision.transforms.v2.functional: those of ``transforms.functional`` and what is new there.

Functions of tensors are computed as torchvision computes them in v2, where that gives other values.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy, ones, randn
from fastconv.dtypes import as_dtype
from fastconv.functions import flip, where
from fastconv.vision._pillow import is_image
from fastconv.vision.transforms import functional as F
from fastconv.vision.transforms import tensors
from fastconv.vision.transforms.functional import (
    InterpolationMode,
    adjust_gamma,
    adjust_hue,
    affine,
    center_crop,
    convert_image_dtype,
    crop,
    elastic_transform,
    erase,
    five_crop,
    gaussian_blur,
    get_dimensions,
    get_image_num_channels,
    hflip,
    normalize,
    pad,
    perspective,
    pil_to_tensor,
    resize,
    resized_crop,
    ten_crop,
    to_pil_image,
    to_tensor,
    vflip,
)
from fastconv.vision.transforms.images import check_image_or_tensor, dimensions
from fastconv.vision.transforms.tensors import check_channels, check_factor, is_float, largest

__all__ = [
    "InterpolationMode",
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "affine",
    "autocontrast",
    "center_crop",
    "convert_image_dtype",
    "crop",
    "elastic",
    "elastic_transform",
    "equalize",
    "erase",
    "five_crop",
    "gaussian_blur",
    "gaussian_noise",
    "get_dimensions",
    "get_image_num_channels",
    "get_num_channels",
    "get_size",
    "grayscale_to_rgb",
    "hflip",
    "horizontal_flip",
    "invert",
    "normalize",
    "pad",
    "permute_channels",
    "perspective",
    "pil_to_tensor",
    "posterize",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "solarize",
    "ten_crop",
    "to_dtype",
    "to_grayscale",
    "to_image",
    "to_pil_image",
    "to_tensor",
    "vertical_flip",
    "vflip",
]

horizontal_flip, vertical_flip = hflip, vflip
elastic = elastic_transform
get_num_channels = get_image_num_channels


def get_size(inpt: Any) -> list[int]:
    """[height, width] of an image or a tensor (..., H, W)."""
    return list(dimensions(inpt)[1:])


def to_image(inpt: Any) -> Tensor:
    """A Pillow image or an array (H, W) or (H, W, C) as a tensor (C, H, W) of its own values; a tensor stays itself."""
    if isinstance(inpt, np.ndarray):
        return from_numpy(np.ascontiguousarray(np.atleast_3d(inpt).transpose(2, 0, 1)))
    if is_image(inpt):
        return pil_to_tensor(inpt)
    if not isinstance(inpt, Tensor):
        raise TypeError(
            f"Input can either be a pure Tensor, a numpy array, or a PIL image, but got {type(inpt)} instead."
        )
    return inpt


def to_dtype(inpt: Tensor, dtype: Any = np.float32, scale: bool = False) -> Tensor:
    """A tensor in another dtype; with `scale` white stays white, as by :func:`convert_image_dtype`."""
    target = as_dtype(dtype)
    if inpt.dtype == target or not scale:
        return inpt.to(target)
    if not is_float(inpt) and np.dtype(target).kind not in "iub":
        return inpt.to(target) * (1.0 / largest(inpt.dtype))
    return tensors.convert_image_dtype(inpt, target)


def _sum(x: Tensor, y: Any, factor: float) -> Tensor:
    """``x + factor * y`` of float32, rounded once where nothing is recorded, as torch does it."""
    if x.requires_grad or x.dtype != np.float32 or (isinstance(y, Tensor) and y.requires_grad):
        return x + factor * y
    added = y.numpy() if isinstance(y, Tensor) else y
    return from_numpy((x.numpy().astype(np.float64) + np.float64(np.float32(factor)) * added).astype(np.float32))


def _blend(image: Tensor, other: Tensor, ratio: float) -> Tensor:
    return _sum(image * ratio, other, 1.0 - ratio).clamp(0, largest(image.dtype)).to(image.dtype)


def _luma(image: Tensor) -> Tensor:
    """``0.2989 R + 0.587 G + 0.114 B``, in floating-point numbers."""
    red, green, blue = image.unbind(-3)
    return _sum(_sum(red * 0.2989, green, 0.587), blue, 0.114).unsqueeze(-3)


def rgb_to_grayscale(inpt: Any, num_output_channels: int = 1) -> Any:
    """An image in grey, in one channel or repeated in three."""
    if num_output_channels not in (1, 3):
        raise ValueError(f"num_output_channels must be 1 or 3, got {num_output_channels}.")
    if is_image(check_image_or_tensor(inpt)):
        return F.rgb_to_grayscale(inpt, num_output_channels)
    if inpt.shape[-3] == 1:
        return inpt.clone() if num_output_channels == 1 else inpt.expand(*inpt.shape[:-3], 3, *inpt.shape[-2:]).clone()
    grey = _luma(inpt).to(inpt.dtype)
    return grey if num_output_channels == 1 else grey.expand(*inpt.shape)


to_grayscale = rgb_to_grayscale


def grayscale_to_rgb(inpt: Any) -> Any:
    """An image in red, green and blue."""
    if is_image(check_image_or_tensor(inpt)):
        return inpt.convert("RGB")
    return inpt if inpt.shape[-3] >= 3 else rgb_to_grayscale(inpt, 3)


def adjust_brightness(inpt: Any, brightness_factor: float) -> Any:
    """An image with its values multiplied: 0 is black, 1 leaves it as it is."""
    return F.adjust_brightness(inpt, brightness_factor)


def adjust_contrast(inpt: Any, contrast_factor: float) -> Any:
    """An image between its mean grey at 0 and itself at 1."""
    if is_image(check_image_or_tensor(inpt)):
        return F.adjust_contrast(inpt, contrast_factor)
    ratio = check_factor(contrast_factor, "contrast_factor")
    grey = inpt
    if check_channels(inpt) == 3:
        grey = _luma(inpt) if is_float(inpt) else _luma(inpt).floor()
    return _blend(inpt, tensors.mean_of_pixels(grey).to(inpt.dtype if is_float(inpt) else np.float32), ratio)


def adjust_saturation(inpt: Any, saturation_factor: float) -> Any:
    """An image between its greys at 0 and itself at 1."""
    if is_image(check_image_or_tensor(inpt)):
        return F.adjust_saturation(inpt, saturation_factor)
    ratio = check_factor(saturation_factor, "saturation_factor")
    if check_channels(inpt) == 1:
        return inpt
    return _blend(inpt, _luma(inpt) if is_float(inpt) else _luma(inpt).floor(), ratio)


def adjust_sharpness(inpt: Any, sharpness_factor: float) -> Any:
    """An image between itself smoothed at 0 and itself at 1; beyond 1 it becomes sharper."""
    return F.adjust_sharpness(inpt, sharpness_factor)


def autocontrast(inpt: Any) -> Any:
    """An image each of whose channels is stretched, so that its least value is black and its greatest white."""
    if is_image(check_image_or_tensor(inpt)):
        return F.autocontrast(inpt)
    check_channels(inpt)
    x = inpt if is_float(inpt) else inpt.to(np.float32)
    white = largest(inpt.dtype)
    pixels = x.flatten(-2)
    least = pixels.min(dim=-1, keepdim=True).values.unsqueeze(-1)
    most = pixels.max(dim=-1, keepdim=True).values.unsqueeze(-1)
    flat = most == least
    divisor = where(flat, ones(1, dtype=x.dtype), (most - least) * (1.0 / white))
    return ((x - where(flat, least * 0, least)) / divisor).clamp(0, white).to(inpt.dtype)


def equalize(inpt: Any) -> Any:
    """An image each of whose channels' histogram is made flat; other dtypes than uint8 are made flat as such."""
    if is_image(check_image_or_tensor(inpt)) or inpt.dtype == np.uint8:
        return F.equalize(inpt)
    return to_dtype(F.equalize(to_dtype(inpt, np.uint8, scale=True)), inpt.dtype, scale=True)


def invert(inpt: Any) -> Any:
    """An image in negative."""
    if is_image(check_image_or_tensor(inpt)):
        return F.invert(inpt)
    return largest(inpt.dtype) - inpt


def posterize(inpt: Any, bits: int) -> Any:
    """An image with `bits` bits of each value kept; of floating-point numbers, so many levels."""
    if not isinstance(bits, int) or not 0 <= bits <= 8:
        raise TypeError(f"bits must be a positive integer in the range [0, 8], got {bits} instead.")
    if is_image(check_image_or_tensor(inpt)):
        return F.posterize(inpt, bits)
    if is_float(inpt):
        levels = 1 << bits
        return (inpt * levels).floor().clamp(0, levels - 1) * (1.0 / levels)
    width = largest(inpt.dtype).bit_length()
    return inpt if bits >= width else inpt & (((1 << bits) - 1) << (width - bits))


def solarize(inpt: Any, threshold: float) -> Any:
    """An image with its values of `threshold` and above in negative."""
    if is_image(check_image_or_tensor(inpt)):
        return F.solarize(inpt, threshold)
    if threshold > largest(inpt.dtype):
        raise TypeError(f"Threshold should be less or equal the maximum value of the dtype, but got {threshold}")
    return where(inpt >= threshold, invert(inpt), inpt)


def rotate(
    inpt: Any,
    angle: float,
    interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: float | Sequence[float] | None = None,
) -> Any:
    """An image rotated by `angle` degrees, counter-clockwise; right angles move pixels, and interpolate nothing."""
    if not is_image(check_image_or_tensor(inpt)):
        angle = angle % 360
        square = expand or inpt.shape[-1] == inpt.shape[-2]
        if center is None and angle in ((0, 90, 180, 270) if square else (0, 180)):
            if angle in (0, 180):
                return inpt.clone() if angle == 0 else flip(inpt, (-2, -1))
            return flip(inpt.transpose(-2, -1), -2 if angle == 90 else -1)
    return F.rotate(inpt, angle, interpolation, expand, center, fill)


def permute_channels(inpt: Any, permutation: Sequence[int]) -> Any:
    """An image with its channels in another order."""
    order = [int(place) for place in permutation]
    channels = dimensions(inpt)[0]
    if len(order) != channels:
        raise ValueError(f"Length of permutation does not match number of channels: {len(order)} != {channels}")
    if is_image(inpt):
        return to_pil_image(permute_channels(pil_to_tensor(inpt), order))
    return inpt[..., order, :, :]


def gaussian_noise(inpt: Tensor, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> Tensor:
    """A tensor with normal noise added, in parts of white; with `clip`, cut to black and white.

    Raises
    ------
    ValueError
        If `sigma` is negative, or the tensor neither of floating-point numbers nor of uint8.
    """
    if sigma < 0:
        raise ValueError(f"sigma shouldn't be negative. Got {sigma}")
    if is_float(inpt):
        y = inpt + (mean + randn(*inpt.shape, dtype=inpt.dtype) * sigma)
        return y.clamp(0, 1) if clip else y
    if inpt.dtype != np.uint8:
        raise ValueError(f"Input tensor is expected to be in uint8 or float dtype, got dtype={inpt.dtype}")
    noise = (mean * 255 + randn(*inpt.shape) * (sigma * 255)).to(np.int16)
    y = inpt.to(np.int16) + noise
    return (y.clamp(0, 255) if clip else y).to(np.uint8)
