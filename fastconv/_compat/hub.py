"""What libraries of models import from ``torch.hub`` beside the weights' loader."""

from __future__ import annotations

import os
from urllib.parse import urlparse

from ..hub import get_dir

__all__ = ["urlparse"]


def _get_torch_home() -> str:
    """The folder that torch keeps its files in."""
    return os.path.dirname(get_dir())
