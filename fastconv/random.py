"""Random numbers: every draw of the package goes through a :class:`Generator`."""

import os
from typing import Any

import numpy as np

__all__ = ["Generator", "default_generator", "initial_seed", "manual_seed"]


class Generator:
    """A seedable stream of random numbers, torch's ``Generator`` over NumPy's PCG64.

    Parameters
    ----------
    seed : int or None
        Non-negative seed; None takes fresh entropy from the operating system.

    Attributes
    ----------
    numpy : numpy.random.Generator
        The underlying stream; draw from it.
    """

    def __init__(self, seed: int | None = None) -> None:
        self._start(seed)

    def _start(self, seed: int | None) -> None:
        if seed is None:
            seed = int.from_bytes(os.urandom(8), "little")
        try:
            self._seed = int(seed)
        except (TypeError, ValueError, OverflowError):
            raise TypeError(f"a seed must be an integer, got {seed!r}") from None
        self._numpy = None

    @property
    def numpy(self) -> "np.random.Generator":
        if self._numpy is None:  # numpy.random takes longer to import than all of this package
            # Negative seeds are torch's: they wrap around as two's complement.
            self._numpy = np.random.Generator(np.random.PCG64(self._seed % 2**64))
        return self._numpy

    def manual_seed(self, seed: int) -> "Generator":
        """Restart the stream at `seed`; returns self."""
        if seed is None:
            raise TypeError("a seed must be an integer, got None")
        self._start(seed)
        return self

    def seed(self) -> int:
        """Restart the stream at a fresh random seed; returns that seed."""
        self._start(None)
        return self._seed

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._seed

    def get_state(self) -> dict[Any, Any]:
        """The whole state: a dict of strings and integers that JSON can hold."""
        return {"seed": self._seed, "bit_generator": self.numpy.bit_generator.state}

    def set_state(self, state: dict[Any, Any]) -> "Generator":
        """Continue from a state that :meth:`get_state` returned; returns self."""
        self._start(state["seed"])
        self.numpy.bit_generator.state = state["bit_generator"]
        return self


default_generator: Generator = Generator()


def stream_of(generator: Generator | None) -> "np.random.Generator":
    """The stream of a generator, of the default one for None."""
    if generator is not None and not isinstance(generator, Generator):
        raise TypeError(f"generator should be a fastconv.Generator or None, but got {generator!r}")
    return (default_generator if generator is None else generator).numpy


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, from which layers, dropout, loaders and transforms draw; returns it."""
    return default_generator.manual_seed(seed)


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()
