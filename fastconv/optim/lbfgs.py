"""L-BFGS: a quasi-Newton method that keeps a short history of steps."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import Any, NamedTuple

import numpy as np

from .._native.tape import mark_written
from .._tensor import Tensor
from ..autograd import enable_grad
from ..checks import integer, number
from .optimizer import Optimizer, check_not_negative

__all__ = ["LBFGS"]


class _Point(NamedTuple):
    """The loss along a search direction: where, how large, and its gradient, whole and along the direction."""

    at: float
    loss: float
    gradient: np.ndarray
    slope: float


class LBFGS(Optimizer):
    """L-BFGS (Nocedal and Wright, "Numerical Optimization", 2nd edition, algorithms 7.4 and 3.5), as torch's.

    Parameters
    ----------
    params : iterable of Tensor
        All in one group.
    lr : float
        Size of the first trial of each step.
    max_iter : int
        Most iterations in a call of :meth:`step`.
    max_eval : int, optional
        Most evaluations of the closure in a call; by default 5/4 of `max_iter`.
    tolerance_grad, tolerance_change : float
        A call ends when the largest gradient, or the largest change of a parameter or that of the loss, is not above.
    history_size : int
        Number of steps that are remembered.
    line_search_fn : {None, "strong_wolfe"}
        Search along each direction for a step that satisfies the strong Wolfe conditions.

    Raises
    ------
    ValueError
        For several groups, or a negative lr.
    RuntimeError
        For another `line_search_fn`.
    """

    def __init__(
        self,
        params: Iterable[Any],
        lr: float = 1,
        max_iter: int = 20,
        max_eval: int | None = None,
        tolerance_grad: float = 1e-7,
        tolerance_change: float = 1e-9,
        history_size: int = 100,
        line_search_fn: str | None = None,
    ) -> None:
        defaults = {
            "lr": lr,
            "max_iter": integer(max_iter, "max_iter"),
            "max_eval": max_iter * 5 // 4 if max_eval is None else integer(max_eval, "max_eval"),
            "tolerance_grad": number(tolerance_grad, "tolerance_grad"),
            "tolerance_change": number(tolerance_change, "tolerance_change"),
            "history_size": integer(history_size, "history_size"),
            "line_search_fn": line_search_fn,
        }
        super().__init__(params, defaults)
        if len(self.param_groups) != 1:
            raise ValueError(f"LBFGS doesn't support per-parameter options, got {len(self.param_groups)} groups")

    def _check(self, options: dict[Any, Any]) -> None:
        check_not_negative(options, "lr")
        if options["line_search_fn"] not in (None, "strong_wolfe"):
            raise RuntimeError(f"only 'strong_wolfe' is supported as line_search_fn, got {options['line_search_fn']!r}")

    @property
    def _params(self) -> list[Tensor]:
        return self.param_groups[0]["params"]

    def _gradient(self) -> np.ndarray:
        parts = [np.zeros(p.numel(), p.dtype) if p._grad is None else p._grad._array.reshape(-1) for p in self._params]
        return np.concatenate(parts)

    def _move(self, step: float, direction: np.ndarray, start: list[np.ndarray] | None = None) -> None:
        """Add step * direction to the parameters, or to where they started."""
        at = 0
        for i, p in enumerate(self._params):
            part = (step * direction[at : at + p.numel()]).reshape(p.shape)
            p._array[...] = (p._array if start is None else start[i]) + part
            mark_written(p)
            at += p.numel()

    def step(self, closure: Callable[[], Tensor]) -> Tensor:
        """Take up to `max_iter` iterations.

        Parameters
        ----------
        closure : callable
            Computes the loss anew, with its backward(), and returns it.

        Returns
        -------
        Tensor
            The loss before the first iteration.
        """
        if not callable(closure):
            raise TypeError(f"LBFGS.step() expects a closure that computes the loss, got {closure!r}")
        group, state = self.param_groups[0], self.state[self._params[0]]
        state.setdefault("func_evals", 0)
        state.setdefault("n_iter", 0)

        def evaluate() -> Tensor:
            state["func_evals"] += 1
            with enable_grad():
                return closure()

        evaluations_before = state["func_evals"]
        first_loss = evaluate()
        loss, gradient = float(first_loss), self._gradient()
        # Without a parameter that has elements there is nothing to do, as at a minimum.
        if np.max(np.abs(gradient), initial=0) <= group["tolerance_grad"]:
            return first_loss
        for iteration in range(1, group["max_iter"] + 1):
            state["n_iter"] += 1
            direction = self._direction(state, group, gradient)
            state["prev_flat_grad"], state["prev_loss"] = gradient, loss
            step = float(group["lr"])
            if state["n_iter"] == 1:
                step *= min(1.0, 1.0 / float(np.abs(gradient).sum()))
            slope = float(gradient @ direction)
            state["d"], state["t"] = direction, step
            if slope > -group["tolerance_change"]:
                break
            if group["line_search_fn"] is not None:
                start = [p._array.copy() for p in self._params]
                here = _Point(0.0, loss, gradient, slope)
                found = self._search(evaluate, start, direction, here, step, group["tolerance_change"])
                step, loss, gradient = found.at, found.loss, found.gradient
                self._move(step, direction, start)
            else:
                self._move(step, direction)
                if iteration != group["max_iter"]:
                    loss, gradient = float(evaluate()), self._gradient()
            state["t"] = step
            if (
                state["func_evals"] - evaluations_before >= group["max_eval"]
                or np.max(np.abs(gradient)) <= group["tolerance_grad"]
                or np.max(np.abs(direction * step)) <= group["tolerance_change"]
                or abs(loss - state["prev_loss"]) < group["tolerance_change"]
            ):
                break
        return first_loss

    def _direction(self, state: dict[Any, Any], group: dict[Any, Any], gradient: np.ndarray) -> np.ndarray:
        """Minus the gradient times the inverse Hessian that the history describes, by the recursion of two loops."""
        if state["n_iter"] == 1:
            # Each entry of the history is a change of the gradient, the step that caused it, and 1 / their product.
            state.update(history=[], H_diag=1.0)
            return -gradient
        history: list[tuple[np.ndarray, np.ndarray, float]] = state["history"]
        change, step = gradient - state["prev_flat_grad"], state["d"] * state["t"]
        curvature = float(change @ step)
        if curvature > 1e-10:
            del history[: max(0, len(history) + 1 - group["history_size"])]
            history.append((change, step, 1.0 / curvature))
            state["H_diag"] = curvature / float(change @ change)
        direction = -gradient
        shares = []
        for change, step, inverse in reversed(history):
            shares.append(float(step @ direction) * inverse)
            direction = direction - shares[-1] * change
        direction = direction * state["H_diag"]
        for (change, step, inverse), share in zip(history, reversed(shares), strict=True):
            direction = direction + step * (share - float(change @ direction) * inverse)
        return direction.astype(gradient.dtype, copy=False)

    def _search(
        self,
        evaluate: Callable[[], Tensor],
        start: list[np.ndarray],
        direction: np.ndarray,
        here: _Point,
        step: float,
        tolerance: float,
        decrease: float = 1e-4,
        flatness: float = 0.9,
        most: int = 25,
    ) -> _Point:
        """A point along the direction that satisfies the strong Wolfe conditions, or the best that was found."""

        def point(at: float) -> _Point:
            self._move(at, direction, start)
            loss, gradient = float(evaluate()), self._gradient()
            return _Point(at, loss, gradient, float(gradient @ direction))

        def too_high(p: _Point) -> bool:
            return p.loss > here.loss + decrease * p.at * here.slope

        def flat(p: _Point) -> bool:
            return abs(p.slope) <= -flatness * here.slope

        last, new, tried = here, point(step), 0
        while tried < most:
            if too_high(new) or (tried > 1 and new.loss >= last.loss) or (new.slope >= 0 and not flat(new)):
                break
            if flat(new):
                return new
            at = _cubic_minimum(last, new, new.at + 0.01 * (new.at - last.at), new.at * 10)
            last, new = new, point(at)
            tried += 1
        else:
            last = here
        low, high = (last, new) if last.loss <= new.loss else (new, last)
        stalled = False
        largest = float(np.max(np.abs(direction)))
        while tried < most and abs(high.at - low.at) * largest >= tolerance:
            left, right = sorted((low.at, high.at))
            at = _cubic_minimum(last, new, left, right)
            # A trial near an end of the bracket that narrows it little is moved inwards, the second time in a row.
            margin = 0.1 * (right - left)
            near = min(right - at, at - left) < margin
            if near and (stalled or at >= right or at <= left):
                at = right - margin if abs(at - right) < abs(at - left) else left + margin
                near = False
            stalled = near
            trial = point(at)
            tried += 1
            if too_high(trial) or trial.loss >= low.loss:
                high = trial
                if trial.loss <= low.loss:
                    low, high = trial, low
            else:
                if flat(trial):
                    return trial
                if trial.slope * (high.at - low.at) >= 0:
                    high = low
                low = trial
            last, new = low, high
        return low


def _cubic_minimum(a: _Point, b: _Point, least: float, most: float) -> float:
    """Where the cubic through two points with their slopes is lowest, within limits (equation 3.59)."""
    if a.at > b.at:
        a, b = b, a
    if a.at == b.at:
        return (least + most) / 2
    d1 = a.slope + b.slope - 3 * (a.loss - b.loss) / (a.at - b.at)
    square = d1 * d1 - a.slope * b.slope
    if not square >= 0:
        return (least + most) / 2
    d2 = math.sqrt(square)
    denominator = b.slope - a.slope + 2 * d2
    if denominator == 0:
        return (least + most) / 2
    return min(max(b.at - (b.at - a.at) * ((b.slope + d2 - d1) / denominator), least), most)
