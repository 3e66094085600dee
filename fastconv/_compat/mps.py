"""``torch.mps`` on a machine without such a GPU."""

__all__ = ["device_count", "empty_cache", "is_available", "manual_seed"]

from .cuda import device_count, empty_cache, is_available, manual_seed
