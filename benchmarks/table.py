"""Turn a saved benchmark run into Markdown tables.

pytest benchmarks --benchmark-json=run.json
python benchmarks/table.py run.json
"""

import argparse
import json
import statistics
from pathlib import Path

COLUMNS = {"forward": "forward", "input": "input gradient", "weight": "weight gradient"}


def cell(info: dict) -> str:
    """Milliseconds, then how many times as long torch and NumPy take."""
    ratios = [f"{info[key]:.2f}x" if (key := f"speedup_{kind}") in info else "-" for kind in ("torch", "numpy")]
    return f"{info['ms']:.3g} ms, {' / '.join(ratios)}"


def mean_cell(infos: list[dict]) -> str:
    of_kind = [[info[key] for info in infos if (key := f"speedup_{kind}") in info] for kind in ("torch", "numpy")]
    return " / ".join(f"{statistics.geometric_mean(ratios):.2f}x" if ratios else "-" for ratios in of_kind)


def markdown(run: dict) -> str:
    """The tables of a run as pytest-benchmark saved it."""
    machine = run["machine_info"]
    versions = ", ".join(f"{name} {version}" for name, version in machine["versions"].items())
    cpu = machine.get("cpu", {}).get("brand_raw") or machine["processor"] or machine["machine"]
    lines = [
        f"{cpu}, {machine['threads']} thread(s); {versions}.",
        "Times are fastconv's; then torch's and NumPy's times over it.",
        "",
    ]

    layers: dict[str, dict[str, dict]] = {}
    others: list[tuple[str, dict]] = []
    for benchmark in run["benchmarks"]:
        info = benchmark["extra_info"]
        if info["pass"] in COLUMNS:
            layers.setdefault(benchmark["group"], {})[info["pass"]] = info
        else:
            others.append((f"{benchmark['group']}, {info['pass'].replace('_', ' ')}", info))

    if layers:
        lines += [f"| layer | {' | '.join(COLUMNS.values())} |", "|---|---|---|---|"]
        for name, row in layers.items():
            lines.append(f"| {name} | {' | '.join(cell(row[op]) if op in row else '-' for op in COLUMNS)} |")
        means = [mean_cell([row[op] for row in layers.values() if op in row]) for op in COLUMNS]
        lines += [f"| **geometric mean** | {' | '.join(means)} |", ""]
    if others:
        lines += ["| operation | time, ratios |", "|---|---|"]
        lines += [f"| {name.removesuffix(', step')} | {cell(info)} |" for name, info in others]
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", type=Path, help="file written by pytest --benchmark-json")
    print(markdown(json.loads(parser.parse_args().run.read_text())))


if __name__ == "__main__":
    main()
