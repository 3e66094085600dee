"""The graph as writers build it: values by their names, constants, and lengths that are computed when it runs."""

from __future__ import annotations

import operator
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..dtypes import bfloat16, convert

__all__ = ["Dim", "Graph", "Value", "WRITERS", "lengths_of", "onnx_type", "spread", "values_of", "writes"]

# The functions that can be written, and what writes a call of each: ``writer(graph, **arguments)`` gives the name of
# its result, or a tuple of names.
WRITERS: dict[Callable[..., Any], Callable[..., Any]] = {}


def writes(*functions: Callable[..., Any]) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: this writes calls of these functions."""

    def decorate(writer: Callable[..., Any]) -> Callable[..., Any]:
        WRITERS.update(dict.fromkeys(functions, writer))
        return writer

    return decorate


class Dim(int):
    """A length that depends on dynamic axes: what it was in the first pass, and in others of longer axes.

    Attributes
    ----------
    others : tuple of int
        In the passes after the first, in each of which one axis was longer.
    """

    others: tuple[int, ...]

    def __new__(cls, *lengths: int) -> int:
        if len(set(lengths)) == 1:
            return int(lengths[0])
        dim = super().__new__(cls, lengths[0])
        dim.others = tuple(lengths[1:])
        return dim

    @property
    def lengths(self) -> tuple[int, ...]:
        return int(self), *self.others

    def _with(self, function: Callable[[int, int], int], x: Any, y: Any) -> Any:
        if not all(isinstance(n, (int, np.integer)) for n in (x, y)):
            return NotImplemented
        columns = [n.lengths if isinstance(n, Dim) else (int(n),) * (len(self.others) + 1) for n in (x, y)]
        return Dim(*map(function, *columns))

    def __add__(self, n: Any) -> Any:
        return self._with(operator.add, self, n)

    def __radd__(self, n: Any) -> Any:
        return self._with(operator.add, n, self)

    def __sub__(self, n: Any) -> Any:
        return self._with(operator.sub, self, n)

    def __rsub__(self, n: Any) -> Any:
        return self._with(operator.sub, n, self)

    def __mul__(self, n: Any) -> Any:
        return self._with(operator.mul, self, n)

    def __rmul__(self, n: Any) -> Any:
        return self._with(operator.mul, n, self)

    def __floordiv__(self, n: Any) -> Any:
        return self._with(operator.floordiv, self, n)

    def __repr__(self) -> str:
        return " or ".join(map(str, dict.fromkeys(self.lengths)))


def lengths_of(n: int) -> tuple[int, ...] | int:
    """What tells lengths apart: those of all passes, or the one number."""
    return n.lengths if isinstance(n, Dim) else int(n)


def values_of(x: Any) -> Iterator[Value]:
    """The Values in nested lists and tuples."""
    if isinstance(x, Value):
        yield x
    elif isinstance(x, (list, tuple)):
        for item in x:
            yield from values_of(item)


def spread(value: Any, dims: int) -> list[Any]:
    """Of an argument that a function has checked, one number for each dimension."""
    return list(value) if isinstance(value, (list, tuple)) else [value] * dims


class Value:
    """A tensor's content at one time.

    Attributes
    ----------
    shape : tuple of int or Dim
    dtype : dtype
    array : ndarray or None
        The content of what was not computed in the pass: parameters, buffers, constants. With a Dim in the shape it
        is one number over and over.
    name : str or None
        Its name in the graph, given when it is written.
    """

    __slots__ = ("array", "dtype", "name", "shape")

    def __init__(self, tensor: Tensor, array: np.ndarray | None = None) -> None:
        self.shape: tuple[int, ...] = tuple(tensor.shape)
        self.dtype: np.dtype = tensor.dtype
        self.array = array
        self.name: str | None = None

    @property
    def ndim(self) -> int:
        return len(self.shape)


class Graph:
    """An ONNX graph under construction.

    Attributes
    ----------
    opset : int
        The version of the operators.
    value_of : callable
        The Value of a tensor that a module has.
    nodes, initializers : list
        What has been added.
    result : Value or tuple
        What the call that is being written has made.
    """

    def __init__(self, opset: int, value_of: Callable[[Tensor], Value]) -> None:
        self.opset = opset
        self.value_of = value_of
        self.nodes: list[Any] = []
        self.initializers: dict[str, np.ndarray] = {}
        self.result: Any = None
        self.function = ""  # whose call is being written
        self.inputs: list[Value] = []
        self.values: list[Value] = []  # results of the calls so far
        self.outputs: set[str] = set()
        self._constants: dict[Any, str] = {}
        self._names: set[str] = set()
        self._lengths: dict[tuple[str, int], str] = {}

    # Names

    def unique(self, name: str) -> str:
        """`name`, with a number if there is one already."""
        found, number = name, 0
        while found in self._names:
            number += 1
            found = f"{name}_{number}"
        self._names.add(found)
        return found

    def reserve(self, names: set[str]) -> None:
        """Let no result have one of these names."""
        self._names |= names

    def prune(self, outputs: list[str]) -> None:
        """Drop nodes and constants of which no output is made."""
        needed, kept = set(outputs), []
        for node in reversed(self.nodes):
            if needed & set(node.output):
                needed.update(node.input)
                kept.append(node)
        self.nodes = kept[::-1]
        self.initializers = {name: array for name, array in self.initializers.items() if name in needed}

    def name(self, x: Any, dtype: np.dtype | None = None) -> str:
        """The name of an operand: a name, a Value, an array or a number, the latter of `dtype`; None is left out."""
        if x is None:
            return ""
        if isinstance(x, str):
            return x
        if isinstance(x, Value):
            if x.name is None and any(isinstance(n, Dim) for n in x.shape):
                x.name = self.op("Expand", self.constant(x.array.flat[0], x.dtype), self.integers(x.shape))
            elif x.name is None:
                x.name = self.constant(x.array)
            elif x.array is not None and x.name not in self.initializers:
                self._names.add(x.name)
                self.initializers[x.name] = x.array
            return x.name
        return self.constant(np.asarray(x, dtype))

    def constant(self, array: Any, dtype: Any = None) -> str:
        """The name of a constant; equal small ones are one."""
        wanted = np.asarray(array, None if dtype is bfloat16 else dtype)
        array = convert(wanted, bfloat16) if dtype is bfloat16 and wanted.dtype.kind != "V" else wanted
        key: Any = (array.dtype.str, array.shape, array.tobytes()) if array.size <= 64 else None
        if key is None or key not in self._constants:
            name = self.unique("constant")
            self.initializers[name] = array
            if key is None:
                return name
            self._constants[key] = name
        return self._constants[key]

    def integers(self, numbers: Any) -> str:
        """A vector of integers, or with one number a scalar; lengths of dynamic axes are computed from the inputs."""
        if isinstance(numbers, int):
            if isinstance(numbers, Dim):
                return self.op("Squeeze", self.length(numbers), self.constant([0], np.int64))
            return self.constant(numbers, np.int64)
        numbers = list(numbers)
        if not any(isinstance(n, Dim) for n in numbers):
            return self.constant(numbers, np.int64)
        parts = [self.length(n) if isinstance(n, Dim) else self.constant([n], np.int64) for n in numbers]
        return parts[0] if len(parts) == 1 else self.op("Concat", *parts, axis=0)

    def length(self, dim: Dim) -> str:
        """A vector of the one length, computed when the graph runs."""
        computed = [value for value in self.values if value.name is not None]
        for value in (*self.inputs, *reversed(computed)):
            for axis, n in enumerate(value.shape):
                if isinstance(n, Dim) and n.lengths == dim.lengths:
                    return self._axis(value, axis)
        for value in self.inputs:
            for axis, n in enumerate(value.shape):
                if isinstance(n, Dim):
                    found = _line(n.lengths, dim.lengths)
                    if found is not None:
                        return self._linear(value, axis, *found)
        raise RuntimeError(
            f"{self.function} depends on a length, {dim!r}, that is no multiple of a dynamic axis plus a number; "
            "export it with fixed lengths"
        )

    def _axis(self, value: Value, axis: int) -> str:
        key = self.name(value), axis
        if key not in self._lengths:
            shape = self.op("Shape", value)
            self._lengths[key] = self.op("Gather", shape, self.constant([axis], np.int64), axis=0)
        return self._lengths[key]

    def _linear(self, value: Value, axis: int, factor: int, offset: int) -> str:
        length = self._axis(value, axis)
        if factor != 1:
            length = self.op("Mul", length, self.constant([factor], np.int64))
        return length if offset == 0 else self.op("Add", length, self.constant([offset], np.int64))

    # Nodes

    def op(self, kind: str, *inputs: Any, outputs: int = 1, **attributes: Any) -> Any:
        """Add a node; returns its result's name, or a tuple of names. Attributes that are None are left out.

        Raises
        ------
        RuntimeError
            If the operator is not in this opset, or an attribute depends on a dynamic axis.
        """
        from onnx import defs, helper

        try:
            defs.get_schema(kind, self.opset)
        except defs.SchemaError:
            since = min(
                s.since_version for s in defs.get_all_schemas_with_history() if (s.name, s.domain) == (kind, "")
            )
            raise RuntimeError(f"{self.function} has an operator, {kind}, since opset {since}") from None
        names = [self.name(x) for x in inputs]
        while names and not names[-1]:
            names.pop()
        made = tuple(self.unique(f"{self.function}_{kind}" if self.function else kind) for _ in range(outputs))
        attributes = {key: _attribute(self.function, key, x) for key, x in attributes.items() if x is not None}
        node = helper.make_node(kind, names, list(made), name=made[0], **attributes)
        self.nodes.append(node)
        return made[0] if outputs == 1 else made

    def output(self, name: str, wanted: str) -> str:
        """Let a node's result be an output of the model by the name that is wanted for it, if that is free."""
        made = any(name in node.output for node in self.nodes)
        if not made or name in self.outputs or wanted in self._names:
            end = self.op("Identity", name)
            name = end
        new = self.unique(wanted)
        for node in self.nodes:
            for place, other in enumerate(node.input):
                if other == name:
                    node.input[place] = new
            for place, other in enumerate(node.output):
                if other == name:
                    node.output[place] = new
        self.outputs.add(new)
        return new

    def cast(self, x: Any, dtype: np.dtype) -> str:
        """An operand in this dtype."""
        if isinstance(x, Value):
            if x.dtype == dtype:
                return self.name(x)
            if x.array is not None and x.name is None and not any(isinstance(n, Dim) for n in x.shape):
                return self.constant(x.array, dtype)
            return self.op("Cast", x, to=onnx_type(dtype))
        return x if isinstance(x, str) else self.constant(x, dtype)

    def reshape(self, x: Any, shape: Sequence[int]) -> str:
        """The elements of a Value in another shape, of which one length may be -1."""
        return self.op("Reshape", x, self._shape_for(x, shape))

    def _shape_for(self, x: Any, shape: Sequence[int]) -> str:
        """A shape as Reshape takes it: 0 keeps a length, -1 is what is left."""
        old = x.shape if isinstance(x, Value) else ()
        kept = list(shape)
        for i, (n, before) in enumerate(zip(shape, old, strict=False)):
            if isinstance(n, Dim) and lengths_of(n) == lengths_of(before):
                kept[i] = 0
        dynamic = [i for i, n in enumerate(kept) if isinstance(n, Dim)]
        if len(dynamic) == 1 and -1 not in kept:
            kept[dynamic[0]] = -1
        return self.integers(kept)

    def perm(self, x: Any, dims: Sequence[int]) -> str:
        """A Value, or a name, with its dimensions in another order; as it is if that is the same."""
        return self.name(x) if list(dims) == list(range(len(dims))) else self.op("Transpose", x, perm=list(dims))

    def squeeze(self, x: Any, axes: Sequence[int]) -> str:
        """Without dimensions of length 1."""
        return self._with_axes("Squeeze", x, axes, 13)

    def unsqueeze(self, x: Any, axes: Sequence[int]) -> str:
        """With further dimensions of length 1."""
        return self._with_axes("Unsqueeze", x, axes, 13)

    def reduce(self, kind: str, x: Any, axes: Sequence[int] | None, keepdims: bool) -> str:
        """ReduceSum, ReduceMean ... over some dimensions, or over all."""
        since = 13 if kind == "ReduceSum" else 18
        return self._with_axes(kind, x, axes, since, keepdims=int(keepdims))

    def _with_axes(self, kind: str, x: Any, axes: Sequence[int] | None, since: int, **attributes: Any) -> str:
        """An operator whose axes are an input since that version, and were an attribute before."""
        if axes is None:
            return self.op(kind, x, **attributes)
        if self.opset >= since:
            return self.op(kind, x, self.constant(list(axes), np.int64), **attributes)
        return self.op(kind, x, axes=list(axes), **attributes)


def _line(x: tuple[int, ...], y: tuple[int, ...]) -> tuple[int, int] | None:
    """The whole numbers a > 0 and b with y = a x + b in all passes, or None."""
    steps = [(b - y[0], a - x[0]) for a, b in zip(x, y, strict=True) if a != x[0]]
    factor = steps[0][0] // steps[0][1]
    offset = y[0] - factor * x[0]
    return (factor, offset) if factor > 0 and all(factor * a + offset == b for a, b in zip(x, y, strict=True)) else None


def _attribute(function: str, key: str, x: Any) -> Any:
    """An attribute's value, which must not depend on a dynamic axis."""
    if isinstance(x, Dim):
        raise RuntimeError(
            f"{function} depends on the length of a dynamic axis, which is a fixed number in the operator's {key!r}; "
            "export it with fixed lengths"
        )
    if isinstance(x, (list, tuple)):
        return [_attribute(function, key, item) for item in x]
    return int(x) if isinstance(x, (bool, np.integer)) else float(x) if isinstance(x, np.floating) else x


def onnx_type(dtype: np.dtype) -> int:
    """The number that ONNX has for a dtype."""
    from onnx import TensorProto, helper

    return TensorProto.BFLOAT16 if dtype == bfloat16 else helper.np_dtype_to_tensor_dtype(dtype)
