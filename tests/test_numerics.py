"""The bounds of docs/numerics.md, element by element, on data whose scales are far apart."""

import numpy as np
import pytest
from cases import LAYOUTS, make_case, parameters, w_shape, x_shape
from numerics import (
    METHODS,
    assert_within,
    conv2d_bound,
    conv2d_input_bound,
    conv2d_weight_bound,
    draw_case_of,
    draw_scaled,
    forced,
    pass_ratios,
    scales,
    worst_ratio,
)

from fastconv import ops, reference

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
each_method = pytest.mark.parametrize("method", METHODS)


@each_method
@both_dtypes
def test_drawn_scales(isa, dtype, method):
    names = list(LAYOUTS)
    for i in range(40):
        rng = np.random.default_rng([51, i])
        case = draw_case_of(rng, method)
        x, w, b, dy = draw_scaled(rng, case, dtype)
        layouts = [LAYOUTS[str(name)] for name in rng.choice(names, 3)]
        with forced(method):
            ratios = pass_ratios(x, w, b, dy, parameters(case), layouts)
        assert max(ratios.values()) <= 1, f"case {i}, {case}: errors by their bounds {ratios}"


# Of each form of the loop nests a layer of its own.
LAYERS = (
    make_case("pointwise.deep", 2, 512, 6, 7, 300, 1, 1),
    make_case("3x3.deep", 1, 300, 9, 9, 40, 3, 3, padding=(1, 1)),
    make_case("first.layer", 2, 3, 33, 35, 24, 7, 7, 2, (3, 3)),
    make_case("grouped", 2, 24, 15, 17, 36, 3, 3, padding=(1, 1), groups=3),
    make_case("depthwise", 3, 37, 19, 21, 37, 3, 3, padding=(1, 1), groups=37),
    make_case("depthwise.strided", 2, 20, 19, 21, 20, 5, 5, 2, (2, 2), groups=20),
    make_case("dilated", 1, 20, 24, 25, 20, 3, 3, padding=(2, 4), dilation=(2, 4)),
    make_case("sequence", 3, 40, 1, 90, 30, 1, 7, padding=(0, 3)),
    make_case("strided.in.vectors", 2, 32, 21, 20, 17, 3, 3, 2, (1, 1)),
)


@each_method
@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case["name"])
@pytest.mark.parametrize("last", [False, True], ids=["channels-first", "channels-last"])
def test_layers(isa, method, case, last):
    layouts = [LAYOUTS["channels_last" if last else "fenced"]] * 3
    for i in range(3):
        rng = np.random.default_rng([52, i])
        x, w, b, dy = draw_scaled(rng, case, np.float32)
        with forced(method):
            ratios = pass_ratios(x, w, b, dy, parameters(case), layouts)
        assert max(ratios.values()) <= 1, f"draw {i}: errors by their bounds {ratios}"


@pytest.mark.parametrize("size", [1e3, 65535.0, 1e9, 1e30])
@each_method
def test_a_hot_pixel(isa, method, size):
    """It costs accuracy nowhere but in the tiles that see it, and there as much as the bound says."""
    case = make_case("hot", 1, 16, 24, 24, 16, 3, 3, padding=(1, 1))
    rng = np.random.default_rng(53)
    x, w = (rng.standard_normal(shape(case), dtype=np.float32) for shape in (x_shape, w_shape))
    x[0, 5, 11, 13] = size
    with forced(method):
        y = ops.conv2d(x, w, padding=1)
    y64 = reference.conv2d(x, w, padding=1)
    assert_within(y, y64, conv2d_bound(x, w, padding=1, method=method))
    beyond = np.ones(y.shape, bool)
    beyond[:, :, 11 - 4 : 11 + 5, 13 - 4 : 13 + 5] = False
    assert_within(y[beyond], y64[beyond], conv2d_bound(x, w, padding=1, method="direct")[beyond] * 6)


@each_method
@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case["name"])
def test_what_is_zero_stays_zero(isa, method, case):
    """Exactly: a filter, an image, a channel, and gradients of one of each."""
    rng = np.random.default_rng(54)
    arguments, groups = parameters(case), case["groups"]
    x = rng.standard_normal(x_shape(case), dtype=np.float32) * scales(rng, (case["N"], 1, 1, 1)).astype(np.float32)
    w = rng.standard_normal(w_shape(case), dtype=np.float32)
    image, filter_, channel = case["N"] - 1, case["K"] // 2, case["C"] // 3
    dy = rng.standard_normal(reference._Taps(x.shape, w.shape, *arguments).y_shape).astype(np.float32)
    x[image] = 0
    x[:, channel] = 0
    w[filter_] = 0
    dy[image] = 0
    dy[:, filter_] = 0
    with forced(method):
        y = ops.conv2d(x, w, None, *arguments)
        biased = ops.conv2d(x, w, np.full(case["K"], 3, np.float32), *arguments)
        dx = ops.conv2d_input(x.shape, w, dy, *arguments)
        dw = ops.conv2d_weight(x, w.shape, dy, *arguments)
    assert not y[image].any(), "an image"
    assert (biased[image] == 3).all(), "an image, and a bias"
    assert not y[:, filter_].any(), "a filter"
    assert not dx[image].any(), "an image's gradient"
    assert not dw[filter_].any(), "a filter's gradient"
    filters = case["K"] // groups
    of_group = slice(channel // w.shape[1] * filters, (channel // w.shape[1] + 1) * filters)
    assert not dw[of_group, channel % w.shape[1]].any(), "a channel's gradient"


def test_the_bounds_of_a_single_product():
    """|y - y64| of one product and one output, by hand, and how far a tile's sight reaches."""
    x, w = np.zeros((1, 1, 20, 20), np.float32), np.zeros((1, 1, 3, 3), np.float32)
    x[0, 0, 10, 10], w[0, 0, 0, 0] = -2, 3
    unit = 4 * (np.sqrt(9) + 8) * 2.0**-24
    direct = conv2d_bound(x, w)
    assert direct[0, 0, 10, 10] == pytest.approx(unit * 6)
    assert np.count_nonzero(direct) == 1
    # Tiles of 6x6 pixels with 4x4 outputs: those of rows 7 to 10 and three further either way may hold the pixel.
    spread = conv2d_bound(x, w, method="winograd")
    assert spread[0, 0, 5:14, 5:14].min() == spread.max() == pytest.approx(6 * unit * 6)
    assert np.count_nonzero(spread) == 9 * 9
    # With a dilation of 2 every second of them, as far as the image reaches.
    assert np.count_nonzero(conv2d_bound(x, w, dilation=2, method="winograd")) == 8 * 8
    # In a row, tiles of 8 pixels with 6 outputs: no further rows.
    row = conv2d_bound(x, w[:, :, :1], method="winograd")
    assert np.count_nonzero(row) == 3 + 2 * 5
    # A stride of 2: rows 8, 10 and 12 are of one residue, that of taps 0 and 2; tiles of 5 outputs.
    strided = conv2d_bound(x, w, stride=2, method="winograd")
    assert np.count_nonzero(strided) == min(9, 2 + 2 * 4) ** 2
    # The adjoints: dx of one gradient, dw of one product.
    dy = np.zeros((1, 1, 18, 18), np.float32)
    dy[0, 0, 8, 8] = 1
    assert np.count_nonzero(conv2d_input_bound(x.shape, w, dy)) == 1
    assert np.count_nonzero(conv2d_input_bound(x.shape, w, dy, method="winograd")) == 9 * 9
    assert np.count_nonzero(conv2d_weight_bound(x, w.shape, dy)) == 1  # the pixel, by tap (2, 2)
    assert np.count_nonzero(conv2d_weight_bound(x, w.shape, dy, method="winograd")) == 9


def test_errors_that_the_bounds_find():
    """What a norm over the result hides: a small filter that is wrong, a zero that is none, a number that is none."""
    rng = np.random.default_rng(55)
    x = rng.standard_normal((1, 4, 9, 9), dtype=np.float32)
    w = rng.standard_normal((3, 4, 3, 3), dtype=np.float32)
    w[1] *= np.float32(1e-3)
    w[2] = 0
    exact, bound = reference.conv2d(x, w), conv2d_bound(x, w)
    assert worst_ratio(exact.astype(np.float32), exact, bound) < 1
    for k, value in ((1, 1e-7), (2, 1e-30), (0, np.nan), (2, np.inf)):
        wrong = exact.astype(np.float32)
        wrong[0, k, 4, 4] += np.float32(value)
        assert worst_ratio(wrong, exact, bound) > 1, (k, value)
