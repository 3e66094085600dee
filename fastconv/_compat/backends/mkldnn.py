"""``torch.backends.mkldnn``: a library that torch computes with on the CPU, and fastconv does not."""

from .mps import is_available

__all__ = ["enabled", "is_available"]

enabled = False
