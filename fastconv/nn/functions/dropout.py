"""Dropout of whole channels, and the one that keeps mean and variance."""

from __future__ import annotations

import warnings

import numpy as np

from ..._native.memory import empty
from ..._native.tape import apply
from ...checks import number
from ...dtypes import bfloat16
from ...elementwise import scaled_planes
from ...random import dropout_noise, fill_bernoulli
from .arguments import Array, array_of, check_array, check_dtypes, replace, values_of

__all__ = ["alpha_dropout", "dropout1d", "dropout2d", "dropout3d", "feature_alpha_dropout"]


def _times(x: np.ndarray, scale: np.ndarray) -> np.ndarray:
    y = scaled_planes(x, scale)
    return np.multiply(x, scale, out=empty(x.shape, x.dtype)) if y is None else y


def _masked(needs, x, scale, offset):
    y = _times(x, scale)
    if offset is not None:
        y += offset
    return y, lambda dy, scale: (_times(dy, scale),), (scale,)


def _channel_dropout(name: str, input: Array, p: float, training: bool, inplace: bool, spatial: int) -> Array:
    number(p, "dropout probability", 0, 1)
    check_array(name, input)
    if input.ndim not in (spatial + 1, spatial + 2):
        expected = f"{name}: Expected {spatial + 1}D or {spatial + 2}D input, but received a {input.ndim}D input"
        if spatial == 1:
            raise RuntimeError(expected)
        warnings.warn(f"{expected}, which is deprecated: dropout() is for those.", stacklevel=3)
    # Three dimensions are (N, C, L) to dropout2d, as they always were; otherwise one less is an image without a batch.
    lead = 1 if input.ndim == spatial + 1 and spatial != 2 else 2
    if not training or p == 0 or 0 in input.shape:  # nothing is drawn
        return input
    x, shape = array_of(input), (*input.shape[:lead], *(1,) * (input.ndim - lead))
    scale = values_of(dropout_noise(x, p, shape) if p < 1 else np.zeros(shape, x.dtype))
    y = apply(_masked, input, scale=scale, offset=None)
    return replace(input, y) if inplace else y


def dropout1d(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """:func:`dropout` of whole channels of (N, C, L) or (C, L)."""
    return _channel_dropout("dropout1d", input, p, training, inplace, 1)


def dropout2d(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """:func:`dropout` of whole channels of (N, C, H, W) (Tompson et al., 2015); three dimensions are (N, C, L)."""
    return _channel_dropout("dropout2d", input, p, training, inplace, 2)


def dropout3d(input: Array, p: float = 0.5, training: bool = True, inplace: bool = False) -> Array:
    """:func:`dropout` of whole channels of (N, C, D, H, W) or (C, D, H, W)."""
    return _channel_dropout("dropout3d", input, p, training, inplace, 3)


def _alpha_dropout(name: str, input: Array, p: float, training: bool, inplace: bool, lead: int | None) -> Array:
    number(p, "dropout probability", 0, 1)
    check_dtypes(name, input=input)
    if not training or p == 0 or 0 in input.shape:  # nothing is drawn
        return input
    lost = -1.7580993408473766  # what SELU tends to: minus scale * alpha
    shape = input.shape if lead is None else (*input.shape[:lead], *(1,) * (input.ndim - lead))
    real = np.float32 if input.dtype is bfloat16 else input.dtype.type
    drawn = np.empty(shape, real)
    fill_bernoulli(drawn, 1 - p, None)
    # Mean 0 and variance 1 stay, where a p-th of the elements is set to that.
    a = 1 / np.sqrt((1 - p) * (1 + p * lost * lost)) if p < 1 else 0.0
    scale, offset = drawn * real(a), (drawn - real(1)) * real(-a * lost) + real(-a * lost * p)
    y = apply(_masked, input, scale=scale, offset=offset)
    return replace(input, y) if inplace else y


def alpha_dropout(input: Array, p: float = 0.5, training: bool = False, inplace: bool = False) -> Array:
    """Set elements to SELU's least value at random, and scale all so that mean and variance stay.

    Klambauer et al. (2017).
    """
    return _alpha_dropout("alpha_dropout", input, p, training, inplace, None)


def feature_alpha_dropout(input: Array, p: float = 0.5, training: bool = False, inplace: bool = False) -> Array:
    """:func:`alpha_dropout` of whole channels of (N, C, ...)."""
    return _alpha_dropout("feature_alpha_dropout", input, p, training, inplace, 2)
