"""Fit the costs of the forms of convolution to this machine: the rows of fastconv/_native/tuning.py.

    python benchmarks/fit.py --layers 400 --seed 1 [--isa avx2] [--json times.json] [--from-json times.json]

Draws layers, times every form that each pass can take, in turns on one thread, and fits each row of costs by
non-negative least squares of the relative errors, the more carefully the nearer a form is to the fastest one. The rows
are then moved by small factors as long as that lessens the time lost to wrong picks. Prints the rows, and what is lost
before and after.
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
LEAST_SAMPLES = 8


def nonnegative(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The x >= 0 of the least ``||a x - b||``, by Lawson and Hanson's active sets (1974)."""
    n = a.shape[1]
    x, free = np.zeros(n), np.zeros(n, bool)
    for _ in range(20 * n):
        gradient = np.where(free, -np.inf, a.T @ (b - a @ x))
        if gradient.max(initial=-np.inf) <= 1e-9:
            break
        free[gradient.argmax()] = True
        while True:
            trial = np.zeros(n)
            trial[free] = np.linalg.lstsq(a[:, free], b, rcond=None)[0]
            if (trial[free] > 0).all():
                break
            held = free & (trial <= 0)
            step = (x[held] / np.maximum(x[held] - trial[held], 1e-300)).min()
            x = x + step * (trial - x)
            free &= x > 1e-15
        x = trial
    return x


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

    def of(self, row: int) -> tuple[np.ndarray, int]:
        """The samples in which a row takes part, and its form."""
        form = self.names[row][0]
        return np.flatnonzero(self.rows[:, form] == row), form

    def estimates(self, costs: np.ndarray) -> np.ndarray:
        return np.where(self.rows < 0, np.inf, (self.features * costs[self.rows]).sum(axis=2))

    def lost(self, estimates: np.ndarray, at: np.ndarray | slice = slice(None)) -> np.ndarray:
        """The logarithms of the picked forms' times over the best ones'."""
        picked = np.take_along_axis(self.cycles[at], estimates.argmin(axis=1)[:, None], axis=1)[:, 0]
        return np.log(picked / self.best[at])


def fit(samples: Samples, costs: np.ndarray) -> np.ndarray:
    """Rows of costs by least squares; those of too few samples stay as they are."""
    costs = costs.copy()
    for row in range(len(samples.names)):
        at, form = samples.of(row)
        if len(at) < LEAST_SAMPLES:
            continue
        cycles = samples.cycles[at, form]
        weight = (samples.best[at] / cycles) ** 0.5 / cycles
        a = samples.features[at, form] * weight[:, None]
        size = np.maximum(a.max(axis=0), 1e-300)
        costs[row] = nonnegative(a / size, cycles * weight) / size * (a.max(axis=0) > 0)
    return costs


def refine(samples: Samples, costs: np.ndarray, rounds: int) -> np.ndarray:
    """Move rows, and single costs, by factors that lessen what is lost. A move must gain in proportion to its size:
    what gains in one sample alone says nothing of other layers. (With a fifth of the price below, more is gained on
    the samples, and less on layers that were held out.)"""
    costs = costs.copy()
    for _ in range(rounds):
        moved = False
        for row in range(len(samples.names)):
            at, form = samples.of(row)
            if len(at) < LEAST_SAMPLES:
                continue
            estimates = samples.estimates(costs)[at]
            for part in [slice(None), *np.flatnonzero(costs[row])]:
                best, chosen = samples.lost(estimates, at).sum(), 1.0
                for factor in (0.8, 0.9, 0.95, 1.05, 1.1, 1.25):
                    trial = costs[row].copy()
                    trial[part] *= factor
                    estimates[:, form] = samples.features[at, form] @ trial
                    lost = samples.lost(estimates, at).sum() + 0.05 * len(at) ** 0.5 * abs(math.log(factor))
                    if lost < best:
                        best, chosen = lost, factor
                costs[row, part] *= chosen
                estimates[:, form] = samples.features[at, form] @ costs[row]
                moved |= chosen != 1
        if not moved:
            break
    return costs


def report(samples: Samples, costs: np.ndarray) -> str:
    lost = samples.lost(samples.estimates(costs))
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
    samples, start = Samples(measured), present(options.isa)
    costs = np.array([start.get(row, np.zeros(FEATURES)) for row in samples.names])
    print("before:", report(samples, costs))
    costs = fit(samples, costs)
    print("least squares:", report(samples, costs))
    costs = refine(samples, costs, 10)
    print("refined:", report(samples, costs))
    show(start | dict(zip(samples.names, costs, strict=True)))


if __name__ == "__main__":
    main()
