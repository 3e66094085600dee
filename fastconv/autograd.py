"""The tape: what was computed, so that it can be differentiated, and the walk back along it.

Every recorded operation is a :class:`Node` with its vector-Jacobian product ``vjp(dy, *saved)``: it takes the gradient
of the operation's result and what was saved, and returns one gradient per input, which is a new array, the gradient
that came in or a view of it, or None for an input that needs none. (ReLU's is told when it may write over what came
in.) The product closes over shapes, numbers and flags only; the arrays that it needs are in ``saved``, which is dropped
as soon as it has been called.

Tensors that share memory share a :class:`~fastconv._native.tape.Version`, which counts the in-place operations on it.
What is saved of an input or of the result is watched: if its version is another when the walk back comes there, that
is an error. An in-place operation on a view replaces a part of its base: the base gets a new node, and the view, when
it is next asked, too.

The recording and the walk are compiled, in tape.pyx, for every operation passes them; here is how they are turned on
and off.
"""

from __future__ import annotations

import functools
from collections.abc import Callable

from ._native.tape import Node, run_backward
from ._native.tape import recording as _recording

__all__ = ["Node", "enable_grad", "is_grad_enabled", "no_grad", "run_backward", "set_grad_enabled"]


def is_grad_enabled() -> bool:
    """Whether operations on tensors that require a gradient are recorded in this thread."""
    return _recording.get()


class _GradMode:
    """A context manager, and a decorator, that turns recording on or off."""

    enabled: bool

    def __new__(cls, function: Callable | None = None):
        mode = super().__new__(cls)
        return mode if function is None else mode(function)  # allows the bare decorator @no_grad

    def __enter__(self) -> None:
        self.previous = _recording.get()
        _recording.set(self.enabled)

    def __exit__(self, *exception) -> None:
        _recording.set(self.previous)

    def __call__(self, function: Callable) -> Callable:
        @functools.wraps(function)
        def wrapper(*args, **kwargs):
            with type(self)():
                return function(*args, **kwargs)

        return wrapper


class no_grad(_GradMode):
    """Within it nothing is recorded: ``with no_grad(): ...`` or ``@no_grad()`` before a function."""

    enabled = False


class enable_grad(_GradMode):
    """Within it operations are recorded again: ``with enable_grad(): ...`` or ``@enable_grad()``."""

    enabled = True


class set_grad_enabled:
    """Turn recording on or off, at once; as a context manager also back again at its end.

    Parameters
    ----------
    mode : bool
    """

    def __init__(self, mode: bool) -> None:
        self.previous = _recording.get()
        _recording.set(bool(mode))

    def __enter__(self) -> None:
        pass

    def __exit__(self, *exception) -> None:
        _recording.set(self.previous)


def __getattr__(name: str):
    from ._compat import find  # what only programs written for torch name

    return find(__name__, name)
