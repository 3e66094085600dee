"""``torch.nn``'s modules for several processes or GPUs."""

from __future__ import annotations

from ...distributed import SyncBatchNorm
from .parallel import DataParallel

__all__ = ["DataParallel", "SyncBatchNorm"]
