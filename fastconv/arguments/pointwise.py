"""Layers that compute every element by itself: arrays that lie dense in memory, in whichever order of axes."""

from collections.abc import Callable

import numpy as np
from numpy import ndarray

from ..checks import number

__all__ = ["of_dy", "of_x", "slope"]


def of_x(op: str, x: ndarray) -> tuple[ndarray, Callable[[ndarray], ndarray]]:
    """x, dense and of float32 or float64, and what brings the result back to x's dtype and order of axes."""
    x = _checked(op, x, "input")
    order = np.argsort([-abs(stride) for stride in x.strides], kind="stable")
    return _ready(x, order), _turn_back(x.dtype, order)


def of_dy(op: str, dy: ndarray, x: ndarray) -> tuple[ndarray, ndarray, Callable[[ndarray], ndarray]]:
    """dy and an array of its shape, and what brings the result back to the latter's dtype and order of axes."""
    dy, x = _checked(op, dy, "gradient"), _checked(op, x, "input")
    if dy.shape != x.shape or dy.dtype.type is not x.dtype.type:
        raise RuntimeError(
            f"{op}: expected gradient and input of one size and dtype, got gradient {dy.dtype}{list(dy.shape)} "
            f"and input {x.dtype}{list(x.shape)}"
        )
    order = np.argsort([-abs(stride) for stride in x.strides], kind="stable")
    return _ready(dy, order), _ready(x, order), _turn_back(x.dtype, order)


def slope(value: float) -> float:
    """A slope, as a float."""
    return value if type(value) is float else float(number(value, "negative_slope"))


def _checked(op: str, x: object, name: str) -> ndarray:
    if isinstance(x, np.generic):
        x = np.asarray(x)
    if not isinstance(x, ndarray):
        raise TypeError(f"{op}: expected a Tensor or an ndarray as {name}, got {x!r} of type {type(x).__name__}")
    if x.dtype.type not in (np.float16, np.float32, np.float64):
        raise TypeError(f"{op}: expected a floating dtype, got {name} of {x.dtype} and size {list(x.shape)}")
    return x


def _ready(x: ndarray, order: ndarray) -> ndarray:
    dtype = np.float64 if x.dtype.itemsize == 8 else np.float32
    return np.require(x.transpose(order), dtype, "CA")


def _turn_back(dtype: np.dtype, order: ndarray) -> Callable[[ndarray], ndarray]:
    return lambda y: y.transpose(np.argsort(order)).astype(dtype.newbyteorder("="), copy=False)
