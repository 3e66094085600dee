"""The common case of an operation gives what the long way gives, to the last bit, and leaves all else to it."""

import numpy as np
import pytest

import fastconv as fc
import fastconv.nn.functional as F
from fastconv import elementwise, ops
from fastconv._native import layers, quick

rng = np.random.default_rng(33)


def normal(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


def convolution(dtype, **options):
    x, w, b = normal(2, 4, 9, 8, dtype=dtype), normal(6, 4 // options.get("groups", 1), 3, 2, dtype=dtype), normal(6)
    b = b.astype(dtype)
    y = ops.conv2d(x, w, b, **options)
    dy = normal(*y.shape, dtype=dtype)
    return [
        y,
        ops.conv2d_input(x.shape, w, dy, **options),
        ops.conv2d_weight(x, w.shape, dy, **options),
        ops.bias_gradient(dy),
    ]


def maximum(dtype, **options):
    x = normal(2, 3, 9, 8, dtype=dtype)
    y, indices = ops.max_pool2d(x, **options)
    return [y, indices, ops.max_pool2d_backward(normal(*y.shape, dtype=dtype), indices, x.shape)]


def average(dtype, **options):
    x = normal(2, 3, 9, 8, dtype=dtype)
    y = ops.avg_pool2d(x, **options)
    return [y, ops.avg_pool2d_backward(normal(*y.shape, dtype=dtype), x.shape, **options)]


def linear(dtype):
    x, w, b, dy = normal(5, 7), normal(3, 7), normal(3), normal(5, 3)
    x, w, b, dy = (a.astype(dtype) for a in (x, w, b, dy))
    return [
        ops.linear(x, w),
        ops.linear(x, w, b),
        ops.linear_input(w, dy),
        ops.linear_weight(x, dy),
        ops.linear_bias(dy),
    ]


def activation(dtype):
    x = normal(5, 7, dtype=dtype)
    x[0, :3] = np.nan, -0.0, -np.inf
    y = elementwise.relu(x)
    return [y, elementwise.relu_backward(x, y), elementwise.add(x, y)]


CASES = {
    "plain": (convolution, {}),
    "strided": (convolution, {"stride": 2, "padding": (1, 0), "dilation": (2, 1)}),
    "grouped": (convolution, {"groups": 2, "padding": 1}),
    "one window": (convolution, {"stride": 9}),
    "max": (maximum, {"kernel_size": 2}),
    "max overlapping": (maximum, {"kernel_size": (3, 2), "stride": 2, "padding": 1, "dilation": (1, 2)}),
    "average": (average, {"kernel_size": 2}),
    "average overlapping": (average, {"kernel_size": 3, "stride": 2, "padding": 1, "count_include_pad": False}),
    "linear": (linear, {}),
    "relu": (activation, {}),
}


@pytest.mark.parametrize("name", CASES)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_both_ways_agree(name, dtype, monkeypatch):
    function, options = CASES[name]
    called = []

    def noting(name, function):
        def note(*arguments):
            result = function(*arguments)
            called.append((name, result is not None))
            return result

        return note

    global rng
    for operation in [n for n in dir(quick) if callable(getattr(quick, n)) and not n.startswith("_")]:
        monkeypatch.setattr(quick, operation, noting(operation, getattr(quick, operation)))
    rng = np.random.default_rng(1)
    usual = function(dtype, **options)
    assert called and all(was_common for _, was_common in called), called
    for operation in {operation for operation, _ in called}:
        monkeypatch.setattr(quick, operation, lambda *arguments: None)
    rng = np.random.default_rng(1)
    for a, b in zip(usual, function(dtype, **options), strict=True):
        assert a.dtype == b.dtype
        np.testing.assert_array_equal(a, b)


def test_what_is_not_common():
    x, w = normal(2, 4, 9, 8), normal(6, 4, 3, 2)
    plain = (1, 0, 1, 1)
    assert quick.conv2d(x, w, None, *plain) is not None
    for a, b, options in (
        (x.tolist(), w, plain),
        (x[0], w, plain),
        (x.astype(">f4"), w, plain),
        (x.astype(np.float16), w.astype(np.float16), plain),
        (x, w.astype(np.float64), plain),
        (x[:0], w, plain),
        (x[:, :3], w, plain),
        (x, w[..., None], plain),
        (x, w, ([1, 1], 0, 1, 1)),
        (x, w, (True, 0, 1, 1)),
        (x, w, (0, 0, 1, 1)),
        (x, w, (1, -1, 1, 1)),
        (x, w, (1, "same", 1, 1)),
        (x, w, (1, 0, 9, 1)),
        (x, w, (1, 0, 2**21, 1)),
        (x, w, (1, 2**70, 1, 1)),
        (x, w, (1, 0, 1, 3)),
    ):
        assert quick.conv2d(a, b, None, *options) is None, (type(a), options)
    assert quick.conv2d(x, w, normal(5), *plain) is None
    indices = np.full((1, 1, 1, 1), 81, np.int32)
    assert quick.max_pool2d_backward(normal(1, 1, 1, 1), indices, (1, 1, 9, 9)) is None
    with pytest.raises(RuntimeError, match=r"indices from -1 to -1 are outside the 9 x 9 pixels"):
        ops.max_pool2d_backward(normal(1, 1, 1, 1), indices - 82, (1, 1, 9, 9))
    assert quick.cross_entropy(normal(2, 3), np.array([0, 3]), -100, True, True) is None
    assert quick.cross_entropy(normal(2, 3), np.array([0, 3]), 2**70, True, True) is None


LAYERS = {
    "conv2d": lambda x, w, b: F.conv2d(x, w[:, :, None, None].expand(6, 4, 3, 2), b, 2, (1, 0), 1),
    "max": lambda x, w, b: F.max_pool2d(x, 3, 2, 1),
    "average": lambda x, w, b: F.avg_pool2d(x, 3, 2, 1),
    "relu": lambda x, w, b: F.relu(x * 2),
    "relu of a leaf": lambda x, w, b: F.relu(x),
    "relu, its input used again": lambda x, w, b: (h := x * 2) + F.relu(h),
    "relu, the method": lambda x, w, b: (x * 2).relu(),
    "linear": lambda x, w, b: F.linear(x[:, :, 0, 0], w, b),
    "flatten": lambda x, w, b: x.flatten(1) * 2,
    "cross_entropy": lambda x, w, b: F.cross_entropy(x[:, :, 0, 0], fc.tensor([3, 1])),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_are_recorded_as_the_long_way_records_them(name, dtype, monkeypatch):
    x, w, b = normal(2, 4, 9, 8, dtype=dtype), normal(6, 4, dtype=dtype), normal(6, dtype=dtype)

    def results():
        leaves = [fc.from_numpy(a.copy()).requires_grad_() for a in (x, w, b)]
        y = LAYERS[name](*leaves)
        dy = fc.from_numpy(np.cos(np.arange(y.numel())).astype(dtype).reshape(y.shape))
        before = dy.numpy().copy()
        y.backward(dy, retain_graph=True)
        once = [None if leaf.grad is None else leaf.grad.numpy().copy() for leaf in leaves]
        y.backward(dy)
        np.testing.assert_array_equal(dy.numpy(), before)
        with fc.no_grad():
            assert not LAYERS[name](*leaves).requires_grad
        for leaf, gradient in zip(leaves, once, strict=True):
            if gradient is not None:
                np.testing.assert_array_equal(leaf.grad.numpy(), 2 * gradient)
        return [y.detach().numpy(), *once]

    usual = results()
    for layer in [n for n in dir(layers) if callable(getattr(layers, n)) and not n.startswith("_")]:
        monkeypatch.setattr(layers, layer, lambda *arguments: None)
    for a, b in zip(usual, results(), strict=True):
        assert (a is None) == (b is None)
        if a is not None:
            assert a.dtype == b.dtype
            np.testing.assert_allclose(a, b, rtol=1e-5 if dtype == "float32" else 1e-12)


def test_gradients_that_are_not_common_go_the_long_way():
    x, w, b = normal(2, 4, 9, 8), normal(6, 4, 3, 2), normal(6)
    leaves = [fc.from_numpy(a).requires_grad_() for a in (x, w, b)]
    y = F.conv2d(*leaves)
    dy = normal(*y.shape).astype(">f4")
    saved = y.grad_fn.saved
    for a, b in zip(y.grad_fn.vjp(dy, *saved), y.grad_fn.vjp(dy.astype("=f4"), *saved), strict=True):
        np.testing.assert_array_equal(a, b)
    for layer in (
        lambda x: F.max_pool2d(x, 2),
        lambda x: F.avg_pool2d(x, 2),
        lambda x: F.linear(x[:, :, 0, 0], leaves[1][:, :, 0, 0], leaves[2]),
    ):
        y = layer(leaves[0])
        dy = normal(*y.shape).astype(">f4")
        saved = y.grad_fn.saved
        for a, b in zip(y.grad_fn.vjp(dy, *saved), y.grad_fn.vjp(dy.astype("=f4"), *saved), strict=True):
            assert (a is None) == (b is None)
            if a is not None:
                np.testing.assert_array_equal(a, b)
