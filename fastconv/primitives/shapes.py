"""The same elements in other shapes and orders of memory, and parts of them."""

import builtins

import numpy as np

from .._native.memory import empty
from .._native.tape import TensorBase, apply, differentiable_twice, moving
from .products import (
    LARGE,
    cast_to,
    shape_of,
    sum_back,
)

__all__ = [
    "cat",
    "channels_last",
    "clone",
    "contiguous",
    "index",
    "put",
    "put_back",
    "stack",
]


def _put_back(dy, shape: tuple[int, ...], index, basic: bool):
    """Zeros with dy at the index, added up where an element is there more than once."""
    if isinstance(dy, TensorBase):
        return apply(put_back, dy, shape=shape, at=index, basic=basic)
    dx = np.zeros(shape, dy.dtype)
    if basic:
        dx[index] = dy
    else:
        np.add.at(dx, index, dy)
    return dx


@moving
@differentiable_twice
def index(needs, x, index, basic):
    shape = x.shape
    if basic:
        return x[index], lambda dy: (_put_back(dy, shape, index, True),), ()
    return x[index], lambda dy, index: (_put_back(dy, shape, index, False),), (index,)


@differentiable_twice
def put_back(needs, x, shape, at, basic):
    """The gradient of :func:`index`."""

    def vjp(dy, at):
        return (apply(index, dy, index=at, basic=basic),)

    return _put_back(x, shape, at, basic), vjp, (at,)


@differentiable_twice
def put(needs, x, value, at):
    """A copy of x with `value` at an index that is no basic one."""
    value_shape, value_dtype = shape_of(value), getattr(value, "dtype", None)

    def vjp(dy, at):
        return (
            apply(put, dy, 0, at=at) if needs[0] else None,
            cast_to(sum_back(apply(index, dy, index=at, basic=False), value_shape), value_dtype) if needs[1] else None,
        )

    y = x.copy()
    y[at] = value
    return y, vjp, (at,)


def _is_last(x: np.ndarray) -> bool:
    """Whether it is dense with its channels last."""
    return x.ndim == 4 and x.transpose(0, 2, 3, 1).flags.c_contiguous


@moving
@differentiable_twice
def cat(needs, *arrays, dim):
    ends = np.cumsum([x.shape[dim] for x in arrays]).tolist()
    before = (slice(None),) * dim

    def vjp(dy):
        bounds = zip(needs, [0, *ends], ends, strict=False)
        return [dy[(*before, slice(start, end))] if need else None for need, start, end in bounds]

    first = arrays[0]
    if first.size < LARGE or builtins.any(x.dtype != first.dtype or x.ndim != first.ndim for x in arrays):
        y = np.concatenate(arrays, axis=dim)
        return y if _is_last(y) and builtins.all(map(_is_last, arrays)) else np.ascontiguousarray(y), vjp, ()
    shape = (*first.shape[:dim], ends[-1], *first.shape[dim + 1 :])
    return np.concatenate(arrays, axis=dim, out=empty(shape, first.dtype)), vjp, ()


@moving
@differentiable_twice
def stack(needs, *arrays, dim):
    before = (slice(None),) * dim

    def vjp(dy):
        return [dy[(*before, i, Ellipsis)] if need else None for i, need in enumerate(needs)]

    return np.ascontiguousarray(np.stack(arrays, axis=dim)), vjp, ()


@moving
@differentiable_twice
def clone(needs, x):
    """A dense copy; its axes in the order of those of x, among which repeated ones stay where they are."""
    order = "K"
    if 0 in x.strides:
        steps = [step for step, n in zip(x.strides, x.shape, strict=True) if n > 1 and step]
        order = "C" if steps == sorted(steps, reverse=True) else "K"
    return x.copy(order=order), lambda dy: (dy,), ()


@moving
@differentiable_twice
def contiguous(needs, x):
    return np.ascontiguousarray(x), lambda dy: (dy,), ()


@moving
@differentiable_twice
def channels_last(needs, x):
    return np.ascontiguousarray(x.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2), lambda dy: (dy,), ()
