"""``torch.nn``'s modules for several GPUs, on none."""

from __future__ import annotations

from typing import Any

from ..._tensor import Tensor
from ...nn import Module
from ...nn.normalisation import _BatchNorm
from .parallel import DataParallel

__all__ = ["DataParallel", "SyncBatchNorm"]


class SyncBatchNorm(_BatchNorm):
    """Batch norm over the batches of several GPUs; without one it can only be evaluated.

    Parameters
    ----------
    num_features, eps, momentum, affine, track_running_stats
        As in :class:`fastconv.nn.BatchNorm2d`.
    process_group
        Of torch's interface: which GPUs there would be.
    """

    ranks: tuple[int, ...] = 2, 3, 4, 5

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        process_group: Any = None,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype)
        self.process_group = process_group

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same; ValueError in training, in torch's words."""
        if self.training:
            raise ValueError("SyncBatchNorm expected input tensor to be on GPU, got a tensor on the CPU")
        return super().forward(input)

    @classmethod
    def convert_sync_batchnorm(cls, module: Module, process_group: Any = None) -> Module:
        """The module with such in place of every batch norm in it, whose parameters they take over."""
        if isinstance(module, _BatchNorm) and not isinstance(module, cls):
            new = cls(module.num_features, module.eps, module.momentum, module.affine, module.track_running_stats)
            for name, value in (*module._parameters.items(), *module._buffers.items()):
                setattr(new, name, value)
            new.training = module.training
            return new
        for name, child in module.named_children():
            setattr(module, name, cls.convert_sync_batchnorm(child, process_group))
        return module
