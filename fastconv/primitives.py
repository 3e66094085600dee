"""The differentiable operations on tensors, as functions of ndarrays.

Each is one function ``op(needs, *arrays, **options) -> (result, vjp, saved, *extra)``, where `needs` tells for each
array whether its gradient will be asked for, ``vjp(dy, *saved)`` is the vector-Jacobian product as
:mod:`fastconv.autograd` describes it, and `extra` are results without a gradient. The product closes over shapes,
numbers and flags only; every array that it takes is in `saved`, or None in its place where no gradient takes it.

A new operation is one more function here. Where its product is written in operations that tensors have too,
``@differentiable_twice`` says so: with ``create_graph=True`` dy and the saved inputs and result come as tensors then,
and the walk back records itself.
"""

import builtins
import math
from typing import Any

import numpy as np

from . import elementwise, layer_passes
from ._native.memory import empty
from ._native.tape import TensorBase, apply, differentiable_twice, moving
from .dtypes import convert, gradient_dtype

LARGE: int = 16384  # elements from which on a result is worth recycled memory

# ---------------------------------------------------------------------------------------------------------
# What products are written in: functions of arrays and of tensors alike
# ---------------------------------------------------------------------------------------------------------

__all__ = [
    "abs",
    "add",
    "cast",
    "cat",
    "clamp",
    "clone",
    "contiguous",
    "div",
    "exp",
    "expand",
    "floor_divide",
    "index",
    "lerp",
    "log",
    "log_softmax",
    "matmul",
    "max",
    "mean",
    "mul",
    "neg",
    "norm",
    "permute",
    "pow",
    "reshape",
    "sigmoid",
    "softmax",
    "sqrt",
    "stack",
    "sub",
    "sum",
    "tanh",
    "var",
    "where",
]


def _sum_float(x: np.ndarray, axis=None, keepdims: bool = False):
    """Sum of floats, added up in float64."""
    return elementwise.total(x, axis, keepdims, x.dtype)


def _computed(ufunc: np.ufunc, *operands):
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


def _times(x, y):
    if not isinstance(x, np.ndarray) or not isinstance(y, np.ndarray):
        return x * y if isinstance(x, TensorBase) or isinstance(y, TensorBase) else _computed(np.multiply, x, y)
    scaled = elementwise.scaled_planes(x, y) if x.size >= y.size else elementwise.scaled_planes(y, x)
    return _computed(np.multiply, x, y) if scaled is None else scaled


def _sum_to(dy, shape: tuple[int, ...]):
    """Sum `dy` over the axes along which an operand of this shape was broadcast."""
    if dy.shape == shape:
        return dy
    if isinstance(dy, TensorBase):
        return apply(sum_to, dy, shape=shape)
    lead = dy.ndim - len(shape)
    stretched = tuple(lead + i for i, n in enumerate(shape) if n == 1)
    return _sum_float(dy, (*range(lead), *stretched)).reshape(shape)


def _expand(x, shape: tuple[int, ...]):
    return apply(expand, x, shape=shape) if isinstance(x, TensorBase) else np.broadcast_to(x, shape)


def _permute(x, dims: tuple[int, ...]):
    return apply(permute, x, dims=dims) if isinstance(x, TensorBase) else x.transpose(dims)


def _transposed(x):
    """Matrices turned: the last two axes swapped."""
    return _permute(x, (*range(x.ndim - 2), x.ndim - 1, x.ndim - 2))


def _cast(x, dtype: np.dtype):
    return apply(cast, x, dtype=dtype) if isinstance(x, TensorBase) else x.astype(dtype)


def _sum(x, dim, keepdim: bool):
    return apply(sum, x, dim=dim, keepdim=keepdim) if isinstance(x, TensorBase) else _sum_float(x, dim, keepdim)


def _plain(x):
    """The array of a tensor, for what is not differentiated: masks and signs."""
    return x._array if isinstance(x, TensorBase) else x


def _select(mask, dy):
    """dy where the mask holds, else 0; not a product, in which 0 * inf would be NaN."""
    mask = _plain(mask)
    return apply(select, dy, mask=mask) if isinstance(dy, TensorBase) else np.where(mask, dy, dy.dtype.type(0))


def _sign(x) -> np.ndarray:
    """1, 0 or -1; of NaN 0, as torch has it."""
    x = _plain(x)
    return np.where(np.isnan(x), x.dtype.type(0), np.sign(x))


def _shape(x) -> tuple[int, ...]:
    return getattr(x, "shape", ())


def _dim(x, dim):
    """The dimensions of a reduction; an array without dimensions has none to reduce."""
    return dim if x.ndim else None


@differentiable_twice
def sum_to(needs, x, shape):
    full = x.shape
    return _sum_to(x, shape), lambda dy: (_expand(dy, full),), ()


@differentiable_twice
def select(needs, x, mask):
    return _select(mask, x), lambda dy, mask: (_select(mask, dy),), (mask,)


# ---------------------------------------------------------------------------------------------------------
# Arithmetic
# ---------------------------------------------------------------------------------------------------------


@differentiable_twice
def add(needs, x, y):
    x_shape, y_shape = _shape(x), _shape(y)

    def vjp(dy):
        return _sum_to(dy, x_shape) if needs[0] else None, _sum_to(dy, y_shape) if needs[1] else None

    y = elementwise.add(x, y) if x_shape == y_shape else _computed(np.add, x, y)
    return y, vjp, ()


@differentiable_twice
def sub(needs, x, y):
    x_shape, y_shape = _shape(x), _shape(y)

    def vjp(dy):
        return _sum_to(dy, x_shape) if needs[0] else None, -_sum_to(dy, y_shape) if needs[1] else None

    return _computed(np.subtract, x, y), vjp, ()


@differentiable_twice
def mul(needs, x, y):
    x_shape, y_shape = _shape(x), _shape(y)

    def vjp(dy, x, y):  # each gradient takes the other operand
        dx, dy = _times(dy, y) if needs[0] else None, _times(dy, x) if needs[1] else None
        return _sum_to(dx, x_shape) if needs[0] else None, _sum_to(dy, y_shape) if needs[1] else None

    return _times(x, y), vjp, (x if needs[1] else None, y if needs[0] else None)


@differentiable_twice
def scale(needs, x, factor):
    """x times a number that nothing is kept of, as the alpha of a sum."""
    return x * factor, lambda dy: (dy * factor,), ()


@differentiable_twice
def div(needs, x, y):
    x_shape, y_shape = _shape(x), _shape(y)

    def vjp(dy, x, y):
        dx = _computed(np.divide, dy, y) if isinstance(dy, np.ndarray) else dy / y
        return (
            _sum_to(dx, x_shape) if needs[0] else None,
            _sum_to(-dx * (x / y), y_shape) if needs[1] else None,
        )

    return _computed(np.divide, x, y), vjp, (x if needs[1] else None, y)


def floor_divide(needs: Any, x: Any, y: Any) -> Any:
    def vjp(dy):
        raise NotImplementedError("the derivative of floor_divide() is not implemented")

    return np.floor_divide(x, y), vjp, ()


@differentiable_twice
def lerp(needs, x, end, weight):
    """x + weight (end - x), from the nearer end, so that it is either end exactly at weights 0 and 1."""
    x_shape, end_shape, weight_shape = x.shape, end.shape, _shape(weight)
    way = end - x
    y = np.where(np.abs(weight) < 0.5, x + weight * way, end - way * (1 - weight)).astype(x.dtype, copy=False)

    def vjp(dy, x, end, weight):
        return (
            _sum_to(dy * (1 - weight), x_shape) if needs[0] else None,
            _sum_to(dy * weight, end_shape) if needs[1] else None,
            _sum_to(dy * (end - x), weight_shape) if needs[2] else None,
        )

    return y, vjp, (x if needs[2] else None, end if needs[2] else None, weight)


@differentiable_twice
def remainder(needs, x, y):
    """x - floor(x / y) * y; the floor is constant between its steps."""
    x_shape, y_shape = _shape(x), _shape(y)

    def vjp(dy, floor=None):
        return _sum_to(dy, x_shape) if needs[0] else None, _sum_to(-dy * floor, y_shape) if needs[1] else None

    return np.remainder(x, y), vjp, (np.floor_divide(x, y),) if needs[1] else ()


@differentiable_twice
def pow(needs, x, p):
    if isinstance(p, (int, float)):

        def vjp_number(dy, x):
            if p == 0:
                return np.zeros_like(_plain(x)), None
            return _times(dy, _times(x, 2) if p == 2 else p * x ** (p - 1)), None

        return _computed(np.multiply, x, x) if p == 2 else x**p, vjp_number, (x,)
    x_shape, p_shape = _shape(x), p.shape
    y = x**p

    def vjp(dy, x, p, y):
        dx = dp = None
        if needs[0]:
            flat = _plain(p) == 0
            dx = _sum_to(_select(~flat, dy * (p * x ** (p - 1))), x_shape)
        if needs[1]:  # 0 ** p is constant where p > 0
            exponential = ~((_plain(x) == 0) & (_plain(p) >= 0))
            log_x = apply(log, x) if isinstance(x, (TensorBase, np.ndarray)) else np.log(x)
            dp = _sum_to(_select(exponential, dy * (y * log_x)), p_shape)
        return dx, dp

    return y, vjp, (x, p, y if needs[1] else None)


@differentiable_twice
def neg(needs, x):
    return _computed(np.negative, x), lambda dy: (-dy,), ()


@differentiable_twice
def abs(needs, x):
    return _computed(np.abs, x), lambda dy, x: (_times(dy, _sign(x)),), (x,)


@differentiable_twice
def exp(needs, x):
    y = _computed(np.exp, x)
    return y, lambda dy, y: (_times(dy, y),), (y,)


@differentiable_twice
def log(needs, x):
    return _computed(np.log, x), lambda dy, x: (dy / x,), (x,)


@differentiable_twice
def sqrt(needs, x):
    y = _computed(np.sqrt, x)
    return y, lambda dy, y: (dy / (2 * y),), (y,)


@differentiable_twice
def tanh(needs, x):
    def vjp(dy, y):
        if isinstance(dy, np.ndarray):
            return (layer_passes.activate_backward("tanh", dy, y),)
        return (dy * (1 - y * y),)

    y = layer_passes.activate("tanh", x)
    return y, vjp, (y,)


@differentiable_twice
def sigmoid(needs, x):
    def vjp(dy, y):
        if isinstance(dy, np.ndarray):
            return (layer_passes.activate_backward("sigmoid", dy, y),)
        return (dy * y * (1 - y),)

    y = elementwise.sigmoid(x)
    return y, vjp, (y,)


@differentiable_twice
def softmax(needs, x, dim):
    dim = _dim(x, dim)

    def vjp(dy, y):
        if isinstance(dy, np.ndarray):
            return (elementwise.softmax_backward(dy, y, dim),)
        return (y * (dy - _sum(dy * y, dim, True)),)

    y = elementwise.softmax(x, dim)
    return y, vjp, (y,)


@differentiable_twice
def log_softmax(needs, x, dim):
    dim = _dim(x, dim)

    def vjp(dy, y):
        if isinstance(dy, np.ndarray):
            return (elementwise.log_softmax_backward(dy, y, dim),)
        return (dy - apply(exp, y) * _sum(dy, dim, True),)

    y = elementwise.log_softmax(x, dim)
    return y, vjp, (y,)


@differentiable_twice
def clamp(needs, x, low, high):
    """Limits are numbers, arrays or None; a lower one above the upper one gives way to it."""
    x_shape, low_shape, high_shape = x.shape, _shape(low), _shape(high)

    def vjp(dy, x, low, high):
        x, low, high = _plain(x), _plain(low), _plain(high)
        both = low is not None and high is not None
        under, over = low is not None and x < low, high is not None and x > high
        dx = dlow = dhigh = None
        if needs[0]:
            inside = (x == x) if low is None else x >= low
            dx = _sum_to(_select(inside if high is None else inside & (x <= high), dy), x_shape)
        if needs[1]:
            dlow = _sum_to(_select(under & np.less(low, high) if both else under, dy), low_shape)
        if needs[2]:
            dhigh = _sum_to(_select(over | np.greater(low, high) if both else over, dy), high_shape)
        return dx, dlow, dhigh

    return np.clip(x, low, high), vjp, (x, low, high)


@differentiable_twice
def where(needs, condition, x, y):
    condition = np.asarray(condition, np.bool_)
    x_shape, y_shape = _shape(x), _shape(y)

    def vjp(dy, condition):
        return (
            None,
            _sum_to(_select(condition, dy), x_shape) if needs[1] else None,
            _sum_to(_select(~_plain(condition), dy), y_shape) if needs[2] else None,
        )

    return np.where(condition, x, y), vjp, (condition,)


@differentiable_twice
def extremum(needs, x, y, sign):
    """The larger (sign 1) or the smaller (sign -1) of two arrays; equals share the gradient, NaN goes first."""
    x_shape, y_shape = _shape(x), _shape(y)

    def vjp(dy, x, y):
        x, y = _plain(x), _plain(y)
        share = dy * np.where(x == y, dy.dtype.type(0.5), dy.dtype.type(1))
        less, more = (x < y, x > y) if sign > 0 else (x > y, x < y)
        return (
            _sum_to(_select(~less, share), x_shape) if needs[0] else None,
            _sum_to(_select(~more, share), y_shape) if needs[1] else None,
        )

    return (np.maximum if sign > 0 else np.minimum)(x, y), vjp, (x, y)


@differentiable_twice
def matmul(needs, x, y):
    out, x_shape, y_shape = np.matmul(x, y), x.shape, y.shape
    # A vector is a row on the left and a column on the right.
    rows = (1, *x_shape) if len(x_shape) == 1 else x_shape
    columns = (*y_shape, 1) if len(y_shape) == 1 else y_shape
    full = (*np.broadcast_shapes(rows[:-2], columns[:-2]), rows[-2], columns[-1])

    def vjp(dy, x, y):
        dy = dy.reshape(full)
        return (
            _sum_to(dy @ _transposed(y.reshape(columns)), rows).reshape(x_shape) if needs[0] else None,
            _sum_to(_transposed(x.reshape(rows)) @ dy, columns).reshape(y_shape) if needs[1] else None,
        )

    return out, vjp, (x if needs[1] else None, y if needs[0] else None)


# ---------------------------------------------------------------------------------------------------------
# Reductions
# ---------------------------------------------------------------------------------------------------------


def _dims(ndim: int, dim) -> tuple[int, ...]:
    """The axes that a reduction over `dim` takes together."""
    dims = range(ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return tuple(d % ndim for d in dims)


def _spread(dy, shape: tuple[int, ...], dim):
    """The gradient, or the result, of a reduction, with the reduced axes back (as a view)."""
    dims = _dims(len(shape), dim)
    return _expand(dy.reshape(tuple([1 if d in dims else n for d, n in enumerate(shape)])), shape)


def _count(shape: tuple[int, ...], dim) -> int:
    """Number of elements that a reduction over `dim` takes together."""
    return math.prod(shape[d] for d in _dims(len(shape), dim))


@differentiable_twice
def sum(needs, x, dim, keepdim):
    shape, dim = x.shape, _dim(x, dim)
    y = _sum_float(x, dim, keepdim) if x.dtype.kind == "f" else np.add.reduce(x, dim, np.int64, keepdims=keepdim)
    return y, lambda dy: (_spread(dy, shape, dim),), ()


@differentiable_twice
def mean(needs, x, dim, keepdim):
    shape, dim = x.shape, _dim(x, dim)
    n = _count(shape, dim)
    y = (elementwise.total(x, dim, keepdim, np.dtype(np.float64)) / np.float64(n)).astype(x.dtype)
    return y, lambda dy: (_spread(dy / n if n else dy, shape, dim),), ()


def _moments(x: np.ndarray, dim, keepdim: bool, correction: float) -> np.ndarray:
    return np.var(x, axis=dim, ddof=correction, keepdims=keepdim, dtype=np.float64).astype(x.dtype)


def _deviations(dy, x, dim, n: int, correction: float):
    """The gradient of a variance: 2 dy (x - mean) / (n - correction)."""
    if isinstance(x, TensorBase):
        centred = x - _spread(_sum(x, dim, True) / n, x.shape, dim)
    else:
        centred = x - np.mean(x, axis=dim, keepdims=True, dtype=np.float64).astype(x.dtype)
    return _spread(dy * (2 / (n - correction) if n != correction else np.inf), x.shape, dim) * centred


@differentiable_twice
def var(needs, x, dim, keepdim, correction):
    dim = _dim(x, dim)
    n = _count(x.shape, dim)
    return _moments(x, dim, keepdim, correction), lambda dy, x: (_deviations(dy, x, dim, n, correction),), (x,)


@differentiable_twice
def std(needs, x, dim, keepdim, correction):
    """The square root of the variance; where it is 0, of its many subgradients the zero."""
    dim = _dim(x, dim)
    n = _count(x.shape, dim)

    def vjp(dy, x, y):
        with np.errstate(divide="ignore", invalid="ignore"):
            slope = _select(_plain(y) != 0, dy / (2 * y))
        return (_deviations(slope, x, dim, n, correction),)

    y = np.sqrt(_moments(x, dim, keepdim, correction))
    return y, vjp, (x, y)


def among_ties(dy, ties: np.ndarray, dim):
    """dy for elements that equal their extremum, in equal shares, else 0."""
    return _select(ties, dy * (1 / np.maximum(ties.sum(axis=dim, keepdims=True), 1)).astype(dy.dtype))


@differentiable_twice
def max(needs, x, dim, keepdim, sign):
    """The largest (sign 1) or the smallest (sign -1) element, and without a `dim` the gradient goes to all ties."""
    if dim is None:
        y = x.max() if sign > 0 else x.min()

        def vjp_all(dy, x, y):
            x, y = _plain(x), _plain(y)
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
    dim = _dim(x, dim)
    if p == 2:
        y = np.sqrt(_sum_float(np.square(x), dim, keepdim))
    elif np.isinf(p):
        y = (np.max if p > 0 else np.min)(np.abs(x), axis=dim, keepdims=keepdim)
    elif p == 0:
        y = np.count_nonzero(x, axis=dim, keepdims=keepdim)
        return np.asarray(y, x.dtype), lambda dy: (None,), ()
    elif p == 1:
        y = _sum_float(np.abs(x), dim, keepdim)
    else:
        y = _sum_float(np.abs(x) ** p, dim, keepdim) ** (1 / p)
    y = np.asarray(y)

    def vjp(dy, x, y):
        dy = _spread(dy, x.shape, dim)
        if p == 1:
            return (dy * _sign(x),)
        y = _spread(y, x.shape, dim)
        if np.isinf(p):
            size, largest = np.abs(_plain(x)), _plain(y)
            ties = (size == largest) | (np.isnan(size) & np.isnan(largest))
            return (among_ties(dy * _sign(x), ties, dim),)
        with np.errstate(divide="ignore", invalid="ignore"):
            if p == 2:
                return (dy * _select(_plain(y) != 0, x / y),)
            size = apply(abs, x)
            if p < 1:
                return (_select(_plain(x) != 0, size ** (p - 1)) * _sign(x) * dy * y ** (1 - p),)
            slope = x * size ** (p - 2) if p > 2 else size ** (p - 1) * _sign(x)
            return (slope * _select(_plain(y) != 0, dy / y ** (p - 1)),)

    return y, vjp, (x, y)


# ---------------------------------------------------------------------------------------------------------
# Shapes, parts, dtypes
# ---------------------------------------------------------------------------------------------------------


@moving
@differentiable_twice
def reshape(needs, x, shape):
    old = x.shape
    return x.reshape(shape), lambda dy: (dy.reshape(old),), ()


@moving
@differentiable_twice
def permute(needs, x, dims):
    return x.transpose(dims), lambda dy: (_permute(dy, tuple(np.argsort(dims))),), ()


@moving
@differentiable_twice
def expand(needs, x, shape):
    old = x.shape
    y = x.reshape(shape) if math.prod(shape) == x.size and len(shape) >= x.ndim else np.broadcast_to(x, shape)
    return y, lambda dy: (_sum_to(dy, old),), ()


def _put_back(dy, shape: tuple[int, ...], index, basic: bool):
    """Zeros with dy at the index, added up where an element is there more than once."""
    if isinstance(dy, TensorBase):
        return apply(put_back, dy, shape=shape, at=index, basic=basic)
    dx = np.zeros(shape, dy.dtype)
    if basic:
        dx[index] = dy
    else:
        np.add.at(dx, index, dy)
    return dx


@moving
@differentiable_twice
def index(needs, x, index, basic):
    shape = x.shape
    if basic:
        return x[index], lambda dy: (_put_back(dy, shape, index, True),), ()
    return x[index], lambda dy, index: (_put_back(dy, shape, index, False),), (index,)


@differentiable_twice
def put_back(needs, x, shape, at, basic):
    """The gradient of :func:`index`."""

    def vjp(dy, at):
        return (apply(index, dy, index=at, basic=basic),)

    return _put_back(x, shape, at, basic), vjp, (at,)


@differentiable_twice
def put(needs, x, value, at):
    """A copy of x with `value` at an index that is no basic one."""
    value_shape, value_dtype = _shape(value), getattr(value, "dtype", None)

    def vjp(dy, at):
        return (
            apply(put, dy, 0, at=at) if needs[0] else None,
            _cast(_sum_to(apply(index, dy, index=at, basic=False), value_shape), value_dtype) if needs[1] else None,
        )

    y = x.copy()
    y[at] = value
    return y, vjp, (at,)


@moving
@differentiable_twice
def cat(needs, *arrays, dim):
    ends = np.cumsum([x.shape[dim] for x in arrays]).tolist()
    before = (slice(None),) * dim

    def vjp(dy):
        bounds = zip(needs, [0, *ends], ends, strict=False)
        return [dy[(*before, slice(start, end))] if need else None for need, start, end in bounds]

    first = arrays[0]
    if first.size < LARGE or builtins.any(x.dtype != first.dtype or x.ndim != first.ndim for x in arrays):
        return np.concatenate(arrays, axis=dim), vjp, ()
    shape = (*first.shape[:dim], ends[-1], *first.shape[dim + 1 :])
    return np.concatenate(arrays, axis=dim, out=empty(shape, first.dtype)), vjp, ()


@moving
@differentiable_twice
def stack(needs, *arrays, dim):
    before = (slice(None),) * dim

    def vjp(dy):
        return [dy[(*before, i, Ellipsis)] if need else None for i, need in enumerate(needs)]

    return np.stack(arrays, axis=dim), vjp, ()


@moving
@differentiable_twice
def cast(needs, x, dtype):
    old = gradient_dtype(x)
    return convert(x, dtype), lambda dy: (_cast(dy, old),), ()


@moving
@differentiable_twice
def clone(needs, x):
    """A dense copy; its axes in the order of those of x, among which repeated ones stay where they are."""
    order = "K"
    if 0 in x.strides:
        steps = [step for step, n in zip(x.strides, x.shape, strict=True) if n > 1 and step]
        order = "C" if steps == sorted(steps, reverse=True) else "K"
    return x.copy(order=order), lambda dy: (dy,), ()


@moving
@differentiable_twice
def contiguous(needs, x):
    return np.ascontiguousarray(x), lambda dy: (dy,), ()


@moving
@differentiable_twice
def channels_last(needs, x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), lambda dy: (dy,), ()


# ---------------------------------------------------------------------------------------------------------
# In place: what was written, and which part of its base a view is
# ---------------------------------------------------------------------------------------------------------


@differentiable_twice
def overwrite(needs, x, value):
    """`value`, broadcast and cast to x, in whose place it comes."""
    shape, value_shape, value_dtype = x.shape, _shape(value), getattr(value, "dtype", None)

    def vjp(dy):
        return (
            np.zeros(shape, dy.dtype) if needs[0] else None,
            _cast(_sum_to(dy, value_shape), value_dtype) if needs[1] else None,
        )

    return np.array(np.broadcast_to(value, shape), dtype=x.dtype), vjp, ()


def geometry(base: np.ndarray, view: np.ndarray) -> tuple[Any, ...]:
    """Where a view lies in its base, in elements: both shapes, both strides, and how far it begins from there."""
    size = base.itemsize
    start, first = (array.__array_interface__["data"][0] for array in (base, view))
    steps = [tuple([stride // size for stride in array.strides]) for array in (base, view)]
    return base.shape, steps[0], view.shape, steps[1], (first - start) // size


def _mirror(geometry: tuple[Any, ...], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Zeros that lie as a base does, the part of them that lies as a view of it does, and all of their memory."""
    shape, steps, part_shape, part_steps, distance = geometry
    reach = [step * (n - 1) for n, step in zip(shape, steps, strict=True)] if 0 not in shape else []
    before, after = (builtins.sum(r for r in reach if (r < 0) == negative) for negative in (True, False))
    memory = np.zeros(after - before + 1, dtype)
    size = memory.itemsize
    whole = np.ndarray(shape, dtype, memory, -before * size, [step * size for step in steps])
    if 0 in part_shape:
        return whole, np.zeros(part_shape, dtype), memory
    part = np.ndarray(part_shape, dtype, memory, (distance - before) * size, [step * size for step in part_steps])
    return whole, part, memory


@moving
@differentiable_twice
def as_strided(needs, x, geometry):
    """What a view with this geometry holds if x is its base."""
    whole, part, _ = _mirror(geometry, x.dtype)
    whole[...] = x
    return part.copy(), lambda dy: (apply(as_strided_backward, dy, geometry=geometry),), ()


@differentiable_twice
def as_strided_backward(needs, x, geometry):
    """The sum, for each element of the base, of x where the view holds that element."""
    whole, _, memory = _mirror(geometry, x.dtype)
    _, places, order = _mirror(geometry, np.dtype(np.int64))
    order[...] = np.arange(order.size)
    np.add.at(memory, places.ravel(), x.ravel())
    return whole, lambda dy: (apply(as_strided, dy, geometry=geometry),), ()


@moving
@differentiable_twice
def copy_slices(needs, x, geometry):
    """The base x, with zeros where the view lies."""
    whole, part, _ = _mirror(geometry, x.dtype)
    whole[...] = x
    part[...] = 0
    return whole, lambda dy: (apply(copy_slices, dy, geometry=geometry),), ()


def as_strided_vjp(geometry: tuple[Any, ...]) -> Any:
    """The product of a view of a base that was written to."""
    return lambda dy: (apply(as_strided_backward, dy, geometry=geometry),)


def copy_slices_vjp(dy: Any, geometry: tuple[Any, ...]) -> Any:
    """The product of a base whose view was written to, with respect to the base before and to what was written."""
    return apply(copy_slices, dy, geometry=geometry), apply(as_strided, dy, geometry=geometry)
