"""A user's program, which `mypy --strict` must find nothing wrong with."""

import numpy as np

import fastconv
import fastconv.nn.functional as F
from fastconv import Tensor, nn
from fastconv.optim import SGD
from fastconv.optim.lr_scheduler import StepLR
from fastconv.utils.data import DataLoader, TensorDataset


class Net(nn.Module):
    """A small network."""

    def __init__(self, classes: int) -> None:
        super().__init__()
        self.conv = nn.Conv2d(1, 8, 3, padding=1)
        self.norm = nn.BatchNorm2d(8)
        self.body = nn.Sequential(nn.ReLU(), nn.MaxPool2d(2), nn.Flatten())
        self.head = nn.Linear(8 * 4 * 4, classes)

    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = self.head(self.body(self.norm(self.conv(x))))
        return y


def accuracy(logits: Tensor, labels: Tensor) -> float:
    values, best = logits.max(dim=1)
    assert values.shape == best.shape
    return float((best == labels).float().mean())


def main() -> None:
    fastconv.manual_seed(0)
    images = fastconv.from_numpy(np.zeros((32, 1, 8, 8), np.float32)) + fastconv.randn(32, 1, 8, 8, device="cpu")
    labels = fastconv.randint(0, 4, (32,))
    net = Net(4)
    optimizer = SGD(net.parameters(), lr=0.1, momentum=0.9)
    schedule = StepLR(optimizer, 1)
    for x, y in DataLoader(TensorDataset(images, labels), batch_size=8, shuffle=True):
        optimizer.zero_grad()
        loss = F.cross_entropy(net(x), y)
        loss.backward()
        optimizer.step()
    schedule.step()
    with fastconv.no_grad():
        logits = net(images)
    print(accuracy(logits, labels), logits.shape.numel(), logits[0, 1:].tolist(), logits.to(fastconv.float64).dtype)
    table = fastconv.cat([fastconv.zeros(1, 4), fastconv.arange(4.0)[None]], 0)
    print((2 * table - 1).clamp(min=0).sum(0, keepdim=True).reshape(2, 2).t().numpy())


if __name__ == "__main__":
    main()
