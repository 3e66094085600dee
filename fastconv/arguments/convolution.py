"""Convolutions, forward and transposed, of one or two dimensions."""

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy import ndarray

from .arrays import (
    MOST_PADDED,
    Size,
    bias,
    by,
    check_gradient,
    check_memory,
    check_rank,
    float_array,
    float_arrays,
    four,
    four_dimensional,
    listed,
    pair,
    positive,
    size_of,
    steps,
    too_large,
    turned_back,
)

__all__ = ["Numbers", "of_b", "of_w", "of_x", "of_y", "sizes"]

# Sizes of x, w and y, strides, top and left padding, dilations and groups. What 'same' pads right and below follows
# from the sizes.
Numbers = tuple[int, ...]


def of_y(
    op: str,
    x: ndarray,
    w: ndarray,
    b: ndarray | None,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
    output_padding: Size,
) -> tuple[ndarray, ndarray, ndarray | None, Numbers, tuple[Any, ...] | None]:
    """For the layer of that name, as "conv2d": x, w and b; all sizes and parameters; the index that turns y back."""
    dims = _dims(op)
    given = x
    x, w = float_arrays(op, x, "input", w, "weight")
    check_rank(op, x.shape, "input", dims)
    _check_weight(op, w.shape, dims)
    x4, w4 = four_dimensional(x, dims), four_dimensional(w, dims)
    numbers = _numbers(op, dims, x4.shape, w4.shape, stride, padding, dilation, groups, output_padding)
    if b is not None:
        b = bias(op, b, given, numbers[9], w.shape)
    check_memory(op, numbers[8:12], x)
    return x4, w4, b, numbers, turned_back(x.ndim, dims)


def of_x(
    layer: str,
    input_size: Sequence[int],
    w: ndarray,
    dy: ndarray,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
    output_padding: Size,
) -> tuple[ndarray, ndarray, Numbers, tuple[Any, ...] | None]:
    """For the gradient of its input: w and dy; all sizes and parameters; the index that turns dx back."""
    dims, op = _dims(layer), f"{layer}_input"
    dy, w = float_arrays(op, dy, "gradient", w, "weight")
    x_shape = size_of(op, input_size, "input_size", dims)
    _check_weight(op, w.shape, dims)
    x4_shape, w4 = four(x_shape, dims), four_dimensional(w, dims)
    numbers = _numbers(op, dims, x4_shape, w4.shape, stride, padding, dilation, groups, output_padding)
    dy4 = check_gradient(op, dy, numbers[8:12], dims, x_shape, w.shape, (stride, padding, dilation))
    check_memory(op, x4_shape, dy, "input's gradient")
    return w4, dy4, numbers, turned_back(len(x_shape), dims)


def of_w(
    layer: str,
    x: ndarray,
    weight_size: Sequence[int],
    dy: ndarray,
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
    output_padding: Size,
) -> tuple[ndarray, ndarray, Numbers, tuple[Any, ...] | None]:
    """For the gradient of its filters: x and dy; all sizes and parameters; the index that turns dw back."""
    dims, op = _dims(layer), f"{layer}_weight"
    x, dy = float_arrays(op, x, "input", dy, "gradient")
    check_rank(op, x.shape, "input", dims)
    w_shape = size_of(op, weight_size, "weight_size", dims)
    _check_weight(op, w_shape, dims)
    x4, w4_shape = four_dimensional(x, dims), four(w_shape, dims)
    numbers = _numbers(op, dims, x4.shape, w4_shape, stride, padding, dilation, groups, output_padding)
    dy4 = check_gradient(op, dy, numbers[8:12], dims, x.shape, w_shape, (stride, padding, dilation))
    check_memory(op, w4_shape, x, "weight's gradient")
    return x4, dy4, numbers, turned_back(dims + 2, dims)


def of_b(dy: ndarray, dims: int) -> ndarray:
    """For the gradient of a bias: dy, dense and in four dimensions."""
    if type(dims) is not int or dims not in (1, 2):
        raise ValueError(f"bias_gradient: dims must be 1 or 2, got {dims!r}")
    dy = float_array("bias_gradient", dy, "gradient")
    check_rank("bias_gradient", dy.shape, "gradient", dims)
    return np.ascontiguousarray(four_dimensional(dy, dims))


def sizes(
    op: str, x: tuple[int, ...], w: tuple[int, ...], stride: Size, padding: Size | str, dilation: Size, groups: int
) -> Numbers:
    """All sizes and parameters of a convolution, given those of x and w in four dimensions."""
    _check_weight(op, w, 2)
    return _numbers(op, 2, x, w, stride, padding, dilation, groups, 0)


def _dims(layer: str) -> int:
    return 1 if "1d" in layer else 2


def _check_weight(op: str, shape: tuple[int, ...], dims: int) -> None:
    if len(shape) != dims + 2:
        raise RuntimeError(
            f"{op}: expected {dims + 2}-D weight (filters, channels per group, kernel...), "
            f"got {len(shape)}-D weight of size {list(shape)}"
        )


def _numbers(op, dims, x, w, stride, padding, dilation, groups, output_padding) -> Numbers:
    if "transpose" in op:
        y, parameters = _transposed_sizes(op, x, w, stride, padding, output_padding, groups, dilation)
    else:
        y, parameters = _convolution_sizes(op, dims, x, w, stride, padding, dilation, groups)
    return (*x, *w, *y, *parameters)


def _convolution_sizes(
    op: str,
    dims: int,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int, int, int, int]]:
    """Check that filters of 4-D shape `w_shape` fit images of 4-D shape `x_shape`.

    Returns the 4-D shape of the output and the seven integers that the kernels take: stride, top and left padding,
    dilation, groups.
    """
    images, channels, height, width = x_shape
    filters, channels_per_group, kernel_h, kernel_w = w_shape
    groups = positive(groups, "groups")
    if channels != channels_per_group * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {listed(w_shape, dims)}, expected input{listed(x_shape, dims)} "
            f"to have {channels_per_group * groups} channels, but got {channels} channels instead"
        )
    if filters % groups or not filters:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least 1 and divisible by {groups} at dimension 0, "
            f"but got weight of size {listed(w_shape, dims)} instead"
        )
    if not (kernel_h and kernel_w):
        raise RuntimeError(f"{op}: empty kernel, got weight of size {listed(w_shape, dims)}")
    stride_h, stride_w = pair(stride, "stride", 1, dims)
    dilation_h, dilation_w = pair(dilation, "dilation", 1, dims)
    # What a dilated kernel covers.
    span_h = dilation_h * (kernel_h - 1) + 1
    span_w = dilation_w * (kernel_w - 1) + 1
    if not isinstance(padding, str):
        top, left = pair(padding, "padding", 0, dims)
        padded_h, padded_w = height + 2 * top, width + 2 * left
    elif padding == "same":
        if stride_h != 1 or stride_w != 1:
            raise ValueError(f"padding='same' needs stride 1, got stride={stride!r}")
        # An even span leaves one more row to the bottom, one more column to the right.
        top, left = (span_h - 1) // 2, (span_w - 1) // 2
        padded_h, padded_w = height + span_h - 1, width + span_w - 1
    elif padding == "valid":
        top = left = 0
        padded_h, padded_w = height, width
    else:
        raise ValueError(f"padding must be an integer, a pair of them, 'same' or 'valid', got {padding!r}")
    if padded_h < span_h or padded_w < span_w:
        raise RuntimeError(
            f"{op}: kernel larger than the padded input: padded input per channel {by(padded_h, padded_w, dims)}, "
            f"kernel {by(span_h, span_w, dims)} (weight of size {listed(w_shape, dims)}, input of size "
            f"{listed(x_shape, dims)}, padding={padding!r}, dilation={dilation!r})"
        )
    if not (height and width) and images and channels:
        raise RuntimeError(
            f"{op}: an input may be empty in batch or channels alone, got input of size {listed(x_shape, dims)}"
        )
    if padded_h * padded_w > MOST_PADDED:
        raise too_large(op, padded_h, padded_w, dims)
    out_h, out_w = (padded_h - span_h) // stride_h + 1, (padded_w - span_w) // stride_w + 1
    return (images, filters, out_h, out_w), (
        *steps(out_h, out_w, stride_h, stride_w),
        top,
        left,
        *steps(kernel_h, kernel_w, dilation_h, dilation_w),
        groups,
    )


def _transposed_sizes(op, x_shape, w_shape, stride, padding, output_padding, groups, dilation):
    """The shape of the output of a transposed convolution, and the seven integers that the kernels take."""
    images, channels, height, width = x_shape
    groups = positive(groups, "groups")
    if channels != w_shape[0]:
        raise RuntimeError(
            f"Given transposed=1, weight of size {list(w_shape)}, expected input{list(x_shape)} "
            f"to have {w_shape[0]} channels, but got {channels} channels instead"
        )
    if channels % groups or not channels:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least 1 and divisible by {groups} at dimension 0, "
            f"but got weight of size {list(w_shape)} instead"
        )
    if not (w_shape[2] and w_shape[3]):
        raise RuntimeError(f"{op}: empty kernel, got weight of size {list(w_shape)}")
    if not (height and width) and images:
        raise RuntimeError(f"{op}: an input may be empty in its batch alone, got input of size {list(x_shape)}")
    stride_h, stride_w = pair(stride, "stride", 1)
    top, left = pair(padding, "padding", 0)
    extra_h, extra_w = pair(output_padding, "output_padding", 0)
    dilation_h, dilation_w = pair(dilation, "dilation", 1)
    if extra_h >= max(stride_h, dilation_h) or extra_w >= max(stride_w, dilation_w):
        raise ValueError(
            "output_padding must be smaller than either stride or dilation, got "
            f"output_padding={output_padding!r}, stride={stride!r}, dilation={dilation!r}"
        )
    out_h = (height - 1) * stride_h - 2 * top + dilation_h * (w_shape[2] - 1) + extra_h + 1
    out_w = (width - 1) * stride_w - 2 * left + dilation_w * (w_shape[3] - 1) + extra_w + 1
    if out_h < 1 or out_w < 1:
        raise RuntimeError(
            f"{op}: output size {out_h} x {out_w} is too small, for input of size {list(x_shape)}, "
            f"weight of size {list(w_shape)}, stride={stride!r}, padding={padding!r}, dilation={dilation!r}"
        )
    if (out_h + 2 * top) * (out_w + 2 * left) > MOST_PADDED:
        raise too_large(op, out_h + 2 * top, out_w + 2 * left)
    return (images, w_shape[1] * groups, out_h, out_w), (
        *steps(height, width, stride_h, stride_w),
        top,
        left,
        *steps(w_shape[2], w_shape[3], dilation_h, dilation_w),
        groups,
    )
