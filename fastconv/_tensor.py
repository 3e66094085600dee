"""Tensor: an ndarray that knows how to compute its gradient.

Its methods stand here, by families; what is also a function of the package is computed in
:mod:`fastconv.functions`.
"""

from __future__ import annotations

import weakref
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections.abc import Callable, Sequence
from copy import deepcopy
from typing import Any, SupportsIndex, overload

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import functions, primitives
from ._methods import Arithmetic, Conversion, Draws, Elementary, Elements, Operators, Reductions, Shapes
from ._native import tape, walk
from ._native.tape import Node, apply, wrap
from ._printing import text_of
from .autograd.engine import backward, start
from .autograd.hooks import RemovableHandle, add_hook
from .checks import brief, check_shape, number, unpack
from .dtypes import (
    CPU,
    DeviceLike,
    DType,
    Size,
    bfloat16,
    can_cast,
    channels_last,
    check_device,
    contiguous_format,
    convert,
    device,
    dtype_of,
    filled_with,
    float32,
    memory_format,
    preserve_format,
    to_array,
)
from .functions.operands import array_of

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


class Tensor(tape.TensorBase, Elementary, Operators, Arithmetic, Reductions, Elements, Shapes, Conversion, Draws):
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
    def dtype(self) -> DType:
        """What the elements are: ``float32`` and the like."""
        return dtype_of(self._array)

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
        self._show()
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

    def nelement(self) -> _int:
        """Number of elements."""
        return self._array.size

    def element_size(self) -> _int:
        """Bytes of an element."""
        return self._array.itemsize

    def data_ptr(self) -> _int:
        """The address of the first element."""
        return self._array.__array_interface__["data"][0]

    def is_complex(self) -> _bool:
        """See :func:`fastconv.is_complex`."""
        return functions.is_complex(self)

    def is_nonzero(self) -> _bool:
        """See :func:`fastconv.is_nonzero`."""
        return functions.is_nonzero(self)

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
        self._show()
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
        self._show()
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

    # In place

    def _become(self, result: Tensor, *sources: Any, whole: _bool = False) -> Tensor:
        """Make this tensor the result of an in-place operation; see the Notes of the class.

        Its `sources` may not show this tensor's memory in another order, or with `whole` in any.
        """
        for source in sources:
            tape.check_overlap(self._array, source, whole)
        old, new = self._array, result._array
        if new.shape != old.shape:
            shapes = f"{list(old.shape)} into {list(new.shape)}"
            raise RuntimeError(f"an in-place operation cannot change the shape {shapes}")
        if new.dtype != old.dtype:
            if not can_cast(result.dtype, self.dtype):
                raise RuntimeError(f"result type {result.dtype} can't be cast to the desired output type {self.dtype}")
            result = result.to(self.dtype)
        tape.become(self, result)
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

    def copy_(self, src: Tensor | ArrayLike) -> Tensor:
        """Take over the values of `src`, broadcast to this shape and cast to this dtype, in place."""
        src = src if isinstance(src, Tensor) else wrap(to_array(src, None))
        tape.check_overlap(self._array, src)
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


tape.set_tensor_type(Tensor)
