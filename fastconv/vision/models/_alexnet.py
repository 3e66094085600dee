"""Five convolutions and three linear layers (A. Krizhevsky, 2014), torchvision's: its layers, names and seeds."""

from typing import Any

from fastconv import nn
from fastconv._tensor import Tensor
from fastconv.vision.models.weights import build, builder, weights_enum

__all__ = ["AlexNet", "AlexNet_Weights", "alexnet"]


class AlexNet(nn.Module):
    """AlexNet for one machine, from (N, 3, H, W) of 63 pixels or more a side to scores (N, num_classes).

    Parameters
    ----------
    num_classes : int
    dropout : float
        Share of the classifier's inputs that is dropped in training.
    """

    def __init__(self, num_classes: int = 1000, dropout: float = 0.5) -> None:
        super().__init__()
        self.features: nn.Sequential = nn.Sequential(
            nn.Conv2d(3, 64, 11, 4, 2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(64, 192, 5, padding=2),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
            nn.Conv2d(192, 384, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(384, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.Conv2d(256, 256, 3, padding=1),
            nn.ReLU(inplace=True),
            nn.MaxPool2d(3, 2),
        )
        self.avgpool: nn.AdaptiveAvgPool2d = nn.AdaptiveAvgPool2d((6, 6))
        self.classifier: nn.Sequential = nn.Sequential(
            nn.Dropout(dropout),
            nn.Linear(256 * 6 * 6, 4096),
            nn.ReLU(inplace=True),
            nn.Dropout(dropout),
            nn.Linear(4096, 4096),
            nn.ReLU(inplace=True),
            nn.Linear(4096, num_classes),
        )

    def forward(self, x: Tensor) -> Tensor:
        return self.classifier(self.avgpool(self.features(x)).flatten(1))


AlexNet_Weights: Any = weights_enum("AlexNet", 61_100_840, 0.714, least=63, V1="alexnet-owt-7be5be79")


@builder(AlexNet_Weights)
def alexnet(*, weights: Any = None, progress: bool = True, **options: Any) -> AlexNet:
    """AlexNet: `weights` are an :data:`AlexNet_Weights` or None, `options` those of :class:`AlexNet`."""
    return build(AlexNet, weights, progress, options)
