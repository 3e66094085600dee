"""Elements and slices that indices or masks name, read and written."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from .. import primitives
from .._native.layers import pointwise
from .._native.tape import TensorBase, differentiable_twice, siblings, wrap
from ..checks import brief, dimension, integer
from ..dtypes import filled_with, fitting
from .operands import apply, array_of, as_operand, check_broadcast, elementwise, numpy_names

if TYPE_CHECKING:
    from .._tensor import Tensor

__all__ = [
    "chunk",
    "diagonal",
    "gather",
    "index_add",
    "index_copy",
    "index_fill",
    "index_select",
    "masked_fill",
    "masked_select",
    "narrow",
    "nonzero",
    "scatter",
    "scatter_add",
    "select",
    "split",
    "take",
    "take_along_dim",
    "tensor_split",
    "unbind",
    "unfold_dimension",
]


@differentiable_twice
def _add_at(needs, x, value, at):
    """A copy of x with `value` added at an index, as often as an element is named."""
    value_shape = np.shape(value)
    y = x.copy()
    np.add.at(y, at, value)

    def vjp(dy, at):
        at = primitives.plain(at) if isinstance(at, TensorBase) else at
        dvalue = apply(primitives.index, dy, index=at, basic=False) if needs[1] else None
        return dy if needs[0] else None, None if dvalue is None else primitives.sum_back(dvalue, value_shape)

    return y, vjp, (at,)


@differentiable_twice
def _diagonal(needs, x, offset, dim1, dim2):
    """A view of a diagonal, as the last dimension."""
    shape = x.shape
    y = np.diagonal(x, offset, dim1, dim2)
    y.flags.writeable = x.flags.writeable
    return y, lambda dy: (apply(_diagonal_backward, dy, shape=shape, place=(offset, dim1, dim2)),), ()


@differentiable_twice
def _diagonal_backward(needs, dy, shape, place):
    offset, dim1, dim2 = place
    dx = np.zeros(shape, dy.dtype)
    view = np.diagonal(dx, *place)
    view.flags.writeable = True
    view[...] = dy
    return dx, lambda d: (apply(_diagonal, d, offset=offset, dim1=dim1, dim2=dim2),), ()


@differentiable_twice
def _unfold(needs, x, dim, size, step):
    """A view of the windows of a dimension, whose elements are a new last dimension."""
    shape = x.shape
    windows = np.lib.stride_tricks.sliding_window_view(x, size, dim, writeable=x.flags.writeable)
    y = windows[(*(slice(None),) * dim, slice(None, None, step))]
    return y, lambda dy: (apply(_unfold_backward, dy, shape=shape, dim=dim, step=step),), ()


@differentiable_twice
def _unfold_backward(needs, dy, shape, dim, step):
    dx, size = np.zeros(shape, dy.dtype), dy.shape[-1]
    before = (slice(None),) * dim
    for i in range(dy.shape[dim]):
        dx[(*before, slice(i * step, i * step + size))] += np.moveaxis(dy[(*before, i)], -1, dim)
    return dx, lambda d: (apply(_unfold, d, dim=dim, size=size, step=step),), ()


def _tensor(x: Any, name: str) -> Any:
    if not isinstance(x, TensorBase):
        raise TypeError(f"{name}() expects a Tensor, got {brief(x)}")
    return x


def _index(index: Any, name: str, ndim: int | None = None) -> np.ndarray:
    """The array of an index tensor, in int64."""
    array = _tensor(index, name)._array
    if not array.size and name.startswith(("gather", "scatter")):  # of any dtype
        return array.astype(np.int64)
    if ndim is not None and array.ndim > ndim:
        raise IndexError(f"{name}(): Index is supposed to be a vector, got {brief(index)}")
    if array.dtype != np.int64 and (array.dtype != np.int32 or name in _ONLY_INT64):
        raise RuntimeError(f"{name}(): Expected dtype int64 for index, got {brief(index)}")
    return array.astype(np.int64, copy=False)


_ONLY_INT64 = ("index_copy", "take", "take_along_dim")


def _check_bounds(places: np.ndarray, low: int, length: int, name: str, kind: type[Exception]) -> None:
    """Raise an error of this kind unless all places are from `low` to length - 1."""
    if places.size and not low <= places.min() <= places.max() < length:
        bad = places.min() if places.min() < low else places.max()
        raise kind(f"{name}(): index {bad} is out of bounds for dimension with size {length}")


def _along(index: np.ndarray, dim: int) -> tuple[Any, ...]:
    """NumPy's index of the elements at `index` along `dim`, and elsewhere where `index` itself has them."""
    places = list(np.ogrid[tuple(slice(n) for n in index.shape)])
    places[dim] = index
    return tuple(places)


def _gathered(input: Tensor, dim: int, index: Tensor, name: str, source: Any = None) -> tuple[int, np.ndarray]:
    dim = dimension(dim, _tensor(input, name).ndim)
    array = _index(index, name)
    if isinstance(source, TensorBase) and source.dtype != input.dtype:
        raise RuntimeError(
            f"{name}(): Expected self.dtype to be equal to src.dtype, got {input.dtype} and {source.dtype}"
        )
    if not array.size:
        return dim, array
    if array.ndim != input.ndim and (array.ndim or 1) != (input.ndim or 1):
        raise RuntimeError(
            f"Index tensor must have the same number of dimensions as input tensor: {name}() got index of shape "
            f"{list(index.shape)} for input of shape {list(input.shape)}"
        )
    for d, (n, m) in enumerate(zip(array.shape, input.shape, strict=False)):
        if n > m and d != dim:
            raise RuntimeError(
                f"Size does not match at dimension {d} expected index {list(index.shape)} to be no larger than "
                f"self {list(input.shape)} apart from dimension {dim}"
            )
    if isinstance(source, TensorBase):
        sizes = array.shape or (1,), source.shape or (1,)
        if any(n > m for n, m in zip(*sizes, strict=False)):
            raise RuntimeError(
                f"Expected index {list(index.shape)} to be no larger than src {list(source.shape)} in every dimension"
            )
        if len(sizes[0]) != len(sizes[1]):
            raise (IndexError if source.ndim and len(sizes[0]) > len(sizes[1]) else RuntimeError)(
                f"Index tensor must have the same number of dimensions as src tensor: {name}() got index of shape "
                f"{list(index.shape)} for src of shape {list(source.shape)}"
            )
    _check_bounds(array, 0, input.shape[dim] if input.ndim else 1, name, RuntimeError)
    return dim, array


@numpy_names
def gather(input: Tensor, dim: int, index: Tensor, *, sparse_grad: bool = False) -> Tensor:
    """``out[i][j][k] = input[i][index[i][j][k]][k]`` for dim 1, and likewise for others.

    Examples
    --------
    >>> scores = fastconv.tensor([[1.0, 2.0], [3.0, 4.0]])
    >>> fastconv.gather(scores, 1, fastconv.tensor([[1], [0]]))
    tensor([[2.],
            [3.]])
    """
    dim, array = _gathered(input, dim, index, "gather")
    if not input.ndim:
        return input.expand(array.shape) if array.ndim else apply(primitives.clone, input)
    if not array.size:
        nothing = apply(primitives.index, pointwise.reshape(input, (-1,)), index=(slice(0, 0),), basic=True)
        return pointwise.reshape(nothing, array.shape)
    if not array.ndim:
        return apply(primitives.index, input, index=(array,), basic=False)
    return apply(primitives.index, input, index=_along(array, dim), basic=False)


@numpy_names
def scatter(
    input: Tensor, dim: int, index: Tensor, src: Tensor | float | None = None, *, value: Any = None, reduce: Any = None
) -> Tensor:
    """A copy of `input` with ``out[i][index[i][j][k]][k] = src[i][j][k]`` for dim 1, and likewise for others.

    Parameters
    ----------
    src : Tensor or float
        Or `value`, a number. Where an element is named more than once, one of its values is taken.
    reduce : {None, "add", "multiply"}
        Add to the elements, or multiply them, instead.
    """
    src = value if src is None else src
    if reduce == "add":
        return scattered(input, dim, index, src, "scatter", _add_at)
    if reduce == "multiply":
        dim, array = _gathered(input, dim, index, "scatter", src)
        if _needed(input, src):
            raise NotImplementedError("scatter(reduce='multiply') has no gradient; use gather() and mul()")
        out = input._array.copy()
        part = src._array[tuple(slice(n) for n in array.shape)] if isinstance(src, TensorBase) else src
        np.multiply.at(out, _along(array, dim), part)
        return wrap(out)
    if reduce is not None:
        raise RuntimeError(f"reduce argument must be either add or multiply, got {reduce!r}")
    return scattered(input, dim, index, src, "scatter", primitives.put)


def _needed(*tensors: Any) -> bool:
    """Whether a gradient of one of them would be asked for."""
    return any(isinstance(t, TensorBase) and t.requires_grad for t in tensors)


@numpy_names
def scatter_add(input: Tensor, dim: int, index: Tensor, src: Tensor) -> Tensor:
    """A copy of `input` with ``src[i][j][k]`` added to ``out[i][index[i][j][k]][k]`` for dim 1, and so on."""
    return scattered(input, dim, index, src, "scatter_add", _add_at)


def scattered(input: Tensor, dim: int, index: Tensor, src: Any, name: str, op: Any) -> Tensor:
    """What an operation makes of a tensor, of what is sent to it, and of the places to which it is."""
    dim, array = _gathered(input, dim, index, name, src)
    if not array.size:
        nothing = src.reshape(-1)[:0] if isinstance(src, TensorBase) else np.zeros(0, input._array.dtype)
        return apply(op, input.reshape(-1), nothing, at=(np.zeros(0, np.int64),)).reshape(input.shape)
    if not isinstance(src, TensorBase):
        src = filled_with(src, (), input.dtype)
    array = array.reshape(array.shape or (1,))
    if isinstance(src, TensorBase) and src.shape != array.shape:
        src = (src if src.ndim else src.reshape(1))[tuple(slice(n) for n in array.shape)]
    if not input.ndim:
        return apply(op, input.reshape(1), src, at=(array,)).reshape(())
    return apply(op, input, src, at=_along(array, dim))


@numpy_names
def index_select(input: Tensor, dim: int, index: Tensor) -> Tensor:
    """The slices along `dim` that the vector `index` names."""
    dim = dimension(dim, _tensor(input, "index_select").ndim)
    array = _index(index, "index_select", 1).reshape(-1)
    if not input.ndim and array.size != 1:
        raise RuntimeError(f"index_select(): Index to scalar can have only 1 value, got {array.size} value(s)")
    rows = input.ndim < 2 or (dim == 0 and input.numel())
    _check_bounds(array, 0, input.shape[dim] if input.ndim else 1, "index_select", IndexError if rows else RuntimeError)
    if not input.ndim:
        return apply(primitives.clone, input)
    return apply(primitives.index, input, index=(*(slice(None),) * dim, array), basic=False)


def _same_dtype(input: Tensor, source: Tensor, name: str) -> None:
    if input.dtype != source.dtype:
        raise RuntimeError(f"{name}(): self ({input.dtype}) and source ({source.dtype}) must have the same dtype")


def _to_slices(op: Any, input: Tensor, dim: int, places: np.ndarray, source: Any) -> Tensor:
    """What an operation makes of the slices of a tensor at some places, and of what is sent to them."""
    if not input.ndim:
        return apply(op, input.reshape(1), source, at=(places,)).reshape(())
    return apply(op, input, source, at=(*(slice(None),) * dim, places))


@numpy_names
def index_add(input: Tensor, dim: int, index: Tensor, source: Tensor, *, alpha: float = 1) -> Tensor:
    """A copy of `input` with `alpha` times each slice of `source` added to the slice that `index` names."""
    whole, part = list(_tensor(input, "index_add").shape), list(_tensor(source, "index_add").shape)
    dim = dimension(dim, len(whole))
    places = _index(index, "index_add", 1).reshape(-1)
    _same_dtype(input, source, "index_add")
    if part != (whole and [*whole[:dim], places.size, *whole[dim + 1 :]]) or (not whole and places.size != 1):
        raise (RuntimeError if part or dim or places.size == 1 else IndexError)(
            "source tensor shape must match self tensor shape, excluding the specified dimension, where it has one "
            f"slice for each index. Got self.shape = {whole} source.shape = {part} and {places.size} indices"
        )
    kind = RuntimeError if len(whole) > 1 and index.dtype == np.int64 else IndexError
    _check_bounds(places, 0, whole[dim] if whole else 1, "index_add", kind)
    return _to_slices(_add_at, input, dim, places, source if alpha == 1 else source * alpha)


@numpy_names
def index_copy(input: Tensor, dim: int, index: Tensor, source: Tensor) -> Tensor:
    """A copy of `input` with the slices of `source` in place of those that `index` names.

    A vector or a number may get a number, and a number a vector.
    """
    whole, part = list(_tensor(input, "index_copy").shape), list(_tensor(source, "index_copy").shape)
    dim = dimension(dim, len(whole))
    if len(part) != len(whole) and part and whole:
        raise IndexError(
            "index_copy(): source and destination must have as many dimensions, where neither is a scalar. "
            f"Got self.shape = {whole} source.shape = {part}"
        )
    if not part and _tensor(index, "index_copy").numel() != 1:
        raise IndexError(f"index_copy(): for a scalar source there must be one index, got {index.numel()}")
    places = _index(index, "index_copy", 1).reshape(-1)
    _same_dtype(input, source, "index_copy")
    if whole[:dim] + whole[dim + 1 :] != part[:dim] + part[dim + 1 :]:
        raise RuntimeError(
            "index_copy(): source and destination must have slices of the same shape. "
            f"Got self.shape = {whole} source.shape = {part} for dimension {dim}"
        )
    if part and places.size != part[dim]:
        raise IndexError(
            f"index_copy(): the number of indices ({places.size}) should be equal to source.size(dim) ({part[dim]})"
        )
    length, kind = whole[dim] if whole else 1, IndexError if input.numel() else RuntimeError
    _check_bounds(places, 0, length, "index_copy", kind)
    return _to_slices(primitives.put, input, dim, places, source)


@numpy_names
def index_fill(input: Tensor, dim: int, index: Tensor, value: float | Tensor) -> Tensor:
    """A copy of `input` with the slices that `index` names full of a number."""
    if isinstance(value, TensorBase) and value.ndim:
        raise RuntimeError(
            f"index_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    dim = dimension(dim, _tensor(input, "index_fill").ndim)
    places = _tensor(index, "index_fill")._array
    if places.dtype != np.int64:
        raise IndexError(f"index_fill(): Expected dtype int64 for index, got {brief(index)}")
    if places.ndim > 1:
        raise RuntimeError(f"index_fill(): Index has to be a vector/scalar, got {brief(index)}")
    value = _value(value, input.dtype)
    length, kind = input.shape[dim] if input.ndim else 1, IndexError if input.numel() else RuntimeError
    _check_bounds(places, -length, length, "index_fill", kind)
    # Each place once, for the gradient of `value` is a sum over them.
    places = np.unique(np.where(places < 0, places + length, places))
    return _to_slices(primitives.put, input, dim, places, value)


@numpy_names
def take_along_dim(input: Tensor, indices: Tensor, dim: int | None = None) -> Tensor:
    """:func:`gather` whose tensors are broadcast to each other; without `dim` of the flattened ones."""
    if dim is None:
        return gather(_tensor(input, "take_along_dim").reshape(-1), 0, indices.reshape(-1))
    array = _index(indices, "take_along_dim")
    if array.ndim != _tensor(input, "take_along_dim").ndim:
        raise RuntimeError(
            "take_along_dim(): input and indices should have the same number of dimensions, but got "
            f"{input.ndim} dimensions for input, and {array.ndim} dimensions for indices"
        )
    dim = dimension(dim, input.ndim)
    shapes = [[1 if d == dim else n for d, n in enumerate(t.shape)] for t in (input, indices)]
    try:
        shape = list(np.broadcast_shapes(*shapes))
    except ValueError:
        raise RuntimeError(
            f"take_along_dim(): input and indices must be broadcastable beside dimension {dim}, got the shapes "
            f"{list(input.shape)} and {list(indices.shape)}"
        ) from None
    of_each = [[*shape[:dim], t.shape[dim], *shape[dim + 1 :]] for t in (input, indices)]
    array = np.broadcast_to(array, of_each[1])
    array = np.where(array < 0, array + input.shape[dim], array)
    return gather(input.expand(*of_each[0]), dim, wrap(array))


def take(input: Tensor, index: Tensor) -> Tensor:
    """The elements of the flattened tensor that `index` names, in its shape."""
    flat = _tensor(input, "take").reshape(-1)
    array = _index(index, "take")
    if array.size and not (-flat.shape[0] <= array.min() and array.max() < flat.shape[0]):
        raise IndexError(f"out of range: tried to access index {array.max()} on a tensor of {flat.shape[0]} elements")
    return apply(primitives.index, flat, index=(array,), basic=False)


def masked_fill(input: Tensor, mask: Tensor, value: float | Tensor) -> Tensor:
    """The elements, with a number in place of those where the mask holds, broadcast to each other."""
    if _tensor(mask, "masked_fill").dtype.kind != "b":
        raise RuntimeError(f"masked_fill_ only supports boolean masks, but got mask with dtype {mask.dtype}")
    if isinstance(value, TensorBase) and value.ndim:
        raise RuntimeError(
            f"masked_fill_ only supports a 0-dimensional value tensor, but got tensor with {value.ndim} dimension(s)."
        )
    x = _tensor(input, "masked_fill")
    return elementwise(primitives.where, mask, _value(value, x.dtype), x)


def _value(value: Any, dtype: np.dtype) -> Any:
    """A number, or a tensor of one element, in a dtype that must be able to hold it."""
    if not isinstance(value, TensorBase):
        return filled_with(value, (), dtype)
    fitting(value.detach(), dtype)
    return as_operand(value, dtype)


def masked_select(input: Tensor, mask: Tensor) -> Tensor:
    """The elements where the mask holds, flattened; both are broadcast to each other."""
    if _tensor(mask, "masked_select").dtype.kind != "b":
        raise RuntimeError(f"masked_select: expected BoolTensor for mask, got {mask.dtype}")
    check_broadcast(input, mask)
    shape = np.broadcast_shapes(input.shape, mask.shape)
    where = np.broadcast_to(mask._array, shape).reshape(-1)
    return apply(primitives.index, input.expand(*shape).reshape(-1), index=(where,), basic=False)


def nonzero(input: Tensor, *, as_tuple: bool = False) -> Any:
    """The indices of the elements that are not 0, a row each; with `as_tuple` a vector for each dimension."""
    array = array_of(_tensor(input, "nonzero"))
    if as_tuple:
        return tuple(wrap(np.ascontiguousarray(places)) for places in np.nonzero(np.atleast_1d(array)))
    return wrap(np.ascontiguousarray(np.argwhere(array).astype(np.int64)))


@numpy_names
def select(input: Tensor, dim: int, index: int) -> Tensor:
    """The slice at an index along `dim`, without that dimension: a view."""
    return input[(*(slice(None),) * dimension(dim, input.ndim), index)]


@numpy_names
def narrow(input: Tensor, dim: int, start: int | Tensor, length: int) -> Tensor:
    """A view of `length` slices along `dim`, from `start` on."""
    if not _tensor(input, "narrow").ndim:
        raise RuntimeError("narrow() cannot be applied to a 0-dim tensor.")
    dim = dimension(dim, input.ndim)
    size, start, length = input.shape[dim], int(start), integer(length, "length", -(2**60))
    if length < 0:
        raise RuntimeError("narrow(): length must be non-negative.")
    if not -size <= start <= size:
        raise IndexError(f"Dimension out of range (expected to be in range of [{-size}, {size}], but got {start})")
    start += size if start < 0 else 0
    if start + length > size:
        raise RuntimeError(f"start ({start}) + length ({length}) exceeds dimension size ({size}).")
    return input[(*(slice(None),) * dim, slice(start, start + length))]


def _pieces(input: Tensor, dim: int, ends: Sequence[int]) -> tuple[Any, ...]:
    before = (slice(None),) * dim
    return tuple(input[(*before, slice(start, end))] for start, end in zip([0, *ends[:-1]], ends, strict=True))


@numpy_names
def split(tensor: Tensor, split_size_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """Views of so many slices along `dim` each, or of as many as a list says."""
    if not _tensor(tensor, "split").ndim:
        raise RuntimeError("split expects at least a 1-dimensional tensor")
    dim = dimension(dim, tensor.ndim)
    length = tensor.shape[dim]
    if isinstance(split_size_or_sections, (list, tuple)):
        sizes = [integer(n, "split_sizes") for n in split_size_or_sections]
        if sum(sizes) != length:
            raise RuntimeError(
                f"split_with_sizes expects split_sizes to sum exactly to {length} (input tensor's size at dimension "
                f"{dim}), but got split_sizes={sizes}"
            )
        return siblings(_pieces(tensor, dim, np.cumsum(sizes).tolist()))
    size = integer(split_size_or_sections, "split_size")
    if not size and length:
        raise RuntimeError(f"split_size can only be 0 if dimension size is 0, but got dimension size of {length}")
    return siblings(_pieces(tensor, dim, [*range(size, length, size or 1), length]))


@numpy_names
def chunk(input: Tensor, chunks: int, dim: int = 0) -> tuple[Any, ...]:
    """At most so many views along `dim`, of one size but for the last."""
    if integer(chunks, "chunks", -(2**60)) < 1:
        raise RuntimeError(f"chunk expects `chunks` to be greater than 0, got: {chunks}")
    if not _tensor(input, "chunk").ndim:
        raise RuntimeError("chunk expects at least a 1-dimensional tensor")
    dim = dimension(dim, input.ndim)
    length = input.shape[dim]
    return split(input, -(-length // chunks), dim) if length else (input,) * chunks


@numpy_names
def tensor_split(input: Tensor, indices_or_sections: int | Sequence[int], dim: int = 0) -> tuple[Any, ...]:
    """So many views along `dim`, as even as can be, or those between the indices of a list."""
    if not _tensor(input, "tensor_split").ndim:
        raise RuntimeError("tensor_split expected at least a 1-dimensional tensor, but got a tensor with 0 dims")
    dim = dimension(dim, input.ndim)
    length = input.shape[dim]
    if isinstance(indices_or_sections, TensorBase):
        indices_or_sections = indices_or_sections.tolist()
    if isinstance(indices_or_sections, (list, tuple)):
        bounds = [slice(None, at).indices(length)[1] for at in indices_or_sections]
        starts, ends = [0, *bounds], [*bounds, length]
        before = (slice(None),) * dim
        return tuple(input[(*before, slice(a, max(a, b)))] for a, b in zip(starts, ends, strict=True))
    parts = integer(indices_or_sections, "sections", 1)
    sizes = [length // parts + (i < length % parts) for i in range(parts)]
    return _pieces(input, dim, np.cumsum(sizes).tolist())


@numpy_names
def unbind(input: Tensor, dim: int = 0) -> tuple[Any, ...]:
    """The slices along `dim`, without that dimension: views."""
    dim = dimension(dim, _tensor(input, "unbind").ndim)
    if not input.ndim:
        raise IndexError("Dimension specified as 0 but tensor has no dimensions")
    return siblings(tuple(input[(*(slice(None),) * dim, i)] for i in range(input.shape[dim])))


def diagonal(input: Tensor, offset: int = 0, dim1: int = 0, dim2: int = 1) -> Tensor:
    """A view of the elements on a diagonal of two dimensions, which becomes the last dimension."""
    dim1, dim2 = dimension(dim1, _tensor(input, "diagonal").ndim), dimension(dim2, input.ndim)
    if dim1 == dim2 or input.ndim < 2:
        raise RuntimeError(f"diagonal dimensions cannot be identical {dim1}, {dim2}, in shape {list(input.shape)}")
    return apply(_diagonal, input, offset=integer(offset, "offset", -(2**60)), dim1=dim1, dim2=dim2)


@numpy_names
def unfold_dimension(input: Tensor, dim: int, size: int, step: int) -> Tensor:
    """See :meth:`fastconv.Tensor.unfold`; torch has this as a method alone."""
    dim, size, step = dimension(dim, _tensor(input, "unfold").ndim), integer(size, "size"), integer(step, "step")
    length = input.shape[dim] if input.ndim else 1
    if size > length:
        raise RuntimeError(f"maximum size for tensor at dimension {dim} is {length} but size is {size}")
    if step < 1:
        raise RuntimeError(f"step is {step} but must be > 0")
    if not input.ndim:
        return unfold_dimension(input.reshape(1), 0, size, step)[0]
    return apply(_unfold, input, dim=dim, size=size, step=step)
