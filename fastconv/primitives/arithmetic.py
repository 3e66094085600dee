"""Arithmetic, activations and what chooses between two operands."""

from typing import Any

import numpy as np

from .. import elementwise, layer_passes
from .._native.tape import TensorBase, apply, differentiable_twice
from .products import (
    computed,
    dim_of,
    plain,
    selected,
    shape_of,
    sign_of,
    sum_back,
    summed,
    times,
    transposed,
)

__all__ = [
    "abs",
    "add",
    "clamp",
    "div",
    "exp",
    "extremum",
    "floor_divide",
    "lerp",
    "log",
    "log_softmax",
    "matmul",
    "mul",
    "neg",
    "pow",
    "remainder",
    "scale",
    "sigmoid",
    "softmax",
    "sqrt",
    "sub",
    "tanh",
    "where",
]


@differentiable_twice
def add(needs, x, y):
    x_shape, y_shape = shape_of(x), shape_of(y)

    def vjp(dy):
        return sum_back(dy, x_shape) if needs[0] else None, sum_back(dy, y_shape) if needs[1] else None

    y = elementwise.add(x, y) if x_shape == y_shape else computed(np.add, x, y)
    return y, vjp, ()


@differentiable_twice
def sub(needs, x, y):
    x_shape, y_shape = shape_of(x), shape_of(y)

    def vjp(dy):
        return sum_back(dy, x_shape) if needs[0] else None, -sum_back(dy, y_shape) if needs[1] else None

    return computed(np.subtract, x, y), vjp, ()


@differentiable_twice
def mul(needs, x, y):
    x_shape, y_shape = shape_of(x), shape_of(y)

    def vjp(dy, x, y):  # each gradient takes the other operand
        dx, dy = times(dy, y) if needs[0] else None, times(dy, x) if needs[1] else None
        return sum_back(dx, x_shape) if needs[0] else None, sum_back(dy, y_shape) if needs[1] else None

    return times(x, y), vjp, (x if needs[1] else None, y if needs[0] else None)


@differentiable_twice
def scale(needs, x, factor):
    """x times a number that nothing is kept of, as the alpha of a sum."""
    return x * factor, lambda dy: (dy * factor,), ()


@differentiable_twice
def div(needs, x, y):
    x_shape, y_shape = shape_of(x), shape_of(y)

    def vjp(dy, x, y):
        dx = computed(np.divide, dy, y) if isinstance(dy, np.ndarray) else dy / y
        return (
            sum_back(dx, x_shape) if needs[0] else None,
            sum_back(-dx * (x / y), y_shape) if needs[1] else None,
        )

    return computed(np.divide, x, y), vjp, (x if needs[1] else None, y)


def floor_divide(needs: Any, x: Any, y: Any) -> Any:
    def vjp(dy):
        raise NotImplementedError("the derivative of floor_divide() is not implemented")

    return np.floor_divide(x, y), vjp, ()


@differentiable_twice
def lerp(needs, x, end, weight):
    """x + weight (end - x), from the nearer end, so that it is either end exactly at weights 0 and 1."""
    x_shape, end_shape, weight_shape = x.shape, end.shape, shape_of(weight)
    way = end - x
    y = np.where(np.abs(weight) < 0.5, x + weight * way, end - way * (1 - weight)).astype(x.dtype, copy=False)

    def vjp(dy, x, end, weight):
        return (
            sum_back(dy * (1 - weight), x_shape) if needs[0] else None,
            sum_back(dy * weight, end_shape) if needs[1] else None,
            sum_back(dy * (end - x), weight_shape) if needs[2] else None,
        )

    return y, vjp, (x if needs[2] else None, end if needs[2] else None, weight)


@differentiable_twice
def remainder(needs, x, y):
    """x - floor(x / y) * y; the floor is constant between its steps."""
    x_shape, y_shape = shape_of(x), shape_of(y)

    def vjp(dy, floor=None):
        return sum_back(dy, x_shape) if needs[0] else None, sum_back(-dy * floor, y_shape) if needs[1] else None

    return np.remainder(x, y), vjp, (np.floor_divide(x, y),) if needs[1] else ()


@differentiable_twice
def pow(needs, x, p):
    if isinstance(p, (int, float)):

        def vjp_number(dy, x):
            if p == 0:
                return np.zeros_like(plain(x)), None
            return times(dy, times(x, 2) if p == 2 else p * x ** (p - 1)), None

        return computed(np.multiply, x, x) if p == 2 else x**p, vjp_number, (x,)
    x_shape, p_shape = shape_of(x), p.shape
    y = x**p

    def vjp(dy, x, p, y):
        dx = dp = None
        if needs[0]:
            flat = plain(p) == 0
            dx = sum_back(selected(~flat, dy * (p * x ** (p - 1))), x_shape)
        if needs[1]:  # 0 ** p is constant where p > 0
            exponential = ~((plain(x) == 0) & (plain(p) >= 0))
            log_x = apply(log, x) if isinstance(x, (TensorBase, np.ndarray)) else np.log(x)
            dp = sum_back(selected(exponential, dy * (y * log_x)), p_shape)
        return dx, dp

    return y, vjp, (x, p, y if needs[1] else None)


@differentiable_twice
def neg(needs, x):
    return computed(np.negative, x), lambda dy: (-dy,), ()


@differentiable_twice
def abs(needs, x):
    return computed(np.abs, x), lambda dy, x: (times(dy, sign_of(x)),), (x,)


@differentiable_twice
def exp(needs, x):
    y = computed(np.exp, x)
    return y, lambda dy, y: (times(dy, y),), (y,)


@differentiable_twice
def log(needs, x):
    return computed(np.log, x), lambda dy, x: (dy / x,), (x,)


@differentiable_twice
def sqrt(needs, x):
    y = computed(np.sqrt, x)
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
    dim = dim_of(x, dim)

    def vjp(dy, y):
        if isinstance(dy, np.ndarray):
            return (elementwise.softmax_backward(dy, y, dim),)
        return (y * (dy - summed(dy * y, dim, True)),)

    y = elementwise.softmax(x, dim)
    return y, vjp, (y,)


@differentiable_twice
def log_softmax(needs, x, dim):
    dim = dim_of(x, dim)

    def vjp(dy, y):
        if isinstance(dy, np.ndarray):
            return (elementwise.log_softmax_backward(dy, y, dim),)
        return (dy - apply(exp, y) * summed(dy, dim, True),)

    y = elementwise.log_softmax(x, dim)
    return y, vjp, (y,)


@differentiable_twice
def clamp(needs, x, low, high):
    """Limits are numbers, arrays or None; a lower one above the upper one gives way to it."""
    x_shape, low_shape, high_shape = x.shape, shape_of(low), shape_of(high)

    def vjp(dy, x, low, high):
        x, low, high = plain(x), plain(low), plain(high)
        both = low is not None and high is not None
        under, over = low is not None and x < low, high is not None and x > high
        dx = dlow = dhigh = None
        if needs[0]:
            inside = (x == x) if low is None else x >= low
            dx = sum_back(selected(inside if high is None else inside & (x <= high), dy), x_shape)
        if needs[1]:
            dlow = sum_back(selected(under & np.less(low, high) if both else under, dy), low_shape)
        if needs[2]:
            dhigh = sum_back(selected(over | np.greater(low, high) if both else over, dy), high_shape)
        return dx, dlow, dhigh

    return np.clip(x, low, high), vjp, (x, low, high)


@differentiable_twice
def where(needs, condition, x, y):
    condition = np.asarray(condition, np.bool_)
    x_shape, y_shape = shape_of(x), shape_of(y)

    def vjp(dy, condition):
        return (
            None,
            sum_back(selected(condition, dy), x_shape) if needs[1] else None,
            sum_back(selected(~plain(condition), dy), y_shape) if needs[2] else None,
        )

    return np.where(condition, x, y), vjp, (condition,)


@differentiable_twice
def extremum(needs, x, y, sign):
    """The larger (sign 1) or the smaller (sign -1) of two arrays; equals share the gradient, NaN goes first."""
    x_shape, y_shape = shape_of(x), shape_of(y)

    def vjp(dy, x, y):
        x, y = plain(x), plain(y)
        share = dy * np.where(x == y, dy.dtype.type(0.5), dy.dtype.type(1))
        less, more = (x < y, x > y) if sign > 0 else (x > y, x < y)
        return (
            sum_back(selected(~less, share), x_shape) if needs[0] else None,
            sum_back(selected(~more, share), y_shape) if needs[1] else None,
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
            sum_back(dy @ transposed(y.reshape(columns)), rows).reshape(x_shape) if needs[0] else None,
            sum_back(transposed(x.reshape(rows)) @ dy, columns).reshape(y_shape) if needs[1] else None,
        )

    return out, vjp, (x if needs[1] else None, y if needs[0] else None)
