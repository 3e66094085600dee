"""Image data sets, transforms and networks, with torchvision's names."""

from fastconv.vision import datasets, models, transforms, utils

__all__ = ["datasets", "models", "transforms", "utils"]
