"""Drawn convolutions on data whose scales are far apart, beside the bounds of docs/numerics.md.

    python -m tests.fuzz_numerics --cases 20000 --seed 0

Case i of seed s is always the same: ``--seed s --first i --cases 1`` runs it alone. Prints, for each pass, method and
type, the worst error by its bound, and the case that it came from; exit status 1 if a bound was not held.
"""

import argparse
import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parent))

import numpy as np
from cases import LAYOUTS, make_case, parameters
from numerics import METHODS, draw_case_of, draw_scaled, forced, pass_ratios

from fastconv import backends
from fastconv._native import runtime


def draw_deep_case(rng) -> dict:
    """Long sums: many channels or filters, or a large plane of few."""
    kernel = int(rng.choice([1, 1, 2, 3]))
    if rng.random() < 0.3:
        channels, filters, size = int(rng.integers(1, 4)), int(rng.integers(1, 4)), rng.integers(40, 120, 2)
    else:
        channels, filters = int(2 ** rng.uniform(5, 10.5)), int(2 ** rng.uniform(1, 5))
        channels, filters = (channels, filters) if rng.random() < 0.5 else (filters, channels)
        size = rng.integers(kernel, kernel + 5, 2)
    stride, padding = int(rng.choice([1, 1, 2])), (int(rng.integers(0, kernel)),) * 2
    return make_case(
        "deep", int(rng.integers(1, 4)), channels, *map(int, size), filters, kernel, kernel, stride, padding
    )


def run_case(seed: int, index: int) -> tuple[dict, str]:
    """The worst error by its bound of each (pass, method, type) of a case, and a description of the case."""
    rng = np.random.default_rng([seed, index])
    dtype = rng.choice([np.float32, np.float64], p=[0.8, 0.2])
    method = str(rng.choice([*METHODS, str(rng.choice(backends.FORMS))]))
    if rng.random() < 0.15:
        case = draw_deep_case(rng)
    else:
        case = draw_case_of(rng, method)
    isa, threads = str(rng.choice(runtime.available_isas())), int(rng.integers(1, 4))
    layouts = [str(name) for name in rng.choice(list(LAYOUTS), 3)]
    arrays = draw_scaled(rng, case, dtype)
    before = runtime.get_isa(), runtime.get_num_threads()
    runtime.set_isa(isa)
    runtime.set_num_threads(threads)
    try:
        with forced(method):
            ratios = pass_ratios(*arrays, parameters(case), [LAYOUTS[name] for name in layouts])
    finally:
        runtime.set_isa(before[0])
        runtime.set_num_threads(before[1])
    name = np.dtype(dtype).name
    sizes = ", ".join(f"{key} {value}" for key, value in case.items() if key != "name")
    return {(*key, name): ratio for key, ratio in ratios.items()}, f"{isa}, {sizes}, {' '.join(layouts)}"


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz_numerics", description=__doc__.splitlines()[0])
    parser.add_argument("--cases", type=int, default=1000)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--first", type=int, default=0)
    options = parser.parse_args()
    worst: dict[tuple, tuple[float, int, str]] = {}
    count: dict[tuple, int] = {}
    for index in range(options.first, options.first + options.cases):
        ratios, description = run_case(options.seed, index)
        for key, ratio in ratios.items():
            count[key] = count.get(key, 0) + 1
            if key not in worst or ratio > worst[key][0]:
                worst[key] = ratio, index, description
            if ratio > 1:
                print(f"case {index}, {key}: an error is {ratio:.3g} times as large as its bound; {description}")
    print(f"{options.cases} cases from {options.first} of seed {options.seed}")
    print("| pass | method | type | passes | worst error / bound | case |")
    print("|---|---|---|---|---|---|")
    for key in sorted(worst):
        print(f"| {' | '.join(key)} | {count[key]} | {worst[key][0]:.3f} | {worst[key][1]}: {worst[key][2]} |")
    return int(any(ratio > 1 for ratio, _, _ in worst.values()))


if __name__ == "__main__":
    sys.exit(main())
