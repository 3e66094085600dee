"""The operations in plain NumPy and float64: slow, obviously right, and the oracle of the tests.

Each function computes what its namesake in :mod:`fastconv.ops` does, written down as the textbook's equations are: a
sum over the taps (r, s) of a kernel, each of which sees the image shifted. Nothing here is checked, and nothing is
shared with the code under test. The last section holds convolution as one writes it for speed in NumPy, in float32
over BLAS, for comparison in benchmarks.
"""

from typing import Any

import numpy as np
from numpy import ndarray
from numpy.lib.stride_tricks import sliding_window_view

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "batch_norm2d",
    "batch_norm2d_backward",
    "bias_gradient",
    "blas_conv2d",
    "blas_conv2d_input",
    "blas_conv2d_weight",
    "conv1d",
    "conv1d_input",
    "conv1d_weight",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "conv_transpose2d",
    "conv_transpose2d_input",
    "conv_transpose2d_weight",
    "cross_entropy",
    "leaky_relu",
    "leaky_relu_backward",
    "max_pool2d",
    "max_pool2d_backward",
    "pad2d",
    "pad2d_backward",
    "relu",
    "relu_backward",
]

# ---------------------------------------------------------------------------------------------------------------------
# Sizes


def _pair(value) -> tuple[int, int]:
    return (int(value[0]), int(value[1])) if isinstance(value, (tuple, list)) else (int(value), int(value))


def _four_pads(padding, kernel, dilation) -> tuple[int, int, int, int]:
    """(top, bottom, left, right) in pixels."""
    if padding == "valid":
        return 0, 0, 0, 0
    if padding == "same":
        total_h, total_w = dilation[0] * (kernel[0] - 1), dilation[1] * (kernel[1] - 1)
        return total_h // 2, total_h - total_h // 2, total_w // 2, total_w - total_w // 2
    pad_h, pad_w = _pair(padding)
    return pad_h, pad_h, pad_w, pad_w


def _padded(x: ndarray, pads: tuple[int, int, int, int], value: float = 0.0) -> ndarray:
    top, bottom, left, right = pads
    images, channels, height, width = x.shape
    out = np.full((images, channels, top + height + bottom, left + width + right), value, x.dtype)
    out[:, :, top : top + height, left : left + width] = x
    return out


def _unpadded(x: ndarray, pads: tuple[int, int, int, int]) -> ndarray:
    top, bottom, left, right = pads
    return x[:, :, top : x.shape[2] - bottom, left : x.shape[3] - right]


class _Taps:
    """Where the taps of a kernel fall on padded images: what the three passes have in common."""

    def __init__(self, x_shape, w_shape, stride, padding, dilation, groups):
        self.kernel_h, self.kernel_w = w_shape[2:]
        self.stride, self.dilation = _pair(stride), _pair(dilation)
        self.pads = _four_pads(padding, w_shape[2:], self.dilation)
        padded_h = x_shape[2] + self.pads[0] + self.pads[1]
        padded_w = x_shape[3] + self.pads[2] + self.pads[3]
        self.out_h = (padded_h - self.dilation[0] * (self.kernel_h - 1) - 1) // self.stride[0] + 1
        self.out_w = (padded_w - self.dilation[1] * (self.kernel_w - 1) - 1) // self.stride[1] + 1
        self.padded_shape = (x_shape[0], x_shape[1], padded_h, padded_w)
        self.y_shape = (x_shape[0], w_shape[0], self.out_h, self.out_w)
        filters, channels = w_shape[0] // groups, w_shape[1]
        # The filters and the channels of each group.
        self.groups = [
            (slice(g * filters, (g + 1) * filters), slice(g * channels, (g + 1) * channels)) for g in range(groups)
        ]

    def __iter__(self):
        """Every tap (r, s), with the rows and columns of the padded image that it meets, one for each output pixel."""
        for r in range(self.kernel_h):
            i = r * self.dilation[0]
            rows = slice(i, i + (self.out_h - 1) * self.stride[0] + 1, self.stride[0])
            for s in range(self.kernel_w):
                j = s * self.dilation[1]
                yield r, s, rows, slice(j, j + (self.out_w - 1) * self.stride[1] + 1, self.stride[1])


# ---------------------------------------------------------------------------------------------------------------------
# Convolution


def conv2d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """``y[k,p,q] = b[k] + sum over c,r,s of w[k,c,r,s] x[c, p+r, q+s]`` for each image: equations 12.1 to 12.3.

    x (N, C, H, W) or (C, H, W), w (K, C / groups, R, S), b (K,); returns (N, K, P, Q) or (K, P, Q) in float64.
    """
    x, w = np.asarray(x, np.float64), np.asarray(w, np.float64)
    if x.ndim == 3:
        return conv2d(x[None], w, b, stride, padding, dilation, groups)[0]
    taps = _Taps(x.shape, w.shape, stride, padding, dilation, groups)
    x_padded = _padded(x, taps.pads)
    y = np.zeros(taps.y_shape)
    for filters, channels in taps.groups:
        for r, s, rows, cols in taps:
            y[:, filters] += _product("kc,ncpq->nkpq", w[filters, :, r, s], x_padded[:, channels, rows, cols])
    if b is not None:
        y += np.asarray(b, np.float64)[:, None, None]
    return y


def conv2d_input(
    input_size: Any, w: Any, dy: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """``dx[c,i,j] = sum over k,r,s of w[k,c,r,s] dy[k, i-r, j-s]`` for each image: equation 12.6.

    input_size is x's shape, w (K, C / groups, R, S), dy (N, K, P, Q) or (K, P, Q); returns x's shape in float64.
    """
    w, dy = np.asarray(w, np.float64), np.asarray(dy, np.float64)
    if len(input_size) == 3:
        return conv2d_input((1, *input_size), w, dy[None], stride, padding, dilation, groups)[0]
    taps = _Taps(input_size, w.shape, stride, padding, dilation, groups)
    dx_padded = np.zeros(taps.padded_shape)
    for filters, channels in taps.groups:
        for r, s, rows, cols in taps:
            dx_padded[:, channels, rows, cols] += _product("kc,nkpq->ncpq", w[filters, :, r, s], dy[:, filters])
    return _unpadded(dx_padded, taps.pads)


def conv2d_weight(
    x: Any, weight_size: Any, dy: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """``dw[k,c,r,s] = sum over images and p,q of dy[k,p,q] x[c, p+r, q+s]``: equation 12.5.

    x (N, C, H, W) or (C, H, W), weight_size is w's shape, dy (N, K, P, Q) or (K, P, Q); returns w's shape in float64.
    """
    x, dy = np.asarray(x, np.float64), np.asarray(dy, np.float64)
    if x.ndim == 3:
        return conv2d_weight(x[None], weight_size, dy[None], stride, padding, dilation, groups)
    taps = _Taps(x.shape, weight_size, stride, padding, dilation, groups)
    x_padded = _padded(x, taps.pads)
    dw = np.zeros(weight_size)
    for filters, channels in taps.groups:
        for r, s, rows, cols in taps:
            dw[filters, :, r, s] = _product("nkpq,ncpq->kc", dy[:, filters], x_padded[:, channels, rows, cols])
    return dw


def _product(indices: str, a: ndarray, b: ndarray) -> ndarray:
    # Large products go through BLAS; for small ones the search for a way costs more than the sum.
    return np.einsum(indices, a, b, optimize=a.size * b.size > 2**20)


def bias_gradient(dy: Any, dims: Any = 2) -> ndarray:
    """``db[k]``: the sum of dy over everything but the channels."""
    dy = np.asarray(dy, np.float64)
    channel = dy.ndim - dims - 1
    return dy.sum(axis=tuple(axis for axis in range(dy.ndim) if axis != channel))


def conv_transpose2d(
    x: Any,
    w: Any,
    b: Any = None,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> ndarray:
    """Each pixel of x paints its filter, times its value, into y: the input gradient of a convolution.

    x (N, C, H, W) or (C, H, W), w (C, K / groups, R, S), b (K,); returns (N, K, P, Q) or (K, P, Q) in float64.
    """
    x = np.asarray(x, np.float64)
    if x.ndim == 3:
        return conv_transpose2d(x[None], w, b, stride, padding, output_padding, groups, dilation)[0]
    sizes = [
        (size - 1) * _pair(stride)[i]
        - 2 * _pair(padding)[i]
        + _pair(dilation)[i] * (np.shape(w)[2 + i] - 1)
        + _pair(output_padding)[i]
        + 1
        for i, size in enumerate(x.shape[2:])
    ]
    # Where output_padding reaches the stride, the convolution has outputs that x lacks: they are zero.
    shape = (x.shape[0], np.shape(w)[1] * groups, *sizes)
    taps = _Taps(shape, np.shape(w), stride, padding, dilation, groups)
    dy = np.zeros(taps.y_shape)
    dy[:, :, : x.shape[2], : x.shape[3]] = x
    y = conv2d_input(shape, w, dy, stride, padding, dilation, groups)
    return y if b is None else y + np.asarray(b, np.float64)[:, None, None]


def conv_transpose2d_input(
    input_size: Any,
    w: Any,
    dy: Any,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> ndarray:
    """Gradient of :func:`conv_transpose2d` with respect to x: the convolution of dy, as far as x reaches."""
    dx = conv2d(dy, w, None, stride, padding, dilation, groups)
    return dx[..., : input_size[-2], : input_size[-1]]


def conv_transpose2d_weight(
    x: Any,
    weight_size: Any,
    dy: Any,
    stride: Any = 1,
    padding: Any = 0,
    output_padding: Any = 0,
    groups: Any = 1,
    dilation: Any = 1,
) -> ndarray:
    """Gradient of :func:`conv_transpose2d` with respect to w."""
    x = np.asarray(x, np.float64)
    if x.ndim == 3:
        return conv_transpose2d_weight(
            x[None], weight_size, dy[None], stride, padding, output_padding, groups, dilation
        )
    taps = _Taps(np.shape(dy), weight_size, stride, padding, dilation, groups)
    outputs = np.zeros(taps.y_shape)
    outputs[:, :, : x.shape[2], : x.shape[3]] = x
    return conv2d_weight(dy, weight_size, outputs, stride, padding, dilation, groups)


def conv1d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """:func:`conv2d` of images one pixel high: x (N, C, L) or (C, L), w (K, C / groups, S)."""
    y = conv2d(np.expand_dims(x, -2), np.expand_dims(w, -2), b, *_with_height(stride, padding, dilation), groups)
    return y[..., 0, :]


def conv1d_input(
    input_size: Any, w: Any, dy: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """Gradient of :func:`conv1d` with respect to x."""
    size = (*input_size[:-1], 1, input_size[-1])
    dx = conv2d_input(
        size, np.expand_dims(w, -2), np.expand_dims(dy, -2), *_with_height(stride, padding, dilation), groups
    )
    return dx[..., 0, :]


def conv1d_weight(
    x: Any, weight_size: Any, dy: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """Gradient of :func:`conv1d` with respect to w."""
    size = (*weight_size[:-1], 1, weight_size[-1])
    dw = conv2d_weight(
        np.expand_dims(x, -2), size, np.expand_dims(dy, -2), *_with_height(stride, padding, dilation), groups
    )
    return dw[..., 0, :]


def _with_height(stride, padding, dilation) -> tuple[tuple, tuple | str, tuple]:
    if not isinstance(padding, str):
        padding = (0, _pair(padding)[-1])
    return (1, _pair(stride)[-1]), padding, (1, _pair(dilation)[-1])


# ---------------------------------------------------------------------------------------------------------------------
# Padding


def _sources(size: int, before: int, after: int, mode: str) -> tuple[ndarray, ndarray]:
    """For each padded position, the position it copies, and whether it copies any (zeros copy none)."""
    position = np.arange(-before, size + after)
    inside = (position >= 0) & (position < size)
    if mode == "zeros":
        return np.where(inside, position, 0), inside
    if mode == "replicate":
        source = position.clip(0, size - 1)
    elif mode == "circular":
        source = position % size
    elif mode == "reflect":
        source = np.where(position < 0, -position, position)
        source = np.where(source >= size, 2 * (size - 1) - source, source)
    return source, np.ones(len(position), bool)


def pad2d(x: Any, pads: Any, mode: Any = "zeros") -> ndarray:
    """x (..., H, W) with pads (left, right, top, bottom): every new pixel copies one of x, or is zero."""
    x = np.asarray(x, np.float64)
    left, right, top, bottom = pads
    rows, rows_copy = _sources(x.shape[-2], top, bottom, mode)
    cols, cols_copy = _sources(x.shape[-1], left, right, mode)
    return x[..., rows, :][..., cols] * rows_copy[:, None] * cols_copy


def pad2d_backward(dy: Any, pads: Any, mode: Any = "zeros") -> ndarray:
    """Every pixel's gradient is added to the pixel that it copies."""
    dy = np.asarray(dy, np.float64)
    left, right, top, bottom = pads
    height, width = dy.shape[-2] - top - bottom, dy.shape[-1] - left - right
    rows, rows_copy = _sources(height, top, bottom, mode)
    cols, cols_copy = _sources(width, left, right, mode)
    dx = np.zeros((*dy.shape[:-2], height, width))
    for i, row in enumerate(rows):
        for j, col in enumerate(cols):
            if rows_copy[i] and cols_copy[j]:
                dx[..., row, col] += dy[..., i, j]
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# Pooling


def _pooled(size: int, kernel: int, stride: int, pad: int, dilation: int, ceil_mode: bool) -> int:
    span = dilation * (kernel - 1) + 1
    count = (size + 2 * pad - span + (stride - 1 if ceil_mode else 0)) // stride + 1
    # A last window that ceil_mode adds has to start in the image or in the padding before it.
    return count - 1 if ceil_mode and (count - 1) * stride >= size + pad else count


def _pool_windows(shape, kernel_size, stride, padding, dilation, ceil_mode):
    """Output height and width, and the function that gives output pixel (p, q)'s first and last + 1 row and column."""
    kernel, pads, spread = _pair(kernel_size), _pair(padding), _pair(dilation)
    steps = kernel if stride is None else _pair(stride)
    sizes = [_pooled(shape[2 + i], kernel[i], steps[i], pads[i], spread[i], ceil_mode) for i in (0, 1)]

    def window(p: int, q: int) -> tuple[int, int, int, int]:
        i, j = p * steps[0] - pads[0], q * steps[1] - pads[1]
        return i, i + spread[0] * (kernel[0] - 1) + 1, j, j + spread[1] * (kernel[1] - 1) + 1

    return *sizes, window


def max_pool2d(
    x: Any, kernel_size: Any, stride: Any = None, padding: Any = 0, dilation: Any = 1, ceil_mode: Any = False
) -> tuple[ndarray, ndarray]:
    """The largest pixel of each window and its place ``row * W + column``.

    NaN wins, the last of several; of equals the first does. A dilated window that misses the image gives -inf, at the
    first pixel that it could have seen were the image large enough, moved inside.
    """
    x = np.asarray(x, np.float64)
    if x.ndim == 3:
        y, indices = max_pool2d(x[None], kernel_size, stride, padding, dilation, ceil_mode)
        return y[0], indices[0]
    images, channels, height, width = x.shape
    out_h, out_w, window = _pool_windows(x.shape, kernel_size, stride, padding, dilation, ceil_mode)
    step_h, step_w = _pair(dilation)
    y = np.zeros((images, channels, out_h, out_w))
    indices = np.zeros(y.shape, np.int64)
    for p in range(out_h):
        for q in range(out_w):
            top, bottom, left, right = window(p, q)
            rows = [i for i in range(top, bottom, step_h) if 0 <= i < height]
            cols = [j for j in range(left, right, step_w) if 0 <= j < width]
            if not rows or not cols:
                y[:, :, p, q] = -np.inf
                first_row = next(i for i in range(top, bottom, step_h) if i >= 0)
                first_col = next(j for j in range(left, right, step_w) if j >= 0)
                indices[:, :, p, q] = min(first_row, height - 1) * width + min(first_col, width - 1)
                continue
            places = np.array([i * width + j for i in rows for j in cols])
            pixels = x.reshape(images, channels, height * width)[:, :, places]
            missing = np.isnan(pixels)
            last_missing = len(places) - 1 - missing[..., ::-1].argmax(axis=-1)
            winner = np.where(missing.any(axis=-1), last_missing, pixels.argmax(axis=-1))
            y[:, :, p, q] = np.take_along_axis(pixels, winner[..., None], axis=-1)[..., 0]
            indices[:, :, p, q] = places[winner]
    return y, indices


def max_pool2d_backward(dy: Any, indices: Any, input_size: Any) -> ndarray:
    """Every output pixel's gradient is added to the pixel that won."""
    dy = np.asarray(dy, np.float64)
    dx = np.zeros((*input_size[:-2], input_size[-2] * input_size[-1]))
    for place in np.ndindex(*dy.shape):
        dx[(*place[:-2], indices[place])] += dy[place]
    return dx.reshape(input_size)


def _average_weights(shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override):
    """Output height and width, and for each output pixel its window inside the image and its divisor."""
    (pad_h, pad_w), (height, width) = _pair(padding), shape[2:]
    out_h, out_w, window = _pool_windows(shape, kernel_size, stride, padding, 1, ceil_mode)
    cells = []
    for p in range(out_h):
        for q in range(out_w):
            top, bottom, left, right = window(p, q)
            # What hangs over the padding is never counted.
            bottom, right = min(bottom, height + pad_h), min(right, width + pad_w)
            with_pad = (bottom - top) * (right - left)
            rows, cols = slice(max(top, 0), min(bottom, height)), slice(max(left, 0), min(right, width))
            without_pad = (rows.stop - rows.start) * (cols.stop - cols.start)
            divisor = divisor_override or (with_pad if count_include_pad else without_pad)
            cells.append((p, q, rows, cols, divisor))
    return out_h, out_w, cells


def avg_pool2d(
    x: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> ndarray:
    """The sum of each window over the number of its pixels."""
    x = np.asarray(x, np.float64)
    if x.ndim == 3:
        return avg_pool2d(x[None], kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)[0]
    out_h, out_w, cells = _average_weights(
        x.shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
    )
    y = np.zeros((*x.shape[:2], out_h, out_w))
    for p, q, rows, cols, divisor in cells:
        y[:, :, p, q] = x[:, :, rows, cols].sum(axis=(2, 3)) / divisor
    return y


def avg_pool2d_backward(
    dy: Any,
    input_size: Any,
    kernel_size: Any,
    stride: Any = None,
    padding: Any = 0,
    ceil_mode: Any = False,
    count_include_pad: Any = True,
    divisor_override: Any = None,
) -> ndarray:
    """Every output pixel's gradient, over the divisor, is added to each pixel of its window."""
    dy = np.asarray(dy, np.float64)
    shape = (1, *input_size) if len(input_size) == 3 else input_size
    _, _, cells = _average_weights(shape, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)
    dx = np.zeros(input_size)
    for p, q, rows, cols, divisor in cells:
        dx[..., rows, cols] += dy[..., p, q, None, None] / divisor
    return dx


def _adaptive_windows(size: int, out: int) -> list[slice]:
    """floor(i * size / out) to ceil((i + 1) * size / out) for each i."""
    return [slice(i * size // out, -(-(i + 1) * size // out)) for i in range(out)]


def adaptive_avg_pool2d(x: Any, output_size: Any) -> ndarray:
    """The mean of each of the windows that divide the image into output_size parts."""
    x = np.asarray(x, np.float64)
    out_h, out_w = output_size if isinstance(output_size, (tuple, list)) else (output_size, output_size)
    height, width = x.shape[-2:]
    out_h, out_w = height if out_h is None else out_h, width if out_w is None else out_w
    y = np.zeros((*x.shape[:-2], out_h, out_w))
    for p, rows in enumerate(_adaptive_windows(height, out_h)):
        for q, cols in enumerate(_adaptive_windows(width, out_w)):
            y[..., p, q] = x[..., rows, cols].mean(axis=(-2, -1))
    return y


def adaptive_avg_pool2d_backward(dy: Any, input_size: Any) -> ndarray:
    """Every output pixel's gradient, over its window's size, is added to each pixel of its window."""
    dy = np.asarray(dy, np.float64)
    dx = np.zeros(input_size)
    for p, rows in enumerate(_adaptive_windows(input_size[-2], dy.shape[-2])):
        for q, cols in enumerate(_adaptive_windows(input_size[-1], dy.shape[-1])):
            size = (rows.stop - rows.start) * (cols.stop - cols.start)
            dx[..., rows, cols] += dy[..., p, q, None, None] / size
    return dx


# ---------------------------------------------------------------------------------------------------------------------
# What stands between convolutions


def leaky_relu(x: Any, negative_slope: float) -> ndarray:
    """x where it is above 0, else negative_slope * x."""
    return leaky_relu_backward(x, x, negative_slope)


def leaky_relu_backward(dy: Any, x: Any, negative_slope: float) -> ndarray:
    """dx = dy where x > 0, else negative_slope * dy."""
    dy, x = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    return np.where(x > 0, dy, negative_slope * dy)


def relu(x: Any) -> ndarray:
    """max(x, 0), NaN kept: the g() of equation 12.2."""
    return np.maximum(np.asarray(x, np.float64), 0)


def relu_backward(dy: Any, x: Any) -> ndarray:
    """0 where x <= 0, else dy, also where x is NaN."""
    return np.where(np.asarray(x) <= 0, 0, np.asarray(dy, np.float64))


def cross_entropy(scores: Any, labels: Any) -> tuple[float, ndarray]:
    """Mean of -log softmax(scores)[label] over the rows of scores (N, C), and its gradient (N, C)."""
    scores = np.asarray(scores, np.float64)
    shifted = scores - scores.max(axis=1, keepdims=True)
    log_probability = shifted - np.log(np.exp(shifted).sum(axis=1, keepdims=True))
    rows = np.arange(len(scores))
    gradient = np.exp(log_probability)
    gradient[rows, labels] -= 1
    return float(-log_probability[rows, labels].mean()), gradient / len(scores)


def batch_norm2d(x: Any, weight: Any, bias: Any, eps: Any = 1e-5) -> tuple[ndarray, ndarray, ndarray]:
    """Each channel of x (N, C, H, W) less its mean, over its standard deviation; and the means and biased variances."""
    x = np.asarray(x, np.float64)
    mean, variance = x.mean(axis=(0, 2, 3)), x.var(axis=(0, 2, 3))
    normal = (x - mean[:, None, None]) / np.sqrt(variance + eps)[:, None, None]
    return np.asarray(weight)[:, None, None] * normal + np.asarray(bias)[:, None, None], mean, variance


def batch_norm2d_backward(dy: Any, x: Any, weight: Any, eps: Any = 1e-5) -> tuple[ndarray, ndarray, ndarray]:
    """Gradients of :func:`batch_norm2d` with respect to x, weight and bias."""
    dy, x = np.asarray(dy, np.float64), np.asarray(x, np.float64)
    scale = 1 / np.sqrt(x.var(axis=(0, 2, 3)) + eps)[:, None, None]
    normal = (x - x.mean(axis=(0, 2, 3))[:, None, None]) * scale
    d_weight, d_bias = (dy * normal).sum(axis=(0, 2, 3)), dy.sum(axis=(0, 2, 3))
    d_normal = dy * np.asarray(weight, np.float64)[:, None, None]
    mean = d_normal.mean(axis=(0, 2, 3))[:, None, None]
    along = (d_normal * normal).mean(axis=(0, 2, 3))[:, None, None]
    return scale * (d_normal - mean - normal * along), d_weight, d_bias


# ---------------------------------------------------------------------------------------------------------------------
# Convolution over BLAS, in the arrays' own precision: NumPy at its best, for benchmarks
#
# The pixels that a block of outputs sees are copied side by side (im2col), and one matrix product does the rest. A
# block is some images, or some rows of one, so that the copy stays in cache.

_BLOCK_BYTES = 2**22


def _blocks(taps: _Taps, channels: int, itemsize: int):
    """(first image, last + 1, first output row, last + 1) of each block."""
    images = taps.y_shape[0]
    row_bytes = channels * taps.kernel_h * taps.kernel_w * taps.out_w * itemsize
    n_rows = max(1, _BLOCK_BYTES // row_bytes)
    if n_rows < taps.out_h:
        for n in range(images):
            for p in range(0, taps.out_h, n_rows):
                yield n, n + 1, p, min(p + n_rows, taps.out_h)
    else:
        n_images = max(1, n_rows // taps.out_h)
        for n in range(0, images, n_images):
            yield n, min(n + n_images, images), 0, taps.out_h


def _windows(x: ndarray, taps: _Taps) -> ndarray:
    """A view (C, R, S, N, P, Q) of all the pixels that each tap meets."""
    if any(taps.pads):
        x = _padded(x, taps.pads)
    span = (taps.dilation[0] * (taps.kernel_h - 1) + 1, taps.dilation[1] * (taps.kernel_w - 1) + 1)
    view = sliding_window_view(x, span, axis=(2, 3))
    view = view[:, :, :: taps.stride[0], :: taps.stride[1], :: taps.dilation[0], :: taps.dilation[1]]
    return view.transpose(1, 4, 5, 0, 2, 3)


def _side_by_side(windows: ndarray, block, groups: int) -> ndarray:
    """im2col: the windows of a block copied as (groups, C/groups * R * S, pixels)."""
    n0, n1, p0, p1 = block
    return np.ascontiguousarray(windows[:, :, :, n0:n1, p0:p1]).reshape(
        groups, windows.shape[0] // groups * windows.shape[1] * windows.shape[2], -1
    )


def _is_plain(taps: _Taps) -> bool:
    """Whether a 1x1 kernel sees each pixel as it stands: nothing has to be copied."""
    return taps.kernel_h == taps.kernel_w == 1 and taps.stride == (1, 1) and not any(taps.pads)


def blas_conv2d(
    x: Any, w: Any, b: Any = None, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """:func:`conv2d` by im2col and BLAS, in x's precision."""
    taps = _Taps(x.shape, w.shape, stride, padding, dilation, groups)
    y = np.empty(taps.y_shape, x.dtype)
    images, filters, out_h, out_w = y.shape
    channels = x.shape[1]
    w_rows = w.reshape(groups, filters // groups, -1)
    y_grouped = y.reshape(images, groups, filters // groups, out_h, out_w)
    if channels == groups:
        _depthwise(x, w_rows, y_grouped, taps)
    elif _is_plain(taps):
        np.matmul(
            w_rows,
            x.reshape(images, groups, channels // groups, out_h * out_w),
            out=y_grouped.reshape(images, groups, filters // groups, out_h * out_w),
        )
    else:
        windows = _windows(x, taps)
        for block in _blocks(taps, channels, x.itemsize):
            n0, n1, p0, p1 = block
            product = np.matmul(w_rows, _side_by_side(windows, block, groups))
            product = product.reshape(groups, filters // groups, n1 - n0, p1 - p0, out_w)
            y_grouped[n0:n1, :, :, p0:p1] = product.transpose(2, 0, 1, 3, 4)
    if b is not None:
        y += b[:, None, None]
    return y


# One channel a group leaves nothing to a matrix product: a multiplication and an addition for each tap, on some planes
# of one image at a time.


def _planes(taps: _Taps):
    """(image, slice of groups) of each block of planes that fits into a part of L2."""
    images, groups, height, width = taps.padded_shape
    step = max(1, 2**16 // (height * width))
    for n in range(images):
        for g in range(0, groups, step):
            yield n, slice(g, g + step)


def _depthwise(x: ndarray, w_rows: ndarray, y_grouped: ndarray, taps: _Taps) -> None:
    for n, some in _planes(taps):
        x_padded = _padded(x[n : n + 1, some], taps.pads)[0]
        for k in range(w_rows.shape[1]):
            out = y_grouped[n, some, k]
            out[...] = 0
            part = np.empty(out.shape, out.dtype)
            for t, (_, _, rows, cols) in enumerate(taps):
                np.multiply(x_padded[:, rows, cols], w_rows[some, k, t, None, None], out=part)
                out += part


def _depthwise_input(w_columns: ndarray, dy_grouped: ndarray, dx_padded: ndarray, taps: _Taps) -> None:
    for n, some in _planes(taps):
        out = dx_padded[n, some]
        part = np.empty((out.shape[0], taps.out_h, taps.out_w), out.dtype)
        for k in range(w_columns.shape[2]):
            for t, (_, _, rows, cols) in enumerate(taps):
                np.multiply(dy_grouped[n, some, k], w_columns[some, t, k, None, None], out=part)
                out[:, rows, cols] += part


def _depthwise_weight(x: ndarray, dy_grouped: ndarray, dw: ndarray, taps: _Taps) -> None:
    for n, some in _planes(taps):
        x_padded = _padded(x[n : n + 1, some], taps.pads)[0]
        for t, (_, _, rows, cols) in enumerate(taps):
            dw[some, :, t] += np.einsum("gkpq,gpq->gk", dy_grouped[n, some], x_padded[:, rows, cols])


def blas_conv2d_input(
    input_size: Any, w: Any, dy: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """:func:`conv2d_input` by BLAS and col2im, in dy's precision."""
    taps = _Taps(input_size, w.shape, stride, padding, dilation, groups)
    images, filters, out_h, out_w = dy.shape
    channels = input_size[1]
    w_columns = w.reshape(groups, filters // groups, -1).swapaxes(1, 2)
    dy_grouped = dy.reshape(images, groups, filters // groups, out_h, out_w)
    if _is_plain(taps) and channels != groups:
        dy_rows = dy.reshape(images, groups, filters // groups, out_h * out_w)
        return np.matmul(w_columns, dy_rows).reshape(input_size)
    dx_padded = np.zeros(taps.padded_shape, dy.dtype)
    if channels == groups:
        _depthwise_input(w_columns, dy_grouped, dx_padded, taps)
        return _unpadded(dx_padded, taps.pads)
    step_h = taps.stride[0]
    for n0, n1, p0, p1 in _blocks(taps, channels, dy.itemsize):
        block = dy_grouped[n0:n1, :, :, p0:p1].transpose(1, 2, 0, 3, 4).reshape(groups, filters // groups, -1)
        columns = np.matmul(w_columns, block).reshape(channels, taps.kernel_h, taps.kernel_w, n1 - n0, p1 - p0, out_w)
        for r, s, rows, cols in taps:
            first = rows.start + p0 * step_h
            rows = slice(first, first + (p1 - p0 - 1) * step_h + 1, step_h)
            dx_padded[n0:n1, :, rows, cols] += columns[:, r, s].swapaxes(0, 1)
    return _unpadded(dx_padded, taps.pads)


def blas_conv2d_weight(
    x: Any, weight_size: Any, dy: Any, stride: Any = 1, padding: Any = 0, dilation: Any = 1, groups: Any = 1
) -> ndarray:
    """:func:`conv2d_weight` by im2col and BLAS, in x's precision."""
    taps = _Taps(x.shape, weight_size, stride, padding, dilation, groups)
    images, filters, out_h, out_w = dy.shape
    channels = x.shape[1]
    dy_grouped = dy.reshape(images, groups, filters // groups, out_h, out_w)
    if _is_plain(taps) and channels != groups:
        x_rows = x.reshape(images, groups, channels // groups, out_h * out_w)
        each = np.matmul(dy.reshape(images, groups, filters // groups, out_h * out_w), x_rows.swapaxes(2, 3))
        return each.sum(axis=0).reshape(weight_size)
    dw = np.zeros((groups, filters // groups, channels // groups * taps.kernel_h * taps.kernel_w), x.dtype)
    if channels == groups:
        _depthwise_weight(x, dy_grouped, dw, taps)
        return dw.reshape(weight_size)
    windows = _windows(x, taps)
    for block in _blocks(taps, channels, x.itemsize):
        n0, n1, p0, p1 = block
        gradient = dy_grouped[n0:n1, :, :, p0:p1].transpose(1, 2, 0, 3, 4).reshape(groups, filters // groups, -1)
        dw += np.matmul(gradient, _side_by_side(windows, block, groups).swapaxes(1, 2))
    return dw.reshape(weight_size)
