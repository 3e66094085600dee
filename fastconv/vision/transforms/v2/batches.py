"""Transforms of batches, whose images and labels they mix."""

import math
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy, randint
from fastconv.functions import roll
from fastconv.random import dirichlet
from fastconv.vision._pillow import is_image
from fastconv.vision.transforms.v2.samples import Transform, leaves_of, rebuilt

__all__ = ["CutMix", "MixUp"]


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
        leaves = leaves_of(sample)
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
        return rebuilt(sample, leaves)

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
