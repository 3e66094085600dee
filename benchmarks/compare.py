"""How fast fastconv is on this machine, by layer and pass, beside torch and NumPy on BLAS.

    python benchmarks/compare.py --threads 1 --passes f,i,w --rows resnet --repeats 7 --json run.json

Each contender runs in a process of its own; they take turns, and a ratio is the median over the turns of
(their time / fastconv's time): above 1 fastconv is faster. GFLOP/s count every pass as direct convolution,
2 N K P Q (C / groups) R S operations.
"""

import argparse
import json
import os
import platform
import statistics
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
sys.path.insert(0, str(ROOT / "tests"))  # cases.py: the table of layers
sys.path.append(str(ROOT))  # this fastconv, unless one is installed

from cases import SUITE  # noqa: E402

from fastconv.app.contenders import PASSES, Contender, measure, operations, running  # noqa: E402

WRONG_ABOVE = 1e-4  # norm-wise difference between two contenders' results that no float32 rounding explains


def best_torch(result: dict) -> str | None:
    """Of torch's layouts that were measured, the faster."""
    names = [name for name in result["seconds"] if name.startswith("torch")]
    return min(names, key=lambda name: result["seconds"][name], default=None)


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--threads", type=int, default=1, help="threads of every contender (default 1)")
    parser.add_argument("--passes", default="f,i,w", help="of f (forward), i (input), w (weight gradient)")
    parser.add_argument("--rows", default="", help="only the rows whose name contains one of these, comma-separated")
    parser.add_argument("--repeats", type=int, default=5, help="turns of each contender (default 5)")
    parser.add_argument(
        "--against",
        default="torch,numpy",
        help="of torch, numpy, and fastconv_channels_last: images of that layout; empty: fastconv alone",
    )
    parser.add_argument("--peers-tuned", action="store_true", help="torch keeps its memory; better of its two layouts")
    parser.add_argument("--batch", type=int, help="replace N of every row (quick looks; not for records)")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    passes = [{op[0]: op for op in PASSES}[letter] for letter in options.passes.split(",")]
    wanted = options.rows.split(",")
    cases = [case for case in SUITE if any(part in case["name"] for part in wanted)]
    if options.batch:
        cases = [case | {"N": options.batch} for case in cases]

    kinds = ["fastconv", *filter(None, options.against.split(","))]
    if options.peers_tuned and "torch" in kinds:
        kinds.insert(kinds.index("torch") + 1, "torch_channels_last")
    with running(kinds, options.threads, keep_memory=options.peers_tuned) as contenders:
        peak = contenders[0].peak_gflops() * options.threads
        print(
            f"{options.threads} thread(s), {options.repeats} turns"
            + f", FMA peak {peak:.0f} GFLOP/s, load average {os.getloadavg()[0]:.1f}"
            + (", torch keeps its memory, better of NCHW and channels_last" if options.peers_tuned else "")
        )
        records = measure_all(contenders, cases, passes, options.repeats, peak)
    print_means(records, passes)
    if options.json:
        about = {
            "threads": options.threads,
            "repeats": options.repeats,
            "peers_tuned": options.peers_tuned,
            "peak_gflops": peak,
            "machine": platform.processor() or platform.machine(),
            "cpus": os.cpu_count(),
            "when": time.strftime("%Y-%m-%dT%H:%M:%S%z"),
        }
        options.json.write_text(json.dumps({"about": about, "records": records}, indent=1))


def measure_all(
    contenders: list[Contender], cases: list[dict], passes: list[str], repeats: int, peak: float
) -> list[dict]:
    """Measure, and print a line as each pass of a case is done."""
    header = f"{'row':<22}{'pass':<9}{'ms':>9}{'GFLOP/s':>9}{'% peak':>8}{'torch ms':>10}{'ratio':>7}"
    print(header + f"{'numpy ms':>10}{'ratio':>7}", flush=True)
    records = []
    for case in cases:
        for op in passes:
            result = measure(case | {"op": op}, contenders, repeats)
            torch = best_torch(result)
            gflops = operations(case) / result["seconds"]["fastconv"] * 1e-9
            line = f"{case['name']:<22}{op:<9}{result['seconds']['fastconv'] * 1e3:>9.3f}{gflops:>9.1f}"
            line += f"{100 * gflops / peak:>8.0f}"
            for name in (torch, "numpy"):
                if name in result["seconds"]:
                    line += f"{result['seconds'][name] * 1e3:>10.3f}{result['ratio'][name]:>7.2f}"
                else:
                    line += f"{'':>17}"
            if "fastconv_channels_last" in result["ratio"]:
                line += f"  channels_last takes {result['ratio']['fastconv_channels_last']:.2f} times as long"
            wrong = [f"{name} ({d:.1e})" for name, d in result["difference"].items() if not d < WRONG_ABOVE]
            print(line + ("  DIFFERS from " + ", ".join(wrong) if wrong else ""), flush=True)
            records.append({"case": case, "pass": op, "gflops": gflops, "torch": torch, **result})
    return records


def print_means(records: list[dict], passes: list[str]) -> None:
    for label, chosen in [("all", passes), *((op, [op]) for op in passes if len(passes) > 1)]:
        these = [record for record in records if record["pass"] in chosen]
        torch_ratios = [record["ratio"][record["torch"]] for record in these if record["torch"]]
        numpy_ratios = [record["ratio"]["numpy"] for record in these if "numpy" in record["ratio"]]
        line = f"geometric mean, {label}:".ljust(32)
        if torch_ratios:
            line += f"torch / fastconv {statistics.geometric_mean(torch_ratios):.2f} (least {min(torch_ratios):.2f})   "
        if numpy_ratios:
            line += f"numpy / fastconv {statistics.geometric_mean(numpy_ratios):.2f} (least {min(numpy_ratios):.2f})"
        print(line)


if __name__ == "__main__":
    main()
