from collections.abc import Sequence
from typing import TypeVar

from numpy import ndarray

from fastconv._native.tape import TensorBase

_Array = TypeVar("_Array", ndarray, TensorBase)
_Size = int | Sequence[int]

def conv1d(
    x: _Array,
    w: _Array,
    b: _Array | None = None,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
) -> _Array: ...
def conv1d_input(
    input_size: Sequence[int],
    w: _Array,
    dy: _Array,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
) -> _Array: ...
def conv1d_weight(
    x: _Array,
    weight_size: Sequence[int],
    dy: _Array,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
) -> _Array: ...
def conv2d(
    x: _Array,
    w: _Array,
    b: _Array | None = None,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
) -> _Array: ...
def conv2d_input(
    input_size: Sequence[int],
    w: _Array,
    dy: _Array,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
) -> _Array: ...
def conv2d_weight(
    x: _Array,
    weight_size: Sequence[int],
    dy: _Array,
    stride: _Size = 1,
    padding: _Size | str = 0,
    dilation: _Size = 1,
    groups: int = 1,
) -> _Array: ...
def conv_transpose2d(
    x: _Array,
    w: _Array,
    b: _Array | None = None,
    stride: _Size = 1,
    padding: _Size = 0,
    output_padding: _Size = 0,
    groups: int = 1,
    dilation: _Size = 1,
) -> _Array: ...
def conv_transpose2d_input(
    input_size: Sequence[int],
    w: _Array,
    dy: _Array,
    stride: _Size = 1,
    padding: _Size = 0,
    output_padding: _Size = 0,
    groups: int = 1,
    dilation: _Size = 1,
) -> _Array: ...
def conv_transpose2d_weight(
    x: _Array,
    weight_size: Sequence[int],
    dy: _Array,
    stride: _Size = 1,
    padding: _Size = 0,
    output_padding: _Size = 0,
    groups: int = 1,
    dilation: _Size = 1,
) -> _Array: ...
def linear(x: _Array, w: _Array, b: _Array | None = None) -> _Array: ...
def linear_input(w: _Array, dy: _Array) -> _Array: ...
def linear_weight(x: _Array, dy: _Array) -> _Array: ...
def bias_gradient(dy: _Array, dims: int = 2) -> _Array: ...
def linear_bias(dy: _Array) -> _Array: ...
