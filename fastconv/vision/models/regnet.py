"""Widths on a line, in stages (I. Radosavovic et al., 2020), torchvision's RegNet: its layers, names and seeds."""

import math
from collections import OrderedDict
from collections.abc import Callable
from typing import Any, NamedTuple

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.vision.models.blocks import make_divisible
from fastconv.vision.models.weights import build, builder, file, weights_enum
from fastconv.vision.ops import Conv2dNormActivation, SqueezeExcitation

__all__ = [
    "RegNet",
    "RegNet_Y_400MF_Weights",
    "regnet_y_400mf",
    "RegNet_Y_800MF_Weights",
    "regnet_y_800mf",
    "RegNet_Y_1_6GF_Weights",
    "regnet_y_1_6gf",
    "RegNet_Y_3_2GF_Weights",
    "regnet_y_3_2gf",
    "RegNet_Y_8GF_Weights",
    "regnet_y_8gf",
    "RegNet_Y_16GF_Weights",
    "regnet_y_16gf",
    "RegNet_Y_32GF_Weights",
    "regnet_y_32gf",
    "RegNet_Y_128GF_Weights",
    "regnet_y_128gf",
    "RegNet_X_400MF_Weights",
    "regnet_x_400mf",
    "RegNet_X_800MF_Weights",
    "regnet_x_800mf",
    "RegNet_X_1_6GF_Weights",
    "regnet_x_1_6gf",
    "RegNet_X_3_2GF_Weights",
    "regnet_x_3_2gf",
    "RegNet_X_8GF_Weights",
    "regnet_x_8gf",
    "RegNet_X_16GF_Weights",
    "regnet_x_16gf",
    "RegNet_X_32GF_Weights",
    "regnet_x_32gf",
]

Norm = Callable[..., nn.Module]


class Plan(NamedTuple):
    """What decides the blocks of a RegNet: depth, initial width, slope, quantisation, group width, squeeze ratio."""

    depth: int
    w_0: int
    w_a: float
    w_m: float
    group_width: int
    se_ratio: float | None = None

    def stages(self) -> list[tuple[int, int, int]]:
        """Of each stage the width, the number of blocks and the width of a group.

        Block i is ``w_0 + w_a * i`` wide, brought to the nearest ``w_0 * w_m ** k``, and to multiples of 8; blocks of
        one width are a stage, whose width is then made a multiple of its groups'.
        """
        if self.w_a < 0 or self.w_0 <= 0 or self.w_m <= 1 or self.w_0 % 8 != 0:
            raise ValueError(f"Invalid RegNet settings: {self}")
        widths = []
        for i in range(self.depth):
            capacity = round(math.log((self.w_0 + self.w_a * i) / self.w_0) / math.log(self.w_m))
            widths.append(int(round(self.w_0 * self.w_m**capacity / 8) * 8))
        stages = []
        for width in sorted(set(widths)):
            group = min(self.group_width, width)
            stages.append((make_divisible(width, group), widths.count(width), group))
        return stages


class ResBottleneckBlock(nn.Module):
    """1x1, grouped 3x3 (with squeeze and excitation, if asked for), 1x1, and a shortcut."""

    activation: Any

    def __init__(
        self,
        width_in: int,
        width_out: int,
        stride: int,
        norm_layer: Norm,
        activation_layer: Callable[..., nn.Module],
        group_width: int = 1,
        se_ratio: float | None = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": activation_layer}
        plain: dict[str, Any] = {"norm_layer": norm_layer, "activation_layer": None}
        self.proj = None
        if width_in != width_out or stride != 1:
            self.proj: Conv2dNormActivation = Conv2dNormActivation(
                width_in, width_out, kernel_size=1, stride=stride, **plain
            )
        layers = OrderedDict(
            a=Conv2dNormActivation(width_in, width_out, kernel_size=1, stride=1, **options),
            b=Conv2dNormActivation(
                width_out, width_out, kernel_size=3, stride=stride, groups=width_out // group_width, **options
            ),
        )
        if se_ratio:
            layers["se"] = SqueezeExcitation(width_out, round(se_ratio * width_in), activation=activation_layer)
        layers["c"] = Conv2dNormActivation(width_out, width_out, kernel_size=1, stride=1, **plain)
        self.f: nn.Sequential = nn.Sequential(layers)
        self.activation = activation_layer(inplace=True)

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.proj is None else self.proj(x)
        return self.activation(shortcut + self.f(x))


class RegNet(nn.Module):
    """A RegNet, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    block_params : Plan
    num_classes : int
    stem_width : int
        Filters of the first convolution.
    norm_layer, activation : callable, optional
        BatchNorm2d and ReLU by default.
    """

    def __init__(
        self,
        block_params: Plan,
        num_classes: int = 1000,
        stem_width: int = 32,
        norm_layer: Norm | None = None,
        activation: Callable[..., nn.Module] | None = None,
    ) -> None:
        super().__init__()
        options: dict[str, Any] = {
            "norm_layer": norm_layer or nn.BatchNorm2d,
            "activation_layer": activation or nn.ReLU,
        }
        self.stem: Conv2dNormActivation = Conv2dNormActivation(3, stem_width, kernel_size=3, stride=2, **options)
        width, stages = stem_width, OrderedDict()
        for i, (outputs, depth, group) in enumerate(block_params.stages(), 1):
            blocks = OrderedDict()
            for j in range(depth):
                blocks[f"block{i}-{j}"] = ResBottleneckBlock(
                    outputs if j else width,
                    outputs,
                    1 if j else 2,
                    group_width=group,
                    se_ratio=block_params.se_ratio,
                    **options,
                )
            stages[f"block{i}"], width = nn.Sequential(blocks), outputs
        self.trunk_output: nn.Sequential = nn.Sequential(stages)
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d((1, 1))
        self.fc: nn.Linear = nn.Linear(width, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                # As the authors: by the fan out of a convolution without groups.
                fan_out = module.kernel_size[0] * module.kernel_size[1] * module.out_channels
                nn.init.normal_(module.weight, mean=0.0, std=math.sqrt(2.0 / fan_out))
            elif isinstance(module, nn.Linear):
                nn.init.normal_(module.weight, mean=0.0, std=0.01)
                nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.fc(self.avgpool(self.trunk_output(self.stem(x))).flatten(1))


RegNet_Y_400MF_Weights: Any = weights_enum(
    "RegNet_Y_400MF", 4_344_144, 0.402, V1="regnet_y_400mf-c65dace8", V2="regnet_y_400mf-e6988f5f"
)
RegNet_Y_800MF_Weights: Any = weights_enum(
    "RegNet_Y_800MF", 6_432_512, 0.834, V1="regnet_y_800mf-1b27b58c", V2="regnet_y_800mf-58fc7688"
)
RegNet_Y_1_6GF_Weights: Any = weights_enum(
    "RegNet_Y_1_6GF", 11_202_430, 1.612, V1="regnet_y_1_6gf-b11a554e", V2="regnet_y_1_6gf-0d7bc02a"
)
RegNet_Y_3_2GF_Weights: Any = weights_enum(
    "RegNet_Y_3_2GF", 19_436_338, 3.176, V1="regnet_y_3_2gf-b5a9779c", V2="regnet_y_3_2gf-9180c971"
)
RegNet_Y_8GF_Weights: Any = weights_enum(
    "RegNet_Y_8GF", 39_381_472, 8.473, V1="regnet_y_8gf-d0d0e4a8", V2="regnet_y_8gf-dc2b1b54"
)
RegNet_Y_16GF_Weights: Any = weights_enum(
    "RegNet_Y_16GF",
    83_590_140,
    15.912,
    V1="regnet_y_16gf-9e6ed7dd",
    V2="regnet_y_16gf-3e4a00f9",
    SWAG_E2E_V1=file("regnet_y_16gf_swag-43afe44d", 46.735, crop=384, resize=384, bicubic=True),
    SWAG_LINEAR_V1=file("regnet_y_16gf_lc_swag-f3ec0043", resize=224, bicubic=True),
)
RegNet_Y_32GF_Weights: Any = weights_enum(
    "RegNet_Y_32GF",
    145_046_770,
    32.28,
    V1="regnet_y_32gf-4dee3f7a",
    V2="regnet_y_32gf-8db6d4b5",
    SWAG_E2E_V1=file("regnet_y_32gf_swag-04fdfa75", 94.826, crop=384, resize=384, bicubic=True),
    SWAG_LINEAR_V1=file("regnet_y_32gf_lc_swag-e1583746", resize=224, bicubic=True),
)
RegNet_Y_128GF_Weights: Any = weights_enum(
    "RegNet_Y_128GF",
    644_812_894,
    127.518,
    SWAG_E2E_V1=file("regnet_y_128gf_swag-c8ce3e52", 374.57, crop=384, resize=384, bicubic=True),
    SWAG_LINEAR_V1=file("regnet_y_128gf_lc_swag-cbe8ce12", resize=224, bicubic=True),
)
RegNet_X_400MF_Weights: Any = weights_enum(
    "RegNet_X_400MF", 5_495_976, 0.414, V1="regnet_x_400mf-adf1edd5", V2="regnet_x_400mf-62229a5f"
)
RegNet_X_800MF_Weights: Any = weights_enum(
    "RegNet_X_800MF", 7_259_656, 0.8, V1="regnet_x_800mf-ad17e45c", V2="regnet_x_800mf-94a99ebd"
)
RegNet_X_1_6GF_Weights: Any = weights_enum(
    "RegNet_X_1_6GF", 9_190_136, 1.603, V1="regnet_x_1_6gf-e3633e7f", V2="regnet_x_1_6gf-a12f2b72"
)
RegNet_X_3_2GF_Weights: Any = weights_enum(
    "RegNet_X_3_2GF", 15_296_552, 3.177, V1="regnet_x_3_2gf-f342aeae", V2="regnet_x_3_2gf-7071aa85"
)
RegNet_X_8GF_Weights: Any = weights_enum(
    "RegNet_X_8GF", 39_572_648, 7.995, V1="regnet_x_8gf-03ceed89", V2="regnet_x_8gf-2b70d774"
)
RegNet_X_16GF_Weights: Any = weights_enum(
    "RegNet_X_16GF", 54_278_536, 15.941, V1="regnet_x_16gf-2007eb11", V2="regnet_x_16gf-ba3796d7"
)
RegNet_X_32GF_Weights: Any = weights_enum(
    "RegNet_X_32GF", 107_811_560, 31.736, V1="regnet_x_32gf-9d47f8d0", V2="regnet_x_32gf-6eb8fdc6"
)


def _regnet(plan: Plan, weights: Any, progress: bool, options: dict[str, Any]) -> RegNet:
    norm = options.pop("norm_layer", None)
    if norm is None:

        def norm(channels: int, **more: Any) -> nn.BatchNorm2d:
            return nn.BatchNorm2d(channels, eps=1e-05, momentum=0.1, **more)

    return build(RegNet, weights, progress, {"block_params": plan, "norm_layer": norm, **options})


@builder(RegNet_Y_400MF_Weights)
def regnet_y_400mf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet Y of 400 million operations: `weights` are a :data:`RegNet_Y_400MF_Weights` or None, `options` those of
    :class:`RegNet`."""
    return _regnet(Plan(16, 48, 27.89, 2.09, 8, 0.25), weights, progress, options)


@builder(RegNet_Y_800MF_Weights)
def regnet_y_800mf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet Y of 800 million operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(14, 56, 38.84, 2.4, 16, 0.25), weights, progress, options)


@builder(RegNet_Y_1_6GF_Weights)
def regnet_y_1_6gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet Y of 1.6 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(27, 48, 20.71, 2.65, 24, 0.25), weights, progress, options)


@builder(RegNet_Y_3_2GF_Weights)
def regnet_y_3_2gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet Y of 3.2 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(21, 80, 42.63, 2.66, 24, 0.25), weights, progress, options)


@builder(RegNet_Y_8GF_Weights)
def regnet_y_8gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet Y of 8 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(17, 192, 76.82, 2.19, 56, 0.25), weights, progress, options)


@builder(RegNet_Y_16GF_Weights)
def regnet_y_16gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet Y of 16 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(18, 200, 106.23, 2.48, 112, 0.25), weights, progress, options)


@builder(RegNet_Y_32GF_Weights)
def regnet_y_32gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet Y of 32 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(20, 232, 115.89, 2.53, 232, 0.25), weights, progress, options)


@builder(RegNet_Y_128GF_Weights)
def regnet_y_128gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet Y of 128 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(27, 456, 160.83, 2.52, 264, 0.25), weights, progress, options)


@builder(RegNet_X_400MF_Weights)
def regnet_x_400mf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet X of 400 million operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(22, 24, 24.48, 2.54, 16), weights, progress, options)


@builder(RegNet_X_800MF_Weights)
def regnet_x_800mf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet X of 800 million operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(16, 56, 35.73, 2.28, 16), weights, progress, options)


@builder(RegNet_X_1_6GF_Weights)
def regnet_x_1_6gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet X of 1.6 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(18, 80, 34.01, 2.25, 24), weights, progress, options)


@builder(RegNet_X_3_2GF_Weights)
def regnet_x_3_2gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet X of 3.2 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(25, 88, 26.31, 2.25, 48), weights, progress, options)


@builder(RegNet_X_8GF_Weights)
def regnet_x_8gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet X of 8 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(23, 80, 49.56, 2.88, 120), weights, progress, options)


@builder(RegNet_X_16GF_Weights)
def regnet_x_16gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet X of 16 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(22, 216, 55.59, 2.1, 128), weights, progress, options)


@builder(RegNet_X_32GF_Weights)
def regnet_x_32gf(*, weights: Any = None, progress: bool = True, **options: Any) -> RegNet:
    """RegNet X of 32 billion operations; see :func:`regnet_y_400mf`."""
    return _regnet(Plan(23, 320, 69.86, 2.0, 168), weights, progress, options)
