"""Pooling writes results with channels last as well as in C order, and reads either."""

import numpy as np
import pytest

from fastconv import ops
from fastconv._native import pool

GUARD = 32  # elements before and after a result
SHAPES = [(1, 5, 1, 1), (2, 3, 7, 6), (2, 16, 9, 11), (3, 37, 8, 5), (1, 70, 13, 12)]
WINDOWS = [((2, 2), (2, 2), (0, 0)), ((3, 3), (2, 2), (1, 1)), ((3, 2), (1, 3), (1, 0)), ((1, 4), (3, 1), (0, 2))]


class ChannelsLast:
    """Poisoned memory between guard zones; `array` has channels last."""

    def __init__(self, shape, dtype):
        n, c, h, w = shape
        self.memory = np.full(n * c * h * w + 2 * GUARD, 77, dtype)
        self.array = self.memory[GUARD:-GUARD].reshape(n, h, w, c).transpose(0, 3, 1, 2)

    def check(self):
        assert (self.memory[:GUARD] == 77).all()
        assert (self.memory[-GUARD:] == 77).all()


def channels_last(a, gap=0):
    """A copy with channels last, and some elements between pixels."""
    n, c, h, w = a.shape
    memory = np.full((n, h, w, c + gap), 77, a.dtype)
    memory[..., :c] = a.transpose(0, 2, 3, 1)
    return memory[..., :c].transpose(0, 3, 1, 2)


def cases(dtype):
    rng = np.random.default_rng(0)
    for shape in SHAPES:
        x = rng.standard_normal(shape).astype(dtype)
        for window in WINDOWS:
            (kernel_h, kernel_w), _, (pad_h, pad_w) = window
            if kernel_h <= shape[2] + 2 * pad_h and kernel_w <= shape[3] + 2 * pad_w:
                yield rng, x, window, [v for pair in window for v in pair]


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize("n_threads", [1, 3])
def test_largest(isa, threads, dtype, n_threads):
    threads(n_threads)
    kind = np.dtype(f"i{np.dtype(dtype).itemsize}")
    for rng, x, window, integers in cases(dtype):
        x[rng.random(x.shape) < 0.3] = -np.inf
        x[rng.random(x.shape) < 0.05] = np.nan
        y, indices = ops.max_pool2d(x, *window)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = ops.max_pool2d_backward(dy, indices, x.shape)
        for source in (channels_last(x), channels_last(x, 2), x):
            out, places = ChannelsLast(y.shape, dtype), ChannelsLast(y.shape, kind)
            pool.max_forward(source, out.array, places.array, *integers, 1, 1)
            np.testing.assert_array_equal(out.array, y)
            np.testing.assert_array_equal(places.array, indices)
            pool.max_forward(source, out.array, None, *integers, 1, 1)
            np.testing.assert_array_equal(out.array, y)
            gradient = ChannelsLast(x.shape, dtype)
            assert pool.max_backward(channels_last(dy), places.array, gradient.array)
            np.testing.assert_array_equal(gradient.array, dx)
            for result in (out, places, gradient):
                result.check()


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
@pytest.mark.parametrize(("count_include_pad", "divisor"), [(True, 0), (False, 0), (False, -3)])
def test_average(isa, threads, dtype, count_include_pad, divisor):
    threads(3)
    close = {"rtol": 20 * np.finfo(dtype).eps, "atol": 20 * np.finfo(dtype).eps}
    for rng, x, window, integers in cases(dtype):
        options = False, count_include_pad, divisor or None
        y = ops.avg_pool2d(x, *window, *options)
        dy = rng.standard_normal(y.shape).astype(dtype)
        dx = ops.avg_pool2d_backward(dy, x.shape, *window, *options)
        for source in (channels_last(x), channels_last(x, 2), x):
            out, gradient = ChannelsLast(y.shape, dtype), ChannelsLast(x.shape, dtype)
            pool.average_forward(source, out.array, *integers, count_include_pad, divisor)
            np.testing.assert_allclose(out.array, y, **close)
            pool.average_backward(channels_last(dy), gradient.array, *integers, count_include_pad, divisor)
            np.testing.assert_allclose(gradient.array, dx, **close)
            out.check()
            gradient.check()


@pytest.mark.parametrize("size", [(1, 1), (3, 2), (7, 9)])
def test_adaptive_average_has_the_same_bits(isa, threads, size):
    threads(3)
    rng = np.random.default_rng(1)
    for shape in SHAPES:
        x = rng.standard_normal(shape).astype(np.float32)
        y = ops.adaptive_avg_pool2d(x, size)
        dy = rng.standard_normal(y.shape).astype(np.float32)
        for source in (channels_last(x), x):
            out, gradient, dense = ChannelsLast(y.shape, np.float32), ChannelsLast(shape, np.float32), np.empty_like(y)
            pool.adaptive_average_forward(source, out.array)
            pool.adaptive_average_forward(source, dense)
            np.testing.assert_array_equal(out.array, y)
            np.testing.assert_array_equal(dense, y)
            pool.adaptive_average_backward(channels_last(dy), gradient.array)
            np.testing.assert_array_equal(gradient.array, ops.adaptive_avg_pool2d_backward(dy, shape))
            out.check()
            gradient.check()


def test_places_are_laid_out_as_the_largest():
    x = np.zeros((2, 16, 4, 4), np.float32)
    y = channels_last(x[:, :, :2, :2])
    with pytest.raises(ValueError, match="channels last"):
        pool.max_forward(x, y, np.zeros(y.shape, np.int32), 2, 2, 2, 2, 0, 0, 1, 1)
    with pytest.raises(ValueError, match="C-contiguous"):
        pool.max_forward(x, y.copy(), channels_last(np.zeros(y.shape, np.int32)), 2, 2, 2, 2, 0, 0, 1, 1)
