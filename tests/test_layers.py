"""The layers beside torch's: what they show, hold and compute, and their gradients, in both dtypes."""

import copy
import warnings

import numpy as np
import pytest
from gradcheck import relative

import fastconv as fc
import fastconv.nn as nn

rng = np.random.default_rng(5)
IMAGES, SIGNALS, VOLUMES, ROWS = (2, 4, 6, 7), (2, 4, 9), (2, 4, 5, 6, 7), (3, 8)

# A layer's class, its arguments and the shape of what it takes; positional, so that the order of arguments is held.
LAYERS = [
    *[(name, (), IMAGES) for name in ("SELU", "SiLU", "Mish", "ReLU6", "Hardswish", "Hardsigmoid", "LogSigmoid")],
    *[(name, (), IMAGES) for name in ("Softsign", "Tanhshrink", "GELU", "ELU", "CELU", "Hardtanh", "Softplus")],
    *[("GELU", ("tanh",), IMAGES), ("ELU", (0.5,), IMAGES), ("CELU", (0.5,), IMAGES)],
    *[("Hardtanh", (-0.5, 0.7), IMAGES), ("Softplus", (2.0, 1.0), IMAGES), ("GLU", (1,), IMAGES), ("GLU", (), ROWS)],
    *[("PReLU", (), IMAGES), ("PReLU", (4, 0.1), IMAGES), ("PReLU", (8,), ROWS), ("Softmax2d", (), IMAGES)],
    *[("Softmin", (1,), ROWS), ("LogSoftmax", (1,), ROWS), ("Softmax", (1,), ROWS)],
    *[("BatchNorm1d", (4,), SIGNALS), ("BatchNorm1d", (8,), ROWS), ("BatchNorm1d", (8, 1e-3, None), ROWS)],
    *[("BatchNorm2d", (4, 1e-3, 0.3, False), IMAGES), ("BatchNorm3d", (4,), VOLUMES)],
    *[("BatchNorm2d", (4, 1e-3, 0.3, True, False), IMAGES)],
    *[("GroupNorm", (2, 4), IMAGES), ("GroupNorm", (1, 4, 1e-3, False), IMAGES), ("GroupNorm", (2, 8), ROWS)],
    *[("GroupNorm", (4, 4), SIGNALS), ("LayerNorm", (7,), IMAGES), ("LayerNorm", ([6, 7], 1e-3), IMAGES)],
    *[("LayerNorm", ((4, 6, 7), 1e-3, False), IMAGES), ("LayerNorm", (7, 1e-3, True, False), IMAGES)],
    *[("InstanceNorm1d", (4,), SIGNALS), ("InstanceNorm2d", (4,), IMAGES), ("InstanceNorm3d", (4,), VOLUMES)],
    *[("InstanceNorm2d", (4, 1e-3, 0.2, True, True), IMAGES), ("InstanceNorm2d", (4,), IMAGES[1:])],
    *[("LocalResponseNorm", (3,), IMAGES), ("LocalResponseNorm", (2, 0.5, 0.6, 2.0), VOLUMES)],
    *[("ReflectionPad1d", (2,), SIGNALS), ("ReflectionPad2d", ((1, 2, 3, 4),), IMAGES), ("ZeroPad1d", (1,), SIGNALS)],
    *[("ReplicationPad1d", (2,), SIGNALS), ("ReplicationPad2d", ((1, 2, 3, 4),), IMAGES), ("ZeroPad2d", (1,), IMAGES)],
    *[("ConstantPad1d", ((1, -2), 3.5), SIGNALS), ("ConstantPad2d", (1, 2), IMAGES), ("CircularPad2d", (2,), IMAGES)],
    *[("ConstantPad3d", (1, 2), VOLUMES), ("ZeroPad3d", (1,), VOLUMES), ("CircularPad1d", (2,), SIGNALS)],
    *[("Upsample", (None, 2), IMAGES), ("Upsample", ((5, 3), None, "bilinear"), IMAGES), ("Upsample", (5,), SIGNALS)],
    *[("Upsample", (None, (2.0, 1.5), "bicubic", True), IMAGES), ("UpsamplingNearest2d", (None, 2), IMAGES)],
    *[("UpsamplingBilinear2d", (None, 2), IMAGES), ("Upsample", (None, 1.7, "nearest", None, True), IMAGES)],
    *[("PixelShuffle", (2,), IMAGES), ("PixelUnshuffle", (2,), (2, 3, 4, 6)), ("ChannelShuffle", (2,), IMAGES)],
    *[("Unfold", ((2, 3), 1, 1, 2), IMAGES), ("Fold", ((5, 6), 2, 1, 0, 1), (2, 8, 20))],
    *[("AvgPool1d", (3,), SIGNALS), ("AvgPool1d", (3, 2, 1, True, False), SIGNALS), ("MaxPool1d", (3,), SIGNALS)],
    *[("MaxPool1d", (2, 1, 1, 2), SIGNALS), ("AdaptiveAvgPool1d", (4,), SIGNALS), ("AdaptiveMaxPool1d", (4,), SIGNALS)],
    *[("AdaptiveMaxPool2d", (3,), IMAGES), ("AdaptiveMaxPool2d", ((None, 2),), IMAGES), ("LPPool2d", (2, 2), IMAGES)],
    *[("AdaptiveAvgPool3d", ((3, 2, None),), VOLUMES), ("LPPool1d", (2, 3, 2, True), SIGNALS)],
    *[("MaxPool3d", (2,), VOLUMES), ("MaxPool3d", ((3, 2, 2), 1, (1, 1, 0), (1, 2, 1), False, True), VOLUMES)],
    *[("AvgPool3d", (2,), VOLUMES), ("AvgPool3d", ((3, 2, 2), 2, (1, 1, 0), True, False), VOLUMES)],
    *[("AvgPool3d", (2, None, 0, False, True, 3), VOLUMES)],
    *[("ConvTranspose1d", (4, 6, 3, 2, 1, 1, 2), SIGNALS), ("Conv3d", (4, 6, (2, 3, 1), 2, 1), VOLUMES)],
    *[("ConvTranspose3d", (4, 6, (2, 3, 1), 2, 1, (1, 1, 0), 2), VOLUMES), ("ConvTranspose3d", (4, 5, 3), VOLUMES[1:])],
    *[("ConvTranspose3d", (4, 2, 2, (3, 1, 2), 0, (2, 0, 1), 1, False, (1, 2, 2)), VOLUMES)],
    *[("LazyConvTranspose3d", (5, 3, 2), VOLUMES), ("Softshrink", (), IMAGES), ("Softshrink", (0.2,), IMAGES)],
    *[("Hardshrink", (), IMAGES), ("Hardshrink", (0.1,), IMAGES), ("Threshold", (0.1, 20.0), IMAGES)],
    *[("RMSNorm", (7,), IMAGES), ("RMSNorm", ((6, 7), 1e-3, False), IMAGES)],
    *[("Conv3d", (4, 6, 3, 1, "same", 1, 2, False), VOLUMES), ("Conv3d", (4, 2, 2, 1, 0, (2, 1, 2)), VOLUMES[1:])],
    *[("Flatten", (1, 2), IMAGES), ("Unflatten", (1, (2, 2)), IMAGES), ("Unflatten", (-1, (7, -1)), IMAGES)],
    *[("Identity", (3,), IMAGES), ("Linear", (8, 5, False), ROWS), ("Linear", (7, 5), IMAGES)],
    *[("LazyLinear", (5,), ROWS), ("LazyConv1d", (5, 3), SIGNALS), ("LazyConv2d", (6, 3, 2, 1, 1, 2), IMAGES)],
    *[("LazyConv3d", (5, 2), VOLUMES), ("LazyConvTranspose1d", (5, 3), SIGNALS), ("LazyBatchNorm1d", (), ROWS)],
    *[
        ("LazyConvTranspose2d", (5, 3, 2), IMAGES),
        ("LazyBatchNorm2d", (1e-3,), IMAGES),
        ("LazyBatchNorm1d", (), SIGNALS),
    ],
    *[("LazyBatchNorm3d", (), VOLUMES), ("LazyInstanceNorm2d", (1e-5, 0.1, True), IMAGES)],
    *[(name, (0.3,), SIGNALS) for name in ("Dropout1d", "Dropout", "AlphaDropout")],
    *[("Dropout2d", (0.3,), IMAGES), ("Dropout3d", (0.3,), VOLUMES), ("FeatureAlphaDropout", (0.3,), IMAGES)],
    *[("RNN", (8, 5), (4, 3, 8)), ("RNN", (8, 5, 2, "relu", False, True), (3, 4, 8)), ("GRU", (8, 5), (4, 3, 8))],
    *[("GRU", (8, 5, 2, True, False, 0.0, True), (4, 3, 8)), ("LSTM", (8, 5), (4, 3, 8)), ("LSTM", (8, 5), (4, 8))],
    *[("LSTM", (8, 5, 2, True, True, 0.0, True), (3, 4, 8)), ("RNNCell", (8, 5), ROWS), ("GRUCell", (8, 5), ROWS)],
    *[("LSTMCell", (8, 5), ROWS), ("RNNCell", (8, 5, False, "relu"), (8,))],
    *[("TransformerEncoderLayer", (8, 2, 16, 0.0), (4, 3, 8)), ("MultiheadAttention", (8, 2), None)],
    *[("TransformerEncoderLayer", (8, 2, 16, 0.0, "gelu", 1e-5, True, True), (3, 4, 8))],
]


def outputs_of(layer, x, name):
    """The tensors that a layer returns, in order."""
    result = layer(x, x, x) if name == "MultiheadAttention" else layer(x)
    flat = []
    for part in result if isinstance(result, tuple) else (result,):
        flat += part if isinstance(part, tuple) else [part]
    return flat


def case_id(case):
    return f"{case[0]}{case[1]}".replace(" ", "")


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", LAYERS, ids=case_id)
def test_layers_are_torchs(case, dtype):
    torch = pytest.importorskip("torch")
    name, arguments, shape = case
    place = {} if dtype == "float32" else {"dtype": "float64"}
    has_factory = "dtype" in getattr(nn, name).__init__.__code__.co_varnames
    ours = getattr(nn, name)(*arguments, **({"dtype": np.dtype(dtype)} if place and has_factory else {}))
    theirs = getattr(torch.nn, name)(*arguments, **({"dtype": torch.float64} if place and has_factory else {}))
    assert repr(ours) == repr(theirs)
    x = rng.standard_normal(shape or (4, 3, 8)).astype(dtype)
    a, b = fc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    if "Dropout" in name:
        ours.eval(), theirs.eval()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if name.startswith("Lazy"):
            ours(a.detach()), theirs(b.detach())
            assert repr(ours) == repr(theirs) and type(ours).__name__ == type(theirs).__name__
        assert list(ours.state_dict()) == list(theirs.state_dict())
        theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
        for again in range(2):
            actual, expected = outputs_of(ours, a, name), outputs_of(theirs, b, name)
            assert len(actual) == len(expected)
            g = rng.standard_normal(actual[0].shape).astype(dtype)
            for mine, other in zip(actual, expected, strict=True):
                assert relative(mine.detach(), other.detach()) < (2e-6 if dtype == "float32" else 1e-13)
                assert mine.dtype == np.dtype(str(other.dtype).removeprefix("torch."))
            if actual[0].requires_grad:
                actual[0].backward(fc.tensor(g))
                expected[0].backward(torch.tensor(g))
                pairs = [(a, b), *zip(ours.parameters(), theirs.parameters(), strict=True)]
                for mine, other in pairs:
                    if other.grad is None:
                        assert mine.grad is None
                    else:
                        scale = max(np.linalg.norm(other.grad.numpy()), 1e-3)
                        error = np.linalg.norm(mine.grad.numpy() - other.grad.numpy())
                        # Torch's sixth in hardsigmoid's gradient is of float32.
                        rough = dtype == "float32" or name == "Hardsigmoid"
                        assert error < (1e-5 if rough else 1e-12) * scale
            for mine, other in zip(ours.buffers(), theirs.buffers(), strict=True):
                assert relative(mine, other) < (2e-6 if dtype == "float32" else 1e-13)
            if not again:
                ours.eval(), theirs.eval()


@pytest.mark.parametrize("case", [case for case in LAYERS if case[0].startswith("Lazy")], ids=case_id)
def test_lazy_layers_take_a_state(case):
    name, arguments, shape = case
    first, second = getattr(nn, name)(*arguments), getattr(nn, name)(*arguments)
    with pytest.raises(RuntimeError, match="uninitialized"):
        first.state_dict()["weight"].shape
    x = fc.tensor(rng.standard_normal(shape).astype(np.float32))
    y = first(x)
    second.load_state_dict(first.state_dict())
    first.eval(), second.eval()
    assert fc.equal(first(x), second(x)) and y.shape == first(x).shape
    assert type(second) is type(first) and not type(first).__name__.startswith("Lazy")
    assert repr(copy.deepcopy(second)) == repr(first)


def test_lazy_parameters_stay_the_same_objects():
    net = nn.Sequential(nn.LazyConv2d(4, 3), nn.ReLU(), nn.Flatten(), nn.LazyLinear(5))
    before = list(net.parameters())
    optimizer = fc.optim.SGD(before, lr=0.1)
    net(fc.randn(2, 3, 8, 8)).sum().backward()
    assert all(p is q for p, q in zip(before, net.parameters(), strict=True))
    assert type(before[0]) is nn.Parameter and before[0].shape == (4, 3, 3, 3)
    optimizer.step()
    assert len(net) == 4 and "LazyConv2d(0, 4," in repr(nn.LazyConv2d(4, 3))


@pytest.mark.parametrize("case", [case for case in LAYERS if case[0].startswith("Lazy")], ids=case_id)
def test_lazy_layers_draw_nothing_before_their_first_input(case):
    name, arguments, shape = case
    fc.manual_seed(0)
    layer = getattr(nn, name)(*arguments)
    drawn = fc.rand(1)
    fc.manual_seed(0)
    assert fc.equal(drawn, fc.rand(1))
    torch = pytest.importorskip("torch")
    torch.manual_seed(0)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # that they are under development
        other = getattr(torch.nn, name)(*arguments)
    other(torch.ones(shape))
    fc.manual_seed(0)
    layer(fc.ones(shape))
    for mine, theirs in zip(layer.parameters(), other.parameters(), strict=True):
        assert relative(mine.detach(), theirs.detach()) < 1e-6


@pytest.mark.parametrize("mode", ["zeros", "reflect", "circular"])
@pytest.mark.parametrize("dims", [1, 2, 3])
def test_convolutions_take_a_weight_made_anew(dims, mode):
    # Layers that standardise, binarise or mask their weight override forward() and call torch's _conv_forward().
    layer = getattr(nn, f"Conv{dims}d")(4, 6, 3, 2, 1, groups=2, padding_mode=mode)
    other = copy.deepcopy(layer)
    with fc.no_grad():
        other.weight.mul_(2), other.bias.add_(1)
    x = fc.randn(2, 4, *[7] * dims)
    assert fc.equal(layer._conv_forward(x, layer.weight * 2, layer.bias + 1), other(x))
    assert not hasattr(nn.ConvTranspose2d, "_conv_forward")


def test_channel_dropout_drops_channels():
    for layer, shape in ((nn.Dropout1d(0.4), (9, 50, 3)), (nn.Dropout2d(0.4), (9, 50, 3, 2))):
        x = fc.ones(*shape, requires_grad=True)
        y = layer(x)
        values = y.detach().numpy().reshape(9 * 50, -1)
        assert (values == values[:, :1]).all() and set(np.unique(values)) == {0, np.float32(1 / 0.6)}
        assert 0.25 < (values[:, 0] == 0).mean() < 0.55
        y.sum().backward()
        assert np.array_equal(x.grad.numpy(), y.detach().numpy())
        assert layer.eval()(x) is x


def test_alpha_dropout_keeps_mean_and_variance():
    y = nn.AlphaDropout(0.3)(fc.randn(300, 300)).numpy()
    assert abs(y.mean()) < 0.02 and abs(y.std() - 1) < 0.02
    y = nn.FeatureAlphaDropout(0.3)(fc.ones(3, 40, 5)).numpy()
    assert (y == y[:, :, :1]).all() and len(np.unique(y)) == 2


def test_containers():
    torch = pytest.importorskip("torch")
    built = []
    for lib in (torch, fc):
        modules = lib.nn.ModuleDict({"a": lib.nn.Linear(2, 3), "b": lib.nn.ReLU()})
        modules["c"] = lib.nn.Linear(3, 1)
        modules.update({"d": lib.nn.Sequential()})
        del modules["b"]
        plist = lib.nn.ParameterList([lib.zeros(2), lib.nn.Parameter(lib.ones(3, 4))])
        plist.append(lib.ones(1))
        pdict = lib.nn.ParameterDict({"w": lib.ones(2, 3)})
        pdict["v"] = lib.ones(2)
        built.append((modules, plist, pdict))
    for theirs, ours in zip(*built, strict=True):
        assert list(ours.state_dict()) == list(theirs.state_dict())
        assert len(ours) == len(theirs) and len(list(ours.parameters())) == len(list(theirs.parameters()))
        assert repr(ours) == repr(theirs)
    modules, plist, pdict = built[1]
    assert "a" in modules and list(modules) == ["a", "c", "d"] == list(modules.keys())
    assert [p.shape for p in plist[1:]] == [(3, 4), (1,)] and plist[-1] is plist[2]
    assert isinstance(pdict["v"], nn.Parameter) and list(pdict) == ["w", "v"] and pdict.pop("v").shape == (2,)
    assert pdict.get("v") is None
    with pytest.raises(IndexError):
        plist[3]


def test_embedding():
    torch = pytest.importorskip("torch")
    for options in ((), (2,), (-1, 1.5), (None, 0.5, 1.0), (1, None, 2.0, True)):
        ours, theirs = nn.Embedding(6, 4, *options), torch.nn.Embedding(6, 4, *options)
        assert repr(ours) == repr(theirs)
        theirs.load_state_dict({"weight": torch.tensor(ours.weight.detach().numpy())})
        rows = rng.integers(0, 6, (3, 5))
        y, expected = ours(fc.tensor(rows)), theirs(torch.tensor(rows))
        g = rng.standard_normal(y.shape).astype(np.float32)
        y.backward(fc.tensor(g)), expected.backward(torch.tensor(g))
        assert relative(y.detach(), expected.detach()) < 1e-6
        assert relative(ours.weight.grad, theirs.weight.grad) < 1e-6
        assert relative(ours.weight.detach(), theirs.weight.detach()) < 1e-6
    with pytest.raises(IndexError, match="index out of range in self"):
        ours(fc.tensor([6]))
    table = fc.randn(3, 2)
    assert not nn.Embedding.from_pretrained(table).weight.requires_grad


def test_unpooling_undoes_pooling():
    torch = pytest.importorskip("torch")
    x = rng.standard_normal((2, 3, 6, 8)).astype(np.float32)
    y, where = nn.MaxPool2d(2, return_indices=True)(fc.tensor(x))
    unpool, theirs = nn.MaxUnpool2d(2), torch.nn.MaxUnpool2d(2)
    expected = theirs(torch.tensor(y.numpy()), torch.tensor(where.numpy()))
    assert repr(unpool) == repr(theirs)
    assert np.array_equal(unpool(y, where).numpy(), expected.numpy())
    assert unpool(y, where, output_size=(7, 9)).shape == (2, 3, 7, 9)
    with pytest.raises(ValueError, match="invalid output_size"):
        unpool(y, where, output_size=(9, 9))


def test_attention_with_masks_is_torchs():
    torch = pytest.importorskip("torch")
    ours, theirs = nn.MultiheadAttention(8, 2, kdim=6, vdim=5), torch.nn.MultiheadAttention(8, 2, kdim=6, vdim=5)
    theirs.load_state_dict({k: torch.tensor(v.numpy()) for k, v in ours.state_dict().items()})
    q, k, v = (rng.standard_normal(s).astype(np.float32) for s in ((4, 3, 8), (5, 3, 6), (5, 3, 5)))
    padding, mask = np.zeros((3, 5), bool), np.triu(np.ones((4, 5), bool), 2)
    padding[0, 3:] = True
    for lib, layer in ((fc, ours), (torch, theirs)):
        result = [
            layer(*map(lib.tensor, (q, k, v)), lib.tensor(padding), True, lib.tensor(mask)),
            layer(*map(lib.tensor, (q, k, v)), lib.tensor(padding), False),
            layer(*map(lib.tensor, (q, k, v)), average_attn_weights=False),
        ]
        if lib is fc:
            actual = result
    for mine, other in zip(actual, result, strict=True):
        assert relative(mine[0].detach(), other[0].detach()) < 1e-6
        assert (mine[1] is None) == (other[1] is None)
        if mine[1] is not None:
            assert relative(mine[1].detach(), other[1].detach()) < 1e-6


def test_factory_arguments():
    for layer in (nn.Conv1d(2, 3, 1, device="cpu", dtype=fc.float64), nn.Linear(2, 3, True, "cpu", fc.float64)):
        assert layer.weight.dtype == layer.bias.dtype == np.float64
    assert nn.BatchNorm2d(3, dtype=fc.float64).running_mean.dtype == np.float64
    with pytest.raises((AssertionError, RuntimeError)):
        nn.Linear(2, 3, device="cuda")
