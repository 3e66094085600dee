"""Convolutions, transposed convolutions and linear layers, and their gradients.

Each is a form <y, f(x, w)> that is linear in each of x, w and y. A pass takes two of the three and gives the third: y
of x and w, which is the layer; x of w and dy, and w of x and dy, which are its gradients. So the products of a pass are
the two other passes, and what is recorded can be differentiated as often as one likes.

Every pass is one function: where its arguments are common, it finds the sizes itself; otherwise `fastconv.arguments`
either raises, or hands back arrays of the common form, the sizes, and how to turn the result back.
"""

cimport cython
cimport numpy as cnp
from cpython.tuple cimport PyTuple_GET_ITEM

from fastconv._native cimport passes, plan
from fastconv._native.common cimport (
    MOST, idx, integer, keeps_channels_last, lengths, new_array, new_result, pair, plain, read, real_type, same,
)
from fastconv._native.layers.inputs cimport (
    array_of, asked, asked_of_three, asked_of_two, is_narrow_tensor, of_one_dtype,
)
from fastconv._native.tape cimport TensorBase, in_float32, record, wrap

import numpy as np

from fastconv._native.tape import differentiable_twice
from fastconv.arguments import convolution as conv_arguments
from fastconv.arguments import linear as linear_arguments

cnp.import_array()

cdef enum Kind:
    CONV1D
    CONV2D
    CONV_TRANSPOSE2D
    LINEAR

cdef enum Operand:
    Y
    X
    W

cdef extern from *:
    """
    static PyArrayObject *view_of(PyArrayObject *a, npy_intp *shape, npy_intp *strides)
    {
        return (PyArrayObject *)PyArray_New(&PyArray_Type, 4, shape, PyArray_TYPE(a), strides, PyArray_DATA(a), 0,
                                            PyArray_FLAGS(a) & (NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE), NULL);
    }
    """
    cnp.ndarray view_of(cnp.ndarray a, idx *shape, idx *strides)


# ---- sizes ---------------------------------------------------------------------------------------------------------

cdef struct Sizes:
    # In the order in which `fastconv.arguments` hands them over. A transposed convolution's x are the outputs of the
    # convolution that it transposes, and its y the images.
    idx x[4]
    idx w[4]
    idx y[4]
    idx stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w
    idx groups


cdef inline object option(tuple options, int place):
    """Of stride, padding, dilation, groups, output_padding."""
    return <object>PyTuple_GET_ITEM(options, place)


cdef bint fit(Kind kind, Sizes *v, const idx *x, const idx *w, tuple options) noexcept:
    """Whether filters of size w and images of size x are a common convolution; its sizes."""
    cdef idx span_h, span_w, room_h, room_w, extra_h, extra_w
    if not (pair(option(options, 0), 1, &v.stride_h, &v.stride_w) and pair(option(options, 1), 0, &v.pad_h, &v.pad_w)
            and pair(option(options, 2), 1, &v.dilation_h, &v.dilation_w)
            and integer(option(options, 3), 1, &v.groups)):
        return False
    for i in range(4):
        v.x[i], v.w[i] = x[i], w[i]
    v.y[0] = x[0]
    span_h, span_w = v.dilation_h * (w[2] - 1) + 1, v.dilation_w * (w[3] - 1) + 1
    if kind == CONV2D:
        if x[1] != w[1] * v.groups or w[0] % v.groups != 0:
            return False
        room_h, room_w = x[2] + 2 * v.pad_h - span_h, x[3] + 2 * v.pad_w - span_w
        if room_h < 0 or room_w < 0:
            return False
        v.y[1], v.y[2], v.y[3] = w[0], room_h // v.stride_h + 1, room_w // v.stride_w + 1
    else:
        if (x[1] != w[0] or x[1] % v.groups != 0 or not pair(option(options, 4), 0, &extra_h, &extra_w)
                or extra_h >= max(v.stride_h, v.dilation_h) or extra_w >= max(v.stride_w, v.dilation_w)):
            return False
        v.y[1] = w[1] * v.groups
        v.y[2] = (x[2] - 1) * v.stride_h - 2 * v.pad_h + span_h + extra_h
        v.y[3] = (x[3] - 1) * v.stride_w - 2 * v.pad_w + span_w + extra_w
        if v.y[2] < 1 or v.y[3] < 1 or v.y[2] > 2**31 or v.y[3] > 2**31:
            return False
    steps(v, kind == CONV_TRANSPOSE2D)
    return <double>v.y[0] * v.y[1] * v.y[2] * v.y[3] < MOST


cdef inline void steps(Sizes *v, bint transposed) noexcept:
    """Between one window, or one tap, and no other the step may be any, so it is 1."""
    cdef const idx *windows = &v.y[0]
    if transposed:
        windows = &v.x[0]
    if windows[2] == 1:
        v.stride_h = 1
    if windows[3] == 1:
        v.stride_w = 1
    if v.w[2] == 1:
        v.dilation_h = 1
    if v.w[3] == 1:
        v.dilation_w = 1


# ---- the passes of a convolution, on arrays ------------------------------------------------------------------------

cdef y_of(Kind kind, x, w, b, tuple options):
    cdef Sizes v
    cdef tuple numbers
    cdef int real = real_type(x)
    if kind == LINEAR:
        return linear_y(x, w, b)
    if (kind != CONV1D and real >= 0 and plain(x, 4, real) and plain(w, 4, real)
            and fit(kind, &v, (<cnp.ndarray>x).shape, (<cnp.ndarray>w).shape, options)
            and (b is None or plain(b, 1, real) and (<cnp.ndarray>b).shape[0] == v.y[1])):
        return compute_y(kind, x, w, b, &v)
    x, w, b, numbers, back = conv_arguments.of_y(NAMES[kind], x, w, b, *options)
    read(numbers, v.x)
    y = compute_y(kind, x, w, b, &v)
    return y if back is None else y[back]


cdef cnp.ndarray compute_y(Kind kind, cnp.ndarray x, cnp.ndarray w, b, Sizes *v):
    cdef bint last = keeps_channels_last(x) or keeps_channels_last(w)
    cdef cnp.ndarray y = new_result("output", v.y, cnp.PyArray_TYPE(x), last)
    if cnp.PyArray_SIZE(x) == 0 or cnp.PyArray_SIZE(y) == 0:
        y[...] = 0 if b is None else b[:, None, None]
    elif kind == CONV_TRANSPOSE2D:
        plan.input_gradient(x, w, y, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h, v.dilation_w, v.groups)
        if b is not None:
            y += b[:, None, None]
    else:
        plan.forward(x, w, b, y, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h, v.dilation_w, v.groups)
    return y


cdef x_of(Kind kind, x_size, w, dy, tuple options):
    cdef Sizes v
    cdef tuple numbers
    cdef idx size[4]
    cdef int real = real_type(dy)
    if kind == LINEAR:
        return linear_x(w, dy)
    if (kind != CONV1D and real >= 0 and plain(dy, 4, real) and plain(w, 4, real) and lengths(x_size, 4, size)
            and fit(kind, &v, size, (<cnp.ndarray>w).shape, options) and same((<cnp.ndarray>dy).shape, v.y, 4)):
        return compute_x(kind, w, dy, &v)
    w, dy, numbers, back = conv_arguments.of_x(NAMES[kind], x_size, w, dy, *options)
    read(numbers, v.x)
    dx = compute_x(kind, w, dy, &v)
    return dx if back is None else dx[back]


cdef cnp.ndarray compute_x(Kind kind, cnp.ndarray w, cnp.ndarray dy, Sizes *v):
    cdef cnp.ndarray dx = new_result("input's gradient", v.x, cnp.PyArray_TYPE(dy), keeps_channels_last(dy))
    if cnp.PyArray_SIZE(dy) == 0 or cnp.PyArray_SIZE(dx) == 0:
        dx[...] = 0
    elif kind == CONV_TRANSPOSE2D:
        plan.forward(dy, w, None, dx, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h, v.dilation_w, v.groups)
    else:
        plan.input_gradient(dy, w, dx, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h, v.dilation_w, v.groups)
    return dx


cdef w_of(Kind kind, x, w_size, dy, tuple options):
    cdef Sizes v
    cdef tuple numbers
    cdef idx size[4]
    cdef int real = real_type(x)
    if kind == LINEAR:
        return linear_w(x, dy)
    if (kind != CONV1D and real >= 0 and plain(x, 4, real) and plain(dy, 4, real) and lengths(w_size, 4, size)
            and fit(kind, &v, (<cnp.ndarray>x).shape, size, options) and same((<cnp.ndarray>dy).shape, v.y, 4)):
        return compute_w(kind, x, dy, &v)
    x, dy, numbers, back = conv_arguments.of_w(NAMES[kind], x, w_size, dy, *options)
    read(numbers, v.x)
    dw = compute_w(kind, x, dy, &v)
    return dw if back is None else dw[back]


cdef cnp.ndarray compute_w(Kind kind, cnp.ndarray x, cnp.ndarray dy, Sizes *v):
    cdef cnp.ndarray dw = new_result("weight's gradient", v.w, cnp.PyArray_TYPE(x), False)
    if cnp.PyArray_SIZE(x) == 0 or cnp.PyArray_SIZE(dy) == 0:
        dw[...] = 0
        return dw
    if kind == CONV_TRANSPOSE2D:
        x, dy = dy, x
    plan.weight_gradient(x, dy, dw, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h, v.dilation_w, v.groups)
    return dw


cdef b_of(dy, dims):
    """The sum of dy over all axes but the channels'."""
    cdef int real = real_type(dy)
    if (type(dims) is not int or dims != 2 or real < 0 or not plain(dy, 4, real)
            or not (cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>dy) or keeps_channels_last(<cnp.ndarray>dy))):
        dy = conv_arguments.of_b(dy, dims)
    db = new_array(1, &(<cnp.ndarray>dy).shape[1], cnp.PyArray_TYPE(<cnp.ndarray>dy))
    passes.bias_gradient(dy, db)
    return db


# ---- the passes of a linear layer, by the convolution's kernels: so that their threads and sums are the package's own

cdef cnp.ndarray as_images(cnp.ndarray a):
    """A matrix as one image whose channels are its rows, of one row of pixels each."""
    cdef idx *shape = [1, a.shape[0], 1, a.shape[1]]
    cdef idx *strides = [0, a.strides[0], 0, a.strides[1]]
    return view_of(a, shape, strides)


cdef cnp.ndarray as_filters(cnp.ndarray a, int row, int column):
    """A matrix as filters of one tap: its rows, or with row = 1 its columns."""
    cdef idx *shape = [a.shape[row], a.shape[column], 1, 1]
    cdef idx *strides = [a.strides[row], a.strides[column], 0, 0]
    return view_of(a, shape, strides)


cdef linear_y(x, w, b):
    """x w^T + b: the weight gradient of a convolution whose images are the rows of w and of x."""
    cdef int real = real_type(x)
    lead = None
    if (real < 0 or not plain(x, 2, real) or not plain(w, 2, real)
            or (<cnp.ndarray>x).shape[1] != (<cnp.ndarray>w).shape[1]
            or b is not None and not (plain(b, 1, real) and (<cnp.ndarray>b).shape[0] == (<cnp.ndarray>w).shape[0]
                                      and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>b))):
        x, w, b, lead = linear_arguments.of_y(x, w, b)
    cdef idx *size = [(<cnp.ndarray>x).shape[0], (<cnp.ndarray>w).shape[0]]
    cdef cnp.ndarray y = new_array(2, size, cnp.PyArray_TYPE(<cnp.ndarray>x))
    if cnp.PyArray_SIZE(<cnp.ndarray>x) == 0 or cnp.PyArray_SIZE(y) == 0:
        y[...] = 0
    else:
        plan.weight_gradient(as_images(w), as_images(x), as_filters(y, 0, 1), 1, 1, 0, 0, 1, 1, 1)
    if b is not None:
        passes.add_row(y, b)
    return y if lead is None else y.reshape(lead)


cdef linear_x(w, dy):
    """dy w: a convolution of one tap, whose filters are the rows of dy."""
    cdef int real = real_type(dy)
    lead = None
    if (real < 0 or not plain(dy, 2, real) or not plain(w, 2, real)
            or (<cnp.ndarray>dy).shape[1] != (<cnp.ndarray>w).shape[0]):
        w, dy, lead = linear_arguments.of_x(w, dy)
    dx = product(dy, 0, 1, w)
    return dx if lead is None else dx.reshape(lead)


cdef linear_w(x, dy):
    """dy^T x: a convolution of one tap, whose filters are the columns of dy."""
    cdef int real = real_type(x)
    if (real < 0 or not plain(x, 2, real) or not plain(dy, 2, real)
            or (<cnp.ndarray>x).shape[0] != (<cnp.ndarray>dy).shape[0]):
        x, dy = linear_arguments.of_w(x, dy)
    return product(dy, 1, 0, x)


cdef cnp.ndarray product(cnp.ndarray a, int row, int column, cnp.ndarray b):
    cdef idx *size = [a.shape[row], b.shape[1]]
    cdef cnp.ndarray y = new_array(2, size, cnp.PyArray_TYPE(a))
    if cnp.PyArray_SIZE(a) == 0 or cnp.PyArray_SIZE(b) == 0:
        y[...] = 0
    else:
        plan.forward(as_images(b), as_filters(a, row, column), None, as_images(y), 1, 1, 0, 0, 1, 1, 1)
    return y


cdef linear_b(dy):
    """The sums of dy's columns, in float64."""
    cdef int real = real_type(dy)
    if real < 0 or not plain(dy, 2, real) or not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>dy):
        dy = linear_arguments.of_b(dy)
    db = new_array(1, &(<cnp.ndarray>dy).shape[1], cnp.PyArray_TYPE(<cnp.ndarray>dy))
    passes.column_sums(dy, db)
    return db


# ---- recorded ------------------------------------------------------------------------------------------------------

@cython.final
@cython.freelist(32)
cdef class Product:
    """The product of the pass that made `made`: the gradients of its operands are passes, too."""

    cdef Kind kind
    cdef Operand made
    cdef bint with_bias
    cdef object x_size, w_size
    cdef tuple options

    def __call__(self, g, a, b):
        db = None
        if self.made == Y:    # of x and w
            if self.with_bias:
                db = linear_bias(g) if self.kind == LINEAR else bias_gradient(g, 1 if self.kind == CONV1D else 2)
            return (None if b is None else make_x(self.kind, self.x_size, b, g, self.options),
                    None if a is None else make_w(self.kind, a, self.w_size, g, self.options), db)
        if self.made == X:    # of w and dy
            return (None if b is None else make_w(self.kind, g, self.w_size, b, self.options),
                    None if a is None else make_y(self.kind, g, a, None, self.options))
        # of x and dy
        return (None if b is None else make_x(self.kind, self.x_size, g, b, self.options),
                None if a is None else make_y(self.kind, a, g, None, self.options))


cdef recorded(cnp.ndarray result, Kind kind, Operand made, int gradients, x_size, w_size, tuple options, a, b,
              tuple inputs):
    """Each operand is kept where the gradient of the other will be asked for."""
    cdef Product product = Product.__new__(Product)
    product.kind, product.made, product.with_bias = kind, made, gradients & 4
    product.x_size, product.w_size, product.options = x_size, w_size, options
    a, b = array_of(a) if gradients & 2 else None, array_of(b) if gradients & 1 else None
    return record(result, OPERATIONS[kind][<int>made], product, (a, b), inputs)


cdef dict keywords(Kind kind, tuple options):
    """The options by their names."""
    names = ("stride", "padding", "dilation", "groups", "output_padding")
    return dict(zip(names[:5 if kind == CONV_TRANSPOSE2D else 4], options))


cdef make_y(Kind kind, x, w, b, tuple options):
    cdef int gradients = asked_of_three(x, w, b)
    if is_narrow_tensor(x):
        return in_float32(OPERATIONS[kind][<int>Y], (), of_one_dtype(NAMES[kind], (x, w, b)), keywords(kind, options))
    y = y_of(kind, array_of(x), array_of(w), array_of(b), options)
    if gradients <= 0:
        return y if gradients < 0 else wrap(y)
    return recorded(y, kind, Y, gradients, array_of(x).shape, array_of(w).shape, options, x, w, (x, w, b))


cdef make_x(Kind kind, x_size, w, dy, tuple options):
    cdef int gradients = asked_of_two(w, dy)
    dx = x_of(kind, x_size, array_of(w), array_of(dy), options)
    if gradients <= 0:
        return dx if gradients < 0 else wrap(dx)
    return recorded(dx, kind, X, gradients, x_size, array_of(w).shape, options, w, dy, (w, dy))


cdef make_w(Kind kind, x, w_size, dy, tuple options):
    cdef int gradients = asked_of_two(x, dy)
    dw = w_of(kind, array_of(x), w_size, array_of(dy), options)
    if gradients <= 0:
        return dw if gradients < 0 else wrap(dw)
    return recorded(dw, kind, W, gradients, array_of(x).shape, w_size, options, x, dy, (x, dy))


def conv1d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """y[n,k,q] = b[k] + sum_{c,s} w[k,c,s] x[n, c, q stride + s dilation - padding]."""
    return make_y(CONV1D, x, w, b, (stride, padding, dilation, groups, 0))


def conv1d_input(input_size, w, dy, stride=1, padding=0, dilation=1, groups=1):
    """dx of conv1d."""
    return make_x(CONV1D, input_size, w, dy, (stride, padding, dilation, groups, 0))


def conv1d_weight(x, weight_size, dy, stride=1, padding=0, dilation=1, groups=1):
    """dw of conv1d."""
    return make_w(CONV1D, x, weight_size, dy, (stride, padding, dilation, groups, 0))


def conv2d(x, w, b=None, stride=1, padding=0, dilation=1, groups=1):
    """y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n, c, p stride + r dilation - padding, ...]: equation 12.3."""
    return make_y(CONV2D, x, w, b, (stride, padding, dilation, groups, 0))


def conv2d_input(input_size, w, dy, stride=1, padding=0, dilation=1, groups=1):
    """dx of conv2d, equation 12.6: the filters, turned by 180 degrees and their two channel axes exchanged, convolve
    dy."""
    return make_x(CONV2D, input_size, w, dy, (stride, padding, dilation, groups, 0))


def conv2d_weight(x, weight_size, dy, stride=1, padding=0, dilation=1, groups=1):
    """dw of conv2d, equation 12.5: dy convolves x. An empty batch gives zeros."""
    return make_w(CONV2D, x, weight_size, dy, (stride, padding, dilation, groups, 0))


def conv_transpose2d(x, w, b=None, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """The gradient of conv2d with respect to its input, as an operation."""
    return make_y(CONV_TRANSPOSE2D, x, w, b, (stride, padding, dilation, groups, output_padding))


def conv_transpose2d_input(input_size, w, dy, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """dx of conv_transpose2d: a convolution of dy by w."""
    return make_x(CONV_TRANSPOSE2D, input_size, w, dy, (stride, padding, dilation, groups, output_padding))


def conv_transpose2d_weight(x, weight_size, dy, stride=1, padding=0, output_padding=0, groups=1, dilation=1):
    """dw of conv_transpose2d."""
    return make_w(CONV_TRANSPOSE2D, x, weight_size, dy, (stride, padding, dilation, groups, output_padding))


def linear(x, w, b=None):
    """y = x w^T + b."""
    return make_y(LINEAR, x, w, b, ())


def linear_input(w, dy):
    """dx = dy w."""
    return make_x(LINEAR, None, w, dy, ())


def linear_weight(x, dy):
    """dw = dy^T x, summed over all axes of x and dy but the last."""
    return make_w(LINEAR, x, None, dy, ())


# The gradient of a bias, which every output of its channel takes: its product spreads a number over them again.

@cython.final
cdef class Spread:
    cdef object size
    cdef int axis

    def __call__(self, g):
        g = g.reshape((-1,) + (1,) * (len(self.size) - 1 - self.axis))
        return (g.expand(self.size) if isinstance(g, TensorBase) else np.broadcast_to(g, self.size),)


cdef spread_over(cnp.ndarray db, operation, dy, int axis):
    cdef int gradients = asked(dy)
    cdef Spread product
    if gradients <= 0:
        return db if gradients < 0 else wrap(db)
    product = Spread.__new__(Spread)
    product.size, product.axis = array_of(dy).shape, axis
    return record(db, operation, product, (), (dy,))


def bias_gradient(dy, dims=2):
    """db of a convolution: the sum of dy over all axes but the channels', of which `dims` are spatial."""
    cdef cnp.ndarray db = b_of(array_of(dy), dims)
    return spread_over(db, bias_gradient, dy, array_of(dy).ndim - dims - 1)


def linear_bias(dy):
    """db of a linear layer: the sum of dy over all axes but the last, in float64."""
    return spread_over(linear_b(array_of(dy)), linear_bias, dy, array_of(dy).ndim - 1)


cdef tuple NAMES = ("conv1d", "conv2d", "conv_transpose2d", "linear")
cdef tuple OPERATIONS = (
    (conv1d, conv1d_input, conv1d_weight),
    (conv2d, conv2d_input, conv2d_weight),
    (conv_transpose2d, conv_transpose2d_input, conv_transpose2d_weight),
    (linear, linear_input, linear_weight),
)

for operation in (*OPERATIONS[CONV1D], *OPERATIONS[CONV2D], *OPERATIONS[CONV_TRANSPOSE2D], *OPERATIONS[LINEAR],
                  bias_gradient, linear_bias):
    differentiable_twice(operation)
del operation
