"""What the loop nests of pooling share: its description, the layout of scratch, and where windows begin and end."""

from libc.stdint cimport int64_t

from fastconv._native.kernels cimport fc_kernels, idx, parts
from fastconv._native.memory cimport Arena, carve
from fastconv._native.problem cimport Image


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


cdef inline void lay_out(const Pool *pool, Arena *arena, Scratch *scratch) noexcept nogil:
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


cdef inline idx covered(idx first, idx out, idx stride, idx pad, idx kernel, idx dilation, idx size) noexcept nogil:
    """How many elements of output `out`'s window, from `first` on, are inside the image; none may be: 0 or less."""
    return parts(min(size, out * stride - pad + (kernel - 1) * dilation + 1) - first, dilation)


cdef inline idx first_over(const Pool *pool, idx i) noexcept nogil:
    """The first row of outputs whose windows see row i of the image, or may."""
    return parts(i + pool.pad_h - pool.kernel_h + 1, pool.stride_h) if i + pool.pad_h >= pool.kernel_h else 0


cdef inline idx last_over(const Pool *pool, idx i) noexcept nogil:
    """... and the one after the last."""
    return min(pool.y.h, (i + pool.pad_h) // pool.stride_h + 1)


cdef inline bint of_four(const Pool *pool) noexcept nogil:
    """Whether windows of 2 x 2 neither overlap nor leave a gap, but at the ends."""
    return (pool.area and pool.pad_h == 0 and pool.pad_w == 0 and pool.kernel_h == 2 and pool.kernel_w == 2
            and (pool.stride_h == 2 or pool.y.h == 1) and (pool.stride_w == 2 or pool.y.w == 1)
            and 2 * pool.y.h <= pool.x.h and 2 * pool.y.w <= pool.x.w)


cdef inline idx steps(const Pool *pool) noexcept nogil:
    """The steps of the windows that begin above the last row of the image and end below its first."""
    return (pool.x.h - 1 + pool.pad_h) // pool.stride_h - pool.pad_h // pool.stride_h + 1


# Adaptive windows share out the image: they begin where a share does, rounded down, and end where it does, rounded up.
cdef inline idx window_start(idx out, idx size, idx outputs) noexcept nogil:
    return out * size // outputs


cdef inline idx window_stop(idx out, idx size, idx outputs) noexcept nogil:
    return ((out + 1) * size + outputs - 1) // outputs
