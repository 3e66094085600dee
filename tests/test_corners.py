"""What no other test comes past."""

import gc
import importlib.metadata
import io
import json
import multiprocessing
import os
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv import elementwise, nn, ops, optim
from fastconv.app import bench, checkpoint, contenders, info, pictures, records, runs
from fastconv.nn import init
from fastconv.utils.data import DataLoader, worker


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


# ---- the package -----------------------------------------------------------------------------------------------------


def test_show_config(capsys):
    fastconv.show_config()
    assert "instruction set" in capsys.readouterr().out


def test_info_without_a_cpu_name_or_packages(monkeypatch):
    def nothing(*args, **kwargs):
        raise OSError

    def missing(name):
        raise importlib.metadata.PackageNotFoundError(name)

    monkeypatch.setattr("builtins.open", nothing)
    assert info._cpu_name()
    monkeypatch.setattr("fastconv.app.info.open", lambda *a, **k: io.StringIO("nothing\n"), raising=False)
    assert info._cpu_name()
    monkeypatch.undo()
    monkeypatch.setattr(importlib.metadata, "version", missing)
    assert info.describe().count("not installed") == len(info.OPTIONAL)


@pytest.mark.parametrize("name", ["GOMP_SPINCOUNT", "OMP_WAIT_POLICY", None])
def test_the_import_leaves_the_environment_as_it_was(name):
    """It sets how long idle threads spin, unless somebody else has."""
    environment = {k: v for k, v in os.environ.items() if k not in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")}
    if name is not None:
        environment[name] = "passive" if name == "OMP_WAIT_POLICY" else "5"
    program = "import os, fastconv; print(os.environ.get('GOMP_SPINCOUNT'), os.environ.get('OMP_WAIT_POLICY'))"
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, check=True)
    assert done.stdout.split() == [environment.get(key, "None") for key in ("GOMP_SPINCOUNT", "OMP_WAIT_POLICY")]


def test_a_generator_begins_anew_and_tells_its_seed():
    generator = fastconv.Generator().manual_seed(3)
    first = fastconv.rand(2, generator=generator).tolist()
    assert generator.initial_seed() == 3
    seed = generator.seed()
    assert generator.initial_seed() == seed != 3
    assert fastconv.rand(2, generator=generator.manual_seed(3)).tolist() == first
    fastconv.manual_seed(11)
    assert fastconv.initial_seed() == 11
    assert fastconv.manual_seed(-1).initial_seed() == 2**64 - 1
    negative = fastconv.rand(3).tolist()
    assert fastconv.manual_seed(2**64 - 1) and fastconv.rand(3).tolist() == negative


# ---- tensors and layers ----------------------------------------------------------------------------------------------


def test_arguments_of_no_array_are_told_by_their_type():
    with pytest.raises(TypeError, match=r"ndarray of complex64 and shape \[2\]"):
        fastconv.tensor(np.ones(2, np.complex64))
    with pytest.raises(TypeError, match=r"\.\.\.$"):
        fastconv.tensor("zebra" * 100)
    with pytest.raises(TypeError, match="to fill, got 3"):
        init.zeros_(3)
    assert ops.linear_bias(np.ones((1, 2, 3), np.float32)).tolist() == [2, 2, 2]
    with pytest.raises(RuntimeError, match=r"linear_bias: expected gradient .* without dimensions"):
        ops.linear_bias(np.ones((), np.float32))


def test_tensors_without_dimensions_have_one_all_the_same():
    scalar = fastconv.tensor(3.0)
    assert scalar.transpose(0, -1).shape == ()
    assert scalar.squeeze(0).shape == scalar.flatten().squeeze().shape == ()
    assert scalar.unsqueeze(-1).shape == (1,)
    with pytest.raises(IndexError, match=r"range of \[-1, 0\], but got 1"):
        scalar.transpose(0, 1)
    x = fastconv.from_numpy(normal(1, 3, 1, 2))
    assert x.squeeze((0, -2)).shape == x.squeeze([0, 2]).shape == (3, 2)
    assert x.sum(dim=[0, 1]).shape == (1, 2)
    assert fastconv.arange(3, dtype="float64").dtype == fastconv.float64


def test_derivatives_that_only_one_side_asks_for():
    base = fastconv.from_numpy(np.array([1.0, 2.0, 3.0]))
    exponent = fastconv.from_numpy(np.array([2.0, 0.5, 0.0])).requires_grad_()
    (base**exponent).sum().backward()
    np.testing.assert_allclose(exponent.grad.numpy(), np.array([1.0, 2.0, 3.0]) ** [2, 0.5, 0] * np.log([1, 2, 3]))
    for limits, expected in (((None, 1.5), [1, 0, 0]), ((1.5, None), [0, 1, 1])):
        x = fastconv.from_numpy(np.array([1.0, 2.0, 3.0])).requires_grad_()
        x.clamp(*limits).sum().backward()
        assert x.grad.tolist() == expected


def test_batch_norm_without_anything_to_learn_or_to_keep():
    for layer in (nn.BatchNorm2d(3, affine=False), nn.BatchNorm2d(3, track_running_stats=False)):
        layer(fastconv.from_numpy(normal(2, 3, 4, 4)))
        layer.reset_parameters()
        assert all(np.isfinite(value.detach().numpy()).all() for value in layer.state_dict().values())


@pytest.mark.parametrize("momentum", [0.0, 0.9])
@pytest.mark.parametrize("nesterov", [False, True])
@pytest.mark.parametrize("view", [lambda a: a.T, lambda a: a[::-1, ::2], lambda a: a.astype(np.float16)])
def test_updates_of_parameters_in_any_layout(momentum, nesterov, view):
    if nesterov and not momentum:
        pytest.skip("needs momentum")
    p = fastconv.from_numpy(view(normal(4, 6))).requires_grad_()
    dense = fastconv.from_numpy(p.detach().numpy().astype(np.float64)).requires_grad_()
    optimizers = [optim.SGD([t], 0.1, momentum, weight_decay=0.01, nesterov=nesterov) for t in (p, dense)]
    for step in range(3):
        for t, optimizer in zip((p, dense), optimizers, strict=True):
            t.grad = fastconv.from_numpy(normal(*t.shape, seed=step).astype(t.dtype))
            optimizer.step()
    np.testing.assert_allclose(p.detach().numpy(), dense.detach().numpy(), atol=2e-2 if p.dtype == np.float16 else 1e-6)
    assert elementwise.sigmoid(np.float32(0)) == 0.5


def test_a_module_visited_twice_is_changed_once():
    shared = nn.Linear(2, 2)
    net = nn.Sequential(shared, nn.ReLU(), shared)
    assert len(list(net.modules())) == 3
    assert len(list(net.parameters())) == 2
    net.requires_grad_(False).zero_grad()
    net.zero_grad(set_to_none=False)
    assert not any(p.requires_grad for p in net.parameters())


def test_one_cycle_in_one_step():
    optimizer = optim.SGD([fastconv.zeros(1)], 0.1, momentum=0.9)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 1.0, total_steps=4, cycle_momentum=False, pct_start=0.5)
    rates = [scheduler.get_last_lr()[0]]
    for _ in range(3):
        optimizer.step()
        scheduler.step()
        rates.append(scheduler.get_last_lr()[0])
    assert rates[1] == 1.0 and rates[-1] < rates[0]
    assert optimizer.param_groups[0]["momentum"] == 0.9


# ---- files, runs and the command -------------------------------------------------------------------------------------


def test_an_interrupted_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, {"a": np.zeros(2)})

    def interrupt(descriptor):
        raise KeyboardInterrupt

    monkeypatch.setattr(os, "fsync", interrupt)
    with pytest.raises(KeyboardInterrupt):
        checkpoint.save(path, {"a": np.ones(2)})
    assert checkpoint.load(path)["a"].tolist() == [0, 0]
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_runs_are_numbered(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert [runs._new_folder("digits", None) for _ in range(3)] == [f"runs/digits-{n}" for n in (1, 2, 3)]


@pytest.mark.parametrize(
    ("schedule", "kind"), [("onecycle", "OneCycleLR"), ("cosine", "CosineAnnealingLR"), ("constant", "NoneType")]
)
def test_schedules_by_name(schedule, kind):
    optimizer = optim.SGD([fastconv.zeros(1)], 0.1)
    settings = {"schedule": schedule, "lr": 0.1, "epochs": 1, "begun": 0}
    assert type(runs._schedule(settings, optimizer, 10)).__name__ == kind


def test_a_checkpoint_of_another_program_is_no_run(tmp_path):
    pytest.importorskip("safetensors")
    net = nn.Linear(2, 2)
    progress = {"settings": {"data": "digits"}}
    path = tmp_path / "checkpoint.safetensors"
    checkpoint.save_training(path, net, optim.SGD(net.parameters(), 0.1), None, progress)
    with pytest.raises(checkpoint.CheckpointError, match="is no checkpoint of `fastconv train`"):
        runs.train({}, resume=str(tmp_path))


def test_a_log_that_is_not_there_is_begun(tmp_path):
    records.Log(str(tmp_path / "log.jsonl")).forget_after(3)
    assert (tmp_path / "log.jsonl").read_bytes() == b""


def test_curves_without_a_test(tmp_path):
    pytest.importorskip("matplotlib")
    history = [{"epoch": 1, "train_loss": 1.0, "train_accuracy": 0.5}]
    pictures.draw_curves(tmp_path / "a.png", history)
    pictures.draw_curves(tmp_path / "b.png", [])
    assert (tmp_path / "a.png").read_bytes() != (tmp_path / "b.png").read_bytes()


def test_pictures_without_matplotlib(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    with pytest.raises(ImportError, match=r"pip install \"fastconv\[train\]\""):
        pictures.draw_curves(tmp_path / "a.png", [])


def test_the_bench_without_torch(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(bench, "find_spec", lambda name: None)
    bench.run([next(iter(bench.QUICK))], 1, 1, str(tmp_path / "bench.json"))
    assert "left out" in capsys.readouterr().out
    assert os.listdir(tmp_path) == ["bench.json"]


# ---- workers ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["fastconv", "numpy"])
def test_what_a_contender_answers(kind):
    workload = {"op": "forward", "N": 1, "C": 1, "H": 5, "W": 5, "K": 1, "R": 3, "S": 3}
    workload |= {"stride": 1, "padding": (0, 0), "dilation": 1, "groups": 1}
    requests = [{"do": "prepare", "workload": workload}, {"do": "time"}, {"do": "peak"}]
    requests += [{"do": "prepare", "workload": {"op": "zebra"}}]
    answers = []
    try:
        contenders._serve(kind, 1, map(json.dumps, requests), answers.append)
    finally:
        gc.enable()
    assert [next(iter(answer)) for answer in answers[:4]] == ["version", "sample", "seconds", "gflops"]
    assert answers[4].keys() <= {"error", "unavailable"}


def test_a_contender_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "torch", None)
    answers = []
    contenders._serve("torch_channels_last", 1, [], answers.append)
    assert answers[0].keys() == {"unavailable"}
    with pytest.raises(ImportError):
        contenders._serve("zebra", 1, [], answers.append)


def test_a_contender_as_a_program():
    command = [sys.executable, "-m", "fastconv.app.contenders", "numpy", "1"]
    done = subprocess.run(command, input="", capture_output=True, text=True, timeout=60, check=True)
    assert json.loads(done.stdout) == {"version": np.__version__}


@pytest.mark.filterwarnings("ignore:.*multi-threaded.*fork:DeprecationWarning")
def test_a_context_for_workers():
    context = multiprocessing.get_context("spawn")
    assert len(list(DataLoader([1, 2, 3], 2, num_workers=1, multiprocessing_context=context))) == 2


def test_a_worker_without_threadpoolctl(monkeypatch, threads):
    threads(2)
    monkeypatch.setitem(sys.modules, "threadpoolctl", None)
    worker._use_one_thread()
    assert fastconv.get_num_threads() == 1


class Forgetful(Exception):
    """Comes back as another one."""

    def __reduce__(self):
        return ValueError, ("forgotten",)


def test_an_error_that_changes_on_its_way():
    told = worker._portable(Forgetful("once"))
    assert type(told) is RuntimeError and str(told) == "Forgetful: once"
    assert type(worker._portable(KeyError("a"))) is KeyError
