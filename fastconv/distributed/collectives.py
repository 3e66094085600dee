"""What processes do together with tensors: sums over all of them, copies of one's to all, and the like."""

from __future__ import annotations

import enum
import time
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..autograd import no_grad
from ..creation import from_numpy
from ..nn.functions.arguments import values_of
from . import faults
from .groups import GroupMember, ProcessGroup, group_of

__all__ = [
    "ReduceOp",
    "Work",
    "all_gather",
    "all_gather_into_tensor",
    "all_gather_object",
    "all_reduce",
    "all_to_all_single",
    "barrier",
    "broadcast",
    "broadcast_object_list",
    "gather",
    "gather_object",
    "irecv",
    "isend",
    "monitored_barrier",
    "recv",
    "reduce",
    "reduce_scatter_tensor",
    "scatter",
    "send",
    "wait_for",
]


class ReduceOp(enum.Enum):
    """What processes' tensors are joined by. AVG is their sum over their number, of floats."""

    SUM = "SUM"
    AVG = "AVG"
    PRODUCT = "PROD"
    MIN = "MIN"
    MAX = "MAX"
    BAND = "BAND"
    BOR = "BOR"
    BXOR = "BXOR"


def wait_for(request: Any, what: str, group: ProcessGroup | None = None) -> None:
    """Wait until a request of MPI is done; meanwhile the process counts as waiting for a group in `what`.

    MPI makes progress only while it is asked, so it is asked all the time at first, then less and less often.
    """
    if request.Test():
        return
    with faults.waiting(what, group):
        began, pause = time.perf_counter(), 0.0
        while not request.Test():
            time.sleep(pause)
            if time.perf_counter() - began > 1e-3:
                pause = min(pause + 2e-5, 1e-3)


class Work:
    """A collective that has begun: :meth:`wait` ends it."""

    def __init__(
        self, request: Any, what: str, finish: Callable[[], None] | None = None, group: ProcessGroup | None = None
    ) -> None:
        self._request = request
        self._place = what, group
        self._finish = finish

    def is_completed(self) -> bool:
        """Whether it is done, without waiting."""
        if self._request is not None and self._request.Test():
            self._end()
        return self._request is None

    def is_success(self) -> bool:
        """Whether it is done."""
        return self.is_completed()

    def wait(self, timeout: Any = None) -> bool:
        """Wait until it is done; `timeout` is of torch's interface, the group's counts."""
        if self._request is not None:
            wait_for(self._request, *self._place)
            self._end()
        return True

    def _end(self) -> None:
        self._request = None
        if self._finish is not None:
            self._finish()


def _begin(
    group: ProcessGroup, request: Any, what: str, finish: Callable[[], None] | None, async_op: bool
) -> Work | None:
    work = Work(request, what, finish, group)
    if async_op:
        return work
    work.wait()
    return None


def _checked(tensor: Any, name: str) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type torch.Tensor\n"
            f"             but got {type(tensor)} instead."
        )
    return tensor


def _checked_list(tensors: Any, name: str) -> list[Tensor]:
    if not isinstance(tensors, list | tuple) or not all(isinstance(tensor, Tensor) for tensor in tensors):
        raise TypeError(
            f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n"
            f"             but got {type(tensors)} with elements of type {[type(t) for t in tensors][:3]}."
            if isinstance(tensors, list | tuple)
            else f"Invalid function argument. Expected parameter `{name}` of type List[torch.Tensor]\n"
            f"             but got {type(tensors)} instead."
        )
    return list(tensors)


def _values(tensor: Tensor) -> np.ndarray:
    """A tensor's numbers as a new dense array that MPI knows: floats of 16 bits as float32, bools as bytes."""
    array = np.array(values_of(tensor.detach()), order="C")
    if array.dtype == np.float16:
        return array.astype(np.float32)
    return array.view(np.uint8) if array.dtype == np.bool_ else array


def _put(tensor: Tensor, array: np.ndarray) -> None:
    """Write numbers that came into a tensor, which may be a view or of a narrower dtype."""
    with no_grad():
        tensor.copy_(from_numpy(array.reshape(tensor.shape)))


def _operation(op: Any, dtype: np.dtype) -> tuple[Any, bool]:
    """MPI's operation, and whether its result is to be divided by the number of processes."""
    from mpi4py import MPI

    if not isinstance(op, ReduceOp):
        raise TypeError(f"expected a ReduceOp, as ReduceOp.SUM, got {op!r}")
    if op is ReduceOp.AVG and dtype.kind != "f":
        raise ValueError(f"ReduceOp.AVG needs a tensor of floats, got one of {dtype}")
    if op.value[0] == "B" and dtype.kind == "f":
        raise ValueError(f"ReduceOp.{op.name} needs a tensor of integers, got one of {dtype}")
    return (MPI.SUM, True) if op is ReduceOp.AVG else (getattr(MPI, op.value), False)


def _root(rank: int | None, group_rank: int | None, group: ProcessGroup, name: str, default: int | None = None) -> int:
    """The rank within the group of a source or destination, which like its default is given among all processes."""
    if group_rank is not None:
        return group_rank
    rank = default if rank is None else rank
    if rank is None:
        raise ValueError(f"Must specify {name} or group_{name}")
    if rank not in group.ranks:
        raise ValueError(f"Global rank {rank} is not part of group {group.ranks}")
    return group.ranks.index(rank)


def all_reduce(
    tensor: Tensor, op: ReduceOp = ReduceOp.SUM, group: ProcessGroup | None = None, async_op: bool = False
) -> Work | None:
    """Join the tensors of all processes, element by element; each gets the result in `tensor`, bit for bit the same.

    Parameters
    ----------
    tensor : Tensor
        Of the same shape and dtype in all. Floats of 16 bits are added in float32.
    op : ReduceOp
    group : ProcessGroup, optional
        Default all processes. Whoever is not in it does nothing.
    async_op : bool
        Return before it is done.

    Returns
    -------
    Work or None
        With `async_op`.
    """
    group = group_of(group)
    values = _values(_checked(tensor, "tensor"))
    operation, mean = _operation(op, tensor.dtype)
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    from mpi4py import MPI

    def finish() -> None:
        if mean:
            np.divide(values, group.size(), out=values)
        _put(tensor, values)

    return _begin(group, group.comm.Iallreduce(MPI.IN_PLACE, values, operation), "all_reduce", finish, async_op)


def reduce(
    tensor: Tensor,
    dst: int | None = None,
    op: ReduceOp = ReduceOp.SUM,
    group: ProcessGroup | None = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Join the tensors of all processes; rank `dst` gets the result in `tensor`, see :func:`all_reduce`."""
    group = group_of(group)
    values = _values(_checked(tensor, "tensor"))
    operation, mean = _operation(op, tensor.dtype)
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    root = _root(dst, group_dst, group, "dst")
    result = np.empty_like(values)

    def finish() -> None:
        if group.rank() == root:
            _put(tensor, result / group.size() if mean else result)

    return _begin(group, group.comm.Ireduce(values, result, operation, root), "reduce", finish, async_op)


def broadcast(
    tensor: Tensor,
    src: int | None = None,
    group: ProcessGroup | None = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Give all processes the tensor of rank `src`, in `tensor`, which has its shape and dtype.

    Returns
    -------
    Work or None
        With `async_op`.
    """
    group = group_of(group)
    values = _values(_checked(tensor, "tensor"))
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    root = _root(src, group_src, group, "src")

    def finish() -> None:
        if group.rank() != root:
            _put(tensor, values)

    return _begin(group, group.comm.Ibcast(values, root), "broadcast", finish, async_op)


def _same_sizes(tensors: Sequence[Tensor], like: Tensor, group: ProcessGroup, name: str) -> None:
    if len(tensors) != group.size():
        raise ValueError(f"{name} has to have a tensor for each of the {group.size()} processes, got {len(tensors)}")
    for t in tensors:
        if t.numel() != like.numel() or t.dtype != like.dtype:
            raise ValueError(
                f"{name}: expected tensors of shape {list(like.shape)} and dtype {like.dtype}, got "
                f"{list(t.shape)} and {t.dtype}"
            )


def all_gather(
    tensor_list: list[Tensor], tensor: Tensor, group: ProcessGroup | None = None, async_op: bool = False
) -> Work | None:
    """Give all processes the tensors of all: `tensor` of rank i is written to ``tensor_list[i]``.

    All have the shape and dtype of `tensor`.
    """
    group = group_of(group)
    tensors, values = _checked_list(tensor_list, "tensor_list"), _values(_checked(tensor, "tensor"))
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    _same_sizes(tensors, tensor, group, "tensor_list")
    result = np.empty((group.size(), *values.shape), values.dtype)

    def finish() -> None:
        for t, array in zip(tensors, result, strict=True):
            _put(t, array)

    return _begin(group, group.comm.Iallgather(values, result), "all_gather", finish, async_op)


def all_gather_into_tensor(
    output_tensor: Tensor, input_tensor: Tensor, group: ProcessGroup | None = None, async_op: bool = False
) -> Work | None:
    """As :func:`all_gather`, into one tensor: concatenated along the first dimension, or stacked, as its shape says."""
    group = group_of(group)
    values = _values(_checked(input_tensor, "input_tensor"))
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    if _checked(output_tensor, "output_tensor").numel() != input_tensor.numel() * group.size():
        raise ValueError(
            f"output_tensor has to hold {group.size()} times the input of shape {list(input_tensor.shape)}, got shape "
            f"{list(output_tensor.shape)}"
        )
    result = np.empty((group.size(), *values.shape), values.dtype)
    request = group.comm.Iallgather(values, result)
    return _begin(group, request, "all_gather_into_tensor", lambda: _put(output_tensor, result), async_op)


def gather(
    tensor: Tensor,
    gather_list: list[Tensor] | None = None,
    dst: int | None = None,
    group: ProcessGroup | None = None,
    async_op: bool = False,
    group_dst: int | None = None,
) -> Work | None:
    """Give rank `dst` (default 0) the tensors of all processes, in `gather_list`, which the others leave out."""
    group = group_of(group)
    values = _values(_checked(tensor, "tensor"))
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    root = _root(dst, group_dst, group, "dst", 0)
    tensors: list[Tensor] = []
    if group.rank() == root:
        if not gather_list:
            raise ValueError("Argument ``gather_list`` must be specified on destination rank.")
        tensors = _checked_list(gather_list, "gather_list")
        _same_sizes(tensors, tensor, group, "gather_list")
    elif gather_list:
        raise ValueError("Argument ``gather_list`` must NOT be specified on non-destination ranks.")
    result = np.empty((group.size() if tensors else 0, *values.shape), values.dtype)

    def finish() -> None:
        for t, array in zip(tensors, result, strict=True):
            _put(t, array)

    return _begin(group, group.comm.Igather(values, result if tensors else None, root), "gather", finish, async_op)


def scatter(
    tensor: Tensor,
    scatter_list: list[Tensor] | None = None,
    src: int | None = None,
    group: ProcessGroup | None = None,
    async_op: bool = False,
    group_src: int | None = None,
) -> Work | None:
    """Give each process one of the tensors that rank `src` (default 0) has in `scatter_list`, in `tensor`."""
    group = group_of(group)
    values = _values(_checked(tensor, "tensor"))
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    root = _root(src, group_src, group, "src", 0)
    sent = None
    if group.rank() == root:
        if not scatter_list:
            raise ValueError("Argument ``scatter_list`` must be specified on source rank.")
        tensors = _checked_list(scatter_list, "scatter_list")
        _same_sizes(tensors, tensor, group, "scatter_list")
        sent = np.stack([_values(t) for t in tensors])
    elif scatter_list:
        raise ValueError("Argument ``scatter_list`` must NOT be specified on non-source ranks.")
    request = group.comm.Iscatter(sent, values, root)
    return _begin(group, request, "scatter", lambda: _put(tensor, values), async_op)


def reduce_scatter_tensor(
    output: Tensor,
    input: Tensor,
    op: ReduceOp = ReduceOp.SUM,
    group: ProcessGroup | None = None,
    async_op: bool = False,
) -> Work | None:
    """Join the tensors `input` of all processes; rank i gets the i-th of equal parts of the result, in `output`."""
    group = group_of(group)
    values = _values(_checked(input, "input"))
    operation, mean = _operation(op, input.dtype)
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    if _checked(output, "output").numel() * group.size() != input.numel():
        raise ValueError(
            f"input has to hold {group.size()} times the output of shape {list(output.shape)}, got shape "
            f"{list(input.shape)}"
        )
    result = np.empty(output.shape, values.dtype)

    def finish() -> None:
        _put(output, result / group.size() if mean else result)

    request = group.comm.Ireduce_scatter_block(values, result, operation)
    return _begin(group, request, "reduce_scatter_tensor", finish, async_op)


def all_to_all_single(
    output: Tensor, input: Tensor, group: ProcessGroup | None = None, async_op: bool = False
) -> Work | None:
    """Give the i-th of equal parts of `input` to rank i, whose part for this process comes to the same place."""
    group = group_of(group)
    values = _values(_checked(input, "input"))
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    if _checked(output, "output").numel() != input.numel() or input.numel() % group.size():
        raise ValueError(
            f"input and output have to be of one size, a multiple of {group.size()}, got shapes {list(input.shape)} "
            f"and {list(output.shape)}"
        )
    result = np.empty_like(values)
    request = group.comm.Ialltoall(values, result)
    return _begin(group, request, "all_to_all_single", lambda: _put(output, result), async_op)


def barrier(group: ProcessGroup | None = None, async_op: bool = False, device_ids: Any = None) -> Work | None:
    """Wait until all processes are here. `device_ids` are of torch's interface."""
    group = group_of(group)
    if group is GroupMember.NON_GROUP_MEMBER:
        return None
    return _begin(group, group.comm.Ibarrier(), "barrier", None, async_op)


def monitored_barrier(group: ProcessGroup | None = None, timeout: Any = None, wait_all_ranks: bool = False) -> None:
    """:func:`barrier`: processes are watched in every collective. The group's timeout holds."""
    barrier(group)


def _peer(rank: int | None, group_rank: int | None, group: ProcessGroup, name: str) -> int:
    peer = _root(rank, group_rank, group, name)
    if peer == group.rank():
        raise ValueError("Invalid source rank: source rank should not be the same as the rank of the current process.")
    return peer


def isend(
    tensor: Tensor,
    dst: int | None = None,
    group: ProcessGroup | None = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> Work:
    """Begin to send a tensor to rank `dst`, which calls :func:`recv`; ``wait()`` returns when it may be written to."""
    group = group_of(group)
    values = _values(_checked(tensor, "tensor"))
    request = group.comm.Isend(values, _peer(dst, group_dst, group, "dst"), tag)
    return Work(request, "send", None, GroupMember.NON_GROUP_MEMBER)


def irecv(
    tensor: Tensor,
    src: int | None = None,
    group: ProcessGroup | None = None,
    tag: int = 0,
    group_src: int | None = None,
) -> Work:
    """Begin to receive a tensor from rank `src`; it is there when ``wait()`` returns."""
    group = group_of(group)
    values = _values(_checked(tensor, "tensor"))
    request = group.comm.Irecv(values, _peer(src, group_src, group, "src"), tag)
    return Work(request, "recv", lambda: _put(tensor, values), GroupMember.NON_GROUP_MEMBER)


def send(
    tensor: Tensor,
    dst: int | None = None,
    group: ProcessGroup | None = None,
    tag: int = 0,
    group_dst: int | None = None,
) -> None:
    """Send a tensor to rank `dst`, which calls :func:`recv`."""
    isend(tensor, dst, group, tag, group_dst).wait()


def recv(
    tensor: Tensor,
    src: int | None = None,
    group: ProcessGroup | None = None,
    tag: int = 0,
    group_src: int | None = None,
) -> int:
    """Receive a tensor from rank `src`, or from whoever sends one if it is left out.

    Returns
    -------
    int
        The rank of the sender among all processes.
    """
    group = group_of(group)
    if src is not None or group_src is not None:
        irecv(tensor, src, group, tag, group_src).wait()
        return group.ranks[_root(src, group_src, group, "src")]
    from mpi4py import MPI

    values, status = _values(_checked(tensor, "tensor")), MPI.Status()
    request = group.comm.Irecv(values, MPI.ANY_SOURCE, tag)
    with faults.waiting("recv", GroupMember.NON_GROUP_MEMBER):
        while not request.Test(status):
            time.sleep(1e-4)
    _put(tensor, values)
    return group.ranks[status.Get_source()]


# ---- any objects, pickled -------------------------------------------------------------------------------


def _pickled(item: Any) -> np.ndarray:
    import pickle

    return np.frombuffer(pickle.dumps(item), np.uint8)


def _unpickled(array: np.ndarray) -> Any:
    import pickle

    return pickle.loads(array.tobytes())


def all_gather_object(object_list: list[Any], obj: Any, group: ProcessGroup | None = None) -> None:
    """Give all processes the objects of all, which are pickled: rank i's is written to ``object_list[i]``."""
    group = group_of(group)
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    if len(object_list) != group.size():
        raise ValueError(f"object_list has to have {group.size()} places, one a process, got {len(object_list)}")
    mine = _pickled(obj)
    sizes = np.empty(group.size(), np.int64)
    wait_for(group.comm.Iallgather(np.array([mine.size]), sizes), "all_gather_object", group)
    received = np.empty(sizes.sum(), np.uint8)
    wait_for(group.comm.Iallgatherv(mine, [received, sizes]), "all_gather_object", group)
    object_list[:] = [_unpickled(part) for part in np.split(received, np.cumsum(sizes)[:-1])]


def gather_object(
    obj: Any,
    object_gather_list: list[Any] | None = None,
    dst: int | None = None,
    group: ProcessGroup | None = None,
    group_dst: int | None = None,
) -> None:
    """Give rank `dst` (default 0) the objects of all processes, in `object_gather_list`, which the others leave out."""
    group = group_of(group)
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    root = _root(dst, group_dst, group, "dst", 0)
    if group.rank() == root and not object_gather_list:
        raise ValueError("Argument ``object_gather_list`` must be specified on destination rank.")
    found = [None] * group.size()
    all_gather_object(found, obj, group)
    if group.rank() == root and object_gather_list is not None:
        object_gather_list[:] = found


def broadcast_object_list(
    object_list: list[Any],
    src: int | None = None,
    group: ProcessGroup | None = None,
    device: Any = None,
    group_src: int | None = None,
) -> None:
    """Give all processes the objects of rank `src` (default 0), in `object_list`. `device` is of torch's interface."""
    group = group_of(group)
    if group is GroupMember.NON_GROUP_MEMBER:
        return
    root = _root(src, group_src, group, "src", 0)
    sent = _pickled(list(object_list)) if group.rank() == root else np.empty(0, np.uint8)
    size = np.array([sent.size])
    wait_for(group.comm.Ibcast(size, root), "broadcast_object_list", group)
    received = sent.copy() if group.rank() == root else np.empty(size[0], np.uint8)
    wait_for(group.comm.Ibcast(received, root), "broadcast_object_list", group)
    if group.rank() != root:
        object_list[:] = _unpickled(received)
