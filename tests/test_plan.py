"""The forms that a convolution can take: each of them, forced, beside the reference; force() and explain()."""

import itertools

import numpy as np
import pytest
import test_winograd
from cases import LAYOUTS, RAGGED, channels_last, draw_case, draw_strided_case, make_case, parameters
from checks import TOLERANCE, Passes, assert_near
from numerics import TILED, forced

import fastconv
from fastconv import backends, ops, reference
from fastconv._native import memory, plan, runtime
from fastconv._native.layers import normalisation
from fastconv._native.tuning import PASSES
from fastconv.nn import functional as F

both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
each_form = pytest.mark.parametrize("form", backends.FORMS)
either_layout = pytest.mark.parametrize("last", [False, True], ids=["channels-first", "channels-last"])

# Large enough for several threads; together they can take every form.
LAYERS = (
    make_case("dense", 5, 20, 31, 29, 24, 3, 3, padding=(1, 1)),
    make_case("pointwise", 5, 70, 19, 20, 7, 1, 1),
    make_case("first", 5, 3, 45, 47, 24, 7, 7, 2, (3, 3)),
    make_case("few", 5, 5, 24, 25, 6, 5, 4),
    make_case("strided", 5, 32, 21, 20, 17, 3, 3, 2, (1, 1)),
    make_case("dilated", 5, 20, 24, 25, 20, 3, 2, padding=(2, 4), dilation=(2, 4)),
    make_case("sequence", 5, 40, 1, 190, 30, 1, 7, padding=(0, 3)),
    make_case("grouped", 5, 24, 25, 27, 36, 3, 3, padding=(1, 1), groups=3),
    make_case("depthwise", 5, 37, 29, 31, 37, 3, 3, padding=(1, 1), groups=37),
    make_case("depthwise.strided", 5, 20, 39, 41, 20, 5, 5, 2, (2, 2), groups=20),
    make_case("groups.of.four", 5, 24, 25, 27, 24, 3, 3, padding=(1, 1), groups=6),
)
each_layer = pytest.mark.parametrize("case", LAYERS, ids=lambda case: case["name"])


def tolerances(form, dtype) -> tuple:
    return ((test_winograd.TOLERANCE if form in TILED else TOLERANCE)[np.dtype(dtype)],) * 3


def results_of(passes, form, last) -> list:
    """Those passes of a case that a form can take; None for the others."""
    lay = channels_last if last else np.ascontiguousarray
    functions = passes.by_form(form, "channels_last" if last else "contiguous")
    x, w, dy = passes.operands
    arguments = (lay(x), w, passes.b), (x.shape, w, lay(dy)), (lay(x), w.shape, lay(dy))
    return [function(*some, *passes.arguments) for function, some in zip(functions, arguments, strict=True)]


# ---- values ----------------------------------------------------------------------------------------------------------


@both_dtypes
def test_every_form_beside_the_reference(isas, dtype, guarded):
    rng = np.random.default_rng(61)
    done = dict.fromkeys(backends.FORMS, 0)
    last = ["channels_last", "fenced", "channels_last"]
    drawn = [draw_strided_case(rng) if i % 4 == 0 else draw_case(rng) for i in range(30)]
    for i, case in enumerate((*RAGGED, *LAYERS, *drawn)):
        passes = Passes.of_case(case, rng, dtype, bias=i % 3 > 0)
        layouts = ["fenced"] * 3, last, rng.choice(list(LAYOUTS), 3).tolist()
        for form, names in itertools.product(done, layouts):
            functions = passes.by_form(form, "channels_last" if names is last else "contiguous")
            try:
                chosen = [LAYOUTS[name] for name in names]
                done[form] += passes.check(chosen, functions, tolerances(form, dtype), isas)
            except AssertionError as error:
                error.add_note(f"{form}, case {i}: {case}, layouts {names}")
                raise
        guarded.check()
    assert min(done.values()) >= 9 * len(runtime.available_isas()), done


def empty_images(shape, dtype, last):
    if not last:
        return memory.empty(shape, dtype)
    n, c, h, w = shape
    return np.moveaxis(memory.empty((n, h, w, c), dtype), -1, 1)


@both_dtypes
def test_results_in_either_layout(isas, dtype, guarded):
    """Whatever the layout of what they are made of; dw in either layout as well."""
    rng = np.random.default_rng(62)
    for case in LAYERS:
        passes = Passes.of_case(case | {"N": 2}, rng, dtype)
        steps = [n for value in passes.arguments[:3] for n in ((value, value) if isinstance(value, int) else value)]
        for last_in, last_out in ((False, True), (True, False), (True, True)):
            x, w, dy = passes.operands
            x, dy = (channels_last(a) if last_in else a for a in (x, dy))
            for isa, form in itertools.product(isas(), backends.FORMS):
                y, dx, dw = results = [empty_images(a.shape, dtype, last_out) for a in passes.expected]
                with forced(form):
                    plan.forward(x, w, passes.b, y, *steps, case["groups"])
                    plan.input_gradient(dy, w, dx, *steps, case["groups"])
                    plan.weight_gradient(x, dy, dw, *steps, case["groups"])
                try:
                    for bounds in zip(results, passes.expected, passes.floors, tolerances(form, dtype), strict=True):
                        assert_near(*bounds)
                except AssertionError as error:
                    error.add_note(f"{form} on {isa}, {case}, channels last: {last_in}, of results: {last_out}")
                    raise
        guarded.check()


@each_layer
def test_not_finite_values_reach_what_sees_them_and_nothing_else(isas, case):
    """By every form but those by tiles, whatever lies in the lanes, rows and zeros beside."""
    passes = Passes.of_case(case | {"N": 2}, np.random.default_rng(63), np.float32, bias=False)
    x, w, dy = passes.operands
    x[1, 2, -1, -1], x[0, 0, 0, x.shape[3] // 2] = np.nan, np.inf
    dy[0, 1, 0, 0], dy[1, 3, -1, dy.shape[3] // 2] = np.inf, np.nan
    with np.errstate(invalid="ignore"):
        expected = (
            reference.conv2d(x, w, None, *passes.arguments),
            reference.conv2d_input(x.shape, w, dy, *passes.arguments),
            reference.conv2d_weight(x, w.shape, dy, *passes.arguments),
        )
    direct = [form for form in backends.FORMS if form not in TILED]
    for isa, form, last in itertools.product(isas(), direct, (False, True)):
        results = results_of(passes, form, last)
        for name, got, exact in zip(PASSES, results, expected, strict=True):
            if got is not None:
                np.testing.assert_array_equal(np.isfinite(got), np.isfinite(exact), f"{name} by {form} on {isa}")


# ---- an image's result is its own ------------------------------------------------------------------------------------


@each_layer
@either_layout
def test_results_do_not_depend_on_the_number_of_threads(isa, threads, case, last):
    passes = Passes.of_case(case, np.random.default_rng(63), np.float32)
    for form in backends.FORMS:
        threads(1)
        results = results_of(passes, form, last)
        for number in (2, 3):
            threads(number)
            for name, one, other in zip(PASSES, results, results_of(passes, form, last), strict=True):
                assert (one is None) == (other is None)
                assert one is None or np.array_equal(one, other), f"{name} by {form} on {number} threads"


@each_layer
@either_layout
def test_an_image_does_not_depend_on_its_batch(isa, case, last):
    """The bits of y[n] and dx[n] are the same alone, in other batches, and beside any other images: by each form, and
    by those that are taken without tiles."""
    rng = np.random.default_rng(64)
    lay = channels_last if last else np.ascontiguousarray
    passes = Passes.of_case(case | {"N": 7}, rng, np.float32)
    x, w, dy = passes.operands
    for form in backends.FORMS:
        y, dx, _ = results_of(passes, form, last)
        for images in ([0], [4], [1, 2, 3], [4, 0, 5, 6]):
            size = (len(images), *x.shape[1:])
            with backends.force(form):
                if y is not None:
                    some = ops.conv2d(lay(x[images]), w, passes.b, *passes.arguments)
                    assert np.array_equal(some, y[images]), f"y of {images} by {form}"
                if dx is not None:
                    some = ops.conv2d_input(size, w, lay(dy[images]), *passes.arguments)
                    assert np.array_equal(some, dx[images]), f"dx of {images} by {form}"
    with backends.winograd.flags(enabled=False):
        y, dx = (
            ops.conv2d(lay(x), w, passes.b, *passes.arguments),
            ops.conv2d_input(x.shape, w, lay(dy), *passes.arguments),
        )
        for n in range(7):
            assert np.array_equal(ops.conv2d(lay(x[n : n + 1]), w, passes.b, *passes.arguments)[0], y[n])
            alone = ops.conv2d_input((1, *x.shape[1:]), w, lay(dy[n : n + 1]), *passes.arguments)
            assert np.array_equal(alone[0], dx[n])


# ---- force -----------------------------------------------------------------------------------------------------------

DENSE = (2, 16, 14, 14), (24, 16, 3, 3)


def picked() -> str:
    return fastconv.explain(*DENSE, padding=1)["forward"]


def test_force_lasts_as_long_as_its_block():
    before = picked()
    with backends.force("outer"):
        assert picked() == "outer"
        with backends.force("tiles"):
            assert picked() == "tiles"
            assert fastconv.explain(*DENSE, padding=1, force="panels")["forward"] == "panels"
            assert picked() == "tiles"
        assert picked() == "outer"
        with pytest.raises(KeyError), backends.force("panels"):
            raise KeyError
        assert picked() == "outer"
        with pytest.raises(ValueError, match="zebra"), backends.force("zebra"):
            raise AssertionError("entered")
        assert picked() == "outer"
    assert picked() == before


def test_what_is_impossible_changes_nothing():
    rng = np.random.default_rng(65)
    x, w = (rng.standard_normal(size, dtype=np.float32) for size in DENSE)
    usual = ops.conv2d(x, w, padding=1)
    for form in backends.FORMS:
        forced = fastconv.explain(*DENSE, padding=1, force=form)
        if not forced["forward"].startswith(form):
            assert forced["forward"] == picked()
            with backends.force(form):
                np.testing.assert_array_equal(ops.conv2d(x, w, padding=1), usual)


def test_unknown_forms():
    every = ", ".join(backends.FORMS)
    for take in (lambda form: backends.force(form).__enter__(), lambda form: fastconv.explain(*DENSE, force=form)):
        with pytest.raises(ValueError, match=f"no form 'direct' of convolution; choose one of {every}"):
            take("direct")
        with pytest.raises(TypeError, match="a form is chosen by its name, got 5 of type int"):
            take(5)
    for number in (-2, len(backends.FORMS)):
        with pytest.raises(ValueError, match=f"from -1 to {len(backends.FORMS) - 1}, got {number}"):
            plan.set_forced(number)


# ---- explain ---------------------------------------------------------------------------------------------------------


@each_layer
@either_layout
def test_explain_lists_every_possible_form(isa, case, last):
    sizes = (case["N"], case["C"], case["H"], case["W"]), (case["K"], case["C"] // case["groups"], case["R"], case["S"])
    layout = "channels_last" if last else "contiguous"
    usual = fastconv.explain(*sizes, *parameters(case), memory_format=layout)
    assert usual.memory_format == layout
    assert list(usual) == list(usual.cycles) == list(PASSES)
    for name in PASSES:
        cycles = list(usual.cycles[name].values())
        assert cycles == sorted(cycles)
        assert usual.cycles[name][usual[name]] == cycles[0]
    text = str(usual)
    assert layout in text
    for form in backends.FORMS:
        forced = fastconv.explain(*sizes, *parameters(case), memory_format=layout, force=form)
        for name in PASSES:
            listed = [other for other in forced.cycles[name] if other.startswith(form)]
            assert listed == [forced[name]] * len(listed), f"{form} is possible, and not taken"
            # Of too many channels nobody asks what windows would cost, unless they are forced.
            assert form == "windows" or set(listed) <= set(usual.cycles[name])
            assert form == "windows" or all(other in text for other in listed)


def test_explain_of_the_forms_of_a_layout():
    """Channels can be summed along the lanes where they are neighbours in memory."""
    assert "dot" not in fastconv.explain(*DENSE).cycles["forward"]
    assert "dot" in fastconv.explain(*DENSE, memory_format="channels_last").cycles["forward"]


def test_explain_of_nothing():
    for sizes in (
        ((0, 6, 9, 9), (6, 1, 3, 3), 1, 0, 1, 6),
        ((3, 0, 8, 3), (9, 0, 3, 1), 1, 0, 1, 3),
        ((0, 6, 9, 9), (6, 6, 3, 3), 2),
    ):
        for layout in ("contiguous", "channels_last"):
            assert list(fastconv.explain(*sizes, memory_format=layout)) == list(PASSES)


@pytest.mark.parametrize(
    ("arguments", "options", "error", "message"),
    [
        (((1, 64, 3, 3), (64, 64, 7, 7)), {}, RuntimeError, r"explain: .*\[64, 64, 7, 7\]"),
        (((1, 1, 5, 5), (1, 3, 3)), {}, RuntimeError, "4-D weight"),
        (DENSE, {"dtype": np.int64}, TypeError, "int64"),
        (DENSE, {"memory_format": "nhwc"}, ValueError, "'contiguous' or 'channels_last', got 'nhwc'"),
        (DENSE, {"memory_format": None}, ValueError, "'contiguous' or 'channels_last', got None"),
        (DENSE, {"stride": 0}, ValueError, "stride=0"),
    ],
)
def test_explain_refuses(arguments, options, error, message):
    with pytest.raises(error, match=message):
        fastconv.explain(*arguments, **options)


# ---- results of images with channels last ----------------------------------------------------------------------------


def is_last(a) -> bool:
    array = a if isinstance(a, np.ndarray) else a.detach().numpy()
    return np.moveaxis(array, 1, -1).flags.c_contiguous and not array.flags.c_contiguous


@each_form
@both_dtypes
def test_results_keep_their_channels_last(dtype, form):
    for case in LAYERS:
        passes = Passes.of_case(case, np.random.default_rng(66), dtype)
        for last in (False, True):
            y, dx, dw = results_of(passes, form, last)
            assert y is None or is_last(y) is last
            assert dx is None or is_last(dx) is last
            assert dw is None or dw.flags.c_contiguous


def test_a_program_keeps_its_channels_last():
    rng = np.random.default_rng(67)
    x, w = rng.standard_normal((2, 8, 9, 7), dtype=np.float32), rng.standard_normal((8, 8, 3, 3), dtype=np.float32)
    outcomes = []
    for lay in (np.ascontiguousarray, channels_last):
        leaf, filters = fastconv.from_numpy(lay(x)).requires_grad_(), fastconv.from_numpy(w).requires_grad_()
        hidden = F.conv2d(leaf, filters, padding=1)
        active = F.relu(hidden)
        y = active + F.relu(F.conv2d(active, filters, padding=1))
        y.backward(fastconv.from_numpy(lay(np.ones(y.shape, np.float32))))
        for tensor in (hidden, active, y, leaf.grad):
            assert is_last(tensor) is (lay is channels_last)
        outcomes.append([a.detach().numpy() for a in (y, leaf.grad, filters.grad)])
    for one, other in zip(*outcomes, strict=True):
        np.testing.assert_allclose(one, other, rtol=1e-4, atol=1e-4)


def test_filters_with_channels_last_make_results_so():
    rng = np.random.default_rng(70)
    x, w = rng.standard_normal((2, 8, 9, 7), dtype=np.float32), rng.standard_normal((5, 8, 3, 3), dtype=np.float32)
    filters = fastconv.from_numpy(channels_last(w)).requires_grad_()
    y = F.conv2d(fastconv.from_numpy(x), filters)
    assert is_last(y)
    assert is_last(F.conv_transpose2d(y, filters))
    np.testing.assert_allclose(
        y.detach().numpy(), F.conv2d(fastconv.from_numpy(x), fastconv.from_numpy(w)).numpy(), rtol=1e-4, atol=1e-4
    )


def test_gradients_lie_in_memory_as_their_leaves_do():
    rng = np.random.default_rng(71)
    for lay in (np.ascontiguousarray, channels_last):
        w = fastconv.from_numpy(lay(rng.standard_normal((5, 8, 3, 3), dtype=np.float32))).requires_grad_()
        for x_lay in (np.ascontiguousarray, channels_last):
            x = fastconv.from_numpy(x_lay(rng.standard_normal((2, 8, 9, 7), dtype=np.float32))).requires_grad_()
            w.grad = None
            for _ in range(2):
                F.conv2d(x, w).sum().backward()
                (2 * x).sum().backward()
                assert w.grad.stride() == w.stride()
                assert x.grad.stride() == x.stride()


@pytest.mark.parametrize("create_graph", [False, True])
def test_gradients_of_leaves_with_gaps_lie_in_c_order(create_graph):
    x = fastconv.arange(24.0).reshape(2, 3, 4)
    strides = {
        "permuted": (x.permute(2, 0, 1), (1, 12, 4)),
        "with gaps": (x[:, :, ::2].permute(2, 0, 1), (6, 3, 1)),
        "expanded": (x[:1].expand(5, 3, 4), (12, 4, 1)),
    }
    for leaf, expected in strides.values():
        leaf = leaf.detach().requires_grad_()
        (leaf**2).sum().backward(create_graph=create_graph)
        assert leaf.grad.stride() == expected
        np.testing.assert_array_equal(leaf.grad.detach().numpy(), 2 * leaf.detach().numpy())
        if create_graph:
            first = leaf.grad
            leaf.grad = None
            (first**2).sum().backward()
            np.testing.assert_array_equal(leaf.grad.numpy(), 8 * leaf.detach().numpy())


@both_dtypes
@pytest.mark.parametrize("size", [(3, 5, 9, 7), (2, 3, 40, 41), (2, 300, 6, 5), (1, 1100, 3, 2), (9, 16, 1, 8)])
def test_batch_norm_and_biases_of_channels_last(isas, guarded, dtype, size):
    rng = np.random.default_rng(71)
    x, dy = rng.standard_normal((2, *size)).astype(dtype)
    x += np.arange(size[1]).reshape(-1, 1, 1) % 7
    weight, bias = rng.standard_normal((2, size[1])).astype(dtype)
    y64, mean64, variance64 = reference.batch_norm2d(x, weight, bias)
    expected = reference.batch_norm2d_backward(dy, x, weight)
    db64 = reference.bias_gradient(dy)
    x, dy = channels_last(x), channels_last(dy)
    for _ in isas():
        moments = normalisation.moments_of(x, None, None, True, 0.1, 1e-5)
        assert_near(moments[0] + moments[1], mean64, tolerance=TOLERANCE[np.dtype(dtype)])
        assert_near(moments[2] ** -2 - 1e-5, variance64, tolerance=TOLERANCE[np.dtype(dtype)])
        y, _ = normalisation.normalise(x, weight, bias, moments)
        assert is_last(y)
        assert_near(y, y64)
        for gradient in (dy, np.ascontiguousarray(dy)):
            back = normalisation.normalise_backward(gradient, x, weight, moments, True, True)
            assert is_last(back[0])
            for actual, wide in zip(back[:3], expected, strict=True):
                assert_near(actual, wide, float(np.linalg.norm(dy)))
        assert_near(ops.bias_gradient(dy), db64, float(np.linalg.norm(dy)))


@pytest.mark.parametrize(
    "lay",
    [
        lambda x: np.moveaxis(np.zeros((2, 9, 7, 11), np.float32)[..., :8], -1, 1),
        lambda x: np.moveaxis(np.zeros((2, 9, 8, 8), np.float32)[:, :, :7], -1, 1),
        lambda x: np.moveaxis(np.zeros((2, 9, 7, 8), np.float32)[:, ::-1], -1, 1),
        lambda x: np.zeros((2, 7, 9, 8), np.float32).T.transpose(3, 0, 1, 2),
    ],
    ids=["channels left out", "columns left out", "rows reversed", "columns before rows"],
)
def test_results_of_other_images_are_in_c_order(lay):
    x = lay(None)
    x[...] = np.random.default_rng(68).standard_normal(x.shape)
    w = np.ones((4, 8, 3, 3), np.float32)
    y = ops.conv2d(x, w)
    assert y.flags.c_contiguous
    assert_near(y, reference.conv2d(x, w), tolerance=5e-6)


def test_channels_last_says_nothing_of_one_channel_or_one_pixel():
    for size in ((2, 1, 9, 7), (2, 8, 1, 1)):
        x = channels_last(np.ones(size, np.float32))
        assert ops.conv2d(x, np.ones((4, size[1], 1, 1), np.float32)).flags.c_contiguous
