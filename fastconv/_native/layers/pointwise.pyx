"""Layers that compute every element by itself, or only lay it out in another shape."""

cimport cython
cimport numpy as cnp
from cpython.ref cimport PyObject

from fastconv._native cimport passes
from fastconv._native.common cimport alike, in_order, new_like, real_type, solid, sum_of
from fastconv._native.layers.inputs cimport array_of, asked, is_narrow_tensor
from fastconv._native.tape cimport TensorBase, in_float32, is_recording, is_whole, link_view, record, wrap

import numpy as np

from fastconv._native.tape import differentiable_twice
from fastconv.arguments import pointwise as arguments
from fastconv.checks import brief, dimension

cnp.import_array()


# ---- relu ----------------------------------------------------------------------------------------------------------

def relu(x):
    """y = max(x, 0); NaN stays NaN. The gradient at 0 is 0."""
    cdef int gradients = asked(x)
    cdef TensorBase out
    a = array_of(x)
    cdef int real = real_type(a)
    back = None
    if real < 0 and is_narrow_tensor(x):
        return in_float32(relu, (), (x,), {})
    if real < 0 and cnp.PyArray_Check(a) and cnp.PyArray_ISINTEGER(<cnp.ndarray>a):
        y = np.asarray(np.maximum(a, 0))  # which is exact for all integers
    else:
        if real < 0 or not solid(a, real):
            a, back = arguments.of_x("relu", a)
            real = cnp.PyArray_TYPE(<cnp.ndarray>a)
        y = new_like(<cnp.ndarray>a, real)
        passes.relu(in_order(a), in_order(y))
        if back is not None:
            y = back(y)
    if gradients <= 0:
        return y if gradients < 0 else wrap(y)
    out = record(y, relu, relu_product, (y,), (x,))
    out.node.spends = True
    return out


def relu_product(dy, y, bint spent=False):
    return (relu_backward(dy, y, spent),)


def relu_backward(dy, y, bint spent=False):
    """dx = 0 where y <= 0, else dy: NaN lets it pass, as torch's. With `spent`, the result may be written over dy."""
    cdef int gradients = asked(dy)
    a, b = array_of(dy), array_of(y)
    cdef int real = real_type(b)
    back = None
    if real < 0 or not alike(a, b, real):
        a, b, back = arguments.of_dy("relu_backward", a, b)
        spent, real = False, cnp.PyArray_TYPE(<cnp.ndarray>b)
    dx = a
    if not (spent and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>a)):
        dx = new_like(<cnp.ndarray>b, real)
    passes.relu_backward(in_order(a), in_order(b), in_order(dx))
    if back is not None:
        dx = back(dx)
    if gradients <= 0:
        return dx if gradients < 0 else wrap(dx)
    return record(dx, relu_backward, relu_product, (array_of(y),), (dy,))


# ---- leaky relu ----------------------------------------------------------------------------------------------------

def leaky_relu(x, negative_slope=0.01):
    """y = x where x > 0, else negative_slope * x."""
    return scaled(leaky_relu, x, x, negative_slope)


def leaky_relu_backward(dy, x, negative_slope):
    """dx = dy where x > 0, else negative_slope * dy."""
    return scaled(leaky_relu_backward, dy, x, negative_slope)


@cython.final
cdef class LeakyProduct:
    cdef object slope

    def __call__(self, g, x):
        return (leaky_relu_backward(g, x, self.slope),)


cdef scaled(operation, a, x, negative_slope):
    """a where x > 0, else negative_slope * a: in a it is linear, and in x it is constant."""
    cdef int gradients = asked(a)
    cdef double slope = arguments.slope(negative_slope)
    cdef LeakyProduct product
    values, signs = array_of(a), array_of(x)
    cdef int real = real_type(signs)
    back = None
    if real < 0 and is_narrow_tensor(a):
        return in_float32(operation, (), (a,) if a is x else (a, x), {"negative_slope": negative_slope})
    if real < 0 or not alike(values, signs, real):
        values, signs, back = arguments.of_dy("leaky_relu", values, signs)
        real = cnp.PyArray_TYPE(<cnp.ndarray>signs)
    y = new_like(<cnp.ndarray>signs, real)
    passes.leaky_relu(in_order(values), in_order(signs), slope, in_order(y))
    if back is not None:
        y = back(y)
    if gradients <= 0:
        return y if gradients < 0 else wrap(y)
    product = LeakyProduct.__new__(LeakyProduct)
    product.slope = slope
    return record(y, operation, product, (array_of(x),), (a,))


# ---- add -----------------------------------------------------------------------------------------------------------

def add(a, b):
    """a + b, for arrays of one shape by the kernel, and for what is broadcast by NumPy."""
    total = sum_of(a, b, None)
    return np.add(a, b) if total is None else total


# ---- reshape -------------------------------------------------------------------------------------------------------

def reshape(x, shape):
    """The elements of x in another shape; a view where possible."""
    cdef cnp.ndarray a = array_of(x)
    return reshaped(x, a, a.reshape(shape))


cdef reshaped(x, cnp.ndarray a, cnp.ndarray y):
    """y, which is the array of x in another shape."""
    cdef int gradients = asked(x)
    cdef PyObject *base = <PyObject *>cnp.PyArray_BASE(y)
    cdef ReshapeProduct product
    cdef TensorBase out
    if gradients < 0:
        return y
    if gradients:
        product = ReshapeProduct.__new__(ReshapeProduct)
        product.shape = (<object>a).shape
        out = record(y, reshape, product, (), (x,))
    else:
        out = wrap(y)
    if base == <PyObject *>a or not is_whole(a) and base == <PyObject *>cnp.PyArray_BASE(a):
        link_view(out, <TensorBase>x, is_recording())
    return out


@cython.final
cdef class ReshapeProduct:
    cdef tuple shape

    def __call__(self, dy):
        return (dy.reshape(self.shape),)


def flatten(x, start_dim=0, end_dim=-1):
    """x with the dimensions from start_dim to end_dim made one; a view where possible."""
    a = array_of(x)
    if not cnp.PyArray_Check(a):
        raise TypeError(f"flatten() expects a Tensor, got {brief(x)}")
    cdef cnp.ndarray whole = a
    cdef int n = cnp.PyArray_NDIM(whole), first = dimension(start_dim, n), last = dimension(end_dim, n), i
    cdef cnp.npy_intp[cnp.NPY_MAXDIMS] lengths
    cdef cnp.PyArray_Dims shape
    if first > last:
        raise RuntimeError(f"flatten() got start_dim {start_dim} after end_dim {end_dim} for shape {list(a.shape)}")
    if first == last and n:
        return x
    shape.ptr, shape.len = lengths, first + 1
    for i in range(first):
        lengths[i] = whole.shape[i]
    lengths[first] = 1
    for i in range(first, min(last + 1, n)):
        lengths[first] *= whole.shape[i]
    for i in range(last + 1, n):
        lengths[shape.len] = whole.shape[i]
        shape.len += 1
    return reshaped(x, whole, cnp.PyArray_Newshape(whole, &shape, cnp.NPY_CORDER))


for operation in (relu, relu_backward, leaky_relu, leaky_relu_backward, reshape):
    differentiable_twice(operation)
del operation
