"""Pooling and its gradients.

As in `convolution.pyx`, every function finds the sizes itself where its arguments are common, and is told them by
`fastconv.arguments` where they are not.
"""

cimport cython
cimport numpy as cnp

from fastconv._native cimport pool
from fastconv._native.common cimport (
    MOST, idx, keeps_channels_last, lengths, new_result, pair, plain, read, real_type, same,
)
from fastconv._native.layers.inputs cimport array_of, asked, is_narrow_tensor
from fastconv._native.tape cimport in_float32, record, wrap

import numpy as np

from fastconv._native.tape import differentiable_twice
from fastconv.arguments import pooling as pool_arguments

cnp.import_array()

cdef enum:
    MOST_PIXELS = 2147483647   # of a plane, that an index of 32 bits can tell apart


# ---- sizes ---------------------------------------------------------------------------------------------------------

cdef struct Windows:
    # In the order in which `fastconv.arguments` hands them over.
    idx x[4]
    idx y[4]
    idx kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w


cdef bint fit(Windows *v, const idx *x, kernel_size, stride, padding, dilation, ceil_mode) noexcept:
    """Whether windows over images of size x are common; their sizes."""
    if not (ceil_mode is False and pair(kernel_size, 1, &v.kernel_h, &v.kernel_w)
            and pair(kernel_size if stride is None else stride, 1, &v.stride_h, &v.stride_w)
            and pair(padding, 0, &v.pad_h, &v.pad_w) and pair(dilation, 1, &v.dilation_h, &v.dilation_w)):
        return False
    cdef idx span_h = v.dilation_h * (v.kernel_h - 1) + 1, span_w = v.dilation_w * (v.kernel_w - 1) + 1
    cdef idx room_h = x[2] + 2 * v.pad_h - span_h, room_w = x[3] + 2 * v.pad_w - span_w
    if 2 * v.pad_h > span_h or 2 * v.pad_w > span_w or room_h < 0 or room_w < 0:
        return False
    for i in range(4):
        v.x[i] = x[i]
    v.y[0], v.y[1], v.y[2], v.y[3] = x[0], x[1], room_h // v.stride_h + 1, room_w // v.stride_w + 1
    # Between one window, or one tap, and no other the step may be any.
    if v.y[2] == 1:
        v.stride_h = 1
    if v.y[3] == 1:
        v.stride_w = 1
    if v.kernel_h == 1:
        v.dilation_h = 1
    if v.kernel_w == 1:
        v.dilation_w = 1
    return <double>v.y[0] * v.y[1] * v.y[2] * v.y[3] < MOST


# ---- recorded ------------------------------------------------------------------------------------------------------

cdef enum Kind:
    MAX
    MAX_BACKWARD
    MAX_TAKE
    AVERAGE
    AVERAGE_BACKWARD
    ADAPTIVE
    ADAPTIVE_BACKWARD


@cython.final
@cython.freelist(16)
cdef class Product:
    """Pooling is linear where the winners are known, so the product of each pass is another one."""

    cdef Kind kind
    cdef object size      # of the input
    cdef tuple options

    def __call__(self, g, indices=None):
        if self.kind == MAX or self.kind == MAX_TAKE:
            return (max_pool2d_backward(g, indices, self.size),)
        if self.kind == MAX_BACKWARD:
            return (max_pool2d_take(g, indices),)
        if self.kind == AVERAGE:
            return (avg_pool2d_backward(g, self.size, *self.options),)
        if self.kind == AVERAGE_BACKWARD:
            return (avg_pool2d(g, *self.options),)
        if self.kind == ADAPTIVE:
            return (adaptive_avg_pool2d_backward(g, self.size),)
        return (adaptive_avg_pool2d(g, self.options),)


cdef recorded(cnp.ndarray y, operation, Kind kind, tuple options, tuple saved, x):
    cdef int gradients = asked(x)
    if gradients <= 0:
        return y if gradients < 0 else wrap(y)
    cdef Product product = Product.__new__(Product)
    product.kind, product.size, product.options = kind, array_of(x).shape, options
    return record(y, operation, product, saved, (x,))


# ---- the largest ---------------------------------------------------------------------------------------------------

cdef tuple largest(x, kernel_size, stride, padding, dilation, ceil_mode, bint with_indices):
    cdef Windows v
    cdef int real = real_type(x)
    cdef bint last
    back = None
    if (real < 0 or not plain(x, 4, real) or (<cnp.ndarray>x).shape[2] * (<cnp.ndarray>x).shape[3] >= MOST_PIXELS
            or not fit(&v, (<cnp.ndarray>x).shape, kernel_size, stride, padding, dilation, ceil_mode)):
        x, numbers, back = pool_arguments.of_max(x, kernel_size, stride, padding, dilation, ceil_mode)
        read(numbers, v.x)
        real = cnp.PyArray_TYPE(<cnp.ndarray>x)
    last = keeps_channels_last(<cnp.ndarray>x)
    y = new_result("output", v.y, real, last)
    indices = None
    if with_indices:
        indices = new_result("output", v.y, cnp.NPY_INT32 if real == cnp.NPY_FLOAT32 else cnp.NPY_INT64, last)
    if cnp.PyArray_SIZE(<cnp.ndarray>y) != 0:
        pool.max_forward(x, y, indices, v.kernel_h, v.kernel_w, v.stride_h, v.stride_w, v.pad_h, v.pad_w,
                         v.dilation_h, v.dilation_w)
    if back is not None:
        y, indices = y[back], None if indices is None else indices[back]
    return y, indices


def max_pool2d(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False, return_indices=False):
    """The largest of every window, and where it stands, in int64, if asked for."""
    cdef bint recording = asked(x) > 0
    if is_narrow_tensor(x):
        return in_float32(max_pool2d, (), (x,), dict(kernel_size=kernel_size, stride=stride, padding=padding,
                                                     dilation=dilation, ceil_mode=ceil_mode,
                                                     return_indices=return_indices))
    y, indices = largest(array_of(x), kernel_size, stride, padding, dilation, ceil_mode, recording or return_indices)
    out = recorded(y, max_pool2d, MAX, (), (indices,), x)
    if not return_indices:
        return out
    indices = indices.astype(np.int64)
    return out, indices if out is y else wrap(indices)


def max_pool2d_with_indices(x, kernel_size, stride=None, padding=0, dilation=1, ceil_mode=False):
    """Of an array: the largest of every window, and where it stands, in integers of the element's size."""
    return largest(x, kernel_size, stride, padding, dilation, ceil_mode, True)


def max_pool2d_backward(dy, indices, input_size):
    """dx of max_pool2d: each dy is added to the pixel that won."""
    return recorded(max_x(array_of(dy), array_of(indices), input_size), max_pool2d_backward, MAX_BACKWARD, (),
                    (array_of(indices),), dy)


cdef max_x(dy, indices, input_size):
    cdef idx size[4]
    cdef int real = real_type(dy)
    back = None
    if (real < 0 or not plain(dy, 4, real) or not lengths(input_size, 4, size)
            or not (plain(indices, 4, cnp.NPY_INT32) or plain(indices, 4, cnp.NPY_INT64))
            or not same((<cnp.ndarray>dy).shape, (<cnp.ndarray>indices).shape, 4)
            or not same((<cnp.ndarray>dy).shape, size, 2)):
        dy, indices, numbers, back = pool_arguments.of_max_backward(dy, indices, input_size)
        read(numbers, size)
        real = cnp.PyArray_TYPE(<cnp.ndarray>dy)
    dx = new_result("input's gradient", size, real, keeps_channels_last(<cnp.ndarray>dy))
    if cnp.PyArray_SIZE(<cnp.ndarray>dy) == 0:
        dx[...] = 0
    elif not pool.max_backward(dy, indices, dx):
        raise RuntimeError(f"max_pool2d_backward: indices from {indices.min()} to {indices.max()} are outside the "
                           f"{size[2]} x {size[3]} pixels of the input")
    return dx if back is None else dx[back]


def max_pool2d_take(x, indices):
    """The pixels of x (..., H, W) at these indices (..., P, Q): what max_pool2d_backward takes the gradient of."""
    where = array_of(indices)
    return recorded(pool_arguments.take(array_of(x), where), max_pool2d_take, MAX_TAKE, (), (where,), x)


# ---- the mean ------------------------------------------------------------------------------------------------------

def avg_pool2d(x, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True, divisor_override=None):
    """The mean of every window."""
    cdef Windows v
    cdef idx divisor = 0
    cdef int real
    a = array_of(x)
    real = real_type(a)
    back = None
    if real < 0 and is_narrow_tensor(x):
        return in_float32(avg_pool2d, (), (x,), dict(kernel_size=kernel_size, stride=stride, padding=padding,
                                                     ceil_mode=ceil_mode, count_include_pad=count_include_pad,
                                                     divisor_override=divisor_override))
    if (real < 0 or divisor_override is not None or not plain(a, 4, real)
            or not fit(&v, (<cnp.ndarray>a).shape, kernel_size, stride, padding, 1, ceil_mode)):
        a, numbers, divisor, back = pool_arguments.of_average(a, kernel_size, stride, padding, ceil_mode,
                                                              divisor_override)
        read(numbers, v.x)
        real = cnp.PyArray_TYPE(<cnp.ndarray>a)
    y = new_result("output", v.y, real, keeps_channels_last(<cnp.ndarray>a))
    if cnp.PyArray_SIZE(<cnp.ndarray>y) != 0:
        pool.average_forward(a, y, v.kernel_h, v.kernel_w, v.stride_h, v.stride_w, v.pad_h, v.pad_w,
                             bool(count_include_pad), divisor)
    return recorded(y if back is None else y[back], avg_pool2d, AVERAGE,
                    (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override), (), x)


def avg_pool2d_backward(dy, input_size, kernel_size, stride=None, padding=0, ceil_mode=False, count_include_pad=True,
                        divisor_override=None):
    """dx of avg_pool2d: each dy is shared out among the pixels of its window."""
    cdef Windows v
    cdef idx size[4]
    cdef idx divisor = 0
    cdef int real
    a = array_of(dy)
    real = real_type(a)
    back = None
    if (real < 0 or divisor_override is not None or not plain(a, 4, real) or not lengths(input_size, 4, size)
            or not fit(&v, size, kernel_size, stride, padding, 1, ceil_mode)
            or not same((<cnp.ndarray>a).shape, v.y, 4)):
        a, numbers, divisor, back = pool_arguments.of_average_backward(a, input_size, kernel_size, stride, padding,
                                                                       ceil_mode, divisor_override)
        read(numbers, v.x)
        real = cnp.PyArray_TYPE(<cnp.ndarray>a)
    dx = new_result("input's gradient", v.x, real, keeps_channels_last(<cnp.ndarray>a))
    if cnp.PyArray_SIZE(<cnp.ndarray>dx) != 0:
        pool.average_backward(a, dx, v.kernel_h, v.kernel_w, v.stride_h, v.stride_w, v.pad_h, v.pad_w,
                              bool(count_include_pad), divisor)
    return recorded(dx if back is None else dx[back], avg_pool2d_backward, AVERAGE_BACKWARD,
                    (kernel_size, stride, padding, ceil_mode, count_include_pad, divisor_override), (), dy)


def adaptive_avg_pool2d(x, output_size):
    """The mean of windows that divide the image into `output_size` parts."""
    cdef idx size[4]
    if is_narrow_tensor(x):
        return in_float32(adaptive_avg_pool2d, (), (x,), {"output_size": output_size})
    a, numbers, back = pool_arguments.of_adaptive(array_of(x), output_size)
    read(numbers, size)
    y = new_result("output", size, cnp.PyArray_TYPE(<cnp.ndarray>a), keeps_channels_last(<cnp.ndarray>a))
    if cnp.PyArray_SIZE(<cnp.ndarray>y) != 0:
        pool.adaptive_average_forward(a, y)
    return recorded(y if back is None else y[back], adaptive_avg_pool2d, ADAPTIVE, (), (), x)


def adaptive_avg_pool2d_backward(dy, input_size):
    """dx of adaptive_avg_pool2d: each dy is shared out among the pixels of its window."""
    cdef idx size[4]
    a, numbers, back = pool_arguments.of_adaptive_backward(array_of(dy), input_size)
    read(numbers, size)
    dx = new_result("input's gradient", size, cnp.PyArray_TYPE(<cnp.ndarray>a), keeps_channels_last(<cnp.ndarray>a))
    if cnp.PyArray_SIZE(<cnp.ndarray>a) == 0 or cnp.PyArray_SIZE(<cnp.ndarray>dx) == 0:
        dx[...] = 0
    else:
        pool.adaptive_average_backward(a, dx)
    return recorded(dx if back is None else dx[back], adaptive_avg_pool2d_backward, ADAPTIVE_BACKWARD,
                    a.shape[2:], (), dy)


for operation in (max_pool2d, max_pool2d_backward, max_pool2d_take, avg_pool2d, avg_pool2d_backward,
                  adaptive_avg_pool2d, adaptive_avg_pool2d_backward):
    differentiable_twice(operation)
del operation
