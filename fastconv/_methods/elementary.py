"""Elementary functions: of one tensor, element by element."""

from __future__ import annotations

from builtins import float as _float
from builtins import int as _int
from typing import TYPE_CHECKING

from numpy.typing import DTypeLike

from .. import functions
from ..functions.operands import numpy_names

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["Elementary"]


class Elementary:
    """What functions of one operand there are, and in place by the same."""

    __slots__ = ()

    def neg(self) -> Tensor:
        """See :func:`fastconv.neg`."""
        return functions.neg(self)

    def neg_(self) -> Tensor:
        """:func:`fastconv.neg`, in place."""
        return self._become(functions.neg(self))

    def negative(self) -> Tensor:
        """:func:`fastconv.neg` by another name."""
        return functions.neg(self)

    def negative_(self) -> Tensor:
        """``neg_``."""
        return self._become(functions.neg(self))

    def positive(self) -> Tensor:
        """See :func:`fastconv.positive`."""
        return functions.positive(self)

    def abs(self) -> Tensor:
        """See :func:`fastconv.abs`."""
        return functions.abs(self)

    def abs_(self) -> Tensor:
        """:func:`fastconv.abs`, in place."""
        return self._become(functions.abs(self))

    def absolute(self) -> Tensor:
        """:func:`fastconv.abs` by another name."""
        return functions.abs(self)

    def sign(self) -> Tensor:
        """See :func:`fastconv.sign`."""
        return functions.sign(self)

    def sign_(self) -> Tensor:
        """:func:`fastconv.sign`, in place."""
        return self._become(functions.sign(self))

    def signbit(self) -> Tensor:
        """See :func:`fastconv.signbit`."""
        return functions.signbit(self)

    def square(self) -> Tensor:
        """See :func:`fastconv.square`."""
        return functions.square(self)

    def square_(self) -> Tensor:
        """:func:`fastconv.square`, in place."""
        return self._become(functions.square(self))

    def sqrt(self) -> Tensor:
        """See :func:`fastconv.sqrt`."""
        return functions.sqrt(self)

    def sqrt_(self) -> Tensor:
        """:func:`fastconv.sqrt`, in place."""
        return self._become(functions.sqrt(self))

    def rsqrt(self) -> Tensor:
        """See :func:`fastconv.rsqrt`."""
        return functions.rsqrt(self)

    def rsqrt_(self) -> Tensor:
        """:func:`fastconv.rsqrt`, in place."""
        return self._become(functions.rsqrt(self))

    def reciprocal(self) -> Tensor:
        """See :func:`fastconv.reciprocal`."""
        return functions.reciprocal(self)

    def reciprocal_(self) -> Tensor:
        """:func:`fastconv.reciprocal`, in place."""
        return self._become(functions.reciprocal(self))

    def exp(self) -> Tensor:
        """See :func:`fastconv.exp`."""
        return functions.exp(self)

    def exp_(self) -> Tensor:
        """:func:`fastconv.exp`, in place."""
        return self._become(functions.exp(self))

    def exp2(self) -> Tensor:
        """See :func:`fastconv.exp2`."""
        return functions.exp2(self)

    def exp2_(self) -> Tensor:
        """:func:`fastconv.exp2`, in place."""
        return self._become(functions.exp2(self))

    def expm1(self) -> Tensor:
        """See :func:`fastconv.expm1`."""
        return functions.expm1(self)

    def expm1_(self) -> Tensor:
        """:func:`fastconv.expm1`, in place."""
        return self._become(functions.expm1(self))

    def log(self) -> Tensor:
        """See :func:`fastconv.log`."""
        return functions.log(self)

    def log_(self) -> Tensor:
        """:func:`fastconv.log`, in place."""
        return self._become(functions.log(self))

    def log1p(self) -> Tensor:
        """See :func:`fastconv.log1p`."""
        return functions.log1p(self)

    def log1p_(self) -> Tensor:
        """:func:`fastconv.log1p`, in place."""
        return self._become(functions.log1p(self))

    def log2(self) -> Tensor:
        """See :func:`fastconv.log2`."""
        return functions.log2(self)

    def log2_(self) -> Tensor:
        """:func:`fastconv.log2`, in place."""
        return self._become(functions.log2(self))

    def log10(self) -> Tensor:
        """See :func:`fastconv.log10`."""
        return functions.log10(self)

    def log10_(self) -> Tensor:
        """:func:`fastconv.log10`, in place."""
        return self._become(functions.log10(self))

    def sin(self) -> Tensor:
        """See :func:`fastconv.sin`."""
        return functions.sin(self)

    def sin_(self) -> Tensor:
        """:func:`fastconv.sin`, in place."""
        return self._become(functions.sin(self))

    def cos(self) -> Tensor:
        """See :func:`fastconv.cos`."""
        return functions.cos(self)

    def cos_(self) -> Tensor:
        """:func:`fastconv.cos`, in place."""
        return self._become(functions.cos(self))

    def tan(self) -> Tensor:
        """See :func:`fastconv.tan`."""
        return functions.tan(self)

    def tan_(self) -> Tensor:
        """:func:`fastconv.tan`, in place."""
        return self._become(functions.tan(self))

    def asin(self) -> Tensor:
        """See :func:`fastconv.asin`."""
        return functions.asin(self)

    def asin_(self) -> Tensor:
        """:func:`fastconv.asin`, in place."""
        return self._become(functions.asin(self))

    def acos(self) -> Tensor:
        """See :func:`fastconv.acos`."""
        return functions.acos(self)

    def acos_(self) -> Tensor:
        """:func:`fastconv.acos`, in place."""
        return self._become(functions.acos(self))

    def atan(self) -> Tensor:
        """See :func:`fastconv.atan`."""
        return functions.atan(self)

    def atan_(self) -> Tensor:
        """:func:`fastconv.atan`, in place."""
        return self._become(functions.atan(self))

    def sinh(self) -> Tensor:
        """See :func:`fastconv.sinh`."""
        return functions.sinh(self)

    def sinh_(self) -> Tensor:
        """:func:`fastconv.sinh`, in place."""
        return self._become(functions.sinh(self))

    def cosh(self) -> Tensor:
        """See :func:`fastconv.cosh`."""
        return functions.cosh(self)

    def cosh_(self) -> Tensor:
        """:func:`fastconv.cosh`, in place."""
        return self._become(functions.cosh(self))

    def tanh(self) -> Tensor:
        """See :func:`fastconv.tanh`."""
        return functions.tanh(self)

    def tanh_(self) -> Tensor:
        """:func:`fastconv.tanh`, in place."""
        return self._become(functions.tanh(self))

    def asinh(self) -> Tensor:
        """See :func:`fastconv.asinh`."""
        return functions.asinh(self)

    def asinh_(self) -> Tensor:
        """:func:`fastconv.asinh`, in place."""
        return self._become(functions.asinh(self))

    def acosh(self) -> Tensor:
        """See :func:`fastconv.acosh`."""
        return functions.acosh(self)

    def acosh_(self) -> Tensor:
        """:func:`fastconv.acosh`, in place."""
        return self._become(functions.acosh(self))

    def atanh(self) -> Tensor:
        """See :func:`fastconv.atanh`."""
        return functions.atanh(self)

    def atanh_(self) -> Tensor:
        """:func:`fastconv.atanh`, in place."""
        return self._become(functions.atanh(self))

    def erf(self) -> Tensor:
        """See :func:`fastconv.erf`."""
        return functions.erf(self)

    def erf_(self) -> Tensor:
        """:func:`fastconv.erf`, in place."""
        return self._become(functions.erf(self))

    def erfc(self) -> Tensor:
        """See :func:`fastconv.erfc`."""
        return functions.erfc(self)

    def erfc_(self) -> Tensor:
        """:func:`fastconv.erfc`, in place."""
        return self._become(functions.erfc(self))

    def erfinv(self) -> Tensor:
        """See :func:`fastconv.erfinv`."""
        return functions.erfinv(self)

    def erfinv_(self) -> Tensor:
        """:func:`fastconv.erfinv`, in place."""
        return self._become(functions.erfinv(self))

    def sigmoid(self) -> Tensor:
        """See :func:`fastconv.sigmoid`."""
        return functions.sigmoid(self)

    def sigmoid_(self) -> Tensor:
        """:func:`fastconv.sigmoid`, in place."""
        return self._become(functions.sigmoid(self))

    def logit(self, eps: _float | None = None) -> Tensor:
        """See :func:`fastconv.logit`."""
        return functions.logit(self, eps)

    def logit_(self, eps: _float | None = None) -> Tensor:
        """:func:`fastconv.logit`, in place."""
        return self._become(functions.logit(self.clone(), eps))

    def relu(self) -> Tensor:
        """See :func:`fastconv.relu`."""
        return functions.relu(self)

    def relu_(self) -> Tensor:
        """:func:`fastconv.relu`, in place."""
        return self._become(functions.relu(self))

    @numpy_names
    def softmax(self, dim: _int, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.softmax`."""
        return functions.softmax(self, dim, dtype)

    @numpy_names
    def log_softmax(self, dim: _int, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.log_softmax`."""
        return functions.log_softmax(self, dim, dtype)

    def deg2rad(self) -> Tensor:
        """See :func:`fastconv.deg2rad`."""
        return functions.deg2rad(self)

    def deg2rad_(self) -> Tensor:
        """:func:`fastconv.deg2rad`, in place."""
        return self._become(functions.deg2rad(self))

    def rad2deg(self) -> Tensor:
        """See :func:`fastconv.rad2deg`."""
        return functions.rad2deg(self)

    def rad2deg_(self) -> Tensor:
        """:func:`fastconv.rad2deg`, in place."""
        return self._become(functions.rad2deg(self))

    def floor(self) -> Tensor:
        """See :func:`fastconv.floor`."""
        return functions.floor(self)

    def floor_(self) -> Tensor:
        """:func:`fastconv.floor`, in place."""
        return self._become(functions.floor(self))

    def ceil(self) -> Tensor:
        """See :func:`fastconv.ceil`."""
        return functions.ceil(self)

    def ceil_(self) -> Tensor:
        """:func:`fastconv.ceil`, in place."""
        return self._become(functions.ceil(self))

    def trunc(self) -> Tensor:
        """See :func:`fastconv.trunc`."""
        return functions.trunc(self)

    def trunc_(self) -> Tensor:
        """:func:`fastconv.trunc`, in place."""
        return self._become(functions.trunc(self))

    def fix(self) -> Tensor:
        """``trunc``."""
        return functions.trunc(self)

    def round(self, *, decimals: _int = 0) -> Tensor:
        """See :func:`fastconv.round`."""
        return functions.round(self, decimals=decimals)

    def round_(self, *, decimals: _int = 0) -> Tensor:
        """:func:`fastconv.round`, in place."""
        return self._become(functions.round(self, decimals=decimals))

    def frac(self) -> Tensor:
        """See :func:`fastconv.frac`."""
        return functions.frac(self)

    def frac_(self) -> Tensor:
        """:func:`fastconv.frac`, in place."""
        return self._become(functions.frac(self))

    def nan_to_num(
        self, nan: _float | None = None, posinf: _float | None = None, neginf: _float | None = None
    ) -> Tensor:
        """See :func:`fastconv.nan_to_num`."""
        return functions.nan_to_num(self, nan, posinf, neginf)

    def nan_to_num_(
        self, nan: _float | None = None, posinf: _float | None = None, neginf: _float | None = None
    ) -> Tensor:
        """:func:`fastconv.nan_to_num`, in place."""
        return self._become(functions.nan_to_num(self, nan, posinf, neginf))

    def isnan(self) -> Tensor:
        """See :func:`fastconv.isnan`."""
        return functions.isnan(self)

    def isinf(self) -> Tensor:
        """See :func:`fastconv.isinf`."""
        return functions.isinf(self)

    def isfinite(self) -> Tensor:
        """See :func:`fastconv.isfinite`."""
        return functions.isfinite(self)

    def logical_not(self) -> Tensor:
        """See :func:`fastconv.logical_not`."""
        return functions.logical_not(self)

    def logical_not_(self) -> Tensor:
        """:func:`fastconv.logical_not`, in place."""
        return self._become(functions.logical_not(self))

    def bitwise_not(self) -> Tensor:
        """See :func:`fastconv.bitwise_not`."""
        return functions.bitwise_not(self)

    def bitwise_not_(self) -> Tensor:
        """:func:`fastconv.bitwise_not`, in place."""
        return self._become(functions.bitwise_not(self))
