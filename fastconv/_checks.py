"""Arguments that are no arrays, checked with one wording: integers, and numbers within bounds.

Each function returns the argument, or raises: TypeError for what is no such thing, ValueError for what is out of
bounds, with the parameter's name and the value.
"""

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np

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
        raise ValueError(f"{name} must be from {least} to 2**60, got {value!r}")
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
