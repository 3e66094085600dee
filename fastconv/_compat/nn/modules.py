"""Names below ``torch.nn.modules`` that are not public, and that programs use nevertheless."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from ...nn.convolution import _Conv as _ConvNd
from ...nn.convolution import _ConvTranspose as _ConvTransposeNd
from ...nn.losses import _Loss, _WeightedLoss
from ...nn.normalisation import _BatchNorm, _InstanceNorm
from ...nn.normalisation import _Tracking as _NormBase
from ...nn.pooling import _AdaptiveAvgPool as _AdaptiveAvgPoolNd
from ...nn.pooling import _AdaptiveMaxPool as _AdaptiveMaxPoolNd
from ...nn.pooling import _MaxPool as _MaxPoolNd

# What layers of a kind have in common, for isinstance() and for classes of one's own.
__all__ = [
    "_AdaptiveAvgPoolNd",
    "_AdaptiveMaxPoolNd",
    "_BatchNorm",
    "_ConvNd",
    "_ConvTransposeNd",
    "_InstanceNorm",
    "_Loss",
    "_MaxPoolNd",
    "_NormBase",
    "_WeightedLoss",
    "_pair",
    "_quadruple",
    "_single",
    "_triple",
]


def _ntuple(n: int) -> Callable[[Any], tuple]:
    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else tuple(itertools.repeat(x, n))

    return parse


_single, _pair, _triple, _quadruple = map(_ntuple, (1, 2, 3, 4))
