"""``load``: an ONNX file as a Module that computes its graph."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._native.tape import wrap
from .._tensor import Tensor
from ..autograd import no_grad
from ..dtypes import float32
from ..nn import Module, Parameter
from .nodes import CONTROL_FLOW, QUANTISED, READERS, Node
from .readers import NUMPY_TYPES, array_of_tensor

__all__ = ["Network", "load"]

OLDEST = 7  # since then operators broadcast as NumPy does
LARGEST = 2**28  # elements that what is computed once, when a file is loaded, may have


class Network(Module):
    """The graph of an ONNX file.

    Its initialisers are parameters and buffers, under their names: what convolutions, normalisations, products and
    sums take is learned; statistics, limits, sizes and integers are not. In training mode ``BatchNormalization``
    normalises by the batch and updates its statistics, and ``Dropout`` drops.

    Attributes
    ----------
    input_names, output_names : list of str
    metadata : dict of str
        Of the file.
    """

    input_names: list[str]
    output_names: list[str]
    metadata: dict[str, str]

    def __init__(
        self,
        inputs: dict[str, tuple[np.dtype | None, list[int | str | None] | None]],
        outputs: list[str],
        metadata: dict[str, str],
    ) -> None:
        super().__init__()
        self.input_names, self.output_names, self.metadata = list(inputs), outputs, metadata
        self._inputs = inputs
        self._nodes: list[Node] = []
        self._places: dict[str, tuple[Module, str]] = {}  # of parameters and buffers, by their names in the graph
        self._done: list[tuple[str, ...]] = []  # after each node, what is not needed any more

    def forward(self, *inputs: Tensor, **named: Tensor) -> Any:
        """The graph's outputs for its inputs, in order or by name: a tensor, or a tuple of several."""
        values: dict[str, Any] = self._given(inputs, named)
        for name, (module, attribute) in self._places.items():
            values[name] = getattr(module, attribute)
        for node, done in zip(self._nodes, self._done, strict=True):
            values.update(compute(node, [values[name] if name else None for name in node.inputs], self.training))
            for name in done:
                del values[name]
        results = tuple(values[name] for name in self.output_names)
        return results[0] if len(results) == 1 else results

    def _given(self, inputs: tuple[Tensor, ...], named: dict[str, Tensor]) -> dict[str, Tensor]:
        """The inputs by their names, checked."""
        given = dict(zip(self.input_names, inputs, strict=False))
        unknown = [name for name in named if name not in self.input_names or name in given]
        given.update(named)
        if unknown or len(given) != len(self.input_names) or len(inputs) > len(self.input_names):
            raise TypeError(
                f"expected the inputs {', '.join(self.input_names) or 'none'}, got {len(inputs)} by place and "
                f"{', '.join(named) or 'none'} by name"
            )
        for name, x in given.items():
            if not isinstance(x, Tensor):
                raise TypeError(f"expected a Tensor as input {name!r}, got {type(x).__name__}")
            dtype, shape = self._inputs[name]
            if dtype is not None and (x.dtype.kind != dtype.kind or (dtype.kind != "f" and x.dtype != dtype)):
                raise TypeError(f"expected {dtype} as input {name!r}, got {x.dtype}")
            if shape is not None and len(shape) != x.ndim:
                raise RuntimeError(f"expected input {name!r} of shape {shape}, got {list(x.shape)}")
        return given

    def extra_repr(self) -> str:
        kinds = Counter(node.kind for node in self._nodes)
        return ", ".join(f"{kind}: {count}" for kind, count in sorted(kinds.items()))

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.extra_repr()})"

    # Where its tensors are

    def _add(self, name: str, tensor: Tensor, persistent: bool) -> None:
        """Register a parameter or buffer under its name in the graph, whose dots are modules."""
        *path, last = name.split(".")
        module: Module = self
        try:
            for part in path:
                if part not in module._modules:
                    module.register_module(part, Module())
                module = module._modules[part]
            self._register_tensor(module, last, tensor, persistent)
        except KeyError:  # a name that a module cannot have, or has for something else
            module, last = self, name.replace(".", "_") or "_"
            while hasattr(self, last):
                last += "_"
            self._register_tensor(module, last, tensor, persistent)
        self._places[name] = module, last

    @staticmethod
    def _register_tensor(module: Module, name: str, tensor: Tensor, persistent: bool) -> None:
        if isinstance(tensor, Parameter):
            module.register_parameter(name, tensor)
        else:
            module.register_buffer(name, tensor, persistent)


def compute(node: Node, inputs: list[Any], training: bool) -> Iterator[tuple[str, Any]]:
    """The results of one node, by their names."""
    reader = READERS[node.kind]
    more = {"training": training} if reader.takes_mode else {}
    half = next((x.dtype for x in inputs if isinstance(x, Tensor) and x.dtype.kind == "f"), float32)
    try:
        if reader.in_float32 and half.itemsize == 2:
            wide = [x.float() if isinstance(x, Tensor) and x.dtype == half else x for x in inputs]
            made = reader.compute(node, *wide, **more)
            made = tuple(
                x.to(half) if x.dtype == float32 else x for x in (made if isinstance(made, tuple) else (made,))
            )
        else:
            made = reader.compute(node, *inputs, **more)
    except (ArithmeticError, AttributeError, IndexError, LookupError, RuntimeError, TypeError, ValueError) as error:
        described = ", ".join(f"{x.dtype} {list(x.shape)}" if isinstance(x, Tensor) else "none" for x in inputs)
        raise RuntimeError(f"{node.kind} {node.name!r} of {described}: {error}") from error
    results = made if isinstance(made, tuple) else (made,)
    if len(results) < len(node.outputs):
        raise RuntimeError(
            f"{node.kind} {node.name!r} has {len(node.outputs)} results here, of which {len(results)} can be computed"
        )
    return ((name, x) for name, x in zip(node.outputs, results, strict=False) if name)


def load(f: Any) -> Network:
    """Read an ONNX file as a Module.

    Parameters
    ----------
    f : path, binary file, or onnx.ModelProto
        Of opset 9 or later. Weights in files beside it are read, too.

    Returns
    -------
    Network
        In training mode, as every new Module is; call ``eval()`` before use.

    Raises
    ------
    ImportError
        If the onnx package is not installed.
    ValueError
        If it is no valid ONNX file.
    NotImplementedError
        With all operators that are not taken, and how many there are of each.
    """
    model = _parse(f)
    try:
        return _network(model)
    except UnicodeDecodeError as error:  # texts are read when they are first asked for
        raise ValueError(f"{_source(f)} is no valid ONNX file: {error}") from error


def _network(model: Any) -> Network:
    versions = {entry.domain: entry.version for entry in model.opset_import}
    opset = versions.get("", versions.get("ai.onnx", 0))
    if opset < OLDEST:
        raise ValueError(
            f"expected a model of opset {OLDEST} or later, got {opset}; onnx.version_converter makes it one"
        )
    graph = model.graph
    _refuse(graph)
    _check_nodes(model, opset)
    initial = {tensor.name: array_of_tensor(tensor) for tensor in graph.initializer}
    inputs = {value.name: _description(value) for value in graph.input if value.name not in initial}
    outputs = [value.name for value in graph.output]
    network = Network(inputs, outputs, {entry.key: entry.value for entry in model.metadata_props})
    nodes = [_node(node, opset) for node in graph.node]
    _check_names(nodes, inputs, initial, outputs)
    _fold(network, nodes, initial)
    return network


def _parse(f: Any) -> Any:
    from .exporting import package

    onnx = package()
    from google.protobuf.message import DecodeError

    if not isinstance(f, (str, os.PathLike, onnx.ModelProto)) and not hasattr(f, "read"):
        raise TypeError(f"load() expects a path, a binary file or an onnx.ModelProto, got {type(f).__name__}")
    try:
        if isinstance(f, onnx.ModelProto):
            model = f
        else:
            model = onnx.load(os.fspath(f) if isinstance(f, (str, os.PathLike)) else f)
            if not model.graph.node and not model.graph.output:
                raise ValueError("there is no graph in it")
        if model.functions:
            from onnx import inliner

            onnx.checker.check_model(model)
            model = inliner.inline_local_functions(model)
    except (DecodeError, onnx.checker.ValidationError, ValueError, RuntimeError, UnicodeDecodeError) as error:
        raise ValueError(f"{_source(f)} is no valid ONNX file: {error}") from error
    return model


def _source(f: Any) -> str:
    return repr(os.fspath(f)) if isinstance(f, (str, os.PathLike)) else f"this {type(f).__name__}"


def _refuse(graph: Any) -> None:
    """An error that names all operators that are not taken."""
    counts = Counter()
    for node in graph.node:
        if node.domain not in ("", "ai.onnx"):
            counts[f"{node.domain}.{node.op_type}"] += 1
        elif node.op_type not in READERS:
            why = " (quantised)" if node.op_type in QUANTISED else ""
            counts[node.op_type + (" (control flow)" if node.op_type in CONTROL_FLOW else why)] += 1
    if counts:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(counts.items()))
        raise NotImplementedError(f"the model has operators that fastconv does not take: {listed}")
    if graph.sparse_initializer:
        raise NotImplementedError(f"the model has {len(graph.sparse_initializer)} sparse initialisers")


def _check_nodes(model: Any, opset: int) -> None:
    """ValueError for nodes with inputs or attributes that their operators do not have."""
    from onnx import checker

    context = checker.C.CheckerContext()
    context.ir_version, context.opset_imports = model.ir_version, {"": opset}
    for node in model.graph.node:
        try:
            checker.check_node(node, context)
        except checker.ValidationError as error:
            raise ValueError(f"{node.op_type} {node.name!r} is no valid node: {error}") from error


def _description(value: Any) -> tuple[np.dtype | None, list[int | str | None] | None]:
    """The dtype and shape of an input, as far as they are told."""
    if not value.type.HasField("tensor_type"):
        raise NotImplementedError(f"the model's input {value.name!r} is no tensor")
    tensor = value.type.tensor_type
    dtype = NUMPY_TYPES.get(tensor.elem_type)
    if not tensor.HasField("shape"):
        return dtype, None
    return dtype, [d.dim_value if d.HasField("dim_value") else d.dim_param or None for d in tensor.shape.dim]


def _node(node: Any, opset: int) -> Node:
    import onnx

    attributes = {}
    for attribute in node.attribute:
        value = onnx.helper.get_attribute_value(attribute)
        if isinstance(value, onnx.TensorProto):
            value = array_of_tensor(value)
        elif isinstance(value, bytes):
            value = value.decode("utf-8", "replace")
        elif isinstance(value, (list, tuple)):
            value = [item.decode("utf-8", "replace") if isinstance(item, bytes) else item for item in value]
        attributes[attribute.name] = value
    name = node.name or next((name for name in node.output if name), "")
    return Node(node.op_type, name, tuple(node.input), tuple(node.output), opset, attributes)


def _check_names(nodes: list[Node], inputs: Any, initial: Any, outputs: list[str]) -> None:
    """ValueError unless everything is made before it is used."""
    known = {*inputs, *initial}
    for node in nodes:
        missing = [name for name in node.inputs if name and name not in known]
        if missing:
            raise ValueError(f"{node.kind} {node.name!r} takes {missing[0]!r}, which nothing before it makes")
        known.update(node.outputs)
    missing = [name for name in outputs if name not in known]
    if missing:
        raise ValueError(f"nothing makes the output {missing[0]!r}")


def _fold(network: Network, nodes: list[Node], initial: dict[str, np.ndarray]) -> None:
    """Compute what depends on no input and nothing learned; register the rest."""
    constants = {name: wrap(array) for name, array in initial.items()}
    learned = _learned(nodes, initial)
    made = {}
    kept = []
    for node in nodes:
        reader = READERS[node.kind]
        is_constant = all(not name or (name in constants and name not in learned) for name in node.inputs)
        if not is_constant or node.kind in RANDOM or (reader.takes_mode and node.inputs):
            kept.append(node)
            continue
        with no_grad():
            for name, x in compute(node, [constants[name] if name else None for name in node.inputs], False):
                if x._array.size > LARGEST:
                    raise ValueError(f"{node.kind} {node.name!r} makes a constant of shape {list(x.shape)}")
                constants[name] = made[name] = x
    for node in kept:  # weights that were computed, as those that are repeated numbers
        for place in READERS[node.kind].weights:
            name = node.inputs[place] if place < len(node.inputs) else ""
            if name in made and made[name].dtype.kind == "f":
                learned.add(name)
    used = {name for node in kept for name in node.inputs} | set(network.output_names)
    for name, x in constants.items():
        if name in used:
            x = wrap(np.array(x._array))  # memory of its own
            network._add(name, Parameter(x) if name in learned else x, name in initial)
    network._nodes = kept
    last = {name: place for place, node in enumerate(kept) for name in (*node.inputs, *node.outputs) if name}
    done: list[list[str]] = [[] for _ in kept]
    for name, place in last.items():
        if name not in network.output_names:
            done[place].append(name)
    network._done = [tuple(names) for names in done]


RANDOM = {"RandomNormal", "RandomNormalLike", "RandomUniform", "RandomUniformLike", "Bernoulli", "Multinomial"}


def _learned(nodes: list[Node], initial: dict[str, np.ndarray]) -> set[str]:
    """Initialisers of floats, unless they are single numbers or only settings of operators."""
    learned = set()
    for node in nodes:
        reader = READERS[node.kind]
        for place, name in enumerate(node.inputs):
            array = initial.get(name)
            is_float = array is not None and array.dtype.kind in "fV"
            if is_float and (place in reader.weights or (array.ndim and place not in reader.settings)):
                learned.add(name)
    for node in nodes:
        for place in READERS[node.kind].settings:
            if place < len(node.inputs):
                learned.discard(node.inputs[place])
    return learned
