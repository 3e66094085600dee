"""Fuzzing, for seconds or for hours.

    python -m tests.fuzz --valid --seconds 60 --seed 0       drawn valid arguments, beside the float64 reference
    python -m tests.fuzz --invalid --seconds 60 --seed 0     drawn invalid arguments: each must raise the right error

Case i of seed s is always the same: ``--seed s --only i`` runs it alone. A run goes on behind the cases that it
recorded for its seed in ``--log`` (one JSON line a run: mode, seed, first case, number of cases, failures), so that
many short runs make a long one. Exit status 1 if any case failed.
"""

import argparse
import json
import os
import sys
import time
import traceback
from pathlib import Path

os.environ.setdefault("OMP_WAIT_POLICY", "passive")
sys.path.insert(0, str(Path(__file__).parent))


def _next_case(log: str | None, mode: str, seed: int) -> int:
    if log is None or not os.path.exists(log):
        return 0
    with open(log) as file:
        runs = [json.loads(line) for line in file]
    return max([run["first"] + run["cases"] for run in runs if (run["mode"], run["seed"]) == (mode, seed)], default=0)


def _run_valid(seed: int, first: int, seconds: float, most: int) -> tuple[int, list]:
    import conftest
    import fuzz_valid

    from fastconv._native import memory

    guard = conftest.GuardedMemory()
    memory.set_allocator(guard.empty)
    failures = []
    index, deadline = first, time.monotonic() + seconds
    while time.monotonic() < deadline and index - first < most and len(failures) < 20:
        try:
            fuzz_valid.run_case(seed, index)
            guard.check()
        except Exception:
            guard.buffers.clear()
            failures.append([index, traceback.format_exc()])
            print(f"case {index} of seed {seed}:\n{failures[-1][1]}", flush=True)
        index += 1
    return index - first, failures


def main() -> int:
    parser = argparse.ArgumentParser(prog="python -m tests.fuzz", description=__doc__.splitlines()[0])
    mode = parser.add_mutually_exclusive_group(required=True)
    mode.add_argument("--valid", action="store_const", dest="mode", const="valid", help="arguments that must work")
    mode.add_argument("--invalid", action="store_const", dest="mode", const="invalid", help="arguments that must not")
    parser.add_argument("--seconds", type=float, default=60.0)
    parser.add_argument("--cases", type=int, default=sys.maxsize, help="stop after so many")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--only", type=int, help="run this case alone")
    parser.add_argument("--log", help="file that takes a line a run, and tells where to go on")
    options = parser.parse_args()
    if options.mode == "valid":
        run = _run_valid
    else:
        from fuzz_invalid import run
    first = _next_case(options.log, options.mode, options.seed) if options.only is None else options.only
    began = time.monotonic()
    cases, failures = run(options.seed, first, options.seconds, options.cases if options.only is None else 1)
    record = {
        "mode": options.mode,
        "seed": options.seed,
        "first": first,
        "cases": cases,
        "seconds": round(time.monotonic() - began, 1),
        "failures": failures,
    }
    if options.log is not None and options.only is None:
        with open(options.log, "a") as file:
            file.write(json.dumps(record) + "\n")
    print(f"{cases} cases from {first} of seed {options.seed}, {len(failures)} failures")
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
