"""Operands brought to one dtype, before an operation is applied to them.

Python numbers are weak, and so are tensors without dimensions beside others of their kind: see
:func:`fastconv.dtypes.result_type`.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import primitives
from .._native.tape import TensorBase, apply, wrap
from ..checks import brief, dimension
from ..dtypes import ARRAYS, float32, result_type

__all__ = ["as_operand", "dimensions", "floating", "one_dtype", "operands", "without_gradient"]


def operands(x: Any, y: Any, floating: bool = False) -> tuple[Any, Any]:
    """Bring two operands to one dtype (a floating one, if asked for); Python numbers that fit stay as they are."""
    # What is met most: equal dtypes, or a float and a floating tensor.
    if isinstance(x, TensorBase):
        dtype = x._array.dtype
        if (type(y) is float or (isinstance(y, TensorBase) and y._array.dtype == dtype)) and dtype.kind == "f":
            return x, y
    x = x.item() if isinstance(x, np.generic) else x
    y = y.item() if isinstance(y, np.generic) else y
    dtype = result_type(x, y)
    if floating and dtype.kind != "f":
        dtype = float32
    return as_operand(x, dtype), as_operand(y, dtype)


def as_operand(x: Any, dtype: np.dtype | None) -> Any:
    """`x` in that dtype, recorded; Python numbers stay as they are."""
    if dtype is None:
        return x
    if isinstance(x, TensorBase):
        return x if x._array.dtype == dtype else apply(primitives.cast, x, dtype=dtype)
    if isinstance(x, np.ndarray):
        return x.astype(dtype, copy=False)
    return x


def floating(x: Any, name: str) -> Any:
    """Integers as float32, for functions whose result is no integer."""
    if isinstance(x, ARRAYS) and x.dtype.kind != "f":
        return as_operand(x, float32)
    if not isinstance(x, ARRAYS):
        raise TypeError(f"{name}() expects a Tensor, got {type(x).__name__}")
    return x


def one_dtype(tensors: Sequence[Any], name: str) -> list:
    """Tensors brought to the dtype that can hold what each of them holds."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError(f"{name}() expects at least one tensor, got none")
    for t in tensors:
        if not isinstance(t, ARRAYS):
            raise TypeError(f"{name}() expects tensors, got {brief(t)} among them")
    dtype = functools.reduce(np.promote_types, [t.dtype for t in tensors])
    return [as_operand(t, dtype) for t in tensors]


def dimensions(dim: Any, x: Any) -> int | tuple[int, ...] | None:
    """The dimensions that a reduction of `x` takes together, checked."""
    if dim is None or (type(dim) is int and -x.ndim <= dim < x.ndim):
        return dim
    if isinstance(dim, (list, tuple)):
        return tuple(dimension(d, x.ndim) for d in dim)
    return dimension(dim, x.ndim)


def without_gradient(ufunc: np.ufunc, input: Any, other: Any) -> Any:
    """A function of two operands that has no gradient."""
    arrays = [x._array if isinstance(x, TensorBase) else x for x in (input, other)]
    return wrap(np.asarray(ufunc(*arrays)))
