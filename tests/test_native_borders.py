"""The compiled modules called as nobody should: they refuse, with an exception and before anything is written.

`ops` never passes such arguments; these tests are for whoever comes without it.
"""

import itertools

import numpy as np
import pytest

import fastconv
from fastconv import backends, ops
from fastconv._native import layer_passes, memory, passes, plan, pool, tape, walk
from fastconv._native.layers import normalisation

REFUSALS = (TypeError, ValueError, MemoryError, OverflowError, RuntimeError)
GUARD = 600  # bytes
POISON = 0x3A  # small numbers


class Entry:
    """A function of a compiled module with arguments that it takes; arrays are given by shape, or (shape, dtype).

    Convolutions take the form that they are given, on images with channels last if asked to.
    """

    def __init__(self, function, *arguments, results, form=None, last=False):
        self.function, self.arguments, self.results, self.form, self.last = function, arguments, results, form, last
        self.name = " ".join(filter(None, [f"{function.__module__.split('.')[-1]}.{function.__name__}", form]))

    def __call__(self, *arguments):
        if self.form is None:
            return self.function(*arguments)
        with backends.force(self.form):
            return self.function(*arguments)

    def draw(self, rng, dtype):
        """Arguments, and the buffers around those that the function writes to."""
        arguments, buffers = [], []
        for i, argument in enumerate(self.arguments):
            if not isinstance(argument, tuple):
                arguments.append(argument)
                continue
            shape, kind = argument if isinstance(argument[0], tuple) else (argument, dtype)
            kind = np.dtype({"index": f"i{np.dtype(dtype).itemsize}"}.get(kind, kind))
            if i in self.results:
                size = int(np.prod(shape)) * kind.itemsize
                buffer = np.full(size + 2 * GUARD, POISON, np.uint8)
                buffers.append((buffer, size))
                arguments.append(buffer[GUARD : GUARD + size].view(kind).reshape(shape))
            elif kind.kind == "i":
                arguments.append(rng.integers(0, 4, shape).astype(kind))
            else:
                arguments.append(rng.standard_normal(shape).astype(kind))
            if self.last and len(shape) == 4:
                n, c, h, w = shape
                arguments[-1] = np.moveaxis(arguments[-1].reshape(n, h, w, c), -1, 1)
        return arguments, buffers


X, W, Y = (2, 6, 7, 9), (4, 3, 3, 2), (2, 4, 3, 8)
POOLED = (2, 6, 3, 4)
PLANES, CHANNELS = (3, 5, 40), ((5,), "f8")


def resample(x, row_index, row_weight, col_index, col_weight, y):
    layer_passes.resample(x, (row_index, row_weight), (col_index, col_weight), y)


# Layers x, w, y, (stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups), and forms that some passes of each
# can take on every instruction set.
LAYERS = [
    (X, W, Y, (2, 1, 0, 0, 1, 1, 2), ("panels", "tiles", "dot", "outer", "phases", "rows")),
    (
        X,
        (4, 3, 3, 3),
        (2, 4, 7, 9),
        (1, 1, 1, 1, 1, 1, 2),
        ("winograd", "panels", "tiles", "dot", "outer", "rows", "runs"),
    ),
    ((2, 6, 1, 9), (4, 3, 1, 7), (2, 4, 1, 9), (1, 1, 0, 3, 1, 1, 2), ("winograd",)),
    (X, (4, 3, 5, 1), (2, 4, 7, 9), (1, 1, 2, 0, 1, 1, 2), ("winograd",)),
    ((2, 16, 7, 9), (4, 16, 3, 3), (2, 4, 4, 5), (2, 2, 1, 1, 1, 1, 1), ("winograd",)),
    ((2, 3, 17, 19), (4, 3, 7, 7), (2, 4, 9, 10), (2, 2, 3, 3, 1, 1, 1), ("winograd",)),
    ((2, 6, 17, 19), (4, 3, 7, 5), (2, 4, 13, 17), (1, 1, 1, 1, 1, 1, 2), ("fourier",)),
    (X, (6, 3, 3, 2), (2, 6, 4, 8), (2, 1, 1, 0, 1, 1, 2), ("windows",)),
    (X, (6, 1, 3, 3), (2, 6, 4, 9), (2, 1, 1, 1, 1, 1, 6), ("windows", "lanes")),
    ((2, 8, 7, 9), (8, 2, 3, 3), (2, 8, 7, 9), (1, 1, 1, 1, 1, 1, 4), ("lanes",)),
    (X, (2, 6, 3, 2), (2, 2, 5, 8), (1, 1, 0, 0, 1, 1, 1), ("column taps", "turned rows", "turned runs")),
    (X, (2, 6, 1, 1), (2, 2, 7, 9), (1, 1, 0, 0, 1, 1, 1), ("mirrored", "outer")),
]


def entries_of(x, w, y, parameters, forms):
    """Of each form, the passes of a layer that it can compute."""
    for form in forms:
        last = form == "dot"
        number = backends.FORMS.index(form)
        entries = (
            Entry(plan.forward, x, w, w[:1], y, *parameters, results=[3], form=form, last=last),
            Entry(plan.input_gradient, y, w, x, *parameters, results=[2], form=form, last=last),
            Entry(plan.weight_gradient, x, y, w, *parameters, results=[2], form=form, last=last),
        )
        for which, entry in enumerate(entries):
            if plan.weigh_sizes(which, x, w, y, parameters, 4, last, number)[1][number] is not None:
                yield entry


ENTRIES = [
    Entry(plan.forward, X, W, (4,), Y, 2, 1, 0, 0, 1, 1, 2, results=[3]),
    Entry(plan.forward, X, W, None, Y, 2, 1, 0, 0, 1, 1, 2, results=[3]),
    Entry(plan.input_gradient, Y, W, X, 2, 1, 0, 0, 1, 1, 2, results=[2]),
    Entry(plan.weight_gradient, X, Y, W, 2, 1, 0, 0, 1, 1, 2, results=[2]),
    *itertools.chain(*(entries_of(*layer) for layer in LAYERS)),
    Entry(pool.max_forward, X, POOLED, (POOLED, "index"), 3, 3, 2, 2, 0, 0, 1, 1, results=[1, 2]),
    Entry(pool.max_forward, X, POOLED, None, 3, 3, 2, 2, 1, 1, 1, 1, results=[1]),
    Entry(pool.max_backward, POOLED, (POOLED, "index"), X, results=[2]),
    Entry(pool.average_forward, X, POOLED, 3, 3, 2, 2, 0, 0, 1, 0, results=[1]),
    Entry(pool.average_backward, POOLED, X, 3, 3, 2, 2, 0, 0, 1, 0, results=[1]),
    Entry(pool.adaptive_average_forward, X, POOLED, results=[1]),
    Entry(pool.adaptive_average_backward, POOLED, X, results=[1]),
    Entry(passes.relu, PLANES, PLANES, results=[1]),
    Entry(passes.relu_backward, PLANES, PLANES, PLANES, results=[2]),
    Entry(passes.add, PLANES, PLANES, PLANES, results=[2]),
    Entry(passes.bias_gradient, X, (6,), results=[1]),
    Entry(passes.add_row, (7, 40), (40,), results=[0]),
    Entry(passes.column_sums, (7, 40), (40,), results=[1]),
    Entry(passes.cross_entropy, (7, 40), ((7,), "i8"), (7, 40), -100, True, results=[2]),
    Entry(passes.cross_entropy, (7, 40), ((7,), "i8"), None, -100, True, results=[]),
    Entry(passes.channel_statistics, PLANES, CHANNELS, CHANNELS, CHANNELS, results=[1, 2, 3]),
    Entry(passes.channel_dots, PLANES, PLANES, CHANNELS, CHANNELS, CHANNELS, results=[3, 4]),
    Entry(passes.affine, PLANES, PLANES, CHANNELS, CHANNELS, CHANNELS, results=[1]),
    Entry(layer_passes.activate, 3, PLANES, PLANES, results=[2]),
    Entry(layer_passes.activate_backward, 5, PLANES, PLANES, PLANES, 0.5, 1.0, 1.0, results=[3]),
    Entry(layer_passes.prelu, (5, 40), CHANNELS, (5, 40), results=[2]),
    Entry(layer_passes.prelu_backward, (5, 40), (5, 40), CHANNELS, (5, 40), CHANNELS, results=[3, 4]),
    Entry(layer_passes.normalise, (5, 40), 8, 2, (10,), (10,), 0.5, (5, 40), CHANNELS, CHANNELS, results=[6, 7, 8]),
    Entry(layer_passes.normalise, (5, 40), 1, 1, None, None, 0.5, (5, 40), CHANNELS, CHANNELS, results=[6, 7, 8]),
    Entry(
        *(layer_passes.normalise_backward, (5, 4000), (5, 4000), 800, 2, (10,), CHANNELS, CHANNELS, (5, 4000)),
        *[((2, 2, 10), "f8")],
        results=[7, 8],
    ),
    Entry(resample, (3, 5, 8), ((2, 7), "i4"), (2, 7), ((3, 9), "i4"), (3, 9), (3, 7, 9), results=[5]),
    Entry(passes.affine_pair, PLANES, PLANES, PLANES, CHANNELS, CHANNELS, CHANNELS, CHANNELS, results=[2]),
]  # fmt: skip
each_entry = pytest.mark.parametrize("entry", ENTRIES, ids=lambda e: e.name)


def untouched(buffers):
    return all((buffer == POISON).all() for buffer, _ in buffers)


def within(buffers):
    return all((buffer[:GUARD] == POISON).all() and (buffer[GUARD + n :] == POISON).all() for buffer, n in buffers)


def other_size(array, axis, change):
    shape = list(array.shape)
    shape[axis] = max(0, shape[axis] + change)
    return np.zeros(shape, array.dtype)


def misaligned(array):
    buffer = np.zeros(array.nbytes + 1, np.uint8)[1:]
    return buffer.view(array.dtype).reshape(array.shape)


def read_only(array):
    array = array.copy()
    array.flags.writeable = False
    return array


# What is wrong with an array wherever it stands.
WRONG = {
    "none": lambda a: None,
    "list": lambda a: a.tolist(),
    "integers": lambda a: np.zeros(a.shape, np.int16),
    "half": lambda a: np.zeros(a.shape, np.float16),
    "complex": lambda a: np.zeros(a.shape, np.complex64),
    "objects": lambda a: a.astype(object),
    "foreign": lambda a: a.astype(a.dtype.newbyteorder()),
    "misaligned": misaligned,
    "no axes": lambda a: a[(0,) * a.ndim],
    "one more axis": lambda a: a[None],
    "one axis less": lambda a: a[0],
}
# ... where it is written to.
WRONG_RESULT = {
    "read-only": read_only,
    "strided": lambda a: np.zeros([2 * n for n in a.shape], a.dtype)[(slice(None, None, 2),) * a.ndim],
    "overlapping": lambda a: np.lib.stride_tricks.as_strided(a, a.shape, (0,) * a.ndim, writeable=True),
    "reversed": lambda a: a.copy()[::-1],
}


@each_entry
@pytest.mark.parametrize("dtype", [np.float32, np.float64], ids=["float32", "float64"])
def test_the_arguments_drawn_here_are_taken(isa, entry, dtype):
    arguments, buffers = entry.draw(np.random.default_rng(0), dtype)
    entry(*arguments)
    assert within(buffers)
    assert not (buffers and untouched(buffers))


MAY_BE_LEFT_OUT = {
    **dict.fromkeys((plan.forward, pool.max_forward, passes.cross_entropy), (2,)),
    layer_passes.normalise: (3, 4),
    layer_passes.normalise_backward: (4, 7),
}


@each_entry
def test_wrong_arrays_are_refused_before_anything_is_written(entry):
    rng = np.random.default_rng(1)
    flat = entry.function in (passes.relu, passes.relu_backward, passes.add)
    for i, argument in enumerate(entry.arguments):
        if not isinstance(argument, tuple):
            continue
        for name, change in WRONG.items() | (WRONG_RESULT.items() if i in entry.results else set()):
            arguments, buffers = entry.draw(rng, np.float32)
            if name == "none" and i in MAY_BE_LEFT_OUT.get(entry.function, ()):
                continue
            if flat and name == "one more axis":
                continue  # only the number of elements counts
            arguments[i] = change(arguments[i])
            with pytest.raises(REFUSALS):
                entry(*arguments)
            assert untouched(buffers), (i, name)


@each_entry
def test_arrays_of_another_size_or_type_are_refused_or_fit(entry):
    """One element more, one less or none on any axis; what is not refused must stay inside its arrays."""
    rng = np.random.default_rng(2)
    for i, argument in enumerate(entry.arguments):
        if not isinstance(argument, tuple):
            continue
        array = entry.draw(rng, np.float32)[0][i]
        for axis in range(array.ndim):
            for change in (1, -1, -array.shape[axis]):
                arguments, buffers = entry.draw(rng, np.float32)
                if i not in entry.results:
                    arguments[i] = other_size(array, axis, change)
                else:
                    buffer = np.full(other_size(array, axis, change).nbytes + 2 * GUARD, POISON, np.uint8)
                    size = len(buffer) - 2 * GUARD
                    buffers.append((buffer, size))
                    shape = other_size(array, axis, change).shape
                    arguments[i] = buffer[GUARD : GUARD + size].view(array.dtype).reshape(shape)
                try:
                    entry(*arguments)
                except REFUSALS:
                    assert untouched(buffers)
                assert within(buffers)
        arguments, buffers = entry.draw(rng, np.float32)
        arguments[i] = np.ones(array.shape, {"f4": "f8", "f8": "f4", "i4": "i8", "i8": "i4"}[array.dtype.str[1:]])
        # Indices may be of either size, and where x is the only array of its type, it may be of either.
        if (entry.function is passes.cross_entropy and entry.arguments[2] is None and i == 0) or (
            entry.function,
            i,
        ) in ((pool.max_backward, 1), (passes.channel_statistics, 0)):
            entry(*arguments)
            assert within(buffers)
            continue
        with pytest.raises(REFUSALS):
            entry(*arguments)
        assert untouched(buffers)


HUGE = [-(2**63), -(2**48), -1, 0, 2**43, 2**45, 2**60, 2**62, 2**63 - 1, 2**63, 2**70]


@each_entry
def test_numbers_beyond_all_bounds_are_refused_or_fit(entry):
    rng = np.random.default_rng(3)
    for i, argument in enumerate(entry.arguments):
        if type(argument) is not int:
            continue
        for value in HUGE:
            arguments, buffers = entry.draw(rng, np.float32)
            arguments[i] = value
            try:
                entry(*arguments)
            except REFUSALS:
                assert untouched(buffers)
            assert within(buffers)


@each_entry
def test_several_wrong_arguments_at_once(isa, entry):
    """Drawn: any of the above, up to three in a call."""
    rng = np.random.default_rng(4)
    changes = [*WRONG.values(), *WRONG_RESULT.values()]
    for _ in range(300):
        arguments, buffers = entry.draw(rng, rng.choice([np.float32, np.float64]))
        for i in rng.permutation(len(arguments))[: rng.integers(1, 4)]:
            argument = arguments[i]
            if isinstance(argument, np.ndarray) and argument.ndim:
                if rng.random() < 0.5:
                    arguments[i] = rng.choice(changes)(argument)
                elif i not in entry.results:
                    arguments[i] = other_size(argument, rng.integers(argument.ndim), rng.integers(-3, 4))
            elif type(argument) is int:
                arguments[i] = int(rng.choice(np.array([*HUGE, 1, 2, 3, 5, 8], object)))
        try:
            entry(*arguments)
        except REFUSALS:
            assert untouched(buffers)
        assert within(buffers)


def test_indices_outside_of_the_image_are_left_out():
    (entry,) = (entry for entry in ENTRIES if entry.function is pool.max_backward)
    for bad in (-1, 63, 2**31 - 1, -(2**31)):
        (dy, indices, dx), buffers = entry.draw(np.random.default_rng(5), np.float32)
        assert pool.max_backward(dy, indices, dx) is True
        indices[1, 5, 2, 3] = bad
        expected = dx.copy()
        expected[1, 5] = 0
        np.add.at(expected[1, 5].ravel(), indices[1, 5].ravel()[:-1], dy[1, 5].ravel()[:-1])
        assert pool.max_backward(dy, indices, dx) is False
        np.testing.assert_allclose(dx, expected, rtol=1e-6)
        assert within(buffers)


def test_every_form_has_an_entry():
    assert {entry.form for entry in ENTRIES} == {None, *backends.FORMS}


@pytest.mark.parametrize("layer", LAYERS, ids=lambda layer: layer[4][0])
def test_empty_batches(layer):
    """Nothing to write, but for the gradient of the filters, which is zero."""
    *sizes, parameters, forms = layer
    for form in forms:
        x, w, y = (np.ones(size, np.float32) for size in sizes)
        with backends.force(form):
            plan.forward(x[:0], w, None, y[:0], *parameters)
            plan.input_gradient(y[:0], w, x[:0], *parameters)
            plan.weight_gradient(x[:0], y[:0], w, *parameters)
        assert not w.any()
        assert x.all()
        assert y.all()


def test_the_tape_refuses_what_it_does_not_record():
    leaf, one = fastconv.ones(3).requires_grad_(), np.ones(3, np.float32)
    refused = [
        lambda: walk.run_backward(None, [one], False),
        lambda: walk.run_backward([leaf], None, False),
        lambda: walk.run_backward([leaf], [one, one], False),
        lambda: walk.run_backward([None], [one], False),
        lambda: walk.run_backward([leaf], [leaf], False),
        lambda: walk.run_backward([leaf], [one], False, True),
        lambda: walk.run_backward([tape.Node(len, lambda dy: (dy,), (), (5,))], [one], False),
        lambda: walk.run_backward([tape.Node(len, lambda dy: (dy, dy), (), (leaf,))], [one], False),
        lambda: walk.run_backward([tape.Node(len, lambda dy: 5, (), (leaf,))], [one], False),
        lambda: walk.run_backward([tape.Node(len, 5, (), (leaf,))], [one], False),
        lambda: tape.Node(len, len, (), [leaf]),
        lambda: tape.Node(len, len, [one], (leaf,)),
        lambda: tape.become(leaf, one),
        lambda: tape.become(None, leaf),
        lambda: tape.check_writable(None),
        lambda: tape.edge(one),
        lambda: tape.mark_written(None),
        lambda: tape.set_tensor_type(int),
        lambda: tape.set_tensor_type(leaf),
        lambda: tape.wrap([1.0]),
        lambda: leaf._accumulate(None, True),
        lambda: tape.with_gradient(None),
        lambda: tape.with_gradient([one]),
        lambda: tape.with_gradient((leaf,)),
    ]
    for call in refused:
        with pytest.raises((TypeError, ValueError)):
            call()
    assert leaf.grad is None
    walk.run_backward([tape.Node(len, lambda dy: (dy,), (), (leaf,))], [one], False)
    assert leaf.grad.tolist() == [1, 1, 1]


# ---- sizes -----------------------------------------------------------------------------------------------------------


def nothing(*shape):
    """Ones of any size that take no memory."""
    return np.broadcast_to(np.float32(1), shape)


def test_scratch_of_all_threads_together_is_counted_without_overflow(threads):
    """2**56 bytes a thread for a thousand of them wrapped around to some kilobytes."""
    threads(4096)
    x, w, d = nothing(1, 256, 2**24, 2**24), nothing(1, 256, 2, 2), 2**24 - 2049
    with pytest.raises(MemoryError):
        ops.conv2d(x, w, dilation=d)
    with pytest.raises(MemoryError):
        ops.conv2d_weight(x, w.shape, nothing(1, 1, 2049, 2049), dilation=d)
    with pytest.raises(MemoryError):
        ops.avg_pool2d(nothing(1, 4096, 2**11, 2**37), (1, 2**37 - 64), 1)


def test_tables_of_residues_are_counted_without_overflow():
    """A stride and a kernel of 2**20 x 2**20, a residue of the one for each tap of the other: 2**80 entries."""
    n = 2**20
    with pytest.raises(MemoryError):
        ops.conv2d_input((1, 1, n, n), nothing(1, 1, n, n), nothing(1, 1, 2, 2), stride=n, padding=n // 2)


def test_planes_without_pixels_have_a_sum_of_zero():
    """2**60 of them took 2**64 bytes, which wrapped around to none."""
    assert not ops.bias_gradient(np.zeros((2**40, 2**20, 0, 1), np.float32)).any()
    x = np.zeros((2**33, 3, 0), np.float64)
    np.testing.assert_array_equal(normalisation.moments_of(x, None, None, True, 0.1, 1.0), [[0] * 3, [0] * 3, [1] * 3])
    x = np.zeros((2**40, 4, 0), np.float32)
    one, moments = np.ones(4), np.ones((3, 4))
    assert normalisation.normalise(x, one, one, moments)[0].shape == x.shape
    dx, dw, db, _ = normalisation.normalise_backward(x, x, None, moments, True, True)
    assert dx.shape == x.shape
    assert not (dw.any() or db.any())


def test_sizes_beyond_what_windows_can_count():
    with pytest.raises(MemoryError):
        ops.adaptive_avg_pool2d(nothing(1, 1, 2**58, 1), (2**10, 1))
    with pytest.raises(MemoryError):
        ops.adaptive_avg_pool2d(nothing(1, 1, 2**44, 1), (2**10, 1))
    with pytest.raises(MemoryError):
        ops.linear(nothing(1, 2**56), nothing(1, 2**56))


@pytest.mark.parametrize("shape", [(-1,), (-1, -4096), (2**31, 2**31, 4), (2**62,), (2**63,), (-1, 0)])
def test_memory_of_impossible_shapes(shape):
    with pytest.raises((ValueError, MemoryError, OverflowError)):
        memory.empty(shape, np.float32)
    assert memory.empty((5000,), np.float32).shape == (5000,)


def test_memory_of_other_types_is_numpys():
    assert memory.empty((5000,), ">f4").dtype == ">f4"
    assert memory.empty((5000,), object)[4999] is None
    assert memory.empty((1,) * 40 + (5000,), np.float32).ndim == 41
    assert memory.empty((50, 100), np.int64).dtype == np.int64


def test_memory_that_waits_is_freed_before_memory_is_refused():
    """A block too large for this machine; what waited is given back, and the count of bytes in use stays right."""
    before = memory.memory_stats()["in_use"]
    large = memory.empty((2**20,), np.float32)
    del large
    with pytest.raises(MemoryError):
        memory.empty((2**58,), np.float32)
    assert memory.memory_stats() == {"in_use": before, "waiting": 0}
