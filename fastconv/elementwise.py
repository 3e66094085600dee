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
from .dtypes import bfloat16, convert, float32

__all__ = [
    "add",
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
    "track",
    "weighted_cross_entropy",
    "wide",
]


def sigmoid(x: np.ndarray) -> np.ndarray:
    """1 / (1 + exp(-x))."""
    return layer_passes.activate("sigmoid", x)


def _around(x: np.ndarray, axis: int) -> tuple[int, int, int]:
    """x's size as (outer, n, inner) around an axis; an array without dimensions is a row of one."""
    if not x.ndim:
        return 1, 1, 1
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
    # Where nothing counts the loss is NaN, but its gradient 0.
    return target, _divisor(flat, weight, reduction) if counted.any() else 1.0


def _dense(x: np.ndarray) -> np.ndarray:
    """x as the kernels want it: native, aligned and in C order."""
    return np.require(x, x.dtype.newbyteorder("="), "CA")


def wide(x: np.ndarray) -> np.ndarray:
    """x as it is computed with: floats of 16 bits in float32."""
    return convert(x, float32) if x.itemsize == 2 and x.dtype.kind in "fV" else x


def track(running: np.ndarray | None, batch: np.ndarray, momentum: float) -> None:
    """``running = (1 - momentum) * running + momentum * batch``, in place."""
    if running is None:
        return
    if running.itemsize == 2 and running.dtype.kind == "V":
        running[...] = convert(wide(running) * np.float32(1 - momentum) + momentum * batch, bfloat16)
    else:
        running *= 1 - momentum
        running += (momentum * batch).astype(running.dtype)
