"""Dtypes: their names, which of them a result has, and arrays of any data."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ._native.tape import TensorBase
from .checks import brief

__all__ = [
    "ARRAYS",
    "OPERANDS",
    "as_dtype",
    "bool_",
    "category",
    "check_dtype",
    "device",
    "float16",
    "float32",
    "float64",
    "int8",
    "int16",
    "int32",
    "int64",
    "is_device",
    "result_type",
    "to_array",
    "uint8",
]

float16, float32, float64 = np.dtype("float16"), np.dtype("float32"), np.dtype("float64")
uint8, int8, int16, int32, int64 = (np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64"))
bool_ = np.dtype("bool")

ARRAYS = (TensorBase, np.ndarray)
OPERANDS = (TensorBase, int, float, np.ndarray, np.generic)

_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def category(x: Any) -> int:
    """0 for bools, 1 for integers and 2 for floats, of a tensor, an array or a number."""
    if isinstance(x, ARRAYS):
        return _CATEGORY[x.dtype.kind]
    return 0 if isinstance(x, bool) else 1 if isinstance(x, int) else 2


def result_type(x: Any, y: Any) -> np.dtype:
    """The dtype of an operation on two tensors or numbers, by torch's rules of promotion.

    A float goes before an integer and an integer before a bool; within such a kind, tensors with dimensions
    decide before those without, and those before Python numbers, whose own dtypes are float32, int64 and bool.
    """
    ranked = []
    for operand in (x, y):
        if isinstance(operand, ARRAYS):
            ranked.append((category(operand), 2 if operand.ndim else 1, operand.dtype))
        else:
            ranked.append((category(operand), 0, (bool_, int64, float32)[category(operand)]))
    (x_kind, x_rank, x_dtype), (y_kind, y_rank, y_dtype) = ranked
    if (x_kind, x_rank) == (y_kind, y_rank):
        return np.promote_types(x_dtype, y_dtype)
    return x_dtype if (x_kind, x_rank) > (y_kind, y_rank) else y_dtype


def check_dtype(dtype: np.dtype) -> np.dtype:
    """`dtype`, if a tensor can have it."""
    if dtype.kind not in _CATEGORY or dtype.itemsize > 8:
        raise TypeError(f"a tensor holds bools, integers, or floats of up to 64 bits, not {dtype}")
    return dtype


def as_dtype(dtype: DTypeLike) -> np.dtype:
    """`dtype` as a dtype that a tensor can have."""
    try:
        return check_dtype(np.dtype(dtype))
    except TypeError:
        raise TypeError(f"expected the dtype of bools, integers, or floats of up to 64 bits, got {dtype!r}") from None


class device(str):
    """``device("cpu")``: where a tensor is; the CPU is the only one."""

    def __new__(cls, name: str = "cpu") -> device:
        if str(name).split(":")[0] != "cpu":
            raise RuntimeError(f"fastconv computes on the CPU, got the device {str(name)!r}")
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        return "cpu"


def is_device(x: Any) -> bool:
    """Whether `x` is a device, or the name of one."""
    return isinstance(x, device) or (isinstance(x, str) and x.split(":")[0] in ("cpu", "cuda", "mps", "xpu", "meta"))


def to_array(data: ArrayLike | TensorBase, dtype: DTypeLike | None) -> np.ndarray:
    """A fresh array in native byte order; Python floats make float32."""
    if isinstance(data, TensorBase):
        data = data._array
    if dtype is not None:
        dtype = as_dtype(dtype)
    try:
        array = np.array(data, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"cannot make a tensor of {brief(data)}: {error}") from None
    if dtype is None and array.dtype == float64:
        leaf = data
        while isinstance(leaf, (list, tuple)) and leaf:
            leaf = leaf[0]
        if not isinstance(leaf, ARRAYS) and not (isinstance(leaf, np.generic) and leaf is data):
            array = array.astype(float32)
    if array.dtype.kind not in _CATEGORY or array.dtype.itemsize > 8:
        raise TypeError(f"a tensor holds bools, integers, or floats of up to 64 bits, got {brief(data)}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))
