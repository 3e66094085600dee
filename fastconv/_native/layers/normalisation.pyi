from typing import TypeVar

from numpy import ndarray

from fastconv._native.tape import TensorBase

_Array = TypeVar("_Array", ndarray, TensorBase)

def moments_of(
    x: ndarray, mean: ndarray | None, variance: ndarray | None, training: bool, momentum: float, eps: float
) -> ndarray: ...
def normalise(
    x: ndarray,
    weight: ndarray | None,
    bias: ndarray | None,
    moments: ndarray,
    residual: ndarray | None = None,
    rectified: bool = False,
    ceiling: float = ...,
) -> tuple[ndarray, ndarray]: ...
def normalise_backward(
    dy: ndarray,
    x: ndarray,
    weight: ndarray | None,
    moments: ndarray,
    training: bool,
    need_x: bool,
    lines: ndarray | None = None,
    y: ndarray | None = None,
    ceiling: float = ...,
    need_residual: bool = False,
    spent: bool = False,
) -> tuple[ndarray | None, ndarray, ndarray, ndarray | None]: ...
def batch_norm(
    x: _Array,
    weight: _Array | None,
    bias: _Array | None,
    running_mean: _Array | None,
    running_var: _Array | None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
    residual: _Array | None = None,
    rectified: bool = False,
    ceiling: float = ...,
) -> _Array: ...
