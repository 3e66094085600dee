"""Gradients of layers as recorded operations, for ``create_graph=True``, where the product takes arrays alone."""

from __future__ import annotations

from typing import Any

import numpy as np

from . import primitives
from ._native.tape import apply

__all__ = ["batch_norm"]


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
