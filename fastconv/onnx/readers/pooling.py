"""Pooling."""

from __future__ import annotations

import math

import numpy as np

from ..._tensor import Tensor
from ...checks import check_shape
from ...creation import from_numpy
from ...nn import functional as F
from ..nodes import Node, integers, reads
from .windows import Windows, windows_of

__all__ = []


def _floats(x: Tensor) -> Tensor:
    """Integers as floats that hold them all, for 8 and 16 bits."""
    return x if x.dtype.kind == "f" and x.dtype != np.float16 else x.float()


def _whole(x: Tensor, windows: Windows, fill: float) -> Tensor:
    """The image with its padding, just as long as the windows are."""
    pairs = []
    for n, k, step, d, before, out in zip(
        *(x.shape[2:], windows.kernel, windows.strides, windows.dilations, windows.before, windows.out), strict=True
    ):
        pairs.append((before, (out - 1) * step + d * (k - 1) + 1 - n - before))
    flat = [n for pair in reversed(pairs) for n in pair]
    return F.pad(x, flat, "constant", fill) if any(flat) else x


def _fits(windows: Windows, lengths) -> bool:
    """Whether the functions of nn take them as they are: even padding, of half a window at most, and no ceil_mode."""
    plain = [
        (n + 2 * b - d * (k - 1) - 1) // step + 1
        for n, k, step, d, b in zip(
            *(lengths, windows.kernel, windows.strides, windows.dilations, windows.before), strict=True
        )
    ]
    half = all(0 <= 2 * b <= k for b, k in zip(windows.before, windows.kernel, strict=True))
    return windows.is_even and half and plain == windows.out


@reads("MaxPool", in_float32=True)
def _max_pool(node: Node, x: Tensor) -> Tensor | tuple[Tensor, Tensor]:
    dims = x.ndim - 2
    if dims not in (1, 2, 3):
        raise ValueError("expected 3 to 5 dimensions in the input")
    windows = windows_of(node, x.shape[2:], node.get("kernel_shape"))
    function = (F.max_pool1d, F.max_pool2d, F.max_pool3d)[dims - 1]
    with_indices = len(node.outputs) > 1
    image, padding = _floats(x), windows.before
    if not _fits(windows, x.shape[2:]):
        image, padding = _whole(image, windows, -math.inf), [0] * dims
    y = function(image, windows.kernel, windows.strides, padding, windows.dilations, False, with_indices)
    if not with_indices:
        return y.to(x.dtype)
    y, places = y[0].to(x.dtype), np.unravel_index(y[1]._array, image.shape[2:])
    if image.shape != x.shape:
        places = [place - b for place, b in zip(places, windows.before, strict=True)]
    # ONNX counts from the first element of the whole tensor.
    order = "F" if node.get("storage_order", 0) else "C"
    lengths = x.shape[2:]
    inside = tuple(np.clip(place, 0, n - 1) for place, n in zip(places, lengths, strict=True))
    within = np.ravel_multi_index(inside, lengths, order=order)
    images = np.arange(x.shape[0] * x.shape[1]).reshape(*x.shape[:2], *[1] * dims)
    return y, from_numpy(within + images * math.prod(lengths))


@reads("AveragePool", in_float32=True)
def _average_pool(node: Node, x: Tensor) -> Tensor:
    dims = x.ndim - 2
    if dims not in (1, 2, 3):
        raise ValueError("expected 3 to 5 dimensions in the input")
    windows = windows_of(node, x.shape[2:], node.get("kernel_shape"))
    with_padding = bool(node.get("count_include_pad", 0))
    dilated = any(d > 1 and k > 1 for d, k in zip(windows.dilations, windows.kernel, strict=True))
    function = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims - 1]
    image = _floats(x)
    if _fits(windows, x.shape[2:]) and not dilated:
        y = function(image, windows.kernel, windows.strides, windows.before, False, with_padding)
        return y.to(x.dtype)
    whole = _whole(image, windows, 0.0)
    if dilated:
        ones = from_numpy(np.ones((1, 1, *windows.kernel), image.dtype))
        images = whole.reshape(-1, 1, *whole.shape[2:])
        sums = (F.conv1d, F.conv2d, F.conv3d)[dims - 1](images, ones, None, windows.strides, 0, windows.dilations)
        sums = sums.reshape(*x.shape[:2], *sums.shape[2:])
    else:
        sums = function(whole, windows.kernel, windows.strides) * math.prod(windows.kernel)
    # How many elements a window has is a product of what it has along each dimension.
    counts = np.ones((), np.int64)
    for at in range(dims):
        n, before = x.shape[2 + at], windows.before[at]
        low, high = (-before, n + windows.after[at]) if with_padding else (0, n)
        taps = np.arange(windows.kernel[at]) * windows.dilations[at]
        places = np.arange(windows.out[at])[:, None] * windows.strides[at] - before + taps
        counts = counts[..., None] * ((places >= low) & (places < high)).sum(axis=1)
    return (sums / from_numpy(np.maximum(counts, 1).astype(image.dtype))).to(x.dtype)


def _over_images(x: Tensor) -> list[int]:
    if x.ndim < 3:
        raise ValueError("expected at least 3 dimensions in the input")
    return list(range(2, x.ndim))


@reads("GlobalAveragePool", in_float32=True)
def _global_average(node: Node, x: Tensor) -> Tensor:
    return F.adaptive_avg_pool2d(x, 1) if x.ndim == 4 else x.mean(_over_images(x), True)


@reads("GlobalMaxPool")
def _global_max(node: Node, x: Tensor) -> Tensor:
    dims = _over_images(x)
    return x.flatten(2).max(2)[0].reshape(*x.shape[:2], *[1] * len(dims))


@reads("GlobalLpPool")
def _global_lp(node: Node, x: Tensor) -> Tensor:
    return x.norm(node.get("p", 2), _over_images(x), True)


@reads("LpPool", in_float32=True)
def _lp_pool(node: Node, x: Tensor) -> Tensor:
    dims = x.ndim - 2
    if dims not in (1, 2, 3):
        raise ValueError("expected 3 to 5 dimensions in the input")
    windows, p = windows_of(node, x.shape[2:], node.get("kernel_shape")), node.get("p", 2)
    powers = _whole(abs(x) ** p, windows, 0.0)
    if any(d > 1 for d in windows.dilations):
        ones = from_numpy(np.ones((1, 1, *windows.kernel), x.dtype))
        images = powers.reshape(-1, 1, *powers.shape[2:])
        sums = (F.conv1d, F.conv2d, F.conv3d)[dims - 1](images, ones, None, windows.strides, 0, windows.dilations)
        sums = sums.reshape(*x.shape[:2], *sums.shape[2:])
    else:
        pool = (F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)[dims - 1]
        sums = pool(powers, windows.kernel, windows.strides) * math.prod(windows.kernel)
    return sums ** (1 / p)


@reads("MaxUnpool", settings=(2,))
def _max_unpool(node: Node, x: Tensor, indices: Tensor, shape: Tensor | None = None) -> Tensor:
    kernel = list(node.get("kernel_shape"))
    dims = len(kernel)
    strides, pads = list(node.get("strides") or [1] * dims), list(node.get("pads") or [0] * (2 * dims))
    plain = [
        (n - 1) * step - pads[at] - pads[dims + at] + k
        for at, (n, step, k) in enumerate(zip(x.shape[2:], strides, kernel, strict=True))
    ]
    whole = [*x.shape[:2], *plain]
    y = from_numpy(np.zeros(math.prod(check_shape(whole, "MaxUnpool")), x.dtype))
    y = y.scatter(0, indices.reshape(-1), x.reshape(-1)).reshape(*whole)
    # The indices are those of an image without what the output's shape adds.
    extra = [0 if shape is None else n - m for n, m in zip(integers(shape) or whole, whole, strict=True)]
    return F.pad(y, [n for more in reversed(extra) for n in (0, more)]) if any(extra) else y
