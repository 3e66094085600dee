"""Parameter: a tensor that a Module learns."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from .._tensor import Tensor
from ..creation import empty
from ..dtypes import as_dtype, check_device, float32

__all__ = ["Parameter", "Uninitialized", "UninitializedBuffer", "UninitializedParameter", "parameter_dtype"]


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


def parameter_dtype(device: str | None, dtype: DTypeLike | None) -> np.dtype:
    """The dtype of new parameters, float32 by default; a device other than the CPU is refused as everywhere."""
    check_device(device)
    return float32 if dtype is None else as_dtype(dtype)


class Uninitialized:
    """A tensor whose size is not known yet; :meth:`materialize` gives it one."""

    known: type

    @property
    def shape(self) -> tuple[int, ...]:
        raise RuntimeError(
            "Can't access the shape of an uninitialized parameter or buffer. This error usually happens in "
            "`load_state_dict` when trying to load an uninitialized parameter into an initialized one. Call `forward` "
            "to initialize the parameters before accessing their attributes."
        )

    def detach(self) -> Tensor:
        """Itself: there is nothing to share."""
        return self

    def materialize(self, shape: tuple[int, ...]) -> None:
        """Become an ordinary one of this shape, with whatever is in the memory."""
        self._array = empty(*shape, dtype=self.dtype)._array
        self.__class__ = self.known

    def __repr__(self) -> str:
        return f"<{type(self).__name__}>"


class UninitializedParameter(Uninitialized, Parameter):
    """A :class:`Parameter` whose size is not known yet."""

    known = Parameter

    def __init__(self, requires_grad: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(empty(0, dtype=parameter_dtype(device, dtype)), requires_grad)


class _Buffer(Tensor):
    """A tensor that can be given another class."""


class UninitializedBuffer(Uninitialized, _Buffer):
    """A buffer whose size is not known yet."""

    known = _Buffer

    def __init__(self, device: Any = None, dtype: Any = None) -> None:
        self._array = empty(0, dtype=parameter_dtype(device, dtype))._array
