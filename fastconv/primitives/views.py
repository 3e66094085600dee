"""In place: what was written, and which part of its base a view is."""

import builtins
from typing import Any

import numpy as np

from .._native.tape import apply, differentiable_twice, moving
from .products import (
    cast_to,
    shape_of,
    sum_back,
)

__all__ = [
    "as_strided",
    "as_strided_backward",
    "as_strided_vjp",
    "copy_slices",
    "copy_slices_vjp",
    "geometry",
    "overwrite",
]


@differentiable_twice
def overwrite(needs, x, value):
    """`value`, broadcast and cast to x, in whose place it comes."""
    shape, value_shape, value_dtype = x.shape, shape_of(value), getattr(value, "dtype", None)

    def vjp(dy):
        return (
            np.zeros(shape, dy.dtype) if needs[0] else None,
            cast_to(sum_back(dy, value_shape), value_dtype) if needs[1] else None,
        )

    return np.array(np.broadcast_to(value, shape), dtype=x.dtype), vjp, ()


def geometry(base: np.ndarray, view: np.ndarray) -> tuple[Any, ...]:
    """Where a view lies in its base, in elements: both shapes, both strides, and how far it begins from there."""
    size = base.itemsize
    start, first = (array.__array_interface__["data"][0] for array in (base, view))
    steps = [tuple([stride // size for stride in array.strides]) for array in (base, view)]
    return base.shape, steps[0], view.shape, steps[1], (first - start) // size


def _mirror(geometry: tuple[Any, ...], dtype: np.dtype) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """Zeros that lie as a base does, the part of them that lies as a view of it does, and all of their memory."""
    shape, steps, part_shape, part_steps, distance = geometry
    reach = [step * (n - 1) for n, step in zip(shape, steps, strict=True)] if 0 not in shape else []
    before, after = (builtins.sum(r for r in reach if (r < 0) == negative) for negative in (True, False))
    memory = np.zeros(after - before + 1, dtype)
    size = memory.itemsize
    whole = np.ndarray(shape, dtype, memory, -before * size, [step * size for step in steps])
    if 0 in part_shape:
        return whole, np.zeros(part_shape, dtype), memory
    part = np.ndarray(part_shape, dtype, memory, (distance - before) * size, [step * size for step in part_steps])
    return whole, part, memory


@moving
@differentiable_twice
def as_strided(needs, x, geometry):
    """What a view with this geometry holds if x is its base."""
    whole, part, _ = _mirror(geometry, x.dtype)
    whole[...] = x
    return part.copy(), lambda dy: (apply(as_strided_backward, dy, geometry=geometry),), ()


@differentiable_twice
def as_strided_backward(needs, x, geometry):
    """The sum, for each element of the base, of x where the view holds that element."""
    whole, _, memory = _mirror(geometry, x.dtype)
    _, places, order = _mirror(geometry, np.dtype(np.int64))
    order[...] = np.arange(order.size)
    np.add.at(memory, places.ravel(), x.ravel())
    return whole, lambda dy: (apply(as_strided, dy, geometry=geometry),), ()


@moving
@differentiable_twice
def copy_slices(needs, x, geometry):
    """The base x, with zeros where the view lies."""
    whole, part, _ = _mirror(geometry, x.dtype)
    whole[...] = x
    part[...] = 0
    return whole, lambda dy: (apply(copy_slices, dy, geometry=geometry),), ()


def as_strided_vjp(geometry: tuple[Any, ...]) -> Any:
    """The product of a view of a base that was written to."""
    return lambda dy: (apply(as_strided_backward, dy, geometry=geometry),)


def copy_slices_vjp(dy: Any, geometry: tuple[Any, ...]) -> Any:
    """The product of a base whose view was written to, with respect to the base before and to what was written."""
    return apply(copy_slices, dy, geometry=geometry), apply(as_strided, dy, geometry=geometry)
