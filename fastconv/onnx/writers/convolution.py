"""Convolutions, transposed convolutions and linear layers."""

from __future__ import annotations

from typing import Any

from ...nn import functional as F
from ..graph import Graph, Value, spread, writes

__all__ = []


def _batched(g: Graph, input: Value, dims: int) -> tuple[Any, bool]:
    """The input with a batch dimension, and whether it had none."""
    return (g.unsqueeze(input, [0]), True) if input.ndim == dims + 1 else (input, False)


def _convolution(
    g: Graph, dims: int, input: Value, weight: Value, bias: Value | None, stride: Any, padding: Any, **more: Any
) -> str:
    x, single = _batched(g, input, dims)
    attributes: dict[str, Any] = {
        "kernel_shape": list(weight.shape[2:]),
        "strides": spread(stride, dims),
        "dilations": spread(more["dilation"], dims),
        "group": more["groups"],
    }
    if padding == "same":
        total = [d * (k - 1) for d, k in zip(attributes["dilations"], attributes["kernel_shape"], strict=True)]
        attributes["pads"] = [n // 2 for n in total] + [n - n // 2 for n in total]
    elif padding != "valid":
        attributes["pads"] = spread(padding, dims) * 2
    y = g.op("Conv", x, weight, bias, **attributes)
    return g.squeeze(y, [0]) if single else y


@writes(F.conv1d)
def _conv1d(g: Graph, **arguments: Any) -> str:
    return _convolution(g, 1, **arguments)


@writes(F.conv2d)
def _conv2d(g: Graph, **arguments: Any) -> str:
    return _convolution(g, 2, **arguments)


@writes(F.conv3d)
def _conv3d(g: Graph, **arguments: Any) -> str:
    return _convolution(g, 3, **arguments)


def _transposed(g: Graph, dims: int, input: Value, weight: Value, bias: Value | None, **more: Any) -> str:
    x, single = _batched(g, input, dims)
    y = g.op(
        *("ConvTranspose", x, weight, bias),
        kernel_shape=list(weight.shape[2:]),
        strides=spread(more["stride"], dims),
        pads=spread(more["padding"], dims) * 2,
        output_padding=spread(more["output_padding"], dims),
        dilations=spread(more["dilation"], dims),
        group=more["groups"],
    )
    return g.squeeze(y, [0]) if single else y


@writes(F.conv_transpose1d)
def _conv_transpose1d(g: Graph, **arguments: Any) -> str:
    return _transposed(g, 1, **arguments)


@writes(F.conv_transpose2d)
def _conv_transpose2d(g: Graph, **arguments: Any) -> str:
    return _transposed(g, 2, **arguments)


@writes(F.conv_transpose3d)
def _conv_transpose3d(g: Graph, **arguments: Any) -> str:
    return _transposed(g, 3, **arguments)


@writes(F.linear)
def _linear(g: Graph, input: Value, weight: Value, bias: Value | None) -> str:
    if input.ndim == 2:
        return g.op("Gemm", input, weight, bias, transB=1)
    y = g.op("MatMul", input, g.op("Transpose", weight, perm=[1, 0]))
    return y if bias is None else g.op("Add", y, bias)
