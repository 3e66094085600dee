"""The loop nests of pooling: over planes and rows of outputs; a kernel computes one row.

Rows are read in place where every window lies inside the image and pixels are dense; otherwise each plane is first
copied, padded with the value that changes nothing: -infinity for the largest, zero for the sum.
"""

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from fastconv._native.checks cimport (
    DENSE, DENSE_RESULT, READ, check_array, check_axis, check_bytes, check_plane, check_real, check_size,
    check_windows, shape_of,
)
from fastconv._native.kernels cimport FC_POOL_BAND, fc_flush_subnormals, fc_kernels, fc_restore_mode, idx, parts, up
from fastconv._native.memory cimport give, take
from fastconv._native.runtime cimport kernels_of, threads_for

cnp.import_array()

cdef enum:
    COUNTED = 1 << 30    # pixels of a plane whose places 32 bits hold


cdef struct Pool:
    const fc_kernels *kern
    char *x              # NCHW of any strides
    char *x_end
    char *y              # dense
    char *where          # indices, of the element's size; or NULL
    idx planes, C, H, W, P, Q
    idx s_n, s_c, s_h, s_w
    idx kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w
    bint largest, include_pad
    idx override         # of the divisor, or 0
    idx reach            # columns from the first window's start to the last one's end
    idx slack            # elements that a kernel may touch past a row's end
    char *columns        # of each output: the first column inside the image, or how many the divisor counts
    idx pitch            # of the padded copy of a plane
    size_t copy_size, row_size
    idx area             # by which the sums of all windows are divided, or 0 where they differ
    bint joined          # planes follow each other without a gap, and so do the rows of their windows: they are as one


cdef inline idx counted(idx out, idx stride, idx pad, idx kernel, idx size, bint include_pad) noexcept nogil:
    """How many rows (or columns) output `out` counts in its divisor: never what hangs over the padded image."""
    cdef idx start = out * stride - pad, stop = min(start + kernel, size + pad)
    if not include_pad:
        start = max(start, 0)
        stop = min(stop, size)
    return stop - start


cdef inline idx inside(idx out, idx stride, idx pad, idx dilation) noexcept nogil:
    """The first element of output `out`'s window that does not precede the image."""
    cdef idx start = out * stride - pad
    return start + parts(-start, dilation) * dilation if start < 0 else start


cdef void fill_columns(const Pool *j) noexcept nogil:
    cdef idx i, q, first
    cdef idx z = j.kern.itemsize
    cdef double width
    # Whole vectors are read of the table: past its end it goes on with the last output's.
    for i in range(up(j.Q, j.kern.lanes)):
        q = min(i, j.Q - 1)
        # A dilated window may have no element in the image at all.
        first = min(inside(q, j.stride_w, j.pad_w, j.dilation_w), j.W - 1)
        width = j.override if j.override else counted(q, j.stride_w, j.pad_w, j.kernel_w, j.W, j.include_pad)
        if z == 4:
            if j.largest:
                (<int32_t *>j.columns)[i] = <int32_t>first
            else:
                (<float *>j.columns)[i] = <float>width
        elif j.largest:
            (<int64_t *>j.columns)[i] = first
        else:
            (<double *>j.columns)[i] = width


cdef void forward_plane(const Pool *j, idx plane, char *scratch) noexcept nogil:
    """Largest or average of every window of one plane."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, p, top, n_rows, at, pitch = j.s_h
    cdef char *x = j.x + (plane // j.C * j.s_n + plane % j.C * j.s_c) * z
    cdef char *row = scratch + j.copy_size
    cdef char *row_where = row + j.row_size
    cdef char *y
    cdef char *where
    cdef bint spare
    if (j.s_w != 1 or j.s_h < 0 or j.pad_w > 0 or j.reach > j.W
            or x + ((j.H - 1) * j.s_h + j.W + j.slack) * z > j.x_end):
        pitch = j.pitch
        kern.move.stage(scratch, pitch, x, j.s_h, j.s_w, j.H, 0, j.H, j.pad_w, j.W, max(0, j.reach - j.W - j.pad_w),
                   -INFINITY if j.largest else 0.0)
        x = scratch
    if not j.largest and j.area:
        kern.pool.average_plane(j.y + plane * j.P * j.Q * z, x, pitch, j.H, j.P, j.Q, j.kernel_h, j.kernel_w, j.stride_h,
                           j.stride_w, j.pad_h, j.area, row)
        return
    for p in range(j.P):
        # What a row's last vector writes too much the next row overwrites, but for the plane's last rows.
        spare = (j.P - 1 - p) * j.Q < kern.lanes
        at = (plane * j.P + p) * j.Q * z
        y = row if spare else j.y + at
        top = inside(p, j.stride_h, j.pad_h, j.dilation_h)
        n_rows = parts(min(j.H, p * j.stride_h - j.pad_h + (j.kernel_h - 1) * j.dilation_h + 1) - top, j.dilation_h)
        if j.largest:
            where = NULL
            if j.where != NULL:
                where = row_where if spare else j.where + at
            kern.pool.max_row(y, where, x + top * pitch * z, j.dilation_h * pitch, n_rows, j.kernel_w, j.stride_w,
                         j.dilation_w, top * j.W - j.pad_w, j.dilation_h * j.W,
                         min(top, j.H - 1) * j.W, j.columns, j.Q)
            if spare and where != NULL:
                memcpy(j.where + at, row_where, j.Q * z)
        else:
            kern.pool.average_row(y, x + top * pitch * z, pitch, n_rows, j.kernel_w, j.stride_w,
                             1.0 if j.override else
                             <double>counted(p, j.stride_h, j.pad_h, j.kernel_h, j.H, j.include_pad),
                             j.columns, j.Q)
        if spare:
            memcpy(j.y + at, row, j.Q * z)


cdef inline bint of_four(const Pool *j) noexcept nogil:
    """Whether windows of 2 x 2 neither overlap nor leave a gap, but at the ends."""
    return (j.area and j.pad_h == 0 and j.pad_w == 0 and j.kernel_h == 2 and j.kernel_w == 2
            and (j.stride_h == 2 or j.P == 1) and (j.stride_w == 2 or j.Q == 1) and 2 * j.P <= j.H and 2 * j.Q <= j.W)


cdef void average_plane_backward(const Pool *j, idx plane, char *scratch) noexcept nogil:
    """Here y is dy, x is dx and both are dense. `scratch` holds a row of dx, padded, and one of the windows' shares."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, i, p, p0, p1, was0 = -1, was1 = -1
    cdef char *x = j.x + plane * j.H * j.W * z
    cdef char *shares = scratch + j.copy_size + j.kernel_w * z
    if of_four(j):
        kern.pool.spread_plane(x, j.H, j.W, j.y + plane * j.P * j.Q * z, j.P, j.Q, 1.0 / j.area)
        return
    memset(scratch + j.copy_size, 0, j.row_size)
    for i in range(j.H):
        p0 = parts(i + j.pad_h - j.kernel_h + 1, j.stride_h) if i + j.pad_h >= j.kernel_h else 0
        p1 = min(j.P, (i + j.pad_h) // j.stride_h + 1)
        if p0 != was0 or p1 != was1:
            was0, was1 = p0, p1
            memset(shares, 0, j.Q * z)
            for p in range(p0, p1):
                kern.pool.share_row(shares, j.y + (plane * j.P + p) * j.Q * z,
                               1.0 if j.override else
                               <double>counted(p, j.stride_h, j.pad_h, j.kernel_h, j.H, j.include_pad),
                               j.columns, j.Q)
            kern.pool.spread_row(scratch, j.W + j.pad_w, shares, j.kernel_w, j.stride_w, j.Q)
        memcpy(x + i * j.W * z, scratch + j.pad_w * z, j.W * z)


cdef void run_planes(const Pool *j, idx first, idx last, bint backward, char *scratch) noexcept nogil:
    cdef idx plane, n = last - first, z = j.kern.itemsize
    cdef unsigned mode = 0
    # Sums of subnormal numbers are slow; comparisons are not, and need them as they are.
    if not j.largest:
        mode = fc_flush_subnormals()
    if j.joined and backward:
        j.kern.pool.spread_plane(j.x + first * j.H * j.W * z, n * j.H, j.W, j.y + first * j.P * j.Q * z, n * j.P, j.Q,
                            1.0 / j.area)
        first = last
    elif j.joined:
        # Whole vectors reach beyond what they sum: the last planes of all are copied.
        n = max(0, min(n, j.planes - parts(j.slack, j.H * j.W) - first))
        j.kern.pool.average_plane(j.y + first * j.P * j.Q * z, j.x + first * j.H * j.W * z, j.W, n * j.H, n * j.P, j.Q,
                             j.kernel_h, j.kernel_w, j.stride_h, j.stride_w, 0, j.area, scratch + j.copy_size)
        first += n
    for plane in range(first, last):
        if backward:
            average_plane_backward(j, plane, scratch)
        else:
            forward_plane(j, plane, scratch)
    if not j.largest:
        fc_restore_mode(mode)


cdef int run(Pool *j, bint backward) except -1:
    cdef idx z = j.kern.itemsize, part
    check_windows(j.P, j.Q, j.kernel_h, j.kernel_w, j.stride_h, j.stride_w, j.pad_h, j.pad_w, j.dilation_h,
                  j.dilation_w, j.H, j.W)
    if not -1152921504606846976 <= j.override <= 1152921504606846976:
        raise ValueError(f"divisor_override must be from -2**60 to 2**60, got {j.override}")
    if j.planes == 0:
        return 0
    # The largest of none is -infinity; an average has no such meaning.
    if not j.largest and (j.pad_h >= j.kernel_h or j.pad_w >= j.kernel_w or (j.P - 1) * j.stride_h - j.pad_h >= j.H
                          or (j.Q - 1) * j.stride_w - j.pad_w >= j.W):
        raise ValueError(f"windows of {j.kernel_h} x {j.kernel_w} lie outside of images of {j.H} x {j.W}, with strides "
                         f"{j.stride_h}, {j.stride_w} and padding {j.pad_h}, {j.pad_w} for {j.P} x {j.Q} outputs")
    # Between one window and no other the step may be any.
    if j.P == 1:
        j.stride_h = 1
    if j.Q == 1:
        j.stride_w = 1
    j.reach = (j.Q - 1) * j.stride_w + (j.kernel_w - 1) * j.dilation_w + 1
    j.slack = 2 * j.kern.lanes * max(j.stride_w, 2)
    j.pitch = max(j.reach, j.W + j.pad_w)
    check_plane(j.H, j.pitch, "an image as wide as its windows reach")
    j.copy_size = up((j.pitch * (1 if backward else j.H) + j.slack) * z, 64)
    j.row_size = up((j.Q + j.kern.lanes) * z, 64)
    if backward:
        j.row_size = up((j.kernel_w + max(j.Q, j.pitch) + 2 * j.kern.lanes) * z, 64)
    j.area = 0
    if not j.largest:
        if j.override:
            j.area = j.override
        elif (((j.include_pad or j.pad_h == 0) and (j.P - 1) * j.stride_h + j.kernel_h <= j.H + 2 * j.pad_h)
                and ((j.include_pad or j.pad_w == 0) and (j.Q - 1) * j.stride_w + j.kernel_w <= j.W + 2 * j.pad_w)):
            j.area = j.kernel_h * j.kernel_w
        if not backward:
            j.row_size = up((max(FC_POOL_BAND, j.Q * j.stride_w) + j.reach + j.slack) * z, 64)
    j.joined = (j.area > 0 and j.pad_h == 0 and j.pad_w == 0 and j.kernel_h <= j.stride_h and j.P * j.stride_h == j.H
                and (of_four(j) if backward else j.s_w == 1 and j.reach <= j.W and j.s_h == j.W and j.s_c == j.H * j.W
                     and (j.planes == j.C or j.s_n == j.C * j.s_c)))
    cdef double taps = j.kernel_h * j.kernel_w
    cdef int n_threads = threads_for(10.0 * j.planes * j.P * j.Q * (taps + 4), j.planes)
    cdef size_t each = j.copy_size + 2 * j.row_size
    check_bytes(j.row_size + n_threads * <double>each)
    cdef size_t size = j.row_size + n_threads * each
    cdef char *memory = <char *>take(size)
    cdef char *scratch = memory + j.row_size
    j.columns = memory
    with nogil:
        fill_columns(j)
        if n_threads == 1:
            run_planes(j, 0, j.planes, backward, scratch)
        else:
            for part in prange(n_threads, num_threads=n_threads, schedule="static"):
                run_planes(j, part * j.planes // n_threads, (part + 1) * j.planes // n_threads, backward,
                           scratch + threadid() * each)
    give(memory, size)
    return 0


cdef int describe(Pool *j, cnp.ndarray x, int x_flags, cnp.ndarray y, int y_flags) except -1:
    cdef int kind = check_real(x, "x")
    check_array(x, "x", 4, kind, x_flags)
    check_array(y, "y", 4, kind, y_flags)
    check_axis(y, "y", 0, x.shape[0])
    check_axis(y, "y", 1, x.shape[1])
    if (x.shape[2] == 0 or x.shape[3] == 0) and cnp.PyArray_SIZE(y):
        raise ValueError(f"images of size {shape_of(x)} have no pixels for outputs of size {shape_of(y)}")
    cdef idx z = cnp.PyArray_ITEMSIZE(x)
    j.kern = kernels_of(z)
    j.x = j.x_end = <char *>cnp.PyArray_DATA(x)
    j.y = <char *>cnp.PyArray_DATA(y)
    j.where = NULL
    j.C, j.H, j.W, j.P, j.Q = x.shape[1], x.shape[2], x.shape[3], y.shape[2], y.shape[3]
    j.planes = x.shape[0] * j.C if j.P * j.Q > 0 else 0
    j.s_n, j.s_c, j.s_h, j.s_w = x.strides[0] // z, x.strides[1] // z, x.strides[2] // z, x.strides[3] // z
    for i in range(4):
        if x.strides[i] > 0:
            j.x_end += (x.shape[i] - 1) * x.strides[i]
    j.x_end += z
    j.include_pad, j.override = True, 0
    j.dilation_h = j.dilation_w = 1
    return 0


cpdef max_forward(cnp.ndarray x, cnp.ndarray y, cnp.ndarray indices, idx kernel_h, idx kernel_w, idx stride_h,
                  idx stride_w, idx pad_h, idx pad_w, idx dilation_h, idx dilation_w):
    """Largest of each window; `indices` (integers of the element's size, or None) takes its place in H*W."""
    cdef Pool j
    describe(&j, x, READ, y, DENSE_RESULT)
    j.largest = True
    if indices is not None:
        check_array(indices, "indices", 4, cnp.NPY_INT32 if j.kern.itemsize == 4 else cnp.NPY_INT64, DENSE_RESULT)
        check_size(indices, "indices", y)
        j.where = <char *>cnp.PyArray_DATA(indices)
    j.kernel_h, j.kernel_w, j.stride_h, j.stride_w = kernel_h, kernel_w, stride_h, stride_w
    j.pad_h, j.pad_w, j.dilation_h, j.dilation_w = pad_h, pad_w, dilation_h, dilation_w
    run(&j, False)


cpdef average_forward(cnp.ndarray x, cnp.ndarray y, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w, idx pad_h,
                      idx pad_w, bint count_include_pad, idx divisor_override):
    """Sum of each window over its divisor."""
    cdef Pool j
    describe(&j, x, READ, y, DENSE_RESULT)
    j.largest, j.include_pad, j.override = False, count_include_pad, divisor_override
    j.kernel_h, j.kernel_w, j.stride_h, j.stride_w = kernel_h, kernel_w, stride_h, stride_w
    j.pad_h, j.pad_w = pad_h, pad_w
    run(&j, False)


cpdef average_backward(cnp.ndarray dy, cnp.ndarray dx, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w,
                       idx pad_h, idx pad_w, bint count_include_pad, idx divisor_override):
    """Each output's gradient over its divisor, added to every pixel of its window; `dx` is dense."""
    cdef Pool j
    if dy is not None and not cnp.PyArray_IS_C_CONTIGUOUS(dy):
        dy = dy.copy()
    describe(&j, dx, DENSE_RESULT, dy, DENSE)
    j.largest, j.include_pad, j.override = False, count_include_pad, divisor_override
    j.kernel_h, j.kernel_w, j.stride_h, j.stride_w = kernel_h, kernel_w, stride_h, stride_w
    j.pad_h, j.pad_w = pad_h, pad_w
    if j.planes == 0:
        memset(j.x, 0, cnp.PyArray_NBYTES(dx))
    run(&j, True)


cpdef max_backward(cnp.ndarray dy, cnp.ndarray indices, cnp.ndarray dx):
    """dx[indices] += dy within each plane, from zero; `dx` is dense, `indices` are of 32 or 64 bits.

    Returns whether all indices are within their plane; those that are not are left out.
    """
    if dy is not None and not cnp.PyArray_IS_C_CONTIGUOUS(dy):
        dy = dy.copy()
    if indices is not None and not cnp.PyArray_IS_C_CONTIGUOUS(indices):
        indices = indices.copy()
    cdef int kind = check_real(dx, "dx")
    check_array(dx, "dx", 4, kind, DENSE_RESULT)
    check_array(dy, "dy", 4, kind, DENSE)
    check_axis(dy, "dy", 0, dx.shape[0])
    check_axis(dy, "dy", 1, dx.shape[1])
    kind = cnp.NPY_INT64
    if indices is not None and cnp.PyArray_TYPE(indices) == cnp.NPY_INT32:
        kind = cnp.NPY_INT32
    check_array(indices, "indices", 4, kind, DENSE)
    check_size(indices, "indices", dy)
    cdef idx z = cnp.PyArray_ITEMSIZE(dx), plane, planes = dx.shape[0] * dx.shape[1]
    cdef const fc_kernels *kern = kernels_of(z)
    cdef idx outside = 0
    cdef char *x = <char *>cnp.PyArray_DATA(dx)
    cdef char *y = <char *>cnp.PyArray_DATA(dy)
    cdef char *where = <char *>cnp.PyArray_DATA(indices)
    cdef idx H = dx.shape[2], W = dx.shape[3], P = dy.shape[2], Q = dy.shape[3], index_size = indices.itemsize
    # Sums one by one take 3 to 4 cycles each, as much as 50 products, and the zeros before them next to nothing.
    cdef int n_threads = threads_for(planes * (2.0 * H * W + 40.0 * P * Q), planes)
    if n_threads == 1:
        with nogil:
            for plane in range(planes):
                outside += max_backward_plane(kern, x + plane * H * W * z, H, W, y + plane * P * Q * z,
                                              where + plane * P * Q * index_size, index_size, P, Q)
        return outside == 0
    for plane in prange(planes, nogil=True, num_threads=n_threads, schedule="static"):
        outside += max_backward_plane(kern, x + plane * H * W * z, H, W, y + plane * P * Q * z,
                                      where + plane * P * Q * index_size, index_size, P, Q)
    return outside == 0


cdef idx max_backward_plane(const fc_kernels *kern, char *x, idx H, idx W, const char *dy, const char *where,
                            idx index_size, idx P, idx Q) noexcept nogil:
    """Returns how many indices are outside the plane."""
    # Perhaps each window is the four pixels that are its alone.
    if (index_size == kern.itemsize and 2 * P <= H and kern.lanes <= Q and 2 * Q <= W and H * W < COUNTED
            and kern.pool.spread_max(x, H, W, dy, where, P, Q)):
        return 0
    memset(x, 0, H * W * kern.itemsize)
    return kern.pool.scatter_add(x, H * W, dy, where, index_size == 8, P * Q)


cdef inline idx window_start(idx out, idx size, idx outputs) noexcept nogil:
    return out * size // outputs


cdef inline idx window_stop(idx out, idx size, idx outputs) noexcept nogil:
    return ((out + 1) * size + outputs - 1) // outputs


cdef void adaptive_plane(const Pool *j, idx plane, bint backward) noexcept nogil:
    cdef idx z = j.kern.itemsize, p, q, h0, h1, w0, w1, at
    cdef char *x = j.x + (plane // j.C * j.s_n + plane % j.C * j.s_c) * z
    cdef char *y = j.y + plane * j.P * j.Q * z
    cdef char *window
    cdef double value
    cdef unsigned mode = fc_flush_subnormals()
    if backward:
        memset(x, 0, j.H * j.W * z)
    for p in range(j.P):
        h0, h1 = window_start(p, j.H, j.P), window_stop(p, j.H, j.P)
        for q in range(j.Q):
            w0, w1 = window_start(q, j.W, j.Q), window_stop(q, j.W, j.Q)
            window = x + (h0 * j.s_h + w0 * j.s_w) * z
            at = p * j.Q + q
            if backward:
                value = (<float *>y)[at] if z == 4 else (<double *>y)[at]
                j.kern.pool.window_add(window, j.s_h, h1 - h0, w1 - w0, value / ((h1 - h0) * (w1 - w0)))
            else:
                value = j.kern.pool.window_mean(window, j.s_h, j.s_w, h1 - h0, w1 - w0)
                if z == 4:
                    (<float *>y)[at] = <float>value
                else:
                    (<double *>y)[at] = value
    fc_restore_mode(mode)


cdef int run_adaptive(Pool *j, bint backward) except -1:
    cdef idx plane
    check_plane(j.H, j.W, "an image")
    # Windows start and end at products of both sizes.
    check_plane(j.H, j.P + 1, "rows before and after pooling, a product")
    check_plane(j.W, j.Q + 1, "columns before and after pooling, a product")
    cdef int n_threads = threads_for(10.0 * j.planes * j.H * j.W, j.planes)
    for plane in prange(j.planes, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        adaptive_plane(j, plane, backward)
    return 0


def adaptive_average_forward(cnp.ndarray x, cnp.ndarray y):
    """Mean of rows floor(p*H/P) ... ceil((p+1)*H/P), and columns likewise."""
    cdef Pool j
    describe(&j, x, READ, y, DENSE_RESULT)
    run_adaptive(&j, False)


def adaptive_average_backward(cnp.ndarray dy, cnp.ndarray dx):
    """Each output's gradient over its window's size, added to every pixel of its window; `dx` is dense."""
    cdef Pool j
    if dy is not None and not cnp.PyArray_IS_C_CONTIGUOUS(dy):
        dy = dy.copy()
    describe(&j, dx, DENSE_RESULT, dy, DENSE)
    if j.planes == 0:
        memset(j.x, 0, cnp.PyArray_NBYTES(dx))
    run_adaptive(&j, True)
