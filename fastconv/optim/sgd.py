"""Stochastic gradient descent."""

from __future__ import annotations

from collections.abc import Callable, Iterable

from .._native.tape import with_gradient
from .._tensor import Tensor
from ..autograd import enable_grad
from ..checks import number
from ..creation import from_numpy
from ..elementwise import sgd_steps
from .optimizer import Optimizer

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

    Raises
    ------
    ValueError
        For a negative lr, momentum or weight_decay, or nesterov without momentum or with dampening.
    """

    def __init__(
        self,
        params: Iterable,
        lr: float = 1e-3,
        momentum: float = 0,
        dampening: float = 0,
        weight_decay: float = 0,
        nesterov: bool = False,
        *,
        maximize: bool = False,
    ) -> None:
        defaults = {
            "lr": lr,
            "momentum": momentum,
            "dampening": dampening,
            "weight_decay": weight_decay,
            "nesterov": nesterov,
            "maximize": maximize,
        }
        super().__init__(params, defaults)

    def _check(self, options: dict) -> None:
        for name in ("lr", "momentum", "dampening", "weight_decay"):
            number(options[name], name)
        for name, text in (("lr", "learning rate"), ("momentum", "momentum value"), ("weight_decay", "weight_decay")):
            if not options[name] >= 0:
                raise ValueError(f"Invalid {text}: {options[name]}")
        if options["nesterov"] and (options["momentum"] <= 0 or options["dampening"] != 0):
            raise ValueError(
                "Nesterov momentum requires a momentum and zero dampening, got "
                f"momentum={options['momentum']} and dampening={options['dampening']}"
            )

    def step(self, closure: Callable[[], Tensor] | None = None) -> Tensor | None:
        """Update all parameters that have a gradient, in place.

        Parameters
        ----------
        closure : callable, optional
            Computes the loss anew, with its backward(), before the update.

        Returns
        -------
        Tensor or None
            What the closure returned.
        """
        loss = None
        if closure is not None:
            with enable_grad():
                loss = closure()
        for group in self.param_groups:
            parameters, arrays, gradients = with_gradient(group["params"])
            lr, momentum = float(group["lr"]), float(group["momentum"])
            dampening, weight_decay = float(group["dampening"]), float(group["weight_decay"])
            options = lr, momentum, dampening, weight_decay, group["nesterov"], group["maximize"]
            if not momentum:
                sgd_steps(arrays, gradients, [], *options)
                continue
            states = [self.state[p] for p in parameters]
            buffers = [state.get("momentum_buffer") for state in states]
            before = [None if buffer is None else buffer._array for buffer in buffers]
            for state, buffer, array in zip(
                states, buffers, sgd_steps(arrays, gradients, before, *options), strict=True
            ):
                if buffer is None:
                    state["momentum_buffer"] = from_numpy(array)
        return loss
