"""Registering kernels with torch's dispatcher, and counting what they take."""

import warnings
from collections import Counter
from typing import Any

import torch
from torch.library import Library, get_kernel

from .._native.runtime import get_num_threads, set_num_threads
from . import _convolution, _normalisation, _pooling

__all__ = ["Overrides"]

# Schemas as torch 2.9 to 2.13 have them: an operator whose arguments are others is left to torch.
_CONVOLUTION = {
    "convolution": (
        _convolution.forward,
        "input weight bias stride padding dilation transposed output_padding groups",
    ),
    # What traces of torch.jit call.
    "_convolution": (
        _convolution.traced_forward,
        "input weight bias stride padding dilation transposed output_padding groups "
        "benchmark deterministic cudnn_enabled allow_tf32",
    ),
    "convolution_backward": (
        _convolution.backward,
        "grad_output input weight bias_sizes stride padding dilation transposed output_padding groups output_mask",
    ),
}
_POOLING = {
    "max_pool2d_with_indices": (_pooling.max_forward, "self kernel_size stride padding dilation ceil_mode"),
    "max_pool2d_with_indices_backward": (
        _pooling.max_backward,
        "grad_output self kernel_size stride padding dilation ceil_mode indices",
    ),
    "avg_pool2d": (
        _pooling.average_forward,
        "self kernel_size stride padding ceil_mode count_include_pad divisor_override",
    ),
    "avg_pool2d_backward": (
        _pooling.average_backward,
        "grad_output self kernel_size stride padding ceil_mode count_include_pad divisor_override",
    ),
}
_NORMALISATION = {
    "native_batch_norm": (
        _normalisation.forward,
        "input weight bias running_mean running_var training momentum eps",
    ),
    "native_batch_norm_backward": (
        _normalisation.backward,
        "grad_out input weight running_mean running_var save_mean save_invstd train eps output_mask",
    ),
}


class Overrides:
    """The operators that fastconv computes, registered from `install` to `remove`.

    Kernels take an operator's arguments and return its results, or a string that says why they do not take the call.
    What fastconv refuses is torch's to compute, or to refuse in its own words.
    """

    def __init__(self, pooling: bool, normalisation: bool, threads: str | int | None) -> None:
        self.kernels = _CONVOLUTION | (_POOLING if pooling else {}) | (_NORMALISATION if normalisation else {})
        self.threads = threads
        self.counts: Counter[tuple[str, str]] = Counter()
        self.library: Library | None = None

    def install(self) -> None:
        self.threads_before = get_num_threads()
        if isinstance(self.threads, int):
            set_num_threads(self.threads)
        self.library = Library("aten", "IMPL")
        for name, (kernel, arguments) in self.kernels.items():
            if not _as_expected(name, arguments):
                warnings.warn(
                    f"torch {torch.__version__} has no operator aten::{name}({', '.join(arguments.split())}); "
                    "it stays torch's own",
                    RuntimeWarning,
                    stacklevel=3,
                )
                continue
            function = self._dispatched(name, kernel, get_kernel(f"aten::{name}", "CPU"))
            with warnings.catch_warnings():
                # torch warns of what is meant here: that a kernel of its own is overridden.
                warnings.simplefilter("ignore")
                self.library.impl(name, function, "CPU", with_keyset=True)

    def remove(self) -> None:
        assert self.library is not None
        self.library._destroy()
        if self.threads is not None:
            set_num_threads(self.threads_before)

    def _dispatched(self, name: str, kernel: Any, own: Any) -> Any:
        taken = name, "fastconv"
        counts, follow = self.counts, self.threads == "torch"

        def dispatched(keyset: Any, *arguments: Any) -> Any:
            if follow and (threads := torch.get_num_threads()) != get_num_threads():
                set_num_threads(threads)
            try:
                # What torch.jit.trace records of a convolution is what torch's own kernel calls.
                result = "torch.jit.trace" if torch._C._get_tracing_state() else kernel(*arguments)
            except (ValueError, TypeError, RuntimeError, MemoryError, ArithmeticError):
                result = "sizes that fastconv refuses"
            if type(result) is str:
                counts[name, result] += 1
                return own.call_boxed(keyset, *arguments)
            counts[taken] += 1
            return result

        return dispatched


def _as_expected(name: str, arguments: str) -> bool:
    try:
        schema = getattr(torch.ops.aten, name).default._schema
    except AttributeError:
        return False
    return [argument.name for argument in schema.arguments] == arguments.split()
