"""Gradients held against differences."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._native.tape import TensorBase, wrap
from .engine import grad
from .modes import enable_grad, no_grad

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["GradcheckError", "gradcheck", "gradgradcheck"]


class GradcheckError(RuntimeError):
    """A gradient is not what differences say it is."""


def _outputs(result: Any) -> list[Any]:
    results = result if isinstance(result, (tuple, list)) else (result,)
    return [y for y in results if isinstance(y, TensorBase) and y._array.dtype.kind == "f"]


def _numerical(function: Callable[..., Any], inputs: tuple[Any, ...], x: Any, eps: float) -> list[np.ndarray]:
    """For each result its derivatives by the elements of x, (elements of x, elements of the result)."""
    rows: list[list[np.ndarray]] = []
    with no_grad():
        for place in np.ndindex(x._array.shape):
            value = x._array[place]
            sides = []
            for step in (eps, -eps):
                x._array[place] = value + step
                sides.append([y._array.astype(np.float64).ravel() for y in _outputs(function(*inputs))])
            x._array[place] = value
            rows.append([(plus - minus) / (2 * eps) for plus, minus in zip(*sides, strict=True)])
    return [np.array(columns) for columns in zip(*rows, strict=True)]


def _analytical(function: Callable[..., Any], inputs: tuple[Any, ...], xs: list[Any]) -> list[list[np.ndarray]]:
    """For each of xs and each result the same by backward."""
    with enable_grad():
        ys = _outputs(function(*inputs))
    jacobians = [[np.zeros((x._array.size, y._array.size)) for y in ys] for x in xs]
    for j, y in enumerate(ys):
        if not y._requires_grad:
            continue
        for column, place in enumerate(np.ndindex(y._array.shape)):
            dy = np.zeros(y._array.shape, y._array.dtype)
            dy[place] = 1
            for i, dx in enumerate(grad(y, xs, wrap(dy), retain_graph=True, allow_unused=True)):
                if dx is not None:
                    jacobians[i][j][:, column] = dx._array.ravel()
    return jacobians


def gradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of `func` are those that central differences give.

    Parameters
    ----------
    func : callable
        Of the inputs; it returns a tensor or several.
    inputs : Tensor or sequence
        Those that require a gradient are checked. They should be float64; they are changed and put back.
    eps : float
        Step of the differences.
    atol, rtol : float
        Each derivative may differ by ``atol + rtol * |difference's|``.
    raise_exception : bool
        If not, False is returned instead of an error.

    Raises
    ------
    ValueError
        If no input requires a gradient.
    GradcheckError
        For a derivative that differs.
    """
    arguments = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    xs = [x for x in arguments if isinstance(x, TensorBase) and x._requires_grad]
    if not xs:
        raise ValueError("gradcheck expects at least one input tensor to require gradient, but none of them do")
    analytical = _analytical(func, arguments, xs)
    for i, x in enumerate(xs):
        if not x._array.size:
            continue
        for j, (found, expected) in enumerate(zip(analytical[i], _numerical(func, arguments, x, eps), strict=True)):
            if np.allclose(found, expected, rtol, atol, equal_nan=True):
                continue
            if raise_exception:
                raise GradcheckError(
                    f"Jacobian mismatch for output {j} with respect to input {i}, by up to "
                    f"{np.nanmax(np.abs(found - expected)):.3g}:\nnumerical:\n{expected}\nanalytical:\n{found}"
                )
            return False
    return True


def gradgradcheck(
    func: Callable[..., Any],
    inputs: Tensor | Sequence[Any],
    grad_outputs: Tensor | Sequence[Tensor] | None = None,
    *,
    eps: float = 1e-6,
    atol: float = 1e-5,
    rtol: float = 1e-3,
    raise_exception: bool = True,
) -> bool:
    """Whether the gradients of the gradients of `func` are those that central differences give.

    What is not told here is as in :func:`gradcheck`.

    Parameters
    ----------
    grad_outputs : Tensor or sequence of Tensor, optional
        For each result the gradient to begin with; drawn at random by default.
    """
    arguments = (inputs,) if isinstance(inputs, TensorBase) else tuple(inputs)
    if grad_outputs is None:
        rng = np.random.default_rng(0)
        with no_grad():
            ys = _outputs(func(*arguments))
        given = [wrap(np.asarray(rng.standard_normal(y._array.shape)).astype(y._array.dtype)) for y in ys]
        for dy in given:
            dy._requires_grad = True
    else:
        given = [grad_outputs] if isinstance(grad_outputs, TensorBase) else list(grad_outputs)
    count = len(arguments)

    def gradients(*all_inputs: Any) -> tuple[Any, ...]:
        xs, dys = all_inputs[:count], all_inputs[count:]
        wanted = [x for x in xs if isinstance(x, TensorBase) and x._requires_grad]
        with enable_grad():
            ys = _outputs(func(*xs))
            found = grad(ys, wanted, list(dys), create_graph=True, allow_unused=True)
        return tuple([dx for dx in found if dx is not None])

    return gradcheck(gradients, (*arguments, *given), eps=eps, atol=atol, rtol=rtol, raise_exception=raise_exception)
