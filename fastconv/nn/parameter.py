"""Parameter: a tensor that a Module learns."""

from __future__ import annotations

from .._tensor import Tensor
from ..creation import empty

__all__ = ["Parameter"]


class Parameter(Tensor):
    """A tensor that a :class:`Module` registers as its own when it is assigned as an attribute.

    Parameters
    ----------
    data : Tensor
        Its memory is shared, not copied.
    requires_grad : bool
    """

    def __init__(self, data: Tensor | None = None, requires_grad: bool = True) -> None:
        if data is None:
            data = empty(0)
        if not isinstance(data, Tensor):
            raise TypeError(f"expected a Tensor as a Parameter's data, got {type(data).__name__}")
        self._array = data._array
        if requires_grad:
            self.requires_grad_()

    def __repr__(self) -> str:
        return f"Parameter containing:\n{super().__repr__()}"
