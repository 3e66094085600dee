"""The transforms as functions of a Pillow image or a tensor, with torchvision.transforms.functional's names."""

import numbers
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy
from fastconv.vision._pillow import is_image, pillow
from fastconv.vision.transforms import tensors, transforms
from fastconv.vision.transforms.images import (
    check_image_or_tensor,
    crop,
    dimensions,
    horizontal_flip,
    vertical_flip,
)
from fastconv.vision.transforms.images import pad as _pad
from fastconv.vision.transforms.images import pair as _pair
from fastconv.vision.transforms.images import sides as _sides
from fastconv.vision.transforms.transforms import InterpolationMode

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
    "elastic_transform",
    "equalize",
    "erase",
    "five_crop",
    "gaussian_blur",
    "get_dimensions",
    "get_image_num_channels",
    "get_image_size",
    "hflip",
    "invert",
    "normalize",
    "pad",
    "perspective",
    "pil_to_tensor",
    "posterize",
    "resize",
    "resized_crop",
    "rgb_to_grayscale",
    "rotate",
    "solarize",
    "ten_crop",
    "to_grayscale",
    "to_pil_image",
    "to_tensor",
    "vflip",
]

hflip = horizontal_flip
vflip = vertical_flip

# Kinds and sizes


def to_tensor(pic: Any) -> Tensor:
    """:class:`ToTensor` of an image."""
    return transforms.ToTensor()(pic)


def pil_to_tensor(pic: Any) -> Tensor:
    """The pixels of a Pillow image as a tensor (C, H, W), unchanged; those of 16 bits as int32."""
    if not is_image(pic):
        raise TypeError(f"pic should be PIL Image. Got {type(pic)}")
    pixels = np.array(pic)
    if pixels.dtype.kind == "u" and pixels.dtype.itemsize == 2:
        pixels = pixels.astype(np.int32)
    pixels = pixels.reshape(pic.height, pic.width, len(pic.getbands()))
    return from_numpy(np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def to_pil_image(pic: Any, mode: str | None = None) -> Any:
    """:class:`ToPILImage` of a tensor or an array."""
    return transforms.ToPILImage(mode)(pic)


def convert_image_dtype(image: Tensor, dtype: Any = np.float32) -> Tensor:
    """A tensor in another dtype, with its values scaled so that white stays white.

    Floating-point numbers are in [0, 1]; integers go up to the greatest one.

    Raises
    ------
    RuntimeError
        From float32 to 32 bits and more, or from float64 to 64: they are not that fine.
    """
    if not isinstance(image, Tensor):
        raise TypeError("Input img should be Tensor Image")
    return tensors.convert_image_dtype(image, dtype)


def normalize(tensor: Tensor, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> Tensor:
    """:class:`Normalize` of a tensor (..., C, H, W)."""
    return transforms.Normalize(mean, std, inplace)(tensor)


def get_dimensions(img: Any) -> list[int]:
    """[channels, height, width] of an image or a tensor (..., C, H, W)."""
    return list(dimensions(img))


def get_image_num_channels(img: Any) -> int:
    """The number of channels of an image or a tensor."""
    return dimensions(img)[0]


def get_image_size(img: Any) -> list[int]:
    """[width, height] of an image or a tensor (..., H, W)."""
    _, height, width = dimensions(img)
    return [width, height]


# Windows


def resize(
    img: Any,
    size: int | Sequence[int],
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    max_size: int | None = None,
    antialias: bool | None = True,
) -> Any:
    """:class:`Resize` of an image."""
    return transforms.Resize(size, interpolation, max_size, antialias)(img)


def pad(
    img: Any, padding: int | Sequence[int], fill: float | Sequence[float] | None = 0, padding_mode: str = "constant"
) -> Any:
    """:class:`Pad` of an image."""
    from fastconv.vision.transforms.images import check_padding_mode

    return _pad(img, _sides(padding), 0 if fill is None else fill, check_padding_mode(padding_mode))


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
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    antialias: bool | None = True,
) -> Any:
    """The window at (top, left) of an image, resized."""
    return resize(crop(img, top, left, height, width), size, interpolation, antialias=antialias)


def five_crop(img: Any, size: int | Sequence[int]) -> tuple[Any, Any, Any, Any, Any]:
    """The windows of this size in the corners, upper ones first and left ones first, and that in the middle.

    Raises
    ------
    ValueError
        If the image is smaller.
    """
    window = _pair(size)
    _, height, width = dimensions(img)
    if window[0] > height or window[1] > width:
        raise ValueError(f"Requested crop size {window} is bigger than input size {(height, width)}")
    corners = tensors.five_corners(height, width, window)
    first, second, third, fourth = (crop(img, top, left, *window) for top, left in corners)
    return first, second, third, fourth, center_crop(img, window)


def ten_crop(img: Any, size: int | Sequence[int], vertical_flip: bool = False) -> tuple[Any, ...]:
    """:func:`five_crop` of an image, and of its mirror image."""
    return *five_crop(img, size), *five_crop(vflip(img) if vertical_flip else hflip(img), size)


# Where pixels are


def _resampling(interpolation: InterpolationMode | int) -> Any:
    """Pillow's filter."""
    return getattr(pillow().Resampling, InterpolationMode(interpolation).name.removesuffix("_EXACT"))


def _fill_color(fill: Any, image: Any) -> dict[str, Any]:
    """What Pillow takes for the pixels from outside an image."""
    bands = len(image.getbands())
    colour = [0 if fill is None else fill] * bands if not isinstance(fill, Sequence) else list(fill)
    if len(colour) not in (1, bands):
        raise ValueError(
            "The number of elements in 'fill' does not match the number of channels of the image: "
            f"fill has {len(colour)} values, the image {bands} channels"
        )
    colour *= bands // len(colour)
    if image.mode != "F":
        colour = [int(value) for value in colour]
    return {"fillcolor": colour[0] if bands == 1 and not isinstance(fill, Sequence) else tuple(colour)}


def _from_center(center: Sequence[float] | None, image: Any) -> list[float]:
    """A point seen from the image's middle."""
    if center is None:
        return [0.0, 0.0]
    _, height, width = dimensions(image)
    return [center[0] - width * 0.5, center[1] - height * 0.5]


def _check_point(center: Any) -> None:
    if center is not None and not isinstance(center, (list, tuple)):
        raise TypeError("Argument center should be a sequence")


def rotate(
    img: Any,
    angle: float,
    interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
    expand: bool = False,
    center: Sequence[float] | None = None,
    fill: float | Sequence[float] | None = None,
) -> Any:
    """An image rotated by `angle` degrees, counter-clockwise; see :class:`RandomRotation`."""
    check_image_or_tensor(img)
    if not isinstance(angle, numbers.Real):
        raise TypeError("Argument angle should be int or float")
    _check_point(center)
    if is_image(img):
        return img.rotate(angle, _resampling(interpolation), expand, center, **_fill_color(fill, img))
    matrix = tensors.inverse_affine(_from_center(center, img), -angle, (0.0, 0.0), 1.0, (0.0, 0.0))
    _, height, width = dimensions(img)
    size = tensors.rotated_size(matrix, width, height) if expand else None
    return tensors.sampled_affinely(img, matrix, InterpolationMode(interpolation).value, fill, size)


def affine(
    img: Any,
    angle: float,
    translate: Sequence[int],
    scale: float,
    shear: float | Sequence[float],
    interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
    fill: float | Sequence[float] | None = None,
    center: Sequence[int] | None = None,
) -> Any:
    """An image sheared, turned, scaled and moved, in this order, about its middle or `center`.

    Parameters
    ----------
    img : Pillow image or Tensor (..., C, H, W)
    angle : float
        Degrees, clockwise.
    translate : sequence of two int
        Pixels to the right and down.
    scale : float
    shear : float or sequence of two float
        Degrees, along x and along y.
    interpolation : InterpolationMode
        NEAREST or BILINEAR, for Pillow images BICUBIC too.
    fill : number or sequence of numbers, optional
        Value of the pixels from outside the image, for all channels or one for each.
    center : sequence of two int, optional
        (x, y), from the upper left corner.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, or `scale` is not positive.
    """
    check_image_or_tensor(img)
    if not isinstance(angle, numbers.Real):
        raise TypeError("Argument angle should be int or float")
    if not isinstance(translate, (list, tuple)):
        raise TypeError("Argument translate should be a sequence")
    if len(translate) != 2:
        raise ValueError("Argument translate should be a sequence of length 2")
    if scale <= 0.0:
        raise ValueError("Argument scale should be positive")
    if not isinstance(shear, (numbers.Number, list, tuple)):
        raise TypeError("Shear should be either a single value or a sequence of two values")
    slants = [shear, 0.0] if isinstance(shear, numbers.Number) else list(shear)
    slants = slants * 2 if len(slants) == 1 else slants
    if len(slants) != 2:
        raise ValueError(f"Shear should be a sequence containing two values. Got {shear}")
    _check_point(center)
    if is_image(img):
        middle = [img.width * 0.5, img.height * 0.5] if center is None else center
        matrix = tensors.inverse_affine(middle, angle, translate, scale, slants)
        transform = pillow().Transform.AFFINE
        return img.transform(img.size, transform, matrix, _resampling(interpolation), **_fill_color(fill, img))
    matrix = tensors.inverse_affine(_from_center(center, img), angle, translate, scale, slants)
    return tensors.sampled_affinely(img, matrix, InterpolationMode(interpolation).value, fill)


def perspective(
    img: Any,
    startpoints: Sequence[Sequence[int]],
    endpoints: Sequence[Sequence[int]],
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    fill: float | Sequence[float] | None = None,
) -> Any:
    """An image in perspective, which brings four of its points to four others.

    Parameters
    ----------
    img : Pillow image or Tensor (..., C, H, W)
    startpoints, endpoints : sequence of four (x, y)
        The upper left, upper right, lower right and lower left.
    interpolation, fill
        See :func:`affine`.
    """
    check_image_or_tensor(img)
    coefficients = tensors.perspective_coefficients(startpoints, endpoints)
    if is_image(img):
        transform = pillow().Transform.PERSPECTIVE
        return img.transform(img.size, transform, coefficients, _resampling(interpolation), **_fill_color(fill, img))
    return tensors.sampled_in_perspective(img, coefficients, InterpolationMode(interpolation).value, fill)


def _on_tensor(img: Any, function: Callable[..., Tensor], *arguments: Any) -> Any:
    """A function of tensors applied to an image of either kind."""
    check_image_or_tensor(img)
    if not is_image(img):
        return function(img, *arguments)
    return to_pil_image(function(pil_to_tensor(img), *arguments), img.mode)


def elastic_transform(
    img: Any,
    displacement: Tensor,
    interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
    fill: float | Sequence[float] | None = None,
) -> Any:
    """An image each of whose pixels is taken from a little beside it.

    Parameters
    ----------
    img : Pillow image or Tensor (..., C, H, W)
    displacement : Tensor (1, H, W, 2)
        (x, y), in halves of the image's width and height.
    interpolation, fill
        See :func:`affine`.
    """
    if not isinstance(displacement, Tensor):
        raise TypeError("Argument displacement should be a Tensor")
    _, height, width = dimensions(img)
    if displacement.shape != (1, height, width, 2):
        raise ValueError(
            f"Argument displacement shape should be {(1, height, width, 2)}, but given {tuple(displacement.shape)}"
        )
    return _on_tensor(img, tensors.displaced, displacement, InterpolationMode(interpolation).value, fill)


def gaussian_blur(img: Any, kernel_size: int | Sequence[int], sigma: float | Sequence[float] | None = None) -> Any:
    """An image convolved with a Gaussian, reflected at its edges.

    Parameters
    ----------
    img : Pillow image or Tensor (..., C, H, W)
    kernel_size : int or sequence of two int
        Columns and rows of the filter, odd.
    sigma : float or sequence of two float, optional
        Standard deviations along x and y; by default ``0.15 * kernel_size + 0.35``.

    Raises
    ------
    TypeError, ValueError
        If an argument is of another kind, even, or not positive.
    """
    if not isinstance(kernel_size, (int, list, tuple)):
        raise TypeError(f"kernel_size should be int or a sequence of integers. Got {type(kernel_size)}")
    sizes = [kernel_size] * 2 if isinstance(kernel_size, int) else list(kernel_size)
    if len(sizes) != 2:
        raise ValueError(f"If kernel_size is a sequence its length should be 2. Got {len(sizes)}")
    if any(size % 2 == 0 or size < 0 for size in sizes):
        raise ValueError(f"kernel_size should have odd and positive integers. Got {sizes}")
    if sigma is None:
        sigma = [size * 0.15 + 0.35 for size in sizes]
    if not isinstance(sigma, (int, float, list, tuple)):
        raise TypeError(f"sigma should be either float or sequence of floats. Got {type(sigma)}")
    sigmas = [float(sigma)] * 2 if isinstance(sigma, (int, float)) else list(sigma)
    sigmas = sigmas * 2 if len(sigmas) == 1 else sigmas
    if len(sigmas) != 2:
        raise ValueError(f"If sigma is a sequence, its length should be 2. Got {len(sigmas)}")
    if any(value <= 0 for value in sigmas):
        raise ValueError(f"sigma should have positive values. Got {sigmas}")
    return _on_tensor(img, tensors.gaussian_blur, sizes, sigmas)


def erase(img: Tensor, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False) -> Tensor:
    """A tensor (..., C, H, W) with `v` in the window of `h` rows and `w` columns whose upper left corner is (i, j).

    With `inplace` it is overwritten; otherwise it is left as it was.
    """
    if not isinstance(img, Tensor):
        raise TypeError(f"img should be Tensor Image. Got {type(img)}")
    return tensors.erase(img, i, j, h, w, v, inplace)


# Colours


def _enhanced(kind: str, image: Any, factor: float) -> Any:
    from PIL import ImageEnhance

    return getattr(ImageEnhance, kind)(image).enhance(factor)


def _by_pillow(name: str, image: Any, *arguments: Any) -> Any:
    from PIL import ImageOps

    return getattr(ImageOps, name)(image, *arguments)


def adjust_brightness(img: Any, brightness_factor: float) -> Any:
    """An image with its values multiplied: 0 is black, 1 leaves it as it is."""
    if is_image(check_image_or_tensor(img)):
        return _enhanced("Brightness", img, brightness_factor)
    return tensors.adjust_brightness(img, brightness_factor)


def adjust_contrast(img: Any, contrast_factor: float) -> Any:
    """An image between its mean grey at 0 and itself at 1."""
    if is_image(check_image_or_tensor(img)):
        return _enhanced("Contrast", img, contrast_factor)
    return tensors.adjust_contrast(img, contrast_factor)


def adjust_saturation(img: Any, saturation_factor: float) -> Any:
    """An image between its greys at 0 and itself at 1."""
    if is_image(check_image_or_tensor(img)):
        return _enhanced("Color", img, saturation_factor)
    return tensors.adjust_saturation(img, saturation_factor)


def adjust_sharpness(img: Any, sharpness_factor: float) -> Any:
    """An image between itself smoothed at 0 and itself at 1; beyond 1 it becomes sharper."""
    if is_image(check_image_or_tensor(img)):
        return _enhanced("Sharpness", img, sharpness_factor)
    return tensors.adjust_sharpness(img, sharpness_factor)


def adjust_hue(img: Any, hue_factor: float) -> Any:
    """An image with its hues turned by `hue_factor`, from -0.5 to 0.5, of a full turn."""
    if not -0.5 <= hue_factor <= 0.5:
        raise ValueError(f"hue_factor ({hue_factor}) is not in [-0.5, 0.5].")
    if not is_image(check_image_or_tensor(img)):
        return tensors.adjust_hue(img, hue_factor)
    if img.mode in ("L", "1", "I", "F"):
        return img
    hue, saturation, value = img.convert("HSV").split()
    turned = np.asarray(hue) + np.uint8(int(hue_factor * 255) % 256)  # hues are a circle of 256 steps
    return pillow().merge("HSV", (pillow().fromarray(turned), saturation, value)).convert(img.mode)


def adjust_gamma(img: Any, gamma: float, gain: float = 1) -> Any:
    """``gain * x ** gamma`` of an image's values as numbers in [0, 1]."""
    if gamma < 0:
        raise ValueError("Gamma should be a non-negative real number")
    if not is_image(check_image_or_tensor(img)):
        return tensors.adjust_gamma(img, gamma, gain)
    table = [int((255 + 1 - 1e-3) * gain * pow(value / 255.0, gamma)) for value in range(256)]
    return img.convert("RGB").point(table * 3).convert(img.mode)


def rgb_to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """:class:`Grayscale` of an image."""
    return transforms.Grayscale(num_output_channels)(img)


def to_grayscale(img: Any, num_output_channels: int = 1) -> Any:
    """:class:`Grayscale` of a Pillow image."""
    if not is_image(img):
        raise TypeError("Input should be PIL Image")
    return transforms.Grayscale(num_output_channels)(img)


def invert(img: Any) -> Any:
    """An image in negative."""
    return _by_pillow("invert", img) if is_image(check_image_or_tensor(img)) else tensors.invert(img)


def posterize(img: Any, bits: int) -> Any:
    """An image of which `bits` of each value's eight are kept."""
    if not 0 <= bits <= 8:
        raise ValueError(f"The number if bits should be between 0 and 8. Got {bits}")
    return _by_pillow("posterize", img, bits) if is_image(check_image_or_tensor(img)) else tensors.posterize(img, bits)


def solarize(img: Any, threshold: float) -> Any:
    """An image with its values of `threshold` and above in negative."""
    if is_image(check_image_or_tensor(img)):
        return _by_pillow("solarize", img, threshold)
    return tensors.solarize(img, threshold)


def autocontrast(img: Any) -> Any:
    """An image each of whose channels is stretched, so that its least value is black and its greatest white."""
    return _by_pillow("autocontrast", img) if is_image(check_image_or_tensor(img)) else tensors.autocontrast(img)


def equalize(img: Any) -> Any:
    """An image each of whose channels' histogram is made flat."""
    return _by_pillow("equalize", img) if is_image(check_image_or_tensor(img)) else tensors.equalize(img)
