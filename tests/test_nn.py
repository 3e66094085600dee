"""Layers, their functions and Module: against torch, the float64 reference, and differences."""

import collections
import copy
import pickle

import numpy as np
import pytest
from gradcheck import check_vjp, relative

import fastconv as fc
import fastconv.nn as nn
import fastconv.nn.functional as F
from fastconv import elementwise

rng = np.random.default_rng(5)


def normal(*shape):
    return rng.standard_normal(shape)


# ---- functions -----------------------------------------------------------------------------------------------------

# (the function, of torch.nn.functional or ours; its float64 arrays)
CASES = {
    "conv1d": (lambda f, x, w, b: f.conv1d(x, w, b, 2, 1), normal(2, 3, 9), normal(4, 3, 3), normal(4)),
    "conv1d single": (lambda f, x, w, b: f.conv1d(x, w, b, padding="same"), normal(3, 9), normal(4, 3, 4), normal(4)),
    "conv1d groups": (lambda f, x, w: f.conv1d(x, w, dilation=2, groups=2), normal(1, 4, 9), normal(6, 2, 3)),
    "conv2d": (lambda f, x, w, b: f.conv2d(x, w, b), normal(2, 3, 7, 6), normal(4, 3, 3, 2), normal(4)),
    "conv2d single": (lambda f, x, w, b: f.conv2d(x, w, b), normal(3, 7, 6), normal(4, 3, 3, 2), normal(4)),
    "conv2d all": (
        lambda f, x, w, b: f.conv2d(x, w, b, (2, 1), (1, 2), (1, 2), 2),
        *(normal(2, 4, 7, 8), normal(6, 2, 3, 3), normal(6)),
    ),
    "conv2d same": (lambda f, x, w: f.conv2d(x, w, padding="same"), normal(1, 2, 5, 6), normal(3, 2, 4, 3)),
    "conv2d valid": (lambda f, x, w: f.conv2d(x, w, padding="valid"), normal(1, 2, 5, 6), normal(3, 2, 4, 3)),
    "conv2d depthwise": (lambda f, x, w: f.conv2d(x, w, groups=3), normal(2, 3, 5, 5), normal(3, 1, 3, 3)),
    "conv2d empty": (lambda f, x, w, b: f.conv2d(x, w, b), normal(0, 3, 7, 6), normal(4, 3, 3, 2), normal(4)),
    "conv_transpose2d": (
        lambda f, x, w, b: f.conv_transpose2d(x, w, b, 2, 1, 1, 1, 1),
        *(normal(2, 3, 4, 5), normal(3, 4, 3, 3), normal(4)),
    ),
    "conv_transpose2d all": (
        lambda f, x, w, b: f.conv_transpose2d(x, w, b, (2, 1), (1, 0), (1, 2), 2, (2, 3)),
        *(normal(2, 4, 4, 3), normal(4, 3, 3, 2), normal(6)),
    ),
    "conv_transpose2d single": (
        lambda f, x, w: f.conv_transpose2d(x, w, stride=3),
        *(normal(2, 3, 3), normal(2, 2, 2, 2)),
    ),
    "pad": (lambda f, x: f.pad(x, (1, 2, 0, 3)), normal(2, 3, 4)),
    "pad value": (lambda f, x: f.pad(x, (1, 0), value=2.5), normal(2, 3)),
    "pad crop": (lambda f, x: f.pad(x, (-1, 2, 1, -2)), normal(2, 4, 5)),
    "pad crop both": (lambda f, x: f.pad(x, (-1, -2)), normal(2, 4)),
    "pad reflect": (lambda f, x: f.pad(x, (3, 1, 2, 0), mode="reflect"), normal(1, 2, 4, 5)),
    "pad replicate": (lambda f, x: f.pad(x, (3, 1, 2, 0), mode="replicate"), normal(2, 4, 5)),
    "pad circular": (lambda f, x: f.pad(x, (3, 1, 2, 0), mode="circular"), normal(1, 2, 4, 5)),
    "pad reflect 1d": (lambda f, x: f.pad(x, (3, 1), mode="reflect"), normal(1, 2, 5)),
    "pad replicate 1d": (lambda f, x: f.pad(x, (3, 1), mode="replicate"), normal(2, 5)),
    "max_pool2d": (lambda f, x: f.max_pool2d(x, 2), normal(2, 3, 6, 7)),
    "max_pool2d overlap": (lambda f, x: f.max_pool2d(x, 3, 2, 1), normal(2, 3, 6, 7)),
    "max_pool2d all": (lambda f, x: f.max_pool2d(x, (3, 2), (2, 1), 1, (1, 2), ceil_mode=True), normal(3, 6, 7)),
    "avg_pool2d": (lambda f, x: f.avg_pool2d(x, 2), normal(2, 3, 6, 7)),
    "avg_pool2d all": (lambda f, x: f.avg_pool2d(x, (3, 2), 2, 1, True, False), normal(2, 3, 6, 7)),
    "avg_pool2d divisor": (lambda f, x: f.avg_pool2d(x, 3, 2, divisor_override=5), normal(3, 6, 7)),
    "adaptive_avg_pool2d": (lambda f, x: f.adaptive_avg_pool2d(x, (4, None)), normal(2, 3, 6, 7)),
    "adaptive_avg_pool2d 1": (lambda f, x: f.adaptive_avg_pool2d(x, 1), normal(3, 6, 7)),
    "linear": (lambda f, x, w, b: f.linear(x, w, b), normal(5, 3), normal(4, 3), normal(4)),
    "linear vector": (lambda f, x, w: f.linear(x, w), normal(3), normal(4, 3)),
    "linear many": (lambda f, x, w, b: f.linear(x, w, b), normal(2, 5, 3), normal(4, 3), normal(4)),
    "linear empty": (lambda f, x, w, b: f.linear(x, w, b), normal(0, 3), normal(4, 3), normal(4)),
    "relu": (lambda f, x: f.relu(x), normal(20)),
    "leaky relu": (lambda f, x: f.leaky_relu(x, 0.2), normal(20)),
    "leaky relu in place": (lambda f, x: f.leaky_relu(x * 1.5, inplace=True), normal(20)),
    "relu in place": (lambda f, x: f.relu(x * 1.5, inplace=True), normal(20)),
    "sigmoid": (lambda f, x: f.sigmoid(x), normal(5)),
    "tanh": (lambda f, x: f.tanh(x), normal(5)),
    "softmax": (lambda f, x: f.softmax(x, 1), normal(3, 5)),
    "log_softmax": (lambda f, x: f.log_softmax(x, dim=0), normal(3, 5)),
    "batch_norm": (
        lambda f, x, w, b: f.batch_norm(x, None, None, w, b, True),
        *(normal(4, 3, 2, 5) * 3 + 2, normal(3), normal(3)),
    ),
    "batch_norm plain": (lambda f, x: f.batch_norm(x, None, None, training=True, eps=0.1), normal(4, 3, 6)),
    "batch_norm 2d": (lambda f, x, w, b: f.batch_norm(x, None, None, w, b, True), normal(6, 3), normal(3), normal(3)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    function, *arrays = CASES[name]
    check_vjp(lambda *tensors: function(F, *tensors), *arrays)


@pytest.mark.filterwarnings("ignore:Using padding='same'")
@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_torchs(name):
    torch = pytest.importorskip("torch")
    function, *arrays = CASES[name]
    ours = [fc.tensor(a).requires_grad_() for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = function(F, *ours), function(torch.nn.functional, *theirs)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(fc.from_numpy(g))
    expected.backward(torch.from_numpy(g))
    # Both compute in float64; sums of up to some hundred terms are ordered differently.
    assert relative(y.detach(), expected.detach()) < 1e-13
    for a, b in zip(ours, theirs, strict=True):
        assert relative(a.grad, b.grad) < 1e-13


@pytest.mark.parametrize("name", CASES)
def test_plain_arrays_in_and_out(name):
    function, *arrays = CASES[name]
    if name.endswith("in place"):
        return
    y = function(F, *arrays)
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, function(F, *map(fc.from_numpy, arrays)))


@pytest.mark.parametrize("name", ["conv1d", "conv2d", "conv2d all", "conv_transpose2d", "linear", "batch_norm"])
def test_each_gradient_alone(name):
    """Whichever inputs need a gradient get the same one as when all do."""
    function, *arrays = CASES[name]
    everything = [fc.tensor(a).requires_grad_() for a in arrays]
    function(F, *everything).sum().backward()
    for i in range(len(arrays)):
        some = [fc.tensor(a).requires_grad_(i == j) for j, a in enumerate(arrays)]
        function(F, *some).sum().backward()
        assert [t.grad is not None for t in some] == [i == j for j in range(len(arrays))]
        np.testing.assert_array_equal(some[i].grad, everything[i].grad)


def test_the_first_layer_computes_no_input_gradient():
    for x, w, convolve in (
        (fc.randn(2, 3, 8, 8), nn.Parameter(fc.randn(4, 3, 3, 3)), F.conv2d),
        (fc.randn(3, 8, 8), nn.Parameter(fc.randn(4, 3, 3, 3)), F.conv2d),
        (fc.randn(2, 3, 8), nn.Parameter(fc.randn(4, 3, 3)), F.conv1d),
        (fc.randn(2, 3), nn.Parameter(fc.randn(4, 3)), F.linear),
        (fc.randn(3), nn.Parameter(fc.randn(4, 3)), F.linear),
    ):
        y = convolve(x, w)
        dx, dw, db = y.grad_fn.vjp(np.ones(y.shape, np.float32), *y.grad_fn.saved)
        assert dx is None and dw.shape == w.shape and db is None


def test_relu_in_place():
    a = np.array([-1.0, 2.0])
    assert F.relu(a, inplace=True) is a and a.tolist() == [0, 2]
    x = fc.tensor([-1.0, 2.0])
    assert nn.ReLU(inplace=True)(x) is x and x.tolist() == [0, 2]
    leaf = fc.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        F.relu(leaf, inplace=True)
    h = leaf * 3
    F.relu(h, inplace=True).sum().backward()
    assert leaf.grad.tolist() == [3, 3] and h.grad_fn.name() == "ReluBackward0"
    # What came before no longer has what it saved.
    h = leaf.exp()
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        F.relu(h, inplace=True).sum().backward()


def test_float16_is_computed_in_float32():
    x, w, b = fc.randn(2, 3, 6, 6).half(), fc.randn(4, 3, 3, 3).half().requires_grad_(), fc.zeros(4).half()
    y = F.conv2d(x, w, b)
    y.sum().backward()
    w32 = w.detach().float().requires_grad_()
    expected = F.conv2d(x.float(), w32)
    expected.sum().backward()
    for rounded, exact in ((y.detach(), expected.detach()), (w.grad, w32.grad)):
        assert rounded.dtype == fc.float16
        np.testing.assert_array_equal(rounded, exact.half())
    assert F.linear(fc.ones(2, 3).half(), fc.ones(4, 3).half(), fc.ones(4).half()).dtype == fc.float16
    # Of arrays the result is float32.
    np.testing.assert_array_equal(F.conv2d(x.numpy(), w.detach().numpy()), expected.detach())


def test_integers_and_mixed_dtypes():
    x, w = fc.ones(1, 1, 4, 4), fc.ones(1, 1, 3, 3)
    for function in (F.conv2d, F.conv_transpose2d, lambda x, w: F.linear(x, w[0, 0, :1, :1])):
        with pytest.raises(TypeError, match=r"int64"):
            function(x.long(), w.long())
        with pytest.raises(TypeError, match=r"float32.*float64|float64.*float32"):
            function(x, w.double())
    with pytest.raises(TypeError, match=r"weight torch\.float64"):
        F.batch_norm(x, None, None, fc.ones(1).double(), training=True)
    with pytest.raises(TypeError, match="list"):
        F.linear([1.0], fc.ones(1, 1))


def test_shape_errors():
    with pytest.raises(
        RuntimeError,
        match=r"Given groups=1, weight of size \[6, 3, 5, 5\], expected input\[1, 1, 28, 28\] to have 3 channels, "
        "but got 1 channels instead",
    ):
        nn.Conv2d(3, 6, 5)(fc.zeros(1, 1, 28, 28))
    with pytest.raises(RuntimeError, match=r"input of size \[2, 5\].*weight of size \[3, 4\]"):
        nn.Linear(4, 3)(fc.zeros(2, 5))
    with pytest.raises(RuntimeError, match=r"bias of size \[3\]"):
        F.linear(fc.zeros(2, 4), fc.zeros(3, 4), fc.zeros(4))
    with pytest.raises(ValueError, match="even number"):
        F.pad(fc.zeros(2, 2), (1,))
    with pytest.raises(RuntimeError, match="leaves nothing"):
        F.pad(fc.zeros(2, 2), (-2, -1))
    with pytest.raises(NotImplementedError, match="'mirror'"):
        F.pad(fc.zeros(2, 2), (1, 1), mode="mirror")
    with pytest.raises(NotImplementedError, match="2 pads"):
        F.pad(fc.zeros(2, 2), (1, 1, 1, 1), mode="reflect")
    with pytest.raises(ValueError, match="no value"):
        F.pad(fc.zeros(1, 2, 2), (1, 1), mode="reflect", value=1.0)
    with pytest.raises(RuntimeError):
        F.pad(fc.zeros(1, 2, 2), (2, 1), mode="reflect")


def test_one_hot():
    x = fc.tensor([[0, 2], [1, 0]])
    y = F.one_hot(x)
    assert y.shape == (2, 2, 3) and y.dtype == fc.int64 and y[0].tolist() == [[1, 0, 0], [0, 0, 1]]
    assert F.one_hot(x, 5).shape == (2, 2, 5) and type(F.one_hot(np.array([1]), 2)) is np.ndarray
    assert F.one_hot(fc.zeros(0, dtype=fc.int64), 3).shape == (0, 3)
    with pytest.raises(RuntimeError, match=r"num_classes=2.*got 0 to 2"):
        F.one_hot(x, 2)
    with pytest.raises(RuntimeError, match="empty"):
        F.one_hot(fc.zeros(0, dtype=fc.int64))
    with pytest.raises(TypeError, match="float32"):
        F.one_hot(fc.zeros(2))


def test_max_pool_indices():
    x = fc.arange(16).float().reshape(1, 1, 4, 4).requires_grad_()
    y, indices = F.max_pool2d(x, 2, return_indices=True)
    assert indices.dtype == fc.int64 and indices.tolist() == [[[[5, 7], [13, 15]]]] and not indices.requires_grad
    y, indices = nn.MaxPool2d(2, return_indices=True)(x)
    y.sum().backward()
    assert x.grad.sum().item() == 4


# ---- the gradients as functions ------------------------------------------------------------------------------------

OPTIONS = [
    {},
    {"stride": 2, "padding": 1},
    {"stride": (2, 1), "padding": (0, 2), "dilation": (1, 2), "groups": 2},
    {"padding": 2, "dilation": 3, "groups": 4},
]


@pytest.mark.parametrize("options", OPTIONS)
def test_nn_grad(options):
    torch = pytest.importorskip("torch")
    groups = options.get("groups", 1)
    x, w = normal(2, 4, 9, 10), normal(8, 4 // groups, 3, 2)
    y = F.conv2d(x, w, **options)
    g = normal(*y.shape)
    tx, tw, tg = map(torch.from_numpy, (x, w, g))
    dx = nn.grad.conv2d_input(x.shape, w, g, **options)
    dw = nn.grad.conv2d_weight(x, w.shape, g, **options)
    assert type(dx) is type(dw) is np.ndarray
    assert relative(dx, torch.nn.grad.conv2d_input(tx.shape, tw, tg, **options)) < 1e-13
    assert relative(dw, torch.nn.grad.conv2d_weight(tx, tw.shape, tg, **options)) < 1e-13


@pytest.mark.parametrize("options", OPTIONS)
def test_nn_grad_is_the_adjoint(options):
    groups = options.get("groups", 1)
    x, w = normal(2, 4, 9, 10), normal(8, 4 // groups, 3, 2)
    y = F.conv2d(x, w, **options)
    g = normal(*y.shape)
    expected = np.vdot(y, g)
    bound = 1e-13 * np.linalg.norm(y) * np.linalg.norm(g)
    assert abs(np.vdot(x, nn.grad.conv2d_input(x.shape, w, g, **options)) - expected) < bound
    assert abs(np.vdot(w, nn.grad.conv2d_weight(x, w.shape, g, **options)) - expected) < bound


def test_nn_grad_1d():
    x, w = normal(2, 4, 9), normal(6, 2, 3)
    options = {"stride": 2, "padding": 1, "dilation": 2, "groups": 2}
    g = normal(*F.conv1d(x, w, **options).shape)
    a, b = (fc.from_numpy(v).requires_grad_() for v in (x, w))
    F.conv1d(a, b, **options).backward(fc.from_numpy(g))
    np.testing.assert_array_equal(nn.grad.conv1d_input(x.shape, w, g, **options), a.grad)
    np.testing.assert_array_equal(nn.grad.conv1d_weight(x, w.shape, g, **options), b.grad)


def test_nn_grad_records():
    x, w = normal(1, 2, 5, 5), normal(3, 2, 3, 3)
    g = normal(*F.conv2d(x, w, stride=2).shape)
    check_vjp(lambda w, g: nn.grad.conv2d_input(x.shape, w, g, stride=2), w, g)
    check_vjp(lambda x, g: nn.grad.conv2d_weight(x, w.shape, g, stride=2), x, g)
    assert isinstance(nn.grad.conv2d_input(x.shape, fc.from_numpy(w), fc.from_numpy(g), stride=2), fc.Tensor)


# ---- layers --------------------------------------------------------------------------------------------------------

# (constructor, input shape)
LAYERS = {
    "Conv1d": (lambda m: m.Conv1d(4, 6, 3, padding=1, groups=2), (2, 4, 9)),
    "Conv1d circular": (lambda m: m.Conv1d(4, 6, 3, padding="same", padding_mode="circular"), (2, 4, 9)),
    "Conv2d": (lambda m: m.Conv2d(3, 6, 5), (2, 3, 9, 8)),
    "Conv2d single": (lambda m: m.Conv2d(3, 6, 5), (3, 9, 8)),
    "Conv2d all": (lambda m: m.Conv2d(4, 6, (3, 2), (2, 1), (1, 2), (1, 2), 2, False), (2, 4, 9, 8)),
    "Conv2d reflect": (lambda m: m.Conv2d(3, 4, 3, 2, (1, 2), padding_mode="reflect"), (2, 3, 9, 8)),
    "Conv2d replicate same": (lambda m: m.Conv2d(3, 4, (4, 3), padding="same", padding_mode="replicate"), (2, 3, 6, 5)),
    "Conv2d circular dilated": (
        lambda m: m.Conv2d(3, 4, (4, 3), padding="same", dilation=(1, 2), padding_mode="circular"),
        (2, 3, 6, 5),
    ),
    "Conv2d circular valid": (lambda m: m.Conv2d(3, 4, 3, padding="valid", padding_mode="circular"), (2, 3, 6, 5)),
    "ConvTranspose2d": (lambda m: m.ConvTranspose2d(4, 6, 3, 2, 1, 1, 2, True, 2), (2, 4, 5, 4)),
    "MaxPool2d": (lambda m: m.MaxPool2d(3, 2, 1), (2, 3, 9, 8)),
    "AvgPool2d": (lambda m: m.AvgPool2d(3, 2, 1, True, False), (2, 3, 9, 8)),
    "AvgPool2d divisor": (lambda m: m.AvgPool2d(2, divisor_override=3), (2, 3, 9, 8)),
    "AdaptiveAvgPool2d": (lambda m: m.AdaptiveAvgPool2d((3, None)), (2, 3, 7, 8)),
    "BatchNorm2d": (lambda m: m.BatchNorm2d(3), (4, 3, 5, 2)),
    "BatchNorm2d plain": (lambda m: m.BatchNorm2d(3, 1e-3, None, False), (4, 3, 5, 2)),
    "BatchNorm2d untracked": (lambda m: m.BatchNorm2d(3, track_running_stats=False), (4, 3, 5, 2)),
    "Linear": (lambda m: m.Linear(7, 3), (4, 7)),
    "Linear plain": (lambda m: m.Linear(7, 3, bias=False), (2, 4, 7)),
    "ReLU": (lambda m: m.ReLU(), (3, 4)),
    "Sigmoid": (lambda m: m.Sigmoid(), (3, 4)),
    "Tanh": (lambda m: m.Tanh(), (3, 4)),
    "Softmax": (lambda m: m.Softmax(dim=1), (3, 4)),
    "LogSoftmax": (lambda m: m.LogSoftmax(dim=-1), (3, 4)),
    "Flatten": (lambda m: m.Flatten(), (3, 4, 2)),
    "Flatten dims": (lambda m: m.Flatten(0, 1), (3, 4, 2)),
    "Identity": (lambda m: m.Identity(54, unused=True), (3, 4)),
    "Dropout": (lambda m: m.Dropout(0.0), (3, 4)),
    "Sequential": (
        lambda m: m.Sequential(m.Conv2d(3, 4, 3), m.BatchNorm2d(4), m.ReLU(inplace=True), m.Flatten(), m.Linear(16, 2)),
        (3, 3, 4, 4),
    ),
}


@pytest.mark.parametrize("name", LAYERS)
def test_layer_is_torchs(name):
    """Shapes and names of the state, repr, results in training and evaluation, all gradients, state afterwards."""
    torch = pytest.importorskip("torch")
    make, shape = LAYERS[name]
    theirs = make(torch.nn).double()
    ours = make(nn).double()
    assert repr(ours) == repr(theirs)
    assert list(ours.state_dict()) == list(theirs.state_dict())
    ours.load_state_dict(theirs.state_dict())
    for mode in (True, True, False):
        ours.train(mode)
        theirs.train(mode)
        a = normal(*shape) * 2 + 1
        x, tx = fc.tensor(a).requires_grad_(), torch.tensor(a, requires_grad=True)
        y, ty = ours(x), theirs(tx)
        g = normal(*y.shape)
        y.backward(fc.tensor(g))
        ty.backward(torch.tensor(g))
        assert relative(y.detach(), ty.detach()) < 1e-13
        assert relative(x.grad, tx.grad) < 1e-12
        for (key, p), (_, q) in zip(ours.named_parameters(), theirs.named_parameters(), strict=True):
            # A bias before a batch norm has the gradient 0, but for the rounding.
            difference = np.linalg.norm(np.asarray(p.grad) - np.asarray(q.grad))
            assert difference <= 1e-12 * max(np.linalg.norm(q.grad), 1e-2), key
        for (key, p), (_, q) in zip(ours.state_dict().items(), theirs.state_dict().items(), strict=True):
            assert str(q.dtype) == str(p.dtype) and relative(p, q) < 1e-13, key


CONVOLUTIONS = [
    ((nn.Conv1d, 4, 6, 5), 20),
    ((nn.Conv2d, 4, 6, (3, 5)), 60),
    ((nn.ConvTranspose2d, 4, 6, 3), 54),
    ((nn.Linear, 30, 50), 30),
]


@pytest.mark.parametrize("arguments, fan_in", CONVOLUTIONS)
def test_initial_values(arguments, fan_in):
    kind, *rest = arguments
    fc.manual_seed(0)
    layer = kind(*rest)
    fc.manual_seed(0)
    assert fc.equal(layer.weight, kind(*rest).weight)
    assert not fc.equal(layer.weight, kind(*rest).weight)
    bound = 1 / np.sqrt(fan_in)
    for p in layer.parameters():
        assert p.abs().max().item() <= bound and p.requires_grad and p.dtype == fc.float32
    w = layer.weight.detach().numpy()
    assert w.max() > 0.9 * bound and w.min() < -0.9 * bound  # of some hundred uniform draws
    assert abs(w.std() / (bound / np.sqrt(3)) - 1) < 0.1


def test_constructor_errors():
    for bad, message in (
        (lambda: nn.Conv2d(4, 4, 3, groups=0), "groups must be at least 1, got 0"),
        (lambda: nn.Conv2d(4, 4, 3, groups=-1), "groups must be at least 1, got -1"),
        (lambda: nn.Conv2d(3, 4, 3, groups=2), "in_channels must be divisible by groups, got 3 and 2"),
        (lambda: nn.Conv2d(4, 3, 3, groups=2), "out_channels must be divisible by groups, got 3 and 2"),
        (lambda: nn.Conv2d(4, 3, 3, padding="full"), "'full'"),
        (lambda: nn.Conv2d(4, 3, 3, stride=2, padding="same"), "strided"),
        (lambda: nn.Conv2d(4, 3, 3, stride=(1, 2), padding="same"), "strided"),
        (lambda: nn.Conv2d(4, 3, 3, padding_mode="mirror"), "'mirror'"),
        (lambda: nn.Conv2d(4, 3, (3, 3, 3)), r"kernel_size.*\(3, 3, 3\)"),
        (lambda: nn.Conv1d(4, 3, 3, stride=2, padding="same"), "strided"),
        (lambda: nn.ConvTranspose2d(4, 3, 3, padding_mode="reflect"), "'zeros'"),
        (lambda: nn.ConvTranspose2d(4, 3, 3, padding="same"), "'same'"),
        (lambda: nn.Dropout(1.5), "at most 1, got 1.5"),
        (lambda: nn.Dropout(-0.1), "at least 0, got -0.1"),
        (lambda: F.dropout(fc.ones(2), 2), "at most 1, got 2"),
    ):
        with pytest.raises(ValueError, match=message):
            bad()


def test_call_errors():
    x = fc.ones(1, 2, 4, 4)
    for bad in (
        lambda: F.max_pool2d(x, 2, stride=0),
        lambda: F.max_pool2d(x, 2, padding=-1),
        lambda: F.max_pool2d(x, 2, padding=2),
        lambda: F.max_pool2d(x, 5),
        lambda: F.avg_pool2d(x, 2, divisor_override=0),
        lambda: F.avg_pool2d(x, 3, padding=2),
        lambda: F.conv2d(x, fc.ones(1, 2, 3, 3), stride=0),
        lambda: F.conv2d(x, fc.ones(1, 2, 3, 3), padding="same", stride=2),
        lambda: F.conv2d(x, fc.ones(1, 2, 7, 7)),
        lambda: nn.Conv2d(2, 2, 3, padding=4, padding_mode="reflect")(x),
        lambda: nn.Conv2d(2, 2, 3, padding=5, padding_mode="circular")(x),
    ):
        with pytest.raises((ValueError, RuntimeError)):
            bad()


def test_same_padding_puts_the_odd_pixel_right():
    x = fc.tensor([[[[1.0, 2, 3]]]])
    w = fc.tensor([[[[1.0, 10, 100, 1000]]]])
    assert F.conv2d(x, w, padding="same").tolist() == [[[[3210.0, 321.0, 32.0]]]]


def test_the_textbooks_same_padding_is_replicate():
    layer = nn.Conv2d(1, 1, 3, padding="same", padding_mode="replicate", bias=False)
    nn.init.ones_(layer.weight)
    y = layer(fc.tensor([[[1.0, 2], [3, 4]]]))
    padded = np.pad(np.array([[1.0, 2], [3, 4]]), 1, mode="edge")
    expected = [[padded[i : i + 3, j : j + 3].sum() for j in range(2)] for i in range(2)]
    np.testing.assert_allclose(y.detach()[0].numpy(), expected, rtol=1e-6)


def test_conv_transpose_output_size():
    torch = pytest.importorskip("torch")
    layer, other = nn.ConvTranspose2d(2, 3, 3, stride=3, padding=1), torch.nn.ConvTranspose2d(2, 3, 3, 3, 1)
    layer.load_state_dict(other.state_dict())
    x = fc.randn(2, 2, 4, 5)
    for size in ((10, 13), (12, 14), (2, 3, 11, 15)):
        expected = other(torch.from_numpy(x.numpy()), output_size=size).detach()
        assert relative(layer(x, output_size=size).detach(), expected) < 1e-6
    with pytest.raises(ValueError, match=r"\[13, 13\].*from \[10, 13\] to \[12, 15\].*\[2, 2, 4, 5\]"):
        layer(x, output_size=(13, 13))
    with pytest.raises(ValueError, match="2 or 4 elements"):
        layer(x, output_size=(13, 13, 1))


def test_dropout():
    fc.manual_seed(1)
    x = fc.ones(100, 100, requires_grad=True)
    layer = nn.Dropout(0.25)
    y = layer(x)
    values = set(np.unique(y.detach()).tolist())
    assert values == {0.0, float(np.float32(1 / 0.75))}
    # The share of zeros of 10^4 draws strays by sqrt(0.25 * 0.75 / 10^4) = 0.004.
    assert abs((y == 0).float().mean().item() - 0.25) < 0.02
    y.sum().backward()
    np.testing.assert_array_equal(x.grad, y.detach())
    assert layer.eval()(x) is x
    assert not F.dropout(x, 1.0).detach().numpy().any() and fc.equal(F.dropout(x, 0.0), x)
    h = x * 1
    assert F.dropout(h, 0.5, inplace=True) is h and (h == 0).any()
    fc.manual_seed(1)
    assert fc.equal(nn.Dropout(0.25)(x), y)
    assert type(F.dropout(np.ones(3), 0.5)) is np.ndarray


# ---- batch norm ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("mean, std", [(0, 1), (5, 0.1), (1e4, 1), (1e4, 0.1), (-300, 1e-3)])
def test_batch_norm_far_from_zero(mean, std):
    """tt-metal#45968: the difference of two large sums loses the variance."""
    x = (rng.standard_normal((8, 4, 10, 10)) * std + mean).astype(np.float32)
    exact = x.astype(np.float64)
    m, v = exact.mean((0, 2, 3), keepdims=True), exact.var((0, 2, 3), keepdims=True)
    expected = (exact - m) / np.sqrt(v + 1e-5)
    layer = nn.BatchNorm2d(4, momentum=None)
    t = fc.from_numpy(x).requires_grad_()
    y = layer(t)
    # A few float32 roundings (6e-8) of numbers of order 1; the numbers in x are as exact as float32 holds them.
    assert relative(y.detach(), expected) < 5e-7
    assert relative(layer.running_var, v.ravel() * 800 / 799) < 1e-6
    assert relative(layer.running_mean, m.ravel()) < 1e-6
    g = rng.standard_normal(x.shape)
    y.backward(fc.from_numpy(g.astype(np.float32)))
    z, axes = expected, (0, 2, 3)
    dx = (g - g.mean(axes, keepdims=True) - z * (g * z).mean(axes, keepdims=True)) / np.sqrt(v + 1e-5)
    assert relative(t.grad, dx) < 1e-6


def test_batch_norm_of_a_constant():
    layer = nn.BatchNorm2d(2)
    y = layer(fc.full((3, 2, 4, 4), 1e4, dtype=fc.float32))
    assert y.abs().max().item() == 0 and fc.allclose(layer.running_var, fc.full((2,), 0.9))


def test_batch_norm_errors():
    layer = nn.BatchNorm2d(2)
    with pytest.raises(ValueError, match=r"more than 1 value per channel.*\[1, 2, 1, 1\]"):
        layer(fc.zeros(1, 2, 1, 1))
    assert layer.num_batches_tracked.item() == 0 and layer.running_mean.tolist() == [0, 0]
    assert layer.eval()(fc.zeros(1, 2, 1, 1)).shape == (1, 2, 1, 1)
    with pytest.raises(ValueError, match="expected 4D input"):
        layer(fc.zeros(2, 2))
    with pytest.raises(ValueError, match="expected 2 channels, got 3"):
        layer(fc.zeros(1, 3, 2, 2))
    with pytest.raises(RuntimeError, match="running_mean"):
        F.batch_norm(fc.zeros(2, 2), None, None)
    with pytest.raises(RuntimeError, match="weight should contain 2 elements"):
        F.batch_norm(fc.zeros(2, 2), None, None, fc.ones(3), training=True)
    with pytest.raises(ValueError, match=r"\(N, C, ...\)"):
        F.batch_norm(fc.zeros(2), None, None, training=True)


def test_batch_norm_reset():
    layer = nn.BatchNorm2d(2)
    layer(fc.randn(3, 2, 2, 2) + 5)
    nn.init.zeros_(layer.weight)
    layer.reset_parameters()
    assert layer.running_mean.tolist() == [0, 0] and layer.running_var.tolist() == [1, 1]
    assert layer.weight.tolist() == [1, 1] and layer.num_batches_tracked.item() == 0


def test_batch_norm_on_any_layout():
    x = rng.standard_normal((2, 5, 6, 3)).astype(np.float32).transpose(0, 3, 1, 2)
    g = rng.standard_normal((2, 3, 6, 5)).astype(np.float32).transpose(0, 1, 3, 2)
    results = []
    for layout in (lambda a: a, np.ascontiguousarray):
        t = fc.from_numpy(layout(x)).requires_grad_()
        y = F.batch_norm(t, None, None, training=True)
        y.backward(fc.from_numpy(layout(g)))
        results.append((y.detach().numpy(), t.grad.numpy()))
    for a, b in zip(*results, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6)


# ---- empty batches -------------------------------------------------------------------------------------------------


def test_empty_batch():
    net = nn.Sequential(
        *(nn.Conv2d(3, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.ConvTranspose2d(4, 2, 2)),
        *(nn.AvgPool2d(2), nn.AdaptiveAvgPool2d(2), nn.Dropout(), nn.Flatten(), nn.Linear(8, 3)),
    )
    with np.errstate(all="raise"):
        y = net(fc.zeros(0, 3, 8, 8))
        assert y.shape == (0, 3)
        y.sum().backward()
    for name, p in net.named_parameters():
        assert p.grad is not None and not p.grad.numpy().any(), name
    assert net[1].running_var.tolist() == [1] * 4


# ---- Module --------------------------------------------------------------------------------------------------------


class Net(nn.Module):
    def __init__(self):
        super().__init__()
        self.conv = nn.Conv2d(1, 2, 3)
        self.scale = nn.Parameter(fc.ones(2, 1, 1))
        self.register_buffer("count", fc.tensor(0))
        self.register_buffer("scratch", fc.zeros(2), persistent=False)
        self.blocks = nn.ModuleList([nn.Linear(2, 2), nn.Sequential(nn.Linear(2, 2), nn.ReLU())])
        self.norm = nn.BatchNorm2d(2)
        self.title = "net"

    def forward(self, x):
        x = self.norm(self.conv(x) * self.scale).mean((2, 3))
        for block in self.blocks:
            x = block(x)
        return x


NAMES = [
    *("scale", "conv.weight", "conv.bias", "blocks.0.weight", "blocks.0.bias"),
    *("blocks.1.0.weight", "blocks.1.0.bias", "norm.weight", "norm.bias"),
]


def test_members():
    net = Net()
    assert [name for name, _ in net.named_parameters()] == NAMES
    assert len(list(net.parameters())) == 9 and len(list(net.parameters(recurse=False))) == 1
    assert [name for name, _ in net.named_buffers()] == [
        *("count", "scratch", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked"),
    ]
    assert len(list(net.buffers())) == 5
    assert [name for name, _ in net.named_children()] == ["conv", "blocks", "norm"]
    assert len(list(net.children())) == 3
    assert [name for name, _ in net.named_modules()] == [
        *("", "conv", "blocks", "blocks.0", "blocks.1", "blocks.1.0", "blocks.1.1", "norm"),
    ]
    assert len(list(net.modules())) == 8
    twice = nn.Sequential(net.blocks[0], net.norm, net.norm)
    assert [name for name, _ in twice.named_modules(remove_duplicate=False)] == ["", "0", "1", "2"]
    assert [name for name, _ in twice.named_buffers(remove_duplicate=False)] == [
        f"{place}.{name}" for place in "12" for name in ("running_mean", "running_var", "num_batches_tracked")
    ]
    assert [name for name, _ in twice.named_parameters("a", remove_duplicate=False)][-2:] == ["a.2.weight", "a.2.bias"]
    assert len(list(twice.named_parameters())) == len(list(twice.named_parameters(remove_duplicate=False))) - 2
    assert net.get_submodule("blocks.1.0") is net.blocks[1][0] and net.get_submodule("") is net
    with pytest.raises(AttributeError, match="no submodule 'x'"):
        net.get_submodule("blocks.x")
    assert net.get_parameter("conv.weight") is net.conv.weight and net.get_buffer("count") is net.count
    with pytest.raises(AttributeError, match="BatchNorm2d has no buffer 'weight'"):
        net.get_buffer("norm.weight")
    assert set(net.state_dict()) == {
        *(*NAMES, "count", "norm.running_mean", "norm.running_var", "norm.num_batches_tracked")
    }
    assert {"conv", "scale", "count", "title"} <= set(dir(net))
    with pytest.raises(AttributeError, match="'Net' object has no attribute 'nothing'"):
        net.nothing


def test_shared_modules_count_once():
    net = nn.Module()
    net.a = net.b = nn.Linear(2, 2)
    assert len(list(net.parameters())) == 2 and len(list(net.children())) == 1
    assert list(net.state_dict()) == ["a.weight", "a.bias", "b.weight", "b.bias"]


def test_attributes():
    net = Net()
    old = net.scale
    net.scale = nn.Parameter(fc.zeros(2, 1, 1))
    assert next(iter(net._parameters)) == "scale" and net.scale is not old
    with pytest.raises(TypeError, match="Tensor as 'scale'"):
        net.scale = fc.zeros(2)
    with pytest.raises(TypeError, match="int as 'conv'"):
        net.conv = 3
    with pytest.raises(TypeError, match="int as 'count'"):
        net.count = 3
    net.count = fc.tensor(5)
    assert dict(net.named_buffers())["count"].item() == 5
    net.conv = None
    assert net.conv is None and "conv.weight" not in net.state_dict()
    net.title = nn.Linear(1, 1)
    assert "title" in net._modules and "title" not in net.__dict__
    net.title = nn.Parameter(fc.ones(1))
    assert "title" in net._parameters and "title" not in net._modules
    del net.title, net.norm, net.count
    assert not hasattr(net, "title") and "norm" not in net._modules and "count" not in net._buffers
    with pytest.raises(AttributeError):
        del net.title
    for bad, error in (
        (lambda: net.register_parameter("a.b", None), KeyError),
        (lambda: net.register_parameter("", None), KeyError),
        (lambda: net.register_parameter("forward", None), KeyError),
        (lambda: net.register_parameter("x", fc.ones(1)), TypeError),
        (lambda: net.register_buffer("x", 3), TypeError),
        (lambda: net.add_module("x", 3), TypeError),
        (lambda: nn.Parameter([1.0]), TypeError),
        (lambda: nn.Parameter(fc.arange(3)), RuntimeError),
    ):
        with pytest.raises(error):
            bad()
    p = nn.Parameter(fc.ones(1))
    p._node = (p * 2)._node
    with pytest.raises(ValueError, match="leaf"):
        net.register_parameter("x", p)

    class Careless(nn.Module):
        def __init__(self):
            self.layer = nn.Linear(1, 1)

    with pytest.raises(AttributeError, match=r"super\(\).__init__\(\)"):
        Careless()
    with pytest.raises(NotImplementedError, match="Module does not define forward"):
        nn.Module()(1)


def test_parameter():
    data = fc.ones(2)
    p = nn.Parameter(data)
    assert p.requires_grad and p.is_leaf and isinstance(p, fc.Tensor)
    assert np.shares_memory(p.detach().numpy(), data.numpy())
    assert not nn.Parameter(data, requires_grad=False).requires_grad
    assert repr(p) == "Parameter containing:\ntensor([1., 1.], requires_grad=True)"
    assert type(p * 2) is fc.Tensor and type(p.detach()) is fc.Tensor
    assert nn.Parameter().shape == (0,)
    for q in (copy.deepcopy(p), pickle.loads(pickle.dumps(p))):
        assert type(q) is nn.Parameter and fc.equal(p, q) and q.requires_grad
    with fc.no_grad():
        p += 1
    assert type(p) is nn.Parameter and data.tolist() == [2, 2]


def test_modes():
    net = Net()
    assert net.training and net.eval() is net and not any(m.training for m in net.modules())
    assert net.train() is net and all(m.training for m in net.modules())
    with pytest.raises(ValueError, match="boolean, got 1"):
        net.train(1)
    net.requires_grad_(False)
    assert not any(p.requires_grad for p in net.parameters())
    assert not net.requires_grad_()(fc.randn(2, 1, 5, 5)).is_leaf
    net(fc.randn(2, 1, 5, 5)).sum().backward()
    assert all(p.grad is not None for p in net.parameters())
    net.zero_grad(set_to_none=False)
    assert all(not p.grad.numpy().any() for p in net.parameters())
    net.zero_grad()
    assert all(p.grad is None for p in net.parameters())
    seen = []
    assert net.apply(lambda m: seen.append(type(m).__name__)) is net
    assert seen == ["Conv2d", "Linear", "Linear", "ReLU", "Sequential", "ModuleList", "BatchNorm2d", "Net"]


def test_conversion():
    net = Net()
    p = net.conv.weight
    p.grad = fc.zeros_like(p)
    assert net.double() is net and net.conv.weight is p and p.dtype == p.grad.dtype == fc.float64
    assert net.norm.running_mean.dtype == fc.float64 and net.count.dtype == fc.int64
    assert net(fc.randn(2, 1, 5, 5, dtype=fc.float64)).dtype == fc.float64
    assert net.float().conv.weight.dtype == fc.float32 and net.to("cpu") is net and net.cpu() is net
    assert net.to(dtype=fc.float64).scale.dtype == fc.float64 and p.requires_grad and p.is_leaf


def test_state_dict_round_trip():
    a, b = Net(), Net()
    a(fc.randn(3, 1, 5, 5))
    state = a.state_dict()
    assert all(not t.requires_grad and type(t) is fc.Tensor for t in state.values())
    result = b.load_state_dict(state)
    assert result.missing_keys == [] and result.unexpected_keys == []
    for name, t in b.state_dict().items():
        assert fc.equal(t, state[name]) and not np.shares_memory(t.numpy(), state[name].numpy()), name
    b.load_state_dict({name: t.numpy().astype(t.dtype if t.dtype.kind == "i" else float) for name, t in state.items()})
    assert b.scale.dtype == fc.float32
    x = fc.randn(3, 1, 5, 5)
    assert fc.equal(a.eval()(x), b.eval()(x))


def test_load_state_dict_lists_everything_wrong():
    net = Net()
    before = {name: t.clone() for name, t in net.state_dict().items()}
    state = {name: t + 1 for name, t in net.state_dict().items()}
    del state["conv.bias"], state["scale"]
    state["extra"] = fc.ones(1)
    state["blocks.0.weight"] = fc.ones(3, 2)
    state["blocks.0.bias"] = fc.ones(1)
    with pytest.raises(RuntimeError) as error:
        net.load_state_dict(state)
    text = str(error.value)
    for part in (
        "loading state_dict for Net",
        'Missing key(s) in state_dict: "scale", "conv.bias".',
        'Unexpected key(s) in state_dict: "extra".',
        "size mismatch for blocks.0.weight: copying a param with shape [3, 2] from checkpoint, the shape in current "
        "model is [2, 2].",
        "size mismatch for blocks.0.bias: copying a param with shape [1] from checkpoint, the shape in current "
        "model is [2].",
    ):
        assert part in text
    with pytest.raises(RuntimeError, match="size mismatch"):
        net.load_state_dict(state, strict=False)
    for name, t in net.state_dict().items():
        assert fc.equal(t, before[name])
    del state["blocks.0.weight"], state["blocks.0.bias"]
    result = net.load_state_dict(state, strict=False)
    assert result.missing_keys == ["scale", "conv.bias", "blocks.0.weight", "blocks.0.bias"]
    assert result.unexpected_keys == ["extra"]
    assert fc.equal(net.conv.weight, before["conv.weight"] + 1) and fc.equal(net.scale, before["scale"])
    with pytest.raises(TypeError, match="list"):
        net.load_state_dict([1, 2])
    # Files of half precision hold even counts so.
    net.load_state_dict({"count": fc.tensor(7.0).half()}, strict=False)
    assert net.count.dtype == fc.int64 and net.count == 7


def test_deepcopy_and_pickle_after_forward():
    """lightning#7379: a layer that keeps what forward() computed cannot be copied."""
    net = Net()
    x = fc.randn(3, 1, 5, 5)
    y = net(x)
    for twin in (copy.deepcopy(net), pickle.loads(pickle.dumps(net))):
        assert fc.equal(twin(x).detach(), y.detach())
        assert not {id(p) for p in twin.parameters()} & {id(p) for p in net.parameters()}
        nn.init.zeros_(twin.scale)
        assert net.scale.detach().numpy().any()
    y.sum().backward()
    assert copy.deepcopy(net).scale.grad.tolist() == net.scale.grad.tolist()


def test_repr():
    text = repr(Net())
    assert text.startswith("Net(\n  (conv): Conv2d(1, 2, kernel_size=(3, 3), stride=(1, 1))\n  (blocks): ModuleList(\n")
    assert repr(nn.Module()) == "Module()"
    torch = pytest.importorskip("torch")

    def nested(m):
        return m.Sequential(m.Conv2d(1, 2, 3), m.Sequential(m.ReLU(), m.Dropout(0.2)))

    assert repr(nested(nn)) == repr(nested(torch.nn))


def test_sequential():
    a, b, c = nn.Linear(2, 3), nn.ReLU(), nn.Linear(3, 1)
    net = nn.Sequential(a, b)
    assert net.append(c) is net and len(net) == 3 and net[0] is a and net[-1] is c and list(net) == [a, b, c]
    assert isinstance(net[:2], nn.Sequential) and list(net[:2]) == [a, b]
    x = fc.randn(4, 2)
    assert fc.equal(net(x), c(b(a(x))))
    net[1] = nn.Tanh()
    assert isinstance(net[1], nn.Tanh) and list(net._modules) == ["0", "1", "2"]
    del net[1]
    assert list(net) == [a, c] and list(net._modules) == ["0", "1"]
    net.insert(1, b).extend([nn.Identity()])
    assert list(net)[:3] == [a, b, c] and len(net) == 4
    for bad in (4, -5):
        with pytest.raises(IndexError, match=f"{bad} is out of range for 4"):
            net[bad]
    named = nn.Sequential(collections.OrderedDict([("first", a), ("last", c)]))
    assert list(named.state_dict()) == ["first.weight", "first.bias", "last.weight", "last.bias"]
    assert named.first is a and list(named[1:]._modules) == ["last"]


def test_module_list():
    layers = nn.ModuleList(nn.Linear(2, 2) for _ in range(3))
    assert len(layers) == 3 and list(layers.state_dict())[-1] == "2.bias" and isinstance(layers[1:], nn.ModuleList)
    layers.append(nn.ReLU()).extend([nn.Tanh()])
    assert len(layers) == 5 and len(nn.ModuleList()) == 0
    with pytest.raises(TypeError):
        layers.append(3)
    with pytest.raises(NotImplementedError):
        layers(1)


# ---- init, utils ---------------------------------------------------------------------------------------------------


def test_init():
    torch = pytest.importorskip("torch")
    for name, param in (("linear", None), ("tanh", None), ("relu", None), ("leaky_relu", 0.2), ("leaky_relu", None)):
        assert nn.init.calculate_gain(name, param) == torch.nn.init.calculate_gain(name, param)
    with pytest.raises(ValueError, match="'nothing'"):
        nn.init.calculate_gain("nothing")
    shape = (60, 40, 3, 3)
    for name, kwargs in (
        ("kaiming_uniform_", {"a": 0.3}),
        ("kaiming_uniform_", {"mode": "fan_out", "nonlinearity": "relu"}),
        ("kaiming_normal_", {}),
        ("kaiming_normal_", {"mode": "fan_out", "nonlinearity": "tanh"}),
        ("xavier_uniform_", {"gain": 2.0}),
        ("xavier_normal_", {}),
        ("uniform_", {"a": -1, "b": 3}),
        ("normal_", {"mean": 2, "std": 0.5}),
    ):
        x, t = nn.Parameter(fc.empty(shape)), torch.empty(shape)
        assert getattr(nn.init, name)(x, **kwargs) is x
        getattr(torch.nn.init, name)(t, **kwargs)
        ours = x.detach().numpy()
        # Of 21600 draws a standard deviation strays by 0.5 %, a mean by 0.7 % of one: six times what two differ by.
        assert abs(ours.std() / t.std().item() - 1) < 0.04 and abs(ours.mean() - t.mean().item()) < 0.06 * ours.std()
        assert abs(ours.max() / t.max().item() - 1) < 0.3
    assert nn.init.constant_(fc.empty(2), 3).tolist() == [3, 3] and nn.init.ones_(fc.empty(1)).item() == 1
    draws = [nn.init.uniform_(fc.empty(9), generator=fc.Generator().manual_seed(4)) for _ in range(2)]
    assert fc.equal(*draws)
    with pytest.raises(ValueError, match=r"at least 2 dimensions, got shape \[3\]"):
        nn.init.kaiming_uniform_(fc.empty(3))
    with pytest.raises(ValueError, match="'fan_up'"):
        nn.init.kaiming_uniform_(fc.empty(3, 2), mode="fan_up")
    nn.init.kaiming_uniform_(fc.empty(3, 0))


@pytest.mark.parametrize("norm_type", [2.0, 1.0, float("inf")])
@pytest.mark.parametrize("max_norm", [0.5, 1e3])
def test_clip_grad_norm(norm_type, max_norm):
    torch = pytest.importorskip("torch")
    ours, theirs = [], []
    for shape in ((3, 4), (5,), (2, 2, 2)):
        g = normal(*shape)
        p, q = fc.zeros(shape, dtype=fc.float64), torch.zeros(shape, dtype=torch.float64)
        p.grad, q.grad = fc.tensor(g), torch.tensor(g)
        ours.append(p)
        theirs.append(q)
    total = nn.utils.clip_grad_norm_([*ours, fc.zeros(1)], max_norm, norm_type)
    assert relative(total, torch.nn.utils.clip_grad_norm_(theirs, max_norm, norm_type)) < 1e-14
    for p, q in zip(ours, theirs, strict=True):
        assert relative(p.grad, q.grad) < 1e-14


def test_clip_grad_norm_of_nothing_and_of_nan():
    assert nn.utils.clip_grad_norm_(fc.zeros(1), 1.0).item() == 0
    p = fc.zeros(2)
    p.grad = fc.tensor([1.0, float("nan")])
    with pytest.raises(RuntimeError, match="is nan"):
        nn.utils.clip_grad_norm_(p, 1.0, error_if_nonfinite=True)
    assert np.isnan(nn.utils.clip_grad_norm_([p], 1.0).item())


def test_vectors_of_parameters():
    net = nn.Linear(2, 3)
    v = nn.utils.parameters_to_vector(net.parameters())
    assert v.shape == (9,) and v.requires_grad
    nn.utils.vector_to_parameters(fc.arange(9).float(), net.parameters())
    assert net.weight.tolist() == [[0, 1], [2, 3], [4, 5]] and net.bias.tolist() == [6, 7, 8]
    with pytest.raises(ValueError, match=r"9 elements.*\[8\]"):
        nn.utils.vector_to_parameters(fc.zeros(8), net.parameters())


def test_elementwise_results_do_not_share_memory():
    x, dy = rng.standard_normal((2, 3, 8, 8)), rng.standard_normal((2, 3, 8, 8))
    y = elementwise.relu(x)
    dx = elementwise.relu_backward(dy, y)
    assert not np.shares_memory(x, y) and not np.shares_memory(dx, dy)
    strided = x.transpose(0, 2, 3, 1)
    assert elementwise.relu(strided).strides == strided.strides


def test_modules_change_their_dtype_as_torchs():
    torch = pytest.importorskip("torch")
    for convert in (
        lambda lib, net: net.bfloat16(),
        lambda lib, net: net.half(),
        lambda lib, net: net.type(lib.float64),
        lambda lib, net: net.type("torch.DoubleTensor"),
    ):
        dtypes = []
        for lib in (fc, torch):
            net = lib.nn.Sequential(lib.nn.Conv2d(1, 2, 3), lib.nn.BatchNorm2d(2))
            assert convert(lib, net) is net
            dtypes.append({name: str(t.dtype).split(".")[-1] for name, t in net.state_dict().items()})
        assert dtypes[0] == dtypes[1]
