"""Elements in order, ranks, and how often they are there."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from .. import primitives
from .._native.tape import TensorBase, differentiable_twice, moving, wrap
from ..checks import brief, dimension, integer, number
from ..dtypes import convert
from .operands import apply, array_of, numpy_names, shown_as
from .reduction import max as _max
from .shapes import flatten, reshape, squeeze

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "argsort",
    "bincount",
    "histc",
    "kthvalue",
    "median",
    "mode",
    "quantile",
    "sort",
    "topk",
    "unique",
    "unique_consecutive",
]


@shown_as("sort")
class sort_result(NamedTuple):
    """What :func:`sort` returns."""

    values: Tensor
    indices: Tensor


@shown_as("topk")
class topk_result(NamedTuple):
    """What :func:`topk` returns."""

    values: Tensor
    indices: Tensor


@shown_as("kthvalue")
class kthvalue_result(NamedTuple):
    """What :func:`kthvalue` returns."""

    values: Tensor
    indices: Tensor


@shown_as("median")
class median_result(NamedTuple):
    """What :func:`median` returns."""

    values: Tensor
    indices: Tensor


@shown_as("mode")
class mode_result(NamedTuple):
    """What :func:`mode` returns."""

    values: Tensor
    indices: Tensor


def _order(x: np.ndarray, dim: int, descending: bool) -> np.ndarray:
    """The places of the elements in order; equals keep theirs, and NaN counts as largest."""
    if not x.ndim:
        return np.zeros((), np.int64)
    if not descending:
        return np.argsort(x, axis=dim, kind="stable")
    # Of a reversed line, equals stand in the reversed order, which reversing once more puts right.
    places = np.flip(np.argsort(np.flip(x, dim), axis=dim, kind="stable"), dim)
    return x.shape[dim] - 1 - places


def _taken(x: Tensor, indices: np.ndarray, dim: int) -> Tensor:
    """The elements at the indices along `dim`, no two of which are equal in a line."""
    return apply(primitives.take_along, x, indices=indices, dim=dim) if x.ndim else apply(primitives.clone, x)


def _checked(input: Any, name: str) -> Any:
    if not isinstance(input, TensorBase):
        raise TypeError(f"{name}() expects a Tensor, got {brief(input)}")
    return input


def _length(input: Any, dim: int, name: str) -> int:
    """How many elements there are along a dimension: one at least."""
    length = input.shape[dim] if input.ndim else 1
    if not length:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size, got {list(input.shape)}")
    return length


def _no_bools(input: Any, name: str) -> None:
    if input.dtype.kind == "b":
        raise NotImplementedError(f"\"{name}\" not implemented for 'Bool'")


@numpy_names
def sort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Any:
    """The elements in order along `dim`, and where they stood.

    Equals keep their order, whether `stable` or not. NaN counts as largest.

    Returns
    -------
    named tuple ``(values, indices)``

    Examples
    --------
    >>> fastconv.sort(fastconv.tensor([3, 1, 2])).indices
    tensor([1, 2, 0])
    """
    dim = dimension(dim, _checked(input, "sort").ndim)
    indices = np.ascontiguousarray(_order(array_of(input), dim, descending))
    return sort_result(_taken(input, indices, dim), wrap(indices.reshape(input.shape)))


@numpy_names
def argsort(input: Tensor, dim: int = -1, descending: bool = False, stable: bool = True) -> Tensor:
    """Where the elements in order stood; see :func:`sort`."""
    dim = dimension(dim, _checked(input, "argsort").ndim)
    return wrap(np.ascontiguousarray(_order(array_of(input), dim, descending)).reshape(input.shape))


@numpy_names
def topk(input: Tensor, k: int, dim: int = -1, largest: bool = True, sorted: bool = True) -> Any:
    """The k largest (or smallest) elements along `dim`, in order, and where they stand.

    Raises
    ------
    RuntimeError
        If there are fewer than k.

    Returns
    -------
    named tuple ``(values, indices)``

    Examples
    --------
    >>> fastconv.topk(fastconv.tensor([3, 1, 4, 1, 5]), 2).values
    tensor([5, 4])
    """
    dim = dimension(dim, _checked(input, "topk").ndim)
    if input.dtype.kind == "b":
        raise RuntimeError("topk does not support bool dtypes on CPU")
    length = input.shape[dim] if input.ndim else 1
    if not 0 <= integer(k, "k", -(2**60)) <= length:
        raise RuntimeError(
            f"selected index k out of range: topk() with k={k} of {length} elements along dimension {dim}, "
            f"shape {list(input.shape)}"
        )
    if not input.ndim:
        return topk_result(*sort(input))
    indices = np.ascontiguousarray(np.take(_order(array_of(input), dim, largest), np.arange(k), dim))
    return topk_result(_taken(input, indices, dim), wrap(indices))


@numpy_names
def kthvalue(input: Tensor, k: int, dim: int = -1, keepdim: bool = False) -> Any:
    """The k-th smallest element along `dim`, k from 1, and where it stands: ``(values, indices)``."""
    dim = dimension(dim, _checked(input, "kthvalue").ndim)
    length = _length(input, dim, "kthvalue")
    _no_bools(input, "kthvalue_cpu")
    if not 1 <= integer(k, "k", -(2**60)) <= length:
        raise RuntimeError(
            f"kthvalue(): selected number k out of range for dimension {dim}: k={k} of {length} elements"
        )
    return kthvalue_result(*_kth(input, k - 1, dim, keepdim))


def _kth(input: Tensor, k: int, dim: int, keepdim: bool) -> tuple[Tensor, Tensor]:
    if not input.ndim:
        return apply(primitives.clone, input), wrap(np.zeros((), np.int64))
    indices = np.take(_order(array_of(input), dim, False), [k], dim)
    values, indices = _taken(input, indices, dim), wrap(indices)
    return (values, indices) if keepdim else (squeeze(values, dim), squeeze(indices, dim))


@differentiable_twice
def _shared(needs, x, middle):
    """An element that several may equal, which then share its gradient."""

    def vjp(dy, x):
        x = primitives.plain(x)
        return (primitives.among_ties(dy, x == middle if middle == middle else np.isnan(x), None),)

    return middle.astype(x.dtype), vjp, (x,)


@numpy_names
def median(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Any:
    """The median, of two in the middle the lower one; NaN if there is one.

    Returns
    -------
    Tensor, or with `dim` the named tuple ``(values, indices)``
    """
    if dim is None:
        flat = flatten(_checked(input, "median"))
        if not flat.shape[0]:
            return input.sum() * np.nan if input.dtype.kind == "f" else wrap(np.full((), np.nan, input.dtype))
        return apply(_shared, flat, middle=array_of(median(flat.detach(), 0)[0]))
    dim = dimension(dim, _checked(input, "median").ndim)
    length = _length(input, dim, "median")
    _no_bools(input, "median_out")
    values, indices = _kth(input, (length - 1) // 2, dim, True)
    if input.dtype.kind == "f" and np.isnan(array_of(input)).any():
        # The largest is NaN where there is one, the first of them.
        largest, where = _max(input, dim, True)
        indices = wrap(np.where(np.isnan(array_of(largest)), where._array, indices._array))
        values = _taken(input, indices._array, dim)
    if not keepdim and input.ndim:
        values, indices = squeeze(values, dim), squeeze(indices, dim)
    return median_result(values, indices)


@numpy_names
def mode(input: Tensor, dim: int = -1, keepdim: bool = False) -> Any:
    """The most frequent element along `dim`, of several the smallest, and where its last one stands."""
    dim = dimension(dim, _checked(input, "mode").ndim)
    _length(input, dim, "mode")
    lines = np.moveaxis(np.atleast_1d(array_of(input)), dim, -1)
    indices = np.empty(lines.shape[:-1], np.int64)
    for place in np.ndindex(indices.shape):
        found, counts = np.unique(lines[place], return_counts=True)
        indices[place] = np.flatnonzero(lines[place] == found[np.argmax(counts)])[-1]
    indices = np.expand_dims(indices, dim) if input.ndim else indices
    values, indices = _taken(input, indices, dim), wrap(indices)
    if not keepdim and input.ndim:
        values, indices = squeeze(values, dim), squeeze(indices, dim)
    return mode_result(values, indices)


@numpy_names
def quantile(
    input: Tensor, q: float | Tensor, dim: int | None = None, keepdim: bool = False, *, interpolation: str = "linear"
) -> Tensor:
    """The q-quantile of all elements, or along `dim`, q in [0, 1]; several q are a new first dimension.

    Parameters
    ----------
    interpolation : {"linear", "lower", "higher", "midpoint", "nearest"}
        What lies between two elements.
    """
    if _checked(input, "quantile").dtype.kind != "f":
        raise RuntimeError(f"quantile() input tensor must be either float or double dtype, got {input.dtype}")
    if interpolation not in ("linear", "lower", "higher", "midpoint", "nearest"):
        raise RuntimeError(f"quantile() got the interpolation {interpolation!r}")
    several = np.atleast_1d(q._array if isinstance(q, TensorBase) else np.asarray(number(q, "q"), np.float64))
    if not ((several >= 0) & (several <= 1)).all():
        raise RuntimeError(f"quantile() q values must be in the range [0, 1], got {several.tolist()}")
    if dim is not None and not input.ndim:
        dimension(dim, 0)
        dim, keepdim = None, False
    x, at = (flatten(input), 0) if dim is None else (input, dimension(dim, input.ndim))
    if not x.shape[at]:
        raise RuntimeError(f"quantile() input tensor must be non-empty, got {list(input.shape)}")
    ordered = sort(x, at)[0]
    place = several * (x.shape[at] - 1)
    low, high = np.floor(place).astype(np.int64), np.ceil(place).astype(np.int64)
    if interpolation == "nearest":
        low = high = np.round(place).astype(np.int64)
    high, low = (low, low) if interpolation == "lower" else (high, high) if interpolation == "higher" else (high, low)
    before = (slice(None),) * at
    share = np.full(len(place), 0.5) if interpolation == "midpoint" else place - np.floor(place)
    weight = wrap(share.astype(x.dtype))
    of_q = interpolation == "linear" and isinstance(q, TensorBase) and q.requires_grad
    if of_q:
        weight = reshape(q, (-1,)) * (x.shape[at] - 1) - wrap(np.floor(place).astype(x.dtype))
    weight = reshape(weight, (-1, *[1] * (x.ndim - at - 1)))
    a, b = (apply(primitives.index, ordered, index=(*before, i), basic=False) for i in (low, high))
    y = a + (b - a) * weight if of_q or not np.array_equal(low, high) else a
    nan = np.isnan(array_of(x)).any(axis=at, keepdims=True)
    if nan.any():
        y = apply(primitives.where, nan, np.asarray(np.nan, x.dtype), y)
    y = y.permute(at, *[i for i in range(y.ndim) if i != at])
    if keepdim:
        kept = [1] * input.ndim if dim is None else [1 if i == at else n for i, n in enumerate(x.shape)]
        y = y.reshape(len(several), *kept)
    return y if isinstance(q, TensorBase) and q.ndim else y[0]


@numpy_names
def unique(
    input: Tensor,
    sorted: bool = True,
    return_inverse: bool = False,
    return_counts: bool = False,
    dim: int | None = None,
) -> Any:
    """The different elements in order, or along `dim` the different slices.

    Returns
    -------
    Tensor, or a tuple of it and, as asked for, of where each element of `input` is there, and how often each is met

    Examples
    --------
    >>> fastconv.unique(fastconv.tensor([2, 1, 2]))
    tensor([1, 2])
    """
    axis = None if dim is None else dimension(dim, _checked(input, "unique").ndim)
    found, inverse, counts = np.unique(array_of(input), return_inverse=True, return_counts=True, axis=axis)
    results = [apply(_without_derivative, input, y=convert(found, input.dtype), name="unique")]
    if return_inverse:
        results.append(wrap(np.asarray(inverse.reshape(input.shape if axis is None else -1), np.int64)))
    if return_counts:
        results.append(wrap(np.asarray(counts, np.int64)))
    return results[0] if len(results) == 1 else tuple(results)


@numpy_names
def unique_consecutive(
    input: Tensor, return_inverse: bool = False, return_counts: bool = False, dim: int | None = None
) -> Any:
    """The elements, flattened, or the slices along `dim`, without those that equal the one before."""
    x = _checked(input, "unique_consecutive")._array
    if dim is not None and not x.ndim:
        raise IndexError(f"unique_consecutive(): a tensor without dimensions has no dimension {dim}")
    x = x.reshape(-1) if dim is None else np.moveaxis(x, dimension(dim, x.ndim), 0)
    first = np.ones(len(x), np.bool_)
    first[1:] = (x[1:] != x[:-1]).any(tuple(range(1, x.ndim)))
    y = x[first] if dim is None else np.moveaxis(x[first], 0, dimension(dim, x.ndim))
    results = [apply(_without_derivative, input, y=y, name="unique_consecutive")]
    if return_inverse:
        inverse = np.cumsum(first) - 1
        results.append(wrap(inverse.reshape(input.shape) if dim is None else inverse))
    if return_counts:
        results.append(wrap(np.diff(np.append(np.flatnonzero(first), len(x)))))
    return results[0] if len(results) == 1 else tuple(results)


@moving
def _without_derivative(needs, x, y, name):
    """A result that torch records as well, although nothing can be computed back through it."""

    def vjp(dy):
        raise NotImplementedError(f"the derivative for '{name}' is not implemented.")

    return y, vjp, ()


def bincount(input: Tensor, weights: Tensor | None = None, minlength: int = 0) -> Tensor:
    """How often each integer from 0 on is there, or the sum of its weights."""
    x = _checked(input, "bincount")._array
    if x.dtype.kind not in "iu":
        raise NotImplementedError(f"bincount only supports 1-d non-negative integral inputs, got {brief(input)}")
    if x.ndim != 1 or x.dtype.kind not in "iu" or (x.size and x.min() < 0):
        raise RuntimeError(f"bincount only supports 1-d non-negative integral inputs, got {brief(input)}")
    least = integer(minlength, "minlength")
    if weights is None:
        return wrap(np.bincount(x, minlength=least))
    if weights.shape != input.shape:
        raise RuntimeError(f"bincount() expects a weight for each of {list(input.shape)}, got {list(weights.shape)}")
    return wrap(np.bincount(x, weights._array, least).astype(weights.dtype if weights.dtype == np.float32 else float))


def histc(input: Tensor, bins: int = 100, min: float = 0, max: float = 0) -> Tensor:
    """How many elements are in each of `bins` equal parts of [min, max], or of the range of the elements."""
    x = _checked(input, "histc")._array
    low, high = float(number(min, "min")), float(number(max, "max"))
    if low == high and x.size:
        low, high = float(x.min()), float(x.max())
    if low == high:
        low, high = low - 1, high + 1
    if not (np.isfinite(low) and np.isfinite(high) and low < high):
        raise RuntimeError(f"histc() expects a finite range whose min is below its max, got [{low}, {high}]")
    counts, _ = np.histogram(x, integer(bins, "bins", 1), (low, high))
    return wrap(counts.astype(x.dtype if x.dtype.kind == "f" else np.float32))
