"""Running sums and products, and reductions that are made of others."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from .. import primitives
from .._native.tape import TensorBase, differentiable_twice, wrap
from ..checks import brief, dimension, integer
from ..dtypes import as_dtype, float32
from .operands import apply, array_of, as_operand, cast, dimensions, floating, numpy_names
from .reduction import max_result, mean, std, sum, var
from .shapes import cat, squeeze

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "count_nonzero",
    "cummax",
    "cummin",
    "cumprod",
    "cumsum",
    "diff",
    "logsumexp",
    "prod",
    "std_mean",
    "var_mean",
]


def _running_sum(x: np.ndarray, dim: int) -> np.ndarray:
    """Sums of the elements so far; small floats are added in float64."""
    return np.cumsum(x, dim, np.float64 if x.dtype.kind == "f" else np.int64).astype(x.dtype, copy=False)


@differentiable_twice
def _cumsum(needs, x, dim, reverse):
    """Sums of the elements so far, or from there on."""
    y = np.flip(_running_sum(np.flip(x, dim), dim), dim) if reverse else _running_sum(x, dim)
    return np.ascontiguousarray(y), lambda dy: (apply(_cumsum, dy, dim=dim, reverse=not reverse),), ()


def _products_of_others(x: np.ndarray, dim: int) -> np.ndarray:
    """For each element the product of all others of its line, without dividing by what may be 0."""
    ones = np.ones_like(np.take(x, [0], dim))
    lines = np.moveaxis(x, dim, -1)
    one = np.moveaxis(ones, dim, -1)
    before = np.cumprod(np.concatenate([one, lines[..., :-1]], -1), -1)
    after = np.flip(np.cumprod(np.flip(np.concatenate([lines[..., 1:], one], -1), -1), -1), -1)
    return np.moveaxis(before * after, -1, dim)


def _prod(needs, x, dim, keepdim):
    y = np.multiply.reduce(x, axis=dim, keepdims=keepdim)

    def vjp(dy, x):
        if not x.size:
            return (np.zeros_like(x),)
        lines, at = (x.reshape(-1), 0) if dim is None else (x, dim)
        spread = dy if keepdim or dim is None else np.expand_dims(dy, dim)
        return ((spread * _products_of_others(lines, at).reshape(x.shape)).astype(x.dtype, copy=False),)

    return y, vjp, (x,)


def _cumprod(needs, x, dim):
    y = np.cumprod(x, dim)

    def vjp(dy, x, y):
        if np.all(x):
            total = np.flip(np.cumsum(np.flip(dy * y, dim), dim), dim)
            return ((total / x).astype(x.dtype, copy=False),)
        # Where an element is 0, the products from it on are computed again without it.
        dx, lines, slopes = (np.moveaxis(a, dim, -1) for a in (np.zeros_like(x), x, dy))
        for k in range(lines.shape[-1]):
            rest = lines[..., k:].copy()
            rest[..., 0] = 1
            before = np.multiply.reduce(lines[..., :k], -1, keepdims=True)
            dx[..., k] = np.add.reduce(slopes[..., k:] * before * np.cumprod(rest, -1), -1)
        return (np.moveaxis(dx, -1, dim),)

    return y, vjp, (x, y)


def _summable(input: Any, dtype: DTypeLike | None, name: str) -> Any:
    if not isinstance(input, TensorBase):
        raise TypeError(f"{name}() expects a Tensor, got {brief(input)}")
    if dtype is not None:
        return as_operand(input, as_dtype(dtype))
    return input if input.dtype.kind == "f" else as_operand(input, np.dtype(np.int64))


@numpy_names
def cumsum(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """Sums of the elements up to each along `dim`; integers and bools sum to int64."""
    x = _summable(input, dtype, "cumsum")
    dim = dimension(dim, x.ndim)
    return apply(_cumsum, x, dim=dim, reverse=False) if x.ndim else apply(primitives.clone, x)


@numpy_names
def cumprod(input: Tensor, dim: int, *, dtype: DTypeLike | None = None) -> Tensor:
    """Products of the elements up to each along `dim`; those of integers and bools are int64."""
    x = _summable(input, dtype, "cumprod")
    dim = dimension(dim, x.ndim)
    return apply(_cumprod, x, dim=dim) if x.ndim else apply(primitives.clone, x)


@numpy_names
def prod(input: Tensor, dim: int | None = None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """The product of all elements, or along `dim`; that of integers and bools is int64."""
    x = _summable(input, dtype, "prod")
    return apply(_prod, x, dim=None if dim is None or not x.ndim else dimension(dim, x.ndim), keepdim=keepdim)


def _running_extremum(input: Tensor, dim: int, name: str, accumulate: Any) -> Any:
    x = _summable(input, input.dtype, name)
    dim = dimension(dim, x.ndim)
    if not x.ndim:
        return max_result(apply(primitives.clone, x), wrap(np.zeros((), np.int64)))
    values = accumulate(array_of(x), dim)
    # An element is the extremum so far where it equals that, or is the first NaN; the places are those of the last.
    found = (array_of(x) == values) | (np.isnan(array_of(x)) if x.dtype.kind == "f" else False)
    shape = [1] * x.ndim
    shape[dim] = -1
    places = np.arange(x.shape[dim]).reshape(shape)
    indices = np.maximum.accumulate(np.where(found, places, 0), dim)
    at = list(np.ogrid[tuple(slice(n) for n in x.shape)])
    at[dim] = indices
    return max_result(apply(primitives.index, x, index=tuple(at), basic=False), wrap(indices))


@numpy_names
def cummax(input: Tensor, dim: int) -> Any:
    """The largest element up to each along `dim`, and where it stands: ``(values, indices)``."""
    return _running_extremum(input, dim, "cummax", lambda x, dim: np.maximum.accumulate(x, dim))


@numpy_names
def cummin(input: Tensor, dim: int) -> Any:
    """The smallest element up to each along `dim`, and where it stands: ``(values, indices)``."""
    return _running_extremum(input, dim, "cummin", lambda x, dim: np.minimum.accumulate(x, dim))


@numpy_names
def logsumexp(input: Tensor, dim: int | Sequence[int], keepdim: bool = False) -> Tensor:
    """``log(sum(exp(input)))`` over `dim`, without overflow."""
    x = floating(input, "logsumexp")
    along = dimensions(dim, x)
    axes = along if isinstance(along, tuple) else (along,)
    if not x.ndim:
        return apply(primitives.clone, x)
    if x.dtype.itemsize == 2:
        return cast(logsumexp(cast(x, float32), dim, keepdim), x.dtype)
    if any(not x.shape[d] for d in axes):
        return apply(primitives.log, sum(apply(primitives.exp, x), along, keepdim))
    largest = np.max(array_of(x), axis=axes, keepdims=True)
    largest = np.where(np.isfinite(largest), largest, x.dtype.type(0))
    y = apply(primitives.log, sum(apply(primitives.exp, x - wrap(largest)), along, True)) + wrap(largest)
    return y if keepdim else squeeze(y, axes)


@numpy_names
def std_mean(
    input: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> tuple[Any, ...]:
    """Standard deviation and mean. A bool in the place of `dim` is `unbiased`."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return std(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


@numpy_names
def var_mean(
    input: Tensor, dim: Any = None, unbiased: bool = True, keepdim: bool = False, *, correction: Any = None
) -> tuple[Any, ...]:
    """Variance and mean. A bool in the place of `dim` is `unbiased`."""
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    return var(input, dim, unbiased, keepdim, correction=correction), mean(input, dim, keepdim)


@numpy_names
def diff(
    input: Tensor, n: int = 1, dim: int = -1, prepend: Tensor | None = None, append: Tensor | None = None
) -> Tensor:
    """Differences between neighbours along `dim`, n times."""
    dim = dimension(dim, input.ndim)
    if not input.ndim:
        raise RuntimeError("diff expects input to be at least one-dimensional")
    n = integer(n, "n")
    parts = [t for t in (prepend, input, append) if t is not None]
    x = cat(parts, dim) if len(parts) > 1 and n else input
    before = (slice(None),) * dim
    for _ in range(n):
        x = (
            x[(*before, slice(1, None))] - x[(*before, slice(None, -1))]
            if x.dtype.kind != "b"
            else (x[(*before, slice(1, None))] != x[(*before, slice(None, -1))])
        )
    return x


@numpy_names
def count_nonzero(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """How many elements are not 0, in all or along `dim`."""
    return wrap(np.asarray(np.count_nonzero(array_of(input), axis=dimensions(dim, input)), np.int64))
