"""How often fastconv picks the faster of direct convolution and Winograd's filtering.

    python benchmarks/choice.py --shapes 200 --seed 1 --threads 1 [--json run.json]

Draws layers that either can do, times each pass both ways in turns in one process, and prints those where the pick took
over 10 % more time than the other way, and the share of the rest.
"""

import argparse
import json
import statistics
import time
from pathlib import Path

import numpy as np

import fastconv
from fastconv import ops
from fastconv._native import winograd

PASSES = ("forward", "input_gradient", "weight_gradient")
MOST_WORK = 2e9  # multiply-adds of a layer, so that a run stays a matter of minutes


def draw(rng: np.random.Generator, lines: float, strides: float) -> dict:
    """A layer: sizes spread evenly by their logarithm, filters of one row or column with a probability of `lines`, a
    stride with one of `strides` among the others."""
    while True:
        groups = int(rng.choice([1, 1, 1, 1, 1, 2, 4, 32]))
        channels, filters = (groups * max(1, int(2 ** rng.uniform(0, 9) / groups)) for _ in range(2))
        height, width = (int(2 ** rng.uniform(2, 7)) for _ in range(2))
        if rng.random() < 0.7:
            width = height
        images = int(2 ** rng.uniform(0, 7))
        dilation, stride = int(rng.choice([1, 1, 1, 2])), 1
        if rng.random() < lines:
            size = int(rng.choice([3, 5, 7]))
            kernel = (1, size) if rng.random() < 0.7 else (size, 1)
            if kernel[0] == 1 and rng.random() < 0.6:  # a sequence
                height, width, dilation = 1, int(2 ** rng.uniform(4, 13)), int(rng.choice([1, 1, 2, 8]))
        else:
            kernel = (int(rng.choice([2, 3, 3, 3, 3, 4, 5])),) * 2
            if rng.random() < strides:
                size, stride, dilation = int(rng.choice([3, 3, 3, 4, 5, 7])), 2, 1
                few = rng.random() < 0.3  # a first layer
                kernel, channels = (size, size), groups * (3 if few else max(16, channels // groups // 16 * 16))
        padding = [int(rng.integers(0, size // 2 * dilation + 1)) for size in kernel]
        if kernel[0] == kernel[1]:
            padding[1] = padding[0]
        h, w = (n + 2 * p - (k - 1) * dilation for n, p, k in zip((height, width), padding, kernel, strict=True))
        work = images * filters * channels // groups * kernel[0] * kernel[1] * h * w // stride**2
        if min(h, w) > 0 and 1e4 < work < MOST_WORK:
            return {
                "x": (images, channels, height, width),
                "w": (filters, channels // groups, *kernel),
                "stride": stride,
                "padding": tuple(padding),
                "dilation": dilation,
                "groups": groups,
            }


def seconds(function) -> float:
    """Of a call, over some milliseconds of them."""
    start, calls = time.perf_counter(), 0
    while calls == 0 or time.perf_counter() - start < 0.004:
        function()
        calls += 1
    return (time.perf_counter() - start) / calls


def measure(layer: dict, repeats: int) -> dict:
    """Seconds of each pass, directly and by Winograd's filtering, and what is picked."""
    rng = np.random.default_rng(0)
    x, w = (rng.standard_normal(layer[name], dtype=np.float32) for name in "xw")
    how = {name: layer[name] for name in ("stride", "padding", "dilation", "groups")}
    dy = rng.standard_normal(ops.conv2d(x, w, **how).shape, dtype=np.float32)
    calls = (
        lambda: ops.conv2d(x, w, **how),
        lambda: ops.conv2d_input(x.shape, w, dy, **how),
        lambda: ops.conv2d_weight(x, w.shape, dy, **how),
    )
    picks = fastconv.explain(layer["x"], layer["w"], **how)
    result = {}
    for name, call in zip(PASSES, calls, strict=True):
        times: tuple[list, list] = ([], [])
        for turn in range(repeats + 1):
            for mode in (0, 2):
                winograd.set_mode(mode)
                took = seconds(call)
                if turn:
                    times[mode // 2].append(took)
        winograd.set_mode(1)
        ratio = statistics.median(direct / winograd for direct, winograd in zip(*times, strict=True))
        result[name] = {"ratio": ratio, "direct": statistics.median(times[0]), "picked": picks[name] != "direct"}
    return result


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--shapes", type=int, default=200)
    parser.add_argument("--lines", type=float, default=0.4, help="share of filters of one row or column (default 0.4)")
    parser.add_argument("--strides", type=float, default=0.3, help="share of strides among the others (default 0.3)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5, help="turns of either way (default 5)")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    fastconv.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed)
    records, losses = [], []
    for _ in range(options.shapes):
        layer = draw(rng, options.lines, options.strides)
        result = measure(layer, options.repeats)
        records.append({"layer": layer, "passes": result})
        for name, one in result.items():
            loss = 1 / one["ratio"] if one["picked"] else one["ratio"]  # the picked way's time over the other's
            losses.append(loss)
            if loss > 1.1:
                pick = "Winograd" if one["picked"] else "direct"
                print(f"{loss:5.2f}  {pick:8} {name:15} {one['direct'] * 1e3:9.3f} ms directly  {layer}", flush=True)
    good = sum(loss <= 1.1 for loss in losses)
    share = f"{good} of {len(losses)} passes of {options.shapes} layers, {good / len(losses):.1%}"
    print(f"within 10 % of the better: {share}")
    print(f"time lost to wrong picks, geometric mean: {statistics.geometric_mean(max(1, x) for x in losses) - 1:.1%}")
    if options.json:
        options.json.write_text(json.dumps(records))


if __name__ == "__main__":
    main()
