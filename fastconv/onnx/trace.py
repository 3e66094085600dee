"""What a model computes in one forward pass: the calls of functions that can be written as operators, in order.

While :meth:`Trace.run` calls the model, Python's profile hook of this thread tells of every function that is entered
and left. Those in the table of writers are recorded with their arguments and results, and what they call in turn is
theirs; so a function without a writer, of the package or of a program, is recorded as what it is composed of. Tensors
are recorded as :class:`Value`, one for each content: an in-place operation gives its tensor a new one.
"""

from __future__ import annotations

import sys
import weakref
from collections import OrderedDict
from collections.abc import Callable, Iterator, Sequence
from types import FrameType
from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor
from ..autograd import no_grad
from ..nn import Module
from ..nn.fused import one_by_one
from .graph import Dim, Value
from .writers import CODES, PUBLIC

__all__ = ["Call", "Trace", "merge", "replaced", "tensors_of"]


class Call(NamedTuple):
    """A call of a function that has a writer; tensors are Values."""

    function: Callable[..., Any]
    arguments: dict[str, Any]
    result: Any


def tensors_of(x: Any) -> Iterator[Any]:
    """The tensors, or Values, in nested lists, tuples and dicts."""
    if isinstance(x, (Tensor, Value)):
        yield x
    elif isinstance(x, (list, tuple)):
        for item in x:
            yield from tensors_of(item)
    elif isinstance(x, dict):
        yield from tensors_of(list(x.values()))


def replaced(x: Any, function: Callable[[Any], Any], kind: type = Tensor) -> Any:
    """The same nested lists, tuples, named tuples and dicts with what is of a kind replaced."""
    if isinstance(x, kind):
        return function(x)
    if isinstance(x, dict):
        items = [(key, replaced(item, function, kind)) for key, item in x.items()]
        return OrderedDict(items) if isinstance(x, OrderedDict) else dict(items)
    if isinstance(x, (list, tuple)):
        items = [replaced(item, function, kind) for item in x]
        if hasattr(x, "_fields"):
            return type(x)(*items)
        return items if isinstance(x, list) else tuple(items)
    return x


def _bounds(x: Any) -> Iterator[Tensor]:
    """The tensors that bound slices in nested lists, tuples and dicts."""
    if isinstance(x, slice):
        yield from tensors_of([x.start, x.stop, x.step])
    elif isinstance(x, (list, tuple, dict)):
        for item in x.values() if isinstance(x, dict) else x:
            yield from _bounds(item)


class Trace:
    """The record of one forward pass.

    Attributes
    ----------
    inputs : list of Value
    outputs : list of Value
        Those in the model's result, in order.
    result : Value, or nested list, tuple or dict
        The result itself.
    calls : list of Call
    missing : dict
        The functions that were computed with and have no writer, by name, with the numbers of their calls.
    problems : list of str
        What else cannot be written.
    names : set of str
        Those of parameters and buffers.
    written : list of (Value, weak reference, bool)
        What tensors held that calls wrote to in place, the tensors, and whether they are views of others.
    """

    def __init__(self) -> None:
        self.inputs: list[Value] = []
        self.outputs: list[Value] = []
        self.result: Any = None
        self.calls: list[Call] = []
        self.missing: dict[str, set[int]] = {}
        self.problems: list[str] = []
        self.names: set[str] = set()
        self.written: list[tuple[Value, weakref.ref[Tensor], bool]] = []
        self._values: dict[int, tuple[weakref.ref[Tensor], int, Value]] = {}
        # Results of functions without a writer: their names, and the numbers of the calls.
        self._unwritten: dict[int, tuple[str, int]] = {}
        self._inside: FrameType | None = None  # the call that is being recorded
        self._arguments: dict[str, Any] = {}
        self._public: list[FrameType] = []  # functions without a writer that were given what was computed
        self._left = 0  # how many of them have come back
        self._subjects: list[tuple[Tensor, Value]] = []
        self._arrays: list[weakref.ref[np.ndarray]] = []  # of inputs and of what was computed

    def run(self, model: Module, arguments: tuple[Any, dict[str, Any]], given: Callable[[Tensor], Tensor]) -> Any:
        """Record ``model(*arguments[0], **arguments[1])``, with `given` of each tensor as the model's input; returns
        what the model does."""

        def taken(tensor: Tensor) -> Tensor:
            tensor = given(tensor)
            self.inputs.append(self._give(tensor))
            self._arrays.append(weakref.ref(tensor._array))
            return tensor

        positional, named = replaced(list(arguments), taken)
        before = sys.getprofile()
        try:
            with no_grad(), one_by_one():
                sys.setprofile(self._event)
                result = model(*positional, **named)
        finally:
            if hasattr(before, "enable"):  # cProfile's hook, which is no function
                before.enable()
            else:
                sys.setprofile(before)
        self.result = replaced(result, self.value)
        self.outputs = list(tensors_of(self.result))
        return result

    def parameter(self, tensor: Tensor, name: str) -> None:
        """Let a tensor that the model has be known by its name."""
        if self._known(tensor) is None:
            self._give(tensor, tensor._array).name = name
            self.names.add(name)

    # What a tensor's content is

    def _give(self, tensor: Tensor, array: np.ndarray | None = None) -> Value:
        """A new Value for what the tensor holds now."""
        tensor.detach()  # from now on writes to it are counted
        value = Value(tensor, array)
        self._values[id(tensor)] = weakref.ref(tensor), tensor._version, value
        self._unwritten.pop(id(tensor), None)
        return value

    def _known(self, tensor: Tensor) -> Value | None:
        found = self._values.get(id(tensor))
        return None if found is None or found[0]() is not tensor or found[1] != tensor._version else found[2]

    def _is_computed(self, tensor: Tensor) -> bool:
        """Whether what it holds, or held before somebody wrote to it or to a view of it, was computed."""
        found = self._values.get(id(tensor))
        if found is not None and found[0]() is tensor:
            if found[2].array is None:
                return True
            if found[1] == tensor._version:
                return False
        return id(tensor) in self._unwritten or self._shares(tensor)

    def _shares(self, tensor: Tensor) -> bool:
        """Whether it lies in the memory of inputs or of what was computed, as a view does that nobody has recorded."""
        arrays = (array() for array in self._arrays)
        return any(array is not None and np.may_share_memory(tensor._array, array) for array in arrays)

    def value(self, tensor: Tensor) -> Value:
        """The Value of a tensor; of one that nothing recorded has made, a constant."""
        value = self._known(tensor)
        if value is not None:
            return value
        if id(tensor) in self._unwritten:
            name, call = self._unwritten[id(tensor)]
            self.missing.setdefault(name, set()).add(call)
            return self._give(tensor)
        if self._is_computed(tensor):
            self.problems.append(
                f"a tensor of shape {list(tensor.shape)} is used after it, or a view of it, was written to in place, "
                "or is a view of what was computed that no recorded function has made"
            )
        return self._give(tensor, tensor._array.copy())

    # What Python's profile hook tells

    def _event(self, frame: FrameType, event: str, argument: Any) -> None:
        if event == "call":
            if self._inside is None:
                if frame.f_code in CODES:
                    arguments = {name: _plain(x) for name, x in frame.f_locals.items()}
                    if any(map(self._is_computed, _bounds(arguments))):
                        self.problems.append("what was computed bounds a slice")
                    if any(self._is_computed(tensor) for tensor in tensors_of(arguments)):
                        self._inside = frame
                        self._subjects = [(tensor, self.value(tensor)) for tensor in tensors_of(arguments)]
                        self._arguments = replaced(arguments, self.value)
                elif frame.f_code in PUBLIC and any(map(self._is_computed, tensors_of(dict(frame.f_locals)))):
                    self._public.append(frame)
        elif event == "return":
            if frame is self._inside:
                self._inside = None
                self._record(CODES[frame.f_code], argument)
            elif self._public and frame is self._public[-1]:
                self._public.pop()
                self._left += 1
                for tensor in tensors_of(argument):
                    if self._known(tensor) is None and id(tensor) not in self._unwritten:
                        self._unwritten[id(tensor)] = PUBLIC[frame.f_code], self._left
                        weakref.finalize(tensor, self._unwritten.pop, id(tensor), None)

    def _record(self, function: Callable[..., Any], result: Any) -> None:
        written = [(tensor, value) for tensor, value in self._subjects if self._known(tensor) is not value]
        if result is None:
            if not self._subjects or self._known(self._subjects[0][0]) is not None:
                return  # an error, which somebody else reports
            result = self._subjects[0][0]
        arguments, self._arguments, self._subjects = self._arguments, {}, []
        for tensor, value in written:
            is_view = isinstance(tensor._array.base, np.ndarray)
            self.written.append((value, weakref.ref(tensor), is_view))
            self._arrays.append(weakref.ref(tensor._array))
        if all(self._known(tensor) is not None for tensor in tensors_of(result)):
            return  # it has handed back what it was given
        self.calls.append(Call(function, arguments, replaced(result, self._result)))

    def _result(self, tensor: Tensor) -> Value:
        self._arrays.append(weakref.ref(tensor._array))
        value = self._known(tensor)
        return self._give(tensor) if value is None else value


def _plain(x: Any) -> Any:
    """An argument that nobody changes later."""
    return list(x) if isinstance(x, list) else x


# ---- several passes ------------------------------------------------------------------------------------------------


def merge(passes: Sequence[Any], where: str) -> Any:
    """What passes of other lengths have in common; a length in which they differ is a Dim.

    Raises
    ------
    RuntimeError
        If they differ in anything else.
    """
    first, others = passes[0], passes[1:]
    if not others:
        return first
    if all(type(other) is type(first) for other in others):
        if isinstance(first, Value):
            if all(other.array is None and other.ndim == first.ndim for other in passes):
                first.shape = merge([tuple(map(int, value.shape)) for value in passes], where)
                return first
            if all(other.array is not None and other.ndim == first.ndim for other in passes):
                arrays = [other.array for other in passes]
                if all(np.array_equal(first.array, array) for array in arrays):
                    return first
                if all(array.size and (array == arrays[0].flat[0]).all() for array in arrays):  # as zeros() makes it
                    first.shape = merge([tuple(map(int, value.shape)) for value in passes], where)
                    return first
        elif isinstance(first, (list, tuple)) and all(len(other) == len(first) for other in others):
            merged = [merge(items, where) for items in zip(*passes, strict=True)]
            return merged if isinstance(first, list) else tuple(merged)
        elif isinstance(first, dict) and all(list(other) == list(first) for other in others):
            return {key: merge([x[key] for x in passes], where) for key in first}
        elif isinstance(first, slice):
            return slice(*(merge([getattr(x, at) for x in passes], where) for at in ("start", "stop", "step")))
        elif isinstance(first, np.ndarray):
            if all(np.array_equal(first, other) for other in others):
                return first
        elif type(first) is int:
            return Dim(*passes)
        elif all(first is other or first == other or (first != first and other != other) for other in others):
            return first
    other = next((other for other in others if _brief(other) != _brief(first)), others[0])
    raise RuntimeError(
        f"{where} depends on the length of a dynamic axis in a way that no operator has: {_brief(first)} in one pass, "
        f"{_brief(other)} in another; export it with fixed lengths"
    )


def _brief(x: Any) -> str:
    if isinstance(x, Value):
        return f"a tensor of shape {list(x.shape)}"
    return f"an array of shape {list(x.shape)}" if isinstance(x, np.ndarray) else repr(x)
