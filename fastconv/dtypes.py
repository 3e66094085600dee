"""Dtypes: their names, which of them a result has, and arrays of any data; devices, of which there is one."""

from __future__ import annotations

import functools
import math
from collections.abc import Sequence
from typing import Any, SupportsIndex, TypeAlias, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from ._native.tape import TensorBase
from .checks import brief

__all__ = [
    "ARRAYS",
    "BFloat16",
    "CPU",
    "Data",
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
    "uint8",
]


DType: TypeAlias = "np.dtype[Any]"

float16: DType = np.dtype("float16")
float32: DType = np.dtype("float32")
float64: DType = np.dtype("float64")
uint8: DType = np.dtype("uint8")
int8: DType = np.dtype("int8")
int16: DType = np.dtype("int16")
int32: DType = np.dtype("int32")
int64: DType = np.dtype("int64")
bool_: DType = np.dtype("bool")

DeviceLike: TypeAlias = "str | device | None"
Data: TypeAlias = "ArrayLike | TensorBase"  # what a tensor can be made of


class BFloat16:
    """The dtype of floats with float32's exponent and 8 bits of precision, which NumPy does not have.

    They are stored as NumPy's void of 16 bits, which can be moved but not computed with: an operation that does not
    know them fails, and does not take their bits for numbers. Operations compute them in float32 and round.
    """

    __slots__ = ()

    name: str = "bfloat16"
    kind: str = "f"
    itemsize: int = 2
    is_floating_point: bool = True
    isnative: bool = True
    dtype: np.dtype[Any] = np.dtype("V2")  # NumPy's functions see it

    def __eq__(self, other: object) -> bool:
        return other is self or (isinstance(other, np.dtype) and other == self.dtype)

    def __hash__(self) -> int:
        return hash(self.dtype)

    def __repr__(self) -> str:
        return "torch.bfloat16"

    def __reduce__(self) -> str:
        return "bfloat16"


bfloat16: np.dtype = BFloat16()  # type: ignore[assignment]


def bits_of(array: np.ndarray) -> np.ndarray:
    """The bits of an array of bfloat16, as uint16 over the same memory."""
    return array.view(np.uint16)


def from_bits(bits: np.ndarray) -> np.ndarray:
    """The array of bfloat16 that has these bits, uint16, over the same memory."""
    return bits.view(BFloat16.dtype)


def _widen(array: np.ndarray) -> np.ndarray:
    return (bits_of(array).astype(np.uint32) << 16).view(np.float32)


def _narrow(array: np.ndarray) -> np.ndarray:
    """Rounded to the nearest, ties to even; every NaN becomes the quiet one."""
    with np.errstate(over="ignore", invalid="ignore"):
        x = np.array(array, np.float32)
    bits = x.view(np.uint32)
    nearest = (bits + (((bits >> 16) & 1) + np.uint32(0x7FFF))) >> 16
    return from_bits(np.where(np.isnan(x), np.uint32(0x7FC0), nearest).astype(np.uint16))


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
    if dtype is bfloat16:
        return convert(np.full(shape, value, np.float32), dtype)
    return np.full(shape, fitting(value, dtype), dtype)


def dtype_of(array: np.ndarray) -> np.dtype:
    """The dtype of what an array holds."""
    return bfloat16 if array.dtype.kind == "V" else array.dtype


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
    if isinstance(x, (np.dtype, BFloat16)):
        return _CATEGORY[x.kind]
    return 0 if isinstance(x, bool) else 1 if isinstance(x, int) else 2


def promote_types(type1: DTypeLike, type2: DTypeLike) -> np.dtype:
    """The smallest dtype that holds what both hold; beside a float, an integer or a bool counts for nothing."""
    first, second = as_dtype(type1), as_dtype(type2)
    if first == second:
        return first
    if bfloat16 in (first, second):
        other = second if first == bfloat16 else first
        return bfloat16 if other.kind != "f" else np.promote_types(other, float32)
    if (first.kind == "f") != (second.kind == "f"):
        return first if first.kind == "f" else second
    return np.promote_types(first, second)


def result_type(*operands: Any) -> np.dtype:
    """The dtype of an operation on tensors and numbers, by torch's rules of promotion.

    A float goes before an integer and an integer before a bool; within such a kind, tensors with dimensions
    decide before those without, and those before Python's and NumPy's numbers, whose dtypes are float32, int64 and
    bool.
    """
    ranked: list[np.dtype | None] = [None, None, None]  # of tensors with dimensions, of those without, of numbers
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


def can_cast(from_: DTypeLike, to: DTypeLike) -> bool:
    """Whether an in-place operation may store results of the one dtype in a tensor of the other."""
    source, target = as_dtype(from_), as_dtype(to)
    return category(source) <= category(target)


def fitting(value: Any, dtype: np.dtype) -> Any:
    """A number as an element of that dtype: integers of either sign where the bits suffice, RuntimeError for others."""
    value = value.item() if isinstance(value, (*ARRAYS, np.generic)) else value
    if dtype.kind == "b" or dtype is bfloat16 or not np.isfinite(value):
        return value
    limits = np.finfo(dtype) if dtype.kind == "f" else np.iinfo(dtype)
    least = limits.min
    if isinstance(value, int) and dtype.kind == "u":
        least = -limits.max
    if not least <= value <= limits.max:
        raise RuntimeError(f"value cannot be converted to type {dtype} without overflow, got {value!r}")
    return value % (limits.max + 1) if dtype.kind == "u" else value


def check_dtype(dtype: np.dtype) -> np.dtype:
    """`dtype`, if a tensor can have it."""
    if dtype.kind not in "biuf" or dtype.itemsize > 8:
        raise TypeError(f"a tensor holds bools, integers, or floats of up to 64 bits, not {dtype}")
    return dtype


def as_dtype(dtype: DTypeLike) -> np.dtype:
    """`dtype` as a dtype that a tensor can have; None is float32."""
    if dtype is bfloat16 or dtype == "bfloat16" or (isinstance(dtype, np.dtype) and dtype == BFloat16.dtype):
        return bfloat16
    try:
        return check_dtype(float32 if dtype is None else np.dtype(dtype))
    except TypeError:
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
    if isinstance(data, np.ndarray) and data.dtype == BFloat16.dtype:
        return data.copy() if dtype in (None, bfloat16) else convert(data, dtype)
    if dtype is bfloat16:
        return convert(to_array(data, None), dtype)
    try:
        array = np.array(data, dtype=dtype)
    except OverflowError as error:
        raise RuntimeError(
            f"value cannot be converted to type {dtype or int64} without overflow: {brief(data)}: {error}"
        ) from None
    except (TypeError, ValueError) as error:
        raise type(error)(f"cannot make a tensor of {brief(data)}: {error}") from None
    if dtype is None and array.dtype.kind == "f" and not isinstance(data, (*ARRAYS, np.generic)):
        array = array.astype(_dtype_of_leaves(data), copy=False)
    if array.dtype.kind not in "biuf" or array.dtype.itemsize > 8:
        raise TypeError(f"a tensor holds bools, integers, or floats of up to 64 bits, got {brief(data)}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


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
