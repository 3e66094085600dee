"""Batch norm of images, by their batch's statistics or by the running ones."""

from collections.abc import Sequence

import numpy as np
import torch

from ..elementwise import batch_norm, batch_norm_backward, batch_norm_statistics
from ._arrays import array, in_format, is_channels_last, refusal, tensor

__all__ = ["backward", "forward"]

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


def _moments(mean: torch.Tensor, inverse_std: np.ndarray) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """The three arguments that say where zero is and how long a unit."""
    return array(mean), np.zeros(len(inverse_std)), inverse_std


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
    if not training and (running_mean is None or running_var is None):
        return "no running statistics"
    last = is_channels_last(x)
    x = in_format(x, last)
    images, rows = array(x), (None if w is None else array(w), None if b is None else array(b))
    if not training:
        inverse_std = 1 / np.sqrt(array(running_var).astype(np.float64) + eps)
        none = x.new_empty(0)
        y = batch_norm(images, *_moments(running_mean, inverse_std), *rows)
        return in_format(tensor(y), last), none, none.clone()
    shift, offset, variance = batch_norm_statistics(images)
    inverse_std = 1 / np.sqrt(variance + eps)
    y = batch_norm(images, shift, offset, inverse_std, *rows)
    n = images.size // images.shape[1]
    for running, value in ((running_mean, shift + offset), (running_var, variance * (n / max(n - 1, 1)))):
        if running is not None:
            into = array(running)
            into[...] = (1 - momentum) * into + momentum * value
    return in_format(tensor(y), last), *(tensor(a.astype(images.dtype)) for a in (shift + offset, inverse_std))


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
    if training:
        moments = _moments(mean, array(inverse_std).astype(np.float64))
    else:
        moments = _moments(running_mean, 1 / np.sqrt(array(running_var).astype(np.float64) + eps))
    dx, dw, db = batch_norm_backward(
        array(in_format(dy, last)),
        array(in_format(x, last)),
        *moments,
        None if w is None else array(w),
        training,
        output_mask[0],
    )
    dx = in_format(tensor(dx), last) if output_mask[0] else None
    return dx, *(tensor(a) if asked else None for a, asked in zip((dw, db), output_mask[1:], strict=True))
