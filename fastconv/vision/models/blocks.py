"""What networks of several families are made of."""

from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.creation import tensor
from fastconv.nn.fused import rectified

__all__ = ["BasicConv2d", "from_imagenet", "make_divisible"]


class BasicConv2d(nn.Module):
    """A convolution without bias, batch normalisation (eps 0.001) and ReLU; the options are Conv2d's."""

    def __init__(self, in_channels: int, out_channels: int, **options: Any) -> None:
        super().__init__()
        self.conv: nn.Conv2d = nn.Conv2d(in_channels, out_channels, bias=False, **options)
        self.bn: nn.BatchNorm2d = nn.BatchNorm2d(out_channels, eps=0.001)

    def forward(self, x: Tensor) -> Tensor:
        return rectified(self.bn, nn.functional.relu, self.conv(x))


def from_imagenet(x: Tensor) -> Tensor:
    """Images (N, 3, H, W) that were normalised by ImageNet's means and deviations, in [-1, 1] instead."""
    mean, deviation = ([0.485, 0.456, 0.406], [0.229, 0.224, 0.225])
    scale = tensor([d / 0.5 for d in deviation], dtype=x.dtype).view(3, 1, 1)
    return x * scale + tensor([(m - 0.5) / 0.5 for m in mean], dtype=x.dtype).view(3, 1, 1)


def make_divisible(v: float, divisor: int, min_value: int | None = None) -> int:
    """The nearest multiple of `divisor` to v, that is not below 0.9 v nor `min_value` (`divisor`)."""
    least = divisor if min_value is None else min_value
    nearest = max(least, int(v + divisor / 2) // divisor * divisor)
    return nearest + divisor if nearest < 0.9 * v else nearest
