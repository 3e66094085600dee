"""The sampler of a training that is divided among processes."""

import math
from collections.abc import Iterator, Sized

from fastconv.checks import integer
from fastconv.creation import randperm
from fastconv.random import Generator
from fastconv.utils.data.sampler import Sampler

__all__ = ["DistributedSampler"]


class DistributedSampler(Sampler[int]):
    """The part of a data set's indices that one of several processes loads: every so manieth.

    Parameters
    ----------
    dataset : sized
    num_replicas, rank : int, optional
        How many processes there are, and which of them this is; default those of the default process group.
    shuffle : bool
        Draw an order from `seed` and the number that :meth:`set_epoch` set, the same in all processes.
    seed : int
    drop_last : bool
        Leave out the last indices that do not suffice for all processes; else some come twice.

    Raises
    ------
    ValueError
        If there is no such rank, or `num_replicas` or `rank` is left out and there is no process group.
    """

    def __init__(
        self,
        dataset: Sized,
        num_replicas: int | None = None,
        rank: int | None = None,
        shuffle: bool = True,
        seed: int = 0,
        drop_last: bool = False,
    ) -> None:
        if num_replicas is None or rank is None:
            from fastconv import distributed

            num_replicas = distributed.get_world_size() if num_replicas is None else num_replicas
            rank = distributed.get_rank() if rank is None else rank
        if not 0 <= integer(rank, "rank", -1) < integer(num_replicas, "num_replicas", 1):
            raise ValueError(f"Invalid rank {rank}, rank should be in the interval [0, {num_replicas - 1}]")
        self.dataset = dataset
        self.num_replicas = num_replicas
        self.rank = rank
        self.shuffle = shuffle
        self.seed = seed
        self.drop_last = drop_last
        self.epoch = 0
        share = len(dataset) / num_replicas
        self.num_samples: int = math.floor(share) if drop_last else math.ceil(share)
        self.total_size: int = self.num_samples * num_replicas

    def set_epoch(self, epoch: int) -> None:
        """Draw another order for each `epoch`."""
        self.epoch: int = epoch

    def __iter__(self) -> Iterator[int]:
        indices = list(range(len(self.dataset)))
        if self.shuffle:
            generator = Generator().manual_seed(self.seed + self.epoch)
            indices = randperm(len(indices), generator=generator).tolist()
        if not self.drop_last and indices:
            indices *= math.ceil(self.total_size / len(indices))
        return iter(indices[self.rank : self.total_size : self.num_replicas])

    def __len__(self) -> int:
        return self.num_samples
