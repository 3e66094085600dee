"""``fastconv launch``: a program in several processes, by MPI's own launcher."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from collections.abc import Sequence

from fastconv.distributed.groups import threads_of_a_rank

__all__ = ["command", "find_mpiexec", "launch", "mirror_ranks"]

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
    """MPI's command that starts ``fastconv launch``'s program.

    Parameters
    ----------
    processes : int
    hosts : path, optional
        A file with a host a line, as MPI's launcher reads it.
    program : sequence of str
        A file or ``-m`` and a module, then arguments.
    """
    mpiexec = find_mpiexec()
    told = subprocess.run([mpiexec, "--version"], capture_output=True, text=True, check=False).stdout
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
    return [*line, sys.executable, "-m", "fastconv", "run", *program]


def mirror_ranks() -> None:
    """Say what MPI's launcher says in the words of torchrun too, where programs written for torch look for it."""
    for name, sources in RANKS.items():
        told = next((os.environ[source] for source in sources if source in os.environ), None)
        if told is not None:
            os.environ.setdefault(name, told)
    if "RANK" in os.environ:
        os.environ.setdefault("MASTER_ADDR", "127.0.0.1")
        os.environ.setdefault("MASTER_PORT", "29500")
        os.environ.setdefault("GROUP_RANK", "0")
    if not {"OMP_NUM_THREADS", "FASTCONV_NUM_THREADS"} & os.environ.keys():
        os.environ["OMP_NUM_THREADS"] = str(threads_of_a_rank())


def launch(processes: int, hosts: str | None, program: Sequence[str]) -> int:
    """Run a program in several processes; returns the exit status of MPI's launcher."""
    return subprocess.run(command(processes, hosts, program), check=False).returncode
