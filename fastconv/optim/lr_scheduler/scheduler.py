"""What all schedulers share."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ...checks import number
from ..optimizer import Optimizer

__all__ = ["LRScheduler", "per_group"]


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
        self.base_lrs: list[Any] = [group["initial_lr"] for group in optimizer.param_groups]
        self.last_epoch: int = last_epoch
        self._begin()

    def _begin(self) -> None:
        """Take the step that comes before all others."""
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
        self._set(self.get_lr())

    def _set(self, rates: list[float]) -> None:
        for group, lr in zip(self.optimizer.param_groups, rates, strict=True):
            group["lr"] = lr
        self._last_lr = rates

    def state_dict(self) -> dict[Any, Any]:
        """Everything but the optimizer, as plain values."""
        return {name: value for name, value in self.__dict__.items() if name != "optimizer"}

    def load_state_dict(self, state_dict: dict[Any, Any]) -> None:
        """Take over what :meth:`state_dict` returned; the optimizer's rates come with the optimizer's own state."""
        self.__dict__.update(state_dict)

    def _rates(self) -> list[float]:
        return [group["lr"] for group in self.optimizer.param_groups]


def per_group(name: str, value: float | Sequence[float], groups: list[Any]) -> list[float]:
    """The value of each group, from a sequence of them or from the one that holds for all."""
    is_sequence = isinstance(value, Sequence) and not isinstance(value, str | bytes)
    values = list(value) if is_sequence else [value] * len(groups)
    if len(values) != len(groups):
        raise ValueError(f"expected {len(groups)} values for {name}, got {value!r}")
    return [number(each, name) for each in values]
