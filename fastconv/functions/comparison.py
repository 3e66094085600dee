"""Comparisons, which have no gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .._native.tape import wrap
from .operands import array_of, check_broadcast, without_gradient

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "allclose",
    "eq",
    "equal",
    "ge",
    "gt",
    "isfinite",
    "isnan",
    "le",
    "lt",
    "ne",
]


def eq(input: Tensor, other: Tensor | float) -> Tensor:
    """``input == other``, element-wise with broadcasting."""
    return without_gradient(np.equal, input, other)


def ne(input: Tensor, other: Tensor | float) -> Tensor:
    """``input != other``, element-wise with broadcasting."""
    return without_gradient(np.not_equal, input, other)


def lt(input: Tensor, other: Tensor | float) -> Tensor:
    """``input < other``, element-wise with broadcasting."""
    return without_gradient(np.less, input, other)


def le(input: Tensor, other: Tensor | float) -> Tensor:
    """``input <= other``, element-wise with broadcasting."""
    return without_gradient(np.less_equal, input, other)


def gt(input: Tensor, other: Tensor | float) -> Tensor:
    """``input > other``, element-wise with broadcasting."""
    return without_gradient(np.greater, input, other)


def ge(input: Tensor, other: Tensor | float) -> Tensor:
    """``input >= other``, element-wise with broadcasting."""
    return without_gradient(np.greater_equal, input, other)


def isnan(input: Tensor) -> Tensor:
    """Which elements are NaN."""
    return wrap(np.asarray(np.isnan(array_of(input))))


def isfinite(input: Tensor) -> Tensor:
    """Which elements are neither infinite nor NaN."""
    return wrap(np.asarray(np.isfinite(array_of(input))))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape and equal elements."""
    return bool(np.array_equal(array_of(input), array_of(other)))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether ``|input - other| <= atol + rtol * |other|`` holds for every element.

    Raises
    ------
    RuntimeError
        If their dtypes differ.
    """
    if input.dtype != other.dtype:
        raise RuntimeError(f"allclose() expects one dtype, got {input.dtype} and {other.dtype}")
    check_broadcast(input, other)
    return bool(np.allclose(array_of(input), array_of(other), rtol=rtol, atol=atol, equal_nan=equal_nan))
