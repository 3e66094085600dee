"""Arithmetic, elementary functions, comparisons, matrix products, and dtypes."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import functions, linalg
from ..._tensor import Tensor
from ...dtypes import bool_, float32, result_type
from ...functions.operands import cast
from ..graph import Graph, Value, writes

__all__ = []


def _dtype(*operands: Any, floating: bool = False) -> np.dtype:
    """The dtype in which an operation on these operands is computed."""
    like = [np.broadcast_to(np.zeros((), x.dtype), x.shape) if isinstance(x, Value) else x for x in operands]
    dtype = result_type(*like)
    return float32 if floating and dtype.kind != "f" else dtype


def _number(g: Graph, x: Any, dtype: np.dtype) -> str:
    """An operand in this dtype."""
    return g.cast(x, dtype) if isinstance(x, (Value, np.ndarray)) else g.constant(x, dtype)


def _two(g: Graph, kind: str, x: Any, y: Any, floating: bool = False, **attributes: Any) -> str:
    dtype = _dtype(x, y, floating=floating)
    return g.op(kind, _number(g, x, dtype), _number(g, y, dtype), **attributes)


def _scaled(g: Graph, kind: str, x: Any, y: Any, alpha: float) -> str:
    dtype = _dtype(x, y)
    if dtype == bool_:  # which are added up by `or`
        return g.op("Or", _number(g, x, dtype), _number(g, y, dtype))
    second = _number(g, y, dtype)
    return g.op(kind, _number(g, x, dtype), second if alpha == 1 else g.op("Mul", second, g.constant(alpha, dtype)))


@writes(functions.add)
def _add(g: Graph, input: Any, other: Any, alpha: float) -> str:
    return _scaled(g, "Add", input, other, alpha)


@writes(functions.sub)
def _sub(g: Graph, input: Any, other: Any, alpha: float) -> str:
    return _scaled(g, "Sub", input, other, alpha)


@writes(functions.mul)
def _mul(g: Graph, input: Any, other: Any) -> str:
    return _two(g, "And" if _dtype(input, other) == bool_ else "Mul", input, other)


@writes(functions.div)
def _div(g: Graph, input: Any, other: Any) -> str:
    return _two(g, "Div", input, other, floating=True)


@writes(functions.pow)
def _pow(g: Graph, input: Any, exponent: Any) -> str:
    dtype = _dtype(input, exponent)
    x = _number(g, input, dtype)
    if not isinstance(exponent, Value) and exponent == 2:
        return g.op("Mul", x, x)
    if not isinstance(exponent, Value) and exponent == 0.5:
        return g.op("Sqrt", x)
    return g.op("Pow", x, _number(g, exponent, dtype))


@writes(functions.floor_divide)
def _floor_divide(g: Graph, input: Any, other: Any) -> str:
    dtype = _dtype(input, other)
    if dtype.kind == "f":
        return g.op("Floor", _two(g, "Div", input, other))
    # The operator rounds towards zero: what the remainder of the divisor's sign leaves is divided without a rest.
    x, y = _number(g, input, dtype), _number(g, other, dtype)
    return g.op("Div", g.op("Sub", x, g.op("Mod", x, y)), y)


@writes(functions.remainder)
def _remainder(g: Graph, input: Any, other: Any) -> str:
    dtype = _dtype(input, other)
    x, y = _number(g, input, dtype), _number(g, other, dtype)
    if dtype.kind != "f":
        return g.op("Mod", x, y)
    return g.op("Sub", x, g.op("Mul", g.op("Floor", g.op("Div", x, y)), y))


@writes(functions.fmod)
def _fmod(g: Graph, input: Any, other: Any) -> str:
    return _two(g, "Mod", input, other, fmod=1)


@writes(functions.lerp)
def _lerp(g: Graph, input: Value, end: Value, weight: Any) -> str:
    difference = g.op("Sub", end, input)
    return g.op("Add", input, g.op("Mul", difference, _number(g, weight, input.dtype)))


@writes(functions.maximum)
def _maximum(g: Graph, input: Value, other: Value) -> str:
    return _two(g, "Max", input, other)


@writes(functions.minimum)
def _minimum(g: Graph, input: Value, other: Value) -> str:
    return _two(g, "Min", input, other)


@writes(functions.clamp)
def _clamp(g: Graph, input: Value, min: Any, max: Any) -> str:
    dtype = g.result.dtype
    y = g.cast(input, dtype)
    if all(x is None or not (isinstance(x, Value) and x.ndim) for x in (min, max)):
        return g.op("Clip", y, *[None if x is None else _number(g, x, dtype) for x in (min, max)])
    if min is not None:
        y = g.op("Max", y, _number(g, min, dtype))
    return y if max is None else g.op("Min", y, _number(g, max, dtype))


@writes(functions.where)
def _where(g: Graph, condition: Value, input: Any, other: Any) -> str:
    if input is None:
        return _nonzero(g, condition, True)
    dtype = _dtype(input, other)
    return g.op("Where", g.cast(condition, bool_), _number(g, input, dtype), _number(g, other, dtype))


@writes(functions.masked_fill)
def _masked_fill(g: Graph, input: Value, mask: Value, value: Any) -> str:
    return g.op("Where", mask, _number(g, value, input.dtype), input)


@writes(functions.nonzero)
def _nonzero(g: Graph, input: Value, as_tuple: bool) -> Any:
    found = g.op("NonZero", input)
    if not as_tuple:
        return g.op("Transpose", found, perm=[1, 0])
    return tuple(g.op("Gather", found, g.constant(i, np.int64), axis=0) for i in range(max(input.ndim, 1)))


# Functions of each element by an operator of their own; integers are computed as float32, but where marked.

_FLOATING = {
    functions.exp: "Exp",
    functions.log: "Log",
    functions.sqrt: "Sqrt",
    functions.sin: "Sin",
    functions.cos: "Cos",
    functions.tan: "Tan",
    functions.asin: "Asin",
    functions.acos: "Acos",
    functions.atan: "Atan",
    functions.sinh: "Sinh",
    functions.cosh: "Cosh",
    functions.asinh: "Asinh",
    functions.acosh: "Acosh",
    functions.atanh: "Atanh",
    functions.reciprocal: "Reciprocal",
    functions.erf: "Erf",
    functions.neg: "Neg",
    functions.abs: "Abs",
    functions.sign: "Sign",
}


def _of_one(kind: str) -> Callable[..., str]:
    def write(g: Graph, input: Value) -> str:
        return g.op(kind, g.cast(input, g.result.dtype))

    return write


for function, kind in _FLOATING.items():
    writes(function)(_of_one(kind))


def _of_floats(kind: str) -> Callable[..., str]:
    """Rounding, which leaves integers as they are."""

    def write(g: Graph, input: Value, decimals: int = 0) -> str:
        if input.dtype.kind != "f":
            return g.op("Identity", input)
        if not decimals:
            return g.op(kind, input)
        scale = g.constant(10.0**decimals, input.dtype)
        return g.op("Div", g.op(kind, g.op("Mul", input, scale)), scale)

    return write


for function, kind in ((functions.ceil, "Ceil"), (functions.floor, "Floor"), (functions.round, "Round")):
    writes(function)(_of_floats(kind))


@writes(functions.trunc)
def _trunc(g: Graph, input: Value) -> str:
    if input.dtype.kind != "f":
        return g.op("Identity", input)
    return g.op("Mul", g.op("Sign", input), g.op("Floor", g.op("Abs", input)))


@writes(functions.frac)
def _frac(g: Graph, input: Value) -> str:
    return g.op("Sub", input, _trunc(g, input))


@writes(functions.rsqrt)
def _rsqrt(g: Graph, input: Value) -> str:
    return g.op("Reciprocal", g.op("Sqrt", g.cast(input, g.result.dtype)))


@writes(functions.square)
def _square(g: Graph, input: Value) -> str:
    return g.op("Mul", input, input)


@writes(functions.log1p)
def _log1p(g: Graph, input: Value) -> str:
    x = g.cast(input, g.result.dtype)
    return g.op("Log", g.op("Add", x, g.constant(1, g.result.dtype)))


@writes(functions.expm1)
def _expm1(g: Graph, input: Value) -> str:
    return g.op("Sub", g.op("Exp", g.cast(input, g.result.dtype)), g.constant(1, g.result.dtype))


@writes(functions.exp2)
def _exp2(g: Graph, input: Value) -> str:
    return g.op("Pow", g.constant(2, g.result.dtype), g.cast(input, g.result.dtype))


def _logarithm(base: float) -> Callable[..., str]:
    def write(g: Graph, input: Value) -> str:
        dtype = g.result.dtype
        return g.op("Mul", g.op("Log", g.cast(input, dtype)), g.constant(1 / math.log(base), dtype))

    return write


writes(functions.log2)(_logarithm(2))
writes(functions.log10)(_logarithm(10))


# Comparisons and logic

for function, kind in (
    (functions.eq, "Equal"),
    (functions.lt, "Less"),
    (functions.le, "LessOrEqual"),
    (functions.gt, "Greater"),
    (functions.ge, "GreaterOrEqual"),
):
    writes(function)(lambda g, input, other, kind=kind: _two(g, kind, input, other))


@writes(functions.ne)
def _ne(g: Graph, input: Any, other: Any) -> str:
    return g.op("Not", _two(g, "Equal", input, other))


@writes(functions.isnan)
def _isnan(g: Graph, input: Value) -> str:
    return g.op("IsNaN", input)


@writes(functions.isinf)
def _isinf(g: Graph, input: Value) -> str:
    return g.op("IsInf", input)


@writes(functions.isfinite)
def _isfinite(g: Graph, input: Value) -> str:
    return g.op("Not", g.op("Or", g.op("IsNaN", input), g.op("IsInf", input)))


def _logical(kind: str) -> Callable[..., str]:
    def write(g: Graph, input: Any, other: Any) -> str:
        return g.op(kind, _number(g, input, bool_), _number(g, other, bool_))

    return write


for function, kind in (
    (functions.logical_and, "And"),
    (functions.logical_or, "Or"),
    (functions.logical_xor, "Xor"),
):
    writes(function)(_logical(kind))


@writes(functions.logical_not)
def _logical_not(g: Graph, input: Value) -> str:
    return g.op("Not", g.cast(input, bool_))


def _bitwise(logical: str, bitwise: str) -> Callable[..., str]:
    def write(g: Graph, input: Any, other: Any) -> str:
        if _dtype(input, other) == bool_:
            return _two(g, logical, input, other)
        return _two(g, bitwise, input, other)

    return write


for function, logical, bitwise in (
    (functions.bitwise_and, "And", "BitwiseAnd"),
    (functions.bitwise_or, "Or", "BitwiseOr"),
    (functions.bitwise_xor, "Xor", "BitwiseXor"),
):
    writes(function)(_bitwise(logical, bitwise))


@writes(functions.bitwise_not)
def _bitwise_not(g: Graph, input: Value) -> str:
    return g.op("Not" if input.dtype == bool_ else "BitwiseNot", input)


@writes(functions.signbit)
def _signbit(g: Graph, input: Value) -> str:
    zero = g.constant(0, input.dtype)
    negative = g.op("Less", input, zero)
    if input.dtype.kind != "f":
        return negative
    return g.op("Or", negative, g.op("Less", g.op("Reciprocal", input), zero))


@writes(functions.atan2)
def _atan2(g: Graph, input: Any, other: Any) -> str:
    dtype = _dtype(input, other, floating=True)
    y, x = _number(g, input, dtype), _number(g, other, dtype)
    zero, pi = g.constant(0, dtype), g.constant(math.pi, dtype)
    angle = g.op("Atan", g.op("Div", y, x))
    turned = g.op("Where", g.op("Less", y, zero), g.op("Sub", angle, pi), g.op("Add", angle, pi))
    angle = g.op("Where", g.op("Less", x, zero), turned, angle)
    nothing = g.op("And", g.op("Equal", x, zero), g.op("Equal", y, zero))
    return g.op("Where", nothing, zero, angle)


@writes(functions.isclose)
def _isclose(g: Graph, input: Value, other: Value, rtol: float, atol: float, equal_nan: bool) -> str:
    dtype = _dtype(input, other)
    if dtype.kind != "f":
        return _two(g, "Equal", input, other)
    x, y = _number(g, input, dtype), _number(g, other, dtype)
    limit = g.op("Add", g.constant(atol, dtype), g.op("Mul", g.constant(rtol, dtype), g.op("Abs", y)))
    near = g.op("LessOrEqual", g.op("Abs", g.op("Sub", x, y)), limit)
    finite = g.op("Not", g.op("IsInf", y))
    close = g.op("Or", g.op("And", near, finite), g.op("Equal", x, y))
    return g.op("Or", close, g.op("And", g.op("IsNaN", x), g.op("IsNaN", y))) if equal_nan else close


@writes(functions.isin)
def _isin(g: Graph, elements: Value, test_elements: Any) -> str:
    one_by_one = g.unsqueeze(elements, [-1])
    if isinstance(test_elements, Value):
        tests = g.op("Reshape", g.cast(test_elements, elements.dtype), g.constant([-1], np.int64))
    else:
        tests = g.constant(np.asarray(test_elements).reshape(-1), elements.dtype)
    hits = g.op("Cast", g.op("Equal", one_by_one, tests), to=6)  # int32
    return g.op("Cast", g.reduce("ReduceMax", hits, [-1], False), to=9)  # bool


@writes(functions.nan_to_num)
def _nan_to_num(g: Graph, input: Value, nan: float | None, posinf: float | None, neginf: float | None) -> str:
    if input.dtype.kind != "f":
        return g.op("Identity", input)
    limits = np.finfo(input.dtype)
    zero = g.constant(0, input.dtype)
    y = g.op("Where", g.op("IsNaN", input), g.constant(nan or 0, input.dtype), input)
    for number, least, sign in ((posinf, limits.max, "Greater"), (neginf, limits.min, "Less")):
        new = g.constant(least if number is None else number, input.dtype)
        y = g.op("Where", g.op("And", g.op("IsInf", input), g.op(sign, input, zero)), new, y)
    return y


# Matrix products


@writes(linalg.det)
def _det(g: Graph, **arguments: Value) -> str:
    return g.op("Det", *arguments.values())


@writes(functions.matmul, functions.mm, functions.bmm, functions.mv, functions.dot)
def _matmul(g: Graph, **operands: Value) -> str:
    first, second = operands.values()
    return _two(g, "MatMul", first, second)


@writes(functions.einsum)
def _einsum(g: Graph, equation: str, operands: Any) -> str:
    if len(operands) == 1 and isinstance(operands[0], tuple):
        operands = operands[0]
    dtype = g.result.dtype
    return g.op("Einsum", *[g.cast(x, dtype) for x in operands], equation=equation.replace(" ", ""))


# Dtypes


@writes(cast)
def _cast(g: Graph, x: Value, dtype: np.dtype) -> str:
    return g.cast(x, dtype)


@writes(Tensor._become)
def _become(g: Graph, self: Value, result: Value, sources: Any = ()) -> str:
    return g.cast(result, self.dtype) if result.dtype != self.dtype else g.name(result)
