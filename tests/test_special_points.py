"""Gradients where they are easily wrong: zeros, infinities, NaN, ties, nothing, one element; as torch's."""

import numpy as np
import pytest

import fastconv

torch = pytest.importorskip("torch")
pytestmark = pytest.mark.filterwarnings("ignore")

SPECIAL = [0.0, -0.0, np.inf, -np.inf, np.nan, 1.0, 1.0, -1.0, 0.5, -2.5]
POINTS = {
    "special": np.array(SPECIAL),
    "zeros": np.zeros(4),
    "ties": np.array([[2.0, 2.0, 1.0], [-1.0, -1.0, -1.0]]),
    "empty": np.zeros((0, 3)),
    "scalar": np.array(0.7),
    "scalar zero": np.array(0.0),
    "one": np.array([[-0.3]]),
    "backwards": np.linspace(-2, 2, 12).reshape(3, 4)[::-1, ::-2],
    "turned": np.linspace(-2, 2, 12).reshape(3, 4).T,
}
F = {fastconv: fastconv.nn.functional, torch: torch.nn.functional}

UNARY = {
    "neg": lambda t, x: -x,
    "abs": lambda t, x: x.abs(),
    "exp": lambda t, x: x.exp(),
    "log": lambda t, x: x.log(),
    "sqrt": lambda t, x: x.sqrt(),
    "tanh": lambda t, x: x.tanh(),
    "sigmoid": lambda t, x: x.sigmoid(),
    "relu": lambda t, x: x.relu(),
    "square": lambda t, x: x**2,
    "cube": lambda t, x: x**3,
    "power 0": lambda t, x: x**0,
    "power -1": lambda t, x: x**-1,
    "power .5": lambda t, x: x.abs() ** 0.5,
    "power of 2": lambda t, x: 2**x,
    "clamp": lambda t, x: x.clamp(-1, 1),
    "clamp min, then sqrt": lambda t, x: (x + 0.0).clamp(min=0).sqrt(),
    "clamp max": lambda t, x: x.clamp(max=1),
    "where": lambda t, x: t.where(x > 0, x.log(), x),
    "sum": lambda t, x: x.sum(),
    "sum 0": lambda t, x: x.sum(0),
    "mean": lambda t, x: x.mean(),
    "mean -1": lambda t, x: x.mean(-1, keepdim=True),
    "var": lambda t, x: x.var(),
    "std": lambda t, x: x.std(),
    "std 0": lambda t, x: x.std(0, unbiased=False),
    "max": lambda t, x: x.max(),
    "min": lambda t, x: x.min(),
    "max 0": lambda t, x: x.max(0).values,
    "norm": lambda t, x: x.norm(),
    "norm 1": lambda t, x: x.norm(1),
    "norm .5": lambda t, x: x.norm(0.5),
    "norm 1.5": lambda t, x: x.norm(1.5),
    "norm 3": lambda t, x: x.norm(3),
    "norm inf": lambda t, x: x.norm(float("inf")),
    "norm -1": lambda t, x: x.norm(2, -1),
    "remainder": lambda t, x: x % 0.75,
    "floor division": lambda t, x: (x // 2) + x,
    "softmax": lambda t, x: x.softmax(-1),
    "log_softmax": lambda t, x: x.log_softmax(0),
    "reshape": lambda t, x: x.reshape(-1),
    "repeated index": lambda t, x: x.reshape(-1)[t.tensor([0, 0])] if x.numel() else x,
    "expand": lambda t, x: x.expand(2, *x.shape),
    "mse": lambda t, x: F[t].mse_loss(x, x * 2),
    "leaky_relu": lambda t, x: F[t].leaky_relu(x, 0.1) if hasattr(F[t], "leaky_relu") else t.where(x > 0, x, x * 0.1),
}
BINARY = {
    "add": lambda t, x, y: x + y,
    "sub": lambda t, x, y: x - y,
    "mul": lambda t, x, y: x * y,
    "div": lambda t, x, y: x / y,
    "pow": lambda t, x, y: x**y,
    "maximum": lambda t, x, y: t.maximum(x, y),
    "minimum": lambda t, x, y: t.minimum(x, y),
    "where": lambda t, x, y: t.where(x > y, x, y),
    "clamp": lambda t, x, y: x.clamp(min=y),
    "clamp both": lambda t, x, y: x.clamp(y, y + 1),
    "remainder": lambda t, x, y: x % y,
    "copy": lambda t, x, y: (x * 1).copy_(y) if x.shape == y.shape else x + y,
}


def results(t, function, *arrays):
    """The value and the gradients, as arrays, or the kind of error."""
    # torch has no negative strides.
    leaves = [t.from_numpy(a if t is fastconv else a.copy()).requires_grad_() for a in arrays]
    try:
        y = function(t, *leaves)
        if y.requires_grad:
            (y * 1).sum().backward()
    except (RuntimeError, IndexError) as error:
        return type(error)
    found = [y.detach(), *[x.grad for x in leaves]]
    return [None if a is None else np.array(a.numpy()) for a in found]


def check(function, *arrays, rtol):
    ours, theirs = (results(t, function, *arrays) for t in (fastconv, torch))
    if isinstance(ours, type) or isinstance(theirs, type):
        assert issubclass(ours, theirs), (ours, theirs)
        return
    for a, b in zip(ours, theirs, strict=True):
        assert (a is None) == (b is None), (ours, theirs)
        if a is not None:
            assert a.shape == b.shape
            np.testing.assert_allclose(a, b, rtol=rtol, atol=rtol)


@pytest.mark.parametrize("dtype", ["float64", "float32", "float16"])
@pytest.mark.parametrize("name", UNARY)
def test_unary(name, dtype):
    rtol = {"float64": 1e-12, "float32": 2e-6, "float16": 4e-3}[dtype]
    for points in POINTS.values():
        check(UNARY[name], points if dtype == "float64" else points.astype(dtype), rtol=rtol)


@pytest.mark.parametrize("name", BINARY)
def test_binary(name):
    special = np.array(SPECIAL)
    pairs = [
        (special[:, None], special[None, :]),
        (np.zeros(3), np.zeros(3)),
        (np.zeros((0, 3)), np.ones(3)),
        (np.array(0.5), np.array([0.5, 1.0])),
        (np.array([[1.0], [2.0]])[::-1], np.array([1.0, 2.0])),
    ]
    for x, y in pairs:
        check(BINARY[name], x, y, rtol=1e-12)
