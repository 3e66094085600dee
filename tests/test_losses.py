"""Losses against torch, and against their definitions in float64."""

import itertools

import numpy as np
import pytest
from gradcheck import check_vjp, relative

import fastconv as fc
import fastconv.nn as nn
import fastconv.nn.functional as F

rng = np.random.default_rng(21)

SHAPES = [(7, 5), (5,), (3, 5, 4), (2, 5, 3, 2)]


def logits(shape):
    return rng.standard_normal(shape) * 3


def classes(shape, n=5):
    return rng.integers(0, n, shape[:1] + shape[2:] if len(shape) > 1 else ())


OPTIONS = list(
    itertools.product(("mean", "sum", "none"), (0.0, 0.3, 1.0), (None, [0.5, 2.0, 0.0, 1.0, 3.0]), (-100, 2, 255))
)


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction, smoothing, weight, ignore", OPTIONS)
def test_cross_entropy_of_classes_is_torchs(shape, reduction, smoothing, weight, ignore):
    torch = pytest.importorskip("torch")
    x, t = logits(shape), classes(shape)
    if t.ndim and ignore == 255:
        t.flat[::3] = 255
    if not t.ndim and ignore == 2:
        t[...] = 1
    make = {"reduction": reduction, "label_smoothing": smoothing, "ignore_index": ignore}
    ours = nn.CrossEntropyLoss(weight=None if weight is None else fc.tensor(weight).double(), **make)
    theirs = torch.nn.CrossEntropyLoss(weight=None if weight is None else torch.tensor(weight).double(), **make)
    a, b = fc.tensor(x).requires_grad_(), torch.tensor(x, requires_grad=True)
    y, expected = ours(a, fc.from_numpy(t)), theirs(b, torch.from_numpy(np.asarray(t)))
    g = rng.standard_normal(y.shape)
    y.backward(fc.tensor(g))
    expected.backward(torch.tensor(g))
    # Both in float64, over sums of up to 35 terms.
    assert relative(y.detach(), expected.detach()) < 1e-13
    assert relative(a.grad, b.grad) < 1e-13


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.3])
@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 0.0, 1.0, 3.0]])
def test_cross_entropy_of_probabilities_is_torchs(shape, reduction, smoothing, weight):
    torch = pytest.importorskip("torch")
    x, t = logits(shape), np.abs(logits(shape))
    make = {"reduction": reduction, "label_smoothing": smoothing}
    ours = nn.CrossEntropyLoss(weight=None if weight is None else fc.tensor(weight).double(), **make)
    theirs = torch.nn.CrossEntropyLoss(weight=None if weight is None else torch.tensor(weight).double(), **make)
    a, s = fc.tensor(x).requires_grad_(), fc.tensor(t).requires_grad_()
    b, u = torch.tensor(x, requires_grad=True), torch.tensor(t, requires_grad=True)
    y, expected = ours(a, s), theirs(b, u)
    g = rng.standard_normal(y.shape)
    y.backward(fc.tensor(g))
    expected.backward(torch.tensor(g))
    assert relative(y.detach(), expected.detach()) < 1e-13
    assert relative(a.grad, b.grad) < 1e-13 and relative(s.grad, u.grad) < 1e-13


@pytest.mark.parametrize("reduction, smoothing, weight, ignore", OPTIONS)
def test_cross_entropy_gradient(reduction, smoothing, weight, ignore):
    t = fc.from_numpy(classes((6, 5)))
    w = None if weight is None else fc.tensor(weight).double()
    check_vjp(
        lambda x: F.cross_entropy(x, t, w, ignore_index=ignore, reduction=reduction, label_smoothing=smoothing),
        logits((6, 5)),
    )


def test_cross_entropy_by_its_definition():
    x, t = logits((7, 5)), classes((7, 5))
    p = np.exp(x) / np.exp(x).sum(1, keepdims=True)
    loss = F.cross_entropy(x, t)
    assert type(loss) is np.ndarray and loss.shape == ()
    np.testing.assert_allclose(loss, -np.log(p[np.arange(7), t]).mean(), rtol=1e-13)
    assert type(F.cross_entropy(x, p, reduction="none")) is np.ndarray
    np.testing.assert_allclose(F.cross_entropy(x, p, reduction="none"), -(p * np.log(p)).sum(1), rtol=1e-13)
    y = fc.tensor(x).requires_grad_()
    F.cross_entropy(y, fc.from_numpy(t)).backward()
    np.testing.assert_allclose(y.grad, (p - np.eye(5)[t]) / 7, rtol=1e-12, atol=1e-16)


def test_cross_entropy_of_large_logits():
    x = fc.tensor([[1000.0, 0.0, -1000.0], [-1e4, 1e4, 0.0]], requires_grad=True)
    with np.errstate(over="raise", invalid="raise", divide="raise"):
        loss = F.cross_entropy(x, fc.tensor([2, 1]), reduction="none")
        loss.sum().backward()
    assert loss.tolist() == [2000, 0] and x.grad.tolist() == [[1, 0, -1], [0, 0, 0]]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("n", [1, 2, 7, 8, 15, 16, 17, 33, 1000])
def test_cross_entropy_of_any_number_of_classes(isa, dtype, n):
    x = (rng.standard_normal((4, n)) * 9).astype(dtype)
    x[1, 0], t = -np.inf, rng.integers(0, n, 4)
    x[2, 0] = 200  # beside which all others vanish
    t[1:3] = n - 1, 0
    wide = x.astype(np.longdouble)
    p = np.exp(wide - wide.max(axis=1, keepdims=True))
    p /= p.sum(axis=1, keepdims=True)
    rows = np.arange(4)
    with np.errstate(divide="ignore"):
        expected = -np.log(p[rows, t]).mean()
    p[rows, t] -= 1
    tensor = fc.from_numpy(x).requires_grad_()
    loss = F.cross_entropy(tensor, fc.from_numpy(t))
    loss.backward(retain_graph=True)
    # A few units in the last place, of the result or of the largest gradient.
    tolerance = 8 * np.finfo(dtype).eps
    if n > 1:
        np.testing.assert_allclose(float(loss), float(expected), rtol=tolerance, atol=tolerance)
        np.testing.assert_allclose(tensor.grad.numpy(), (p / 4).astype(np.float64), rtol=tolerance, atol=tolerance)
    once = tensor.grad.numpy().copy()
    loss.backward()
    np.testing.assert_array_equal(tensor.grad.numpy(), once + once)


def test_cross_entropy_of_what_is_not_a_number():
    x = fc.zeros(3, 4)
    x[1, 2] = np.nan
    x.requires_grad_()
    F.cross_entropy(x, fc.tensor([0, 1, 2])).backward()
    assert np.isnan(x.grad.numpy()).all(axis=1).tolist() == [False, True, False]


def test_label_out_of_range():
    """pytorch#39769: a label equal to the number of classes was accepted."""
    x = fc.randn(4, 3)
    for wrong in (3, -1, 255, -100 - 1, 2**40):
        with pytest.raises(IndexError, match=rf"Target {wrong} is out of bounds.*0 to 2.*\[4, 3\]"):
            F.cross_entropy(x, fc.tensor([0, wrong, 1, 2]))


def test_any_ignore_index():
    """pytorch#15508: an ignore_index outside the classes was refused."""
    x = fc.randn(4, 3, requires_grad=True)
    loss = F.cross_entropy(x, fc.tensor([0, 255, 1, 2]), ignore_index=255)
    loss.backward()
    assert not x.grad[1].numpy().any() and x.grad[0].numpy().any()
    kept = F.cross_entropy(x[fc.tensor([0, 2, 3])], fc.tensor([0, 1, 2]))
    assert abs(loss.item() - kept.item()) < 1e-6
    # A class that is ignored may be a real one, too.
    assert F.cross_entropy(x, fc.tensor([0, 0, 1, 1]), ignore_index=1, reduction="none")[2:].tolist() == [0, 0]
    labels = fc.tensor([255] * 4)
    assert np.isnan(F.cross_entropy(x, labels, ignore_index=255).item())
    assert F.cross_entropy(x, labels, ignore_index=255, reduction="sum").item() == 0
    assert labels.tolist() == [255] * 4


@pytest.mark.parametrize("dtype", ["uint8", "int8", "int16", "int32", "int64"])
def test_labels_of_any_integer_dtype(dtype):
    x, t = logits((4, 5)), np.array([0, 4, 2, 1], dtype)
    np.testing.assert_array_equal(F.cross_entropy(x, t), F.cross_entropy(x, t.astype(np.int64)))


def test_cross_entropy_errors():
    x, t = fc.randn(4, 3), fc.tensor([0, 1, 2, 0])
    for bad, error, message in (
        (lambda: F.cross_entropy(x, t[:3]), ValueError, r"size \[4\] for input of size \[4, 3\], got size \[3\]"),
        (lambda: F.cross_entropy(x, t[:, None]), ValueError, r"got size \[4, 1\]"),
        (lambda: F.cross_entropy(x, t.float()), ValueError, r"size \[4, 3\].*\[4\] of torch\.float32.*long\(\)"),
        (lambda: F.cross_entropy(x.long(), t), TypeError, "int64"),
        (lambda: F.cross_entropy(x, [0, 1, 2, 0]), TypeError, "list"),
        (lambda: F.cross_entropy(x, t, fc.ones(4)), RuntimeError, r"\[3\].*got size \[4\]"),
        (lambda: F.cross_entropy(x, t, fc.ones(3).double()), TypeError, "float64"),
        (lambda: F.cross_entropy(x, t, reduction="avg"), ValueError, "'avg'"),
        (lambda: F.cross_entropy(x, t, label_smoothing=1.5), RuntimeError, "1.5"),
        (lambda: F.cross_entropy(fc.tensor(1.0), fc.tensor(0)), ValueError, "without dimensions"),
        (lambda: nn.CrossEntropyLoss(reduction="avg"), ValueError, "'avg'"),
        (lambda: nn.MSELoss(reduction="avg"), ValueError, "'avg'"),
    ):
        with pytest.raises(error, match=message):
            bad()


def test_cross_entropy_of_an_empty_batch():
    x = fc.zeros(0, 3, requires_grad=True)
    loss = F.cross_entropy(x, fc.zeros(0, dtype=fc.int64), reduction="sum")
    loss.backward()
    assert loss.item() == 0 and x.grad.shape == (0, 3)
    assert np.isnan(F.cross_entropy(x, fc.zeros(0, dtype=fc.int64)).item())


def test_the_weight_is_a_buffer():
    loss = nn.CrossEntropyLoss(weight=fc.ones(3))
    assert list(loss.state_dict()) == ["weight"] and not list(loss.parameters())
    assert loss.double().weight.dtype == fc.float64
    assert list(nn.CrossEntropyLoss().state_dict()) == []


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
def test_mse_is_torchs(reduction):
    torch = pytest.importorskip("torch")
    x, t = logits((4, 3, 2)), logits((4, 3, 2))
    a, s = fc.tensor(x).requires_grad_(), fc.tensor(t).requires_grad_()
    b, u = torch.tensor(x, requires_grad=True), torch.tensor(t, requires_grad=True)
    y, expected = nn.MSELoss(reduction=reduction)(a, s), torch.nn.MSELoss(reduction=reduction)(b, u)
    g = rng.standard_normal(y.shape)
    y.backward(fc.tensor(g))
    expected.backward(torch.tensor(g))
    assert relative(y.detach(), expected.detach()) < 1e-14
    assert relative(a.grad, b.grad) < 1e-14 and relative(s.grad, u.grad) < 1e-14


def test_mse_gradient():
    for reduction in ("mean", "sum", "none"):
        check_vjp(
            lambda x, t, reduction=reduction: F.mse_loss(x, t, reduction=reduction), logits((4, 3)), logits((4, 3))
        )


def test_mse_does_not_broadcast():
    with pytest.raises(ValueError, match=r"input's size \[4, 3\], got size \[3\]"):
        F.mse_loss(fc.zeros(4, 3), fc.zeros(3))
    with pytest.raises(ValueError, match=r"\[4, 1\], got size \[4\]"):
        nn.MSELoss()(fc.zeros(4, 1), fc.zeros(4))
    with pytest.raises(TypeError, match="float64"):
        F.mse_loss(fc.zeros(3), fc.zeros(3).double())
    with pytest.raises(TypeError, match="int64"):
        F.mse_loss(fc.zeros(3), fc.zeros(3).long())
    a = np.array([1.0, 3.0])
    assert type(F.mse_loss(a, a)) is np.ndarray and F.mse_loss(a, np.zeros(2)) == 5


@pytest.mark.parametrize("options", [{}, {"weight": [1.0, 2.0, 0.5]}, {"ignore_index": 1}, {"label_smoothing": 0.1}])
@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("shape", [(4, 3), (2, 3, 4, 5), (3,)])
def test_the_gradient_of_cross_entropy_is_of_the_inputs_dtype(shape, reduction, options):
    """A layer before it, which gets that gradient, takes no other."""
    x, seen = fc.randn(*shape).requires_grad_(), []
    scores = x * 1
    scores.register_hook(lambda gradient: seen.append(gradient.dtype))
    target = fc.randint(0, 3, shape[:1] + shape[2:] if len(shape) > 1 else ())
    options = {key: fc.tensor(value) if key == "weight" else value for key, value in options.items()}
    loss = F.cross_entropy(scores, target, reduction=reduction, **options)
    assert loss.dtype == fc.float32
    loss.sum().backward()
    assert seen == [fc.float32]


@pytest.mark.parametrize(
    "call",
    [
        lambda: F.l1_loss(fc.ones(2), fc.ones(2), size_average=True),
        lambda: F.binary_cross_entropy(fc.ones(2), fc.ones(2), reduce=True),
        lambda: F.margin_ranking_loss(fc.ones(2), fc.ones(2), fc.ones(2), reduce=False),
        lambda: F.cross_entropy(fc.ones(2, 3), fc.tensor([0, 1]), size_average=False),
        lambda: F.kl_div(fc.ones(2), fc.ones(2)),
        lambda: nn.KLDivLoss()(fc.ones(2), fc.ones(2)),
        lambda: nn.L1Loss()(fc.ones(2), fc.ones(1)),
        lambda: nn.MSELoss(size_average=True),
        lambda: F.affine_grid(fc.ones(1, 2, 3), (1, 1, 2, 2)),
        lambda: F.grid_sample(fc.ones(1, 1, 2, 2), fc.ones(1, 2, 2, 2)),
    ],
)
def test_warnings_name_the_line_that_called(call):
    with pytest.warns(UserWarning) as found:
        call()
    assert [warning.filename for warning in found] == [__file__]
