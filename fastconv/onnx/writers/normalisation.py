"""Normalisation of batches, groups, layers and instances, and of neighbouring channels."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from ...nn import functional as F
from ..graph import Graph, Value, writes

__all__ = []


def _or(g: Graph, value: Any, number: float, length: int, dtype: np.dtype) -> Any:
    return value if value is not None else g.constant(np.full(length, number, dtype))


@writes(F.batch_norm)
def _batch_norm(
    g: Graph,
    input: Value,
    running_mean: Value | None,
    running_var: Value | None,
    weight: Value | None,
    bias: Value | None,
    training: bool,
    momentum: float,
    eps: float,
) -> str:
    channels = input.shape[1]
    scale, shift = _or(g, weight, 1, channels, input.dtype), _or(g, bias, 0, channels, input.dtype)
    mean = _or(g, running_mean, 0, channels, input.dtype)
    var = _or(g, running_var, 1, channels, input.dtype)
    if not training:
        return g.op("BatchNormalization", input, scale, shift, mean, var, epsilon=eps)
    if running_mean is None:  # the operator would keep statistics
        axes = [0, *range(2, input.ndim)]
        centred = g.op("Sub", input, g.reduce("ReduceMean", input, axes, True))
        variance = g.reduce("ReduceMean", g.op("Mul", centred, centred), axes, True)
        y = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.constant(eps, input.dtype))))
        return _affine(g, y, weight, bias, [-1] + [1] * (input.ndim - 2))
    if g.opset < 14:
        raise RuntimeError("nn.functional.batch_norm in training has an operator since opset 14")
    options = {"epsilon": eps, "momentum": 1 - momentum, "training_mode": 1}
    return g.op("BatchNormalization", input, scale, shift, mean, var, outputs=3, **options)[0]


@writes(F.group_norm)
def _group_norm(g: Graph, input: Value, num_groups: int, weight: Value | None, bias: Value | None, eps: float) -> str:
    channels = input.shape[1]
    if g.opset >= 21:
        scale, shift = _or(g, weight, 1, channels, input.dtype), _or(g, bias, 0, channels, input.dtype)
        return g.op("GroupNormalization", input, scale, shift, num_groups=num_groups, epsilon=eps)
    ones, zeros = (g.constant(np.full(num_groups, n, input.dtype)) for n in (1, 0))
    groups = g.op("Reshape", input, g.constant([0, num_groups, -1], np.int64))
    y = g.op("InstanceNormalization", groups, ones, zeros, epsilon=eps)
    y = g.op("Reshape", y, g.op("Shape", input))
    return _affine(g, y, weight, bias, [-1] + [1] * (input.ndim - 2))


def _affine(g: Graph, y: str, weight: Value | None, bias: Value | None, shape: Sequence[int]) -> str:
    if weight is not None:
        y = g.op("Mul", y, g.reshape(weight, shape))
    return y if bias is None else g.op("Add", y, g.reshape(bias, shape))


@writes(F.layer_norm)
def _layer_norm(
    g: Graph, input: Value, normalized_shape: Any, weight: Value | None, bias: Value | None, eps: float
) -> str:
    shape = normalized_shape if isinstance(normalized_shape, (list, tuple)) else [normalized_shape]
    axes = list(range(-len(shape), 0))
    if g.opset >= 17:
        scale: Any = weight if weight is not None else g.constant(np.ones([int(n) for n in shape], input.dtype))
        return g.op("LayerNormalization", input, scale, bias, axis=-len(shape), epsilon=eps)
    centred = g.op("Sub", input, g.reduce("ReduceMean", input, axes, True))
    variance = g.reduce("ReduceMean", g.op("Mul", centred, centred), axes, True)
    y = g.op("Div", centred, g.op("Sqrt", g.op("Add", variance, g.constant(eps, input.dtype))))
    if weight is not None:
        y = g.op("Mul", y, weight)
    return y if bias is None else g.op("Add", y, bias)


@writes(F.instance_norm)
def _instance_norm(
    g: Graph,
    input: Value,
    running_mean: Value | None,
    running_var: Value | None,
    weight: Value | None,
    bias: Value | None,
    use_input_stats: bool,
    momentum: float,
    eps: float,
) -> str:
    if not use_input_stats:
        return _batch_norm(g, input, running_mean, running_var, weight, bias, False, momentum, eps)
    channels = input.shape[1]
    scale, shift = _or(g, weight, 1, channels, input.dtype), _or(g, bias, 0, channels, input.dtype)
    return g.op("InstanceNormalization", input, scale, shift, epsilon=eps)


@writes(F.local_response_norm)
def _local_response_norm(g: Graph, input: Value, size: int, alpha: float, beta: float, k: float) -> str:
    # For an even size torch takes one more channel before than after, and the operator one more after: the mean of
    # windows along the channels is written out then.
    if size % 2:
        return g.op("LRN", input, size=size, alpha=float(alpha), beta=float(beta), bias=float(k))
    rows = g.op("Reshape", g.op("Mul", input, input), g.constant([0, 1, input.shape[1], -1], np.int64))
    mean = g.op(
        *("AveragePool", rows),
        kernel_shape=[size, 1],
        pads=[size // 2, 0, (size - 1) // 2, 0],
        count_include_pad=1,
    )
    scale = g.op(
        "Add",
        g.op("Mul", g.op("Reshape", mean, g.op("Shape", input)), g.constant(alpha, input.dtype)),
        g.constant(k, input.dtype),
    )
    return g.op("Div", input, g.op("Pow", scale, g.constant(beta, input.dtype)))
