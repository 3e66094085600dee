"""Convolution with few channels a group, as in depthwise layers, with channels along the lanes.

Vectors of channels are staged with zeros around them (lane_staging.pxd), so that there are neither masks nor forms of
taps, and a row need not fill a vector. Channels of one group may lie in one vector, if they are 2, 4 or 8 and have as
many filters: a kernel spreads each over its group's lanes.

Forward and input gradient go over images, vectors of channels and bands of rows, of which a task does some; in a band
over the vectors, filters, rows and residues of columns. Outputs that are neighbours in memory are stored where they
belong; rows of pixels are transposed back. A task of the weight gradient is a part of the vectors in a slice of the
(image, band) pairs; the sums of the slices are added up in float64.

The figures behind this are in docs/decisions/depthwise.md.
"""

from libc.stdint cimport uintptr_t
from libc.string cimport memset

from fastconv._native.few_channels cimport (
    Axis, Layer, Slices, copy_number, cut_slices, elements, far_pixels, lay_out_slices, lay_out_taps,
    put_total, set_axes, taps_of,
)
from fastconv._native.kernels cimport (
    FC_WINDOW_RUN, FC_WINDOW_SUMS, fc_ahead, fc_fence, fc_kernels, fc_run, idx, parts,
)
from fastconv._native.lane_staging cimport UNITS, Lanes, Unit, odd_lines, put_lanes, set_lanes, set_unit, stage
from fastconv._native.memory cimport LINE, Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport INPUT_GRADIENT, WEIGHT_GRADIENT, Image, Problem, at, channels_last
from fastconv._native.runtime cimport run_tasks, threads_for
from fastconv._native.tuning cimport FEATURES

cdef enum:
    FOLD = 512                # pixels that float32 sums before they are added to the total in float64
    CHANNELS = 128            # whose sums are kept together


# ---- forward and input gradient ------------------------------------------------------------------------------------

cdef struct LaneOutputs:
    Lanes lanes
    bint dense                # outputs are rows of pixels, which are transposed back
    bint skips                # taps outside of the image may be left out: all are finite
    bint far                  # no cache near holds the source
    bint farthest             # none at all the outputs, of which planes, or else pixels, begin with a line
    idx line                  # vectors of channels in a line
    idx units, per_task
    idx width[2]              # of each residue of columns: outputs in a row,
    idx run[2]                # ... and how many taps of a row are a run that the kernel has a form for
    idx n_taps                # of a filter and a channel
    idx *offsets              # of the taps in what is staged: [residue of rows][residue of columns][row][column]
    char *w                   # [vector][filter][tap][channel of the group][lane]
    char *bias                # [vector][filter][lane], or NULL


cdef struct Scratch:
    char *staged              # [vector][row][column][lane]
    char *tile                # outputs of a unit's vector: [row][column][lane]
    char *dy                  # of the weight gradient: [vector][row][column][lane]
    char *sums                # [vector][filter][tap][channel of the group][lane]


cdef bint set_outputs(LaneOutputs *outputs, const Problem *problem) noexcept nogil:
    cdef Lanes *lanes = &outputs.lanes
    cdef const Axis *columns = &lanes.layer.columns
    cdef const Image *source = &lanes.layer.source
    cdef const Image *y = &lanes.layer.outputs
    cdef idx itemsize = problem.kernels.itemsize, far_bytes = problem.tuning.blocks.few_far_bytes, b, taps
    if not set_lanes(lanes, problem):
        return False
    outputs.n_taps = problem.w.h * problem.w.w
    for b in range(columns.residues):
        taps = taps_of(columns, b)
        outputs.width[b] = parts(y.w - b, columns.residues)
        outputs.run[b] = taps if columns.apart == columns.step and (taps == 3 or taps == 5) else 1
    outputs.dense = not channels_last(y)
    outputs.far = source.s_w != 1 and elements(source) * itemsize >= far_bytes
    outputs.line = LINE // (lanes.kernels.lanes * itemsize)
    outputs.farthest = elements(y) * itemsize >= problem.tuning.blocks.few_farthest_bytes
    if outputs.dense:
        outputs.farthest &= y.h * y.w * itemsize % LINE == 0
    else:
        outputs.farthest &= (lanes.filters == 1 and y.c * itemsize % LINE == 0 and <uintptr_t>y.data % LINE == 0
                             and lanes.together % outputs.line == 0)
    outputs.units = y.n * lanes.bands * parts(lanes.vectors, lanes.together)
    outputs.per_task = max(1, problem.tuning.blocks.few_task // (
        lanes.band * lanes.layer.rows.residues * y.w * lanes.kernels.lanes * lanes.together))
    if lanes.bands > 1:
        # A band moves what the one before has staged: all of an image, if there are as many.
        outputs.per_task = max(outputs.per_task, min(lanes.bands, outputs.units // UNITS))
    return True


cdef void lay_out_outputs(LaneOutputs *outputs, Arena *tables) noexcept nogil:
    cdef Lanes *lanes = &outputs.lanes
    cdef idx itemsize = lanes.kernels.itemsize
    cdef double filters = lanes.vectors * lanes.filters
    outputs.offsets = <idx *>carve(tables, outputs.n_taps, sizeof(idx))
    outputs.w = <char *>carve(tables, filters * outputs.n_taps * lanes.mix * lanes.kernels.lanes, itemsize)
    outputs.bias = <char *>carve(tables, filters * lanes.kernels.lanes, itemsize)
    lay_out_taps(&lanes.layer, tables)


cdef void lay_out_unit(const LaneOutputs *outputs, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef const Lanes *lanes = &outputs.lanes
    cdef idx pixels = max(lanes.band * lanes.layer.rows.residues, outputs.line) * lanes.layer.outputs.w
    scratch.staged = <char *>carve(arena, <double>lanes.together * lanes.pitch, 1)
    scratch.tile = <char *>carve(arena, odd_lines(pixels, lanes.kernels), 1)


cdef void pack_taps(const LaneOutputs *outputs, idx r, idx s, idx n) noexcept nogil:
    """Tap n of each filter and its channels, which is in row r and column s of the filter."""
    cdef const Lanes *lanes = &outputs.lanes
    cdef const Layer *layer = &lanes.layer
    cdef idx itemsize = lanes.kernels.itemsize, width = lanes.kernels.lanes, v, k, c, lane, channel
    cdef const char *source = layer.w.data + (r * layer.w.s_h + s * layer.w.s_w) * itemsize
    cdef const char *filter
    cdef char *to
    for v in range(lanes.vectors):
        for k in range(lanes.filters):
            to = outputs.w + ((v * lanes.filters + k) * outputs.n_taps + n) * lanes.mix * width * itemsize
            for lane in range(width):
                # Lanes beyond the channels repeat the last.
                channel = min(v * width + lane, lanes.channels - 1)
                filter = source + (channel // lanes.mix * layer.w_group + (k if lanes.mix == 1 else channel % lanes.mix)
                                   * layer.w_filter) * itemsize
                for c in range(lanes.mix):
                    copy_number(to + (c * width + lane) * itemsize, filter + c * layer.w_channel * itemsize, itemsize)


cdef void fill_outputs_tables(LaneOutputs *outputs, const Problem *problem) noexcept nogil:
    cdef Lanes *lanes = &outputs.lanes
    cdef Axis *rows = &lanes.layer.rows
    cdef Axis *columns = &lanes.layer.columns
    cdef idx itemsize = lanes.kernels.itemsize, width = lanes.kernels.lanes, a, b, r, s, n = 0, f, v, k, channel
    set_axes(&lanes.layer, problem)
    for a in range(rows.residues):
        for b in range(columns.residues):
            for r in range(rows.first[a], rows.first[a + 1]):
                for s in range(columns.first[b], columns.first[b + 1]):
                    outputs.offsets[n] = ((rows.at[r] - lanes.lowest) * lanes.columns
                                          + lanes.left + columns.at[s]) * width
                    pack_taps(outputs, rows.tap[r], columns.tap[s], n)
                    n += 1
    if problem.bias == NULL:
        outputs.bias = NULL
    else:
        for f in range(lanes.vectors * lanes.filters * width):
            v, k = f // width // lanes.filters, f // width % lanes.filters
            channel = min(v * width + f % width, lanes.channels - 1)
            copy_number(outputs.bias + f * itemsize, problem.bias + (channel * lanes.filters + k) * itemsize, itemsize)
    outputs.skips = lanes.kernels.passes.finite(outputs.w, lanes.vectors * lanes.filters * n * lanes.mix * width)


cdef void run_row(const LaneOutputs *outputs, idx p, idx a, const char *staged, idx f, char *to,
                  idx step) noexcept nogil:
    """Row p of residue a of filter f of all vectors, whose pixels are `step` elements apart."""
    cdef const Lanes *lanes = &outputs.lanes
    cdef const Axis *rows = &lanes.layer.rows
    cdef const Axis *columns = &lanes.layer.columns
    cdef idx itemsize = lanes.kernels.itemsize, width = lanes.kernels.lanes, residues = columns.residues, b, n_cols, tap
    cdef idx first = rows.first[a], r0 = first, r1 = rows.first[a + 1], n_rows = r1 - r0
    cdef const char *bias = outputs.bias + f * width * itemsize if outputs.bias != NULL else NULL
    if outputs.skips:
        while r0 < r1 and p * lanes.step + rows.at[r0] < 0:
            r0 += 1
        while r0 < r1 and p * lanes.step + rows.at[r1 - 1] >= lanes.layer.source.h:
            r1 -= 1
    for b in range(residues):
        n_cols = taps_of(columns, b)
        tap = first * lanes.layer.w.w + n_rows * columns.first[b] + (r0 - first) * n_cols
        lanes.kernels.windows.lanes(to + b * step * itemsize, residues * step, staged, columns.step * width,
                                    outputs.width[b], lanes.mix, (r1 - r0) * n_cols, outputs.run[b],
                                    outputs.offsets + tap,
                                    outputs.w + (f * outputs.n_taps + tap) * lanes.mix * width * itemsize, bias)


cdef void run_vector(const LaneOutputs *outputs, const Unit *unit, idx v, const char *staged,
                     char *tile) noexcept nogil:
    """The outputs of a vector of channels of a unit. They are dense: their steps follow from their sizes."""
    cdef const Lanes *lanes = &outputs.lanes
    cdef const fc_kernels *kernels = lanes.kernels
    cdef const Image *y = &lanes.layer.outputs
    cdef idx itemsize = kernels.itemsize, width = kernels.lanes, residues = lanes.layer.rows.residues, Q = y.w
    cdef idx c = v * width * lanes.filters, channels = min(width, lanes.channels - v * width), k, p, a, row
    cdef idx first = unit.p0 * residues, rows = min(y.h, unit.p1 * residues) - first
    cdef bint direct = not outputs.dense and lanes.filters == 1 and channels == width
    cdef fc_run run
    cdef const char *x
    cdef char *to
    for k in range(lanes.filters):
        to = at(y, itemsize, unit.n, c + k, first, 0)
        x = staged
        for p in range(unit.p0, unit.p1):
            for a in range(residues):
                row = (p - unit.p0) * residues + a
                if row == rows:
                    break
                if direct:
                    if outputs.far and v == unit.v0:
                        kernels.move.fetch(to + row * Q * y.c * itemsize, y.c, Q, (unit.v1 - v) * width)
                    run_row(outputs, p, a, x, v, to + row * Q * y.c * itemsize, y.c)
                    continue
                if outputs.far and outputs.dense and not outputs.farthest:
                    kernels.move.fetch(to + row * Q * itemsize, lanes.filters * y.h * Q, channels, Q)
                run_row(outputs, p, a, x, v * lanes.filters + k, tile + row * Q * width * itemsize, width)
            x += lanes.step * lanes.columns * width * itemsize
        if direct:
            continue
        if not outputs.dense:
            run.offset, run.count = 0, channels
            kernels.move.scatter(tile, width, to, y.c, lanes.filters, rows * Q, 1, &run)
        elif outputs.farthest:
            kernels.move.untranspose_far(to, lanes.filters * y.h * Q, tile, width, channels, rows * Q)
        else:
            kernels.move.untranspose(to, lanes.filters * y.h * Q, tile, width, channels, rows * Q)


cdef void run_lines(const LaneOutputs *outputs, const Unit *unit, idx v, const char *staged, char *tile) noexcept nogil:
    """The outputs of a line of channels of a unit, from v on, a row at a time: these go past the caches."""
    cdef const Lanes *lanes = &outputs.lanes
    cdef const Image *y = &lanes.layer.outputs
    cdef idx width = lanes.kernels.lanes, vector = width * lanes.kernels.itemsize
    cdef idx residues = lanes.layer.rows.residues, row = unit.p0 * residues, p, a, i
    cdef const char *x
    for p in range(unit.p0, unit.p1):
        x = staged + (p - unit.p0) * lanes.step * lanes.columns * vector
        for a in range(min(residues, y.h - row)):
            for i in range(outputs.line):
                run_row(outputs, p, a, x + i * lanes.pitch, v + i, tile + i * vector, outputs.line * width)
            lanes.kernels.move.lines_far(at(y, lanes.kernels.itemsize, unit.n, v * width, row, 0), y.c, tile, y.w)
            row += 1


cdef void run_units(const void *job, idx task, char *memory) noexcept nogil:
    cdef const LaneOutputs *outputs = <const LaneOutputs *>job
    cdef const Lanes *lanes = &outputs.lanes
    cdef idx first = task * outputs.per_task, count = parts(lanes.vectors, lanes.together), i, v, v0
    cdef const char *staged
    cdef Unit unit
    cdef Scratch scratch
    cdef Arena arena = Arena(memory, 0)
    lay_out_unit(outputs, &arena, &scratch)
    memset(scratch.staged, 0, lanes.together * lanes.pitch)
    for i in range(first, min(outputs.units, first + outputs.per_task)):
        v0 = i // lanes.bands % count * lanes.together
        set_unit(&unit, lanes, i // lanes.bands // count, v0, min(lanes.vectors, v0 + lanes.together),
                 i % lanes.bands, i > first)
        stage(lanes, &unit, scratch.staged)
        for v in range(v0, unit.v1):
            staged = scratch.staged + (v - v0) * lanes.pitch
            if outputs.dense or not outputs.farthest:
                run_vector(outputs, &unit, v, staged, scratch.tile)
            elif (v - v0) % outputs.line == 0:
                run_lines(outputs, &unit, v, staged, scratch.tile)
    if outputs.farthest:
        fc_fence()


# ---- weight gradient -----------------------------------------------------------------------------------------------

cdef struct LaneSums:
    Lanes lanes
    idx n_taps                # of a filter and a channel
    idx vector_sums           # vectors of sums that a vector of channels has
    idx tile                  # taps whose sums are made at once
    bint in_place             # dy is read where it lies
    idx dy_row, dy_step       # elements from a row of dy, or a pixel, to the next
    idx dy_pitch              # bytes from a vector of dy's copy to the next
    Slices slices             # with totals [vector][filter][tap][channel of the group][lane]
    idx *offsets              # of each tap


cdef bint set_sums(LaneSums *sums, const Problem *problem) noexcept nogil:
    cdef Lanes *lanes = &sums.lanes
    cdef const Image *dy = &problem.y
    cdef const Image *w = &problem.w
    cdef idx itemsize = problem.kernels.itemsize, width = problem.kernels.lanes, together
    if not set_lanes(lanes, problem):
        return False
    sums.n_taps = w.h * w.w
    sums.vector_sums = lanes.filters * sums.n_taps * lanes.mix
    # Whole rows of taps, whose sums share what they load; or about as many in each tile.
    sums.tile = FC_WINDOW_SUMS // w.w * w.w if 1 < w.w <= 5 else parts(sums.n_taps, parts(sums.n_taps, FC_WINDOW_SUMS))
    together = lanes.together
    if not channels_last(&lanes.layer.source):
        together = parts(lanes.vectors, parts(lanes.vectors, max(1, CHANNELS // width)))
    cut_slices(&sums.slices, dy.n * lanes.bands, lanes.vectors, together, sums.vector_sums * width)
    # Whole vectors of channels that are read once or few times, whose pixels do not fall into few sets of the caches.
    sums.in_place = (lanes.filters == 1 and sums.n_taps <= FC_WINDOW_SUMS and channels_last(dy)
                     and lanes.channels % width == 0 and dy.s_w * itemsize % 2048 != 0)
    sums.dy_row, sums.dy_step = dy.s_h if sums.in_place else dy.w * width, dy.s_w if sums.in_place else width
    sums.dy_pitch = 0 if sums.in_place else odd_lines(lanes.band * dy.w, lanes.kernels)
    return True


cdef void lay_out_sums(LaneSums *sums, Arena *tables) noexcept nogil:
    sums.offsets = <idx *>carve(tables, sums.n_taps, sizeof(idx))
    lay_out_slices(&sums.slices, tables)


cdef void lay_out_slice(const LaneSums *sums, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef const Lanes *lanes = &sums.lanes
    scratch.staged = <char *>carve(arena, <double>lanes.together * lanes.pitch, 1)
    scratch.dy = <char *>carve(arena, <double>lanes.together * sums.dy_pitch, 1)
    scratch.sums = <char *>carve(arena, odd_lines(sums.slices.together * sums.vector_sums, lanes.kernels), 1)


cdef const char *dy_of(const LaneSums *sums, const Unit *unit, idx v, idx k, char *copies) noexcept nogil:
    """Rows of dy of filter k of a vector of channels, where they lie or copied to the lanes."""
    cdef const Lanes *lanes = &sums.lanes
    cdef const Image *dy = &lanes.layer.outputs
    cdef idx width = lanes.kernels.lanes, c = v * width, last = v + 1
    cdef const char *source = at(dy, lanes.kernels.itemsize, unit.n, c * lanes.filters + k, unit.p0, 0)
    cdef char *copy = copies + (v - unit.v0) * sums.dy_pitch
    if sums.in_place:
        return source
    # Of one filter a channel, all vectors of the unit are copied with the first.
    if lanes.filters == 1:
        last = unit.v1
    if lanes.filters > 1 or v == unit.v0:
        put_lanes(lanes.kernels, dy, source, lanes.filters * dy.s_c, min(last * width, lanes.channels) - c,
                  unit.p1 - unit.p0, copy, dy.w, sums.dy_pitch)
    return copy


cdef void fill_offsets(LaneSums *sums, const Problem *problem) noexcept nogil:
    """Where the taps lie in what is staged, which begins with the first one's row and column."""
    cdef idx t
    for t in range(sums.n_taps):
        sums.offsets[t] = (t // problem.w.w * problem.dilation_h * sums.lanes.columns
                           + t % problem.w.w * problem.dilation_w) * sums.lanes.kernels.lanes


cdef idx sum_filter(const LaneSums *sums, idx n_rows, const char *dy, const char *staged, idx pixels, char *to,
                    double *totals, fc_ahead *ahead) noexcept nogil:
    """Add to a filter's sums what rows of dy give, and these to the totals whenever they hold many pixels. `pixels` is
    how many they hold; returns how many they hold then."""
    cdef const Lanes *lanes = &sums.lanes
    cdef const fc_kernels *kernels = lanes.kernels
    cdef idx itemsize = kernels.itemsize, width = kernels.lanes, Q = lanes.layer.outputs.w, p = 0, t, n_taps, here
    cdef idx x_row = lanes.step * lanes.columns * width, x_step = lanes.layer.columns.step * width
    cdef idx count = sums.n_taps * lanes.mix * width
    while p < n_rows:
        here = min(n_rows - p, max(1, FC_WINDOW_RUN // Q))
        if lanes.mix > 1:
            kernels.windows.mix_sums(to, dy, sums.dy_row, sums.dy_step, staged, x_row, x_step, here, Q, lanes.mix,
                                     sums.n_taps, sums.offsets, ahead)
        else:
            t = 0
            while t < sums.n_taps:
                n_taps = min(sums.n_taps - t, sums.tile)
                kernels.windows.lane_sums(to + t * width * itemsize, dy, sums.dy_row, sums.dy_step, staged, x_row,
                                          x_step, here, Q, n_taps, sums.offsets + t, ahead)
                t += n_taps
        dy += here * sums.dy_row * itemsize
        staged += here * x_row * itemsize
        ahead.start = <const char *>ahead.start + here * Q * ahead.step * itemsize
        pixels += here * Q
        p += here
        if pixels >= FOLD:
            kernels.passes.add_to_doubles(totals, to, count)
            memset(to, 0, count * itemsize)
            pixels = 0
    return pixels


cdef void ask_ahead(const LaneSums *sums, const Unit *unit, idx v0, const char *staged, fc_ahead *ahead) noexcept nogil:
    """Bring near the rows of dy that follow a unit's, if they are a run of memory; or always the same line."""
    cdef const Lanes *lanes = &sums.lanes
    cdef const Image *dy = &lanes.layer.outputs
    ahead.start, ahead.step = staged, 0
    if (sums.in_place and v0 == 0 and unit.v1 * lanes.kernels.lanes == dy.s_w and dy.s_h == dy.w * dy.s_w
            and dy.s_n == dy.h * dy.s_h and (unit.p1 < dy.h or unit.n + 1 < dy.n)):
        ahead.start = at(dy, lanes.kernels.itemsize, unit.n, 0, unit.p1, 0)
        ahead.step = lanes.kernels.lanes


cdef void sum_slice(const void *job, idx task, char *memory) noexcept nogil:
    cdef const LaneSums *sums = <const LaneSums *>job
    cdef const Lanes *lanes = &sums.lanes
    cdef idx part = task // sums.slices.n_slices, cut = task % sums.slices.n_slices, v0 = part * sums.slices.together
    cdef idx v1 = min(v0 + sums.slices.together, lanes.vectors), itemsize = lanes.kernels.itemsize, i, v, k, f
    cdef idx units = min(lanes.layer.outputs.n * lanes.bands, (cut + 1) * sums.slices.units)
    cdef idx count = sums.n_taps * lanes.mix * lanes.kernels.lanes
    cdef idx held = 0, before
    cdef bint follows = False
    cdef double *totals = sums.slices.totals + task * sums.slices.pitch
    cdef fc_ahead ahead
    cdef Unit unit
    cdef Scratch scratch
    cdef Arena arena = Arena(memory, 0)
    lay_out_slice(sums, &arena, &scratch)
    memset(scratch.staged, 0, lanes.together * lanes.pitch)
    memset(scratch.sums, 0, (v1 - v0) * lanes.filters * count * itemsize)
    memset(totals, 0, sums.slices.pitch * sizeof(double))
    for i in range(cut * sums.slices.units, units):
        before = held
        for v in range(v0, v1):
            if (v - v0) % lanes.together == 0:
                set_unit(&unit, lanes, i // lanes.bands, v, min(v1, v + lanes.together), i % lanes.bands, follows)
                stage(lanes, &unit, scratch.staged)
                follows = lanes.together == sums.slices.together
                ask_ahead(sums, &unit, v, scratch.staged, &ahead)
            for k in range(lanes.filters):
                f = (v - v0) * lanes.filters + k
                held = sum_filter(sums, unit.p1 - unit.p0, dy_of(sums, &unit, v, k, scratch.dy),
                                  scratch.staged + (v - unit.v0) * lanes.pitch, before,
                                  scratch.sums + f * count * itemsize, totals + f * count, &ahead)
    lanes.kernels.passes.add_to_doubles(totals, <void *>scratch.sums, (v1 - v0) * lanes.filters * count)


cdef void add_slices(const LaneSums *sums) noexcept nogil:
    """dw, out of the totals of all slices."""
    cdef const Lanes *lanes = &sums.lanes
    cdef const Image *w = &lanes.layer.w
    cdef idx itemsize = lanes.kernels.itemsize, width = lanes.kernels.lanes, together = sums.slices.together
    cdef idx f, c, r, s, v, place
    for f in range(w.n):
        v = f // lanes.filters // width
        for c in range(w.c):
            for r in range(w.h):
                for s in range(w.w):
                    place = (v % together * lanes.filters + f % lanes.filters) * sums.n_taps + r * w.w + s
                    place = (place * lanes.mix + c) * width + f // lanes.filters % width
                    put_total(&sums.slices, v // together, place, at(w, itemsize, f, c, r, s), itemsize)


# ---- the doors -----------------------------------------------------------------------------------------------------


cdef void count_moves(const Lanes *lanes, const Image *image, bint single, double *features) noexcept nogil:
    """That an image goes along the lanes, or back; with `single`, channels of a vector are no neighbours in memory."""
    cdef double pixels = <double>image.n * image.h * image.w
    cdef idx width = lanes.kernels.lanes
    if image.s_w == 1:
        features[LANES_TRANSPOSED] += pixels * parts(image.c, width)
    elif single or image.s_c != 1:
        features[LANES_SINGLE] += pixels * image.c
    else:
        features[LANES_COPIED] += pixels * (lanes.channels // width)
        features[LANES_SINGLE] += pixels * (lanes.channels % width)


cdef void lanes_features(const Problem *problem, int *rows, double *features) noexcept nogil:
    cdef LaneOutputs outputs
    cdef LaneSums sums
    cdef bint summing = problem.which == WEIGHT_GRADIENT, runs
    cdef const Lanes *lanes = &sums.lanes if summing else &outputs.lanes
    cdef const Image *y = &lanes.layer.outputs
    cdef const Axis *columns = &lanes.layer.columns
    cdef idx i, taps = problem.w.w, first, pairs = 0
    cdef double vectors
    rows[0] = -1
    # One tap of one group is a plain product of matrices, which is never faster here.
    if problem.groups == 1 and problem.w.h == problem.w.w == 1:
        return
    if not (set_sums(&sums, problem) if summing else set_outputs(&outputs, problem)):
        return
    rows[0] = lanes.mix > 1
    memset(features, 0, FEATURES * sizeof(double))
    vectors = <double>y.n * lanes.vectors * lanes.filters
    if summing:
        features[LANES_PRODUCTS] = vectors * y.h * y.w * sums.n_taps * lanes.mix
        # Two pixels of dy share what a run of taps sees.
        runs = columns.apart == 1 and columns.step == 1
        features[LANES_LOADS] = features[LANES_PRODUCTS] * (
            4.0 / 6 if runs and taps % 3 == 0 else 6.0 / 10 if runs and taps == 5 else 1)
        features[LANES_CALLS] = vectors * parts(sums.n_taps, sums.tile) * parts(y.h, max(1, FC_WINDOW_RUN // y.w))
        features[LANES_TAPS] = (<double>y.n * y.h * y.w / FOLD + sums.slices.n_slices) * lanes.vectors
        features[LANES_TAPS] *= sums.vector_sums
        if not sums.in_place:
            count_moves(lanes, y, lanes.filters > 1, features)
    else:
        # Only pairs of an output row and a row of taps count that meet in the image. All passes have the same.
        for i in range(problem.w.h):
            first = problem.pad_h - i * problem.dilation_h
            pairs += max(0, min(problem.y.h, parts(max(0, problem.x.h + first), problem.stride_h))
                         - parts(max(0, first), problem.stride_h))
        for i in range(columns.residues):
            taps = taps_of(columns, i)
            features[LANES_PRODUCTS] += vectors * pairs * lanes.mix * outputs.width[i] * taps
            # Eight outputs share what a run of taps sees.
            features[LANES_LOADS] += (vectors * pairs * lanes.mix * taps / outputs.run[i]
                                      * (outputs.width[i] + parts(outputs.width[i], 8) * (outputs.run[i] - 1)))
        features[LANES_CALLS] = vectors * y.h * columns.residues
        features[LANES_TAPS] = <double>lanes.vectors * lanes.filters * outputs.n_taps * lanes.mix
        count_moves(lanes, y, lanes.filters > 1, features)
        # Whole vectors of channels are stored where they belong.
        features[LANES_COPIED] = 0
    count_moves(lanes, &lanes.layer.source, False, features)
    # Rows that two bands see are moved.
    features[LANES_COPIED] += (<double>y.n * lanes.vectors * lanes.columns * (lanes.bands - 1)
                               * max(0, lanes.reach + 1 - lanes.step))
    features[LANES_FAR] = far_pixels(&lanes.layer, False, lanes.kernels.itemsize)
    features[LANES_ONE] = 1


cdef int lanes_run(const Problem *problem, int form) except -1:
    cdef const Image *y = &problem.x if problem.which == INPUT_GRADIENT else &problem.y
    cdef double pixels = <double>y.n * y.h * y.w
    cdef LaneOutputs outputs
    cdef LaneSums sums
    cdef Scratch scratch
    cdef Arena tables = Arena(NULL, 0), each = Arena(NULL, 0)
    cdef Workspace workspace
    cdef idx tasks, taps
    cdef int n_threads
    if problem.which == WEIGHT_GRADIENT:
        set_sums(&sums, problem)
        lay_out_sums(&sums, &tables)
        lay_out_slice(&sums, &each, &scratch)
        tasks = sums.slices.n_parts * sums.slices.n_slices
        n_threads = threads_for(pixels * sums.lanes.channels * sums.vector_sums, tasks)
        reserve(&workspace, &tables, &each, n_threads)
        lay_out_sums(&sums, &tables)
        with nogil:
            fill_offsets(&sums, problem)
            run_tasks(sum_slice, &sums, tasks, 1, &workspace)
            add_slices(&sums)
    else:
        set_outputs(&outputs, problem)
        lay_out_outputs(&outputs, &tables)
        lay_out_unit(&outputs, &each, &scratch)
        tasks = parts(outputs.units, outputs.per_task)
        taps = outputs.n_taps * outputs.lanes.mix // outputs.lanes.layer.rows.residues
        n_threads = threads_for(pixels * y.c * (taps // outputs.lanes.layer.columns.residues + 4), tasks)
        if n_threads == 1:
            # A task begins with zeros around what it stages, and one is enough.
            outputs.per_task, tasks = outputs.units, 1
        reserve(&workspace, &tables, &each, n_threads)
        lay_out_outputs(&outputs, &tables)
        with nogil:
            fill_outputs_tables(&outputs, problem)
            run_tasks(run_units, &outputs, tasks, 1, &workspace)
    release(&workspace)
    return 0
