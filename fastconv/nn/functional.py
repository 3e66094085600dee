"""The layers and losses as functions, by torch.nn.functional's names and arguments.

Tensors go in and a Tensor comes out, recorded on the tape; plain ndarrays go in and a plain ndarray comes out.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from numpy.typing import DTypeLike

from .. import functions, layer_passes
from .._native.layers import convolution, loss, normalisation, pointwise, pooling
from .._native.tape import apply, differentiable_twice
from .._tensor import Tensor
from ..arguments.loss import check_class_weight, check_reduction
from ..checks import check_shape, integer, number
from ..creation import empty_like, from_numpy, zeros_like
from ..functions import flatten, sigmoid, tanh
from ..padding import pad_constant, pad_edges
from ..random import dropout_noise
from .functions.activations import (
    celu,
    elu,
    gelu,
    glu,
    hardshrink,
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
    softshrink,
    softsign,
    tanhshrink,
    threshold,
)
from .functions.arguments import array_of, check_array, check_dtypes, reduction_of, replace, values_of
from .functions.attention import scaled_dot_product_attention
from .functions.convolution import conv3d, conv_transpose1d, conv_transpose3d
from .functions.ctc import ctc_loss
from .functions.distance import cosine_similarity, normalize, pairwise_distance
from .functions.dropout import alpha_dropout, dropout1d, dropout2d, dropout3d, feature_alpha_dropout
from .functions.embedding import embedding
from .functions.losses import (
    binary_cross_entropy,
    binary_cross_entropy_with_logits,
    cosine_embedding_loss,
    gaussian_nll_loss,
    hinge_embedding_loss,
    huber_loss,
    kl_div,
    l1_loss,
    margin_ranking_loss,
    multi_margin_loss,
    multilabel_margin_loss,
    multilabel_soft_margin_loss,
    nll_loss,
    poisson_nll_loss,
    smooth_l1_loss,
    soft_margin_loss,
    triplet_margin_loss,
    triplet_margin_with_distance_loss,
)
from .functions.normalisation import group_norm, instance_norm, layer_norm, local_response_norm, rms_norm
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
    "conv_transpose3d",
    "cosine_embedding_loss",
    "cosine_similarity",
    "cross_entropy",
    "ctc_loss",
    "dropout",
    "dropout1d",
    "dropout2d",
    "dropout3d",
    "elu",
    "embedding",
    "feature_alpha_dropout",
    "flatten",
    "fold",
    "gaussian_nll_loss",
    "gelu",
    "glu",
    "grid_sample",
    "group_norm",
    "gumbel_softmax",
    "hardshrink",
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
    "leaky_relu",
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
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "normalize",
    "one_hot",
    "pad",
    "pairwise_distance",
    "pixel_shuffle",
    "pixel_unshuffle",
    "poisson_nll_loss",
    "prelu",
    "relu",
    "relu_",
    "relu6",
    "rms_norm",
    "scaled_dot_product_attention",
    "selu",
    "sigmoid",
    "silu",
    "smooth_l1_loss",
    "soft_margin_loss",
    "softmax",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanh",
    "tanhshrink",
    "threshold",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
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
        float32 or float64; floats of 16 bits are computed in float32, and arrays of them returned so.
    weight : (K, C / groups, S)
    bias : (K,), optional
    stride, padding, dilation, groups
        As in :func:`conv2d`.

    Returns
    -------
    (N, K, Q) or (K, Q)
        ``y[n, k, q] = b[k] + sum_{c, s} w[k, c, s] x[n, c, stride q + dilation s - padding]``.

    Examples
    --------
    >>> F.conv1d(fastconv.randn(4, 8, 100), fastconv.randn(16, 8, 5), padding="same").shape
    torch.Size([4, 16, 100])
    """
    return convolution.conv1d(input, weight, bias, stride, padding, dilation, groups)


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
        float32 or float64; floats of 16 bits are computed in float32, and arrays of them returned so.
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

    Examples
    --------
    >>> x, w = fastconv.randn(8, 3, 32, 32), fastconv.randn(16, 3, 5, 5)
    >>> F.conv2d(x, w, stride=2, padding=2).shape
    torch.Size([8, 16, 16, 16])
    >>> F.conv2d(np.ones((1, 1, 3, 3)), np.ones((1, 1, 2, 2)))  # arrays give arrays
    array([[[[4., 4.],
             [4., 4.]]]])
    """
    return convolution.conv2d(input, weight, bias, stride, padding, dilation, groups)


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

    Examples
    --------
    >>> F.conv_transpose2d(fastconv.randn(1, 8, 16, 16), fastconv.randn(8, 4, 2, 2), stride=2).shape
    torch.Size([1, 4, 32, 32])
    """
    return convolution.conv_transpose2d(input, weight, bias, stride, padding, output_padding, groups, dilation)


# ---------------------------------------------------------------------------------------------------------
# Padding
# ---------------------------------------------------------------------------------------------------------


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

    Examples
    --------
    >>> F.pad(fastconv.ones(1, 2), (1, 2))
    tensor([[0., 1., 1., 0., 0.]])
    """
    if mode != "constant" and value is not None:
        raise ValueError(f"padding mode {mode!r} takes no value, got {value!r}")
    if mode == "constant":
        return apply(pad_constant, input, pads=pad, value=value)
    crops = isinstance(pad, Sequence) and any(isinstance(n, int) and n < 0 for n in pad)
    if crops and mode == "circular":  # What is cropped is no longer there to wrap around; a mirror shows all.
        return apply(pad_edges, _cropped(input, pad), pads=pad, mode=mode)
    y = apply(pad_edges, input, pads=pad, mode=mode)
    if crops:
        y = _cropped(y, pad)
        if 0 in y.shape and 0 not in input.shape:
            raise RuntimeError(f"pad {list(pad)} leaves nothing of input {list(input.shape)}")
    return y


def _cropped(x, pad):
    """x without what negative pads take from its sides."""
    crops = [
        slice(max(-before, 0), n - max(-after, 0))
        for n, before, after in zip(x.shape[::-1], pad[::2], pad[1::2], strict=False)
    ]
    return x[(..., *crops[::-1])]


# ---------------------------------------------------------------------------------------------------------
# Pooling
# ---------------------------------------------------------------------------------------------------------


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

    Examples
    --------
    >>> x = fastconv.arange(16.0).reshape(1, 1, 4, 4)
    >>> F.max_pool2d(x, 2)
    tensor([[[[ 5.,  7.],
              [13., 15.]]]])
    """
    return pooling.max_pool2d(input, kernel_size, stride, padding, dilation, ceil_mode, return_indices)


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

    Examples
    --------
    >>> x = fastconv.arange(16.0).reshape(1, 1, 4, 4)
    >>> F.avg_pool2d(x, 2)
    tensor([[[[ 2.5000,  4.5000],
              [10.5000, 12.5000]]]])
    """
    return pooling.avg_pool2d(input, kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override)


def adaptive_avg_pool2d(input: Array, output_size: int | Sequence[int | None] | None) -> Array:
    """The mean of as many windows as the output shall have elements.

    Parameters
    ----------
    input : (N, C, H, W) or (C, H, W)
    output_size : int or (int or None, int or None)
        (P, Q); None keeps the input's size. Window i of P spans ``floor(i H / P)`` to ``ceil((i + 1) H / P)``.

    Examples
    --------
    >>> F.adaptive_avg_pool2d(fastconv.randn(2, 512, 7, 7), 1).shape
    torch.Size([2, 512, 1, 1])
    """
    return pooling.adaptive_avg_pool2d(input, output_size)


# ---------------------------------------------------------------------------------------------------------
# Linear, activations, normalisation, dropout
# ---------------------------------------------------------------------------------------------------------


def linear(input: Array, weight: Array, bias: Array | None = None) -> Array:
    """``input @ weight.T + bias``.

    Parameters
    ----------
    input : (..., in)
        float32 or float64; floats of 16 bits are computed in float32, and arrays of them returned so.
    weight : (out, in)
    bias : (out,), optional

    Returns
    -------
    (..., out)

    Examples
    --------
    >>> F.linear(fastconv.ones(1, 2), fastconv.tensor([[1.0, 2.0], [3.0, 4.0]]), fastconv.tensor([10.0, 20.0]))
    tensor([[13., 27.]])
    """
    return convolution.linear(input, weight, bias)


def relu(input: Array, inplace: bool = False) -> Array:
    """``max(input, 0)``, element-wise; the gradient at 0 is 0. With `inplace` the input takes the result over."""
    y = pointwise.relu(input)
    return replace(input, y) if inplace else y


def relu_(input: Array) -> Array:
    """:func:`relu`, in place."""
    return relu(input, inplace=True)


def leaky_relu(input: Array, negative_slope: float = 0.01, inplace: bool = False) -> Array:
    """``input`` where it is above 0, else ``negative_slope * input``, element-wise."""
    y = pointwise.leaky_relu(input, negative_slope)
    return replace(input, y) if inplace else y


def _implicit_dim(name: str, input: Array, stacklevel: int) -> int:
    """The dimension that torch takes where none is given."""
    warnings.warn(
        f"Implicit dimension choice for {name} has been deprecated. Change the call to include dim=X as an argument.",
        stacklevel=stacklevel + 1,
    )
    return 0 if input.ndim in (0, 1, 3) else 1


def softmax(input: Array, dim: int | None = None, _stacklevel: int = 3, dtype: DTypeLike | None = None) -> Array:
    """``exp(input) / sum(exp(input))`` over dimension `dim`; `dtype` casts the input first.

    Without a `dim` it is 0 for inputs of 0, 1 or 3 dimensions, else 1, and there is a warning.
    """
    check_array("softmax", input)
    return functions.softmax(input, _implicit_dim("softmax", input, _stacklevel) if dim is None else dim, dtype)


def gumbel_softmax(logits: Tensor, tau: float = 1, hard: bool = False, eps: float = 1e-10, dim: int = -1) -> Tensor:
    """``softmax((logits + g) / tau)`` with g drawn from the Gumbel distribution (Jang et al., 2017).

    Parameters
    ----------
    logits : Tensor
        Logarithms of probabilities, up to a constant.
    tau : float
        The temperature.
    hard : bool
        Return 1 for the largest and 0 for the others; the gradient is that of the softmax.
    eps : float
        Has no effect any more.
    dim : int
        Of the classes.
    """
    noise = -empty_like(logits).exponential_().log()
    y = functions.softmax((logits + noise) / tau, dim)
    if not hard:
        return y
    chosen = zeros_like(logits).scatter_(dim, y.argmax(dim, keepdim=True), 1.0)
    return chosen - y.detach() + y


def log_softmax(input: Array, dim: int | None = None, _stacklevel: int = 3, dtype: DTypeLike | None = None) -> Array:
    """``log(softmax(input, dim))``, without overflow; arguments as of :func:`softmax`."""
    check_array("log_softmax", input)
    return functions.log_softmax(input, _implicit_dim("log_softmax", input, _stacklevel) if dim is None else dim, dtype)


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

    Examples
    --------
    >>> F.dropout(fastconv.ones(3), training=False)
    tensor([1., 1., 1.])
    """
    number(p, "dropout probability", 0, 1)
    check_array("dropout", input)
    if not training or p == 0 or 0 in input.shape:  # nothing is drawn
        return input
    x = array_of(input)
    y = apply(_dropout, input, noise=values_of(dropout_noise(x, p) if p < 1 else np.zeros((), x.dtype)))
    return replace(input, y) if inplace else y


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
        float32 or float64; floats of 16 bits are computed in float32.
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
    return normalisation.batch_norm(input, weight, bias, running_mean, running_var, training, momentum, eps)


# ---------------------------------------------------------------------------------------------------------
# Losses
# ---------------------------------------------------------------------------------------------------------


def cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
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
    size_average, reduce : bool, optional
        Torch's older words for the reduction, with its warning.
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

    Examples
    --------
    >>> scores = fastconv.tensor([[2.0, 0.0], [0.0, 0.0]])
    >>> F.cross_entropy(scores, fastconv.tensor([0, 1]))
    tensor(0.4100)
    """
    if size_average is not None or reduce is not None:
        reduction = reduction_of(reduction, size_average, reduce)
    labels = target._array if isinstance(target, Tensor) else target
    if isinstance(labels, np.ndarray) and labels.dtype.kind in "fV":
        return _soft_cross_entropy(input, target, weight, reduction, label_smoothing)
    return loss.cross_entropy(input, target, weight, ignore_index, reduction, label_smoothing)


def _soft_cross_entropy(input, target, weight, reduction, label_smoothing):
    """Probabilities as the target; composed of tensor operations, so that the target, too, gets a gradient."""
    check_reduction(reduction)
    number(label_smoothing, "label_smoothing")
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    check_dtypes("cross_entropy", input=input, weight=weight)
    if not input.ndim:
        raise ValueError("cross_entropy: expected input (C,), (N, C) or (N, C, ...), got one without dimensions")
    check_class_weight(array_of(weight), array_of(input), input.shape[0 if input.ndim == 1 else 1])
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
    loss = -(t * functions.log_softmax(x, dim)).sum(dim)
    if reduction != "none":
        count = loss.numel()
        loss = loss.sum() / count if reduction == "mean" else loss.sum()
    return loss.numpy(force=True) if plain else loss


@differentiable_twice
def _mse_loss(needs, x, target, reduction):
    n = x.size if reduction == "mean" else 1
    if x.itemsize >= 4 and x.size:
        y = layer_passes.loss("squared", x, target, 0.0, reduction == "none")
    else:
        y = np.square(x - target)
    if reduction != "none":
        with np.errstate(invalid="ignore"):
            y = np.asarray(y.sum(dtype=np.float64) / np.float64(n), x.dtype)

    def vjp(dy, x, target):
        if isinstance(dy, np.ndarray) and x.itemsize >= 4 and x.size:
            dx = layer_passes.loss_backward("squared", dy, x, target, 0.0, n)
        else:
            dx = (x - target) * (dy * (2 / n if n else math.nan))
        return dx if needs[0] else None, -dx if needs[1] else None

    return y, vjp, (x, target)


def mse_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """The squared error ``(input - target)^2``, element-wise, summed, or its mean over all elements.

    Parameters
    ----------
    input, target : Tensors or ndarrays of one shape and dtype
    size_average, reduce : bool, optional
        Torch's older words for the reduction, with its warning.
    reduction : {"mean", "sum", "none"}

    Raises
    ------
    ValueError
        If the shapes differ; they are not broadcast.

    Examples
    --------
    >>> F.mse_loss(fastconv.tensor([1.0, 2.0]), fastconv.tensor([1.0, 4.0]))
    tensor(2.)
    """
    reduction = reduction_of(reduction, size_average, reduce)
    check_reduction(reduction)
    check_array("mse_loss", target, "target")
    check_dtypes("mse_loss", input=input, target=target)
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

    Examples
    --------
    >>> F.one_hot(fastconv.tensor([2, 0]), 3)
    tensor([[0, 0, 1],
            [1, 0, 0]])
    """
    check_array("one_hot", tensor, "tensor")
    labels = array_of(tensor)
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
