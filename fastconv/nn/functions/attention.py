"""Attention: queries ask keys for values."""

from __future__ import annotations

import math

import numpy as np

from ..._tensor import Tensor
from ...creation import from_numpy
from ...functions import softmax, where
from .. import functional as F
from .arguments import Array, check_dtypes, of_tensors, values_of

__all__ = ["scaled_dot_product_attention"]


@of_tensors
def scaled_dot_product_attention(
    query: Array,
    key: Array,
    value: Array,
    attn_mask: Array | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    scale: float | None = None,
    enable_gqa: bool = False,
) -> Array:
    """``softmax(query @ key^T * scale + mask) @ value`` (Vaswani et al., 2017).

    Parameters
    ----------
    query : (..., L, E)
    key : (..., S, E)
    value : (..., S, D)
    attn_mask : bool or floats, broadcast to (..., L, S), optional
        Which keys take part, or what is added to the products.
    dropout_p : float
        Share of the attention that is dropped.
    is_causal : bool
        Let no query see keys after its own place.
    scale : float, optional
        By default ``1 / sqrt(E)``.
    enable_gqa : bool
        Let each head (dimension -3) of keys and values serve as many heads of queries as there are more of them.

    Returns
    -------
    (..., L, D)
    """
    check_dtypes("scaled_dot_product_attention", input=query, key=key, value=value)
    if min(query.ndim, key.ndim, value.ndim) < 2:
        raise RuntimeError(
            "scaled_dot_product_attention: Expected query, key, and value to all be at least 2 dimensional, but got "
            f"sizes {list(query.shape)}, {list(key.shape)} and {list(value.shape)}"
        )
    if is_causal and attn_mask is not None:
        raise RuntimeError("scaled_dot_product_attention: Explicit attn_mask should not be set when is_causal=True")
    if enable_gqa:
        key, value = (_repeat_heads(t, query.shape[-3]) for t in (key, value))
    scores = (query * (1 / math.sqrt(query.shape[-1]) if scale is None else scale)) @ key.transpose(-2, -1)
    if is_causal:
        attn_mask = from_numpy(np.tri(*scores.shape[-2:], dtype=np.bool_))
    if attn_mask is not None:
        masked = attn_mask.dtype == np.bool_
        scores = where(attn_mask, scores, -math.inf) if masked else scores + attn_mask
    attention = _softmax_or_zeros(scores)
    if dropout_p:
        attention = F.dropout(attention, dropout_p)
    return attention @ value


def _softmax_or_zeros(scores: Tensor) -> Tensor:
    """The softmax of every row; zeros where a mask has left nothing."""
    nothing = np.isneginf(values_of(scores)).all(axis=-1, keepdims=True)
    if not nothing.any():
        return softmax(scores, -1)
    nothing = from_numpy(nothing)
    return where(nothing, 0.0, softmax(where(nothing, 0.0, scores), -1))


def _repeat_heads(x: Tensor, heads: int) -> Tensor:
    *lead, n, length, width = x.shape
    if heads % n:
        raise RuntimeError(
            f"scaled_dot_product_attention: Number of heads in key and value must divide the number of heads in query, "
            f"got {n} and {heads}"
        )
    x = x.unsqueeze(-3).expand(*lead, n, heads // n, length, width)
    return x.reshape(*lead, heads, length, width)
