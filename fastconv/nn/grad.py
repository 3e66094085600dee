"""The two gradients of a convolution as functions of their own, by torch.nn.grad's names and arguments.

Tensors go in and a Tensor comes out, recorded on the tape; plain ndarrays go in and a plain ndarray comes out.
"""

from __future__ import annotations

from collections.abc import Sequence

from .._native.layers import convolution
from .functional import Array, Size

__all__ = ["conv1d_input", "conv1d_weight", "conv2d_input", "conv2d_weight"]


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
    return convolution.conv1d_input(input_size, weight, grad_output, stride, padding, dilation, groups)


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
    return convolution.conv1d_weight(input, weight_size, grad_output, stride, padding, dilation, groups)


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

    Examples
    --------
    >>> nn.grad.conv2d_input((1, 1, 3, 3), fastconv.ones(1, 1, 2, 2), fastconv.ones(1, 1, 2, 2))
    tensor([[[[1., 2., 1.],
              [2., 4., 2.],
              [1., 2., 1.]]]])
    """
    return convolution.conv2d_input(input_size, weight, grad_output, stride, padding, dilation, groups)


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

    Examples
    --------
    >>> x, dy = fastconv.ones(1, 1, 3, 3), fastconv.ones(1, 1, 2, 2)
    >>> nn.grad.conv2d_weight(x, (1, 1, 2, 2), dy)
    tensor([[[[4., 4.],
              [4., 4.]]]])
    """
    return convolution.conv2d_weight(input, weight_size, grad_output, stride, padding, dilation, groups)
