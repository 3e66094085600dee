"""Convolutions, transposed convolutions and matrix products with weights."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ... import functions
from ..._tensor import Tensor
from ...checks import check_shape
from ...creation import from_numpy
from ...nn import functional as F
from ..nodes import Node, integers, reads
from .windows import windows_of

__all__ = []


@reads("Conv", weights=(1, 2), in_float32=True)
def _conv(node: Node, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    dims = x.ndim - 2
    if dims not in (1, 2, 3) or w.ndim != x.ndim:
        raise ValueError("expected 3 to 5 dimensions in the input, and as many in the weight")
    windows = windows_of(node, x.shape[2:], node.get("kernel_shape") or w.shape[2:])
    if windows.kernel != list(w.shape[2:]):
        raise ValueError(f"kernel_shape {windows.kernel} is not that of the weight")
    padding: Any = windows.before
    if not windows.is_even or min(windows.before) < 0:
        x, padding = F.pad(x, windows.pairs), 0
    function = (F.conv1d, F.conv2d, F.conv3d)[dims - 1]
    return function(x, w, b, windows.strides, padding, windows.dilations, node.get("group", 1))


@reads("ConvTranspose", weights=(1, 2), in_float32=True)
def _conv_transpose(node: Node, x: Tensor, w: Tensor, b: Tensor | None = None) -> Tensor:
    dims = x.ndim - 2
    if dims not in (1, 2, 3) or w.ndim != x.ndim:
        raise ValueError("expected 3 to 5 dimensions in the input, and as many in the weight")
    strides = list(node.get("strides") or [1] * dims)
    dilations = list(node.get("dilations") or [1] * dims)
    extra = list(node.get("output_padding") or [0] * dims)
    pads = list(node.get("pads") or [0] * (2 * dims))
    if not (len(strides) == len(dilations) == len(extra) == dims and len(pads) == 2 * dims):
        raise ValueError(f"expected {dims} numbers in each attribute, got {node.attributes}")
    wanted, auto = node.get("output_shape"), node.get("auto_pad", "NOTSET")
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, w.shape[2:], strict=True)]
    if wanted or auto.startswith("SAME"):
        wanted = list(wanted)[-dims:] if wanted else [n * step for n, step in zip(x.shape[2:], strides, strict=True)]
        before, after = [], []
        for n, step, span, more, out in zip(x.shape[2:], strides, spans, extra, wanted, strict=True):
            total = step * (n - 1) + more + span - out
            half = total // 2 if auto == "SAME_UPPER" else total - total // 2
            before.append(half)
            after.append(total - half)
    elif auto == "VALID":
        before, after = [0] * dims, [0] * dims
    else:
        before, after = pads[:dims], pads[dims:]
    function, group = (F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d)[dims - 1], node.get("group", 1)
    fits = all(more < max(step, d) for more, step, d in zip(extra, strides, dilations, strict=True))
    if before == after and min(before) >= 0 and fits:
        return function(x, w, b, strides, before, extra, group, dilations)
    # The whole, from which the padding is cropped, and to which the output padding is added.
    y = function(x, w, None, strides, 0, 0, group, dilations)
    ends = [(-first, more - last) for first, last, more in zip(before, after, extra, strict=True)]
    y = F.pad(y, [n for pair in reversed(ends) for n in pair])
    return y if b is None else y + b.reshape(-1, *[1] * dims)


@reads("Gemm", weights=(0, 1, 2), in_float32=True)
def _gemm(node: Node, a: Tensor, b: Tensor, c: Tensor | None = None) -> Tensor:
    alpha, beta = node.get("alpha", 1.0), node.get("beta", 1.0)
    a = a.t() if node.get("transA", 0) else a
    is_linear = a.ndim == 2 and alpha == 1 and a.dtype.kind == "f" and b.ndim == 2
    if is_linear and (c is None or (beta == 1 and c.shape == (b.shape[0 if node.get("transB", 0) else 1],))):
        return F.linear(a, b if node.get("transB", 0) else b.t(), c)
    y = a @ (b.t() if node.get("transB", 0) else b)
    y = y if alpha == 1 else (y * alpha).to(y.dtype)
    if c is None or beta == 0:
        return y
    return y + (c if beta == 1 else (c * beta).to(c.dtype))


@reads("MatMul", weights=(0, 1))
def _matmul(node: Node, a: Tensor, b: Tensor) -> Tensor:
    return a @ b


@reads("Col2Im", settings=(1, 2))
def _col2im(node: Node, x: Tensor, image: Tensor, block: Tensor) -> Tensor:
    lengths, kernel = integers(image), integers(block)
    windows = windows_of(node, lengths, kernel)
    n, rows, columns = x.shape
    taps, blocks = math.prod(kernel), math.prod(windows.out)
    if rows % taps or columns != blocks:
        raise ValueError(f"expected channels of {taps} rows and {blocks} columns")
    whole = [n + b + a for n, b, a in zip(lengths, windows.before, windows.after, strict=True)]
    check_shape([n, rows, *whole], "Col2Im")
    # Where each tap of each block lies in the padded image.
    places = np.zeros((1, 1), np.int64)
    for at, length in enumerate(whole):
        tap = np.arange(kernel[at]) * windows.dilations[at]
        first = np.arange(windows.out[at]) * windows.strides[at]
        along = tap[:, None] + first
        places = places[:, None, :, None] * length + along[None, :, None, :]
        places = places.reshape(places.shape[0] * along.shape[0], -1)
    y = from_numpy(np.zeros((n, rows // taps, math.prod(whole)), x.dtype))
    y = functions.index_add(y, 2, from_numpy(places.reshape(-1)), x.reshape(n, rows // taps, -1))
    y = y.reshape(n, rows // taps, *whole)
    return F.pad(y, [-pad for pad in windows.pairs]) if any(windows.pairs) else y
