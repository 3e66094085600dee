"""Helpers around training: :mod:`fastconv.utils.data` holds the data loader."""

from fastconv.utils import data

__all__ = ["data"]
