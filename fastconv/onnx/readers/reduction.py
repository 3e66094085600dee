"""Reductions over dimensions, and where extremes are."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import functions
from ..._tensor import Tensor
from ...creation import from_numpy
from ..nodes import Node, integers, reads

__all__ = []


def _max(x: Tensor, dims: list[int], keepdim: bool, largest: bool = True) -> Tensor:
    kept = [d for d in range(x.ndim) if d not in dims]
    if not math.prod(x.shape[d] for d in dims):  # of no elements
        least, most = (False, True) if x.dtype.kind == "b" else (-np.inf, np.inf)
        if x.dtype.kind in "iu":
            least, most = np.iinfo(x.dtype).min, np.iinfo(x.dtype).max
        shape = [1 if d in dims else n for d, n in enumerate(x.shape) if keepdim or d not in dims]
        return from_numpy(np.full(shape, least if largest else most, x.dtype))
    flat = x.permute(*kept, *dims).reshape(*(x.shape[d] for d in kept), -1) if dims else x
    flat = flat if x.dtype.kind != "b" else flat.to("uint8")
    y = (flat.max(-1) if largest else flat.min(-1))[0] if dims else flat
    return (y.reshape(*(1 if d in dims else n for d, n in enumerate(x.shape))) if keepdim else y).to(x.dtype)


def _min(x: Tensor, dims: list[int], keepdim: bool) -> Tensor:
    return _max(x, dims, keepdim, False)


def _mean(x: Tensor, dims: list[int], keepdim: bool) -> Tensor:
    return x.mean(dims, keepdim) if x.dtype.kind == "f" else x.double().mean(dims, keepdim).to(x.dtype)


def _prod(x: Tensor, dims: list[int], keepdim: bool) -> Tensor:
    for d in sorted(dims, reverse=True):
        x = functions.prod(x, d, keepdim)
    return x


def _l2(x: Tensor, dims: list[int], keepdim: bool) -> Tensor:
    if x.dtype.kind != "f":
        return (x.double() ** 2).sum(dims, keepdim).sqrt()
    return x.norm(2, dims, keepdim)


_REDUCTIONS: dict[str, Callable[..., Any]] = {
    "ReduceSum": lambda x, dims, keepdim: x.sum(dims, keepdim),
    "ReduceMean": _mean,
    "ReduceMax": _max,
    "ReduceMin": _min,
    "ReduceProd": _prod,
    "ReduceL1": lambda x, dims, keepdim: abs(x).sum(dims, keepdim),
    "ReduceL2": _l2,
    "ReduceLogSum": lambda x, dims, keepdim: x.sum(dims, keepdim).log(),
    "ReduceLogSumExp": lambda x, dims, keepdim: functions.logsumexp(x, dims, keepdim),
    "ReduceSumSquare": lambda x, dims, keepdim: (x * x).sum(dims, keepdim),
}


def _reduction(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(node: Node, x: Tensor, axes: Tensor | None = None) -> Tensor:
        dims = node.get("axes") if axes is None else integers(axes)
        if not dims:
            dims = [] if node.get("noop_with_empty_axes", 0) else list(range(x.ndim))
        dims = [d % x.ndim for d in dims] if x.ndim else []
        if not dims:
            # Nothing is summed up, but each element is squared, or what the operator does to it.
            return function(x.unsqueeze(0), [0], False).to(x.dtype)
        return function(x, dims, bool(node.get("keepdims", 1))).to(x.dtype)

    return compute


for kind, function in _REDUCTIONS.items():
    reads(kind, settings=(1,))(_reduction(function))


def _place(largest: bool) -> Callable[..., Any]:
    def compute(node: Node, x: Tensor) -> Tensor:
        dim, keepdim = node.get("axis", 0), bool(node.get("keepdims", 1))
        last = bool(node.get("select_last_index", 0))
        y = functions.flip(x, dim) if last else x
        y = functions.argmax(y, dim, keepdim) if largest else functions.argmin(y, dim, keepdim)
        return x.shape[dim] - 1 - y if last else y

    return compute


reads("ArgMax")(_place(True))
reads("ArgMin")(_place(False))


@reads("TopK", settings=(1,))
def _topk(node: Node, x: Tensor, k: Tensor | None = None) -> tuple[Tensor, Tensor]:
    count = node.get("k") if k is None else int(k.item())
    return tuple(functions.topk(x, count, node.get("axis", -1), bool(node.get("largest", 1)), True))
