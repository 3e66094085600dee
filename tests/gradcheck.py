"""Gradients against differences, in float64, along random directions."""

import numpy as np

from fastconv import from_numpy


def check_vjp(function, *arrays, step=1e-5, tolerance=2e-7, seed=0):
    """Check backward() through `function` of tensors made from these float64 arrays.

    For a random g and random directions v, the derivative of <g, function(x)> along v, by central differences of
    `step`, equals <dx, v>. The differences are off by step^2 (1e-10) times a third derivative and by rounding over
    step (1e-16 / 1e-5 = 1e-11), each relative to sums of a few hundred terms: hence `tolerance`.
    """
    rng = np.random.default_rng(seed)
    tensors = [from_numpy(np.array(a, np.float64)).requires_grad_() for a in arrays]
    y = function(*tensors)
    g = rng.standard_normal(y.shape)
    y.backward(from_numpy(g))
    directions = [rng.standard_normal(a.shape) for a in arrays]

    def projected(t):
        moved = [from_numpy(np.asarray(a + t * v)) for a, v in zip(arrays, directions, strict=True)]
        return float(np.sum(function(*moved).numpy() * g))

    numeric = (projected(step) - projected(-step)) / (2 * step)
    for t in tensors:
        assert t.grad is not None and t.grad.shape == t.shape and t.grad.dtype == t.dtype
    terms = [t.grad.numpy() * v for t, v in zip(tensors, directions, strict=True)]
    scale = 1 + sum(np.abs(term).sum() for term in terms)
    assert abs(sum(term.sum() for term in terms) - numeric) <= tolerance * scale


def relative(actual, expected):
    """Norm of the difference, relative to the norm of what is expected."""
    actual, expected = np.asarray(actual, np.float64), np.asarray(expected, np.float64)
    assert actual.shape == expected.shape
    return np.linalg.norm(actual - expected) / max(np.linalg.norm(expected), 1e-300)
