"""Names of torch's main module that programs use and that have little to say here."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import _printing, linalg
from .._tensor import Tensor
from ..creation import as_tensor as asarray
from ..creation import tensor as scalar_tensor
from ..dtypes import as_dtype, check_device, device, dtype, float32, uint16, uint32, uint64
from ..dtypes import int16 as short
from ..nn import functional
from ..nn.functional import (
    adaptive_avg_pool1d,
    adaptive_max_pool1d,
    avg_pool1d,
    celu,
    channel_shuffle,
    conv1d,
    conv2d,
    conv3d,
    conv_transpose1d,
    conv_transpose2d,
    conv_transpose3d,
    cosine_similarity,
    group_norm,
    hardshrink,
    layer_norm,
    max_pool1d,
    max_pool2d,
    max_pool3d,
    pairwise_distance,
    pixel_shuffle,
    pixel_unshuffle,
    poisson_nll_loss,
    prelu,
    rms_norm,
    selu,
    threshold,
)
from ._typed import (
    BFloat16Tensor,
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
    "hardshrink",
    "iinfo",
    "poisson_nll_loss",
    "rms_norm",
    "strided",
    "BFloat16Tensor",
    "BoolTensor",
    "ByteTensor",
    "CharTensor",
    "DoubleTensor",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "ShortTensor",
    "adaptive_avg_pool1d",
    "adaptive_max_pool1d",
    "are_deterministic_algorithms_enabled",
    "asarray",
    "avg_pool1d",
    "celu",
    "channel_shuffle",
    "conv1d",
    "conv2d",
    "conv3d",
    "conv_transpose1d",
    "conv_transpose2d",
    "conv_transpose3d",
    "cosine_similarity",
    "dropout",
    "embedding",
    "get_default_device",
    "get_default_dtype",
    "group_norm",
    "layer_norm",
    "layout",
    "max_pool1d",
    "max_pool2d",
    "max_pool3d",
    "newaxis",
    "pairwise_distance",
    "pinverse",
    "pixel_shuffle",
    "pixel_unshuffle",
    "prelu",
    "scalar_tensor",
    "selu",
    "set_printoptions",
    "short",
    "svd",
    "autocast",
    "compile",
    "get_autocast_dtype",
    "get_float32_matmul_precision",
    "is_autocast_enabled",
    "set_default_device",
    "set_default_dtype",
    "set_default_tensor_type",
    "set_float32_matmul_precision",
    "threshold",
    "uint16",
    "uint32",
    "uint64",
    "use_deterministic_algorithms",
]


# Functions that change their first argument: torch.relu_(x) is x.relu_().
IN_PLACE = [
    "abs_",
    "acos_",
    "acosh_",
    "asin_",
    "asinh_",
    "atan_",
    "atanh_",
    "ceil_",
    "clamp_",
    "clamp_max_",
    "clamp_min_",
    "clip_",
    "cos_",
    "cosh_",
    "deg2rad_",
    "detach_",
    "erf_",
    "erfc_",
    "exp2_",
    "exp_",
    "expm1_",
    "fill_",
    "floor_",
    "frac_",
    "log10_",
    "log1p_",
    "log2_",
    "log_",
    "logit_",
    "nan_to_num_",
    "neg_",
    "negative_",
    "rad2deg_",
    "reciprocal_",
    "relu_",
    "resize_as_",
    "round_",
    "rsqrt_",
    "sigmoid_",
    "sin_",
    "sinh_",
    "sqrt_",
    "square_",
    "tan_",
    "tanh_",
    "trunc_",
    "xlogy_",
    "zero_",
]
__all__ += IN_PLACE


def _in_place(name: str) -> Callable[..., Tensor]:
    def function(input: Tensor, *args: Any, **kwargs: Any) -> Tensor:
        return getattr(input, name)(*args, **kwargs)

    function.__name__ = function.__qualname__ = name
    function.__doc__ = f"``input.{name}(...)``."
    return function


globals().update({name: _in_place(name) for name in IN_PLACE})

layout = str  # of :data:`strided`
newaxis = None
# Dtypes that no tensor has; programs compare with them.
complex64, complex128 = (dtype(name, np.dtype(name), "c") for name in ("complex64", "complex128"))
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


def get_default_dtype() -> Any:
    """float32."""
    return float32


def get_default_device() -> device:
    """The CPU."""
    return device("cpu")


def dropout(input: Tensor, p: float, train: bool) -> Tensor:
    """See :func:`fastconv.nn.functional.dropout`."""
    return functional.dropout(input, p, train)


def embedding(
    weight: Tensor, indices: Tensor, padding_idx: int = -1, scale_grad_by_freq: bool = False, sparse: bool = False
) -> Tensor:
    """See :func:`fastconv.nn.functional.embedding`, which takes them in another order."""
    padding = None if padding_idx == -1 else padding_idx
    return functional.embedding(indices, weight, padding, scale_grad_by_freq=scale_grad_by_freq, sparse=sparse)


def svd(input: Tensor, some: bool = True, compute_uv: bool = True) -> tuple[Tensor, Tensor, Tensor]:
    """U, S and V with ``input = U @ diag(S) @ V.T``; see :func:`fastconv.linalg.svd`, whose last is V.T."""
    u, s, vh = linalg.svd(input, not some)
    return (u, s, vh.mT) if compute_uv else (u * 0, s, vh.mT * 0)


def pinverse(input: Tensor, rcond: float = 1e-15) -> Tensor:
    """See :func:`fastconv.linalg.pinv`."""
    return linalg.pinv(input, rcond)


def set_printoptions(
    precision: int | None = None,
    threshold: int | None = None,
    edgeitems: int | None = None,
    linewidth: int | None = None,
    profile: str | None = None,
    sci_mode: bool | None = None,
) -> None:
    """How tensors are printed: digits, from how many elements on they are abbreviated, and the width of a line."""
    _printing.set_options(profile, precision, threshold, edgeitems, linewidth, sci_mode)


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
