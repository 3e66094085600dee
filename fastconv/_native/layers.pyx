"""The common case of the layers that a training step passes: computed and recorded in one go.

The functions of nn/functional.py ask here first. Common is what quick.pyx calls so, in tensors. Otherwise a function
here returns None, and nothing has happened. Gradients that turn out to be uncommon go the long way through ops.py.
"""

cimport numpy as cnp
from cpython.long cimport PyLong_CheckExact

from fastconv._native cimport quick
from fastconv._native.tape cimport TensorBase, is_recording, link_view, record, requires_grad, wrap

from fastconv import elementwise, ops, twice
from fastconv._native.tape import apply, differentiable_twice

cnp.import_array()


cdef tuple AVERAGE = ("kernel_size", "stride", "padding", "ceil_mode", "count_include_pad")


cdef inline bint tensors(x, w, b) noexcept:
    """Whether all are tensors; b may be None."""
    return isinstance(x, TensorBase) and isinstance(w, TensorBase) and (b is None or isinstance(b, TensorBase))


cdef inline array(x):
    return None if x is None else (<TensorBase>x)._array


cdef inline bint wanted(x, bint recording) except -1:
    """Whether a gradient will be asked for."""
    return recording and x is not None and requires_grad(<TensorBase>x)


def conv2d(x, w, b, stride, padding, dilation, groups):
    """y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n, c, p stride + r dilation - padding, ...]."""
    if not tensors(x, w, b):
        return None
    cdef bint recording = is_recording()
    cdef bint need_x = wanted(x, recording), need_w = wanted(w, recording), need_b = wanted(b, recording)
    y = quick.conv2d(array(x), array(w), array(b), stride, padding, dilation, groups)
    if y is None or not (need_x or need_w or need_b):
        return None if y is None else wrap(y)
    x_shape, w_shape = array(x).shape, array(w).shape

    def vjp(dy, x_array, w_array):
        dx = dw = db = None
        if isinstance(dy, TensorBase):
            return twice.convolution(dy, x_array, w_array, (need_x, need_w, need_b), x_shape, w_shape, "conv2d",
                                     {"stride": stride, "padding": padding, "dilation": dilation, "groups": groups})
        if need_x:
            dx = quick.conv2d_input(x_shape, w_array, dy, stride, padding, dilation, groups)
            if dx is None:
                dx = ops.conv2d_input(x_shape, w_array, dy, stride, padding, dilation, groups)
        if need_w:
            dw = quick.conv2d_weight(x_array, w_shape, dy, stride, padding, dilation, groups)
            if dw is None:
                dw = ops.conv2d_weight(x_array, w_shape, dy, stride, padding, dilation, groups)
        if need_b:
            db = quick.bias_gradient(dy)
            if db is None:
                db = ops.bias_gradient(dy)
        return dx, dw, db

    # Each gradient takes the other array.
    return record(y, conv2d, vjp, (array(x) if need_w else None, array(w) if need_x else None), (x, w, b))


def linear(x, w, b):
    """y = x w^T + b, for matrices x and w."""
    if not tensors(x, w, b):
        return None
    cdef bint recording = is_recording()
    cdef bint need_x = wanted(x, recording), need_w = wanted(w, recording), need_b = wanted(b, recording)
    y = quick.linear(array(x), array(w), array(b))
    if y is None or not (need_x or need_w or need_b):
        return None if y is None else wrap(y)

    def vjp(dy, x_array, w_array):
        dx = dw = db = None
        if isinstance(dy, TensorBase):
            return twice.linear(dy, x_array, w_array, (need_x, need_w, need_b))
        if need_x:
            dx = quick.linear_input(w_array, dy)
            if dx is None:
                dx = ops.linear_input(w_array, dy)
        if need_w:
            dw = quick.linear_weight(x_array, dy)
            if dw is None:
                dw = ops.linear_weight(x_array, dy)
        if need_b:
            db = quick.linear_bias(dy)
            if db is None:
                db = ops.linear_bias(dy)
        return dx, dw, db

    return record(y, linear, vjp, (array(x) if need_w else None, array(w) if need_x else None), (x, w, b))


def max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode):
    """The largest of every window."""
    if not isinstance(x, TensorBase):
        return None
    result = quick.max_pool2d(array(x), kernel_size, stride, padding, dilation, ceil_mode)
    if result is None:
        return None
    y, indices = result
    if not wanted(x, is_recording()):
        return wrap(y)
    shape = array(x).shape

    def vjp(dy, indices):
        dx = quick.max_pool2d_backward(dy, indices, shape)
        return (ops.max_pool2d_backward(dy, indices, shape) if dx is None else dx,)

    return record(y, max_pool2d, vjp, (indices,), (x,))


def avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    """The mean of every window."""
    if not isinstance(x, TensorBase):
        return None
    y = quick.avg_pool2d(array(x), kernel_size, stride, padding, ceil_mode, count_include_pad)
    if y is None or not wanted(x, is_recording()):
        return None if y is None else wrap(y)
    shape = array(x).shape
    options = kernel_size, stride, padding, ceil_mode, count_include_pad

    def vjp(dy):
        if isinstance(dy, TensorBase):
            return (apply(twice.average_gradient, dy, shape=shape, options=dict(zip(AVERAGE, options))),)
        dx = quick.avg_pool2d_backward(dy, shape, kernel_size, stride, padding, ceil_mode, count_include_pad)
        return (ops.avg_pool2d_backward(dy, shape, *options) if dx is None else dx,)

    return record(y, avg_pool2d, vjp, (), (x,))


def relu(x):
    """max(x, 0)."""
    if not isinstance(x, TensorBase):
        return None
    y = quick.relu(array(x))
    if y is None or not wanted(x, is_recording()):
        return None if y is None else wrap(y)

    def vjp(dy, y, bint spent=False):
        if isinstance(dy, TensorBase):
            return (twice.relu(dy, y),)
        dx = quick.relu_backward(dy, y, spent)
        return (elementwise.relu_backward(dy, y) if dx is None else dx,)

    cdef TensorBase out = record(y, relu, vjp, (y,), (x,))
    out.node.spends = True
    return out


def flatten(x, start, end):
    """Dimensions `start` to `end` made one, for images that are dense."""
    if not (isinstance(x, TensorBase) and PyLong_CheckExact(start) and PyLong_CheckExact(end)):
        return None
    cdef cnp.ndarray images = (<TensorBase>x)._array
    if start != 1 or end != -1 or images.ndim != 4 or not cnp.PyArray_IS_C_CONTIGUOUS(images):
        return None
    cdef cnp.npy_intp *dims = [images.shape[0], images.shape[1] * images.shape[2] * images.shape[3]]
    cdef cnp.PyArray_Dims shape = [dims, 2]
    y = cnp.PyArray_Newshape(images, &shape, cnp.NPY_CORDER)
    cdef bint recording = is_recording()
    cdef TensorBase out
    whole = array(x).shape
    out = record(y, flatten, lambda dy: (dy.reshape(whole),), (), (x,)) if wanted(x, recording) else wrap(y)
    link_view(out, x, recording)
    return out


def cross_entropy(x, target, ignore_index, bint mean):
    """Cross entropy of the softmax of every row of x with its class, summed or their mean."""
    if not tensors(x, target, None):
        return None
    cdef bint need_x = wanted(x, is_recording())
    result = quick.cross_entropy(array(x), array(target), ignore_index, mean, need_x)
    if result is None:
        return None
    y, dx = result
    if not need_x:
        return wrap(y)
    return record(y, cross_entropy, lambda dy, dx: (dx * dy, None), (dx,), (x, target))


for operation in (conv2d, linear, avg_pool2d, relu, flatten):
    differentiable_twice(operation)
del operation
