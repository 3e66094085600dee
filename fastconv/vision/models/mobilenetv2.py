"""Depthwise convolutions between narrow layers (M. Sandler et al., 2018), torchvision's: its layers, names, seeds."""

from collections.abc import Callable, Sequence
from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.vision.models.blocks import make_divisible
from fastconv.vision.models.weights import build, builder, weights_enum
from fastconv.vision.ops import Conv2dNormActivation

__all__ = ["InvertedResidual", "MobileNetV2", "MobileNet_V2_Weights", "mobilenet_v2"]


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a depthwise one, and a linear 1x1 one to few; a shortcut where shapes agree.

    Parameters
    ----------
    inp, oup : int
        Channels of the input and the output.
    stride : int
        1 or 2.
    expand_ratio : int
        How many times `inp` channels lie between.
    norm_layer : callable, optional
        Makes a normalisation of so many channels; BatchNorm2d by default.
    """

    out_channels: int
    use_res_connect: bool

    def __init__(
        self,
        inp: int,
        oup: int,
        stride: int,
        expand_ratio: int,
        norm_layer: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        if stride not in (1, 2):
            raise ValueError(f"stride should be 1 or 2 instead of {stride}")
        norm, hidden = norm_layer or nn.BatchNorm2d, round(inp * expand_ratio)
        self.stride, self.out_channels = stride, oup
        self.use_res_connect = stride == 1 and inp == oup
        layers: list[nn.Module] = []
        options: dict[str, Any] = {"norm_layer": norm, "activation_layer": nn.ReLU6}
        if expand_ratio != 1:
            layers.append(Conv2dNormActivation(inp, hidden, kernel_size=1, **options))
        layers += [
            Conv2dNormActivation(hidden, hidden, stride=stride, groups=hidden, **options),
            nn.Conv2d(hidden, oup, 1, bias=False),
            norm(oup),
        ]
        self.conv: nn.Sequential = nn.Sequential(*layers)
        self._is_cn = stride > 1

    def forward(self, x: Tensor) -> Tensor:
        return x + self.conv(x) if self.use_res_connect else self.conv(x)


# Expansion, channels, blocks and first stride of each stage.
STAGES = ((1, 16, 1, 1), (6, 24, 2, 2), (6, 32, 3, 2), (6, 64, 4, 2), (6, 96, 3, 1), (6, 160, 3, 2), (6, 320, 1, 1))


class MobileNetV2(nn.Module):
    """MobileNet v2, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    num_classes : int
    width_mult : float
        Channels of all layers, times this.
    inverted_residual_setting : sequence of (expansion, channels, blocks, stride), optional
        The stages.
    round_nearest : int
        Channels are multiples of it.
    block, norm_layer : callable, optional
        :class:`InvertedResidual` and BatchNorm2d by default.
    dropout : float
        Share of the classifier's inputs that is dropped in training.
    """

    last_channel: int

    def __init__(
        self,
        num_classes: int = 1000,
        width_mult: float = 1.0,
        inverted_residual_setting: Sequence[Sequence[int]] | None = None,
        round_nearest: int = 8,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Callable[..., nn.Module] | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        block, norm = block or InvertedResidual, norm_layer or nn.BatchNorm2d
        stages = STAGES if inverted_residual_setting is None else inverted_residual_setting
        if not stages or len(stages[0]) != 4:
            raise ValueError(
                f"inverted_residual_setting should be non-empty or a 4-element list, got {inverted_residual_setting!r}"
            )
        channels = make_divisible(32 * width_mult, round_nearest)
        self.last_channel = make_divisible(1280 * max(1.0, width_mult), round_nearest)
        options: dict[str, Any] = {"norm_layer": norm, "activation_layer": nn.ReLU6}
        layers: list[nn.Module] = [Conv2dNormActivation(3, channels, stride=2, **options)]
        for expansion, width, blocks, first_stride in stages:
            outputs = make_divisible(width * width_mult, round_nearest)
            for i in range(blocks):
                stride = first_stride if i == 0 else 1
                layers.append(block(channels, outputs, stride, expand_ratio=expansion, norm_layer=norm))
                channels = outputs
        layers.append(Conv2dNormActivation(channels, self.last_channel, kernel_size=1, **options))
        self.features: nn.Sequential = nn.Sequential(*layers)
        self.classifier: nn.Sequential = nn.Sequential(nn.Dropout(dropout), nn.Linear(self.last_channel, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(nn.functional.adaptive_avg_pool2d(self.features(x), (1, 1)).flatten(1))


MobileNet_V2_Weights: Any = weights_enum(
    "MobileNet_V2", 3_504_872, 0.301, V1="mobilenet_v2-b0353104", V2="mobilenet_v2-7ebf99e0"
)


@builder(MobileNet_V2_Weights)
def mobilenet_v2(*, weights: Any = None, progress: bool = True, **options: Any) -> MobileNetV2:
    """MobileNet v2: `weights` are a :data:`MobileNet_V2_Weights` or None, `options` those of :class:`MobileNetV2`."""
    return build(MobileNetV2, weights, progress, options)
