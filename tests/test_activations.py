"""Activations by their definitions in float64: values, gradients, special points, layouts and dtypes."""

import math

import numpy as np
import pytest
from cases import LAYOUTS
from gradcheck import check_vjp, relative

import fastconv as fc
import fastconv.nn.functional as F

rng = np.random.default_rng(17)


erfc = np.vectorize(math.erfc, otypes=[float])


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


DEFINITIONS = {
    "hardtanh": (lambda x: F.hardtanh(x, -1.5, 2.0), lambda x: np.clip(x, -1.5, 2)),
    "relu6": (F.relu6, lambda x: np.clip(x, 0, 6)),
    "hardsigmoid": (F.hardsigmoid, lambda x: np.clip(x + 3, 0, 6) / 6),
    "hardswish": (F.hardswish, lambda x: x * np.clip(x + 3, 0, 6) / 6),
    "silu": (F.silu, lambda x: x * sigmoid(x)),
    "mish": (F.mish, lambda x: x * np.tanh(np.log1p(np.exp(x)))),
    "elu": (lambda x: F.elu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x))),
    "celu": (lambda x: F.celu(x, 0.7), lambda x: np.where(x > 0, x, 0.7 * np.expm1(x / 0.7))),
    "selu": (F.selu, lambda x: 1.0507009873554805 * np.where(x > 0, x, 1.6732632423543772 * np.expm1(x))),
    "gelu": (F.gelu, lambda x: x * erfc(-x / np.sqrt(2)) / 2),
    "gelu_tanh": (
        lambda x: F.gelu(x, approximate="tanh"),
        lambda x: x / 2 * (1 + np.tanh(np.sqrt(2 / np.pi) * (x + 0.044715 * x**3))),
    ),
    "softplus": (lambda x: F.softplus(x, 2), lambda x: np.where(2 * x > 20, x, np.log1p(np.exp(2 * x)) / 2)),
    "logsigmoid": (F.logsigmoid, lambda x: -np.log1p(np.exp(-x))),
    "softsign": (F.softsign, lambda x: x / (1 + np.abs(x))),
    "tanhshrink": (F.tanhshrink, lambda x: x - np.tanh(x)),
    "glu": (F.glu, lambda x: x[..., : x.shape[-1] // 2] * sigmoid(x[..., x.shape[-1] // 2 :])),
}


@pytest.mark.parametrize("name", DEFINITIONS)
@pytest.mark.parametrize("dtype", [np.float32, np.float64, np.float16])
def test_values(isa, name, dtype):
    function, definition = DEFINITIONS[name]
    for shape in ((3, 5, 4, 6), (2,), (1, 700), (0, 4), (4, 2, 0)):
        x = (rng.standard_normal(shape) * 3).astype(dtype)
        y = function(x)
        assert type(y) is np.ndarray and y.dtype == dtype
        np.testing.assert_allclose(
            y,
            definition(x.astype(np.float64)),
            rtol={2: 2e-3, 4: 1e-5, 8: 1e-12}[y.itemsize],
            atol={2: 1e-3, 4: 1e-6, 8: 1e-13}[y.itemsize],
        )


@pytest.mark.parametrize("name", DEFINITIONS)
def test_gradients(name):
    check_vjp(DEFINITIONS[name][0], rng.standard_normal((5, 7, 8)) * 2 + 0.01)


@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name != "glu"])
@pytest.mark.parametrize("layout", LAYOUTS)
def test_layouts(name, layout):
    function = DEFINITIONS[name][0]
    x = rng.standard_normal((2, 3, 4, 5)).astype(np.float32)
    if not LAYOUTS[layout](x).dtype.isnative:
        assert relative(function(LAYOUTS[layout](x)), function(x)) < 1e-6
        return
    a, b = (fc.from_numpy(array).requires_grad_() for array in (LAYOUTS[layout](x), x))
    g = rng.standard_normal(x.shape).astype(np.float32)
    for t, dy in ((a, g), (b, LAYOUTS[layout](g))):
        y = function(t)
        assert np.array_equal(y.detach().numpy(), function(x))
        y.backward(fc.from_numpy(dy))
    assert np.array_equal(a.grad.numpy(), b.grad.numpy())


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("name", [name for name in DEFINITIONS if name not in ("glu", "softplus")])
def test_special_points_are_torchs(isa, name, dtype):
    torch = pytest.importorskip("torch")
    arguments = {"hardtanh": (-1.5, 2.0), "elu": (0.7,), "celu": (0.7,)}.get(name, ())
    theirs = getattr(torch.nn.functional, name.removesuffix("_tanh"))
    keywords = {"approximate": "tanh"} if name == "gelu_tanh" else {}
    x = np.array([0.0, -0.0, np.inf, -np.inf, np.nan, 3, -3, 6, 100, -100, 1e-30, -1e-3, -1.5, 2.0] * 2, dtype)
    a, b = fc.tensor(x, requires_grad=True), torch.tensor(x, requires_grad=True)
    ours = getattr(F, name.removesuffix("_tanh"))
    y, expected = ours(a, *arguments, **keywords), theirs(b, *arguments, **keywords)
    # Torch loses digits of gelu where it is small.
    atol = {"gelu": 1e-6, "gelu_tanh": 1e-6, "tanhshrink": 1e-9}.get(name, 1e-30)
    known = x < np.inf if name == "gelu" else slice(None)  # torch's gelu of infinity is NaN
    np.testing.assert_allclose(y.detach().numpy()[known], expected.detach().numpy()[known], rtol=1e-5, atol=atol)
    y.sum().backward(), expected.sum().backward()
    finite = np.isfinite(x)
    np.testing.assert_allclose(a.grad.numpy()[finite], b.grad.numpy()[finite], rtol=1e-4, atol=1e-7)


def test_inplace():
    for function in (F.relu6, F.hardswish, F.silu, F.mish, F.selu, F.hardsigmoid, F.elu, F.celu, F.hardtanh):
        x = rng.standard_normal(9).astype(np.float32)
        expected, t = function(x), fc.tensor(x)
        assert function(t, inplace=True) is t and np.array_equal(t.numpy(), expected)


def test_prelu():
    torch = pytest.importorskip("torch")
    for shape, slopes in (((2, 3, 4, 5), 3), ((2, 3, 4, 5), 1), ((4, 3), 3), ((7,), 1), ((0, 3, 4), 3), ((2, 3, 0), 3)):
        x, w = rng.standard_normal(shape).astype(np.float32), rng.standard_normal(slopes).astype(np.float32)
        results = []
        for lib, function in ((fc, F.prelu), (torch, torch.nn.functional.prelu)):
            a, b = lib.tensor(x, requires_grad=True), lib.tensor(w, requires_grad=True)
            y = function(a, b)
            y.backward(lib.tensor(np.cos(np.arange(x.size, dtype=np.float32)).reshape(shape)))
            results.append([t.numpy() for t in (y.detach(), a.grad, b.grad)])
        for mine, other in zip(*results, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-5, atol=1e-5)
    with pytest.raises(RuntimeError, match="Mismatch of parameter numbers and input channel size"):
        F.prelu(fc.ones(2, 3), fc.ones(2))


def test_errors():
    x = fc.ones(2, 3)
    with pytest.raises(RuntimeError, match="approximate argument must be either none or tanh"):
        F.gelu(x, approximate="erf")
    with pytest.raises(RuntimeError, match="Halving dimension must be even"):
        F.glu(x)
    with pytest.raises(TypeError, match=r"expected a floating dtype, got input of torch\.int64"):
        F.silu(fc.tensor([1]))
    with pytest.raises(TypeError, match="expected a Tensor or an ndarray"):
        F.hardswish("x")
    with pytest.raises(RuntimeError, match="alpha cannot be 0"):
        F.celu(x, 0)
    with pytest.raises(ValueError, match="min_val cannot be greater"):
        F.hardtanh(x, 2, 1)
