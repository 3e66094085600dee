"""What loading knows of itself: which worker it is in, and that there is no more to give."""

from dataclasses import dataclass
from typing import Any

__all__ = ["ExhaustedError", "WorkerInfo", "get_worker_info"]


class ExhaustedError(Exception):
    """What loading raises when an iterable data set has no more to give."""


@dataclass(frozen=True)
class WorkerInfo:
    """What :func:`get_worker_info` tells a worker process of itself.

    Attributes
    ----------
    id : int
    num_workers : int
    seed : int
        That the worker's generators were seeded with.
    dataset : Dataset
        The worker's own copy.
    """

    id: int
    num_workers: int
    seed: int
    dataset: Any


current: WorkerInfo | None = None  # set in each worker when it begins


def get_worker_info() -> WorkerInfo | None:
    """In a worker process of a DataLoader, its number and what else there is to know; elsewhere None."""
    return current
