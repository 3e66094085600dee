"""Schedulers' common class under its old name, which those of programs are made of."""

from ..optim.lr_scheduler import LRScheduler as _LRScheduler

__all__ = ["_LRScheduler"]
