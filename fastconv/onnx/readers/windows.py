"""Padding, strides and dilations as ONNX states them, in numbers."""

from __future__ import annotations

from typing import Any, NamedTuple

from ..nodes import Node

__all__ = ["Windows", "windows_of"]


class Windows(NamedTuple):
    """Windows over some dimensions: for each its size, step, dilation, padding before and after, and how many."""

    kernel: list[int]
    strides: list[int]
    dilations: list[int]
    before: list[int]
    after: list[int]
    out: list[int]

    @property
    def is_even(self) -> bool:
        """Whether the padding is the same on both sides."""
        return self.before == self.after

    @property
    def pairs(self) -> list[int]:
        """The padding as :func:`fastconv.nn.functional.pad` takes it."""
        return [n for pair in reversed(list(zip(self.before, self.after, strict=True))) for n in pair]


def windows_of(node: Node, lengths: Any, kernel: Any) -> Windows:
    """The windows of a node over images of these lengths."""
    dims = len(lengths)
    kernel = [int(n) for n in kernel]
    strides = list(node.get("strides") or [1] * dims)
    dilations = list(node.get("dilations") or [1] * dims)
    pads = list(node.get("pads") or [0] * (2 * dims))
    if not (len(kernel) == len(strides) == len(dilations) == dims and len(pads) == 2 * dims):
        raise ValueError(
            f"expected {dims} numbers in kernel_shape, strides and dilations and twice as many in pads, got {kernel}, "
            f"{strides}, {dilations} and {pads}"
        )
    if min(kernel + strides + dilations, default=1) < 1:
        raise ValueError(f"expected positive sizes, got kernel {kernel}, strides {strides}, dilations {dilations}")
    before, after = pads[:dims], pads[dims:]
    auto = node.get("auto_pad", "NOTSET")
    spans = [d * (k - 1) + 1 for d, k in zip(dilations, kernel, strict=True)]
    if auto in ("SAME_UPPER", "SAME_LOWER"):
        before, after = [], []
        for n, span, step in zip(lengths, spans, strides, strict=True):
            total = max((-(-n // step) - 1) * step + span - n, 0)
            before.append(total // 2 if auto == "SAME_UPPER" else total - total // 2)
            after.append(total - before[-1])
    elif auto == "VALID":
        before, after = [0] * dims, [0] * dims
    elif auto not in ("NOTSET", ""):
        raise ValueError(f"auto_pad {auto!r} is unknown")
    out = []
    for n, span, step, b, a in zip(lengths, spans, strides, before, after, strict=True):
        room = n + b + a - span
        count = room // step + 1
        if node.get("ceil_mode", 0) and room % step:
            count += (count * step) < n + b  # a window that begins in the padding behind is none
        if room < 0 and count < 1:
            raise ValueError(f"a window of {span} does not fit {n} pixels with padding {b} and {a}")
        out.append(count)
    return Windows(kernel, strides, dilations, before, after, out)
