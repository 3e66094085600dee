"""Memory that processes share: what one writes into a tensor there, the others read.

The memory is a file without a name, mapped by each process. A child that is forked has it as it is; to one that is
spawned, multiprocessing hands the file's descriptor.
"""

from __future__ import annotations

import mmap
import os
import tempfile
from multiprocessing.reduction import DupFd, ForkingPickler
from typing import Any

import numpy as np

from ._tensor import Tensor, address

__all__ = ["is_shared", "share"]


class _SharedMemory(mmap.mmap):
    """A mapped file that remembers its descriptor."""

    descriptor: int

    def __del__(self) -> None:
        os.close(self.descriptor)


def _map(descriptor: int, size: int) -> _SharedMemory:
    memory = _SharedMemory(descriptor, size)
    memory.descriptor = descriptor
    return memory


def _memory_of(array: Any) -> _SharedMemory | None:
    """The shared memory that an array lies in."""
    while array is not None and not isinstance(array, _SharedMemory):
        array = array.obj if isinstance(array, memoryview) else getattr(array, "base", None)
    return array


def is_shared(tensor: Tensor) -> bool:
    """Whether a tensor lies in memory that processes share."""
    return _memory_of(tensor._array) is not None


def share(tensor: Tensor) -> None:
    """Move a tensor into memory that processes share, in place; other tensors that show its memory stay there."""
    old = tensor._array
    if _memory_of(old) is not None:
        return
    with tempfile.TemporaryFile() as file:
        file.truncate(max(old.nbytes, 1))
        memory = _map(os.dup(file.fileno()), max(old.nbytes, 1))
    new = np.frombuffer(memory, old.dtype, old.size).reshape(old.shape)
    new[...] = old
    tensor._array = new
    ForkingPickler.register(type(tensor), _reduce)  # which asks for the type itself


def _reduce(tensor: Tensor) -> tuple:
    """How a tensor goes to another process."""
    memory = _memory_of(tensor._array)
    if memory is None:
        return tensor.__reduce_ex__(2)
    array = tensor._array
    offset = address(array) - address(np.frombuffer(memory, np.uint8))
    where = (array.dtype, array.shape, array.strides, offset)
    return _rebuild, (type(tensor), DupFd(memory.descriptor), len(memory), where, tensor.requires_grad)


def _rebuild(kind: type, descriptor: Any, size: int, where: tuple, requires_grad: bool) -> Tensor:
    dtype, shape, strides, offset = where
    tensor = kind.__new__(kind)
    tensor._array = np.ndarray(shape, dtype, _map(descriptor.detach(), size), offset, strides)
    tensor.requires_grad = requires_grad
    ForkingPickler.register(kind, _reduce)
    return tensor


ForkingPickler.register(Tensor, _reduce)
