"""Pickles in which tensors bear torch's names, so that torch reads them; nothing of torch is needed."""

from __future__ import annotations

import io
import pickle
from collections import OrderedDict
from functools import cache
from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor, address, owner_of
from ..dtypes import device, dtype
from ..nn.parameter import Parameter
from .storage import Element, element_of

__all__ = ["SavedStorage", "pickled"]


class SavedStorage(NamedTuple):
    """A storage that a file is to hold: its elements and their bytes."""

    element: Element
    raw: np.ndarray


def pickled(obj: Any, protocol: int, legacy: bool = False) -> tuple[bytes, dict[str, SavedStorage]]:
    """The pickle of `obj`, and by their keys the storages to which it refers.

    Tensors that share memory share a storage, which goes from the first to the last element that one of them uses.
    """
    pickler = _Pickler(io.BytesIO(), protocol, legacy)
    data = pickler.dumps(obj)
    used = [memory.used for memory in pickler.memories]
    if used != [memory.saved for memory in pickler.memories]:  # some tensors are parts of memory that no other shows
        pickler = _Pickler(io.BytesIO(), protocol, legacy, used)
        data = pickler.dumps(obj)
    return data, {memory.key: SavedStorage(memory.element, memory.raw()) for memory in pickler.memories}


class _Name:
    """A function or class of torch's, which a pickle names; it need not exist here."""

    def __init__(self, module: str, name: str) -> None:
        self.text = f"{module}\n{name}\n"

    def __call__(self):
        raise TypeError(f"{self.text!r} is only a name")  # pickle asks that what it reduces to can be called


_name = cache(_Name)  # the same object each time: pickle remembers by identity what it has written


class _Memory:
    """Memory that tensors share: the array that owns it, the bytes that they use and those that are saved."""

    def __init__(self, owner: np.ndarray, element: Element, key: str, saved: tuple[int, int] | None) -> None:
        self.owner, self.element, self.key = owner, element, key
        self.used = (0, 0)
        self.saved = (0, owner.nbytes) if saved is None else saved

    def use(self, start: int, end: int) -> None:
        if end > start:
            self.used = (min(self.used[0], start), max(self.used[1], end)) if self.used[1] else (start, end)

    def raw(self) -> np.ndarray:
        order = sorted(range(self.owner.ndim), key=lambda dim: -self.owner.strides[dim])
        return self.owner.transpose(order).reshape(-1).view(np.uint8)[slice(*self.saved)]


class _Reference(NamedTuple):
    """Stands where a pickle refers to a storage."""

    memory: _Memory


class _Pickler(pickle._Pickler):
    """Python's pickler, the one written in Python: that one can be told to write names of what does not exist here.

    Parameters
    ----------
    saved : list of (int, int), optional
        Of each memory, in the order in which they are met, the bytes that are to be saved; all by default.
    """

    def __init__(
        self, file: io.BytesIO, protocol: int, legacy: bool, saved: list[tuple[int, int]] | None = None
    ) -> None:
        super().__init__(file, protocol)
        self._file, self._legacy, self._saved = file, legacy, saved
        self._in_numpy = False
        self._by_owner: dict[int, _Memory] = {}
        self.memories: list[_Memory] = []

    def dumps(self, obj: Any) -> bytes:
        self.dump(obj)
        return self._file.getvalue()

    def save(self, obj, save_persistent_id=True):
        if isinstance(obj, np.dtype | dtype) and not self._in_numpy:
            obj = _name("torch", element_of(obj).name)
        if type(obj) is _Name:
            if id(obj) in self.memo:
                self.write(self.get(self.memo[id(obj)][0]))
            else:
                self.write(pickle.GLOBAL + obj.text.encode())
                self.memoize(obj)
        elif isinstance(obj, np.ndarray | np.generic):
            before, self._in_numpy = self._in_numpy, True  # in their pickles dtypes are NumPy's
            super().save(obj, save_persistent_id)
            self._in_numpy = before
        else:
            super().save(obj, save_persistent_id)

    def persistent_id(self, obj):
        if type(obj) is not _Reference:
            return None
        memory = obj.memory
        typed, size = memory.element.storage, memory.saved[1] - memory.saved[0]
        kind = _name("torch", typed) if typed else _name("torch.storage", "UntypedStorage")
        reference = ("storage", kind, memory.key, "cpu", size // memory.element.stored.itemsize if typed else size)
        return (*reference, None) if self._legacy else reference

    def reducer_override(self, obj):
        if isinstance(obj, device):
            return _name("torch", "device"), ("cpu",)
        if not isinstance(obj, Tensor):
            return NotImplemented
        kind, state = type(obj), getattr(obj, "__dict__", None)
        if kind is Parameter:
            arguments = (obj.detach(), obj.requires_grad, OrderedDict())  # of hooks
            if state:
                return _name("torch._utils", "_rebuild_parameter_with_state"), (*arguments, state)
            return _name("torch._utils", "_rebuild_parameter"), arguments
        function, arguments = self._rebuild(obj)
        if kind is Tensor:
            return function, arguments
        return _name("torch._tensor", "_rebuild_from_type_v2"), (function, kind, arguments, state)

    def _rebuild(self, tensor: Tensor) -> tuple[_Name, tuple[Any, ...]]:
        """The function of torch's that makes the tensor again, and its arguments."""
        array = tensor._array
        element = element_of(array.dtype)
        owner = owner_of(array)
        if owner is None:
            owner = array = np.array(array, array.dtype.newbyteorder("="), order="K")
        step, start = array.itemsize, address(array) - address(owner)
        memory = self._by_owner.get(id(owner))
        if memory is None:
            saved = None if self._saved is None else self._saved[len(self.memories)]
            memory = self._by_owner[id(owner)] = _Memory(owner, element, str(len(self.memories)), saved)
            self.memories.append(memory)
        elif memory.element is not element:
            raise RuntimeError(
                "Cannot save multiple tensors or storages that view the same data as different types: "
                f"{memory.element.name} and {element.name}"
            )
        if array.size:
            memory.use(start, start + sum((n - 1) * s for n, s in zip(array.shape, array.strides, strict=True)) + step)
            offset = (start - memory.saved[0]) // step
        else:
            offset = 0
        strides = tuple(s // step for s in array.strides)
        arguments = (_Reference(memory), offset, array.shape, strides, tensor.requires_grad, OrderedDict())
        if element.storage is None:
            return _name("torch._utils", "_rebuild_tensor_v3"), (*arguments, _name("torch", element.name))
        return _name("torch._utils", "_rebuild_tensor_v2"), arguments
