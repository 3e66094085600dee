"""Batch norm: every channel less its mean, by its standard deviation; alone, or with a residual and a rectifier."""

cimport cython
cimport numpy as cnp
from libc.math cimport NAN, isnan, sqrt
from libc.string cimport memset

from fastconv._native cimport passes
from fastconv._native.checks cimport DENSE, READ, check_array, check_axis, check_real
from fastconv._native.common cimport idx, new_like, plain, real_type
from fastconv._native.layers.inputs cimport array_of, bit_of, joined, while_recording
from fastconv._native.memory cimport get, new_array, put
from fastconv._native.tape cimport TensorBase, in_float32, is_narrow, record, wrap

import numpy as np

from fastconv import elementwise
from fastconv._native.layers.pointwise import relu_backward
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

cdef cnp.ndarray lines_of(weight, bias, cnp.ndarray moments):
    """Of each channel what x - shift is multiplied by, and what is then added: rows (2, C)."""
    cdef idx channels = moments.shape[1], c
    cdef const double *offset = moment(moments, OFFSET)
    cdef const double *inverse = moment(moments, INVERSE_STD)
    cdef cnp.ndarray lines = new_rows(2, channels)
    cdef double *scale = moment(lines, 0)
    cdef double *rest = moment(lines, 1)
    for c in range(channels):
        scale[c] = inverse[c] if weight is None else inverse[c] * element(weight, c)
        rest[c] = (0 if bias is None else element(bias, c)) - offset[c] * scale[c]
    return lines


def normalise(x, weight, bias, cnp.ndarray moments not None, residual=None, bint rectified=False,
              double ceiling=NAN):
    """y[:, c] = weight[c] (x[:, c] - shift[c] - offset[c]) * inverse_std[c] + bias[c]; arrays.

    With `rectified` min(max(y + residual, 0), ceiling), without a ceiling if that is NaN, to the bits of one operation
    after the other. Returns y and the lines (2, C) that the gradient of what is rectified needs.
    """
    back = None
    if not common(x):
        x, back = arguments.of_planes(x)
    if not (weights_of(weight, x) and weights_of(bias, x)):
        weight, bias = arguments.weights(x, weight, bias)
    if residual is not None and not (common(residual) and same_order(residual, x)):
        residual = arguments.like(residual, x)
    check_moments(moments, x)
    lines = lines_of(weight, bias, moments)
    y = new_like(<cnp.ndarray>x, cnp.PyArray_TYPE(<cnp.ndarray>x))
    if rectified:
        passes.rectified_of(x, residual, y, moment(moments, SHIFT), moment(lines, 0), moment(lines, 1), ceiling)
    else:
        passes.affine_of(None, x, y, moment(moments, SHIFT), NULL, moment(lines, 0), moment(lines, 1))
    return (y if back is None else back(y)), lines


def normalise_backward(dy, x, weight, cnp.ndarray moments not None, bint training, bint need_x,
                       cnp.ndarray lines=None, y=None, double ceiling=NAN, bint need_residual=False,
                       bint spent=False):
    """dx, dweight, dbias and the residual's gradient g, of arrays; dx and g are None unless they are needed.

    With n elements of each channel and z the normalised x::

        dbias = sum g,    dweight = sum g z,
        dx = weight * inverse_std * (g - (dbias + z * dweight) / n)

    in training, where mean and variance are the batch's own; else ``dx = weight * inverse_std * g``. Given the lines of
    what was rectified, and the result y if there was a residual, g is dy where 0 < y < ceiling, else 0; otherwise it is
    dy. With `spent`, results may be written over dy.
    """
    cdef cnp.ndarray dw, db, dx = None, g = None
    back = None
    if not common(x):
        x, back = arguments.of_planes(x)
    if not (common(dy) and same_order(dy, x)):
        dy, spent = arguments.like(dy, x), False
    if y is not None and not (common(y) and same_order(y, x)):
        y = arguments.like(y, x)
    if not weights_of(weight, x):
        weight, _ = arguments.weights(x, weight, None)
    check_moments(moments, x)
    if lines is not None:
        check_array(lines, "lines", 2, cnp.NPY_FLOAT64, DENSE)
        check_axis(lines, "lines", 0, 2)
        check_axis(lines, "lines", 1, moments.shape[1])
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
    spent = spent and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>dy)
    if lines is not None and (need_residual or y is not None):
        g = dy if spent else new_like(<cnp.ndarray>x, real)
    if lines is None:
        passes.dots_of(dy, x, shift, total, dot)
    else:
        passes.rectified_dots_of(dy, x, y, g, shift, moment(lines, 0), moment(lines, 1), ceiling, total, dot)
    dw, db = new_array(1, &channels, real), new_array(1, &channels, real)
    for c in range(channels):
        dot[c] = (dot[c] - offset[c] * total[c]) * inverse[c]
        put(<char *>cnp.PyArray_DATA(dw), c, dot[c], itemsize)
        put(<char *>cnp.PyArray_DATA(db), c, total[c], itemsize)
    if need_x:
        memset(slope, 0, 2 * channels * sizeof(double))
        for c in range(channels):
            scale[c] = inverse[c] if weight is None else inverse[c] * element(weight, c)
            if training:
                slope[c] = -scale[c] * inverse[c] * dot[c] / n
                rest[c] = -scale[c] * total[c] / n - slope[c] * offset[c]
        if need_residual or not (spent or g is not None):
            dx = new_like(<cnp.ndarray>x, real)
        else:
            dx = dy if g is None else g
        if lines is None or g is not None:
            passes.affine_of(dy if g is None else g, x, dx, shift, scale, slope, rest)
        else:
            passes.rectified_pair_of(dy, x, dx, shift, moment(lines, 0), moment(lines, 1), ceiling, scale, slope, rest)
    if back is not None:
        dx, g = None if dx is None else back(dx), None if g is None else back(g)
    return dx, dw, db, g if need_residual else None


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
    cdef double eps, ceiling

    def __call__(self, g, x, weight, cnp.ndarray moments, cnp.ndarray lines, y, bint spent=False):
        cdef bint need_residual = self.gradients & 8
        if isinstance(g, TensorBase):
            return self.of_tensors(g, x, weight, moments, lines, y)
        dx, dw, db, dr = normalise_backward(g, x, weight, moments, self.training, self.gradients & 1, lines, y,
                                            self.ceiling, need_residual, spent)
        return dx, dw if self.gradients & 2 else None, db if self.gradients & 4 else None, dr

    cdef of_tensors(self, g, x, weight, moments, lines, y):
        """The gradients of tensors, recorded in turn."""
        from fastconv import twice

        if lines is not None:
            y = rectified_again(array_of(x), moments[SHIFT], lines, self.ceiling) if y is None else array_of(y)
            g = relu_backward(g, y)
            if not isnan(self.ceiling):
                g = relu_backward(g, self.ceiling - y)
        dx, dw, db = twice.batch_norm(g, x, weight, moments[SHIFT] + moments[OFFSET], moments[INVERSE_STD], self.eps,
                                      self.training)
        return dx, dw, db, g if self.gradients & 8 else None


cdef rectified_again(x, shift, lines, double ceiling):
    """What was made of x without a residual."""
    shift, scale, rest = (row.astype(x.dtype).reshape((-1, *(1,) * (x.ndim - 2))) for row in (shift, *lines))
    return np.clip((x - shift) * scale + rest, 0, None if isnan(ceiling) else ceiling)


def batch_norm(x, weight, bias, running_mean, running_var, bint training=False, momentum=0.1, eps=1e-5, residual=None,
               bint rectified=False, double ceiling=NAN):
    """Every channel less its mean, by its standard deviation, times its weight, plus its bias.

    In training both are the batch's, which the running ones follow, else these. With `rectified` the residual, which
    has x's size and dtype or is None, is added, and the sum is put between 0 and the ceiling (NaN: there is none)."""
    cdef int gradients = while_recording(joined(joined(bit_of(x, 1), bit_of(weight, 2)),
                                                joined(bit_of(bias, 4), bit_of(residual, 8))))
    cdef Product product
    cdef TensorBase out
    a, w, b, r = array_of(x), array_of(weight), array_of(bias), array_of(residual)
    mean, variance = array_of(running_mean), array_of(running_var)
    back = None
    if not (common(a) and cnp.PyArray_SIZE(<cnp.ndarray>a) > (<cnp.ndarray>a).shape[1] and weights_of(w, a)
            and weights_of(b, a) and row_of(mean, (<cnp.ndarray>a).shape[1])
            and row_of(variance, (<cnp.ndarray>a).shape[1]) and is_number(momentum) and is_number(eps)
            and (training or mean is not None and variance is not None)):
        arguments.check_batch_norm(x, weight, bias, running_mean, running_var, training, momentum, eps)
        if is_narrow(x):
            return in_float32(batch_norm, (), (x, weight, bias), dict(
                running_mean=running_mean, running_var=running_var, training=training, momentum=momentum, eps=eps,
                residual=residual, rectified=rectified, ceiling=ceiling))
        if not common(a):
            a, back = arguments.of_planes(a)
    moments = moments_of(a, mean, variance, training, momentum, eps)
    y, lines = normalise(a, w, b, moments, r, rectified, ceiling)
    if back is not None:
        y = back(y)
    if gradients <= 0:
        return y if gradients < 0 else wrap(y)
    product = Product.__new__(Product)
    product.gradients, product.training, product.eps, product.ceiling = gradients, training, eps, ceiling
    saved = array_of(x), w, moments, lines if rectified else None, y if residual is not None else None
    out = record(y, batch_norm, product, saved, (x, weight, bias, residual))
    out.node.spends = True
    return out


differentiable_twice(batch_norm)
