"""Sums whose order does not hang on the number of processes.

Under ``DistributedDataParallel(deterministic=True)`` a batch of all processes is cut into shards, of which each process
has as many: image i is in shard i modulo their number. As samplers deal images out to processes one by one, the shards
of a process are its images modulo the number of its shards. What is summed over all images is first summed over each
shard, and then over shards by a tree: shard s and shard s + half of them, until one is left. The first levels are
within a process, the last between processes, whatever their number.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from contextvars import ContextVar
from typing import Any

import numpy as np

from .collectives import wait_for
from .groups import ProcessGroup

__all__ = ["gathered", "inside_a_shard", "parts_of", "shards_here", "sharded", "tree"]

_shards: ContextVar[int | None] = ContextVar("shards", default=None)
_inside: ContextVar[bool] = ContextVar("inside_a_shard", default=False)


def shards_here() -> int | None:
    """How many shards the images of this process are, None outside a deterministic forward pass."""
    return _shards.get()


def inside_a_shard() -> bool:
    """Whether one shard is computed by itself."""
    return _inside.get()


@contextlib.contextmanager
def sharded(count: int | None) -> Iterator[None]:
    """While entered, images come in so many shards."""
    token = _shards.set(count)
    try:
        yield
    finally:
        _shards.reset(token)


@contextlib.contextmanager
def one_shard() -> Iterator[None]:
    """While entered, images are those of one shard."""
    token = _inside.set(True)
    try:
        yield
    finally:
        _inside.reset(token)


def parts_of(array: np.ndarray, count: int | None) -> list[np.ndarray]:
    """The shards of an array's images, each dense; the array itself outside a deterministic forward pass."""
    return [array] if count is None else [np.ascontiguousarray(array[i::count]) for i in range(count)]


def tree(parts: Sequence[Any], add: Callable[[Any, Any], Any] = np.add) -> Any:
    """The sum of some parts, by halves: part i and part i + half of them. A part that is left over comes last."""
    parts = list(parts)
    while len(parts) > 1:
        half = len(parts) // 2
        parts = [add(a, b) for a, b in zip(parts[:half], parts[half:], strict=False)] + parts[2 * half :]
    return parts[0]


def gathered(array: np.ndarray, group: ProcessGroup, what: str) -> list[np.ndarray]:
    """The arrays of all processes of a group."""
    array = np.ascontiguousarray(array)
    found = np.empty((group.size(), *array.shape), array.dtype)
    wait_for(group.comm.Iallgather(array, found), what, group)
    return list(found)
