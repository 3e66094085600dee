"""``aten::convolution`` and ``aten::convolution_backward`` in one and two dimensions."""

from collections.abc import Sequence
from typing import Any

import torch

from .. import ops
from ._arrays import array, in_format, is_channels_last, refusal, tensor

__all__ = ["backward", "forward", "traced_forward"]

_REFUSED = "sizes that fastconv refuses"


def _images(x: torch.Tensor, w: torch.Tensor, *options: Sequence[int]) -> str | tuple:
    """Whether x and w are such that fastconv takes them; the options of a convolution of sequences as of images."""
    rank = x.dim()
    if rank != w.dim() or rank not in (3, 4):
        return f"{rank - 2} dimensions" if rank > 4 else "sizes"
    if any(len(option) != rank - 2 for option in options):
        return "options"
    if rank == 4:
        return options
    return tuple((first, *option) for first, option in zip((1, 0, 1, 0), options, strict=True))


def forward(
    x: torch.Tensor,
    w: torch.Tensor,
    b: torch.Tensor | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
) -> torch.Tensor | str:
    """y, with channels last where x or w has them so, as torch has it."""
    if reason := refusal(x, w) if b is None else refusal(x, w, b):
        return reason
    options = _images(x, w, stride, padding, dilation, output_padding)
    if type(options) is str:
        return options
    stride, padding, dilation, output_padding = options
    if flat := x.dim() == 3:
        x, w = x.unsqueeze(2), w.unsqueeze(2)
    last = is_channels_last(x) or is_channels_last(w)
    x = in_format(x, last)
    bias = None if b is None else array(b)
    try:
        if transposed:
            y = ops.conv_transpose2d(array(x), array(w), bias, stride, padding, output_padding, groups, dilation)
        else:
            y = ops.conv2d(array(x), array(w), bias, stride, padding, dilation, groups)
    except (ValueError, TypeError, RuntimeError, MemoryError):
        return _REFUSED
    y = in_format(tensor(y), last)
    return y.squeeze(2) if flat else y


def traced_forward(x: torch.Tensor, w: torch.Tensor, b: torch.Tensor | None, *options: Any) -> torch.Tensor | str:
    """The same, but for four switches of GPUs' libraries at the end."""
    return forward(x, w, b, *options[:-4])


def backward(
    dy: torch.Tensor,
    x: torch.Tensor,
    w: torch.Tensor,
    bias_sizes: Sequence[int] | None,
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    transposed: bool,
    output_padding: Sequence[int],
    groups: int,
    output_mask: Sequence[bool],
) -> tuple[torch.Tensor | None, ...] | str:
    """dx, dw and db, those that are asked for; dx and dw with channels last where y is."""
    if reason := refusal(dy, x, w):
        return reason
    options = _images(x, w, stride, padding, dilation, output_padding)
    if type(options) is str:
        return options
    if dy.dim() != x.dim():
        return "sizes"
    stride, padding, dilation, output_padding = options
    if flat := x.dim() == 3:
        dy, x, w = dy.unsqueeze(2), x.unsqueeze(2), w.unsqueeze(2)
    last = is_channels_last(x) or is_channels_last(w)
    dy = in_format(dy, last)
    images, filters = tuple(x.shape), tuple(w.shape)
    if transposed:
        by_input, by_weight = ops.conv_transpose2d_input, ops.conv_transpose2d_weight
        how = stride, padding, output_padding, groups, dilation
    else:
        by_input, by_weight = ops.conv2d_input, ops.conv2d_weight
        how = stride, padding, dilation, groups
    dx = dw = db = None
    dy_array = array(dy)
    try:
        if output_mask[0]:
            dx = in_format(tensor(by_input(images, array(w), dy_array, *how)), last)
        if output_mask[1]:
            dw = in_format(tensor(by_weight(array(in_format(x, last)), filters, dy_array, *how)), last)
        if output_mask[2]:
            db = tensor(ops.bias_gradient(dy_array))
    except (ValueError, TypeError, RuntimeError, MemoryError):
        return _REFUSED
    if flat:
        dx, dw = (None if t is None else t.squeeze(2) for t in (dx, dw))
    return dx, dw, db
