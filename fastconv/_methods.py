"""The methods of Tensor that are also functions of the package: each calls its function.

They stand apart from :mod:`fastconv._tensor` because there are many of them; written out, so that editors see them.
"""

from __future__ import annotations

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from . import functions
from ._native import tape

if TYPE_CHECKING:
    from ._tensor import Tensor

__all__ = ["FunctionMethods"]


class FunctionMethods(tape.TensorBase):
    """What :class:`fastconv.Tensor` can do by functions of :mod:`fastconv.functions`, and in place by the same."""

    __slots__ = ()

    # Elementary functions

    def sin(self) -> Tensor:
        """See :func:`fastconv.sin`."""
        return functions.sin(self)

    def sin_(self) -> Tensor:
        """:func:`fastconv.sin`, in place."""
        return self._become(functions.sin(self))

    def cos(self) -> Tensor:
        """See :func:`fastconv.cos`."""
        return functions.cos(self)

    def cos_(self) -> Tensor:
        """:func:`fastconv.cos`, in place."""
        return self._become(functions.cos(self))

    def tan(self) -> Tensor:
        """See :func:`fastconv.tan`."""
        return functions.tan(self)

    def tan_(self) -> Tensor:
        """:func:`fastconv.tan`, in place."""
        return self._become(functions.tan(self))

    def asin(self) -> Tensor:
        """See :func:`fastconv.asin`."""
        return functions.asin(self)

    def asin_(self) -> Tensor:
        """:func:`fastconv.asin`, in place."""
        return self._become(functions.asin(self))

    def acos(self) -> Tensor:
        """See :func:`fastconv.acos`."""
        return functions.acos(self)

    def acos_(self) -> Tensor:
        """:func:`fastconv.acos`, in place."""
        return self._become(functions.acos(self))

    def atan(self) -> Tensor:
        """See :func:`fastconv.atan`."""
        return functions.atan(self)

    def atan_(self) -> Tensor:
        """:func:`fastconv.atan`, in place."""
        return self._become(functions.atan(self))

    def atan2(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.atan2`."""
        return functions.atan2(self, other)

    def atan2_(self, other: Tensor) -> Tensor:
        """:func:`fastconv.atan2`, in place."""
        return self._become(functions.atan2(self, other))

    def sinh(self) -> Tensor:
        """See :func:`fastconv.sinh`."""
        return functions.sinh(self)

    def sinh_(self) -> Tensor:
        """:func:`fastconv.sinh`, in place."""
        return self._become(functions.sinh(self))

    def cosh(self) -> Tensor:
        """See :func:`fastconv.cosh`."""
        return functions.cosh(self)

    def cosh_(self) -> Tensor:
        """:func:`fastconv.cosh`, in place."""
        return self._become(functions.cosh(self))

    def asinh(self) -> Tensor:
        """See :func:`fastconv.asinh`."""
        return functions.asinh(self)

    def asinh_(self) -> Tensor:
        """:func:`fastconv.asinh`, in place."""
        return self._become(functions.asinh(self))

    def acosh(self) -> Tensor:
        """See :func:`fastconv.acosh`."""
        return functions.acosh(self)

    def acosh_(self) -> Tensor:
        """:func:`fastconv.acosh`, in place."""
        return self._become(functions.acosh(self))

    def atanh(self) -> Tensor:
        """See :func:`fastconv.atanh`."""
        return functions.atanh(self)

    def atanh_(self) -> Tensor:
        """:func:`fastconv.atanh`, in place."""
        return self._become(functions.atanh(self))

    def expm1(self) -> Tensor:
        """See :func:`fastconv.expm1`."""
        return functions.expm1(self)

    def expm1_(self) -> Tensor:
        """:func:`fastconv.expm1`, in place."""
        return self._become(functions.expm1(self))

    def exp2(self) -> Tensor:
        """See :func:`fastconv.exp2`."""
        return functions.exp2(self)

    def exp2_(self) -> Tensor:
        """:func:`fastconv.exp2`, in place."""
        return self._become(functions.exp2(self))

    def log1p(self) -> Tensor:
        """See :func:`fastconv.log1p`."""
        return functions.log1p(self)

    def log1p_(self) -> Tensor:
        """:func:`fastconv.log1p`, in place."""
        return self._become(functions.log1p(self))

    def log2(self) -> Tensor:
        """See :func:`fastconv.log2`."""
        return functions.log2(self)

    def log2_(self) -> Tensor:
        """:func:`fastconv.log2`, in place."""
        return self._become(functions.log2(self))

    def log10(self) -> Tensor:
        """See :func:`fastconv.log10`."""
        return functions.log10(self)

    def log10_(self) -> Tensor:
        """:func:`fastconv.log10`, in place."""
        return self._become(functions.log10(self))

    def reciprocal(self) -> Tensor:
        """See :func:`fastconv.reciprocal`."""
        return functions.reciprocal(self)

    def reciprocal_(self) -> Tensor:
        """:func:`fastconv.reciprocal`, in place."""
        return self._become(functions.reciprocal(self))

    def rsqrt(self) -> Tensor:
        """See :func:`fastconv.rsqrt`."""
        return functions.rsqrt(self)

    def rsqrt_(self) -> Tensor:
        """:func:`fastconv.rsqrt`, in place."""
        return self._become(functions.rsqrt(self))

    def square(self) -> Tensor:
        """See :func:`fastconv.square`."""
        return functions.square(self)

    def square_(self) -> Tensor:
        """:func:`fastconv.square`, in place."""
        return self._become(functions.square(self))

    def erf(self) -> Tensor:
        """See :func:`fastconv.erf`."""
        return functions.erf(self)

    def erf_(self) -> Tensor:
        """:func:`fastconv.erf`, in place."""
        return self._become(functions.erf(self))

    def sign(self) -> Tensor:
        """See :func:`fastconv.sign`."""
        return functions.sign(self)

    def sign_(self) -> Tensor:
        """:func:`fastconv.sign`, in place."""
        return self._become(functions.sign(self))

    def floor(self) -> Tensor:
        """See :func:`fastconv.floor`."""
        return functions.floor(self)

    def floor_(self) -> Tensor:
        """:func:`fastconv.floor`, in place."""
        return self._become(functions.floor(self))

    def ceil(self) -> Tensor:
        """See :func:`fastconv.ceil`."""
        return functions.ceil(self)

    def ceil_(self) -> Tensor:
        """:func:`fastconv.ceil`, in place."""
        return self._become(functions.ceil(self))

    def trunc(self) -> Tensor:
        """See :func:`fastconv.trunc`."""
        return functions.trunc(self)

    def trunc_(self) -> Tensor:
        """:func:`fastconv.trunc`, in place."""
        return self._become(functions.trunc(self))

    def round(self, *, decimals: _int = 0) -> Tensor:
        """See :func:`fastconv.round`."""
        return functions.round(self, decimals=decimals)

    def round_(self, *, decimals: _int = 0) -> Tensor:
        """:func:`fastconv.round`, in place."""
        return self._become(functions.round(self, decimals=decimals))

    def frac(self) -> Tensor:
        """See :func:`fastconv.frac`."""
        return functions.frac(self)

    def frac_(self) -> Tensor:
        """:func:`fastconv.frac`, in place."""
        return self._become(functions.frac(self))

    def fmod(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.fmod`."""
        return functions.fmod(self, other)

    def fmod_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.fmod`, in place."""
        return self._become(functions.fmod(self, other))

    def isinf(self) -> Tensor:
        """See :func:`fastconv.isinf`."""
        return functions.isinf(self)

    def nan_to_num(
        self, nan: _float | None = None, posinf: _float | None = None, neginf: _float | None = None
    ) -> Tensor:
        """See :func:`fastconv.nan_to_num`."""
        return functions.nan_to_num(self, nan, posinf, neginf)

    def nan_to_num_(
        self, nan: _float | None = None, posinf: _float | None = None, neginf: _float | None = None
    ) -> Tensor:
        """:func:`fastconv.nan_to_num`, in place."""
        return self._become(functions.nan_to_num(self, nan, posinf, neginf))

    # Order

    def sort(self, dim: _int = -1, descending: _bool = False, stable: _bool = True) -> Any:
        """See :func:`fastconv.sort`."""
        return functions.sort(self, dim, descending, stable)

    def argsort(self, dim: _int = -1, descending: _bool = False, stable: _bool = True) -> Tensor:
        """See :func:`fastconv.argsort`."""
        return functions.argsort(self, dim, descending, stable)

    def topk(self, k: _int, dim: _int = -1, largest: _bool = True, sorted: _bool = True) -> Any:
        """See :func:`fastconv.topk`."""
        return functions.topk(self, k, dim, largest, sorted)

    def kthvalue(self, k: _int, dim: _int = -1, keepdim: _bool = False) -> Any:
        """See :func:`fastconv.kthvalue`."""
        return functions.kthvalue(self, k, dim, keepdim)

    def median(self, dim: _int | None = None, keepdim: _bool = False) -> Any:
        """See :func:`fastconv.median`."""
        return functions.median(self, dim, keepdim)

    def mode(self, dim: _int = -1, keepdim: _bool = False) -> Any:
        """See :func:`fastconv.mode`."""
        return functions.mode(self, dim, keepdim)

    def quantile(
        self, q: _float | Tensor, dim: _int | None = None, keepdim: _bool = False, *, interpolation: str = "linear"
    ) -> Tensor:
        """See :func:`fastconv.quantile`."""
        return functions.quantile(self, q, dim, keepdim, interpolation=interpolation)

    def unique(
        self, sorted: _bool = True, return_inverse: _bool = False, return_counts: _bool = False, dim: _int | None = None
    ) -> Any:
        """See :func:`fastconv.unique`."""
        return functions.unique(self, sorted, return_inverse, return_counts, dim)

    def unique_consecutive(self, return_inverse: _bool = False, return_counts: _bool = False) -> Any:
        """See :func:`fastconv.unique_consecutive`."""
        return functions.unique_consecutive(self, return_inverse, return_counts)

    def bincount(self, weights: Tensor | None = None, minlength: _int = 0) -> Tensor:
        """See :func:`fastconv.bincount`."""
        return functions.bincount(self, weights, minlength)

    def histc(self, bins: _int = 100, min: _float = 0, max: _float = 0) -> Tensor:
        """See :func:`fastconv.histc`."""
        return functions.histc(self, bins, min, max)

    # Elements and slices by indices

    def gather(self, dim: _int, index: Tensor, *, sparse_grad: _bool = False) -> Tensor:
        """See :func:`fastconv.gather`."""
        return functions.gather(self, dim, index, sparse_grad=sparse_grad)

    def scatter(
        self, dim: _int, index: Tensor, src: Tensor | _float | None = None, *, value: Any = None, reduce: Any = None
    ) -> Tensor:
        """See :func:`fastconv.scatter`."""
        return functions.scatter(self, dim, index, src, value=value, reduce=reduce)

    def scatter_(
        self, dim: _int, index: Tensor, src: Tensor | _float | None = None, *, value: Any = None, reduce: Any = None
    ) -> Tensor:
        """:func:`fastconv.scatter`, in place."""
        return self._become(functions.scatter(self, dim, index, src, value=value, reduce=reduce))

    def scatter_add(self, dim: _int, index: Tensor, src: Tensor) -> Tensor:
        """See :func:`fastconv.scatter_add`."""
        return functions.scatter_add(self, dim, index, src)

    def scatter_add_(self, dim: _int, index: Tensor, src: Tensor) -> Tensor:
        """:func:`fastconv.scatter_add`, in place."""
        return self._become(functions.scatter_add(self, dim, index, src))

    def index_select(self, dim: _int, index: Tensor) -> Tensor:
        """See :func:`fastconv.index_select`."""
        return functions.index_select(self, dim, index)

    def index_add(self, dim: _int, index: Tensor, source: Tensor, *, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.index_add`."""
        return functions.index_add(self, dim, index, source, alpha=alpha)

    def index_add_(self, dim: _int, index: Tensor, source: Tensor, *, alpha: _float = 1) -> Tensor:
        """:func:`fastconv.index_add`, in place."""
        return self._become(functions.index_add(self, dim, index, source, alpha=alpha))

    def index_copy(self, dim: _int, index: Tensor, source: Tensor) -> Tensor:
        """See :func:`fastconv.index_copy`."""
        return functions.index_copy(self, dim, index, source)

    def index_copy_(self, dim: _int, index: Tensor, source: Tensor) -> Tensor:
        """:func:`fastconv.index_copy`, in place."""
        return self._become(functions.index_copy(self, dim, index, source))

    def index_fill(self, dim: _int, index: Tensor, value: _float | Tensor) -> Tensor:
        """See :func:`fastconv.index_fill`."""
        return functions.index_fill(self, dim, index, value)

    def index_fill_(self, dim: _int, index: Tensor, value: _float | Tensor) -> Tensor:
        """:func:`fastconv.index_fill`, in place."""
        return self._become(functions.index_fill(self, dim, index, value))

    def take_along_dim(self, indices: Tensor, dim: _int | None = None) -> Tensor:
        """See :func:`fastconv.take_along_dim`."""
        return functions.take_along_dim(self, indices, dim)

    def take(self, index: Tensor) -> Tensor:
        """See :func:`fastconv.take`."""
        return functions.take(self, index)

    def masked_fill(self, mask: Tensor, value: _float | Tensor) -> Tensor:
        """See :func:`fastconv.masked_fill`."""
        return functions.masked_fill(self, mask, value)

    def masked_fill_(self, mask: Tensor, value: _float | Tensor) -> Tensor:
        """:func:`fastconv.masked_fill`, in place."""
        return self._become(functions.masked_fill(self, mask, value))

    def masked_select(self, mask: Tensor) -> Tensor:
        """See :func:`fastconv.masked_select`."""
        return functions.masked_select(self, mask)

    def nonzero(self, *, as_tuple: _bool = False) -> Any:
        """See :func:`fastconv.nonzero`."""
        return functions.nonzero(self, as_tuple=as_tuple)

    def select(self, dim: _int, index: _int) -> Tensor:
        """See :func:`fastconv.select`."""
        return functions.select(self, dim, index)

    def narrow(self, dim: _int, start: _int | Tensor, length: _int) -> Tensor:
        """See :func:`fastconv.narrow`."""
        return functions.narrow(self, dim, start, length)

    def split(self, split_size_or_sections: _int | Sequence[_int], dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.split`."""
        return functions.split(self, split_size_or_sections, dim)

    def chunk(self, chunks: _int, dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.chunk`."""
        return functions.chunk(self, chunks, dim)

    def tensor_split(self, indices_or_sections: _int | Sequence[_int], dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.tensor_split`."""
        return functions.tensor_split(self, indices_or_sections, dim)

    def unbind(self, dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.unbind`."""
        return functions.unbind(self, dim)

    def diagonal(self, offset: _int = 0, dim1: _int = 0, dim2: _int = 1) -> Tensor:
        """See :func:`fastconv.diagonal`."""
        return functions.diagonal(self, offset, dim1, dim2)

    # Turned, repeated, shifted

    def flip(self, *dims: _int | Sequence[_int]) -> Tensor:
        """See :func:`fastconv.flip`."""
        return functions.flip(self, *dims)

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

    def movedim(self, source: _int | Sequence[_int], destination: _int | Sequence[_int]) -> Tensor:
        """See :func:`fastconv.movedim`."""
        return functions.movedim(self, source, destination)

    def repeat(self, *repeats: _int | Sequence[_int]) -> Tensor:
        """See :func:`fastconv.repeat`."""
        return functions.repeat(self, *repeats)

    def tile(self, *dims: _int | Sequence[_int]) -> Tensor:
        """See :func:`fastconv.tile`."""
        return functions.tile(self, *dims)

    def repeat_interleave(self, repeats: _int | Tensor, dim: _int | None = None) -> Tensor:
        """See :func:`fastconv.repeat_interleave`."""
        return functions.repeat_interleave(self, repeats, dim)

    def ravel(self) -> Tensor:
        """See :func:`fastconv.ravel`."""
        return functions.ravel(self)

    def unflatten(self, dim: _int, sizes: Sequence[_int]) -> Tensor:
        """See :func:`fastconv.unflatten`."""
        return functions.unflatten(self, dim, sizes)

    def broadcast_to(self, shape: Sequence[_int]) -> Tensor:
        """See :func:`fastconv.broadcast_to`."""
        return functions.broadcast_to(self, shape)

    # Running sums and products

    def cumsum(self, dim: _int, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.cumsum`."""
        return functions.cumsum(self, dim, dtype=dtype)

    def cumsum_(self, dim: _int, *, dtype: DTypeLike | None = None) -> Tensor:
        """:func:`fastconv.cumsum`, in place."""
        return self._become(functions.cumsum(self, dim, dtype=dtype))

    def cumprod(self, dim: _int, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.cumprod`."""
        return functions.cumprod(self, dim, dtype=dtype)

    def cumprod_(self, dim: _int, *, dtype: DTypeLike | None = None) -> Tensor:
        """:func:`fastconv.cumprod`, in place."""
        return self._become(functions.cumprod(self, dim, dtype=dtype))

    def prod(self, dim: _int | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.prod`."""
        return functions.prod(self, dim, keepdim, dtype=dtype)

    def cummax(self, dim: _int) -> Any:
        """See :func:`fastconv.cummax`."""
        return functions.cummax(self, dim)

    def cummin(self, dim: _int) -> Any:
        """See :func:`fastconv.cummin`."""
        return functions.cummin(self, dim)

    def logsumexp(self, dim: _int | Sequence[_int], keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.logsumexp`."""
        return functions.logsumexp(self, dim, keepdim)

    def diff(self, n: _int = 1, dim: _int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
        """See :func:`fastconv.diff`."""
        return functions.diff(self, n, dim, prepend, append)

    def count_nonzero(self, dim: _int | Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.count_nonzero`."""
        return functions.count_nonzero(self, dim)

    # Vectors and matrices

    def mm(self, mat2: Tensor) -> Tensor:
        """See :func:`fastconv.mm`."""
        return functions.mm(self, mat2)

    def bmm(self, mat2: Tensor) -> Tensor:
        """See :func:`fastconv.bmm`."""
        return functions.bmm(self, mat2)

    def mv(self, vec: Tensor) -> Tensor:
        """See :func:`fastconv.mv`."""
        return functions.mv(self, vec)

    def dot(self, tensor: Tensor) -> Tensor:
        """See :func:`fastconv.dot`."""
        return functions.dot(self, tensor)

    def inner(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.inner`."""
        return functions.inner(self, other)

    def outer(self, vec2: Tensor) -> Tensor:
        """See :func:`fastconv.outer`."""
        return functions.outer(self, vec2)

    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.addmm`."""
        return functions.addmm(self, mat1, mat2, beta=beta, alpha=alpha)

    def addmm_(self, mat1: Tensor, mat2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        """:func:`fastconv.addmm`, in place."""
        return self._become(functions.addmm(self, mat1, mat2, beta=beta, alpha=alpha))

    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.baddbmm`."""
        return functions.baddbmm(self, batch1, batch2, beta=beta, alpha=alpha)

    def baddbmm_(self, batch1: Tensor, batch2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        """:func:`fastconv.baddbmm`, in place."""
        return self._become(functions.baddbmm(self, batch1, batch2, beta=beta, alpha=alpha))

    def kron(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.kron`."""
        return functions.kron(self, other)

    def cross(self, other: Tensor, dim: _int = -1) -> Tensor:
        """See :func:`fastconv.cross`."""
        return functions.cross(self, other, dim)

    def trace(self) -> Tensor:
        """See :func:`fastconv.trace`."""
        return functions.trace(self)

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

    def diag_embed(self, offset: _int = 0, dim1: _int = -2, dim2: _int = -1) -> Tensor:
        """See :func:`fastconv.diag_embed`."""
        return functions.diag_embed(self, offset, dim1, dim2)

    def diag(self, diagonal: _int = 0) -> Tensor:
        """See :func:`fastconv.diag`."""
        return functions.diag(self, diagonal)

    # Truth values

    def logical_and(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.logical_and`."""
        return functions.logical_and(self, other)

    def logical_and_(self, other: Tensor) -> Tensor:
        """:func:`fastconv.logical_and`, in place."""
        return self._become(functions.logical_and(self, other))

    def logical_or(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.logical_or`."""
        return functions.logical_or(self, other)

    def logical_or_(self, other: Tensor) -> Tensor:
        """:func:`fastconv.logical_or`, in place."""
        return self._become(functions.logical_or(self, other))

    def logical_xor(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.logical_xor`."""
        return functions.logical_xor(self, other)

    def logical_xor_(self, other: Tensor) -> Tensor:
        """:func:`fastconv.logical_xor`, in place."""
        return self._become(functions.logical_xor(self, other))

    def logical_not(self) -> Tensor:
        """See :func:`fastconv.logical_not`."""
        return functions.logical_not(self)

    def logical_not_(self) -> Tensor:
        """:func:`fastconv.logical_not`, in place."""
        return self._become(functions.logical_not(self))

    def signbit(self) -> Tensor:
        """See :func:`fastconv.signbit`."""
        return functions.signbit(self)

    def isclose(self, other: Tensor, rtol: _float = 1e-05, atol: _float = 1e-08, equal_nan: _bool = False) -> Tensor:
        """See :func:`fastconv.isclose`."""
        return functions.isclose(self, other, rtol, atol, equal_nan)

    # In the place or the shape of others

    def where(self, condition: Tensor, other: Tensor | _float) -> Tensor:
        """These elements where `condition` holds, else `other`; see :func:`fastconv.where`."""
        return functions.where(condition, self, other)

    def unfold(self, dimension: _int, size: _int, step: _int) -> Tensor:
        """A view of all windows of `size` elements of a dimension, `step` apart, each along a new last dimension."""
        return functions.unfold_dimension(self, dimension, size, step)

    def abs_(self) -> Tensor:
        """:func:`fastconv.abs`, in place."""
        return self._become(functions.abs(self))

    def exp_(self) -> Tensor:
        """:func:`fastconv.exp`, in place."""
        return self._become(functions.exp(self))

    def log_(self) -> Tensor:
        """:func:`fastconv.log`, in place."""
        return self._become(functions.log(self))

    def neg_(self) -> Tensor:
        """:func:`fastconv.neg`, in place."""
        return self._become(functions.neg(self))

    def relu_(self) -> Tensor:
        """:func:`fastconv.relu`, in place."""
        return self._become(functions.relu(self))

    def sigmoid_(self) -> Tensor:
        """:func:`fastconv.sigmoid`, in place."""
        return self._become(functions.sigmoid(self))

    def sqrt_(self) -> Tensor:
        """:func:`fastconv.sqrt`, in place."""
        return self._become(functions.sqrt(self))

    def tanh_(self) -> Tensor:
        """:func:`fastconv.tanh`, in place."""
        return self._become(functions.tanh(self))

    def pow_(self, exponent: Tensor | _float) -> Tensor:
        """:func:`fastconv.pow`, in place."""
        return self._become(functions.pow(self, exponent))

    def remainder_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.remainder`, in place."""
        return self._become(functions.remainder(self, other))

    def floor_divide_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.floor_divide`, in place."""
        return self._become(functions.floor_divide(self, other))

    def nelement(self) -> _int:
        """Number of elements."""
        return self._array.size

    def element_size(self) -> _int:
        """Bytes of an element."""
        return self._array.itemsize

    def data_ptr(self) -> _int:
        """The address of the first element."""
        return self._array.__array_interface__["data"][0]

    def expand_as(self, other: Tensor) -> Tensor:
        """See :meth:`expand`; to the shape of another tensor."""
        return functions.expand(self, other.shape)

    def reshape_as(self, other: Tensor) -> Tensor:
        """See :meth:`reshape`; to the shape of another tensor."""
        return functions.reshape(self, other.shape)

    def absolute(self) -> Tensor:
        """:func:`fastconv.abs` by another name."""
        return functions.abs(self)

    def clip(self, min: Tensor | _float | None = None, max: Tensor | _float | None = None) -> Tensor:
        """:func:`fastconv.clamp` by another name."""
        return functions.clamp(self, min, max)

    def divide(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.div` by another name."""
        return functions.div(self, other)

    def greater(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.gt` by another name."""
        return functions.gt(self, other)

    def greater_equal(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.ge` by another name."""
        return functions.ge(self, other)

    def less(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.lt` by another name."""
        return functions.lt(self, other)

    def less_equal(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.le` by another name."""
        return functions.le(self, other)

    def moveaxis(self, source: _int | Sequence[_int], destination: _int | Sequence[_int]) -> Tensor:
        """:func:`fastconv.movedim` by another name."""
        return functions.movedim(self, source, destination)

    def multiply(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.mul` by another name."""
        return functions.mul(self, other)

    def negative(self) -> Tensor:
        """:func:`fastconv.neg` by another name."""
        return functions.neg(self)

    def not_equal(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.ne` by another name."""
        return functions.ne(self, other)

    def subtract(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """:func:`fastconv.sub` by another name."""
        return functions.sub(self, other, alpha=alpha)

    def swapaxes(self, dim0: _int, dim1: _int) -> Tensor:
        """:func:`fastconv.transpose` by another name."""
        return functions.transpose(self, dim0, dim1)

    def true_divide(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.div` by another name."""
        return functions.div(self, other)

    # Functions that are written in others, and comparisons in place

    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: _float = 1) -> Tensor:
        """See :func:`fastconv.addcmul`."""
        return functions.addcmul(self, tensor1, tensor2, value=value)

    def addcmul_(self, tensor1: Tensor, tensor2: Tensor, *, value: _float = 1) -> Tensor:
        """:func:`fastconv.addcmul`, in place."""
        return self._become(functions.addcmul(self, tensor1, tensor2, value=value))

    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: _float = 1) -> Tensor:
        """See :func:`fastconv.addcdiv`."""
        return functions.addcdiv(self, tensor1, tensor2, value=value)

    def addcdiv_(self, tensor1: Tensor, tensor2: Tensor, *, value: _float = 1) -> Tensor:
        """:func:`fastconv.addcdiv`, in place."""
        return self._become(functions.addcdiv(self, tensor1, tensor2, value=value))

    def amax(self, dim: _int | Sequence[_int] = (), keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.amax`."""
        return functions.amax(self, dim, keepdim)

    def amin(self, dim: _int | Sequence[_int] = (), keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.amin`."""
        return functions.amin(self, dim, keepdim)

    def aminmax(self, *, dim: _int | None = None, keepdim: _bool = False) -> tuple[Tensor, Tensor]:
        """See :func:`fastconv.aminmax`."""
        return functions.aminmax(self, dim=dim, keepdim=keepdim)

    def argwhere(self) -> Tensor:
        """See :func:`fastconv.argwhere`."""
        return functions.argwhere(self)

    def clamp_max(self, max: Tensor | _float) -> Tensor:
        """See :func:`fastconv.clamp_max`."""
        return functions.clamp_max(self, max)

    def clamp_max_(self, max: Tensor | _float) -> Tensor:
        """:func:`fastconv.clamp_max`, in place."""
        return self._become(functions.clamp_max(self, max))

    def clamp_min(self, min: Tensor | _float) -> Tensor:
        """See :func:`fastconv.clamp_min`."""
        return functions.clamp_min(self, min)

    def clamp_min_(self, min: Tensor | _float) -> Tensor:
        """:func:`fastconv.clamp_min`, in place."""
        return self._become(functions.clamp_min(self, min))

    def deg2rad(self) -> Tensor:
        """See :func:`fastconv.deg2rad`."""
        return functions.deg2rad(self)

    def deg2rad_(self) -> Tensor:
        """:func:`fastconv.deg2rad`, in place."""
        return self._become(functions.deg2rad(self))

    def rad2deg(self) -> Tensor:
        """See :func:`fastconv.rad2deg`."""
        return functions.rad2deg(self)

    def rad2deg_(self) -> Tensor:
        """:func:`fastconv.rad2deg`, in place."""
        return self._become(functions.rad2deg(self))

    def dist(self, other: Tensor, p: _float = 2) -> Tensor:
        """See :func:`fastconv.dist`."""
        return functions.dist(self, other, p)

    def erfc(self) -> Tensor:
        """See :func:`fastconv.erfc`."""
        return functions.erfc(self)

    def erfc_(self) -> Tensor:
        """:func:`fastconv.erfc`, in place."""
        return self._become(functions.erfc(self))

    def erfinv(self) -> Tensor:
        """See :func:`fastconv.erfinv`."""
        return functions.erfinv(self)

    def erfinv_(self) -> Tensor:
        """:func:`fastconv.erfinv`, in place."""
        return self._become(functions.erfinv(self))

    def fmax(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.fmax`."""
        return functions.fmax(self, other)

    def fmin(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.fmin`."""
        return functions.fmin(self, other)

    def hypot(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.hypot`."""
        return functions.hypot(self, other)

    def logaddexp(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.logaddexp`."""
        return functions.logaddexp(self, other)

    def logit(self, eps: _float | None = None) -> Tensor:
        """See :func:`fastconv.logit`."""
        return functions.logit(self, eps)

    def logit_(self, eps: _float | None = None) -> Tensor:
        """:func:`fastconv.logit`, in place."""
        return self._become(functions.logit(self.clone(), eps))

    def xlogy(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.xlogy`."""
        return functions.xlogy(self, other)

    def xlogy_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.xlogy`, in place."""
        return self._become(functions.xlogy(self.clone(), other))

    def nansum(
        self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """See :func:`fastconv.nansum`."""
        return functions.nansum(self, dim, keepdim, dtype=dtype)

    def nanmean(
        self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """See :func:`fastconv.nanmean`."""
        return functions.nanmean(self, dim, keepdim, dtype=dtype)

    def positive(self) -> Tensor:
        """See :func:`fastconv.positive`."""
        return functions.positive(self)

    def is_complex(self) -> _bool:
        """See :func:`fastconv.is_complex`."""
        return functions.is_complex(self)

    def is_nonzero(self) -> _bool:
        """See :func:`fastconv.is_nonzero`."""
        return functions.is_nonzero(self)

    def is_same_size(self, other: Tensor) -> _bool:
        """See :func:`fastconv.is_same_size`."""
        return functions.is_same_size(self, other)

    def masked_scatter(self, mask: Tensor, source: Tensor) -> Tensor:
        """See :func:`fastconv.masked_scatter`."""
        return functions.masked_scatter(self, mask, source)

    def masked_scatter_(self, mask: Tensor, source: Tensor) -> Tensor:
        """:func:`fastconv.masked_scatter`, in place."""
        return self._become(functions.masked_scatter(self, mask, source))

    def scatter_reduce(
        self, dim: _int, index: Tensor, src: Tensor, reduce: str, *, include_self: _bool = True
    ) -> Tensor:
        """See :func:`fastconv.scatter_reduce`."""
        return functions.scatter_reduce(self, dim, index, src, reduce, include_self=include_self)

    def scatter_reduce_(
        self, dim: _int, index: Tensor, src: Tensor, reduce: str, *, include_self: _bool = True
    ) -> Tensor:
        """:func:`fastconv.scatter_reduce`, in place."""
        return self._become(functions.scatter_reduce(self.clone(), dim, index, src, reduce, include_self=include_self))

    def split_with_sizes(self, split_sizes: Sequence[_int], dim: _int = 0) -> tuple[Any, ...]:
        """See :func:`fastconv.split_with_sizes`."""
        return functions.split_with_sizes(self, split_sizes, dim)

    def maximum(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.maximum`."""
        return functions.maximum(self, other)

    def minimum(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.minimum`."""
        return functions.minimum(self, other)

    def remainder(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.remainder`."""
        return functions.remainder(self, other)

    def floor_divide(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.floor_divide`."""
        return functions.floor_divide(self, other)

    def bitwise_and(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_and`."""
        return functions.bitwise_and(self, other)

    def bitwise_and_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_and`, in place."""
        return self._become(functions.bitwise_and(self, other))

    def bitwise_or(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_or`."""
        return functions.bitwise_or(self, other)

    def bitwise_or_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_or`, in place."""
        return self._become(functions.bitwise_or(self, other))

    def bitwise_xor(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_xor`."""
        return functions.bitwise_xor(self, other)

    def bitwise_xor_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_xor`, in place."""
        return self._become(functions.bitwise_xor(self, other))

    def bitwise_left_shift(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_left_shift`."""
        return functions.bitwise_left_shift(self, other)

    def bitwise_left_shift_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_left_shift`, in place."""
        return self._become(functions.bitwise_left_shift(self, other))

    def bitwise_right_shift(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_right_shift`."""
        return functions.bitwise_right_shift(self, other)

    def bitwise_right_shift_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_right_shift`, in place."""
        return self._become(functions.bitwise_right_shift(self, other))

    def bitwise_not(self) -> Tensor:
        """See :func:`fastconv.bitwise_not`."""
        return functions.bitwise_not(self)

    def bitwise_not_(self) -> Tensor:
        """:func:`fastconv.bitwise_not`, in place."""
        return self._become(functions.bitwise_not(self))

    def eq_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.eq`, in place."""
        return self._become(functions.eq(self, other))

    def ne_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.ne`, in place."""
        return self._become(functions.ne(self, other))

    def lt_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.lt`, in place."""
        return self._become(functions.lt(self, other))

    def le_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.le`, in place."""
        return self._become(functions.le(self, other))

    def gt_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.gt`, in place."""
        return self._become(functions.gt(self, other))

    def ge_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.ge`, in place."""
        return self._become(functions.ge(self, other))

    def clip_(self, min: Tensor | _float | None = None, max: Tensor | _float | None = None) -> Tensor:
        """``clamp_``."""
        return self._become(functions.clamp(self, min, max))

    def divide_(self, other: Tensor | _float) -> Tensor:
        """``div_``."""
        return self._become(functions.div(self, other))

    def multiply_(self, other: Tensor | _float) -> Tensor:
        """``mul_``."""
        return self._become(functions.mul(self, other))

    def subtract_(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """``sub_``."""
        return self._become(functions.sub(self, other, alpha=alpha))

    def negative_(self) -> Tensor:
        """``neg_``."""
        return self._become(functions.neg(self))

    def fix(self) -> Tensor:
        """``trunc``."""
        return functions.trunc(self)

    def swapdims(self, dim0: _int, dim1: _int) -> Tensor:
        """``transpose``."""
        return functions.transpose(self, dim0, dim1)
