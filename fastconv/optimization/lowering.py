"""A recorded forward pass as a plan: steps on images in blocks of channels, and calls of what has no step.

Batch norm is folded into the convolution before it; what is added to a convolution's result and the activation after
it become parts of its step. Images between two layers that have steps stay in the layout of blocks, with as many zeros
around them as those who read them want. What is not in use at the same time shares memory.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import numpy as np

from .. import functions
from .._native import block_layers, blocks
from .._native.tape import wrap
from .._tensor import Tensor
from ..layer_passes import KINDS
from ..nn import functional as F
from ..onnx.graph import Value
from ..onnx.trace import Call, Trace, replaced, tensors_of
from .filters import choose_tiles, pack, pack_each, pack_narrow
from .schedule import Node, Output, Plan, PlanImages, Schedule, SizesDiffer

__all__ = ["lower"]

MOST_PADDING = 4  # in lengths of images, that is laid out around them
FEW_PIXELS = 128  # of an image whose planes are near anyway

_NOTHING_AFTER = (-np.inf, np.inf, -1, ())


class _Item:
    """A Value of the recorded pass: images, seen as an array of this shape."""

    def __init__(self, images: PlanImages, shape: tuple[int, ...]) -> None:
        self.images, self.shape = images, shape

    @property
    def is_images(self) -> bool:
        return self.images.shape is not None

    @property
    def is_plain(self) -> bool:
        return self.images.shape == self.shape


def _pair(x: Any) -> tuple[int, int]:
    return (int(x[0]), int(x[-1])) if isinstance(x, (tuple, list)) else (int(x), int(x))


class _Lowering:
    """The state of :func:`lower`."""

    def __init__(self, trace: Trace, prepared: dict[Any, Any]) -> None:
        self.trace, self.prepared = trace, prepared
        self.items: dict[int, _Item] = {}
        self.nodes: list[Node] = []
        self.dtype = next((value.dtype for value in trace.inputs if value.dtype in (np.float32, np.float64)), None)
        self.readers: dict[int, list[int]] = {}
        self.made_by: dict[int, int] = {}
        self.tensors = {id(value): ref for ref, _, value in trace._values.values() if value.array is not None}
        self.done: set[int] = set()  # calls that became parts of steps
        self.outputs = {id(value) for value in trace.outputs}
        self.written = {id(value) for value, *_ in trace.written}
        for i, call in enumerate(trace.calls):
            for value in tensors_of(call.arguments):
                self.readers.setdefault(id(value), []).append(i)
            for value in tensors_of(call.result):
                self.made_by[id(value)] = i
        self.at = 0

    # What is known of values

    def item(self, value: Any) -> _Item | None:
        return self.items.get(id(value)) if isinstance(value, Value) else None

    def images(self, value: Any) -> _Item | None:
        """The item of images (N, C, H, W) of a floating dtype, not empty."""
        item = self.item(value)
        return item if item is not None and item.is_images and item.is_plain else None

    def constant(self, value: Any) -> np.ndarray | None:
        return value.array if isinstance(value, Value) and value.array is not None else None

    def key(self, values: list[Any]) -> tuple[int | None, ...] | None:
        """What stands for the content of constants until parameters change; None where some tensor is gone, whose
        number another may have by now."""
        refs = [None if value is None else self.tensors.get(id(value), lambda: None) for value in values]
        tensors = [None if ref is None else ref() for ref in refs]
        if any(value is not None and tensor is None for value, tensor in zip(values, tensors, strict=True)):
            return None
        return tuple(None if tensor is None else id(tensor) for tensor in tensors)

    def only_reader(self, value: Any) -> int | None:
        readers = self.readers.get(id(value), [])
        return readers[0] if len(readers) == 1 and id(value) not in self.outputs else None

    def new(self, value: Any, shape: tuple[int, ...] | None) -> PlanImages:
        images = PlanImages(shape)
        self.items[id(value)] = _Item(images, tuple(value.shape))
        return images

    def image_shape(self, value: Value) -> tuple[int, ...] | None:
        """Of a value that a step may read as images."""
        shape = tuple(map(int, value.shape))
        return shape if len(shape) == 4 and min(shape) > 0 and value.dtype == self.dtype else None

    # What follows a step's result

    def chain(self, value: Value, fold: bool) -> tuple[Value, list[Call], PlanImages | None, tuple[Any, ...]]:
        """What becomes part of the step that makes a value: the value in the end, batch norms, images that are added,
        and limits and activation."""
        norms: list[Call] = []
        added: PlanImages | None = None
        while True:
            at = self.only_reader(value)
            if at is None:
                return value, norms, added, _NOTHING_AFTER
            call = self.trace.calls[at]
            if fold and call.function is F.batch_norm and added is None and self._foldable(call, value):
                norms.append(call)
            elif call.function is functions.add and added is None and (other := self._other(call, value)) is not None:
                added = other
            else:
                after = _activation(call, value)
                if after is None:
                    return value, norms, added, _NOTHING_AFTER
                self.done.add(at)
                return call.result, norms, added, after
            self.done.add(at)
            value = call.result

    def _foldable(self, call: Call, value: Value) -> bool:
        a = call.arguments
        return (
            a["input"] is value
            and not _asks_numbers(call)
            and not a["training"]
            and self.constant(a["running_mean"]) is not None
            and self.constant(a["running_var"]) is not None
            and all(a[name] is None or self.constant(a[name]) is not None for name in ("weight", "bias"))
            and all(value.dtype == a[name].dtype for name in ("running_mean", "running_var"))
        )

    def _other(self, call: Call, value: Value) -> PlanImages | None:
        """The images that are added to a value, if they are there by now."""
        a = call.arguments
        other = a["other"] if a["input"] is value else a["input"]
        if a["alpha"] != 1 or a.get("out") is not None or other is value or not isinstance(other, Value):
            return None
        item = self.images(other)
        same = item is not None and other.shape == value.shape and other.dtype == value.dtype
        return item.images if same and item is not None else None

    def norm(self, calls: list[Call], channels: int) -> tuple[np.ndarray, np.ndarray]:
        """Batch norms as a factor and an offset for each channel, in float64."""
        factor, offset = np.ones(channels), np.zeros(channels)
        for call in calls:
            a = call.arguments
            mean, variance = (np.asarray(a[name].array, np.float64) for name in ("running_mean", "running_var"))
            weight = 1.0 if a["weight"] is None else np.asarray(a["weight"].array, np.float64)
            scale = weight / np.sqrt(variance + a["eps"])
            factor, offset = factor * scale, (offset - mean) * scale
            if a["bias"] is not None:
                offset = offset + np.asarray(a["bias"].array, np.float64)
        return factor, offset

    # The functions that have steps

    def run(self) -> None:
        for i, call in enumerate(self.trace.calls):
            if i in self.done:
                continue
            self.at = i
            lower_call = _LOWERED.get(call.function)
            if lower_call is None or _asks_numbers(call) or not lower_call(self, call, call.arguments):
                self.call(call)

    def call(self, call: Call) -> None:
        """A call as it stands, of tensors."""
        reads: list[tuple[PlanImages, str]] = []
        shapes: list[tuple[tuple[int, ...], bool]] = []  # and whether a call writes to what has it
        live: list[Any] = []

        def argument(value: Value) -> Any:
            item = self.items.get(id(value))
            if item is None:
                ref = self.tensors.get(id(value))
                tensor = None if ref is None else ref()
                # What is written to begins anew in every run.
                fresh = id(value) in self.written
                live.append(value.array if fresh else wrap(value.array) if tensor is None else tensor)
                return _Place(None, len(live) - 1)
            reads.append((item.images, "array"))
            shapes.append((item.shape, id(value) in self.written))
            return _Place(len(reads) - 1, None)

        arguments = replaced(_as_passed(call), argument, Value)
        made = tuple(tuple(value.shape) for value in tensors_of(call.result))
        written = [(self.new(value, self.image_shape(value)), "array") for value in tensors_of(call.result)]

        def make(slots: list[int], results: list[int]) -> Callable[[list[Any]], None]:
            def step(arrays: list[Any]) -> None:
                def tensor(place: _Place) -> Tensor:
                    if place.read is None:
                        constant = live[place.constant]
                        return constant if isinstance(constant, Tensor) else wrap(constant.copy())
                    shape, written = shapes[place.read]
                    array = arrays[slots[place.read]].reshape(shape)
                    # Others may lie in the same memory, which in the recorded pass was another's.
                    return wrap(array.copy() if written else array)

                positional, named = replaced(arguments, tensor, _Place)
                result = call.function(*positional, **named)
                if result is None:  # it has written to its first argument
                    result = next(tensors_of((positional, named)))
                outs = list(tensors_of(result))
                if tuple(tuple(out.shape) for out in outs) != made:
                    raise SizesDiffer(f"the size of what {call.function.__name__}() returns depends on numbers")
                for number, out in zip(results, outs, strict=True):
                    arrays[number] = out._array

            return step

        self.nodes.append(Node(f"call {call.function.__name__}", reads, written, make))

    def conv2d(self, call: Call, a: dict[str, Any]) -> bool:
        x, w = self.images(a["input"]), self.constant(a["weight"])
        b = None if a["bias"] is None else self.constant(a["bias"])
        if x is None or w is None or (a["bias"] is not None and b is None) or w.dtype != a["input"].dtype:
            return False
        stride, dilation, groups = _pair(a["stride"]), _pair(a["dilation"]), int(a["groups"])
        kernel = w.shape[2:]
        if a["padding"] == "valid":
            pad = (0, 0)
        elif a["padding"] == "same":
            pad = tuple(d * (k - 1) // 2 for d, k in zip(dilation, kernel, strict=True))
        else:
            pad = _pair(a["padding"])
        if groups != 1 and not groups == w.shape[0] == x.images.shape[1]:
            return False
        if any(p > MOST_PADDING * n for p, n in zip(pad, x.shape[2:], strict=True)):
            return False
        self.convolve(call, x.images, w, b, stride, pad, dilation, groups > 1)
        return True

    def linear(self, call: Call, a: dict[str, Any]) -> bool:
        x, w = self.item(a["input"]), self.constant(a["weight"])
        b = None if a["bias"] is None else self.constant(a["bias"])
        if x is None or not x.is_images or w is None or (a["bias"] is not None and b is None):
            return False
        shape = x.images.shape
        if len(x.shape) != 2 or x.shape[1] != w.shape[1] or w.dtype != a["input"].dtype:
            return False
        self.convolve(call, x.images, w.reshape(len(w), *shape[1:]), b, (1, 1), (0, 0), (1, 1), False)
        return True

    def convolve(
        self,
        call: Call,
        x: PlanImages,
        w: np.ndarray,
        b: np.ndarray | None,
        stride: tuple[int, int],
        pad: tuple[int, ...],
        dilation: tuple[int, int],
        each: bool,
    ) -> None:
        """A convolution, of each channel by itself if `each`, with what follows it."""
        n, c, h, width = x.shape
        kernel, result = w.shape[2:], call.result
        out = tuple(result.shape[2:]) if len(result.shape) == 4 else (1, 1)
        flat = len(result.shape) == 2
        value, norms, added, after = self.chain(result, not flat)
        images = self.new(value, (n, len(w), *out))
        lanes = blocks.lanes(w.dtype.itemsize)
        narrow = not each and c <= lanes // 2 and not x.in_blocks
        if not each and not narrow and kernel == (1, 1) and stride != (1, 1) and tuple(pad) == (0, 0):
            x, stride, h, width = self.pixels_of_stride(x, stride, out), (1, 1), *out
        reach = [
            (p - 1) * s + (k - 1) * d - q - size + 1
            for p, s, k, d, q, size in zip(out, stride, kernel, dilation, pad, (h, width), strict=True)
        ]
        form = "narrow" if narrow else "blocks"
        small = None
        # Tiles know of one padding: "same" around filters of an even size has one pixel more behind an axis.
        tiled = max(pad) < kernel[0] and all(behind <= before for behind, before in zip(reach, pad, strict=True))
        if not each and not narrow and kernel[0] == kernel[1] and stride == dilation == (1, 1) and tiled:
            small = choose_tiles(int(kernel[0]), n, c, len(w), out, lanes, w.dtype.itemsize)
        if small is None:
            x.want((pad[0], pad[1], max(0, reach[0]), max(0, reach[1])))
        names = "running_mean", "running_var", "weight", "bias"
        of_norms = [norm.arguments[name] for norm in norms for name in names]
        tensors = self.key([call.arguments["weight"], call.arguments["bias"], *of_norms])
        key = tensors, tuple(norm.arguments["eps"] for norm in norms), kernel, form, each, small, lanes

        def prepare() -> tuple[np.ndarray, np.ndarray]:
            factor, offset = self.norm(norms, len(w))
            scaled = (w * factor[:, None, None, None]).astype(w.dtype) if norms else w
            bias = offset if b is None else np.asarray(b, np.float64) * factor + offset
            padded = np.zeros(-(-len(w) // lanes) * lanes, w.dtype)
            padded[: len(w)] = bias
            if small is not None:
                return block_layers.transform(np.require(scaled, None, "CA"), small), padded
            packing = pack_each if each else pack_narrow if narrow else pack
            return packing(scaled, lanes), padded

        made = self.prepared.get(key) or prepare()
        if tensors is not None:
            self.prepared[key] = made
        packed, bias = made
        before = self.node_before(call.arguments["input"], x) if each and max(pad[1], reach[1]) > 0 else None
        reads = [(x, form)] if before is None else before.reads
        reads = reads + ([(added, "blocks")] if added is not None else [])

        def make(read: list[Any], written: list[Any]) -> Any:
            other = read[1] if added is not None else None
            sizes = kernel, stride, tuple(pad), dilation
            if small is not None:
                return block_layers.Winograd(
                    read[0], written[0], other, after, packed, bias, kernel[0], tuple(pad), small
                )
            if not each:
                return block_layers.Convolution(read[0], written[0], other, after, packed, bias, *sizes)
            seen = read[0] if before is None else blocks.Images(x.shape, tuple(x.halo), False, w.dtype.itemsize)
            first = None if before is None else before.make(read[:1], [seen])
            return block_layers.Depthwise(seen, written[0], other, after, packed, bias, *sizes, first)

        kind_name = "depthwise" if each else "convolution" if small is None else "Winograd"
        name = f"{kind_name} of {len(w)} filters of {kernel[0]} x {kernel[1]}" + _told(norms, added, after)
        if before is not None:
            name = f"{self.nodes.pop().name}; {name}"
        self.nodes.append(Node(name, reads, [(images, "blocks")], make))
        channels = -(-c // lanes)
        whole = block_layers.blocks_in_sum(channels, kernel[0] * kernel[1] * lanes) == channels
        self.nodes[-1].by_panels = whole and not each and not narrow and small is None and added is None

    def node_before(self, value: Value, x: PlanImages) -> Node | None:
        """The last node, if it makes large images that nobody else reads, and can make them by and by."""
        node = self.nodes[-1] if self.nodes else None
        if node is None or not node.by_panels or node.writes != [(x, "blocks")] or self.only_reader(value) is None:
            return None
        return node if x.shape[2] * x.shape[3] >= FEW_PIXELS else None

    def pixels_of_stride(self, x: PlanImages, stride: tuple[int, int], out: tuple[int, ...]) -> PlanImages:
        """The pixels that one tap sees, side by side, so that a plane of them is one row."""
        images, one = PlanImages((*x.shape[:2], *out)), (1, 1)

        def make(read: list[Any], written: list[Any]) -> Any:
            return blocks.Pooling(read[0], written[0], _NOTHING_AFTER, one, stride, (0, 0), one, False, False, 0.0)

        self.nodes.append(Node("pixels of a stride", [(x, "blocks")], [(images, "blocks")], make))
        return images

    def batch_norm(self, call: Call, a: dict[str, Any]) -> bool:
        """A batch norm that follows no convolution: an affine map of each channel."""
        x = self.images(a["input"])
        if x is None or not self._foldable(call, a["input"]):
            return False
        factor, offset = self.norm([call], x.images.shape[1])
        dtype = a["input"].dtype
        lanes = blocks.lanes(dtype.itemsize)
        padded = np.zeros((2, -(-len(factor) // lanes) * lanes), dtype)
        padded[:, : len(factor)] = factor, offset
        value, _, added, after = self.chain(call.result, False)
        images = self.new(value, x.images.shape)

        def make(read: list[Any], written: list[Any]) -> Any:
            other = read[1] if added is not None else None
            one, none = (1, 1), (0, 0)
            return block_layers.Depthwise(read[0], written[0], other, after, padded[0], padded[1], one, one, none, one)

        reads = [(x.images, "blocks")] + ([(added, "blocks")] if added is not None else [])
        self.nodes.append(Node("batch norm" + _told([], added, after), reads, [(images, "blocks")], make))
        return True

    def activation(self, call: Call, a: dict[str, Any]) -> bool:
        item = self.item(a["input"])
        after = _activation(call, a["input"])
        if item is None or after is None or not item.is_images or not item.images.in_blocks:
            return False
        images = PlanImages(item.images.shape)
        self.items[id(call.result)] = _Item(images, item.shape)
        self.nodes.append(
            Node(
                call.function.__name__,
                [(item.images, "blocks")],
                [(images, "blocks")],
                lambda read, written: blocks.Addition(read[0], written[0], None, after),
            )
        )
        return True

    def add(self, call: Call, a: dict[str, Any]) -> bool:
        x = self.images(a["input"])
        other = None if x is None else self._other(call, a["input"])
        if x is None or other is None or not (x.images.in_blocks and other.in_blocks):
            return False
        value, _, _, after = self.chain_without_add(call.result)
        images = self.new(value, x.images.shape)
        self.nodes.append(
            Node(
                "add",
                [(x.images, "blocks"), (other, "blocks")],
                [(images, "blocks")],
                lambda read, written: blocks.Addition(read[0], written[0], read[1], after),
            )
        )
        return True

    def chain_without_add(self, value: Value) -> tuple[Value, list[Call], None, tuple[Any, ...]]:
        at = self.only_reader(value)
        after = None if at is None else _activation(self.trace.calls[at], value)
        if at is None or after is None:
            return value, [], None, _NOTHING_AFTER
        self.done.add(at)
        return self.trace.calls[at].result, [], None, after

    def mul(self, call: Call, a: dict[str, Any]) -> bool:
        """Images times a factor for each channel."""
        x, y = self.images(a["input"]), self.images(a["other"])
        if x is None or y is None or a.get("out") is not None or a["input"].dtype != a["other"].dtype:
            return False
        if x.shape[2:] == (1, 1):
            x, y = y, x
        if y.shape != (*x.shape[:2], 1, 1) or not x.images.in_blocks:
            return False
        images = self.new(call.result, x.images.shape)
        self.nodes.append(
            Node(
                "scale channels",
                [(x.images, "blocks"), (y.images, "blocks")],
                [(images, "blocks")],
                lambda read, written: blocks.Scaling(read[0], written[0], read[1]),
            )
        )
        return True

    def pool(
        self,
        call: Call,
        x: PlanImages,
        sizes: tuple[tuple[int, int], ...],
        mean: bool,
        counts_padding: bool = True,
        divisor: float = 0,
    ) -> bool:
        if not x.in_blocks:
            return False
        kernel, stride, pad, dilation = sizes
        out = tuple(call.result.shape[2:])
        if not all(map(blocks.all_meet, x.shape[2:], out, kernel, stride, pad, dilation)):
            return False  # a window of nothing but padding
        value, _, _, after = self.chain_without_add(call.result)
        images = self.new(value, (*x.shape[:2], *out))
        self.nodes.append(
            Node(
                "mean of windows" if mean else "max of windows",
                [(x, "blocks")],
                [(images, "blocks")],
                lambda read, written: blocks.Pooling(
                    read[0], written[0], after, kernel, stride, pad, dilation, mean, counts_padding, divisor
                ),
            )
        )
        return True

    def max_pool2d(self, call: Call, a: dict[str, Any]) -> bool:
        x = self.images(a["input"])
        if x is None or a["return_indices"]:
            return False
        kernel = _pair(a["kernel_size"])
        stride = kernel if a["stride"] is None or a["stride"] == () else _pair(a["stride"])
        return self.pool(call, x.images, (kernel, stride, _pair(a["padding"]), _pair(a["dilation"])), False)

    def avg_pool2d(self, call: Call, a: dict[str, Any]) -> bool:
        x = self.images(a["input"])
        if x is None:
            return False
        kernel = _pair(a["kernel_size"])
        stride = kernel if a["stride"] is None or a["stride"] == () else _pair(a["stride"])
        sizes = kernel, stride, _pair(a["padding"]), (1, 1)
        return self.pool(call, x.images, sizes, True, bool(a["count_include_pad"]), float(a["divisor_override"] or 0))

    def adaptive_avg_pool2d(self, call: Call, a: dict[str, Any]) -> bool:
        x = self.images(a["input"])
        if x is None:
            return False
        (h, w), (p, q) = x.shape[2:], call.result.shape[2:]
        if h % p or w % q:
            return False
        kernel = h // p, w // q
        return self.pool(call, x.images, (kernel, kernel, (0, 0), (1, 1)), True)

    def mean(self, call: Call, a: dict[str, Any]) -> bool:
        """The mean of planes."""
        x = self.images(a["input"])
        if x is None or a["dtype"] is not None or a.get("out") is not None or not isinstance(a["dim"], (list, tuple)):
            return False
        if sorted(d % 4 for d in a["dim"]) != [2, 3] or not x.images.in_blocks:
            return False
        images = self.new(call.result, (*x.shape[:2], 1, 1))
        kernel = x.shape[2:]
        self.nodes.append(
            Node(
                "mean of planes",
                [(x.images, "blocks")],
                [(images, "blocks")],
                lambda read, written: blocks.Pooling(
                    read[0], written[0], _NOTHING_AFTER, kernel, (1, 1), (0, 0), (1, 1), True, True, 0
                ),
            )
        )
        return True

    def flatten(self, call: Call, a: dict[str, Any]) -> bool:
        """The same images, seen as rows."""
        x = self.item(a["input"])
        if x is None or not x.is_images:
            return False
        shape = tuple(call.result.shape)
        if len(shape) != 2 or shape[0] != x.images.shape[0] or len(x.shape) < 2:
            return False
        self.items[id(call.result)] = _Item(x.images, shape)
        return True

    def cat(self, call: Call, a: dict[str, Any]) -> bool:
        """Channels side by side, where these are whole blocks."""
        if not isinstance(a["tensors"], (list, tuple)):
            return False
        items = [self.images(value) for value in a["tensors"]]
        dim = a["dim"]
        if any(item is None for item in items) or dim not in (1, -3) or a.get("out") is not None:
            return False
        dtype = call.result.dtype
        lanes = blocks.lanes(dtype.itemsize)
        if any(value.dtype != dtype for value in a["tensors"]) or any(item.shape[1] % lanes for item in items[:-1]):
            return False
        if not any(item.images.in_blocks for item in items):
            return False
        images = self.new(call.result, tuple(call.result.shape))
        first = 0
        for item in items:
            begin, channels = first, item.shape[1]

            def make(read: list[Any], written: list[Any], begin: int = begin, channels: int = channels) -> Any:
                return blocks.Addition(read[0], written[0].part(begin, channels), None, _NOTHING_AFTER)

            self.nodes.append(Node("cat", [(item.images, "blocks")], [(images, "blocks")], make))
            first += -(-channels // lanes)
        return True


def _as_passed(call: Call) -> tuple[list[Any], dict[str, Any]]:
    """A call's arguments as they are passed: positional and named ones."""
    positional: list[Any] = []
    named: dict[str, Any] = {}
    for name, parameter in inspect.signature(call.function).parameters.items():
        if parameter.kind is parameter.VAR_POSITIONAL:
            positional += call.arguments[name]
        elif parameter.kind is parameter.VAR_KEYWORD:
            named |= call.arguments[name]
        elif parameter.kind is parameter.KEYWORD_ONLY:
            named[name] = call.arguments[name]
        else:
            positional.append(call.arguments[name])
    return positional, named


class _Place:
    """Where a call finds an argument when the plan runs."""

    def __init__(self, read: int | None, constant: int | None) -> None:
        self.read, self.constant = read, constant


def _told(norms: list[Call], added: PlanImages | None, after: tuple[Any, ...]) -> str:
    """What follows a step, for its name."""
    has_activation = after[:3] != _NOTHING_AFTER[:3]
    return ", batch norm" * bool(norms) + ", addition" * (added is not None) + ", activation" * has_activation


_TENSORS = {"input", "weight", "bias", "other", "running_mean", "running_var", "tensors"}


def _asks_numbers(call: Call) -> bool:
    """Whether a tensor is passed where a step wants a number."""
    return any(name not in _TENSORS and any(tensors_of([x])) for name, x in call.arguments.items())


def _activation(call: Call, value: Value) -> tuple[float, float, int, tuple[float, ...]] | None:
    """What a call does to a value, as limits or as an activation that the kernels have."""
    a, function = call.arguments, call.function
    if a.get("input") is not value or _asks_numbers(call):
        return None
    if function in (F.relu, functions.relu):
        return 0.0, np.inf, -1, ()
    if function is F.relu6:
        return 0.0, 6.0, -1, ()
    if function is F.hardtanh:
        return float(a["min_val"]), float(a["max_val"]), -1, ()
    kind = _SIMPLE.get(function)
    return None if kind is None else (-np.inf, np.inf, KINDS.index(kind), ())


_SIMPLE = {F.hardsigmoid: "hardsigmoid", F.hardswish: "hardswish", F.silu: "silu", F.mish: "mish"}
_SIMPLE |= dict.fromkeys((F.sigmoid, functions.sigmoid), "sigmoid") | dict.fromkeys((F.tanh, functions.tanh), "tanh")

_LOWERED: dict[Any, Callable[[_Lowering, Call, dict[str, Any]], bool]] = {
    F.conv2d: _Lowering.conv2d,
    F.linear: _Lowering.linear,
    F.batch_norm: _Lowering.batch_norm,
    F.max_pool2d: _Lowering.max_pool2d,
    F.avg_pool2d: _Lowering.avg_pool2d,
    F.adaptive_avg_pool2d: _Lowering.adaptive_avg_pool2d,
    functions.add: _Lowering.add,
    functions.mul: _Lowering.mul,
    functions.mean: _Lowering.mean,
    functions.flatten: _Lowering.flatten,
    functions.cat: _Lowering.cat,
    **dict.fromkeys((F.relu, functions.relu, F.relu6, F.hardtanh, *_SIMPLE), _Lowering.activation),
}


def lower(trace: Trace, prepared: dict[Any, Any]) -> Plan:
    """The plan of a recorded pass.

    Filters that have been packed are taken from `prepared`, and put there.
    """
    lowering = _Lowering(trace, prepared)
    for number, value in enumerate(trace.inputs):
        lowering.new(value, lowering.image_shape(value)).slot = number
    lowering.run()
    schedule = Schedule(len(trace.inputs))
    for node in lowering.nodes:
        schedule.add(node)
    outputs: dict[int, Output] = {}
    for value in trace.outputs:
        item = lowering.items[id(value)]
        schedule.provide(item.images, "array")
        outputs[id(value)] = Output((item.images.slot, item.shape))
    result = replaced(trace.result, lambda value: outputs[id(value)], Value)
    return schedule.plan(result, 4 if lowering.dtype is None else lowering.dtype.itemsize)
