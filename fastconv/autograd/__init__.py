"""The tape: what was computed, so that it can be differentiated, and the walk back along it.

Every recorded operation is a :class:`Node` with its vector-Jacobian product ``vjp(dy, *saved)``: it takes the gradient
of the operation's result and what was saved, and returns one gradient per input, which is a new array, the gradient
that came in or a view of it, or None for an input that needs none. (ReLU's is told when it may write over what came
in.) The product closes over shapes, numbers and flags only; the arrays that it needs are in ``saved``, which is dropped
as soon as it has been called.

Tensors that share memory share a :class:`~fastconv._native.tape.Version`, which counts the in-place operations on it.
What is saved of an input or of the result is watched: if its version is another when the walk back comes there, that
is an error. An in-place operation on a view replaces a part of its base: the base gets a new node, and the view, when
it is next asked, too.

The recording and the walk are compiled, in tape.pyx, for every operation passes them. Here is what users of torch
call: recording on and off (:mod:`~fastconv.autograd.modes`), gradients as functions
(:mod:`~fastconv.autograd.engine`), hooks, operations of one's own (:class:`Function`), and checks of gradients
against differences.
"""

from typing import Any

from .._native.tape import Node
from . import functional
from .engine import backward, grad
from .function import Function
from .gradcheck import GradcheckError, gradcheck, gradgradcheck
from .modes import (
    detect_anomaly,
    enable_grad,
    inference_mode,
    is_anomaly_enabled,
    is_grad_enabled,
    is_inference_mode_enabled,
    no_grad,
    set_detect_anomaly,
    set_grad_enabled,
)

__all__ = [
    "Function",
    "GradcheckError",
    "Node",
    "backward",
    "detect_anomaly",
    "enable_grad",
    "functional",
    "grad",
    "gradcheck",
    "gradgradcheck",
    "inference_mode",
    "is_anomaly_enabled",
    "is_grad_enabled",
    "is_inference_mode_enabled",
    "no_grad",
    "set_detect_anomaly",
    "set_grad_enabled",
]


def __getattr__(name: str) -> Any:
    from .._compat import find  # what only programs written for torch name

    return find(__name__, name)
