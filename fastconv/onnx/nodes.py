"""The operators that can be read: which function computes each, and which of its inputs are learned."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np

from .._tensor import Tensor

__all__ = ["CONTROL_FLOW", "QUANTISED", "READERS", "Node", "Reader", "integers", "reads"]


@dataclass
class Node:
    """One operator of a graph, as its function sees it.

    Attributes
    ----------
    kind : str
        The operator's name.
    name : str
        The node's own, for messages.
    inputs, outputs : tuple of str
        Names of what it takes and makes; an empty one is left out.
    attributes : dict
    opset : int
        The version of the operators.
    """

    kind: str
    name: str
    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    opset: int
    attributes: dict[str, Any] = field(default_factory=dict)

    def get(self, name: str, default: Any = None) -> Any:
        """An attribute, or what stands for it where it is left out."""
        return self.attributes.get(name, default)


class Reader(NamedTuple):
    """How an operator is computed.

    Attributes
    ----------
    compute : callable
        ``compute(node, *inputs)``: a tensor, or a tuple of several; inputs are tensors, or None where left out.
    weights : tuple of int
        Inputs that are learned where they are constants, wherever these come from.
    settings : tuple of int
        Inputs that are never learned.
    takes_mode : bool
        Whether ``compute`` also takes ``training=``, the module's mode.
    in_float32 : bool
        Whether floats of 16 bits are computed in float32, and the results rounded.
    """

    compute: Callable[..., Any]
    weights: tuple[int, ...]
    settings: tuple[int, ...]
    takes_mode: bool
    in_float32: bool


READERS: dict[str, Reader] = {}

CONTROL_FLOW = {"If", "Loop", "Scan", "SequenceMap"}
QUANTISED = {
    "ConvInteger",
    "DequantizeLinear",
    "DynamicQuantizeLinear",
    "MatMulInteger",
    "QLinearConv",
    "QLinearMatMul",
    "QuantizeLinear",
}


def reads(
    *kinds: str,
    weights: tuple[int, ...] = (),
    settings: tuple[int, ...] = (),
    takes_mode: bool = False,
    in_float32: bool = False,
) -> Callable[[Callable[..., Any]], Callable[..., Any]]:
    """A decorator: this computes these operators."""

    def decorate(compute: Callable[..., Any]) -> Callable[..., Any]:
        READERS.update(dict.fromkeys(kinds, Reader(compute, weights, settings, takes_mode, in_float32)))
        return compute

    return decorate


def integers(x: Any) -> list[int] | None:
    """The integers of a tensor, in a list."""
    if x is None:
        return None
    array = x._array if isinstance(x, Tensor) else np.asarray(x)
    return [int(n) for n in array.reshape(-1)]
