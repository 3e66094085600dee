from collections.abc import Sequence
from typing import TypeVar

from numpy import ndarray

from fastconv._native.tape import TensorBase

_Array = TypeVar("_Array", ndarray, TensorBase)
_Size = int | Sequence[int]

def max_pool2d(
    x: _Array,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    dilation: _Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> _Array | tuple[_Array, _Array]: ...
def max_pool2d_with_indices(
    x: ndarray,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    dilation: _Size = 1,
    ceil_mode: bool = False,
) -> tuple[ndarray, ndarray]: ...
def max_pool2d_backward(dy: _Array, indices: _Array, input_size: Sequence[int]) -> _Array: ...
def max_pool2d_take(x: _Array, indices: _Array) -> _Array: ...
def avg_pool2d(
    x: _Array,
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> _Array: ...
def avg_pool2d_backward(
    dy: _Array,
    input_size: Sequence[int],
    kernel_size: _Size,
    stride: _Size | None = None,
    padding: _Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> _Array: ...
def adaptive_avg_pool2d(x: _Array, output_size: int | Sequence[int | None] | None) -> _Array: ...
def adaptive_avg_pool2d_backward(dy: _Array, input_size: Sequence[int]) -> _Array: ...
