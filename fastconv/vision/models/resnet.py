"""Residual networks (K. He et al., 2015) for images of 224x224 pixels, torchvision's: its layers, names and seeds."""

from collections.abc import Callable, Sequence
from typing import Any, ClassVar

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.nn.fused import rectified
from fastconv.vision.models.weights import build, builder, expect, file, weights_enum

__all__ = [
    "BasicBlock",
    "Bottleneck",
    "ResNet",
    "ResNet18_Weights",
    "ResNet34_Weights",
    "ResNet50_Weights",
    "ResNet101_Weights",
    "ResNet152_Weights",
    "ResNeXt50_32X4D_Weights",
    "ResNeXt101_32X8D_Weights",
    "ResNeXt101_64X4D_Weights",
    "Wide_ResNet50_2_Weights",
    "Wide_ResNet101_2_Weights",
    "resnet18",
    "resnet34",
    "resnet50",
    "resnet101",
    "resnet152",
    "resnext50_32x4d",
    "resnext101_32x8d",
    "resnext101_64x4d",
    "wide_resnet50_2",
    "wide_resnet101_2",
]


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them.

    Parameters
    ----------
    inplanes, planes : int
        Channels of the input and the output.
    stride : int
        Of the first convolution.
    downsample : Module, optional
        What the shortcut passes through where the shape changes.
    groups, base_width, dilation : int
        Of a :class:`Bottleneck`'s 3x3 convolution, whose channels are planes * base_width / 64 * groups.
    norm_layer : callable, optional
        Makes a normalisation of so many channels; BatchNorm2d by default.
    """

    expansion: ClassVar[int] = 1

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        norm = norm_layer or nn.BatchNorm2d
        if groups != 1 or base_width != 64:
            raise ValueError(f"BasicBlock only supports groups=1 and base_width=64, got {groups} and {base_width}")
        if dilation > 1:
            raise NotImplementedError(f"Dilation > 1 not supported in BasicBlock, got {dilation}")
        self.conv1: nn.Conv2d = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1: nn.Module = norm(planes)
        self.relu: nn.ReLU = nn.ReLU(inplace=True)
        self.conv2: nn.Conv2d = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2: nn.Module = norm(planes)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = rectified(self.bn1, self.relu, self.conv1(x))
        return rectified(self.bn2, self.relu, self.conv2(y), shortcut)


class Bottleneck(nn.Module):
    """A 3x3 convolution of few channels between two 1x1 convolutions, and a shortcut; see :class:`BasicBlock`."""

    expansion: ClassVar[int] = 4

    def __init__(
        self,
        inplanes: int,
        planes: int,
        stride: int = 1,
        downsample: nn.Module | None = None,
        groups: int = 1,
        base_width: int = 64,
        dilation: int = 1,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        norm, width = norm_layer or nn.BatchNorm2d, int(planes * (base_width / 64.0)) * groups
        self.conv1: nn.Conv2d = nn.Conv2d(inplanes, width, 1, bias=False)
        self.bn1: nn.Module = norm(width)
        self.conv2: nn.Conv2d = nn.Conv2d(width, width, 3, stride, dilation, dilation, groups, bias=False)
        self.bn2: nn.Module = norm(width)
        self.conv3: nn.Conv2d = nn.Conv2d(width, planes * self.expansion, 1, bias=False)
        self.bn3: nn.Module = norm(planes * self.expansion)
        self.relu: nn.ReLU = nn.ReLU(inplace=True)
        self.downsample = downsample
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = rectified(self.bn1, self.relu, self.conv1(x))
        y = rectified(self.bn2, self.relu, self.conv2(y))
        return rectified(self.bn3, self.relu, self.conv3(y), shortcut)


class ResNet(nn.Module):
    """A residual network of four stages, from (N, 3, H, W) to scores (N, num_classes).

    Parameters
    ----------
    block : class
        :class:`BasicBlock` or :class:`Bottleneck`.
    layers : sequence of int
        Blocks in each of the four stages.
    num_classes : int
    zero_init_residual : bool
        Begin with blocks that are their shortcuts: the last normalisation of each has weight 0.
    groups, width_per_group : int
        Of the 3x3 convolutions, as in ResNeXt (S. Xie et al., 2017) and Wide ResNet (S. Zagoruyko et al., 2016).
    replace_stride_with_dilation : sequence of 3 bools, optional
        Dilate in the last three stages rather than stride.
    norm_layer : callable, optional
        Makes a normalisation of so many channels; BatchNorm2d by default.
    """

    base_width: int
    dilation: int
    groups: int
    inplanes: int

    def __init__(
        self,
        block: type[BasicBlock] | type[Bottleneck],
        layers: Sequence[int],
        num_classes: int = 1000,
        zero_init_residual: bool = False,
        groups: int = 1,
        width_per_group: int = 64,
        replace_stride_with_dilation: Sequence[bool] | None = None,
        norm_layer: Callable[[int], nn.Module] | None = None,
    ) -> None:
        super().__init__()
        self._norm_layer = norm_layer or nn.BatchNorm2d
        self.inplanes, self.dilation, self.groups, self.base_width = 64, 1, groups, width_per_group
        dilate = (False, False, False) if replace_stride_with_dilation is None else replace_stride_with_dilation
        if not hasattr(dilate, "__len__") or len(dilate) != 3:
            raise ValueError(
                f"replace_stride_with_dilation should be None or a 3-element tuple, got {replace_stride_with_dilation}"
            )
        self.conv1: nn.Conv2d = nn.Conv2d(3, 64, 7, 2, 3, bias=False)
        self.bn1: nn.Module = self._norm_layer(64)
        self.relu: nn.ReLU = nn.ReLU(inplace=True)
        self.maxpool: nn.MaxPool2d = nn.MaxPool2d(3, 2, 1)
        self.layer1: nn.Sequential = self._make_layer(block, 64, layers[0])
        self.layer2: nn.Sequential = self._make_layer(block, 128, layers[1], 2, dilate[0])
        self.layer3: nn.Sequential = self._make_layer(block, 256, layers[2], 2, dilate[1])
        self.layer4: nn.Sequential = self._make_layer(block, 512, layers[3], 2, dilate[2])
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d((1, 1))
        self.fc: nn.Linear = nn.Linear(512 * block.expansion, num_classes)
        for module in self.modules():
            if isinstance(module, nn.Conv2d):
                nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
        if zero_init_residual:
            for module in self.modules():
                if isinstance(module, BasicBlock | Bottleneck):
                    nn.init.zeros_((module.bn3 if isinstance(module, Bottleneck) else module.bn2).weight)

    def _make_layer(
        self, block: type[Any], planes: int, blocks: int, stride: int = 1, dilate: bool = False
    ) -> nn.Sequential:
        channels, downsample, dilation = planes * block.expansion, None, self.dilation
        if dilate:
            self.dilation, stride = self.dilation * stride, 1
        if stride != 1 or self.inplanes != channels:
            downsample = nn.Sequential(
                nn.Conv2d(self.inplanes, channels, 1, stride, bias=False), self._norm_layer(channels)
            )
        width, norm = (self.groups, self.base_width), self._norm_layer
        stage = [block(self.inplanes, planes, stride, downsample, *width, dilation, norm)]
        self.inplanes = channels
        stage += [block(channels, planes, 1, None, *width, self.dilation, norm) for _ in range(1, blocks)]
        return nn.Sequential(*stage)

    def forward(self, x: Tensor) -> Tensor:
        x = self.maxpool(rectified(self.bn1, self.relu, self.conv1(x)))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


ResNet18_Weights: Any = weights_enum("ResNet18", 11_689_512, 1.814, V1="resnet18-f37072fd")
ResNet34_Weights: Any = weights_enum("ResNet34", 21_797_672, 3.664, V1="resnet34-b627a593")
ResNet50_Weights: Any = weights_enum("ResNet50", 25_557_032, 4.089, V1="resnet50-0676ba61", V2="resnet50-11ad3fa6")
ResNet101_Weights: Any = weights_enum("ResNet101", 44_549_160, 7.801, V1="resnet101-63fe2227", V2="resnet101-cd907fc2")
ResNet152_Weights: Any = weights_enum("ResNet152", 60_192_808, 11.514, V1="resnet152-394f9c45", V2="resnet152-f82ba261")
ResNeXt50_32X4D_Weights: Any = weights_enum(
    "ResNeXt50_32X4D", 25_028_904, 4.23, V1="resnext50_32x4d-7cdf4587", V2="resnext50_32x4d-1a0047aa"
)
ResNeXt101_32X8D_Weights: Any = weights_enum(
    "ResNeXt101_32X8D", 88_791_336, 16.414, V1="resnext101_32x8d-8ba56ff5", V2="resnext101_32x8d-110c445d"
)
ResNeXt101_64X4D_Weights: Any = weights_enum(
    "ResNeXt101_64X4D", 83_455_272, 15.46, V1=file("resnext101_64x4d-173b62eb", resize=232)
)
Wide_ResNet50_2_Weights: Any = weights_enum(
    "Wide_ResNet50_2", 68_883_240, 11.398, V1="wide_resnet50_2-95faca4d", V2="wide_resnet50_2-9ba9bcbe"
)
Wide_ResNet101_2_Weights: Any = weights_enum(
    "Wide_ResNet101_2", 126_886_696, 22.753, V1="wide_resnet101_2-32ee1156", V2="wide_resnet101_2-d733dc28"
)


def _resnet(
    block: type[Any], layers: Sequence[int], weights: Any, progress: bool, options: dict[str, Any], **sizes: int
) -> ResNet:
    for name, value in sizes.items():
        options = expect(options, name, value)
    return build(ResNet, weights, progress, {"block": block, "layers": layers, **options})


@builder(ResNet18_Weights)
def resnet18(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet with 18 layers: `weights` are a :data:`ResNet18_Weights` or None, `options` those of :class:`ResNet`."""
    return _resnet(BasicBlock, (2, 2, 2, 2), weights, progress, options)


@builder(ResNet34_Weights)
def resnet34(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet with 34 layers; see :func:`resnet18`."""
    return _resnet(BasicBlock, (3, 4, 6, 3), weights, progress, options)


@builder(ResNet50_Weights)
def resnet50(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet with 50 layers; see :func:`resnet18`."""
    return _resnet(Bottleneck, (3, 4, 6, 3), weights, progress, options)


@builder(ResNet101_Weights)
def resnet101(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet with 101 layers; see :func:`resnet18`."""
    return _resnet(Bottleneck, (3, 4, 23, 3), weights, progress, options)


@builder(ResNet152_Weights)
def resnet152(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet with 152 layers; see :func:`resnet18`."""
    return _resnet(Bottleneck, (3, 8, 36, 3), weights, progress, options)


@builder(ResNeXt50_32X4D_Weights)
def resnext50_32x4d(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNeXt with 50 layers, 32 groups of 4 channels; see :func:`resnet18`."""
    return _resnet(Bottleneck, (3, 4, 6, 3), weights, progress, options, groups=32, width_per_group=4)


@builder(ResNeXt101_32X8D_Weights)
def resnext101_32x8d(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNeXt with 101 layers, 32 groups of 8 channels; see :func:`resnet18`."""
    return _resnet(Bottleneck, (3, 4, 23, 3), weights, progress, options, groups=32, width_per_group=8)


@builder(ResNeXt101_64X4D_Weights)
def resnext101_64x4d(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNeXt with 101 layers, 64 groups of 4 channels; see :func:`resnet18`."""
    return _resnet(Bottleneck, (3, 4, 23, 3), weights, progress, options, groups=64, width_per_group=4)


@builder(Wide_ResNet50_2_Weights)
def wide_resnet50_2(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet with 50 layers, twice as wide within blocks; see :func:`resnet18`."""
    return _resnet(Bottleneck, (3, 4, 6, 3), weights, progress, options, width_per_group=128)


@builder(Wide_ResNet101_2_Weights)
def wide_resnet101_2(*, weights: Any = None, progress: bool = True, **options: Any) -> ResNet:
    """ResNet with 101 layers, twice as wide within blocks; see :func:`resnet18`."""
    return _resnet(Bottleneck, (3, 4, 23, 3), weights, progress, options, width_per_group=128)
