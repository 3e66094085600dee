"""Transforms of images, as those of samples."""

from typing import Any

from fastconv.random import engine_of
from fastconv.vision import transforms as v1
from fastconv.vision._pillow import is_image
from fastconv.vision.transforms.images import height_width
from fastconv.vision.transforms.v2 import functional
from fastconv.vision.transforms.v2.samples import OfSamples

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "ElasticTransform",
    "FiveCrop",
    "GaussianBlur",
    "Grayscale",
    "LinearTransformation",
    "Normalize",
    "Pad",
    "RandomAdjustSharpness",
    "RandomAffine",
    "RandomAutocontrast",
    "RandomCrop",
    "RandomEqualize",
    "RandomErasing",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomInvert",
    "RandomPerspective",
    "RandomPosterize",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomSolarize",
    "RandomVerticalFlip",
    "Resize",
    "TenCrop",
]


class RandomCrop(OfSamples, v1.RandomCrop):
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


class Grayscale(OfSamples, v1.Grayscale):
    """:class:`transforms.Grayscale` of samples."""

    def _alone(self, image: Any) -> Any:
        return functional.rgb_to_grayscale(image, self.num_output_channels)


class CenterCrop(OfSamples, v1.CenterCrop):
    """:class:`transforms.CenterCrop` of samples."""


class ColorJitter(OfSamples, v1.ColorJitter):
    """:class:`transforms.ColorJitter` of samples."""

    def __init__(self, brightness: Any = None, contrast: Any = None, saturation: Any = None, hue: Any = None) -> None:
        super().__init__(brightness or 0, contrast or 0, saturation or 0, hue or 0)


class ElasticTransform(OfSamples, v1.ElasticTransform):
    """:class:`transforms.ElasticTransform` of samples."""


class FiveCrop(OfSamples, v1.FiveCrop):
    """:class:`transforms.FiveCrop` of samples."""


class GaussianBlur(OfSamples, v1.GaussianBlur):
    """:class:`transforms.GaussianBlur` of samples."""


class LinearTransformation(OfSamples, v1.LinearTransformation):
    """:class:`transforms.LinearTransformation` of samples."""


class Normalize(OfSamples, v1.Normalize):
    """:class:`transforms.Normalize` of samples."""

    def check_inputs(self, flat_inputs: list[Any]) -> None:
        if any(map(is_image, flat_inputs)):
            raise TypeError(f"{type(self).__name__}() does not support PIL images.")


class Pad(OfSamples, v1.Pad):
    """:class:`transforms.Pad` of samples."""


class RandomAdjustSharpness(OfSamples, v1.RandomAdjustSharpness):
    """:class:`transforms.RandomAdjustSharpness` of samples."""


class RandomAffine(OfSamples, v1.RandomAffine):
    """:class:`transforms.RandomAffine` of samples."""


class RandomAutocontrast(OfSamples, v1.RandomAutocontrast):
    """:class:`transforms.RandomAutocontrast` of samples."""


class RandomEqualize(OfSamples, v1.RandomEqualize):
    """:class:`transforms.RandomEqualize` of samples."""


class RandomErasing(OfSamples, v1.RandomErasing):
    """:class:`transforms.RandomErasing` of samples."""


class RandomGrayscale(OfSamples, v1.RandomGrayscale):
    """:class:`transforms.RandomGrayscale` of samples."""


class RandomHorizontalFlip(OfSamples, v1.RandomHorizontalFlip):
    """:class:`transforms.RandomHorizontalFlip` of samples."""


class RandomInvert(OfSamples, v1.RandomInvert):
    """:class:`transforms.RandomInvert` of samples."""


class RandomPerspective(OfSamples, v1.RandomPerspective):
    """:class:`transforms.RandomPerspective` of samples."""


class RandomPosterize(OfSamples, v1.RandomPosterize):
    """:class:`transforms.RandomPosterize` of samples."""


class RandomResizedCrop(OfSamples, v1.RandomResizedCrop):
    """:class:`transforms.RandomResizedCrop` of samples."""


class RandomRotation(OfSamples, v1.RandomRotation):
    """:class:`transforms.RandomRotation` of samples."""


class RandomSolarize(OfSamples, v1.RandomSolarize):
    """:class:`transforms.RandomSolarize` of samples."""


class RandomVerticalFlip(OfSamples, v1.RandomVerticalFlip):
    """:class:`transforms.RandomVerticalFlip` of samples."""


class Resize(OfSamples, v1.Resize):
    """:class:`transforms.Resize` of samples."""


class TenCrop(OfSamples, v1.TenCrop):
    """:class:`transforms.TenCrop` of samples."""
