"""Models made faster as a whole: :func:`optimize`."""

from __future__ import annotations

from ..nn import Module
from .inference import InferenceModule
from .training import fused

__all__ = ["InferenceModule", "optimize"]


def optimize(model: Module) -> Module:
    """A model that computes what this one does, faster; it shares parameters and buffers with it.

    Of a model in evaluation mode, an :class:`InferenceModule`: batch norm is folded into convolutions, additions and
    activations become parts of them, filters are packed once, and images keep one layout in between.

    Of a model in training mode, the model itself, whose modules compute batch norm, what is added to it, and a ReLU or
    ReLU6 behind that as one operation, of the same bits, wherever the text of their forward() shows that nothing else
    reads what is between them. Sequential and the networks of `vision.models` do so in any case. Layers with hooks are
    called one by one.

    Parameters
    ----------
    model : Module

    Returns
    -------
    Module

    Raises
    ------
    TypeError
        If `model` is no Module.
    """
    if not isinstance(model, Module):
        raise TypeError(f"optimize() expects a Module, got {model!r} of type {type(model).__name__}")
    if isinstance(model, InferenceModule):
        return model
    if model.training:
        return fused(model)
    return InferenceModule(model)
