"""Transforms from images to tensors, with torchvision.transforms' names and semantics."""

from fastconv.vision.transforms import functional
from fastconv.vision.transforms.colors import ColorJitter, RandomGrayscale
from fastconv.vision.transforms.geometry import Pad, RandomResizedCrop, RandomRotation, RandomVerticalFlip
from fastconv.vision.transforms.transforms import (
    CenterCrop,
    Compose,
    Grayscale,
    InterpolationMode,
    Lambda,
    Normalize,
    RandomApply,
    RandomCrop,
    RandomHorizontalFlip,
    Resize,
    ToPILImage,
    ToTensor,
    batched,
)

__all__ = [
    "CenterCrop",
    "ColorJitter",
    "Compose",
    "Grayscale",
    "InterpolationMode",
    "Lambda",
    "Normalize",
    "Pad",
    "RandomApply",
    "RandomCrop",
    "RandomGrayscale",
    "RandomHorizontalFlip",
    "RandomResizedCrop",
    "RandomRotation",
    "RandomVerticalFlip",
    "Resize",
    "ToPILImage",
    "ToTensor",
    "batched",
    "functional",
]
