"""Arithmetic on two operands, and matrix products."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import primitives
from .._native.tape import TensorBase, wrap
from ..checks import brief
from ..dtypes import ARRAYS, bfloat16, category, fitting, float16, result_type
from .operands import apply, array_of, as_operand, check_broadcast, elementwise, into, operands, quiet, without_gradient

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "add",
    "bitwise_and",
    "bitwise_left_shift",
    "bitwise_not",
    "bitwise_or",
    "bitwise_right_shift",
    "bitwise_xor",
    "div",
    "floor_divide",
    "lerp",
    "matmul",
    "mul",
    "pow",
    "remainder",
    "sub",
]


def _scaled(input: Any, other: Any, alpha: float) -> Any:
    """``alpha * other``, for a sum with `input`."""
    if type(alpha) is int and alpha == 1:
        return other
    dtype = result_type(input, other)
    if isinstance(alpha, bool) and dtype.kind != "b":
        raise RuntimeError("Boolean alpha only supported for Boolean results.")
    if category(alpha) == 2 and dtype.kind != "f":
        raise RuntimeError("For integral input tensors, argument alpha must not be a floating point number.")
    alpha = fitting(alpha, dtype)
    other = as_operand(other, dtype)
    factor = as_operand(alpha, dtype)
    if isinstance(other, ARRAYS):
        return apply(primitives.scale, other, factor=factor)
    return other and factor if dtype.kind == "b" else other * factor


def add(input: Tensor, other: Tensor | float, *, alpha: float = 1, out: Tensor | None = None) -> Tensor:
    """``input + alpha * other``, element-wise with broadcasting."""
    return into(out, elementwise(primitives.add, *operands(input, _scaled(input, other, alpha))), input, other)


def sub(input: Tensor, other: Tensor | float, *, alpha: float = 1, out: Tensor | None = None) -> Tensor:
    """``input - alpha * other``, element-wise with broadcasting.

    Raises
    ------
    RuntimeError
        For bools.
    """
    x, y = operands(input, _scaled(input, other, alpha))
    if any(isinstance(operand, ARRAYS) and category(operand) == 0 for operand in (input, other)):
        both = category(input) == category(other)
        raise RuntimeError(
            f"Subtraction, the `-` operator, with {'two bool tensors' if both else 'a bool tensor'} is not supported. "
            f"{'Use the `^` or `logical_xor()` operator instead.' if both else _USE_NOT}"
        )
    return into(out, elementwise(primitives.sub, x, y), input, other)


_USE_NOT = "If you are trying to invert a mask, use the `~` or `logical_not()` operator instead."


def mul(input: Tensor, other: Tensor | float, *, out: Tensor | None = None) -> Tensor:
    """``input * other``, element-wise with broadcasting."""
    return into(out, elementwise(primitives.mul, *operands(input, other)), input, other)


@quiet
def div(input: Tensor, other: Tensor | float, *, rounding_mode: str | None = None, out: Tensor | None = None) -> Tensor:
    """``input / other``, element-wise with broadcasting; integers are divided as float32.

    With `rounding_mode` "floor" the quotient is rounded down, with "trunc" towards 0, and of the operands' dtype.
    """
    if rounding_mode is not None:
        return into(out, _rounded_quotient(input, other, rounding_mode), input, other)
    return into(out, elementwise(primitives.div, *operands(input, other, floating=True)), input, other)


def _rounded_quotient(x: Tensor, y: Tensor | float, mode: str) -> Tensor:
    if mode not in ("floor", "trunc"):
        raise RuntimeError(f"div expected rounding_mode to be one of None, 'trunc', or 'floor' but found {mode!r}")
    if result_type(x, y).kind == "f":
        rounded = None
        if mode == "floor":
            rounded = array_of(floor_divide(*[wrap(a._array) if isinstance(a, TensorBase) else a for a in (x, y)]))
        return elementwise(_rounded, div(x, y), rounded=rounded)
    quotient = floor_divide(x, y)
    if mode == "floor":
        return quotient
    return quotient + ((quotient < 0) & (remainder(x, y) != 0))  # one more where it was rounded away from 0


def _rounded(needs, x, rounded):
    """What x is rounded to, without a number truncated; its gradient is 0."""
    return np.trunc(x) if rounded is None else rounded, lambda dy: (dy * 0,), ()


@quiet
def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """``input ** exponent``, element-wise with broadcasting.

    Raises
    ------
    RuntimeError
        For integers to a negative number; integers to a tensor of negative integers are 0, or 1 or -1 where they are.
    """
    kind = category(result_type(input, exponent))
    if kind == 1 and not isinstance(exponent, ARRAYS) and exponent < 0:
        raise RuntimeError("Integers to negative integer powers are not allowed.")
    if not isinstance(exponent, ARRAYS) and (kind == 1 or result_type(input) in (float16, bfloat16)):
        fitting(exponent, result_type(input, exponent))
    x, p = operands(input, exponent)
    if kind == 0:
        if isinstance(p, ARRAYS):
            raise NotImplementedError("\"pow\" not implemented for 'Bool'")
        return bitwise_or(x, not p)
    if kind == 1:
        check_broadcast(x, p)
        if not isinstance(p, ARRAYS):
            p = fitting(exponent, result_type(input, exponent))
        else:
            negative = np.less(array_of(p), 0)
            if negative.any():
                base, exponents = np.asarray(array_of(x)), array_of(p)
                inverse = np.where(np.abs(base) == 1, np.where(exponents % 2 == 1, base, 1), 0)
                powers = np.power(base, np.where(negative, 0, exponents))
                return wrap(np.asarray(np.where(negative, inverse, powers), array_of(p).dtype))
    return elementwise(primitives.pow, x, p)


@quiet
def lerp(input: Tensor, end: Tensor, weight: Tensor | float) -> Tensor:
    """``input + weight * (end - input)``, element-wise with broadcasting: the way from `input` to `end`.

    Parameters
    ----------
    input, end : Tensor
    weight : Tensor or float
        Tensors are of one floating dtype.
    """
    weights = () if isinstance(weight, (int, float)) and not isinstance(weight, bool) else (weight,)
    for x in (input, end, *weights):
        if not isinstance(x, ARRAYS) or x.dtype.kind != "f" or x.dtype != input.dtype:
            described = ", ".join(
                f"{a.dtype} {list(a.shape)}" if isinstance(a, ARRAYS) else repr(a) for a in (input, end, weight)
            )
            same = all(isinstance(a, ARRAYS) and a.dtype == input.dtype for a in (input, end, *weights))
            kind = NotImplementedError if same else RuntimeError
            raise kind(f"lerp() expects input, end and weight of one floating dtype, got {described}")
    return elementwise(primitives.lerp, input, end, weight)


def floor_divide(input: Tensor, other: Tensor | float) -> Tensor:
    """``input // other``: the quotient rounded down, element-wise with broadcasting.

    Raises
    ------
    RuntimeError
        "ZeroDivisionError", where an integer is divided by 0.
    """
    return _divided(primitives.floor_divide, input, other)


@quiet
def remainder(input: Tensor, other: Tensor | float) -> Tensor:
    """``input % other``: what :func:`floor_divide` leaves, of the sign of `other`."""
    return _divided(primitives.remainder, input, other)


def _divided(op: Callable[..., Any], input: Any, other: Any) -> Tensor:
    x, y = operands(input, other)
    kind = category(result_type(input, other))
    if kind == 0:
        raise NotImplementedError(f"\"{op.__name__}\" not implemented for 'Bool'")
    if kind == 1 and not np.all(array_of(y)) and 0 not in np.shape(array_of(x)):
        raise RuntimeError("ZeroDivisionError")
    return elementwise(op, x, y)


def bitwise_and(input: Tensor, other: Tensor | int) -> Tensor:
    """``input & other``, on bools and integers."""
    return _bitwise(np.bitwise_and, input, other)


def bitwise_or(input: Tensor, other: Tensor | int) -> Tensor:
    """``input | other``, on bools and integers."""
    return _bitwise(np.bitwise_or, input, other)


def bitwise_xor(input: Tensor, other: Tensor | int) -> Tensor:
    """``input ^ other``, on bools and integers."""
    return _bitwise(np.bitwise_xor, input, other)


def bitwise_not(input: Tensor) -> Tensor:
    """``~input``, on bools and integers."""
    if category(input) == 2:
        raise NotImplementedError(f"bitwise_not() is not implemented for {input.dtype}, only for bools and integers")
    return wrap(np.asarray(~array_of(input)))


def bitwise_left_shift(input: Tensor, other: Tensor | int) -> Tensor:
    """``input << other``, on integers."""
    return _bitwise(np.left_shift, input, other)


def bitwise_right_shift(input: Tensor, other: Tensor | int) -> Tensor:
    """``input >> other``, on integers, filled with copies of the sign."""
    return _bitwise(np.right_shift, input, other)


def _bitwise(ufunc: np.ufunc, input: Any, other: Any) -> Tensor:
    if result_type(input, other).kind == "f":
        raise NotImplementedError(f'"{ufunc.__name__}_cpu" not implemented for {result_type(input, other)}')
    return without_gradient(ufunc, input, other)


def matmul(input: Tensor, other: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The matrix product, batched and broadcast over leading dimensions as ``numpy.matmul``.

    Raises
    ------
    RuntimeError
        If the dtypes differ, an operand has no dimension, or the inner lengths do not match.

    Examples
    --------
    >>> a = fastconv.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> fastconv.matmul(a, a)
    tensor([[ 7., 10.],
            [15., 22.]])
    """
    for operand in (input, other):
        if not isinstance(operand, ARRAYS) or not operand.ndim:
            raise RuntimeError(f"matmul() expects tensors of at least 1 dimension, got {brief(operand)}")
    if input.dtype != other.dtype:
        raise RuntimeError(f"matmul() expects one dtype, got {input.dtype} and {other.dtype}")
    if input.dtype.kind == "b":
        raise NotImplementedError("\"addmm_impl_cpu_\" not implemented for 'Bool'")
    try:
        y = apply(primitives.matmul, input, other)
    except ValueError:
        raise RuntimeError(
            f"shapes {list(input.shape)} and {list(other.shape)} cannot be multiplied as matrices"
        ) from None
    return into(out, y)
