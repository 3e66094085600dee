"""Pictures in files as tensors of their pixels, with torchvision.io's names; Pillow reads and writes them."""

import enum
import os

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy
from fastconv.vision._pillow import pillow, to_image

__all__ = ["ImageReadMode", "read_image", "write_jpeg", "write_png"]


class ImageReadMode(enum.Enum):
    """Which channels a picture is read into; UNCHANGED keeps the file's own."""

    UNCHANGED = ""
    GRAY = "L"
    GRAY_ALPHA = "LA"
    RGB = "RGB"
    RGB_ALPHA = "RGBA"


def read_image(path: str | os.PathLike[str], mode: ImageReadMode | str = ImageReadMode.UNCHANGED) -> Tensor:
    """The pixels of a picture, uint8 (C, H, W).

    Parameters
    ----------
    path : path
    mode : ImageReadMode, or its name
    """
    wanted = ImageReadMode[mode.upper()] if isinstance(mode, str) else mode
    with pillow().open(path) as image:
        if wanted is not ImageReadMode.UNCHANGED:
            image = image.convert(wanted.value)
        elif image.mode not in ("L", "LA", "RGB", "RGBA"):
            image = image.convert("RGB")
        pixels = np.array(image)
    return from_numpy(pixels[None] if pixels.ndim == 2 else np.ascontiguousarray(pixels.transpose(2, 0, 1)))


def write_png(input: Tensor, filename: str | os.PathLike[str], compression_level: int = 6) -> None:
    """Write a uint8 tensor (1 or 3, H, W) as a PNG file."""
    to_image(_pixels(input)).save(filename, "PNG", compress_level=compression_level)


def write_jpeg(input: Tensor, filename: str | os.PathLike[str], quality: int = 75) -> None:
    """Write a uint8 tensor (1 or 3, H, W) as a JPEG file."""
    to_image(_pixels(input)).save(filename, "JPEG", quality=quality)


def _pixels(input: Tensor) -> np.ndarray:
    array = input.numpy()
    if array.dtype != np.uint8 or array.ndim != 3 or array.shape[0] not in (1, 3):
        raise ValueError(f"expected a uint8 tensor (1 or 3, H, W), got {array.dtype} {list(array.shape)}")
    return array[0] if array.shape[0] == 1 else array.transpose(1, 2, 0)
