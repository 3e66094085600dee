"""``torch.jit``: nothing is scripted or traced, for every layer is compiled; functions and modules stay as they are."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from ..nn import Module as ScriptModule

__all__ = [
    "Final",
    "ScriptModule",
    "annotate",
    "export",
    "ignore",
    "is_scripting",
    "is_tracing",
    "script",
    "script_if_tracing",
    "script_method",
    "trace",
    "unused",
]


def script(obj: Any, *args: Any, **kwargs: Any) -> Any:
    """`obj` itself, a module, function or class."""
    return obj


def trace(func: Any, example_inputs: Any = None, *args: Any, **kwargs: Any) -> Any:
    """`func` itself, a module or function."""
    return func


def is_scripting() -> bool:
    """False."""
    return False


def is_tracing() -> bool:
    """False."""
    return False


def export(fn: Callable) -> Callable:
    """`fn` itself."""
    return fn


script_method = script_if_tracing = _overload_method = _overload = export


def ignore(drop: Any = False, **kwargs: Any) -> Callable:
    """`drop` itself where it is the decorated function; else a decorator that returns what it decorates."""
    return drop if callable(drop) else export


def unused(fn: Callable) -> Callable:
    """`fn` itself."""
    return fn


def annotate(the_type: Any, the_value: Any) -> Any:
    """`the_value`."""
    return the_value
