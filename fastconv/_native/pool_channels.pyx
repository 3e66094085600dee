"""Pooling by channels, where they are neighbours in memory: channels lie along the lanes.

Kernels take the pixels of a window for rows or columns that are as far apart as pixels are. No image is copied, what
hangs over it is left out, and results are written with channels last, dense. Vectors must not reach beyond a pixel's
channels: where these are no whole number of vectors, the last one moves left to fit, and is a call of its own.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy, memset

from fastconv._native.kernels cimport fc_kernels, idx
from fastconv._native.memory cimport Arena, get, put
from fastconv._native.pooling cimport (
    Pool, Scratch, columns_counted, covered, first_over, inside, last_over, lay_out, rows_counted, steps,
    window_start, window_stop,
)
from fastconv._native.problem cimport at


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
    cdef idx n_rows = covered(top, p, pool.stride_h, pool.pad_h, pool.kernel_h, pool.dilation_h, height), i
    cdef char *y
    cdef char *where = NULL
    for q in range(pool.y.w):
        left = inside(q, pool.stride_w, pool.pad_w, pool.dilation_w)
        n_cols = covered(left, q, pool.stride_w, pool.pad_w, pool.kernel_w, pool.dilation_w, width)
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
    # The kernel counts elements, c + pixel * place, and a place counts pixels. The product with 1 / pixel is exact for
    # what is below 2**31: half an element more keeps it away from whole numbers by more than it is rounded.
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
    cdef idx n_rows = covered(top, p, pool.stride_h, pool.pad_h, pool.kernel_h, 1, pool.x.h)
    cdef char *sums = at(&pool.x, itemsize, n, 0, top, 0)
    cdef Scratch scratch
    cdef Arena arena = [memory, 0]
    lay_out(pool, &arena, &scratch)
    for row in range(top + 1, top + n_rows):
        kernels.passes.add(scratch.row, sums, at(&pool.x, itemsize, n, 0, row, 0), size)
        sums = scratch.row
    for q in range(pool.y.w):
        left = inside(q, pool.stride_w, pool.pad_w, 1)
        n_cols = covered(left, q, pool.stride_w, pool.pad_w, pool.kernel_w, 1, pool.x.w)
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
            n_cols = covered(left, q, pool.stride_w, pool.pad_w, pool.kernel_w, 1, pool.x.w)
            for column in range(left, left + n_cols):
                kernels.passes.add(dx + column * channels * itemsize, dx + column * channels * itemsize, share,
                                   channels)


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
