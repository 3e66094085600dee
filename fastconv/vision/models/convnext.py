"""Large depthwise convolutions and layer normalisation (Z. Liu et al., 2022), torchvision's ConvNeXt."""

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.creation import ones
from fastconv.vision.models.weights import build, builder, file, weights_enum
from fastconv.vision.ops import Conv2dNormActivation, Permute, StochasticDepth

__all__ = [
    "ConvNeXt",
    "ConvNeXt_Base_Weights",
    "ConvNeXt_Large_Weights",
    "ConvNeXt_Small_Weights",
    "ConvNeXt_Tiny_Weights",
    "convnext_base",
    "convnext_large",
    "convnext_small",
    "convnext_tiny",
]

Norm = Callable[..., nn.Module]


class LayerNorm2d(nn.LayerNorm):
    """Layer normalisation over the channels of images (N, C, H, W)."""

    def forward(self, x: Tensor) -> Tensor:
        x = x.permute(0, 2, 3, 1)
        return nn.functional.layer_norm(x, self.normalized_shape, self.weight, self.bias, self.eps).permute(0, 3, 1, 2)


class CNBlock(nn.Module):
    """A depthwise 7x7 convolution, normalisation and two linear layers over the channels, scaled, and a shortcut."""

    def __init__(
        self, dim: int, layer_scale: float, stochastic_depth_prob: float, norm_layer: Norm | None = None
    ) -> None:
        super().__init__()
        norm = norm_layer or partial(nn.LayerNorm, eps=1e-6)
        self.block: nn.Sequential = nn.Sequential(
            nn.Conv2d(dim, dim, 7, padding=3, groups=dim, bias=True),
            Permute([0, 2, 3, 1]),
            norm(dim),
            nn.Linear(dim, 4 * dim, bias=True),
            nn.GELU(),
            nn.Linear(4 * dim, dim, bias=True),
            Permute([0, 3, 1, 2]),
        )
        self.layer_scale: nn.Parameter = nn.Parameter(ones(dim, 1, 1) * layer_scale)
        self.stochastic_depth: StochasticDepth = StochasticDepth(stochastic_depth_prob, "row")

    def forward(self, x: Tensor) -> Tensor:
        return self.stochastic_depth(self.layer_scale * self.block(x)) + x


class CNBlockConfig(NamedTuple):
    """A stage: its channels, those of the next stage, and how many blocks."""

    input_channels: int
    out_channels: int | None
    num_layers: int


class ConvNeXt(nn.Module):
    """ConvNeXt, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    block_setting : sequence of CNBlockConfig
    stochastic_depth_prob : float
        Probability to skip the last block of an image in training; those before less, in proportion.
    layer_scale : float
        What the blocks' results are multiplied with at first.
    num_classes : int
    block, norm_layer : callable, optional
        :class:`CNBlock`, and :class:`LayerNorm2d` of eps 1e-6, by default.
    """

    def __init__(
        self,
        block_setting: Sequence[CNBlockConfig],
        stochastic_depth_prob: float = 0.0,
        layer_scale: float = 1e-6,
        num_classes: int = 1000,
        block: Callable[..., nn.Module] | None = None,
        norm_layer: Norm | None = None,
    ) -> None:
        super().__init__()
        if not block_setting:
            raise ValueError("The block_setting should not be empty")
        block, norm = block or CNBlock, norm_layer or partial(LayerNorm2d, eps=1e-6)
        first = block_setting[0].input_channels
        layers: list[nn.Module] = [
            Conv2dNormActivation(
                *(3, first),
                kernel_size=4,
                stride=4,
                padding=0,
                norm_layer=norm,
                activation_layer=None,
                bias=True,
            )
        ]
        total, done = sum(cnf.num_layers for cnf in block_setting), 0
        last = first
        for cnf in block_setting:
            stage: list[nn.Module] = []
            for _ in range(cnf.num_layers):
                stage.append(block(cnf.input_channels, layer_scale, stochastic_depth_prob * done / (total - 1.0)))
                done += 1
            layers.append(nn.Sequential(*stage))
            last = cnf.input_channels
            if cnf.out_channels is not None:
                last = cnf.out_channels
                layers.append(nn.Sequential(norm(cnf.input_channels), nn.Conv2d(cnf.input_channels, last, 2, 2)))
        self.features: nn.Sequential = nn.Sequential(*layers)
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d(1)
        self.classifier: nn.Sequential = nn.Sequential(norm(last), nn.Flatten(1), nn.Linear(last, num_classes))
        for module in self.modules():
            if isinstance(module, nn.Conv2d | nn.Linear):
                nn.init.trunc_normal_(module.weight, std=0.02)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)))


ConvNeXt_Tiny_Weights: Any = weights_enum(
    "ConvNeXt_Tiny", 28_589_128, 4.456, least=32, V1=file("convnext_tiny-983f1562", resize=236)
)
ConvNeXt_Small_Weights: Any = weights_enum(
    "ConvNeXt_Small", 50_223_688, 8.684, least=32, V1=file("convnext_small-0c510722", resize=230)
)
ConvNeXt_Base_Weights: Any = weights_enum(
    "ConvNeXt_Base", 88_591_464, 15.355, least=32, V1=file("convnext_base-6075fbad", resize=232)
)
ConvNeXt_Large_Weights: Any = weights_enum(
    "ConvNeXt_Large", 197_767_336, 34.361, least=32, V1=file("convnext_large-ea097f82", resize=232)
)


def _convnext(
    channels: Sequence[int],
    blocks: Sequence[int],
    depth: float,
    weights: Any,
    progress: bool,
    options: dict[str, Any],
) -> ConvNeXt:
    following = [*channels[1:], None]
    setting = [CNBlockConfig(*stage) for stage in zip(channels, following, blocks, strict=True)]
    sizes = {"block_setting": setting, "stochastic_depth_prob": depth}
    return build(ConvNeXt, weights, progress, {**sizes, **options})


@builder(ConvNeXt_Tiny_Weights)
def convnext_tiny(*, weights: Any = None, progress: bool = True, **options: Any) -> ConvNeXt:
    """ConvNeXt, the tiny one: `weights` are a :data:`ConvNeXt_Tiny_Weights` or None, `options` those of
    :class:`ConvNeXt`."""
    sizes = (96, 192, 384, 768), (3, 3, 9, 3), 0.1
    return _convnext(*sizes, weights, progress, options)


@builder(ConvNeXt_Small_Weights)
def convnext_small(*, weights: Any = None, progress: bool = True, **options: Any) -> ConvNeXt:
    """ConvNeXt, the small one; see :func:`convnext_tiny`."""
    sizes = (96, 192, 384, 768), (3, 3, 27, 3), 0.4
    return _convnext(*sizes, weights, progress, options)


@builder(ConvNeXt_Base_Weights)
def convnext_base(*, weights: Any = None, progress: bool = True, **options: Any) -> ConvNeXt:
    """ConvNeXt, the base one; see :func:`convnext_tiny`."""
    sizes = (128, 256, 512, 1024), (3, 3, 27, 3), 0.5
    return _convnext(*sizes, weights, progress, options)


@builder(ConvNeXt_Large_Weights)
def convnext_large(*, weights: Any = None, progress: bool = True, **options: Any) -> ConvNeXt:
    """ConvNeXt, the large one; see :func:`convnext_tiny`."""
    sizes = (192, 384, 768, 1536), (3, 3, 27, 3), 0.5
    return _convnext(*sizes, weights, progress, options)
