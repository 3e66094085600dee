"""Arithmetic, comparisons, logic and matrix products."""

from __future__ import annotations

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from typing import TYPE_CHECKING

from .. import functions
from ..functions.operands import numpy_names

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["Arithmetic"]


class Arithmetic:
    """What functions of two operands or more there are, and in place by the same."""

    __slots__ = ()

    def add(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.add`."""
        return functions.add(self, other, alpha=alpha)

    def add_(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """``self += alpha * other``, in place."""
        return self._become(functions.add(self, other, alpha=alpha), other)

    def sub(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.sub`."""
        return functions.sub(self, other, alpha=alpha)

    def sub_(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """``self -= alpha * other``, in place."""
        return self._become(functions.sub(self, other, alpha=alpha), other)

    def subtract(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """:func:`fastconv.sub` by another name."""
        return functions.sub(self, other, alpha=alpha)

    def subtract_(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """``sub_``."""
        return self._become(functions.sub(self, other, alpha=alpha), other)

    def mul(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.mul`."""
        return functions.mul(self, other)

    def mul_(self, other: Tensor | _float) -> Tensor:
        """``self *= other``, in place."""
        return self._become(functions.mul(self, other), other)

    def multiply(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.mul` by another name."""
        return functions.mul(self, other)

    def multiply_(self, other: Tensor | _float) -> Tensor:
        """``mul_``."""
        return self._become(functions.mul(self, other), other)

    def div(self, other: Tensor | _float, *, rounding_mode: str | None = None) -> Tensor:
        """See :func:`fastconv.div`."""
        return functions.div(self, other, rounding_mode=rounding_mode)

    def div_(self, other: Tensor | _float, *, rounding_mode: str | None = None) -> Tensor:
        """``self /= other``, in place."""
        return self._become(functions.div(self, other, rounding_mode=rounding_mode), other)

    def divide(self, other: Tensor | _float, *, rounding_mode: str | None = None) -> Tensor:
        """:func:`fastconv.div` by another name."""
        return functions.div(self, other, rounding_mode=rounding_mode)

    def divide_(self, other: Tensor | _float, *, rounding_mode: str | None = None) -> Tensor:
        """``div_``."""
        return self._become(functions.div(self, other, rounding_mode=rounding_mode), other)

    def true_divide(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.div` by another name."""
        return functions.div(self, other)

    def floor_divide(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.floor_divide`."""
        return functions.floor_divide(self, other)

    def floor_divide_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.floor_divide`, in place."""
        return self._become(functions.floor_divide(self, other), other)

    def remainder(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.remainder`."""
        return functions.remainder(self, other)

    def remainder_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.remainder`, in place."""
        return self._become(functions.remainder(self, other), other)

    def fmod(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.fmod`."""
        return functions.fmod(self, other)

    def fmod_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.fmod`, in place."""
        return self._become(functions.fmod(self, other), other)

    def pow(self, exponent: Tensor | _float) -> Tensor:
        """See :func:`fastconv.pow`."""
        return functions.pow(self, exponent)

    def pow_(self, exponent: Tensor | _float) -> Tensor:
        """:func:`fastconv.pow`, in place."""
        return self._become(functions.pow(self, exponent), exponent)

    def lerp(self, end: Tensor, weight: Tensor | _float) -> Tensor:
        """See :func:`fastconv.lerp`."""
        return functions.lerp(self, end, weight)

    def lerp_(self, end: Tensor, weight: Tensor | _float) -> Tensor:
        """``self += weight * (end - self)``, in place."""
        return self._become(functions.lerp(self, end, weight), end, weight)

    def addcmul(self, tensor1: Tensor, tensor2: Tensor, *, value: _float = 1) -> Tensor:
        """See :func:`fastconv.addcmul`."""
        return functions.addcmul(self, tensor1, tensor2, value=value)

    def addcmul_(self, tensor1: Tensor, tensor2: Tensor, *, value: _float = 1) -> Tensor:
        """:func:`fastconv.addcmul`, in place."""
        return self._become(functions.addcmul(self, tensor1, tensor2, value=value), tensor1, tensor2)

    def addcdiv(self, tensor1: Tensor, tensor2: Tensor, *, value: _float = 1) -> Tensor:
        """See :func:`fastconv.addcdiv`."""
        return functions.addcdiv(self, tensor1, tensor2, value=value)

    def addcdiv_(self, tensor1: Tensor, tensor2: Tensor, *, value: _float = 1) -> Tensor:
        """:func:`fastconv.addcdiv`, in place."""
        return self._become(functions.addcdiv(self, tensor1, tensor2, value=value), tensor1, tensor2)

    def atan2(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.atan2`."""
        return functions.atan2(self, other)

    def atan2_(self, other: Tensor) -> Tensor:
        """:func:`fastconv.atan2`, in place."""
        return self._become(functions.atan2(self, other), other)

    def hypot(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.hypot`."""
        return functions.hypot(self, other)

    def logaddexp(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.logaddexp`."""
        return functions.logaddexp(self, other)

    def xlogy(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.xlogy`."""
        return functions.xlogy(self, other)

    def xlogy_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.xlogy`, in place."""
        return self._become(functions.xlogy(self.clone(), other), other)

    def maximum(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.maximum`."""
        return functions.maximum(self, other)

    def minimum(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.minimum`."""
        return functions.minimum(self, other)

    def fmax(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.fmax`."""
        return functions.fmax(self, other)

    def fmin(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.fmin`."""
        return functions.fmin(self, other)

    def clamp(self, min: _float | None = None, max: _float | None = None) -> Tensor:
        """See :func:`fastconv.clamp`."""
        return functions.clamp(self, min, max)

    def clamp_(self, min: _float | None = None, max: _float | None = None) -> Tensor:
        """:func:`clamp`, in place."""
        return self._become(functions.clamp(self, min, max), min, max)

    def clip(self, min: Tensor | _float | None = None, max: Tensor | _float | None = None) -> Tensor:
        """:func:`fastconv.clamp` by another name."""
        return functions.clamp(self, min, max)

    def clip_(self, min: Tensor | _float | None = None, max: Tensor | _float | None = None) -> Tensor:
        """``clamp_``."""
        return self._become(functions.clamp(self, min, max), min, max)

    def clamp_max(self, max: Tensor | _float) -> Tensor:
        """See :func:`fastconv.clamp_max`."""
        return functions.clamp_max(self, max)

    def clamp_max_(self, max: Tensor | _float) -> Tensor:
        """:func:`fastconv.clamp_max`, in place."""
        return self._become(functions.clamp_max(self, max), max)

    def clamp_min(self, min: Tensor | _float) -> Tensor:
        """See :func:`fastconv.clamp_min`."""
        return functions.clamp_min(self, min)

    def clamp_min_(self, min: Tensor | _float) -> Tensor:
        """:func:`fastconv.clamp_min`, in place."""
        return self._become(functions.clamp_min(self, min), min)

    def eq(self, other: Tensor | _float) -> Tensor:
        """``self == other``, element-wise."""
        return functions.eq(self, other)

    def eq_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.eq`, in place."""
        return self._become(functions.eq(self, other), other)

    def ne(self, other: Tensor | _float) -> Tensor:
        """``self != other``, element-wise."""
        return functions.ne(self, other)

    def ne_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.ne`, in place."""
        return self._become(functions.ne(self, other), other)

    def not_equal(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.ne` by another name."""
        return functions.ne(self, other)

    def lt(self, other: Tensor | _float) -> Tensor:
        """``self < other``, element-wise."""
        return functions.lt(self, other)

    def lt_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.lt`, in place."""
        return self._become(functions.lt(self, other), other)

    def less(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.lt` by another name."""
        return functions.lt(self, other)

    def le(self, other: Tensor | _float) -> Tensor:
        """``self <= other``, element-wise."""
        return functions.le(self, other)

    def le_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.le`, in place."""
        return self._become(functions.le(self, other), other)

    def less_equal(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.le` by another name."""
        return functions.le(self, other)

    def gt(self, other: Tensor | _float) -> Tensor:
        """``self > other``, element-wise."""
        return functions.gt(self, other)

    def gt_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.gt`, in place."""
        return self._become(functions.gt(self, other), other)

    def greater(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.gt` by another name."""
        return functions.gt(self, other)

    def ge(self, other: Tensor | _float) -> Tensor:
        """``self >= other``, element-wise."""
        return functions.ge(self, other)

    def ge_(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.ge`, in place."""
        return self._become(functions.ge(self, other), other)

    def greater_equal(self, other: Tensor | _float) -> Tensor:
        """:func:`fastconv.ge` by another name."""
        return functions.ge(self, other)

    def equal(self, other: Tensor) -> _bool:
        """See :func:`fastconv.equal`."""
        return functions.equal(self, other)

    def allclose(self, other: Tensor, rtol: _float = 1e-5, atol: _float = 1e-8, equal_nan: _bool = False) -> _bool:
        """See :func:`fastconv.allclose`."""
        return functions.allclose(self, other, rtol, atol, equal_nan)

    def isclose(self, other: Tensor, rtol: _float = 1e-05, atol: _float = 1e-08, equal_nan: _bool = False) -> Tensor:
        """See :func:`fastconv.isclose`."""
        return functions.isclose(self, other, rtol, atol, equal_nan)

    def is_same_size(self, other: Tensor) -> _bool:
        """See :func:`fastconv.is_same_size`."""
        return functions.is_same_size(self, other)

    def logical_and(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.logical_and`."""
        return functions.logical_and(self, other)

    def logical_and_(self, other: Tensor) -> Tensor:
        """:func:`fastconv.logical_and`, in place."""
        return self._become(functions.logical_and(self, other), other)

    def logical_or(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.logical_or`."""
        return functions.logical_or(self, other)

    def logical_or_(self, other: Tensor) -> Tensor:
        """:func:`fastconv.logical_or`, in place."""
        return self._become(functions.logical_or(self, other), other)

    def logical_xor(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.logical_xor`."""
        return functions.logical_xor(self, other)

    def logical_xor_(self, other: Tensor) -> Tensor:
        """:func:`fastconv.logical_xor`, in place."""
        return self._become(functions.logical_xor(self, other), other)

    def bitwise_and(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_and`."""
        return functions.bitwise_and(self, other)

    def bitwise_and_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_and`, in place."""
        return self._become(functions.bitwise_and(self, other), other)

    def bitwise_or(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_or`."""
        return functions.bitwise_or(self, other)

    def bitwise_or_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_or`, in place."""
        return self._become(functions.bitwise_or(self, other), other)

    def bitwise_xor(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_xor`."""
        return functions.bitwise_xor(self, other)

    def bitwise_xor_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_xor`, in place."""
        return self._become(functions.bitwise_xor(self, other), other)

    def bitwise_left_shift(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_left_shift`."""
        return functions.bitwise_left_shift(self, other)

    def bitwise_left_shift_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_left_shift`, in place."""
        return self._become(functions.bitwise_left_shift(self, other), other)

    def bitwise_right_shift(self, other: Tensor | _int) -> Tensor:
        """See :func:`fastconv.bitwise_right_shift`."""
        return functions.bitwise_right_shift(self, other)

    def bitwise_right_shift_(self, other: Tensor | _int) -> Tensor:
        """:func:`fastconv.bitwise_right_shift`, in place."""
        return self._become(functions.bitwise_right_shift(self, other), other)

    def where(self, condition: Tensor, other: Tensor | _float) -> Tensor:
        """These elements where `condition` holds, else `other`; see :func:`fastconv.where`."""
        return functions.where(condition, self, other)

    def matmul(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.matmul`."""
        return functions.matmul(self, other)

    def mm(self, mat2: Tensor) -> Tensor:
        """See :func:`fastconv.mm`."""
        return functions.mm(self, mat2)

    def bmm(self, mat2: Tensor) -> Tensor:
        """See :func:`fastconv.bmm`."""
        return functions.bmm(self, mat2)

    def mv(self, vec: Tensor) -> Tensor:
        """See :func:`fastconv.mv`."""
        return functions.mv(self, vec)

    def dot(self, tensor: Tensor) -> Tensor:
        """See :func:`fastconv.dot`."""
        return functions.dot(self, tensor)

    def inner(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.inner`."""
        return functions.inner(self, other)

    def outer(self, vec2: Tensor) -> Tensor:
        """See :func:`fastconv.outer`."""
        return functions.outer(self, vec2)

    def addmm(self, mat1: Tensor, mat2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.addmm`."""
        return functions.addmm(self, mat1, mat2, beta=beta, alpha=alpha)

    def addmm_(self, mat1: Tensor, mat2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        """:func:`fastconv.addmm`, in place."""
        return self._become(functions.addmm(self, mat1, mat2, beta=beta, alpha=alpha))

    def baddbmm(self, batch1: Tensor, batch2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.baddbmm`."""
        return functions.baddbmm(self, batch1, batch2, beta=beta, alpha=alpha)

    def baddbmm_(self, batch1: Tensor, batch2: Tensor, *, beta: _float = 1, alpha: _float = 1) -> Tensor:
        """:func:`fastconv.baddbmm`, in place."""
        return self._become(functions.baddbmm(self, batch1, batch2, beta=beta, alpha=alpha))

    def kron(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.kron`."""
        return functions.kron(self, other)

    @numpy_names
    def cross(self, other: Tensor, dim: _int = -1) -> Tensor:
        """See :func:`fastconv.cross`."""
        return functions.cross(self, other, dim)

    def dist(self, other: Tensor, p: _float = 2) -> Tensor:
        """See :func:`fastconv.dist`."""
        return functions.dist(self, other, p)
