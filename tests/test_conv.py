"""The three passes of convolution against the float64 reference, for every instruction set."""

import numpy as np
import pytest
from cases import LAYOUTS, RAGGED, SUITE, draw_case, fenced, make_case, parameters, shrunk, w_shape, x_shape
from checks import AS_GIVEN, TOLERANCE, Passes, assert_near, check_passes, spread
from hypothesis import HealthCheck, given, settings
from strategies import convolutions, dtypes, layouts, seeds

from fastconv import backends, ops, reference

DTYPES = [np.float32, np.float64]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


@pytest.fixture(autouse=True)
def direct():
    """The direct kernels' tests: test_winograd.py has the others'."""
    with backends.winograd.flags(enabled=False):
        yield


# ---- values ----------------------------------------------------------------------------------------------------------


@both_dtypes
def test_drawn_cases(isas, dtype, guarded):
    rng = np.random.default_rng(12_345)
    names = list(LAYOUTS)
    for i in range(400):
        case = draw_case(rng)
        chosen = [LAYOUTS[name] for name in rng.choice(names, 3)] if i % 2 else [fenced] * 3
        try:
            check_passes(case, rng, dtype, chosen, bias=i % 3 > 0, isas=isas)
        except AssertionError as error:
            raise AssertionError(f"case {i}: {case}, layouts {[f.__name__ for f in chosen]}: {error}") from error
        guarded.check()


@settings(max_examples=150, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(convolutions(), dtypes, layouts, layouts, layouts, seeds)
def test_any_case(guarded, case, dtype, x_layout, w_layout, dy_layout, seed):
    chosen = [LAYOUTS[name] for name in (x_layout, w_layout, dy_layout)]
    check_passes(case, np.random.default_rng(seed), dtype, chosen)
    guarded.check()


@both_dtypes
@pytest.mark.parametrize("case", RAGGED, ids=lambda case: case["name"])
def test_ragged_cases(isas, dtype, guarded, case):
    check_passes(case, np.random.default_rng(1), dtype, isas=isas)


@pytest.mark.parametrize("case", SUITE, ids=lambda case: case["name"])
def test_suite_cases_on_small_images(isas, guarded, case):
    check_passes(shrunk(case), np.random.default_rng(2), np.float32, isas=isas)


@both_dtypes
def test_sizes_around_the_tiles(isas, dtype, guarded):
    rng = np.random.default_rng(3)
    case = RAGGED[0]
    for channels in (1, 2, 7, 8, 9):
        for filters in (1, 5, 6, 7, 12, 13):
            for width in (1, 2, 3, 4, 7, 8, 9, 15, 16, 17, 31, 32, 33, 49):
                sizes = {"C": channels, "K": filters, "H": 3, "W": width, "R": 3, "S": 3, "padding": (1, 1)}
                check_passes(case | sizes, rng, dtype, bias=False, isas=isas)
        guarded.check()


@both_dtypes
@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("name", ["tiles.plus.one", "groups.strided", "depthwise.odd", "pointwise.ragged"])
def test_layouts(isas, dtype, guarded, name, layout):
    """Each operand in turn lies in memory in this way, then all of them."""
    case = next(c for c in RAGGED if c["name"] == name)
    passes = Passes.of_case(case, np.random.default_rng(4), dtype)
    for chosen in [(0,), (1,), (2,), (0, 1, 2)]:
        passes.check([LAYOUTS[layout] if i in chosen else fenced for i in range(3)], isas=isas)


@both_dtypes
def test_broadcast_operands(isas, dtype, guarded):
    """Strides of zero along each axis, and along all of them."""
    rng = np.random.default_rng(5)
    for axes in [(0,), (1,), (2,), (3,), (0, 1, 2, 3)]:

        def broadcast(array, axes=axes):
            kept = array[tuple(slice(0, 1) if axis in axes else slice(None) for axis in range(4))]
            return np.broadcast_to(kept, array.shape)

        x = broadcast(rng.standard_normal((2, 6, 9, 11)).astype(dtype))
        w = broadcast(rng.standard_normal((8, 3, 3, 3)).astype(dtype))

        def draw_dy(shape, broadcast=broadcast):
            return broadcast(rng.standard_normal(shape).astype(dtype))

        Passes(x, w, None, draw_dy, 1, 1, 1, 2).check(AS_GIVEN, isas=isas)


@both_dtypes
def test_adjoint_identity(isa, dtype):
    """<y, g> = <x, dx> = <w, dw>: the three passes are one bilinear form."""
    rng = np.random.default_rng(6)
    tolerance = TOLERANCE[np.dtype(dtype)]
    for _ in range(100):
        case = draw_case(rng)
        arguments = parameters(case)
        x, w = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape(case), w_shape(case)))
        y = ops.conv2d(x, w, None, *arguments)
        g = rng.standard_normal(y.shape).astype(dtype)
        dx, dw = ops.conv2d_input(x.shape, w, g, *arguments), ops.conv2d_weight(x, w.shape, g, *arguments)
        products = [np.vdot(a.astype(np.float64), b) for a, b in ((y, g), (x, dx), (w, dw))]
        # What rounding can add up to is bounded by the norms (Cauchy and Schwarz).
        bound = tolerance * sum(np.linalg.norm(a) * np.linalg.norm(b) for a, b in ((y, g), (x, dx), (w, dw)))
        assert max(products) - min(products) <= bound, case


def test_linear_in_each_operand(isa):
    """Doubling an operand doubles the result, bit for bit; the bias adds to it."""
    rng = np.random.default_rng(7)
    x, w = rng.standard_normal((2, 5, 9, 9), np.float32), rng.standard_normal((7, 5, 3, 3), np.float32)
    y = ops.conv2d(x, w, padding=1)
    np.testing.assert_array_equal(ops.conv2d(2 * x, w, padding=1), 2 * y)
    np.testing.assert_array_equal(ops.conv2d(x, 2 * w, padding=1), 2 * y)
    b = rng.standard_normal(7, np.float32)
    np.testing.assert_allclose(ops.conv2d(x, w, b, padding=1), y + b[:, None, None], rtol=1e-5, atol=1e-5)


def test_not_finite_pixels_reach_the_windows_that_see_them_and_no_others(isa):
    rng = np.random.default_rng(8)
    for bad in (np.nan, np.inf):
        x, w = rng.standard_normal((2, 3, 20, 21), np.float32), rng.standard_normal((5, 3, 3, 3), np.float32)
        clean = ops.conv2d(x, w, padding=1)
        x[1, 2, 7, 11] = bad
        y = ops.conv2d(x, w, padding=1)
        sees = np.zeros(y.shape, bool)
        sees[1, :, 6:9, 10:13] = True
        assert not np.isfinite(y[sees]).any()
        np.testing.assert_array_equal(y[~sees], clean[~sees])


# ---- shapes ----------------------------------------------------------------------------------------------------------


@both_dtypes
def test_few_channels_of_small_images(isas, dtype, guarded):
    """The shapes whose input gradient is spread and whose weight gradient runs over whole images."""
    rng = np.random.default_rng(4)
    base = {"name": "", "stride": 1, "padding": (0, 0), "groups": 1}
    for i in range(60):
        N, C, K = rng.integers(1, 6), rng.integers(1, 5), rng.integers(1, 40)
        R, S, dilation = rng.integers(1, 6), rng.integers(1, 6), rng.integers(1, 3)
        H, W = dilation * (R - 1) + rng.integers(1, 15), dilation * (S - 1) + rng.integers(1, 40)
        sizes = dict(zip("NCHWKRS", map(int, (N, C, H, W, K, R, S)), strict=True)) | {"dilation": int(dilation)}
        layouts = [LAYOUTS[name] for name in rng.choice(list(LAYOUTS), 3)] if i % 2 else [fenced] * 3
        check_passes(base | sizes, rng, dtype, layouts, isas=isas)
        guarded.check()


@both_dtypes
def test_few_filters_and_single_taps_of_channels_last(isas, dtype, guarded):
    """The shapes whose channels lie along the lanes, or are copied there, in any of the passes."""
    rng = np.random.default_rng(6)
    base = {"name": "", "stride": 1, "groups": 1}
    for i in range(60):
        few, many, kernel = int(rng.integers(1, 7)), int(rng.integers(8, 80)), int(rng.choice([1, 1, 2, 3, 5]))
        C, K = [(few, many), (many, few), (many, 2 * many)][i % 3]
        sizes = {"N": int(rng.integers(1, 4)), "C": C, "K": K, "R": kernel, "S": int(rng.choice([1, kernel]))}
        sizes |= {"stride": int(rng.integers(1, 3)), "dilation": int(rng.integers(1, 3))}
        sizes |= {"H": 10 + int(rng.integers(0, 9)), "W": 10 + int(rng.integers(0, 40))}
        sizes["padding"] = (int(rng.integers(0, kernel)), int(rng.integers(0, kernel)))
        if i % 4 == 3:
            sizes |= {"groups": 2, "C": 2 * C, "K": 2 * K}
        layouts = [LAYOUTS["channels_last"], fenced, LAYOUTS["channels_last"]]
        check_passes(base | sizes, rng, dtype, layouts, isas=isas)
        guarded.check()


def test_not_finite_filters_meet_the_padding(isa):
    """Of few filters too, whose windows are read where they lie but at the ends of rows."""
    rng = np.random.default_rng(9)
    x, w = rng.standard_normal((2, 40, 9, 30), dtype=np.float32), rng.standard_normal((3, 40, 3, 3), dtype=np.float32)
    w[1, 7, 0, 0], w[2, 5, 2, 1] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        y, expected = ops.conv2d(LAYOUTS["channels_last"](x), w, padding=1), reference.conv2d(x, w, None, 1, 1)
    np.testing.assert_array_equal(np.isnan(y), np.isnan(expected))
    assert_near(y[np.isfinite(expected)], expected[np.isfinite(expected)])


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_not_finite_values_reach_the_gradients_that_see_them_and_no_others(isa, value):
    rng = np.random.default_rng(5)
    x, w, dy = (
        rng.standard_normal(shape, dtype=np.float32) for shape in ((2, 3, 14, 14), (9, 3, 5, 5), (2, 9, 10, 10))
    )
    x[1, 2, 13, 13] = x[0, 0, 5, 12] = value
    bad = dy.copy()
    bad[1, 4, 9, 9] = bad[0, 7, 3, 9] = value
    with np.errstate(invalid="ignore"):
        expected = reference.conv2d_weight(x, (3, 3, 5, 5), dy[:, :3]), reference.conv2d_input(x.shape, w, bad)
    actual = ops.conv2d_weight(x, (3, 3, 5, 5), dy[:, :3]), ops.conv2d_input(x.shape, w, bad)
    for a, b in zip(actual, expected, strict=True):
        np.testing.assert_array_equal(np.isfinite(a), np.isfinite(b))
        finite = np.isfinite(b)
        assert 0 < finite.sum() < b.size
        assert_near(a[finite], b[finite])


@both_dtypes
def test_single_image(isa, dtype):
    rng = np.random.default_rng(9)
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in ((4, 9, 11), (6, 2, 3, 2), 6))
    arguments = ((1, 2), (1, 0), 1, 2)
    y = ops.conv2d(x, w, b, *arguments)
    assert_near(y, reference.conv2d(x, w, b, *arguments))
    dy = rng.standard_normal(y.shape).astype(dtype)
    assert_near(ops.conv2d_input(x.shape, w, dy, *arguments), reference.conv2d_input(x.shape, w, dy, *arguments))
    assert_near(ops.conv2d_weight(x, w.shape, dy, *arguments), reference.conv2d_weight(x, w.shape, dy, *arguments))
    assert_near(ops.bias_gradient(dy), dy.sum(axis=(1, 2), dtype=np.float64))


def test_empty_batch(guarded):
    x, w, b = np.ones((0, 4, 9, 9), np.float32), np.ones((6, 2, 3, 3), np.float32), np.ones(6, np.float32)
    y = ops.conv2d(x, w, b, groups=2)
    assert y.shape == (0, 6, 7, 7) and y.dtype == np.float32
    assert ops.conv2d_input(x.shape, w, y, groups=2).shape == x.shape
    np.testing.assert_array_equal(ops.conv2d_weight(x, w.shape, y, groups=2), np.zeros(w.shape))
    np.testing.assert_array_equal(ops.bias_gradient(y), np.zeros(6))


def test_no_channels(guarded):
    """A sum of nothing is zero, and the bias still counts."""
    x, w, b = np.ones((2, 0, 5, 5), np.float32), np.ones((3, 0, 3, 3), np.float32), np.arange(3, dtype=np.float32)
    y = ops.conv2d(x, w, b)
    np.testing.assert_array_equal(y, np.broadcast_to(b[:, None, None], (2, 3, 3, 3)))
    assert ops.conv2d_input(x.shape, w, y).shape == x.shape
    assert ops.conv2d_weight(x, w.shape, y).shape == w.shape


@pytest.mark.parametrize(
    "kernel, dilation", [((2, 2), 1), ((4, 3), 1), ((3, 2), (1, 3)), ((6, 4), (1, 2)), ((1, 1), 1)]
)
def test_same_padding_puts_the_odd_one_right_and_below(isa, kernel, dilation):
    rng = np.random.default_rng(10)
    x, w = rng.standard_normal((2, 3, 8, 9), np.float32), rng.standard_normal((4, 3, *kernel), np.float32)
    dh, dw = (dilation, dilation) if isinstance(dilation, int) else dilation
    total_h, total_w = dh * (kernel[0] - 1), dw * (kernel[1] - 1)
    by_hand = np.pad(
        x, [(0, 0), (0, 0), (total_h // 2, total_h - total_h // 2), (total_w // 2, total_w - total_w // 2)]
    )
    y = ops.conv2d(x, w, padding="same", dilation=dilation)
    assert_near(y, reference.conv2d(by_hand, w, dilation=dilation))
    assert y.shape == (2, 4, 8, 9)


@both_dtypes
def test_one_dimension(isas, dtype, guarded):
    rng = np.random.default_rng(11)
    for _ in range(100):
        case = draw_case(rng)
        stride, padding, dilation = (v[1] if isinstance(v, tuple) else v for v in parameters(case)[:3])
        if padding == "same" and stride != 1:
            padding = "valid"
        arguments = (stride, padding, dilation, case["groups"])
        shape, kernel = x_shape(case)[:2] + x_shape(case)[3:], w_shape(case)[:2] + w_shape(case)[3:]
        x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in (shape, kernel, kernel[0]))
        passes = Passes(x, w, b, lambda shape: rng.standard_normal(shape).astype(dtype), *arguments, kind="conv1d")
        passes.check(AS_GIVEN, isas=isas)
        dy = passes.operands[2]
        for _ in isas():
            assert_near(ops.bias_gradient(dy, dims=1), reference.bias_gradient(dy, dims=1), np.sqrt(dy.size))
        guarded.check()


def test_one_dimension_single_signal():
    rng = np.random.default_rng(12)
    x, w = rng.standard_normal((3, 20)), rng.standard_normal((4, 3, 5))
    y = ops.conv1d(x, w, None, 2, 1, 2)
    assert_near(y, reference.conv1d(x, w, None, 2, 1, 2))
    assert_near(ops.conv1d_input(x.shape, w, y, 2, 1, 2), reference.conv1d_input(x.shape, w, y, 2, 1, 2))
    assert_near(
        ops.conv1d_weight(x, w.shape, y, (2,), [1], 2),
        reference.conv1d_weight(x[None], w.shape, y[None], 2, 1, 2),
    )


@both_dtypes
def test_transposed(isas, dtype, guarded):
    rng = np.random.default_rng(13)
    done = 0
    while done < 100:
        case = draw_case(rng)
        if case["padding"] == "same" or not case["N"]:
            continue
        stride, padding, dilation, groups = parameters(case)
        extra = tuple(int(rng.integers(0, max(s, d))) for s, d in zip(stride, dilation, strict=True))
        rest = (stride, padding, extra, groups, dilation)
        # x has as many channels as the case has filters.
        w = rng.standard_normal(w_shape(case)).astype(dtype)
        x = rng.standard_normal((case["N"], case["K"], *rng.integers(1, 9, 2))).astype(dtype)
        b = rng.standard_normal(case["C"]).astype(dtype)
        try:
            ops.conv_transpose2d(x, w, b, *rest)
        except RuntimeError as error:
            assert "too small" in str(error)
            continue
        passes = Passes(x, w, b, lambda shape: rng.standard_normal(shape).astype(dtype), *rest, kind="conv_transpose2d")
        passes.check(AS_GIVEN, isas=isas)
        guarded.check()
        done += 1


def test_transposed_single_image_and_empty_batch():
    rng = np.random.default_rng(14)
    x, w, b = rng.standard_normal((4, 3, 5)), rng.standard_normal((4, 3, 3, 2)), rng.standard_normal(3)
    rest = (2, 1, 1)
    y = ops.conv_transpose2d(x, w, b, *rest)
    assert_near(y, reference.conv_transpose2d(x, w, b, *rest))
    assert_near(
        ops.conv_transpose2d_input(x.shape, w, y, *rest), reference.conv_transpose2d_input(x.shape, w, y, *rest)
    )
    assert_near(
        ops.conv_transpose2d_weight(x, w.shape, y, *rest), reference.conv_transpose2d_weight(x, w.shape, y, *rest)
    )
    empty = ops.conv_transpose2d(x[None][:0], w, b, *rest)
    assert empty.shape == (0, *y.shape)
    assert ops.conv_transpose2d_input((0, 4, 3, 5), w, empty, *rest).shape == (0, 4, 3, 5)
    np.testing.assert_array_equal(ops.conv_transpose2d_weight(x[None][:0], w.shape, empty, *rest), np.zeros(w.shape))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_bias_gradient(layout):
    dy = np.random.default_rng(15).standard_normal((3, 5, 7, 6), np.float32)
    assert_near(ops.bias_gradient(LAYOUTS[layout](dy)), reference.bias_gradient(dy))


# ---- dtypes ----------------------------------------------------------------------------------------------------------


def test_half_precision_is_computed_in_single():
    rng = np.random.default_rng(16)
    x, w = rng.standard_normal((1, 3, 8, 8)).astype(np.float16), rng.standard_normal((4, 3, 3, 3)).astype(np.float16)
    y = ops.conv2d(x, w)
    assert y.dtype == np.float32
    assert_near(y, reference.conv2d(x, w))


@pytest.mark.parametrize("dtype", [np.int8, np.uint8, np.int64, np.bool_])
def test_integers_are_refused_with_the_cast(dtype):
    x, w = np.ones((1, 3, 8, 8), dtype), np.ones((4, 3, 3, 3), dtype)
    with pytest.raises(TypeError, match=rf"{np.dtype(dtype)}.*\[1, 3, 8, 8\].*astype\(numpy.float32\)"):
        ops.conv2d(x, w)


@pytest.mark.parametrize("dtype", [np.complex64, np.longdouble, object, "S4", "M8[s]"])
def test_other_dtypes_are_refused(dtype):
    with pytest.raises(TypeError, match="float32 or float64"):
        ops.conv2d(np.zeros((1, 3, 8, 8), dtype), np.ones((4, 3, 3, 3), np.float32))


@pytest.mark.parametrize("dtypes", [(np.float32, np.float64), (np.float64, np.float32), (np.float16, np.float32)])
def test_mixed_dtypes_are_refused(dtypes):
    x, w = np.ones((1, 3, 8, 8), dtypes[0]), np.ones((4, 3, 3, 3), dtypes[1])
    with pytest.raises(TypeError, match=f"{np.dtype(dtypes[0])} and {np.dtype(dtypes[1])}"):
        ops.conv2d(x, w)
    with pytest.raises(TypeError, match="same dtype"):
        ops.conv2d(x, w.astype(x.dtype), np.ones(4, w.dtype))
    with pytest.raises(TypeError, match="same dtype"):
        ops.conv2d_weight(x, w.shape, np.ones((1, 4, 6, 6), w.dtype))


@pytest.mark.parametrize("value", [None, 3.0, [[1.0]], "x", memoryview(b"abc")])
def test_what_is_no_array_is_refused(value):
    w = np.ones((4, 3, 3, 3), np.float32)
    with pytest.raises(TypeError, match="input must be a numpy"):
        ops.conv2d(value, w)
    with pytest.raises(TypeError, match="weight must be a numpy"):
        ops.conv2d(np.ones((1, 3, 8, 8), np.float32), value)


def test_subclasses_of_arrays(tmp_path):
    x, w = np.ones((1, 3, 8, 8), np.float32), np.ones((4, 3, 3, 3), np.float32)
    on_disk = np.memmap(tmp_path / "x", np.float32, "w+", shape=x.shape)
    on_disk[:] = x
    y = ops.conv2d(on_disk, w)
    assert type(y) is np.ndarray
    np.testing.assert_array_equal(y, ops.conv2d(x, w))
    with pytest.raises(TypeError, match="masked"):
        ops.conv2d(np.ma.masked_equal(x, 1), w)


# ---- errors ----------------------------------------------------------------------------------------------------------


def ones(*shape):
    return np.ones(shape, np.float32)


X, W = ones(1, 3, 8, 8), ones(4, 3, 3, 3)


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"stride": 0}, ValueError, "stride must be positive, got stride=0"),
        ({"stride": (1, 0)}, ValueError, r"stride=\(1, 0\)"),
        ({"stride": -2}, ValueError, "stride=-2"),
        ({"stride": (1, 1, 1)}, ValueError, r"pair of integers, got \(1, 1, 1\)"),
        ({"stride": ()}, ValueError, r"pair of integers, got \(\)"),
        ({"stride": 1.5}, TypeError, "stride must be an integer.*got 1.5"),
        ({"stride": "2"}, TypeError, "stride must be an integer.*got '2'"),
        ({"stride": None}, TypeError, "stride.*None"),
        ({"stride": True}, TypeError, "stride.*True"),
        ({"stride": 2**61}, ValueError, f"stride={2**61}"),
        ({"stride": 10**30}, ValueError, f"stride={10**30}"),
        ({"padding": -1}, ValueError, "padding must be zero or more, got padding=-1"),
        ({"padding": (0, -3)}, ValueError, r"padding=\(0, -3\)"),
        ({"padding": "full"}, ValueError, "'same' or 'valid', got 'full'"),
        ({"padding": "same", "stride": 2}, ValueError, "padding='same' needs stride 1, got stride=2"),
        ({"padding": 0.5}, TypeError, "padding.*0.5"),
        ({"dilation": 0}, ValueError, "dilation must be positive, got dilation=0"),
        ({"dilation": -1}, ValueError, "dilation=-1"),
        ({"dilation": 2**60}, RuntimeError, "kernel larger than the padded input"),
        ({"groups": 0}, ValueError, "groups=0"),
        ({"groups": -1}, ValueError, "groups=-1"),
        ({"groups": 1.0}, TypeError, "groups.*1.0"),
        ({"groups": 3}, RuntimeError, "Given groups=3.*to have 9 channels, but got 3 channels instead"),
    ],
)
def test_impossible_parameters(arguments, error, message):
    with pytest.raises(error, match=message):
        ops.conv2d(X, W, **arguments)
    with pytest.raises(error, match=message):
        ops.conv2d_input(X.shape, W, ones(1, 4, 6, 6), **arguments)
    with pytest.raises(error, match=message):
        ops.conv2d_weight(X, W.shape, ones(1, 4, 6, 6), **arguments)


@pytest.mark.parametrize(
    "x, w, arguments, message",
    [
        (ones(1, 1, 28, 28), ones(6, 3, 5, 5), {}, r"Given groups=1, weight of size \[6, 3, 5, 5\], expected input\["
         r"1, 1, 28, 28\] to have 3 channels, but got 1 channels instead"),
        (ones(1, 4, 8, 8), ones(3, 2, 3, 3), {"groups": 2}, r"divisible by 2 at dimension 0.*\[3, 2, 3, 3\]"),
        (X, ones(0, 3, 3, 3), {}, r"at least 1.*\[0, 3, 3, 3\]"),
        (X, ones(4, 3, 0, 3), {}, r"empty kernel.*\[4, 3, 0, 3\]"),
        (X, ones(4, 3, 9, 3), {}, r"padded input per channel 8 x 8, kernel 9 x 3.*\[4, 3, 9, 3\].*\[1, 3, 8, 8\]"),
        (ones(1, 3, 0, 8), W, {"padding": 2}, r"\[1, 3, 0, 8\]"),
        (ones(8, 8), W, {}, r"3-D \(one image\) or 4-D \(batched\) input, got 2-D input of size \[8, 8\]"),
        (ones(1, 1, 3, 8, 8), W, {}, r"5-D input of size \[1, 1, 3, 8, 8\]"),
        (X, ones(3, 3), {}, r"4-D weight.*got 2-D weight of size \[3, 3\]"),
        (X, ones(4, 3, 3), {}, r"3-D weight of size \[4, 3, 3\]"),
        (X, np.ones((), np.float32), {}, r"0-D weight of size \[\]"),
        (X, W, {"b": ones(3)}, r"weight of size \[4, 3, 3, 3\], expected bias .* 1-dimensional with 4 elements.*\[3\]"),
        (X, W, {"b": ones(4, 1)}, r"bias of size \[4, 1\]"),
    ],
)  # fmt: skip
def test_sizes_that_do_not_fit(x, w, arguments, message):
    with pytest.raises(RuntimeError, match=message):
        ops.conv2d(x, w, **arguments)


def test_gradients_of_another_size_are_refused():
    for dy in (ones(1, 4, 5, 6), ones(1, 4, 6, 7), ones(2, 4, 6, 6), ones(1, 3, 6, 6), ones(4, 6, 6)):
        expected = rf"expected gradient of size \[1, 4, 6, 6\].*got \[{', '.join(map(str, dy.shape))}\]"
        with pytest.raises(RuntimeError, match=expected):
            ops.conv2d_input(X.shape, W, dy)
        with pytest.raises(RuntimeError, match=expected):
            ops.conv2d_weight(X, W.shape, dy)
    with pytest.raises(RuntimeError, match=r"expected gradient of size \[4, 6, 6\].*got \[1, 4, 6, 6\]"):
        ops.conv2d_input(X.shape[1:], W, ones(1, 4, 6, 6))


@pytest.mark.parametrize(
    "size, error",
    [
        ((1, 3), RuntimeError),
        (8, TypeError),
        (None, TypeError),
        ("1388", TypeError),
        ((1, 3, 8.0, 8), TypeError),
        ((1, 3, -8, 8), ValueError),
        ((1, 3, 2**61, 8), ValueError),
    ],
)
def test_sizes_asked_for_are_checked(size, error):
    with pytest.raises(error):
        ops.conv2d_input(size, W, ones(1, 4, 6, 6))
    with pytest.raises(error):
        ops.conv2d_weight(X, size, ones(1, 4, 6, 6))


def test_parameters_of_any_integer_type():
    y = ops.conv2d(X, W, None, np.int64(2), np.array([1, 0]), [1], np.int8(1))
    np.testing.assert_array_equal(y, ops.conv2d(X, W, None, 2, (1, 0), 1, 1))


@pytest.mark.parametrize(
    "arguments, error, message",
    [
        ({"output_padding": 1}, ValueError, "output_padding=1, stride=1, dilation=1"),
        ({"output_padding": -1}, ValueError, "output_padding=-1"),
        ({"padding": 9}, RuntimeError, "output size -8 x -8 is too small"),
        ({"padding": "same"}, TypeError, "padding.*'same'"),
        ({"stride": 0}, ValueError, "stride=0"),
        ({"groups": 2}, RuntimeError, r"divisible by 2.*\[3, 4, 3, 3\]"),
    ],
)
def test_transposed_errors(arguments, error, message):
    with pytest.raises(error, match=message):
        ops.conv_transpose2d(X, ones(3, 4, 3, 3), **arguments)


def test_transposed_errors_of_shapes():
    with pytest.raises(RuntimeError, match="to have 4 channels, but got 3 channels"):
        ops.conv_transpose2d(X, W)
    with pytest.raises(RuntimeError, match=r"bias of size \[3\]"):
        ops.conv_transpose2d(X, ones(3, 4, 3, 3), ones(3))
    with pytest.raises(RuntimeError, match=r"\[1, 3, 0, 8\]"):
        ops.conv_transpose2d(ones(1, 3, 0, 8), ones(3, 4, 3, 3))


def test_one_dimensional_errors_show_the_shapes_as_they_came():
    with pytest.raises(RuntimeError, match=r"weight of size \[4, 2, 3\], expected input\[1, 3, 8\] to have 2 channels"):
        ops.conv1d(ones(1, 3, 8), ones(4, 2, 3))
    with pytest.raises(RuntimeError, match=r"padded input per channel 8, kernel 9"):
        ops.conv1d(ones(1, 3, 8), ones(4, 3, 9))
    with pytest.raises(RuntimeError, match=r"2-D \(one signal\) or 3-D \(batched\) input, got 4-D"):
        ops.conv1d(X, ones(4, 3, 3))
    with pytest.raises(ValueError, match=r"stride must be an integer, got \(1, 2\)"):
        ops.conv1d(ones(1, 3, 8), ones(4, 3, 3), None, (1, 2))
    with pytest.raises(RuntimeError, match=r"expected gradient of size \[4, 6\].*got \[4, 7\]"):
        ops.conv1d_input((3, 8), ones(4, 3, 3), ones(4, 7))


def test_results_that_no_memory_holds():
    with pytest.raises(
        MemoryError, match=rf"images of {2**61 + 8} x {2**61 + 8} pixels, padding included, are too large"
    ):
        ops.conv2d(X, W, padding=2**60)
    with pytest.raises(
        MemoryError, match=r"output of size \[1, 1099511627776, 8388614, 8388614\] needs \d+ bytes, more"
    ):
        ops.conv2d(X, np.broadcast_to(W[:1], (2**40, 3, 3, 3)), padding=2**22)
    with pytest.raises(MemoryError, match=r"no memory for output of size \[1, 4, 8388614, 8388614\]"):
        ops.conv2d(X, W, padding=2**22)
    with pytest.raises(MemoryError, match=r"input's gradient"):
        dy = np.broadcast_to(np.float32(0), (1, 4, 2**18 - 2, 2**8))
        ops.conv2d_input((1, 3, 2**18, 2**30), W, dy, stride=(1, 2**22))


# ---- threads ---------------------------------------------------------------------------------------------------------


@both_dtypes
@pytest.mark.parametrize(
    "sizes",
    [
        {"C": 3, "H": 40, "W": 41, "K": 3, "R": 5, "S": 5},
        {"C": 3, "H": 60, "W": 61, "K": 20, "R": 7, "S": 7, "stride": 2, "padding": (3, 3)},
        {"C": 40, "H": 30, "W": 31, "K": 30, "R": 3, "S": 3, "padding": (1, 1)},
        {"C": 40, "H": 30, "W": 31, "K": 30, "R": 3, "S": 3, "stride": 2, "padding": (2, 2), "dilation": 2},
        {"C": 130, "H": 20, "W": 21, "K": 70, "R": 1, "S": 1},
        {"C": 30, "H": 40, "W": 41, "K": 30, "R": 3, "S": 3, "padding": (1, 1), "groups": 30},
        {"C": 32, "H": 40, "W": 41, "K": 48, "R": 3, "S": 3, "padding": (1, 1), "groups": 8},
    ],
    ids=["few.channels", "first.layer", "dense", "strided.dilated", "pointwise", "depthwise", "grouped"],
)
def test_results_do_not_depend_on_the_number_of_threads(isa, threads, dtype, sizes):
    rng = np.random.default_rng(17)
    case = RAGGED[0] | {"N": 5} | sizes
    arguments = parameters(case)
    x, w, b = (rng.standard_normal(shape).astype(dtype) for shape in (x_shape(case), w_shape(case), case["K"]))
    threads(1)
    y = ops.conv2d(x, w, b, *arguments)
    dy = rng.standard_normal(y.shape).astype(dtype)
    dx, dw = ops.conv2d_input(x.shape, w, dy, *arguments), ops.conv2d_weight(x, w.shape, dy, *arguments)
    for number in (2, 3, 8):
        threads(number)
        np.testing.assert_array_equal(ops.conv2d(x, w, b, *arguments), y)
        np.testing.assert_array_equal(ops.conv2d_input(x.shape, w, dy, *arguments), dx)
        np.testing.assert_array_equal(ops.conv2d_weight(x, w.shape, dy, *arguments), dw)


# ---- torch -----------------------------------------------------------------------------------------------------------


@pytest.mark.filterwarnings("ignore:Using padding='same'")
def test_agrees_with_torch():
    torch = pytest.importorskip("torch")
    rng = np.random.default_rng(18)
    for _ in range(100):
        case = draw_case(rng)
        arguments = parameters(case)
        x, w, b = (rng.standard_normal(shape, np.float32) for shape in (x_shape(case), w_shape(case), case["K"]))
        tx, tw, tb = (torch.tensor(a, requires_grad=True) for a in (x, w, b))
        expected = torch.nn.functional.conv2d(tx, tw, tb, *arguments)
        y = ops.conv2d(x, w, b, *arguments)
        dy = rng.standard_normal(y.shape, np.float32)
        expected.backward(torch.tensor(dy))
        terms = y.size * w.size // case["K"]
        # Both sides round.
        tolerance = 2 * TOLERANCE[np.dtype(np.float32)]
        for actual, theirs, scale in (
            (y, expected, spread(x, w, terms)),
            (ops.conv2d_input(x.shape, w, dy, *arguments), tx.grad, spread(w, dy, terms)),
            (ops.conv2d_weight(x, w.shape, dy, *arguments), tw.grad, spread(x, dy, terms)),
            (ops.bias_gradient(dy), tb.grad, np.sqrt(dy.size)),
        ):
            assert_near(actual, theirs.detach().numpy(), scale, tolerance)


@pytest.mark.parametrize("shape", [(4, 5, 6, 1, 8, 6, 10, 5), (2, 3, 14, 14, 16, 5, 5, 0), (2, 3, 9, 11, 24, 3, 5, 2)])
def test_filters_whose_columns_come_first(isa, shape):
    """Taps that end where dense ones do, but lie in another order."""
    N, C, H, W, K, R, S, padding = shape
    rng = np.random.default_rng(0)
    x = rng.standard_normal((N, C, H, W), dtype=np.float32)
    w = rng.standard_normal((K, C, S, R), dtype=np.float32).swapaxes(2, 3)
    expected = reference.conv2d(x, w, None, 1, (0, padding), 1, 1)
    assert_near(ops.conv2d(x, w, None, 1, (0, padding)), expected)
    dy = rng.standard_normal(expected.shape, dtype=np.float32)
    assert_near(
        ops.conv2d_input(x.shape, w, dy, 1, (0, padding)), reference.conv2d_input(x.shape, w, dy, 1, (0, padding), 1, 1)
    )


@both_dtypes
@pytest.mark.parametrize("channels", [16, 20, 32])
def test_threads_share_channels_whose_residues_take_other_forms(isas, threads, dtype, channels):
    """Columns of 5, 5 and 4 taps: kernels with tiles of their own, whose parts of the channels must be the same."""
    case = make_case("residues", 3, channels, 14, 20, 17, 14, 14, (1, 3), (1, 6))
    passes = Passes.of_case(case, np.random.default_rng(2), dtype)
    for n in (2, 3, 4):
        threads(n)
        passes.check(isas=isas)
