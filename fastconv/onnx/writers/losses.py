"""Losses."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ...nn import functional as F
from ..graph import Graph, Value, writes

__all__ = []


def _reduction(reduction: str, size_average: Any, reduce: Any) -> str:
    """The reduction by its name, or by the two flags that it had before."""
    if size_average is None and reduce is None:
        return reduction
    return "none" if reduce is False else "sum" if size_average is False else "mean"


def _reduced(g: Graph, loss: str, more: dict[str, Any]) -> str:
    reduction = _reduction(more["reduction"], more.get("size_average"), more.get("reduce"))
    if reduction == "batchmean":
        first: Value = more["input"]
        if not isinstance(first.shape[0], int) or type(first.shape[0]) is not int:
            raise RuntimeError(f"{g.function} by batchmean over a dynamic axis has no operator")
        total = g.reduce("ReduceSum", loss, None, False)
        return g.op("Div", total, g.constant(first.shape[0], first.dtype))
    if reduction == "none":
        return loss
    return g.reduce("ReduceMean" if reduction == "mean" else "ReduceSum", loss, None, False)


def _elementwise(write: Callable[..., str]) -> Callable[..., str]:
    """A writer of a loss, given one for each element: ``write(g, input, target, number, **more)``."""

    def loss(g: Graph, input: Value, target: Value, **more: Any) -> str:
        def number(x: float) -> str:
            return g.constant(x, input.dtype)

        y = write(g, input, g.cast(target, input.dtype), number, **more)
        if more.get("weight") is not None:
            y = g.op("Mul", y, more["weight"])
        return _reduced(g, y, {"input": input, **more})

    return loss


@writes(F.mse_loss)
@_elementwise
def _mse(g: Graph, x: Value, t: str, number: Any, **_: Any) -> str:
    difference = g.op("Sub", x, t)
    return g.op("Mul", difference, difference)


@writes(F.l1_loss)
@_elementwise
def _l1(g: Graph, x: Value, t: str, number: Any, **_: Any) -> str:
    return g.op("Abs", g.op("Sub", x, t))


@writes(F.huber_loss)
@_elementwise
def _huber(g: Graph, x: Value, t: str, number: Any, delta: float, **_: Any) -> str:
    return _rounded(g, x, t, number, delta, 1.0)


@writes(F.smooth_l1_loss)
@_elementwise
def _smooth_l1(g: Graph, x: Value, t: str, number: Any, beta: float, **_: Any) -> str:
    return _rounded(g, x, t, number, beta, beta) if beta else g.op("Abs", g.op("Sub", x, t))


def _rounded(g: Graph, x: Value, t: str, number: Any, limit: float, divisor: float) -> str:
    """``d^2 / 2`` up to the limit and a line beyond, both over the divisor; d is the distance."""
    d = g.op("Abs", g.op("Sub", x, t))
    near = g.op("Mul", g.op("Mul", d, d), number(0.5 / divisor))
    far = g.op("Mul", g.op("Sub", d, number(limit / 2)), number(limit / divisor))
    return g.op("Where", g.op("Less", d, number(limit)), near, far)


@writes(F.binary_cross_entropy)
@_elementwise
def _binary_cross_entropy(g: Graph, x: Value, t: str, number: Any, **_: Any) -> str:
    one = number(1)
    logs = [g.op("Max", g.op("Log", p), number(-100)) for p in (x, g.op("Sub", one, x))]
    sides = g.op("Mul", t, logs[0]), g.op("Mul", g.op("Sub", one, t), logs[1])
    return g.op("Neg", g.op("Add", *sides))


@writes(F.binary_cross_entropy_with_logits)
@_elementwise
def _with_logits(g: Graph, x: Value, t: str, number: Any, pos_weight: Value | None, **_: Any) -> str:
    # (1 - t) x + (1 + (p - 1) t) softplus(-x), p the weight of what is there.
    smooth = g.op("Softplus", g.op("Neg", x))
    if pos_weight is not None:
        factor = g.op("Add", g.op("Mul", g.op("Sub", pos_weight, number(1)), t), number(1))
        smooth = g.op("Mul", smooth, factor)
    return g.op("Add", g.op("Mul", g.op("Sub", number(1), t), x), smooth)


@writes(F.soft_margin_loss)
@_elementwise
def _soft_margin(g: Graph, x: Value, t: str, number: Any, **_: Any) -> str:
    return g.op("Softplus", g.op("Neg", g.op("Mul", t, x)))


@writes(F.hinge_embedding_loss)
@_elementwise
def _hinge(g: Graph, x: Value, t: str, number: Any, margin: float, **_: Any) -> str:
    far = g.op("Relu", g.op("Sub", number(margin), x))
    zero, one = number(0), number(1)
    there = g.op("Where", g.op("Equal", t, one), x, zero)
    return g.op("Add", there, g.op("Where", g.op("Equal", t, number(-1)), far, zero))


@writes(F.kl_div)
@_elementwise
def _kl_div(g: Graph, x: Value, t: str, number: Any, log_target: bool, **_: Any) -> str:
    if log_target:
        return g.op("Mul", g.op("Exp", t), g.op("Sub", t, x))
    zero = number(0)
    positive = g.op("Greater", t, zero)
    logarithm = g.op("Log", g.op("Where", positive, t, number(1)))
    return g.op("Where", positive, g.op("Mul", t, g.op("Sub", logarithm, x)), zero)


def _classes(g: Graph, kind: str, more: dict[str, Any]) -> str:
    """The losses of class labels, which have operators; one row without a batch gets one."""
    input, target = more["input"], more["target"]
    x, t, single = input, target, input.ndim == 1
    if single:
        x, t = g.unsqueeze(input, [0]), g.op("Reshape", target, g.integers([1]))
    reduction = _reduction(more["reduction"], more.get("size_average"), more.get("reduce"))
    y = g.op(kind, x, t, more.get("weight"), ignore_index=more.get("ignore_index"), reduction=reduction)
    return g.squeeze(y, [0]) if single and reduction == "none" else y


@writes(F.nll_loss)
def _nll(g: Graph, **arguments: Any) -> str:
    return _classes(g, "NegativeLogLikelihoodLoss", arguments)


@writes(F.cross_entropy)
def _cross_entropy(g: Graph, **arguments: Any) -> str:
    if arguments["target"].dtype.kind == "f" or arguments["label_smoothing"]:
        raise RuntimeError("nn.functional.cross_entropy of probabilities, or with label_smoothing, has no operator")
    return _classes(g, "SoftmaxCrossEntropyLoss", arguments)
