"""Depth, width and size scaled together (M. Tan and Q. Le, 2019 and 2021), torchvision's EfficientNet and its v2."""

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.vision.models.blocks import make_divisible
from fastconv.vision.models.weights import build, builder, file, weights_enum
from fastconv.vision.ops import Conv2dNormActivation, SqueezeExcitation, StochasticDepth

__all__ = [
    "EfficientNet",
    "EfficientNet_B0_Weights",
    "EfficientNet_B1_Weights",
    "EfficientNet_B2_Weights",
    "EfficientNet_B3_Weights",
    "EfficientNet_B4_Weights",
    "EfficientNet_B5_Weights",
    "EfficientNet_B6_Weights",
    "EfficientNet_B7_Weights",
    "EfficientNet_V2_L_Weights",
    "EfficientNet_V2_M_Weights",
    "EfficientNet_V2_S_Weights",
    "efficientnet_b0",
    "efficientnet_b1",
    "efficientnet_b2",
    "efficientnet_b3",
    "efficientnet_b4",
    "efficientnet_b5",
    "efficientnet_b6",
    "efficientnet_b7",
    "efficientnet_v2_l",
    "efficientnet_v2_m",
    "efficientnet_v2_s",
]

Norm = Callable[..., nn.Module]


class Stage(NamedTuple):
    """Blocks of one kind: expansion, kernel, first stride, channels in and out, how many, and whether fused."""

    expand_ratio: float
    kernel: int
    stride: int
    input_channels: int
    out_channels: int
    num_layers: int
    fused: bool = False


class MBConv(nn.Module):
    """A 1x1 convolution to more channels, a depthwise one, squeeze and excitation, and a linear 1x1 one."""

    out_channels: int
    use_res_connect: bool

    def __init__(self, cnf: Stage, stochastic_depth_prob: float, norm_layer: Norm) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        expanded = make_divisible(cnf.input_channels * cnf.expand_ratio, 8)
        options: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": nn.SiLU}
        layers: list[nn.Module] = []
        if expanded != cnf.input_channels:
            layers.append(Conv2dNormActivation(cnf.input_channels, expanded, kernel_size=1, **options))
        layers += [
            Conv2dNormActivation(expanded, expanded, cnf.kernel, cnf.stride, groups=expanded, **options),
            SqueezeExcitation(expanded, max(1, cnf.input_channels // 4), activation=partial(nn.SiLU, inplace=True)),
            _linear(expanded, cnf.out_channels, norm_layer),
        ]
        self.block: nn.Sequential = nn.Sequential(*layers)
        self.stochastic_depth: StochasticDepth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        return self.stochastic_depth(y) + x if self.use_res_connect else y


class FusedMBConv(nn.Module):
    """A convolution to more channels, and a linear 1x1 one, or without expansion one convolution."""

    out_channels: int
    use_res_connect: bool

    def __init__(self, cnf: Stage, stochastic_depth_prob: float, norm_layer: Norm) -> None:
        super().__init__()
        if not 1 <= cnf.stride <= 2:
            raise ValueError("illegal stride value")
        self.use_res_connect = cnf.stride == 1 and cnf.input_channels == cnf.out_channels
        expanded = make_divisible(cnf.input_channels * cnf.expand_ratio, 8)
        widened = expanded != cnf.input_channels
        channels = expanded if widened else cnf.out_channels
        layers: list[nn.Module] = [
            Conv2dNormActivation(
                *(cnf.input_channels, channels, cnf.kernel, cnf.stride),
                norm_layer=norm_layer,
                activation_layer=nn.SiLU,
            )
        ]
        if widened:
            layers.append(_linear(expanded, cnf.out_channels, norm_layer))
        self.block: nn.Sequential = nn.Sequential(*layers)
        self.stochastic_depth: StochasticDepth = StochasticDepth(stochastic_depth_prob, "row")
        self.out_channels = cnf.out_channels

    def forward(self, x: Tensor) -> Tensor:
        y = self.block(x)
        return self.stochastic_depth(y) + x if self.use_res_connect else y


def _linear(inputs: int, outputs: int, norm_layer: Norm) -> nn.Module:
    return Conv2dNormActivation(inputs, outputs, kernel_size=1, norm_layer=norm_layer, activation_layer=None)


class EfficientNet(nn.Module):
    """EfficientNet, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    inverted_residual_setting : sequence of Stage
    dropout : float
        Share of the classifier's inputs that is dropped in training.
    stochastic_depth_prob : float
        Probability to skip the last block of an image in training; those before less, in proportion.
    num_classes : int
    norm_layer : callable, optional
        Makes a normalisation of so many channels; BatchNorm2d by default.
    last_channel : int, optional
        Features of the last convolution; four times those before by default.
    """

    def __init__(
        self,
        inverted_residual_setting: Sequence[Stage],
        dropout: float,
        stochastic_depth_prob: float = 0.2,
        num_classes: int = 1000,
        norm_layer: Norm | None = None,
        last_channel: int | None = None,
    ) -> None:
        super().__init__()
        if not inverted_residual_setting:
            raise ValueError("The inverted_residual_setting should not be empty")
        norm = norm_layer or nn.BatchNorm2d
        options: dict[str, Any] = {"norm_layer": norm, "activation_layer": nn.SiLU}
        first, last = inverted_residual_setting[0].input_channels, inverted_residual_setting[-1].out_channels
        layers: list[nn.Module] = [Conv2dNormActivation(3, first, kernel_size=3, stride=2, **options)]
        total, done = sum(stage.num_layers for stage in inverted_residual_setting), 0
        for stage in inverted_residual_setting:
            blocks: list[nn.Module] = []
            for i in range(stage.num_layers):
                cnf = stage._replace(input_channels=stage.out_channels, stride=1) if i else stage
                block = FusedMBConv if stage.fused else MBConv
                blocks.append(block(cnf, stochastic_depth_prob * float(done) / total, norm))
                done += 1
            layers.append(nn.Sequential(*blocks))
        features = last_channel if last_channel is not None else 4 * last
        layers.append(Conv2dNormActivation(last, features, kernel_size=1, **options))
        self.features: nn.Sequential = nn.Sequential(*layers)
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d(1)
        self.classifier: nn.Sequential = nn.Sequential(
            nn.Dropout(p=dropout, inplace=True), nn.Linear(features, num_classes)
        )
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out")
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
            elif isinstance(module, nn.Linear):
                reach = 1.0 / math.sqrt(module.out_features)
                nn.init.uniform_(module.weight, -reach, reach)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


def _stages(width: float, depth: float) -> list[Stage]:
    """The stages of b0, widened and deepened."""
    plan = (
        (1, 3, 1, 32, 16, 1),
        (6, 3, 2, 16, 24, 2),
        (6, 5, 2, 24, 40, 2),
        (6, 3, 2, 40, 80, 3),
        (6, 5, 1, 80, 112, 3),
        (6, 5, 2, 112, 192, 4),
        (6, 3, 1, 192, 320, 1),
    )
    return [
        Stage(expand, kernel, stride, make_divisible(i * width, 8), make_divisible(o * width, 8), math.ceil(n * depth))
        for expand, kernel, stride, i, o, n in plan
    ]


V2 = {
    "s": (
        Stage(1, 3, 1, 24, 24, 2, True),
        Stage(4, 3, 2, 24, 48, 4, True),
        Stage(4, 3, 2, 48, 64, 4, True),
        Stage(4, 3, 2, 64, 128, 6),
        Stage(6, 3, 1, 128, 160, 9),
        Stage(6, 3, 2, 160, 256, 15),
    ),
    "m": (
        Stage(1, 3, 1, 24, 24, 3, True),
        Stage(4, 3, 2, 24, 48, 5, True),
        Stage(4, 3, 2, 48, 80, 5, True),
        Stage(4, 3, 2, 80, 160, 7),
        Stage(6, 3, 1, 160, 176, 14),
        Stage(6, 3, 2, 176, 304, 18),
        Stage(6, 3, 1, 304, 512, 5),
    ),
    "l": (
        Stage(1, 3, 1, 32, 32, 4, True),
        Stage(4, 3, 2, 32, 64, 7, True),
        Stage(4, 3, 2, 64, 96, 7, True),
        Stage(4, 3, 2, 96, 192, 10),
        Stage(6, 3, 1, 192, 224, 19),
        Stage(6, 3, 2, 224, 384, 25),
        Stage(6, 3, 1, 384, 640, 7),
    ),
}

EfficientNet_B0_Weights: Any = weights_enum(
    "EfficientNet_B0", 5_288_548, 0.386, V1=file("efficientnet_b0_rwightman-7f5810bc", bicubic=True)
)
EfficientNet_B1_Weights: Any = weights_enum(
    "EfficientNet_B1",
    7_794_184,
    0.687,
    V1=file("efficientnet_b1_rwightman-bac287d4", crop=240, bicubic=True),
    V2=file("efficientnet_b1-c27df63c", crop=240, resize=255),
)
EfficientNet_B2_Weights: Any = weights_enum(
    "EfficientNet_B2",
    9_109_994,
    1.088,
    V1=file("efficientnet_b2_rwightman-c35c1473", crop=288, resize=288, bicubic=True),
)
EfficientNet_B3_Weights: Any = weights_enum(
    "EfficientNet_B3",
    12_233_232,
    1.827,
    V1=file("efficientnet_b3_rwightman-b3899882", crop=300, resize=320, bicubic=True),
)
EfficientNet_B4_Weights: Any = weights_enum(
    "EfficientNet_B4",
    19_341_616,
    4.394,
    V1=file("efficientnet_b4_rwightman-23ab8bcd", crop=380, resize=384, bicubic=True),
)
EfficientNet_B5_Weights: Any = weights_enum(
    "EfficientNet_B5",
    30_389_784,
    10.266,
    V1=file("efficientnet_b5_lukemelas-1a07897c", crop=456, resize=456, bicubic=True),
)
EfficientNet_B6_Weights: Any = weights_enum(
    "EfficientNet_B6",
    43_040_704,
    19.068,
    V1=file("efficientnet_b6_lukemelas-24a108a5", crop=528, resize=528, bicubic=True),
)
EfficientNet_B7_Weights: Any = weights_enum(
    "EfficientNet_B7",
    66_347_960,
    37.746,
    V1=file("efficientnet_b7_lukemelas-c5b4e57e", crop=600, resize=600, bicubic=True),
)
EfficientNet_V2_S_Weights: Any = weights_enum(
    "EfficientNet_V2_S", 21_458_488, 8.366, least=33, V1=file("efficientnet_v2_s-dd5fe13b", crop=384, resize=384)
)
EfficientNet_V2_M_Weights: Any = weights_enum(
    "EfficientNet_V2_M", 54_139_356, 24.582, least=33, V1=file("efficientnet_v2_m-dc08266a", crop=480, resize=480)
)
EfficientNet_V2_L_Weights: Any = weights_enum(
    "EfficientNet_V2_L",
    118_515_272,
    56.08,
    least=33,
    V1=file(
        "efficientnet_v2_l-59c71312",
        crop=480,
        resize=480,
        bicubic=True,
        mean=(0.5, 0.5, 0.5),
        std=(0.5, 0.5, 0.5),
    ),
)


def _scaled(
    width: float, depth: float, dropout: float, weights: Any, progress: bool, options: dict[str, Any], **more: Any
) -> EfficientNet:
    sizes = {"inverted_residual_setting": _stages(width, depth), "dropout": dropout}
    return build(EfficientNet, weights, progress, {**sizes, **more, **options})


def _v2(size: str, dropout: float, weights: Any, progress: bool, options: dict[str, Any]) -> EfficientNet:
    norm = partial(nn.BatchNorm2d, eps=0.001)
    sizes = {"inverted_residual_setting": V2[size], "dropout": dropout, "last_channel": 1280, "norm_layer": norm}
    return build(EfficientNet, weights, progress, {**sizes, **options})


# Of the larger ones, whose weights were trained by others.
NORM = partial(nn.BatchNorm2d, eps=0.001, momentum=0.01)


@builder(EfficientNet_B0_Weights)
def efficientnet_b0(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet b0: `weights` are an :data:`EfficientNet_B0_Weights` or None, `options` those of
    :class:`EfficientNet`."""
    return _scaled(1.0, 1.0, 0.2, weights, progress, options)


@builder(EfficientNet_B1_Weights)
def efficientnet_b1(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet b1, 1.0 times as wide and 1.1 times as deep; see :func:`efficientnet_b0`."""
    return _scaled(1.0, 1.1, 0.2, weights, progress, options)


@builder(EfficientNet_B2_Weights)
def efficientnet_b2(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet b2, 1.1 times as wide and 1.2 times as deep; see :func:`efficientnet_b0`."""
    return _scaled(1.1, 1.2, 0.3, weights, progress, options)


@builder(EfficientNet_B3_Weights)
def efficientnet_b3(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet b3, 1.2 times as wide and 1.4 times as deep; see :func:`efficientnet_b0`."""
    return _scaled(1.2, 1.4, 0.3, weights, progress, options)


@builder(EfficientNet_B4_Weights)
def efficientnet_b4(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet b4, 1.4 times as wide and 1.8 times as deep; see :func:`efficientnet_b0`."""
    return _scaled(1.4, 1.8, 0.4, weights, progress, options)


@builder(EfficientNet_B5_Weights)
def efficientnet_b5(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet b5, 1.6 times as wide and 2.2 times as deep; see :func:`efficientnet_b0`."""
    return _scaled(1.6, 2.2, 0.4, weights, progress, options, norm_layer=NORM)


@builder(EfficientNet_B6_Weights)
def efficientnet_b6(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet b6, 1.8 times as wide and 2.6 times as deep; see :func:`efficientnet_b0`."""
    return _scaled(1.8, 2.6, 0.5, weights, progress, options, norm_layer=NORM)


@builder(EfficientNet_B7_Weights)
def efficientnet_b7(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet b7, 2.0 times as wide and 3.1 times as deep; see :func:`efficientnet_b0`."""
    return _scaled(2.0, 3.1, 0.5, weights, progress, options, norm_layer=NORM)


@builder(EfficientNet_V2_S_Weights)
def efficientnet_v2_s(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet v2, the small one; see :func:`efficientnet_b0`."""
    return _v2("s", 0.2, weights, progress, options)


@builder(EfficientNet_V2_M_Weights)
def efficientnet_v2_m(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet v2, the medium one; see :func:`efficientnet_b0`."""
    return _v2("m", 0.3, weights, progress, options)


@builder(EfficientNet_V2_L_Weights)
def efficientnet_v2_l(*, weights: Any = None, progress: bool = True, **options: Any) -> EfficientNet:
    """EfficientNet v2, the large one; see :func:`efficientnet_b0`."""
    return _v2("l", 0.4, weights, progress, options)
