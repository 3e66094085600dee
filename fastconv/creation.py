"""New tensors: from data, filled, counted off, or random."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import DTypeLike

from . import random
from ._native import memory
from ._native.tape import wrap
from ._tensor import Tensor
from .checks import LARGEST, check_shape, integer, number, unpack
from .dtypes import (
    Data,
    DeviceLike,
    as_dtype,
    bfloat16,
    bool_,
    category,
    check_device,
    check_dtype,
    convert,
    filled_with,
    float32,
    int64,
    memory_format,
    preserve_format,
    to_array,
)
from .functions.operands import into
from .random import Generator

__all__ = [
    "arange",
    "as_tensor",
    "bernoulli",
    "empty",
    "empty_like",
    "eye",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "linspace",
    "logspace",
    "multinomial",
    "normal",
    "ones",
    "ones_like",
    "poisson",
    "rand",
    "rand_like",
    "randint",
    "randint_like",
    "randn",
    "randn_like",
    "randperm",
    "tensor",
    "zeros",
    "zeros_like",
]


def _leaf(array: np.ndarray, requires_grad: bool) -> Tensor:
    t = wrap(array)
    return t.requires_grad_() if requires_grad else t


def tensor(
    data: Data,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """A new tensor with a copy of the data.

    Parameters
    ----------
    data : number, nested sequence, ndarray or Tensor
        Python floats become float32, ints int64, bools bool; an array keeps its dtype.
    dtype : dtype, optional
    device : optional
        Here and below: the CPU, which is the only device.
    requires_grad : bool

    Examples
    --------
    >>> x = fastconv.tensor([[1.0, 2.0], [3.0, 4.0]], requires_grad=True)
    >>> (x * x).sum().backward()
    >>> x.grad
    tensor([[2., 4.],
            [6., 8.]])
    """
    check_device(device)
    return _leaf(to_array(data, dtype), requires_grad)


def as_tensor(data: Data, dtype: DTypeLike | None = None, device: DeviceLike = None) -> Tensor:
    """The tensor itself, or a tensor on the memory of an ndarray, where the dtype allows; else a copy."""
    check_device(device)
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

    Examples
    --------
    >>> array = np.arange(4.0)
    >>> t = fastconv.from_numpy(array)
    >>> array[0] = 9.0  # the tensor shows the array's memory
    >>> t
    tensor([9., 1., 2., 3.], dtype=torch.float64)
    """
    if not isinstance(ndarray, np.ndarray):
        raise TypeError(f"expected np.ndarray (got {type(ndarray).__name__})")
    check_dtype(ndarray.dtype)
    if not ndarray.dtype.isnative:
        raise ValueError(
            f"from_numpy() shares memory and so cannot change the byte order of {ndarray.dtype.str!r}; use tensor()"
        )
    return wrap(np.asarray(ndarray))


def from_dlpack(ext_tensor: Any) -> Tensor:
    """A tensor on the memory of any object with ``__dlpack__``, on the CPU, without a copy."""
    return from_numpy(np.from_dlpack(ext_tensor))


# ---------------------------------------------------------------------------------------------------------
# Filled: of a shape, given as one sequence, as integers one by one, or as `size`
# ---------------------------------------------------------------------------------------------------------


def empty(
    *shape: int | Sequence[int],
    size: Sequence[int] | None = None,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of this shape with whatever was in the memory; float32 unless `dtype` says otherwise."""
    check_device(device)
    return _new(memory.empty(_shape(shape, size, "empty"), as_dtype(dtype)), requires_grad, out)


def zeros(
    *shape: int | Sequence[int],
    size: Sequence[int] | None = None,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of this shape full of 0; float32 unless `dtype` says otherwise.

    Examples
    --------
    >>> fastconv.zeros(2, 3)
    tensor([[0., 0., 0.],
            [0., 0., 0.]])
    """
    check_device(device)
    return _new(np.zeros(_shape(shape, size, "zeros"), as_dtype(dtype)), requires_grad, out)


def ones(
    *shape: int | Sequence[int],
    size: Sequence[int] | None = None,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of this shape full of 1; float32 unless `dtype` says otherwise.

    Examples
    --------
    >>> fastconv.ones(2, dtype=fastconv.int64)
    tensor([1, 1])
    """
    check_device(device)
    return _new(filled_with(1, _shape(shape, size, "ones"), as_dtype(dtype)), requires_grad, out)


def full(
    size: Sequence[int],
    fill_value: float,
    *,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """A tensor of this shape full of `fill_value`, from which the dtype follows (float32, int64, bool).

    Examples
    --------
    >>> fastconv.full((2, 2), 7.0)
    tensor([[7., 7.],
            [7., 7.]])
    """
    check_device(device)
    number(fill_value, "fill_value")
    dtype = (bool_, int64, float32)[category(fill_value)] if dtype is None else as_dtype(dtype)
    return _new(filled_with(fill_value, _shape((size,), None, "full"), dtype), requires_grad, out)


def _shape(shape: tuple[Any, ...], size: Sequence[int] | None, name: str) -> Sequence[int]:
    if size is not None:
        if shape:
            raise TypeError(f"{name}() expects its shape once, got {shape} and size={size!r}")
        shape = (size,)
    return check_shape(unpack(shape), name)


def _new(array: np.ndarray, requires_grad: bool, out: Tensor | None) -> Tensor:
    """A new tensor, or what is there already with the new values."""
    return _leaf(array, requires_grad) if out is None else into(out, wrap(array))


def _filled_like(
    input: Tensor,
    value: Any,
    dtype: DTypeLike | None,
    device: DeviceLike,
    requires_grad: bool,
    order: memory_format,
) -> Tensor:
    """A tensor of the shape of `input` with its elements in this order in memory, full of a value if there is one."""
    check_device(device)
    y = _empty_like(input, dtype)
    if order is not preserve_format:
        y = y.contiguous(memory_format=order)
    if value is not None:
        y.fill_(value)
    return y.requires_grad_() if requires_grad else y


def zeros_like(
    input: Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """A tensor full of 0, of the shape and the dtype of `input`, and like it in memory."""
    return _filled_like(input, 0, dtype, device, requires_grad, memory_format)


def ones_like(
    input: Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """A tensor full of 1, of the shape and the dtype of `input`, and like it in memory."""
    return _filled_like(input, 1, dtype, device, requires_grad, memory_format)


def empty_like(
    input: Tensor,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """A tensor with whatever was in the memory, of the shape and the dtype of `input`, and like it in memory."""
    return _filled_like(input, None, dtype, device, requires_grad, memory_format)


def full_like(
    input: Tensor,
    fill_value: float,
    *,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
    memory_format: memory_format = preserve_format,
) -> Tensor:
    """A tensor full of `fill_value`, of the shape and the dtype of `input`, and like it in memory."""
    return _filled_like(input, fill_value, dtype, device, requires_grad, memory_format)


# ---------------------------------------------------------------------------------------------------------
# Counted off
# ---------------------------------------------------------------------------------------------------------


def arange(
    start: float = 0,
    end: float | None = None,
    step: float = 1,
    *,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """The numbers from `start` (0) up to but not including `end`, by `step`: int64 if all are ints, else float32.

    Examples
    --------
    >>> fastconv.arange(2, 10, 3)
    tensor([2, 5, 8])
    """
    check_device(device)
    start, end = (0, start) if end is None else (start, end)
    for name, value in (("start", start), ("end", end), ("step", step)):
        number(value, name)
        if not abs(value) < np.inf:
            raise ValueError(f"arange() expects finite numbers, got {name}={value!r}")
    start, end, step = (n if isinstance(n, int | float) else n.item() for n in (start, end, step))
    if step == 0:
        raise RuntimeError(f"arange() expects a step other than 0, got step={step!r}")
    if dtype is None:
        dtype = int64 if all(isinstance(n, int) for n in (start, end, step)) else float32
    dtype = as_dtype(dtype)
    if dtype == bool_:
        raise NotImplementedError("arange() is not implemented for bools")
    if (end - start) * step < 0:
        raise RuntimeError(
            f"upper bound and lower bound inconsistent with step sign: arange({start!r}, {end!r}, {step!r})"
        )
    if dtype == int64:
        start, end, step = int(start), int(end), int(step) or step
    n = int(np.ceil((end - start) / step))
    if dtype.kind in "ui":
        start, step = int(start), int(step)
    check_shape((n,), f"arange({start!r}, {end!r}, {step!r})")
    return _new(convert(start + step * np.arange(n), dtype), requires_grad, out)


def linspace(
    start: float,
    end: float,
    steps: int,
    *,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """`steps` numbers at equal distances from `start` to `end`, both included; each half is counted from its end.

    Examples
    --------
    >>> fastconv.linspace(0, 1, 5)
    tensor([0.0000, 0.2500, 0.5000, 0.7500, 1.0000])
    """
    check_device(device)
    start, end, steps = _range(start, end, steps, "linspace")
    kind = as_dtype(dtype)
    if steps < 2 or kind not in (np.float32, np.float64):
        return _new(convert(np.linspace(start, end, steps), kind), requires_grad, out)
    first, last = np.array([start, end], kind)
    step = float((last - first) / kind.type(steps - 1))
    index = np.arange(steps, dtype=np.float64)
    half = steps // 2
    # In double precision, so that a product and sum are rounded once, as torch's are where the CPU can.
    values = np.concatenate([first + step * index[:half], last - step * index[: steps - half][::-1]])
    return _new(convert(values, kind), requires_grad, out)


def _range(start: float, end: float, steps: int, name: str) -> tuple[float, float, int]:
    steps = integer(steps, "steps", -LARGEST)
    if steps < 0:
        raise RuntimeError(f"number of steps must be non-negative, got {steps}")
    check_shape((steps,), name)
    return float(number(start, "start")), float(number(end, "end")), steps


def logspace(
    start: float,
    end: float,
    steps: int,
    base: float = 10.0,
    *,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """`base` to the power of `steps` numbers at equal distances from `start` to `end`, both included.

    Examples
    --------
    >>> fastconv.logspace(-1, 1, 3)
    tensor([ 0.1000,  1.0000, 10.0000])
    """
    check_device(device)
    start, end, steps = _range(start, end, steps, "logspace")
    powers = float(number(base, "base")) ** np.linspace(start, end, steps)
    return _new(convert(powers, as_dtype(dtype)), requires_grad, out)


def eye(
    n: int,
    m: int | None = None,
    *,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """The (n, m) matrix, m = n by default, with 1 on the diagonal and 0 elsewhere.

    Examples
    --------
    >>> fastconv.eye(2)
    tensor([[1., 0.],
            [0., 1.]])
    """
    check_device(device)
    n = integer(n, "n")
    m = n if m is None else integer(m, "m")
    check_shape((n, m), "eye")
    return _new(convert(np.eye(n, m), as_dtype(dtype)), requires_grad, out)


# ---------------------------------------------------------------------------------------------------------
# Random
# ---------------------------------------------------------------------------------------------------------


def rand(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers, uniform in [0, 1)."""
    check_device(device)
    drawn = empty(*size, dtype=_of_out(out, dtype)).uniform_(generator=generator)
    return into(out, drawn).requires_grad_(requires_grad)


def randn(
    *size: int | Sequence[int],
    generator: Generator | None = None,
    out: Tensor | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers from the normal distribution of mean 0 and variance 1.

    Examples
    --------
    >>> fastconv.manual_seed(0).initial_seed()
    0
    >>> fastconv.randn(2, 2)  # torch's numbers of this seed
    tensor([[ 1.5410, -0.2934],
            [-2.1788,  0.5684]])
    """
    check_device(device)
    drawn = empty(*size, dtype=_of_out(out, dtype)).normal_(generator=generator)
    return into(out, drawn).requires_grad_(requires_grad)


def _of_out(out: Tensor | None, dtype: DTypeLike | None) -> DTypeLike | None:
    """The dtype to draw in: that of `out` where nothing else is said."""
    return dtype if out is None or dtype is not None else out.dtype


def rand_like(
    input: Tensor, *, generator: Generator | None = None, dtype: DTypeLike | None = None, device: DeviceLike = None
) -> Tensor:
    """Random numbers, uniform in [0, 1), of the shape and the dtype of `input`, and like it in memory."""
    check_device(device)
    return _empty_like(input, dtype).uniform_(generator=generator)


def randn_like(
    input: Tensor, *, generator: Generator | None = None, dtype: DTypeLike | None = None, device: DeviceLike = None
) -> Tensor:
    """Random numbers of mean 0 and variance 1, of the shape and the dtype of `input`, and like it in memory."""
    check_device(device)
    return _empty_like(input, dtype).normal_(generator=generator)


def _empty_like(input: Tensor, dtype: DTypeLike | None) -> Tensor:
    return wrap(random.like(input._array, None if dtype is None else as_dtype(dtype)))


def normal(
    mean: float | Tensor = 0.0,
    std: float | Tensor = 1.0,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random numbers from normal distributions.

    Parameters
    ----------
    mean, std : float or Tensor
        Of each element where they are tensors, which broadcast.
    size : sequence of int
        The shape, where both are numbers.
    """
    check_device(device)
    tensors = [t for t in (mean, std) if isinstance(t, Tensor)]
    if not tensors:
        if size is None:
            raise TypeError(f"normal() expects a size beside the numbers mean={mean!r} and std={std!r}")
        drawn = empty(size, dtype=dtype or float32)
        return drawn.normal_(mean, std, generator=generator).requires_grad_(requires_grad)
    if size is not None:
        raise TypeError(f"normal() takes no size beside tensors, got size={size!r}")
    shape = np.broadcast_shapes(*[t.shape for t in tensors])
    drawn = empty(shape, dtype=dtype or tensors[0].dtype)
    mean, std = (value.detach() if isinstance(value, Tensor) else value for value in (mean, std))
    if isinstance(std, Tensor):
        if not (std >= 0).all():
            raise RuntimeError("normal expects all elements of std >= 0.0")
        drawn.normal_(generator=generator).mul_(std)
    else:
        drawn.normal_(0, std, generator=generator)
    mean = mean if isinstance(mean, Tensor) else full((), mean, dtype=drawn.dtype)
    return drawn.add_(mean).requires_grad_(requires_grad)


def bernoulli(input: Tensor, p: float | None = None, *, generator: Generator | None = None) -> Tensor:
    """1 with the probability that `input` holds, or `p` for all, and else 0; of the shape and the dtype of `input`."""
    return input.bernoulli(p, generator=generator)


def poisson(input: Tensor, generator: Generator | None = None) -> Tensor:
    """Counts of the Poisson distributions of the rates in `input`, floats; of its shape and its dtype.

    Raises
    ------
    RuntimeError
        For a rate that is negative or NaN.
    NotImplementedError
        For integers.
    """
    return wrap(random.poisson(input._array, generator))


def multinomial(
    input: Tensor, num_samples: int, replacement: bool = False, *, generator: Generator | None = None
) -> Tensor:
    """Indices of the last dimension of `input`, each drawn with a probability in proportion to the element there.

    Parameters
    ----------
    input : Tensor
        Weights, shape (n,) or (rows, n), of which those of a row need not sum to 1.
    num_samples : int
        How many to draw in each row.
    replacement : bool
        Without it no index is drawn twice in a row.

    Returns
    -------
    Tensor
        int64, shape (num_samples,) or (rows, num_samples).
    """
    return input.multinomial(num_samples, replacement, generator=generator)


def randint(
    low: int = 0,
    high: int | Sequence[int] | None = None,
    size: Sequence[int] | None = None,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike = int64,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """Random integers from `low` up to but not including `high`; ``randint(high, size)`` starts at 0.

    Examples
    --------
    >>> _ = fastconv.manual_seed(0)
    >>> fastconv.randint(0, 10, (4,))
    tensor([4, 9, 3, 0])
    """
    check_device(device)
    if size is None:
        low, high, size = 0, low, high
    elif high is None:
        low, high = 0, low
    if size is None:
        raise TypeError("randint() expects a size: randint(high, size) or randint(low, high, size)")
    drawn = empty(size, dtype=dtype)
    return drawn.random_(low, high, generator=generator).requires_grad_(requires_grad)


def randint_like(
    input: Tensor,
    low: int,
    high: int | None = None,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike | None = None,
    device: DeviceLike = None,
) -> Tensor:
    """Random integers from `low` up to but not including `high`, of the shape and the dtype of `input`."""
    check_device(device)
    return _empty_like(input, dtype).random_(*((0, low) if high is None else (low, high)), generator=generator)


def randperm(
    n: int,
    *,
    generator: Generator | None = None,
    dtype: DTypeLike = int64,
    device: DeviceLike = None,
    requires_grad: bool = False,
) -> Tensor:
    """The integers from 0 to n - 1 in random order.

    Examples
    --------
    >>> _ = fastconv.manual_seed(0)
    >>> fastconv.randperm(5)
    tensor([4, 0, 1, 3, 2])
    """
    check_device(device)
    check_shape((integer(n, "n"),), "randperm")
    dtype = as_dtype(dtype)
    if dtype.kind == "f":
        largest = 2**8 if dtype is bfloat16 else 2 ** (np.finfo(dtype).nmant + 1)
    else:
        largest = 1 if dtype == bool_ else int(np.iinfo(dtype).max)
    if n > largest:
        raise RuntimeError(f"n is too large for result tensor type: randperm got n={n} and {dtype}")
    order = random.permutation(n, generator)
    return _leaf(order if dtype == int64 else convert(order, dtype), requires_grad)
