"""Many threads calling everything for a long time: no wrong result, and memory that stays as it is.

    python -m tests.soak --calls 1000000 --threads 8 --seed 0

Each thread draws its calls from a few dozen of all kinds and compares every result, bit for bit, with the one that a
single thread got at first. Resident memory is read every second, the first tenth of the run left out; its median in
the last quarter of the readings may not be more than 5 % above that in the first. Exit status 1 if it is, or if a
result was wrong.
"""

import argparse
import json
import os
import statistics
import sys
import threading
import time
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).parent))

import numpy as np

import fastconv
from fastconv import ops
from fastconv._native import runtime
from fastconv.nn import functional as F

GROWTH = 0.05


class Call:
    """A call whose result is known."""

    def __init__(self, name, function):
        self.name, self.function = name, function
        self.expected = self._results()

    def _results(self):
        results = self.function()
        return results if isinstance(results, tuple) else (results,)

    def is_right(self) -> bool:
        return all(np.array_equal(a, b) for a, b in zip(self._results(), self.expected, strict=True))


def make_calls() -> list[Call]:
    rng = np.random.default_rng(0)

    def normal(*shape, dtype=np.float32):
        return rng.standard_normal(shape).astype(dtype)

    calls = []
    for dtype in (np.float32, np.float64):
        for x_shape, w_shape, options in (
            ((1, 3, 9, 9), (4, 3, 3, 3), {}),
            ((2, 4, 12, 12), (6, 2, 3, 3), {"groups": 2, "padding": 1}),
            ((2, 6, 11, 13), (6, 1, 3, 3), {"groups": 6, "stride": 2, "padding": 1}),
            ((1, 16, 8, 8), (16, 16, 1, 1), {}),
            ((1, 2, 17, 17), (3, 2, 5, 5), {"dilation": 2}),
            ((4, 16, 32, 32), (24, 16, 3, 3), {"padding": 1}),  # worth a second thread
        ):
            x, w = normal(*x_shape, dtype=dtype), normal(*w_shape, dtype=dtype)
            y = ops.conv2d(x, w, **options)
            calls += [
                Call("conv2d", lambda x=x, w=w, o=options: ops.conv2d(x, w, **o)),
                Call("conv2d_input", lambda s=x_shape, w=w, y=y, o=options: ops.conv2d_input(s, w, y, **o)),
                Call("conv2d_weight", lambda x=x, s=w_shape, y=y, o=options: ops.conv2d_weight(x, s, y, **o)),
            ]
        x = normal(2, 3, 12, 13, dtype=dtype)
        view = x[:, :, ::-1, ::2]
        y, indices = ops.max_pool2d(x, 3, 2, 1)
        matrix, other = normal(9, 40, dtype=dtype), normal(7, 40, dtype=dtype)
        calls += [
            Call("max_pool2d", lambda x=x: ops.max_pool2d(x, 3, 2, 1)),
            Call("max_pool2d_backward", lambda y=y, i=indices: ops.max_pool2d_backward(y, i, (2, 3, 12, 13))),
            Call("avg_pool2d", lambda x=view: ops.avg_pool2d(x, 2)),
            Call("avg_pool2d_backward", lambda x=x: ops.avg_pool2d_backward(x, (2, 3, 24, 26), 2)),
            Call("adaptive_avg_pool2d", lambda x=x: ops.adaptive_avg_pool2d(x, 5)),
            Call("pad2d", lambda x=x: ops.pad2d(x, (1, 2, 3, 4), "reflect")),
            Call("linear", lambda a=matrix, b=other: ops.linear(a, b)),
            Call("bias_gradient", lambda x=x: ops.bias_gradient(x)),
        ]
    net = fastconv.nn.Sequential(
        fastconv.nn.Conv2d(3, 4, 3), fastconv.nn.ReLU(), fastconv.nn.MaxPool2d(2), fastconv.nn.Flatten()
    )
    images, labels = fastconv.from_numpy(normal(2, 3, 8, 8)), fastconv.from_numpy(np.array([1, 2]))
    weight, bias = normal(4, 3, 3, 3), normal(4)

    def train():
        w, b = (fastconv.from_numpy(a.copy()).requires_grad_() for a in (weight, bias))
        scores = F.conv2d(images, w, b).relu().flatten(1)
        loss = F.cross_entropy(scores, labels)
        loss.backward()
        return loss.detach().numpy(), w.grad.numpy(), b.grad.numpy()

    def look():
        with fastconv.no_grad():
            return net(images).numpy()

    def refuse():
        try:
            ops.conv2d(weight, weight, stride=0)
        except ValueError as error:
            return np.frombuffer(str(error).encode(), np.uint8)

    return [*calls, Call("train", train), Call("net", look), Call("refuse", refuse)]


def resident() -> int:
    """Bytes of this process in memory."""
    with open("/proc/self/statm") as file:
        return int(file.read().split()[1]) * os.sysconf("SC_PAGESIZE")


def run(calls: int, threads: int, seed: int, report_every: float | None = None) -> dict:
    known = make_calls()
    before = runtime.get_num_threads()
    runtime.set_num_threads(2)
    done, wrong, sizes = [0] * threads, [], []

    def work(number):
        rng = np.random.default_rng([seed, number])
        while sum(done) < calls:
            for index in rng.integers(len(known), size=50).tolist():
                if not known[index].is_right():
                    wrong.append(known[index].name)
                done[number] += 1

    workers = [threading.Thread(target=work, args=(number,), daemon=True) for number in range(threads)]
    began, told = time.monotonic(), 0.0
    for worker in workers:
        worker.start()
    while any(worker.is_alive() for worker in workers):
        workers[0].join(0.2)
        if sum(done) >= calls / 10:
            sizes.append(resident())
        if report_every is not None and time.monotonic() - told > report_every:
            told = time.monotonic()
            print(f"{sum(done):,} calls, {resident() / 2**20:.1f} MB, {len(wrong)} wrong", flush=True)
        time.sleep(min(1.0, calls / 1e6))
    runtime.set_num_threads(before)
    sizes = sizes or [resident()]
    quarter = max(1, len(sizes) // 4)
    first, last = statistics.median(sizes[:quarter]), statistics.median(sizes[-quarter:])
    return {
        "calls": sum(done),
        "threads": threads,
        "seed": seed,
        "seconds": round(time.monotonic() - began, 1),
        "wrong": wrong,
        "resident_first": first,
        "resident_last": last,
        "resident_most": max(sizes),
        "grown": round(last / first - 1, 4),
    }


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.soak", description=__doc__.splitlines()[0])
    parser.add_argument("--calls", type=int, default=1_000_000)
    parser.add_argument("--threads", type=int, default=8)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    report = run(options.calls, options.threads, options.seed, report_every=5.0)
    print(json.dumps(report))
    return 1 if report["wrong"] or report["grown"] > GROWTH else 0


if __name__ == "__main__":
    sys.exit(main())
