"""The last check before memory is read and written, for whoever calls the loop nests without `ops`.

It costs some nanoseconds an array. What passes cannot lead outside of the arrays, nor beyond what a size can hold.
"""

cimport numpy as cnp
from numpy cimport (  # noqa: F401
    NPY_ARRAY_ALIGNED as READ, NPY_ARRAY_CARRAY as DENSE_RESULT, NPY_ARRAY_CARRAY_RO as DENSE,
)

from fastconv._native.kernels cimport idx

cdef enum:
    LARGEST = 1152921504606846976   # 2**60
    RESULT = 0   # where flags are expected: an array that check_result() allows


cdef inline list shape_of(cnp.ndarray a):
    return [cnp.PyArray_DIM(a, i) for i in range(cnp.PyArray_NDIM(a))]


cdef inline int check_array(cnp.ndarray a, str name, int rank, int kind, int flags) except -1:
    """An array of `rank` axes (any number if negative), of NumPy's type number `kind`, in this machine's byte order."""
    if a is None:
        raise TypeError(f"{name} must be an array, got None")
    if cnp.PyArray_TYPE(a) != kind or not cnp.PyArray_ISNOTSWAPPED(a):
        raise TypeError(f"{name} must be of {cnp.PyArray_DescrFromType(kind)}, got {a.dtype}")
    if rank >= 0 and cnp.PyArray_NDIM(a) != rank:
        raise ValueError(f"{name} must have {rank} axes, got size {shape_of(a)}")
    if not cnp.PyArray_CHKFLAGS(a, flags):
        raise ValueError(f"{name} must be aligned{'' if flags == READ else ' and C-contiguous'}"
                         f"{', and writeable' if flags == DENSE_RESULT else ''}, got {a.flags}")
    if cnp.PyArray_SIZE(a) * <double>cnp.PyArray_ITEMSIZE(a) > 2.0**60:
        raise MemoryError(f"{name} of size {shape_of(a)} is too large")
    return 0


cdef inline int check_result(cnp.ndarray a, str name, int kind) except -1:
    """What a pass may write: four axes, dense with the last one innermost, or with channels last."""
    check_array(a, name, 4, kind, READ)
    cdef idx itemsize = cnp.PyArray_ITEMSIZE(a)
    if not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"{name} must be writeable, got {a.flags}")
    if not cnp.PyArray_IS_C_CONTIGUOUS(a) and not (
            a.strides[1] == itemsize and a.strides[3] == a.shape[1] * itemsize
            and a.strides[2] == a.shape[3] * a.strides[3] and a.strides[0] == a.shape[2] * a.strides[2]):
        raise ValueError(f"{name} must be dense, in C order or with channels last, got {a.flags}")
    return 0


cdef inline int check_real(cnp.ndarray a, str name) except -1:
    """NumPy's type number of `a`: one of the two that kernels are compiled for."""
    if a is None:
        raise TypeError(f"{name} must be an array, got None")
    cdef int kind = cnp.PyArray_TYPE(a)
    if kind != cnp.NPY_FLOAT32 and kind != cnp.NPY_FLOAT64:
        raise TypeError(f"{name} must be float32 or float64, got {a.dtype}")
    return kind


cdef inline int check_axis(cnp.ndarray a, str name, int axis, idx size) except -1:
    if cnp.PyArray_DIM(a, axis) != size:
        raise ValueError(f"{name} must have {size} elements on axis {axis}, got size {shape_of(a)}")
    return 0


cdef inline int check_size(cnp.ndarray a, str name, cnp.ndarray b) except -1:
    if cnp.PyArray_SIZE(a) != cnp.PyArray_SIZE(b):
        raise ValueError(f"{name} must have {cnp.PyArray_SIZE(b)} elements, got size {shape_of(a)}")
    return 0


cdef inline int check_number(idx value, str name, idx least) except -1:
    if not least <= value <= <idx>LARGEST:
        raise ValueError(f"{name} must be {f'at least {least}' if value < least else 'at most 2**60'}, got {value}")
    return 0


cdef inline int check_plane(double h, double w, str name) except -1:
    """Up to 2**48 pixels: as many in some thousand channels, which is what is staged at most, can be addressed."""
    if h * w > 2.0**48 or h > 2.0**48 or w > 2.0**48:
        raise MemoryError(f"{name} of {h:.0f} x {w:.0f} pixels is too large")
    return 0


cdef inline int refuse_windows(idx kernel_h, idx kernel_w, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                               idx dilation_h, idx dilation_w) except -1:
    """Raise for the first number that is impossible."""
    check_number(kernel_h, "the kernel's height", 1)
    check_number(kernel_w, "the kernel's width", 1)
    check_number(stride_h, "stride_h", 1)
    check_number(stride_w, "stride_w", 1)
    check_number(dilation_h, "dilation_h", 1)
    check_number(dilation_w, "dilation_w", 1)
    check_number(pad_h, "pad_h", 0)
    check_number(pad_w, "pad_w", 0)
    return 0


cdef inline int check_windows(idx out_h, idx out_w, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w, idx pad_h,
                              idx pad_w, idx dilation_h, idx dilation_w, idx h, idx w) except -1:
    """That windows over images of h x w, at their places, span no more than a plane may."""
    cdef idx least = min(min(min(kernel_h, kernel_w), min(stride_h, stride_w)), min(dilation_h, dilation_w))
    cdef idx most = max(max(max(kernel_h, kernel_w), max(stride_h, stride_w)), max(dilation_h, dilation_w))
    if least < 1 or min(pad_h, pad_w) < 0 or max(most, max(pad_h, pad_w)) > <idx>LARGEST:
        refuse_windows(kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w)
    check_plane(h + <double>pad_h, w + <double>pad_w, "a padded image")
    return check_plane((out_h - 1) * <double>stride_h + (kernel_h - 1) * <double>dilation_h + 1,
                       (out_w - 1) * <double>stride_w + (kernel_w - 1) * <double>dilation_w + 1,
                       "the span of the windows")


cdef inline int check_operand(cnp.ndarray a, str name, int kind, int flags) except -1:
    return check_result(a, name, kind) if flags == RESULT else check_array(a, name, 4, kind, flags)


cdef inline int check_convolution(cnp.ndarray x, int x_flags, cnp.ndarray w, int w_flags, cnp.ndarray y, int y_flags,
                                  idx stride_h, idx stride_w, idx pad_h, idx pad_w, idx dilation_h, idx dilation_w,
                                  idx groups) except -1:
    """That images, filters and outputs fit each other, whichever of the three is to be computed."""
    cdef int kind = check_real(x, "x")
    check_operand(x, "x", kind, x_flags)
    check_operand(w, "w", kind, w_flags)
    check_operand(y, "y", kind, y_flags)
    check_number(groups, "groups", 1)
    if x.shape[1] != groups * <double>w.shape[1] or w.shape[0] % groups or w.shape[0] == 0 or w.shape[1] == 0:
        raise ValueError(f"{groups} groups of filters of size {shape_of(w)} do not fit images of size {shape_of(x)}")
    check_axis(y, "y", 0, x.shape[0])
    check_axis(y, "y", 1, w.shape[0])
    check_windows(y.shape[2], y.shape[3], w.shape[2], w.shape[3], stride_h, stride_w, pad_h, pad_w, dilation_h,
                  dilation_w, x.shape[2], x.shape[3])
    if (x.shape[2] == 0 or x.shape[3] == 0) != (y.shape[2] == 0 or y.shape[3] == 0):
        raise ValueError(f"images of size {shape_of(x)} and outputs of size {shape_of(y)} must be empty together")
    return 0
