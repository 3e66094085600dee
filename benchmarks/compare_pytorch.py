"""Training steps of torch: alone, with fastconv's kernels inside it, and with `optimize(model)` too, in turns.

    python benchmarks/compare_pytorch.py [--threads 1 2] [--turns 5] [--networks convnet resnet18 ...]

All are in one process. Torchvision's networks are measured where torchvision is installed. Prints the least time of a
step of each, and the medians of the ratios.
"""

import argparse
import copy
import statistics
import time
from collections.abc import Callable

import torch
from torch import nn

import fastconv.pytorch


def convnet() -> nn.Module:
    first = nn.Conv2d(1, 20, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(20, 40, 5), nn.ReLU(), nn.MaxPool2d(2)
    return nn.Sequential(*first, nn.Flatten(), nn.Linear(640, 100), nn.ReLU(), nn.Linear(100, 10))


def of_torchvision(name: str, small: bool) -> Callable[[], nn.Module]:
    def make() -> nn.Module:
        from torchvision import models

        model = getattr(models, name)(num_classes=10)
        if small and name.startswith("resnet"):  # the stem for images of 32 x 32
            model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
        elif small:
            model.avgpool, model.classifier = nn.Identity(), nn.Linear(512, 10)
        return model

    return make


NETWORKS = {  # the network, batch, channels and pixels a side
    "convnet, batch 8": (convnet, (8, 1, 28, 28)),
    "convnet, batch 128": (convnet, (128, 1, 28, 28)),
    "resnet18, 32 x 32": (of_torchvision("resnet18", True), (64, 3, 32, 32)),
    "vgg11, 32 x 32": (of_torchvision("vgg11", True), (128, 3, 32, 32)),
    "resnet50, 224 x 224": (of_torchvision("resnet50", False), (8, 3, 224, 224)),
    "mobilenet_v2, 224 x 224": (of_torchvision("mobilenet_v2", False), (16, 3, 224, 224)),
}


def measure(make: Callable[[], nn.Module], size: tuple[int, ...], turns: int, last: bool) -> list[tuple[float, float]]:
    """The least seconds of a step alone, with fastconv, and of the optimized model; and their shares of the first."""
    torch.manual_seed(0)
    model, x, labels = make(), torch.randn(size), torch.randint(10, size[:1])
    if last:
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    optimized = fastconv.pytorch.optimize(copy.deepcopy(model))
    optimizers = {m: torch.optim.SGD(m.parameters(), lr=0.01, momentum=0.9) for m in (model, optimized)}

    def seconds(model: nn.Module) -> float:
        """Of a step, the least of those of half a second."""
        least, start, steps = float("inf"), time.perf_counter(), 0
        while steps < 2 or time.perf_counter() - start < 0.5:
            before = time.perf_counter()
            optimizers[model].zero_grad()
            nn.functional.cross_entropy(model(x), labels).backward()
            optimizers[model].step()
            least, steps = min(least, time.perf_counter() - before), steps + 1
        return least

    rows = []
    for _ in range(turns):
        alone = seconds(model)
        with fastconv.pytorch.enable():
            rows.append((alone, seconds(model), seconds(optimized)))
    columns = list(zip(*rows, strict=True))
    return [
        (min(column), statistics.median(a / b for a, b in zip(columns[0], column, strict=True))) for column in columns
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, nargs="+", default=[1, torch.get_num_threads()])
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=[""], help="parts of the names of those to measure")
    parser.add_argument("--channels-last", action="store_true", help="torch's better layout for many networks")
    options = parser.parse_args()
    print(f"torch {torch.__version__}, fastconv {fastconv.__version__}; seconds of a training step")
    for threads in sorted(set(options.threads)):
        torch.set_num_threads(threads)
        for name, (make, size) in NETWORKS.items():
            if not any(part in name for part in options.networks):
                continue
            try:
                alone, inside, fused = measure(make, size, options.turns, options.channels_last)
            except ImportError as error:
                print(f"{name}: {error}")
                continue
            print(
                f"{name:24} {threads} threads: torch {alone[0]:.4f}, fastconv {inside[0]:.4f}, {inside[1]:.2f} times as"
                f" fast, optimized {fused[0]:.4f}, {fused[1]:.2f} times",
                flush=True,
            )


if __name__ == "__main__":
    main()
