"""SyncBatchNorm: batch norm over the images of all processes."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from .._native import passes
from .._tensor import Tensor
from ..autograd import Function
from ..autograd.function import once_differentiable
from ..creation import from_numpy
from ..elementwise import track
from ..nn import Module
from ..nn.functions.arguments import values_of
from ..nn.normalisation import _BatchNorm
from . import sums
from .groups import GroupMember, ProcessGroup

__all__ = ["SyncBatchNorm"]


class SyncBatchNorm(_BatchNorm):
    """Batch norm of (N, C, ...) whose mean and variance in training are those of all processes' images.

    Each process finds the mean of its own images and the sum of squares about it, in float64; these are joined as
    Chan, Golub and LeVeque (1979) do it. On the way back the two sums that the gradient needs are joined too. Outside
    training, or in one process, it is batch norm.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats, device, dtype
        As in :class:`fastconv.nn.BatchNorm2d`.
    process_group : ProcessGroup, optional
        Default all processes.
    """

    ranks: tuple[int, ...] = 2, 3, 4, 5

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: ProcessGroup | None = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.__dict__["process_group"] = process_group

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        group = self.process_group or GroupMember.WORLD
        shards = sums.shards_here()
        alone = group is None or (group.size() == 1 and shards is None)
        if alone or not (self.training or self.running_mean is None):
            return super().forward(input)
        assert group is not None
        if sums.inside_a_shard():
            raise RuntimeError("SyncBatchNorm in a module with parameters of its own: deterministic=True cannot cut it")
        self._check_rank(input)
        self._check_channels(input)
        own = [_statistics(part) for part in sums.parts_of(values_of(input.detach()), shards)]
        every = sums.gathered(sums.tree(own, _join), group, "SyncBatchNorm")
        counts, mean, squares = sums.tree(every, _join)
        count = float(counts.max(initial=0))
        if count <= 1:
            raise ValueError(
                f"Expected more than 1 value per channel when training, got input size {list(input.shape)} in "
                f"{group.size()} processes together"
            )
        if self.training and self.running_mean is not None:
            self.num_batches_tracked += 1
            momentum = 1 / self.num_batches_tracked.item() if self.momentum is None else self.momentum
            track(self.running_mean._array, mean, momentum)
            track(self.running_var._array, squares / (count - 1), momentum)
        inverse_std = 1 / np.sqrt(squares / count + self.eps)
        return _Normalise.apply(input, self.weight, self.bias, mean, inverse_std, count, group, shards)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: ProcessGroup | None = None) -> Module:
        """The module with such in place of every batch norm in it, whose parameters and buffers they take over."""
        if isinstance(module, _BatchNorm) and not isinstance(module, cls):
            options = module.eps, module.momentum, module.affine, module.track_running_stats
            new = cls(module.num_features, *options, process_group)
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                setattr(new, name, value)
            new.training = module.training
            return new
        for name, child in module.named_children():
            setattr(module, name, cls.convert_sync_batchnorm(child, process_group))
        return module


def _planes(x: np.ndarray) -> np.ndarray:
    """x (N, C, ...) as a dense (N, C, pixels)."""
    return np.ascontiguousarray(x).reshape(*x.shape[:2], math.prod(x.shape[2:]))


def _statistics(x: np.ndarray) -> np.ndarray:
    """How many elements each channel of x (N, C, ...) has, their mean, and the sum of their squares about it."""
    if x.size == 0:
        return np.zeros((3, x.shape[1]))
    count = x.size // x.shape[1]
    shift, offset, variance = np.empty((3, x.shape[1]))
    passes.channel_statistics(_planes(x), shift, offset, variance)
    return np.stack([np.full(x.shape[1], float(count)), shift + offset, variance * count])


def _y(x: np.ndarray, weight: Any, bias: Any, moments: np.ndarray) -> np.ndarray:
    """weight z + bias; z is the normalised x."""
    shift, offset, inverse_std = moments
    scale = inverse_std if weight is None else inverse_std * weight
    y = np.empty(x.shape, x.dtype)
    passes.affine(_planes(x), _planes(y), shift, scale, (0.0 if bias is None else bias) - offset * scale)
    return y


def _sums(dy: np.ndarray, x: np.ndarray, moments: np.ndarray) -> np.ndarray:
    """sum dy z and sum dy, per channel; z is the normalised x."""
    shift, offset, inverse_std = moments
    total, dot = np.empty((2, x.shape[1]))
    passes.channel_dots(_planes(dy), _planes(x), shift, total, dot)
    return np.stack([(dot - offset * total) * inverse_std, total])


def _dx(dy: np.ndarray, x: np.ndarray, weight: Any, moments: np.ndarray, means: np.ndarray) -> np.ndarray:
    """weight inverse_std (dy - mean dy - z mean(dy z)), means being those of dy z and dy."""
    shift, offset, inverse_std = moments
    scale = inverse_std if weight is None else inverse_std * weight
    slope = -scale * inverse_std * means[0]
    dx = np.empty(x.shape, x.dtype)
    passes.affine_pair(_planes(dy), _planes(x), _planes(dx), shift, scale, slope, -scale * means[1] - slope * offset)
    return dx


def _join(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Count, mean and sum of squares of two sets of numbers together."""
    count = a[0] + b[0]
    share = np.divide(b[0], count, out=np.zeros_like(count), where=count > 0)
    apart = b[1] - a[1]
    return np.stack([count, a[1] + apart * share, a[2] + b[2] + apart * apart * a[0] * share])


class _Normalise(Function):
    """y = weight z + bias, where z = (x - mean) inverse_std with mean and inverse_std of all processes' x.

    With n elements a channel in all processes, and sums over all of them::

        dx = weight inverse_std (dy - (sum dy + z sum(dy z)) / n)

    dweight and dbias are the sums over this process's images, as of any other parameter.
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        input, weight, bias, mean, inverse_std, *ctx.constants = args
        x = values_of(input)
        shift = mean.astype(x.dtype).astype(np.float64)
        ctx.save_for_backward(input, weight)
        ctx.moments = np.stack([shift, mean - shift, inverse_std])
        return from_numpy(_y(x, values_of(weight), values_of(bias), ctx.moments)).to(input.dtype)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        input, weight = ctx.saved_tensors
        count, group, shards = ctx.constants
        dy, x = values_of(grads[0]), values_of(input)
        pairs = zip(sums.parts_of(dy, shards), sums.parts_of(x, shards), strict=True)
        own = [_sums(*pair, ctx.moments) for pair in pairs]
        means = sums.tree(sums.gathered(sums.tree(own), group, "SyncBatchNorm's gradient")) / count
        need_x, need_w, need_b, *_ = ctx.needs_input_grad
        dx = from_numpy(_dx(dy, x, values_of(weight), ctx.moments, means)) if need_x else None
        # In x's dtype from the first sum on, as they are added up over the processes.
        dw, db = (from_numpy(total) for total in sums.tree([part.astype(x.dtype) for part in own]))
        return dx, dw if need_w else None, db if need_b else None, *[None] * 5
