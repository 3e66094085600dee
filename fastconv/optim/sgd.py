"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

from .._native.tape import with_gradient
from ..checks import number
from .optimizer import Optimizer, check_not_negative, take_step

__all__ = ["SGD"]


class SGD(Optimizer):
    """Stochastic gradient descent with momentum, torch's update rules.

    With gradient g (negative with `maximize`), for every parameter p::

        g += weight_decay * p
        buffer = momentum * buffer + (1 - dampening) * g    (the first time a copy of g)
        p -= lr * buffer                                    (with nesterov: lr * (g + momentum * buffer))

    Parameters
    ----------
    params : iterable of Tensor, or of dicts with ``"params"`` and options of their own
    lr : float
        Learning rate.
    momentum, dampening, weight_decay : float
    nesterov : bool
        Needs momentum, and no dampening.
    maximize : bool
        Ascend instead.
    foreach, differentiable, fused
        As for :class:`Optimizer`.

    Raises
    ------
    ValueError
        For a negative lr, momentum or weight_decay, or nesterov without momentum or with dampening.

    Examples
    --------
    >>> net = nn.Linear(2, 1)
    >>> optimizer = fastconv.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
    >>> net(fastconv.ones(4, 2)).sum().backward()
    >>> optimizer.step()
    >>> optimizer.zero_grad()
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
        foreach: bool | None = None,
        differentiable: bool = False,
        fused: bool | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
            "foreach": foreach,
            "differentiable": differentiable,
            "fused": fused,
        }
        super().__init__(params, defaults)

    def _check(self, options: dict[Any, Any]) -> None:
        super()._check(options)
        number(options["dampening"], "dampening")
        check_not_negative(options, "lr", "momentum", "weight_decay")
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening, got "
                f"momentum={options['momentum']} and dampening={options['dampening']}"
            )

    def _update(self, group: dict[Any, Any]) -> None:
        parameters, arrays, gradients = with_gradient(group["params"])
        momentum, fresh = float(group["momentum"]), 1 - float(group["dampening"])

        def step(arrays: list, gradients: list, states: tuple, first_new: float) -> None:
            take_step(
                "sgd", arrays, gradients, states, lr=float(group["lr"]), sign=-1 if group["maximize"] else 1,
                decay=float(group["weight_decay"]), first_old=momentum, first_new=first_new,
                nesterov=bool(group["nesterov"]),
            )  # fmt: skip

        if not momentum:
            return step(arrays, gradients, (), 1.0)
        kept = [self.state[p].get("momentum_buffer") for p in parameters]
        first = [i for i, buffer in enumerate(kept) if buffer is None]
        if not first:
            return step(arrays, gradients, ([buffer._array for buffer in kept],), fresh)
        # The first buffer is the gradient itself, whatever the dampening.
        later = [i for i, buffer in enumerate(kept) if buffer is not None]
        for chosen, first_new in ((later, fresh), (first, 1.0)):
            buffers = self._kept([parameters[i] for i in chosen], "momentum_buffer")
            step([arrays[i] for i in chosen], [gradients[i] for i in chosen], (buffers,), first_new)
