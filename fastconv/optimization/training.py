"""Models in training: batch norm, what is added to it, and the rectifier behind that, as one operation."""

from __future__ import annotations

from ..nn import Module
from ..nn.fused import NORMS, at_once, can_wait
from ..rewriting import Forward, steps_of

__all__ = ["fused"]


class TrainingForward(Forward):
    """A module's forward() in which batch norm waits for what is added to it and for a rectifier."""

    steps = steps_of(can_wait, at_once)
    layers = NORMS


def fused(model: Module) -> Module:
    """The model, whose modules with batch norm among their children have a :class:`TrainingForward`."""
    for module in model.modules():
        TrainingForward.of(module)
    return model
