"""After training: ``fastconv predict``, ``fastconv.load_run``, and images as people have them."""

import csv
import io
import json
import os
import sys
import types

import numpy as np
import pytest

import fastconv
from fastconv import nn
from fastconv.app import checkpoint, cli, predict
from fastconv.app.images import open_image
from fastconv.app.networks import network

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("safetensors")

COLOURS = {"red": (200, 40, 40), "green": (40, 200, 40), "blue": (40, 40, 200)}


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A run as an earlier release left it, of a network that answers with the image's strongest colour."""
    folder = tmp_path_factory.mktemp("runs") / "folder-1"
    folder.mkdir()
    model = network("convnet", 3, 32, 3)
    for parameter in model.parameters():
        parameter.detach().zero_()
    with fastconv.no_grad():  # each channel goes its own way; all values are kept positive
        for k in range(3):
            model.conv1.weight[k, k, 2, 2] = model.conv2.weight[k, k, 2, 2] = 1.0
            model.fc1.weight[k, 25 * k : 25 * k + 25] = model.fc2.weight[k, k] = 1.0
        model.conv1.bias[:] = 1.0
    about = {"model": "convnet", "data": "folder", "classes": list(COLOURS)}
    about |= {"mean": (0.5,) * 3, "std": (0.5,) * 3, "test_accuracy": 1.0}
    checkpoint.save(folder / "model.safetensors", model.state_dict(), about)
    return folder


@pytest.fixture
def images(tmp_path):
    place = tmp_path / "images"
    (place / "more").mkdir(parents=True)
    for name, colour in COLOURS.items():
        Image.new("RGB", (50, 40), colour).save(place / f"{name}.png")
    Image.new("RGB", (50, 40), COLOURS["blue"]).save(place / "more" / "red.png")
    (place / "._red.png").write_bytes(b"\0\5\26\7")
    (place / "notes.txt").write_text("none")
    return place


def call(capsys, *arguments):
    try:
        status = cli.main([str(argument) for argument in arguments])
    except SystemExit as end:
        status = end.code
    return status, *capsys.readouterr()


def test_load_run(folder):
    run = fastconv.load_run(folder)
    model, classes, transform = run
    assert (run.model, run.classes, run.transform) == (model, classes, transform)
    assert classes == list(COLOURS)
    assert not model.training
    x = transform(Image.new("RGBA", (64, 20), (200, 40, 40, 255)))
    assert x.shape == (3, 32, 32)
    assert classes[int(model(x.unsqueeze(0)).argmax())] == "red"
    # An earlier release squeezed images to the size.
    wide = Image.new("RGB", (64, 32), "black")
    wide.paste("white", (0, 0, 32, 32))
    np.testing.assert_allclose(transform(wide).numpy()[:, :, :15], 1)


def test_load_run_of_what_is_none(folder, tmp_path):
    with pytest.raises(FileNotFoundError, match="there is no such folder, so no run"):
        fastconv.load_run(tmp_path / "nowhere")
    with pytest.raises(FileNotFoundError, match="there are no weights, so no run of `fastconv train`"):
        fastconv.load_run(tmp_path)
    with pytest.raises(FileNotFoundError, match=r"model\.safetensors: is a file, not a run's folder"):
        fastconv.load_run(folder / "model.safetensors")
    (tmp_path / "checkpoint.safetensors").write_bytes(b"")
    with pytest.raises(FileNotFoundError, match="is not there, for the run has not come to its end"):
        fastconv.load_run(tmp_path)
    arrays, about = checkpoint.read(folder / "model.safetensors")
    for wrong, message in (
        (None, "is no file of weights of `fastconv train`"),
        (about | {"model": "gpt"}, "says nonsense about its run"),
        (about | {"classes": ["red"]}, "does not fit convnet"),
        (about | {"classes": [1, 2, 3]}, "says nonsense"),
        (about | {"mean": [0.5, 0.5]}, "says nonsense"),
        (about | {"std": [0, 0, 0]}, "says nonsense"),
        (about | {"image_size": 1e9}, "says nonsense"),
        (about | {"image_size": 8}, "does not fit convnet"),
    ):
        checkpoint.save(tmp_path / "model.safetensors", arrays, wrong)
        with pytest.raises(checkpoint.CheckpointError, match=message):
            fastconv.load_run(tmp_path)


def test_predict_a_folder_as_text(folder, images, capsys):
    status, out, err = call(capsys, "predict", folder, images, images / "green.png", "--top", 2)
    assert (status, err) == (0, "")
    lines = [line.split(": ") for line in out.splitlines()]
    names = ["blue.png", "green.png", "red.png", os.path.join("more", "red.png"), "green.png"]
    assert [name for name, _ in lines] == [str(images / name) for name in names]
    assert [answer.split()[0] for _, answer in lines] == ["blue", "green", "red", "blue", "green"]
    assert all(answer.count("%") == 2 for _, answer in lines)


def test_predict_as_csv_and_json(folder, images, capsys):
    model, _, transform = fastconv.load_run(folder)
    scores = model(transform(Image.open(images / "red.png")).unsqueeze(0)).detach().numpy()[0].astype(float)
    expected = np.exp(scores) / np.exp(scores).sum()

    _, out, _ = call(capsys, "predict", folder, images / "red.png", images / "blue.png", "--format", "csv")
    rows = list(csv.DictReader(io.StringIO(out)))
    assert [row["answer"] for row in rows] == ["red", "blue"]
    np.testing.assert_allclose([float(rows[0][name]) for name in COLOURS], expected, atol=1e-6)
    assert rows[0]["image"] == str(images / "red.png")

    _, out, _ = call(capsys, "predict", folder, images / "red.png", "--format", "json")
    record = json.loads(out)
    assert record["answer"] == "red"
    assert record["probability"] == record["probabilities"]["red"]
    np.testing.assert_allclose([record["probabilities"][name] for name in COLOURS], expected, atol=1e-6)


def test_predict_from_standard_input(folder, images, capsys, monkeypatch):
    def given(contents):
        monkeypatch.setattr(sys, "stdin", types.SimpleNamespace(buffer=io.BytesIO(contents)))

    given((images / "green.png").read_bytes())
    assert call(capsys, "predict", folder, "-")[1].startswith("-: green ")
    given(f"{images / 'red.png'}\n{images / 'blue.png'}\n".encode())
    status, out, _ = call(capsys, "predict", folder, "-")
    assert status == 0
    assert [line.split(": ")[1].split()[0] for line in out.splitlines()] == ["red", "blue"]
    given(b"")
    assert call(capsys, "predict", folder, "-") == (1, "", "fastconv predict: the image: is empty\n")


def test_images_that_cannot_be_read_do_not_stop_the_others(folder, images, capsys):
    whole = (images / "blue.png").read_bytes()
    (images / "cut.png").write_bytes(whole[:60])
    (images / "empty.png").write_bytes(b"")
    (images / "html.png").write_text("<html>")
    os.symlink(images / "gone", images / "link.png")
    status, out, err = call(capsys, "predict", folder, images, images / "no.png")
    assert status == 1
    assert len(out.splitlines()) == 4
    told = [line.removeprefix(f"fastconv predict: {images}{os.sep}") for line in err.splitlines()]
    assert told[0].startswith("cut.png: is damaged: ")
    assert told[1:] == [
        "empty.png: is empty",
        "html.png: is no image",
        "link.png: leads nowhere",
        "no.png: is not there",
    ]


def test_heatmaps(folder, images, tmp_path, capsys):
    status, out, _ = call(capsys, "predict", folder, images, "--heatmap", tmp_path / "drawn", "--format", "json")
    assert status == 0
    drawn = [json.loads(line)["heatmap"] for line in out.splitlines()]
    assert [os.path.basename(path) for path in drawn] == ["blue.png", "green.png", "red.png", "red-2.png"]
    for path in drawn:
        picture = np.asarray(Image.open(path))
        assert picture.shape == (320, 648, 3)
        assert (picture[:, 320:328] == 255).all()


def test_heatmaps_overwrite_no_image(folder, images, capsys):
    image = images / "red.png"
    before = {path: path.read_bytes() for path in images.glob("*.png")}
    for sources, where, says in (
        ([images], images, "might overwrite"),
        ([image], images, "might overwrite"),
        ([images], image, "is a file"),
    ):
        status, out, err = call(capsys, "predict", folder, *sources, "--heatmap", where)
        assert (status, out) == (1, ""), err
        assert says in err
    assert {path: path.read_bytes() for path in images.glob("*.png")} == before


def test_heatmap_is_where_the_answer_comes_from():
    """Grad-CAM by its definition, of a network whose gradients are known."""
    net = nn.Sequential(nn.Conv2d(1, 2, 1, bias=False), nn.AdaptiveAvgPool2d(1), nn.Flatten(), nn.Linear(2, 2))
    net[0].weight.data[:] = fastconv.tensor([1.0, -1.0]).reshape(2, 1, 1, 1)
    net[3].weight.data[:] = fastconv.tensor([[1.0, 0.0], [0.0, 1.0]])
    image = fastconv.zeros(1, 6, 6)
    image[0, 4, 1], image[0, 2, 3] = 2.0, -1.0
    with fastconv.no_grad():
        first, second = (predict.heatmap(net, image, label) for label in (0, 1))
    np.testing.assert_allclose(first, np.maximum(image[0].numpy(), 0) / 2, atol=1e-6)
    np.testing.assert_allclose(second, np.maximum(-image[0].numpy(), 0), atol=1e-6)
    assert (predict.heatmap(net, fastconv.zeros(1, 6, 6), 0) == 0).all()


@pytest.mark.parametrize("name", ["vgg11_bn", "resnet18"])
def test_heatmaps_of_deep_networks(name):
    fastconv.manual_seed(0)
    model = network(name, 3, 32, 4).eval()
    importance = predict.heatmap(model, fastconv.randn(3, 32, 32), 1)
    assert importance.shape == (4, 4)
    assert importance.min() >= 0
    assert importance.max() in (0, 1)


# ---- images as people have them


def test_orientation_of_the_camera(tmp_path):
    pixels = np.zeros((16, 24, 3), np.uint8)
    pixels[:8, :12] = 255  # upper left
    exif = Image.Exif()
    exif[0x0112] = 6  # to be turned clockwise
    Image.fromarray(pixels).save(tmp_path / "x.png", exif=exif)
    turned = np.asarray(open_image(tmp_path / "x.png"))
    np.testing.assert_array_equal(turned, np.rot90(pixels, -1))


@pytest.mark.parametrize("name", ["x.png", "x.tif", "x.pgm"])
def test_sixteen_bits_of_grey(tmp_path, name):
    values = np.linspace(0, 65535, 24 * 16).astype(np.uint16).reshape(16, 24)
    Image.fromarray(values).save(tmp_path / name)
    for channels in (1, 3):
        read = np.asarray(open_image(tmp_path / name, channels)).reshape(16, 24, -1)
        assert read.shape[2] == channels
        np.testing.assert_allclose(read, np.repeat(values[:, :, None] / 257, channels, 2), atol=0.51)


def test_floats(tmp_path):
    values = np.linspace(0, 1, 64, dtype=np.float32).reshape(8, 8)
    for scale in (1, 255):
        Image.fromarray(values * scale).save(tmp_path / "x.tif")
        np.testing.assert_allclose(np.asarray(open_image(tmp_path / "x.tif", 1)), 255 * values, atol=0.51)


def test_what_is_transparent_lies_on_white(tmp_path):
    pixels = np.zeros((4, 6, 4), np.uint8)
    pixels[:, 3:] = [255, 0, 0, 255]
    Image.fromarray(pixels).save(tmp_path / "rgba.png")
    Image.fromarray(pixels[:, :, [0, 3]]).save(tmp_path / "la.png")
    palette = Image.fromarray(pixels[:, :, 0] // 255).convert("P")
    palette.putpalette([9, 9, 9, 255, 0, 0])
    palette.save(tmp_path / "p.png", transparency=0)
    for name, opaque in (("rgba.png", [255, 0, 0]), ("la.png", [255, 255, 255]), ("p.png", [255, 0, 0])):
        read = np.asarray(open_image(tmp_path / name))
        assert (read[:, :3] == 255).all(), name
        assert (read[:, 3:] == opaque).all(), name


def test_cmyk_and_one_bit(tmp_path):
    Image.new("CMYK", (8, 8), (0, 255, 255, 0)).save(tmp_path / "x.jpg")
    red, green, blue = np.asarray(open_image(tmp_path / "x.jpg"), float).mean((0, 1))
    assert red > 200
    assert max(green, blue) < 60
    Image.new("1", (8, 8), 1).save(tmp_path / "x.png")
    assert (np.asarray(open_image(tmp_path / "x.png")) == 255).all()
