"""Images in other sizes, and sampled where a grid says."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from ..._tensor import Tensor
from ...checks import check_shape
from ...creation import tensor
from ...nn import functional as F
from ...nn.functions.resize import resample
from ..nodes import Node, integers, reads

__all__ = []

Taps = tuple[np.ndarray, np.ndarray]  # which inputs each output takes, and their weights: (taps, outputs) both


def _coordinates(mode: str, length: int, out: int, scale: float, roi: tuple[float, float] | None) -> np.ndarray:
    """Where each output lies in the input."""
    i = np.arange(out)
    if mode == "half_pixel":
        return (i + 0.5) / scale - 0.5
    if mode == "pytorch_half_pixel":
        return (i + 0.5) / scale - 0.5 if out > 1 else np.zeros(out)
    if mode == "half_pixel_symmetric":
        # What rounding the output's length has cut off is spread over both ends.
        adjustment = out / (scale * length)
        return length / 2 * (1 - adjustment) + (i + 0.5) / scale - 0.5
    if mode == "align_corners":
        return i * (length - 1) / (out - 1) if out > 1 else np.zeros(out)
    if mode == "asymmetric":
        return i / scale
    if mode == "tf_half_pixel_for_nn":
        return (i + 0.5) / scale
    if mode == "tf_crop_and_resize":
        if roi is None:
            raise ValueError("tf_crop_and_resize needs a region")
        start, end = roi
        if out > 1:
            return start * (length - 1) + i * (end - start) * (length - 1) / (out - 1)
        return np.full(out, 0.5 * (start + end) * (length - 1))
    raise ValueError(f"the coordinate_transformation_mode {mode!r} is unknown")


def _nearest(mode: str, at: np.ndarray) -> np.ndarray:
    if mode == "round_prefer_floor":
        return np.ceil(at - 0.5)
    if mode == "round_prefer_ceil":
        return np.floor(at + 0.5)
    if mode in ("floor", "ceil"):
        return np.floor(at) if mode == "floor" else np.ceil(at)
    raise ValueError(f"the nearest_mode {mode!r} is unknown")


def _cubic(t: np.ndarray, a: float) -> np.ndarray:
    """Keys' convolution kernel, at distances t."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * t * a - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def _taps(node: Node, at: np.ndarray, length: int, scale: float) -> Taps:
    """The inputs around each coordinate."""
    mode, first = node.get("mode", "nearest"), np.floor(at)
    stretch = min(scale, 1.0) if node.get("antialias", 0) else 1.0
    if mode == "nearest":
        index, weight = _nearest(node.get("nearest_mode", "round_prefer_floor"), at)[None], np.ones((1, at.size))
    elif mode in ("linear", "cubic"):
        # The kernel reaches so far to both sides; where images shrink without aliasing, as much farther.
        reach = math.ceil((1 if mode == "linear" else 2) / stretch)
        index = first + np.arange(1 - reach, reach + 1)[:, None]
        distance = (at - index) * stretch
        if mode == "linear":
            weight = np.maximum(1 - np.abs(distance), 0)
        else:
            weight = _cubic(distance, node.get("cubic_coeff_a", -0.75))
    else:
        raise ValueError(f"the mode {mode!r} is unknown")
    if node.get("exclude_outside", 0) and mode != "nearest":
        weight = np.where((index >= 0) & (index < length), weight, 0)
    if stretch < 1 or node.get("exclude_outside", 0):
        weight = weight / weight.sum(axis=0)
    return np.clip(index, 0, length - 1).astype(np.int64), weight


@reads("Resize", settings=(1, 2, 3))
def _resize(node: Node, x: Tensor, *inputs: Tensor | None) -> Tensor:
    if node.opset < 11:
        roi, scales, sizes = None, inputs[0], None
    else:
        roi, scales, sizes = (*inputs, *[None] * (3 - len(inputs)))
    axes = [axis % x.ndim for axis in node.get("axes") or range(x.ndim)]
    given = [float(s) for s in scales._array] if scales is not None and scales.numel() else None
    regions = roi._array.astype(np.float64) if roi is not None and roi.numel() else None
    targets = integers(sizes) if sizes is not None and sizes.numel() else None
    if (given is None) == (targets is None) or len(given or targets or ()) != len(axes):
        raise ValueError(f"expected scales or sizes of {len(axes)} axes, got {given} and {targets}")
    if given is None:
        given = _kept_ratio(node, [x.shape[axis] for axis in axes], targets)
        if node.get("keep_aspect_ratio_policy", "stretch") != "stretch":
            targets = [math.floor(s * x.shape[axis] + 0.5) for s, axis in zip(given, axes, strict=True)]
    mode = node.get("coordinate_transformation_mode", "half_pixel" if node.opset >= 11 else "asymmetric")
    taps: dict[int, Taps] = {}
    outside: dict[int, np.ndarray] = {}
    for place, axis in enumerate(axes):
        length, scale = x.shape[axis], given[place]
        if not scale > 0 or not length:
            raise ValueError(f"expected scales above 0 and an image, got {scale} of {length} pixels")
        out = math.floor(length * scale) if targets is None else targets[place]
        check_shape([out, 8], "Resize")
        region = None if regions is None else (regions[place], regions[len(axes) + place])
        if out == length and scale == 1 and mode != "tf_crop_and_resize":
            continue
        if mode == "tf_crop_and_resize" and region == (0, 1) and out == length:
            continue
        at = _coordinates(mode, length, out, scale, region)
        taps[axis] = _taps(node, at, length, scale) if node.opset >= 11 else _old_taps(node, at, length)
        if mode == "tf_crop_and_resize":
            outside[axis] = (at < 0) | (at > length - 1)
    y = _resampled(x, taps)
    for axis, where in outside.items():
        if where.any():
            mask = where.reshape([-1 if d == axis else 1 for d in range(x.ndim)])
            y = y.masked_fill(Tensor(mask).bool(), node.get("extrapolation_value", 0.0))
    return y


def _old_taps(node: Node, at: np.ndarray, length: int) -> Taps:
    """Opset 10 and Upsample: the pixel before, or a line between two."""
    first = np.minimum(np.floor(at), length - 1).astype(np.int64)
    if node.get("mode", "nearest") == "nearest":
        return first[None], np.ones((1, at.size))
    t = np.minimum(at - first, 1.0)
    return np.stack([first, np.minimum(first + 1, length - 1)]), np.stack([1 - t, t])


def _kept_ratio(node: Node, lengths: list[int], sizes: Any) -> list[float]:
    """The scales of some sizes; with a policy, one for all."""
    scales = [size / n for size, n in zip(sizes, lengths, strict=True)]
    policy = node.get("keep_aspect_ratio_policy", "stretch")
    if policy == "stretch":
        return scales
    return [min(scales) if policy == "not_larger" else max(scales)] * len(scales)


def _resampled(x: Tensor, taps: dict[int, Taps]) -> Tensor:
    """A tensor with taps for some of its dimensions."""
    if not taps:
        return x
    dtype = x.dtype
    real = dtype if dtype in (np.float32, np.float64) else np.dtype(np.float32)
    y = x.to(real)
    if x.ndim in (3, 4, 5) and min(taps) >= 2:
        rows = [taps.get(d) or (np.arange(n)[None], np.ones((1, n))) for d, n in enumerate(x.shape)][2:]
        y = resample(y, [(index, weight.astype(real)) for index, weight in rows])
    else:
        for axis, (index, weight) in taps.items():
            before, after = math.prod(x.shape[:axis]), math.prod(y.shape[axis + 1 :])
            before = math.prod(y.shape[:axis])
            images = y.reshape(1, before, y.shape[axis], after)
            same = (np.arange(after)[None], np.ones((1, after), real))
            images = resample(images, [(index, weight.astype(real)), same])
            y = images.reshape(*y.shape[:axis], index.shape[1], *y.shape[axis + 1 :])
    return y.round().to(dtype) if dtype.kind != "f" and taps else y.to(dtype)


@reads("Upsample", settings=(1,))
def _upsample(node: Node, x: Tensor, scales: Tensor | None = None) -> Tensor:
    given = node.get("scales") if scales is None else scales._array
    mode = node.get("mode", "nearest")
    attributes = {"mode": "linear" if mode in ("bilinear", "trilinear") else mode}
    old = Node(node.kind, node.name, node.inputs, node.outputs, 10, attributes)
    return _resize(old, x, tensor([float(s) for s in given]))


@reads("GridSample", in_float32=True)
def _grid_sample(node: Node, x: Tensor, grid: Tensor) -> Tensor:
    mode = node.get("mode", "bilinear" if node.opset < 20 else "linear")
    mode = {"linear": "bilinear", "cubic": "bicubic"}.get(mode, mode)
    return F.grid_sample(x, grid, mode, node.get("padding_mode", "zeros"), bool(node.get("align_corners", 0)))


@reads("AffineGrid", settings=(1,), in_float32=True)
def _affine_grid(node: Node, theta: Tensor, size: Tensor) -> Tensor:
    return F.affine_grid(theta, integers(size), bool(node.get("align_corners", 0)))
