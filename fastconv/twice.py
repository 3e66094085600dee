"""Gradients of layers as differentiable operations, for ``create_graph=True``.

A convolution y = conv(x, w) is linear in both of its arrays, and so are its gradients: with <a, b> the sum of products,
``<conv(x, w), dy> = <x, input(w, dy)> = <w, weight(x, dy)>``. So each of the three passes has the other two as its
gradients, and all orders of derivatives are these three. A transposed convolution is such a family of its own.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import numpy as np

from . import ops, primitives
from ._native.tape import apply, differentiable_twice

__all__ = [
    "FAMILIES",
    "average_gradient",
    "batch_norm",
    "convolution",
    "input_gradient",
    "linear",
    "relu",
    "weight_gradient",
]


class Passes(NamedTuple):
    forward: Callable[..., Any]
    input_gradient: Callable[..., Any]
    weight_gradient: Callable[..., Any]
    dims: int


FAMILIES = {
    "conv1d": Passes(ops.conv1d, ops.conv1d_input, ops.conv1d_weight, 1),
    "conv2d": Passes(ops.conv2d, ops.conv2d_input, ops.conv2d_weight, 2),
    "conv_transpose2d": Passes(ops.conv_transpose2d, ops.conv_transpose2d_input, ops.conv_transpose2d_weight, 2),
}


@differentiable_twice
def forward(needs, x, w, family, options):
    """y = conv(x, w), without a bias."""
    x_shape, w_shape = x.shape, w.shape

    def vjp(g, x, w):
        return (
            apply(input_gradient, w, g, family=family, size=x_shape, options=options) if needs[0] else None,
            apply(weight_gradient, x, g, family=family, size=w_shape, options=options) if needs[1] else None,
        )

    return FAMILIES[family].forward(x, w, **options), vjp, (x, w)


@differentiable_twice
def input_gradient(needs, w, dy, family, size, options):
    """dx of an input of shape `size`."""
    w_shape = w.shape

    def vjp(g, w, dy):
        return (
            apply(weight_gradient, g, dy, family=family, size=w_shape, options=options) if needs[0] else None,
            apply(forward, g, w, family=family, options=options) if needs[1] else None,
        )

    return FAMILIES[family].input_gradient(size, w, dy, **options), vjp, (w, dy)


@differentiable_twice
def weight_gradient(needs, x, dy, family, size, options):
    """dw of a weight of shape `size`."""
    x_shape = x.shape

    def vjp(g, x, dy):
        return (
            apply(input_gradient, g, dy, family=family, size=x_shape, options=options) if needs[0] else None,
            apply(forward, x, g, family=family, options=options) if needs[1] else None,
        )

    return FAMILIES[family].weight_gradient(x, size, dy, **options), vjp, (x, dy)


def convolution(
    dy: Any,
    x: Any,
    w: Any,
    needs: Sequence[bool],
    x_shape: tuple[Any, ...],
    w_shape: tuple[Any, ...],
    family: str,
    options: dict[Any, Any],
) -> tuple[Any, ...]:
    """dx, dw and db of a convolution, of tensors; None where a gradient is not needed."""
    channels = dy.ndim - FAMILIES[family].dims - 1
    others = tuple(d for d in range(dy.ndim) if d != channels)
    return (
        apply(input_gradient, w, dy, family=family, size=x_shape, options=options) if needs[0] else None,
        apply(weight_gradient, x, dy, family=family, size=w_shape, options=options) if needs[1] else None,
        apply(primitives.sum, dy, dim=others, keepdim=False) if needs[2] else None,
    )


def linear(dy: Any, x: Any, w: Any, needs: Sequence[bool]) -> tuple[Any, ...]:
    """dx, dw and db of ``y = x w^T + b``, of tensors."""
    lead = tuple(range(dy.ndim - 1))
    dx = dw = db = None
    if needs[0]:
        dx = apply(primitives.matmul, dy, w)
    if needs[1]:
        rows = dy.reshape((-1, dy.shape[-1]))
        dw = apply(primitives.matmul, apply(primitives.permute, rows, dims=(1, 0)), x.reshape((-1, x.shape[-1])))
    if needs[2]:
        db = apply(primitives.sum, dy, dim=lead, keepdim=False) if lead else dy
    return dx, dw, db


def relu(dy: Any, y: Any) -> Any:
    """dx of ``y = max(x, 0)``, of tensors."""
    return apply(primitives.select, dy, mask=~(y._array <= 0))


def batch_norm(
    dy: Any, x: Any, weight: Any, mean: np.ndarray, inverse_std: np.ndarray, eps: float, batch_statistics: bool
) -> tuple[Any, ...]:
    """dx, dw and db of batch normalisation, of tensors, recorded from x on; the constants are used outside training.

    With n elements per channel, z the normalised x and g = weight * dy::

        db = sum dy,    dw = sum dy z,    dx = (g - mean g - z mean(g z)) / std
    """
    over = (0, *range(2, x.ndim))
    shape = (1, -1) + (1,) * (x.ndim - 2)
    n = x._array.size // x.shape[1]

    def total(t: Any) -> Any:
        return apply(primitives.sum, t, dim=over, keepdim=True)

    if batch_statistics:
        centred = x - total(x) / n
        inverse = (total(centred * centred) / n + eps) ** -0.5
    else:
        centred = x - mean.astype(x._array.dtype).reshape(shape)
        inverse = inverse_std.astype(x._array.dtype).reshape(shape)
    z = centred * inverse
    g = dy if weight is None else dy * weight.reshape(shape)
    if batch_statistics:
        g = g - total(g) / n - z * (total(g * z) / n)
    return g * inverse, total(dy * z).reshape((-1,)), total(dy).reshape((-1,))


@differentiable_twice
def average(needs, x, options):
    """Average pooling."""
    shape = x.shape
    return ops.avg_pool2d(x, **options), lambda g: (apply(average_gradient, g, shape=shape, options=options),), ()


@differentiable_twice
def average_gradient(needs, dy, shape, options):
    """The gradient of average pooling, which is linear, as pooling is."""
    return ops.avg_pool2d_backward(dy, shape, **options), lambda g: (apply(average, g, options=options),), ()
