"""How fast fastconv is on this machine, by layer and pass, beside torch and NumPy on BLAS.

    python benchmarks/compare.py --threads 1 --passes f,i,w --rows resnet --repeats 7 --json run.json

Each contender runs in a process of its own; they take turns, and a ratio is the median over the turns of
(their time / fastconv's time): above 1 fastconv is faster. GFLOP/s count every pass as direct convolution,
2 N K P Q (C / groups) R S operations.
"""

import argparse
import json
import math
import os
import platform
import statistics
import sys
import time
from pathlib import Path

HERE = Path(__file__).resolve().parent
sys.path.insert(0, str(HERE.parent / "tests"))

from cases import SUITE  # noqa: E402
from peer import PASSES, Peer, Unavailable, alternate, median_ratio, operations  # noqa: E402

WRONG_ABOVE = 1e-4  # norm-wise difference between two contenders' results that no float32 rounding explains


def difference(a: list[float], b: list[float]) -> float:
    """Norm-wise relative difference ``||a - b|| / ||b||``."""
    if len(a) != len(b):
        return math.inf
    return math.dist(a, b) / max(math.hypot(*b), 1e-300)


def start(kind: str, **settings) -> Peer | None:
    """A worker, or None (and a line on stderr) where the contender is not installed."""
    try:
        return Peer(kind, **settings)
    except Unavailable as error:
        print(f"left out: {error}", file=sys.stderr)
        return None


def measure(workload: dict, peers: dict[str, Peer], repeats: int) -> dict:
    """Median seconds of every peer on the workload, its ratio to fastconv's, and whether the results agree."""
    samples = {}
    for name, peer in peers.items():
        try:
            samples[name] = peer.prepare(workload)
        except Unavailable:
            continue
    names = list(samples)
    times = dict(zip(names, alternate([peers[name] for name in names], repeats), strict=True))
    ours = times["fastconv"]
    return {
        "seconds": {name: statistics.median(times[name]) for name in names},
        "ratio": {name: median_ratio(times[name], ours) for name in names if name != "fastconv"},
        "difference": {name: difference(samples["fastconv"], samples[name]) for name in names if name != "fastconv"},
        "times": times,
    }


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
    parser.add_argument("--against", default="torch,numpy", help="of torch, numpy; empty: fastconv alone")
    parser.add_argument("--peers-tuned", action="store_true", help="torch keeps its memory; better of its two layouts")
    parser.add_argument("--batch", type=int, help="replace N of every row (quick looks; not for records)")
    parser.add_argument("--json", type=Path, help="write everything measured to this file")
    return parser.parse_args()


def main() -> None:
    options = arguments()
    passes = [PASSES[letter] for letter in options.passes.split(",")]
    wanted = options.rows.split(",")
    cases = [case for case in SUITE if any(part in case["name"] for part in wanted)]
    if options.batch:
        cases = [case | {"N": options.batch} for case in cases]

    kinds = ["fastconv", *filter(None, options.against.split(","))]
    if options.peers_tuned and "torch" in kinds:
        kinds.insert(kinds.index("torch") + 1, "torch_channels_last")
    peers = {}
    for kind in kinds:
        keep_memory = options.peers_tuned and kind.startswith("torch")
        if (peer := start(kind, threads=options.threads, keep_memory=keep_memory)) is not None:
            peers[kind] = peer
    peak = peers["fastconv"].peak_gflops() * options.threads
    print(
        f"{options.threads} thread(s), {options.repeats} turns"
        + f", FMA peak {peak:.0f} GFLOP/s, load average {os.getloadavg()[0]:.1f}"
        + (", torch keeps its memory, better of NCHW and channels_last" if options.peers_tuned else "")
    )
    header = f"{'row':<22}{'pass':<9}{'ms':>9}{'GFLOP/s':>9}{'% peak':>8}{'torch ms':>10}{'ratio':>7}"
    print(header + f"{'numpy ms':>10}{'ratio':>7}")

    records = []
    for case in cases:
        for op in passes:
            result = measure(case | {"op": op}, peers, options.repeats)
            torch = best_torch(result)
            gflops = operations(case) / result["seconds"]["fastconv"] * 1e-9
            line = f"{case['name']:<22}{op:<9}{result['seconds']['fastconv'] * 1e3:>9.3f}{gflops:>9.1f}"
            line += f"{100 * gflops / peak:>8.0f}"
            for name in (torch, "numpy"):
                if name in result["seconds"]:
                    line += f"{result['seconds'][name] * 1e3:>10.3f}{result['ratio'][name]:>7.2f}"
                else:
                    line += f"{'':>17}"
            wrong = [f"{name} ({d:.1e})" for name, d in result["difference"].items() if not d < WRONG_ABOVE]
            print(line + ("  DIFFERS from " + ", ".join(wrong) if wrong else ""), flush=True)
            records.append({"case": case, "pass": op, "gflops": gflops, "torch": torch, **result})

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

    for peer in peers.values():
        peer.close()
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


if __name__ == "__main__":
    main()
