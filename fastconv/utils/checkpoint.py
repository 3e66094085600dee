"""Gradient checkpointing: less memory for more time (Chen et al., 2016, arXiv:1604.06174).

What the operations of a checkpointed function saved for their gradients is dropped, and computed again when the walk
back comes there.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

from .._native.tape import Node, TensorBase, edge, recorded
from ..autograd import enable_grad, is_grad_enabled
from ..checks import integer
from ..nn.containers import Sequential
from ..random import default_generator

__all__ = ["CheckpointError", "checkpoint", "checkpoint_sequential"]


class CheckpointError(RuntimeError):
    """The function did not compute the same again."""


def tensors_in(value: Any) -> Iterable[TensorBase]:
    """The tensors in nested sequences and mappings."""
    if isinstance(value, TensorBase):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from tensors_in(item)
    elif isinstance(value, Sequence) and not isinstance(value, (str, bytes)):
        for item in value:
            yield from tensors_in(item)


def _nodes(result: Any, start: int) -> list[Node]:
    """The operations of number `start` and later that a result depends on, in order."""
    stack = [edge(tensor) for tensor in tensors_in(result)]
    found: dict[Node, None] = {}
    while stack:
        node = stack.pop()
        if isinstance(node, Node) and node.order >= start and node not in found:
            found[node] = None
            stack.extend(node.parents)
    return sorted(found, key=lambda node: node.order)


class _Again:
    """A function to be called again, with the random numbers that it drew."""

    def __init__(
        self, function: Callable[..., Any], args: tuple[Any, ...], kwargs: dict[Any, Any], preserve_rng_state: bool
    ) -> None:
        self.function, self.args, self.kwargs = function, args, kwargs
        self.random = default_generator.get_state() if preserve_rng_state else None
        self.nodes: list[Node] = []

    def record(self) -> tuple[Any, list[Node]]:
        start = recorded()
        result = self.function(*self.args, **self.kwargs)
        return result, _nodes(result, start)

    def restore(self) -> None:
        """Fill in what the operations saved."""
        now = default_generator.get_state()
        if self.random is not None:
            default_generator.set_state(self.random)
        try:
            with enable_grad():
                _, nodes = self.record()
        finally:
            if self.random is not None:
                default_generator.set_state(now)
        if [node.operation for node in nodes] != [node.operation for node in self.nodes]:
            raise CheckpointError(
                "checkpoint: the function recorded other operations when it was called again: "
                f"{[node.name() for node in self.nodes]} at first, then {[node.name() for node in nodes]}"
            )
        for node, new in zip(self.nodes, nodes, strict=True):
            if node.restore is not None:
                node.saved, node.restore = new.saved, None


def checkpoint(
    function: Callable[..., Any],
    *args: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
    **kwargs: Any,
) -> Any:
    """Call a function without keeping what its operations save; backward calls it once more to have that again.

    Parameters
    ----------
    function : callable
        It has to compute the same when it is called again with the same arguments.
    *args, **kwargs
        Its arguments.
    use_reentrant : bool, optional
        Of torch's interface; either way works as torch's ``use_reentrant=False``: with every form of backward, and for
        parameters of the function that are no arguments.
    preserve_rng_state : bool
        Whether the second call draws the random numbers of the first, as dropout has to.

    Returns
    -------
    What the function returns.

    Raises
    ------
    CheckpointError
        In backward, if the function records other operations the second time.
    """
    if use_reentrant not in (None, True, False):
        raise TypeError(f"use_reentrant must be a bool or None, got {use_reentrant!r}")
    if not is_grad_enabled():
        return function(*args, **kwargs)
    again = _Again(function, args, kwargs, preserve_rng_state)
    result, again.nodes = again.record()
    for node in again.nodes:
        if node.saved:
            node.saved, node.restore = None, again.restore
    return result


def checkpoint_sequential(
    functions: Sequential | Sequence[Callable[..., Any]],
    segments: int,
    input: Any,
    use_reentrant: bool | None = None,
    preserve_rng_state: bool = True,
) -> Any:
    """Checkpoint a chain of functions in segments, all but the last.

    Parameters
    ----------
    functions : Sequential or sequence of callables
        Called one after the other, each with what the one before it returned.
    segments : int
        How many; only what stands between them is kept.
    input : Tensor
    use_reentrant, preserve_rng_state
        See :func:`checkpoint`.
    """
    chain = list(functions.children()) if isinstance(functions, Sequential) else list(functions)
    segments = integer(segments, "segments", 1)
    if segments > len(chain):
        raise ValueError(f"checkpoint_sequential: {len(chain)} functions cannot be cut into {segments} segments")

    def run(part: list[Callable[..., Any]]) -> Callable[..., Any]:
        def call(x: Any) -> Any:
            for function in part:
                x = function(x)
            return x

        return call

    size = len(chain) // segments
    for start in range(0, size * (segments - 1), size):
        input = checkpoint(
            run(chain[start : start + size]), input, use_reentrant=use_reentrant, preserve_rng_state=preserve_rng_state
        )
    return run(chain[size * (segments - 1) :])(input)
