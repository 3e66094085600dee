"""Distributions beside torch's: the same draws, densities, entropies, divergences and gradients."""

import numpy as np
import pytest

import fastconv
from fastconv import distributions as ours

torch = pytest.importorskip("torch")

A = np.array([[0.5, -1.0, 2.0], [0.1, 0.3, -0.7]], np.float32)
B = np.array([0.4, 1.5, 0.9], np.float32)
P = np.array([[0.2, 0.5, 0.3], [0.9, 0.05, 0.05]], np.float32)

MAKE = {
    "Normal": lambda d, a, b, p: d.Normal(a, b),
    "Normal of numbers": lambda d, a, b, p: d.Normal(0.0, 2.0),
    "Uniform": lambda d, a, b, p: d.Uniform(a, a + b),
    "Bernoulli": lambda d, a, b, p: d.Bernoulli(p),
    "Bernoulli of logits": lambda d, a, b, p: d.Bernoulli(logits=a),
    "Categorical": lambda d, a, b, p: d.Categorical(p * 3),
    "Categorical of logits": lambda d, a, b, p: d.Categorical(logits=a),
    "Independent": lambda d, a, b, p: d.Independent(d.Normal(a, b), 1),
}


def sides():
    yield fastconv, ours
    yield torch, torch.distributions


def same(found, **tolerance):
    for one, other in zip(*found, strict=True):
        assert np.shape(one) == np.shape(other)
        np.testing.assert_allclose(one, other, **({"rtol": 2e-5, "atol": 1e-6} | tolerance))


@pytest.mark.parametrize("name", MAKE)
@pytest.mark.parametrize("shape", [(), (4,), (2, 5)])
def test_draws_are_torchs(name, shape):
    found = []
    for library, d in sides():
        distribution = MAKE[name](d, *map(library.tensor, (A, B, P)))
        library.manual_seed(11)
        drawn = [distribution.sample(shape), distribution.sample(shape)]
        if not name.startswith(("Bernoulli", "Categorical")):
            drawn.append(distribution.rsample(shape))
        assert str(drawn[0].dtype).split(".")[-1] in ("float32", "int64") and not drawn[0].requires_grad
        found.append([t.numpy() for t in drawn])
    same(found, atol=5e-6)


@pytest.mark.parametrize("name", MAKE)
def test_densities_and_their_gradients_are_torchs(name):
    found = []
    for library, d in sides():
        a, b, p = (library.tensor(x).requires_grad_() for x in (A, B, P))
        distribution = MAKE[name](d, a, b, p)
        value = distribution.mean.detach() + 0.1 if name[0] in "NUI" else library.tensor([[1.0], [0.0]])
        value = library.tensor([[0], [2]]) if name.startswith("Cat") else value
        value = (
            value.expand(2, 3) if name.startswith("Ber") else value.expand(2, 2) if name.startswith("Cat") else value
        )
        total = distribution.log_prob(value)
        parts = [total, distribution.entropy()]
        if not name.startswith("Cat"):
            parts += [distribution.mean, distribution.variance, distribution.stddev]
        if name[0] == "N":
            parts += [distribution.cdf(value), distribution.icdf(distribution.cdf(value))]
        if name[0] == "U":
            parts += [distribution.cdf(value)]
        scalar = sum(part.sin().sum() for part in parts)
        if scalar.requires_grad:
            scalar.backward()
        found.append(
            [part.detach().numpy() for part in parts] + [x.grad.numpy() for x in (a, b, p) if x.grad is not None]
        )
        assert (tuple(distribution.batch_shape), tuple(distribution.event_shape)) == {
            "Normal of numbers": ((), ()),
            "Independent": ((2,), (3,)),
            "Categorical": ((2,), ()),
            "Categorical of logits": ((2,), ()),
        }.get(name, ((2, 3), ()))
    same(found, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("name", MAKE)
def test_divergences_are_torchs(name):
    found = []
    for library, d in sides():
        a, b, p = (library.tensor(x).requires_grad_() for x in (A, B, P))
        one = MAKE[name](d, a, b, p)
        q = MAKE[name](d, a - 0.2, b + 0.3, p * 0.5 + 0.2)
        divergence = d.kl_divergence(one, q)
        if divergence.requires_grad:
            divergence.sum().backward()
        found.append([divergence.detach().numpy()] + [x.grad.numpy() for x in (a, b, p) if x.grad is not None])
    same(found, rtol=1e-4, atol=1e-5)


def test_certain_probabilities():
    found = []
    for library, d in sides():
        p = library.tensor([0.0, 1.0, 0.0, 1.0, 0.5])
        q = library.tensor([0.0, 1.0, 1.0, 0.0, 0.0])
        found.append([d.kl_divergence(d.Bernoulli(p), d.Bernoulli(q)).numpy()])
        found[-1].append(d.kl_divergence(d.Categorical(p), d.Categorical(q)).numpy())
    same(found)


@pytest.mark.parametrize(
    "make, words",
    [
        (lambda d, t: d.Normal(t([0.0, 1.0]), t([1.0, -1.0])), "Expected parameter scale .* GreaterThan"),
        (lambda d, t: d.Bernoulli(t([0.5, 1.5])), "to satisfy the constraint Interval"),
        (lambda d, t: d.Bernoulli(), "Either `probs` or `logits` must be specified, but not both"),
        (lambda d, t: d.Categorical(t(1.0)), "must be at least one-dimensional"),
        (lambda d, t: d.Uniform(t([1.0]), t([0.0])), "is not defined|Uniform"),
        (lambda d, t: d.Bernoulli(t([0.5])).log_prob(t([0.5])), "within the support"),
        (lambda d, t: d.Independent(d.Normal(t(0.0), t(1.0)), 1), "Expected reinterpreted_batch_ndims"),
    ],
)
def test_what_is_no_distribution(make, words):
    for library, d in sides():
        with pytest.raises(ValueError, match=words):
            make(d, library.tensor)


def test_what_is_not_there():
    with pytest.raises(NotImplementedError, match=r"No KL\(p \|\| q\)"):
        ours.kl_divergence(ours.Normal(0.0, 1.0), ours.Uniform(0.0, 1.0))
    with pytest.raises(NotImplementedError, match="only sample"):
        ours.Bernoulli(0.5).rsample()
    assert repr(ours.Normal(0.0, 1.0)) == "Normal(loc: 0.0, scale: 1.0)"
    assert isinstance(ours.Normal(0.0, 1.0), ours.Distribution)
    assert ours.Normal(0.0, -1.0, validate_args=False).scale == -1
