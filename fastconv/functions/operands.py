"""Operands brought to one dtype, before an operation is applied to them.

Python numbers are weak, and so are tensors without dimensions beside others of their kind: see
:func:`fastconv.dtypes.result_type`.
"""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable, Sequence
from typing import Any, ParamSpec, TypeVar

import numpy as np

from .. import primitives
from .._native.tape import TensorBase, apply, check_overlap, check_writable, recording, wrap
from ..checks import brief, dimension
from ..dtypes import ARRAYS, can_cast, convert, float32, result_type

__all__ = [
    "apply",
    "array_of",
    "as_operand",
    "cast",
    "check_broadcast",
    "check_out",
    "dimensions",
    "elementwise",
    "floating",
    "into",
    "mismatch",
    "numpy_names",
    "one_dtype",
    "operands",
    "quiet",
    "shown_as",
    "without_gradient",
]

P = ParamSpec("P")
R = TypeVar("R")

# A decorator: NumPy warns of infinities and NaN, torch does not.
quiet: np.errstate = np.errstate(all="ignore")


def operands(x: Any, y: Any, floating: bool = False) -> tuple[Any, Any]:
    """Bring two operands to one dtype (a floating one, if asked for); Python numbers that fit stay as they are."""
    # What is met most: equal dtypes, or a float and a floating tensor.
    if isinstance(x, TensorBase):
        dtype = x._array.dtype
        if (type(y) is float or (isinstance(y, TensorBase) and y._array.dtype == dtype)) and dtype.kind == "f":
            return x, y
    dtype = result_type(x, y)
    if floating and dtype.kind != "f":
        dtype = float32
    return as_operand(x, dtype), as_operand(y, dtype)


def as_operand(x: Any, dtype: np.dtype | None) -> Any:
    """`x` in that dtype, recorded; numbers as Python's, or wrapped around if they do not fit an integer dtype."""
    if dtype is None:
        return x
    if isinstance(x, TensorBase):
        return x if x._array.dtype == dtype else cast(x, dtype)
    if isinstance(x, np.ndarray):
        return x if x.dtype == dtype else convert(x, dtype)
    x = x.item() if isinstance(x, np.generic) else x
    if dtype.kind in "ui" and not np.iinfo(dtype).min <= x <= np.iinfo(dtype).max:
        return np.array(x & 0xFFFFFFFFFFFFFFFF, np.uint64).astype(dtype)
    return x


def cast(x: Any, dtype: np.dtype) -> Any:
    """A tensor or array in another dtype; recorded, but integers and bools have no gradient."""
    if dtype.kind == "f":
        return apply(primitives.cast, x, dtype=dtype)
    y = convert(x._array if isinstance(x, TensorBase) else x, dtype)
    return wrap(y) if isinstance(x, TensorBase) else y


def floating(x: Any, name: str) -> Any:
    """Integers as float32, for functions whose result is no integer."""
    if isinstance(x, ARRAYS) and x.dtype.kind != "f":
        return as_operand(x, float32)
    if not isinstance(x, ARRAYS):
        raise TypeError(f"{name}() expects a Tensor, got {type(x).__name__}")
    return x


def one_dtype(tensors: Sequence[Any], name: str) -> list[Any]:
    """Tensors brought to the dtype of an operation on all of them."""
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError(f"{name}() expects at least one tensor, got none")
    for t in tensors:
        if not isinstance(t, ARRAYS):
            raise TypeError(f"{name}() expects tensors, got {brief(t)} among them")
    dtype = result_type(*tensors)
    return [as_operand(t, dtype) for t in tensors]


def elementwise(op: Callable[..., Any], *operands: Any, **options: Any) -> Any:
    """``apply`` for an operation that broadcasts, with torch's error where shapes do not allow it."""
    try:
        return apply(op, *operands, **options)
    except ValueError:
        error = mismatch(*operands)
        if error is None:
            raise
        raise error from None


def check_broadcast(*operands: Any) -> None:
    """Raise torch's error for operands that do not broadcast."""
    error = mismatch(*operands)
    if error is not None:
        raise error


def mismatch(*operands: Any) -> RuntimeError | None:
    """The error for operands that do not broadcast, None for those that do."""
    first, *others = [np.shape(array_of(x)) for x in operands if x is not None]
    for shape in others:
        ndim = max(len(first), len(shape))
        for back in range(1, min(len(first), len(shape)) + 1):
            if first[-back] != shape[-back] and 1 not in (first[-back], shape[-back]):
                return RuntimeError(
                    f"The size of tensor a ({first[-back]}) must match the size of tensor b ({shape[-back]}) at "
                    f"non-singleton dimension {ndim - back}: got the shapes {list(first)} and {list(shape)}"
                )
        first = np.broadcast_shapes(first, shape)
    return None


def array_of(x: Any) -> Any:
    """The ndarray of a tensor, of bfloat16 in float32; arrays and numbers as they are."""
    if not isinstance(x, TensorBase):
        return x
    return x._array if x._array.dtype.kind != "V" else convert(x._array, float32)


def numpy_names(function: Callable[P, R]) -> Callable[P, R]:
    """Let a function of torch's `dim` and `keepdim` take NumPy's `axis` and `keepdims`, as torch's does."""

    @functools.wraps(function)
    def wrapper(*args: P.args, **kwargs: P.kwargs) -> R:  # `fastconv check` knows it by its name
        if kwargs:
            for theirs, ours in (("axis", "dim"), ("keepdims", "keepdim")):
                if theirs in kwargs:
                    kwargs[ours] = kwargs.pop(theirs)
        return function(*args, **kwargs)

    vars(wrapper)["other_names"] = ("axis", "keepdims")  # for `fastconv check`
    return wrapper


def check_out(out: Any, *inputs: Any) -> None:
    """RuntimeError if a gradient would have to go through `out`, before anything else is looked at."""
    if not isinstance(out, TensorBase) or not recording.get():
        return
    if any(isinstance(x, TensorBase) and x._requires_grad for x in (out, *inputs)):
        raise RuntimeError(
            "functions with out=... arguments don't support automatic differentiation, but one of the arguments "
            "requires grad: leave out= away, or compute under no_grad()"
        )


def into(out: Any, result: Any, *inputs: Any, whole: bool = False) -> Any:
    """`result`, or where a tensor `out` is given, that tensor with the values of `result`; it gets their shape.

    Raises
    ------
    RuntimeError
        If a gradient would have to go through `out`, its dtype cannot hold the result's, or one of the `inputs` of an
        element-wise function shows its memory otherwise, or with `whole` in any way.
    """
    if out is None:
        return result
    if not isinstance(out, TensorBase):
        raise TypeError(f"argument 'out' must be Tensor, not {brief(out)}")
    check_out(out, result)
    check_writable(out)
    for x in inputs:
        check_overlap(out._array, x, whole)
    if not can_cast(result.dtype, out.dtype):
        raise RuntimeError(f"result type {result.dtype} can't be cast to the desired output type {out.dtype}")
    if out.shape != result.shape:
        if out.numel():
            warnings.warn(
                f"An output with one or more elements was resized since it had shape {list(out.shape)}, which does "
                f"not match the required output shape {list(result.shape)}.",
                stacklevel=3,
            )
        out.resize_(result.shape)
    return out.copy_(result)


def dimensions(dim: Any, x: Any) -> int | tuple[int, ...] | None:
    """The dimensions that a reduction of `x` takes together, checked: None for all, () for those of a 0-d tensor."""
    if dim is None or (type(dim) is int and -x.ndim <= dim < x.ndim):
        return dim
    if not isinstance(dim, (list, tuple)):
        d = dimension(dim, x.ndim)
        return d if x.ndim else ()
    if not dim:
        return None
    dims = tuple(dimension(d, x.ndim) for d in dim)
    for d in dims:
        if dims.count(d) > 1:
            raise RuntimeError(f"dim {d} appears multiple times in the list of dims")
    return dims if x.ndim else ()


def without_gradient(ufunc: np.ufunc, input: Any, other: Any) -> Any:
    """A function of two operands that has no gradient."""
    try:
        return wrap(np.asarray(ufunc(*map(array_of, operands(input, other)))))
    except ValueError:
        error = mismatch(input, other)
        if error is None:
            raise
        raise error from None


def shown_as(name: str) -> Callable[[type], type]:
    """A decorator of named tuples that functions return: printed as torch prints those of torch.return_types."""

    def decorate(kind: Any) -> Any:
        def __repr__(self: Any) -> str:
            fields = ",\n".join(f"{field}={getattr(self, field)!r}" for field in self._fields)
            return f"torch.return_types.{name}(\n{fields})"

        kind.__repr__ = __repr__
        return kind

    return decorate
