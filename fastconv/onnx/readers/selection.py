"""Parts of tensors: by slices, by indices, by masks."""

from __future__ import annotations

import math

import numpy as np

from ... import functions
from ..._tensor import Tensor
from ...creation import from_numpy
from ..nodes import Node, integers, reads
from .dtypes import dtype_of

__all__ = []


@reads("Slice", settings=(1, 2, 3, 4))
def _slice(
    node: Node,
    x: Tensor,
    starts: Tensor | None = None,
    ends: Tensor | None = None,
    axes: Tensor | None = None,
    steps: Tensor | None = None,
) -> Tensor:
    first = node.get("starts") if starts is None else integers(starts)
    last = node.get("ends") if ends is None else integers(ends)
    dims = node.get("axes") if axes is None else integers(axes)
    dims = list(range(len(first))) if dims is None else list(dims)
    by = [1] * len(first) if steps is None else integers(steps)
    index = [slice(None)] * x.ndim
    for d, a, b, step in zip(dims, first, last, by, strict=True):
        n = x.shape[d]
        if step < 0:
            places = np.arange(*slice(a, b, step).indices(n))
            x = functions.index_select(x, d, from_numpy(places.astype(np.int64)))
        else:
            start, stop, step = slice(a, b, step).indices(n)
            index[d] = slice(start, max(stop, start), step)
    return x[tuple(index)]


def _positive(indices: Tensor, length: int) -> np.ndarray:
    """Indices counted from the front; IndexError for those that are none."""
    array = indices._array.astype(np.int64)
    if ((array < -length) | (array >= length)).any():
        raise IndexError(f"an index is outside of {length} elements: from {array.min()} to {array.max()}")
    return np.where(array < 0, array + length, array)


@reads("Gather", settings=(1,))
def _gather(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0) % x.ndim
    places = _positive(indices, x.shape[axis])
    if not places.ndim:
        return functions.select(x, axis, int(places))
    rows = functions.index_select(x, axis, from_numpy(places.reshape(-1)))
    return rows.reshape(*x.shape[:axis], *places.shape, *x.shape[axis + 1 :])


@reads("GatherElements", settings=(1,))
def _gather_elements(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    axis = node.get("axis", 0)
    return functions.gather(x, axis, from_numpy(_positive(indices, x.shape[axis])))


def _columns(indices: Tensor, lengths) -> tuple[Tensor, ...]:
    """The index of each dimension, of those that the last dimension of `indices` lists."""
    return tuple(from_numpy(_positive(indices[..., i], n)) for i, n in enumerate(lengths))


@reads("GatherND", settings=(1,))
def _gather_nd(node: Node, x: Tensor, indices: Tensor) -> Tensor:
    batch, depth = node.get("batch_dims", 0), indices.shape[-1]
    if batch + depth > x.ndim or indices.shape[:batch] != x.shape[:batch]:
        raise ValueError(f"the indices do not fit with batch_dims={batch}")
    if not batch:
        return x[_columns(indices, x.shape[:depth])]
    rows = math.prod(x.shape[:batch])
    columns = _columns(indices.reshape(rows, -1, depth), x.shape[batch : batch + depth])
    own = from_numpy(np.broadcast_to(np.arange(rows)[:, None], columns[0].shape).copy())
    y = x.reshape(rows, *x.shape[batch:])[(own, *columns)]
    return y.reshape(*indices.shape[:-1], *x.shape[batch + depth :])


_REDUCTIONS = {"add": np.add, "mul": np.multiply, "max": np.maximum, "min": np.minimum}


def _reduced(x: Tensor, at: tuple, updates: Tensor, reduction: str) -> Tensor:
    """Updates taken together with what is there, for every index in turn."""
    if reduction not in _REDUCTIONS:
        raise ValueError(f"the reduction {reduction!r} is unknown")
    y = x._array.copy()
    _REDUCTIONS[reduction].at(y, at, updates._array)
    return from_numpy(y)


@reads("ScatterElements", "Scatter", settings=(1,))
def _scatter_elements(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    axis, reduction = node.get("axis", 0) % x.ndim, node.get("reduction", "none")
    places = _positive(indices, x.shape[axis])
    if reduction == "none":
        return functions.scatter(x, axis, from_numpy(places), updates)
    if reduction == "add":
        return functions.scatter_add(x, axis, from_numpy(places), updates)
    at = list(np.indices(places.shape, sparse=True))
    at[axis] = places
    return _reduced(x, tuple(at), updates, reduction)


@reads("ScatterND", settings=(1,))
def _scatter_nd(node: Node, x: Tensor, indices: Tensor, updates: Tensor) -> Tensor:
    reduction = node.get("reduction", "none")
    at = _columns(indices, x.shape[: indices.shape[-1]])
    if reduction == "none":
        y = x.clone()
        y[at] = updates
        return y
    return _reduced(x, tuple(t._array for t in at), updates, reduction)


@reads("OneHot", settings=(1, 2))
def _one_hot(node: Node, indices: Tensor, depth: Tensor, values: Tensor) -> Tensor:
    count, (off, on) = int(depth.item()), values._array
    places = indices._array.astype(np.int64)
    axis = node.get("axis", -1)
    axis = axis + places.ndim + 1 if axis < 0 else axis
    valid = (places >= -count) & (places < count)
    row = np.arange(count).reshape([-1 if d == axis else 1 for d in range(places.ndim + 1)])
    chosen = np.expand_dims(np.where(valid, places % max(count, 1), -1), axis) == row
    return from_numpy(np.where(chosen, on, off).astype(values.dtype))


@reads("NonZero")
def _non_zero(node: Node, x: Tensor) -> Tensor:
    return from_numpy(np.array(np.nonzero(np.atleast_1d(x._array)), np.int64))


@reads("Compress", settings=(1,))
def _compress(node: Node, x: Tensor, condition: Tensor) -> Tensor:
    axis = node.get("axis")
    x, axis = (x.reshape(-1), 0) if axis is None else (x, axis)
    places = np.flatnonzero(condition._array[: x.shape[axis]])
    return functions.index_select(x, axis, from_numpy(places.astype(np.int64)))


@reads("ReverseSequence", settings=(1,))
def _reverse_sequence(node: Node, x: Tensor, lengths: Tensor) -> Tensor:
    time, batch = node.get("time_axis", 0), node.get("batch_axis", 1)
    n = x.shape[time]
    counts = lengths._array.reshape(-1, 1)
    steps = np.arange(n)[None]
    places = np.where(steps < counts, counts - 1 - steps, steps)  # (batch, time)
    shape = [1] * x.ndim
    shape[batch], shape[time] = places.shape
    places = (places if batch < time else places.T).reshape(shape)
    return functions.gather(x, time, from_numpy(np.broadcast_to(places, tuple(x.shape)).copy()))


@reads("Unique")
def _unique(node: Node, x: Tensor) -> tuple[Tensor, ...]:
    axis = node.get("axis")
    values, first, inverse, counts = np.unique(x._array, True, True, True, axis=axis)
    if not node.get("sorted", 1):
        order = np.argsort(first, kind="stable")
        values = np.take(values, order, 0 if axis is None else axis)
        back = np.argsort(order, kind="stable")
        first, inverse, counts = first[order], back[inverse], counts[order]
    return tuple(from_numpy(np.asarray(a)) for a in (values, first, inverse.reshape(-1), counts))


@reads("Bernoulli")
def _bernoulli(node: Node, x: Tensor) -> Tensor:
    y = x.bernoulli()
    return y if node.get("dtype") is None else y.to(dtype_of(node.get("dtype")))
