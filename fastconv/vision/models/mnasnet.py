"""Layers found by search on phones (M. Tan et al., 2019), torchvision's MNASNet: its layers, names and seeds."""

from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.vision.models.weights import build, builder, file, weights_enum

__all__ = [
    "MNASNet",
    "MNASNet0_5_Weights",
    "MNASNet0_75_Weights",
    "MNASNet1_0_Weights",
    "MNASNet1_3_Weights",
    "mnasnet0_5",
    "mnasnet0_75",
    "mnasnet1_0",
    "mnasnet1_3",
]

MOMENTUM = 1 - 0.9997  # of batch normalisation, TensorFlow's


def _norm(channels: int) -> nn.BatchNorm2d:
    return nn.BatchNorm2d(channels, momentum=MOMENTUM)


class _InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a depthwise one, and a linear 1x1 one; a shortcut where shapes agree."""

    def __init__(self, in_ch: int, out_ch: int, kernel_size: int, stride: int, expansion_factor: int) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        if kernel_size not in (3, 5):
            raise ValueError(f"kernel_size should be 3 or 5 instead of {kernel_size}")
        mid = in_ch * expansion_factor
        self.apply_residual = in_ch == out_ch and stride == 1
        self.layers: nn.Sequential = nn.Sequential(
            nn.Conv2d(in_ch, mid, 1, bias=False),
            _norm(mid),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid, mid, kernel_size, stride, kernel_size // 2, groups=mid, bias=False),
            _norm(mid),
            nn.ReLU(inplace=True),
            nn.Conv2d(mid, out_ch, 1, bias=False),
            _norm(out_ch),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.layers(x) + x if self.apply_residual else self.layers(x)


def _stack(
    in_ch: int, out_ch: int, kernel_size: int, stride: int, expansion_factor: int, repeats: int
) -> nn.Sequential:
    """Blocks, the first of which may change the shape."""
    if repeats < 1:
        raise ValueError(f"repeats should be >= 1, instead got {repeats}")
    blocks = [_InvertedResidual(in_ch, out_ch, kernel_size, stride, expansion_factor)]
    blocks += [_InvertedResidual(out_ch, out_ch, kernel_size, 1, expansion_factor) for _ in range(1, repeats)]
    return nn.Sequential(*blocks)


def _depths(alpha: float) -> list[int]:
    """Channels times alpha, as multiples of 8, not much below."""
    depths = []
    for depth in (32, 16, 24, 40, 80, 96, 192, 320):
        value = depth * alpha
        nearest = max(8, int(value + 4) // 8 * 8)
        depths.append(nearest if nearest >= 0.9 * value else nearest + 8)
    return depths


class MNASNet(nn.Module):
    """MNASNet-B1, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    alpha : float
        Channels of all layers but the last, times this.
    num_classes : int
    dropout : float
        Share of the classifier's inputs that is dropped in training.
    """

    alpha: float
    num_classes: int

    _version = 2

    def __init__(self, alpha: float, num_classes: int = 1000, dropout: float = 0.2) -> None:
        super().__init__()
        if alpha <= 0.0:
            raise ValueError(f"alpha should be greater than 0.0 instead of {alpha}")
        self.alpha, self.num_classes = alpha, num_classes
        depths = _depths(alpha)
        self.layers: nn.Sequential = nn.Sequential(
            nn.Conv2d(3, depths[0], 3, padding=1, stride=2, bias=False),
            _norm(depths[0]),
            nn.ReLU(inplace=True),
            nn.Conv2d(depths[0], depths[0], 3, padding=1, stride=1, groups=depths[0], bias=False),
            _norm(depths[0]),
            nn.ReLU(inplace=True),
            nn.Conv2d(depths[0], depths[1], 1, padding=0, stride=1, bias=False),
            _norm(depths[1]),
            _stack(depths[1], depths[2], 3, 2, 3, 3),
            _stack(depths[2], depths[3], 5, 2, 3, 3),
            _stack(depths[3], depths[4], 5, 2, 6, 3),
            _stack(depths[4], depths[5], 3, 1, 6, 2),
            _stack(depths[5], depths[6], 5, 2, 6, 4),
            _stack(depths[6], depths[7], 3, 1, 6, 1),
            nn.Conv2d(depths[7], 1280, 1, padding=0, stride=1, bias=False),
            _norm(1280),
            nn.ReLU(inplace=True),
        )
        self.classifier: nn.Sequential = nn.Sequential(
            nn.Dropout(p=dropout, inplace=True), nn.Linear(1280, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            elif isinstance(module, nn.Linear):
                nn.init.kaiming_uniform_(module.weight, mode="fan_out", nonlinearity="sigmoid")
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.layers(x).mean([2, 3]))


MNASNet0_5_Weights: Any = weights_enum("MNASNet0_5", 2_218_512, 0.104, V1="mnasnet0.5_top1_67.823-3ffadce67e")
MNASNet0_75_Weights: Any = weights_enum("MNASNet0_75", 3_170_208, 0.215, V1=file("mnasnet0_75-7090bc5f", resize=232))
MNASNet1_0_Weights: Any = weights_enum("MNASNet1_0", 4_383_312, 0.314, V1="mnasnet1.0_top1_73.512-f206786ef8")
MNASNet1_3_Weights: Any = weights_enum("MNASNet1_3", 6_282_256, 0.526, V1=file("mnasnet1_3-a4c69d6f", resize=232))


@builder(MNASNet0_5_Weights)
def mnasnet0_5(*, weights: Any = None, progress: bool = True, **options: Any) -> MNASNet:
    """MNASNet of half the channels: `weights` are an :data:`MNASNet0_5_Weights` or None, `options` those of
    :class:`MNASNet`."""
    return build(MNASNet, weights, progress, {"alpha": 0.5, **options})


@builder(MNASNet0_75_Weights)
def mnasnet0_75(*, weights: Any = None, progress: bool = True, **options: Any) -> MNASNet:
    """MNASNet of three quarters of the channels; see :func:`mnasnet0_5`."""
    return build(MNASNet, weights, progress, {"alpha": 0.75, **options})


@builder(MNASNet1_0_Weights)
def mnasnet1_0(*, weights: Any = None, progress: bool = True, **options: Any) -> MNASNet:
    """MNASNet; see :func:`mnasnet0_5`."""
    return build(MNASNet, weights, progress, {"alpha": 1.0, **options})


@builder(MNASNet1_3_Weights)
def mnasnet1_3(*, weights: Any = None, progress: bool = True, **options: Any) -> MNASNet:
    """MNASNet of 1.3 times the channels; see :func:`mnasnet0_5`."""
    return build(MNASNet, weights, progress, {"alpha": 1.3, **options})
