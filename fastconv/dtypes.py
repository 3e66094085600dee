"""Dtypes: their names, which of them a result has, and arrays of any data; devices, of which there is one."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ._native import memory
from ._native.tape import TensorBase
from .checks import brief

__all__ = [
    "ARRAYS",
    "CLASSES",
    "CPU",
    "Data",
    "DType",
    "DeviceLike",
    "OPERANDS",
    "Size",
    "as_dtype",
    "bfloat16",
    "bits_of",
    "bool_",
    "can_cast",
    "category",
    "channels_last",
    "check_device",
    "check_dtype",
    "contiguous_format",
    "convert",
    "device",
    "dtype",
    "dtype_of",
    "filled_with",
    "fitting",
    "float16",
    "float32",
    "float64",
    "from_bits",
    "gradient_dtype",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_device",
    "memory_format",
    "preserve_format",
    "promote_types",
    "result_type",
    "to_array",
    "uint16",
    "uint32",
    "uint64",
    "uint8",
]


class dtype:
    """``float32`` and the others: what the elements of a tensor are, printed as torch prints it, ``torch.float32``.

    NumPy's functions take it for their dtype of this name, which it equals and whose attributes it has.

    Attributes
    ----------
    name : str
    dtype : numpy.dtype
        What an array has that holds such elements.
    is_floating_point, is_complex, is_signed : bool
    itemsize : int
        The bytes of an element.
    """

    __slots__ = ("dtype", "is_complex", "is_floating_point", "is_signed", "itemsize", "kind", "name")

    def __init__(self, name: str, stored: np.dtype[Any], kind: str) -> None:
        self.name: str = name
        self.dtype: np.dtype[Any] = stored
        self.kind: str = kind
        self.itemsize: int = stored.itemsize
        self.is_floating_point: bool = kind == "f"
        self.is_complex: bool = kind == "c"
        self.is_signed: bool = kind in "ifc"

    def __getattr__(self, name: str) -> Any:
        return getattr(self.dtype, name)

    def __eq__(self, other: object) -> bool:
        return other is self or (other is not None and not isinstance(other, dtype) and self.dtype == other)

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return "bool_" if self.name == "bool" else self.name


DType: TypeAlias = dtype  # for where the name is taken


def _of_numpy(name: str) -> dtype:
    stored = np.dtype(name)
    return dtype(name, stored, stored.kind)


float16: dtype = _of_numpy("float16")
float32: dtype = _of_numpy("float32")
float64: dtype = _of_numpy("float64")
uint8: dtype = _of_numpy("uint8")
uint16: dtype = _of_numpy("uint16")
uint32: dtype = _of_numpy("uint32")
uint64: dtype = _of_numpy("uint64")
int8: dtype = _of_numpy("int8")
int16: dtype = _of_numpy("int16")
int32: dtype = _of_numpy("int32")
int64: dtype = _of_numpy("int64")
bool_: dtype = _of_numpy("bool")

# Floats with float32's exponent and 8 bits of precision, which NumPy does not have. They are stored as NumPy's void of
# 16 bits, which can be moved but not computed with: an operation that does not know them fails, and does not take their
# bits for numbers. Operations compute them in float32 and round.
bfloat16: dtype = dtype("bfloat16", np.dtype("V2"), "f")

# By NumPy's dtype, which is what an array has.
_NAMED: dict[Any, dtype] = {
    kind.dtype: kind
    for kind in (
        *(float16, float32, float64, bfloat16, bool_),
        *(uint8, uint16, uint32, uint64, int8, int16, int32, int64),
    )
}

DeviceLike: TypeAlias = "str | device | None"
Data: TypeAlias = "ArrayLike | TensorBase"  # what a tensor can be made of


def bits_of(array: np.ndarray) -> np.ndarray:
    """The bits of an array of bfloat16, as uint16 over the same memory."""
    return array.view(np.uint16)


def from_bits(bits: np.ndarray) -> np.ndarray:
    """The array of bfloat16 that has these bits, uint16, over the same memory."""
    return bits.view(bfloat16.dtype)


_BLOCK = 1 << 15  # elements that pass through the nearest cache at a time


def _widen(array: np.ndarray) -> np.ndarray:
    dense = np.array(bits_of(array))
    result = np.empty_like(dense, np.uint32)
    narrow, wide = dense.ravel("K"), result.ravel("K")
    for start in range(0, wide.size, _BLOCK):
        part = wide[start : start + _BLOCK]
        part[...] = narrow[start : start + _BLOCK]
        part <<= 16
    return result.view(np.float32)


def _narrow(array: np.ndarray) -> np.ndarray:
    """Rounded to the nearest, ties to even; every NaN becomes the quiet one."""
    with np.errstate(over="ignore", invalid="ignore"):
        dense = np.array(array, np.float32)
    result = np.empty_like(dense, np.uint16)
    values, narrow = dense.ravel("K"), result.ravel("K")
    for start in range(0, narrow.size, _BLOCK):
        x, part = values[start : start + _BLOCK], narrow[start : start + _BLOCK]
        bits = x.view(np.uint32)
        nearest = bits >> 16
        nearest &= 1
        nearest += bits
        nearest += 0x7FFF
        nearest >>= 16
        part[...] = nearest
        unknown = np.isnan(x)
        if unknown.any():
            part[unknown] = 0x7FC0
    return from_bits(result)


def convert(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """The array in another dtype, a copy; bfloat16 is known here alone."""
    if array.dtype.kind == "V":
        array = _widen(array)
    if dtype is bfloat16 or dtype.kind == "V":
        return _narrow(array)
    with np.errstate(over="ignore", invalid="ignore"):
        return array.astype(dtype)


def filled_with(value: float, shape: Sequence[int], dtype: np.dtype) -> np.ndarray:
    """A new array full of a number."""
    value = fitting(value, dtype)
    if dtype is bfloat16:
        return convert(np.full(shape, value, np.float32), dtype)
    array = memory.empty(shape, dtype)
    array[...] = value
    return array


def dtype_of(array: np.ndarray) -> DType:
    """The dtype of what an array holds, which is one that a tensor can have."""
    return _NAMED[array.dtype]


def gradient_dtype(array: np.ndarray) -> np.dtype:
    """The dtype of gradients with respect to an array: its own, but float32 for bfloat16, whose sums would stall."""
    return float32 if array.dtype.kind == "V" else array.dtype


ARRAYS = (TensorBase, np.ndarray)
OPERANDS = (TensorBase, int, float, np.ndarray, np.generic)

_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2, "V": 2}
_OF_NUMBERS = (bool_, int64, float32)  # by category


def category(x: Any) -> int:
    """0 for bools, 1 for integers and 2 for floats, of a tensor, an array, a number or a dtype."""
    if isinstance(x, (*ARRAYS, np.generic)):
        x = x.dtype
    if isinstance(x, (np.dtype, DType)):
        return _CATEGORY[x.kind]
    return 0 if isinstance(x, bool) else 1 if isinstance(x, int) else 2


def promote_types(type1: DTypeLike, type2: DTypeLike) -> DType:
    """The smallest dtype that holds what both hold; beside a float, an integer or a bool counts for nothing."""
    first, second = as_dtype(type1), as_dtype(type2)
    if first == second:
        return first
    if bfloat16 in (first, second):
        other = second if first == bfloat16 else first
        return bfloat16 if other.kind != "f" else promote_types(other, float32)
    if (first.kind == "f") != (second.kind == "f"):
        return first if first.kind == "f" else second
    return _NAMED[np.promote_types(first.dtype, second.dtype)]


def result_type(*operands: Any) -> DType:
    """The dtype of an operation on tensors and numbers, by torch's rules of promotion.

    A float goes before an integer and an integer before a bool; within such a kind, tensors with dimensions
    decide before those without, and those before Python's and NumPy's numbers, whose dtypes are float32, int64 and
    bool.
    """
    ranked: list[DType | None] = [None, None, None]  # of tensors with dimensions, of those without, of numbers
    for x in operands:
        if isinstance(x, ARRAYS):
            rank, dtype = (0 if x.ndim else 1), dtype_of(x._array if isinstance(x, TensorBase) else x)
        else:
            rank, dtype = 2, _OF_NUMBERS[category(x)]
        known = ranked[rank]
        ranked[rank] = dtype if known is None else promote_types(known, dtype)
    result = None
    for dtype in ranked:
        if dtype is None:
            continue
        if result is None:
            result = dtype
        elif category(dtype) > category(result):
            result = promote_types(result, dtype)
    if result is None:
        raise ValueError("result_type() expects at least one tensor or number, got none")
    return result


BFLOAT16_MAX = (2 - 2.0**-7) * 2.0**127

# Torch's names of tensors by their dtypes.
CLASSES = {
    "float32": "Float",
    "float64": "Double",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "bool": "Bool",
}


def can_cast(from_: DTypeLike, to: DTypeLike) -> bool:
    """Whether an in-place operation may store results of the one dtype in a tensor of the other."""
    source, target = as_dtype(from_), as_dtype(to)
    return category(source) <= category(target)


def fitting(value: Any, dtype: np.dtype) -> Any:
    """A number as an element of that dtype: integers of either sign where the bits suffice, RuntimeError for others."""
    value = value.item() if isinstance(value, (*ARRAYS, np.generic)) else value
    if dtype.kind == "b":
        return bool(value)
    if not math.isfinite(value):
        if dtype.kind in "iu":
            raise RuntimeError(f"value cannot be converted to type {dtype} without overflow, got {value!r}")
        return value
    if dtype.kind == "f":
        most = BFLOAT16_MAX if dtype is bfloat16 else float(np.finfo(dtype).max)
        least = -most
    else:
        limits = np.iinfo(dtype)
        least, most = limits.min, limits.max
    if isinstance(value, int) and dtype.kind == "u":
        least = -most
    if not least <= value <= most:
        raise RuntimeError(f"value cannot be converted to type {dtype} without overflow, got {value!r}")
    return value % (most + 1) if dtype.kind == "u" else value


def check_dtype(dtype: np.dtype) -> np.dtype:
    """`dtype`, if a tensor can have it."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise TypeError(f"a tensor holds bools, integers, or floats of up to 64 bits, not {dtype}")
    return dtype


def as_dtype(dtype: DTypeLike) -> DType:
    """`dtype` as a dtype that a tensor can have; None is float32."""
    if dtype is None:
        return float32
    if isinstance(dtype, DType) and dtype.dtype in _NAMED:
        return dtype
    if isinstance(dtype, str) and dtype == "bfloat16":
        return bfloat16
    if isinstance(dtype, type) and isinstance(getattr(dtype, "dtype", None), DType):  # FloatTensor and its like
        return dtype.dtype
    try:
        return _NAMED[np.dtype(dtype).newbyteorder("=")]
    except (TypeError, ValueError, KeyError):
        raise TypeError(f"expected the dtype of bools, integers, or floats of up to 64 bits, got {dtype!r}") from None


class memory_format:
    """The order in which the elements of a tensor lie in memory; :func:`fastconv.Tensor.contiguous` takes one."""

    __slots__ = ("name",)

    def __init__(self, name: str) -> None:
        self.name: str = name

    def __repr__(self) -> str:
        return f"torch.{self.name}"

    def __reduce__(self) -> str:
        return self.name


contiguous_format: memory_format = memory_format("contiguous_format")
channels_last: memory_format = memory_format("channels_last")
preserve_format: memory_format = memory_format("preserve_format")


class Size(tuple[int, ...]):
    """The shape of a tensor: a tuple of its lengths."""

    __slots__ = ()

    def numel(self) -> int:
        """The number of elements of a tensor of this shape."""
        return math.prod(self)

    @overload
    def __getitem__(self, index: SupportsIndex) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Size: ...
    def __getitem__(self, index: SupportsIndex | slice) -> int | Size:
        part = tuple.__getitem__(self, index)
        return Size(part) if isinstance(index, slice) else part

    def __add__(self, other: tuple[Any, ...]) -> Size:  # type: ignore[override]
        return Size(tuple.__add__(self, other)) if isinstance(other, tuple) else NotImplemented

    def __radd__(self, other: tuple[Any, ...]) -> Size:
        return Size((*other, *self)) if isinstance(other, tuple) else NotImplemented

    def __mul__(self, count: SupportsIndex) -> Size:
        return Size(tuple.__mul__(self, count))

    def __rmul__(self, count: SupportsIndex) -> Size:
        return Size(tuple.__rmul__(self, count))

    def __repr__(self) -> str:
        return f"torch.Size({list(self)})"


TYPES = (
    *("cpu", "cuda", "ipu", "xpu", "mkldnn", "opengl", "opencl", "ideep", "hip", "ve", "fpga", "maia", "xla", "lazy"),
    *("vulkan", "mps", "meta", "hpu", "mtia", "privateuseone"),
)

# What torch, built for the CPU alone, raises where a tensor is to be on another device.
ABSENT: dict[str, Exception] = {
    "cuda": AssertionError("Torch not compiled with CUDA enabled"),
    "xpu": AssertionError("Torch not compiled with XPU enabled"),
    "mps": RuntimeError("PyTorch is not linked with support for mps devices"),
}


class device(str):
    """``device("cuda:0")`` or ``device("cuda", 0)``: where a tensor would be; the CPU is the only place.

    Parameters
    ----------
    type : str or device
        One of torch's types of devices, and after a colon which of them.
    index : int, optional

    Raises
    ------
    RuntimeError
        If torch knows no such type, or the index is no number.
    """

    type: str
    index: int | None

    def __new__(cls, type: str | device = "cpu", index: int | None = None) -> device:
        if isinstance(type, int):
            raise RuntimeError("Cannot access accelerator device when none is available.")
        if not isinstance(type, str):
            raise TypeError(f"a device is named by a string, got {type!r}")
        kind, colon, number = str(type).partition(":")
        if kind not in TYPES:
            raise RuntimeError(f"Expected one of {', '.join(TYPES)} device type at start of device string: {type}")
        if colon:
            if not number.isdecimal() or index is not None:
                raise RuntimeError(f"Invalid device string: '{type}'" + ("" if index is None else f" beside {index=}"))
            index = int(number)
        self = super().__new__(cls, kind if index is None else f"{kind}:{index}")
        self.type, self.index = kind, index
        return self

    def __getnewargs__(self) -> tuple[Any, ...]:
        return self.type, self.index

    def __repr__(self) -> str:
        return (
            f"device(type={self.type!r})" if self.index is None else f"device(type={self.type!r}, index={self.index})"
        )


CPU = device("cpu")


def is_device(x: Any) -> bool:
    """Whether `x` is a device, or the name of one."""
    return isinstance(x, str) and x.partition(":")[0] in TYPES


def check_device(where: str | device | None) -> None:
    """Raise what torch does on a machine without a GPU, if `where` is neither the CPU nor None."""
    if where is None or where is CPU:
        return
    kind = device(where).type
    if kind == "cpu":
        return
    if kind in ABSENT:
        error = ABSENT[kind]
        raise type(error)(*error.args)
    raise RuntimeError(f"fastconv computes on the CPU, got the device {str(where)!r}")


def to_array(data: ArrayLike | TensorBase, dtype: DTypeLike | None) -> np.ndarray:
    """A fresh array in native byte order; Python floats make float32."""
    if isinstance(data, TensorBase):
        data = data._array
    if dtype is not None:
        dtype = as_dtype(dtype)
    if isinstance(data, np.ndarray) and data.dtype == bfloat16.dtype:
        return data.copy() if dtype in (None, bfloat16) else convert(data, dtype)
    if dtype is bfloat16:
        return convert(to_array(data, None), dtype)
    checked = not isinstance(data, np.ndarray) and (dtype is None or dtype.kind in "iu")
    try:
        array = np.array(data, dtype=None if checked else dtype)
        if checked and array.dtype != dtype:
            array = _checked_integers(array, data, dtype)
    except (TypeError, ValueError) as error:
        raise type(error)(f"cannot make a tensor of {brief(data)}: {error}") from None
    if dtype is None and array.dtype.kind == "f" and not isinstance(data, (*ARRAYS, np.generic)):
        array = array.astype(_dtype_of_leaves(data), copy=False)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"a tensor holds bools, integers, or floats of up to 64 bits, got {brief(data)}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _checked_integers(array: np.ndarray, data: Any, dtype: np.dtype | None) -> np.ndarray:
    """Numbers in an integer dtype, or as NumPy takes them: none beyond int64, or beyond that dtype.

    Fractions are left out. A negative integer is as good as an unsigned one of as many bits.
    """
    if array.dtype.kind not in "bi" and (dtype is not None or array.dtype.kind != "f"):
        array = np.array(data, dtype=object)  # Among floats integers lost digits.
        if any(isinstance(x, int) and not -(2**63) <= x < 2**63 for x in array.flat):
            raise ValueError("Overflow when unpacking long long")
    if dtype is None or (array.dtype.kind == "O" and not all(isinstance(x, _NUMBERS) for x in array.flat)):
        return np.array(data, dtype=dtype)
    limits = np.iinfo(dtype)
    least = -limits.max if dtype.kind == "u" else limits.min
    if array.dtype.kind == "O":
        within = all((least if isinstance(x, _INTEGERS) else limits.min) <= x <= limits.max for x in array.flat)
    else:
        within = array.dtype.kind == "b" or not array.size or least <= array.min() <= array.max() <= limits.max
    if not within:
        raise RuntimeError(f"value cannot be converted to type {dtype} without overflow, got {brief(data)}")
    return array.astype(np.int64).astype(dtype)


_INTEGERS = (int, np.integer)
_NUMBERS = (*_INTEGERS, float, np.floating, np.bool_)


def _dtype_of_leaves(data: Any) -> np.dtype:
    """The dtype of nested sequences: what their numbers, arrays and tensors have in common."""
    if not isinstance(data, (list, tuple)):
        return data.dtype if isinstance(data, (*ARRAYS, np.generic)) else _OF_NUMBERS[category(data)]
    found = {x.dtype for x in data if isinstance(x, (*ARRAYS, np.generic))}
    nested = [x for x in data if isinstance(x, (list, tuple))]
    numbers = set(map(type, data)) & {bool, int, float}
    found |= {_OF_NUMBERS[category(kind())] for kind in numbers}
    found |= {_dtype_of_leaves(x) for x in nested}
    return functools.reduce(promote_types, found) if found else float32
