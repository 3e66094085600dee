"""Halves of the channels, shuffled (N. Ma et al., 2018), torchvision's ShuffleNet v2: its layers, names and seeds."""

from collections.abc import Callable, Sequence
from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.functions import cat
from fastconv.vision.models.weights import build, builder, file, weights_enum

__all__ = [
    "ShuffleNetV2",
    "ShuffleNet_V2_X0_5_Weights",
    "ShuffleNet_V2_X1_0_Weights",
    "ShuffleNet_V2_X1_5_Weights",
    "ShuffleNet_V2_X2_0_Weights",
    "shufflenet_v2_x0_5",
    "shufflenet_v2_x1_0",
    "shufflenet_v2_x1_5",
    "shufflenet_v2_x2_0",
]


def channel_shuffle(x: Tensor, groups: int) -> Tensor:
    """The channels of the groups, one of each in turn."""
    n, channels, height, width = x.shape
    x = x.view(n, groups, channels // groups, height, width)
    return x.transpose(1, 2).contiguous().view(n, channels, height, width)


class InvertedResidual(nn.Module):
    """Half of the channels as they are (with a stride all, through a branch of their own), half through a branch.

    Parameters
    ----------
    inp, oup : int
        Channels of the input and the output.
    stride : int
        1, where both are alike, to 3.
    """

    stride: int

    def __init__(self, inp: int, oup: int, stride: int) -> None:
        super().__init__()
        if not 1 <= stride <= 3:
            raise ValueError("illegal stride value")
        self.stride, half = stride, oup // 2
        if stride == 1 and inp != half << 1:
            raise ValueError(f"stride 1 keeps the channels, got inp={inp} and oup={oup}")
        if stride > 1:
            self.branch1: nn.Sequential = nn.Sequential(
                nn.Conv2d(inp, inp, 3, stride, 1, bias=False, groups=inp),
                nn.BatchNorm2d(inp),
                nn.Conv2d(inp, half, 1, bias=False),
                nn.BatchNorm2d(half),
                nn.ReLU(inplace=True),
            )
        else:
            self.branch1: nn.Sequential = nn.Sequential()
        self.branch2: nn.Sequential = nn.Sequential(
            nn.Conv2d(inp if stride > 1 else half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
            nn.Conv2d(half, half, 3, stride, 1, bias=False, groups=half),
            nn.BatchNorm2d(half),
            nn.Conv2d(half, half, 1, bias=False),
            nn.BatchNorm2d(half),
            nn.ReLU(inplace=True),
        )

    def forward(self, x: Tensor) -> Tensor:
        if self.stride == 1:
            kept, x = x.chunk(2, dim=1)
        else:
            kept = self.branch1(x)
        return channel_shuffle(cat((kept, self.branch2(x)), 1), 2)


class ShuffleNetV2(nn.Module):
    """ShuffleNet v2, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    stages_repeats : sequence of 3 ints
        Blocks of the stages.
    stages_out_channels : sequence of 5 ints
        Channels of the first convolution, the stages and the last convolution.
    num_classes : int
    inverted_residual : callable
        Makes a block.
    """

    def __init__(
        self,
        stages_repeats: Sequence[int],
        stages_out_channels: Sequence[int],
        num_classes: int = 1000,
        inverted_residual: Callable[..., nn.Module] = InvertedResidual,
    ) -> None:
        super().__init__()
        if len(stages_repeats) != 3:
            raise ValueError("expected stages_repeats as list of 3 positive ints")
        if len(stages_out_channels) != 5:
            raise ValueError("expected stages_out_channels as list of 5 positive ints")
        first, *channels, last = stages_out_channels
        self.conv1: nn.Sequential = nn.Sequential(
            nn.Conv2d(3, first, 3, 2, 1, bias=False), nn.BatchNorm2d(first), nn.ReLU(inplace=True)
        )
        self.maxpool: nn.MaxPool2d = nn.MaxPool2d(3, 2, 1)
        for i, (repeats, outputs) in enumerate(zip(stages_repeats, channels, strict=True), 2):
            blocks = [inverted_residual(first, outputs, 2)]
            blocks += [inverted_residual(outputs, outputs, 1) for _ in range(repeats - 1)]
            self.add_module(f"stage{i}", nn.Sequential(*blocks))
            first = outputs
        self.conv5: nn.Sequential = nn.Sequential(
            nn.Conv2d(first, last, 1, bias=False), nn.BatchNorm2d(last), nn.ReLU(inplace=True)
        )
        self.fc: nn.Linear = nn.Linear(last, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(self.conv1(x))
        x = self.conv5(self.stage4(self.stage3(self.stage2(x))))
        return self.fc(x.mean([2, 3]))


ShuffleNet_V2_X0_5_Weights: Any = weights_enum("ShuffleNet_V2_X0_5", 1_366_792, 0.04, V1="shufflenetv2_x0.5-f707e7126e")
ShuffleNet_V2_X1_0_Weights: Any = weights_enum("ShuffleNet_V2_X1_0", 2_278_604, 0.145, V1="shufflenetv2_x1-5666bf0f80")
ShuffleNet_V2_X1_5_Weights: Any = weights_enum(
    "ShuffleNet_V2_X1_5", 3_503_624, 0.296, V1=file("shufflenetv2_x1_5-3c479a10", resize=232)
)
ShuffleNet_V2_X2_0_Weights: Any = weights_enum(
    "ShuffleNet_V2_X2_0", 7_393_996, 0.583, V1=file("shufflenetv2_x2_0-8be3c8ee", resize=232)
)


def _shufflenet(weights: Any, progress: bool, options: dict[str, Any], *channels: int) -> ShuffleNetV2:
    sizes = {"stages_repeats": (4, 8, 4), "stages_out_channels": channels}
    return build(ShuffleNetV2, weights, progress, {**sizes, **options})


@builder(ShuffleNet_V2_X0_5_Weights)
def shufflenet_v2_x0_5(*, weights: Any = None, progress: bool = True, **options: Any) -> ShuffleNetV2:
    """ShuffleNet v2 of half the channels: `weights` are a :data:`ShuffleNet_V2_X0_5_Weights` or None, `options` those
    of :class:`ShuffleNetV2`."""
    return _shufflenet(weights, progress, options, 24, 48, 96, 192, 1024)


@builder(ShuffleNet_V2_X1_0_Weights)
def shufflenet_v2_x1_0(*, weights: Any = None, progress: bool = True, **options: Any) -> ShuffleNetV2:
    """ShuffleNet v2; see :func:`shufflenet_v2_x0_5`."""
    return _shufflenet(weights, progress, options, 24, 116, 232, 464, 1024)


@builder(ShuffleNet_V2_X1_5_Weights)
def shufflenet_v2_x1_5(*, weights: Any = None, progress: bool = True, **options: Any) -> ShuffleNetV2:
    """ShuffleNet v2 of one and a half times the channels; see :func:`shufflenet_v2_x0_5`."""
    return _shufflenet(weights, progress, options, 24, 176, 352, 704, 1024)


@builder(ShuffleNet_V2_X2_0_Weights)
def shufflenet_v2_x2_0(*, weights: Any = None, progress: bool = True, **options: Any) -> ShuffleNetV2:
    """ShuffleNet v2 of twice the channels; see :func:`shufflenet_v2_x0_5`."""
    return _shufflenet(weights, progress, options, 24, 244, 488, 976, 2048)
