"""Distances and similarities of vectors."""

from __future__ import annotations

import numpy as np

from ..._tensor import Tensor
from ...functions import clamp, norm
from .arguments import Array, of_tensors

__all__ = ["cosine_similarity", "normalize", "pairwise_distance"]


def _vectors(name: str, *tensors: Tensor) -> None:
    for t in tensors:
        if not isinstance(t, Tensor):
            raise TypeError(f"{name}() expects Tensors or ndarrays, got {t!r} of type {type(t).__name__}")


@of_tensors
def normalize(input: Array, p: float = 2.0, dim: int = 1, eps: float = 1e-12) -> Array:
    """The input divided by its p-norm along `dim`, or by `eps` where that is larger."""
    _vectors("normalize", input)
    return input / clamp(norm(input, p, dim, True), min=eps)


@of_tensors
def cosine_similarity(x1: Array, x2: Array, dim: int = 1, eps: float = 1e-8) -> Array:
    """``sum(x1 * x2) / (max(|x1|, eps) * max(|x2|, eps))`` along `dim`; the shapes are broadcast."""
    _vectors("cosine_similarity", x1, x2)
    shape = np.broadcast_shapes(x1.shape, x2.shape) or (1,)
    x1, x2 = (normalize(x.expand(*shape), 2, dim, eps) for x in (x1, x2))
    return (x1 * x2).sum(dim)


@of_tensors
def pairwise_distance(x1: Array, x2: Array, p: float = 2.0, eps: float = 1e-6, keepdim: bool = False) -> Array:
    """The p-norm of ``x1 - x2 + eps`` along the last dimension; the shapes are broadcast."""
    _vectors("pairwise_distance", x1, x2)
    return norm(x1 - x2 + eps, p, -1, keepdim)
