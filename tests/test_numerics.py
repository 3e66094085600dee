"""The bounds of docs/numerics.md, element by element, on data whose scales are far apart; and that an image's result is
its own."""

import numpy as np
import pytest
from cases import LAYOUTS, make_case, parameters, w_shape, x_shape
from checks import assert_near
from numerics import (
    FORMS,
    assert_within,
    conv2d_bound,
    conv2d_input_bound,
    conv2d_weight_bound,
    draw_case_of,
    draw_scaled,
    forced,
    forms_taken,
    pass_ratios,
    worst_ratio,
)

from fastconv import ops, reference

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
each_form = pytest.mark.parametrize("form", FORMS)
each_method = pytest.mark.parametrize("method", ["direct", "winograd"])


@each_form
@both_dtypes
def test_drawn_scales(isa, dtype, form):
    names = list(LAYOUTS)
    for i in range(24 if form in ("direct", "winograd") else 12):
        rng = np.random.default_rng([51, FORMS.index(form), i])
        case = draw_case_of(rng, form)
        x, w, b, dy = draw_scaled(rng, case, dtype)
        layouts = [LAYOUTS[str(name)] for name in rng.choice(names, 3)]
        ratios = pass_ratios(x, w, b, dy, parameters(case), form, layouts)
        assert max(ratios.values()) <= 1, f"case {i}, {case}: errors by their bounds {ratios}"


# Every form takes some of them.
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


MEMORY_FORMATS = {"fenced": "contiguous", "channels_last": "channels_last"}
each_layout = pytest.mark.parametrize("layout", MEMORY_FORMATS)


def forms_of(case: dict, form: str, layout: str, images: int) -> list[str]:
    """The form of each pass of so many images."""
    size = (images, *x_shape(case)[1:])
    return forms_taken(size, w_shape(case), parameters(case), form, memory_format=MEMORY_FORMATS[layout])


@each_form
@each_layout
def test_layers(isa, form, layout):
    for i, case in enumerate(LAYERS):
        if form != "direct" and not any(name.startswith(form) for name in forms_of(case, form, layout, case["N"])):
            continue
        rng = np.random.default_rng([52, i])
        x, w, b, dy = draw_scaled(rng, case, np.float32)
        ratios = pass_ratios(x, w, b, dy, parameters(case), form, [LAYOUTS[layout]] * 3)
        assert max(ratios.values()) <= 1, f"{case['name']}: errors by their bounds {ratios}"


@each_form
@each_layout
def test_long_sums(isa, form, layout):
    """Sums of up to 5,400 products of one sign, which show most how long a sum float32 does in one go."""
    for channels, filters in ((600, 9), (600, 1), (113, 9)):
        case = make_case("deep", 1, channels, 6, 19, filters, 3, 3, padding=(1, 1))
        if form != "direct" and not forms_of(case, form, layout, 1)[0].startswith(form):
            continue
        rng = np.random.default_rng(53)
        x, w = (rng.uniform(0.5, 1.5, size).astype(np.float32) for size in (x_shape(case), w_shape(case)))
        with forced(form):
            y = ops.conv2d(LAYOUTS[layout](x), w, None, *parameters(case))
        assert_near(y, reference.conv2d(x, w, None, *parameters(case)), tolerance=6e-7)


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


@each_form
@pytest.mark.parametrize("case", LAYERS, ids=lambda case: case["name"])
def test_what_is_zero_stays_zero(isa, form, case):
    """Exactly: the results of a filter, an image or a channel that is zero, and the gradients of each."""
    rng = np.random.default_rng(54)
    arguments = parameters(case)
    x = rng.standard_normal(x_shape(case), dtype=np.float32)
    w = rng.standard_normal(w_shape(case), dtype=np.float32)
    dy = rng.standard_normal(reference._Taps(x.shape, w.shape, *arguments).y_shape).astype(np.float32)
    image, filter_, channel = case["N"] - 1, case["K"] // 2, case["C"] // 3
    for array in (x, dy):
        array[image] = 0
    x[:, channel] = 0
    w[filter_] = 0
    dy[:, filter_] = 0
    with forced(form):
        y = ops.conv2d(x, w, None, *arguments)
        biased = ops.conv2d(x, w, np.full(case["K"], 3, np.float32), *arguments)
        dx = ops.conv2d_input(x.shape, w, dy, *arguments)
        dw = ops.conv2d_weight(x, w.shape, dy, *arguments)
    assert not y[image].any(), "an image"
    assert (biased[image] == 3).all(), "an image, and a bias"
    assert not y[:, filter_].any(), "a filter"
    assert not dx[image].any(), "an image's gradient"
    assert not dw[filter_].any(), "a filter's gradient"
    group, of_group = divmod(channel, w.shape[1])
    filters = case["K"] // case["groups"]
    assert not dw[group * filters : (group + 1) * filters, of_group].any(), "a channel's gradient"


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


# ---------------------------------------------------------------------------------------------------------------------
# An image's result is its own


def passes_of(images, lay, case, x, w, b, dy) -> tuple[np.ndarray, np.ndarray]:
    """y and dx of some images of a batch."""
    size = len(images), *x.shape[1:]
    y = ops.conv2d(lay(x[images]), w, b, *parameters(case))
    return y, ops.conv2d_input(size, w, lay(dy[images]), *parameters(case))


BATCHES = ((1, [0]), (2, [4]), (1, [6]), (3, [1, 2, 3]), (1, [4, 0, 5, 6]), (3, list(range(7))))


@each_form
@each_layout
def test_an_image_does_not_depend_on_its_batch_nor_on_threads(isa, threads, form, layout):
    """The bits of y[n] and dx[n] are the same alone, in other batches, beside any other images, on any threads: where
    batches of all sizes take the same form, as they do if the forced one is possible."""
    lay = LAYOUTS[layout]
    drawn = [draw_case_of(np.random.default_rng([56, i]), form) for i in range(4)]
    for i, case in enumerate((*LAYERS, *drawn)):
        whole_forms = forms_of(case, form, layout, 7)
        if form != "direct" and not any(name.startswith(form) for name in whole_forms[:2]):
            continue
        arrays = draw_scaled(np.random.default_rng([57, i]), case | {"N": 7}, np.float32)
        with forced(form):
            threads(1)
            whole = passes_of(list(range(7)), lay, case, *arrays)
            for number, images in BATCHES:
                threads(number)
                batch_forms = forms_of(case, form, layout, len(images))
                for k, part in enumerate(passes_of(images, lay, case, *arrays)):
                    assert batch_forms[k] == whole_forms[k] or not whole_forms[k].startswith(form)
                    if batch_forms[k] == whole_forms[k]:
                        same = np.array_equal(part, whole[k][images])
                        assert same, f"{('y', 'dx')[k]} of {images}, {number} threads, {whole_forms[k]}, {case}"
