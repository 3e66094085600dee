"""Losses: logits as rows of classes, classes as integers in range."""

import numpy as np
from numpy import ndarray

from ..checks import LARGEST, integer, number
from .arrays import float_array

__all__ = ["IGNORED", "check_class_weight", "check_reduction", "of_cross_entropy"]

IGNORED = -1  # what stands for classes that count for nothing


def check_reduction(reduction: str) -> None:
    if reduction not in ("none", "mean", "sum"):
        raise ValueError(f"{reduction!r} is not a valid value for reduction; there are 'none', 'mean' and 'sum'")


def of_cross_entropy(
    x: ndarray,
    target: ndarray,
    weight: ndarray | None,
    ignore_index: int,
    reduction: str,
    label_smoothing: float,
) -> tuple[ndarray, ndarray]:
    """x as (M, C), dense, and the classes (M,), checked, with IGNORED for those that are not counted."""
    check_reduction(reduction)
    number(label_smoothing, "label_smoothing")
    if not 0 <= label_smoothing <= 1:
        raise RuntimeError(f"label_smoothing must be between 0.0 and 1.0. Got: {label_smoothing}")
    integer(ignore_index, "ignore_index", -LARGEST)
    given, x = x, float_array("cross_entropy", x, "input")
    if not isinstance(target, ndarray):
        raise TypeError(
            f"cross_entropy: expected a Tensor or an ndarray as target, got {target!r} of type {type(target).__name__}"
        )
    if target.dtype.kind not in "iu":
        raise TypeError(
            f"cross_entropy: expected integers as classes, or probabilities of a floating dtype, got target of "
            f"{target.dtype} and size {list(target.shape)}"
        )
    shape = x.shape
    if not shape:
        raise ValueError("cross_entropy: expected input (C,), (N, C) or (N, C, ...), got one without dimensions")
    classes = shape[0] if len(shape) == 1 else shape[1]
    check_class_weight(weight, given, classes)
    expected = shape[:1] + shape[2:] if len(shape) > 1 else ()
    if target.shape != expected:
        raise ValueError(
            f"cross_entropy: expected a target of size {list(expected)} for input of size {list(shape)}, "
            f"got size {list(target.shape)}"
        )
    labels = target.reshape(-1).astype(np.int64)
    ignored = labels == ignore_index
    wrong = ~ignored & ((labels < 0) | (labels >= classes))
    if wrong.any():
        raise IndexError(
            f"Target {labels[wrong][0]} is out of bounds: expected classes from 0 to {classes - 1} "
            f"for input of size {list(shape)}, or ignore_index={ignore_index}"
        )
    labels[ignored] = IGNORED
    rows = x[None] if x.ndim == 1 else x if x.ndim == 2 else np.moveaxis(x, 1, -1).reshape(-1, classes)
    return np.ascontiguousarray(rows), labels


def check_class_weight(weight: ndarray | None, x: ndarray, classes: int) -> None:
    if weight is None:
        return
    if not isinstance(weight, ndarray) or weight.dtype != x.dtype:
        raise TypeError(
            f"cross_entropy: expected one dtype, got input of {x.dtype} and weight "
            f"{weight.dtype if isinstance(weight, ndarray) else repr(weight)}"
        )
    if weight.shape != (classes,):
        raise RuntimeError(
            f"cross_entropy: expected weight of size [{classes}] for input of size {list(x.shape)}, "
            f"got size {list(weight.shape)}"
        )
