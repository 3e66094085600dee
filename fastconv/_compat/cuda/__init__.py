"""``torch.cuda`` on a machine without a GPU: questions are answered, orders raise torch's AssertionError."""

from __future__ import annotations

import contextlib
from typing import Any, NoReturn

from .._typed import _OfDtype
from . import amp

__all__ = [
    "BoolTensor",
    "ByteTensor",
    "DoubleTensor",
    "Event",
    "FloatTensor",
    "HalfTensor",
    "IntTensor",
    "LongTensor",
    "OutOfMemoryError",
    "Stream",
    "amp",
    "current_device",
    "current_stream",
    "device",
    "device_count",
    "device_of",
    "empty_cache",
    "get_arch_list",
    "get_device_capability",
    "get_device_name",
    "get_device_properties",
    "get_rng_state",
    "get_rng_state_all",
    "init",
    "initial_seed",
    "ipc_collect",
    "is_available",
    "is_bf16_supported",
    "is_initialized",
    "manual_seed",
    "manual_seed_all",
    "max_memory_allocated",
    "max_memory_cached",
    "max_memory_reserved",
    "mem_get_info",
    "memory_allocated",
    "memory_cached",
    "memory_reserved",
    "memory_summary",
    "reset_peak_memory_stats",
    "seed",
    "seed_all",
    "set_device",
    "stream",
    "synchronize",
]


def _refuse(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise torch's AssertionError: there is no GPU."""
    raise AssertionError("Torch not compiled with CUDA enabled")


class OutOfMemoryError(RuntimeError):
    """What torch raises where a GPU's memory does not suffice; never raised here."""


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def is_bf16_supported(including_emulation: bool = True) -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def get_rng_state_all() -> list:
    """An empty list: the state of no GPU."""
    return []


def manual_seed(seed: int) -> None:
    """Seed no GPU."""


manual_seed_all = manual_seed


def seed() -> None:
    """Seed no GPU."""


seed_all = empty_cache = seed


def memory_allocated(device: Any = None) -> int:
    """0 bytes."""
    return 0


max_memory_allocated = memory_reserved = max_memory_reserved = memory_allocated

max_memory_cached = memory_cached = memory_allocated

init = synchronize = ipc_collect = current_device = initial_seed = _refuse
get_device_name = get_device_capability = get_device_properties = _refuse
mem_get_info = memory_summary = reset_peak_memory_stats = get_rng_state = current_stream = _refuse


def get_arch_list() -> list[str]:
    """An empty list: the architectures of no GPU."""
    return []


def set_device(device: Any) -> None:
    """Does nothing for a negative number; another is refused."""
    if not _is_none(device):
        _refuse()


def _is_none(device: Any) -> bool:
    """Whether a number is torch's for no GPU."""
    return isinstance(device, int) and device < 0


class device:
    """``torch.cuda.device(index)``, a context that selects a GPU.

    There is none, so that only what selects none can be entered: a negative index.
    """

    def __init__(self, device: Any) -> None:
        self.idx = device

    def __enter__(self) -> None:
        if not _is_none(self.idx):
            raise RuntimeError("PyTorch was compiled without CUDA support")

    def __exit__(self, *error: Any) -> None:
        pass


class device_of(device):
    """The context that selects the GPU of a tensor, which has none."""

    def __init__(self, tensor: Any) -> None:
        super().__init__(-1)


class Stream:
    """A queue of a GPU's work; there is none, so it cannot be made."""

    __init__ = _refuse


class Event(Stream):
    """A mark in a queue of a GPU's work; there is none, so it cannot be made."""


class stream(contextlib.nullcontext):
    """The context that selects a :class:`Stream`, or None, which is all there is."""

    def __init__(self, stream: Any) -> None:
        super().__init__(stream)


class _OnGpu(_OfDtype):
    """The tensors of one dtype on a GPU: there are none."""

    def __call__(cls, *arguments: Any) -> NoReturn:
        raise TypeError(f"type torch.cuda.{cls.__name__} not available. Torch not compiled with CUDA enabled.")

    def __instancecheck__(cls, instance: object) -> bool:
        return False


def _of(name: str) -> _OnGpu:
    return _OnGpu(name, (), {"__doc__": "Tensors on a GPU: there are none.", "__module__": "torch.cuda"})


FloatTensor, DoubleTensor, HalfTensor = _of("FloatTensor"), _of("DoubleTensor"), _of("HalfTensor")
ByteTensor, IntTensor, LongTensor, BoolTensor = map(_of, ("ByteTensor", "IntTensor", "LongTensor", "BoolTensor"))
