"""Recurrent layers."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..._tensor import Tensor
from ...creation import zeros
from ...functions import chunk, relu, sigmoid, stack, tanh
from ...nn import functional as F
from ..nodes import Node, reads

__all__ = []

_ACTIVATIONS = {"Tanh": tanh, "Relu": relu, "Sigmoid": sigmoid}


def _lstm(
    node: Node, functions: list[Any], gates: Tensor, state: list[Tensor], r: Tensor, b: Any, peepholes: Any
) -> list[Tensor]:
    f, g, h = functions
    hidden, cell = state
    i, o, forget, c = chunk(gates + F.linear(hidden, r, b), 4, 1)
    if peepholes is not None:  # the gates see the cell
        own_i, own_o, own_forget = chunk(peepholes, 3, 0)
        i, forget = i + own_i * cell, forget + own_forget * cell
    cell = f(forget) * cell + f(i) * g(c)
    o = o if peepholes is None else o + own_o * cell
    return [f(o) * h(cell), cell]


def _gru(
    node: Node, functions: list[Any], gates: Tensor, state: list[Tensor], r: Tensor, b: Any, peepholes: None
) -> list[Tensor]:
    f, g = functions
    hidden = state[0]
    update, reset, new = chunk(gates, 3, 1)
    own = chunk(r, 3, 0)
    bias = (None,) * 3 if b is None else chunk(b, 3, 0)
    update = f(update + F.linear(hidden, own[0], bias[0]))
    reset = f(reset + F.linear(hidden, own[1], bias[1]))
    if node.get("linear_before_reset", 0):
        new = g(new + reset * F.linear(hidden, own[2], bias[2]))
    else:
        new = g(new + F.linear(reset * hidden, own[2], bias[2]))
    return [new + update * (hidden - new)]


def _rnn(
    node: Node, functions: list[Any], gates: Tensor, state: list[Tensor], r: Tensor, b: Any, peepholes: None
) -> list[Tensor]:
    return [functions[0](gates + F.linear(state[0], r, b))]


# The step, the parts of the state, and the activations of one direction.
_KINDS: dict[str, tuple[Callable[..., list[Tensor]], int, list[str]]] = {
    "LSTM": (_lstm, 2, ["Sigmoid", "Tanh", "Tanh"]),
    "GRU": (_gru, 1, ["Sigmoid", "Tanh"]),
    "RNN": (_rnn, 1, ["Tanh"]),
}


@reads("LSTM", "GRU", "RNN", weights=(1, 2, 3, 7), settings=(4, 5, 6))
def _recurrent(
    node: Node,
    x: Tensor,
    w: Tensor,
    r: Tensor,
    b: Tensor | None = None,
    lengths: Tensor | None = None,
    hidden: Tensor | None = None,
    cell: Tensor | None = None,
    peepholes: Tensor | None = None,
) -> tuple[Tensor, ...]:
    step, parts, usual = _KINDS[node.kind]
    by_batch = node.get("layout", 0)
    x = x.transpose(0, 1) if by_batch else x
    if node.get("clip") or node.get("input_forget", 0):
        raise ValueError("clip and input_forget are not taken")
    if lengths is not None and (lengths != x.shape[0]).any():
        raise ValueError("sequences of several lengths are not taken")
    directions = {"forward": [False], "reverse": [True], "bidirectional": [False, True]}[
        node.get("direction", "forward")
    ]
    names = node.get("activations") or usual * len(directions)
    if not all(name in _ACTIVATIONS for name in names) or len(names) != len(usual) * len(directions):
        raise ValueError(f"expected {len(usual)} of {', '.join(_ACTIVATIONS)} a direction, got {names}")
    size, outputs, ends = node.get("hidden_size", r.shape[-1]), [], []
    first = [part if part is None or not by_batch else part.transpose(0, 1) for part in (hidden, cell)]
    for d, backwards in enumerate(directions):
        functions = [_ACTIVATIONS[name] for name in names[d * len(usual) : (d + 1) * len(usual)]]
        bias, own_bias = (None, None) if b is None else chunk(b[d], 2, 0)
        own_peepholes = None if peepholes is None else peepholes[d]
        gates = F.linear(x, w[d], bias)
        state = [zeros(x.shape[1], size, dtype=x.dtype) if part is None else part[d] for part in first[:parts]]
        made: list[Any] = [None] * x.shape[0]
        for t in reversed(range(x.shape[0])) if backwards else range(x.shape[0]):
            state = step(node, functions, gates[t], state, r[d], own_bias, own_peepholes)
            made[t] = state[0]
        outputs.append(stack(made))
        ends.append(state)
    y, last = stack(outputs, 1), [stack([end[part] for end in ends]) for part in range(parts)]
    if by_batch:
        y, last = y.permute(2, 0, 1, 3), [part.transpose(0, 1) for part in last]
    return y, *last
