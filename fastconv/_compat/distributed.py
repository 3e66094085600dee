"""``torch.distributed`` where it is not built in: one process."""

from __future__ import annotations

import enum
from typing import Any, NoReturn

__all__ = [
    "ReduceOp",
    "all_gather",
    "all_reduce",
    "barrier",
    "broadcast",
    "destroy_process_group",
    "get_rank",
    "get_world_size",
    "init_process_group",
    "is_available",
    "is_initialized",
    "reduce",
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


def get_rank(*args: Any, **kwargs: Any) -> NoReturn:
    """Raise a ValueError, in torch's words."""
    raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")


get_world_size = barrier = destroy_process_group = get_rank
all_gather = all_reduce = broadcast = reduce = get_rank


class ReduceOp(enum.Enum):
    """What processes' tensors are joined by."""

    SUM = "sum"
    AVG = "avg"
    PRODUCT = "product"
    MIN = "min"
    MAX = "max"
