"""Rates that rise and fall in cycles."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from typing import Any

from ...checks import integer, number
from ..optimizer import Optimizer
from .scheduler import LRScheduler, per_group

__all__ = ["CosineAnnealingWarmRestarts", "CyclicLR", "OneCycleLR"]


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
        Whether momentum (beta1 of Adam) runs opposite to the rate, between `max_momentum` and `base_momentum`.
    base_momentum, max_momentum : float or sequence of float
    div_factor : float
        The first rate is ``max_lr / div_factor``.
    final_div_factor : float
        The last rate is the first one divided by this.
    three_phase : bool
        Fall to the first rate as slowly as it rose, and only then to the last one.
    last_epoch : int
    """

    phases: Any

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
        _check_momentum(optimizer, cycle_momentum)
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
            highest = per_group("max_lr", max_lr, groups)
            least = per_group("base_momentum", base_momentum, groups)
            most = per_group("max_momentum", max_momentum, groups)
            for group, lr, base_m, max_m in zip(groups, highest, least, most, strict=True):
                group["max_lr"] = lr
                group["initial_lr"] = lr / div_factor
                group["min_lr"] = group["initial_lr"] / final_div_factor
                if cycle_momentum:
                    _set_momentum(group, max_m)
                    group["max_momentum"] = max_m
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
                _set_momentum(group, self._between(group[momentum_from], group[momentum_to], share))
        return rates


class CyclicLR(LRScheduler):
    """Let the rates swing between `base_lr` and `max_lr` (Smith 2017, arXiv 1506.01186).

    To be stepped once per batch.

    Parameters
    ----------
    optimizer : Optimizer
    base_lr, max_lr : float, or one for each group
    step_size_up, step_size_down : int
        Steps of the rise and of the fall; by default as many.
    mode : {"triangular", "triangular2", "exp_range"}
        Whether the height of the cycles stays, is halved by each, or is multiplied by `gamma` at each step.
    gamma : float
    scale_fn : callable, optional
        The height in place of `mode`: a function of the number of the cycle, or of the step.
    scale_mode : {"cycle", "iterations"}
        What `scale_fn` is given.
    cycle_momentum : bool
        Whether momentum (beta1 of Adam) runs opposite to the rate, between `max_momentum` and `base_momentum`.
    base_momentum, max_momentum : float, or one for each group
    last_epoch : int
    """

    gamma: Any
    max_lrs: list[float]
    mode: str
    scale_fn: Any
    step_ratio: float
    total_size: float

    def __init__(
        self,
        optimizer: Optimizer,
        base_lr: float | Sequence[float],
        max_lr: float | Sequence[float],
        step_size_up: int = 2000,
        step_size_down: int | None = None,
        mode: str = "triangular",
        gamma: float = 1.0,
        scale_fn: Callable[[float], float] | None = None,
        scale_mode: str = "cycle",
        cycle_momentum: bool = True,
        base_momentum: float | Sequence[float] = 0.8,
        max_momentum: float | Sequence[float] = 0.9,
        last_epoch: int = -1,
    ) -> None:
        if not isinstance(optimizer, Optimizer):
            raise TypeError(f"{type(optimizer).__name__} is not an Optimizer")
        if mode not in ("triangular", "triangular2", "exp_range") and scale_fn is None:
            raise ValueError(f"mode is invalid and scale_fn is None, got mode={mode!r}")
        groups = optimizer.param_groups
        lowest, self.max_lrs = per_group("base_lr", base_lr, groups), per_group("max_lr", max_lr, groups)
        up = float(integer(step_size_up, "step_size_up", 1))
        down = up if step_size_down is None else float(integer(step_size_down, "step_size_down", 1))
        self.total_size, self.step_ratio = up + down, up / (up + down)
        self.mode, self.gamma, self.scale_fn = mode, number(gamma, "gamma"), scale_fn
        self.scale_mode: str = "iterations" if scale_fn is None and mode == "exp_range" else scale_mode
        self.cycle_momentum = cycle_momentum
        _check_momentum(optimizer, cycle_momentum)
        if last_epoch == -1:
            for group, lr in zip(groups, lowest, strict=True):
                group["lr"] = lr
        if cycle_momentum:
            self.base_momentums: list[float] = per_group("base_momentum", base_momentum, groups)
            self.max_momentums: list[float] = per_group("max_momentum", max_momentum, groups)
            if last_epoch == -1:
                for group, momentum in zip(groups, self.max_momentums, strict=True):
                    _set_momentum(group, momentum)
        super().__init__(optimizer, last_epoch)
        self.base_lrs = lowest

    def _height(self, cycle: float) -> float:
        x = cycle if self.scale_mode == "cycle" else self.last_epoch
        if self.scale_fn is not None:
            return self.scale_fn(x)
        return {"triangular": 1.0, "triangular2": 0.5 ** (x - 1)}.get(self.mode, self.gamma**x)

    def get_lr(self) -> list[float]:
        cycle = math.floor(1 + self.last_epoch / self.total_size)
        x = 1.0 + self.last_epoch / self.total_size - cycle
        share = x / self.step_ratio if x <= self.step_ratio else (x - 1) / (self.step_ratio - 1)
        height = self._height(cycle)
        lowest = self._rates() if self._starting else self.base_lrs
        if self.cycle_momentum:
            groups = self.optimizer.param_groups
            for group, low, high in zip(groups, self.base_momentums, self.max_momentums, strict=True):
                _set_momentum(group, high - (high - low) * share * height)
        return [low + (high - low) * share * height for low, high in zip(lowest, self.max_lrs, strict=True)]

    def state_dict(self) -> dict[Any, Any]:
        """As for the other schedulers, but for `scale_fn`."""
        return {name: value for name, value in super().state_dict().items() if name != "scale_fn"}


def _check_momentum(optimizer: Optimizer, cycle_momentum: bool) -> None:
    if cycle_momentum and not {"momentum", "betas"} & optimizer.defaults.keys():
        raise ValueError("optimizer must support momentum or beta1 with `cycle_momentum` option enabled")


def _set_momentum(group: dict[Any, Any], momentum: float) -> None:
    if "momentum" in group:
        group["momentum"] = momentum
    else:
        group["betas"] = (momentum, *group["betas"][1:])


class CosineAnnealingWarmRestarts(LRScheduler):
    """Lower the rates to `eta_min` along half a cosine, then begin anew (Loshchilov and Hutter, 2017).

    Parameters
    ----------
    optimizer : Optimizer
    T_0 : int
        Steps until the first restart.
    T_mult : int
        By how much each cycle is longer than the last.
    eta_min : float
    last_epoch : int
    """

    T_cur: int
    T_i: int

    def __init__(
        self, optimizer: Optimizer, T_0: int, T_mult: int = 1, eta_min: float = 0.0, last_epoch: int = -1
    ) -> None:
        self.T_0 = self.T_i = integer(T_0, "T_0", 1)
        self.T_mult: int = integer(T_mult, "T_mult", 1)
        self.eta_min: float = number(eta_min, "eta_min")
        self.T_cur = last_epoch
        super().__init__(optimizer, last_epoch)

    def get_lr(self) -> list[float]:
        share = (1 + math.cos(math.pi * self.T_cur / self.T_i)) / 2
        return [self.eta_min + (base - self.eta_min) * share for base in self.base_lrs]

    def step(self, epoch: float | None = None) -> None:
        """Go one step on, or to an epoch, which may be a fraction, and set the groups' rates."""
        if epoch is None:
            epoch = self.last_epoch + 1
        elif number(epoch, "epoch") < 0:
            raise ValueError(f"Expected non-negative epoch, but got {epoch}")
        begin, length = 0.0, self.T_0
        while epoch >= begin + length:
            begin += length
            length *= self.T_mult
        self.T_cur, self.T_i = epoch - begin, length
        self.last_epoch: int = math.floor(epoch)
        self._set(self.get_lr())
