"""Padding of arrays, by zeros and by what the image holds, and its gradient."""

from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from . import primitives
from ._native.tape import apply, differentiable_twice
from .arguments.arrays import check_rank, float_array, integers_of, new
from .checks import LARGEST, check_shape, integer, number

__all__ = ["pad2d", "pad2d_backward", "pad_constant", "pad_edges"]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _check_pads(op: str, pads: Sequence[int], mode: str, height: int, width: int) -> tuple[int, int, int, int]:
    if mode not in _PADDING_MODES:
        raise ValueError(f"{op}: mode must be one of {', '.join(_PADDING_MODES)}, got {mode!r}")
    if not isinstance(pads, (tuple, list)):
        raise TypeError(f"{op}: pads must be a tuple (left, right, top, bottom), got {pads!r}")
    items = integers_of(pads, f"{op}: pads", "a tuple of integers", pads)
    if len(items) != 4 or min(items) < 0 or max(items) > LARGEST:
        raise ValueError(f"{op}: pads must be (left, right, top, bottom), each from 0 to 2**60, got {pads!r}")
    left, right, top, bottom = items
    most_h, most_w = max(top, bottom), max(left, right)
    if mode == "reflect" and (most_h >= max(height, 1) or most_w >= max(width, 1)):
        raise RuntimeError(
            f"{op}: reflection needs pads smaller than the image, got pads {items} for images of {height} x {width}"
        )
    if mode == "circular" and (most_h > height or most_w > width):
        raise RuntimeError(
            f"{op}: circular padding wraps around at most once, got pads {items} for images of {height} x {width}"
        )
    if mode == "replicate" and ((most_h and not height) or (most_w and not width)):
        raise RuntimeError(f"{op}: no edge to replicate in images of {height} x {width}")
    return left, right, top, bottom


def _fill_edges(y: ndarray, before: int, after: int, mode: str) -> None:
    """Fill the first `before` and last `after` columns of y from the columns between them."""
    n = y.shape[-1] - before - after
    inner = y[..., before : before + n]
    first: ndarray | int
    last: ndarray | int
    if mode == "zeros":
        first, last = 0, 0
    elif mode == "replicate":
        first, last = inner[..., :1], inner[..., n - 1 :]
    elif mode == "reflect":
        first, last = inner[..., 1 : before + 1][..., ::-1], inner[..., n - 1 - after : n - 1][..., ::-1]
    else:
        first, last = inner[..., n - before :], inner[..., :after]
    if before:
        y[..., :before] = first
    if after:
        y[..., before + n :] = last


def _fold_edges(dy: ndarray, before: int, after: int, mode: str) -> ndarray:
    """The transpose of `_fill_edges`: add the edge columns to those that they came from; returns the inner columns."""
    n = dy.shape[-1] - before - after
    inner, first, last = dy[..., before : before + n], dy[..., :before], dy[..., before + n :]
    if mode == "replicate":
        if before:
            inner[..., 0] += first.sum(-1)
        if after:
            inner[..., n - 1] += last.sum(-1)
    elif mode == "reflect":
        inner[..., 1 : before + 1] += first[..., ::-1]
        inner[..., n - 1 - after : n - 1] += last[..., ::-1]
    elif mode == "circular":
        inner[..., n - before :] += first
        inner[..., :after] += last
    return inner


def pad2d(x: ndarray, pads: Sequence[int], mode: str = "zeros") -> ndarray:
    """Pad images on their four sides.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W), float32 or float64
    pads : (left, right, top, bottom)
        In pixels, none negative; torch.nn.functional.pad's order.
    mode : {'zeros', 'reflect', 'replicate', 'circular'}
        What the new pixels hold: 0; the image mirrored at its edge pixels (pads must be smaller than the image); the
        nearest edge pixel, which the textbook (12.2.2) calls "same" padding; the opposite side (pads at most the
        image's size).

    Returns
    -------
    ndarray (..., top + H + bottom, left + W + right)

    Raises
    ------
    TypeError, ValueError
        For pads that are no four non-negative integers, or an unknown mode.
    RuntimeError
        For pads that the image is too small for.
    """
    op = "pad2d"
    x = float_array(op, x, "input")
    check_rank(op, x.shape, "input", 2)
    height, width = x.shape[-2:]
    left, right, top, bottom = _check_pads(op, pads, mode, height, width)
    y = new(op, (*x.shape[:-2], top + height + bottom, left + width + right), x)
    y[..., top : top + height, left : left + width] = x
    _fill_edges(y[..., top : top + height, :], left, right, mode)
    _fill_edges(y.swapaxes(-1, -2), top, bottom, mode)
    return y


def pad2d_backward(dy: ndarray, pads: Sequence[int], mode: str = "zeros") -> ndarray:
    """Gradient of :func:`pad2d` with respect to its input: each padded pixel's gradient goes to where it came from.

    Parameters
    ----------
    dy : ndarray (..., top + H + bottom, left + W + right)
    pads, mode
        As for :func:`pad2d`.

    Returns
    -------
    ndarray (..., H, W)
    """
    op = "pad2d_backward"
    dy = float_array(op, dy, "gradient")
    check_rank(op, dy.shape, "gradient", 2)
    if isinstance(pads, (tuple, list)) and len(pads) == 4:
        checked = integers_of(pads, f"{op}: pads", "a tuple of integers", pads)
        height = dy.shape[-2] - checked[2] - checked[3]
        width = dy.shape[-1] - checked[0] - checked[1]
        if min(checked) >= 0 and (height < 0 or width < 0):
            raise RuntimeError(f"{op}: gradient of size {list(dy.shape)} is smaller than its pads {pads!r}")
    else:
        height = width = 0
    left, right, top, bottom = _check_pads(op, pads, mode, height, width)
    if mode == "zeros":
        dx = new(op, (*dy.shape[:-2], height, width), dy, "input's gradient")
        dx[...] = dy[..., top : top + height, left : left + width]
        return dx
    work = dy.copy()
    rows = _fold_edges(work.swapaxes(-1, -2), top, bottom, mode).swapaxes(-1, -2)
    return _fold_edges(rows, left, right, mode).copy()


# ---------------------------------------------------------------------------------------------------------------------
# As operations on tensors


def _pads(x, pads) -> tuple[int, ...]:
    """Before and after the last axis, then the one before it, and so on; negative ones crop."""
    if not isinstance(x, ndarray):
        raise TypeError(f"pad: expected a Tensor or an ndarray as input, got {x!r} of type {type(x).__name__}")
    if isinstance(pads, (str, bytes)) or not isinstance(pads, Sequence):
        raise TypeError(f"pad expects a sequence of integers, got {pads!r}")
    pads = tuple(integer(n, "pad", -LARGEST) for n in pads)
    if len(pads) % 2 or len(pads) > 2 * x.ndim:
        raise ValueError(
            f"pad expects an even number of at most {2 * x.ndim} pads for input {list(x.shape)}, got {list(pads)}"
        )
    return pads


def pad_edges(needs, x, pads, mode):
    """Pad signals or images by what they hold; negative pads count as 0."""
    pads = tuple([max(n, 0) for n in _pads(x, pads)])
    if mode not in _PADDING_MODES[1:]:
        raise NotImplementedError(f"unknown padding mode {mode!r}; there are constant, reflect, replicate, circular")
    if len(pads) == 4 and x.ndim in (3, 4):
        return pad2d(x, pads, mode), lambda dy: (pad2d_backward(dy, pads, mode),), ()
    if len(pads) == 2 and x.ndim in (2, 3):
        pads = (*pads, 0, 0)
        return (
            pad2d(x[..., None, :], pads, mode)[..., 0, :],
            lambda dy: (pad2d_backward(dy[..., None, :], pads, mode)[..., 0, :],),
            (),
        )
    raise NotImplementedError(
        f"padding mode {mode!r} takes 2 pads for (N, C, L) or (C, L) and 4 for (N, C, H, W) or (C, H, W), "
        f"got {list(pads)} for input {list(x.shape)}"
    )


@differentiable_twice
def pad_constant(needs, x, pads, value):
    """Pad the last axes of an array by a number."""
    pads, shape = _pads(x, pads), x.shape
    pairs = [(0, 0)] * (x.ndim - len(pads) // 2) + [(pads[i], pads[i + 1]) for i in range(len(pads) - 2, -1, -2)]
    if any(n + min(before, 0) + min(after, 0) < 0 for n, (before, after) in zip(shape, pairs, strict=True)):
        raise RuntimeError(f"pad {list(pads)} leaves nothing of input {list(shape)}")
    if value is not None:
        number(value, "pad's value")
    inner = tuple(
        slice(max(before, 0), max(before, 0) + n + min(before, 0) + min(after, 0))
        for n, (before, after) in zip(shape, pairs, strict=True)
    )
    outer = tuple(slice(max(-before, 0), n + min(after, 0)) for n, (before, after) in zip(shape, pairs, strict=True))
    y = np.full(
        check_shape([n + before + after for n, (before, after) in zip(shape, pairs, strict=True)], "pad"),
        value or 0,
        x.dtype,
    )
    y[inner] = x[outer]

    def vjp(dy):
        return (apply(primitives.put_back, dy[inner], shape=shape, at=outer, basic=True),)

    return y, vjp, ()
