"""Normalisation of batches, groups, layers and instances, of neighbouring channels, and by norms."""

from __future__ import annotations

from ..._tensor import Tensor
from ...autograd import no_grad
from ...nn import functional as F
from ..nodes import Node, reads

__all__ = []


@reads("BatchNormalization", weights=(1, 2), settings=(3, 4), takes_mode=True, in_float32=True)
def _batch_norm(
    node: Node, x: Tensor, scale: Tensor, bias: Tensor, mean: Tensor, var: Tensor, training: bool = False
) -> Tensor | tuple[Tensor, ...]:
    eps, momentum = node.get("epsilon", 1e-5), node.get("momentum", 0.9)
    if not node.get("spatial", 1):
        raise ValueError("statistics of each pixel (spatial=0) are not taken")
    if not node.get("training_mode", 0):
        return F.batch_norm(x, mean, var, scale, bias, training, 1 - momentum, eps)
    # The graph itself says that it trains: by the biased variance, with the running statistics as results.
    y = F.batch_norm(x, None, None, scale, bias, True, 0.0, eps)
    with no_grad():
        axes = [0, *range(2, x.ndim)]
        now = x.mean(axes), x.var(axes, False)
        statistics = [
            old * momentum + new.to(old.dtype) * (1 - momentum) for old, new in zip((mean, var), now, strict=True)
        ]
    return y, *statistics


@reads("InstanceNormalization", weights=(1, 2), in_float32=True)
def _instance_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    return F.group_norm(x, x.shape[1], scale, bias, node.get("epsilon", 1e-5))


@reads("GroupNormalization", weights=(1, 2), in_float32=True)
def _group_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor) -> Tensor:
    groups = node.get("num_groups")
    if node.opset < 21 and scale.shape[0] != x.shape[1]:  # one number a group
        scale, bias = (w.repeat_interleave(x.shape[1] // groups) for w in (scale, bias))
    return F.group_norm(x, groups, scale, bias, node.get("epsilon", 1e-5))


@reads("LayerNormalization", weights=(1, 2), in_float32=True)
def _layer_norm(node: Node, x: Tensor, scale: Tensor, bias: Tensor | None = None) -> Tensor | tuple[Tensor, ...]:
    axis, eps = node.get("axis", -1), node.get("epsilon", 1e-5)
    shape = x.shape[axis:]
    if len(node.outputs) == 1 and scale.shape == shape and (bias is None or bias.shape == shape):
        return F.layer_norm(x, shape, scale, bias, eps)
    axes = list(range(axis % x.ndim, x.ndim))
    mean = x.mean(axes, True)
    centred = x - mean
    inverse = ((centred * centred).mean(axes, True) + eps).rsqrt()
    y = centred * inverse * scale
    return (y if bias is None else y + bias), mean, inverse


@reads("RMSNormalization", weights=(1,))
def _rms_norm(node: Node, x: Tensor, scale: Tensor) -> Tensor:
    axes = list(range(node.get("axis", -1) % x.ndim, x.ndim))
    return x * ((x * x).mean(axes, True) + node.get("epsilon", 1e-5)).rsqrt() * scale


@reads("LRN", in_float32=True)
def _lrn(node: Node, x: Tensor) -> Tensor:
    size, alpha, beta = node.get("size"), node.get("alpha", 1e-4), node.get("beta", 0.75)
    n, c = x.shape[:2]
    squares = (x * x).reshape(n, 1, c, -1)
    # An even window has one channel more behind than before.
    around = F.pad(squares, (0, 0, (size - 1) // 2, size // 2))
    mean = F.avg_pool2d(around, (size, 1), 1).reshape(x.shape)
    return x / (mean * alpha + node.get("bias", 1.0)) ** beta


@reads("MeanVarianceNormalization")
def _mean_variance(node: Node, x: Tensor) -> Tensor:
    axes = list(node.get("axes") or [0, 2, 3])
    centred = x - x.mean(axes, True)
    return centred / ((centred * centred).mean(axes, True).sqrt() + 1e-9)


@reads("LpNormalization")
def _lp_normalization(node: Node, x: Tensor) -> Tensor:
    length = x.norm(node.get("p", 2), node.get("axis", -1), True)
    return x / (length + (length == 0).to(x.dtype))
