"""Pooling and padding against the float64 reference, for every instruction set."""

import numpy as np
import pytest
from cases import LAYOUTS, fenced
from checks import assert_near
from hypothesis import HealthCheck, given, settings
from strategies import dtypes, layouts, poolings, seeds

from fastconv import ops, reference

DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def draw_pooling(rng: np.random.Generator) -> tuple[tuple[int, int, int, int], dict]:
    """An image shape, and the keyword arguments of max pooling: half of them as networks have them."""
    if rng.random() < 0.5:
        kernel, stride, padding = [(2, 2, 0), (3, 2, 1), (3, 2, 0), (2, 1, 0), (3, 3, 0), (3, 1, 1), (5, 3, 2)][
            rng.integers(7)
        ]
        arguments = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": 1}
        size = rng.integers(kernel, 40, 2)
    else:
        kernel, stride, dilation = rng.integers(1, 6, 2), rng.integers(1, 6, 2), rng.integers(1, 4, 2)
        padding = rng.integers(0, kernel // 2 + 1)
        size = np.maximum(1, dilation * (kernel - 1) + 1 - 2 * padding) + rng.integers(0, 16, 2)
        values = {"kernel_size": kernel, "stride": stride, "padding": padding, "dilation": dilation}
        arguments = {name: tuple(map(int, value)) for name, value in values.items()}
        if rng.random() < 0.3:
            arguments["stride"] = None
    arguments["ceil_mode"] = bool(rng.integers(2))
    return (int(rng.integers(0, 4)), int(rng.integers(1, 6)), *map(int, size)), arguments


def check_max(shape, arguments, rng, dtype, layouts, isas, values=None):
    """Forward and backward on few distinct values (many ties) or on those given."""
    x = rng.integers(-3, 4, shape).astype(dtype) if values is None else values
    y64, places = reference.max_pool2d(x, **arguments)
    dy = rng.standard_normal(y64.shape).astype(dtype)
    dx64 = reference.max_pool2d_backward(dy, places, shape)
    for layout in layouts:
        in_x, in_dy = layout(x), layout(dy)
        for _ in isas():
            y, indices = ops.max_pool2d(in_x, **arguments)
            assert y.dtype == dtype
            assert indices.dtype.kind == "i"
            np.testing.assert_array_equal(y, y64)
            np.testing.assert_array_equal(indices, places)
            assert_near(ops.max_pool2d_backward(in_dy, indices, shape), dx64)


def check_average(shape, arguments, rng, dtype, layouts, isas):
    arguments = {name: value for name, value in arguments.items() if name != "dilation"}
    kernel = arguments["kernel_size"]
    kernel = (kernel, kernel) if isinstance(kernel, int) else kernel
    if any(size + 2 * np.max(arguments["padding"]) < k for size, k in zip(shape[2:], kernel, strict=True)):
        return
    arguments["count_include_pad"] = bool(rng.integers(2))
    arguments["divisor_override"] = int(rng.integers(1, 9)) if rng.random() < 0.3 else None
    x = rng.standard_normal(shape).astype(dtype)
    y64 = reference.avg_pool2d(x, **arguments)
    dy = rng.standard_normal(y64.shape).astype(dtype)
    dx64 = reference.avg_pool2d_backward(dy, shape, **arguments)
    for layout in layouts:
        in_x, in_dy = layout(x), layout(dy)
        for _ in isas():
            assert_near(ops.avg_pool2d(in_x, **arguments), y64)
            assert_near(ops.avg_pool2d_backward(in_dy, shape, **arguments), dx64)


def check_adaptive(shape, size, rng, dtype, layouts, isas):
    x = rng.standard_normal(shape).astype(dtype)
    y64 = reference.adaptive_avg_pool2d(x, size)
    dy = rng.standard_normal(y64.shape).astype(dtype)
    dx64 = reference.adaptive_avg_pool2d_backward(dy, shape)
    for layout in layouts:
        in_x, in_dy = layout(x), layout(dy)
        for _ in isas():
            assert_near(ops.adaptive_avg_pool2d(in_x, size), y64)
            assert_near(ops.adaptive_avg_pool2d_backward(in_dy, shape), dx64)


# ---- values ----------------------------------------------------------------------------------------------------------


@both_dtypes
def test_drawn_cases(isas, dtype, guarded):
    rng = np.random.default_rng(1)
    names = list(LAYOUTS)
    for i in range(150):
        shape, arguments = draw_pooling(rng)
        layout = LAYOUTS[str(rng.choice(names))] if i % 2 else fenced
        try:
            check_max(shape, arguments, rng, dtype, [layout], isas)
            check_average(shape, arguments, rng, dtype, [layout], isas)
        except AssertionError as error:
            raise AssertionError(f"case {i}: {shape}, {arguments}, {layout.__name__}: {error}") from error
        guarded.check()


@settings(max_examples=100, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(poolings(), dtypes, layouts, seeds)
def test_any_case(isas, guarded, pooling, dtype, layout, seed):
    rng = np.random.default_rng(seed)
    check_max(*pooling, rng, dtype, [LAYOUTS[layout]], isas)
    check_average(*pooling, rng, dtype, [LAYOUTS[layout]], isas)
    guarded.check()


@both_dtypes
def test_special_values(isas, dtype):
    """NaN, both infinities and both zeros, scattered over images and over whole windows."""
    rng = np.random.default_rng(2)
    special = np.array([np.nan, -np.inf, np.inf, -0.0, 0.0, 1.0, -1.0], dtype)
    for probability in (None, [0.02, 0.9, 0.01, 0, 0, 0.07, 0]):
        for _ in range(30):
            shape, arguments = draw_pooling(rng)
            x = rng.choice(special, shape, p=probability)
            check_max(shape, arguments, rng, dtype, [fenced], isas, x)


@both_dtypes
def test_adaptive_drawn_cases(isas, dtype, guarded):
    rng = np.random.default_rng(3)
    names = list(LAYOUTS)
    for i in range(100):
        layout = LAYOUTS[str(rng.choice(names))] if i % 2 else fenced
        shape = (*map(int, rng.integers(1, 4, 2)), *map(int, rng.integers(1, 25, 2)))
        check_adaptive(shape, tuple(map(int, rng.integers(1, 12, 2))), rng, dtype, [layout], isas)
        guarded.check()


@both_dtypes
@pytest.mark.parametrize("size", [(2, 2), (4, 2), (6, 10), (6, 9), (5, 10), (4, 34)])
@pytest.mark.parametrize("kernel, stride", [(2, 2), ((2, 1), 2), ((1, 2), (2, 2)), (1, 2)])
def test_averages_of_small_planes(isas, threads, dtype, size, kernel, stride, guarded):
    """Whose rows of windows follow each other from plane to plane, or not."""
    rng = np.random.default_rng(5)
    arguments = {"kernel_size": kernel, "stride": stride, "padding": 0, "ceil_mode": False}
    for images, number in ((1, 1), (2, 1), (700, 1), (700, 3)):
        threads(number)
        check_average((images, 3, *size), arguments, rng, dtype, [fenced], isas)
        guarded.check()


def test_large_images(isa, threads):
    """Enough work for several threads, which must not change the results."""
    rng = np.random.default_rng(4)
    x = rng.standard_normal((3, 16, 70, 65), np.float32)
    results = []
    for number in (1, 2, 3):
        threads(number)
        for arguments in ((2, 2, 0), (3, 2, 1)):
            y, indices = ops.max_pool2d(x, *arguments)
            mean = ops.avg_pool2d(x, *arguments)
            dx = ops.max_pool2d_backward(y, indices, x.shape)
            dx_mean = ops.avg_pool2d_backward(mean, x.shape, *arguments)
            results.append((y, indices, mean, dx, dx_mean, ops.adaptive_avg_pool2d(x, 7)))
    for i in (0, 1):
        for later in (results[2 + i], results[4 + i]):
            for first, other in zip(results[i], later, strict=True):
                np.testing.assert_array_equal(first, other)
    np.testing.assert_array_equal(results[1][0], reference.max_pool2d(x, 3, 2, 1)[0])


@pytest.mark.parametrize("mode", ["zeros", "reflect", "replicate", "circular"])
def test_padding(guarded, mode):
    rng = np.random.default_rng(5)
    names = list(LAYOUTS)
    for i in range(60):
        dtype, layout = DTYPES[i % 2], LAYOUTS[str(rng.choice(names))]
        x = rng.standard_normal((*rng.integers(0, 4, 2), *rng.integers(1, 8, 2))).astype(dtype)
        most = {"reflect": (x.shape[3] - 1, x.shape[2] - 1), "circular": (x.shape[3], x.shape[2])}.get(mode, (5, 5))
        pads = tuple(int(rng.integers(0, m + 1)) for m in (most[0], most[0], most[1], most[1]))
        y64 = reference.pad2d(x, pads, mode)
        y = ops.pad2d(layout(x), pads, mode)
        assert y.dtype == dtype
        np.testing.assert_array_equal(y, y64)
        dy = rng.standard_normal(y.shape).astype(dtype)
        given = layout(dy)
        assert_near(ops.pad2d_backward(given, pads, mode), reference.pad2d_backward(dy, pads, mode))
        np.testing.assert_array_equal(given, dy)
        guarded.check()


def test_padding_of_a_single_image():
    x = np.arange(6.0).reshape(1, 2, 3)
    assert_near(ops.pad2d(x, (1, 0, 0, 1), "replicate"), np.array([[[0, 0, 1, 2], [3, 3, 4, 5], [3, 3, 4, 5]]]))
    assert_near(ops.pad2d_backward(np.ones((1, 3, 4)), [1, 0, 0, 1], "replicate"), np.array([[[2, 1, 1], [4, 2, 2]]]))


# ---- shapes and dtypes -----------------------------------------------------------------------------------------------


def test_single_image():
    x = np.random.default_rng(6).standard_normal((3, 7, 9))
    y, indices = ops.max_pool2d(x, 3, 2, 1)
    y64, places = reference.max_pool2d(x, 3, 2, 1)
    np.testing.assert_array_equal(y, y64)
    np.testing.assert_array_equal(indices, places)
    assert_near(ops.max_pool2d_backward(y, indices, x.shape), reference.max_pool2d_backward(y, places, x.shape))
    y = ops.avg_pool2d(x, 3, 2, 1)
    assert_near(y, reference.avg_pool2d(x, 3, 2, 1))
    assert_near(ops.avg_pool2d_backward(y, x.shape, 3, 2, 1), reference.avg_pool2d_backward(y, x.shape, 3, 2, 1))
    y = ops.adaptive_avg_pool2d(x, (2, 4))
    assert_near(y, reference.adaptive_avg_pool2d(x, (2, 4)))
    assert_near(ops.adaptive_avg_pool2d_backward(y, x.shape), reference.adaptive_avg_pool2d_backward(y, x.shape))


def test_empty_batch(guarded):
    x = np.ones((0, 3, 8, 8), np.float32)
    y, indices = ops.max_pool2d(x, 2)
    assert y.shape == indices.shape == (0, 3, 4, 4)
    assert ops.max_pool2d_backward(y, indices, x.shape).shape == x.shape
    assert ops.avg_pool2d(x, 2).shape == (0, 3, 4, 4)
    assert ops.avg_pool2d_backward(y, x.shape, 2).shape == x.shape
    assert ops.adaptive_avg_pool2d(x, 3).shape == (0, 3, 3, 3)
    assert ops.adaptive_avg_pool2d_backward(y, x.shape).shape == x.shape


def test_adaptive_output_sizes():
    x = np.random.default_rng(7).standard_normal((2, 3, 6, 8))
    np.testing.assert_array_equal(ops.adaptive_avg_pool2d(x, (None, None)), x)
    np.testing.assert_array_equal(ops.adaptive_avg_pool2d(x, None), x)
    assert_near(ops.adaptive_avg_pool2d(x, (None, 1)), x.mean(axis=3, keepdims=True))
    assert_near(ops.adaptive_avg_pool2d(x, [1, np.int64(1)]), x.mean(axis=(2, 3), keepdims=True))
    y = ops.adaptive_avg_pool2d(x, (0, 4))
    assert y.shape == (2, 3, 0, 4)
    np.testing.assert_array_equal(ops.adaptive_avg_pool2d_backward(y, x.shape), np.zeros(x.shape))


def test_half_precision_is_computed_in_single():
    x = np.random.default_rng(8).standard_normal((1, 2, 6, 6)).astype(np.float16)
    assert ops.max_pool2d(x, 2)[0].dtype == np.float32
    assert_near(ops.avg_pool2d(x, 2), reference.avg_pool2d(x, 2))


def test_planes_that_indices_cannot_hold():
    x = np.broadcast_to(np.float32(1), (1, 1, 2**16, 2**15))
    with pytest.raises(ValueError, match="65536 x 32768 pixels has more than int32 can index"):
        ops.max_pool2d(x, 2**15)


# ---- errors ----------------------------------------------------------------------------------------------------------


def ones(*shape):
    return np.ones(shape, np.float32)


X = ones(1, 3, 8, 8)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ((0,), ValueError, "kernel_size=0"),
        ((2, 0), ValueError, "stride=0"),
        ((2, (1, -1)), ValueError, r"stride=\(1, -1\)"),
        ((2, 2, -1), ValueError, "padding=-1"),
        ((2, 2, 2), ValueError, "at most half.*padding=2, kernel_size=2"),
        ((9,), RuntimeError, r"window larger.*\[1, 3, 8, 8\], kernel_size=9"),
        (((1, 2, 3),), ValueError, r"\(1, 2, 3\)"),
        ((2.0,), TypeError, "kernel_size.*2.0"),
        ((None,), TypeError, "kernel_size.*None"),
        ((2**61,), ValueError, f"kernel_size={2**61}"),
    ],
)
def test_impossible_windows(arguments, error, message):
    with pytest.raises(error, match=message):
        ops.max_pool2d(X, *arguments)
    with pytest.raises(error, match=message):
        ops.avg_pool2d(X, *arguments)
    with pytest.raises(error, match=message):
        ops.avg_pool2d_backward(ones(1, 3, 4, 4), X.shape, *arguments)


def test_impossible_dilation():
    with pytest.raises(ValueError, match="dilation=0"):
        ops.max_pool2d(X, 2, dilation=0)
    with pytest.raises(RuntimeError, match="dilation=8"):
        ops.max_pool2d(X, 2, dilation=8)


@pytest.mark.parametrize("pool", [lambda x: ops.max_pool2d(x, 2), lambda x: ops.avg_pool2d(x, 2),
                                  lambda x: ops.adaptive_avg_pool2d(x, 2)])  # fmt: skip
def test_unfit_inputs(pool):
    for shape in ((8, 8), (1, 1, 3, 8, 8), (8,), ()):
        with pytest.raises(RuntimeError, match=rf"{len(shape)}-D input of size \[{', '.join(map(str, shape))}\]"):
            pool(np.ones(shape, np.float32))
    for shape in ((1, 0, 8, 8), (1, 3, 0, 8), (3, 8, 0)):
        with pytest.raises(RuntimeError, match="empty in its batch alone"):
            pool(np.ones(shape, np.float32))
    with pytest.raises(TypeError, match=r"int64.*astype\(numpy.float32\)"):
        pool(np.ones((1, 3, 8, 8), np.int64))
    with pytest.raises(TypeError, match="list"):
        pool([[[1.0]]])


@pytest.mark.parametrize("divisor, error", [(0, ValueError), (2**61, ValueError), (2.5, TypeError), (True, TypeError)])
def test_impossible_divisors(divisor, error):
    with pytest.raises(error, match=f"divisor_override.*{divisor}"):
        ops.avg_pool2d(X, 2, divisor_override=divisor)


def test_negative_divisor_is_torchs(isa):
    np.testing.assert_array_equal(ops.avg_pool2d(X, 2, divisor_override=-2), -2 * ones(1, 3, 4, 4))


@pytest.mark.parametrize(
    "size, error",
    [(-1, ValueError), ((1, -1), ValueError), ((1, 2, 3), ValueError), ([], ValueError), (1.5, TypeError),
     ("7", TypeError), ((1, "7"), TypeError)],
)  # fmt: skip
def test_impossible_adaptive_sizes(size, error):
    with pytest.raises(error, match="output_size"):
        ops.adaptive_avg_pool2d(X, size)


def test_gradients_of_another_size_are_refused():
    y, indices = ops.max_pool2d(X, 2)
    with pytest.raises(RuntimeError, match=r"gradient \[1, 3, 4, 3\], indices \[1, 3, 4, 4\]"):
        ops.max_pool2d_backward(y[..., :3], indices, X.shape)
    with pytest.raises(RuntimeError, match=r"input \[1, 2, 8, 8\]"):
        ops.max_pool2d_backward(y, indices, (1, 2, 8, 8))
    with pytest.raises(RuntimeError, match=r"input \[3, 8, 8\]"):
        ops.max_pool2d_backward(y, indices, (3, 8, 8))
    with pytest.raises(TypeError, match="float32"):
        ops.max_pool2d_backward(y, y, X.shape)
    with pytest.raises(TypeError, match="list"):
        ops.max_pool2d_backward(y, indices.tolist(), X.shape)
    with pytest.raises(RuntimeError, match=r"expected gradient of size \[1, 3, 4, 4\].*got \[1, 3, 4, 3\]"):
        ops.avg_pool2d_backward(y[..., :3], X.shape, 2)
    with pytest.raises(RuntimeError, match=r"input \[2, 3, 8, 8\].*\[1, 3, 4, 4\]"):
        ops.adaptive_avg_pool2d_backward(y, (2, 3, 8, 8))


@pytest.mark.parametrize(
    "pads, mode, error, message",
    [
        ((1, 1, 1, 1), "mirror", ValueError, "zeros, reflect, replicate, circular, got 'mirror'"),
        ((1, 1), "zeros", ValueError, r"\(left, right, top, bottom\).*got \(1, 1\)"),
        ((1, 1, 1, -1), "zeros", ValueError, r"got \(1, 1, 1, -1\)"),
        (1, "zeros", TypeError, "got 1"),
        ((1, 1, 1, 1.5), "zeros", TypeError, "1.5"),
        ((8, 0, 0, 0), "reflect", RuntimeError, r"pads \(8, 0, 0, 0\) for images of 8 x 8"),
        ((0, 0, 0, 9), "circular", RuntimeError, r"pads \(0, 0, 0, 9\) for images of 8 x 8"),
        ((0, 2**62, 0, 0), "zeros", ValueError, f"{2**62}"),
    ],
)
def test_impossible_pads(pads, mode, error, message):
    with pytest.raises(error, match=message):
        ops.pad2d(X, pads, mode)
    if error is not RuntimeError and max(np.ravel(pads)) < 2**60:
        with pytest.raises(error, match=message):
            ops.pad2d_backward(X, pads, mode)


def test_pads_of_empty_and_small_images():
    with pytest.raises(RuntimeError, match="no edge to replicate in images of 0 x 3"):
        ops.pad2d(ones(1, 1, 0, 3), (0, 0, 1, 0), "replicate")
    np.testing.assert_array_equal(ops.pad2d(ones(1, 1, 0, 3), (0, 0, 1, 0)), np.zeros((1, 1, 1, 3)))
    with pytest.raises(RuntimeError, match=r"gradient of size \[1, 1, 2, 3\] is smaller than its pads"):
        ops.pad2d_backward(ones(1, 1, 2, 3), (0, 0, 2, 1))


# ---- torch -----------------------------------------------------------------------------------------------------------


def test_agrees_with_torch():
    torch = pytest.importorskip("torch")
    F = torch.nn.functional
    rng = np.random.default_rng(9)
    for _ in range(60):
        shape, arguments = draw_pooling(rng)
        x = rng.choice(np.array([-2, -1, 0, 1, 2, np.nan, -np.inf], np.float32), shape)
        tx = torch.tensor(x, requires_grad=True)
        expected, places = F.max_pool2d(tx, **arguments, return_indices=True)
        y, indices = ops.max_pool2d(x, **arguments)
        np.testing.assert_array_equal(y, expected.detach().numpy())
        np.testing.assert_array_equal(indices, places.numpy())
        if not len(x):
            continue
        dy = rng.standard_normal(y.shape, np.float32)
        expected.backward(torch.tensor(dy))
        assert_near(ops.max_pool2d_backward(dy, indices, shape), tx.grad.numpy())

        x = rng.standard_normal(shape, np.float32)
        tx = torch.tensor(x, requires_grad=True)
        size = tuple(map(int, rng.integers(1, 9, 2)))
        expected = F.adaptive_avg_pool2d(tx, size)
        y = ops.adaptive_avg_pool2d(x, size)
        assert_near(y, expected.detach().numpy())
        dy = rng.standard_normal(y.shape, np.float32)
        expected.backward(torch.tensor(dy))
        assert_near(ops.adaptive_avg_pool2d_backward(dy, shape), tx.grad.numpy())

    for mode in ("reflect", "replicate", "circular"):
        x = rng.standard_normal((2, 3, 5, 6), np.float32)
        tx = torch.tensor(x, requires_grad=True)
        expected = F.pad(tx, (3, 1, 2, 4), mode)
        y = ops.pad2d(x, (3, 1, 2, 4), mode)
        np.testing.assert_array_equal(y, expected.detach().numpy())
        expected.backward(torch.tensor(y))
        assert_near(ops.pad2d_backward(y, (3, 1, 2, 4), mode), tx.grad.numpy())
