"""``torch.profiler.record_function``, a label for a profiler that is not here."""

from __future__ import annotations

import contextlib

__all__ = ["record_function"]


class record_function(contextlib.ContextDecorator):
    """A context, or a decorator, that gives a stretch of a program a name; nothing is recorded.

    Parameters
    ----------
    name : str
    """

    def __init__(self, name: str, args: str | None = None) -> None:
        self.name = name

    def __enter__(self) -> record_function:
        return self

    def __exit__(self, *exception: object) -> None:
        pass
