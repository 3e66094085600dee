"""Function: an operation of one's own, with its forward and its backward."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import primitives
from .._native.tape import Node, TensorBase, apply, differentiable_twice, edge, wrap
from .modes import is_grad_enabled, no_grad

__all__ = ["Function", "FunctionCtx", "once_differentiable"]


class _Saved:
    """A tensor as it was saved: its array, the version of its memory, and where its gradient goes."""

    def __init__(self, tensor: TensorBase) -> None:
        self.tensor = tensor._alias()
        self.version = self.tensor._version
        self.edge = edge(tensor)

    def unpack(self, name: str) -> Any:
        """The tensor with its history, if its memory is as it was."""
        if self.tensor._version != self.version:
            raise RuntimeError(
                "one of the variables needed for gradient computation has been modified by an inplace operation: what "
                f"{name} saved, of shape {list(self.tensor._array.shape)}, is at version {self.tensor._version}; "
                f"expected version {self.version} instead"
            )
        if self.edge is None:
            return self.tensor
        if isinstance(self.edge, TensorBase) and self.edge._array is self.tensor._array:
            return self.edge
        tensor = self.tensor._alias()
        tensor._node, tensor._requires_grad = self.edge, True
        return tensor


class FunctionCtx:
    """What :meth:`Function.forward` hands on to :meth:`Function.backward`; attributes of any name can be set.

    Attributes
    ----------
    needs_input_grad : tuple of bool
        For each argument whether its gradient will be asked for.
    saved_tensors : tuple of Tensor or None
        What :meth:`save_for_backward` got.
    """

    def __init__(self, name: str, needs_input_grad: tuple[bool, ...]) -> None:
        self.needs_input_grad = needs_input_grad
        self._name = name
        self._to_save: tuple[Any, ...] = ()
        self._saved: tuple[Any, ...] | None = ()
        self._constant: tuple[Any, ...] = ()
        self._dirty: tuple[Any, ...] = ()
        self._materialize = True

    def save_for_backward(self, *tensors: Any) -> None:
        """Keep tensors (or None) for backward: inputs, results or others; it is checked that nobody writes to them."""
        self._to_save = tensors

    @property
    def saved_tensors(self) -> tuple[Any, ...]:
        return tuple([None if s is None else s.unpack(self._name) for s in self._saved or ()])

    def mark_non_differentiable(self, *tensors: Any) -> None:
        """Say of results that they have no gradient."""
        self._constant = tensors

    def mark_dirty(self, *tensors: Any) -> None:
        """Say of inputs that forward wrote to them; they have to be among its results."""
        self._dirty = tensors

    def set_materialize_grads(self, value: bool) -> None:
        """Whether backward gets zeros (the default) or None for results that no gradient reached."""
        self._materialize = bool(value)


def once_differentiable(backward: Callable[..., Any]) -> Callable[..., Any]:
    """A decorator of :meth:`Function.backward`: its gradients cannot be differentiated again, trying is an error."""

    @functools.wraps(backward)
    def wrapper(ctx: FunctionCtx, *gradients: Any) -> Any:
        with no_grad():
            return backward(ctx, *gradients)

    wrapper.once_differentiable = True  # type: ignore[attr-defined]
    return wrapper


class Function:
    """A differentiable operation, written as a subclass with two static methods; it is called by :meth:`apply`.

    ``forward(ctx, *args)`` computes the result, a tensor or a tuple of them, and saves what backward needs by
    ``ctx.save_for_backward``. ``backward(ctx, *grads)`` takes the gradient of each result and returns one for each
    argument, or None. A class may define ``setup_context(ctx, inputs, output)`` beside a ``forward(*args)``.

    Examples
    --------
    >>> class Square(Function):
    ...     @staticmethod
    ...     def forward(ctx, x):
    ...         ctx.save_for_backward(x)
    ...         return x * x
    ...
    ...     @staticmethod
    ...     def backward(ctx, dy):
    ...         (x,) = ctx.saved_tensors
    ...         return 2 * x * dy
    >>> Square.apply(fastconv.tensor(3.0))
    tensor(9.)
    """

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        raise NotImplementedError("a subclass of autograd.Function has to define forward()")

    @staticmethod
    def backward(ctx: Any, *grads: Any) -> Any:
        raise NotImplementedError("a subclass of autograd.Function has to define backward() to be differentiated")

    setup_context: Callable[..., Any] | None = None

    @classmethod
    def apply(cls, *args: Any) -> Any:
        """Compute the function and record it."""
        edges = [edge(a) if isinstance(a, TensorBase) else None for a in args]
        needs = tuple([e is not None for e in edges])
        ctx = FunctionCtx(f"{cls.__name__}Backward", needs)
        recorded = any(needs) and is_grad_enabled()
        with no_grad():
            if cls.setup_context is None:
                result = cls.forward(ctx, *args)
            else:
                result = cls.forward(*args)
                cls.setup_context(ctx, args, result)
        if not recorded:
            return result
        outputs = result if isinstance(result, tuple) else (result,)
        outputs = tuple([_separate(y, args, ctx) for y in outputs])
        _record(cls, ctx, args, edges, outputs)
        return outputs if isinstance(result, tuple) else outputs[0]


def _separate(y: Any, args: tuple[Any, ...], ctx: FunctionCtx) -> Any:
    """A result that is an input, and was not written to, as a tensor of its own on the same memory."""
    if isinstance(y, TensorBase) and any(y is a for a in args) and not any(y is d for d in ctx._dirty):
        return y._alias()
    return y


def _record(
    cls: type[Function], ctx: FunctionCtx, args: tuple[Any, ...], edges: list[Any], outputs: tuple[Any, ...]
) -> None:
    differentiable = [
        isinstance(y, TensorBase) and y._array.dtype.kind == "f" and not any(y is c for c in ctx._constant)
        for y in outputs
    ]
    slots: list[Any] = [None] * len(outputs)
    shapes = [(y._array.shape, y._array.dtype) if isinstance(y, TensorBase) else None for y in outputs]
    argument_shapes = [None if e is None else a._array.shape for a, e in zip(args, edges, strict=True)]
    single = differentiable.index(True) if differentiable.count(True) == 1 else None

    def vjp(dy: Any, ctx: FunctionCtx = ctx) -> list[Any]:
        if single is not None:
            slots[single] = dy
        gradients = []
        for slot, shape in zip(slots, shapes, strict=True):
            if slot is None and shape is not None and ctx._materialize:
                slot = np.zeros(*shape)
            gradients.append(slot if slot is None or isinstance(slot, TensorBase) else wrap(slot))
        slots[:] = [None] * len(slots)
        found = cls.backward(ctx, *gradients)
        return _checked(cls, found, argument_shapes, edges, isinstance(dy, TensorBase))

    operation = cls if hasattr(cls.backward, "once_differentiable") else differentiable_twice(cls)
    node = Node(operation, vjp, (), tuple(edges))
    for i, (y, is_differentiable) in enumerate(zip(outputs, differentiable, strict=True)):
        if not is_differentiable:
            continue
        if single is None:
            made = Node(_result, functools.partial(_fill, slots, i), (), (node,))
        else:
            made = node
        if any(y is d for d in ctx._dirty):
            y._adopt(made)
        else:
            y._node, y._requires_grad = made, True
    ctx._saved = tuple([None if t is None else _Saved(t) for t in ctx._to_save])
    ctx._to_save = ()
    if ctx._saved:  # so that the walk back frees it
        vjp.__defaults__ = None
        node.saved = (ctx,)


@differentiable_twice
def _result(y: Any) -> Any:
    """One of several results of a Function."""
    return y


def _fill(slots: list[Any], place: int, dy: Any) -> tuple[Any, ...]:
    """Leave the gradient of one result for the node of all of them."""
    slots[place] = dy
    return (np.zeros(()),)


def _checked(cls: type[Function], found: Any, shapes: list[Any], edges: list[Any], create_graph: bool) -> list[Any]:
    """The gradients that a backward returned, one for each argument, of its shape."""
    gradients = list(found) if isinstance(found, (tuple, list)) else [found]
    while len(gradients) > len(shapes) and gradients[-1] is None:
        gradients.pop()
    if len(gradients) != len(shapes):
        raise RuntimeError(
            f"function {cls.__name__}Backward returned an incorrect number of gradients (expected {len(shapes)}, "
            f"got {len(gradients)})"
        )
    results: list[Any] = []
    for i, (gradient, shape, target) in enumerate(zip(gradients, shapes, edges, strict=True)):
        if target is None or gradient is None:
            results.append(None)
            continue
        if not isinstance(gradient, TensorBase):
            raise RuntimeError(f"function {cls.__name__}Backward returned no tensor at index {i}, but {gradient!r}")
        if gradient._array.shape != shape:
            try:
                fits = np.broadcast_shapes(gradient._array.shape, shape)
            except ValueError:
                fits = None
            if fits != gradient._array.shape:
                raise RuntimeError(
                    f"Function {cls.__name__}Backward returned an invalid gradient at index {i} - got "
                    f"{list(gradient._array.shape)} but expected shape compatible with {list(shape)}"
                )
            gradient = apply(primitives.sum_to, gradient, shape=shape)
        results.append(gradient if create_graph else gradient._array)
    return results
