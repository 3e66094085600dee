"""Names of torch's main module that programs use and that have little to say here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from ..dtypes import as_dtype, check_device, float32
from ._typed import (
    BoolTensor,
    ByteTensor,
    CharTensor,
    DoubleTensor,
    FloatTensor,
    HalfTensor,
    IntTensor,
    LongTensor,
    ShortTensor,
)
from .amp import autocast

__all__ = [
    "complex64",
    "complex128",
    "dtype",
    "finfo",
    "iinfo",
    "strided",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "are_deterministic_algorithms_enabled",
    "autocast",
    "compile",
    "get_autocast_dtype",
    "get_float32_matmul_precision",
    "is_autocast_enabled",
    "set_default_device",
    "set_default_dtype",
    "set_default_tensor_type",
    "set_float32_matmul_precision",
    "use_deterministic_algorithms",
]


dtype = np.dtype
# Dtypes that no tensor has; programs compare with them.
complex64, complex128 = np.dtype("complex64"), np.dtype("complex128")
strided = "torch.strided"  # the one layout that there is


class finfo:
    """``finfo(float32)``: what numbers of a floating dtype there are.

    Attributes
    ----------
    bits : int
    eps, max, min, tiny, smallest_normal, resolution : float
    dtype : str
    """

    _kind, _numpy = "f", np.finfo
    _attributes = ("eps", "max", "min", "tiny", "smallest_normal", "resolution")

    def __init__(self, type: Any = None) -> None:
        dtype = as_dtype(type)
        if dtype.kind not in self._kind:
            raise TypeError(f"{self.__class__.__name__}() has no answer for {dtype}")
        limits = self._numpy(dtype)
        self.bits = limits.bits
        self.dtype = dtype.name
        for name in self._attributes:
            setattr(self, name, getattr(limits, name).item() if self._kind == "f" else getattr(limits, name))

    def __repr__(self) -> str:
        values = ", ".join(f"{name}={getattr(self, name)}" for name in self._attributes)
        return f"{self.__class__.__name__}({values}, dtype={self.dtype})"


class iinfo(finfo):
    """``iinfo(int64)``: what numbers of an integer dtype there are: `bits`, `max` and `min`."""

    _kind, _numpy = "iu", np.iinfo
    _attributes = ("max", "min")


def compile(model: Callable | None = None, **options: Any) -> Callable:
    """`model` itself: its layers are compiled already. Without it, a decorator that returns what it decorates."""
    return model if model is not None else functools.partial(compile, **options)


def use_deterministic_algorithms(mode: bool, *, warn_only: bool = False) -> None:
    """Accept `mode` True, which always holds: results depend neither on chance nor on the number of threads."""


def are_deterministic_algorithms_enabled() -> bool:
    """True: results depend neither on chance nor on the number of threads."""
    return True


def set_default_device(device: Any) -> None:
    """Accept the CPU.

    Raises
    ------
    AssertionError, RuntimeError
        For any other device, as when a tensor is made on it.
    """
    check_device(device)


def set_default_dtype(d: Any) -> None:
    """Accept float32.

    Raises
    ------
    NotImplementedError
        For any other dtype: name it where tensors and layers are made.
    """
    if d != float32:
        raise NotImplementedError(
            f"the default dtype is float32 and stays so, got {d}; pass dtype={d} where tensors and layers are made, "
            "or convert a model by model.to(dtype)"
        )


def set_default_tensor_type(t: Any) -> None:
    """Accept ``FloatTensor``, by name or as a class; see :func:`set_default_dtype`."""
    if t not in (FloatTensor, "torch.FloatTensor"):
        raise NotImplementedError(f"the default tensor type is torch.FloatTensor and stays so, got {t}")


_precision = "highest"


def get_float32_matmul_precision() -> str:
    """What :func:`set_float32_matmul_precision` was given last, at first "highest"."""
    return _precision


def set_float32_matmul_precision(precision: str) -> None:
    """Accept "highest", "high" or "medium"; products are always computed in full float32, the highest.

    Raises
    ------
    RuntimeError
        For any other word.
    """
    global _precision
    if precision not in ("highest", "high", "medium"):
        raise RuntimeError(f'precision must be "highest", "high" or "medium", got {precision!r}')
    _precision = precision


def is_autocast_enabled(device_type: str | None = None) -> bool:
    """False: see :class:`autocast`."""
    return False


def get_autocast_dtype(device_type: str) -> Any:
    """float32, in which everything is computed within :class:`autocast` too."""
    return float32
