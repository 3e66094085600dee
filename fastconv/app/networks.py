"""The networks of the command, by their names, for images of any size."""

from typing import Any

from fastconv import nn
from fastconv.vision.models import small

__all__ = ["MODELS", "network"]

# Names of the command, and in fastconv.vision.models.small.
MODELS = {
    "digitsnet": "DigitsNet",
    "lenet": "LeNet",
    "convnet": "ConvNet",
    "vgg11": "vgg11",
    "vgg11_bn": "vgg11_bn",
    "resnet18": "resnet18",
}


def network(name: str, channels: int, image_size: int, classes: int) -> nn.Module:
    """The network of this name, with random weights, for square images of so many channels and pixels a side."""
    sizes: dict[str, Any] = {"in_channels": channels, "num_classes": classes}
    if name == "convnet":
        sizes["image_size"] = image_size
    return getattr(small, MODELS[name])(**sizes)
