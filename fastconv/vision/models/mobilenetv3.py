"""Searched layers with squeeze and excitation (A. Howard et al., 2019), torchvision's MobileNet v3."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.vision.models.blocks import make_divisible
from fastconv.vision.models.weights import build, builder, weights_enum
from fastconv.vision.ops import Conv2dNormActivation, SqueezeExcitation

__all__ = [
    "MobileNetV3",
    "MobileNet_V3_Large_Weights",
    "MobileNet_V3_Small_Weights",
    "mobilenet_v3_large",
    "mobilenet_v3_small",
]

Norm = Callable[..., nn.Module]


class InvertedResidualConfig(NamedTuple):
    """A block: its channels, kernel, expanded channels, whether it squeezes, its activation, stride and dilation."""

    input_channels: int
    kernel: int
    expanded_channels: int
    out_channels: int
    use_se: bool
    use_hs: bool
    stride: int
    dilation: int


class InvertedResidual(nn.Module):
    """A 1x1 convolution to more channels, a depthwise one, squeeze and excitation, and a linear 1x1 one."""

    out_channels: int
    use_res_connect: bool

    def __init__(self, cnf: InvertedResidualConfig, norm_layer: Norm) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        expanded = cnf.expanded_channels
        options: dict[str, Any] = {
            "norm_layer": norm_layer,
            "activation_layer": nn.Hardswish if cnf.use_hs else nn.ReLU,
        }
        layers: list[nn.Module] = []
        if expanded != cnf.input_channels:
            layers.append(Conv2dNormActivation(cnf.input_channels, expanded, kernel_size=1, **options))
        stride = 1 if cnf.dilation > 1 else cnf.stride
        layers.append(
            Conv2dNormActivation(
                *(expanded, expanded, cnf.kernel, stride),
                dilation=cnf.dilation,
                groups=expanded,
                **options,
            )
        )
        if cnf.use_se:
            squeezed = make_divisible(expanded // 4, 8)
            layers.append(SqueezeExcitation(expanded, squeezed, scale_activation=nn.Hardsigmoid))
        layers.append(
            Conv2dNormActivation(
                expanded, cnf.out_channels, kernel_size=1, norm_layer=norm_layer, activation_layer=None
            )
        )
        self.block: nn.Sequential = nn.Sequential(*layers)
        self.out_channels, self._is_cn = cnf.out_channels, cnf.stride > 1

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        return y + x if self.use_res_connect else y


class MobileNetV3(nn.Module):
    """MobileNet v3, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    inverted_residual_setting : sequence of InvertedResidualConfig
    last_channel : int
        Features between the classifier's two layers.
    num_classes : int
    block, norm_layer : callable, optional
        :class:`InvertedResidual`, and BatchNorm2d of eps 0.001 and momentum 0.01, by default.
    dropout : float
        Share of the last layer's inputs that is dropped in training.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[InvertedResidualConfig],
        last_channel: int,
        num_classes: int = 1000,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Norm | None = None,
        dropout: float = 0.2,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        block, norm = block or InvertedResidual, norm_layer or partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)
        options: dict[str, Any] = {"norm_layer": norm, "activation_layer": nn.Hardswish}
        first, last = inverted_residual_setting[0].input_channels, inverted_residual_setting[-1].out_channels
        layers: list[nn.Module] = [Conv2dNormActivation(3, first, kernel_size=3, stride=2, **options)]
        layers += [block(cnf, norm) for cnf in inverted_residual_setting]
        layers.append(Conv2dNormActivation(last, 6 * last, kernel_size=1, **options))
        self.features: nn.Sequential = nn.Sequential(*layers)
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d(1)
        self.classifier: nn.Sequential = nn.Sequential(
            nn.Linear(6 * last, last_channel),
            nn.Hardswish(inplace=True),
            nn.Dropout(p=dropout, inplace=True),
            nn.Linear(last_channel, num_classes),
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, 0, 0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


# Input channels, kernel, expanded channels, output channels, squeeze and excitation, hardswish, stride; those of the
# last stage are dilated, and narrower, if asked for.
LARGE = (
    (16, 3, 16, 16, False, False, 1),
    (16, 3, 64, 24, False, False, 2),
    (24, 3, 72, 24, False, False, 1),
    (24, 5, 72, 40, True, False, 2),
    (40, 5, 120, 40, True, False, 1),
    (40, 5, 120, 40, True, False, 1),
    (40, 3, 240, 80, False, True, 2),
    (80, 3, 200, 80, False, True, 1),
    (80, 3, 184, 80, False, True, 1),
    (80, 3, 184, 80, False, True, 1),
    (80, 3, 480, 112, True, True, 1),
    (112, 3, 672, 112, True, True, 1),
    (112, 5, 672, 160, True, True, 2),
    (160, 5, 960, 160, True, True, 1),
    (160, 5, 960, 160, True, True, 1),
)
SMALL = (
    (16, 3, 16, 16, True, False, 2),
    (16, 3, 72, 24, False, False, 2),
    (24, 3, 88, 24, False, False, 1),
    (24, 5, 96, 40, True, True, 2),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 240, 40, True, True, 1),
    (40, 5, 120, 48, True, True, 1),
    (48, 5, 144, 48, True, True, 1),
    (48, 5, 288, 96, True, True, 2),
    (96, 5, 576, 96, True, True, 1),
    (96, 5, 576, 96, True, True, 1),
)


def _setting(plan: Sequence, width_mult: float, reduced_tail: bool, dilated: bool) -> list[InvertedResidualConfig]:
    """The blocks of a plan; the last three are narrower or dilated, if asked for."""
    blocks = []
    for i, (inputs, kernel, expanded, outputs, squeeze, hard, stride) in enumerate(plan):
        tail = len(plan) - 3
        halve = 2 if reduced_tail else 1
        if i >= tail:
            outputs //= halve
        if i > tail:
            inputs, expanded = inputs // halve, expanded // halve
        widths = [make_divisible(c * width_mult, 8) for c in (inputs, expanded, outputs)]
        dilation = 2 if dilated and i >= tail else 1
        blocks.append(InvertedResidualConfig(widths[0], kernel, widths[1], widths[2], squeeze, hard, stride, dilation))
    return blocks


MobileNet_V3_Large_Weights: Any = weights_enum(
    "MobileNet_V3_Large", 5_483_032, 0.217, V1="mobilenet_v3_large-8738ca79", V2="mobilenet_v3_large-5c1a4163"
)
MobileNet_V3_Small_Weights: Any = weights_enum("MobileNet_V3_Small", 2_542_856, 0.057, V1="mobilenet_v3_small-047dcff4")


def _mobilenet(plan: Sequence, last: int, weights: Any, progress: bool, options: dict[str, Any]):
    width, tail = options.pop("width_mult", 1.0), options.pop("reduced_tail", False)
    setting = _setting(plan, width, tail, options.pop("dilated", False))
    sizes = {
        "inverted_residual_setting": setting,
        "last_channel": make_divisible(last // (2 if tail else 1) * width, 8),
    }
    return build(MobileNetV3, weights, progress, {**sizes, **options})


@builder(MobileNet_V3_Large_Weights)
def mobilenet_v3_large(*, weights: Any = None, progress: bool = True, **options: Any) -> MobileNetV3:
    """The larger MobileNet v3: `weights` are a :data:`MobileNet_V3_Large_Weights` or None, `options` those of
    :class:`MobileNetV3`, and `width_mult`, `reduced_tail` and `dilated`."""
    return _mobilenet(LARGE, 1280, weights, progress, options)


@builder(MobileNet_V3_Small_Weights)
def mobilenet_v3_small(*, weights: Any = None, progress: bool = True, **options: Any) -> MobileNetV3:
    """The smaller MobileNet v3; see :func:`mobilenet_v3_large`."""
    return _mobilenet(SMALL, 1024, weights, progress, options)
