"""Tensors in another shape or order, joined and stretched."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import primitives
from .._native.layers import pointwise
from .._native.tape import TensorBase
from ..checks import dimension, unpack
from ..dtypes import can_cast
from .operands import apply, check_out, into, numpy_names, one_dtype

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "cat",
    "expand",
    "flatten",
    "is_tensor",
    "numel",
    "permute",
    "reshape",
    "squeeze",
    "stack",
    "transpose",
    "unsqueeze",
    "view",
]


def is_tensor(obj: object) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, TensorBase)


def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """The elements in another shape, of which one length may be -1; a view where possible.

    Examples
    --------
    >>> fastconv.reshape(fastconv.arange(6), (2, 3))
    tensor([[0, 1, 2],
            [3, 4, 5]])
    """
    shape = unpack((*shape,))
    try:
        if min(shape, default=0) < -1:
            raise ValueError
        return pointwise.reshape(input, shape)
    except ValueError:
        raise RuntimeError(f"shape {list(shape)} is invalid for input of size {math.prod(input.shape)}") from None


def view(input: Tensor, shape: Sequence[int]) -> Tensor:
    """:func:`reshape` that never copies.

    Raises
    ------
    RuntimeError
        If the shape does not hold the elements, or the strides would need a copy.
    """
    out = reshape(input, shape)
    if not (input._array.flags.c_contiguous or np.may_share_memory(out._array, input._array) or not input._array.size):
        raise RuntimeError(
            f"view size {list(out.shape)} is not compatible with the tensor's size {list(input.shape)} and stride "
            f"{list(input.stride())}; use reshape() instead"
        )
    return out


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """The tensor with the dimensions `start_dim` to `end_dim` made one."""
    return pointwise.flatten(input, start_dim, end_dim)


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """A view with the dimensions in this order.

    Examples
    --------
    >>> fastconv.permute(fastconv.zeros(8, 32, 32, 3), (0, 3, 1, 2)).shape
    torch.Size([8, 3, 32, 32])
    """
    dims = tuple(d + input.ndim if d < 0 else d for d in unpack((*dims,)))
    if sorted(dims) != list(range(input.ndim)):
        raise RuntimeError(f"permute() got {list(dims)} for the {input.ndim} dimensions of shape {list(input.shape)}")
    return apply(primitives.permute, input, dims=dims)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """A view with two dimensions swapped."""
    dims = list(range(input.ndim))
    dim0, dim1 = dimension(dim0, input.ndim), dimension(dim1, input.ndim)
    if dims:
        dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
    return apply(primitives.permute, input, dims=tuple(dims))


@numpy_names
def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """A view with a dimension of length 1 put in before `dim`."""
    place = dimension(dim, input.ndim + 1)
    return pointwise.reshape(input, (*input.shape[:place], 1, *input.shape[place:]))


@numpy_names
def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """A view without the dimensions of length 1, or without those of them that `dim` names."""
    if dim is None:
        return pointwise.reshape(input, [n for n in input.shape if n != 1])
    drop = {dimension(d, input.ndim) for d in (dim if isinstance(dim, (list, tuple)) else (dim,))}
    return pointwise.reshape(input, [n for i, n in enumerate(input.shape) if n != 1 or i not in drop])


def expand(input: Tensor, shape: Sequence[int]) -> Tensor:
    """A read-only view broadcast to this shape; -1 keeps a length."""
    shape = list(unpack((*shape,)))
    lead = len(shape) - input.ndim
    if lead < 0:
        raise RuntimeError(
            f"expand(): the number of sizes provided ({len(shape)}) must be greater or equal to the number of "
            f"dimensions in the tensor ({input.ndim}), got {shape}"
        )
    target = [input.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape)]
    for i, n in enumerate(target):
        if n < 0:
            raise RuntimeError(f"The expanded size of the tensor ({n}) isn't allowed in dimension {i}, got {shape}")
        if i >= lead and n != input.shape[i - lead] != 1:
            raise RuntimeError(
                f"The expanded size of the tensor ({n}) must match the existing size ({input.shape[i - lead]}) at "
                f"non-singleton dimension {i}.  Target sizes: {shape}.  Tensor sizes: {list(input.shape)}"
            )
    return apply(primitives.expand, input, shape=tuple(target))


@numpy_names
def cat(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Join tensors along the existing dimension `dim`; their other lengths agree.

    Tensors of shape (0,) may be among others of any number of dimensions, and add nothing.

    Examples
    --------
    >>> fastconv.cat([fastconv.zeros(1, 2), fastconv.ones(2, 2)]).shape
    torch.Size([3, 2])
    """
    if not len(tensors):
        raise ValueError("cat(): expected a non-empty list of Tensors")
    check_out(out, *tensors)
    originals = tensors
    tensors = one_dtype(tensors, "cat")
    shape = next((t.shape for t in tensors if t.shape != (0,)), None)
    for position, t in enumerate(tensors):
        if t.ndim == 0:
            raise RuntimeError(f"zero-dimensional tensor (at position {position}) cannot be concatenated")
    dim = 0 if shape is None else dimension(dim, len(shape))
    _check_holds(out, tensors[0])
    if shape is not None:
        nothing = (*shape[:dim], 0, *shape[dim + 1 :])
        tensors = [pointwise.reshape(t, nothing) if t.shape == (0,) else t for t in tensors]
    try:
        y = apply(primitives.cat, *tensors, dim=dim)
    except (ValueError, IndexError):
        shapes = [list(t.shape) for t in tensors]
        raise RuntimeError(
            f"Sizes of tensors must match except in dimension {dim}: cat() got the shapes {shapes}"
        ) from None
    return into(out, y, *originals, whole=True)


def _check_holds(out: Tensor | None, x: Tensor) -> None:
    if isinstance(out, TensorBase) and not can_cast(x.dtype, out.dtype):
        raise TypeError(f"torch.cat(): input types can't be cast to the desired output type {out.dtype}")


@numpy_names
def stack(tensors: Sequence[Tensor], dim: int = 0, *, out: Tensor | None = None) -> Tensor:
    """Join tensors of one shape along a new dimension `dim`.

    Examples
    --------
    >>> fastconv.stack([fastconv.zeros(3), fastconv.ones(3)])
    tensor([[0., 0., 0.],
            [1., 1., 1.]])
    """
    check_out(out, *tensors)
    originals = tensors
    tensors = one_dtype(tensors, "stack")
    _check_holds(out, tensors[0])
    shapes = [list(t.shape) for t in tensors]
    if shapes.count(shapes[0]) != len(shapes):
        raise RuntimeError(f"stack() expects tensors of one shape, got {shapes}")
    dim = dimension(dim, tensors[0].ndim + 1)
    return into(out, apply(primitives.stack, *tensors, dim=dim), *originals, whole=True)


def numel(input: Tensor) -> int:
    """Number of elements."""
    return input._array.size
