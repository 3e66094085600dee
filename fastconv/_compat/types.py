"""``torch.types``: names for annotations."""

from typing import Any

Device = Any
Number = int | float | bool

__all__ = ["Device", "Number"]
