"""What the compiled functions take at once, decided in C.

Common are arrays of native, aligned float32 or float64 that hold something, of the rank that the kernels want, and
sizes and parameters in plain integers of a moderate size. All else goes to `fastconv.arguments`, which converts what
can be converted and has an error for everything else.
"""

cimport numpy as cnp
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact
from cpython.tuple cimport PyTuple_CheckExact, PyTuple_GET_ITEM, PyTuple_GET_SIZE

from fastconv._native cimport passes
from fastconv._native.memory cimport new_array, new_images
from fastconv._native.problem cimport keeps_channels_last

ctypedef cnp.npy_intp idx

cdef enum:
    MODERATE = 1048576       # sizes and parameters up to here: their products stay far from overflow
    MOST = 1099511627776     # elements of a result; memory ends before


# ---- arrays --------------------------------------------------------------------------------------------------------

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


cdef inline bint dense(object a, int type_num) noexcept:
    """Whether it is a native, aligned array of this type in C order that holds something."""
    return (cnp.PyArray_CheckExact(a) and cnp.PyArray_TYPE(<cnp.ndarray>a) == type_num
            and cnp.PyArray_ISCARRAY_RO(<cnp.ndarray>a) and cnp.PyArray_SIZE(<cnp.ndarray>a) > 0)


cdef inline bint solid(object a, int type_num) noexcept:
    """Whether it is dense, in C order or with channels last."""
    return dense(a, type_num) or (plain(a, 4, type_num) and keeps_channels_last(<cnp.ndarray>a))


cdef inline bint same(const idx *a, const idx *b, int n) noexcept:
    cdef int i
    for i in range(n):
        if a[i] != b[i]:
            return False
    return True


cdef inline bint alike(object a, object b, int type_num) noexcept:
    """Whether both are solid, of one shape and in one order."""
    return (solid(a, type_num) and solid(b, type_num)
            and cnp.PyArray_NDIM(<cnp.ndarray>a) == cnp.PyArray_NDIM(<cnp.ndarray>b)
            and same((<cnp.ndarray>a).shape, (<cnp.ndarray>b).shape, cnp.PyArray_NDIM(<cnp.ndarray>a))
            and cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>a) == cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>b))


cdef inline cnp.ndarray in_order(object a):
    """A solid array as it lies in memory: with its channels last, as (N, H, W, C)."""
    cdef cnp.npy_intp[4] order = [0, 2, 3, 1]
    cdef cnp.PyArray_Dims axes
    if cnp.PyArray_IS_C_CONTIGUOUS(<cnp.ndarray>a):
        return <cnp.ndarray>a
    axes.ptr, axes.len = order, 4
    return cnp.PyArray_Transpose(<cnp.ndarray>a, &axes)


cdef inline cnp.ndarray new_like(cnp.ndarray a, int type_num):
    """Memory for a result of the shape and order of a solid array."""
    if cnp.PyArray_IS_C_CONTIGUOUS(a):
        return new_array(cnp.PyArray_NDIM(a), a.shape, type_num)
    return new_images(a.shape, type_num, True)


cdef inline cnp.ndarray new_result(str name, const idx *dims, int type_num, bint last):
    """Images of that size, with channels last or not; the error says what there is no memory for."""
    try:
        return new_images(dims, type_num, last)
    except MemoryError:
        raise MemoryError(f"no memory for {name} of size {[dims[0], dims[1], dims[2], dims[3]]}") from None


cdef inline object sum_of(object a, object b, object out):
    """The sum of two arrays that are alike, in `out`, which may be one of them, unless it is None; None if they are
    not."""
    cdef int real = real_type(a)
    if real < 0 or not alike(a, b, real):
        return None
    if out is None:
        out = new_like(<cnp.ndarray>a, real)
    elif not (alike(out, a, real) and cnp.PyArray_ISWRITEABLE(<cnp.ndarray>out)):
        return None
    passes.add(in_order(a), in_order(b), in_order(out))
    return out


# ---- integers ------------------------------------------------------------------------------------------------------

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


cdef inline bint lengths(object size, int count, idx *out) noexcept:
    """Whether it is a tuple of so many lengths above zero, whose product is no more than memory holds."""
    cdef int i
    cdef double product = 1
    if not (PyTuple_CheckExact(size) and PyTuple_GET_SIZE(size) == count):
        return False
    for i in range(count):
        if not integer(<object>PyTuple_GET_ITEM(size, i), 1, &out[i]):
            return False
        product *= out[i]
    return product < MOST


cdef inline int read(tuple numbers, idx *out) except -1:
    """Copy the integers of a tuple."""
    cdef Py_ssize_t i
    for i in range(len(numbers)):
        out[i] = numbers[i]
    return 0
