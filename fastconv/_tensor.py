"""Tensor: an ndarray that knows how to compute its gradient.

Its methods stand here, by families; what is also a function of the package is computed in
:mod:`fastconv.functions`.
"""

from __future__ import annotations

import math
import weakref
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Callable, Iterator, Sequence
from copy import deepcopy
from typing import Any, NoReturn, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import functions, primitives, random
from ._methods import FunctionMethods
from ._native import tape, walk
from ._native.tape import Node, apply, wrap
from ._printing import text_of
from .autograd.engine import backward, start
from .autograd.hooks import RemovableHandle, add_hook
from .checks import LARGEST, brief, check_shape, int64_number, integer, number, unpack
from .dtypes import (
    CPU,
    OPERANDS,
    DeviceLike,
    Size,
    as_dtype,
    bfloat16,
    bool_,
    can_cast,
    channels_last,
    check_device,
    contiguous_format,
    convert,
    device,
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
from .functions.indexing import getitem, split_index
from .functions.operands import array_of, cast, numpy_names
from .random import Generator

__all__ = ["Tensor", "address", "owner_of"]


def _rebuild(cls: type[Any], array: np.ndarray, requires_grad: bool, attributes: dict[Any, Any] | None) -> Tensor:
    t = cls.__new__(cls)
    t._array, t._requires_grad = array, requires_grad
    if attributes:
        t.__dict__.update(attributes)
    return t


def _rebuild_view(cls: type[Any], owner: np.ndarray, dtype: np.dtype, offset: _int, shape, strides, *rest) -> Tensor:
    return _rebuild(cls, np.ndarray(shape, dtype, owner, offset, strides), *rest)


def address(array: np.ndarray) -> _int:
    """Where the first element lies in memory."""
    return array.__array_interface__["data"][0]


def owner_of(array: np.ndarray) -> np.ndarray | None:
    """The array whose memory `array` shows, itself perhaps.

    None if it has gaps, or if `array` is no regular part of it: whole elements, in native order, of steps that are not
    negative.
    """
    owner = array
    while isinstance(owner.base, np.ndarray):
        owner = owner.base
    step, dense = array.itemsize, owner.itemsize
    for stride, n in sorted(zip(owner.strides, owner.shape, strict=True)):
        if n > 1 and stride != dense:
            return None
        dense *= n
    if not array.dtype.isnative or any(stride < 0 or stride % step for stride in array.strides):
        return None
    return None if (address(array) - address(owner)) % step or owner.nbytes % step else owner


def _rounded(hook: Callable[[Tensor], Tensor | None]) -> Callable[[Tensor], Tensor | None]:
    """A hook of gradients in bfloat16 as one of gradients in float32."""

    def wrapper(gradient: Tensor) -> Tensor | None:
        changed = hook(gradient.bfloat16())
        return changed.float() if isinstance(changed, Tensor) else changed

    return wrapper


# Torch's names of tensors by their dtypes.
_CLASSES = {
    "float32": "Float",
    "float64": "Double",
    "float16": "Half",
    "bfloat16": "BFloat16",
    "uint8": "Byte",
    "int8": "Char",
    "int16": "Short",
    "int32": "Int",
    "int64": "Long",
    "bool": "Bool",
}


class Tensor(FunctionMethods):
    """An n-dimensional array that knows how to compute its gradient; names and semantics of ``torch.Tensor``.

    Parameters
    ----------
    *data : integers, or one sequence, ndarray or Tensor
        Integers are the shape of a float32 tensor of whatever was in the memory; what a sequence or an array holds is
        copied as float32; a Tensor's memory is shared. (:func:`tensor` and :func:`from_numpy` keep dtypes.)
    requires_grad : bool
        Whether operations on it are recorded, so that ``backward()`` fills ``grad``.

    Notes
    -----
    Operations broadcast as NumPy's do. Python numbers are weak: a float32 tensor times 2.0 stays float32, and
    an int64 tensor divided by an int is float32. Views (``view``, ``reshape``, ``transpose``, basic indexing,
    ``detach``, ``numpy``) share memory.

    An in-place operation (``+=``, ``add_``, ``x[i] = y``, ...) writes to the tensor's memory, for all that share it,
    and is recorded: on a view as a change of that part of its base. backward() raises a RuntimeError where it needs
    values that have been written over since; only what is written through ``data`` or ``numpy()`` goes unnoticed.
    """

    __slots__ = ("__weakref__",)

    __array_priority__ = 1000  # ndarray + Tensor calls Tensor.__radd__
    __hash__: Callable[[Tensor], _int] = object.__hash__

    def __init__(self, *data: Any, device: DeviceLike = None, requires_grad: _bool = False) -> None:
        check_device(device)
        if len(data) != 1 or isinstance(data[0], (_int, Size)):
            self._array = np.empty(check_shape(unpack(data) if data else (0,), "Tensor"), float32)
        elif isinstance(data[0], Tensor):
            self._array = data[0]._array
        elif isinstance(data[0], (Sequence, np.ndarray)):
            self._array = to_array(data[0], float32)
        else:
            raise TypeError(f"Tensor(): data must be a sequence, got {brief(data[0])}")
        if requires_grad:
            self.requires_grad_()

    # Attributes

    @property
    def shape(self) -> Size:
        return Size(self._array.shape)

    @property
    def ndim(self) -> _int:
        return self._array.ndim

    @property
    def dtype(self) -> np.dtype:
        """A NumPy dtype, or ``bfloat16``, which NumPy lacks."""
        dtype = self._array.dtype
        return dtype if dtype.kind != "V" else bfloat16

    @property
    def device(self) -> device:
        """Always the CPU."""
        return CPU

    @property
    def is_cuda(self) -> _bool:
        """False: no tensor is on a GPU."""
        return False

    @property
    def is_xpu(self) -> _bool:
        """False: no tensor is on an accelerator of Intel's."""
        return False

    @property
    def is_meta(self) -> _bool:
        """False: no tensor is without data."""
        return False

    @property
    def is_sparse(self) -> _bool:
        """False: no tensor is sparse."""
        return False

    @property
    def is_quantized(self) -> _bool:
        """False: no tensor is quantised."""
        return False

    @property
    def is_nested(self) -> _bool:
        """False: no tensor is a list of tensors."""
        return False

    @property
    def is_cpu(self) -> _bool:
        """True."""
        return True

    def get_device(self) -> _int:
        """-1, which stands for the CPU."""
        return -1

    @property
    def itemsize(self) -> _int:
        return self._array.itemsize

    @property
    def nbytes(self) -> _int:
        return self._array.nbytes

    @property
    def T(self) -> Tensor:
        """The tensor with its dimensions in reverse order."""
        return self.permute(*range(self.ndim - 1, -1, -1))

    @property
    def mT(self) -> Tensor:
        """The matrices of the last two dimensions transposed, a view."""
        return self.transpose(-2, -1)

    @property
    def H(self) -> Tensor:
        """The matrix transposed, a view."""
        return self.t()

    mH = mT

    @property
    def is_leaf(self) -> _bool:
        """Whether no recorded operation made it; only leaves get a ``grad``."""
        return self._node is None

    @property
    def grad_fn(self) -> Node | None:
        """The recorded operation that made it."""
        return self._node

    @property
    def requires_grad(self) -> _bool:
        return self._requires_grad

    @requires_grad.setter
    def requires_grad(self, value: _bool) -> None:
        if value and self._array.dtype.kind not in "fV":
            raise RuntimeError(f"only tensors of a floating dtype can require gradients, this one is {self.dtype}")
        if self._node is not None and not value:
            raise RuntimeError(
                "requires_grad can only be turned off for leaf tensors; use detach() for one that does not record"
            )
        self._requires_grad = bool(value)

    def requires_grad_(self, requires_grad: _bool = True) -> Tensor:
        """Set ``requires_grad`` in place; returns self."""
        self.requires_grad = requires_grad
        return self

    @property
    def grad(self) -> Tensor | None:
        """The gradient that ``backward()`` has accumulated, or None."""
        return self._grad

    @grad.setter
    def grad(self, value: Tensor | None) -> None:
        if value is not None:
            if not isinstance(value, Tensor):
                raise TypeError(f"expected a Tensor or None as grad, got {type(value).__name__}")
            if value.shape != self.shape or value.dtype != self.dtype:
                raise RuntimeError(
                    f"expected a grad of shape {list(self.shape)} and {self.dtype}, "
                    f"got shape {list(value.shape)} and {value.dtype}"
                )
        self._grad = value

    @property
    def data(self) -> Tensor:
        """The tensor without its history, on the same memory; assigning replaces the memory."""
        return wrap(self._array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"expected a Tensor as data, got {type(value).__name__}")
        self._array = value._array

    @overload
    def size(self, dim: None = None) -> Size: ...
    @overload
    def size(self, dim: _int) -> _int: ...
    def size(self, dim: _int | None = None) -> Size | _int:
        """The shape, or the length of dimension `dim`."""
        return Size(self._array.shape) if dim is None else self._array.shape[dim]

    def dim(self) -> _int:
        """Number of dimensions."""
        return self._array.ndim

    ndimension = dim

    def numel(self) -> _int:
        """Number of elements."""
        return self._array.size

    def stride(self, dim: _int | None = None) -> tuple[_int, ...] | _int:
        """Steps in memory, in elements."""
        strides = tuple(step // self._array.itemsize for step in self._array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self, memory_format: memory_format = contiguous_format) -> _bool:
        """Whether the elements lie in memory in row-major order, or with channels last, without gaps."""
        if memory_format is channels_last:
            return self.ndim == 4 and self._array.transpose(0, 2, 3, 1).flags.c_contiguous
        return self._array.flags.c_contiguous

    def is_floating_point(self) -> _bool:
        """Whether the dtype is a floating one."""
        return self._array.dtype.kind in "fV"

    # The gradient

    def backward(
        self,
        gradient: Tensor | ArrayLike | None = None,
        retain_graph: _bool | None = None,
        create_graph: _bool = False,
        inputs: Tensor | Sequence[Tensor] | None = None,
    ) -> None:
        """Add the gradient with respect to every leaf that requires one to that leaf's ``grad``.

        Parameters
        ----------
        gradient : Tensor or array_like, optional
            Gradient of some scalar with respect to this tensor, of its shape; 1 for a tensor of one element.
        retain_graph, create_graph, inputs
            See :func:`fastconv.autograd.backward`, also for the errors.
        """
        if create_graph or inputs is not None:
            backward(self, None if gradient is None else [gradient], retain_graph, create_graph, inputs)
        elif not walk.walk_back(self, gradient, bool(retain_graph)):
            walk.run_backward([tape.edge(self)], [start(self, gradient, 0, False)], bool(retain_graph))

    def _check_hook(self, hook: Callable[..., Any]) -> None:
        if not callable(hook):
            raise TypeError(f"a hook has to be callable, got {hook!r}")
        if not self._requires_grad:
            raise RuntimeError("cannot register a hook on a tensor that doesn't require gradient")

    def register_hook(self, hook: Callable[[Tensor], Tensor | None]) -> RemovableHandle:
        """Have `hook` called with the gradient of this tensor whenever it is computed; what it returns replaces it.

        Returns
        -------
        RemovableHandle
            Its ``remove()`` takes the hook away.
        """
        self._check_hook(hook)
        if self.dtype is bfloat16:  # whose gradients are summed up in float32
            hook = _rounded(hook)
        owner = self._node
        if owner is not None:
            owner.hooks = {} if owner.hooks is None else owner.hooks
            return add_hook(owner.hooks, hook)
        self._hooks = {} if self._hooks is None else self._hooks
        return add_hook(self._hooks, hook)

    def register_post_accumulate_grad_hook(self, hook: Callable[[Tensor], None]) -> RemovableHandle:
        """Have `hook` called with this leaf whenever its ``grad`` has been added to."""
        self._check_hook(hook)
        if self._node is not None:
            raise RuntimeError("post accumulate grad hooks cannot be registered on non-leaf tensors")
        self._post_hooks = {} if self._post_hooks is None else self._post_hooks
        return add_hook(self._post_hooks, hook)

    def retain_grad(self) -> None:
        """Keep the gradient of this result of an operation in its ``grad``; leaves do without being told."""
        if not self._requires_grad:
            raise RuntimeError("can't retain_grad on Tensor that has requires_grad=False")
        if self._node is not None:
            self._node.keeper = weakref.ref(self)

    @property
    def retains_grad(self) -> _bool:
        """Whether :meth:`retain_grad` was called on this result of an operation."""
        keeper = None if self._node is None else self._node.keeper
        return keeper is not None and keeper() is self

    def detach(self) -> Tensor:
        """The same memory without history; it does not require a gradient."""
        return self._alias()

    def detach_(self) -> Tensor:
        """Forget the history, in place; returns self."""
        if self._base is not None:
            raise RuntimeError("Can't detach views in-place; use detach() instead")
        self._forget()
        return self

    def clone(self, *, memory_format: memory_format = preserve_format) -> Tensor:
        """A copy; the gradient goes through."""
        copy: Tensor = apply(primitives.clone, self)
        return copy.contiguous(memory_format)

    def contiguous(self, memory_format: memory_format = contiguous_format) -> Tensor:
        """Itself where its elements lie in that order in memory without gaps, else such a copy.

        Raises
        ------
        RuntimeError
            For `channels_last` and a tensor that has not four dimensions.
        """
        if self.is_contiguous(memory_format) or memory_format is preserve_format:
            return self
        if memory_format is contiguous_format:
            return apply(primitives.contiguous, self)
        if self.ndim != 4:
            raise RuntimeError(
                f"required rank 4 tensor to use channels_last format, got a tensor of shape {list(self.shape)}"
            )
        return apply(primitives.channels_last, self)

    # Out to Python and NumPy

    def item(self) -> _float | _int | _bool:
        """The one element as a Python number."""
        if self._array.size != 1:
            raise RuntimeError(f"only a tensor of one element has an item(), this one has shape {list(self.shape)}")
        return array_of(self).item()

    def tolist(self) -> list[Any] | _float | _int | _bool:
        """The elements as nested lists of Python numbers."""
        return array_of(self).tolist()

    def numpy(self, *, force: _bool = False) -> np.ndarray:
        """The ndarray itself, without a copy.

        Parameters
        ----------
        force : bool
            Allow it for a tensor that requires a gradient, as ``detach().numpy()``.
        """
        if self._requires_grad and not force:
            raise RuntimeError("Can't call numpy() on a tensor that requires grad; use detach().numpy() instead")
        if self._array.dtype.kind == "V":
            raise TypeError("Got unsupported ScalarType BFloat16: NumPy has no such dtype; use float().numpy()")
        return self._array

    def __array__(self, dtype: DTypeLike | None = None, copy: _bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"cannot turn {array.dtype} into {np.dtype(dtype)} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **kwargs: Any) -> Any:
        if self._requires_grad:
            raise BufferError("Can't export a tensor that requires grad; use detach()")
        return self._array.__dlpack__(**kwargs)

    def __dlpack_device__(self) -> tuple[_int, _int]:
        return self._array.__dlpack_device__()

    def __float__(self) -> _float:
        return float(self.item())

    def __int__(self) -> _int:
        return int(self.item())

    def __bool__(self) -> _bool:
        if self._array.size != 1:
            raise RuntimeError(
                f"the truth value of a tensor of shape {list(self.shape)} is ambiguous; use any() or all()"
            )
        return bool(self._array.item())

    def __index__(self) -> _int:
        if self._array.size != 1 or self._array.dtype.kind not in "biu":
            raise TypeError(
                f"only an integer tensor of one element is an index, this one is {self.dtype} {list(self.shape)}"
            )
        return int(self._array.item())

    def __format__(self, spec: str) -> str:
        return format(self._array.item(), spec) if self._array.ndim == 0 else object.__format__(self, spec)

    def __repr__(self) -> str:
        return text_of(self)

    def __reduce_ex__(self, protocol: SupportsIndex) -> Any:
        """Views are pickled as such, with the memory that they show: pickle keeps what they share."""
        array, owner = self._array, owner_of(self._array)
        if owner is None or owner is array or not array.size or not owner.flags.c_contiguous:
            return self.reduce_alone()
        offset = address(array) - address(owner)
        view = (type(self), owner, array.dtype, offset, array.shape, array.strides)
        return _rebuild_view, (*view, self._requires_grad, getattr(self, "__dict__", None))

    def reduce_alone(self) -> tuple[Any, ...]:
        """How pickle takes it apart where nothing else shares its memory."""
        return _rebuild, (type(self), self._array, self._requires_grad, getattr(self, "__dict__", None))

    def __deepcopy__(self, memo: dict[Any, Any]) -> Tensor:
        if self._node is not None:
            raise RuntimeError("only leaf tensors can be deep-copied; detach() this one, or clone() it")
        array, owner = self._array, owner_of(self._array)
        if owner is None or owner is array or not array.size:
            array = deepcopy(array, memo)
        else:  # `memo` has all views of `owner` meet in one copy
            offset = address(array) - address(owner)
            array = np.ndarray(array.shape, array.dtype, deepcopy(owner, memo), offset, array.strides)
        copy = _rebuild(type(self), array, self._requires_grad, deepcopy(getattr(self, "__dict__", None), memo))
        memo[id(self)] = copy
        if self._grad is not None:
            copy._grad = self._grad.__deepcopy__(memo)
        return copy

    # As a sequence

    def __len__(self) -> _int:
        if self._array.ndim == 0:
            raise TypeError("len() of a 0-d tensor")
        return self._array.shape[0]

    def __iter__(self) -> Iterator[Tensor]:
        if self._array.ndim == 0:
            raise TypeError("iteration over a 0-d tensor")
        return iter(functions.unbind(self))

    def __contains__(self, value: Any) -> _bool:
        return bool(np.any(array_of(self) == array_of(value)))

    def __getitem__(self, index: Any) -> Tensor:
        return getitem(self, index)

    def __setitem__(self, index: Any, value: Any) -> None:
        if not isinstance(value, (*OPERANDS, list, tuple)):
            raise TypeError(f"expected a tensor or a number to assign, got {brief(value)}")
        view, chosen = split_index(index, self._array.shape)
        copied = chosen is None or isinstance(index, bool) or not isinstance(value, Tensor) or value.numel() == 1
        if not copied and value.dtype != self.dtype:
            raise RuntimeError(
                f"Index put requires the source and destination dtypes match, got {self.dtype} for the destination and "
                f"{value.dtype} for the source."
            )
        try:
            if not tape.check_writable(self, value):
                region = self._array[view]
                array = value._array if isinstance(value, Tensor) else value
                if self._array.dtype.kind == "V" or (isinstance(value, Tensor) and value._array.dtype.kind == "V"):
                    array = convert(np.asarray(array), self._array.dtype)
                region[... if chosen is None else chosen] = array
                tape.mark_written(self)
            else:
                region = apply(primitives.index, self, index=view, basic=True)
                if chosen is None:
                    value = value if isinstance(value, (Tensor, np.ndarray)) else np.asarray(value)
                    while value.ndim > region.ndim and value.shape[0] == 1:
                        value = value[0]
                    region._overwrite(value)
                else:
                    region._become(apply(primitives.put, region, value, at=chosen))
        except ValueError:
            shape = list((self._array[view] if chosen is None else self._array[view][chosen]).shape)
            raise RuntimeError(f"shape mismatch: cannot assign {brief(value)} to elements of shape {shape}") from None
        except OverflowError:
            raise RuntimeError(f"value {value!r} cannot be converted to {self.dtype} without overflow") from None

    # Operators

    def __add__(self, other: Any) -> Tensor:
        return functions.add(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __radd__(self, other: Any) -> Tensor:
        return functions.add(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __sub__(self, other: Any) -> Tensor:
        return functions.sub(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rsub__(self, other: Any) -> Tensor:
        return functions.sub(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __mul__(self, other: Any) -> Tensor:
        return functions.mul(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rmul__(self, other: Any) -> Tensor:
        return functions.mul(other, self) if isinstance(other, OPERANDS) else NotImplemented

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
        return self._become(functions.add(self, other))

    def __isub__(self, other: Any) -> Tensor:
        return self._become(functions.sub(self, other))

    def __imul__(self, other: Any) -> Tensor:
        return self._become(functions.mul(self, other))

    def __itruediv__(self, other: Any) -> Tensor:
        return self._become(functions.div(self, other))

    def __ipow__(self, other: Any) -> Tensor:
        return self._become(functions.pow(self, other))

    def __floordiv__(self, other: Any) -> Tensor:
        return functions.floor_divide(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rfloordiv__(self, other: Any) -> Tensor:
        return functions.floor_divide(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __ifloordiv__(self, other: Any) -> Tensor:
        return self._become(functions.floor_divide(self, other))

    def __mod__(self, other: Any) -> Tensor:
        return functions.remainder(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rmod__(self, other: Any) -> Tensor:
        return functions.remainder(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __imod__(self, other: Any) -> Tensor:
        return self._become(functions.remainder(self, other))

    def __and__(self, other: Any) -> Tensor:
        return functions.bitwise_and(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rand__(self, other: Any) -> Tensor:
        return functions.bitwise_and(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __iand__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_and(self, other))

    def __or__(self, other: Any) -> Tensor:
        return functions.bitwise_or(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __ror__(self, other: Any) -> Tensor:
        return functions.bitwise_or(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __ior__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_or(self, other))

    def __xor__(self, other: Any) -> Tensor:
        return functions.bitwise_xor(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rxor__(self, other: Any) -> Tensor:
        return functions.bitwise_xor(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __ixor__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_xor(self, other))

    def __lshift__(self, other: Any) -> Tensor:
        return functions.bitwise_left_shift(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rlshift__(self, other: Any) -> Tensor:
        return functions.bitwise_left_shift(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __ilshift__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_left_shift(self, other))

    def __rshift__(self, other: Any) -> Tensor:
        return functions.bitwise_right_shift(self, other) if isinstance(other, OPERANDS) else NotImplemented

    def __rrshift__(self, other: Any) -> Tensor:
        return functions.bitwise_right_shift(other, self) if isinstance(other, OPERANDS) else NotImplemented

    def __irshift__(self, other: Any) -> Tensor:
        return self._become(functions.bitwise_right_shift(self, other))

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
        return self

    def __abs__(self) -> Tensor:
        return functions.abs(self)

    # Arithmetic

    def add(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.add`."""
        return functions.add(self, other, alpha=alpha)

    def sub(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """See :func:`fastconv.sub`."""
        return functions.sub(self, other, alpha=alpha)

    def mul(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.mul`."""
        return functions.mul(self, other)

    def div(self, other: Tensor | _float) -> Tensor:
        """See :func:`fastconv.div`."""
        return functions.div(self, other)

    def lerp(self, end: Tensor, weight: Tensor | _float) -> Tensor:
        """See :func:`fastconv.lerp`."""
        return functions.lerp(self, end, weight)

    def pow(self, exponent: Tensor | _float) -> Tensor:
        """See :func:`fastconv.pow`."""
        return functions.pow(self, exponent)

    def matmul(self, other: Tensor) -> Tensor:
        """See :func:`fastconv.matmul`."""
        return functions.matmul(self, other)

    # Element by element

    def neg(self) -> Tensor:
        """See :func:`fastconv.neg`."""
        return functions.neg(self)

    def abs(self) -> Tensor:
        """See :func:`fastconv.abs`."""
        return functions.abs(self)

    def exp(self) -> Tensor:
        """See :func:`fastconv.exp`."""
        return functions.exp(self)

    def log(self) -> Tensor:
        """See :func:`fastconv.log`."""
        return functions.log(self)

    def sqrt(self) -> Tensor:
        """See :func:`fastconv.sqrt`."""
        return functions.sqrt(self)

    def tanh(self) -> Tensor:
        """See :func:`fastconv.tanh`."""
        return functions.tanh(self)

    def sigmoid(self) -> Tensor:
        """See :func:`fastconv.sigmoid`."""
        return functions.sigmoid(self)

    def relu(self) -> Tensor:
        """See :func:`fastconv.relu`."""
        return functions.relu(self)

    def softmax(self, dim: _int, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.softmax`."""
        return functions.softmax(self, dim, dtype)

    def log_softmax(self, dim: _int, dtype: DTypeLike | None = None) -> Tensor:
        """See :func:`fastconv.log_softmax`."""
        return functions.log_softmax(self, dim, dtype)

    def clamp(self, min: _float | None = None, max: _float | None = None) -> Tensor:
        """See :func:`fastconv.clamp`."""
        return functions.clamp(self, min, max)

    # Comparisons

    def eq(self, other: Tensor | _float) -> Tensor:
        """``self == other``, element-wise."""
        return functions.eq(self, other)

    def ne(self, other: Tensor | _float) -> Tensor:
        """``self != other``, element-wise."""
        return functions.ne(self, other)

    def lt(self, other: Tensor | _float) -> Tensor:
        """``self < other``, element-wise."""
        return functions.lt(self, other)

    def le(self, other: Tensor | _float) -> Tensor:
        """``self <= other``, element-wise."""
        return functions.le(self, other)

    def gt(self, other: Tensor | _float) -> Tensor:
        """``self > other``, element-wise."""
        return functions.gt(self, other)

    def ge(self, other: Tensor | _float) -> Tensor:
        """``self >= other``, element-wise."""
        return functions.ge(self, other)

    def isnan(self) -> Tensor:
        """See :func:`fastconv.isnan`."""
        return functions.isnan(self)

    def isfinite(self) -> Tensor:
        """See :func:`fastconv.isfinite`."""
        return functions.isfinite(self)

    def equal(self, other: Tensor) -> _bool:
        """See :func:`fastconv.equal`."""
        return functions.equal(self, other)

    def allclose(self, other: Tensor, rtol: _float = 1e-5, atol: _float = 1e-8, equal_nan: _bool = False) -> _bool:
        """See :func:`fastconv.allclose`."""
        return functions.allclose(self, other, rtol, atol, equal_nan)

    # Over whole dimensions

    @numpy_names
    def sum(
        self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """See :func:`fastconv.sum`."""
        return functions.sum(self, dim, keepdim, dtype=dtype)

    @numpy_names
    def mean(
        self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False, *, dtype: DTypeLike | None = None
    ) -> Tensor:
        """See :func:`fastconv.mean`."""
        return functions.mean(self, dim, keepdim, dtype=dtype)

    @numpy_names
    def var(
        self,
        dim: _int | Sequence[_int] | None = None,
        unbiased: _bool = True,
        keepdim: _bool = False,
        *,
        correction: _int | None = None,
    ) -> Tensor:
        """See :func:`fastconv.var`."""
        return functions.var(self, dim, unbiased, keepdim, correction=correction)

    @numpy_names
    def std(
        self,
        dim: _int | Sequence[_int] | None = None,
        unbiased: _bool = True,
        keepdim: _bool = False,
        *,
        correction: _int | None = None,
    ) -> Tensor:
        """See :func:`fastconv.std`."""
        return functions.std(self, dim, unbiased, keepdim, correction=correction)

    @numpy_names
    def norm(
        self,
        p: _float | str | None = "fro",
        dim: _int | Sequence[_int] | None = None,
        keepdim: _bool = False,
        *,
        dtype: DTypeLike | None = None,
    ) -> Tensor:
        """See :func:`fastconv.norm`."""
        return functions.norm(self, p, dim, keepdim, dtype=dtype)

    @numpy_names
    def max(self, dim: _int | Tensor | None = None, keepdim: _bool = False) -> Any:
        """See :func:`fastconv.max`."""
        return functions.max(self, dim, keepdim)

    @numpy_names
    def min(self, dim: _int | Tensor | None = None, keepdim: _bool = False) -> Any:
        """See :func:`fastconv.min`."""
        return functions.min(self, dim, keepdim)

    @numpy_names
    def argmax(self, dim: _int | None = None, keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.argmax`."""
        return functions.argmax(self, dim, keepdim)

    @numpy_names
    def argmin(self, dim: _int | None = None, keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.argmin`."""
        return functions.argmin(self, dim, keepdim)

    @numpy_names
    def any(self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.any`."""
        return functions.any(self, dim, keepdim)

    @numpy_names
    def all(self, dim: _int | Sequence[_int] | None = None, keepdim: _bool = False) -> Tensor:
        """See :func:`fastconv.all`."""
        return functions.all(self, dim, keepdim)

    # In place

    def _become(self, result: Tensor) -> Tensor:
        """Make this tensor the result of an in-place operation; see the Notes of the class."""
        if result.shape != self.shape:
            raise RuntimeError(
                f"an in-place operation cannot change the shape {list(self.shape)} into {list(result.shape)}"
            )
        if not can_cast(result.dtype, self.dtype):
            raise RuntimeError(f"result type {result.dtype} can't be cast to the desired output type {self.dtype}")
        tape.become(self, result.to(self.dtype))
        return self

    def _overwrite(self, value) -> Tensor:
        """Take over `value`, a tensor, array or number, broadcast to this shape and cast to this dtype, in place."""
        if tape.check_writable(self, value):
            return self._become(apply(primitives.overwrite, self, value))
        array = np.asarray(value._array if isinstance(value, Tensor) else value)
        if array.dtype != self._array.dtype:
            array = convert(array, self._array.dtype)
        tape.become(self, wrap(np.broadcast_to(array, self._array.shape)))
        return self

    def add_(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """``self += alpha * other``, in place."""
        return self._become(functions.add(self, other, alpha=alpha))

    def sub_(self, other: Tensor | _float, *, alpha: _float = 1) -> Tensor:
        """``self -= alpha * other``, in place."""
        return self._become(functions.sub(self, other, alpha=alpha))

    def lerp_(self, end: Tensor, weight: Tensor | _float) -> Tensor:
        """``self += weight * (end - self)``, in place."""
        return self._become(functions.lerp(self, end, weight))

    def mul_(self, other: Tensor | _float) -> Tensor:
        """``self *= other``, in place."""
        return self._become(functions.mul(self, other))

    def div_(self, other: Tensor | _float) -> Tensor:
        """``self /= other``, in place."""
        return self._become(functions.div(self, other))

    def clamp_(self, min: _float | None = None, max: _float | None = None) -> Tensor:
        """:func:`clamp`, in place."""
        return self._become(functions.clamp(self, min, max))

    def copy_(self, src: Tensor | ArrayLike) -> Tensor:
        """Take over the values of `src`, broadcast to this shape and cast to this dtype, in place."""
        src = src if isinstance(src, Tensor) else wrap(to_array(src, None))
        try:
            return self._overwrite(src)
        except ValueError:
            raise RuntimeError(
                f"copy_() expects a source that can be broadcast to the shape {list(self.shape)}, got {list(src.shape)}"
            ) from None

    def fill_(self, value: _float) -> Tensor:
        """Set every element to `value`, in place."""
        return self._overwrite(filled_with(number(value, "fill value"), (), self.dtype))

    def zero_(self) -> Tensor:
        """Set every element to 0, in place."""
        return self.fill_(0)

    # Random numbers, in place

    def _draw(self, fill: Callable[..., Any], *arguments) -> Tensor:
        """Fill the elements by a function of :mod:`fastconv.random`."""
        if tape.check_writable(self):
            drawn = random.like(self._array)
            fill(drawn, *arguments)
            return self._overwrite(wrap(drawn))
        fill(self._array, *arguments)
        tape.mark_written(self)
        return self

    def uniform_(self, a: _float = 0, b: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers, uniform in [a, b), in place."""
        return self._draw(random.fill_uniform, float(number(a, "a")), float(number(b, "b")), generator)

    def normal_(self, mean: _float = 0, std: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers from the normal distribution, in place."""
        return self._draw(random.fill_normal, float(number(mean, "mean")), float(number(std, "std")), generator)

    def bernoulli_(self, p: _float | Tensor = 0.5, *, generator: Generator | None = None) -> Tensor:
        """Set each element to 1 with probability `p`, which may differ between elements, and else to 0, in place."""
        p = p._array if isinstance(p, Tensor) else float(number(p, "p"))
        return self._draw(random.fill_bernoulli, p, generator)

    def random_(self, *bounds: _int | None, generator: Generator | None = None) -> Tensor:
        """Fill with random integers, in place.

        Parameters
        ----------
        *bounds : int
            ``to``, or ``from`` and ``to``: from the first, or 0, up to but not including the last. None as `to` is the
            end of what the dtype holds, as are no bounds at all; of a floating dtype the end of its integers.
        generator : Generator or None
        """
        if len(bounds) > 2:
            raise TypeError(f"random_() takes random_(), random_(to) or random_(from, to), got {bounds}")
        if not bounds:
            return self._draw(random.fill_any_integers, generator)
        low, high = (0, *bounds) if len(bounds) == 1 else bounds
        high = None if high is None else int64_number(high, "to")
        return self._draw(random.fill_integers, int64_number(low, "from"), high, generator)

    def exponential_(self, lambd: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers from the exponential distribution of this rate, in place."""
        return self._draw(random.fill_exponential, float(number(lambd, "lambd")), generator)

    def cauchy_(self, median: _float = 0, sigma: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers from the Cauchy distribution, in place."""
        return self._draw(random.fill_cauchy, float(number(median, "median")), float(number(sigma, "sigma")), generator)

    def log_normal_(self, mean: _float = 1, std: _float = 2, *, generator: Generator | None = None) -> Tensor:
        """Fill with exp of random numbers from the normal distribution of this mean and deviation, in place."""
        return self._draw(random.fill_log_normal, float(number(mean, "mean")), float(number(std, "std")), generator)

    def geometric_(self, p: _float, *, generator: Generator | None = None) -> Tensor:
        """Fill with how many trials of probability `p` the first success takes, in place."""
        return self._draw(random.fill_geometric, float(number(p, "p")), generator)

    def bernoulli(self, p: _float | None = None, *, generator: Generator | None = None) -> Tensor:
        """See :func:`fastconv.bernoulli`."""
        drawn = wrap(np.empty(self.shape, self.dtype))
        return drawn.bernoulli_(self.detach() if p is None else p, generator=generator)

    def multinomial(
        self, num_samples: _int, replacement: _bool = False, *, generator: Generator | None = None
    ) -> Tensor:
        """See :func:`fastconv.multinomial`."""
        number_drawn = integer(num_samples, "num_samples", -LARGEST)
        return wrap(random.multinomial(self._array, number_drawn, replacement, generator))

    # Dtypes

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
        for t in target:
            if isinstance(t, Tensor):
                dtype = t.dtype
            elif is_device(t):
                device = t
            elif t is not None:
                dtype = t
        if device is not None:
            check_device(device)
        dtype = self.dtype if dtype is None else as_dtype(dtype)
        if dtype != self.dtype:
            return cast(self, dtype).contiguous(memory_format)
        return (self.clone() if copy else self).contiguous(memory_format)

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

    def type(self, dtype: Any = None) -> Any:
        """Torch's name of tensors of this dtype, ``"torch.FloatTensor"``; with a name or a dtype see :meth:`to`."""
        if dtype is None:
            return f"torch.{_CLASSES[self.dtype.name]}Tensor"
        if isinstance(dtype, str):
            names = {f"torch.{name}Tensor": kind for kind, name in _CLASSES.items()}
            if dtype not in names:
                raise ValueError(f"invalid type: {dtype!r}; there are {', '.join(names)}")
            dtype = names[dtype]
        return self.to(dtype)

    def cpu(self) -> Tensor:
        """Itself: every tensor is on the CPU."""
        return self

    def share_memory_(self) -> Tensor:
        """Move it, in place, into memory that it shares with processes that it is handed to; returns self."""
        from .shared import share

        share(self)
        return self

    def is_shared(self) -> _bool:
        """Whether it lies in memory that processes share."""
        from .shared import is_shared

        return is_shared(self)

    def cuda(self, device: Any = None, non_blocking: _bool = False) -> NoReturn:
        """Raise torch's AssertionError: there is no GPU."""
        check_device("cuda")

    def new(self, *data: Any, device: DeviceLike = None) -> Tensor:
        """Torch's old way to a tensor of this one's dtype: of a shape given as integers, else with a copy of the data.

        Without arguments it is empty; with integers, or a ``Size``, its values are whatever was in the memory.
        """
        check_device(device)
        if len(data) == 1 and not isinstance(data[0], (_int, np.integer, Size)):
            return self.new_tensor(data[0])
        return self.new_empty(*(data or (0,)))

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the dtype of `other`."""
        return self.to(other.dtype)

    def bfloat16(self) -> Tensor:
        """The tensor in bfloat16."""
        return self.to(bfloat16)

    def half(self) -> Tensor:
        """The tensor in float16."""
        return self.to(float16)

    def float(self) -> Tensor:
        """The tensor in float32."""
        return self.to(float32)

    def double(self) -> Tensor:
        """The tensor in float64."""
        return self.to(float64)

    def byte(self) -> Tensor:
        """The tensor in uint8."""
        return self.to(uint8)

    def char(self) -> Tensor:
        """The tensor in int8."""
        return self.to(int8)

    def short(self) -> Tensor:
        """The tensor in int16."""
        return self.to(int16)

    def int(self) -> Tensor:
        """The tensor in int32."""
        return self.to(int32)

    def long(self) -> Tensor:
        """The tensor in int64."""
        return self.to(int64)

    def bool(self) -> Tensor:
        """The tensor as bools: which elements are not 0."""
        return self.to(bool_)

    # Shapes

    def reshape(self, *shape: _int | Sequence[_int]) -> Tensor:
        """See :func:`fastconv.reshape`; the lengths may also be given one by one."""
        return functions.reshape(self, shape)

    def view(self, *shape: _int | Sequence[_int]) -> Tensor:
        """:meth:`reshape` that never copies.

        Raises
        ------
        RuntimeError
            If the shape does not hold the elements, or the strides would need a copy.
        """
        return functions.view(self, shape)

    def view_as(self, other: Tensor) -> Tensor:
        """``view(other.shape)``."""
        return self.view(other.shape)

    def flatten(self, start_dim: _int = 0, end_dim: _int = -1) -> Tensor:
        """See :func:`fastconv.flatten`."""
        return functions.flatten(self, start_dim, end_dim)

    def permute(self, *dims: _int | Sequence[_int]) -> Tensor:
        """See :func:`fastconv.permute`; the dimensions may also be given one by one."""
        return functions.permute(self, dims)

    def transpose(self, dim0: _int, dim1: _int) -> Tensor:
        """See :func:`fastconv.transpose`."""
        return functions.transpose(self, dim0, dim1)

    def t(self) -> Tensor:
        """The transposed matrix, a view."""
        if self.ndim > 2:
            raise RuntimeError(f"t() expects a tensor of at most 2 dimensions, got shape {list(self.shape)}")
        return self.T

    def unsqueeze(self, dim: _int) -> Tensor:
        """See :func:`fastconv.unsqueeze`."""
        return functions.unsqueeze(self, dim)

    def squeeze(self, dim: _int | Sequence[_int] | None = None) -> Tensor:
        """See :func:`fastconv.squeeze`."""
        return functions.squeeze(self, dim)

    def _turn(self, view: Tensor) -> Tensor:
        """Make this tensor a view of itself, in place."""
        recorded = tape.check_writable(self)
        self._array = view._array
        if recorded:
            self._adopt(view._node)
        return self

    def unsqueeze_(self, dim: _int) -> Tensor:
        """:func:`fastconv.unsqueeze`, in place."""
        return self._turn(self.unsqueeze(dim))

    def squeeze_(self, dim: _int | Sequence[_int] | None = None) -> Tensor:
        """:func:`fastconv.squeeze`, in place."""
        return self._turn(self.squeeze(dim))

    def transpose_(self, dim0: _int, dim1: _int) -> Tensor:
        """:func:`fastconv.transpose`, in place."""
        return self._turn(self.transpose(dim0, dim1))

    def t_(self) -> Tensor:
        """:meth:`t`, in place."""
        return self._turn(self.t())

    def resize_(self, *sizes: _int | Sequence[_int], memory_format: memory_format = contiguous_format) -> Tensor:
        """Give it another shape, in place; elements that are added have whatever was in the memory.

        Where there are more than there were, the memory is another than that of its views so far.

        Raises
        ------
        RuntimeError
            If it requires a gradient.
        """
        if self.requires_grad:
            raise RuntimeError("cannot resize variables that require grad")
        shape = check_shape(unpack(sizes), "resize_")
        kept = self._array if self._array.flags.c_contiguous else np.ascontiguousarray(self._array)
        array = kept.reshape(-1)[: math.prod(shape)]
        if array.size < math.prod(shape):
            array = np.empty(math.prod(shape), kept.dtype)
            array[: kept.size] = kept.reshape(-1)
        self._array = array.reshape(shape)
        return self

    def resize_as_(self, the_template: Tensor) -> Tensor:
        """``resize_(the_template.shape)``."""
        return self.resize_(the_template.shape)

    def expand(self, *shape: _int | Sequence[_int]) -> Tensor:
        """A read-only view broadcast to this shape; -1 keeps a length."""
        return functions.expand(self, shape)


tape.set_tensor_type(Tensor)
