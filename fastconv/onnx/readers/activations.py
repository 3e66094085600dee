"""Activations, softmax and dropout."""

from __future__ import annotations

import math

import numpy as np

from ... import functions
from ..._tensor import Tensor
from ...creation import from_numpy
from ...nn import functional as F
from ..nodes import Node, reads

__all__ = []


@reads("Relu", in_float32=True)
def _relu(node: Node, x: Tensor) -> Tensor:
    return F.relu(x)


@reads("LeakyRelu", in_float32=True)
def _leaky_relu(node: Node, x: Tensor) -> Tensor:
    return F.leaky_relu(x, node.get("alpha", 0.01))


@reads("ThresholdedRelu")
def _thresholded_relu(node: Node, x: Tensor) -> Tensor:
    return functions.where(x > node.get("alpha", 1.0), x, 0.0)


@reads("PRelu", weights=(1,), in_float32=True)
def _prelu(node: Node, x: Tensor, slope: Tensor) -> Tensor:
    is_channels = x.ndim > 1 and slope.ndim == x.ndim - 1 and slope.shape[1:].numel() == 1
    if is_channels and x.dtype.kind == "f" and slope.shape[0] in (1, x.shape[1]):
        return F.prelu(x, slope.reshape(-1))
    return functions.where(x < 0, x * slope, x)


@reads("Sigmoid")
def _sigmoid(node: Node, x: Tensor) -> Tensor:
    return functions.sigmoid(x)


@reads("Tanh")
def _tanh(node: Node, x: Tensor) -> Tensor:
    return functions.tanh(x)


@reads("Elu", in_float32=True)
def _elu(node: Node, x: Tensor) -> Tensor:
    return F.elu(x, node.get("alpha", 1.0))


@reads("Selu", in_float32=True)
def _selu(node: Node, x: Tensor) -> Tensor:
    alpha, gamma = node.get("alpha", 1.67326319217681884765625), node.get("gamma", 1.05070102214813232421875)
    return F.elu(x, alpha) * gamma


@reads("Celu", in_float32=True)
def _celu(node: Node, x: Tensor) -> Tensor:
    return F.celu(x, node.get("alpha", 1.0))


@reads("HardSigmoid")
def _hard_sigmoid(node: Node, x: Tensor) -> Tensor:
    return (x * node.get("alpha", 0.2) + node.get("beta", 0.5)).clamp(0.0, 1.0)


@reads("HardSwish", in_float32=True)
def _hard_swish(node: Node, x: Tensor) -> Tensor:
    return F.hardswish(x)


@reads("Softplus", in_float32=True)
def _softplus(node: Node, x: Tensor) -> Tensor:
    return F.softplus(x, 1, math.inf)


@reads("Softsign", in_float32=True)
def _softsign(node: Node, x: Tensor) -> Tensor:
    return F.softsign(x)


@reads("Gelu", in_float32=True)
def _gelu(node: Node, x: Tensor) -> Tensor:
    return F.gelu(x, approximate=node.get("approximate", "none"))


@reads("Mish", in_float32=True)
def _mish(node: Node, x: Tensor) -> Tensor:
    return F.mish(x)


@reads("Swish")
def _swish(node: Node, x: Tensor) -> Tensor:
    return x * functions.sigmoid(x * node.get("alpha", 1.0))


@reads("Shrink")
def _shrink(node: Node, x: Tensor) -> Tensor:
    bias, limit = node.get("bias", 0.0), node.get("lambd", 0.5)
    return functions.where(x < -limit, x + bias, functions.where(x > limit, x - bias, 0.0)).to(x.dtype)


@reads("Clip", settings=(1, 2))
def _clip(node: Node, x: Tensor, low: Tensor | None = None, high: Tensor | None = None) -> Tensor:
    least = node.get("min") if low is None else low
    most = node.get("max") if high is None else high
    if least is None and most is None:
        return x
    return x.clamp(*(limit.item() if isinstance(limit, Tensor) else limit for limit in (least, most))).to(x.dtype)


def _along(node: Node, x: Tensor, function) -> Tensor:
    """A function along an axis; before opset 13, over all dimensions from the axis on together."""
    axis = node.get("axis", -1 if node.opset >= 13 else 1)
    if node.opset >= 13 or not x.ndim:
        return function(x, axis)
    axis = axis + x.ndim if axis < 0 else axis
    rows = math.prod(x.shape[:axis])
    return function(x.reshape(rows, -1), 1).reshape(x.shape)


@reads("Softmax")
def _softmax(node: Node, x: Tensor) -> Tensor:
    return _along(node, x, functions.softmax)


@reads("LogSoftmax")
def _log_softmax(node: Node, x: Tensor) -> Tensor:
    return _along(node, x, functions.log_softmax)


@reads("Hardmax")
def _hardmax(node: Node, x: Tensor) -> Tensor:
    def hardmax(x: Tensor, axis: int) -> Tensor:
        y = np.zeros(x.shape, x.dtype)
        np.put_along_axis(y, np.expand_dims(np.argmax(x._array, axis), axis), 1, axis)
        return from_numpy(y)

    return _along(node, x, hardmax)


@reads("Dropout", settings=(1, 2), takes_mode=True)
def _dropout(
    node: Node, x: Tensor, ratio: Tensor | None = None, mode: Tensor | None = None, training: bool = False
) -> tuple[Tensor, Tensor]:
    p = node.get("ratio", 0.5) if ratio is None else ratio.item()
    mask = from_numpy(np.ones(x.shape, bool))
    if not (training or (mode is not None and mode.item())) or not p:
        return x, mask
    if len(node.outputs) > 1 and node.outputs[1]:
        kept = F.dropout(from_numpy(np.ones(x.shape, x.dtype)), p)
        return x * kept, kept != 0
    return F.dropout(x, p), mask
