"""Few parameters by 1x1 convolutions (F. Iandola et al., 2016), torchvision's: its layers, names and seeds."""

from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.functions import cat
from fastconv.vision.models.weights import build, builder, weights_enum

__all__ = ["SqueezeNet", "SqueezeNet1_0_Weights", "SqueezeNet1_1_Weights", "squeezenet1_0", "squeezenet1_1"]


class Fire(nn.Module):
    """A 1x1 convolution to few channels, then a 1x1 and a 3x3 one, each to its own part of the result."""

    def __init__(self, inplanes: int, squeeze_planes: int, expand1x1_planes: int, expand3x3_planes: int) -> None:
        super().__init__()
        self.squeeze: nn.Conv2d = nn.Conv2d(inplanes, squeeze_planes, 1)
        self.squeeze_activation: nn.ReLU = nn.ReLU(inplace=True)
        self.expand1x1: nn.Conv2d = nn.Conv2d(squeeze_planes, expand1x1_planes, 1)
        self.expand1x1_activation: nn.ReLU = nn.ReLU(inplace=True)
        self.expand3x3: nn.Conv2d = nn.Conv2d(squeeze_planes, expand3x3_planes, 3, padding=1)
        self.expand3x3_activation: nn.ReLU = nn.ReLU(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        x = self.squeeze_activation(self.squeeze(x))
        parts = self.expand1x1_activation(self.expand1x1(x)), self.expand3x3_activation(self.expand3x3(x))
        return cat(parts, 1)


# The first convolution, and of each Fire the channels of its three convolutions; None is a pooling.
PLANS = {
    "1_0": ((96, 7), (16, 64), (16, 64), (32, 128), None, (32, 128), (48, 192), (48, 192), (64, 256), None, (64, 256)),
    "1_1": ((64, 3), (16, 64), (16, 64), None, (32, 128), (32, 128), None, (48, 192), (48, 192), (64, 256), (64, 256)),
}


class SqueezeNet(nn.Module):
    """SqueezeNet, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    version : {"1_0", "1_1"}
    num_classes : int
    dropout : float
        Share of the classifier's inputs that is dropped in training.
    """

    def __init__(self, version: str = "1_0", num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        if version not in PLANS:
            raise ValueError(f"Unsupported SqueezeNet version {version}: 1_0 or 1_1 expected")
        self.num_classes = num_classes
        (channels, kernel), *plan = PLANS[version]
        layers: list[nn.Module] = [
            nn.Conv2d(3, channels, kernel, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2, ceil_mode=True),
        ]
        for step in plan:
            if step is None:
                layers.append(nn.MaxPool2d(3, 2, ceil_mode=True))
            else:
                layers.append(Fire(channels, step[0], step[1], step[1]))
                channels = 2 * step[1]
        self.features: nn.Sequential = nn.Sequential(*layers)
        final = nn.Conv2d(512, num_classes, 1)
        self.classifier: nn.Sequential = nn.Sequential(
            nn.Dropout(dropout), final, nn.ReLU(inplace=True), nn.AdaptiveAvgPool2d((1, 1))
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                if module is final:
                    nn.init.normal_(module.weight, 0.0, 0.01)
                else:
                    nn.init.kaiming_uniform_(module.weight)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.features(x)).flatten(1)


SqueezeNet1_0_Weights: Any = weights_enum("SqueezeNet1_0", 1_248_424, 0.819, least=21, V1="squeezenet1_0-b66bff10")
SqueezeNet1_1_Weights: Any = weights_enum("SqueezeNet1_1", 1_235_496, 0.349, least=17, V1="squeezenet1_1-b8a52dc0")


@builder(SqueezeNet1_0_Weights)
def squeezenet1_0(*, weights: Any = None, progress: bool = True, **options: Any) -> SqueezeNet:
    """SqueezeNet 1.0: `weights` are a :data:`SqueezeNet1_0_Weights` or None, `options` those of :class:`SqueezeNet`."""
    return build(SqueezeNet, weights, progress, {"version": "1_0", **options})


@builder(SqueezeNet1_1_Weights)
def squeezenet1_1(*, weights: Any = None, progress: bool = True, **options: Any) -> SqueezeNet:
    """SqueezeNet 1.1, of 0.4 of the operations of 1.0; see :func:`squeezenet1_0`."""
    return build(SqueezeNet, weights, progress, {"version": "1_1", **options})
