"""Functions of layers beside torch's, over arguments drawn at random, with gradients, in both dtypes."""

import itertools
import warnings

import numpy as np
import pytest
from gradcheck import check_vjp, relative

import fastconv as fc
import fastconv.nn.functional as F

rng = np.random.default_rng(23)


def normal(*shape):
    return rng.standard_normal(shape)


def chances(*shape):
    return rng.random(shape) * 0.98 + 0.01


def signs(*shape):
    return rng.choice([-1.0, 1.0], shape)


REDUCTIONS = [{"reduction": r} for r in ("mean", "sum", "none")]
LOSSES = {
    "l1_loss": ([normal(4, 5), normal(4, 5)], [{}, {"weight": chances(4, 5)}]),
    "smooth_l1_loss": ([normal(4, 5), normal(4, 5)], [{}, {"beta": 0.3}, {"beta": 0.0}]),
    "huber_loss": ([normal(4, 5), normal(4, 5)], [{}, {"delta": 0.4}]),
    "binary_cross_entropy": ([chances(4, 5), chances(4, 5)], [{}, {"weight": chances(5)}]),
    "binary_cross_entropy_with_logits": (
        [normal(4, 5) * 9, chances(4, 5)],
        [{}, {"weight": chances(4, 1)}, {"pos_weight": chances(5) * 3}],
    ),
    "kl_div": ([np.log(chances(4, 5)), chances(4, 5)], [{}, {"log_target": True}]),
    "soft_margin_loss": ([normal(4, 5), signs(4, 5)], [{}]),
    "hinge_embedding_loss": ([normal(4, 5), signs(4, 5)], [{}, {"margin": 0.3}]),
    "margin_ranking_loss": ([normal(6), normal(6), signs(6)], [{}, {"margin": 0.3}]),
    "cosine_embedding_loss": ([normal(6, 5), normal(6, 5), signs(6)], [{}, {"margin": 0.3}]),
    "triplet_margin_loss": (
        [normal(6, 5), normal(6, 5), normal(6, 5)],
        [{}, {"margin": 0.3, "p": 3.0, "swap": True}],
    ),
    "multilabel_soft_margin_loss": ([normal(4, 5), rng.integers(0, 2, (4, 5)) * 1.0], [{}, {"weight": chances(5)}]),
}
CASES = [
    (name, arrays, options | reduction)
    for name, (arrays, choices) in LOSSES.items()
    for options, reduction in itertools.product(choices, REDUCTIONS)
]
CASES += [("kl_div", LOSSES["kl_div"][0], {"reduction": "batchmean"})]
for _mode, _shape, _sizes in (
    ("nearest", (2, 3, 7), [5, 14, 1]),
    ("nearest-exact", (2, 3, 7, 5), [(5, 9), (14, 10)]),
    ("linear", (2, 3, 7), [5, 14, 1]),
    ("bilinear", (2, 3, 7, 5), [(5, 9), (14, 10), (1, 1)]),
    ("bicubic", (2, 3, 7, 5), [(5, 9), (14, 10), (1, 1)]),
    ("trilinear", (2, 3, 4, 5, 3), [(5, 9, 2), (1, 1, 6)]),
    ("area", (2, 3, 7, 5), [(3, 9)]),
    ("nearest", (2, 3, 4, 5, 3), [(5, 9, 2)]),
):
    for _align in (None, False, True) if "linear" in _mode or "cubic" in _mode else (None,):
        CASES += [
            ("interpolate", [normal(*_shape)], {"size": s, "mode": _mode, "align_corners": _align}) for s in _sizes
        ]
        CASES += [
            ("interpolate", [normal(*_shape)], {"scale_factor": s, "mode": _mode, "align_corners": _align, **more})
            for s, more in ((2, {}), (1.7, {}), (0.6, {}), (1.7, {"recompute_scale_factor": True}))
        ]
for _mode, _align in itertools.product(("bilinear", "bicubic"), (False, True)):
    CASES += [
        ("interpolate", [normal(2, 2, 11, 9)], {"size": s, "mode": _mode, "align_corners": _align, "antialias": True})
        for s in ((4, 5), (3, 20), (11, 1))
    ]
for _mode, _padding, _align in itertools.product(
    ("bilinear", "nearest", "bicubic"), ("zeros", "border", "reflection"), (False, True)
):
    CASES += [
        (
            "grid_sample",
            [normal(2, 3, 5, 7), normal(2, 4, 6, 2) * 0.9],
            {"mode": _mode, "padding_mode": _padding, "align_corners": _align},
        )
    ]
CASES += [
    ("grid_sample", [normal(2, 3, 4, 5, 7), normal(2, 2, 3, 4, 3)], {"align_corners": a, "padding_mode": p})
    for a, p in ((True, "zeros"), (False, "border"))
]
CASES += [("affine_grid", [normal(2, 2, 3)], {"size": [2, 3, 4, 5], "align_corners": a}) for a in (True, False)]
CASES += [("affine_grid", [normal(2, 3, 4)], {"size": [2, 3, 4, 5, 1], "align_corners": a}) for a in (True, False)]
CASES += [
    ("normalize", [normal(4, 5)], {}),
    ("normalize", [normal(4, 5)], {"p": 3.0, "dim": 0}),
    ("cosine_similarity", [normal(4, 5), normal(4, 5)], {}),
    ("cosine_similarity", [normal(4, 1, 5), normal(3, 5)], {"dim": -2}),
    ("pairwise_distance", [normal(4, 5), normal(4, 5)], {"p": 1.5, "keepdim": True}),
    ("scaled_dot_product_attention", [normal(2, 4, 5), normal(2, 6, 5), normal(2, 6, 3)], {}),
    ("scaled_dot_product_attention", [normal(2, 4, 5), normal(2, 4, 5), normal(2, 4, 3)], {"is_causal": True}),
    (
        "scaled_dot_product_attention",
        [normal(2, 4, 4, 5), *[normal(2, 2, 6, 5)] * 2],
        {"enable_gqa": True, "scale": 0.3},
    ),
    ("unfold", [normal(2, 3, 6, 7)], {"kernel_size": (2, 3), "dilation": 2, "padding": 1, "stride": (1, 2)}),
    ("fold", [normal(2, 12, 12)], {"output_size": (4, 5), "kernel_size": 2, "dilation": 1}),
    ("lp_pool2d", [np.abs(normal(2, 3, 6, 7))], {"norm_type": 3, "kernel_size": 2}),
    ("max_pool3d", [normal(2, 3, 5, 6, 7)], {"kernel_size": (2, 3, 2), "padding": (1, 1, 0), "ceil_mode": True}),
    ("avg_pool3d", [normal(2, 3, 5, 6, 7)], {"kernel_size": 2, "divisor_override": -3}),
    ("group_norm", [normal(3, 6)], {"num_groups": 3, "weight": chances(6), "bias": normal(6)}),
    ("instance_norm", [normal(3, 6, 4)], {"weight": chances(6), "bias": normal(6)}),
    ("conv_transpose1d", [normal(2, 4, 5), normal(4, 3, 3), normal(3)], {"stride": 2, "padding": 1}),
    ("conv3d", [normal(2, 4, 5, 6, 7), normal(6, 2, 2, 3, 3), normal(6)], {"groups": 2, "stride": (1, 2, 1)}),
    ("multilabel_soft_margin_loss", [normal(5), chances(5)], {}),
]


def convert(value, make, dtype):
    return make(value.astype(dtype)) if isinstance(value, np.ndarray) else value


@pytest.mark.parametrize("dtype", ["float32", "float64"])
@pytest.mark.parametrize("case", CASES, ids=lambda case: case[0])
def test_functions_are_torchs(case, dtype):
    torch = pytest.importorskip("torch")
    name, arrays, options = case
    results = []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for lib, functional in ((fc, F), (torch, torch.nn.functional)):
            # Torch has no gradient for what is 1 or -1.
            inputs = [lib.tensor(a.astype(dtype), requires_grad=not set(np.unique(a)) <= {-1, 1}) for a in arrays]
            keywords = {key: convert(value, lib.tensor, dtype) for key, value in options.items()}
            y = getattr(functional, name)(*inputs, **keywords)
            y.backward(lib.tensor(np.cos(np.arange(y.numel())).reshape(y.shape).astype(dtype)))
            results.append((y, inputs))
        (ours, mine), (expected, theirs) = results
        assert ours.dtype == np.dtype(dtype)
        assert relative(ours.detach(), expected.detach()) < (3e-6 if dtype == "float32" else 1e-12)
        for a, b in zip(mine, theirs, strict=True):
            if not b.requires_grad:
                continue
            want = np.zeros(b.shape) if b.grad is None else b.grad.numpy()
            if want.any() or a.grad is not None:
                error = np.linalg.norm(a.grad.numpy() - want)
                assert error < (1e-5 if dtype == "float32" else 1e-11) * max(np.linalg.norm(want), 1)
        arrays = [a.astype(dtype) for a in arrays]
        plain = getattr(F, name)(*arrays, **{k: convert(v, lambda a: a, dtype) for k, v in options.items()})
        assert type(plain) is np.ndarray and relative(plain, ours.detach()) < 1e-6


@pytest.mark.parametrize("weight", [None, [0.5, 2.0, 0.0, 1.0, 3.0]])
@pytest.mark.parametrize("shape", [(7, 5), (5,), (3, 5, 4), (2, 5, 3, 2)])
def test_nll_loss(shape, weight):
    torch = pytest.importorskip("torch")
    x, t = normal(*shape), rng.integers(0, 5, shape[:1] + shape[2:] if len(shape) > 1 else ())
    for reduction, ignore in itertools.product(("mean", "sum", "none"), (-100, 2)):
        values = []
        for lib, functional in ((fc, F), (torch, torch.nn.functional)):
            a = lib.tensor(x, requires_grad=True)
            w = None if weight is None else lib.tensor(np.array(weight))
            y = functional.nll_loss(a, lib.tensor(t), w, ignore_index=ignore, reduction=reduction)
            y.backward(lib.tensor(np.ones(y.shape)))
            values.append((y.detach().numpy(), a.grad.numpy()))
        for mine, other in zip(*values, strict=True):
            np.testing.assert_allclose(mine, other, rtol=1e-12)
    with pytest.raises(IndexError, match="Target 9 is out of bounds"):
        F.nll_loss(fc.tensor(x), fc.tensor(np.full_like(t, 9)))


def test_losses_of_torchs_older_words():
    x, t = fc.tensor(normal(3, 4)), fc.tensor(normal(3, 4))
    for flags, reduction in (((None, False), "none"), ((False, None), "sum"), ((True, True), "mean")):
        with pytest.warns(UserWarning, match=f"please use reduction='{reduction}' instead"):
            assert fc.equal(F.l1_loss(x, t, *flags), F.l1_loss(x, t, reduction=reduction))
        with pytest.warns(UserWarning, match="will be deprecated"):
            loss = fc.nn.BCELoss(None, *flags)
        assert loss.reduction == reduction
    with pytest.raises(ValueError, match="is not a valid value for reduction"):
        F.l1_loss(x, t, reduction="average")
    with pytest.warns(UserWarning, match="Using a target size"):
        assert F.l1_loss(x, t[0], reduction="none").shape == (3, 4)


def test_gradients_by_differences():
    for name in ("bilinear", "bicubic"):
        check_vjp(lambda x, name=name: F.interpolate(x, scale_factor=1.6, mode=name), normal(2, 3, 5, 4))
    check_vjp(lambda x, w, b: F.group_norm(x, 2, w, b), normal(3, 4, 5), normal(4), normal(4))
    check_vjp(lambda x, w, b: F.layer_norm(x, (4, 5), w, b), normal(3, 4, 5), normal(4, 5), normal(4, 5))
    check_vjp(lambda x: F.pixel_shuffle(x, 2), normal(2, 8, 3, 2))
    check_vjp(lambda x, t: F.binary_cross_entropy(x, t), chances(4, 3), chances(4, 3))
    check_vjp(lambda x: F.local_response_norm(x, 3, 0.3), normal(2, 5, 3))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
def test_norms_far_from_zero(isa, dtype):
    # A mean a thousand times the deviation costs no more digits than rounding the input did.
    for count in (5, 700, 5000):
        x = (rng.standard_normal((3, count)) + 1000).astype(dtype)
        wide = x.astype(np.longdouble)
        z = (wide - wide.mean(1, keepdims=True)) / np.sqrt(wide.var(1, keepdims=True) + 1e-5)
        assert relative(F.layer_norm(x, (count,)), z) < (1e-6 if dtype is np.float32 else 1e-13)
        assert relative(F.group_norm(x.reshape(3, 1, count), 1), z.reshape(3, 1, count)) < 1e-6


def test_special_pixels_stay_where_they_are():
    x = np.ones((1, 1, 4, 4), np.float32)
    x[0, 0, 0, 0], x[0, 0, 3, 3] = np.nan, np.inf
    y = F.interpolate(x, scale_factor=2, mode="nearest")
    assert np.isnan(y).sum() == 4 and np.isinf(y).sum() == 4
    assert np.isnan(F.interpolate(x, scale_factor=2, mode="bilinear")[0, 0, 4:, :4]).sum() == 0


def test_integers_and_halves():
    x = fc.tensor(normal(2, 3, 4, 4)).half()
    for mode in ("nearest", "bilinear"):
        y = F.interpolate(x, scale_factor=2, mode=mode)
        assert y.dtype == np.float16 and relative(y, F.interpolate(x.float(), scale_factor=2, mode=mode)) < 1e-3
    with pytest.raises(TypeError, match="expected a floating dtype"):
        F.interpolate(fc.ones(1, 1, 2, 2).long(), scale_factor=2)
    assert F.group_norm(x, 3).shape == x.shape and F.pixel_unshuffle(x.long(), 2).dtype == np.int64


@pytest.mark.parametrize(
    "call, error, words",
    [
        (lambda x: F.interpolate(x), ValueError, "either size or scale_factor should be defined"),
        (lambda x: F.interpolate(x, 2, 2), ValueError, "only one of size or scale_factor"),
        (lambda x: F.interpolate(x, 2, mode="linear"), NotImplementedError, "Got 4D input, but linear mode needs 3D"),
        (lambda x: F.interpolate(x, 2, align_corners=True), ValueError, "align_corners option can only be set"),
        (lambda x: F.interpolate(x, (2, 2, 2)), ValueError, "same number of spatial dimensions"),
        (lambda x: F.interpolate(x, 0), RuntimeError, "should be greater than 0"),
        (lambda x: F.interpolate(x, 2, antialias=True), ValueError, "Anti-alias option is restricted"),
        (lambda x: F.group_norm(x, 5), RuntimeError, "divisible by num_groups"),
        (lambda x: F.group_norm(x, 2, fc.ones(3)), RuntimeError, "expected weight of size"),
        (lambda x: F.layer_norm(x, 5), RuntimeError, r"Given normalized_shape=\[5\]"),
        (lambda x: F.instance_norm(x[:, :, :1, :1]), ValueError, "Expected more than 1 spatial element"),
        (lambda x: F.local_response_norm(x[0, 0], 2), ValueError, "Expected 3D or higher"),
        (lambda x: F.pixel_shuffle(x, 3), RuntimeError, "divisible by the square of upscale_factor"),
        (lambda x: F.channel_shuffle(x, 3), RuntimeError, "divisible by groups"),
        (lambda x: F.unfold(x, 9), RuntimeError, "its components must be at least one"),
        (lambda x: F.fold(x[0], 4, 3), RuntimeError, "divisible by the product of kernel_size"),
        (lambda x: F.grid_sample(x, x), RuntimeError, "grid_sampler"),
        (lambda x: F.binary_cross_entropy(x, x - 9), RuntimeError, "between 0 and 1"),
        (lambda x: F.binary_cross_entropy(x, x[0]), ValueError, "Using a target size"),
        (lambda x: F.avg_pool1d(x, 2), RuntimeError, "expects 2D or 3D input"),
        (lambda x: F.conv3d(x, x), RuntimeError, "5-D weight"),
        (lambda x: F.conv_transpose1d(x[0], x[0, :1]), RuntimeError, r"input\[4, 4, 4\] to have 1 channels, but got 4"),
        (lambda x: F.conv_transpose1d(x[0], x[0], padding=5), RuntimeError, r"conv_transpose1d: output size -3 is"),
        (lambda x: F.conv_transpose3d(x, x[:, :, None], padding=5), RuntimeError, "output size -6 x -3 x -3 is"),
        (lambda x: F.conv3d(x[None], x[None], groups=None), TypeError, "groups must be an integer, got None"),
        (lambda x: F.triplet_margin_loss(x, x, x, -1), ValueError, "margin must be greater than 0"),
        (lambda x: F.smooth_l1_loss(x, x, beta=-1), RuntimeError, "negative values for beta"),
        (lambda x: F.dropout2d(x, 2), ValueError, "dropout probability"),
        (lambda x: F.scaled_dot_product_attention(x, x, x, x, is_causal=True), RuntimeError, "should not be set"),
        (lambda x: F.embedding(x, x[0, 0]), RuntimeError, "scalar types: Long, Int"),
    ],
)
def test_errors(call, error, words):
    with pytest.raises(error, match=words):
        call(fc.tensor(normal(2, 4, 4, 4) * 3 + 9).float())


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("align_corners", [False, True])
def test_the_identity_has_torchs_gradient(dtype, align_corners):
    """Its points lie between pixels, where the gradient jumps: they are rounded as torch rounds them."""
    torch = pytest.importorskip("torch")
    if torch.backends.cpu.get_cpu_capability() == "DEFAULT":
        pytest.skip("without fused instructions torch's points are others")
    x, theta, g = normal(2, 2, 28, 28), np.tile(np.eye(2, 3), (2, 1, 1)), normal(2, 2, 28, 28)
    gradients = []
    for lib in (fc, torch):
        t = lib.from_numpy(theta.astype(dtype)).requires_grad_()
        grid = lib.nn.functional.affine_grid(t, (2, 2, 28, 28), align_corners=align_corners)
        y = lib.nn.functional.grid_sample(lib.from_numpy(x.astype(dtype)), grid, align_corners=align_corners)
        y.backward(lib.from_numpy(g.astype(dtype)))
        gradients.append(t.grad)
    assert relative(*gradients) < (1e-5 if dtype is np.float32 else 1e-13)


# Losses of labels: the function, the size of its labels, and its options.
LABELLED = [
    *[("multi_margin_loss", (4,), options) for options in ({}, {"p": 2, "margin": 0.3}, {"weight": chances(5)})],
    *[("multi_margin_loss", (), {}), ("multi_margin_loss", (0,), {}), ("multi_margin_loss", (1,), {"p": 2})],
    ("multi_margin_loss", None, {"p": 2}),  # a row of scores, and its class as a vector of one
    *[("multilabel_margin_loss", shape, {}) for shape in ((4, 5), (5,), (0, 5))],
]


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("case", LABELLED, ids=str)
def test_margins_of_labels_are_torchs(case, reduction):
    torch = pytest.importorskip("torch")
    name, shape, options = case
    row, shape = shape is None, (1,) if shape is None else shape
    if 0 in shape and reduction != "none":
        return  # torch returns what was in memory
    several = name == "multilabel_margin_loss"
    x = normal(*shape) if several else normal(*shape, 5)
    x.reshape(-1)[::3] = np.round(x.reshape(-1)[::3])  # margins that are met exactly have no slope
    x = x[0] if row else x
    labels = rng.integers(-1 if several else 0, 5, shape)
    module = {"multi_margin_loss": "MultiMarginLoss", "multilabel_margin_loss": "MultiLabelMarginLoss"}[name]
    results = []
    for lib in (fc, torch):
        a = lib.tensor(x, requires_grad=True)
        keywords = {key: convert(value, lib.tensor, np.float64) for key, value in options.items()}
        y = getattr(lib.nn.functional, name)(a, lib.tensor(labels), reduction=reduction, **keywords)
        again = getattr(lib.nn, module)(reduction=reduction, **keywords)(a, lib.tensor(labels))
        assert lib.equal(y, again)
        y.sum().backward()
        results.append((y.detach(), a.grad))
    (ours, slope), (theirs, other) = results
    assert tuple(ours.shape) == tuple(theirs.shape) and tuple(slope.shape) == tuple(other.shape)
    np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-12)
    np.testing.assert_allclose(slope.numpy(), other.numpy(), rtol=1e-12, atol=1e-15)


@pytest.mark.parametrize(
    "call",
    [
        lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, 3])),
        lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, -1])),
        lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, 1, 2])),
        lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0.0, 1.0])),
        lambda t, F: F.multi_margin_loss(t.ones(2, 3, 4), t.tensor([0, 1])),
        lambda t, F: F.multi_margin_loss(t.ones(2, 0), t.tensor([0, 1])),
        lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, 1]), p=3),
        lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, 1]), weight=t.ones(1, 3)),
        lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, 1]), weight=t.ones(2)),
        lambda t, F: F.multi_margin_loss(t.ones(2, 3), t.tensor([0, 1]), reduction="x"),
        lambda t, F: F.multilabel_margin_loss(t.ones(2, 3), t.tensor([[0, 1, 3], [0, 1, 2]])),
        lambda t, F: F.multilabel_margin_loss(t.ones(2, 3), t.tensor([[0, -2, 1], [0, 1, 2]])),
        lambda t, F: F.multilabel_margin_loss(t.ones(2, 3), t.tensor([0, 1])),
        lambda t, F: F.multilabel_margin_loss(t.ones(2, 3), t.ones(2, 3)),
        lambda t, F: t.nn.MultiMarginLoss(p=3),
        lambda t, F: t.nn.MultiMarginLoss(weight=t.ones(1, 3)),
        lambda t, F: t.nn.TripletMarginWithDistanceLoss(margin=-1),
        lambda t, F: F.triplet_margin_with_distance_loss(t.ones(2, 3), t.ones(2, 3), t.ones(3)),
        lambda t, F: F.triplet_margin_with_distance_loss(t.ones(3), t.ones(3), t.ones(3), margin=0),
    ],
)
def test_errors_of_margins_are_torchs(call):
    torch = pytest.importorskip("torch")
    with pytest.raises((ValueError, RuntimeError)) as theirs:
        call(torch, torch.nn.functional)
    with pytest.raises(theirs.type) as ours:
        call(fc, F)
    assert ours.type is theirs.type


@pytest.mark.parametrize("options", [{}, {"margin": 0.3, "swap": True, "reduction": "sum"}, {"reduction": "none"}])
def test_triplets_by_a_distance_of_ones_own(options):
    torch = pytest.importorskip("torch")
    arrays = [normal(6, 5) for _ in range(3)]
    for similar in (None, "cosine_similarity"):
        results = []
        for lib in (fc, torch):
            similarity = similar and getattr(lib.nn.functional, similar)
            keywords = {**options, "distance_function": similarity and (lambda x, y, f=similarity: 1 - f(x, y))}
            inputs = [lib.tensor(a, requires_grad=True) for a in arrays]
            y = lib.nn.TripletMarginWithDistanceLoss(**keywords)(*inputs)
            y.sum().backward()
            results.append((y.detach(), *[x.grad for x in inputs]))
        for mine, other in zip(*results, strict=True):
            np.testing.assert_allclose(mine.numpy(), other.numpy(), rtol=1e-10, atol=1e-14)


def test_pooling_to_a_size_of_no_images():
    x = fc.ones(0, 3, 8, 8).requires_grad_()
    y, places = F.adaptive_max_pool2d(x, 2, return_indices=True)
    assert y.shape == places.shape == (0, 3, 2, 2)
    y.sum().backward()
    assert x.grad.shape == x.shape
    assert F.adaptive_max_pool1d(x[:, :, 0], 2).shape == (0, 3, 2)
    assert F.max_unpool2d(y, places, 4).shape == (0, 3, 8, 8)
