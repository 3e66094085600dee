"""The operations on NumPy arrays: arrays go in, and fresh arrays come out.

They are the functions of `fastconv._native.layers`, which take tensors as well; what they refuse and convert is told in
`fastconv.arguments`. Images are ``(N, C, H, W)`` or a single ``(C, H, W)``; filters ``(K, C / groups, R, S)``;
outputs ``(N, K, P, Q)``. The layers are described in :mod:`fastconv.nn.functional`; each has the gradient with respect
to an operand beside it, in torch.nn.grad's order of arguments::

    y = conv2d(x, w, b, stride, padding, dilation, groups)
    dx = conv2d_input(x.shape, w, dy, stride, padding, dilation, groups)
    dw = conv2d_weight(x, w.shape, dy, stride, padding, dilation, groups)
    db = bias_gradient(dy)
"""

from ._native.layers.convolution import (
    bias_gradient,
    conv1d,
    conv1d_input,
    conv1d_weight,
    conv2d,
    conv2d_input,
    conv2d_weight,
    conv_transpose2d,
    conv_transpose2d_input,
    conv_transpose2d_weight,
    linear,
    linear_bias,
    linear_input,
    linear_weight,
)
from ._native.layers.pooling import (
    adaptive_avg_pool2d,
    adaptive_avg_pool2d_backward,
    avg_pool2d,
    avg_pool2d_backward,
    max_pool2d_backward,
)
from ._native.layers.pooling import max_pool2d_with_indices as max_pool2d
from .explanation import explain
from .padding import pad2d, pad2d_backward

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "bias_gradient",
    "conv1d",
    "conv1d_input",
    "conv1d_weight",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "conv_transpose2d",
    "conv_transpose2d_input",
    "conv_transpose2d_weight",
    "explain",
    "linear",
    "linear_bias",
    "linear_input",
    "linear_weight",
    "max_pool2d",
    "max_pool2d_backward",
    "pad2d",
    "pad2d_backward",
]
