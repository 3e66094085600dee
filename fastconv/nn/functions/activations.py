"""Activations beyond ReLU, sigmoid and tanh: element by element, and along a dimension.

Most are one compiled pass over memory (``layer_passes.activate``), whose gradient is computed from the input.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import elementwise, layer_passes, primitives
from ..._native.tape import apply, differentiable_twice
from ..._tensor import Tensor
from ...checks import number
from ...functions import clamp, erf, exp, sigmoid, where
from .. import functional as F
from .arguments import Array, check_array, check_dtypes, replace

__all__ = [
    "celu",
    "elu",
    "gelu",
    "glu",
    "hardshrink",
    "hardsigmoid",
    "hardswish",
    "hardtanh",
    "logsigmoid",
    "mish",
    "prelu",
    "relu6",
    "selu",
    "silu",
    "softmin",
    "softplus",
    "softshrink",
    "softsign",
    "tanhshrink",
    "threshold",
]


@differentiable_twice
def _activation(needs, x, kind, parameters):
    def vjp(dy, x):
        if isinstance(dy, Tensor):
            return (dy * _SLOPES[kind](x, *parameters),)
        return (layer_passes.activate_backward(kind, dy, x, *parameters),)

    return layer_passes.activate(kind, x, *parameters), vjp, (x,)


# The activations' derivatives as recorded operations, for gradients of gradients.


def _step(x: Tensor, low: float, high: float, slope: float) -> Tensor:
    """The slope between two limits and 0 beyond."""
    return ((x > low) & (x < high)).to(x.dtype) * slope


def _hardswish_slope(x: Tensor) -> Tensor:
    return _step(x, -3, 3, 1) * ((x * 2 + 3) / 6) + (x >= 3).to(x.dtype)


def _silu_slope(x: Tensor) -> Tensor:
    s = sigmoid(x)
    return s * (x * (1 - s) + 1)


def _mish_slope(x: Tensor) -> Tensor:
    # tanh(log(1 + e)) as a ratio, in which e may be limited: from 20 on it is 1.
    e = exp(clamp(x, max=20.0))
    t = e * (e + 2) / (e * (e + 2) + 2)
    return t + x * (1 - t * t) * sigmoid(x)


def _elu_slope(x: Tensor, outer: float, scale: float, inner: float) -> Tensor:
    return where(x > 0, scale, exp(clamp(x, max=0.0) * inner) * (outer * inner))


def _gelu_slope(x: Tensor) -> Tensor:
    return (erf(x * math.sqrt(0.5)) + 1) * 0.5 + x * exp(x * x * -0.5) * (1 / math.sqrt(2 * math.pi))


def _gelu_tanh_slope(x: Tensor) -> Tensor:
    scale = 2 * math.sqrt(2 / math.pi)
    s = sigmoid((x + x * x * x * 0.044715) * scale)
    return s + x * s * (1 - s) * ((x * x * (3 * 0.044715) + 1) * scale)


_SLOPES: dict[str, Callable[..., Tensor]] = {
    "hardtanh": lambda x, low, high: _step(x, low, high, 1),
    "hardsigmoid": lambda x: _step(x, -3, 3, 1 / 6),
    "hardswish": _hardswish_slope,
    "silu": _silu_slope,
    "mish": _mish_slope,
    "elu": _elu_slope,
    "gelu": _gelu_slope,
    "gelu_tanh": _gelu_tanh_slope,
    "softplus": lambda x, beta, threshold, scale: where(x * beta > threshold, 1.0, sigmoid(x * beta)),
}


def _activate(name: str, input: Array, inplace: bool, *parameters: float) -> Array:
    check_dtypes(name, input=input)
    y = apply(_activation, input, kind=name, parameters=parameters)
    return replace(input, y) if inplace else y


def hardtanh(input: Array, min_val: float = -1.0, max_val: float = 1.0, inplace: bool = False) -> Array:
    """``min(max(input, min_val), max_val)``, element-wise; the gradient at the limits is 0."""
    if min_val > max_val:
        raise ValueError(f"min_val cannot be greater than max_val, got {min_val} and {max_val}")
    return _activate("hardtanh", input, inplace, min_val, max_val)


def relu6(input: Array, inplace: bool = False) -> Array:
    """``min(max(input, 0), 6)``, element-wise."""
    return _activate("hardtanh", input, inplace, 0.0, 6.0)


def hardsigmoid(input: Array, inplace: bool = False) -> Array:
    """``min(max(input + 3, 0), 6) / 6``, element-wise (Howard et al., 2019)."""
    return _activate("hardsigmoid", input, inplace)


def hardswish(input: Array, inplace: bool = False) -> Array:
    """``input * hardsigmoid(input)``, element-wise (Howard et al., 2019)."""
    return _activate("hardswish", input, inplace)


def elu(input: Array, alpha: float = 1.0, inplace: bool = False) -> Array:
    """``input`` where it is positive, else ``alpha * (exp(input) - 1)`` (Clevert et al., 2016)."""
    return _activate("elu", input, inplace, alpha, 1.0, 1.0)


def selu(input: Array, inplace: bool = False) -> Array:
    """``scale * elu(input, alpha)`` with the constants of Klambauer et al. (2017)."""
    alpha, scale = 1.6732632423543772848170429916717, 1.0507009873554804934193349852946
    return _activate("elu", input, inplace, alpha * scale, scale, 1.0)


def celu(input: Array, alpha: float = 1.0, inplace: bool = False) -> Array:
    """``max(input, 0) + min(0, alpha * (exp(input / alpha) - 1))``, element-wise (Barron, 2017)."""
    if alpha == 0:
        raise RuntimeError("ZeroDivisionError: alpha cannot be 0 for CELU")
    return _activate("elu", input, inplace, alpha, 1.0, 1.0 / alpha)


def silu(input: Array, inplace: bool = False) -> Array:
    """``input * sigmoid(input)``, element-wise: the swish (Elfwing et al., 2017)."""
    return _activate("silu", input, inplace)


def mish(input: Array, inplace: bool = False) -> Array:
    """``input * tanh(softplus(input))``, element-wise (Misra, 2019)."""
    return _activate("mish", input, inplace)


def gelu(input: Array, *, approximate: str = "none") -> Array:
    """``input * P(X <= input)`` of a standard normal X, element-wise (Hendrycks and Gimpel, 2016).

    Parameters
    ----------
    input : Tensor or ndarray
    approximate : {"none", "tanh"}
        "tanh" is ``0.5 input (1 + tanh(sqrt(2 / pi) (input + 0.044715 input^3)))``.
    """
    if approximate not in ("none", "tanh"):
        raise RuntimeError(f"approximate argument must be either none or tanh, got {approximate!r}")
    return _activate("gelu" if approximate == "none" else "gelu_tanh", input, False)


def softplus(input: Array, beta: float = 1, threshold: float = 20) -> Array:
    """``log(1 + exp(beta * input)) / beta``, element-wise; the input itself where ``beta * input > threshold``."""
    check_dtypes("softplus", input=input)
    if beta == 0:
        return input * math.inf
    return _activate("softplus", input, False, beta, threshold, 1 / beta)


def logsigmoid(input: Array) -> Array:
    """``log(sigmoid(input))``, element-wise, without overflow."""
    return _activate("softplus", input, False, -1.0, math.inf, -1.0)


def _softsign(needs, x):
    with np.errstate(invalid="ignore"):  # inf / inf
        y = x / (1 + np.abs(x))
    return y, lambda dy, x: (dy / np.square(1 + np.abs(x)),), (x,)


def softsign(input: Array) -> Array:
    """``input / (1 + abs(input))``, element-wise."""
    check_dtypes("softsign", input=input)
    return apply(_softsign, input)


def _tanhshrink(needs, x):
    return x - np.tanh(x), lambda dy, x: (dy * np.square(np.tanh(x)),), (x,)


def tanhshrink(input: Array) -> Array:
    """``input - tanh(input)``, element-wise."""
    check_dtypes("tanhshrink", input=input)
    return apply(_tanhshrink, input)


@differentiable_twice
def _threshold(needs, x, threshold, value):
    def vjp(dy, x):
        return (primitives.selected(~(primitives.plain(x) <= threshold), dy),)

    return np.where(x <= threshold, x.dtype.type(value), x), vjp, (x,)


def threshold(input: Array, threshold: float, value: float, inplace: bool = False) -> Array:
    """The elements above `threshold`, and `value` in place of the others."""
    check_array("threshold", input)
    y = apply(_threshold, input, threshold=number(threshold, "threshold"), value=number(value, "value"))
    return replace(input, y) if inplace else y


@differentiable_twice
def _shrink(needs, x, lambd, distance):
    """x moved by a distance towards 0, and 0 within lambd of it."""

    def vjp(dy, x):
        return (primitives.selected(~(np.abs(primitives.plain(x)) <= lambd), dy),)

    return np.where(np.abs(x) <= lambd, x.dtype.type(0), x - np.copysign(x.dtype.type(distance), x)), vjp, (x,)


def hardshrink(input: Array, lambd: float = 0.5) -> Array:
    """The elements beyond -lambd and lambd, and 0 in place of the others."""
    check_dtypes("hardshrink", input=input)
    return apply(_shrink, input, lambd=number(lambd, "lambd"), distance=0.0)


def softshrink(input: Array, lambd: float = 0.5) -> Array:
    """The elements beyond -lambd and lambd, nearer to 0 by `lambd`, and 0 in place of the others."""
    check_dtypes("softshrink", input=input)
    if number(lambd, "lambd") < 0:
        raise RuntimeError(f"lambda must be greater or equal to 0, but found to be {lambd}.")
    return apply(_shrink, input, lambd=lambd, distance=lambd)


def _glu(needs, x, dim):
    a, b = np.split(x, 2, axis=dim)
    gate = elementwise.sigmoid(b)

    def vjp(dy, x, gate):
        a = np.split(x, 2, axis=dim)[0]
        return (np.concatenate((dy * gate, dy * a * gate * (1 - gate)), axis=dim),)

    return a * gate, vjp, (x, gate)


def glu(input: Array, dim: int = -1) -> Array:
    """``a * sigmoid(b)``, where a and b are the halves of the input along `dim` (Dauphin et al., 2017)."""
    check_dtypes("glu", input=input)
    if not input.ndim:
        raise RuntimeError("glu does not support 0-dimensional tensors")
    if not -input.ndim <= dim < input.ndim:
        raise IndexError(
            f"Dimension out of range (expected to be in range of [{-input.ndim}, {input.ndim - 1}], but got {dim})"
        )
    if input.shape[dim] % 2:
        raise RuntimeError(
            f"Halving dimension must be even, but dimension {dim} of input of size {list(input.shape)} "
            f"has size {input.shape[dim]}"
        )
    return apply(_glu, input, dim=dim)


def _prelu(needs, x, w):
    def vjp(dy, x, w):
        dx, dw = layer_passes.prelu_backward(dy, x, w)
        return dx if needs[0] else None, dw if needs[1] else None

    return layer_passes.prelu(x, w), vjp, (x, w)


def prelu(input: Array, weight: Array) -> Array:
    """``max(input, 0) + weight * min(input, 0)`` (He et al., 2015).

    Parameters
    ----------
    input : (N, C, ...) or any shape
    weight : (C,), (1,) or without dimensions
        A slope for each channel, or one for all.
    """
    check_array("prelu", weight, "weight")
    check_dtypes("prelu", input=input, weight=weight)
    if weight.ndim > 1:
        raise RuntimeError(f"prelu: Expected `weight` to be a scalar or 1D tensor, but got: ndim = {weight.ndim}")
    slopes, channels = math.prod(weight.shape), input.shape[1] if input.ndim > 1 else 1
    if slopes != 1 and slopes != channels:
        raise RuntimeError(
            f"Mismatch of parameter numbers and input channel size. Found parameter numbers = {slopes} and "
            f"channel size = {channels} of input of size {list(input.shape)}."
        )
    return apply(_prelu, input, weight)


def softmin(input: Array, dim: int | None = None, dtype: Any = None) -> Array:
    """``softmax(-input)`` over dimension `dim`; `dtype` casts the input first."""
    return F.softmax(-input, dim, dtype=dtype)
