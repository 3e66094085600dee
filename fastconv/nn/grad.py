"""The two gradients of a convolution as functions of their own, by torch.nn.grad's names and arguments.

Tensors go in and a Tensor comes out, recorded on the tape; plain ndarrays go in and a plain ndarray comes out.
"""

from __future__ import annotations

from collections.abc import Sequence

from .. import ops
from .._native.tape import apply
from .functional import Array, Size

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight"]

_PASSES = {
    1: (ops.conv1d, ops.conv1d_input, ops.conv1d_weight),
    2: (ops.conv2d, ops.conv2d_input, ops.conv2d_weight),
}

# With y = conv(x, w), each pass is linear in its two arrays: <y, g> = <x, input(w, g)> = <w, weight(x, g)>.


def _input(needs, w, dy, dims, size, **options):
    forward, input_gradient, weight_gradient = _PASSES[dims]

    def vjp(g, w, dy):
        return (
            weight_gradient(g, w.shape, dy, **options) if needs[0] else None,
            forward(g, w, **options) if needs[1] else None,
        )

    return input_gradient(size, w, dy, **options), vjp, (w, dy)


def _weight(needs, x, dy, dims, size, **options):
    forward, input_gradient, weight_gradient = _PASSES[dims]

    def vjp(g, x, dy):
        return (
            input_gradient(x.shape, g, dy, **options) if needs[0] else None,
            forward(x, g, **options) if needs[1] else None,
        )

    return weight_gradient(x, size, dy, **options), vjp, (x, dy)


def conv1d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """Gradient of conv1d with respect to its input; see :func:`conv2d_input`."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return apply(_input, weight, grad_output, dims=1, size=input_size, **options)


def conv1d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """Gradient of conv1d with respect to its weight; see :func:`conv2d_weight`."""
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return apply(_weight, input, grad_output, dims=1, size=weight_size, **options)


def conv2d_input(
    input_size: Sequence[int],
    weight: Array,
    grad_output: Array,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """Gradient of conv2d with respect to its input (the textbook's equation 12.6).

    Parameters
    ----------
    input_size : (N, C, H, W) or (C, H, W)
        Shape of the input.
    weight : (K, C / groups, R, S)
    grad_output : (N, K, P, Q) or (K, P, Q)
        Gradient with respect to the output.
    stride, padding, dilation, groups
        Those of the convolution.

    Returns
    -------
    Tensor or ndarray of shape `input_size`
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return apply(_input, weight, grad_output, dims=2, size=input_size, **options)


def conv2d_weight(
    input: Array,
    weight_size: Sequence[int],
    grad_output: Array,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """Gradient of conv2d with respect to its weight (the textbook's equation 12.5).

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    weight_size : (K, C / groups, R, S)
        Shape of the weight.
    grad_output : (N, K, P, Q) or (K, P, Q)
        Gradient with respect to the output.
    stride, padding, dilation, groups
        Those of the convolution.

    Returns
    -------
    Tensor or ndarray of shape `weight_size`
    """
    options = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
    return apply(_weight, input, grad_output, dims=2, size=weight_size, **options)
