"""Padding as layers, on :func:`functional.pad`."""

from __future__ import annotations

from collections.abc import Sequence

from .._tensor import Tensor
from ..checks import LARGEST, integers
from . import functional as F
from .module import Module

__all__ = [
    "CircularPad1d",
    "CircularPad2d",
    "ConstantPad1d",
    "ConstantPad2d",
    "ConstantPad3d",
    "ReflectionPad1d",
    "ReflectionPad2d",
    "ReplicationPad1d",
    "ReplicationPad2d",
    "ZeroPad1d",
    "ZeroPad2d",
    "ZeroPad3d",
]


class _Pad(Module):
    """Enlarge the last dimensions.

    Parameters
    ----------
    padding : int or sequence of int
        One number for all sides, or (left, right), (left, right, top, bottom) or (..., front, back); negative ones
        crop, where the mode allows it.
    """

    dims: int
    mode = "constant"
    value: float | None = None

    def __init__(self, padding: int | Sequence[int]) -> None:
        super().__init__()
        self.padding: tuple[int, ...] = integers(padding, "padding", -LARGEST, 2 * self.dims)

    def forward(self, input: Tensor) -> Tensor:
        """(..., H, W) to (..., top + H + bottom, left + W + right), likewise for one and three dimensions."""
        return F.pad(input, self.padding, self.mode, self.value)

    def extra_repr(self) -> str:
        return str(self.padding)


class _ConstantPad(_Pad):
    __doc__ = f"{_Pad.__doc__}    value : float\n        What to fill with.\n    "

    def __init__(self, padding: int | Sequence[int], value: float) -> None:
        super().__init__(padding)
        self.value: float = value

    def extra_repr(self) -> str:
        return f"padding={self.padding}, value={self.value}"


class ConstantPad1d(_ConstantPad):
    dims = 1


class ConstantPad2d(_ConstantPad):
    dims = 2


class ConstantPad3d(_ConstantPad):
    dims = 3


class ZeroPad1d(_Pad):
    dims = 1


class ZeroPad2d(_Pad):
    dims = 2


class ZeroPad3d(_Pad):
    dims = 3


class ReflectionPad1d(_Pad):
    dims = 1
    mode = "reflect"


class ReflectionPad2d(_Pad):
    dims = 2
    mode = "reflect"


class ReplicationPad1d(_Pad):
    dims = 1
    mode = "replicate"


class ReplicationPad2d(_Pad):
    dims = 2
    mode = "replicate"


class CircularPad1d(_Pad):
    dims = 1
    mode = "circular"


class CircularPad2d(_Pad):
    dims = 2
    mode = "circular"
