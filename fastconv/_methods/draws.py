"""Random numbers, in place and as tensors."""

from __future__ import annotations

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import random
from .._native import tape
from .._native.tape import TensorBase, wrap
from ..checks import LARGEST, int64_number, integer, number
from ..random import Generator

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["Draws"]


class Draws:
    """What generators fill a tensor with."""

    __slots__ = ()

    def _draw(self, fill: Callable[..., Any], *arguments) -> Tensor:
        """Fill the elements by a function of :mod:`fastconv.random`."""
        if tape.check_writable(self):
            drawn = random.like(self._array)
            fill(drawn, *arguments)
            return self._overwrite(wrap(drawn))
        fill(self._array, *arguments)
        tape.mark_written(self)
        return self

    def uniform_(self, a: _float = 0, b: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers, uniform in [a, b), in place."""
        return self._draw(random.fill_uniform, float(number(a, "a")), float(number(b, "b")), generator)

    def normal_(self, mean: _float = 0, std: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers from the normal distribution, in place."""
        return self._draw(random.fill_normal, float(number(mean, "mean")), float(number(std, "std")), generator)

    def bernoulli_(self, p: _float | Tensor = 0.5, *, generator: Generator | None = None) -> Tensor:
        """Set each element to 1 with probability `p`, which may differ between elements, and else to 0, in place."""
        p = p._array if isinstance(p, TensorBase) else float(number(p, "p"))
        return self._draw(random.fill_bernoulli, p, generator)

    def random_(self, *bounds: _int | None, generator: Generator | None = None) -> Tensor:
        """Fill with random integers, in place.

        Parameters
        ----------
        *bounds : int
            ``to``, or ``from`` and ``to``: from the first, or 0, up to but not including the last. None as `to` is the
            end of what the dtype holds, as are no bounds at all; of a floating dtype the end of its integers.
        generator : Generator or None
        """
        if len(bounds) > 2:
            raise TypeError(f"random_() takes random_(), random_(to) or random_(from, to), got {bounds}")
        if not bounds:
            return self._draw(random.fill_any_integers, generator)
        low, high = (0, *bounds) if len(bounds) == 1 else bounds
        high = None if high is None else int64_number(high, "to")
        return self._draw(random.fill_integers, int64_number(low, "from"), high, generator)

    def exponential_(self, lambd: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers from the exponential distribution of this rate, in place."""
        return self._draw(random.fill_exponential, float(number(lambd, "lambd")), generator)

    def cauchy_(self, median: _float = 0, sigma: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers from the Cauchy distribution, in place."""
        return self._draw(random.fill_cauchy, float(number(median, "median")), float(number(sigma, "sigma")), generator)

    def log_normal_(self, mean: _float = 1, std: _float = 2, *, generator: Generator | None = None) -> Tensor:
        """Fill with exp of random numbers from the normal distribution of this mean and deviation, in place."""
        return self._draw(random.fill_log_normal, float(number(mean, "mean")), float(number(std, "std")), generator)

    def geometric_(self, p: _float, *, generator: Generator | None = None) -> Tensor:
        """Fill with how many trials of probability `p` the first success takes, in place."""
        return self._draw(random.fill_geometric, float(number(p, "p")), generator)

    def bernoulli(self, p: _float | None = None, *, generator: Generator | None = None) -> Tensor:
        """See :func:`fastconv.bernoulli`."""
        drawn = wrap(np.empty(self.shape, self.dtype))
        return drawn.bernoulli_(self.detach() if p is None else p, generator=generator)

    def multinomial(
        self, num_samples: _int, replacement: _bool = False, *, generator: Generator | None = None
    ) -> Tensor:
        """See :func:`fastconv.multinomial`."""
        number_drawn = integer(num_samples, "num_samples", -LARGEST)
        return wrap(random.multinomial(self._array, number_drawn, replacement, generator))
