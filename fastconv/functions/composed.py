"""Functions written in others, whose gradients are those of what they are made of."""

from __future__ import annotations

import functools
import itertools
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import primitives
from .._native.tape import TensorBase, differentiable_twice, wrap
from ..checks import brief, dimension, number
from ..dtypes import CLASSES, as_dtype, fitting, float32, result_type
from .arithmetic import add, div, mul, pow, sub
from .comparison import ge, isnan, le
from .logic import logical_not, logical_or
from .operands import (
    apply,
    array_of,
    as_operand,
    cast,
    check_broadcast,
    dimensions,
    elementwise,
    floating,
    numpy_names,
    operands,
    quiet,
)
from .pointwise import clamp, exp, log, sqrt, where
from .reduction import Dims, mean, norm, sum
from .selection import masked_fill, nonzero, scatter, scatter_add, scattered, split
from .shapes import cat, reshape, stack, unsqueeze

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "addcdiv",
    "addcmul",
    "amax",
    "amin",
    "aminmax",
    "argwhere",
    "atleast_1d",
    "atleast_2d",
    "atleast_3d",
    "bucketize",
    "cartesian_prod",
    "clamp_max",
    "clamp_min",
    "clone",
    "column_stack",
    "combinations",
    "deg2rad",
    "detach",
    "dist",
    "erfc",
    "erfinv",
    "fmax",
    "fmin",
    "hypot",
    "is_complex",
    "is_nonzero",
    "is_same_size",
    "logaddexp",
    "logit",
    "masked_scatter",
    "nanmean",
    "nansum",
    "positive",
    "rad2deg",
    "scatter_reduce",
    "searchsorted",
    "split_with_sizes",
    "t",
    "tril_indices",
    "triu_indices",
    "xlogy",
]


# ---- sums and products ----------------------------------------------------------------------------------------------


def addcmul(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 * tensor2``, element-wise with broadcasting; NotImplementedError for bools."""
    dtype = result_type(input, tensor1, tensor2)
    if dtype.kind == "b":
        raise NotImplementedError("addcmul() is not implemented for bool")
    value = fitting(int(value), dtype) if dtype.kind in "iu" else value
    x, y = as_operand(tensor1, dtype), as_operand(tensor2, dtype)
    return add(input, mul(x if value == 1 else mul(x, value), y))


def addcdiv(input: Tensor, tensor1: Tensor, tensor2: Tensor, *, value: float = 1) -> Tensor:
    """``input + value * tensor1 / tensor2``, element-wise with broadcasting.

    Raises
    ------
    RuntimeError
        If both tensors are integers, or bools.
    """
    if tensor1.dtype.kind not in "fV" and tensor2.dtype.kind not in "fV":
        raise RuntimeError(
            "Integer division with addcdiv is no longer supported, and in a future release addcdiv will perform a "
            "true division of tensor1 and tensor2: convert one of them with float()"
        )
    dtype = result_type(input, tensor1, tensor2)
    x, y = (as_operand(t, dtype) if dtype.kind == "f" else t for t in (tensor1, tensor2))
    return add(input, div(x if value == 1 else mul(x, value), y))


def dist(input: Tensor, other: Tensor, p: float = 2) -> Tensor:
    """The p-norm of ``input - other``."""
    return norm(sub(input, other), p)


def positive(input: Tensor) -> Tensor:
    """`input` itself; RuntimeError for bools."""
    if input.dtype.kind == "b":
        raise RuntimeError("The `+` operator, on a bool tensor is not supported.")
    return input


def deg2rad(input: Tensor) -> Tensor:
    """Degrees as radians."""
    return mul(floating(input, "deg2rad"), math.pi / 180)


def rad2deg(input: Tensor) -> Tensor:
    """Radians as degrees."""
    return mul(floating(input, "rad2deg"), 180 / math.pi)


def hypot(input: Tensor, other: Tensor) -> Tensor:
    """``sqrt(input**2 + other**2)``, element-wise with broadcasting."""
    x, y = operands(input, other)
    if x.dtype.kind in "biu":
        raise NotImplementedError(f'"hypot_cpu" not implemented for {x.dtype}')
    if x.dtype.itemsize == 2 and x.dtype.kind == "f":
        return cast(hypot(cast(x, float32), cast(y, float32)), x.dtype)
    return sqrt(add(pow(x, 2), pow(y, 2)))


# ---- logarithms and error functions ---------------------------------------------------------------------------------


def logaddexp(input: Tensor, other: Tensor) -> Tensor:
    """``log(exp(input) + exp(other))`` without overflow, element-wise with broadcasting."""
    x, y = operands(input, other, floating=True)
    check_broadcast(x, y)
    kind = result_type(input, other)
    if kind.kind != "f":
        raise NotImplementedError(f"\"logaddexp_cpu\" not implemented for '{CLASSES[kind.name]}'")
    if x.dtype.itemsize == 2:
        return cast(logaddexp(cast(x, float32), cast(y, float32)), x.dtype)
    largest = wrap(np.asarray(np.maximum(array_of(x), array_of(y))))
    largest = masked_fill(largest, wrap(np.asarray(np.isinf(largest._array))), 0)
    return add(log(add(exp(sub(x, largest)), exp(sub(y, largest)))), largest)


@differentiable_twice
def _xlogy(needs, x, y):
    x_shape, y_shape = np.shape(x), np.shape(y)
    nothing = np.equal(x, 0) & np.less_equal(y, 0)

    def vjp(dz, x, y):
        kept = apply(primitives.where, nothing, 1.0, y)
        return (
            primitives.sum_back(dz * apply(primitives.log, kept), x_shape) if needs[0] else None,
            primitives.sum_back(dz * x / y, y_shape) if needs[1] else None,
        )

    zero = nothing | (np.equal(x, 0) & np.isinf(y))
    return x * np.log(np.where(zero, 1, y)), vjp, (x, y)


@quiet
def xlogy(input: Tensor, other: Tensor | float) -> Tensor:
    """``input * log(other)``, and 0 where `input` is 0 (but `other` is no NaN), element-wise with broadcasting."""
    x, y = operands(input, other, floating=True)
    return elementwise(_xlogy, x, y if isinstance(y, TensorBase) else np.asarray(y, array_of(x).dtype))


@differentiable_twice
def _logit(needs, x):
    def vjp(dy, x):
        inside = primitives.plain(x)
        inside = np.where((inside >= 0) & (inside <= 1), dy.dtype.type(1), dy.dtype.type(np.nan))
        return (dy / (x * (1 - x)) * inside,)

    return np.log(x / (1 - x)), vjp, (x,)


@quiet
def logit(input: Tensor, eps: float | None = None) -> Tensor:
    """``log(input / (1 - input))``, element-wise; with `eps`, of `input` limited to [eps, 1 - eps]."""
    x = floating(input, "logit")
    return apply(_logit, x if eps is None else clamp(x, number(eps, "eps"), 1 - eps))


def _erfc_of(x: np.ndarray) -> np.ndarray:
    return np.asarray(np.frompyfunc(math.erfc, 1, 1)(x), x.dtype)


@differentiable_twice
def _erfc(needs, x):
    return _erfc_of(x), lambda dy, x: (dy * apply(primitives.exp, -(x * x)) * (-2 / math.sqrt(math.pi)),), (x,)


def erfc(input: Tensor) -> Tensor:
    """``1 - erf(input)`` without loss of digits, element-wise."""
    return apply(_erfc, floating(input, "erfc"))


def _erfinv_of(x: np.ndarray) -> np.ndarray:
    """The inverse of the error function, in double precision.

    Winitzki's approximation (2008), and three of Newton's steps on the complement, which keeps its digits near 1.
    """
    p = x.astype(np.float64)
    a = np.abs(p)
    inside = a < 1
    q = np.where(inside, a, 0.0)
    log_part = np.log1p(-q * q)
    b = 2 / (math.pi * 0.147) + log_part / 2
    y = np.sqrt(np.maximum(np.sqrt(b * b - log_part / 0.147) - b, 0))
    for _ in range(3):
        y = y + (_erfc_of(y) - (1 - q)) * (math.sqrt(math.pi) / 2) * np.exp(y * y)
    y = np.where(inside, y, np.where(a == 1, np.inf, np.nan))
    return np.copysign(y, p).astype(x.dtype)


@differentiable_twice
def _erfinv(needs, x):
    y = _erfinv_of(x)
    return y, lambda dy, y: (dy * apply(primitives.exp, y * y) * (math.sqrt(math.pi) / 2),), (y,)


@quiet
def erfinv(input: Tensor) -> Tensor:
    """The number whose :func:`fastconv.erf` each element is: infinite at -1 and 1, NaN beyond."""
    return apply(_erfinv, floating(input, "erfinv"))


# ---- extremes, and what leaves NaN out ------------------------------------------------------------------------------


@differentiable_twice
def _amax(needs, x, dim, keepdim, sign):
    y = (np.max if sign > 0 else np.min)(x, axis=dim, keepdims=True)
    shape = y.shape

    def vjp(dy, x, y):
        chosen = primitives.plain(x) == primitives.plain(y)
        share = dy.reshape(shape) / np.add.reduce(chosen, axis=dim, keepdims=True).astype(dy.dtype)
        return (primitives.selected(chosen, primitives.expanded(share, x.shape)),)

    return y if keepdim else y.squeeze(dim), vjp, (x, y)


def _extreme(input: Tensor, dim: Any, keepdim: bool, sign: int, name: str) -> Tensor:
    if not isinstance(input, TensorBase):
        raise TypeError(f"{name}() expects a Tensor, got {brief(input)}")
    axes = dimensions(dim, input)
    axes = tuple(range(input.ndim)) if axes is None else axes
    for d in axes if isinstance(axes, tuple) else (axes,):
        if not input.shape[d]:
            kind = RuntimeError if isinstance(dim, tuple) and not dim else IndexError
            raise kind(f"{name}(): Expected reduction dim {d} to have non-zero size.")
    return apply(_amax, input, dim=axes, keepdim=keepdim, sign=sign)


@numpy_names
def amax(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The largest elements over `dim`, an int or several, or of all; equals share the gradient."""
    return _extreme(input, dim, keepdim, 1, "amax")


@numpy_names
def amin(input: Tensor, dim: Dims = (), keepdim: bool = False) -> Tensor:
    """The smallest elements over `dim`, an int or several, or of all; equals share the gradient."""
    return _extreme(input, dim, keepdim, -1, "amin")


@numpy_names
def aminmax(input: Tensor, *, dim: int | None = None, keepdim: bool = False) -> tuple[Tensor, Tensor]:
    """The smallest and the largest elements, of all or along `dim`."""
    along: Dims = () if dim is None else dim
    if dim is None and not input.numel():
        raise RuntimeError(
            "aminmax(): cannot compute aminmax over an empty dimension as the operation has no identity."
        )
    return amin(input, along, keepdim), amax(input, along, keepdim)


def fmax(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two tensors, element-wise with broadcasting; where one is NaN, the other."""
    x, y = operands(input, other)
    return where(logical_or(ge(x, y), isnan(y)), x, y)


def fmin(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two tensors, element-wise with broadcasting; where one is NaN, the other."""
    x, y = operands(input, other)
    return where(logical_or(le(x, y), isnan(y)), x, y)


def clamp_min(input: Tensor, min: Tensor | float) -> Tensor:
    """Every element, but at least `min`."""
    return clamp(input, min)


def clamp_max(input: Tensor, max: Tensor | float) -> Tensor:
    """Every element, but at most `max`."""
    return clamp(input, None, max)


def _without_nan(input: Tensor) -> tuple[Tensor, Any]:
    missing = isnan(input)
    return masked_fill(input, missing, 0), missing


@numpy_names
def nansum(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The sum with 0 for NaN."""
    return sum(_without_nan(input)[0], dim, keepdim, dtype=dtype)


@numpy_names
@quiet
def nanmean(input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: Any = None) -> Tensor:
    """The mean of what is no NaN."""
    x, missing = _without_nan(as_operand(input, None if dtype is None else as_dtype(dtype)))
    count = sum(as_operand(logical_not(missing), x.dtype), dim, keepdim)
    return div(sum(x, dim, keepdim), count) if x.dtype.kind in "fV" else mean(x)


# ---- copies and shapes ----------------------------------------------------------------------------------------------


def clone(input: Tensor, *, memory_format: Any = None) -> Tensor:
    """A copy, through which gradients go."""
    return input.clone() if memory_format is None else input.clone(memory_format=memory_format)


def detach(input: Tensor) -> Tensor:
    """The tensor on the same memory, without its history."""
    return input.detach()


def t(input: Tensor) -> Tensor:
    """The transposed matrix, a view; a vector or a number as it is."""
    return input.t()


def is_complex(input: Tensor) -> bool:
    """False: no tensor is complex."""
    return False


def is_nonzero(input: Tensor) -> bool:
    """Whether a tensor's one element is not 0."""
    return bool(input)


def is_same_size(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape."""
    return input.shape == other.shape


def _at_least(tensors: tuple[Any, ...], shape_of: Any) -> Any:
    tensors = tuple(tensors[0]) if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)) else tensors
    out = tuple(reshape(x, shape_of(tuple(x.shape))) for x in tensors)
    return out[0] if len(out) == 1 else out


def atleast_1d(*tensors: Any) -> Any:
    """Numbers as vectors of one element, other tensors as they are."""
    return _at_least(tensors, lambda shape: shape or (1,))


def atleast_2d(*tensors: Any) -> Any:
    """Vectors as a row, numbers as a matrix of one element, other tensors as they are."""
    return _at_least(tensors, lambda shape: (1,) * (2 - len(shape)) + shape)


def atleast_3d(*tensors: Any) -> Any:
    """Matrices with a third dimension of length 1, vectors between two such dimensions."""
    return _at_least(tensors, lambda shape: shape if len(shape) > 2 else ((1,) * (len(shape) < 2) + shape + (1, 1))[:3])


def column_stack(tensors: Sequence[Tensor]) -> Tensor:
    """Join along the second dimension; vectors are columns."""
    return cat([unsqueeze(reshape(x, (-1,)), 1) if x.ndim < 2 else x for x in tensors], 1)


@numpy_names
def split_with_sizes(input: Tensor, split_sizes: Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Views of as many slices along `dim` as the list says; see :func:`fastconv.split`."""
    return split(input, list(split_sizes), dim)


def cartesian_prod(*tensors: Tensor) -> Tensor:
    """All choices of an element from each vector, a row each."""
    if len(tensors) == 1:
        return tensors[0]
    grid = np.meshgrid(*[np.arange(x.shape[0]) for x in tensors], indexing="ij")
    return stack([x[wrap(np.ascontiguousarray(i.reshape(-1)))] for x, i in zip(tensors, grid, strict=True)], 1)


def combinations(input: Tensor, r: int = 2, with_replacement: bool = False) -> Tensor:
    """All choices of r elements of a vector, a row each, in the order in which they stand."""
    choose = itertools.combinations_with_replacement if with_replacement else itertools.combinations
    return input[wrap(np.array([*choose(range(input.shape[0]), r)], np.int64).reshape(-1, r))]


# ---- places ---------------------------------------------------------------------------------------------------------


def argwhere(input: Tensor) -> Tensor:
    """The indices of the elements that are not 0, a row each."""
    return nonzero(input)


def _triangle(indices: tuple[np.ndarray, np.ndarray], dtype: Any) -> Tensor:
    return wrap(np.stack(indices).astype(np.int64 if dtype is None else as_dtype(dtype)))


def tril_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Rows and columns of the elements of a matrix on a diagonal and below, shape (2, n)."""
    return _triangle(np.tril_indices(row, offset, col), dtype)


def triu_indices(row: int, col: int, offset: int = 0, *, dtype: Any = None, device: Any = None) -> Tensor:
    """Rows and columns of the elements of a matrix on a diagonal and above, shape (2, n)."""
    return _triangle(np.triu_indices(row, offset, col), dtype)


def searchsorted(
    sorted_sequence: Tensor,
    input: Tensor | float,
    *,
    out_int32: bool = False,
    right: bool = False,
    side: str | None = None,
    sorter: Tensor | None = None,
) -> Tensor:
    """Where elements would go into a sorted vector, or into the sorted rows of a tensor.

    Parameters
    ----------
    sorted_sequence : Tensor, shape (..., n)
    input : Tensor, shape (..., m), or a number
    right : bool
        Behind equal elements (also ``side="right"``) rather than before them.
    sorter : Tensor, int64, optional
        Indices that sort a `sorted_sequence` which is not.
    """
    if side not in (None, "left", "right"):
        raise RuntimeError(f"searchsorted(): side can only be 'left' or 'right' but got {side}")
    if right and side == "left":
        raise RuntimeError("searchsorted(): side and right can't be set to opposites, got side of left and right=True")
    kind = "right" if right or side == "right" else "left"
    values = array_of(input) if isinstance(input, TensorBase) else np.asarray(input)
    order = array_of(sorted_sequence)
    if sorter is not None:
        if sorter.shape != sorted_sequence.shape:
            raise RuntimeError(
                "searchsorted(): boundary and sorter must have the same size, but got boundary tensor "
                f"{list(order.shape)} and sorter tensor {list(sorter.shape)}"
            )
        if sorter.dtype != np.int64:
            raise RuntimeError(f"searchsorted(): sorter must be a tensor of long dtype but got dtype {sorter.dtype}")
        places = sorter._array
        if places.size and not 0 <= places.min() <= places.max() < order.shape[-1]:
            raise RuntimeError("searchsorted(): sorter index out of range")
        order = np.take_along_axis(order, places, -1)
    if order.ndim <= 1:
        found = np.asarray(np.searchsorted(order, values, kind))
    else:
        if order.shape[:-1] != values.shape[:-1]:
            raise RuntimeError(
                "boundaries tensor should be 1 dimension or the first N-1 dimensions of boundaries tensor and input "
                f"value tensor must match, but we got boundaries tensor {list(order.shape)} and input value tensor "
                f"{list(values.shape)}"
            )
        found = np.zeros(values.shape, np.int64)
        for row in np.ndindex(order.shape[:-1]):
            found[row] = np.searchsorted(order[row], values[row], kind)
    return wrap(np.asarray(found, np.int32 if out_int32 else np.int64))


def bucketize(input: Tensor | float, boundaries: Tensor, *, out_int32: bool = False, right: bool = False) -> Tensor:
    """In which interval between sorted boundaries each element lies; `right`: those equal to one, above it."""
    return searchsorted(boundaries, input, out_int32=out_int32, right=right)


def masked_scatter(input: Tensor, mask: Tensor, source: Tensor) -> Tensor:
    """The elements, with those of `source`, one after the other, in place of those where the mask holds."""
    if not isinstance(mask, TensorBase) or mask.dtype.kind != "b":
        raise RuntimeError(f"masked_scatter_ only supports boolean masks, but got mask with dtype {brief(mask)}")
    check_broadcast(input, mask)
    chosen = np.broadcast_to(mask._array, np.broadcast_shapes(input.shape, mask.shape))
    count = int(np.count_nonzero(chosen))
    if source.numel() < count or source.dtype != input.dtype:
        raise RuntimeError(
            f"masked_scatter: expected self and source to have same dtypes and source of at least {count} elements, "
            f"got {source.numel()} of {source.dtype} for {input.dtype}"
        )
    return apply(primitives.put, input.expand(chosen.shape), source.reshape(-1)[:count], at=(chosen,))


@numpy_names
def scatter_reduce(
    input: Tensor, dim: int, index: Tensor, src: Tensor, reduce: str, *, include_self: bool = True
) -> Tensor:
    """A copy of `input` whose elements are joined with those of `src` that `index` sends to them along `dim`.

    Parameters
    ----------
    reduce : {"sum", "mean", "amax", "amin", "prod"}
    include_self : bool
        Whether the element of `input` counts as well; elements to which nothing is sent stay in any case.
    """
    if reduce not in ("sum", "mean", "amax", "amin", "prod"):
        raise RuntimeError(f"reduce argument must be either sum, prod, mean, amax or amin, got {reduce}.")
    dim = dimension(dim, input.ndim)
    start = input if include_self else scatter(input, dim, index, {"prod": 1}.get(reduce, 0))
    if reduce in ("sum", "mean"):
        total = scatter_add(start, dim, index, src)
        if reduce == "sum":
            return total
        own = wrap(np.ones(input.shape, np.int64))
        count = scatter_add(
            own if include_self else scatter(own, dim, index, 0), dim, index, wrap(np.ones(index.shape, np.int64))
        )
        count = clamp(count, 1)
        return div(total, count) if input.dtype.kind in "fV" else wrap(total._array // count._array)
    if not include_self and reduce != "prod":
        floating_dtype = input.dtype.kind == "f"
        limits = np.finfo(input.dtype) if floating_dtype else np.iinfo(input.dtype)
        lowest = -np.inf if floating_dtype else limits.min
        highest = np.inf if floating_dtype else limits.max
        start = scatter(input, dim, index, lowest if reduce == "amax" else highest)
    return scattered(start, dim, index, src, "scatter_reduce", functools.partial(_joined, reduce=reduce))


@quiet
def _joined(needs, x, sent, at, reduce):
    """A copy of x, whose elements at some places are multiplied by what is sent there, or the extremum of all."""
    join = {"amax": np.maximum, "amin": np.minimum, "prod": np.multiply}[reduce]
    y = x.copy()
    join.at(y, at, sent)

    @quiet
    def vjp(dy, x, sent, y):
        if reduce != "prod":  # those that are the extremum share its gradient
            own, theirs = (x == y).astype(dy.dtype), (sent == y[at]).astype(dy.dtype)
            several = own.copy()
            np.add.at(several, at, theirs)
            share = dy / several
            return np.where(own, share, 0), np.where(theirs, share[at], 0)
        # The product of all others is that of all, without what is 0 where that is the only one.
        of_others = np.ones_like(x)
        np.multiply.at(of_others, at, sent)
        zeros = (x == 0).astype(np.int64)
        np.add.at(zeros, at, sent == 0)
        product = np.where(x == 0, 1, x)
        np.multiply.at(product, at, np.where(sent == 0, 1, sent))
        only = (sent == 0) & (zeros[at] == 1)
        dsent = np.where(only, product[at], np.where(zeros[at] > 0, 0, y[at] / np.where(sent == 0, 1, sent)))
        return dy * of_others, dy[at] * dsent

    return y, vjp, (x, sent, y)
