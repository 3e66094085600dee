"""Learning rates that change over time, by torch.optim.lr_scheduler's names, arguments and arithmetic.

A scheduler is stepped once per epoch (:class:`OneCycleLR` once per batch), after the optimizer.
"""

from __future__ import annotations

import math
from collections import Counter
from collections.abc import Iterable, Sequence

from ..checks import integer, number
from .optimizer import Optimizer

__all__ = [
    "CosineAnnealingLR",
    "ExponentialLR",
    "LRScheduler",
    "LinearLR",
    "MultiStepLR",
    "OneCycleLR",
    "ReduceLROnPlateau",
    "StepLR",
]


class LRScheduler:
    """The base of the schedulers.

    Parameters
    ----------
    optimizer : Optimizer
    last_epoch : int
        Number of steps done before, to resume at; -1 starts anew, and keeps each group's rate as ``initial_lr``.

    Attributes
    ----------
    base_lrs : list of float
        The initial rate of each group.
    last_epoch : int
    """

    _starting = False  # True in the step that __init__() takes

    def __init__(self, optimizer: Optimizer, last_epoch: int = -1) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        self.optimizer = optimizer
        for i, group in enumerate(optimizer.param_groups):
            if last_epoch == -1:
                group.setdefault("initial_lr", group["lr"])
            elif "initial_lr" not in group:
                raise KeyError(
                    f"param 'initial_lr' is not specified in param_groups[{i}] when resuming at last_epoch {last_epoch}"
                )
        self.base_lrs = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch = last_epoch
        self._starting = True
        self.step()
        del self._starting

    def get_lr(self) -> list[float]:
        """The rate of each group for ``last_epoch``, given the rates before."""
        raise NotImplementedError

    def get_last_lr(self) -> list[float]:
        """The rate of each group that was set last."""
        return self._last_lr

    def step(self) -> None:
        """Go one step on and set the groups' rates."""
        self.last_epoch += 1
        rates = self.get_lr()
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = rates

    def state_dict(self) -> dict:
        """Everything but the optimizer, as plain values."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict) -> None:
        """Take over what :meth:`state_dict` returned; the optimizer's rates come with the optimizer's own state."""
        self.__dict__.update(state_dict)

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]


def _per_group(name: str, value: float | Sequence[float], groups: list) -> list[float]:
    """The value of each group, from a sequence of them or from the one that holds for all."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    values = list(value) if is_sequence else [value] * len(groups)
    if len(values) != len(groups):
        raise ValueError(f"expected {len(groups)} values for {name}, got {value!r}")
    return [number(each, name) for each in values]


class StepLR(LRScheduler):
    """Multiply the rates by `gamma` every `step_size` steps."""

    def __init__(self, optimizer: Optimizer, step_size: int, gamma: float = 0.1, last_epoch: int = -1) -> None:
        self.step_size = integer(step_size, "step_size", 1)
        self.gamma = number(gamma, "gamma")
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
        self.milestones = dict(Counter(integer(step, "milestones") for step in milestones))
        self.gamma = number(gamma, "gamma")
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        if self.last_epoch not in self.milestones:
            return self._rates()
        return [lr * self.gamma ** self.milestones[self.last_epoch] for lr in self._rates()]


class ExponentialLR(LRScheduler):
    """Multiply the rates by `gamma` at every step."""

    def __init__(self, optimizer: Optimizer, gamma: float, last_epoch: int = -1) -> None:
        self.gamma = number(gamma, "gamma")
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
        self.total_iters = number(total_iters, "total_iters", 0)
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
        self.T_max = number(T_max, "T_max", above=0)
        self.eta_min = number(eta_min, "eta_min")
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


class OneCycleLR(LRScheduler):
    """Raise the rates to `max_lr` and lower them far below where they began, in one cycle (Smith and Topin, 2019).

    To be stepped once per batch, `total_steps` times in all.

    Parameters
    ----------
    optimizer : Optimizer
    max_lr : float or sequence of float
        The highest rate, or that of each group.
    total_steps : int, optional
        Or `epochs` and `steps_per_epoch`.
    epochs, steps_per_epoch : int, optional
    pct_start : float
        Share of the cycle in which the rate rises.
    anneal_strategy : {"cos", "linear"}
    cycle_momentum : bool
        Whether momentum runs opposite to the rate, between `max_momentum` and `base_momentum`.
    base_momentum, max_momentum : float or sequence of float
    div_factor : float
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float
        The last rate is the first one divided by this.
    three_phase : bool
        Fall to the first rate as slowly as it rose, and only then to the last one.
    last_epoch : int
    """

    def __init__(
        self,
        optimizer: Optimizer,
        max_lr: float | Sequence[float],
        total_steps: int | None = None,
        epochs: int | None = None,
        steps_per_epoch: int | None = None,
        pct_start: float = 0.3,
        anneal_strategy: str = "cos",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.85,
        max_momentum: float | Sequence[float] = 0.95,
        div_factor: float = 25.0,
        final_div_factor: float = 1e4,
        three_phase: bool = False,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if total_steps is None:
            if epochs is None or steps_per_epoch is None:
                raise ValueError("OneCycleLR expects total_steps, or both epochs and steps_per_epoch")
            for name, value in (("epochs", epochs), ("steps_per_epoch", steps_per_epoch)):
                if not isinstance(value, int) or value <= 0:
                    raise ValueError(f"expected a positive integer as {name}, but got {value!r}")
            total_steps = epochs * steps_per_epoch
        elif not isinstance(total_steps, int) or total_steps <= 0:
            raise ValueError(f"expected a positive integer as total_steps, but got {total_steps!r}")
        number(div_factor, "div_factor", above=0), number(final_div_factor, "final_div_factor", above=0)
        if not isinstance(pct_start, float) or not 0 <= pct_start <= 1:
            raise ValueError(f"expected a float between 0 and 1 as pct_start, but got {pct_start!r}")
        if anneal_strategy not in ("cos", "linear"):
            raise ValueError(f"anneal_strategy must be 'cos' or 'linear', but got {anneal_strategy!r}")
        if cycle_momentum and "momentum" not in optimizer.defaults:
            raise ValueError("the optimizer must have momentum for cycle_momentum=True")
        self.total_steps = total_steps
        self.anneal_strategy = anneal_strategy
        self.cycle_momentum = cycle_momentum
        # The ends of the phases, and the rate and the momentum that each starts and ends with.
        rise, last = float(pct_start * total_steps) - 1, total_steps - 1
        high, low = ("max_lr", "min_lr"), ("max_momentum", "base_momentum")
        if three_phase:
            fall = float(2 * pct_start * total_steps) - 2
            self.phases = [
                (rise, "initial_lr", high[0], *low),
                (fall, high[0], "initial_lr", *low[::-1]),
                (last, "initial_lr", high[1], low[0], low[0]),
            ]
        else:
            self.phases = [(rise, "initial_lr", high[0], *low), (last, *high, *low[::-1])]
        groups = optimizer.param_groups
        if last_epoch == -1:
            highest = _per_group("max_lr", max_lr, groups)
            least = _per_group("base_momentum", base_momentum, groups)
            most = _per_group("max_momentum", max_momentum, groups)
            for group, lr, base_m, max_m in zip(groups, highest, least, most, strict=True):
                group["max_lr"] = lr
                group["initial_lr"] = lr / div_factor
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    group["momentum"] = group["max_momentum"] = max_m
                    group["base_momentum"] = base_m
        super().__init__(optimizer, last_epoch)

    def _between(self, start: float, end: float, share: float) -> float:
        if self.anneal_strategy == "cos":
            return end + (start - end) / 2.0 * (1 + math.cos(math.pi * share))
        return (end - start) * share + start

    def get_lr(self) -> list[float]:
        if self.last_epoch > self.total_steps:
            raise ValueError(
                f"tried to step {self.last_epoch} times; the specified number of total steps is {self.total_steps}"
            )
        current = next((i for i, phase in enumerate(self.phases) if self.last_epoch <= phase[0]), len(self.phases) - 1)
        begin = self.phases[current - 1][0] if current else 0.0
        end, lr_from, lr_to, momentum_from, momentum_to = self.phases[current]
        share = (self.last_epoch - begin) / (end - begin) if end != begin else 1.0
        rates = []
        for group in self.optimizer.param_groups:
            rates.append(self._between(group[lr_from], group[lr_to], share))
            if self.cycle_momentum:
                group["momentum"] = self._between(group[momentum_from], group[momentum_to], share)
        return rates


class ReduceLROnPlateau(LRScheduler):
    """Multiply the rates by `factor` when a figure has stopped getting better.

    Parameters
    ----------
    optimizer : Optimizer
    mode : {"min", "max"}
        Whether the figure gets better by falling or by rising.
    factor : float
        Less than 1.
    patience : int
        Number of steps without improvement that are let pass.
    threshold : float
        By how much a figure has to be better.
    threshold_mode : {"rel", "abs"}
        Whether the threshold is a share of the best figure or an absolute difference.
    cooldown : int
        Number of steps after a reduction in which nothing is counted.
    min_lr : float or sequence of float
        The lowest rate, or that of each group.
    eps : float
        Smaller changes of a rate are not made.
    """

    def __init__(
        self,
        optimizer: Optimizer,
        mode: str = "min",
        factor: float = 0.1,
        patience: int = 10,
        threshold: float = 1e-4,
        threshold_mode: str = "rel",
        cooldown: int = 0,
        min_lr: float | Sequence[float] = 0,
        eps: float = 1e-8,
    ) -> None:
        number(factor, "factor")
        if not factor < 1.0:
            raise ValueError(f"factor should be < 1.0, got {factor}")
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if mode not in ("min", "max"):
            raise ValueError(f"mode {mode!r} is unknown; there are 'min' and 'max'")
        if threshold_mode not in ("rel", "abs"):
            raise ValueError(f"threshold mode {threshold_mode!r} is unknown; there are 'rel' and 'abs'")
        groups = optimizer.param_groups
        self.min_lrs = _per_group("min_lr", min_lr, groups)
        self.optimizer = optimizer
        self.mode = mode
        self.factor = factor
        self.patience = number(patience, "patience", 0)
        self.threshold = number(threshold, "threshold")
        self.threshold_mode = threshold_mode
        self.cooldown = number(cooldown, "cooldown", 0)
        self.eps = number(eps, "eps")
        self.best = math.inf if mode == "min" else -math.inf
        self.num_bad_epochs = 0
        self.cooldown_counter = 0
        self.last_epoch = 0
        self._last_lr = self._rates()

    def _is_better(self, figure: float) -> bool:
        sign = 1 if self.mode == "max" else -1
        if self.threshold_mode == "rel":
            limit = self.best * (1 + sign * self.threshold)
        else:
            limit = self.best + sign * self.threshold
        return figure > limit if self.mode == "max" else figure < limit

    def step(self, metrics: float) -> None:
        """Take notice of a new figure, and lower the rates if it is time."""
        figure = float(metrics)
        self.last_epoch += 1
        if self._is_better(figure):
            self.best = figure
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            for group, least in zip(self.optimizer.param_groups, self.min_lrs, strict=True):
                lr = max(group["lr"] * self.factor, least)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
            self.cooldown_counter = self.cooldown
            self.num_bad_epochs = 0
        self._last_lr = self._rates()
