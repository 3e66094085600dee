"""Training steps of whole networks, beside torch: their time in turns, and how much memory they take.

    python benchmarks/compare_steps.py [--threads 1] [--turns 5] [--networks resnet18 ...] [--against torch ...]

Every contender is a process of its own: fastconv; fastconv with every layer computed by itself, `apart`; torch, eager,
in `channels_last`, and by torch.compile. All compute the same networks, torch those of torchvision. A step is forward,
cross entropy, backward and SGD with momentum. A turn is the least time of the steps of half a second; ratios are their
medians over the turns. Memory is the most that the process had resident, less what it had after its imports.
"""

import argparse
import contextlib
import json
import resource
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
KINDS = ("fastconv", "apart", "torch", "channels_last", "compile")
# The size of a batch; "small" networks are those for images of 32 x 32.
NETWORKS = {
    "resnet18": (64, 3, 32, 32),
    "vgg11": (128, 3, 32, 32),
    "resnet50": (8, 3, 224, 224),
    "mobilenet_v2": (16, 3, 224, 224),
    "densenet121": (4, 3, 224, 224),
    "convnet8": (8, 3, 32, 32),
    "convnet128": (128, 3, 32, 32),
}


def of_fastconv(name):
    from fastconv.vision import models

    if name.startswith("convnet"):
        return models.small.ConvNet()
    return getattr(models.small, name)() if name in ("resnet18", "vgg11") else getattr(models, name)(num_classes=10)


def of_torch(name):
    from torch import nn

    if name.startswith("convnet"):
        layers = nn.Conv2d(3, 3, 5), nn.ReLU(), nn.MaxPool2d(2), nn.Conv2d(3, 16, 5), nn.ReLU(), nn.AvgPool2d(2)
        return nn.Sequential(*layers, nn.Flatten(), nn.Linear(400, 120), nn.ReLU(), nn.Linear(120, 10))
    from torchvision import models

    model = getattr(models, name)(num_classes=10)
    if name == "resnet18":  # the stem for images of 32 x 32
        model.conv1, model.maxpool = nn.Conv2d(3, 64, 3, padding=1, bias=False), nn.Identity()
    if name == "vgg11":
        model.avgpool, model.classifier = nn.Identity(), nn.Linear(512, 10)
    return model


LIBRARIES: list = []


def declare_operators():
    """Torchvision of another build of torch lacks operators of its own that it names; no network here calls them."""
    import torch

    for operator in ("nms(Tensor dets, Tensor scores, float iou_threshold) -> Tensor", "qnms(Tensor a) -> Tensor"):
        if not hasattr(torch.ops.torchvision, operator.split("(")[0]):
            LIBRARIES.append(torch.library.Library("torchvision", "FRAGMENT"))
            LIBRARIES[-1].define(operator)


def resident():
    """Bytes of this process that are resident now, and the most that were."""
    with open("/proc/self/statm") as file:
        now = int(file.read().split()[1]) * resource.getpagesize()
    return now, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def work(kind, name, threads):
    """A worker: prepares its step, and then times it whenever a line comes in."""
    size = NETWORKS[name]
    if kind in ("fastconv", "apart"):
        sys.path.insert(0, str(ROOT))
        import fastconv as torch
        from fastconv.nn.fused import one_by_one

        make = of_fastconv
        if kind == "apart":
            one_by_one().__enter__()
    else:
        import torch

        make = of_torch
        if not name.startswith("convnet"):
            declare_operators()
            import torchvision.models  # noqa: F401
    torch.set_num_threads(threads)
    torch.manual_seed(0)
    before, _ = resident()
    model, x, labels = make(name), torch.randn(*size), torch.arange(size[0]) % 10
    if kind == "channels_last":
        model, x = model.to(memory_format=torch.channels_last), x.contiguous(memory_format=torch.channels_last)
    network = torch.compile(model) if kind == "compile" else model
    optimizer = torch.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)

    def step():
        optimizer.zero_grad()
        loss = torch.nn.functional.cross_entropy(network(x), labels)
        loss.backward()
        optimizer.step()
        return loss.item()

    losses = [step() for _ in range(3)]
    print(json.dumps({"memory": resident()[1] - before, "losses": losses}), flush=True)
    for _ in sys.stdin:
        least, start, steps = float("inf"), time.perf_counter(), 0
        while steps < 1 or time.perf_counter() - start < 0.5:
            begun = time.perf_counter()
            step()
            least, steps = min(least, time.perf_counter() - begun), steps + 1
        print(json.dumps({"seconds": least}), flush=True)


def main():
    sys.path.append(str(ROOT))  # this fastconv, unless one is installed
    from fastconv.app.contenders import Worker, alternate, median_ratio  # which a worker of torch's does not import

    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--networks", nargs="+", default=list(NETWORKS), choices=list(NETWORKS))
    parser.add_argument("--against", nargs="*", default=["torch", "channels_last"], choices=KINDS[1:])
    parser.add_argument("--json", type=Path, help="append what was measured to this file, a line a network")
    options = parser.parse_args()
    for name in options.networks:
        with contextlib.ExitStack() as stack:
            workers = []
            for kind in ("fastconv", *options.against):
                command = [__file__, "--work", kind, name, str(options.threads)]
                workers.append(stack.enter_context(Worker(kind, command, options.threads, still=True)))
            times = dict(zip([worker.name for worker in workers], alternate(workers, options.turns), strict=True))
        memory = {worker.name: worker.first["memory"] for worker in workers}
        print(f"{name} {NETWORKS[name]}, {options.threads} threads:")
        for kind in times:
            share = memory["fastconv"] / memory[kind] if memory[kind] else float("nan")
            print(
                f"  {kind:14} {1e3 * min(times[kind]):9.1f} ms, fastconv is "
                f"{median_ratio(times[kind], times['fastconv']):5.2f} times as fast; "
                f"{memory[kind] / 2**20:7.1f} MiB, of which fastconv takes {share:.2f}",
                flush=True,
            )
        if options.json:
            with options.json.open("a") as file:
                record = {"network": name, "threads": options.threads, "seconds": times, "memory": memory}
                file.write(json.dumps(record) + "\n")


if __name__ == "__main__":
    if sys.argv[1:2] == ["--work"]:
        work(sys.argv[2], sys.argv[3], int(sys.argv[4]))
    else:
        main()
