"""Sums, extremes and other functions over whole dimensions."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias, overload

import numpy as np
from numpy.typing import DTypeLike

from .. import primitives
from .._native.layers import pointwise
from .._native.tape import TensorBase, wrap
from ..checks import dimension
from ..dtypes import ARRAYS, as_dtype, bool_, uint8
from .operands import apply, array_of, as_operand, check_out, dimensions, into, numpy_names, quiet, shown_as
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
    "min_result",
    "mean",
    "min",
    "norm",
    "std",
    "sum",
    "var",
]

Dims: TypeAlias = int | Sequence[int] | None  # one dimension, several, or all


@shown_as("max")
class max_result(NamedTuple):
    """What :func:`max` returns along a dimension."""

    values: Tensor
    indices: Tensor


@shown_as("min")
class min_result(NamedTuple):
    """What :func:`min` returns along a dimension."""

    values: Tensor
    indices: Tensor


def _floats(input: Any, name: str, dtype: DTypeLike | None = None) -> Any:
    """A tensor of floats, cast to `dtype` first."""
    if not isinstance(input, ARRAYS):
        raise TypeError(f"{name}() expects a Tensor, got {type(input).__name__}")
    x = as_operand(input, None if dtype is None else as_dtype(dtype))
    if x.dtype.kind != "f":
        raise RuntimeError(f"{name}(): expected a floating dtype, got {x.dtype}; convert with float()")
    return x


@numpy_names
def sum(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None, out: Tensor | None = None
) -> Tensor:
    """Sum over all dimensions, or over `dim` (an int or several); integers and bools sum to int64.

    Narrower floats than float64 are accumulated in float64.

    Examples
    --------
    >>> fastconv.sum(fastconv.ones(2, 3), dim=1)
    tensor([3., 3.])
    """
    check_out(out, input)
    if dtype is None and isinstance(out, TensorBase):
        dtype = out.dtype
    dtype = None if dtype is None else as_dtype(dtype)
    if isinstance(out, TensorBase) and out.dtype != dtype:
        raise RuntimeError(f"Expected out tensor to have dtype {dtype}, but got {out.dtype} instead")
    x = as_operand(input, dtype)
    return into(out, as_operand(apply(primitives.sum, x, dim=dimensions(dim, x), keepdim=keepdim), dtype))


@numpy_names
@quiet
def mean(
    input: Tensor, dim: Dims = None, keepdim: bool = False, *, dtype: DTypeLike | None = None, out: Tensor | None = None
) -> Tensor:
    """Mean over all dimensions, or over `dim` (an int or several).

    Raises
    ------
    RuntimeError
        For a tensor of integers or bools.

    Examples
    --------
    >>> fastconv.mean(fastconv.tensor([1.0, 2.0, 6.0]))
    tensor(3.)
    """
    check_out(out, input)
    x = _floats(input, "mean", dtype)
    return into(out, apply(primitives.mean, x, dim=dimensions(dim, x), keepdim=keepdim))


@numpy_names
@quiet
def var(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """Variance over all dimensions, or over `dim`: the sum of squares divided by ``n - correction``.

    Parameters
    ----------
    unbiased : bool
        Divide by n - 1 (the default) or by n, where `correction` is not given. A bool in the place of `dim` is it.
    """
    x = _floats(input, "var")
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = int(unbiased) if correction is None else correction
    return apply(primitives.var, x, dim=dimensions(dim, x), keepdim=keepdim, correction=correction)


@numpy_names
@quiet
def std(
    input: Tensor, dim: Dims = None, unbiased: bool = True, keepdim: bool = False, *, correction: float | None = None
) -> Tensor:
    """Standard deviation: the square root of :func:`var`; where it is 0, so is its gradient."""
    x = _floats(input, "std")
    if isinstance(dim, bool):
        dim, unbiased = None, dim
    correction = int(unbiased) if correction is None else correction
    return apply(primitives.std, x, dim=dimensions(dim, x), keepdim=keepdim, correction=correction)


@numpy_names
def norm(
    input: Tensor,
    p: float | str | None = "fro",
    dim: Dims = None,
    keepdim: bool = False,
    *,
    dtype: DTypeLike | None = None,
) -> Tensor:
    """The p-norm of the elements, ``sum(|x|^p)^(1/p)``, over all dimensions or over `dim`.

    Parameters
    ----------
    p : float or "fro"
        2 (also called "fro") by default; ``inf`` is the largest, ``-inf`` the smallest magnitude, 0 counts
        what is not 0.
    """
    p = 2 if p in (None, "fro") else p
    if not isinstance(p, (int, float)):
        hint = '; linalg.matrix_norm(input, "nuc") sums singular values' if p == "nuc" else ""
        raise ValueError(f"norm() expects a number or 'fro' as p, got {p!r}{hint}")
    x = _floats(input, "norm", dtype)
    dims = dimensions(dim, x)
    taken = x.shape if dims is None else [x.shape[d] for d in (dims if isinstance(dims, tuple) else (dims,))]
    if (math.isinf(p) or p < 0) and 0 in taken:
        raise RuntimeError(f"norm(): {p} of an empty tensor of shape {list(x.shape)} has no identity")
    return apply(primitives.norm, x, p=p, dim=dims, keepdim=keepdim)


def _extremum(input: Any, dim: Any, keepdim: bool, sign: int, name: str, out: Any) -> Any:
    if not isinstance(input, ARRAYS):
        raise TypeError(f"{name}() expects a Tensor, got {type(input).__name__}")
    if isinstance(dim, TensorBase):
        return (maximum if sign > 0 else minimum)(input, dim, out=out)
    if dim is None:
        _not_empty(input, None, name)
        return into(out, apply(primitives.max, input, dim=None, keepdim=keepdim, sign=sign))
    if out is not None:
        raise NotImplementedError(f"{name}() along a dimension takes no out=: assign its values and indices")
    dim = dimension(dim, input.ndim)
    result = max_result if sign > 0 else min_result
    if input.ndim:
        _not_empty(input, dim, name)
        return result(*apply(primitives.max, input, dim=dim, keepdim=keepdim, sign=sign))
    row = pointwise.reshape(input, (1,))
    return result(*apply(primitives.max, row, dim=0, keepdim=False, sign=sign))


def _not_empty(input: Any, dim: int | None, name: str) -> None:
    if dim is None and 0 in input.shape:
        raise RuntimeError(
            f"{name}(): Expected reduction dim to be specified for input.numel() == 0. "
            "Specify the reduction dim with the 'dim' argument."
        )
    if dim is not None and input.shape[dim] == 0:
        raise IndexError(f"{name}(): Expected reduction dim {dim} to have non-zero size.")


@overload
def max(input: Tensor, dim: None = None, keepdim: bool = False) -> Tensor: ...
@overload
def max(input: Tensor, dim: Tensor, *, out: Tensor | None = None) -> Tensor: ...
@overload
def max(input: Tensor, *, other: Tensor, out: Tensor | None = None) -> Tensor: ...
@overload
def max(input: Tensor, dim: int, keepdim: bool = False) -> max_result: ...
@numpy_names
def max(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor | max_result:
    """The largest element, or along `dim` the largest ones and their indices.

    NaN counts as largest. Without `dim` the gradient is shared by all elements that equal the maximum; with
    `dim` it goes to the one at the index, the first of equals. A tensor as `dim` makes it :func:`maximum`.

    Returns
    -------
    Tensor, or with `dim` the named tuple ``(values, indices)``

    Examples
    --------
    >>> values, indices = fastconv.max(fastconv.tensor([[1, 5], [7, 2]]), dim=1)
    >>> values, indices
    (tensor([5, 7]), tensor([1, 0]))
    """
    return _extremum(input, dim if other is None else other, keepdim, 1, "max", out)


@overload
def min(input: Tensor, dim: None = None, keepdim: bool = False) -> Tensor: ...
@overload
def min(input: Tensor, dim: Tensor, *, out: Tensor | None = None) -> Tensor: ...
@overload
def min(input: Tensor, *, other: Tensor, out: Tensor | None = None) -> Tensor: ...
@overload
def min(input: Tensor, dim: int, keepdim: bool = False) -> min_result: ...
@numpy_names
def min(
    input: Tensor,
    dim: int | Tensor | None = None,
    keepdim: bool = False,
    *,
    other: Tensor | None = None,
    out: Tensor | None = None,
) -> Tensor | min_result:
    """The smallest element, or along `dim` the smallest ones and their indices; see :func:`max`."""
    return _extremum(input, dim if other is None else other, keepdim, -1, "min", out)


def _argextremum(pick: Callable[..., Any], input: Any, dim: int | None, keepdim: bool) -> Any:
    if not isinstance(input, ARRAYS):
        raise TypeError(f"{pick.__name__}() expects a Tensor, got {type(input).__name__}")
    array = array_of(input)
    if array.dtype == bool_:
        raise RuntimeError(f"{pick.__name__}(): does not support bool input")
    if dim is None and 0 in array.shape:
        raise IndexError(f"{pick.__name__}(): Expected reduction dim to be specified for input.numel() == 0.")
    if dim is not None:
        dim = dimension(dim, array.ndim)
        if array.ndim:
            _not_empty(array, dim, pick.__name__)
        else:
            dim, keepdim = None, False
    indices = np.asarray(pick(array, axis=dim, keepdims=keepdim))
    return wrap(indices) if isinstance(input, TensorBase) else indices


@numpy_names
def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the largest element along `dim`, or in the flattened tensor; the first of equals, NaN first.

    Examples
    --------
    >>> fastconv.argmax(fastconv.tensor([[0.1, 0.9], [0.8, 0.2]]), dim=1)
    tensor([1, 0])
    """
    return _argextremum(np.argmax, input, dim, keepdim)


@numpy_names
def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the smallest element along `dim`, or in the flattened tensor; the first of equals, NaN first."""
    return _argextremum(np.argmin, input, dim, keepdim)


@numpy_names
def any(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether any element is true (not 0), over all dimensions or along `dim`; for uint8 as uint8."""
    return _truth(np.any, input, dim, keepdim)


@numpy_names
def all(input: Tensor, dim: Dims = None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not 0), over all dimensions or along `dim`; for uint8 as uint8."""
    return _truth(np.all, input, dim, keepdim)


def _truth(quantifier: Callable[..., Any], input: Any, dim: Any, keepdim: bool) -> Tensor:
    array = array_of(input)
    truth = np.asarray(quantifier(array, axis=dimensions(dim, array), keepdims=keepdim))
    return wrap(truth.astype(array.dtype) if array.dtype == uint8 else truth)
