"""A forward pass cut into shards, so that gradients are sums of the same numbers in the same order on any processes.

Each module that has parameters of its own computes the shards of its input one after the other, with aliases of its
parameters for each, so that the gradient of each shard comes by itself; what is between such modules, and computes each
image by itself, takes the whole batch. :mod:`~fastconv.distributed.sums` says which images a shard has and how sums go.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

from .._tensor import Tensor
from ..autograd import Function
from ..autograd.function import once_differentiable
from ..creation import from_numpy
from ..nn import Module
from . import sums
from .sync_batch_norm import SyncBatchNorm

__all__ = ["in_shards", "refuse_local_batch_norm"]


def refuse_local_batch_norm(module: Module) -> None:
    """Raise a ValueError if a batch norm's statistics would be those of one process's images."""
    from ..nn.normalisation import _BatchNorm

    found = [n for n, m in module.named_modules() if isinstance(m, _BatchNorm) and not isinstance(m, SyncBatchNorm)]
    if found:
        raise ValueError(
            "deterministic=True needs SyncBatchNorm for batch norm, whose statistics hang on the processes otherwise: "
            f"SyncBatchNorm.convert_sync_batchnorm(model). Batch norms of this model: {', '.join(found[:5])}"
            + (" ..." if len(found) > 5 else "")
        )


class _Cut(Function):
    """The shards of x (N, ...), each dense."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        x, count = args
        return tuple(from_numpy(part) for part in sums.parts_of(x._array, count))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        return _joined(grads), None


class _Join(Function):
    """The tensor whose shards these are."""

    @staticmethod
    def forward(ctx: Any, *args: Any) -> Any:
        return _joined(args)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *grads: Any) -> Any:
        count = len(ctx.needs_input_grad)
        return tuple(from_numpy(part) for part in sums.parts_of(grads[0]._array, count))


def _joined(parts: Any) -> Tensor:
    arrays = [part._array for part in parts]
    whole = np.empty((sum(map(len, arrays)), *arrays[0].shape[1:]), arrays[0].dtype)
    for i, array in enumerate(arrays):
        whole[i :: len(arrays)] = array
    return from_numpy(whole)


class _Collector:
    """The gradients of one parameter, shard by shard; when all are there, their sum is handed on."""

    def __init__(self, parameter: Tensor, count: int, done: Callable[[Tensor, np.ndarray], None]) -> None:
        self.parameter, self.done = parameter, done
        self.aliases = [parameter.detach().requires_grad_() for _ in range(count)]
        self.missing = count
        for alias in self.aliases:
            alias.register_post_accumulate_grad_hook(self._came)

    def _came(self, alias: Tensor) -> None:
        self.missing -= 1
        if self.missing == 0:
            total = sums.tree([alias.grad._array for alias in self.aliases])
            for alias in self.aliases:
                alias.grad = None
            self.done(self.parameter, total)


@contextlib.contextmanager
def in_shards(module: Module, count: int, done: Callable[[Tensor, np.ndarray], None]) -> Iterator[None]:
    """While entered, modules with parameters compute shard by shard; `done` gets each parameter's summed gradient."""
    collectors: dict[tuple[int, int], _Collector] = {}

    def alias(parameter: Tensor, shard: int, of: int) -> Tensor:
        if not parameter.requires_grad:
            return parameter
        key = id(parameter), of
        if key not in collectors:
            if (id(parameter), count + 1 - of) in collectors and count > 1:
                raise RuntimeError("SyncBatchNorm shares a parameter: deterministic=True cannot cut that")
            collectors[key] = _Collector(parameter, of, done)
        return collectors[key].aliases[shard]

    @contextlib.contextmanager
    def aliased(owner: Module, shard: int, of: int) -> Iterator[None]:
        own = [(m, dict(m._parameters)) for m in (owner.modules() if of == count else [owner])]
        for m, parameters in own:
            for name, parameter in parameters.items():
                if parameter is not None:
                    m._parameters[name] = alias(parameter, shard, of)
        try:
            yield
        finally:
            for m, parameters in own:
                m._parameters.update(parameters)

    def cut(owner: Module, forward: Callable[..., Any]) -> Callable[..., Any]:
        def forward_in_shards(*args: Any, **kwargs: Any) -> Any:
            if sums.inside_a_shard():
                return forward(*args, **kwargs)
            if isinstance(owner, SyncBatchNorm):
                with aliased(owner, 0, 1):
                    return forward(*args, **kwargs)
            return _by_shards(owner, forward, count, aliased, args, kwargs)

        return forward_in_shards

    owners = [m for m in module.modules() if any(p is not None for p in m._parameters.values())]
    try:
        for owner in owners:
            owner.__dict__["forward"] = cut(owner, owner.forward)
        with sums.sharded(count):
            yield
    finally:
        for owner in owners:
            owner.__dict__.pop("forward", None)


def _by_shards(owner: Module, forward: Callable[..., Any], count: int, aliased: Any, args: Any, kwargs: Any) -> Any:
    given = [x for x in (*args, *kwargs.values()) if isinstance(x, Tensor) and x.ndim]
    if not given or given[0].shape[0] < count:
        raise RuntimeError(
            f"deterministic=True cuts what {type(owner).__name__} is given into {count} shards of images, got "
            f"{[list(x.shape) for x in given] or 'no tensor'}"
        )
    length = given[0].shape[0]

    def shards(x: Any) -> Any:
        if isinstance(x, Tensor) and x.ndim and x.shape[0] == length:
            return _Cut.apply(x, count) if count > 1 else (x.contiguous(),)
        return (x,) * count

    cut_args, cut_kwargs = [shards(x) for x in args], {name: shards(x) for name, x in kwargs.items()}
    results = []
    with sums.one_shard():
        for i in range(count):
            with aliased(owner, i, count):
                results.append(forward(*(x[i] for x in cut_args), **{name: x[i] for name, x in cut_kwargs.items()}))
    if isinstance(results[0], Tensor):
        return _Join.apply(*results) if count > 1 else results[0]
    if isinstance(results[0], tuple):
        return tuple(_Join.apply(*parts) for parts in zip(*results, strict=True))
    raise RuntimeError(f"deterministic=True needs tensors from {type(owner).__name__}, got {type(results[0]).__name__}")
