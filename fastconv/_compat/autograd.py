"""``torch.autograd.Variable``, which is a tensor since torch 0.4."""

from __future__ import annotations

import warnings

from .._tensor import Tensor

__all__ = ["Variable"]


class _Variable(type):
    """Every tensor is a Variable."""

    def __call__(cls, data: Tensor, requires_grad: bool = False, volatile: bool | None = None) -> Tensor:
        if not isinstance(data, Tensor):
            raise TypeError(f"Variable data has to be a tensor, but got {type(data).__name__}")
        if volatile is not None:
            warnings.warn(
                "volatile was removed and now has no effect. Use `with torch.no_grad():` instead.", stacklevel=2
            )
        return data if data.requires_grad == requires_grad else data.detach().requires_grad_(requires_grad)

    def __instancecheck__(cls, instance: object) -> bool:
        return isinstance(instance, Tensor)


class Variable(metaclass=_Variable):
    """``Variable(data, requires_grad=False)``: the tensor `data`, apart from its history."""
