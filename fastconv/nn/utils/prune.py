"""Pruning, by torch.nn.utils.prune's names: a parameter is what it was times a mask.

Under `name`_orig the module keeps the parameter, under `name`_mask the mask, a buffer.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import numpy as np

from ..._tensor import Tensor
from ...creation import from_numpy, rand, rand_like
from ..module import Module
from ..parameter import Parameter
from .computed import compute, is_computed, restore, take

__all__ = [
    "BasePruningMethod",
    "CustomFromMask",
    "Identity",
    "L1Unstructured",
    "LnStructured",
    "RandomStructured",
    "RandomUnstructured",
    "custom_from_mask",
    "global_unstructured",
    "identity",
    "is_pruned",
    "l1_unstructured",
    "ln_structured",
    "random_structured",
    "random_unstructured",
    "remove",
]


class BasePruningMethod:
    """What decides which elements stay; subclasses define :meth:`compute_mask`.

    Attributes
    ----------
    PRUNING_TYPE : {"unstructured", "structured", "global"}
        Whether it sees the elements that are left, as a row, or the whole tensor.
    """

    PRUNING_TYPE = "unstructured"

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        """The mask for tensor `t`, of 0 and 1, given the one so far."""
        raise NotImplementedError(f"{type(self).__name__} does not define compute_mask()")

    @classmethod
    def apply(
        cls, module: Module, name: str, *args: Any, importance_scores: Tensor | None = None, **kwargs: Any
    ) -> Any:
        """Prune a parameter of a module, which may have been pruned before; returns the method."""
        method = cls(*args, **kwargs)
        method._tensor_name = name
        if not is_pruned_by_name(module, name):
            original = take(module, name)
            module.register_parameter(f"{name}_orig", original)
            module.register_buffer(f"{name}_mask", from_numpy(np.ones(original.shape, original.dtype)))
            compute(module, name, lambda m: m._parameters[f"{name}_orig"] * m._buffers[f"{name}_mask"])
        before = module._buffers[f"{name}_mask"]
        scores = getattr(module, name) if importance_scores is None else importance_scores
        if scores.shape != before.shape:
            raise AssertionError(
                f"importance_scores should have the same shape as parameter {name} of {module}, {list(before.shape)}, "
                f"got {list(scores.shape)}"
            )
        module._buffers[f"{name}_mask"] = method._masked(scores.detach(), before)
        return method

    def _masked(self, scores: Tensor, before: Tensor) -> Tensor:
        # What has gone already has no say: elements, or slices of which nothing is left.
        mask = before.numpy().copy()
        left: Any = ...
        if self.PRUNING_TYPE == "unstructured":
            left = mask == 1
        elif self.PRUNING_TYPE == "structured":
            slices = np.moveaxis(mask, self.dim, 0).reshape(mask.shape[self.dim], -1)
            left = (*(slice(None),) * (self.dim % mask.ndim), slices.any(axis=1))
        mask[left] = self.compute_mask(from_numpy(scores.numpy()[left]), from_numpy(mask[left])).numpy()
        return from_numpy(mask)

    def prune(self, t: Tensor, default_mask: Tensor | None = None, importance_scores: Tensor | None = None) -> Tensor:
        """A pruned version of a tensor that belongs to no module."""
        before = from_numpy(np.ones(t.shape, t.dtype)) if default_mask is None else default_mask
        return t * self._masked((t if importance_scores is None else importance_scores).detach(), before)

    def remove(self, module: Module) -> None:
        """Make the pruning permanent."""
        remove(module, self._tensor_name)


def is_pruned_by_name(module: Module, name: str) -> bool:
    """Whether that parameter of the module is pruned."""
    return is_computed(module, name) and f"{name}_mask" in module._buffers


class Identity(BasePruningMethod):
    """Leaves everything."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask


def _count(amount: float, size: int) -> int:
    """How many of `size` an amount is: a share of them, or a number."""
    if isinstance(amount, bool) or not isinstance(amount, (int, float)):
        raise TypeError(f"Invalid type for amount: {amount!r}. Must be int or float.")
    if amount < 0 or (isinstance(amount, float) and amount > 1):
        raise ValueError(f"amount={amount} should either be a float in the range [0, 1] or a non-negative integer")
    count = round(amount * size) if isinstance(amount, float) else amount
    if count > size:
        raise ValueError(f"amount={amount} should be smaller than the number of parameters to prune={size}")
    return count


class _Amount(BasePruningMethod):
    def __init__(self, amount: float) -> None:
        _count(amount, 2**60)
        self.amount: float = amount


class RandomUnstructured(_Amount):
    """Drops elements drawn at random."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        mask = default_mask.numpy().copy()
        count = _count(self.amount, mask.size)
        if count:  # torch draws nothing otherwise
            mask.ravel()[rand_like(t).flatten().argsort(descending=True).numpy()[:count]] = 0
        return from_numpy(mask)


class L1Unstructured(_Amount):
    """Drops the elements of the least magnitude."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        mask, sizes = default_mask.numpy().copy(), np.abs(t.numpy()).ravel()
        mask.reshape(-1)[np.argsort(sizes, kind="stable")[: _count(self.amount, sizes.size)]] = 0
        return from_numpy(mask)


class _Structured(_Amount):
    PRUNING_TYPE = "structured"

    def __init__(self, amount: float, dim: int = -1) -> None:
        super().__init__(amount)
        self.dim: int = dim

    def _drop(self, t: Tensor, order: np.ndarray, before: Tensor) -> Tensor:
        mask = before.numpy().copy()
        np.moveaxis(mask, self.dim, 0)[order[: _count(self.amount, t.shape[self.dim])]] = 0
        return from_numpy(mask)


class RandomStructured(_Structured):
    """Drops whole slices along a dimension, drawn at random."""

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        size = t.shape[self.dim]
        order = rand(size).argsort().numpy() if _count(self.amount, size) else np.arange(size)
        return self._drop(t, order, default_mask)


class LnStructured(_Structured):
    """Drops the whole slices along a dimension whose n-norm is least."""

    def __init__(self, amount: float, n: float, dim: int = -1) -> None:
        super().__init__(amount, dim)
        self.n: Any = n

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        rows = np.moveaxis(t.numpy(), self.dim, 0).reshape(t.shape[self.dim], -1).astype(np.float64)
        return self._drop(t, np.argsort(np.linalg.norm(rows, self.n, axis=1), kind="stable"), default_mask)


class CustomFromMask(BasePruningMethod):
    """Drops what a given mask says."""

    PRUNING_TYPE = "global"

    def __init__(self, mask: Tensor) -> None:
        self.mask: Tensor = mask

    def compute_mask(self, t: Tensor, default_mask: Tensor) -> Tensor:
        return default_mask * self.mask.to(default_mask.dtype)


def identity(module: Module, name: str) -> Module:
    """Set a parameter up for pruning; nothing is dropped."""
    Identity.apply(module, name)
    return module


def random_unstructured(module: Module, name: str, amount: float) -> Module:
    """Drop elements of a parameter at random; `amount` is a share (float) or a number (int)."""
    RandomUnstructured.apply(module, name, amount)
    return module


def l1_unstructured(module: Module, name: str, amount: float, importance_scores: Tensor | None = None) -> Module:
    """Drop the elements of a parameter that are least in magnitude."""
    L1Unstructured.apply(module, name, amount, importance_scores=importance_scores)
    return module


def random_structured(module: Module, name: str, amount: float, dim: int) -> Module:
    """Drop whole slices of a parameter along `dim` at random."""
    RandomStructured.apply(module, name, amount, dim)
    return module


def ln_structured(
    module: Module, name: str, amount: float, n: float, dim: int, importance_scores: Tensor | None = None
) -> Module:
    """Drop the whole slices of a parameter along `dim` whose n-norm is least."""
    LnStructured.apply(module, name, amount, n, dim, importance_scores=importance_scores)
    return module


def custom_from_mask(module: Module, name: str, mask: Tensor) -> Module:
    """Drop the elements of a parameter where `mask` is 0."""
    CustomFromMask.apply(module, name, mask)
    return module


def global_unstructured(
    parameters: Iterable[tuple[Module, str]],
    pruning_method: type,
    importance_scores: dict[Any, Any] | None = None,
    **kwargs,
) -> None:
    """Prune several parameters together, as if they were one: pairs of modules and names."""
    pairs = list(parameters)
    scores = [(importance_scores or {}).get(pair, getattr(*pair)).detach() for pair in pairs]
    masks = [m._buffers[f"{n}_mask"] if is_pruned_by_name(m, n) else None for m, n in pairs]
    row = np.concatenate([s.numpy().ravel() for s in scores])
    before = np.concatenate(
        [np.ones(s.numel(), s.dtype) if m is None else m.numpy().ravel() for s, m in zip(scores, masks, strict=True)]
    )
    mask = pruning_method(**kwargs)._masked(from_numpy(row), from_numpy(before)).numpy()
    start = 0
    for (module, name), score in zip(pairs, scores, strict=True):
        custom_from_mask(module, name, from_numpy(mask[start : start + score.numel()].reshape(score.shape)))
        start += score.numel()


def remove(module: Module, name: str) -> Module:
    """Make the pruning of a parameter permanent."""
    if not is_pruned_by_name(module, name):
        raise ValueError(f"Parameter '{name}' of module {module} has to be pruned before pruning can be removed")
    original = module._parameters.pop(f"{name}_orig")
    original.data = (original.detach() * module._buffers.pop(f"{name}_mask")).detach()
    restore(module, name, Parameter(original) if not isinstance(original, Parameter) else original)
    return module


def is_pruned(module: Module) -> bool:
    """Whether a parameter of the module, or of those below, is pruned."""
    return any(
        name.endswith("_mask") and is_pruned_by_name(m, name[:-5]) for m in module.modules() for name in m._buffers
    )
