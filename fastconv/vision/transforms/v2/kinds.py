"""Transforms that make images of another kind or dtype, or change each number or channel by itself."""

from collections.abc import Callable
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import randperm
from fastconv.nn import Module
from fastconv.vision import transforms as v1
from fastconv.vision._pillow import is_image
from fastconv.vision.transforms.images import dimensions
from fastconv.vision.transforms.v2 import functional
from fastconv.vision.transforms.v2.samples import OfSamples, Transform, leaves_of, rebuilt

__all__ = [
    "ConvertImageDtype",
    "GaussianNoise",
    "Identity",
    "Lambda",
    "PILToTensor",
    "RGB",
    "RandomChannelPermutation",
    "ToDtype",
    "ToImage",
    "ToPILImage",
    "ToPureTensor",
    "ToTensor",
]


class Identity(Transform):
    """What changes nothing."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return inpt


class Lambda(Transform):
    """A function of each part of a sample that is of one of `types`, of every part by default."""

    def __init__(self, lambd: Callable[..., Any], *types: type) -> None:
        super().__init__()
        self.lambd = lambd
        self.types: tuple[type, ...] = types or (object,)

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        return rebuilt(sample, [self.lambd(x) if isinstance(x, self.types) else x for x in leaves_of(sample)])

    def extra_repr(self) -> str:
        name = getattr(self.lambd, "__name__", "")
        return ", ".join([*([name] if name else []), f"types={[kind.__name__ for kind in self.types]}"])


class PILToTensor(Transform):
    """Pillow images as tensors (C, H, W) of their own values."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return functional.pil_to_tensor(inpt) if is_image(inpt) else inpt


class ToImage(Transform):
    """Pillow images, and arrays (H, W) or (H, W, C), as tensors (C, H, W) of their own values."""

    def _needs_transform_list(self, flat_inputs: list[Any]) -> list[bool]:
        return [is_image(leaf) or isinstance(leaf, np.ndarray) for leaf in flat_inputs]

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return functional.to_image(inpt)


class ToPILImage(OfSamples, v1.ToPILImage):  # type: ignore[misc]
    """:class:`transforms.ToPILImage` of samples."""

    def __init__(self, mode: str | None = None) -> None:
        Module.__init__(self)
        self.mode = mode

    def _needs_transform_list(self, flat_inputs: list[Any]) -> list[bool]:
        arrays = [isinstance(leaf, np.ndarray) for leaf in flat_inputs]
        return arrays if any(arrays) else super()._needs_transform_list(flat_inputs)

    def _alone(self, image: Any) -> Any:
        return v1.ToPILImage.__call__(self, image)

    __call__ = Module.__call__


class ToPureTensor(Identity):
    """Of torchvision's interface: tensors are pure ones here."""


class ToTensor(OfSamples, v1.ToTensor):  # type: ignore[misc]
    """:class:`transforms.ToTensor` of samples."""

    def _needs_transform_list(self, flat_inputs: list[Any]) -> list[bool]:
        return [is_image(leaf) or isinstance(leaf, np.ndarray) for leaf in flat_inputs]

    def _alone(self, image: Any) -> Any:
        return v1.ToTensor.__call__(self, image)

    __call__ = Module.__call__


class ToDtype(Transform):
    """Tensors in another dtype.

    Parameters
    ----------
    dtype : dtype, or dict of type to dtype
        Of images; or of each type of a sample's parts, None for "as it is", with "others" for all that are not named.
    scale : bool
        Keep white white: see :func:`functional.to_dtype`.
    """

    def __init__(self, dtype: Any, scale: bool = False) -> None:
        super().__init__()
        self.dtype = dtype
        self.scale = scale

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not isinstance(inpt, Tensor):
            return inpt
        dtype = self.dtype
        if isinstance(dtype, dict):
            if type(inpt) not in dtype and "others" not in dtype:
                raise ValueError(f"No dtype was specified for type {type(inpt)}.")
            dtype = dtype.get(type(inpt), dtype.get("others"))
        return inpt if dtype is None else functional.to_dtype(inpt, dtype, self.scale)


class ConvertImageDtype(ToDtype):
    """:class:`ToDtype` with white kept white."""

    def __init__(self, dtype: Any = np.float32) -> None:
        super().__init__(dtype, scale=True)


class RGB(Transform):
    """Images in red, green and blue."""

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return functional.grayscale_to_rgb(inpt)


class GaussianNoise(Transform):
    """Normal noise added to tensors: see :func:`functional.gaussian_noise`."""

    def __init__(self, mean: float = 0.0, sigma: float = 0.1, clip: bool = True) -> None:
        super().__init__()
        self.mean = mean
        self.sigma = sigma
        self.clip = clip

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return functional.gaussian_noise(inpt, self.mean, self.sigma, self.clip)


class RandomChannelPermutation(Transform):
    """Channels in random order."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"permutation": randperm(dimensions(flat_inputs[0])[0]).tolist()}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return functional.permute_channels(inpt, params["permutation"])
