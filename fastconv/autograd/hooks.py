"""Hooks: functions that are called with a gradient, or after one has been added up."""

from __future__ import annotations

import itertools
from typing import Any

__all__ = ["RemovableHandle", "add_hook"]

_numbers = itertools.count()


class RemovableHandle:
    """What registering a hook returns: :meth:`remove`, or the end of a ``with`` block, takes the hook away.

    Attributes
    ----------
    id : int
    """

    def __init__(self, hooks: dict[int, Any]) -> None:
        self.id: int = next(_numbers)
        self._hooks = hooks

    def remove(self) -> None:
        """Take the hook away; it does not matter whether it is still there."""
        self._hooks.pop(self.id, None)

    def __enter__(self) -> RemovableHandle:
        return self

    def __exit__(self, *exception: object) -> None:
        self.remove()


def add_hook(hooks: dict[int, Any], hook: Any, first: bool = False) -> RemovableHandle:
    """Add a hook to those that there are, as the last or as the first."""
    handle = RemovableHandle(hooks)
    before = dict(hooks) if first else {}
    if first:
        hooks.clear()
    hooks[handle.id] = hook
    hooks.update(before)
    return handle
