"""Plain stacks of 3x3 convolutions (K. Simonyan, A. Zisserman, 2014), torchvision's: its layers, names and seeds."""

from collections.abc import Sequence
from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.vision.models.weights import build, builder, file, weights_enum

__all__ = [
    "VGG",
    "VGG11_Weights",
    "VGG13_Weights",
    "VGG16_Weights",
    "VGG19_Weights",
    "VGG11_BN_Weights",
    "VGG13_BN_Weights",
    "VGG16_BN_Weights",
    "VGG19_BN_Weights",
    "make_layers",
    "vgg11",
    "vgg13",
    "vgg16",
    "vgg19",
    "vgg11_bn",
    "vgg13_bn",
    "vgg16_bn",
    "vgg19_bn",
]

# Channels of the convolutions of each stage, after which comes a pooling.
STAGES = {
    "11": ((64,), (128,), (256, 256), (512, 512), (512, 512)),
    "13": ((64, 64), (128, 128), (256, 256), (512, 512), (512, 512)),
    "16": ((64, 64), (128, 128), (256,) * 3, (512,) * 3, (512,) * 3),
    "19": ((64, 64), (128, 128), (256,) * 4, (512,) * 4, (512,) * 4),
}


class VGG(nn.Module):
    """Convolutions, an average pooling to 7x7, and three linear layers, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    features : Module
        The convolutions, which end with 512 channels; :func:`make_layers` makes them.
    num_classes : int
    init_weights : bool
        Draw the weights as the authors did, not as the layers do by themselves.
    dropout : float
        Share of the classifier's inputs that is dropped in training.
    """

    def __init__(
        self, features: nn.Module, num_classes: int = 1000, init_weights: bool = True, dropout: float = 0.5
    ) -> None:
        super().__init__()
        self.features = features
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d((7, 7))
        self.classifier: nn.Sequential = nn.Sequential(
            nn.Linear(512 * 7 * 7, 4096),
            nn.ReLU(True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(True),
            nn.Dropout(dropout),
            nn.Linear(4096, num_classes),
        )
        if not init_weights:
            return
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
                nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def make_layers(cfg: Sequence[int | str], batch_norm: bool = False) -> nn.Sequential:
    """Convolutions of these numbers of channels, each with a ReLU, and a pooling for each "M"."""
    layers: list[nn.Module] = []
    channels = 3
    for step in cfg:
        if isinstance(step, str):
            layers.append(nn.MaxPool2d(2, 2))
            continue
        layers.append(nn.Conv2d(channels, step, 3, padding=1))
        if batch_norm:
            layers.append(nn.BatchNorm2d(step))
        layers.append(nn.ReLU(inplace=True))
        channels = step
    return nn.Sequential(*layers)


VGG11_Weights: Any = weights_enum("VGG11", 132_863_336, 7.609, least=32, V1="vgg11-8a719046")
VGG13_Weights: Any = weights_enum("VGG13", 133_047_848, 11.308, least=32, V1="vgg13-19584684")
VGG16_Weights: Any = weights_enum(
    "VGG16",
    138_357_544,
    15.47,
    least=32,
    V1="vgg16-397923af",
    FEATURES=file(
        "vgg16_features-amdegroot-88682ab5",
        mean=(0.48235, 0.45882, 0.40784),
        std=(0.00392156862745098, 0.00392156862745098, 0.00392156862745098),
    ),
)
VGG19_Weights: Any = weights_enum("VGG19", 143_667_240, 19.632, least=32, V1="vgg19-dcbb9e9d")
VGG11_BN_Weights: Any = weights_enum("VGG11_BN", 132_868_840, 7.609, least=32, V1="vgg11_bn-6002323d")
VGG13_BN_Weights: Any = weights_enum("VGG13_BN", 133_053_736, 11.308, least=32, V1="vgg13_bn-abd245e5")
VGG16_BN_Weights: Any = weights_enum("VGG16_BN", 138_365_992, 15.47, least=32, V1="vgg16_bn-6c64b313")
VGG19_BN_Weights: Any = weights_enum("VGG19_BN", 143_678_248, 19.632, least=32, V1="vgg19_bn-c79401a0")


def _vgg(stages: str, batch_norm: bool, weights: Any, progress: bool, options: dict[str, Any]) -> VGG:
    plan = [step for channels in STAGES[stages] for step in (*channels, "M")]
    return build(VGG, weights, progress, {"features": make_layers(plan, batch_norm), **options})


@builder(VGG11_Weights)
def vgg11(*, weights: Any = None, progress: bool = True, **options: Any) -> VGG:
    """VGG with 8 convolutions: `weights` are a :data:`VGG11_Weights` or None, `options` those of :class:`VGG`."""
    return _vgg("11", False, weights, progress, options)


@builder(VGG13_Weights)
def vgg13(*, weights: Any = None, progress: bool = True, **options: Any) -> VGG:
    """VGG with 10 convolutions; see :func:`vgg11`."""
    return _vgg("13", False, weights, progress, options)


@builder(VGG16_Weights)
def vgg16(*, weights: Any = None, progress: bool = True, **options: Any) -> VGG:
    """VGG with 13 convolutions; see :func:`vgg11`."""
    return _vgg("16", False, weights, progress, options)


@builder(VGG19_Weights)
def vgg19(*, weights: Any = None, progress: bool = True, **options: Any) -> VGG:
    """VGG with 16 convolutions; see :func:`vgg11`."""
    return _vgg("19", False, weights, progress, options)


@builder(VGG11_BN_Weights)
def vgg11_bn(*, weights: Any = None, progress: bool = True, **options: Any) -> VGG:
    """VGG with 8 convolutions, each followed by batch normalisation; see :func:`vgg11`."""
    return _vgg("11", True, weights, progress, options)


@builder(VGG13_BN_Weights)
def vgg13_bn(*, weights: Any = None, progress: bool = True, **options: Any) -> VGG:
    """VGG with 10 convolutions, each followed by batch normalisation; see :func:`vgg11`."""
    return _vgg("13", True, weights, progress, options)


@builder(VGG16_BN_Weights)
def vgg16_bn(*, weights: Any = None, progress: bool = True, **options: Any) -> VGG:
    """VGG with 13 convolutions, each followed by batch normalisation; see :func:`vgg11`."""
    return _vgg("16", True, weights, progress, options)


@builder(VGG19_BN_Weights)
def vgg19_bn(*, weights: Any = None, progress: bool = True, **options: Any) -> VGG:
    """VGG with 16 convolutions, each followed by batch normalisation; see :func:`vgg11`."""
    return _vgg("19", True, weights, progress, options)
