"""What transforms do to the pixels of tensors (..., C, H, W), in torchvision's arithmetic; all of it is recorded.

Where torchvision computes integers in float32 and cuts or rounds them, so is done here, in the same order: a pixel that
lies between two values would otherwise be another.
"""

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy, linspace, ones, tensor
from fastconv.dtypes import as_dtype
from fastconv.functions import cat, flip, fmod, stack, where
from fastconv.nn import functional as F

__all__ = [
    "adjust_brightness",
    "adjust_contrast",
    "adjust_gamma",
    "adjust_hue",
    "adjust_saturation",
    "adjust_sharpness",
    "autocontrast",
    "check_channels",
    "convert_image_dtype",
    "equalize",
    "erase",
    "gaussian_blur",
    "hsv_to_rgb",
    "invert",
    "largest",
    "posterize",
    "resize",
    "rgb_to_grayscale",
    "rgb_to_hsv",
    "sampled_affinely",
    "sampled_at",
    "sampled_in_perspective",
    "solarize",
]


def largest(dtype: Any) -> int:
    """What white is: 1 for floating-point numbers, the greatest value for integers."""
    return int(np.iinfo(dtype).max) if np.dtype(dtype).kind in "iu" else 1


def is_float(image: Tensor) -> bool:
    """Whether the pixels are floating-point numbers."""
    return image.dtype.kind not in "iub"


def check_channels(image: Tensor, permitted: Sequence[int] = (1, 3)) -> int:
    """The number of channels, which has to be a permitted one."""
    channels = 1 if image.ndim == 2 else image.shape[-3]
    if channels not in permitted:
        raise TypeError(f"Input image tensor permitted channel values are {list(permitted)}, but found {channels}")
    return channels


def check_dimensions(image: Tensor) -> None:
    """Refuse a tensor without a dimension of channels."""
    if image.ndim < 3:
        raise TypeError(f"Input image tensor should have at least 3 dimensions, but found {image.ndim}")


def check_factor(factor: float, name: str) -> float:
    """`factor`, which must not be negative."""
    if factor < 0:
        raise ValueError(f"{name} ({factor}) is not non-negative.")
    return float(factor)


def convert_image_dtype(image: Tensor, dtype: Any) -> Tensor:
    """The image in another dtype, with white kept white."""
    target = as_dtype(dtype)
    if image.dtype == target:
        return image
    white, new_white = largest(image.dtype), largest(target)
    if is_float(image):
        if np.dtype(target).kind not in "iub":
            return image.to(target)
        if (image.dtype == np.float32 and np.dtype(target).itemsize >= 4) or (
            image.dtype == np.float64 and np.dtype(target).itemsize == 8
        ):
            raise RuntimeError(f"The cast from {image.dtype} to {target} cannot be performed safely.")
        # Each integer stands for an equally long part of [0, 1].
        return image.mul(new_white + 1.0 - 1e-3).to(target)
    if np.dtype(target).kind not in "iub":
        return image.to(target) / float(white)
    if white > new_white:
        return (image // ((white + 1) // (new_white + 1))).to(target)
    return image.to(target) * ((new_white + 1) // (white + 1))


def rgb_to_grayscale(image: Tensor, num_output_channels: int = 1) -> Tensor:
    """``0.2989 R + 0.587 G + 0.114 B`` in one channel, or repeated in as many as the image has."""
    check_dimensions(image)
    channels = check_channels(image)
    if num_output_channels not in (1, 3):
        raise ValueError("num_output_channels should be either 1 or 3")
    if channels == 3:
        red, green, blue = image.unbind(-3)
        grey = (0.2989 * red + 0.587 * green + 0.114 * blue).to(image.dtype).unsqueeze(-3)
    else:
        grey = image.clone()
    return grey if num_output_channels == 1 else grey.expand(*image.shape)


def _blend(image: Tensor, other: Any, ratio: float) -> Tensor:
    return (ratio * image + (1.0 - ratio) * other).clamp(0, largest(image.dtype)).to(image.dtype)


def adjust_brightness(image: Tensor, brightness_factor: float) -> Tensor:
    """The values, multiplied."""
    ratio = check_factor(brightness_factor, "brightness_factor")
    check_channels(image)
    return (ratio * image).clamp(0, largest(image.dtype)).to(image.dtype)


def adjust_contrast(image: Tensor, contrast_factor: float) -> Tensor:
    """Between the mean of the grey values at 0 and the image at 1."""
    ratio = check_factor(contrast_factor, "contrast_factor")
    grey = rgb_to_grayscale(image) if check_channels(image) == 3 else image
    dtype = image.dtype if is_float(image) else np.float32
    return _blend(image, mean_of_pixels(grey).to(dtype), ratio)


def mean_of_pixels(image: Tensor) -> Tensor:
    """The mean of each image's pixels, shape (..., 1, 1, 1)."""
    if image.requires_grad:
        return image.mean(dim=(-3, -2, -1), keepdim=True)
    return from_numpy(image.detach().numpy().mean((-3, -2, -1), np.float64, keepdims=True))


def adjust_saturation(image: Tensor, saturation_factor: float) -> Tensor:
    """Between the greys at 0 and the image at 1."""
    ratio = check_factor(saturation_factor, "saturation_factor")
    return image if check_channels(image) == 1 else _blend(image, rgb_to_grayscale(image), ratio)


def adjust_hue(image: Tensor, hue_factor: float) -> Tensor:
    """The hues, turned by `hue_factor` of a full turn."""
    if check_channels(image) == 1:
        return image
    hue, saturation, value = rgb_to_hsv(convert_image_dtype(image, np.float32)).unbind(-3)
    turned = stack([(hue + hue_factor) % 1.0, saturation, value], dim=-3)
    return convert_image_dtype(hsv_to_rgb(turned), image.dtype)


def rgb_to_hsv(image: Tensor) -> Tensor:
    """Hue, saturation and value, each in [0, 1], of floating-point pixels."""
    red, green, blue = image.unbind(-3)
    most, least = image.max(dim=-3).values, image.min(dim=-3).values
    grey = most == least
    spread = most - least
    one = ones(1, dtype=image.dtype)
    saturation = spread / where(grey, one, most)
    divisor = where(grey, one, spread)
    r, g, b = (most - red) / divisor, (most - green) / divisor, (most - blue) / divisor
    from_red, from_green = most == red, (most == green) & (most != red)
    from_blue = (most != green) & (most != red)
    hue = from_red * (b - g) + from_green * (2.0 + r - b) + from_blue * (4.0 + g - r)
    return stack([fmod(hue / 6.0 + 1.0, 1.0), saturation, most], dim=-3)


def hsv_to_rgb(image: Tensor) -> Tensor:
    """The way back from :func:`rgb_to_hsv`."""
    hue, saturation, value = image.unbind(-3)
    sixth = (hue * 6.0).floor()
    rest = hue * 6.0 - sixth
    p = (value * (1.0 - saturation)).clamp(0.0, 1.0)
    q = (value * (1.0 - saturation * rest)).clamp(0.0, 1.0)
    t = (value * (1.0 - saturation * (1.0 - rest))).clamp(0.0, 1.0)
    sector = sixth.detach().to(np.int32) % 6
    bands = []
    for choices in ((value, q, p, p, t, value), (t, value, value, q, p, p), (p, p, t, value, value, q)):
        band = choices[5]
        for i in range(5):
            band = where(sector == i, choices[i], band)
        bands.append(band)
    return stack(bands, dim=-3)


def adjust_gamma(image: Tensor, gamma: float, gain: float = 1) -> Tensor:
    """``gain * x ** gamma`` of values in [0, 1]."""
    check_channels(image)
    x = image if is_float(image) else convert_image_dtype(image, np.float32)
    return convert_image_dtype((gain * x.pow(gamma)).clamp(0, 1), image.dtype)


def invert(image: Tensor) -> Tensor:
    """White minus the values."""
    check_dimensions(image)
    check_channels(image)
    return largest(image.dtype) - image


def posterize(image: Tensor, bits: int) -> Tensor:
    """The `bits` highest bits of each value."""
    check_dimensions(image)
    if image.dtype != np.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")
    check_channels(image)
    return image & ~(2 ** (8 - bits) - 1) % 256


def solarize(image: Tensor, threshold: float) -> Tensor:
    """The image with values of `threshold` and above inverted."""
    check_dimensions(image)
    check_channels(image)
    if threshold > largest(image.dtype):
        raise TypeError("Threshold should be less than bound of img.")
    return where(image >= threshold, invert(image), image)


def adjust_sharpness(image: Tensor, sharpness_factor: float) -> Tensor:
    """Between the image smoothed at 0 and itself at 1; its outermost pixels stay as they are."""
    ratio = check_factor(sharpness_factor, "sharpness_factor")
    channels = check_channels(image)
    if min(image.shape[-2:]) <= 2:
        return image
    kernel = np.ones((3, 3), image.dtype if is_float(image) else np.float32)
    kernel[1, 1] = 5
    kernel /= kernel.sum()
    smooth = _as_batch(image, kernel.dtype, lambda x: _filtered(x, kernel, channels))
    blurred = image.clone()
    blurred[..., 1:-1, 1:-1] = smooth
    return _blend(image, blurred, ratio)


def autocontrast(image: Tensor) -> Tensor:
    """Each channel stretched, so that its least value becomes black and its greatest white."""
    check_dimensions(image)
    check_channels(image)
    dtype = image.dtype if is_float(image) else np.float32
    white = largest(image.dtype)
    pixels = image.flatten(-2)
    least = pixels.min(dim=-1, keepdim=True).values.unsqueeze(-1).to(dtype)
    most = pixels.max(dim=-1, keepdim=True).values.unsqueeze(-1).to(dtype)
    flat = (most == least) | ~(most - least).isfinite()
    # A reciprocal and a product, as torch divides a number by a tensor: the quotient is rounded twice.
    one = ones(1, dtype=dtype)
    scale = where(flat, one, where(flat, one, most - least).reciprocal() * white)
    return ((image - where(flat, least * 0, least)) * scale).clamp(0, white).to(image.dtype)


def equalize(image: Tensor) -> Tensor:
    """Each channel with its histogram made flat, as Pillow does it."""
    if not image.ndim >= 3:
        raise TypeError(f"Input image tensor should have 3 or 4 dimensions, but found {image.ndim}")
    if image.dtype != np.uint8:
        raise TypeError(f"Only torch.uint8 image tensors are supported, but found {image.dtype}")
    check_channels(image)
    planes = image.detach().numpy()
    equal = np.empty_like(planes)
    for at in np.ndindex(planes.shape[:-2]):
        counts = np.bincount(planes[at].reshape(-1), minlength=256)
        step = int(counts[counts != 0][:-1].sum()) // 255
        if step == 0:
            equal[at] = planes[at]
            continue
        table = (np.cumsum(counts) + step // 2) // step
        equal[at] = np.clip(np.concatenate([[0], table[:-1]]), 0, 255).astype(np.uint8)[planes[at]]
    return from_numpy(equal)


def _as_batch(image: Tensor, dtype: Any, compute: Callable[[Tensor], Tensor]) -> Tensor:
    """What `compute` makes of the image as a batch (N, C, H, W) of `dtype`, in the image's shape and dtype."""
    batch = image.reshape(-1, *image.shape[-3:]) if image.ndim != 2 else image[None, None]
    result = compute(batch if batch.dtype == dtype else batch.to(dtype))
    if image.dtype != dtype:
        result = (result if is_float(image) else result.round()).to(image.dtype)
    return result.reshape(*image.shape[:-2], *result.shape[-2:])


def _filtered(x: Tensor, kernel: np.ndarray, channels: int) -> Tensor:
    """Each channel convolved with a kernel (R, S)."""
    filters = np.broadcast_to(kernel, (channels, 1, *kernel.shape))
    return F.conv2d(x, from_numpy(np.ascontiguousarray(filters)), groups=channels)


def gaussian_blur(image: Tensor, kernel_size: Sequence[int], sigma: Sequence[float]) -> Tensor:
    """The image convolved with a Gaussian of so many columns and rows, and reflected at its edges."""
    dtype = image.dtype if is_float(image) else np.dtype(np.float32)
    columns, rows = (_gaussian(n, s, dtype) for n, s in zip(kernel_size, sigma, strict=True))
    margins = (kernel_size[0] // 2,) * 2 + (kernel_size[1] // 2,) * 2
    channels = 1 if image.ndim == 2 else image.shape[-3]

    def blurred(x: Tensor) -> Tensor:
        return _filtered(F.pad(x, margins, mode="reflect"), rows[:, None] * columns, channels)

    return _as_batch(image, dtype, blurred)


def _gaussian(size: int, sigma: float, dtype: Any) -> np.ndarray:
    """``exp(-x**2 / (2 sigma**2))`` at integers around the middle, of sum 1."""
    x = (np.linspace(-(size - 1) / 2, (size - 1) / 2, size).astype(dtype) / np.dtype(dtype).type(sigma)).astype(dtype)
    density = np.exp(-0.5 * (x * x).astype(np.float64)).astype(dtype)
    return density / density.sum(dtype=dtype)


def resize(image: Tensor, size: Sequence[int], mode: str, antialias: bool | None = True) -> Tensor:
    """The image at a height and width, by one of ``interpolate``'s modes."""
    smooth = mode in ("bilinear", "bicubic")
    dtype = image.dtype if image.dtype in (np.float32, np.float64) else np.dtype(np.float32)

    def resized(x: Tensor) -> Tensor:
        y = F.interpolate(
            x, list(size), mode=mode, align_corners=False if smooth else None, antialias=bool(antialias and smooth)
        )
        return y.clamp(0, 255) if mode == "bicubic" and image.dtype == np.uint8 else y

    return _as_batch(image, dtype, resized)


def erase(image: Tensor, i: int, j: int, h: int, w: int, v: Tensor, inplace: bool = False) -> Tensor:
    """The image with `v` in the window of `h` rows and `w` columns at (i, j)."""
    if not inplace:
        image = image.clone()
    image[..., i : i + h, j : j + w] = v
    return image


# Sampling where a grid says.


def _check_fill(image: Tensor, fill: Any, mode: str) -> None:
    channels = 1 if image.ndim == 2 else image.shape[-3]
    if isinstance(fill, (tuple, list)) and len(fill) not in (1, channels):
        raise ValueError(
            "The number of elements in 'fill' cannot broadcast to match the number of channels of the image "
            f"({len(fill)} != {channels})"
        )
    if mode not in ("nearest", "bilinear"):
        raise ValueError(f"Interpolation mode '{mode}' is unsupported with Tensor input")


def sampled_at(image: Tensor, grid: Tensor, mode: str, fill: Any) -> Tensor:
    """The image at the places (1, H, W, 2) that ``grid_sample`` takes; `fill` is what it has outside."""
    _check_fill(image, fill, mode)

    def sampled(x: Tensor) -> Tensor:
        everywhere = grid.expand(x.shape[0], *grid.shape[1:])
        if fill is None:
            return F.grid_sample(x, everywhere, mode=mode, padding_mode="zeros", align_corners=False)
        # A channel of ones says how much of each pixel comes from inside.
        inside = ones(x.shape[0], 1, *x.shape[-2:], dtype=x.dtype)
        y = F.grid_sample(cat([x, inside], 1), everywhere, mode=mode, padding_mode="zeros", align_corners=False)
        y, inside = y[:, :-1], y[:, -1:]
        outside = tensor(fill if isinstance(fill, (tuple, list)) else [float(fill)], dtype=x.dtype).view(1, -1, 1, 1)
        if mode == "nearest":
            return where(inside < 0.5, outside.expand(y.shape), y)
        return y * inside + (1.0 - inside) * outside

    return _as_batch(image, grid.dtype, sampled)


def _points(columns: np.ndarray, rows: np.ndarray, dtype: Any) -> np.ndarray:
    """(x, y, 1) of each pixel, shape (rows * columns, 3)."""
    points = np.ones((len(rows), len(columns), 3), dtype)
    points[..., 0] = columns
    points[..., 1] = rows[:, None]
    return points.reshape(-1, 3)


def sampled_affinely(
    image: Tensor, matrix: Sequence[float], mode: str, fill: Any, size: tuple[int, int] | None = None
) -> Tensor:
    """The image whose pixel (x, y, 1) is that at `matrix` (2, 3) times it, with the middle as the origin."""
    _check_fill(image, fill, mode)
    height, width = image.shape[-2:]
    rows, columns = size or (height, width)
    dtype = image.dtype if is_float(image) else np.dtype(np.float32)
    points = _points(
        np.linspace(-columns * 0.5 + 0.5, columns * 0.5 - 0.5, columns).astype(dtype),
        np.linspace(-rows * 0.5 + 0.5, rows * 0.5 - 0.5, rows).astype(dtype),
        dtype,
    )
    theta = np.array(matrix, dtype).reshape(2, 3).T / np.array([0.5 * width, 0.5 * height], dtype)
    return sampled_at(image, from_numpy((points @ theta).reshape(1, rows, columns, 2)), mode, fill)


def rotated_size(matrix: Sequence[float], width: int, height: int) -> tuple[int, int]:
    """Height and width of the least box around an image that a matrix turned."""
    corners = np.array([[-0.5, -0.5], [-0.5, 0.5], [0.5, 0.5], [0.5, -0.5]], np.float32) * np.float32([width, height])
    turned = np.c_[corners, np.ones(4, np.float32)] @ np.array(matrix, np.float32).reshape(2, 3).T
    half = np.float32([width * 0.5, height * 0.5])
    # Ten thousandths count, not what rounding leaves behind.
    low, high = (
        np.trunc((edge + half) / np.float32(1e-4)) * np.float32(1e-4) for edge in (turned.min(0), turned.max(0))
    )
    columns, rows = np.ceil(high) - np.floor(low)
    return int(rows), int(columns)


def sampled_in_perspective(image: Tensor, coefficients: Sequence[float], mode: str, fill: Any) -> Tensor:
    """The image whose pixel (x, y) is that at ``(a x + b y + c, d x + e y + f) / (g x + h y + 1)``."""
    _check_fill(image, fill, mode)
    height, width = image.shape[-2:]
    dtype = image.dtype if is_float(image) else np.dtype(np.float32)
    points = _points(
        np.linspace(0.5, width - 0.5, width).astype(dtype), np.linspace(0.5, height - 0.5, height).astype(dtype), dtype
    )
    a, b, c, d, e, f, g, h = coefficients
    above = np.array([[a, b, c], [d, e, f]], dtype).T / np.array([0.5 * width, 0.5 * height], dtype)
    below = np.array([[g, h, 1.0], [g, h, 1.0]], dtype).T
    grid = (points @ above) / (points @ below) - dtype.type(1)
    return sampled_at(image, from_numpy(grid.reshape(1, height, width, 2)), mode, fill)


def displaced(image: Tensor, displacement: Tensor, mode: str, fill: Any) -> Tensor:
    """The image with each pixel taken from a little beside it, by `displacement` (1, H, W, 2) of half its size."""
    height, width = image.shape[-2:]
    y, x = (linspace((1 - n) / n, (n - 1) / n, n).numpy() for n in (height, width))
    at = np.stack([np.broadcast_to(x, (height, width)), np.broadcast_to(y[:, None], (height, width))], -1)
    return sampled_at(image, from_numpy(at[None]) + displacement, mode, fill)


def five_corners(height: int, width: int, size: tuple[int, int]) -> list[tuple[int, int]]:
    """Top and left of the windows in the corners."""
    bottom, right = height - size[0], width - size[1]
    return [(0, 0), (0, right), (bottom, 0), (bottom, right)]


def inverse_affine(
    center: Sequence[float], angle: float, translate: Sequence[float], scale: float, shear: Sequence[float]
) -> list[float]:
    """Where pixels come from when an image is sheared, turned by `angle` degrees, scaled and moved: a matrix (2, 3).

    ``T C RotateScaleShear C^-1`` inverted, with T the translation and C that of `center` to the origin.
    """
    turn, shear_x, shear_y = map(math.radians, (angle, *shear))
    cx, cy = center
    tx, ty = translate
    a = math.cos(turn - shear_y) / math.cos(shear_y)
    b = -math.cos(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) - math.sin(turn)
    c = math.sin(turn - shear_y) / math.cos(shear_y)
    d = -math.sin(turn - shear_y) * math.tan(shear_x) / math.cos(shear_y) + math.cos(turn)
    m = [x / scale for x in (d, -b, 0.0, -c, a, 0.0)]
    m[2] += m[0] * (-cx - tx) + m[1] * (-cy - ty) + cx
    m[5] += m[3] * (-cx - tx) + m[4] * (-cy - ty) + cy
    return m


def perspective_coefficients(startpoints: Sequence[Sequence[int]], endpoints: Sequence[Sequence[int]]) -> list[float]:
    """The eight numbers of :func:`sampled_in_perspective` that bring four corners to others, by least squares."""
    if len(startpoints) != 4 or len(endpoints) != 4:
        raise ValueError(
            f"Please provide exactly four corners, got {len(startpoints)} startpoints and {len(endpoints)} endpoints."
        )
    rows = []
    for (x, y), (u, v) in zip(endpoints, startpoints, strict=True):
        rows += [[x, y, 1, 0, 0, 0, -u * x, -u * y], [0, 0, 0, x, y, 1, -v * x, -v * y]]
    known = np.array(startpoints, np.float64).reshape(8)
    return np.linalg.lstsq(np.array(rows, np.float64), known, rcond=None)[0].astype(np.float32).tolist()


def flipped(image: Tensor, axis: int) -> Tensor:
    """The image with an axis turned round."""
    return flip(image, axis)
