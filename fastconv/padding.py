"""Padding of arrays, by zeros and by what the image holds, and its gradient."""

import math
from collections.abc import Sequence

import numpy as np
from numpy import ndarray

from . import primitives
from ._native import layer_passes
from ._native.memory import empty
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


def _places(n: int, before: int, after: int, mode: str) -> ndarray:
    """Which of n pixels each pixel of a padded line holds, -1 for none."""
    places = np.arange(-before, n + after)
    if mode == "zeros":
        places[(places < 0) | (places >= n)] = -1
    elif mode == "replicate":
        places = places.clip(0, n - 1)
    elif mode == "reflect":
        places = n - 1 - np.abs(n - 1 - np.abs(places))
    elif n:
        places %= n
    return places.astype(np.int32)


def _dense(x: ndarray) -> ndarray:
    return np.require(x, x.dtype.newbyteorder("="), "CA")


def _padded(x: ndarray, y: ndarray, pads: Sequence[int], mode: str, value: float = 0.0) -> ndarray:
    """y, the last two axes of x padded (or, by negative numbers, cropped) by (left, right, top, bottom)."""
    left, right, top, bottom = pads
    rows, cols = _places(x.shape[-2], top, bottom, mode), _places(x.shape[-1], left, right, mode)
    if y.size:
        lines, planes = (math.prod(y.shape[:-2]), *x.shape[-2:]), (math.prod(y.shape[:-2]), *y.shape[-2:])
        layer_passes.pad_planes(_dense(x).reshape(lines), rows, cols, value, y.reshape(planes))
    return y


def _folded(dy: ndarray, dx: ndarray, pads: Sequence[int], mode: str) -> ndarray:
    """dx, the gradient of :func:`_padded`."""
    left, right, top, bottom = pads
    rows, cols = _places(dx.shape[-2], top, bottom, mode), _places(dx.shape[-1], left, right, mode)
    if dx.size:
        lines, planes = (math.prod(dx.shape[:-2]), *dy.shape[-2:]), (math.prod(dx.shape[:-2]), *dx.shape[-2:])
        dy = _dense(dy.astype(dx.dtype, copy=False))
        layer_passes.pad_planes_backward(dy.reshape(lines), rows, cols, dx.reshape(planes))
    return dx


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
    return _padded(x, y, (left, right, top, bottom), mode)


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
    dx = new(op, (*dy.shape[:-2], height, width), dy, "input's gradient")
    return _folded(dy, dx, (left, right, top, bottom), mode)


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
    if len(pads) == 6 and x.ndim in (4, 5):
        # First the last two axes, then the one before them, of which a whole image is a row.
        around, along = pads[:4], (0, 0, *pads[4:])
        lead, depth = x.shape[:-3], x.shape[-3]
        images = pad2d(x.reshape(math.prod(lead), *x.shape[-3:]), around, mode)
        size = images.shape
        rows = pad2d(images.reshape(size[0], depth, -1), along, mode)
        padded = rows.shape

        def vjp(dy):
            inner = pad2d_backward(dy.reshape(padded), along, mode)
            return (pad2d_backward(inner.reshape(size), around, mode).reshape(*lead, *size[1:-2], *inner_size),)

        inner_size = x.shape[-2:]
        return rows.reshape(*lead, -1, *size[-2:]), vjp, ()
    if len(pads) == 2 and x.ndim in (2, 3):
        pads = (*pads, 0, 0)
        return (
            pad2d(x[..., None, :], pads, mode)[..., 0, :],
            lambda dy: (pad2d_backward(dy[..., None, :], pads, mode)[..., 0, :],),
            (),
        )
    raise NotImplementedError(
        f"padding mode {mode!r} takes 2 pads for (N, C, L) or (C, L), 4 for (N, C, H, W) or (C, H, W) and 6 for "
        f"(N, C, D, H, W) or (C, D, H, W), got {list(pads)} for input {list(x.shape)}"
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
    size = check_shape([n + before + after for n, (before, after) in zip(shape, pairs, strict=True)], "pad")
    compiled = x.dtype.kind == "f" and x.itemsize >= 4 and 0 < len(pads) <= 4
    if compiled:
        sides = (*pads, 0, 0)[:4]
        images = x[None] if x.ndim == 1 else x
        y = empty(size, x.dtype.newbyteorder("="))
        y = _padded(images, y[None] if x.ndim == 1 else y, sides, "zeros", value or 0).reshape(size)
    else:
        y = np.full(size, value or 0, x.dtype)
        y[inner] = x[outer]

    def vjp(dy):
        if compiled and isinstance(dy, ndarray):
            dx = empty(images.shape, dy.dtype)
            return (_folded(dy[None] if len(shape) == 1 else dy, dx, sides, "zeros").reshape(shape),)
        return (apply(primitives.put_back, dy[inner], shape=shape, at=outer, basic=True),)

    return y, vjp, ()
