"""Images in other sizes, and sampled where a grid says.

Along one dimension each output is a weighted sum of a few inputs, its taps, which :func:`_taps` lists for every mode.
One compiled pass (``layer_passes.resample``) does two dimensions at a time, and the gradient, with the taps transposed.
"""

from __future__ import annotations

import itertools
import math
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from ... import layer_passes
from ..._native.tape import apply
from ...checks import LARGEST, integer, number
from ...creation import linspace, tensor
from .. import functional as F
from .arguments import Array, check_array, check_dtypes, computed_in, of_tensors, warn

__all__ = [
    "affine_grid",
    "grid_sample",
    "interpolate",
    "resample",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

_LINEAR = {"linear": 3, "bilinear": 4, "bicubic": 4, "trilinear": 5}  # the dimensions that they ask for
_MODES = ("nearest", "nearest-exact", "area", *_LINEAR)


def _cubic(t: np.ndarray, a: float) -> np.ndarray:
    """Keys' convolution kernel, at distances t."""
    t = np.abs(t)
    near = ((a + 2) * t - (a + 3)) * t * t + 1
    far = ((t - 5) * t + 8) * t * a - 4 * a
    return np.where(t <= 1, near, np.where(t < 2, far, 0))


def _taps(mode: str, length: int, out: int, scale: float | None, align_corners: bool, antialias: bool, dtype):
    """Which inputs each output takes, and with what weights: two arrays (taps, out).

    Coordinates are computed in the image's dtype, as torch computes them, for a nearest pixel is a matter of rounding.
    """
    real = np.dtype(dtype).type
    i = np.arange(out)
    if mode.startswith("nearest"):
        step = (
            real(1 / scale) if scale else np.float32(length / out) if dtype == np.float32 else real(length) / real(out)
        )
        at = (i + real(0.5)) * step if mode == "nearest-exact" else i.astype(dtype) * step
        return np.minimum(np.floor(at.astype(dtype)).astype(np.int64), length - 1)[None], np.ones((1, out), dtype)
    if align_corners:
        step = real(length - 1) / real(out - 1) if out > 1 else real(0)
        at = i.astype(dtype) * step
    else:
        step = real(1 / scale) if scale else real(length) / real(out)
        at = (i.astype(dtype) + real(0.5)) * step - real(0.5)
    if antialias:
        return _wide_taps(mode, length, out, step, align_corners, dtype)
    if mode == "bicubic":
        first = np.floor(at)
        t = at - first
        weight = np.stack([_cubic(t - k, -0.75) for k in (-1, 0, 1, 2)])
        index = first.astype(np.int64) + np.arange(-1, 3)[:, None]
        return np.clip(index, 0, length - 1), weight.astype(dtype)
    at = np.maximum(at, 0)
    first = np.minimum(at.astype(np.int64), length - 1)
    t = np.minimum(at - first.astype(dtype), 1)
    return np.stack([first, np.minimum(first + 1, length - 1)]), np.stack([1 - t, t]).astype(dtype)


def _wide_taps(mode: str, length: int, out: int, step, align_corners: bool, dtype):
    """Where the image shrinks, the kernel widens by as much, so that every pixel counts."""
    radius = (1 if mode == "bilinear" else 2) * max(float(step), 1.0)
    stretch = 1 / max(float(step), 1.0)
    centre = float(step) * (np.arange(out) + 0.5)
    first = np.maximum((centre - radius + 0.5).astype(np.int64), 0)
    last = np.minimum((centre + radius + 0.5).astype(np.int64), length)
    index = first + np.arange(max(int((last - first).max(initial=1)), 1))[:, None]
    t = (index - centre + 0.5) * stretch
    weight = np.maximum(1 - np.abs(t), 0) if mode == "bilinear" else _cubic(t, -0.5)
    weight = np.where(index < last, weight, 0)
    weight /= weight.sum(axis=0)
    return np.minimum(index, last - 1), weight.astype(dtype)


def transposed_taps(index: np.ndarray, weight: np.ndarray, length: int) -> tuple[np.ndarray, np.ndarray]:
    """Which outputs each of `length` inputs went to, and with what weights."""
    outputs = np.broadcast_to(np.arange(index.shape[1]), index.shape)
    used = weight != 0
    sources, outputs, weights = index[used], outputs[used], weight[used]
    order = np.argsort(sources, kind="stable")
    sources, outputs, weights = sources[order], outputs[order], weights[order]
    counts = np.bincount(sources, minlength=length)
    place = np.arange(sources.size) - (np.cumsum(counts) - counts)[sources]
    shape = max(int(counts.max(initial=1)), 1), length
    # An input with fewer outputs than others lists one of its own again, with a weight of zero.
    own = np.zeros(length, np.int64)
    own[sources[::-1]] = outputs[::-1]
    back, weights_back = np.broadcast_to(own, shape).copy(), np.zeros(shape, weight.dtype)
    back[place, sources], weights_back[place, sources] = outputs, weights
    return back, weights_back


def _resampled(x: np.ndarray, taps: Sequence) -> np.ndarray:
    """(N, C, ...) with taps for each dimension after the channels; two dimensions in one pass."""
    lead, sizes = x.shape[:2], [index.shape[1] for index, _ in taps]
    images = math.prod(lead)
    if len(taps) == 1:
        y = layer_passes.resample(x.reshape(images, 1, -1), None, taps[0])
    elif len(taps) == 2:
        y = layer_passes.resample(x.reshape(images, *x.shape[2:]), *taps)
    else:
        y = layer_passes.resample(x.reshape(images * x.shape[2], *x.shape[3:]), *taps[1:])
        y = layer_passes.resample(y.reshape(images, x.shape[2], -1), taps[0], None)
    return y.reshape(*lead, *sizes)


def _resize(needs, x, taps):
    lengths = x.shape[2:]

    def vjp(dy):
        back = [transposed_taps(*pair, length) for pair, length in zip(taps, lengths, strict=True)]
        return (_resampled(dy, back),)

    return _resampled(x, taps), vjp, ()


def resample(input: Array, taps: Sequence[tuple[np.ndarray, np.ndarray]]) -> Array:
    """Weighted sums along each dimension after the channels.

    Parameters
    ----------
    input : (N, C, ...) of one to three more dimensions
        float32 or float64.
    taps : for each of these dimensions (index, weight)
        Both (taps, out): which inputs each output takes, and their weights, of the input's dtype.
    """
    return apply(_resize, input, taps=taps)


def _per_dimension(value, name: str, input: Array, count: int, check) -> list:
    values = list(value) if isinstance(value, (list, tuple)) else [value] * count
    if len(values) != count:
        raise ValueError(
            f"Input and {name} must have the same number of spatial dimensions, but got input with spatial dimensions "
            f"of {list(input.shape[2:])} and {name} of {value}. Please provide input tensor in (N, C, d1, d2, ...,dK) "
            f"format and {name} in (o1, o2, ...,oK) format."
        )
    return [check(v) for v in values]


def interpolate(
    input: Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
    recompute_scale_factor: bool | None = None,
    antialias: bool = False,
) -> Array:
    """Images in another size.

    Parameters
    ----------
    input : (N, C, L), (N, C, H, W) or (N, C, D, H, W)
        float32 or float64; floats of 16 bits are computed in float32.
    size : int or sequence of int, optional
        What the output measures; either this or `scale_factor`.
    scale_factor : float or sequence of float, optional
        By how much each dimension grows; lengths are rounded down.
    mode : {"nearest", "nearest-exact", "linear", "bilinear", "bicubic", "trilinear", "area"}
        "nearest" takes pixel floor(i * scale), "nearest-exact" the one whose centre is nearest; "linear" is for three
        dimensions, "bilinear" and "bicubic" for four, "trilinear" for five; "area" is :func:`adaptive_avg_pool2d`.
    align_corners : bool, optional
        Whether the centres of the corners' pixels, rather than their outer corners, are where they were; for the modes
        with "linear" or "cubic" in their name. False by default.
    recompute_scale_factor : bool, optional
        Compute the scale anew from the sizes, after rounding.
    antialias : bool
        Widen the kernel where an image shrinks; for "bilinear" and "bicubic".

    Raises
    ------
    ValueError
        For arguments that exclude each other, or do not fit the dimensions.
    NotImplementedError
        For a mode that there is not, or not for so many dimensions.

    Examples
    --------
    >>> F.interpolate(fastconv.arange(2.0).reshape(1, 1, 2), scale_factor=2)
    tensor([[[0., 0., 1., 1.]]])
    """
    check_array("interpolate", input)
    dims = input.ndim - 2
    if mode in ("nearest", "area", "nearest-exact") and align_corners is not None:
        raise ValueError(
            "align_corners option can only be set with the interpolating modes: linear | bilinear | bicubic | trilinear"
        )
    if size is not None and scale_factor is not None:
        raise ValueError("only one of size or scale_factor should be defined")
    if size is None and scale_factor is None:
        raise ValueError("either size or scale_factor should be defined")
    if recompute_scale_factor and size is not None:
        raise ValueError("recompute_scale_factor is not meaningful with an explicit size.")
    if antialias and not (mode in ("bilinear", "bicubic") and input.ndim == 4):
        raise ValueError(
            "Anti-alias option is restricted to bilinear and bicubic modes and requires a 4-D tensor as input"
        )
    if mode in _LINEAR and _LINEAR[mode] != input.ndim and input.ndim in (3, 4, 5):
        raise NotImplementedError(f"Got {input.ndim}D input, but {mode} mode needs {_LINEAR[mode]}D input")
    if input.ndim not in (3, 4, 5) or mode not in _MODES:
        raise NotImplementedError(
            f"Input Error: Only 3D, 4D and 5D input Tensors supported (got {input.ndim}D) for the modes: "
            f"{' | '.join(_MODES)} (got {mode})"
        )
    scales: list = [None] * dims
    if size is not None:
        sizes = _per_dimension(size, "output size", input, dims, lambda n: integer(n, "size", -LARGEST))
    else:
        given = _per_dimension(scale_factor, "scale_factor", input, dims, lambda s: float(number(s, "scale_factor")))
        sizes = [math.floor(n * s) for n, s in zip(input.shape[2:], given, strict=True)]
        if not recompute_scale_factor and mode != "area":
            scales = given
    if min(sizes) < 1 or min(input.shape[2:]) < 1 or not input.shape[1]:
        raise RuntimeError(
            f"Input and output sizes should be greater than 0, but got input of size {list(input.shape)} and output "
            f"of spatial size {sizes}"
        )
    if mode == "area":
        return (F.adaptive_avg_pool1d, F.adaptive_avg_pool2d, F.adaptive_avg_pool3d)[dims - 1](input, tuple(sizes))
    dtype = input.dtype
    if mode in _LINEAR or dtype != np.uint8:
        check_dtypes("interpolate", input=input)
        dtype = computed_in(dtype)
    taps = [
        _taps(mode, n, out, scale, bool(align_corners), antialias, dtype)
        for n, out, scale in zip(input.shape[2:], sizes, scales, strict=True)
    ]
    return resample(input, taps)


def upsample(
    input: Array,
    size: int | Sequence[int] | None = None,
    scale_factor: float | Sequence[float] | None = None,
    mode: str = "nearest",
    align_corners: bool | None = None,
) -> Array:
    """The former name of :func:`interpolate`."""
    warnings.warn("`nn.functional.upsample` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2)
    return interpolate(input, size, scale_factor, mode, align_corners)


def upsample_nearest(input: Array, size: Any = None, scale_factor: Any = None) -> Array:
    """:func:`interpolate` by the nearest pixel, by its former name."""
    warnings.warn(
        "`nn.functional.upsample_nearest` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="nearest")


def upsample_bilinear(input: Array, size: Any = None, scale_factor: Any = None) -> Array:
    """:func:`interpolate` bilinearly with aligned corners, by its former name."""
    warnings.warn(
        "`nn.functional.upsample_bilinear` is deprecated. Use `nn.functional.interpolate` instead.", stacklevel=2
    )
    return interpolate(input, size, scale_factor, mode="bilinear", align_corners=True)


# ---------------------------------------------------------------------------------------------------------------------
# Grids
# ---------------------------------------------------------------------------------------------------------------------


def _reflect(at: np.ndarray, low: float, high: float) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates thrown back at the ends of [low, high], and the sign of the derivative."""
    span = high - low
    if not span:
        return np.zeros_like(at), np.zeros_like(at)
    distance = np.abs(at - low)
    turns, extra = np.floor(distance / span), np.fmod(distance, span)
    odd = turns % 2 == 1
    inside = np.where(odd, span - extra, extra) + low
    return inside.astype(at.dtype), np.where(odd, -1, 1) * np.where(at < low, -1, 1)


def _into(at: np.ndarray, length: int, padding_mode: str, align_corners: bool) -> tuple[np.ndarray, np.ndarray]:
    """Coordinates brought into the image, and their derivative."""
    slope = np.ones_like(at)
    if padding_mode == "reflection":
        ends = (0, length - 1) if align_corners else (-0.5, length - 0.5)
        at, slope = _reflect(at, *ends)
    if padding_mode != "zeros":
        slope = slope * ((at > 0) & (at < length - 1))
        at = np.clip(at, 0, length - 1)
    return at, slope


def _grid_taps(at: np.ndarray, length: int, mode: str, padding_mode: str, align_corners: bool) -> list:
    """For each tap of each point: its pixel, whether that is in the image, its weight, and the weight's derivative."""
    scale = (length - 1) / 2 if align_corners else length / 2
    # Rounded once, as by the fused instruction that torch takes here.
    exact = (at + 1).astype(np.longdouble if at.dtype == np.float64 else np.float64) * scale
    at = (exact if align_corners else exact - 0.5).astype(at.dtype)
    slope = np.ones_like(at)
    if mode != "bicubic":
        at, slope = _into(at, length, padding_mode, align_corners)
    with np.errstate(invalid="ignore"):
        first = np.rint(at) if mode == "nearest" else np.floor(at)
        t = at - first
    if mode == "nearest":
        taps = [(first, np.ones_like(at), np.zeros_like(at))]
    elif mode == "bilinear":
        taps = [(first, 1 - t, -slope * scale), (first + 1, t, slope * scale)]
    else:
        taps = []
        for k in (-1, 0, 1, 2):
            distance = np.abs(t - k)
            near = distance <= 1
            rise = np.where(near, (3.75 * distance - 4.5) * distance, (-2.25 * distance + 7.5) * distance - 6)
            taps.append((first + k, _cubic(t - k, -0.75), np.sign(t - k) * rise * scale))
    result = []
    for place, weight, rise in taps:
        if mode == "bicubic":
            place = np.rint(_into(place, length, padding_mode, align_corners)[0])
        valid = (place >= 0) & (place <= length - 1)
        result.append((np.where(valid, place, 0).astype(np.int64), valid, weight.astype(at.dtype), rise))
    return result


def _grid_sample(needs, x, grid, mode, padding_mode, align_corners):
    n, c, *sizes = x.shape
    points = grid.shape[1:-1]
    axes = [_grid_taps(grid[..., -1 - i], length, mode, padding_mode, align_corners) for i, length in enumerate(sizes)]
    image = np.arange(n).reshape(-1, *(1,) * len(points))

    def corners():
        """Each combination of taps: the pixel's row of the table below, and its parts by dimension."""
        for taps in itertools.product(*axes):
            row, valid = image, np.True_
            for (place, inside, _, _), length in zip(taps, sizes, strict=True):
                row, valid = row * length + place, valid & inside
            yield row, valid, [tap[2] for tap in taps], [tap[3] for tap in taps]

    def table(x):
        return np.ascontiguousarray(np.moveaxis(x, 1, -1)).reshape(-1, c)

    pixels = table(x)
    y = np.zeros((n, *points, c), x.dtype)
    for row, valid, weights, _ in corners():
        y += np.where(valid[..., None], pixels[row], 0) * (math.prod(weights))[..., None]
    shape, grid_shape = x.shape, grid.shape

    def vjp(dy, x, grid):
        dy = np.moveaxis(dy, 1, -1)
        dx, dgrid = np.zeros(n * math.prod(sizes) * c), np.zeros(grid_shape, dy.dtype)
        pixels = table(x) if needs[1] else None
        for row, valid, weights, rises in corners():
            if needs[0]:
                part = dy * (valid * math.prod(weights))[..., None]
                places = row[..., None] * c + np.arange(c)
                dx += np.bincount(places.ravel(), part.ravel(), dx.size)
            if needs[1]:
                along = np.where(valid, (pixels[row] * dy).sum(-1), 0)
                for i in range(len(sizes)):
                    others = math.prod(weights[:i] + weights[i + 1 :])
                    dgrid[..., -1 - i] += along * rises[i] * others
        dx = np.moveaxis(dx.reshape(n, *sizes, c), -1, 1).astype(dy.dtype).reshape(shape)
        return dx if needs[0] else None, dgrid if needs[1] else None

    return np.ascontiguousarray(np.moveaxis(y, -1, 1)), vjp, (x, grid)


def _default_align_corners(align_corners: bool | None) -> bool:
    if align_corners is None:
        warn(
            "Default grid_sample and affine_grid behavior has changed to align_corners=False since 1.3.0. Please "
            "specify align_corners=True if the old behavior is desired. See the documentation of grid_sample for "
            "details."
        )
    return bool(align_corners)


def grid_sample(
    input: Array,
    grid: Array,
    mode: str = "bilinear",
    padding_mode: str = "zeros",
    align_corners: bool | None = None,
) -> Array:
    """Images sampled where a grid says (Jaderberg et al., 2015).

    Parameters
    ----------
    input : (N, C, H, W) or (N, C, D, H, W)
    grid : (N, P, Q, 2) or (N, O, P, Q, 3)
        Where each output is taken from: (x, y) or (x, y, z), -1 and 1 being the ends of the image.
    mode : {"bilinear", "nearest", "bicubic"}
        "bicubic" for four dimensions alone.
    padding_mode : {"zeros", "border", "reflection"}
        What lies outside the image.
    align_corners : bool, optional
        Whether -1 and 1 are the centres of the corners' pixels, or their outer corners (the default, with a warning).

    Returns
    -------
    (N, C, P, Q) or (N, C, O, P, Q)
    """
    if mode not in ("bilinear", "nearest", "bicubic"):
        raise ValueError(
            f"nn.functional.grid_sample(): expected mode to be 'bilinear', 'nearest' or 'bicubic', but got: {mode!r}"
        )
    if padding_mode not in ("zeros", "border", "reflection"):
        raise ValueError(
            "nn.functional.grid_sample(): expected padding_mode to be 'zeros', 'border', or 'reflection', but got: "
            f"{padding_mode!r}"
        )
    align_corners = _default_align_corners(align_corners)
    check_dtypes("grid_sample", input=input, grid=grid)
    given = f"input of size {list(input.shape)} and grid of size {list(grid.shape)}"
    dims = input.ndim - 2
    if dims not in (2, 3) or grid.ndim != input.ndim:
        raise RuntimeError(
            f"grid_sampler(): expected 4D or 5D input and grid with same number of dimensions, but got {given}"
        )
    if input.shape[0] != grid.shape[0]:
        raise RuntimeError(f"grid_sampler(): expected grid and input to have same batch size, but got {given}")
    if grid.shape[-1] != dims:
        raise RuntimeError(f"grid_sampler(): expected grid to have size {dims} in last dimension, but got {given}")
    if min(input.shape[2:]) < 1:
        raise RuntimeError(f"grid_sampler(): expected input to have non-empty spatial dimensions, but got {given}")
    if mode == "bicubic" and dims == 3:
        raise RuntimeError("grid_sampler(): bicubic interpolation only supports 4D input")
    return apply(_grid_sample, input, grid, mode=mode, padding_mode=padding_mode, align_corners=align_corners)


@of_tensors
def affine_grid(theta: Array, size: Sequence[int], align_corners: bool | None = None) -> Array:
    """The grid for :func:`grid_sample` that an affine map of the output's coordinates makes.

    Parameters
    ----------
    theta : (N, 2, 3) or (N, 3, 4)
    size : sequence of int
        Of the output: (N, C, H, W) or (N, C, D, H, W).
    align_corners : bool, optional
        As in :func:`grid_sample`.

    Returns
    -------
    (N, H, W, 2) or (N, D, H, W, 3)
    """
    align_corners = _default_align_corners(align_corners)
    if theta.dtype.kind != "f":
        raise ValueError(f"Expected theta to have floating point type, but got {theta.dtype}")
    size = [integer(n, "size", -LARGEST) for n in size]
    dims = len(size) - 2
    if dims not in (2, 3):
        raise NotImplementedError(
            "affine_grid only supports 4D and 5D sizes, for 2D and 3D affine transforms, respectively. "
            f"Got size {size}."
        )
    if theta.ndim != 3 or theta.shape[1:] != (dims, dims + 1) or theta.shape[0] != size[0]:
        raise ValueError(
            f"Expected a batch of {dims}D affine matrices of shape Nx{dims}x{dims + 1} for size {size}. "
            f"Got {list(theta.shape)}."
        )
    if min(size) <= 0:
        raise ValueError(f"Expected non-zero, positive output size. Got {size}")
    lengths = size[2:]
    # Rounded as torch rounds: by the identity, points fall on the borders between pixels, where the gradient jumps.
    lines = [linspace(-1, 1, n, dtype=theta.dtype)._array if n > 1 else np.zeros(1) for n in lengths]
    if not align_corners:
        lines = [line * (n - 1) / n for line, n in zip(lines, lengths, strict=True)]
    coordinates = np.meshgrid(*lines, indexing="ij")[::-1]
    points = np.stack([*coordinates, np.ones(lengths)], axis=-1).reshape(-1, dims + 1)
    grid = tensor(points, dtype=theta.dtype) @ theta.transpose(1, 2)
    return grid.reshape(size[0], *lengths, dims)
