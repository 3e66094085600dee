"""Loading in worker processes.

Every worker has a pipe of its own and at most one batch to load: batch i belongs to worker i mod n, which is handed
batch i + n when i has been received. So batches arrive in order without being sorted, neither side can block the
other by a full pipe, and a worker that dies takes no shared lock with it.
"""

import multiprocessing
import pickle
import time
import traceback
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np

__all__ = ["load_in_workers"]

SHUTDOWN_SECONDS = 1.0


def load_in_workers(load: Callable, order: Iterator, num_workers: int, seed: int, context: Any) -> Iterator[Any]:
    """``map(load, order)``, computed by `num_workers` processes; they end with the iterator, however it ends."""
    if context is None or isinstance(context, str):
        context = multiprocessing.get_context(context)
    forked = context.get_start_method() == "fork"
    processes: list = []
    connections: list[Connection] = []
    try:
        for worker_id in range(num_workers):
            ours, theirs = context.Pipe()
            connections.append(ours)
            # A forked child inherits our ends of the pipes; it closes them, or it would never see us close them.
            inherited = list(connections) if forked else []
            process = context.Process(
                target=_run,
                args=(worker_id, theirs, inherited, load, seed),
                name=f"DataLoader-{worker_id}",
                daemon=True,
            )
            process.start()
            processes.append(process)
            theirs.close()

        def hand_out(worker_id: int) -> bool:
            for index in order:
                try:
                    connections[worker_id].send(index)
                except OSError:
                    raise _death(processes[worker_id]) from None
                return True
            return False

        busy = [worker_id for worker_id in range(num_workers) if hand_out(worker_id)]
        while busy:
            worker_id = busy.pop(0)
            good, result = _receive(connections[worker_id], processes[worker_id])
            if not good:
                error, trace = result
                error.add_note(f"Caught in DataLoader worker process {worker_id}. Its traceback:\n{trace}")
                raise error
            if hand_out(worker_id):
                busy.append(worker_id)
            yield result
            del result  # or it would live until the next batch has arrived
    finally:
        _stop(processes, connections)


def _receive(connection: Connection, process: Any) -> tuple[bool, Any]:
    if connection in wait([connection, process.sentinel]):
        try:
            return pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            pass
    raise _death(process)


def _death(process: Any) -> RuntimeError:
    """The error that tells how a worker died."""
    process.join(SHUTDOWN_SECONDS)
    code = process.exitcode
    if code is not None and code < 0:
        import signal

        hint = ". The system does so when memory runs out; fewer workers need less" if -code == signal.SIGKILL else ""
        return RuntimeError(
            f"DataLoader worker (pid {process.pid}) is killed by signal: {signal.strsignal(-code)} ({-code}){hint}"
        )
    return RuntimeError(f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}")


def _stop(processes: list, connections: list[Connection]) -> None:
    """Join all workers: idle ones end when their pipe is closed, those still at work are terminated."""
    for connection in connections:
        connection.close()
    deadline = time.monotonic() + SHUTDOWN_SECONDS / 2
    for process in processes:
        process.join(max(0.0, deadline - time.monotonic()))
    for end in ("terminate", "kill"):
        for process in processes:
            if process.is_alive():
                getattr(process, end)()
        for process in processes:
            process.join(SHUTDOWN_SECONDS)
    for process in processes:
        process.close()


def _run(worker_id: int, connection: Connection, inherited: list[Connection], load: Callable, seed: int) -> None:
    """What a worker does: load what it is handed until the pipe is closed."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers
    for other in inherited:
        other.close()
    _use_one_thread()
    _seed(seed, worker_id)
    while True:
        try:
            index = connection.recv()
        except (EOFError, OSError):
            return
        try:
            answer = bytes(ForkingPickler.dumps((True, load(index)), pickle.HIGHEST_PROTOCOL))
        except Exception as error:
            trace = traceback.format_exc()
            answer = pickle.dumps((False, (_portable(error), trace)))
        try:
            connection.send_bytes(answer)
        except OSError:
            return
        del answer


def _use_one_thread() -> None:
    """Loaders run beside the network's threads; and OpenMP's threads do not survive a fork."""
    from fastconv._native.runtime import set_num_threads

    set_num_threads(1)
    try:
        from threadpoolctl import threadpool_limits
    except ImportError:
        return
    threadpool_limits(1)


def _seed(seed: int, worker_id: int) -> None:
    """Distinct random streams for every worker and pass, in this package, in NumPy and in the standard library."""
    import random

    from fastconv.random import manual_seed

    manual_seed((seed + worker_id) % 2**64)
    random.seed(seed + worker_id)
    np.random.seed(np.random.SeedSequence((seed, worker_id)).generate_state(4))  # noqa: NPY002


def _portable(error: Exception) -> Exception:
    """`error`, or a RuntimeError that says the same where it cannot be sent to another process."""
    try:
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is type(error):
            return error
    except Exception:
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
