"""What libraries of models import from ``torch.hub`` beside the weights' loader."""

from __future__ import annotations

import os
import re
from typing import NoReturn
from urllib.parse import urlparse

from ..hub import get_dir

__all__ = ["HASH_REGEX", "download_url_to_file", "urlparse"]

HASH_REGEX = re.compile(r"-([a-f0-9]*)\.")  # the part of a file's name that is its checksum


def download_url_to_file(url: str, dst: str, hash_prefix: str | None = None, progress: bool = True) -> NoReturn:
    """Raise a RuntimeError: nothing is downloaded."""
    raise RuntimeError(f"nothing is downloaded: fetch {url} by other means and put it at {dst}")


def _get_torch_home() -> str:
    """The folder that torch keeps its files in."""
    return os.path.dirname(get_dir())
