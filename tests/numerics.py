"""Errors element by element: the bounds that docs/numerics.md promises, and data whose scales are far apart.

A result is a sum of products, and its error is bounded by the same sum of absolute values:

    |y - y64| <= c u (|w| * |x| + |b|),    c = 4 (sqrt(depth) + 8),    u = 2^-24 in float32, 2^-53 in float64

where depth is the number of products of one sum. Unlike an error relative to the norm of the whole result, it is as
strict with a small filter, image or pixel as with a large one, and it asks for exact zeros where all products are zero.

In Winograd's filtering, and by Fourier transforms, the errors of a tile are relative to its largest value, so that
there the bound is 6 c, and each |x| is replaced by the largest of its channel that a tile of that output can see
(:class:`Sight`). The same holds for the input gradient, whose tiles are of dy, and for the weight gradient: a tile's
products are those of sums of its outputs' gradients with sums of its pixels, so that every |dy| meets the largest
|x| of any tile that it can be in.
"""

from contextlib import contextmanager

import numpy as np
import test_winograd
from cases import draw_case, draw_strided_case, parameters, w_shape, x_shape

import fastconv
from fastconv import backends, ops, reference

PASSES = ("forward", "input_gradient", "weight_gradient")
# "direct" is the fastest form but Winograd's filtering.
FORMS = ("direct", *backends.FORMS)

# The methods by tiles. Points along a side of the largest tiles of Winograd's filtering: square ones, and those of a
# row or a column; and along a side of those of Fourier transforms.
TILED = ("winograd", "fourier")
SQUARE = 6
LINE = 8
FOURIER = 16


@contextmanager
def forced(form: str):
    """Inside, convolutions take one of FORMS wherever it is possible, and elsewhere a direct one."""
    with backends.winograd.flags(enabled=False):
        if form == "direct":
            yield
        else:
            with backends.force(form):
                yield


def forms_taken(x_size, w_size, arguments, form: str, dtype=np.float32, memory_format="contiguous") -> list[str]:
    """The form of each pass, with its tile or its residues' forms, where this one is forced."""
    with forced(form):
        names = fastconv.explain(x_size, w_size, *arguments, dtype=dtype, memory_format=memory_format)
    return [names[name] for name in PASSES]


# ---------------------------------------------------------------------------------------------------------------------
# Bounds


def rounding(dtype) -> float:
    """u: half of the distance from 1 to the next number."""
    return float(np.finfo(dtype).eps) / 2


def constant(depth: int, method: str) -> float:
    """c, or 6 c in tiles."""
    return (6 if method in TILED else 1) * 4 * (np.sqrt(depth) + 8)


def conv2d_bound(x, w, b=None, stride=1, padding=0, dilation=1, groups=1, method="direct") -> np.ndarray:
    """The largest error that each element of ``conv2d(x, w, b, ...)`` may have."""
    depth = w[0].size
    x64, w64 = (np.abs(a.astype(np.float64)) for a in (x, w))
    if method == "direct":
        total = reference.conv2d(x64, w64, None, stride, padding, dilation, groups)
    else:
        sight = Sight(x.shape, w.shape, stride, padding, dilation, groups, method)
        total = np.zeros(sight.taps.y_shape)
        for r, s in sight.residues():
            taps = w64[:, :, r :: sight.stride[0], s :: sight.stride[1]].sum((2, 3), keepdims=True)
            total += reference.conv2d(sight.of_x(x64, r, s), taps, groups=groups)
    if b is not None:
        total += np.abs(b.astype(np.float64))[:, None, None]
    return constant(depth, method) * rounding(x.dtype) * total


def conv2d_input_bound(input_size, w, dy, stride=1, padding=0, dilation=1, groups=1, method="direct") -> np.ndarray:
    """The largest error that each element of ``conv2d_input(input_size, w, dy, ...)`` may have."""
    depth = w[:, 0].size // groups
    w64, dy64 = (np.abs(a.astype(np.float64)) for a in (w, dy))
    if method == "direct":
        total = reference.conv2d_input(input_size, w64, dy64, stride, padding, dilation, groups)
    else:
        sight = Sight(input_size, w.shape, stride, padding, dilation, groups, method)
        total = np.zeros(input_size)
        for r, s in sight.residues():
            rows, cols = sight.pixels(0, r), sight.pixels(1, s)
            taps = w64[:, :, r :: sight.stride[0], s :: sight.stride[1]].sum((2, 3), keepdims=True)
            largest = sight.of_dy(dy64, rows, cols)
            size = (*input_size[:2], len(rows), len(cols))
            total[:, :, rows[:, None], cols] = reference.conv2d_input(size, taps, largest, groups=groups)
    return constant(depth, method) * rounding(w.dtype) * total


def conv2d_weight_bound(x, weight_size, dy, stride=1, padding=0, dilation=1, groups=1, method="direct") -> np.ndarray:
    """The largest error that each element of ``conv2d_weight(x, weight_size, dy, ...)`` may have."""
    depth = dy[:, 0].size
    x64, dy64 = (np.abs(a.astype(np.float64)) for a in (x, dy))
    if method == "direct":
        total = reference.conv2d_weight(x64, weight_size, dy64, stride, padding, dilation, groups)
    else:
        sight = Sight(x.shape, weight_size, stride, padding, dilation, groups, method)
        total = np.zeros(weight_size)
        for r, s in sight.residues():
            one_tap = (*weight_size[:2], 1, 1)
            sums = reference.conv2d_weight(sight.of_x(x64, r, s), one_tap, dy64, groups=groups)
            total[:, :, r :: sight.stride[0], s :: sight.stride[1]] = sums
    return constant(depth, method) * rounding(x.dtype) * total


class Sight:
    """What the tiles of a method see.

    Along an axis, filters of `taps` taps and tiles of `points` pixels make ``m = points + 1 - taps`` outputs a tile. An
    output may be any of them, so that it may share its tile with m - 1 further ones before or behind it: 4 for 2 taps,
    3 for 3 taps and 1 for 5 taps in tiles of 6x6; 5, 3 and 1 for 3, 5 and 7 taps in tiles of 1x8; none across a row;
    11 for 5 taps in tiles of 16x16.
    With a dilation neighbours in a tile lie that far apart. A stride cuts pixels and taps by their residues modulo the
    stride, each of which is a channel of its own with ceil(taps / stride) taps.
    """

    def __init__(self, x_size, w_size, stride, padding, dilation, groups, method):
        self.taps = reference._Taps(x_size, w_size, stride, padding, dilation, groups)
        self.x_size = x_size
        # A stride that is never taken is none.
        self.stride = [1 if self.taps.y_shape[2 + axis] == 1 else self.taps.stride[axis] for axis in range(2)]
        self.kernel = [-(-w_size[2 + axis] // self.stride[axis]) for axis in range(2)]  # taps of a residue
        # What has no second tap has no dilation.
        self.dilation = [self.taps.dilation[axis] if self.kernel[axis] > 1 else 1 for axis in range(2)]
        points = [SQUARE, SQUARE] if min(self.kernel) > 1 else [LINE if taps > 1 else 1 for taps in self.kernel]
        if method == "fourier":
            points = [FOURIER, FOURIER]
        self.beyond = [points[axis] - self.kernel[axis] for axis in range(2)]  # m - 1
        self.pad = self.taps.pads[::2]

    def residues(self):
        """The residues of the strides that have taps, of rows and columns."""
        rows, cols = (min(self.stride[axis], (self.taps.kernel_h, self.taps.kernel_w)[axis]) for axis in range(2))
        return [(r, s) for r in range(rows) for s in range(cols)]

    def pixels(self, axis: int, residue: int) -> np.ndarray:
        """The pixels of x along an axis that meet taps of this residue alone."""
        pixels = np.arange(self.x_size[2 + axis])
        return pixels[(pixels + self.pad[axis]) % self.stride[axis] == residue]

    def of_x(self, x, r: int, s: int) -> np.ndarray:
        """For each output, the largest pixel of this residue of every channel that its tile can see."""
        for axis, residue in enumerate((r, s)):
            step, beyond = self.stride[axis], self.beyond[axis]
            outputs = np.arange(self.taps.y_shape[2 + axis]) * step - self.pad[axis]
            seen = np.arange(-beyond, self.kernel[axis] + beyond) * step + residue
            x = _largest(x, 2 + axis, outputs, seen * self.dilation[axis])
        return x

    def of_dy(self, dy, rows, cols) -> np.ndarray:
        """For each of these pixels of x, the largest gradient of every filter that its tile can see."""
        for axis, pixels in enumerate((rows, cols)):
            step, beyond = self.stride[axis], self.beyond[axis]
            # Residues may begin one pixel later, where zeros before the first tap make them begin together.
            seen = np.arange(1 - self.kernel[axis] - beyond, beyond + (2 if step > 1 else 1))
            dy = _largest(dy, 2 + axis, (pixels + self.pad[axis]) // step, seen * self.dilation[axis])
        return dy


def _largest(a: np.ndarray, axis: int, origins: np.ndarray, offsets: np.ndarray) -> np.ndarray:
    """Along an axis, the largest element at each origin plus any of the offsets; outside is zero."""
    shape = list(a.shape)
    shape[axis] = len(origins)
    out = np.zeros(shape)
    for offset in offsets:
        at = origins + offset
        inside = np.flatnonzero((at >= 0) & (at < a.shape[axis]))
        target = tuple([slice(None)] * axis + [inside])
        out[target] = np.maximum(out[target], a.take(at[inside], axis))
    return out


def worst_ratio(actual, expected, bound) -> float:
    """The largest |actual - expected| / bound; infinite where an error meets a bound of zero, or is no number."""
    assert actual.shape == expected.shape == bound.shape
    error = np.abs(actual - expected)
    error[np.isnan(error)] = np.inf
    wrong = error > 0
    if not wrong.any():
        return 0.0
    with np.errstate(divide="ignore", over="ignore"):
        return float(np.max(error[wrong] / bound[wrong]))


def assert_within(actual, expected, bound) -> float:
    """No element of the error is larger than its bound; returns the worst ratio of the two."""
    ratio = worst_ratio(actual, expected, bound)
    assert ratio <= 1, f"an error is {ratio:.3g} times as large as its bound"
    return ratio


# ---------------------------------------------------------------------------------------------------------------------
# Data whose scales are far apart


def scales(rng, shape) -> np.ndarray:
    """10 to the power of numbers drawn evenly from [-3, 3]."""
    return 10.0 ** rng.uniform(-3, 3, shape)


def rescale(rng, array: np.ndarray, pixels: bool) -> np.ndarray:
    """A copy, in which some axes got scales: the first (images or filters), the second (channels), and of images
    single pixels or all of them, while filters may lose taps; now and then one of the first axis is zero."""
    out = array.astype(np.float64)
    if rng.random() < 0.4:
        out *= scales(rng, (len(out), 1, 1, 1))
    if rng.random() < 0.4:
        out *= scales(rng, (1, out.shape[1], 1, 1))
    if pixels and rng.random() < 0.6:
        few = rng.random((len(out), 1, *out.shape[2:])) < rng.choice([0.02, 0.1, 1.0])
        out *= np.where(few, scales(rng, few.shape), 1.0)
    elif not pixels and rng.random() < 0.2:
        out *= rng.random(out.shape) < 0.3
    if len(out) and rng.random() < 0.2:
        out[rng.integers(len(out))] = 0
    return out.astype(array.dtype)


def exchange_scales(rng, x: np.ndarray, w: np.ndarray, groups: int) -> tuple[np.ndarray, np.ndarray]:
    """x with scaled channels, and w with the scales' inverses, as batch norm may leave them."""
    factors = scales(rng, x.shape[1])
    inverses = np.repeat(1 / factors.reshape(groups, -1), len(w) // groups, axis=0)
    return (x * factors[:, None, None]).astype(x.dtype), (w * inverses[:, :, None, None]).astype(w.dtype)


def draw_case_of(rng, form: str) -> dict:
    """A small convolution, which the form can do if it is a method by tiles."""
    if form not in TILED:
        return draw_case(rng)
    if form == "fourier" and rng.random() < 0.7:
        return test_winograd.draw_case(rng, [(int(rng.integers(1, 14)), int(rng.integers(4, 14)))])
    return draw_strided_case(rng) if rng.random() < 0.35 else test_winograd.draw_case(rng)


def draw_scaled(rng, case: dict, dtype):
    """x, w, b (or None) and dy of a case, normal random numbers times scales."""
    x = rescale(rng, rng.standard_normal(x_shape(case)).astype(dtype), pixels=True)
    w = rescale(rng, rng.standard_normal(w_shape(case)).astype(dtype), pixels=False)
    if rng.random() < 0.3:
        x, w = exchange_scales(rng, x, w, case["groups"])
    b = (rng.standard_normal(case["K"]) * scales(rng, case["K"])).astype(dtype) if rng.random() < 0.3 else None
    y_size = reference._Taps(x.shape, w.shape, *parameters(case)).y_shape
    dy = rescale(rng, rng.standard_normal(y_size).astype(dtype), pixels=True)
    return x, w, b, dy


# ---------------------------------------------------------------------------------------------------------------------
# The three passes


def pass_ratios(x, w, b, dy, arguments, form: str, layouts=None) -> dict[tuple[str, str], float]:
    """The three passes, a form of them forced, beside the reference: of each (pass, method) the worst error by its
    bound."""
    in_x, in_w, in_dy = (lay(a) for lay, a in zip(layouts, (x, w, dy), strict=True)) if layouts else (x, w, dy)
    names = forms_taken(x.shape, w.shape, arguments, form, x.dtype)
    of_y, of_dx, of_dw = (next((m for m in TILED if name.startswith(m)), "direct") for name in names)
    with forced(form):
        y = ops.conv2d(in_x, in_w, b, *arguments)
        dx = ops.conv2d_input(x.shape, in_w, in_dy, *arguments)
        dw = ops.conv2d_weight(in_x, w.shape, in_dy, *arguments)
    y64 = reference.conv2d(x, w, b, *arguments)
    dx64 = reference.conv2d_input(x.shape, w, dy, *arguments)
    dw64 = reference.conv2d_weight(x, w.shape, dy, *arguments)
    return {
        ("forward", of_y): worst_ratio(y, y64, conv2d_bound(x, w, b, *arguments, method=of_y)),
        ("input_gradient", of_dx): worst_ratio(dx, dx64, conv2d_input_bound(x.shape, w, dy, *arguments, method=of_dx)),
        ("weight_gradient", of_dw): worst_ratio(
            dw, dw64, conv2d_weight_bound(x, w.shape, dy, *arguments, method=of_dw)
        ),
    }
