"""Models made faster as a whole: :func:`optimize`."""

from __future__ import annotations

from ..nn import Module
from .inference import InferenceModule

__all__ = ["InferenceModule", "optimize"]


def optimize(model: Module) -> Module:
    """A model that computes what this one does, faster; it shares parameters and buffers with it.

    Of a model in evaluation mode, an :class:`InferenceModule`: batch norm is folded into convolutions, additions and
    activations become parts of them, filters are packed once, and images keep one layout in between.

    Parameters
    ----------
    model : Module
        In evaluation mode.

    Returns
    -------
    Module

    Raises
    ------
    TypeError
        If `model` is no Module.
    RuntimeError
        If it is in training mode.
    """
    if not isinstance(model, Module):
        raise TypeError(f"optimize() expects a Module, got {model!r} of type {type(model).__name__}")
    if isinstance(model, InferenceModule):
        return model
    if model.training:
        name = type(model).__name__
        raise RuntimeError(
            f"optimize() expects a model in evaluation mode, got {name} in training mode: call eval() first"
        )
    return InferenceModule(model)
