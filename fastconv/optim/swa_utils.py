"""Averages of weights over training, by torch.optim.swa_utils' names.

Izmailov et al. 2018, "Averaging Weights Leads to Wider Optima and Better Generalization", arXiv 1803.05407.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from copy import deepcopy
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..autograd import no_grad
from ..checks import number
from ..creation import from_numpy
from ..nn.module import Module
from .lr_scheduler import LRScheduler
from .optimizer import Optimizer

__all__ = ["SWALR", "AveragedModel", "get_ema_avg_fn", "get_ema_multi_avg_fn", "get_swa_avg_fn", "update_bn"]

Average = Callable[[Any, Any, Any], Any]


def get_ema_avg_fn(decay: float = 0.999) -> Average:
    """``average = decay * average + (1 - decay) * new``, for :class:`AveragedModel`'s `avg_fn`."""
    if not 0 <= number(decay, "decay") <= 1:
        raise ValueError(f"Invalid decay value {decay} provided. Please provide a value in [0,1] range.")

    def ema(averaged: Tensor, new: Tensor, num_averaged: Tensor) -> Tensor:
        return decay * averaged + (1 - decay) * new

    return ema


def get_swa_avg_fn() -> Average:
    """The mean of all weights so far, for :class:`AveragedModel`'s `avg_fn`."""

    def mean(averaged: Tensor, new: Tensor, num_averaged: Tensor) -> Tensor:
        return averaged + (new - averaged) / (num_averaged + 1)

    return mean


def get_ema_multi_avg_fn(decay: float = 0.999) -> Average:
    """As :func:`get_ema_avg_fn`, for `multi_avg_fn`: lists of tensors, the averages changed in place."""
    ema = get_ema_avg_fn(decay)

    def ema_of_all(averaged: list[Tensor], new: list[Tensor], num_averaged: Tensor) -> None:
        for a, b in zip(averaged, new, strict=True):
            a.copy_(ema(a, b, num_averaged))

    return ema_of_all


class AveragedModel(Module):
    """A copy of a model whose parameters are averages of the model's over training.

    Parameters
    ----------
    model : Module
        Is copied; ``module`` is the copy, and calls go to it.
    device : ignored but for a device that there is not
    avg_fn : callable, optional
        ``avg_fn(averaged, new, num_averaged) -> averaged``; by default the mean of all.
    multi_avg_fn : callable, optional
        ``multi_avg_fn(list of averaged, list of new, num_averaged)`` changes the averages in place.
    use_buffers : bool
        Average the buffers too; else they are copied by each update.
    """

    avg_fn: Any
    multi_avg_fn: Any
    use_buffers: bool

    n_averaged: Tensor

    def __init__(
        self,
        model: Module,
        device: Any = None,
        avg_fn: Average | None = None,
        multi_avg_fn: Average | None = None,
        use_buffers: bool = False,
    ) -> None:
        super().__init__()
        if avg_fn is not None and multi_avg_fn is not None:
            raise AssertionError("Only one of avg_fn and multi_avg_fn should be provided")
        self.module = deepcopy(model)
        if device is not None:
            self.module: Module = self.module.to(device)
        self.register_buffer("n_averaged", from_numpy(np.zeros((), np.int64)))
        self.avg_fn, self.multi_avg_fn, self.use_buffers = avg_fn, multi_avg_fn, use_buffers

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        return self.module(*args, **kwargs)

    def update_parameters(self, model: Module) -> None:
        """Take the model's present parameters into the averages."""
        averaged, new = list(self.module.parameters()), list(model.parameters())
        buffers = list(zip(self.module.buffers(), model.buffers(), strict=True))
        if self.use_buffers:
            averaged += [a for a, _ in buffers]
            new += [b for _, b in buffers]
        with no_grad():
            new = [b.detach() for b in new]
            if int(self.n_averaged) == 0:
                for a, b in zip(averaged, new, strict=True):
                    a.detach().copy_(b)
            elif self.multi_avg_fn is not None:
                self.multi_avg_fn([a.detach() for a in averaged], new, self.n_averaged)
            else:
                average = self.avg_fn or get_swa_avg_fn()
                for a, b in zip(averaged, new, strict=True):
                    a.detach().copy_(average(a.detach(), b, self.n_averaged))
            if not self.use_buffers:
                for a, b in buffers:
                    a.detach().copy_(b.detach())
            self.n_averaged += 1


def update_bn(loader: Iterable[Any], model: Module, device: Any = None) -> None:
    """Set the running statistics of batch norm layers to those of the data of one pass over `loader`.

    Parameters
    ----------
    loader : iterable
        Yields batches, or lists or tuples whose first element is one.
    model : Module
    device : ignored but for a device that there is not
    """
    layers = [m for m in model.modules() if hasattr(m, "running_mean") and m.running_mean is not None]
    if not layers:
        return
    momenta = [layer.momentum for layer in layers]
    was_training = model.training
    model.train()
    try:
        for layer in layers:
            layer.reset_running_stats()
            layer.momentum = None
        with no_grad():
            for batch in loader:
                x = batch[0] if isinstance(batch, (list, tuple)) else batch
                model(x if device is None else x.to(device))
    finally:
        for layer, momentum in zip(layers, momenta, strict=True):
            layer.momentum = momentum
        model.train(was_training)


class SWALR(LRScheduler):
    """Go from the present rates to `swa_lr` within `anneal_epochs` steps, and stay there.

    Parameters
    ----------
    optimizer : Optimizer
    swa_lr : float, or one for each group
    anneal_epochs : int
    anneal_strategy : {"cos", "linear"}
    last_epoch : int
    """

    anneal_epochs: int

    def __init__(
        self,
        optimizer: Optimizer,
        swa_lr: float | list[float],
        anneal_epochs: int = 10,
        anneal_strategy: str = "cos",
        last_epoch: int = -1,
    ) -> None:
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must by one of 'cos' or 'linear', instead got {anneal_strategy}")
        if not isinstance(anneal_epochs, int) or anneal_epochs < 0:
            raise ValueError(f"anneal_epochs must be equal or greater than 0, got {anneal_epochs}")
        rates = list(swa_lr) if isinstance(swa_lr, (list, tuple)) else [swa_lr] * len(optimizer.param_groups)
        if len(rates) != len(optimizer.param_groups):
            raise ValueError(f"expected {len(optimizer.param_groups)} values for swa_lr, got {swa_lr!r}")
        for group, rate in zip(optimizer.param_groups, rates, strict=True):
            group["swa_lr"] = number(rate, "swa_lr")
        self.anneal_epochs, self.anneal_strategy = anneal_epochs, anneal_strategy
        super().__init__(optimizer, last_epoch)

    def _share(self, step: float) -> float:
        """How much of the way has been gone."""
        t = max(0.0, min(1.0, step / max(1, self.anneal_epochs)))
        return (1 - math.cos(math.pi * t)) / 2 if self.anneal_strategy == "cos" else t

    def get_lr(self) -> list[float]:
        groups, step = self.optimizer.param_groups, self.last_epoch
        if self.anneal_epochs == 0:
            step = max(1, step)
        before, now = self._share(step - 1), self._share(step)
        rates = []
        for group in groups:
            # The rate before annealing follows from the present one, which others may have changed.
            lr, swa_lr = group["lr"], group["swa_lr"]
            start = swa_lr if before == 1 else (lr - before * swa_lr) / (1 - before)
            rates.append(swa_lr * now + start * (1 - now))
        return rates
