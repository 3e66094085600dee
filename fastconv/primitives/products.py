"""What products are written in: functions of arrays and of tensors alike.

Of tensors they are recorded, by the operations at the end of this file."""

import builtins
import math
from typing import Any

import numpy as np

from .. import elementwise
from .._native.memory import empty
from .._native.tape import TensorBase, apply, differentiable_twice, moving
from ..dtypes import convert, gradient_dtype

LARGE: int = 16384  # elements from which on a result is worth recycled memory

__all__ = [
    "LARGE",
    "cast",
    "cast_to",
    "computed",
    "dim_of",
    "dims_of",
    "expand",
    "expanded",
    "permute",
    "permuted",
    "plain",
    "select",
    "selected",
    "shape_of",
    "sign_of",
    "spread",
    "sum",
    "sum_back",
    "sum_of_floats",
    "sum_to",
    "summed",
    "times",
    "transposed",
]


def sum_of_floats(x: np.ndarray, axis: Any = None, keepdims: bool = False) -> Any:
    """Sum of floats, added up in float64."""
    return elementwise.total(x, axis, keepdims, x.dtype)


def computed(ufunc: np.ufunc, *operands: Any) -> Any:
    """A ufunc's result; a large one in recycled memory, for fresh pages cost more than its arithmetic."""
    most = operands[0]
    for x in operands[1:]:
        if isinstance(x, np.ndarray) and (not isinstance(most, np.ndarray) or x.size > most.size):
            most = x
    large = isinstance(most, np.ndarray) and most.size >= LARGE and most.dtype.kind == "f"
    if large and builtins.all(_stretches(x, most) for x in operands):
        return ufunc(*operands, out=empty(most.shape, most.dtype))
    return ufunc(*operands)


def _stretches(x, to: np.ndarray) -> bool:
    """Whether a dense array of `to`'s dtype, or a number, is broadcast to it."""
    if not isinstance(x, np.ndarray):
        return isinstance(x, (float, int))
    sizes = zip(x.shape[::-1], to.shape[::-1], strict=False)
    return (
        x.flags.c_contiguous
        and x.dtype == to.dtype
        and x.ndim <= to.ndim
        and builtins.all(n in (1, of_to) for n, of_to in sizes)
    )


def times(x: Any, y: Any) -> Any:
    """x * y, by a kernel where one operand is a number for each plane of the other."""
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
        return x * y if isinstance(x, TensorBase) or isinstance(y, TensorBase) else computed(np.multiply, x, y)
    scaled = elementwise.scaled_planes(x, y) if x.size >= y.size else elementwise.scaled_planes(y, x)
    return computed(np.multiply, x, y) if scaled is None else scaled


def sum_back(dy: Any, shape: tuple[int, ...]) -> Any:
    """Sum `dy` over the axes along which an operand of this shape was broadcast."""
    if dy.shape == shape:
        return dy
    if isinstance(dy, TensorBase):
        return apply(sum_to, dy, shape=shape)
    lead = dy.ndim - len(shape)
    stretched = tuple(lead + i for i, n in enumerate(shape) if n == 1)
    return sum_of_floats(dy, (*range(lead), *stretched)).reshape(shape)


def expanded(x: Any, shape: tuple[int, ...]) -> Any:
    """x broadcast to a shape."""
    return apply(expand, x, shape=shape) if isinstance(x, TensorBase) else np.broadcast_to(x, shape)


def permuted(x: Any, dims: tuple[int, ...]) -> Any:
    """x with its dimensions in this order."""
    return apply(permute, x, dims=dims) if isinstance(x, TensorBase) else x.transpose(dims)


def transposed(x: Any) -> Any:
    """Matrices turned: the last two axes swapped."""
    return permuted(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def cast_to(x: Any, dtype: np.dtype[Any]) -> Any:
    """x in a dtype."""
    return apply(cast, x, dtype=dtype) if isinstance(x, TensorBase) else x.astype(dtype)


def summed(x: Any, dim: Any, keepdim: bool) -> Any:
    """The sum of x over dimensions."""
    return apply(sum, x, dim=dim, keepdim=keepdim) if isinstance(x, TensorBase) else sum_of_floats(x, dim, keepdim)


def plain(x: Any) -> Any:
    """The array of a tensor, for what is not differentiated: masks and signs."""
    return x._array if isinstance(x, TensorBase) else x


def selected(mask: Any, dy: Any) -> Any:
    """dy where the mask holds, else 0; not a product, in which 0 * inf would be NaN."""
    mask = plain(mask)
    return apply(select, dy, mask=mask) if isinstance(dy, TensorBase) else np.where(mask, dy, dy.dtype.type(0))


def sign_of(x: Any) -> np.ndarray:
    """1, 0 or -1; of NaN 0, as torch has it."""
    x = plain(x)
    return np.where(np.isnan(x), x.dtype.type(0), np.sign(x))


def shape_of(x: Any) -> tuple[int, ...]:
    """The shape of an array or a tensor; () of a number."""
    return getattr(x, "shape", ())


def dim_of(x: Any, dim: Any) -> Any:
    """The dimensions of a reduction; an array without dimensions has none to reduce."""
    return dim if x.ndim else None


def dims_of(ndim: int, dim: Any) -> tuple[int, ...]:
    """The axes that a reduction over `dim` takes together."""
    dims = range(ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return tuple(d % ndim for d in dims)


def spread(dy: Any, shape: tuple[int, ...], dim: Any) -> Any:
    """The gradient, or the result, of a reduction, with the reduced axes back (as a view)."""
    dims = dims_of(len(shape), dim)
    return expanded(dy.reshape(tuple([1 if d in dims else n for d, n in enumerate(shape)])), shape)


@differentiable_twice
def sum_to(needs, x, shape):
    full = x.shape
    return sum_back(x, shape), lambda dy: (expanded(dy, full),), ()


@differentiable_twice
def select(needs, x, mask):
    return selected(mask, x), lambda dy, mask: (selected(mask, dy),), (mask,)


@moving
@differentiable_twice
def expand(needs, x, shape):
    old = x.shape
    y = x.reshape(shape) if math.prod(shape) == x.size and len(shape) >= x.ndim else np.broadcast_to(x, shape)
    return y, lambda dy: (sum_back(dy, old),), ()


@moving
@differentiable_twice
def permute(needs, x, dims):
    return x.transpose(dims), lambda dy: (permuted(dy, tuple(np.argsort(dims))),), ()


@moving
@differentiable_twice
def cast(needs, x, dtype):
    old = gradient_dtype(x)
    return convert(x, dtype), lambda dy: (cast_to(dy, old),), ()


@differentiable_twice
def sum(needs, x, dim, keepdim):
    shape, dim = x.shape, dim_of(x, dim)
    y = sum_of_floats(x, dim, keepdim) if x.dtype.kind == "f" else np.add.reduce(x, dim, np.int64, keepdims=keepdim)
    return y, lambda dy: (spread(dy, shape, dim),), ()
