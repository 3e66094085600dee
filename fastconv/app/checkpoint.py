"""Weights and whole training states on disk: safetensors files, written atomically, checked when read.

A file is written under a temporary name in its own folder, flushed to the disk and renamed, so that at any moment the
name stands for a complete file: the one before or the new one. Nothing is ever unpickled.
"""

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from fastconv._native.tape import wrap
from fastconv._tensor import Tensor
from fastconv.creation import from_numpy
from fastconv.files import replacing
from fastconv.random import Generator, default_generator
from fastconv.serialization import safetensors

__all__ = ["CheckpointError", "load", "load_training", "read", "save", "save_training"]

# The one metadata entry of a file; several would be written in an arbitrary order, and equal states in unequal bytes.
_ENTRY = "fastconv"


class CheckpointError(RuntimeError):
    """A file that is no complete, unharmed checkpoint; the message names the file and what is wrong with it."""


def save(path: str | os.PathLike[str], state_dict: dict[Any, Any], metadata: Any = None) -> None:
    """Write a ``state_dict`` as a safetensors file, atomically.

    Parameters
    ----------
    path : path
        File to write or to replace; its folder must exist.
    state_dict : dict of str to Tensor or ndarray
        The arrays, by name.
    metadata : optional
        Anything that JSON can hold; kept in the file's header together with a checksum of the whole.

    Raises
    ------
    OSError
        The file cannot be written; what was there before is untouched.
    """
    import json

    try:
        from safetensors import numpy as safetensors_numpy
    except ImportError:
        raise ImportError('checkpoints need safetensors: pip install "fastconv[train]"') from None

    if not isinstance(state_dict, Mapping):
        raise TypeError(f"a state_dict is a mapping of names to arrays, got {state_dict!r}")
    arrays = {}
    for name, value in state_dict.items():
        if not isinstance(name, str):
            raise TypeError(f"a state_dict has strings for names, got {name!r}")
        arrays[name] = _plain_array(value)
        if arrays[name].dtype.kind not in "biuf" or arrays[name].dtype.itemsize > 8:
            raise TypeError(f"a checkpoint holds bools, integers and floats, got {value!r} as {name!r}")
    text = json.dumps({"metadata": metadata, "crc32": _checksum(arrays, metadata)})
    with replacing(path) as file:
        file.write(safetensors_numpy.save(arrays, metadata={_ENTRY: text}))


def load(path: str | os.PathLike[str]) -> dict[str, Tensor]:
    """The state_dict in a safetensors file, for ``model.load_state_dict``.

    Files of other programs are welcome; in those that :func:`save` wrote the checksum is verified too.

    Raises
    ------
    FileNotFoundError
        There is no such file.
    CheckpointError
        The file is truncated, corrupt or no safetensors file.
    """
    return {name: wrap(array) for name, array in read(path)[0].items()}


def read(path: str | os.PathLike[str]) -> tuple[dict[str, np.ndarray], Any]:
    """The arrays and the metadata (None in another program's file) of a safetensors file; errors as in :func:`load`."""
    import json

    path = os.fspath(path)
    if os.path.isdir(path):
        raise IsADirectoryError(f"{path}: is a folder, expected a safetensors file")
    if not os.path.exists(path):
        raise FileNotFoundError(f"{path}: there is no such file")
    if not os.path.isfile(path):  # a pipe would be waited for
        raise CheckpointError(f"{path}: is no regular file, expected a safetensors file")
    try:
        arrays, header = safetensors.read(path)
    except RuntimeError as error:
        raise CheckpointError(str(error)) from error
    if _ENTRY not in header:
        return arrays, None
    try:
        entry = json.loads(header[_ENTRY])
        metadata, expected = entry["metadata"], entry["crc32"]
    except (ValueError, TypeError, KeyError, RecursionError) as error:
        raise CheckpointError(f"{path}: corrupt: the metadata in its header cannot be read: {error}") from error
    found = _checksum(arrays, metadata)
    if found != expected:
        raise CheckpointError(f"{path}: corrupt: its contents have checksum {found}, its header says {expected}")
    return arrays, metadata


def save_training(
    path: str | os.PathLike[str], model, optimizer, scheduler=None, progress: dict[Any, Any] | None = None
) -> None:
    """Write all that a training run needs to go on: weights, optimiser, schedule, random state and `progress`.

    Parameters
    ----------
    path : path
        File to write or to replace.
    model, optimizer, scheduler
        Objects with a ``state_dict()``; `scheduler` may be None.
    progress : dict, optional
        How far the run is: anything that JSON can hold, and tensors.
    """
    arrays = {f"model.{name}": value for name, value in model.state_dict().items()}
    state = {
        "optimizer": _take_arrays(optimizer.state_dict(), "optimizer", arrays),
        "scheduler": None if scheduler is None else _take_arrays(scheduler.state_dict(), "scheduler", arrays),
        "random": _take_arrays(default_generator.get_state(), "random", arrays),
        "progress": _take_arrays(progress, "progress", arrays),
    }
    save(path, arrays, state)


def load_training(path: str | os.PathLike[str], model=None, optimizer=None, scheduler=None) -> dict[Any, Any]:
    """Bring a run's objects, and the default random generator, to the state that :func:`save_training` wrote.

    With `path` alone nothing is changed and only the file is checked.

    Returns
    -------
    dict
        The `progress` that was saved.

    Raises
    ------
    CheckpointError
        As in :func:`load`; or the file holds weights alone; or its state does not fit the objects.
    """
    arrays, state = read(path)
    if not isinstance(state, dict) or state.keys() != {"optimizer", "scheduler", "random", "progress"}:
        raise CheckpointError(f"{os.fspath(path)}: holds arrays but no training state; expected a checkpoint of a run")
    try:
        if model is not None:
            prefix = "model."
            weights = {n.removeprefix(prefix): from_numpy(a) for n, a in arrays.items() if n.startswith(prefix)}
            model.load_state_dict(weights)
        if optimizer is not None:
            optimizer.load_state_dict(_put_arrays(state["optimizer"], arrays))
        if scheduler is not None:
            scheduler.load_state_dict(_put_arrays(state["scheduler"], arrays))
        if model is not None:
            default_generator.set_state(_put_arrays(state["random"], arrays))
    except (RuntimeError, ValueError, TypeError, KeyError, AttributeError) as error:
        raise CheckpointError(f"{os.fspath(path)}: does not fit this model and optimiser: {error}") from error
    return _put_arrays(state["progress"], arrays)


def _plain_array(value: Any) -> np.ndarray:
    """`value` as safetensors wants it: an ndarray, C-contiguous, in native byte order."""
    array = np.asarray(value.detach() if hasattr(value, "detach") else value)
    return array.astype(array.dtype.newbyteorder("="), order="C", copy=False)


def _checksum(arrays: dict[str, np.ndarray], metadata: Any) -> int:
    """CRC-32 of names, dtypes, shapes and contents in the order of the names, and of the metadata."""
    import json
    import zlib

    crc = zlib.crc32(json.dumps(metadata).encode())
    for name in sorted(arrays):
        array = arrays[name]
        crc = zlib.crc32(f"{name} {array.dtype.name} {array.shape}".encode(), crc)
        crc = zlib.crc32(array.reshape(-1).view(np.uint8).data, crc)
    return crc


def _take_arrays(tree: Any, name: str, arrays: dict[Any, Any]) -> Any:
    """`tree` as JSON can hold it, its arrays moved to `arrays` under names that start with `name`.

    JSON knows neither arrays, nor tuples, nor keys that are not strings: each becomes an object with one key ``$...``.
    """
    if isinstance(tree, dict):
        items = [(key, _take_arrays(value, f"{name}.{key}", arrays)) for key, value in tree.items()]
        if all(isinstance(key, str) for key in tree):
            return dict(items)
        return {"$dict": [list(item) for item in items]}
    if isinstance(tree, list | tuple):
        values = [_take_arrays(value, f"{name}.{i}", arrays) for i, value in enumerate(tree)]
        return values if isinstance(tree, list) else {"$tuple": values}
    if isinstance(tree, np.generic):
        return tree.item()
    if hasattr(tree, "__array__"):
        arrays[name] = tree
        return {"$array": name}
    return tree


def _put_arrays(tree: Any, arrays: dict[str, np.ndarray]) -> Any:
    """The inverse of :func:`_take_arrays`, with Tensors for arrays."""
    if isinstance(tree, list):
        return [_put_arrays(value, arrays) for value in tree]
    if not isinstance(tree, dict):
        return tree
    match list(tree):
        case ["$array"]:
            return from_numpy(arrays[tree["$array"]])
        case ["$tuple"]:
            return tuple(_put_arrays(tree["$tuple"], arrays))
        case ["$dict"]:
            return {key: _put_arrays(value, arrays) for key, value in tree["$dict"]}
        case ["seed", "bit_generator"] if "state" in tree["bit_generator"]:
            return _replaced_state(tree["seed"])
    return {key: _put_arrays(value, arrays) for key, value in tree.items()}


def _replaced_state(seed: int) -> Tensor:
    """A state of the generator for one that an earlier release saved, whose generator was NumPy's PCG64."""
    import warnings

    warnings.warn(
        "this checkpoint is of an earlier release, which drew other random numbers: the run goes on with those of its "
        f"seed {seed}, in another order than it would have; what it has learned is unharmed",
        stacklevel=4,
    )
    return Generator().manual_seed(seed % 2**64).get_state()
