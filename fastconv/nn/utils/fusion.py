"""Batch norm folded into the layer before it, for evaluation."""

from __future__ import annotations

import copy

from ..._tensor import Tensor
from ...functions import sqrt
from ..convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from ..parameter import Parameter

__all__ = ["fuse_conv_bn_eval", "fuse_conv_bn_weights", "fuse_linear_bn_eval"]


def fuse_conv_bn_weights(
    conv_w: Tensor,
    conv_b: Tensor | None,
    bn_rm: Tensor,
    bn_rv: Tensor,
    bn_eps: float,
    bn_w: Tensor | None,
    bn_b: Tensor | None,
    transpose: bool = False,
) -> tuple[Parameter, Parameter]:
    """The weight and the bias of a convolution that does what one and a batch norm after it do."""
    scale = 1 / sqrt(bn_rv + bn_eps)
    if bn_w is not None:
        scale = scale * bn_w
    shape = [1, -1] if transpose else [-1, 1]
    weight = conv_w * scale.reshape(*shape, *(1,) * (conv_w.ndim - 2))
    bias = (-bn_rm if conv_b is None else conv_b - bn_rm) * scale
    if bn_b is not None:
        bias = bias + bn_b
    return Parameter(weight.detach(), conv_w.requires_grad), Parameter(bias.detach(), conv_w.requires_grad)


def fuse_conv_bn_eval(conv: Module, bn: Module, transpose: bool | None = None) -> Module:
    """A copy of a convolution that does what it and the batch norm after it do, both in evaluation mode."""
    if conv.training or bn.training:
        raise AssertionError("Fusion only for eval!")
    if transpose is None:
        transpose = isinstance(conv, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d))
    if bn.running_mean is None or bn.running_var is None:
        raise AssertionError("fusion needs a batch norm with running statistics")
    fused = copy.deepcopy(conv)
    fused.weight, fused.bias = fuse_conv_bn_weights(
        *(fused.weight, fused.bias, bn.running_mean, bn.running_var, bn.eps, bn.weight, bn.bias, transpose)
    )
    return fused


def fuse_linear_bn_eval(linear: Module, bn: Module) -> Module:
    """The same for a linear layer."""
    return fuse_conv_bn_eval(linear, bn, False)
