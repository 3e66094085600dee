"""Activations, normalisation and resizing on arrays: NumPy in, NumPy out, in pairs of forward and backward.

Arrays are what the caller has checked: of one floating dtype and any layout; activations compute float16 in float32.
Backward functions take the gradient of the result first (dy).
"""

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ._native import layer_passes
from ._native.memory import empty

__all__ = [
    "KINDS",
    "activate",
    "activate_backward",
    "loss",
    "loss_backward",
    "normalise",
    "normalise_backward",
    "prelu",
    "prelu_backward",
    "resample",
]

# Their order is that of src_c/activations.h.
KINDS = (
    *("hardtanh", "hardsigmoid", "hardswish", "silu", "mish", "elu", "gelu", "gelu_tanh"),
    *("sigmoid", "tanh", "softplus"),
)


def _dense(x: np.ndarray) -> np.ndarray:
    """x as the kernels want it: native, aligned and in C order."""
    return np.require(x, x.dtype.newbyteorder("="), "CA")


def _element_wise(compute: Callable, *arrays: np.ndarray) -> np.ndarray:
    """``compute(*rows, result)`` on the elements in the order of memory if all arrays have one, else in C order."""
    if arrays[0].dtype.itemsize == 2:
        return _element_wise(compute, *(a.astype(np.float32) for a in arrays)).astype(arrays[0].dtype)
    x = arrays[0]
    y = empty(x.shape, x.dtype) if x.flags.c_contiguous else np.empty_like(x, x.dtype.newbyteorder("="))
    if any(a.strides != y.strides or not a.dtype.isnative or not a.flags.aligned for a in arrays):
        arrays, y = tuple(_dense(a) for a in arrays), empty(x.shape, x.dtype.newbyteorder("="))
    compute(*(a.ravel("K") for a in arrays), y.ravel("K"))
    return y


def activate(kind: str, x: np.ndarray, *parameters: float) -> np.ndarray:
    """The activation of that name with its parameters, as src_c/activations.h tells."""
    number = KINDS.index(kind)
    return _element_wise(lambda x, y: layer_passes.activate(number, x, y, *parameters), x)


def activate_backward(kind: str, dy: np.ndarray, x: np.ndarray, *parameters: float) -> np.ndarray:
    """dx = f'(x) dy; of sigmoid and tanh x is the result y."""
    number = KINDS.index(kind)
    return _element_wise(lambda dy, x, dx: layer_passes.activate_backward(number, dy, x, dx, *parameters), dy, x)


# Their order is that of src_c/losses.h.
_LOSSES = ("squared", "absolute", "smooth_l1", "huber", "logistic")


def loss(kind: str, x: np.ndarray, target: np.ndarray, parameter: float, each: bool) -> np.ndarray:
    """The loss of that name of each prediction x and its target (src_c/losses.h), or their sum in float64."""
    number, x, target = _LOSSES.index(kind), _dense(x), _dense(target)
    if not each:
        return np.asarray(layer_passes.sum_of_losses(number, x, target, parameter))
    y = empty(x.shape, x.dtype)
    layer_passes.each_loss(number, x, target, parameter, y)
    return y


def loss_backward(
    kind: str, dy: np.ndarray, x: np.ndarray, target: np.ndarray, parameter: float, divisor: float
) -> np.ndarray:
    """dx = slope dy / divisor, of losses of each element or, where dy has no dimensions, of their sum."""
    number, x, target = _LOSSES.index(kind), _dense(x), _dense(target)
    dx = empty(x.shape, x.dtype)
    if dy.ndim or not x.ndim:
        layer_passes.loss_backward(number, _dense(dy.astype(x.dtype, copy=False)), x, target, parameter, 1.0, dx)
        return dx if divisor == 1 else dx / divisor
    layer_passes.loss_backward(number, None, x, target, parameter, float(dy) / divisor, dx)
    return dx


def _slopes(x: np.ndarray, w: np.ndarray) -> tuple[tuple[int, int], np.ndarray]:
    """How x divides into planes of one slope, and the slope of each."""
    if w.size == 1:
        return (1, x.size), np.full(1, w.item(), np.float64)
    planes = math.prod(x.shape[:2])
    return (planes, math.prod(x.shape[2:])), np.tile(w.astype(np.float64), x.shape[0])


def prelu(x: np.ndarray, w: np.ndarray) -> np.ndarray:
    """y = x where x > 0, else w x, with one w or one for each channel (axis 1)."""
    if x.dtype.itemsize == 2:
        return prelu(x.astype(np.float32), w).astype(x.dtype)
    shape, slopes = _slopes(x, w)
    y = empty(x.shape, x.dtype)
    layer_passes.prelu(_dense(x).reshape(shape), slopes, y.reshape(shape))
    return y


def prelu_backward(dy: np.ndarray, x: np.ndarray, w: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Gradients of :func:`prelu`: dx and dw."""
    if x.dtype.itemsize == 2:
        dx, dw = prelu_backward(dy.astype(np.float32), x.astype(np.float32), w)
        return dx.astype(x.dtype), dw
    shape, slopes = _slopes(x, w)
    dx, sums = empty(x.shape, x.dtype), np.empty(len(slopes))
    layer_passes.prelu_backward(_dense(dy).reshape(shape), _dense(x).reshape(shape), slopes, dx.reshape(shape), sums)
    return dx, sums.reshape(-1, w.size).sum(axis=0).astype(w.dtype).reshape(w.shape)


# Layer, group and instance norm are one: rows of elements, each normalised by its own mean and variance. Weights are
# for each element of a row (layer norm), or for each run of neighbours, a channel's, in each of the rows of an image.


def normalise(
    x: np.ndarray, rows: int, run: int, w: np.ndarray | None, b: np.ndarray | None, eps: float
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """y = w z + b, where z = (x - mean) * inverse_std for each of so many rows of x.

    Parameters
    ----------
    x : array
        In C order its elements are those of `rows` rows.
    rows : int
    run : int
        For how many neighbours each number of w and b is.
    w, b : arrays or None
        As many numbers as one or several rows have runs.
    eps : float
        ``inverse_std = 1 / sqrt(variance + eps)``

    Returns
    -------
    y, mean, inverse_std
        The latter (rows,) arrays of float64.
    """
    source, y = _dense(x), empty(x.shape, x.dtype.newbyteorder("="))
    mean, inverse_std = np.zeros(rows), np.zeros(rows)
    w, b = (None if a is None else _dense(a).ravel() for a in (w, b))
    if x.size:
        shape = rows, x.size // rows
        layer_passes.normalise(
            source.reshape(shape),
            run,
            _period(w if b is None else b, shape, run),
            w,
            b,
            eps,
            y.reshape(shape),
            mean,
            inverse_std,
        )
    return y, mean, inverse_std


def _period(weights: np.ndarray | None, shape: tuple[int, int], run: int) -> int:
    """Of how many rows the weights are."""
    return 1 if weights is None else weights.size * run // shape[1]


def normalise_backward(
    dy: np.ndarray,
    x: np.ndarray,
    run: int,
    w: np.ndarray | None,
    weights: int,
    mean: np.ndarray,
    inverse_std: np.ndarray,
    need_dx: bool,
) -> tuple[np.ndarray | None, np.ndarray, np.ndarray]:
    """Gradients of :func:`normalise` with so many weights: dx, dw and db.

    ``dx = inverse_std * (w dy - mean of w dy - z * mean of w dy z)``, with means over the row; `dw` is the sum of
    ``dy z`` and `db` that of dy.
    """
    x, dy = _dense(x), _dense(dy)
    dx = empty(x.shape, x.dtype) if need_dx else None
    if not x.size:
        return dx, np.zeros(weights, x.dtype), np.zeros(weights, x.dtype)
    shape = len(mean), x.size // len(mean)
    period = weights * run // shape[1]
    sums = np.empty((layer_passes.tasks_of(*shape, run, period), 2, weights))
    w = None if w is None else _dense(w).ravel()
    layer_passes.normalise_backward(
        dy.reshape(shape),
        x.reshape(shape),
        run,
        period,
        w,
        mean,
        inverse_std,
        None if dx is None else dx.reshape(shape),
        sums,
    )
    dw, db = sums.sum(axis=0).astype(x.dtype)
    return dx, dw, db


def resample(x: np.ndarray, rows: tuple[Any, ...] | None, cols: tuple[Any, ...] | None) -> np.ndarray:
    """Planes (n, H, W) in another size, by the taps of its rows and columns: see ``_native/layer_passes.pyx``.

    Each is a pair of arrays (taps, length of the result), the places of inputs and their weights, or None where that
    dimension stays as it is.
    """
    tables = [
        None if taps is None else (np.ascontiguousarray(taps[0], np.int32), np.ascontiguousarray(taps[1], x.dtype))
        for taps in (rows, cols)
    ]
    size = [n if taps is None else taps[0].shape[1] for n, taps in zip(x.shape[1:], tables, strict=True)]
    y = empty((x.shape[0], *size), x.dtype)
    layer_passes.resample(_dense(x), *tables, y)
    return y
