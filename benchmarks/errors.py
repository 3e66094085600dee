"""Print the norm-wise errors of direct convolution, Winograd's filtering and torch as a Markdown table.

    python benchmarks/errors.py [--relu]

``||y - y64|| / ||y64||``: float32 beside the same sums in float64, on 14x14 images padded to keep their size. Inputs
and output gradients are normal, filters He-scaled; with --relu inputs and gradients are non-negative, their mean as
large as their spread. torch's columns need torch.
"""

import argparse

import numpy as np

from fastconv import ops
from fastconv._native import winograd

PASSES = ("forward", "input gradient", "weight gradient")


def run(x, w, dy, padding):
    """The three passes by fastconv."""
    return (
        ops.conv2d(x, w, padding=padding),
        ops.conv2d_input(x.shape, w, dy, padding=padding),
        ops.conv2d_weight(x, w.shape, dy, padding=padding),
    )


def run_torch(x, w, dy, padding):
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


def errors(actual, expected) -> list[str]:
    if actual is None:
        return ["-"] * len(expected)
    return [f"{np.linalg.norm(a - e) / np.linalg.norm(e):.1e}" for a, e in zip(actual, expected, strict=True)]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--relu", action="store_true", help="non-negative inputs and output gradients")
    relu = parser.parse_args().relu
    names = ("direct", "Winograd", "torch")
    print("| filter | channels | " + " | ".join(f"{a} {b}" for b in PASSES for a in names) + " |")
    print("|---|---|" + "---|" * 9)
    for kernel in ((3, 3), (5, 5), (1, 3), (1, 5), (1, 7)):
        for channels in (1, 16, 64, 256, 1024):
            rng = np.random.default_rng(channels)
            padding = kernel[0] // 2, kernel[1] // 2
            x = rng.standard_normal((4, channels, 14, 14), dtype=np.float32)
            w = rng.standard_normal((32, channels, *kernel), dtype=np.float32)
            w *= np.float32(np.sqrt(2 / w[0].size))
            dy = rng.standard_normal((4, 32, 14, 14), dtype=np.float32)
            if relu:
                x, dy = np.maximum(x + 1, 0), np.maximum(dy + 1, 0)
            winograd.set_mode(0)
            exact = run(*(a.astype(np.float64) for a in (x, w, dy)), padding)
            columns = [errors(run(x, w, dy, padding), exact)]
            winograd.set_mode(2)
            columns += [errors(run(x, w, dy, padding), exact), errors(run_torch(x, w, dy, padding), exact)]
            cells = [column[i] for i in range(3) for column in columns]
            print(f"| {kernel[0]}x{kernel[1]} | {channels} | " + " | ".join(cells) + " |")


if __name__ == "__main__":
    main()
