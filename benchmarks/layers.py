"""Drawn layers, and what each of their forms takes: what fit.py and choice.py share."""

import time

import numpy as np

import fastconv
from fastconv import ops
from fastconv._native import plan
from fastconv._native.tuning import FORMS, PASSES

__all__ = ["Layer", "draw"]

KINDS = (
    "dense",
    "dense",
    "dense",
    "strided",
    "single",
    "single",
    "line",
    "depthwise",
    "grouped",
    "few",
    "first",
    "stem",
    "large",
)
MOST_WORK = 4e8  # multiply-adds of a layer, so that a run stays a matter of minutes


def draw(rng: np.random.Generator) -> "Layer":
    """A layer: sizes spread evenly by their logarithm; dense, grouped, depthwise, first layers, single taps, lines."""
    while True:
        kind = str(rng.choice(KINDS))
        images, groups, stride, dilation = int(2 ** rng.uniform(0, 6)), 1, 1, 1
        channels, filters = (max(1, int(2 ** rng.uniform(0, 9))) for _ in range(2))
        height = width = (
            int(rng.choice([4, 7, 8, 14, 16, 28, 32, 56])) if rng.random() < 0.5 else int(2 ** rng.uniform(2, 7))
        )
        if rng.random() < 0.3:
            width = int(2 ** rng.uniform(2, 7))
        size = int(rng.choice([2, 3, 3, 3, 4, 5, 7]))
        kernel = (size, size)
        if kind == "strided":
            stride, channels = int(rng.choice([2, 2, 3])), max(16, channels // 16 * 16)
        elif kind == "single":
            kernel, stride = (1, 1), int(rng.choice([1, 1, 1, 2]))
        elif kind == "line":
            size = int(rng.choice([3, 5, 7]))
            kernel = (1, size) if rng.random() < 0.7 else (size, 1)
            if kernel[0] == 1 and rng.random() < 0.4:  # a sequence
                height, width = 1, int(2 ** rng.uniform(4, 12))
        elif kind == "depthwise":
            groups = channels = max(2, channels)
            filters, stride = channels * int(rng.choice([1, 1, 1, 2])), int(rng.choice([1, 1, 2]))
        elif kind == "grouped":
            groups = int(rng.choice([2, 4, 8, 32]))
            channels, filters = (groups * max(1, n // groups) for n in (channels, filters))
        elif kind == "few":  # channels a group
            groups, each = int(rng.choice([8, 16, 20, 32, 48, 64])), int(rng.choice([2, 3, 4, 4, 8]))
            channels = filters = groups * each
            stride = int(rng.choice([1, 1, 2]))
        elif kind == "stem":  # a first layer of large images
            images, channels, filters = (
                int(2 ** rng.uniform(0, 4)),
                int(rng.choice([1, 3, 3])),
                int(2 ** rng.uniform(3, 7)),
            )
            height = width = int(rng.choice([96, 128, 160, 192, 224, 224, int(2 ** rng.uniform(6, 8))]))
            size, stride = (
                int(n) for n in rng.choice([(3, 1), (3, 2), (4, 4), (5, 1), (5, 2), (7, 2), (7, 2), (11, 4)])
            )
            kernel = (size, size)
        elif kind == "large":  # a filter
            kernel = tuple(int(n) for n in rng.choice([4, 5, 5, 7, 7, 9, 11, 13], 2))
            kernel = kernel if rng.random() < 0.2 else (kernel[0], kernel[0])
        elif kind == "first":
            channels, stride = int(rng.choice([1, 3, 3, 4])), int(rng.choice([1, 1, 2]))
        elif rng.random() < 0.15:
            dilation = int(rng.choice([2, 3]))
        padding = tuple(int(rng.choice([0, n // 2 * dilation])) for n in kernel)
        last = bool(rng.random() < 0.25)
        out = [
            (n + 2 * p - (k - 1) * dilation - 1) // stride + 1
            for n, p, k in zip((height, width), padding, kernel, strict=True)
        ]
        work = images * filters * channels // groups * kernel[0] * kernel[1] * float(max(out[0], 0) * max(out[1], 0))
        if min(out) > 0 and 1e4 < work < MOST_WORK:
            x, w = (images, channels, height, width), (filters, channels // groups, *kernel)
            return Layer(x, w, (images, filters, *out), stride, padding, dilation, groups, last)


class Layer:
    """A convolution with arrays to compute its passes on, and the plans of these."""

    def __init__(self, x, w, y, stride, padding, dilation, groups, last) -> None:
        self.arguments = x, w, y, stride, padding, dilation, groups, last
        self.sizes = x, w, y
        self.how = {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups}
        self.last = last
        pair = (dilation if w[2] > 1 else 1, dilation if w[3] > 1 else 1)
        steps = tuple(stride if n > 1 else 1 for n in y[2:])
        self.parameters = (*steps, *padding, *pair, groups)
        self.arrays = None

    def __repr__(self) -> str:
        x, w, _ = self.sizes
        how = ", ".join(f"{name} {value}" for name, value in self.how.items())
        return f"{x} * {w}, {how}{', channels last' if self.last else ''}"

    def plan(self, which: int) -> tuple:
        """What weigh_sizes() says of a pass: the form taken, the cycles of all, ..., their features."""
        # Of images of one channel no result has channels last.
        source = self.sizes[2 if which == 1 else 0]
        last = self.last and (which == 2 or source[1] > 1)
        return plan.weigh_sizes(which, *self.sizes, self.parameters, 4, last, -1)

    def forms(self, which: int) -> list[int]:
        """The forms that a pass can take."""
        return sorted(self.plan(which)[4])

    def call(self, which: int):
        """A function that computes a pass once."""
        if self.arrays is None:
            rng = np.random.default_rng(0)
            x, w, y = (rng.standard_normal(size, dtype=np.float32) for size in self.sizes)
            if self.last:
                x, y = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, y))
            self.arrays = x, w, y
        x, w, y = self.arrays
        return (
            lambda: ops.conv2d(x, w, **self.how),
            lambda: ops.conv2d_input(x.shape, w, y, **self.how),
            lambda: ops.conv2d_weight(x, w.shape, y, **self.how),
        )[which]

    def measure(self, which: int, repeats: int, seconds: float = 0.004) -> dict[int, float]:
        """The least seconds of processor time of a call of each form, taken in turns; hopelessly slow ones are not
        measured again."""
        call, forms = self.call(which), self.forms(which)
        best = dict.fromkeys(forms, np.inf)
        for turn in range(repeats):
            for form in forms:
                if turn and best[form] > 3 * min(best.values()):
                    continue
                with fastconv.backends.force(FORMS[form]):
                    calls, start = 0, time.thread_time()
                    while calls < 3 or time.thread_time() - start < seconds:
                        before = time.thread_time()
                        call()
                        # A processor's time has been seen to stand still over a call.
                        best[form] = min(best[form], time.thread_time() - before or np.inf)
                        calls += 1
                        if time.thread_time() - start > 20 * seconds:
                            break
        return best


assert len(PASSES) == 3
