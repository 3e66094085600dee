"""Element-wise layers, losses and update rules: NumPy in, NumPy out, in pairs of forward and backward.

Arrays are what the caller has checked: float32 or float64. Backward functions take the gradient of the
result first (dy) and then what the forward pass left for them.
"""

import math
from typing import Any

import numpy as np

from . import layer_passes
from ._native import axes, passes
from ._native.layers.pointwise import add, relu, relu_backward
from ._native.memory import empty
from .arguments.loss import IGNORED

__all__ = [
    "add",
    "batch_norm",
    "batch_norm_backward",
    "batch_norm_statistics",
    "log_softmax",
    "log_softmax_backward",
    "relu",
    "relu_backward",
    "scaled_planes",
    "sigmoid",
    "softmax",
    "softmax_backward",
    "targets",
    "total",
    "weighted_cross_entropy",
]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return layer_passes.activate("sigmoid", x)


def _around(x: np.ndarray, axis: int) -> tuple[int, int, int]:
    """x's size as (outer, n, inner) around an axis."""
    axis %= x.ndim
    return math.prod(x.shape[:axis]), x.shape[axis], math.prod(x.shape[axis + 1 :])


def _softmax(x: np.ndarray, axis: int, logarithm: bool) -> np.ndarray:
    if not x.size:
        return x.copy()
    shape, y = _around(x, axis), empty(x.shape, x.dtype.newbyteorder("="))
    axes.softmax_axis(_dense(x).reshape(shape), y.reshape(shape), logarithm)
    return y


def _softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int, logarithm: bool) -> np.ndarray:
    if not y.size:
        return y.copy()
    shape, dx = _around(y, axis), empty(y.shape, y.dtype)
    dy = _dense(dy.astype(y.dtype, copy=False))
    axes.softmax_axis_backward(dy.reshape(shape), _dense(y).reshape(shape), dx.reshape(shape), logarithm)
    return dx


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """x - log(sum(exp(x))) along an axis; the largest element is subtracted first."""
    return _softmax(x, axis, True)


def log_softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """dx = dy - softmax * sum(dy)."""
    return _softmax_backward(dy, y, axis, True)


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """exp(x) / sum(exp(x)) along an axis."""
    return _softmax(x, axis, False)


def softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """dx = y * (dy - sum(dy * y))."""
    return _softmax_backward(dy, y, axis, False)


def total(x: np.ndarray, axis: int | tuple[int, ...] | None, keepdims: bool, dtype: np.dtype) -> np.ndarray:
    """The sum over some axes, added up in float64 over short runs, in x's dtype or float64."""
    order = np.argsort([-s for s in x.strides], kind="stable") if not x.flags.c_contiguous else range(x.ndim)
    lines = x if x.flags.c_contiguous else x.transpose(tuple(order))
    if x.size < 2048 or x.dtype.itemsize < 4 or not lines.flags.c_contiguous or not x.dtype.isnative:
        return np.asarray(np.add.reduce(x, axis, np.float64, keepdims=keepdims)).astype(dtype, copy=False)
    gone = [axis is None or d in np.atleast_1d(axis) % x.ndim for d in range(x.ndim)]
    # Neighbouring axes are one, if both are summed over or both are kept.
    runs: list[list[Any]] = []
    for d in order:
        if runs and runs[-1][0] == gone[d]:
            runs[-1][1] *= x.shape[d]
        else:
            runs.append([gone[d], x.shape[d]])
    sizes = [n for _, n in runs]
    for i in reversed([i for i, (summed, _) in enumerate(runs) if summed]):
        shape = math.prod(sizes[:i]), sizes[i], math.prod(sizes[i + 1 :])
        sizes[i] = 1
        last = not any(summed for summed, _ in runs[:i])
        y = np.empty((shape[0], shape[2]), dtype if last and lines.dtype == dtype else np.float64)
        axes.sum_axis(lines.reshape(shape), y)
        lines = y
    kept = [1 if gone[d] else x.shape[d] for d in order]
    y = lines.reshape(kept).transpose(tuple(np.argsort(order))).astype(dtype, copy=False)
    return y if keepdims else y.reshape([n for n, summed in zip(x.shape, gone, strict=True) if not summed])


def scaled_planes(x: np.ndarray, scale: np.ndarray) -> np.ndarray | None:
    """x times a number for each channel of each image, (N, C, 1, 1); None where that is not what the arrays are."""
    planes = math.prod(x.shape[:2])
    if not (
        x.ndim == scale.ndim > 2
        and scale.shape == x.shape[:2] + (1,) * (x.ndim - 2)
        and x.dtype == scale.dtype
        and x.dtype in (np.float32, np.float64)
        and x.flags.c_contiguous
        and x.size > planes
    ):
        return None
    y, none = empty(x.shape, x.dtype), np.zeros(planes)
    shape = 1, planes, x.size // planes
    passes.affine(x.reshape(shape), y.reshape(shape), none, scale.ravel().astype(np.float64), none)
    return y


def weighted_cross_entropy(
    rows: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    reduction: str,
    label_smoothing: float,
    shape: tuple[int, ...],
) -> np.ndarray:
    """``(1 - e) w[t] * -log p[t] + e / C * sum_c w[c] * -log p[c]`` of each row, e the smoothing, 0 of ignored ones.

    They are reduced, or returned in that shape.
    """
    counted = labels != IGNORED
    classes = np.where(counted, labels, 0)
    log_p = log_softmax(rows, 1)
    loss = -log_p[np.arange(len(rows)), classes]
    if weight is not None:
        loss *= weight[classes]
    if label_smoothing:
        smooth = log_p.sum(axis=1) if weight is None else log_p @ weight
        loss *= 1 - label_smoothing
        loss -= smooth * (label_smoothing / rows.shape[1])
    loss[~counted] = 0
    if reduction == "none":
        return loss.reshape(shape)
    divisor = _divisor(labels, weight, reduction)
    # Where nothing counts the mean is NaN, as 0 / 0 is, even if the smoothed part of the loss is not 0.
    return np.asarray(loss.sum(dtype=np.float64) / divisor if divisor else np.nan, rows.dtype)


def _divisor(labels: np.ndarray, weight: np.ndarray | None, reduction: str) -> float:
    """What the sum of the losses is divided by: for the mean, the sum of the weights of those that count.

    A Python number, which leaves a float32 gradient what it is.
    """
    if reduction != "mean":
        return 1.0
    counted = labels[labels != IGNORED]
    return float(len(counted) if weight is None else weight[counted].sum(dtype=np.float64))


def targets(
    x: np.ndarray,
    labels: np.ndarray,
    weight: np.ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[np.ndarray, float]:
    """w[c] t[c] for every class, an array of x's shape with 0 for what is ignored; and the divisor of the loss.

    With them ``dx = (softmax(x) sum_c w[c] t[c] - w[c] t[c]) / divisor``.
    """
    dim = 0 if x.ndim == 1 else 1
    counted = labels != ignore_index
    flat = np.where(counted, labels, IGNORED).reshape(-1)
    classes = np.expand_dims(np.where(counted, labels, 0).astype(np.int64), dim)
    target = np.full(x.shape, label_smoothing / x.shape[dim] if x.shape[dim] else 0, x.dtype)
    certain = np.take_along_axis(target, classes, dim) + (1 - label_smoothing)
    np.put_along_axis(target, classes, certain, dim)
    if weight is not None:
        target *= weight.reshape((-1,) + (1,) * (x.ndim - dim - 1))
    target *= np.expand_dims(counted, dim)
    return target, _divisor(flat, weight, reduction)


def _dense(x: np.ndarray) -> np.ndarray:
    """x as the kernels want it: native, aligned and in C order."""
    return np.require(x, x.dtype.newbyteorder("="), "CA")


def _planes(x: np.ndarray, last: bool) -> np.ndarray:
    """x (N, C, ...) as the kernels want it: dense (N, C, pixels), or with channels last."""
    if last:
        x = np.moveaxis(x, 1, -1)
    x = _dense(x)
    size = math.prod(x.shape[1:-1] if last else x.shape[2:])
    return x.reshape(len(x), size, -1).swapaxes(1, 2) if last else x.reshape(*x.shape[:2], size)


def _is_last(x: np.ndarray) -> bool:
    """Whether the channels of x (N, C, ...) are neighbours in memory, and in no other order it is dense."""
    return x.size > 0 and np.moveaxis(x, 1, -1).flags.c_contiguous and not x.flags.c_contiguous


def _new(shape: tuple[int, ...], dtype: np.dtype, last: bool) -> np.ndarray:
    """Memory for a result (N, C, ...), in C order or with channels last."""
    return np.moveaxis(empty((shape[0], *shape[2:], shape[1]), dtype), -1, 1) if last else empty(shape, dtype)


def _channel_values(values: np.ndarray | float, channels: int) -> np.ndarray:
    return np.ascontiguousarray(np.broadcast_to(np.asarray(values, np.float64), (channels,)))


def _is_matrix(x: np.ndarray) -> bool:
    """Whether channels have one pixel in each of several images."""
    return len(x) > 1 and math.prod(x.shape[2:]) == 1


def _as_image(x: np.ndarray) -> np.ndarray:
    """Such a matrix (N, C) as one image of N pixels with channels last."""
    return _dense(x.reshape(x.shape[:2])).T[None]


def batch_norm_statistics(x: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Mean and biased variance of each channel (axis 1).

    The variance is that of x less nearly its mean, corrected for what that lacks, so that neither a mean far from
    zero nor a small variance loses digits.

    Returns
    -------
    shift, offset, variance : (C,) arrays of x's dtype, float64 and float64
        The mean is shift + offset, where shift is exact in x's dtype.
    """
    if _is_matrix(x):
        x = _as_image(x)
    shift, offset, variance = (np.empty(x.shape[1]) for _ in range(3))
    passes.channel_statistics(_planes(x, _is_last(x)), shift, offset, variance)
    return shift.astype(x.dtype), offset, variance


def batch_norm(
    x: np.ndarray,
    shift: np.ndarray,
    offset: np.ndarray,
    inverse_std: np.ndarray,
    weight: np.ndarray | None,
    bias: np.ndarray | None,
) -> np.ndarray:
    """y = weight * (x - shift - offset) * inverse_std + bias, per channel (axis 1)."""
    channels = x.shape[1]
    scale = _channel_values(inverse_std if weight is None else inverse_std * weight, channels)
    shape = x.shape
    if _is_matrix(x):
        x = _as_image(x)
    last = _is_last(x)
    y = _new(x.shape, x.dtype, last)
    rest = (0 if bias is None else bias) - offset * scale
    passes.affine(_planes(x, last), _planes(y, last), _channel_values(shift, channels), scale, rest)
    return y if y.shape == shape else y[0].T.reshape(shape)


def batch_norm_backward(
    dy: np.ndarray,
    x: np.ndarray,
    shift: np.ndarray,
    offset: np.ndarray,
    inverse_std: np.ndarray,
    weight: np.ndarray | None,
    batch_statistics: bool,
    need_dx: bool,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Gradients of :func:`batch_norm`.

    With n elements per channel and z the normalised x::

        dbias = sum dy,    dweight = sum dy z,
        dx = weight * inverse_std * (dy - (dbias + z * dweight) / n)

    where the mean and variance are the batch's own; else ``dx = weight * inverse_std * dy``.

    Returns
    -------
    dx, dweight, dbias
    """
    channels = x.shape[1]
    n = max(x.size // channels, 1) if channels else 1
    db, dw = np.empty(channels), np.empty(channels)
    by = _channel_values(shift, channels)
    shape = x.shape
    if _is_matrix(x):
        x, dy = _as_image(x), _as_image(dy)
    last = _is_last(x)
    x3, dy3 = _planes(x, last), _planes(dy, last)
    passes.channel_dots(dy3, x3, by, db, dw)
    dw = (dw - offset * db) * inverse_std
    dx = None
    if need_dx:
        scale = _channel_values(inverse_std if weight is None else inverse_std * weight, channels)
        slope = -scale * inverse_std * dw / n if batch_statistics else np.zeros(channels)
        rest = -scale * db / n - slope * offset if batch_statistics else np.zeros(channels)
        dx = _new(x.shape, x.dtype, last)
        passes.affine_pair(dy3, x3, _planes(dx, last), by, scale, slope, rest)
        dx = dx if dx.shape == shape else dx[0].T.reshape(shape)
    return dx, dw.astype(x.dtype), db.astype(x.dtype)
