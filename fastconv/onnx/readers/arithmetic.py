"""Arithmetic, elementary functions, comparisons and logic."""

from __future__ import annotations

import functools
import math
from collections.abc import Callable
from typing import Any

import numpy as np

from ... import functions, linalg
from ..._tensor import Tensor
from ...creation import from_numpy
from ..nodes import Node, reads

__all__ = []


def _two(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(node: Node, x: Tensor, y: Tensor) -> Tensor:
        return function(x, y)

    return compute


for kind, function in {
    "Add": functions.add,
    "Sub": functions.sub,
    "Mul": functions.mul,
    "Equal": functions.eq,
    "Less": functions.lt,
    "LessOrEqual": functions.le,
    "Greater": functions.gt,
    "GreaterOrEqual": functions.ge,
    "And": functions.logical_and,
    "Or": functions.logical_or,
    "Xor": functions.logical_xor,
    "BitwiseAnd": functions.bitwise_and,
    "BitwiseOr": functions.bitwise_or,
    "BitwiseXor": functions.bitwise_xor,
}.items():
    reads(kind)(_two(function))


@reads("Div")
def _div(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if x.dtype.kind == "f":
        return x / y
    # Integers are divided towards zero.
    return from_numpy(_truncated(x._array, y._array))


def _truncated(x: np.ndarray, y: np.ndarray) -> np.ndarray:
    if not np.all(y):
        raise ZeroDivisionError("an integer is divided by 0")
    quotient = np.floor_divide(x, y)
    return np.asarray(quotient + ((quotient < 0) & (quotient * y != x)), x.dtype)


@reads("Mod")
def _mod(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if x.dtype.kind != "f" and not np.all(y._array):
        raise ZeroDivisionError("an integer is divided by 0")
    return functions.fmod(x, y) if node.get("fmod", 0) else functions.remainder(x, y)


@reads("Pow")
def _pow(node: Node, x: Tensor, y: Tensor) -> Tensor:
    if x.dtype.kind == "f":
        y = y.to(x.dtype)
        return x ** y.item() if y.numel() == 1 and y.ndim <= x.ndim and not y.requires_grad else x**y
    return (x.double() ** y.double()).to(x.dtype) if y.dtype.kind == "f" else x**y


@reads("BitShift")
def _bit_shift(node: Node, x: Tensor, y: Tensor) -> Tensor:
    left = node.get("direction") == "LEFT"
    return functions.bitwise_left_shift(x, y) if left else functions.bitwise_right_shift(x, y)


def _one(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(node: Node, x: Tensor) -> Tensor:
        return function(x)

    return compute


for kind, function in {
    "Neg": functions.neg,
    "Abs": functions.abs,
    "Sqrt": functions.sqrt,
    "Exp": functions.exp,
    "Log": functions.log,
    "Reciprocal": functions.reciprocal,
    "Floor": functions.floor,
    "Ceil": functions.ceil,
    "Round": functions.round,
    "Sign": functions.sign,
    "Erf": functions.erf,
    "Sin": functions.sin,
    "Cos": functions.cos,
    "Tan": functions.tan,
    "Asin": functions.asin,
    "Acos": functions.acos,
    "Atan": functions.atan,
    "Sinh": functions.sinh,
    "Cosh": functions.cosh,
    "Asinh": functions.asinh,
    "Acosh": functions.acosh,
    "Atanh": functions.atanh,
    "IsNaN": functions.isnan,
    "Not": functions.logical_not,
    "BitwiseNot": functions.bitwise_not,
    "Det": linalg.det,
}.items():
    reads(kind)(_one(function))


@reads("IsInf")
def _is_inf(node: Node, x: Tensor) -> Tensor:
    up, down = node.get("detect_positive", 1), node.get("detect_negative", 1)
    if up and down:
        return functions.isinf(x)
    return x == math.inf if up else x == -math.inf if down else x != x.detach()


def _many(function: Callable[..., Any]) -> Callable[..., Any]:
    def compute(node: Node, *tensors: Tensor) -> Tensor:
        return functools.reduce(function, tensors)

    return compute


for kind, function in {"Sum": functions.add, "Max": functions.maximum, "Min": functions.minimum}.items():
    reads(kind)(_many(function))


@reads("Mean")
def _mean(node: Node, *tensors: Tensor) -> Tensor:
    return functools.reduce(functions.add, tensors) / len(tensors)


@reads("Where")
def _where(node: Node, condition: Tensor, x: Tensor, y: Tensor) -> Tensor:
    return functions.where(condition, x, y)


@reads("Einsum")
def _einsum(node: Node, *tensors: Tensor) -> Tensor:
    return functions.einsum(node.get("equation"), *tensors)


@reads("CumSum", settings=(1,))
def _cumsum(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    return _running(node, x, axis, functions.cumsum, 0)


@reads("CumProd", settings=(1,))
def _cumprod(node: Node, x: Tensor, axis: Tensor) -> Tensor:
    return _running(node, x, axis, functions.cumprod, 1)


def _running(node: Node, x: Tensor, axis: Tensor, function: Callable[..., Any], start: int) -> Tensor:
    dim = int(axis.item())
    y = functions.flip(x, dim) if node.get("reverse", 0) else x
    y = function(y, dim, dtype=x.dtype).to(x.dtype)
    if node.get("exclusive", 0):
        first = functions.narrow(y, dim, 0, 1) * 0 + start
        y = functions.cat([first.to(x.dtype), functions.narrow(y, dim, 0, y.shape[dim] - 1)], dim)
    return functions.flip(y, dim) if node.get("reverse", 0) else y
