"""Image data sets, transforms and networks, with torchvision's names."""

from fastconv.vision import datasets, io, models, ops, transforms, utils

__all__ = ["datasets", "io", "models", "ops", "transforms", "utils"]
