"""Fit the costs of the forms of convolution to this machine: the rows of fastconv/_native/tuning.py.

    python benchmarks/fit.py --layers 400 --seed 1 [--isa avx2] [--json times.json] [--from-json times.json]

Draws layers, times every form that each pass can take, in turns on one thread, and moves the costs, from those that
tuning.py has, to where the least time is lost to wrong picks. Prints the rows, and what is lost before and after.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
from layers import Layer, draw

import fastconv
from fastconv._native import runtime
from fastconv._native.tuning import FORMS, PASSES

ROW = tuple[int, int, int]  # form, pass, class
FEATURES = 14
SHARPNESS = 12.0  # of the choice that fit() descends: estimates 8 % apart are all but a tie
MOST_LOSS = 1.2  # a form that takes e**1.2 times the best one's time is as bad as any
RESTRAINT = 0.0003
HONESTY = 0.3  # of estimates that pick rightly but lie
LEAST_SHARE = 0.003  # of a form's time, that any of its costs begins with


class Samples:
    """Passes of layers: for each form its row of costs, its features and its measured cycles (infinite: impossible)."""

    def __init__(self, measured: list[tuple[Layer, int, dict[int, float]]]) -> None:
        shape = len(measured), len(FORMS)
        self.cycles, self.rows = np.full(shape, np.inf), np.full(shape, -1)
        self.features = np.zeros((*shape, FEATURES))
        self.names: list[ROW] = []
        for i, (layer, which, cycles) in enumerate(measured):
            counts = layer.plan(which)[4]
            for form, value in cycles.items():
                row = (form, which, counts[form][0])
                if row not in self.names:
                    self.names.append(row)
                self.rows[i, form], self.features[i, form] = self.names.index(row), counts[form][1]
                self.cycles[i, form] = value
        self.best = self.cycles.min(axis=1)

    def estimates(self, costs: np.ndarray) -> np.ndarray:
        return np.where(self.rows < 0, np.inf, (self.features * costs[self.rows]).sum(axis=2))

    def lost(self, costs: np.ndarray) -> np.ndarray:
        """The logarithms of the picked forms' times over the best ones'."""
        picked = np.take_along_axis(self.cycles, self.estimates(costs).argmin(axis=1)[:, None], axis=1)[:, 0]
        return np.log(picked / self.best)


def beginning(samples: Samples, costs: np.ndarray) -> np.ndarray:
    """The costs, but that none is next to nothing, since fit() moves them by factors."""
    shares = np.where(np.isfinite(samples.cycles)[:, :, None], samples.features / samples.cycles[:, :, None], 0)
    possible = samples.rows >= 0
    sums, counts = np.zeros_like(costs), np.bincount(samples.rows[possible], minlength=len(costs))
    np.add.at(sums, samples.rows[possible], shares[possible])
    return np.maximum(costs, np.where(sums > 0, LEAST_SHARE * counts[:, None] / np.maximum(sums, 1e-300), 0))


def fit(samples: Samples, costs: np.ndarray, steps: int = 250) -> np.ndarray:
    """Lessen what is lost: descend the gradient of the logarithms of the taken forms' times over the best ones', a form
    being taken with probability softmax(-SHARPNESS log estimate), by Adam (Kingma and Ba, 2015). To that is added
    HONESTY times the squares of the estimates' logarithmic errors, weighed by 1 / (a form's time over the best one's).
    Costs move by factors, which the square of their logarithms restrains: what gains in few samples says little of
    other layers."""
    possible = samples.rows >= 0
    rows = np.where(possible, samples.rows, 0)
    cycles = np.where(possible, samples.cycles, 1)
    ratios = np.where(possible, cycles / samples.best[:, None], 1)
    losses = np.minimum(np.log(ratios), MOST_LOSS)
    counts = np.bincount(rows[possible], minlength=len(costs))[:, None]
    moved, mean, square = (np.zeros_like(costs) for _ in range(3))
    for step in range(1, steps + 1):
        sharpness = SHARPNESS * min(1, 0.4 + step / steps)
        parts = samples.features * (costs * np.exp(moved))[rows]
        estimates = np.where(possible, parts.sum(axis=2), 1)
        scores = np.where(possible, -sharpness * np.log(estimates), -np.inf)
        taken = np.exp(scores - scores.max(axis=1, keepdims=True))
        taken /= taken.sum(axis=1, keepdims=True)
        slope = -sharpness * taken * (losses - (taken * losses).sum(axis=1, keepdims=True))
        slope += 2 * HONESTY * np.clip(np.log(estimates / cycles), -1, 1) / ratios
        gradient = 2 * RESTRAINT * counts * moved
        np.add.at(gradient, rows[possible], ((slope / estimates)[:, :, None] * parts)[possible])
        gradient /= len(losses)
        mean, square = 0.9 * mean + 0.1 * gradient, 0.99 * square + 0.01 * gradient**2
        length = 0.02 if step < 0.7 * steps else 0.006
        moved -= length * mean / (1 - 0.9**step) / (np.sqrt(square / (1 - 0.99**step)) + 1e-6)
    return costs * np.exp(moved)


def report(samples: Samples, costs: np.ndarray) -> str:
    lost = samples.lost(costs)
    return f"within 10 %: {np.mean(lost <= math.log(1.1)):.1%}, time lost {np.expm1(lost.mean()):.1%}"


def present(isa: str) -> dict[ROW, np.ndarray]:
    """The rows of tuning.py."""
    from fastconv._native.tuning import tuning_of

    costs = {}
    for (form, name), rows in tuning_of(isa)[1].items():
        for i, row in enumerate(rows):
            costs[FORMS.index(form), PASSES.index(name), i] = np.array([*row, *[0.0] * (FEATURES - len(row))])
    return costs


def show(costs: dict[ROW, np.ndarray]) -> None:
    """Print the rows as tuning.py has them."""
    for form, which in sorted({row[:2] for row in costs}):
        rows = [costs.get((form, which, i), np.zeros(0)) for i in range(3)]
        while len(rows) > 1 and not rows[-1].any():
            rows.pop()
        text = ", ".join("[" + ", ".join(f"{x:.3g}" for x in np.trim_zeros(row, "b")) + "]" for row in rows)
        print(f'        ("{FORMS[form]}", "{PASSES[which]}"): [{text}],')


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=400)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=4)
    parser.add_argument("--isa", default=runtime.get_isa(), help="instruction set (default: the one in use)")
    parser.add_argument("--json", type=Path, help="write what was measured, layer by layer")
    parser.add_argument("--from-json", type=Path, nargs="+", help="fit what was measured before")
    options = parser.parse_args()
    runtime.set_isa(options.isa)
    fastconv.set_num_threads(1)
    measured = []
    if options.from_json:
        for line in "".join(file.read_text() for file in options.from_json).splitlines():
            record = json.loads(line)
            layer = Layer(*(tuple(a) if isinstance(a, list) else a for a in record["layer"]))
            measured.append((layer, record["which"], {int(form): value for form, value in record["cycles"].items()}))
    else:
        rng = np.random.default_rng(options.seed)
        # Two vectors of multiply-adds a cycle.
        clock = runtime.peak_gflops(0.5) * 1e9 / (4 * runtime.lanes())
        for _ in range(options.layers):
            layer = draw(rng)
            for which in range(3):
                cycles = {form: time * clock for form, time in layer.measure(which, options.repeats).items()}
                measured.append((layer, which, cycles))
                if options.json:
                    with options.json.open("a") as file:
                        print(json.dumps({"layer": layer.arguments, "which": which, "cycles": cycles}), file=file)
            layer.arrays = None
    samples, start = Samples(measured), present(options.isa)
    costs = np.array([start.get(row, np.zeros(FEATURES)) for row in samples.names])
    print("before:", report(samples, costs))
    costs = fit(samples, beginning(samples, costs))
    print("after:", report(samples, costs))
    show(start | dict(zip(samples.names, costs, strict=True)))


if __name__ == "__main__":
    main()
