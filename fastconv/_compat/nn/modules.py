"""Names below ``torch.nn.modules`` that are not public, and that programs use nevertheless."""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterable
from typing import Any

from ...nn import BatchNorm2d as _BatchNorm

__all__ = ["_BatchNorm", "_pair", "_quadruple", "_single", "_triple"]


def _ntuple(n: int) -> Callable[[Any], tuple]:
    def parse(x: Any) -> tuple:
        return tuple(x) if isinstance(x, Iterable) else tuple(itertools.repeat(x, n))

    return parse


_single, _pair, _triple, _quadruple = map(_ntuple, (1, 2, 3, 4))
