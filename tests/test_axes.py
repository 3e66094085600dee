"""Sums and softmax along axes, batch norm of rows, losses and padding: compiled passes against NumPy in float64."""

import numpy as np
import pytest

import fastconv as fc
import fastconv.nn.functional as F
from fastconv import elementwise, layer_passes, padding
from fastconv._native import axes
from fastconv._native import layer_passes as native

TOLERANCE = {"float32": 2e-6, "float64": 1e-14}


def near(actual, expected, dtype, factor=1.0):
    scale = np.abs(np.nan_to_num(expected)).max(initial=1)
    tolerance = factor * TOLERANCE[dtype]
    np.testing.assert_allclose(actual, expected, rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("seed", range(40))
def test_sums_over_any_axes(seed, dtype):
    rng = np.random.default_rng(seed)
    ndim = rng.integers(1, 6)
    shape = tuple(rng.integers(1, (9000, 90, 30, 14, 8)[ndim - 1], ndim))
    x = rng.standard_normal(shape).astype(dtype) + 3
    if ndim > 1 and rng.random() < 0.5:
        x = np.moveaxis(np.ascontiguousarray(np.moveaxis(x, 1, -1)), -1, 1)
    axis = tuple(d for d in range(ndim) if rng.random() < 0.6) or (0,)
    for keep in (False, True):
        y = elementwise.total(x, axis, keep, x.dtype)
        assert y.dtype == dtype
        near(y, x.sum(axis, dtype=np.float64, keepdims=keep), dtype, 0.5)
    if ndim == 4:
        near(elementwise.total(x, (0, 2), False, x.dtype), x.sum((0, 2), dtype=np.float64), dtype, 0.5)
    near(elementwise.total(x, None, False, np.dtype(np.float64)), x.sum(dtype=np.float64), dtype, 0.5)


def test_sums_do_not_depend_on_the_number_of_threads():
    rng = np.random.default_rng(0)
    before = fc.get_num_threads()
    try:
        for shape, axis in (((64, 70000), 0), ((64, 70000), 1), ((9, 50, 3000), 1), ((4_000_000,), 0)):
            x = rng.standard_normal(shape).astype(np.float32)
            results = []
            for threads in (1, 2, 3):
                fc.set_num_threads(threads)
                results.append((elementwise.total(x, axis, False, x.dtype), F.softmax(x, axis), F.log_softmax(x, axis)))
            for other in results[1:]:
                for a, b in zip(results[0], other, strict=True):
                    np.testing.assert_array_equal(a, b)
    finally:
        fc.set_num_threads(before)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape, dim", [((5, 3), 1), ((7, 100), 0), ((3, 21, 9, 11), 1), ((4, 5, 6), -1), ((40, 1), 0)])
def test_softmax_along_any_axis(shape, dim, dtype):
    rng = np.random.default_rng(1)
    a = rng.standard_normal(shape) * 5
    g = rng.standard_normal(shape)
    e = np.exp(a - a.max(dim, keepdims=True))
    p = e / e.sum(dim, keepdims=True)
    for function, value, gradient in (
        (F.softmax, p, p * (g - (g * p).sum(dim, keepdims=True))),
        (F.log_softmax, np.log(p), g - p * g.sum(dim, keepdims=True)),
    ):
        x = fc.tensor(a.astype(dtype), requires_grad=True)
        y = function(x, dim)
        y.backward(fc.tensor(g.astype(dtype)))
        near(y.detach().numpy(), value, dtype, 4)
        near(x.grad.numpy(), gradient, dtype, 20)


def test_softmax_of_what_is_not_finite():
    x = np.array([[0, -np.inf, 1], [-np.inf, -np.inf, -np.inf], [1, np.nan, 2], [np.inf, 0, 1]], np.float32)
    for turned in (False, True):
        y = F.softmax(x.T.copy(), 0).T if turned else F.softmax(x, 1)
        assert y[0, 1] == 0 and abs(y[0].sum() - 1) < 1e-6
        assert np.isnan(y[1]).all() and np.isnan(y[2]).all() and np.isnan(y[3, 0])


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("shape", [(40, 7), (33, 130), (5, 6, 4, 3), (30, 5000)])
def test_batch_norm_of_rows_is_that_of_planes(shape, dtype):
    rng = np.random.default_rng(2)
    a, g = rng.standard_normal(shape) + 100, rng.standard_normal(shape)
    w, b = rng.standard_normal(shape[1]), rng.standard_normal(shape[1])
    over = (0, *range(2, len(shape)))
    along = (1, -1) + (1,) * (len(shape) - 2)
    a = a.astype(dtype).astype(np.float64)
    mean, var = a.mean(over, keepdims=True), a.var(over, keepdims=True)
    z = (a - mean) / np.sqrt(var + 1e-5)
    n = a.size // shape[1]
    weighted = g * w.reshape(along)
    dx = (weighted - weighted.sum(over, keepdims=True) / n - z * (weighted * z).sum(over, keepdims=True) / n) / np.sqrt(
        var + 1e-5
    )
    x = fc.tensor(np.moveaxis(np.ascontiguousarray(np.moveaxis(a, 1, -1)), -1, 1).astype(dtype, order="K"))
    x.requires_grad_()
    weight, bias = (fc.tensor(v.astype(dtype), requires_grad=True) for v in (w, b))
    running = fc.zeros(shape[1], dtype=dtype), fc.ones(shape[1], dtype=dtype)
    y = F.batch_norm(x, *running, weight, bias, True)
    y.backward(fc.tensor(g.astype(dtype)))
    if len(shape) == 4:
        assert y.is_contiguous(memory_format=fc.channels_last)
    near(y.detach().numpy(), z * w.reshape(along) + b.reshape(along), dtype, 20)
    near(x.grad.numpy(), dx, dtype, 50)
    near(weight.grad.numpy(), (g * z).sum(over), dtype, 20)
    near(bias.grad.numpy(), g.sum(over), dtype, 5)


@pytest.mark.parametrize("shape, over", [((3, 5000), 1), ((70, 9000), 1), ((4, 8, 40, 40), 3), ((130, 33), 1)])
def test_layer_norm_of_long_rows(shape, over):
    rng = np.random.default_rng(3)
    a, g = rng.standard_normal(shape) + 2, rng.standard_normal(shape)
    w = rng.standard_normal(shape[-over:])
    axes_ = tuple(range(len(shape) - over, len(shape)))
    z = (a - a.mean(axes_, keepdims=True)) / np.sqrt(a.var(axes_, keepdims=True) + 1e-5)
    x = fc.tensor(a, requires_grad=True)
    weight = fc.tensor(w, requires_grad=True)
    y = F.layer_norm(x, shape[-over:], weight)
    y.backward(fc.tensor(g))
    near(y.detach().numpy(), z * w, "float64", 10)
    lead = tuple(range(len(shape) - over))
    near(weight.grad.numpy(), (g * z).sum(lead), "float64", 50)


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("kind", ["squared", "absolute", "smooth_l1", "huber", "logistic"])
def test_losses(kind, dtype):
    rng = np.random.default_rng(4)
    x, t = rng.standard_normal((2, 7, 5000)).astype(dtype) * 2
    a, b = x.astype(np.float64), t.astype(np.float64)
    d, size, p = a - b, np.abs(a - b), 0.7
    each, slope = {
        "squared": (d * d, 2 * d),
        "absolute": (size, np.sign(d)),
        "smooth_l1": (np.where(size < p, d * d / (2 * p), size - p / 2), np.clip(d / p, -1, 1)),
        "huber": (np.where(size <= p, d * d / 2, p * (size - p / 2)), np.clip(d, -p, p)),
        "logistic": (np.logaddexp(0, a) - b * a, 1 / (1 + np.exp(-a)) - b),
    }[kind]
    near(layer_passes.loss(kind, x, t, p, True), each, dtype, 2)
    near(layer_passes.loss(kind, x, t, p, False), each.sum(), dtype)
    near(layer_passes.loss_backward(kind, np.asarray(3.0, dtype), x, t, p, 2.0), slope * 1.5, dtype, 3)
    near(layer_passes.loss_backward(kind, t, x, t, p, 1.0), slope * b, dtype, 3)


@pytest.mark.parametrize("mode", ["zeros", "replicate", "reflect", "circular"])
def test_padding_is_numpys(mode):
    names = {"zeros": "constant", "replicate": "edge", "reflect": "reflect", "circular": "wrap"}
    rng = np.random.default_rng(5)
    for shape in ((2, 3, 5, 6), (1, 1, 4, 40), (3, 2, 9, 5)):
        x = rng.standard_normal(shape)
        for pads in ((1, 2, 3, 0), (0, 0, 1, 1), (4, 4, 3, 3), (0, 1, 0, 0)):
            y = padding.pad2d(x, pads, mode)
            expected = np.pad(x, ((0, 0), (0, 0), pads[2:], pads[:2]), names[mode])
            np.testing.assert_array_equal(y, expected)
            g = rng.standard_normal(y.shape)
            assert abs((g * y).sum() - (padding.pad2d_backward(g, pads, mode) * x).sum()) < 1e-9


def test_padding_of_nothing():
    assert F.pad(np.ones((5, 3)), (-1, -2, 1, 1), value=2.0).shape == (7, 0)
    np.testing.assert_array_equal(F.pad(np.ones((2, 0)), (1, 2), value=3.0), np.full((2, 3), 3.0))
    x = fc.ones(0, 3, 4, requires_grad=True)
    F.pad(x, (1, 1, 1, 1)).sum().backward()
    assert x.grad.shape == (0, 3, 4)


@pytest.mark.parametrize("mode", ["replicate", "reflect", "circular"])
def test_volumes_are_padded(mode):
    rng = np.random.default_rng(6)
    x = rng.standard_normal((2, 3, 4, 5, 6))
    pads = (1, 2, 3, 0, 2, 1)
    t = fc.tensor(x, requires_grad=True)
    y = F.pad(t, pads, mode)
    name = {"replicate": "edge", "reflect": "reflect", "circular": "wrap"}[mode]
    np.testing.assert_array_equal(y.detach().numpy(), np.pad(x, ((0, 0), (0, 0), (2, 1), (3, 0), (1, 2)), name))
    g = rng.standard_normal(tuple(y.shape))
    y.backward(fc.tensor(g))
    assert abs((g * y.detach().numpy()).sum() - (t.grad.numpy() * x).sum()) < 1e-9


def test_sigmoid_and_tanh_at_their_ends():
    for dtype, ends in (("float32", 200.0), ("float64", 2000.0)):
        x = np.array([0, -0.0, ends, -ends, np.inf, -np.inf, np.nan, 1e-30, -1e-8], dtype)
        y, z = fc.sigmoid(fc.tensor(x)).numpy(), fc.tanh(fc.tensor(x)).numpy()
        np.testing.assert_array_equal(y[:7], np.array([0.5, 0.5, 1, 0, 1, 0, np.nan], dtype))
        np.testing.assert_array_equal(z, np.array([0, -0.0, 1, -1, 1, -1, np.nan, 1e-30, -1e-8], dtype))
        assert np.signbit(z[1])
        s = F.softplus(fc.tensor(x), threshold=5000).numpy()
        np.testing.assert_array_equal(s[2:7], np.array([ends, 0, np.inf, 0, np.nan], dtype))
        np.testing.assert_array_equal(F.logsigmoid(fc.tensor(x)).numpy()[2:7], [0, -ends, 0, -np.inf, np.nan])


def test_refused():
    x = np.zeros((2, 3, 4), np.float32)
    with pytest.raises(ValueError, match="axis 1"):
        axes.sum_axis(x, np.zeros((2, 5), np.float32))
    with pytest.raises(TypeError, match="float32"):
        axes.softmax_axis(x, x.astype(np.float64), False)
    with pytest.raises(ValueError, match="losses"):
        native.each_loss(99, x, x, 0, x.copy())
    with pytest.raises(ValueError, match="rows must name"):
        native.pad_planes(x, np.array([3], np.int32), np.zeros(4, np.int32), 0, np.zeros((2, 1, 4), np.float32))
