"""Batch norm, a residual and a rectifier as one recorded operation of PyTorch, and models that call it."""

import math
from types import BuiltinFunctionType, FunctionType
from typing import Any, ClassVar

import torch
from torch import nn
from torch.autograd import forward_ad
from torch.nn.modules import module as modules
from torch.overrides import _get_current_function_mode_stack
from torch.utils._device import DeviceContext

from .. import rewriting
from .._native.layers.normalisation import moments_of, normalise, normalise_backward
from .._native.runtime import get_num_threads, set_num_threads
from ..rewriting import Deferred, steps_of
from ._arrays import array, array_to_write, in_format, refusal, result, tensor
from ._normalisation import dense_last

__all__ = ["optimized"]

_CEILINGS: dict[Any, float] = {
    nn.ReLU: math.nan,
    nn.ReLU6: 6.0,
    nn.functional.relu: math.nan,
    nn.functional.relu6: 6.0,
    nn.functional.relu_: math.nan,
    torch.relu: math.nan,
    torch.relu_: math.nan,
}


_NAMED = (type, FunctionType, BuiltinFunctionType)


class _Rectified(torch.autograd.Function):
    """``min(max(batch_norm(x) + residual, 0), ceiling)``, without a residual if it is None, a ceiling if it is NaN."""

    @staticmethod
    def forward(
        ctx: Any,
        x: torch.Tensor,
        w: torch.Tensor | None,
        b: torch.Tensor | None,
        residual: torch.Tensor | None,
        running: tuple[torch.Tensor | None, torch.Tensor | None],
        training: bool,
        momentum: float,
        eps: float,
        ceiling: float,
    ) -> torch.Tensor:
        last = dense_last(x)
        images = array(in_format(x, last))
        mean, variance = (None if t is None else array_to_write(t) for t in running)
        rows = (None if t is None else array(t) for t in (w, b))
        moments = moments_of(images, mean, variance, training, momentum, eps)
        added = None if residual is None else array(in_format(residual, last))
        y, lines = normalise(images, *rows, moments, added, True, ceiling)
        y = result(y, last)
        ctx.save_for_backward(x, w, y if residual is not None else None)
        ctx.numbers = moments, lines, training, eps, ceiling, residual is not None
        return y

    @staticmethod
    def backward(ctx: Any, dy: torch.Tensor) -> tuple[Any, ...]:
        x, w, y = ctx.saved_tensors
        moments, lines, training, _, ceiling, added = ctx.numbers
        needs = ctx.needs_input_grad
        if torch.is_grad_enabled() or not _is_image(dy):
            return (*_recorded(x, w, y, dy, ctx.numbers, needs), *(None,) * 5)
        last = dense_last(x)
        dx, dw, db, dr = normalise_backward(
            array(in_format(dy, last)),
            array(in_format(x, last)),
            None if w is None else array(w),
            moments,
            training,
            needs[0],
            lines,
            array(in_format(y, last)) if added else None,
            ceiling,
            needs[3],
        )
        dx, dr = (None if a is None else result(a, last) for a in (dx, dr))
        return dx, tensor(dw) if needs[1] else None, tensor(db) if needs[2] else None, dr, *(None,) * 5


def _recorded(
    x: torch.Tensor, w: torch.Tensor | None, y: torch.Tensor | None, dy: torch.Tensor, numbers: Any, needs: Any
) -> tuple[Any, ...]:
    """The same gradients by PyTorch's own operations, which are recorded in turn, and take what `_is_image` refuses."""
    moments, lines, training, eps, ceiling, _ = numbers
    shift, offset, inverse_std, scale, rest = (torch.from_numpy(row.copy()) for row in (*moments, *lines))
    if y is None:
        line = (row.to(x.dtype)[:, None, None] for row in (shift, scale, rest))
        y = _on_line(x.detach(), *line)
    stopped = y.detach() <= 0
    if not math.isnan(ceiling):
        stopped = stopped | (y.detach() >= ceiling)
    g = torch.where(stopped, torch.zeros((), dtype=dy.dtype), dy)
    mean, inverse = (shift + offset).to(x.dtype), inverse_std.to(x.dtype)
    variance = (inverse_std**-2 - eps).to(x.dtype)
    statistics = (None, None, mean, inverse) if training else (mean, variance, None, None)
    gradients = torch.ops.aten.native_batch_norm_backward(
        *(g, x, w, *statistics, training, eps, [needs[0], needs[1], needs[2]])
    )
    return *gradients, g if needs[3] else None


def _on_line(x: torch.Tensor, shift: torch.Tensor, scale: torch.Tensor, rest: torch.Tensor) -> torch.Tensor:
    return (x - shift) * scale + rest


# ---- models --------------------------------------------------------------------------------------------------------


def _is_plain(module: nn.Module) -> bool:
    """Whether nothing but the forward() of its class is called."""
    own = module.__dict__
    return not (
        own["_forward_hooks"]
        or own["_forward_pre_hooks"]
        or own["_backward_hooks"]
        or own["_backward_pre_hooks"]
        or "forward" in own
        or modules._global_forward_hooks
        or modules._global_forward_pre_hooks
        or modules._global_backward_hooks
        or modules._global_backward_pre_hooks
    )


def _is_watched() -> bool:
    """Whether a mode of PyTorch's, but a device for new tensors, is to see what is called."""
    modes = _get_current_function_mode_stack() if torch._C._len_torch_function_stack() else ()
    return torch._C._len_torch_dispatch_stack() > 0 or any(type(mode) is not DeviceContext for mode in modes)


def _is_image(x: Any) -> bool:
    """Whether it is a plain tensor (N, C, H, W) that the kernels take, in a plain eager call."""
    return (
        not torch.compiler.is_compiling()  # which comes first: not all that follows can be compiled
        and type(x) is torch.Tensor
        and not _is_watched()
        and x.dim() == 4
        and refusal(x) is None
        and not x.is_conj()
        and not x.is_neg()
        and torch._C._get_tracing_state() is None
        and torch._C._functorch.maybe_current_level() is None
        and not torch._C._functorch.is_legacy_batchedtensor(x)  # as of autograd.grad(..., is_grads_batched=True)
        and forward_ad._current_level < 0
        and not torch.is_autocast_enabled("cpu")
    )


def _is_row(t: torch.Tensor) -> bool:
    """Whether it is a plain tensor or parameter whose memory holds its numbers in their order."""
    return type(t) in (torch.Tensor, nn.Parameter) and t.is_contiguous() and not t.is_neg()


def _can_wait(layer: Any, x: Any) -> bool:
    return type(layer) is nn.BatchNorm2d and _is_plain(layer) and _is_image(x)


def _at_once(layer: nn.BatchNorm2d, function: Any, x: torch.Tensor, residual: Any) -> Any:
    """``function(layer(x) + residual)`` as one operation, or NotImplemented."""
    kind = type(function) if isinstance(function, nn.Module) else function
    if (
        not isinstance(kind, _NAMED)
        or kind not in _CEILINGS
        or (isinstance(function, nn.Module) and not _is_plain(function))
    ):
        return NotImplemented
    if residual is not None and not (_is_image(residual) and residual.shape == x.shape and residual.dtype is x.dtype):
        return NotImplemented
    weights = layer.weight, layer.bias, layer.running_mean, layer.running_var
    if any(t is not None and not (_is_row(t) and t.shape == x.shape[1:2]) for t in weights):
        return NotImplemented
    if refusal(x, *weights) or (layer.training and x.numel() == x.shape[1]):
        return NotImplemented
    if (layer.running_mean is None) != (layer.running_var is None) or not layer.eps > 0:
        return NotImplemented
    # What torch's own forward() does around its function.
    momentum = 0.0 if layer.momentum is None else layer.momentum
    if layer.training and layer.track_running_stats and layer.num_batches_tracked is not None:
        layer.num_batches_tracked.add_(1)
        if layer.momentum is None:
            momentum = 1.0 / float(layer.num_batches_tracked)
    use_batch = layer.training or layer.running_mean is None or layer.running_var is None
    running = (layer.running_mean, layer.running_var)
    if layer.training and not layer.track_running_stats:
        running = (None, None)
    if (threads := torch.get_num_threads()) != get_num_threads():
        set_num_threads(threads)
    return _Rectified.apply(
        *(x, layer.weight, layer.bias, residual, running, use_batch, momentum, layer.eps, _CEILINGS[kind])
    )


STEPS = steps_of(_can_wait, _at_once)


def _chain(self: nn.Sequential, input: Any) -> Any:
    """Sequential's forward(), in which batch norm waits for what follows it."""
    for module in self:
        if type(module) is nn.BatchNorm2d and type(input) is not Deferred:
            input = STEPS.defer(module, input)
        else:
            input = STEPS.then(module, input)
    return input.now() if type(input) is Deferred else input


class Forward(rewriting.Forward):
    """A module's forward() with these steps."""

    steps = STEPS
    layers = frozenset({nn.BatchNorm2d})
    known: ClassVar[dict[Any, Any]] = {nn.Sequential.forward: _chain}


def optimized(model: nn.Module) -> nn.Module:
    """The model, whose modules with batch norm among their children have a :class:`Forward`."""
    for module in model.modules():
        if not isinstance(module, torch.jit.ScriptModule):
            Forward.of(module)
    return model
