"""The contenders of the benchmarks: the same answers, from processes of their own."""

import math
import os
import signal

import numpy as np
import pytest

import fastconv
from fastconv.app import contenders

CONVOLUTION = {
    **{"N": 3, "C": 6, "H": 14, "W": 13, "K": 4, "R": 5, "S": 3},
    **{"stride": 2, "padding": (2, 1), "dilation": 1, "groups": 2},
}
POOL = {"N": 2, "C": 3, "H": 9, "W": 11, "kernel": 3, "stride": 2, "padding": 1}


def kinds():
    try:
        import torch  # noqa: F401
    except ImportError:
        return ["fastconv", "numpy"]
    return ["fastconv", "numpy", "torch", "torch_channels_last"]


@pytest.mark.parametrize(
    "workload",
    [
        *({"op": op} | CONVOLUTION for op in contenders.PASSES),
        *({"op": op} | POOL for op in contenders.POOLING),
    ],
    ids=lambda workload: workload["op"],
)
def test_contenders_agree(workload):
    results = []
    for kind in [*kinds(), *(["fastconv_channels_last"] if workload["op"] in contenders.PASSES else [])]:
        result = contenders.prepare(kind, workload)()
        values = result[0] if isinstance(result, tuple) else result  # max pooling's (values, indices)
        results.append(np.asarray(values, np.float64))
    for result in results[1:]:
        assert result.shape == results[0].shape
        # float32 sums of up to 147 products in another order
        assert np.linalg.norm(result - results[0]) <= 1e-5 * np.linalg.norm(results[0])


def test_training_steps_agree():
    torch = pytest.importorskip("torch")
    ours, theirs = (contenders.prepare(kind, {"op": "step", "N": 4}) for kind in ("fastconv", "torch"))
    for _ in range(3):
        assert ours().item() == pytest.approx(theirs().item(), rel=1e-5)
    assert torch.is_grad_enabled()
    with pytest.raises(contenders.Unavailable, match="NumPy has no training step"):
        contenders.prepare("numpy", {"op": "step", "N": 4})


@pytest.mark.parametrize("layer", contenders.LAYERS)
def test_calls_agree(layer):
    pytest.importorskip("torch")
    workload = {"op": "call", "layer": layer}
    calls = [contenders.prepare(kind, workload) for kind in ("fastconv", "torch")]
    for _ in range(2):  # a second call meets what the first one left
        ours, theirs = (np.asarray(call(), np.float64) for call in calls)
        assert ours.shape == theirs.shape
        assert np.linalg.norm(ours - theirs) <= 1e-6 * np.linalg.norm(theirs)  # a few float32 operations each
    with pytest.raises(ValueError, match=r"expected one of the layers Conv2d, .*, got 'Conv9d'"):
        contenders.prepare("fastconv", {"op": "call", "layer": "Conv9d"})


def test_unknown_names():
    for kind in kinds():
        with pytest.raises(ValueError, match=r"expected op to be one of forward, .*, call, got 'fly'"):
            contenders.prepare(kind, {"op": "fly"})
    with pytest.raises(ValueError, match=r"expected one of the contenders fastconv, torch, .*, got 'jax'"):
        contenders.Contender("jax")


def test_operations():
    sizes = {"N": 128, "C": 3, "H": 32, "W": 32, "K": 3, "R": 5, "S": 5}
    case = sizes | {"stride": 1, "padding": (0, 0), "dilation": 1, "groups": 1}
    assert contenders.convolution_shapes(case) == ((128, 3, 32, 32), (3, 3, 5, 5), (128, 3, 28, 28))
    assert contenders.operations(case) == 2 * 128 * 3 * 28 * 28 * 3 * 25
    depthwise = case | {"C": 8, "K": 8, "R": 3, "S": 3, "padding": (1, 2), "stride": 2, "dilation": 2, "groups": 8}
    assert contenders.operations(depthwise) == 2 * 128 * 8 * 15 * 16 * 9


def test_median_ratio():
    assert contenders.median_ratio([2.0, 9.0, 20.0], [1.0, 3.0, 5.0]) == 3.0


def test_taking_turns(tmp_path, monkeypatch):
    # What lies in the working directory is not what is measured.
    (tmp_path / "fastconv").mkdir()
    (tmp_path / "fastconv" / "__init__.py").write_text("raise SystemExit('another fastconv')")
    monkeypatch.chdir(tmp_path)
    with contenders.running(["fastconv", "numpy"]) as both:
        assert [contender.version for contender in both] == [fastconv.__version__, np.__version__]
        assert both[0].peak_gflops() > 0
        measured = contenders.measure({"op": "forward"} | CONVOLUTION, both, 2)
        assert {len(times) for times in measured["times"].values()} == {2}
        assert all(math.isfinite(seconds) and seconds > 0 for seconds in measured["seconds"].values())
        assert measured["ratio"].keys() == {"numpy"}
        assert measured["difference"]["numpy"] < 1e-5
        only = contenders.measure({"op": "step", "N": 2}, both, 1)
        assert only["seconds"].keys() == {"fastconv"}
        assert only["ratio"] == {}
        with pytest.raises(RuntimeError, match=r"the process that measures numpy failed:\n(.*\n)*KeyError: 'padding'"):
            both[1].prepare({"op": "forward", "N": 1})
        assert both[1].prepare({"op": "forward"} | CONVOLUTION)


def test_contender_that_is_not_installed(capsys, monkeypatch, tmp_path):
    (tmp_path / "sitecustomize.py").write_text("import sys\nsys.modules['torch'] = None\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path))
    with contenders.running(["numpy", "torch"]) as started:
        assert [contender.name for contender in started] == ["numpy"]
    assert capsys.readouterr().err.startswith("left out: torch: ")


def test_contender_that_dies():
    with contenders.Contender("numpy") as contender:
        os.kill(contender._process.pid, signal.SIGKILL)
        with pytest.raises(RuntimeError, match="the process that measures numpy ended with status -9"):
            contender.prepare({"op": "forward"} | CONVOLUTION)
