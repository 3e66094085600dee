"""Normalisation of channels: arrays (N, C, ...) as the kernels take them, and a number for each channel."""

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy import ndarray

from .._native.tape import TensorBase
from ..checks import number
from .arrays import float_array

__all__ = ["check_batch_norm", "like", "of_planes", "rows_of", "weights"]


def check_batch_norm(
    x: Any, weight: Any, bias: Any, running_mean: Any, running_var: Any, training: bool, momentum: Any, eps: Any
) -> None:
    """Raise for what batch norm cannot compute; all are tensors or arrays."""
    running = {"running_mean": running_mean, "running_var": running_var}
    given = {"weight": weight, "bias": bias}
    for name, array in {"input": x, **given, **running}.items():
        if not isinstance(array, (TensorBase, ndarray)) and (array is not None or name == "input"):
            raise TypeError(
                f"batch_norm: expected a Tensor or an ndarray as {name}, got {array!r} of type {type(array).__name__}"
            )
        if isinstance(array, np.ma.MaskedArray):
            raise TypeError(
                f"batch_norm: {name} is a MaskedArray of size {list(array.shape)}; fill its masked values first"
            )
    floats = {name: array for name, array in {"input": x, **given}.items() if array is not None}
    for name, array in floats.items():
        if array.dtype.kind != "f":
            raise TypeError(
                f"batch_norm: expected a floating dtype, got {name} of {array.dtype}; cast it, say by float()"
            )
    dtypes = {array.dtype for array in floats.values()}
    if x.dtype.itemsize == 2:
        dtypes.discard(np.dtype(np.float32))
    if len(dtypes) > 1:
        described = ", ".join(f"{name} {array.dtype}" for name, array in floats.items())
        raise TypeError(f"batch_norm: expected one dtype, got {described}")
    number(momentum, "momentum")
    number(eps, "eps")
    shape = list(x.shape)
    if len(shape) < 2:
        raise ValueError(f"batch_norm: expected input (N, C, ...), got input of size {shape}")
    for name, array in {**running, **given}.items():
        if array is not None and list(array.shape) != [shape[1]]:
            raise RuntimeError(
                f"batch_norm: {name} should contain {shape[1]} elements for input of size {shape}, "
                f"got size {list(array.shape)}"
            )
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("batch_norm: expected running_mean and running_var to be given when training=False")
    if training and shape[1] and np.prod(shape, dtype=object) == shape[1]:
        raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")


def of_planes(x: ndarray) -> tuple[ndarray, Callable[[ndarray], ndarray]]:
    """x (N, C, ...), dense or as images with channels last, and what brings a result of that size back to x's.

    Where the channels of x are neighbours in memory those of the result are.
    """
    shape, x = x.shape, float_array("batch_norm", x, "input")
    if x.ndim > 2 and x.size and not x.flags.c_contiguous and np.moveaxis(x, 1, -1).flags.c_contiguous:
        x = x.reshape(*shape[:2], -1, shape[-1])
    else:
        x = np.ascontiguousarray(x)
    return x, lambda y: y.reshape(shape)


def like(dy: ndarray, x: ndarray) -> ndarray:
    """A gradient of x's size in its dtype and order; x is one that :func:`of_planes` gives."""
    dy = np.require(dy, x.dtype).reshape(x.shape)
    if x.flags.c_contiguous:
        return np.require(dy, None, "CA")
    return np.moveaxis(np.require(np.moveaxis(dy, 1, -1), None, "CA"), -1, 1)


def rows_of(mean: ndarray, variance: ndarray, channels: int) -> tuple[ndarray, ndarray]:
    """Running statistics, dense and in float64."""
    rows = [np.require(a, np.float64, "CA") for a in (mean, variance)]
    if any(row.shape != (channels,) for row in rows):
        raise RuntimeError(f"batch_norm: expected statistics of {channels} channels, got {[row.shape for row in rows]}")
    return rows[0], rows[1]


def weights(x: ndarray, weight: ndarray | None, bias: ndarray | None) -> tuple[ndarray | None, ndarray | None]:
    """A weight and a bias for each channel, dense and in x's dtype."""
    rows = [None if a is None else np.require(a, x.dtype, "CA") for a in (weight, bias)]
    if any(row is not None and row.shape != x.shape[1:2] for row in rows):
        raise RuntimeError(f"batch_norm: expected weight and bias of size {list(x.shape[1:2])}")
    return rows[0], rows[1]
