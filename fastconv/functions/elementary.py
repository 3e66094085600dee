"""Elementary functions of each element: trigonometric, exponential, rounding."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import primitives
from .._native.tape import TensorBase, differentiable_twice, wrap
from ..checks import brief, integer
from ..dtypes import ARRAYS, bfloat16, float32, int64, result_type
from .operands import apply, array_of, cast, elementwise, floating, into, operands

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "ceil",
    "cos",
    "cosh",
    "erf",
    "exp2",
    "expm1",
    "floor",
    "fmod",
    "frac",
    "isinf",
    "log1p",
    "log2",
    "log10",
    "nan_to_num",
    "reciprocal",
    "round",
    "rsqrt",
    "sign",
    "sin",
    "sinh",
    "square",
    "tan",
    "trunc",
]

# ---- what is computed, and the slopes -------------------------------------------------------------------------------


def _of_one(
    name: str, compute: Callable[..., Any], slope: Callable[..., Any], of_result: bool = False
) -> Callable[..., Any]:
    """The operation `name`, whose product is dy times the slope, a function of x or of the result."""

    @differentiable_twice
    def op(needs, x):
        y = compute(x)
        return y, lambda dy, kept: (dy * slope(kept),), (y if of_result else x,)

    op.__name__ = name
    return op


def _constant(name: str, compute: Callable[..., Any]) -> Callable[..., Any]:
    """An operation that is constant between jumps: its gradient is 0."""

    @differentiable_twice
    def op(needs, x):
        return compute(x), lambda dy: (dy * 0,), ()

    op.__name__ = name
    return op


def _erf(x: np.ndarray) -> np.ndarray:
    """The error function of each element, by the C library's, in double precision."""
    return np.asarray(np.frompyfunc(math.erf, 1, 1)(x), x.dtype)


_sin = _of_one("sin", np.sin, lambda x: apply(_cos, x))
_cos = _of_one("cos", np.cos, lambda x: -apply(_sin, x))
_tan = _of_one("tan", np.tan, lambda y: 1 + y * y, of_result=True)
_asin = _of_one("asin", np.arcsin, lambda x: 1 / apply(primitives.sqrt, 1 - x * x))
_acos = _of_one("acos", np.arccos, lambda x: -1 / apply(primitives.sqrt, 1 - x * x))
_atan = _of_one("atan", np.arctan, lambda x: 1 / (1 + x * x))
_sinh = _of_one("sinh", np.sinh, lambda x: apply(_cosh, x))
_cosh = _of_one("cosh", np.cosh, lambda x: apply(_sinh, x))
_asinh = _of_one("asinh", np.arcsinh, lambda x: 1 / apply(primitives.sqrt, x * x + 1))
_acosh = _of_one("acosh", np.arccosh, lambda x: 1 / apply(primitives.sqrt, x * x - 1))
_atanh = _of_one("atanh", np.arctanh, lambda x: 1 / (1 - x * x))
_expm1 = _of_one("expm1", np.expm1, lambda y: y + 1, of_result=True)
_exp2 = _of_one("exp2", np.exp2, lambda y: y * math.log(2), of_result=True)
_log1p = _of_one("log1p", np.log1p, lambda x: 1 / (x + 1))
_log2 = _of_one("log2", np.log2, lambda x: 1 / (x * math.log(2)))
_log10 = _of_one("log10", np.log10, lambda x: 1 / (x * math.log(10)))
_reciprocal = _of_one("reciprocal", lambda x: 1 / x, lambda y: -(y * y), of_result=True)
_rsqrt = _of_one("rsqrt", lambda x: 1 / np.sqrt(x), lambda y: y * y * y * -0.5, of_result=True)
_square = _of_one("square", np.square, lambda x: 2 * x)
_erf_op = _of_one("erf", _erf, lambda x: apply(primitives.exp, -(x * x)) * (2 / math.sqrt(math.pi)))
_sign = _constant("sign", lambda x: np.where(x != x, x.dtype.type(0), np.sign(x)))
_floor, _ceil, _trunc = _constant("floor", np.floor), _constant("ceil", np.ceil), _constant("trunc", np.trunc)


@differentiable_twice
def _round(needs, x, decimals):
    return np.round(x, decimals), lambda dy: (dy * 0,), ()


@differentiable_twice
def _frac(needs, x):
    return x - np.trunc(x), lambda dy: (dy,), ()


@differentiable_twice
def _fmod(needs, x, y):
    x_shape, y_shape = np.shape(x), np.shape(y)

    def vjp(dy, x, y):
        quotient = np.trunc(primitives.plain(x) / primitives.plain(y)) if needs[1] else None
        return (
            primitives.sum_back(dy, x_shape) if needs[0] else None,
            primitives.sum_back(-(dy * quotient), y_shape) if needs[1] else None,
        )

    return np.fmod(x, y), vjp, (x if needs[1] else None, y if needs[1] else None)


@differentiable_twice
def _atan2(needs, y, x):
    y_shape, x_shape = np.shape(y), np.shape(x)

    def vjp(dz, y, x):
        squares = x * x + y * y
        none = primitives.plain(squares) == 0  # the gradient is 0 there
        scaled = dz * (1 - none) / (squares + none)
        return (
            primitives.sum_back(scaled * x, y_shape) if needs[0] else None,
            primitives.sum_back(-(scaled * y), x_shape) if needs[1] else None,
        )

    return np.arctan2(y, x), vjp, (y, x)


# ---- the functions --------------------------------------------------------------------------------------------------


def sin(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Sine, element-wise."""
    return into(out, apply(_sin, floating(input, "sin")), input)


def cos(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """Cosine, element-wise."""
    return into(out, apply(_cos, floating(input, "cos")), input)


def tan(input: Tensor) -> Tensor:
    """Tangent, element-wise."""
    return apply(_tan, floating(input, "tan"))


def asin(input: Tensor) -> Tensor:
    """Inverse sine, element-wise."""
    return apply(_asin, floating(input, "asin"))


def acos(input: Tensor) -> Tensor:
    """Inverse cosine, element-wise."""
    return apply(_acos, floating(input, "acos"))


def atan(input: Tensor) -> Tensor:
    """Inverse tangent, element-wise."""
    return apply(_atan, floating(input, "atan"))


def atan2(input: Tensor, other: Tensor) -> Tensor:
    """The angle of the point (other, input), from -pi to pi, element-wise with broadcasting."""
    return elementwise(_atan2, *operands(input, other, floating=True))


def sinh(input: Tensor) -> Tensor:
    """Hyperbolic sine, element-wise."""
    return apply(_sinh, floating(input, "sinh"))


def cosh(input: Tensor) -> Tensor:
    """Hyperbolic cosine, element-wise."""
    return apply(_cosh, floating(input, "cosh"))


def asinh(input: Tensor) -> Tensor:
    """Inverse hyperbolic sine, element-wise."""
    return apply(_asinh, floating(input, "asinh"))


def acosh(input: Tensor) -> Tensor:
    """Inverse hyperbolic cosine, element-wise."""
    return apply(_acosh, floating(input, "acosh"))


def atanh(input: Tensor) -> Tensor:
    """Inverse hyperbolic tangent, element-wise."""
    return apply(_atanh, floating(input, "atanh"))


def expm1(input: Tensor) -> Tensor:
    """``exp(input) - 1`` without loss of digits near 0, element-wise."""
    return apply(_expm1, floating(input, "expm1"))


def exp2(input: Tensor) -> Tensor:
    """2 to the power of `input`, element-wise."""
    return apply(_exp2, floating(input, "exp2"))


def log1p(input: Tensor) -> Tensor:
    """``log(1 + input)`` without loss of digits near 0, element-wise."""
    return apply(_log1p, floating(input, "log1p"))


def log2(input: Tensor) -> Tensor:
    """Logarithm to base 2, element-wise."""
    return apply(_log2, floating(input, "log2"))


def log10(input: Tensor) -> Tensor:
    """Logarithm to base 10, element-wise."""
    return apply(_log10, floating(input, "log10"))


def reciprocal(input: Tensor) -> Tensor:
    """``1 / input``, element-wise."""
    return apply(_reciprocal, floating(input, "reciprocal"))


def rsqrt(input: Tensor) -> Tensor:
    """``1 / sqrt(input)``, element-wise."""
    return apply(_rsqrt, floating(input, "rsqrt"))


def square(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """``input * input``, element-wise."""
    x = _numeric(input, "square")
    return into(out, apply(_square, cast(x, int64) if x.dtype.kind == "b" else x), input)


def erf(input: Tensor) -> Tensor:
    """The error function, element-wise."""
    return apply(_erf_op, floating(input, "erf"))


def _numeric(x: Any, name: str) -> Any:
    if not isinstance(x, ARRAYS):
        raise TypeError(f"{name}() expects a Tensor, got {brief(x)}")
    return x


def sign(input: Tensor) -> Tensor:
    """1, 0 or -1, as each element is positive, 0 (or NaN) or negative."""
    return apply(primitives.clone if _numeric(input, "sign").dtype.kind == "b" else _sign, input)


def floor(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The largest integer not above each element."""
    return into(out, _rounded(_floor, input, "floor"), input)


def ceil(input: Tensor, *, out: Tensor | None = None) -> Tensor:
    """The smallest integer not below each element."""
    return into(out, _rounded(_ceil, input, "ceil"), input)


def trunc(input: Tensor) -> Tensor:
    """The integer part of each element."""
    return _rounded(_trunc, input, "trunc")


def round(input: Tensor, *, decimals: int = 0, out: Tensor | None = None) -> Tensor:
    """Each element rounded to so many decimals, halves to the even one."""
    if _numeric(input, "round").dtype.kind != "f":
        if decimals < 0:
            raise RuntimeError(f"round(): decimals below 0 are for floats, got {decimals} for {brief(input)}")
        if input.dtype.kind == "b":
            raise NotImplementedError("round() is not implemented for bool")
        return into(out, apply(primitives.clone, input), input)
    return into(out, apply(_round, input, decimals=integer(decimals, "decimals", -400)), input)


def _rounded(op: Callable[..., Any], x: Any, name: str) -> Any:
    """Integers are rounded already."""
    if _numeric(x, name).dtype.kind == "f":
        return apply(op, x)
    if x.dtype.kind == "b":
        raise NotImplementedError(f"{name}() is not implemented for bool")
    return apply(primitives.clone, x)


def frac(input: Tensor) -> Tensor:
    """What :func:`trunc` takes away."""
    if _numeric(input, "frac").dtype.kind != "f":
        raise NotImplementedError(f"frac() is not implemented for {input.dtype}, only for floating dtypes")
    return apply(_frac, input)


def fmod(input: Tensor, other: Tensor | float) -> Tensor:
    """What is left of ``input / other``, of the sign of `input`, element-wise with broadcasting."""
    x, y = operands(input, other)
    if result_type(input, other).kind == "b":
        raise NotImplementedError("\"fmod_cpu\" not implemented for 'Bool'")
    if getattr(x, "dtype", np.dtype(float)).kind != "f" and not np.all(primitives.plain(y)):
        raise RuntimeError("ZeroDivisionError")
    return elementwise(_fmod, x, y)


def isinf(input: Tensor) -> Tensor:
    """Which elements are infinite."""
    return wrap(np.asarray(np.isinf(array_of(input))))


def nan_to_num(
    input: Tensor, nan: float | None = None, posinf: float | None = None, neginf: float | None = None
) -> Tensor:
    """The elements, with `nan` (0) in place of NaN, and the largest and smallest numbers in place of infinities."""
    if _numeric(input, "nan_to_num").dtype.kind != "f":
        return apply(primitives.clone, input)
    if input.dtype is bfloat16:
        largest = float.fromhex("0x1.fep127")
        posinf, neginf = largest if posinf is None else posinf, -largest if neginf is None else neginf
        return cast(nan_to_num(cast(input, float32), nan, posinf, neginf), bfloat16)
    x = input._array if isinstance(input, TensorBase) else input
    limits = np.finfo(x.dtype)
    y = apply(primitives.where, np.isnan(x), 0.0 if nan is None else nan, input)
    y = apply(primitives.where, np.isposinf(x), limits.max if posinf is None else posinf, y)
    y = apply(primitives.where, np.isneginf(x), limits.min if neginf is None else neginf, y)
    return apply(primitives.cast, y, dtype=x.dtype) if y.dtype != x.dtype else y
