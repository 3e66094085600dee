"""What denormal inputs cost: each pass on ordinary numbers and on denormal ones, in turns, as the median ratio.

python benchmarks/denormals.py --threads 1
"""

import argparse
import statistics
import sys
import time
from pathlib import Path

import numpy as np

sys.path.append(str(Path(__file__).resolve().parent.parent))  # this fastconv, unless one is installed

import fastconv
from fastconv import ops
from fastconv._native.layers.normalisation import moments_of, normalise, normalise_backward
from fastconv._native.steps import take_step
from fastconv.elementwise import relu, relu_backward


def seconds(function) -> float:
    start = time.perf_counter()
    function()
    return time.perf_counter() - start


def max_gradient(x):
    _, indices = ops.max_pool2d(np.repeat(np.repeat(x, 2, 2), 2, 3), 2)
    return lambda a, b: ops.max_pool2d_backward(a, indices, (*a.shape[:2], 56, 56))


def elementwise(turns: int, rng: np.random.Generator) -> None:
    x, dy = (rng.standard_normal((8, 32, 28, 28)).astype(np.float32) for _ in range(2))
    moments, ones = moments_of(x, None, None, True, 0.1, 1e-5), np.ones(32, np.float32)
    names = {
        "relu": lambda a, b: relu(a),
        "relu's gradient": relu_backward,
        "batch norm": lambda a, b: normalise(a, ones, ones * 0, moments),
        "batch norm's statistics": lambda a, b: moments_of(a, None, None, True, 0.1, 1e-5),
        "batch norm's gradient": lambda a, b: normalise_backward(a, b, ones, moments, True, True),
        "bias gradient": lambda a, b: ops.bias_gradient(a),
        "SGD": lambda a, b: take_step("sgd", [a.copy()], [b], ([a.copy()],), lr=0.1, first_old=0.9),
    }
    for name, function in names.items():
        ratios = []
        small = x * np.float32(1e-40), dy * np.float32(1e-40)
        for _ in range(turns):
            ordinary = seconds(lambda: function(x, dy))  # noqa: B023
            ratios.append(seconds(lambda: function(*small)) / ordinary)  # noqa: B023
        print(f"{name}: denormal {statistics.median(ratios):.2f}x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--turns", type=int, default=15)
    options = parser.parse_args()
    fastconv.set_num_threads(options.threads)
    rng = np.random.default_rng(0)
    elementwise(options.turns, rng)
    for shape, filters in (((8, 32, 28, 28), (64, 32, 3, 3)), ((8, 32, 28, 28), (32, 1, 3, 3)), ((64, 512), (10, 512))):
        x, w = (rng.standard_normal(size).astype(np.float32) for size in (shape, filters))
        groups = shape[1] // filters[1]
        passes = {}
        if len(shape) == 4:
            y = ops.conv2d(x, w, groups=groups)
            passes["forward"] = x, w, lambda a, b, g=groups: ops.conv2d(a, b, groups=g)
            passes["input gradient"] = y, w, lambda a, b, s=shape, g=groups: ops.conv2d_input(s, b, a, groups=g)
            passes["weight gradient"] = x, y, lambda a, b, s=filters, g=groups: ops.conv2d_weight(a, s, b, groups=g)
            passes["max pooling"] = x, w, lambda a, b: ops.max_pool2d(a, 2)
            passes["max pooling's gradient"] = x, w, max_gradient(x)
            passes["average pooling"] = x, w, lambda a, b: ops.avg_pool2d(a, 2)
            passes["its gradient"] = x, w, lambda a, b, s=shape: ops.avg_pool2d_backward(a, (*s[:2], 56, 56), 2)
            passes["adaptive pooling"] = x, w, lambda a, b: ops.adaptive_avg_pool2d(a, 7)
        else:
            passes["linear"] = x, w, ops.linear
        for name, (a, b, function) in passes.items():
            small = [(array * np.float32(1e-40)) for array in (a, b)]
            ratios = {"first": [], "second": [], "both": []}
            for _ in range(options.turns):
                ordinary = seconds(lambda: function(a, b))  # noqa: B023
                for which, arguments in zip(ratios, ((small[0], b), (a, small[1]), small), strict=True):
                    ratios[which].append(seconds(lambda: function(*arguments)) / ordinary)  # noqa: B023
            told = ", ".join(f"{which} {statistics.median(values):.2f}x" for which, values in ratios.items())
            print(f"{shape} * {filters}, {name}: denormal {told}")


if __name__ == "__main__":
    main()
