"""Numbers that are none, infinite, signed zeros or subnormal: where they go, and that nothing else changes."""

import ctypes
import threading

import numpy as np
import pytest
from checks import assert_near

import fastconv
from fastconv import backends, elementwise, nn, ops, reference
from fastconv.nn import functional as F

pytestmark = pytest.mark.usefixtures("isa")


def normal(*shape, dtype=np.float32, seed=0):
    return np.random.default_rng(seed).standard_normal(shape).astype(dtype)


@pytest.fixture
def direct():
    """No Winograd, which adds and subtracts the pixels of a tile before it multiplies them."""
    with backends.winograd.flags(enabled=False):
        yield


@pytest.mark.usefixtures("direct")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize(
    "arguments",
    [(1, 0, 1, 1), (2, 1, 1, 1), (1, (2, 1), 2, 1), (1, 1, 1, 3)],
    ids=["dense", "strided", "dilated", "depthwise"],
)
def test_a_bad_pixel_spoils_the_windows_that_see_it_and_no_other(bad, dtype, arguments):
    groups = arguments[3]
    x, w = normal(2, 3, 11, 12, dtype=dtype), normal(6, 3 // groups, 3, 3, dtype=dtype)
    good = ops.conv2d(x, w, None, *arguments)
    where = (1, 1, 4, 5)
    spoiled = x.copy()
    spoiled[where] = bad
    y = ops.conv2d(spoiled, w, None, *arguments)
    # Who sees the pixel: where a pixel of 1 among zeros, under a kernel of ones, leaves something.
    mark = np.zeros_like(x)
    mark[where] = 1
    sees = reference.conv2d(mark, np.ones_like(w), None, *arguments) != 0
    assert not np.isfinite(y[sees]).any()
    np.testing.assert_array_equal(y[~sees], good[~sees])
    # Likewise for the gradients: a bad dy spoils the pixels that it came from, and its own filter.
    dy = normal(*y.shape, dtype=dtype, seed=1)
    good_dx = ops.conv2d_input(x.shape, w, dy, *arguments)
    good_dw = ops.conv2d_weight(x, w.shape, dy, *arguments)
    dy[0, 2, 3, 3] = bad
    mark = np.zeros_like(dy)
    mark[0, 2, 3, 3] = 1
    sees = reference.conv2d_input(x.shape, np.ones_like(w), mark, *arguments) != 0
    dx = ops.conv2d_input(x.shape, w, dy, *arguments)
    assert not np.isfinite(dx[sees]).any()
    np.testing.assert_array_equal(dx[~sees], good_dx[~sees])
    dw = ops.conv2d_weight(x, w.shape, dy, *arguments)
    assert not np.isfinite(dw[2]).any()
    np.testing.assert_array_equal(np.delete(dw, 2, 0), np.delete(good_dw, 2, 0))


def test_a_bad_pixel_is_never_lost_and_stays_near():
    """As above for any algorithm: tiles of Winograd's may spread it, by less than 8 pixels, and make infinity NaN."""
    x, w = normal(2, 24, 30, 31), normal(40, 24, 3, 3)
    good = ops.conv2d(x, w, padding=1)
    good_dx = ops.conv2d_input(x.shape, w, good, padding=1)
    for bad in (np.nan, np.inf):
        spoiled = x.copy()
        spoiled[1, 5, 14, 15] = bad
        y = ops.conv2d(spoiled, w, padding=1)
        far = np.ones(y.shape, bool)
        far[1, :, 6:23, 7:24] = False
        assert not np.isfinite(y[1, :, 13:16, 14:17]).any()
        np.testing.assert_array_equal(y[far], good[far])
        dx = ops.conv2d_input(x.shape, w, np.where(np.arange(31) == 15, bad, good).astype(np.float32), padding=1)
        assert not np.isfinite(dx[:, :, :, 14:17]).any()
        assert np.isfinite(dx[..., :6]).all() and np.isfinite(dx[..., 25:]).all()
        dw = ops.conv2d_weight(spoiled, w.shape, good, padding=1)
        assert not np.isfinite(dw[:, 5]).any()
    np.testing.assert_array_equal(ops.conv2d_input(x.shape, w, good, padding=1), good_dx)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_a_bad_weight_spoils_its_filter_alone(bad):
    x, w = normal(2, 3, 9, 9), normal(5, 3, 3, 3)
    good = ops.conv2d(x, w, padding=1)
    w[3, 1, 1, 1] = bad
    y = ops.conv2d(x, w, padding=1)
    assert not np.isfinite(y[:, 3]).any()
    np.testing.assert_array_equal(np.delete(y, 3, 1), np.delete(good, 3, 1))
    b = np.zeros(5, np.float32)
    b[2] = bad
    y = ops.conv2d(x, w, b, padding=1)
    assert not np.isfinite(y[:, 2:4]).any()


@pytest.mark.usefixtures("direct")
@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("shape", [(16, 3, 5, 5), (20, 1, 3, 3), (24, 4, 11, 11), (9, 17, 3, 3), (16, 16, 1, 1)])
def test_a_bad_weight_spoils_the_gradient_of_its_channel_alone(dtype, shape):
    """However it is computed: no other channel is multiplied with it, and no pixel that it reaches left out."""
    x_shape, w = (2, shape[1], 18, 19), normal(*shape, dtype=dtype)
    height, width = 18 - shape[2] + 1, 19 - shape[3] + 1
    dy = normal(2, shape[0], height, width, dtype=dtype, seed=1)
    good = ops.conv2d_input(x_shape, w, dy)
    for where in ((0, 0, 0, 0), tuple(n - 1 for n in shape), tuple(n // 2 for n in shape)):
        spoiled = w.copy()
        spoiled[where] = np.nan
        _, channel, row, column = where
        dx = ops.conv2d_input(x_shape, spoiled, dy)
        assert np.isnan(dx[:, channel, row : row + height, column : column + width]).all()
        assert_near(np.delete(dx, channel, 1), np.delete(good, channel, 1))


@pytest.mark.usefixtures("direct")
def test_infinity_stays_infinite():
    x = np.full((1, 2, 6, 6), 1, np.float32)
    x[0, 0, 2, 2] = np.inf
    w = np.ones((1, 2, 3, 3), np.float32)
    y = ops.conv2d(x, w)
    assert (y[0, 0, :3, :3] == np.inf).all()
    assert (ops.conv2d(x, -w)[0, 0, :3, :3] == -np.inf).all()
    assert np.isnan(ops.conv2d(x, w * 0)[0, 0, :3, :3]).all(), "infinity times zero is no number"
    assert (ops.avg_pool2d(x, 2)[0, 0] == [[1, 1, 1], [1, np.inf, 1], [1, 1, 1]]).all()
    assert ops.adaptive_avg_pool2d(x, 1)[0, 0, 0, 0] == np.inf
    assert ops.bias_gradient(x).tolist() == [np.inf, 36]


def test_signed_zeros():
    zeros = np.zeros((1, 1, 2, 40), np.float32)
    assert not np.signbit(elementwise.relu(-zeros) + zeros).any()
    for first in (zeros, -zeros):
        y, indices = ops.max_pool2d(np.concatenate([first, -first], 2), (4, 1))
        assert (np.signbit(y) == np.signbit(first[:, :, :1])).all(), "of equals the first"
        assert (indices < 40).all()
    # In a sum from nothing, no minus is left.
    assert not np.signbit(ops.conv2d(zeros, np.ones((1, 1, 1, 1), np.float32)) + 0).any()


def test_no_number_in_element_wise_layers():
    x = normal(4, 3, 5, 5)
    x[1, 1, 2, 2] = np.nan
    y = elementwise.relu(x)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(x))
    assert elementwise.relu_backward(np.ones_like(x), y)[1, 1, 2, 2] == 1  # as torch's: 0 where y <= 0
    # Batch norm: the channel, and no other.
    y = nn.BatchNorm2d(3)(fastconv.from_numpy(x)).detach().numpy()
    assert np.isnan(y[:, 1]).all()
    assert np.isfinite(np.delete(y, 1, 1)).all()
    # The loss: a row, and so the mean; other rows keep their gradient.
    scores = fastconv.from_numpy(normal(3, 4)).requires_grad_()
    spoiled = scores.detach().clone()
    spoiled[1, 2] = float("nan")
    spoiled.requires_grad_()
    labels = fastconv.tensor([0, 1, 2])
    for logits in (scores, spoiled):
        F.cross_entropy(logits, labels, reduction="sum").backward()
    assert np.isnan(spoiled.grad.numpy()[1]).all()
    np.testing.assert_array_equal(spoiled.grad.numpy()[[0, 2]], scores.grad.numpy()[[0, 2]])
    # Infinite logits: certain, or impossible.
    loss = F.cross_entropy(fastconv.tensor([[0.0, -np.inf], [1.0, 3.0e38]]), fastconv.tensor([0, 1]), reduction="none")
    assert loss.tolist() == [0, 0]


def test_sums_of_many_ones_are_exact():
    """Beyond 2^24 a float32 sum one by one stands still."""
    many = 2**25
    x = fastconv.from_numpy(np.broadcast_to(np.float32(1), (many,)))
    assert x.sum().item() == many
    assert x.mean().item() == 1
    ones = np.broadcast_to(np.float32(1), (2, 1, 4096, 4096))
    mean, variance = fastconv.zeros(1), fastconv.ones(1)
    F.batch_norm(fastconv.from_numpy(ones), mean, variance, training=True, momentum=1.0)
    assert (mean.item(), variance.item()) == (1, 0)
    assert ops.adaptive_avg_pool2d(ones[:1], 1).item() == 1
    assert ops.avg_pool2d(ones[:1], 4096).item() == 1


def test_the_same_bits_from_run_to_run_and_for_any_threads(threads):
    x, w = normal(6, 24, 30, 31), normal(40, 24, 3, 3)
    matrix, weight = normal(64, 3000), normal(50, 3000)
    layer = nn.BatchNorm2d(24)

    def everything():
        y = ops.conv2d(x, w, padding=1)
        pooled, indices = ops.max_pool2d(y, 3, 2, 1)
        tensor = fastconv.from_numpy(x).requires_grad_()
        layer(tensor).relu().sum().backward()
        return (
            *(y, ops.conv2d_input(x.shape, w, y, padding=1), ops.conv2d_weight(x, w.shape, y, padding=1)),
            *(pooled, ops.max_pool2d_backward(pooled, indices, y.shape), ops.avg_pool2d(y, 2)),
            *(ops.linear(matrix, weight), ops.linear_input(weight, normal(64, 50)), ops.bias_gradient(y)),
            *(ops.linear_weight(matrix, normal(64, 50)), tensor.grad.numpy(), layer.weight.grad.numpy()),
        )

    threads(1)
    expected = everything()
    for number in (1, 2, 3, 5, 8):
        threads(number)
        for _ in range(2):
            layer.zero_grad()
            for one, other in zip(everything(), expected, strict=True):
                np.testing.assert_array_equal(one, other)


def test_subnormal_numbers_in_average_pooling_and_updates_are_zeros_at_worst():
    tiny = np.float32(1e-40)
    x = np.full((2, 3, 8, 8), tiny)
    for y in (ops.avg_pool2d(x, 2), ops.adaptive_avg_pool2d(x, 3), ops.avg_pool2d_backward(x, (2, 3, 16, 16), 2)):
        assert (y >= 0).all() and (y <= tiny).all()
    # What pooling compares or carries stays as it is.
    y, indices = ops.max_pool2d(x, 2)
    assert (y == tiny).all()
    assert (ops.max_pool2d_backward(y, indices, x.shape).sum((2, 3)) > 0).all()
    assert (elementwise.relu(x) == tiny).all()
    assert (ops.pad2d(x, (1, 1, 1, 1), "reflect") == tiny).all()
    p = fastconv.ones(5).requires_grad_()
    p.grad = fastconv.from_numpy(np.full(5, tiny))
    fastconv.optim.SGD([p], lr=0.1, momentum=0.9).step()
    assert p.tolist() == [1] * 5


def test_the_same_bits_of_single_passes_for_any_threads(threads):
    rng = np.random.default_rng(21)
    x, dy = (rng.standard_normal((3, 50, 70, 71), dtype=np.float32) for _ in range(2))
    results = []
    for n in (1, 2, 3):
        threads(n)
        y = elementwise.relu(x)
        results.append((y, elementwise.relu_backward(dy, y), ops.bias_gradient(dy)))
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            np.testing.assert_array_equal(one, other)


def test_the_callers_floating_mode_is_restored(threads):
    """Also where the work was done by several threads, in another thread, or the call failed."""
    x, w = normal(8, 16, 40, 40), normal(32, 16, 3, 3)

    def call():
        y = ops.conv2d(x, w)
        ops.conv2d_weight(x, w.shape, ops.avg_pool2d(y, 1))
        ops.adaptive_avg_pool2d(y, 3)
        with pytest.raises(ValueError):
            ops.conv2d(x, w, stride=0)

    def keeps_subnormals():
        assert np.float32(2e-38) * np.float32(0.25) > 0
        assert np.float64(3e-308) * 0.25 > 0
        assert np.full(9, 1e-40, np.float32).sum() > 0
        assert ctypes.c_float(1e-40).value > 0

    for number in (1, 3):
        threads(number)
        call()
        keeps_subnormals()
        worker = threading.Thread(target=lambda: (call(), keeps_subnormals()))
        worker.start()
        worker.join()


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("scale", [1e-30, 1e-15, 1e15])
def test_numbers_far_from_one(dtype, scale):
    x, w = normal(2, 4, 9, 9, dtype=dtype) * dtype(scale), normal(6, 4, 3, 3, dtype=dtype)
    y64 = reference.conv2d(x, w)
    assert_near(ops.conv2d(x, w), y64)
    assert_near(ops.conv2d_input(x.shape, w, y64.astype(dtype)), reference.conv2d_input(x.shape, w, y64.astype(dtype)))
    assert_near(ops.avg_pool2d(x, 3), reference.avg_pool2d(x, 3))


@pytest.mark.usefixtures("direct")
def test_overflow_is_infinite_and_says_nothing():
    x = np.full((1, 4, 5, 5), 3e38, np.float32)
    with np.errstate(all="raise"):
        assert (ops.conv2d(x, np.ones((2, 4, 3, 3), np.float32)) == np.inf).all()
        assert np.isfinite(ops.max_pool2d(x, 2)[0]).all()
