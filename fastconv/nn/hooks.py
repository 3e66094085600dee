"""Hooks of modules: functions called before and after forward, and with the gradients of backward."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .._tensor import Tensor
from ..autograd import Function, is_grad_enabled

if TYPE_CHECKING:
    from .module import Module

__all__ = ["KINDS", "call"]

KINDS = ("forward_pre", "forward", "backward_pre", "backward")


class _Gate(Function):
    """Hands tensors on as they are; their gradients go through a function, all at once."""

    @staticmethod
    def forward(ctx, through: Callable[..., Any], *tensors: Tensor) -> tuple[Any, ...]:
        ctx.through = through
        ctx.set_materialize_grads(False)
        return tensors

    @staticmethod
    def backward(ctx, *gradients: Tensor | None) -> tuple[Any, ...]:
        return (None, *ctx.through(gradients))


def _pass(through: Callable[..., Any], values: tuple[Any, ...]) -> tuple[Any, ...]:
    """The values, whose tensors that require a gradient have passed a gate."""
    chosen = [i for i, value in enumerate(values) if isinstance(value, Tensor) and value.requires_grad]

    def gradients_through(gradients: tuple[Any, ...]) -> list[Any]:
        full: list[Any] = [None] * len(values)
        for i, gradient in zip(chosen, gradients, strict=True):
            full[i] = gradient
        changed = through(tuple(full))
        return [changed[i] for i in chosen]

    if not chosen:
        return values
    result = list(values)
    for i, tensor in zip(chosen, _Gate.apply(gradients_through, *[values[i] for i in chosen]), strict=True):
        result[i] = tensor
    return tuple(result)


class _Backward:
    """The backward hooks during one call of a module: a gate before it and a gate after it."""

    def __init__(self, module: Module, hooks: dict[str, dict[Any, Any]]) -> None:
        self.module, self.hooks = module, hooks
        self.grad_output: tuple[Any, ...] = ()
        self.has_inputs = False

    def enter(self, args: tuple[Any, ...]) -> tuple[Any, ...]:
        self.count = len(args)
        self.has_inputs = any(isinstance(a, Tensor) and a.requires_grad for a in args)
        return _pass(self.at_input, args)

    def leave(self, result: Any) -> Any:
        if isinstance(result, Tensor):
            return _pass(self.at_output, (result,))[0]
        if type(result) in (tuple, list):
            return type(result)(_pass(self.at_output, tuple(result)))
        return result

    def at_output(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _ in list(self.hooks["backward_pre"].values()):
            gradients = _replaced(hook(self.module, gradients), gradients, "grad_output")
        self.grad_output = gradients
        if not self.has_inputs:
            self.at_input((None,) * self.count)
        return gradients

    def at_input(self, gradients: tuple[Any, ...]) -> tuple[Any, ...]:
        for hook, _ in list(self.hooks["backward"].values()):
            gradients = _replaced(hook(self.module, gradients, self.grad_output), gradients, "grad_input")
        return gradients


def _replaced(changed: Any, gradients: tuple[Any, ...], name: str) -> tuple[Any, ...]:
    """What a hook returned in place of the gradients, if anything."""
    if changed is None:
        return gradients
    changed = changed if isinstance(changed, tuple) else (changed,)
    if len(changed) != len(gradients):
        raise RuntimeError(f"a backward hook returned {len(changed)} tensors as {name}, expected {len(gradients)}")
    return changed


def call(module: Module, hooks: dict[str, dict[Any, Any]], args: tuple[Any, ...], kwargs: dict[str, Any]) -> Any:
    """``module.forward(*args, **kwargs)``, with the hooks around it."""
    for hook, with_kwargs in list(hooks["forward_pre"].values()):
        changed = hook(module, args, kwargs) if with_kwargs else hook(module, args)
        if changed is None:
            continue
        if not with_kwargs:
            args = changed if isinstance(changed, tuple) else (changed,)
        elif isinstance(changed, tuple) and len(changed) == 2:
            args, kwargs = changed
        else:
            raise RuntimeError(f"a forward pre-hook with kwargs must return None or (args, kwargs), got {changed!r}")
    around = None
    if is_grad_enabled() and (hooks["backward"] or hooks["backward_pre"]):
        around = _Backward(module, hooks)
        args = around.enter(args)
    result = module.forward(*args, **kwargs)
    for hook, with_kwargs in list(hooks["forward"].values()):
        changed = hook(module, args, kwargs, result) if with_kwargs else hook(module, args, result)
        result = result if changed is None else changed
    return result if around is None else around.leave(result)
