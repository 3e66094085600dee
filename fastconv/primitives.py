"""The differentiable operations on tensors, as functions of ndarrays.

Each is one function ``op(needs, *arrays, **options) -> (result, vjp, *extra)``, where vjp is the vector-Jacobian
product as :mod:`fastconv.autograd` describes it, `needs` tells for each array whether its gradient will be
asked for, and `extra` are results without a gradient. A new operation is one more function here.
"""

import builtins
import math

import numpy as np

from . import elementwise

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
    "index",
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
    "relu",
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
    """Sum; small floats in float64, for NumPy adds along any but the last axis one by one."""
    if x.dtype.itemsize < 8:
        return np.add.reduce(x, axis=axis, dtype=np.float64, keepdims=keepdims).astype(x.dtype)
    return np.add.reduce(x, axis=axis, keepdims=keepdims)


def _sum_to(dy: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum `dy` over the axes along which an operand of this shape was broadcast."""
    if dy.shape == shape:
        return dy
    lead = dy.ndim - len(shape)
    stretched = tuple(lead + i for i, n in enumerate(shape) if n == 1)
    return _sum_float(dy, (*range(lead), *stretched)).reshape(shape)


def _shape(x) -> tuple[int, ...]:
    return getattr(x, "shape", ())


def add(needs, x, y):
    x_shape, y_shape = _shape(x), _shape(y)
    return elementwise.add(x, y), lambda dy: (
        _sum_to(dy, x_shape) if needs[0] else None,
        _sum_to(dy, y_shape) if needs[1] else None,
    )


def sub(needs, x, y):
    x_shape, y_shape = _shape(x), _shape(y)
    return x - y, lambda dy: (
        _sum_to(dy, x_shape) if needs[0] else None,
        -_sum_to(dy, y_shape) if needs[1] else None,
    )


def mul(needs, x, y):
    out, x_shape, y_shape = x * y, _shape(x), _shape(y)
    x, y = x if needs[1] else None, y if needs[0] else None  # each gradient takes the other operand
    return out, lambda dy: (
        _sum_to(dy * y, x_shape) if needs[0] else None,
        _sum_to(dy * x, y_shape) if needs[1] else None,
    )


def div(needs, x, y):
    out, x_shape = x / y, _shape(x)
    x = x if needs[1] else None
    return out, lambda dy: (
        _sum_to(dy / y, x_shape) if needs[0] else None,
        _sum_to(-dy * x / (y * y), y.shape) if needs[1] else None,
    )


def pow(needs, x, p):
    out = x * x if isinstance(p, (int, float)) and p == 2 else x**p
    if not needs[1] and isinstance(p, (int, float)):
        return out, lambda dy: (dy * (2 * x if p == 2 else p * x ** (p - 1) if p else np.zeros_like(x)), None)
    x = np.asarray(x)

    def vjp(dy):
        dx = dp = None
        if needs[0]:
            dx = _sum_to(dy * np.where(p == 0, 0, p * x ** np.where(p == 0, 1, p - 1)).astype(dy.dtype), x.shape)
        if needs[1]:
            log_x = np.log(x, where=x > 0, out=np.zeros(x.shape, dy.dtype))  # 0 ** p is constant where p > 0
            dp = _sum_to(dy * out * log_x, p.shape)
        return dx, dp

    return out, vjp


def neg(needs, x):
    return -x, lambda dy: (-dy,)


def abs(needs, x):
    return np.abs(x), lambda dy: (dy * np.sign(x),)


def exp(needs, x):
    y = np.exp(x)
    return y, lambda dy: (dy * y,)


def log(needs, x):
    return np.log(x), lambda dy: (dy / x,)


def sqrt(needs, x):
    y = np.sqrt(x)
    return y, lambda dy: (dy / (2 * y),)


def tanh(needs, x):
    y = np.tanh(x)
    return y, lambda dy: (dy * (1 - y * y),)


def sigmoid(needs, x):
    y = elementwise.sigmoid(x)
    return y, lambda dy: (dy * y * (1 - y),)


def relu(needs, x):
    y = elementwise.relu(x)
    return y, lambda dy: (elementwise.relu_backward(dy, y),)


def softmax(needs, x, dim):
    y = elementwise.softmax(x, dim)
    return y, lambda dy: (elementwise.softmax_backward(dy, y, dim),)


def log_softmax(needs, x, dim):
    y = elementwise.log_softmax(x, dim)
    return y, lambda dy: (elementwise.log_softmax_backward(dy, y, dim),)


def clamp(needs, x, min, max):
    def vjp(dy):
        inside = np.ones(x.shape, np.bool_)
        if min is not None:
            inside &= x >= min
        if max is not None:
            inside &= x <= max
        return (dy * inside,)

    return np.clip(x, min, max), vjp


def where(needs, condition, x, y):
    condition = np.asarray(condition, np.bool_)
    x_shape, y_shape = _shape(x), _shape(y)
    return np.where(condition, x, y), lambda dy: (
        None,
        _sum_to(dy * condition, x_shape) if needs[1] else None,
        _sum_to(dy * ~condition, y_shape) if needs[2] else None,
    )


def matmul(needs, x, y):
    out, x_shape, y_shape = np.matmul(x, y), x.shape, y.shape
    # A vector is a row on the left and a column on the right.
    x = x[None, :] if x.ndim == 1 else x
    y = y[:, None] if y.ndim == 1 else y
    rows, columns = x.shape, y.shape
    x, y = x if needs[1] else None, y if needs[0] else None

    def vjp(dy):
        if len(x_shape) == 1:
            dy = np.expand_dims(dy, -2) if len(y_shape) > 1 else dy[None]
        if len(y_shape) == 1:
            dy = dy[..., None]
        return (
            _sum_to(dy @ y.swapaxes(-1, -2), rows).reshape(x_shape) if needs[0] else None,
            _sum_to(x.swapaxes(-1, -2) @ dy, columns).reshape(y_shape) if needs[1] else None,
        )

    return out, vjp


def _spread(dy: np.ndarray, shape: tuple[int, ...], dim, keepdim: bool) -> np.ndarray:
    """The gradient of a reduction, with the reduced axes back (as a view)."""
    if dim is not None and not keepdim:
        dy = np.expand_dims(dy, dim)
    return np.broadcast_to(dy, shape)


def _count(shape: tuple[int, ...], dim) -> int:
    """Number of elements that a reduction over `dim` takes together."""
    dims = range(len(shape)) if dim is None else dim if isinstance(dim, tuple) else (dim,)
    return math.prod(shape[d] for d in dims)


def sum(needs, x, dim, keepdim):
    shape = x.shape
    y = _sum_float(x, dim, keepdim) if x.dtype.kind == "f" else np.add.reduce(x, dim, np.int64, keepdims=keepdim)
    return y, lambda dy: (_spread(dy, shape, dim, keepdim),)


def mean(needs, x, dim, keepdim):
    shape, n = x.shape, _count(x.shape, dim)
    y = np.divide(_sum_float(x, dim, keepdim), n)
    return y, lambda dy: (_spread(dy / n, shape, dim, keepdim),)


def var(needs, x, dim, keepdim, correction):
    n = _count(x.shape, dim)
    y = np.var(x, axis=dim, ddof=correction, keepdims=keepdim, dtype=np.float64).astype(x.dtype)

    def vjp(dy):
        dx = x - np.mean(x, axis=dim, keepdims=True, dtype=np.float64).astype(x.dtype)
        dx *= _spread(dy * (2 / builtins.max(n - correction, 0) if n > correction else np.nan), x.shape, dim, keepdim)
        return (dx,)

    return y, vjp


def max(needs, x, dim, keepdim, sign):
    """The largest (sign 1) or the smallest (sign -1) element, and without a `dim` the gradient goes to all ties."""
    if dim is None:
        y = x.max() if sign > 0 else x.min()

        def vjp_all(dy):
            ties = x == y if y == y else np.isnan(x)
            return (ties * (dy / np.count_nonzero(ties)),)

        return y, vjp_all
    indices = np.expand_dims(np.argmax(x, axis=dim) if sign > 0 else np.argmin(x, axis=dim), dim)
    shape, dtype = x.shape, x.dtype

    def vjp(dy):
        dx = np.zeros(shape, dtype)
        np.put_along_axis(dx, indices, dy if keepdim else np.expand_dims(dy, dim), axis=dim)
        return (dx,)

    y = np.take_along_axis(x, indices, axis=dim)
    return (y, vjp, indices) if keepdim else (y.squeeze(dim), vjp, indices.squeeze(dim))


def norm(needs, x, p, dim, keepdim):
    if p == 2:
        y = np.sqrt(_sum_float(np.square(x), dim, keepdim))
    elif np.isinf(p):
        y = (np.max if p > 0 else np.min)(np.abs(x), axis=dim, keepdims=keepdim)
    elif p == 0:
        y = np.count_nonzero(x, axis=dim, keepdims=keepdim)
        return np.asarray(y, x.dtype), lambda dy: (np.zeros_like(x),)
    else:
        y = _sum_float(np.abs(x) ** p, dim, keepdim) ** (1 / p)

    def vjp(dy):
        norm = _spread(y, x.shape, dim, keepdim)
        dy = _spread(dy, x.shape, dim, keepdim)
        if np.isinf(p):
            ties = np.abs(x) == norm
            return (dy * np.sign(x) * ties / np.count_nonzero(ties, axis=dim, keepdims=True),)
        # d|x|/dx = sign(x) |x|^(p-1) / norm^(p-1); of the many subgradients at norm 0, the zero
        scale = np.divide(dy, norm ** (p - 1), where=norm != 0, out=np.zeros(x.shape, x.dtype))
        scale *= x if p == 2 else np.sign(x) * np.abs(x) ** (p - 1)
        return (scale,)

    return y, vjp


def reshape(needs, x, shape):
    old = x.shape
    return x.reshape(shape), lambda dy: (dy.reshape(old),)


def permute(needs, x, dims):
    return x.transpose(dims), lambda dy: (dy.transpose(np.argsort(dims)),)


def expand(needs, x, shape):
    old = x.shape
    return np.broadcast_to(x, shape), lambda dy: (_sum_to(dy, old),)


def index(needs, x, index, basic):
    shape, dtype = x.shape, x.dtype

    def vjp(dy):
        dx = np.zeros(shape, dtype)
        if basic:
            dx[index] = dy
        else:
            np.add.at(dx, index, dy)  # an element may be taken more than once
        return (dx,)

    return x[index], vjp


def cat(needs, *arrays, dim):
    sizes = [x.shape[dim] for x in arrays]

    def vjp(dy):
        parts = np.split(dy, np.cumsum(sizes)[:-1], axis=dim)
        return [part if need else None for part, need in zip(parts, needs, strict=True)]

    return np.concatenate(arrays, axis=dim), vjp


def stack(needs, *arrays, dim):
    def vjp(dy):
        return [part if need else None for part, need in zip(np.moveaxis(dy, dim, 0), needs, strict=True)]

    return np.stack(arrays, axis=dim), vjp


def cast(needs, x, dtype):
    old = x.dtype
    return x.astype(dtype), lambda dy: (dy.astype(old),)


def clone(needs, x):
    return x.copy(order="K"), lambda dy: (dy,)


def contiguous(needs, x):
    return np.ascontiguousarray(x), lambda dy: (dy,)
