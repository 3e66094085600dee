"""Adadelta."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._native.tape import with_gradient
from ..checks import number
from .optimizer import Optimizer, check_not_negative, take_step

__all__ = ["Adadelta"]


class Adadelta(Optimizer):
    """Adadelta (Zeiler 2012, arXiv 1212.5701), torch's update rules.

    With gradient g (negative with `maximize`), for every parameter p::

        g += weight_decay * p
        v = rho * v + (1 - rho) * g * g
        d = g * sqrt(u + eps) / sqrt(v + eps)
        u = rho * u + (1 - rho) * d * d
        p -= lr * d

    Parameters
    ----------
    params : iterable of Tensor, or of dicts with ``"params"`` and options of their own
    lr, rho, eps, weight_decay : float
    maximize : bool
        Ascend instead.
    foreach, capturable, differentiable
        As for :class:`Optimizer`.

    Raises
    ------
    ValueError
        For a negative lr, eps or weight_decay, or rho outside of [0, 1].
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1.0,
        rho: float = 0.9,
        eps: float = 1e-6,
        weight_decay: float = 0,
        foreach: bool | None = None,
        *,
        capturable: bool = False,
        maximize: bool = False,
        differentiable: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "rho": rho,
            "eps": eps,
            "weight_decay": weight_decay,
            "maximize": maximize,
            "capturable": capturable,
            "foreach": foreach,
            "differentiable": differentiable,
        }
        super().__init__(params, defaults)

    def _check(self, options: dict[Any, Any]) -> None:
        super()._check(options)
        check_not_negative(options, "lr", "eps", "weight_decay")
        if not 0 <= number(options["rho"], "rho") <= 1:
            raise ValueError(f"Invalid rho value: {options['rho']}")

    def _update(self, group: dict[Any, Any]) -> None:
        parameters, arrays, gradients = with_gradient(group["params"])
        self._steps(parameters)
        rho = float(group["rho"])
        take_step(
            "adadelta",
            *(arrays, gradients, (self._kept(parameters, "square_avg"), self._kept(parameters, "acc_delta"))),
            sign=-1 if group["maximize"] else 1,
            decay=float(group["weight_decay"]),
            lr=float(group["lr"]),
            second_old=rho,
            second_new=1 - rho,
            eps=float(group["eps"]),
        )
