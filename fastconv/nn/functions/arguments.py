"""What the functions share: checks of their arguments, and what becomes of ndarrays and tensors."""

from __future__ import annotations

import functools
import os
import sys
import warnings
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, TypeVar

import numpy as np

from ..._tensor import Tensor
from ...checks import number
from ...creation import from_numpy
from ...dtypes import float32
from ...elementwise import wide

__all__ = [
    "array_of",
    "check_array",
    "check_dtypes",
    "check_probability",
    "check_reduction",
    "check_size",
    "computed_in",
    "of_tensors",
    "reduction_of",
    "replace",
    "values_of",
    "warn",
]

Array = TypeVar("Array", Tensor, np.ndarray)  # what goes in comes out
Size = int | Sequence[int]
_FLOAT32 = {float32}
_PACKAGE = os.path.join(Path(__file__).parents[2], "")


def warn(message: str) -> None:
    """A warning at the line that called the package, however many of its functions lie between."""
    frame, level = sys._getframe(1), 2
    while frame.f_back is not None and frame.f_code.co_filename.startswith(_PACKAGE):
        frame, level = frame.f_back, level + 1
    warnings.warn(message, stacklevel=level)


def array_of(x: Any) -> Any:
    """The ndarray of a tensor; anything else as it is."""
    return x._array if isinstance(x, Tensor) else x


def values_of(x: Any) -> Any:
    """The same to be computed with: floats of 16 bits in float32."""
    array = array_of(x)
    return wide(array) if isinstance(array, np.ndarray) else array


def computed_in(dtype: np.dtype) -> np.dtype:
    """The dtype in which floats of a dtype are computed."""
    return dtype if dtype.itemsize > 2 else float32


def check_array(op: str, x: object, name: str = "input") -> None:
    """TypeError unless x is a Tensor or an ndarray."""
    if not isinstance(x, (Tensor, np.ndarray)):
        raise TypeError(f"{op}: expected a Tensor or an ndarray as {name}, got {x!r} of type {type(x).__name__}")


def check_dtypes(op: str, *, wider: bool = False, **arrays: Array | None) -> None:
    """TypeError unless all arrays that are given are of one floating dtype.

    With `wider` those beside an input of float16 or bfloat16 may be of float32.
    """
    met = {array._array.dtype if isinstance(array, Tensor) else None for array in arrays.values() if array is not None}
    if met == _FLOAT32 and arrays["input"] is not None:  # what is met most
        return
    check_array(op, arrays["input"])
    given = {name: array for name, array in arrays.items() if array is not None}
    for name, array in given.items():
        check_array(op, array, name)
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(f"{op}: {name} is a MaskedArray of size {list(array.shape)}; fill its masked values first")
        if array.dtype.kind != "f":
            raise TypeError(f"{op}: expected a floating dtype, got {name} of {array.dtype}; cast it, say by float()")
    dtypes = {array.dtype for array in given.values()}
    if wider and arrays["input"].dtype.itemsize == 2:
        dtypes.discard(float32)
    if len(dtypes) > 1:
        described = ", ".join(f"{name} {array.dtype}" for name, array in given.items())
        raise TypeError(f"{op}: expected one dtype, got {described}")


def check_size(op: str, name: str, array: Array | None, size: Sequence[int], input: Array) -> None:
    """RuntimeError unless the array is None or of this size."""
    if array is not None and tuple(array.shape) != tuple(size):
        raise RuntimeError(
            f"{op}: expected {name} of size {list(size)} for input of size {list(input.shape)}, "
            f"got size {list(array.shape)}"
        )


def replace(input: Array, result: Array) -> Array:
    """Make `input` the result, for inplace=True."""
    if isinstance(input, Tensor):
        return input._become(result)
    np.copyto(input, result)
    return input


def of_tensors(function: Callable) -> Callable:
    """Let a function of tensors take ndarrays: where only those come in, those go out."""

    @functools.wraps(function)
    def wrapper(*args, **kwargs):
        given = (*args, *kwargs.values())
        if any(isinstance(x, Tensor) for x in given) or not any(isinstance(x, np.ndarray) for x in given):
            return function(*args, **kwargs)
        args = [from_numpy(x) if isinstance(x, np.ndarray) else x for x in args]
        kwargs = {name: from_numpy(x) if isinstance(x, np.ndarray) else x for name, x in kwargs.items()}
        result = function(*args, **kwargs)
        if isinstance(result, tuple):
            return tuple(array_of(x) for x in result)
        return array_of(result)

    return wrapper


def check_reduction(reduction: str) -> None:
    """ValueError unless it is one of the three ways to make one number of many."""
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction!r} is not a valid value for reduction; there are 'none', 'mean' and 'sum'")


def reduction_of(reduction: str, size_average: bool | None, reduce: bool | None) -> str:
    """The reduction by its name or, with a warning, by the two flags that it had before."""
    if size_average is None and reduce is None:
        if reduction not in ("none", "mean", "sum", "batchmean"):
            check_reduction(reduction)
        return reduction
    reduction = "none" if reduce is False else "sum" if size_average is False else "mean"
    warn(f"size_average and reduce args will be deprecated, please use reduction='{reduction}' instead.")
    return reduction


def check_probability(p: float) -> None:
    """ValueError unless p is in [0, 1]."""
    number(p, "dropout probability", 0, 1)
