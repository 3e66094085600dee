"""Factorised convolutions (C. Szegedy et al., 2016), torchvision's Inception v3: its layers, names and seeds."""

import warnings
from typing import Any, NamedTuple

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.functions import cat
from fastconv.vision.models._googlenet import with_auxiliaries
from fastconv.vision.models.blocks import BasicConv2d, from_imagenet
from fastconv.vision.models.weights import builder, file, weights_enum

__all__ = ["Inception3", "InceptionOutputs", "Inception_V3_Weights", "inception_v3"]


class InceptionOutputs(NamedTuple):
    """Scores, and those of the auxiliary classifier."""

    logits: Tensor
    aux_logits: Tensor | None


def _pooled(x: Tensor) -> Tensor:
    return nn.functional.avg_pool2d(x, 3, 1, 1)


class InceptionA(nn.Module):
    """On 35x35 pixels: 1x1; 5x5; two 3x3; pooling."""

    def __init__(self, in_channels: int, pool_features: int, conv_block: Any = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch1x1: nn.Module = conv(in_channels, 64, kernel_size=1)
        self.branch5x5_1: nn.Module = conv(in_channels, 48, kernel_size=1)
        self.branch5x5_2: nn.Module = conv(48, 64, kernel_size=5, padding=2)
        self.branch3x3dbl_1: nn.Module = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2: nn.Module = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3: nn.Module = conv(96, 96, kernel_size=3, padding=1)
        self.branch_pool: nn.Module = conv(in_channels, pool_features, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        return cat(
            [
                self.branch1x1(x),
                self.branch5x5_2(self.branch5x5_1(x)),
                self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x))),
                self.branch_pool(_pooled(x)),
            ],
            1,
        )


class InceptionB(nn.Module):
    """From 35x35 to 17x17 pixels: 3x3; two 3x3; pooling."""

    def __init__(self, in_channels: int, conv_block: Any = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3: nn.Module = conv(in_channels, 384, kernel_size=3, stride=2)
        self.branch3x3dbl_1: nn.Module = conv(in_channels, 64, kernel_size=1)
        self.branch3x3dbl_2: nn.Module = conv(64, 96, kernel_size=3, padding=1)
        self.branch3x3dbl_3: nn.Module = conv(96, 96, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch3x3dbl_3(self.branch3x3dbl_2(self.branch3x3dbl_1(x)))
        return cat([self.branch3x3(x), double, nn.functional.max_pool2d(x, 3, 2)], 1)


class InceptionC(nn.Module):
    """On 17x17 pixels: 1x1; 7x7 and twice 7x7, as rows and columns; pooling."""

    def __init__(self, in_channels: int, channels_7x7: int, conv_block: Any = None) -> None:
        super().__init__()
        conv, c7 = conv_block or BasicConv2d, channels_7x7
        row: dict[str, Any] = {"kernel_size": (1, 7), "padding": (0, 3)}
        column: dict[str, Any] = {"kernel_size": (7, 1), "padding": (3, 0)}
        self.branch1x1: nn.Module = conv(in_channels, 192, kernel_size=1)
        self.branch7x7_1: nn.Module = conv(in_channels, c7, kernel_size=1)
        self.branch7x7_2: nn.Module = conv(c7, c7, **row)
        self.branch7x7_3: nn.Module = conv(c7, 192, **column)
        self.branch7x7dbl_1: nn.Module = conv(in_channels, c7, kernel_size=1)
        self.branch7x7dbl_2: nn.Module = conv(c7, c7, **column)
        self.branch7x7dbl_3: nn.Module = conv(c7, c7, **row)
        self.branch7x7dbl_4: nn.Module = conv(c7, c7, **column)
        self.branch7x7dbl_5: nn.Module = conv(c7, 192, **row)
        self.branch_pool: nn.Module = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        double = self.branch7x7dbl_3(self.branch7x7dbl_2(self.branch7x7dbl_1(x)))
        return cat(
            [
                self.branch1x1(x),
                self.branch7x7_3(self.branch7x7_2(self.branch7x7_1(x))),
                self.branch7x7dbl_5(self.branch7x7dbl_4(double)),
                self.branch_pool(_pooled(x)),
            ],
            1,
        )


class InceptionD(nn.Module):
    """From 17x17 to 8x8 pixels: 3x3; 7x7 and 3x3; pooling."""

    def __init__(self, in_channels: int, conv_block: Any = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.branch3x3_1: nn.Module = conv(in_channels, 192, kernel_size=1)
        self.branch3x3_2: nn.Module = conv(192, 320, kernel_size=3, stride=2)
        self.branch7x7x3_1: nn.Module = conv(in_channels, 192, kernel_size=1)
        self.branch7x7x3_2: nn.Module = conv(192, 192, kernel_size=(1, 7), padding=(0, 3))
        self.branch7x7x3_3: nn.Module = conv(192, 192, kernel_size=(7, 1), padding=(3, 0))
        self.branch7x7x3_4: nn.Module = conv(192, 192, kernel_size=3, stride=2)

    def forward(self, x: Tensor) -> Tensor:
        long = self.branch7x7x3_4(self.branch7x7x3_3(self.branch7x7x3_2(self.branch7x7x3_1(x))))
        return cat([self.branch3x3_2(self.branch3x3_1(x)), long, nn.functional.max_pool2d(x, 3, 2)], 1)


class InceptionE(nn.Module):
    """On 8x8 pixels: 1x1; 3x3, and twice 3x3, whose last ones are a row and a column side by side; pooling."""

    def __init__(self, in_channels: int, conv_block: Any = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        row: dict[str, Any] = {"kernel_size": (1, 3), "padding": (0, 1)}
        column: dict[str, Any] = {"kernel_size": (3, 1), "padding": (1, 0)}
        self.branch1x1: nn.Module = conv(in_channels, 320, kernel_size=1)
        self.branch3x3_1: nn.Module = conv(in_channels, 384, kernel_size=1)
        self.branch3x3_2a: nn.Module = conv(384, 384, **row)
        self.branch3x3_2b: nn.Module = conv(384, 384, **column)
        self.branch3x3dbl_1: nn.Module = conv(in_channels, 448, kernel_size=1)
        self.branch3x3dbl_2: nn.Module = conv(448, 384, kernel_size=3, padding=1)
        self.branch3x3dbl_3a: nn.Module = conv(384, 384, **row)
        self.branch3x3dbl_3b: nn.Module = conv(384, 384, **column)
        self.branch_pool: nn.Module = conv(in_channels, 192, kernel_size=1)

    def forward(self, x: Tensor) -> Tensor:
        short = self.branch3x3_1(x)
        double = self.branch3x3dbl_2(self.branch3x3dbl_1(x))
        return cat(
            [
                self.branch1x1(x),
                self.branch3x3_2a(short),
                self.branch3x3_2b(short),
                self.branch3x3dbl_3a(double),
                self.branch3x3dbl_3b(double),
                self.branch_pool(_pooled(x)),
            ],
            1,
        )


class InceptionAux(nn.Module):
    """A classifier on features of 17x17 pixels, which is trained beside."""

    def __init__(self, in_channels: int, num_classes: int, conv_block: Any = None) -> None:
        super().__init__()
        conv = conv_block or BasicConv2d
        self.conv0: nn.Module = conv(in_channels, 128, kernel_size=1)
        self.conv1: nn.Module = conv(128, 768, kernel_size=5)
        self.conv1.stddev = 0.01
        self.fc: nn.Linear = nn.Linear(768, num_classes)
        self.fc.stddev = 0.001

    def forward(self, x: Tensor) -> Tensor:
        x = self.conv1(self.conv0(nn.functional.avg_pool2d(x, 5, 3)))
        return self.fc(nn.functional.adaptive_avg_pool2d(x, (1, 1)).flatten(1))


class Inception3(nn.Module):
    """Inception v3, from (N, 3, 299, 299) to scores (N, num_classes); in training also the auxiliary ones.

    Parameters
    ----------
    num_classes : int
    aux_logits : bool
        Whether there is an auxiliary classifier; it takes images of 75 pixels or more a side.
    transform_input : bool
        The input is normalised as ImageNet's images usually are, not to [-1, 1] as these weights expect.
    inception_blocks : sequence of callables, optional
        What makes the convolutions, the modules A to E, and the auxiliary classifier.
    init_weights : bool, optional
        Draw the weights from a truncated normal distribution; by default so, with a warning as torchvision's.
    dropout : float
    """

    AuxLogits: Any
    aux_logits: bool
    transform_input: bool

    def __init__(
        self,
        num_classes: int = 1000,
        aux_logits: bool = True,
        transform_input: bool = False,
        inception_blocks: Any = None,
        init_weights: bool | None = None,
        dropout: float = 0.5,
    ) -> None:
        super().__init__()
        if init_weights is None:
            warnings.warn(
                "The default weight initialization of inception_v3 will be changed in future releases of torchvision. "
                "If you wish to keep the old behavior (which leads to long initialization times), please set "
                "init_weights=True.",
                FutureWarning,
                stacklevel=2,
            )
            init_weights = True
        blocks = (BasicConv2d, InceptionA, InceptionB, InceptionC, InceptionD, InceptionE, InceptionAux)
        conv, a, b, c, d, e, aux = blocks if inception_blocks is None else inception_blocks
        self.aux_logits, self.transform_input = aux_logits, transform_input
        self.Conv2d_1a_3x3: nn.Module = conv(3, 32, kernel_size=3, stride=2)
        self.Conv2d_2a_3x3: nn.Module = conv(32, 32, kernel_size=3)
        self.Conv2d_2b_3x3: nn.Module = conv(32, 64, kernel_size=3, padding=1)
        self.maxpool1: nn.MaxPool2d = nn.MaxPool2d(3, 2)
        self.Conv2d_3b_1x1: nn.Module = conv(64, 80, kernel_size=1)
        self.Conv2d_4a_3x3: nn.Module = conv(80, 192, kernel_size=3)
        self.maxpool2: nn.MaxPool2d = nn.MaxPool2d(3, 2)
        self.Mixed_5b: nn.Module = a(192, pool_features=32)
        self.Mixed_5c: nn.Module = a(256, pool_features=64)
        self.Mixed_5d: nn.Module = a(288, pool_features=64)
        self.Mixed_6a: nn.Module = b(288)
        self.Mixed_6b: nn.Module = c(768, channels_7x7=128)
        self.Mixed_6c: nn.Module = c(768, channels_7x7=160)
        self.Mixed_6d: nn.Module = c(768, channels_7x7=160)
        self.Mixed_6e: nn.Module = c(768, channels_7x7=192)
        self.AuxLogits = aux(768, num_classes) if aux_logits else None
        self.Mixed_7a: nn.Module = d(768)
        self.Mixed_7b: nn.Module = e(1280)
        self.Mixed_7c: nn.Module = e(2048)
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d((1, 1))
        self.dropout: nn.Dropout = nn.Dropout(dropout)
        self.fc: nn.Linear = nn.Linear(2048, num_classes)
        if init_weights:
            for module in self.modules():
                if isinstance(module, nn.Conv2d | nn.Linear):
                    std = float(getattr(module, "stddev", 0.1))
                    nn.init.trunc_normal_(module.weight, mean=0.0, std=std, a=-2, b=2)

    def forward(self, x: Tensor) -> Any:
        x = from_imagenet(x) if self.transform_input else x
        x = self.maxpool1(self.Conv2d_2b_3x3(self.Conv2d_2a_3x3(self.Conv2d_1a_3x3(x))))
        x = self.maxpool2(self.Conv2d_4a_3x3(self.Conv2d_3b_1x1(x)))
        x = self.Mixed_6a(self.Mixed_5d(self.Mixed_5c(self.Mixed_5b(x))))
        x = self.Mixed_6e(self.Mixed_6d(self.Mixed_6c(self.Mixed_6b(x))))
        asked = self.training and self.aux_logits
        aux = self.AuxLogits(x) if asked else None
        x = self.Mixed_7c(self.Mixed_7b(self.Mixed_7a(x)))
        y = self.fc(self.dropout(self.avgpool(x)).flatten(1))
        return InceptionOutputs(y, aux) if asked else y


Inception_V3_Weights: Any = weights_enum(
    "Inception_V3", 27_161_264, 5.713, least=75, V1=file("inception_v3_google-0cc3c7bd", crop=299, resize=342)
)


@builder(Inception_V3_Weights)
def inception_v3(*, weights: Any = None, progress: bool = True, **options: Any) -> Inception3:
    """Inception v3: `weights` are an :data:`Inception_V3_Weights` or None, `options` those of :class:`Inception3`."""
    return with_auxiliaries(Inception3, weights, progress, options, ("AuxLogits",), kept=True)
