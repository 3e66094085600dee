"""Helpers around training: :mod:`fastconv.utils.data` loads data, :mod:`fastconv.utils.checkpoint` saves memory."""

from fastconv.utils import checkpoint, data

__all__ = ["checkpoint", "data"]
