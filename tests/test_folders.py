"""``fastconv train --data folder``: what a folder is taken for, and runs on its images."""

import json
import os
import pickle
import re
import shutil

import numpy as np
import pytest

import fastconv
from fastconv.app import checkpoint, cli, folders, runs, settings, train
from fastconv.app.images import prepared
from fastconv.app.networks import begin_with, head_of, network
from fastconv.vision import datasets, transforms

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")
pytest.importorskip("matplotlib")

COLOURS = {"red": (200, 40, 40), "blue": (40, 40, 200), "green": (40, 200, 40)}


def put(folder, count, colour=(0, 0, 0), seed=0, size=(24, 20)):
    """Images of about this colour, as 0.png, 1.png ..."""
    folder.mkdir(parents=True, exist_ok=True)
    draw = np.random.default_rng(seed)
    for i in range(count):
        pixels = np.clip(draw.normal(colour, 30, (*size[::-1], 3)), 0, 255).astype(np.uint8)
        Image.fromarray(pixels).save(folder / f"{i}.png")


def photos(root, classes=("red", "blue"), count=5):
    for name in classes:
        put(root / name, count, COLOURS.get(name, (90, 90, 90)), len(name))
    return root


def sizes(split):
    return {part: len(images) for part, images in split.parts.items()}


def events(folder):
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


# ---- what a folder is taken for


@pytest.mark.parametrize(
    ("train", "others", "expected"),
    [
        ("train", ["test"], {"train", "test"}),
        ("Train", ["Val"], {"train", "test"}),
        ("training", ["validation"], {"train", "test"}),
        ("TRAINING_SET", ["test_set"], {"train", "test"}),
        ("trainset", ["testset"], {"train", "test"}),
        ("seg_train", ["seg_test"], {"train", "test"}),
        ("train2017", ["val2017"], {"train", "test"}),
        ("train_images", ["valid"], {"train", "test"}),
        ("train", ["dev"], {"train", "test"}),
        ("train", ["val", "test"], {"train", "val", "test"}),
        ("training", ["development", "holdout"], {"train", "val", "test"}),
    ],
)
def test_parts_by_any_usual_name(tmp_path, train, others, expected):
    photos(tmp_path / train, count=3)
    for name in others:
        photos(tmp_path / name, count=2)
    split = folders.find_split(str(tmp_path), 0)
    assert split.classes == ["blue", "red"]
    assert split.parts.keys() == expected
    assert sizes(split)["train"] == 6
    assert all(path.startswith(train) for path, _ in split.parts["train"])
    assert split.notes == []


def test_a_val_beside_a_test_is_not_the_test(tmp_path):
    for name, count in (("train", 3), ("val", 2), ("test", 1)):
        photos(tmp_path / name, count=count)
    split = folders.find_split(str(tmp_path), 0)
    assert sizes(split) == {"train": 6, "val": 4, "test": 2}


@pytest.mark.parametrize("words", [["contest", "trains"], ["cat", "test"], ["train", "bus"], ["devil", "valley"]])
def test_classes_that_sound_like_parts(tmp_path, words):
    for name in words:
        put(tmp_path / name, 5)
    split = folders.find_split(str(tmp_path), 0)
    assert split.classes == sorted(words)
    assert sizes(split) == {"train": 8, "test": 2}


def test_the_split_is_by_class_and_by_seed(tmp_path):
    photos(tmp_path, ["red"], 20)
    photos(tmp_path, ["blue"], 10)
    photos(tmp_path, ["green"], 2)
    photos(tmp_path, ["grey"], 1)
    split = folders.find_split(str(tmp_path), 0)
    tested = [split.classes[label] for _, label in split.parts["test"]]
    assert {name: tested.count(name) for name in split.classes} == {"red": 4, "blue": 2, "green": 1, "grey": 0}
    assert split.notes == ["grey: has one image, which is trained on, so the test says nothing of this class"]
    assert sizes(split) == {"train": 26, "test": 7}
    everything = sorted(split.parts["train"] + split.parts["test"])
    assert len(set(everything)) == 33
    assert folders.find_split(str(tmp_path), 0) == split
    assert folders.find_split(str(tmp_path), 1).parts != split.parts


def test_what_is_no_class_and_no_image(tmp_path):
    photos(tmp_path / "photos" / "all", count=5)
    place = tmp_path / "photos" / "all"
    for name in (".ipynb_checkpoints", "__MACOSX", "empty"):
        (place / name).mkdir()
    put(place / ".ipynb_checkpoints", 1)
    put(place / "__MACOSX", 1)
    (place / "red" / "._0.png").write_bytes(b"x")
    (place / "red" / "notes.txt").write_text("x")
    (place / "red" / "more").mkdir()
    shutil.move(place / "red" / "4.png", place / "red" / "more" / "4.JPG")
    put(place, 1)
    split = folders.find_split(str(tmp_path), 0)  # and folders that hold only a folder are entered
    assert split.classes == ["blue", "red"]
    assert sizes(split) == {"train": 8, "test": 2}
    assert [note.removeprefix(str(place)) for note in split.notes] == [
        "/empty: holds no images, so it is no class",
        ": 1 image in no folder, so of no class: not used",
        ": 1 file by name no image (1 of .txt): not used",
    ]


def test_folders_that_cannot_be_trained_on(tmp_path):
    def refused(error, message):
        with pytest.raises(error, match=message):
            folders.find_split(str(tmp_path), 0)

    with pytest.raises(FileNotFoundError, match="there is no such folder"):
        folders.find_split(str(tmp_path / "nowhere"), 0)
    refused(FileNotFoundError, "holds no images; expected a folder a class")
    put(tmp_path, 3)
    refused(FileNotFoundError, "holds 3 images but no folders; expected a folder a class")
    put(tmp_path / "cat", 3)
    refused(ValueError, "images of one class only, 'cat'; what could be told apart")
    shutil.move(tmp_path / "cat", tmp_path / "train")
    put(tmp_path / "test", 3)
    refused(ValueError, "test, train hold no folders, but each should hold one a class")
    photos(tmp_path / "test")
    refused(ValueError, "test looks like images for a test, but there are none to train on")
    photos(tmp_path / "train", count=1)
    shutil.rmtree(tmp_path / "test")
    refused(ValueError, "train: each of the 2 classes has one image only, so there is none to test on")
    photos(tmp_path / "test")
    photos(tmp_path / "train")
    put(tmp_path / "test" / "cat", 3)
    refused(ValueError, r"train has the classes \['blue', 'red'\], test has .*; \['cat'\] could never be answered")
    photos(tmp_path / "test_set")
    refused(ValueError, "test and test_set both look like the images for test; leave one there")


def test_links_to_a_folder_above_are_not_followed(tmp_path):
    """They would put the images of all other classes into theirs."""
    photos(tmp_path, count=5)
    os.symlink("..", tmp_path / "red" / "up")
    os.symlink(tmp_path.parent, tmp_path / "blue" / "further")
    (tmp_path / "red" / "more").mkdir()
    os.symlink("..", tmp_path / "red" / "more" / "back")
    split = folders.find_split(str(tmp_path), 0)
    assert sizes(split) == {"train": 8, "test": 2}
    for path, label in split.parts["train"] + split.parts["test"]:
        assert os.path.dirname(path) == split.classes[label]
    assert len(datasets.ImageFolder(tmp_path)) == 10


def test_parts_that_are_not_used_are_named(tmp_path):
    photos(tmp_path / "train", count=5)
    photos(tmp_path / "unlabelled", count=1)
    put(tmp_path / "test", 3)
    split = folders.find_split(str(tmp_path), 0)
    assert sizes(split) == {"train": 8, "test": 2}
    assert split.notes == [
        "unlabelled: beside train, but by the name no images for a test: not used",
        f"{tmp_path / 'test'}: holds no folders of classes, so nothing is known of its images: not used",
    ]


def test_a_split_is_kept_as_it_is(tmp_path):
    photos(tmp_path, ["red", "\u732b $x$"], 5)
    split = folders.find_split(str(tmp_path), 3)
    again = folders.unpack(folders.pack(split))
    assert again == folders.Split(split.classes, split.parts, [])
    for wrong in (b"", b"x" * 10):
        with pytest.raises(ValueError, match="the list of images cannot be read"):
            folders.unpack(fastconv.from_numpy(np.frombuffer(bytearray(wrong or b"\0"), np.uint8)))
    with pytest.raises(ValueError, match="is none of `fastconv train`"):
        folders.unpack(folders.pack(folders.Split(["a"], {"train": [("x", 1)], "test": []}, [])))


def test_every_image_is_looked_at_first(tmp_path):
    photos(tmp_path, count=10)
    whole = (tmp_path / "red" / "0.png").read_bytes()
    (tmp_path / "red" / "cut.png").write_bytes(whole[: len(whole) // 2])
    (tmp_path / "red" / "empty.jpg").write_bytes(b"")
    (tmp_path / "blue" / "page.jpg").write_text("<html>")
    os.symlink(tmp_path / "gone", tmp_path / "blue" / "link.png")
    (tmp_path / "blue" / "phone.HEIC").write_bytes(b"\0\0\0\x18ftypheic")
    given = settings.complete({"data": "folder", "root": str(tmp_path)})
    sets = runs._load_data(given)
    assert (len(sets.train), len(sets.test)) == (16 + len(sets.train) - 16, 20 - len(sets.train))
    assert sets.notes[-1].startswith("5 of 25 images cannot be read and are left out: ")
    assert "phone.HEIC: is HEIC, which Pillow does not read; save it as JPEG" in sets.notes[-1]
    assert len(sets.left_out) == 5 and str(tmp_path) not in "".join(sets.left_out)
    for words in ("link.png: leads nowhere", "page.jpg: is no image", "cut.png: is damaged", "empty.jpg: is empty"):
        assert words in sets.notes[-1]
    # They come as they were found then, whatever has come and gone since.
    put(tmp_path / "red" / "new", 3)
    (tmp_path / "red" / "3.png").unlink()
    again = runs._load_data(given)
    found = {part: set(getattr(sets, part).images) for part in ("train", "test")}
    for part in ("train", "test"):
        assert found[part] - set(getattr(again, part).images) <= {("red/3.png", 1)}
        assert set(getattr(again, part).images) <= found[part]
    assert "red/3.png: is not there" in again.notes[-1]
    # A class that has gone as a whole would be forgotten.
    shutil.rmtree(tmp_path / "red")
    with pytest.raises(ValueError, match="no image of red to train on can be read; "):
        runs._load_data(given)
    with pytest.raises(FileNotFoundError, match="gone: there is no such folder; --root DIR says where its images are"):
        runs._load_data(given | {"root": str(tmp_path / "gone")})


def test_images_of_a_run_are_of_a_size_that_memory_holds():
    with pytest.raises(settings.SettingsError, match="--image-size 10001 is more than 10,000 pixels a side"):
        settings.complete({"data": "digits", "image_size": 10_001})
    saved = settings.complete({"data": "digits"}) | {"image_size": 10_001}
    with pytest.raises(checkpoint.CheckpointError, match="image_size 10001 is more than 10,000 pixels a side"):
        settings.check_saved("x", saved)


def test_of_very_long_images_the_middle_is_taken_first(tmp_path):
    """A row of 60,000 pixels, 64 pixels high, would have as many as 80,000 photographs of that size."""
    colours = np.zeros((1, 60_000, 3), np.uint8)
    colours[:, 29_990:30_010] = (200, 100, 50)
    about = {"image_size": 64, "squeezed": False, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    cut = prepared(about, whole=True)
    for turned in (colours, colours.transpose(1, 0, 2)):
        image = cut(Image.fromarray(np.ascontiguousarray(turned)))
        assert (np.asarray(image) == (200, 100, 50)).all()
        assert image.size == (64, 64)
    usual = Image.fromarray(np.random.default_rng(0).integers(0, 255, (10, 160, 3), dtype=np.uint8))
    expected = transforms.Compose([transforms.Resize(64), transforms.CenterCrop(64)])(usual)
    assert np.array_equal(cut(usual), expected)


def test_images_are_cut_not_squeezed_and_read_the_same_from_memory_and_disk(tmp_path, monkeypatch):
    photos(tmp_path, count=5)
    draw = np.random.default_rng(0)
    Image.fromarray(draw.integers(0, 255, (40, 90, 3), dtype=np.uint8)).save(tmp_path / "red" / "0.png")
    given = settings.complete({"data": "folder", "root": str(tmp_path), "image_size": 16, "augment": "none"})
    kept = runs._load_data(dict(given))
    monkeypatch.setattr(folders, "KEPT", 0)
    read = runs._load_data(dict(given))
    assert kept.train.pixels is not None
    assert read.train.pixels is None
    for part in ("train", "test"):
        one, other = getattr(kept, part), getattr(read, part)
        assert one.images == other.images
        for (x, a), (y, b) in zip(one, other, strict=True):
            assert a == b
            np.testing.assert_array_equal(x.numpy(), y.numpy())
        batch, places = other.__getitems__([1, 0]), [1, 0]
        for (x, label), i in zip(batch, places, strict=True):
            assert label == one[i][1]
            np.testing.assert_array_equal(x.numpy(), one[i][0].numpy())
        assert len(one.__getitems__(list(range(len(one))))) == len(one)
    wide = Image.new("RGB", (40, 16), "black")
    wide.paste("white", (12, 0, 28, 16))
    cut = prepared(runs._pixels(given))(wide)
    assert cut.shape == (3, 16, 16)
    assert cut.numpy().min() == 1


# ---- runs


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A run on three parts, and its settings."""
    place = tmp_path_factory.mktemp("folder")
    for part, count in (("train", 9), ("val", 4), ("test", 4)):
        photos(place / "photos" / part, count=count)
    (place / "photos" / "train" / "red" / "bad.png").write_bytes(b"x")
    given = {"data": "folder", "root": str(place / "photos"), "model": "convnet", "image_size": 16, "epochs": 6}
    given |= {"lr": 0.02, "batch_size": 6, "early_stopping": 5}
    accuracy = runs.train(given, out=str(place / "out"))
    return place / "out", given, accuracy


def test_a_run_on_three_parts(run):
    folder, _, accuracy = run
    assert accuracy == 1.0
    assert set(os.listdir(folder)) == set(runs.FILES) - {"mistakes.png"}  # there was none
    log = events(folder)
    assert (log[0]["train_images"], log[0]["val_images"], log[0]["test_images"]) == (18, 8, 8)
    assert log[0]["notes"][0].startswith("1 of 35 images cannot be read and are left out: ")
    epochs = [line for line in log if line["event"] == "epoch"]
    assert epochs[0].keys() >= {"val_loss", "val_accuracy", "lr", "seconds"}
    assert log[-1]["test_accuracy"] == 1.0
    table = (folder / "log.csv").read_text().splitlines()
    assert table[0].startswith("epoch,lr,train_loss,train_accuracy,images_per_second,seconds,val_loss,val_accuracy")
    assert len(table) == 1 + len(epochs)
    best = checkpoint.read(folder / "best.safetensors")[1]
    scores = [(line["val_accuracy"], -line["val_loss"]) for line in epochs]
    assert best["epoch"] == 1 + scores.index(max(scores))
    model, classes, transform = fastconv.load_run(folder, best=True)
    assert classes[int(model(transform(Image.new("RGB", (30, 50), "red")).unsqueeze(0)).argmax())] == "red"


def test_a_run_is_repeated_by_its_config_file(run, tmp_path, capsys):
    folder, _, _ = run
    arguments = ["train", "--config", str(folder / "config.toml"), "--out", str(tmp_path / "out")]
    assert cli.main(arguments) == 0
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()
    out = capsys.readouterr().out.splitlines()
    assert out[1] == "2 classes: blue, red; 8 to choose by, 8 images to test on"
    assert out[2].startswith("1 of 35 images cannot be read and are left out: ")


def test_a_finished_run_goes_on(run, tmp_path, capsys):
    shutil.copytree(run[0], tmp_path / "out")
    with pytest.raises(settings.SettingsError, match="has done 6 epochs; --epochs 5 leaves none to do"):
        runs.train({}, resume=str(tmp_path / "out"), epochs=5)
    runs.train({}, resume=str(tmp_path / "out"), epochs=8)
    note = events(tmp_path / "out")[0]["notes"][0]
    assert (tmp_path / "out" / "report.html").read_text().count(note) == 1  # this part of the run has not told it
    epochs = [line for line in events(tmp_path / "out") if line["event"] == "epoch"]
    assert [line["epoch"] for line in epochs] == list(range(1, 9))
    rates = [line["lr"] for line in epochs]
    highest = max(rates[:6])
    assert rates[5] < 0.01 * highest
    assert 0.02 * highest < rates[6] < 0.3 * highest  # of the last step, as in the seventh epoch of eight
    assert rates[7] < 0.01 * highest
    weights = (tmp_path / "out" / "model.safetensors").read_bytes()
    runs.train({}, resume=str(tmp_path / "out"), epochs=8)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == weights


def test_a_run_under_way_does_not_go_on_further(run, tmp_path):
    folder, given, _ = run
    done = []

    def stop(record):
        done.append(record)
        raise KeyboardInterrupt

    with pytest.MonkeyPatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(runs._Keeper, "epoch", lambda self, record: stop(record))
        runs.train(given, out=str(tmp_path / "out"))
    assert done[0]["epoch"] == 1
    with pytest.raises(settings.SettingsError, match="has done 0 of its 6 epochs; let it come to its end"):
        runs.train({}, resume=str(tmp_path / "out"), epochs=9)
    runs.train({}, resume=str(tmp_path / "out"), epochs=6)
    assert (tmp_path / "out" / "model.safetensors").read_bytes() == (folder / "model.safetensors").read_bytes()


def test_early_stopping(run, tmp_path, capsys):
    given = run[1] | {"early_stopping": 3, "epochs": 40, "lr": 1e-30}  # that is, no better ever
    runs.train(given, out=str(tmp_path / "out"))
    epochs = [line for line in events(tmp_path / "out") if line["event"] == "epoch"]
    assert len(epochs) == 4
    assert "stopped: no better for 3 epochs" in capsys.readouterr().out
    runs.train({}, resume=str(tmp_path / "out"))  # has come to its end
    assert len([line for line in events(tmp_path / "out") if line["event"] == "epoch"]) == len(epochs)
    runs.train({}, resume=str(tmp_path / "out"), epochs=len(epochs) + 1)
    assert len([line for line in events(tmp_path / "out") if line["event"] == "epoch"]) == len(epochs) + 1


def test_a_last_batch_of_one_image(tmp_path):
    photos(tmp_path / "photos" / "train", count=5)
    photos(tmp_path / "photos" / "test", count=1)
    put(tmp_path / "photos" / "train" / "red" / "one", 3)
    given = {"data": "folder", "root": str(tmp_path / "photos"), "model": "resnet10", "image_size": 16, "epochs": 2}
    runs.train(given | {"batch_size": 4, "augment": "none"}, out=str(tmp_path / "out"))
    assert len(events(tmp_path / "out")) == 4
    with pytest.raises(settings.SettingsError, match="cannot learn from one image at a time: Expected more than 1"):
        runs.train(given | {"batch_size": 1}, out=str(tmp_path / "out2"))
    assert not (tmp_path / "out2").exists()
    runs.train(given | {"batch_size": 1, "model": "convnet", "epochs": 1}, out=str(tmp_path / "out3"))


@pytest.mark.parametrize("augment", [*settings.AUGMENTATIONS])
@pytest.mark.parametrize("data", ["folder", "digits"])
def test_augmentations_change_the_training_images_alone(tmp_path, augment, data):
    pytest.importorskip("sklearn")
    photos(tmp_path, count=5)
    given = settings.complete({"data": data, "root": str(tmp_path), "image_size": 8, "augment": augment})
    sets = runs._load_data(given)
    fastconv.manual_seed(0)
    for images, changes in ((sets.train, augment != "none"), (sets.test, False)):
        readings = [np.stack([images[i][0].numpy() for i in range(2)]) for _ in range(6)]
        assert readings[0].shape == (2, 3 if data == "folder" else 1, 8, 8)
        assert any((reading != readings[0]).any() for reading in readings) == changes


@pytest.mark.parametrize("augment", ["mixup", "cutmix"])
def test_images_are_mixed_with_their_labels(tmp_path, augment, monkeypatch):
    """A run whose images are mixed goes on, from the middle of an epoch, as if it had not been interrupted."""
    photos(tmp_path / "photos", count=12)
    given = {"data": "folder", "root": str(tmp_path / "photos"), "model": "convnet", "image_size": 16}
    given |= {"epochs": 2, "batch_size": 4, "augment": augment}
    monkeypatch.setattr("fastconv.app.story.tell_story", lambda *arguments: None)
    step, batches = train._Step.__call__, []

    def noted(self, images, labels, batch, stop):
        batches.append((images, labels))
        if len(batches) == 8:
            raise KeyboardInterrupt
        return step(self, images, labels, batch, stop)

    runs.train(given, out=str(tmp_path / "whole"))
    monkeypatch.setattr(train._Step, "__call__", noted)
    with pytest.raises(KeyboardInterrupt):
        runs.train(given, out=str(tmp_path / "parts"), checkpoint_seconds=0)
    monkeypatch.setattr(train._Step, "__call__", step)
    runs.train({}, resume=str(tmp_path / "parts"))
    whole, parts = ((tmp_path / name / "model.safetensors").read_bytes() for name in ("whole", "parts"))
    assert whole == parts
    shares = np.concatenate([labels.numpy() for _, labels in batches])
    assert shares.shape[1] == 2 and np.allclose(shares.sum(1), 1) and len(np.unique(shares)) > 3


def test_the_best_weights_wait_for_a_full_disk(tmp_path, monkeypatch, capsys):
    """Those of the first epoch, which is the best, are written after the third, when there is room."""
    photos(tmp_path / "photos")
    given = {"data": "folder", "root": str(tmp_path / "photos"), "model": "convnet", "image_size": 16, "epochs": 4}
    save, first, scores = checkpoint.save, {}, [0.9, 0.8, 0.7, 0.6]

    def full(path, arrays, about=None):
        if str(path).endswith("best.safetensors"):
            if not first:
                first.update({name: value.numpy().copy() for name, value in arrays.items()})
            if len(events(tmp_path / "out")) < 4:
                raise OSError(28, "No space left on device", str(path))
        save(path, arrays, about)

    monkeypatch.setattr(checkpoint, "save", full)
    monkeypatch.setattr(train, "evaluate", lambda *arguments: (1.0, scores.pop(0)))
    monkeypatch.setattr("fastconv.app.story.tell_story", lambda *arguments: None)
    runs.train(given, out=str(tmp_path / "out"))
    arrays, about = checkpoint.read(tmp_path / "out" / "best.safetensors")
    assert (about["epoch"], about["test_accuracy"]) == (1, 0.9)
    assert arrays.keys() == first.keys()
    for name, value in first.items():
        np.testing.assert_array_equal(arrays[name], value)
    assert capsys.readouterr().err.count("No space left on device: the training is unharmed and goes on") == 2


def test_a_disk_that_is_full_when_the_weights_are_written(tmp_path, monkeypatch):
    photos(tmp_path / "photos")
    given = {"data": "folder", "root": str(tmp_path / "photos"), "model": "convnet", "image_size": 16, "epochs": 1}
    save = checkpoint.save

    def full(path, *arguments):
        if str(path).endswith("model.safetensors"):
            raise OSError(28, "No space left on device", str(path))
        save(path, *arguments)

    monkeypatch.setattr("fastconv.app.story.tell_story", lambda *arguments: None)
    with monkeypatch.context() as patch:
        patch.setattr(checkpoint, "save", full)
        with pytest.raises(OSError, match=r"No space left on device; go on with: fastconv train --resume .*out"):
            runs.train(given, out=str(tmp_path / "out"))
    runs.train({}, resume=str(tmp_path / "out"))
    assert fastconv.load_run(tmp_path / "out").classes == ["blue", "red"]


@pytest.mark.parametrize("optimizer", [*settings.OPTIMIZERS])
def test_optimizers(run, tmp_path, optimizer):
    given = {k: v for k, v in run[1].items() if k not in ("lr", "early_stopping")} | {"epochs": 1}
    runs.train(given | {"optimizer": optimizer, "schedule": "cosine"}, out=str(tmp_path / "out"))
    log = events(tmp_path / "out")
    assert log[0]["settings"]["optimizer"] == optimizer
    assert log[0]["settings"]["lr"] == (settings.OPTIMIZERS[optimizer] or 0.05)
    runs.train({}, resume=str(tmp_path / "out"), epochs=2)


@pytest.mark.parametrize("source", ["run", "file.pth", "wrapped.pth", "checkpoint"])
def test_weights_to_begin_with(run, tmp_path, source, capsys):
    folder, given, _ = run
    learned = fastconv.load_run(folder).model.state_dict()
    path = tmp_path / source
    if source == "run":
        path = folder
    elif source == "checkpoint":
        path = folder / "checkpoint.safetensors"
    else:
        wrapped = {"epoch": 3, "state_dict": {f"module.{key}": value for key, value in learned.items()}}
        fastconv.save(learned if source == "file.pth" else wrapped, path)
    # A third class: the last layer is begun anew, and alone trained.
    root = tmp_path / "photos"
    photos(root, COLOURS, 5)
    given = given | {"root": str(root), "init": str(path), "freeze": True, "epochs": 2}
    runs.train(given, out=str(tmp_path / "out"))
    assert "; begun anew: fc2.weight, fc2.bias" in capsys.readouterr().out
    after = fastconv.load_run(tmp_path / "out").model.state_dict()
    for name, value in learned.items():
        if not name.startswith("fc2"):
            np.testing.assert_array_equal(after[name].numpy(), value.numpy(), err_msg=name)
    assert after["fc2.weight"].shape[0] == 3


def test_frozen_batch_norm_keeps_what_it_has_learned(tmp_path):
    photos(tmp_path / "photos", count=5)
    model = network("resnet10", 3, 16, 2)
    fastconv.save(model.state_dict(), tmp_path / "weights.pth")
    given = {"data": "folder", "root": str(tmp_path / "photos"), "image_size": 16, "epochs": 3, "freeze": True}
    runs.train(given | {"init": str(tmp_path / "weights.pth")}, out=str(tmp_path / "out"))
    after = fastconv.load_run(tmp_path / "out").model.state_dict()
    for name, value in model.state_dict().items():
        assert np.array_equal(after[name].numpy(), value.numpy()) == (not name.startswith("fc.")), name


def test_weights_that_do_not_fit(tmp_path):
    model = network("convnet", 3, 32, 2)
    (tmp_path / "empty").mkdir()
    with pytest.raises(FileNotFoundError, match=r"is not there, so .*empty is no folder of a run that has come to its"):
        begin_with(model, "lenet", str(tmp_path / "empty"))
    with pytest.raises(FileNotFoundError, match="nowhere: there is no such file, and no weights of convnet are"):
        begin_with(model, "convnet", "nowhere")
    with pytest.raises(FileNotFoundError, match="nor is it one of the published weights IMAGENET1K_V1, DEFAULT"):
        begin_with(model, "resnet18", "nowhere")
    fastconv.save({"x": fastconv.ones(3)}, tmp_path / "x.pth")
    with pytest.raises(
        ValueError, match=r"of 8 arrays of convnet it has 0; it has x \.\.\., where convnet has conv1\.weight"
    ):
        begin_with(model, "convnet", str(tmp_path / "x.pth"))
    fastconv.save([1, 2], tmp_path / "x.pth")
    with pytest.raises(ValueError, match="holds no weights by their names"):
        begin_with(model, "convnet", str(tmp_path / "x.pth"))
    for contents, message in (
        (b"", "the file is empty"),
        (pickle.dumps({"x": os.system}), r"\.system whose module \w+ is blocked"),
        (pickle.dumps({"x": 1})[:9], "damaged"),
    ):
        (tmp_path / "x.pth").write_bytes(contents)
        with pytest.raises(ValueError, match=rf"^{re.escape(str(tmp_path))}.x\.pth: [^\n]*{message}[^\n]*$"):
            begin_with(model, "convnet", str(tmp_path / "x.pth"))


def test_what_is_frozen_was_learned(tmp_path):
    fastconv.save(network("resnet18", 3, 224, 1000).state_dict(), tmp_path / "larger.pth")
    model, source = network("resnet18", 3, 64, 2), str(tmp_path / "larger.pth")
    before = model.conv1.weight.detach().clone()
    with pytest.raises(ValueError, match=r"of resnet18's conv1\.weight, which --freeze .* or add --image-size 224"):
        begin_with(model, "resnet18", source, freeze=True)
    np.testing.assert_array_equal(model.conv1.weight.detach().numpy(), before.numpy())
    assert "; begun anew: conv1.weight, fc.weight, fc.bias" in begin_with(model, "resnet18", source)
    larger = network("resnet18", 3, 65, 2)
    assert begin_with(larger, "resnet18", source, freeze=True).endswith("begun anew: fc.weight, fc.bias")


@pytest.mark.parametrize("name", ["digitsnet", "lenet", "convnet", "resnet10", "vgg11", "vgg11_bn", "resnet18"])
@pytest.mark.parametrize("size", [32, 64])
def test_every_network_takes_photographs(name, size):
    model = network(name, 3, size, 5)
    assert model(fastconv.zeros(2, 3, size, size)).shape == (2, 5)
    assert head_of(model).weight.shape[0] == 5


def test_networks_of_torchvision():
    model = network("squeezenet1_1", 3, 64, 5)
    assert model(fastconv.zeros(1, 3, 64, 64)).shape == (1, 5)
    assert head_of(model).weight.shape[0] == 5
    assert network("resnet18", 3, 96, 5).conv1.kernel_size == (7, 7)
    assert (
        runs._pixels({"data": "folder", "model": "resnet18", "image_size": 96, "squeezed": False})["mean"][0] == 0.485
    )
    with pytest.raises(ValueError, match="torchvision's resnet18 takes images of 3 channels, got 1"):
        network("resnet18", 1, 96, 5)


def test_steps_decide():
    def suited(images, **given):
        filled = settings.complete({"data": "folder", "root": "x"} | given)
        settings.suit_number(filled, images)
        return filled["batch_size"], filled["epochs"]

    assert suited(40) == (8, 80)
    assert suited(50_000) == (64, 10)
    assert suited(2) == (8, 400)
    assert suited(1000, batch_size=100) == (100, 40)
    assert suited(1000, epochs=3) == (64, 3)


def test_forty_photographs_are_enough(tmp_path, monkeypatch):
    """Parts of two photographs, tested on other parts, with nothing set but the size, which is what takes long."""
    pictures = pytest.importorskip("sklearn.datasets").load_sample_images()
    draw = np.random.default_rng(0)
    for name, pixels in zip(("china", "flower"), pictures.images, strict=True):
        for part, count, left, right in (("train", 20, 0, 384), ("test", 10, 384, 640)):
            (tmp_path / part / name).mkdir(parents=True)
            for k in range(count):
                y, x = draw.integers(427 - 64), draw.integers(left, right - 64)
                Image.fromarray(pixels[y : y + 64, x : x + 64]).save(tmp_path / part / name / f"{k}.jpg", quality=92)
    monkeypatch.setattr("fastconv.app.story.tell_story", lambda *arguments: None)
    given = {"data": "folder", "root": str(tmp_path), "image_size": 32}
    assert runs.train(given, out=str(tmp_path / "out")) >= 0.9


def test_a_run_of_an_earlier_release_goes_on(tmp_path):
    """Its settings are fewer, its images are squeezed, its split is not by class."""
    photos(tmp_path / "photos", count=10)
    given = {"data": "folder", "root": str(tmp_path / "photos"), "model": "convnet", "image_size": 32, "epochs": 2}
    runs.train(given | {"batch_size": 4, "augment": "standard", "schedule": "constant"}, out=str(tmp_path / "out"))
    path = tmp_path / "out" / "checkpoint.safetensors"
    arrays, state = checkpoint.read(path)
    early = (
        "data",
        "root",
        "model",
        "epochs",
        "batch_size",
        "lr",
        "momentum",
        "weight_decay",
        "schedule",
        "augment",
        "seed",
    )
    progress = state["progress"]
    progress["settings"] = {name: progress["settings"][name] for name in early} | {"augment": True, "epochs": 3}
    del progress["lr"]
    arrays.pop("progress.settings.images")
    checkpoint.save(path, arrays, state)
    (tmp_path / "out" / "model.safetensors").unlink()
    runs.train({}, resume=str(tmp_path / "out"))
    saved = runs._saved_run(str(tmp_path / "out"))[0]
    assert (saved["image_size"], saved["squeezed"], saved["augment"]) == (32, True, "standard")
    assert fastconv.load_run(tmp_path / "out").transform(Image.new("RGB", (9, 5))).shape == (3, 32, 32)


def test_tensorboard(run, tmp_path):
    pytest.importorskip("tensorboard")
    runs.train(run[1] | {"epochs": 1}, out=str(tmp_path / "out"), tensorboard=True)
    assert any(name.startswith("events.out.tfevents") for name in os.listdir(tmp_path / "out"))
