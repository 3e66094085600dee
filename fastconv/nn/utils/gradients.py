"""Gradients limited, and parameters as one vector."""

from __future__ import annotations

import math
from collections.abc import Iterable

import numpy as np

from ..._native import layer_passes, passes
from ..._tensor import Tensor
from ...checks import number
from ...creation import from_numpy
from ...functions import cat

__all__ = ["clip_grad_norm_", "clip_grad_value_", "parameters_to_vector", "vector_to_parameters"]


def _norm(g: np.ndarray, p: float) -> float:
    """The p-norm of all elements, added up in float64."""
    if p == 2 and g.size and g.flags.c_contiguous and g.dtype in (np.float32, np.float64):
        total, dot = np.empty(1), np.empty(1)
        plane = g.reshape(1, 1, -1)
        passes.channel_dots(plane, plane, np.zeros(1), total, dot)
        if 1e-20 < dot[0] < np.inf:  # else squares may be more or less than float32 holds
            return math.sqrt(dot[0])
    return float(np.linalg.norm(g.ravel().astype(np.float64), p))


def clip_grad_norm_(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
) -> Tensor:
    """Scale all gradients, in place, so that their norm together is at most `max_norm`.

    Parameters
    ----------
    parameters : Tensor or iterable of Tensor
    max_norm : float
    norm_type : float
        p of the p-norm; ``inf`` is the largest magnitude.
    error_if_nonfinite : bool
        Raise a RuntimeError if the norm is infinite or NaN.

    Returns
    -------
    Tensor
        The norm before scaling.
    """
    number(max_norm, "max_norm", 0), number(norm_type, "norm_type")
    parameters = [parameters] if isinstance(parameters, Tensor) else list(parameters)
    for p in parameters:
        if not isinstance(p, Tensor):
            raise TypeError(f"clip_grad_norm_() expects Tensors as parameters, got {p!r} of type {type(p).__name__}")
    gradients = [p.grad.numpy() for p in parameters if p.grad is not None]
    norms = np.array([_norm(g, norm_type) for g in gradients])
    total = float(np.linalg.norm(norms, norm_type)) if gradients else 0.0
    if error_if_nonfinite and not np.isfinite(total):
        raise RuntimeError(f"the norm of order {norm_type} of the gradients is {total}, so they cannot be clipped")
    scale = max_norm / (total + 1e-6)
    if not scale >= 1:  # NaN, too, goes into the gradients
        for g in gradients:
            g *= scale
    return from_numpy(np.asarray(total, gradients[0].dtype if gradients else np.float32))


def clip_grad_value_(parameters: Tensor | Iterable[Tensor], clip_value: float) -> None:
    """Limit every element of all gradients, in place, to [-clip_value, clip_value]."""
    clip_value = float(number(clip_value, "clip_value"))
    for p in [parameters] if isinstance(parameters, Tensor) else parameters:
        if p.grad is not None:
            g = p.grad.numpy()
            if g.dtype in (np.float32, np.float64) and g.flags.carray:
                layer_passes.activate(0, g, g, -clip_value, clip_value)
            else:
                p.grad.clamp_(-clip_value, clip_value)


def parameters_to_vector(parameters: Iterable[Tensor]) -> Tensor:
    """All parameters, flattened and joined."""
    return cat([p.reshape(-1) for p in parameters])


def vector_to_parameters(vec: Tensor, parameters: Iterable[Tensor]) -> None:
    """Copy the pieces of a vector into the parameters."""
    parameters = list(parameters)
    total = sum(p.numel() for p in parameters)
    if vec.shape != (total,):
        raise ValueError(f"expected a vector of {total} elements for the parameters, got shape {list(vec.shape)}")
    start = 0
    for p in parameters:
        p._array[...] = vec._array[start : start + p.numel()].reshape(p.shape)
        start += p.numel()
