"""``torch.nn.utils`` under its names of before torch 0.4."""

from __future__ import annotations

import warnings
from collections.abc import Iterable

from ..._tensor import Tensor
from ...nn.utils import clip_grad_norm_

__all__ = ["clip_grad_norm"]


def clip_grad_norm(
    parameters: Tensor | Iterable[Tensor],
    max_norm: float,
    norm_type: float = 2.0,
    error_if_nonfinite: bool = False,
    foreach: bool | None = None,
) -> Tensor:
    """See :func:`fastconv.nn.utils.clip_grad_norm_`."""
    warnings.warn(
        "torch.nn.utils.clip_grad_norm is now deprecated in favor of torch.nn.utils.clip_grad_norm_.",
        FutureWarning,
        stacklevel=2,
    )
    return clip_grad_norm_(parameters, max_norm, norm_type, error_if_nonfinite)
