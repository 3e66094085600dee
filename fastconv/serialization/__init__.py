"""Saving and loading: torch's files, and safetensors.

What does the work lies beside, and is imported when a file is met: `pickler` and `unpickler` for the object, `storage`
for its tensors, `archive`, `legacy` and `safetensors` for the formats.
"""

from __future__ import annotations

import io
import os
import pickle
import sys
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any, BinaryIO

from ..files import replacing

__all__ = ["add_safe_globals", "clear_safe_globals", "get_safe_globals", "load", "safe_globals", "save"]

DEFAULT_PROTOCOL = 2

_UNSAFE = (
    "Weights only load failed. Re-running `fastconv.load` with `weights_only` set to `False` will likely succeed, but "
    "it can result in arbitrary code execution. Do it only if you got the file from a trusted source."
)


def save(
    obj: object,
    f: str | os.PathLike[str] | BinaryIO,
    pickle_module: Any = pickle,
    pickle_protocol: int = DEFAULT_PROTOCOL,
    _use_new_zipfile_serialization: bool = True,
) -> None:
    """Save `obj` in torch's format, which :func:`load` and ``torch.load`` read.

    Parameters
    ----------
    obj : object
        A tensor, a state_dict, or anything that pickle takes; modules are pickled by their class. Tensors that share
        memory share it in the file too, which holds what they use of it.
    f : path or binary file
        A file of this name is replaced when the new one is complete; what is passed opened is written to.
    pickle_module : module
        Of torch's interface; only Python's pickle is supported.
    pickle_protocol : int
        2 is what ``torch.load(weights_only=True)`` reads.

    Raises
    ------
    OSError
        The file cannot be written; what was there before is untouched.
    TypeError
        For tensors of a dtype that torch's files do not have.
    RuntimeError
        If tensors of different dtypes share memory.

    Examples
    --------
    >>> fastconv.save({"weight": fastconv.ones(2)}, "weights.pt")
    >>> fastconv.load("weights.pt")
    {'weight': tensor([1., 1.])}
    """
    if pickle_module is not pickle:
        raise ValueError(f"save() pickles with Python's own pickle, got pickle_module={pickle_module!r}")
    is_path = isinstance(f, str | os.PathLike)
    if not is_path and not hasattr(f, "write"):
        raise AttributeError(
            f"expected 'f' to be string, path, or a file-like object with a 'write' attribute, got {type(f).__name__}"
        )
    from . import archive, legacy
    from .pickler import pickled

    data, storages = pickled(obj, pickle_protocol, legacy=not _use_new_zipfile_serialization)
    with replacing(f) if is_path else nullcontext(f) as file:
        if not _use_new_zipfile_serialization:
            legacy.write(file, data, storages, pickle_protocol)
            return
        records = {"data.pkl": data, "byteorder": sys.byteorder.encode()}
        records |= {f"data/{key}": storage.raw for key, storage in storages.items()}
        archive.write(file, records | {"version": b"3\n"})


def load(
    f: str | os.PathLike[str] | BinaryIO,
    map_location: Any = None,
    pickle_module: Any = None,
    *,
    weights_only: bool | None = None,
    mmap: bool | None = None,
    **pickle_load_args: Any,
) -> Any:
    """Load what :func:`save` or ``torch.save`` wrote, or the tensors of a safetensors file.

    Parameters
    ----------
    f : path or binary file
        Of torch's formats, of any version since 0.4, or of safetensors, by what it begins with; a path that ends in
        ``.safetensors.index.json`` names the files that a large model was cut into.
    map_location : optional
        As in torch: a device or its name, a dict of such names, or a function of a storage and its location. Tensors
        are on the CPU wherever they were saved, so that None does as well; another device is an error.
    pickle_module : module, optional
        Python's pickle; for ``weights_only=False`` alone.
    weights_only : bool, optional
        By default True: only tensors, containers, numbers, strings and what :func:`add_safe_globals` names are loaded,
        and no code of the file is run. False has Python's unpickler load anything, whole modules too: **it runs what
        the file says**, so it is for files that you trust.
    mmap : bool, optional
        Map the file, so that a tensor is read when it is looked at; changes stay in memory. The file must not be
        written to meanwhile. It needs a path, and a file in torch's newer format or in safetensors; by default it is
        done for safetensors.
    **pickle_load_args
        `encoding`, of strings of Python 2; with ``weights_only=False`` whatever ``pickle.Unpickler`` takes.

    Returns
    -------
    object
        What was saved. 8-bit floats, which tensors cannot have, come as float32.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    pickle.UnpicklingError
        The file asks for something that is not allowed, which the message names; or its pickle is damaged.
    RuntimeError
        The file is truncated or corrupt, or is in none of the formats.

    Examples
    --------
    >>> fastconv.save(fastconv.arange(3), "numbers.pt")
    >>> fastconv.load("numbers.pt")
    tensor([0, 1, 2])
    """
    weights_only = True if weights_only is None else bool(weights_only)
    if weights_only and pickle_module is not None:
        raise RuntimeError("Can not safely load weights when explicit pickle_module is specified")
    if pickle_module not in (None, pickle):
        raise ValueError(f"load() unpickles with Python's own pickle, got pickle_module={pickle_module!r}")
    if not isinstance(f, str | os.PathLike):
        if mmap:
            raise ValueError("f must be a file path in order to use the mmap argument")
        file, name = _seekable(f), _name_of(f)
        start = file.tell()
        head = file.read(9)
        file.seek(start)
        if _begins_safetensors(head):
            from . import safetensors

            _device_of(map_location)
            return safetensors.from_file(io.BytesIO(file.read()), name)
        return _load(file, name, map_location, weights_only, False, pickle_load_args)
    path = os.fspath(f)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder, expected a file")
    if os.path.exists(path) and not os.path.isfile(path):
        raise RuntimeError(f"{path}: is no regular file")  # a pipe would be waited for
    if path.endswith(".safetensors.index.json") or _is_safetensors(path):
        from . import safetensors

        _device_of(map_location)
        return safetensors.load(path, True if mmap is None else bool(mmap))
    with open(path, "rb") as file:
        return _load(file, path, map_location, weights_only, bool(mmap), pickle_load_args)


def _is_safetensors(path: str) -> bool:
    """Whether a file's beginning, or else its name, says that it is in this format."""
    from . import archive

    with open(path, "rb") as file:
        head = file.read(9)
    return _begins_safetensors(head) or (path.endswith(".safetensors") and not head.startswith(archive.MAGIC))


def _begins_safetensors(head: bytes) -> bool:
    return head[8:] == b"{" and head[5:8] == b"\0\0\0"  # behind a length


def _load(file: Any, name: str, map_location: Any, weights_only: bool, mmap: bool, options: dict[str, Any]) -> Any:
    from . import archive, legacy
    from .unpickler import UnpicklingError

    start = file.tell()
    head = file.read(len(archive.MAGIC))
    size = file.seek(0, os.SEEK_END)
    file.seek(start)
    if not head:
        raise EOFError(f"{name}: Ran out of input: the file is empty")
    relocate = _relocation(map_location)
    try:
        if head == archive.MAGIC:
            return _load_archive(archive.Archive(file, name), name, relocate, weights_only, mmap, options)
        if mmap:
            raise RuntimeError(
                f"{name}: mmap can only be used with files saved with `torch.save(_use_new_zipfile_serialization=True)`"
            )
        if not head.startswith(b"\x80"):
            text = f"{name}: begins with {head!r}, which is neither a zip archive nor a pickle of torch.save"
            raise RuntimeError(f"{text}; fastconv.onnx.load reads ONNX" if name.endswith(".onnx") else text)
        return legacy.read(file, name, size, lambda load: _unpickler(file, size, weights_only, load, options), relocate)
    except UnpicklingError as error:
        text = f"{name}: {error}"
        raise UnpicklingError(f"{_UNSAFE}\n\n{text}" if "GLOBAL" in text else text) from None


def _load_archive(
    archive: Any, name: str, relocate: Any, weights_only: bool, mmap: bool, options: dict[Any, Any]
) -> Any:
    from .storage import Storage, element_of_storage
    from .unpickler import UnpicklingError

    if "constants.pkl" in archive:
        raise RuntimeError(f"{name}: is a TorchScript archive; fastconv loads what torch.save wrote, a state_dict say")
    order = archive.read("byteorder").tobytes() if "byteorder" in archive else b"little"
    if order not in (b"little", b"big"):
        raise ValueError(f"{name}: Unknown endianness type: {order!r:.40}")
    storages: dict[str, Storage] = {}

    def load_storage(reference: tuple[Any, ...]) -> Storage:
        _, kind, key, location, count = reference
        if type(key) is not str or type(count) is not int:
            raise UnpicklingError("the pickle is damaged (a storage's key or size)")
        if key not in storages:
            element = element_of_storage(kind.name)
            swap = order.decode() != sys.byteorder
            record = f"data/{key}"
            raw = archive.map(record) if mmap and not swap else archive.read(record, later=True)
            if count * element.stored.itemsize != raw.nbytes:
                raise RuntimeError(
                    f"{name}: corrupt: the storage {key} has {raw.nbytes:,} bytes, expected {count} elements"
                )
            storage = Storage(element, raw, str(location))
            storage.filled(swap)
            storages[key] = relocate(storage)
        return storages[key]

    data = archive.read("data.pkl")
    result = _unpickler(io.BytesIO(data), data.size, weights_only, load_storage, options).load()
    archive.verify()
    return result


def _unpickler(file: Any, size: int, weights_only: bool, load_storage: Any, options: dict[str, Any]) -> Any:
    """What reads the next pickle of the file."""
    from . import storage, unpickler

    functions, constants = unpickler.PLAIN_FUNCTIONS | storage.FUNCTIONS, unpickler.PLAIN_CONSTANTS | storage.CONSTANTS
    encoding = options.get("encoding", "utf-8")
    if weights_only:
        return unpickler.Unpickler(file, size, functions, constants, _safe, load_storage, encoding)

    class Trusting(pickle.Unpickler):
        def find_class(self, module: str, name: str) -> Any:
            full = f"{module}.{name}"
            if module.partition(".")[0] == "torch":
                for table in (storage.FUNCTIONS, storage.CONSTANTS):
                    if full in table:
                        return table[full]
            return super().find_class(module, name)

        def persistent_load(self, reference: Any) -> Any:
            if type(reference) is tuple and reference and reference[0] == "module":  # a class, and its source
                return reference[1]
            return load_storage(reference)

    return Trusting(file, **{"encoding": encoding, **options})


# ---------------------------------------------------------------------------------------------------------
# Where tensors go: to the CPU
# ---------------------------------------------------------------------------------------------------------


def _device_of(location: Any) -> None:
    """Refuse what is not the CPU."""
    if location is not None and str(location).partition(":")[0] != "cpu":
        raise RuntimeError(
            f"Attempting to deserialize object on the device {str(location)!r}, but fastconv computes on the CPU: "
            "leave map_location out, or use map_location='cpu'"
        )


def _relocation(map_location: Any) -> Callable[[Any], Any]:
    """What `map_location` says of a storage."""
    from .storage import Storage

    if isinstance(map_location, dict):

        def relocate(storage: Storage) -> Storage:
            if storage.location in map_location:
                _device_of(map_location[storage.location])
            return storage

    elif callable(map_location):

        def relocate(storage: Storage) -> Storage:
            moved = map_location(storage, storage.location)
            if moved is not None and not isinstance(moved, Storage):
                _device_of(moved)
            return storage if not isinstance(moved, Storage) else moved

    else:
        _device_of(map_location)

        def relocate(storage: Storage) -> Storage:
            return storage

    return relocate


def _name_of(file: Any) -> str:
    name = getattr(file, "name", None)
    return name if isinstance(name, str) else f"the {type(file).__name__}"


def _seekable(file: Any) -> Any:
    missing = [name for name in ("read", "seek", "tell", "readline") if not hasattr(file, name)]
    if missing:
        raise AttributeError(
            f"'{type(file).__name__}' object has no attribute '{missing[0]}'. You can only load from a file that is "
            "seekable. Please pre-load the data into a buffer like io.BytesIO and try to load from it instead."
        )
    try:
        file.seek(file.tell())
    except io.UnsupportedOperation as error:
        raise io.UnsupportedOperation(
            f"{error}. You can only load from a file that is seekable. Please pre-load the data into a buffer like "
            "io.BytesIO and try to load from it instead."
        ) from None
    return file


# ---------------------------------------------------------------------------------------------------------
# What the user trusts
# ---------------------------------------------------------------------------------------------------------

_safe: dict[str, Any] = {}


def _by_name(safe_globals: Iterable[Any]) -> dict[str, Any]:
    named = {}
    for item in safe_globals:
        if isinstance(item, tuple):
            if len(item) != 2 or not isinstance(item[1], str):
                raise ValueError(f"expected a function or class, or a tuple of it and its full name, got {item!r}")
            value, name = item
        else:
            value, name = item, f"{getattr(item, '__module__', '')}.{getattr(item, '__qualname__', '')}"
        if not callable(value):
            raise TypeError(f"expected a function or class, got {value!r}")
        named[name] = value
    return named


def add_safe_globals(safe_globals: Iterable[Any]) -> None:
    """Let files that are loaded with ``weights_only=True`` name these functions and classes, and call them.

    Parameters
    ----------
    safe_globals : iterable
        Functions or classes, or tuples of one and the full name by which files call it.
    """
    _safe.update(_by_name(safe_globals))


def get_safe_globals() -> list[Any]:
    """What :func:`add_safe_globals` has added."""
    return list(_safe.values())


def clear_safe_globals() -> None:
    """Trust nothing beside the default any more."""
    _safe.clear()


@contextmanager
def safe_globals(safe_globals: Iterable[Any]) -> Iterator[None]:
    """:func:`add_safe_globals` within a ``with`` block."""
    before = dict(_safe)
    add_safe_globals(safe_globals)
    try:
        yield
    finally:
        _safe.clear()
        _safe.update(before)
