"""What is uncommon is brought into the common form: it gives what the common form gives, to the last bit."""

import numpy as np
import pytest

import fastconv as fc
import fastconv.nn.functional as F
from fastconv import elementwise, nn, ops
from fastconv._native.layers import convolution, loss, pointwise, pooling
from fastconv._native.tape import edge
from fastconv._native.walk import run_backward

rng = np.random.default_rng(33)


def normal(*shape, dtype=np.float32):
    return rng.standard_normal(shape).astype(dtype)


PASSES = {
    "conv2d": [
        lambda x, w, b, dy, *a: ops.conv2d(x, w, b, *a),
        lambda x, w, b, dy, *a: ops.conv2d_input((2, 4, 9, 8), w, dy, *a),
        lambda x, w, b, dy, *a: ops.conv2d_weight(x, w.shape, dy, *a),
        lambda x, w, b, dy, *a: ops.bias_gradient(dy),
    ],
    "conv_transpose2d": [
        lambda x, w, b, dy, s, p, d, g: ops.conv_transpose2d(x, w, b, s, p, 0, g, d),
        lambda x, w, b, dy, s, p, d, g: ops.conv_transpose2d_input((2, 4, 9, 8), w, dy, s, p, 0, g, d),
        lambda x, w, b, dy, s, p, d, g: ops.conv_transpose2d_weight(x, w.shape, dy, s, p, 0, g, d),
    ],
}
PARAMETERS = {
    "plain": (1, 0, 1, 1),
    "strided": (2, (1, 0), (2, 1), 1),
    "grouped": (1, 1, 1, 2),
    "one window": (9, 0, 1, 1),
}


def uncommon_numbers(parameters):
    """The same parameters as lists and NumPy's integers, which are not looked at in C."""
    *pairs, groups = ([np.int64(n) for n in (a if isinstance(a, tuple) else (a, a))] for a in parameters)
    return *pairs, groups[0]


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("name", PARAMETERS)
@pytest.mark.parametrize("layer", PASSES)
def test_convolutions(layer, name, dtype):
    parameters = PARAMETERS[name]
    groups, transposed = parameters[3], layer == "conv_transpose2d"
    x = normal(2, 4, 9, 8, dtype=dtype)
    w = normal(*((4, 6 // groups) if transposed else (6, 4 // groups)), 3, 2, dtype=dtype)
    b = normal(6, dtype=dtype)
    forward, *gradients = PASSES[layer]
    y = forward(x, w, b, None, *parameters)
    dy = normal(*y.shape, dtype=dtype)
    lists = uncommon_numbers(parameters)
    np.testing.assert_array_equal(forward(x, w, b, None, *lists), y)
    swapped = [a.astype(a.dtype.newbyteorder()) for a in (x, w, b, dy)]
    np.testing.assert_array_equal(forward(*swapped, *parameters), y)
    for gradient in gradients:
        expected = gradient(x, w, b, dy, *parameters)
        np.testing.assert_array_equal(gradient(x, w, b, dy, *lists), expected)
        np.testing.assert_array_equal(gradient(*swapped, *parameters), expected)


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("options", [(2,), ((3, 2), 2, 1), ((3, 2), 2, (1, 0))])
def test_pooling(options, dtype):
    x = normal(2, 3, 9, 8, dtype=dtype)
    lists = [[np.int64(n) for n in (a if isinstance(a, tuple) else (a, a))] for a in options]
    y, indices = ops.max_pool2d(x, *options)
    for a, b in zip(ops.max_pool2d(x, *lists), (y, indices), strict=True):
        np.testing.assert_array_equal(a, b)
    dy = normal(*y.shape, dtype=dtype)
    dx = ops.max_pool2d_backward(dy, indices, x.shape)
    np.testing.assert_array_equal(ops.max_pool2d_backward(dy, indices, list(x.shape)), dx)
    np.testing.assert_array_equal(ops.avg_pool2d(x, *lists), ops.avg_pool2d(x, *options))
    np.testing.assert_array_equal(
        ops.avg_pool2d_backward(dy, list(x.shape), *lists), ops.avg_pool2d_backward(dy, x.shape, *options)
    )
    np.testing.assert_array_equal(ops.max_pool2d(x, options[0], ())[0], ops.max_pool2d(x, options[0])[0])
    np.testing.assert_array_equal(ops.avg_pool2d(x, options[0], ()), ops.avg_pool2d(x, options[0]))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_linear_layers(dtype):
    x, w, b, dy = (normal(*shape, dtype=dtype) for shape in ((6, 7), (3, 7), (3,), (6, 3)))
    many, many_dy = x.reshape(2, 3, 7), dy.reshape(2, 3, 3)
    np.testing.assert_array_equal(ops.linear(many, w, b), ops.linear(x, w, b).reshape(2, 3, 3))
    np.testing.assert_array_equal(ops.linear_input(w, many_dy), ops.linear_input(w, dy).reshape(2, 3, 7))
    np.testing.assert_array_equal(ops.linear_weight(many, many_dy), ops.linear_weight(x, dy))
    np.testing.assert_array_equal(ops.linear_bias(many_dy), ops.linear_bias(dy))
    np.testing.assert_array_equal(ops.linear_bias(np.asfortranarray(dy)), ops.linear_bias(dy))
    np.testing.assert_array_equal(ops.linear(x[0], w, b), ops.linear(x[:1], w, b)[0])


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64])
def test_activations(dtype):
    x = normal(5, 7, 4, 3, dtype=dtype)
    x[0, :3, 0, 0] = np.nan, -0.0, -np.inf
    dy = normal(*x.shape, dtype=dtype)
    for forward, backward in (
        (pointwise.relu, lambda dy, x, y: pointwise.relu_backward(dy, y)),
        (lambda x: pointwise.leaky_relu(x, 0.25), lambda dy, x, y: pointwise.leaky_relu_backward(dy, x, 0.25)),
    ):
        y = forward(np.ascontiguousarray(x))
        dx = backward(dy, x, y)
        assert y.dtype == dx.dtype == dtype
        for layout in (
            lambda a: a,
            lambda a: np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2),
            lambda a: np.ascontiguousarray(a.T).T,
            lambda a: np.repeat(a, 2, axis=2)[:, :, ::2],
            lambda a: np.ascontiguousarray(a[::-1])[::-1],
            lambda a: a.astype(a.dtype.newbyteorder()),
            lambda a: a[:0],
            lambda a: a[0, 0, 0, 0, None][..., 0],
        ):
            np.testing.assert_array_equal(forward(layout(x)), layout(y))
            np.testing.assert_array_equal(backward(dy=layout(dy), x=layout(x), y=layout(y)), layout(dx))
    strided = np.ones((2, 3, 4), dtype).transpose(2, 0, 1)
    assert pointwise.relu(strided).strides == strided.strides
    np.testing.assert_array_equal(elementwise.add(x, x), x + x)


def test_integers_are_rectified_exactly_and_nothing_else_is():
    big = np.array([2**62 + 1, -5])
    assert pointwise.relu(big).tolist() == [2**62 + 1, 0]
    assert F.relu(fc.tensor([3, -4])).tolist() == [3, 0]
    for wrong in (np.array([True]), [1.0], None, np.array([1j])):
        with pytest.raises(TypeError, match="relu: expected"):
            pointwise.relu(wrong)
    with pytest.raises(TypeError, match="leaky_relu: expected a floating dtype"):
        F.leaky_relu(fc.tensor([1]))
    with pytest.raises(TypeError, match="negative_slope must be a number"):
        F.leaky_relu(fc.ones(1), "steep")
    with pytest.raises(RuntimeError, match=r"one size and dtype.*\[3\].*\[2\]"):
        pointwise.relu_backward(normal(3), normal(2))


def test_cross_entropy():
    x, t = normal(6, 4), np.array([0, 3, 1, 2, 2, 0])
    for reduction in ("mean", "sum"):
        expected = loss.cross_entropy(x, t, None, 2, reduction)
        for a, b in (
            (x, t.astype(np.int32)),
            (np.asfortranarray(x), t),
            (np.ascontiguousarray(x.reshape(2, 3, 4).transpose(0, 2, 1)), t.reshape(2, 3)),
        ):
            np.testing.assert_array_equal(loss.cross_entropy(a, b, None, 2, reduction), expected)
        ones = np.ones(4, np.float32)
        np.testing.assert_allclose(loss.cross_entropy(x, t, ones, 2, reduction), expected, rtol=1e-6)


LAYERS = {
    "conv1d": lambda x, w, b: F.conv1d(x[:, :, 0], w[:, :, None].expand(6, 4, 3), b, 2, 1),
    "conv2d": lambda x, w, b: F.conv2d(x, w[:, :, None, None].expand(6, 4, 3, 2), b, 2, (1, 0), 1),
    "conv2d of one image": lambda x, w, b: F.conv2d(x[0], w[:, :, None, None].expand(6, 4, 3, 2), b, padding="same"),
    "conv_transpose2d": lambda x, w, b: F.conv_transpose2d(
        x, w.t()[:, :, None, None].expand(4, 6, 3, 2), b, 2, 1, (0, 1)
    ),
    "max": lambda x, w, b: F.max_pool2d(x, 3, 2, 1),
    "max of one image": lambda x, w, b: F.max_pool2d(x[1], [3, 2], ceil_mode=True),
    "average": lambda x, w, b: F.avg_pool2d(x, 3, 2, 1),
    "adaptive": lambda x, w, b: F.adaptive_avg_pool2d(x, (4, None)),
    "relu": lambda x, w, b: F.relu(x * 2),
    "relu of a leaf": lambda x, w, b: F.relu(x),
    "relu, its input used again": lambda x, w, b: (h := x * 2) + F.relu(h),
    "relu, the method": lambda x, w, b: (x * 2).relu(),
    "leaky relu": lambda x, w, b: F.leaky_relu(x * 2, 0.2),
    "linear": lambda x, w, b: F.linear(x[:, :, 0, 0], w, b),
    "linear of many": lambda x, w, b: F.linear(x.permute(0, 2, 3, 1), w, b),
    "flatten": lambda x, w, b: x.flatten(1) * 2,
    "cross_entropy": lambda x, w, b: F.cross_entropy(x[:, :, 0, 0], fc.tensor([3, 1])),
    "cross_entropy, smoothed": lambda x, w, b: F.cross_entropy(x, fc.zeros(2, 9, 8).long(), label_smoothing=0.1),
}


@pytest.mark.parametrize("name", LAYERS)
@pytest.mark.parametrize("dtype", ["float32", "float64"])
def test_layers_can_be_walked_back_twice(name, dtype):
    x, w, b = normal(2, 4, 9, 8, dtype=dtype), normal(6, 4, dtype=dtype), normal(6, dtype=dtype)
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


@pytest.mark.parametrize("module", [convolution, pooling, pointwise, loss])
def test_what_is_no_array_is_refused(module):
    for name in dir(module):
        function = getattr(module, name)
        if callable(function) and function.__module__ == module.__name__ and not isinstance(function, type):
            for wrong in (None, 5, "image", [1.0]):
                with pytest.raises((TypeError, ValueError, RuntimeError, AttributeError)):
                    function(wrong, wrong, wrong)


def test_leaky_relu():
    torch = pytest.importorskip("torch")
    x = np.array([-2.0, -0.0, 0.0, 3.0, np.nan, -np.inf, np.inf], np.float32)
    for slope in (0.01, 0.0, -0.5, 1.5):
        a, b = fc.from_numpy(x.copy()).requires_grad_(), torch.from_numpy(x.copy()).requires_grad_()
        y, z = F.leaky_relu(a, slope), torch.nn.functional.leaky_relu(b, slope)
        np.testing.assert_array_equal(y.detach().numpy(), z.detach().numpy())
        y.sum().backward()
        z.sum().backward()
        np.testing.assert_array_equal(a.grad.numpy(), b.grad.numpy())
    assert repr(nn.LeakyReLU(0.2, inplace=True)) == repr(torch.nn.LeakyReLU(0.2, inplace=True))
    h = fc.tensor([-1.0, 2.0])
    assert nn.LeakyReLU(0.5, inplace=True)(h) is h
    assert h.tolist() == [-0.5, 2]


def test_softmax_without_a_dim():
    torch = pytest.importorskip("torch")
    for shape in ((3,), (2, 3), (2, 3, 4), (2, 3, 4, 5)):
        x = normal(*shape)
        for name in ("Softmax", "LogSoftmax"):
            with pytest.warns(UserWarning, match="Implicit dimension choice"):
                y = getattr(nn, name)()(fc.from_numpy(x))
            with pytest.warns(UserWarning, match="Implicit dimension choice"):
                expected = getattr(torch.nn, name)()(torch.from_numpy(x))
            np.testing.assert_allclose(y.numpy(), expected.numpy(), atol=1e-6)
    assert F.softmax(fc.zeros(2, 0), 1).shape == F.log_softmax(fc.zeros(2, 0), 1).shape == (2, 0)


def test_older_words_for_a_reduction():
    x, t = fc.from_numpy(normal(3, 4)), fc.tensor([0, 1, 2])
    for older, reduction in (
        ({"size_average": False}, "sum"),
        ({"size_average": True}, "mean"),
        ({"reduce": False}, "none"),
        ({"reduce": True, "size_average": False}, "sum"),
    ):
        with pytest.warns(UserWarning, match=f"reduction='{reduction}'"):
            got = F.cross_entropy(x, t, **older)
        np.testing.assert_array_equal(got.numpy(), F.cross_entropy(x, t, reduction=reduction).numpy())
        with pytest.warns(UserWarning, match="size_average and reduce"):
            assert nn.CrossEntropyLoss(**older).reduction == reduction


TWICE = {
    "conv1d": (lambda f, x, w: f.conv1d(x, w, None, 2, 1), (2, 4, 9), (6, 4, 3)),
    "conv2d": (lambda f, x, w: f.conv2d(x, w, None, 2, (1, 0), (2, 1)), (2, 4, 9, 8), (6, 4, 3, 2)),
    "conv2d of one image": (lambda f, x, w: f.conv2d(x, w, padding="same", groups=2), (4, 9, 8), (6, 2, 3, 2)),
    "conv2d, biased": (lambda f, x, w, b: f.conv2d(x, w, b) ** 2, (2, 4, 5, 4), (6, 4, 3, 2), (6,)),
    "conv_transpose2d": (lambda f, x, w: f.conv_transpose2d(x, w, None, 2, 1, 1), (2, 4, 5, 4), (4, 3, 3, 2)),
    "linear": (lambda f, x, w, b: f.linear(x, w, b) ** 2, (5, 7), (3, 7), (3,)),
    "linear of many": (lambda f, x, w, b: f.linear(x, w, b) ** 2, (2, 5, 7), (3, 7), (3,)),
    "max": (lambda f, x: f.max_pool2d(x, 3, 2, 1) ** 2, (2, 3, 9, 8)),
    "average": (lambda f, x: f.avg_pool2d(x, 3, 2, 1) ** 2, (2, 3, 9, 8)),
    "adaptive": (lambda f, x: f.adaptive_avg_pool2d(x, (4, 3)) ** 2, (3, 9, 8)),
    "relu": (lambda f, x: f.relu(x) ** 2, (20,)),
    "leaky relu": (lambda f, x: f.leaky_relu(x, 0.2) ** 2, (20,)),
}


def check_second_gradients(function, arrays, torch):
    """Gradients of the sum of squared gradients, beside torch's."""
    ours = [fc.from_numpy(a.copy()).requires_grad_() for a in arrays]
    theirs = [torch.from_numpy(a.copy()).requires_grad_() for a in arrays]
    y, z = function(F, *ours), function(torch.nn.functional, *theirs)
    dy = np.cos(np.arange(y.numel())).reshape(y.shape)
    first = run_backward([edge(y)], [fc.from_numpy(dy)], True, True, ours)
    sum((dx**2).sum() for dx in first).backward()
    first = torch.autograd.grad(z, theirs, torch.from_numpy(dy), create_graph=True)
    sum((dx**2).sum() for dx in first).backward()
    for a, b in zip(ours, theirs, strict=True):
        np.testing.assert_allclose(a.grad.numpy(), b.grad.numpy(), rtol=1e-11, atol=1e-11)


@pytest.mark.parametrize("name", TWICE)
def test_second_gradients_are_torchs(name):
    torch = pytest.importorskip("torch")
    function, *shapes = TWICE[name]
    check_second_gradients(function, [normal(*shape, dtype=np.float64) for shape in shapes], torch)


@pytest.mark.parametrize("options", [{}, {"reduction": "none"}, {"label_smoothing": 0.1, "ignore_index": 2}])
@pytest.mark.parametrize("shape", [(3, 4), (4,), (3, 4, 2)])
def test_second_gradients_of_cross_entropy_are_torchs(shape, options):
    torch = pytest.importorskip("torch")
    target = np.arange(np.prod(shape) // 4).reshape(shape[:1] + shape[2:] if len(shape) > 1 else ()) % 4
    weight = rng.random(4) if options else None

    def loss_of(f, x):
        make = fc.from_numpy if f is F else torch.from_numpy
        return f.cross_entropy(x, make(np.asarray(target)), None if weight is None else make(weight), **options)

    check_second_gradients(loss_of, [normal(*shape, dtype=np.float64)], torch)
