"""Other shapes and orders of the same elements."""

from __future__ import annotations

import math
from builtins import int as _int
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from .. import functions, primitives
from .._native import tape
from .._native.tape import apply
from ..checks import check_shape, unpack
from ..dtypes import (
    contiguous_format,
    memory_format,
    preserve_format,
)
from ..functions.operands import numpy_names

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["Shapes"]


class Shapes:
    """Views, and copies that repeat or turn around."""

    __slots__ = ()

    def reshape(self, *sizes: _int | Sequence[_int], shape: Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.reshape`; the lengths may also be given one by one."""
        if shape is not None:
            sizes = (shape,)
        return functions.reshape(self, sizes)

    def reshape_as(self, other: Tensor) -> Tensor:
        """See :meth:`reshape`; to the shape of another tensor."""
        return functions.reshape(self, other.shape)

    def view(self, *shape: _int | Sequence[_int], size: Sequence[_int] | None = None) -> Tensor:
        """:meth:`reshape` that never copies.

        Raises
        ------
        RuntimeError
            If the shape does not hold the elements, or the strides would need a copy.
        """
        if size is not None:
            shape = (size,)
        return functions.view(self, shape)

    def view_as(self, other: Tensor) -> Tensor:
        """``view(other.shape)``."""
        return self.view(other.shape)

    def flatten(self, start_dim: _int = 0, end_dim: _int = -1) -> Tensor:
        """See :func:`fastconv.flatten`."""
        return functions.flatten(self, start_dim, end_dim)

    def ravel(self) -> Tensor:
        """See :func:`fastconv.ravel`."""
        return functions.ravel(self)

    @numpy_names
    def unflatten(self, dim: _int, sizes: Sequence[_int]) -> Tensor:
        """See :func:`fastconv.unflatten`."""
        return functions.unflatten(self, dim, sizes)

    def permute(self, *axes: _int | Sequence[_int], dims: Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.permute`; the dimensions may also be given one by one."""
        if dims is not None:
            axes = (dims,)
        return functions.permute(self, axes)

    def transpose(self, dim0: _int, dim1: _int) -> Tensor:
        """See :func:`fastconv.transpose`."""
        return functions.transpose(self, dim0, dim1)

    def transpose_(self, dim0: _int, dim1: _int) -> Tensor:
        """:func:`fastconv.transpose`, in place."""
        return self._turn(self.transpose(dim0, dim1))

    def swapaxes(self, dim0: _int, dim1: _int) -> Tensor:
        """:func:`fastconv.transpose` by another name."""
        return functions.transpose(self, dim0, dim1)

    def swapdims(self, dim0: _int, dim1: _int) -> Tensor:
        """``transpose``."""
        return functions.transpose(self, dim0, dim1)

    def t(self) -> Tensor:
        """The transposed matrix, a view."""
        if self.ndim > 2:
            raise RuntimeError(f"t() expects a tensor of at most 2 dimensions, got shape {list(self.shape)}")
        return self.T

    def t_(self) -> Tensor:
        """:meth:`t`, in place."""
        return self._turn(self.t())

    def movedim(self, source: _int | Sequence[_int], destination: _int | Sequence[_int]) -> Tensor:
        """See :func:`fastconv.movedim`."""
        return functions.movedim(self, source, destination)

    def moveaxis(self, source: _int | Sequence[_int], destination: _int | Sequence[_int]) -> Tensor:
        """:func:`fastconv.movedim` by another name."""
        return functions.movedim(self, source, destination)

    @numpy_names
    def squeeze(self, dim: _int | Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.squeeze`."""
        return functions.squeeze(self, dim)

    @numpy_names
    def squeeze_(self, dim: _int | Sequence[_int] | None = None) -> Tensor:
        """:func:`fastconv.squeeze`, in place."""
        return self._turn(self.squeeze(dim))

    @numpy_names
    def unsqueeze(self, dim: _int) -> Tensor:
        """See :func:`fastconv.unsqueeze`."""
        return functions.unsqueeze(self, dim)

    @numpy_names
    def unsqueeze_(self, dim: _int) -> Tensor:
        """:func:`fastconv.unsqueeze`, in place."""
        return self._turn(self.unsqueeze(dim))

    def expand(self, *shape: _int | Sequence[_int], size: Sequence[_int] | None = None) -> Tensor:
        """A read-only view broadcast to this shape; -1 keeps a length."""
        if size is not None:
            shape = (size,)
        return functions.expand(self, shape)

    def expand_as(self, other: Tensor) -> Tensor:
        """See :meth:`expand`; to the shape of another tensor."""
        return functions.expand(self, other.shape)

    def broadcast_to(self, shape: Sequence[_int]) -> Tensor:
        """See :func:`fastconv.broadcast_to`."""
        return functions.broadcast_to(self, shape)

    def repeat(self, *counts: _int | Sequence[_int], repeats: Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.repeat`."""
        if repeats is not None:
            counts = (repeats,)
        return functions.repeat(self, *counts)

    def tile(self, *counts: _int | Sequence[_int], dims: Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.tile`."""
        if dims is not None:
            counts = (dims,)
        return functions.tile(self, *counts)

    @numpy_names
    def repeat_interleave(self, repeats: _int | Tensor, dim: _int | None = None) -> Tensor:
        """See :func:`fastconv.repeat_interleave`."""
        return functions.repeat_interleave(self, repeats, dim)

    def flip(self, *axes: _int | Sequence[_int], dims: Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.flip`."""
        if dims is not None:
            axes = (dims,)
        return functions.flip(self, *axes)

    def fliplr(self) -> Tensor:
        """See :func:`fastconv.fliplr`."""
        return functions.fliplr(self)

    def flipud(self) -> Tensor:
        """See :func:`fastconv.flipud`."""
        return functions.flipud(self)

    def roll(self, shifts: _int | Sequence[_int], dims: _int | Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.roll`."""
        return functions.roll(self, shifts, dims)

    def rot90(self, k: _int = 1, dims: Sequence[_int] = (0, 1)) -> Tensor:
        """See :func:`fastconv.rot90`."""
        return functions.rot90(self, k, dims)

    def _turn(self, view: Tensor) -> Tensor:
        """Make this tensor a view of itself, in place."""
        recorded = tape.check_writable(self)
        self._array = view._array
        if recorded:
            self._adopt(view._node)
        return self

    def resize_(self, *sizes: _int | Sequence[_int], memory_format: memory_format = contiguous_format) -> Tensor:
        """Give it another shape, in place; elements that are added have whatever was in the memory.

        Where there are more than there were, the memory is another than that of its views so far.

        Raises
        ------
        RuntimeError
            If it requires a gradient.
        """
        if self.requires_grad:
            raise RuntimeError("cannot resize variables that require grad")
        shape = check_shape(unpack(sizes), "resize_")
        kept = self._array if self._array.flags.c_contiguous else np.ascontiguousarray(self._array)
        array = kept.reshape(-1)[: math.prod(shape)]
        if array.size < math.prod(shape):
            array = np.empty(math.prod(shape), kept.dtype)
            array[: kept.size] = kept.reshape(-1)
        self._array = array.reshape(shape)
        return self

    def resize_as_(self, the_template: Tensor) -> Tensor:
        """``resize_(the_template.shape)``."""
        return self.resize_(the_template.shape)

    def contiguous(self, memory_format: memory_format = contiguous_format) -> Tensor:
        """Itself where its elements lie in that order in memory without gaps, else such a copy.

        Raises
        ------
        RuntimeError
            For `channels_last` and a tensor that has not four dimensions.
        """
        if self.is_contiguous(memory_format) or memory_format is preserve_format:
            return self
        if memory_format is contiguous_format:
            return apply(primitives.contiguous, self)
        if self.ndim != 4:
            raise RuntimeError(
                f"required rank 4 tensor to use channels_last format, got a tensor of shape {list(self.shape)}"
            )
        return apply(primitives.channels_last, self)
