"""DistributedDataParallel: the same network in every process, each with its share of the images."""

from __future__ import annotations

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from .._native.tape import Node, TensorBase, wrap
from .._tensor import Tensor
from ..autograd import is_grad_enabled, no_grad
from ..checks import number
from ..dtypes import bfloat16, convert, float16, float32
from ..nn import Module
from . import faults
from .collectives import all_gather_object, wait_for
from .groups import ProcessGroup, group_of
from .shards import in_shards, refuse_local_batch_norm
from .sync_batch_norm import SyncBatchNorm

__all__ = ["DistributedDataParallel"]

# Bytes of the first bucket, so that something is under way early, and of the last, which is ready when nothing is left
# to hide behind.
SMALL_BUCKET = 1 << 20


class Bucket:
    """Some parameters whose gradients travel together, one after the other in one array.

    Attributes
    ----------
    index : int
        Buckets are sent in this order in every process, whatever order they fill in.
    parameters : list of Tensor
    buffer : ndarray
        Their gradients over the number of processes, then the sums over all processes.
    missing : set of int
        Positions of parameters whose gradients are still to come.
    """

    def __init__(self, index: int, parameters: list[Tensor], dtype: np.dtype) -> None:
        self.index = index
        self.parameters = parameters
        sizes = [parameter.numel() for parameter in parameters]
        ends = np.cumsum(sizes)
        self.buffer = np.empty(int(ends[-1]), dtype)
        self.parts = [self.buffer[end - size : end] for end, size in zip(ends, sizes, strict=True)]
        self.missing: set[int] = set()
        self.comm: Any = None
        self.requests: Iterator[Any] | None = None
        self.request: Any = None

    def advance(self) -> bool:
        """Let MPI go on with what has begun; whether it is done."""
        while self.request is not None and self.request.Test():
            assert self.requests is not None
            self.request = next(self.requests, None)
        return self.request is None


@dataclass
class Joining:
    """What holds within :meth:`DistributedDataParallel.join`.

    Attributes
    ----------
    by_all : bool
        Whether gradients are over the number of all processes, rather than of those that still have batches.
    throw : bool
        Whether all are to raise once one has no more batches.
    active : list of int
        The processes that had a batch when it was asked last.
    """

    by_all: bool
    throw: bool
    active: list[int] = field(default_factory=list)


class DistributedDataParallel(Module):
    """A network of which every process has a copy, and learns from its own images; gradients are means over all.

    In training the gradients of `module` are added up over the processes while the backward pass is still computing
    others: as soon as all parameters of a bucket have theirs. When ``backward()`` returns, every process has the same
    gradients, bit for bit, so that equal steps keep the copies equal. At the beginning all take the parameters and
    buffers of rank 0, and at each forward pass in training its buffers.

    Parameters
    ----------
    module : Module
    device_ids, output_device, dim, check_reduction, gradient_as_bucket_view, static_graph
        Of torch's interface.
    broadcast_buffers : bool
        Whether buffers are those of rank 0 at each forward pass in training.
    process_group : ProcessGroup, optional
    bucket_cap_mb : float, optional
        Bytes of a bucket, in 2**20; default 25. The first and the last have 1.
    find_unused_parameters : bool
        Look after each forward pass which parameters do not take part, and do not wait for their gradients; where a
        parameter takes part in no process, its ``grad`` is left alone. Without, each has to take part.
    deterministic : bool or int
        Have gradients that are the same bit for bit on 1, 2, 4 or 8 processes (or any powers of two up to the number
        given here instead of True), of the same images in all, dealt out one by one as
        :class:`~fastconv.utils.data.DistributedSampler` does. It costs speed; batch norm has to be
        :class:`SyncBatchNorm`, and dropout, which draws by process, is not the same.
    wire_dtype : dtype, optional
        float16 or bfloat16, in which gradients then travel: half the bytes. They are rounded on leaving a process,
        added in float32, and the sum is rounded: errors of at most 2**-11 and 2**-8 of the largest term, each way.
        Gradients over 65504 become infinite in float16.

    Raises
    ------
    RuntimeError
        If no parameter requires a gradient, or the processes' parameters differ in names, shapes or dtypes.
    """

    def __init__(
        self,
        module: Module,
        device_ids: Any = None,
        output_device: Any = None,
        dim: int = 0,
        broadcast_buffers: bool = True,
        init_sync: bool = True,
        process_group: ProcessGroup | None = None,
        bucket_cap_mb: float | None = None,
        find_unused_parameters: bool = False,
        check_reduction: bool = False,
        gradient_as_bucket_view: bool = False,
        static_graph: bool = False,
        *,
        deterministic: bool | int = False,
        wire_dtype: Any = None,
    ) -> None:
        super().__init__()
        if not isinstance(module, Module):
            raise TypeError(f"expected a Module to train, got {module!r}")
        self.__dict__["process_group"] = group_of(process_group)
        self.module = module
        self.device_ids: list[int] | None = None
        self.output_device: Any = None
        self.dim = dim
        self.broadcast_buffers = broadcast_buffers
        self.find_unused_parameters = find_unused_parameters
        self.deterministic: int = 8 * deterministic if isinstance(deterministic, bool) else deterministic
        if self.deterministic:
            self._check_deterministic(wire_dtype)
        self.__dict__["_wire"] = _checked_wire(wire_dtype)
        self.static_graph = static_graph
        self.require_backward_grad_sync = True
        cap = number(25 if bucket_cap_mb is None else bucket_cap_mb, "bucket_cap_mb", 0) * (1 << 20)
        ignored = getattr(module, "_ddp_params_and_buffers_to_ignore", ())
        named = [
            (name, parameter)
            for name, parameter in module.named_parameters()
            if parameter.requires_grad and name not in ignored
        ]
        if not named:
            raise RuntimeError(
                "DistributedDataParallel is not needed when a module doesn't have any parameter that requires a "
                "gradient."
            )
        self._check_equal(named)
        if init_sync:
            self._send([p for n, p in module.named_parameters() if n not in ignored])
            self._send(self._buffers_to_send())
        self.__dict__["_buckets"] = _fill([parameter for _, parameter in named], cap)
        self.__dict__["_names"] = {id(parameter): name for name, parameter in named}
        self.__dict__["_places"] = {
            id(parameter): (bucket, position)
            for bucket in self._buckets
            for position, parameter in enumerate(bucket.parameters)
        }
        self.__dict__["_comm"] = self.process_group.comm.Dup()
        for bucket in self._buckets if self._wire is not None else ():
            bucket.comm = self.process_group.comm.Dup()  # two collectives each, in an order of its own
        self.__dict__["_next"] = 0  # the first bucket that has not been sent yet
        self.__dict__["_expecting"] = False  # whether gradients of the last forward pass are still to come
        self.__dict__["_begun"] = False  # whether one has come
        self.__dict__["_divisor"] = self.process_group.size()  # of sums of gradients
        self.__dict__["_joining"] = None  # a Joining, within join()
        for _, parameter in named:
            parameter.register_post_accumulate_grad_hook(self._arrived)

    def _check_equal(self, named: list[tuple[str, Tensor]]) -> None:
        """Raise a RuntimeError unless all processes have the same parameters."""
        told = [(name, tuple(p.shape), str(p.dtype)) for name, p in named]
        found: list[Any] = [None] * self.process_group.size()
        all_gather_object(found, told, self.process_group)
        for rank, other in enumerate(found):
            if other != found[0]:
                pairs = zip(other, found[0], strict=False)
                counts = f"{len(other)} parameters", f"{len(found[0])}"
                theirs, ours = next(((a, b) for a, b in pairs if a != b), counts)
                raise RuntimeError(
                    f"DDP expects same model across all ranks, but rank {rank} has {theirs} where rank 0 has {ours}"
                )

    def _buffers_to_send(self) -> list[Tensor]:
        ignored = getattr(self.module, "_ddp_params_and_buffers_to_ignore", ())
        return [buffer for name, buffer in self.module.named_buffers() if name not in ignored]

    def _send(self, tensors: list[Tensor], source: int = 0) -> None:
        """Give all processes the tensors of one; those of a dtype travel together."""
        if self.process_group.size() == 1:
            return
        by_dtype: dict[str, list[Tensor]] = {}
        for tensor in tensors:
            by_dtype.setdefault(str(tensor.dtype), []).append(tensor)
        for group in by_dtype.values():
            flat = np.concatenate([np.ascontiguousarray(tensor._array).reshape(-1) for tensor in group])
            request = self.process_group.comm.Ibcast(flat.view(np.uint8), source)
            wait_for(request, "broadcast of parameters and buffers", self.process_group)
            if self.process_group.rank() != source:
                start = 0
                for tensor in group:
                    part = flat[start : start + tensor.numel()]
                    start += tensor.numel()
                    with no_grad():
                        tensor.copy_(wrap(part.reshape(tensor.shape)))

    # ---- a step -----------------------------------------------------------------------------------------

    def forward(self, *inputs: Any, **kwargs: Any) -> Any:
        """What the module returns."""
        syncing = is_grad_enabled() and self.require_backward_grad_sync
        if syncing and self._expecting and self._begun:
            self._refuse_unfinished()
        sending = self.broadcast_buffers and self.training and self.require_backward_grad_sync
        source = 0
        if self._joining is not None:
            self._tell(True, sending, syncing)
            source = self._joining.active[-1]
        if sending:
            self._send(self._buffers_to_send(), source)
        if self.deterministic and is_grad_enabled():
            self._prepare(None)
            shards = self.deterministic // self.process_group.size()
            with in_shards(self.module, shards, self._summed):
                return self.module(*inputs, **kwargs)
        output = self.module(*inputs, **kwargs)
        if syncing:
            self._prepare(output)
        return output

    def _check_deterministic(self, wire_dtype: Any) -> None:
        shards, size = self.deterministic, self.process_group.size()
        if shards & (shards - 1) or shards % size:
            raise ValueError(
                f"deterministic={shards} has to be a power of two and a multiple of the {size} processes; True is 8"
            )
        if wire_dtype is not None or self.find_unused_parameters:
            raise ValueError("deterministic=True goes with neither wire_dtype nor find_unused_parameters")
        refuse_local_batch_norm(self.module)

    def _refuse_unfinished(self) -> None:
        missing = [self._names[id(b.parameters[i])] for b in self._buckets for i in sorted(b.missing)]
        raise RuntimeError(
            "Expected to have finished reduction in the prior iteration before starting a new one. This error "
            "indicates that your module has parameters that were not used in producing loss. Pass "
            "find_unused_parameters=True to DistributedDataParallel, and see that all outputs of forward take part in "
            "the loss. Parameters which did not receive grad on rank "
            f"{self.process_group.rank()}: {', '.join(missing)}"
        )

    def _prepare(self, output: Any, absent: bool = False) -> None:
        """Wait for the gradients of the backward pass to come, or take part with zeros if this process is absent."""
        for bucket in self._buckets:
            bucket.missing = set(range(len(bucket.parameters)))
        self.__dict__.update(_next=0, _expecting=True, _begun=False, _absent=absent, _used=None, _used_request=None)
        if not (self.find_unused_parameters or absent):
            return
        leaves = _leaves(output)
        if self.find_unused_parameters:
            from mpi4py import MPI

            used = [parameter in leaves for bucket in self._buckets for parameter in bucket.parameters]
            self.__dict__["_used"] = np.array(used, np.uint8)
            self.__dict__["_used_request"] = self._comm.Iallreduce(MPI.IN_PLACE, self._used, MPI.MAX)
        for bucket in self._buckets:
            for position, parameter in enumerate(bucket.parameters):
                if parameter not in leaves:
                    nothing = absent or parameter.grad is None
                    self._take(bucket, position, None if nothing else parameter.grad._array)
        self._go_on()

    def _arrived(self, parameter: Tensor) -> None:
        """A parameter has all of its gradient."""
        if not self.deterministic and self._expecting and self.require_backward_grad_sync:
            self._take(*self._place(parameter), parameter.grad._array)
            self._go_on()

    def _summed(self, parameter: Tensor, gradient: np.ndarray) -> None:
        """A parameter has all of its gradient of this process's shards."""
        self._take(*self._place(parameter), gradient)
        self._go_on()

    def _place(self, parameter: Tensor) -> tuple[Bucket, int]:
        bucket, position = self._places[id(parameter)]
        if position not in bucket.missing:
            raise RuntimeError(
                "Expected to mark a variable ready only once. The parameter "
                f"{self._names[id(parameter)]} got a gradient twice after one forward pass"
            )
        self.__dict__["_begun"] = True
        return bucket, position

    def _take(self, bucket: Bucket, position: int, gradient: np.ndarray | None) -> None:
        """Put the gradient of a parameter, or zeros, into its place."""
        if gradient is None:
            bucket.parts[position].fill(0)
        else:
            np.multiply(gradient.reshape(-1), 1 / self._divisor, out=bucket.parts[position])
        bucket.missing.remove(position)

    def _go_on(self) -> None:
        """Send the buckets that are complete, let go on what is under way, and end when all are."""
        while self._next < len(self._buckets) and not self._buckets[self._next].missing:
            bucket = self._buckets[self._next]
            bucket.requests = self._requests(bucket)
            bucket.request = next(bucket.requests, None)
            self.__dict__["_next"] += 1
        for bucket in self._buckets[: self._next]:
            bucket.advance()
        if self._next == len(self._buckets):
            self._finish()

    def _requests(self, bucket: Bucket) -> Iterator[Any]:
        """What MPI has to do for a bucket, one after the other."""
        from mpi4py import MPI

        comm, size = self._comm, self.process_group.size()
        if self.deterministic:
            other, apart = np.empty_like(bucket.buffer), size // 2
            while apart:
                partner = comm.rank ^ apart
                both = comm.Irecv(other, partner, bucket.index), comm.Isend(bucket.buffer, partner, bucket.index)
                yield from both
                bucket.buffer += other
                apart //= 2
        elif self._wire is None:
            yield comm.Iallreduce(MPI.IN_PLACE, bucket.buffer, MPI.SUM)
        else:
            # Each process adds up one part of all, and hands its sum out.
            length = -(-bucket.buffer.size // size)
            sent = np.zeros((size, length), np.float32)
            sent.reshape(-1)[: bucket.buffer.size] = bucket.buffer
            sent = convert(sent, self._wire)
            received = np.empty_like(sent)
            yield bucket.comm.Ialltoall(sent.view(np.uint8), received.view(np.uint8))
            total = convert(convert(received, float32).sum(0), self._wire)
            yield bucket.comm.Iallgather(total.view(np.uint8), received.view(np.uint8))
            bucket.buffer[:] = convert(received, float32).reshape(-1)[: bucket.buffer.size]

    def _finish(self) -> None:
        """Wait for the last buckets, and give the parameters their gradients."""
        self.__dict__["_expecting"] = False
        used = None
        if self._used_request is not None:
            wait_for(self._used_request, "the list of parameters in use", self.process_group)
            used = iter(self._used)
        for bucket in self._buckets:
            with faults.waiting("the sum of gradients", self.process_group):
                began = time.perf_counter()
                while not bucket.advance():
                    time.sleep(0 if time.perf_counter() - began < 1e-2 else 1e-4)
            if self._absent:
                continue
            for parameter, part in zip(bucket.parameters, bucket.parts, strict=True):
                if used is not None and not next(used):
                    continue
                total = part.reshape(parameter.shape)
                if parameter.grad is None:
                    parameter.grad = wrap(total.copy())
                elif self.deterministic:
                    parameter.grad._array += total
                else:
                    np.copyto(parameter.grad._array, total)

    @contextlib.contextmanager
    def no_sync(self) -> Iterator[None]:
        """While entered, gradients are added up in this process alone, to be sent with those of the next pass.

        With `deterministic` they are sent all the same: their order in the sums would hang on the processes.
        """
        before = self.require_backward_grad_sync
        self.require_backward_grad_sync = False
        try:
            yield
        finally:
            self.require_backward_grad_sync = before

    # ---- processes with different numbers of batches ----------------------------------------------------

    @contextlib.contextmanager
    def join(
        self,
        divide_by_initial_world_size: bool = True,
        enable: bool = True,
        throw_on_early_termination: bool = False,
    ) -> Iterator[None]:
        """While entered, processes may have different numbers of batches.

        A process that comes to the end takes part in the sums of the others, with zeros, until all have come to it.
        All have the parameters and buffers of the last one then. Each forward pass asks all processes whether they
        have a batch, which costs a small sum over them.

        Parameters
        ----------
        divide_by_initial_world_size : bool
            Whether gradients are means over all processes, rather than over those that still have batches.
        enable : bool
            False where each process has as many: nothing is asked.
        throw_on_early_termination : bool
            Rather than go on, have all processes raise a RuntimeError as soon as one has no more batches.

        Raises
        ------
        ValueError
            With ``deterministic``, whose sums are over equal numbers of images; and if there is SyncBatchNorm in the
            model, for whose statistics all processes have to be there, unless `throw_on_early_termination`.
        """
        if not enable or self.process_group.size() == 1:
            yield
            return
        if self.deterministic:
            raise ValueError(
                "join() goes without deterministic=True, whose sums are over as many images in each process"
            )
        if not throw_on_early_termination and any(isinstance(m, SyncBatchNorm) for m in self.module.modules()):
            raise ValueError(
                "SyncBatchNorm needs images of each process in every step: join(throw_on_early_termination=True) ends "
                "when the first has none left, or make shares even by DistributedSampler"
            )
        self.__dict__["_joining"] = Joining(divide_by_initial_world_size, throw_on_early_termination)
        try:
            yield
            self._shadow(self._joining)
        finally:
            self.__dict__.update(_joining=None, _divisor=self.process_group.size())

    def _tell(self, active: bool, sending: bool, syncing: bool) -> tuple[bool, bool]:
        """Tell all processes whether this one has a batch, and hear of the others: whether buffers and gradients are
        sent for what they compute now."""
        from mpi4py import MPI

        joining, size = self._joining, self.process_group.size()
        told = np.zeros(size + 2, np.int64)
        told[self.process_group.rank()] = active
        told[size:] = sending, syncing
        request = self._comm.Iallreduce(MPI.IN_PLACE, told, MPI.SUM)
        wait_for(request, "DistributedDataParallel.join", self.process_group)
        joining.active = np.flatnonzero(told[:size]).tolist()
        count = len(joining.active)
        if joining.throw and 0 < count < size:
            raise RuntimeError(
                "Detected at least one rank that exhausted inputs. Throwing across all ranks."
                if active
                else f"Rank {self.process_group.rank()} exhausted all inputs."
            )
        self.__dict__["_divisor"] = size if joining.by_all else max(count, 1)
        return bool(told[size]), bool(told[size + 1])

    def _shadow(self, joining: Joining) -> None:
        """Take part in the sums of those that still have batches; then take what the last of them has."""
        last = [self.process_group.size() - 1]
        while True:
            last = joining.active or last
            sending, syncing = self._tell(False, False, False)
            if not joining.active:
                break
            if sending:
                self._send(self._buffers_to_send(), joining.active[-1])
            if syncing:
                self._prepare(None, absent=True)
        ignored = getattr(self.module, "_ddp_params_and_buffers_to_ignore", ())
        self._send([p for n, p in self.module.named_parameters() if n not in ignored], last[-1])
        self._send(self._buffers_to_send(), last[-1])

    def register_comm_hook(self, state: object, hook: Callable[..., Any]) -> None:
        """Raise a NotImplementedError: gradients travel as the options of the constructor say."""
        raise NotImplementedError(
            f"gradients do not go through hooks here, such as {getattr(hook, '__name__', hook)}: for half the bytes, "
            "as by fp16_compress_hook, DistributedDataParallel(model, wire_dtype=fastconv.float16) "
            "or bfloat16; for other sums, no_sync(), and all_reduce() of each gradient after backward()"
        )


def _checked_wire(dtype: Any) -> Any:
    if dtype is not None and dtype not in (float16, bfloat16):
        raise ValueError(f"wire_dtype has to be float16, bfloat16 or None, got {dtype!r}")
    return dtype


def _fill(parameters: list[Tensor], cap: float) -> list[Bucket]:
    """Buckets of parameters in reverse order, which is nearly the order in which their gradients come."""
    groups: list[list[Tensor]] = [[]]
    small = min(cap, SMALL_BUCKET)
    ahead = np.cumsum([parameter._array.nbytes for parameter in parameters])  # up to and with each parameter
    for parameter, before in zip(reversed(parameters), reversed(ahead.tolist()), strict=True):
        group = groups[-1]
        size = sum(member._array.nbytes for member in group) + parameter._array.nbytes
        begins_last = before <= small < before + (group[-1]._array.nbytes if group else 0)
        full = size > (cap if len(groups) > 1 else small) or begins_last
        if group and (full or parameter.dtype != group[0].dtype):
            group = []
            groups.append(group)
        group.append(parameter)
    return [Bucket(index, group, group[0]._array.dtype) for index, group in enumerate(groups)]


def _leaves(output: Any) -> set[Any]:
    """The leaves from which the tensors in `output` were computed."""
    found: set[Any] = set()
    seen: set[Any] = set()
    stack = [output]
    while stack:
        item = stack.pop()
        if isinstance(item, TensorBase):
            if item._node is None:
                found.add(item)
            else:
                stack.append(item._node)
        elif isinstance(item, Node):
            if item not in seen:
                seen.add(item)
                stack.extend(item.parents)
        elif isinstance(item, dict):
            stack.extend(item.values())
        elif isinstance(item, list | tuple | set):
            stack.extend(item)
    return found
