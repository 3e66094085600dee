"""Gradients as functions of tensors: torch's `backward` and `grad`."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .._native.tape import TensorBase, edge, wrap
from .._native.walk import run_backward
from ..checks import brief
from ..dtypes import convert, gradient_dtype

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["backward", "grad", "start"]


def _tuple(value: Any) -> tuple[Any, ...]:
    return tuple(value) if isinstance(value, (list, tuple)) else (value,)


def start(tensor: Any, gradient: Any, number: int, create_graph: bool) -> Any:
    """The gradient with which the walk begins at `tensor`: an array, or with `create_graph` a tensor."""
    if not isinstance(tensor, TensorBase):
        raise TypeError(f"expected tensors to differentiate, got {brief(tensor)}")
    if not tensor._requires_grad:
        raise RuntimeError(f"element {number} of tensors does not require grad and does not have a grad_fn")
    array = tensor._array
    if gradient is None:
        if array.size != 1:
            raise RuntimeError(
                "grad can be implicitly created only for scalar outputs; this tensor has shape "
                f"{list(array.shape)}: pass its gradient, backward(gradient)"
            )
        dy = np.empty_like(array, dtype=gradient_dtype(array))
        dy.fill(1)
        return wrap(dy) if create_graph else dy
    dy = gradient._array if isinstance(gradient, TensorBase) else np.asarray(gradient)
    if dy.dtype.kind == "V":
        dy = convert(dy, gradient_dtype(dy))
    if dy.dtype.kind not in "biuf":
        raise TypeError(f"backward() expects a tensor as gradient, got {brief(gradient)}")
    if dy.shape != array.shape:
        raise RuntimeError(f"Mismatch in shape: gradient has shape {list(dy.shape)}, the tensor {list(array.shape)}")
    if create_graph and isinstance(gradient, TensorBase):
        return gradient if dy.dtype == gradient_dtype(array) else gradient.to(gradient_dtype(array))
    dy = dy.astype(gradient_dtype(array), copy=False)
    return wrap(dy) if create_graph else dy


def _walk(
    outputs: tuple[Any, ...],
    gradients: Any,
    retain_graph: bool | None,
    create_graph: bool,
    inputs: tuple[Any, ...] | None,
) -> Any:
    gradients = (None,) * len(outputs) if gradients is None else _tuple(gradients)
    if len(gradients) != len(outputs):
        raise RuntimeError(f"got {len(outputs)} tensors and {len(gradients)} gradients")
    starts = [start(y, dy, i, create_graph) for i, (y, dy) in enumerate(zip(outputs, gradients, strict=True))]
    keep = create_graph if retain_graph is None else bool(retain_graph)
    targets = None if inputs is None else [edge(x) for x in inputs]
    return run_backward([edge(y) for y in outputs], starts, keep, bool(create_graph), targets)


def backward(
    tensors: Tensor | Sequence[Tensor],
    grad_tensors: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    inputs: Tensor | Sequence[Tensor] | None = None,
) -> None:
    """Add the gradient of some tensors with respect to every leaf that requires one to that leaf's ``grad``.

    Parameters
    ----------
    tensors : Tensor or sequence of Tensor
    grad_tensors : Tensor or sequence of Tensor or None, optional
        For each tensor the gradient of some scalar with respect to it, of its shape; 1 for a tensor of one element.
    retain_graph : bool, optional
        Keep what the operations saved, so that the graph can be walked again; by default as `create_graph`.
    create_graph : bool
        Record the walk, so that the gradients can be differentiated.
    inputs : Tensor or sequence of Tensor, optional
        Fill only their ``grad``.

    Raises
    ------
    RuntimeError
        If a tensor does not require a gradient, a gradient is missing or of another shape, the graph has been freed,
        or something that it needs has been written over.
    """
    chosen = None if inputs is None else _tuple(inputs)
    if chosen is not None and not chosen:
        raise RuntimeError("`inputs` argument to `backward()` cannot be empty.")
    for x in chosen or ():
        if not x._requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    gradients = _walk(_tuple(tensors), grad_tensors, retain_graph, create_graph, chosen)
    for x, gradient in zip(chosen or (), gradients or (), strict=True):
        if gradient is None:
            continue
        if create_graph:
            x._grad = gradient if x._grad is None else x._grad + gradient
        else:
            x._accumulate(gradient, True)
        for hook in list((x._post_hooks or {}).values()):
            hook(x)


def grad(
    outputs: Tensor | Sequence[Tensor],
    inputs: Tensor | Sequence[Tensor],
    grad_outputs: Tensor | Sequence[Tensor | None] | None = None,
    retain_graph: bool | None = None,
    create_graph: bool = False,
    only_inputs: bool = True,
    allow_unused: bool | None = None,
    is_grads_batched: bool = False,
    materialize_grads: bool = False,
) -> tuple[Tensor | None, ...]:
    """The gradients of some outputs with respect to some inputs; nobody's ``grad`` is changed.

    Parameters
    ----------
    outputs, inputs : Tensor or sequence of Tensor
        The inputs may also be results of operations.
    grad_outputs : Tensor or sequence of Tensor or None, optional
        For each output the gradient of some scalar with respect to it, of its shape; 1 for an output of one element.
    retain_graph : bool, optional
        Keep what the operations saved, so that the graph can be walked again; by default as `create_graph`.
    create_graph : bool
        Record the walk, so that the gradients can be differentiated.
    allow_unused : bool, optional
        Whether None is returned for an input on which no output depends; by default as `materialize_grads`.
    materialize_grads : bool
        Return zeros instead of None.

    Returns
    -------
    tuple of Tensor or None
        A gradient for each input.

    Raises
    ------
    RuntimeError
        As :func:`backward`, and for an input that does not require a gradient or that no output depends on.
    NotImplementedError
        For `is_grads_batched`.

    Examples
    --------
    >>> x = fastconv.tensor(3.0, requires_grad=True)
    >>> fastconv.autograd.grad(x**2, x)
    (tensor(6.),)
    """
    if is_grads_batched:
        raise NotImplementedError("grad() has no is_grads_batched: call it once for each of the gradients")
    if not only_inputs:
        raise ValueError("only_inputs=False is no longer supported: use backward() to fill .grad")
    if allow_unused is False and materialize_grads:
        raise ValueError("materialize_grads=True needs allow_unused, got allow_unused=False")
    xs = _tuple(inputs)
    if not xs:
        raise RuntimeError("`inputs` argument to `grad()` cannot be empty.")
    for x in xs:
        if not isinstance(x, TensorBase):
            raise TypeError(f"expected tensors as inputs, got {brief(x)}")
        if not x._requires_grad:
            raise RuntimeError("One of the differentiated Tensors does not require grad")
    results = []
    for x, gradient in zip(xs, _walk(_tuple(outputs), grad_outputs, retain_graph, create_graph, xs), strict=True):
        if gradient is None and not (allow_unused or materialize_grads):
            raise RuntimeError(
                "One of the differentiated Tensors appears to not have been used in the graph. Set allow_unused=True "
                f"if this is the desired behavior. It has shape {list(x._array.shape)}"
            )
        if gradient is None:
            results.append(wrap(np.zeros_like(x._array)) if materialize_grads else None)
        else:
            gradient = gradient if create_graph else wrap(gradient)
            results.append(gradient if gradient.dtype == x.dtype else gradient.to(x.dtype))
    return tuple(results)
