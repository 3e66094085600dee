"""Processes that train together: which there are, which this one is, and how a program joins them."""

from __future__ import annotations

import datetime
import os
from collections.abc import Callable, Sequence
from importlib.util import find_spec
from typing import Any

from ..checks import integer

__all__ = [
    "BACKENDS",
    "Backend",
    "GroupMember",
    "ProcessGroup",
    "destroy_process_group",
    "get_backend",
    "get_global_rank",
    "get_group_rank",
    "get_process_group_ranks",
    "get_rank",
    "get_world_size",
    "group",
    "group_of",
    "init_process_group",
    "is_available",
    "is_gloo_available",
    "is_initialized",
    "is_mpi_available",
    "is_nccl_available",
    "is_torchelastic_launched",
    "new_group",
    "threads_of_a_rank",
]

# What programs written for torch call the library that carries messages. Here it is MPI, whatever it is called.
BACKENDS = ("gloo", "mpi", "nccl", "ucc", "xccl")

# How launchers tell a process how many of them are on its host: MPICH and Intel MPI, Open MPI, Slurm, torchrun.
_LOCAL_SIZES = ("MPI_LOCALNRANKS", "OMPI_COMM_WORLD_LOCAL_SIZE", "LOCAL_WORLD_SIZE")


class Backend(str):
    """The name of a backend, in lower case; its constants are the names that there are."""

    UNDEFINED = "undefined"
    GLOO = "gloo"
    MPI = "mpi"
    NCCL = "nccl"
    UCC = "ucc"
    XCCL = "xccl"

    def __new__(cls, name: str) -> Backend:
        if not isinstance(name, str):
            raise ValueError(f"Backend name must be a string, but got: {name!r}")
        parts = [part.split(":")[-1] for part in name.lower().split(",")]  # "cpu:gloo,cuda:nccl" names one a device
        for part in parts:
            if part not in BACKENDS:
                raise ValueError(f"Invalid backend: '{name}'; expected one of {', '.join(BACKENDS)}: all are MPI here")
        return super().__new__(cls, name.lower())


class ProcessGroup:
    """Some of the processes, or all, numbered from 0: their ranks.

    Attributes
    ----------
    comm : mpi4py.MPI.Intracomm
        Through which its collectives go.
    ranks : list of int
        The ranks that its members have among all processes.
    """

    def __init__(self, comm: Any, ranks: Sequence[int], backend: Backend) -> None:
        self.comm = comm
        self.ranks: list[int] = list(ranks)
        self.backend = backend

    def rank(self) -> int:
        """Which of the group this process is."""
        return self.comm.rank

    def size(self) -> int:
        """How many they are."""
        return self.comm.size

    def name(self) -> str:
        """The backend's name."""
        return str(self.backend)


class _NoMember(ProcessGroup):
    """What :func:`new_group` returns to processes that are not in the group."""

    def __init__(self) -> None:
        self.ranks: list[int] = []

    def rank(self) -> int:
        return -1

    def size(self) -> int:
        return -1


class GroupMember:
    """The default group, while there is one, and what stands for a group that this process is not in."""

    WORLD: ProcessGroup | None = None
    NON_GROUP_MEMBER: ProcessGroup = _NoMember()


class _Group:
    """``group.WORLD`` is the default group."""

    @property
    def WORLD(self) -> ProcessGroup | None:
        return GroupMember.WORLD


group = _Group()

_at_start: list[Callable[[ProcessGroup, float], None]] = []  # called with each new default group and its timeout
_at_end: list[Callable[[], None]] = []


def is_available() -> bool:
    """Whether mpi4py is installed, through which processes speak to each other."""
    return find_spec("mpi4py") is not None


is_mpi_available = is_gloo_available = is_available


def is_nccl_available() -> bool:
    """False: it is for GPUs. Its name is accepted as a backend all the same."""
    return False


def is_torchelastic_launched() -> bool:
    """Whether torchrun started this process."""
    return "TORCHELASTIC_RUN_ID" in os.environ


def is_initialized() -> bool:
    """Whether there is a default group: after :func:`init_process_group`, before :func:`destroy_process_group`."""
    return GroupMember.WORLD is not None


def threads_of_a_rank() -> int:
    """Threads for each process on this host, so that all together use each core once."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    sizes = [int(os.environ[name]) for name in _LOCAL_SIZES if os.environ.get(name, "").isdigit()]
    return max(cores // max(sizes[0] if sizes else 1, 1), 1)


def _mpi() -> Any:
    try:
        from mpi4py import MPI
    except (ImportError, RuntimeError) as error:
        raise RuntimeError(
            f'training on several processes needs mpi4py and an MPI: pip install "fastconv[mpi]" ({error})'
        ) from error
    return MPI


def init_process_group(
    backend: str | None = None,
    init_method: str | None = None,
    timeout: datetime.timedelta | None = None,
    world_size: int = -1,
    rank: int = -1,
    store: Any = None,
    group_name: str = "",
    pg_options: Any = None,
    device_id: Any = None,
) -> None:
    """Join the processes that ``mpiexec`` or ``fastconv launch`` has started as one group, the default one.

    They speak to each other through MPI. A program that was started by itself is a group of one. Where neither
    ``OMP_NUM_THREADS`` nor ``FASTCONV_NUM_THREADS`` is set, the threads are divided among the processes of this host.
    From now on a process that fails ends all of them.

    Parameters
    ----------
    backend : str, optional
        One of :data:`BACKENDS` or several with their devices, as programs written for torch name it.
    timeout : timedelta, optional
        How long a process may be waited for before all are ended; default 30 minutes. One that is dead, stopped, asleep
        or at its end is not waited for as long.
    world_size, rank : int
        Where given, they have to be those that MPI says.
    init_method, store, group_name, pg_options, device_id
        Of torch's interface: how its processes find each other, which MPI has done already.

    Raises
    ------
    ValueError
        For another backend, or numbers other than MPI's, or if there is a default group.
    RuntimeError
        If mpi4py is missing or finds no MPI.
    """
    if is_initialized():
        raise ValueError("trying to initialize the default process group twice!")
    name = Backend("mpi" if backend is None else backend)
    if timeout is not None and not isinstance(timeout, datetime.timedelta):
        raise TypeError(f"Expected timeout argument to be of type datetime.timedelta, got {timeout!r}")
    world = _mpi().COMM_WORLD
    for given, have, what in ((world_size, world.size, "world_size"), (rank, world.rank, "rank")):
        if integer(given, what, -1) not in (-1, have):
            raise ValueError(
                f"init_process_group: {what}={given} was asked for, but this is rank {world.rank} of {world.size} that "
                "MPI started; start the program with fastconv launch -n "
                f"{world_size if world_size > 0 else 'N'} PROGRAM, or mpiexec"
            )
    seconds = 1800.0 if timeout is None else timeout.total_seconds()
    GroupMember.WORLD = ProcessGroup(world.Dup(), range(world.size), name)
    if not {"OMP_NUM_THREADS", "FASTCONV_NUM_THREADS"} & os.environ.keys():
        from .._native.runtime import set_num_threads

        set_num_threads(threads_of_a_rank())
    for call in _at_start:
        call(GroupMember.WORLD, seconds)


def destroy_process_group(group: ProcessGroup | None = None) -> None:
    """Leave a group; without one the default group, and with it all others."""
    if group is None or group is GroupMember.WORLD:
        group_of(None)
        for call in _at_end:
            call()
        GroupMember.WORLD = None


def group_of(group: ProcessGroup | None) -> ProcessGroup:
    """The group that an argument means: None is the default one.

    Raises
    ------
    ValueError
        If there is none.
    """
    world = GroupMember.WORLD
    if world is None:
        raise ValueError("Default process group has not been initialized, please make sure to call init_process_group.")
    if group is not None and not isinstance(group, ProcessGroup):
        raise TypeError(f"expected a ProcessGroup, as new_group() returns, or None, got {group!r}")
    return world if group is None else group


def new_group(
    ranks: Sequence[int] | None = None,
    timeout: datetime.timedelta | None = None,
    backend: str | None = None,
    pg_options: Any = None,
    use_local_synchronization: bool = False,
    group_desc: str | None = None,
    device_id: Any = None,
) -> ProcessGroup:
    """A group of some of the processes; all processes have to call it, with the same ranks.

    Parameters
    ----------
    ranks : sequence of int, optional
        Those of its members among all; default all.
    timeout, backend, pg_options, use_local_synchronization, group_desc, device_id
        Of torch's interface: the default group's hold.

    Returns
    -------
    ProcessGroup
        ``GroupMember.NON_GROUP_MEMBER`` in processes that are not in it.
    """
    world = group_of(None)
    members = sorted(range(world.size()) if ranks is None else [integer(rank, "rank") for rank in ranks])
    if not members or members[0] < 0 or members[-1] >= world.size():
        raise ValueError(f"the new group's rank should be within the world_size {world.size()}, got ranks {members}")
    if len(set(members)) != len(members):
        raise ValueError(f"the new group's ranks should not have duplicates, got {members}")
    inside = world.rank() in members
    comm = world.comm.Split(0 if inside else _mpi().UNDEFINED, world.rank())
    if not inside:
        return GroupMember.NON_GROUP_MEMBER
    return ProcessGroup(comm, members, world.backend if backend is None else Backend(backend))


def get_rank(group: ProcessGroup | None = None) -> int:
    """Which process of a group (default: of all) this one is, from 0; -1 if it is not in the group."""
    return group_of(group).rank()


def get_world_size(group: ProcessGroup | None = None) -> int:
    """How many processes a group has (default: all); -1 if this one is not in it."""
    return group_of(group).size()


def get_backend(group: ProcessGroup | None = None) -> Backend:
    """The name that the group's backend was given."""
    return group_of(group).backend


def get_process_group_ranks(group: ProcessGroup | None = None) -> list[int]:
    """The ranks that a group's members have among all processes."""
    return list(group_of(group).ranks)


def get_global_rank(group: ProcessGroup, group_rank: int) -> int:
    """The rank among all processes of a member of a group."""
    ranks = group_of(group).ranks
    if not 0 <= group_rank < len(ranks):
        raise ValueError(f"Group rank {group_rank} is not part of group {ranks}")
    return ranks[group_rank]


def get_group_rank(group: ProcessGroup, global_rank: int) -> int:
    """The rank in a group of one of all processes."""
    ranks = group_of(group).ranks
    if global_rank not in ranks:
        raise ValueError(f"Global rank {global_rank} is not part of group {ranks}")
    return ranks.index(global_rank)
