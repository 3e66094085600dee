"""Other dtypes, and new tensors like this one."""

from __future__ import annotations

from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, NoReturn

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from .._native.tape import TensorBase, wrap
from ..checks import check_shape, number, unpack
from ..dtypes import (
    CLASSES,
    DeviceLike,
    Size,
    as_dtype,
    bfloat16,
    bool_,
    check_device,
    convert,
    filled_with,
    float16,
    float32,
    float64,
    int8,
    int16,
    int32,
    int64,
    is_device,
    memory_format,
    preserve_format,
    to_array,
    uint8,
)
from ..functions.operands import cast

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = ["Conversion"]


class Conversion:
    """Casts by their names, and tensors of this dtype."""

    __slots__ = ()

    def to(
        self,
        *target: Any,
        dtype: DTypeLike | None = None,
        device: DeviceLike = None,
        non_blocking: _bool = False,
        copy: _bool = False,
        memory_format: memory_format = preserve_format,
    ) -> Tensor:
        """The tensor in another dtype or order of memory; itself if it has these already.

        Parameters
        ----------
        *target
            A dtype, a Tensor whose dtype to take, or the device ``"cpu"``, in any combination.
        dtype, device
            The same by keyword.
        non_blocking : bool
            Of torch's interface; the result is always there when to() returns.
        copy : bool
            Copy in any case.
        memory_format : memory_format
            As for :meth:`contiguous`.

        Raises
        ------
        AssertionError, RuntimeError
            For any device but the CPU, as torch does on a machine without a GPU.
        """
        switches: list[_bool] = []
        for t in target:
            if isinstance(t, TensorBase):
                dtype = t.dtype
            elif is_device(t):
                device = t
            elif isinstance(t, bool) and dtype is not None:
                switches.append(t)
            elif t is not None:
                dtype = t
        copy = copy or switches[1:] == [True]  # behind non_blocking
        if device is not None:
            check_device(device)
        dtype = self.dtype if dtype is None else as_dtype(dtype)
        if dtype != self.dtype:
            return cast(self, dtype).contiguous(memory_format)
        return (self.clone() if copy else self).contiguous(memory_format)

    def type(self, dtype: Any = None) -> Any:
        """Torch's name of tensors of this dtype, ``"torch.FloatTensor"``; with a name or a dtype see :meth:`to`."""
        if dtype is None:
            return f"torch.{CLASSES[self.dtype.name]}Tensor"
        if isinstance(dtype, str):
            names = {f"torch.{name}Tensor": kind for kind, name in CLASSES.items()}
            if dtype not in names:
                raise ValueError(f"invalid type: {dtype!r}; there are {', '.join(names)}")
            dtype = names[dtype]
        return self.to(dtype)

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the dtype of `other`."""
        return self.to(other.dtype)

    def cpu(self) -> Tensor:
        """Itself: every tensor is on the CPU."""
        return self

    def cuda(self, device: Any = None, non_blocking: _bool = False) -> NoReturn:
        """Raise torch's AssertionError: there is no GPU."""
        check_device("cuda")

    def share_memory_(self) -> Tensor:
        """Move it, in place, into memory that it shares with processes that it is handed to; returns self."""
        from ..shared import share

        share(self)
        return self

    def is_shared(self) -> _bool:
        """Whether it lies in memory that processes share."""
        from ..shared import is_shared

        return is_shared(self)

    def bfloat16(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in bfloat16."""
        return self.to(bfloat16, memory_format=memory_format)

    def half(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in float16."""
        return self.to(float16, memory_format=memory_format)

    def float(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in float32."""
        return self.to(float32, memory_format=memory_format)

    def double(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in float64."""
        return self.to(float64, memory_format=memory_format)

    def byte(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in uint8."""
        return self.to(uint8, memory_format=memory_format)

    def char(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in int8."""
        return self.to(int8, memory_format=memory_format)

    def short(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in int16."""
        return self.to(int16, memory_format=memory_format)

    def int(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in int32."""
        return self.to(int32, memory_format=memory_format)

    def long(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor in int64."""
        return self.to(int64, memory_format=memory_format)

    def bool(self, memory_format: memory_format = preserve_format) -> Tensor:
        """The tensor as bools: which elements are not 0."""
        return self.to(bool_, memory_format=memory_format)

    def _new(self, array: np.ndarray, dtype: DTypeLike | None, device: DeviceLike, requires_grad: _bool) -> Tensor:
        check_device(device)
        new: Tensor = wrap(convert(array, self.dtype if dtype is None else as_dtype(dtype)))
        return new.requires_grad_(requires_grad) if requires_grad else new

    def new_full(
        self,
        size: Sequence[_int],
        fill_value: _float,
        *,
        dtype: DTypeLike | None = None,
        device: DeviceLike = None,
        requires_grad: _bool = False,
    ) -> Tensor:
        """A tensor of this shape full of a number, of this tensor's dtype or another."""
        number(fill_value, "fill_value")
        kind = self.dtype if dtype is None else as_dtype(dtype)
        array = filled_with(fill_value, check_shape(unpack((size,)), "new_full"), kind)
        return self._new(array, kind, device, requires_grad)

    def new_zeros(
        self,
        *size: _int | Sequence[_int],
        dtype: DTypeLike | None = None,
        device: DeviceLike = None,
        requires_grad: _bool = False,
    ) -> Tensor:
        """A tensor of this shape full of 0, of this tensor's dtype or another."""
        return self.new_full(unpack(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_ones(
        self,
        *size: _int | Sequence[_int],
        dtype: DTypeLike | None = None,
        device: DeviceLike = None,
        requires_grad: _bool = False,
    ) -> Tensor:
        """A tensor of this shape full of 1, of this tensor's dtype or another."""
        return self.new_full(unpack(size), 1, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_empty(
        self,
        *size: _int | Sequence[_int],
        dtype: DTypeLike | None = None,
        device: DeviceLike = None,
        requires_grad: _bool = False,
    ) -> Tensor:
        """A tensor of this shape with any values, of this tensor's dtype or another."""
        return self.new_full(unpack(size), 0, dtype=dtype, device=device, requires_grad=requires_grad)

    def new_tensor(
        self,
        data: ArrayLike,
        *,
        dtype: DTypeLike | None = None,
        device: DeviceLike = None,
        requires_grad: _bool = False,
    ) -> Tensor:
        """A copy of the data, of this tensor's dtype or another."""
        return self._new(to_array(data, None), dtype, device, requires_grad)

    def new(self, *data: Any, device: DeviceLike = None) -> Tensor:
        """Torch's old way to a tensor of this one's dtype: of a shape given as integers, else with a copy of the data.

        Without arguments it is empty; with integers, or a ``Size``, its values are whatever was in the memory.
        """
        check_device(device)
        if len(data) == 1 and not isinstance(data[0], (_int, np.integer, Size)):
            return self.new_tensor(data[0])
        return self.new_empty(*(data or (0,)))
