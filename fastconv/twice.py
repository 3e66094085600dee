"""Gradients of layers as recorded operations, for ``create_graph=True``, where the product takes arrays alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import primitives
from ._native.tape import apply

__all__ = ["batch_norm", "normalise"]


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


def normalise(dy: Any, x: Any, weight: Any, rows: int, run: int, weights: int, eps: float) -> tuple[Any, ...]:
    """dx, dw and db of layer, group or instance normalisation, of tensors, recorded from x on.

    x are so many rows, each normalised by itself; `run` neighbours share one of the `weights`. Where there are none dw
    and db are those of weights that would be 1 and 0. The equations are those of :func:`batch_norm`, over rows.
    """
    n = x._array.size // max(rows, 1)

    def total(t: Any, dim: Any = 1) -> Any:
        return apply(primitives.sum, t, dim=dim, keepdim=dim == 1)

    lines = x.reshape((rows, n))
    centred = lines - total(lines) / n
    inverse = (total(centred * centred) / n + eps) ** -0.5
    z = centred * inverse
    by_weight = (rows * n // (weights * run), weights, run)
    g = dy.reshape(by_weight)
    dw, db = total(g * z.reshape(by_weight), (0, 2)), total(g, (0, 2))
    g = (g if weight is None else g * weight.reshape((1, weights, 1))).reshape((rows, n))
    dx = (g - total(g) / n - z * (total(g * z) / n)) * inverse
    return dx.reshape(x.shape), dw, db
