"""Networks for small images. All return scores (N, num_classes) without softmax, as CrossEntropyLoss takes them."""

from collections.abc import Sequence

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.checks import integers
from fastconv.nn import functional as F
from fastconv.nn.fused import rectified

__all__ = ["VGG", "BasicBlock", "ConvNet", "DigitsNet", "LeNet", "ResNet", "resnet10", "resnet18", "vgg11", "vgg11_bn"]


class ConvNet(nn.Module):
    """The textbook's network (section 12.4): two 5x5 convolutions, each pooled, and two linear layers.

    Parameters
    ----------
    in_channels : int
    image_size : int or pair of int
        Height and width of the images, at least 16.
    num_classes : int
    """

    def __init__(self, in_channels: int = 3, image_size: int | tuple[int, int] = 32, num_classes: int = 10) -> None:
        super().__init__()
        height, width = integers(image_size, "image_size", 0, 2)
        if min(height, width) < 16:
            raise ValueError(f"ConvNet needs images of at least 16x16 pixels, got image_size={image_size}")
        height, width = (((size - 4) // 2 - 4) // 2 for size in (height, width))
        self.conv1: nn.Conv2d = nn.Conv2d(in_channels, 3, 5)
        self.pool1: nn.MaxPool2d = nn.MaxPool2d(2, 2)
        self.conv2: nn.Conv2d = nn.Conv2d(3, 16, 5)
        self.pool2: nn.AvgPool2d = nn.AvgPool2d(2, 2)
        self.fc1: nn.Linear = nn.Linear(16 * height * width, 120)
        self.fc2: nn.Linear = nn.Linear(120, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool1(F.relu(self.conv1(x)))
        x = self.pool2(F.relu(self.conv2(x)))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class DigitsNet(nn.Module):
    """Three 3x3 convolutions and dropout, for images of 8x8 pixels.

    Parameters
    ----------
    in_channels : int
    num_classes : int
    image_size : int
        Height and width of the images, at least 4.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, image_size: int = 8) -> None:
        super().__init__()
        if image_size < 4:
            raise ValueError(f"DigitsNet needs images of at least 4x4 pixels, got image_size={image_size}")
        self.conv1: nn.Conv2d = nn.Conv2d(in_channels, 16, 3, padding=1)
        self.conv2: nn.Conv2d = nn.Conv2d(16, 32, 3, padding=1)
        self.conv3: nn.Conv2d = nn.Conv2d(32, 64, 3, padding=1)
        self.pool: nn.MaxPool2d = nn.MaxPool2d(2)
        self.dropout: nn.Dropout = nn.Dropout(0.3)
        self.fc: nn.Linear = nn.Linear(64 * (image_size // 4) ** 2, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = F.relu(self.conv1(x))
        x = self.pool(F.relu(self.conv2(x)))
        x = self.pool(F.relu(self.conv3(x)))
        return self.fc(self.dropout(x.flatten(1)))


class LeNet(nn.Module):
    """LeNet-5's plan (Y. LeCun et al., 1998) with ReLU and max pooling, for images of 28x28 pixels.

    Parameters
    ----------
    in_channels : int
    num_classes : int
    image_size : int
        Height and width of the images, at least 12.
    """

    def __init__(self, in_channels: int = 1, num_classes: int = 10, image_size: int = 28) -> None:
        super().__init__()
        if image_size < 12:
            raise ValueError(f"LeNet needs images of at least 12x12 pixels, got image_size={image_size}")
        self.conv1: nn.Conv2d = nn.Conv2d(in_channels, 16, 5, padding=2)
        self.conv2: nn.Conv2d = nn.Conv2d(16, 32, 5)
        self.pool: nn.MaxPool2d = nn.MaxPool2d(2)
        self.fc1: nn.Linear = nn.Linear(32 * ((image_size // 2 - 4) // 2) ** 2, 120)
        self.fc2: nn.Linear = nn.Linear(120, num_classes)

    def forward(self, x: Tensor) -> Tensor:
        x = self.pool(F.relu(self.conv1(x)))
        x = self.pool(F.relu(self.conv2(x)))
        return self.fc2(F.relu(self.fc1(x.flatten(1))))


class VGG(nn.Module):
    """Plain stacks of 3x3 convolutions (K. Simonyan, A. Zisserman, 2014), for images of 32x32 pixels.

    Five poolings leave one pixel, so that one linear layer classifies; of larger images, it is given the mean of the
    pixels left. The convolutions have torchvision's names.

    Parameters
    ----------
    plan : sequence of int or 'M'
        Channels of each convolution, and where to pool.
    in_channels : int
    num_classes : int
    batch_norm : bool
        Normalise after each convolution.
    """

    def __init__(
        self, plan: Sequence[int | str], in_channels: int = 3, num_classes: int = 10, batch_norm: bool = False
    ) -> None:
        super().__init__()
        layers: list[nn.Module] = []
        channels = in_channels
        for step in plan:
            if isinstance(step, str):
                layers.append(nn.MaxPool2d(2, 2))
                continue
            layers.append(nn.Conv2d(channels, step, 3, padding=1))
            if batch_norm:
                layers.append(nn.BatchNorm2d(step))
            layers.append(nn.ReLU())
            channels = step
        self.features: nn.Sequential = nn.Sequential(*layers)
        self.classifier: nn.Linear = nn.Linear(channels, num_classes)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = self.features(x)
        return self.classifier((x if x.shape[2:] == (1, 1) else F.adaptive_avg_pool2d(x, 1)).flatten(1))


VGG11 = (64, "M", 128, "M", 256, 256, "M", 512, 512, "M", 512, 512, "M")


def vgg11(num_classes: int = 10, in_channels: int = 3) -> VGG:
    """VGG with 8 convolutions, for images of 32x32 pixels."""
    return VGG(VGG11, in_channels, num_classes)


def vgg11_bn(num_classes: int = 10, in_channels: int = 3) -> VGG:
    """VGG with 8 convolutions, each followed by batch normalisation, for images of 32x32 pixels."""
    return VGG(VGG11, in_channels, num_classes, batch_norm=True)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions and a shortcut around them.

    Parameters
    ----------
    inplanes, planes : int
        Channels of the input and the output.
    stride : int
        Of the first convolution; the shortcut is a 1x1 convolution where the shape changes.
    """

    def __init__(self, inplanes: int, planes: int, stride: int = 1) -> None:
        super().__init__()
        self.conv1: nn.Conv2d = nn.Conv2d(inplanes, planes, 3, stride, 1, bias=False)
        self.bn1: nn.BatchNorm2d = nn.BatchNorm2d(planes)
        self.conv2: nn.Conv2d = nn.Conv2d(planes, planes, 3, 1, 1, bias=False)
        self.bn2: nn.BatchNorm2d = nn.BatchNorm2d(planes)
        self.downsample = None
        if stride != 1 or inplanes != planes:
            self.downsample: nn.Sequential = nn.Sequential(
                nn.Conv2d(inplanes, planes, 1, stride, bias=False), nn.BatchNorm2d(planes)
            )

    def forward(self, x: Tensor) -> Tensor:
        shortcut = x if self.downsample is None else self.downsample(x)
        y = rectified(self.bn1, F.relu, self.conv1(x))
        return rectified(self.bn2, F.relu, self.conv2(y), shortcut)


class ResNet(nn.Module):
    """Residual network of basic blocks (K. He et al., 2015), for small images.

    The layers have torchvision's names; for images of about 32x32 pixels the first convolution is 3x3 with stride 1,
    and no pooling follows it.

    Parameters
    ----------
    layers : sequence of int
        Blocks in each of the four stages.
    num_classes : int
    in_channels : int
    width : int
        Channels of the first stage; each further one has twice as many.
    stride : int
        Of the first convolution.
    """

    def __init__(
        self, layers: Sequence[int], num_classes: int = 10, in_channels: int = 3, width: int = 64, stride: int = 1
    ) -> None:
        super().__init__()
        self.conv1: nn.Conv2d = nn.Conv2d(in_channels, width, 3, stride, 1, bias=False)
        self.bn1: nn.BatchNorm2d = nn.BatchNorm2d(width)
        self.layer1: nn.Sequential = _stage(width, width, layers[0], 1)
        self.layer2: nn.Sequential = _stage(width, 2 * width, layers[1], 2)
        self.layer3: nn.Sequential = _stage(2 * width, 4 * width, layers[2], 2)
        self.layer4: nn.Sequential = _stage(4 * width, 8 * width, layers[3], 2)
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d((1, 1))
        self.fc: nn.Linear = nn.Linear(8 * width, num_classes)
        _initialize(self)

    def forward(self, x: Tensor) -> Tensor:
        x = rectified(self.bn1, F.relu, self.conv1(x))
        x = self.layer4(self.layer3(self.layer2(self.layer1(x))))
        return self.fc(self.avgpool(x).flatten(1))


def resnet10(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """ResNet with 10 layers, a quarter as wide as usual, whose first convolution has stride 2.

    For photographs of 64x64 pixels and more that are trained on from scratch, be they few; it learns some hundred of
    them a second on one core.
    """
    return ResNet((1, 1, 1, 1), num_classes, in_channels, width=16, stride=2)


def resnet18(num_classes: int = 10, in_channels: int = 3) -> ResNet:
    """ResNet with 18 layers, for images of about 32x32 pixels."""
    return ResNet((2, 2, 2, 2), num_classes, in_channels)


def _stage(inplanes: int, planes: int, blocks: int, stride: int) -> nn.Sequential:
    return nn.Sequential(BasicBlock(inplanes, planes, stride), *(BasicBlock(planes, planes) for _ in range(blocks - 1)))


def _initialize(network: nn.Module) -> None:
    """Convolutions of deep networks: normal with variance 2 / fan-out (K. He et al., 2015), bias zero."""
    for module in network.modules():
        if isinstance(module, nn.Conv2d):
            nn.init.kaiming_normal_(module.weight, mode="fan_out", nonlinearity="relu")
            if module.bias is not None:
                nn.init.zeros_(module.bias)
