"""Strassen's products in layers of one tap, wherever they are possible, against the float64 reference."""

import numpy as np
import pytest
from cases import LAYOUTS, fenced, make_case
from checks import check_passes

import fastconv
from fastconv import backends, ops


@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_drawn_cases(isa, dtype, guarded, everywhere):
    """Sizes around and off the pairs of tiles and panels, the chunks of channels and the blocks."""
    rng = np.random.default_rng(7)
    names = list(LAYOUTS)
    for i in range(40):
        groups = int(rng.choice([1, 1, 1, 2]))
        channels, filters = (groups * int(rng.choice([4, 8, 12, 16, 17, 20, 31, 36, 64])) for _ in range(2))
        channels = groups * int(rng.choice([512, 516, 700])) if i % 8 == 0 else channels
        size = (int(rng.integers(2, 18)), int(rng.integers(1, 18)))
        size = (30, int(rng.integers(30, 80))) if i % 8 == 1 else size
        # With padding they are not possible; the input gradient then reads a part of dy.
        padding = (int(i % 5 == 0), int(i % 7 == 0))
        case = make_case("drawn", int(rng.integers(1, 5)), channels, *size, filters, 1, 1, 1, padding, groups=groups)
        chosen = [LAYOUTS[name] for name in rng.choice(names, 3)] if i % 3 == 0 else [fenced] * 3
        try:
            check_passes(case, rng, dtype, chosen, bias=i % 2 > 0)
        except AssertionError as error:
            raise AssertionError(f"case {i}: {case}, layouts {[f.__name__ for f in chosen]}: {error}") from error
        guarded.check()


@pytest.mark.parametrize("mean", [0, 1, 100])
def test_error_of_many_channels(everywhere, mean):
    """Less than what the tests allow of direct convolution, of numbers of one sign too."""
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((1, 2048, 14, 14)) + mean).astype(np.float32)
    w = rng.standard_normal((64, 2048, 1, 1)).astype(np.float32)
    y64 = np.einsum("kc,ncpq->nkpq", w[:, :, 0, 0].astype(np.float64), x.astype(np.float64))
    assert np.linalg.norm(ops.conv2d(x, w) - y64) <= 1.5e-6 * np.linalg.norm(y64)


@pytest.mark.parametrize("mean", [0, 1, 100])
def test_error_of_many_pixels(everywhere, mean):
    """The same of a weight gradient, whose sums of chunks of pixels meet in float32."""
    rng = np.random.default_rng(3)
    x = (rng.standard_normal((8, 64, 90, 90)) + mean).astype(np.float32)
    dy = rng.standard_normal((8, 48, 90, 90)).astype(np.float32)
    dw64 = np.einsum("nkp,ncp->kc", *(a.reshape(8, -1, 8100).astype(np.float64) for a in (dy, x)))
    dw = ops.conv2d_weight(x, (48, 64, 1, 1), dy)
    assert np.linalg.norm(dw[:, :, 0, 0] - dw64) <= 2e-6 * np.linalg.norm(dw64)


def test_results_do_not_depend_on_the_number_of_threads(threads, everywhere):
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((3, 40, 15, 20)), rng.standard_normal((52, 40, 1, 1))
    dy = rng.standard_normal((3, 52, 15, 20))
    passes = (
        lambda: ops.conv2d(x, w),
        lambda: ops.conv2d_input(x.shape, w, dy),
        lambda: ops.conv2d_weight(x, w.shape, dy),
        lambda: ops.conv2d_weight(dy, (40, 52, 1, 1), x),
    )
    threads(1)
    alone = [f() for f in passes]
    for number in (2, 3, 5, 16):
        threads(number)
        for f, result in zip(passes, alone, strict=True):
            assert (f() == result).all()


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_within_its_pair_of_panels(isa, everywhere, bad):
    x = np.ones((3, 16, 25, 40), np.float32)
    x[1, 3, 7, 20] = bad
    y = ops.conv2d(x, np.ones((24, 16, 1, 1), np.float32))
    assert not np.isfinite(y[1, :, 7, 20]).any()
    wrong = np.flatnonzero(~np.isfinite(y[1]).all(axis=0).ravel())
    assert abs(wrong - (7 * 40 + 20)).max() < 96, "two panels of at most 48 pixels"
    assert np.isfinite(y[[0, 2]]).all(), "no other image"
    dw = ops.conv2d_weight(np.repeat(x, 10, axis=1), (24, 160, 1, 1), np.ones((3, 24, 25, 40), np.float32))
    assert not np.isfinite(dw[:, 30:40]).any()
    wrong = np.flatnonzero(~np.isfinite(dw).all(axis=(0, 2, 3)))
    assert wrong.max() - wrong.min() < 2 * 96, "channels in pairs of panels"


def test_explain_and_the_switch():
    sizes = (16, 1024, 14, 14), (256, 1024, 1, 1)
    assert fastconv.explain(*sizes) == {
        "forward": "strassen",
        "input_gradient": "strassen",
        "weight_gradient": "strassen",
    }
    with backends.winograd.flags(enabled=False):
        assert set(fastconv.explain(*sizes).values()) == {"direct"}
    for options in ({"stride": 2}, {"padding": 1}, {"groups": 8}):
        channels = 1024 // options.get("groups", 1)
        assert set(fastconv.explain(sizes[0], (256, channels, 1, 1), **options).values()) == {"direct"}
    # Rows, which may be samples of a linear layer.
    assert set(fastconv.explain((1, 1024, 1, 4096), (256, 1024, 1, 1)).values()) == {"direct"}
