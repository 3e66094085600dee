"""The loop nests of convolution with few channels a group: depthwise layers, with or without a multiplier.

Nothing is packed and, where rows are dense, nothing is copied: a kernel reads rows of pixels where they lie, through a
table of a band's rows, and keeps its sums in registers. A row above or below the image is a row of zeros in that table;
a row that whole vectors cannot be read from is a copy. Columns beside the image are masked in the kernel.

Forward and input gradient are one nest. With stride 1 the gradient is forward on dy with the taps turned around; else
rows of one residue modulo the stride see one subset of the taps' rows, and even and odd columns one of their columns
each, which the kernel interleaves as it stores them.

Rows that fill no vector, and arrays with channels last, go another way: a vector of channels is copied with zeros
around it, channels along the lanes, where neither is a mask needed nor a form of taps; results are transposed back.
"""

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.string cimport memcpy, memmove, memset

from fastconv._native.checks cimport DENSE_RESULT, READ, check_array, check_axis, check_convolution
from fastconv._native.kernels cimport (
    FC_WINDOW_RUN, FC_WINDOW_SUMS, FC_WINDOW_TAPS, fc_ahead, fc_fence, fc_flush_subnormals, fc_kernels,
    fc_restore_mode, fc_tap, fc_windows, idx, parts, up,
)
from fastconv._native.memory cimport LINE, give, take
from fastconv._native.problem cimport Image, as_image
from fastconv._native.runtime cimport kernels_of, threads_for

cnp.import_array()

cdef enum:
    BAND = 4096               # outputs in a band of rows: what it reads stays in L1 or near it
    LEAST_ROWS = 5            # of a band that is not a whole plane
    TASK = 16384              # outputs in a task
    FOLD = 4096               # pixels that float32 sums before they are added to the total in float64
    # The same with channels along the lanes: outputs and pixels of each of them, and groups in all.
    LANE_BAND = 1024
    LANE_BYTES = 196608       # staged where channels are neighbours
    LANE_UNITS = 8            # pieces of the work there, at the least
    LANE_FOLD = 512
    LANE_GROUPS = 128         # whose sums are kept together
    FAR = 1 << 21             # bytes of an array that no cache near holds
    FARTHEST = 1 << 24        # ... that no cache holds
    GROUPS = 32               # whose sums of the weight gradient are kept together
    SLICES = 16
    MOST_FILTERS = 2          # a group
    MOST_TAPS = 1024
    MOST_ROWS = 1 << 30
    MOST_BYTES = 1 << 22      # copied rows of a band


cdef bint possible(int which, idx H, idx W, idx c, idx k, idx R, idx S, idx P, idx Q, idx stride_h, idx stride_w,
                   idx pad_h, idx pad_w, idx dilation_h, idx dilation_w) noexcept:
    """Whether these nests can do it: small windows, and no stride over 2 that the input gradient would interleave."""
    if min(min(H, W), min(P, Q)) < 1 or <double>c * R * S > MOST_TAPS or <double>k * R * S > MOST_TAPS:
        return False
    # Rows are multiplied with the number of their bands.
    if max(H, P) > MOST_ROWS:
        return False
    if which == 1 and (stride_h > 4 or stride_w > 2):
        return False
    # Both at the least: the rows that a band meets, and the columns.
    cdef double rows = (R - 1.0) * dilation_h + 1 + 16.0 * stride_h
    cdef double cols = W + 2.0 * pad_w + (S - 1.0) * dilation_w + (Q + 64.0) * stride_w
    return rows * cols * max(c, k) * 8 <= MOST_BYTES


cdef inline bint fills(idx groups, idx lanes) noexcept nogil:
    """Whether few lanes of the vectors of so many channels are idle."""
    return 4 * groups >= 3 * up(groups, lanes)


cdef inline bint channels_last(const Image *x) noexcept nogil:
    """Whether channels are neighbours in memory."""
    return x.s_c == 1 and x.s_w != 1


cdef inline bint mixes(idx channels, idx lanes) noexcept nogil:
    """Whether a kernel has groups of so many channels along the lanes."""
    return channels <= lanes and (channels == 2 or channels == 4 or channels == 8)


cdef bint takes(int which, const Image *x, idx H, idx W, idx K, idx c, idx R, idx S, idx P, idx Q, idx stride_h,
                idx stride_w, idx pad_h, idx pad_w, idx dilation_h, idx dilation_w, idx groups,
                idx itemsize) noexcept:
    """Whether pass `which` (forward, input or weight gradient) is faster in these nests than in the general ones."""
    cdef idx lanes = kernels_of(itemsize).lanes, width = W // stride_w if which == 1 else Q
    # Groups of few channels that are neighbours in memory, or of one.
    cdef bint few = (channels_last(x) and c * groups == K and mixes(c, lanes) and 2 * K >= lanes if c > 1 else
                     K // groups <= MOST_FILTERS and (2 * width > lanes or fills(groups, lanes)))
    return (few and R * S > 1
            and possible(which, H, W, c, K // groups, R, S, P, Q, stride_h, stride_w, pad_h, pad_w, dilation_h,
                         dilation_w))


# ---- where rows come from ------------------------------------------------------------------------------------------

cdef struct Rows:
    # The table of a band: of each channel of a group, the rows from `lowest` to `lowest + reach` beside its first
    # output, and on by `step` for each output more. A channel's rows begin where the former's of a full band would end.
    const fc_kernels *kern
    Image x
    idx C
    idx lowest, reach, step
    idx left, right          # columns -left ... right of every row are read
    bint direct              # rows lie dense and in order
    char *zeros              # a row of them
    char *mask               # a row of ones where there are pixels, and zeros
    idx band                 # rows of outputs at the most
    idx together             # vectors of channels that are staged at once
    idx mix                  # neighbours along the lanes that see each other: channels of a group, or 1


cdef inline idx table_rows(const Rows *j, idx outputs) noexcept nogil:
    return (outputs - 1) * j.step + j.reach + 1


cdef inline idx pitch(const Rows *j) noexcept nogil:
    return up(j.left + j.right, 16) + 16


cdef void see_columns(Rows *j, idx least, idx most, idx outputs, idx stride, idx *start,
                      idx *stop) noexcept nogil:
    """Widen what is read by columns from `least` to `most` for a row of outputs, and set which of these stay inside."""
    start[0] = parts(-least, stride) if least < 0 else 0
    stop[0] = (j.x.w - 1 - most) // stride + 1 if j.x.w > most else 0
    j.left = max(j.left, -least)
    j.right = max(j.right, max(outputs, j.kern.lanes) * stride + most)


cdef size_t borders_size(const Rows *j) noexcept nogil:
    return 2 * up(pitch(j) * j.kern.itemsize, LINE)


cdef void set_borders(Rows *j, char *memory) noexcept nogil:
    cdef idx z = j.kern.itemsize
    memset(memory, 0, borders_size(j))
    j.zeros = memory + j.left * z
    j.mask = j.zeros + up(pitch(j) * z, LINE)
    memset(j.mask, 255, j.x.w * z)


cdef size_t scratch_size(const Rows *j) noexcept nogil:
    cdef idx rows = j.C * table_rows(j, j.band)
    return up(rows * pitch(j) * j.kern.itemsize, LINE) + up(rows * sizeof(void *), LINE)


cdef const void **set_rows(const Rows *j, idx n, idx g, idx first, idx outputs, char *scratch) noexcept nogil:
    """The table of rows for `outputs` rows of outputs, whose first has its lowest tap at row `first` of the image."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, wide = pitch(j), count = table_rows(j, outputs), c, i, h
    cdef const void **rows = <const void **>scratch
    cdef const void **to
    cdef char *copy = scratch + up(j.C * table_rows(j, j.band) * sizeof(void *), LINE)
    cdef char *plane
    cdef char *row
    cdef idx top = max(first, 0), bottom = min(first + count, j.x.h)
    cdef bint direct
    for c in range(j.C):
        to = rows + c * table_rows(j, j.band)
        plane = j.x.data + (n * j.x.s_n + (g * j.C + c) * j.x.s_c) * z
        # Only the first and the last planes of an array lie too close to its ends.
        direct = (j.direct and top < bottom and plane + (top * j.x.s_h - j.left) * z >= j.x.data
                  and plane + ((bottom - 1) * j.x.s_h + j.right) * z <= j.x.end)
        for i in range(count):
            h = first + i
            # Of a row outside of the image there may be no address.
            if h < top or h >= bottom:
                to[i] = j.zeros
                continue
            row = plane + h * j.x.s_h * z
            if direct or (j.direct and row - j.left * z >= j.x.data and row + j.right * z <= j.x.end):
                to[i] = row
            else:
                kern.move.stage(copy, wide, row, 0, j.x.s_w, 1, 0, 1, j.left, j.x.w, j.right - j.x.w, 0)
                to[i] = copy + j.left * z
                copy += wide * z
    return rows


# ---- channels along the lanes --------------------------------------------------------------------------------------

cdef bint by_lanes(Rows *j, idx groups, idx filters, idx least, idx most, idx stride, idx width) noexcept nogil:
    """Whether channels go along the lanes, of a copy [row][column][lane] with zeros around it, and its columns."""
    cdef idx lanes = j.kern.lanes
    # Channels that are neighbours in memory, of groups that have a kernel, or rows that fill no more than a vector.
    j.mix = j.C
    if j.C > 1 and not (j.C == filters and mixes(j.C, lanes) and channels_last(&j.x)):
        return False
    if not (width <= lanes and fills(groups, lanes) if j.x.s_w == 1 else j.x.s_c == 1 and 2 * groups * j.C >= lanes):
        return False
    cdef idx left = max(0, -least), right = max(j.x.w, (width - 1) * stride + most + 1)
    if (j.reach + 1.0 + 2.0 * LEAST_ROWS * j.step) * (left + right) * LINE > MOST_BYTES:
        return False
    j.left, j.right = left, right
    return True


cdef inline idx stage_pitch(const Rows *j) noexcept nogil:
    return j.left + j.right


cdef size_t lanes_size(const Rows *j, idx pixels) noexcept nogil:
    # An odd number of lines: the same pixel of many vectors would fall into one cache set.
    return up(pixels * j.kern.lanes * j.kern.itemsize, LINE) | LINE


cdef void put_lanes(const fc_kernels *kern, const Image *x, char *src, idx s_c, idx channels, idx n_rows, char *dst,
                    idx columns, idx apart) noexcept nogil:
    """Put rows of some channels, s_c apart, along the lanes of vectors `apart` bytes apart."""
    cdef idx far = max(0, (n_rows - 1) * x.s_h) + max(0, (channels - 1) * s_c)
    far += max(x.w, kern.lanes) if x.s_w == 1 else max(0, (x.w - 1) * x.s_w) + kern.lanes
    kern.windows.to_lanes(dst, columns, apart // kern.itemsize, src, x.s_h, s_c, x.s_w, channels, n_rows, x.w,
                  src + far * kern.itemsize <= x.end)


cdef struct Unit:
    # Rows p0 ... p1 of outputs of vectors v0 ... v1 of an image's channels, which see `count` rows from `first` on.
    idx n, p0, p1, v0, v1
    idx first, count
    idx held, at             # of these the first that the unit before has staged, and from which row on


cdef void set_unit(Unit *unit, const Rows *j, idx n, idx v0, idx v1, idx p0, idx p1, bint follows) noexcept nogil:
    """With `follows`, unit is the one before, of the same channels."""
    cdef idx first = p0 * j.step + j.lowest
    unit.held = max(0, unit.first + unit.count - first) if follows else 0
    unit.at = first - unit.first if follows else 0
    unit.n, unit.p0, unit.p1, unit.v0, unit.v1 = n, p0, p1, v0, v1
    unit.first, unit.count = first, (p1 - p0 - 1) * j.step + j.reach + 1


cdef void stage_lanes(const Rows *j, const Unit *unit, idx G, char *dst, size_t size) noexcept nogil:
    """What a unit sees, vectors `size` bytes apart; beside its columns lie zeros."""
    cdef idx first = unit.first, count = unit.count, v0 = unit.v0, v1 = unit.v1
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes, row = stage_pitch(j) * lanes * z, v
    cdef idx start = first + unit.held, c = v0 * lanes
    cdef idx top = min(max(start, 0), first + count), bottom = max(top, min(first + count, j.x.h))
    for v in range(v1 - v0):
        memmove(dst + v * size, dst + v * size + unit.at * row, unit.held * row)
        memset(dst + v * size + unit.held * row, 0, (top - start) * row)
        memset(dst + v * size + (bottom - first) * row, 0, (first + count - bottom) * row)
    if bottom > top:
        put_lanes(j.kern, &j.x, j.x.data + (unit.n * j.x.s_n + c * j.x.s_c + top * j.x.s_h) * z, j.x.s_c,
                  min(v1 * lanes, G) - c, bottom - top, dst + (top - first) * row + j.left * lanes * z,
                  stage_pitch(j), size)


cdef idx cut_lanes(Rows *j, idx images, idx outputs, idx written, idx vectors) noexcept nogil:
    """cut_bands(), of the vectors of channels that are staged together, and how many these are."""
    cdef idx lanes = j.kern.lanes, row = stage_pitch(j) * lanes * j.kern.itemsize
    cdef idx line = max(1, LINE // (lanes * j.kern.itemsize)), most = LANE_BAND // max(written, j.step * stage_pitch(j))
    cdef idx least = LEAST_ROWS
    j.together = 1
    if channels_last(&j.x):
        # Rows that the next band sees too are moved, so that it may be low.
        least = max(2, j.reach // j.step)
        # As many neighbours of a pixel as some rows have room for; a band as high as the room is then.
        j.together = max(line, LANE_BYTES // (row * table_rows(j, min(outputs, least))) // line * line)
        # Few images are shared out among threads by channels.
        j.together = min(j.together, parts(vectors, parts(LANE_UNITS, images * parts(outputs, 16))))
        j.together = min(vectors, up(parts(vectors, parts(vectors, j.together)), line))
        most = min(most, (LANE_BYTES // (row * j.together) - j.reach - 1) // j.step + 1)
    cdef idx bands = max(1, min(parts(outputs, max(1, most)), outputs // least))
    j.band = parts(outputs, bands)
    return bands


# ---- forward and input gradient ------------------------------------------------------------------------------------

cdef struct Sight:
    # What rows row0, row0 + rows_step, ... of y see.
    fc_windows windows
    idx first
    char *w                  # of each filter, its taps in order
    idx w_size


cdef struct Gather:
    Rows rows
    idx N, G, K
    char *y                  # dense
    idx H, W                 # its size
    idx n_sights             # one for each residue of y's rows
    Sight *sights
    idx outputs              # rows of each
    idx bands
    char *bias               # dense, or NULL


cdef void gather_band(const Gather *j, idx n, idx g, idx band, char *scratch) noexcept nogil:
    cdef const fc_kernels *kern = j.rows.kern
    cdef idx z = kern.itemsize, p0 = 0, p1 = j.outputs, k, i, f, row, count
    cdef const void **rows
    cdef const Sight *s
    if j.bands > 1:
        p0, p1 = band * j.outputs // j.bands, (band + 1) * j.outputs // j.bands
    rows = set_rows(&j.rows, n, g, p0 * j.rows.step + j.rows.lowest, p1 - p0, scratch)
    for k in range(j.K):
        f = g * j.K + k
        for i in range(j.n_sights):
            s = &j.sights[i]
            row = p0 * j.n_sights + i
            # The last residues may have a row less.
            count = p1 - p0 - (1 if row + (p1 - p0 - 1) * j.n_sights >= j.H else 0)
            if count > 0:
                kern.windows.rows(j.y + ((n * j.G * j.K + f) * j.H + row) * j.W * z, j.n_sights * j.W, count, rows,
                             &s.windows, s.w + f * s.w_size * z, j.bias + f * z if j.bias != NULL else NULL)


cdef void gather_task(const Gather *j, idx first, idx last, char *scratch) noexcept nogil:
    cdef unsigned mode = fc_flush_subnormals()
    cdef idx band = first % j.bands, g = first // j.bands % j.G, n = first // j.bands // j.G
    for _ in range(first, last):
        gather_band(j, n, g, band, scratch)
        band += 1
        if band == j.bands:
            band = 0
            g += 1
        if g == j.G:
            g = 0
            n += 1
    fc_restore_mode(mode)


cdef void choose_block(fc_windows *s, idx n_rows, idx n_cols, bint dense, idx outputs) noexcept nogil:
    """The block of taps, of n_rows x n_cols in all, that the kernels have a form for."""
    s.height = s.span = 1
    if not dense or outputs < 4 or s.step != s.stride:
        return
    if s.phases == 2:
        if s.step == 1 and (n_rows == 2 or n_rows == 3):
            s.height = n_rows
    elif n_rows == n_cols and (s.step == 1 and (n_rows == 3 or n_rows == 5) or s.step == 2 and n_rows == 3):
        s.height, s.span = n_rows, n_cols
    elif s.step == 1 and n_rows == 7 or s.step == 2 and n_rows == 5:
        s.height = n_rows


cdef idx cut_bands(Rows *j, idx outputs, idx written) noexcept nogil:
    """In how many bands `outputs` rows are done, each `written` pixels: by what is read, or by what is written."""
    cdef idx pixels = outputs * max(written, j.step * (j.left + j.right))
    cdef idx bands = max(1, min(parts(pixels, BAND), outputs // LEAST_ROWS))
    j.band = parts(outputs, bands)
    return bands


cdef struct Spot:
    # The taps of a residue of y's rows and columns.
    idx n_rows, n_cols
    const idx *rows          # of the source, ascending, for y's first
    const idx *offsets
    idx at                   # of the first among a filter's taps
    idx run                  # of neighbouring taps, as far apart as outputs, that the kernel has a form for
    idx width                # outputs of a row


cdef struct Lanes:
    Gather j
    idx phases, stride
    Spot *spots              # [row's residue][column's]
    idx n_taps               # of a filter
    char *w                  # [vector][filter][tap][lane]
    char *bias               # [vector][filter][lane], or NULL
    bint skips               # taps outside of the image may be left out: all are finite
    bint far, farthest       # x and y lie in no cache near; y in none at all, and its planes begin with a line
    size_t stage_size


cdef void gather_vector(const Lanes *s, const Unit *unit, idx v, const char *stage, char *y) noexcept nogil:
    """A vector of channels of a unit."""
    cdef const Gather *j = &s.j
    cdef const fc_kernels *kern = j.rows.kern
    cdef idx z = kern.itemsize, lanes = kern.lanes, channels = min(lanes, j.G - v * lanes), step = j.rows.step
    cdef idx n = unit.n, p0 = unit.p0, p1 = unit.p1, k, p, a, b, r0, r1, row, f, at
    cdef idx pitch = stage_pitch(&j.rows), rows = min(j.H, p1 * j.n_sights) - p0 * j.n_sights
    cdef const Spot *spot
    cdef const char *x
    cdef const char *bias
    cdef char *dst
    cdef char *to
    for k in range(j.K):
        f = v * j.K + k
        bias = s.bias + f * lanes * z if s.bias != NULL else NULL
        dst = j.y + ((n * j.G * j.K + v * lanes * j.K + k) * j.H + p0 * j.n_sights) * j.W * z
        for p in range(p0, p1):
            x = stage + (p - p0) * step * pitch * lanes * z
            for a in range(j.n_sights):
                row = (p - p0) * j.n_sights + a
                if row == rows:
                    break
                if s.far and not s.farthest:
                    kern.move.fetch(dst + row * j.W * z, j.K * j.H * j.W, channels, j.W)
                for b in range(s.phases):
                    spot = &s.spots[a * s.phases + b]
                    r0, r1 = 0, spot.n_rows
                    if s.skips:
                        while r0 < r1 and p * step + spot.rows[r0] < 0:
                            r0 += 1
                        while r0 < r1 and p * step + spot.rows[r1 - 1] >= j.rows.x.h:
                            r1 -= 1
                    to = y + (row * j.W + b) * lanes * z
                    at = r0 * spot.n_cols
                    kern.windows.lanes(to, s.phases * lanes, x, s.stride * lanes, spot.width, j.rows.mix,
                                      (r1 - r0) * spot.n_cols, spot.run, spot.offsets + at,
                                      s.w + (f * s.n_taps + spot.at + at) * j.rows.mix * lanes * z, bias)
        (kern.move.untranspose_far if s.farthest else kern.move.untranspose)(dst, j.K * j.H * j.W, y, lanes, channels,
                                                                   rows * j.W)


cdef void next_unit(const Gather *j, idx index, Unit *unit, bint follows) noexcept nogil:
    cdef idx vectors = parts(j.G, j.rows.kern.lanes), count = parts(vectors, j.rows.together), band = index % j.bands
    cdef idx v0 = index // j.bands % count * j.rows.together
    set_unit(unit, &j.rows, index // j.bands // count, v0, min(vectors, v0 + j.rows.together),
             band * j.outputs // j.bands, (band + 1) * j.outputs // j.bands, follows and band > 0)


cdef void gather_vectors(const Lanes *s, idx first, idx last, char *stage) noexcept nogil:
    cdef const Gather *j = &s.j
    cdef Unit unit
    cdef unsigned mode = fc_flush_subnormals()
    cdef idx i, v
    memset(stage, 0, j.rows.together * s.stage_size)
    for i in range(first, last):
        next_unit(j, i, &unit, i > first)
        stage_lanes(&j.rows, &unit, j.G, stage, s.stage_size)
        for v in range(unit.v0, unit.v1):
            gather_vector(s, &unit, v, stage + (v - unit.v0) * s.stage_size,
                          stage + j.rows.together * s.stage_size)
    if s.farthest:
        fc_fence()
    fc_restore_mode(mode)


cdef int gather_lanes(Gather *j, const Image *w, idx w_g, idx w_k, idx w_c, idx *tap_r, idx *tap_row, idx *tap_s,
                      idx *tap_col, idx *counts, idx stride, idx phases) except -1:
    """gather() with channels along the lanes."""
    cdef Lanes s
    cdef Rows *rows = &s.j.rows
    cdef Spot *spot
    cdef idx z = j.rows.kern.itemsize, lanes = j.rows.kern.lanes, mix = j.rows.mix, vectors, a, b, r, c, i, k, g
    cdef idx row0, col0, n = 0, lane, f, n_cols, at
    if mix > 1:
        # Each channel by itself, but for the taps, of which it has as many as its group has channels.
        j.G, j.K = j.G * mix, 1
    vectors = parts(j.G, lanes)
    s.j = j[0]
    s.phases, s.stride = phases, stride
    s.j.bands = cut_lanes(rows, j.N, j.outputs, j.n_sights * j.W, vectors)
    s.n_taps = 0
    for a in range(j.n_sights):
        for b in range(phases):
            s.n_taps += counts[a] * counts[j.n_sights + b]
    cdef size_t spots_size = up(j.n_sights * phases * sizeof(Spot), LINE)
    cdef size_t offsets_size = up(s.n_taps * sizeof(idx), LINE)
    cdef size_t w_size = up(vectors * j.K * s.n_taps * mix * lanes * z, LINE)
    cdef size_t bias_size = up(vectors * j.K * lanes * z, LINE)
    s.stage_size = lanes_size(rows, table_rows(rows, rows.band) * stage_pitch(rows))
    s.far = rows.x.s_w != 1 and <double>j.N * j.G * rows.x.h * rows.x.w * z >= FAR
    s.farthest = <double>j.N * j.G * j.K * j.H * j.W * z >= FARTHEST and j.H * j.W * z % LINE == 0
    cdef size_t each = rows.together * s.stage_size + lanes_size(rows, rows.band * j.n_sights * j.W)
    cdef idx units = j.N * s.j.bands * parts(vectors, rows.together), task
    cdef idx per_task = max(1, TASK // (rows.band * j.n_sights * j.W * lanes * rows.together))
    if s.j.bands > 1:
        # A band moves what the one before has staged: all of an image, if there are as many.
        per_task = max(per_task, min(s.j.bands, units // LANE_UNITS))
    cdef idx tasks = parts(units, per_task)
    cdef double work = <double>j.N * j.G * j.K * j.H * j.W * (s.n_taps * mix // j.n_sights // phases + 4)
    cdef int n_threads = threads_for(work, tasks)
    cdef size_t size = spots_size + offsets_size + w_size + bias_size + n_threads * each
    cdef char *memory = <char *>take(size)
    cdef char *scratch = memory + spots_size + offsets_size + w_size + bias_size
    cdef idx *offsets = <idx *>(memory + spots_size)
    s.spots = <Spot *>memory
    s.w = memory + spots_size + offsets_size
    s.bias = s.w + w_size if j.bias != NULL else NULL
    with nogil:
        row0 = 0
        for a in range(j.n_sights):
            col0 = 0
            for b in range(phases):
                spot = &s.spots[a * phases + b]
                n_cols = counts[j.n_sights + b]
                spot.n_rows, spot.n_cols, spot.rows = counts[a], n_cols, tap_row + row0
                spot.offsets, spot.at, spot.width = offsets + n, n, parts(j.W - b, phases)
                spot.run = n_cols if n_cols == 3 or n_cols == 5 else 1
                for c in range(col0 + 1, col0 + n_cols):
                    if tap_col[c] - tap_col[c - 1] != stride:
                        spot.run = 1
                for i in range(counts[a] * n_cols):
                    r, c = row0 + i // n_cols, col0 + i % n_cols
                    offsets[n] = ((tap_row[r] - rows.lowest) * stage_pitch(rows) + rows.left + tap_col[c]) * lanes
                    for f in range(vectors * j.K * lanes * mix):
                        # Lanes beyond the channels repeat the last.
                        lane, g = f % lanes, f // lanes // mix
                        k = min(g // j.K * lanes + lane, j.G - 1)
                        k = (k // mix * w_g + (g % j.K if mix == 1 else k % mix) * w_k + f // lanes % mix * w_c
                             + tap_r[r] * w.s_h + tap_s[c] * w.s_w)
                        at = ((g * s.n_taps + n) * mix + f // lanes % mix) * lanes + lane
                        if z == 4:
                            (<float *>s.w)[at] = (<float *>w.data)[k]
                        else:
                            (<double *>s.w)[at] = (<double *>w.data)[k]
                    n += 1
                col0 += n_cols
            row0 += counts[a]
        for f in range(vectors * j.K * lanes if s.bias != NULL else 0):
            k = min(f // lanes // j.K * lanes + f % lanes, j.G - 1) * j.K + f // lanes % j.K
            memcpy(s.bias + f * z, j.bias + k * z, z)
        s.skips = rows.kern.passes.finite(s.w, vectors * j.K * s.n_taps * mix * lanes)
        if n_threads == 1:
            gather_vectors(&s, 0, units, scratch)
        else:
            for task in prange(tasks, num_threads=n_threads, schedule="dynamic"):
                gather_vectors(&s, task * per_task, min(units, (task + 1) * per_task), scratch + threadid() * each)
    give(memory, size)
    return 0


cdef int gather(Gather *j, const Image *w, idx w_g, idx w_k, idx w_c, idx *tap_r, idx *tap_row, idx *tap_s,
                idx *tap_col, idx *counts, idx stride, idx phases) except -1:
    """Run what is set. Of sight i, counts[i] rows of taps, tap_row ascending; of each phase, counts[n_sights + ...]
    columns of taps. tap_r and tap_s say which taps of w these are."""
    cdef Rows *rows = &j.rows
    cdef idx z = rows.kern.itemsize, i, t, c, r, b, k, n_rows, n_cols, n, at, outputs, q
    cdef bint dense
    cdef idx n_taps = 0, phase_cols = counts[j.n_sights] + (counts[j.n_sights + 1] if phases == 2 else 0)
    rows.lowest, rows.reach = 1 << 60, -(1 << 60)
    for i in range(j.n_sights):
        n_taps += counts[i] * phase_cols * rows.C
    r = 0
    for i in range(j.n_sights):
        for _ in range(counts[i]):
            rows.lowest = min(rows.lowest, tap_row[r])
            rows.reach = max(rows.reach, tap_row[r])
            r += 1
    if r == 0:
        rows.lowest = rows.reach = 0
    rows.reach -= rows.lowest
    j.outputs = parts(j.H, j.n_sights)
    cdef size_t sights_size = up(j.n_sights * sizeof(Sight), LINE), taps_size = up((n_taps + 1) * sizeof(fc_tap), LINE)
    cdef size_t w_size = up((j.G * j.K * n_taps + 1) * z, LINE)
    cdef char *tables = <char *>take(sights_size + taps_size + w_size)
    cdef fc_tap *tap = <fc_tap *>(tables + sights_size)
    cdef char *packed = tables + sights_size + taps_size
    cdef Sight *sight
    cdef fc_windows *s
    j.sights = <Sight *>tables
    rows.left, rows.right = 0, rows.x.w
    cdef idx row0 = 0, f, least = tap_col[0], most = tap_col[0], start, stop
    for t in range(phase_cols):
        least, most = min(least, tap_col[t]), max(most, tap_col[t])
    # Columns of residues that are interleaved have too few taps each to pay for transposing them.
    if (phases == 1 or rows.x.s_w != 1 or j.W <= rows.kern.lanes) and by_lanes(
            rows, j.G, j.K, least, most, stride, parts(j.W, phases)):
        give(tables, sights_size + taps_size + w_size)
        return gather_lanes(j, w, w_g, w_k, w_c, tap_r, tap_row, tap_s, tap_col, counts, stride, phases)
    see_columns(rows, least, most, parts(j.W, phases), stride, &start, &stop)
    j.bands = cut_bands(rows, j.outputs, j.W * j.n_sights)
    for i in range(j.n_sights):
        sight = &j.sights[i]
        n_rows = counts[i]
        outputs = min(j.outputs, max(0, parts(j.H - i, j.n_sights)))
        sight.w, sight.w_size = packed, n_rows * phase_cols * rows.C
        s = &sight.windows
        s.width, s.step, s.stride, s.phases, s.taps = j.W, rows.step, stride, phases, tap
        dense = True
        for t in range(1, n_rows):
            dense = dense and tap_row[row0 + t] == tap_row[row0 + t - 1] + 1
        if phases == 1:
            for t in range(1, phase_cols):
                dense = dense and tap_col[t] == tap_col[t - 1] + 1
        choose_block(s, n_rows, phase_cols, dense, outputs)
        n = 0
        for f in range(-1, j.G * j.K):
            # Once for where the blocks read, then for the taps of each filter.
            at = 0
            for b in range(phases):
                n_cols = counts[j.n_sights + b]
                s.n_blocks[b] = n_cols // s.span * (n_rows // s.height) * rows.C
                for c in range(rows.C):
                    # Not by range(): it counts in Python's integers where the step is no constant.
                    t = 0
                    while t < n_cols:
                        r = 0
                        while r < n_rows:
                            if f < 0:
                                tap[n].row = tap_row[row0 + r] - rows.lowest + c * table_rows(rows, rows.band)
                                tap[n].col = tap_col[at + t]
                                n += 1
                            for q in range(s.height * s.span if f >= 0 else 0):
                                k = ((f // j.K) * w_g + f % j.K * w_k + c * w_c + tap_r[row0 + r + q % s.height] * w.s_h
                                     + tap_s[at + t + q // s.height] * w.s_w)
                                if z == 4:
                                    (<float *>packed)[0] = (<float *>w.data)[k]
                                else:
                                    (<double *>packed)[0] = (<double *>w.data)[k]
                                packed += z
                            r += s.height
                        t += s.span
                at += n_cols
        s.start, s.stop = start, stop
        tap += n
        row0 += n_rows
    cdef idx per_task = max(1, TASK // (rows.band * j.n_sights * j.W)), tasks, task
    cdef idx units = j.N * j.G * j.bands
    tasks = parts(units, per_task)
    cdef int n_threads = threads_for(<double>j.N * j.G * j.K * j.H * j.W * (n_taps // j.n_sights // phases + 4), tasks)
    cdef size_t each = scratch_size(rows), size = borders_size(rows) + n_threads * each
    cdef char *memory = NULL
    cdef char *scratch
    try:
        memory = <char *>take(size)
        set_borders(rows, memory)
        scratch = memory + borders_size(rows)
        for i in range(j.n_sights):
            j.sights[i].windows.mask = rows.mask
        with nogil:
            if n_threads == 1:
                gather_task(j, 0, units, scratch)
            else:
                for task in prange(tasks, num_threads=n_threads, schedule="dynamic"):
                    gather_task(j, task * per_task, min(units, (task + 1) * per_task), scratch + threadid() * each)
    finally:
        give(tables, sights_size + taps_size + w_size)
        if memory != NULL:
            give(memory, size)
    return 0


cdef int prepare(Rows *j, cnp.ndarray x, idx C) noexcept:
    j.kern = kernels_of(cnp.PyArray_ITEMSIZE(x))
    as_image(x, &j.x)
    j.C = C
    j.direct = j.x.s_w == 1 and j.x.s_n >= 0 and j.x.s_c >= 0 and j.x.s_h >= 0
    return 0


cdef int refuse(cnp.ndarray w) except -1:
    raise ValueError(f"windows of {w.shape[2]}x{w.shape[3]} taps at these strides are for the general loop nests")


cpdef forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx stride_h, idx stride_w, idx pad_h,
              idx pad_w, idx dilation_h, idx dilation_w, idx groups):
    """y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]: equation 12.3."""
    cdef Gather j
    cdef Image f
    cdef idx r, s
    cdef idx counts[2]
    check_convolution(x, READ, w, READ, y, DENSE_RESULT, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
                      groups)
    if b is not None:
        check_array(b, "b", 1, cnp.PyArray_TYPE(x), READ)
        check_axis(b, "b", 0, w.shape[0])
    if cnp.PyArray_SIZE(y) == 0:
        return
    as_image(w, &f)
    if not possible(0, x.shape[2], x.shape[3], f.c, f.n // groups, f.h, f.w, y.shape[2], y.shape[3], stride_h, stride_w,
                    pad_h, pad_w, dilation_h, dilation_w):
        refuse(w)
    prepare(&j.rows, x, f.c)
    if b is not None and not cnp.PyArray_IS_C_CONTIGUOUS(b):
        b = b.copy()
    j.N, j.G, j.K = y.shape[0], groups, f.n // groups
    j.y, j.H, j.W = <char *>cnp.PyArray_DATA(y), y.shape[2], y.shape[3]
    j.bias = <char *>cnp.PyArray_DATA(b) if b is not None else NULL
    j.n_sights, j.rows.step = 1, stride_h
    counts[0], counts[1] = f.h, f.w
    cdef idx *table = <idx *>take(2 * (f.h + f.w) * sizeof(idx))
    cdef idx *tap_row = table + f.h
    cdef idx *tap_s = tap_row + f.h
    cdef idx *tap_col = tap_s + f.w
    for r in range(f.h):
        table[r], tap_row[r] = r, r * dilation_h - pad_h
    for s in range(f.w):
        tap_s[s], tap_col[s] = s, s * dilation_w - pad_w
    try:
        gather(&j, &f, j.K * f.s_n, f.s_n, f.s_c, table, tap_row, tap_s, tap_col, counts, stride_w, 1)
    finally:
        give(table, 2 * (f.h + f.w) * sizeof(idx))


cpdef input_gradient(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                     idx dilation_h, idx dilation_w, idx groups):
    """dx[n,c,i,j] = sum_{k,r,s} w[k,c,r,s] dy[n,k,p,q] over p*stride_h + r*dilation_h - pad_h = i, and so for j."""
    cdef Gather j
    cdef Image f
    cdef idx r, s, a, n = 0
    cdef idx counts[6]
    check_convolution(dx, DENSE_RESULT, w, READ, dy, READ, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
                      groups)
    if cnp.PyArray_SIZE(dx) == 0:
        return
    as_image(w, &f)
    if not possible(1, dx.shape[2], dx.shape[3], f.c, f.n // groups, f.h, f.w, dy.shape[2], dy.shape[3], stride_h,
                    stride_w, pad_h, pad_w, dilation_h, dilation_w):
        refuse(w)
    prepare(&j.rows, dy, f.n // groups)
    j.N, j.G, j.K = dx.shape[0], groups, f.c
    j.y, j.H, j.W = <char *>cnp.PyArray_DATA(dx), dx.shape[2], dx.shape[3]
    j.bias = NULL
    j.n_sights, j.rows.step = stride_h, 1
    # Every tap serves one residue. From the last on, they see ascending rows and columns of dy.
    cdef idx *table = <idx *>take(2 * (f.h + f.w) * sizeof(idx))
    cdef idx *tap_row = table + f.h
    cdef idx *tap_s = tap_row + f.h
    cdef idx *tap_col = tap_s + f.w
    for a in range(stride_h):
        counts[a] = 0
        for r in range(f.h - 1, -1, -1):
            if (a + pad_h - r * dilation_h) % stride_h == 0:
                table[n], tap_row[n] = r, (a + pad_h - r * dilation_h) // stride_h
                counts[a] += 1
                n += 1
    n = 0
    for a in range(stride_w):
        counts[stride_h + a] = 0
        for s in range(f.w - 1, -1, -1):
            if (a + pad_w - s * dilation_w) % stride_w == 0:
                tap_s[n], tap_col[n] = s, (a + pad_w - s * dilation_w) // stride_w
                counts[stride_h + a] += 1
                n += 1
    try:
        gather(&j, &f, j.rows.C * f.s_n, f.s_c, f.s_n, table, tap_row, tap_s, tap_col, counts, 1, stride_w)
    finally:
        give(table, 2 * (f.h + f.w) * sizeof(idx))


# ---- weight gradient -----------------------------------------------------------------------------------------------

cdef struct Correlate:
    Rows rows
    Image dy
    idx N, G, K, T
    fc_windows windows
    fc_tap *taps             # of a group's channels; the last repeated to fill a tile
    idx *slots               # of each sum, its tap, or -1
    idx *spans               # of each tile
    idx tiles, n_sums        # tiles, and their sums
    idx bands
    idx groups, g_parts      # in a task, whose sums are kept together
    idx slices, slice_units  # of (image, band) pairs
    size_t sums_size, totals_size, dy_size
    double *totals           # [groups' part][slice][group][filter][tap]


cdef void fold(const Correlate *j, idx groups, char *sums, double *totals) noexcept nogil:
    """Add up the lanes of the sums, and begin anew."""
    cdef idx i, t, step = j.rows.kern.lanes * j.rows.kern.itemsize
    for i in range(groups * j.K):
        for t in range(j.n_sums):
            if j.slots[t] >= 0:
                totals[i * j.T + j.slots[t]] += j.rows.kern.passes.total(sums + (i * j.n_sums + t) * step, j.rows.kern.lanes)
    memset(sums, 0, groups * j.K * j.n_sums * step)


cdef void correlate_task(const Correlate *j, idx task, char *scratch) noexcept nogil:
    cdef const fc_kernels *kern = j.rows.kern
    cdef idx z = kern.itemsize, part = task // j.slices, cut = task % j.slices, unit, n, p0, p1, g, k, t, pixels = 0
    cdef idx step = kern.lanes * z, groups = min(j.groups, j.G - part * j.groups)
    cdef idx P = j.dy.h, dy_row
    cdef char *sums = scratch
    cdef char *dy_copy = sums + j.sums_size
    cdef char *dy
    cdef char *to
    cdef const void **rows
    cdef double *totals = <double *>(<char *>j.totals + task * j.totals_size)
    cdef unsigned mode = fc_flush_subnormals()
    memset(sums, 0, j.sums_size)
    memset(totals, 0, j.totals_size)
    for unit in range(cut * j.slice_units, min(j.N * j.bands, (cut + 1) * j.slice_units)):
        n = unit // j.bands
        p0, p1 = unit % j.bands * P // j.bands, (unit % j.bands + 1) * P // j.bands
        for g in range(groups):
            rows = set_rows(&j.rows, n, part * j.groups + g, p0 * j.rows.step + j.rows.lowest, p1 - p0,
                            dy_copy + j.dy_size)
            for k in range(j.K):
                dy = j.dy.data + (n * j.dy.s_n + ((part * j.groups + g) * j.K + k) * j.dy.s_c + p0 * j.dy.s_h) * z
                dy_row = j.dy.s_h
                if not (j.dy.s_w == 1 and dy_row >= 0
                        and (j.dy.w >= kern.lanes or dy + ((p1 - p0 - 1) * dy_row + kern.lanes) * z <= j.dy.end)):
                    kern.move.stage(dy_copy, j.dy.w, dy, dy_row, j.dy.s_w, p1 - p0, 0, p1 - p0, 0, j.dy.w, 0, 0)
                    dy, dy_row = dy_copy, j.dy.w
                to = sums + (g * j.K + k) * j.n_sums * step
                for t in range(j.tiles):
                    kern.windows.row_sums(to, dy, dy_row, p1 - p0, rows, &j.windows, j.spans[t], j.taps + t * FC_WINDOW_TAPS)
                    to += j.windows.height * j.spans[t] * step
        pixels += (p1 - p0) * j.dy.w
        if pixels >= FOLD:
            fold(j, groups, sums, totals)
            pixels = 0
    fold(j, groups, sums, totals)
    fc_restore_mode(mode)


cdef struct LaneSums:
    Rows rows
    Image dy
    idx N, G, K, T, stride, bands
    idx *offsets             # of each tap
    idx tile                 # taps whose sums are made at once
    bint in_place            # dy is read where it lies
    idx dy_row, dy_step
    idx part, v_parts        # vectors in a task, whose sums are kept together
    idx slices, slice_units
    size_t stage_size, dy_size, sums_size, totals_size
    char *totals             # [part][slice] of [vector][filter][tap][lane]


cdef void correlate_vectors(const LaneSums *j, idx task, char *memory) noexcept nogil:
    cdef const fc_kernels *kern = j.rows.kern
    cdef idx z = kern.itemsize, lanes = kern.lanes, v0 = task // j.slices * j.part, cut = task % j.slices
    cdef idx v1 = min(v0 + j.part, parts(j.G, lanes)), i, n, p0, p1, p, v, k, t, n_taps, here, c
    cdef idx pixels = 0, before, count = j.T * j.rows.mix * lanes, P = j.dy.h, Q = j.dy.w
    cdef idx pitch = stage_pitch(&j.rows) * lanes
    cdef idx step = j.rows.step, together = j.rows.together
    cdef Unit unit
    cdef char *dys = memory + together * j.stage_size
    cdef char *sums = dys + together * j.dy_size
    cdef char *stage
    cdef char *dy
    cdef char *to
    cdef double *totals = <double *>(j.totals + task * j.totals_size)
    cdef unsigned mode = fc_flush_subnormals()
    cdef bint follows = False
    cdef idx units = min(j.N * j.bands, (cut + 1) * j.slice_units)
    cdef fc_ahead ahead
    memset(memory, 0, together * j.stage_size)
    memset(sums, 0, j.sums_size)
    memset(totals, 0, j.totals_size)
    for i in range(cut * j.slice_units, units):
        n = i // j.bands
        p0, p1 = i % j.bands * P // j.bands, (i % j.bands + 1) * P // j.bands
        before = pixels
        for v in range(v0, v1):
            c = v * lanes
            if (v - v0) % together == 0:
                set_unit(&unit, &j.rows, n, v, min(v1, v + together), p0, p1, follows and p0 > 0)
                stage_lanes(&j.rows, &unit, j.G, memory, j.stage_size)
                follows = together == j.part
                # dy's rows that follow come near meanwhile, if they are a run of memory.
                ahead.start, ahead.step = memory, 0
                if (j.in_place and v == 0 and unit.v1 * lanes == j.dy.s_w and j.dy.s_h == Q * j.dy.s_w
                        and j.dy.s_n == P * j.dy.s_h and i + 1 < j.N * j.bands):
                    ahead.start, ahead.step = j.dy.data + (n * j.dy.s_n + p1 * j.dy.s_h) * z, lanes
            stage = memory + (v - unit.v0) * j.stage_size
            for k in range(j.K):
                dy = dys + (v - unit.v0) * j.dy_size
                if j.in_place:
                    dy = j.dy.data + (n * j.dy.s_n + c + p0 * j.dy.s_h) * z
                elif j.K > 1:
                    put_lanes(kern, &j.dy, j.dy.data + (n * j.dy.s_n + (c * j.K + k) * j.dy.s_c + p0 * j.dy.s_h) * z,
                              j.K * j.dy.s_c, min(lanes, j.G - c), p1 - p0, dy, Q, 0)
                elif v == unit.v0:
                    put_lanes(kern, &j.dy, j.dy.data + (n * j.dy.s_n + c * j.dy.s_c + p0 * j.dy.s_h) * z,
                              j.dy.s_c, min(unit.v1 * lanes, j.G) - c, p1 - p0, dy, Q, j.dy_size)
                to = sums + ((v - v0) * j.K + k) * count * z
                pixels, p = before, p0
                while p < p1:
                    here = min(p1 - p, max(1, FC_WINDOW_RUN // Q))
                    t = 0
                    while t < j.T and j.rows.mix == 1:
                        n_taps = min(j.T - t, j.tile)
                        kern.windows.lane_sums(to + t * lanes * z, dy + (p - p0) * j.dy_row * z, j.dy_row, j.dy_step,
                                       stage + (p - p0) * step * pitch * z, step * pitch, j.stride * lanes, here, Q,
                                       n_taps, j.offsets + t, &ahead)
                        t += n_taps
                    if j.rows.mix > 1:
                        kern.windows.mix_sums(to, dy + (p - p0) * j.dy_row * z, j.dy_row, j.dy_step,
                                      stage + (p - p0) * step * pitch * z, step * pitch, j.stride * lanes, here, Q,
                                      j.rows.mix, j.T, j.offsets, &ahead)
                    pixels += here * Q
                    ahead.start = <const char *>ahead.start + here * Q * ahead.step * z
                    p += here
                    if pixels >= LANE_FOLD:
                        kern.passes.add_to_doubles(totals + ((v - v0) * j.K + k) * count, to, count)
                        memset(to, 0, count * z)
                        pixels = 0
    kern.passes.add_to_doubles(totals, sums, (v1 - v0) * j.K * count)
    fc_restore_mode(mode)


cdef int correlate_lanes(LaneSums *j, char *dw, idx S, idx dilation_h, idx dilation_w) except -1:
    cdef Rows *rows = &j.rows
    cdef idx z = rows.kern.itemsize, lanes = rows.kern.lanes, mix = rows.mix, vectors, t, i, g, task
    if mix > 1:
        j.G, j.K = j.G * mix, 1
    vectors = parts(j.G, lanes)
    j.bands = cut_lanes(rows, j.N, j.dy.h, j.dy.w, vectors)
    # Whole rows of taps, whose sums share what they load; or about as many in each tile.
    j.tile = FC_WINDOW_SUMS // S * S if 1 < S <= 5 else parts(j.T, parts(j.T, FC_WINDOW_SUMS))
    # By the shape alone, so that sums never depend on the number of threads.
    j.part = rows.together if channels_last(&rows.x) else parts(vectors, parts(vectors, max(1, LANE_GROUPS // lanes)))
    j.v_parts = parts(vectors, j.part)
    j.slice_units = parts(j.N * j.bands, min(j.N * j.bands, parts(SLICES, j.v_parts)))
    j.slices = parts(j.N * j.bands, j.slice_units)
    j.stage_size = lanes_size(rows, table_rows(rows, rows.band) * stage_pitch(rows))
    # Whole vectors of channels that are read once or few times, whose pixels do not fall into few sets of the caches.
    j.in_place = (j.K == 1 and j.T <= FC_WINDOW_SUMS and channels_last(&j.dy) and j.G % lanes == 0
                  and j.dy.s_w * z % 2048 != 0)
    j.dy_row, j.dy_step = (j.dy.s_h, j.dy.s_w) if j.in_place else (j.dy.w * lanes, lanes)
    j.dy_size = 0 if j.in_place else lanes_size(rows, rows.band * j.dy.w)
    j.sums_size = lanes_size(rows, j.part * j.K * j.T * mix)
    j.totals_size = up(j.part * j.K * j.T * mix * lanes * sizeof(double), LINE)
    cdef idx tasks = j.v_parts * j.slices
    cdef int n_threads = threads_for(<double>j.N * j.G * j.K * j.T * mix * j.dy.h * j.dy.w, tasks)
    cdef size_t each = rows.together * (j.stage_size + j.dy_size) + j.sums_size
    cdef size_t offsets_size = up(j.T * sizeof(idx), LINE)
    cdef size_t size = offsets_size + tasks * j.totals_size + n_threads * each
    cdef char *memory = <char *>take(size)
    cdef char *scratch = memory + offsets_size + tasks * j.totals_size
    cdef double total
    j.offsets = <idx *>memory
    j.totals = memory + offsets_size
    with nogil:
        for t in range(j.T):
            j.offsets[t] = (t // S * dilation_h * stage_pitch(rows) + t % S * dilation_w) * lanes
        if n_threads == 1:
            for task in range(tasks):
                correlate_vectors(j, task, scratch)
        else:
            for task in prange(tasks, num_threads=n_threads, schedule="dynamic"):
                correlate_vectors(j, task, scratch + threadid() * each)
        for i in range(j.G * j.K * j.T * mix):
            g, t, total = i // j.T // j.K // mix, i % (j.K * j.T * mix), 0
            if mix > 1:
                t = t % j.T * mix + t // j.T
            for task in range(g // lanes // j.part * j.slices, (g // lanes // j.part + 1) * j.slices):
                total += (<double *>(j.totals + task * j.totals_size))[
                    (g // lanes % j.part * j.K * j.T * mix + t) * lanes + g % lanes]
            if z == 4:
                (<float *>dw)[i] = <float>total
            else:
                (<double *>dw)[i] = total
    give(memory, size)
    return 0


cpdef weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                      idx dilation_h, idx dilation_w, idx groups):
    """dw[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]: equation 12.5."""
    cdef Correlate j
    cdef LaneSums lanes
    cdef Rows *rows = &j.rows
    cdef Image f
    cdef idx z, s, c, t, i, task, per_group, span
    check_convolution(x, READ, dw, DENSE_RESULT, dy, READ, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
                      groups)
    if cnp.PyArray_SIZE(dy) == 0:
        memset(cnp.PyArray_DATA(dw), 0, cnp.PyArray_NBYTES(dw))
        return
    as_image(dw, &f)
    if not possible(2, x.shape[2], x.shape[3], f.c, f.n // groups, f.h, f.w, dy.shape[2], dy.shape[3], stride_h,
                    stride_w, pad_h, pad_w, dilation_h, dilation_w):
        refuse(dw)
    prepare(rows, x, f.c)
    as_image(dy, &j.dy)
    z = rows.kern.itemsize
    j.N, j.G, j.K, j.T = j.dy.n, groups, f.n // groups, f.c * f.h * f.w
    j.windows.width, j.windows.step, j.windows.stride, j.windows.phases = j.dy.w, stride_h, stride_w, 1
    # Columns of a block in a tile.
    choose_block(&j.windows, f.h, f.w, dilation_h == 1 and dilation_w == 1, 4)
    j.tiles = parts(j.T, FC_WINDOW_TAPS)
    span = FC_WINDOW_TAPS
    if j.windows.height > 1:
        span = FC_WINDOW_SUMS // j.windows.height
        j.tiles = f.c * parts(f.w, span)
    rows.step, rows.lowest, rows.reach = stride_h, -pad_h, (f.h - 1) * dilation_h
    if by_lanes(rows, j.G, j.K, -pad_w, (f.w - 1) * dilation_w - pad_w, stride_w, j.dy.w):
        lanes.rows, lanes.dy, lanes.stride = j.rows, j.dy, stride_w
        lanes.N, lanes.G, lanes.K, lanes.T = j.N, j.G, j.K, f.h * f.w
        correlate_lanes(&lanes, f.data, f.w, dilation_h, dilation_w)
        return
    rows.left, rows.right = 0, rows.x.w
    see_columns(rows, -pad_w, (f.w - 1) * dilation_w - pad_w, j.dy.w, stride_w, &j.windows.start, &j.windows.stop)
    j.bands = cut_bands(rows, j.dy.h, j.dy.w)
    # By the shape alone, so that sums never depend on the number of threads.
    j.groups = parts(j.G, parts(j.G, GROUPS))
    j.g_parts = parts(j.G, j.groups)
    j.slice_units = parts(j.N * j.bands, min(j.N * j.bands, parts(SLICES, j.g_parts)))
    j.slices = parts(j.N * j.bands, j.slice_units)
    per_group = j.K * j.T
    j.sums_size = up(j.groups * j.K * j.tiles * FC_WINDOW_SUMS * rows.kern.lanes * z, LINE)
    j.totals_size = up(j.groups * per_group * sizeof(double), LINE)
    j.dy_size = up((rows.band * j.dy.w + rows.kern.lanes) * z, LINE)
    cdef idx tasks = j.g_parts * j.slices
    cdef int n_threads = threads_for(<double>j.N * j.G * per_group * j.dy.h * j.dy.w, tasks)
    cdef size_t taps_size = up(j.tiles * (FC_WINDOW_TAPS * sizeof(fc_tap) + (FC_WINDOW_SUMS + 1) * sizeof(idx)), LINE)
    cdef fc_tap *taps = <fc_tap *>take(taps_size)
    j.taps, j.spans = taps, <idx *>(taps + j.tiles * FC_WINDOW_TAPS)
    j.slots = j.spans + j.tiles
    j.n_sums = 0
    if j.windows.height == 1:
        # Any taps; the last repeated to fill a tile.
        for i in range(j.tiles * FC_WINDOW_TAPS):
            t = min(i, j.T - 1)
            j.spans[i // FC_WINDOW_TAPS] = span
            j.slots[i] = t if i < j.T else -1
            taps[i].row = t // (f.h * f.w) * table_rows(rows, rows.band) + t // f.w % f.h * dilation_h
            taps[i].col = t % f.w * dilation_w - pad_w
        j.n_sums = j.tiles * FC_WINDOW_TAPS
    else:
        for i in range(j.tiles):
            c, s = i // parts(f.w, span), i % parts(f.w, span) * span
            taps[i * FC_WINDOW_TAPS].row = c * table_rows(rows, rows.band)
            taps[i * FC_WINDOW_TAPS].col = s - pad_w
            j.spans[i] = min(span, f.w - s)
            for t in range(f.h * j.spans[i]):
                j.slots[j.n_sums] = (c * f.h + t // j.spans[i]) * f.w + s + t % j.spans[i]
                j.n_sums += 1
    cdef size_t each = j.sums_size + j.dy_size + scratch_size(rows), size
    size = tasks * j.totals_size + borders_size(rows) + n_threads * each
    cdef char *memory = NULL
    cdef char *scratch
    cdef double total
    try:
        memory = <char *>take(size)
        j.totals = <double *>memory
        set_borders(rows, memory + tasks * j.totals_size)
        j.windows.mask = rows.mask
        scratch = memory + tasks * j.totals_size + borders_size(rows)
        with nogil:
            if n_threads == 1:
                for task in range(tasks):
                    correlate_task(&j, task, scratch)
            else:
                for task in prange(tasks, num_threads=n_threads, schedule="dynamic"):
                    correlate_task(&j, task, scratch + threadid() * each)
        for i in range(j.G * per_group):
            total = 0
            for t in range(j.slices):
                task = i // per_group // j.groups * j.slices + t
                total += (<double *>(memory + task * j.totals_size))[i % (j.groups * per_group)]
            if z == 4:
                (<float *>f.data)[i] = <float>total
            else:
                (<double *>f.data)[i] = total
    finally:
        give(taps, taps_size)
        if memory != NULL:
            give(memory, size)
