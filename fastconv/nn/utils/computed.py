"""Parameters that are computed from others each time they are read: for weight norm, spectral norm and pruning."""

from __future__ import annotations

from collections.abc import Callable

from ..module import Module
from ..parameter import Parameter

__all__ = ["compute", "is_computed", "restore", "take"]


def compute(module: Module, name: str, function: Callable[[Module], object]) -> None:
    """Let the attribute be ``function(module)``; the parameter of that name must have gone."""
    own = type(module)
    module.__class__ = type(own.__name__, (own,), {name: property(function), "_computes": name, "__doc__": own.__doc__})


def is_computed(module: Module, name: str) -> bool:
    """Whether :func:`compute` has been called for that name."""
    return any(vars(cls).get("_computes") == name for cls in type(module).__mro__)


def restore(module: Module, name: str, value: Parameter) -> None:
    """Make the attribute an ordinary parameter again."""
    kept, base = [], type(module)
    while vars(base).get("_computes") not in (None, name):
        kept.append((base._computes, vars(base)[base._computes].fget))
        base = base.__bases__[0]
    if vars(base).get("_computes") != name:
        raise ValueError(f"{name!r} of {module} is not computed from other parameters")
    module.__class__ = base.__bases__[0]
    module.register_parameter(name, value)
    for other, function in reversed(kept):
        compute(module, other, function)


def take(module: Module, name: str) -> Parameter:
    """Remove a parameter from the module; returns it."""
    parameter = module._parameters.get(name)
    if parameter is None:
        raise ValueError(f"{type(module).__name__} has no parameter {name!r} that can be computed from others")
    del module._parameters[name]
    return parameter
