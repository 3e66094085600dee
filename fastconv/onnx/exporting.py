"""``export``: a model, recorded in one forward pass, as an ONNX file."""

from __future__ import annotations

import enum
import inspect
import os
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Any

import numpy as np

from .._native.tape import wrap
from .._tensor import Tensor
from ..creation import zeros
from ..dtypes import float32
from ..files import replacing
from ..nn import Module
from .graph import WRITERS, Dim, Graph, Value, onnx_type, values_of
from .trace import Trace, merge, tensors_of

__all__ = ["TrainingMode", "export"]

LARGEST = 2**31 - 2**20  # of a file without external data, in bytes: protobuf's limit, less room for the graph
LEAST = 1024  # bytes of a tensor that external data may hold: graphs are checked by what is in smaller ones
ALIGNMENT = 64  # of a tensor in external data, in bytes
OLDEST = 13


class TrainingMode(enum.Enum):
    """In which mode a model is exported."""

    EVAL = 0
    PRESERVE = 1
    TRAINING = 2


def export(
    model: Module,
    args: Any = (),
    f: Any = None,
    *,
    kwargs: Mapping[str, Any] | None = None,
    export_params: bool = True,
    verbose: bool | None = None,
    training: TrainingMode | bool = TrainingMode.EVAL,
    input_names: Sequence[str] | None = None,
    output_names: Sequence[str] | None = None,
    opset_version: int | None = None,
    do_constant_folding: bool = True,
    dynamic_axes: Mapping[str, Mapping[int, str] | Sequence[int]] | None = None,
    external_data: bool = False,
    metadata: Mapping[str, str] | None = None,
    dynamo: bool = False,
) -> Any:
    """Write a model as an ONNX file: the operators of one forward pass, and the weights by their state_dict names.

    Parameters
    ----------
    model : Module
    args : Tensor, tuple of the model's arguments, or a size
        What to call it with. Integers are the size of a float32 tensor, in which None is an axis of any length: the
        first one is called "batch".
    f : path or binary file, optional
    kwargs : dict, optional
        Further arguments, by name.
    export_params : bool
        False leaves the weights out of the file: they are further inputs then, after the others.
    verbose : bool, optional
        Print the graph.
    training : TrainingMode or bool
        EVAL unless told: dropout is left out, and batches are normalised by the running statistics. PRESERVE takes the
        model as it is.
    input_names, output_names : sequence of str, optional
        By default "input", "input_1" ..., and "output" ....
    opset_version : int, optional
        From 13 to the newest that the onnx package knows; by default 18.
    do_constant_folding, dynamo
        Of torch's interface: what does not depend on the inputs is always computed once, and there is one way to
        export.
    dynamic_axes : dict, optional
        For inputs (and outputs, whose axes follow by themselves), by their names, the axes of any length: with their
        names, or in a list. The model is run once more for each, with this axis longer: what changes is computed from
        the input's length.
    external_data : bool
        Keep the weights in a file of their own, ``<f>.data``, as is done in any case above 2 GB.
    metadata : dict of str, optional
        Stored in the file as its metadata.

    Returns
    -------
    onnx.ModelProto
        Checked by the onnx package; in it, weights are always inside.

    Raises
    ------
    ImportError
        If the onnx package is not installed.
    RuntimeError
        With all that has no operator, before anything is written: functions, and ways to call them.

    Notes
    -----
    A function that has an operator becomes that one, another what it is composed of. Numbers that the model takes out
    of tensors (``item()``, ``numpy()``, ``if tensor:``) are constants in the file.
    """
    onnx = package()
    newest = onnx.defs.onnx_opset_version()
    opset = 18 if opset_version is None else opset_version
    if isinstance(f, (str, os.PathLike)) and os.path.isdir(f):
        raise IsADirectoryError(f"{os.fspath(f)!r} is a folder; name the file, as {os.path.join(f, 'model.onnx')!r}")
    if not isinstance(opset, int | np.integer) or not OLDEST <= opset <= newest:
        raise ValueError(f"opset_version must be from {OLDEST} to {newest}, got {opset_version!r}")
    for item in (metadata or {}).items():
        if not all(isinstance(text, str) for text in item):
            raise TypeError(f"metadata: expected strings by strings, got {item[0]!r}: {item[1]!r}")
    arguments, marked = _arguments(args, kwargs)
    inputs = list(tensors_of(arguments))
    for tensor in inputs:
        if tensor.numel() == 0:
            raise ValueError(f"export() expects inputs that have elements, got one of shape {list(tensor.shape)}")
    names = _names("input", input_names, len(inputs))
    both = set(names) & set(output_names or ())
    if both:
        raise ValueError(f"input_names, output_names: {min(both)!r} is the name of an input and of an output")
    axes = _axes(names, inputs, marked, dynamic_axes, output_names)
    traces = []
    with _mode(model, training):
        for lengths in _passes(axes, inputs):
            try:
                traces.append(_trace(model, arguments, dict(zip(map(id, inputs), lengths, strict=True))))
            except Exception as error:
                if traces:
                    shapes = ", ".join(str(list(shape)) for shape in lengths)
                    error.add_note(f"in a pass with a dynamic axis longer, where the inputs' shapes are {shapes}")
                raise
    graph, outputs = _write(traces, names, output_names, opset)
    weights = [name for name in graph.initializers if name in traces[0].names] if not export_params else []
    proto = _proto(graph, traces[0].inputs, outputs, axes, weights, metadata)
    large = _size(graph) >= LARGEST  # then it can be checked as a file alone
    content = b"" if large else proto.SerializeToString()
    if not large:
        onnx.checker.check_model(content, full_check=True)
    if verbose:
        print(onnx.printer.to_text(proto))
    if f is not None:
        if hasattr(f, "write"):
            f.write(content or proto.SerializeToString())
        elif external_data or large:
            path = os.fspath(f)
            beside = os.path.basename(path) + ".data"
            outside = _proto(graph, traces[0].inputs, outputs, axes, weights, metadata, beside)
            with replacing(path + ".data") as data, replacing(path) as file:
                for tensor in outside.graph.initializer:
                    if tensor.external_data:
                        data.write(b"\0" * (-data.tell() % ALIGNMENT))
                        data.write(_bytes(graph.initializers[tensor.name]))
                file.write(outside.SerializeToString())
        else:
            with replacing(f) as file:
                file.write(content)
    return proto


def package() -> Any:
    try:
        import onnx
    except ImportError as error:
        raise ImportError("fastconv.onnx needs the onnx package: pip install onnx") from error
    import onnx.checker
    import onnx.helper
    import onnx.numpy_helper

    return onnx


# ---- what the model is called with ---------------------------------------------------------------------------------


def _arguments(args: Any, kwargs: Mapping[str, Any] | None) -> tuple[tuple[Any, dict[str, Any]], list[int]]:
    """The arguments, by place and by name, and the axes of a size that may have any length."""
    if isinstance(args, (tuple, list)) and args and all(n is None or type(n) is int for n in args):
        marked = [axis for axis, n in enumerate(args) if n is None]
        size = [(2 if axis == 0 else 64) if n is None else n for axis, n in enumerate(args)]
        return ((zeros(size),), dict(kwargs or {})), marked
    given = tuple(args) if isinstance(args, (tuple, list)) else (args,)
    named = dict(kwargs or {})
    if given and isinstance(given[-1], dict):
        named = {**given[-1], **named}
        given = given[:-1]
    if not any(True for _ in tensors_of([given, named])):
        shown = isinstance(args, str | int | float | tuple | list | None) and len(repr(args)) < 80
        got = repr(args) if shown else type(args).__name__
        raise TypeError(f"export() expects tensors or a size to call the model with, got {got}")
    return (given, named), []


def _names(stem: str, given: Sequence[str] | None, count: int) -> list[str]:
    given = list(given or ())
    if len(given) > count or len(set(given)) != len(given) or not all(isinstance(name, str) and name for name in given):
        raise ValueError(f"{stem}_names: expected at most {count} different names, got {given!r}")
    rest = (name for i in range(2 * count + 1) if (name := f"{stem}_{i}" if i else stem) not in given)
    return given + [next(rest) for _ in range(count - len(given))]


def _axes(
    names: list[str],
    inputs: list[Tensor],
    marked: list[int],
    dynamic_axes: Mapping[str, Any] | None,
    output_names: Sequence[str] | None,
) -> list[dict[int, str]]:
    """For each input its dynamic axes and their names."""
    axes: list[dict[int, str]] = [{} for _ in inputs]
    for number, axis in enumerate(marked):
        axes[0][axis] = "batch" if not number else f"{names[0]}_axis_{axis}"
    if not isinstance(dynamic_axes, Mapping | None):
        raise ValueError(f"dynamic_axes: expected a dict of axes by the inputs' names, got {dynamic_axes!r}")
    for name, asked in (dynamic_axes or {}).items():
        if name not in names:
            if name in (output_names or ()) or name.startswith("output"):
                continue
            raise ValueError(f"dynamic_axes: there is no input {name!r}; there are {', '.join(names)}")
        place = names.index(name)
        if not isinstance(asked, Mapping | Sequence) or isinstance(asked, str):
            raise ValueError(f"dynamic_axes: expected a list or a dict of the axes of {name!r}, got {asked!r}")
        items = asked.items() if isinstance(asked, Mapping) else [(axis, f"{name}_axis_{axis}") for axis in asked]
        for axis, label in items:
            ndim = inputs[place].ndim
            if type(axis) is not int or not -ndim <= axis < ndim:
                raise ValueError(f"dynamic_axes: {name!r} of shape {list(inputs[place].shape)} has no axis {axis!r}")
            axes[place][axis % ndim] = str(label)
    return axes


def _passes(axes: list[dict[int, str]], inputs: list[Tensor]) -> Iterator[list[tuple[int, ...]]]:
    """The inputs' shapes in each pass: as they are, and for each dynamic axis once with that axis longer."""
    shapes = [list(tensor.shape) for tensor in inputs]
    labels: dict[str, list[tuple[int, int]]] = {}
    for place, dynamic in enumerate(axes):
        for axis, label in dynamic.items():
            shapes[place][axis] = max(shapes[place][axis], 2)  # a length of 1 would be broadcast
            labels.setdefault(label, []).append((place, axis))
    yield [tuple(shape) for shape in shapes]
    for places in labels.values():
        longer = [list(shape) for shape in shapes]
        for place, axis in places:
            # Images by as much as the strides of a network may come to.
            longer[place][axis] += 32 if axis >= 2 and shapes[place][axis] >= 32 else 1
        yield [tuple(shape) for shape in longer]


def _resized(tensor: Tensor, shape: tuple[int, ...]) -> Tensor:
    """A tensor of this shape, of the same elements over and over."""
    array = tensor._array
    for axis, n in enumerate(shape):
        array = np.take(array, np.arange(n) % max(array.shape[axis], 1), axis) if array.shape[axis] != n else array
    return wrap(array.copy())


@contextmanager
def _mode(model: Module, training: TrainingMode | bool) -> Iterator[None]:
    """The model in evaluation mode, or as asked; afterwards as before."""
    if not isinstance(model, Module):
        raise TypeError(f"export() expects a Module, got {type(model).__name__}")
    if not isinstance(training, bool | TrainingMode):
        raise TypeError(f"training must be a TrainingMode or a bool, got {training!r}")
    before = [(module, module.training) for module in model.modules()]
    value = training.value if isinstance(training, TrainingMode) else 2 * training
    try:
        if value != TrainingMode.PRESERVE.value:
            model.train(value == TrainingMode.TRAINING.value)
        yield
    finally:
        for module, mode in before:
            module.training = mode


def _trace(model: Module, arguments: tuple[Any, dict[str, Any]], shapes: dict[int, tuple[int, ...]]) -> Trace:
    trace = Trace()
    for name, tensor in (*model._state(), *model.named_buffers()):
        trace.parameter(tensor, name)
    trace.run(model, arguments, lambda tensor: _resized(tensor, shapes[id(tensor)]))
    return trace


# ---- the graph -----------------------------------------------------------------------------------------------------


def _write(
    traces: list[Trace], names: list[str], output_names: Sequence[str] | None, opset: int
) -> tuple[Graph, list[Value]]:
    trace = traces[0]
    problems = [
        f"{name}, called {len(calls)} times, has no operator" if len(calls) > 1 else f"{name} has no operator"
        for name, calls in sorted(trace.missing.items())
    ] + trace.problems
    if problems:
        raise _error(problems)
    if len({len(t.calls) for t in traces}) > 1 or any(
        len({call.function for call in calls}) > 1 for calls in zip(*[t.calls for t in traces], strict=True)
    ):
        raise _error(["what is computed depends on the length of a dynamic axis; export it with fixed lengths"])
    graph = Graph(opset, trace.value)
    graph.inputs = merge([t.inputs for t in traces], "the input")
    for value, name in zip(graph.inputs, names, strict=True):
        value.name = graph.unique(name)
    taken = trace.names & {*names, *(output_names or ())}
    if taken:
        raise ValueError(f"input_names, output_names: the model has a parameter {min(taken)!r}")
    graph.reserve(trace.names)
    outputs: list[Any] = list(merge([t.outputs for t in traces], "the output"))
    if not outputs:
        raise RuntimeError("the model cannot be exported to ONNX: what it returns holds no tensor")
    wanted = _names("output", output_names, len(outputs))
    for calls in zip(*[t.calls for t in traces], strict=True):
        function = calls[0].function
        graph.function = _called(function)
        result = calls[0].result
        try:
            result = merge([call.result for call in calls], f"the result of {graph.function}")
            arguments = merge([call.arguments for call in calls], graph.function)
            graph.result = result
            arguments = _accepted(function, _widened(graph, arguments, result))
            made = WRITERS[function](graph, **arguments)
        except RuntimeError as error:
            problems.append(str(error))
            made = [f"?{len(problems)}"] * 3
        for value, name in zip(tensors_of(result), [made] if isinstance(made, str) else made, strict=False):
            value.name = name
            graph.values.append(value)
    if problems:
        raise _error(problems)
    graph.function = ""
    for place, (value, name) in enumerate(zip(outputs, wanted, strict=True)):
        end = Value(value)
        end.name = graph.output(graph.name(value), name)
        outputs[place] = end
    graph.prune([value.name for value in outputs])
    return graph, outputs


def _widened(graph: Graph, arguments: dict[str, Any], result: Any) -> dict[str, Any]:
    """Arguments of 16 bits in float32, where a function computes them in float32 and returns that."""
    if any(value.dtype == float32 for value in values_of(result)):
        for name, value in arguments.items():
            if isinstance(value, Value) and value.dtype.kind == "f" and value.dtype.itemsize == 2:
                arguments[name] = wide = Value(value)
                wide.name, wide.dtype = graph.cast(value, float32), float32
    return arguments


def _accepted(function: Any, arguments: dict[str, Any]) -> dict[str, Any]:
    """The arguments that a writer takes; others must be what they are by default.

    What is written ``out`` to is the result itself, which has got its name anyway.
    """
    taken = inspect.signature(WRITERS[function]).parameters
    if any(parameter.kind is parameter.VAR_KEYWORD for parameter in taken.values()):
        return {name: value for name, value in arguments.items() if name != "out"}
    defaults = {name: parameter.default for name, parameter in inspect.signature(function).parameters.items()}
    for name, value in arguments.items():
        if name not in taken and name != "out" and not (value is defaults[name] or value == defaults[name]):
            raise RuntimeError(f"{_called(function)} with {name}={value!r} has no operator")
    return {name: value for name, value in arguments.items() if name in taken}


def _called(function: Any) -> str:
    name = function.__qualname__ if "." in function.__qualname__ else function.__name__
    return name.strip("_")


def _error(problems: list[str]) -> RuntimeError:
    found = dict.fromkeys(problems)
    lines = "\n".join(f"  {problem}" for problem in found)
    return RuntimeError(f"the model cannot be exported to ONNX:\n{lines}")


def _size(graph: Graph) -> int:
    return sum(array.nbytes for array in graph.initializers.values())


def _proto(
    graph: Graph,
    inputs: list[Value],
    outputs: list[Value],
    axes: list[dict[int, str]],
    weights: list[str],
    metadata: Mapping[str, str] | None,
    beside: str = "",
) -> Any:
    """The model as the onnx package holds it; with `beside`, large weights are where they will be in that file."""
    from onnx import TensorProto, helper

    def info(value: Value, shape: list[Any]) -> Any:
        return helper.make_tensor_value_info(value.name, onnx_type(value.dtype), shape)

    described = []
    for value, dynamic in zip(inputs, axes, strict=True):
        described.append(info(value, [dynamic.get(axis, int(n)) for axis, n in enumerate(value.shape)]))
    labels = {
        n.lengths: label
        for value, dynamic in zip(inputs, axes, strict=True)
        for axis, label in dynamic.items()
        if isinstance(n := value.shape[axis], Dim)
    }
    results = []
    for value in outputs:
        shape = [labels.get(n.lengths) if isinstance(n, Dim) else n for n in value.shape]
        results.append(info(value, shape))
    for name in weights:
        array = graph.initializers[name]
        described.append(helper.make_tensor_value_info(name, onnx_type(array.dtype), list(array.shape)))
    built = helper.make_graph(graph.nodes, "fastconv", described, results)
    model = helper.make_model(
        built,
        producer_name="fastconv",
        opset_imports=[helper.make_opsetid("", graph.opset)],
        ir_version=helper.find_min_ir_version_for([helper.make_opsetid("", graph.opset)]),
    )
    if metadata:
        helper.set_model_props(model, dict(metadata))
    end = 0
    for name, array in graph.initializers.items():
        if name in weights:
            continue
        # Made where it stays: each message that it were put into would hold another copy of it.
        tensor = model.graph.initializer.add()
        tensor.name, tensor.data_type = name, onnx_type(array.dtype)
        tensor.dims.extend(array.shape)
        if beside and array.nbytes >= LEAST:
            tensor.data_location = TensorProto.EXTERNAL
            start = end + -end % ALIGNMENT
            end = start + array.nbytes
            for key, value in (("location", beside), ("offset", start), ("length", array.nbytes)):
                tensor.external_data.add(key=key, value=str(value))
        else:
            tensor.raw_data = _bytes(array)
    return model


def _bytes(array: np.ndarray) -> bytes:
    return array.astype(array.dtype.newbyteorder("<"), copy=False).tobytes()
