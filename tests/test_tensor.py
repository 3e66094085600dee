"""Tensor and the tape: values against NumPy and torch, gradients against differences."""

import copy
import gc
import pickle
import threading
import weakref

import numpy as np
import pytest
from gradcheck import check_vjp, relative

import fastconv as fc
from fastconv._native.tape import apply
from fastconv.dtypes import result_type

rng = np.random.default_rng(12)


def normal(*shape):
    return rng.standard_normal(shape)


def away_from_zero(*shape):
    x = normal(*shape)
    return x + 0.3 * np.sign(x)


def positive(*shape):
    return rng.uniform(0.3, 2, shape)


# ---- gradients -----------------------------------------------------------------------------------------------------

# (the function, of a library and tensors; its arrays)
CASES = {
    "add": (lambda t, x, y: x + y, normal(3, 4), normal(3, 4)),
    "add broadcast": (lambda t, x, y: x + y, normal(3, 1, 4), normal(2, 1)),
    "add alpha": (lambda t, x, y: t.add(x, y, alpha=3), normal(3), normal(3)),
    "radd": (lambda t, x: 2 + x, normal(3)),
    "sub": (lambda t, x, y: x - y, normal(3, 4), normal(4)),
    "rsub": (lambda t, x: 1.5 - x, normal(3)),
    "mul": (lambda t, x, y: x * y, normal(3, 4), normal(3, 1)),
    "mul scalar": (lambda t, x, y: x * y, normal(3, 4), normal()),
    "div": (lambda t, x, y: x / y, normal(3, 4), away_from_zero(4)),
    "rdiv": (lambda t, x: 1 / x, away_from_zero(5)),
    "lerp": (lambda t, x, y: t.lerp(x, y, 0.3) + x.lerp(y, 0.8), normal(3, 4), normal(4)),
    "lerp tensor": (lambda t, x, y, w: t.lerp(x, y, w), normal(3, 1), normal(4), normal(3, 4)),
    "pow 2": (lambda t, x: x**2, normal(5)),
    "pow 3": (lambda t, x: x**3, normal(5)),
    "pow 0": (lambda t, x: x**0 + x, normal(5)),
    "pow -1.5": (lambda t, x: x**-1.5, positive(5)),
    "pow tensor": (lambda t, x, p: x**p, positive(4, 3), normal(3)),
    "rpow": (lambda t, p: 2.5**p, normal(4)),
    "neg": (lambda t, x: -x, normal(4)),
    "abs": (lambda t, x: abs(x), away_from_zero(7)),
    "exp": (lambda t, x: t.exp(x), normal(4)),
    "log": (lambda t, x: t.log(x), positive(4)),
    "sqrt": (lambda t, x: t.sqrt(x), positive(4)),
    "tanh": (lambda t, x: t.tanh(x), normal(4)),
    "sigmoid": (lambda t, x: t.sigmoid(x), normal(4)),
    "relu": (lambda t, x: t.relu(x), away_from_zero(9)),
    "softmax": (lambda t, x: t.softmax(x, 1), normal(3, 5, 2)),
    "log_softmax": (lambda t, x: t.log_softmax(x, -1), normal(3, 5)),
    "clamp": (lambda t, x: x.clamp(-0.8, 0.9), np.array([-2.0, -0.5, 0.1, 0.7, 3.0])),
    "clamp min": (lambda t, x: x.clamp(min=0.0), away_from_zero(6)),
    "where": (lambda t, x, y: t.where(t.tensor([True, False, True]), x, y), normal(3), normal(2, 1)),
    "where numbers": (lambda t, x: t.where(x > 0, x, 0.5) + t.where(x < 1, 2.0, x), normal(5)),
    "maximum": (lambda t, x, y: t.maximum(x, y), normal(4), normal(3, 4)),
    "minimum": (lambda t, x, y: t.minimum(x, y), normal(4), normal(3, 4)),
    "matmul": (lambda t, x, y: x @ y, normal(3, 4), normal(4, 2)),
    "matmul batch": (lambda t, x, y: x @ y, normal(5, 3, 4), normal(5, 4, 2)),
    "matmul broadcast": (lambda t, x, y: x @ y, normal(2, 1, 3, 4), normal(6, 4, 2)),
    "matmul vector matrix": (lambda t, x, y: x @ y, normal(4), normal(4, 2)),
    "matmul matrix vector": (lambda t, x, y: x @ y, normal(3, 4), normal(4)),
    "matmul batch vector": (lambda t, x, y: x @ y, normal(2, 3, 4), normal(4)),
    "matmul vector batch": (lambda t, x, y: x @ y, normal(4), normal(3, 4, 2)),
    "dot": (lambda t, x, y: x @ y, normal(4), normal(4)),
    "sum": (lambda t, x: x.sum(), normal(3, 4)),
    "sum dim": (lambda t, x: x.sum(1), normal(3, 4, 2)),
    "sum dims": (lambda t, x: x.sum((0, -1)), normal(3, 4, 2)),
    "sum keepdim": (lambda t, x: x.sum([0, 2], keepdim=True), normal(3, 4, 2)),
    "mean": (lambda t, x: x.mean(), normal(3, 4)),
    "mean dims": (lambda t, x: x.mean((0, 2)), normal(3, 4, 2)),
    "var": (lambda t, x: x.var(), normal(3, 4)),
    "var dim": (lambda t, x: x.var(1, unbiased=False), normal(3, 4)),
    "var keepdim": (lambda t, x: x.var((0, 2), keepdim=True), normal(3, 4, 2)),
    "std": (lambda t, x: x.std(0), normal(6, 4)),
    "max": (lambda t, x: x.max(), normal(3, 4)),
    "max dim": (lambda t, x: x.max(1).values, normal(3, 4)),
    "min dim keepdim": (lambda t, x: x.min(0, keepdim=True)[0], normal(3, 4)),
    "norm": (lambda t, x: t.norm(x), normal(3, 4)),
    "norm squared": (lambda t, x: t.norm(x) ** 2, normal(3, 4)),
    "norm dim": (lambda t, x: x.norm(2, 1), normal(3, 4)),
    "norm 1": (lambda t, x: x.norm(1), away_from_zero(3, 4)),
    "norm 3": (lambda t, x: x.norm(3, 0, keepdim=True), away_from_zero(3, 4)),
    "norm inf": (lambda t, x: x.norm(float("inf")), normal(3, 4)),
    "norm -inf": (lambda t, x: x.norm(-float("inf"), 1), normal(3, 4)),
    "reshape": (lambda t, x: x.reshape(2, -1) * 2, normal(3, 4)),
    "view": (lambda t, x: x.view(-1, 2), normal(3, 4)),
    "flatten": (lambda t, x: x.flatten(1), normal(2, 3, 4)),
    "permute": (lambda t, x: x.permute(2, 0, -2), normal(2, 3, 4)),
    "transpose": (lambda t, x: x.transpose(0, -1), normal(2, 3, 4)),
    "T": (lambda t, x: x.T, normal(2, 3)),
    "unsqueeze": (lambda t, x: x.unsqueeze(-1), normal(2, 3)),
    "squeeze": (lambda t, x: x.squeeze(), normal(1, 2, 1, 3)),
    "squeeze dim": (lambda t, x: x.squeeze(0), normal(1, 2, 1)),
    "expand": (lambda t, x: x.expand(4, -1, 3), normal(2, 1)),
    "index": (lambda t, x: x[1, ::2], normal(3, 5)),
    "index none": (lambda t, x: x[None, ..., 1:], normal(3, 5)),
    "index element": (lambda t, x: x[2, 3], normal(3, 5)),
    "index list": (lambda t, x: x[[0, 2, 0]], normal(3, 5)),
    "index tensors": (lambda t, x: x[t.tensor([0, 2, 0]), t.tensor([1, 1, 1])], normal(3, 5)),
    "index mask": (lambda t, x: x[t.tensor([True, False, True])], normal(3, 5)),
    "cat": (lambda t, x, y: t.cat([x, y], 1), normal(2, 3), normal(2, 5)),
    "stack": (lambda t, x, y: t.stack((x, y), -1), normal(2, 3), normal(2, 3)),
    "clone": (lambda t, x: x.clone() * 2, normal(3)),
    "contiguous": (lambda t, x: x.T.contiguous(), normal(3, 2)),
    "iteration": (lambda t, x: sum(row * i for i, row in enumerate(x)), normal(3, 4)),
    "used twice": (lambda t, x: x * x + x, normal(4)),
    "diamond": (lambda t, x: (x.exp() + x.tanh()) * (x.exp() - x), normal(4)),
}


@pytest.mark.parametrize("name", CASES)
def test_gradient(name):
    function, *arrays = CASES[name]
    check_vjp(lambda *tensors: function(fc, *tensors), *arrays)


@pytest.mark.parametrize("name", CASES)
def test_values_and_gradients_are_torchs(name):
    torch = pytest.importorskip("torch")
    function, *arrays = CASES[name]
    ours = [fc.tensor(a).requires_grad_() for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, expected = function(fc, *ours), function(torch, *theirs)
    g = np.random.default_rng(1).standard_normal(y.shape)
    y.backward(fc.from_numpy(g))
    expected.backward(torch.from_numpy(g))
    # Both compute in float64; sums are ordered differently.
    assert relative(y.detach(), expected.detach()) < 1e-14
    for a, b in zip(ours, theirs, strict=True):
        assert relative(a.grad, b.grad) < 1e-14


def test_gradient_of_ties():
    x = fc.tensor([1.0, 3.0, 3.0], requires_grad=True)
    x.max().backward()
    assert x.grad.tolist() == [0, 0.5, 0.5]
    x.grad = None
    x.max(0).values.backward()
    assert x.grad.tolist() == [0, 1, 0]


def test_gradient_at_kinks():
    for function in (fc.relu, abs, lambda x: fc.norm(x), lambda x: x.norm(1)):
        x = fc.zeros(3, requires_grad=True)
        function(x).sum().backward()
        assert x.grad.tolist() == [0, 0, 0]


# ---- the tape ------------------------------------------------------------------------------------------------------


def test_gradients_accumulate():
    x = fc.ones(2, requires_grad=True)
    for _ in range(3):
        (x * 2).sum().backward()
    assert x.grad.tolist() == [6, 6]
    assert not x.grad.requires_grad


def test_each_leaf_has_a_gradient_of_its_own():
    x, y = fc.ones(2, requires_grad=True), fc.ones(2, requires_grad=True)
    g = fc.ones(2)
    (x + y).backward(g)
    x.grad += 5
    assert y.grad.tolist() == [1, 1] and g.tolist() == [1, 1]


def test_an_intermediate_gradient_is_not_overwritten():
    # The gradient of y reaches x twice, and once through an operation that hands the same array on.
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    h = x * 1
    y = (h + h.reshape(2)) + h * 3
    y.backward(fc.ones(2))
    assert x.grad.tolist() == [5, 5]


def test_backward_needs_a_gradient_unless_scalar():
    x = fc.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="only for scalar outputs"):
        (x * 2).backward()
    with pytest.raises(RuntimeError, match=r"gradient has shape \[3\], the tensor \[2\]"):
        (x * 2).backward(fc.ones(3))
    with pytest.raises(RuntimeError, match="does not require grad"):
        fc.ones(1).backward()
    (x[:1] * 2).backward()
    assert x.grad.tolist() == [2, 0]


def test_backward_on_a_leaf():
    x = fc.tensor(3.0, requires_grad=True)
    x.backward()
    x.backward()
    assert x.grad.item() == 2


def test_second_backward():
    x = fc.ones(2, requires_grad=True)
    y = (x.exp() * 2).sum()
    y.backward(retain_graph=True)
    y.backward()
    with pytest.raises(RuntimeError, match=r"backward through the graph a second time.*retain_graph=True"):
        y.backward()
    assert relative(x.grad, [4 * np.e] * 2) < 1e-6


def test_a_shared_part_of_a_freed_graph():
    x = fc.ones(2, requires_grad=True)
    h = x.exp()
    a, b = h.sum(), (h * 2).sum()
    a.backward()
    with pytest.raises(RuntimeError, match="a second time"):
        b.backward()


def test_a_deep_graph():
    # Far beyond the interpreter's recursion limit, in backward() and when the graph is let go.
    x = fc.ones(1, requires_grad=True)
    y = x
    for _ in range(50_000):
        y = y + x
    y.backward()
    assert x.grad.item() == 50_001
    y = x
    for _ in range(50_000):
        y = y * 1.0
    del y


def test_a_wide_graph_costs_linear_time():
    # 2^60 paths from end to start.
    x = fc.tensor(1.0, requires_grad=True)
    y = x
    for _ in range(60):
        y = y + y
    y.backward()
    assert x.grad.item() == 2.0**60


def test_backward_frees_saved_arrays_as_it_goes():
    # Each operation notes how many of the arrays saved by others are still alive when its turn comes.
    alive, counts = weakref.WeakSet(), []

    class Saved:
        pass

    def op(needs, x):
        saved = Saved()
        alive.add(saved)

        def vjp(dy, saved):
            counts.append(len(alive))
            return (dy,)

        return x + 0, vjp, (saved,)

    x = fc.ones(2, requires_grad=True)
    y = x
    for _ in range(5):
        y = apply(op, y)
    y.sum().backward()
    assert counts == [5, 4, 3, 2, 1]


def test_intermediate_results_are_not_kept():
    x = fc.ones(4, requires_grad=True)
    h = x + 1
    y = (h + 2).sum()
    gone = weakref.ref(h)
    del h
    gc.collect()
    assert gone() is None
    y.backward()
    assert x.grad.tolist() == [1] * 4


def test_constants_are_not_recorded():
    x, c = fc.ones(2, requires_grad=True), fc.ones(2)
    assert (c * 2).is_leaf and not (c * 2).requires_grad
    y = x * c
    assert y.requires_grad and not y.is_leaf and x.is_leaf
    assert y.grad_fn.parents[1] is None
    y.sum().backward()
    assert c.grad is None and y.grad is None


def test_a_parameter_frozen_after_the_forward_pass_gets_no_gradient():
    x = fc.ones(2, requires_grad=True)
    y = (x * 2).sum()
    x.requires_grad_(False)
    y.backward()
    assert x.grad is None


def test_grad_modes():
    x = fc.ones(2, requires_grad=True)
    with fc.no_grad():
        assert not fc.is_grad_enabled() and not (x * 2).requires_grad
        with fc.enable_grad():
            assert (x * 2).requires_grad
        assert not (x * 2).requires_grad
    assert fc.is_grad_enabled()

    @fc.no_grad()
    def double(t):
        """Docs."""
        return t * 2

    @fc.no_grad
    def triple(t):
        return t * 3

    assert double.__name__ == "double" and double.__doc__ == "Docs."
    assert not double(x).requires_grad and not triple(x).requires_grad and (x * 2).requires_grad
    fc.set_grad_enabled(False)
    assert not fc.is_grad_enabled()
    with fc.set_grad_enabled(True):
        assert fc.is_grad_enabled()
    assert not fc.is_grad_enabled()
    fc.set_grad_enabled(True)
    with pytest.raises(ZeroDivisionError), fc.no_grad():
        1 / 0
    assert fc.is_grad_enabled()


def test_grad_mode_is_per_thread():
    seen = []
    with fc.no_grad():
        thread = threading.Thread(target=lambda: seen.append(fc.is_grad_enabled()))
        thread.start()
        thread.join()
    assert seen == [True]


def test_threads_differentiate_side_by_side():
    arrays = [np.random.default_rng(k).standard_normal((16, 16)) for k in range(8)]

    def gradient(a):
        x = fc.tensor(a).requires_grad_()
        for _ in range(20):
            ((x @ x).tanh() * x).sum().backward()
        return x.grad.numpy()

    results = [None] * len(arrays)

    def work(k):
        results[k] = gradient(arrays[k])

    threads = [threading.Thread(target=work, args=(k,)) for k in range(len(arrays))]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    for a, result in zip(arrays, results, strict=True):
        np.testing.assert_array_equal(result, gradient(a))


def test_requires_grad():
    with pytest.raises(RuntimeError, match=r"floating dtype.*int64"):
        fc.arange(3).requires_grad_()
    x = fc.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf"):
        (x * 2).requires_grad_(False)
    with pytest.raises(RuntimeError, match=r"shape \[2\].*got shape \[3\]"):
        x.grad = fc.ones(3)
    with pytest.raises(TypeError, match="ndarray"):
        x.grad = np.ones(2)
    d = (x * 2).detach()
    assert d.is_leaf and not d.requires_grad
    h = (x * 2).detach_()
    assert h.is_leaf and not h.requires_grad


# ---- in-place operations -------------------------------------------------------------------------------------------


def test_in_place_writes_to_the_memory():
    a = np.ones((2, 3), np.float32)
    x = fc.from_numpy(a)
    x += 1
    x *= fc.tensor([1.0, 2.0, 3.0])
    x -= 1
    x /= 2
    x[0].add_(1, alpha=2)
    x[1].zero_()
    assert a.tolist() == [[2.5, 3.5, 4.5], [0, 0, 0]]
    x.fill_(3).clamp_(max=2).copy_(fc.tensor([1, 2, 3]))
    assert a.tolist() == [[1, 2, 3]] * 2
    x **= 2
    x[1, 1] = 7
    x[fc.tensor([True, False])] = fc.zeros(3)
    assert a.tolist() == [[0, 0, 0], [1, 7, 9]]


def test_in_place_on_a_leaf_that_requires_grad():
    x = fc.ones(2, requires_grad=True)
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place operation"):
        x += 1
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad is being used in an in-place operation"):
        x.zero_()
    before = x._array
    with fc.no_grad():
        x += 1
        x -= 0.5 * x
    assert x.tolist() == [1, 1] and x._array is before and x.is_leaf and x.requires_grad


def test_in_place_on_what_is_recorded():
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    y = x * 3
    y += 1
    y *= x  # the product needs the former values, and copies them
    y[0] = 5
    y.sum().backward()
    assert y.tolist() == [5, 14] and x.grad.tolist() == [0, 13]


def test_what_is_needed_and_was_written_over():
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    for write in (
        lambda y: y.add_(1),
        lambda y: y[0].zero_(),
        lambda y: y.detach().zero_(),
        lambda y: y.view(1, 2).mul_(2),
    ):
        y = x.exp()
        z = y * 2
        write(y)
        with pytest.raises(RuntimeError, match=r"by an inplace operation.*ExpBackward0.*is at version 1; expected"):
            z.sum().backward()


def test_a_sum_of_losses_in_place():
    x = fc.tensor(2.0, requires_grad=True)
    total = fc.zeros(())
    for k in range(3):
        total += x * k
    total.backward()
    assert x.grad.item() == 3 and total.item() == 6


def test_in_place_keeps_shape_and_dtype():
    x = fc.ones(2, dtype=fc.int64)
    with pytest.raises(RuntimeError, match=r"torch\.float32 can't be cast to the desired output type torch\.int64"):
        x += 0.5
    with pytest.raises(RuntimeError, match=r"shape \[2\] into \[3, 2\]"):
        x += fc.ones(3, 2, dtype=fc.int64)
    y = fc.ones(2)
    y += fc.ones(2, dtype=fc.float64)
    assert y.dtype == fc.float32 and y.tolist() == [2, 2]


def test_assignment_is_recorded():
    x, v = fc.zeros(3), fc.tensor(2.0, requires_grad=True)
    x[0] = v * v
    x[fc.tensor([False, False, True])] = v
    x.sum().backward()
    assert x.tolist() == [4, 0, 2] and v.grad.item() == 5
    leaf = fc.zeros(3, requires_grad=True)
    for index in (0, fc.tensor([0])):
        with pytest.raises(RuntimeError, match="a leaf Variable that requires grad"):
            leaf[index] = 1
    with pytest.raises(RuntimeError, match="a view of a leaf Variable that requires grad"):
        leaf[0].zero_()
    with fc.no_grad():
        leaf[0] = 1
    assert leaf.tolist() == [1, 0, 0]


# ---- dtypes --------------------------------------------------------------------------------------------------------

DTYPES = ["float16", "float32", "float64", "uint8", "int8", "int32", "int64", "bool"]


def test_promotion_is_torchs():
    torch = pytest.importorskip("torch")
    for a in DTYPES:
        for b in DTYPES:
            for a_shape in ((), (2,)):
                for b_shape in ((), (2,)):
                    ours = result_type(fc.ones(a_shape, dtype=a), fc.ones(b_shape, dtype=b))
                    theirs = torch.result_type(
                        torch.ones(a_shape, dtype=getattr(torch, a)), torch.ones(b_shape, dtype=getattr(torch, b))
                    )
                    assert str(theirs) == str(ours), (a, a_shape, b, b_shape)
        for number in (True, 2, 2.5):
            ours = (fc.ones(2, dtype=a) * number).dtype
            assert str((torch.ones(2, dtype=getattr(torch, a)) * number).dtype) == str(ours), (a, number)


def test_python_and_numpy_numbers_are_weak():
    x = fc.ones(2)
    for number in (2, 2.0, True, np.float64(2), np.int64(2), np.float32(2)):
        for y in (x * number, number * x, x + number, number - x, x / number, x**number, number / x):
            assert isinstance(y, fc.Tensor) and y.dtype == fc.float32, number
    assert (fc.arange(3) / 2).dtype == fc.float32
    assert (fc.arange(3) * 2.5).dtype == fc.float32
    assert (fc.arange(3) * 2).dtype == fc.int64
    assert (fc.tensor([True]) + fc.tensor([True])).dtype == fc.bool


def test_arrays_beside_tensors():
    x, a = fc.ones(2, dtype=fc.float64), np.arange(2.0)
    for y in (x + a, a + x, a * x, a - x, a / x, a @ x):
        assert isinstance(y, fc.Tensor)
    assert (a - x).tolist() == [-1, 0]
    with pytest.raises(TypeError):
        x + "a"
    with pytest.raises(TypeError):
        x * [1, 2]


def test_casts_carry_the_gradient():
    x = fc.ones(2, requires_grad=True)
    y = (x.double() * fc.tensor([2.0, 3.0], dtype=fc.float64)).sum()
    assert y.dtype == fc.float64
    y.backward()
    assert x.grad.dtype == fc.float32 and x.grad.tolist() == [2, 3]
    assert x.float() is x and x.to("cpu", non_blocking=True) is x and x.to(fc.float32) is x and x.cpu() is x
    assert x.to(fc.zeros(1, dtype=fc.float64)).dtype == fc.float64
    assert x.to(fc.device("cpu"), fc.float64).dtype == fc.float64
    assert [getattr(x, name)().dtype for name in ("half", "long", "int", "bool")] == [
        fc.float16,
        fc.int64,
        fc.int32,
        fc.bool,
    ]
    with pytest.raises(AssertionError, match="Torch not compiled with CUDA enabled"):
        x.to("cuda:0")
    with pytest.raises(TypeError, match="complex64"):
        x.to("complex64")


def test_float32_sums_do_not_stall():
    # One by one, a float32 sum of ones ends at 2^24.
    n = 2**24 + 2**10
    x = fc.ones(n, 1)
    assert x.sum(0).item() == n and x.sum().item() == n and x.mean().item() == 1


# ---- values --------------------------------------------------------------------------------------------------------


def test_reductions():
    a = normal(3, 4, 5)
    x = fc.tensor(a)
    for dim in (None, 0, -1, (0, 2)):
        for keepdim in (False, True):
            np.testing.assert_allclose(x.sum(dim, keepdim), a.sum(dim, keepdims=keepdim), rtol=1e-12)
            np.testing.assert_allclose(x.mean(dim, keepdim), a.mean(dim, keepdims=keepdim), rtol=1e-12)
            np.testing.assert_allclose(x.var(dim, keepdim=keepdim), a.var(dim, ddof=1, keepdims=keepdim), rtol=1e-12)
            np.testing.assert_allclose(x.std(dim, False, keepdim), a.std(dim, keepdims=keepdim), rtol=1e-12)
    values, indices = x.max(dim=1)
    np.testing.assert_array_equal(values, a.max(1))
    np.testing.assert_array_equal(indices, a.argmax(1))
    assert indices.dtype == fc.int64
    np.testing.assert_array_equal(x.argmin(2, keepdim=True), a.argmin(2, keepdims=True))
    assert x.argmax().item() == a.argmax() and x.min().item() == a.min()
    assert fc.tensor([1, 2, 3], dtype=fc.uint8).sum().dtype == fc.int64
    assert fc.tensor([True, True]).sum().item() == 2
    assert (fc.tensor([1.0, 2.0]) == 2).any().item() and not (fc.tensor([1.0, 2.0]) == 2).all().item()
    for name in ("mean", "var", "norm"):
        with pytest.raises(RuntimeError, match=r"floating dtype, got torch\.int64"):
            getattr(fc.arange(3), name)()
    with pytest.raises(IndexError):
        x.sum(3)
    assert fc.norm(fc.tensor([3.0, 4.0])).item() == 5
    assert fc.norm(fc.tensor([3.0, 0.0]), 0).item() == 1
    assert fc.norm(fc.tensor([3.0, 4.0]), "fro").item() == 5
    with pytest.raises(ValueError, match="'nuc'"):
        fc.norm(fc.ones(2, 2), "nuc")


def test_nan_is_the_maximum():
    x = fc.tensor([1.0, float("nan"), 5.0])
    assert np.isnan(x.max().item()) and np.isnan(x.min().item())
    assert x.max(0).indices.item() == 1 and x.argmin().item() == 1
    y = x.clone().requires_grad_()
    y.max().backward()
    assert y.grad.tolist() == [0, 1, 0]


def test_sigmoid_does_not_overflow():
    with np.errstate(all="raise", under="ignore"):
        y = fc.sigmoid(fc.tensor([-1000.0, -20.0, 0.0, 20.0, 1000.0], dtype=fc.float64))
    np.testing.assert_allclose(y, [0, np.exp(-20) / (1 + np.exp(-20)), 0.5, 1 / (1 + np.exp(-20)), 1], rtol=1e-15)


def test_comparison():
    x = fc.tensor([1, 2, 3])
    assert (x == 2).tolist() == [False, True, False]
    assert (x != fc.tensor([1, 0, 3])).tolist() == [False, True, False]
    assert (2 < x).tolist() == [False, False, True] and (x <= 2).tolist() == [True, True, False]  # noqa: SIM300
    assert x.eq(x).dtype == fc.bool and ((x > 1) & ~(x > 2)).tolist() == [False, True, False]
    assert not (x == None) and x != None  # noqa: E711, SIM201
    assert (x // 2).tolist() == [0, 1, 1] and (x % 2).tolist() == [1, 0, 1]
    assert 2 in x and 7 not in x
    assert len({x, fc.tensor([1, 2, 3])}) == 2


def test_views_share_memory():
    x = fc.arange(24).float()
    y = x.view(2, 3, 4)
    for v in (y, y[0], y[1, 2, 3], y.transpose(0, 1), y.T, y.permute(1, 2, 0), x.unsqueeze(0), y.flatten(), x.detach()):
        assert np.shares_memory(v.numpy(), x.numpy())
    y[1, 2, 3].fill_(-1)
    assert x[-1].item() == -1
    assert not np.shares_memory(y.T.contiguous().numpy(), x.numpy())
    assert y.contiguous() is y and not y.T.is_contiguous() and y.stride() == (12, 4, 1) and y.stride(0) == 12


def test_view_never_copies():
    x = fc.zeros(2, 3)
    with pytest.raises(RuntimeError, match=r"view size \[6\].*size \[3, 2\] and stride \[1, 3\].*reshape"):
        x.T.view(-1)
    assert x.T.reshape(-1).shape == (6,)
    assert x.T.view(3, 2, 1).shape == (3, 2, 1) and x.view_as(fc.zeros(6)).shape == (6,)
    with pytest.raises(RuntimeError, match=r"shape \[4, -1\] is invalid for input of size 6"):
        x.view(4, -1)
    assert fc.zeros(0, 3).T.view(-1).shape == (0,)


def test_shapes():
    x = fc.zeros(2, 3, 4)
    assert x.shape == x.size() == (2, 3, 4) and x.size(-1) == 4 and x.dim() == x.ndim == 3 and x.numel() == 24
    assert len(x) == 2 and x.nbytes == 96 and x.itemsize == 4 and x.device == "cpu"
    assert (
        x.flatten(0, 1).shape == (6, 4) and fc.flatten(x, 1).shape == (2, 12) and fc.tensor(1.0).flatten().shape == (1,)
    )
    assert x.squeeze(1).shape == (2, 3, 4) and x.unsqueeze(-2).shape == (2, 3, 1, 4)
    assert fc.zeros(2, 3).t().shape == (3, 2)
    for bad in (
        lambda: x.flatten(3),
        lambda: x.unsqueeze(5),
        lambda: x.size(3),
        lambda: x.transpose(0, 3),
        lambda: x.squeeze(3),
        lambda: x[2],
    ):
        with pytest.raises(IndexError):
            bad()
    for bad in (
        lambda: x.flatten(2, 1),
        lambda: x.permute(0, 1),
        lambda: x.permute(0, 1, 1),
        lambda: x.expand(5, 3, 4),
        lambda: x.t(),
        lambda: x @ fc.zeros(3, 2),
        lambda: x @ fc.zeros(4, 2, dtype=fc.float64),
        lambda: x @ fc.tensor(1.0),
        lambda: fc.stack([]),
        lambda: fc.cat([x, fc.zeros(2, 4, 4)]),
        lambda: fc.stack([x, fc.zeros(2, 4, 4)]),
        lambda: x.item(),
        lambda: bool(x),
    ):
        with pytest.raises(RuntimeError):
            bad()
    for bad in (lambda: len(fc.tensor(1)), lambda: iter(fc.tensor(1)), lambda: [1, 2][fc.tensor(1.0)]):
        with pytest.raises(TypeError):
            bad()
    assert [1, 2][fc.tensor(1)] == 2 and [r.tolist() for r in fc.tensor([[1], [2]])] == [[1], [2]]


def test_indexing_is_numpys():
    a = np.arange(60).reshape(3, 4, 5)
    x = fc.tensor(a)
    for index in (
        1,
        -1,
        np.int64(2),
        slice(None, None, 2),
        (1, 2),
        (1, 2, 3),
        (Ellipsis, 0),
        (None, 1),
        (slice(None), None, 1),
        [0, 2],
        np.array([2, 0, 2]),
        (np.array([2, 0]), slice(1), np.array([1, 1])),
        a > 30,
        (np.array([True, False, True]), 1),
        [],
        True,
    ):
        np.testing.assert_array_equal(x[index], a[index])
    np.testing.assert_array_equal(x[fc.tensor(1), fc.tensor([0, 1])], a[1, [0, 1]])
    np.testing.assert_array_equal(x[x > 30], a[a > 30])


# ---- in and out ----------------------------------------------------------------------------------------------------


def test_numpy_without_a_copy():
    a = np.arange(6.0).reshape(2, 3)[:, ::-1]
    x = fc.from_numpy(a)
    assert x.numpy() is a or np.shares_memory(x.numpy(), a)
    assert np.asarray(x) is x.numpy()
    a[0, 0] = 9
    assert x[0, 0].item() == 9
    with pytest.raises(RuntimeError, match=r"detach\(\).numpy\(\)"):
        x.requires_grad_().numpy()
    with pytest.raises(RuntimeError, match="requires grad"):
        np.asarray(x)
    assert np.shares_memory(x.detach().numpy(), a) and np.shares_memory(x.numpy(force=True), a)


def test_array_protocol():
    x = fc.tensor([1, 2])
    assert np.array(x, dtype=np.float32).dtype == np.float32
    assert not np.shares_memory(np.array(x), x.numpy())
    with pytest.raises(ValueError, match="without a copy"):
        np.asarray(x, dtype=np.float32, copy=False)
    assert np.add(x, 1).tolist() == [2, 3]


def test_from_numpy_refuses_what_it_cannot_share():
    with pytest.raises(TypeError, match="list"):
        fc.from_numpy([1, 2])
    with pytest.raises(ValueError, match=r"byte order.*'>f4'"):
        fc.from_numpy(np.ones(2, ">f4"))
    assert fc.tensor(np.ones(2, ">f4")).dtype == fc.float32 and fc.as_tensor(np.ones(2, ">f4")).dtype == fc.float32
    for dtype in ("complex64", object, "U1", "datetime64[s]", np.longdouble):
        with pytest.raises(TypeError):
            fc.from_numpy(np.zeros(2, dtype))
    a = np.ones(2)
    a.flags.writeable = False
    x = fc.from_numpy(a)
    assert (x + 1).tolist() == [2, 2]
    with pytest.raises(ValueError, match="read-only"):
        x += 1


def test_dlpack():
    a = np.arange(6, dtype=np.float32).reshape(2, 3)
    x = fc.from_dlpack(a)
    assert np.shares_memory(x.numpy(), a) and x.__dlpack_device__() == (1, 0)
    assert np.shares_memory(np.from_dlpack(x), a)
    with pytest.raises(BufferError, match="requires grad"):
        x.clone().requires_grad_().__dlpack__()
    torch = pytest.importorskip("torch")
    t = torch.from_dlpack(x)
    t[0, 0] = 7
    assert a[0, 0] == 7
    y = fc.from_dlpack(t)
    y[0, 1] = 8
    assert a[0, 1] == 8


def test_tensor_copies_and_infers():
    a = np.ones(2)
    x = fc.tensor(a)
    x[0] = 2
    assert a[0] == 1 and x.dtype == fc.float64
    assert fc.tensor([1.0, 2]).dtype == fc.float32 and fc.tensor(1).dtype == fc.int64
    assert fc.tensor([True]).dtype == fc.bool and fc.tensor([]).dtype == fc.float32
    assert fc.tensor(np.float64(2)).dtype == fc.float64 and fc.tensor([np.ones(2)]).dtype == fc.float64
    assert fc.tensor([1, 2], dtype=fc.float64).dtype == fc.float64
    assert fc.tensor([fc.tensor(1.0), fc.tensor(2.0)]).tolist() == [1, 2]
    assert fc.Tensor([1.0, 2.0], requires_grad=True).requires_grad
    y = fc.tensor([1.0])
    assert fc.as_tensor(y) is y and np.shares_memory(fc.as_tensor(a).numpy(), a)
    assert fc.as_tensor([1.0], dtype=fc.float64).dtype == fc.float64
    with pytest.raises(TypeError):
        fc.tensor(["a"])
    with pytest.raises(ValueError):
        fc.tensor([[1], [1, 2]])


def test_python_numbers():
    x = fc.tensor(2.5)
    assert x.item() == float(x) == 2.5 and int(x) == 2 and bool(x) and f"{x:.2f}" == "2.50"
    assert fc.tensor([[1, 2]]).tolist() == [[1, 2]] and isinstance(fc.tensor(1).item(), int)
    assert not fc.zeros(1) and type((x > 1).item()) is bool


def test_creation():
    assert fc.zeros(2, 3).shape == fc.zeros((2, 3)).shape == fc.ones([2, 3]).shape == fc.empty(2, 3).shape == (2, 3)
    assert fc.zeros(2).dtype == fc.float32 and fc.ones(2, dtype=fc.int64).tolist() == [1, 1]
    assert fc.full((2,), 3).dtype == fc.int64 and fc.full((2,), 0.5).dtype == fc.float32
    assert fc.full((1,), True).dtype == fc.bool and fc.full(2, 1, dtype=fc.float64).dtype == fc.float64
    assert fc.arange(3).tolist() == [0, 1, 2] and fc.arange(3).dtype == fc.int64
    assert fc.arange(1, 2, 0.25).tolist() == [1, 1.25, 1.5, 1.75] and fc.arange(3.0).dtype == fc.float32
    assert fc.arange(5, 0, -2).tolist() == [5, 3, 1]
    with pytest.raises(RuntimeError, match="step sign"):
        fc.arange(2, 1)
    assert fc.linspace(0, 1, 3).tolist() == [0, 0.5, 1] and fc.eye(2).tolist() == [[1, 0], [0, 1]]
    assert fc.eye(1, 2).shape == (1, 2)
    x = fc.ones(2, 3, dtype=fc.float64)
    for function in (fc.zeros_like, fc.ones_like, fc.empty_like, fc.rand_like, fc.randn_like):
        assert function(x).shape == (2, 3) and function(x).dtype == fc.float64
        assert function(x, dtype=fc.float32).dtype == fc.float32
    assert fc.full_like(x, 2).tolist() == [[2.0] * 3] * 2
    assert fc.zeros(2, requires_grad=True).requires_grad
    with pytest.raises(TypeError):
        fc.zeros(2, dtype="complex64")
    with pytest.raises(RuntimeError):
        fc.arange(1, 2, 0)
    assert fc.is_tensor(x) and not fc.is_tensor(1) and fc.numel(x) == 6
    assert fc.equal(x, x.clone()) and not fc.equal(x, fc.ones(3)) and fc.allclose(x, x + 1e-9)
    assert fc.isnan(fc.tensor([1, float("nan")])).tolist() == [False, True]
    assert fc.isfinite(fc.tensor([1, float("inf")])).tolist() == [True, False]


def test_random_creation():
    fc.manual_seed(3)
    a = fc.randn(1000), fc.rand(1000), fc.randint(5, (1000,)), fc.randperm(1000)
    fc.manual_seed(3)
    b = fc.randn(1000), fc.rand(1000), fc.randint(0, 5, (1000,)), fc.randperm(1000)
    for x, y in zip(a, b, strict=True):
        assert fc.equal(x, y)
    normal, uniform, integers, permutation = a
    # Means and deviations of 1000 draws stray by 1/sqrt(1000) = 0.03 or so.
    assert abs(normal.mean().item()) < 0.15 and abs(normal.std().item() - 1) < 0.15
    assert uniform.min().item() >= 0 and uniform.max().item() < 1 and abs(uniform.mean().item() - 0.5) < 0.05
    assert sorted(set(integers.tolist())) == [0, 1, 2, 3, 4] and integers.dtype == fc.int64
    assert sorted(permutation.tolist()) == list(range(1000))
    g = fc.Generator().manual_seed(1)
    state = fc.default_generator.get_state().tolist()
    assert fc.equal(fc.randn(3, generator=g), fc.randn(3, generator=fc.Generator().manual_seed(1)))
    assert fc.default_generator.get_state().tolist() == state
    x = fc.empty(1000).uniform_(2, 4)
    assert x.min().item() >= 2 and x.max().item() <= 4
    assert abs(x.normal_(5, 0.1).mean().item() - 5) < 0.02
    with pytest.raises(RuntimeError, match="to be less than"):
        fc.randint(0, (2,))
    with pytest.raises(TypeError):
        fc.randint(3)


def test_where_takes_any_truth():
    x = fc.ones(3, requires_grad=True)
    fc.where(fc.tensor([0, 1, 2]), 5.0, x).sum().backward()
    assert x.grad.tolist() == [1, 0, 0]
    assert fc.where(fc.tensor([True, False]), 1, 0).tolist() == [1, 0]


def test_cat_and_stack():
    x, y = fc.ones(2, 3), fc.zeros(1, 3)
    assert fc.cat((x, y)).shape == (3, 3) and fc.stack([x, x], 1).shape == (2, 2, 3)
    assert fc.cat([x, fc.ones(1, 3, dtype=fc.float64)]).dtype == fc.float64


def test_functions_take_plain_arrays():
    a = away_from_zero(3, 4)
    for function in (fc.exp, fc.tanh, fc.relu, fc.sigmoid, lambda x: fc.softmax(x, 1), fc.flatten):
        assert type(function(a)) is np.ndarray
        np.testing.assert_array_equal(function(a), function(fc.from_numpy(a)))


# ---- text, copies --------------------------------------------------------------------------------------------------


def test_repr():
    assert repr(fc.tensor([1.0, 2.0])) == "tensor([1., 2.])"
    assert repr(fc.tensor([1.0, 2.5])) == "tensor([1.0000, 2.5000])"
    assert repr(fc.tensor([1e-6, 2.5])) == "tensor([1.0000e-06, 2.5000e+00])"
    assert repr(fc.tensor([1, 2])) == "tensor([1, 2])" and repr(fc.tensor(True)) == "tensor(True)"
    assert repr(fc.ones(2, dtype=fc.float64)) == "tensor([1., 1.], dtype=torch.float64)"
    assert repr(fc.ones(1, requires_grad=True)) == "tensor([1.], requires_grad=True)"
    assert repr(fc.ones(1, requires_grad=True) * 2) == "tensor([2.], grad_fn=<MulBackward0>)"
    assert repr(fc.zeros(0)) == "tensor([])" and repr(fc.zeros(0, 3)) == "tensor([], size=(0, 3))"
    assert repr(fc.tensor(0.5)) == "tensor(0.5000)"
    assert repr(fc.tensor([[1, 2], [3, 4]])) == "tensor([[1, 2],\n        [3, 4]])"
    assert "..." in repr(fc.zeros(2000))
    assert "nan" in repr(fc.tensor([float("nan"), 1.0])) and "inf" in repr(fc.tensor(float("inf")))


@pytest.mark.parametrize("protocol", range(2, pickle.HIGHEST_PROTOCOL + 1))
def test_pickle(protocol):
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    y = pickle.loads(pickle.dumps(x, protocol))
    assert fc.equal(x, y) and y.requires_grad and y.is_leaf and type(y) is fc.Tensor
    z = pickle.loads(pickle.dumps(x * 2, protocol))
    assert z.is_leaf and z.tolist() == [2, 4]


def test_deepcopy():
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    (x * 2).sum().backward()
    y, again = copy.deepcopy([x, x])
    assert y is again and y is not x and fc.equal(x, y) and y.grad.tolist() == [2, 2]
    with fc.no_grad():
        y += 1
        y.grad += 1
    assert x.tolist() == [1, 2] and x.grad.tolist() == [2, 2]
    with pytest.raises(RuntimeError, match="only leaf tensors"):
        copy.deepcopy(x * 2)


def test_data():
    x = fc.ones(2, requires_grad=True)
    x.data += 1
    assert x.tolist() == [2, 2] and x.requires_grad
    x.data = fc.zeros(3)
    assert x.shape == (3,) and x.requires_grad
    with pytest.raises(TypeError, match="ndarray"):
        x.data = np.zeros(2)


def test_errors_say_what_came():
    with pytest.raises(RuntimeError, match=r"\[2, 3\] and \[2, 3\] cannot be multiplied"):
        fc.ones(2, 3) @ fc.ones(2, 3)
    for function in (fc.exp, fc.relu):
        with pytest.raises(TypeError, match="Tensor, got list"):
            function([1.0])
    with pytest.raises(RuntimeError, match="At least one of 'min' or 'max'"):
        fc.ones(2).clamp()
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        fc.nonsense


def test_functions_and_methods_are_one():
    x, y = fc.tensor([[1.0, -2.0], [3.0, 4.0]]), fc.tensor([[0.0, 5.0], [3.0, 1.0]])
    for name, arguments in (
        ("neg", ()),
        ("reshape", ((4,),)),
        ("permute", ((1, 0),)),
        ("transpose", (0, 1)),
        ("unsqueeze", (0,)),
        ("squeeze", ()),
        ("max", (y,)),
        ("min", (y,)),
        ("argmax", (1,)),
        ("clamp", (-1, 1)),
    ):
        assert fc.equal(getattr(fc, name)(x, *arguments), getattr(x, name)(*arguments)), name
    assert fc.equal(fc.max(x, y), fc.maximum(x, y)) and fc.equal(fc.min(x, y), fc.minimum(x, y))
    assert fc.equal(+x, x) and fc.tensor(x).tolist() == x.tolist()
    assert fc.exp(fc.arange(2)).dtype == fc.float32 and x.long().type_as(x).dtype == fc.float32
    assert x.sum(dtype=fc.float64).dtype == fc.float64 and fc.arange(3).mean(dtype=fc.float32).item() == 1
    assert x.clone().sub_(y).mul_(2).div_(4).tolist() == [[0.5, -3.5], [0.0, 1.5]]
    assert fc.device("cpu:0").type == "cpu"
    with pytest.raises(TypeError, match=r"max.*list"):
        fc.max([1.0])
    with pytest.raises(RuntimeError, match="Cannot access accelerator device when none is available"):
        x.to(device=3)


def test_attributes_of_subclasses_are_copied():
    class Named(fc.Tensor):
        pass

    x = Named([1.0])
    x.name = "x"
    y = copy.deepcopy(x)
    assert type(y) is Named and y.name == "x" and y.tolist() == [1]


# ---- the order of memory, and what programs ask of a tensor --------------------------------------------------------


def test_channels_last():
    x = fc.randn(2, 3, 4, 5)
    y = x.contiguous(memory_format=fc.channels_last)
    assert y.stride() == (60, 1, 15, 3)
    assert y.is_contiguous(memory_format=fc.channels_last)
    assert not y.is_contiguous()
    assert y.contiguous(memory_format=fc.channels_last) is y
    assert x.to(memory_format=fc.channels_last).stride() == y.stride()
    assert fc.equal(x, y)
    assert y.clone().stride() == y.stride()
    assert y.clone(memory_format=fc.contiguous_format).is_contiguous()
    with pytest.raises(RuntimeError, match=r"rank 4 tensor.*\[3\]"):
        fc.ones(3).contiguous(memory_format=fc.channels_last)
    layer = fc.nn.Conv2d(3, 8, 3).to(memory_format=fc.channels_last)
    assert layer.weight.is_contiguous(memory_format=fc.channels_last)
    assert layer.bias.shape == (8,)
    assert layer(y).is_contiguous(memory_format=fc.channels_last)
    z = x.clone().requires_grad_()
    z.contiguous(memory_format=fc.channels_last).mul(2).sum().backward()
    assert (z.grad == 2).all()


def test_tensors_like_one():
    x = fc.ones(2, 3, dtype=fc.float64)
    assert x.new_zeros(2, 2).dtype == fc.float64
    assert x.new_ones((4,), dtype=fc.int64).tolist() == [1] * 4
    assert x.new_full((2,), 7).tolist() == [7.0, 7.0]
    assert x.new_tensor([1, 2]).dtype == fc.float64
    assert x.new_empty(3).shape == (3,)
    assert x.type() == "torch.DoubleTensor"
    assert x.type("torch.IntTensor").dtype == fc.int32
    assert x.type(fc.float32).dtype == fc.float32
    assert (x.nelement(), x.element_size()) == (6, 8)
    assert x[1].data_ptr() - x.data_ptr() == 24
    assert [where.tolist() for where in fc.where(fc.tensor([[0, 2], [3, 0]]))] == [[0, 1], [1, 0]]
    assert x.add(3).sqrt_().tolist() == [[2.0] * 3] * 2
    assert fc.is_floating_point(x)
    assert not fc.is_floating_point(x.long())
