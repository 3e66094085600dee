"""``torch.FloatTensor`` and its like: dtypes as classes, from the time before torch had dtypes."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor
from ..creation import empty, tensor
from ..dtypes import DType, Size, as_dtype

__all__ = [
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
]


class _OfDtype(type):
    """The tensors of one dtype as a class: it makes them, and they are instances of it."""

    dtype: DType

    def __call__(cls, *arguments: Any) -> Tensor:
        if all(isinstance(argument, int) for argument in arguments):
            return empty(*(arguments or (0,)), dtype=cls.dtype)
        if len(arguments) != 1:
            raise TypeError(f"{cls.__name__}() takes sizes or one sequence of numbers, got {arguments!r}")
        data = arguments[0]
        if isinstance(data, Size):
            return empty(data, dtype=cls.dtype)
        if isinstance(data, Tensor) and data.dtype != cls.dtype:
            raise TypeError(f"expected a tensor of {cls.dtype}, got {data.dtype}; convert it with .to({cls.dtype})")
        return data.detach() if isinstance(data, Tensor) else tensor(data, dtype=cls.dtype)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor) and instance.dtype == cls.dtype


def _of(name: str, dtype: str) -> _OfDtype:
    """The class `name`; its module is torch's, for ``tensor.type("torch.FloatTensor")`` says it so."""
    text = f"``{name}(*sizes)`` or ``{name}(data)``: a tensor of {dtype}; its tensors are instances of this class."
    return _OfDtype(name, (), {"dtype": as_dtype(dtype), "__doc__": text, "__module__": "torch"})


FloatTensor, DoubleTensor, HalfTensor = (
    _of("FloatTensor", "float32"),
    _of("DoubleTensor", "float64"),
    _of("HalfTensor", "float16"),
)
ByteTensor, CharTensor, ShortTensor = (
    _of("ByteTensor", "uint8"),
    _of("CharTensor", "int8"),
    _of("ShortTensor", "int16"),
)
BFloat16Tensor = _of("BFloat16Tensor", "bfloat16")
IntTensor, LongTensor, BoolTensor = _of("IntTensor", "int32"), _of("LongTensor", "int64"), _of("BoolTensor", "bool")
