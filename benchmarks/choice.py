"""How often fastconv picks the fastest form of a convolution, and what the wrong picks cost.

    python benchmarks/choice.py --layers 200 --seed 1 --threads 1 [--isa avx2] [--json run.json]

Draws layers, times every form that each pass can take, in turns in one process, and prints the passes where the pick
took over 10 % more time than the best form, the share of the others, and the time lost.
"""

import argparse
import json
import statistics
from pathlib import Path

import numpy as np
from layers import draw

import fastconv
from fastconv._native import runtime
from fastconv._native.tuning import FORMS, PASSES


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--layers", type=int, default=200)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--repeats", type=int, default=5, help="turns of each form (default 5)")
    parser.add_argument("--isa", default=runtime.get_isa(), help="instruction set (default: the one in use)")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    options = parser.parse_args()
    runtime.set_isa(options.isa)
    fastconv.set_num_threads(options.threads)
    rng = np.random.default_rng(options.seed)
    records, losses = [], []
    for _ in range(options.layers):
        layer = draw(rng)
        passes = {}
        for which, name in enumerate(PASSES):
            seconds = {FORMS[form]: least for form, least in layer.measure(which, options.repeats).items()}
            picked, best = FORMS[layer.plan(which)[0]], min(seconds, key=seconds.__getitem__)
            passes[name] = {"picked": picked, "seconds": seconds}
            losses.append(seconds[picked] / seconds[best])
            if losses[-1] > 1.1:
                what = f"{picked} {seconds[picked] * 1e3:.3f} ms, {best} {seconds[best] * 1e3:.3f} ms"
                print(f"{losses[-1]:5.2f}  {name:15} {what:44} {layer}", flush=True)
        records.append({"layer": repr(layer), "passes": passes})
    good = sum(loss <= 1.1 for loss in losses)
    print(f"within 10 % of the best form: {good} of {len(losses)} passes, {good / len(losses):.1%}")
    print(f"time lost to wrong picks, geometric mean: {statistics.geometric_mean(losses) - 1:.1%}")
    if options.json:
        options.json.write_text(json.dumps(records))


if __name__ == "__main__":
    main()
