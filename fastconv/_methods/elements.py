"""Elements and parts: by indices, masks and slices."""

from __future__ import annotations

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import functions, primitives
from .._native import tape
from .._native.tape import TensorBase, apply
from ..checks import brief
from ..dtypes import OPERANDS, bfloat16, convert, fitting
from ..functions.indexing import getitem, is_mask, split_index
from ..functions.operands import array_of, numpy_names

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["Elements"]


class Elements:
    """What functions of indices and masks there are, in place by the same, and a tensor as a sequence."""

    __slots__ = ()

    def __getitem__(self, index: Any) -> Tensor:
        return getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, (*OPERANDS, list, tuple)):
            raise TypeError(f"expected a tensor or a number to assign, got {brief(value)}")
        view, chosen = split_index(index, self._array.shape)
        copied = chosen is None or isinstance(index, bool) or not isinstance(value, TensorBase) or value.numel() == 1
        if not copied and value.dtype != self.dtype:
            raise RuntimeError(
                f"Index put requires the source and destination dtypes match, got {self.dtype} for the destination and "
                f"{value.dtype} for the source."
            )
        if index is False:  # which picks nothing
            return
        if isinstance(value, (int, float)) and self.dtype not in (np.float16, bfloat16):
            value = fitting(value, self.dtype)
        try:
            recorded = tape.check_writable(self, value)
            region = self._array[view]
            if isinstance(value, TensorBase):
                if chosen is None:
                    if value._array.size == region.size:  # It is broadcast first, and what is repeated is let pass.
                        tape.check_overlap(region, value._array.reshape(region.shape))
                elif value._array.size != 1 or not is_mask(index):  # Of one element a mask takes the number first.
                    tape.check_overlap(region, value, whole=True)
            if not recorded:
                array = value._array if isinstance(value, TensorBase) else value
                if self._array.dtype.kind == "V" or (isinstance(value, TensorBase) and value._array.dtype.kind == "V"):
                    array = convert(np.asarray(array), self._array.dtype)
                region[... if chosen is None else chosen] = array
                tape.mark_written(self)
            else:
                region = apply(primitives.index, self, index=view, basic=True)
                if chosen is None:
                    value = value if isinstance(value, (TensorBase, np.ndarray)) else np.asarray(value)
                    while value.ndim > region.ndim and value.shape[0] == 1:
                        value = value[0]
                    region._overwrite(value)
                else:
                    region._become(apply(primitives.put, region, value, at=chosen))
        except ValueError:
            shape = list((self._array[view] if chosen is None else self._array[view][chosen]).shape)
            raise RuntimeError(f"shape mismatch: cannot assign {brief(value)} to elements of shape {shape}") from None
        except OverflowError:
            raise RuntimeError(f"value {value!r} cannot be converted to {self.dtype} without overflow") from None

    def __len__(self) -> _int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(functions.unbind(self))

    def __contains__(self, value: Any) -> _bool:
        return bool(np.any(array_of(self) == array_of(value)))

    @numpy_names
    def gather(self, dim: _int, index: Tensor, *, sparse_grad: _bool = False) -> Tensor:
        """See :func:`fastconv.gather`."""
        return functions.gather(self, dim, index, sparse_grad=sparse_grad)

    @numpy_names
    def scatter(
        self, dim: _int, index: Tensor, src: Tensor | _float | None = None, *, value: Any = None, reduce: Any = None
    ) -> Tensor:
        """See :func:`fastconv.scatter`."""
        return functions.scatter(self, dim, index, src, value=value, reduce=reduce)

    @numpy_names
    def scatter_(
        self, dim: _int, index: Tensor, src: Tensor | _float | None = None, *, value: Any = None, reduce: Any = None
    ) -> Tensor:
        """:func:`fastconv.scatter`, in place."""
        return self._become(functions.scatter(self, dim, index, src, value=value, reduce=reduce), src, whole=True)

    @numpy_names
    def scatter_add(self, dim: _int, index: Tensor, src: Tensor) -> Tensor:
        """See :func:`fastconv.scatter_add`."""
        return functions.scatter_add(self, dim, index, src)

    @numpy_names
    def scatter_add_(self, dim: _int, index: Tensor, src: Tensor) -> Tensor:
        """:func:`fastconv.scatter_add`, in place."""
        return self._become(functions.scatter_add(self, dim, index, src), src, whole=True)

    @numpy_names
    def scatter_reduce(
        self, dim: _int, index: Tensor, src: Tensor, reduce: str, *, include_self: _bool = True
    ) -> Tensor:
        """See :func:`fastconv.scatter_reduce`."""
        return functions.scatter_reduce(self, dim, index, src, reduce, include_self=include_self)

    @numpy_names
    def scatter_reduce_(
        self, dim: _int, index: Tensor, src: Tensor, reduce: str, *, include_self: _bool = True
    ) -> Tensor:
        """:func:`fastconv.scatter_reduce`, in place."""
        result = functions.scatter_reduce(self.clone(), dim, index, src, reduce, include_self=include_self)
        return self._become(result, src, whole=True)

    @numpy_names
    def index_select(self, dim: _int, index: Tensor) -> Tensor:
        """See :func:`fastconv.index_select`."""
        return functions.index_select(self, dim, index)

    @numpy_names
    def index_add(self, dim: _int, index: Tensor, source: Tensor, *, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.index_add`."""
        return functions.index_add(self, dim, index, source, alpha=alpha)

    @numpy_names
    def index_add_(self, dim: _int, index: Tensor, source: Tensor, *, alpha: _float = 1) -> Tensor:
        """:func:`fastconv.index_add`, in place."""
        return self._become(functions.index_add(self, dim, index, source, alpha=alpha), source, whole=True)

    @numpy_names
    def index_copy(self, dim: _int, index: Tensor, source: Tensor) -> Tensor:
        """See :func:`fastconv.index_copy`."""
        return functions.index_copy(self, dim, index, source)

    @numpy_names
    def index_copy_(self, dim: _int, index: Tensor, source: Tensor) -> Tensor:
        """:func:`fastconv.index_copy`, in place."""
        return self._become(functions.index_copy(self, dim, index, source), source, whole=True)

    @numpy_names
    def index_fill(self, dim: _int, index: Tensor, value: _float | Tensor) -> Tensor:
        """See :func:`fastconv.index_fill`."""
        return functions.index_fill(self, dim, index, value)

    @numpy_names
    def index_fill_(self, dim: _int, index: Tensor, value: _float | Tensor) -> Tensor:
        """:func:`fastconv.index_fill`, in place."""
        return self._become(functions.index_fill(self, dim, index, value))

    def take(self, index: Tensor) -> Tensor:
        """See :func:`fastconv.take`."""
        return functions.take(self, index)

    @numpy_names
    def take_along_dim(self, indices: Tensor, dim: _int | None = None) -> Tensor:
        """See :func:`fastconv.take_along_dim`."""
        return functions.take_along_dim(self, indices, dim)

    def masked_fill(self, mask: Tensor, value: _float | Tensor) -> Tensor:
        """See :func:`fastconv.masked_fill`."""
        return functions.masked_fill(self, mask, value)

    def masked_fill_(self, mask: Tensor, value: _float | Tensor) -> Tensor:
        """:func:`fastconv.masked_fill`, in place."""
        return self._become(functions.masked_fill(self, mask, value))

    def fill_diagonal_(self, fill_value: _float, wrap: _bool = False) -> Tensor:
        """Fill the elements whose indices are all equal with a number, in place.

        With `wrap` the diagonal of a matrix begins anew below each square of it.
        """
        if self.ndim < 2:
            raise RuntimeError(f"fill_diagonal_: dimensions must larger than 1, got {list(self.shape)}")
        if self.ndim > 2 and len(set(self.shape)) > 1:
            raise RuntimeError(f"all dimensions of input must be of equal length, got {list(self.shape)}")
        mask = np.zeros(self.shape, np.bool_)
        np.fill_diagonal(mask, True, wrap)
        return self.masked_fill_(tape.wrap(mask), fill_value)

    def masked_scatter(self, mask: Tensor, source: Tensor) -> Tensor:
        """See :func:`fastconv.masked_scatter`."""
        return functions.masked_scatter(self, mask, source)

    def masked_scatter_(self, mask: Tensor, source: Tensor) -> Tensor:
        """:func:`fastconv.masked_scatter`, in place."""
        return self._become(functions.masked_scatter(self, mask, source))

    def masked_select(self, mask: Tensor) -> Tensor:
        """See :func:`fastconv.masked_select`."""
        return functions.masked_select(self, mask)

    def nonzero(self, *, as_tuple: _bool = False) -> Any:
        """See :func:`fastconv.nonzero`."""
        return functions.nonzero(self, as_tuple=as_tuple)

    def argwhere(self) -> Tensor:
        """See :func:`fastconv.argwhere`."""
        return functions.argwhere(self)

    @numpy_names
    def select(self, dim: _int, index: _int) -> Tensor:
        """See :func:`fastconv.select`."""
        return functions.select(self, dim, index)

    @numpy_names
    def narrow(self, dim: _int, start: _int | Tensor, length: _int) -> Tensor:
        """See :func:`fastconv.narrow`."""
        return functions.narrow(self, dim, start, length)

    @numpy_names
    def split(self, split_size_or_sections: _int | Sequence[_int], dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.split`."""
        return functions.split(self, split_size_or_sections, dim)

    @numpy_names
    def split_with_sizes(self, split_sizes: Sequence[_int], dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.split_with_sizes`."""
        return functions.split_with_sizes(self, split_sizes, dim)

    @numpy_names
    def chunk(self, chunks: _int, dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.chunk`."""
        return functions.chunk(self, chunks, dim)

    @numpy_names
    def tensor_split(self, indices_or_sections: _int | Sequence[_int], dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.tensor_split`."""
        return functions.tensor_split(self, indices_or_sections, dim)

    @numpy_names
    def unbind(self, dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.unbind`."""
        return functions.unbind(self, dim)

    def diagonal(self, offset: _int = 0, dim1: _int = 0, dim2: _int = 1) -> Tensor:
        """See :func:`fastconv.diagonal`."""
        return functions.diagonal(self, offset, dim1, dim2)

    def diag(self, diagonal: _int = 0) -> Tensor:
        """See :func:`fastconv.diag`."""
        return functions.diag(self, diagonal)

    def diag_embed(self, offset: _int = 0, dim1: _int = -2, dim2: _int = -1) -> Tensor:
        """See :func:`fastconv.diag_embed`."""
        return functions.diag_embed(self, offset, dim1, dim2)

    def tril(self, diagonal: _int = 0) -> Tensor:
        """See :func:`fastconv.tril`."""
        return functions.tril(self, diagonal)

    def tril_(self, diagonal: _int = 0) -> Tensor:
        """:func:`fastconv.tril`, in place."""
        return self._become(functions.tril(self, diagonal))

    def triu(self, diagonal: _int = 0) -> Tensor:
        """See :func:`fastconv.triu`."""
        return functions.triu(self, diagonal)

    def triu_(self, diagonal: _int = 0) -> Tensor:
        """:func:`fastconv.triu`, in place."""
        return self._become(functions.triu(self, diagonal))

    def unfold(self, dimension: _int, size: _int, step: _int) -> Tensor:
        """A view of all windows of `size` elements of a dimension, `step` apart, each along a new last dimension."""
        return functions.unfold_dimension(self, dimension, size, step)
