"""``fastconv train`` in several processes: who they are, their shares, and what they agree on."""

from __future__ import annotations

import contextlib
import os
import tempfile
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

from fastconv.app.launch import NOTE
from fastconv.distributed.launcher import mirror_ranks
from fastconv.random import default_generator
from fastconv.utils.data import BatchSampler, DataLoader, RandomSampler, Subset

__all__ = ["Crew", "join", "note_run", "noted_run"]


def join() -> Crew | None:
    """The processes that MPI's launcher has started for this training; None if this is the only one."""
    if not mirror_ranks() or os.environ["WORLD_SIZE"] == "1":
        return None
    from fastconv import distributed

    distributed.init_process_group()
    return Crew()


def note_run(folder: str) -> None:
    """Tell ``fastconv launch`` which folder this training writes into, should it have to start it again."""
    path = os.environ.get(NOTE)
    if path is not None and os.path.isdir(os.path.dirname(path)):
        with open(path, "w") as file:
            file.write(os.path.abspath(folder))


def noted_run() -> str | None:
    """The folder of the training that ``fastconv launch`` starts again, if it had come to its first checkpoint."""
    path = os.environ.get(NOTE)
    if path is None or not os.path.exists(path):
        return None
    with open(path) as file:
        folder = file.read()
    return folder if os.path.exists(os.path.join(folder, "checkpoint.safetensors")) else None


class Crew:
    """The processes of a training: the first speaks and writes, each takes its share of each batch.

    Attributes
    ----------
    rank, size : int
    chief : bool
        Whether this is the first.
    """

    def __init__(self) -> None:
        from fastconv import distributed

        self._distributed = distributed
        self.rank, self.size = distributed.get_rank(), distributed.get_world_size()
        self.chief = self.rank == 0

    @contextlib.contextmanager
    def backstage(self) -> Iterator[str | None]:
        """While entered, all but the first say nothing on standard output, and write into a folder that goes away."""
        if self.chief:
            yield None
            return
        with (
            tempfile.TemporaryDirectory() as folder,
            open(os.devnull, "w") as nowhere,
            contextlib.redirect_stdout(nowhere),
        ):
            try:
                yield folder
            except KeyboardInterrupt as interrupt:
                interrupt.args = ()  # how to go on from the folder that goes away
                raise

    def told(self, value: Any) -> Any:
        """What the first process gives here."""
        box = [value]
        self._distributed.broadcast_object_list(box, src=0)
        return box[0]

    def copy_of(self, path: str, folder: str | None) -> str:
        """The first process's file, in the others as a copy in their folder; the folder that holds it."""
        content = None
        if self.chief and os.path.isfile(path):
            with open(path, "rb") as file:
                content = np.frombuffer(file.read(), np.uint8)
        content = self.told(content)
        if folder is None:
            return os.path.dirname(path)
        if content is not None:
            with open(os.path.join(folder, os.path.basename(path)), "wb") as file:
                file.write(content.tobytes())
        return folder

    def wrap(self, model: Any) -> Any:
        """The model whose gradients are means over all processes."""
        return self._distributed.DistributedDataParallel(model, broadcast_buffers=False, find_unused_parameters=True)

    def with_batch_norm_over_all(self, model: Any) -> Any:
        """The model with SyncBatchNorm for batch norm; names and files stay the same."""
        return self._distributed.SyncBatchNorm.convert_sync_batchnorm(model)

    def loader(self, images: Any, batch_size: int, drop_last: bool, collate: Any = None) -> DataLoader:
        """Its share of each batch: one image in as many as there are processes."""
        shares = _Shares(self, len(images), batch_size, drop_last)
        return DataLoader(images, batch_sampler=shares, collate_fn=collate)

    def test_loader(self, images: Any) -> DataLoader:
        """Its share of the images to test on."""
        return DataLoader(Subset(images, range(self.rank, len(images), self.size)), batch_size=250)

    def weight(self, loader: DataLoader, batch: int) -> float:
        """What this process's mean counts in the mean over a batch, times the number of processes."""
        sampler: Any = loader.batch_sampler
        images = min(sampler.batch_size, sampler.images - batch * sampler.batch_size)
        return len(range(self.rank, images, self.size)) * self.size / images

    def sums(self, values: Sequence[float]) -> list[float]:
        """The sums of some numbers over all processes, the same in all."""
        from fastconv.creation import tensor
        from fastconv.dtypes import float64

        total = tensor(list(values), dtype=float64)
        self._distributed.all_reduce(total)
        return total.tolist()

    def same_random_numbers(self) -> None:
        """Give all processes the random state of the first."""
        default_generator.set_state(self.told(default_generator.get_state()))

    def own_random_numbers(self) -> None:
        """Give each process but the first random numbers of its own, from those that all have."""
        if self.rank:
            seed = int(np.frombuffer(default_generator.get_state().numpy().tobytes()[:8], np.uint64)[0])
            default_generator.manual_seed((seed + 0x9E3779B97F4A7C15 * self.rank) % 2**63)


class _Shares:
    """A process's share of each batch of images in random order, the order being the same in all processes."""

    def __init__(self, crew: Crew, images: int, batch_size: int, drop_last: bool) -> None:
        self.crew, self.images, self.batch_size = crew, images, batch_size
        self.batches = BatchSampler(RandomSampler(range(images)), batch_size, drop_last)

    def __iter__(self) -> Iterator[list[int]]:
        batches = list(self.batches)
        self.crew.own_random_numbers()
        rank, size = self.crew.rank, self.crew.size
        # Of a last batch with fewer images than processes the rest take one again, which then counts nothing.
        return iter([batch[rank::size] or [batch[rank % len(batch)]] for batch in batches])

    def __len__(self) -> int:
        return len(self.batches)
