"""``torch.multiprocessing``: the standard library's processes, and :func:`spawn`."""

from __future__ import annotations

import multiprocessing
import multiprocessing.connection
import multiprocessing.spawn
import os
import pickle
import subprocess
import sys
import tempfile
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

    In a program that has imported torch.distributed MPI's launcher starts them, so that ``init_process_group`` joins
    them.

    Returns
    -------
    list of Process, or None
        None once all have ended, with `join`.

    Raises
    ------
    RuntimeError
        With `join`, if a process fails; the others are then terminated.
    """
    if nprocs > 1 and join and start_method == "spawn" and "fastconv.distributed" in sys.modules:
        given = _pickled(fn, args)
        if given is not None:
            _spawn_by_mpi(given, nprocs)
            return None
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


def _pickled(fn: Callable, args: tuple) -> bytes | None:
    """What a process that MPI starts has to know; None if it can only be inherited, or there is no MPI."""
    from ..distributed.groups import is_available
    from ..distributed.launcher import find_mpiexec

    try:
        find_mpiexec()
        preparation = multiprocessing.spawn.get_preparation_data("spawned")
        del preparation["authkey"]  # which is not to be written down
        return pickle.dumps((preparation, pickle.dumps((fn, args)))) if is_available() else None
    except Exception:
        return None


def _spawn_by_mpi(given: bytes, nprocs: int) -> None:
    from ..distributed.launcher import command, python

    with tempfile.NamedTemporaryFile() as file:
        file.write(given)
        file.flush()
        code = f"from fastconv._compat.multiprocessing import _spawned; _spawned({file.name!r})"
        status = subprocess.run(command(nprocs, None, [*python(), "-c", code]), check=False).returncode
    if status:
        raise RuntimeError(f"one of {nprocs} processes has failed, and ended all: exit code {status}")


def _spawned(path: str) -> None:
    """One of the processes that :func:`spawn` starts by MPI."""
    from mpi4py.run import set_abort_status

    from ..distributed.launcher import mirror_ranks

    try:
        mirror_ranks()
        with open(path, "rb") as file:
            preparation, call = pickle.load(file)
        multiprocessing.spawn.prepare(preparation)
        fn, args = pickle.loads(call)
        fn(int(os.environ["RANK"]), *args)
    except BaseException as error:
        set_abort_status(error)
        raise
