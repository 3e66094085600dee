"""Batch norm of images, by their batch's statistics or by the running ones."""

from collections.abc import Sequence

import numpy as np
import torch

from .._native.layers.normalisation import moments_of, normalise, normalise_backward
from ._arrays import array, array_to_write, in_format, is_channels_last, refusal, result, tensor

__all__ = ["backward", "dense_last", "forward"]

_Optional = torch.Tensor | None


def _images(x: torch.Tensor, *others: _Optional) -> str | None:
    """Why fastconv does not take them: what belongs to channels is to be as long as there are channels."""
    if reason := refusal(x, *others):
        return reason
    if x.dim() != 4:
        return f"{x.dim()} axes"
    if x.shape[2] * x.shape[3] == 1:
        return "planes of one pixel"
    return "sizes" if any(t is not None and t.shape != x.shape[1:2] for t in others) else None


def _is_dense(x: torch.Tensor) -> bool:
    return x.is_contiguous() or x.is_contiguous(memory_format=torch.channels_last)


def dense_last(x: torch.Tensor) -> bool:
    """Whether y has channels last: torch asks how a dense x lies in memory first, and only then for its strides, which
    may say something else along an axis of one image."""
    return not x.is_contiguous() if _is_dense(x) else is_channels_last(x)


def _moments(mean: torch.Tensor, inverse_std: torch.Tensor) -> np.ndarray:
    """What `moments_of` gave, of what PyTorch has kept of it."""
    mean, inverse_std = array(mean), array(inverse_std)
    return np.stack([mean, np.zeros_like(mean), inverse_std]).astype(np.float64)


def forward(
    x: torch.Tensor,
    w: _Optional,
    b: _Optional,
    running_mean: _Optional,
    running_var: _Optional,
    training: bool,
    momentum: float,
    eps: float,
) -> tuple[torch.Tensor, torch.Tensor, torch.Tensor] | str:
    """y, and in training the mean and the inverse standard deviation; running statistics move by `momentum`."""
    if reason := _images(x, w, b, running_mean, running_var):
        return reason
    if (running_mean is None) != (running_var is None) or not (training or running_mean is not None):
        return "no running statistics"
    last = dense_last(x)
    x = in_format(x, last)
    images, rows = array(x), (None if w is None else array(w), None if b is None else array(b))
    running = [None if t is None else array_to_write(t) if training else array(t) for t in (running_mean, running_var)]
    moments = moments_of(images, *running, training, momentum, eps)
    y = result(normalise(images, *rows, moments)[0], last)
    if not training:
        none = x.new_empty(0)
        return y, none, none.clone()
    shift, offset, inverse_std = moments
    return y, *(tensor(a.astype(images.dtype)) for a in (shift + offset, inverse_std))


def backward(
    dy: torch.Tensor,
    x: torch.Tensor,
    w: _Optional,
    running_mean: _Optional,
    running_var: _Optional,
    mean: _Optional,
    inverse_std: _Optional,
    training: bool,
    eps: float,
    output_mask: Sequence[bool],
) -> tuple[_Optional, ...] | str:
    """dx, dw and db, those that are asked for."""
    if training:
        running_mean = running_var = None
    else:
        mean = inverse_std = None
    if reason := _images(x, w, running_mean, running_var, mean, inverse_std) or refusal(x, dy):
        return reason
    if dy.shape != x.shape:
        return "sizes"
    last = is_channels_last(x)
    if is_channels_last(dy) == last and _is_dense(dy):
        last = dense_last(x)
    if training:
        moments = _moments(mean, inverse_std)
    else:
        moments = _moments(running_mean, 1 / (running_var.double() + eps).sqrt())
    dx, dw, db, _ = normalise_backward(
        array(in_format(dy, last)),
        array(in_format(x, last)),
        None if w is None else array(w),
        moments,
        training,
        output_mask[0],
    )
    dx = result(dx, last) if output_mask[0] else None
    return dx, *(tensor(a) if asked else None for a, asked in zip((dw, db), output_mask[1:], strict=True))
