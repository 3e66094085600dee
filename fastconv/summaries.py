"""What a network is made of and what it costs: layers, shapes, parameters, multiply-adds, memory."""

from __future__ import annotations

import html
import inspect
import math
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from . import nn
from ._tensor import Tensor
from .autograd import enable_grad
from .checks import LARGEST, integer, integers
from .creation import from_numpy
from .dtypes import float32

__all__ = ["Row", "Summary", "summary"]


@dataclass(eq=False)
class Row:
    """A module that was called, with what was called within it.

    Attributes
    ----------
    name, kind : str
        Its name in the module that called it, and its class.
    depth : int
        0 for the network, 1 for what it calls ...
    input, output : tuple of int or None
        Shape of the first tensor that went in, or came out.
    parameters : int
        In it and in what it called, but for those that have been counted in a row above.
    mult_adds : int
        Of its calls and of those within.
    calls : int
        Calls of one module by another with the same shapes are one row, that of the first.
    shared : bool
        Whether it has been called before, so that its parameters have been counted.
    """

    name: str
    kind: str
    depth: int
    input: tuple[int, ...] | None = None
    output: tuple[int, ...] | None = None
    parameters: int = 0
    mult_adds: int = 0
    calls: int = 1
    shared: bool = False
    children: list[Row] = field(default_factory=list, repr=False)

    def walk(self, depth: int = LARGEST) -> Iterator[Row]:
        """This row and those below, as far down as `depth`."""
        yield self
        if self.depth < depth:
            for child in self.children:
                yield from child.walk(depth)


class Summary:
    """What :func:`summary` found; printed or shown in a notebook, a table.

    Attributes
    ----------
    rows : list of Row
        All calls of modules, each before those within it.
    total_params, trainable_params : int
        Parameters of the network, shared ones once, and those of them that require gradients.
    total_mult_adds : int
        For the whole input, all images of it.
    total_input, total_param_bytes, total_output_bytes : int
        Bytes of the input, of the parameters, and of the results of layers that have parameters with their gradients.
    kept_bytes : int
        What a forward pass keeps for backward, beside input and parameters: measured.
    training_bytes : int
        Memory of a training step: input, parameters, their gradients, what is kept, and the gradient of the largest
        result. An optimizer's state comes to it: with momentum as much as the gradients have, for Adam twice that.
    not_run : dict of str to int
        Modules with parameters that were not used, as auxiliary classifiers are not in evaluation, and how many.
    uncounted : int
        Parameters that were used while their modules were not called, as by a network read from an ONNX file: their
        multiply-adds are not known.
    """

    def __init__(self, model: nn.Module, depth: int) -> None:
        self.depth = depth
        self.root: Row = Row("", type(model).__name__, 0)
        self.total_params = self.trainable_params = self.total_mult_adds = 0
        self.total_input = self.total_param_bytes = self.total_output_bytes = 0
        self.kept_bytes = self.training_bytes = 0
        self.not_run: dict[str, int] = {}
        self.uncounted = 0

    @property
    def rows(self) -> list[Row]:
        return list(self.root.walk())

    def _table(self) -> tuple[list[str], list[tuple[int, list[str]]], list[tuple[str, str]]]:
        """Heads of columns, cells of rows with their depths, and what stands below."""
        heads = ["layer", "input", "output", "parameters", "multiply-adds"]
        lines = []
        for row in self.root.walk(self.depth):
            name = f"{row.name}: {row.kind}" if row.name else row.kind
            name += f" ({row.calls} calls)" if row.calls > 1 else ""
            parameters = (
                "shared" if row.shared and not row.parameters else f"{row.parameters:,}" if row.parameters else ""
            )
            mult_adds = f"{row.mult_adds:,}" if row.mult_adds else ""
            lines.append((row.depth, [name, _shape(row.input), _shape(row.output), parameters, mult_adds]))
        frozen = self.total_params - self.trainable_params
        totals = [
            ("parameters", f"{self.total_params:,}" + (f", of which {frozen:,} are not trained" if frozen else ""))
        ]
        totals += [(f"{name} was not run", f"{count:,} parameters") for name, count in self.not_run.items()]
        if self.root.output is not None or self.total_mult_adds:
            memory = {
                "input": self.total_input,
                "parameters": self.total_param_bytes,
                "results of layers with their gradients": self.total_output_bytes,
                "kept for backward": self.kept_bytes,
            }
            more = f" and those of {self.uncounted:,} parameters, whose modules were not called"
            totals += [
                ("multiply-adds", f"{self.total_mult_adds:,}{more if self.uncounted else ''}"),
                ("memory", ", ".join(f"{name} {_bytes(count)}" for name, count in memory.items())),
                ("a training step", f"{_bytes(self.training_bytes)}, and the optimizer's state"),
            ]
        return heads, lines, totals

    def __str__(self) -> str:
        heads, lines, totals = self._table()
        cells = [heads, *[["  " * depth + row[0], *row[1:]] for depth, row in lines]]
        widths = [max(len(row[i]) for row in cells) for i in range(len(heads))]
        rows = [
            "  ".join(
                cell.rjust(w) if i > 2 else cell.ljust(w) for i, (cell, w) in enumerate(zip(row, widths, strict=True))
            )
            for row in cells
        ]
        rule = "-" * max(map(len, rows))
        below = [f"{name}: {value}" for name, value in totals]
        return "\n".join(line.rstrip() for line in [rows[0], rule, *rows[1:], rule, *below])

    __repr__ = __str__

    def _repr_html_(self) -> str:
        heads, lines, totals = self._table()

        def cell(text: str, i: int, tag: str = "td", indent: int = 0) -> str:
            style = f"text-align:{'right' if i > 2 else 'left'}" + (f";padding-left:{indent + 0.5}em" if indent else "")
            return f'<{tag} style="{style}">{html.escape(text)}</{tag}>'

        def row(cells: list[str], tag: str = "td", depth: int = 0) -> str:
            return f"<tr>{''.join(cell(t, i, tag, depth if i == 0 else 0) for i, t in enumerate(cells))}</tr>"

        body = "".join(row(cells, depth=depth) for depth, cells in lines)
        below = "".join(f"<li>{html.escape(f'{name}: {value}')}</li>" for name, value in totals)
        return f"<table><thead>{row(heads, 'th')}</thead><tbody>{body}</tbody></table><ul>{below}</ul>"


def summary(model: nn.Module, size: Any = None, *, data: Any = None, dtypes: Any = None, depth: int = 3) -> Summary:
    """Run a network once, in evaluation mode, and tell what its layers made of the input and what it cost.

    Parameters
    ----------
    model : Module
        It is left as it was; lazy layers are made by the call.
    size : optional
        The shape of the input as the network takes it, the number of images included: ``(1, 3, 224, 224)``. A list of
        shapes is several inputs. A dict of shapes is the arguments of these names or, where ``forward`` does not take
        them, one dict; dicts and lists within a list are passed on as such. Without `size` and `data` nothing is run.
    data : optional
        An input instead of its shape: a tensor, a tuple or list of arguments, or a dict as above.
    dtypes : dtype or sequence of dtypes, optional
        Of all inputs, or of each; by default that of the parameters. Floats are drawn from [0, 1), others are 0.
    depth : int
        How far down the table goes: 1 for what the network itself calls.

    Returns
    -------
    Summary
        Which prints as a table. Of a module with others in it the figures are those of all together. Multiply-adds are
        those of weights: of a convolution its parameters times the pixels of its results, of a transposed one times
        those of its inputs, of a linear layer times rows, of a recurrent one times steps; of other layers, such as
        normalisations, their parameters, once an image; none of an embedding. So torchinfo counts, but for linear
        layers on more than rows, transposed convolutions and embeddings. Measured, a step of SGD peaks at 1.1 to 1.3
        times the memory that is told, with what kernels take for a moment.

    Raises
    ------
    RuntimeError
        If the network cannot run with such an input; the message says how far it came.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"summary expects a Module, got {type(model).__name__}")
    if size is not None and data is not None:
        raise ValueError("summary takes the size of an input or an input, data=, and got both")
    result = Summary(model, integer(depth, "depth"))
    if size is None and data is None:
        _describe(model, result.root)
    else:
        args, kwargs = _arguments(model, size, data, dtypes)
        _run(model, args, kwargs, result)
    parameters = list(model.parameters())
    result.total_params = sum(p.numel() for p in parameters)
    result.trainable_params = sum(p.numel() for p in parameters if p.requires_grad)
    result.total_param_bytes = sum(p.nbytes for p in parameters)
    result.total_mult_adds = result.root.mult_adds
    gradients = sum(p.nbytes for p in parameters if p.requires_grad)
    largest = result.training_bytes  # so far, of one result
    result.training_bytes = result.total_input + result.total_param_bytes + gradients + result.kept_bytes + largest
    return result


# ---------------------------------------------------------------------------------------------------------
# Inputs
# ---------------------------------------------------------------------------------------------------------


def _is_shape(value: Any) -> bool:
    return isinstance(value, list | tuple) and all(isinstance(n, int | np.integer) for n in value)


def _arguments(model: nn.Module, size: Any, data: Any, dtypes: Any) -> tuple[tuple[Any, ...], dict[str, Any]]:
    """What ``forward`` is to be called with."""
    if data is None:
        one = dtypes is None or not isinstance(dtypes, list | tuple)
        default = next((p.dtype for p in model.parameters() if p.is_floating_point()), float32)
        kinds = iter([] if one else dtypes)
        rng = np.random.default_rng(0)

        def made(shape: Any) -> Any:
            if isinstance(shape, Mapping):
                return {name: made(value) for name, value in shape.items()}
            if not isinstance(shape, list | tuple):
                kind = type(shape).__name__
                if isinstance(shape, Tensor | np.ndarray):
                    raise TypeError(f"size is made of shapes, got a {kind}; data= takes an input itself")
                raise TypeError(f"size is made of shapes, got {shape!r} of type {kind} in {size!r}")
            if not _is_shape(shape):
                return type(shape)([made(value) for value in shape])
            shape = tuple(integers(shape, "size", 0, len(shape)))
            dtype = (default if dtypes is None else dtypes) if one else next(kinds, None)
            if dtype is None:
                raise ValueError(f"dtypes has {len(dtypes)} entries for more inputs, size={size!r}")
            numbers = rng.random(shape) if np.dtype(dtype).kind not in "biu" else np.zeros(shape)
            return from_numpy(np.asarray(numbers, np.float32)).to(dtype)

        data = made([size] if _is_shape(size) else size)
        if not one and (left := len(list(kinds))):
            raise ValueError(f"dtypes has {len(dtypes)} entries, {left} more than there are inputs, size={size!r}")
    data = _as_tensors(data)
    if isinstance(data, Mapping):
        try:
            inspect.signature(model.forward).bind(**data)
        except TypeError:
            return (data,), {}
        return (), dict(data)
    return (tuple(data) if isinstance(data, list | tuple) else (data,)), {}


def _as_tensors(value: Any) -> Any:
    """An input with its arrays as tensors."""
    if isinstance(value, np.ndarray):
        return from_numpy(value)
    if type(value) in (list, tuple):
        return type(value)(map(_as_tensors, value))
    return {name: _as_tensors(item) for name, item in value.items()} if type(value) is dict else value


def _tensors(value: Any) -> Iterator[Tensor]:
    """The tensors in what a module takes or returns, attributes of an object of its own kind among them."""
    if isinstance(value, Tensor):
        yield value
    elif type(value).__module__ != "builtins" and not isinstance(value, Mapping | list | tuple | nn.Module | type):
        yield from (item for item in getattr(value, "__dict__", {}).values() if isinstance(item, Tensor))
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _tensors(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _tensors(item)


# ---------------------------------------------------------------------------------------------------------
# A run
# ---------------------------------------------------------------------------------------------------------


def _run(model: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any], result: Summary) -> None:
    """Call the network with hooks on all its modules, and put what they saw into `result`."""
    modules = list(model.modules())
    training = [module.training for module in modules]
    unhooked = [module for module in modules if module._hooks is None]
    above: list[tuple[Row, nn.Module]] = []  # what is being called
    seen: set[int] = set()
    counted: set[int] = set()
    names: dict[int, dict[int, str]] = {}

    def before(module: nn.Module, args: Any, kwargs: Any) -> None:
        parent, caller = above[-1] if above else (None, None)
        row = result.root
        if parent is not None:
            known = names.setdefault(id(caller), {id(m): name for name, m in caller.named_modules()})
            row = Row(known.get(id(module), ""), type(module).__name__, parent.depth + 1)
            parent.children.append(row)
        row.input = next((tuple(t.shape) for t in _tensors([args, kwargs])), None)
        row.shared = id(module) in seen
        seen.add(id(module))
        above.append((row, module))

    def after(module: nn.Module, args: Any, kwargs: Any, y: Any) -> None:
        row, _ = above.pop()
        first = next(_tensors(y), None)
        row.output = None if first is None else tuple(first.shape)
        own = [p for p in module._parameters.values() if p is not None]
        row.parameters = sum(p.numel() for p in own if id(p) not in counted)
        row.parameters += sum(child.parameters for child in row.children)
        counted.update(map(id, own))
        row.mult_adds = _mult_adds(module, row, own) + sum(child.mult_adds for child in row.children)
        if first is not None:
            result.total_output_bytes += 2 * first.nbytes if own and not row.children else 0
            result.training_bytes = max(result.training_bytes, first.nbytes)
        if above:
            _merge_last(above[-1][0].children)

    hooks = []
    try:
        for module in modules:
            hooks.append(module.register_forward_pre_hook(before, with_kwargs=True))
            hooks.append(module.register_forward_hook(after, with_kwargs=True))
            module.training = False
        with enable_grad():
            y = model(*args, **kwargs)
    except Exception as error:
        shapes = ", ".join(_shape(tuple(t.shape)) for t in _tensors([args, kwargs]))
        where = " in ".join(f"{row.name}: {row.kind}" if row.name else row.kind for row, _ in reversed(above))
        text = f"the network does not run on {shapes or 'this input'}: {error} (in {where})"
        if any(t.ndim == 3 for t in _tensors([args, kwargs])):
            text += "; the size of an input begins with the number of images, (1, 3, 224, 224) say"
        raise RuntimeError(text) from error
    finally:
        for hook in hooks:
            hook.remove()
        for module in unhooked:  # a place for hooks, even for none, makes calls slower
            module.__dict__.pop("_hooks", None)
        for module, mode in zip(modules, training, strict=True):
            module.training = mode
    own_memory = {
        _owner(t.detach().numpy())[0] for t in (*model.parameters(), *model.buffers(), *_tensors([args, kwargs]))
    }
    kept = {key: size for key, size in _kept(_tensors(y)) if key not in own_memory}
    result.kept_bytes = sum(kept.values())
    result.total_input = sum(t.nbytes for t in _tensors([args, kwargs]))
    used = {id(node) for node in _walk(_tensors(y)) if isinstance(node, Tensor)} - counted
    result.uncounted = sum(p.numel() for p in model.parameters() if id(p) in used)
    counted |= used
    for name, module in model.named_modules():
        outside = not any(name.startswith(f"{other}.") for other in result.not_run)
        count = sum(p.numel() for p in module.parameters() if id(p) not in counted)
        if id(module) not in seen and count and outside and all(id(m) not in seen for m in module.modules()):
            result.not_run[name] = count


def _merge_last(rows: list[Row]) -> None:
    """Make the last row part of an earlier one, if that is a call of the same module with the same shapes."""
    last = rows[-1]
    for row in rows[:-1] if last.shared else ():
        if (row.name, row.kind, row.input, row.output) == (last.name, last.kind, last.input, last.output):
            row.calls += last.calls
            row.mult_adds += last.mult_adds
            rows.pop()
            return


def _mult_adds(module: nn.Module, row: Row, own: list[Any]) -> int:
    """Those of a module's own weights in one call; see :func:`summary`."""
    if row.output is None or isinstance(module, nn.Embedding):
        return 0
    weights = [p for name, p in module._parameters.items() if p is not None and ("weight" in name or "bias" in name)]
    count = sum(p.numel() for p in weights)
    pixels = math.prod(row.output)
    if isinstance(module, nn.ConvTranspose1d | nn.ConvTranspose2d | nn.ConvTranspose3d) and row.input is not None:
        bias = 0 if module.bias is None else pixels
        return module.weight.numel() * (math.prod(row.input) // module.in_channels) + bias
    if isinstance(module, nn.Conv1d | nn.Conv2d | nn.Conv3d):  # parametrised weights too, which are not parameters
        count = module.weight.numel() + (0 if module.bias is None else module.bias.numel())
        return count * (pixels // module.out_channels)
    if isinstance(module, nn.Linear):
        count = module.weight.numel() + (0 if module.bias is None else module.bias.numel())
        return count * (pixels // max(module.out_features, 1))
    if isinstance(module, nn.RNN | nn.GRU | nn.LSTM | nn.MultiheadAttention):
        count = sum(p.numel() for p in own)
        return count * math.prod(row.output[:-1])
    return count * (row.output[0] if len(row.output) > 1 else 1)


def _owner(array: np.ndarray) -> tuple[int, int]:
    """What owns an array's memory, by its number, and the bytes that are known of it."""
    while isinstance(array.base, np.ndarray):
        array = array.base
    return id(array.base if array.base is not None else array), array.nbytes


def _walk(tensors: Iterator[Tensor]) -> Iterator[Any]:
    """The operations that made these tensors, and the tensors that they began with, which require gradients."""
    nodes: list[Any] = [t._node for t in tensors]
    seen: set[int] = set()
    while nodes:
        node = nodes.pop()
        if node is None or id(node) in seen:
            continue
        seen.add(id(node))
        nodes += getattr(node, "parents", ())
        yield node


def _kept(tensors: Iterator[Tensor]) -> Iterator[tuple[int, int]]:
    """The memory that the operations which made these tensors keep for backward: its owners and their bytes."""
    for node in _walk(tensors):
        if not hasattr(node, "saved"):
            continue
        cells = getattr(node.vjp, "__closure__", None) or ()
        yield from map(_owner, _arrays([node.saved, [cell.cell_contents for cell in cells]]))


def _arrays(value: Any) -> Iterator[np.ndarray]:
    if isinstance(value, np.ndarray):
        yield value
    elif isinstance(value, Tensor):
        yield value.detach().numpy()
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _arrays(item)


def _describe(model: nn.Module, root: Row) -> None:
    """The rows of a network that is not run: its modules, as they are listed."""

    def add(module: nn.Module, row: Row, counted: set[int]) -> int:
        own = [p for p in module._parameters.values() if p is not None and id(p) not in counted]
        counted.update(map(id, own))
        row.parameters = sum(p.numel() for p in own)
        for name, child in module._modules.items():
            if child is not None:
                row.children.append(Row(name, type(child).__name__, row.depth + 1))
                row.parameters += add(child, row.children[-1], counted)
        return row.parameters

    add(model, root, set())


# ---------------------------------------------------------------------------------------------------------
# Text
# ---------------------------------------------------------------------------------------------------------


def _shape(shape: tuple[int, ...] | None) -> str:
    return "" if shape is None else str(list(shape))


def _bytes(count: int) -> str:
    unit, size = next(((u, n) for u, n in (("GB", 1e9), ("MB", 1e6), ("kB", 1e3)) if count >= n), ("bytes", 1))
    return f"{count / size:,.{0 if size == 1 else 2}f} {unit}"
