"""fastconv's kernels inside PyTorch: two lines make a torch program's convolutions faster.

::

    import fastconv.pytorch
    fastconv.pytorch.enable()

From then on torch's own functions and modules compute convolutions, pooling and batch norm on the CPU, in float32 and
float64, by fastconv: forward and backward, in eager programs and in compiled ones. Nothing else changes: autograd,
state dicts, hooks, strides and dtypes of results are torch's. What fastconv does not take (other dtypes, three
dimensions, empty batches ...) goes to torch's own kernels; :func:`report` tells what went where.

Importing this module raises an ImportError where torch is not installed, or is older than 2.9.

The kernels are registered with torch's dispatcher in place of torch's own for the CPU, and call those where they do not
take a call (``torch.library.get_kernel``).
"""

import contextlib
from typing import Literal, NamedTuple

try:
    from torch.library import get_kernel  # noqa: F401  (torch has it since 2.9)
except ImportError as error:
    raise ImportError("fastconv.pytorch needs torch 2.9 or newer: pip install 'torch>=2.9'") from error

from torch import nn

from ._fused import optimized
from ._overrides import Overrides

__all__ = ["Count", "Report", "disable", "enable", "is_enabled", "optimize", "report"]

_overrides: Overrides | None = None


class Count(NamedTuple):
    """How often an operator went one way."""

    operator: str
    calls: int
    by: str  # 'fastconv', or why torch's own kernel computed it


class Report(list[Count]):
    """What went where since :func:`enable`, the most frequent first."""

    def __str__(self) -> str:
        if not self:
            return "no call of an overridden operator"
        width = max(len(row.operator) for row in self)
        return "\n".join(f"{row.operator:{width}} {row.calls:9,}  {row.by}" for row in self)


def enable(
    *, pooling: bool = True, normalisation: bool = True, threads: Literal["torch"] | int | None = "torch"
) -> contextlib.ExitStack:
    """Have torch compute convolutions on the CPU by fastconv.

    Parameters
    ----------
    pooling : bool
        Max, average and adaptive average pooling in two dimensions, too.
    normalisation : bool
        Batch norm, too.
    threads : 'torch', int or None
        How many threads fastconv takes: as many as torch, whenever ``torch.set_num_threads`` changes it; so many; or
        what :func:`fastconv.set_num_threads` says.

    Returns
    -------
    context manager
        At the end of ``with fastconv.pytorch.enable(): ...`` there is what was enabled before, or nothing. Otherwise it
        stays until :func:`disable`. Enabling again replaces what was enabled before.

    Raises
    ------
    TypeError, ValueError
        `threads` is something else.

    Warns
    -----
    RuntimeWarning
        This version of torch has an operator that differs from what is overridden here: that one stays torch's own.

    Notes
    -----
    No other thread is to be computing while operators are overridden or given back: torch's dispatcher looks them up
    without a lock.
    """
    if threads is not None and threads != "torch":
        if isinstance(threads, bool) or not isinstance(threads, int):
            raise TypeError(f"threads must be 'torch', a number of threads or None, not {threads!r}")
        if threads < 1:
            raise ValueError(f"threads must be at least 1, not {threads}")
    overrides, before = Overrides(pooling=bool(pooling), normalisation=bool(normalisation), threads=threads), _overrides
    _use(overrides)
    enabled = contextlib.ExitStack()
    enabled.callback(lambda: _use(before) if _overrides is overrides else None)
    return enabled


def _use(overrides: Overrides | None) -> None:
    """Override by these in place of what overrides now."""
    global _overrides
    if _overrides is not None:
        _overrides.remove()
    _overrides = None
    if overrides is not None:
        overrides.install()
        _overrides = overrides


def disable() -> None:
    """Give torch its operators back, and fastconv its number of threads; where nothing is enabled, do nothing."""
    _use(None)


def is_enabled() -> bool:
    """Whether torch computes by fastconv now."""
    return _overrides is not None


def report() -> Report:
    """Which operators were called since :func:`enable`, how often, and who computed them.

    Returns
    -------
    list of (operator, calls, by)
        `by` is 'fastconv', or the reason why torch's own kernel computed it. Printed, it is a table.
    """
    counts = {} if _overrides is None else _overrides.counts
    rows = (Count(operator, calls, by) for (operator, by), calls in counts.items())
    return Report(sorted(rows, key=lambda row: -row.calls))


def optimize(model: nn.Module) -> nn.Module:
    """Have a model compute batch norm, what is added to it, and the ReLU behind that, as one operation.

    Wherever the forward() of one of its modules calls a BatchNorm2d of the module's own, and the text shows that
    nothing but an addition and a ReLU or ReLU6 reads the result, and in every Sequential, the three are one recorded
    operation of fastconv's, whose results and gradients have the bits of fastconv's operations one by one. Convolutions
    are computed by fastconv where :func:`enable` says so.

    Parameters
    ----------
    model : torch.nn.Module
        Any; in training or in evaluation.

    Returns
    -------
    torch.nn.Module
        The model itself, with the parameters, the buffers, the state dict and the hooks that it has. Layers with hooks
        of their own, other dtypes than float32 and float64, what ``torch.compile`` or ``torch.jit`` compiles, autocast,
        ``torch.func`` and forward-mode derivatives are computed as before, layer by layer.

    Raises
    ------
    TypeError
        `model` is no module of torch.
    """
    if not isinstance(model, nn.Module):
        raise TypeError(f"optimize() expects a torch.nn.Module, got {model!r} of type {type(model).__name__}")
    return optimized(model)
