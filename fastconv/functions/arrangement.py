"""Tensors turned, repeated, shifted and put side by side."""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import primitives
from .._native.tape import TensorBase, differentiable_twice
from ..checks import brief, dimension, integer, unpack
from .operands import apply, numpy_names
from .shapes import cat, expand, permute, reshape, transpose

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "broadcast_tensors",
    "broadcast_to",
    "dstack",
    "flip",
    "fliplr",
    "flipud",
    "hstack",
    "meshgrid",
    "movedim",
    "ravel",
    "repeat",
    "repeat_interleave",
    "roll",
    "rot90",
    "tile",
    "unflatten",
    "vstack",
]


@differentiable_twice
def _flip(needs, x, dims):
    return np.flip(x, dims).copy(), lambda dy: (apply(_flip, dy, dims=dims),), ()


@differentiable_twice
def _roll(needs, x, shifts, dims):
    back = tuple(-n for n in shifts)
    return np.roll(x, shifts, dims), lambda dy: (apply(_roll, dy, shifts=back, dims=dims),), ()


def flip(input: Tensor, *axes: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """A copy with the order along these dimensions reversed."""
    chosen = tuple(dimension(d, input.ndim) for d in unpack(axes if dims is None else (dims,)))
    if len(set(chosen)) != len(chosen):
        raise RuntimeError(f"dim {max(chosen, key=chosen.count)} appears multiple times in the list of dims")
    return apply(_flip, input, dims=chosen if input.ndim else ())


def fliplr(input: Tensor) -> Tensor:
    """A copy with the order along dimension 1 reversed."""
    return flip(input, 1)


def flipud(input: Tensor) -> Tensor:
    """A copy with the order along dimension 0 reversed."""
    return flip(input, 0)


def roll(input: Tensor, shifts: int | Sequence[int], dims: int | Sequence[int] | None = None) -> Tensor:
    """The elements moved along `dims`, those beyond the end in again at the beginning; without `dims` flattened."""
    if not input.numel():
        return apply(primitives.clone, input)
    if dims is None:
        return apply(_roll, reshape(input, (-1,)), shifts=(int(shifts),), dims=(0,)).reshape(input.shape)
    moves = tuple(shifts) if isinstance(shifts, (list, tuple)) else (integer(shifts, "shifts", -(2**60)),)
    along = tuple(dims) if isinstance(dims, (list, tuple)) else (dims,)
    if len(moves) != len(along):
        raise RuntimeError(f"shifts and dimensions must align. shifts: {len(moves)}, dims:{len(along)}")
    return apply(_roll, input, shifts=moves, dims=tuple(dimension(d, input.ndim) for d in along))


def rot90(input: Tensor, k: int = 1, dims: Sequence[int] = (0, 1)) -> Tensor:
    """Turned by k quarters in the plane of two dimensions, from the first towards the second."""
    if input.ndim < 2:
        raise RuntimeError(f"expected total dims >= 2, but got total dims = {input.ndim}")
    a, b = (dimension(d, input.ndim) for d in dims)
    if a == b:
        raise RuntimeError(f"expected two different rotation dims, got {list(dims)}")
    k = integer(k, "k", -(2**60)) % 4
    if k == 2:
        return flip(input, a, b)
    if k == 1:
        return transpose(flip(input, b), a, b).contiguous()
    return flip(transpose(input, a, b), b) if k else apply(primitives.clone, input)


def movedim(input: Tensor, source: int | Sequence[int], destination: int | Sequence[int]) -> Tensor:
    """A view with the dimensions `source` at the places `destination`, the others in their order."""
    if not input.ndim:
        return permute(input, ())
    sources, targets = (
        [dimension(d, input.ndim) for d in (dims if isinstance(dims, (list, tuple)) else (dims,))]
        for dims in (source, destination)
    )
    if len(set(sources)) != len(sources) or len(set(targets)) != len(targets) or len(sources) != len(targets):
        raise RuntimeError(f"movedim: got the dimensions {source!r} and {destination!r}, which do not match or repeat")
    order = [d for d in range(input.ndim) if d not in sources]
    for target, moved in sorted(zip(targets, sources, strict=True)):
        order.insert(target, moved)
    return permute(input, order)


def repeat(input: Tensor, *repeats: int | Sequence[int]) -> Tensor:
    """The tensor so many times along each dimension; further numbers in front are of new dimensions."""
    counts = unpack(repeats)
    if len(counts) < input.ndim:
        raise RuntimeError(
            "Number of dimensions of repeat dims can not be smaller than number of dimensions of tensor: got "
            f"{list(counts)} for shape {list(input.shape)}"
        )
    shape = (1,) * (len(counts) - input.ndim) + tuple(input.shape)
    if min(counts, default=1) < 0:
        raise RuntimeError(f"Trying to create tensor with negative dimension: repeats {list(counts)}")
    apart = [n for pair in zip((1,) * len(shape), shape, strict=True) for n in pair]
    stretched = [n for pair in zip(counts, shape, strict=True) for n in pair]
    whole = [count * n for count, n in zip(counts, shape, strict=True)]
    y = reshape(expand(reshape(input, apart), stretched), whole)
    return apply(primitives.clone, y) if np.may_share_memory(y._array, input._array) else y


def tile(input: Tensor, *counts: int | Sequence[int], dims: Sequence[int] | None = None) -> Tensor:
    """:func:`repeat` whose missing numbers in front are 1."""
    counts = unpack(counts if dims is None else (dims,))
    return repeat(input, (1,) * (input.ndim - len(counts)) + counts)


@numpy_names
def repeat_interleave(
    input: Tensor, repeats: int | Tensor, dim: int | None = None, *, output_size: int | None = None
) -> Tensor:
    """Each slice along `dim` (each element, without it) so many times in a row; of `output_size` slices."""
    x, at = (reshape(input, (-1,)), 0) if dim is None else (input, dimension(dim, input.ndim))
    counts = repeats._array if isinstance(repeats, TensorBase) else np.asarray(integer(repeats, "repeats"))
    if counts.size not in (1, x.shape[at]):
        raise RuntimeError(
            f"repeats must have the same size as input along dim, but got repeats.size(0) = {counts.size} and "
            f"input.size({at}) = {x.shape[at]}"
        )
    places = np.repeat(np.arange(x.shape[at]), counts.reshape(-1))
    return apply(primitives.index, x, index=(*(slice(None),) * at, places), basic=False)


def ravel(input: Tensor) -> Tensor:
    """The elements in one dimension."""
    return reshape(input, (-1,))


@numpy_names
def unflatten(input: Tensor, dim: int, sizes: Sequence[int]) -> Tensor:
    """A dimension made several, of which one length may be -1."""
    if not input.ndim:
        raise RuntimeError(f"unflatten: Dimension specified as {dim} but tensor has no dimensions")
    dim = dimension(dim, input.ndim)
    length, lengths = input.shape[dim], list(sizes)
    if lengths.count(-1) == 1:
        rest = math.prod(n for n in lengths if n != -1)
        lengths[lengths.index(-1)] = length // rest if rest else -1
    if math.prod(lengths) != length or min(lengths, default=0) < 0:
        raise RuntimeError(
            f"unflatten: Provided sizes {list(sizes)} don't multiply up to the size of dim {dim} ({length}) "
            "in the input tensor"
        )
    return reshape(input, (*input.shape[:dim], *lengths, *input.shape[dim + 1 :]))


def broadcast_to(input: Tensor, shape: Sequence[int]) -> Tensor:
    """:func:`fastconv.Tensor.expand` as a function."""
    return expand(input, shape)


def broadcast_tensors(*tensors: Tensor) -> tuple[Any, ...]:
    """The tensors, each expanded to the shape that all broadcast to."""
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    try:
        shape = np.broadcast_shapes(*[tuple(t.shape) for t in tensors])
    except ValueError:
        raise RuntimeError(f"the shapes {[list(t.shape) for t in tensors]} cannot be broadcast together") from None
    return tuple(expand(t, shape) for t in tensors)


def _at_least(t: Any, ndim: int) -> Any:
    if not isinstance(t, TensorBase):
        raise TypeError(f"expected tensors, got {brief(t)} among them")
    if ndim == 3 and t.ndim == 2:
        return reshape(t, (*t.shape, 1))
    if ndim == 3 and t.ndim < 2:
        return reshape(t, (1, -1, 1))
    return reshape(t, (1,) * (ndim - t.ndim) + tuple(t.shape)) if t.ndim < ndim else t


def hstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dimension 1, vectors along their only one."""
    tensors = [_at_least(t, 1) for t in tensors]
    return cat(tensors, 0 if tensors[0].ndim == 1 else 1)


def vstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dimension 0, vectors as rows."""
    return cat([_at_least(t, 2) for t in tensors], 0)


def dstack(tensors: Sequence[Tensor]) -> Tensor:
    """Joined along dimension 2."""
    return cat([_at_least(t, 3) for t in tensors], 2)


def meshgrid(*tensors: Tensor, indexing: str | None = None) -> tuple[Any, ...]:
    """The coordinates of a grid, given those along each axis: for each a tensor of all lengths.

    Parameters
    ----------
    indexing : {"ij", "xy"}
        "xy" swaps the first two dimensions. By default "ij", with a warning, as torch has it.
    """
    if len(tensors) == 1 and isinstance(tensors[0], (list, tuple)):
        tensors = tuple(tensors[0])
    if indexing not in (None, "ij", "xy"):
        raise RuntimeError(f'torch.meshgrid: indexing must be one of "xy" or "ij", but received: {indexing}')
    if indexing is None:
        warnings.warn("meshgrid(): pass indexing='ij' (the default) or 'xy' explicitly", UserWarning, stacklevel=2)
    for t in tensors:
        if not isinstance(t, TensorBase) or t.ndim > 1:
            raise RuntimeError(f"meshgrid(): Expected 0D or 1D tensor in the tensor list but got: {brief(t)}")
    shape = [t.numel() for t in tensors]
    grids = []
    for i, t in enumerate(tensors):
        along = [-1 if j == i else 1 for j in range(len(tensors))]
        grid = expand(reshape(t, along), shape)
        grids.append(transpose(grid, 0, 1) if indexing == "xy" and len(tensors) > 1 else grid)
    return tuple(grids)
