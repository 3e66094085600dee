"""Pooling."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np

from ...nn import functional as F
from ..graph import Dim, Graph, Value, spread, writes

__all__ = ["adaptive_average"]


def _of_dims(writer: Callable[..., Any], *functions: Callable[..., Any]) -> None:
    """Have a writer of any number of dimensions write functions of one, two ... of them."""
    for dims, function in enumerate(functions, start=1):
        writes(function)(partial(writer, dims=dims))


def _batched(g: Graph, input: Value, dims: int) -> tuple[Any, bool]:
    return (g.unsqueeze(input, [0]), True) if input.ndim == dims + 1 else (input, False)


def _windows(dims: int, kernel_size: Any, stride: Any, padding: Any, ceil_mode: bool) -> dict[str, Any]:
    kernel = spread(kernel_size, dims)
    return {
        "kernel_shape": kernel,
        "strides": kernel if stride is None else spread(stride, dims),
        "pads": spread(padding, dims) * 2,
        "ceil_mode": int(ceil_mode),
    }


def _max(
    g: Graph,
    dims: int,
    input: Value,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    dilation: Any,
    ceil_mode: bool,
    return_indices: bool,
) -> Any:
    x, single = _batched(g, input, dims)
    attributes = _windows(dims, kernel_size, stride, padding, ceil_mode)
    attributes["dilations"] = spread(dilation, dims)
    if not return_indices:
        y = g.op("MaxPool", x, **attributes)
        return g.squeeze(y, [0]) if single else y
    y, indices = g.op("MaxPool", x, outputs=2, **attributes)
    # ONNX counts from the first element of the whole tensor, torch from that of each image.
    pixels = 1
    for n in input.shape[-dims:]:
        pixels = pixels * n
    indices = g.op("Mod", indices, g.integers(pixels))
    return tuple(g.squeeze(z, [0]) for z in (y, indices)) if single else (y, indices)


_of_dims(_max, F.max_pool1d, F.max_pool2d, F.max_pool3d)


def _average(
    g: Graph,
    dims: int,
    input: Value,
    kernel_size: Any,
    stride: Any,
    padding: Any,
    ceil_mode: bool,
    count_include_pad: bool,
    divisor_override: int | None = None,
) -> str:
    x, single = _batched(g, input, dims)
    attributes = _windows(dims, kernel_size, stride, padding, ceil_mode)
    if divisor_override is not None:
        # The sum of a window is its mean, padding included, times its size; windows that reach beyond the padding, as
        # ceil_mode has them, would be divided by less.
        if ceil_mode:
            raise RuntimeError(f"{g.function} with divisor_override and ceil_mode has no operator")
        size = math.prod(attributes["kernel_shape"])
        y = g.op("AveragePool", x, count_include_pad=1, **attributes)
        y = g.op("Mul", y, g.constant(size / divisor_override, input.dtype))
    else:
        y = g.op("AveragePool", x, count_include_pad=int(count_include_pad), **attributes)
    return g.squeeze(y, [0]) if single else y


_of_dims(_average, F.avg_pool1d, F.avg_pool2d, F.avg_pool3d)


def _parts(name: str, dims: int, input: Value, output_size: Any) -> list[tuple[Any, Any]]:
    """For each dimension its length and in how many parts it is divided."""
    sizes: Sequence[Any] = output_size if isinstance(output_size, (list, tuple)) else [output_size] * dims
    lengths = input.shape[-dims:]
    return [(n, n if size is None else size) for n, size in zip(lengths, sizes, strict=True)]


def _even(g: Graph, parts: list[tuple[Any, Any]]) -> list[int] | None:
    """The windows, and their strides, where every length is a multiple; None where one is not."""
    for n, size in parts:
        if (isinstance(n, Dim) or isinstance(size, Dim)) and size is not n:
            raise RuntimeError(
                f"{g.function} of a dynamic length in {size!r} parts has no operator; export it with fixed lengths"
            )
    if any(n % size for n, size in parts):
        return None
    return [n // size for n, size in parts]


def adaptive_average(g: Graph, dims: int, input: Value, output_size: Any) -> str:
    x, single = _batched(g, input, dims)
    parts = _parts(g.function, dims, input, output_size)
    if all(type(size) is int and size == 1 for _, size in parts):
        y = g.op("GlobalAveragePool", x)
    elif (windows := _even(g, parts)) is not None:
        y = g.op("AveragePool", x, kernel_shape=windows, strides=windows)
    else:
        y = g.name(x)
        for back, (n, size) in enumerate(reversed(parts)):
            y = _averaged(g, y, n, size, len(input.shape) + single, back)
    return g.squeeze(y, [0]) if single else y


def _averaged(g: Graph, x: str, n: int, size: int, ndim: int, back: int) -> str:
    """The dimension that so many come after, by a matrix whose rows are the windows' weights."""
    rows = np.zeros((size, n), g.result.dtype)
    for i in range(size):
        start, end = i * n // size, -(-(i + 1) * n // size)
        rows[i, start:end] = 1 / (end - start)
    if back == 0:
        return g.op("MatMul", x, g.constant(rows.T))
    dims = list(range(ndim))
    dims[-1], dims[-1 - back] = dims[-1 - back], dims[-1]
    return g.perm(g.op("MatMul", g.perm(x, dims), g.constant(rows.T)), dims)


_of_dims(adaptive_average, F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)


def _adaptive_max(g: Graph, dims: int, input: Value, output_size: Any, return_indices: bool) -> Any:
    windows = _even(g, _parts(g.function, dims, input, output_size))
    if windows is None:
        raise RuntimeError(
            f"{g.function} of size {list(input.shape[-dims:])} in {output_size} parts has no operator: there is "
            "one for lengths that are multiples"
        )
    return _max(g, dims, input, windows, windows, 0, 1, False, return_indices)


_of_dims(_adaptive_max, F.adaptive_max_pool1d, F.adaptive_max_pool2d)
