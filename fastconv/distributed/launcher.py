"""MPI's own launcher, and what it tells the processes that it starts."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from .groups import threads_of_a_rank

__all__ = ["command", "find_mpiexec", "mirror_ranks", "mpi_version", "python"]

# How launchers tell a process its number among all, how many there are, and the same of its host.
RANKS = {
    "RANK": ("PMI_RANK", "OMPI_COMM_WORLD_RANK", "PMIX_RANK"),
    "WORLD_SIZE": ("PMI_SIZE", "OMPI_COMM_WORLD_SIZE"),
    "LOCAL_RANK": ("MPI_LOCALRANKID", "OMPI_COMM_WORLD_LOCAL_RANK"),
    "LOCAL_WORLD_SIZE": ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE"),
}


def find_mpiexec() -> str:
    """The launcher of MPI: beside this Python, where ``pip install mpich`` puts it, or on the PATH.

    Raises
    ------
    RuntimeError
        If there is none.
    """
    found = shutil.which("mpiexec", path=os.path.dirname(sys.executable)) or shutil.which("mpiexec")
    if found is None:
        raise RuntimeError(
            'there is no mpiexec, neither beside this Python nor on the PATH: pip install "fastconv[mpi]", which '
            "brings MPICH"
        )
    return found


def command(processes: int, hosts: str | None, program: Sequence[str]) -> list[str]:
    """MPI's command that starts a program in several processes.

    Parameters
    ----------
    processes : int
    hosts : path, optional
        A file with a host a line, as MPI's launcher reads it.
    program : sequence of str
        A command and its arguments.
    """
    mpiexec = find_mpiexec()
    told = mpi_version(mpiexec)
    line = [mpiexec, "-n", str(processes)]
    if "Open MPI" in told or "OpenRTE" in told or "PRRTE" in told:
        # Each process has its threads on all of its share of cores, and there may be more processes than cores.
        line += ["--bind-to", "none", "--map-by", ":OVERSUBSCRIBE"]
        if os.geteuid() == 0:
            line.append("--allow-run-as-root")
        line += ["--hostfile", hosts] if hosts is not None else []
    else:
        line += ["-bind-to", "none"] if "HYDRA" in told else []
        line += ["-f", hosts] if hosts is not None else []
    return [*line, *program]


def python() -> list[str]:
    """The command of a Python that finds the fastconv that this one has.

    Python looks into the current folder first, which may hold sources of fastconv that are not compiled.
    """
    return [sys.executable] if {"", os.getcwd()} & set(sys.path) else [sys.executable, "-P"]


def mirror_ranks() -> bool:
    """Say what MPI's launcher says in the words of torchrun too, where programs written for torch look for it.

    Returns
    -------
    bool
        Whether it has started this process.
    """
    found = {
        name: [os.environ[source] for source in sources if source in os.environ] for name, sources in RANKS.items()
    }
    if not found["RANK"]:
        return False
    for name, told in found.items():
        if told:
            os.environ.setdefault(name, told[0])
    for name, told in (("MASTER_ADDR", "127.0.0.1"), ("MASTER_PORT", "29500"), ("GROUP_RANK", "0")):
        os.environ.setdefault(name, told)
    if not {"OMP_NUM_THREADS", "FASTCONV_NUM_THREADS"} & os.environ.keys():
        os.environ["OMP_NUM_THREADS"] = str(threads_of_a_rank())
    return True


def mpi_version(mpiexec: str) -> str:
    """What an MPI's launcher says of itself."""
    return subprocess.run([mpiexec, "--version"], capture_output=True, text=True, check=False).stdout
