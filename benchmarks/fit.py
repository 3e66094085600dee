"""Fit the costs of the forms of convolution to this machine: the rows of fastconv/_native/tuning.py.

    python benchmarks/fit.py --layers 400 --seed 1 [--isa avx2] [--json times.json] [--from-json times.json]

Draws layers, times every form that each pass can take, in turns on one thread, and fits each row of costs by non-negative
least squares of the relative errors, the more carefully the nearer a form is to the fastest one. The rows are then moved by
small factors as long as that lessens the time lost to wrong picks. Prints the rows, and what is lost before and after.
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


class Sample:
    """A pass of a layer: for each form its row, features and measured cycles."""

    def __init__(self, layer: Layer, which: int, cycles: dict[int, float]) -> None:
        _, _, _, _, counts = layer.plan(which)
        self.name, self.which, self.cycles = f"{PASSES[which]} {layer}", which, cycles
        self.rows: dict[int, ROW] = {form: (form, which, counts[form][0]) for form in cycles}
        self.features = {form: np.array(counts[form][1]) for form in cycles}
        self.best = min(cycles.values())

    def pick(self, costs: dict[ROW, np.ndarray]) -> int:
        return min(self.cycles, key=lambda form: costs[self.rows[form]] @ self.features[form])

    def lost(self, costs: dict[ROW, np.ndarray]) -> float:
        """The logarithm of the picked form's time over the best one's."""
        return math.log(self.cycles[self.pick(costs)] / self.best)


def fit(samples: list[Sample], start: dict[ROW, np.ndarray]) -> dict[ROW, np.ndarray]:
    """Rows of costs by least squares; those of too few samples stay as they are."""
    costs = dict(start)
    for row in sorted({row for sample in samples for row in sample.rows.values()}):
        of = [s for s in samples if row in s.rows.values()]
        if len(of) < 20:
            continue
        weight = np.array([(s.best / s.cycles[row[0]]) ** 0.5 / s.cycles[row[0]] for s in of])
        a = np.array([s.features[row[0]] for s in of]) * weight[:, None]
        size = np.maximum(np.abs(a).max(axis=0), 1e-300)
        x = nonnegative(a / size, np.array([s.cycles[row[0]] for s in of]) * weight)
        costs[row] = x / size * (np.abs(a).max(axis=0) > 0)
    return costs


def refine(samples: list[Sample], costs: dict[ROW, np.ndarray], rounds: int) -> dict[ROW, np.ndarray]:
    """Move rows, and single costs, by factors that lessen what is lost."""
    costs = {row: cost.copy() for row, cost in costs.items()}
    for _ in range(rounds):
        moved = False
        for row, cost in costs.items():
            of = [s for s in samples if row in s.rows.values()]
            if len(of) < 20:
                continue
            parts = [slice(None), *[slice(i, i + 1) for i in range(len(cost)) if cost[i] > 0]]
            for part in parts:
                best, chosen = sum(s.lost(costs) for s in of), None
                for factor in (0.8, 0.9, 0.95, 1.05, 1.1, 1.25):
                    trial = cost.copy()
                    trial[part] *= factor
                    # A cost that grows without bound says nothing: each step must gain what it moves.
                    lost = sum(s.lost(costs | {row: trial}) for s in of) + 0.002 * abs(math.log(factor)) * len(of)
                    if lost < best - 1e-9:
                        best, chosen = lost, trial
                if chosen is not None:
                    cost[:] = chosen
                    moved = True
        if not moved:
            break
    return costs


def report(samples: list[Sample], costs: dict[ROW, np.ndarray]) -> str:
    lost = np.array([s.lost(costs) for s in samples])
    return f"within 10 %: {np.mean(lost <= math.log(1.1)):.1%}, time lost {np.expm1(lost.mean()):.1%}"


def present(isa: str) -> dict[ROW, np.ndarray]:
    """The rows of tuning.py."""
    from fastconv._native.tuning import tuning_of

    costs = {}
    for (form, name), rows in tuning_of(isa)[1].items():
        for i, row in enumerate(rows):
            costs[FORMS.index(form), PASSES.index(name), i] = np.array([*row, *[0.0] * (10 - len(row))])
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
    samples = []
    if options.from_json:
        for file in options.from_json:
            for line in file.read_text().splitlines():
                record = json.loads(line)
                layer = Layer(*(tuple(a) if isinstance(a, list) else a for a in record["layer"]))
                cycles = {int(form): value for form, value in record["cycles"].items()}
                samples.append(Sample(layer, record["which"], cycles))
    else:
        rng = np.random.default_rng(options.seed)
        clock = runtime.peak_gflops(0.5) * 1e9 / (4 * runtime.lanes())
        for _ in range(options.layers):
            layer = draw(rng)
            for which in range(3):
                cycles = {form: time * clock for form, time in layer.measure(which, options.repeats).items()}
                samples.append(Sample(layer, which, cycles))
                if options.json:
                    how = layer.how
                    arguments = (*layer.sizes, how["stride"], how["padding"], how["dilation"], how["groups"], layer.last)
                    with options.json.open("a") as file:
                        print(json.dumps({"layer": arguments, "which": which, "cycles": cycles}), file=file)
    start = {row: np.zeros(10) for sample in samples for row in sample.rows.values()} | present(options.isa)
    print("before:", report(samples, start))
    costs = fit(samples, start)
    print("least squares:", report(samples, costs))
    costs = refine(samples, costs, 6)
    print("refined:", report(samples, costs))
    show(costs)


if __name__ == "__main__":
    main()
