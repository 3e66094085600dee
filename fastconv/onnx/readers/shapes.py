"""Tensors in another shape or order, joined, padded and stretched; and their shapes as tensors."""

from __future__ import annotations

import math

import numpy as np

from ... import functions
from ..._tensor import Tensor
from ...checks import check_shape
from ...creation import from_numpy
from ...nn import functional as F
from ..nodes import Node, integers, reads
from .dtypes import dtype_of

__all__ = []


@reads("Identity")
def _identity(node: Node, x: Tensor) -> Tensor:
    return x


@reads("Shape")
def _shape(node: Node, x: Tensor) -> Tensor:
    return from_numpy(np.array(list(x.shape)[node.get("start", 0) : node.get("end")], np.int64))


@reads("Size")
def _size(node: Node, x: Tensor) -> Tensor:
    return from_numpy(np.array(x.numel(), np.int64))


@reads("Reshape", settings=(1,))
def _reshape(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    sizes = integers(shape)
    if not node.get("allowzero", 0):
        sizes = [x.shape[i] if n == 0 else n for i, n in enumerate(sizes)]
    return x.reshape(*sizes) if sizes else x.reshape(())


@reads("Flatten")
def _flatten(node: Node, x: Tensor) -> Tensor:
    axis = node.get("axis", 1)
    rows = math.prod(x.shape[: axis + x.ndim if axis < 0 else axis])
    return x.reshape(rows, x.numel() // rows if rows else math.prod(x.shape[axis:]))


@reads("Squeeze", settings=(1,))
def _squeeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    dims = node.get("axes") if axes is None else integers(axes)
    if dims is None:
        return x.squeeze()
    if any(x.shape[d] != 1 for d in dims):
        raise ValueError(f"a dimension among {list(dims)} is not of length 1")
    return x.squeeze(list(dims))


@reads("Unsqueeze", settings=(1,))
def _unsqueeze(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
    dims = node.get("axes") if axes is None else integers(axes)
    ndim = x.ndim + len(dims)
    for d in sorted(d + ndim if d < 0 else d for d in dims):
        x = x.unsqueeze(d)
    return x


@reads("Transpose")
def _transpose(node: Node, x: Tensor) -> Tensor:
    perm = node.get("perm")
    return x.permute(*(range(x.ndim - 1, -1, -1) if perm is None else perm)) if x.ndim else x


@reads("Concat")
def _concat(node: Node, *tensors: Tensor) -> Tensor:
    return functions.cat(list(tensors), node.get("axis"))


@reads("Split", settings=(1,))
def _split(node: Node, x: Tensor, sizes: Tensor | None = None) -> tuple[Tensor, ...]:
    given = node.get("split") if sizes is None else integers(sizes)
    axis = node.get("axis", 0)
    if given is None:
        count = node.get("num_outputs", len(node.outputs))
        return tuple(functions.split(x, -(-x.shape[axis] // count), axis))
    return tuple(functions.split(x, list(given), axis))


@reads("Expand", settings=(1,))
def _expand(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    return x.expand(*np.broadcast_shapes(tuple(x.shape), tuple(integers(shape))))


@reads("Tile", settings=(1,))
def _tile(node: Node, x: Tensor, repeats: Tensor) -> Tensor:
    counts = integers(repeats)
    check_shape([n * count for n, count in zip(x.shape, counts, strict=True)], "Tile")
    return x.repeat(*counts) if counts else x


@reads("Pad", settings=(1, 2, 3))
def _pad(
    node: Node, x: Tensor, pads: Tensor | None = None, value: Tensor | None = None, axes: Tensor | None = None
) -> Tensor:
    numbers = list(node.get("pads")) if pads is None else integers(pads)
    fill = node.get("value", 0.0) if value is None else value.item()
    dims = integers(axes) if axes is not None else list(range(x.ndim))
    if len(numbers) != 2 * len(dims):
        raise ValueError(f"expected {2 * len(dims)} pads, got {numbers}")
    ends = {d % x.ndim: (numbers[i], numbers[len(dims) + i]) for i, d in enumerate(dims)}
    mode = node.get("mode", "constant")
    if mode == "constant":
        flat = [n for d in reversed(range(x.ndim)) for n in ends.get(d, (0, 0))]
        return F.pad(x, flat, "constant", fill) if any(flat) else x
    for d, (before, after) in ends.items():
        if before or after:
            n = x.shape[d]
            check_shape([max(n + before + after, 0)], "Pad")
            x = functions.index_select(x, d, from_numpy(_around(mode, n, before, after)))
    return x


def _around(mode: str, n: int, before: int, after: int) -> np.ndarray:
    """Which of n elements stand in their padded row."""
    if not n:
        raise ValueError(f"there is nothing to pad with, of no elements, in mode {mode!r}")
    places = np.arange(-before, n + after)
    if mode == "edge":
        return np.clip(places, 0, n - 1)
    if mode == "wrap":
        return places % n
    if mode != "reflect":
        raise ValueError(f"the mode {mode!r} is unknown")
    places = places % max(2 * (n - 1), 1)
    return np.minimum(places, 2 * (n - 1) - places)


@reads("DepthToSpace")
def _depth_to_space(node: Node, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    b = node.get("blocksize")
    if node.get("mode", "DCR") == "CRD":
        return x.reshape(n, c // b**2, b, b, h, w).permute(0, 1, 4, 2, 5, 3).reshape(n, c // b**2, h * b, w * b)
    return x.reshape(n, b, b, c // b**2, h, w).permute(0, 3, 4, 1, 5, 2).reshape(n, c // b**2, h * b, w * b)


@reads("SpaceToDepth")
def _space_to_depth(node: Node, x: Tensor) -> Tensor:
    n, c, h, w = x.shape
    b = node.get("blocksize")
    order = (0, 1, 3, 5, 2, 4) if node.get("mode", "DCR") == "CRD" else (0, 3, 5, 1, 2, 4)
    return x.reshape(n, c, h // b, b, w // b, b).permute(*order).reshape(n, c * b**2, h // b, w // b)


@reads("Range")
def _range(node: Node, start: Tensor, limit: Tensor, step: Tensor) -> Tensor:
    first, last, by = (x.item() for x in (start, limit, step))
    count = max(math.ceil((last - first) / by), 0)
    check_shape([count], "Range")
    return from_numpy((np.arange(count) * by + first).astype(start.dtype))


@reads("EyeLike")
def _eye_like(node: Node, x: Tensor) -> Tensor:
    dtype = x.dtype if node.get("dtype") is None else dtype_of(node.get("dtype"))
    return from_numpy(np.eye(*x.shape, k=node.get("k", 0), dtype=dtype))


@reads("Trilu", settings=(1,))
def _trilu(node: Node, x: Tensor, k: Tensor | None = None) -> Tensor:
    diagonal = 0 if k is None else int(k.item())
    return functions.triu(x, diagonal) if node.get("upper", 1) else functions.tril(x, diagonal)


@reads("CenterCropPad", settings=(1,))
def _center_crop_pad(node: Node, x: Tensor, shape: Tensor) -> Tensor:
    axes = node.get("axes") or range(x.ndim)
    pairs = dict.fromkeys(range(x.ndim), (0, 0))
    for axis, wanted in zip(axes, integers(shape), strict=True):
        n = x.shape[axis]
        if wanted < n:
            pairs[axis % x.ndim] = (-((n - wanted) // 2), -(n - wanted - (n - wanted) // 2))
        else:
            pairs[axis % x.ndim] = ((wanted - n) // 2, wanted - n - (wanted - n) // 2)
    return F.pad(x, [n for d in reversed(range(x.ndim)) for n in pairs[d]])
