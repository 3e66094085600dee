"""Loading in worker processes.

Every worker has a pipe of its own: batch i belongs to worker i mod n, which is handed batch i + n * prefetch when
batch i has been received. So batches arrive in order without being sorted, and a worker that dies takes no shared lock
with it. A worker is handed no more ahead than its pipe holds, so that neither side can block the other.
"""

import multiprocessing
import pickle
import time
import traceback
from collections import deque
from collections.abc import Callable, Iterator
from multiprocessing.connection import Connection, wait
from multiprocessing.reduction import ForkingPickler
from typing import Any

import numpy as np
import numpy.random  # here, once, rather than in each worker; NumPy itself waits for its first use

from fastconv._tensor import Tensor
from fastconv.utils.data import worker_info
from fastconv.utils.data.handover import Handover
from fastconv.utils.data.worker_info import ExhaustedError, WorkerInfo

try:
    from threadpoolctl import threadpool_limits
except ImportError:
    threadpool_limits = None

__all__ = ["Workers"]

SHUTDOWN_SECONDS = 1.0
AHEAD_BYTES = 1 << 14  # of indices in one pipe; the smallest that a pipe holds is 64 KB

# A batch that is a part of a larger tensor is sent without the rest.
ForkingPickler.register(Tensor, Tensor.reduce_alone)

NEW_PASS = None  # what a worker is sent before the first index of each pass


class Workers:
    """Processes that load the batches of one pass, or of one pass after another.

    Parameters
    ----------
    start : callable
        Gives the function from an index, or from a list of them, to a batch; called once a pass, in each worker.
    dataset : Dataset
        What :func:`get_worker_info` hands out.
    num_workers : int
    seed : int
    context : str, context or None
    prepare : callable or None
        Called with the worker's number in each worker, before it loads.
    timeout : float
        Seconds to wait for a batch; 0 waits for ever.
    prefetch : int
        How many batches each worker is handed ahead.
    """

    def __init__(
        self,
        start: Callable[[], Callable[..., Any]],
        dataset: Any,
        num_workers: int,
        seed: int,
        context: Any,
        prepare: Callable[[int], object] | None = None,
        timeout: float = 0,
        prefetch: int = 2,
    ) -> None:
        if context is None or isinstance(context, str):
            context = multiprocessing.get_context(context)
        self._forked = context.get_start_method() == "fork"
        self._timeout = timeout
        self._prefetch = prefetch
        self._processes: list[Any] = []
        self._connections: list[Connection] = []
        self._handovers = [Handover(prefetch) for _ in range(num_workers)]
        self._owed: list[deque[int]] = [deque() for _ in range(num_workers)]  # bytes of each index that is under way
        self._pass = 0
        try:
            for worker_id in range(num_workers):
                ours, theirs = context.Pipe()
                self._connections.append(ours)
                # A forked child inherits our ends of the pipes; it closes them, or it would never see us close them.
                inherited = list(self._connections) if self._forked else []
                info = WorkerInfo(worker_id, num_workers, seed + worker_id, dataset)
                process = context.Process(
                    target=_run,
                    args=(info, theirs, self._handovers[worker_id], inherited, start, seed, prepare),
                    name=f"DataLoader-{worker_id}",
                    daemon=True,
                )
                process.start()
                self._processes.append(process)
                theirs.close()
        except BaseException:
            self.stop()
            raise

    def load(self, order: Iterator[Any]) -> Iterator[Any]:
        """One pass: ``map(start(), order)``, computed by the workers."""
        self._pass += 1
        this_pass = self._pass
        for worker_id, owed in enumerate(self._owed):
            while owed:  # left by a pass that was broken off
                self._receive(worker_id)
            self._send(worker_id, bytes(ForkingPickler.dumps(NEW_PASS)))
        exhausted: set[int] = set()
        busy: deque[int] = deque()  # the worker of each batch that is under way, in order

        def hand_out(worker_id: int) -> None:
            owed = self._owed[worker_id]
            while len(owed) < self._prefetch and sum(owed) <= AHEAD_BYTES and worker_id not in exhausted:
                for index in order:
                    message = bytes(ForkingPickler.dumps((index,)))
                    self._send(worker_id, message)
                    owed.append(len(message))
                    busy.append(worker_id)
                    return
                return

        for _ in range(self._prefetch):
            for worker_id in range(len(self._processes)):
                hand_out(worker_id)
        while busy:
            worker_id = busy.popleft()
            if this_pass != self._pass:
                raise RuntimeError(
                    "a DataLoader with persistent_workers=True is in one pass at a time; a new one has begun"
                )
            good, result = self._receive(worker_id)
            if good is None:
                exhausted.add(worker_id)
                continue
            if not good:
                error, trace = result
                error.add_note(f"Caught in DataLoader worker process {worker_id}. Its traceback:\n{trace}")
                raise error
            hand_out(worker_id)
            yield result
            del result  # or it would live until the next batch has arrived

    def _send(self, worker_id: int, message: bytes) -> None:
        try:
            self._connections[worker_id].send_bytes(message)
        except OSError:
            raise _death(self._processes[worker_id], self._forked) from None

    def _receive(self, worker_id: int) -> tuple[bool | None, Any]:
        connection, process = self._connections[worker_id], self._processes[worker_id]
        ready = wait([connection, process.sentinel], self._timeout or None)
        if not ready:
            raise RuntimeError(f"DataLoader timed out after {self._timeout} seconds")
        if connection in ready:
            try:
                answer = self._handovers[worker_id].unpack(connection.recv_bytes())
                self._owed[worker_id].popleft()
                return answer
            except (EOFError, OSError):
                pass
        raise _death(process, self._forked)

    def stop(self) -> None:
        """Join all workers: idle ones end when their pipe is closed, those still at work are terminated."""
        for connection in self._connections:
            connection.close()
        deadline = time.monotonic() + SHUTDOWN_SECONDS / 2
        for process in self._processes:
            process.join(max(0.0, deadline - time.monotonic()))
        for end in ("terminate", "kill"):
            for process in self._processes:
                if process.is_alive():
                    getattr(process, end)()
            for process in self._processes:
                process.join(SHUTDOWN_SECONDS)
        for process in self._processes:
            process.close()
        self._processes.clear()


def _death(process: Any, forked: bool) -> RuntimeError:
    """The error that tells how a worker died."""
    process.join(SHUTDOWN_SECONDS)
    code = process.exitcode
    if code is not None and code < 0:
        import signal

        hint = ". The system does so when memory runs out; fewer workers need less" if -code == signal.SIGKILL else ""
        return RuntimeError(
            f"DataLoader worker (pid {process.pid}) is killed by signal: {signal.strsignal(-code)} ({-code}){hint}"
        )
    hint = ""
    if code == 1 and not forked:
        hint = (
            ", after what it printed. Not forked, it imports the program anew, in which what trains has to stand under "
            '`if __name__ == "__main__":`'
        )
    return RuntimeError(f"DataLoader worker (pid {process.pid}) exited unexpectedly with exit code {code}{hint}")


def _run(
    info: WorkerInfo,
    connection: Connection,
    handover: Handover,
    inherited: list[Connection],
    start: Callable[[], Callable[..., Any]],
    seed: int,
    prepare: Callable[[int], object] | None,
) -> None:
    """What a worker does: load what it is handed until the pipe is closed."""
    import signal

    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches the parent, which ends the workers
    for other in inherited:
        other.close()
    _use_one_thread()
    _seed(seed, info.id)
    worker_info.current = info
    load = None
    while True:
        try:
            message = pickle.loads(connection.recv_bytes())
        except (EOFError, OSError):
            return
        if message is NEW_PASS:
            load = None
            continue
        try:
            if prepare is not None:
                prepare(info.id)
                prepare = None
            if load is None:
                load = start()
            answer = handover.pack((True, load(*message)))
        except ExhaustedError:
            answer = handover.pack((None, None))
        except Exception as error:
            trace = traceback.format_exc()
            answer = handover.pack((False, (_portable(error), trace)))
        try:
            connection.send_bytes(answer)
        except OSError:
            return
        del answer


def _use_one_thread() -> None:
    """Loaders run beside the network's threads; and OpenMP's threads do not survive a fork."""
    from fastconv._native.runtime import set_num_threads

    set_num_threads(1)
    if threadpool_limits is not None:
        threadpool_limits(1)


def _seed(seed: int, worker_id: int) -> None:
    """Distinct random streams for every worker and pass, in this package, in NumPy and in the standard library."""
    import random

    from fastconv.random import manual_seed

    manual_seed((seed + worker_id) % 2**64)
    random.seed(seed + worker_id)
    words = (worker_id, seed % 2**32, seed >> 32, 0)
    np.random.seed(np.random.SeedSequence(words).generate_state(4))  # noqa: NPY002


def _portable(error: Exception) -> Exception:
    """`error`, or a RuntimeError that says the same where it cannot be sent to another process."""
    try:
        copy = pickle.loads(pickle.dumps(error))
        if type(copy) is type(error):
            return error
    except Exception:
        pass
    return RuntimeError(f"{type(error).__name__}: {error}")
