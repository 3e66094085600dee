"""Tensor: an ndarray that knows how to compute its gradient, and the functions of it.

:func:`apply` makes an operation on ndarrays (see :mod:`fastconv.primitives`) one on tensors, and records it.
"""

from __future__ import annotations

import builtins
import functools
import math
from builtins import bool as _bool
from builtins import float as _float
from builtins import int as _int
from collections import namedtuple
from collections.abc import Iterator, Sequence
from operator import index as _index
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import ArrayLike, DTypeLike

from . import primitives
from ._checks import number
from ._native import layers, tape
from ._native.tape import apply
from ._native.tape import wrap as _wrap
from .autograd import Node, is_grad_enabled, run_backward
from .random import Generator, stream_of

float16, float32, float64 = np.dtype("float16"), np.dtype("float32"), np.dtype("float64")
uint8, int8, int16, int32, int64 = (np.dtype(name) for name in ("uint8", "int8", "int16", "int32", "int64"))
bool_ = np.dtype("bool")

# ---------------------------------------------------------------------------------------------------------
# Operands: Python numbers are weak, and so are tensors without dimensions beside others of their kind
# ---------------------------------------------------------------------------------------------------------

_CATEGORY = {"b": 0, "u": 1, "i": 1, "f": 2}


def _category(x) -> int:
    if isinstance(x, _ARRAYS):
        return _CATEGORY[x.dtype.kind]
    return 0 if isinstance(x, bool) else 1 if isinstance(x, int) else 2


def result_type(x, y) -> np.dtype:
    """The dtype of an operation on two tensors or numbers, by torch's rules of promotion.

    A float goes before an integer and an integer before a bool; within such a kind, tensors with dimensions
    decide before those without, and those before Python numbers, whose own dtypes are float32, int64 and bool.
    """
    ranked = []
    for operand in (x, y):
        if isinstance(operand, _ARRAYS):
            ranked.append((_category(operand), 2 if operand.ndim else 1, operand.dtype))
        else:
            ranked.append((_category(operand), 0, (bool_, int64, float32)[_category(operand)]))
    (x_kind, x_rank, x_dtype), (y_kind, y_rank, y_dtype) = ranked
    if (x_kind, x_rank) == (y_kind, y_rank):
        return np.promote_types(x_dtype, y_dtype)
    return x_dtype if (x_kind, x_rank) > (y_kind, y_rank) else y_dtype


def _operands(x, y, floating: bool = False):
    """Bring two operands to one dtype (a floating one, if asked for); Python numbers that fit stay as they are."""
    # What is met most: equal dtypes, or a float and a floating tensor.
    if isinstance(x, Tensor):
        dtype = x._array.dtype
        if (type(y) is float or (isinstance(y, Tensor) and y._array.dtype == dtype)) and dtype.kind == "f":
            return x, y
    x = x.item() if isinstance(x, np.generic) else x
    y = y.item() if isinstance(y, np.generic) else y
    dtype = result_type(x, y)
    if floating and dtype.kind != "f":
        dtype = float32
    return _as_operand(x, dtype), _as_operand(y, dtype)


def _as_operand(x, dtype: np.dtype | None):
    if dtype is None:
        return x
    if isinstance(x, Tensor):
        return x if x._array.dtype == dtype else apply(primitives.cast, x, dtype=dtype)
    if isinstance(x, np.ndarray):
        return x.astype(dtype, copy=False)
    return x


# ---------------------------------------------------------------------------------------------------------
# Tensor
# ---------------------------------------------------------------------------------------------------------

max_result = namedtuple("max_result", ("values", "indices"))


def _rebuild(cls: type, array: np.ndarray, requires_grad: bool, attributes: dict | None) -> Tensor:
    t = cls.__new__(cls)
    t._array, t._requires_grad = array, requires_grad
    if attributes:
        t.__dict__.update(attributes)
    return t


def _binary(function_name: str, swap: bool = False):
    """The method behind an operator; the module's function of that name does the work."""

    def method(self, other):
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        function = globals()[function_name]
        return function(other, self) if swap else function(self, other)

    return method


def _in_place(function_name: str):
    def method(self, other):
        return self._become(globals()[function_name](self, other))

    return method


def _unrecorded(ufunc):
    """The method behind an operator that has no gradient."""

    def method(self, other):
        if not isinstance(other, _OPERANDS):
            return NotImplemented
        return _wrap(np.asarray(ufunc(self._array, other._array if isinstance(other, Tensor) else other)))

    return method


class Tensor(tape.TensorBase):
    """An n-dimensional array that knows how to compute its gradient; names and semantics of ``torch.Tensor``.

    Parameters
    ----------
    data : array_like
        Copied; Python floats become float32. (:func:`from_numpy` shares the memory of an ndarray.)
    requires_grad : bool
        Whether operations on it are recorded, so that ``backward()`` fills ``grad``.

    Notes
    -----
    Operations broadcast as NumPy's do. Python numbers are weak: a float32 tensor times 2.0 stays float32, and
    an int64 tensor divided by an int is float32. Views (``view``, ``reshape``, ``transpose``, basic indexing,
    ``detach``, ``numpy``) share memory.

    An in-place operation (``+=``, ``add_``, ...) writes to the tensor's memory when it is not recorded. When it
    is, the tensor takes over a new array, so that nothing that the tape still needs is overwritten; other
    tensors that shared its memory then keep the old values. A change made while nothing is recorded to
    an array that a recorded operation has yet to differentiate is not detected.
    """

    __slots__ = ("__weakref__",)

    __array_priority__ = 1000  # ndarray + Tensor calls Tensor.__radd__
    __hash__ = object.__hash__

    def __init__(self, data: ArrayLike = (), requires_grad: _bool = False) -> None:
        self._array = _to_array(data, None)
        if requires_grad:
            self.requires_grad_()

    if TYPE_CHECKING:  # most functions of this module become methods, at its end

        def __getattr__(self, name: str) -> Any: ...

    # Attributes

    @property
    def shape(self) -> tuple[_int, ...]:
        return self._array.shape

    @property
    def ndim(self) -> _int:
        return self._array.ndim

    @property
    def dtype(self) -> np.dtype:
        return self._array.dtype

    @property
    def device(self) -> str:
        """Always ``"cpu"``."""
        return "cpu"

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
        if value and self._array.dtype.kind != "f":
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
        return _wrap(self._array)

    @data.setter
    def data(self, value: Tensor) -> None:
        if not isinstance(value, Tensor):
            raise TypeError(f"expected a Tensor as data, got {type(value).__name__}")
        self._array = value._array

    def size(self, dim: _int | None = None) -> tuple[_int, ...] | _int:
        """The shape, or the length of dimension `dim`."""
        return self._array.shape if dim is None else self._array.shape[dim]

    def dim(self) -> _int:
        """Number of dimensions."""
        return self._array.ndim

    def numel(self) -> _int:
        """Number of elements."""
        return self._array.size

    def stride(self, dim: _int | None = None) -> tuple[_int, ...] | _int:
        """Steps in memory, in elements."""
        strides = tuple(step // self._array.itemsize for step in self._array.strides)
        return strides if dim is None else strides[dim]

    def is_contiguous(self) -> _bool:
        """Whether the elements lie in memory in row-major order without gaps."""
        return self._array.flags.c_contiguous

    def is_floating_point(self) -> _bool:
        """Whether the dtype is a floating one."""
        return self._array.dtype.kind == "f"

    # The gradient

    def backward(self, gradient: Tensor | ArrayLike | None = None, retain_graph: _bool | None = None) -> None:
        """Add the gradient with respect to every leaf that requires one to that leaf's ``grad``.

        Parameters
        ----------
        gradient : Tensor or array_like, optional
            Gradient of some scalar with respect to this tensor, of its shape; 1 for a tensor of one element.
        retain_graph : bool, optional
            Keep what the operations saved, so that backward() can be called again. By default it is freed as
            the walk goes on.

        Raises
        ------
        RuntimeError
            If the tensor does not require a gradient, `gradient` is missing or of another shape, or the graph
            has been freed.
        """
        if not self._requires_grad:
            raise RuntimeError("the tensor does not require grad and was not made by a recorded operation")
        if gradient is None:
            if self._array.size != 1:
                raise RuntimeError(
                    "grad can be implicitly created only for scalar outputs; this tensor has shape "
                    f"{list(self.shape)}: pass backward(gradient)"
                )
            dy = np.empty_like(self._array)
            dy.fill(1)
        else:
            dy = gradient._array if isinstance(gradient, Tensor) else np.asarray(gradient)
            if dy.dtype.kind not in _CATEGORY:
                raise TypeError(f"backward() expects a tensor as gradient, got {_brief(gradient)}")
            if dy.shape != self.shape:
                raise RuntimeError(
                    f"Mismatch in shape: gradient has shape {list(dy.shape)}, the tensor {list(self.shape)}"
                )
            dy = dy.astype(self.dtype, copy=False)
        if self._node is None:
            self._accumulate(dy, own=False)
        else:
            run_backward(self._node, dy, bool(retain_graph))

    def detach(self) -> Tensor:
        """The same memory without history; it does not require a gradient."""
        return _wrap(self._array)

    def detach_(self) -> Tensor:
        """Forget the history, in place; returns self."""
        self._node, self._requires_grad = None, False
        return self

    def clone(self) -> Tensor:
        """A copy; the gradient goes through."""
        return apply(primitives.clone, self)

    def contiguous(self) -> Tensor:
        """Itself where row-major in memory, else such a copy."""
        return self if self._array.flags.c_contiguous else apply(primitives.contiguous, self)

    # Out to Python and NumPy

    def item(self) -> _float | _int | _bool:
        """The one element as a Python number."""
        if self._array.size != 1:
            raise RuntimeError(f"only a tensor of one element has an item(), this one has shape {list(self.shape)}")
        return self._array.item()

    def tolist(self) -> list | _float | _int | _bool:
        """The elements as nested lists of Python numbers."""
        return self._array.tolist()

    def numpy(self, *, force: _bool = False) -> np.ndarray:
        """The ndarray itself, without a copy.

        Parameters
        ----------
        force : bool
            Allow it for a tensor that requires a gradient, as ``detach().numpy()``.
        """
        if self._requires_grad and not force:
            raise RuntimeError("Can't call numpy() on a tensor that requires grad; use detach().numpy() instead")
        return self._array

    def __array__(self, dtype: DTypeLike | None = None, copy: _bool | None = None) -> np.ndarray:
        array = self.numpy()
        if dtype is not None and array.dtype != dtype:
            if copy is False:
                raise ValueError(f"cannot turn {array.dtype} into {np.dtype(dtype)} without a copy")
            return array.astype(dtype)
        return array.copy() if copy else array

    def __dlpack__(self, **kwargs):
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
        return _repr(self)

    def __reduce_ex__(self, protocol):
        return _rebuild, (type(self), self._array, self._requires_grad, getattr(self, "__dict__", None))

    def __deepcopy__(self, memo: dict) -> Tensor:
        if self._node is not None:
            raise RuntimeError("only leaf tensors can be deep-copied; detach() this one, or clone() it")
        copy = _rebuild(type(self), self._array.copy(order="K"), self._requires_grad, getattr(self, "__dict__", None))
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
        return (self[i] for i in range(self._array.shape[0]))

    def __contains__(self, value) -> _bool:
        return bool(np.any(self._array == (value._array if isinstance(value, Tensor) else value)))

    def __getitem__(self, index) -> Tensor:
        plain, basic = _plain_index(index)
        try:
            return apply(primitives.index, self, index=plain, basic=basic)
        except IndexError as error:
            raise _bad_index(index, self, error) from None

    def __setitem__(self, index, value) -> None:
        value_requires_grad = isinstance(value, Tensor) and value._requires_grad
        if is_grad_enabled() and (self._requires_grad or value_requires_grad):
            raise RuntimeError(
                "an assignment to elements is not recorded, and a tensor here requires grad: assign under no_grad(), "
                "or build the result with cat(), stack() or where()"
            )
        if not isinstance(value, (*_OPERANDS, list, tuple)):
            raise TypeError(f"expected a tensor or a number to assign, got {_brief(value)}")
        try:
            self._array[_plain_index(index)[0]] = value._array if isinstance(value, Tensor) else value
        except IndexError as error:
            raise _bad_index(index, self, error) from None

    # Operators

    __add__, __radd__ = _binary("add"), _binary("add", swap=True)
    __sub__, __rsub__ = _binary("sub"), _binary("sub", swap=True)
    __mul__, __rmul__ = _binary("mul"), _binary("mul", swap=True)
    __truediv__, __rtruediv__ = _binary("div"), _binary("div", swap=True)
    __pow__, __rpow__ = _binary("pow"), _binary("pow", swap=True)
    __matmul__, __rmatmul__ = _binary("matmul"), _binary("matmul", swap=True)
    __iadd__, __isub__, __imul__ = _in_place("add"), _in_place("sub"), _in_place("mul")
    __itruediv__, __ipow__ = _in_place("div"), _in_place("pow")

    __eq__, __ne__ = _unrecorded(np.equal), _unrecorded(np.not_equal)
    __lt__, __le__ = _unrecorded(np.less), _unrecorded(np.less_equal)
    __gt__, __ge__ = _unrecorded(np.greater), _unrecorded(np.greater_equal)
    eq, ne, lt, le, gt, ge = __eq__, __ne__, __lt__, __le__, __gt__, __ge__

    __and__, __or__ = _unrecorded(np.bitwise_and), _unrecorded(np.bitwise_or)
    __xor__ = _unrecorded(np.bitwise_xor)
    __floordiv__, __mod__ = _unrecorded(np.floor_divide), _unrecorded(np.remainder)

    def __invert__(self) -> Tensor:
        return _wrap(np.asarray(~self._array))

    def __neg__(self) -> Tensor:
        return apply(primitives.neg, self)

    def __pos__(self) -> Tensor:
        return self

    def __abs__(self) -> Tensor:
        return apply(primitives.abs, self)

    # In place

    def _become(self, result: Tensor) -> Tensor:
        """Make this tensor the result of an in-place operation; see the Notes of the class."""
        if result.shape != self.shape:
            raise RuntimeError(
                f"an in-place operation cannot change the shape {list(self.shape)} into {list(result.shape)}"
            )
        if not np.can_cast(result.dtype, self.dtype, "same_kind"):
            raise RuntimeError(f"an in-place operation cannot store its {result.dtype} result in a {self.dtype} tensor")
        if self._requires_grad and self._node is None and is_grad_enabled():
            raise RuntimeError(
                "a leaf tensor that requires grad is being changed in place; do so under no_grad(), "
                "or compute a new tensor"
            )
        if not result._requires_grad and not (self._requires_grad and is_grad_enabled()):
            np.copyto(self._array, result._array, casting="same_kind")
            return self
        result = result.to(self.dtype)
        self._array, self._node, self._requires_grad = result._array, result._node, result._requires_grad
        return self

    def add_(self, other, *, alpha: _float = 1) -> Tensor:
        """``self += alpha * other``, in place."""
        return self._become(add(self, other, alpha=alpha))

    def sub_(self, other, *, alpha: _float = 1) -> Tensor:
        """``self -= alpha * other``, in place."""
        return self._become(sub(self, other, alpha=alpha))

    def mul_(self, other) -> Tensor:
        """``self *= other``, in place."""
        return self._become(mul(self, other))

    def div_(self, other) -> Tensor:
        """``self /= other``, in place."""
        return self._become(div(self, other))

    def clamp_(self, min: _float | None = None, max: _float | None = None) -> Tensor:
        """:func:`clamp`, in place."""
        return self._become(clamp(self, min, max))

    def copy_(self, src: Tensor | ArrayLike) -> Tensor:
        """Take over the values of `src`, broadcast to this shape and cast to this dtype, in place."""
        src = as_tensor(src)
        return self._become(src.expand(*self.shape).to(self.dtype))

    def fill_(self, value: _float) -> Tensor:
        """Set every element to `value`, in place."""
        return self._become(_wrap(np.full(self.shape, number(value, "fill value"), self.dtype)))

    def zero_(self) -> Tensor:
        """Set every element to 0, in place."""
        return self.fill_(0)

    def uniform_(self, a: _float = 0, b: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers, uniform in [a, b), in place."""
        number(a, "a"), number(b, "b")
        return self._become(_wrap((self._draw("random", generator) * (b - a) + a).astype(self.dtype)))

    def normal_(self, mean: _float = 0, std: _float = 1, *, generator: Generator | None = None) -> Tensor:
        """Fill with random numbers from the normal distribution, in place."""
        number(mean, "mean"), number(std, "std", 0)
        return self._become(_wrap((self._draw("standard_normal", generator) * std + mean).astype(self.dtype)))

    def _draw(self, distribution: str, generator: Generator | None) -> np.ndarray:
        return getattr(stream_of(generator), distribution)(
            self.shape, dtype=float64 if self.dtype == float64 else float32
        )

    # Dtypes

    def to(
        self, *target, dtype: DTypeLike | None = None, device=None, non_blocking: _bool = False, copy: _bool = False
    ) -> Tensor:
        """The tensor in another dtype; itself if it has that dtype already.

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

        Raises
        ------
        RuntimeError
            For any device but the CPU.
        """
        for t in target:
            if isinstance(t, Tensor):
                dtype = t.dtype
            elif _is_device(t):
                device = t
            else:
                dtype = t
        if device is not None and not _is_device(device):
            raise TypeError(f"expected a device, got {device!r}")
        if device is not None and str(device).split(":")[0] != "cpu":
            raise RuntimeError(f"fastconv computes on the CPU, got the device {str(device)!r}")
        dtype = self.dtype if dtype is None else _as_dtype(dtype)
        if dtype != self.dtype:
            return apply(primitives.cast, self, dtype=dtype)
        return self.clone() if copy else self

    def cpu(self) -> Tensor:
        """Itself: every tensor is on the CPU."""
        return self

    def type_as(self, other: Tensor) -> Tensor:
        """The tensor in the dtype of `other`."""
        return self.to(other.dtype)

    def half(self) -> Tensor:
        """The tensor in float16."""
        return self.to(float16)

    def float(self) -> Tensor:
        """The tensor in float32."""
        return self.to(float32)

    def double(self) -> Tensor:
        """The tensor in float64."""
        return self.to(float64)

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
        """The elements in another shape, of which one length may be -1; a view where possible."""
        shape = _unpack(shape)
        try:
            if builtins.min(shape, default=0) < -1:
                raise ValueError
            return apply(primitives.reshape, self, shape=shape)
        except ValueError:
            raise RuntimeError(f"shape {list(shape)} is invalid for input of size {self.numel()}") from None

    def view(self, *shape: _int | Sequence[_int]) -> Tensor:
        """:meth:`reshape` that never copies.

        Raises
        ------
        RuntimeError
            If the shape does not hold the elements, or the strides would need a copy.
        """
        out = self.reshape(*shape)
        if not (self._array.flags.c_contiguous or np.may_share_memory(out._array, self._array) or not self.numel()):
            raise RuntimeError(
                f"view size {list(out.shape)} is not compatible with the tensor's size {list(self.shape)} and stride "
                f"{list(self.stride())}; use reshape() instead"
            )
        return out

    def view_as(self, other: Tensor) -> Tensor:
        """``view(other.shape)``."""
        return self.view(other.shape)

    def flatten(self, start_dim: _int = 0, end_dim: _int = -1) -> Tensor:
        """The tensor with the dimensions `start_dim` to `end_dim` made one."""
        y = layers.flatten(self, start_dim, end_dim)
        if y is not None:
            return y
        start, end = _dim(start_dim, self.ndim), _dim(end_dim, self.ndim)
        if start > end:
            raise RuntimeError(
                f"flatten() got start_dim {start_dim} after end_dim {end_dim} for shape {list(self.shape)}"
            )
        shape = self.shape
        return apply(
            primitives.reshape, self, shape=(*shape[:start], math.prod(shape[start : end + 1]), *shape[end + 1 :])
        )

    def permute(self, *dims: _int | Sequence[_int]) -> Tensor:
        """A view with the dimensions in this order."""
        dims = tuple(d + self.ndim if d < 0 else d for d in _unpack(dims))
        if sorted(dims) != list(range(self.ndim)):
            raise RuntimeError(f"permute() got {list(dims)} for the {self.ndim} dimensions of shape {list(self.shape)}")
        return apply(primitives.permute, self, dims=dims)

    def transpose(self, dim0: _int, dim1: _int) -> Tensor:
        """A view with two dimensions swapped."""
        dims = list(range(self.ndim))
        dim0, dim1 = _dim(dim0, self.ndim), _dim(dim1, self.ndim)
        if dims:
            dims[dim0], dims[dim1] = dims[dim1], dims[dim0]
        return apply(primitives.permute, self, dims=tuple(dims))

    def t(self) -> Tensor:
        """The transposed matrix, a view."""
        if self.ndim > 2:
            raise RuntimeError(f"t() expects a tensor of at most 2 dimensions, got shape {list(self.shape)}")
        return self.T

    def unsqueeze(self, dim: _int) -> Tensor:
        """A view with a dimension of length 1 put in before `dim`."""
        place = _dim(dim, self.ndim + 1)
        return apply(primitives.reshape, self, shape=(*self.shape[:place], 1, *self.shape[place:]))

    def squeeze(self, dim: _int | Sequence[_int] | None = None) -> Tensor:
        """A view without the dimensions of length 1, or without those of them that `dim` names."""
        if dim is None:
            return apply(primitives.reshape, self, shape=tuple(n for n in self.shape if n != 1))
        drop = {_dim(d, self.ndim) for d in (dim if isinstance(dim, (list, tuple)) else (dim,))}
        return apply(
            primitives.reshape, self, shape=tuple(n for i, n in enumerate(self.shape) if n != 1 or i not in drop)
        )

    def expand(self, *shape: _int | Sequence[_int]) -> Tensor:
        """A read-only view broadcast to this shape; -1 keeps a length."""
        shape = list(_unpack(shape))
        lead = len(shape) - self.ndim
        shape = [self.shape[i - lead] if n == -1 and i >= lead else n for i, n in enumerate(shape)]
        try:
            return apply(primitives.expand, self, shape=tuple(shape))
        except ValueError:
            raise RuntimeError(f"shape {list(self.shape)} cannot be expanded to {shape}") from None


tape.set_tensor_type(Tensor)

_ARRAYS = (Tensor, np.ndarray)
_OPERANDS = (Tensor, int, float, np.ndarray, np.generic)


def _check_dtype(dtype: np.dtype) -> np.dtype:
    if dtype.kind not in _CATEGORY or dtype.itemsize > 8:
        raise TypeError(f"a tensor holds bools, integers, or floats of up to 64 bits, not {dtype}")
    return dtype


def _as_dtype(dtype: DTypeLike) -> np.dtype:
    """`dtype` as a dtype that a tensor can have."""
    try:
        return _check_dtype(np.dtype(dtype))
    except TypeError:
        raise TypeError(f"expected the dtype of bools, integers, or floats of up to 64 bits, got {dtype!r}") from None


class device(str):
    """``device("cpu")``: where a tensor is; the CPU is the only one."""

    def __new__(cls, name: str = "cpu") -> device:
        if str(name).split(":")[0] != "cpu":
            raise RuntimeError(f"fastconv computes on the CPU, got the device {str(name)!r}")
        return super().__new__(cls, name)

    @property
    def type(self) -> str:
        return "cpu"


def _is_device(x) -> bool:
    return isinstance(x, device) or (isinstance(x, str) and x.split(":")[0] in ("cpu", "cuda", "mps", "xpu", "meta"))


def _unpack(arguments: tuple) -> tuple[int, ...]:
    """``f(2, 3)`` and ``f((2, 3))`` alike."""
    if len(arguments) == 1 and type(arguments[0]) is not int and isinstance(arguments[0], (Sequence, np.ndarray)):
        arguments = arguments[0]
    try:
        return tuple(_index(n) for n in arguments)
    except TypeError:
        raise TypeError(f"expected integers, got {arguments!r}") from None


def check_shape(shape: Sequence[int], name: str) -> Sequence[int]:
    """The shape of a new array, if there can be an array of it."""
    size = 8
    for n in shape:
        if n < 0:
            raise RuntimeError(f"{name}: a tensor cannot have the negative length {n}, got the shape {list(shape)}")
        size *= n or 1
    if size > 2**63 - 1:
        raise MemoryError(f"{name}: a tensor of the shape {list(shape)} is larger than any memory")
    return shape


def _dim(dim: int, ndim: int) -> int:
    """A dimension counted from the front, of `ndim`."""
    try:
        d = _index(dim)
    except TypeError:
        raise TypeError(f"expected an integer as dimension, got {dim!r}") from None
    ndim = builtins.max(ndim, 1)
    if not -ndim <= d < ndim:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-ndim}, {ndim - 1}], but got {d})")
    return d % ndim


def _plain_index(index) -> tuple:
    """An index without tensors in it, and whether it is a basic one, which yields a view."""
    items = index if isinstance(index, tuple) else (index,)
    plain, basic, ellipsis = [], True, False
    for i in items:
        if isinstance(i, Tensor):
            i = i._array
            if i.ndim == 0 and i.dtype.kind in "iu":
                i = i.item()
        if i is Ellipsis:
            ellipsis = True
        elif isinstance(i, (list, range)):
            i = np.asarray(i, dtype=np.int64 if not len(i) else None)
            basic = False
        elif isinstance(i, bool) or not (i is None or isinstance(i, (slice, int, np.integer))):
            basic = False
        plain.append(i)
    if basic and not ellipsis:
        plain.append(Ellipsis)  # an element, too, comes out as an array over the same memory
    return tuple(plain), basic


def _bad_index(index: object, t: Tensor, error: IndexError) -> IndexError:
    return IndexError(f"index {_brief(index)} does not fit the shape {list(t.shape)}: {error}")


def _repr(t: Tensor) -> str:
    array = t._array
    options: dict[str, Any] = {
        "separator": ", ",
        "precision": 4,
        "threshold": 1000,
        "edgeitems": 3,
        "prefix": "tensor(",
    }
    if array.dtype.kind == "f":
        finite = array[np.isfinite(array)]
        whole = bool(np.all(finite == np.rint(finite)))
        size = np.abs(finite[finite != 0])
        wide = size.size and (size.max() / size.min() > 1000 or size.max() > 1e8 or size.min() < 1e-4)
        if whole and (not size.size or size.max() < 1e8):
            options["floatmode"] = "maxprec"
        else:
            options["floatmode"] = "fixed"
            if wide:
                options["formatter"] = {"float_kind": lambda x: f"{x:.4e}"}
    body = np.array2string(array, **options) if array.size else "[]"
    details = [body]
    if not array.size and array.ndim != 1:
        details.append(f"size={array.shape}")
    if array.dtype not in (float32, int64, bool_) or (not array.size and array.dtype != float32):
        details.append(f"dtype={array.dtype}")
    if t._node is not None:
        details.append(f"grad_fn={t._node!r}")
    elif t._requires_grad:
        details.append("requires_grad=True")
    return f"tensor({', '.join(details)})"


# ---------------------------------------------------------------------------------------------------------
# From data
# ---------------------------------------------------------------------------------------------------------


def _brief(value: object) -> str:
    """A value for an error message: arrays by their dtype and shape, all else as it is written, not too long."""
    if isinstance(value, _ARRAYS):
        return f"{type(value).__name__} of {value.dtype} and shape {list(value.shape)}"
    text = repr(value)
    return f"{text[:200]}..." if len(text) > 200 else f"{text} of type {type(value).__name__}"


def _to_array(data, dtype: DTypeLike | None) -> np.ndarray:
    """A fresh array in native byte order; Python floats make float32."""
    if isinstance(data, Tensor):
        data = data._array
    if dtype is not None:
        dtype = _as_dtype(dtype)
    try:
        array = np.array(data, dtype=dtype)
    except (TypeError, ValueError, OverflowError) as error:
        raise type(error)(f"cannot make a tensor of {_brief(data)}: {error}") from None
    if dtype is None and array.dtype == float64:
        leaf = data
        while isinstance(leaf, (list, tuple)) and leaf:
            leaf = leaf[0]
        if not isinstance(leaf, _ARRAYS) and not (isinstance(leaf, np.generic) and leaf is data):
            array = array.astype(float32)
    if array.dtype.kind not in _CATEGORY or array.dtype.itemsize > 8:
        raise TypeError(f"a tensor holds bools, integers, or floats of up to 64 bits, got {_brief(data)}")
    return array if array.dtype.isnative else array.astype(array.dtype.newbyteorder("="))


def _leaf(array: np.ndarray, requires_grad: bool) -> Tensor:
    t = _wrap(array)
    return t.requires_grad_() if requires_grad else t


def tensor(data: ArrayLike, *, dtype: DTypeLike | None = None, requires_grad: bool = False) -> Tensor:
    """A new tensor with a copy of the data.

    Parameters
    ----------
    data : number, nested sequence, ndarray or Tensor
        Python floats become float32, ints int64, bools bool; an array keeps its dtype.
    dtype : dtype, optional
    requires_grad : bool
    """
    return _leaf(_to_array(data, dtype), requires_grad)


def as_tensor(data: ArrayLike, dtype: DTypeLike | None = None) -> Tensor:
    """The tensor itself, or a tensor on the memory of an ndarray, where the dtype allows; else a copy."""
    if isinstance(data, Tensor):
        return data if dtype is None else data.to(dtype)
    if isinstance(data, np.ndarray) and data.dtype.isnative:
        return from_numpy(data) if dtype is None else from_numpy(data).to(dtype)
    return tensor(data, dtype=dtype)


def from_numpy(ndarray: np.ndarray) -> Tensor:
    """A tensor on the memory of `ndarray`, without a copy: a change of one is seen in the other.

    Raises
    ------
    TypeError
        If it is not an ndarray, or of a dtype that tensors do not have.
    ValueError
        If its byte order is not this machine's.
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    _check_dtype(ndarray.dtype)
    if not ndarray.dtype.isnative:
        raise ValueError(
            f"from_numpy() shares memory and so cannot change the byte order of {ndarray.dtype.str!r}; use tensor()"
        )
    return _wrap(np.asarray(ndarray))


def from_dlpack(ext_tensor: object) -> Tensor:
    """A tensor on the memory of any object with ``__dlpack__``, on the CPU, without a copy."""
    return from_numpy(np.from_dlpack(ext_tensor))


# ---------------------------------------------------------------------------------------------------------
# Functions
# ---------------------------------------------------------------------------------------------------------


def add(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """``input + alpha * other``, element-wise with broadcasting."""
    return apply(primitives.add, *_operands(input, other if alpha == 1 else other * alpha))


def sub(input: Tensor, other: Tensor | float, *, alpha: float = 1) -> Tensor:
    """``input - alpha * other``, element-wise with broadcasting."""
    return apply(primitives.sub, *_operands(input, other if alpha == 1 else other * alpha))


def mul(input: Tensor, other: Tensor | float) -> Tensor:
    """``input * other``, element-wise with broadcasting."""
    return apply(primitives.mul, *_operands(input, other))


def div(input: Tensor, other: Tensor | float) -> Tensor:
    """``input / other``, element-wise with broadcasting; integers are divided as float32."""
    return apply(primitives.div, *_operands(input, other, floating=True))


def pow(input: Tensor | float, exponent: Tensor | float) -> Tensor:
    """``input ** exponent``, element-wise with broadcasting."""
    return apply(primitives.pow, *_operands(input, exponent))


def matmul(input: Tensor, other: Tensor) -> Tensor:
    """The matrix product, batched and broadcast over leading dimensions as ``numpy.matmul``.

    Raises
    ------
    RuntimeError
        If the dtypes differ, an operand has no dimension, or the inner lengths do not match.
    """
    for operand in (input, other):
        if not isinstance(operand, _ARRAYS) or not operand.ndim:
            raise RuntimeError(f"matmul() expects tensors of at least 1 dimension, got {operand!r}")
    if input.dtype != other.dtype:
        raise RuntimeError(f"matmul() expects one dtype, got {input.dtype} and {other.dtype}")
    try:
        return apply(primitives.matmul, input, other)
    except ValueError:
        raise RuntimeError(
            f"shapes {list(input.shape)} and {list(other.shape)} cannot be multiplied as matrices"
        ) from None


def _floating(x, name: str):
    """Integers as float32, for functions whose result is no integer."""
    if isinstance(x, _ARRAYS) and x.dtype.kind != "f":
        return _as_operand(x, float32)
    if not isinstance(x, _ARRAYS):
        raise TypeError(f"{name}() expects a Tensor, got {type(x).__name__}")
    return x


def neg(input: Tensor) -> Tensor:
    """``-input``."""
    return apply(primitives.neg, input)


def abs(input: Tensor) -> Tensor:
    """Absolute value, element-wise; its gradient at 0 is 0."""
    return apply(primitives.abs, input)


def exp(input: Tensor) -> Tensor:
    """e to the power of `input`, element-wise."""
    return apply(primitives.exp, _floating(input, "exp"))


def log(input: Tensor) -> Tensor:
    """Natural logarithm, element-wise."""
    return apply(primitives.log, _floating(input, "log"))


def sqrt(input: Tensor) -> Tensor:
    """Square root, element-wise."""
    return apply(primitives.sqrt, _floating(input, "sqrt"))


def tanh(input: Tensor) -> Tensor:
    """Hyperbolic tangent, element-wise."""
    return apply(primitives.tanh, _floating(input, "tanh"))


def sigmoid(input: Tensor) -> Tensor:
    """``1 / (1 + exp(-input))``, element-wise."""
    return apply(primitives.sigmoid, _floating(input, "sigmoid"))


def relu(input: Tensor) -> Tensor:
    """``max(input, 0)``, element-wise; its gradient at 0 is 0."""
    if not isinstance(input, _ARRAYS):
        raise TypeError(f"relu() expects a Tensor, got {type(input).__name__}")
    y = layers.relu(input)
    return apply(primitives.relu, input) if y is None else y


def softmax(input: Tensor, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """``exp(input) / sum(exp(input))`` over dimension `dim`; `dtype` casts the input first."""
    x = _floating(_as_operand(input, None if dtype is None else np.dtype(dtype)), "softmax")
    return apply(primitives.softmax, x, dim=_dim(dim, x.ndim))


def log_softmax(input: Tensor, dim: int, dtype: DTypeLike | None = None) -> Tensor:
    """``log(softmax(input, dim))``, without overflow; `dtype` casts the input first."""
    x = _floating(_as_operand(input, None if dtype is None else np.dtype(dtype)), "log_softmax")
    return apply(primitives.log_softmax, x, dim=_dim(dim, x.ndim))


def clamp(input: Tensor, min: float | None = None, max: float | None = None) -> Tensor:
    """Limit every element to [`min`, `max`]; the gradient is 0 for what lies outside."""
    if min is None and max is None:
        raise ValueError("clamp() expects min or max or both, got min=None and max=None")
    for name, limit in (("min", min), ("max", max)):
        if limit is not None and not isinstance(limit, Tensor | np.ndarray):
            number(limit, f"clamp()'s {name}")
    return apply(primitives.clamp, input, min=min, max=max)


def where(condition: Tensor, input: Tensor | float, other: Tensor | float) -> Tensor:
    """`input` where `condition` (bools) holds, else `other`, with broadcasting."""
    for value in (input, other):
        if not isinstance(value, _OPERANDS):
            raise TypeError(f"where() expects tensors or numbers, got {_brief(value)}")
    if not isinstance(condition, (Tensor, np.ndarray, bool, np.bool_)):
        raise TypeError(f"where() expects a tensor of bools as condition, got {_brief(condition)}")
    x, y = _operands(input, other)
    if not isinstance(x, _ARRAYS) and not isinstance(y, _ARRAYS):
        x = np.asarray(x, result_type(x, y))
    try:
        return apply(primitives.where, condition, x, y)
    except ValueError:
        shapes = [list(np.shape(a._array if isinstance(a, Tensor) else a)) for a in (condition, x, y)]
        raise RuntimeError(f"where() cannot broadcast the shapes {shapes}") from None


def _dims(dim, x: Tensor) -> int | tuple[int, ...] | None:
    """The dimensions that a reduction of `x` takes together, checked."""
    if dim is None or (type(dim) is int and -x.ndim <= dim < x.ndim):
        return dim
    if isinstance(dim, (list, tuple)):
        return tuple(_dim(d, x.ndim) for d in dim)
    return _dim(dim, x.ndim)


def sum(input: Tensor, dim=None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Sum over all dimensions, or over `dim` (an int or several); integers and bools sum to int64.

    Narrower floats than float64 are accumulated in float64.
    """
    if dtype is not None:
        input = input.to(dtype)
    return apply(primitives.sum, input, dim=_dims(dim, input), keepdim=keepdim)


def mean(input: Tensor, dim=None, keepdim: bool = False, *, dtype: DTypeLike | None = None) -> Tensor:
    """Mean over all dimensions, or over `dim` (an int or several).

    Raises
    ------
    RuntimeError
        For a tensor of integers or bools.
    """
    if dtype is not None:
        input = input.to(dtype)
    if input.dtype.kind != "f":
        raise RuntimeError(f"mean() expects a floating dtype, got {input.dtype}; convert with float()")
    return apply(primitives.mean, input, dim=_dims(dim, input), keepdim=keepdim)


def var(input: Tensor, dim=None, unbiased: bool = True, keepdim: bool = False, *, correction=None) -> Tensor:
    """Variance over all dimensions, or over `dim`: the sum of squares divided by ``n - correction``.

    Parameters
    ----------
    unbiased : bool
        Divide by n - 1 (the default) or by n, where `correction` is not given.
    """
    if input.dtype.kind != "f":
        raise RuntimeError(f"var() expects a floating dtype, got {input.dtype}; convert with float()")
    correction = int(unbiased) if correction is None else correction
    return apply(primitives.var, input, dim=_dims(dim, input), keepdim=keepdim, correction=correction)


def std(input: Tensor, dim=None, unbiased: bool = True, keepdim: bool = False, *, correction=None) -> Tensor:
    """Standard deviation: the square root of :func:`var`."""
    return sqrt(var(input, dim, unbiased, keepdim, correction=correction))


def norm(input: Tensor, p: float | str | None = 2, dim=None, keepdim: bool = False) -> Tensor:
    """The p-norm of the elements, ``sum(|x|^p)^(1/p)``, over all dimensions or over `dim`.

    Parameters
    ----------
    p : float or "fro"
        2 (also called "fro") by default; ``inf`` is the largest, ``-inf`` the smallest magnitude, 0 counts
        what is not 0.
    """
    p = 2 if p in (None, "fro") else p
    if not isinstance(p, (int, float)):
        raise ValueError(f"norm() expects a number or 'fro' as p, got {p!r}")
    if input.dtype.kind != "f":
        raise RuntimeError(f"norm() expects a floating dtype, got {input.dtype}; convert with float()")
    return apply(primitives.norm, input, p=p, dim=_dims(dim, input), keepdim=keepdim)


def _extremum(input, dim, keepdim, sign, name):
    if not isinstance(input, _ARRAYS):
        raise TypeError(f"{name}() expects a Tensor, got {type(input).__name__}")
    if isinstance(dim, Tensor):
        return (maximum if sign > 0 else minimum)(input, dim)
    dim = _dims(dim, input)
    result = apply(primitives.max, input, dim=dim, keepdim=keepdim, sign=sign)
    return result if dim is None else max_result(*result)


def max(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False):
    """The largest element, or along `dim` the largest ones and their indices.

    NaN counts as largest. Without `dim` the gradient is shared by all elements that equal the maximum; with
    `dim` it goes to the one at the index, the first of equals. A tensor as `dim` makes it :func:`maximum`.

    Returns
    -------
    Tensor, or with `dim` the named tuple ``(values, indices)``
    """
    return _extremum(input, dim, keepdim, 1, "max")


def min(input: Tensor, dim: int | Tensor | None = None, keepdim: bool = False):
    """The smallest element, or along `dim` the smallest ones and their indices; see :func:`max`."""
    return _extremum(input, dim, keepdim, -1, "min")


def maximum(input: Tensor, other: Tensor) -> Tensor:
    """The larger of two tensors, element-wise with broadcasting; for equals the gradient goes to the first."""
    x, y = _operands(input, other)
    return where(_wrap(np.asarray((x >= y)._array | np.isnan(x._array))), x, y)


def minimum(input: Tensor, other: Tensor) -> Tensor:
    """The smaller of two tensors, element-wise with broadcasting; for equals the gradient goes to the first."""
    x, y = _operands(input, other)
    return where(_wrap(np.asarray((x <= y)._array | np.isnan(x._array))), x, y)


def _argextremum(pick, input, dim, keepdim):
    array = input._array if isinstance(input, Tensor) else np.asarray(input)
    indices = np.asarray(pick(array, axis=_dims(dim, array), keepdims=keepdim))
    return _wrap(indices) if isinstance(input, Tensor) else indices


def argmax(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the largest element along `dim`, or in the flattened tensor; the first of equals, NaN first."""
    return _argextremum(np.argmax, input, dim, keepdim)


def argmin(input: Tensor, dim: int | None = None, keepdim: bool = False) -> Tensor:
    """Index of the smallest element along `dim`, or in the flattened tensor; the first of equals, NaN first."""
    return _argextremum(np.argmin, input, dim, keepdim)


def any(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Whether any element is true (not 0), over all dimensions or along `dim`."""
    return _wrap(np.asarray(np.any(input._array, axis=_dims(dim, input), keepdims=keepdim)))


def all(input: Tensor, dim=None, keepdim: bool = False) -> Tensor:
    """Whether all elements are true (not 0), over all dimensions or along `dim`."""
    return _wrap(np.asarray(np.all(input._array, axis=_dims(dim, input), keepdims=keepdim)))


def isnan(input: Tensor) -> Tensor:
    """Which elements are NaN."""
    return _wrap(np.asarray(np.isnan(input._array)))


def isfinite(input: Tensor) -> Tensor:
    """Which elements are neither infinite nor NaN."""
    return _wrap(np.asarray(np.isfinite(input._array)))


def equal(input: Tensor, other: Tensor) -> bool:
    """Whether two tensors have one shape and equal elements."""
    return bool(np.array_equal(input._array, other._array))


def allclose(input: Tensor, other: Tensor, rtol: float = 1e-5, atol: float = 1e-8, equal_nan: bool = False) -> bool:
    """Whether ``|input - other| <= atol + rtol * |other|`` holds for every element."""
    return bool(np.allclose(input._array, other._array, rtol=rtol, atol=atol, equal_nan=equal_nan))


def is_tensor(obj: object) -> bool:
    """Whether `obj` is a Tensor."""
    return isinstance(obj, Tensor)


def numel(input: Tensor) -> int:
    """Number of elements."""
    return input.numel()


def reshape(input: Tensor, shape: Sequence[int]) -> Tensor:
    """See :meth:`Tensor.reshape`."""
    return input.reshape(*shape)


def flatten(input: Tensor, start_dim: int = 0, end_dim: int = -1) -> Tensor:
    """See :meth:`Tensor.flatten`."""
    if isinstance(input, np.ndarray):
        return _wrap(input).flatten(start_dim, end_dim)._array
    if not isinstance(input, Tensor):
        raise TypeError(f"flatten() expects a Tensor, got {_brief(input)}")
    return input.flatten(start_dim, end_dim)


def permute(input: Tensor, dims: Sequence[int]) -> Tensor:
    """See :meth:`Tensor.permute`."""
    return input.permute(*dims)


def transpose(input: Tensor, dim0: int, dim1: int) -> Tensor:
    """See :meth:`Tensor.transpose`."""
    return input.transpose(dim0, dim1)


def unsqueeze(input: Tensor, dim: int) -> Tensor:
    """See :meth:`Tensor.unsqueeze`."""
    return input.unsqueeze(dim)


def squeeze(input: Tensor, dim: int | Sequence[int] | None = None) -> Tensor:
    """See :meth:`Tensor.squeeze`."""
    return input.squeeze(dim)


def _one_dtype(tensors: Sequence[Tensor], name: str) -> list:
    tensors = list(tensors)
    if not tensors:
        raise RuntimeError(f"{name}() expects at least one tensor, got none")
    for t in tensors:
        if not isinstance(t, _ARRAYS):
            raise TypeError(f"{name}() expects tensors, got {_brief(t)} among them")
    dtype = functools.reduce(np.promote_types, [t.dtype for t in tensors])
    return [_as_operand(t, dtype) for t in tensors]


def cat(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors along the existing dimension `dim`; their other lengths agree."""
    tensors = _one_dtype(tensors, "cat")
    dim = _dim(dim, tensors[0].ndim)
    try:
        return apply(primitives.cat, *tensors, dim=dim)
    except (ValueError, IndexError):
        shapes = [list(t.shape) for t in tensors]
        raise RuntimeError(f"cat() along dimension {dim} expects equal lengths in all others, got {shapes}") from None


def stack(tensors: Sequence[Tensor], dim: int = 0) -> Tensor:
    """Join tensors of one shape along a new dimension `dim`."""
    tensors = _one_dtype(tensors, "stack")
    shapes = [list(t.shape) for t in tensors]
    if shapes.count(shapes[0]) != len(shapes):
        raise RuntimeError(f"stack() expects tensors of one shape, got {shapes}")
    dim = _dim(dim, tensors[0].ndim + 1)
    return apply(primitives.stack, *tensors, dim=dim)


for _function in (
    *(add, sub, mul, div, pow, matmul, neg, abs, exp, log, sqrt, tanh, sigmoid, relu, softmax, log_softmax, clamp),
    *(sum, mean, var, std, norm, max, min, argmax, argmin, any, all, isnan, isfinite, equal, allclose),
):
    setattr(Tensor, _function.__name__, _function)
