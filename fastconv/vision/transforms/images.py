"""What transforms do to one image, a Pillow image or a tensor, and how their arguments are read."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.checks import LARGEST, integers
from fastconv.creation import from_numpy
from fastconv.functions import flip
from fastconv.vision._pillow import is_image, to_image

__all__ = [
    "array_of",
    "check_image",
    "check_padding_mode",
    "crop",
    "flipped",
    "height_width",
    "pad",
    "pad_array",
    "padded_with_history",
    "pair",
    "planar_view",
    "sides",
]


def check_image(image: Any, name: str) -> Any:
    """`image`, which has to be a Pillow image: the transform `name` comes before ToTensor."""
    if not is_image(image):
        raise TypeError(f"img should be PIL Image, so {name} comes before ToTensor. Got {type(image)}")
    return image


def check_padding_mode(mode: str) -> str:
    """`mode`, if pixels can be added so."""
    if mode not in ("constant", "edge", "reflect", "symmetric"):
        raise ValueError(f"Padding mode should be either constant, edge, reflect or symmetric. Got {mode!r}")
    return mode


def planar_view(images: Any) -> tuple[np.ndarray, Callable[[np.ndarray], Any]]:
    """A batch as an array (N, C, H, W), without a copy, and the way back to the kind of batch that it was."""
    if isinstance(images, Tensor):
        return images.detach().numpy(), from_numpy
    if images.ndim == 3:
        return images[:, None], lambda planar: planar[:, 0]
    return images.transpose(0, 3, 1, 2), lambda planar: planar.transpose(0, 2, 3, 1)


def array_of(image: Any) -> np.ndarray:
    """The array of a tensor; anything else is refused."""
    if not isinstance(image, Tensor):
        raise TypeError(f"img should be PIL Image or Tensor Image. Got {type(image)}")
    return image.detach().numpy()


def height_width(image: Any) -> tuple[int, int]:
    """The size of a Pillow image or a tensor (..., H, W)."""
    if is_image(image):
        return image.height, image.width
    height, width = array_of(image).shape[-2:]
    return height, width


def flipped(image: Any, axis: int) -> Tensor:
    """The tensor with an axis turned round."""
    array = np.flip(array_of(image), axis)
    return flip(image, axis) if image.requires_grad else from_numpy(array.copy())


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    """The window of this size at this place."""
    if is_image(image):
        return image.crop((left, top, left + width, top + height))
    array = array_of(image)[..., top : top + height, left : left + width]
    if image.requires_grad:
        return image[..., top : top + height, left : left + width].clone()
    return from_numpy(array.copy())


def pad(image: Any, margins: tuple[int, int, int, int], fill: Any, mode: str) -> Any:
    """The image with pixels added: `margins` = (left, top, right, bottom)."""
    if margins == (0, 0, 0, 0):
        return image
    height, width = height_width(image)
    if max(height + margins[1] + margins[3], width + margins[0] + margins[2]) > 2**31 - 1:
        raise ValueError(f"an image of {height} x {width} pixels cannot be padded by {margins}")
    if not is_image(image):
        padded = from_numpy(pad_array(array_of(image), margins, fill, mode))
        return padded_with_history(padded, image, margins, mode) if image.requires_grad else padded
    if mode == "constant":
        from PIL import ImageOps

        if not isinstance(fill, Sequence):
            fill = (fill,) * len(image.getbands())
        return ImageOps.expand(image, margins, fill[0] if len(fill) == 1 else tuple(fill))
    array = np.asarray(image)
    planar = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
    padded = pad_array(planar, margins, fill, mode)
    return to_image(padded[0] if array.ndim == 2 else padded.transpose(1, 2, 0))


def padded_with_history(padded: Tensor, image: Tensor, margins: tuple[int, int, int, int], mode: str) -> Tensor:
    """The padded image as what was made of `image`, so that gradients find their way back."""
    left, top, right, bottom = margins
    height, width = image.shape[-2:]
    if mode == "constant":
        padded[..., top : top + height, left : left + width] = image
        return padded
    rows, columns = (
        from_numpy(np.pad(np.arange(n), sides, mode=mode))  # type: ignore[call-overload]
        for n, sides in ((height, (top, bottom)), (width, (left, right)))
    )
    return image[..., rows[:, None], columns]


def pad_array(x: np.ndarray, margins: tuple[int, int, int, int], fill: Any, mode: str) -> np.ndarray:
    """Pad the last two axes of (..., C, H, W) by `margins` = (left, top, right, bottom)."""
    if margins == (0, 0, 0, 0):
        return x
    left, top, right, bottom = margins
    if mode != "constant":
        return np.pad(x, [(0, 0)] * (x.ndim - 2) + [(top, bottom), (left, right)], mode=mode)
    height, width = x.shape[-2:]
    padded = np.empty((*x.shape[:-2], height + top + bottom, width + left + right), x.dtype)
    padded[...] = np.asarray(fill, x.dtype).reshape(-1, 1, 1)
    padded[..., top : top + height, left : left + width] = x
    return padded


def pair(size: int | Sequence[int]) -> tuple[int, int]:
    """`size` as (height, width)."""
    if not isinstance(size, int | Sequence):
        raise TypeError(f"Size should be int or sequence. Got {size!r} of type {type(size).__name__}")
    sizes = (size,) if isinstance(size, int) else tuple(size)
    if len(sizes) not in (1, 2):
        raise ValueError(f"Please provide only two dimensions (h, w) for size. Got {size}")
    if min(integers(sizes, "Size", -LARGEST, len(sizes))) < 1:
        raise ValueError(f"Size should be positive. Got {size}")
    return sizes[0], sizes[-1]


def sides(padding: int | Sequence[int] | None) -> tuple[int, int, int, int]:
    """`padding` as (left, top, right, bottom)."""
    if padding is None:
        return 0, 0, 0, 0
    if not isinstance(padding, int | tuple | list):
        raise TypeError(f"Got inappropriate padding arg: expected an int or a sequence, got {type(padding)}")
    given = (padding,) if isinstance(padding, int) else tuple(padding)
    if len(given) not in (1, 2, 4):
        raise ValueError(
            f"Padding must be an int or a 1, 2, or 4 element tuple, not a {len(given)} element tuple: {padding}"
        )
    if min(integers(given, "Padding", -LARGEST, len(given))) < 0:
        raise ValueError(f"Padding should be non-negative. Got {padding}")
    left, top, right, bottom = given * (4 // len(given))
    return left, top, right, bottom
