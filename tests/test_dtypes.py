"""Dtypes: promotion, tensors without dimensions, float16, bfloat16, shapes and devices; beside torch."""

import copy
import pickle

import numpy as np
import pytest

import fastconv as fc
from fastconv import dtypes
from fastconv.dtypes import bits_of, from_bits

rng = np.random.default_rng(31)


# Lines for both libraries, with `lib`, and what each gives in torch: the value, or the error.
LINES = {
    "lib.zeros(2, 3, 4)[0, :, [0, 1]].shape": (3, 2),
    "lib.zeros(2, 3)[lib.tensor([1, 0], dtype=lib.uint8)].shape": (1, 3),
    "lib.zeros(2, 3, 4)[0, True].shape": (1, 3, 4),
    "lib.zeros(2, 3)[::-1]": ValueError,
    "lib.zeros(2, 3)[2]": IndexError,
    "lib.zeros(2, 3)[lib.tensor([0.5])]": IndexError,
    "lib.cat([lib.tensor([1]), lib.tensor([0.5]).half()]).tolist()": [1.0, 0.5],
    "lib.stack([lib.tensor([1]), lib.tensor([0.5]).half()]).itemsize": 2,
    "(lib.tensor([5]) // 2.0).tolist()": [2.0],
    "(lib.tensor([5]) % 2.0).tolist()": [1.0],
    "lib.tensor([1, 2]).clamp(np.float64(1.5)).tolist()": [1.5, 2.0],
    "(lib.tensor([0.1]) == np.float64(0.1)).tolist()": [True],
    "(lib.tensor([7], dtype=lib.uint8) & lib.tensor(300)).tolist()": [4],
    "lib.ones(2).sum(dtype=lib.int32).tolist()": 2,
    "lib.tensor([np.float64(1)]).double().tolist()": [1.0],
    "(lib.tensor([1], dtype=lib.uint8) + 300).tolist()": [45],
    "(5 // lib.tensor([2])).tolist()": [2],
    "(5 % lib.tensor([3])).tolist()": [2],
    "(6 & lib.tensor([3])).tolist()": [2],
    "(6 | lib.tensor([3])).tolist()": [7],
    "(6 ^ lib.tensor([3])).tolist()": [5],
    "(1 << lib.tensor([3])).tolist()": [8],
    "(9 >> lib.tensor([1])).tolist()": [4],
    "lib.tensor([1]) // 0": RuntimeError,
    "lib.tensor([1]) % 0": RuntimeError,
    "lib.tensor([2]) ** -1": RuntimeError,
    "-lib.tensor([True])": RuntimeError,
    "~lib.tensor([1.0])": TypeError,
    "lib.tensor(3.0).mean(0).item()": 3.0,
    "lib.tensor(3.0).var(0).isnan().item()": True,
    "lib.tensor(3.0).std(unbiased=False).item()": 0.0,
    "lib.tensor(3.0).max(0)[0].item()": 3.0,
    "lib.tensor(3.0).min(-1)[1].item()": 0,
    "lib.tensor(3.0).softmax(0).item()": 1.0,
    "lib.tensor(3.0).log_softmax(-1).item()": 0.0,
    "lib.tensor(3.0).sum(1)": IndexError,
    "lib.randn(()).shape": (),
    "lib.zeros(()).normal_().shape": (),
    "lib.full((4,), 6e4, dtype=lib.half).mean().item()": 60000.0,
    "lib.full((4,), 300.0, dtype=lib.half).norm().item()": 600.0,
    "lib.ones(70000, dtype=lib.half).mean().item()": 1.0,
    "lib.Tensor([1, 2]).tolist()": [1.0, 2.0],
    "lib.Tensor(1, 3, 2, 2).shape": (1, 3, 2, 2),
    "lib.Tensor(lib.ones(2, 3).shape).shape": (2, 3),
    "lib.Tensor().shape": (0,),
    "lib.Tensor(3.5)": TypeError,
    "lib.randint(5, size=(2,)).shape": (2,),
    "lib.randint(high=5, size=(2,)).shape": (2,),
    "lib.ones(2).device.type": "cpu",
    "str(lib.ones(2).device)": "cpu",
    "lib.ones(2, 3).shape.numel()": 6,
    "repr(lib.ones(2, 3).shape[1:] + (1,))": "torch.Size([3, 1])",
    "repr((4,) + lib.ones(2, 3).size())": "torch.Size([4, 2, 3])",
    "lib.ones(2, 3).sum(axis=1, keepdims=True).tolist()": [[3.0], [3.0]],
    "lib.cat([lib.ones(1, 2), lib.ones(1, 2)], axis=1).shape": (1, 4),
    "lib.zeros(size=(2, 1), device='cpu', dtype=None).shape": (2, 1),
    "lib.ones(2, out=lib.zeros(2)).tolist()": [1.0, 1.0],
    "lib.cat([lib.tensor([]), lib.ones(2, 3)]).shape": (2, 3),
    "lib.zeros(0, 3).softmax(0).shape": (0, 3),
    "lib.arange(2, 1)": RuntimeError,
    "lib.full((2,), -1.0, dtype=lib.uint8)": RuntimeError,
    "lib.tensor([-1, 3, -255], dtype=lib.uint8).tolist()": [255, 3, 1],
    "lib.tensor([0.5, 1, -1, np.int32(-2)], dtype=lib.uint8).tolist()": [0, 1, 255, 254],
    "lib.tensor([-256], dtype=lib.uint8)": RuntimeError,
    "lib.tensor([-0.5, 1, True], dtype=lib.uint8)": RuntimeError,
    "lib.tensor(255.5, dtype=lib.uint8)": RuntimeError,
    "lib.tensor([[1], [127.5]], dtype=lib.int8)": RuntimeError,
    "lib.tensor(np.int64(300), dtype=lib.int8)": RuntimeError,
    "lib.tensor([float('nan')], dtype=lib.int64)": RuntimeError,
    "lib.tensor([2**63])": ValueError,
    "lib.tensor([1, 2**63], dtype=lib.int64)": ValueError,
    "lib.tensor(np.array([300, -1]), dtype=lib.uint8).tolist()": [44, 255],
    "lib.tensor([0.5, 2**60 + 1], dtype=lib.int64).tolist()": [0, 2**60 + 1],
    "lib.add(True, lib.zeros(0, dtype=lib.bool), alpha=70000).dtype.itemsize": 1,
    "lib.add(lib.tensor([True, False]), True, alpha=300).tolist()": [True, True],
    "lib.add(lib.tensor([True, False]), lib.tensor([False, False]), alpha=2).tolist()": [True, False],
    "lib.add(True, lib.tensor([True, False]), alpha=0).tolist()": [True, True],
    "lib.zeros(2, dtype=lib.bool).add_(lib.ones(2, dtype=lib.bool), alpha=300).tolist()": [True, True],
    "lib.zeros(0, dtype=lib.bool).median(0)": IndexError,
    "lib.zeros(2, 0, dtype=lib.bool).median(0)": NotImplementedError,
    "lib.zeros(0, dtype=lib.bool).kthvalue(1, 0)": IndexError,
    "lib.zeros(2, 0).mode(1)": IndexError,
    **{
        f"lib.ones(3, dtype=lib.{source}, requires_grad=True).{call}(0, dtype=lib.bfloat16).requires_grad": True
        for source in ("float16", "float32", "bfloat16")
        for call in ("cumsum", "cumprod", "prod", "sum", "mean")
    },
    "lib.zeros(0).index_fill(0, lib.tensor([0]), 1)": RuntimeError,
    "lib.zeros(2).index_fill(0, lib.tensor([2]), 1)": IndexError,
    "lib.zeros(2).index_fill(0, lib.tensor([0.0]), 1)": IndexError,
    "lib.zeros(2).index_fill(0, lib.tensor([[0]]), 1)": RuntimeError,
    "lib.zeros(2).index_fill(0, lib.tensor([0]), lib.ones(1))": RuntimeError,
    "lib.zeros(2).index_fill(0, lib.tensor(-1), lib.tensor(5.0)).tolist()": [0.0, 5.0],
    "lib.zeros(0).index_add(0, lib.tensor([0]), lib.zeros(0))": RuntimeError,
    "lib.zeros(0).index_add(0, lib.tensor([0]), lib.zeros(1))": IndexError,
    "lib.zeros(2, 3).index_add(1, lib.tensor([3]), lib.zeros(2, 1))": RuntimeError,
    "lib.zeros(2, 3).index_add(0, lib.tensor([0]), lib.zeros(1, 1))": RuntimeError,
    "lib.zeros(3).index_add(0, lib.tensor([0, 1]), lib.ones(1))": RuntimeError,
    "lib.zeros(3).index_add(0, lib.tensor([0]), lib.ones(1).double())": RuntimeError,
    "lib.zeros(()).index_add(0, lib.tensor([0]), lib.tensor(2.0)).item()": 2.0,
    "lib.zeros(()).index_add(0, lib.tensor([0, 0]), lib.tensor(2.0))": IndexError,
    "lib.zeros(0).index_copy(0, lib.tensor([0]), lib.zeros(1))": RuntimeError,
    "lib.zeros(2, 3).index_copy(0, lib.tensor([0]), lib.zeros(3))": IndexError,
    "lib.zeros(2, 3).index_copy(0, lib.tensor([0]), lib.zeros(1, 1))": RuntimeError,
    "lib.zeros(2, 3).index_copy(0, lib.tensor([0]), lib.tensor(5.0))": RuntimeError,
    "lib.zeros(3).index_copy(0, lib.tensor([0, 1]), lib.tensor(5.0))": IndexError,
    "lib.zeros(3).index_copy(0, lib.tensor([0, 1]), lib.ones(1))": IndexError,
    "lib.zeros(3).index_copy(0, lib.tensor([0], dtype=lib.int32), lib.ones(1))": RuntimeError,
    "lib.zeros(3).index_copy(0, lib.tensor([0]), lib.ones(1).double())": RuntimeError,
    "lib.zeros(3).index_copy(0, lib.tensor(1), lib.tensor(5.0)).tolist()": [0.0, 5.0, 0.0],
    "lib.zeros(()).index_select(0, lib.tensor([0, 0]))": RuntimeError,
    "lib.zeros(3).index_select(0, lib.tensor([[0.0]]))": IndexError,
    "lib.arange(3).gather(0, lib.tensor(1)).shape": (),
    "lib.zeros(3).take(lib.tensor([0], dtype=lib.int32))": RuntimeError,
    "lib.zeros(3).take_along_dim(lib.tensor([[0]]), 0)": RuntimeError,
    "lib.zeros(3).take_along_dim(lib.tensor([0.0]), 0)": RuntimeError,
    "lib.zeros(3, 3).take_along_dim(lib.tensor([[0], [0]]), 1)": RuntimeError,
    "lib.zeros(3).scatter(0, lib.tensor([0]), lib.ones(1, 1))": RuntimeError,
    "lib.zeros(3).scatter(0, lib.tensor(1), lib.ones(2)).tolist()": [0.0, 1.0, 0.0],
    "lib.zeros(0).scatter(0, lib.zeros(0).long(), lib.ones(0).double())": RuntimeError,
    "lib.zeros(2, 0).scatter(0, lib.zeros(2, 0).long(), lib.ones(1)).shape": (2, 0),
    "lib.zeros(2, dtype=lib.uint8).scatter(0, lib.zeros(0).long(), -1.5).shape": (2,),
    "lib.zeros(2).scatter(0, lib.zeros(0).long(), lib.ones(0, requires_grad=True)).requires_grad": True,
    "lib.zeros(2).masked_scatter(lib.tensor([True, False]), lib.ones(2).double())": RuntimeError,
    "lib.zeros(2).masked_scatter(lib.zeros(3, dtype=lib.bool), lib.ones(2))": RuntimeError,
    "lib.addmm(lib.ones(3, 3), lib.ones(1, 2), lib.ones(2, 1))": RuntimeError,
    "lib.baddbmm(lib.ones(1, 1, 1, 1), lib.ones(1, 1, 1), lib.ones(1, 1, 1))": RuntimeError,
    "lib.addmm(lib.ones(3), lib.ones(1, 2), lib.ones(2, 3)).tolist()": [[3.0, 3.0, 3.0]],
}

# Writes to a part of `x`, 2 by 2, from what shows the same memory: whether they are refused.
OVERLAPS = {
    "x.view(1, 4).add_(x.view(4))": True,
    "x.view(4).mul_(x.view(1, 4))": True,
    "x.view(4).add_(x.view(4))": False,
    "x.t().copy_(x)": True,
    "x.view(4).copy_(x.view(1, 4))": True,
    "x[0].copy_(x.view(4)[1:3])": True,
    "x[0].copy_(x[1])": False,
    "x[:, 0].copy_(x[:, 1])": False,
    "x.view(4).__setitem__(..., x.view(1, 4))": False,
    "x.view(1, 4).__setitem__(..., x.view(4))": False,
    "x.view(4).__setitem__(..., x.t().reshape(4)[:1])": False,
    "x.__setitem__(..., x[0])": False,
    "x.__setitem__(..., x.t())": True,
    "x.view(4).__setitem__([0], x[0, :1])": True,
    "x[:1].__setitem__(x[:1] > 5, x[0, :1])": False,
    "x.view(4).__setitem__(x.view(4) < 2, x[0])": True,
    "x.lerp_(x + 0, x.t())": True,
    "x.xlogy_(x.t())": True,
    "x.addcmul_(x, x.t())": True,
    "x.masked_scatter_(x < 9, x)": False,
    "x.scatter_(0, lib.zeros(1, 2).long(), x)": True,
    "x.scatter_reduce_(0, lib.zeros(1, 2).long(), x, 'sum')": True,
    "x.index_add_(0, lib.tensor([0]), x[1:])": True,
    "x[:0].add_(x[:0].t().t())": False,
    "lib.add(x, 1, out=x)": False,
    "lib.add(1, x.t(), out=x)": True,
    "lib.sin(x.view(4), out=x)": True,
    "lib.exp(x[0], out=x[1])": False,
    "lib.clamp(x, x.t(), out=x)": True,
    "lib.cat((x[:1], x[1:]), out=x)": True,
    "lib.neg(x, out=lib.zeros(1).expand(2, 2))": True,
    "lib.sqrt(x, out=lib.zeros(1).expand(4))": True,
}


def libraries():
    """This package, and torch where it is installed."""
    try:
        import torch
    except ImportError:
        return [fc]
    return [fc, torch]


@pytest.mark.parametrize("line", OVERLAPS)
def test_writes_from_memory_that_is_written_to(line):
    for lib in libraries():
        scope = {"lib": lib, "x": lib.tensor([[1.0, 2.0], [3.0, 4.0]])}
        if OVERLAPS[line]:
            with pytest.raises(RuntimeError, match="single memory location"):
                eval(line, scope)
        else:
            eval(line, scope)


@pytest.mark.parametrize("line", LINES)
def test_a_line_gives_what_it_gives_in_torch(line):
    expected = LINES[line]
    for lib in libraries():
        if isinstance(expected, type):
            with pytest.raises(expected):
                eval(line, {"lib": lib, "np": np})
        else:
            found = eval(line, {"lib": lib, "np": np})
            assert found == expected, lib


def test_gradients_of_tensors_without_dimensions():
    for function in (lambda x: x.sum(0), lambda x: x.norm(dim=0), lambda x: x.mean(0), lambda x: x.max(0).values):
        x = fc.tensor(3.0, requires_grad=True)
        function(x).backward()
        assert x.grad.item() == 1


def test_bfloat16_rounds_to_the_nearest():
    torch = pytest.importorskip("torch")
    x = (rng.standard_normal(4000) * 10.0 ** rng.integers(-44, 39, 4000)).astype(np.float32)
    x[:5] = np.inf, -np.inf, 0, -0.0, 1e-45
    x[5:7] = np.float32(1 + 2**-8), np.float32(1 + 3 * 2**-8)  # ties
    ours, theirs = fc.tensor(x).bfloat16(), torch.tensor(x).bfloat16()
    assert np.array_equal(bits_of(ours._array).view(np.int16), theirs.view(torch.int16).numpy())
    assert np.array_equal(ours.float().numpy(), theirs.float().numpy())
    assert fc.tensor([np.nan]).bfloat16().isnan().all()


BFLOAT16 = [
    *("x + x", "x * 2", "x / 3.3", "x + f", "x + h", "x + i", "2 - x", "x == x", "x < 0", "x != i", "x.pow(2)", "-x"),
    *("x.sum()", "x.mean(0)", "x.max(1)", "x.argmax(1)", "x.std()", "x.norm()", "x.softmax(1)", "x.exp()", "x @ x.t()"),
    *("x.reshape(3, 2)", "x[0]", "x[:, [0, 1]]", "x[x > 0]", "x.to(lib.float16)", "x.to(lib.int32)", "x.clamp(0, 1)"),
    *("lib.cat([x, x])", "lib.stack([x, f])", "lib.where(x > 0, x, 0.0)", "x.relu()", "x.isnan()", "x.abs()"),
    *("lib.zeros(2, dtype=lib.bfloat16)", "lib.full((2,), 1.7, dtype=lib.bfloat16)", "lib.tensor([1.7]).bfloat16()"),
    *("lib.arange(3, dtype=lib.bfloat16)", "lib.zeros_like(x)", "i.to(lib.bfloat16)", "x.sort(1)", "x.tolist()"),
    *("x[0, 0].item()", "lib.equal(x, x)", "x.add_(1)", "x.mul_(f)", "x.copy_(f)", "x.fill_(1.7)", "x.cumsum(0)"),
]


@pytest.mark.parametrize("line", BFLOAT16)
def test_bfloat16_is_torchs(line):
    torch = pytest.importorskip("torch")
    data = rng.standard_normal((2, 3)).astype(np.float32)

    def outcome(lib):
        x, f, i = lib.tensor(data).bfloat16(), lib.tensor(data), lib.tensor([1, 2, 3])
        return plain(eval(line, {"lib": lib, "x": x, "f": f, "h": f.half(), "i": i}))

    def plain(y):
        if isinstance(y, tuple):
            return [plain(part) for part in y]
        if hasattr(y, "float") and hasattr(y, "dtype"):
            return str(y.dtype).removeprefix("torch."), y.double().tolist()
        return y

    assert outcome(fc) == outcome(torch)


def test_bfloat16_in_place_and_by_index():
    x = fc.zeros(2, 3).bfloat16()
    x[0] = 1.7
    x[1, 0] = fc.tensor(2.5)
    x += 1
    assert x.tolist() == [[2.703125] * 3, [3.5, 1.0, 1.0]] and x.dtype == fc.bfloat16
    view = x[1]
    view.zero_()
    assert x[1].tolist() == [0, 0, 0]


def test_bfloat16_and_numpy():
    x = fc.tensor([1.0, 2.0]).bfloat16()
    with pytest.raises(TypeError, match="BFloat16"):
        x.numpy()
    with pytest.raises(TypeError, match="BFloat16"):
        np.asarray(x)
    assert repr(x) == "tensor([1., 2.], dtype=torch.bfloat16)" and repr(x.dtype) == str(fc.bfloat16) == "torch.bfloat16"
    assert x.dtype == fc.bfloat16 != fc.float32 and len({x.dtype, fc.bfloat16, fc.float16}) == 2
    assert x.itemsize == 2 and x.is_floating_point() and x.dtype.is_floating_point
    raw = bits_of(x._array)
    assert raw.dtype == np.uint16 and raw.tolist() == [0x3F80, 0x4000]
    assert np.array_equal(bits_of(from_bits(raw)), raw)
    for y in (pickle.loads(pickle.dumps(x)), copy.deepcopy(x)):
        assert y.dtype is fc.bfloat16 and y.tolist() == [1, 2]
    assert pickle.loads(pickle.dumps(fc.bfloat16)) is fc.bfloat16


def test_gradients_pass_bfloat16_in_float32():
    x = fc.tensor([1.0, 2.0], requires_grad=True)
    (x.bfloat16() * x.bfloat16()).sum().backward()
    assert x.grad.tolist() == [2, 4] and x.grad.dtype == fc.float32
    w = fc.tensor([1.0, 2.0]).bfloat16().requires_grad_()
    (w * w).sum().backward()
    (w * w).sum().backward()
    assert w.grad.tolist() == [4, 8] and w.grad.dtype == fc.bfloat16


def test_dtypes_print_as_torchs_and_are_numpys():
    x = fc.ones(2, dtype=fc.float64)
    assert str(x.dtype) == repr(fc.float64) == f"{x.double().dtype}" == "torch.float64" and x.dtype is fc.double
    assert repr(x) == "tensor([1., 1.], dtype=torch.float64)"
    assert x.dtype == np.float64 and np.dtype(x.dtype) == np.dtype("float64") == x.dtype and x.dtype is not None
    assert hash(x.dtype) == hash(np.dtype("float64")) and {x.dtype: 1}[np.dtype("float64")] == 1
    assert np.zeros(2, fc.int16).dtype == fc.int16 and np.issubdtype(fc.float32, np.floating)
    assert fc.float64 is not None and fc.float64 != fc.float32 and fc.float64 not in (None, "torch.float64")
    assert x.dtype.is_floating_point and not fc.int8.is_floating_point and not x.dtype.is_complex
    assert fc.int8.is_signed and not fc.uint8.is_signed and fc.bfloat16.is_signed and fc.bool.itemsize == 1
    for name in ("float16", "bfloat16", "float32", "float64", "uint8", "int8", "int16", "int32", "int64", "bool"):
        kind = getattr(fc, name)
        assert isinstance(kind, fc.dtype) and pickle.loads(pickle.dumps(kind)) is copy.deepcopy(kind) is kind
        assert fc.zeros(1, dtype=kind).dtype is kind and str(kind) == f"torch.{name}"
    assert fc.promote_types(fc.int8, np.float32) is fc.float32 and fc.result_type(x, 1) is fc.float64
    with pytest.raises(TypeError, match=r"got torch\.complex64"):
        fc.zeros(1, dtype=fc.complex64)


DIMENSIONS = [
    *("sum", "mean", "prod", "amax", "amin", "max", "min", "median", "mode", "logsumexp", "std", "var", "nansum"),
    *("softmax", "cumsum", "cumprod", "cummax", "squeeze", "unsqueeze", "sort", "argsort", "unbind", "diff"),
]


@pytest.mark.parametrize("name", DIMENSIONS)
def test_numpys_names_of_dimensions(name):
    def values(result):
        return [np.asarray(part).tolist() for part in (result if isinstance(result, tuple | list) else [result])]

    x = fc.tensor([[0.5, 2.0, 1.0], [4.0, -1.0, 3.0]])
    expected = values(getattr(x, name)(dim=1))
    assert values(getattr(x, name)(axis=1)) == values(getattr(fc, name)(x, axis=1)) == expected
    if name in ("prod", "logsumexp", "median", "mode", "nansum"):
        kept = values(getattr(x, name)(dim=1, keepdim=True))
        assert (
            values(getattr(x, name)(axis=1, keepdims=True))
            == values(getattr(fc, name)(x, axis=1, keepdims=True))
            == kept
        )


def test_bfloat16_of_arrays_in_any_layout():
    rng = np.random.default_rng(0)
    for shape in ((), (0, 3), (5,), (3, 4, 5, 2), (70000,)):
        bits = rng.integers(0, 2**32, shape, np.uint32)
        for x in (a.view(np.float32) for a in (bits, bits.T, bits[::-1] if shape else bits)):
            narrow = dtypes.convert(x, dtypes.bfloat16)
            wide = dtypes.convert(narrow, dtypes.float32)
            assert narrow.shape == wide.shape == x.shape
            halfway = x.view(np.uint32).astype(np.uint64)
            nearest = (halfway + 0x7FFF + (halfway >> 16 & 1)) >> 16
            expected = np.where(np.isnan(x), 0x7FC0, nearest)
            assert np.array_equal(dtypes.bits_of(narrow), expected)
            assert np.array_equal(wide.view(np.uint32), expected << 16)
