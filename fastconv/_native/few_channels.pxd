"""What the rooms of layers with few channels a group share: such a layer as both see it, and its taps.

Forward and input gradient are one computation, an output being a sum over taps of a source, which is x or dy. With a
stride the input gradient has outputs of several residues modulo the stride, each with a subset of the taps of its own;
with stride 1 it is forward with the taps turned around. The weight gradient sees x as forward does, and reads dy.
"""

from fastconv._native.kernels cimport idx, parts, up
from fastconv._native.memory cimport LINE, Arena, carve
from fastconv._native.problem cimport INPUT_GRADIENT, Image, Problem, line_share
from fastconv._native.tuning cimport Tuning

cdef enum:
    LEAST_ROWS = 5            # of outputs in a band that is not a whole plane
    SLICES = 16               # tasks of the weight gradient, about
    MOST_RESIDUES = 4
    # No sizes beyond these are taken, so that tables and the scratch of a thread stay small and no product overflows.
    MOST_TAPS = 1024          # of a filter
    MOST_ROWS = 1 << 30       # of a plane: they are multiplied with the number of their bands
    MOST_BYTES = 1 << 22      # of a band's rows


cdef struct Axis:
    # The rows or the columns. Output i * residues + a sees the source at i * step + at[t] through the filter's row or
    # column tap[t], for each t of residue a: first[a] <= t < first[a + 1].
    idx residues, step
    idx first[MOST_RESIDUES + 1]
    idx least, most           # of all at[t]
    idx apart                 # places from a tap of a residue to its next
    idx *tap
    idx *at                   # ascending within a residue


cdef struct Layer:
    Image source              # x, or dy in the input gradient
    Image outputs             # y, or dx; the weight gradient reads dy here
    Image w                   # the filters, or their gradient
    const Tuning *tuning
    idx groups
    idx channels, filters     # of a group: channels of the source and of the outputs
    idx w_group, w_filter, w_channel   # elements from one to the next in w
    Axis rows, columns


cdef inline bint has_small_windows(const Problem *problem) noexcept nogil:
    """Whether sizes stay within what tables and scratch are made for, and the kernels interleave so many residues."""
    cdef idx filters = problem.w.n // problem.groups, channels = problem.w.c
    cdef const Image *x = &problem.x
    cdef const Image *y = &problem.y
    if min(min(x.h, x.w), min(y.h, y.w)) < 1 or <double>max(channels, filters) * problem.w.h * problem.w.w > MOST_TAPS:
        return False
    if max(x.h, y.h) > MOST_ROWS:
        return False
    if problem.which == INPUT_GRADIENT and (problem.stride_h > MOST_RESIDUES or problem.stride_w > 2):
        return False
    # The rows that a band of few outputs meets, and its columns, both at the least.
    cdef double rows = (problem.w.h - 1.0) * problem.dilation_h + 1 + 16.0 * problem.stride_h
    cdef double columns = x.w + 2.0 * problem.pad_w + (problem.w.w - 1.0) * problem.dilation_w
    columns += (y.w + 64.0) * problem.stride_w
    return rows * columns * max(channels, filters) * 8 <= MOST_BYTES


cdef inline void set_axis(Axis *axis, bint backward, idx n_taps, idx stride, idx pad, idx dilation) noexcept nogil:
    """Sort the taps by residue, into tables if there are any."""
    cdef idx residue, i, tap, place, before = 0, n = 0
    axis.residues, axis.step = stride if backward else 1, 1 if backward else stride
    axis.least, axis.most, axis.apart = 1 << 60, -(1 << 60), 1
    axis.first[0] = 0
    for residue in range(axis.residues):
        for i in range(n_taps):
            # The gradient goes from the last tap to the first, for then the places ascend.
            tap = n_taps - 1 - i if backward else i
            place = tap * dilation - pad
            if backward:
                if (residue - place) % stride != 0:
                    continue
                place = (residue - place) // stride
            if axis.tap != NULL:
                axis.tap[n], axis.at[n] = tap, place
            if n > axis.first[residue]:
                axis.apart = place - before
            axis.least, axis.most = min(axis.least, place), max(axis.most, place)
            before = place
            n += 1
        axis.first[residue + 1] = n


cdef inline idx taps_of(const Axis *axis, idx residue) noexcept nogil:
    return axis.first[residue + 1] - axis.first[residue]


cdef inline void set_axes(Layer *layer, const Problem *problem) noexcept nogil:
    cdef bint backward = problem.which == INPUT_GRADIENT
    set_axis(&layer.rows, backward, problem.w.h, problem.stride_h, problem.pad_h, problem.dilation_h)
    set_axis(&layer.columns, backward, problem.w.w, problem.stride_w, problem.pad_w, problem.dilation_w)


cdef inline void set_layer(Layer *layer, const Problem *problem) noexcept nogil:
    """All but the tables of taps."""
    cdef const Image *w = &problem.w
    layer.w, layer.groups, layer.tuning = w[0], problem.groups, problem.tuning
    layer.source, layer.outputs = problem.x, problem.y
    layer.channels, layer.filters = w.c, w.n // problem.groups
    layer.w_channel, layer.w_filter = w.s_c, w.s_n
    layer.w_group = layer.filters * w.s_n
    if problem.which == INPUT_GRADIENT:
        layer.source, layer.outputs = problem.y, problem.x
        layer.channels, layer.filters = layer.filters, layer.channels
        layer.w_channel, layer.w_filter = layer.w_filter, layer.w_channel
    layer.rows.tap = layer.rows.at = layer.columns.tap = layer.columns.at = NULL
    set_axes(layer, problem)


cdef inline void lay_out_taps(Layer *layer, Arena *tables) noexcept nogil:
    layer.rows.tap = <idx *>carve(tables, layer.w.h, sizeof(idx))
    layer.rows.at = <idx *>carve(tables, layer.w.h, sizeof(idx))
    layer.columns.tap = <idx *>carve(tables, layer.w.w, sizeof(idx))
    layer.columns.at = <idx *>carve(tables, layer.w.w, sizeof(idx))


cdef struct Slices:
    # The weight gradient is done by parts of the channels and by slices of the (image, band) pairs, as the shape alone
    # says and with totals of their own, so that sums never depend on the number of threads.
    idx together, n_parts     # groups, or vectors of channels, in a part
    idx units, n_slices       # pairs in a slice
    idx pitch                 # from the totals of one to those of the next
    double *totals            # [part][slice]


cdef inline void cut_slices(Slices *slices, idx units, idx channels, idx together, idx n_totals) noexcept nogil:
    """For `together` of the `channels` in a part, each with n_totals."""
    slices.together, slices.n_parts = together, parts(channels, together)
    slices.units = parts(units, min(units, parts(SLICES, slices.n_parts)))
    slices.n_slices = parts(units, slices.units)
    slices.pitch = up(together * n_totals, LINE // 8)


cdef inline void lay_out_slices(Slices *slices, Arena *tables) noexcept nogil:
    slices.totals = <double *>carve(tables, <double>slices.n_parts * slices.n_slices * slices.pitch, sizeof(double))


cdef inline void put_total(const Slices *slices, idx part, idx place, void *to, idx itemsize) noexcept nogil:
    """Add up a total of all slices."""
    cdef const double *totals = slices.totals + part * slices.n_slices * slices.pitch + place
    cdef double total = 0
    cdef idx i
    for i in range(slices.n_slices):
        total += totals[i * slices.pitch]
    if itemsize == 4:
        (<float *>to)[0] = <float>total
    else:
        (<double *>to)[0] = total


cdef inline void copy_number(void *to, const void *source, idx itemsize) noexcept nogil:
    if itemsize == 4:
        (<float *>to)[0] = (<const float *>source)[0]
    else:
        (<double *>to)[0] = (<const double *>source)[0]


cdef inline double elements(const Image *image) noexcept nogil:
    return <double>image.n * image.c * image.h * image.w


cdef inline double far_pixels(const Layer *layer, bint by_groups, idx itemsize) noexcept nogil:
    """Elements that move of the arrays of pixels that no cache near holds, group by group or in whole lines."""
    cdef double source = elements(&layer.source), outputs = elements(&layer.outputs)
    cdef idx far = layer.tuning.blocks.few_far_bytes
    source = source if source * itemsize >= far else 0
    outputs = outputs if outputs * itemsize >= far else 0
    if not by_groups:
        return source + outputs
    return (source * line_share(&layer.source, layer.channels, itemsize)
            + outputs * line_share(&layer.outputs, layer.filters, itemsize))
