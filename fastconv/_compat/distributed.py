"""``torch.distributed`` where it is not built in: one process."""

from __future__ import annotations

from typing import Any, NoReturn

__all__ = [
    "barrier",
    "destroy_process_group",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "is_available",
    "is_initialized",
]


def is_available() -> bool:
    """False."""
    return False


def is_initialized() -> bool:
    """False."""
    return False


def init_process_group(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise a RuntimeError: a training is one process, of many threads."""
    raise RuntimeError(
        "fastconv trains in one process, with as many threads as fastconv.set_num_threads() says; "
        "run the program without its distributed option"
    )


def get_rank(group: Any = None) -> NoReturn:
    """Raise a ValueError, in torch's words."""
    raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")


get_world_size = barrier = destroy_process_group = get_rank
