"""Pooling."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from ..checks import LARGEST
from .arrays import (
    MOST_PADDED,
    Size,
    check_gradient,
    check_memory,
    check_rank,
    float_array,
    four,
    four_dimensional,
    integers_of,
    pair,
    size_of,
    steps,
    too_large,
    turned_back,
)

__all__ = [
    "Numbers",
    "of_adaptive",
    "of_adaptive_backward",
    "of_average",
    "of_average_backward",
    "of_max",
    "of_max_backward",
    "take",
]

# Pixels of a plane that an index of the element's size can tell apart.
_MOST_PIXELS = {4: 2**31 - 1, 8: 2**63 - 1}

# Sizes of x and y, kernel, strides, padding, dilations.
Numbers = tuple[int, ...]


def of_max(
    x: ndarray, kernel_size: Size, stride: Size | None, padding: Size, dilation: Size, ceil_mode: bool
) -> tuple[ndarray, Numbers, tuple[Any, ...] | None]:
    """For max_pool2d: x; all sizes and parameters; the index that turns y back."""
    op = "max_pool2d"
    x4, numbers, back = _of_x(op, x, kernel_size, stride, padding, dilation, ceil_mode)
    height, width = x4.shape[2:]
    if height * width > _MOST_PIXELS[x4.dtype.itemsize]:
        raise ValueError(
            f"{op}: a plane of {height} x {width} pixels has more than int{8 * x4.dtype.itemsize} can index"
        )
    return x4, numbers, back


def of_max_backward(
    dy: ndarray, indices: ndarray, input_size: Sequence[int]
) -> tuple[ndarray, ndarray, Numbers, tuple[Any, ...] | None]:
    """For max_pool2d_backward: dy and indices; the size of x; the index that turns dx back."""
    op = "max_pool2d_backward"
    dy = float_array(op, dy, "gradient")
    if not isinstance(indices, ndarray) or indices.dtype.type not in (np.int32, np.int64):
        got = indices.dtype if isinstance(indices, ndarray) else type(indices).__name__
        raise TypeError(f"{op}: indices must be a numpy.ndarray of int32 or int64, got {got}")
    x_shape = size_of(op, input_size, "input_size", 2)
    if dy.shape != indices.shape or dy.ndim != len(x_shape) or dy.shape[:-2] != x_shape[:-2]:
        raise RuntimeError(
            f"{op}: expected gradient and indices of one size, with the batch and channels of the input, got gradient "
            f"{list(dy.shape)}, indices {list(indices.shape)}, input {list(x_shape)}"
        )
    dense = indices.flags.c_contiguous or (indices.ndim == 4 and indices.transpose(0, 2, 3, 1).flags.c_contiguous)
    if not (dense and indices.flags.aligned and indices.dtype.isnative):
        indices = np.require(indices, indices.dtype.newbyteorder("="), ["C", "A"])
    check_memory(op, x_shape, dy, "input's gradient")
    return four_dimensional(dy, 2), four_dimensional(indices, 2), four(x_shape, 2), turned_back(dy.ndim, 2)


def of_average(
    x: ndarray,
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    divisor_override: int | None,
) -> tuple[ndarray, Numbers, int, tuple[Any, ...] | None]:
    """For avg_pool2d: x; all sizes and parameters; the divisor, 0 for the number of pixels; the index that turns y
    back."""
    x4, numbers, back = _of_x("avg_pool2d", x, kernel_size, stride, padding, 1, ceil_mode)
    return x4, numbers, _divisor(divisor_override), back


def of_average_backward(
    dy: ndarray,
    input_size: Sequence[int],
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    ceil_mode: bool,
    divisor_override: int | None,
) -> tuple[ndarray, Numbers, int, tuple[Any, ...] | None]:
    """For avg_pool2d_backward: dy; all sizes and parameters; the divisor; the index that turns dx back."""
    op = "avg_pool2d_backward"
    dy = float_array(op, dy, "gradient")
    x_shape = size_of(op, input_size, "input_size", 2)
    numbers = _pooling_sizes(op, four(x_shape, 2), kernel_size, stride, padding, 1, ceil_mode)
    divisor = _divisor(divisor_override)
    dy4 = check_gradient(op, dy, numbers[4:8], 2, x_shape, None, (kernel_size, stride, padding))
    check_memory(op, x_shape, dy, "input's gradient")
    return dy4, numbers, divisor, turned_back(len(x_shape), 2)


def of_adaptive(
    x: ndarray, output_size: int | Sequence[int | None] | None
) -> tuple[ndarray, Numbers, tuple[Any, ...] | None]:
    """For adaptive_avg_pool2d: x; the size of y; the index that turns y back."""
    op = "adaptive_avg_pool2d"
    x = float_array(op, x, "input")
    check_rank(op, x.shape, "input", 2)
    height, width = x.shape[-2:]
    asked: Any
    if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
        asked = tuple(size if out is None else out for out, size in zip(output_size, (height, width), strict=True))
    else:
        asked = (height, width) if output_size is None else output_size
    y_size = pair(asked, "output_size", 0)
    x4 = four_dimensional(x, 2)
    if not (x4.shape[1] and height and width):
        raise RuntimeError(f"{op}: an input may be empty in its batch alone, got input of size {list(x.shape)}")
    y_shape = (*x4.shape[:2], *y_size)
    check_memory(op, y_shape, x)
    return x4, y_shape, turned_back(x.ndim, 2)


def of_adaptive_backward(dy: ndarray, input_size: Sequence[int]) -> tuple[ndarray, Numbers, tuple[Any, ...] | None]:
    """For adaptive_avg_pool2d_backward: dy; the size of x; the index that turns dx back."""
    op = "adaptive_avg_pool2d_backward"
    dy = float_array(op, dy, "gradient")
    x_shape = size_of(op, input_size, "input_size", 2)
    if dy.ndim != len(x_shape) or dy.shape[:-2] != x_shape[:-2]:
        raise RuntimeError(
            f"{op}: expected gradient with the batch and channels of the input {list(x_shape)}, "
            f"got gradient of size {list(dy.shape)}"
        )
    check_memory(op, x_shape, dy, "input's gradient")
    return four_dimensional(dy, 2), four(x_shape, 2), turned_back(len(x_shape), 2)


def _of_x(op, x, kernel_size, stride, padding, dilation, ceil_mode):
    x = float_array(op, x, "input")
    check_rank(op, x.shape, "input", 2)
    x4 = four_dimensional(x, 2)
    numbers = _pooling_sizes(op, x4.shape, kernel_size, stride, padding, dilation, ceil_mode)
    check_memory(op, numbers[4:8], x)
    return x4, numbers, turned_back(x.ndim, 2)


def _pooling_sizes(
    op: str,
    x_shape: tuple[int, ...],
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> Numbers:
    images, channels, height, width = x_shape
    kernel_h, kernel_w = pair(kernel_size, "kernel_size", 1)
    default = stride is None or (isinstance(stride, (tuple, list)) and not stride)
    stride_h, stride_w = (kernel_h, kernel_w) if default else pair(stride, "stride", 1)
    pad_h, pad_w = pair(padding, "padding", 0)
    dilation_h, dilation_w = pair(dilation, "dilation", 1)
    if not (channels and height and width):
        raise RuntimeError(f"{op}: an input may be empty in its batch alone, got input of size {list(x_shape)}")
    span_h = dilation_h * (kernel_h - 1) + 1
    span_w = dilation_w * (kernel_w - 1) + 1
    # More padding than half a window would let windows see nothing but padding.
    if 2 * pad_h > span_h or 2 * pad_w > span_w:
        raise ValueError(
            "padding must be at most half of the effective kernel size, got "
            f"padding={padding!r}, kernel_size={kernel_size!r}, dilation={dilation!r}"
        )
    out_h = _pooled_size(height, span_h, stride_h, pad_h, ceil_mode)
    out_w = _pooled_size(width, span_w, stride_w, pad_w, ceil_mode)
    if out_h < 1 or out_w < 1:
        raise RuntimeError(
            f"{op}: window larger than the padded input, output size {out_h} x {out_w} is too small, for input of "
            f"size {list(x_shape)}, kernel_size={kernel_size!r}, padding={padding!r}, dilation={dilation!r}"
        )
    # With ceil_mode, the last window may reach beyond the padding.
    padded_h = max(height + 2 * pad_h, (out_h - 1) * stride_h + span_h)
    padded_w = max(width + 2 * pad_w, (out_w - 1) * stride_w + span_w)
    if padded_h * padded_w > MOST_PADDED:
        raise too_large(op, padded_h, padded_w)
    return (
        *x_shape,
        *(images, channels, out_h, out_w),
        *(kernel_h, kernel_w),
        *steps(out_h, out_w, stride_h, stride_w),
        *(pad_h, pad_w),
        *steps(kernel_h, kernel_w, dilation_h, dilation_w),
    )


def _pooled_size(size: int, span: int, stride: int, pad: int, ceil_mode: bool) -> int:
    room = size + 2 * pad - span
    if not ceil_mode:
        return room // stride + 1
    out = -(-room // stride) + 1
    # The last window has to start inside the image or its padding before it.
    return out - 1 if (out - 1) * stride >= size + pad else out


def _divisor(divisor_override: int | None) -> int:
    """The divisor for the kernels, 0 for the number of pixels."""
    if divisor_override is None:
        return 0
    (divisor,) = integers_of((divisor_override,), "divisor_override", "an integer or None", divisor_override)
    if divisor == 0 or abs(divisor) > LARGEST:
        raise ValueError(f"divisor_override must not be zero, nor beyond 2**60, got {divisor_override!r}")
    return divisor


def take(x: ndarray, indices: ndarray) -> ndarray:
    """The pixels of planes x (..., H, W) at indices (..., P, Q) into a plane."""
    flat = x.reshape(*x.shape[:-2], x.shape[-2] * x.shape[-1])
    where = indices.reshape(*indices.shape[:-2], indices.shape[-2] * indices.shape[-1])
    return np.take_along_axis(flat, where, -1).reshape(indices.shape)
