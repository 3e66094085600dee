"""``aten::convolution`` and ``aten::convolution_backward`` in one and two dimensions."""

from collections.abc import Sequence
from typing import Any

import torch

from .. import ops
from ._arrays import array, in_format, is_channels_last, refusal, result, tensor

__all__ = ["backward", "forward", "traced_forward"]

_Options = tuple[Sequence[int], ...]


def _as_images(rank: int, tensors: Sequence[torch.Tensor], options: _Options) -> tuple[list[torch.Tensor], _Options]:
    """Tensors and options of a convolution of sequences, of which x is next to last, as of images of one row."""
    if rank == 4:
        return list(tensors), options
    images = [t.unsqueeze(2) for t in tensors]
    # Sequences with channels last are laid anew by torch, whose result is in C order then.
    images[-2] = tensors[-2].contiguous().unsqueeze(2)
    return images, tuple((first, *option) for first, option in zip((1, 0, 1, 0), options, strict=True))


def _refusal(tensors: Sequence[torch.Tensor], b: torch.Tensor | None, options: _Options) -> str | None:
    """Why fastconv does not take a convolution of these: tensors of one rank, options as long as it has dimensions."""
    if reason := refusal(*tensors, b):
        return reason
    rank = tensors[0].dim()
    if rank > 4:
        return f"{rank - 2} dimensions"
    if rank < 3 or any(t.dim() != rank for t in tensors):
        return "sizes"
    return "options" if any(len(option) != rank - 2 for option in options) else None


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
    options = stride, padding, dilation, output_padding
    if reason := _refusal((x, w), b, options):
        return reason
    rank = x.dim()
    (x, w), (stride, padding, dilation, output_padding) = _as_images(rank, (x, w), options)
    last = is_channels_last(x) or is_channels_last(w)
    x = in_format(x, last)
    bias = None if b is None else array(b)
    if transposed:
        y = ops.conv_transpose2d(array(x), array(w), bias, stride, padding, output_padding, groups, dilation)
    else:
        y = ops.conv2d(array(x), array(w), bias, stride, padding, dilation, groups)
    y = result(y, last)
    return y if rank == 4 else y.squeeze(2)


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
    options = stride, padding, dilation, output_padding
    if reason := _refusal((dy, x, w), None, options):
        return reason
    rank = x.dim()
    (dy, x, w), (stride, padding, dilation, output_padding) = _as_images(rank, (dy, x, w), options)
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
    if output_mask[0]:
        dx = result(by_input(images, array(w), dy_array, *how), last)
    if output_mask[1]:
        dw = in_format(tensor(by_weight(array(in_format(x, last)), filters, dy_array, *how)), last)
    if output_mask[2]:
        db = tensor(ops.bias_gradient(dy_array))
    if rank == 3:
        dx, dw = (None if t is None else t.squeeze(2) for t in (dx, dw))
    return dx, dw, db
