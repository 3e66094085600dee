"""The loop nests of pooling. A kernel computes one row; there are two ways to have rows.

By planes: outputs lie along the lanes. Rows are read in place where every window lies inside the image and pixels are
dense; otherwise each plane is first copied, padded with the value that changes nothing: -infinity for the largest, zero
for the sum.

By channels, where they are neighbours in memory: channels lie along the lanes, and kernels take the pixels of a window
for columns that are as far apart as pixels are. No image is copied, and what hangs over it is left out.
"""

cimport numpy as cnp
from libc.math cimport INFINITY
from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from fastconv._native.checks cimport (
    DENSE, DENSE_RESULT, READ, check_array, check_axis, check_plane, check_real, check_size, check_windows, shape_of,
)
from fastconv._native.kernels cimport FC_POOL_BAND, fc_kernels, idx, parts, up
from fastconv._native.memory cimport Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport Image, as_image, at, channels_last
from fastconv._native.runtime cimport Task, kernels_of, run_without_gil, threads_for

cnp.import_array()

cdef enum:
    COUNTED = 1 << 30    # pixels of a plane whose places 32 bits hold


cdef struct Pool:
    # x and y are images and outputs, or the gradients of both.
    const fc_kernels *kernels
    Image x, y
    char *where          # the places of the largest in their planes, laid out as y; or NULL
    idx where_size       # bytes of a place
    bint *astray         # whether a place is outside of its plane
    idx planes           # 0 where there are no outputs
    idx kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w
    bint largest, adaptive, backward, by_channels
    bint y_dense         # in C order
    bint include_pad
    idx override         # of the divisor, or 0
    idx reach            # columns from the first window's start to the last one's end
    idx slack            # elements that a kernel may touch past a row's end
    idx pitch            # of the padded copy of a plane
    idx row_size         # elements of a row in scratch
    idx area             # by which the sums of all windows are divided, or 0 where they differ
    bint joined          # planes follow each other without a gap, and so do the rows of their windows: they are as one
    idx runs             # that planes come in, one a thread
    # A table for what lies along the lanes. For outputs: the first column inside the image, or how many columns the
    # divisor counts. For channels: the channel, or 1.
    char *table
    idx entries


cdef struct Scratch:
    # Of a thread: a padded plane or a row of one, a row of outputs or sums, and one of places.
    char *copy
    char *row
    char *places


cdef void lay_out(const Pool *pool, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef idx itemsize = pool.kernels.itemsize
    cdef double outputs = <double>pool.y.w * pool.y.c
    if pool.adaptive:
        scratch.row = <char *>carve(arena, pool.x.c if pool.by_channels else 0, sizeof(double))
    elif pool.by_channels and pool.largest:
        scratch.places = <char *>carve(arena, outputs if pool.backward else 0, sizeof(int64_t))
    elif pool.by_channels:
        scratch.row = <char *>carve(arena, outputs if pool.backward else <double>pool.x.w * pool.x.s_w, itemsize)
    elif not (pool.largest and pool.backward):
        scratch.copy = <char *>carve(arena, pool.pitch * (1.0 if pool.backward else pool.x.h) + pool.slack, itemsize)
        scratch.row = <char *>carve(arena, pool.row_size, itemsize)
        scratch.places = <char *>carve(arena, pool.row_size if pool.largest else 0, itemsize)


cdef inline double get(const char *a, idx i, idx itemsize) noexcept nogil:
    return (<const float *>a)[i] if itemsize == 4 else (<const double *>a)[i]


cdef inline void put(char *a, idx i, double value, idx itemsize) noexcept nogil:
    if itemsize == 4:
        (<float *>a)[i] = <float>value
    else:
        (<double *>a)[i] = value


# ---- windows ------------------------------------------------------------------------------------------------------

cdef inline idx counted(idx out, idx stride, idx pad, idx kernel, idx size, bint include_pad) noexcept nogil:
    """How many rows (or columns) output `out` counts in its divisor: never what hangs over the padded image."""
    cdef idx start = out * stride - pad, stop = min(start + kernel, size + pad)
    if not include_pad:
        start = max(start, 0)
        stop = min(stop, size)
    return stop - start


cdef inline double rows_counted(const Pool *pool, idx p) noexcept nogil:
    if pool.override:
        return 1.0
    return counted(p, pool.stride_h, pool.pad_h, pool.kernel_h, pool.x.h, pool.include_pad)


cdef inline double columns_counted(const Pool *pool, idx q) noexcept nogil:
    if pool.override:
        return pool.override
    return counted(q, pool.stride_w, pool.pad_w, pool.kernel_w, pool.x.w, pool.include_pad)


cdef inline idx inside(idx out, idx stride, idx pad, idx dilation) noexcept nogil:
    """The first element of output `out`'s window that does not precede the image."""
    cdef idx start = out * stride - pad
    return start + parts(-start, dilation) * dilation if start < 0 else start


cdef inline idx covered(idx out, idx stride, idx pad, idx kernel, idx dilation, idx size) noexcept nogil:
    """How many elements of output `out`'s window are inside the image; a dilated one may have none, or less."""
    return parts(min(size, out * stride - pad + (kernel - 1) * dilation + 1) - inside(out, stride, pad, dilation),
                 dilation)


cdef inline idx first_over(const Pool *pool, idx i) noexcept nogil:
    """The first row of outputs whose windows see row i of the image, or may."""
    return parts(i + pool.pad_h - pool.kernel_h + 1, pool.stride_h) if i + pool.pad_h >= pool.kernel_h else 0


cdef inline idx last_over(const Pool *pool, idx i) noexcept nogil:
    """... and the one after the last."""
    return min(pool.y.h, (i + pool.pad_h) // pool.stride_h + 1)


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


cdef inline bint of_four(const Pool *pool) noexcept nogil:
    """Whether windows of 2 x 2 neither overlap nor leave a gap, but at the ends."""
    return (pool.area and pool.pad_h == 0 and pool.pad_w == 0 and pool.kernel_h == 2 and pool.kernel_w == 2
            and (pool.stride_h == 2 or pool.y.h == 1) and (pool.stride_w == 2 or pool.y.w == 1)
            and 2 * pool.y.h <= pool.x.h and 2 * pool.y.w <= pool.x.w)


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
        n_rows = covered(p, pool.stride_h, pool.pad_h, pool.kernel_h, pool.dilation_h, height)
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


# ---- by channels --------------------------------------------------------------------------------------------------

# Outputs and gradients are dense here. Where vectors must not reach beyond a pixel's channels the last one moves left to
# fit: `first_of` and `so_many` are the channels of the first call and, where `calls` is 2, the second.

cdef inline idx calls(const Pool *pool) noexcept nogil:
    return 1 if pool.x.c % pool.kernels.lanes == 0 else 2


cdef inline idx first_of(const Pool *pool, idx call) noexcept nogil:
    return 0 if call == 0 else pool.x.c - pool.kernels.lanes


cdef inline idx so_many(const Pool *pool, idx call) noexcept nogil:
    return pool.x.c // pool.kernels.lanes * pool.kernels.lanes if call == 0 else pool.kernels.lanes


cdef void max_row(const void *job, idx task, char *_scratch) noexcept nogil:
    """The largest of every window of one row of outputs."""
    cdef const Pool *pool = <const Pool *>job
    cdef const fc_kernels *kernels = pool.kernels
    cdef idx itemsize = kernels.itemsize, n = task // pool.y.h, p = task % pool.y.h, height = pool.x.h, width = pool.x.w
    cdef idx top = inside(p, pool.stride_h, pool.pad_h, pool.dilation_h), pixel = pool.x.s_w, q, left, n_cols, call, c
    cdef idx n_rows = covered(p, pool.stride_h, pool.pad_h, pool.kernel_h, pool.dilation_h, height), i
    cdef char *y
    cdef char *where = NULL
    for q in range(pool.y.w):
        left = inside(q, pool.stride_w, pool.pad_w, pool.dilation_w)
        n_cols = covered(q, pool.stride_w, pool.pad_w, pool.kernel_w, pool.dilation_w, width)
        for call in range(calls(pool)):
            c = first_of(pool, call)
            y = at(&pool.y, itemsize, n, c, p, q)
            where = pool.where + (y - pool.y.data) if pool.where != NULL else NULL
            kernels.pool.max_row(y, where, at(&pool.x, itemsize, n, c, top, left), pool.dilation_h * pool.x.s_h,
                                 n_rows, n_cols, 1, pool.dilation_w * pixel, (top * width + left) * pixel + c,
                                 pool.dilation_h * width * pixel,
                                 (min(top, height - 1) * width + min(left, width - 1)) * pixel,
                                 pool.table + c * itemsize, so_many(pool, call))
    if where == NULL:
        return
    # The kernel counts elements of the image from its first channel on, a place counts pixels. To divide by a product is
    # exact here: what is less than 2**31 is half an element's share away from the next whole number.
    where = pool.where + (at(&pool.y, itemsize, n, 0, p, 0) - pool.y.data)
    cdef double share = 1.0 / pixel
    for i in range(pool.y.w * pool.x.c):
        if itemsize == 4:
            (<int32_t *>where)[i] = <int32_t>(((<int32_t *>where)[i] + 0.5) * share)
        else:
            (<int64_t *>where)[i] //= pixel


cdef void average_row(const void *job, idx task, char *memory) noexcept nogil:
    """The average of every window of one row of outputs: columns of pixels are summed first."""
    cdef const Pool *pool = <const Pool *>job
    cdef const fc_kernels *kernels = pool.kernels
    cdef idx itemsize = kernels.itemsize, n = task // pool.y.h, p = task % pool.y.h, q, left, n_cols, call, c, row
    cdef idx top = inside(p, pool.stride_h, pool.pad_h, 1), size = (pool.x.w - 1) * pool.x.s_w + pool.x.c
    cdef idx n_rows = covered(p, pool.stride_h, pool.pad_h, pool.kernel_h, 1, pool.x.h)
    cdef char *sums = at(&pool.x, itemsize, n, 0, top, 0)
    cdef Scratch scratch
    cdef Arena arena = [memory, 0]
    lay_out(pool, &arena, &scratch)
    for row in range(top + 1, top + n_rows):
        kernels.passes.add(scratch.row, sums, at(&pool.x, itemsize, n, 0, row, 0), size)
        sums = scratch.row
    for q in range(pool.y.w):
        left = inside(q, pool.stride_w, pool.pad_w, 1)
        n_cols = covered(q, pool.stride_w, pool.pad_w, pool.kernel_w, 1, pool.x.w)
        for call in range(calls(pool)):
            c = first_of(pool, call)
            kernels.pool.average_row(at(&pool.y, itemsize, n, c, p, q), sums + (left * pool.x.s_w + c) * itemsize,
                                     pool.x.s_w, n_cols, 1, 1, rows_counted(pool, p) * columns_counted(pool, q),
                                     pool.table, so_many(pool, call))


cdef void average_backward_rows(const void *job, idx task, char *memory) noexcept nogil:
    """Rows of dx that begin a step of the windows and those up to the next step, which may see the same windows."""
    cdef const Pool *pool = <const Pool *>job
    cdef const fc_kernels *kernels = pool.kernels
    cdef idx itemsize = kernels.itemsize, channels = pool.x.c, size = pool.x.w * channels * itemsize, i, p, q, column
    cdef idx n = task // steps(pool), step = task % steps(pool) + pool.pad_h // pool.stride_h
    cdef idx p0, p1, was0 = -1, was1 = -1, left, n_cols
    cdef char *dx
    cdef char *share
    cdef Scratch scratch
    cdef Arena arena = [memory, 0]
    lay_out(pool, &arena, &scratch)
    for i in range(max(0, step * pool.stride_h - pool.pad_h), min(pool.x.h, (step + 1) * pool.stride_h - pool.pad_h)):
        dx = at(&pool.x, itemsize, n, 0, i, 0)
        p0, p1 = first_over(pool, i), last_over(pool, i)
        if p0 == was0 and p1 == was1:
            memcpy(dx, at(&pool.x, itemsize, n, 0, i - 1, 0), size)
            continue
        was0, was1 = p0, p1
        memset(dx, 0, size)
        memset(scratch.row, 0, pool.y.w * channels * itemsize)
        for q in range(pool.y.w):
            share = scratch.row + q * channels * itemsize
            for p in range(p0, p1):
                kernels.pool.share_row(share, at(&pool.y, itemsize, n, 0, p, q),
                                       rows_counted(pool, p) * columns_counted(pool, q), pool.table, channels)
            left = inside(q, pool.stride_w, pool.pad_w, 1)
            n_cols = covered(q, pool.stride_w, pool.pad_w, pool.kernel_w, 1, pool.x.w)
            for column in range(left, left + n_cols):
                kernels.passes.add(dx + column * channels * itemsize, dx + column * channels * itemsize, share,
                                   channels)


cdef inline idx steps(const Pool *pool) noexcept nogil:
    """The steps of the windows that begin above the last row of the image and end below its first."""
    return (pool.x.h - 1 + pool.pad_h) // pool.stride_h - pool.pad_h // pool.stride_h + 1


cdef void max_backward_image(const void *job, idx n, char *memory) noexcept nogil:
    cdef const Pool *pool = <const Pool *>job
    cdef idx itemsize = pool.kernels.itemsize, channels = pool.x.c, pixels = pool.x.h * pool.x.w, p, q, c, i, place
    cdef char *dx = at(&pool.x, itemsize, n, 0, 0, 0)
    cdef char *dy
    cdef char *where
    cdef Scratch scratch
    cdef Arena arena = [memory, 0]
    lay_out(pool, &arena, &scratch)
    memset(dx, 0, pixels * channels * itemsize)
    for p in range(pool.y.h):
        dy = at(&pool.y, itemsize, n, 0, p, 0)
        where = pool.where + (dy - pool.y.data) // itemsize * pool.where_size
        for q in range(pool.y.w):
            for c in range(channels):
                i = q * channels + c
                place = (<int32_t *>where)[i] if pool.where_size == 4 else (<int64_t *>where)[i]
                (<int64_t *>scratch.places)[i] = place * channels + c if 0 <= place < pixels else -1
        if pool.kernels.pool.scatter_add(dx, pixels * channels, dy, scratch.places, True, pool.y.w * channels):
            pool.astray[0] = True


# ---- adaptive -----------------------------------------------------------------------------------------------------

cdef inline idx window_start(idx out, idx size, idx outputs) noexcept nogil:
    return out * size // outputs


cdef inline idx window_stop(idx out, idx size, idx outputs) noexcept nogil:
    return ((out + 1) * size + outputs - 1) // outputs


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


cdef void adaptive_row(const void *job, idx task, char *memory) noexcept nogil:
    """By channels: a row of outputs, whose sums are in float64 and in the order of pixels as those of a plane are."""
    cdef const Pool *pool = <const Pool *>job
    cdef idx itemsize = pool.kernels.itemsize, n = task // pool.y.h, p = task % pool.y.h, q, h, w, c
    cdef idx h0 = window_start(p, pool.x.h, pool.y.h), h1 = window_stop(p, pool.x.h, pool.y.h), w0, w1
    cdef Scratch scratch
    cdef Arena arena = [memory, 0]
    lay_out(pool, &arena, &scratch)
    cdef double *sums = <double *>scratch.row
    for q in range(pool.y.w):
        w0, w1 = window_start(q, pool.x.w, pool.y.w), window_stop(q, pool.x.w, pool.y.w)
        memset(sums, 0, pool.x.c * sizeof(double))
        for h in range(h0, h1):
            for w in range(w0, w1):
                pool.kernels.passes.add_to_doubles(sums, at(&pool.x, itemsize, n, 0, h, w), pool.x.c)
        for c in range(pool.x.c):
            put(at(&pool.y, itemsize, n, c, p, q), 0, sums[c] / <double>((h1 - h0) * (w1 - w0)), itemsize)


cdef void adaptive_backward_row(const void *job, idx task, char *memory) noexcept nogil:
    """By channels: a row of dx, from the outputs whose windows see it."""
    cdef const Pool *pool = <const Pool *>job
    cdef idx itemsize = pool.kernels.itemsize, n = task // pool.x.h, h = task % pool.x.h, channels = pool.x.c
    cdef idx p = h * pool.y.h // pool.x.h, q, w, w0, w1, c, size
    cdef char *dx
    cdef Scratch scratch
    cdef Arena arena = [memory, 0]
    lay_out(pool, &arena, &scratch)
    memset(at(&pool.x, itemsize, n, 0, h, 0), 0, pool.x.w * channels * itemsize)
    while p < pool.y.h and window_start(p, pool.x.h, pool.y.h) <= h:
        for q in range(pool.y.w):
            w0, w1 = window_start(q, pool.x.w, pool.y.w), window_stop(q, pool.x.w, pool.y.w)
            size = (window_stop(p, pool.x.h, pool.y.h) - window_start(p, pool.x.h, pool.y.h)) * (w1 - w0)
            for c in range(channels):
                put(scratch.row, c, get(at(&pool.y, itemsize, n, c, p, q), 0, itemsize) / size, itemsize)
            for w in range(w0, w1):
                dx = at(&pool.x, itemsize, n, 0, h, w)
                pool.kernels.passes.add(dx, dx, scratch.row, channels)
        p += 1


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
    return check_array(a, name, 4, kind, cnp.NPY_ARRAY_BEHAVED if is_channels_last(a) else DENSE_RESULT)


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


cdef bint goes_by_channels(const Pool *pool, bint last) noexcept:
    """Whether windows are; `last` says whether channels are innermost in the dense one of images and outputs."""
    if pool.backward or not last:
        return last
    # Without channels enough for a vector nothing is gained, with gaps between pixels little. Other averages than of equal
    # windows are summed in another order, and results of one pixel that are dense in either order keep that of planes.
    return (pool.x.s_c == 1 and pool.x.c >= pool.kernels.lanes and pool.x.c <= pool.x.s_w <= 2 * pool.x.c
            and (pool.kernels.itemsize == 8 or pool.x.h * <double>pool.x.w * pool.x.s_w < 2147483648.0)
            and (pool.largest or pool.area != 0 or not pool.y_dense))


cdef int run_windows(Pool *pool, bint last) except -1:
    cdef idx lanes = pool.kernels.lanes, height = pool.x.h, width = pool.x.w, P = pool.y.h, Q = pool.y.w
    check_windows(P, Q, pool.kernel_h, pool.kernel_w, pool.stride_h, pool.stride_w, pool.pad_h, pool.pad_w,
                  pool.dilation_h, pool.dilation_w, height, width)
    if not -1152921504606846976 <= pool.override <= 1152921504606846976:
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
    pool.by_channels = goes_by_channels(pool, last)
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
    """Largest of each window; `indices` (integers of the element's size, laid out as y, or None) takes its place in H*W."""
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
    run_windows(&pool, is_channels_last(y))


cpdef average_forward(cnp.ndarray x, cnp.ndarray y, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w, idx pad_h,
                      idx pad_w, bint count_include_pad, idx divisor_override):
    """Sum of each window over its divisor."""
    cdef Pool pool
    begin(&pool, x, y, False, False, False)
    set_windows(&pool, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w)
    pool.include_pad, pool.override = count_include_pad, divisor_override
    run_windows(&pool, is_channels_last(y))


cpdef average_backward(cnp.ndarray dy, cnp.ndarray dx, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w,
                       idx pad_h, idx pad_w, bint count_include_pad, idx divisor_override):
    """Each output's gradient over its divisor, added to every pixel of its window."""
    cdef Pool pool
    dy = laid_out_as(dy, dx)
    begin(&pool, dx, dy, False, True, False)
    set_windows(&pool, kernel_h, kernel_w, stride_h, stride_w, pad_h, pad_w)
    pool.include_pad, pool.override = count_include_pad, divisor_override
    run_windows(&pool, not cnp.PyArray_IS_C_CONTIGUOUS(dx))


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


def adaptive_average_forward(cnp.ndarray x, cnp.ndarray y):
    """Mean of rows floor(p*H/P) ... ceil((p+1)*H/P), and columns likewise."""
    cdef Pool pool
    begin(&pool, x, y, False, False, True)
    pool.by_channels = pool.x.s_c == 1 and pool.x.c > 1
    run_adaptive(&pool)


def adaptive_average_backward(cnp.ndarray dy, cnp.ndarray dx):
    """Each output's gradient over its window's size, added to every pixel of its window."""
    cdef Pool pool
    begin(&pool, dx, dy, False, True, True)
    pool.by_channels = not cnp.PyArray_IS_C_CONTIGUOUS(dx)
    run_adaptive(&pool)
