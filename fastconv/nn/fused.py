"""Layers that follow each other, computed as one: what Sequential and the blocks of networks call."""

from __future__ import annotations

import contextlib
import math
from collections.abc import Callable, Iterator
from contextvars import ContextVar
from types import FunctionType
from typing import Any

from .._native.layers.normalisation import batch_norm
from .._tensor import Tensor
from . import functional as F
from .activations import ReLU, ReLU6
from .module import Module
from .normalisation import BatchNorm1d, BatchNorm2d, BatchNorm3d

__all__ = ["NORMS", "at_once", "can_wait", "fusible", "is_apart", "one_by_one", "rectified"]

# Those whose forward() is the package's, and not what a program has put in its place.
_FORWARDS = {kind: kind.forward for kind in (BatchNorm1d, BatchNorm2d, BatchNorm3d, ReLU, ReLU6)}

NORMS = frozenset({BatchNorm1d, BatchNorm2d, BatchNorm3d})
_FUNCTIONS: dict[Any, float] = {F.relu: math.nan, F.relu6: 6.0}
_CEILINGS: dict[Any, float] = {ReLU: math.nan, ReLU6: 6.0, **_FUNCTIONS}

_apart = ContextVar("apart", default=False)


@contextlib.contextmanager
def one_by_one() -> Iterator[None]:
    """Let every layer be computed by itself, for whoever watches the functions that are called."""
    token = _apart.set(True)
    try:
        yield
    finally:
        _apart.reset(token)


def is_apart() -> bool:
    """Whether every layer is computed by itself now."""
    return _apart.get()


def _is_plain(module: Any) -> bool:
    """Whether nothing but the forward() of its class, as it was defined, is called."""
    kind = type(module)
    return module._hooks is None and "forward" not in module.__dict__ and kind.forward is _FORWARDS.get(kind)


def fusible(norm: Module, rectifier: Module | Callable[..., Any]) -> bool:
    """Whether batch norm and a rectifier, a layer or a function, can be one: the package's own, without hooks."""
    if type(norm) not in NORMS or _apart.get() or not _is_plain(norm):
        return False
    if isinstance(rectifier, Module):
        return type(rectifier) in _CEILINGS and _is_plain(rectifier)
    return isinstance(rectifier, FunctionType) and rectifier in _FUNCTIONS


def _batch_norm(x: Tensor, mean: Any, variance: Any, weight: Any, bias: Any, *more: Any) -> Tensor:
    """The compiled operation, with functional.batch_norm's order of arguments."""
    return batch_norm(x, weight, bias, mean, variance, *more)


def can_wait(norm: Any, x: Any) -> bool:
    """Whether it is batch norm that :func:`at_once` may compute together with what follows it."""
    return type(norm) in NORMS and not _apart.get() and _is_plain(norm) and isinstance(x, Tensor)


def at_once(norm: Any, rectifier: Any, x: Tensor, residual: Any) -> Any:
    """:func:`rectified` as one operation, or NotImplemented."""
    if (
        fusible(norm, rectifier)
        and isinstance(x, Tensor)
        and (
            residual is None
            or (isinstance(residual, Tensor) and residual.shape == x.shape and residual.dtype == x.dtype)
        )
        and x.dtype.itemsize > 2
    ):
        kind = type(rectifier) if isinstance(rectifier, Module) else rectifier
        return norm._normalised(x, _batch_norm, residual, True, _CEILINGS[kind])
    return NotImplemented


def rectified(
    norm: Module, rectifier: Module | Callable[..., Any], x: Tensor, residual: Tensor | None = None
) -> Tensor:
    """``rectifier(norm(x) + residual)``, or ``rectifier(norm(x))`` without a residual.

    Batch norm with ReLU or ReLU6 is one operation, in some 8 instead of 13 passes over memory, and results and
    gradients have the same bits. Other layers, those with hooks, and residuals of another size are computed one by one.
    """
    result = at_once(norm, rectifier, x, residual)
    if result is NotImplemented:
        y = norm(x)
        result = rectifier(y if residual is None else y + residual)
    return result
