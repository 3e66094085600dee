"""Tensors in another shape or order, parts of them, joined, padded, and reduced along dimensions."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from ... import functions
from ..._tensor import Tensor
from ...dtypes import bool_
from ...functions.indexing import getitem
from ...nn import functional as F
from ..graph import Dim, Graph, Value, writes

__all__ = []


# Shapes


def _given(numbers: Sequence[Any]) -> list[Any]:
    """Numbers that were given one by one, or in a sequence."""
    return list(numbers[0]) if len(numbers) == 1 and isinstance(numbers[0], tuple) else list(numbers)


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
    asked = range(input.ndim) if dim is None else dim if isinstance(dim, tuple) else (dim,)
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


def _bounds(n: int, item: slice) -> tuple[Any, Any, int]:
    """Start, end and step of a slice of a dimension, as Slice takes them: counted from the end where they are."""
    start = 0 if item.start is None else item.start
    end = np.iinfo(np.int64).max if item.stop is None else item.stop
    return start, end, 1 if item.step is None else int(item.step)


@writes(getitem)
def _getitem(g: Graph, x: Value, index: Any) -> str:
    items = list(index) if isinstance(index, tuple) else [index]
    if any(isinstance(item, bool) for item in items):
        raise RuntimeError("an index that is a bool has no operator")
    arrays = [item for item in items if isinstance(item, (Value, np.ndarray, tuple))]
    used = sum(1 for item in items if item is not None and item is not Ellipsis)
    if Ellipsis not in [item for item in items if item is Ellipsis]:
        items.append(Ellipsis)
    at = next(i for i, item in enumerate(items) if item is Ellipsis)
    items[at : at + 1] = [slice(None)] * (x.ndim - used)
    if len(arrays) > 1 or (arrays and _is_mask(arrays[0])):
        return _gathered(g, x, items)

    # Slices together, then whole numbers and index tensors one by one from the last, then new dimensions.
    y: Any = x
    sliced = []
    dim = 0
    for item in items:
        if item is None:
            continue
        if isinstance(item, slice) and item != slice(None):
            sliced.append((dim, *_bounds(x.shape[dim], item)))
        dim += 1
    if sliced:
        axes, starts, ends, steps = (list(column) for column in zip(*sliced, strict=True))
        y = g.op("Slice", y, g.integers(starts), g.integers(ends), g.constant(axes, np.int64), g.integers(steps))
    kept = [item for item in items if item is not None]
    for dim in range(len(kept) - 1, -1, -1):
        if not isinstance(kept[dim], slice):
            y = g.op("Gather", y, _index(g, kept[dim]), axis=dim)
    new, place = [], 0
    for item in items:
        if item is None:
            new.append(place)
        place += 1 if item is None or isinstance(item, slice) else len(_shape(item))
    return g.unsqueeze(y, new) if new else g.op("Identity", y) if y is x else y


def _is_mask(item: Any) -> bool:
    return (item if isinstance(item, (Value, np.ndarray)) else np.asarray(item)).dtype.kind == "b"


def _shape(item: Any) -> tuple[int, ...]:
    return tuple(item.shape) if isinstance(item, Value) else np.shape(item)


def _index(g: Graph, item: Any) -> str:
    if isinstance(item, Value):
        return g.cast(item, np.dtype(np.int64))
    return g.integers(item) if isinstance(item, int) else g.constant(item, np.int64)


def _gathered(g: Graph, x: Value, items: list[Any]) -> str:
    """Index tensors for the first dimensions and nothing else: GatherND of what they are stacked to."""
    lead = [item for item in items if not (isinstance(item, slice) and item == slice(None))]
    if items[: len(lead)] != lead or not all(isinstance(item, (Value, np.ndarray, tuple, int)) for item in lead):
        raise RuntimeError(f"{g.function} with several index tensors has an operator only where they come first")
    if len(lead) == 1 and _is_mask(lead[0]):
        return g.op("GatherND", x, g.op("Transpose", g.op("NonZero", lead[0]), perm=[1, 0]))
    if any(_is_mask(item) for item in lead):
        raise RuntimeError(f"{g.function} with a mask beside other indices has no operator")
    shape = np.broadcast_shapes(*[_shape(item) for item in lead])
    columns = [g.op("Expand", _index(g, item), g.integers([int(n) for n in shape])) for item in lead]
    columns = [g.unsqueeze(column, [len(shape)]) for column in columns]
    return g.op("GatherND", x, g.op("Concat", *columns, axis=-1))


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
def _flip(g: Graph, input: Value, dims: Any) -> str:
    axes = _given(dims)
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
    if kind == "wrap" and g.opset < 19:
        raise RuntimeError("nn.functional.pad with mode='circular' has an operator since opset 19")
    pairs = list(zip(pad[::2], pad[1::2], strict=True))
    before = [0] * (input.ndim - len(pairs)) + [a for a, _ in reversed(pairs)]
    after = [0] * (input.ndim - len(pairs)) + [b for _, b in reversed(pairs)]
    fill = g.constant(value, input.dtype) if value else None
    return g.op("Pad", input, g.integers(before + after), fill, mode=kind)


# Reduced


def _dims(input: Value, dim: Any) -> list[int] | None:
    if dim is None or dim == ():
        return None
    return [d % max(input.ndim, 1) for d in (dim if isinstance(dim, tuple) else (dim,))]


def _reduced(kind: str) -> Callable[..., str]:
    def write(g: Graph, input: Value, dim: Any, keepdim: bool, **_: Any) -> str:
        if not input.ndim:
            return g.cast(input, g.result.dtype)
        return g.reduce(kind, g.cast(input, g.result.dtype), _dims(input, dim), keepdim)

    return write


writes(functions.sum)(_reduced("ReduceSum"))
writes(functions.mean)(_reduced("ReduceMean"))
writes(functions.prod)(_reduced("ReduceProd"))


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
        return g.reduce(f"ReduceL{p}", x, dims, keepdim)
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


# Pixels and channels


@writes(F.pixel_shuffle)
def _pixel_shuffle(g: Graph, input: Value, upscale_factor: int) -> str:
    if input.ndim == 4:
        return g.op("DepthToSpace", input, blocksize=upscale_factor, mode="CRD")
    raise RuntimeError("nn.functional.pixel_shuffle has an operator for (N, C, H, W)")


@writes(F.one_hot)
def _one_hot(g: Graph, tensor: Value, num_classes: int) -> str:
    return g.op("OneHot", tensor, g.constant(g.result.shape[-1], np.int64), g.constant([0, 1], np.int64), axis=-1)
