"""The layers and losses as functions, by torch.nn.functional's names and arguments.

Tensors go in and a Tensor comes out, recorded on the tape; plain ndarrays go in and a plain ndarray comes out.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any, TypeVar

import numpy as np

from .. import elementwise, ops, primitives, twice
from .._native import layers
from .._native.tape import apply, differentiable_twice
from .._tensor import Tensor
from ..checks import LARGEST, check_shape, integer, number
from ..creation import from_numpy
from ..functions import flatten, log_softmax, sigmoid, softmax, tanh
from ..random import dropout_noise
from .functions.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardsigmoid,
    hardswish,
    hardtanh,
    logsigmoid,
    mish,
    prelu,
    relu6,
    selu,
    silu,
    softmin,
    softplus,
    softsign,
    tanhshrink,
)
from .functions.attention import scaled_dot_product_attention
from .functions.convolution import conv3d, conv_transpose1d
from .functions.distance import cosine_similarity, normalize, pairwise_distance
from .functions.dropout import alpha_dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from .functions.embedding import embedding
from .functions.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
)
from .functions.normalisation import group_norm, instance_norm, layer_norm, local_response_norm
from .functions.pooling import (
    adaptive_avg_pool1d,
    adaptive_avg_pool3d,
    adaptive_max_pool1d,
    adaptive_max_pool2d,
    avg_pool1d,
    avg_pool3d,
    lp_pool1d,
    lp_pool2d,
    max_pool1d,
    max_pool3d,
    max_unpool1d,
    max_unpool2d,
)
from .functions.rearrange import channel_shuffle, fold, pixel_shuffle, pixel_unshuffle, unfold
from .functions.resize import affine_grid, grid_sample, interpolate, upsample, upsample_bilinear, upsample_nearest

__all__ = [
    "adaptive_avg_pool1d",
    "adaptive_avg_pool2d",
    "adaptive_avg_pool3d",
    "adaptive_max_pool1d",
    "adaptive_max_pool2d",
    "affine_grid",
    "alpha_dropout",
    "avg_pool1d",
    "avg_pool2d",
    "avg_pool3d",
    "batch_norm",
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "celu",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "feature_alpha_dropout",
    "flatten",
    "fold",
    "gelu",
    "glu",
    "grid_sample",
    "group_norm",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "hinge_embedding_loss",
    "huber_loss",
    "instance_norm",
    "interpolate",
    "kl_div",
    "l1_loss",
    "layer_norm",
    "linear",
    "local_response_norm",
    "log_softmax",
    "logsigmoid",
    "lp_pool1d",
    "lp_pool2d",
    "margin_ranking_loss",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "max_unpool1d",
    "max_unpool2d",
    "mish",
    "mse_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "relu",
    "relu6",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softsign",
    "tanh",
    "tanhshrink",
    "triplet_margin_loss",
    "unfold",
    "upsample",
    "upsample_bilinear",
    "upsample_nearest",
]

Array = TypeVar("Array", Tensor, np.ndarray)  # what goes in comes out
Size = int | Sequence[int]


# ---------------------------------------------------------------------------------------------------------
# Convolution
# ---------------------------------------------------------------------------------------------------------


def _widen(*arrays: np.ndarray | None) -> Sequence[np.ndarray | None]:
    """float16 as float32, in which it is computed."""
    if all(a is None or (isinstance(a, np.ndarray) and a.dtype == np.float16) for a in arrays):
        return [a if a is None else a.astype(np.float32) for a in arrays]
    return arrays


@differentiable_twice
def _conv1d(needs, x, w, b, **options):
    return _conv(needs, x, w, b, "conv1d", options)


@differentiable_twice
def _conv2d(needs, x, w, b, **options):
    return _conv(needs, x, w, b, "conv2d", options)


def _conv(needs, x, w, b, family, options):
    passes = twice.FAMILIES[family]
    y = passes.forward(x, w, b, **options)
    need_x, need_w, need_b = needs
    if y.dtype is not x.dtype:
        x, w = _widen(x, w)
    x_shape, w_shape = x.shape, w.shape

    def vjp(dy, x, w):  # each gradient takes the other array
        if not isinstance(dy, np.ndarray):
            return twice.convolution(dy, x, w, needs, x_shape, w_shape, family, options)
        return (
            passes.input_gradient(x_shape, w, dy, **options) if need_x else None,
            passes.weight_gradient(x, w_shape, dy, **options) if need_w else None,
            ops.bias_gradient(dy, passes.dims) if need_b else None,
        )

    return y, vjp, (x if need_w else None, w if need_x else None)


def conv1d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """1-D convolution of many channels.

    Parameters
    ----------
    input : (N, C, L) or (C, L)
        float32 or float64; float16 is computed in, and returned as, float32.
    weight : (K, C / groups, S)
    bias : (K,), optional
    stride, padding, dilation, groups
        As in :func:`conv2d`.

    Returns
    -------
    (N, K, Q) or (K, Q)
        ``y[n, k, q] = b[k] + sum_{c, s} w[k, c, s] x[n, c, stride q + dilation s - padding]``.
    """
    return apply(_conv1d, input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)


def conv2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> Array:
    """2-D convolution of many channels (the textbook's equation 12.3, without its activation).

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
        float32 or float64; float16 is computed in, and returned as, float32.
    weight : (K, C / groups, R, S)
        The filters, of the input's dtype.
    bias : (K,), optional
    stride : int or (int, int)
    padding : int, (int, int), "same" or "valid"
        Zeros on each side; "same" keeps the size (stride 1 only; of an odd total the extra one goes right and down).
    dilation : int or (int, int)
        Distance of the filter's elements.
    groups : int
        Channels are split into so many groups, each with its own K / groups filters; groups = C is depthwise.

    Returns
    -------
    (N, K, P, Q) or (K, P, Q)
        ``y[n, k, p, q] = b[k] + sum_{c, r, s} w[k, c, r, s] x[n, c, stride p + dilation r - padding, ...]``.

    Raises
    ------
    TypeError
        For integers, and for mixed dtypes.
    RuntimeError
        For shapes that do not fit together.
    ValueError
        For a stride, padding, dilation or number of groups that makes no sense.
    """
    y = layers.conv2d(input, weight, bias, stride, padding, dilation, groups)
    if y is None:
        y = apply(_conv2d, input, weight, bias, stride=stride, padding=padding, dilation=dilation, groups=groups)
    return y


@differentiable_twice
def _conv_transpose2d(needs, x, w, b, **options):
    x, w, b = _widen(x, w, b)
    y = ops.conv_transpose2d(x, w, b, **options)
    need_x, need_w, need_b = needs
    x_shape, w_shape = x.shape, w.shape

    def vjp(dy, x, w):
        if not isinstance(dy, np.ndarray):
            return twice.convolution(dy, x, w, needs, x_shape, w_shape, "conv_transpose2d", options)
        return (
            ops.conv_transpose2d_input(x_shape, w, dy, **options) if need_x else None,
            ops.conv_transpose2d_weight(x, w_shape, dy, **options) if need_w else None,
            ops.bias_gradient(dy) if need_b else None,
        )

    return y, vjp, (x if need_w else None, w if need_x else None)


def conv_transpose2d(
    input: Array,
    weight: Array,
    bias: Array | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> Array:
    """Transposed convolution: the gradient of :func:`conv2d` with respect to its input, as a layer of its own.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    weight : (C, K / groups, R, S)
    bias : (K,), optional
    stride, padding, dilation : int or (int, int)
        Those of the convolution that this one transposes.
    output_padding : int or (int, int)
        Added to the size of the output on one side; less than the stride or the dilation.
    groups : int

    Returns
    -------
    (N, K, P, Q) or (K, P, Q)
        ``P = (H - 1) stride - 2 padding + dilation (R - 1) + output_padding + 1``, Q likewise.
    """
    return apply(
        _conv_transpose2d,
        *(input, weight, bias),
        stride=stride,
        padding=padding,
        output_padding=output_padding,
        groups=groups,
        dilation=dilation,
    )


# ---------------------------------------------------------------------------------------------------------
# Padding
# ---------------------------------------------------------------------------------------------------------


def _pad2d(needs, x, pads, mode):
    return ops.pad2d(x, pads, mode), lambda dy: (ops.pad2d_backward(dy, pads, mode),), ()


@differentiable_twice
def _pad_constant(needs, x, pads, value):
    """Pad each axis by (before, after); negative numbers crop."""
    shape = x.shape
    inner = tuple(slice(max(before, 0), max(before, 0) + n + min(before, 0) + min(after, 0))
                  for n, (before, after) in zip(shape, pads, strict=True))  # fmt: skip
    outer = tuple(slice(max(-before, 0), n + min(after, 0)) for n, (before, after) in zip(shape, pads, strict=True))
    new_shape = check_shape([n + before + after for n, (before, after) in zip(shape, pads, strict=True)], "pad")
    y = np.full(new_shape, value, x.dtype)
    y[inner] = x[outer]

    def vjp(dy):
        return (apply(primitives.put_back, dy[inner], shape=shape, at=outer, basic=True),)

    return y, vjp, ()


def pad(input: Array, pad: Sequence[int], mode: str = "constant", value: float | None = None) -> Array:
    """Enlarge (or, by negative numbers, crop) the last dimensions.

    Parameters
    ----------
    input : Tensor or ndarray
        For the modes other than "constant": (N, C, L) or (C, L) with two numbers in `pad`, (N, C, H, W) or
        (C, H, W) with four.
    pad : sequence of int
        Before and after the last dimension, then before and after the one before it, and so on:
        ``(left, right, top, bottom)`` for images.
    mode : {"constant", "reflect", "replicate", "circular"}
    value : float, optional
        What "constant" fills with; 0 by default.

    Raises
    ------
    NotImplementedError
        For an unknown mode.
    ValueError, RuntimeError
        For a number of pads that does not fit the dimensions, or pads that the mode cannot fill.
    """
    _check_array("pad", input)
    if isinstance(pad, (str, bytes)) or not isinstance(pad, Sequence):
        raise TypeError(f"pad expects a sequence of integers, got {pad!r}")
    pads = tuple(integer(n, "pad", -LARGEST) for n in pad)
    shape = list(input.shape)
    if len(pads) % 2 or len(pads) > 2 * input.ndim:
        raise ValueError(
            f"pad expects an even number of at most {2 * input.ndim} pads for input {shape}, got {list(pads)}"
        )
    if mode == "constant":
        pairs = [(0, 0)] * (input.ndim - len(pads) // 2) + [
            (pads[i], pads[i + 1]) for i in range(len(pads) - 2, -1, -2)
        ]
        if any(n + before + after < 0 for n, (before, after) in zip(shape, pairs, strict=True)):
            raise RuntimeError(f"pad {list(pads)} leaves nothing of input {shape}")
        if value is not None:
            number(value, "pad's value")
        return apply(_pad_constant, input, pads=pairs, value=value or 0)
    if mode not in ("reflect", "replicate", "circular"):
        raise NotImplementedError(f"unknown padding mode {mode!r}; there are constant, reflect, replicate, circular")
    if value is not None:
        raise ValueError(f"padding mode {mode!r} takes no value, got {value!r}")
    if len(pads) == 4 and input.ndim in (3, 4):
        return apply(_pad2d, input, pads=pads, mode=mode)
    if len(pads) == 2 and input.ndim in (2, 3):
        return apply(_pad1d, input, pads=(*pads, 0, 0), mode=mode)
    raise NotImplementedError(
        f"padding mode {mode!r} takes 2 pads for (N, C, L) or (C, L) and 4 for (N, C, H, W) or (C, H, W), "
        f"got {list(pads)} for input {shape}"
    )


def _pad1d(needs, x, pads, mode):
    y, vjp, saved = _pad2d(needs, x[..., None, :], pads, mode)
    return y[..., 0, :], lambda dy: (vjp(dy[..., None, :])[0][..., 0, :],), saved


# ---------------------------------------------------------------------------------------------------------
# Pooling
# ---------------------------------------------------------------------------------------------------------


def _max_pool2d(needs, x, return_indices, **options):
    y, indices = ops.max_pool2d(x, **options)
    shape = x.shape
    result = y, lambda dy, indices: (ops.max_pool2d_backward(dy, indices, shape),), (indices,)
    return (*result, indices.astype(np.int64)) if return_indices else result


def max_pool2d(
    input: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
    return_indices: bool = False,
) -> Array | tuple[Array, Array]:
    """The largest element of every window.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    kernel_size : int or (int, int)
    stride : int or (int, int), optional
        By default the kernel size.
    padding : int or (int, int)
        Of minus infinity on each side, at most half the kernel.
    dilation : int or (int, int)
    ceil_mode : bool
        Keep a last window that hangs over the edge.
    return_indices : bool
        Also return the position of each maximum, as an index into the flattened H * W.

    Returns
    -------
    (N, C, P, Q) or (C, P, Q), or that and the indices (int64)
        NaN counts as largest; of equals the first is taken, and it alone gets the gradient.
    """
    if not return_indices:
        y = layers.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode)
        if y is not None:
            return y
    return apply(
        _max_pool2d,
        input,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        dilation=dilation,
        ceil_mode=ceil_mode,
        return_indices=return_indices,
    )


@differentiable_twice
def _avg_pool2d(needs, x, **options):
    y, shape = ops.avg_pool2d(x, **options), x.shape
    return y, lambda dy: (apply(twice.average_gradient, dy, shape=shape, options=options),), ()


def avg_pool2d(
    input: Array,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> Array:
    """The mean of every window.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    kernel_size : int or (int, int)
    stride : int or (int, int), optional
        By default the kernel size.
    padding : int or (int, int)
        Zeros on each side, at most half the kernel.
    ceil_mode : bool
        Keep a last window that hangs over the edge; what hangs over is never counted.
    count_include_pad : bool
        Whether the padding counts in the divisor.
    divisor_override : int, optional
        Divide by this instead; not 0.
    """
    if divisor_override is None:
        y = layers.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad)
        if y is not None:
            return y
    return apply(
        _avg_pool2d,
        input,
        kernel_size=kernel_size,
        stride=stride,
        padding=padding,
        ceil_mode=ceil_mode,
        count_include_pad=count_include_pad,
        divisor_override=divisor_override,
    )


def _adaptive_avg_pool2d(needs, x, output_size):
    y, shape = ops.adaptive_avg_pool2d(x, output_size), x.shape
    return y, lambda dy: (ops.adaptive_avg_pool2d_backward(dy, shape),), ()


def adaptive_avg_pool2d(input: Array, output_size: int | Sequence[int | None] | None) -> Array:
    """The mean of as many windows as the output shall have elements.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    output_size : int or (int or None, int or None)
        (P, Q); None keeps the input's size. Window i of P spans ``floor(i H / P)`` to ``ceil((i + 1) H / P)``.
    """
    return apply(_adaptive_avg_pool2d, input, output_size=output_size)


# ---------------------------------------------------------------------------------------------------------
# Linear, activations, normalisation, dropout
# ---------------------------------------------------------------------------------------------------------


def _check_array(op: str, x: object, name: str = "input") -> None:
    if not isinstance(x, (Tensor, np.ndarray)):
        raise TypeError(f"{op}: expected a Tensor or an ndarray as {name}, got {x!r} of type {type(x).__name__}")


def _check_dtypes(op: str, **arrays: Array | None) -> None:
    _check_array(op, arrays["input"])
    given = {name: array for name, array in arrays.items() if array is not None}
    for name, array in given.items():
        if not isinstance(array, (Tensor, np.ndarray)):
            _check_array(op, array, name)
    dtypes = {name: array.dtype for name, array in given.items()}
    for name, dtype in dtypes.items():
        if isinstance(given[name], np.ma.MaskedArray):
            raise TypeError(
                f"{op}: {name} is a MaskedArray of size {list(given[name].shape)}; fill its masked values first"
            )
        if dtype.kind != "f":
            raise TypeError(f"{op}: expected a floating dtype, got {name} of {dtype}; cast it, say by float()")
    if len(set(dtypes.values())) > 1:
        described = ", ".join(f"{name} {dtype}" for name, dtype in dtypes.items())
        raise TypeError(f"{op}: expected one dtype, got {described}")


@differentiable_twice
def _linear(needs, x, w, b):
    _check_array("linear", w, "weight")
    _check_dtypes("linear", input=x, weight=w, bias=b)
    if w.ndim != 2 or not x.ndim or x.shape[-1] != w.shape[1]:
        raise RuntimeError(
            f"linear: expected input (..., in) and weight (out, in), got input of size {list(x.shape)} "
            f"and weight of size {list(w.shape)}"
        )
    if b is not None and b.shape != w.shape[:1]:
        raise RuntimeError(
            f"linear: expected bias of size [{w.shape[0]}] for weight of size {list(w.shape)}, "
            f"got bias of size {list(b.shape)}"
        )
    need_x, need_w, need_b = needs
    x, w, b = _widen(x, w, b)
    x_shape, features = x.shape, w.shape
    y = ops.linear(x.reshape(-1, x_shape[-1]), w, b)

    def vjp(dy, x, w):  # each gradient takes the other array
        if not isinstance(dy, np.ndarray):
            return twice.linear(dy, x, w, needs)
        dy = dy.reshape(-1, features[0])
        return (
            ops.linear_input(w, dy).reshape(x_shape) if need_x else None,
            ops.linear_weight(x.reshape(-1, features[1]), dy) if need_w else None,
            ops.linear_bias(dy) if need_b else None,
        )

    return y.reshape(*x_shape[:-1], features[0]), vjp, (x if need_w else None, w if need_x else None)


def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """``input @ weight.T + bias``.

    Parameters
    ----------
    input : (..., in)
        float32 or float64; float16 is computed in, and returned as, float32.
    weight : (out, in)
    bias : (out,), optional

    Returns
    -------
    (..., out)
    """
    y = layers.linear(input, weight, bias)
    return apply(_linear, input, weight, bias) if y is None else y


def _replace(input: Array, result: Array) -> Array:
    """Make `input` the result, for inplace=True."""
    if isinstance(input, Tensor):
        return input._become(result)
    np.copyto(input, result)
    return input


def relu(input: Array, inplace: bool = False) -> Array:
    """``max(input, 0)``, element-wise; the gradient at 0 is 0."""
    y = layers.relu(input)
    if y is None:
        _check_array("relu", input)
        y = apply(primitives.relu, input)
    return _replace(input, y) if inplace else y


@differentiable_twice
def _dropout(needs, x, noise):
    def vjp(dy, noise):
        return (dy * noise,)

    return x * noise, vjp, (noise,)


def dropout(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """Set elements to zero at random, each with probability `p`, and scale the rest by ``1 / (1 - p)``.

    Parameters
    ----------
    input : Tensor or ndarray
    p : float
        In [0, 1].
    training : bool
        If False, the input is returned as it is.
    inplace : bool
        Let the input take the result over.
    """
    number(p, "dropout probability", 0, 1)
    _check_array("dropout", input)
    if not training or p == 0 or 0 in input.shape:  # nothing is drawn
        return input
    x = input._array if isinstance(input, Tensor) else input
    y = apply(_dropout, input, noise=dropout_noise(x, p) if p < 1 else np.zeros((), x.dtype))
    return _replace(input, y) if inplace else y


@differentiable_twice
def _batch_norm(needs, x, weight, bias, shift, offset, inverse_std, batch_statistics, eps):
    y = elementwise.batch_norm(x, shift, offset, inverse_std, weight, bias)
    need_x, need_w, need_b = needs

    def vjp(dy, x, weight, shift, offset, inverse_std):
        if not isinstance(dy, np.ndarray):
            return twice.batch_norm(dy, x, weight, shift + offset, inverse_std, eps, batch_statistics)
        dx, dw, db = elementwise.batch_norm_backward(
            dy, x, shift, offset, inverse_std, weight, batch_statistics, need_x
        )
        return dx, dw if need_w else None, db if need_b else None

    return y, vjp, (x, weight, shift, offset, inverse_std)


def _array(x: Any) -> Any:
    return x._array if isinstance(x, Tensor) else x


def batch_norm(
    input: Array,
    running_mean: Array | None,
    running_var: Array | None,
    weight: Array | None = None,
    bias: Array | None = None,
    training: bool = False,
    momentum: float = 0.1,
    eps: float = 1e-5,
) -> Array:
    """Normalise every channel: ``weight * (x - mean) / sqrt(var + eps) + bias`` (Ioffe and Szegedy, 2015).

    Parameters
    ----------
    input : (N, C, ...)
        float32 or float64; float16 is computed in, and returned as, float32.
    running_mean, running_var : (C,) or None
        Used unless `training`; with `training` they are updated in place where given, the latter by the
        unbiased variance: ``running = (1 - momentum) * running + momentum * batch's``.
    weight, bias : (C,), optional
    training : bool
        Normalise by the batch's own mean and biased variance. A mean far from zero costs no accuracy.
    momentum : float
    eps : float

    Raises
    ------
    ValueError
        If `training` and there is but one element per channel.
    RuntimeError
        For shapes that do not fit together, or running statistics missing outside training.
    """
    _check_dtypes("batch_norm", input=input, weight=weight, bias=bias)
    number(momentum, "momentum")
    number(eps, "eps")
    shape = list(input.shape)
    if input.ndim < 2:
        raise ValueError(f"batch_norm: expected input (N, C, ...), got input of size {shape}")
    channels = input.shape[1]
    for name, array in (
        ("running_mean", running_mean),
        ("running_var", running_var),
        ("weight", weight),
        ("bias", bias),
    ):
        if array is not None:
            _check_array("batch_norm", array, name)
        if array is not None and array.shape != (channels,):
            raise RuntimeError(
                f"batch_norm: {name} should contain {channels} elements for input of size {shape}, "
                f"got size {list(array.shape)}"
            )
    if not training and (running_mean is None or running_var is None):
        raise RuntimeError("batch_norm: expected running_mean and running_var to be given when training=False")
    if input.dtype == np.float16:
        input, weight, bias = (
            a if a is None else a.astype(np.float32) if isinstance(a, np.ndarray) else a.float()
            for a in (input, weight, bias)
        )
    x = _array(input)
    running_mean, running_var = _array(running_mean), _array(running_var)
    if training:
        n = math.prod(shape) // channels if channels else 0
        if n == 1:
            raise ValueError(f"Expected more than 1 value per channel when training, got input size {shape}")
        shift, offset, variance = elementwise.batch_norm_statistics(x)
        if n:
            if running_mean is not None:
                running_mean *= 1 - momentum
                running_mean += (momentum * (shift + offset)).astype(running_mean.dtype)
            if running_var is not None:
                running_var *= 1 - momentum
                running_var += (momentum * n / (n - 1) * variance).astype(running_var.dtype)
    else:
        shift = running_mean.astype(x.dtype)
        offset, variance = running_mean.astype(np.float64) - shift, running_var.astype(np.float64)
    return apply(
        _batch_norm,
        *(input, weight, bias),
        shift=shift,
        offset=offset,
        inverse_std=1 / np.sqrt(variance + eps),
        batch_statistics=training,
        eps=eps,
    )


# ---------------------------------------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------------------------------------


def _check_reduction(reduction: str) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction!r} is not a valid value for reduction; there are 'none', 'mean' and 'sum'")


def _cross_entropy(needs, x, target, counted, weight, reduction, label_smoothing):
    shape = x.shape
    # Rows of logits: the classes last, everything else before them.
    rows = x[None] if x.ndim == 1 else x if x.ndim == 2 else np.moveaxis(x, 1, -1).reshape(-1, shape[1])
    loss, p = elementwise.cross_entropy(rows, target, counted, weight, label_smoothing)
    if reduction == "none":
        y, divisor = loss.reshape(shape[:1] + shape[2:] if x.ndim > 1 else ()), 1
    else:
        divisor = 1
        if reduction == "mean":
            divisor = np.count_nonzero(counted) if weight is None else weight[target[counted]].sum(dtype=np.float64)
        with np.errstate(invalid="ignore", divide="ignore"):  # nothing counted: NaN, as 0 / 0 is
            y = np.asarray(loss.sum(dtype=np.float64) / divisor, x.dtype)

    def vjp(dy, p, target, counted, weight):
        dloss = np.broadcast_to(dy if reduction == "none" else dy / divisor, loss_shape).reshape(-1)
        dx = elementwise.cross_entropy_backward(dloss, p, target, counted, weight, label_smoothing)
        if len(shape) > 2:
            dx = np.ascontiguousarray(np.moveaxis(dx.reshape(shape[0], *shape[2:], shape[1]), -1, 1))
        return (dx.reshape(shape),)

    loss_shape = y.shape if reduction == "none" else loss.shape
    return y, vjp, (p, target, counted, weight)


def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    ignore_index: int = -100,
    reduction: str = "mean",
    label_smoothing: float = 0.0,
) -> Array:
    """Cross entropy of softmax(input) with the target: ``-sum_c w[c] target[c] log p[c]``, ``p = softmax(input)``.

    Parameters
    ----------
    input : (C,), (N, C) or (N, C, ...)
        Logits, float32 or float64.
    target : integers (), (N,) or (N, ...), or floats of the input's shape
        Classes in [0, C), or probabilities of all classes.
    weight : (C,), optional
        Weights of the classes.
    ignore_index : int
        A class, of any value, that counts for nothing; not for probabilities.
    reduction : {"mean", "sum", "none"}
        For classes the mean divides by the sum of the weights of those not ignored; for probabilities by N (and
        the further lengths).
    label_smoothing : float
        Share of the target, in [0, 1], that is spread evenly over all classes.

    Returns
    -------
    0-d, or with reduction "none" of the shape of the classes

    Raises
    ------
    ValueError
        For shapes that do not fit together.
    IndexError
        For a target that is no class.
    TypeError
        For logits that are no floats.
    """
    plain = type(label_smoothing) in (float, int) and label_smoothing == 0
    if weight is None and plain and reduction in ("mean", "sum"):
        loss = layers.cross_entropy(input, target, ignore_index, reduction == "mean")
        if loss is not None:
            return loss
    _check_reduction(reduction)
    _check_dtypes("cross_entropy", input=input, weight=weight)
    number(label_smoothing, "label_smoothing")
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    integer(ignore_index, "ignore_index", -LARGEST)
    shape = input.shape
    if not shape:
        raise ValueError("cross_entropy: expected input (C,), (N, C) or (N, C, ...), got one without dimensions")
    classes = shape[0] if len(shape) == 1 else shape[1]
    if weight is not None and weight.shape != (classes,):
        raise RuntimeError(
            f"cross_entropy: expected weight of size [{classes}] for input of size {list(shape)}, "
            f"got size {list(weight.shape)}"
        )
    labels = _array(target)
    _check_array("cross_entropy", target, "target")
    if labels.dtype.kind == "f":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if labels.shape != expected:
        raise ValueError(
            f"cross_entropy: expected a target of size {list(expected)} for input of size {list(shape)}, "
            f"got size {list(labels.shape)}"
        )
    labels = labels.reshape(-1).astype(np.int64)
    counted = labels != ignore_index
    wrong = counted & ((labels < 0) | (labels >= classes))
    if wrong.any():
        raise IndexError(
            f"Target {labels[wrong][0]} is out of bounds: expected classes from 0 to {classes - 1} "
            f"for input of size {list(shape)}, or ignore_index={ignore_index}"
        )
    labels[~counted] = 0  # any class that there is
    return apply(
        _cross_entropy,
        input,
        target=labels,
        counted=counted,
        weight=_array(weight),
        reduction=reduction,
        label_smoothing=label_smoothing,
    )


def _soft_cross_entropy(input, target, weight, reduction, label_smoothing):
    """Probabilities as the target; composed of tensor operations, so that the target, too, gets a gradient."""
    if target.shape != input.shape:
        raise ValueError(
            f"cross_entropy: expected probabilities of the input's size {list(input.shape)}, got size "
            f"{list(target.shape)} of {target.dtype}; classes are integers: cast them, say by long()"
        )
    plain = isinstance(input, np.ndarray) and not isinstance(target, Tensor)
    x, t = (a if isinstance(a, Tensor) else from_numpy(a) for a in (input, target))
    dim = 0 if x.ndim == 1 else 1
    classes = x.shape[dim]
    if label_smoothing:
        t = t * (1 - label_smoothing) + label_smoothing / classes
    if weight is not None:
        t = t * weight.reshape((-1,) + (1,) * (x.ndim - dim - 1))
    loss = -(t * log_softmax(x, dim)).sum(dim)
    if reduction != "none":
        count = loss.numel()
        loss = loss.sum() / count if reduction == "mean" else loss.sum()
    return loss.numpy(force=True) if plain else loss


@differentiable_twice
def _mse_loss(needs, x, target, reduction):
    difference = x - target
    y = np.square(difference)
    n = y.size if reduction == "mean" else 1
    if reduction != "none":
        with np.errstate(invalid="ignore"):
            y = np.asarray(y.sum(dtype=np.float64) / np.float64(n), x.dtype)

    def vjp(dy, x, target):
        dx = (x - target) * (dy * (2 / n if n else math.nan))
        return dx if needs[0] else None, -dx if needs[1] else None

    return y, vjp, (x, target)


def mse_loss(input: Array, target: Array, reduction: str = "mean") -> Array:
    """The squared error ``(input - target)^2``, element-wise, summed, or its mean over all elements.

    Parameters
    ----------
    input, target : Tensors or ndarrays of one shape and dtype
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        If the shapes differ; they are not broadcast.
    """
    _check_reduction(reduction)
    _check_array("mse_loss", target, "target")
    _check_dtypes("mse_loss", input=input, target=target)
    if input.shape != target.shape:
        raise ValueError(
            f"mse_loss: expected a target of the input's size {list(input.shape)}, got size {list(target.shape)}"
        )
    return apply(_mse_loss, input, target, reduction=reduction)


def one_hot(tensor: Array, num_classes: int = -1) -> Array:
    """Classes as rows of zeros with a single one.

    Parameters
    ----------
    tensor : (...)
        Integers in [0, num_classes).
    num_classes : int
        By default one more than the largest class.

    Returns
    -------
    (..., num_classes) of int64
    """
    _check_array("one_hot", tensor, "tensor")
    labels = _array(tensor)
    if labels.dtype.kind not in "iu":
        raise TypeError(f"one_hot: expected integers, got {labels.dtype}")
    num_classes = integer(num_classes, "num_classes", -1)
    if num_classes == -1:
        if not labels.size:
            raise RuntimeError("one_hot: the number of classes cannot be inferred from an empty tensor")
        num_classes = int(labels.max()) + 1
    if labels.size and (labels.min() < 0 or labels.max() >= num_classes):
        raise RuntimeError(
            f"one_hot: expected classes below num_classes={num_classes} and none negative, "
            f"got {labels.min()} to {labels.max()}"
        )
    y = np.zeros(check_shape((*labels.shape, num_classes), "one_hot"), np.int64)
    np.put_along_axis(y, labels[..., None].astype(np.int64), 1, axis=-1)
    return from_numpy(y) if isinstance(tensor, Tensor) else y
