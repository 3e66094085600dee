"""What transforms do to one image, a Pillow image or a tensor, and how their arguments are read."""

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.checks import LARGEST, integers
from fastconv.creation import from_numpy
from fastconv.functions import flip
from fastconv.vision._pillow import is_image, pillow, to_image

__all__ = [
    "array_of",
    "check_image_or_tensor",
    "check_padding_mode",
    "crop",
    "dimensions",
    "flipped",
    "height_width",
    "horizontal_flip",
    "pad",
    "pad_array",
    "padded_with_history",
    "pair",
    "planar_view",
    "sides",
    "vertical_flip",
]


def check_image_or_tensor(image: Any) -> Any:
    """`image`, which has to be a Pillow image or a tensor."""
    if not is_image(image):
        array_of(image)
    return image


def dimensions(image: Any) -> tuple[int, int, int]:
    """Channels, height and width of a Pillow image or a tensor (..., C, H, W); one (H, W) has one channel."""
    if is_image(image):
        return len(image.getbands()), image.height, image.width
    shape = array_of(image).shape
    if len(shape) < 2:
        raise TypeError(f"Tensor is not a torch image: its shape is {list(shape)}")
    return shape[-3] if len(shape) > 2 else 1, shape[-2], shape[-1]


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
    return dimensions(image)[1:]


def flipped(image: Any, axis: int) -> Tensor:
    """The tensor with an axis turned round."""
    array = np.flip(array_of(image), axis)
    return flip(image, axis) if image.requires_grad else from_numpy(array.copy())


def crop(image: Any, top: int, left: int, height: int, width: int) -> Any:
    """The window of this size at this place; what lies outside the image is 0."""
    if is_image(image):
        return image.crop((left, top, left + width, top + height))
    rows, columns = height_width(image)
    bottom, right = top + height, left + width
    if left < 0 or top < 0 or right > columns or bottom > rows:
        inside = image[..., max(top, 0) : max(bottom, 0), max(left, 0) : max(right, 0)]
        margins = (
            max(-left + min(0, right), 0),
            max(-top + min(0, bottom), 0),
            max(right - max(columns, left), 0),
            max(bottom - max(rows, top), 0),
        )
        return pad(inside, margins, 0, "constant")
    array = array_of(image)[..., top : top + height, left : left + width]
    if image.requires_grad:
        return image[..., top : top + height, left : left + width].clone()
    return from_numpy(array.copy())


def vertical_flip(image: Any) -> Any:
    """An image, or a tensor (..., H, W), with top and bottom mirrored."""
    if is_image(image):
        return image.transpose(pillow().Transpose.FLIP_TOP_BOTTOM)
    return flipped(image, -2)


def horizontal_flip(image: Any) -> Any:
    """An image, or a tensor (..., H, W), with left and right mirrored."""
    if is_image(image):
        return image.transpose(pillow().Transpose.FLIP_LEFT_RIGHT)
    return flipped(image, -1)


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
    palette = image.getpalette() if image.mode == "P" else None
    if mode == "constant":
        from PIL import ImageOps

        if not isinstance(fill, Sequence):
            fill = (fill,) * len(image.getbands())
        if image.mode != "F":
            fill = [int(value) for value in fill]
        padded = ImageOps.expand(image, margins, fill[0] if len(fill) == 1 else tuple(fill))
    else:
        array = np.asarray(image)
        planar = array[None] if array.ndim == 2 else array.transpose(2, 0, 1)
        enlarged = pad_array(planar, margins, fill, mode)
        padded = to_image(enlarged[0] if array.ndim == 2 else enlarged.transpose(1, 2, 0))
    if palette is not None:
        padded.putpalette(palette)
    return padded


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
