"""``torch.xpu`` on a machine without such a GPU."""

__all__ = ["device_count", "is_available", "manual_seed", "manual_seed_all"]

from .cuda import device_count, is_available, manual_seed, manual_seed_all
