"""Elements, rows and regions by their indices, in torch's order.

An index is taken in two steps. Integers, slices, None and the ellipsis pick a view; then index tensors and masks pick
elements of that view. NumPy, which counts integers among index arrays, would order the dimensions otherwise:
``x[0, :, [0, 1]]``.
"""

from __future__ import annotations

import operator
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from .. import primitives
from ..checks import brief
from ..dtypes import ARRAYS
from .operands import apply, array_of

__all__ = ["getitem", "split_index"]

FULL = slice(None)
_INDICES = tuple(map(np.dtype, ("bool", "uint8", "int32", "int64")))


def getitem(x: Any, index: Any) -> Any:
    """``x[index]``, recorded: a view, unless tensors, masks or sequences are among the indices."""
    view, chosen = split_index(index, x.shape)
    y = apply(primitives.index, x, index=view, basic=True)
    return y if chosen is None else apply(primitives.index, y, index=chosen, basic=False)


def split_index(index: Any, shape: tuple[int, ...]) -> tuple[tuple[Any, ...], tuple[Any, ...] | None]:
    """An index in its two steps, for an array of this shape.

    Returns
    -------
    view : tuple
        Of integers, slices, None and an ellipsis: what picks a view.
    chosen : tuple or None
        Of arrays and full slices: what picks elements of that view; None for all of it.

    Raises
    ------
    IndexError
        If there are too many indices, one is out of bounds, or a mask is of another shape.
    TypeError, ValueError
        For slices with steps that are no positive integers.
    """
    if type(index) is int:  # the commonest by far
        return (_integer(index, shape, 0), Ellipsis), None
    items = [_plain(item) for item in (index if _is_tuple(index) else (index,))]
    used = sum(_width(item) for item in items)
    if used > len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}: got {used} in {brief(index)}")
    view: list[Any] = []
    chosen: list[Any] = []
    dim = 0
    for place, item in enumerate(items):
        if item is Ellipsis:
            # A second one stands for nothing.
            width = 0 if any(x is Ellipsis for x in items[:place]) else len(shape) - used
            view += [FULL] * width
            chosen += [FULL] * width
        elif item is None:
            width = 0
            view.append(None)
            chosen.append(FULL)
        elif isinstance(item, bool):
            width = 0
            view.append(None)
            chosen.append(np.zeros(int(item), np.int64))
        elif isinstance(item, slice):
            width = 1
            view.append(_slice(item))
            chosen.append(FULL)
        elif isinstance(item, int):
            width = 1
            view.append(_integer(item, shape, dim))
        else:
            width = _width(item)
            view += [FULL] * width
            chosen += _indices(item, shape, dim)
        dim += width
    view.append(Ellipsis)  # so that an element, too, comes out as an array over the same memory
    if all(item is FULL for item in chosen):
        return tuple(view), None
    try:
        np.broadcast_shapes(*[item.shape for item in chosen if item is not FULL])
    except ValueError:
        shapes = ", ".join(str(list(item.shape)) for item in chosen if item is not FULL)
        raise IndexError(
            f"shape mismatch: indexing tensors could not be broadcast together with shapes {shapes}"
        ) from None
    return tuple(view), tuple(chosen)


def is_mask(index: Any) -> bool:
    """Whether it is a tensor or an array that says of each element whether it is meant."""
    return isinstance(index, ARRAYS) and index.dtype in (np.bool_, np.uint8)


def _is_tuple(index: Any) -> bool:
    """Whether its items are indices of dimensions one by one: as NumPy once did, so does torch with some lists."""
    if isinstance(index, tuple):
        return True
    return (
        isinstance(index, list)
        and len(index) < 32
        and any(x is Ellipsis or isinstance(x, (slice, *ARRAYS)) or _is_sequence(x) for x in index)
    )


def _is_sequence(x: Any) -> bool:
    return isinstance(x, Sequence) and not isinstance(x, (str, bytes))


def _plain(item: Any) -> Any:
    """An index as None, an ellipsis, a bool, an int, a slice, or an ndarray of integers or bools."""
    if item is None or item is Ellipsis or isinstance(item, (bool, slice)):
        return item
    if isinstance(item, ARRAYS):
        array = array_of(item)
    elif _is_sequence(item):
        try:
            array = np.array([array_of(x) for x in item], dtype=None if len(item) else np.int64)
        except ValueError:
            raise IndexError(f"expected indices of one length in each sequence, got {brief(item)}") from None
    elif isinstance(item, (str, bytes)):
        raise TypeError(f"new(): invalid data type {type(item).__name__!r}, got the index {item!r}")
    else:
        try:
            return operator.index(item)
        except TypeError:
            raise IndexError(
                "only integers, slices (`:`), ellipsis (`...`), None and long or byte Variables are valid indices "
                f"(got {brief(item)})"
            ) from None
    if array.dtype not in _INDICES and not (array.ndim == 0 and array.dtype.kind == "i"):
        raise IndexError(f"tensors used as indices must be long, int, byte or bool tensors, got {brief(item)}")
    if array.dtype == np.uint8:
        warnings.warn("indexing with a uint8 tensor reads it as a mask; use a bool one instead", stacklevel=5)
        array = array.astype(np.bool_)
    if array.ndim == 0:
        return array.item()
    return array if array.dtype == np.bool_ else array.astype(np.int64, copy=False)


def _width(item: Any) -> int:
    """How many dimensions an index uses up."""
    if isinstance(item, np.ndarray):
        return item.ndim if item.dtype == np.bool_ else 1
    return int(isinstance(item, slice) or (isinstance(item, int) and not isinstance(item, bool)))


def _integer(n: int, shape: tuple[int, ...], dim: int) -> int:
    if dim >= len(shape):
        raise IndexError(f"too many indices for tensor of dimension {len(shape)}")
    if not -shape[dim] <= n < shape[dim]:
        raise IndexError(f"index {n} is out of bounds for dimension {dim} with size {shape[dim]}")
    return n


def _slice(item: slice) -> slice:
    limits = []
    for limit in (item.start, item.stop, item.step):
        try:
            limits.append(None if limit is None else operator.index(limit))
        except TypeError:
            raise TypeError(f"slice indices must be integers or None, got {brief(limit)}") from None
    if limits[2] is not None and limits[2] <= 0:
        raise ValueError(f"step must be greater than zero, got {limits[2]}")
    return slice(*limits)


def _indices(array: np.ndarray, shape: tuple[int, ...], dim: int) -> list[np.ndarray]:
    """An index array, or a mask as one index array for each of its dimensions, checked."""
    if array.dtype == np.bool_:
        for i, n in enumerate(array.shape):
            if n != shape[dim + i]:
                raise IndexError(
                    f"The shape of the mask {list(array.shape)} at index {i} does not match the shape of the indexed "
                    f"tensor {list(shape)} at index {dim + i}"
                )
        return list(array.nonzero())
    wrong = (array < -shape[dim]) | (array >= shape[dim])
    if wrong.any():
        raise IndexError(f"index {array[wrong][0]} is out of bounds for dimension {dim} with size {shape[dim]}")
    return [array]
