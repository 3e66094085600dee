"""The loader: batches of a data set, in this process or from workers."""

import functools
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastconv.random import Generator, default_generator
from fastconv.utils.data.collate import default_collate, default_convert
from fastconv.utils.data.dataset import Dataset, load_samples
from fastconv.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler

__all__ = ["DataLoader"]

MOST_WORKERS = 4096  # each is a process


class DataLoader:
    """Batches of a data set, torch's ``DataLoader``.

    A batch is loaded in one step where the data set has ``__getitems__``; the image data sets have it, and run the
    transforms over the whole batch as well.

    Parameters
    ----------
    dataset : Dataset
        Anything with ``__getitem__`` and ``__len__``.
    batch_size : int or None
        Samples in a batch; None gives the samples one by one, with no batch dimension.
    shuffle : bool or None
        A new random order in each pass.
    sampler : iterable of indices, optional
        The order, in place of `shuffle`.
    batch_sampler : iterable of lists of indices, optional
        The batches, in place of `batch_size`, `shuffle`, `sampler` and `drop_last`.
    num_workers : int
        Processes that load ahead; 0 loads in this process. Each worker runs on one thread and has its own random
        seed, new in every pass. Batches come in the same order whatever the number.
    collate_fn : callable, optional
        Makes a batch of the list of samples; :func:`default_collate` if None.
    drop_last : bool
        Leave out the last batch when it is smaller.
    generator : Generator or None
        Where the order and the workers' seeds are drawn from; None is the default generator.
    multiprocessing_context : str, context or None
        How workers start: 'fork', 'spawn', 'forkserver'; None is Python's default on this system.

    Raises
    ------
    ValueError
        If options contradict each other or are out of range.
    RuntimeError
        While iterating, if a worker process dies. An error raised by the data set in a worker is raised again here,
        with the worker's traceback as a note.
    """

    _fixed = frozenset({"dataset", "batch_size", "sampler", "batch_sampler", "drop_last"})
    _initialized = False

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable | None = None,
        batch_sampler: Iterable[list] | None = None,
        num_workers: int = 0,
        collate_fn: Callable | None = None,
        *,
        drop_last: bool = False,
        generator: Generator | None = None,
        multiprocessing_context: Any = None,
    ) -> None:
        if isinstance(num_workers, bool) or not isinstance(num_workers, int):
            raise TypeError(f"num_workers option should be an integer, got {num_workers!r}")
        if num_workers > MOST_WORKERS:
            raise ValueError(f"num_workers option should be at most {MOST_WORKERS}, got num_workers={num_workers}")
        if num_workers < 0:
            raise ValueError(
                "num_workers option should be non-negative; use num_workers=0 to disable multiprocessing. "
                f"Got num_workers={num_workers}"
            )
        if generator is not None and not isinstance(generator, Generator):
            raise TypeError(f"generator should be a fastconv.Generator or None, but got {type(generator)}")
        if sampler is not None and shuffle:
            raise ValueError("sampler option is mutually exclusive with shuffle")
        if batch_sampler is not None:
            if batch_size != 1 or shuffle or sampler is not None or drop_last:
                raise ValueError(
                    "batch_sampler option is mutually exclusive with batch_size, shuffle, sampler, and drop_last"
                )
            batch_size = None
        elif batch_size is None and drop_last:
            raise ValueError("batch_size=None option disables auto-batching and is mutually exclusive with drop_last")
        if sampler is None:
            sampler = RandomSampler(dataset, generator=generator) if shuffle else SequentialSampler(dataset)
        if batch_size is not None:
            batch_sampler = BatchSampler(sampler, batch_size, drop_last)
        if collate_fn is None:
            collate_fn = default_convert if batch_sampler is None else default_collate
        self.dataset = dataset
        self.batch_size = batch_size
        self.drop_last = drop_last
        self.sampler = sampler
        self.batch_sampler = batch_sampler
        self.num_workers = num_workers
        self.collate_fn = collate_fn
        self.generator = generator
        self.multiprocessing_context = multiprocessing_context
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in self._fixed:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def _order(self) -> Iterable:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        # Drawn with and without workers, so that the order of samples does not depend on their number.
        seed = int((self.generator or default_generator).numpy.integers(2**63))
        load = functools.partial(load_one if self.batch_sampler is None else load_batch, self.dataset, self.collate_fn)
        if self.num_workers == 0:
            return map(load, self._order)
        from fastconv.utils.data.worker import load_in_workers

        return load_in_workers(load, iter(self._order), self.num_workers, seed, self.multiprocessing_context)

    def __len__(self) -> int:
        return len(self._order)


def load_batch(dataset: Dataset, collate_fn: Callable, indices: list) -> Any:
    """The batch of the samples at `indices`."""
    if not isinstance(indices, Iterable):
        raise TypeError(f"a batch_sampler gives lists of indices, got {indices!r}")
    return collate_fn(load_samples(dataset, indices))


def load_one(dataset: Dataset, collate_fn: Callable, index: Any) -> Any:
    """The sample at `index`, without a batch dimension."""
    return collate_fn(dataset[index])
