"""Normalisation of groups, layers, instances and neighbouring channels: all but the last on one compiled pass."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from ... import layer_passes, twice
from ..._native.tape import apply, differentiable_twice
from ..._tensor import Tensor
from ...checks import integer, integers, number
from ...dtypes import bfloat16
from ...elementwise import track
from ...functions import rsqrt
from .. import functional as F
from .arguments import Array, array_of, check_array, check_dtypes, check_size, of_tensors, values_of

__all__ = ["group_norm", "instance_norm", "layer_norm", "local_response_norm", "rms_norm"]


@differentiable_twice
def _normalise(needs, x, w, b, rows, run, weights, eps):
    y, mean, inverse_std = layer_passes.normalise(x, rows, run, w, b, eps)
    need_x, need_w, need_b = needs
    size = (weights,) if w is None else w.shape

    def vjp(dy, x, w, mean, inverse_std):
        if isinstance(dy, Tensor):
            dx, dw, db = twice.normalise(dy, x, w, rows, run, weights, eps)
            return dx, dw.reshape(size), db.reshape(size)
        dx, dw, db = layer_passes.normalise_backward(dy, x, run, w, weights, mean, inverse_std, need_x)
        return dx, dw.reshape(size) if need_w else None, db.reshape(size) if need_b else None

    return y, vjp, (x, w, mean, inverse_std)


def group_norm(
    input: Array, num_groups: int, weight: Array | None = None, bias: Array | None = None, eps: float = 1e-5
) -> Array:
    """Normalise every group of channels of every image by its mean and biased variance (Wu and He, 2018).

    Parameters
    ----------
    input : (N, C, ...)
        float32 or float64; floats of 16 bits are computed in float32.
    num_groups : int
        Into how many groups the channels are split.
    weight, bias : (C,), optional
        ``weight * (input - mean) / sqrt(var + eps) + bias``.
    eps : float
    """
    check_dtypes("group_norm", wider=True, input=input, weight=weight, bias=bias)
    num_groups = integer(num_groups, "num_groups", 1)
    number(eps, "eps")
    if input.ndim < 2:
        raise RuntimeError(
            f"Expected at least 2 dimensions for input tensor but received {input.ndim}, of size {list(input.shape)}"
        )
    channels = input.shape[1]
    if channels % num_groups:
        raise RuntimeError(
            "Expected number of channels in input to be divisible by num_groups, but got input of shape "
            f"{list(input.shape)} and num_groups={num_groups}"
        )
    check_size("group_norm", "weight", weight, (channels,), input)
    check_size("group_norm", "bias", bias, (channels,), input)
    rows, run = input.shape[0] * num_groups, math.prod(input.shape[2:])
    return apply(_normalise, input, weight, bias, rows=rows, run=run, weights=channels, eps=eps)


@of_tensors
def rms_norm(
    input: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    eps: float | None = None,
) -> Array:
    """Divide by the root of the mean of squares over the last dimensions (Zhang and Sennrich, 2019).

    Parameters
    ----------
    input : ``(..., *normalized_shape)``
        float32 or float64; floats of 16 bits are computed in float32.
    normalized_shape : sequence of int
        The lengths of the dimensions that the mean is taken over together.
    weight : of size normalized_shape, optional
        ``weight * input / sqrt(mean(input^2) + eps)``, element by element.
    eps : float, optional
        The resolution of input's dtype by default.
    """
    check_dtypes("rms_norm", wider=True, input=input, weight=weight)
    shape = _last_dimensions(input, normalized_shape)
    check_size("rms_norm", "weight", weight, shape, input)
    x = input.float() if input.dtype.itemsize == 2 else input
    if eps is None:
        eps = 2.0**-7 if input.dtype == bfloat16 else float(np.finfo(input.dtype).eps)
    y = x * rsqrt((x * x).mean(tuple(range(-len(shape), 0)), keepdim=True) + number(eps, "eps"))
    return (y if weight is None else y * weight).to(input.dtype)


def _last_dimensions(input: Array, normalized_shape: int | Sequence[int]) -> tuple[int, ...]:
    count = len(normalized_shape) if isinstance(normalized_shape, Sequence) else 1
    shape = integers(normalized_shape, "normalized_shape", 0, count)
    if not shape:
        raise RuntimeError(
            f"Expected normalized_shape to be at least 1-dimensional, but got normalized_shape={normalized_shape}"
        )
    if tuple(input.shape[-len(shape) :]) != shape:
        raise RuntimeError(
            f"Given normalized_shape={list(shape)}, expected input with shape [*, {', '.join(map(str, shape))}], "
            f"but got input of size {list(input.shape)}"
        )
    return shape


def layer_norm(
    input: Array,
    normalized_shape: int | Sequence[int],
    weight: Array | None = None,
    bias: Array | None = None,
    eps: float = 1e-5,
) -> Array:
    """Normalise over the last dimensions by their mean and biased variance (Ba et al., 2016).

    Parameters
    ----------
    input : ``(..., *normalized_shape)``
        float32 or float64; floats of 16 bits are computed in float32.
    normalized_shape : sequence of int
        The lengths of the dimensions that are normalised over together.
    weight, bias : of size normalized_shape, optional
        ``weight * (input - mean) / sqrt(var + eps) + bias``, element by element.
    eps : float
    """
    check_dtypes("layer_norm", wider=True, input=input, weight=weight, bias=bias)
    number(eps, "eps")
    shape = _last_dimensions(input, normalized_shape)
    check_size("layer_norm", "weight", weight, shape, input)
    check_size("layer_norm", "bias", bias, shape, input)
    rows = math.prod(input.shape[: input.ndim - len(shape)])
    return apply(_normalise, input, weight, bias, rows=rows, run=1, weights=math.prod(shape), eps=eps)


def instance_norm(
    input: Array,
    running_mean: Array | None = None,
    running_var: Array | None = None,
    weight: Array | None = None,
    bias: Array | None = None,
    use_input_stats: bool = True,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Normalise every channel of every image by its mean and biased variance (Ulyanov et al., 2016).

    Parameters
    ----------
    input : (N, C, ...)
        float32 or float64; floats of 16 bits are computed in float32.
    running_mean, running_var : (C,), optional
        Updated in place, by the mean over the images, where `use_input_stats`; else what the input is normalised by.
    weight, bias : (C,), optional
        ``weight * (input - mean) / sqrt(var + eps) + bias``.
    use_input_stats : bool
    momentum : float
        Share of the input's statistics in the running ones.
    eps : float
    """
    check_dtypes("instance_norm", wider=True, input=input, weight=weight, bias=bias)
    if not use_input_stats:
        if running_mean is None or running_var is None:
            raise RuntimeError("Expected running_mean and running_var to be defined when use_input_stats is false")
        return F.batch_norm(input, running_mean, running_var, weight, bias, False, momentum, eps)
    size = math.prod(input.shape[2:])
    if size == 1:
        raise ValueError(f"Expected more than 1 spatial element when training, got input size {list(input.shape)}")
    channels = input.shape[1]
    for name, array in (("running_mean", running_mean), ("running_var", running_var)):
        if array is not None:
            check_array("instance_norm", array, name)
            check_size("instance_norm", name, array, (channels,), input)
    if input.shape[0] and size:
        x, axes = values_of(input), tuple(range(2, input.ndim))
        track(array_of(running_mean), np.mean(x, axis=axes, dtype=np.float64).mean(axis=0), momentum)
        track(array_of(running_var), np.var(x, axis=axes, dtype=np.float64, ddof=1).mean(axis=0), momentum)
    return group_norm(input, channels, weight, bias, eps)


@of_tensors
def local_response_norm(input: Array, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> Array:
    """``input / (k + alpha * mean of squares)^beta``, the mean over `size` neighbouring channels (Krizhevsky, 2012).

    Parameters
    ----------
    input : (N, C, ...) with at least one more dimension
    size : int
    alpha, beta, k : float
    """
    if not isinstance(input, Tensor):
        raise TypeError(f"local_response_norm() expects a Tensor or an ndarray, got {type(input).__name__}")
    if input.ndim < 3:
        raise ValueError(f"Expected 3D or higher dimensionality input (got {input.ndim} dimensions)")
    size = integer(size, "size", 1)
    if not input.numel():
        return input
    n, c = input.shape[:2]
    squares = (input * input).reshape(n, 1, c, -1)
    neighbours = F.pad(squares, (0, 0, size // 2, (size - 1) // 2))
    mean = F.avg_pool2d(neighbours, (size, 1), 1).reshape(input.shape)
    return input / (mean * alpha + k) ** beta
