"""The common case of the operations of ops.py, decided and done in one go.

Common are four-dimensional images (matrices for linear layers) of native, aligned float32 or float64 that hold
something, and sizes and parameters in plain integers of a moderate size. A function here checks that all of it holds,
and that the sizes fit each other; it allocates the result and computes it. Otherwise it returns None, and ops.py goes
the long way, which converts what can be converted and has an error for everything else.
"""

cimport numpy as cnp
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE

from fastconv._native cimport passes, plan, pool
from fastconv._native.memory cimport new_array, new_images
from fastconv._native.problem cimport keeps_channels_last

cnp.import_array()

ctypedef cnp.npy_intp idx

cdef enum:
    MODERATE = 1048576       # sizes and parameters up to here: their products stay far from overflow
    MOST = 1099511627776     # elements of a result; memory ends before


cdef extern from *:
    """
    static PyArrayObject *view_of(PyArrayObject *a, npy_intp *shape, npy_intp *strides)
    {
        return (PyArrayObject *)PyArray_New(&PyArray_Type, 4, shape, PyArray_TYPE(a), strides, PyArray_DATA(a), 0,
                                            PyArray_FLAGS(a) & (NPY_ARRAY_ALIGNED | NPY_ARRAY_WRITEABLE), NULL);
    }
    """
    cnp.ndarray view_of(cnp.ndarray a, idx *shape, idx *strides)


# ---- what is common ------------------------------------------------------------------------------------------------

cdef inline int real_type(object a) noexcept:
    """The type number of an array of float32 or float64, else -1."""
    if not cnp.PyArray_CheckExact(a):
        return -1
    cdef int type_num = cnp.PyArray_TYPE(<cnp.ndarray>a)
    return type_num if type_num == cnp.NPY_FLOAT32 or type_num == cnp.NPY_FLOAT64 else -1


cdef inline bint plain(object a, int ndim, int type_num) noexcept:
    """Whether it is a native, aligned array of this rank and type, none of whose lengths is 0 or immoderate."""
    cdef int i
    if not cnp.PyArray_CheckExact(a):
        return False
    cdef cnp.ndarray array = <cnp.ndarray>a
    if (cnp.PyArray_TYPE(array) != type_num or cnp.PyArray_NDIM(array) != ndim
            or not cnp.PyArray_ISBEHAVED_RO(array)):
        return False
    for i in range(ndim):
        if not 1 <= array.shape[i] <= MODERATE:
            return False
    return True


cdef inline bint integer(object value, idx least, idx *out) noexcept:
    """Whether it is an int of a moderate size, at least `least`."""
    cdef int overflow
    if not PyLong_CheckExact(value):
        return False
    out[0] = PyLong_AsLongAndOverflow(value, &overflow)
    return not overflow and least <= out[0] <= MODERATE


cdef inline bint pair(object value, idx least, idx *h, idx *w) noexcept:
    """Whether it is such an int, or a tuple of two."""
    if PyTuple_CheckExact(value) and PyTuple_GET_SIZE(value) == 2:
        return (integer(<object>PyTuple_GET_ITEM(value, 0), least, h)
                and integer(<object>PyTuple_GET_ITEM(value, 1), least, w))
    if not integer(value, least, h):
        return False
    w[0] = h[0]
    return True


cdef inline bint four(object size, idx *dims) noexcept:
    """Whether it is a tuple of four lengths."""
    cdef int i
    if not (PyTuple_CheckExact(size) and PyTuple_GET_SIZE(size) == 4):
        return False
    for i in range(4):
        if not integer(<object>PyTuple_GET_ITEM(size, i), 1, &dims[i]):
            return False
    return <double>dims[0] * dims[1] * dims[2] * dims[3] < MOST


cdef inline bint same(const idx *a, const idx *b, int n) noexcept:
    cdef int i
    for i in range(n):
        if a[i] != b[i]:
            return False
    return True


# ---- convolution ---------------------------------------------------------------------------------------------------

cdef struct Window:
    # Kernels, and how they move over an image; `out` is the size of what they leave.
    idx kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w
    idx groups
    idx out[4]


cdef bint slide(Window *v, idx height, idx width) noexcept:
    """Whether the kernel fits into the padded image; how often it does."""
    cdef idx room_h = height + 2 * v.pad_h - v.dilation_h * (v.kernel_h - 1) - 1
    cdef idx room_w = width + 2 * v.pad_w - v.dilation_w * (v.kernel_w - 1) - 1
    if room_h < 0 or room_w < 0:
        return False
    v.out[2], v.out[3] = room_h // v.stride_h + 1, room_w // v.stride_w + 1
    # Between one window, or one tap, and no other the step may be any.
    if v.out[2] == 1:
        v.stride_h = 1
    if v.out[3] == 1:
        v.stride_w = 1
    if v.kernel_h == 1:
        v.dilation_h = 1
    if v.kernel_w == 1:
        v.dilation_w = 1
    return <double>v.out[0] * v.out[1] * v.out[2] * v.out[3] < MOST


cdef bint convolution(Window *v, const idx *x, const idx *w, object stride, object padding,
                      object dilation, object groups) noexcept:
    """Whether filters of size w convolve images of size x so."""
    if not (pair(stride, 1, &v.stride_h, &v.stride_w) and pair(padding, 0, &v.pad_h, &v.pad_w)
            and pair(dilation, 1, &v.dilation_h, &v.dilation_w) and integer(groups, 1, &v.groups)):
        return False
    if x[1] != w[1] * v.groups or w[0] % v.groups != 0:
        return False
    v.kernel_h, v.kernel_w = w[2], w[3]
    v.out[0], v.out[1] = x[0], w[0]
    return slide(v, x[2], x[3])


cpdef conv2d(x, w, b, stride, padding, dilation, groups):
    cdef Window v
    cdef int real = real_type(x)
    if (real < 0 or not plain(x, 4, real) or not plain(w, 4, real)
            or not convolution(&v, (<cnp.ndarray>x).shape, (<cnp.ndarray>w).shape, stride, padding, dilation, groups)
            or b is not None and not (plain(b, 1, real) and (<cnp.ndarray>b).shape[0] == v.out[1])):
        return None
    y = new_images(v.out, real, keeps_channels_last(<cnp.ndarray>x))
    plan.forward(x, w, b, y, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h, v.dilation_w, v.groups)
    return y


cpdef conv2d_input(input_size, w, dy, stride, padding, dilation, groups):
    cdef Window v
    cdef idx size[4]
    cdef int real = real_type(dy)
    if (real < 0 or not plain(dy, 4, real) or not plain(w, 4, real) or not four(input_size, size)
            or not convolution(&v, size, (<cnp.ndarray>w).shape, stride, padding, dilation, groups)
            or not same((<cnp.ndarray>dy).shape, v.out, 4)):
        return None
    dx = new_images(size, real, keeps_channels_last(<cnp.ndarray>dy))
    plan.input_gradient(dy, w, dx, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h, v.dilation_w, v.groups)
    return dx


cpdef conv2d_weight(x, weight_size, dy, stride, padding, dilation, groups):
    cdef Window v
    cdef idx size[4]
    cdef int real = real_type(x)
    if (real < 0 or not plain(x, 4, real) or not plain(dy, 4, real) or not four(weight_size, size)
            or not convolution(&v, (<cnp.ndarray>x).shape, size, stride, padding, dilation, groups)
            or not same((<cnp.ndarray>dy).shape, v.out, 4)):
        return None
    dw = new_array(4, size, real)
    plan.weight_gradient(x, dy, dw, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h, v.dilation_w, v.groups)
    return dw


cpdef bias_gradient(dy):
    cdef int real = real_type(dy)
    if real < 0 or not plain(dy, 4, real) or not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>dy):
        return None
    db = new_array(1, &(<cnp.ndarray>dy).shape[1], real)
    passes.bias_gradient(dy, db)
    return db


# ---- linear layers -------------------------------------------------------------------------------------------------

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


cpdef linear(x, w, b):
    cdef int real = real_type(x)
    if (real < 0 or not plain(x, 2, real) or not plain(w, 2, real)
            or (<cnp.ndarray>x).shape[1] != (<cnp.ndarray>w).shape[1]):
        return None
    cdef idx *size = [(<cnp.ndarray>x).shape[0], (<cnp.ndarray>w).shape[0]]
    if b is not None and not (plain(b, 1, real) and (<cnp.ndarray>b).shape[0] == size[1]
                              and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>b)):
        return None
    cdef cnp.ndarray y = new_array(2, size, real)
    plan.weight_gradient(as_images(w), as_images(x), as_filters(y, 0, 1), 1, 1, 0, 0, 1, 1, 1)
    if b is not None:
        passes.add_row(y, b)
    return y


cpdef linear_input(w, dy):
    cdef int real = real_type(dy)
    if (real < 0 or not plain(dy, 2, real) or not plain(w, 2, real)
            or (<cnp.ndarray>dy).shape[1] != (<cnp.ndarray>w).shape[0]):
        return None
    cdef idx *size = [(<cnp.ndarray>dy).shape[0], (<cnp.ndarray>w).shape[1]]
    cdef cnp.ndarray dx = new_array(2, size, real)
    plan.forward(as_images(w), as_filters(dy, 0, 1), None, as_images(dx), 1, 1, 0, 0, 1, 1, 1)
    return dx


cpdef linear_weight(x, dy):
    cdef int real = real_type(x)
    if (real < 0 or not plain(x, 2, real) or not plain(dy, 2, real)
            or (<cnp.ndarray>x).shape[0] != (<cnp.ndarray>dy).shape[0]):
        return None
    cdef idx *size = [(<cnp.ndarray>dy).shape[1], (<cnp.ndarray>x).shape[1]]
    cdef cnp.ndarray dw = new_array(2, size, real)
    plan.forward(as_images(x), as_filters(dy, 1, 0), None, as_images(dw), 1, 1, 0, 0, 1, 1, 1)
    return dw


cpdef linear_bias(dy):
    cdef int real = real_type(dy)
    if real < 0 or not plain(dy, 2, real) or not cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>dy):
        return None
    db = new_array(1, &(<cnp.ndarray>dy).shape[1], real)
    passes.column_sums(dy, db)
    return db


# ---- pooling -------------------------------------------------------------------------------------------------------

cdef bint pooling(Window *v, const idx *x, object kernel_size, object stride, object padding,
                  object dilation) noexcept:
    """Whether windows pool images of size x so."""
    if not (pair(kernel_size, 1, &v.kernel_h, &v.kernel_w)
            and pair(kernel_size if stride is None else stride, 1, &v.stride_h, &v.stride_w)
            and pair(padding, 0, &v.pad_h, &v.pad_w) and pair(dilation, 1, &v.dilation_h, &v.dilation_w)):
        return False
    if 2 * v.pad_h > v.dilation_h * (v.kernel_h - 1) + 1 or 2 * v.pad_w > v.dilation_w * (v.kernel_w - 1) + 1:
        return False
    v.out[0], v.out[1] = x[0], x[1]
    return slide(v, x[2], x[3])


cpdef max_pool2d(x, kernel_size, stride, padding, dilation, ceil_mode):
    cdef Window v
    cdef int real = real_type(x)
    if (real < 0 or ceil_mode is not False or not plain(x, 4, real)
            or (<cnp.ndarray>x).shape[2] * (<cnp.ndarray>x).shape[3] >= 2147483647
            or not pooling(&v, (<cnp.ndarray>x).shape, kernel_size, stride, padding, dilation)):
        return None
    cdef bint last = keeps_channels_last(<cnp.ndarray>x)
    y = new_images(v.out, real, last)
    indices = new_images(v.out, cnp.NPY_INT32 if real == cnp.NPY_FLOAT32 else cnp.NPY_INT64, last)
    pool.max_forward(x, y, indices, v.kernel_h, v.kernel_w, v.stride_h, v.stride_w, v.pad_h, v.pad_w, v.dilation_h,
                     v.dilation_w)
    return y, indices


cpdef max_pool2d_backward(dy, indices, input_size):
    cdef idx size[4]
    cdef int real = real_type(dy)
    if (real < 0 or not plain(dy, 4, real) or not four(input_size, size)
            or not (plain(indices, 4, cnp.NPY_INT32) or plain(indices, 4, cnp.NPY_INT64))
            or not same((<cnp.ndarray>dy).shape, (<cnp.ndarray>indices).shape, 4)
            or not same((<cnp.ndarray>dy).shape, size, 2)):
        return None
    dx = new_images(size, real, keeps_channels_last(<cnp.ndarray>dy))
    return dx if pool.max_backward(dy, indices, dx) else None


cpdef avg_pool2d(x, kernel_size, stride, padding, ceil_mode, count_include_pad):
    cdef Window v
    cdef int real = real_type(x)
    if (real < 0 or ceil_mode is not False or not plain(x, 4, real)
            or not pooling(&v, (<cnp.ndarray>x).shape, kernel_size, stride, padding, 1)):
        return None
    y = new_images(v.out, real, keeps_channels_last(<cnp.ndarray>x))
    pool.average_forward(x, y, v.kernel_h, v.kernel_w, v.stride_h, v.stride_w, v.pad_h, v.pad_w, count_include_pad, 0)
    return y


cpdef avg_pool2d_backward(dy, input_size, kernel_size, stride, padding, ceil_mode, count_include_pad):
    cdef Window v
    cdef idx size[4]
    cdef int real = real_type(dy)
    if (real < 0 or ceil_mode is not False or not plain(dy, 4, real) or not four(input_size, size)
            or not pooling(&v, size, kernel_size, stride, padding, 1)
            or not same((<cnp.ndarray>dy).shape, v.out, 4)):
        return None
    dx = new_images(size, real, keeps_channels_last(<cnp.ndarray>dy))
    pool.average_backward(dy, dx, v.kernel_h, v.kernel_w, v.stride_h, v.stride_w, v.pad_h, v.pad_w, count_include_pad,
                          0)
    return dx


# ---- element-wise layers and losses --------------------------------------------------------------------------------

cdef inline bint dense(object a, int type_num) noexcept:
    """Whether it is a native, aligned array of this type in C order that holds something."""
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_TYPE(<cnp.ndarray>a) == type_num
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>a) and cnp.PyArray_SIZE(<cnp.ndarray>a) > 0)


cdef cnp.ndarray in_order(object a):
    """The array as it lies in memory: with its channels last, as (N, H, W, C)."""
    cdef cnp.npy_intp[4] order = [0, 2, 3, 1]
    cdef cnp.PyArray_Dims axes
    if cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>a):
        return <cnp.ndarray>a
    axes.ptr, axes.len = order, 4
    return cnp.PyArray_Transpose(<cnp.ndarray>a, &axes)


cdef inline bint solid(object a, int type_num) noexcept:
    """Whether it is dense, in C order or with channels last."""
    return dense(a, type_num) or (plain(a, 4, type_num) and keeps_channels_last(<cnp.ndarray>a))


cdef cnp.ndarray new_like(cnp.ndarray a, int type_num):
    if cnp.PyArray_IS_C_CONTIGUOUS(a):
        return new_array(cnp.PyArray_NDIM(a), a.shape, type_num)
    return new_images(a.shape, type_num, True)


cdef inline bint alike(object a, object b, int type_num) noexcept:
    """Whether both are so, of one shape and in one order."""
    return (solid(a, type_num) and solid(b, type_num)
            and cnp.PyArray_NDIM(<cnp.ndarray>a) == cnp.PyArray_NDIM(<cnp.ndarray>b)
            and same((<cnp.ndarray>a).shape, (<cnp.ndarray>b).shape, cnp.PyArray_NDIM(<cnp.ndarray>a))
            and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>a) == cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>b))


cpdef relu(x):
    cdef int real = real_type(x)
    if real < 0 or not solid(x, real):
        return None
    y = new_like(<cnp.ndarray>x, real)
    passes.relu(in_order(x), in_order(y))
    return y


cpdef relu_backward(dy, y, bint spent=False):
    """With `spent`, the result may be written over dy."""
    cdef int real = real_type(y)
    if real < 0 or not alike(dy, y, real):
        return None
    dx = dy
    if not (spent and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>dy)):
        dx = new_like(<cnp.ndarray>y, real)
    passes.relu_backward(in_order(dy), in_order(y), in_order(dx))
    return dx


cpdef add(a, b, out=None):
    """The sum of arrays of one shape; `out` may be one of them."""
    cdef int real = real_type(a)
    if real < 0 or not alike(a, b, real):
        return None
    if out is None:
        out = new_like(<cnp.ndarray>a, real)
    elif not (alike(out, a, real) and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)):
        return None
    passes.add(in_order(a), in_order(b), in_order(out))
    return out


cpdef cross_entropy(x, labels, ignore_index, bint mean, bint need_dx):
    """The loss, an array without dimensions, and its gradient with respect to x (or None)."""
    cdef int real = real_type(x)
    if (real < 0 or not plain(x, 2, real) or not dense(x, real) or not plain(labels, 1, cnp.NPY_INT64)
            or not dense(labels, cnp.NPY_INT64) or (<cnp.ndarray>x).shape[0] != (<cnp.ndarray>labels).shape[0]
            or not PyLong_CheckExact(ignore_index)):
        return None
    cdef int overflow
    cdef long ignored = PyLong_AsLongAndOverflow(ignore_index, &overflow)
    if overflow:
        return None
    dx = new_array(2, (<cnp.ndarray>x).shape, real) if need_dx else None
    loss = passes.cross_entropy(x, labels, dx, ignored, mean)
    if loss is None:
        return None
    cdef cnp.ndarray y = new_array(0, NULL, real)
    if real == cnp.NPY_FLOAT32:
        (<float *>cnp.PyArray_DATA(y))[0] = loss
    else:
        (<double *>cnp.PyArray_DATA(y))[0] = loss
    return y, dx
