"""Each allocation of each call fails in turn: run by test_out_of_memory.py, in a process whose malloc can be told to.

Prints the name of each call, its number of allocations and how many of them led to a MemoryError.
"""

import ctypes
import gc
import os
import sys

import numpy as np

import fastconv
from fastconv import backends, elementwise, nn, ops
from fastconv._native import memory, plan
from fastconv._native.layers import loss, normalisation
from fastconv._native.steps import take_step

# Whether Python's own objects are allocated by malloc too.
ALL = os.environ.get("PYTHONMALLOC") == "malloc"

FAIL = ctypes.CDLL(None).fail_allocations
LEFT = ctypes.CDLL(None).allocations_to_fail
FAIL.argtypes = [ctypes.c_long] * 3
LEFT.restype = ctypes.c_long

rng = np.random.default_rng(0)


def normal(*shape):
    return rng.standard_normal(shape, np.float32)


def forced(form, call):
    """The call by a form. A context manager would need memory itself."""
    number = backends.FORMS.index(form)

    def run():
        plan.set_forced(number)
        try:
            return call()
        finally:
            plan.set_forced(-1)

    return run


def calls():
    # Large enough that results and scratch are recycled memory.
    x, w, b, dy = normal(2, 6, 24, 23), normal(8, 3, 3, 3), normal(8), normal(2, 8, 12, 12)
    arguments = (2, 1, 1, 2)
    yield "conv2d", lambda: ops.conv2d(x, w, b, *arguments)
    yield "conv2d_input", lambda: ops.conv2d_input(x.shape, w, dy, *arguments)
    yield "conv2d_weight", lambda: ops.conv2d_weight(x, w.shape, dy, *arguments)
    yield "conv2d of copies", lambda: ops.conv2d(x.astype(">f4"), w.astype(">f4"), b.astype(">f4"), *arguments)
    yield "conv2d_input of strides", lambda: ops.conv2d_input(x.shape, w[::-1], dy[..., ::-1], *arguments)
    # A pass of this layer by every form, but for those of strides and of single taps.
    few, dy4 = normal(4, 1, 3, 3), normal(2, 4, 22, 21)
    for form in backends.FORMS:
        x4 = normal(2, 4, 24, 23)
        if form == "dot":
            x4 = np.moveaxis(normal(2, 24, 23, 4), -1, 1)
        yield f"conv2d by {form}", forced(form, lambda x4=x4: ops.conv2d(x4, few, None, 1, 0, 1, 4))
        yield f"conv2d_input by {form}", forced(form, lambda: ops.conv2d_input((2, 1, 24, 23), few, dy4))
        yield f"conv2d_weight by {form}", forced(form, lambda x4=x4: ops.conv2d_weight(x4, few.shape, dy4, 1, 0, 1, 4))
    single, dy1 = normal(4, 6, 1, 1), normal(2, 4, 24, 23)
    yield "conv2d_weight by mirrored", forced("mirrored", lambda: ops.conv2d_weight(x, single.shape, dy1))
    thin, b16 = normal(16, 1, 3, 3)[:, :, ::-1], normal(32)[::2]
    x8, dy8 = normal(2, 8, 24, 23), normal(2, 16, 12, 12)
    yield "conv2d of depthwise layers", lambda: ops.conv2d(x8, thin, b16, 2, 1, 1, 8)
    yield "conv2d_input of depthwise layers", lambda: ops.conv2d_input(x8.shape, thin, dy8, 2, 1, 1, 8)
    yield "conv2d_weight of depthwise layers", lambda: ops.conv2d_weight(x8[..., ::-1], thin.shape, dy8, 2, 1, 1, 8)
    yield "conv_transpose2d", lambda: ops.conv_transpose2d(dy, w, None, 2, 1, 0, 2)
    yield "conv1d", lambda: ops.conv1d(x[:, :, 0], w[:, :, 0], None, 1, 0, 1, 2)
    yield "bias_gradient", lambda: ops.bias_gradient(dy)
    m, v, dm = normal(64, 70), normal(50, 70), normal(64, 50)
    yield "linear", lambda: ops.linear(m, v)
    yield "linear_input", lambda: ops.linear_input(v, dm)
    yield "linear_weight", lambda: ops.linear_weight(m, dm)
    y, where = ops.max_pool2d(x, 3, 2, 1)
    yield "max_pool2d", lambda: ops.max_pool2d(x, 3, 2, 1)
    yield "max_pool2d_backward", lambda: ops.max_pool2d_backward(y[..., ::-1], where[..., ::-1], x.shape)
    yield "avg_pool2d", lambda: ops.avg_pool2d(x, 3, 2, 1)
    yield "avg_pool2d_backward", lambda: ops.avg_pool2d_backward(y[..., ::-1], x.shape, 3, 2, 1)
    yield "adaptive_avg_pool2d", lambda: ops.adaptive_avg_pool2d(x, (20, 19))
    yield "adaptive_avg_pool2d_backward", lambda: ops.adaptive_avg_pool2d_backward(y[..., ::-1], x.shape)
    yield "pad2d", lambda: ops.pad2d(x, (1, 2, 3, 4), "reflect")
    # Not pad2d_backward: NumPy 2.4 itself crashes where `a[..., 1:] += a[..., :-1]` has no memory for its copy.
    yield "add", lambda: elementwise.add(x, x)
    yield "relu", lambda: elementwise.relu(x)
    yield "relu_backward", lambda: elementwise.relu_backward(x, x)
    moments = normalisation.moments_of(x, None, None, True, 0.1, 1e-5)
    yield "moments_of", lambda: normalisation.moments_of(x, None, None, True, 0.1, 1e-5)
    y, lines = normalisation.normalise(x, None, None, moments, x, True)
    yield "normalise", lambda: normalisation.normalise(x, None, None, moments, x, True)
    yield (
        "normalise_backward",
        lambda: normalisation.normalise_backward(*(x, x, None, moments, True, True, lines, y), need_residual=True),
    )
    logits, labels = normal(64, 30), np.arange(64) % 30
    yield "cross_entropy", lambda: loss.cross_entropy(logits, labels)
    yield "take_step", lambda: take_step("adam", [x.copy()], [x], ([x.copy()], [x * x]), lr=0.1, eps=1e-8)
    yield "empty_cache", lambda: fastconv.empty_cache()


def training():
    """A step of training, all of it: gradients, running statistics and parameters."""
    fastconv.manual_seed(0)
    net = nn.Sequential(
        *(nn.Conv2d(3, 8, 3, padding=1), nn.BatchNorm2d(8), nn.ReLU(), nn.MaxPool2d(2)),
        *(nn.Flatten(), nn.Linear(8 * 12 * 12, 10)),
    )
    optimizer = fastconv.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    x, target = fastconv.from_numpy(normal(4, 3, 24, 24)), fastconv.tensor([1, 2, 3, 4])

    def step():
        optimizer.zero_grad()
        loss = nn.functional.cross_entropy(net(x), target)
        loss.backward()
        optimizer.step()

    return step


def same(a, b):
    if isinstance(a, tuple):
        return all(same(i, j) for i, j in zip(a, b, strict=True))
    if isinstance(a, list):
        return same(tuple(a), tuple(b))
    return a is b or np.array_equal(a, b)


def in_use():
    gc.collect()
    return memory.memory_stats()["in_use"]


def stop():
    """Let allocations succeed again; how many were still to fail."""
    while True:
        try:
            left = LEFT()
            FAIL(0, 0, 0)
            return left
        except MemoryError:
            pass


def each_allocation_in_turn(call, check, training=False):
    """Fail the first allocation, and the one after it, which may be another try; then the second, and so on.

    In training, whose results stay in use, only fastconv's own: NumPy 2.4 crashes where its `max` has no memory.
    """
    allocations = errors = 0
    while True:
        before = in_use()
        # What waits for reuse would be taken without an allocation.
        fastconv.empty_cache()
        result = caught = None
        try:
            FAIL(allocations, 2, training)
            result = call()
        except MemoryError:
            caught = True
        except SystemError as error:
            # Some of NumPy's own functions forget to say what is wrong.
            assert "returned NULL without setting an exception" in str(error)
            caught = True
        left = stop()
        if caught:
            assert result is None
            errors += 1
        else:
            check(result)
            result = None
        # Python itself loses a generator's frame when its own memory runs out, and what the frame holds.
        assert ALL or training or in_use() == before, "memory of a failed call is still in use"
        check(call())
        if left == 2:
            return allocations, errors
        allocations += 1


def main():
    only = sys.argv[1:]
    gc.collect()
    gc.freeze()
    for name, call in calls():
        if only and name not in only:
            continue
        expected = call()

        def check(result, expected=expected, name=name):
            assert same(result, expected), f"{name} is wrong after memory ran out"

        call()
        print(name, *each_allocation_in_turn(call, check), flush=True)
    if ALL or (only and "training" not in only):
        return
    step = training()
    step()
    step()
    before = in_use()

    def check(result):
        assert in_use() == before, "a step of training after a failed one uses more memory than those before"

    print("training", *each_allocation_in_turn(step, check, training=True), flush=True)


main()
