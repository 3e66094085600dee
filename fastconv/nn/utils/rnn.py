"""Sequences of different lengths in one batch, for recurrent layers, by torch.nn.utils.rnn's names."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np

from ..._tensor import Tensor
from ...checks import integer
from ...creation import from_numpy, full
from ...functions import argsort, cat, stack

__all__ = [
    "PackedSequence",
    "pack_padded_sequence",
    "pack_sequence",
    "pad_packed_sequence",
    "pad_sequence",
    "unpad_sequence",
]


class PackedSequence(NamedTuple):
    """The elements of N sequences, time by time, without padding; the layers of :mod:`fastconv.nn` take it.

    Attributes
    ----------
    data : (elements, features ...)
        The first elements of all sequences, the longest sequence first, then the second ones, and so on.
    batch_sizes : (L,) of int64
        How many sequences there are still at each time.
    sorted_indices, unsorted_indices : (N,) of int64 or None
        The sequences in the order of `data`, and back.
    """

    data: Tensor
    batch_sizes: Tensor
    sorted_indices: Tensor | None = None
    unsorted_indices: Tensor | None = None


def _lengths(lengths: Tensor | Sequence[int], count: int, longest: int) -> np.ndarray:
    given = np.asarray(lengths.numpy() if isinstance(lengths, Tensor) else lengths)
    if given.dtype.kind not in "iu" or given.ndim != 1:
        raise RuntimeError(f"'lengths' should be a 1D tensor of integers, got {lengths}")
    if len(given) != count:
        raise RuntimeError(
            f"Expected `len(lengths)` to be equal to batch_size, but got {len(given)} (batch_size={count})"
        )
    if not count:
        raise RuntimeError("Cannot pack empty tensors.")
    if given.min() <= 0:
        raise RuntimeError(
            "Length of all samples has to be greater than 0, but found an element in 'lengths' that is <= 0"
        )
    if given.max() > longest:
        raise RuntimeError(f"Expected lengths of at most {longest}, the input's, got {given.max()}")
    return given.astype(np.int64)


def pack_padded_sequence(
    input: Tensor, lengths: Tensor | Sequence[int], batch_first: bool = False, enforce_sorted: bool = True
) -> PackedSequence:
    """Sequences of these lengths, padded to one, packed.

    Parameters
    ----------
    input : (L, N, features ...), or (N, L, features ...) with `batch_first`
    lengths : (N,) of integers
    batch_first : bool
    enforce_sorted : bool
        Refuse sequences that do not come in the order of their lengths, the longest first; else they are sorted.
    """
    x = input.transpose(0, 1) if batch_first else input
    given = _lengths(lengths, x.shape[1], x.shape[0])
    order = back = None
    if not enforce_sorted:
        order = argsort(from_numpy(given), descending=True)
        back = argsort(order)
        given, x = given[order.numpy()], x.index_select(1, order)
    elif (np.diff(given) > 0).any():
        raise RuntimeError(
            "`lengths` array must be sorted in decreasing order when `enforce_sorted` is True. You can pass "
            "`enforce_sorted=False` to pack_padded_sequence and/or pack_sequence to sidestep this requirement if you do"
            " not need ONNX exportability."
        )
    sizes = [int((given > t).sum()) for t in range(given[0])]
    data = cat([x[t, :size] for t, size in enumerate(sizes)])
    return PackedSequence(data, from_numpy(np.array(sizes, np.int64)), order, back)


def pad_packed_sequence(
    sequence: PackedSequence, batch_first: bool = False, padding_value: float = 0.0, total_length: int | None = None
) -> tuple[Tensor, Tensor]:
    """The reverse of :func:`pack_padded_sequence`: the sequences, padded, and their lengths.

    Parameters
    ----------
    sequence : PackedSequence
    batch_first : bool
        Return (N, L, features ...) instead of (L, N, features ...).
    padding_value : float
    total_length : int, optional
        L, at least the longest length, which it is by default.
    """
    data, sizes = sequence.data, sequence.batch_sizes.tolist()
    if total_length is not None and integer(total_length, "total_length") < len(sizes):
        raise ValueError(
            "Expected total_length to be at least the length of the longest sequence in input, but got "
            f"total_length={total_length} and max sequence length being {len(sizes)}"
        )
    rows = []
    for part in data.split(sizes):
        missing = sizes[0] - len(part)
        padding = full((missing, *data.shape[1:]), padding_value, dtype=data.dtype)
        rows.append(cat([part, padding]) if missing else part)
    for _ in range((total_length or 0) - len(rows)):
        rows.append(full((sizes[0], *data.shape[1:]), padding_value, dtype=data.dtype))
    x = stack(rows)
    lengths = from_numpy(np.array([sum(size > i for size in sizes) for i in range(sizes[0])], np.int64))
    if sequence.unsorted_indices is not None:
        x, lengths = x.index_select(1, sequence.unsorted_indices), lengths[sequence.unsorted_indices]
    return (x.transpose(0, 1) if batch_first else x), lengths


def pad_sequence(
    sequences: Tensor | Sequence[Tensor],
    batch_first: bool = False,
    padding_value: float = 0.0,
    padding_side: str = "right",
) -> Tensor:
    """Sequences (length, features ...) of any lengths as one tensor, (L, N, features ...).

    Parameters
    ----------
    sequences : sequence of Tensor
    batch_first : bool
        Return (N, L, features ...).
    padding_value : float
    padding_side : {"right", "left"}
    """
    if padding_side not in ("right", "left"):
        raise RuntimeError(f"Expected padding_side to be one of left or right, but got {padding_side}.")
    longest = max(len(x) for x in sequences)
    rows = []
    for x in sequences:
        padding = full((longest - len(x), *x.shape[1:]), padding_value, dtype=x.dtype)
        rows.append(cat([x, padding] if padding_side == "right" else [padding, x]))
    return stack(rows, 0 if batch_first else 1)


def unpad_sequence(padded_sequences: Tensor, lengths: Tensor, batch_first: bool = False) -> list[Tensor]:
    """The sequences of these lengths of which :func:`pad_sequence` made a tensor."""
    x = padded_sequences if batch_first else padded_sequences.transpose(0, 1)
    return [one[:length] for one, length in zip(x, lengths.tolist(), strict=True)]


def pack_sequence(sequences: Sequence[Tensor], enforce_sorted: bool = True) -> PackedSequence:
    """Sequences (length, features ...) packed; see :func:`pack_padded_sequence`."""
    return pack_padded_sequence(pad_sequence(sequences), [len(x) for x in sequences], enforce_sorted=enforce_sorted)
