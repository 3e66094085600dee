"""Gradients of gradients of the layers that critics and implicit networks are made of, by differences and by torch."""

import numpy as np
import pytest

import fastconv as fc
import fastconv.nn.functional as F

rng = np.random.default_rng(2)
ACTIVATIONS = ["hardtanh", "relu6", "hardswish", "elu", "selu", "silu", "mish", "gelu", "leaky_relu"]
NORMS = {
    "group": lambda m, x, w, b: m.group_norm(x, 2, w, b),
    "group, no weights": lambda m, x, w, b: m.group_norm(x, 4) * w[0] + b[0],
    "instance": lambda m, x, w, b: m.instance_norm(x, weight=w, bias=b),
    "layer": lambda m, x, w, b: m.layer_norm(x.permute(0, 2, 3, 1), (4,), w, b),
    "batch": lambda m, x, w, b: m.batch_norm(x, None, None, w, b, training=True),
}


def penalty(m, y, inputs, weights):
    """Gradients, and those of their square, with respect to all inputs; None where a gradient is constant."""
    first = m.autograd.grad((y * weights).sum(), inputs, create_graph=True)
    varying = [(g * g).sum() for g in first if g.requires_grad]
    return first, m.autograd.grad(sum(varying), inputs, allow_unused=True) if varying else [None] * len(inputs)


def compare(torch, call, arrays):
    ours = [fc.tensor(a).requires_grad_() for a in arrays]
    theirs = [torch.tensor(a, requires_grad=True) for a in arrays]
    y, z = call(F, *ours), call(torch.nn.functional, *theirs)
    weights = rng.standard_normal(tuple(y.shape))
    pairs = zip(penalty(fc, y, ours, fc.tensor(weights)), penalty(torch, z, theirs, torch.tensor(weights)), strict=True)
    for a, b in pairs:
        for p, q in zip(a, b, strict=True):
            if p is None or q is None:  # a gradient that is zero may be known to be
                assert all(t is None or not t.detach().numpy().any() for t in (p, q))
            else:
                np.testing.assert_allclose(p.detach().numpy(), q.detach().numpy(), rtol=1e-7, atol=1e-9)


@pytest.mark.parametrize("name", ACTIVATIONS)
def test_activations(name):
    torch = pytest.importorskip("torch")
    compare(torch, lambda m, x: getattr(m, name)(x), [rng.standard_normal((5, 40)) * 3])


def test_gelu_by_tanh():
    torch = pytest.importorskip("torch")
    compare(torch, lambda m, x: m.gelu(x, approximate="tanh"), [rng.standard_normal((5, 40)) * 2])


@pytest.mark.parametrize("name", NORMS)
def test_normalisation(name):
    torch = pytest.importorskip("torch")
    compare(torch, NORMS[name], [rng.standard_normal((3, 4, 5, 2)), rng.standard_normal(4), rng.standard_normal(4)])


@pytest.mark.parametrize("name", ["silu", "gelu", "mish", "elu"])
def test_activations_by_differences(name):
    x = fc.tensor(rng.standard_normal(6)).requires_grad_()
    assert fc.autograd.gradgradcheck(lambda x: getattr(F, name)(x), (x,))


def test_a_critic_of_group_norm_learns_with_a_gradient_penalty():
    fc.manual_seed(0)
    nn = fc.nn
    critic = nn.Sequential(
        nn.Conv2d(3, 8, 3, 2, 1), nn.SiLU(), nn.Conv2d(8, 16, 3, 2, 1), nn.GroupNorm(4, 16), nn.ELU(), nn.Flatten(),
        nn.Linear(256, 1),
    )  # fmt: skip
    optimizer = fc.optim.Adam(critic.parameters(), 1e-2, betas=(0.5, 0.9))
    real, fake, share = fc.randn(8, 3, 16, 16), fc.randn(8, 3, 16, 16) + 1, fc.rand(8, 1, 1, 1)
    losses = []
    for _ in range(15):
        mixed = (share * real + (1 - share) * fake).requires_grad_()
        (slope,) = fc.autograd.grad(critic(mixed).sum(), mixed, create_graph=True)
        loss = critic(fake).mean() - critic(real).mean() + 10 * ((slope.flatten(1).norm(2, dim=1) - 1) ** 2).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < losses[0] - 1
