"""Arithmetic on two operands, and matrix products."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from .. import primitives
from .._native.tape import apply
from ..dtypes import ARRAYS
from .operands import operands, without_gradient

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "add",
    "bitwise_and",
    "bitwise_or",
    "bitwise_xor",
    "div",
    "floor_divide",
    "matmul",
    "mul",
    "pow",
    "remainder",
    "sub",
]


def add(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``, element-wise with broadcasting."""
    return apply(primitives.add, *operands(input, other if alpha == 1 else other * alpha))


def sub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``, element-wise with broadcasting."""
    return apply(primitives.sub, *operands(input, other if alpha == 1 else other * alpha))


def mul(input: Tensor, other: Tensor | float) -> Tensor:
    """``input * other``, element-wise with broadcasting."""
    return apply(primitives.mul, *operands(input, other))


def div(input: Tensor, other: Tensor | float) -> Tensor:
    """``input / other``, element-wise with broadcasting; integers are divided as float32."""
    return apply(primitives.div, *operands(input, other, floating=True))


def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """``input ** exponent``, element-wise with broadcasting."""
    return apply(primitives.pow, *operands(input, exponent))


def floor_divide(input: Tensor, other: Tensor | float) -> Tensor:
    """``input // other``: the quotient rounded down, element-wise with broadcasting."""
    return without_gradient(np.floor_divide, input, other)


def remainder(input: Tensor, other: Tensor | float) -> Tensor:
    """``input % other``: what :func:`floor_divide` leaves, of the sign of `other`."""
    return without_gradient(np.remainder, input, other)


def bitwise_and(input: Tensor, other: Tensor | float) -> Tensor:
    """``input & other``, on bools and integers."""
    return without_gradient(np.bitwise_and, input, other)


def bitwise_or(input: Tensor, other: Tensor | float) -> Tensor:
    """``input | other``, on bools and integers."""
    return without_gradient(np.bitwise_or, input, other)


def bitwise_xor(input: Tensor, other: Tensor | float) -> Tensor:
    """``input ^ other``, on bools and integers."""
    return without_gradient(np.bitwise_xor, input, other)


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product, batched and broadcast over leading dimensions as ``numpy.matmul``.

    Raises
    ------
    RuntimeError
        If the dtypes differ, an operand has no dimension, or the inner lengths do not match.
    """
    for operand in (input, other):
        if not isinstance(operand, ARRAYS) or not operand.ndim:
            raise RuntimeError(f"matmul() expects tensors of at least 1 dimension, got {operand!r}")
    if input.dtype != other.dtype:
        raise RuntimeError(f"matmul() expects one dtype, got {input.dtype} and {other.dtype}")
    try:
        return apply(primitives.matmul, input, other)
    except ValueError:
        raise RuntimeError(
            f"shapes {list(input.shape)} and {list(other.shape)} cannot be multiplied as matrices"
        ) from None
