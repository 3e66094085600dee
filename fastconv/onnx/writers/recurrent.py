"""Recurrent layers: one direction of one layer is one operator."""

from __future__ import annotations

from typing import Any

from ...nn.recurrent import RNN
from ..graph import Graph, Value, writes

__all__ = []

# In which order the operator has the gates' rows of the weights.
_ORDERS = {"LSTM": (0, 3, 1, 2), "GRU": (1, 0, 2), "RNN_TANH": (0,), "RNN_RELU": (0,)}


def _ordered(g: Graph, x: str, mode: str) -> str:
    """Rows, a part a gate, as the operator wants them."""
    order = _ORDERS[mode]
    if len(order) == 1:
        return x
    parts = g.op("Split", x, outputs=len(order), axis=0, num_outputs=len(order) if g.opset >= 18 else None)
    return g.op("Concat", *(parts[i] for i in order), axis=0)


@writes(RNN._scan)
def _scan(g: Graph, self: Any, x: Value, sizes: list[int] | None, state: list[Value], end: str) -> Any:
    if sizes is not None:
        raise RuntimeError(f"nn.{type(self).__name__} of a PackedSequence has no operator")
    mode = self.mode
    names = ("weight_ih", "weight_hh", *(("bias_ih", "bias_hh") if self.bias else ()))
    rows = [_ordered(g, g.name(g.value_of(getattr(self, name + end))), mode) for name in names]
    weights = [g.unsqueeze(x, [0]) for x in rows[:2]]
    bias = g.unsqueeze(g.op("Concat", *rows[2:], axis=0), [0]) if self.bias else None
    first = [g.unsqueeze(part, [0]) for part in state]
    options: dict[str, Any] = {"hidden_size": self.hidden_size}
    if end.endswith("_reverse"):
        options["direction"] = "reverse"
    if mode == "GRU":
        options["linear_before_reset"] = 1
    elif mode == "RNN_RELU":
        options["activations"] = ["Relu"]
    kind = mode.partition("_")[0]
    y, *last = g.op(kind, x, *weights, bias, None, *first, outputs=1 + len(state), **options)
    return g.squeeze(y, [1]), *(g.squeeze(part, [0]) for part in last)
