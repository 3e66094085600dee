"""RMSprop."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._native.tape import with_gradient
from .optimizer import Optimizer, check_not_negative, take_step

__all__ = ["RMSprop"]


class RMSprop(Optimizer):
    """RMSprop (Hinton 2012, lecture 6e of "Neural Networks for Machine Learning"), torch's update rules.

    With gradient g (negative with `maximize`), for every parameter p::

        g += weight_decay * p
        v = alpha * v + (1 - alpha) * g * g
        a = alpha * a + (1 - alpha) * g              (with `centered`; else a = 0)
        r = g / (sqrt(v - a * a) + eps)
        buffer = momentum * buffer + r
        p -= lr * buffer                             (without momentum lr * r)

    Parameters
    ----------
    params : iterable of Tensor, or of dicts with ``"params"`` and options of their own
    lr, alpha, eps, weight_decay, momentum : float
    centered : bool
        Divide by an estimate of the standard deviation (Graves 2013, arXiv 1308.0850).
    maximize : bool
        Ascend instead.
    capturable, foreach, differentiable
        As for :class:`Optimizer`.

    Raises
    ------
    ValueError
        For a number that is negative.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-2,
        alpha: float = 0.99,
        eps: float = 1e-8,
        weight_decay: float = 0,
        momentum: float = 0,
        centered: bool = False,
        capturable: bool = False,
        foreach: bool | None = None,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "alpha": alpha,
            "eps": eps,
            "centered": centered,
            "weight_decay": weight_decay,
            "capturable": capturable,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check(self, options: dict[Any, Any]) -> None:
        super()._check(options)
        check_not_negative(options, "lr", "eps", "momentum", "weight_decay", "alpha")

    def _update(self, group: dict[Any, Any]) -> None:
        parameters, arrays, gradients = with_gradient(group["params"])
        self._steps(parameters)
        alpha, momentum = float(group["alpha"]), float(group["momentum"])
        states = (
            self._kept(parameters, "square_avg"),
            self._kept(parameters, "momentum_buffer") if momentum > 0 else None,
            self._kept(parameters, "grad_avg") if group["centered"] else None,
        )
        take_step(
            "rmsprop",
            *(arrays, gradients, states),
            sign=-1 if group["maximize"] else 1,
            decay=float(group["weight_decay"]),
            lr=float(group["lr"]),
            first_old=momentum,
            second_old=alpha,
            second_new=1 - alpha,
            eps=float(group["eps"]),
        )
