"""Pillow, imported where an image is needed as one."""

import sys
from typing import Any

import numpy as np

__all__ = ["is_image", "pillow", "to_image"]


def pillow() -> Any:
    """The module ``PIL.Image``, or an ImportError that says what to install."""
    try:
        from PIL import Image
    except ImportError:
        raise ImportError('images need Pillow: pip install "fastconv[train]"') from None
    return Image


def is_image(value: object) -> bool:
    """Whether `value` is a Pillow image; Pillow is not imported for the question."""
    module = sys.modules.get("PIL.Image")
    return module is not None and isinstance(value, module.Image)


def to_image(array: np.ndarray) -> Any:
    """A uint8 array (H, W) or (H, W, C) as a Pillow image."""
    return pillow().fromarray(array)
