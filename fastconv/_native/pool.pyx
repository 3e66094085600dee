"""Pooling: its doors, and its loop nests over planes and rows of outputs; a kernel computes one row.

Outputs lie along the lanes. Rows are read in place where every window lies inside the image and pixels are dense;
otherwise each plane is first copied, padded with the value that changes nothing: -infinity for the largest, zero for
the sum. Results are dense in C order or with channels last; where images have channels last as well, the loop nests
are those of pool_channels.pyx, and nothing is copied.
"""

cimport numpy as cnp
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from fastconv._native.checks cimport (
    DENSE_RESULT, READ, check_array, check_axis, check_plane, check_real, check_size, check_windows, shape_of,
)
from fastconv._native.kernels cimport FC_POOL_BAND, fc_kernels, idx, parts, up
from fastconv._native.memory cimport Arena, Workspace, carve, get, put, release, reserve
from fastconv._native.pool_channels cimport (
    adaptive_backward_row, adaptive_row, average_backward_rows, average_row, max_backward_image, max_row,
)
from fastconv._native.pooling cimport (
    Pool, Scratch, columns_counted, covered, first_over, inside, last_over, lay_out, of_four, rows_counted, steps,
    window_start, window_stop,
)
from fastconv._native.problem cimport Image, as_image, at
from fastconv._native.runtime cimport Task, kernels_of, run_without_gil, threads_for

cnp.import_array()

cdef enum:
    COUNTED = 1 << 30    # pixels of a plane whose places 32 bits hold


# ---- by planes ----------------------------------------------------------------------------------------------------

cdef inline char *plane_of(const Image *image, idx itemsize, idx plane) noexcept nogil:
    return at(image, itemsize, plane // image.c, plane % image.c, 0, 0)


cdef inline void store_row(char *dst, idx step, const char *row, idx itemsize, idx count) noexcept nogil:
    """A row of outputs to its place, `step` elements apart."""
    cdef idx q
    if step == 1:
        memcpy(dst, row, count * itemsize)
    elif itemsize == 4:
        for q in range(count):
            (<int32_t *>dst)[q * step] = (<const int32_t *>row)[q]
    else:
        for q in range(count):
            (<int64_t *>dst)[q * step] = (<const int64_t *>row)[q]


cdef void forward_plane(const Pool *pool, idx plane, const Scratch *scratch) noexcept nogil:
    """Largest or average of every window of one plane."""
    cdef const fc_kernels *kernels = pool.kernels
    cdef idx itemsize = kernels.itemsize, P = pool.y.h, Q = pool.y.w, height = pool.x.h, pitch = pool.x.s_h
    cdef idx step = 1 if pool.y_dense else pool.y.s_w, p, top, n_rows, offset
    cdef char *x = plane_of(&pool.x, itemsize, plane)
    cdef char *y = plane_of(&pool.y, itemsize, plane)
    cdef char *where = pool.where + (y - pool.y.data) if pool.where != NULL else NULL
    cdef char *row
    cdef char *places
    cdef bint spare
    if (pool.x.s_w != 1 or pitch < 0 or pool.pad_w > 0 or pool.reach > pool.x.w
            or x + ((height - 1) * pitch + pool.x.w + pool.slack) * itemsize > pool.x.end):
        kernels.move.stage(scratch.copy, pool.pitch, x, pitch, pool.x.s_w, height, 0, height, pool.pad_w, pool.x.w,
                           max(0, pool.reach - pool.x.w - pool.pad_w), -INFINITY if pool.largest else 0.0)
        x, pitch = scratch.copy, pool.pitch
    if pool.area and pool.y_dense:
        kernels.pool.average_plane(y, x, pitch, height, P, Q, pool.kernel_h, pool.kernel_w, pool.stride_h,
                                   pool.stride_w, pool.pad_h, pool.area, scratch.row)
        return
    for p in range(P):
        # What a row's last vector writes too much the next row overwrites, but for the plane's last rows.
        spare = not pool.y_dense or (P - 1 - p) * Q < kernels.lanes
        offset = p * pool.y.s_h * itemsize
        row = scratch.row if spare else y + offset
        top = inside(p, pool.stride_h, pool.pad_h, pool.dilation_h)
        n_rows = covered(top, p, pool.stride_h, pool.pad_h, pool.kernel_h, pool.dilation_h, height)
        if pool.largest:
            places = NULL
            if where != NULL:
                places = scratch.places if spare else where + offset
            kernels.pool.max_row(row, places, x + top * pitch * itemsize, pool.dilation_h * pitch, n_rows,
                                 pool.kernel_w, pool.stride_w, pool.dilation_w, top * pool.x.w - pool.pad_w,
                                 pool.dilation_h * pool.x.w, min(top, height - 1) * pool.x.w, pool.table, Q)
            if spare and where != NULL:
                store_row(where + offset, step, places, itemsize, Q)
        else:
            kernels.pool.average_row(row, x + top * pitch * itemsize, pitch, n_rows, pool.kernel_w, pool.stride_w,
                                     rows_counted(pool, p), pool.table, Q)
        if spare:
            store_row(y + offset, step, row, itemsize, Q)


cdef void forward_planes(const void *job, idx run, char *memory) noexcept nogil:
    """A run of planes one after the other."""
    cdef const Pool *pool = <const Pool *>job
    cdef idx first = run * pool.planes // pool.runs, last = (run + 1) * pool.planes // pool.runs, plane, n
    cdef Scratch scratch
    cdef Arena arena = [memory, 0]
    lay_out(pool, &arena, &scratch)
    if pool.joined:
        # Whole vectors reach beyond what they sum: the last planes of all are copied.
        n = max(0, min(last, pool.planes - parts(pool.slack, pool.x.h * pool.x.w)) - first)
        pool.kernels.pool.average_plane(plane_of(&pool.y, pool.kernels.itemsize, first),
                                        plane_of(&pool.x, pool.kernels.itemsize, first), pool.x.w, n * pool.x.h,
                                        n * pool.y.h, pool.y.w, pool.kernel_h, pool.kernel_w, pool.stride_h,
                                        pool.stride_w, 0, pool.area, scratch.row)
        first += n
    for plane in range(first, last):
        forward_plane(pool, plane, &scratch)


cdef void average_backward_plane(const Pool *pool, idx plane, const Scratch *scratch) noexcept nogil:
    """`scratch` holds a row of dx, padded, and one of the windows' shares."""
    cdef const fc_kernels *kernels = pool.kernels
    cdef idx itemsize = kernels.itemsize, width = pool.x.w, Q = pool.y.w, i, p, p0, p1, was0 = -1, was1 = -1
    cdef char *dx = plane_of(&pool.x, itemsize, plane)
    cdef char *dy = plane_of(&pool.y, itemsize, plane)
    cdef char *shares = scratch.row + pool.kernel_w * itemsize
    if of_four(pool):
        kernels.pool.spread_plane(dx, pool.x.h, width, dy, pool.y.h, Q, 1.0 / pool.area)
        return
    memset(scratch.row, 0, pool.row_size * itemsize)
    for i in range(pool.x.h):
        p0 = first_over(pool, i)
        p1 = last_over(pool, i)
        if p0 != was0 or p1 != was1:
            was0, was1 = p0, p1
            memset(shares, 0, Q * itemsize)
            for p in range(p0, p1):
                kernels.pool.share_row(shares, dy + p * Q * itemsize, rows_counted(pool, p), pool.table, Q)
            kernels.pool.spread_row(scratch.copy, width + pool.pad_w, shares, pool.kernel_w, pool.stride_w, Q)
        memcpy(dx + i * width * itemsize, scratch.copy + pool.pad_w * itemsize, width * itemsize)


cdef void average_backward_planes(const void *job, idx run, char *memory) noexcept nogil:
    cdef const Pool *pool = <const Pool *>job
    cdef idx first = run * pool.planes // pool.runs, n = (run + 1) * pool.planes // pool.runs - first, plane
    cdef Scratch scratch
    cdef Arena arena = [memory, 0]
    lay_out(pool, &arena, &scratch)
    if pool.joined:
        pool.kernels.pool.spread_plane(plane_of(&pool.x, pool.kernels.itemsize, first), n * pool.x.h, pool.x.w,
                                       plane_of(&pool.y, pool.kernels.itemsize, first), n * pool.y.h, pool.y.w,
                                       1.0 / pool.area)
        return
    for plane in range(first, first + n):
        average_backward_plane(pool, plane, &scratch)


cdef void max_backward_plane(const void *job, idx plane, char *_scratch) noexcept nogil:
    cdef const Pool *pool = <const Pool *>job
    cdef const fc_kernels *kernels = pool.kernels
    cdef idx height = pool.x.h, width = pool.x.w, P = pool.y.h, Q = pool.y.w
    cdef char *dx = plane_of(&pool.x, kernels.itemsize, plane)
    cdef char *dy = plane_of(&pool.y, kernels.itemsize, plane)
    cdef char *where = pool.where + plane * P * Q * pool.where_size
    # Perhaps each window is the four pixels that are its alone.
    if (pool.where_size == kernels.itemsize and 2 * P <= height and kernels.lanes <= Q and 2 * Q <= width
            and height * width < COUNTED and kernels.pool.spread_max(dx, height, width, dy, where, P, Q)):
        return
    memset(dx, 0, height * width * kernels.itemsize)
    if kernels.pool.scatter_add(dx, height * width, dy, where, pool.where_size == 8, P * Q):
        pool.astray[0] = True


cdef void adaptive_plane(const void *job, idx plane, char *_scratch) noexcept nogil:
    cdef const Pool *pool = <const Pool *>job
    cdef idx itemsize = pool.kernels.itemsize, n = plane // pool.x.c, c = plane % pool.x.c, p, q, h0, w0, n_rows, n_cols
    cdef char *window
    cdef char *y
    if pool.backward:
        memset(at(&pool.x, itemsize, n, c, 0, 0), 0, pool.x.h * pool.x.w * itemsize)
    for p in range(pool.y.h):
        h0 = window_start(p, pool.x.h, pool.y.h)
        n_rows = window_stop(p, pool.x.h, pool.y.h) - h0
        for q in range(pool.y.w):
            w0 = window_start(q, pool.x.w, pool.y.w)
            n_cols = window_stop(q, pool.x.w, pool.y.w) - w0
            window, y = at(&pool.x, itemsize, n, c, h0, w0), at(&pool.y, itemsize, n, c, p, q)
            if pool.backward:
                pool.kernels.pool.window_add(window, pool.x.s_h, n_rows, n_cols,
                                             get(y, 0, itemsize) / (n_rows * n_cols))
            else:
                put(y, 0, pool.kernels.pool.window_mean(window, pool.x.s_h, pool.x.s_w, n_rows, n_cols), itemsize)


# ---- doors --------------------------------------------------------------------------------------------------------

cdef bint is_channels_last(cnp.ndarray a) noexcept:
    """Whether it is dense with channels innermost; an axis of one element may have any stride."""
    if a is None or cnp.PyArray_NDIM(a) != 4:
        return False
    cdef idx stride = cnp.PyArray_ITEMSIZE(a)
    cdef int axis
    for axis in (1, 3, 2, 0):
        if a.shape[axis] != 1 and a.strides[axis] != stride:
            return False
        stride *= a.shape[axis]
    return True


cdef cnp.ndarray laid_out_as(cnp.ndarray a, cnp.ndarray result):
    """A gradient, or places, dense in the order of the result that is made of it: a copy if need be."""
    if a is None or result is None:
        return a
    if cnp.PyArray_IS_C_CONTIGUOUS(result) or not is_channels_last(result):
        return a if cnp.PyArray_IS_C_CONTIGUOUS(a) else a.copy()
    return a if is_channels_last(a) else a.transpose(0, 2, 3, 1).copy().transpose(0, 3, 1, 2)


cdef inline int check_result(cnp.ndarray a, str name, int kind) except -1:
    """Results may have channels last."""
    cdef bint last = a is not None and not cnp.PyArray_IS_C_CONTIGUOUS(a) and is_channels_last(a)
    return check_array(a, name, 4, kind, cnp.NPY_ARRAY_BEHAVED if last else DENSE_RESULT)


cdef int begin(Pool *pool, cnp.ndarray x, cnp.ndarray y, bint largest, bint backward, bint adaptive) except -1:
    """That images and outputs fit each other; `backward` they are dx, the result, and dy."""
    cdef str x_name = "dx" if backward else "x", y_name = "dy" if backward else "y"
    cdef int kind = check_real(x, x_name)
    if backward:
        check_result(x, x_name, kind)
        check_array(y, y_name, 4, kind, READ)
    else:
        check_array(x, x_name, 4, kind, READ)
        check_result(y, y_name, kind)
    check_axis(y, y_name, 0, x.shape[0])
    check_axis(y, y_name, 1, x.shape[1])
    if (x.shape[2] == 0 or x.shape[3] == 0) and cnp.PyArray_SIZE(y):
        raise ValueError(f"images of size {shape_of(x)} have no pixels for outputs of size {shape_of(y)}")
    pool.kernels = kernels_of(cnp.PyArray_ITEMSIZE(x))
    as_image(x, &pool.x)
    as_image(y, &pool.y)
    pool.y_dense = cnp.PyArray_IS_C_CONTIGUOUS(y)
    pool.planes = pool.x.n * pool.x.c if pool.y.h * pool.y.w > 0 else 0
    pool.largest, pool.backward, pool.adaptive, pool.by_channels = largest, backward, adaptive, False
    pool.include_pad, pool.override = True, 0
    pool.where, pool.where_size, pool.entries = NULL, pool.kernels.itemsize, 0
    pool.dilation_h = pool.dilation_w = 1
    return 0


cdef void fill_table(const Pool *pool) noexcept nogil:
    cdef idx i, q, place
    cdef double width
    # Whole vectors are read of the table: past its end it goes on with the last output's.
    for i in range(pool.entries):
        q = i if pool.by_channels else min(i, pool.y.w - 1)
        if pool.largest:
            # A dilated window may have no element in the image at all.
            place = q if pool.by_channels else min(inside(q, pool.stride_w, pool.pad_w, pool.dilation_w), pool.x.w - 1)
            if pool.kernels.itemsize == 4:
                (<int32_t *>pool.table)[i] = <int32_t>place
            else:
                (<int64_t *>pool.table)[i] = place
        else:
            width = 1.0 if pool.by_channels else columns_counted(pool, q)
            put(pool.table, i, width, pool.kernels.itemsize)


cdef int run(Pool *pool, Task task, idx count, double work) except -1:
    """Run so many tasks: rows, planes or images, or if `count` is 0 the planes in one run a thread."""
    cdef Arena tables = [NULL, 0], sizes = [NULL, 0]
    cdef Scratch scratch
    cdef Workspace workspace
    cdef int n_threads = threads_for(work, count if count > 0 else pool.planes)
    if pool.planes == 0:
        if pool.backward:
            memset(pool.x.data, 0, pool.x.n * pool.x.c * pool.x.h * pool.x.w * pool.kernels.itemsize)
        return 0
    carve(&tables, pool.entries, pool.kernels.itemsize)
    lay_out(pool, &sizes, &scratch)
    reserve(&workspace, &tables, &sizes, n_threads)
    # Sums of subnormal numbers are slow; comparisons are not, and need them as they are.
    workspace.keeps_subnormals = pool.largest
    pool.table = <char *>carve(&tables, pool.entries, pool.kernels.itemsize)
    pool.runs = n_threads
    fill_table(pool)
    if count == 0:
        count = n_threads
    run_without_gil(task, pool, count, parts(count, n_threads), &workspace, work)
    release(&workspace)
    return 0


cdef bint goes_by_channels(const Pool *pool, cnp.ndarray result) noexcept:
    """Whether vectors of channels are to be pooled. A gradient is, wherever channels are innermost in it."""
    if pool.backward:
        return not cnp.PyArray_IS_C_CONTIGUOUS(result)
    # Kernels need a vector of channels, and would sum the gaps between pixels too. Results of one pixel are dense in
    # either order: averages over windows that differ keep the order of sums that planes have.
    return (pool.x.s_c == 1 and pool.x.c >= pool.kernels.lanes and pool.x.c <= pool.x.s_w <= 2 * pool.x.c
            and (pool.kernels.itemsize == 8 or pool.x.h * <double>pool.x.w * pool.x.s_w < 2147483648.0)
            and (pool.largest or pool.area != 0 or not pool.y_dense) and is_channels_last(result))


cdef int run_windows(Pool *pool, cnp.ndarray result) except -1:
    cdef idx lanes = pool.kernels.lanes, height = pool.x.h, width = pool.x.w, P = pool.y.h, Q = pool.y.w
    check_windows(P, Q, pool.kernel_h, pool.kernel_w, pool.stride_h, pool.stride_w, pool.pad_h, pool.pad_w,
                  pool.dilation_h, pool.dilation_w, height, width)
    if not -(2.0**60) <= pool.override <= 2.0**60:
        raise ValueError(f"divisor_override must be from -2**60 to 2**60, got {pool.override}")
    if pool.planes == 0:
        return run(pool, NULL, 0, 0)
    # The largest of none is -infinity; an average has no such meaning.
    if not pool.largest and (pool.pad_h >= pool.kernel_h or pool.pad_w >= pool.kernel_w
                             or (P - 1) * pool.stride_h - pool.pad_h >= height
                             or (Q - 1) * pool.stride_w - pool.pad_w >= width):
        raise ValueError(f"windows of {pool.kernel_h} x {pool.kernel_w} lie outside of images of {height} x {width}, "
                         f"with strides {pool.stride_h}, {pool.stride_w} and padding {pool.pad_h}, {pool.pad_w} for "
                         f"{P} x {Q} outputs")
    # Between one window and no other the step may be any.
    if P == 1:
        pool.stride_h = 1
    if Q == 1:
        pool.stride_w = 1
    pool.reach = (Q - 1) * pool.stride_w + (pool.kernel_w - 1) * pool.dilation_w + 1
    pool.slack = 2 * lanes * max(pool.stride_w, 2)
    pool.pitch = max(pool.reach, width + pool.pad_w)
    check_plane(height, pool.pitch, "an image as wide as its windows reach")
    pool.area = 0
    if not pool.largest:
        if pool.override:
            pool.area = pool.override
        elif (((pool.include_pad or pool.pad_h == 0)
               and (P - 1) * pool.stride_h + pool.kernel_h <= height + 2 * pool.pad_h)
                and ((pool.include_pad or pool.pad_w == 0)
                     and (Q - 1) * pool.stride_w + pool.kernel_w <= width + 2 * pool.pad_w)):
            pool.area = pool.kernel_h * pool.kernel_w
    pool.joined = (pool.area > 0 and pool.pad_h == 0 and pool.pad_w == 0 and pool.kernel_h <= pool.stride_h
                   and P * pool.stride_h == height and pool.y_dense
                   and (of_four(pool) if pool.backward else pool.x.s_w == 1 and pool.reach <= width
                        and pool.x.s_h == width and pool.x.s_c == height * width
                        and (pool.planes == pool.x.c or pool.x.s_n == pool.x.c * pool.x.s_c)))
    if pool.backward:
        pool.row_size = pool.kernel_w + max(Q, pool.pitch) + 2 * lanes
    elif pool.largest:
        pool.row_size = Q + lanes
    else:
        pool.row_size = max(FC_POOL_BAND, Q * pool.stride_w) + pool.reach + pool.slack
    cdef double work = 10.0 * pool.planes * P * Q * (pool.kernel_h * <double>pool.kernel_w + 4)
    pool.by_channels = goes_by_channels(pool, result)
    pool.entries = up(pool.x.c if pool.by_channels else Q, lanes)
    if not pool.by_channels:
        return run(pool, average_backward_planes if pool.backward else forward_planes, 0, work)
    if pool.backward:
        return run(pool, average_backward_rows, pool.x.n * steps(pool), work)
    return run(pool, max_row if pool.largest else average_row, pool.x.n * P, work)


cdef void set_windows(Pool *pool, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w, idx pad_h,
                      idx pad_w) noexcept:
    pool.kernel_h, pool.kernel_w, pool.stride_h, pool.stride_w = kernel_h, kernel_w, stride_h, stride_w
    pool.pad_h, pool.pad_w = pad_h, pad_w


cpdef max_forward(cnp.ndarray x, cnp.ndarray y, cnp.ndarray indices, idx kernel_h, idx kernel_w, idx stride_h,
                  idx stride_w, idx pad_h, idx pad_w, idx dilation_h, idx dilation_w):
    """Largest of each window; `indices` takes its place in H*W, or is None.

    They are integers of the element's size and laid out as y.
    """
    cdef Pool pool
    begin(&pool, x, y, True, False, False)
    if indices is not None:
        check_array(indices, "indices", 4, cnp.NPY_INT32 if pool.kernels.itemsize == 4 else cnp.NPY_INT64,
                    DENSE_RESULT if pool.y_dense else cnp.NPY_ARRAY_BEHAVED)
        check_size(indices, "indices", y)
        if not pool.y_dense and not is_channels_last(indices):
            raise ValueError("indices must have channels last, as y has")
        pool.where = <char *>cnp.PyArray_DATA(indices)
    set_windows(&pool, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w)
    pool.dilation_h, pool.dilation_w = dilation_h, dilation_w
    run_windows(&pool, y)


cpdef average_forward(cnp.ndarray x, cnp.ndarray y, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w, idx pad_h,
                      idx pad_w, bint count_include_pad, idx divisor_override):
    """Sum of each window over its divisor."""
    cdef Pool pool
    begin(&pool, x, y, False, False, False)
    set_windows(&pool, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w)
    pool.include_pad, pool.override = count_include_pad, divisor_override
    run_windows(&pool, y)


cpdef average_backward(cnp.ndarray dy, cnp.ndarray dx, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w,
                       idx pad_h, idx pad_w, bint count_include_pad, idx divisor_override):
    """Each output's gradient over its divisor, added to every pixel of its window."""
    cdef Pool pool
    dy = laid_out_as(dy, dx)
    begin(&pool, dx, dy, False, True, False)
    set_windows(&pool, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w)
    pool.include_pad, pool.override = count_include_pad, divisor_override
    run_windows(&pool, dx)


cpdef max_backward(cnp.ndarray dy, cnp.ndarray indices, cnp.ndarray dx):
    """dx[indices] += dy within each plane, from zero; `indices` are of 32 or 64 bits.

    Returns whether all indices are within their plane; those that are not are left out.
    """
    cdef Pool pool
    cdef bint astray = False
    dy, indices = laid_out_as(dy, dx), laid_out_as(indices, dx)
    begin(&pool, dx, dy, True, True, False)
    cdef bint narrow = indices is not None and cnp.PyArray_TYPE(indices) == cnp.NPY_INT32
    check_array(indices, "indices", 4, cnp.NPY_INT32 if narrow else cnp.NPY_INT64, READ)
    check_size(indices, "indices", dy)
    pool.where, pool.where_size, pool.astray = <char *>cnp.PyArray_DATA(indices), 4 if narrow else 8, &astray
    pool.by_channels = not cnp.PyArray_IS_C_CONTIGUOUS(dx)
    # Sums one by one take 3 to 4 cycles each, as much as 50 products, and the zeros before them next to nothing.
    cdef double work = pool.planes * (2.0 * pool.x.h * pool.x.w + 40.0 * pool.y.h * pool.y.w)
    if pool.by_channels:
        run(&pool, max_backward_image, pool.x.n, work)
    else:
        run(&pool, max_backward_plane, pool.planes, work)
    return not astray


cdef int run_adaptive(Pool *pool) except -1:
    cdef double work = 10.0 * pool.planes * pool.x.h * pool.x.w
    check_plane(pool.x.h, pool.x.w, "an image")
    # Windows start and end at products of both sizes.
    check_plane(pool.x.h, pool.y.h + 1, "rows before and after pooling, a product")
    check_plane(pool.x.w, pool.y.w + 1, "columns before and after pooling, a product")
    if not pool.by_channels:
        return run(pool, adaptive_plane, pool.planes, work)
    if pool.backward:
        return run(pool, adaptive_backward_row, pool.x.n * pool.x.h, work)
    return run(pool, adaptive_row, pool.x.n * pool.y.h, work)


cpdef adaptive_average_forward(cnp.ndarray x, cnp.ndarray y):
    """Mean of rows floor(p*H/P) ... ceil((p+1)*H/P), and columns likewise."""
    cdef Pool pool
    begin(&pool, x, y, False, False, True)
    pool.by_channels = pool.x.s_c == 1 and pool.x.c > 1
    run_adaptive(&pool)


cpdef adaptive_average_backward(cnp.ndarray dy, cnp.ndarray dx):
    """Each output's gradient over its window's size, added to every pixel of its window."""
    cdef Pool pool
    begin(&pool, dx, dy, False, True, True)
    pool.by_channels = not cnp.PyArray_IS_C_CONTIGUOUS(dx)
    run_adaptive(&pool)
