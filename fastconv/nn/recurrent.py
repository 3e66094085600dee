"""Recurrent layers, as plain compositions of tensor functions: one cell's function, step by step.

Gates lie in torch's order: input, forget, cell, output for LSTM; reset, update, new for GRU.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from typing import Any

from .._tensor import Tensor
from ..checks import integer, number
from ..creation import empty, zeros
from ..functions import cat, relu, sigmoid, stack, tanh
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter, parameter_dtype
from .utils.rnn import PackedSequence

__all__ = ["GRU", "GRUCell", "LSTM", "LSTMCell", "RNN", "RNNCell"]


def _chunks(x: Tensor, count: int) -> list[Tensor]:
    """The last dimension in equal parts."""
    size = x.shape[-1] // count
    return [x[..., i * size : (i + 1) * size] for i in range(count)]


# A step takes the input's part of the gates, the state and the state's weight and bias, and returns the new state. A
# state is a list: the hidden one, which is the output, and for LSTM the cell's, whose output may be projected.


def _lstm_step(
    gates: Tensor, state: list[Tensor], weight: Tensor, bias: Tensor | None, projection: Tensor | None = None
) -> list[Tensor]:
    hidden, cell = state
    i, f, g, o = _chunks(gates + F.linear(hidden, weight, bias), 4)
    cell = sigmoid(f) * cell + sigmoid(i) * tanh(g)
    hidden = sigmoid(o) * tanh(cell)
    return [hidden if projection is None else F.linear(hidden, projection), cell]


def _gru_step(gates: Tensor, state: list[Tensor], weight: Tensor, bias: Tensor | None) -> list[Tensor]:
    (hidden,) = state
    reset, update, new = _chunks(gates, 3)
    own_reset, own_update, own_new = _chunks(F.linear(hidden, weight, bias), 3)
    update = sigmoid(update + own_update)
    new = tanh(new + sigmoid(reset + own_reset) * own_new)
    return [new + update * (hidden - new)]


def _rnn_step(activation: Callable) -> Callable:
    def step(gates: Tensor, state: list[Tensor], weight: Tensor, bias: Tensor | None) -> list[Tensor]:
        return [activation(gates + F.linear(state[0], weight, bias))]

    return step


_STEPS: dict[str, tuple[Callable, int, int]] = {  # the step, the gates, and the parts of the state
    "LSTM": (_lstm_step, 4, 2),
    "GRU": (_gru_step, 3, 1),
    "RNN_TANH": (_rnn_step(tanh), 1, 1),
    "RNN_RELU": (_rnn_step(relu), 1, 1),
}


class _Recurrent(Module):
    """What layers and cells share: parameters, drawn within ``1 / sqrt(hidden_size)`` of 0."""

    hidden_size: int

    def _add(self, name: str, *size: int, bias: bool = True, dtype: Any = None) -> None:
        self.register_parameter(name, Parameter(empty(*size, dtype=dtype)) if bias else None)

    def reset_parameters(self) -> None:
        """Draw all parameters anew."""
        bound = 1 / math.sqrt(self.hidden_size) if self.hidden_size > 0 else 0
        for parameter in self.parameters():
            init.uniform_(parameter, -bound, bound)


class _Cell(_Recurrent):
    """One step of a recurrent layer.

    Parameters
    ----------
    input_size, hidden_size : int
    bias : bool
        Whether biases are learned.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight_ih : Parameter (gates * hidden_size, input_size)
    weight_hh : Parameter (gates * hidden_size, hidden_size)
    bias_ih, bias_hh : Parameter (gates * hidden_size,) or None
    """

    mode: str

    def __init__(
        self, input_size: int, hidden_size: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        self.input_size: int = integer(input_size, "input_size")
        self.hidden_size: int = integer(hidden_size, "hidden_size")
        self.bias: bool = bias
        dtype = parameter_dtype(device, dtype)
        gates = _STEPS[self.mode][1] * hidden_size
        self._add("weight_ih", gates, input_size, dtype=dtype)
        self._add("weight_hh", gates, hidden_size, dtype=dtype)
        self._add("bias_ih", gates, bias=bias, dtype=dtype)
        self._add("bias_hh", gates, bias=bias, dtype=dtype)
        self.reset_parameters()

    def _step(self, input: Tensor, state: list[Tensor] | None) -> list[Tensor]:
        name, (step, _, parts) = type(self).__name__, _STEPS[self.mode]
        if input.ndim not in (1, 2):
            raise ValueError(f"{name}: Expected input to be 1D or 2D, got {input.ndim}D instead")
        if state is None:
            state = [zeros(*input.shape[:-1], self.hidden_size, dtype=input.dtype)] * parts
        for part in state:
            if part.shape != (*input.shape[:-1], self.hidden_size):
                raise RuntimeError(
                    f"{name}: expected hidden state of size {[*input.shape[:-1], self.hidden_size]} for input of size "
                    f"{list(input.shape)}, got {list(part.shape)}"
                )
        if input.shape[-1] != self.input_size:
            raise RuntimeError(f"{name}: expected input of size (..., {self.input_size}), got {list(input.shape)}")
        return step(F.linear(input, self.weight_ih, self.bias_ih), state, self.weight_hh, self.bias_hh)

    def extra_repr(self) -> str:
        return f"{self.input_size}, {self.hidden_size}" + ("" if self.bias else f", bias={self.bias}")


class RNNCell(_Cell):
    __doc__ = f"``tanh(W_ih x + b_ih + W_hh h + b_hh)``, or relu of it.\n\n    {_Cell.__doc__}"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        bias: bool = True,
        nonlinearity: str = "tanh",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise RuntimeError(f"Unknown nonlinearity: {nonlinearity}")
        self.mode = f"RNN_{nonlinearity.upper()}"
        super().__init__(input_size, hidden_size, bias, device, dtype)
        self.mode = f"RNN_{nonlinearity.upper()}"
        self.nonlinearity: str = nonlinearity

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size) and (N, hidden_size) to the latter; N may be absent."""
        return self._step(input, None if hx is None else [hx])[0]

    def extra_repr(self) -> str:
        return super().extra_repr() + ("" if self.nonlinearity == "tanh" else f", nonlinearity={self.nonlinearity}")


class GRUCell(_Cell):
    __doc__ = f"A gated recurrent unit (Cho et al., 2014).\n\n    {_Cell.__doc__}"
    mode = "GRU"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> Tensor:
        """(N, input_size) and (N, hidden_size) to the latter; N may be absent."""
        return self._step(input, None if hx is None else [hx])[0]


class LSTMCell(_Cell):
    __doc__ = f"Long short-term memory (Hochreiter and Schmidhuber, 1997).\n\n    {_Cell.__doc__}"
    mode = "LSTM"

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, Tensor]:
        """(N, input_size) and twice (N, hidden_size) to the latter two; N may be absent."""
        hidden, cell = self._step(input, None if hx is None else list(hx))
        return hidden, cell


class _Layers(_Recurrent):
    """Recurrent layers over whole sequences.

    Parameters
    ----------
    input_size, hidden_size : int
    num_layers : int
        So many, each on the outputs of the one before.
    bias : bool
        Whether biases are learned.
    batch_first : bool
        Take and return (N, L, features) instead of (L, N, features).
    dropout : float
        Of the outputs of all layers but the last, in training.
    bidirectional : bool
        A second one goes through the sequence from its end; outputs are side by side.
    proj_size : int
        Unless 0, what an LSTM's outputs are projected to.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight_ih_l0, weight_hh_l0, bias_ih_l0, bias_hh_l0, weight_ih_l0_reverse, ... : Parameter
        Of each layer and direction, as the cell has them; weight_hr_l0 (proj_size, hidden_size) with projections.
    """

    mode: str

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        if proj_size and self.mode != "LSTM":
            raise ValueError(
                f"proj_size argument is only supported for LSTM, not RNN or GRU, got {proj_size} for "
                f"{type(self).__name__}"
            )
        self.input_size: int = integer(input_size, "input_size")
        self.hidden_size: int = integer(hidden_size, "hidden_size", 1)
        self.proj_size: int = integer(proj_size, "proj_size", 0)
        if proj_size >= hidden_size:
            raise ValueError(f"proj_size has to be smaller than hidden_size, got {proj_size} and {hidden_size}")
        self.num_layers: int = integer(num_layers, "num_layers", 1)
        self.bias: bool = bias
        self.batch_first: bool = batch_first
        self.dropout: float = float(number(dropout, "dropout", 0, 1))
        self.bidirectional: bool = bidirectional
        if self.dropout and num_layers == 1:
            warnings.warn(
                "dropout option adds dropout after all but last recurrent layer, so non-zero dropout expects "
                f"num_layers greater than 1, but got dropout={dropout} and num_layers={num_layers}",
                stacklevel=3,
            )
        dtype = parameter_dtype(device, dtype)
        gates = _STEPS[self.mode][1] * self.hidden_size
        width = self.input_size
        for layer in range(self.num_layers):
            for direction in self._directions:
                end = f"_l{layer}{direction}"
                self._add("weight_ih" + end, gates, width, dtype=dtype)
                self._add("weight_hh" + end, gates, self._output_size, dtype=dtype)
                if bias:
                    self._add("bias_ih" + end, gates, dtype=dtype)
                    self._add("bias_hh" + end, gates, dtype=dtype)
                if proj_size:
                    self._add("weight_hr" + end, proj_size, self.hidden_size, dtype=dtype)
            width = self._output_size * len(self._directions)
        self.reset_parameters()

    @property
    def _output_size(self) -> int:
        return self.proj_size or self.hidden_size

    @property
    def _directions(self) -> tuple[str, ...]:
        return ("", "_reverse") if self.bidirectional else ("",)

    def flatten_parameters(self) -> None:
        """Does nothing: parameters lie as they shall."""

    def _scan(self, x: Tensor, sizes: list[int] | None, state: list[Tensor], end: str) -> tuple[Tensor, list[Tensor]]:
        """One direction of one layer over (L, N, features), or over what is packed in batches of these sizes."""
        step = _STEPS[self.mode][0]
        own = [getattr(self, name + end) if self.bias or "weight" in name else None for name in _NAMES]
        projection = {"projection": getattr(self, "weight_hr" + end)} if self.proj_size else {}
        gates = F.linear(x, own[0], own[2])
        parts = list(gates if sizes is None else gates.split(sizes))
        outputs: list = [None] * len(parts)
        start, ended = state, []
        for t in reversed(range(len(parts))) if end.endswith("_reverse") else range(len(parts)):
            if sizes is not None:
                have, want = len(state[0]), sizes[t]
                if t == len(parts) - 1 and end.endswith("_reverse"):
                    state = [part[:want] for part in state]
                elif want > have:  # going back, the shorter sequences join
                    state = [cat([part, first[have:want]]) for part, first in zip(state, start, strict=True)]
                elif want < have:
                    ended.append([part[want:] for part in state])
                    state = [part[:want] for part in state]
            state = step(parts[t], state, own[1], own[3], **projection)
            outputs[t] = state[0]
        for late in reversed(ended):
            state = [cat([part, rest]) for part, rest in zip(state, late, strict=True)]
        return (stack(outputs) if sizes is None else cat(outputs)), state

    def _run(self, input: Any, state: list[Tensor] | None) -> tuple[Any, list[Tensor]]:
        if not isinstance(input, PackedSequence):
            return self._run_batch(input, None, state)
        data, sizes, order, back = input
        if data.ndim != 2:
            raise RuntimeError(f"{type(self).__name__}: packed input must have two dimensions, got {list(data.shape)}")
        if state is not None and order is not None:
            state = [part.index_select(1, order) for part in state]
        output, final = self._run_batch(data, sizes.tolist(), state)
        if back is not None:
            final = [part.index_select(1, back) for part in final]
        return PackedSequence(output, sizes, order, back), final

    def _run_batch(
        self, input: Tensor, packed: list[int] | None, state: list[Tensor] | None
    ) -> tuple[Tensor, list[Tensor]]:
        name, parts = type(self).__name__, _STEPS[self.mode][2]
        if input.ndim not in (2, 3):
            raise ValueError(f"{name}: Expected input to be 2D or 3D, got {input.ndim}D instead")
        if input.shape[-1] != self.input_size:
            raise RuntimeError(
                f"input.size(-1) must be equal to input_size. Expected {self.input_size}, got {input.shape[-1]}"
            )
        single = input.ndim == 2 and packed is None
        turned = self.batch_first and not single and packed is None
        x = input.unsqueeze(1) if single else input.transpose(0, 1) if turned else input
        if not len(x):
            raise RuntimeError(f"Expected sequence length to be larger than 0 in {name}, got {list(input.shape)}")
        cells = self.num_layers * len(self._directions)
        number_of = x.shape[1] if packed is None else packed[0]
        sizes = [(cells, number_of, width) for width in (self._output_size, self.hidden_size)[:parts]]
        if state is None:
            state = [zeros(*size, dtype=x.dtype) for size in sizes]
        else:
            for part, size in zip(state, sizes, strict=True):
                if part.shape != (size[::2] if single else size):
                    raise RuntimeError(f"Expected hidden size {size[::2] if single else size}, got {list(part.shape)}")
            state = [part.unsqueeze(1) for part in state] if single else state
        ends: list[list[Tensor]] = []
        for layer in range(self.num_layers):
            outputs = []
            for direction in self._directions:
                first = [part[len(ends)] for part in state]
                output, last = self._scan(x, packed, first, f"_l{layer}{direction}")
                outputs.append(output)
                ends.append(last)
            x = outputs[0] if len(outputs) == 1 else cat(outputs, -1)
            if self.dropout and layer < self.num_layers - 1:
                x = F.dropout(x, self.dropout, self.training)
        final = [stack([end[i] for end in ends]) for i in range(parts)]
        if single:
            return x.squeeze(1), [part.squeeze(1) for part in final]
        return x.transpose(0, 1) if turned else x, final

    def extra_repr(self) -> str:
        parts = [f"{self.input_size}, {self.hidden_size}"]
        defaults = {"num_layers": 1, "bias": True, "batch_first": False, "dropout": 0.0, "bidirectional": False}
        if self.proj_size:
            parts.append(f"proj_size={self.proj_size}")
        parts += [f"{name}={getattr(self, name)}" for name, value in defaults.items() if getattr(self, name) != value]
        return ", ".join(parts)


_NAMES = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")


class RNN(_Layers):
    __doc__ = f"Layers of ``tanh(W_ih x + b_ih + W_hh h + b_hh)``, or relu of it.\n\n    {_Layers.__doc__}"

    def __init__(
        self,
        input_size: int,
        hidden_size: int,
        num_layers: int = 1,
        nonlinearity: str = "tanh",
        bias: bool = True,
        batch_first: bool = False,
        dropout: float = 0.0,
        bidirectional: bool = False,
        proj_size: int = 0,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        if nonlinearity not in ("tanh", "relu"):
            raise ValueError(f"Unknown nonlinearity '{nonlinearity}'. Select from 'tanh' or 'relu'.")
        self.nonlinearity: str = nonlinearity
        options = input_size, hidden_size, num_layers, bias, batch_first, dropout, bidirectional
        super().__init__(*options, proj_size, device, dtype)

    @property
    def mode(self) -> str:
        return f"RNN_{self.nonlinearity.upper()}"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(L, N, input_size) and (layers, N, hidden_size) to (L, N, hidden_size) and the last state."""
        output, (hidden,) = self._run(input, None if hx is None else [hx])
        return output, hidden


class GRU(_Layers):
    __doc__ = f"Layers of gated recurrent units.\n\n    {_Layers.__doc__}"
    mode = "GRU"

    def forward(self, input: Tensor, hx: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """(L, N, input_size) and (layers, N, hidden_size) to (L, N, hidden_size) and the last state."""
        output, (hidden,) = self._run(input, None if hx is None else [hx])
        return output, hidden


class LSTM(_Layers):
    __doc__ = f"Layers of long short-term memory.\n\n    {_Layers.__doc__}"
    mode = "LSTM"

    def forward(self, input: Tensor, hx: tuple[Tensor, Tensor] | None = None) -> tuple[Tensor, tuple[Tensor, Tensor]]:
        """(L, N, input_size) and two states (layers, N, hidden_size) to (L, N, hidden_size) and the last two."""
        output, (hidden, cell) = self._run(input, None if hx is None else list(hx))
        return output, (hidden, cell)
