"""Print the errors of direct convolution, Winograd's filtering and torch in float32, as Markdown tables.

    python benchmarks/errors.py            # ordinary data: norms, filter by filter size
    python benchmarks/errors.py --relu     # ... inputs and gradients non-negative, their mean as large as their spread
    python benchmarks/errors.py --scales   # channels and filters scaled by 10 to the power of -e to e
    python benchmarks/errors.py --pixel    # ordinary data and one hot pixel
    python benchmarks/errors.py --range    # data near the largest and smallest numbers

Norm-wise errors are ``||y - y64|| / ||y64||``, over the whole result or, of the worst filter, over its part. Inputs and
output gradients are normal, filters scaled so that outputs are as large. torch's columns need torch.
"""

import argparse
from collections.abc import Callable

import numpy as np
from numpy import ndarray

from fastconv import backends, ops

PASSES = ("forward", "input gradient", "weight gradient")

Passes = tuple[ndarray, ...]


def run(x, w, dy, padding) -> Passes:
    """The three passes by fastconv."""
    return (
        ops.conv2d(x, w, padding=padding),
        ops.conv2d_input(x.shape, w, dy, padding=padding),
        ops.conv2d_weight(x, w.shape, dy, padding=padding),
    )


def run_direct(x, w, dy, padding) -> Passes:
    with backends.winograd.flags(enabled=False):
        return run(x, w, dy, padding)


def run_winograd(x, w, dy, padding) -> Passes:
    with backends.force("winograd"):
        return run(x, w, dy, padding)


def run_torch(x, w, dy, padding) -> Passes | None:
    """The three passes by torch, or None."""
    try:
        import torch
    except ImportError:
        return None
    x, w, dy = (torch.from_numpy(a) for a in (x, w, dy))
    y = torch.nn.functional.conv2d(x, w, padding=padding)
    dx, dw, _ = torch.ops.aten.convolution_backward(
        dy, x, w, None, [1, 1], list(padding), [1, 1], False, [0, 0], 1, [True, True, False]
    )
    return tuple(a.numpy() for a in (y, dx, dw))


METHODS: dict[str, Callable] = {"direct": run_direct, "Winograd": run_winograd, "torch": run_torch}


def draw(rng, images, channels, filters, kernel, size) -> tuple[ndarray, ndarray, ndarray]:
    """x, w and dy of a layer whose outputs are as large as its inputs."""
    x = rng.standard_normal((images, channels, size, size), dtype=np.float32)
    w = rng.standard_normal((filters, channels, *kernel), dtype=np.float32)
    w *= np.float32(np.sqrt(1 / w[0].size))
    dy = rng.standard_normal((images, filters, size, size), dtype=np.float32)
    return x, w, dy


def in_float64(x, w, dy, padding) -> Passes:
    return run_direct(*(a.astype(np.float64) for a in (x, w, dy)), padding)


def error(actual: ndarray, expected: ndarray, axis: int | None = None) -> float:
    """Norm-wise; of the worst part along an axis, if one is given."""
    if axis is None:
        return float(np.linalg.norm(actual - expected) / np.linalg.norm(expected))
    return max(error(a, e) for a, e in zip(np.moveaxis(actual, axis, 0), np.moveaxis(expected, axis, 0), strict=True))


def print_row(*cells) -> None:
    print("| " + " | ".join(f"{c:.1e}" if isinstance(c, float) else str(c) for c in cells) + " |")


def print_head(*cells) -> None:
    print_row(*cells)
    print("|" + "---|" * len(cells))


def print_norms(relu: bool) -> None:
    """On 14x14 images padded to keep their size."""
    print_head("filter", "channels", *(f"{name} {method}" for name in PASSES for method in METHODS))
    for kernel in ((3, 3), (5, 5), (1, 3), (1, 5), (1, 7)):
        for channels in (1, 16, 64, 256, 1024):
            padding = kernel[0] // 2, kernel[1] // 2
            x, w, dy = draw(np.random.default_rng(channels), 4, channels, 32, kernel, 14)
            if relu:
                x, dy = np.maximum(x + 1, 0), np.maximum(dy + 1, 0)
            exact = in_float64(x, w, dy, padding)
            results = [method(x, w, dy, padding) for method in METHODS.values()]
            cells = ["-" if r is None else error(r[i], exact[i]) for i in range(3) for r in results]
            print_row(f"{kernel[0]}x{kernel[1]}", channels, *cells)


def print_scales() -> None:
    """Layers of 1x1 and 3x3 taps whose scales are drawn from 10^-e to 10^e: the worst of three draws each."""
    what = ("whole result, x s and w / s", "worst filter, w[k] s", "weight gradient, worst filter, dy[:, k] s")
    print_head("layer", "e", *(f"{name}: {method}" for name in what for method in METHODS))
    for channels, filters, kernel in ((256, 256, 1), (1024, 512, 1), (256, 256, 3)):
        padding = (kernel // 2, kernel // 2)
        for e in range(4):
            worst: dict[tuple[str, str], float] = {}
            for seed in range(3):
                rng = np.random.default_rng([seed, channels, e])
                x, w, dy = draw(rng, 4, channels, filters, (kernel, kernel), 14)
                of_channels, of_filters = (
                    (10.0 ** rng.uniform(-e, e, n)).astype(np.float32)[:, None, None] for n in (channels, filters)
                )
                for name, arrays, part, axis in (
                    (what[0], (x * of_channels, w / of_channels, dy), 0, None),
                    (what[1], (x, w * of_filters[..., None], dy), 0, 1),
                    (what[2], (x, w, dy * of_filters), 2, 0),
                ):
                    exact = in_float64(*arrays, padding)
                    for method, function in METHODS.items():
                        results = function(*arrays, padding)
                        value = np.nan if results is None else error(results[part], exact[part], axis)
                        worst[name, method] = max(worst.get((name, method), 0.0), value)
            print_row(f"{channels} -> {filters}, {kernel}x{kernel}", e, *(worst[n, m] for n in what for m in METHODS))


def print_pixel() -> None:
    """A layer of 64 channels, 64x64 pixels, 3x3 taps and ordinary data but one pixel, of one channel or of all: the
    largest error among outputs that do not see the pixel, whose size is 1, wherever in a tile the pixel lies."""
    values = (-9999.0, 65535.0, 1e6, 1e9, 3e38)
    print_head("pixel of", "method", *(f"{value:g}" for value in values))
    x, w, dy = draw(np.random.default_rng(1), 1, 64, 64, (3, 3), 64)
    for of, channels in (("one channel", slice(7, 8)), ("all channels", slice(None))):
        for method, function in METHODS.items():
            cells: list = []
            for value in values:
                worst, bad = 0.0, 0
                for row, col in np.ndindex(6, 6):
                    hot = x.copy()
                    hot[0, channels, 30 + row, 30 + col] = value
                    results, exact = function(hot, w, dy, (1, 1)), in_float64(hot, w, dy, (1, 1))
                    difference = np.zeros(exact[0].shape) if results is None else np.abs(results[0] - exact[0])
                    difference[..., 29 + row : 32 + row, 29 + col : 32 + col] = 0
                    bad = max(bad, int(np.sum(~np.isfinite(difference))))
                    worst = max(worst, float(difference.max()))
                cells.append("-" if results is None else f"{bad} outputs not finite" if bad else worst)
            print_row(of, method, *cells)


def print_range() -> None:
    """The same layer with all of x scaled: norm-wise errors of the result."""
    values = (1e-36, 1e-35, 1e-34, 1e-33, 1e-30, 1.0, 1e30, 3e35, 3e36, 1e37)
    print_head("size of x", *(f"{value:g}" for value in values))
    for method, function in METHODS.items():
        cells: list = []
        for value in values:
            x, w, dy = draw(np.random.default_rng(1), 1, 64, 64, (3, 3), 64)
            x *= np.float32(value)
            results, exact = function(x, w, dy, (1, 1)), in_float64(x, w, dy, (1, 1))
            bad = 0 if results is None else int(np.sum(~np.isfinite(results[0])))
            if results is None:
                cells.append("-")
            else:
                cells.append(f"{bad / results[0].size:.0%} not finite" if bad else error(results[0], exact[0]))
        print_row(method, *cells)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    kind = parser.add_mutually_exclusive_group()
    for name in ("relu", "scales", "pixel", "range"):
        kind.add_argument(f"--{name}", action="store_const", dest="kind", const=name)
    kind = parser.parse_args().kind
    np.seterr(over="ignore", invalid="ignore")
    if kind == "scales":
        print_scales()
    elif kind == "pixel":
        print_pixel()
    elif kind == "range":
        print_range()
    else:
        print_norms(kind == "relu")


if __name__ == "__main__":
    main()
