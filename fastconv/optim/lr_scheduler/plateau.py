"""Rates that fall when training gets no further."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from ...checks import number
from ..optimizer import Optimizer
from .scheduler import LRScheduler, per_group

__all__ = ["ReduceLROnPlateau"]


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

    cooldown: Any
    eps: Any
    last_epoch: int
    patience: Any
    threshold: Any

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
        self.min_lrs: list[float] = per_group("min_lr", min_lr, groups)
        self._default_min_lr = None if isinstance(min_lr, (list, tuple)) else min_lr
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
            self.best: float = figure
            self.num_bad_epochs = 0
        else:
            self.num_bad_epochs += 1
        if self.cooldown_counter > 0:
            self.cooldown_counter -= 1
            self.num_bad_epochs = 0
        if self.num_bad_epochs > self.patience:
            groups = self.optimizer.param_groups
            if len(groups) != len(self.min_lrs):  # a group came later
                if self._default_min_lr is None:
                    raise RuntimeError(
                        f"The number of param groups in the optimizer ({len(groups)}) differs from when "
                        f"ReduceLROnPlateau was initialized ({len(self.min_lrs)}), usually due to a new param group "
                        "being added: set min_lrs anew, or give one min_lr for all"
                    )
                self.min_lrs = [float(self._default_min_lr)] * len(groups)
            for group, least in zip(groups, self.min_lrs, strict=True):
                lr = max(group["lr"] * self.factor, least)
                if group["lr"] - lr > self.eps:
                    group["lr"] = lr
            self.cooldown_counter: int = self.cooldown
            self.num_bad_epochs: int = 0
        self._last_lr = self._rates()
