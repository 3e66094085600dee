"""The forms of few channels a group, windows and lanes, against the float64 reference, wherever they are possible."""

import numpy as np
import pytest
from cases import LAYOUTS, RAGGED, draw_case, fenced, make_case
from checks import Passes, assert_near
from numerics import forced

from fastconv import ops, reference
from fastconv._native import runtime

FORMS = ("windows", "lanes")
DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


@pytest.fixture(params=FORMS)
def form(request):
    """Taken wherever it is possible."""
    with forced(request.param):
        yield request.param


def check(case, rng, dtype, layouts=(fenced,) * 3, isas=None) -> int:
    """The three passes by both forms; returns how many of them could be done, in all."""
    passes = Passes.of_case(case, rng, dtype)
    return sum(passes.check(layouts, passes.by_form(form), isas=isas) for form in FORMS)


@both_dtypes
def test_drawn_cases(isas, dtype, guarded):
    rng = np.random.default_rng(41)
    done = 0
    for i in range(250):
        case = draw_case(rng)
        layouts = [LAYOUTS[name] for name in rng.choice(list(LAYOUTS), 3)] if i % 2 else [fenced] * 3
        try:
            done += check(case, rng, dtype, layouts, isas)
        except AssertionError as error:
            raise AssertionError(f"case {i}: {case}, layouts {[f.__name__ for f in layouts]}: {error}") from error
        guarded.check()
    assert done > 600 * len(runtime.available_isas())


@both_dtypes
def test_ragged_cases(isas, dtype, guarded):
    rng = np.random.default_rng(42)
    for case in RAGGED:
        check(case, rng, dtype, isas=isas)
        guarded.check()


@both_dtypes
@pytest.mark.parametrize("kernel", [3, 5, 7])
@pytest.mark.parametrize("stride", [1, 2, 3])
def test_sizes_around_vectors_and_blocks(isas, dtype, guarded, kernel, stride):
    """Every width up to some vectors, heights around a block of rows, with more and with less padding than usual."""
    rng = np.random.default_rng(43)
    for width in (*range(1, 20), 31, 32, 33, 65):
        for height, pad in (
            (1, kernel // 2),
            (3, kernel // 2),
            (4, kernel - 1),
            (7, kernel // 2),
            (9, kernel // 2 + 2),
        ):
            size = [max(n, kernel - 2 * pad) for n in (height, width)]
            check(make_case("", 2, 3, *size, 3, kernel, kernel, stride, (pad, pad), 1, 3), rng, dtype, isas=isas)
        guarded.check()


@pytest.mark.parametrize(
    "case",
    [
        # More rows than a band; more groups than share their sums; a multiplier; a few channels a group; long sums.
        make_case("bands", 1, 2, 301, 70, 2, 3, 3, 1, (1, 1), 1, 2),
        make_case("bands.strided", 2, 2, 203, 122, 2, 5, 5, 2, (2, 2), 1, 2),
        make_case("groups", 3, 75, 9, 9, 75, 3, 3, 1, (1, 1), 1, 75),
        make_case("multiplied", 2, 9, 30, 31, 18, 3, 3, 1, (1, 1), 1, 9),
        make_case("few.channels", 2, 12, 40, 41, 12, 3, 3, 1, (1, 1), 1, 3),
        make_case("one.channel", 1, 1, 301, 303, 1, 3, 3, 1, (1, 1), 1, 1),
        make_case("dilated", 2, 5, 60, 61, 5, 3, 3, 1, (4, 4), 4, 5),
        make_case("row.of.taps", 2, 5, 30, 61, 5, 1, 7, 1, (0, 3), 1, 5),
        make_case("column.of.taps", 2, 5, 61, 30, 5, 7, 1, 1, (3, 0), 1, 5),
        # Results that no cache holds.
        make_case("farthest", 1, 3, 1201, 1203, 3, 3, 3, 1, (1, 1), 1, 3),
        make_case("farthest.strided", 1, 3, 1203, 1201, 3, 3, 3, 2, (1, 1), 1, 3),
    ],
    ids=lambda case: case["name"],
)
@both_dtypes
def test_large_cases_on_any_number_of_threads(threads, dtype, case):
    passes = Passes.of_case(case, np.random.default_rng(44), dtype)
    for n in (1, 2, 3, 8):
        threads(n)
        assert passes.check(functions=passes.by_form("windows")) == 3
        passes.check(functions=passes.by_form("lanes"))


@both_dtypes
@pytest.mark.parametrize(
    "case",
    [
        # Vectors of channels that fill a cache line or do not, several bands, narrow planes, other strides.
        make_case("bands", 2, 37, 50, 41, 37, 3, 3, 1, (1, 1), 1, 37),
        make_case("line", 3, 32, 14, 14, 32, 5, 5, 2, (2, 2), 1, 32),
        make_case("narrow", 5, 50, 7, 7, 50, 3, 3, 1, (1, 1), 1, 50),
        make_case("narrower", 3, 24, 3, 2, 48, 3, 3, 1, (1, 1), 1, 24),
        make_case("whole", 2, 40, 7, 7, 40, 7, 7, 1, (0, 0), 1, 40),
        make_case("strides", 2, 21, 23, 19, 21, 3, 4, (3, 2), (2, 1), (2, 1), 21),
        make_case("far", 2, 96, 60, 61, 96, 3, 3, 1, (1, 1), 1, 96),
        make_case("farthest", 1, 20, 460, 460, 20, 1, 3, 1, (0, 1), 1, 20),
        make_case("farthest.lines", 1, 32, 365, 363, 32, 3, 3, 2, (1, 1), 1, 32),
        make_case("farthest.groups", 1, 64, 258, 257, 64, 1, 3, 1, (0, 1), 1, 16),
        make_case("too.wide", 1, 9, 5, 16000, 9, 3, 3, 1, (1, 1), 1, 9),
        make_case("one.group.of.parts", 2, 150, 6, 5, 150, 3, 3, 1, (1, 1), 1, 150),
        # Groups of channels that are neighbours along the lanes.
        make_case("groups.of.2", 2, 38, 20, 21, 38, 3, 3, 1, (1, 1), 1, 19),
        make_case("groups.of.4", 2, 100, 17, 37, 100, 3, 3, 1, (1, 1), 1, 25),
        make_case("groups.of.8", 2, 40, 14, 9, 40, 5, 5, 1, (2, 2), 1, 5),
        make_case("groups.strides", 3, 24, 23, 19, 24, 3, 4, (3, 2), (2, 1), (2, 1), 6),
        make_case("groups.far", 1, 128, 66, 67, 128, 3, 3, 1, (1, 1), 1, 32),
        make_case("groups.wide", 1, 16, 5, 300, 16, 1, 3, 1, (0, 1), 1, 8),
    ],
    ids=lambda case: case["name"],
)
def test_channels_along_the_lanes(isas, dtype, guarded, threads, case):
    def last(array):
        wide = np.full((*array.shape[:1], *array.shape[2:], array.shape[1] + 3), np.nan, dtype)
        wide[..., : array.shape[1]] = array.transpose(0, 2, 3, 1)
        return wide[..., : array.shape[1]].transpose(0, 3, 1, 2)

    passes = Passes.of_case(case, np.random.default_rng(46), dtype)
    for n, layouts in ((1, (fenced,) * 3), (1, (last, fenced, last)), (3, (last, fenced, fenced))):
        threads(n)
        passes.check(layouts, passes.by_form("lanes"), isas=isas)
        guarded.check()


@pytest.mark.parametrize("last, mix", [(False, 1), (True, 1), (True, 4)])
def test_not_finite_filters_meet_the_padding(isa, form, last, mix):
    rng = np.random.default_rng(47)
    x, w = rng.standard_normal((2, 16, 7, 7), dtype=np.float32), rng.standard_normal((16, mix, 3, 3), dtype=np.float32)
    w[3, 0, 0, 0], w[5, 0, 2, 1] = np.inf, np.nan
    if last:
        x = np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2)
    with np.errstate(invalid="ignore"):
        y, expected = (conv2d(x, w, None, 1, 1, 1, 16 // mix) for conv2d in (ops.conv2d, reference.conv2d))
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    assert_near(y[np.isfinite(expected)], expected[np.isfinite(expected)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
@pytest.mark.parametrize("stride", [1, 2])
@pytest.mark.parametrize("width", [7, 14, 21])
@pytest.mark.parametrize("last, mix", [(False, 1), (True, 1), (True, 4)])
def test_not_finite_values_reach_what_sees_them_and_nothing_else(isa, form, value, stride, width, last, mix):
    """In every corner: vectors reach over the ends of rows, and into the planes beside."""

    def laid_out(array):
        return np.moveaxis(np.ascontiguousarray(np.moveaxis(array, 1, -1)), -1, 1) if last else array

    rng = np.random.default_rng(45)
    groups = 8 if last else 3
    arguments = (stride, 1, 1, groups)
    w = rng.standard_normal((groups * mix, mix, 3, 3), dtype=np.float32)
    for row, col in ((0, 0), (0, width - 1), (width - 1, 0), (width - 1, width - 1), (3, 4)):
        x = laid_out(rng.standard_normal((2, groups * mix, width, width), dtype=np.float32))
        y = ops.conv2d(x, w, None, *arguments)
        dy = laid_out(rng.standard_normal(y.shape, dtype=np.float32))
        x[0, 1, row, col] = value
        dy[1, 2, row * (y.shape[2] - 1) // (width - 1), col * (y.shape[3] - 1) // (width - 1)] = value
        with np.errstate(invalid="ignore"):
            pairs = (
                (ops.conv2d(x, w, None, *arguments), reference.conv2d(x, w, None, *arguments)),
                (ops.conv2d_input(x.shape, w, dy, *arguments), reference.conv2d_input(x.shape, w, dy, *arguments)),
                (ops.conv2d_weight(x, w.shape, dy, *arguments), reference.conv2d_weight(x, w.shape, dy, *arguments)),
            )
        for actual, expected in pairs:
            np.testing.assert_array_equal(np.isfinite(actual), np.isfinite(expected))
            assert_near(actual[np.isfinite(expected)], expected[np.isfinite(expected)])


@pytest.mark.parametrize("term", [0.1, 0.7, 1.1, 1.3])
@pytest.mark.parametrize("last, mix", [(False, 1), (True, 1), (True, 4)])
def test_long_sums_stay_accurate(isa, form, term, last, mix):
    """2**20 equal terms a tap, whose rounding errors all have one sign."""
    x = np.full((4, 513, 513, 8) if last else (4, 2, 513, 513), term, np.float32)
    x = x.transpose(0, 3, 1, 2) if last else x
    dw = ops.conv2d_weight(x, (x.shape[1], mix, 3, 3), np.ones_like(x), 1, 1, 1, x.shape[1] // mix)
    pixels = 4 * np.outer([512, 513, 512], [512, 513, 512])
    assert_near(dw, np.broadcast_to(np.float64(np.float32(term)) * pixels, dw.shape))
