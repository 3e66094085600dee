"""Samplers: the order in which a loader asks for samples."""

import itertools
import sys
from collections.abc import Iterable, Iterator, Sequence, Sized
from typing import Any, Generic, TypeVar

import numpy as np

from fastconv.creation import randint, randperm
from fastconv.random import Generator, multinomial, random_seed

__all__ = [
    "BatchSampler",
    "RandomSampler",
    "Sampler",
    "SequentialSampler",
    "SubsetRandomSampler",
    "WeightedRandomSampler",
]

T = TypeVar("T", covariant=True)


class Sampler(Generic[T]):
    """Base class of samplers: a subclass defines ``__iter__`` and, where the number is known, ``__len__``."""

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} is a Sampler and must define __iter__")


class SequentialSampler(Sampler[int]):
    """0, 1, 2, ... to the end of `data_source`."""

    def __init__(self, data_source: Sized) -> None:
        self.data_source = data_source

    def __iter__(self) -> Iterator[int]:
        return iter(range(len(self.data_source)))

    def __len__(self) -> int:
        return len(self.data_source)


def _is_count(number: object) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and 0 < number <= sys.maxsize


class RandomSampler(Sampler[int]):
    """Indices of `data_source` in random order, a new one in each pass.

    Parameters
    ----------
    data_source : sized
    replacement : bool
        Draw each index independently, so that some come several times and some never.
    num_samples : int or None
        How many to draw; None draws ``len(data_source)``.
    generator : Generator or None
        Where the order is drawn from; None is the default generator.
    """

    def __init__(
        self,
        data_source: Sized,
        replacement: bool = False,
        num_samples: int | None = None,
        generator: Generator | None = None,
    ) -> None:
        if not isinstance(replacement, bool):
            raise TypeError(f"replacement should be a boolean value, but got replacement={replacement}")
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(f"generator should be a fastconv.Generator or None, but got {type(generator)}")
        self.data_source = data_source
        self.replacement = replacement
        self._num_samples = num_samples
        self.generator = generator
        if not _is_count(self.num_samples):
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={self.num_samples}")

    @property
    def num_samples(self) -> int:
        """How many indices a pass gives."""
        return len(self.data_source) if self._num_samples is None else self._num_samples

    def __iter__(self) -> Iterator[int]:
        generator = self.generator or Generator().manual_seed(random_seed())
        size, number = len(self.data_source), self.num_samples
        if self.replacement:
            for start in range(0, number, 32):
                yield from randint(size, (min(32, number - start),), generator=generator).tolist()
            return
        for _ in range(number // size):
            yield from randperm(size, generator=generator).tolist()
        # Drawn even if nothing of it is used, as in torch, so that a generator of one's own stands at the same place.
        yield from randperm(size, generator=generator)[: number % size].tolist()

    def __len__(self) -> int:
        return self.num_samples


class SubsetRandomSampler(Sampler[int]):
    """The given indices in random order, a new one in each pass.

    Parameters
    ----------
    indices : sequence of int
    generator : Generator or None
        Where the order is drawn from; None is the default generator.
    """

    def __init__(self, indices: Sequence[int], generator: Generator | None = None) -> None:
        self.indices = indices
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        for i in randperm(len(self.indices), generator=self.generator).tolist():
            yield self.indices[i]

    def __len__(self) -> int:
        return len(self.indices)


class WeightedRandomSampler(Sampler[int]):
    """Indices from 0 up to the number of weights, each drawn with a probability in proportion to its weight.

    Parameters
    ----------
    weights : sequence of float, or Tensor (N,)
        They need not sum to 1.
    num_samples : int
        How many to draw in a pass.
    replacement : bool
        Without it, no index is drawn twice.
    generator : Generator or None
        Where the indices are drawn from; None is the default generator.

    Raises
    ------
    ValueError
        If `num_samples` is not positive, or the weights are not one-dimensional.
    """

    weights: Any

    def __init__(
        self,
        weights: Sequence[float],
        num_samples: int,
        replacement: bool = True,
        generator: Generator | None = None,
    ) -> None:
        if not _is_count(num_samples):
            raise ValueError(f"num_samples should be a positive integer value, but got num_samples={num_samples}")
        if not isinstance(replacement, bool):
            raise ValueError(f"replacement should be a boolean value, but got replacement={replacement}")
        self.weights = np.asarray(weights, np.float64)
        if self.weights.ndim != 1:
            raise ValueError(f"weights should be a 1d sequence but given weights have shape {self.weights.shape}")
        self.num_samples = num_samples
        self.replacement = replacement
        self.generator = generator

    def __iter__(self) -> Iterator[int]:
        yield from multinomial(self.weights, self.num_samples, self.replacement, self.generator).tolist()

    def __len__(self) -> int:
        return self.num_samples


class BatchSampler(Sampler[list[int]]):
    """Lists of `batch_size` indices of another sampler.

    Parameters
    ----------
    sampler : iterable of int
    batch_size : int
    drop_last : bool
        Leave out the last list when it is shorter.
    """

    def __init__(self, sampler: Iterable[int], batch_size: int, drop_last: bool) -> None:
        if not _is_count(batch_size):
            raise ValueError(f"batch_size should be a positive integer value, but got batch_size={batch_size}")
        if not isinstance(drop_last, bool):
            raise ValueError(f"drop_last should be a boolean value, but got drop_last={drop_last}")
        self.sampler = sampler
        self.batch_size = batch_size
        self.drop_last = drop_last

    def __iter__(self) -> Iterator[list[int]]:
        indices = iter(self.sampler)
        while batch := list(itertools.islice(indices, self.batch_size)):
            if self.drop_last and len(batch) < self.batch_size:
                return
            yield batch

    def __len__(self) -> int:
        whole, part = divmod(len(self.sampler), self.batch_size)
        return whole + (part > 0 and not self.drop_last)
