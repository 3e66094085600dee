"""Files that somebody made to do harm: an error names the file and what is wrong; nothing is run, followed or left.

What each data set's files may hold is tested in test_datasets.py, what a checkpoint's may in test_checkpoint.py.
"""

import io
import json
import os
import struct
import tarfile
import zlib

import numpy as np
import pytest

import fastconv
from fastconv import nn, optim
from fastconv.app import checkpoint, train
from fastconv.app.records import Log
from fastconv.utils.data import DataLoader, TensorDataset
from fastconv.vision import datasets
from fastconv.vision.datasets import _files

pytest.importorskip("safetensors")


def safetensors_file(path, header, data=b"", length=None):
    text = header if isinstance(header, bytes) else json.dumps(header).encode()
    path.write_bytes(struct.pack("<Q", len(text) if length is None else length) + text + data)
    return path


def entry(dtype="F32", shape=(2,), offsets=(0, 8)):
    return {"dtype": dtype, "shape": list(shape), "data_offsets": list(offsets)}


# ---- checkpoints -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("header", "length"),
    [
        ({"a": entry(shape=(10**12,))}, None),
        ({"a": entry(shape=(10**6, 10**6), offsets=(0, 4 * 10**12))}, None),
        ({"a": entry(shape=(2**62, 2**62), offsets=(0, 8))}, None),
        ({"a": entry(shape=(-2,))}, None),
        ({"a": entry(shape=(2.0,))}, None),
        ({"a": entry(offsets=(8, 0))}, None),
        ({"a": entry(offsets=(-8, 0))}, None),
        ({"a": entry(offsets=(2**63, 2**63 + 8))}, None),
        ({"a": entry(), "b": entry()}, None),  # both over the same bytes
        ({"a": entry(dtype="PICKLE")}, None),
        ({"a": entry(dtype="I4096")}, None),
        ({"a": "zebra"}, None),
        ({"__metadata__": {"fastconv": 3}, "a": entry()}, None),
        ({"__metadata__": [], "a": entry()}, None),
        (b"{" + b'"a":{' * 100_000, None),
        (b'{"a":' + b"[" * 1_000_000, None),
        ({"a": entry()}, 2**63),
        ({"a": entry()}, 2**64 - 1),
        ({"a": entry()}, 0),
        ({"a": entry()}, 3),
    ],
)
def test_absurd_headers(tmp_path, header, length):
    path = safetensors_file(tmp_path / "absurd.safetensors", header, bytes(8), length)
    for read in (checkpoint.load, checkpoint.load_training):
        with pytest.raises(checkpoint.CheckpointError, match=r"absurd\.safetensors"):
            read(path)


@pytest.mark.parametrize(
    "text",
    [
        "[" * 100_000,
        '{"metadata":' + "[" * 100_000 + "]" * 100_000 + ', "crc32": 0}',
        "null",
        "3",
        '"zebra"',
        "[]",
        "{}",
        '{"metadata": 1}',
        '{"metadata": null, "crc32": "zebra"}',
        '{"metadata": null, "crc32": 1e400}',
        '{"metadata": null, "crc32": ' + "9" * 5000 + "}",
    ],
)
def test_absurd_metadata(tmp_path, text):
    path = safetensors_file(
        tmp_path / "absurd.safetensors", {"__metadata__": {"fastconv": text}, "a": entry()}, bytes(8)
    )
    with pytest.raises(checkpoint.CheckpointError, match=r"absurd\.safetensors: corrupt"):
        checkpoint.load(path)


def test_names_of_arrays_are_no_paths(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    names = ["../escaped", "/tmp/escaped", "..", "a\0b", "", "__metadata", "con", "x" * 10_000]
    checkpoint.save("state.safetensors", {name: np.ones(2, np.float32) for name in names})
    assert checkpoint.load("state.safetensors").keys() == set(names)
    assert os.listdir() == ["state.safetensors"]


def fitted(path, **options):
    net = nn.Sequential(nn.Flatten(), nn.Linear(4, 2))
    data = TensorDataset(fastconv.ones(6, 4), fastconv.from_numpy(np.arange(6) % 2))
    optimizer = optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    return train.fit(net, DataLoader(data, 2), optimizer, 2, checkpoint=path, verbose=False, **options)


STATE_CHANGES = {
    "progress": [None, 3, "zebra", [], {}, {"batches": 10**12}],
    "progress.history": [None, 3, {"a": 1}, [3], "zebra"],
    "progress.batches": [None, -1, 10**12, 1.5, "zebra"],
    "progress.images": ["zebra", None, -5],
    "progress.loss": ["zebra", None, []],
    "random": [
        None,
        3,
        {},
        {"seed": 0},
        {"seed": "zebra", "bit_generator": {}},
        {"seed": 0, "bit_generator": {"x": 1}},
    ],
    "optimizer": [
        None,
        3,
        {},
        [],
        {"state": {}, "param_groups": []},
        {"$array": "nowhere"},
        {"$dict": 3},
        {"$tuple": 3},
    ],
    "optimizer.param_groups": [None, "zebra", [3], [{"params": [0]}]],
    "scheduler": [],
}


@pytest.mark.parametrize(("place", "value"), [(p, v) for p, values in STATE_CHANGES.items() for v in values])
def test_a_training_state_that_lies(tmp_path, place, value):
    """Its checksum is right: somebody wrote it so."""
    path = tmp_path / "state.safetensors"
    fitted(path)
    arrays, state = checkpoint.read(path)
    *above, last = place.split(".")
    inner = state
    for name in above:
        inner = inner[name]
    inner[last] = value
    checkpoint.save(path, arrays, state)
    with pytest.raises(checkpoint.CheckpointError, match=r"state\.safetensors"):
        fitted(path, resume=True)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        *[("data", bad) for bad in ("zebra", 3, None, ["digits"], "../..")],
        *[("model", bad) for bad in ("__class__", "Module", 3, None)],
        *[("schedule", bad) for bad in ("zebra", None)],
        *[(size, bad) for size in ("epochs", "batch_size") for bad in (0, -1, 1.5, "zebra", None, 10**30)],
        *[(rate, bad) for rate in ("lr", "momentum", "weight_decay") for bad in (-1, "zebra", None, float("nan"))],
    ],
)
def test_settings_that_lie(tmp_path, name, value, capsys):
    from fastconv.app.cli import main
    from fastconv.app.settings import complete

    settings = complete({}) | {name: value}
    path = tmp_path / "checkpoint.safetensors"
    fitted(path, settings=settings)
    assert main(["train", "--resume", str(tmp_path)]) == 1
    error = capsys.readouterr().err
    assert "checkpoint.safetensors" in error and repr(value) in error


def test_a_log_that_lies(tmp_path):
    path = tmp_path / "log.jsonl"
    good = {"event": "epoch", "epoch": 1}
    lines = ["3", "[]", "null", '"x"', "[" * 100_000, '{"epoch": "x"}', '{"epoch": [1]}', "\xff\0", json.dumps(good)]
    path.write_text("\n".join([*lines, '{"epoch": 2}', '{"event": "ep']))
    Log(str(path)).forget_after(1)
    assert [json.loads(line) for line in path.read_text().splitlines()] == [good]
    for lies in ([good], [], [{"event": "start", "notes": 3}], [{"event": "start"}]):
        path.write_text("".join(json.dumps(line) + "\n" for line in lies))
        assert Log(str(path)).notes() == []


def test_a_link_planted_where_the_next_checkpoint_is_written(tmp_path):
    secret = tmp_path / "secret"
    secret.write_text("untouched")
    os.symlink(secret, tmp_path / ".state.tmp")
    checkpoint.save(tmp_path / "state", {"a": np.ones(2)})
    assert secret.read_text() == "untouched"
    assert sorted(os.listdir(tmp_path)) == ["secret", "state"]
    # A file that is itself a link is replaced, and what it leads to stays.
    (tmp_path / "state").unlink()
    os.symlink(secret, tmp_path / "state")
    checkpoint.save(tmp_path / "state", {"a": np.ones(2)})
    assert secret.read_text() == "untouched"
    assert checkpoint.load(tmp_path / "state").keys() == {"a"}


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="needs pipes")
def test_pipes_and_devices_are_no_files(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path in (tmp_path / "pipe", "/dev/zero", "/dev/null"):
        with pytest.raises(checkpoint.CheckpointError, match="no regular file"):
            checkpoint.load(path)
    (tmp_path / "images" / "cat").mkdir(parents=True)
    os.mkfifo(tmp_path / "images" / "cat" / "pipe.png")
    with pytest.raises(RuntimeError, match=r"pipe\.png is no file"):
        datasets.ImageFolder(tmp_path / "images")[0]
    for name in ("train-images-idx3-ubyte", "data_batch_1.bin"):
        os.mkfifo(tmp_path / name)
    for kind in (datasets.MNIST, datasets.CIFAR10):
        with pytest.raises(RuntimeError, match="Dataset not found"):
            kind(tmp_path)


# ---- data sets -------------------------------------------------------------------------------------------------------


def test_links_that_lead_round_in_circles(tmp_path):
    image_module = pytest.importorskip("PIL.Image")
    cats = tmp_path / "root" / "cat"
    (cats / "more").mkdir(parents=True)
    for path in (cats / "a.png", cats / "more" / "b.png", tmp_path / "c.png"):
        image_module.new("RGB", (4, 4)).save(path)
    elsewhere = tmp_path / "elsewhere"
    elsewhere.mkdir()
    os.rename(tmp_path / "c.png", elsewhere / "c.png")
    # Two of them would be followed 2^40 times before the system says no.
    for name, target in (("self", cats), ("up", tmp_path / "root"), ("out", elsewhere), ("back", cats / "more")):
        os.symlink(target, cats / name)
    os.symlink(cats, cats / "more" / "top")
    os.symlink(tmp_path / "nowhere", cats / "dangling.png")
    data = datasets.ImageFolder(tmp_path / "root")
    found = [os.path.relpath(path, cats) for path, _ in data.samples]
    assert {"a.png", "more/b.png", "out/c.png", "back/b.png", "dangling.png"} <= set(found)
    assert len(found) < 20
    with pytest.raises(RuntimeError, match=r"dangling\.png is damaged or no image"):
        data[found.index("dangling.png")]


@pytest.mark.filterwarnings("ignore")
@pytest.mark.parametrize("form", ["png", "jpeg", "gif", "bmp", "ppm", "tiff", "webp"])
def test_corrupt_images(tmp_path, form):
    image_module = pytest.importorskip("PIL.Image")
    rng = np.random.default_rng(0)
    buffer = io.BytesIO()
    image_module.fromarray(rng.integers(0, 256, (9, 11, 3), np.uint8)).save(buffer, form)
    whole = np.frombuffer(buffer.getvalue(), np.uint8)
    path = tmp_path / f"corrupt.{form}"
    refused = 0
    for _ in range(60):
        content = whole.copy()
        content[rng.integers(0, min(len(content), 120), rng.integers(1, 8))] = rng.integers(0, 256)
        path.write_bytes(content[: rng.integers(1, len(content) + 1)].tobytes())
        try:
            image = datasets.folder.load_rgb(str(path))
            assert image.mode == "RGB"
        except RuntimeError as error:
            refused += 1
            assert f"corrupt.{form} is damaged or no image: " in str(error)
    assert refused


def png(width, height, data):
    def chunk(kind, content):
        return struct.pack(">I", len(content)) + kind + content + struct.pack(">I", zlib.crc32(kind + content))

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", header) + chunk(b"IDAT", data) + chunk(b"IEND", b"")


def test_an_image_that_claims_to_be_enormous(tmp_path):
    pytest.importorskip("PIL")
    path = tmp_path / "bomb.png"
    for size in ((10**6, 10**6), (2**31 - 1, 2**31 - 1), (2**31 - 1, 1), (50_000, 50_000)):
        path.write_bytes(png(*size, zlib.compress(bytes(100_000))))
        with pytest.raises(RuntimeError, match=r"bomb\.png is damaged or no image"):
            datasets.folder.load_rgb(str(path))


def tar_of(path, members):
    with tarfile.open(path, "w:gz") as tar:
        for name, size in members:
            info = tarfile.TarInfo(name)
            info.size = size
            tar.addfile(info, io.BytesIO(bytes(size)))
    return path


def test_archives_that_unpack_to_too_much(tmp_path):
    path = tar_of(tmp_path / "bomb.tar.gz", [("other", 5_000_000), ("wanted", 10)])
    with pytest.raises(RuntimeError, match=r"bomb.tar.gz: other has 5,000,000 bytes, more than 1,000"):
        _files.extract(path, tmp_path / "out", {"wanted": "wanted"}, 1000)
    path = tar_of(tmp_path / "long.tar.gz", [(f"member{i}", 900) for i in range(50)])
    with pytest.raises(RuntimeError, match=r"long.tar.gz goes on after \d,\d+ bytes, and lacks wanted"):
        _files.extract(path, tmp_path / "out", {"wanted": "wanted"}, 1000)
    assert sorted(os.listdir(tmp_path)) == ["bomb.tar.gz", "long.tar.gz"]
    # What comes after the last file that is wanted is not looked at.
    path = tar_of(tmp_path / "good.tar.gz", [("wanted", 10), ("other", 5_000_000)])
    _files.extract(path, tmp_path / "out", {"wanted": "found"}, 1000)
    assert (tmp_path / "out" / "found").stat().st_size == 10


def test_a_picture_is_written_whole_or_not_at_all(tmp_path, monkeypatch):
    pytest.importorskip("matplotlib")
    from fastconv.app import pictures

    path = tmp_path / "filters.png"
    pictures.draw_filters(path, np.ones((4, 3, 5, 5)))
    before = path.read_bytes()

    def full(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(OSError, match=r"cannot write: No space left on device.*filters\.png"):
        pictures.draw_filters(path, np.zeros((4, 3, 5, 5)))
    assert path.read_bytes() == before
    assert os.listdir(tmp_path) == ["filters.png"]
