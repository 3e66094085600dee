"""What ends all processes when one of them cannot go on.

An error that nobody catches ends all. Beside that a thread in each process tells rank 0 every half second how its
process fares, and hears from it how the others do. So it is noticed, within seconds, that a process has come to its
end while others wait for it; that it is stopped; and that it has fallen asleep for good: that it is waited for, and has
not computed anything all that time, nor any process that it started. A process that computes for ever is waited for
as long as the group's timeout says.
"""

from __future__ import annotations

import atexit
import contextlib
import functools
import os
import sys
import threading
import time
import traceback
import zlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from . import groups
from .groups import GroupMember, ProcessGroup

__all__ = ["ASLEEP", "BEAT", "SILENT", "Watch", "end_all", "waiting"]

BEAT = 0.5  # seconds between two messages of a process
ASLEEP = 5.0  # seconds that a process is waited for and does nothing, until it counts as asleep for good
SILENT = 60.0  # seconds without a message of a process, which may be one long call that keeps Python's lock
GRACE = 2.0  # seconds for the process at fault to tell where it stands, before rank 0 ends all

_TICK = 1 / os.sysconf("SC_CLK_TCK") if hasattr(os, "sysconf") else 0.01

WELL, ENDED, STOPPED, SLEEPING, CROSSED, LATE, MUTE = range(7)
_WORDS = {
    ENDED: "has come to the end of its program",
    STOPPED: "is stopped, or gone",
    SLEEPING: f"has done nothing for {ASLEEP:.0f} seconds",
    CROSSED: "waits for the others elsewhere than they do",
    LATE: "has not come within the group's timeout",
    MUTE: f"has not been heard of for {SILENT:.0f} seconds",
}

_watch: Watch | None = None


@contextlib.contextmanager
def waiting(what: str, group: ProcessGroup | None = None) -> Iterator[None]:
    """While entered, this process waits for others of a group (default: for any or all) in `what`."""
    watch = _watch
    if watch is None:
        yield
        return
    watch.waits = what, time.monotonic(), group is None or group.size() == watch.comm.size
    try:
        yield
    finally:
        watch.waits = None


def end_all(text: str, status: int = 1) -> None:
    """Say why, and end every process of the world, this one too."""
    from mpi4py import MPI

    with contextlib.suppress(OSError, ValueError, AttributeError):
        sys.stdout.flush()
        print(text, file=sys.stderr, flush=True)
    time.sleep(0.2)  # what has been written is to be read before whoever started us ends as well
    MPI.COMM_WORLD.Abort(status)


def _label(rank: int | None = None) -> str:
    world = GroupMember.WORLD
    assert world is not None
    return f"rank {world.rank() if rank is None else rank} of {world.size()}"


def _with_an_end(hook: Callable[..., Any], kind: type, error: BaseException, trace: Any) -> None:
    """Show an uncaught error by `hook`, then end all processes: the others would wait for this one for ever."""
    hook(kind, error, trace)
    world = GroupMember.WORLD
    if world is not None and world.size() > 1:
        status = 130 if issubclass(kind, KeyboardInterrupt) else 1
        end_all(f"fastconv: {_label()} has ended by {kind.__name__}, and all others with it", status)


class Watch:
    """The thread that tells how this process fares and hears of the others.

    A message is five numbers: for how many seconds the process has been waiting for all others (-1 if it is not), for
    how many it has done nothing, whether its program has ended, a checksum of what it waits in, and for how many
    seconds it has been waiting for some others. Rank 0 answers with a verdict and the rank that it is about.

    Attributes
    ----------
    waits : tuple of str, float and bool, or None
        In what this process waits for others, since when, and whether for all.
    """

    def __init__(self, comm: Any, timeout: float) -> None:
        self.comm = comm
        self.timeout = timeout
        self.waits: tuple[str, float, bool] | None = None
        self.ended = False
        self._done = threading.Event()
        self._main = threading.main_thread()
        self._used, self._idle_since = -1.0, time.monotonic()
        size = comm.size
        place = (os.uname().nodename, _boot(), os.getpid())
        places = comm.allgather(place)
        self._here = {rank: pid for rank, (*host, pid) in enumerate(places) if tuple(host) == place[:2]}
        self._fares = np.tile([-1.0, 0.0, 0.0, 0.0, -1.0], (size, 1))
        self._heard = np.full(size, time.monotonic())
        self._sent: list[Any] = []
        self._thread = threading.Thread(target=self._run, name="fastconv-watch", daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """End the thread; all processes call it, when none has more to say."""
        self.ended = True
        self._meet()
        self._done.set()
        self._thread.join()
        self._meet()
        for _ in self._received():  # what was under way: MPI wants nothing left over
            pass
        self._meet()
        self.comm.Free()

    def _meet(self) -> None:
        request = self.comm.Ibarrier()
        while not request.Test():
            time.sleep(0.005)

    def _run(self) -> None:
        before = time.monotonic()
        while not self._done.wait(BEAT):
            now = time.monotonic()
            if now - before > 4 * BEAT:  # this process was stopped itself, and the others may have been
                self._heard[:] = now
                self._idle_since = now
            before = now
            try:
                self._beat(now)
            except Exception:  # the world is ending
                return

    def _beat(self, now: float) -> None:
        used = _time_used()
        if used is None or used - self._used > 1.5 * _TICK:
            self._used, self._idle_since = used or 0.0, now
        waits = self.waits
        wait = now - waits[1] if waits else -1.0
        of_all = waits is None or waits[2]
        fare = np.array([wait if of_all else -1.0, now - self._idle_since, float(self.ended), 0.0, wait])
        fare[3] = zlib.crc32(waits[0].encode()) if waits else 0
        self._sent = [request for request in self._sent if not request.Test()]
        if self.comm.rank == 0:
            self._fares[0], self._heard[0] = fare, now
            for rank, message in self._received():
                self._fares[rank], self._heard[rank] = message, now
            verdict, culprit = self._judge(now)
            answer = np.array([verdict, culprit, 0.0, 0.0, 0.0])
            self._sent += [self.comm.Isend(answer, rank) for rank in range(1, self.comm.size)]
            if verdict != WELL:
                self._end(verdict, culprit)
            return
        self._sent.append(self.comm.Isend(fare, 0))
        for _, message in self._received():
            self._heard[0] = now
            if message[0] != WELL:
                self._end(int(message[0]), int(message[1]))
        if now - self._heard[0] > 4 * BEAT and _is_stopped(self._here.get(0)):
            self._end(STOPPED, 0, first=True)
        elif now - self._heard[0] > SILENT + GRACE:
            self._end(MUTE, 0, first=True)

    def _received(self) -> Iterator[tuple[int, np.ndarray]]:
        from mpi4py import MPI

        status = MPI.Status()
        # Open MPI looks for what has come only when it has found nothing, so it is asked once more.
        while self.comm.Iprobe(status=status) or self.comm.Iprobe(status=status):
            message = np.empty(5)
            self.comm.Recv(message, status.Get_source())
            yield status.Get_source(), message

    def _judge(self, now: float) -> tuple[int, int]:
        """What is wrong, and with whom."""
        waits, idle, ended, places, all_waits = self._fares.T
        silence = now - self._heard
        longest = waits.max()
        for rank in np.flatnonzero(silence > 4 * BEAT):
            if _is_stopped(self._here.get(int(rank))):
                return STOPPED, int(rank)
        if silence.max() > SILENT:
            return MUTE, int(silence.argmax())
        if longest > 4 * BEAT and ended.any():
            return ENDED, int(ended.argmax())
        others = np.flatnonzero(waits < 0)
        for rank in others:
            if longest > ASLEEP and idle[rank] > ASLEEP and all_waits[rank] < 0:
                return SLEEPING, int(rank)
        if waits.min() > ASLEEP and len(set(places)) > 1:
            return CROSSED, int(np.flatnonzero(places != places[0])[0])
        if max(longest, all_waits.max()) > self.timeout:
            return LATE, int(others[0]) if others.size else int(waits.argmin())
        return WELL, 0

    def _end(self, verdict: int, culprit: int, first: bool = False) -> None:
        """Tell where this process stands if it is at fault or waits; rank 0, or whoever notices, ends all."""
        me = self.comm.rank
        if me == culprit and me and verdict in (SLEEPING, CROSSED, LATE):
            self._tell(f"fastconv: {_label()} {_WORDS[verdict]}. It stands at\n", True)
            self._sent.append(self.comm.Isend(np.array([-1.0, 0.0, 2.0, 0.0, -1.0]), 0))
        if me == 0 or first:
            waits = self.waits
            text = f"fastconv: {_label(culprit)} {_WORDS[verdict]}, while others wait for it"
            if waits is not None or me == culprit:
                where = "stands" if waits is None else f"waits in {waits[0]}"
                self._tell(f"{text}. Rank {me} {where}, at\n", True)
            else:
                self._tell(text + "\n", False)
            if verdict in (SLEEPING, CROSSED, LATE) and me != culprit:
                until = time.monotonic() + GRACE
                while time.monotonic() < until and not any(
                    rank == culprit and message[2] == 2 for rank, message in self._received()
                ):
                    time.sleep(0.05)
            if first and me != min(self._here.keys() - {0}):
                time.sleep(GRACE)
            end_all(f"fastconv: {_label()} ends all")

    def _tell(self, text: str, stack: bool) -> None:
        frame = sys._current_frames().get(self._main.ident or 0) if stack else None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            print(text + "".join(traceback.format_stack(frame) if frame else []), end="", file=sys.stderr, flush=True)


def _boot() -> str:
    """What tells this machine's process numbers from those of others."""
    with contextlib.suppress(OSError), open("/proc/sys/kernel/random/boot_id") as file:
        return file.read() + os.readlink("/proc/self/ns/pid")
    return ""


def _is_stopped(pid: int | None) -> bool:
    """Whether a process of this machine is stopped or gone; False where that cannot be told."""
    if pid is None or not os.path.exists("/proc/self/stat"):
        return False
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0] in "TtZX"
    except OSError:
        return True


def _time_used() -> float | None:
    """Seconds of processor time of all threads of this process but the one that asks, and of its descendants.

    None where that cannot be told, or while one waits for a processor or a disk.
    """
    own = threading.get_native_id()
    try:
        total, busy = _ticks(f"/proc/{os.getpid()}", own)
        stack = [os.getpid()]
        while stack:
            for child in _children(stack.pop()):
                stack.append(child)
                with contextlib.suppress(OSError):
                    total += _ticks(f"/proc/{child}", 0)[0]
        return None if busy else total * _TICK
    except OSError:
        return None


def _children(pid: int) -> list[int]:
    found: list[int] = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with open(f"/proc/{pid}/task/{task}/children") as file:
                found += map(int, file.read().split())
    return found


def _ticks(process: str, left_out: int) -> tuple[int, bool]:
    total, busy = 0, False
    for task in os.listdir(f"{process}/task"):
        if int(task) != left_out:
            with open(f"{process}/task/{task}/stat") as file:
                fields = file.read().rpartition(")")[2].split()
            total += int(fields[11]) + int(fields[12])
            busy = busy or fields[0] in "RD"
    return total, busy


def _start(world: ProcessGroup, timeout: float) -> None:
    global _watch
    if world.size() == 1:
        return
    from mpi4py import MPI

    if not isinstance(sys.excepthook, functools.partial) or sys.excepthook.func is not _with_an_end:
        sys.excepthook = functools.partial(_with_an_end, sys.excepthook)
        atexit.register(_leave)
    if MPI.Query_thread() == MPI.THREAD_MULTIPLE:
        _watch = Watch(world.comm.Dup(), timeout)
    _note(world.rank(), "joined")


def _leave() -> None:
    """At the end of the group: wait for the others to come to theirs, so that who waits for this one is heard of."""
    global _watch
    from mpi4py import MPI

    if _watch is None or MPI.Is_finalized():
        return
    rank = _watch.comm.rank
    _watch.stop()
    _watch = None
    _note(rank, "left")


def _note(rank: int, what: str) -> None:
    """Tell ``fastconv launch``, on the first rank's machine, that the processes have joined or left each other."""
    path = os.environ.get("FASTCONV_NOTE")
    if rank == 0 and path is not None:
        with contextlib.suppress(OSError), open(os.path.join(os.path.dirname(path), what), "w"):
            pass


groups._at_start.append(_start)
groups._at_end.append(_leave)
