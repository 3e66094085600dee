"""Arguments checked with one wording: integers, numbers within bounds, shapes and dimensions.

Each function returns the argument, or raises: TypeError for what is no such thing, ValueError for what is out of
bounds, with the parameter's name and the value. Shapes and dimensions raise what torch raises.
"""

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

from ._native.tape import TensorBase

__all__ = ["LARGEST", "brief", "check_shape", "dimension", "int64_number", "integer", "integers", "number", "unpack"]

LARGEST = 2**60  # of sizes: sums of a few of them stay within int64


def integer(value: Any, name: str, least: int = 0) -> int:
    """`value` as an int, from `least` to 2**60; neither a bool nor a float is one."""
    return _integer(value, name, least, value)


def integers(value: Any, name: str, least: int, count: int) -> tuple[int, ...]:
    """`count` integers from a sequence of them, or from the one that stands for all."""
    if isinstance(value, (str, bytes)) or not isinstance(value, Sequence):
        return (_integer(value, name, least, value),) * count
    if len(value) != count:
        raise ValueError(f"{name} must be an int or {count} of them, got {value!r}")
    return tuple(_integer(item, name, least, value) for item in value)


def _integer(item: Any, name: str, least: int, value: Any) -> int:
    try:
        if isinstance(item, (bool, np.bool_)):
            raise TypeError
        n = index(item)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if not least <= n <= LARGEST:
        raise ValueError(f"{name} must be {f'at least {least}' if n < least else 'at most 2**60'}, got {value!r}")
    return n


def int64_number(value: Any, name: str) -> int:
    """`value` as an int that fits 64 bits; neither a bool nor a float is one."""
    try:
        if isinstance(value, (bool, np.bool_)):
            raise TypeError
        n = index(value)
    except TypeError:
        raise TypeError(f"{name} must be an integer, got {value!r}") from None
    if not -(2**63) <= n < 2**63:
        raise ValueError(f"Overflow when unpacking long long: {name} is {n}, which 64 bits do not hold")
    return n


def number(
    value: Any, name: str, least: float | None = None, most: float | None = None, above: float | None = None
) -> Any:
    """A real number, also a tensor or an array of no dimension; with bounds, NaN is out of them."""
    try:
        if isinstance(value, (str, bytes)) or getattr(value, "ndim", 0):
            raise TypeError
        x = float(value)
    except (TypeError, ValueError, OverflowError, RuntimeError):
        raise TypeError(f"{name} must be a number, got {value!r}") from None
    if least is not None and not x >= least:
        raise ValueError(f"{name} must be at least {least}, got {value!r}")
    if above is not None and not x > above:
        raise ValueError(f"{name} must be above {above}, got {value!r}")
    if most is not None and not x <= most:
        raise ValueError(f"{name} must be at most {most}, got {value!r}")
    return value


def unpack(arguments: tuple[Any, ...]) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(arguments) == 1 and type(arguments[0]) is not int and isinstance(arguments[0], (Sequence, np.ndarray)):
        arguments = arguments[0]
    try:
        return tuple(index(n) for n in arguments)
    except TypeError:
        raise TypeError(f"expected integers, got {arguments!r}") from None


def check_shape(shape: Sequence[int], name: str) -> Sequence[int]:
    """The shape of a new array, if there can be an array of it."""
    size = 8
    for n in shape:
        if n < 0:
            raise RuntimeError(f"{name}: a tensor cannot have the negative length {n}, got the shape {list(shape)}")
        size *= n or 1
    if size > 2**63 - 1:
        raise MemoryError(f"{name}: a tensor of the shape {list(shape)} is larger than any memory")
    return shape


def dimension(dim: int, ndim: int) -> int:
    """A dimension counted from the front, of `ndim`."""
    if type(dim) is int and -ndim <= dim < ndim:  # what is met most
        return dim if dim >= 0 else dim + ndim
    try:
        d = index(dim)
    except TypeError:
        raise TypeError(f"expected an integer as dimension, got {dim!r}") from None
    ndim = max(ndim, 1)
    if not -ndim <= d < ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {d})")
    return d % ndim


def brief(value: object) -> str:
    """A value for an error message: arrays by their dtype and shape, all else as it is written, not too long."""
    if isinstance(value, (TensorBase, np.ndarray)):
        return f"{type(value).__name__} of {value.dtype} and shape {list(value.shape)}"
    text = repr(value)
    return f"{text[:200]}..." if len(text) > 200 else f"{text} of type {type(value).__name__}"
