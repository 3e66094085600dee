"""Convolution and pooling on NumPy arrays: the place that checks arguments and computes sizes.

Arrays come in with any strides, alignment and byte order, read-only or not; results are fresh arrays. float32 and
float64 are computed in their own precision, float16 in float32, whose dtype the result then has. Images are
``(N, C, H, W)`` or a single ``(C, H, W)``; filters ``(K, C / groups, R, S)``; outputs ``(N, K, P, Q)``.

Errors are raised before anything is computed: TypeError for what is no array or has another dtype, ValueError for a
parameter that is impossible in itself, RuntimeError for shapes that do not fit each other, MemoryError for results
that no memory can hold.
"""

from collections.abc import Sequence
from operator import index
from typing import Any

import numpy as np
from numpy import ndarray

from . import backends
from ._native import passes, plan, pool, quick
from ._native.memory import empty
from ._native.tuning import PASSES
from .checks import LARGEST
from .explanation import Explanation

__all__ = [
    "adaptive_avg_pool2d",
    "adaptive_avg_pool2d_backward",
    "avg_pool2d",
    "avg_pool2d_backward",
    "bias_gradient",
    "conv1d",
    "conv1d_input",
    "conv1d_weight",
    "conv2d",
    "conv2d_input",
    "conv2d_weight",
    "conv_transpose2d",
    "conv_transpose2d_input",
    "conv_transpose2d_weight",
    "linear",
    "linear_bias",
    "linear_input",
    "linear_weight",
    "max_pool2d",
    "max_pool2d_backward",
    "pad2d",
    "pad2d_backward",
]

Size = int | Sequence[int]

_FLOAT32 = np.dtype(np.float32)
_FLOAT64 = np.dtype(np.float64)
# Pooling's indices are integers of the element's size.
_INDEX_DTYPES: dict[int, np.dtype] = {4: np.dtype(np.int32), 8: np.dtype(np.int64)}
_MOST_PIXELS = {4: 2**31 - 1, 8: 2**63 - 1}

_MOST_BYTES = 2**63 - 1
# Pixels of a padded plane up to here: some hundred of them, which is what the kernels stage at most, can be addressed.
_MOST_PADDED = 2**48


# ---------------------------------------------------------------------------------------------------------------------
# Checks


def _float_array(op: str, array: ndarray, name: str) -> ndarray:
    """The array itself where the kernels can read it, else a copy that they can read."""
    if type(array) is ndarray:
        dtype = array.dtype
        if (dtype is _FLOAT32 or dtype is _FLOAT64) and array.flags.aligned:
            return array
    return _converted(op, array, name)


def _converted(op: str, array: ndarray, name: str) -> ndarray:
    if not isinstance(array, ndarray):
        raise TypeError(f"{op}: {name} must be a numpy.ndarray, got {type(array).__name__}")
    if isinstance(array, np.ma.MaskedArray):
        raise TypeError(
            f"{op}: {name} is a MaskedArray of size {list(array.shape)}; fill its masked values first, "
            "as with .filled(0)"
        )
    kind = array.dtype.type
    dtype: np.dtype
    if kind is np.float32 or kind is np.float16:
        dtype = _FLOAT32
    elif kind is np.float64:
        dtype = _FLOAT64
    elif array.dtype.kind in "biu":
        raise TypeError(
            f"{op}: {name} must be float32 or float64, got {array.dtype} of size {list(array.shape)}; "
            "cast it first, as with .astype(numpy.float32)"
        )
    else:
        raise TypeError(
            f"{op}: {name} must be float32 or float64 (or float16, computed in float32), "
            f"got {array.dtype} of size {list(array.shape)}"
        )
    return np.require(np.asarray(array), dtype, ["ALIGNED", "ENSUREARRAY"])


def _float_arrays(op: str, a: ndarray, a_name: str, b: ndarray, b_name: str) -> tuple[ndarray, ndarray]:
    a_ready = _float_array(op, a, a_name)
    b_ready = _float_array(op, b, b_name)
    if a.dtype is not b.dtype and a.dtype.type is not b.dtype.type:
        raise TypeError(
            f"{op}: {a_name} and {b_name} must have the same dtype, got {a.dtype} and {b.dtype}; "
            "cast one of them with .astype"
        )
    return a_ready, b_ready


def _pair(value: Size, name: str, least: int, dims: int = 2) -> tuple[int, int]:
    """One integer or `dims` of them as a pair (h, w), each at least `least`; 1-D operations have `least` for h."""
    if type(value) is int and least <= value <= LARGEST:
        return (value, value) if dims == 2 else (least, value)
    if type(value) is tuple and len(value) == 2 and dims == 2:
        h, w = value
        if type(h) is int and type(w) is int and least <= h <= LARGEST and least <= w <= LARGEST:
            return value
    return _pair_of_any(value, name, least, dims)


def _pair_of_any(value: Size, name: str, least: int, dims: int) -> tuple[int, int]:
    expected = "an integer" if dims == 1 else "an integer or a pair of integers"
    items = _integers(value if isinstance(value, (tuple, list, ndarray)) else (value,), name, expected, value)
    if len(items) == 1:
        items *= dims
    if len(items) != dims:
        raise ValueError(f"{name} must be {expected}, got {value!r}")
    if min(items) < least:
        problem = "zero or more" if least == 0 else "positive"
        raise ValueError(f"{name} must be {problem}, got {name}={value!r}")
    if max(items) > LARGEST:
        raise ValueError(f"{name} must be at most 2**60, got {name}={value!r}")
    return (items[0], items[1]) if dims == 2 else (least, items[0])


def _integers(items: Sequence[int], name: str, expected: str, value: object) -> tuple[int, ...]:
    try:
        if any(isinstance(item, (bool, np.bool_)) for item in items):
            raise TypeError
        return tuple(index(item) for item in items)
    except TypeError:
        raise TypeError(f"{name} must be {expected}, got {value!r}") from None


def _positive(value: int, name: str) -> int:
    if type(value) is int and 0 < value <= LARGEST:
        return value
    return _pair_of_any(value, name, 1, 1)[1]


def _shape(op: str, size: Sequence[int], name: str, dims: int) -> tuple[int, ...]:
    """A size that the caller asks for: (N, C, ...) or (C, ...) with `dims` more entries, none negative."""
    if type(size) is tuple and dims + 1 <= len(size) <= dims + 2:
        for n in size:
            if type(n) is not int or not 0 <= n <= LARGEST:
                break
        else:
            return size
    if not isinstance(size, (tuple, list, ndarray)):
        raise TypeError(f"{op}: {name} must be a tuple of integers, got {size!r}")
    items = _integers(size, f"{op}: {name}", "a tuple of integers", size)
    if len(items) not in (dims + 1, dims + 2):
        raise RuntimeError(f"{op}: {name} must have {dims + 1} or {dims + 2} entries, got {list(items)}")
    if min(items) < 0 or max(items) > LARGEST:
        raise ValueError(f"{op}: {name} must hold sizes from 0 to 2**60, got {list(items)}")
    return items


def _check_rank(op: str, shape: tuple[int, ...], name: str, dims: int) -> None:
    if len(shape) != dims + 2 and len(shape) != dims + 1:
        raise RuntimeError(
            f"{op}: expected {dims + 1}-D (one {'image' if dims == 2 else 'signal'}) or {dims + 2}-D (batched) {name}, "
            f"got {len(shape)}-D {name} of size {list(shape)}"
        )


def _new(op: str, shape: tuple[int, ...], dtype: np.dtype, name: str = "output") -> ndarray:
    size = dtype.itemsize
    for n in shape:
        if n:
            size *= n
    if size > _MOST_BYTES:
        raise MemoryError(f"{op}: {name} of size {list(shape)} needs {size} bytes, more than can be addressed")
    try:
        return empty(shape, dtype)
    except MemoryError:
        raise MemoryError(f"{op}: no memory for {name} of size {list(shape)}, {size} bytes") from None


def _new_images(op: str, shape: tuple[int, ...], like: ndarray, dtype: Any = None, name: str = "output") -> ndarray:
    """Images of that shape, with channels last where those that they are made of have them last."""
    dtype = like.dtype if dtype is None else dtype
    if like.ndim == 4 and like.shape[1] > 1 and not like.flags.c_contiguous:
        n, c, h, w = shape
        if like.transpose(0, 2, 3, 1).flags.c_contiguous:
            return _new(op, (n, h, w, c), dtype, name).transpose(0, 3, 1, 2)
    return _new(op, shape, dtype, name)


# ---------------------------------------------------------------------------------------------------------------------
# Sizes


def _convolution_sizes(
    op: str,
    dims: int,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...],
    stride: Size,
    padding: Size | str,
    dilation: Size,
    groups: int,
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int, int, int, int]]:
    """Check that filters of 4-D shape `w_shape` fit images of 4-D shape `x_shape`.

    Returns the 4-D shape of the output and the seven integers that the kernels take: stride, top and left padding,
    dilation, groups.
    """
    images, channels, height, width = x_shape
    filters, channels_per_group, kernel_h, kernel_w = w_shape
    groups = _positive(groups, "groups")
    if channels != channels_per_group * groups:
        raise RuntimeError(
            f"Given groups={groups}, weight of size {_listed(w_shape, dims)}, expected input{_listed(x_shape, dims)} "
            f"to have {channels_per_group * groups} channels, but got {channels} channels instead"
        )
    if filters % groups or not filters:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least 1 and divisible by {groups} at dimension 0, "
            f"but got weight of size {_listed(w_shape, dims)} instead"
        )
    if not (kernel_h and kernel_w):
        raise RuntimeError(f"{op}: empty kernel, got weight of size {_listed(w_shape, dims)}")
    stride_h, stride_w = _pair(stride, "stride", 1, dims)
    dilation_h, dilation_w = _pair(dilation, "dilation", 1, dims)
    # What a dilated kernel covers.
    span_h = dilation_h * (kernel_h - 1) + 1
    span_w = dilation_w * (kernel_w - 1) + 1
    if not isinstance(padding, str):
        top, left = _pair(padding, "padding", 0, dims)
        padded_h, padded_w = height + 2 * top, width + 2 * left
    elif padding == "same":
        if stride_h != 1 or stride_w != 1:
            raise ValueError(f"padding='same' needs stride 1, got stride={stride!r}")
        # An even span leaves one more row to the bottom, one more column to the right.
        top, left = (span_h - 1) // 2, (span_w - 1) // 2
        padded_h, padded_w = height + span_h - 1, width + span_w - 1
    elif padding == "valid":
        top = left = 0
        padded_h, padded_w = height, width
    else:
        raise ValueError(f"padding must be an integer, a pair of them, 'same' or 'valid', got {padding!r}")
    if padded_h < span_h or padded_w < span_w:
        raise RuntimeError(
            f"{op}: kernel larger than the padded input: padded input per channel {_by(padded_h, padded_w, dims)}, "
            f"kernel {_by(span_h, span_w, dims)} (weight of size {_listed(w_shape, dims)}, input of size "
            f"{_listed(x_shape, dims)}, padding={padding!r}, dilation={dilation!r})"
        )
    if not (height and width) and images and channels:
        raise RuntimeError(
            f"{op}: an input may be empty in batch or channels alone, got input of size {_listed(x_shape, dims)}"
        )
    if padded_h * padded_w > _MOST_PADDED:
        raise _too_large(op, padded_h, padded_w, dims)
    out_h, out_w = (padded_h - span_h) // stride_h + 1, (padded_w - span_w) // stride_w + 1
    return (images, filters, out_h, out_w), (
        *_steps(out_h, out_w, stride_h, stride_w),
        top,
        left,
        *_steps(kernel_h, kernel_w, dilation_h, dilation_w),
        groups,
    )


def _steps(count_h: int, count_w: int, step_h: int, step_w: int) -> tuple[int, int]:
    """Strides between `count` windows or dilations between taps: between one and no other they may be any, so 1."""
    return 1 if count_h == 1 else step_h, 1 if count_w == 1 else step_w


def _too_large(op: str, padded_h: int, padded_w: int, dims: int = 2) -> MemoryError:
    return MemoryError(f"{op}: images of {_by(padded_h, padded_w, dims)} pixels, padding included, are too large")


def _listed(shape: tuple[int, ...], dims: int) -> list[int]:
    """A 4-D shape as the caller knows it: without the height of 1 that 1-D operations add."""
    return list(shape) if dims == 2 else [shape[0], shape[1], shape[3]]


def _by(h: int, w: int, dims: int) -> str:
    return f"{h} x {w}" if dims == 2 else str(w)


def _four(shape: tuple[int, ...], dims: int) -> tuple[int, ...]:
    """A checked shape in four dimensions: with a batch of 1 and, for 1-D operations, a height of 1."""
    if len(shape) == dims + 1:
        shape = (1, *shape)
    return shape if dims == 2 else (shape[0], shape[1], 1, shape[2])


def _four_dimensional(array: ndarray, dims: int) -> ndarray:
    if array.ndim == dims + 1:
        array = array[None]
    return array if dims == 2 else array[:, :, None]


def _as_asked(array: ndarray, rank: int, dims: int) -> ndarray:
    """The inverse of `_four_dimensional` for a result."""
    if dims == 1:
        array = array[:, :, 0]
    return array if rank == dims + 2 else array[0]


def _check_gradient(
    op: str,
    dy: ndarray,
    expected: tuple[int, ...],
    dims: int,
    x_shape: tuple[int, ...],
    w_shape: tuple[int, ...] | None,
    parameters: tuple[Any, ...],
) -> ndarray:
    """dy in four dimensions, its size checked against the output's.

    `parameters` are told of in the error: stride, padding and dilation; of pooling kernel_size, stride and padding.
    """
    rank = len(x_shape)
    if dy.ndim == rank:
        dy4 = _four_dimensional(dy, dims)
        if dy4.shape == expected:
            return dy4
    wanted = _listed(expected, dims)[dims + 2 - rank :]
    names = ("stride", "padding", "dilation") if w_shape else ("kernel_size", "stride", "padding")
    given = f"input of size {list(x_shape)}" + (f", weight of size {list(w_shape)}" if w_shape else "")
    given += "".join(f", {name}={value!r}" for name, value in zip(names, parameters, strict=True))
    raise RuntimeError(f"{op}: expected gradient of size {wanted} for {given}, got {list(dy.shape)}")


def _bias(op: str, b: ndarray, x: ndarray, channels: int, w_shape: tuple[int, ...]) -> ndarray:
    ready, _ = _float_arrays(op, b, "bias", x, "input")
    if ready.shape != (channels,):
        raise RuntimeError(
            f"Given weight of size {list(w_shape)}, expected bias to be 1-dimensional with {channels} elements, "
            f"but got bias of size {list(ready.shape)} instead"
        )
    return ready


# ---------------------------------------------------------------------------------------------------------------------
# Convolution


def conv2d(
    x: ndarray,
    w: ndarray,
    b: ndarray | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ndarray:
    r"""2-D convolution of many channels (cross-correlation, as in all of deep learning).

    ``y[n,k,p,q] = b[k] + sum over c,r,s of w[k,c,r,s] * x[n, g*C/groups + c, p*stride + r*dilation - padding,
    q*stride + s*dilation - padding]``, where g is the group of filter k and x is zero outside the image: equation 12.3
    of the textbook without its g(), with stride and dilation.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W), float32 or float64
    w : ndarray (K, C / groups, R, S), of x's dtype
    b : ndarray (K,), of x's dtype, optional
    stride, dilation : int or pair (h, w)
        In pixels, at least 1.
    padding : int, pair (h, w), 'same' or 'valid'
        Zeros on each side, in pixels. 'same' keeps the image's size (stride 1 only; of an odd total the extra one goes
        right and to the bottom), 'valid' pads nothing.
    groups : int
        Channels and filters are split into so many groups that do not see each other; C groups are depthwise.

    Returns
    -------
    ndarray (N, K, P, Q) or (K, P, Q)
        ``P = (H + 2 * padding - dilation * (R - 1) - 1) // stride + 1``, Q likewise.

    Raises
    ------
    TypeError
        For what is no array, integers, and mixed dtypes.
    ValueError
        For a stride, dilation or groups below 1, a negative or unknown padding.
    RuntimeError
        For sizes that do not fit each other.
    """
    y = quick.conv2d(x, w, b, stride, padding, dilation, groups)
    return _forward("conv2d", 2, x, w, b, stride, padding, dilation, groups) if y is None else y


def conv1d(
    x: ndarray,
    w: ndarray,
    b: ndarray | None = None,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ndarray:
    """1-D convolution: :func:`conv2d` for x (N, C, L) or (C, L) and w (K, C / groups, S)."""
    return _forward("conv1d", 1, x, w, b, stride, padding, dilation, groups)


def _forward(op, dims, x, w, b, stride, padding, dilation, groups):
    given = x
    x, w = _float_arrays(op, x, "input", w, "weight")
    rank = x.ndim
    _check_rank(op, x.shape, "input", dims)
    _check_weight(op, w.shape, dims)
    if b is not None:
        b = _bias(op, b, given, w.shape[0], w.shape)
    x4, w4 = _four_dimensional(x, dims), _four_dimensional(w, dims)
    y_shape, parameters = _convolution_sizes(op, dims, x4.shape, w4.shape, stride, padding, dilation, groups)
    y = _new_images(op, y_shape, x4)
    if x.size:
        plan.forward(x4, w4, b, y, *parameters)
    else:
        y[...] = 0 if b is None else b[:, None, None]
    return y if rank == 4 and dims == 2 else _as_asked(y, rank, dims)


def _check_weight(op: str, shape: tuple[int, ...], dims: int) -> None:
    if len(shape) != dims + 2:
        raise RuntimeError(
            f"{op}: expected {dims + 2}-D weight (filters, channels per group, kernel...), "
            f"got {len(shape)}-D weight of size {list(shape)}"
        )


def conv2d_input(
    input_size: Sequence[int],
    w: ndarray,
    dy: ndarray,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ndarray:
    """Gradient of :func:`conv2d` with respect to its input.

    The filters, turned by 180 degrees and their two channel axes exchanged, convolve dy: equation 12.6 of the textbook,
    summed over the filters. Arguments as for :func:`conv2d`, in torch.nn.grad's order.

    Parameters
    ----------
    input_size : sequence of 4 or 3 ints
        The shape of x.
    w : ndarray (K, C / groups, R, S)
    dy : ndarray (N, K, P, Q) or (K, P, Q)
        Gradient with respect to the output.

    Returns
    -------
    ndarray of shape `input_size`
    """
    dx = quick.conv2d_input(input_size, w, dy, stride, padding, dilation, groups)
    if dx is not None:
        return dx
    return _input_gradient("conv2d_input", 2, input_size, w, dy, stride, padding, dilation, groups)


def conv1d_input(
    input_size: Sequence[int],
    w: ndarray,
    dy: ndarray,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ndarray:
    """Gradient of :func:`conv1d` with respect to its input, as :func:`conv2d_input`."""
    return _input_gradient("conv1d_input", 1, input_size, w, dy, stride, padding, dilation, groups)


def _input_gradient(op, dims, input_size, w, dy, stride, padding, dilation, groups):
    dy, w = _float_arrays(op, dy, "gradient", w, "weight")
    x_shape = _shape(op, input_size, "input_size", dims)
    _check_weight(op, w.shape, dims)
    w4 = _four_dimensional(w, dims)
    x4_shape = _four(x_shape, dims)
    y_shape, parameters = _convolution_sizes(op, dims, x4_shape, w4.shape, stride, padding, dilation, groups)
    dy4 = _check_gradient(op, dy, y_shape, dims, x_shape, w.shape, (stride, padding, dilation))
    dx = _new_images(op, x4_shape, dy4, name="input's gradient")
    if dx.size:
        plan.input_gradient(dy4, w4, dx, *parameters)
    return _as_asked(dx, len(x_shape), dims)


def conv2d_weight(
    x: ndarray,
    weight_size: Sequence[int],
    dy: ndarray,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ndarray:
    """Gradient of :func:`conv2d` with respect to its filters, summed over the images of the batch.

    ``dw[k,c,r,s] = sum over n,p,q of dy[n,k,p,q] * x[n, ..., p*stride + r*dilation - padding, ...]``: the output's
    gradient convolves the input, equation 12.5 of the textbook. Arguments as for :func:`conv2d`, in torch.nn.grad's
    order. An empty batch gives zeros.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W)
    weight_size : sequence of 4 ints
        The shape of w, (K, C / groups, R, S).
    dy : ndarray (N, K, P, Q) or (K, P, Q)
        Gradient with respect to the output.

    Returns
    -------
    ndarray of shape `weight_size`
    """
    dw = quick.conv2d_weight(x, weight_size, dy, stride, padding, dilation, groups)
    if dw is not None:
        return dw
    return _weight_gradient("conv2d_weight", 2, x, weight_size, dy, stride, padding, dilation, groups)


def conv1d_weight(
    x: ndarray,
    weight_size: Sequence[int],
    dy: ndarray,
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
) -> ndarray:
    """Gradient of :func:`conv1d` with respect to its filters, as :func:`conv2d_weight`."""
    return _weight_gradient("conv1d_weight", 1, x, weight_size, dy, stride, padding, dilation, groups)


def _weight_gradient(op, dims, x, weight_size, dy, stride, padding, dilation, groups):
    x, dy = _float_arrays(op, x, "input", dy, "gradient")
    _check_rank(op, x.shape, "input", dims)
    w_shape = _shape(op, weight_size, "weight_size", dims)
    _check_weight(op, w_shape, dims)
    x4 = _four_dimensional(x, dims)
    w4_shape = _four(w_shape, dims)
    y_shape, parameters = _convolution_sizes(op, dims, x4.shape, w4_shape, stride, padding, dilation, groups)
    dy4 = _check_gradient(op, dy, y_shape, dims, x.shape, w_shape, (stride, padding, dilation))
    dw = _new(op, w4_shape, x.dtype, "weight's gradient")
    if x.size and dy.size:
        plan.weight_gradient(x4, dy4, dw, *parameters)
    else:
        dw[...] = 0
    return dw if dims == 2 else dw[:, :, 0]


def explain(
    input_size: Sequence[int],
    weight_size: Sequence[int],
    stride: Size = 1,
    padding: Size | str = 0,
    dilation: Size = 1,
    groups: int = 1,
    dtype: Any = np.float32,
    *,
    memory_format: str = "contiguous",
    force: str | None = None,
) -> Explanation:
    """Which form each pass of :func:`conv2d` takes here and now, and what every form is estimated to cost.

    The choice depends on the sizes, the layout of the arrays, the instruction set and the switches of
    ``fastconv.backends``.

    Parameters
    ----------
    input_size : sequence of 4 ints
        The shape of x, (N, C, H, W).
    weight_size : sequence of 4 ints
        The shape of w, (K, C / groups, R, S).
    stride, padding, dilation, groups
        As for :func:`conv2d`, whose errors it raises.
    dtype : numpy.dtype
        float32 or float64.
    memory_format : str
        The layout of x, y and their gradients: 'contiguous' (C order), or 'channels_last' (N, H, W, C in memory).
    force : str, optional
        A form that is taken where it is possible, one of ``fastconv.backends.FORMS``.

    Returns
    -------
    Explanation
        A dict of 'forward', 'input_gradient' and 'weight_gradient' to the name of the form, as 'panels' or
        'winograd F(4x4, 3x3)'; ``cycles`` has the estimates of all possible forms, and ``print`` shows them.
    """
    itemsize = _float_array("explain", np.empty(0, dtype), "input").itemsize
    x, w = _shape("explain", input_size, "input_size", 2), _shape("explain", weight_size, "weight_size", 2)
    _check_weight("explain", w, 2)
    x = _four(x, 2)
    if memory_format not in ("contiguous", "channels_last"):
        raise ValueError(f"memory_format must be 'contiguous' or 'channels_last', got {memory_format!r}")
    number = -1 if force is None else backends.form_number(force)
    y, parameters = _convolution_sizes("explain", 2, x, w, stride, padding, dilation, groups)
    explanation = Explanation(memory_format)
    for which, name in enumerate(PASSES):
        last = memory_format == "channels_last"
        explanation.add(name, plan.weigh_sizes(which, x, w, tuple(y), tuple(parameters), itemsize, last, number))
    return explanation


def conv_transpose2d(
    x: ndarray,
    w: ndarray,
    b: ndarray | None = None,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> ndarray:
    """Transposed 2-D convolution: the gradient of :func:`conv2d` with respect to its input, as an operation.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W), float32 or float64
    w : ndarray (C, K / groups, R, S), of x's dtype
    b : ndarray (K,), of x's dtype, optional
    stride, padding, dilation : int or pair (h, w)
        Those of the convolution whose gradient this is.
    output_padding : int or pair (h, w)
        Rows and columns added to one side of the output's size; less than the stride or the dilation.
    groups : int

    Returns
    -------
    ndarray (N, K, P, Q) or (K, P, Q)
        ``P = (H - 1) * stride - 2 * padding + dilation * (R - 1) + output_padding + 1``, Q likewise.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As :func:`conv2d`.
    """
    op = "conv_transpose2d"
    given = x
    x, w = _float_arrays(op, x, "input", w, "weight")
    _check_rank(op, x.shape, "input", 2)
    _check_weight(op, w.shape, 2)
    x4 = _four_dimensional(x, 2)
    y_shape, parameters = _transposed_sizes(op, x4.shape, w.shape, stride, padding, output_padding, groups, dilation)
    if b is not None:
        b = _bias(op, b, given, y_shape[1], w.shape)
    y = _new_images(op, y_shape, x4)
    if not x.size:
        y[...] = 0
    elif y.size:
        plan.input_gradient(x4, w, y, *parameters)
    if b is not None:
        y += b[:, None, None]
    return _as_asked(y, x.ndim, 2)


def _transposed_sizes(op, x_shape, w_shape, stride, padding, output_padding, groups, dilation):
    """The shape of the output of a transposed convolution, and the seven integers that the kernels take."""
    images, channels, height, width = x_shape
    groups = _positive(groups, "groups")
    if channels != w_shape[0]:
        raise RuntimeError(
            f"Given transposed weight of size {list(w_shape)}, expected input{list(x_shape)} "
            f"to have {w_shape[0]} channels, but got {channels} channels instead"
        )
    if channels % groups or not channels:
        raise RuntimeError(
            f"Given groups={groups}, expected weight to be at least 1 and divisible by {groups} at dimension 0, "
            f"but got weight of size {list(w_shape)} instead"
        )
    if not (w_shape[2] and w_shape[3]):
        raise RuntimeError(f"{op}: empty kernel, got weight of size {list(w_shape)}")
    if not (height and width) and images:
        raise RuntimeError(f"{op}: an input may be empty in its batch alone, got input of size {list(x_shape)}")
    stride_h, stride_w = _pair(stride, "stride", 1)
    top, left = _pair(padding, "padding", 0)
    extra_h, extra_w = _pair(output_padding, "output_padding", 0)
    dilation_h, dilation_w = _pair(dilation, "dilation", 1)
    if extra_h >= max(stride_h, dilation_h) or extra_w >= max(stride_w, dilation_w):
        raise ValueError(
            "output_padding must be smaller than either stride or dilation, got "
            f"output_padding={output_padding!r}, stride={stride!r}, dilation={dilation!r}"
        )
    out_h = (height - 1) * stride_h - 2 * top + dilation_h * (w_shape[2] - 1) + extra_h + 1
    out_w = (width - 1) * stride_w - 2 * left + dilation_w * (w_shape[3] - 1) + extra_w + 1
    if out_h < 1 or out_w < 1:
        raise RuntimeError(
            f"{op}: output size {out_h} x {out_w} is too small, for input of size {list(x_shape)}, "
            f"weight of size {list(w_shape)}, stride={stride!r}, padding={padding!r}, dilation={dilation!r}"
        )
    if (out_h + 2 * top) * (out_w + 2 * left) > _MOST_PADDED:
        raise _too_large(op, out_h + 2 * top, out_w + 2 * left)
    return (images, w_shape[1] * groups, out_h, out_w), (
        *_steps(height, width, stride_h, stride_w),
        top,
        left,
        *_steps(w_shape[2], w_shape[3], dilation_h, dilation_w),
        groups,
    )


def conv_transpose2d_input(
    input_size: Sequence[int],
    w: ndarray,
    dy: ndarray,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> ndarray:
    """Gradient of :func:`conv_transpose2d` with respect to its input: a convolution of dy by w.

    Parameters
    ----------
    input_size : sequence of 4 or 3 ints
        The shape of x.
    w : ndarray (C, K / groups, R, S)
    dy : ndarray (N, K, P, Q) or (K, P, Q)

    Returns
    -------
    ndarray of shape `input_size`
    """
    op = "conv_transpose2d_input"
    dy, w = _float_arrays(op, dy, "gradient", w, "weight")
    x_shape = _shape(op, input_size, "input_size", 2)
    _check_weight(op, w.shape, 2)
    x4_shape = _four(x_shape, 2)
    y_shape, parameters = _transposed_sizes(op, x4_shape, w.shape, stride, padding, output_padding, groups, dilation)
    dy4 = _check_gradient(op, dy, y_shape, 2, x_shape, w.shape, (stride, padding, dilation))
    dx = _new_images(op, x4_shape, dy4, name="input's gradient")
    if dy.size:
        plan.forward(dy4, w, None, dx, *parameters)
    else:
        dx[...] = 0
    return _as_asked(dx, len(x_shape), 2)


def conv_transpose2d_weight(
    x: ndarray,
    weight_size: Sequence[int],
    dy: ndarray,
    stride: Size = 1,
    padding: Size = 0,
    output_padding: Size = 0,
    groups: int = 1,
    dilation: Size = 1,
) -> ndarray:
    """Gradient of :func:`conv_transpose2d` with respect to its filters.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W)
    weight_size : sequence of 4 ints
        The shape of w, (C, K / groups, R, S).
    dy : ndarray (N, K, P, Q) or (K, P, Q)

    Returns
    -------
    ndarray of shape `weight_size`
    """
    op = "conv_transpose2d_weight"
    x, dy = _float_arrays(op, x, "input", dy, "gradient")
    _check_rank(op, x.shape, "input", 2)
    w_shape = _shape(op, weight_size, "weight_size", 2)
    _check_weight(op, w_shape, 2)
    x4 = _four_dimensional(x, 2)
    y_shape, parameters = _transposed_sizes(op, x4.shape, w_shape, stride, padding, output_padding, groups, dilation)
    dy4 = _check_gradient(op, dy, y_shape, 2, x.shape, w_shape, (stride, padding, dilation))
    dw = _new(op, w_shape, x.dtype, "weight's gradient")
    if dy.size:
        plan.weight_gradient(dy4, x4, dw, *parameters)
    else:
        dw[...] = 0
    return dw


def bias_gradient(dy: ndarray, dims: int = 2) -> ndarray:
    """Gradient with respect to a convolution's bias: the sum of dy over all axes but the channels'.

    Parameters
    ----------
    dy : ndarray (N, K, P, Q) or (K, P, Q); with ``dims=1`` (N, K, L) or (K, L)
    dims : int
        Number of spatial axes.

    Returns
    -------
    ndarray (K,)
    """
    op = "bias_gradient"
    if type(dims) is not int or dims not in (1, 2):
        raise ValueError(f"{op}: dims must be 1 or 2, got {dims!r}")
    db = quick.bias_gradient(dy) if dims == 2 else None
    if db is not None:
        return db
    dy = _float_array(op, dy, "gradient")
    _check_rank(op, dy.shape, "gradient", dims)
    dy4 = np.ascontiguousarray(_four_dimensional(dy, dims))
    db = _new(op, dy4.shape[1:2], dy.dtype, "bias's gradient")
    passes.bias_gradient(dy4, db)
    return db


# ---------------------------------------------------------------------------------------------------------------------
# Fully connected layers: the convolutions' kernels again, so that their threads and sums are the package's own

_PLAIN = 1, 1, 0, 0, 1, 1, 1


def _check_matrices(op: str, a: ndarray, a_name: str, a_axis: int, b: ndarray, b_name: str, b_axis: int) -> None:
    if a.ndim != 2 or b.ndim != 2 or a.shape[a_axis] != b.shape[b_axis]:
        raise RuntimeError(
            f"{op}: expected matrices with {a_name}.shape[{a_axis}] == {b_name}.shape[{b_axis}], "
            f"got {a_name} of size {list(a.shape)} and {b_name} of size {list(b.shape)}"
        )


def linear(x: ndarray, w: ndarray, b: ndarray | None = None) -> ndarray:
    """``y = x w^T + b``: as the weight gradient of a convolution whose images are the rows of w and of x.

    Parameters
    ----------
    x : ndarray (N, C)
    w : ndarray (K, C)
    b : ndarray (K,), optional

    Returns
    -------
    ndarray (N, K)

    Raises
    ------
    TypeError, RuntimeError
        As :func:`conv2d`.
    """
    y = quick.linear(x, w, b)
    if y is not None:
        return y
    given = x
    x, w = _float_arrays("linear", x, "input", w, "weight")
    _check_matrices("linear", x, "input", 1, w, "weight", 1)
    if b is not None:
        b = _bias("linear", b, given, w.shape[0], w.shape)
    y = _new("linear", (x.shape[0], w.shape[0]), x.dtype)
    if y.size:
        plan.weight_gradient(w[None, :, None], x[None, :, None], y[:, :, None, None], *_PLAIN)
    if b is not None:
        y += b
    return y


def linear_input(w: ndarray, dy: ndarray) -> ndarray:
    """Gradient of :func:`linear` with respect to x: ``dx = dy w``, (N, C) of w (K, C) and dy (N, K)."""
    dx = quick.linear_input(w, dy)
    if dx is not None:
        return dx
    dy, w = _float_arrays("linear_input", dy, "gradient", w, "weight")
    _check_matrices("linear_input", dy, "gradient", 1, w, "weight", 0)
    return _product("linear_input", dy, w)


def linear_weight(x: ndarray, dy: ndarray) -> ndarray:
    """Gradient of :func:`linear` with respect to w: ``dw = dy^T x``, (K, C) of x (N, C) and dy (N, K)."""
    dw = quick.linear_weight(x, dy)
    if dw is not None:
        return dw
    dy, x = _float_arrays("linear_weight", dy, "gradient", x, "input")
    _check_matrices("linear_weight", dy, "gradient", 0, x, "input", 0)
    return _product("linear_weight", dy.T, x)


def linear_bias(dy: ndarray) -> ndarray:
    """Gradient of :func:`linear` with respect to b: the sums of dy's columns, (K,) of dy (N, K), in float64."""
    db = quick.linear_bias(dy)
    if db is not None:
        return db
    dy = _float_array("linear_bias", dy, "gradient")
    if dy.ndim != 2:
        raise RuntimeError(f"linear_bias: expected a matrix as gradient, got gradient of size {list(dy.shape)}")
    return np.add.reduce(dy, axis=0, dtype=np.float64).astype(dy.dtype)


def _product(op: str, a: ndarray, b: ndarray) -> ndarray:
    """a b, as a convolution of one tap: a's rows are the filters, b's columns the pixels."""
    y = _new(op, (a.shape[0], b.shape[1]), a.dtype)
    if not a.shape[1]:
        y.fill(0)
    elif y.size:
        plan.forward(b[None, :, None], a[:, :, None, None], None, y[None, :, None], *_PLAIN)
    return y


# ---------------------------------------------------------------------------------------------------------------------
# Padding

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _check_pads(op: str, pads: Sequence[int], mode: str, height: int, width: int) -> tuple[int, int, int, int]:
    if mode not in _PADDING_MODES:
        raise ValueError(f"{op}: mode must be one of {', '.join(_PADDING_MODES)}, got {mode!r}")
    if not isinstance(pads, (tuple, list)):
        raise TypeError(f"{op}: pads must be a tuple (left, right, top, bottom), got {pads!r}")
    items = _integers(pads, f"{op}: pads", "a tuple of integers", pads)
    if len(items) != 4 or min(items) < 0 or max(items) > LARGEST:
        raise ValueError(f"{op}: pads must be (left, right, top, bottom), each from 0 to 2**60, got {pads!r}")
    left, right, top, bottom = items
    most_h, most_w = max(top, bottom), max(left, right)
    if mode == "reflect" and (most_h >= max(height, 1) or most_w >= max(width, 1)):
        raise RuntimeError(
            f"{op}: reflection needs pads smaller than the image, got pads {items} for images of {height} x {width}"
        )
    if mode == "circular" and (most_h > height or most_w > width):
        raise RuntimeError(
            f"{op}: circular padding wraps around at most once, got pads {items} for images of {height} x {width}"
        )
    if mode == "replicate" and ((most_h and not height) or (most_w and not width)):
        raise RuntimeError(f"{op}: no edge to replicate in images of {height} x {width}")
    return left, right, top, bottom


def _fill_edges(y: ndarray, before: int, after: int, mode: str) -> None:
    """Fill the first `before` and last `after` columns of y from the columns between them."""
    n = y.shape[-1] - before - after
    inner = y[..., before : before + n]
    first: ndarray | int
    last: ndarray | int
    if mode == "zeros":
        first, last = 0, 0
    elif mode == "replicate":
        first, last = inner[..., :1], inner[..., n - 1 :]
    elif mode == "reflect":
        first, last = inner[..., 1 : before + 1][..., ::-1], inner[..., n - 1 - after : n - 1][..., ::-1]
    else:
        first, last = inner[..., n - before :], inner[..., :after]
    if before:
        y[..., :before] = first
    if after:
        y[..., before + n :] = last


def _fold_edges(dy: ndarray, before: int, after: int, mode: str) -> ndarray:
    """The transpose of `_fill_edges`: add the edge columns to those that they came from; returns the inner columns."""
    n = dy.shape[-1] - before - after
    inner, first, last = dy[..., before : before + n], dy[..., :before], dy[..., before + n :]
    if mode == "replicate":
        if before:
            inner[..., 0] += first.sum(-1)
        if after:
            inner[..., n - 1] += last.sum(-1)
    elif mode == "reflect":
        inner[..., 1 : before + 1] += first[..., ::-1]
        inner[..., n - 1 - after : n - 1] += last[..., ::-1]
    elif mode == "circular":
        inner[..., n - before :] += first
        inner[..., :after] += last
    return inner


def pad2d(x: ndarray, pads: Sequence[int], mode: str = "zeros") -> ndarray:
    """Pad images on their four sides.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W), float32 or float64
    pads : (left, right, top, bottom)
        In pixels, none negative; torch.nn.functional.pad's order.
    mode : {'zeros', 'reflect', 'replicate', 'circular'}
        What the new pixels hold: 0; the image mirrored at its edge pixels (pads must be smaller than the image); the
        nearest edge pixel, which the textbook (12.2.2) calls "same" padding; the opposite side (pads at most the
        image's size).

    Returns
    -------
    ndarray (..., top + H + bottom, left + W + right)

    Raises
    ------
    TypeError, ValueError
        For pads that are no four non-negative integers, or an unknown mode.
    RuntimeError
        For pads that the image is too small for.
    """
    op = "pad2d"
    x = _float_array(op, x, "input")
    _check_rank(op, x.shape, "input", 2)
    height, width = x.shape[-2:]
    left, right, top, bottom = _check_pads(op, pads, mode, height, width)
    y = _new(op, (*x.shape[:-2], top + height + bottom, left + width + right), x.dtype)
    y[..., top : top + height, left : left + width] = x
    _fill_edges(y[..., top : top + height, :], left, right, mode)
    _fill_edges(y.swapaxes(-1, -2), top, bottom, mode)
    return y


def pad2d_backward(dy: ndarray, pads: Sequence[int], mode: str = "zeros") -> ndarray:
    """Gradient of :func:`pad2d` with respect to its input: each padded pixel's gradient goes to where it came from.

    Parameters
    ----------
    dy : ndarray (..., top + H + bottom, left + W + right)
    pads, mode
        As for :func:`pad2d`.

    Returns
    -------
    ndarray (..., H, W)
    """
    op = "pad2d_backward"
    dy = _float_array(op, dy, "gradient")
    _check_rank(op, dy.shape, "gradient", 2)
    if isinstance(pads, (tuple, list)) and len(pads) == 4:
        checked = _integers(pads, f"{op}: pads", "a tuple of integers", pads)
        height = dy.shape[-2] - checked[2] - checked[3]
        width = dy.shape[-1] - checked[0] - checked[1]
        if min(checked) >= 0 and (height < 0 or width < 0):
            raise RuntimeError(f"{op}: gradient of size {list(dy.shape)} is smaller than its pads {pads!r}")
    else:
        height = width = 0
    left, right, top, bottom = _check_pads(op, pads, mode, height, width)
    if mode == "zeros":
        dx = _new(op, (*dy.shape[:-2], height, width), dy.dtype, "input's gradient")
        dx[...] = dy[..., top : top + height, left : left + width]
        return dx
    work = dy.copy()
    rows = _fold_edges(work.swapaxes(-1, -2), top, bottom, mode).swapaxes(-1, -2)
    return _fold_edges(rows, left, right, mode).copy()


# ---------------------------------------------------------------------------------------------------------------------
# Pooling


def _pooling_sizes(
    op: str,
    x_shape: tuple[int, ...],
    kernel_size: Size,
    stride: Size | None,
    padding: Size,
    dilation: Size,
    ceil_mode: bool,
) -> tuple[tuple[int, int, int, int], tuple[int, int, int, int, int, int], tuple[int, int]]:
    """The 4-D shape of the output of pooling, and the integers that the kernels take."""
    images, channels, height, width = x_shape
    kernel_h, kernel_w = _pair(kernel_size, "kernel_size", 1)
    stride_h, stride_w = (kernel_h, kernel_w) if stride is None else _pair(stride, "stride", 1)
    pad_h, pad_w = _pair(padding, "padding", 0)
    dilation_h, dilation_w = _pair(dilation, "dilation", 1)
    if not (channels and height and width):
        raise RuntimeError(f"{op}: an input may be empty in its batch alone, got input of size {list(x_shape)}")
    span_h = dilation_h * (kernel_h - 1) + 1
    span_w = dilation_w * (kernel_w - 1) + 1
    # More padding than half a window would let windows see nothing but padding.
    if 2 * pad_h > span_h or 2 * pad_w > span_w:
        raise ValueError(
            "padding must be at most half of the effective kernel size, got "
            f"padding={padding!r}, kernel_size={kernel_size!r}, dilation={dilation!r}"
        )
    out_h = _pooled_size(height, span_h, stride_h, pad_h, ceil_mode)
    out_w = _pooled_size(width, span_w, stride_w, pad_w, ceil_mode)
    if out_h < 1 or out_w < 1:
        raise RuntimeError(
            f"{op}: window larger than the padded input, output size {out_h} x {out_w} is too small, for input of "
            f"size {list(x_shape)}, kernel_size={kernel_size!r}, padding={padding!r}, dilation={dilation!r}"
        )
    # With ceil_mode, the last window may reach beyond the padding.
    padded_h = max(height + 2 * pad_h, (out_h - 1) * stride_h + span_h)
    padded_w = max(width + 2 * pad_w, (out_w - 1) * stride_w + span_w)
    if padded_h * padded_w > _MOST_PADDED:
        raise _too_large(op, padded_h, padded_w)
    window = (kernel_h, kernel_w, *_steps(out_h, out_w, stride_h, stride_w), pad_h, pad_w)
    return (images, channels, out_h, out_w), window, _steps(kernel_h, kernel_w, dilation_h, dilation_w)


def _pooled_size(size: int, span: int, stride: int, pad: int, ceil_mode: bool) -> int:
    room = size + 2 * pad - span
    if not ceil_mode:
        return room // stride + 1
    out = -(-room // stride) + 1
    # The last window has to start inside the image or its padding before it.
    return out - 1 if (out - 1) * stride >= size + pad else out


def max_pool2d(
    x: ndarray,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    dilation: Size = 1,
    ceil_mode: bool = False,
) -> tuple[ndarray, ndarray]:
    """Largest pixel of each window, and where it stands.

    Padding never wins; NaN always does, the last of several; of equal pixels the first in the window wins. A dilated
    window may step over the whole image: it gives -inf, at a pixel near by.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W), float32 or float64
    kernel_size, dilation : int or pair (h, w)
    stride : int or pair (h, w), optional
        By default kernel_size.
    padding : int or pair (h, w)
        At most half of the effective kernel.
    ceil_mode : bool
        Keep a last window that hangs over the image.

    Returns
    -------
    y : ndarray (N, C, P, Q) or (C, P, Q)
        ``P = (H + 2 * padding - dilation * (kernel - 1) - 1) // stride + 1``; division rounds up with ceil_mode, but
        no window starts beyond the image.
    indices : ndarray of y's shape, int32 for float32 and int64 for float64
        Position of the largest pixel in its plane, ``row * W + column``.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As :func:`conv2d`.
    """
    result = quick.max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode)
    if result is not None:
        return result
    op = "max_pool2d"
    x = _float_array(op, x, "input")
    _check_rank(op, x.shape, "input", 2)
    x4 = x if x.ndim == 4 else x[None]
    y_shape, window, steps = _pooling_sizes(op, x4.shape, kernel_size, stride, padding, dilation, ceil_mode)
    index_dtype = _INDEX_DTYPES[x.dtype.itemsize]
    if x4.shape[2] * x4.shape[3] > _MOST_PIXELS[x.dtype.itemsize]:
        raise ValueError(f"{op}: a plane of {x4.shape[2]} x {x4.shape[3]} pixels has more than {index_dtype} can index")
    y = _new_images(op, y_shape, x4)
    indices = _new_images(op, y_shape, x4, index_dtype, "indices")
    if y.size:
        pool.max_forward(x4, y, indices, *window, *steps)
    return (y, indices) if x.ndim == 4 else (y[0], indices[0])


def max_pool2d_backward(dy: ndarray, indices: ndarray, input_size: Sequence[int]) -> ndarray:
    """Gradient of :func:`max_pool2d`: each dy is added to the pixel that won.

    Parameters
    ----------
    dy : ndarray (N, C, P, Q) or (C, P, Q)
    indices : ndarray of int32 or int64, of dy's shape
        As :func:`max_pool2d` returned them.
    input_size : sequence of 4 or 3 ints
        The shape of x.

    Returns
    -------
    ndarray of shape `input_size`

    Raises
    ------
    RuntimeError
        For sizes that do not fit each other, and for indices outside the image.
    """
    result = quick.max_pool2d_backward(dy, indices, input_size)
    if result is not None:
        return result
    op = "max_pool2d_backward"
    dy = _float_array(op, dy, "gradient")
    if not isinstance(indices, ndarray) or indices.dtype.type not in (np.int32, np.int64):
        got = indices.dtype if isinstance(indices, ndarray) else type(indices).__name__
        raise TypeError(f"{op}: indices must be a numpy.ndarray of int32 or int64, got {got}")
    x_shape = _shape(op, input_size, "input_size", 2)
    if dy.shape != indices.shape or dy.ndim != len(x_shape) or dy.shape[:-2] != x_shape[:-2]:
        raise RuntimeError(
            f"{op}: expected gradient and indices of one size, with the batch and channels of the input, got gradient "
            f"{list(dy.shape)}, indices {list(indices.shape)}, input {list(x_shape)}"
        )
    dense = indices.flags.c_contiguous or (indices.ndim == 4 and indices.transpose(0, 2, 3, 1).flags.c_contiguous)
    if not (dense and indices.flags.aligned and indices.dtype.isnative):
        indices = np.require(indices, indices.dtype.newbyteorder("="), ["C", "A"])
    dx = _new_images(op, x_shape, dy, name="input's gradient")
    if not dy.size:
        dx[...] = 0
    elif not (
        pool.max_backward(dy, indices, dx) if dy.ndim == 4 else pool.max_backward(dy[None], indices[None], dx[None])
    ):
        raise RuntimeError(
            f"{op}: indices from {indices.min()} to {indices.max()} are outside the {x_shape[-2]} x {x_shape[-1]} "
            "pixels of the input"
        )
    return dx


def avg_pool2d(
    x: ndarray,
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ndarray:
    """Mean of each window.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W), float32 or float64
    kernel_size : int or pair (h, w)
    stride : int or pair (h, w), optional
        By default kernel_size.
    padding : int or pair (h, w)
        Zeros on each side, at most half of the kernel.
    ceil_mode : bool
        Keep a last window that hangs over the padded image; what hangs over is never counted.
    count_include_pad : bool
        Whether padding counts in the divisor.
    divisor_override : int, optional
        Divide by this instead of the number of pixels; not 0.

    Returns
    -------
    ndarray (N, C, P, Q) or (C, P, Q)
        Sizes as for :func:`max_pool2d`.

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As :func:`conv2d`.
    """
    if divisor_override is None:
        result = quick.avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad)
        if result is not None:
            return result
    op = "avg_pool2d"
    x = _float_array(op, x, "input")
    _check_rank(op, x.shape, "input", 2)
    x4 = x if x.ndim == 4 else x[None]
    y_shape, window, _ = _pooling_sizes(op, x4.shape, kernel_size, stride, padding, 1, ceil_mode)
    divisor = _divisor(divisor_override)
    y = _new_images(op, y_shape, x4)
    if y.size:
        pool.average_forward(x4, y, *window, bool(count_include_pad), divisor)
    return y if x.ndim == 4 else y[0]


def _divisor(divisor_override: int | None) -> int:
    """The divisor for the kernels, 0 for the number of pixels."""
    if divisor_override is None:
        return 0
    (divisor,) = _integers((divisor_override,), "divisor_override", "an integer or None", divisor_override)
    if divisor == 0 or abs(divisor) > LARGEST:
        raise ValueError(f"divisor_override must not be zero, nor beyond 2**60, got {divisor_override!r}")
    return divisor


def avg_pool2d_backward(
    dy: ndarray,
    input_size: Sequence[int],
    kernel_size: Size,
    stride: Size | None = None,
    padding: Size = 0,
    ceil_mode: bool = False,
    count_include_pad: bool = True,
    divisor_override: int | None = None,
) -> ndarray:
    """Gradient of :func:`avg_pool2d`: each dy is shared out among the pixels of its window.

    Parameters
    ----------
    dy : ndarray (N, C, P, Q) or (C, P, Q)
    input_size : sequence of 4 or 3 ints
        The shape of x.
    kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override
        As for :func:`avg_pool2d`.

    Returns
    -------
    ndarray of shape `input_size`
    """
    if divisor_override is None:
        result = quick.avg_pool2d_backward(dy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad)
        if result is not None:
            return result
    op = "avg_pool2d_backward"
    dy = _float_array(op, dy, "gradient")
    x_shape = _shape(op, input_size, "input_size", 2)
    x4_shape = _four(x_shape, 2)
    y_shape, window, _ = _pooling_sizes(op, x4_shape, kernel_size, stride, padding, 1, ceil_mode)
    divisor = _divisor(divisor_override)
    dy4 = _check_gradient(op, dy, y_shape, 2, x_shape, None, (kernel_size, stride, padding))
    dx = _new_images(op, x4_shape, dy4, name="input's gradient")
    if dy.size:
        pool.average_backward(dy4, dx, *window, bool(count_include_pad), divisor)
    return _as_asked(dx, len(x_shape), 2)


def adaptive_avg_pool2d(x: ndarray, output_size: int | Sequence[int | None] | None) -> ndarray:
    """Mean over windows that divide the image into `output_size` parts.

    Window i of P rows spans rows ``floor(i * H / P)`` to ``ceil((i + 1) * H / P) - 1``; columns likewise.

    Parameters
    ----------
    x : ndarray (N, C, H, W) or (C, H, W), float32 or float64
    output_size : int or pair (h, w)
        None in a place keeps that size.

    Returns
    -------
    ndarray (N, C, P, Q) or (C, P, Q)

    Raises
    ------
    TypeError, ValueError, RuntimeError
        As :func:`conv2d`.
    """
    op = "adaptive_avg_pool2d"
    x = _float_array(op, x, "input")
    _check_rank(op, x.shape, "input", 2)
    height, width = x.shape[-2:]
    asked: Any
    if isinstance(output_size, (tuple, list)) and len(output_size) == 2:
        asked = tuple(size if out is None else out for out, size in zip(output_size, (height, width), strict=True))
    else:
        asked = (height, width) if output_size is None else output_size
    y_size = _pair(asked, "output_size", 0)
    x4 = x if x.ndim == 4 else x[None]
    if not (x4.shape[1] and height and width):
        raise RuntimeError(f"{op}: an input may be empty in its batch alone, got input of size {list(x.shape)}")
    y = _new_images(op, (*x4.shape[:2], *y_size), x4)
    if y.size:
        pool.adaptive_average_forward(x4, y)
    return y if x.ndim == 4 else y[0]


def adaptive_avg_pool2d_backward(dy: ndarray, input_size: Sequence[int]) -> ndarray:
    """Gradient of :func:`adaptive_avg_pool2d`: each dy is shared out among the pixels of its window.

    Parameters
    ----------
    dy : ndarray (N, C, P, Q) or (C, P, Q)
    input_size : sequence of 4 or 3 ints
        The shape of x.

    Returns
    -------
    ndarray of shape `input_size`
    """
    op = "adaptive_avg_pool2d_backward"
    dy = _float_array(op, dy, "gradient")
    x_shape = _shape(op, input_size, "input_size", 2)
    if dy.ndim != len(x_shape) or dy.shape[:-2] != x_shape[:-2]:
        raise RuntimeError(
            f"{op}: expected gradient with the batch and channels of the input {list(x_shape)}, "
            f"got gradient of size {list(dy.shape)}"
        )
    dx = _new_images(op, _four(x_shape, 2), dy, name="input's gradient")
    if dy.size and dx.size:
        pool.adaptive_average_backward(_four_dimensional(dy, 2), dx)
    else:
        dx[...] = 0
    return _as_asked(dx, len(x_shape), 2)
