"""The command line: help, errors and exit statuses; ``fastconv bench`` and ``fastconv info``."""

import errno
import json
import os
import platform
import subprocess
import sys

import numpy as np
import pytest

import fastconv
from fastconv.app import bench, checkpoint, cli, contenders, selfcheck
from fastconv.app.networks import MODELS
from fastconv.app.settings import DATA


def call(capsys, *arguments):
    """(exit status, stdout, stderr) of the command."""
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as end:  # argparse's way
        status = end.code
    return status, *capsys.readouterr()


def start(*arguments, **options):
    environment = os.environ | {"PYTHONPATH": os.pathsep.join(sys.path)}
    return subprocess.Popen([sys.executable, "-m", "fastconv", *arguments], env=environment, text=True, **options)


def test_help(capsys):
    status, out, err = call(capsys, "--help")
    assert (status, err) == (0, "")
    for word in ("train", "bench", "info", "--version"):
        assert word in out
    status, out, err = call(capsys, "train", "--help")
    assert (status, err) == (0, "")
    for word in (
        *("--data", "--root", "--model", "--epochs", "--batch-size", "--lr", "--momentum", "--weight-decay"),
        *(
            "--schedule",
            "--augment",
            "--seed",
            "--threads",
            "--out",
            "--resume",
            "--checkpoint-seconds",
            *("--image-size", "--init", "--freeze", "--optimizer", "--early-stopping", "--config", "--tensorboard"),
            *DATA,
            *MODELS,
        ),
    ):
        assert word in out
    for name, data in DATA.items():
        row = next(line.split() for line in out.splitlines() if line.startswith(f"  {name} "))
        assert row == [name, *("*" if value is None else str(value) for value in data.defaults.values())]
    status, out, _ = call(capsys, "bench", "--help")
    assert status == 0
    for word in ("--threads", "--cases", "--quick", "--json"):
        assert word in out


def test_version(capsys):
    assert call(capsys, "--version") == (0, f"fastconv {fastconv.__version__}\n", "")


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "COMMAND"),
        (["fly"], "invalid choice: 'fly'"),
        (["train", "--data", "imagenet"], "invalid choice: 'imagenet'"),
        (["train", "--model", "gpt"], "invalid choice: 'gpt'"),
        (["train", "--model", "resnt18"], "by their names); did you mean resnet18 or resnet"),
        (["train", "--schedule", "step"], "invalid choice: 'step'"),
        (["train", "--epochs", "0"], "--epochs: expected an integer of at least 1, got '0'"),
        (["train", "--epochs", "1.5"], "--epochs: expected an integer of at least 1, got '1.5'"),
        (["train", "--batch-size", "-3"], "--batch-size: expected an integer of at least 1, got '-3'"),
        (["train", "--lr", "0"], "--lr: expected a number above 0, got '0'"),
        (["train", "--lr", "nan"], "--lr: expected a number above 0, got 'nan'"),
        (["train", "--lr", "fast"], "--lr: expected a number above 0, got 'fast'"),
        (["train", "--momentum", "-1"], "--momentum: expected a number of at least 0, got '-1'"),
        (["train", "--weight-decay", "inf"], "--weight-decay: expected a number of at least 0, got 'inf'"),
        (["train", "--seed", "-1"], "--seed: expected an integer from 0 to"),
        (["train", "--threads", "0"], "--threads: expected an integer of at least 1, got '0'"),
        (["train", "--data", "folder"], "--data folder needs --root DIR"),
        (["train", "--root", "photos"], "--root DIR needs --data: a folder of images is --data folder --root DIR"),
        (["train", "--resume", "x", "--lr", "1", "--out", "y"], "the run in x; leave out --lr, --out"),
        (
            ["train", "--optimizer", "adam", "--momentum", "0.9"],
            "--optimizer adam has no momentum; leave out --momentum",
        ),
        (["train", "--freeze"], "--freeze keeps all but the last layer as it is, so it needs --init WEIGHTS"),
        (["train", "--augment", "wild"], "invalid choice: 'wild'"),
        (["train", "--model", "googlenet"], "invalid choice: 'googlenet'"),
        (["train", "--config", "none.toml"], "--config none.toml: No such file or directory"),
        (["train", "--rot", "x"], "unrecognized arguments: --rot"),
        (["bench", "--cases", "resnet999"], "no case has such a name; the cases are textbook.conv1"),
    ],
)
def test_wrong_arguments(capsys, tmp_path, monkeypatch, arguments, message):
    monkeypatch.chdir(tmp_path)
    status, out, err = call(capsys, *arguments)
    assert status == 2
    assert out == ""
    assert message in err
    assert err.startswith("usage: fastconv")
    assert os.listdir() == []


def test_model_that_does_not_take_the_images(capsys, tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    for model in ("lenet", "vgg11", "mobilenet_v2"):
        status, _, err = call(capsys, "train", "--model", model)
        assert status == 2
        assert f"--model {model} does not take the 1 x 8 x 8 images of --data digits: " in err
    assert os.listdir() == []


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("epochs = ", "is neither TOML nor JSON"),
        ('{"epochs": [1]}', "epochs expects one value"),
        ("speed = 3", "knows no 'speed'; the keys are data, root, model, image_size"),
        ("resume = 'x'", "knows no 'resume'"),
        ("epochs = 0", "--epochs: expected an integer of at least 1, got '0'"),
        ("epochs = true", "epochs expects a value, got true"),
        ("freeze = 1", "freeze expects true or false"),
        ("freeze = true", "--freeze keeps all but the last layer as it is, so it needs --init"),
        ("model = 'gpt'", "invalid choice: 'gpt'"),
    ],
)
def test_wrong_config_files(capsys, tmp_path, monkeypatch, text, message):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "c.toml").write_text(text)
    status, out, err = call(capsys, "train", "--config", "c.toml")
    assert (status, out) == (2, "")
    assert message in err


def test_what_is_given_counts_more_than_the_config_file(capsys, tmp_path, monkeypatch):
    seen = []
    monkeypatch.setattr("fastconv.app.runs.train", lambda *arguments: seen.append(arguments))
    for name, text in (
        ("c.toml", 'batch-size = 7\nepochs = 3\naugment = "strong"\nseed = 5\ntensorboard = true\nfreeze = false\n'),
        ("c.json", json.dumps({"batch_size": 7, "epochs": 3, "augment": "strong", "seed": 5, "tensorboard": True})),
    ):
        (tmp_path / name).write_text(text)
        assert call(capsys, "train", "--config", tmp_path / name, "--epochs", "4")[0] == 0
    settings, out, resume, *_, tensorboard = seen[0]
    assert settings == {"batch_size": 7, "epochs": 4, "augment": "strong", "seed": 5}
    assert (out, resume, tensorboard) == (None, None, True)
    assert seen[0] == seen[1]


def test_what_cannot_be_done(capsys, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    status, _, err = call(capsys, "train", "--resume", "nowhere")
    assert (status, err) == (
        1,
        "fastconv train: error: nowhere: there is no such folder, so no run to go on with\n",
    )
    (tmp_path / "empty").mkdir()
    status, _, err = call(capsys, "train", "--resume", "empty")
    assert status == 1
    assert "empty/checkpoint.safetensors: there is no checkpoint" in err
    (tmp_path / "empty" / "checkpoint.safetensors").write_bytes(b"garbage")
    status, _, err = call(capsys, "train", "--resume", "empty")
    assert status == 1
    assert "empty/checkpoint.safetensors: truncated, corrupt or no safetensors file (7 bytes)" in err
    checkpoint.save("empty/checkpoint.safetensors", {"x": np.ones(3)})
    status, _, err = call(capsys, "train", "--resume", "empty")
    assert status == 1
    assert "holds arrays but no training state" in err
    status, _, err = call(capsys, "train", "--data", "folder", "--root", "nowhere")
    assert status == 1
    assert "nowhere: there is no such folder" in err
    (tmp_path / "photo.png").touch()
    status, _, err = call(capsys, "train", "--data", "folder", "--root", "photo.png")
    assert status == 1
    assert "photo.png: is a file, no folder" in err
    pytest.importorskip("sklearn")
    status, _, err = call(capsys, "train", "--out", "empty")
    assert status == 1
    assert "empty: is not empty; name a new folder, or go on with --resume empty" in err


def test_missing_packages(capsys, tmp_path, monkeypatch):
    import importlib.util

    monkeypatch.chdir(tmp_path)
    find_spec = importlib.util.find_spec
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "matplotlib" else find_spec(name))
    status, _, err = call(capsys, "train")
    assert (status, err) == (
        1,
        'fastconv train: error: training runs need matplotlib: pip install "fastconv[train]"\n',
    )
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None if name == "tensorboard" else find_spec(name))
    words = "fastconv train: error: --tensorboard needs tensorboard: pip install tensorboard\n"
    assert call(capsys, "train", "--tensorboard") == (1, "", words)
    assert os.listdir() == []
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r'checkpoints need safetensors: pip install "fastconv\[train\]"'):
        checkpoint.save("x", {})


def test_errors_of_the_system_name_the_file(capsys, tmp_path, monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device", "a/b")

    monkeypatch.setattr(bench, "run", fail)
    assert call(capsys, "bench") == (1, "", "fastconv bench: error: a/b: No space left on device\n")


def test_interrupted(capsys, monkeypatch):
    def interrupt(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(bench, "run", interrupt)
    assert call(capsys, "bench") == (130, "", "fastconv bench: interrupted\n")


def test_reader_that_goes_away():
    process = start("info", stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    process.stdout.close()
    assert process.stderr.read() == ""
    assert process.wait() == 1
    process.stderr.close()


def test_info(capsys):
    status, out, err = call(capsys, "info")
    assert (status, err) == (0, "")
    lines = dict(line.split(":", 1) for line in out.splitlines())
    assert lines["fastconv"].split()[0] == fastconv.__version__
    assert lines["Python"].split()[0] == platform.python_version()
    assert lines["NumPy"].strip() == np.__version__
    assert lines["threads"].split()[0] == str(fastconv.get_num_threads())
    assert "instruction set" in lines


def test_info_check(capsys):
    status, out, err = call(capsys, "info", "--check")
    assert (status, err) == (0, "")
    lines = dict(line.split(":", 1) for line in out.splitlines() if ":" in line)
    assert "are right, on" in lines["  results"]
    assert lines["built by"].split()
    assert "OMP_NUM_THREADS" in lines["environment"] or "OMP_NUM_THREADS" not in os.environ
    assert lines["  training"].strip().startswith("the loss")
    assert "GFLOP/s" in lines["  speed"]
    assert "what to do" in lines


def test_info_check_finds_what_is_wrong(capsys, monkeypatch):
    right = fastconv.ops.conv2d
    monkeypatch.setattr(fastconv.ops, "conv2d", lambda *given, **options: right(*given, **options) * 1.001)
    monkeypatch.setattr(selfcheck.runtime, "has_openmp", lambda: False)
    monkeypatch.setattr(selfcheck, "training", lambda: 1 // 0)
    monkeypatch.setattr(selfcheck, "speed", lambda: (False, "slow", ["Close other programs."]))
    status, out, err = call(capsys, "info", "--check")
    assert (status, err) == (1, "fastconv info: error: the self-check found wrong results\n")
    assert "NOT GOOD: 12 of" in out or "NOT GOOD: 24 of" in out or "NOT GOOD: 36 of" in out
    assert "is off by 1.0e-03 of its norm" in out
    assert "NOT GOOD: ZeroDivisionError" in out
    advice = out[out.index("what to do") :]
    for words in ("has one thread only", "please report it", "Close other programs."):
        assert words in advice


def test_findings(monkeypatch):
    monkeypatch.setattr(selfcheck.info, "usable_cores", lambda: 4)
    monkeypatch.setattr(selfcheck, "cpu_quota", lambda: None)
    for count, words in ((4, None), (3, "3 of 4 usable cores"), (9, "FASTCONV_NUM_THREADS=4")):
        monkeypatch.setattr(fastconv, "get_num_threads", lambda count=count: count)
        found = selfcheck.one_thread()
        assert found is None if words is None else words in found
    monkeypatch.setattr(selfcheck, "cpu_quota", lambda: 2.5)
    assert "FASTCONV_NUM_THREADS=2" in selfcheck.one_thread()
    monkeypatch.setattr(selfcheck.runtime, "get_isa", lambda: "none")
    assert "unset FASTCONV_ISA" in selfcheck.slow_kernels()
    monkeypatch.setattr(selfcheck, "openmp_runtimes", lambda: ["a/libgomp.so.1", "b/libomp.so"])
    assert "2 OpenMP libraries" in selfcheck.two_runtimes()


# ---- fastconv bench


def test_cases_are_sound():
    assert set(bench.QUICK) <= bench.CASES.keys()
    for case in bench.CASES.values():
        x_shape, w_shape, y_shape = contenders.convolution_shapes(case)
        x, w = np.broadcast_to(np.float32(0), x_shape), np.broadcast_to(np.float32(0), w_shape)
        if np.prod(y_shape) < 300_000:
            options = (case[name] for name in ("stride", "padding", "dilation", "groups"))
            assert fastconv.ops.conv2d(x, w, None, *options).shape == y_shape


def test_bench(capsys, tmp_path):
    status, out, err = call(capsys, "bench", "--quick", "--cases", "textbook.conv2", "--json", tmp_path / "b.json")
    assert (status, err) == (0, "")
    lines = [line for line in out.splitlines() if line.startswith("textbook.conv2")]
    assert [line.split()[1] for line in lines] == ["forward", "input", "weight"]
    assert out.splitlines()[-1].startswith("geometric mean")
    result = json.loads((tmp_path / "b.json").read_text())
    assert result["about"]["threads"] == 1
    assert len(result["records"]) == 3
    for record in result["records"]:
        assert record["seconds"].keys() - {"torch"} == {"fastconv", "numpy"}
        assert record["ratio"].keys() == record["seconds"].keys() - {"fastconv"}
        assert all(value > 0 for value in (*record["seconds"].values(), *record["ratio"].values()))
        assert record["gflops"] == pytest.approx(
            contenders.operations(bench.CASES["textbook.conv2"]) / record["seconds"]["fastconv"] * 1e-9
        )


def test_bench_looks_for_the_folder_first(capsys, tmp_path):
    path = tmp_path / "none" / "b.json"
    assert call(capsys, "bench", "--json", path) == (
        1,
        "",
        f"fastconv bench: error: --json {path}: there is no such folder\n",
    )


def test_table():
    records = [
        {"case": "a", "pass": p, "gflops": 1.0, "seconds": {"fastconv": 1.0, "numpy": r}, "ratio": {"numpy": r}}
        for p, r in (("forward", 2.0), ("input", 8.0))
    ]
    rows = [bench.row(record, ["numpy"]) for record in records]
    assert rows[0].split() == ["a", "forward", "1000.000", "1.0", "2000.000", "2.00x"]
    means = bench.means(records, ["numpy"])
    assert means.split() == ["geometric", "mean", "4.00x"]
    assert len({len(line) for line in (bench.heading(["numpy"]), *rows, means)}) == 1


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (
            ("train", "--epochz", "3"),
            "fastconv train: error: unrecognized arguments: --epochz 3; did you mean --epochs?",
        ),
        (("info", "--chekc"), "fastconv info: error: unrecognized arguments: --chekc; did you mean --check?"),
        (("models", "--xyz"), "fastconv models: error: unrecognized arguments: --xyz\n"),
    ],
)
def test_unknown_flags_are_told_by_their_command(arguments, words, capsys):
    with pytest.raises(SystemExit) as ended:
        cli.main(arguments)
    assert ended.value.code == 2
    assert words in capsys.readouterr().err
