"""Rates by a formula of the number of steps."""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from types import FunctionType
from typing import Any

from ...checks import integer, number
from ..optimizer import Optimizer
from .scheduler import LRScheduler

__all__ = [
    "ConstantLR",
    "CosineAnnealingLR",
    "ExponentialLR",
    "LambdaLR",
    "LinearLR",
    "MultiStepLR",
    "MultiplicativeLR",
    "PolynomialLR",
    "StepLR",
]


class _ByFunction(LRScheduler):
    """The base of schedulers that ask a function of the number of steps, or one for each group."""

    def __init__(
        self,
        optimizer: Optimizer,
        lr_lambda: Callable[[int], float] | Sequence[Callable[[int], float]],
        last_epoch: int = -1,
    ) -> None:
        several = isinstance(lr_lambda, (list, tuple))
        self.lr_lambdas: list[Any] = list(lr_lambda) if several else [lr_lambda] * len(optimizer.param_groups)
        if len(self.lr_lambdas) != len(optimizer.param_groups):
            raise ValueError(f"Expected {len(optimizer.param_groups)} lr_lambdas, but got {len(self.lr_lambdas)}")
        for function in self.lr_lambdas:
            if not callable(function):
                raise TypeError(f"lr_lambda should be a function, but got {type(function).__name__}")
        super().__init__(optimizer, last_epoch)

    def state_dict(self) -> dict[Any, Any]:
        """As for the other schedulers; of functions nothing is kept, of other callables what they hold."""
        held = [None if isinstance(f, FunctionType) else dict(f.__dict__) for f in self.lr_lambdas]
        return {**super().state_dict(), "lr_lambdas": held}

    def load_state_dict(self, state_dict: dict[Any, Any]) -> None:
        """Take over what :meth:`state_dict` returned."""
        super().load_state_dict({name: value for name, value in state_dict.items() if name != "lr_lambdas"})
        for function, held in zip(self.lr_lambdas, state_dict["lr_lambdas"], strict=True):
            if held is not None:
                function.__dict__.update(held)


class LambdaLR(_ByFunction):
    """The initial rates times ``lr_lambda(last_epoch)``; `lr_lambda` is a function, or one for each group."""

    def get_lr(self) -> list[float]:
        return [base * f(self.last_epoch) for base, f in zip(self.base_lrs, self.lr_lambdas, strict=True)]


class MultiplicativeLR(_ByFunction):
    """Multiply the rates by ``lr_lambda(last_epoch)`` at every step; `lr_lambda` as in :class:`LambdaLR`."""

    def get_lr(self) -> list[float]:
        if self._starting:
            return self._rates()
        return [lr * f(self.last_epoch) for lr, f in zip(self._rates(), self.lr_lambdas, strict=True)]


class StepLR(LRScheduler):
    """Multiply the rates by `gamma` every `step_size` steps.

    Examples
    --------
    >>> optimizer = fastconv.optim.SGD([fastconv.ones(1, requires_grad=True)], lr=1.0)
    >>> scheduler = fastconv.optim.lr_scheduler.StepLR(optimizer, step_size=2, gamma=0.5)
    >>> for _ in range(4):
    ...     optimizer.step()
    ...     scheduler.step()
    >>> scheduler.get_last_lr()
    [0.25]
    """

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size: int = integer(step_size, "step_size", 1)
        self.gamma: float = number(gamma, "gamma")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0 or self.last_epoch % self.step_size:
            return self._rates()
        return [lr * self.gamma for lr in self._rates()]


class MultiStepLR(LRScheduler):
    """Multiply the rates by `gamma` at each of the `milestones`; one that is given twice counts twice."""

    def __init__(
        self, optimizer: Optimizer, milestones: Iterable[int], gamma: float = 0.1, last_epoch: int = -1
    ) -> None:
        if isinstance(milestones, str | bytes) or not isinstance(milestones, Iterable):
            raise TypeError(f"milestones must be integers, got {milestones!r}")
        self.milestones: dict[int, int] = dict(Counter(integer(step, "milestones") for step in milestones))
        self.gamma: float = number(gamma, "gamma")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch not in self.milestones:
            return self._rates()
        return [lr * self.gamma ** self.milestones[self.last_epoch] for lr in self._rates()]


class ExponentialLR(LRScheduler):
    """Multiply the rates by `gamma` at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma: float = number(gamma, "gamma")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self._starting:
            return self._rates()
        return [lr * self.gamma for lr in self._rates()]


class LinearLR(LRScheduler):
    """Change the factor on the rates linearly from `start_factor` to `end_factor` over `total_iters` steps."""

    def __init__(
        self,
        optimizer: Optimizer,
        start_factor: float = 1.0 / 3,
        end_factor: float = 1.0,
        total_iters: int = 5,
        last_epoch: int = -1,
    ) -> None:
        number(start_factor, "start_factor"), number(end_factor, "end_factor")
        if not 0 < start_factor <= 1:
            raise ValueError(f"start_factor is expected to be greater than 0 and at most 1, got {start_factor}")
        if not 0 <= end_factor <= 1:
            raise ValueError(f"end_factor is expected to be between 0 and 1, got {end_factor}")
        self.start_factor = start_factor
        self.end_factor = end_factor
        self.total_iters: float = number(total_iters, "total_iters", 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.start_factor for lr in self._rates()]
        if self._starting or self.last_epoch > self.total_iters:
            return self._rates()
        change = self.end_factor - self.start_factor
        before = self.total_iters * self.start_factor + (self.last_epoch - 1) * change
        return [lr * (1.0 + change / before) for lr in self._rates()]


class CosineAnnealingLR(LRScheduler):
    """Lower the rates to `eta_min` along half a cosine of `T_max` steps, and then back (Loshchilov and Hutter, 2017).

    ``eta_min + (base_lr - eta_min) * (1 + cos(pi * last_epoch / T_max)) / 2``
    """

    def __init__(self, optimizer: Optimizer, T_max: int, eta_min: float = 0.0, last_epoch: int = -1) -> None:
        self.T_max: float = number(T_max, "T_max", above=0)
        self.eta_min: float = number(eta_min, "eta_min")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, rates = self.last_epoch, self._rates()
        if self._starting:
            return rates
        if (t - 1 - self.T_max) % (2 * self.T_max) == 0:  # one past a minimum, where the quotient below is 0 / 0
            return [
                lr + (base - self.eta_min) * (1 - math.cos(math.pi / self.T_max)) / 2
                for lr, base in zip(rates, self.base_lrs, strict=True)
            ]
        ratio = (1 + math.cos(math.pi * t / self.T_max)) / (1 + math.cos(math.pi * (t - 1) / self.T_max))
        return [ratio * (lr - self.eta_min) + self.eta_min for lr in rates]


class ConstantLR(LRScheduler):
    """Multiply the rates by `factor`, until `total_iters` steps have been done."""

    def __init__(
        self, optimizer: Optimizer, factor: float = 1.0 / 3, total_iters: int = 5, last_epoch: int = -1
    ) -> None:
        if not 0 <= number(factor, "factor") <= 1:
            raise ValueError(f"Constant multiplicative factor expected to be between 0 and 1, got {factor}")
        self.factor = factor
        self.total_iters: float = number(total_iters, "total_iters", 0)
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch == 0:
            return [lr * self.factor for lr in self._rates()]
        if self.last_epoch == self.total_iters:
            return [lr * (1.0 / self.factor) for lr in self._rates()]
        return self._rates()


class PolynomialLR(LRScheduler):
    """Lower the rates to 0 within `total_iters` steps, as ``(1 - last_epoch / total_iters) ** power``."""

    def __init__(self, optimizer: Optimizer, total_iters: int = 5, power: float = 1.0, last_epoch: int = -1) -> None:
        self.total_iters: float = number(total_iters, "total_iters", 0)
        self.power: float = number(power, "power")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        t, total = self.last_epoch, self.total_iters
        if self._starting or t == 0 or t > total:
            return self._rates()
        factor = ((1.0 - t / total) / (1.0 - (t - 1) / total)) ** self.power
        return [lr * factor for lr in self._rates()]
