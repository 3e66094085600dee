"""Rows of a table by their numbers."""

from __future__ import annotations

import numpy as np

from ..._native.tape import apply
from ...checks import LARGEST, integer, number
from .arguments import Array, array_of, check_array

__all__ = ["embedding"]


def _embedding(needs, weight, rows, padding_idx, scale_grad_by_freq):
    shape = weight.shape

    def vjp(dy, rows):
        rows, dy = rows.ravel(), dy.reshape(-1, shape[1])
        if padding_idx is not None:
            rows, dy = rows[rows != padding_idx], dy[rows != padding_idx]
        if scale_grad_by_freq:
            dy = dy / np.bincount(rows, minlength=shape[0])[rows, None].astype(dy.dtype)
        dw = np.zeros(shape, dy.dtype)
        if rows.size:
            # What goes to one row lies together when it is sorted.
            order = np.argsort(rows, kind="stable")
            rows = rows[order]
            starts = np.flatnonzero(np.diff(rows, prepend=-1))
            dw[rows[starts]] = np.add.reduceat(dy[order], starts, axis=0)
        return (dw,)

    return weight[rows], vjp, (rows,)


def embedding(
    input: Array,
    weight: Array,
    padding_idx: int | None = None,
    max_norm: float | None = None,
    norm_type: float = 2.0,
    scale_grad_by_freq: bool = False,
    sparse: bool = False,
) -> Array:
    """The rows of `weight` that the input numbers.

    Parameters
    ----------
    input : (...) of int32 or int64
        From 0 to the number of rows less 1.
    weight : (rows, dim)
    padding_idx : int, optional
        A row that gets no gradient.
    max_norm : float, optional
        Rows that are looked up and longer than this are shortened to it first, in place.
    norm_type : float
        p of the p-norm by which they are measured.
    scale_grad_by_freq : bool
        Divide each row's gradient by how often the input has it.
    sparse : bool
        Gradients are dense here: True is a NotImplementedError.

    Returns
    -------
    (..., dim)
    """
    check_array("embedding", input), check_array("embedding", weight, "weight")
    if sparse:
        raise NotImplementedError("embedding: gradients are dense here, use sparse=False")
    rows, table = array_of(input), array_of(weight)
    if rows.dtype.kind != "i" or rows.dtype.itemsize < 4:
        raise RuntimeError(
            f"Expected tensor for argument #1 'indices' to have one of the following scalar types: Long, Int; "
            f"but got {rows.dtype} instead (while checking arguments for embedding)"
        )
    if table.ndim != 2:
        raise RuntimeError(f"'weight' must be 2-D, got size {list(table.shape)}")
    if rows.size and (rows.min() < 0 or rows.max() >= table.shape[0]):
        raise IndexError(
            f"index out of range in self: expected rows from 0 to {table.shape[0] - 1} of weight of size "
            f"{list(table.shape)}, got {rows.min()} to {rows.max()}"
        )
    if padding_idx is not None:
        padding_idx = integer(padding_idx, "padding_idx", -LARGEST)
        if not -table.shape[0] <= padding_idx < table.shape[0]:
            raise AssertionError(f"Padding_idx must be within num_embeddings, got {padding_idx} of {table.shape[0]}")
        padding_idx %= table.shape[0]
    if max_norm is not None:
        number(max_norm, "max_norm"), number(norm_type, "norm_type")
        used = np.unique(rows)
        sizes = np.linalg.norm(table[used].astype(np.float64), norm_type, axis=1)
        long = sizes > max_norm
        table[used[long]] *= (max_norm / (sizes[long] + 1e-7))[:, None].astype(table.dtype)
    return apply(
        _embedding,
        weight,
        rows=rows,
        padding_idx=padding_idx,
        scale_grad_by_freq=scale_grad_by_freq,
    )
