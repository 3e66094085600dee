from typing import TypeVar

from numpy import ndarray

from fastconv._native.tape import TensorBase

_Array = TypeVar("_Array", ndarray, TensorBase)

def cross_entropy(
    x: _Array,
    target: ndarray | TensorBase,
    weight: ndarray | TensorBase | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> _Array: ...
