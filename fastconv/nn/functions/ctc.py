"""The loss of sequences whose labels are known, but not where they are."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from ..._native.tape import apply
from ..._tensor import Tensor
from ...arguments.loss import check_reduction
from ...checks import brief, integer
from .arguments import Array, array_of, check_array

__all__ = ["ctc_loss"]


def _lengths(name: str, lengths: Array | Sequence[int], n: int, most: int) -> np.ndarray:
    """One length for each sequence, from 0 to `most`."""
    values = array_of(lengths) if isinstance(lengths, (Tensor, np.ndarray)) else np.asarray(lengths)
    if values.dtype.kind not in "iu":
        raise TypeError(f"ctc_loss: {name} must be integers, got {brief(lengths)}")
    values = values.astype(np.int64).reshape(-1)
    if len(values) != n:
        raise RuntimeError(f"{name} must be of size batch_size: got {len(values)} for a batch of {n}")
    if n and (values.min() < 0 or values.max() > most):
        raise RuntimeError(f"Expected {name} to have values from 0 to {most}, but got {values.tolist()}")
    return values


def _labels(targets: Array, lengths: np.ndarray) -> np.ndarray:
    """The labels (N, S) of targets given so, or one behind the other."""
    labels = array_of(targets)
    if labels.ndim == 2:
        return labels.astype(np.int64)
    rows = np.zeros((len(lengths), int(lengths.max(initial=0))), np.int64)
    rows[np.arange(rows.shape[1]) < lengths[:, None]] = labels.reshape(-1)[: lengths.sum()]
    return rows


def _added(*logs: np.ndarray) -> np.ndarray:
    """The logarithm of the sum of what these are logarithms of."""
    largest = np.maximum.reduce(logs)
    base = np.where(np.isneginf(largest), 0, largest)
    return base + np.log(sum(np.exp(x - base) for x in logs))


def _ctc(needs, x, labels, steps, lengths, blank, reduction, zero_infinity):
    """Graves et al., 2006: paths through the labels with blanks around them, summed from both ends, in float64."""
    with np.errstate(all="ignore"):
        n_steps, n, classes = x.shape
        log_p = x.astype(np.float64)
        states = 2 * lengths + 1
        width = 2 * labels.shape[1] + 1
        path = np.full((n, width), blank)
        path[:, 1::2] = np.where(np.arange(labels.shape[1]) < lengths[:, None], labels, blank)
        place = np.arange(width)
        # A label may follow the one before the last blank, if it is another.
        skips = np.zeros((n, width), bool)
        skips[:, 2:] = (place[2:] % 2 == 1) & (path[:, 2:] != path[:, :-2])
        valid = place < states[:, None]
        score = np.where(valid, log_p[:, np.arange(n)[:, None], path], -np.inf)  # (T, N, S)

        def moved(alpha: np.ndarray, by: int) -> np.ndarray:
            out = np.full_like(alpha, -np.inf)
            if by < 0:
                out[:, :by] = alpha[:, -by:]
            else:
                out[:, by:] = alpha[:, : width - by]
            return out

        alphas = np.full((n_steps, n, width), -np.inf)
        if n_steps:
            alphas[0, :, :2] = score[0, :, :2]
        for t in range(1, n_steps):
            a = alphas[t - 1]
            alphas[t] = score[t] + _added(a, moved(a, 1), np.where(skips, moved(a, 2), -np.inf))
        last = place == states[:, None] - 1
        ends = last | ((place == states[:, None] - 2) & (lengths > 0)[:, None])
        rows = np.arange(n)
        final = np.where(ends, alphas[np.maximum(steps, 1) - 1, rows] if n_steps else -np.inf, -np.inf)
        loss = -_added(*final.T)
        loss = np.where(steps > 0, loss, np.where(lengths == 0, 0.0, np.inf))
        infinite = np.isinf(loss)
        kept = ~infinite | (not zero_infinity)
        shown = np.where(kept, loss, 0.0)
        scale = 1.0 / np.maximum(lengths, 1) / max(n, 1) if reduction == "mean" else np.ones(n)
        y = (shown if reduction == "none" else np.asarray((shown * scale).sum())).astype(x.dtype)

    def vjp(dy):
        with np.errstate(all="ignore"):
            beta = np.full((n, width), -np.inf)
            follows = np.zeros_like(skips)
            follows[:, :-2] = skips[:, 2:]
            dx = np.zeros(x_shape)
            for t in range(n_steps - 1, -1, -1):
                b = _added(beta, moved(beta, -1), np.where(follows, moved(beta, -2), -np.inf))
                beta = np.where((steps == t + 1)[:, None], np.where(ends, 0.0, -np.inf), b) + score[t]
                chance = np.exp(alphas[t] + beta - score[t] + loss[:, None])
                chance[~valid | np.isneginf(score[t])] = 0
                counted = np.zeros((n, classes))
                np.add.at(counted, (rows[:, None], path), chance)
                dx[t] = np.where((t < steps)[:, None], np.exp(log_p[t]) - counted, 0)
            dx[:, infinite] = 0 if zero_infinity else np.nan
            return ((dx * (dy * scale)[:, None]).astype(dy.dtype),)

    x_shape = x.shape
    return y, vjp, ()


def ctc_loss(
    log_probs: Array,
    targets: Array,
    input_lengths: Array | Sequence[int],
    target_lengths: Array | Sequence[int],
    blank: int = 0,
    reduction: str = "mean",
    zero_infinity: bool = False,
) -> Array:
    """Connectionist temporal classification: minus the log-probability that a sequence spells its labels.

    ``-log sum_paths prod_t p[t, path[t]]`` over all paths that give the labels when repetitions are made one and blanks
    left out (Graves et al., 2006). The gradient is that of torch: it takes `log_probs` for what log_softmax returned.

    Parameters
    ----------
    log_probs : (T, N, C) or (T, C)
        Logarithms of the probabilities of C classes at T steps.
    targets : integers (N, S), or all labels one behind the other
    input_lengths, target_lengths : integers (N,)
        How many steps and labels of each sequence count.
    blank : int
        The class that stands for no label.
    reduction : {"mean", "sum", "none"}
        The mean divides each loss by the number of its labels first.
    zero_infinity : bool
        Labels that do not fit into their steps have an infinite loss; 0, without a gradient, if this is true.

    Raises
    ------
    RuntimeError
        For lengths that do not fit, and a blank or labels that are no class.
    """
    check_array("ctc_loss", log_probs)
    check_reduction(reduction)
    if log_probs.ndim not in (2, 3):
        raise RuntimeError(f"ctc_loss: expected log_probs (T, N, C) or (T, C), got {list(log_probs.shape)}")
    blank, single = integer(blank, "ctc_loss: blank", 0), log_probs.ndim == 2
    n_steps, n, classes = (log_probs.shape[0], 1, log_probs.shape[1]) if single else log_probs.shape
    if blank >= classes:
        raise RuntimeError(f"blank must be in label range: got {blank} for {classes} classes")
    given = array_of(targets)
    if given.dtype.kind not in "iu":
        raise RuntimeError(f"ctc_loss: targets must be integers, got {brief(targets)}")
    steps = _lengths("input_lengths", input_lengths, n, n_steps)
    lengths = _lengths("target_lengths", target_lengths, n, given.shape[-1] if given.ndim == 2 else given.size)
    if given.ndim == 2 and given.shape[0] != n:
        raise RuntimeError(f"ctc_loss: expected targets of a batch of {n}, got {list(given.shape)}")
    if given.ndim != 2 and lengths.sum() > given.size:
        raise RuntimeError(f"ctc_loss: target_lengths {lengths.tolist()} need more than {given.size} targets")
    labels = _labels(targets, lengths)
    counted = labels[np.arange(labels.shape[1]) < lengths[:, None]]
    if counted.size and not (counted.min() >= 0 and counted.max() < classes):
        raise RuntimeError(f"ctc_loss: labels must be in [0, {classes}), got {counted.min()} to {counted.max()}")
    x = log_probs[:, None] if single else log_probs
    y = apply(
        _ctc,
        x,
        **{"labels": labels, "steps": steps, "lengths": lengths, "blank": blank},
        reduction=reduction,
        zero_infinity=bool(zero_infinity),
    )
    return y[0] if single and reduction == "none" else y
