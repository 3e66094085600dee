"""Winograd's filtering against the float64 reference wherever it is possible, and its switch."""

import itertools
import subprocess
import sys

import numpy as np
import pytest
from cases import LAYOUTS, draw_strided_case, fenced, make_case, parameters, w_shape, x_shape
from checks import Passes, check_passes

import fastconv
from fastconv import backends, ops, reference

# The transforms of 6x6 tiles raise float32's error some four times over direct convolution's 3e-7, and the weight
# gradient's sums of a few tiles again by as much (docs/decisions/winograd.md). float64: 100 operations of 1e-16,
# times the same.
TOLERANCE = {np.dtype(np.float32): 5e-6, np.dtype(np.float64): 2e-14}
DTYPES = [np.float32, np.float64]
SIZES = [(2, 2), (3, 3), (3, 3), (4, 4), (5, 5), (1, 3), (1, 5), (1, 7), (3, 1), (5, 1), (7, 1)]
both_dtypes = pytest.mark.parametrize("dtype", DTYPES, ids=["float32", "float64"])


def draw_case(rng: np.random.Generator, sizes=SIZES) -> dict:
    """A random convolution that Winograd's filtering can do, its sizes around and off the tiles and vectors."""
    groups = int(rng.choice([1, 1, 1, 2, 3]))
    channels, filters = (groups * int(rng.choice([1, 3, 5, 8, 15, 16, 17, 33, 65, 97])) for _ in range(2))
    kernel = sizes[rng.integers(len(sizes))]
    dilation = tuple(int(d) for d in rng.choice([1, 1, 2, 3], 2))
    padding = tuple(int(p) for p in rng.integers(0, 7, 2))
    size = [
        max(1, d * (k - 1) + 1 - 2 * p) + int(rng.integers(0, 19))
        for d, k, p in zip(dilation, kernel, padding, strict=True)
    ]
    images = int(rng.integers(1, 5))
    return make_case("drawn", images, channels, *size, filters, *kernel, 1, padding, dilation, groups)


@both_dtypes
def test_drawn_cases(isas, dtype, guarded, everywhere):
    rng = np.random.default_rng(31)
    names = list(LAYOUTS)
    for i in range(200):
        case = draw_strided_case(rng) if i % 3 == 0 else draw_case(rng)
        chosen = [LAYOUTS[name] for name in rng.choice(names, 3)] if i % 2 else [fenced] * 3
        try:
            tolerance = TOLERANCE[np.dtype(dtype)]
            check_passes(case, rng, dtype, chosen, bias=i % 3 > 0, tolerance=tolerance, isas=isas)
        except AssertionError as error:
            raise AssertionError(f"case {i}: {case}, layouts {[f.__name__ for f in chosen]}: {error}") from error
        guarded.check()


@pytest.mark.parametrize(
    "case",
    [
        # More tiles than a block holds, in several images; a row of tiles longer than a block; more channels than are
        # reduced in one go; more filters than a panel.
        make_case("blocks.of.rows", 3, 5, 61, 43, 7, 3, 3, padding=(1, 1)),
        make_case("blocks.of.images", 70, 5, 7, 6, 7, 3, 3, padding=(1, 1)),
        make_case("row.over.block", 1, 4, 9, 1205, 6, 3, 3, padding=(1, 1)),
        make_case("channels.over.chunk", 1, 1100, 5, 6, 4, 3, 3, padding=(1, 1)),
        make_case("channels.over.chunk.in.blocks", 5, 600, 14, 14, 20, 5, 5, padding=(2, 2)),
        make_case("panels", 2, 131, 9, 9, 199, 3, 3, padding=(1, 1)),
        make_case("filters.not.kept", 1, 700, 6, 6, 700, 3, 3, padding=(1, 1)),
        make_case("filters.not.kept.5x5", 18, 260, 8, 8, 500, 5, 5, padding=(2, 2)),
        make_case("dilated.columns", 2, 9, 30, 31, 20, 3, 3, padding=(3, 2), dilation=(3, 2)),
        make_case("small.tiles", 33, 40, 6, 9, 50, 3, 3, padding=(1, 1)),
        make_case("small.tiles.of.a.dilation", 5, 20, 18, 17, 30, 3, 3, padding=(3, 3), dilation=(3, 3)),
        make_case("small.tiles.of.2x2", 9, 24, 15, 23, 30, 2, 2),
        make_case("stride.larger.tiles", 9, 16, 59, 49, 7, 3, 3, 2, (1, 1)),
        make_case("stride.padding.of.two", 3, 16, 21, 18, 40, 5, 5, 2, (1, 2)),
        make_case("stride.blocks", 9, 16, 61, 43, 7, 3, 3, 2, (1, 1)),
        make_case("stride.panels", 2, 144, 19, 20, 99, 4, 4, 2, (1, 1)),
        make_case("stride.row.over.block", 1, 16, 9, 1205, 6, 5, 5, 2, (2, 2)),
        make_case("stride.filters.not.kept", 1, 352, 12, 12, 352, 3, 3, 2, (1, 1)),
        make_case("stride.of.three.4x4", 5, 32, 41, 40, 20, 11, 11, 3, (4, 5)),
        make_case("stride.of.few.blocks", 5, 3, 61, 143, 20, 7, 7, 2, (3, 2)),
        make_case("stride.of.few.row.over.block", 2, 3, 9, 1205, 9, 11, 11, 4, (5, 2)),
        make_case("stride.of.few.in.groups", 3, 12, 23, 31, 20, 5, 5, 2, (2, 2), groups=4),
        make_case("stride.of.three", 5, 32, 40, 40, 20, 6, 6, 3, (4, 5)),
        make_case("depthwise", 2, 7, 12, 11, 7, 3, 3, padding=(1, 1), groups=7),
        # Sequences, of a block and of several, cut between the residues of a dilation; rows and columns of planes.
        make_case("sequences", 40, 9, 1, 50, 20, 1, 5, padding=(0, 2)),
        make_case("long.sequence", 2, 9, 1, 2501, 20, 1, 3, padding=(0, 1)),
        make_case("long.sequence.of.seven", 1, 20, 1, 1203, 9, 1, 7),
        make_case("long.dilated.sequence", 1, 9, 1, 3007, 20, 1, 3, padding=(0, 8), dilation=(1, 8)),
        make_case("dilation.over.the.sequence", 2, 9, 1, 400, 20, 1, 5, padding=(0, 300), dilation=(1, 160)),
        make_case("rows", 3, 40, 17, 17, 50, 1, 7, padding=(0, 3)),
        make_case("columns", 3, 40, 17, 17, 50, 7, 1, padding=(3, 0)),
        make_case("wide.columns", 2, 9, 14, 701, 7, 5, 1, padding=(2, 1), dilation=(2, 3)),
        make_case("columns.of.one.pixel", 1, 12, 1500, 1, 20, 3, 1, padding=(1, 0)),
        make_case("sequence.filters.not.kept", 5, 900, 1, 90, 800, 1, 3, padding=(0, 1)),
    ],
    ids=lambda case: case["name"],
)
def test_large_cases(threads, everywhere, case):
    passes = Passes.of_case(case, np.random.default_rng(1), np.float32)
    for n in (1, 2, 3):
        threads(n)
        passes.check(tolerances=(TOLERANCE[np.dtype(np.float32)],) * 3)


@pytest.mark.parametrize(("kernel", "stride"), [((3, 3), 1), ((1, 5), 1), ((3, 1), 1), ((3, 3), 2), ((7, 7), 2)])
@pytest.mark.parametrize(
    "size", [(2, 64, 14, 14, 64), (1, 512, 7, 7, 96), (3, 48, 21, 30, 200), (2, 40, 7, 1200, 24), (9, 3, 40, 40, 24)]
)
def test_results_do_not_depend_on_the_number_of_threads(threads, everywhere, size, kernel, stride):
    images, channels, height, width, filters = size
    padding = kernel[0] // 2, kernel[1] // 2
    rng = np.random.default_rng(32)
    x = rng.standard_normal((images, channels, height, width), dtype=np.float32)
    w = rng.standard_normal((filters, channels, *kernel), dtype=np.float32)
    dy = rng.standard_normal((images, filters, -(-height // stride), -(-width // stride)), dtype=np.float32)
    results = []
    for n in (1, 2, 3, 8):
        threads(n)
        results.append(
            (
                ops.conv2d(x, w, None, stride, padding),
                ops.conv2d_input(x.shape, w, dy, stride, padding),
                ops.conv2d_weight(x, w.shape, dy, stride, padding),
            )
        )
    for others in results[1:]:
        for one, other in zip(results[0], others, strict=True):
            assert (one == other).all()


@pytest.mark.parametrize(
    "case",
    [
        make_case("of.many.filters", 9, 300, 9, 9, 500, 5, 5, padding=(2, 2)),
        make_case("of.few.tiles", 9, 512, 7, 7, 96, 3, 3, padding=(1, 1)),
        make_case("of.long.rows", 9, 8, 3, 700, 8, 3, 3, padding=(1, 1)),
        make_case("with.a.stride", 9, 32, 15, 15, 64, 3, 3, 2, (1, 1)),
        make_case("of.few.channels.with.a.stride", 9, 3, 40, 40, 24, 7, 7, 2, (3, 3)),
    ],
    ids=lambda case: case["name"],
)
def test_an_image_does_not_depend_on_its_batch(isa, threads, everywhere, case):
    rng = np.random.default_rng(35)
    x = rng.standard_normal(x_shape(case), dtype=np.float32)
    w = rng.standard_normal(w_shape(case), dtype=np.float32)
    threads(1)
    y = ops.conv2d(x, w, None, *parameters(case))
    dy = rng.standard_normal(y.shape, dtype=np.float32)
    dx = ops.conv2d_input(x.shape, w, dy, *parameters(case))
    for n, some in itertools.product((1, 3), (slice(4, 5), slice(3, 7))):
        threads(n)
        assert (ops.conv2d(x[some], w, None, *parameters(case)) == y[some]).all()
        assert (ops.conv2d_input(x[some].shape, w, dy[some], *parameters(case)) == dx[some]).all()


@pytest.mark.parametrize(
    ("kernel", "stride"),
    [
        ((2, 2), 1),
        ((3, 3), 1),
        ((4, 4), 1),
        ((5, 5), 1),
        ((1, 3), 1),
        ((5, 1), 1),
        ((1, 7), 1),
        ((3, 3), 2),
        ((4, 4), 2),
        ((5, 5), 2),
        ((7, 7), 2),
    ],
)
def test_error_with_inputs_like_a_relus(everywhere, kernel, stride):
    """Non-negative inputs, their mean far from zero: the sums of the transforms cancel."""
    rng = np.random.default_rng(33)
    padding = kernel[0] // 2, kernel[1] // 2
    for mean, size in itertools.product((0.0, 3.0), (12, 6)):
        x = np.maximum(rng.standard_normal((2, 128, size, size), dtype=np.float32) + np.float32(mean), 0)
        w = (rng.standard_normal((64, 128, *kernel)) * np.sqrt(2 / (128 * np.prod(kernel)))).astype(np.float32)
        y = ops.conv2d(x, w, None, stride, padding)
        y64 = reference.conv2d(x, w, None, stride, padding)
        assert np.linalg.norm(y - y64) <= 5e-6 * np.linalg.norm(y64)
        dy = np.maximum(rng.standard_normal(y.shape, dtype=np.float32) + np.float32(mean), 0)
        dw64 = reference.conv2d_weight(x, w.shape, dy, stride, padding)
        dw = ops.conv2d_weight(x, w.shape, dy, stride, padding)
        assert np.linalg.norm(dw - dw64) <= 5e-6 * np.linalg.norm(dw64)


@pytest.mark.parametrize("bad", [np.nan, np.inf])
def test_what_is_not_finite_stays_within_its_tiles(everywhere, bad):
    x = np.ones((2, 20, 30, 30), np.float32)
    x[0, 3, 13, 14] = bad
    y = ops.conv2d(x, np.ones((18, 20, 3, 3), np.float32), padding=1)
    assert not np.isfinite(y[0, :, 12:15, 13:16]).any(), "every window that sees it"
    beyond = y.copy()
    beyond[0, :, 8:20, 8:20] = 0
    assert np.isfinite(beyond).all(), "nothing but its tiles, 3 pixels around those windows"


@pytest.mark.parametrize("bad", [np.nan, np.inf])
@pytest.mark.parametrize("taps", [3, 5, 7])
def test_what_is_not_finite_in_a_sequence_stays_within_its_tiles(everywhere, bad, taps):
    reach = taps // 2
    for at in range(40, 48):
        x = np.ones((2, 20, 100), np.float32)
        x[0, 3, at] = bad
        y = ops.conv1d(x, np.ones((18, 20, taps), np.float32), padding=reach)
        assert not np.isfinite(y[0, :, at - reach : at + reach + 1]).any(), "every window that sees it"
        beyond = y.copy()
        beyond[0, :, at - reach - 5 : at + reach + 6] = 0
        assert np.isfinite(beyond).all(), "nothing but its tiles, 5 pixels around those windows"


@pytest.mark.parametrize(
    ("arguments", "tiles"),
    [
        (((16, 64, 56, 56), (64, 64, 3, 3), 1, 1), ["F(4x4, 3x3)"] * 3),
        (((16, 128, 27, 27), (192, 128, 5, 5), 1, 2), ["F(2x2, 5x5)"] * 3),
        (((16, 192, 17, 17), (192, 192, 1, 7), 1, (0, 3)), ["F(1x2, 1x7)"] * 3),
        (((16, 64, 35, 35), (96, 64, 5, 1), 1, (2, 0)), ["F(4x1, 5x1)"] * 3),
        (((32, 128, 1, 1000), (128, 128, 1, 3), 1, 0, (1, 4)), ["F(1x6, 1x3)"] * 3),
        (((64, 128, 6, 6), (128, 128, 3, 3), 1, 1), ["F(3x3, 3x3)"] * 3),
        (((16, 64, 50, 50), (64, 64, 4, 4), 2, 1), ["F(5x5, 2x2)"] * 3),
        (((16, 64, 56, 56), (64, 64, 4, 4), 2, 1), ["F(4x4, 2x2)"] * 3),
        (((16, 64, 56, 56), (64, 64, 5, 5), 2, 2), ["F(4x4, 3x3)"] * 3),
        (((16, 64, 56, 56), (64, 64, 7, 7), 2, 3), ["F(3x3, 4x4)"] * 3),
        # A stride splits an image of any number of channels, a result only of whole vectors.
        (((16, 3, 224, 224), (64, 3, 11, 11), 4, 2), ["F(4x4, 3x3)", None, "F(4x4, 3x3)"]),
        (((32, 128, 1, 1000), (128, 128, 1, 3), 2), [None] * 3),
        (((32, 128, 1, 1000), (128, 128, 1, 9)), [None] * 3),
        (((32, 128, 1, 1000), (128, 128, 1, 4)), [None] * 3),
        (((16, 64, 56, 56), (64, 64, 4, 4), (2, 1)), [None] * 3),
        (((16, 64, 56, 56), (64, 64, 7, 7)), [None] * 3),
        (((16, 64, 56, 56), (64, 64, 11, 11), 2), [None] * 3),
        (((16, 64, 56, 56), (64, 64, 1, 1)), [None] * 3),
        (((16, 64, 56, 56), (64, 64, 3, 5)), [None] * 3),
    ],
)
def test_explain_names_the_tiles(arguments, tiles):
    explanation = fastconv.explain(*arguments, force="winograd")
    for (name, form), tile in zip(explanation.items(), tiles, strict=True):
        assert (form == f"winograd {tile}") is (tile is not None), name
        assert (f"winograd {tile}" in explanation.cycles[name]) is (tile is not None), name


def taken(**options):
    """Which passes of a layer of many channels and 3x3 taps, whose choice is no question, take Winograd's filtering."""
    explanation = fastconv.explain((16, 256, 28, 28), (256, 256, 3, 3), padding=1, **options)
    return [form.startswith("winograd") for form in explanation.values()]


def test_the_switch():
    assert backends.winograd.enabled
    assert all(taken())
    with backends.winograd.flags(enabled=False):
        assert not backends.winograd.enabled
        assert not any(taken())
        # What is forced is taken all the same.
        assert all(taken(force="winograd"))
        with backends.force("winograd"):
            assert all(taken())
    assert backends.winograd.enabled
    with pytest.raises(KeyError), backends.winograd.flags(enabled=False):
        raise KeyError
    assert backends.winograd.enabled
    backends.winograd.enabled = False
    try:
        assert not any(taken())
    finally:
        backends.winograd.enabled = True
    with pytest.raises(TypeError, match="got 1 of type int"):
        backends.winograd.enabled = 1
    assert backends.winograd.enabled


@pytest.mark.parametrize(("value", "enabled"), [("0", False), ("1", True), ("", True)])
def test_the_environments_switch(value, enabled):
    program = "import os, sys; os.environ['FASTCONV_WINOGRAD'] = sys.argv[1]; import fastconv; "
    program += "print(fastconv.backends.winograd.enabled)"
    run = subprocess.run([sys.executable, "-c", program, value], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == str(enabled)


def test_an_unknown_wish_of_the_environment():
    program = "import os; os.environ['FASTCONV_WINOGRAD'] = 'off'; import fastconv"
    run = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert run.returncode == 1
    assert "FASTCONV_WINOGRAD must be 0 or 1, got 'off'" in run.stderr


def test_same_passes_as_without():
    """The two ways agree, so that a network may be trained with one and used with the other; and force() wins."""
    rng = np.random.default_rng(34)
    case = make_case("both", 2, 24, 15, 17, 40, 3, 3, padding=(1, 1))
    x = rng.standard_normal(x_shape(case), dtype=np.float32)
    w = rng.standard_normal(w_shape(case), dtype=np.float32)
    with backends.winograd.flags(enabled=False):
        one = ops.conv2d(x, w, None, *parameters(case))
        with backends.force("winograd"):
            other = ops.conv2d(x, w, None, *parameters(case))
    assert (one != other).any(), "the same algorithm ran twice"
    assert np.linalg.norm(one - other) <= 3e-6 * np.linalg.norm(other)
