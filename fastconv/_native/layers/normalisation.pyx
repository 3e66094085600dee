"""Batch norm: every channel less its mean, by its standard deviation."""

cimport cython
cimport numpy as cnp
from libc.math cimport sqrt
from libc.string cimport memset

from fastconv._native cimport passes
from fastconv._native.checks cimport DENSE, READ, check_array, check_axis, check_real
from fastconv._native.common cimport idx, new_like, plain, real_type
from fastconv._native.layers.inputs cimport array_of, asked_of_three
from fastconv._native.memory cimport get, new_array, put
from fastconv._native.tape cimport TensorBase, in_float32, is_narrow, record, wrap

from fastconv import elementwise
from fastconv._native.tape import differentiable_twice
from fastconv.arguments import normalisation as arguments

cnp.import_array()

cdef enum:
    # The rows of `moments` (3, C), which are what a channel is normalised by: its mean is shift + offset, the former
    # as exact as x, and the last is 1 / sqrt(variance + eps).
    SHIFT
    OFFSET
    INVERSE_STD
    MOMENTS


# ---- arrays --------------------------------------------------------------------------------------------------------

cdef inline bint common(object x) noexcept:
    """Whether it is an array (N, C, ...) of float32 or float64, dense or with channels last as images have them."""
    if real_type(x) < 0 or cnp.PyArray_NDIM(<cnp.ndarray>x) < 2 or not cnp.PyArray_ISBEHAVED_RO(<cnp.ndarray>x):
        return False
    return cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>x) or (
        cnp.PyArray_NDIM(<cnp.ndarray>x) == 4 and passes.planes_last(<cnp.ndarray>x))


cdef inline bint row_of(object a, idx channels) noexcept:
    """Whether it is None, or a dense array of a float32 or float64 for each channel."""
    return a is None or (real_type(a) >= 0 and plain(a, 1, real_type(a)) and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>a)
                         and (<cnp.ndarray>a).shape[0] == channels)


cdef inline bint weights_of(object a, object x) noexcept:
    return a is None or (real_type(a) == real_type(x) and row_of(a, (<cnp.ndarray>x).shape[1]))


cdef inline bint is_number(object value) noexcept:
    return type(value) is float or type(value) is int


cdef inline double element(object row, idx c):
    return get(<char *>cnp.PyArray_DATA(<cnp.ndarray>row), c, cnp.PyArray_ITEMSIZE(<cnp.ndarray>row))


cdef inline double *moment(cnp.ndarray moments, int which) noexcept:
    return <double *>cnp.PyArray_DATA(moments) + which * moments.shape[1]


cdef cnp.ndarray new_rows(idx count, idx channels):
    cdef idx[2] size = [count, channels]
    return new_array(2, size, cnp.NPY_FLOAT64)


cdef int check_moments(cnp.ndarray moments, cnp.ndarray x) except -1:
    check_array(x, "x", -1, check_real(x, "x"), READ)
    check_array(moments, "moments", 2, cnp.NPY_FLOAT64, DENSE)
    check_axis(moments, "moments", 0, MOMENTS)
    return check_axis(moments, "moments", 1, x.shape[1] if cnp.PyArray_NDIM(x) > 1 else -1)


# ---- what channels are normalised by -------------------------------------------------------------------------------

def moments_of(cnp.ndarray x not None, mean, variance, bint training, double momentum, double eps):
    """The moments (3, C) of x, which `mean` and `variance` then follow, or in evaluation those two."""
    cdef idx channels = x.shape[1] if cnp.PyArray_NDIM(x) > 1 else 0, c
    cdef cnp.ndarray moments = new_rows(MOMENTS, channels)
    cdef double *shift = moment(moments, SHIFT)
    cdef double *offset = moment(moments, OFFSET)
    cdef double *inverse = moment(moments, INVERSE_STD)
    cdef double n = cnp.PyArray_SIZE(x) / <double>max(channels, 1)
    cdef bint easy = row_of(mean, channels) and row_of(variance, channels)
    if training:
        passes.statistics_of(x, shift, offset, inverse)
        if n > 0 and easy:
            for c in range(channels):
                follow(mean, c, shift[c] + offset[c], momentum)
                follow(variance, c, n / (n - 1) * inverse[c], momentum)
        elif n > 0:
            elementwise.track(mean, moments[SHIFT] + moments[OFFSET], momentum)
            elementwise.track(variance, n / (n - 1) * moments[INVERSE_STD], momentum)
    else:
        if not easy or mean is None or variance is None:
            mean, variance = arguments.rows_of(elementwise.wide(mean), elementwise.wide(variance), channels)
        for c in range(channels):
            shift[c] = offset[c] = element(mean, c)
            if cnp.PyArray_ITEMSIZE(x) == 4:
                shift[c] = <float>shift[c]
            offset[c] -= shift[c]
            inverse[c] = element(variance, c)
    for c in range(channels):
        inverse[c] = 1 / sqrt(inverse[c] + eps)
    return moments


cdef inline int follow(object running, idx c, double batch, double momentum) except -1:
    """running = (1 - momentum) * running + momentum * batch, rounded to the running one's type at each step."""
    cdef char *into
    if running is None:
        return 0
    into = <char *>cnp.PyArray_DATA(<cnp.ndarray>running)
    if cnp.PyArray_ITEMSIZE(<cnp.ndarray>running) == 4:
        (<float *>into)[c] = (<float *>into)[c] * <float>(1 - momentum) + <float>(momentum * batch)
    else:
        (<double *>into)[c] = (<double *>into)[c] * (1 - momentum) + momentum * batch
    return 0


# ---- forward and back ----------------------------------------------------------------------------------------------

def normalise(x, weight, bias, cnp.ndarray moments not None):
    """y[:, c] = weight[c] (x[:, c] - shift[c] - offset[c]) * inverse_std[c] + bias[c]; arrays."""
    back = None
    if not common(x):
        x, back = arguments.of_planes(x)
    if not (weights_of(weight, x) and weights_of(bias, x)):
        weight, bias = arguments.weights(x, weight, bias)
    check_moments(moments, x)
    cdef idx channels = (<cnp.ndarray>x).shape[1], c
    cdef const double *offset = moment(moments, OFFSET)
    cdef const double *inverse = moment(moments, INVERSE_STD)
    cdef cnp.ndarray rows = new_rows(2, channels)
    cdef double *scale = moment(rows, 0)
    cdef double *rest = moment(rows, 1)
    for c in range(channels):
        scale[c] = inverse[c] if weight is None else inverse[c] * element(weight, c)
        rest[c] = (0 if bias is None else element(bias, c)) - offset[c] * scale[c]
    y = new_like(<cnp.ndarray>x, cnp.PyArray_TYPE(<cnp.ndarray>x))
    passes.affine_of(x, y, moment(moments, SHIFT), scale, rest)
    return y if back is None else back(y)


def normalise_backward(dy, x, weight, cnp.ndarray moments not None, bint training, bint need_x):
    """dx, dweight and dbias, of arrays; dx is None unless it is needed.

    With n elements of each channel and z the normalised x::

        dbias = sum dy,    dweight = sum dy z,
        dx = weight * inverse_std * (dy - (dbias + z * dweight) / n)

    in training, where mean and variance are the batch's own; else ``dx = weight * inverse_std * dy``.
    """
    cdef cnp.ndarray dw, db, dx
    back = None
    if not common(x):
        x, back = arguments.of_planes(x)
    if not (common(dy) and same_order(dy, x)):
        dy = arguments.like(dy, x)
    if not weights_of(weight, x):
        weight, _ = arguments.weights(x, weight, None)
    check_moments(moments, x)
    cdef idx channels = (<cnp.ndarray>x).shape[1], c
    cdef int real = cnp.PyArray_TYPE(<cnp.ndarray>x)
    cdef idx itemsize = cnp.PyArray_ITEMSIZE(<cnp.ndarray>x)
    cdef double n = max(cnp.PyArray_SIZE(<cnp.ndarray>x) / <double>max(channels, 1), 1)
    cdef const double *shift = moment(moments, SHIFT)
    cdef const double *offset = moment(moments, OFFSET)
    cdef const double *inverse = moment(moments, INVERSE_STD)
    cdef cnp.ndarray rows = new_rows(5, channels)
    cdef double *total = moment(rows, 0)
    cdef double *dot = moment(rows, 1)
    cdef double *scale = moment(rows, 2)
    cdef double *slope = moment(rows, 3)
    cdef double *rest = moment(rows, 4)
    passes.dots_of(dy, x, shift, total, dot)
    dw, db = new_array(1, &channels, real), new_array(1, &channels, real)
    for c in range(channels):
        dot[c] = (dot[c] - offset[c] * total[c]) * inverse[c]
        put(<char *>cnp.PyArray_DATA(dw), c, dot[c], itemsize)
        put(<char *>cnp.PyArray_DATA(db), c, total[c], itemsize)
    if not need_x:
        return None, dw, db
    memset(slope, 0, 2 * channels * sizeof(double))
    for c in range(channels):
        scale[c] = inverse[c] if weight is None else inverse[c] * element(weight, c)
        if training:
            slope[c] = -scale[c] * inverse[c] * dot[c] / n
            rest[c] = -scale[c] * total[c] / n - slope[c] * offset[c]
    dx = new_like(<cnp.ndarray>x, real)
    passes.affine_pair_of(dy, x, dx, shift, scale, slope, rest)
    return dx if back is None else back(dx), dw, db


cdef bint same_order(cnp.ndarray dy, cnp.ndarray x) noexcept:
    """Whether two common arrays are of one type, size and order."""
    cdef int axis
    if (cnp.PyArray_TYPE(dy) != cnp.PyArray_TYPE(x) or cnp.PyArray_NDIM(dy) != cnp.PyArray_NDIM(x)
            or passes.planes_last(dy) != passes.planes_last(x)):
        return False
    for axis in range(cnp.PyArray_NDIM(x)):
        if dy.shape[axis] != x.shape[axis]:
            return False
    return True


# ---- the layer -----------------------------------------------------------------------------------------------------

@cython.final
@cython.freelist(8)
cdef class Product:
    cdef int gradients
    cdef bint training
    cdef double eps

    def __call__(self, g, x, weight, cnp.ndarray moments):
        if isinstance(g, TensorBase):
            from fastconv import twice

            return twice.batch_norm(g, x, weight, moments[SHIFT] + moments[OFFSET], moments[INVERSE_STD], self.eps,
                                    self.training)
        dx, dw, db = normalise_backward(g, x, weight, moments, self.training, self.gradients & 1)
        return dx, dw if self.gradients & 2 else None, db if self.gradients & 4 else None


def batch_norm(x, weight, bias, running_mean, running_var, bint training=False, momentum=0.1, eps=1e-5):
    """Every channel less its mean, by its standard deviation, times its weight, plus its bias.

    In training both are the batch's, which the running ones follow, else these."""
    cdef int gradients = asked_of_three(x, weight, bias)
    cdef Product product
    a, w, b = array_of(x), array_of(weight), array_of(bias)
    mean, variance = array_of(running_mean), array_of(running_var)
    back = None
    if not (common(a) and cnp.PyArray_SIZE(<cnp.ndarray>a) > (<cnp.ndarray>a).shape[1] and weights_of(w, a)
            and weights_of(b, a) and row_of(mean, (<cnp.ndarray>a).shape[1])
            and row_of(variance, (<cnp.ndarray>a).shape[1]) and is_number(momentum) and is_number(eps)
            and (training or mean is not None and variance is not None)):
        arguments.check_batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)
        if is_narrow(x):
            return in_float32(batch_norm, (), (x, weight, bias), dict(
                running_mean=running_mean, running_var=running_var, training=training, momentum=momentum, eps=eps))
        if not common(a):
            a, back = arguments.of_planes(a)
    moments = moments_of(a, mean, variance, training, momentum, eps)
    y = normalise(a, w, b, moments)
    if back is not None:
        y = back(y)
    if gradients <= 0:
        return y if gradients < 0 else wrap(y)
    product = Product.__new__(Product)
    product.gradients, product.training, product.eps = gradients, training, eps
    return record(y, batch_norm, product, (array_of(x), w, moments), (x, weight, bias))


differentiable_twice(batch_norm)
