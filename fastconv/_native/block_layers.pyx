"""Layers of images in blocks of channels (blocks.pyx) that read windows: convolutions, summed directly or by minimal
filtering, and filters for each channel."""

cimport cython
cimport numpy as cnp
from libc.math cimport INFINITY
from libc.string cimport memmove, memset

from fastconv._native.blocks cimport (
    Common, Layer, Memory, Planes, activate, at, clear_margins, finish, is_dense, run_on_threads, work_of,
)
from fastconv._native.checks cimport DENSE, check_array, check_axis, check_real
from fastconv._native.kernels cimport (
    FC_BLOCK_VECS, FC_SMALL, fc_kernels, fc_plane, fc_taps_of_blocks, idx, parts, up,
)
from fastconv._native.memory cimport Arena, Workspace, carve, new_array, release, reserve
from fastconv._native.runtime cimport kernels_of, run_tasks, threads_for

import numpy as np

cnp.import_array()

cdef enum:
    SUM = 512              # products in one sum, about: a longer one would round worse
    NEAR = 262144          # bytes of x that meet all filters of a part of a sum before the next ones come
    SEGMENT = 112          # outputs in a row where a plane is one row
    TASKS = 4              # for each thread, about
    TILES = 24             # of minimal filtering that are transformed at a time, so that they stay near
    MANY_TILES = 96        # ... where their filters have more than so many channels, which are read again for each
    MANY_CHANNELS = 256
    TOGETHER = 48          # ... and multiplied
    HELD = 65536           # bytes of a convolution's rows, about, that wait for the filters for each channel behind it
    BAND = 16              # rows of their results that a task makes at least

PANEL = FC_BLOCK_VECS


# ---- convolution ---------------------------------------------------------------------------------------------------

cpdef idx blocks_in_sum(idx n_blocks, idx tap) noexcept:
    """How many of the blocks of channels are in one sum, at `tap` products of each."""
    return max(<idx>1, min(n_blocks, SUM // max(<idx>1, tap)))


cdef int check_windows(const Planes *x, const Planes *y, tuple kernel, tuple stride, tuple pad,
                       tuple dilation) except -1:
    """That windows see nothing beyond the zeros around x."""
    cdef idx R, S, stride_h, stride_w, top, left, dilation_h, dilation_w
    (R, S), (stride_h, stride_w), (top, left), (dilation_h, dilation_w) = kernel, stride, pad, dilation
    cdef double last_h = (y.h - 1) * <double>stride_h + (R - 1) * <double>dilation_h - top
    cdef double last_w = (y.w - 1) * <double>stride_w + (S - 1) * <double>dilation_w - left
    if (min(min(R, S), min(stride_h, stride_w)) < 1 or min(dilation_h, dilation_w) < 1 or min(top, left) < 0
            or top > x.top or left > x.left or last_h >= x.h + x.bottom or last_w >= x.w + x.right):
        raise ValueError(f"windows of {kernel}, stride {stride}, padding {pad} and dilation {dilation} do not lie in "
                         f"images of {x.h} x {x.w} with {x.top}, {x.left}, {x.bottom}, {x.right} zeros around")
    return 0


cdef const char *numbers(cnp.ndarray a, str name, idx size, idx itemsize) except NULL:
    """The data of an array of so many numbers."""
    check_array(a, name, 1, cnp.NPY_FLOAT32 if itemsize == 4 else cnp.NPY_FLOAT64, DENSE)
    check_axis(a, name, 0, size)
    return <const char *>cnp.PyArray_DATA(a)


cdef struct Direct:
    Common common
    const char *w
    const char *b
    fc_taps_of_blocks taps
    idx vecs, panels           # of filters
    idx blocks, some, taps_of_block  # of channels; those in one sum
    idx stride_h, start        # from the row of a window to the next; elements before the first window
    bint merged, in_row        # Planes are one row, in segments; images are the pixels of one row.
    idx rows, segments, length  # of all images, of one, and outputs in each
    idx block_rows, row_blocks, together, panel_groups
    bint by_panels


cdef inline idx place_row(const Direct *d, idx row, idx k, const char **x, char **y, const char **added) noexcept nogil:
    """Where a row of outputs and its windows are, from a vector of filters on; returns how many outputs it has."""
    cdef const Common *c = &d.common
    cdef idx itemsize = c.kernels.itemsize, n = row // d.segments, p = row % d.segments, first
    added[0] = NULL
    if d.merged:
        first = p * d.length
        x[0], y[0] = at(&c.x, itemsize, n, 0, 0, first), at(&c.y, itemsize, n, k, 0, first)
        if c.adds:
            added[0] = at(&c.added, itemsize, n, k, 0, first)
        return min(d.length, c.y.h * c.y.w - first)
    x[0] = at(&c.x, itemsize, n, 0, 0, 0) + (p * d.stride_h - d.start) * itemsize
    y[0] = at(&c.y, itemsize, n, k, p, 0)
    if c.adds:
        added[0] = at(&c.added, itemsize, n, k, p, 0)
    return d.length


cdef void convolve(const void *job, idx task, char *_scratch) noexcept nogil:
    """A block of rows, of one image or of several, and a group of panels of filters. A long sum is summed in parts, for
    all rows and filters before the next part, so that its pixels stay near."""
    cdef const Direct *d = <const Direct *>job
    cdef const Common *c = &d.common
    cdef const fc_kernels *kernels = c.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, panel, row, k, vecs, count, done = 0, v
    cdef idx group = task % d.panel_groups, block = task // d.panel_groups
    cdef fc_taps_of_blocks s = d.taps
    cdef const char *x
    cdef const char *w
    cdef const char *b
    cdef const char *added
    cdef char *y
    cdef bint last
    if d.by_panels:
        group, block = task // d.row_blocks, task % d.row_blocks
    cdef idx first = d.rows * block // d.row_blocks, end = d.rows * (block + 1) // d.row_blocks
    cdef idx first_panel = group * d.together, end_panel = min(d.panels, first_panel + d.together)
    cdef idx size = d.taps_of_block * s.depth * lanes, n_blocks  # elements of a block and a vector of filters
    while done < d.blocks:
        n_blocks = min(d.some, d.blocks - done)
        last = done + n_blocks == d.blocks
        s.n_taps = n_blocks * d.taps_of_block
        s.low, s.high = c.low if last else -INFINITY, c.high if last else INFINITY
        for panel in range(first_panel, end_panel):
            k = panel * FC_BLOCK_VECS
            vecs = min(<idx>FC_BLOCK_VECS, d.vecs - k)
            w, b = d.w + (done * d.vecs + n_blocks * k) * size * itemsize, d.b + k * lanes * itemsize
            # The first filters meet pixels that are not near yet. Each row asks for a share of the next filters.
            s.unseen = panel == first_panel
            s.ahead, s.wanted = n_blocks * vecs * size, parts(n_blocks * vecs * size, end - first)
            if last and panel + 1 == d.panels:
                s.ahead = s.wanted = 0
            for row in range(first, end):
                count = place_row(d, row, k, &x, &y, &added)
                kernels.blocks.conv[vecs - 1](y, x + done * c.x.plane * itemsize, w, b if done == 0 else NULL,
                                              added if last else NULL, &s, count)
                s.ahead += s.wanted
                if last and c.kind >= 0:
                    for v in range(vecs):
                        activate(c, y + v * s.y_block * itemsize, count)
        done += n_blocks


cdef cnp.ndarray place_taps(const Planes *x, idx n_blocks, idx R, idx S, idx dilation_h, idx dilation_w):
    """Where the taps of some blocks of channels are in a window."""
    cdef cnp.npy_intp[1] size = [n_blocks * R * S]
    cdef cnp.ndarray taps = new_array(1, size, cnp.NPY_INTP)
    cdef idx *at_ = <idx *>cnp.PyArray_DATA(taps)
    cdef idx block, r, q
    for block in range(n_blocks):
        for r in range(R):
            for q in range(S):
                at_[0] = block * x.plane + r * dilation_h * x.row + q * dilation_w * x.width
                at_ += 1
    return taps


@cython.final
@cython.auto_pickle(False)
cdef class Convolution(Layer):
    """y = after(b + added + w * x), summed directly. w is packed [part of a sum][panel of filters][block][row][column]
    [channel][filter], a part being of blocks_in_sum() blocks and a panel of `PANEL` vectors, the last ones perhaps of
    fewer; b holds whole vectors of filters."""
    cdef Direct direct
    cdef cnp.ndarray w, b, taps

    def __init__(self, x, y, added, after, cnp.ndarray w, cnp.ndarray b, tuple kernel, tuple stride, tuple pad,
                 tuple dilation):
        super().__init__(x, y, added, after)
        cdef Direct *d = &self.direct
        cdef fc_taps_of_blocks *s = &d.taps
        cdef const fc_kernels *kernels = self.common.kernels
        cdef Planes *px = &self.common.x
        cdef Planes *py = &self.common.y
        cdef Planes *added_planes = &self.common.added
        cdef bint adds = self.common.adds
        cdef idx R, S, cols, stride_h, stride_w, top, left, dilation_h, dilation_w
        cdef idx lanes = kernels.lanes, itemsize = kernels.itemsize, P = py.h, Q = py.w
        check_windows(px, py, kernel, stride, pad, dilation)
        (R, S), (stride_h, stride_w), (top, left), (dilation_h, dilation_w) = kernel, stride, pad, dilation
        s.depth, s.step, cols = px.width, stride_w * px.width, S
        if self.x.narrow and dilation_w == 1:
            s.depth, cols = S * px.width, 1
        s.y_block, s.added_block = py.plane, added_planes.plane if adds else 0
        d.vecs = py.blocks
        d.panels = parts(d.vecs, FC_BLOCK_VECS)
        d.blocks, d.taps_of_block = px.blocks, R * cols
        cdef idx depth = d.blocks * d.taps_of_block * s.depth
        d.some = blocks_in_sum(d.blocks, d.taps_of_block * s.depth)
        self.taps = place_taps(px, d.some, R, cols, dilation_h, dilation_w)
        s.taps = <const idx *>cnp.PyArray_DATA(self.taps)
        self.w, self.b = w, b
        d.w, d.b = numbers(w, "w", depth * d.vecs * lanes, itemsize), numbers(b, "b", d.vecs * lanes, itemsize)
        d.stride_h, d.start = stride_h * px.row, top * px.row + left * px.width
        d.in_row = P * Q == 1 and py.image == lanes and (not adds or added_planes.image == lanes)
        d.merged = (not d.in_row and R == S == stride_h == stride_w == 1 and top == left == 0 and px.h == P
                    and px.w == Q and is_dense(px) and is_dense(py) and (not adds or is_dense(added_planes)))
        d.segments, d.length = P, Q
        if d.in_row:
            d.length, s.step = py.n, px.image
        elif d.merged:
            d.length = up(parts(P * Q, parts(P * Q, SEGMENT)), kernels.blocks.tile)
            d.segments = parts(P * Q, d.length)
        d.rows = 1 if d.in_row else py.n * d.segments
        # Rows whose pixels stay near while one part of a sum after the other meets all filters.
        cdef double x_bytes = <double>px.n * px.blocks * px.h * px.w * px.width * itemsize
        d.by_panels = <double>depth * d.vecs * lanes * itemsize > x_bytes
        d.block_rows = max(<idx>1, min(d.rows, <idx>(NEAR / (x_bytes * d.some / d.blocks / d.rows))))
        self.work = <double>d.rows * d.length * d.vecs * lanes * depth
        self.ready = True

    cdef int run(self, Memory memory, list arrays) except -1:
        cdef Direct job = self.direct
        cdef Direct *d = &job
        self.locate(memory, &d.common)
        cdef int threads = threads_for(self.work, d.rows * d.panels)
        cdef idx wanted = TASKS * threads
        d.row_blocks, d.together = parts(d.rows, d.block_rows), d.panels
        if threads > 1 and d.row_blocks < wanted:
            if not d.by_panels:
                d.row_blocks = min(d.rows, wanted)
            d.together = max(<idx>1, d.panels * d.row_blocks // wanted)
            if d.row_blocks * d.panels < wanted:
                d.row_blocks = min(d.rows, parts(wanted, d.panels))
        d.panel_groups = parts(d.panels, d.together)
        run_on_threads(convolve, d, d.row_blocks * d.panel_groups, threads)
        return 0


# ---- convolution by minimal filtering ------------------------------------------------------------------------------

cdef struct Tiled:
    Common common
    const char *u
    const char *b
    int kernel, input          # numbers of the kernels of these filters and tiles
    idx points, m              # of a tile; outputs along its side
    idx pad_h, pad_w
    idx bands, cols            # rows of tiles in an image, and tiles in each
    idx channels, vecs, panels  # whole vectors of channels; vectors of filters, and panels of PRODUCT of them
    idx first, count           # the tiles at work
    idx some                   # ... that are multiplied at once
    idx v_point, m_point
    char *v


cdef struct Piece:
    # Tiles side by side.
    idx n, band, col, count


cdef inline Piece piece_from(const Tiled *t, idx tile, idx end) noexcept nogil:
    """Those from a tile on, to the end of its row or to `end`."""
    cdef Piece piece
    cdef idx row = tile // t.cols
    piece.n, piece.band, piece.col = row // t.bands, row % t.bands, tile % t.cols
    piece.count = min(t.cols - piece.col, end - tile)
    return piece


cdef inline fc_plane plane_of(const Planes *x, idx m) noexcept nogil:
    return fc_plane(x.h, x.w, x.row, x.width, 1, 1, 0, m)


cdef void transform_tiles(const void *job, idx task, char *_scratch) noexcept nogil:
    """V = B^T x B of some tiles and a vector of channels; V is [point][tile][channel]."""
    cdef const Tiled *t = <const Tiled *>job
    cdef const fc_kernels *kernels = t.common.kernels
    cdef const Planes *x = &t.common.x
    cdef idx itemsize = kernels.itemsize, block = task % x.blocks, tile = t.first + task // x.blocks * t.some
    cdef idx end = min(t.first + t.count, tile + t.some)
    cdef fc_plane plane = plane_of(x, t.m)
    cdef Piece piece
    while tile < end:
        piece = piece_from(t, tile, end)
        kernels.winograd.input[t.input](
            t.v + ((tile - t.first) * t.channels + block * kernels.lanes) * itemsize, t.v_point, t.channels,
            at(x, itemsize, piece.n, block, 0, 0), &plane, piece.band * t.m - t.pad_h, piece.col * t.m - t.pad_w,
            piece.count)
        tile += piece.count


cdef void multiply_tiles(const void *job, idx task, char *scratch) noexcept nogil:
    """y of some tiles and a panel of filters: their products with U at each point, transformed back, and what
    follows."""
    cdef const Tiled *t = <const Tiled *>job
    cdef const Common *c = &t.common
    cdef const fc_kernels *kernels = c.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, groups = parts(t.count, t.some)
    cdef idx panel = task // groups, begin = task % groups * t.some, count = min(t.some, t.count - begin)
    cdef idx k = panel * kernels.product.gemm_vecs, vecs = min(kernels.product.gemm_vecs, t.vecs - k)
    cdef idx unit = vecs * lanes, point, done, depth, tile, end, v, h, pixels
    cdef const char *u = t.u + k * lanes * t.channels * t.points * itemsize
    cdef fc_plane plane = plane_of(&c.y, t.m)
    cdef Piece piece
    cdef char *y
    for point in range(t.points):
        done = 0
        while done < t.channels:
            depth = min(<idx>SUM, t.channels - done)
            kernels.product.gemm[vecs - 1](
                count, depth, t.v + (point * t.v_point + begin * t.channels + done) * itemsize, t.channels, 1,
                u + (point * t.channels + done) * unit * itemsize, unit, scratch + point * t.m_point * itemsize, unit,
                done > 0)
            done += depth
    for v in range(vecs):
        tile, end = t.first + begin, t.first + begin + count
        while tile < end:
            piece = piece_from(t, tile, end)
            kernels.winograd.output[t.kernel](
                at(&c.y, itemsize, piece.n, k + v, 0, 0), &plane, piece.band * t.m, piece.col * t.m, piece.count,
                scratch + ((tile - t.first - begin) * unit + v * lanes) * itemsize, t.m_point, unit,
                t.b + (k + v) * lanes * itemsize)
            pixels = min(piece.count * t.m, c.y.w - piece.col * t.m)
            if c.adds or c.low > -INFINITY or c.high < INFINITY or c.kind >= 0:
                for h in range(piece.band * t.m, min((piece.band + 1) * t.m, c.y.h)):
                    y = at(&c.y, itemsize, piece.n, k + v, h, piece.col * t.m)
                    finish(c, y, y, at(&c.added, itemsize, piece.n, k + v, h, piece.col * t.m) if c.adds else NULL,
                           pixels)
            tile += piece.count


cdef int tile_kernel(idx taps, bint small) except -1:
    """The number of the kernels of filters of taps x taps in tiles of 6x6 points, or of 5x5."""
    if not 2 <= taps <= (3 if small else 5):
        raise ValueError(f"there are no tiles for filters of {taps} x {taps}")
    return taps - 2 + (FC_SMALL if small else 0)


cdef void lay_out_tiles(Tiled *t, Arena *tables, Arena *scratch) noexcept nogil:
    t.v = <char *>carve(tables, <double>t.points * t.v_point, t.common.kernels.itemsize)
    carve(scratch, <double>t.points * t.m_point, t.common.kernels.itemsize)


@cython.final
@cython.auto_pickle(False)
cdef class Winograd(Layer):
    """y = after(b + added + w * x) of square filters of `taps` at a stride of 1, by minimal filtering
    (src_c/winograd.h) in tiles of 6x6 points, or with `small` ones of 5x5. u is what transform() made of w."""
    cdef Tiled tiled
    cdef cnp.ndarray u, b

    def __init__(self, x, y, added, after, cnp.ndarray u, cnp.ndarray b, idx taps, tuple pad, bint small):
        super().__init__(x, y, added, after)
        cdef Tiled *t = &self.tiled
        cdef Planes *px = &self.common.x
        cdef Planes *py = &self.common.y
        cdef idx lanes = self.common.kernels.lanes, itemsize = self.common.kernels.itemsize, side = 5 if small else 6
        t.kernel, t.input = tile_kernel(taps, small), small
        t.pad_h, t.pad_w = pad
        if (self.x.narrow or min(t.pad_h, t.pad_w) < 0 or max(t.pad_h, t.pad_w) >= taps
                or py.h > px.h + 2 * t.pad_h - taps + 1 or py.w > px.w + 2 * t.pad_w - taps + 1):
            raise ValueError(f"filters of {taps} x {taps} with padding {pad} cannot make {py.h} x {py.w} pixels of "
                             f"{px.h} x {px.w}")
        t.points, t.m = side * side, side + 1 - taps
        t.bands, t.cols = parts(py.h, t.m), parts(py.w, t.m)
        t.channels, t.vecs = px.blocks * lanes, py.blocks
        t.panels = parts(t.vecs, self.common.kernels.product.gemm_vecs)
        self.u, self.b = u, b
        t.u, t.b = numbers(u, "u", t.points * t.channels * t.vecs * lanes, itemsize), numbers(
            b, "b", t.vecs * lanes, itemsize)
        self.work = <double>py.n * t.bands * t.cols * t.points * t.channels * t.vecs * lanes
        self.ready = True

    cdef int run(self, Memory memory, list arrays) except -1:
        cdef Tiled job = self.tiled
        cdef Tiled *t = &job
        cdef const fc_kernels *kernels = self.common.kernels
        self.locate(memory, &t.common)
        cdef idx tiles = t.common.y.n * t.bands * t.cols, rows = kernels.product.gemm_rows
        cdef idx unit = min(t.vecs, kernels.product.gemm_vecs) * kernels.lanes
        cdef int threads = threads_for(self.work, tiles * t.panels)
        # Blocks of tiles whose V is shared by all threads; each takes some tiles and a panel of filters at a time.
        cdef idx most = TILES if t.channels <= MANY_CHANNELS else MANY_TILES
        cdef idx block = up(parts(tiles, parts(tiles, most)), rows)
        t.some = min(block, up(parts(block, parts(block, TOGETHER)), rows))
        if threads > 1 and t.panels * parts(block, t.some) < 2 * threads:
            t.some = min(t.some, up(parts(block, parts(2 * threads, t.panels)), rows))
        t.v_point, t.m_point = up(block * t.channels, 16) + 48, up(t.some * unit, 16) + 48
        cdef Arena tables = [NULL, 0]
        cdef Arena scratch = [NULL, 0]
        cdef Workspace workspace
        lay_out_tiles(t, &tables, &scratch)
        reserve(&workspace, &tables, &scratch, threads)
        lay_out_tiles(t, &tables, &scratch)
        with nogil:
            t.first = 0
            while t.first < tiles:
                t.count = min(block, tiles - t.first)
                run_tasks(transform_tiles, t, t.common.x.blocks * parts(t.count, t.some), 1, &workspace)
                run_tasks(multiply_tiles, t, t.panels * parts(t.count, t.some), 1, &workspace)
                t.first += t.count
        release(&workspace)
        return 0


def transform(cnp.ndarray w, bint small) -> np.ndarray:
    """U = G w G^T of filters (K, C, R, R), for :class:`Winograd`: [panel of filters][point][channel][filter]."""
    cdef int kind = check_real(w, "w")
    check_array(w, "w", 4, kind, DENSE)
    cdef idx K = w.shape[0], C = w.shape[1], taps = w.shape[2], v, c, unit, panel
    check_axis(w, "w", 3, taps)
    cdef const fc_kernels *kernels = kernels_of(cnp.PyArray_ITEMSIZE(w))
    cdef idx lanes = kernels.lanes, itemsize = kernels.itemsize, most = kernels.product.gemm_vecs
    cdef int kernel = tile_kernel(taps, small)
    cdef idx points = 25 if small else 36, vecs = parts(K, lanes), channels = up(C, lanes)
    cdef cnp.npy_intp[1] size = [points * channels * vecs * lanes]
    cdef cnp.ndarray u = new_array(1, size, kind)
    cdef char *to = <char *>cnp.PyArray_DATA(u)
    cdef const char *from_ = <const char *>cnp.PyArray_DATA(w)
    with nogil:
        memset(to, 0, size[0] * itemsize)
        for v in range(vecs):
            panel = v // most * most
            unit = min(most, vecs - panel) * lanes
            for c in range(C):
                kernels.winograd.filters[kernel](
                    to + (panel * lanes * channels * points + c * unit + (v - panel) * lanes) * itemsize,
                    channels * unit, unit, from_ + (v * lanes * C + c) * taps * taps * itemsize, C * taps * taps,
                    taps * taps, min(lanes, K - v * lanes), 1, False, from_ + K * C * taps * taps * itemsize, taps,
                    taps)
    return u


# ---- a filter for each channel -------------------------------------------------------------------------------------

cdef struct Each:
    Common common
    const char *w
    const char *b
    fc_taps_of_blocks taps
    idx stride_h, start, bands


cdef void filter_each(const void *job, idx task, char *_scratch) noexcept nogil:
    """Some rows of a block of an image."""
    cdef const Each *e = <const Each *>job
    cdef const Common *c = &e.common
    cdef idx itemsize = c.kernels.itemsize, lanes = c.kernels.lanes, band = task % e.bands
    cdef idx block = task // e.bands % c.y.blocks, n = task // e.bands // c.y.blocks, p
    cdef idx taps = e.taps.rows * e.taps.cols
    cdef const char *x
    cdef const char *added = NULL
    cdef char *y
    for p in range(c.y.h * band // e.bands, c.y.h * (band + 1) // e.bands):
        x = at(&c.x, itemsize, n, block, 0, 0) + (p * e.stride_h - e.start) * itemsize
        y = at(&c.y, itemsize, n, block, p, 0)
        if c.adds:
            added = at(&c.added, itemsize, n, block, p, 0)
        c.kernels.blocks.depthwise(y, x, e.w + block * taps * lanes * itemsize, e.b + block * lanes * itemsize, added,
                                   &e.taps, c.y.w)
        activate(c, y, c.y.w)


cdef struct Behind:
    # Filters for each channel behind a convolution, whose results nobody else reads.
    Direct direct
    Each each
    idx reach, held            # rows that a window spans, and that are held at most
    idx pitch                  # from a block of those to the next
    idx bands


cdef inline char *lay_out_rows(const Behind *job, Arena *arena) noexcept nogil:
    return <char *>carve(arena, <double>FC_BLOCK_VECS * job.pitch, job.direct.common.kernels.itemsize)


cdef void filter_behind(const void *of, idx task, char *memory) noexcept nogil:
    """Some rows of the blocks that a panel of filters makes, each as soon as the convolution's rows that it sees are
    there. When no more of these can be held, those that are still wanted move to the front."""
    cdef const Behind *job = <const Behind *>of
    cdef const Direct *d = &job.direct
    cdef const Each *e = &job.each
    cdef const Common *between = &d.common
    cdef const Common *c = &e.common
    cdef const fc_kernels *kernels = c.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, band = task % job.bands
    cdef idx panel = task // job.bands % d.panels, n = task // job.bands // d.panels, k = panel * FC_BLOCK_VECS, v, p
    cdef idx vecs = min(<idx>FC_BLOCK_VECS, d.vecs - k), first = c.y.h * band // job.bands
    cdef idx end = c.y.h * (band + 1) // job.bands, row = between.y.row * itemsize, pitch = job.pitch * itemsize
    cdef idx left = between.y.left * lanes * itemsize, right = between.y.right * lanes * itemsize
    cdef idx stride = e.stride_h // between.y.row, size = d.blocks * d.taps_of_block * d.taps.depth * vecs * lanes
    cdef idx taps = e.taps.rows * e.taps.cols * lanes, top = first * stride - between.y.top, base = top, done = top
    cdef const char *w = d.w + size // vecs * k * itemsize
    cdef const char *added = NULL
    cdef char *to
    cdef char *y
    cdef bint inside
    cdef Arena arena = Arena(memory, 0)
    cdef char *rows = lay_out_rows(job, &arena)
    cdef fc_taps_of_blocks s = d.taps
    s.n_taps, s.low, s.high, s.y_block = d.blocks * d.taps_of_block, between.low, between.high, job.pitch
    s.unseen = panel == 0
    s.ahead, s.wanted = size, parts(size, (end - first) * stride) if panel + 1 < d.panels else 0
    # Margins are cleared two by two: a row's right one, and the next row's left one.
    for v in range(vecs):
        memset(rows + v * pitch, 0, left)
    for p in range(first, end):
        top = p * stride - between.y.top
        if top + job.reach - base > job.held or done < top:
            for v in range(vecs if done > top else 0):
                memmove(rows + v * pitch, rows + v * pitch + (top - base) * row, (done - top) * row + left)
            base, done = top, max(done, top)
        while done < top + job.reach:
            to = rows + (done - base) * row
            inside = 0 <= done < between.y.h
            for v in range(vecs):
                memset(to + v * pitch + (row - right if inside else left), 0, right + left if inside else row)
            if inside:
                kernels.blocks.conv[vecs - 1](
                    to + left, at(&between.x, itemsize, n, 0, 0, 0) + (done * d.stride_h - d.start) * itemsize, w,
                    d.b + k * lanes * itemsize, NULL, &s, between.y.w)
                s.ahead += s.wanted
                for v in range(vecs):
                    activate(between, to + left + v * pitch, between.y.w)
            done += 1
        for v in range(vecs):
            y = at(&c.y, itemsize, n, k + v, p, 0)
            if c.adds:
                added = at(&c.added, itemsize, n, k + v, p, 0)
            kernels.blocks.depthwise(y, rows + v * pitch + (top - base) * row, e.w + (k + v) * taps * itemsize,
                                     e.b + (k + v) * lanes * itemsize, added, &e.taps, c.y.w)
            activate(c, y, c.y.w)


@cython.final
@cython.auto_pickle(False)
cdef class Depthwise(Layer):
    """y = after(b + added + w * x), where each channel has a filter of its own: w is [block][row][column][channel], b
    holds whole vectors. One tap is an affine map of each channel. If x is what the convolution `before` makes and
    nobody else reads, it is computed here, some rows of a panel of filters at a time, so that it stays near."""
    cdef Each each
    cdef Behind behind
    cdef Convolution before
    cdef cnp.ndarray w, b

    def __init__(self, x, y, added, after, cnp.ndarray w, cnp.ndarray b, tuple kernel, tuple stride, tuple pad,
                 tuple dilation, Convolution before=None):
        super().__init__(x, y, added, after)
        cdef Each *e = &self.each
        cdef Planes *px = &self.common.x
        cdef idx R, S, stride_h, stride_w, top, left, dilation_h, dilation_w
        cdef idx lanes = self.common.kernels.lanes, itemsize = self.common.kernels.itemsize
        if self.x.narrow or self.x.c != self.y.c:
            raise ValueError("x and y must have the same blocks")
        check_windows(px, &self.common.y, kernel, stride, pad, dilation)
        (R, S), (stride_h, stride_w), (top, left), (dilation_h, dilation_w) = kernel, stride, pad, dilation
        memset(&e.taps, 0, sizeof(fc_taps_of_blocks))
        e.taps.rows, e.taps.row, e.taps.cols, e.taps.col = R, dilation_h * px.row, S, dilation_w * lanes
        e.taps.step, e.taps.low, e.taps.high = stride_w * lanes, self.common.low, self.common.high
        self.w, self.b = w, b
        e.w, e.b = numbers(w, "w", px.blocks * R * S * lanes, itemsize), numbers(b, "b", px.blocks * lanes, itemsize)
        e.stride_h, e.start = stride_h * px.row, top * px.row + left * lanes
        self.work = work_of(&self.common.y, R * S + 4)
        cdef Behind *job = &self.behind
        if before is not None:
            if (before.y is not self.x or before.common.adds or before.direct.merged or before.direct.in_row
                    or before.direct.blocks > before.direct.some or (px.top, px.left) != (top, left)):
                raise ValueError("x must be what the convolution before makes, with the padding as its zeros, in rows")
            job.reach = (R - 1) * dilation_h + 1
            job.held = job.reach + max(<idx>1, HELD // (FC_BLOCK_VECS * px.row * itemsize))
            job.pitch = (job.held + 1) * px.row
            self.work += before.work
        self.before = before
        self.ready = True

    cdef int run_behind(self, Memory memory) except -1:
        cdef Behind job = self.behind
        cdef Planes *y = &job.each.common.y
        cdef Arena tables = [NULL, 0]
        cdef Arena scratch = [NULL, 0]
        cdef Workspace workspace
        job.direct, job.each = self.before.direct, self.each
        job.direct.common, job.each.common = self.before.common, self.common
        job.direct.common.x = self.before.x.locate(memory)
        y[0] = self.y.locate(memory)
        if self.common.adds:
            job.each.common.added = self.added.locate(memory)
        clear_margins(y, self.common.kernels.itemsize)
        # Rows at the seams of bands are computed twice.
        cdef idx tasks = y.n * job.direct.panels
        cdef int threads = threads_for(self.work, tasks * y.h)
        job.bands = max(<idx>1, min(y.h // BAND, parts(2 * TASKS * threads, tasks))) if threads > 1 else 1
        lay_out_rows(&job, &scratch)
        reserve(&workspace, &tables, &scratch, threads)
        with nogil:
            run_tasks(filter_behind, &job, tasks * job.bands, 1, &workspace)
        release(&workspace)
        return 0

    cdef int run(self, Memory memory, list arrays) except -1:
        if self.before is not None:
            return self.run_behind(memory)
        cdef Each job = self.each
        cdef Each *e = &job
        cdef Planes *y = &self.common.y
        self.locate(memory, &e.common)
        cdef int threads = threads_for(self.work, y.n * y.blocks * y.h)
        e.bands = min(y.h, max(<idx>1, parts(TASKS * threads, y.n * y.blocks))) if threads > 1 else 1
        run_on_threads(filter_each, e, y.n * y.blocks * e.bands, threads)
        return 0
