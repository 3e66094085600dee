"""Activations, softmax and dropout."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

from ... import functions
from ...nn import functional as F
from ..graph import Graph, Value, writes

__all__ = []


def _simple(kind: str) -> Callable[..., str]:
    """A writer for what an operator does alone."""

    def write(g: Graph, input: Value, **_: Any) -> str:
        return g.op(kind, g.cast(input, g.result.dtype))

    return write


for function, kind in (
    (F.relu, "Relu"),
    (functions.relu, "Relu"),
    (functions.sigmoid, "Sigmoid"),
    (functions.tanh, "Tanh"),
    (F.softsign, "Softsign"),
):
    writes(function)(_simple(kind))


@writes(F.leaky_relu)
def _leaky_relu(g: Graph, input: Value, negative_slope: float, **_: Any) -> str:
    return g.op("LeakyRelu", input, alpha=float(negative_slope))


def _clipped(g: Graph, x: Any, low: float | None, high: float | None) -> str:
    dtype = g.result.dtype
    limits = [None if limit is None else g.constant(limit, dtype) for limit in (low, high)]
    return g.op("Clip", x, *limits)


@writes(F.hardtanh)
def _hardtanh(g: Graph, input: Value, min_val: float, max_val: float, **_: Any) -> str:
    return _clipped(g, input, min_val, max_val)


@writes(F.relu6)
def _relu6(g: Graph, input: Value, **_: Any) -> str:
    return _clipped(g, input, 0, 6)


@writes(F.hardsigmoid)
def _hardsigmoid(g: Graph, input: Value, **_: Any) -> str:
    return g.op("HardSigmoid", input, alpha=1 / 6, beta=0.5)


@writes(F.hardswish)
def _hardswish(g: Graph, input: Value, **_: Any) -> str:
    if g.opset >= 14:
        return g.op("HardSwish", input)
    return g.op("Mul", input, g.op("HardSigmoid", input, alpha=1 / 6, beta=0.5))


@writes(F.elu)
def _elu(g: Graph, input: Value, alpha: float, **_: Any) -> str:
    return g.op("Elu", input, alpha=float(alpha))


@writes(F.selu)
def _selu(g: Graph, input: Value, **_: Any) -> str:
    return g.op("Selu", input)


@writes(F.celu)
def _celu(g: Graph, input: Value, alpha: float, **_: Any) -> str:
    return g.op("Celu", input, alpha=float(alpha))


@writes(F.silu)
def _silu(g: Graph, input: Value, **_: Any) -> str:
    return g.op("Mul", input, g.op("Sigmoid", input))


@writes(F.mish)
def _mish(g: Graph, input: Value, **_: Any) -> str:
    if g.opset >= 18:
        return g.op("Mish", input)
    return g.op("Mul", input, g.op("Tanh", g.op("Softplus", input)))


@writes(F.gelu)
def _gelu(g: Graph, input: Value, approximate: str) -> str:
    if g.opset >= 20:
        return g.op("Gelu", input, approximate=approximate)
    half, one = g.constant(0.5, input.dtype), g.constant(1, input.dtype)
    if approximate == "none":
        bent = g.op("Erf", g.op("Mul", input, g.constant(math.sqrt(0.5), input.dtype)))
    else:
        cube = g.op("Mul", g.op("Mul", g.op("Mul", input, input), input), g.constant(0.044715, input.dtype))
        scale = g.constant(math.sqrt(2 / math.pi), input.dtype)
        bent = g.op("Tanh", g.op("Mul", g.op("Add", input, cube), scale))
    return g.op("Mul", g.op("Mul", input, g.op("Add", bent, one)), half)


@writes(F.softplus)
def _softplus(g: Graph, input: Value, beta: float, threshold: float) -> str:
    # Beyond the threshold torch has the input itself, from which softplus differs there by less than rounding.
    if beta == 1:
        return g.op("Softplus", input)
    scale = g.constant(beta, input.dtype)
    return g.op("Div", g.op("Softplus", g.op("Mul", input, scale)), scale)


@writes(F.logsigmoid)
def _logsigmoid(g: Graph, input: Value) -> str:
    return g.op("Neg", g.op("Softplus", g.op("Neg", input)))


@writes(F.tanhshrink)
def _tanhshrink(g: Graph, input: Value) -> str:
    return g.op("Sub", input, g.op("Tanh", input))


@writes(F.glu)
def _glu(g: Graph, input: Value, dim: int) -> str:
    half = input.shape[dim] // 2
    a, b = g.op("Split", input, g.integers([half, half]), outputs=2, axis=dim)
    return g.op("Mul", a, g.op("Sigmoid", b))


@writes(F.prelu)
def _prelu(g: Graph, input: Value, weight: Value) -> str:
    slope: Any = weight
    if input.ndim > 2 and math.prod(weight.shape) > 1:
        slope = g.reshape(weight, [-1] + [1] * (input.ndim - 2))
    elif weight.ndim == 0:
        slope = g.unsqueeze(weight, [0])
    return g.op("PRelu", input, slope)


def _softmax(g: Graph, kind: str, input: Value, dim: int) -> str:
    x = g.cast(input, g.result.dtype)
    if input.ndim == 0:
        return g.squeeze(g.op(kind, g.unsqueeze(x, [0]), axis=0), [0])
    return g.op(kind, x, axis=dim)


def _dim(input: Value, dim: int | None) -> int:
    """What the functions of nn take where no `dim` is given."""
    return dim if dim is not None else 0 if input.ndim in (0, 1, 3) else 1


@writes(F.softmax, functions.softmax)
def _softmax_of(g: Graph, input: Value, dim: int | None, **_: Any) -> str:
    return _softmax(g, "Softmax", input, _dim(input, dim))


@writes(F.log_softmax, functions.log_softmax)
def _log_softmax_of(g: Graph, input: Value, dim: int | None, **_: Any) -> str:
    return _softmax(g, "LogSoftmax", input, _dim(input, dim))


@writes(F.dropout)
def _dropout(g: Graph, input: Value, p: float, **_: Any) -> str:
    """Only in training: outside it nothing is recorded."""
    return g.op("Dropout", input, g.constant(p, input.dtype), g.constant(True))
