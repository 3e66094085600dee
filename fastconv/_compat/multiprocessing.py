"""``torch.multiprocessing``: the standard library's processes, and :func:`spawn`."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
from collections.abc import Callable
from multiprocessing import *  # noqa: F403

__all__ = [*multiprocessing.__all__, "get_all_sharing_strategies", "get_sharing_strategy", "set_sharing_strategy"]
__all__ += ["spawn"]


def get_all_sharing_strategies() -> set[str]:
    """The ways in which tensors are handed to other processes: by copies through a pipe, under torch's default name."""
    return {"file_descriptor"}


def get_sharing_strategy() -> str:
    """The one way that there is."""
    return "file_descriptor"


def set_sharing_strategy(new_strategy: str) -> None:
    """Accept torch's names of strategies: tensors are copied under each."""
    if new_strategy not in ("file_descriptor", "file_system"):
        raise AssertionError(f"expected file_descriptor or file_system as sharing strategy, got {new_strategy!r}")


def spawn(
    fn: Callable,
    args: tuple = (),
    nprocs: int = 1,
    join: bool = True,
    daemon: bool = False,
    start_method: str = "spawn",
):
    """Run ``fn(i, *args)`` for i from 0 to `nprocs` - 1, each in a process of its own.

    Returns
    -------
    list of Process, or None
        None once all have ended, with `join`.

    Raises
    ------
    RuntimeError
        With `join`, if a process fails; the others are then terminated.
    """
    context = multiprocessing.get_context(start_method)
    processes = [context.Process(target=fn, args=(i, *args), daemon=daemon) for i in range(nprocs)]
    for process in processes:
        process.start()
    if not join:
        return processes
    running = {process.sentinel: process for process in processes}
    while running:
        for sentinel in multiprocessing.connection.wait(list(running)):
            process = running.pop(sentinel)
            process.join()
            if process.exitcode:
                for other in running.values():
                    other.terminate()
                raise RuntimeError(
                    f"process {processes.index(process)} of {nprocs} ended with exit code {process.exitcode}"
                )
    return None
