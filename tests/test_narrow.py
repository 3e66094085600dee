"""float16 and bfloat16 through layers, functions and training: the dtypes, values and gradients that torch has."""

import warnings

import numpy as np
import pytest

import fastconv
import fastconv.nn.functional

torch = pytest.importorskip("torch")
ROUNDING = {"float16": 4e-3, "bfloat16": 3e-2}
SIZES = {
    **{"x4": (2, 3, 6, 6), "w4": (5, 3, 3, 3), "b4": (5,), "x3": (2, 3, 8), "w3": (4, 3, 3), "wt": (3, 2, 3, 3)},
    **{"x2": (3, 4), "y2": (3, 4), "wl": (5, 4), "bl": (5,), "g3": (3,), "b3": (3,), "gl": (4,), "bl4": (4,)},
    **{"m3": (3,), "v3": (3,)},
}
CALLS = [
    "F.conv2d(x4, w4, b4, padding=1)",
    "F.conv2d(x4, w4, None, stride=2)",
    "F.conv1d(x3, w3)",
    "F.conv_transpose2d(x4, wt)",
    "F.linear(x2, wl, bl)",
    "F.linear(x2, wl)",
    "F.max_pool2d(x4, 2)",
    "F.max_pool2d(x4, 2, return_indices=True)[0]",
    "F.avg_pool2d(x4, 2)",
    "F.adaptive_avg_pool2d(x4, 2)",
    "F.adaptive_max_pool2d(x4, 2)",
    "F.max_pool1d(x3, 2)",
    "F.avg_pool1d(x3, 2)",
    "F.batch_norm(x4, None, None, g3, b3, training=True)",
    "F.batch_norm(x4, None, None, training=True)",
    "F.batch_norm(x4, m3, v3, training=False)",
    "F.layer_norm(x2, (4,), gl, bl4)",
    "F.group_norm(x4, 3, g3, b3)",
    "F.instance_norm(x4)",
    "F.local_response_norm(x4, 2)",
    "F.relu(x4)",
    "F.relu(x4*1, inplace=True)",
    "F.leaky_relu(x4, .1)",
    "F.elu(x4)",
    "F.gelu(x4)",
    "F.gelu(x4, approximate='tanh')",
    "F.silu(x4)",
    "F.mish(x4)",
    "F.hardtanh(x4)",
    "F.hardswish(x4)",
    "F.hardsigmoid(x4)",
    "F.relu6(x4)",
    "F.selu(x4)",
    "F.celu(x4)",
    "F.softplus(x4)",
    "F.softsign(x4)",
    "F.tanhshrink(x4)",
    "F.logsigmoid(x4)",
    "F.glu(x2)",
    "F.prelu(x4, g3)",
    "F.softmax(x2, 1)",
    "F.log_softmax(x2, 1)",
    "F.softmin(x2, 1)",
    "F.sigmoid(x4)",
    "F.tanh(x4)",
    "F.cross_entropy(x2, tg)",
    "F.cross_entropy(x2, tg, weight=gl.abs())",
    "F.cross_entropy(x2, tg, label_smoothing=.1)",
    "F.cross_entropy(x2, tg, reduction='none')",
    "F.cross_entropy(x2, x2.softmax(1))",
    "F.nll_loss(x2.log_softmax(1), tg)",
    "F.mse_loss(x2, y2)",
    "F.l1_loss(x2, y2)",
    "F.smooth_l1_loss(x2, y2)",
    "F.huber_loss(x2, y2)",
    "F.kl_div(x2, y2.abs())",
    "F.binary_cross_entropy(x2.sigmoid(), y2.sigmoid())",
    "F.binary_cross_entropy_with_logits(x2, y2.sigmoid())",
    "F.cosine_similarity(x2, y2)",
    "F.pairwise_distance(x2, y2)",
    "F.normalize(x2)",
    "F.dropout(x2, 0.)",
    "F.pad(x4, (1,1,1,1))",
    "F.pad(x4, (1,1,1,1), mode='reflect')",
    "F.pad(x4, (1,1,1,1), mode='replicate')",
    "F.pad(x4, (1,1,1,1), mode='circular')",
    "F.interpolate(x4, scale_factor=2)",
    "F.interpolate(x4, scale_factor=2, mode='bilinear')",
    "F.interpolate(x4, scale_factor=2, mode='bicubic')",
    "F.pixel_shuffle(x4[:, :1].repeat(1,4,1,1), 2)",
    "F.unfold(x4, 2)",
    "F.fold(F.unfold(x4, 2), (6,6), 2)",
    "F.embedding(tg, wl)",
    "F.one_hot(tg)",
    "F.scaled_dot_product_attention(x3, x3, x3)",
    "t.cat([x4, x4])",
    "t.stack([x4, x4])",
    "x4.mean(), x4.sum(), x4.std(), x4.var(0), x4.norm(), x4.max(), x4.argmax()",
    "x4.mean((2,3))",
    "x4.sum(1)",
    "x4.std(1)",
    "x4.norm()",
    "x4.max(1)[0]",
    "x4.clamp(0, 1)",
    "x4.abs().sqrt()",
    "x4.exp()",
    "x4.sigmoid()",
    "x4 * 2 + 1",
    "x4 / 3",
    "x4 ** 2",
    "x4 - 0.1",
    "x4 @ x4.transpose(2,3)",
    "x4.flatten(1)",
    "x4.permute(0,2,3,1).contiguous()",
    "x4[0, :, ::2]",
    "x4[:, [0,1]]",
    "t.where(x4 > 0, x4, x4 * 2)",
    "x4.masked_fill(x4 > 0, 0.)",
    "x4.cumsum(1)",
    "x4.prod(1)",
    "x4.sort(1)[0]",
    "x4.topk(2, 1)[0]",
    "x4.logsumexp(1)",
    "t.maximum(x4, x4 * 2)",
    "x4.float()",
    "x4.double()",
    "x2.unsqueeze(0).expand(2, 3, 4)",
    "t.einsum('ij,kj->ik', x2, y2)",
    "t.bmm(x3, x3.transpose(1,2))",
    "x2.t() @ y2",
    "t.outer(x2[0], y2[0])",
    "x2.sin() + x2.cos()",
    "x2.atan2(y2)",
    "x2.floor() + x2.round() + x2.sign()",
    "x2.lerp(y2, 0.3)",
    "x2.diff()",
    "x2.roll(1) + x2.flip(0)",
    "x2.tril() + x2.triu()",
    "x2.gather(1, tg[:, None])",
    "x2.index_select(0, tg[:2])",
    "x2.scatter(1, tg[:, None], 1.)",
]


def named(dtype):
    return str(dtype).replace("torch.", "")


def results(library, call, dtype):
    """What the call returns, and the gradients of the sum of its square: dtypes and arrays."""
    rng = np.random.default_rng(0)
    names = {}
    for name, size in SIZES.items():
        values = rng.standard_normal(size).astype(np.float32)
        names[name] = library.tensor(np.abs(values) + 0.5 if name == "v3" else values).to(getattr(library, dtype))
        if name not in ("m3", "v3"):
            names[name].requires_grad_()
    labels = library.tensor(np.array([0, 2, 3]))
    y = eval(call, {"F": library.nn.functional, "t": library, "tg": labels, **names})
    y = y if isinstance(y, tuple) else (y,)
    if y[0].requires_grad:
        (y[0] * y[0]).sum().backward()
    found = [*y, *[x.grad for x in names.values()]]
    return [None if x is None else (named(x.dtype), x.detach().double().numpy()) for x in found]


@pytest.mark.parametrize("dtype", ROUNDING)
@pytest.mark.parametrize("call", CALLS)
def test_call(call, dtype):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        try:
            theirs = results(torch, call, dtype)
        except (RuntimeError, NotImplementedError):  # a kernel that torch has not for this dtype
            pytest.skip("torch cannot")
        ours = results(fastconv, call, dtype)
    for i, (a, b) in enumerate(zip(ours, theirs, strict=True)):
        assert (a is None) == (b is None)
        if a is not None:
            assert a[0] == b[0] and a[1].shape == b[1].shape
            tolerance = ROUNDING[dtype] * (10 if i else 1)
            scale = max(1, np.abs(b[1]).max(initial=0))
            np.testing.assert_allclose(a[1], b[1], rtol=tolerance, atol=tolerance * scale)


@pytest.mark.parametrize("optimizer", ["SGD", "Adam"])
def test_training_in_bfloat16(optimizer):
    """A network of bfloat16, its statistics and its optimizer's state included, learns as torch's does."""
    losses = {}
    for library in (torch, fastconv):
        library.manual_seed(0)
        nn = library.nn
        layers = nn.Conv2d(1, 4, 3), nn.BatchNorm2d(4), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(36, 3)
        net = nn.Sequential(*layers).to(library.bfloat16)
        options = {"momentum": 0.9} if optimizer == "SGD" else {}
        step = getattr(library.optim, optimizer)(net.parameters(), lr=0.03, **options)
        x, target = library.randn(8, 1, 8, 8).to(library.bfloat16), library.arange(8) % 3
        losses[library] = []
        for _ in range(6):
            step.zero_grad()
            loss = nn.functional.cross_entropy(net(x), target)
            loss.backward()
            step.step()
            losses[library].append(loss.item())
        assert named(net[0].weight.grad.dtype) == named(net[1].running_var.dtype) == named(loss.dtype) == "bfloat16"
    np.testing.assert_allclose(losses[fastconv], losses[torch], rtol=0.05, atol=0.02)


@pytest.mark.parametrize("dtype", ROUNDING)
def test_what_narrow_products_saved_is_watched(dtype):
    for change in (lambda x, y: x.add_(1), lambda x, y: y.zero_()):
        x = fastconv.ones(3, dtype=getattr(fastconv, dtype))
        w = fastconv.ones(3, dtype=x.dtype, requires_grad=True)
        y = (x * w).sigmoid()
        z = y * 1
        change(x, y)
        with pytest.raises(RuntimeError, match="modified by an inplace operation"):
            z.sum().backward()


def test_hooks_of_bfloat16_see_it():
    x = fastconv.ones(3, dtype=fastconv.bfloat16, requires_grad=True)
    seen = []
    x.register_hook(lambda g: seen.append(g.dtype) or g * 2)
    (x * 3).sum().backward()
    assert seen == [fastconv.bfloat16] and x.grad.dtype == fastconv.bfloat16 and x.grad.tolist() == [6, 6, 6]


@pytest.mark.parametrize("call", ["conv2d", "linear"])
def test_mixed_dtypes_are_refused(call):
    x, w = fastconv.ones(1, 2, 3, 3).half(), fastconv.ones(2, 2, 3, 3)
    with pytest.raises(TypeError, match=r"same dtype, got torch\.float16, torch\.float32"):
        getattr(fastconv.nn.functional, call)(x, w)
