"""Jacobians, Hessians and their products with vectors, of functions of tensors."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np

from .. import primitives
from .._native.tape import TensorBase, apply, wrap
from ..checks import brief
from .engine import grad
from .modes import enable_grad

__all__ = ["hessian", "jacobian", "vjp"]


def _begin(
    name: str, func: Callable[..., Any], inputs: Any, create_graph: bool
) -> tuple[tuple[Any, ...], tuple[Any, ...], bool, bool]:
    """The inputs apart from their history, the results, and whether each was a tuple."""
    several = isinstance(inputs, (tuple, list))
    arguments = tuple(inputs) if several else (inputs,)
    for x in arguments:
        if not isinstance(x, TensorBase):
            raise TypeError(f"{name}() expects tensors as inputs, got {brief(x)}")
    with enable_grad():
        if create_graph:
            xs = tuple([x.view(*x.shape) if x._requires_grad else x._alias() for x in arguments])
        else:
            xs = tuple([x._alias() for x in arguments])
        for x in xs:
            x._requires_grad = True
        result = func(*xs)
    many = isinstance(result, (tuple, list))
    ys = tuple(result) if many else (result,)
    for y in ys:
        if not isinstance(y, TensorBase):
            raise TypeError(f"{name}() expects func to return tensors, got {brief(y)}")
    return xs, ys, several, many


def _refuse_unused(strict: bool, name: str, found: Any, i: int) -> None:
    if strict and found is None:
        raise RuntimeError(f"{name}(): output {i} is independent of an input, which strict=True does not allow")


def vjp(
    func: Callable[..., Any], inputs: Any, v: Any = None, create_graph: bool = False, strict: bool = False
) -> tuple[Any, ...]:
    """The product of a vector with the Jacobian of `func`: ``(func(*inputs), v^T J)``.

    Parameters
    ----------
    inputs : Tensor or tuple of Tensor
    v : Tensor or tuple of Tensor, optional
        A gradient of each result, of its shape; not needed for a result of one element.
    create_graph : bool
        Record it, so that the product can be differentiated.
    strict : bool
        Whether an input on which no result depends is an error; else its product is zeros.
    """
    xs, ys, several, many = _begin("vjp", func, inputs, create_graph)
    given = None if v is None else list(v) if isinstance(v, (tuple, list)) else [v]
    differentiable = [i for i, y in enumerate(ys) if y._requires_grad]
    if given is None and any(y._array.size != 1 for y in ys):
        raise RuntimeError(
            "The vector v can only be None if the user-provided function returns a single Tensor with a single "
            f"element; got results of shape {[list(y._array.shape) for y in ys]}"
        )
    found: tuple[Any, ...] = (None,) * len(xs)
    if differentiable:
        starts = None if given is None else [given[i] for i in differentiable]
        found = grad([ys[i] for i in differentiable], xs, starts, create_graph=create_graph, allow_unused=True)
    for i, dx in enumerate(found):
        _refuse_unused(strict, "vjp", dx, i)
    products = tuple([wrap(np.zeros_like(x._array)) if dx is None else dx for x, dx in zip(xs, found, strict=True)])
    results = ys if create_graph else tuple([y.detach() for y in ys])
    return results if many else results[0], products if several else products[0]


def jacobian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    """The Jacobian of `func`, one row by backward at a time.

    Parameters
    ----------
    func : callable
        Of the inputs; it returns a tensor or a tuple of them.
    inputs : Tensor or tuple of Tensor
    create_graph : bool
        Record it, so that the Jacobian can be differentiated.
    strict : bool
        Whether a result that does not depend on an input is an error; else that part is zeros.

    Returns
    -------
    Tensor, or tuples of them: for each result, for each input
        ``(*shape of the result, *shape of the input)``.
    """
    xs, ys, several, many = _begin("jacobian", func, inputs, create_graph)
    rows_of_results = []
    for i, y in enumerate(ys):
        rows: list[list[Any]] = [[] for _ in xs]
        for place in np.ndindex(y._array.shape):
            dy = np.zeros(y._array.shape, y._array.dtype)
            dy[place] = 1
            found: tuple[Any, ...] = (None,) * len(xs)
            if y._requires_grad:
                found = grad(y, xs, wrap(dy), retain_graph=True, create_graph=create_graph, allow_unused=True)
            for x, dx, row in zip(xs, found, rows, strict=True):
                _refuse_unused(strict, "jacobian", dx, i)
                row.append(wrap(np.zeros_like(x._array)) if dx is None else dx)
        rows_of_results.append(tuple([_stacked(row, y, x) for row, x in zip(rows, xs, strict=True)]))
    results = tuple([parts if several else parts[0] for parts in rows_of_results])
    return results if many else results[0]


def _stacked(rows: list[Any], y: Any, x: Any) -> Any:
    shape = y._array.shape + x._array.shape
    if not rows:
        return wrap(np.zeros(shape, x._array.dtype))
    return apply(primitives.stack, *rows, dim=0).reshape(shape)


def hessian(func: Callable[..., Any], inputs: Any, create_graph: bool = False, strict: bool = False) -> Any:
    """The Hessian of `func`, which returns a tensor of one element: the Jacobian of its gradient.

    Returns
    -------
    Tensor, or tuples of tuples of them: for each input, for each input
        ``(*shape of the one input, *shape of the other)``.
    """
    several = isinstance(inputs, (tuple, list))

    def gradient(*xs: Any) -> Any:
        y = func(*xs)
        if not isinstance(y, TensorBase) or y._array.size != 1:
            raise RuntimeError(f"hessian() expects func to return a tensor of one element, got {brief(y)}")
        found = grad(y, xs, create_graph=True, materialize_grads=True)
        return found if several else found[0]

    return jacobian(gradient, inputs, create_graph, strict)
