"""The loader: batches of a data set, in this process or from workers."""

import functools
import itertools
import math
import warnings
from collections.abc import Callable, Iterable, Iterator
from typing import Any

from fastconv.random import Generator, random_seed
from fastconv.utils.data.collate import default_collate, default_convert
from fastconv.utils.data.dataset import Dataset, IterableDataset, load_samples
from fastconv.utils.data.sampler import BatchSampler, RandomSampler, SequentialSampler
from fastconv.utils.data.worker_info import ExhaustedError

__all__ = ["DataLoader"]

MOST_WORKERS = 4096  # each is a process


class DataLoader:
    """Batches of a data set, torch's ``DataLoader``.

    A batch is loaded in one step where the data set has ``__getitems__``; the image data sets have it, and run the
    transforms over the whole batch as well.

    Parameters
    ----------
    dataset : Dataset
        Anything with ``__getitem__`` and ``__len__``; or an :class:`IterableDataset`, which each worker iterates over.
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
    pin_memory : bool
        Of torch's interface: it is for GPUs. True warns that there is none, as torch does.
    drop_last : bool
        Leave out the last batch when it is smaller.
    timeout : float
        Seconds to wait for a batch from a worker; 0 waits for ever.
    worker_init_fn : callable, optional
        Called with the worker's number in each worker, once it is seeded and before it loads.
    multiprocessing_context : str, context or None
        How workers start: 'fork', 'spawn', 'forkserver'; None is Python's default on this system.
    generator : Generator or None
        Where the order and the workers' seeds are drawn from; None is the default generator.
    prefetch_factor : int or None
        How many batches each worker has ahead, 2 if None.
    persistent_workers : bool
        Keep the workers from one pass to the next; only one pass can then go on at a time.
    pin_memory_device : str
        Of torch's interface.

    Raises
    ------
    ValueError
        If options contradict each other or are out of range.
    RuntimeError
        While iterating, if a worker process dies, or gives nothing within `timeout`. An error raised by the data set
        in a worker is raised again here, with the worker's traceback as a note.

    Examples
    --------
    >>> from fastconv.utils.data import DataLoader, TensorDataset
    >>> data = TensorDataset(fastconv.arange(10.0).reshape(10, 1), fastconv.arange(10))
    >>> for images, labels in DataLoader(data, batch_size=4):
    ...     print(images.shape, labels)
    torch.Size([4, 1]) tensor([0, 1, 2, 3])
    torch.Size([4, 1]) tensor([4, 5, 6, 7])
    torch.Size([2, 1]) tensor([8, 9])
    """

    _fixed = frozenset({"dataset", "batch_size", "sampler", "batch_sampler", "drop_last"})
    _initialized = False

    def __init__(
        self,
        dataset: Dataset,
        batch_size: int | None = 1,
        shuffle: bool | None = None,
        sampler: Iterable[Any] | None = None,
        batch_sampler: Iterable[list[Any]] | None = None,
        num_workers: int = 0,
        collate_fn: Callable[..., Any] | None = None,
        pin_memory: bool = False,
        drop_last: bool = False,
        timeout: float = 0,
        worker_init_fn: Callable[[int], object] | None = None,
        multiprocessing_context: Any = None,
        generator: Generator | None = None,
        *,
        prefetch_factor: int | None = None,
        persistent_workers: bool = False,
        pin_memory_device: str = "",
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
        if timeout < 0:
            raise ValueError(f"timeout option should be non-negative, got timeout={timeout}")
        if num_workers == 0 and prefetch_factor is not None:
            raise ValueError(
                "prefetch_factor option could only be specified in multiprocessing; let num_workers > 0 to enable "
                f"multiprocessing, otherwise set prefetch_factor to None. Got prefetch_factor={prefetch_factor}"
            )
        if prefetch_factor is not None and (not isinstance(prefetch_factor, int) or prefetch_factor < 1):
            raise ValueError(f"prefetch_factor option should be a positive integer, got {prefetch_factor!r}")
        if persistent_workers and num_workers == 0:
            raise ValueError("persistent_workers option needs num_workers > 0")
        if pin_memory:
            warnings.warn(
                "'pin_memory' argument is set as true but no accelerator is found, "
                "then device pinned memory won't be used.",
                stacklevel=2,
            )
        if isinstance(dataset, IterableDataset):
            for name, given in (("shuffle", shuffle), ("sampler", sampler), ("batch_sampler", batch_sampler)):
                if given:
                    raise ValueError(
                        "DataLoader with IterableDataset: the data set gives its own order, expected unspecified "
                        f"{name} option, but got {name}={given}"
                    )
            sampler = itertools.repeat(None)
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
        self.pin_memory = pin_memory
        self.timeout = timeout
        self.worker_init_fn = worker_init_fn
        self.multiprocessing_context = multiprocessing_context
        self.generator = generator
        self.prefetch_factor: int | None = 2 if num_workers and prefetch_factor is None else prefetch_factor
        self.persistent_workers = persistent_workers
        self.pin_memory_device = pin_memory_device
        self._kept: Any = None  # the workers, with persistent_workers
        self._initialized = True

    def __setattr__(self, name: str, value: Any) -> None:
        if self._initialized and name in self._fixed:
            raise ValueError(f"{name} attribute should not be set after {type(self).__name__} is initialized")
        super().__setattr__(name, value)

    @property
    def _order(self) -> Iterable[Any]:
        return self.sampler if self.batch_sampler is None else self.batch_sampler

    def __iter__(self) -> Iterator[Any]:
        # Drawn with and without workers, so that the order of samples does not depend on their number; workers that
        # stay keep theirs.
        seed = random_seed(self.generator) if self._kept is None else 0
        if isinstance(self.dataset, IterableDataset):
            size = self.batch_size if self.batch_sampler is not None else None
            start = functools.partial(_in_order, self.dataset, self.collate_fn, size, self.drop_last)
            order = itertools.repeat(None)
        else:
            load = load_one if self.batch_sampler is None else load_batch
            start = functools.partial(functools.partial, load, self.dataset, self.collate_fn)
            order = iter(self._order)
            if self.num_workers:  # as torch, whose workers begin now: the sampler draws its order in time
                order = itertools.chain(list(itertools.islice(order, 1)), order)
        if self.num_workers == 0:
            batches = map(start(), order)
            return _until_exhausted(batches) if isinstance(self.dataset, IterableDataset) else batches
        return self._load_in_workers(start, order, seed)

    def _load_in_workers(
        self, start: Callable[[], Callable[..., Any]], order: Iterator[Any], seed: int
    ) -> Iterator[Any]:
        from fastconv.utils.data.worker import Workers

        workers = self._kept
        try:
            if workers is None:
                workers = Workers(
                    start,
                    self.dataset,
                    self.num_workers,
                    seed,
                    self.multiprocessing_context,
                    self.worker_init_fn,
                    self.timeout,
                    self.prefetch_factor,
                )
                self._kept = workers if self.persistent_workers else None
            yield from workers.load(order)
        except GeneratorExit:
            raise
        except BaseException:
            self._kept = None
            raise
        finally:
            if workers is not None and self._kept is not workers:
                workers.stop()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_kept": None}  # processes stay in their process

    def __len__(self) -> int:
        if isinstance(self.dataset, IterableDataset):
            samples = len(self.dataset)
            if self.batch_size is None:
                return samples
            return samples // self.batch_size if self.drop_last else math.ceil(samples / self.batch_size)
        return len(self._order)


def load_batch(dataset: Dataset, collate_fn: Callable[..., Any], indices: list[Any]) -> Any:
    """The batch of the samples at `indices`."""
    if not isinstance(indices, Iterable):
        raise TypeError(f"a batch_sampler gives lists of indices, got {indices!r}")
    return collate_fn(load_samples(dataset, indices))


def load_one(dataset: Dataset, collate_fn: Callable[..., Any], index: Any) -> Any:
    """The sample at `index`, without a batch dimension."""
    return collate_fn(dataset[index])


def _in_order(
    dataset: IterableDataset, collate_fn: Callable[..., Any], batch_size: int | None, drop_last: bool
) -> Callable[..., Any]:
    """The function that gives the next batch of an iterable data set, or sample if `batch_size` is None."""
    samples = iter(dataset)

    def load(_: None) -> Any:
        batch = list(itertools.islice(samples, batch_size or 1))
        if not batch or (drop_last and len(batch) < batch_size):
            raise ExhaustedError
        return collate_fn(batch if batch_size is not None else batch[0])

    return load


def _until_exhausted(batches: Iterator[Any]) -> Iterator[Any]:
    try:
        yield from batches
    except ExhaustedError:
        return
