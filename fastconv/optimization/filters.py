"""Filters as the steps of a plan read them, and the choice between direct sums and minimal filtering."""

from __future__ import annotations

import numpy as np

from .._native import block_layers, plan
from .._native.memory import empty

__all__ = ["choose_tiles", "pack", "pack_each", "pack_narrow"]


def choose_tiles(
    taps: int, n: int, channels: int, filters: int, out: tuple[int, ...], lanes: int, itemsize: int
) -> bool | None:
    """None if direct sums of taps x taps are faster, by an estimate; else whether tiles of 5x5 points are."""
    if not 2 <= taps <= 5 or not plan.get_winograd():
        return None
    c, k = -(-channels // lanes) * lanes, -(-filters // lanes) * lanes
    best, tiles_of = max(n * out[0] * out[1] * taps**2 * c * k / lanes * _STEP, _bytes(taps**2 * c * k, itemsize)), None
    for small in (False, True):
        side = 5 if small else 6
        m = side + 1 - taps
        if small and taps > 3:
            continue
        tiles = n * -(-out[0] // m) * -(-out[1] // m)
        rows = -(-tiles // 6) * 6
        cycles = max(side**2 * rows * c * k / lanes * _STEP, _bytes(side**2 * c * k, itemsize))
        cycles += side**2 * tiles * (c * _INTO_TILE + k * _OUT_OF_TILE) / lanes
        if cycles < best:
            best, tiles_of = cycles, small
    return tiles_of


# Cycles of a vector's product, and of a vector of a point that is transformed.
_STEP, _INTO_TILE, _OUT_OF_TILE = 0.6, 5.0, 5.0


def _bytes(elements: int, itemsize: int) -> float:
    """Cycles in which so many elements come out of memory."""
    return elements * itemsize / 3


def _panels(w: np.ndarray) -> np.ndarray:
    """Filters [vector][...][filter of it] as [panel][...][vector of it][filter], in one row."""
    whole = len(w) // block_layers.PANEL * block_layers.PANEL
    packed = empty((w.size,), w.dtype)
    size = w[:whole].size
    if whole:
        panels = w[:whole].reshape(-1, block_layers.PANEL, *w.shape[1:])
        packed[:size].reshape(len(panels), *w.shape[1:-1], block_layers.PANEL, w.shape[-1])[...] = np.moveaxis(
            panels, 1, -2
        )
    packed[size:].reshape(len(w) - whole, *w.shape[1:])[...] = w[whole:]
    return packed


def _padded(w: np.ndarray, filters: int, channels: int) -> np.ndarray:
    if w.shape[:2] == (filters, channels):
        return w
    padded = np.zeros((filters, channels, *w.shape[2:]), w.dtype)
    padded[: w.shape[0], : w.shape[1]] = w
    return padded


def pack(w: np.ndarray, lanes: int) -> np.ndarray:
    """Filters (K, C, R, S) for images in blocks: [part of a sum][panel][block][row][column][channel][filter]."""
    vecs, n_blocks = (-(-size // lanes) for size in w.shape[:2])
    w = _padded(w, vecs * lanes, n_blocks * lanes).reshape(vecs, lanes, n_blocks, lanes, *w.shape[2:])
    w = w.transpose(0, 2, 4, 5, 3, 1)
    part = block_layers.blocks_in_sum(n_blocks, w[0, 0, ..., 0].size)
    packed = empty((w.size,), w.dtype)
    return np.concatenate([_panels(w[:, i : i + part]) for i in range(0, n_blocks, part)], out=packed)


def pack_narrow(w: np.ndarray, lanes: int) -> np.ndarray:
    """Filters (K, C, R, S) for images of few channels: [panel][row][column][channel][filter]."""
    vecs = -(-len(w) // lanes)
    w = _padded(w, vecs * lanes, w.shape[1]).reshape(vecs, lanes, *w.shape[1:])
    return _panels(w.transpose(0, 3, 4, 2, 1))


def pack_each(w: np.ndarray, lanes: int) -> np.ndarray:
    """Filters (C, 1, R, S), each of a channel: [block][row][column][channel]."""
    vecs = -(-len(w) // lanes)
    w = _padded(w, vecs * lanes, 1).reshape(vecs, lanes, *w.shape[2:])
    return np.ascontiguousarray(w.transpose(0, 2, 3, 1)).ravel()
