"""Functions written in others, in-place twins, `out=` and torch's other ways to the same, beside torch."""

import numpy as np
import pytest

import fastconv
from fastconv import as_torch

torch = pytest.importorskip("torch")


def arrays(seed, *shapes, low=-2.0, high=2.0):
    rng = np.random.default_rng(seed)
    return [rng.uniform(low, high, shape) for shape in shapes]


def both(call, *data, gradient=True):
    """What a call gives with either library, in float64, and the gradients of its floating tensors."""
    found = []
    for library in (fastconv, torch):
        inputs = [library.tensor(x).requires_grad_(gradient and x.dtype.kind == "f") for x in data]
        y = call(library, *inputs)
        parts = y if isinstance(y, tuple) else (y,)
        if gradient:
            total = sum((p * p.cos() if p.dtype == library.float64 else p.double() * 0).sum() for p in parts)
            if total.requires_grad:
                total.backward()
        found.append(
            [p.detach().numpy() for p in parts] + [x.grad.numpy() for x in inputs if gradient and x.grad is not None]
        )
    assert len(found[0]) == len(found[1])
    for ours, theirs in zip(*found, strict=True):
        assert ours.shape == theirs.shape and ours.dtype == theirs.dtype
        np.testing.assert_allclose(ours, theirs, rtol=1e-9, atol=1e-12)


A, B, C = arrays(0, (3, 4), (3, 4), (4,))
P = arrays(1, (3, 4), low=0.1, high=0.9)[0]
TIES = np.array([[1.0, 3, 3, 0], [2, 2, 2, 2], [-1, 0, 5, 5]])
INDEX = np.array([[0, 2, 1, 0], [2, 2, 0, 1]])
HOLES = np.where(A > 0.7, np.nan, A)


@pytest.mark.parametrize(
    "call, data",
    [
        (lambda t, a, b, c: t.addcmul(a, b, c, value=0.3), (A, B, C)),
        (lambda t, a, b, c: a.addcdiv(b, c, value=-2.0), (A, B, np.abs(C) + 1)),
        (lambda t, a, b: t.dist(a, b, 3), (A, B)),
        (lambda t, a: t.deg2rad(a) + a.rad2deg(), (A,)),
        (lambda t, a, b: t.hypot(a, b), (A, B)),
        (lambda t, a, b: a.logaddexp(b), (A, B)),
        (lambda t, a, b: t.xlogy(a, b), (np.where(A > 1, 0, A), P)),
        (lambda t, p: t.logit(p), (P,)),
        (lambda t, p: p.logit(0.2), (P,)),
        (lambda t, a: t.erfc(a * 3), (A,)),
        (lambda t, p: t.erfinv(p * 1.999 - 1), (P,)),
        (lambda t, a: t.amax(a, 1), (TIES,)),
        (lambda t, a: a.amin((0, 1), keepdim=True), (TIES,)),
        (lambda t, a: t.amax(a, axis=(0,), keepdims=True), (TIES,)),
        (lambda t, a: a.amax(), (TIES,)),
        (lambda t, a: tuple(t.aminmax(a, dim=0)), (A,)),
        (lambda t, a, b: t.fmax(a, b) + t.fmin(a, b), (A, B)),
        (lambda t, a: t.clamp_min(a, -0.5).clamp_max(0.5), (A,)),
        (lambda t, a: t.nansum(a, 1), (HOLES,)),
        (lambda t, a: a.nanmean(0), (HOLES,)),
        (lambda t, a: t.clone(a) + t.positive(a) + t.t(a).mT, (A,)),
        (lambda t, a: a.swapdims(0, 1).H, (A,)),
        (lambda t, a: t.atleast_3d(a) + t.atleast_2d(a.sum(0)), (A,)),
        (lambda t, c: t.atleast_1d(c.sum()) + t.atleast_3d(c)[0, 0], (C,)),
        (lambda t, a, c: t.column_stack([a.t(), c]), (A, C)),
        (lambda t, a: t.split_with_sizes(a, [1, 3], 1), (A,)),
        (lambda t, a, c: t.cartesian_prod(a[:, 0], c), (A, C)),
        (lambda t, c: t.combinations(c, 3), (C,)),
        (lambda t, a, b: a.masked_scatter(a > 0, b), (A, B)),
        (lambda t, a, b, i: t.scatter_reduce(a, 0, i, b, "sum"), (A, B[:2], INDEX)),
        (lambda t, a, b, i: t.scatter_reduce(a, 0, i, b, "mean", include_self=False), (A, B[:2], INDEX)),
        (lambda t, a, b: t.maximum(a, b) - a.minimum(b), (A, B)),
        (lambda t, a: t.softmax(a, axis=1) + t.log_softmax(a, axis=0), (A,)),
    ],
)
def test_they_and_their_gradients_are_torchs(call, data):
    both(call, *data)


@pytest.mark.parametrize(
    "call, data",
    [
        (lambda t, a: t.argwhere(a > 0), (A,)),
        (lambda t, a: t.tril_indices(3, 4, -1) + t.triu_indices(4, 3, 2).sum(), (A,)),
        (lambda t, a: t.searchsorted(t.sort(a, 1).values, a, right=True), (A,)),
        (lambda t, a: t.searchsorted(t.sort(a.flatten()).values, a, side="left"), (A,)),
        (lambda t, a: t.bucketize(a, t.tensor([-1.0, 0, 0.5]), out_int32=True), (A,)),
        *(
            (lambda t, a, b, i, how=how, own=own: t.scatter_reduce(a, 0, i, b, how, include_self=own), (A, B, INDEX))
            for how in ("amax", "amin", "prod")
            for own in (True, False)
        ),
        (lambda t, a: a.remainder(0.7) + a.floor_divide(0.3), (A,)),
        (lambda t, i: i.bitwise_and(1) + i.bitwise_or(4) + i.bitwise_xor(3) + i.bitwise_not(), (INDEX,)),
        (lambda t, i: i.bitwise_left_shift(2) - i.bitwise_right_shift(1), (INDEX,)),
        (lambda t, a: a.byte().abs_() + a.char().short(), (np.abs(A),)),
    ],
)
def test_they_give_what_torch_gives(call, data):
    both(call, *data, gradient=False)


def test_infinities_and_what_is_not_there():
    for library in (fastconv, torch):
        assert library.pi > 3 and library.e > 2 and library.inf == float("inf") and library.nan != library.nan
        x = library.tensor([1.0, -1.0, 2.0, float("nan")])
        assert str(library.erfinv(x).tolist()) == "[inf, -inf, nan, nan]"
        assert library.fmax(x, library.zeros(4)).tolist() == [1, 0, 2, 0]
        assert not library.is_complex(x) and library.is_nonzero(x[0]) and library.is_same_size(x, x)
        assert not (x.is_xpu or x.is_meta or x.is_sparse or x.is_quantized) and x.is_cpu and x.get_device() == -1
        assert library.detach(x.requires_grad_()).requires_grad is False
        with pytest.raises(IndexError, match="non-zero size"):
            library.amax(library.zeros(2, 0), 1)
        with pytest.raises(RuntimeError, match="reduce argument must be either"):
            library.scatter_reduce(x, 0, library.zeros(4, dtype=library.int64), x, "largest")
        with pytest.raises(RuntimeError, match="Integer division with addcdiv"):
            library.addcdiv(x, library.ones(4, dtype=library.int64), library.ones(4, dtype=library.int64))


IN_PLACE = [
    "abs_",
    "acos_",
    "acosh_",
    "asin_",
    "asinh_",
    "atan_",
    "atanh_",
    "ceil_",
    "clamp_max_",
    "clamp_min_",
    "clip_",
    "cos_",
    "cosh_",
    "deg2rad_",
    "detach_",
    "erf_",
    "erfc_",
    "exp2_",
    "exp_",
    "expm1_",
    "fill_",
    "floor_",
    "frac_",
    "log10_",
    "log1p_",
    "log2_",
    "log_",
    "logit_",
    "nan_to_num_",
    "neg_",
    "negative_",
    "rad2deg_",
    "reciprocal_",
    "relu_",
    "round_",
    "rsqrt_",
    "sigmoid_",
    "sin_",
    "sinh_",
    "sqrt_",
    "square_",
    "tan_",
    "tanh_",
    "trunc_",
    "xlogy_",
    "zero_",
    "clamp_",
    "resize_as_",
]


@pytest.mark.parametrize("name", IN_PLACE)
def test_functions_that_change_their_argument(name):
    found = []
    for library, function in ((fastconv, as_torch.lookup("torch", name)), (torch, getattr(torch, name))):
        x = library.tensor([0.25, 0.5, 0.75])
        other = {"clip_": [0.3, 0.6], "clamp_": [0.3, 0.6], "xlogy_": [x.clone()], "resize_as_": [x.clone()]}
        others = other.get(name, [0.5] if name in ("clamp_max_", "clamp_min_", "fill_") else [])
        assert function(x, *others) is x
        found.append(x.numpy())
    np.testing.assert_allclose(*found, rtol=1e-6)


@pytest.mark.parametrize("name", ["addcmul_", "addcdiv_", "masked_scatter_", "scatter_reduce_", "erfinv_"])
def test_methods_that_change_their_tensor(name):
    def call(library, x, y, i):
        arguments = {
            "addcmul_": (y, y),
            "addcdiv_": (y, y + 3),
            "masked_scatter_": (y > 0, y),
            "scatter_reduce_": (0, i, y[:2] * 1, "sum"),
        }
        z = x * 0.4
        assert getattr(z, name)(*arguments.get(name, ())) is z
        return z

    both(call, A, B, INDEX)


@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_in_place(name):
    both(lambda library, a, b: getattr(a.round(), name + "_")(b.round()), A, B, gradient=False)


def test_shapes_changed_in_place():
    def call(library, x):
        y = x * 2
        assert y.unsqueeze_(0) is y and y.shape == (1, 3, 4)
        y.mul_(x.exp())
        y.transpose_(1, 2).squeeze_(0)
        return y.t_() * x

    both(call, A)
    for library in (fastconv, torch):
        x = library.arange(6).resize_(2, 2)
        assert x.tolist() == [[0, 1], [2, 3]] and x.resize_((3,)).shape == (3,)
        assert x.resize_as_(library.zeros(4, 2)).shape == (4, 2) and x.tolist()[0] == [0, 1]
        with pytest.raises(RuntimeError, match="cannot resize variables that require grad"):
            library.zeros(2, requires_grad=True).resize_(3)


def test_new():
    for library in (fastconv, torch):
        x = library.zeros(2, dtype=library.float64)
        assert x.new().shape == (0,) and x.new(2, 3).shape == (2, 3) and x.new(x.size()).shape == (2,)
        assert x.new([1, 2]).tolist() == [1, 2] and x.new(2, 3).dtype == library.float64
        assert x.ndimension() == 1 and x.new(2, 3).mH.shape == (3, 2)


OUT = [
    lambda t, a, b, out: t.add(a, b, alpha=2, out=out),
    lambda t, a, b, out: t.sub(a, b, out=out),
    lambda t, a, b, out: t.mul(a, b, out=out),
    lambda t, a, b, out: t.div(a, b, out=out),
    lambda t, a, b, out: t.matmul(a, b.t(), out=out),
    lambda t, a, b, out: t.mm(a, b.t(), out=out),
    lambda t, a, b, out: t.bmm(a[None], b.t()[None], out=out),
    lambda t, a, b, out: t.cat([a, b], 1, out=out),
    lambda t, a, b, out: t.stack([a, b], out=out),
    lambda t, a, b, out: t.max(a, b, out=out),
    lambda t, a, b, out: t.min(a, b, out=out),
    lambda t, a, b, out: t.maximum(a, b, out=out),
    lambda t, a, b, out: t.minimum(a, b, out=out),
    lambda t, a, b, out: t.clamp(a, -1, 1, out=out),
    lambda t, a, b, out: t.sum(a, 1, out=out),
    lambda t, a, b, out: t.mean(a, 1, out=out),
    *(
        lambda t, a, b, out, name=name: getattr(t, name)(a, out=out)
        for name in [
            "neg",
            "abs",
            "exp",
            "log",
            "sqrt",
            "tanh",
            "sigmoid",
            "sin",
            "cos",
            "floor",
            "ceil",
            "square",
            "round",
        ]
    ),
]


@pytest.mark.parametrize("call", OUT)
def test_results_go_into_out(call):
    found = []
    for library in (fastconv, torch):
        a, b = library.tensor(A), library.tensor(B)
        out = library.empty(0, dtype=library.float64)
        assert call(library, a, b, out) is out
        found.append(out.numpy())
        with pytest.raises(RuntimeError, match="automatic differentiation"):
            call(library, a.requires_grad_(), b, out)
    np.testing.assert_allclose(*found, rtol=1e-12)


def test_out_has_the_last_word():
    drawn = []
    for library in (fastconv, torch):
        with pytest.raises(RuntimeError, match="can't be cast to the desired output type"):
            library.add(library.ones(2), 1, out=library.zeros(2, dtype=library.int64))
        with pytest.warns(UserWarning, match="was resized since it had shape"):
            assert library.mul(library.ones(2), 3, out=library.zeros(3)).tolist() == [3, 3]
        library.manual_seed(3)
        x = library.empty(0, dtype=library.float64)
        library.rand(2, out=x)
        library.randn(2, out=x)
        drawn.append(x.tolist())
    assert drawn[0] == drawn[1]


def test_new_tensors_in_an_order():
    for library in (fastconv, torch):
        x = library.zeros(2, 3, 4, 5)
        for make in (library.zeros_like, library.ones_like, library.empty_like):
            assert make(x, memory_format=library.channels_last).stride() == (60, 1, 15, 3)
            last = x.to(memory_format=library.channels_last)
            assert make(last).stride() == make(last, dtype=library.float64).stride() == (60, 1, 15, 3)
            assert make(last, memory_format=library.contiguous_format).stride() == (60, 20, 5, 1)
            assert make(last, requires_grad=True).requires_grad
        assert library.full_like(last, 2).stride() == (60, 1, 15, 3)
        assert library.full_like(x.long(), 2.5).sum().item() == 240
        assert library.ones_like(x, dtype=library.bfloat16).dtype is library.bfloat16


def test_functions_under_their_other_names():
    lookup = as_torch.lookup
    rng = np.random.default_rng(5)
    x, w = rng.standard_normal((2, 4, 6, 6)), rng.standard_normal((4, 4, 3, 3))
    line, lines = rng.standard_normal((2, 4, 9)), rng.standard_normal((4, 4, 3))
    index = np.array([[0, 3], [1, 1]])
    calls = {
        "conv2d": (x, w),
        "conv_transpose2d": (x, w),
        "conv1d": (line, lines),
        "conv_transpose1d": (line, lines),
        "conv3d": (x[:, None], w[:1, None]),
        "max_pool2d": (x, 2),
        "max_pool3d": (x[:, None], 2),
        "max_pool1d": (line, 3),
        "avg_pool1d": (line, 3),
        "adaptive_avg_pool1d": (line, 3),
        "channel_shuffle": (x, 2),
        "pixel_shuffle": (x, 2),
        "pixel_unshuffle": (x, 2),
        "celu": (x,),
        "selu": (x,),
        "prelu": (x, np.array([0.25])),
        "group_norm": (x, 2),
        "layer_norm": (x, (6,)),
        "cosine_similarity": (x, x + 1),
        "pairwise_distance": (line, line + 1),
        "embedding": (lines[0], index),
        "dropout": (x, 0.5, False),
        "pinverse": (x[0, 0],),
        "asarray": (line,),
        "scalar_tensor": (2.5,),
    }
    for name, arguments in calls.items():
        found = []
        for library, function in ((fastconv, lookup("torch", name)), (torch, getattr(torch, name))):
            given = [library.tensor(a) if isinstance(a, np.ndarray) else a for a in arguments]
            found.append(function(*given).numpy())
        np.testing.assert_allclose(*found, rtol=1e-6, atol=1e-6, err_msg=name)
    u, s, v = lookup("torch", "svd")(fastconv.tensor(x[0, 0, :4]))
    np.testing.assert_allclose((u * s @ v.t()).numpy(), x[0, 0, :4], atol=1e-12)
    assert lookup("torch", "adaptive_max_pool1d")(fastconv.ones(1, 2, 4), 2).shape == (1, 2, 2)
    assert lookup("torch", "get_default_dtype")() is fastconv.float32 and lookup("torch", "short") is fastconv.int16
    assert lookup("torch", "get_default_device")() == fastconv.device("cpu") and lookup("torch", "newaxis") is None


def test_how_tensors_are_printed():
    set_printoptions = as_torch.lookup("torch", "set_printoptions")
    x = fastconv.tensor([1.23456, 2.0])
    try:
        set_printoptions(precision=2)
        assert str(x) == "tensor([1.23, 2.00])"
        set_printoptions(sci_mode=True, precision=3)
        assert str(x) == "tensor([1.235e+00, 2.000e+00])"
        with pytest.raises(ValueError, match="profile"):
            set_printoptions(profile="long")
    finally:
        set_printoptions(profile="default")
    assert str(x) == "tensor([1.2346, 2.0000])"


def test_copies_of_repeated_elements_are_dense():
    for library in (fastconv, torch):
        x = library.arange(6.0).reshape(1, 2, 3)
        y = x.repeat(4, 1, 1)
        y.add_(1)
        x.repeat(1, 1, 1).zero_()
        assert y.is_contiguous() and x.sum() == 15 and y.shape == (4, 2, 3)
        assert x.expand(4, 2, 3).clone().stride() == (6, 3, 1)
        assert x[:, :1].transpose(1, 2).expand(4, 3, 5).clone().view(-1).shape == (60,)


@pytest.mark.parametrize("name", ["erf", "erfc", "erfinv", "logit", "deg2rad", "amax", "nansum", "nanmean"])
def test_numbers_without_dimensions(name):
    both(lambda library, x: getattr(library, name)(x), np.array(0.3))
    both(lambda library, x: library.fmax(x, x) + library.logaddexp(x, x) + library.xlogy(x, x), np.array(0.3))
