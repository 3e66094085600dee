"""What the benchmarks share: the contenders, and how one workload is measured against them.

pytest benchmarks --benchmark-json=run.json [--threads 1] [--turns 7] [-k resnet]
python benchmarks/table.py run.json
"""

import contextlib
import importlib.metadata
import sys
from pathlib import Path

import numpy
import pytest

import fastconv
from fastconv.app.contenders import measure, prepare, running

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # cases.py: the table of layers


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="threads of every contender")
    parser.addoption(
        "--turns", type=int, default=7, help="how often the contenders take turns, and rounds of a benchmark"
    )


def pytest_xdist_auto_num_workers(config):
    return 0  # times are measured in one process, one after the other


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["threads"] = config.getoption("--threads")
    machine_info["versions"] = {"fastconv": fastconv.__version__, "numpy": numpy.__version__}
    with contextlib.suppress(importlib.metadata.PackageNotFoundError):
        machine_info["versions"]["torch"] = importlib.metadata.version("torch")


@pytest.fixture(scope="session")
def contenders(pytestconfig):
    """Those that are installed, each in a process of its own; this process has as many threads."""
    threads = pytestconfig.getoption("--threads")
    fastconv.set_num_threads(threads)
    with running(("fastconv", "torch", "numpy"), threads) as started:
        yield started


@pytest.fixture
def against_peers(benchmark, contenders, pytestconfig):
    """against_peers(workload, operations=None): benchmark fastconv, and put its speedups into extra_info.

    The contenders take turns in their processes; a speedup is the median over the turns of
    (their time / fastconv's time). pytest-benchmark's own figures are of fastconv in this process.
    """

    def against_peers(workload: dict, operations: int | None = None) -> None:
        turns = pytestconfig.getoption("--turns")
        measured = measure(workload, contenders, turns)
        seconds = measured["seconds"]["fastconv"]
        info = benchmark.extra_info
        info["pass"] = workload["op"]
        info["ms"] = seconds * 1e3
        if operations is not None:
            info["gflops"] = operations / seconds * 1e-9
        for kind, ratio in measured["ratio"].items():
            info[f"{kind}_ms"] = measured["seconds"][kind] * 1e3
            info[f"speedup_{kind}"] = ratio

        call = prepare("fastconv", workload)
        loops = max(1, round(5e-3 / seconds))
        benchmark.pedantic(call, rounds=turns, iterations=loops, warmup_rounds=1)

    return against_peers
