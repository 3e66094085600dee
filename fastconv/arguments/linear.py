"""Linear layers."""

import math

import numpy as np
from numpy import ndarray

from .arrays import check_memory, float_array, float_arrays

__all__ = ["of_b", "of_w", "of_x", "of_y"]


def of_y(x: ndarray, w: ndarray, b: ndarray | None) -> tuple[ndarray, ndarray, ndarray | None, tuple[int, ...] | None]:
    """x as a matrix, w and b; the shape of y where x is no matrix."""
    given = x
    x, w = float_arrays("linear", x, "input", w, "weight")
    if w.ndim != 2 or not x.ndim or x.shape[-1] != w.shape[1]:
        raise RuntimeError(
            f"linear: expected input (..., in) and weight (out, in), got input of size {list(x.shape)} "
            f"and weight of size {list(w.shape)}"
        )
    if b is not None:
        b, _ = float_arrays("linear", b, "bias", given, "input")
        if b.shape != w.shape[:1]:
            raise RuntimeError(
                f"linear: expected bias of size [{w.shape[0]}] for weight of size {list(w.shape)}, "
                f"got bias of size {list(b.shape)}"
            )
        b = np.ascontiguousarray(b)
    y_shape = (*x.shape[:-1], w.shape[0])
    check_memory("linear", y_shape, x)
    return _matrix(x), w, b, None if x.ndim == 2 else y_shape


def of_x(w: ndarray, dy: ndarray) -> tuple[ndarray, ndarray, tuple[int, ...] | None]:
    """w, and dy as a matrix; the shape of dx where dy is no matrix."""
    dy, w = float_arrays("linear_input", dy, "gradient", w, "weight")
    if w.ndim != 2 or not dy.ndim or dy.shape[-1] != w.shape[0]:
        raise RuntimeError(
            f"linear_input: expected gradient (..., out) and weight (out, in), got gradient of size {list(dy.shape)} "
            f"and weight of size {list(w.shape)}"
        )
    x_shape = (*dy.shape[:-1], w.shape[1])
    check_memory("linear_input", x_shape, dy)
    return w, _matrix(dy), None if dy.ndim == 2 else x_shape


def of_w(x: ndarray, dy: ndarray) -> tuple[ndarray, ndarray]:
    """x and dy as matrices."""
    dy, x = float_arrays("linear_weight", dy, "gradient", x, "input")
    if not x.ndim or not dy.ndim or x.shape[:-1] != dy.shape[:-1]:
        raise RuntimeError(
            f"linear_weight: expected gradient (..., out) and input (..., in), got gradient of size {list(dy.shape)} "
            f"and input of size {list(x.shape)}"
        )
    return _matrix(x), _matrix(dy)


def of_b(dy: ndarray) -> ndarray:
    """dy as a dense matrix."""
    dy = float_array("linear_bias", dy, "gradient")
    if not dy.ndim:
        raise RuntimeError("linear_bias: expected gradient (..., out), got one without dimensions")
    return np.ascontiguousarray(_matrix(dy))


def _matrix(a: ndarray) -> ndarray:
    return a if a.ndim == 2 else a.reshape(math.prod(a.shape[:-1]), a.shape[-1])
