"""Training: `fit` and `evaluate`, and the runs of ``fastconv train`` with their interruptions."""

import errno
import gzip
import json
import os
import random
import re
import signal
import subprocess
import sys
import threading
import time

import numpy as np
import pytest

import fastconv
from fastconv import nn, optim
from fastconv.app import checkpoint, records, runs
from fastconv.app.train import evaluate, fit
from fastconv.random import default_generator
from fastconv.utils.data import DataLoader, Dataset, TensorDataset

SAMPLES, BATCH = 40, 8
BATCHES = SAMPLES // BATCH


class Noisy(Dataset):
    """Two classes of 6x6 images that are told apart by their brighter half; noise is drawn anew at each reading."""

    def __init__(self, interrupt_at=None, number=signal.SIGINT):
        self.read = 0
        self.interrupt_at = interrupt_at
        self.number = number

    def __len__(self):
        return SAMPLES

    def __getitem__(self, index):
        if self.read == self.interrupt_at:
            os.kill(os.getpid(), self.number)
        self.read += 1
        image = fastconv.normal(0.0, 0.3, (1, 6, 6)).numpy()
        image[:, :, 3 * (index % 2) :][:, :, :3] += 1
        return fastconv.from_numpy(image), index % 2


def make(dataset=None, steps=4 * BATCHES):
    """A small network with everything that has a state: batch norm, dropout, momentum, a schedule."""
    fastconv.manual_seed(3)
    model = nn.Sequential(
        *(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Dropout(0.5), nn.Linear(16, 2)),
    )
    optimizer = optim.SGD(model.parameters(), lr=0.05, momentum=0.9, weight_decay=1e-3)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 0.05, total_steps=steps, cycle_momentum=False)
    loader = DataLoader(Noisy() if dataset is None else dataset, BATCH, shuffle=True)
    return model, loader, optimizer, {"scheduler": scheduler, "step_scheduler": "batch", "verbose": False}


def still():
    """A test set that is the same at each reading."""
    images = np.zeros((10, 1, 6, 6), np.float32)
    images[::2, :, :, :3] = images[1::2, :, :, 3:] = 1
    return DataLoader(TensorDataset(fastconv.from_numpy(images), fastconv.tensor([0, 1] * 5)), 4)


def weights(model):
    return {name: np.array(value) for name, value in model.state_dict().items()}


def assert_same_run(model, history, expected_model, expected_history):
    of_time = ("images_per_second", "seconds")
    timeless = [{k: v for k, v in record.items() if k not in of_time} for record in history]
    assert timeless == [{k: v for k, v in record.items() if k not in of_time} for record in expected_history]
    for (name, value), expected in zip(weights(model).items(), weights(expected_model).values(), strict=True):
        assert value.tobytes() == expected.tobytes(), name


@pytest.fixture(scope="module")
def uninterrupted():
    model, loader, optimizer, options = make()
    return model, fit(model, loader, optimizer, 4, test_loader=still(), **options)


# ---- fit and evaluate


def test_fit_learns_and_reports(uninterrupted):
    model, history = uninterrupted
    assert [record["epoch"] for record in history] == [1, 2, 3, 4]
    assert history[-1]["test_accuracy"] == 1.0
    assert history[-1]["train_loss"] < history[0]["train_loss"]
    assert history[0].keys() == {*("epoch", "lr", "train_loss", "train_accuracy", "images_per_second", "seconds")} | {
        "test_loss",
        "test_accuracy",
    }
    loss, accuracy = evaluate(model, still())
    assert (loss, accuracy) == (history[-1]["test_loss"], history[-1]["test_accuracy"])


def test_training_goes_the_same_with_and_without_tests_and_output(uninterrupted, capsys):
    model, loader, optimizer, options = make()
    fit(model, loader, optimizer, 4, **options | {"verbose": True})
    for value, expected in zip(weights(model).values(), weights(uninterrupted[0]).values(), strict=True):
        np.testing.assert_array_equal(value, expected)
    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 4
    assert lines[3].startswith("epoch 4/4  loss ")
    assert "accuracy" in lines[3]
    assert "images/s" in lines[3]


def test_evaluate_is_exact_and_leaves_no_trace():
    model = nn.Sequential(nn.Flatten(), nn.Dropout(0.9), nn.Linear(36, 2))
    model.train()
    state = default_generator.get_state()
    loss, accuracy = evaluate(model, still())
    assert model.training
    assert fastconv.equal(default_generator.get_state(), state)
    images = np.concatenate([np.asarray(x) for x, _ in still()]).reshape(10, 36).astype(np.float64)
    labels = np.array([0, 1] * 5)
    w, b = (np.asarray(p.detach(), np.float64) for p in (model[2].weight, model[2].bias))
    scores = images @ w.T + b
    expected = (np.log(np.exp(scores).sum(1)) - scores[np.arange(10), labels]).mean()
    assert loss == pytest.approx(expected, rel=1e-5)  # some dozens of float32 roundings
    assert accuracy == (scores.argmax(1) == labels).mean()
    assert all(p.grad is None for p in model.parameters())


def test_schedulers_step_as_asked():
    seen = []
    model, loader, optimizer, _ = make()
    scheduler = optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.5)
    lr = optimizer.param_groups[0]["lr"]
    history = fit(model, loader, optimizer, 3, scheduler=scheduler, on_epoch=seen.append, verbose=False)
    assert [record["lr"] for record in history] == [lr, lr / 2, lr / 4]
    assert seen == history

    scheduler = optim.lr_scheduler.ReduceLROnPlateau(
        optimizer, factor=0.5, patience=0, threshold=1e9
    )  # nothing is good enough
    before = optimizer.param_groups[0]["lr"]
    fit(model, loader, optimizer, 3, scheduler=scheduler, verbose=False)
    assert optimizer.param_groups[0]["lr"] == before / 8


def test_bad_arguments():
    model, loader, optimizer, _ = make()
    with pytest.raises(ValueError, match="step_scheduler must be 'epoch' or 'batch', got 'step'"):
        fit(model, loader, optimizer, 1, step_scheduler="step")
    with pytest.raises(ValueError, match="resume=True needs the checkpoint"):
        fit(model, loader, optimizer, 1, resume=True)
    with pytest.raises(ValueError, match="train_loader gave no batch"):
        fit(model, [], optimizer, 1, verbose=False)
    with pytest.raises(ValueError, match="loader gave no batch"):
        evaluate(model, [])


def test_infinite_loss_is_reported_before_the_update():
    model, loader, optimizer, _ = make()
    before = weights(model)["6.weight"]
    with pytest.raises(FloatingPointError, match="the loss became nan; a smaller learning rate may help"):
        fit(model, loader, optimizer, 1, loss_function=lambda y, t: (y * float("nan")).sum(), verbose=False)
    np.testing.assert_array_equal(weights(model)["6.weight"], before)


def test_weights_that_the_last_step_spoiled_are_reported():
    model, loader, optimizer, _ = make()
    images, labels = next(iter(loader))
    optimizer.param_groups[0]["lr"] = 1e38
    with pytest.raises(FloatingPointError, match="the loss became nan; a smaller learning rate may help"):
        fit(model, [(images, labels)], optimizer, 1, test_loader=[(images, labels)], verbose=False)


def test_bar_on_a_terminal(monkeypatch, capsys):
    pytest.importorskip("tqdm")
    monkeypatch.setenv("COLUMNS", "80")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    model, loader, optimizer, options = make()
    fit(model, loader, optimizer, 1, test_loader=still(), **options | {"verbose": True})
    out, err = capsys.readouterr()
    assert out == ""
    shown = [line for line in err.split("\r") if "loss" in line]
    assert all(line.startswith("epoch 1/1 |") for line in shown)
    assert all(len(line.rstrip("\n")) <= 80 for line in shown)
    assert ", accuracy " in shown[0]
    assert ", test accuracy " in shown[-1]


def test_bar_on_a_narrow_terminal(monkeypatch, capsys):
    """The figures count more than the bar."""
    pytest.importorskip("tqdm")
    monkeypatch.setenv("COLUMNS", "60")
    monkeypatch.setattr(sys.stderr, "isatty", lambda: True, raising=False)
    model, loader, optimizer, options = make()
    fit(model, loader, optimizer, 1, test_loader=still(), **options | {"verbose": True})
    shown = [line.rstrip("\n") for line in capsys.readouterr().err.split("\r") if "loss" in line]
    assert all(len(line) <= 60 for line in shown)
    assert re.fullmatch(r"epoch 1/1 00:\d\d, loss \d\.\d{4}, accuracy \d\.\d{4}, test \d\.\d{4}", shown[-1].strip())


# ---- interruption and resumption of fit


@pytest.mark.parametrize("epochs", [0, 1, 3, 4])
def test_resumed_after_whole_epochs(tmp_path, uninterrupted, epochs):
    path = tmp_path / "c.safetensors"
    model, loader, optimizer, options = make()
    fit(model, loader, optimizer, epochs, test_loader=still(), checkpoint=path, **options)
    model, loader, optimizer, options = make()
    fastconv.manual_seed(99)
    history = fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, resume=True, **options)
    assert_same_run(model, history, *uninterrupted)


@pytest.fixture
def heeded(number):
    """nohup has pytest ignore that its terminal is gone, and training leaves alone what is ignored."""
    before = signal.getsignal(number)
    if before is signal.SIG_IGN:
        signal.signal(number, signal.SIG_DFL)
    yield
    signal.signal(number, before)


@pytest.mark.usefixtures("heeded")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("read", [0, 11, SAMPLES - 1, SAMPLES, 2 * SAMPLES + 20, 4 * SAMPLES - 1])
def test_resumed_after_a_signal(tmp_path, uninterrupted, number, read):
    path = tmp_path / "c.safetensors"
    handler = signal.getsignal(number)
    model, loader, optimizer, options = make(Noisy(read, number))
    with pytest.raises(KeyboardInterrupt):
        fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, **options)
    assert signal.getsignal(number) == handler
    progress = checkpoint.load_training(path)
    done = len(progress["history"]) * BATCHES + progress["batches"]
    assert done == read // BATCH + 1  # the step under way was finished

    model, loader, optimizer, options = make()
    fastconv.manual_seed(99)
    history = fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, resume=True, **options)
    assert_same_run(model, history, *uninterrupted)


def test_resumed_from_every_step(tmp_path, uninterrupted):
    path = tmp_path / "c.safetensors"
    kept = []

    class Watched(Noisy):
        def __getitem__(self, index):
            if self.read % BATCH == 0:
                kept.append(path.read_bytes())
            return super().__getitem__(index)

    model, loader, optimizer, options = make(Watched())
    fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, checkpoint_seconds=0, **options)
    assert len(kept) == 4 * BATCHES
    for state in kept[::3]:
        path.write_bytes(state)
        model, loader, optimizer, options = make()
        history = fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, resume=True, **options)
        assert_same_run(model, history, *uninterrupted)


def test_interrupted_while_testing(tmp_path, uninterrupted):
    path = tmp_path / "c.safetensors"

    class Interrupting:
        def __iter__(self):
            os.kill(os.getpid(), signal.SIGINT)
            yield from still()

    model, loader, optimizer, options = make()
    with pytest.raises(KeyboardInterrupt):
        fit(model, loader, optimizer, 4, test_loader=Interrupting(), checkpoint=path, **options)
    assert checkpoint.load_training(path)["batches"] == BATCHES
    model, loader, optimizer, options = make()
    history = fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, resume=True, **options)
    assert_same_run(model, history, *uninterrupted)


def test_second_signal_acts_at_once(tmp_path):
    class Stubborn(Noisy):
        def __getitem__(self, index):
            os.kill(os.getpid(), signal.SIGINT)
            return super().__getitem__(index)

    dataset = Stubborn()
    model, loader, optimizer, options = make(dataset)
    with pytest.raises(KeyboardInterrupt):
        fit(model, loader, optimizer, 4, checkpoint=tmp_path / "c", **options)
    assert dataset.read == 1
    assert checkpoint.load_training(tmp_path / "c")["batches"] == 0


def test_fit_in_another_thread(tmp_path, uninterrupted):
    model, loader, optimizer, options = make()
    histories = []
    thread = threading.Thread(
        target=lambda: histories.append(
            fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=tmp_path / "c", **options)
        )
    )
    thread.start()
    thread.join()
    assert_same_run(model, histories[0], *uninterrupted)


def test_corrupt_checkpoint_is_refused(tmp_path):
    path = tmp_path / "c.safetensors"
    model, loader, optimizer, options = make()
    fit(model, loader, optimizer, 1, checkpoint=path, **options)
    contents = bytearray(path.read_bytes())
    contents[-5] ^= 1
    path.write_bytes(contents)
    with pytest.raises(checkpoint.CheckpointError, match=r"c\.safetensors: corrupt: its contents have checksum"):
        fit(model, loader, optimizer, 2, checkpoint=path, resume=True, **options)


# ---- fastconv train

FILES = set(runs.FILES) - {"mistakes.png"}


def command(*arguments, cwd, **options):
    return subprocess.Popen(
        [sys.executable, "-m", "fastconv", "train", *map(str, arguments)],
        cwd=cwd,
        env=os.environ | {"PYTHONPATH": os.pathsep.join([*sys.path])},
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        **options,
    )


def finish(process, status=0):
    out, err = process.communicate(timeout=120)
    assert process.returncode == status, err
    return out, err


def events(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def idx(array):
    header = bytes([0, 0, 8, array.ndim]) + b"".join(n.to_bytes(4, "big") for n in array.shape)
    return gzip.compress(header + array.astype(np.uint8).tobytes(), mtime=0)


@pytest.fixture(scope="module")
def mnist(tmp_path_factory):
    """A folder with data in MNIST's format: the place of a bright square tells the class."""
    root = tmp_path_factory.mktemp("mnist")
    raw = root / "MNIST" / "raw"
    raw.mkdir(parents=True)
    draw = np.random.default_rng(0)
    for prefix, count in (("train", 480), ("t10k", 100)):
        labels = np.arange(count) % 10
        images = draw.integers(0, 60, (count, 28, 28))
        for image, label in zip(images, labels, strict=True):
            image[14 * (label // 5) + 4 :, 5 * (label % 5) + 2 :][:4, :4] = 255
        (raw / f"{prefix}-images-idx3-ubyte.gz").write_bytes(idx(images))
        (raw / f"{prefix}-labels-idx1-ubyte.gz").write_bytes(idx(labels))
    return root


@pytest.fixture(scope="module")
def mnist_run(mnist, tmp_path_factory):
    """Bytes of the weights after a run of the command that nothing interrupted, and its arguments."""
    folder = tmp_path_factory.mktemp("run") / "out"
    arguments = ["--data", "mnist", "--root", mnist, "--epochs", 3, "--batch-size", 16, "--seed", 5, "--threads", 1]
    out, _ = finish(command(*arguments, "--out", folder, cwd=folder.parent))
    return arguments, (folder / "model.safetensors").read_bytes(), out, folder


def check_folder(folder):
    assert set(os.listdir(folder)) - {"mistakes.png"} == FILES
    for name in FILES:
        if name.endswith(".png"):
            contents = (folder / name).read_bytes()
            assert contents.startswith(b"\x89PNG"), name
            assert len(contents) > 2000, name


def test_digits_out_of_the_box(tmp_path):
    """As a user starts it, but for fewer epochs."""
    pytest.importorskip("sklearn")
    out, err = finish(command("--epochs", 3, "--threads", 1, cwd=tmp_path))
    assert err == ""
    lines = out.splitlines()
    assert lines[0] == f"digitsnet on digits, {len(fastconv.vision.datasets.Digits())} images; results in runs/digits-1"
    assert [line.split("  ")[0] for line in lines[1:4]] == ["epoch 1/3", "epoch 2/3", "epoch 3/3"]
    assert lines[4:6] == ["drawing", "runs/digits-1 holds"]
    assert {line.split()[0] for line in lines[6:-1]} == set(os.listdir(tmp_path / "runs" / "digits-1"))
    assert lines[-1].startswith("test accuracy: 0.")
    assert len(lines[-1]) == len("test accuracy: 0.9NNN")
    accuracy = float(lines[-1].removeprefix("test accuracy: "))
    assert accuracy > 0.9
    folder = tmp_path / "runs" / "digits-1"
    check_folder(folder)
    log = events(folder)
    assert [line["event"] for line in log] == ["start", "epoch", "epoch", "epoch", "end"]
    assert log[0]["settings"]["epochs"] == 3
    assert log[0]["versions"].keys() == {"python", "numpy", "fastconv"}
    assert log[-1]["test_accuracy"] == pytest.approx(accuracy, abs=1e-4)

    model = fastconv.vision.models.small.DigitsNet()
    about = checkpoint.read(folder / "model.safetensors")[1]
    model.load_state_dict(checkpoint.load(folder / "model.safetensors"))
    assert about["model"] == "digitsnet"
    transform = fastconv.vision.transforms.Compose(
        [fastconv.vision.transforms.ToTensor(), fastconv.vision.transforms.Normalize(about["mean"], about["std"])]
    )
    test_set = fastconv.vision.datasets.Digits(train=False, transform=transform)
    assert evaluate(model, DataLoader(test_set, 100))[1] == about["test_accuracy"] == log[-1]["test_accuracy"]


def test_mnist_files(mnist_run):
    _, _, out, folder = mnist_run
    assert out.splitlines()[-1].startswith("test accuracy: ")
    check_folder(folder)


def test_same_seed_same_weights_for_any_threads(mnist, tmp_path, threads):
    threads(1)
    settings = {"data": "mnist", "root": str(mnist), "epochs": 1, "batch_size": 48, "seed": 5}
    for count in (1, 2, 3):
        runs.train(settings, out=str(tmp_path / str(count)), threads=count)
    assert len({(tmp_path / name / "model.safetensors").read_bytes() for name in "123"}) == 1


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_command_interrupted_and_resumed(mnist_run, tmp_path, number):
    arguments, expected, _, _ = mnist_run
    process = command(*arguments, "--out", "my run", cwd=tmp_path)
    assert process.stdout.readline().startswith("lenet on mnist")
    process.stdout.readline()  # the first epoch is done
    process.send_signal(number)
    _, err = finish(process, 128 + number)
    assert err == (
        "\nstopping when this step is done; again to stop at once\n"
        "fastconv train: interrupted; go on with: fastconv train --resume 'my run'; "
        "what it learned so far answers by: fastconv predict --best 'my run' IMAGE\n"
    )
    folder = tmp_path / "my run"
    assert events(folder)[-1]["event"] == "interrupted"
    assert not (folder / "model.safetensors").exists()

    out, _ = finish(command("--resume", "my run", "--threads", 1, cwd=tmp_path))
    assert out.splitlines()[-1].startswith("test accuracy: ")
    assert (folder / "model.safetensors").read_bytes() == expected
    check_folder(folder)
    assert [line["epoch"] for line in events(folder) if line["event"] == "epoch"] == [1, 2, 3]


def test_command_killed_and_resumed(mnist_run, tmp_path):
    arguments, expected, _, _ = mnist_run
    draw = random.Random(2)
    folder = tmp_path / "out"
    process = command(*arguments, "--out", folder, "--checkpoint-seconds", 0, cwd=tmp_path)
    process.stdout.readline()
    before = -1
    for _ in range(3):
        while not (folder / "checkpoint.safetensors").exists():
            time.sleep(0.01)
        time.sleep(draw.uniform(0.05, 0.3))
        process.kill()
        process.communicate()
        progress = checkpoint.load_training(folder / "checkpoint.safetensors")
        done = len(progress["history"]) * 30 + progress["batches"]
        assert done >= before
        before = done
        process = command("--resume", folder, "--threads", 1, "--checkpoint-seconds", 0, cwd=tmp_path)
        process.stdout.readline()
    finish(process)
    assert (folder / "model.safetensors").read_bytes() == expected
    check_folder(folder)
    assert [line["epoch"] for line in events(folder) if line["event"] == "epoch"] == [1, 2, 3]


def test_finished_run_resumed_is_the_same(mnist_run):
    _, expected, out, folder = mnist_run
    again, _ = finish(command("--resume", folder, "--threads", 1, cwd=folder.parent))
    assert again.splitlines()[-1] == out.splitlines()[-1]
    assert (folder / "model.safetensors").read_bytes() == expected


def test_two_runs_in_one_folder(tmp_path):
    with records.Lock(tmp_path), pytest.raises(RuntimeError, match="another process is training into this folder"):
        records.Lock(tmp_path).__enter__()
    with records.Lock(tmp_path):
        pass


@pytest.mark.parametrize("code", [errno.ENOSYS, errno.ENOLCK, errno.ENOTSUP])
def test_a_file_system_without_locks(tmp_path, monkeypatch, code):
    def flock(*arguments):
        raise OSError(code, os.strerror(code))

    monkeypatch.setattr("fcntl.flock", flock)
    with (
        pytest.warns(UserWarning, match=r"cannot be locked \(.*\): see that no other run trains into it"),
        records.Lock(tmp_path),
    ):
        pass


def test_a_disk_that_was_full_at_the_first_checkpoint(tmp_path, monkeypatch):
    pytest.importorskip("sklearn")
    out = tmp_path / "run"
    settings = {"data": "digits", "epochs": 1}

    def full(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(OSError, match="No space left on device"):
            runs.train(settings, out=str(out))
    assert os.listdir(out) == ["log.jsonl"]
    monkeypatch.setattr("fastconv.app.story.tell_story", lambda *arguments: None)
    runs.train(settings, out=str(out))
    assert [line["event"] for line in events(out)] == ["start", "epoch", "end"]


def test_log_drops_what_the_checkpoint_lacks(tmp_path):
    log = records.Log(str(tmp_path / "log.jsonl"))
    log.add("start")
    for epoch in (1, 2, 3):
        log.add("epoch", epoch=epoch)
    with open(log.path, "a") as file:
        file.write('{"event": "epo')
    log.forget_after(2)
    assert [(line["event"], line.get("epoch")) for line in events(tmp_path)] == [
        ("start", None),
        ("epoch", 1),
        ("epoch", 2),
    ]


def test_a_disk_that_is_full_for_a_while(tmp_path, monkeypatch, uninterrupted, capsys):
    """The training goes on, says so once each time, and loses nothing when there is room again."""
    save, calls = checkpoint.save, []

    def now_and_then(path, *arguments):
        calls.append(path)
        if len(calls) in (3, 4, 5, 8):
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(path, *arguments)

    monkeypatch.setattr(checkpoint, "save", now_and_then)
    path = tmp_path / "c.safetensors"
    model, loader, optimizer, options = make()
    history = fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, checkpoint_seconds=0, **options)
    assert_same_run(model, history, *uninterrupted)
    told = f"fastconv: {path}: No space left on device: the training goes on, and tries again; what is kept is older\n"
    assert capsys.readouterr().err == 2 * told
    assert len(checkpoint.load_training(path)["history"]) == 4


def test_a_disk_that_is_full_at_the_end(tmp_path, monkeypatch, uninterrupted):
    save, calls = checkpoint.save, []

    def at_first(path, *arguments):
        calls.append(path)
        if len(calls) > 8:
            raise OSError(errno.ENOSPC, "No space left on device", str(path))
        save(path, *arguments)

    path = tmp_path / "c.safetensors"
    model, loader, optimizer, options = make()
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", at_first)
        with pytest.raises(OSError, match="No space left on device"):
            fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, checkpoint_seconds=0, **options)
    progress = checkpoint.load_training(path)
    assert 5 * len(progress["history"]) + progress["batches"] == 6
    model, loader, optimizer, options = make()
    history = fit(model, loader, optimizer, 4, test_loader=still(), checkpoint=path, resume=True, **options)
    assert_same_run(model, history, *uninterrupted)
