"""Pooling of one and three dimensions on the kernels of two, adaptive maxima, and the inverse of max pooling."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ..._native.tape import apply
from ..._tensor import Tensor
from ...checks import LARGEST, integer, integers, number
from ...creation import from_numpy
from ...functions import abs, relu
from .. import functional as F
from .arguments import Array, Size, array_of, check_array, check_dtypes, of_tensors

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "avg_pool1d",
    "avg_pool3d",
    "lp_pool1d",
    "lp_pool2d",
    "max_pool1d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
]


def _signals(name: str, input: Array) -> Array:
    """(N, C, L) or (C, L) as images of height 1."""
    check_array(name, input)
    if input.ndim not in (2, 3):
        raise RuntimeError(f"{name}() expects 2D or 3D input (C, L) or (N, C, L), got size {list(input.shape)}")
    return input.reshape(*input.shape[:-1], 1, input.shape[-1])


def _row(value: Size | None, name: str, least: int) -> tuple[int, int] | None:
    """A parameter of one dimension for both: `least`, which changes nothing, for the height; () is none."""
    if value is None or (isinstance(value, Sequence) and not value):
        return None
    return least, integers(value, name, least, 1)[0]


def _flat(y: Array) -> Array:
    return y.reshape(*y.shape[:-2], y.shape[-1])


def avg_pool1d(
    input: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
) -> Array:
    """The mean of every window of (N, C, L) or (C, L); arguments as of :func:`avg_pool2d`."""
    x = _signals("avg_pool1d", input)
    kernel, stride = _row(kernel_size, "kernel_size", 1), _row(stride, "stride", 1)
    return _flat(F.avg_pool2d(x, kernel, stride, _row(padding, "padding", 0), ceil_mode, count_include_pad))


def max_pool1d(
    input: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Array | tuple[Array, Array]:
    """The largest element of every window of (N, C, L) or (C, L); arguments as of :func:`max_pool2d`."""
    x = _signals("max_pool1d", input)
    kernel, stride = _row(kernel_size, "kernel_size", 1), _row(stride, "stride", 1)
    padding, dilation = _row(padding, "padding", 0), _row(dilation, "dilation", 1)
    y = F.max_pool2d(x, kernel, stride, padding, dilation, ceil_mode, return_indices)
    return (_flat(y[0]), _flat(y[1])) if return_indices else _flat(y)


def adaptive_avg_pool1d(input: Array, output_size: Size) -> Array:
    """The mean of as many windows of (N, C, L) or (C, L) as the output shall have elements."""
    (length,) = integers(output_size, "output_size", 0, 1)
    return _flat(F.adaptive_avg_pool2d(_signals("adaptive_avg_pool1d", input), (1, length)))


def adaptive_max_pool1d(input: Array, output_size: Size, return_indices: bool = False) -> Array | tuple[Array, Array]:
    """The largest element of as many windows of (N, C, L) or (C, L) as the output shall have elements."""
    (length,) = integers(output_size, "output_size", 0, 1)
    y = adaptive_max_pool2d(_signals("adaptive_max_pool1d", input), (1, length), return_indices)
    return (_flat(y[0]), _flat(y[1])) if return_indices else _flat(y)


def _adaptive_max_pool2d(needs, x, size):
    h, w = x.shape[-2:]
    y, indices = np.empty((*x.shape[:-2], *size), x.dtype), np.empty((*x.shape[:-2], *size), np.int64)
    for p, q in np.ndindex(*size):
        top, left = p * h // size[0], q * w // size[1]
        bottom, right = -(-(p + 1) * h // size[0]), -(-(q + 1) * w // size[1])
        window = x[..., top:bottom, left:right].reshape(*x.shape[:-2], (bottom - top) * (right - left))
        place = window.argmax(axis=-1)
        y[..., p, q] = np.take_along_axis(window, place[..., None], axis=-1)[..., 0]
        row, column = np.divmod(place, right - left)
        indices[..., p, q] = (top + row) * w + left + column
    shape = x.shape
    return y, lambda dy, indices: (_scatter(dy, indices, shape, add=True),), (indices,), indices


def adaptive_max_pool2d(
    input: Array, output_size: int | Sequence[int | None] | None, return_indices: bool = False
) -> Array | tuple[Array, Array]:
    """The largest element of as many windows as the output shall have elements.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    output_size : int or (int or None, int or None)
        (P, Q); None keeps the input's size. Window i of P spans ``floor(i H / P)`` to ``ceil((i + 1) H / P)``.
    return_indices : bool
        Also return the position of each maximum, as an index into the flattened H * W.
    """
    check_dtypes("adaptive_max_pool2d", input=input)
    if input.ndim not in (3, 4) or min(input.shape[-2:]) < 1 or not input.shape[-3]:
        raise RuntimeError(
            "adaptive_max_pool2d(): Expected input (N, C, H, W) or (C, H, W), not empty but in N, "
            f"got size {list(input.shape)}"
        )
    asked = list(output_size) if isinstance(output_size, (tuple, list)) else [output_size] * 2
    if len(asked) != 2:
        raise RuntimeError(f"adaptive_max_pool2d(): internal error: output_size.size() must be 2, got {output_size}")
    size = tuple(n if m is None else integer(m, "output_size") for n, m in zip(input.shape[-2:], asked, strict=True))
    y, indices = apply(_adaptive_max_pool2d, input, size=size)
    return (y, indices) if return_indices else y


def _scatter(x: np.ndarray, indices: np.ndarray, shape: tuple[int, ...], add: bool = False) -> np.ndarray:
    """Planes of zeros with the elements of x at flat places; of those at one place the last, or their sum."""
    planes, size = math.prod(shape[:-2]), math.prod(x.shape[-2:])
    y = np.zeros((planes, math.prod(shape[-2:])), x.dtype)
    rows, places = np.arange(planes)[:, None], indices.reshape(planes, size)
    if add:
        np.add.at(y, (rows, places), x.reshape(planes, size))
    else:
        y[rows, places] = x.reshape(planes, size)
    return y.reshape(shape)


def _max_unpool(needs, x, indices, shape):
    def vjp(dy, indices):
        planes, size = math.prod(shape[:-2]), math.prod(indices.shape[-2:])
        dx = np.take_along_axis(dy.reshape(planes, math.prod(shape[-2:])), indices.reshape(planes, size), axis=1)
        return dx.reshape(indices.shape), None

    return _scatter(x, indices, shape), vjp, (indices,)


def max_unpool2d(
    input: Array,
    indices: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Array:
    """Maxima put back where :func:`max_pool2d` found them, among zeros.

    Parameters
    ----------
    input : (N, C, P, Q) or (C, P, Q)
    indices : int64 of the input's size
        As ``max_pool2d(..., return_indices=True)`` gives them.
    kernel_size, stride, padding : int or (int, int)
        Of the pooling.
    output_size : sequence of int, optional
        (H, W) of the output, or its whole size; by default (P - 1) stride - 2 padding + kernel_size.
    """
    check_dtypes("max_unpool2d", input=input)
    check_array("max_unpool2d", indices, "indices")
    kernel = integers(kernel_size, "kernel_size", 1, 2)
    stride = kernel if stride is None else integers(stride, "stride", 1, 2)
    padding = integers(padding, "padding", 0, 2)
    if indices.dtype != np.int64:
        raise RuntimeError(f"elements in indices should be type int64 but got: {indices.dtype}")
    if input.ndim not in (3, 4):
        raise RuntimeError(
            f"Input to max_unpooling2d should be a 3d or 4d Tensor, but got a tensor with {input.ndim} dimensions."
        )
    if tuple(indices.shape) != tuple(input.shape):
        raise RuntimeError(
            f"Expected shape of indices to be same as that of the input tensor ({list(input.shape)}) but got indices "
            f"tensor with shape: {list(indices.shape)}"
        )
    default = [(n - 1) * s - 2 * p + k for n, s, p, k in zip(input.shape[-2:], stride, padding, kernel, strict=True)]
    size = default
    if output_size is not None:
        size = [integer(n, "output_size") for n in output_size]
        size = size[-2:] if len(size) == input.ndim else size
        if len(size) != 2:
            raise ValueError(f"output_size should be a sequence containing 2 or {input.ndim} elements, got {size}")
        least = [n - s for n, s in zip(default, stride, strict=True)]
        most = [n + s for n, s in zip(default, stride, strict=True)]
        if any(not low < n < high for low, n, high in zip(least, size, most, strict=True)):
            raise ValueError(f'invalid output_size "{size}" (must be between {least} and {most}, exclusively)')
    places = array_of(indices)
    if places.size and (places.min() < 0 or places.max() >= math.prod(size)):
        raise RuntimeError(
            f"Found an invalid max index: {places.max()} (output volumes are of size {size[0]}x{size[1]})"
        )
    return apply(_max_unpool, input, indices, shape=(*input.shape[:-2], *size))


def max_unpool1d(
    input: Array,
    indices: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    output_size: Sequence[int] | None = None,
) -> Array:
    """:func:`max_unpool2d` of (N, C, L) or (C, L)."""
    x, places = _signals("max_unpool1d", input), _signals("max_unpool1d", indices)
    kernel, stride = _row(kernel_size, "kernel_size", 1), _row(stride, "stride", 1)
    size = None if output_size is None else (1, output_size[-1])
    return _flat(max_unpool2d(x, places, kernel, stride, _row(padding, "padding", 0), size))


@of_tensors
def lp_pool2d(
    input: Array, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Array:
    """``(sum of x^p over every window)^(1 / p)``, with p = `norm_type`; what has a negative sum becomes 0."""
    number(norm_type, "norm_type")
    kernel = integers(kernel_size, "kernel_size", 1, 2)
    if math.isinf(norm_type):
        sign = 1 if norm_type > 0 else -1
        return F.max_pool2d(abs(input) * sign, kernel, stride, 0, 1, ceil_mode) * sign
    mean = F.avg_pool2d(input**norm_type, kernel, stride, 0, ceil_mode)
    return (relu(mean) * math.prod(kernel)) ** (1 / norm_type)


def lp_pool1d(
    input: Array, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
) -> Array:
    """:func:`lp_pool2d` of (N, C, L) or (C, L)."""
    kernel, stride = _row(kernel_size, "kernel_size", 1), _row(stride, "stride", 1)
    return _flat(lp_pool2d(_signals("lp_pool1d", input), norm_type, kernel, stride, ceil_mode))


# ---------------------------------------------------------------------------------------------------------------------
# Three dimensions: windows of every slice, and then along the depth
# ---------------------------------------------------------------------------------------------------------------------


def _volumes(name: str, input: Array) -> tuple[int, int]:
    """How many volumes there are, and how deep they are."""
    check_array(name, input)
    if input.ndim not in (4, 5):
        raise RuntimeError(
            f"{name}(): Expected 4D or 5D input (C, D, H, W) or (N, C, D, H, W), got size {list(input.shape)}"
        )
    return math.prod(input.shape[:-3]), input.shape[-3]


def _along_depth(y: Array, planes: int, depth: int) -> Array:
    """Pooled slices as (volumes, 1, D, pixels): images whose height is the depth."""
    return y.reshape(planes, 1, depth, math.prod(y.shape[-2:]))


def max_pool3d(
    input: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Array | tuple[Array, Array]:
    """The largest element of every window of (N, C, D, H, W) or (C, D, H, W); arguments as of :func:`max_pool2d`.

    Indices are those into the flattened D * H * W.
    """
    volumes, depth = _volumes("max_pool3d", input)
    kernel = integers(kernel_size, "kernel_size", 1, 3)
    stride = kernel if stride is None else integers(stride, "stride", 1, 3)
    padding, dilation = integers(padding, "padding", 0, 3), integers(dilation, "dilation", 1, 3)
    h, w = input.shape[-2:]
    slices, places = F.max_pool2d(
        *(input.reshape(volumes, depth, h, w), kernel[1:], stride[1:], padding[1:], dilation[1:], ceil_mode, True)
    )
    p, q = slices.shape[-2:]
    across = (kernel[0], 1), (stride[0], 1), (padding[0], 0), (dilation[0], 1)
    y, which = F.max_pool2d(_along_depth(slices, volumes, depth), *across, ceil_mode, True)
    shape = (*input.shape[:-3], y.shape[-2], p, q)
    y = y.reshape(*shape)
    if not return_indices:
        return y
    which, places = array_of(which), array_of(places)
    found = np.take_along_axis(places.reshape(volumes, -1), which.reshape(volumes, -1), axis=1)
    indices = (which // max(p * q, 1)).reshape(volumes, -1) * (h * w) + found
    indices = indices.reshape(shape)
    return y, from_numpy(indices) if isinstance(y, Tensor) else indices


def avg_pool3d(
    input: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The mean of every window of (N, C, D, H, W) or (C, D, H, W); arguments as of :func:`avg_pool2d`."""
    volumes, depth = _volumes("avg_pool3d", input)
    kernel = integers(kernel_size, "kernel_size", 1, 3)
    stride = kernel if stride is None else integers(stride, "stride", 1, 3)
    padding = integers(padding, "padding", 0, 3)
    # The number of elements of a window is the product of those along each dimension.
    divide = None, None
    if divisor_override is not None:
        divide = 1, integer(divisor_override, "divisor_override", -LARGEST)
    x = input.reshape(volumes, depth, *input.shape[-2:])
    slices = F.avg_pool2d(x, kernel[1:], stride[1:], padding[1:], ceil_mode, count_include_pad, divide[0])
    across = (kernel[0], 1), (stride[0], 1), (padding[0], 0)
    y = F.avg_pool2d(_along_depth(slices, volumes, depth), *across, ceil_mode, count_include_pad, divide[1])
    return y.reshape(*input.shape[:-3], y.shape[-2], *slices.shape[-2:])


def adaptive_avg_pool3d(input: Array, output_size: int | Sequence[int | None] | None) -> Array:
    """The mean of as many windows of (N, C, D, H, W) or (C, D, H, W) as the output shall have elements."""
    volumes, depth = _volumes("adaptive_avg_pool3d", input)
    asked = list(output_size) if isinstance(output_size, (tuple, list)) else [output_size] * 3
    if len(asked) != 3:
        raise RuntimeError(f"adaptive_avg_pool3d(): output_size must have 3 elements, got {output_size}")
    slices = F.adaptive_avg_pool2d(input.reshape(volumes, depth, *input.shape[-2:]), asked[1:])
    y = F.adaptive_avg_pool2d(_along_depth(slices, volumes, depth), (asked[0], None))
    return y.reshape(*input.shape[:-3], y.shape[-2], *slices.shape[-2:])
