"""Inception modules (C. Szegedy et al., 2015), torchvision's GoogLeNet: its layers, names and seeds."""

import warnings
from typing import Any, NamedTuple

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.functions import cat
from fastconv.vision.models.blocks import BasicConv2d, from_imagenet
from fastconv.vision.models.weights import build, builder, expect, weights_enum

__all__ = ["GoogLeNet", "GoogLeNetOutputs", "GoogLeNet_Weights", "googlenet"]


class GoogLeNetOutputs(NamedTuple):
    """Scores, and those of the auxiliary classifiers."""

    logits: Tensor
    aux_logits2: Tensor | None
    aux_logits1: Tensor | None


class Inception(nn.Module):
    """Four branches side by side: 1x1; 1x1 and 3x3; 1x1 and 3x3 (the paper's 5x5); pooling and 1x1."""

    def __init__(
        self, in_channels: int, ch1x1: int, ch3x3red: int, ch3x3: int, ch5x5red: int, ch5x5: int, pool_proj: int
    ) -> None:
        super().__init__()
        self.branch1: BasicConv2d = BasicConv2d(in_channels, ch1x1, kernel_size=1)
        self.branch2: nn.Sequential = nn.Sequential(
            BasicConv2d(in_channels, ch3x3red, kernel_size=1), BasicConv2d(ch3x3red, ch3x3, kernel_size=3, padding=1)
        )
        # Torchvision's weights were trained with 3x3 here, by a slip that they have kept.
        self.branch3: nn.Sequential = nn.Sequential(
            BasicConv2d(in_channels, ch5x5red, kernel_size=1), BasicConv2d(ch5x5red, ch5x5, kernel_size=3, padding=1)
        )
        self.branch4: nn.Sequential = nn.Sequential(
            nn.MaxPool2d(3, 1, 1, ceil_mode=True), BasicConv2d(in_channels, pool_proj, kernel_size=1)
        )

    def forward(self, x: Tensor) -> Tensor:
        return cat([self.branch1(x), self.branch2(x), self.branch3(x), self.branch4(x)], 1)


class InceptionAux(nn.Module):
    """A classifier on features halfway, which is trained beside."""

    def __init__(self, in_channels: int, num_classes: int, dropout: float = 0.7) -> None:
        super().__init__()
        self.conv: BasicConv2d = BasicConv2d(in_channels, 128, kernel_size=1)
        self.fc1: nn.Linear = nn.Linear(2048, 1024)
        self.fc2: nn.Linear = nn.Linear(1024, num_classes)
        self.dropout: nn.Dropout = nn.Dropout(dropout)

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv(nn.functional.adaptive_avg_pool2d(x, (4, 4))).flatten(1)
        return self.fc2(self.dropout(nn.functional.relu(self.fc1(x), inplace=True)))


# Of each module its name and channels, in the order of the branches; None is a pooling.
MODULES = (
    ("inception3a", 192, 64, 96, 128, 16, 32, 32),
    ("inception3b", 256, 128, 128, 192, 32, 96, 64),
    ("inception4a", 480, 192, 96, 208, 16, 48, 64),
    ("inception4b", 512, 160, 112, 224, 24, 64, 64),
    ("inception4c", 512, 128, 128, 256, 24, 64, 64),
    ("inception4d", 512, 112, 144, 288, 32, 64, 64),
    ("inception4e", 528, 256, 160, 320, 32, 128, 128),
    ("inception5a", 832, 256, 160, 320, 32, 128, 128),
    ("inception5b", 832, 384, 192, 384, 48, 128, 128),
)


class GoogLeNet(nn.Module):
    """GoogLeNet (Inception v1), from (N, 3, H, W) to scores (N, num_classes); in training also the auxiliary ones.

    Parameters
    ----------
    num_classes : int
    aux_logits : bool
        Whether there are two auxiliary classifiers.
    transform_input : bool
        The input is normalised as ImageNet's images usually are, not to [-1, 1] as these weights expect.
    init_weights : bool, optional
        Draw the weights from a truncated normal distribution; by default so, with a warning as torchvision's.
    dropout, dropout_aux : float
    """

    aux_logits: bool
    transform_input: bool
    maxpool3: nn.MaxPool2d
    maxpool4: nn.MaxPool2d
    aux1: Any
    aux2: Any

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        init_weights: bool | None = None,
        blocks: Any = None,
        dropout: float = 0.2,
        dropout_aux: float = 0.7,
    ) -> None:
        super().__init__()
        if init_weights is None:
            warnings.warn(
                "The default weight initialization of GoogleNet will be changed in future releases of torchvision. If "
                "you wish to keep the old behavior (which leads to long initialization times), please set "
                "init_weights=True.",
                FutureWarning,
                stacklevel=2,
            )
            init_weights = True
        conv, inception, aux = (BasicConv2d, Inception, InceptionAux) if blocks is None else blocks
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.conv1: nn.Module = conv(3, 64, kernel_size=7, stride=2, padding=3)
        self.maxpool1: nn.MaxPool2d = nn.MaxPool2d(3, 2, ceil_mode=True)
        self.conv2: nn.Module = conv(64, 64, kernel_size=1)
        self.conv3: nn.Module = conv(64, 192, kernel_size=3, padding=1)
        self.maxpool2: nn.MaxPool2d = nn.MaxPool2d(3, 2, ceil_mode=True)
        for name, *channels in MODULES:
            self.add_module(name, inception(*channels))
            if name == "inception3b":
                self.maxpool3 = nn.MaxPool2d(3, 2, ceil_mode=True)
            elif name == "inception4e":
                self.maxpool4 = nn.MaxPool2d(2, 2, ceil_mode=True)
        self.aux1 = aux(512, num_classes, dropout=dropout_aux) if aux_logits else None
        self.aux2 = aux(528, num_classes, dropout=dropout_aux) if aux_logits else None
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        self.fc: nn.Linear = nn.Linear(1024, num_classes)
        if init_weights:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    nn.init.trunc_normal_(module.weight, mean=0.0, std=0.01, a=-2, b=2)

    def forward(self, x: Tensor) -> Any:
        x = from_imagenet(x) if self.transform_input else x
        x = self.maxpool2(self.conv3(self.conv2(self.maxpool1(self.conv1(x)))))
        x = self.inception4a(self.maxpool3(self.inception3b(self.inception3a(x))))
        asked = self.training and self.aux_logits
        aux1 = self.aux1(x) if asked else None
        x = self.inception4d(self.inception4c(self.inception4b(x)))
        aux2 = self.aux2(x) if asked else None
        x = self.inception5b(self.inception5a(self.maxpool4(self.inception4e(x))))
        y = self.fc(self.dropout(self.avgpool(x).flatten(1)))
        return GoogLeNetOutputs(y, aux2, aux1) if asked else y


GoogLeNet_Weights: Any = weights_enum("GoogLeNet", 6_624_904, 1.498, least=15, V1="googlenet-1378be20")


@builder(GoogLeNet_Weights)
def googlenet(*, weights: Any = None, progress: bool = True, **options: Any) -> GoogLeNet:
    """GoogLeNet: `weights` are a :data:`GoogLeNet_Weights` or None, `options` those of :class:`GoogLeNet`.

    The auxiliary classifiers of published weights have not been trained; they are left out but for ``aux_logits=True``.
    """
    return with_auxiliaries(GoogLeNet, weights, progress, options, ("aux1", "aux2"), kept=False)


def with_auxiliaries(
    network: Any, weights: Any, progress: bool, options: dict[str, Any], auxiliaries: tuple[str, ...], kept: bool
) -> Any:
    """A network whose published weights have auxiliary classifiers, which are `kept` or not unless options say."""
    if weights is None:
        return network(**options)
    asked = options.get("aux_logits", kept)
    options = {"transform_input": True, **expect(options, "init_weights", False), "aux_logits": True}
    model = build(network, weights, progress, options)
    if not asked:
        model.aux_logits = False
        for name in auxiliaries:
            setattr(model, name, None)
    return model
