"""New tensors: filled, counted off, or random."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import DTypeLike

from .random import Generator, default_generator
from .tensor import Tensor, _category, _check_dtype, _leaf, _unpack, _wrap, bool_, float32, int64


def empty(*size: int | Sequence[int], dtype: DTypeLike = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape with whatever was in the memory."""
    return _leaf(np.empty(_unpack(size), _check_dtype(np.dtype(dtype))), requires_grad)


def zeros(*size: int | Sequence[int], dtype: DTypeLike = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape full of 0."""
    return _leaf(np.zeros(_unpack(size), _check_dtype(np.dtype(dtype))), requires_grad)


def ones(*size: int | Sequence[int], dtype: DTypeLike = float32, requires_grad: bool = False) -> Tensor:
    """A tensor of this shape full of 1."""
    return _leaf(np.ones(_unpack(size), _check_dtype(np.dtype(dtype))), requires_grad)


def full(
    size: Sequence[int], fill_value: float, *, dtype: DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor of this shape full of `fill_value`, from which the dtype follows (float32, int64, bool)."""
    dtype = (bool_, int64, float32)[_category(fill_value)] if dtype is None else _check_dtype(np.dtype(dtype))
    return _leaf(np.full(_unpack((size,)), fill_value, dtype), requires_grad)


def zeros_like(input: Tensor, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor full of 0, of the shape and the dtype of `input`."""
    return zeros(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def ones_like(input: Tensor, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor full of 1, of the shape and the dtype of `input`."""
    return ones(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def empty_like(input: Tensor, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A tensor with whatever was in the memory, of the shape and the dtype of `input`."""
    return empty(input.shape, dtype=dtype or input.dtype, requires_grad=requires_grad)


def full_like(
    input: Tensor, fill_value: float, *, dtype: DTypeLike | None = None, requires_grad: bool = False
) -> Tensor:
    """A tensor full of `fill_value`, of the shape and the dtype of `input`."""
    return full(input.shape, fill_value, dtype=dtype or input.dtype, requires_grad=requires_grad)


def arange(start: float, end: float | None = None, step: float = 1, *, dtype: DTypeLike | None = None) -> Tensor:
    """The numbers from `start` (0) up to but not including `end`, by `step`: int64 if all are ints, else float32."""
    start, end = (0, start) if end is None else (start, end)
    if step == 0:
        raise RuntimeError("arange() expects a step other than 0")
    if dtype is None:
        dtype = int64 if all(isinstance(n, int | np.integer) for n in (start, end, step)) else float32
    n = max(0, int(np.ceil((end - start) / step)))
    return _wrap((start + step * np.arange(n)).astype(_check_dtype(np.dtype(dtype))))


def linspace(start: float, end: float, steps: int, *, dtype: DTypeLike = float32) -> Tensor:
    """`steps` numbers at equal distances from `start` to `end`, both included."""
    return _wrap(np.linspace(start, end, steps).astype(_check_dtype(np.dtype(dtype))))


def eye(n: int, m: int | None = None, *, dtype: DTypeLike = float32) -> Tensor:
    """The (n, m) matrix, m = n by default, with 1 on the diagonal and 0 elsewhere."""
    return _wrap(np.eye(n, m, dtype=_check_dtype(np.dtype(dtype))))


def rand(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    dtype: DTypeLike = float32,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers, uniform in [0, 1)."""
    return empty(*size, dtype=dtype).uniform_(generator=generator).requires_grad_(requires_grad)


def randn(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    dtype: DTypeLike = float32,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers from the normal distribution of mean 0 and variance 1."""
    return empty(*size, dtype=dtype).normal_(generator=generator).requires_grad_(requires_grad)


def rand_like(input: Tensor, *, generator: Generator | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Random numbers, uniform in [0, 1), of the shape and the dtype of `input`."""
    return rand(input.shape, generator=generator, dtype=dtype or input.dtype)


def randn_like(input: Tensor, *, generator: Generator | None = None, dtype: DTypeLike | None = None) -> Tensor:
    """Random numbers of mean 0 and variance 1, of the shape and the dtype of `input`."""
    return randn(input.shape, generator=generator, dtype=dtype or input.dtype)


def _stream(generator: Generator | None) -> np.random.Generator:
    return (default_generator if generator is None else generator).numpy


def randint(
    low: int,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike = int64,
) -> Tensor:
    """Random integers from `low` up to but not including `high`; ``randint(high, size)`` starts at 0."""
    if size is None:
        low, high, size = 0, low, high
    if size is None:
        raise TypeError("randint() expects a size: randint(high, size) or randint(low, high, size)")
    if not low < high:
        raise RuntimeError(f"randint() expects low < high, got {low} and {high}")
    return _wrap(_stream(generator).integers(low, high, _unpack((size,))).astype(dtype))


def randperm(n: int, *, generator: Generator | None = None, dtype: DTypeLike = int64) -> Tensor:
    """The integers from 0 to n - 1 in random order."""
    return _wrap(_stream(generator).permutation(n).astype(dtype))
