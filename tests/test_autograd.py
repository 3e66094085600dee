"""Hooks, grad(), Function, double backward, checkpoints, modes: small programs that torch runs too, and drawn ones."""

import gc
import importlib
import weakref

import fuzz_autograd
import numpy as np
import pytest

import fastconv as fc
import fastconv.nn.functional as F
from fastconv import nn
from fastconv.autograd import Function, grad, gradcheck, gradgradcheck
from fastconv.autograd.function import once_differentiable
from fastconv.utils.checkpoint import CheckpointError, checkpoint
from fastconv.vision import transforms


def normal(*shape, seed=0):
    rng = np.random.default_rng([seed, *shape])
    return fc.from_numpy(np.asarray(rng.standard_normal(shape))).requires_grad_()


# ---- programs that torch runs too ----------------------------------------------------------------------------------


def values(x):
    return None if x is None else np.round(x.detach().numpy(), 4).tolist()


def network(t, *layers):
    rng = np.random.default_rng(0)
    net = t.nn.Sequential(*layers)
    with t.no_grad():
        for p in net.parameters():
            p.copy_(t.from_numpy(rng.standard_normal(tuple(p.shape)).astype("f4")))
    return net


def hooks_of_tensors(t):
    x = t.tensor([1.0, 2.0, 3.0], requires_grad=True)
    y = x * x
    seen = []
    handle = y.register_hook(lambda g: g * 2)
    x.register_hook(lambda g: seen.append(values(g)))
    x.register_post_accumulate_grad_hook(lambda p: seen.append(values(p.grad)))
    y.retain_grad()
    z = y.sum()
    z.backward(retain_graph=True)
    handle.remove()
    z.backward()
    return values(x.grad), values(y.grad), seen, y.retains_grad


def hooks_of_modules(t):
    net = network(t, t.nn.Linear(4, 5), t.nn.ReLU(), t.nn.Linear(5, 3))
    x = t.ones(2, 4).requires_grad_()
    seen = []
    net[0].register_forward_pre_hook(lambda m, args: (args[0] * 2,))
    net[1].register_forward_hook(lambda m, args, y: y + 1)
    net[0].register_full_backward_hook(lambda m, dx, dy: seen.append([values(g) for g in dx + dy]))
    net[2].register_full_backward_hook(lambda m, dx, dy: (dx[0] * 3,))
    net[2].register_full_backward_pre_hook(lambda m, dy: (dy[0] * 5,))
    net(x).sum().backward()
    net(x.detach()).sum().backward()
    return values(x.grad), [values(p.grad) for p in net.parameters()], seen


def second_derivatives(t):
    x, w = t.tensor([1.0, 2.0, 3.0], requires_grad=True), t.tensor(2.0, requires_grad=True)
    (g,) = t.autograd.grad((x**3 * w).sum(), x, create_graph=True)
    (g * g).sum().backward()
    return values(g), values(x.grad), values(w.grad)


def functions_of_ones_own(t):
    class Both(t.autograd.Function):
        @staticmethod
        def forward(ctx, a, b):
            ctx.save_for_backward(a, b)
            return a * b, a + b

        @staticmethod
        def backward(ctx, g1, g2):
            a, b = ctx.saved_tensors
            return g1 * b + g2, g1 * a + g2

    x, w = t.tensor([1.0, 2.0], requires_grad=True), t.tensor([3.0, 4.0], requires_grad=True)
    p, q = Both.apply(x, w)
    (p * p + q).sum().backward()
    first = values(x.grad), values(w.grad)
    p, q = Both.apply(x, w)
    (g,) = t.autograd.grad((p * p).sum(), x, create_graph=True)
    g.sum().backward()
    return first, values(x.grad), values(w.grad)


def views_and_what_is_written_to_them(t):
    b, w = t.zeros(2, 3), t.tensor([1.0, 2.0, 3.0], requires_grad=True)
    v = b[0]
    v.add_(w)
    u = b.t()
    b[1] = w * w
    v.mul_(2)
    (b * b).sum().backward()
    y = w * 2
    y[0].zero_()
    y.view(3, 1)[1].mul_(w[2])
    y.exp().sum().backward()
    z = w * 2
    part = z[1:]
    z.mul_(3)
    part.sum().backward()
    return values(b), values(u), values(v), [round(g, 0) for g in values(w.grad)], v.requires_grad


def modes(t):
    w, found = t.ones(2, requires_grad=True), []

    @t.no_grad()
    def generator():
        yield (w * 2).requires_grad
        found.append((w * 2).requires_grad)
        yield (w * 2).requires_grad

    for value in generator():
        found += [value, (w * 2).requires_grad]

    @t.set_grad_enabled(False)
    def function():
        return (w * 2).requires_grad

    found += [function(), t.is_grad_enabled()]
    with t.set_grad_enabled(False):
        found.append(t.is_grad_enabled())
    with t.inference_mode():
        found += [(w * 2).requires_grad, t.is_inference_mode_enabled()]
    return found, t.is_grad_enabled()


def checkpoints(t):
    checkpoint = importlib.import_module(f"{t.__name__}.utils.checkpoint")
    net = network(t, t.nn.Linear(4, 5), t.nn.ReLU(), t.nn.Linear(5, 3), t.nn.Tanh())
    x = t.ones(2, 4).requires_grad_()
    checkpoint.checkpoint(net, x, use_reentrant=False).sum().backward()
    again = checkpoint.checkpoint_sequential(net, 2, x, use_reentrant=False).sum()
    found = t.autograd.grad(again, [x, *net.parameters()])
    return values(x.grad), [values(p.grad) for p in net.parameters()], [values(g) for g in found]


def jacobians(t):
    w = t.tensor([1.0, 2.0, 3.0])
    functional = t.autograd.functional
    return (
        [values(j) for j in functional.jacobian(lambda a, b: a * b.sum(), (w, w))],
        values(functional.hessian(lambda a: (a**3).sum(), w)),
        [values(r) for r in functional.vjp(lambda a: a**3, w, t.ones(3))],
    )


def gradient_penalty(t):
    """Two steps of a critic as in WGAN-GP: the norm of its gradient at points between is part of the loss."""
    layers = t.nn.Conv2d(1, 3, 3, 2, 1), t.nn.ReLU(), t.nn.Conv2d(3, 2, 2), t.nn.Flatten(), t.nn.Linear(8, 1)
    critic = network(t, *layers).double()
    optimizer = t.optim.SGD(critic.parameters(), lr=1e-5)
    rng = np.random.default_rng(1)
    losses = []
    for _ in range(2):
        real, fake = (t.from_numpy(rng.standard_normal((2, 1, 6, 6))) for _ in range(2))
        between = (real * 0.3 + fake * 0.7).requires_grad_()
        y = critic(between)
        (g,) = t.autograd.grad(y, between, t.ones_like(y), create_graph=True)
        penalty = ((g.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
        loss = critic(fake).mean() - critic(real).mean() + 10 * penalty
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(round(loss.item(), 3))
    return losses, [np.round(p.detach().numpy(), 3).tolist() for p in critic.parameters()]


PROGRAMS = (
    *(hooks_of_tensors, hooks_of_modules, second_derivatives, functions_of_ones_own, modes, checkpoints, jacobians),
    *(views_and_what_is_written_to_them, gradient_penalty),
)


@pytest.mark.parametrize("program", PROGRAMS)
def test_as_torch(program):
    assert program(fc) == program(pytest.importorskip("torch"))


def test_drawn_programs():
    pytest.importorskip("torch")
    for number in range(250):
        fuzz_autograd.run_case(2, number)
    # A view with a hook that is written to; a scaled difference in a graph that was freed.
    for number in (467, 916):
        fuzz_autograd.run_case(9001, number)
    # Writes of a tensor onto itself: by what lies apart, in another number of dimensions, and of a single element.
    for number in (390, 860, 989, 4201):
        fuzz_autograd.run_case(20261130, number)


# ---- double backward -----------------------------------------------------------------------------------------------

TWICE = {
    "conv2d": (lambda x, w, b: F.conv2d(x, w, b, 2, 1, 1, 2), (2, 2, 5, 4), (4, 1, 3, 2), (4,)),
    "conv2d same": (lambda x, w: F.conv2d(x, w, padding="same"), (2, 4, 4), (3, 2, 3, 3)),
    "conv1d": (lambda x, w, b: F.conv1d(x, w, b, 2, 1), (2, 2, 7), (3, 2, 3), (3,)),
    "conv_transpose2d": (lambda x, w, b: F.conv_transpose2d(x, w, b, 2, 1), (1, 2, 3, 4), (2, 3, 3, 3), (3,)),
    "linear": (F.linear, (3, 4), (5, 4), (5,)),
    "linear of vectors": (F.linear, (4,), (5, 4), (5,)),
    "batch_norm": (lambda x, w, b: F.batch_norm(x, None, None, w, b, True), (3, 2, 4), (2,), (2,)),
    "average": (lambda x: F.avg_pool2d(x, 2, 1, 1), (1, 2, 4, 4)),
    "pad": (lambda x: F.pad(x, (1, -1, 2, 0)), (1, 2, 4, 4)),
    "mse": (F.mse_loss, (3, 4), (3, 4)),
    "relu": (lambda x: F.relu(x) * x, (3, 4)),
    "sigmoid": (fc.sigmoid, (3, 4)),
    "tanh": (fc.tanh, (3, 4)),
    "softmax": (lambda x: F.softmax(x, 1), (3, 4)),
    "log_softmax": (lambda x: F.log_softmax(x, 0), (3, 4)),
    "pow": (lambda x, y: (x * x + 1) ** y, (3,), (2, 3)),
    "div": (lambda x, y: x.exp() / (y * y + 1), (3,), (2, 3)),
    "log": (lambda x: (x * x + 1).sqrt().log(), (3,)),
    "norm": (lambda x: x.norm(2, 1), (3, 4)),
    "norm 3": (lambda x: x.norm(3), (3, 4)),
    "var": (lambda x: x.var(1), (2, 3)),
    "std": (lambda x: x.std(), (2, 3)),
    "mean": (lambda x: x.mean(1, True) ** 2, (2, 3)),
    "max": (lambda x: x.max(1).values ** 2, (2, 3)),
    "shapes": (lambda x: x.permute(1, 0).reshape(6).expand(2, 6)[:, 1:] ** 2, (2, 3)),
    "index": (lambda x: x[fc.tensor([0, 0, 2])] ** 2, (3, 2)),
    "matmul": (lambda x, y: x @ y, (4, 2, 3), (3, 2)),
    "vector": (lambda x, y: x @ y, (3,), (4, 3, 2)),
    "cat": (lambda x, y: fc.cat([x, y], 1) ** 2, (2, 3), (2, 1)),
    "in place": (lambda x, w: write(x * 1, w), (3, 2), (2,)),
}


def write(y, w):
    y[0].mul_(w)
    y[fc.tensor([2, 1])] = w
    return y * y


@pytest.mark.parametrize("name", TWICE)
def test_double_backward(name):
    function, *shapes = TWICE[name]
    arguments = [normal(*shape, seed=i) for i, shape in enumerate(shapes)]
    assert gradcheck(function, arguments) and gradgradcheck(function, arguments)


def test_what_cannot_be_differentiated_twice_says_so():
    x = normal(1, 1, 4, 4)
    (g,) = grad(F.pad(x, (1, 1, 1, 1), mode="reflect").sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="PadEdgesBackward0 cannot be differentiated again"):
        g.sum().backward()

    class Once(Function):
        @staticmethod
        def forward(ctx, x):
            return x * 2

        @staticmethod
        @once_differentiable
        def backward(ctx, dy):
            return dy * 2

    (g,) = grad(Once.apply(x).sum(), x, create_graph=True)
    with pytest.raises(NotImplementedError, match="OnceBackward0"):
        g.sum().backward()


# ---- errors and memory ---------------------------------------------------------------------------------------------


def test_errors():
    x = fc.ones(2, requires_grad=True)
    y = x * 2
    for call, text in (
        (lambda: grad(y, x), "implicitly created only for scalar outputs"),
        (lambda: grad(y.sum(), fc.ones(2)), "does not require grad"),
        (lambda: grad(y.sum(), fc.ones(2, requires_grad=True)), "appears to not have been used"),
        (lambda: grad(y.sum(), []), "cannot be empty"),
        (lambda: y.backward(inputs=[]), "cannot be empty"),
        (lambda: grad(y, x, fc.ones(3)), "Mismatch in shape"),
        (lambda: fc.ones(2).register_hook(print), "doesn't require gradient"),
        (lambda: y.register_post_accumulate_grad_hook(print), "non-leaf"),
        (lambda: fc.ones(2).retain_grad(), "requires_grad=False"),
        (lambda: y[0].detach_(), "Can't detach views"),
    ):
        with pytest.raises(RuntimeError, match=text):
            call()
    with pytest.raises(NotImplementedError, match="is_grads_batched"):
        grad(y, x, fc.ones(3, 2), is_grads_batched=True)
    x.register_hook(lambda g: 5)
    with pytest.raises(RuntimeError, match="a hook must return None or a gradient"):
        y.sum().backward()


def test_anomaly_detection_tells_where():
    x = fc.zeros(2, requires_grad=True)
    with fc.autograd.detect_anomaly():
        y = (x.sqrt() * 0).sum()
        with pytest.raises(RuntimeError, match=r"(?s)SqrtBackward0.*nan.*test_anomaly_detection_tells_where"):
            y.backward()


def test_a_checkpoint_keeps_nothing_between():
    x, net = normal(3, 4), nn.Sequential(nn.Linear(4, 5), nn.Tanh(), nn.Linear(5, 2)).double()
    kept = []

    def run(x):
        h = net[1](net[0](x))
        kept.append(weakref.ref(h._array))
        return net[2](h)

    y = checkpoint(run, x)
    gc.collect()
    assert kept[0]() is None
    y.sum().backward()
    other = x.detach().requires_grad_()
    net(other).sum().backward()
    np.testing.assert_array_equal(x.grad, other.grad)
    flag = []
    y = checkpoint(lambda x: flag.append(0) or (x.exp() if len(flag) == 1 else x.tanh()), x)
    with pytest.raises(CheckpointError, match=r"ExpBackward0.*TanhBackward0"):
        y.sum().backward()


def test_dropout_in_a_checkpoint_draws_the_same():
    x = fc.ones(100, requires_grad=True)
    y = checkpoint(lambda x: F.dropout(x, 0.5) * 3, x)
    fc.rand(3)
    y.sum().backward()
    assert x.grad.tolist() == y.tolist()


def test_transforms_keep_the_history():
    x = fc.arange(48.0).reshape(3, 4, 4).requires_grad_()
    for transform in (
        transforms.Normalize([0.5], [0.25]),
        transforms.RandomHorizontalFlip(1.0),
        transforms.CenterCrop(2),
        transforms.RandomCrop(3),
        transforms.Pad(1),
        transforms.Pad(1, padding_mode="reflect"),
    ):
        y = transform(x * 2)
        assert (y.requires_grad and y.tolist() == transform(x.detach() * 2).tolist()) or "Random" in repr(transform)
        (g,) = grad(y.sum(), x)
        assert g.shape == x.shape and g.max() > 0
    with pytest.raises(RuntimeError, match="leaf Variable that requires grad"):
        transforms.Normalize([0.5], [0.25], inplace=True)(x)


def test_weights_of_soft_labels_have_a_gradient():
    x, t, w = normal(3, 4), normal(3, 4).softmax(1).detach(), normal(4)
    assert gradcheck(lambda x, w: F.cross_entropy(x, t, w), (x, w))
