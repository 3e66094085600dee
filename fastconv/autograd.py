"""The tape: what was computed, so that it can be differentiated, and the walk back along it.

Every recorded operation is a :class:`Node` with its vector-Jacobian product: it takes the gradient of the
operation's result and returns one gradient per input, which is a new array, the gradient that came in or a
view of it, or None for an input that needs none. What a product has to remember it keeps in its closure, and
that is dropped as soon as the product has been called.
"""

from __future__ import annotations

import functools
from collections.abc import Callable, Sequence
from contextvars import ContextVar
from heapq import heappop, heappush
from itertools import count

import numpy as np

__all__ = ["Node", "enable_grad", "is_grad_enabled", "no_grad", "run_backward", "set_grad_enabled"]

_recording: ContextVar[bool] = ContextVar("recording", default=True)  # per thread, as torch's


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


_clock = count()


class Node:
    """One recorded operation.

    Attributes
    ----------
    order : int
        Time of recording: an operation's inputs were recorded before it, so that descending order is a
        topological order of the graph.
    name : str
        Name of the operation.
    vjp : callable or None
        The vector-Jacobian product; None once :meth:`Tensor.backward` has consumed it.
    parents : sequence
        For each input the Node that made it, the leaf Tensor that it is, or None where no gradient goes.
    """

    __slots__ = ("name", "order", "parents", "vjp")

    def __init__(self, name: str, vjp: Callable, parents: Sequence) -> None:
        self.order = next(_clock)
        self.name = name
        self.vjp: Callable | None = vjp
        self.parents = parents

    def __repr__(self) -> str:
        return f"<{self.name}>"


def _is_own(gradient: np.ndarray, dy: np.ndarray) -> bool:
    """Whether a product's result is memory of its own, neither `dy` nor a view."""
    return gradient is not dy and not isinstance(gradient.base, np.ndarray)


def run_backward(root: Node, dy: np.ndarray, retain_graph: bool) -> None:
    """Add the gradient of every leaf to it, given the gradient of what `root` made.

    The nodes are visited in reverse order of recording, each when all of its gradient has arrived. Unless
    `retain_graph`, what a node saved is freed right before its turn is over.
    """
    heap = [(-root.order, root)]
    arrived = {root: (dy, False)}  # by node: the sum of the gradients so far, and whether it may be written to
    while heap:
        node = heappop(heap)[1]
        dy = arrived.pop(node)[0]
        vjp, parents = node.vjp, node.parents
        if vjp is None:
            raise RuntimeError(
                f"Trying to backward through the graph a second time: what {node!r} saved for it was freed by the "
                "first backward(). Specify retain_graph=True there to go through the graph again"
            )
        if not retain_graph:
            node.vjp, node.parents = None, ()
        gradients = vjp(dy)
        del vjp  # and with it the saved arrays
        for parent, gradient in zip(parents, gradients, strict=True):
            if parent is None:
                continue
            gradient = np.asarray(gradient)
            own = _is_own(gradient, dy)
            if type(parent) is not Node:
                parent._accumulate(gradient, own)
            elif parent not in arrived:
                arrived[parent] = gradient, own
                heappush(heap, (-parent.order, parent))
            else:
                other, other_own = arrived[parent]
                out = other if other_own else gradient if own else None
                arrived[parent] = np.asarray(np.add(other, gradient, out=out)), True
                del other, out
        del gradient, gradients, dy
