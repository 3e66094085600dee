"""What torch's pickles say of tensors: storages, element types, and the functions that make tensors of them."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

from .._native.tape import wrap
from .._tensor import Tensor
from ..dtypes import as_dtype, bfloat16, device
from ..nn.parameter import Parameter
from .unpickler import UnpicklingError

__all__ = ["CONSTANTS", "FUNCTIONS", "Element", "Storage", "element_of", "element_of_storage"]


class Element(NamedTuple):
    """An element type: how torch calls it, how files hold it, and as what a tensor has it."""

    name: str
    storage: str | None  # torch's class of storages with such elements, if it has one
    stored: np.dtype
    dtype: np.dtype
    widen: Callable[[np.ndarray], np.ndarray] | None = None


def _float8_e5m2() -> np.ndarray:
    """float16's sign, exponent and upper two bits of mantissa."""
    return (np.arange(256, dtype=np.uint16) << 8).view(np.float16).astype(np.float32)


def _float8_e4m3() -> np.ndarray:
    """Four bits of exponent, whose bias is 7, and three of mantissa; no infinities, and all ones is NaN."""
    codes = np.arange(256)
    exponent, mantissa = codes >> 3 & 15, codes & 7
    values = np.where(exponent > 0, (8 + mantissa) * 2.0 ** (exponent - 10), mantissa * 2.0**-9)
    values[codes & 127 == 127] = np.nan
    return np.where(codes > 127, -values, values).astype(np.float32)


def _widen(values: Callable[[], np.ndarray]) -> Callable[[np.ndarray], np.ndarray]:
    """What makes float32 of codes, given the values of all 256."""

    def widen(codes: np.ndarray) -> np.ndarray:
        table, y = values(), np.empty(codes.shape, np.float32)
        for i in range(0, codes.size, 1 << 15):  # indices are made of the codes, and these are to stay in the cache
            np.take(table, codes[i : i + (1 << 15)], out=y[i : i + (1 << 15)], mode="clip")
        return y

    return widen


_FLOAT32 = np.dtype("float32")
ELEMENTS = {
    element.name: element
    for element in (
        *(
            Element(name, storage, np.dtype(name), np.dtype(name))
            for name, storage in (
                *(("float64", "DoubleStorage"), ("float32", "FloatStorage"), ("float16", "HalfStorage")),
                *(("int64", "LongStorage"), ("int32", "IntStorage"), ("int16", "ShortStorage")),
                *(("int8", "CharStorage"), ("uint8", "ByteStorage"), ("bool", "BoolStorage")),
                *(("uint16", None), ("uint32", None), ("uint64", None)),
            )
        ),
        Element("bfloat16", "BFloat16Storage", np.dtype("uint16"), bfloat16.dtype),
        Element("float8_e5m2", None, np.dtype("uint8"), _FLOAT32, _widen(_float8_e5m2)),
        Element("float8_e4m3fn", None, np.dtype("uint8"), _FLOAT32, _widen(_float8_e4m3)),
    )
}
_BYTES = Element("bytes", "UntypedStorage", np.dtype("uint8"), np.dtype("uint8"))
_REFUSED_STORAGES = {
    "ComplexFloatStorage": "complex64",
    "ComplexDoubleStorage": "complex128",
    **{f"{name}Storage": name.lower() for name in ("QInt8", "QUInt8", "QInt32", "QUInt4x2", "QUInt2x4")},
}


def element_of(dtype: np.dtype) -> Element:
    """The element type of a tensor's dtype."""
    try:
        return ELEMENTS["bfloat16" if dtype.kind == "V" else dtype.name]
    except KeyError:
        raise TypeError(f"a file holds tensors of {', '.join(ELEMENTS)}, not of {dtype}") from None


def element_of_storage(name: str) -> Element:
    """The element type that is stored by the class of storages that torch calls `name`."""
    if name in ("UntypedStorage", "TypedStorage"):
        return _BYTES
    for element in ELEMENTS.values():
        if element.storage == name:
            return element
    raise UnpicklingError(f"fastconv has no {_REFUSED_STORAGES.get(name, name)} tensors, and the file holds one")


class Storage:
    """The memory of one or several tensors.

    Parameters
    ----------
    element : Element
    raw : ndarray of uint8
        Its bytes. Where tensors cannot have the elements as they are, each tensor is a view of one wider copy.
    location : str
        The device that it was saved from.
    """

    element: Element
    location: str
    raw: Any

    def __init__(self, element: Element, raw: np.ndarray, location: str) -> None:
        self.element, self.raw, self.location = element, raw, location
        self._wide: dict[str, np.ndarray] = {}

    @property
    def dtype(self) -> np.dtype:
        return self.element.dtype

    @property
    def device(self) -> device:
        return device("cpu")

    def nbytes(self) -> int:
        """How many bytes the file holds."""
        return self.raw.nbytes

    def cpu(self) -> Storage:
        """Itself: every storage is on the CPU."""
        return self

    def cuda(self, *args: Any, **kwargs: Any) -> Storage:
        """What a `map_location` may ask for, and what cannot be."""
        raise RuntimeError("fastconv computes on the CPU, got the device 'cuda'")

    def elements(self, element: Element) -> np.ndarray:
        """The elements, read as `element`: a view, or one wider copy for all who ask."""
        whole = self.raw[: self.raw.nbytes // element.stored.itemsize * element.stored.itemsize]
        if element.widen is None:
            return whole.view(element.dtype)
        if element.name not in self._wide:
            self._wide[element.name] = element.widen(whole.view(element.stored))
        return self._wide[element.name]

    def filled(self, swap: bool = False) -> None:
        """Its bytes are in place, in the other byte order if `swap`."""
        if swap:
            self.raw.view(self.element.stored).byteswap(inplace=True)
        for name, wide in self._wide.items():  # tensors have been made of it before
            element = ELEMENTS[name]
            wide[:] = element.widen(self.raw[: wide.size * element.stored.itemsize].view(element.stored))


class StorageType(NamedTuple):
    """What stands for torch's class of storages of this name in a pickle."""

    name: str


# ---------------------------------------------------------------------------------------------------------
# The functions that a pickle of torch's names
# ---------------------------------------------------------------------------------------------------------


def _view(storage: Any, offset: Any, size: Any, stride: Any, element: Element | None) -> Tensor:
    if type(storage) is not Storage:
        raise UnpicklingError(f"a tensor is made of a {type(storage).__name__}, expected a storage")
    size, stride = tuple(size), tuple(stride)
    if len(size) != len(stride) or not all(type(n) is int and 0 <= n < 2**62 for n in (offset, *size, *stride)):
        raise UnpicklingError("the pickle is damaged (a tensor's offset, size or stride is no integer of at least 0)")
    elements = storage.elements(element or storage.element)
    count = math.prod(size)
    end = offset + sum((n - 1) * step for n, step in zip(size, stride, strict=True)) + 1 if count else 0
    if end > elements.size:
        raise UnpicklingError(
            f"a tensor of size {list(size)}, stride {list(stride)} and storage offset {offset} goes beyond its storage "
            f"of {elements.size} elements"
        )
    step = elements.itemsize
    if not count:
        return wrap(np.empty(size, elements.dtype))
    strides = [step * n for n in stride]
    return wrap(np.ndarray(size, elements.dtype, elements, offset * step, strides))


def _attach(tensor: Tensor, requires_grad: Any, metadata: Any) -> Tensor:
    if metadata and any(metadata.values()):
        raise UnpicklingError(f"a tensor with the marks {', '.join(metadata)} set is not supported")
    if requires_grad and not tensor.is_floating_point():
        raise UnpicklingError(f"the pickle is damaged (a tensor of {tensor.dtype} that requires a gradient)")
    return tensor.requires_grad_() if requires_grad else tensor


def _rebuild_tensor(storage, storage_offset, size, stride):
    return _view(storage, storage_offset, size, stride, None)


def _rebuild_tensor_v2(storage, storage_offset, size, stride, requires_grad, backward_hooks, metadata=None):
    return _attach(_view(storage, storage_offset, size, stride, None), requires_grad, metadata)


def _rebuild_tensor_v3(storage, storage_offset, size, stride, requires_grad, backward_hooks, dtype, metadata=None):
    element = dtype if type(dtype) is Element else element_of(dtype)
    return _attach(_view(storage, storage_offset, size, stride, element), requires_grad, metadata)


def _rebuild_parameter(data=None, requires_grad=True, backward_hooks=None):
    if not isinstance(data, Tensor):
        raise UnpicklingError(f"a parameter is made of a {type(data).__name__}, expected a tensor")
    _attach(data, requires_grad, None)
    return Parameter(data, bool(requires_grad))


def _rebuild_parameter_with_state(data, requires_grad, backward_hooks, state):
    parameter = _rebuild_parameter(data, requires_grad, backward_hooks)
    parameter.__dict__.update(_attributes(state))
    return parameter


def _rebuild_from_type_v2(function, kind, arguments, state):
    """A tensor with attributes; a plain :class:`Tensor` has no place for them, and comes without."""
    if function not in TENSOR_FUNCTIONS:
        raise UnpicklingError(f"Trying to call reduce for unrecognized function {function!r}")
    tensor = function(*arguments)
    if kind is Parameter and not isinstance(tensor, Parameter):
        tensor = Parameter(tensor, tensor.requires_grad)
    if isinstance(tensor, Parameter):
        tensor.__dict__.update(_attributes(state))
    return tensor


def _attributes(state: Any) -> dict[str, Any]:
    """What a pickle may set of a parameter: attributes that the class does not have, no methods."""
    state = state[0] if type(state) is tuple else state
    if state is not None and type(state) is not dict:
        raise UnpicklingError("the pickle is damaged (a parameter's attributes are no dict)")
    return {name: value for name, value in (state or {}).items() if not hasattr(Parameter, name)}


def _refuse(kind: str) -> Callable[..., Any]:
    def function(*arguments):
        raise UnpicklingError(f"fastconv has no {kind} tensors, and the file holds one")

    return function


def _size(dims: tuple[Any, ...] = ()) -> tuple[int, ...]:
    if type(dims) not in (tuple, list) or not all(type(n) is int for n in dims):
        raise UnpicklingError("the pickle is damaged (a torch.Size of other things than integers)")
    return tuple(dims)


def _device(kind: str = "cpu", index: int | None = None) -> device:
    """Whatever device was saved, tensors are on the CPU here."""
    return device("cpu")


TENSOR_FUNCTIONS = (
    *(_rebuild_tensor, _rebuild_tensor_v2, _rebuild_tensor_v3),
    *(_rebuild_parameter, _rebuild_parameter_with_state),
)
FUNCTIONS: dict[str, Callable[..., Any]] = {
    **{f"torch._utils.{function.__name__}": function for function in TENSOR_FUNCTIONS},
    "torch._utils._rebuild_qtensor": _refuse("quantized"),
    "torch.serialization._get_layout": _refuse("sparse"),
    "torch._utils._rebuild_sparse_tensor": _refuse("sparse"),
    "torch._utils._rebuild_nested_tensor": _refuse("nested"),
    "torch._tensor._rebuild_from_type_v2": _rebuild_from_type_v2,
    "torch.tensor._rebuild_from_type_v2": _rebuild_from_type_v2,
    "torch.Size": _size,
    "torch.device": _device,
}
CONSTANTS: dict[str, Any] = {
    "torch.Tensor": Tensor,
    "torch.nn.parameter.Parameter": Parameter,
    "torch.storage.UntypedStorage": StorageType("UntypedStorage"),
    "torch.storage.TypedStorage": StorageType("TypedStorage"),
    **{f"torch.{e.storage}": StorageType(e.storage) for e in ELEMENTS.values() if e.storage},
    **{f"torch.{name}": StorageType(name) for name in _REFUSED_STORAGES},
    # A dtype of its own for what is widened: it has to be known when the tensor is made.
    **{f"torch.{e.name}": as_dtype(e.dtype) if e.widen is None else e for e in ELEMENTS.values()},
}
