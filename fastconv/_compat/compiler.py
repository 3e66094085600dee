"""``torch.compiler`` and ``torch._dynamo``: nothing is compiled anew, for every layer is compiled already."""

from __future__ import annotations

import types
from collections.abc import Callable
from typing import Any

__all__ = ["allow_in_graph", "config", "disable", "is_compiling", "is_dynamo_compiling", "reset"]

config = types.SimpleNamespace()  # programs set options of the compiler on it


def is_compiling() -> bool:
    """False."""
    return False


is_dynamo_compiling = is_compiling


def allow_in_graph(fn: Callable) -> Callable:
    """`fn` itself."""
    return fn


def disable(fn: Callable | None = None, recursive: bool = True, **options: Any) -> Callable:
    """`fn` itself; without it, a decorator that returns what it decorates."""
    return allow_in_graph if fn is None else fn


def reset() -> None:
    """Does nothing: nothing is kept."""
