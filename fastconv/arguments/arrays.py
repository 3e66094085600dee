"""Arrays, integers and sizes: what every operation checks, with one wording.

Arrays come in with any strides, alignment and byte order, read-only or not. float32 and float64 are computed in their
own precision, float16 in float32. Errors are raised before anything is computed: TypeError for what is no array or has
another dtype, ValueError for a parameter that is impossible in itself, RuntimeError for shapes that do not fit each
other, MemoryError for results that no memory can hold.
"""

import math
from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
from numpy import ndarray

from .._native.memory import empty
from ..checks import LARGEST

__all__ = [
    "MOST_PADDED",
    "Size",
    "bias",
    "by",
    "check_gradient",
    "check_memory",
    "check_rank",
    "float_array",
    "float_arrays",
    "four",
    "four_dimensional",
    "integers_of",
    "listed",
    "new",
    "pair",
    "positive",
    "size_of",
    "steps",
    "too_large",
    "turned_back",
]

Size = int | Sequence[int]

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
_MOST_BYTES = 2**63 - 1
# Pixels of a padded plane up to here: some hundred of them, which is what the kernels stage at most, can be addressed.
MOST_PADDED = 2**48


def float_array(op: str, array: ndarray, name: str) -> ndarray:
    """The array itself where the kernels can read it, else a copy that they can read."""
    if type(array) is ndarray:
        dtype = array.dtype
        if (dtype is _FLOAT32 or dtype is _FLOAT64) and array.flags.aligned:
            return array
    return _converted(op, array, name)


def _converted(op: str, array: ndarray, name: str) -> ndarray:
    if not isinstance(array, ndarray):
        kind = type(array)
        what = kind.__name__ if kind.__module__ == "builtins" else f"{kind.__module__.split('.')[0]}.{kind.__name__}"
        hint = "; take it over by fastconv.from_dlpack(tensor)" if what == "torch.Tensor" else ""
        raise TypeError(f"{op}: {name} must be a numpy.ndarray or a fastconv.Tensor, got {what}{hint}")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{op}: {name} is a MaskedArray of size {list(array.shape)}; fill its masked values first, "
            "as with .filled(0)"
        )
    kind = array.dtype.type
    dtype: np.dtype
    if kind is np.float32 or kind is np.float16:
        dtype = _FLOAT32
    elif kind is np.float64:
        dtype = _FLOAT64
    elif array.dtype.kind in "biu":
        raise TypeError(
            f"{op}: {name} must be float32 or float64, got {array.dtype} of size {list(array.shape)}; "
            "cast it first: .float() of a tensor, .astype(numpy.float32) of an array"
        )
    else:
        raise TypeError(
            f"{op}: {name} must be float32 or float64 (or float16, computed in float32), "
            f"got {array.dtype} of size {list(array.shape)}"
        )
    return np.require(np.asarray(array), dtype, ["ALIGNED", "ENSUREARRAY"])


def float_arrays(op: str, a: ndarray, a_name: str, b: ndarray, b_name: str) -> tuple[ndarray, ndarray]:
    a_ready = float_array(op, a, a_name)
    b_ready = float_array(op, b, b_name)
    if a.dtype is not b.dtype and a.dtype.type is not b.dtype.type:
        raise TypeError(
            f"{op}: {a_name} and {b_name} must have the same dtype, got {a.dtype} and {b.dtype}; "
            "cast one of them with .astype"
        )
    return a_ready, b_ready


def pair(value: Size, name: str, least: int, dims: int = 2) -> tuple[int, int]:
    """One integer or `dims` of them as a pair (h, w), each at least `least`; 1-D operations have `least` for h."""
    if type(value) is int and least <= value <= LARGEST:
        return (value, value) if dims == 2 else (least, value)
    if type(value) is tuple and len(value) == 2 and dims == 2:
        h, w = value
        if type(h) is int and type(w) is int and least <= h <= LARGEST and least <= w <= LARGEST:
            return value
    return _pair_of_any(value, name, least, dims)


def _pair_of_any(value: Size, name: str, least: int, dims: int) -> tuple[int, int]:
    expected = "an integer" if dims == 1 else "an integer or a pair of integers"
    items = integers_of(value if isinstance(value, (tuple, list, ndarray)) else (value,), name, expected, value)
    if len(items) == 1:
        items *= dims
    if len(items) != dims:
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    if min(items) < least:
        problem = "zero or more" if least == 0 else "positive"
        raise ValueError(f"{name} must be {problem}, got {name}={value!r}")
    if max(items) > LARGEST:
        raise ValueError(f"{name} must be at most 2**60, got {name}={value!r}")
    return (items[0], items[1]) if dims == 2 else (least, items[0])


def integers_of(items: Sequence[int], name: str, expected: str, value: object) -> tuple[int, ...]:
    try:
        if any(isinstance(item, (bool, np.bool_)) for item in items):
            raise TypeError
        return tuple(index(item) for item in items)
    except TypeError:
        raise TypeError(f"{name} must be {expected}, got {value!r}") from None


def positive(value: int, name: str) -> int:
    if type(value) is int and 0 < value <= LARGEST:
        return value
    return _pair_of_any(value, name, 1, 1)[1]


def size_of(op: str, size: Sequence[int], name: str, dims: int) -> tuple[int, ...]:
    """A size that the caller asks for: (N, C, ...) or (C, ...) with `dims` more entries, none negative."""
    if type(size) is tuple and dims + 1 <= len(size) <= dims + 2:
        for n in size:
            if type(n) is not int or not 0 <= n <= LARGEST:
                break
        else:
            return size
    if not isinstance(size, (tuple, list, ndarray)):
        raise TypeError(f"{op}: {name} must be a tuple of integers, got {size!r}")
    items = integers_of(size, f"{op}: {name}", "a tuple of integers", size)
    if len(items) not in (dims + 1, dims + 2):
        raise RuntimeError(f"{op}: {name} must have {dims + 1} or {dims + 2} entries, got {list(items)}")
    if min(items) < 0 or max(items) > LARGEST:
        raise ValueError(f"{op}: {name} must hold sizes from 0 to 2**60, got {list(items)}")
    return items


def check_rank(op: str, shape: tuple[int, ...], name: str, dims: int) -> None:
    if len(shape) != dims + 2 and len(shape) != dims + 1:
        raise RuntimeError(
            f"{op}: expected {dims + 1}-D (one {'image' if dims == 2 else 'signal'}) or {dims + 2}-D (batched) {name}, "
            f"got {len(shape)}-D {name} of size {list(shape)}"
        )


def listed(shape: tuple[int, ...], dims: int) -> list[int]:
    """A 4-D shape as the caller knows it: without the height of 1 that 1-D operations add."""
    return list(shape) if dims == 2 else [shape[0], shape[1], shape[3]]


def by(h: int, w: int, dims: int) -> str:
    return f"{h} x {w}" if dims == 2 else str(w)


def four(shape: tuple[int, ...], dims: int) -> tuple[int, ...]:
    """A checked shape in four dimensions: with a batch of 1 and, for 1-D operations, a height of 1."""
    if len(shape) == dims + 1:
        shape = (1, *shape)
    return shape if dims == 2 else (shape[0], shape[1], 1, shape[2])


def four_dimensional(array: ndarray, dims: int) -> ndarray:
    if array.ndim == dims + 1:
        array = array[None]
    return array if dims == 2 else array[:, :, None]


def check_gradient(
    op: str,
    dy: ndarray,
    expected: tuple[int, ...],
    dims: int,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...] | None,
    parameters: tuple[Any, ...],
) -> ndarray:
    """dy in four dimensions, its size checked against the output's.

    `parameters` are told of in the error: stride, padding and dilation; of pooling kernel_size, stride and padding.
    """
    rank = len(x_shape)
    if dy.ndim == rank:
        dy4 = four_dimensional(dy, dims)
        if dy4.shape == expected:
            return dy4
    wanted = listed(expected, dims)[dims + 2 - rank :]
    names = ("stride", "padding", "dilation") if w_shape else ("kernel_size", "stride", "padding")
    given = f"input of size {list(x_shape)}" + (f", weight of size {list(w_shape)}" if w_shape else "")
    given += "".join(f", {name}={value!r}" for name, value in zip(names, parameters, strict=True))
    raise RuntimeError(f"{op}: expected gradient of size {wanted} for {given}, got {list(dy.shape)}")


def bias(op: str, b: ndarray, x: ndarray, channels: int, w_shape: tuple[int, ...]) -> ndarray:
    ready, _ = float_arrays(op, b, "bias", x, "input")
    if ready.shape != (channels,):
        raise RuntimeError(
            f"Given weight of size {list(w_shape)}, expected bias to be 1-dimensional with {channels} elements, "
            f"but got bias of size {list(ready.shape)} instead"
        )
    return ready


def too_large(op: str, padded_h: int, padded_w: int, dims: int = 2) -> MemoryError:
    return MemoryError(f"{op}: images of {by(padded_h, padded_w, dims)} pixels, padding included, are too large")


def turned_back(rank: int, dims: int) -> tuple[Any, ...] | None:
    """The index that takes a result of four dimensions back to so many; None where it is as asked."""
    if dims == 2:
        return None if rank == 4 else (0,)
    return (slice(None), slice(None), 0) if rank == 3 else (0, slice(None), 0)


def check_memory(op: str, shape: tuple[int, ...], array: ndarray, name: str = "output") -> None:
    """MemoryError for a result of that shape and the array's dtype that cannot be addressed."""
    size = array.dtype.itemsize * math.prod(n for n in shape if n)
    if size > _MOST_BYTES:
        raise MemoryError(f"{op}: {name} of size {list(shape)} needs {size} bytes, more than can be addressed")


def steps(count_h: int, count_w: int, step_h: int, step_w: int) -> tuple[int, int]:
    """Strides between `count` windows or dilations between taps: between one and no other they may be any, so 1."""
    return 1 if count_h == 1 else step_h, 1 if count_w == 1 else step_w


def new(op: str, shape: tuple[int, ...], like: ndarray, name: str = "output") -> ndarray:
    """Memory for a result of that shape and of an array's dtype."""
    check_memory(op, shape, like, name)
    return empty(shape, like.dtype)
