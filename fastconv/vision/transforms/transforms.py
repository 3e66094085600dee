"""Transforms of images, one by one or a batch at once.

Called, a transform takes one image: a Pillow image, or a tensor (..., C, H, W) once :class:`ToTensor` has made one.
Its method ``batch`` takes many: a uint8 array (N, H, W) or (N, H, W, C), or a tensor (N, C, H, W), and does to each of
them what the call does. ``batch`` may overwrite a tensor that it is given. :func:`batched` says whether a whole chain
can run so; a transform of one's own takes part by defining ``batch`` beside ``__call__``.
"""

import enum
import functools
import random
import types
import warnings
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any

import numpy as np

from fastconv._native.memory import empty
from fastconv._native.tape import check_writable, mark_written
from fastconv._tensor import Tensor
from fastconv.checks import LARGEST, integer, integers, number
from fastconv.creation import from_numpy, rand
from fastconv.nn import Module
from fastconv.random import engine_of
from fastconv.vision._pillow import is_image, pillow, to_image
from fastconv.vision.transforms import tensors
from fastconv.vision.transforms.images import (
    check_image_or_tensor,
    check_padding_mode,
    crop,
    height_width,
    horizontal_flip,
    pad,
    pad_array,
    pair,
    planar_view,
    sides,
)

__all__ = [
    "CenterCrop",
    "Compose",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "RandomApply",
    "RandomCrop",
    "RandomHorizontalFlip",
    "RandomChoice",
    "RandomOrder",
    "RandomTransforms",
    "Resize",
    "ToPILImage",
    "ToTensor",
    "batched",
    "steps_of",
]


class Compose:
    """Transforms one after another.

    Parameters
    ----------
    transforms : sequence of callables

    Examples
    --------
    >>> from fastconv.vision import transforms
    >>> transform = transforms.Compose([transforms.CenterCrop(4), transforms.Normalize((0.5,), (0.5,))])
    >>> transform(fastconv.ones(1, 8, 8)).shape
    torch.Size([1, 4, 4])
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        for transform in transforms:
            if not callable(transform):
                raise TypeError(f"Compose expects callables, got {transform!r} of type {type(transform).__name__}")
        self.transforms = transforms

    def __call__(self, image: Any) -> Any:
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        lines = [f"    {transform}" for transform in self.transforms]
        return "\n".join([f"{type(self).__name__}(", *lines, ")"])


class ToTensor:
    """A Pillow image or an ndarray (H, W) or (H, W, C) as a tensor (C, H, W).

    uint8 becomes float32 in [0, 1], ``x / 255``; other types keep their type and their values.

    Examples
    --------
    >>> from fastconv.vision import transforms
    >>> transforms.ToTensor()(np.full((2, 2, 3), 255, np.uint8)).shape
    torch.Size([3, 2, 2])
    """

    def __call__(self, picture: Any) -> Tensor:
        if is_image(picture):
            array = np.array(picture)
            if array.dtype == bool:  # Pillow's mode "1"
                array = array.astype(np.uint8) * 255
            elif array.dtype.itemsize == 2:  # mode "I;16", which torchvision wraps to int16
                array = array.astype(np.int32)
        elif isinstance(picture, np.ndarray):
            array = picture
        else:
            raise TypeError(f"pic should be PIL Image or ndarray. Got {type(picture)}")
        if array.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {array.ndim} dimensions: its shape is {array.shape}")
        return self.batch(array[None])[0]

    def batch(self, images: np.ndarray) -> Tensor:
        """(N, H, W) or (N, H, W, C) to (N, C, H, W)."""
        planar, _ = planar_view(images)
        if planar.dtype == np.uint8:
            x = empty(planar.shape, np.float32)
            np.divide(planar, np.float32(255), out=x)
        else:
            x = np.array(planar, planar.dtype.newbyteorder("="), order="C")
        return from_numpy(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


class ToPILImage:
    """A tensor (C, H, W) or (H, W), or an ndarray (H, W) or (H, W, C), as a Pillow image.

    A floating-point tensor of values in [0, 1] is multiplied by 255 and cut to integers; an array keeps its values.

    Parameters
    ----------
    mode : str or None
        Pillow's name of the kind of image; by default it follows from the channels and the dtype.

    Raises
    ------
    TypeError
        If it is neither tensor nor array, or has a dtype that no image has.
    ValueError
        If it has not 2 or 3 dimensions or over 4 channels, or `mode` does not go with it.
    """

    _MODES = types.MappingProxyType(  # by channels and dtype, the usual one first
        {
            (1, "uint8"): ("L",),
            (1, "int16"): ("I;16",),
            (1, "int32"): ("I",),
            (1, "float32"): ("F",),
            (2, "uint8"): ("LA",),
            (3, "uint8"): ("RGB", "YCbCr", "HSV"),
            (4, "uint8"): ("RGBA", "CMYK", "RGBX"),
        }
    )

    def __init__(self, mode: str | None = None) -> None:
        self.mode = mode

    def __call__(self, picture: Any) -> Any:
        if not isinstance(picture, Tensor | np.ndarray):
            raise TypeError(f"pic should be Tensor or ndarray. Got {type(picture)}.")
        if picture.ndim not in (2, 3):
            raise ValueError(f"pic should be 2/3 dimensional. Got {picture.ndim} dimensions.")
        if isinstance(picture, Tensor):
            array = picture.detach().numpy()
            array = array[..., None] if array.ndim == 2 else array.transpose(1, 2, 0)
            if array.dtype.kind == "f" and self.mode != "F":
                array = (array * array.dtype.type(255)).astype(np.uint8)
        else:
            array = picture[..., None] if picture.ndim == 2 else picture
        channels = array.shape[-1]
        if channels > 4:
            raise ValueError(f"pic should not have > 4 channels. Got {channels} channels.")
        modes = self._MODES.get((channels, array.dtype.name))
        if modes is None:
            raise TypeError(f"Input type {array.dtype} with {channels} channels is not supported")
        if self.mode is not None and self.mode not in modes:
            raise ValueError(
                f"Only modes {', '.join(modes)} are supported for {channels} channels of {array.dtype}, got {self.mode}"
            )
        image = np.ascontiguousarray(array[..., 0] if channels == 1 else array)
        return pillow().frombuffer(
            self.mode or modes[0], image.shape[1::-1], image.tobytes(), "raw", self.mode or modes[0], 0, 1
        )

    def __repr__(self) -> str:
        return f"{type(self).__name__}({'' if self.mode is None else f'mode={self.mode}'})"


class Normalize(Module):
    """``(x - mean) / std``, channel by channel.

    Parameters
    ----------
    mean, std : sequence of float
        One value for each channel, or one for all.
    inplace : bool
        Overwrite the tensor instead of making a new one.

    Raises
    ------
    TypeError
        If the image is not a tensor of floating-point numbers.
    ValueError
        If it has fewer than three dimensions, or a standard deviation is zero.
    RuntimeError
        If it has another number of channels.

    Examples
    --------
    >>> from fastconv.vision import transforms
    >>> transforms.Normalize((0.5,), (0.25,))(fastconv.ones(1, 1, 2))
    tensor([[[2., 2.]]])
    """

    def __init__(self, mean: Sequence[float], std: Sequence[float], inplace: bool = False) -> None:
        super().__init__()
        for name, values in (("mean", mean), ("std", std)):
            for value in np.ravel(np.asarray(values)):
                number(value, f"{name} of {values!r}")
        self.mean = mean
        self.std = std
        self.inplace = inplace

    def forward(self, tensor: Tensor) -> Tensor:
        return self._apply(tensor, self.inplace)

    def batch(self, images: Tensor) -> Tensor:
        """Overwrites `images`, shape (N, C, H, W), and returns it."""
        return self._apply(images, True)

    def _apply(self, tensor: Tensor, inplace: bool) -> Tensor:
        if not isinstance(tensor, Tensor):
            raise TypeError(f"img should be Tensor Image. Got {type(tensor)}")
        x = tensor.detach().numpy()
        if x.dtype.kind != "f":
            raise TypeError(f"Input tensor should be a float tensor. Got {x.dtype}.")
        if x.ndim < 3:
            raise ValueError(
                f"Expected tensor to be a tensor image of size (..., C, H, W). Got tensor.size() = {x.shape}"
            )
        mean, std = (np.asarray(values, x.dtype).reshape(-1, 1, 1) for values in (self.mean, self.std))
        if not std.all():
            raise ValueError(
                f"std evaluated to zero after conversion to {x.dtype}, leading to division by zero: std = {self.std}"
            )
        channels = x.shape[-3]
        if len(mean) not in (1, channels) or len(std) not in (1, channels):
            raise RuntimeError(
                f"Normalize has mean={self.mean!r} and std={self.std!r}, "
                f"but the image of size {x.shape} has {channels} channels"
            )
        if inplace and not check_writable(tensor):
            x -= mean
            x /= std
            mark_written(tensor)
            return tensor
        if inplace:
            return tensor.sub_(from_numpy(mean)).div_(from_numpy(std))
        if tensor.requires_grad:
            return (tensor - from_numpy(mean)) / from_numpy(std)
        x = x - mean
        x /= std
        return from_numpy(x)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(mean={self.mean}, std={self.std})"


class InterpolationMode(enum.Enum):
    """How pixels are interpolated. On Pillow images each is the filter of that name; Pillow's numbers mean these too.

    NEAREST_EXACT is NEAREST there. Tensors know NEAREST, NEAREST_EXACT, BILINEAR and BICUBIC.
    """

    NEAREST = "nearest"
    NEAREST_EXACT = "nearest-exact"
    BILINEAR = "bilinear"
    BICUBIC = "bicubic"
    BOX = "box"
    HAMMING = "hamming"
    LANCZOS = "lanczos"

    @classmethod
    def _missing_(cls, value: object) -> "InterpolationMode | None":
        names = ("NEAREST", "LANCZOS", "BILINEAR", "BICUBIC", "BOX", "HAMMING")
        return cls[names[value]] if isinstance(value, int) and 0 <= value < len(names) else None


class Resize(Module):
    """Resize a Pillow image.

    Parameters
    ----------
    size : int or sequence of int
        The new (height, width); an int is the new length of the shorter edge, and keeps the proportions.
    interpolation : InterpolationMode
    max_size : int or None
        Upper bound of the longer edge, where `size` is an int.
    antialias : bool or None
        Whether BILINEAR and BICUBIC count every pixel where a tensor shrinks; Pillow's filters always do.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        max_size: int | None = None,
        antialias: bool | None = True,
    ) -> None:
        super().__init__()
        if not isinstance(size, int | Sequence):
            raise TypeError(f"Size should be int or sequence. Got {type(size)}")
        sizes = [size] if isinstance(size, int) else list(size)
        if len(sizes) not in (1, 2):
            raise ValueError(f"If size is a sequence, it should have 1 or 2 values. Got {size}")
        if min(integers(sizes, "Size", -LARGEST, len(sizes))) < 1:
            raise ValueError(f"Size should be positive. Got {size}")
        if max_size is not None and (len(sizes) == 2 or max_size <= sizes[0]):
            raise ValueError(
                "max_size bounds the longer edge, so size has to be one int below it. "
                f"Got max_size={max_size} and size={size}"
            )
        self.size = size
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.max_size = max_size
        self.antialias = antialias

    def forward(self, image: Any) -> Any:
        old = height_width(image)
        height, width = self.target(*old)
        if (height, width) == old:
            return image
        if not is_image(image):
            return tensors.resize(image, (height, width), self.interpolation.value, self.antialias)
        if self.antialias is False:
            warnings.warn(
                "Anti-alias option is always applied for PIL Image input. Argument antialias is ignored.", stacklevel=3
            )
        try:
            return image.resize((width, height), pillow().Resampling[self.interpolation.name.removesuffix("_EXACT")])
        except (OverflowError, MemoryError):
            raise MemoryError(f"Resize(size={self.size}): no memory for {height} x {width} pixels") from None

    def batch(self, images: Any) -> Any:
        """(N, H, W), (N, H, W, C) or a tensor (N, C, H, W) to the new size."""
        if isinstance(images, Tensor):
            return self.forward(images)
        height, width = self.target(*images.shape[1:3])
        if (height, width) == images.shape[1:3]:
            return images
        resized = np.empty((len(images), height, width, *images.shape[3:]), images.dtype)
        for i, image in enumerate(images):
            resized[i] = self(to_image(image))
        return resized

    def target(self, height: int, width: int) -> tuple[int, int]:
        """The new size of an image of this one."""
        if not isinstance(self.size, int) and len(self.size) == 2:
            return self.size[0], self.size[1]
        shorter = self.size if isinstance(self.size, int) else self.size[0]
        longer = int(shorter * max(height, width) / min(height, width))
        if self.max_size is not None and longer > self.max_size:
            shorter, longer = int(self.max_size * shorter / longer), self.max_size
        return (shorter, longer) if height <= width else (longer, shorter)

    def __repr__(self) -> str:
        return (
            f"{type(self).__name__}(size={self.size}, interpolation={self.interpolation.value}, "
            f"max_size={self.max_size}, antialias={self.antialias})"
        )


class RandomCrop(Module):
    """Cut out a window at a random place.

    Parameters
    ----------
    size : int or sequence of int
        Height and width of the window; an int is both.
    padding : int or sequence of int, optional
        Pixels added around the image beforehand: all sides, (left/right, top/bottom), or (left, top, right, bottom).
    pad_if_needed : bool
        Add as many more as the window needs.
    fill : number or tuple of numbers
        Value of the added pixels where `padding_mode` is 'constant', for all channels or one for each.
    padding_mode : {'constant', 'edge', 'reflect', 'symmetric'}

    Raises
    ------
    ValueError
        If the window is larger than the padded image.
    """

    def __init__(
        self,
        size: int | Sequence[int],
        padding: int | Sequence[int] | None = None,
        pad_if_needed: bool = False,
        fill: float | tuple[float, ...] = 0,
        padding_mode: str = "constant",
    ) -> None:
        super().__init__()
        self.size: tuple[int, int] = pair(size)
        self.padding = padding
        self.pad_if_needed = pad_if_needed
        self.fill = fill
        self.padding_mode: str = check_padding_mode(padding_mode)
        sides(padding)

    @staticmethod
    def get_params(img: Any, output_size: Sequence[int]) -> tuple[int, int, int, int]:
        """A random window of this size in an image, (top, left, height, width).

        Raises
        ------
        ValueError
            If it is larger than the image.
        """
        rows, columns = height_width(img)
        height, width = output_size
        return *_corner(rows, columns, height, width), height, width

    def forward(self, image: Any) -> Any:
        for margins in self._margins(*height_width(image)):
            image = pad(image, margins, self.fill, self.padding_mode)
        return crop(image, *self.get_params(image, self.size))

    def batch(self, images: Any, corners: Iterable[tuple[int, int]] | None = None) -> Any:
        """Every image at a place of its own; `corners` are what :meth:`draw` gave for each."""
        planar, restore = planar_view(images)
        if corners is None:
            corners = [self.draw(*planar.shape[2:]) for _ in planar]
        for margins in self._margins(*planar.shape[2:]):
            planar = pad_array(planar, margins, self.fill, self.padding_mode)
        height, width = self.size
        cropped = np.empty((*planar.shape[:2], height, width), planar.dtype)
        for i, (top, left) in enumerate(corners):
            cropped[i] = planar[i, :, top : top + height, left : left + width]
        return restore(cropped)

    def _margins(self, height: int, width: int) -> list[tuple[int, int, int, int]]:
        """What is added one after the other: what is asked for, and then in width and in height what lacks."""
        left, top, right, bottom = sides(self.padding)
        lack_w = max(0, self.size[1] - (width + left + right)) if self.pad_if_needed else 0
        lack_h = max(0, self.size[0] - (height + top + bottom)) if self.pad_if_needed else 0
        return [(left, top, right, bottom), (lack_w, 0, lack_w, 0), (0, lack_h, 0, lack_h)]

    def draw(self, height: int, width: int) -> tuple[int, int]:
        """The window's top and left in the padded image, for an image of this size."""
        for left, top, right, bottom in self._margins(height, width):
            height, width = height + top + bottom, width + left + right
        return _corner(height, width, *self.size)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size}, padding={self.padding})"


def _corner(rows: int, columns: int, height: int, width: int) -> tuple[int, int]:
    """Top and left of a random window in an image."""
    if height > rows or width > columns:
        raise ValueError(f"Required crop size {(height, width)} is larger than input image size {(rows, columns)}")
    if (rows, columns) == (height, width):
        return 0, 0
    engine = engine_of(None)
    return engine.integer(rows - height + 1), engine.integer(columns - width + 1)


class RandomHorizontalFlip(Module):
    """Mirror left and right with probability `p`."""

    def __init__(self, p: float = 0.5) -> None:
        super().__init__()
        number(p, "p")
        if not 0 <= p <= 1:
            raise ValueError(f"p should be a probability between 0 and 1. Got {p}")
        self.p = p

    def forward(self, image: Any) -> Any:
        check_image_or_tensor(image)
        return horizontal_flip(image) if self.draw() else image

    def draw(self, height: int = 0, width: int = 0) -> bool:
        """Whether to mirror an image; its size makes no difference."""
        # As rand(1) < p, the one word that the number is made of.
        return engine_of(None).integer(2**24) * 2.0**-24 < np.float32(self.p)

    def batch(self, images: Any, flip: Iterable[bool] | None = None) -> Any:
        """Each image by its own draw; `flip` is what :meth:`draw` gave for each."""
        planar, restore = planar_view(images)
        flip = np.array([self.draw() for _ in planar] if flip is None else list(flip), bool)
        flipped = planar.copy()
        flipped[flip] = planar[flip][..., ::-1]
        return restore(flipped)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(p={self.p})"


class CenterCrop(Module):
    """Cut out the middle; an image that is too small gets black edges.

    Parameters
    ----------
    size : int or sequence of int
        Height and width of the window; an int is both.
    """

    def __init__(self, size: int | Sequence[int]) -> None:
        super().__init__()
        self.size: tuple[int, int] = pair(size)

    def forward(self, image: Any) -> Any:
        image = pad(image, self._margins(*height_width(image)), 0, "constant")
        return crop(image, *self._corner(*height_width(image)), *self.size)

    def batch(self, images: Any) -> Any:
        """The middle of every image."""
        planar, restore = planar_view(images)
        planar = pad_array(planar, self._margins(*planar.shape[2:]), 0, "constant")
        top, left = self._corner(*planar.shape[2:])
        return restore(planar[:, :, top : top + self.size[0], left : left + self.size[1]].copy())

    def _margins(self, height: int, width: int) -> tuple[int, int, int, int]:
        lack_h, lack_w = max(0, self.size[0] - height), max(0, self.size[1] - width)
        return lack_w // 2, lack_h // 2, (lack_w + 1) // 2, (lack_h + 1) // 2

    def _corner(self, height: int, width: int) -> tuple[int, int]:
        return round((height - self.size[0]) / 2), round((width - self.size[1]) / 2)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(size={self.size})"


class Grayscale(Module):
    """A colour image in grey: ITU-R 601's luma, 0.299 R + 0.587 G + 0.114 B, in Pillow's rounding.

    Parameters
    ----------
    num_output_channels : {1, 3}
        3 repeats the grey values as R, G and B.
    """

    def __init__(self, num_output_channels: int = 1) -> None:
        super().__init__()
        if integer(num_output_channels, "num_output_channels", -LARGEST) not in (1, 3):
            raise ValueError(f"num_output_channels should be either 1 or 3. Got {num_output_channels}")
        self.num_output_channels = num_output_channels

    def forward(self, image: Any) -> Any:
        if not is_image(check_image_or_tensor(image)):
            return tensors.rgb_to_grayscale(image, self.num_output_channels)
        grey = image.convert("L")
        return grey if self.num_output_channels == 1 else pillow().merge("RGB", [grey] * 3)

    def batch(self, images: Any) -> Any:
        """(N, H, W) or (N, H, W, 3) to (N, H, W), or (N, H, W, 3) with three output channels; tensors as called."""
        if isinstance(images, Tensor):
            return self.forward(images)
        if images.ndim == 4:
            # Pillow's fixed-point arithmetic: the weights times 2^16, and half a unit to round.
            red, green, blue = (images[..., c].astype(np.uint32) for c in range(3))
            images = ((red * 19595 + green * 38470 + blue * 7471 + 0x8000) >> 16).astype(np.uint8)
        return images if self.num_output_channels == 1 else np.stack([images] * 3, axis=-1)

    def __repr__(self) -> str:
        return f"{type(self).__name__}(num_output_channels={self.num_output_channels})"


class RandomApply(Module):
    """Transforms that are all applied, with probability `p`, or none of them.

    Parameters
    ----------
    transforms : sequence of callables
    p : float
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: float = 0.5) -> None:
        super().__init__()
        if not isinstance(transforms, Iterable):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms
        self.p: Any = number(p, "p", 0, 1)

    def forward(self, image: Any) -> Any:
        if self.p < rand(1).item():
            return image
        for transform in self.transforms:
            image = transform(image)
        return image

    def __repr__(self) -> str:
        lines = [f"    {transform}" for transform in self.transforms]
        return "\n".join([f"{type(self).__name__}(", f"    p={self.p}", *lines, ")"])


class RandomTransforms:
    """Base class of those that choose among transforms.

    Parameters
    ----------
    transforms : sequence of callables
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        if not isinstance(transforms, Sequence):
            raise TypeError("Argument transforms should be a sequence")
        self.transforms = transforms

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        raise NotImplementedError(f"{type(self).__name__} must define __call__")

    def __repr__(self) -> str:
        return "\n".join([f"{type(self).__name__}(", *(f"    {transform}" for transform in self.transforms), ")"])


class RandomOrder(RandomTransforms):
    """Transforms one after another in random order, which Python's ``random`` draws."""

    def __call__(self, image: Any) -> Any:
        order = list(range(len(self.transforms)))
        random.shuffle(order)
        for i in order:
            image = self.transforms[i](image)
        return image


class RandomChoice(RandomTransforms):
    """One of some transforms, which Python's ``random`` draws.

    Parameters
    ----------
    transforms : sequence of callables
    p : sequence of float, optional
        How often each comes, up to a factor; equally often by default.
    """

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        if p is not None and not isinstance(p, Sequence):
            raise TypeError("Argument p should be a sequence")
        self.p: Any = p

    def __call__(self, *args: Any) -> Any:
        return random.choices(self.transforms, weights=self.p)[0](*args)

    def __repr__(self) -> str:
        return f"{super().__repr__()}(p={self.p})"


class Lambda:
    """A function as a transform.

    Parameters
    ----------
    lambd : callable
        Takes one image.
    """

    def __init__(self, lambd: Callable[..., Any]) -> None:
        if not callable(lambd):
            raise TypeError(f"Argument lambd should be callable, got {type(lambd)}")
        self.lambd = lambd

    def __call__(self, image: Any) -> Any:
        return self.lambd(image)

    def __repr__(self) -> str:
        return f"{type(self).__name__}()"


def batched(transform: Callable[..., Any] | None) -> Callable[[np.ndarray], Tensor] | None:
    """The function that runs `transform` over a uint8 array (N, H, W) or (N, H, W, C) at once.

    None where there is none: some step has no ``batch``, or no step makes a tensor.
    """
    steps = steps_of(transform)
    if not all(_has_batch(step) for step in steps) or not any(isinstance(step, ToTensor) for step in steps):
        return None
    return functools.partial(_run, steps)


def _run(steps: list[Any], images: np.ndarray) -> Tensor:
    drawn = _draw(steps, images)
    for step in steps:
        images = step.batch(images, next(drawn)) if drawn and hasattr(step, "draw") else step.batch(images)
    return images


def _draw(steps: list[Any], images: np.ndarray) -> Iterator[tuple[Any, ...]] | None:
    """What each random step draws for all images, drawn image by image as if each went through the chain alone.

    None where a step of one's own stands in the chain: each step then draws for all images when its turn comes.
    """
    if not all(type(step) in _KNOWN for step in steps):
        return None
    height, width = images.shape[1:3]
    drawing = []
    for step in steps:
        if hasattr(step, "draw"):
            drawing.append((step, height, width))
        if isinstance(step, Resize):
            height, width = step.target(height, width)
        elif isinstance(step, RandomCrop | CenterCrop):
            height, width = step.size
    return iter(list(zip(*[[step.draw(h, w) for step, h, w in drawing] for _ in images], strict=True)))


# Steps of which it is known what they draw, and the size of what they give.
_KNOWN = (ToTensor, Normalize, Resize, RandomCrop, RandomHorizontalFlip, CenterCrop, Grayscale)


def steps_of(transform: Any) -> list[Any]:
    """The single transforms that a chain consists of."""
    if type(transform) is Compose:
        return [step for part in transform.transforms for step in steps_of(part)]
    return [transform]


def _has_batch(step: object) -> bool:
    """Whether the class that defines the call defines ``batch`` too: one inherited beside a new call is stale."""
    for cls in type(step).__mro__:
        if vars(cls).keys() & {"__call__", "forward", "batch"}:
            return "batch" in vars(cls)
    return False
