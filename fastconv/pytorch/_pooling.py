"""Max and average pooling of images."""

from collections.abc import Sequence

import torch

from .. import ops
from ._arrays import array, in_format, is_channels_last, refusal, result

__all__ = ["average_backward", "average_forward", "max_backward", "max_forward"]

_MOST = 2**31 - 1


def _images(x: torch.Tensor, *others: torch.Tensor) -> str | None:
    if reason := refusal(x, *others):
        return reason
    return None if x.dim() == 4 else f"{x.dim()} axes"


def _pair(value: Sequence[int]) -> tuple[int, int]:
    """What torch takes for two numbers: one or two C integers."""
    if len(value) not in (1, 2) or max(value) > _MOST:
        raise ValueError("torch refuses such an option")
    return (value[0], value[-1])


def _pooled(size: int, kernel: int, stride: int, padding: int, dilation: int, ceil_mode: bool) -> int:
    """How many windows lie along an axis."""
    count = (size + 2 * padding - dilation * (kernel - 1) - 1 + (stride - 1 if ceil_mode else 0)) // stride + 1
    return count - (ceil_mode and (count - 1) * stride >= size + padding)


def max_forward(
    x: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    dilation: Sequence[int] = (1,),
    ceil_mode: bool = False,
) -> tuple[torch.Tensor, torch.Tensor] | str:
    """The largest of every window, and where it stands in its plane."""
    if reason := _images(x):
        return reason
    last = is_channels_last(x)
    how = _pair(kernel_size), _pair(stride or kernel_size), _pair(padding), _pair(dilation)
    y, indices = ops.max_pool2d(array(in_format(x, last)), *how, ceil_mode)
    return result(y, last), result(indices, last).long()


def max_backward(
    dy: torch.Tensor,
    x: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    dilation: Sequence[int],
    ceil_mode: bool,
    indices: torch.Tensor,
) -> torch.Tensor | str:
    """Each dy is added to the pixel that won."""
    if reason := _images(dy, x):
        return reason
    how = (_pair(option) for option in (kernel_size, stride or kernel_size, padding, dilation))
    pooled = tuple(_pooled(*numbers, ceil_mode) for numbers in zip(x.shape[2:], *how, strict=True))
    if not dy.shape == indices.shape == x.shape[:2] + pooled or indices.dtype is not torch.int64:
        return "sizes"
    last = is_channels_last(x)
    dy, indices = in_format(dy, last), in_format(indices, last)
    try:
        return result(ops.max_pool2d_backward(array(dy), array(indices), tuple(x.shape)), last)
    except RuntimeError as error:
        # Indices outside of the image, where PyTorch's own kernel would write.
        raise IndexError(str(error)) from None


def average_forward(
    x: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int] = (),
    padding: Sequence[int] = (0,),
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> torch.Tensor | str:
    """The mean of every window."""
    if reason := _images(x):
        return reason
    last = is_channels_last(x)
    how = _pair(kernel_size), _pair(stride or kernel_size), _pair(padding)
    y = ops.avg_pool2d(array(in_format(x, last)), *how, ceil_mode, count_include_pad, divisor_override)
    return result(y, last)


def average_backward(
    dy: torch.Tensor,
    x: torch.Tensor,
    kernel_size: Sequence[int],
    stride: Sequence[int],
    padding: Sequence[int],
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None,
) -> torch.Tensor | str:
    """Each dy is shared out among the pixels of its window."""
    if reason := _images(dy, x):
        return reason
    last = is_channels_last(x)
    dy = in_format(dy, last)
    how = _pair(kernel_size), _pair(stride or kernel_size), _pair(padding)
    dx = ops.avg_pool2d_backward(array(dy), tuple(x.shape), *how, ceil_mode, count_include_pad, divisor_override)
    return result(dx, last)
