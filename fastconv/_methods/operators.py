"""Python's operators."""

from __future__ import annotations

from builtins import int as _int
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from .. import functions
from ..dtypes import (
    OPERANDS,
)

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["Operators"]


class Operators:
    """What Python writes by signs; other types than tensors, arrays and numbers are left to theirs."""

    __slots__ = ()

    __array_priority__ = 1000  # ndarray + Tensor calls Tensor.__radd__
    __hash__: Callable[[Tensor], _int] = object.__hash__

    def __add__(self, other: Any) -> Tensor:
        return functions.add(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __radd__(self, other: Any) -> Tensor:
        return functions.add(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __sub__(self, other: Any) -> Tensor:
        return functions.sub(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rsub__(self, other: Any) -> Tensor:
        return functions.sub(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __mul__(self, other: Any) -> Tensor:
        return functions.mul(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rmul__(self, other: Any) -> Tensor:
        return functions.mul(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __truediv__(self, other: Any) -> Tensor:
        return functions.div(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rtruediv__(self, other: Any) -> Tensor:
        return functions.div(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __pow__(self, other: Any) -> Tensor:
        return functions.pow(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rpow__(self, other: Any) -> Tensor:
        return functions.pow(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __matmul__(self, other: Any) -> Tensor:
        return functions.matmul(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rmatmul__(self, other: Any) -> Tensor:
        return functions.matmul(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __iadd__(self, other: Any) -> Tensor:
        return self._become(functions.add(self, other), other)

    def __isub__(self, other: Any) -> Tensor:
        return self._become(functions.sub(self, other), other)

    def __imul__(self, other: Any) -> Tensor:
        return self._become(functions.mul(self, other), other)

    def __itruediv__(self, other: Any) -> Tensor:
        return self._become(functions.div(self, other), other)

    def __ipow__(self, other: Any) -> Tensor:
        return self._become(functions.pow(self, other), other)

    def __floordiv__(self, other: Any) -> Tensor:
        return functions.floor_divide(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rfloordiv__(self, other: Any) -> Tensor:
        return functions.floor_divide(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __ifloordiv__(self, other: Any) -> Tensor:
        return self._become(functions.floor_divide(self, other), other)

    def __mod__(self, other: Any) -> Tensor:
        return functions.remainder(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rmod__(self, other: Any) -> Tensor:
        return functions.remainder(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __imod__(self, other: Any) -> Tensor:
        return self._become(functions.remainder(self, other), other)

    def __and__(self, other: Any) -> Tensor:
        return functions.bitwise_and(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rand__(self, other: Any) -> Tensor:
        return functions.bitwise_and(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __iand__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_and(self, other), other)

    def __or__(self, other: Any) -> Tensor:
        return functions.bitwise_or(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __ror__(self, other: Any) -> Tensor:
        return functions.bitwise_or(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __ior__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_or(self, other), other)

    def __xor__(self, other: Any) -> Tensor:
        return functions.bitwise_xor(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rxor__(self, other: Any) -> Tensor:
        return functions.bitwise_xor(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __ixor__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_xor(self, other), other)

    def __lshift__(self, other: Any) -> Tensor:
        return functions.bitwise_left_shift(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rlshift__(self, other: Any) -> Tensor:
        return functions.bitwise_left_shift(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __ilshift__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_left_shift(self, other), other)

    def __rshift__(self, other: Any) -> Tensor:
        return functions.bitwise_right_shift(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rrshift__(self, other: Any) -> Tensor:
        return functions.bitwise_right_shift(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __irshift__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_right_shift(self, other), other)

    def __eq__(self, other: Any) -> Tensor:  # type: ignore[override]
        return functions.eq(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __ne__(self, other: Any) -> Tensor:  # type: ignore[override]
        return functions.ne(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __lt__(self, other: Any) -> Tensor:
        return functions.lt(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __le__(self, other: Any) -> Tensor:
        return functions.le(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __gt__(self, other: Any) -> Tensor:
        return functions.gt(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __ge__(self, other: Any) -> Tensor:
        return functions.ge(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __invert__(self) -> Tensor:
        if self.dtype.kind == "f":
            raise TypeError("~ (operator.invert) is only implemented on integer and Boolean-type tensors")
        return functions.bitwise_not(self)

    def __neg__(self) -> Tensor:
        return functions.neg(self)

    def __pos__(self) -> Tensor:
        return functions.positive(self)

    def __abs__(self) -> Tensor:
        return functions.abs(self)
