"""``torch.accelerator`` on a machine that has none."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = [
    "current_accelerator",
    "current_device_index",
    "device_count",
    "empty_cache",
    "is_available",
    "set_device_index",
    "synchronize",
]


def is_available() -> bool:
    """False."""
    return False


def device_count() -> int:
    """0."""
    return 0


def current_accelerator(check_available: bool = False) -> None:
    """None."""


def empty_cache() -> None:
    """Do nothing: there is no accelerator's memory."""


def current_device_index() -> NoReturn:
    """Raise a RuntimeError, in torch's words."""
    raise RuntimeError("Cannot access accelerator device when none is available.")


def set_device_index(device: Any) -> NoReturn:
    """Raise a RuntimeError, in torch's words."""
    current_device_index()


def synchronize(device: Any = None) -> NoReturn:
    """Raise a RuntimeError, in torch's words."""
    current_device_index()
