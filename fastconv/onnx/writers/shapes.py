"""Tensors in another shape or order, parts of them, joined, padded, and reduced along dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import functions
from ..._tensor import Tensor
from ...dtypes import bool_
from ...functions.indexing import getitem, split_index
from ...nn import functional as F
from ..graph import Dim, Graph, Value, lengths_of, spread, values_of, writes

__all__ = []


# Shapes


def _given(numbers: Sequence[Any]) -> list[Any]:
    """Numbers that were given one by one, or in a sequence."""
    return list(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], (list, tuple)) else list(numbers)


@writes(functions.reshape, functions.view)
def _reshape(g: Graph, input: Value, shape: Sequence[int]) -> str:
    return g.reshape(input, _given(shape))


@writes(functions.flatten)
def _flatten(g: Graph, input: Value, start_dim: int, end_dim: int) -> str:
    if input.ndim and start_dim % input.ndim == 1 and end_dim % input.ndim == input.ndim - 1:
        return g.op("Flatten", input, axis=1)
    return g.reshape(input, g.result.shape)


@writes(functions.squeeze)
def _squeeze(g: Graph, input: Value, dim: Any) -> str:
    asked = range(input.ndim) if dim is None else dim if isinstance(dim, (list, tuple)) else (dim,)
    axes = sorted({d % max(input.ndim, 1) for d in asked if input.ndim and input.shape[d] == 1})
    return g.squeeze(input, axes) if axes else g.op("Identity", input)


@writes(functions.unsqueeze)
def _unsqueeze(g: Graph, input: Value, dim: int) -> str:
    return g.unsqueeze(input, [dim])


@writes(functions.permute)
def _permute(g: Graph, input: Value, dims: Sequence[int]) -> str:
    return g.perm(input, [d % input.ndim for d in _given(dims)])


@writes(functions.transpose)
def _transpose(g: Graph, input: Value, dim0: int, dim1: int) -> str:
    dims = list(range(input.ndim))
    if dims:
        dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return g.perm(input, dims)


@writes(functions.expand)
def _expand(g: Graph, input: Value, **_: Any) -> str:
    return g.op("Expand", input, g.integers(g.result.shape))


@writes(functions.repeat)
def _repeat(g: Graph, input: Value, repeats: Any) -> str:
    counts = _given(repeats)
    x = g.unsqueeze(input, list(range(len(counts) - input.ndim))) if len(counts) > input.ndim else input
    return g.op("Tile", x, g.integers(counts))


# The same elements


def _same(g: Graph, **arguments: Any) -> str:
    return g.name(next(iter(arguments.values())))


for function in (Tensor.clone, Tensor.contiguous, Tensor.detach):
    writes(function)(_same)


@writes(Tensor._overwrite)
def _overwrite(g: Graph, self: Value, value: Any) -> str:
    new = g.cast(value, self.dtype) if isinstance(value, Value) else g.constant(value, self.dtype)
    return g.op("Expand", new, g.integers(self.shape))


# Parts


def _bounds(item: slice) -> tuple[Any, Any, int]:
    """Start, end and step of a slice of a dimension, as Slice takes them: counted from the end where they are."""
    start = 0 if item.start is None else item.start
    end = np.iinfo(np.int64).max if item.stop is None else item.stop
    return start, end, 1 if item.step is None else int(item.step)


@writes(getitem)
def _getitem(g: Graph, x: Value, index: Any) -> str:
    items = [_as_array(item) for item in (index if isinstance(index, tuple) else [index])]
    if any(isinstance(item, bool) for item in items):
        raise RuntimeError("an index that is a bool has no operator")
    used = sum(_width(item) for item in items)
    if not any(item is Ellipsis for item in items):
        items.append(Ellipsis)
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    items[at : at + 1] = [slice(None)] * (x.ndim - used)
    # Slices, then whole numbers, then new dimensions, and then index tensors.
    y: Any = x
    sliced, numbers = [], []
    dim = 0
    for item in items:
        if isinstance(item, slice) and item != slice(None):
            sliced.append((dim, *_bounds(item)))
        elif isinstance(item, int):
            numbers.append((dim, item))
        dim += _width(item)
    if sliced:
        axes, starts, ends, steps = (list(column) for column in zip(*sliced, strict=True))
        y = g.op("Slice", y, g.integers(starts), g.integers(ends), g.constant(axes, np.int64), g.integers(steps))
    for dim, n in reversed(numbers):
        y = g.op("Gather", y, g.integers(n), axis=dim)
    kept = [item for item in items if not isinstance(item, int)]
    new = [place for place, item in enumerate(_spread(kept)) if item is None]
    if new:
        y = g.unsqueeze(y, new)
    chosen = [(place, item) for place, item in enumerate(_spread(kept)) if isinstance(item, (Value, np.ndarray))]
    if not chosen:
        return g.op("Identity", y) if y is x else y
    return _chosen(g, y, chosen, len(_spread(kept)))


def _as_array(item: Any) -> Any:
    """An index, of a list its array."""
    if isinstance(item, (list, tuple)):
        if any(True for _ in values_of(item)):
            raise RuntimeError("an index that is a list of tensors has no operator")
        return np.asarray(item, None if len(item) else np.int64)
    return item


def _spread(items: list[Any]) -> list[Any]:
    """An item for each dimension: masks take several."""
    return [part for item in items for part in (item, *[Ellipsis] * (max(_width(item), 1) - 1))]


def _width(item: Any) -> int:
    """How many dimensions an index uses up."""
    if item is None or item is Ellipsis:
        return 0
    return item.ndim if isinstance(item, (Value, np.ndarray)) and item.dtype.kind == "b" else 1


def _index(g: Graph, item: Any) -> str:
    return g.cast(item, np.dtype(np.int64)) if isinstance(item, Value) else g.constant(item, np.int64)


def _chosen(g: Graph, y: Any, chosen: list[tuple[int, Any]], ndim: int) -> str:
    """Elements by index tensors, or by one mask, at these dimensions of a tensor of so many."""
    masks = [item for _, item in chosen if item.dtype.kind == "b"]
    if masks and len(chosen) > 1:
        raise RuntimeError(f"{g.function} with a mask beside other index tensors has no operator")
    if not masks and len(chosen) == 1:
        place, item = chosen[0]
        return g.op("Gather", y, _index(g, item), axis=place)
    if masks:
        first, width, rank = chosen[0][0], masks[0].ndim, 1
        dims = list(range(first, first + width))
        index = g.op("Transpose", g.op("NonZero", masks[0]), perm=[1, 0])
    else:
        dims = [place for place, _ in chosen]
        shape = np.broadcast_shapes(*[tuple(int(n) for n in item.shape) for _, item in chosen])
        if any(isinstance(n, Dim) for _, item in chosen for n in item.shape):
            raise RuntimeError(f"{g.function} with several index tensors of dynamic lengths has no operator")
        rank, size = len(shape), g.integers([int(n) for n in shape])
        columns = [g.unsqueeze(g.op("Expand", _index(g, item), size), [rank]) for _, item in chosen]
        index = g.op("Concat", *columns, axis=-1)
    others = [d for d in range(ndim) if d not in dims]
    y = g.op("GatherND", g.perm(y, [*dims, *others]) if dims != list(range(len(dims))) else y, index)
    # What was chosen stands in the place of dimensions that were neighbours, and else in front.
    before = dims[0] if dims == list(range(dims[0], dims[-1] + 1)) else 0
    order = [*range(rank, rank + before), *range(rank), *range(rank + before, rank + len(others))]
    return g.perm(y, order)


@writes(Tensor.__setitem__)
def _setitem(g: Graph, self: Value, index: Any, value: Any) -> str:
    """The flattened tensor with elements put at places that are known now."""
    if any(isinstance(n, Dim) for n in self.shape) or any(True for _ in values_of(index)):
        raise RuntimeError(f"{g.function} has an operator for fixed lengths and indices alone")
    view, chosen = split_index(index, tuple(self.shape))
    places = np.arange(math.prod(self.shape)).reshape(self.shape)[view]
    places = places if chosen is None else places[chosen]
    new = g.cast(value, self.dtype) if isinstance(value, (Value, np.ndarray)) else g.constant(value, self.dtype)
    if isinstance(value, Value) and value.ndim > places.ndim:
        new = g.op("Reshape", new, g.constant(places.shape, np.int64))
    updates = g.op("Reshape", g.op("Expand", new, g.constant(places.shape, np.int64)), g.constant([-1], np.int64))
    flat = g.op("Reshape", self, g.constant([-1], np.int64))
    y = g.op("ScatterElements", flat, g.constant(places.reshape(-1), np.int64), updates, axis=0)
    return g.op("Reshape", y, g.constant([int(n) for n in self.shape], np.int64))


@writes(functions.gather, functions.take_along_dim)
def _gather(g: Graph, input: Value, dim: int | None, **more: Any) -> str:
    index = more.get("index", more.get("indices"))
    if dim is None or index.ndim != input.ndim:
        raise RuntimeError(f"{g.function} without a dimension has no operator")
    return g.op("GatherElements", input, g.cast(index, np.dtype(np.int64)), axis=dim)


@writes(functions.index_select)
def _index_select(g: Graph, input: Value, dim: int, index: Value) -> str:
    return g.op("Gather", input, index, axis=dim)


@writes(F.embedding)
def _embedding(g: Graph, input: Value, weight: Value, **_: Any) -> str:
    return g.op("Gather", weight, input, axis=0)


@writes(functions.scatter, functions.scatter_add)
def _scatter(g: Graph, input: Value, dim: int, index: Value, src: Any = None, value: Any = None, **more: Any) -> str:
    source = src if src is not None else value
    if not isinstance(source, Value):
        source = g.op("Expand", g.constant(source, input.dtype), g.integers(index.shape))
    elif source.shape != index.shape:
        raise RuntimeError(f"{g.function} of a source of another shape than the index has no operator")
    reduce = {"add": "add", "multiply": "mul"}.get(more.get("reduce") or "")
    if g.function.endswith("scatter_add"):
        reduce = "add"
    if reduce and g.opset < 16:
        raise RuntimeError(f"{g.function} has an operator since opset 16")
    return g.op("ScatterElements", input, index, source, axis=dim, reduction=reduce)


@writes(functions.flip)
def _flip(g: Graph, input: Value, axes: Any, dims: Any) -> str:
    axes = _given(axes if dims is None else (dims,))
    least = np.iinfo(np.int64).min
    return g.op(
        "Slice",
        input,
        g.integers([-1] * len(axes)),
        g.integers([least] * len(axes)),
        g.integers(axes),
        g.integers([-1] * len(axes)),
    )


def _kept_triangle(upper: int) -> Callable[..., str]:
    def write(g: Graph, input: Value, diagonal: int) -> str:
        return g.op("Trilu", input, g.constant(diagonal, np.int64), upper=upper)

    return write


writes(functions.tril)(_kept_triangle(0))
writes(functions.triu)(_kept_triangle(1))


# Joined and padded


@writes(functions.cat)
def _cat(g: Graph, tensors: Sequence[Value], dim: int) -> str:
    parts = [t for t in tensors if t.shape != (0,)]
    return g.op("Concat", *[g.cast(t, g.result.dtype) for t in parts], axis=dim)


@writes(functions.stack)
def _stack(g: Graph, tensors: Sequence[Value], dim: int) -> str:
    dim %= g.result.ndim
    return g.op("Concat", *[g.unsqueeze(g.cast(t, g.result.dtype), [dim]) for t in tensors], axis=dim)


@writes(F.pad)
def _pad(g: Graph, input: Value, pad: Sequence[int], mode: str, value: float | None) -> str:
    kind = {"constant": "constant", "reflect": "reflect", "replicate": "edge", "circular": "wrap"}[mode]
    if kind == "wrap":
        return _wrapped(g, input, pad)
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    before = [0] * (input.ndim - len(pairs)) + [a for a, _ in reversed(pairs)]
    after = [0] * (input.ndim - len(pairs)) + [b for _, b in reversed(pairs)]
    fill = g.constant(value, input.dtype) if value else None
    return g.op("Pad", input, g.integers(before + after), fill, mode=kind)


def _wrapped(g: Graph, input: Value, pad: Sequence[int]) -> str:
    """Padding by the other end: parts of each dimension joined to it, since ``Pad`` has it only from opset 19 on."""
    y = g.name(input)
    for back, (before, after) in enumerate(zip(pad[::2], pad[1::2], strict=True)):
        axis, length = input.ndim - 1 - back, input.shape[input.ndim - 1 - back]
        parts = [_slice(g, y, axis, length - before, length)] if before > 0 else []
        parts.append(_slice(g, y, axis, max(-before, 0), length - max(-after, 0)) if min(before, after) < 0 else y)
        if after > 0:
            parts.append(_slice(g, y, axis, 0, after))
        y = parts[0] if len(parts) == 1 else g.op("Concat", *parts, axis=axis)
    return y


def _slice(g: Graph, x: Any, axis: int, start: int, end: int) -> str:
    return g.op("Slice", x, g.integers([start]), g.integers([end]), g.integers([axis]))


@writes(functions.roll)
def _roll(g: Graph, input: Value, shifts: Any, dims: Any) -> str:
    y: Any = g.name(input)
    if dims is None:
        y = g.op("Reshape", input, g.constant([-1], np.int64))
    axes = [0] if dims is None else spread(dims, 1)
    lengths = [math.prod(input.shape)] if dims is None else [input.shape[d] for d in axes]
    for axis, shift, length in zip(axes, spread(shifts, 1), lengths, strict=True):
        if isinstance(length, Dim):
            raise RuntimeError(f"{g.function} of a dynamic length has no operator")
        at = -shift % length if length else 0
        if at:
            y = g.op("Concat", _slice(g, y, axis, at, length), _slice(g, y, axis, 0, at), axis=axis)
    return g.op("Reshape", y, g.integers(input.shape)) if dims is None else g.op("Identity", y)


# By indices that are known now


def _picked(g: Graph, x: Any, axis: int, index: Any) -> str:
    return g.op("Gather", x, g.constant(index, np.int64), axis=axis)


@writes(functions.repeat_interleave)
def _repeat_interleave(g: Graph, input: Value, repeats: Any, dim: int | None) -> str:
    x, axis = (g.op("Reshape", input, g.constant([-1], np.int64)), 0) if dim is None else (g.name(input), dim)
    counts = repeats.array if isinstance(repeats, Value) else np.asarray(repeats)
    length = math.prod(input.shape) if dim is None else input.shape[dim]
    if counts is None or isinstance(length, Dim):
        raise RuntimeError(f"{g.function} has an operator for fixed lengths and numbers alone")
    return _picked(g, x, axis, np.repeat(np.arange(length), counts.reshape(-1)))


@writes(functions.unfold_dimension)
def _unfold_dimension(g: Graph, input: Value, dim: int, size: int, step: int) -> str:
    dim %= max(input.ndim, 1)
    if isinstance(g.result.shape[dim], Dim):
        raise RuntimeError(f"{g.function} of a dynamic length has no operator")
    starts = np.arange(g.result.shape[dim]) * step
    y = _picked(g, input, dim, starts[:, None] + np.arange(size))
    order = list(range(input.ndim + 1))
    order.append(order.pop(dim + 1))
    return g.perm(y, order)


@writes(functions.diagonal)
def _diagonal(g: Graph, input: Value, offset: int, dim1: int, dim2: int) -> str:
    dims = [dim1 % input.ndim, dim2 % input.ndim]
    n, m = (input.shape[d] for d in dims)
    if isinstance(n, Dim) or isinstance(m, Dim):
        raise RuntimeError(f"{g.function} of dynamic lengths has no operator")
    rest = [d for d in range(input.ndim) if d not in dims]
    flat = g.op("Reshape", g.perm(input, [*rest, *dims]), g.integers([*(input.shape[d] for d in rest), n * m]))
    return _picked(g, flat, len(rest), np.arange(n * m).reshape(n, m).diagonal(offset))


@writes(functions.take)
def _take(g: Graph, input: Value, index: Value) -> str:
    return g.op("Gather", g.op("Reshape", input, g.constant([-1], np.int64)), index, axis=0)


@writes(functions.masked_select)
def _masked_select(g: Graph, input: Value, mask: Value) -> str:
    if tuple(map(lengths_of, input.shape)) != tuple(map(lengths_of, mask.shape)):
        raise RuntimeError(f"{g.function} has an operator for a mask of the input's shape")
    flat = [g.op("Reshape", x, g.constant([-1], np.int64)) for x in (input, mask)]
    return g.op("Compress", *flat, axis=0)


def _rows(g: Graph, input: Value, dim: int, index: Value, source: Any) -> tuple[str, str]:
    """Where whole slices along a dimension go, as ScatterElements takes it, and these slices."""
    dim %= max(input.ndim, 1)
    shape = [*input.shape[:dim], index.shape[0] if index.ndim else 1, *input.shape[dim + 1 :]]
    places = g.op("Reshape", index, g.constant([-1 if d == dim else 1 for d in range(input.ndim)], np.int64))
    size = g.integers(shape)
    return g.op("Expand", places, size), g.op("Expand", source, size)


@writes(functions.index_add, functions.index_copy, functions.index_fill)
def _index_put(g: Graph, input: Value, dim: int, index: Value, source: Any = None, **more: Any) -> str:
    new = source if source is not None else more["value"]
    new = g.cast(new, input.dtype) if isinstance(new, Value) else g.constant(new, input.dtype)
    if more.get("alpha", 1) != 1:
        new = g.op("Mul", new, g.constant(more["alpha"], input.dtype))
    adds = g.function == "index_add"
    if adds and g.opset < 16:
        raise RuntimeError(f"{g.function} has an operator since opset 16")
    places, rows = _rows(g, input, dim, index, new)
    return g.op("ScatterElements", input, places, rows, axis=dim, reduction="add" if adds else None)


# Reduced


def _dims(input: Value, dim: Any) -> list[int] | None:
    if dim is None or dim in ((), []):
        return None
    return [d % max(input.ndim, 1) for d in (dim if isinstance(dim, (list, tuple)) else (dim,))]


def _reduced(kind: str) -> Callable[..., str]:
    def write(g: Graph, input: Value, dim: Any, keepdim: bool, **_: Any) -> str:
        if not input.ndim:
            return g.cast(input, g.result.dtype)
        return g.reduce(kind, g.cast(input, g.result.dtype), _dims(input, dim), keepdim)

    return write


writes(functions.sum)(_reduced("ReduceSum"))
writes(functions.mean)(_reduced("ReduceMean"))
writes(functions.prod)(_reduced("ReduceProd"))
writes(functions.amax)(_reduced("ReduceMax"))
writes(functions.amin)(_reduced("ReduceMin"))


@writes(functions.logsumexp)
def _logsumexp(g: Graph, input: Value, dim: Any, keepdim: bool) -> str:
    return g.reduce("ReduceLogSumExp", input, _dims(input, dim), keepdim)


def _variance(g: Graph, input: Value, dim: Any, unbiased: bool, keepdim: bool, correction: float | None) -> str:
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = int(unbiased) if correction is None else correction
    dims = _dims(input, dim)
    centred = g.op("Sub", input, g.reduce("ReduceMean", input, dims, True))
    mean = g.reduce("ReduceMean", g.op("Mul", centred, centred), dims, keepdim)
    if not correction:
        return mean
    n = 1
    for d in range(input.ndim) if dims is None else dims:
        n = n * input.shape[d]
    if isinstance(n, Dim):
        raise RuntimeError(f"{g.function} over a dynamic axis has no operator; export it with fixed lengths")
    with np.errstate(divide="ignore"):
        return g.op("Mul", mean, g.constant(np.float64(n) / max(n - correction, 0), input.dtype))


@writes(functions.var)
def _var(g: Graph, **arguments: Any) -> str:
    return _variance(g, **arguments)


@writes(functions.std)
def _std(g: Graph, **arguments: Any) -> str:
    return g.op("Sqrt", _variance(g, **arguments))


@writes(functions.norm)
def _norm(g: Graph, input: Value, p: Any, dim: Any, keepdim: bool, dtype: Any) -> str:
    p = 2 if p in (None, "fro") else p
    x: Any = g.cast(input, g.result.dtype)
    dims = _dims(input, dim)
    if p in (1, 2):
        return g.reduce(f"ReduceL{int(p)}", x, dims, keepdim)
    x = g.op("Abs", x)
    if p in (np.inf, -np.inf):
        return g.reduce("ReduceMax" if p > 0 else "ReduceMin", x, dims, keepdim)
    if p == 0:
        zero = g.constant(0, g.result.dtype)
        return g.reduce("ReduceSum", g.op("Cast", g.op("Greater", x, zero), to=1), dims, keepdim)
    powers = g.reduce("ReduceSum", g.op("Pow", x, g.constant(p, g.result.dtype)), dims, keepdim)
    return g.op("Pow", powers, g.constant(1 / p, g.result.dtype))


def _extremum(largest: bool) -> Callable[..., Any]:
    suffix = "Max" if largest else "Min"

    def write(g: Graph, input: Value, dim: Any, keepdim: bool) -> Any:
        if isinstance(dim, Value):
            return g.op(suffix, g.cast(input, g.result.dtype), g.cast(dim, g.result.dtype))
        if dim is None:
            return g.reduce(f"Reduce{suffix}", input, None, keepdim)
        return (
            g.reduce(f"Reduce{suffix}", input, [dim % input.ndim], keepdim),
            g.op(f"Arg{suffix}", input, axis=dim, keepdims=int(keepdim)),
        )

    return write


writes(functions.max)(_extremum(True))
writes(functions.min)(_extremum(False))


def _place(kind: str) -> Callable[..., str]:
    def write(g: Graph, input: Value, dim: int | None, keepdim: bool) -> str:
        if dim is not None:
            return g.op(kind, input, axis=dim, keepdims=int(keepdim))
        y = g.op(kind, g.op("Reshape", input, g.constant([-1], np.int64)), axis=0, keepdims=0)
        return g.unsqueeze(y, list(range(input.ndim))) if keepdim and input.ndim else y

    return write


writes(functions.argmax)(_place("ArgMax"))
writes(functions.argmin)(_place("ArgMin"))


def _quantifier(kind: str) -> Callable[..., str]:
    def write(g: Graph, input: Value, dim: Any, keepdim: bool) -> str:
        bits = g.op("Cast", g.cast(input, bool_), to=6)  # int32
        return g.op("Cast", g.reduce(kind, bits, _dims(input, dim), keepdim), to=9)  # bool

    return write


writes(functions.any)(_quantifier("ReduceMax"))
writes(functions.all)(_quantifier("ReduceMin"))


@writes(functions.cumsum)
def _cumsum(g: Graph, input: Value, dim: int, **_: Any) -> str:
    return g.op("CumSum", g.cast(input, g.result.dtype), g.constant(dim, np.int64))


@writes(functions.cumprod)
def _cumprod(g: Graph, input: Value, dim: int, **_: Any) -> str:
    return g.op("CumProd", g.cast(input, g.result.dtype), g.constant(dim, np.int64))


# Sorted


@writes(functions.topk)
def _topk(g: Graph, input: Value, k: int, dim: int, largest: bool, sorted: bool) -> Any:
    return g.op("TopK", input, g.integers([k]), outputs=2, axis=dim, largest=int(largest), sorted=int(sorted))


@writes(functions.sort)
def _sort(g: Graph, input: Value, dim: int, descending: bool, **_: Any) -> Any:
    return g.op("TopK", input, g.integers([input.shape[dim]]), outputs=2, axis=dim, largest=int(descending), sorted=1)


@writes(functions.argsort)
def _argsort(g: Graph, input: Value, dim: int, descending: bool, **_: Any) -> str:
    return g.op("TopK", input, g.integers([input.shape[dim]]), outputs=2, axis=dim, largest=int(descending), sorted=1)[
        1
    ]


def _kth(g: Graph, input: Value, k: int, dim: int, keepdim: bool) -> tuple[str, str]:
    """The k-th smallest along a dimension, and where it is."""
    found = g.op("TopK", input, g.integers([k]), outputs=2, axis=dim, largest=0, sorted=1)
    last = [_slice(g, x, dim, k - 1, k) for x in found]
    return tuple(last) if keepdim else tuple(g.squeeze(x, [dim]) for x in last)


@writes(functions.kthvalue)
def _kthvalue(g: Graph, input: Value, k: int, dim: int, keepdim: bool) -> tuple[str, str]:
    return _kth(g, input, k, dim, keepdim)


@writes(functions.median)
def _median(g: Graph, input: Value, dim: int | None, keepdim: bool) -> Any:
    length = math.prod(input.shape) if dim is None else input.shape[dim]
    if any(isinstance(n, Dim) for n in (input.shape if dim is None else [length])):
        raise RuntimeError(f"{g.function} of a dynamic length has no operator")
    if dim is not None:
        return _kth(g, input, (length + 1) // 2, dim, keepdim)
    flat = g.op("Reshape", input, g.constant([-1], np.int64))
    found = g.op("TopK", flat, g.integers([(length + 1) // 2]), outputs=2, axis=0, largest=0, sorted=1)[0]
    return g.op("Gather", found, g.constant(-1, np.int64), axis=0)


@writes(functions.unique)
def _unique(g: Graph, input: Value, sorted: bool, return_inverse: bool, return_counts: bool, dim: int | None) -> Any:
    values, _, inverse, counts = g.op("Unique", input, outputs=4, axis=dim, sorted=1)
    if return_inverse and dim is None:
        inverse = g.op("Reshape", inverse, g.op("Shape", input))
    return tuple(x for x, asked in ((values, True), (inverse, return_inverse), (counts, return_counts)) if asked)


@writes(functions.count_nonzero)
def _count_nonzero(g: Graph, input: Value, dim: Any) -> str:
    bits = g.op("Cast", g.cast(input, bool_), to=7)  # int64
    return g.reduce("ReduceSum", bits, _dims(input, dim), False)


# Pixels and channels


def _apart(g: Graph, input: Value, parts: Sequence[Any], order: Sequence[int]) -> str:
    """The last three dimensions made more, in another order, and three again."""
    lead = list(input.shape[:-3])
    y = g.op("Reshape", input, g.integers([*lead, *parts]))
    y = g.op("Transpose", y, perm=[*range(len(lead)), *(len(lead) + d for d in order)])
    return g.op("Reshape", y, g.integers(g.result.shape))


@writes(F.pixel_shuffle)
def _pixel_shuffle(g: Graph, input: Value, upscale_factor: int) -> str:
    r = upscale_factor
    if input.ndim == 4:
        return g.op("DepthToSpace", input, blocksize=r, mode="CRD")
    c, h, w = input.shape[-3:]
    return _apart(g, input, [c // r**2, r, r, h, w], (0, 3, 1, 4, 2))


@writes(F.pixel_unshuffle)
def _pixel_unshuffle(g: Graph, input: Value, downscale_factor: int) -> str:
    r = downscale_factor
    c, h, w = input.shape[-3:]
    return _apart(g, input, [c, h // r, r, w // r, r], (0, 2, 4, 1, 3))


@writes(F.channel_shuffle)
def _channel_shuffle(g: Graph, input: Value, groups: int) -> str:
    y = g.reshape(input, [input.shape[0], groups, input.shape[1] // groups, *input.shape[2:]])
    y = g.op("Transpose", y, perm=[0, 2, 1, *range(3, input.ndim + 1)])
    return g.op("Reshape", y, g.integers(input.shape))


@writes(F.unfold)
def _unfold(g: Graph, input: Value, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> str:
    (r, s), (dilation_h, dilation_w), pads, (stride_h, stride_w) = (
        spread(x, 2) for x in (kernel_size, dilation, padding, stride)
    )
    x, lead = (input, list(input.shape[:-3]))
    if any(isinstance(n, Dim) for n in input.shape[-2:]):
        raise RuntimeError(f"{g.function} of dynamic lengths has no operator")
    h, w = input.shape[-2:]
    y = g.op("Pad", x, g.constant([0] * (len(lead) + 1) + [*pads] + [0] * (len(lead) + 1) + [*pads], np.int64))
    p = (h + 2 * pads[0] - dilation_h * (r - 1) - 1) // stride_h + 1
    q = (w + 2 * pads[1] - dilation_w * (s - 1) - 1) // stride_w + 1
    axis = len(lead) + 1
    y = _picked(g, y, axis, np.arange(r)[:, None] * dilation_h + np.arange(p) * stride_h)
    y = _picked(g, y, axis + 2, np.arange(s)[:, None] * dilation_w + np.arange(q) * stride_w)
    y = g.op("Transpose", y, perm=[*range(axis), axis, axis + 2, axis + 1, axis + 3])
    return g.op("Reshape", y, g.integers(g.result.shape))


@writes(F.fold)
def _fold(g: Graph, input: Value, output_size: Any, kernel_size: Any, dilation: Any, padding: Any, stride: Any) -> str:
    x = g.unsqueeze(input, [0]) if input.ndim == 2 else input
    y = g.op(
        *("Col2Im", x, g.integers(spread(output_size, 2)), g.integers(spread(kernel_size, 2))),
        dilations=spread(dilation, 2),
        pads=spread(padding, 2) * 2,
        strides=spread(stride, 2),
    )
    return g.squeeze(y, [0]) if input.ndim == 2 else y


@writes(F.max_unpool1d, F.max_unpool2d)
def _max_unpool(g: Graph, input: Value, indices: Value, **_: Any) -> str:
    dims = 1 if g.function == "max_unpool1d" else 2
    lead = list(input.shape[:-dims])
    pixels = 1
    for n in g.result.shape[-dims:]:
        pixels = pixels * n
    nothing = g.op("Expand", g.constant(0, input.dtype), g.integers([*lead, pixels]))
    flat = [g.op("Reshape", x, g.integers([*lead, -1])) for x in (indices, input)]
    y = g.op("ScatterElements", nothing, *flat, axis=-1)
    return g.op("Reshape", y, g.integers(g.result.shape))


@writes(F.one_hot)
def _one_hot(g: Graph, tensor: Value, num_classes: int) -> str:
    return g.op("OneHot", tensor, g.constant(g.result.shape[-1], np.int64), g.constant([0, 1], np.int64), axis=-1)
