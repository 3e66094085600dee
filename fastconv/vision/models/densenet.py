"""Layers that see all layers before (G. Huang et al., 2017), torchvision's: its layers, names and seeds."""

import re
from collections import OrderedDict
from collections.abc import Sequence
from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.functions import cat
from fastconv.nn.fused import rectified
from fastconv.utils.checkpoint import checkpoint
from fastconv.vision.models.weights import build, builder, weights_enum

__all__ = [
    "DenseNet",
    "DenseNet121_Weights",
    "DenseNet161_Weights",
    "DenseNet169_Weights",
    "DenseNet201_Weights",
    "densenet121",
    "densenet161",
    "densenet169",
    "densenet201",
]


class _DenseLayer(nn.Module):
    """All features so far, normalised, through a 1x1 and a 3x3 convolution to `growth_rate` new ones."""

    def __init__(
        self, num_input_features: int, growth_rate: int, bn_size: int, drop_rate: float, memory_efficient: bool
    ) -> None:
        super().__init__()
        self.norm1: nn.BatchNorm2d = nn.BatchNorm2d(num_input_features)
        self.relu1: nn.ReLU = nn.ReLU(inplace=True)
        self.conv1: nn.Conv2d = nn.Conv2d(num_input_features, bn_size * growth_rate, 1, bias=False)
        self.norm2: nn.BatchNorm2d = nn.BatchNorm2d(bn_size * growth_rate)
        self.relu2: nn.ReLU = nn.ReLU(inplace=True)
        self.conv2: nn.Conv2d = nn.Conv2d(bn_size * growth_rate, growth_rate, 3, padding=1, bias=False)
        self.drop_rate = float(drop_rate)
        self.memory_efficient = memory_efficient

    def _bottleneck(self, *features: Tensor) -> Tensor:
        return self.conv1(rectified(self.norm1, self.relu1, cat(features, 1)))

    def forward(self, features: Sequence[Tensor]) -> Tensor:
        if self.memory_efficient and any(f.requires_grad for f in features):
            x = checkpoint(self._bottleneck, *features, use_reentrant=False)
        else:
            x = self._bottleneck(*features)
        y = self.conv2(rectified(self.norm2, self.relu2, x))
        return nn.functional.dropout(y, self.drop_rate, self.training) if self.drop_rate > 0 else y


class _DenseBlock(nn.ModuleDict):
    """Layers, each of which sees the features of all before."""

    def __init__(
        self,
        num_layers: int,
        num_input_features: int,
        bn_size: int,
        growth_rate: int,
        drop_rate: float,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        for i in range(num_layers):
            layer = _DenseLayer(num_input_features + i * growth_rate, growth_rate, bn_size, drop_rate, memory_efficient)
            self.add_module(f"denselayer{i + 1}", layer)

    def forward(self, x: Tensor) -> Tensor:
        features = [x]
        for layer in self.values():
            features.append(layer(features))
        return cat(features, 1)


def _transition(inputs: int, outputs: int) -> nn.Sequential:
    """Between blocks: fewer features, on half as many pixels a side."""
    return nn.Sequential(
        OrderedDict(
            norm=nn.BatchNorm2d(inputs),
            relu=nn.ReLU(inplace=True),
            conv=nn.Conv2d(inputs, outputs, 1, bias=False),
            pool=nn.AvgPool2d(2, 2),
        )
    )


class DenseNet(nn.Module):
    """DenseNet-BC, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    growth_rate : int
        Features that each layer adds.
    block_config : sequence of int
        Layers in each block.
    num_init_features : int
        Filters of the first convolution.
    bn_size : int
        Features between a layer's convolutions, in growth rates.
    drop_rate : float
        Share of a layer's result that is dropped in training.
    num_classes : int
    memory_efficient : bool
        Compute the joined features again in backward(), rather than keep them.
    """

    def __init__(
        self,
        growth_rate: int = 32,
        block_config: Sequence[int] = (6, 12, 24, 16),
        num_init_features: int = 64,
        bn_size: int = 4,
        drop_rate: float = 0,
        num_classes: int = 1000,
        memory_efficient: bool = False,
    ) -> None:
        super().__init__()
        self.features: nn.Sequential = nn.Sequential(
            OrderedDict(
                conv0=nn.Conv2d(3, num_init_features, 7, 2, 3, bias=False),
                norm0=nn.BatchNorm2d(num_init_features),
                relu0=nn.ReLU(inplace=True),
                pool0=nn.MaxPool2d(3, 2, 1),
            )
        )
        features = num_init_features
        for i, layers in enumerate(block_config, 1):
            block = _DenseBlock(layers, features, bn_size, growth_rate, drop_rate, memory_efficient)
            self.features.add_module(f"denseblock{i}", block)
            features += layers * growth_rate
            if i < len(block_config):
                self.features.add_module(f"transition{i}", _transition(features, features // 2))
                features //= 2
        self.features.add_module("norm5", nn.BatchNorm2d(features))
        self.classifier: nn.Linear = nn.Linear(features, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight)
            elif isinstance(module, nn.Linear):
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        x = nn.functional.relu(self.features(x))
        return self.classifier(nn.functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


DenseNet121_Weights: Any = weights_enum("DenseNet121", 7_978_856, 2.834, least=29, V1="densenet121-a639ec97")
DenseNet161_Weights: Any = weights_enum("DenseNet161", 28_681_000, 7.728, least=29, V1="densenet161-8d451a50")
DenseNet169_Weights: Any = weights_enum("DenseNet169", 14_149_480, 3.36, least=29, V1="densenet169-b2777c0a")
DenseNet201_Weights: Any = weights_enum("DenseNet201", 20_013_928, 4.291, least=29, V1="densenet201-c1103571")


def _renamed(state: dict) -> dict[str, Any]:
    """The published files say norm.1 for norm1, and so on."""
    old = re.compile(r"^(.*denselayer\d+\.(?:norm|relu|conv))\.((?:[12])\.(?:weight|bias|running_mean|running_var))$")
    return {old.sub(r"\1\2", name): value for name, value in state.items()}


def _densenet(weights: Any, progress: bool, options: dict[str, Any], **sizes: Any) -> DenseNet:
    return build(DenseNet, weights, progress, {**sizes, **options}, _renamed)


@builder(DenseNet121_Weights)
def densenet121(*, weights: Any = None, progress: bool = True, **options: Any) -> DenseNet:
    """DenseNet of 121 layers: `weights` are a :data:`DenseNet121_Weights` or None, `options` those of
    :class:`DenseNet`."""
    return _densenet(weights, progress, options)


@builder(DenseNet161_Weights)
def densenet161(*, weights: Any = None, progress: bool = True, **options: Any) -> DenseNet:
    """DenseNet of 161 layers, 48 features each; see :func:`densenet121`."""
    sizes = {"growth_rate": 48, "block_config": (6, 12, 36, 24), "num_init_features": 96}
    return _densenet(weights, progress, options, **sizes)


@builder(DenseNet169_Weights)
def densenet169(*, weights: Any = None, progress: bool = True, **options: Any) -> DenseNet:
    """DenseNet of 169 layers; see :func:`densenet121`."""
    return _densenet(weights, progress, options, block_config=(6, 12, 32, 32))


@builder(DenseNet201_Weights)
def densenet201(*, weights: Any = None, progress: bool = True, **options: Any) -> DenseNet:
    """DenseNet of 201 layers; see :func:`densenet121`."""
    return _densenet(weights, progress, options, block_config=(6, 12, 48, 32))
