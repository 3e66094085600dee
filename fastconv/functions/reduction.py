"""Sums, extremes and other functions over whole dimensions."""

from __future__ import annotations

from collections import namedtuple
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import DTypeLike

from .. import primitives
from .._native.tape import TensorBase, apply, wrap
from ..dtypes import ARRAYS
from .operands import dimensions
from .pointwise import maximum, minimum

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "all",
    "any",
    "argmax",
    "argmin",
    "max",
    "max_result",
    "mean",
    "min",
    "norm",
    "std",
    "sum",
    "var",
]


max_result = namedtuple("max_result", ("values", "indices"))


def sum(input: Tensor, dim=None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Sum over all dimensions, or over `dim` (an int or several); integers and bools sum to int64.

    Narrower floats than float64 are accumulated in float64.
    """
    if dtype is not None:
        input = input.to(dtype)
    return apply(primitives.sum, input, dim=dimensions(dim, input), keepdim=keepdim)


def mean(input: Tensor, dim=None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Mean over all dimensions, or over `dim` (an int or several).

    Raises
    ------
    RuntimeError
        For a tensor of integers or bools.
    """
    if dtype is not None:
        input = input.to(dtype)
    if input.dtype.kind != "f":
        raise RuntimeError(f"mean() expects a floating dtype, got {input.dtype}; convert with float()")
    return apply(primitives.mean, input, dim=dimensions(dim, input), keepdim=keepdim)


def var(input: Tensor, dim=None, unbiased: bool = True, keepdim: bool = False, *, correction=None) -> Tensor:
    """Variance over all dimensions, or over `dim`: the sum of squares divided by ``n - correction``.

    Parameters
    ----------
    unbiased : bool
        Divide by n - 1 (the default) or by n, where `correction` is not given.
    """
    if input.dtype.kind != "f":
        raise RuntimeError(f"var() expects a floating dtype, got {input.dtype}; convert with float()")
    correction = int(unbiased) if correction is None else correction
    return apply(primitives.var, input, dim=dimensions(dim, input), keepdim=keepdim, correction=correction)


def std(input: Tensor, dim=None, unbiased: bool = True, keepdim: bool = False, *, correction=None) -> Tensor:
    """Standard deviation: the square root of :func:`var`; where it is 0, so is its gradient."""
    if input.dtype.kind != "f":
        raise RuntimeError(f"std() expects a floating dtype, got {input.dtype}; convert with float()")
    correction = int(unbiased) if correction is None else correction
    return apply(primitives.std, input, dim=dimensions(dim, input), keepdim=keepdim, correction=correction)


def norm(input: Tensor, p: float | str | None = 2, dim=None, keepdim: bool = False) -> Tensor:
    """The p-norm of the elements, ``sum(|x|^p)^(1/p)``, over all dimensions or over `dim`.

    Parameters
    ----------
    p : float or "fro"
        2 (also called "fro") by default; ``inf`` is the largest, ``-inf`` the smallest magnitude, 0 counts
        what is not 0.
    """
    p = 2 if p in (None, "fro") else p
    if not isinstance(p, (int, float)):
        raise ValueError(f"norm() expects a number or 'fro' as p, got {p!r}")
    if input.dtype.kind != "f":
        raise RuntimeError(f"norm() expects a floating dtype, got {input.dtype}; convert with float()")
    return apply(primitives.norm, input, p=p, dim=dimensions(dim, input), keepdim=keepdim)


def _extremum(input, dim, keepdim, sign, name):
    if not isinstance(input, ARRAYS):
        raise TypeError(f"{name}() expects a Tensor, got {type(input).__name__}")
    if isinstance(dim, TensorBase):
        return (maximum if sign > 0 else minimum)(input, dim)
    dim = dimensions(dim, input)
    result = apply(primitives.max, input, dim=dim, keepdim=keepdim, sign=sign)
    return result if dim is None else max_result(*result)


def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False):
    """The largest element, or along `dim` the largest ones and their indices.

    NaN counts as largest. Without `dim` the gradient is shared by all elements that equal the maximum; with
    `dim` it goes to the one at the index, the first of equals. A tensor as `dim` makes it :func:`maximum`.

    Returns
    -------
    Tensor, or with `dim` the named tuple ``(values, indices)``
    """
    return _extremum(input, dim, keepdim, 1, "max")


def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False):
    """The smallest element, or along `dim` the smallest ones and their indices; see :func:`max`."""
    return _extremum(input, dim, keepdim, -1, "min")


def _argextremum(pick, input, dim, keepdim):
    array = input._array if isinstance(input, TensorBase) else np.asarray(input)
    indices = np.asarray(pick(array, axis=dimensions(dim, array), keepdims=keepdim))
    return wrap(indices) if isinstance(input, TensorBase) else indices


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the largest element along `dim`, or in the flattened tensor; the first of equals, NaN first."""
    return _argextremum(np.argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the smallest element along `dim`, or in the flattened tensor; the first of equals, NaN first."""
    return _argextremum(np.argmin, input, dim, keepdim)


def any(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Whether any element is true (not 0), over all dimensions or along `dim`."""
    return wrap(np.asarray(np.any(input._array, axis=dimensions(dim, input), keepdims=keepdim)))


def all(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not 0), over all dimensions or along `dim`."""
    return wrap(np.asarray(np.all(input._array, axis=dimensions(dim, input), keepdims=keepdim)))
