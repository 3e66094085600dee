"""Reductions: one number of many along dimensions."""

import math
from typing import Any

import numpy as np

from .. import elementwise
from .._native.tape import TensorBase, apply, differentiable_twice
from .arithmetic import abs
from .products import (
    dim_of,
    dims_of,
    plain,
    selected,
    sign_of,
    spread,
    sum_of_floats,
    summed,
)

__all__ = [
    "among_ties",
    "max",
    "mean",
    "norm",
    "put_along",
    "std",
    "take_along",
    "var",
]


def _count(shape: tuple[int, ...], dim) -> int:
    """Number of elements that a reduction over `dim` takes together."""
    return math.prod(shape[d] for d in dims_of(len(shape), dim))


@differentiable_twice
def mean(needs, x, dim, keepdim):
    shape, dim = x.shape, dim_of(x, dim)
    n = _count(shape, dim)
    y = (elementwise.total(x, dim, keepdim, np.dtype(np.float64)) / np.float64(n)).astype(x.dtype)
    return y, lambda dy: (spread(dy / n if n else dy, shape, dim),), ()


def _moments(x: np.ndarray, dim, keepdim: bool, correction: float) -> np.ndarray:
    return np.var(x, axis=dim, ddof=correction, keepdims=keepdim, dtype=np.float64).astype(x.dtype)


def _deviations(dy, x, dim, n: int, correction: float, whole: bool):
    """The gradient of a variance: 2 dy (x - mean) / (n - correction).

    Of a `whole` array without degrees of freedom it is infinite, as torch's is, and NaN at the mean.
    """
    if isinstance(x, TensorBase):
        centred = x - spread(summed(x, dim, True) / n, x.shape, dim)
    else:
        centred = x - np.mean(x, axis=dim, keepdims=True, dtype=np.float64).astype(x.dtype)
    if whole and n <= correction:
        return spread(dy, x.shape, dim) * np.where(plain(centred) == 0, np.nan, np.inf).astype(x.dtype)
    return spread(dy * (2 / (n - correction) if n != correction else np.inf), x.shape, dim) * centred


@differentiable_twice
def var(needs, x, dim, keepdim, correction):
    whole = dim is None or not x.ndim
    dim = dim_of(x, dim)
    n = _count(x.shape, dim)
    return _moments(x, dim, keepdim, correction), lambda dy, x: (_deviations(dy, x, dim, n, correction, whole),), (x,)


@differentiable_twice
def std(needs, x, dim, keepdim, correction):
    """The square root of the variance; where it is 0, of its many subgradients the zero."""
    whole = dim is None or not x.ndim
    dim = dim_of(x, dim)
    n = _count(x.shape, dim)

    def vjp(dy, x, y):
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = selected(plain(y) != 0, dy / (2 * y))
        return (_deviations(slope, x, dim, n, correction, whole),)

    y = np.sqrt(_moments(x, dim, keepdim, correction))
    return y, vjp, (x, y)


def among_ties(dy: Any, ties: np.ndarray, dim: Any) -> Any:
    """dy for elements that equal their extremum, in equal shares, else 0."""
    return selected(ties, dy * (1 / np.maximum(ties.sum(axis=dim, keepdims=True), 1)).astype(dy.dtype))


@differentiable_twice
def max(needs, x, dim, keepdim, sign):
    """The largest (sign 1) or the smallest (sign -1) element, and without a `dim` the gradient goes to all ties."""
    if dim is None:
        y = x.max() if sign > 0 else x.min()

        def vjp_all(dy, x, y):
            x, y = plain(x), plain(y)
            return (among_ties(dy, x == y if y == y else np.isnan(x), None),)

        return y, vjp_all, (x, np.asarray(y))
    shape = x.shape
    if not shape:
        return x.copy(), lambda dy: (dy,), (), np.zeros((), np.int64)
    indices = np.expand_dims(np.argmax(x, axis=dim) if sign > 0 else np.argmin(x, axis=dim), dim)
    y = np.take_along_axis(x, indices, axis=dim)
    kept = y.shape

    def vjp(dy, indices):
        return (_put_along(dy.reshape(kept), indices, shape, dim),)

    return (y, vjp, (indices,), indices) if keepdim else (y.squeeze(dim), vjp, (indices,), indices.squeeze(dim))


def _put_along(dy, indices: np.ndarray, shape: tuple[int, ...], dim: int):
    if isinstance(dy, TensorBase):
        return apply(put_along, dy, indices=indices, shape=shape, dim=dim)
    dx = np.zeros(shape, dy.dtype)
    np.put_along_axis(dx, indices, dy, axis=dim)
    return dx


@differentiable_twice
def put_along(needs, x, indices, shape, dim):
    """Zeros with x at the indices along a dimension."""

    def vjp(dy, indices):
        return (apply(take_along, dy, indices=indices, dim=dim),)

    return _put_along(x, indices, shape, dim), vjp, (indices,)


@differentiable_twice
def take_along(needs, x, indices, dim):
    """The elements at the indices along a dimension, no two of which are equal there."""
    shape = x.shape

    def vjp(dy, indices):
        return (_put_along(dy, indices, shape, dim),)

    return np.take_along_axis(x, indices, axis=dim), vjp, (indices,)


@differentiable_twice
def norm(needs, x, p, dim, keepdim):
    """(sum |x|^p)^(1/p); where it is 0, of its many subgradients the zero."""
    dim = dim_of(x, dim)
    if p == 2:
        y = np.sqrt(sum_of_floats(np.square(x), dim, keepdim))
    elif np.isinf(p):
        y = (np.max if p > 0 else np.min)(np.abs(x), axis=dim, keepdims=keepdim)
    elif p == 0:
        y = np.count_nonzero(x, axis=dim, keepdims=keepdim)
        return np.asarray(y, x.dtype), lambda dy: (None,), ()
    elif p == 1:
        y = sum_of_floats(np.abs(x), dim, keepdim)
    else:
        y = sum_of_floats(np.abs(x) ** p, dim, keepdim) ** (1 / p)
    y = np.asarray(y)

    def vjp(dy, x, y):
        dy = spread(dy, x.shape, dim)
        if p == 1:
            return (dy * sign_of(x),)
        y = spread(y, x.shape, dim)
        if np.isinf(p):
            size, largest = np.abs(plain(x)), plain(y)
            ties = (size == largest) | (np.isnan(size) & np.isnan(largest))
            return (among_ties(dy * sign_of(x), ties, dim),)
        with np.errstate(divide="ignore", invalid="ignore"):
            if p == 2:
                return (dy * selected(plain(y) != 0, x / y),)
            size = apply(abs, x)
            if p < 1:
                return (selected(plain(x) != 0, size ** (p - 1)) * sign_of(x) * dy * y ** (1 - p),)
            slope = x * size ** (p - 2) if p > 2 else size ** (p - 1) * sign_of(x)
            return (slope * selected(plain(y) != 0, dy / y ** (p - 1)),)

    return y, vjp, (x, y)
