"""Sums, extrema and moments over whole dimensions, running sums, and what is put in order."""

from __future__ import annotations

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from numpy.typing import DTypeLike

from .. import functions
from ..functions.operands import numpy_names

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["Reductions"]


class Reductions:
    """What functions over whole dimensions there are."""

    __slots__ = ()

    @numpy_names
    def sum(
        self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """See :func:`fastconv.sum`."""
        return functions.sum(self, dim, keepdim, dtype=dtype)

    @numpy_names
    def nansum(
        self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """See :func:`fastconv.nansum`."""
        return functions.nansum(self, dim, keepdim, dtype=dtype)

    @numpy_names
    def mean(
        self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """See :func:`fastconv.mean`."""
        return functions.mean(self, dim, keepdim, dtype=dtype)

    @numpy_names
    def nanmean(
        self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """See :func:`fastconv.nanmean`."""
        return functions.nanmean(self, dim, keepdim, dtype=dtype)

    @numpy_names
    def var(
        self,
        dim: _int | Sequence[_int] | None = None,
        unbiased: _bool = True,
        keepdim: _bool = False,
        *,
        correction: _int | None = None,
    ) -> Tensor:
        """See :func:`fastconv.var`."""
        return functions.var(self, dim, unbiased, keepdim, correction=correction)

    @numpy_names
    def std(
        self,
        dim: _int | Sequence[_int] | None = None,
        unbiased: _bool = True,
        keepdim: _bool = False,
        *,
        correction: _int | None = None,
    ) -> Tensor:
        """See :func:`fastconv.std`."""
        return functions.std(self, dim, unbiased, keepdim, correction=correction)

    @numpy_names
    def norm(
        self,
        p: _float | str | None = "fro",
        dim: _int | Sequence[_int] | None = None,
        keepdim: _bool = False,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """See :func:`fastconv.norm`."""
        return functions.norm(self, p, dim, keepdim, dtype=dtype)

    @numpy_names
    def prod(self, dim: _int | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.prod`."""
        return functions.prod(self, dim, keepdim, dtype=dtype)

    @numpy_names
    def logsumexp(self, dim: _int | Sequence[_int], keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.logsumexp`."""
        return functions.logsumexp(self, dim, keepdim)

    @numpy_names
    def max(self, dim: _int | Tensor | None = None, keepdim: _bool = False, *, other: Tensor | None = None) -> Any:
        """See :func:`fastconv.max`."""
        return functions.max(self, dim if other is None else other, keepdim)

    @numpy_names
    def min(self, dim: _int | Tensor | None = None, keepdim: _bool = False, *, other: Tensor | None = None) -> Any:
        """See :func:`fastconv.min`."""
        return functions.min(self, dim if other is None else other, keepdim)

    @numpy_names
    def amax(self, dim: _int | Sequence[_int] = (), keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.amax`."""
        return functions.amax(self, dim, keepdim)

    @numpy_names
    def amin(self, dim: _int | Sequence[_int] = (), keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.amin`."""
        return functions.amin(self, dim, keepdim)

    @numpy_names
    def aminmax(self, *, dim: _int | None = None, keepdim: _bool = False) -> tuple[Tensor, Tensor]:
        """See :func:`fastconv.aminmax`."""
        return functions.aminmax(self, dim=dim, keepdim=keepdim)

    @numpy_names
    def argmax(self, dim: _int | None = None, keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.argmax`."""
        return functions.argmax(self, dim, keepdim)

    @numpy_names
    def argmin(self, dim: _int | None = None, keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.argmin`."""
        return functions.argmin(self, dim, keepdim)

    @numpy_names
    def any(self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.any`."""
        return functions.any(self, dim, keepdim)

    @numpy_names
    def all(self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.all`."""
        return functions.all(self, dim, keepdim)

    @numpy_names
    def count_nonzero(self, dim: _int | Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.count_nonzero`."""
        return functions.count_nonzero(self, dim)

    def trace(self) -> Tensor:
        """See :func:`fastconv.trace`."""
        return functions.trace(self)

    @numpy_names
    def cumsum(self, dim: _int, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.cumsum`."""
        return functions.cumsum(self, dim, dtype=dtype)

    @numpy_names
    def cumsum_(self, dim: _int, *, dtype: DTypeLike | None = None) -> Tensor:
        """:func:`fastconv.cumsum`, in place."""
        return self._become(functions.cumsum(self, dim, dtype=dtype))

    @numpy_names
    def cumprod(self, dim: _int, *, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.cumprod`."""
        return functions.cumprod(self, dim, dtype=dtype)

    @numpy_names
    def cumprod_(self, dim: _int, *, dtype: DTypeLike | None = None) -> Tensor:
        """:func:`fastconv.cumprod`, in place."""
        return self._become(functions.cumprod(self, dim, dtype=dtype))

    @numpy_names
    def cummax(self, dim: _int) -> Any:
        """See :func:`fastconv.cummax`."""
        return functions.cummax(self, dim)

    @numpy_names
    def cummin(self, dim: _int) -> Any:
        """See :func:`fastconv.cummin`."""
        return functions.cummin(self, dim)

    @numpy_names
    def diff(self, n: _int = 1, dim: _int = -1, prepend: Tensor | None = None, append: Tensor | None = None) -> Tensor:
        """See :func:`fastconv.diff`."""
        return functions.diff(self, n, dim, prepend, append)

    @numpy_names
    def sort(self, dim: _int = -1, descending: _bool = False, stable: _bool = True) -> Any:
        """See :func:`fastconv.sort`."""
        return functions.sort(self, dim, descending, stable)

    @numpy_names
    def argsort(self, dim: _int = -1, descending: _bool = False, stable: _bool = True) -> Tensor:
        """See :func:`fastconv.argsort`."""
        return functions.argsort(self, dim, descending, stable)

    @numpy_names
    def topk(self, k: _int, dim: _int = -1, largest: _bool = True, sorted: _bool = True) -> Any:
        """See :func:`fastconv.topk`."""
        return functions.topk(self, k, dim, largest, sorted)

    @numpy_names
    def kthvalue(self, k: _int, dim: _int = -1, keepdim: _bool = False) -> Any:
        """See :func:`fastconv.kthvalue`."""
        return functions.kthvalue(self, k, dim, keepdim)

    @numpy_names
    def median(self, dim: _int | None = None, keepdim: _bool = False) -> Any:
        """See :func:`fastconv.median`."""
        return functions.median(self, dim, keepdim)

    @numpy_names
    def mode(self, dim: _int = -1, keepdim: _bool = False) -> Any:
        """See :func:`fastconv.mode`."""
        return functions.mode(self, dim, keepdim)

    @numpy_names
    def quantile(
        self, q: _float | Tensor, dim: _int | None = None, keepdim: _bool = False, *, interpolation: str = "linear"
    ) -> Tensor:
        """See :func:`fastconv.quantile`."""
        return functions.quantile(self, q, dim, keepdim, interpolation=interpolation)

    @numpy_names
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
