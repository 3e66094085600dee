"""Truth values of elements, which have no gradient."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from .._native.tape import wrap
from .operands import array_of, check_broadcast, without_gradient

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["is_floating_point", "isclose", "isin", "logical_and", "logical_not", "logical_or", "logical_xor", "signbit"]


def logical_and(input: Tensor, other: Tensor) -> Tensor:
    """Whether both are true (not 0), element-wise with broadcasting."""
    return without_gradient(np.logical_and, input, other)


def logical_or(input: Tensor, other: Tensor) -> Tensor:
    """Whether one or both are true (not 0), element-wise with broadcasting."""
    return without_gradient(np.logical_or, input, other)


def logical_xor(input: Tensor, other: Tensor) -> Tensor:
    """Whether one alone is true (not 0), element-wise with broadcasting."""
    return without_gradient(np.logical_xor, input, other)


def logical_not(input: Tensor) -> Tensor:
    """Whether the elements are 0."""
    return wrap(np.asarray(np.logical_not(array_of(input))))


def signbit(input: Tensor) -> Tensor:
    """Whether the elements are negative; -0.0 is."""
    x = array_of(input)
    return wrap(np.asarray(np.signbit(x) if x.dtype.kind == "f" else x < 0))


def isclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> Tensor:
    """Where ``|input - other| <= atol + rtol * |other|`` holds; RuntimeError for tensors of two dtypes."""
    if input.dtype != other.dtype:
        raise RuntimeError(f"isclose() expects one dtype, got {input.dtype} and {other.dtype}")
    check_broadcast(input, other)
    return wrap(np.asarray(np.isclose(array_of(input), array_of(other), rtol, atol, equal_nan)))


def isin(elements: Any, test_elements: Any) -> Tensor:
    """Which elements are among the others."""
    arrays = [array_of(x) for x in (elements, test_elements)]
    return wrap(np.asarray(np.isin(*arrays)))


def is_floating_point(input: Tensor) -> bool:
    """Whether the dtype is a floating one."""
    return array_of(input).dtype.kind == "f"
