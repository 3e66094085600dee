"""Grids of images, and pictures of tensors, with torchvision.utils' names."""

import math
from collections.abc import Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.checks import integer
from fastconv.creation import from_numpy
from fastconv.functions import stack
from fastconv.vision._pillow import to_image

__all__ = ["make_grid", "save_image"]


def make_grid(
    tensor: Tensor | Sequence[Tensor],
    nrow: int = 8,
    padding: int = 2,
    normalize: bool = False,
    value_range: tuple[float, float] | None = None,
    scale_each: bool = False,
    pad_value: float = 0.0,
) -> Tensor:
    """One image of many, in rows.

    Parameters
    ----------
    tensor : Tensor (N, C, H, W), (C, H, W) or (H, W), or a sequence of Tensors (C, H, W)
        One channel is repeated thrice.
    nrow : int
        Images in a row.
    padding : int
        Pixels between them.
    normalize : bool
        Bring the values into [0, 1].
    value_range : pair of float, optional
        What becomes 0 and 1 with `normalize`; by default the least and the largest value.
    scale_each : bool
        With `normalize`, find them for each image by itself.
    pad_value : float
        Value of the pixels between the images.

    Returns
    -------
    Tensor (3 or C, H', W')
    """
    if not isinstance(tensor, Tensor) and not (
        isinstance(tensor, Sequence) and tensor and all(isinstance(image, Tensor) for image in tensor)
    ):
        raise TypeError(f"tensor or list of tensors expected, got {type(tensor)}")
    nrow, padding = integer(nrow, "nrow", 1), integer(padding, "padding")
    x = (tensor if isinstance(tensor, Tensor) else stack(list(tensor))).detach().numpy()
    if x.ndim not in (2, 3, 4):
        raise ValueError(f"expected images of 2 to 4 dimensions, got shape {list(x.shape)}")
    x = x.reshape((1,) * (4 - x.ndim) + x.shape)
    if x.shape[1] == 1:
        x = np.repeat(x, 3, axis=1)
    if normalize:
        if value_range is not None and not isinstance(value_range, tuple):
            raise TypeError("value_range has to be a tuple (min, max) if specified. min and max are numbers")
        x = np.concatenate([_scaled(part, value_range) for part in (x[:, None] if scale_each else [x])])
        x = x.reshape(-1, *x.shape[-3:])
    number, channels, height, width = x.shape
    if number == 1:
        return from_numpy(np.array(x[0]))
    columns = min(nrow, number)
    rows = math.ceil(number / columns)
    height, width = height + padding, width + padding
    grid = np.full((channels, height * rows + padding, width * columns + padding), pad_value, x.dtype)
    for i, image in enumerate(x):
        top, left = i // columns * height + padding, i % columns * width + padding
        grid[:, top : top + height - padding, left : left + width - padding] = image
    return from_numpy(grid)


def _scaled(x: np.ndarray, value_range: tuple[float, float] | None) -> np.ndarray:
    """`x` with the least value at 0 and the largest at 1."""
    low, high = (x.min(), x.max()) if value_range is None else value_range
    return (np.clip(x, low, high) - x.dtype.type(low)) / x.dtype.type(max(high - low, 1e-5))


def save_image(tensor: Tensor | Sequence[Tensor], fp: Any, format: str | None = None, **kwargs: Any) -> None:
    """Write images of values in [0, 1] to a file, as one picture.

    Parameters
    ----------
    tensor : Tensor or sequence of Tensor
        As :func:`make_grid` takes them.
    fp : path or file
    format : str, optional
        Pillow's name of the format; by default the file's name says it.
    **kwargs
        Options of :func:`make_grid`.
    """
    x = make_grid(tensor, **kwargs).numpy()
    pixels = np.clip(x * 255 + x.dtype.type(0.5), 0, 255).astype(np.uint8)
    to_image(pixels.transpose(1, 2, 0)).save(fp, format=format)
