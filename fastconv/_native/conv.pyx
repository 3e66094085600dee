"""The loop nests of the three passes of convolution: over groups, blocks of pixels, channels and filters.

Forward and input gradient are one nest, `Gather`: each output pixel gathers, through a list of taps, from a source. For
the input gradient the source is dy, and every residue of the stride is a dense gather of its own (equation 12.6 of
the textbook; no zeros are inserted). The weight gradient is a second nest, `Correlate` (equation 12.5).

Both read the source through `Grid`: in place where every tap falls inside the image and the rows are dense, otherwise
out of a staged copy of a block's rows, padded with zeros and split by the stride's residues, so that neighbouring
pixels are neighbours in memory.
"""

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from fastconv._native cimport depthwise, winograd
from fastconv._native.checks cimport (
    DENSE_RESULT, READ, check_array, check_axis, check_bytes, check_convolution,
)
from fastconv._native.kernels cimport (
    FC_AHEAD, FC_MAX_ROWS, FC_MAX_VECS, even, fc_ahead, fc_flush_subnormals, fc_kernels, fc_piece, fc_restore_mode,
    fc_run, idx, parts, up,
)
from fastconv._native.memory cimport LINE, give, take
from fastconv._native.problem cimport Image, as_image
from fastconv._native.runtime cimport keeps_busy, kernels_of, threads_for

cnp.import_array()

cdef enum:
    DEPTH = 400            # (channel, tap) pairs reduced in one go: a panel of pixels of this depth stays in L1
    MOST_DEPTH = 1024      # such pairs in one sum where nothing is packed: a longer one would round worse
    TILES = 4              # of filters that meet a panel in one call
    STAGE_BYTES = 262144   # what a block's staged rows may take of L2
    PART_FILTERS = 256     # of a part of the weight gradient, and its (channel, tap) pairs: their sums stay near L2
    PART_PAIRS = 400
    SLICE_PIXELS = 1024    # the fewest that have large sums of their own
    GROUP_BYTES = 131072   # of pixels that stay in L2 beside them
    NEAR_BYTES = 32768     # of filters that meet a few pixels at a time
    FEW_CHANNELS = 16      # of one tap: the sums are short
    FEW_TILES = 8          # of filters: reading pixels as often where they lie costs less than packing them
    PIXELS = 16            # whose channels, neighbours in memory, are copied at a time
    FEW_COLS = 16          # in a row that is staged as a whole rather than at its ends
    GRID_TABLES = 6        # tables of an element a tap: Grid's own five, and the filters' offsets


# ---- where pixels come from ----------------------------------------------------------------------------------------

cdef struct Grid:
    # Output pixel (p, q) reads, at tap t, source pixel (p * step_h + tap_h[t], q * step_w + tap_w[t]).
    idx N, P, Q
    idx step_h, step_w
    idx T
    idx *tap_h
    idx *tap_w
    idx min_h, min_w, reach_h, reach_w
    bint inside                    # no tap of any pixel leaves the source
    idx n_slots                    # residues of the stride that some tap falls on
    idx *slot_h
    idx *slot_w
    idx *tap_slot
    # Blocks: some images, or some rows of one, or some columns of one row.
    idx images, rows, cols
    idx blocks_n, blocks_p, blocks_q
    # Staged layout [channel][image][slot][row][col].
    idx stage_rows, stage_pitch, stage_image, stage_channel


cdef struct Block:
    idx n0, p0, q0
    idx images, rows, cols
    # How the block's pixels are addressed, from `base`.
    char *base
    idx s_image, s_row, s_col


cdef inline idx residue(idx a, idx m) noexcept nogil:
    return ((a % m) + m) % m


cdef void set_grid_tables(Grid *g, idx *memory) noexcept nogil:
    g.tap_h = memory
    g.tap_w = g.tap_h + g.T
    g.tap_slot = g.tap_w + g.T
    g.slot_h = g.tap_slot + g.T
    g.slot_w = g.slot_h + g.T


cdef void survey(Grid *g, const Image *x) noexcept nogil:
    """Fill in what follows from the sizes and taps."""
    cdef idx t, s, rh, rw
    cdef idx max_h = 0, max_w = 0
    g.min_h = g.min_w = 0
    for t in range(g.T):
        if t == 0 or g.tap_h[t] < g.min_h:
            g.min_h = g.tap_h[t]
        if t == 0 or g.tap_h[t] > max_h:
            max_h = g.tap_h[t]
        if t == 0 or g.tap_w[t] < g.min_w:
            g.min_w = g.tap_w[t]
        if t == 0 or g.tap_w[t] > max_w:
            max_w = g.tap_w[t]
    # A stride that is never taken is none.
    if g.P == 1:
        g.step_h = 1
    if g.Q == 1:
        g.step_w = 1
    g.reach_h = (max_h - g.min_h) // g.step_h
    g.reach_w = (max_w - g.min_w) // g.step_w
    g.inside = (g.min_h >= 0 and g.min_w >= 0 and max_h + (g.P - 1) * g.step_h < x.h
                and max_w + (g.Q - 1) * g.step_w < x.w)
    g.n_slots = 0
    for t in range(g.T):
        rh = (g.tap_h[t] - g.min_h) % g.step_h
        rw = (g.tap_w[t] - g.min_w) % g.step_w
        s = 0
        while s < g.n_slots and (g.slot_h[s] != rh or g.slot_w[s] != rw):
            s += 1
        if s == g.n_slots:
            g.slot_h[s] = rh
            g.slot_w[s] = rw
            g.n_slots += 1
        g.tap_slot[t] = s


cdef idx fullest(idx most, idx pixels, idx lanes) noexcept nogil:
    """How many images of so many pixels, from half of `most` to `most`, fill vectors best."""
    cdef idx n, best = most
    cdef double waste, least = 1e30
    for n in range(most, max(0, (most - 1) // 2), -1):
        waste = <double>up(n * pixels, lanes) / (n * pixels)
        if waste < least - 1e-9:
            best, least = n, waste
    return best


cdef void cut_blocks(Grid *g, idx target, idx width, idx lanes) noexcept nogil:
    """Blocks of about `target` pixels that fill panels of `width`, and the staged layout that goes with them."""
    target = max(target, 1)
    g.cols = g.Q if g.Q <= 2 * target else up(even(g.Q, target), width)
    g.rows = 1
    g.images = 1
    if g.cols == g.Q:
        g.rows = even(g.P, max(1, min(g.P, target // max(g.cols, 1))))
        if g.rows == g.P:
            g.images = even(g.N, max(1, min(g.N, (2 if width > 1 else 1) * target // (g.P * g.Q))))
            if 1 < g.images < g.N:
                g.images = fullest(g.images, g.P * g.Q, min(width, lanes))
    g.blocks_n = parts(g.N, g.images)
    g.blocks_p = parts(g.P, g.rows)
    g.blocks_q = parts(g.Q, g.cols)
    g.stage_rows = g.rows + g.reach_h
    g.stage_pitch = g.cols + g.reach_w
    g.stage_image = g.n_slots * g.stage_rows * g.stage_pitch
    # Never a whole number of pages apart: the same pixel of many channels would fall into one cache set.
    g.stage_channel = up(g.images * g.stage_image, 16) + 16


cdef inline idx staged_offset(const Grid *g, idx t) noexcept nogil:
    return ((g.tap_slot[t] * g.stage_rows + (g.tap_h[t] - g.min_h) // g.step_h) * g.stage_pitch
            + (g.tap_w[t] - g.min_w) // g.step_w)


cdef inline idx direct_offset(const Grid *g, const Image *x, idx t) noexcept nogil:
    return g.tap_h[t] * x.s_h + g.tap_w[t] * x.s_w


cdef bint narrow(const Image *x) noexcept nogil:
    """Whether offsets between an image's pixels fit into 32 bits."""
    return (x.n * max(x.s_n, -x.s_n) + x.c * max(x.s_c, -x.s_c) + x.h * max(x.s_h, -x.s_h)
            + x.w * max(x.s_w, -x.s_w) < 2147483647)


cdef void locate(const Grid *g, idx index, Block *b) noexcept nogil:
    cdef idx n = index // (g.blocks_p * g.blocks_q)
    cdef idx p = index // g.blocks_q % g.blocks_p
    cdef idx q = index % g.blocks_q
    b.n0 = n * g.images
    b.p0 = p * g.rows
    b.q0 = q * g.cols
    b.images = min(g.images, g.N - b.n0)
    b.rows = min(g.rows, g.P - b.p0)
    b.cols = min(g.cols, g.Q - b.q0)


cdef void stage_channels(const fc_kernels *kern, char *dst, idx dst_channel, idx pitch, const Image *x, char *src,
                         idx src_h, idx src_w, idx n_channels, idx n_rows, idx first, idx last, idx left, idx count,
                         idx right) noexcept nogil:
    """Stage rows of some channels; where channels are neighbours in memory, a vector of them at a time."""
    cdef idx z = kern.itemsize, lanes = kern.lanes, whole = 0, piece = even(count, 8 * lanes), c, i, q, n, at, here
    if x.s_c == 1 and src_w != 1 and count >= lanes:
        # A last vector of less than half is not worth it.
        whole = n_channels
        if 2 * (n_channels % lanes) < lanes:
            whole -= n_channels % lanes
    for c in range(whole if left + right > 0 or last - first < n_rows else 0):
        kern.move.stage(dst + c * dst_channel * z, pitch, src, 0, 1, n_rows, 0, n_rows, left + count + right, 0, 0, 0)
    for i in range(first, last if whole > 0 else first):
        q = 0
        # All channels of a few pixels while they are in L1.
        while q < count:
            n = min(piece, count - q)
            c = 0
            while c < whole:
                here = min(lanes, whole - c)
                at = (i - first) * src_h + q * src_w + c
                if src + (at + max(0, (n - 1) * src_w) + lanes) * z <= x.end:
                    kern.move.untranspose(dst + (c * dst_channel + i * pitch + left + q) * z, dst_channel, src + at * z,
                                     src_w, here, n)
                else:
                    for at in range(c, c + here):
                        kern.move.stage(dst + (at * dst_channel + i * pitch + left + q) * z, pitch,
                                   src + ((i - first) * src_h + q * src_w + at) * z, 0, src_w, 1, 0, 1, 0, n, 0, 0)
                c += lanes
            q += n
    for c in range(whole, n_channels):
        kern.move.stage(dst + c * dst_channel * z, pitch, src + c * x.s_c * z, src_h, src_w, n_rows, first, last, left,
                   count, right, 0)


cdef void stage(const fc_kernels *kern, const Image *x, const Grid *g, Block *b, idx c0, idx n_channels,
                char *buffer) noexcept nogil:
    """Copy what the block reads of channels c0 ... into `buffer`, and address the block there."""
    cdef idx z = kern.itemsize
    cdef idx c = 0, n, s, h0, w0, first, last, left, count, at
    cdef idx n_rows = b.rows + g.reach_h, n_cols = b.cols + g.reach_w
    # Residues share lines: all of a few channels, while these are in L1.
    cdef idx few = n_channels if g.n_slots == 1 else kern.lanes
    while c < n_channels:
        for s in range(g.n_slots):
            h0 = b.p0 * g.step_h + g.min_h + g.slot_h[s]
            w0 = b.q0 * g.step_w + g.min_w + g.slot_w[s]
            first = min(max(0, parts(-h0, g.step_h)), n_rows) if h0 < 0 else 0
            last = max(first, min(n_rows, parts(x.h - h0, g.step_h))) if x.h > h0 else first
            left = min(parts(-w0, g.step_w), n_cols) if w0 < 0 else 0
            count = max(0, min(n_cols, parts(x.w - w0, g.step_w)) - left) if x.w > w0 else 0
            if count == 0:
                first = last = n_rows
            # The first pixel that is copied; beyond the image, there may be no such address.
            at = (h0 + first * g.step_h) * x.s_h + (w0 + left * g.step_w) * x.s_w if first < last else 0
            for n in range(b.images):
                stage_channels(kern, buffer + (c * g.stage_channel + n * g.stage_image
                                               + s * g.stage_rows * g.stage_pitch) * z,
                               g.stage_channel, g.stage_pitch, x,
                               x.data + ((b.n0 + n) * x.s_n + (c0 + c) * x.s_c + at) * z, g.step_h * x.s_h,
                               g.step_w * x.s_w, min(few, n_channels - c), n_rows, first, last, left, count,
                               n_cols - left - count)
        c += few
    b.base = buffer
    b.s_image = g.stage_image
    b.s_row = g.stage_pitch
    b.s_col = 1


cdef struct Ahead:
    # Rows of an image that will be copied later, asked for a share with each tile.
    const char *data         # of channel 0 of image 0
    idx s_n, s_c, extent     # in bytes: from one image, and channel, to the next, and a channel
    idx images, channels
    idx steps, share         # of a tile: how often it asks for two lines, and the bytes in these
    idx n, c, at             # what is asked for next
    idx shares, tiles, due   # how many there are; `due` grows by `shares` with each tile, and a share costs `tiles`


cdef void plan_ahead(Ahead *ahead, idx steps, idx tiles) noexcept nogil:
    """Fill in what follows from the images and channels, a tile's steps and the number of tiles."""
    ahead.n = ahead.c = ahead.at = ahead.due = 0
    if steps == 0:
        ahead.images = 0
        return
    if ahead.extent == ahead.s_c:
        ahead.extent, ahead.channels = ahead.extent * ahead.channels, 1
    ahead.steps, ahead.share = steps, 2 * LINE * steps
    ahead.shares = ahead.images * ahead.channels * parts(ahead.extent, ahead.share)
    ahead.tiles = tiles


cdef void look_ahead(Ahead *ahead, const Image *x, const Grid *g, const Block *b, idx c0, idx n_channels, idx steps,
                     idx tiles, idx z) noexcept nogil:
    """Plan to ask for what stage() will copy of these channels."""
    cdef idx first = max(0, b.p0 * g.step_h + g.min_h)
    cdef idx last = min(x.h, (b.p0 + b.rows + g.reach_h) * g.step_h + g.min_h)
    if x.s_w != 1 or x.s_h <= 0 or first >= last:
        return
    ahead.data = x.data + (b.n0 * x.s_n + c0 * x.s_c + first * x.s_h) * z
    ahead.s_n, ahead.s_c, ahead.extent = x.s_n * z, x.s_c * z, ((last - first - 1) * x.s_h + x.w) * z
    ahead.images, ahead.channels = b.images, n_channels
    plan_ahead(ahead, steps, tiles)


cdef inline void ask(Ahead *ahead, idx z, fc_ahead *next) noexcept nogil:
    """Where a tile's share begins, and how many elements its steps are apart; nothing new where nothing is due."""
    cdef idx size
    ahead.due += ahead.shares
    if ahead.n == ahead.images or ahead.due < ahead.tiles:
        return
    ahead.due -= ahead.tiles
    next.start = ahead.data + ahead.n * ahead.s_n + ahead.c * ahead.s_c + ahead.at
    size = min(ahead.share, ahead.extent - ahead.at)
    ahead.at += size
    if ahead.at == ahead.extent:
        ahead.at = 0
        ahead.c += 1
    if ahead.c == ahead.channels:
        ahead.c = 0
        ahead.n += 1
    next.step = parts(size, ahead.steps * z)


cdef void in_place(const fc_kernels *kern, const Image *x, const Grid *g, Block *b, idx c0) noexcept nogil:
    """Address the block's pixels where they are."""
    b.base = x.data + (b.n0 * x.s_n + c0 * x.s_c + b.p0 * g.step_h * x.s_h + b.q0 * g.step_w * x.s_w) * kern.itemsize
    b.s_image = x.s_n
    b.s_row = g.step_h * x.s_h
    b.s_col = g.step_w * x.s_w


cdef void stage_lanes(const fc_kernels *kern, const Image *x, const Grid *g, Block *b, idx c0, idx n_channels,
                      char *buffer) noexcept nogil:
    """The same of one tap inside the image and channels that are neighbours in memory: [vector][pixel][channel]."""
    cdef idx z = kern.itemsize, lanes = kern.lanes, whole = n_channels - n_channels % lanes, n
    cdef idx apart = lanes * g.stage_channel
    cdef char *to
    cdef const char *data
    in_place(kern, x, g, b, c0)
    for n in range(b.images):
        to, data = buffer + n * b.rows * b.cols * lanes * z, b.base + (n * b.s_image + direct_offset(g, x, 0)) * z
        kern.windows.to_lanes(to, b.cols, apart, data, b.s_row, 1, b.s_col, whole, b.rows, b.cols, False)
        if whole < n_channels:
            kern.windows.to_lanes(to + whole * g.stage_channel * z, b.cols, apart, data + whole * z, b.s_row, 1, b.s_col,
                          n_channels - whole, b.rows, b.cols, False)
    b.base = buffer
    b.s_image, b.s_row, b.s_col = b.rows * b.cols * lanes, b.cols * lanes, lanes


# ---- forward and input gradient ------------------------------------------------------------------------------------

cdef struct Gather:
    # y[n, g*K + k, p, q] = bias[g*K + k] + sum_{c, t} w[g, k, c, t] * x[n, g*C + c, p*step_h + tap_h[t], ...]
    const fc_kernels *kern
    idx G, K, C
    Image x
    Image y
    Grid grid
    char *w
    idx w_g, w_k, w_c
    idx *w_tap
    char *bias           # dense, or NULL
    # schedule
    bint outer           # filters along the lanes; otherwise pixels
    bint in_place        # outer: x is read where it lies
    bint near            # channels along the lanes, which are neighbours in memory
    idx R, S             # near: rows and columns of taps, in their order in the source, which may be the reverse
    idx apart_h, apart_w
    bint flip_h, flip_w
    bint packed          # pixels are packed into panels; otherwise the tiles read them where they lie
    bint dense           # rows of pixels follow each other without a gap in the source, read in place
    idx target           # pixels in a block, or 0 to choose
    idx chunk, n_chunks  # channels reduced in one go
    idx n_blocks
    idx k_tile           # filters in a tile
    idx k_parts, k_part  # filters are split too where there are fewer blocks than threads
    idx width            # of a panel, in elements
    # tables
    char *a              # filters, packed: [group][chunk][tile][channel, tap][filter]
    idx *staged
    idx *direct
    # scratch of a thread
    size_t stage_size, panel_size, tile_size, runs_size
    size_t filters_size


cdef idx y_runs(const Gather *j, const Block *b, idx f0, idx count, fc_run *runs) noexcept nogil:
    """The runs of y that pixels f0 ... f0 + count of the block are, from the block's image n0 and filter 0."""
    cdef idx n_runs = 0, n, p, q, length, at
    cdef bint plane = j.y.s_h == b.cols * j.y.s_w
    while count > 0:
        n = f0 // (b.rows * b.cols)
        p = f0 // b.cols % b.rows
        q = f0 % b.cols
        length = min(count, (b.rows - p) * b.cols - q if plane else b.cols - q)
        at = n * j.y.s_n + (b.p0 + p) * j.y.s_h + (b.q0 + q) * j.y.s_w
        runs[n_runs].offset = at
        runs[n_runs].count = length
        n_runs += 1
        f0 += length
        count -= length
    return n_runs


cdef idx x_pieces(const Block *b, idx f0, idx count, idx most, fc_piece *pieces) noexcept nogil:
    """Where pixels f0 ... f0 + count of the block lie, from the block's base, in pieces of up to `most`."""
    cdef idx n_pieces = 0, n, p, q, length, to = 0
    cdef bint dense = b.s_row == b.cols * b.s_col
    while to < count:
        n = f0 // (b.rows * b.cols)
        p = f0 // b.cols % b.rows
        q = f0 % b.cols
        length = min(min(count - to, most), (b.rows - p) * b.cols - q if dense else b.cols - q)
        pieces[n_pieces].source = n * b.s_image + p * b.s_row + q * b.s_col
        pieces[n_pieces].to = to
        n_pieces += 1
        f0 += length
        to += length
    return n_pieces


cdef bint readable(const Gather *j, const Block *b, idx c0, idx channels) noexcept nogil:
    """Whether whole vectors can be read in place for these channels without leaving the source's memory."""
    cdef idx n = b.images - 1, far = 0, t
    for t in range(j.grid.T):
        far = max(far, j.direct[t])
    far += n * b.s_image + (b.rows - 1) * b.s_row + (channels - 1) * j.x.s_c + (b.cols - 1) * b.s_col
    return (j.x.s_n >= 0 and j.x.s_c >= 0 and j.x.s_h >= 0
            and b.base + (far + b.s_col * j.kern.lanes) * j.kern.itemsize <= j.x.end)


cdef bint packable(const Gather *j) noexcept nogil:
    """Whether pixels can be packed from where they lie: neighbours, or every second where each is read once."""
    return (j.grid.inside and j.x.s_w == 1
            and (j.grid.step_w == 1 or (j.grid.step_w == 2 and j.grid.T == 1)))


cdef inline bint turnable(const Gather *j, const Block *b) noexcept nogil:
    """Whether panels are transposed pixels: of one tap, their channels neighbours in memory, all as far apart."""
    return (j.grid.inside and j.grid.T == 1 and j.x.s_c == 1 and j.x.s_w != 1
            and (b.rows == 1 or b.s_row == b.cols * b.s_col)
            and (b.images == 1 or b.s_image == b.rows * b.cols * b.s_col))


cdef inline idx panel_pixels(const Gather *j, idx rest) noexcept nogil:
    """Pixels in the next panel where `rest` are left: one vector has too few sums to keep the units busy."""
    if j.width < rest <= j.width + j.kern.lanes:
        return j.width - j.kern.lanes
    return min(j.width, rest)


cdef void gather_packed(const Gather *j, idx g, Block *b, idx k0, idx k1, char *scratch) noexcept nogil:
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize
    cdef char *stage_buffer = scratch
    cdef char *panel = stage_buffer + j.stage_size
    cdef char *sums = panel + j.panel_size
    cdef fc_piece *pieces = <fc_piece *>(sums + j.tile_size)
    cdef fc_piece *ahead = pieces + j.width
    cdef fc_run *to_runs = <fc_run *>(ahead + j.width + 1)
    cdef idx chunk, c0, channels, depth, f0, count, vecs, k, rows, tiles, n_pieces, n_to
    cdef idx n_pixels = b.images * b.rows * b.cols
    cdef const idx *offsets
    cdef char *a
    cdef char *y
    cdef char *to
    cdef const char *bias
    cdef bint whole, turned
    cdef idx n_ahead, n_panels = parts(n_pixels, j.width), to_row
    # Of the next panel's pieces and their channels, those that are asked for next, a share with each tile.
    cdef idx piece, asked, here, share
    cdef fc_ahead next
    cdef Ahead rows_ahead
    cdef Block next_block
    cdef idx next_c = 0, next_index = 1 + b.q0 // j.grid.cols + j.grid.blocks_q * (
        b.p0 // j.grid.rows + j.grid.blocks_p * (b.n0 // j.grid.images))
    for chunk in range(j.n_chunks):
        c0 = chunk * j.chunk
        channels = min(j.chunk, j.C - c0)
        depth = channels * j.grid.T
        in_place(kern, &j.x, &j.grid, b, g * j.C + c0)
        offsets = j.direct
        turned = turnable(j, b)
        if not (turned or packable(j) and readable(j, b, g * j.C + c0, channels)):
            stage(kern, &j.x, &j.grid, b, g * j.C + c0, channels, stage_buffer)
            offsets = j.staged
        next_block, next_c = b[0], c0 + channels
        if next_c == j.C:
            next_c = 0
            locate(&j.grid, next_index, &next_block)
        memset(&rows_ahead, 0, sizeof(Ahead))
        if offsets == j.staged and (next_c > 0 or next_index < j.n_blocks):
            look_ahead(&rows_ahead, &j.x, &j.grid, &next_block, g * j.C + next_c, min(j.chunk, j.C - next_c),
                       TILES * (depth // FC_AHEAD), n_panels * parts(k1 - k0, TILES * kern.product.rows), z)
        f0 = 0
        while f0 < n_pixels:
            count = panel_pixels(j, n_pixels - f0)
            vecs = parts(count, kern.lanes)
            # What comes next is far, and asked for while this is computed: the next panel's pixels where they are
            # packed from where they lie, or rows of the next channels to be staged.
            n_ahead = 0
            if offsets != j.staged and f0 + count < n_pixels and not turned:
                here = panel_pixels(j, n_pixels - f0 - count)
                n_ahead = x_pieces(b, f0 + count, here, 2 * LINE // (z * b.s_col), ahead)
                ahead[n_ahead].to = here
            piece = asked = 0
            n_to = y_runs(j, b, f0, count, to_runs)
            if turned:
                kern.move.transpose(panel, j.width, b.base + (offsets[0] + f0 * b.s_col) * z, b.s_col, 1, count, channels)
            else:
                n_pieces = x_pieces(b, f0, count, kern.lanes, pieces)
                kern.move.pack_pixels(panel, j.width, b.base, depth, offsets, n_pieces, pieces, b.s_col)
            whole = n_to == 1 and count == vecs * kern.lanes and j.y.s_w == 1
            k = k0
            while k < k1:
                rows = min(kern.product.rows, k1 - k)
                tiles = min(TILES, (k1 - k) // rows)
                share = tiles * (depth // FC_AHEAD)
                a = j.a + (((g * j.C + c0) * j.K + k * channels) * j.grid.T) * z
                y = j.y.data + (b.n0 * j.y.s_n + (g * j.K + k) * j.y.s_c) * z
                bias = j.bias + (g * j.K + k) * z if j.bias != NULL else NULL
                next.start, next.step = panel, 0
                if offsets == j.staged:
                    ask(&rows_ahead, z, &next)
                elif piece < n_ahead:
                    # Two lines, the second of which holds the piece's last pixel.
                    next.step = j.x.s_c
                    next.start = b.base - LINE + (ahead[piece].source + min(asked, max(0, channels - share)) * j.x.s_c
                                                  + (ahead[piece + 1].to - ahead[piece].to - 1) * b.s_col) * z
                    asked += share
                    if asked >= channels:
                        asked = 0
                        piece += 1
                to, to_row = y + to_runs[0].offset * z, j.y.s_c
                if not whole:
                    # Where there are more chunks, all of the block stay here until the last one.
                    to_row = vecs * kern.lanes
                    to = sums + (f0 * (k1 - k0) + (k - k0) * to_row if j.n_chunks > 1 else 0) * z
                kern.product.panel[rows - 1][vecs - 1](tiles, depth, a, panel, to, to_row, bias, chunk > 0, &next)
                if not whole and chunk + 1 == j.n_chunks:
                    kern.move.scatter(to, to_row, y, j.y.s_c, j.y.s_w, tiles * rows, n_to, to_runs)
                k += tiles * rows
            f0 += count


cdef void gather_unpacked(const Gather *j, idx g, Block *b, idx k0, idx k1, char *scratch) noexcept nogil:
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, lanes = kern.lanes
    cdef char *tile = scratch + j.stage_size
    cdef idx depth = j.C * j.grid.T
    cdef idx n, p, k, rows, q, vecs, run, n_rows, n_safe, left, tiles
    cdef const idx *offsets = j.direct
    cdef char *a
    cdef char *y
    cdef char *x
    cdef const char *bias
    cdef fc_run to
    in_place(kern, &j.x, &j.grid, b, g * j.C)
    n_rows, run = b.rows, b.cols
    if j.dense and b.cols == j.grid.Q:
        n_rows, run = 1, b.rows * b.cols
    if not (j.grid.inside and j.x.s_w == 1 and j.grid.step_w == 1 and run >= lanes):
        stage(kern, &j.x, &j.grid, b, g * j.C, j.C, scratch)
        offsets = j.staged
        n_rows, run = b.rows, b.cols
    # Rows that whole vectors may be stored to: what is too much falls into rows still to be computed.
    n_safe = 0
    if j.y.s_w == 1 and run >= lanes:
        n_safe = n_rows
    elif j.y.s_w == 1 and j.y.s_h == run:
        n_safe = max(0, n_rows - (lanes - 1) // run)
    to.offset = 0
    # Whole planes of the next block, which will be staged, come near meanwhile: a share with each row.
    cdef bint ahead = (offsets == j.staged and b.rows == j.grid.P and b.cols == j.grid.Q and j.x.s_w == 1
                       and j.x.s_h == j.x.w and j.x.s_c == j.x.h * j.x.w)
    cdef idx share = parts(j.C * j.x.s_c, n_rows * parts(k1 - k0, kern.product.rows)), done
    for n in range(b.images):
        k = k0
        ahead = ahead and b.n0 + b.images + n < j.x.n
        done = 0
        while k < k1:
            rows = min(kern.product.rows, k1 - k)
            a = j.a + ((g * j.C * j.K + k * j.C) * j.grid.T) * z
            bias = j.bias + (g * j.K + k) * z if j.bias != NULL else NULL
            x = b.base + n * b.s_image * z
            y = j.y.data + ((b.n0 + n) * j.y.s_n + (g * j.K + k) * j.y.s_c + b.p0 * j.y.s_h + b.q0 * j.y.s_w) * z
            p = 0
            while p < n_safe:
                # The last vector, or tile, of a row moves left until it fits, and computes some pixels again.
                if run < kern.product.vecs[rows] * lanes:
                    vecs = min(kern.product.vecs[rows], n_safe - p)
                    q = 0
                    while q < run:
                        q = max(0, min(q, run - lanes))
                        kern.product.strip[rows - 1][vecs - 1](depth, a, x + (p * b.s_row + q) * z, offsets, b.s_row,
                                                       y + (p * j.y.s_h + q) * z, j.y.s_c, j.y.s_h, bias)
                        q += lanes
                    p += vecs
                else:
                    if ahead:
                        kern.move.fetch(j.x.data + ((b.n0 + b.images + n) * j.x.s_n + g * j.C * j.x.s_c + done) * z, 0, 1,
                                   min(share, j.C * j.x.s_c - done))
                        done += share
                    q, left = 0, parts(run, lanes)
                    tiles = parts(left, kern.product.vecs[rows])
                    while q < run:
                        vecs = parts(left, tiles)
                        left -= vecs
                        tiles -= 1
                        q = min(q, run - vecs * lanes)
                        kern.product.tile[rows - 1][vecs - 1](depth, a, x + (p * b.s_row + q) * z, offsets,
                                                      y + (p * j.y.s_h + q) * z, j.y.s_c, bias, 0)
                        q += vecs * lanes
                    p += 1
            while p < n_rows:
                q = 0
                while q < run:
                    vecs = min(kern.product.vecs[rows], parts(run - q, lanes))
                    to.count = min(vecs * lanes, run - q)
                    kern.product.tile[rows - 1][vecs - 1](depth, a, x + (p * b.s_row + q) * z, offsets, tile, vecs * lanes,
                                                  bias, 0)
                    kern.move.scatter(tile, vecs * lanes, y + (p * j.y.s_h + q * j.y.s_w) * z, j.y.s_c, j.y.s_w, rows, 1,
                                 &to)
                    q += vecs * lanes
                p += 1
            k += rows


cdef void gather_outer(const Gather *j, idx g, Block *b, idx k0, idx k1, char *scratch) noexcept nogil:
    """As the weight gradient's outer form does: pixels are read one by one, in any layout, and meet all filters."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, depth = j.C * j.grid.T
    cdef idx n_pixels = b.images * b.rows * b.cols, n, p, q, i = 0, k = k0, width, rows, r, count
    cdef char *sums = scratch + j.stage_size
    cdef idx *pixels = <idx *>(sums + j.tile_size)
    cdef int32_t *offsets = <int32_t *>(<char *>pixels + j.panel_size)
    cdef const idx *wide = j.direct
    cdef fc_ahead nothing
    cdef char *from_
    cdef char *y
    if j.in_place:
        in_place(kern, &j.x, &j.grid, b, g * j.C)
    else:
        stage(kern, &j.x, &j.grid, b, g * j.C, j.C, scratch)
        wide = j.staged
    for n in range(b.images):
        for p in range(b.rows):
            for q in range(b.cols):
                pixels[i] = n * b.s_image + p * b.s_row + q * b.s_col
                i += 1
    # A ragged last tile repeats the last pixel; what it sums there is not used.
    for i in range(n_pixels, up(n_pixels, kern.correlate.outer_rows)):
        pixels[i] = pixels[n_pixels - 1]
    for i in range(depth):
        offsets[i] = <int32_t>wide[i]
    nothing.start, nothing.step = b.base, 0
    # The output is dense, but for the gaps between a block's columns.
    n, p, count = b.images, b.rows, b.cols
    if j.y.s_h == count:
        p, count = 1, b.rows * b.cols
    while k < k1:
        width = j.k_tile if k1 - k > kern.lanes else kern.lanes
        rows = min(width, k1 - k)
        # Sums begin with the bias.
        memset(sums, 0, width * z)
        if j.bias != NULL:
            memcpy(sums, j.bias + (g * j.K + k) * z, rows * z)
        i = 1
        while i < n_pixels:
            memcpy(sums + i * width * z, sums, min(i, n_pixels - i) * width * z)
            i *= 2
        i = 0
        while i < n_pixels:
            kern.correlate.outer[width // kern.lanes - 1](depth, offsets, b.base, pixels + i,
                                                j.a + (g * up(j.K, kern.lanes) + k) * depth * z, sums + i * width * z,
                                                &nothing)
            i += kern.correlate.outer_rows
        from_ = sums
        for i in range(b.images * p):
            y = j.y.data + ((b.n0 + i // p) * j.y.s_n + (g * j.K + k) * j.y.s_c + (b.p0 + i % p) * j.y.s_h + b.q0) * z
            r = 0
            while r < rows:
                kern.move.untranspose(y + r * j.y.s_c * z, j.y.s_c, from_ + r * z, width, min(kern.lanes, rows - r), count)
                r += kern.lanes
            from_ += count * width * z
        k += width


cdef void pack_near(const Gather *j) noexcept nogil:
    """Filters as a pixel's window lies in memory: [filter][tap][channel]."""
    cdef idx z = j.kern.itemsize, to = 0, g, k, r, s, c, at
    for g in range(j.G):
        for k in range(j.K):
            for r in range(j.R):
                for s in range(j.S):
                    at = g * j.w_g + k * j.w_k + j.w_tap[(j.R - 1 - r if j.flip_h else r) * j.S
                                                         + (j.S - 1 - s if j.flip_w else s)]
                    for c in range(j.C):
                        if z == 4:
                            (<float *>j.a)[to] = (<const float *>j.w)[at + c * j.w_c]
                        else:
                            (<double *>j.a)[to] = (<const double *>j.w)[at + c * j.w_c]
                        to += 1


cdef void near_run(const Gather *j, idx g, idx n, idx p, idx q0, idx q1, idx k0, idx k1, char *scratch) noexcept nogil:
    """Outputs q0 ... q1 of row p: their windows where they lie, or staged with zeros around them."""
    cdef const fc_kernels *kern = j.kern
    cdef const Image *x = &j.x
    cdef idx z = kern.itemsize, h0 = p * j.grid.step_h + j.grid.min_h, w0 = q0 * j.grid.step_w + j.grid.min_w
    cdef idx width = (q1 - 1 - q0) * j.grid.step_w + (j.S - 1) * j.apart_w + 1
    cdef idx row = j.apart_h * x.s_h, pixel = x.s_w, left = min(width, max(0, -w0)), r, q, c, k, filters, h
    cdef idx count = max(0, min(width, x.w - w0) - left), depth = j.C * j.grid.T, cols = kern.correlate.dot_cols
    cdef char *data = x.data + (n * x.s_n + g * j.C + h0 * x.s_h + w0 * x.s_w) * z
    cdef char *start = scratch + j.stage_size
    cdef char *tile = start + j.panel_size
    cdef idx[FC_MAX_ROWS] places
    cdef fc_run to
    if (h0 < 0 or h0 + (j.R - 1) * j.apart_h >= x.h or count < width
            or data + ((width - 1) * pixel + max(0, (j.R - 1) * row) + j.C + kern.lanes) * z > x.end):
        for r in range(j.R):
            h = h0 + r * j.apart_h
            c = count if 0 <= h < x.h else 0
            # Beyond the image there may be no address.
            kern.move.stage(scratch + r * width * j.C * z, j.C, data + (r * row + left * pixel) * z if c > 0 else x.data,
                       pixel, 1, width, left, left + c, 0, j.C, 0, 0)
        data, pixel, row = scratch, j.C, width * j.C
    cdef bint whole = j.apart_w * pixel == j.C
    to.offset = 0
    q = q0
    while q < q1:
        to.count = min(cols, q1 - q)
        # A ragged last tile repeats the last pixel; what it sums there is not used.
        for c in range(cols):
            places[c] = min(q - q0 + c, q1 - 1 - q0) * j.grid.step_w * pixel
        k = k0
        while k < k1:
            filters = min(j.k_tile, k1 - k)
            memcpy(tile, start + (k - k0) * cols * z, filters * cols * z)
            kern.correlate.dot[filters - 1](j.R, 1 if whole else j.S, j.S * j.C if whole else j.C,
                                  j.a + (g * j.K + k) * depth * z, depth, j.S * j.C, j.C, data, places, row,
                                  j.apart_w * pixel, tile)
            kern.move.scatter(tile, cols, j.y.data + (n * j.y.s_n + (g * j.K + k) * j.y.s_c + p * j.y.s_h + q * j.y.s_w) * z,
                         j.y.s_c, j.y.s_w, filters, 1, &to)
            k += filters
        q += cols


cdef void gather_near(const Gather *j, idx g, const Block *b, idx k0, idx k1, char *scratch) noexcept nogil:
    """Each pixel of a few filters is a sum along the lanes of products with its window."""
    cdef idx z = j.kern.itemsize, k, i, n, p, h, first, last, end = b.q0 + b.cols
    cdef char *start = scratch + j.stage_size
    cdef const Grid *grid = &j.grid
    memset(start, 0, (k1 - k0) * j.kern.correlate.dot_cols * z)
    for k in range(k1 - k0 if j.bias != NULL else 0):
        for i in range(j.kern.correlate.dot_cols):
            memcpy(start + (k * j.kern.correlate.dot_cols + i) * z, j.bias + (g * j.K + k0 + k) * z, z)
    # Outputs whose columns are all inside.
    first = min(end, max(b.q0, parts(-grid.min_w, grid.step_w)))
    h = j.x.w - 1 - grid.min_w - (j.S - 1) * j.apart_w
    last = max(first, min(end, h // grid.step_w + 1 if h >= 0 else 0))
    for n in range(b.n0, b.n0 + b.images):
        for p in range(b.p0, b.p0 + b.rows):
            h = p * grid.step_h + grid.min_h
            if b.cols <= FEW_COLS or h < 0 or h + (j.R - 1) * j.apart_h >= j.x.h:
                near_run(j, g, n, p, b.q0, end, k0, k1, scratch)
                continue
            if b.q0 < first:
                near_run(j, g, n, p, b.q0, first, k0, k1, scratch)
            if first < last:
                near_run(j, g, n, p, first, last, k0, k1, scratch)
            if last < end:
                near_run(j, g, n, p, last, end, k0, k1, scratch)


cdef struct Weave:
    # Gathers of one grid whose pixels interleave: dx[i, j] belongs to the residues of i and j modulo the stride.
    Image dx
    idx stride_h, stride_w
    idx *job_of              # of each residue; -1 where no tap reaches, and dx is zero
    size_t each, plane_size  # bytes of a thread's scratch before the planes, and of one residue's


cdef void gather_block(const Gather *j, idx g, Block *b, idx k0, idx k1, char *scratch) noexcept nogil:
    if j.near:
        gather_near(j, g, b, k0, k1, scratch)
    elif j.outer:
        gather_outer(j, g, b, k0, k1, scratch)
    elif j.packed:
        gather_packed(j, g, b, k0, k1, scratch)
    else:
        gather_unpacked(j, g, b, k0, k1, scratch)


cdef void weave_block(const Gather *jobs, idx n_jobs, const Weave *v, idx g, const Block *whole, idx k0, idx k1,
                      char *scratch) noexcept nogil:
    """Gather each residue's pixels of a block by themselves, then put them in their places in rows of dx."""
    cdef const fc_kernels *kern = jobs[0].kern
    cdef idx z = kern.itemsize, i, n, k, p, a, c, row, at
    cdef idx pixels = whole.rows * whole.cols, channel0 = g * jobs[0].K + k0
    cdef char *planes = scratch + v.each
    cdef char *zeros = planes + n_jobs * v.plane_size
    cdef const void **rows = <const void **>(zeros + up(whole.cols * z, LINE))
    cdef idx count = min(whole.cols * v.stride_w, v.dx.w - whole.q0 * v.stride_w)
    cdef char *to
    cdef bint none
    cdef Gather j
    cdef Block b
    for i in range(n_jobs):
        j = jobs[i]
        b = whole[0]
        j.y.s_n, j.y.s_c, j.y.s_h, j.y.s_w = (k1 - k0) * pixels, pixels, whole.cols, 1
        j.y.data = planes + i * v.plane_size - (
            b.n0 * j.y.s_n + channel0 * j.y.s_c + b.p0 * j.y.s_h + b.q0) * z
        gather_block(&j, g, &b, k0, k1, scratch)
    memset(zeros, 0, whole.cols * z)
    for n in range(whole.images):
        for k in range(k1 - k0):
            for p in range(whole.rows):
                at = ((n * (k1 - k0) + k) * whole.rows + p) * whole.cols * z
                for a in range(v.stride_h):
                    row = (whole.p0 + p) * v.stride_h + a
                    if row >= v.dx.h:
                        break
                    to = v.dx.data + ((whole.n0 + n) * v.dx.s_n + (channel0 + k) * v.dx.s_c + row * v.dx.s_h
                                      + whole.q0 * v.stride_w) * z
                    none = True
                    for c in range(v.stride_w):
                        i = v.job_of[a * v.stride_w + c]
                        rows[c] = zeros if i < 0 else planes + i * v.plane_size + at
                        none &= i < 0
                    if none:
                        memset(to, 0, count * z)
                    else:
                        kern.move.interleave(to, rows, v.stride_w, count)


cdef void gather_task(const Gather *jobs, idx n_jobs, const Weave *weave, idx task, char *scratch) noexcept nogil:
    cdef const Gather *j = &jobs[0]
    cdef Block b
    cdef idx part = task % j.k_parts
    cdef idx block = task // j.k_parts % j.n_blocks
    cdef idx g = task // j.k_parts // j.n_blocks
    cdef idx k0 = part * j.k_part, k1 = min(j.K, part * j.k_part + j.k_part)
    cdef unsigned mode = fc_flush_subnormals()
    locate(&j.grid, block, &b)
    if weave == NULL:
        gather_block(j, g, &b, k0, k1, scratch)
    else:
        weave_block(jobs, n_jobs, weave, g, &b, k0, k1, scratch)
    fc_restore_mode(mode)


cdef void pack_chunk(const Gather *j, idx index) noexcept nogil:
    if index >= j.G * j.n_chunks:
        return
    cdef idx g = index // j.n_chunks, c0 = index % j.n_chunks * j.chunk
    cdef idx channels = min(j.chunk, j.C - c0), k = 0, rows
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes, width, run, t
    cdef char *to
    if j.near:
        if index == 0:
            pack_near(j)
        return
    while j.outer and k < j.K:
        width = j.k_tile if j.K - k > lanes else lanes
        to = j.a + (g * up(j.K, lanes) + k) * j.C * j.grid.T * z
        # Taps that lie side by side as the tables have them are transposed by vectors.
        run = j.C * j.grid.T if j.w_c == j.grid.T else 1
        for t in range(j.grid.T):
            if j.w_tap[t] != t:
                run = 1
        t = 0
        while t < j.C * j.grid.T:
            j.kern.move.transpose(to + t * width * z, width, j.w + (g * j.w_g + k * j.w_k + t // j.grid.T * j.w_c
                                                               + j.w_tap[t % j.grid.T]) * z, j.w_k, 1,
                             min(width, j.K - k), run)
            t += run
        k += width
    while k < j.K:
        rows = min(j.kern.product.rows, j.K - k)
        j.kern.move.pack_filters(j.a + (((g * j.C + c0) * j.K + k * channels) * j.grid.T) * z,
                            j.w + (g * j.w_g + k * j.w_k + c0 * j.w_c) * z,
                            rows, j.w_k, channels, j.w_c, j.grid.T, j.w_tap)
        k += rows


cdef void lattice(Gather *j) noexcept nogil:
    """Rows and columns of the taps, of a convolution or of a residue of the stride, and whether they come reversed."""
    cdef const Grid *g = &j.grid
    j.S, j.apart_h, j.apart_w = 1, 1, 1
    while j.S < g.T and g.tap_h[j.S] == g.tap_h[0]:
        j.S += 1
    j.R = g.T // j.S
    if j.R > 1:
        j.apart_h = g.tap_h[j.S] - g.tap_h[0]
    if j.S > 1:
        j.apart_w = g.tap_w[1] - g.tap_w[0]
    j.flip_h, j.flip_w = j.apart_h < 0, j.apart_w < 0
    j.apart_h, j.apart_w = max(j.apart_h, -j.apart_h), max(j.apart_w, -j.apart_w)


cdef void choose_form(Gather *j, idx run, bint staged) noexcept nogil:
    """Filters along the lanes or pixels, packed or in runs of so many where they lie: by estimated cycles a pixel.

    All forms do two FMAs a cycle, 4 cycles after those that they depend on. Unpacked tiles lose the lanes past the end
    of a run; packing moves pieces of runs; the outer form transposes its sums.
    """
    cdef const fc_kernels *kern = j.kern
    cdef double lanes = kern.lanes, rows = kern.correlate.outer_rows, depth = j.C * j.grid.T
    cdef idx width = kern.correlate.outer_vecs * kern.lanes, rest = parts(j.K % width, kern.lanes)
    cdef double tiles = j.K // width * kern.correlate.outer_vecs / 2.0 + (max(rest / 2.0, 4 / rows) if rest > 0 else 0.0)
    cdef double full = depth * j.K / (2 * lanes), chunks = parts(j.C, max(1, DEPTH // j.grid.T))
    cdef double outer = 1.2 * (depth * tiles + j.K)
    cdef double unpacked = 1.25 * full * up(run, kern.lanes) / run
    cdef double packed = 1.1 * full + depth * (1 / lanes + 2.5 / run) + 0.2 * j.K * chunks
    cdef idx channel_bytes = parts(j.grid.stage_channel, j.grid.rows * j.grid.images) * kern.itemsize
    # Of many channels, each pixel is read too far from the next to stay in L1 by itself. Where few are summed, storing
    # the result is what takes time: whole rows of it, not pieces as wide as a panel.
    j.packed = (staged and j.C * channel_bytes > STAGE_BYTES) or (
        packed < unpacked and (j.grid.T > 1 or depth > FEW_CHANNELS))
    # Packing asks for pixels ahead: even for few filters they would be waited for otherwise, unless all are near.
    cdef bint near_by = (j.K <= FEW_TILES * kern.product.rows and depth <= MOST_DEPTH and j.grid.inside and j.x.s_w == 1
                         and j.grid.step_w == 1
                         and <double>j.C * max(j.x.s_c, -j.x.s_c) * kern.itemsize <= 4 * STAGE_BYTES)
    j.packed |= j.grid.T == 1 and depth >= 32 and not near_by and (packable(j) or (
        j.grid.inside and j.x.s_c == 1 and j.grid.step_w == 1 and j.grid.step_h == 1))
    # The outer form's offsets are of 32 bits, which a window dilated by billions would not fit.
    j.outer = (j.grid.T > 1 and depth <= MOST_DEPTH and <double>j.C * j.grid.stage_channel < 1 << 30
               and outer < (packed if j.packed else unpacked))
    # Channels that are neighbours in memory need not be staged for few filters, but at the ends of rows.
    j.near = False
    if j.x.s_c != 1 or j.x.s_w == 1 or j.K * depth * kern.itemsize > NEAR_BYTES:
        return
    lattice(j)
    cdef double best = outer if j.outer else packed if j.packed else unpacked
    cdef double groups = parts(j.K, kern.correlate.dot_rows), sums = j.K / groups * kern.correlate.dot_cols
    cdef idx vecs = j.R * (parts(j.S * j.C, kern.lanes) if j.apart_w == 1 else j.S * parts(j.C, kern.lanes))
    cdef double near = 1.15 * groups * (vecs * max(4.0, sums / 2) + 100 + 4 * sums)
    if j.grid.Q > FEW_COLS:
        near *= (parts(j.grid.Q, kern.correlate.dot_cols) + (0.0 if j.grid.inside else 2.0)) / j.grid.Q
    else:
        near *= <double>parts(j.grid.Q, kern.correlate.dot_cols) / j.grid.Q
        near += 1.5 * j.R * j.C / lanes
    j.near = near < best + (0.6 if j.grid.T == 1 else 1.5) * j.C
    if j.near:
        j.outer = j.packed = False


cdef void plan_gather(Gather *j) noexcept nogil:
    """Decide how the work is cut."""
    cdef const fc_kernels *kern = j.kern
    cdef Grid *grid = &j.grid
    cdef idx z = kern.itemsize, lanes = kern.lanes
    survey(grid, &j.x)
    j.width = kern.product.vecs[kern.product.rows] * lanes
    j.dense = (grid.inside and j.x.s_w == 1 and grid.step_w == 1 and j.x.s_h == grid.Q and grid.step_h == 1
               and j.y.s_w == 1 and j.y.s_h == grid.Q)
    cdef idx run = grid.P * grid.Q if j.dense else grid.Q
    cdef idx area
    cut_blocks(grid, j.target if j.target else 512, j.width, lanes)
    cdef bint staged = not j.dense and not (grid.inside and j.x.s_w == 1 and grid.step_w == 1 and run >= lanes)
    choose_form(j, run, staged)
    if j.packed:
        j.chunk = even(j.C, max(1, DEPTH // max(grid.T, 1)))
    else:
        j.chunk = j.C
        # As many rows as the staging budget holds: each block stages the rows at its seams again.
        if not j.target:
            cut_blocks(grid, min(8192, max(256, STAGE_BYTES // (z * j.C * max(1, grid.n_slots)))), 1, lanes)
    j.k_tile = kern.product.rows
    if j.outer:
        j.packed = False
        j.k_tile = kern.correlate.outer_vecs * lanes
        j.chunk = j.C
        if not j.target:
            cut_blocks(grid, 128, kern.correlate.outer_rows, lanes)
        j.in_place = grid.inside and narrow(&j.x)
    if j.near:
        j.chunk, j.k_tile = j.C, even(j.K, kern.correlate.dot_rows)
        if not j.target:
            cut_blocks(grid, 2048, 1, lanes)
    j.n_chunks = parts(j.C, j.chunk)
    j.n_blocks = grid.blocks_n * grid.blocks_p * grid.blocks_q
    j.filters_size = up(j.G * up(j.K, lanes) * j.C * grid.T * z + LINE, LINE)
    j.stage_size = up(j.chunk * grid.stage_channel * z + LINE * FC_MAX_VECS, LINE)
    j.panel_size = up((j.chunk * grid.T * j.width + lanes) * z, LINE) if j.packed else 0
    j.tile_size = up(FC_MAX_ROWS * FC_MAX_VECS * lanes * z, LINE)
    j.runs_size = up(j.width * (sizeof(fc_run) + 2 * sizeof(fc_piece)) + sizeof(fc_piece), LINE)
    if j.packed:
        area = up(grid.images * grid.rows * grid.cols, lanes) * j.K if j.n_chunks > 1 else TILES * kern.product.rows * j.width
        j.tile_size = up(area * z, LINE)
    if j.outer:
        area = up(grid.images * grid.rows * grid.cols, kern.correlate.outer_rows)
        j.tile_size = up(area * j.k_tile * z, LINE)
        j.panel_size = up(area * sizeof(idx), LINE)
        j.runs_size = up(j.C * grid.T * sizeof(int32_t), LINE)
    if j.near:
        area = (grid.cols - 1) * grid.step_w + (j.S - 1) * j.apart_w + 1
        j.stage_size = up((j.R * area * j.C + lanes) * z, LINE)
        j.panel_size = up(j.K * kern.correlate.dot_cols * z, LINE)


cdef void set_offsets(Gather *j) noexcept nogil:
    cdef idx c, t, i = 0
    for c in range(j.chunk):
        for t in range(j.grid.T):
            j.staged[i] = c * j.grid.stage_channel + staged_offset(&j.grid, t)
            j.direct[i] = c * j.x.s_c + direct_offset(&j.grid, &j.x, t) if j.grid.inside else 0
            i += 1


cdef int run_gathers(Gather *jobs, idx n_jobs, Weave *weave) except -1:
    """Do one gather, or with `weave` those of one grid: the sizes and taps, the images and the filters are set."""
    cdef idx i, n_packs = 0
    cdef idx z = jobs[0].kern.itemsize
    cdef double work = 0
    cdef size_t tables = 0, each = 0
    cdef Gather *j
    for i in range(n_jobs):
        j = &jobs[i]
        plan_gather(j)
        work += <double>j.G * j.K * (j.C * j.grid.T + 1) * j.grid.N * j.grid.P * j.grid.Q
        n_packs = max(n_packs, j.G * j.n_chunks)
        tables += j.filters_size + up(2 * j.chunk * j.grid.T * sizeof(idx), LINE)
        each = max(each, j.stage_size + j.panel_size + j.tile_size + j.runs_size)
    j = &jobs[0]
    cdef int n_threads = threads_for(work, j.G * j.n_blocks * parts(j.K, j.k_tile))
    # Whole tiles of every gather: forms are chosen by the number of taps, and have tiles of their own.
    cdef idx tile = j.k_tile
    for i in range(1, n_jobs):
        while tile % jobs[i].k_tile != 0:
            tile += j.k_tile
    j.k_part = up(parts(j.K, max(1, n_threads // (j.G * j.n_blocks))), tile)
    j.k_parts = parts(j.K, j.k_part)
    if weave != NULL:
        weave.each = each
        weave.plane_size = up(min(j.k_part, j.K) * j.grid.images * j.grid.rows * j.grid.cols * z
                              + FC_MAX_VECS * j.kern.lanes * z, LINE)
        each += n_jobs * weave.plane_size + up(j.grid.cols * z, LINE) + up(weave.stride_w * sizeof(void *), LINE)
    check_bytes(<double>tables + n_threads * <double>each)
    cdef size_t size = tables + n_threads * each
    cdef char *memory = <char *>take(size)
    cdef char *scratch = memory
    for i in range(n_jobs):
        j = &jobs[i]
        j.a = scratch
        j.staged = <idx *>(j.a + j.filters_size)
        j.direct = j.staged + j.chunk * j.grid.T
        scratch += j.filters_size + up(2 * j.chunk * j.grid.T * sizeof(idx), LINE)
    cdef idx task, tasks = jobs[0].G * jobs[0].n_blocks * jobs[0].k_parts
    cdef idx piece = max(1, tasks // (n_threads * 16))
    with nogil:
        for i in range(n_jobs):
            set_offsets(&jobs[i])
        if n_threads == 1:
            for task in range(n_packs * n_jobs):
                pack_chunk(&jobs[task % n_jobs], task // n_jobs)
            for task in range(tasks):
                gather_task(jobs, n_jobs, weave, task, scratch)
        else:
            for task in prange(n_packs * n_jobs, num_threads=n_threads, schedule="static"):
                pack_chunk(&jobs[task % n_jobs], task // n_jobs)
            for task in prange(tasks, num_threads=n_threads, schedule="dynamic", chunksize=piece):
                gather_task(jobs, n_jobs, weave, task, scratch + threadid() * each)
    give(memory, size)
    return 0


def winograd_side(int which, idx N, idx C, idx H, idx W, idx K, idx c, idx R, idx S, idx P, idx Q, idx stride_h,
                  idx stride_w, idx dilation_h, idx dilation_w, idx groups, idx itemsize) -> int:
    """The side of Winograd's tiles by which forward (0), input (1) or weight gradient (2) of these sizes is done, or 0:
    directly."""
    return winograd.takes(which, N, C, H, W, K, c, R, S, P, Q, stride_h, stride_w, dilation_h, dilation_w, groups,
                           itemsize)


cdef bint handed_over(int which, const Image *x, const Image *w, const Image *y, idx stride_h, idx stride_w,
                      idx dilation_h, idx dilation_w, idx groups, idx itemsize) noexcept:
    return winograd.takes(which, x.n, x.c, x.h, x.w, w.n, w.c, w.h, w.w, y.h, y.w, stride_h, stride_w, dilation_h,
                           dilation_w, groups, itemsize)


cdef bint has_few_channels(int which, const Image *x, const Image *w, const Image *y, idx stride_h, idx stride_w,
                           idx pad_h, idx pad_w, idx dilation_h, idx dilation_w, idx groups, idx itemsize) noexcept:
    cdef const Image *seen = y if which == 1 else x
    return depthwise.takes(which, seen, x.h, x.w, w.n, w.c, w.h, w.w, y.h, y.w, stride_h, stride_w, pad_h, pad_w,
                            dilation_h, dilation_w, groups, itemsize)


cpdef forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx stride_h, idx stride_w, idx pad_h,
              idx pad_w, idx dilation_h, idx dilation_w, idx groups):
    """y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]: equation 12.3."""
    cdef Gather j
    cdef Image f
    cdef idx r, s, t = 0
    check_convolution(x, READ, w, READ, y, DENSE_RESULT, stride_h, stride_w, pad_h, pad_w,
                      dilation_h, dilation_w, groups)
    if b is not None:
        check_array(b, "b", 1, cnp.PyArray_TYPE(x), READ)
        check_axis(b, "b", 0, w.shape[0])
    as_image(x, &j.x)
    as_image(y, &j.y)
    as_image(w, &f)
    if j.y.n * j.y.h * j.y.w == 0:
        return
    if handed_over(0, &j.x, &f, &j.y, stride_h, stride_w, dilation_h, dilation_w, groups, cnp.PyArray_ITEMSIZE(x)):
        winograd.forward(x, w, b, y, stride_h, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    if has_few_channels(0, &j.x, &f, &j.y, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups,
                        cnp.PyArray_ITEMSIZE(x)):
        depthwise.forward(x, w, b, y, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    j.kern = kernels_of(cnp.PyArray_ITEMSIZE(x))
    j.G, j.K, j.C = groups, f.n // groups, f.c
    j.grid.N, j.grid.P, j.grid.Q = j.y.n, j.y.h, j.y.w
    j.grid.step_h, j.grid.step_w = stride_h, stride_w
    j.grid.T = f.h * f.w
    j.w, j.w_g, j.w_k, j.w_c = f.data, j.K * f.s_n, f.s_n, f.s_c
    if b is not None and not cnp.PyArray_IS_C_CONTIGUOUS(b):
        b = b.copy()
    j.bias = <char *>cnp.PyArray_DATA(b) if b is not None else NULL
    j.target = 0
    cdef size_t size = GRID_TABLES * j.grid.T * sizeof(idx)
    cdef idx *memory = <idx *>take(size)
    set_grid_tables(&j.grid, memory)
    j.w_tap = memory + (GRID_TABLES - 1) * j.grid.T
    for r in range(f.h):
        for s in range(f.w):
            j.grid.tap_h[t] = r * dilation_h - pad_h
            j.grid.tap_w[t] = s * dilation_w - pad_w
            j.w_tap[t] = r * f.s_h + s * f.s_w
            t += 1
    try:
        run_gathers(&j, 1, NULL)
    finally:
        give(memory, size)


# ---- input gradient of few channels ---------------------------------------------------------------------------------

cdef struct Fan:
    # dx[n, c, i, j] = sum_s z[n, i, j - s][s, c], where z[n, i, q][s, c] = sum_{r, k} w[k, c, r, s] dy[n, k, i - r, q]:
    # the outer form with (column tap, channel) pairs along the lanes. dy is read where it lies, and no zeros around it.
    const fc_kernels *kern
    idx K, C, R, S, dilation_h, dilation_w
    Image dy
    char *dx             # dense
    idx H, W
    idx lane_width       # pairs in a panel
    idx pairs            # in whole vectors; a pixel in z has as many
    char *a              # filters, packed: [panel][row tap, the last one first][k][pair]
    int32_t *taps        # of each (row tap, k) in dy
    idx chunk            # images in a task
    size_t offsets_size, sums_size, z_size


cdef inline idx panel_pairs(const Fan *j, idx rest) noexcept nogil:
    """Pairs in the next panel where `rest` are left."""
    return j.lane_width if rest > j.kern.lanes else j.kern.lanes


cdef void pack_fan(const Fan *j, const Image *w) noexcept nogil:
    cdef idx z = j.kern.itemsize, first = 0, width, r, k, pair, at, to
    memset(j.a, 0, j.R * j.K * j.pairs * z)
    while first < j.pairs:
        width = panel_pairs(j, j.pairs - first)
        for pair in range(first, min(first + width, j.S * j.C)):
            for r in range(j.R):
                to = first * j.R * j.K + (j.R - 1 - r) * j.K * width + pair - first
                at = pair % j.C * w.s_c + r * w.s_h + pair // j.C * w.s_w
                for k in range(j.K):
                    if z == 4:
                        (<float *>j.a)[to + k * width] = (<const float *>w.data)[at + k * w.s_n]
                    else:
                        (<double *>j.a)[to + k * width] = (<const double *>w.data)[at + k * w.s_n]
        first += width


cdef void fan_task(const Fan *j, idx task, char *scratch) noexcept nogil:
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, margin = (j.S - 1) * j.dilation_w, gap = j.dy.w + margin, plane = j.H * j.W
    cdef idx n0 = task * j.chunk, images = min(j.chunk, j.dy.n - n0), n_pixels = images * j.dy.w
    cdef idx i, n, q, c, first, last, depth, pair, width, f
    cdef idx *offsets = <idx *>scratch
    cdef char *sums = scratch + j.offsets_size
    cdef char *fan = sums + j.sums_size
    cdef char *rows = fan + j.z_size
    cdef char *a
    cdef char *x
    cdef fc_run whole
    cdef fc_ahead nothing
    cdef unsigned mode = fc_flush_subnormals()
    for n in range(images):
        for q in range(j.dy.w):
            offsets[n * j.dy.w + q] = (n0 + n) * j.dy.s_n + q * j.dy.s_w
    # A ragged last tile repeats the last pixel; what it sums there is not used.
    for f in range(n_pixels, up(n_pixels, kern.correlate.outer_rows)):
        offsets[f] = offsets[n_pixels - 1]
    memset(fan, 0, j.z_size)
    whole.offset = 0
    nothing.start, nothing.step = sums, 0
    for i in range(j.H):
        # Rows of the kernel that fall inside dy.
        last = min(j.R - 1, i // j.dilation_h)
        first = (i - j.dy.h) // j.dilation_h + 1 if i >= j.dy.h else 0
        depth = max(0, last + 1 - first) * j.K
        x = j.dy.data + (i - last * j.dilation_h) * j.dy.s_h * z if depth > 0 else j.dy.data
        a = j.a
        pair = 0
        while pair < j.pairs:
            width = panel_pairs(j, j.pairs - pair)
            memset(sums, 0, up(n_pixels, kern.correlate.outer_rows) * width * z)
            f = 0
            while f < n_pixels:
                kern.correlate.outer[width // kern.lanes - 1](depth, j.taps, x, offsets + f,
                                                    a + (j.R - 1 - last) * j.K * width * z, sums + f * width * z, &nothing)
                f += kern.correlate.outer_rows
            whole.count = width
            for n in range(images):
                c = ((margin + n * gap) * j.pairs + pair) * z
                if width == j.pairs:
                    memcpy(fan + c, sums + n * j.dy.w * width * z, j.dy.w * width * z)
                else:
                    kern.move.scatter(sums + n * j.dy.w * width * z, width, fan + c, j.pairs, 1, j.dy.w, 1, &whole)
            a += j.R * j.K * width * z
            pair += width
        for n in range(images):
            c = 0
            while c < j.C:
                # Whole vectors are read: what is not of these channels is not used.
                kern.correlate.shifted_sums(rows, fan + ((margin + n * gap) * j.pairs + c) * z, j.pairs,
                                  j.C - j.dilation_w * j.pairs, j.S, j.W)
                kern.move.untranspose(j.dx + (((n0 + n) * j.C + c) * plane + i * j.W) * z, plane, rows, kern.lanes,
                                 min(kern.lanes, j.C - c), j.W)
                c += kern.lanes
    fc_restore_mode(mode)


cdef bint fans_out(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                   idx dilation_h, idx dilation_w, idx groups) except -1:
    """The input gradient by column taps; returns whether that was done: for small, unpadded images where it pays."""
    cdef Fan j
    cdef Image f
    cdef idx z = cnp.PyArray_ITEMSIZE(dy), r, k, task, tasks
    j.kern = kernels_of(z)
    as_image(w, &f)
    as_image(dy, &j.dy)
    j.K, j.C, j.R, j.S, j.H, j.W = f.n, f.c, f.h, f.w, dx.shape[2], dx.shape[3]
    j.dx = <char *>cnp.PyArray_DATA(dx)
    j.dilation_h, j.dilation_w = dilation_h, dilation_w
    if (groups != 1 or stride_h != 1 or stride_w != 1 or pad_h != 0 or pad_w != 0 or f.h * f.w == 1
            or j.R * j.S * j.K > MOST_DEPTH or j.H * j.W < j.kern.lanes or not narrow(&j.dy)
            or <double>j.K * j.H * j.W * z > STAGE_BYTES):
        return False
    # What is padded at the bottom or at the right alone does not fit either.
    if j.dy.h + (f.h - 1) * dilation_h != j.H or j.dy.w + (f.w - 1) * dilation_w != j.W:
        return False
    j.lane_width = j.kern.correlate.outer_vecs * j.kern.lanes
    j.pairs = up(j.S * j.C, j.kern.lanes)
    # Cycles an image: what comes after the products is not worth it for few filters.
    cdef double fan = (<double>j.dy.h * j.dy.w * j.R * j.K * j.pairs / (2 * j.kern.lanes)
                       + j.H * (<double>j.W * (j.S + 2) * parts(j.C, j.kern.lanes)
                                + 7.0 * j.dy.w * parts(j.pairs, j.lane_width) + 60))
    cdef double gather = <double>j.H * up(j.W, j.kern.lanes) * j.R * j.S * j.K * j.C / (2 * j.kern.lanes)
    if fan > gather:
        return False
    # Images whose rows fill tiles, while dy stays in L1.
    j.chunk = even(j.dy.n, max(1, 32 // max(1, j.dy.w)))
    tasks = parts(j.dy.n, j.chunk)
    cdef idx margin = (j.S - 1) * dilation_w, area = up(j.chunk * j.dy.w, j.kern.correlate.outer_rows)
    j.offsets_size = up(area * sizeof(idx), LINE)
    j.sums_size = up(area * j.lane_width * z, LINE)
    j.z_size = up((j.chunk * (j.dy.w + margin) + margin + 1) * j.pairs * z, LINE)
    cdef size_t each = j.offsets_size + j.sums_size + j.z_size + up(j.W * j.kern.lanes * z, LINE)
    cdef int n_threads = threads_for(<double>j.dy.n * j.C * j.K * j.R * j.S * j.dy.h * j.dy.w, tasks)
    cdef size_t a_size = up(j.R * j.K * j.pairs * z, LINE), taps_size = up(j.R * j.K * sizeof(int32_t), LINE)
    cdef size_t size = a_size + taps_size + n_threads * each
    cdef char *memory = <char *>take(size)
    cdef char *scratch = memory + a_size + taps_size
    j.a, j.taps = memory, <int32_t *>(memory + a_size)
    with nogil:
        pack_fan(&j, &f)
        for r in range(j.R):
            for k in range(j.K):
                j.taps[r * j.K + k] = <int32_t>(k * j.dy.s_c + r * dilation_h * j.dy.s_h)
        if n_threads == 1:
            for task in range(tasks):
                fan_task(&j, task, scratch)
        else:
            for task in prange(tasks, num_threads=n_threads, schedule="dynamic"):
                fan_task(&j, task, scratch + threadid() * each)
    give(memory, size)
    return True


cpdef input_gradient(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                     idx dilation_h, idx dilation_w, idx groups):
    """dx[n,c,i,j] = sum_{k,r,s} w[k,c,r,s] dy[n,k,p,q] over p*stride_h + r*dilation_h - pad_h = i, and so for j.

    Pixels i of one residue modulo the stride see one subset of the taps, at dy's own pace: a dense convolution with
    the flipped kernel (equation 12.6). `dx` is dense.
    """
    cdef Gather *jobs
    cdef Gather *j
    cdef Image f, image_dy
    cdef Weave weave
    cdef idx z, r, s, t, a, b, n_jobs = 0
    check_convolution(dx, DENSE_RESULT, w, READ, dy, READ, stride_h, stride_w, pad_h, pad_w,
                      dilation_h, dilation_w, groups)
    z = cnp.PyArray_ITEMSIZE(dy)
    as_image(dx, &weave.dx)
    as_image(w, &f)
    if weave.dx.n * weave.dx.h * weave.dx.w == 0:
        return
    as_image(dy, &image_dy)
    if handed_over(1, &weave.dx, &f, &image_dy, stride_h, stride_w, dilation_h, dilation_w, groups, z):
        winograd.input_gradient(dy, w, dx, stride_h, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    if has_few_channels(1, &weave.dx, &f, &image_dy, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
                        groups, z):
        depthwise.input_gradient(dy, w, dx, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    if fans_out(dy, w, dx, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups):
        return
    # A stride longer than the image leaves one pixel of each residue.
    weave.stride_h, weave.stride_w = min(stride_h, weave.dx.h), min(stride_w, weave.dx.w)
    # Each tap serves one residue in each direction, so no more residues than taps have any work.
    cdef idx taps = f.h * f.w, most = min(weave.stride_h, f.h) * min(weave.stride_w, f.w)
    check_bytes(<double>most * (sizeof(Gather) + GRID_TABLES * sizeof(idx) * <double>taps))
    cdef size_t size = most * (sizeof(Gather) + GRID_TABLES * taps * sizeof(idx))
    size += weave.stride_h * weave.stride_w * sizeof(idx)
    cdef char *memory = <char *>take(size)
    cdef idx *table = <idx *>(memory + most * sizeof(Gather))
    jobs = <Gather *>memory
    weave.job_of = table + most * GRID_TABLES * taps
    for a in range(weave.stride_h):
        for b in range(weave.stride_w):
            weave.job_of[a * weave.stride_w + b] = -1
            if n_jobs == most:
                continue
            j = &jobs[n_jobs]
            j.w_tap = table + (GRID_TABLES - 1) * taps
            j.grid.T = taps
            set_grid_tables(&j.grid, table)
            t = 0
            for r in range(f.h):
                if residue(a + pad_h - r * dilation_h, stride_h) != 0:
                    continue
                for s in range(f.w):
                    if residue(b + pad_w - s * dilation_w, stride_w) != 0:
                        continue
                    j.grid.tap_h[t] = (a + pad_h - r * dilation_h) // stride_h
                    j.grid.tap_w[t] = (b + pad_w - s * dilation_w) // stride_w
                    j.w_tap[t] = r * f.s_h + s * f.s_w
                    t += 1
            if t == 0:
                continue
            j.grid.T = t
            j.x = image_dy
            j.kern = kernels_of(z)
            j.G, j.K, j.C = groups, f.c, f.n // groups
            j.w, j.w_g, j.w_k, j.w_c = f.data, j.C * f.s_n, f.s_c, f.s_n
            j.bias = NULL
            j.y = weave.dx
            # One grid for all residues: the longest one's.
            j.grid.N = weave.dx.n
            j.grid.P, j.grid.Q = parts(weave.dx.h, weave.stride_h), parts(weave.dx.w, weave.stride_w)
            j.grid.step_h = j.grid.step_w = 1
            weave.job_of[a * weave.stride_w + b] = n_jobs
            table += GRID_TABLES * taps
            n_jobs += 1
    try:
        for a in range(n_jobs):
            jobs[a].target = 0
            if weave.stride_h * weave.stride_w > 1:
                # All residues of a block wait in L2 for their turn.
                jobs[a].target = min(512, max(64, 4 * STAGE_BYTES // (z * jobs[a].K * n_jobs)))
        if n_jobs == 0:
            memset(weave.dx.data, 0, cnp.PyArray_NBYTES(dx))
        else:
            run_gathers(jobs, n_jobs, &weave if weave.stride_h * weave.stride_w > 1 else NULL)
    finally:
        give(memory, size)


# ---- weight gradient -----------------------------------------------------------------------------------------------

cdef struct Correlate:
    # dw[g, k, c, t] = sum_{n, p, q} dy[n, g*K + k, p, q] * x[n, g*C + c, p*step_h + tap_h[t], ...]
    const fc_kernels *kern
    idx G, K, C
    Image x
    Image dy
    Grid grid
    char *dw
    idx dw_g, dw_k, dw_pair  # its strides: of a group, a filter, a (channel, tap) pair; one of the last two is 1
    # schedule
    bint outer           # filters along the lanes, dy transposed; otherwise pixels along the lanes
    bint runs            # these in runs over a whole image, not row by row
    bint turned          # a tile has columns of taps and filters, not filters and (channel, tap) pairs
    idx S                # columns of taps
    idx k_part, k_parts, c_part, c_parts
    idx slices, slice_images
    idx lane_width       # outer: filters in a panel
    idx tile_rows        # (channel, tap) pairs in a tile
    # tables
    bint in_place        # x is read where it lies
    bint by_lanes        # or its channels, neighbours in memory, are staged along the lanes: [vector][pixel][lane]
    idx *offsets         # of a (channel, tap) pair, from a block's base
    char *sums           # [group][k part][c part][slice] of sums_size
    size_t sums_size, stage_size, dy_size, pixels_size


cdef inline idx panel_filters(const Correlate *j, idx rest) noexcept nogil:
    """Filters in the next panel of dy where `rest` are left."""
    return j.lane_width if rest > j.kern.lanes else j.kern.lanes


cdef void turn_filters(const Correlate *j, idx first, idx k_end, idx k_count, const Block *b, idx count, char *dy,
                       idx g_k0) noexcept nogil:
    """Transpose dy of panels of filters, `count` pixels of all of them at a time."""
    cdef idx z = j.kern.itemsize, k, i, q, width, n_pixels = b.images * b.rows * b.cols
    cdef idx n_runs = 1 if j.dy.s_h == b.cols * j.dy.s_w else b.rows, run = n_pixels // (b.images * n_runs)
    for i in range(b.images * n_runs):
        q = 0
        while q < run:
            k = first
            while k < k_end:
                width = panel_filters(j, k_count - k)
                j.kern.move.transpose(dy + (k * n_pixels + (i * run + q) * width) * z, width,
                                 j.dy.data + ((b.n0 + i // n_runs) * j.dy.s_n + (g_k0 + k) * j.dy.s_c
                                              + (b.p0 + i % n_runs) * j.dy.s_h + (b.q0 + q) * j.dy.s_w) * z,
                                 j.dy.s_c, j.dy.s_w, min(width, k_count - k), min(count, run - q))
                k += width
            q += count


cdef void correlate_outer(const Correlate *j, idx k_count, const Block *b, const Block *next_block, Ahead *x_ahead,
                          const idx *offsets, idx n_pairs, char *dy, int32_t *pixels, char *sums,
                          idx g_k0) noexcept nogil:
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, n, p, q, i = 0, k, pair, pair0, width
    cdef idx n_pixels = b.images * b.rows * b.cols, n_sums = up(n_pairs, j.tile_rows)
    # Where filters are neighbours in memory, all panels of a few pixels, else all pixels of a panel.
    cdef bint turn = j.dy.s_c == 1 and j.dy.s_w != 1
    cdef Ahead ahead
    cdef const Block *of
    cdef fc_ahead next
    for n in range(b.images):
        for p in range(b.rows):
            for q in range(b.cols):
                pixels[i] = <int32_t>(n * b.s_image + p * b.s_row + q * b.s_col)
                i += 1
    if turn:
        turn_filters(j, 0, k_count, k_count, b, PIXELS, dy, g_k0)
    memset(&ahead, 0, sizeof(Ahead))
    # Pairs whose pixels stay in L2 for all filters; of these, a panel of filters' dy stays in L1 for all pairs.
    cdef idx group = up(max(1, GROUP_BYTES // (n_pixels * z)) * j.grid.T, j.tile_rows), last = 0
    while last < n_pairs:
        pair0 = last
        last = min(last + group, n_pairs)
        k = 0
        while k < k_count:
            width = panel_filters(j, k_count - k)
            if pair0 == 0 and not turn:
                turn_filters(j, k, k + width, k_count, b, n_pixels, dy, g_k0)
                # The next panel's dy is far, as is what the next block stages: both are asked for meanwhile.
                n = k + width if k + width < k_count else 0
                of = b if n > 0 else next_block
                if j.dy.s_w == 1 and j.dy.s_h > 0 and of != NULL:
                    ahead.data = j.dy.data + (of.n0 * j.dy.s_n + (g_k0 + n) * j.dy.s_c + of.p0 * j.dy.s_h + of.q0) * z
                    ahead.s_n, ahead.s_c = j.dy.s_n * z, j.dy.s_c * z
                    ahead.extent = ((of.rows - 1) * j.dy.s_h + of.cols) * z
                    ahead.images, ahead.channels = of.images, min(panel_filters(j, k_count - n), k_count - n)
                    plan_ahead(&ahead, n_pixels // FC_AHEAD, parts(last, j.tile_rows))
            pair = pair0
            while pair < last:
                next.start, next.step = dy, 0
                ask(&ahead, z, &next)
                if next.step == 0:
                    ask(x_ahead, z, &next)
                kern.correlate.outer[width // kern.lanes - 1](n_pixels, pixels, b.base, offsets + pair, dy + k * n_pixels * z,
                                                    sums + (k * n_sums + pair * width) * z, &next)
                pair += j.tile_rows
            k += width


cdef void correlate_dot(const Correlate *j, idx k_count, const Block *b, const idx *offsets, idx n_pairs,
                        idx n_channels, char *dy, char *sums, idx g_k0) noexcept nogil:
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, n, k, rows, pair
    # dy's rows, one filter after the other: dense, or so far apart as x's rows are, with zeros between them. Then an
    # image is one run of both, without an end of a row to mask; but zero times what is not finite is not zero. Rows as
    # long as a vector stay where they are otherwise.
    cdef bint run = j.runs and b.cols == j.grid.cols and seal_finite(j, b, n_channels)
    cdef idx pitch = b.s_row if run else b.cols
    cdef idx plane = up(b.rows * pitch, kern.lanes) if run else b.rows * b.cols
    cdef idx filter_pitch = up(b.images * plane, 16) + 16
    cdef bint staged = True
    if run:
        memset(dy, 0, k_count * filter_pitch * z)
    elif j.dy.s_w == 1 and b.cols >= kern.lanes:
        dy = j.dy.data + (b.n0 * j.dy.s_n + g_k0 * j.dy.s_c + b.p0 * j.dy.s_h + b.q0) * z
        filter_pitch, plane, pitch = j.dy.s_c, j.dy.s_n, j.dy.s_h
        staged = False
    for n in range(b.images if staged else 0):
        stage_channels(kern, dy + n * plane * z, filter_pitch, pitch, &j.dy,
                       j.dy.data + ((b.n0 + n) * j.dy.s_n + g_k0 * j.dy.s_c + b.p0 * j.dy.s_h + b.q0 * j.dy.s_w) * z,
                       j.dy.s_h, j.dy.s_w, k_count, b.rows, 0, b.rows, 0, b.cols, 0)
    cdef idx n_rows = b.rows, n_cols = b.cols, x_pitch = b.s_row, shift = offsets[1] - offsets[0] if j.S > 1 else 0
    cdef idx places[FC_MAX_ROWS]
    if run:
        n_rows, n_cols, pitch, x_pitch = 1, up((b.rows - 1) * pitch + b.cols, kern.lanes), 0, 0
    k = 0
    while k < k_count:
        rows = min(kern.correlate.dot_rows, k_count - k)
        # A ragged last tile repeats the last filter; what it sums there is not used.
        for n in range(kern.correlate.dot_cols):
            places[n] = min(k + n, k_count - 1) * filter_pitch
        pair = 0
        while pair < n_pairs:
            if j.turned:
                rows = min(kern.correlate.dot_rows, j.S - pair % j.S)
                kern.correlate.dot[rows - 1](b.images, n_rows, n_cols, b.base + offsets[pair] * z, shift, b.s_image, x_pitch, dy,
                                   places, plane, pitch, sums)
                pair += rows
            else:
                kern.correlate.dot[rows - 1](b.images, n_rows, n_cols, dy + k * filter_pitch * z, filter_pitch, plane, pitch,
                                   b.base, offsets + pair, b.s_image, x_pitch, sums)
                pair += kern.correlate.dot_cols
            sums += rows * kern.correlate.dot_cols * z
        k += kern.correlate.dot_cols if j.turned else rows


cdef bint seal_finite(const Correlate *j, const Block *b, idx n_channels) noexcept nogil:
    """Whether all staged pixels of a block are finite; puts zeros where a vector may reach past their end."""
    cdef idx z = j.kern.itemsize, c, count = (b.images - 1) * b.s_image + (b.rows + j.grid.reach_h) * b.s_row
    for c in range(n_channels):
        memset(b.base + (c * j.grid.stage_channel + count) * z, 0, j.kern.lanes * z)
        if not j.kern.passes.finite(b.base + c * j.grid.stage_channel * z, count):
            return False
    return True


cdef void correlate_task(const Correlate *j, idx task, char *scratch) noexcept nogil:
    cdef const fc_kernels *kern = j.kern
    cdef idx cut = task % j.slices
    cdef idx c_index = task // j.slices % j.c_parts
    cdef idx k_index = task // j.slices // j.c_parts % j.k_parts
    cdef idx g = task // j.slices // j.c_parts // j.k_parts
    cdef idx c0 = c_index * j.c_part, channels = min(j.c_part, j.C - c0)
    cdef idx k0 = k_index * j.k_part, k_count = min(j.k_part, j.K - k0)
    cdef idx n_pairs = channels * j.grid.T, i
    cdef char *sums = j.sums + task * j.sums_size
    cdef char *dy = scratch + j.stage_size
    cdef int32_t *pixels = <int32_t *>(dy + j.dy_size)
    cdef idx *offsets = <idx *>(<char *>pixels + j.pixels_size)
    cdef Block b
    cdef unsigned mode = fc_flush_subnormals()
    memset(sums, 0, j.sums_size)
    # A ragged last tile repeats the last pair; what it sums there is not used.
    for i in range(up(n_pairs, j.tile_rows)):
        offsets[i] = j.offsets[min(i, n_pairs - 1)]
    cdef idx per_image = j.grid.blocks_p * j.grid.blocks_q
    cdef idx end = min(j.grid.blocks_n, (cut + 1) * j.slice_images) * per_image
    cdef Block next_block
    cdef Ahead ahead
    for i in range(cut * j.slice_images * per_image, end):
        locate(&j.grid, i, &b)
        if j.in_place:
            in_place(kern, &j.x, &j.grid, &b, g * j.C + c0)
        elif j.by_lanes:
            stage_lanes(kern, &j.x, &j.grid, &b, g * j.C + c0, channels, scratch)
        else:
            stage(kern, &j.x, &j.grid, &b, g * j.C + c0, channels, scratch)
        if j.outer:
            memset(&ahead, 0, sizeof(Ahead))
            if i + 1 < end:
                locate(&j.grid, i + 1, &next_block)
                look_ahead(&ahead, &j.x, &j.grid, &next_block, g * j.C + c0, channels,
                           b.images * b.rows * b.cols // FC_AHEAD,
                           parts(n_pairs, j.tile_rows) * parts(k_count, j.lane_width),
                           j.kern.itemsize)
            correlate_outer(j, k_count, &b, &next_block if i + 1 < end else NULL, &ahead, offsets, n_pairs, dy, pixels,
                            sums, g * j.K + k0)
        else:
            correlate_dot(j, k_count, &b, offsets, n_pairs, channels, dy, sums, g * j.K + k0)
    fc_restore_mode(mode)


cdef void add_slices(const Correlate *j, idx part) noexcept nogil:
    """Sum a part's slices in their order, and put them where they belong in dw."""
    cdef idx c_index = part % j.c_parts, k_index = part // j.c_parts % j.k_parts, g = part // j.c_parts // j.k_parts
    cdef idx c0 = c_index * j.c_part, channels = min(j.c_part, j.C - c0)
    cdef idx k0 = k_index * j.k_part, k_count = min(j.k_part, j.K - k0)
    cdef idx n_pairs = channels * j.grid.T
    cdef idx z = j.kern.itemsize, k = 0, pair, tile_k, pairs, row, col, filters, here
    cdef char *dw
    cdef char *sums = j.sums + part * j.slices * j.sums_size
    while k < k_count:
        if j.outer:
            tile_k = panel_filters(j, k_count - k)
        else:
            tile_k = j.kern.correlate.dot_cols if j.turned else min(j.kern.correlate.dot_rows, k_count - k)
        pair = 0
        while pair < n_pairs:
            pairs = min(j.kern.correlate.dot_rows, j.S - pair % j.S) if j.turned else j.tile_rows
            dw = j.dw + (g * j.dw_g + (k0 + k) * j.dw_k + (c0 * j.grid.T + pair) * j.dw_pair) * z
            filters, here = min(tile_k, k_count - k), min(pairs, n_pairs - pair)
            # Filters are neighbours in the outer and the turned form.
            row, col = tile_k if j.outer or j.turned else 1, 1 if j.outer or j.turned else pairs
            if j.dw_pair == 1:
                j.kern.correlate.fold(dw, j.dw_k, sums, <idx>j.sums_size // z, j.slices, row, col, filters, here)
            else:
                j.kern.correlate.fold(dw, j.dw_pair, sums, <idx>j.sums_size // z, j.slices, col, row, here, filters)
            sums += tile_k * pairs * z
            pair += pairs
        k += tile_k


cdef void plan_correlate(Correlate *j, idx threads) noexcept nogil:
    """Decide how the work is cut: slices by the shape alone, so that sums never depend on the number of threads."""
    cdef const fc_kernels *kern = j.kern
    cdef Grid *grid = &j.grid
    cdef idx z = kern.itemsize, lanes = kern.lanes, pairs = j.C * grid.T
    cdef idx images
    survey(grid, &j.x)
    j.lane_width = kern.correlate.outer_vecs * lanes
    # The share of the lanes that is used. Transposing dy costs about half a cycle an element, the outer form where rows
    # are of pixels, the other where they are of channels.
    cdef double cycles = pairs / (2.0 * lanes)
    cdef bint turn = j.dy.s_c == 1 and j.dy.s_w != 1
    cdef double outer = (<double>j.K / up(j.K, lanes) * pairs / up(pairs, kern.correlate.outer_rows)
                         * cycles / (cycles + (0.15 if turn else 0.5)))
    # A row's end costs more than idle lanes, of which there are none where rows share a vector. What is joined, or not
    # dense, is copied, and pixels of x that are joined are looked at: cycles for an element of dy.
    cdef bint shared = grid.Q >= lanes and 2 * (grid.Q % lanes) == lanes
    cdef double by_rows = grid.Q / ((grid.Q if shared else up(grid.Q, lanes)) + 0.6 * lanes)
    cdef double by_runs = <double>grid.Q / (grid.Q + grid.reach_w)
    cdef double copied = 0.5 if turn else 0.25, channels = <double>j.C / j.K
    cdef bint x_stays = grid.inside and j.x.s_w == 1 and grid.step_w == 1 and grid.Q >= lanes
    by_rows *= cycles / (cycles + (0.0 if j.dy.s_w == 1 and grid.Q >= lanes else copied)
                         + (0.0 if x_stays else 0.2 * channels))
    by_runs *= cycles / (cycles + copied + 0.8 * channels)
    j.runs = grid.n_slots == 1 and by_runs > by_rows
    cdef double share = 0.9 * (by_runs if j.runs else by_rows)
    cdef double dot = share * j.K / up(j.K, kern.correlate.dot_rows) * pairs / up(pairs, kern.correlate.dot_cols)
    # Taps of one slot alone are neighbours in a row.
    cdef double turned = (share * j.K / up(j.K, kern.correlate.dot_cols) * j.S / up(j.S, kern.correlate.dot_rows)
                          if grid.n_slots == 1 else 0)
    j.turned = turned > dot and j.K <= kern.lanes
    dot = max(dot, turned if j.turned else 0.0)
    # Many pairs against many filters want the better reuse of the outer form.
    j.outer = outer >= dot or (j.K >= lanes and pairs >= 64)
    j.turned = j.turned and not j.outer
    j.tile_rows = kern.correlate.outer_rows if j.outer else kern.correlate.dot_cols
    # The outer form reads single pixels, in any layout; but where a stride leaves out most of a row, not that again and
    # again for all filters, nor pixels that fall into few sets of the caches.
    j.by_lanes = j.outer and grid.inside and grid.T == 1 and j.x.s_c == 1 and j.x.s_w != 1 and j.C >= lanes
    j.in_place = (j.outer and grid.inside and narrow(&j.x) and not j.by_lanes
                  and (grid.T >= grid.step_w if j.x.s_w == 1 else j.x.s_w * z % 2048 != 0))
    # What is staged is staged again for each part of the filters.
    j.k_part = even(j.K, (PART_FILTERS if j.in_place else 2 * PART_FILTERS) if j.outer else 4 * j.lane_width)
    if j.outer:
        j.k_part = min(up(j.k_part, j.lane_width), up(j.K, lanes))
    j.c_part = even(j.C, max(1, (PART_PAIRS if j.outer else 512) // grid.T))
    j.k_parts = parts(j.K, j.k_part)
    # Where each of them is in a line of its own, fewer stay in L1.
    cdef idx pixels = 112 if j.in_place and grid.step_w * z >= LINE else 448
    cut_blocks(grid, pixels if j.outer else min(512 * lanes, max(256, STAGE_BYTES // (2 * z * (j.c_part + j.k_part)))),
               1, lanes)
    # Of one image there is one slice: its channels are shared out, each summed over the same blocks.
    if grid.N == 1:
        j.c_part = min(j.c_part, max(j.tile_rows, parts(j.C, threads)))
    j.c_parts = parts(j.C, j.c_part)
    # Slices of whole blocks of images, enough for the threads of a large machine.
    images = grid.blocks_n
    j.slices = min(images, max(1, parts(16, j.G * j.k_parts * j.c_parts)))
    cdef idx tiles = parts(j.c_part * grid.T, j.tile_rows) * j.tile_rows
    j.sums_size = up(tiles * (up(j.k_part, lanes) if j.outer else up(j.k_part, kern.correlate.dot_cols)) * z, LINE)
    # Sums that leave L2 are not worth it for a few pixels.
    if <idx>j.sums_size > STAGE_BYTES:
        j.slices = min(j.slices, max(1, grid.N * grid.P * grid.Q // SLICE_PIXELS))
    j.slice_images = parts(images, max(j.slices, 1))
    j.slices = parts(images, j.slice_images)
    # The other form reads whole vectors, which stay within rows that are as long as one.
    if (not j.outer and grid.inside and j.x.s_w == 1 and grid.step_w == 1
            and (grid.Q - 1) % grid.cols + 1 >= lanes and not j.runs):
        j.in_place = True
    j.stage_size = 0 if j.in_place else up(j.c_part * grid.stage_channel * z + LINE * FC_MAX_VECS, LINE)
    cdef idx n_pixels = grid.images * grid.rows * grid.cols
    if j.by_lanes:
        grid.stage_channel = n_pixels + lanes
        j.stage_size = up(up(j.c_part, lanes) * grid.stage_channel * z, LINE)
    if j.outer:
        j.dy_size = up(n_pixels * up(j.k_part, lanes) * z, LINE)
    else:
        if j.runs:
            n_pixels = grid.images * up(grid.rows * grid.stage_pitch, lanes)
        j.dy_size = up(j.k_part * (up(n_pixels, 16) + 16) * z + LINE, LINE)
    j.pixels_size = up(n_pixels * sizeof(int32_t), LINE)


cdef double outer_cost(const fc_kernels *kern, idx filters, idx channels) noexcept nogil:
    """Of a pixel of a 1x1 layer in the outer form: its products, and transposing it for each part of the channels."""
    return up(filters, kern.lanes) * (up(channels, kern.correlate.outer_rows) + 2.0 * kern.lanes * parts(channels, PART_PAIRS))


cdef void mirror(Correlate *j) noexcept nogil:
    """Where x and dy may trade places, have the one transposed that is cheaper."""
    if j.C < j.kern.lanes or outer_cost(j.kern, j.C, j.K) > 0.95 * outer_cost(j.kern, j.K, j.C):
        return
    j.x, j.dy = j.dy, j.x
    j.K, j.C = j.C, j.K
    j.dw_k, j.dw_pair = 1, j.dw_k


cpdef weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                      idx dilation_h, idx dilation_w, idx groups):
    """dw[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]: equation 12.5."""
    cdef Correlate j
    cdef Image f
    cdef idx z, r, s, t = 0, c
    check_convolution(x, READ, dw, DENSE_RESULT, dy, READ, stride_h, stride_w, pad_h, pad_w,
                      dilation_h, dilation_w, groups)
    z = cnp.PyArray_ITEMSIZE(x)
    as_image(x, &j.x)
    as_image(dy, &j.dy)
    as_image(dw, &f)
    if j.dy.n * j.dy.h * j.dy.w == 0:
        memset(f.data, 0, cnp.PyArray_NBYTES(dw))
        return
    if handed_over(2, &j.x, &f, &j.dy, stride_h, stride_w, dilation_h, dilation_w, groups, z):
        winograd.weight_gradient(x, dy, dw, stride_h, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    if has_few_channels(2, &j.x, &f, &j.dy, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups, z):
        depthwise.weight_gradient(x, dy, dw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    j.kern = kernels_of(z)
    j.G, j.K, j.C = groups, f.n // groups, f.c
    j.grid.N, j.grid.P, j.grid.Q = j.dy.n, j.dy.h, j.dy.w
    j.grid.step_h, j.grid.step_w = stride_h, stride_w
    cdef idx taps = f.h * f.w
    j.grid.T = taps
    j.dw, j.dw_g, j.dw_k, j.dw_pair, j.S = f.data, j.K * j.C * taps, j.C * taps, 1, f.w
    cdef size_t table_size = GRID_TABLES * taps * sizeof(idx)
    cdef idx *table = <idx *>take(table_size)
    cdef char *memory = NULL
    cdef size_t size = 0
    cdef idx tasks, task, parts_count
    cdef double work
    cdef int n_threads
    cdef size_t each, offsets_size
    cdef char *scratch
    set_grid_tables(&j.grid, table)
    for r in range(f.h):
        for s in range(f.w):
            j.grid.tap_h[t] = r * dilation_h - pad_h
            j.grid.tap_w[t] = s * dilation_w - pad_w
            t += 1
    try:
        work = <double>j.G * j.K * j.C * taps * j.grid.N * j.grid.P * j.grid.Q
        if taps == 1 and j.x.h == j.dy.h and j.x.w == j.dy.w and pad_h == 0 and pad_w == 0:
            mirror(&j)
        plan_correlate(&j, threads_for(work, j.C))
        # The outer form's table of pixels is of 32 bits.
        if j.outer and not j.in_place and j.grid.images * <double>j.grid.stage_image > 2147483647.0:
            raise MemoryError(f"{j.grid.images} x {j.grid.stage_image} pixels to be staged are too many")
        parts_count = j.G * j.k_parts * j.c_parts
        tasks = parts_count * j.slices
        n_threads = threads_for(work, tasks)
        offsets_size = up((j.c_part * taps + j.tile_rows) * sizeof(idx), LINE)
        each = j.stage_size + j.dy_size + j.pixels_size + offsets_size
        check_bytes(<double>tasks * j.sums_size + offsets_size + n_threads * <double>each)
        size = tasks * j.sums_size + offsets_size + n_threads * each
        memory = <char *>take(size)
        j.sums = memory
        j.offsets = <idx *>(memory + tasks * j.sums_size)
        scratch = <char *>j.offsets + offsets_size
        with nogil:
            for c in range(j.c_part):
                for t in range(taps):
                    if j.in_place:
                        j.offsets[c * taps + t] = c * j.x.s_c + direct_offset(&j.grid, &j.x, t)
                    elif j.by_lanes:
                        j.offsets[c] = c // j.kern.lanes * j.kern.lanes * j.grid.stage_channel + c % j.kern.lanes
                    else:
                        j.offsets[c * taps + t] = c * j.grid.stage_channel + staged_offset(&j.grid, t)
            if n_threads == 1:
                for task in range(tasks):
                    correlate_task(&j, task, scratch)
                for task in range(parts_count):
                    add_slices(&j, task)
            else:
                for task in prange(tasks, num_threads=n_threads, schedule="dynamic"):
                    correlate_task(&j, task, scratch + threadid() * each)
                for task in prange(parts_count, num_threads=n_threads, schedule="static"):
                    add_slices(&j, task)
    finally:
        give(table, table_size)
        if memory != NULL:
            give(memory, size)
