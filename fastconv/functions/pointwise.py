"""Functions of each element by itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from .. import primitives
from .._native import layers
from .._native.tape import TensorBase, apply
from ..checks import brief, dimension, number
from ..dtypes import ARRAYS, OPERANDS, result_type
from .operands import as_operand, floating, operands

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "abs",
    "clamp",
    "exp",
    "log",
    "log_softmax",
    "maximum",
    "minimum",
    "neg",
    "relu",
    "sigmoid",
    "softmax",
    "sqrt",
    "tanh",
    "where",
]


def neg(input: Tensor) -> Tensor:
    """``-input``."""
    return apply(primitives.neg, input)


def abs(input: Tensor) -> Tensor:
    """Absolute value, element-wise; its gradient at 0 is 0."""
    return apply(primitives.abs, input)


def exp(input: Tensor) -> Tensor:
    """e to the power of `input`, element-wise."""
    return apply(primitives.exp, floating(input, "exp"))


def log(input: Tensor) -> Tensor:
    """Natural logarithm, element-wise."""
    return apply(primitives.log, floating(input, "log"))


def sqrt(input: Tensor) -> Tensor:
    """Square root, element-wise."""
    return apply(primitives.sqrt, floating(input, "sqrt"))


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent, element-wise."""
    return apply(primitives.tanh, floating(input, "tanh"))


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``, element-wise."""
    return apply(primitives.sigmoid, floating(input, "sigmoid"))


def relu(input: Tensor) -> Tensor:
    """``max(input, 0)``, element-wise; its gradient at 0 is 0."""
    if not isinstance(input, ARRAYS):
        raise TypeError(f"relu() expects a Tensor, got {type(input).__name__}")
    y = layers.relu(input)
    return apply(primitives.relu, input) if y is None else y


def softmax(input: Tensor, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """``exp(input) / sum(exp(input))`` over dimension `dim`; `dtype` casts the input first."""
    x = floating(as_operand(input, None if dtype is None else np.dtype(dtype)), "softmax")
    return apply(primitives.softmax, x, dim=dimension(dim, x.ndim))


def log_softmax(input: Tensor, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """``log(softmax(input, dim))``, without overflow; `dtype` casts the input first."""
    x = floating(as_operand(input, None if dtype is None else np.dtype(dtype)), "log_softmax")
    return apply(primitives.log_softmax, x, dim=dimension(dim, x.ndim))


def clamp(input: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Limit every element to [`min`, `max`]; the gradient is 0 for what lies outside."""
    if min is None and max is None:
        raise ValueError("clamp() expects min or max or both, got min=None and max=None")
    for name, limit in (("min", min), ("max", max)):
        if limit is not None and not isinstance(limit, TensorBase | np.ndarray):
            number(limit, f"clamp()'s {name}")
    return apply(primitives.clamp, input, min, max)


def where(condition: Tensor, input: Tensor | float, other: Tensor | float) -> Tensor:
    """`input` where `condition` (bools) holds, else `other`, with broadcasting."""
    for value in (input, other):
        if not isinstance(value, OPERANDS):
            raise TypeError(f"where() expects tensors or numbers, got {brief(value)}")
    if not isinstance(condition, (TensorBase, np.ndarray, bool, np.bool_)):
        raise TypeError(f"where() expects a tensor of bools as condition, got {brief(condition)}")
    x, y = operands(input, other)
    if not isinstance(x, ARRAYS) and not isinstance(y, ARRAYS):
        x = np.asarray(x, result_type(x, y))
    try:
        return apply(primitives.where, condition, x, y)
    except ValueError:
        shapes = [list(np.shape(a._array if isinstance(a, TensorBase) else a)) for a in (condition, x, y)]
        raise RuntimeError(f"where() cannot broadcast the shapes {shapes}") from None


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two tensors, element-wise with broadcasting; equals share the gradient, NaN counts as largest."""
    return apply(primitives.extremum, *operands(input, other), sign=1)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two tensors, element-wise with broadcasting; equals share the gradient, NaN counts as smallest."""
    return apply(primitives.extremum, *operands(input, other), sign=-1)
