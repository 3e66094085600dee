"""``fastconv bench``: this machine's convolutions against NumPy on BLAS and, where installed, torch.

A ratio is the median over the turns of (their time / fastconv's time), see :mod:`fastconv.app.contenders`.
"""

import json
import os
import statistics
from collections.abc import Iterable, Iterator, Sequence
from importlib.util import find_spec
from typing import Any

from fastconv.app.contenders import PASSES, Contender, measure, operations, running
from fastconv.app.info import versions
from fastconv.files import replacing

__all__ = ["CASES", "QUICK", "heading", "means", "records", "row", "run"]


def _case(N, C, H, W, K, R, S, **options) -> dict[Any, Any]:
    sizes = {"N": N, "C": C, "H": H, "W": W, "K": K, "R": R, "S": S}
    return sizes | {"stride": 1, "padding": (0, 0), "dilation": 1, "groups": 1} | options


CASES: dict[str, dict[Any, Any]] = {
    "textbook.conv1": _case(128, 3, 32, 32, 3, 5, 5),
    "textbook.conv2": _case(128, 3, 14, 14, 16, 5, 5),
    "lenet.conv2": _case(128, 6, 14, 14, 16, 5, 5),
    "alexnet.conv1": _case(4, 3, 224, 224, 64, 11, 11, stride=4, padding=(2, 2)),
    "alexnet.conv2": _case(8, 64, 27, 27, 192, 5, 5, padding=(2, 2)),
    "vgg.conv3": _case(2, 256, 56, 56, 256, 3, 3, padding=(1, 1)),
    "resnet.layer1": _case(8, 64, 56, 56, 64, 3, 3, padding=(1, 1)),
    "resnet.layer3": _case(8, 256, 14, 14, 256, 3, 3, padding=(1, 1)),
    "resnet.stride2": _case(8, 128, 56, 56, 128, 3, 3, stride=2, padding=(1, 1)),
    "resnet.pointwise": _case(8, 256, 56, 56, 64, 1, 1),
    "mobilenet.depthwise": _case(16, 144, 56, 56, 144, 3, 3, padding=(1, 1), groups=144),
    "resnext.grouped": _case(8, 128, 56, 56, 128, 3, 3, padding=(1, 1), groups=32),
    "deeplab.dilated": _case(4, 256, 28, 28, 256, 3, 3, padding=(2, 2), dilation=2),
    "inception.1x7": _case(16, 192, 17, 17, 192, 1, 7, padding=(0, 3)),
}
QUICK = ("textbook.conv1", "textbook.conv2", "lenet.conv2", "resnet.layer3", "resnet.pointwise")


def run(cases: list[str], threads: int, repeats: int, json_file: str | None = None) -> None:
    """Print the table; with `json_file`, also write all that was measured."""
    # Found out before the minutes that measuring takes.
    if json_file is not None and not os.path.isdir(os.path.dirname(json_file) or os.curdir):
        raise FileNotFoundError(f"--json {json_file}: there is no such folder")
    kinds = ["fastconv", "numpy", *(["torch"] if find_spec("torch") else [])]
    measured = []
    with running(kinds, threads) as contenders:
        about = ", ".join(f"{contender.name} {contender.version}" for contender in contenders)
        print(f"{about}; {threads} thread{'s' if threads > 1 else ''}, median of {repeats} turns")
        print("ratio: how many times as fast fastconv was")
        if "torch" not in kinds:
            print("torch is not installed, so it is left out")
        others = [contender.name for contender in contenders[1:]]
        print(heading(others), flush=True)
        for record in records(contenders, cases, repeats):
            measured.append(record)
            print(row(record, others), flush=True)
    print(means(measured, others))
    if json_file is not None:
        settings = {"threads": threads, "repeats": repeats, "versions": versions()}
        with replacing(json_file) as file:
            file.write(json.dumps({"about": settings, "records": measured}, indent=1).encode())


def records(contenders: Sequence[Contender], cases: Iterable[str], repeats: int) -> Iterator[dict[Any, Any]]:
    """For every pass of every case: case, pass, gflops (of the first contender), and what :func:`measure` tells."""
    for case in cases:
        for op in PASSES:
            measured = measure(CASES[case] | {"op": op}, contenders, repeats)
            gflops = operations(CASES[case]) / measured["seconds"][contenders[0].name] * 1e-9
            yield {"case": case, "pass": op, "gflops": gflops, **measured}


def heading(others: Iterable[str]) -> str:
    """The table's first line; `others` are the contenders but fastconv."""
    columns = f"{'case':<20} {'pass':<8} {'fastconv ms':>11} {'GFLOP/s':>8}"
    return columns + "".join(f" {name + ' ms':>10} {'ratio':>6}" for name in others)


def row(record: dict[Any, Any], others: Iterable[str]) -> str:
    """A record's line."""
    seconds, ratio = record["seconds"], record["ratio"]
    line = f"{record['case']:<20} {record['pass']:<8} {seconds['fastconv'] * 1e3:>11.3f} {record['gflops']:>8.1f}"
    return line + "".join(f" {seconds[name] * 1e3:>10.3f} {ratio[name]:>5.2f}x" for name in others)


def means(measured: Sequence[dict[Any, Any]], others: Iterable[str]) -> str:
    """The table's last line."""
    ratios = [[record["ratio"][name] for record in measured] for name in others]
    return f"{'geometric mean':<50}" + "".join(f" {'':>10} {statistics.geometric_mean(of):>5.2f}x" for of in ratios)
