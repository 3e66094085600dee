"""Moving elements: between channels and pixels, and between images and their windows."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..._native.memory import empty
from ..._native.tape import apply
from ...checks import integer, integers
from .arguments import Array, Size, check_array, check_dtypes

__all__ = ["channel_shuffle", "fold", "pixel_shuffle", "pixel_unshuffle", "unfold"]


def _shuffled(needs, x, split, order, shape):
    """Dimensions split, put in another order, and joined."""
    old, between, back = x.shape, [split[i] for i in order], np.argsort(order)
    y = _dense(x.reshape(split).transpose(order)).reshape(shape)
    return y, lambda dy: (_dense(dy.reshape(between).transpose(back)).reshape(old),), ()


def _dense(view: np.ndarray) -> np.ndarray:
    """A copy in C order; along a last dimension that is short NumPy would go with every step, so it is a loop."""
    y = empty(view.shape, view.dtype)
    if 1 < view.shape[-1] <= 8:
        for i in range(view.shape[-1]):
            y[..., i] = view[..., i]
    else:
        y[...] = view
    return y


def pixel_shuffle(input: Array, upscale_factor: int) -> Array:
    """Blocks of r * r channels become blocks of r by r pixels (Shi et al., 2016).

    Parameters
    ----------
    input : (..., C r^2, H, W)
    upscale_factor : int
        r.

    Returns
    -------
    (..., C, H r, W r)
    """
    check_array("pixel_shuffle", input)
    r = integer(upscale_factor, "upscale_factor", 1)
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_shuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    *lead, c, h, w = input.shape
    if c % (r * r):
        raise RuntimeError(
            "pixel_shuffle expects its input's 'channel' dimension to be divisible by the square of upscale_factor, "
            f"but input.size(-3)={c} is not divisible by {r * r}"
        )
    n, c = len(lead), c // (r * r)
    order = (*range(n), n, n + 3, n + 1, n + 4, n + 2)
    return apply(_shuffled, input, split=(*lead, c, r, r, h, w), order=order, shape=(*lead, c, h * r, w * r))


def pixel_unshuffle(input: Array, downscale_factor: int) -> Array:
    """The inverse of :func:`pixel_shuffle`: (..., C, H r, W r) to (..., C r^2, H, W)."""
    check_array("pixel_unshuffle", input)
    r = integer(downscale_factor, "downscale_factor", 1)
    if input.ndim < 3:
        raise RuntimeError(
            f"pixel_unshuffle expects input to have at least 3 dimensions, but got input with {input.ndim} dimension(s)"
        )
    *lead, c, h, w = input.shape
    for name, n, place in (("height", h, -2), ("width", w, -1)):
        if n % r:
            raise RuntimeError(
                f"pixel_unshuffle expects {name} to be divisible by downscale_factor, but input.size({place})={n} "
                f"is not divisible by {r}"
            )
    n = len(lead)
    order = (*range(n), n, n + 2, n + 4, n + 1, n + 3)
    split, shape = (*lead, c, h // r, r, w // r, r), (*lead, c * r * r, h // r, w // r)
    return apply(_shuffled, input, split=split, order=order, shape=shape)


def channel_shuffle(input: Array, groups: int) -> Array:
    """The channels of (N, C, ...) taken from each group in turn (Zhang et al., 2018)."""
    check_array("channel_shuffle", input)
    groups = integer(groups, "groups", 1)
    if input.ndim < 3:
        raise RuntimeError(f"channel_shuffle expects input with > 2 dims, but got input with sizes {list(input.shape)}")
    n, c, *rest = input.shape
    if c % groups:
        raise RuntimeError(f"Number of channels must be divisible by groups. Got {c} channels and {groups} groups.")
    split, order = (n, groups, c // groups, *rest), (0, 2, 1, *range(3, len(rest) + 3))
    return apply(_shuffled, input, split=split, order=order, shape=tuple(input.shape))


def _windows(size: Sequence[int], kernel, dilation, padding, stride) -> tuple[int, int]:
    """How many windows there are along each dimension of an image."""
    return tuple(
        (n + 2 * p - d * (k - 1) - 1) // s + 1
        for n, k, d, p, s in zip(size, kernel, dilation, padding, stride, strict=True)
    )


def _taps(kernel, dilation, stride, windows):
    """For each element of a window: its place there, and the slices of the padded image that it meets."""
    for r in range(kernel[0]):
        for s in range(kernel[1]):
            first = r * dilation[0], s * dilation[1]
            yield (
                (r, s),
                tuple(
                    slice(f, f + (n - 1) * step + 1, step) for f, n, step in zip(first, windows, stride, strict=True)
                ),
            )


def _to_columns(x: np.ndarray, windows, kernel, dilation, padding, stride) -> np.ndarray:
    """(N, C, H, W) to (N, C R S, P Q)."""
    n, c = x.shape[:2]
    padded = np.pad(x, ((0, 0), (0, 0), (padding[0],) * 2, (padding[1],) * 2)) if any(padding) else x
    columns = np.empty((n, c, *kernel, *windows), x.dtype)
    for (r, s), (rows, cols) in _taps(kernel, dilation, stride, windows):
        columns[:, :, r, s] = padded[:, :, rows, cols]
    return columns.reshape(n, c * math.prod(kernel), math.prod(windows))


def _from_columns(columns: np.ndarray, size, windows, kernel, dilation, padding, stride) -> np.ndarray:
    """The adjoint: every element of every window is added where it came from."""
    n = columns.shape[0]
    c = columns.shape[1] // math.prod(kernel)
    columns = columns.reshape(n, c, *kernel, *windows)
    padded = np.zeros((n, c, size[0] + 2 * padding[0], size[1] + 2 * padding[1]), columns.dtype)
    for (r, s), (rows, cols) in _taps(kernel, dilation, stride, windows):
        padded[:, :, rows, cols] += columns[:, :, r, s]
    return np.ascontiguousarray(padded[:, :, padding[0] : padding[0] + size[0], padding[1] : padding[1] + size[1]])


def _unfold(needs, x, size, **options):
    return _to_columns(x, **options), lambda dy: (_from_columns(dy, size, **options),), ()


def _fold(needs, x, size, **options):
    return _from_columns(x, size, **options), lambda dy: (_to_columns(dy, **options),), ()


def _geometry(kernel_size: Size, dilation: Size, padding: Size, stride: Size) -> dict:
    return {
        "kernel": integers(kernel_size, "kernel_size", 1, 2),
        "dilation": integers(dilation, "dilation", 1, 2),
        "padding": integers(padding, "padding", 0, 2),
        "stride": integers(stride, "stride", 1, 2),
    }


def unfold(input: Array, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1) -> Array:
    """The windows of images as columns (im2col).

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    kernel_size, dilation, padding, stride : int or (int, int)
        Of the windows, as of a convolution's.

    Returns
    -------
    (N, C R S, P Q) or (C R S, P Q)
    """
    check_dtypes("unfold", input=input)
    options = _geometry(kernel_size, dilation, padding, stride)
    if input.ndim not in (3, 4):
        raise RuntimeError(
            f"Expected 3D or 4D (batch mode) tensor for input with possibly 0 batch size, got {list(input.shape)}"
        )
    windows = _windows(input.shape[-2:], **options)
    if min(windows) < 1:
        raise RuntimeError(
            f"Given input with spatial size {list(input.shape[-2:])}, kernel_size={options['kernel']}, "
            f"dilation={options['dilation']}, padding={options['padding']}, calculated shape of the array of sliding "
            f"blocks as {windows}, but its components must be at least one."
        )
    images = input.reshape(1, *input.shape) if input.ndim == 3 else input
    columns = apply(_unfold, images, size=tuple(input.shape[-2:]), windows=windows, **options)
    return columns.reshape(*columns.shape[1:]) if input.ndim == 3 else columns


def fold(
    input: Array, output_size: Size, kernel_size: Size, dilation: Size = 1, padding: Size = 0, stride: Size = 1
) -> Array:
    """Images that sum the elements of windows: the adjoint of :func:`unfold` (col2im).

    Parameters
    ----------
    input : (N, C R S, P Q) or (C R S, P Q)
    output_size : int or (int, int)
        (H, W).
    kernel_size, dilation, padding, stride : int or (int, int)
        Of the windows, as of a convolution's.

    Returns
    -------
    (N, C, H, W) or (C, H, W)
    """
    check_dtypes("fold", input=input)
    options = _geometry(kernel_size, dilation, padding, stride)
    size = integers(output_size, "output_size", 1, 2)
    if input.ndim not in (2, 3):
        raise RuntimeError(
            f"Expected 2D or 3D (batch mode) tensor for input with possibly 0 batch size, got {list(input.shape)}"
        )
    taps = math.prod(options["kernel"])
    if input.shape[-2] % taps:
        raise RuntimeError(
            "Expected size of input's dimension 1 to be divisible by the product of kernel_size, but got "
            f"input.size(1)={input.shape[-2]} and kernel_size={options['kernel']}."
        )
    windows = _windows(size, **options)
    if min(windows) < 1 or math.prod(windows) != input.shape[-1]:
        raise RuntimeError(
            f"Given output_size={size}, kernel_size={options['kernel']}, dilation={options['dilation']}, "
            f"padding={options['padding']}, stride={options['stride']}, expected size of input's dimension 2 to match "
            f"the calculated number of sliding blocks {windows[0]} * {windows[1]} = {math.prod(windows)}, but got "
            f"input.size(2)={input.shape[-1]}."
        )
    columns = input.reshape(1, *input.shape) if input.ndim == 2 else input
    images = apply(_fold, columns, size=size, windows=windows, **options)
    return images.reshape(*images.shape[1:]) if input.ndim == 2 else images
