"""The losses beside cross entropy.

Most compare two arrays element by element: :func:`_compare` records them, given the loss of each element and its
derivatives.
"""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np

from ... import elementwise, layer_passes
from ..._native.tape import apply
from ..._tensor import Tensor
from ...checks import LARGEST, integer, number
from ...creation import arange, full_like, zeros
from ...dtypes import int64
from ...functions import clamp, exp, log, minimum, sqrt, where
from .activations import logsigmoid
from .arguments import Array, array_of, check_array, check_dtypes, of_tensors, reduction_of, values_of, warn
from .distance import pairwise_distance

__all__ = [
    "binary_cross_entropy",
    "binary_cross_entropy_with_logits",
    "cosine_embedding_loss",
    "gaussian_nll_loss",
    "hinge_embedding_loss",
    "huber_loss",
    "kl_div",
    "l1_loss",
    "margin_ranking_loss",
    "multi_margin_loss",
    "multilabel_margin_loss",
    "multilabel_soft_margin_loss",
    "nll_loss",
    "poisson_nll_loss",
    "smooth_l1_loss",
    "soft_margin_loss",
    "triplet_margin_loss",
    "triplet_margin_with_distance_loss",
]


def _total(loss: np.ndarray, reduction: str, divisor: float) -> np.ndarray:
    """The losses of all elements made one number, added in float64."""
    if reduction == "none":
        return loss
    with np.errstate(invalid="ignore", divide="ignore"):  # the mean of nothing: NaN, as 0 / 0 is
        return np.asarray(loss.sum(dtype=np.float64) / np.float64(divisor), loss.dtype)


def _sum_to(dx: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Sum over the dimensions along which an operand of this shape was broadcast."""
    if dx.shape == shape:
        return dx
    lead = dx.ndim - len(shape)
    stretched = tuple(lead + i for i, n in enumerate(shape) if n == 1 and dx.shape[lead + i] != 1)
    return dx.sum(axis=(*range(lead), *stretched), dtype=np.float64).astype(dx.dtype).reshape(shape)


def _compiled(needs, x, target, kind, parameter, reduction):
    """A loss of each element by one compiled pass, for arrays of one size."""
    divisor = {"none": 1, "sum": 1, "mean": x.size, "batchmean": x.shape[0] if x.ndim else 1}[reduction]
    y = layer_passes.loss(kind, x, target, parameter, reduction == "none")
    if reduction != "none":
        y = np.asarray(y / divisor, x.dtype)

    def vjp(dy, x, target):
        dx = layer_passes.loss_backward(kind, dy, x, target, parameter, divisor)
        if not needs[1]:
            return dx, None
        return dx if needs[0] else None, -dx if kind != "logistic" else x * (dy * (-1 / divisor)).astype(x.dtype)

    return y, vjp, (x, target)


def _pointwise(needs, x, target, elements, reduction, weight, by_weight):
    loss, slope_of_x, slope_of_target = elements(x, target)
    if weight is not None:
        loss = loss * weight
    x_shape, target_shape = x.shape, target.shape
    count = weight.sum(dtype=np.float64) if by_weight and weight is not None else loss.size
    divisor = {"none": 1, "sum": 1, "mean": count, "batchmean": x_shape[0] if x_shape else 1}[reduction]
    y = _total(loss, reduction, divisor)

    def vjp(dy, weight, *slopes):
        dloss = dy / divisor if divisor != 1 else dy
        if weight is not None:
            dloss = dloss * weight
        return [
            None if slope is None else _sum_to((slope * dloss).astype(slope.dtype, copy=False), shape)
            for slope, shape in zip(slopes, (x_shape, target_shape), strict=True)
        ]

    saved = weight, slope_of_x() if needs[0] else None, slope_of_target() if needs[1] else None
    return y, vjp, saved


def _compare(
    name: str,
    elements: Callable,
    input: Array,
    target: Array,
    size_average: bool | None,
    reduce: bool | None,
    reduction: str,
    weight: Array | None = None,
    kind: str | None = None,
    parameter: float = 0.0,
) -> Array:
    """A loss of each element of two arrays; ``elements(x, t)`` returns it and functions of its two derivatives.

    Shapes that differ are broadcast, with a warning, as torch does. Where there is a compiled pass, `kind` and
    `parameter` name it.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    check_array(name, target, "target")
    check_dtypes(name, input=input, target=target, weight=weight)
    if input.shape != target.shape and name in ("l1_loss", "smooth_l1_loss", "huber_loss"):
        warn(
            f"Using a target size ({list(target.shape)}) that is different to the input size ({list(input.shape)}). "
            "This will likely lead to incorrect results due to broadcasting. Please ensure they have the same size."
        )
    plain = input.shape == target.shape and 0 not in input.shape and input.dtype.itemsize >= 4
    if kind is not None and weight is None and plain:
        return apply(_compiled, input, target, kind=kind, parameter=parameter, reduction=reduction)
    try:
        return apply(
            _pointwise,
            input,
            target,
            elements=elements,
            reduction=reduction,
            weight=values_of(weight),
            by_weight=name == "l1_loss",
        )
    except ValueError:
        raise RuntimeError(
            f"{name}: input of size {list(input.shape)} and target of size {list(target.shape)} cannot be broadcast"
        ) from None


def _absolute(x, target):
    d = x - target
    return np.abs(d), lambda: np.sign(d), lambda: -np.sign(d)


def l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    weight: Array | None = None,
) -> Array:
    """The absolute error ``|input - target|``, element-wise, summed, or its mean over all elements.

    Parameters
    ----------
    input, target : Tensors or ndarrays of one dtype
        Of one shape; others are broadcast, with a warning.
    size_average, reduce : bool, optional
        What `reduction` was before; a warning tells its name.
    reduction : {"mean", "sum", "none"}
    weight : Tensor or ndarray, optional
        Multiplies the error of each element; the mean divides by its sum.
    """
    return _compare("l1_loss", _absolute, input, target, size_average, reduce, reduction, weight, "absolute")


def _huber(delta: float, scale: float) -> Callable:
    """``scale * d^2 / 2`` up to `delta`, and beyond it the tangent there."""

    def elements(x, target):
        d = x - target
        size = np.abs(d)
        loss = np.where(size < delta, 0.5 * scale * np.square(d), scale * delta * (size - 0.5 * delta))
        return (
            loss.astype(d.dtype, copy=False),
            lambda: scale * np.clip(d, -delta, delta),
            lambda: -scale * np.clip(d, -delta, delta),
        )

    return elements


def smooth_l1_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    beta: float = 1.0,
) -> Array:
    """``d^2 / (2 beta)`` where ``d = |input - target|`` is below `beta`, else ``d - beta / 2`` (Girshick, 2015)."""
    if beta < 0:
        raise RuntimeError(f"smooth_l1_loss does not support negative values for beta, got {beta}")
    elements, kind = (_huber(beta, 1 / beta), "smooth_l1") if beta else (_absolute, "absolute")
    return _compare("smooth_l1_loss", elements, input, target, size_average, reduce, reduction, None, kind, beta)


def huber_loss(
    input: Array, target: Array, reduction: str = "mean", delta: float = 1.0, weight: Array | None = None
) -> Array:
    """``d^2 / 2`` where ``d = |input - target|`` is below `delta`, else ``delta (d - delta / 2)`` (Huber, 1964)."""
    if delta <= 0:
        raise RuntimeError(f"huber_loss does not support non-positive values for delta, got {delta}")
    elements = _huber(delta, 1.0)
    return _compare("huber_loss", elements, input, target, None, None, reduction, weight, "huber", delta)


def _check_same_size(name: str, input: Array, target: Array) -> None:
    check_array(name, input), check_array(name, target, "target")
    if input.shape != target.shape:
        raise ValueError(
            f"Using a target size ({list(target.shape)}) that is different to the input size ({list(input.shape)}) "
            f"is deprecated. Please ensure they have the same size, for {name}()."
        )


def _bernoulli(x, target):
    with np.errstate(divide="ignore"):  # the floor is what being wrong and certain costs
        log_x, log_rest = np.maximum(np.log(x), -100), np.maximum(np.log1p(-x), -100)
    return (
        (target - 1) * log_rest - target * log_x,
        lambda: (x - target) / np.maximum(x * (1 - x), x.dtype.type(1e-12)),
        lambda: log_rest - log_x,
    )


def binary_cross_entropy(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """``-weight * (target * log(input) + (1 - target) * log(1 - input))``, each logarithm at least -100.

    Parameters
    ----------
    input : Tensor or ndarray
        Probabilities, in [0, 1].
    target : Tensor or ndarray of the input's shape
    weight : Tensor or ndarray, optional
        Broadcast to the input's shape.
    size_average, reduce, reduction
        As in :func:`l1_loss`.

    Raises
    ------
    ValueError
        If the shapes differ.
    RuntimeError
        If the input has elements outside [0, 1].
    """
    _check_same_size("binary_cross_entropy", input, target)
    x = values_of(input)
    if x.size and not (x.min() >= 0 and x.max() <= 1):
        raise RuntimeError(
            f"all elements of input should be between 0 and 1; those of size {list(x.shape)} are from {x.min()} "
            f"to {x.max()}"
        )
    return _compare("binary_cross_entropy", _bernoulli, input, target, size_average, reduce, reduction, weight)


def _bernoulli_of_logits(pos_weight: np.ndarray | None) -> Callable:
    def elements(x, target):
        softplus = np.maximum(-x, 0) + np.log1p(np.exp(-np.abs(x)))  # -log sigmoid(x)
        positive = 1 if pos_weight is None else 1 + (pos_weight - 1) * target
        loss = (1 - target) * x + positive * softplus
        return (
            loss.astype(x.dtype, copy=False),
            lambda: ((1 - target) - positive * elementwise.sigmoid(-x)).astype(x.dtype, copy=False),
            lambda: (-x if pos_weight is None else -x + (pos_weight - 1) * softplus).astype(x.dtype, copy=False),
        )

    return elements


def binary_cross_entropy_with_logits(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    pos_weight: Array | None = None,
) -> Array:
    """:func:`binary_cross_entropy` of ``sigmoid(input)``, without overflow.

    Parameters
    ----------
    input : Tensor or ndarray
        Logits.
    target : Tensor or ndarray of the input's shape
    weight : Tensor or ndarray, optional
        Broadcast to the input's shape.
    size_average, reduce, reduction
        As in :func:`l1_loss`.
    pos_weight : Tensor or ndarray, optional
        Weight of the positive examples, broadcast to the input's shape.
    """
    check_array("binary_cross_entropy_with_logits", target, "target")
    check_dtypes("binary_cross_entropy_with_logits", input=input, target=target, pos_weight=pos_weight)
    if input.shape != target.shape:
        raise ValueError(f"Target size ({list(target.shape)}) must be the same as input size ({list(input.shape)})")
    elements = _bernoulli_of_logits(values_of(pos_weight))
    return _compare(
        "binary_cross_entropy_with_logits",
        elements,
        input,
        target,
        size_average,
        reduce,
        reduction,
        weight,
        "logistic" if pos_weight is None else None,
    )


def _divergence(x, target):
    with np.errstate(divide="ignore", invalid="ignore"):
        log = np.where(target == 0, 0, np.log(target)).astype(target.dtype, copy=False)
    loss = target * (log - x)
    return loss, lambda: np.broadcast_to(-target, loss.shape), lambda: log + 1 - x


def _divergence_of_logs(x, target):
    p = np.exp(target)
    loss = p * (target - x)
    return loss, lambda: np.broadcast_to(-p, loss.shape), lambda: p * (target - x + 1)


def kl_div(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
    log_target: bool = False,
) -> Array:
    """The Kullback-Leibler divergence ``target * (log(target) - input)``.

    Parameters
    ----------
    input : Tensor or ndarray
        Logarithms of probabilities.
    target : Tensor or ndarray
        Probabilities, or with `log_target` their logarithms.
    size_average, reduce
        As in :func:`l1_loss`.
    reduction : {"mean", "batchmean", "sum", "none"}
        "batchmean" divides the sum by the length of the first dimension, which is what the definition asks for.
    log_target : bool
    """
    if reduction == "mean" and size_average is None and reduce is None:
        warn(
            "reduction: 'mean' divides the total loss by both the batch size and the support size. 'batchmean' "
            "divides only by the batch size, and aligns with the KL div math definition."
        )
    elements = _divergence_of_logs if log_target else _divergence
    return _compare("kl_div", elements, input, target, size_average, reduce, reduction)


def _soft_margin(x, target):
    z = -target * x
    return (
        np.maximum(z, 0) + np.log1p(np.exp(-np.abs(z))),
        lambda: -target * elementwise.sigmoid(z),
        lambda: -x * elementwise.sigmoid(z),
    )


def soft_margin_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """``log(1 + exp(-target * input))``, where targets are 1 or -1; arguments as of :func:`l1_loss`."""
    return _compare("soft_margin_loss", _soft_margin, input, target, size_average, reduce, reduction)


def _hinge(margin: float) -> Callable:
    def elements(x, target):
        near, far = target != -1, target != 1
        loss = np.where(near, x, 0) + np.where(far, np.maximum(margin - x, 0), 0)
        return (
            loss.astype(x.dtype, copy=False),
            lambda: (near + 0 * x - (far & (x <= margin))).astype(x.dtype, copy=False),
            lambda: np.zeros_like(loss),
        )

    return elements


def hinge_embedding_loss(
    input: Array,
    target: Array,
    margin: float = 1.0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """The input where the target is 1, ``max(0, margin - input)`` where it is -1."""
    return _compare("hinge_embedding_loss", _hinge(margin), input, target, size_average, reduce, reduction)


def class_labels(name: str, input: Array, target: Array, ignore_index: int) -> tuple[np.ndarray, np.ndarray]:
    """Classes as a row of int64 that is safe to index with, and which of them count.

    Raises what torch does for a target that does not fit an input of size (C,), (N, C) or (N, C, ...).
    """
    check_array(name, target, "target")
    integer(ignore_index, "ignore_index", -LARGEST)
    shape, labels = input.shape, array_of(target)
    if not shape:
        raise ValueError(f"{name}: expected input (C,), (N, C) or (N, C, ...), got one without dimensions")
    expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if labels.shape != expected:
        raise ValueError(
            f"{name}: expected a target of size {list(expected)} for input of size {list(shape)}, "
            f"got size {list(labels.shape)}"
        )
    if labels.dtype.kind not in "iu":
        raise RuntimeError(f"{name}: expected classes as integers, got {labels.dtype}; cast them, say by long()")
    classes = shape[min(1, len(shape) - 1)]
    labels = labels.reshape(-1).astype(np.int64)
    counted = labels != ignore_index
    wrong = counted & ((labels < 0) | (labels >= classes))
    if wrong.any():
        raise IndexError(
            f"Target {labels[wrong][0]} is out of bounds: expected classes from 0 to {classes - 1} "
            f"for input of size {list(shape)}, or ignore_index={ignore_index}"
        )
    labels[~counted] = 0  # any class that there is
    return labels, counted


def _nll(needs, x, labels, counted, weight, reduction):
    # Classes come second: (before, C, after), where a single row is one of before.
    shape = x.shape if x.ndim > 1 else (1, *x.shape)
    rows = x.reshape(shape[0], shape[1], math.prod(shape[2:]))
    place = np.divmod(np.arange(labels.size), max(rows.shape[2], 1))
    place = place[0], labels, place[1]
    scale = counted.astype(x.dtype) if weight is None else weight[labels] * counted
    loss = np.where(counted, -rows[place] * scale, 0).astype(x.dtype, copy=False)
    divisor = scale.sum(dtype=np.float64) if reduction == "mean" else 1
    x_shape, loss_shape = x.shape, shape[:1] + shape[2:] if x.ndim > 1 else ()
    y = _total(loss.reshape(loss_shape), reduction, divisor)

    def vjp(dy, scale):
        dx = np.zeros(rows_shape, dy.dtype)
        with np.errstate(invalid="ignore", divide="ignore"):
            dloss = np.broadcast_to(dy / divisor if divisor != 1 else dy, loss_shape).reshape(-1)
            dx[place] = np.where(counted, -dloss * scale, 0)
        return (dx.reshape(x_shape),)

    rows_shape = rows.shape
    return y, vjp, (scale,)


def nll_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    ignore_index: int = -100,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """The negative of the input at each target's class: with logarithms of probabilities, their cross entropy.

    Parameters
    ----------
    input : (C,), (N, C) or (N, C, ...)
        Logarithms of probabilities.
    target : integers (), (N,) or (N, ...)
        Classes in [0, C).
    weight : (C,), optional
        Weights of the classes.
    size_average, reduce
        As in :func:`l1_loss`.
    ignore_index : int
        A class, of any value, that counts for nothing.
    reduction : {"mean", "sum", "none"}
        The mean divides by the sum of the weights of the classes that are not ignored.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    check_dtypes("nll_loss", input=input, weight=weight)
    labels, counted = class_labels("nll_loss", input, target, ignore_index)
    classes = input.shape[min(1, input.ndim - 1)]
    if weight is not None and tuple(weight.shape) != (classes,):
        raise RuntimeError(
            f"weight tensor should be defined either for all {classes} classes or no classes but got weight tensor "
            f"of shape: {list(weight.shape)}"
        )
    return apply(_nll, input, labels=labels, counted=counted, weight=values_of(weight), reduction=reduction)


def _reduced(loss: Tensor, reduction: str) -> Tensor:
    """The losses of all elements, their sum, or their mean."""
    return loss if reduction == "none" else loss.sum() if reduction == "sum" else loss.mean()


@of_tensors
def margin_ranking_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """``max(0, -target * (input1 - input2) + margin)``, where targets are 1 or -1."""
    reduction = reduction_of(reduction, size_average, reduce)
    if not input1.ndim == input2.ndim == target.ndim:
        raise RuntimeError(
            "margin_ranking_loss : All input tensors should have same dimension but got sizes: "
            f"input1: {list(input1.shape)}, input2: {list(input2.shape)}, target: {list(target.shape)} "
        )
    return _reduced(clamp(-target * (input1 - input2) + margin, min=0), reduction)


@of_tensors
def cosine_embedding_loss(
    input1: Array,
    input2: Array,
    target: Array,
    margin: float = 0,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """``1 - cos(input1, input2)`` where the target is 1, ``max(0, cos(input1, input2) - margin)`` where it is -1.

    Parameters
    ----------
    input1, input2 : (N, D) or (D,)
    target : (N,) or ()
    margin : float
    size_average, reduce, reduction
        As in :func:`l1_loss`.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if target.ndim not in (0, 1) or input1.ndim != target.ndim + 1 or input2.ndim != target.ndim + 1:
        raise RuntimeError(
            f"{target.ndim}D target tensor expects {target.ndim + 1}D input tensors, but found inputs with sizes "
            f"{list(input1.shape)} and {list(input2.shape)}."
        )
    squares = ((input1 * input1).sum(-1) + 1e-12) * ((input2 * input2).sum(-1) + 1e-12)
    cosine = (input1 * input2).sum(-1) / sqrt(squares)
    loss = where(target == 1, 1 - cosine, 0.0) + where(target == -1, clamp(cosine - margin, min=0), 0.0)
    return _reduced(loss, reduction)


@of_tensors
def gaussian_nll_loss(
    input: Array,
    target: Array,
    var: Array | float,
    full: bool = False,
    eps: float = 1e-6,
    reduction: str = "mean",
) -> Array:
    """``(log(var) + (input - target)^2 / var) / 2``, for normal distributions around `input` (Nix and Weigend, 1994).

    Parameters
    ----------
    input, target : Tensor or ndarray
    var : Tensor, ndarray or float
        Variances of input's shape, or of lengths of one that are broadcast to it, or without the last dimension.
    full : bool
        Add the constant ``log(2 pi) / 2``.
    eps : float
        Variances below count as this; the gradient is that of `var` itself.
    reduction : {"mean", "sum", "none"}
    """
    var = full_like(input, number(var, "var")) if isinstance(var, (int, float)) else var
    if (var < 0).any():
        raise ValueError("var has negative entry/entries")
    if var.shape != input.shape:
        if var.shape == input.shape[:-1]:
            var = var.unsqueeze(-1)
        elif var.ndim != input.ndim or any(n not in (1, m) for n, m in zip(var.shape, input.shape, strict=True)):
            raise ValueError(f"var is of incorrect size: {list(var.shape)} for an input of {list(input.shape)}")
    reduction = reduction_of(reduction, None, None)
    var = var + (clamp(var, min=eps) - var).detach()
    loss = (log(var) + (input - target) ** 2 / var) * 0.5
    return _reduced(loss + 0.5 * math.log(2 * math.pi) if full else loss, reduction)


@of_tensors
def poisson_nll_loss(
    input: Array,
    target: Array,
    log_input: bool = True,
    full: bool = False,
    size_average: bool | None = None,
    eps: float = 1e-8,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """``exp(input) - target * input``, for counts of Poisson distributions.

    Parameters
    ----------
    input, target : Tensor or ndarray
    log_input : bool
        `input` is the logarithm of the rate; else the loss is ``input - target * log(input + eps)``.
    full : bool
        Add Stirling's ``target * log(target) - target + log(2 pi target) / 2`` for targets above 1.
    size_average, reduce
        As in :func:`l1_loss`.
    eps : float
    reduction : {"mean", "sum", "none"}
    """
    reduction = reduction_of(reduction, size_average, reduce)
    loss = exp(input) - target * input if log_input else input - target * log(input + eps)
    if full:
        stirling = target * log(target) - target + 0.5 * log(2 * math.pi * target)
        loss = loss + stirling.masked_fill(target <= 1, 0)
    return _reduced(loss, reduction)


@of_tensors
def triplet_margin_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    margin: float = 1.0,
    p: float = 2,
    eps: float = 1e-6,
    swap: bool = False,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """``max(0, d(anchor, positive) - d(anchor, negative) + margin)``, d as :func:`pairwise_distance`.

    With `swap` the negative's distance is the lesser of those from the anchor and from the positive (Balntas et al.,
    2016).
    """
    reduction = reduction_of(reduction, size_average, reduce)

    def distance(x: Array, y: Array) -> Array:
        return pairwise_distance(x, y, p, eps)

    return _triplet(anchor, positive, negative, distance, margin, swap, reduction)


def _triplet(anchor, positive, negative, distance, margin, swap, reduction):
    if margin <= 0:
        raise ValueError(f"margin must be greater than 0, got {margin}")
    if not anchor.ndim == positive.ndim == negative.ndim:
        raise RuntimeError(
            "The anchor, positive, and negative tensors are expected to have the same number of dimensions, but got: "
            f"anchor {anchor.ndim}D, positive {positive.ndim}D, and negative {negative.ndim}D inputs"
        )
    far = distance(anchor, negative)
    if swap:
        far = minimum(far, distance(positive, negative))
    return _reduced(clamp(distance(anchor, positive) - far + margin, min=0), reduction)


@of_tensors
def triplet_margin_with_distance_loss(
    anchor: Array,
    positive: Array,
    negative: Array,
    *,
    distance_function: Callable[[Tensor, Tensor], Tensor] | None = None,
    margin: float = 1.0,
    swap: bool = False,
    reduction: str = "mean",
) -> Array:
    """:func:`triplet_margin_loss` with a distance of one's own, a function of two tensors."""
    reduction = reduction_of(reduction, None, None)
    return _triplet(anchor, positive, negative, distance_function or pairwise_distance, margin, swap, reduction)


def _rows_and_classes(name: str, input: Tensor, target: Tensor, size: tuple[int, ...], least: int) -> Tensor:
    """The input as (N, C), its labels checked: of this size, at least `least` and below C."""
    if input.ndim > 2 or 0 in input.shape[-1:]:
        raise RuntimeError(
            f"{name}: expected a non-empty input of size [C] or [N, C], where N may be 0, got {list(input.shape)}"
        )
    rows = input.reshape(1, -1) if input.ndim < 2 else input
    one = max(target.ndim, len(size)) < 2 and target.numel() == math.prod(size)
    if not one and tuple(target.shape) != tuple(size):
        raise RuntimeError(
            f"{name}: expected target of size {list(size)} for input of size {list(input.shape)}, "
            f"got {list(target.shape)}"
        )
    if target.dtype != int64:
        raise RuntimeError(f"{name}: expected target of int64, got {target.dtype}")
    if target.numel() and not least <= int(target.min()) <= int(target.max()) < rows.shape[1]:
        raise RuntimeError(
            f"{name}: target out of range, expected classes from {least} to {rows.shape[1] - 1}, "
            f"got {int(target.min())} to {int(target.max())}"
        )
    return rows


@of_tensors
def multi_margin_loss(
    input: Array,
    target: Array,
    p: int = 1,
    margin: float = 1.0,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """The mean over classes of ``max(0, margin - input[target] + input)^p``, the target's own left out.

    Parameters
    ----------
    input : (C,) or (N, C)
        Scores of the classes.
    target : int64 () or (N,)
        Classes in [0, C).
    p : {1, 2}
    margin : float
    weight : (C,), optional
        Weights of the targets' classes.
    size_average, reduce, reduction
        As in :func:`l1_loss`.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    if p not in (1, 2):
        raise ValueError(f"only p == 1 and p == 2 supported, got {p}")
    if weight is not None and weight.ndim != 1:
        raise ValueError(f"weight must be one-dimensional, got size {list(weight.shape)}")
    x = _rows_and_classes("multi_margin_loss", input, target, input.shape[:1] if input.ndim == 2 else (), 0)
    if weight is not None and weight.shape[0] != x.shape[1]:
        raise RuntimeError(f"multi_margin_loss: expected weight of size [{x.shape[1]}], got {list(weight.shape)}")
    own = target.reshape(-1, 1)
    short = (margin - x.gather(1, own) + x).relu().masked_fill(own == arange(x.shape[1]), 0)
    loss = short if p == 1 else short * short
    if weight is not None:
        loss = loss * weight[own]
    return _reduced((loss.sum(1) / x.shape[1]).reshape(target.shape), reduction)


@of_tensors
def multilabel_margin_loss(
    input: Array,
    target: Array,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """``max(0, 1 - input[j] + input[i])`` over all classes j of the target and all i that are none, divided by C.

    Parameters
    ----------
    input : (C,) or (N, C)
        Scores of the classes.
    target : int64 of the input's shape
        The classes of each row, in [0, C), up to the first -1.
    size_average, reduce, reduction
        As in :func:`l1_loss`.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    x = _rows_and_classes("multilabel_margin_loss", input, target, input.shape, -1)
    target = target.reshape(x.shape)
    counted = (target < 0).cumsum(1) == 0
    classes = where(counted, target, 0)
    others = zeros(x.shape).scatter_add(1, classes, counted.float()) == 0
    short = (1 - x.gather(1, classes).unsqueeze(2) + x.unsqueeze(1)).relu()
    loss = where(counted.unsqueeze(2) & others.unsqueeze(1), short, 0.0).sum((1, 2)) / x.shape[1]
    return _reduced(loss.reshape(input.shape[:-1]), reduction)


@of_tensors
def multilabel_soft_margin_loss(
    input: Array,
    target: Array,
    weight: Array | None = None,
    size_average: bool | None = None,
    reduce: bool | None = None,
    reduction: str = "mean",
) -> Array:
    """The mean over the last dimension of ``-weight * (target log s(input) + (1 - target) log s(-input))``.

    Here s is the sigmoid, and targets are 0 or 1.
    """
    reduction = reduction_of(reduction, size_average, reduce)
    loss = -(target * logsigmoid(input) + (1 - target) * logsigmoid(-input))
    if weight is not None:
        loss = loss * weight
    return _reduced(loss.mean(-1), reduction)
