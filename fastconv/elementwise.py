"""Element-wise layers, losses and update rules: NumPy in, NumPy out, in pairs of forward and backward.

Arrays are what the caller has checked: float32 or float64. Backward functions take the gradient of the
result first (dy) and then what the forward pass left for them.
"""

import math

import numpy as np

from ._native import passes
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
    "sigmoid",
    "softmax",
    "softmax_backward",
    "targets",
    "weighted_cross_entropy",
]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x)), by the exponential of -|x| so that nothing overflows."""
    e = np.exp(-np.abs(x))
    return np.where(x >= 0, 1, e).astype(e.dtype, copy=False) / (1 + e)


def log_softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """x - log(sum(exp(x))) along an axis; the largest element is subtracted first."""
    if not x.shape[axis]:
        return x.copy()
    y = x - np.max(x, axis=axis, keepdims=True)
    y -= np.log(np.sum(np.exp(y), axis=axis, keepdims=True))
    return y


def log_softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """dx = dy - softmax * sum(dy)."""
    dx = np.exp(y)
    dx *= -np.sum(dy, axis=axis, keepdims=True)
    dx += dy
    return dx


def softmax(x: np.ndarray, axis: int) -> np.ndarray:
    """exp(x) / sum(exp(x)) along an axis."""
    y = x - np.max(x, axis=axis, keepdims=True, initial=-np.inf)
    np.exp(y, out=y)
    y /= np.sum(y, axis=axis, keepdims=True)
    return y


def softmax_backward(dy: np.ndarray, y: np.ndarray, axis: int) -> np.ndarray:
    """dx = y * (dy - sum(dy * y))."""
    dx = dy * y
    total = np.sum(dx, axis=axis, keepdims=True)
    dx -= y * total
    return dx


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


def _planes(x: np.ndarray, last: bool) -> np.ndarray:
    """x (N, C, ...) as the kernels want it: dense (N, C, pixels), or with channels last."""
    if last:
        x = np.moveaxis(x, 1, -1)
    x = np.require(x, x.dtype.newbyteorder("="), "CA")
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
    """Whether channels have one pixel: NumPy is the faster one then, for the kernels pass over planes."""
    return x.ndim > 1 and math.prod(x.shape[2:]) == 1


def _column_sums(x: np.ndarray) -> np.ndarray:
    return np.add.reduce(x, axis=0, dtype=np.float64)


def _row(values: np.ndarray, x: np.ndarray) -> np.ndarray:
    """Numbers of channels, in x's dtype, as they broadcast with x."""
    return np.asarray(values).astype(x.dtype, copy=False).reshape(-1, *(1,) * (x.ndim - 2))


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
        n = max(len(x), 1)
        shift = (_column_sums(x) / n).astype(x.dtype)
        d = x - shift
        offset = _column_sums(d) / n
        variance = np.maximum(_column_sums(d * d) / n - offset * offset, 0)
        return shift.reshape(-1), offset.reshape(-1), variance.reshape(-1)
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
    if _is_matrix(x):
        rest = _row((0 if bias is None else bias) - offset * scale, x)
        return (x - _row(shift, x)) * _row(scale, x) + rest
    last = _is_last(x)
    y = _new(x.shape, x.dtype, last)
    rest = (0 if bias is None else bias) - offset * scale
    passes.affine(_planes(x, last), _planes(y, last), _channel_values(shift, channels), scale, rest)
    return y


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
    if is_matrix := _is_matrix(x):
        d = x - _row(shift, x)
        db[:], dw[:] = _column_sums(dy).reshape(-1), _column_sums(dy * d).reshape(-1)
    else:
        last = _is_last(x)
        x3, dy3 = _planes(x, last), _planes(dy, last)
        passes.channel_dots(dy3, x3, by, db, dw)
    dw = (dw - offset * db) * inverse_std
    dx = None
    if need_dx:
        scale = _channel_values(inverse_std if weight is None else inverse_std * weight, channels)
        slope = -scale * inverse_std * dw / n if batch_statistics else np.zeros(channels)
        rest = -scale * db / n - slope * offset if batch_statistics else np.zeros(channels)
        if is_matrix:
            dx = dy * _row(scale, x) + (d * _row(slope, x) + _row(rest, x))
            return dx, dw.astype(x.dtype), db.astype(x.dtype)
        dx = _new(x.shape, x.dtype, last)
        passes.affine_pair(dy3, x3, _planes(dx, last), by, scale, slope, rest)
    return dx, dw.astype(x.dtype), db.astype(x.dtype)
