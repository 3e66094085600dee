"""Transforms with torchvision.transforms.v2's names: of samples, that is of images with what belongs to them.

A sample is an image, several arguments, or tuples, lists and dicts of such. All Pillow images in it are transformed,
with the same random numbers, and all else stays; where there is none, the first tensor is the image. Boxes and masks
are not known: they are tensors like any other.
"""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy, linspace, rand, randint, randperm
from fastconv.functions import roll
from fastconv.nn import Module
from fastconv.random import default_generator, dirichlet, engine_of, multinomial
from fastconv.vision import transforms as v1
from fastconv.vision._pillow import is_image
from fastconv.vision.transforms.autoaugment import (
    POLICIES,
    AutoAugmentPolicy,
    Space,
    apply_operation,
    fill_for,
    usual_space,
    wide_space,
)
from fastconv.vision.transforms.images import dimensions, height_width
from fastconv.vision.transforms.tensors import largest
from fastconv.vision.transforms.transforms import InterpolationMode
from fastconv.vision.transforms.v2 import functional

__all__ = [
    "AugMix",
    "AutoAugment",
    "AutoAugmentPolicy",
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "ConvertImageDtype",
    "CutMix",
    "ElasticTransform",
    "FiveCrop",
    "GaussianBlur",
    "GaussianNoise",
    "Grayscale",
    "Identity",
    "InterpolationMode",
    "Lambda",
    "LinearTransformation",
    "MixUp",
    "Normalize",
    "PILToTensor",
    "Pad",
    "RGB",
    "RandAugment",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomApply",
    "RandomAutocontrast",
    "RandomChannelPermutation",
    "RandomChoice",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomOrder",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
    "ToDtype",
    "ToImage",
    "ToPILImage",
    "ToPureTensor",
    "ToTensor",
    "Transform",
    "TrivialAugmentWide",
    "functional",
]


# Samples


def _leaves(sample: Any) -> list[Any]:
    if isinstance(sample, Mapping):
        return [leaf for part in sample.values() for leaf in _leaves(part)]
    if isinstance(sample, (list, tuple)):
        return [leaf for part in sample for leaf in _leaves(part)]
    return [sample]


def _rebuilt(sample: Any, leaves: "list[Any]") -> Any:
    """The sample with the leaves in their places, which are taken from the list's head."""
    if isinstance(sample, Mapping):
        return type(sample)((key, _rebuilt(part, leaves)) for key, part in sample.items())  # type: ignore[call-arg]
    if isinstance(sample, (list, tuple)):
        parts = [_rebuilt(part, leaves) for part in sample]
        return type(sample)(*parts) if hasattr(sample, "_fields") else type(sample)(parts)
    return leaves.pop(0)


class Transform(Module):
    """Base class of transforms of samples; one of one's own defines :meth:`transform`, and :meth:`make_params`."""

    _transformed_types: tuple[Any, ...] = ()

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        """Raise where a sample's parts are not what the transform takes."""

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        """What is drawn once for a sample; `flat_inputs` are its images."""
        return {}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        """One image, transformed."""
        raise NotImplementedError(f"{type(self).__name__} must define transform")

    def _needs_transform_list(self, flat_inputs: list[Any]) -> list[bool]:
        kinds = self._transformed_types
        if kinds:
            return [isinstance(leaf, kinds) for leaf in flat_inputs]
        needs = [is_image(leaf) for leaf in flat_inputs]
        if not any(needs):
            first = next((i for i, leaf in enumerate(flat_inputs) if isinstance(leaf, Tensor)), None)
            if first is not None:
                needs[first] = True
        return needs

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        leaves = _leaves(sample)
        self.check_inputs(leaves)
        needs = self._needs_transform_list(leaves)
        params = self.make_params([leaf for leaf, needed in zip(leaves, needs, strict=True) if needed])
        done = [self.transform(leaf, params) if need else leaf for leaf, need in zip(leaves, needs, strict=True)]
        return _rebuilt(sample, done)

    def extra_repr(self) -> str:
        return ", ".join(
            f"{name}={value}"
            for name, value in vars(self).items()
            if not name.startswith("_")
            and name != "training"
            and isinstance(value, (bool, int, float, str, tuple, list))
        )


class _OfSamples(Transform):
    """A transform of images, as one of samples: each image is transformed with the random numbers of the first."""

    _functional: Any = functional

    def make_params(self, flat_inputs: list[Any]) -> dict[str, Any]:
        return {"state": default_generator.get_state() if len(flat_inputs) > 1 else None, "first": True}

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        if not params["first"]:
            default_generator.set_state(params["state"])
        params["first"] = False
        return self._alone(inpt)

    def _alone(self, image: Any) -> Any:
        """What the transform of images does, which stands behind this class among the bases."""
        return super(Transform, self).forward(image)


class RandomCrop(_OfSamples, v1.RandomCrop):
    """:class:`transforms.RandomCrop` of samples; where only one side is cut, only one number is drawn."""

    def _alone(self, image: Any) -> Any:
        for margins in self._margins(*height_width(image)):
            image = functional.pad(image, margins, self.fill, self.padding_mode)
        rows, columns = height_width(image)
        height, width = self.size
        if height > rows or width > columns:
            raise ValueError(f"Required crop size {self.size} is larger than input image size {(rows, columns)}.")
        engine = engine_of(None)
        top = engine.integer(rows - height + 1) if rows > height else 0
        left = engine.integer(columns - width + 1) if columns > width else 0
        return functional.crop(image, top, left, height, width)


class Grayscale(_OfSamples, v1.Grayscale):
    """:class:`transforms.Grayscale` of samples."""

    def _alone(self, image: Any) -> Any:
        return functional.rgb_to_grayscale(image, self.num_output_channels)


class CenterCrop(_OfSamples, v1.CenterCrop):
    """:class:`transforms.CenterCrop` of samples."""


class ColorJitter(_OfSamples, v1.ColorJitter):
    """:class:`transforms.ColorJitter` of samples."""

    def __init__(self, brightness: Any = None, contrast: Any = None, saturation: Any = None, hue: Any = None) -> None:
        super().__init__(brightness or 0, contrast or 0, saturation or 0, hue or 0)


class ElasticTransform(_OfSamples, v1.ElasticTransform):
    """:class:`transforms.ElasticTransform` of samples."""


class FiveCrop(_OfSamples, v1.FiveCrop):
    """:class:`transforms.FiveCrop` of samples."""


class GaussianBlur(_OfSamples, v1.GaussianBlur):
    """:class:`transforms.GaussianBlur` of samples."""


class LinearTransformation(_OfSamples, v1.LinearTransformation):
    """:class:`transforms.LinearTransformation` of samples."""


class Normalize(_OfSamples, v1.Normalize):
    """:class:`transforms.Normalize` of samples."""

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if any(map(is_image, flat_inputs)):
            raise TypeError(f"{type(self).__name__}() does not support PIL images.")


class Pad(_OfSamples, v1.Pad):
    """:class:`transforms.Pad` of samples."""


class RandomAdjustSharpness(_OfSamples, v1.RandomAdjustSharpness):
    """:class:`transforms.RandomAdjustSharpness` of samples."""


class RandomAffine(_OfSamples, v1.RandomAffine):
    """:class:`transforms.RandomAffine` of samples."""


class RandomAutocontrast(_OfSamples, v1.RandomAutocontrast):
    """:class:`transforms.RandomAutocontrast` of samples."""


class RandomEqualize(_OfSamples, v1.RandomEqualize):
    """:class:`transforms.RandomEqualize` of samples."""


class RandomErasing(_OfSamples, v1.RandomErasing):
    """:class:`transforms.RandomErasing` of samples."""


class RandomGrayscale(_OfSamples, v1.RandomGrayscale):
    """:class:`transforms.RandomGrayscale` of samples."""


class RandomHorizontalFlip(_OfSamples, v1.RandomHorizontalFlip):
    """:class:`transforms.RandomHorizontalFlip` of samples."""


class RandomInvert(_OfSamples, v1.RandomInvert):
    """:class:`transforms.RandomInvert` of samples."""


class RandomPerspective(_OfSamples, v1.RandomPerspective):
    """:class:`transforms.RandomPerspective` of samples."""


class RandomPosterize(_OfSamples, v1.RandomPosterize):
    """:class:`transforms.RandomPosterize` of samples."""


class RandomResizedCrop(_OfSamples, v1.RandomResizedCrop):
    """:class:`transforms.RandomResizedCrop` of samples."""


class RandomRotation(_OfSamples, v1.RandomRotation):
    """:class:`transforms.RandomRotation` of samples."""


class RandomSolarize(_OfSamples, v1.RandomSolarize):
    """:class:`transforms.RandomSolarize` of samples."""


class RandomVerticalFlip(_OfSamples, v1.RandomVerticalFlip):
    """:class:`transforms.RandomVerticalFlip` of samples."""


class Resize(_OfSamples, v1.Resize):
    """:class:`transforms.Resize` of samples."""


class TenCrop(_OfSamples, v1.TenCrop):
    """:class:`transforms.TenCrop` of samples."""


# Kinds and dtypes


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
        return _rebuilt(sample, [self.lambd(x) if isinstance(x, self.types) else x for x in _leaves(sample)])

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


class ToPILImage(_OfSamples, v1.ToPILImage):  # type: ignore[misc]
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


class ToTensor(_OfSamples, v1.ToTensor):  # type: ignore[misc]
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


# Containers


def _after_each_other(transforms: Sequence[Callable[..., Any]], inputs: tuple[Any, ...]) -> Any:
    several = len(inputs) > 1
    for transform in transforms:
        outputs = transform(*inputs)
        inputs = outputs if several else (outputs,)
    return inputs if several else inputs[0]


def _check_transforms(transforms: Any) -> Any:
    if not isinstance(transforms, Sequence) and not isinstance(transforms, Module):
        raise TypeError("Argument transforms should be a sequence of callables")
    if not len(transforms):  # type: ignore[arg-type]
        raise ValueError("Pass at least one transform")
    return transforms


class Compose(Transform):
    """Transforms one after another, of one argument or of several."""

    def __init__(self, transforms: Sequence[Callable[..., Any]]) -> None:
        super().__init__()
        self.transforms: Any = _check_transforms(transforms)

    def forward(self, *inputs: Any) -> Any:
        return _after_each_other(self.transforms, inputs)

    def extra_repr(self) -> str:
        return "\n".join(f"    {transform}" for transform in self.transforms)


class RandomApply(Compose):
    """Transforms that are all applied, with probability `p`, or none of them."""

    def __init__(self, transforms: Any, p: float = 0.5) -> None:
        super().__init__(transforms)
        if not 0.0 <= p <= 1.0:
            raise ValueError("`p` should be a floating point value in the interval [0.0, 1.0].")
        self.p = p

    def forward(self, *inputs: Any) -> Any:
        if rand(1).item() >= self.p:
            return inputs if len(inputs) > 1 else inputs[0]
        return _after_each_other(self.transforms, inputs)


class RandomChoice(Compose):
    """One of some transforms, each as often as `p` says, up to a factor; all alike by default."""

    def __init__(self, transforms: Sequence[Callable[..., Any]], p: Sequence[float] | None = None) -> None:
        super().__init__(transforms)
        weights = [1.0] * len(transforms) if p is None else list(p)
        if len(weights) != len(transforms):
            raise ValueError(f"Length of p doesn't match the number of transforms: {len(weights)} != {len(transforms)}")
        self.p: list[float] = [weight / sum(weights) for weight in weights]

    def forward(self, *inputs: Any) -> Any:
        return self.transforms[int(multinomial(np.array(self.p, np.float32), 1)[0])](*inputs)


class RandomOrder(Compose):
    """Transforms one after another in random order."""

    def forward(self, *inputs: Any) -> Any:
        return _after_each_other([self.transforms[i] for i in randperm(len(self.transforms)).tolist()], inputs)


# Augmentations that draw which operations they apply


def _in_parts(space: Space, bins: int) -> Space:
    """The operations with solarizing's threshold as a part of white."""
    return {**space, "Solarize": (linspace(1.0, 0.0, bins), False)}


class _Augmentation(Transform):
    """Base of those; `_augmented` transforms one image."""

    interpolation: InterpolationMode
    fill: Any

    def transform(self, inpt: Any, params: dict[str, Any]) -> Any:
        return self._augmented(inpt)

    def _augmented(self, image: Any) -> Any:
        raise NotImplementedError

    def _drawn(self, space: Space, magnitude: int | None, bins: int = 0) -> tuple[str, float]:
        name = list(space)[int(randint(len(space), ()).item())]
        magnitudes, signed = space[name]
        if magnitudes is None:
            return name, 0.0
        value = float(magnitudes[int(randint(bins, ()).item()) if magnitude is None else magnitude].item())
        return name, -value if signed and rand(()).item() <= 0.5 else value

    def _applied(self, image: Any, name: str, magnitude: float, fill: Any) -> Any:
        if name == "Solarize":
            magnitude *= 255.0 if is_image(image) else largest(image.dtype)
        return apply_operation(image, name, magnitude, self.interpolation, fill, functional)


class AutoAugment(_Augmentation):
    """:class:`transforms.AutoAugment` of samples."""

    def __init__(
        self,
        policy: AutoAugmentPolicy = AutoAugmentPolicy.IMAGENET,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        if policy not in POLICIES:
            raise ValueError(f"The provided policy {policy} is not recognized.")
        self.policy = policy
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill
        self._policies = v1.AutoAugment(policy).policies

    def _augmented(self, image: Any) -> Any:
        space = _in_parts(usual_space(10, *height_width(image)), 10)
        fill = fill_for(self.fill, image)
        for name, probability, bin_ in self._policies[int(randint(len(self._policies), ()).item())]:
            if rand(()).item() > float(np.float32(probability)):
                continue
            magnitudes, signed = space.get(name, (None, False))
            magnitude = 0.0 if magnitudes is None or bin_ is None else float(magnitudes[bin_].item())
            if signed and rand(()).item() <= 0.5:
                magnitude = -magnitude
            image = self._applied(image, name, magnitude, fill)
        return image


class RandAugment(_Augmentation):
    """:class:`transforms.RandAugment` of samples."""

    def __init__(
        self,
        num_ops: int = 2,
        magnitude: int = 9,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        if not isinstance(num_ops, int) or num_ops < 0:
            raise ValueError(f"num_ops should be a non-negative integer, but got {num_ops} instead.")
        self.num_ops = num_ops
        self.magnitude = magnitude
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    def _augmented(self, image: Any) -> Any:
        bins = self.num_magnitude_bins
        space = _in_parts(usual_space(bins, *height_width(image)), bins)
        fill = fill_for(self.fill, image)
        for _ in range(self.num_ops):
            image = self._applied(image, *self._drawn(space, self.magnitude), fill)
        return image


class TrivialAugmentWide(_Augmentation):
    """:class:`transforms.TrivialAugmentWide` of samples."""

    def __init__(
        self,
        num_magnitude_bins: int = 31,
        interpolation: InterpolationMode | int = InterpolationMode.NEAREST,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self.num_magnitude_bins = num_magnitude_bins
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    def _augmented(self, image: Any) -> Any:
        bins = self.num_magnitude_bins
        drawn = self._drawn(_in_parts(wide_space(bins), bins), None, bins)
        return self._applied(image, *drawn, fill_for(self.fill, image))


class AugMix(_Augmentation):
    """:class:`transforms.AugMix` of samples."""

    def __init__(
        self,
        severity: int = 3,
        mixture_width: int = 3,
        chain_depth: int = -1,
        alpha: float = 1.0,
        all_ops: bool = True,
        interpolation: InterpolationMode | int = InterpolationMode.BILINEAR,
        fill: Any = None,
    ) -> None:
        super().__init__()
        self._mix = v1.AugMix(severity, mixture_width, chain_depth, alpha, all_ops, interpolation, fill)
        self._mix.draw, self._mix.apply_one = self._drawn, self._applied
        self.severity = severity
        self.mixture_width = mixture_width
        self.chain_depth = chain_depth
        self.alpha = alpha
        self.all_ops = all_ops
        self.interpolation: InterpolationMode = InterpolationMode(interpolation)
        self.fill = fill

    def _drawn(self, space: Space, magnitude: int | None, bins: int = 0) -> tuple[str, float]:
        return super()._drawn(_in_parts(space, 10), magnitude, bins)

    def _augmented(self, image: Any) -> Any:
        return self._mix(image)


# Batches


class _OfBatches(Transform):
    """Mixes each image of a batch with the one before it, and their labels."""

    def __init__(self, *, alpha: float = 1.0, num_classes: int | None = None, labels_getter: Any = "default") -> None:
        super().__init__()
        self.alpha: float = float(alpha)
        self.num_classes: int | None = num_classes
        self._labels_getter = labels_getter

    def _labels(self, sample: Any) -> Any:
        getter = self._labels_getter
        if callable(getter):
            return getter(sample)
        found = sample[1] if isinstance(sample, (list, tuple)) else sample
        if isinstance(found, Mapping):
            names = [getter] if getter != "default" else [name for name in found if "label" in str(name).lower()]
            found = found[names[0]] if names else None
        return found

    def _share(self) -> float:
        """A number between 0 and 1 by a symmetric beta distribution."""
        return float(dirichlet(np.full((1, 2), self.alpha, np.float32))[0, 0])

    def forward(self, *inputs: Any) -> Any:
        sample = inputs if len(inputs) > 1 else inputs[0]
        leaves = _leaves(sample)
        if any(map(is_image, leaves)):
            raise ValueError(
                f"{type(self).__name__}() does not support PIL images, bounding boxes, keypoints and masks."
            )
        labels = self._labels(sample)
        if not isinstance(labels, Tensor):
            raise ValueError(f"The labels must be a tensor, but got {type(labels)} instead.")
        if labels.ndim not in (1, 2):
            raise ValueError(
                "labels should be index based with shape (batch_size,) or probability based with shape (batch_size, "
                f"num_classes), but got a tensor of shape {tuple(labels.shape)} instead."
            )
        if labels.ndim == 2 and self.num_classes is not None and labels.shape[-1] != self.num_classes:
            raise ValueError(
                "When passing 2D labels, the number of elements in last dimension must match num_classes: "
                f"{labels.shape[-1]} != {self.num_classes}. You can Leave num_classes to None."
            )
        if labels.ndim == 1 and self.num_classes is None:
            raise ValueError("num_classes must be passed if the labels are index-based (1D)")
        image = next((i for i, leaf in enumerate(leaves) if isinstance(leaf, Tensor) and leaf is not labels), None)
        if image is None:
            raise ValueError("found no batch of images beside the labels")
        batch = leaves[image]
        if batch.ndim != 4:
            raise ValueError(f"Expected a batched input with 4 dims, but got {batch.ndim} dimensions instead.")
        if batch.shape[0] != labels.shape[0]:
            raise ValueError(
                "The batch size of the image or video does not match the batch size of the labels: "
                f"{batch.shape[0]} != {labels.shape[0]}."
            )
        leaves[image], share = self._mixed(batch)
        place = next(i for i, leaf in enumerate(leaves) if leaf is labels)
        if labels.ndim == 1:
            labels = from_numpy(np.eye(self.num_classes, dtype=np.float32)[labels.numpy()])
        elif labels.dtype.kind in "iub":
            labels = labels.float()
        leaves[place] = _mixture(labels, share)
        return _rebuilt(sample, leaves)

    def _mixed(self, batch: Tensor) -> tuple[Tensor, float]:
        raise NotImplementedError


def _mixture(x: Tensor, share: float) -> Tensor:
    return roll(x, 1, 0) * (1.0 - share) + x * share


class MixUp(_OfBatches):
    """Sums of two images and of their labels (H. Zhang and others, 2017): ``share * x + (1 - share) * other``.

    Parameters
    ----------
    alpha : float
        Of the symmetric beta distribution that the share is drawn from.
    num_classes : int, optional
        Where labels are indices.
    labels_getter : 'default', str or callable
        Where the labels are: second in a pair or in its dict under a name with "label"; the name; or a function.

    Raises
    ------
    ValueError
        If there are no labels, or they do not fit the images.
    """

    def _mixed(self, batch: Tensor) -> tuple[Tensor, float]:
        share = self._share()
        return _mixture(batch, share), share


class CutMix(_OfBatches):
    """A random rectangle of each image put into another, and labels mixed as areas are (S. Yun and others, 2019).

    See :class:`MixUp` for the parameters.
    """

    def _mixed(self, batch: Tensor) -> tuple[Tensor, float]:
        share = self._share()
        height, width = batch.shape[-2:]
        x, y = int(randint(width, (1,)).item()), int(randint(height, (1,)).item())
        half = 0.5 * math.sqrt(1.0 - share)
        half_width, half_height = int(half * width), int(half * height)
        left, top = max(x - half_width, 0), max(y - half_height, 0)
        right, bottom = min(x + half_width, width), min(y + half_height, height)
        mixed = batch.clone()
        mixed[..., top:bottom, left:right] = roll(batch, 1, 0)[..., top:bottom, left:right]
        return mixed, 1.0 - (right - left) * (bottom - top) / (width * height)
