"""Inputs that end at an unreadable page, or begin after one: a read of a single byte beyond them ends the process.

Results lie between guard zones, as in all tests of kernels.
"""

import ctypes
import mmap
import os
import signal
import sys

import numpy as np
import pytest
from cases import RAGGED, SUITE, draw_case, make_case, shrunk
from checks import Passes, assert_near
from test_pool import check_adaptive, check_average, check_max, draw_pooling

from fastconv import backends, elementwise, ops
from fastconv._native import memory, plan, runtime
from fastconv._native import passes as single_passes
from fastconv._native.layers import normalisation
from fastconv._native.steps import take_step

pytestmark = pytest.mark.skipif(not sys.platform.startswith("linux"), reason="asks Linux for unreadable pages")
both_dtypes = pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])

PAGE = mmap.PAGESIZE


class Pages:
    """Arrays between unreadable pages, against the one or the other."""

    def __init__(self, results):
        self.results = results
        self.libc = ctypes.CDLL(None, use_errno=True)
        self.libc.mmap.restype = ctypes.c_void_p
        self.libc.mmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t, *[ctypes.c_int] * 3, ctypes.c_long]
        self.libc.mprotect.argtypes = [ctypes.c_void_p, ctypes.c_size_t, ctypes.c_int]
        self.libc.munmap.argtypes = [ctypes.c_void_p, ctypes.c_size_t]
        self.maps = []

    def room(self, size, last):
        """`size` bytes that end, or begin, where the readable pages do."""
        inner = max(-(-size // PAGE), 1) * PAGE
        start = self.libc.mmap(None, inner + 2 * PAGE, 3, mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS, -1, 0)
        assert start not in (None, ctypes.c_void_p(-1).value), "no memory for pages"
        self.maps.append((start, inner + 2 * PAGE))
        for guard in (start, start + PAGE + inner):
            assert self.libc.mprotect(guard, PAGE, 0) == 0
        at = start + PAGE + (inner - size if last else 0)
        return np.frombuffer((ctypes.c_char * size).from_address(at), np.uint8)

    def place(self, array, last):
        inner = self.room(array.nbytes, last).view(array.dtype).reshape(array.shape)
        inner[...] = array
        return inner

    def at_end(self, array):
        return self.place(array, True)

    def at_start(self, array):
        return self.place(array, False)

    def channels_last_at_end(self, array):
        return np.moveaxis(self.at_end(np.moveaxis(array, 1, -1)), -1, 1)

    def channels_last_mirrored_at_end(self, array):
        """Its columns run backwards, so that the first one's channels are the last in memory."""
        return self.channels_last_at_end(array[..., ::-1])[..., ::-1]

    def reversed_at_end(self, array):
        every = (slice(None, None, -1),) * array.ndim
        return self.at_end(array[every])[every]

    def reversed_at_start(self, array):
        every = (slice(None, None, -1),) * array.ndim
        return self.at_start(array[every])[every]

    def gaps_at_end(self, array):
        """Rows with a gap between them; the last one has none."""
        wider = np.full((*array.shape[:-1], array.shape[-1] + 3), np.nan, array.dtype)
        wider[..., : array.shape[-1]] = array
        flat = self.at_end(wider.ravel()[: wider.size - 3]) if array.size else wider.ravel()
        return np.lib.stride_tricks.as_strided(flat, array.shape, wider.strides)

    def turned_at_end(self, array):
        return self.at_end(array.T).T

    def release(self):
        """Check what was written, and forget it with what was read."""
        self.results.check()
        for start, size in self.maps:
            self.libc.munmap(start, size)
        self.maps.clear()


LAYOUTS = [
    "at_end",
    "at_start",
    "channels_last_at_end",
    "channels_last_mirrored_at_end",
    "reversed_at_end",
    "reversed_at_start",
    "gaps_at_end",
    "turned_at_end",
]


@pytest.fixture
def pages(guarded):
    pages = Pages(guarded)
    yield pages
    pages.release()


@pytest.mark.parametrize("layout, beyond", [("at_end", 40), ("at_start", -1)])
def test_a_read_beyond_the_pages_ends_the_process(pages, layout, beyond):
    array = getattr(pages, layout)(np.ones(10, np.float32))
    child = os.fork()
    if not child:
        # Nobody else, pytest or a sanitizer, is to report it.
        signal.signal(signal.SIGSEGV, signal.SIG_DFL)
        signal.signal(signal.SIGBUS, signal.SIG_DFL)
        ctypes.string_at(array.ctypes.data + beyond, 1)
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) in (signal.SIGSEGV, signal.SIGBUS)


def check_everywhere(pages, passes, isas, form=None, tolerance=None, layouts=LAYOUTS):
    """The passes in each of these layouts, by a form if one is given; returns how many of them were done, in all."""
    done, b = 0, passes.b
    for name in layouts:
        memory_format = "channels_last" if name == "channels_last_at_end" else "contiguous"
        functions = passes.by_form(form, memory_format) if form else None
        passes.b = pages.at_end(b)
        done += passes.check([getattr(pages, name)] * 3, functions, (tolerance,) * 3, isas)
        pages.release()
    passes.b = b
    return done


@pytest.fixture(autouse=True)
def direct():
    """Winograd's filtering, whose errors are larger, is taken where it is forced."""
    with backends.winograd.flags(enabled=False):
        yield


@both_dtypes
def test_convolution(pages, isas, dtype):
    rng = np.random.default_rng(0)
    for case in (*RAGGED, *[draw_case(rng) for _ in range(30)]):
        check_everywhere(pages, Passes.of_case(case, rng, dtype), isas)


@pytest.mark.parametrize("case", SUITE, ids=lambda case: case["name"])
def test_layers_that_people_train(pages, isas, case):
    passes = Passes.of_case(shrunk(case), np.random.default_rng(1), np.float32)
    check_everywhere(pages, passes, isas, layouts=LAYOUTS[:2])


@both_dtypes
def test_winograd(pages, isas, dtype):
    """All sizes that Winograd's filtering can take, whether it would be chosen or not."""
    rng = np.random.default_rng(2)
    # The transforms multiply rounding errors: ten to thirty times what the direct sums carry.
    tolerance = {np.float32: 2e-5, np.float64: 1e-12}[dtype]
    cases = [case for case in RAGGED if case["R"] == case["S"] and case["R"] in (2, 3, 4, 5) and case["stride"] == 1]
    for size in (3, 5, 7):
        cases += [make_case("row", 2, 9, 4, 23, 21, 1, size, 1, (1, 2), (2, 1))]
        cases += [make_case("column", 3, 17, 19, 5, 9, size, 1, 1, (size, 1), (2, 3))]
        cases += [make_case("sequence", 1, 8, 1, 900, 8, 1, size)]
    # Strides, of whole vectors of channels, AVX-512's among them, and of few.
    cases += [make_case(f"stride {n}", 2, 32, 9, 11, 7, n + 2, n + 2, n, (1, 2)) for n in (2, 3, 4)]
    cases += [make_case(f"few, stride {n}", 2, 3, 19, 23, 7, 3 * n + 1, 3 * n + 1, n, (1, 2)) for n in (2, 3, 4)]
    cases += [make_case("4x4", 2, 19, 9, 11, 21, 4, 4, 1, (2, 1), (1, 2))]
    cases += [make_case("5x5", 2, 19, 9, 11, 21, 5, 5, 1, (2, 1), (1, 2)), make_case("one tile", 1, 1, 6, 6, 1, 3, 3)]
    assert len(cases) > 10
    for case in cases:
        assert check_everywhere(pages, Passes.of_case(case, rng, dtype), isas, "winograd", tolerance)


@both_dtypes
def test_every_other_form(pages, isas, dtype):
    """All that each form can take, whether it would be chosen or not."""
    rng = np.random.default_rng(6)
    done = dict.fromkeys(backends.FORMS[1:], 0)
    for case in (*RAGGED, *[draw_case(rng) for _ in range(30)]):
        passes = Passes.of_case(case, rng, dtype)
        for form in done:
            done[form] += check_everywhere(pages, passes, isas, form, layouts=LAYOUTS[:3])
    assert min(done.values()) >= 9 * len(runtime.available_isas()), done


def passes_into(form, passes, last):
    """The three passes by a form where it is possible, into results in C order or with channels last, whatever the
    order of what they are made of."""
    x, w, dy = passes.operands
    numbers = [n for pair in passes.arguments[:3] for n in np.broadcast_to(pair, 2).tolist()] + [passes.arguments[3]]

    def compute(into, *operands, like):
        n, c, h, w = like.shape
        result = (
            np.moveaxis(memory.empty((n, h, w, c), like.dtype), -1, 1) if last else memory.empty(like.shape, like.dtype)
        )
        with backends.force(form):
            into(*operands, result, *numbers)
        return result

    return (
        lambda x, w, b, *_: compute(plan.forward, x, w, b, like=dy),
        lambda _, w, dy, *__: compute(plan.input_gradient, dy, w, like=x),
        lambda x, _, dy, *__: compute(plan.weight_gradient, x, dy, like=w),
    )


# Rows that are read where they lie, for no tap leaves the image, of some vectors and a part of one.
IN_PLACE = (
    make_case("rows", 2, 5, 6, 37, 11, 3, 3),
    make_case("long rows", 1, 3, 2, 77, 9, 1, 1),
    make_case("planes", 3, 9, 5, 8, 17, 1, 1),
    make_case("groups", 2, 6, 5, 41, 10, 2, 3, groups=2),
    make_case("depthwise", 2, 4, 5, 35, 4, 3, 3, groups=4),
    make_case("strided", 2, 8, 9, 71, 9, 3, 3, 2),
    make_case("dilated", 1, 8, 9, 43, 5, 3, 3, dilation=2),
)


@both_dtypes
@pytest.mark.parametrize("form", backends.FORMS)
def test_every_pair_of_layouts(pages, isas, dtype, form):
    """Each array in an order of its own."""
    rng = np.random.default_rng(7)
    tolerance = {np.float32: 2e-5, np.float64: 1e-12}[dtype] if form in ("winograd", "fourier") else None
    for shift, case in enumerate((*IN_PLACE, *rng.choice(RAGGED, 3))):
        passes = Passes.of_case(case, rng, dtype)
        # Over the cases each order of x meets each order of dy; that of the filters is drawn.
        for of_x, of_dy in zip(LAYOUTS, np.roll(LAYOUTS, shift), strict=True):
            layouts = [getattr(pages, name) for name in (of_x, rng.choice(LAYOUTS), of_dy)]
            for last in (False, True):
                passes.check(layouts, passes_into(form, passes, last), (tolerance,) * 3, isas)
                pages.release()


@both_dtypes
def test_pooling(pages, isas, dtype):
    rng = np.random.default_rng(3)
    layouts = [getattr(pages, name) for name in LAYOUTS]
    for _ in range(80):
        shape, arguments = draw_pooling(rng)
        check_max(shape, arguments, rng, dtype, layouts, isas)
        check_average(shape, arguments, rng, dtype, layouts, isas)
        if shape[0]:
            check_adaptive(shape, tuple(map(int, rng.integers(1, 9, 2))), rng, dtype, layouts, isas)
        pages.release()


@both_dtypes
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_linear_layers(pages, isa, dtype, layout):
    rng = np.random.default_rng(4)
    place = getattr(pages, layout)
    for n, c, k in [(1, 1, 1), (3, 5, 7), (17, 33, 9), (64, 100, 65), (2, 300, 3), (5, 16, 16)]:
        x, w, dy = (rng.standard_normal(shape).astype(dtype) for shape in ((n, c), (k, c), (n, k)))
        b = rng.standard_normal(k).astype(dtype)
        wide = [a.astype(np.float64) for a in (x, w, dy, b)]
        assert_near(ops.linear(place(x), place(w), place(b)), wide[0] @ wide[1].T + wide[3])
        assert_near(ops.linear_input(place(w), place(dy)), wide[2] @ wide[1])
        assert_near(ops.linear_weight(place(x), place(dy)), wide[2].T @ wide[0])
        pages.release()


@both_dtypes
@pytest.mark.parametrize("layout", LAYOUTS[:2])
def test_single_passes(pages, isa, dtype, layout):
    """Element-wise layers, losses, sums and updates, on every size around a vector."""
    rng = np.random.default_rng(5)
    place = getattr(pages, layout)
    for n in (*range(1, 36), 63, 64, 65, 127, 257, 1023):
        x, dy = rng.standard_normal((2, 3, n)).astype(dtype), rng.standard_normal((2, 3, n)).astype(dtype)
        np.testing.assert_array_equal(elementwise.add(place(x), place(dy)), x + dy)
        y = elementwise.relu(place(x))
        np.testing.assert_array_equal(y, np.maximum(x, 0))
        np.testing.assert_array_equal(elementwise.relu_backward(place(dy), place(y)), np.where(x > 0, dy, 0))
        shift, offset, inverse = moments = normalisation.moments_of(place(x), None, None, True, 0.1, 1e-5)
        assert_near(shift + offset, x.mean((0, 2), np.float64), 1.0, 1e-5)
        assert_near(inverse**-2 - 1e-5, x.astype(np.float64).var((0, 2)), 1.0, 1e-5)
        normalisation.normalise(place(x), None, None, moments)
        normalisation.normalise_backward(place(dy), place(x), None, moments, True, True)
        assert_near(ops.bias_gradient(place(x[..., None])), x.sum((0, 2), np.float64), np.sqrt(x.size))
        dx = memory.empty((6, n), dtype)
        loss = single_passes.cross_entropy(place(x.reshape(6, n)), place(np.zeros(6, np.int64)), dx, -100, True)
        assert np.isfinite(loss)
        assert np.isfinite(dx).all()
        p, buffer = place(x.copy()), place(np.zeros_like(x))
        take_step("sgd", [p], [place(dy)], ([buffer],), lr=0.5, first_old=0.5)
        assert_near(p, x - 0.5 * dy.astype(np.float64))
        pages.release()
