"""Functions of each element by itself."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import DTypeLike

from .. import primitives
from .._native.layers import pointwise
from .._native.tape import TensorBase
from ..checks import brief, dimension, number
from ..dtypes import ARRAYS, OPERANDS, as_dtype, category, fitting, float32, float64, result_type
from .operands import apply, as_operand, elementwise, floating, into, numpy_names, operands, quiet
from .selection import nonzero

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


def neg(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``-input``; RuntimeError for bools."""
    if category(input) == 0:
        raise RuntimeError(
            "Negation, the `-` operator, on a bool tensor is not supported. If you are trying to invert a mask, use "
            "the `~` or `logical_not()` operator instead."
        )
    return into(out, apply(primitives.neg, input), input)


def abs(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Absolute value, element-wise; its gradient at 0 is 0. NotImplementedError for bools."""
    if category(input) == 0:
        raise NotImplementedError("\"abs_cpu\" not implemented for 'Bool'")
    return into(out, apply(primitives.abs, input), input)


@quiet
def exp(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """e to the power of `input`, element-wise."""
    return into(out, apply(primitives.exp, floating(input, "exp")), input)


@quiet
def log(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Natural logarithm, element-wise."""
    return into(out, apply(primitives.log, floating(input, "log")), input)


@quiet
def sqrt(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Square root, element-wise."""
    return into(out, apply(primitives.sqrt, floating(input, "sqrt")), input)


@quiet
def tanh(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Hyperbolic tangent, element-wise."""
    return into(out, apply(primitives.tanh, floating(input, "tanh")), input)


@quiet
def sigmoid(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``1 / (1 + exp(-input))``, element-wise."""
    return into(out, apply(primitives.sigmoid, floating(input, "sigmoid")), input)


def relu(input: Tensor) -> Tensor:
    """``max(input, 0)``, element-wise; its gradient at 0 is 0."""
    if not isinstance(input, ARRAYS):
        raise TypeError(f"relu() expects a Tensor, got {type(input).__name__}")
    if category(input) == 0:
        raise RuntimeError("Boolean inputs not supported for relu")
    return pointwise.relu(input)


@numpy_names
def softmax(input: Tensor, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """``exp(input) / sum(exp(input))`` over dimension `dim`; `dtype` casts the input first.

    Examples
    --------
    >>> fastconv.softmax(fastconv.tensor([0.0, 0.0]), dim=0)
    tensor([0.5000, 0.5000])
    """
    return _softmax(primitives.softmax, input, dim, dtype)


@numpy_names
def log_softmax(input: Tensor, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """``log(softmax(input, dim))``, without overflow; `dtype` casts the input first."""
    return _softmax(primitives.log_softmax, input, dim, dtype)


@quiet
def _softmax(op: Callable[..., Any], input: Any, dim: int, dtype: DTypeLike | None) -> Tensor:
    x = floating(as_operand(input, None if dtype is None else as_dtype(dtype)), op.__name__)
    return apply(op, x, dim=dimension(dim, x.ndim))


def clamp(
    input: Tensor, min: Tensor | float | None = None, max: Tensor | float | None = None, *, out: Tensor | None = None
) -> Tensor:
    """Limit every element to [`min`, `max`]; the gradient is 0 for what lies outside.

    Examples
    --------
    >>> fastconv.clamp(fastconv.tensor([-2.0, 0.5, 9.0]), 0, 1)
    tensor([0.0000, 0.5000, 1.0000])
    """
    if min is None and max is None:
        raise RuntimeError("clamp(): At least one of 'min' or 'max' must not be None")
    for name, limit in (("min", min), ("max", max)):
        if limit is not None and not isinstance(limit, ARRAYS):
            number(limit, f"clamp()'s {name}")
    dtype = result_type(*[x for x in (input, min, max) if x is not None])
    if dtype.kind == "b" and not any(isinstance(x, ARRAYS) for x in (min, max)):
        kinds = "" if None not in (min, max) else "_min" if max is None else "_max"
        raise NotImplementedError(f"\"clamp{kinds}_scalar_cpu\" not implemented for 'Bool'")
    min, max = (x if x is None or isinstance(x, ARRAYS) else fitting(x, dtype) for x in (min, max))
    operands = [None if x is None else as_operand(x, dtype) for x in (input, min, max)]
    return into(out, elementwise(primitives.clamp, *operands), input, min, max)


def where(condition: Tensor, input: Tensor | float | None = None, other: Tensor | float | None = None) -> Any:
    """`input` where `condition` (bools) holds, else `other`, with broadcasting.

    With the condition alone the indices of its elements that are not 0: a tuple of a vector for each dimension.

    Examples
    --------
    >>> x = fastconv.tensor([-1.0, 2.0, -3.0])
    >>> fastconv.where(x > 0, x, 0.0)
    tensor([0., 2., 0.])
    """
    if input is None and other is None and isinstance(condition, TensorBase):
        return nonzero(condition, as_tuple=True)
    for value in (input, other):
        if not isinstance(value, OPERANDS):
            raise TypeError(f"where() expects tensors or numbers, got {brief(value)}")
    if not isinstance(condition, (*ARRAYS, bool, np.bool_)):
        raise TypeError(f"where() expects a tensor of bools as condition, got {brief(condition)}")
    dtype = result_type(input, other)
    limits = dtype if dtype.kind in "biu" or dtype == float32 else float64  # torch lets other floats become infinite
    x, y = (as_operand(z if isinstance(z, ARRAYS) else fitting(z, limits), dtype) for z in (input, other))
    if not isinstance(x, ARRAYS) and not isinstance(y, ARRAYS):
        x = np.asarray(x, dtype)
    return elementwise(primitives.where, condition, x, y)


def maximum(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The larger of two tensors, element-wise with broadcasting; equals share the gradient, NaN counts as largest."""
    return into(out, elementwise(primitives.extremum, *_two_tensors("maximum", input, other), sign=1), input, other)


def minimum(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The smaller of two tensors, element-wise with broadcasting; equals share the gradient, NaN counts as smallest."""
    return into(out, elementwise(primitives.extremum, *_two_tensors("minimum", input, other), sign=-1), input, other)


def _two_tensors(name: str, input: Any, other: Any) -> tuple[Any, Any]:
    for value, argument in ((input, "input"), (other, "other")):
        if not isinstance(value, TensorBase):
            raise TypeError(f"{name}(): argument '{argument}' must be Tensor, not {type(value).__name__}")
    return operands(input, other)
