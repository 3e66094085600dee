"""``fastconv launch``: a program in several processes, by MPI's own launcher."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import sys
import tempfile
from collections.abc import Sequence

from fastconv.distributed.launcher import command, find_mpiexec, mpi_version, python

__all__ = ["NOTE", "launch"]

# Names the file in which a training notes its folder, for the next start.
NOTE = "FASTCONV_NOTE"


def launch(processes: int, hosts: str | None, program: Sequence[str], restarts: int = 0) -> int:
    """Run a program in several processes; returns the exit status of MPI's launcher.

    Parameters
    ----------
    processes : int
    hosts : path, optional
        A file with a host a line, as MPI's launcher reads it.
    program : sequence of str
        A file or ``-m`` and a module, then arguments.
    restarts : int
        How often it is run again when it has failed, without the hosts that do not answer any more; where all answer,
        with one process fewer. Programs find in ``FASTCONV_RESTART`` which time it is, and ``fastconv train`` goes on
        from its checkpoint.
    """
    with tempfile.TemporaryDirectory() as folder:
        os.environ[NOTE] = os.path.join(folder, "run")
        for attempt in range(restarts + 1):
            os.environ["FASTCONV_RESTART"] = str(attempt)
            for name in ("joined", "left"):
                with contextlib.suppress(FileNotFoundError):
                    os.unlink(os.path.join(folder, name))
            status, interrupted = _run(command(processes, hosts, [*python(), "-m", "fastconv", "run", *program]))
            joined, left = (os.path.exists(os.path.join(folder, name)) for name in ("joined", "left"))
            if status == 0 and joined and not left:
                # MPICH's launcher ends all where one has left by os._exit(0), and calls that well.
                print("fastconv launch: a process ended without leaving the others", file=sys.stderr, flush=True)
                status = 1
            if status == 0 or interrupted or attempt == restarts:
                return status
            processes, hosts = _left(processes, hosts, folder)
            print(
                f"fastconv launch: ended with status {status}; starting again with {processes} processes, "
                f"{restarts - attempt - 1} restarts left",
                file=sys.stderr,
                flush=True,
            )
    return status


def _run(line: Sequence[str]) -> tuple[int, bool]:
    """Run MPI's launcher, which hands interrupts on to the processes; its status, and whether there was one."""
    process = subprocess.Popen(line)
    came: list[int] = []

    def note(signum: int, frame: object) -> None:
        came.append(signum)
        if signum != signal.SIGINT or len(came) > 1 or not sys.stdin or not sys.stdin.isatty():
            process.send_signal(signal.SIGINT)  # of a terminal's interrupt it has its own

    before = {signum: signal.signal(signum, note) for signum in (signal.SIGINT, signal.SIGTERM)}
    try:
        status = process.wait()
    finally:
        for signum, handler in before.items():
            signal.signal(signum, handler)
    return (status if status >= 0 else 128 - status), bool(came)


def _left(processes: int, hosts: str | None, folder: str) -> tuple[int, str | None]:
    """How many processes to start next, and the file of the hosts that answer."""
    if hosts is None:
        return max(processes - 1, 1), None
    with open(hosts) as file:
        lines = [line for line in file.read().splitlines() if line.split("#")[0].strip()]
    mpiexec = find_mpiexec()
    answering = []
    for line in lines:
        host = line.split("#")[0].split()[0].partition(":")[0]
        name = "--host" if "Open MPI" in mpi_version(mpiexec) else "-hosts"
        with contextlib.suppress(subprocess.TimeoutExpired):
            if (
                subprocess.run([mpiexec, name, host, "-n", "1", "true"], capture_output=True, timeout=10).returncode
                == 0
            ):
                answering.append(line)
    if not answering:
        raise RuntimeError(f"{hosts}: none of its {len(lines)} hosts answers any more")
    if len(answering) == len(lines):
        return max(processes - 1, 1), hosts
    path = os.path.join(folder, "hosts")
    with open(path, "w") as file:
        file.write("\n".join(answering) + "\n")
    return max(processes * len(answering) // len(lines), 1), path
