"""fastconv.summary against sums by hand, and against torchinfo's where it is installed."""

import re

import numpy as np
import pytest

import fastconv as fc
from fastconv import nn
from fastconv.vision import models


def row_of(result, name):
    (row,) = [row for row in result.rows if row.name == name]
    return row


def hooks_of(net):
    return [module for module in net.modules() if module._hooks is not None]


def test_a_network_by_hand():
    net = nn.Sequential(
        nn.Conv2d(3, 8, 3, stride=2, padding=1, groups=1),
        nn.BatchNorm2d(8),
        nn.ReLU(),
        nn.ConvTranspose2d(8, 6, 4, stride=2, padding=1, groups=2),
        nn.Flatten(),
        nn.Linear(6 * 10 * 12, 5),
    )
    net[0].weight.requires_grad_(False)
    net[1].eval()
    result = fc.summary(net, (2, 3, 10, 12))
    assert [(row.depth, row.name, row.kind) for row in result.rows][:3] == [
        (0, "", "Sequential"),
        (1, "0", "Conv2d"),
        (1, "1", "BatchNorm2d"),
    ]
    convolution, norm, transposed, linear = (row_of(result, name) for name in "0135")
    assert (convolution.input, convolution.output) == ((2, 3, 10, 12), (2, 8, 5, 6))
    assert (convolution.parameters, convolution.mult_adds) == (8 * 27 + 8, 2 * 30 * (8 * 27 + 8))
    assert (norm.parameters, norm.mult_adds) == (16, 2 * 16)
    assert transposed.output == (2, 6, 10, 12)
    assert transposed.mult_adds == 2 * 30 * (8 * 3 * 16) + 2 * 120 * 6
    assert linear.mult_adds == 2 * (720 * 5 + 5)
    assert result.total_params == 224 + 16 + 8 * 3 * 16 + 6 + 3605
    assert result.total_params - result.trainable_params == 8 * 27
    assert result.total_mult_adds == sum(row.mult_adds for row in result.rows[1:])
    assert result.total_input == 2 * 3 * 120 * 4 and result.total_param_bytes == 4 * result.total_params
    assert result.total_output_bytes == 2 * 4 * 2 * (8 * 30 + 8 * 30 + 6 * 120 + 5)
    # The norm's input and output, which ReLU and the transposed convolution share, and the linear layer's input.
    assert 4 * 2 * (2 * 240 + 720) <= result.kept_bytes <= 4 * 2 * (3 * 240 + 720) + 200
    assert result.training_bytes > result.total_param_bytes + 4 * result.trainable_params + result.kept_bytes
    assert net.training and net[0].training and not net[1].training
    assert not hooks_of(net)


def test_the_table():
    net = nn.Sequential(nn.Sequential(nn.Linear(1000, 1000), nn.ReLU()), nn.Linear(1000, 1))
    text = str(fc.summary(net, (1, 1000)))
    lines = text.split("\n")
    assert lines[0].split() == ["layer", "input", "output", "parameters", "multiply-adds"]
    assert lines[2] == "Sequential       [1, 1000]  [1, 1]      1,002,001      1,002,001"
    assert lines[4].startswith("    0: Linear") and lines[4].endswith("1,001,000      1,001,000")
    assert lines[5] == "    1: ReLU      [1, 1000]  [1, 1000]"
    assert "parameters: 1,002,001" in lines and "multiply-adds: 1,002,001" in lines
    assert (
        "\nmemory: input 4.00 kB, parameters 4.01 MB, results" in text
        and "a training step: 8.0" in text
        and repr(fc.summary(net, (1, 1000))) == text
    )
    shallow = str(fc.summary(net, (1, 1000), depth=1))
    assert "ReLU" not in shallow and "0: Sequential" in shallow
    net[0].requires_grad_(False)
    assert "parameters: 1,002,001, of which 1,001,000 are not trained" in str(fc.summary(net))


def test_in_a_notebook():
    class Odd(nn.Module):
        def forward(self, x):
            return x

    Odd.__name__ = "<script>&"
    page = fc.summary(nn.Sequential(nn.Linear(2, 3), Odd()), (4, 2))._repr_html_()
    assert page.count("<tr>") == 4 and page.startswith("<table>") and page.endswith("</ul>")
    assert '<td style="text-align:left;padding-left:1.5em">1: &lt;script&gt;&amp;</td>' in page
    assert not re.search("<(?!/?(table|thead|tbody|tr|td|th|ul|li)[ >])", page)


class Pair(nn.Module):
    def __init__(self):
        super().__init__()
        self.words = nn.Embedding(10, 4)
        self.image = nn.Conv2d(1, 4, 3)

    def forward(self, tokens, image, scale=None):
        y = self.words(tokens).mean(1) + self.image(image).mean((2, 3))
        return {"y": y if scale is None else y * scale, "tokens": tokens}


class Batch(nn.Module):
    def __init__(self):
        super().__init__()
        self.linear = nn.Linear(3, 2)

    def forward(self, batch):
        return [self.linear(batch["x"]), batch["more"][1].sum()]


def test_any_inputs():
    sizes, dtypes = [(5, 7), (5, 1, 6, 6)], [fc.int64, fc.float32]
    expected = 40 * 5 * 16
    for size in (sizes, tuple(sizes), {"tokens": sizes[0], "image": sizes[1]}):
        result = fc.summary(Pair(), size, dtypes=dtypes)
        assert result.total_mult_adds == expected and row_of(result, "words").mult_adds == 0
        assert row_of(result, "image").input == (5, 1, 6, 6) and result.root.output == (5, 4)
        assert result.total_input == 5 * 7 * 8 + 5 * 36 * 4
    tokens, image = fc.zeros(5, 7, dtype=fc.int64), fc.zeros(5, 1, 6, 6)
    for data in ((tokens, image), {"image": image, "tokens": tokens, "scale": fc.tensor(2.0)}):
        assert fc.summary(Pair(), data=data).total_mult_adds == expected
    for size in ({"x": (6, 3), "more": [(2,), (4, 4)]}, [{"x": (6, 3), "more": ((2,), (4, 4))}]):
        result = fc.summary(Batch(), size)
        assert result.total_mult_adds == 6 * 8 and result.total_input == 4 * (18 + 2 + 16)
    assert fc.summary(Batch(), data={"x": fc.zeros(6, 3), "more": [None, np.zeros(3)]}).total_mult_adds == 48
    assert fc.summary(nn.Linear(3, 2).double(), (4, 3)).total_input == 4 * 3 * 8, "the dtype is the parameters'"
    assert fc.summary(nn.ReLU(), (4, 3), dtypes=fc.float16).total_input == 24
    assert (
        fc.summary(nn.ReLU(), fc.Size([4, 3])).total_input == fc.summary(nn.ReLU(), [np.int64(4), 3]).total_input == 48
    )
    assert fc.summary(nn.ReLU(), [()]).root.output == ()
    assert fc.summary(nn.ReLU(), data=fc.zeros(0, 3)).root.output == (0, 3)


def test_results_of_ones_own_kind_and_arrays():
    class Answer:
        def __init__(self, scores):
            self.scores = scores

    class Net(nn.Module):
        def __init__(self):
            super().__init__()
            self.linear = nn.Linear(3, 2)

        def forward(self, x):
            return Answer(self.linear(x).relu())

    result = fc.summary(Net(), data=np.zeros((5, 3), np.float32))
    assert result.root.input == (5, 3) and result.root.output == (5, 2)
    assert result.total_input == 60 and result.kept_bytes > 0


def test_recurrent_layers():
    net = nn.LSTM(6, 5, num_layers=2, bidirectional=True, batch_first=True)
    result = fc.summary(net, (3, 7, 6))
    assert result.root.output == (3, 7, 10)
    assert result.total_mult_adds == 3 * 7 * result.total_params
    assert fc.summary(nn.GRU(6, 5), (7, 6)).total_mult_adds == 7 * (3 * 5 * 11 + 30), "without a batch"
    assert fc.summary(nn.LSTMCell(6, 5), (3, 6)).total_mult_adds == 3 * (4 * 5 * 11 + 40)


def test_attention_and_several_rows():
    layer = nn.TransformerEncoderLayer(8, 2, 16, batch_first=True)
    result = fc.summary(layer, (3, 5, 8))
    weights = 8 * 24 + 24 + 8 * 8 + 8 + 2 * (8 * 16) + 16 + 8
    assert result.total_mult_adds == 3 * 5 * weights + 3 * 2 * 16 and result.not_run == {}


def test_shared_modules_are_counted_once_and_called_often():
    class Shared(nn.Module):
        def __init__(self):
            super().__init__()
            self.cell = nn.Linear(4, 4)
            self.again = self.cell
            self.layers = nn.ModuleList([nn.Linear(4, 4), nn.Linear(4, 4)])
            self.layers[1].weight = self.layers[0].weight  # another module with the same weight
            self.unused = nn.Sequential(nn.Linear(4, 4))

        def forward(self, x):
            for _ in range(10):
                x = self.cell(x)
            for layer in self.layers:
                x = self.again(layer(x))
            return x

    result = fc.summary(Shared(), (2, 4))
    assert result.total_params == 20 + 20 + 4 + 20
    assert result.total_mult_adds == 14 * 2 * 20
    assert [(row.name, row.calls, row.parameters, row.shared) for row in result.rows[1:]] == [
        ("cell", 12, 20, False),
        ("layers.0", 1, 20, False),
        ("layers.1", 1, 4, False),
    ]
    assert result.not_run == {"unused": 20}
    text = str(result)
    assert "cell: Linear (12 calls)" in text and "unused was not run: 20 parameters" in text
    twice = nn.Sequential(nn.Linear(4, 4), nn.Unflatten(0, (2, 1)))
    twice.append(twice[0])  # for another shape a row of its own
    assert [(row.name, row.output, row.shared) for row in fc.summary(twice, (2, 4)).rows[1:]] == [
        ("0", (2, 4), False),
        ("1", (2, 1, 4), False),
        ("0", (2, 1, 4), True),
    ]
    assert " shared" in str(fc.summary(twice, (2, 4)))


def test_parameters_that_are_used_while_their_modules_are_not_called():
    class Outside(nn.Module):
        def __init__(self):
            super().__init__()
            self.called, self.used, self.unused = nn.Linear(4, 4), nn.Linear(4, 2), nn.Linear(4, 3)

        def forward(self, x):
            return nn.functional.linear(self.called(x), self.used.weight, self.used.bias)

    result = fc.summary(Outside(), (2, 4))
    assert (result.total_mult_adds, result.uncounted, result.not_run) == (2 * 20, 10, {"unused": 15})
    assert "multiply-adds: 40 and those of 10 parameters, whose modules were not called" in str(result)


def test_it_is_a_description_without_an_input():
    result = fc.summary(models.get_model("alexnet", num_classes=10))
    assert result.total_mult_adds == result.total_input == 0
    assert [row.name for row in result.rows if row.depth == 1] == ["features", "avgpool", "classifier"]
    assert result.root.parameters == result.total_params and "multiply-adds:" not in str(result)


def test_what_a_run_leaves_as_it_was():
    net = nn.Sequential(
        nn.LazyConv2d(4, 3),
        nn.BatchNorm2d(4),
        nn.Dropout(0.5),
        nn.utils.parametrizations.weight_norm(nn.Conv2d(4, 2, 1)),
    )
    fc.manual_seed(3)
    expected = fc.rand(1).item()
    fc.manual_seed(3)
    fc.summary(nn.Sequential(nn.Dropout(0.5)), (1, 3))
    assert fc.rand(1).item() == expected, "no number was drawn"
    with fc.no_grad():
        result = fc.summary(net, (1, 3, 8, 8))
    assert row_of(result, "0").mult_adds == 36 * (4 * 27 + 4) and row_of(result, "3").mult_adds == 36 * 10
    assert (net[1].running_mean == 0).all() and net[1].num_batches_tracked == 0
    assert all(module.training for module in net.modules())
    assert all(p.grad is None for p in net.parameters()) and result.kept_bytes > 0


@pytest.mark.parametrize(
    ("call", "error", "message"),
    [
        (lambda net: fc.summary("resnet", (1, 3)), TypeError, "expects a Module, got str"),
        (lambda net: fc.summary(net, (1, 3), data=fc.zeros(1, 3)), ValueError, "and got both"),
        (lambda net: fc.summary(net, 3), TypeError, "size is made of shapes, got 3 of type int"),
        (lambda net: fc.summary(net, fc.zeros(1, 3)), TypeError, "got a Tensor; data= takes an input itself"),
        (lambda net: fc.summary(net, (1, -3)), ValueError, "size"),
        (lambda net: fc.summary(net, (1, 2.5)), TypeError, r"shapes, got 1 of type int in \(1, 2.5\)"),
        (lambda net: fc.summary(net, [(1, 3), (1,)], dtypes=[fc.float32]), ValueError, "has 1 entries for more inputs"),
        (lambda net: fc.summary(net, (1, 3), dtypes=[fc.float32] * 3), ValueError, "has 3 entries, 2 more than"),
        (lambda net: fc.summary(net, (1, 3), depth=-1), ValueError, "depth"),
        (
            lambda net: fc.summary(net, (1, 4)),
            RuntimeError,
            r"does not run on \[1, 4\]: .* \(in 0: Linear in Sequential\)",
        ),
        (lambda net: fc.summary(net, [(1, 3), (2,)]), RuntimeError, r"does not run on \[1, 3\], \[2\]: .*positional"),
        (
            lambda net: fc.summary(net, (1, 3, 3)),
            RuntimeError,
            r"\(in 2: Linear in Sequential\); the size of an input beg",
        ),
        (lambda net: fc.summary(net, {"x": (1, 3)}), RuntimeError, "does not run on"),
    ],
)
def test_errors(call, error, message):
    net = nn.Sequential(nn.Linear(3, 2), nn.Flatten(0), nn.Linear(2, 2))
    with pytest.raises(error, match=message):
        call(net)
    assert all(module.training for module in net.modules()) and not hooks_of(net)


NAMES = ["resnet18", "squeezenet1_1", "shufflenet_v2_x0_5", "mobilenet_v3_small", "efficientnet_b0", "googlenet"]


@pytest.mark.parametrize("name", NAMES)
def test_figures_are_torchinfos(name):
    torchinfo = pytest.importorskip("torchinfo")
    from test_named_networks import torchvision

    options = {"init_weights": False} if name == "googlenet" else {}
    theirs = torchinfo.summary(torchvision().models.get_model(name, **options), (2, 3, 64, 64), verbose=0, mode="eval")
    ours = fc.summary(models.get_model(name, **options), (2, 3, 64, 64))
    for figure in ("total_params", "trainable_params", "total_mult_adds", "total_output_bytes"):
        assert getattr(ours, figure) == getattr(theirs, figure), figure


@pytest.mark.parametrize("name", ["shufflenet_v2_x0_5", "mobilenet_v3_small", "mnasnet0_5", "squeezenet1_1"])
def test_the_tables_multiply_adds_are_those_of_a_run(name):
    meta = models.get_model_weights(name).DEFAULT.meta
    result = fc.summary(models.get_model(name), (1, 3, 224, 224))
    assert result.total_params == meta["num_params"]
    assert abs(result.total_mult_adds / 1e9 - meta["_ops"]) < max(0.01 * meta["_ops"], 0.001)
    fc.summary(models.get_model(name), (1, 3, *meta["min_size"]))


def test_the_command_that_lists_networks(capsys):
    from fastconv.app.cli import main

    assert main(["models"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[0].split() == ["network", "parameters", "multiply-adds", "image", "least", "weights"]
    assert [line.split()[0] for line in lines[1:]] == models.list_models()
    assert main(["models", "resnet50", "vgg1?_bn"]) == 0
    lines = capsys.readouterr().out.splitlines()
    assert " ".join(lines[1].split()) == "resnet50 25,557,032 4.089 G 224x224 1x1 IMAGENET1K_V2, IMAGENET1K_V1"
    assert len(lines) == 6
    assert main(["models", "ShuffleNet"]) == 0
    assert [line.split()[0] for line in capsys.readouterr().out.splitlines()[1:]] == models.list_models(
        include="shufflenet*"
    )
    with pytest.raises(SystemExit):
        main(["models", "resnet51"])
    assert "no network has a name like resnet51" in capsys.readouterr().err
