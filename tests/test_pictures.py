"""Pictures of runs, and the report of them all."""

import itertools
import warnings
from html.parser import HTMLParser

import numpy as np
import pytest

import fastconv
from fastconv.app import pictures, records, report, runs, story

Image = pytest.importorskip("PIL.Image")
pytest.importorskip("matplotlib")

CLASSES = [
    "cat",
    "$x^2$",
    "$$",
    "\u732b",
    "a_name_that_is_much_longer_than_any_picture_is_wide",
    "<b>bold</b> & {brace}",
    "\n",
    "",
]


def record(epoch, **others):
    accuracy = 1 - 1 / (epoch + 1)
    figures = {"epoch": epoch, "lr": 0.1 / epoch, "train_loss": 1 / epoch, "train_accuracy": accuracy}
    return figures | {"images_per_second": 9.0} | others


def size(path):
    with Image.open(path) as image:
        pixels = np.asarray(image.convert("L"))
    assert (pixels < 128).mean() > 0.002, "an empty picture"
    return image.size


def epochs_of(epochs, part="test"):
    return [
        record(n, seconds=40.0 * n, **{f"{part}_loss": 1 / n, f"{part}_accuracy": 0.5}) for n in range(1, epochs + 1)
    ]


@pytest.mark.parametrize("history", [epochs_of(1), epochs_of(7), epochs_of(30, "val"), [record(1), record(2)]])
def test_curves(tmp_path, history):
    pictures.draw_curves(tmp_path / "x.png", history)
    assert size(tmp_path / "x.png") == (1320, 432)


class Texts(list):
    def __init__(self):
        super().__init__()
        self.figures = []


def drawn_texts(monkeypatch):
    """The texts of each figure that is written from now on."""
    from matplotlib.text import Text

    texts = Texts()
    write = pictures._write

    def kept(figure, path):
        texts.figures.append(figure)
        texts.append([text.get_text() for text in figure.findobj(Text) if text.get_text()])
        write(figure, path)

    monkeypatch.setattr(pictures, "_write", kept)
    return texts


def test_curves_tell_final_figures_and_time(tmp_path, monkeypatch):
    texts = drawn_texts(monkeypatch)
    history = epochs_of(3)
    history[1]["test_accuracy"] = 0.75
    pictures.draw_curves(tmp_path / "x.png", history)
    assert {"train 0.3333", "test 0.3333", "train 0.7500", "test 0.5000"} <= set(texts[0])
    assert "3 epochs in 4 min 0 s; the ring is at the best accuracy, of epoch 2" in texts[0]
    assert "learning rate at each epoch's end, now 0.0333" in texts[0]
    pictures.draw_curves(tmp_path / "x.png", history[:1])
    assert "1 epoch in 40 s" in texts[1]
    for axes in texts.figures[1].axes:
        low, high = axes.get_xlim()
        assert [tick for tick in axes.get_xticks() if low <= tick <= high] == [1]


def test_a_bad_epoch_does_not_flatten_the_others(tmp_path, monkeypatch):
    texts = drawn_texts(monkeypatch)
    history = epochs_of(9)
    for spoiled, scale in (({}, "linear"), ({"test_loss": 50.0}, "log"), ({"test_loss": 0.0}, "linear")):
        history[4] |= spoiled
        pictures.draw_curves(tmp_path / "x.png", history)
        assert [axes.get_yscale() for axes in texts.figures[-1].axes] == [scale, "linear", "linear"]
    pictures.draw_curves(tmp_path / "x.png", [])


@pytest.mark.parametrize("shape", [(16, 3, 5, 5), (6, 1, 3, 3), (64, 3, 7, 7), (100, 12, 1, 1), (1, 1, 1, 1)])
def test_filters_have_a_scale(tmp_path, shape, monkeypatch):
    texts = drawn_texts(monkeypatch)
    weight = np.random.default_rng(0).standard_normal(shape).astype(np.float32)
    pictures.draw_filters(tmp_path / "x.png", weight, "first layer (conv1)")
    size(tmp_path / "x.png")
    assert any(text.startswith("red, green and blue" if shape[1] == 3 else "weight") for text in texts[0])
    assert any(text.startswith(f"first layer (conv1): {shape[0]} filter") for text in texts[0])
    pictures.draw_filters(tmp_path / "x.png", 0 * weight)


@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("count", [1, 9, 48])
def test_answers(tmp_path, channels, count, monkeypatch):
    texts = drawn_texts(monkeypatch)
    draw = np.random.default_rng(0)
    images = draw.random((count, channels, 8, 8))
    chances = draw.dirichlet(np.ones(len(CLASSES)), count)
    labels = draw.integers(0, len(CLASSES), count)
    labels[0], chances[0] = 0, np.eye(len(CLASSES))[1] * 0.5 + np.eye(len(CLASSES))[0] * 0.5
    chances[0, 1] += 1e-3
    pictures.draw_answers(tmp_path / "x.png", images, labels, chances, CLASSES, "a $title$")
    size(tmp_path / "x.png")
    assert "\N{MULTIPLICATION X} $x^2$ 50 %\nis cat 50 %" in texts[0]
    answers = chances.argmax(1)
    assert sum(text.startswith("\N{MULTIPLICATION X}") for text in texts[0]) == (answers != labels).sum()


def test_answers_do_not_overlap(tmp_path, monkeypatch):
    texts = drawn_texts(monkeypatch)
    classes = [CLASSES[4], "golden retriever dogs", "Amphibolis_species_number_17", "POLITICAL PORTRAIT", "cat"]
    chances = np.repeat([[0.01, 0.01, 0.01, 0.01, 0.01]], 25, 0)
    labels = np.arange(25) // 5
    chances[np.arange(25), np.arange(25) % 5] = 1  # each answer to each class
    pictures.draw_answers(tmp_path / "x.png", np.zeros((25, 1, 4, 4)), labels, chances, classes, "a title")
    (figure,) = texts.figures
    boxes = [axes.title.get_window_extent() for axes in figure.axes if axes.get_visible()]
    assert len(boxes) == 25
    for one, other in itertools.pairwise(boxes):  # the next one to the right, or of the row below
        assert one.x1 < other.x0 or other.x1 < one.x0
    assert min(box.x0 for box in boxes) >= 0 and max(box.y1 for box in boxes) < figure.bbox.y1
    assert {"\N{MULTIPLICATION X} cat 100 %\nis POLITICAL\nPORTRAIT 1 %", "cat 100 %"} <= set(texts[0])


@pytest.mark.parametrize("number", [2, 8, 40, 130])
def test_confusion(tmp_path, number, monkeypatch):
    texts = drawn_texts(monkeypatch)
    counts = np.random.default_rng(0).integers(0, 5, (number, number))
    counts[1] = 0
    classes = [CLASSES[k] if k < len(CLASSES) else f"class number {k}" for k in range(number)]
    pictures.draw_confusion(tmp_path / "x.png", counts, classes)
    size(tmp_path / "x.png")
    assert f"{np.trace(counts)} of {counts.sum()} right" in texts[0]


def test_names():
    assert pictures.short_names(["5 - five", "6 - six"]) == ["5", "6"]
    assert pictures.short_names(["5 - five", "six"]) == ["5 - five", "six"]
    assert pictures.wrapped("cat", 9, 2) == "cat"
    assert pictures.wrapped("golden retriever dog", 9, 3) == "golden\nretriever\ndog"
    assert pictures.wrapped("golden_retriever", 9, 2) == "golden_\nretriever"
    one, other = (pictures.wrapped(f"Amphibolis_species_number_{number}", 14, 2) for number in (17, 56))
    assert one == "Amphibolis_\n\N{HORIZONTAL ELLIPSIS}ies_number_17"
    assert other == "Amphibolis_\n\N{HORIZONTAL ELLIPSIS}ies_number_56"
    for name in CLASSES:
        lines = pictures.wrapped(name, 9, 2).split("\n")
        assert len(lines) <= 2
        assert all(len(line) <= 9 for line in lines)
    assert pictures.duration(3.21) == "3.2 s"
    assert pictures.duration(3725) == "1 h 2 min"


def test_letters_that_no_font_has_become_numbers(monkeypatch):
    monkeypatch.setattr(pictures, "_fonts", lambda: (["DejaVu Sans"], frozenset(map(ord, "cat$()"))))
    assert pictures._drawable(["cat", "\u732b", "a c"]) == ["cat", "class 1", "a c"]
    assert pictures._drawable(["a \u732b (cat)", "\u732bca", "act"]) == ["a (cat)", "class 1", "act"]
    assert pictures._drawable(["cat\u732b", "cat\u72ac"]) == ["class 0", "class 1"]  # or they would be the same
    assert pictures._drawable(["cat (\u732b)", "(\u732b) act", "ta (\u732b c)"]) == ["cat", "act", "ta ( c)"]


class Page(HTMLParser):
    """The text and the sources of a page; fails where elements are not closed in order."""

    EMPTY = ("meta", "img")

    def __init__(self, text):
        super().__init__()
        self.open, self.text, self.sources, self.alternatives = [], "", [], []
        self.feed(text)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        if tag not in self.EMPTY:
            self.open.append(tag)
        for name, value in attributes:
            if name in ("src", "href"):
                self.sources.append(value)
            if name == "alt":
                self.alternatives.append(value)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text += data


def test_report_needs_nothing_beside_it(tmp_path):
    history = epochs_of(3)
    pictures.draw_curves(tmp_path / "curves.png", history)
    counts = np.array([[9, 1, 0], [3, 5, 2], [0, 0, 0]])
    classes = ["<script>alert(1)</script>", "a & b", "\u732b"]
    path = tmp_path / "report.html"
    report.write_report(path, "<title>", {"root": '"/x"<&'}, ["3 of 9 <left> out"], counts, classes, history)
    page = Page(path.read_text(encoding="utf-8"))
    assert "70.0 % of 20 test images answered right" in page.text
    assert "would be right in 50.0 %" in page.text
    assert "it is between 48 and 85 %" in page.text
    for words in ("<script>alert(1)</script>", "a & b", "\u732b", '"/x"<&', "3 of 9 <left> out", "4 min 0 s"):
        assert words in page.text
    assert "script" not in page.open
    assert len(page.sources) == len(page.alternatives) == 1
    assert page.sources[0].startswith("data:image/png;base64,iVBOR")
    assert "http" not in path.read_text()


def test_a_picture_that_fails_does_not_end_the_run(tmp_path, monkeypatch, capsys):
    pytest.importorskip("sklearn")
    pytest.importorskip("safetensors")

    def fail(*arguments, **options):
        raise RuntimeError("no paper")

    for name in ("draw_curves", "draw_filters", "draw_answers", "draw_confusion"):
        monkeypatch.setattr(pictures, name, fail)
    monkeypatch.setattr(story, "write_report", fail)
    accuracy = runs.train({"data": "digits", "epochs": 1}, out=str(tmp_path / "out"))
    out, err = capsys.readouterr()
    assert out.splitlines()[-1] == f"test accuracy: {accuracy:.4f}"
    assert err.count("fastconv: no paper: the training is unharmed and goes on\n") >= 4
    names = {path.name for path in (tmp_path / "out").iterdir()}
    assert names == {name for name in runs.FILES if not name.endswith((".png", ".html"))}


def test_warnings_of_pictures_are_none(tmp_path):
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        pictures.draw_confusion(tmp_path / "x.png", np.eye(len(CLASSES), dtype=int), CLASSES)


def test_curves_are_redrawn_as_it_goes(tmp_path, monkeypatch):
    """Whenever some time has passed."""
    drawn = []
    monkeypatch.setattr(pictures, "draw_curves", lambda path, history: drawn.append(len(history)))
    sets = runs.Sets([], [], None, ["a"], [], [])
    given = {"begun": 0, "model": "convnet", "data": "cifar10", "image_size": 32, "squeezed": False}
    monkeypatch.setattr(runs._Keeper, "_write_best", lambda self: None)
    monkeypatch.setattr(runs._Keeper, "_write_config", lambda self: None)
    log = records.Log(str(tmp_path / "log.jsonl"))
    keeper = runs._Keeper(str(tmp_path), log, given, sets, fastconv.nn.Linear(1, 1), [], "test", False)
    for one in epochs_of(2):
        keeper.epoch(one)
    assert drawn == []
    keeper.drawn -= 100
    keeper.epoch(epochs_of(3)[2])
    assert drawn == [3]
