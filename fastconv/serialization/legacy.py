"""torch's format before version 1.6: four pickles and the object's, one after the other, then the storages."""

from __future__ import annotations

import pickle
import struct
import sys
from collections.abc import Callable
from typing import Any, BinaryIO

import numpy as np

from .archive import read_into
from .pickler import SavedStorage
from .storage import Storage, element_of_storage
from .unpickler import UnpicklingError

__all__ = ["read", "write"]

MAGIC_NUMBER = 0x1950A86A20F9469CFC6C
PROTOCOL_VERSION = 1001
_COUNT = struct.Struct("<q")


def write(file: BinaryIO, data: bytes, storages: dict[str, SavedStorage], protocol: int) -> None:
    """Write what :func:`pickled` returned for an object."""
    system = {
        "protocol_version": PROTOCOL_VERSION,
        "little_endian": sys.byteorder == "little",
        "type_sizes": {"short": 2, "int": 4, "long": 4},
    }
    for head in (MAGIC_NUMBER, PROTOCOL_VERSION, system):
        pickle.dump(head, file, protocol)
    file.write(data)
    pickle.dump(list(storages), file, protocol)
    for storage in storages.values():
        step = storage.element.stored.itemsize if storage.element.storage else 1
        file.write(_COUNT.pack(storage.raw.nbytes // step))
        file.write(storage.raw)


def read(
    file: BinaryIO, name: str, size: int, unpickler: Callable[..., Any], relocate: Callable[[Storage], Storage]
) -> Any:
    """The object in a file, which stands at the magic number.

    Parameters
    ----------
    size : int
        Bytes of the file.
    unpickler : callable
        ``unpickler(load_storage)`` is an object with ``load()`` that reads the next pickle of the file.
    """
    storages: dict[str, Storage] = {}
    claimed = 0

    def load_storage(reference: tuple[Any, ...]) -> Storage:
        nonlocal claimed
        _, kind, key, location, count, *view = reference
        if type(key) is not str or type(count) is not int or count < 0:
            raise UnpicklingError("the pickle is damaged (a storage's key or size)")
        if key not in storages:
            element = element_of_storage(kind.name)
            claimed += count * element.stored.itemsize
            if claimed > size:
                raise UnpicklingError(f"the storages claim {claimed:,} bytes, the file has {size:,}")
            raw = np.zeros(count * element.stored.itemsize, np.uint8)
            storages[key] = relocate(Storage(element, raw, str(location)))
        storage = storages[key]
        if view and view[0] is not None:  # as torch wrote storages that are parts of others, before version 0.4
            _, offset, part = view[0]
            step = storage.element.stored.itemsize
            return Storage(storage.element, storage.raw[offset * step : (offset + part) * step], storage.location)
        return storage

    for expected, what in ((MAGIC_NUMBER, "magic number"), (PROTOCOL_VERSION, "protocol version")):
        found = unpickler(None).load()
        if found != expected:
            raise RuntimeError(f"{name}: Invalid {what}: {found!r:.60}; corrupt file, or none of torch.save's?")
    system = unpickler(None).load()
    swap = (system.get("little_endian", True) if type(system) is dict else True) != (sys.byteorder == "little")
    result = unpickler(load_storage).load()
    keys = unpickler(None).load()
    if type(keys) is not list or set(keys) - set(storages):
        raise RuntimeError(f"{name}: corrupt: its list of storages is not what the object refers to")
    for key in keys:
        storage = storages[key]
        head = file.read(_COUNT.size)
        if len(head) < _COUNT.size:
            raise RuntimeError(f"{name}: truncated before its storage {key}")
        (count,) = _COUNT.unpack(head)
        if count * storage.element.stored.itemsize != storage.raw.nbytes:
            raise RuntimeError(
                f"{name}: corrupt: its storage {key} has {count} elements, of which the pickle knows not"
            )
        if read_into(file, storage.raw) != storage.raw.nbytes:
            raise RuntimeError(f"{name}: truncated in its storage {key}")
        storage.filled(swap)
    return result
