"""Adagrad."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._native.tape import with_gradient
from .optimizer import Optimizer, check_not_negative, take_step

__all__ = ["Adagrad"]


class Adagrad(Optimizer):
    """Adagrad (Duchi, Hazan and Singer 2011), torch's update rules.

    With gradient g (negative with `maximize`), for every parameter p in its step t::

        g += weight_decay * p
        total += g * g                               (from `initial_accumulator_value`)
        p -= lr / (1 + (t - 1) * lr_decay) * g / (sqrt(total) + eps)

    Parameters
    ----------
    params : iterable of Tensor, or of dicts with ``"params"`` and options of their own
    lr, lr_decay, weight_decay, initial_accumulator_value, eps : float
    maximize : bool
        Ascend instead.
    foreach, differentiable, fused
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
        lr_decay: float = 0,
        weight_decay: float = 0,
        initial_accumulator_value: float = 0,
        eps: float = 1e-10,
        foreach: bool | None = None,
        *,
        maximize: bool = False,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "lr_decay": lr_decay,
            "eps": eps,
            "weight_decay": weight_decay,
            "initial_accumulator_value": initial_accumulator_value,
            "foreach": foreach,
            "maximize": maximize,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def add_param_group(self, param_group: dict[Any, Any]) -> None:
        super().add_param_group(param_group)
        # As torch does, the totals are there from the start, so that they are in a state_dict before the first step.
        group = self.param_groups[-1]
        for p in group["params"]:
            self._kept_number(p, "step")
        self._kept(group["params"], "sum", float(group["initial_accumulator_value"]))

    def _check(self, options: dict[Any, Any]) -> None:
        super()._check(options)
        check_not_negative(options, "lr", "lr_decay", "weight_decay", "initial_accumulator_value", "eps")

    def _update(self, group: dict[Any, Any]) -> None:
        parameters, arrays, gradients = with_gradient(group["params"])
        for t, places in self._steps(parameters).items():
            take_step(
                "adagrad",
                [arrays[i] for i in places],
                [gradients[i] for i in places],
                (self._kept([parameters[i] for i in places], "sum"),),
                sign=-1 if group["maximize"] else 1,
                decay=float(group["weight_decay"]),
                lr=float(group["lr"]) / (1 + (t - 1) * float(group["lr_decay"])),
                eps=float(group["eps"]),
            )
