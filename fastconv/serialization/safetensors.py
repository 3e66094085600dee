"""Reading of safetensors files, also of elements that NumPy does not know, and of those that are cut into several.

The safetensors package reads bfloat16 and 8-bit floats for torch but not for NumPy, so the format is read here: the
length of the header, the header in JSON, and the elements.
"""

from __future__ import annotations

import json
import math
import os
import struct
from typing import Any, BinaryIO

import numpy as np

from .._native.tape import wrap
from .._tensor import Tensor
from .archive import MAGIC, read_into
from .storage import ELEMENTS, Element

__all__ = ["from_file", "load", "read"]

_NAMES = {
    **{f"{kind}{bits}": f"{word}{bits}" for kind, word in (("I", "int"), ("U", "uint")) for bits in (8, 16, 32, 64)},
    **{"F16": "float16", "F32": "float32", "F64": "float64", "BF16": "bfloat16", "BOOL": "bool"},
    **{"F8_E4M3": "float8_e4m3fn", "F8_E5M2": "float8_e5m2"},
}
_HEADER_LIMIT = 100_000_000  # as the format has it


def load(path: str, mmap: bool = False) -> dict[str, Tensor]:
    """The tensors of a safetensors file, or of all files that an index ``*.safetensors.index.json`` names."""
    if not path.endswith(".json"):
        return {name: wrap(array) for name, array in read(path, mmap)[0].items()}
    try:
        with open(path, encoding="utf-8") as file:
            index = json.load(file)["weight_map"]
        parts = sorted(set(index.values()))
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise RuntimeError(f"{path}: no index of safetensors files: {type(error).__name__}: {error}") from None
    result: dict[str, Tensor] = {}
    for part in parts:
        if not isinstance(part, str) or os.path.basename(part) != part:
            raise RuntimeError(f"{path}: names {part!r:.100}, expected files in its own folder")
        beside = os.path.join(os.path.dirname(path), part)
        if not os.path.isfile(beside):  # nor a pipe, which would be waited for
            raise RuntimeError(f"{path}: names {part!r:.100}, and there is no such file beside it")
        tensors = {name: wrap(array) for name, array in read(beside, mmap)[0].items()}
        missing = [name for name, where in index.items() if where == part and name not in tensors]
        if missing:
            raise RuntimeError(f"{path}: {part} should hold {missing[0]!r}, and does not")
        result.update({name: tensor for name, tensor in tensors.items() if index.get(name) == part})
    return {name: result[name] for name in index}


def read(path: str | os.PathLike[str], mmap: bool = False) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    """The arrays of a file and its metadata.

    Raises
    ------
    RuntimeError
        The file is truncated, corrupt or no safetensors file, or holds elements that tensors cannot have.
    """
    path = os.fspath(path)
    with open(path, "rb") as file:
        return _read(file, path, mmap)


def from_file(file: BinaryIO, name: str) -> dict[str, Tensor]:
    """The tensors of a binary file that begins with this format, by the name that messages call it."""
    return {key: wrap(array) for key, array in _read(file, name, False)[0].items()}


def _read(file: BinaryIO, path: str, mmap: bool) -> tuple[dict[str, np.ndarray], dict[str, str]]:
    size = file.seek(0, os.SEEK_END)
    file.seek(0)

    def fail(problem: str) -> RuntimeError:
        return RuntimeError(f"{path}: truncated, corrupt or no safetensors file ({size} bytes): {problem}")

    head = file.read(8)
    length = struct.unpack("<Q", head)[0] if len(head) == 8 else 0
    if not 2 <= length <= min(size - 8, _HEADER_LIMIT):
        if head.startswith((MAGIC, b"\x80")):
            raise fail("it begins as files of torch.save do, which fastconv.load reads")
        raise fail("it is shorter than its header" if length <= _HEADER_LIMIT else "it has no header")
    try:
        header = json.loads(file.read(length))
        metadata = header.pop("__metadata__", {})
        if not isinstance(metadata, dict):
            raise TypeError("its metadata is no dict")
        entries = {name: _entry(entry) for name, entry in header.items()}
    except NotImplementedError as error:
        raise RuntimeError(f"{path}: {error}") from None
    except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
        raise fail(f"its header cannot be read: {type(error).__name__}: {error}") from None
    body, end = 8 + length, 0
    for name, (element, shape, start, stop) in sorted(entries.items(), key=lambda item: item[1][2:]):
        if start != end or stop - start != math.prod(shape) * element.stored.itemsize:
            raise fail(f"{name!r:.100} of shape {list(shape)} and {element.name} has the bytes {start} to {stop}")
        end = stop
    if end != size - body:
        raise fail(f"its header tells of {end} bytes of elements, it has {size - body}")
    arrays = {}
    whole = np.memmap(file, np.uint8, "c") if mmap and end else None
    for name, (element, shape, start, stop) in entries.items():
        if whole is None:
            raw = np.empty(stop - start, np.uint8)
            file.seek(body + start)
            if read_into(file, raw) != raw.size:
                raise fail("it ends early")
        else:
            raw = np.frombuffer(whole, np.uint8, stop - start, body + start)
        flat = raw.view(element.stored)
        flat = flat if flat.flags.aligned else flat.copy()  # the format asks for no order that aligns elements
        arrays[name] = (flat if element.widen is None else element.widen(flat)).view(element.dtype).reshape(shape)
    return arrays, metadata


def _entry(entry: dict[str, Any]) -> tuple[Element, tuple[int, ...], int, int]:
    if entry["dtype"] not in _NAMES:
        known = ", ".join(_NAMES)
        raise NotImplementedError(f"elements of {entry['dtype']!r:.40} are not supported, those of {known} are")
    numbers = [*entry["shape"], *entry["data_offsets"]]
    if not all(type(n) is int and 0 <= n < 2**62 for n in numbers) or len(entry["data_offsets"]) != 2:
        raise ValueError(f"sizes or offsets {numbers!r:.100}")
    *shape, start, stop = numbers
    return ELEMENTS[_NAMES[entry["dtype"]]], tuple(shape), start, stop
