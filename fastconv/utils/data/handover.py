"""How a worker's batches reach the process that asked for them: pickled, their large arrays by way of shared memory.

Through a pipe a batch would be copied five times, in pieces, each copy into fresh pages. Here the worker copies the
bytes of its large arrays once, into a place of a file without a name that both processes map, and the parent once out
of it, so that what it hands on is memory of its own, which it recycles. Places are used in turns: a worker is never
more than a fixed number of batches ahead of the parent, so the oldest place has been read when it is written again.
"""

from __future__ import annotations

import contextlib
import io
import mmap
import os
import pickle
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

from fastconv._native.memory import empty

__all__ = ["Handover"]

LEAST_BYTES = 1 << 16  # of an array that is worth a place of its own
ALIGNMENT = 64


class Handover:
    """The way from one worker to its parent; each of them has its copy of this object.

    Parameters
    ----------
    places : int
        How many messages may be packed before the oldest of them is unpacked.
    descriptor : int or None
        Of the file, which is closed with this object; None makes one. Where the system has no files in memory (it is
        not Linux), or no memory for them, everything is pickled.
    """

    def __init__(self, places: int, descriptor: int | None = None) -> None:
        self._descriptor = descriptor
        if descriptor is None and hasattr(os, "memfd_create"):
            with contextlib.suppress(OSError):  # of sandboxes that forbid it
                self._descriptor = os.memfd_create("fastconv-batches")
        self._places = places
        self._start = 0  # of the first place
        self._room = 0  # bytes in a place
        self._turn = 0
        self._bytes = np.empty(0, np.uint8)  # the file, as far as it is mapped

    def __del__(self) -> None:
        if self._descriptor is not None:
            os.close(self._descriptor)

    def __reduce__(self) -> tuple[Any, ...]:  # to a worker that is not forked
        if self._descriptor is None:
            return Handover, (self._places,)
        from multiprocessing.reduction import DupFd

        return _received, (self._places, DupFd(self._descriptor))

    def pack(self, message: Any) -> bytes:
        """What to send for `message`; for the worker."""
        arrays: list[memoryview] = []

        def is_small(buffer: pickle.PickleBuffer) -> bool:  # as pickle asks: True leaves it among the rest
            raw = buffer.raw()
            if raw.nbytes < LEAST_BYTES:
                return True
            arrays.append(raw)
            return False

        body = io.BytesIO()
        if self._descriptor is not None:
            ForkingPickler(body, 5, True, is_small).dump(message)
            if not arrays or self._make_room(sum(_rounded(raw.nbytes) for raw in arrays)):
                return pickle.dumps((self._put(arrays), body.getbuffer().tobytes()), 5)
            body = io.BytesIO()
        ForkingPickler(body, 5).dump(message)
        return pickle.dumps(([], body.getbuffer().tobytes()), 5)

    def unpack(self, packed: bytes) -> Any:
        """The message, in memory of its own; for the parent."""
        places, body = pickle.loads(packed)
        copies = []
        for start, size in places:
            copy = empty((size,), np.dtype(np.uint8))
            copy[:] = self._mapped(start + size)[start : start + size]
            copies.append(copy)
        return pickle.loads(body, buffers=copies)

    def _make_room(self, size: int) -> bool:
        """Make places large enough, behind those that may not have been read yet; False if there is no memory."""
        if size > self._room:
            start, room = self._start + self._places * self._room, max(size, 2 * self._room)
            try:
                os.posix_fallocate(self._descriptor, start, self._places * room)
            except OSError:
                return False
            self._start, self._room = start, room
        return True

    def _put(self, arrays: list[memoryview]) -> list[tuple[int, int]]:
        """Copy arrays into the place whose turn it is; where they lie."""
        start = self._start + self._turn % self._places * self._room
        self._turn += 1
        found = []
        for raw in arrays:
            self._mapped(start + raw.nbytes)[start : start + raw.nbytes] = np.frombuffer(raw, np.uint8)
            found.append((start, raw.nbytes))
            start += _rounded(raw.nbytes)
        return found

    def _mapped(self, size: int) -> np.ndarray:
        """The file, of which `size` bytes at least are mapped."""
        if size > self._bytes.size:
            self._bytes = np.frombuffer(mmap.mmap(self._descriptor, 0), np.uint8)
        return self._bytes


def _received(places: int, descriptor: Any) -> Handover:
    return Handover(places, descriptor.detach())


def _rounded(size: int) -> int:
    return -(-size // ALIGNMENT) * ALIGNMENT
