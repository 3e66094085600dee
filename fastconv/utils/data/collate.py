"""From a list of samples to a batch."""

import copy
from collections.abc import Mapping, MutableMapping, Sequence
from typing import Any

import numpy as np

from fastconv._tensor import Tensor
from fastconv.creation import from_numpy
from fastconv.functions import stack
from fastconv.utils.data.dataset import Columns

__all__ = ["default_collate", "default_convert"]


def default_collate(batch: Sequence[Any]) -> Any:
    """Stack samples along a new first dimension.

    Tensors, arrays and numbers become one tensor (float: float64, int: int64, as in torch); strings stay as they are;
    mappings, tuples and lists are collated key by key or place by place, and a tuple becomes a list.

    Parameters
    ----------
    batch : sequence of samples, or Columns
        All of one kind and, where they are tensors or arrays, of one shape.

    Raises
    ------
    RuntimeError
        If shapes or lengths differ within the batch.
    TypeError
        If the samples are of another kind (PIL images, for instance: a transform has to turn them into tensors).
    """
    if isinstance(batch, Columns):
        return [column if isinstance(column, Tensor) else default_collate(column) for column in batch.columns]
    first = batch[0]
    if isinstance(first, Tensor):
        _check_shapes(batch)
        return stack(list(batch), 0)
    if isinstance(first, np.ndarray | np.generic) and first.dtype.kind in "biuf":
        _check_shapes(batch)
        return _tensor(np.stack(batch))
    if isinstance(first, float):
        return from_numpy(np.array(batch, dtype=np.float64))
    if isinstance(first, bool | int):
        return from_numpy(np.array(batch))
    if isinstance(first, str | bytes):
        return batch
    if isinstance(first, Mapping):
        return _like(first, {key: default_collate([sample[key] for sample in batch]) for key in first})
    if isinstance(first, Sequence):
        lengths = {len(sample) for sample in batch}
        if len(lengths) != 1:
            raise RuntimeError(f"each element in list of batch should be of equal size, got sizes {sorted(lengths)}")
        columns = [default_collate(column) for column in zip(*batch, strict=True)]
        return type(first)(*columns) if hasattr(first, "_fields") else columns
    raise TypeError(
        f"default_collate: batch must contain tensors, numpy arrays, numbers, dicts or lists; found {type(first)}"
    )


def default_convert(data: Any) -> Any:
    """Turn the arrays in a single sample into tensors, and leave all else as it is."""
    if isinstance(data, np.ndarray | np.generic) and data.dtype.kind in "biuf":
        return _tensor(np.asarray(data))
    if isinstance(data, Mapping):
        return _like(data, {key: default_convert(value) for key, value in data.items()})
    if isinstance(data, Sequence) and not isinstance(data, str | bytes):
        parts = [default_convert(part) for part in data]
        return type(data)(*parts) if hasattr(data, "_fields") else parts
    return data


def _tensor(array: np.ndarray) -> Tensor:
    """A tensor on `array`, or on a copy in this machine's byte order."""
    return from_numpy(array.astype(array.dtype.newbyteorder("="), copy=False))


def _like(mapping: Mapping[Any, Any], values: dict[Any, Any]) -> Mapping[Any, Any]:
    """`values` in the kind of mapping that the sample came in."""
    if not isinstance(mapping, MutableMapping):
        return type(mapping)(values)
    clone = copy.copy(mapping)
    clone.update(values)
    return clone


def _check_shapes(batch: Sequence[Any]) -> None:
    expected = batch[0].shape
    for i, item in enumerate(batch):
        if item.shape != expected:
            raise RuntimeError(
                f"stack expects each tensor to be equal size, but got {list(expected)} at entry 0 "
                f"and {list(item.shape)} at entry {i}"
            )
