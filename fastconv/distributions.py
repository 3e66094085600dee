"""Probability distributions, with torch.distributions' names: draws, densities, entropies and divergences.

Densities and what is made of them are computed by operations that the tape records, so that their gradients are there;
draws are those that torch makes of the same seed. :meth:`Distribution.rsample` has the gradient of its parameters
(Kingma and Welling, "Auto-encoding variational Bayes", 2014), :meth:`Distribution.sample` has none.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any, ClassVar

import numpy as np

from . import functions
from ._native.tape import wrap
from ._tensor import Tensor
from .autograd import no_grad
from .creation import as_tensor, bernoulli, multinomial, normal, rand
from .dtypes import Size, float32
from .nn import functional as F

__all__ = ["Bernoulli", "Categorical", "Distribution", "Independent", "Normal", "Uniform", "kl_divergence"]


def _together(*values: Any) -> list[Tensor]:
    """Numbers and tensors as tensors of one shape and dtype."""
    tensors = [v for v in values if isinstance(v, Tensor)]
    dtype = tensors[0].dtype if tensors else None
    made = [v if isinstance(v, Tensor) else as_tensor(v, dtype=dtype or float32) for v in values]
    return list(functions.broadcast_tensors(*made))


Constraints = dict[str, tuple[str, Callable[[Any], Any]]]


class Distribution:
    """What all have in common.

    Attributes
    ----------
    batch_shape : Size
        Of as many distributions side by side.
    event_shape : Size
        Of one draw.
    """

    # What each parameter has to fulfil: its words in an error, and the check.
    constraints: ClassVar[Constraints] = {}

    def __init__(self, batch_shape: Sequence[int] = (), event_shape: Sequence[int] = ()) -> None:
        self.batch_shape: Size = Size(batch_shape)
        self.event_shape: Size = Size(event_shape)

    def _validate(self, validate_args: bool | None) -> None:
        self._validate_args = validate_args is not False
        for name, (words, holds) in self.constraints.items() if self._validate_args else ():
            value = self.__dict__.get(name)
            if value is not None and not bool(np.all(holds(value.detach().numpy()))):
                raise ValueError(
                    f"Expected parameter {name} (Tensor of shape {tuple(value.shape)}) of distribution {self!r} to "
                    f"satisfy the constraint {words}, but found invalid values:\n{value}"
                )

    def _check(self, value: Tensor, words: str, holds: Any) -> None:
        if self._validate_args and not bool(np.all(holds)):
            raise ValueError(
                f"Expected value argument (Tensor of shape {tuple(value.shape)}) to be within the support ({words}) of "
                f"the distribution {self!r}, but found invalid values:\n{value}"
            )

    def _extended(self, sample_shape: Sequence[int]) -> Size:
        return Size((*sample_shape, *self.batch_shape, *self.event_shape))

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws without a gradient, of the shape ``sample_shape + batch_shape + event_shape``."""
        with no_grad():
            return self.rsample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws that are differentiable functions of the parameters; NotImplementedError where there are none."""
        raise NotImplementedError(f"{type(self).__name__} has no rsample(), only sample()")

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density, or of the probability, at `value`."""
        raise NotImplementedError(f"{type(self).__name__} has no log_prob()")

    def entropy(self) -> Tensor:
        """``-E[log p]``."""
        raise NotImplementedError(f"{type(self).__name__} has no entropy()")

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        raise NotImplementedError(f"{type(self).__name__} has no mean")

    @property
    def variance(self) -> Tensor:
        """The expected square of the distance from the mean."""
        raise NotImplementedError(f"{type(self).__name__} has no variance")

    @property
    def stddev(self) -> Tensor:
        """The root of the variance."""
        return self.variance.sqrt()

    def __repr__(self) -> str:
        parameters = {name: self.__dict__.get(name) for name in self.constraints}
        parts = [
            f"{name}: {value.item() if value.numel() == 1 else value.size()}"
            for name, value in parameters.items()
            if value is not None
        ]
        return f"{type(self).__name__}({', '.join(parts)})"


class Normal(Distribution):
    """Normal distributions: ``p(x) = exp(-(x - loc)^2 / (2 scale^2)) / (scale sqrt(2 pi))``.

    Parameters
    ----------
    loc, scale : Tensor or float
        Mean and standard deviation, broadcast to each other.
    validate_args : bool, optional
        False takes the parameters, and the arguments of methods, unchecked.
    """

    constraints: ClassVar[Constraints] = {
        "loc": ("Real()", lambda x: x == x),
        "scale": ("GreaterThan(lower_bound=0.0)", lambda x: x > 0),
    }

    def __init__(self, loc: Tensor | float, scale: Tensor | float, validate_args: bool | None = None) -> None:
        self.loc: Tensor
        self.scale: Tensor
        self.loc, self.scale = _together(loc, scale)
        super().__init__(self.loc.shape)
        self._validate(validate_args)

    @property
    def mean(self) -> Tensor:
        """`loc`."""
        return self.loc

    @property
    def variance(self) -> Tensor:
        """``scale**2``."""
        return self.scale.pow(2)

    @property
    def stddev(self) -> Tensor:
        """`scale`."""
        return self.scale

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws without a gradient."""
        shape = self._extended(sample_shape)
        with no_grad():
            return normal(self.loc.expand(shape), self.scale.expand(shape))

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """``loc + scale * e`` of standard normal e."""
        noise = self.loc.new_empty(self._extended(sample_shape)).normal_()
        return self.loc + noise * self.scale

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the density."""
        value = as_tensor(value)
        self._check(value, "Real()", value.detach().numpy() == value.detach().numpy())
        return -((value - self.loc) ** 2) / (2 * self.scale**2) - self.scale.log() - math.log(math.sqrt(2 * math.pi))

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of what is at most `value`."""
        return 0.5 * (1 + functions.erf((value - self.loc) * self.scale.reciprocal() / math.sqrt(2)))

    def icdf(self, value: Tensor) -> Tensor:
        """What :meth:`cdf` gives `value` for."""
        return self.loc + self.scale * functions.erfinv(2 * value - 1) * math.sqrt(2)

    def entropy(self) -> Tensor:
        """``1/2 + log(2 pi) / 2 + log(scale)``."""
        return 0.5 + 0.5 * math.log(2 * math.pi) + self.scale.log()


class Uniform(Distribution):
    """Uniform distributions in [low, high).

    Parameters
    ----------
    low, high : Tensor or float
        Broadcast to each other.
    validate_args : bool, optional
    """

    constraints: ClassVar[Constraints] = {
        "low": ("Dependent()", lambda x: x == x),
        "high": ("Dependent()", lambda x: x == x),
    }

    def __init__(self, low: Tensor | float, high: Tensor | float, validate_args: bool | None = None) -> None:
        self.low: Tensor
        self.high: Tensor
        self.low, self.high = _together(low, high)
        super().__init__(self.low.shape)
        self._validate(validate_args)
        if self._validate_args and not bool((self.low < self.high).all()):
            raise ValueError("Uniform is not defined when low>= high")

    @property
    def mean(self) -> Tensor:
        """``(low + high) / 2``."""
        return (self.high + self.low) / 2

    @property
    def variance(self) -> Tensor:
        """``(high - low)**2 / 12``."""
        return (self.high - self.low).pow(2) / 12

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """``low + u * (high - low)`` of u in [0, 1)."""
        drawn = rand(self._extended(sample_shape), dtype=self.low.dtype)
        return self.low + drawn * (self.high - self.low)

    def log_prob(self, value: Tensor) -> Tensor:
        """``-log(high - low)`` inside, ``-inf`` outside."""
        value = as_tensor(value)
        inside = self.low.le(value) & self.high.gt(value)
        self._check(value, "Interval()", (self.low.le(value) & self.high.ge(value)).numpy())
        return inside.to(self.low.dtype).log() - (self.high - self.low).log()

    def cdf(self, value: Tensor) -> Tensor:
        """The probability of what is at most `value`."""
        return ((value - self.low) / (self.high - self.low)).clamp(0, 1)

    def entropy(self) -> Tensor:
        """``log(high - low)``."""
        return (self.high - self.low).log()


def _clamped(probs: Tensor) -> Tensor:
    eps = float(np.finfo(probs.dtype).eps)
    return probs.clamp(eps, 1 - eps)


class _OfProbabilities(Distribution):
    """Given by `probs`, or by `logits` of which they are made."""

    def __init__(self, probs: Any, logits: Any) -> None:
        if (probs is None) == (logits is None):
            raise ValueError("Either `probs` or `logits` must be specified, but not both.")
        self._probs: Tensor | None = None
        self._logits: Tensor | None = None


class Bernoulli(_OfProbabilities):
    """1 with probability `probs`, else 0.

    Parameters
    ----------
    probs : Tensor or float, optional
    logits : Tensor or float, optional
        Or ``log(probs / (1 - probs))``.
    validate_args : bool, optional
    """

    constraints: ClassVar[Constraints] = {
        "_probs": ("Interval(lower_bound=0.0, upper_bound=1.0)", lambda x: (x >= 0) & (x <= 1)),
        "_logits": ("Real()", lambda x: x == x),
    }

    def __init__(
        self,
        probs: Tensor | float | None = None,
        logits: Tensor | float | None = None,
        validate_args: bool | None = None,
    ) -> None:
        super().__init__(probs, logits)
        if probs is not None:
            (self._probs,) = _together(probs)
        else:
            (self._logits,) = _together(logits)
        Distribution.__init__(self, (self._probs if self._probs is not None else self.logits).shape)
        self._validate(validate_args)

    @property
    def probs(self) -> Tensor:
        """The probability of 1."""
        if self._probs is None:
            self._probs = self.logits.sigmoid()
        return self._probs

    @property
    def logits(self) -> Tensor:
        """``log(probs / (1 - probs))``, of probabilities kept off 0 and 1."""
        if self._logits is None:
            p = _clamped(self.probs)
            self._logits = p.log() - functions.log1p(-p)
        return self._logits

    @property
    def mean(self) -> Tensor:
        """`probs`."""
        return self.probs

    @property
    def variance(self) -> Tensor:
        """``probs * (1 - probs)``."""
        return self.probs * (1 - self.probs)

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws, 0 or 1 in the dtype of the parameter."""
        with no_grad():
            return bernoulli(self.probs.expand(self._extended(sample_shape)))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability."""
        value = as_tensor(value)
        array = value.detach().numpy()
        self._check(value, "Boolean()", (array == 0) | (array == 1))
        logits, value = functions.broadcast_tensors(self.logits, value)
        return -F.binary_cross_entropy_with_logits(logits, value.to(logits.dtype), reduction="none")

    def entropy(self) -> Tensor:
        """``-p log p - (1 - p) log(1 - p)``."""
        return F.binary_cross_entropy_with_logits(self.logits, self.probs, reduction="none")


class Categorical(_OfProbabilities):
    """0 ... n - 1 with probabilities in proportion to the last dimension of a tensor.

    Parameters
    ----------
    probs : Tensor, shape (..., n), optional
        Need not add up to 1.
    logits : Tensor, shape (..., n), optional
        Or the logarithms of such.
    validate_args : bool, optional
    """

    constraints: ClassVar[Constraints] = {
        "_probs": ("Simplex()", lambda x: (x >= 0) & (np.abs(x.sum(-1, keepdims=True) - 1) < 1e-5)),
        "_logits": ("IndependentConstraint(Real(), 1)", lambda x: x == x),
    }

    def __init__(
        self, probs: Tensor | None = None, logits: Tensor | None = None, validate_args: bool | None = None
    ) -> None:
        super().__init__(probs, logits)
        given = probs if probs is not None else logits
        if not isinstance(given, Tensor) or given.ndim < 1:
            name = "probs" if probs is not None else "logits"
            raise ValueError(f"`{name}` parameter must be at least one-dimensional.")
        if probs is not None:
            self._probs = probs / probs.sum(-1, keepdim=True)
        else:
            self._logits = given - given.logsumexp(-1, keepdim=True)
        Distribution.__init__(self, given.shape[:-1])
        self._number = given.shape[-1]
        self._validate(validate_args)

    @property
    def probs(self) -> Tensor:
        """The probabilities, which add up to 1."""
        if self._probs is None:
            self._probs = functions.softmax(self.logits, -1)
        return self._probs

    @property
    def logits(self) -> Tensor:
        """Their logarithms, of probabilities kept off 0 and 1."""
        if self._logits is None:
            self._logits = _clamped(self.probs).log()
        return self._logits

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws, int64."""
        with no_grad():
            rows = self.probs.reshape(-1, self._number)
            drawn = multinomial(rows, math.prod(sample_shape), True)
        return drawn.T.reshape(self._extended(sample_shape))

    def log_prob(self, value: Tensor) -> Tensor:
        """The logarithm of the probability."""
        value = as_tensor(value)
        array = value.numpy()
        words = f"IntegerInterval(lower_bound=0, upper_bound={self._number - 1})"
        self._check(value, words, (array >= 0) & (array < self._number) & (array == np.rint(array)))
        shape = np.broadcast_shapes(value.shape, self.batch_shape)
        places = value.long().expand(shape).unsqueeze(-1)
        return functions.gather(self.logits.expand(*shape, self._number), -1, places).squeeze(-1)

    def entropy(self) -> Tensor:
        """``-sum(p log p)``."""
        logits = self.logits.clamp(min=float(np.finfo(self.logits.dtype).min))
        return -(logits * self.probs).sum(-1)


class Independent(Distribution):
    """Distributions side by side taken as one, whose draws have so many more dimensions.

    Parameters
    ----------
    base_distribution : Distribution
    reinterpreted_batch_ndims : int
        How many of its last dimensions belong to one draw: log-probabilities and entropies are summed over them.
    """

    def __init__(
        self, base_distribution: Distribution, reinterpreted_batch_ndims: int, validate_args: bool | None = None
    ) -> None:
        n = reinterpreted_batch_ndims
        base = base_distribution
        if n > len(base.batch_shape):
            raise ValueError(
                "Expected reinterpreted_batch_ndims <= len(base_distribution.batch_shape), actual "
                f"{n} vs {len(base.batch_shape)}"
            )
        keep = len(base.batch_shape) - n
        super().__init__(base.batch_shape[:keep], (*base.batch_shape[keep:], *base.event_shape))
        self.base_dist: Distribution = base
        self.reinterpreted_batch_ndims: int = n

    def _sum(self, x: Tensor) -> Tensor:
        n = self.reinterpreted_batch_ndims
        return x.sum(tuple(range(-n, 0))) if n else x

    @property
    def mean(self) -> Tensor:
        """The expected value."""
        return self.base_dist.mean

    @property
    def variance(self) -> Tensor:
        """Of each element by itself."""
        return self.base_dist.variance

    def sample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws without a gradient."""
        return self.base_dist.sample(sample_shape)

    def rsample(self, sample_shape: Sequence[int] = ()) -> Tensor:
        """Draws with the gradient of the parameters."""
        return self.base_dist.rsample(sample_shape)

    def log_prob(self, value: Tensor) -> Tensor:
        """The sum of the logarithms."""
        return self._sum(self.base_dist.log_prob(value))

    def entropy(self) -> Tensor:
        """The sum of the entropies."""
        return self._sum(self.base_dist.entropy())

    def __repr__(self) -> str:
        return f"Independent({self.base_dist!r}, {self.reinterpreted_batch_ndims})"


def _put(x: Tensor, where: Tensor, value: float) -> Tensor:
    return functions.masked_fill(x, wrap(where.detach().numpy()), value)


def _normals(p: Normal, q: Normal) -> Tensor:
    ratio = (p.scale / q.scale).pow(2)
    return 0.5 * (ratio + ((p.loc - q.loc) / q.scale).pow(2) - 1 - ratio.log())


def _uniforms(p: Uniform, q: Uniform) -> Tensor:
    divergence = ((q.high - q.low) / (p.high - p.low)).log()
    return _put(divergence, (q.low > p.low) | (q.high < p.high), math.inf)


def _bernoullis(p: Bernoulli, q: Bernoulli) -> Tensor:
    ones = p.probs * (F.softplus(-q.logits) - F.softplus(-p.logits))
    ones = _put(_put(ones, (q.probs == 0) & (p.probs == p.probs), math.inf), (p.probs == 0) & (q.probs == q.probs), 0)
    zeros = (1 - p.probs) * (F.softplus(q.logits) - F.softplus(p.logits))
    zeros = _put(_put(zeros, (q.probs == 1) & (p.probs == p.probs), math.inf), (p.probs == 1) & (q.probs == q.probs), 0)
    return ones + zeros


def _categoricals(p: Categorical, q: Categorical) -> Tensor:
    t = p.probs * (p.logits - q.logits)
    return _put(_put(t, (q.probs == 0).expand(t.shape), math.inf), (p.probs == 0).expand(t.shape), 0).sum(-1)


_DIVERGENCES: dict[type, Callable[[Any, Any], Tensor]] = {
    Normal: _normals,
    Uniform: _uniforms,
    Bernoulli: _bernoullis,
    Categorical: _categoricals,
}


def kl_divergence(p: Distribution, q: Distribution) -> Tensor:
    """``E_p[log p - log q]``, the Kullback-Leibler divergence of two distributions of one kind.

    Raises
    ------
    NotImplementedError
        For distributions of two kinds.
    """
    if isinstance(p, Independent) and isinstance(q, Independent):
        if p.reinterpreted_batch_ndims == q.reinterpreted_batch_ndims:
            return p._sum(kl_divergence(p.base_dist, q.base_dist))
    elif type(p) is type(q) and type(p) in _DIVERGENCES:
        return _DIVERGENCES[type(p)](p, q)
    raise NotImplementedError(
        f"No KL(p || q) is implemented for p type {type(p).__name__} and q type {type(q).__name__}"
    )
