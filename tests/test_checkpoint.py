"""Files of weights and of training states: complete or refused, never half."""

import errno
import os
import pickle
import random
import signal
import subprocess
import sys
import time

import numpy as np
import pytest

import fastconv
from fastconv import nn, optim
from fastconv.app import checkpoint
from fastconv.random import default_generator

STATE = {
    "weight": np.arange(24, dtype=np.float32).reshape(2, 3, 2, 2),
    "double": np.linspace(0, 1, 5),
    "count": np.array(7, np.int64),
    "empty": np.empty((0, 3), np.float32),
    "mask": np.array([True, False]),
}


def equal(state, expected):
    assert state.keys() == expected.keys()
    for name, value in expected.items():
        array = np.asarray(state[name])
        assert array.dtype == value.dtype.newbyteorder("=")
        np.testing.assert_array_equal(array, value, strict=array.dtype == value.dtype)


def test_round_trip(tmp_path):
    checkpoint.save(tmp_path / "a.safetensors", STATE, {"epoch": 3})
    loaded = checkpoint.load(tmp_path / "a.safetensors")
    assert all(isinstance(value, fastconv.Tensor) for value in loaded.values())
    equal(loaded, STATE)
    arrays, metadata = checkpoint.read(tmp_path / "a.safetensors")
    equal(arrays, STATE)
    assert metadata == {"epoch": 3}
    assert all(array.flags.writeable and array.flags.aligned for array in arrays.values())
    assert os.listdir(tmp_path) == ["a.safetensors"]


def test_arrays_of_any_layout(tmp_path):
    base = np.arange(24, dtype=np.float64).reshape(4, 6)
    state = {"transposed": base.T, "negative": base[::-1, ::2], "big_endian": base.astype(">f8")}
    checkpoint.save(tmp_path / "a", state)
    equal(checkpoint.load(tmp_path / "a"), state)


def test_model_round_trip(tmp_path):
    model = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    checkpoint.save(tmp_path / "model.safetensors", model.state_dict())
    other = nn.Sequential(nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.Flatten(), nn.Linear(16, 2))
    other.load_state_dict(checkpoint.load(tmp_path / "model.safetensors"))
    equal(other.state_dict(), {name: np.array(value) for name, value in model.state_dict().items()})


def test_equal_states_give_equal_bytes(tmp_path):
    for name in "ab":
        checkpoint.save(tmp_path / name, STATE, {"x": 1})
    assert (tmp_path / "a").read_bytes() == (tmp_path / "b").read_bytes()


def test_torch_reads_and_is_read(tmp_path):
    torch = pytest.importorskip("torch")
    from safetensors.torch import load_file, save_file

    checkpoint.save(tmp_path / "ours", STATE)
    theirs = load_file(tmp_path / "ours")
    equal({name: value.numpy() for name, value in theirs.items()}, STATE)
    save_file({"w": torch.ones(2, 3)}, tmp_path / "theirs")
    equal(checkpoint.load(tmp_path / "theirs"), {"w": np.ones((2, 3), np.float32)})
    assert checkpoint.read(tmp_path / "theirs")[1] is None
    save_file({"w": torch.ones(2, 3, dtype=torch.bfloat16)}, tmp_path / "theirs")
    (narrow,) = checkpoint.load(tmp_path / "theirs").values()
    assert narrow.dtype is fastconv.bfloat16
    assert narrow.tolist() == [[1.0] * 3] * 2
    for newer in (True, False):
        torch.save({"w": torch.ones(2, 3)}, tmp_path / "weights.pth", _use_new_zipfile_serialization=newer)
        with pytest.raises(checkpoint.CheckpointError, match=r"files of torch\.save do, which fastconv\.load reads"):
            checkpoint.load(tmp_path / "weights.pth")


@pytest.mark.parametrize("length", [0, 4, 8, 50, 300, -100, -1])
def test_truncated(tmp_path, length):
    path = tmp_path / "cut.safetensors"
    checkpoint.save(path, STATE, {"epoch": 3})
    path.write_bytes(path.read_bytes()[:length])
    with pytest.raises(checkpoint.CheckpointError, match=r"cut\.safetensors: truncated, corrupt"):
        checkpoint.load(path)


def test_flipped_bits_never_go_unnoticed(tmp_path):
    path = tmp_path / "a.safetensors"
    checkpoint.save(path, STATE, {"epoch": 3})
    good = path.read_bytes()
    draw = random.Random(0)
    places = [*range(16), *(draw.randrange(len(good)) for _ in range(400))]
    for place in places:
        bad = bytearray(good)
        bad[place] ^= 1 << draw.randrange(8)
        path.write_bytes(bad)
        try:
            state, metadata = checkpoint.read(path)
        except checkpoint.CheckpointError as error:
            assert "a.safetensors" in str(error)
        else:  # the flip hit the name of the metadata: the file reads like another program's
            assert metadata is None
            equal(state, STATE)


class Payload:
    def __reduce__(self):
        return os.system, ("touch executed",)


@pytest.mark.parametrize(
    "contents",
    [
        pickle.dumps(Payload()),
        b"\x89PNG\r\n\x1a\n" + bytes(100),
        b"hello",
        (10**12).to_bytes(8, "little") + b"{}",
        (2).to_bytes(8, "little") + b"[]",
    ],
)
def test_foreign(tmp_path, monkeypatch, contents):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "foreign").write_bytes(contents)
    with pytest.raises(checkpoint.CheckpointError, match="foreign: truncated, corrupt or no safetensors file"):
        checkpoint.load("foreign")
    assert os.listdir() == ["foreign"]


def test_missing_file_and_folder(tmp_path):
    with pytest.raises(FileNotFoundError, match="nowhere"):
        checkpoint.load(tmp_path / "nowhere")
    with pytest.raises(IsADirectoryError, match="is a folder"):
        checkpoint.load(tmp_path)
    with pytest.raises(OSError, match="cannot write"):
        checkpoint.save(tmp_path / "nowhere" / "a", STATE)


def test_failed_write_leaves_the_old_file(tmp_path, monkeypatch):
    path = tmp_path / "a"
    checkpoint.save(path, STATE)

    def full(descriptor):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match="cannot write: No space left on device") as caught:
        checkpoint.save(path, {"other": np.ones(3)})
    assert caught.value.errno == errno.ENOSPC
    assert caught.value.filename == str(path)
    equal(checkpoint.load(path), STATE)
    assert os.listdir(tmp_path) == ["a"]


SAVE_FOREVER = """
import sys, numpy as np
from fastconv.app import checkpoint
k = 0
while True:
    checkpoint.save(sys.argv[1], {"x": np.full(300_000, k, np.float32)}, k)
    k += 1
    print(k, flush=True)
"""


def test_killed_while_writing(tmp_path):
    path = tmp_path / "a"
    draw = random.Random(1)
    for _ in range(4):
        process = subprocess.Popen([sys.executable, "-c", SAVE_FOREVER, path], stdout=subprocess.PIPE, text=True)
        process.stdout.readline()
        time.sleep(draw.uniform(0, 0.05))
        process.send_signal(signal.SIGKILL)
        written = [1, *(int(line) for line in process.stdout if line.endswith("\n"))]
        process.wait()
        process.stdout.close()
        arrays, number = checkpoint.read(path)
        assert number >= written[-1] - 1  # nothing that was reported as written is lost
        np.testing.assert_array_equal(arrays["x"], np.full(300_000, number, np.float32))
    checkpoint.save(path, STATE)
    assert os.listdir(tmp_path) == ["a"]  # what the last kill left is gone


def make(features=3):
    fastconv.manual_seed(1)
    model = nn.Sequential(nn.Linear(2, features), nn.ReLU(), nn.Linear(features, 2))
    optimizer = optim.SGD(model.parameters(), lr=0.1, momentum=0.9, nesterov=True)
    scheduler = optim.lr_scheduler.OneCycleLR(optimizer, 0.1, total_steps=20, cycle_momentum=False)
    return model, optimizer, scheduler


def step(model, optimizer, scheduler):
    optimizer.zero_grad()
    (model(fastconv.randn(4, 2)) ** 2).sum().backward()
    optimizer.step()
    scheduler.step()


def test_training_state_goes_on_exactly(tmp_path):
    parts = make()
    for _ in range(3):
        step(*parts)
    checkpoint.save_training(tmp_path / "t", *parts, {"note": [1.5, "x"]})
    for _ in range(3):
        step(*parts)
    expected, drawn = parts[0].state_dict(), default_generator.get_state()

    again = make()
    assert checkpoint.load_training(tmp_path / "t", *again) == {"note": [1.5, "x"]}
    for _ in range(3):
        step(*again)
    equal(again[0].state_dict(), {name: np.array(value) for name, value in expected.items()})
    assert again[1].param_groups[0]["lr"] == parts[1].param_groups[0]["lr"]
    assert fastconv.equal(default_generator.get_state(), drawn)


def test_reading_progress_alone_changes_nothing(tmp_path):
    parts = make()
    checkpoint.save_training(tmp_path / "t", *parts, {"epoch": 2})
    before = default_generator.get_state()
    fastconv.rand(1)
    between = default_generator.get_state()
    assert checkpoint.load_training(tmp_path / "t") == {"epoch": 2}
    assert fastconv.equal(default_generator.get_state(), between)
    assert not fastconv.equal(before, between)


def test_an_earlier_release_s_checkpoint_goes_on_from_its_seed(tmp_path):
    """Its generator was another one, whose state is a dict of the seed and NumPy's numbers."""
    old = {"seed": 2**70 + 11, "bit_generator": {"bit_generator": "PCG64", "state": {"state": 1, "inc": 3}}}
    parts = make()
    checkpoint.save_training(tmp_path / "t", *parts, {"random": old, "batches": 2})
    arrays, state = checkpoint.read(tmp_path / "t")
    del arrays["random"]
    checkpoint.save(tmp_path / "old", arrays, state | {"random": old})
    with pytest.warns(UserWarning, match="earlier release, which drew other random numbers.* seed"):
        progress = checkpoint.load_training(tmp_path / "old", *make())
    expected = fastconv.Generator().manual_seed(11).get_state()
    assert fastconv.equal(progress["random"], expected)
    assert fastconv.equal(default_generator.get_state(), expected)


def test_state_that_does_not_fit(tmp_path):
    checkpoint.save_training(tmp_path / "t", *make(3), {})
    with pytest.raises(checkpoint.CheckpointError, match=r"t: does not fit this model .*:\s+size mismatch"):
        checkpoint.load_training(tmp_path / "t", *make(4))
    checkpoint.save(tmp_path / "weights", make()[0].state_dict())
    with pytest.raises(checkpoint.CheckpointError, match="weights: holds arrays but no training state"):
        checkpoint.load_training(tmp_path / "weights", *make())


def test_any_tree_survives():
    tree = {
        "state": {0: {"buffer": np.ones(2), "none": None}, 1: {}},
        "groups": [{"lr": 0.1, "betas": (0.9, np.float64(0.5)), "params": [0, 1]}],
        "best": float("inf"),
        "flag": np.True_,
    }
    arrays = {}
    import json

    text = json.dumps(checkpoint._take_arrays(tree, "o", arrays))
    assert list(arrays) == ["o.state.0.buffer"]
    back = checkpoint._put_arrays(json.loads(text), arrays)
    np.testing.assert_array_equal(np.asarray(back["state"][0].pop("buffer")), tree["state"][0].pop("buffer"))
    assert back == tree
    assert type(back["groups"][0]["betas"]) is tuple
