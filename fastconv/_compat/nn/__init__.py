"""``torch.nn``'s modules for several GPUs, on none."""

from .parallel import DataParallel

__all__ = ["DataParallel"]
