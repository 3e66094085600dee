"""Data sets: anything with ``__getitem__`` and ``__len__``, and ways to join and divide them."""

import bisect
import itertools
import math
import warnings
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, Generic, TypeVar

from fastconv._tensor import Tensor
from fastconv.random import Generator, default_generator, permutation

__all__ = ["ChainDataset", "Columns", "ConcatDataset", "Dataset", "IterableDataset", "Subset", "TensorDataset"]
__all__ += ["random_split"]

T = TypeVar("T", covariant=True)


class Dataset(Generic[T]):
    """Base class of data sets that map an index to a sample.

    A subclass defines ``__getitem__(index)`` and ``__len__()``. It may also define ``__getitems__(indices)``, which
    returns all samples of a batch at once, as a list or as :class:`Columns`; :class:`DataLoader` prefers it.
    """

    def __getitem__(self, index: Any) -> T:
        raise NotImplementedError(f"{type(self).__name__} is a Dataset and must define __getitem__")

    def __add__(self, other: "Dataset[T]") -> "ConcatDataset[T]":
        return ConcatDataset([self, other])


class IterableDataset(Dataset[T]):
    """Base class of data sets that are read in order: a subclass defines ``__iter__()``, and ``__len__()`` if known.

    Each worker of a :class:`DataLoader` iterates over a copy of its own; :func:`get_worker_info` tells it which part
    is its to give.
    """

    def __iter__(self) -> Iterator[T]:
        raise NotImplementedError(f"{type(self).__name__} is an IterableDataset and must define __iter__")

    def __add__(self, other: "IterableDataset[T]") -> "ChainDataset[T]":
        return ChainDataset([self, other])


class ChainDataset(IterableDataset[T]):
    """Iterable data sets one after another.

    Parameters
    ----------
    datasets : iterable of IterableDataset
    """

    def __init__(self, datasets: Iterable[IterableDataset[T]]) -> None:
        self.datasets = datasets

    def __iter__(self) -> Iterator[T]:
        return itertools.chain.from_iterable(self.datasets)

    def __len__(self) -> int:
        return sum(len(dataset) for dataset in self.datasets)


class Columns(Sequence[Any]):
    """A batch of samples held column by column, so that it is collated without being taken apart.

    As a sequence it looks like the list of its samples: ``Columns(images, labels)[3]`` is ``(images[3], labels[3])``.
    :func:`default_collate` turns each column into a tensor as a whole.

    Parameters
    ----------
    *columns : Tensor, ndarray or list
        One for each element of a sample, equally long.
    """

    def __init__(self, *columns: Any) -> None:
        lengths = [len(column) for column in columns]
        if len(set(lengths)) != 1:
            raise ValueError(f"expected one or more columns of equal length, got lengths {lengths}")
        self.columns = columns

    def __len__(self) -> int:
        return len(self.columns[0])

    def __getitem__(self, index: Any) -> Any:
        parts = tuple(column[index] for column in self.columns)
        return Columns(*parts) if isinstance(index, slice) else parts


class TensorDataset(Dataset[tuple[Tensor, ...]]):
    """Tensors of equal first dimension; sample i is ``(t[i] for t in tensors)``.

    Parameters
    ----------
    *tensors : Tensor
        Shapes (N, ...), the same N.

    Raises
    ------
    AssertionError
        If there is no tensor or their first dimensions differ.

    Examples
    --------
    >>> data = fastconv.utils.data.TensorDataset(fastconv.zeros(5, 3), fastconv.arange(5))
    >>> len(data), data[2][1]
    (5, tensor(2))
    """

    def __init__(self, *tensors: Tensor) -> None:
        for tensor in tensors:
            if not isinstance(tensor, Tensor):
                raise TypeError(f"TensorDataset expects Tensors, got {tensor!r} of type {type(tensor).__name__}")
        shapes = [tuple(tensor.shape) for tensor in tensors]
        if not shapes or () in shapes or len({shape[0] for shape in shapes}) != 1:
            raise AssertionError(f"Size mismatch between tensors: expected equal first dimensions, got shapes {shapes}")
        self.tensors = tensors

    def __getitem__(self, index: Any) -> tuple[Tensor, ...]:
        return tuple(tensor[index] for tensor in self.tensors)

    def __getitems__(self, indices: list[int]) -> Sequence[tuple[Tensor, ...]]:
        if type(self).__getitem__ is not TensorDataset.__getitem__:  # a subclass changed what a sample is
            return [self[index] for index in indices]
        return Columns(*(tensor[indices] for tensor in self.tensors))

    def __len__(self) -> int:
        return self.tensors[0].shape[0]


class Subset(Dataset[T]):
    """The samples of `dataset` at `indices`, in that order.

    Parameters
    ----------
    dataset : Dataset
    indices : sequence of int
    """

    def __init__(self, dataset: Dataset[T], indices: Sequence[int]) -> None:
        self.dataset = dataset
        self.indices = indices

    def __getitem__(self, index: Any) -> Any:
        if isinstance(index, list):
            return self.dataset[[self.indices[i] for i in index]]
        return self.dataset[self.indices[index]]

    def __getitems__(self, indices: list[int]) -> Sequence[T]:
        if type(self).__getitem__ is not Subset.__getitem__:  # a subclass changed what a sample is
            return [self[index] for index in indices]
        return load_samples(self.dataset, [self.indices[index] for index in indices])

    def __len__(self) -> int:
        return len(self.indices)


class ConcatDataset(Dataset[T]):
    """Data sets one after another.

    Parameters
    ----------
    datasets : iterable of Dataset
        At least one.

    Attributes
    ----------
    cumulative_sizes : list of int
        Where each of them ends.
    """

    def __init__(self, datasets: Iterable[Dataset[T]]) -> None:
        self.datasets: list[Dataset[T]] = list(datasets)
        if not self.datasets:
            raise AssertionError("datasets should not be an empty iterable")
        for dataset in self.datasets:
            if not hasattr(dataset, "__len__"):
                raise TypeError(f"ConcatDataset expects data sets with a length, got {dataset!r}")
        self.cumulative_sizes: list[int] = list(itertools.accumulate(len(dataset) for dataset in self.datasets))

    def __getitem__(self, index: int) -> T:
        if not -len(self) <= index < len(self):
            raise IndexError(f"index {index} is out of range for a ConcatDataset of {len(self)} samples")
        index %= len(self)
        which = bisect.bisect_right(self.cumulative_sizes, index)
        start = self.cumulative_sizes[which - 1] if which else 0
        return self.datasets[which][index - start]

    def __len__(self) -> int:
        return self.cumulative_sizes[-1]


def load_samples(dataset: Dataset[T], indices: list[int]) -> Sequence[T]:
    """The samples at `indices`, in one step where the data set offers it."""
    load_all = getattr(dataset, "__getitems__", None)
    return load_all(indices) if load_all else [dataset[index] for index in indices]


def random_split(
    dataset: Dataset[T], lengths: Sequence[int | float], generator: Generator | None = default_generator
) -> list[Subset[T]]:
    """Divide a data set at random into non-overlapping parts.

    Parameters
    ----------
    dataset : Dataset
    lengths : sequence of int, or of float that sum to 1
        Sizes of the parts. Fractions are rounded down, and what then remains goes to the parts in turn.
    generator : Generator
        Where the random order is drawn from; None is the default one.

    Returns
    -------
    list of Subset

    Raises
    ------
    ValueError
        If a fraction is outside [0, 1] or the lengths do not sum to ``len(dataset)``.

    Examples
    --------
    >>> from fastconv.utils.data import random_split
    >>> [len(part) for part in random_split(range(10), [0.8, 0.2])]
    [8, 2]
    """
    total = len(dataset)
    if math.isclose(sum(lengths), 1):
        for i, fraction in enumerate(lengths):
            if not 0 <= fraction <= 1:
                raise ValueError(f"Fraction at index {i} is not between 0 and 1: {fraction}")
        lengths = [math.floor(total * fraction) for fraction in lengths]
        for i in range(total - sum(lengths)):
            lengths[i % len(lengths)] += 1
        for i, length in enumerate(lengths):
            if length == 0:
                warnings.warn(
                    f"Length of split at index {i} is 0. This might result in an empty dataset.", stacklevel=2
                )
    if sum(lengths) != total or min(lengths) < 0 or any(length != int(length) for length in lengths):
        raise ValueError(
            "Sum of input lengths does not equal the length of the input dataset! "
            f"Got lengths {list(lengths)} for {total} samples"
        )
    order = permutation(total, generator).tolist()
    ends = itertools.accumulate(lengths)
    return [Subset(dataset, order[end - length : end]) for end, length in zip(ends, lengths, strict=True)]
