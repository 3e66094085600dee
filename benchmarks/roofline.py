"""A training step of a network beside its two floors: operations by the multiply-adds' peak, bytes by the memory.

    python benchmarks/roofline.py [--network resnet50] [--batch 8] [--size 224] [--threads 1] [--turns 3]

Prints, for every different convolution and pass: how often it is there, its form, the time (the least of the turns),
both floors, and the larger one as a share of the time. Operations are the products of the form that is taken: minimal
filtering's are fewer. Bytes are the three arrays', once each. Peak and speed are measured in between. Batch norms have
as their floor the passes that they make over memory. A convolution by itself may take longer than in the step, where
what it reads was written just before.
"""

import argparse
import time
from concurrent.futures import ThreadPoolExecutor

import numpy as np
from layers import Layer

import fastconv
from fastconv import nn
from fastconv._native import runtime
from fastconv._native.tuning import FORMS, PASSES
from fastconv.vision import models

# Passes of batch norm over an array of its size, forward and backward: docs/decisions/between-layers.md.
NORM_PASSES = 3 + 5


def parts(name, batch, size):
    """Every different convolution, [layer, whether it has an input gradient, how often], and the elements of all batch
    norms."""
    model, found, norms = models.get_model(name, num_classes=10), {}, []

    def note(module, inputs, output):
        if isinstance(module, nn.BatchNorm2d):
            norms.append(output.numel())
            return
        first = not found
        shapes = tuple(inputs[0].shape), tuple(module.weight.shape), tuple(output.shape)
        how = module.stride[0], tuple(module.padding), module.dilation[0], module.groups
        found.setdefault((shapes, how), [Layer(*shapes, *how, False), not first, 0])[2] += 1

    for module in model.modules():
        if isinstance(module, nn.Conv2d | nn.BatchNorm2d):
            module.register_forward_hook(note)
    with fastconv.no_grad():
        model(fastconv.zeros(batch, 3, size, size))
    return list(found.values()), sum(norms)


def least(call, turns):
    """The least seconds of a call, and the peak that was met meanwhile."""
    seconds, peaks = [], []
    call()
    for _ in range(turns):
        peaks.append(runtime.peak_gflops(0.005))
        start = time.perf_counter()
        call()
        seconds.append(time.perf_counter() - start)
    return min(seconds), max(peaks)


def copying(threads, size=1 << 25):
    """Bytes that are read and written in a second, each thread copying arrays of its own."""
    pairs = [(np.ones(size, np.float32), np.ones(size, np.float32)) for _ in range(threads)]
    with ThreadPoolExecutor(threads) as pool:
        return 8.0 * size * threads / least(lambda: list(pool.map(lambda pair: np.copyto(*pair), pairs)), 5)[0]


def step_of(name, batch, size):
    """A function that makes a training step."""
    model = models.get_model(name, num_classes=10)
    optimizer = fastconv.optim.SGD(model.parameters(), lr=0.001, momentum=0.9)
    x, labels = fastconv.randn(batch, 3, size, size), fastconv.arange(batch) % 10

    def step():
        optimizer.zero_grad()
        fastconv.nn.functional.cross_entropy(model(x), labels).backward()
        optimizer.step()

    return step


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--network", default="resnet50")
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=3)
    options = parser.parse_args()
    fastconv.set_num_threads(options.threads)
    what = options.network, options.batch, options.size
    convolutions, norms = parts(*what)
    speed, rows, peak = copying(options.threads), [], 0.0
    for layer, has_input, count in convolutions:
        x, w, y = layer.sizes
        operations = 2.0 * np.prod(y) * np.prod(w[1:])
        bytes_moved = 4.0 * (np.prod(x) + np.prod(w) + np.prod(y))
        for which, name in enumerate(PASSES):
            if which == 1 and not has_input:
                continue
            seconds, seen = least(layer.call(which), options.turns)
            peak = max(peak, seen)
            form, _, tile, *_ = layer.plan(which)
            share = 1.0
            if FORMS[form] == "winograd":
                m_h, m_w, r, s = tile
                residues = layer.how["stride"] ** 2
                share = residues * (m_h + r - 1) * (m_w + s - 1) / (m_h * m_w * w[2] * w[3])
            rows.append((f"{x[1:]} * {w} / {layer.how['stride']}", name, FORMS[form], count, seconds,
                         share * operations, bytes_moved))  # fmt: skip
        layer.arrays = None
    peak *= options.threads * 1e9
    step, _ = least(step_of(*what), options.turns)
    print(f"{what[0]}, batch {what[1]} of {what[2]}x{what[2]}, {options.threads} thread(s), {runtime.get_isa()}: peak "
          f"{peak / 1e9:.0f} GFLOP/s, memory {speed / 1e9:.1f} GB/s\n")  # fmt: skip
    print(
        "| layer | pass | form | times | ms | operations, ms | bytes, ms | share |\n|---|---|---|---|---|---|---|---|"
    )
    total, floor = 0.0, 0.0
    for layer, name, form, count, seconds, operations, bytes_moved in rows:
        floors = operations / peak, bytes_moved / speed
        total, floor = total + count * seconds, floor + count * max(floors)
        print(f"| {layer} | {name} | {form} | {count} | {seconds * 1e3:.2f} | {floors[0] * 1e3:.2f} | "
              f"{floors[1] * 1e3:.2f} | {max(floors) / seconds:.0%} |")  # fmt: skip
    print(f"| convolutions | | | {sum(row[3] for row in rows)} | {total * 1e3:.0f} | {floor * 1e3:.0f} | | "
          f"{floor / total:.0%} |")  # fmt: skip
    between = NORM_PASSES * 4.0 * norms / speed
    print(f"| batch norms | | | | | | {between * 1e3:.0f} | |\n| step | | | | {step * 1e3:.0f} | | | "
          f"{(floor + between) / step:.0%} |")  # fmt: skip


if __name__ == "__main__":
    main()
