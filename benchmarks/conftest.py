"""What the benchmarks share: the contenders, and how one workload is measured against them.

pytest benchmarks --benchmark-json=run.json [--threads 1] [--turns 7] [-k resnet]
python benchmarks/table.py run.json
"""

import importlib.metadata
import statistics
import sys
from pathlib import Path

import pytest

sys.path.insert(0, str(Path(__file__).resolve().parent.parent / "tests"))  # cases.py: the table of layers

from peer import CONTENDERS, Peer, Unavailable, alternate, median_ratio, normal


def pytest_addoption(parser):
    parser.addoption("--threads", type=int, default=1, help="threads of every contender")
    parser.addoption(
        "--turns", type=int, default=7, help="how often the contenders take turns, and rounds of a benchmark"
    )


def pytest_benchmark_update_machine_info(config, machine_info):
    machine_info["threads"] = config.getoption("--threads")
    machine_info["versions"] = {}
    for name in ("fastconv", "numpy", "torch"):
        try:
            machine_info["versions"][name] = importlib.metadata.version(name)
        except importlib.metadata.PackageNotFoundError:
            continue


@pytest.fixture(scope="session")
def peers(pytestconfig):
    """The contenders that are installed, each in a process of its own."""
    started = []
    for kind in ("fastconv", "torch", "numpy"):
        try:
            started.append(Peer(kind, threads=pytestconfig.getoption("--threads")))
        except Unavailable as error:
            print(f"left out: {error}")
    yield started
    for peer in started:
        peer.close()


@pytest.fixture(scope="session")
def here(pytestconfig):
    """fastconv's table of workloads in this process."""
    return CONTENDERS["fastconv"](pytestconfig.getoption("--threads"))


@pytest.fixture
def against_peers(benchmark, peers, here, pytestconfig):
    """measure(workload, operations=None): benchmark fastconv, and put its speedups into extra_info.

    The contenders take turns in their processes; a speedup is the median over the turns of
    (their time / fastconv's time). pytest-benchmark's own figures are of fastconv in this process.
    """

    def measure(workload: dict, operations: int | None = None) -> None:
        turns = pytestconfig.getoption("--turns")
        ready = []
        for peer in peers:
            try:
                peer.prepare(workload)
            except Unavailable:
                continue
            ready.append(peer)
        times = {peer.kind: t for peer, t in zip(ready, alternate(ready, turns), strict=True)}
        seconds = statistics.median(times["fastconv"])
        info = benchmark.extra_info
        info["pass"] = workload["op"]
        info["ms"] = seconds * 1e3
        if operations is not None:
            info["gflops"] = operations / seconds * 1e-9
        for kind in times.keys() - {"fastconv"}:
            info[f"{kind}_ms"] = statistics.median(times[kind]) * 1e3
            info[f"speedup_{kind}"] = median_ratio(times[kind], times["fastconv"])

        call = here[workload["op"]](workload, normal)
        call()
        loops = max(1, round(5e-3 / seconds))
        benchmark.pedantic(call, rounds=turns, iterations=loops, warmup_rounds=1)

    return measure
