"""The loop nests of forward and of the input gradient: over groups, blocks of pixels, channels and filters.

y[n, k, p, q] = b[k] + sum_{c,r,s} w[k, c, r, s] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]      (equation 12.3)

The input gradient of a stride of 1 is the same sum over dy with the kernel flipped and channels and filters exchanged
(equation 12.6); that of a stride is one such sum for each of its residues (phases.pyx). There are four forms:

PANELS   pixels along the lanes: a panel of packed pixels meets all filters, tile by tile, while it is in L1
TILES    the same without packing: tiles read runs of pixels where they lie, or in staged rows
OUTER    filters along the lanes: pixels are read one by one, in any layout
DOT      channels along the lanes: each result is the sum over the lanes of products with its window

The tiles of the first two follow Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008), with
the matrix of windows never stored.
"""

from libc.math cimport INFINITY
from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from fastconv._native.ahead cimport Ahead, ask
from fastconv._native.grid cimport (
    Block, Grid, cut_blocks, in_place, locate, look_ahead, narrow, placed_offset, stage, staged_offset, survey,
)
from fastconv._native.kernels cimport (
    FC_AHEAD, FC_MAX_ROWS, FC_MAX_VECS, even, fc_ahead, fc_kernels, fc_piece, fc_run, idx, parts, up,
)
from fastconv._native.memory cimport LINE, Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport FORWARD, INPUT_GRADIENT, Image, Problem, channels_last
from fastconv._native.runtime cimport run_tasks, threads_for
from fastconv._native.tuning cimport DOT, FEATURES, OUTER, PANELS, TILES, cycles_of

cdef enum:
    MOST_DEPTH = 1024      # (channel, tap) pairs in one sum where nothing is packed: a longer one would round worse
    NEAR_BYTES = 32768     # of filters that meet a few pixels at a time in DOT
    FEW_CHANNELS = 16      # of one tap: the sums are so short that storing them is what takes time
    FEW_TILES = 8          # of filters: reading pixels as often where they lie costs less than packing them
    FEW_COLS = 16          # in a row that DOT stages as a whole rather than at its ends


# ---- what the forms would do ---------------------------------------------------------------------------------------


cdef void set_gather(const Problem *problem, Gather *job) noexcept nogil:
    """The problem as a gather, its taps in the order of the filter's."""
    cdef const Image *w = &problem.w
    job.kernels, job.tuning, job.groups, job.target = problem.kernels, problem.tuning, problem.groups, 0
    job.w, job.w_row, job.w_col = w.data, w.s_h, w.s_w
    job.grid.R, job.grid.S = w.h, w.w
    if problem.which == INPUT_GRADIENT:
        job.x, job.y, job.bias = problem.y, problem.x, NULL
        job.K, job.C = w.c, w.n // problem.groups
        job.w_group, job.w_filter, job.w_channel = job.C * w.s_n, w.s_c, w.s_n
        job.grid.step_h = job.grid.step_w = 1
        job.grid.first_h, job.grid.first_w = problem.pad_h, problem.pad_w
        job.grid.apart_h, job.grid.apart_w = -problem.dilation_h, -problem.dilation_w
    else:
        job.x, job.y, job.bias = problem.x, problem.y, problem.bias
        job.K, job.C = w.n // problem.groups, w.c
        job.w_group, job.w_filter, job.w_channel = job.K * w.s_n, w.s_n, w.s_c
        job.grid.step_h, job.grid.step_w = problem.stride_h, problem.stride_w
        job.grid.first_h, job.grid.first_w = -problem.pad_h, -problem.pad_w
        job.grid.apart_h, job.grid.apart_w = problem.dilation_h, problem.dilation_w
    job.grid.N, job.grid.P, job.grid.Q = job.y.n, job.y.h, job.y.w


cdef inline bint packable(const Gather *job) noexcept nogil:
    """Whether pixels can be packed from where they lie: neighbours, or every second where each is read once."""
    return (job.grid.inside and job.x.s_w == 1
            and (job.grid.step_w == 1 or (job.grid.step_w == 2 and job.grid.R * job.grid.S == 1)))


cdef idx inspect(Gather *job) noexcept nogil:
    """Fill in what follows from the sizes; returns the pixels of a run in the source."""
    cdef Grid *grid = &job.grid
    cdef idx lanes = job.kernels.lanes, run
    survey(grid, &job.x)
    job.width = job.kernels.product.vecs[job.kernels.product.rows] * lanes
    job.dense = (grid.inside and job.x.s_w == 1 and grid.step_w == 1 and job.x.s_h == grid.Q and grid.step_h == 1
                 and job.y.s_w == 1 and job.y.s_h == grid.Q)
    run = grid.P * grid.Q if job.dense else grid.Q
    job.staged = not job.dense and not (grid.inside and job.x.s_w == 1 and grid.step_w == 1 and run >= lanes)
    return run


cdef inline void cut_for_panels(Gather *job) noexcept nogil:
    cut_blocks(&job.grid, job.target if job.target else 512, job.width, job.kernels.lanes)


cdef double staged_channels(Gather *job) noexcept nogil:
    """Elements of all channels that a block stages, or fewer than matter where all images together have no more."""
    cdef const Grid *grid = &job.grid
    cdef double least = job.tuning.stage_bytes // job.kernels.itemsize
    cdef double all_of_them = (<double>grid.N * (grid.P + grid.reach_h) * (grid.Q + grid.reach_w) * grid.slots_h
                               * grid.slots_w + 32) * job.C
    if all_of_them <= least:
        return 0
    cut_for_panels(job)
    return <double>job.C * grid.stage_channel


cdef void features_of(Gather *job, int *rows, double *features) noexcept nogil:
    """Counts of what costs time: steps of a vector of multiply-adds at two a cycle, elements moved, calls.

    Tiles that read pixels in their place lose the lanes past the end of a run. Packing moves pieces of runs. OUTER
    transposes its sums. A class is of one tap (1) or of more (0).
    """
    cdef idx run = inspect(job)
    cdef const Grid *grid = &job.grid
    cdef const fc_kernels *kernels = job.kernels
    cdef idx lanes = kernels.lanes, taps = grid.R * grid.S, K = job.K, C = job.C
    cdef double depth = <double>C * taps, pixels = <double>job.groups * grid.N * grid.P * grid.Q
    cdef double steps = pixels * depth * K / (2 * lanes), filters = job.groups * K * depth
    cdef bint last = channels_last(&job.x), single = taps == 1
    cdef double turned = pixels * C if last else 0.0, copied = pixels * C if job.staged and not last else 0.0
    cdef double staged = staged_channels(job)
    memset(features, 0, 4 * FEATURES * sizeof(double))
    rows[0] = rows[1] = rows[2] = rows[3] = single
    # PANELS. Of few channels, storing the result takes the time: in pieces as wide as a panel, not whole rows.
    features[0] = steps
    features[1] = pixels * depth / lanes
    features[2] = pixels * depth / run
    features[3] = pixels * K * parts(C, max(1, job.tuning.depth // taps))
    features[4], features[5], features[6] = turned, copied, filters
    features[7] = pixels * K if single and C <= FEW_CHANNELS else 0.0
    # TILES. The pixels of many staged channels lie too far apart to stay in L1 by themselves. Those of one tap that are
    # not near are waited for, where packing would have asked for them ahead.
    cdef double *of_tiles = features + FEATURES
    cdef bint near = (K <= FEW_TILES * kernels.product.rows and depth <= MOST_DEPTH and grid.inside and job.x.s_w == 1
                      and grid.step_w == 1
                      and <double>C * max(job.x.s_c, -job.x.s_c) * kernels.itemsize <= 4 * job.tuning.stage_bytes)
    cdef bint waits = single and C >= 32 and not near and (packable(job) or (
        grid.inside and job.x.s_c == 1 and grid.step_w == 1 and grid.step_h == 1))
    of_tiles[0] = steps * up(run, lanes) / run
    of_tiles[1] = steps if job.staged and staged > 0 and (<double>C * parts(grid.stage_channel, grid.rows * grid.images)
                                                          * kernels.itemsize > job.tuning.stage_bytes) else 0.0
    of_tiles[2] = steps if waits else 0.0
    of_tiles[4], features[5], features[6] = turned, copied, filters
    # OUTER. Its offsets are of 32 bits, which a window dilated by billions would not fit.
    cdef double *of_outer = features + 3 * FEATURES
    cdef idx width = kernels.correlate.outer_vecs * lanes, rest = parts(K % width, lanes)
    cdef double tiles = K // width * kernels.correlate.outer_vecs / 2.0
    if rest > 0:
        tiles += max(rest / 2.0, 4.0 / kernels.correlate.outer_rows)
    if depth > MOST_DEPTH or staged >= 1 << 30:
        rows[3] = -1
    of_outer[0] = pixels * depth * tiles
    of_outer[1] = pixels * K
    of_outer[4], features[5], features[6] = turned, copied, filters
    # DOT. Only the ends of rows are staged, but for short rows.
    cdef double *of_dot = features + 2 * FEATURES
    if not last or K * depth * kernels.itemsize > NEAR_BYTES:
        rows[2] = -1
        return
    cdef double calls = parts(K, kernels.correlate.dot_rows), sums = K / calls * kernels.correlate.dot_cols
    cdef idx vecs = grid.R * (parts(grid.S * C, lanes) if grid.apart_w * grid.apart_w == 1 else grid.S * parts(C, lanes))
    cdef double groups_of_pixels = parts(grid.Q, kernels.correlate.dot_cols)
    if grid.Q > FEW_COLS and not grid.inside:
        groups_of_pixels += 2
    calls *= <double>job.groups * grid.N * grid.P * groups_of_pixels
    of_dot[0] = calls * vecs * max(4.0, sums / 2)
    of_dot[1] = calls
    of_dot[2] = calls * sums
    of_dot[3] = pixels * grid.R * C / lanes if grid.Q <= FEW_COLS else 0.0
    of_dot[6] = filters


cdef void gather_features(const Problem *problem, int *rows, double *features) noexcept nogil:
    cdef Gather job
    rows[0] = rows[1] = rows[2] = rows[3] = -1
    if problem.which == FORWARD or problem.which == INPUT_GRADIENT and problem.stride_h == problem.stride_w == 1:
        set_gather(problem, &job)
        features_of(&job, rows, features)


cdef double cheapest(const Problem *problem, Gather *job) noexcept nogil:
    cdef int[4] rows
    cdef double[4 * FEATURES] features
    cdef double cycles, least = INFINITY
    cdef int i
    features_of(job, rows, features)
    for i in range(4):
        cycles = cycles_of(job.tuning, PANELS + i, problem.which, rows[i], features + i * FEATURES)
        if cycles < INFINITY and problem.forced == PANELS + i:
            job.form = PANELS + i
            return cycles
        if cycles < least:
            job.form, least = PANELS + i, cycles
    return least


# ---- the schedule --------------------------------------------------------------------------------------------------


cdef void plan_gather(Gather *job) noexcept nogil:
    """Cut the work of the chosen form into blocks, chunks and tiles; inspect() has been here."""
    cdef const fc_kernels *kernels = job.kernels
    cdef Grid *grid = &job.grid
    cdef idx lanes = kernels.lanes, slots = grid.slots_h * grid.slots_w, target = job.target
    job.chunk = job.C
    job.k_tile = kernels.product.rows
    job.placed = False
    if job.form == OUTER:
        job.k_tile = kernels.correlate.outer_vecs * lanes
        job.placed = grid.inside and narrow(&job.x)
    elif job.form == DOT:
        job.k_tile = even(job.K, kernels.correlate.dot_rows)
    # Residues of a stride share blocks, which panels are cut for.
    if job.form == PANELS:
        job.chunk = even(job.C, max(1, job.tuning.depth // (grid.R * grid.S)))
        cut_for_panels(job)
    elif target != 0:
        cut_for_panels(job)
    elif job.form == TILES:
        # As many rows as the staging budget holds: each block stages the rows at its seams again.
        target = min(8192, max(256, job.tuning.stage_bytes // (kernels.itemsize * job.C * slots)))
        cut_blocks(grid, target, 1, lanes)
    elif job.form == OUTER:
        cut_blocks(grid, 128, kernels.correlate.outer_rows, lanes)
    else:
        cut_blocks(grid, 2048, 1, lanes)
    job.n_chunks = parts(job.C, job.chunk)


cdef void lay_out_tables(Gather *job, Arena *arena) noexcept nogil:
    cdef idx taps = job.grid.R * job.grid.S, lanes = job.kernels.lanes
    # Tiles read whole vectors of the last filters.
    job.filters = <char *>carve(arena, <double>job.groups * up(job.K, lanes) * job.C * taps + LINE,
                                job.kernels.itemsize)
    job.filter_taps = <idx *>carve(arena, taps, sizeof(idx))
    job.staged_taps = <idx *>carve(arena, <double>job.chunk * taps, sizeof(idx))
    job.placed_taps = <idx *>carve(arena, <double>job.chunk * taps, sizeof(idx))


cdef void lay_out_scratch(const Gather *job, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef const Grid *grid = &job.grid
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, rows = kernels.product.rows
    cdef double taps = grid.R * grid.S, pixels = grid.images * grid.rows * grid.cols, area, width
    if job.form == DOT:
        width = (grid.cols - 1) * grid.step_w + (grid.S - 1) * abs_of(grid.apart_w) + 1
        scratch.stage = <char *>carve(arena, grid.R * width * job.C + lanes, itemsize)
        scratch.panel = <char *>carve(arena, job.K * kernels.correlate.dot_cols, itemsize)
        scratch.sums = <char *>carve(arena, FC_MAX_ROWS * FC_MAX_VECS * lanes, itemsize)
        return
    scratch.stage = <char *>carve(arena, <double>job.chunk * grid.stage_channel + FC_MAX_VECS * LINE, itemsize)
    if job.form == PANELS:
        scratch.panel = <char *>carve(arena, job.chunk * taps * job.width + lanes, itemsize)
        # Where there are more chunks, all of the block stays here until the last one.
        area = up(<idx>pixels, lanes) * <double>job.K if job.n_chunks > 1 else job.tuning.tiles * rows * job.width
        scratch.sums = <char *>carve(arena, area + lanes, itemsize)
        scratch.pieces = <fc_piece *>carve(arena, job.width, sizeof(fc_piece))
        scratch.next_pieces = <fc_piece *>carve(arena, job.width + 1, sizeof(fc_piece))
        scratch.runs = <fc_run *>carve(arena, job.width, sizeof(fc_run))
    elif job.form == TILES:
        scratch.sums = <char *>carve(arena, (FC_MAX_ROWS * FC_MAX_VECS + 1) * lanes, itemsize)
    else:
        area = up(<idx>pixels, kernels.correlate.outer_rows)
        scratch.sums = <char *>carve(arena, area * job.k_tile, itemsize)
        scratch.pixels = <idx *>carve(arena, area, sizeof(idx))
        scratch.pairs = <int32_t *>carve(arena, job.C * taps, sizeof(int32_t))


cdef inline idx abs_of(idx a) noexcept nogil:
    return a if a >= 0 else -a


cdef void fill_tables(const Gather *job) noexcept nogil:
    """Where the taps of each channel of a chunk read."""
    cdef const Grid *grid = &job.grid
    cdef idx r, s, i = 0, taps = grid.R * grid.S
    for r in range(grid.R):
        for s in range(grid.S):
            job.filter_taps[i] = r * job.w_row + s * job.w_col
            job.staged_taps[i] = staged_offset(grid, r, s)
            # Of a tap outside of the image there may be no address.
            job.placed_taps[i] = placed_offset(grid, &job.x, r, s) if grid.inside else 0
            i += 1
    for i in range(taps, job.chunk * taps):
        job.staged_taps[i] = job.staged_taps[i - taps] + grid.stage_channel
        job.placed_taps[i] = job.placed_taps[i - taps] + job.x.s_c if grid.inside else 0


# ---- packing filters -----------------------------------------------------------------------------------------------


cdef void pack_for_outer(const Gather *job, idx group) noexcept nogil:
    """Filters along the lanes: [panel][channel, tap][filter], the last vector filled up with zeros."""
    cdef idx itemsize = job.kernels.itemsize, lanes = job.kernels.lanes, taps = job.grid.R * job.grid.S
    cdef idx k = 0, t, width, run = job.C * taps if job.w_channel == taps else 1
    cdef char *to
    # Pairs that lie side by side as the tables have them are transposed by vectors.
    for t in range(taps):
        if job.filter_taps[t] != t:
            run = 1
    while k < job.K:
        width = job.k_tile if job.K - k > lanes else lanes
        to = job.filters + (group * up(job.K, lanes) + k) * job.C * taps * itemsize
        t = 0
        while t < job.C * taps:
            job.kernels.move.transpose(to + t * width * itemsize, width,
                                       job.w + (group * job.w_group + k * job.w_filter + t // taps * job.w_channel
                                                + job.filter_taps[t % taps]) * itemsize, job.w_filter, 1,
                                       min(width, job.K - k), run)
            t += run
        k += width


cdef void pack_for_dot(const Gather *job, idx group) noexcept nogil:
    """Filters as a pixel's window lies in memory, whose taps may come in reverse: [filter][row][column][channel]."""
    cdef idx itemsize = job.kernels.itemsize, R = job.grid.R, S = job.grid.S, k, r, s, c, to, offset
    to = group * job.K * R * S * job.C
    for k in range(job.K):
        for r in range(R):
            for s in range(S):
                offset = (group * job.w_group + k * job.w_filter
                          + (R - 1 - r if job.grid.apart_h < 0 else r) * job.w_row
                          + (S - 1 - s if job.grid.apart_w < 0 else s) * job.w_col)
                for c in range(job.C):
                    if itemsize == 4:
                        (<float *>job.filters)[to] = (<const float *>job.w)[offset + c * job.w_channel]
                    else:
                        (<double *>job.filters)[to] = (<const double *>job.w)[offset + c * job.w_channel]
                    to += 1


cdef void pack_chunk(const Gather *job, idx index) noexcept nogil:
    """The filters of a group and a chunk of channels as the form reads them."""
    if index >= job.groups * job.n_chunks:
        return
    cdef idx group = index // job.n_chunks, c0 = index % job.n_chunks * job.chunk, k = 0, rows
    cdef idx channels = min(job.chunk, job.C - c0), taps = job.grid.R * job.grid.S, itemsize = job.kernels.itemsize
    if job.form == OUTER:
        pack_for_outer(job, group)
        return
    if job.form == DOT:
        pack_for_dot(job, group)
        return
    while k < job.K:
        rows = min(job.kernels.product.rows, job.K - k)
        job.kernels.move.pack_filters(
            job.filters + ((group * job.C + c0) * job.K + k * channels) * taps * itemsize,
            job.w + (group * job.w_group + k * job.w_filter + c0 * job.w_channel) * itemsize, rows, job.w_filter,
            channels, job.w_channel, taps, job.filter_taps)
        k += rows


# ---- the forms -----------------------------------------------------------------------------------------------------


cdef inline char *result(const Gather *job, idx group, idx k, const Block *block, idx n, idx p, idx q) noexcept nogil:
    """The address of filter k's pixel (p, q) of the block's n-th image."""
    return job.y.data + ((block.n0 + n) * job.y.s_n + (group * job.K + k) * job.y.s_c + (block.p0 + p) * job.y.s_h
                         + (block.q0 + q) * job.y.s_w) * job.kernels.itemsize


cdef inline const char *bias_of(const Gather *job, idx group, idx k) noexcept nogil:
    return job.bias + (group * job.K + k) * job.kernels.itemsize if job.bias != NULL else NULL


cdef void put_tile(const Gather *job, const char *tile, idx width, char *y, idx rows, idx n_runs,
                   const fc_run *runs) noexcept nogil:
    """Move a tile of sums [filter][pixel] to the runs of the result that its pixels are."""
    cdef idx itemsize = job.kernels.itemsize, lanes = job.kernels.lanes, i, q
    if not channels_last(&job.y):
        job.kernels.move.scatter(tile, width, y, job.y.s_c, job.y.s_w, rows, n_runs, runs)
        return
    # A pixel's channels are neighbours: the tile is transposed, a vector of pixels at a time.
    for i in range(n_runs):
        q = 0
        while q < runs[i].count:
            job.kernels.move.untranspose(y + (runs[i].offset + q * job.y.s_w) * itemsize, job.y.s_w,
                                         tile + q * itemsize, width, min(lanes, runs[i].count - q), rows)
            q += lanes
        tile += runs[i].count * itemsize


cdef idx runs_of_result(const Gather *job, const Block *block, idx first, idx count, fc_run *runs) noexcept nogil:
    """The runs of y that so many pixels of the block are, from its image n0 and filter 0."""
    cdef idx n_runs = 0, n, p, q, length
    cdef bint plane = job.y.s_h == block.cols * job.y.s_w
    while count > 0:
        n = first // (block.rows * block.cols)
        p = first // block.cols % block.rows
        q = first % block.cols
        length = min(count, (block.rows - p) * block.cols - q if plane else block.cols - q)
        runs[n_runs].offset = n * job.y.s_n + (block.p0 + p) * job.y.s_h + (block.q0 + q) * job.y.s_w
        runs[n_runs].count = length
        n_runs += 1
        first += length
        count -= length
    return n_runs


cdef idx pieces_of_source(const Block *block, idx first, idx count, idx most, fc_piece *pieces) noexcept nogil:
    """Where so many pixels of the block lie, from the block's base, in pieces of up to `most`."""
    cdef idx n_pieces = 0, n, p, q, length, to = 0
    cdef bint dense = block.s_row == block.cols * block.s_col
    while to < count:
        n = first // (block.rows * block.cols)
        p = first // block.cols % block.rows
        q = first % block.cols
        length = min(min(count - to, most), (block.rows - p) * block.cols - q if dense else block.cols - q)
        pieces[n_pieces].source = n * block.s_image + p * block.s_row + q * block.s_col
        pieces[n_pieces].to = to
        n_pieces += 1
        first += length
        to += length
    return n_pieces


cdef bint readable(const Gather *job, const Block *block, idx channels) noexcept nogil:
    """Whether whole vectors can be read in place of these channels without leaving the source's memory."""
    cdef idx far = 0, t
    for t in range(job.grid.R * job.grid.S):
        far = max(far, job.placed_taps[t])
    far += ((block.images - 1) * block.s_image + (block.rows - 1) * block.s_row + (channels - 1) * job.x.s_c
            + (block.cols - 1) * block.s_col)
    return (job.x.s_n >= 0 and job.x.s_c >= 0 and job.x.s_h >= 0
            and block.base + (far + block.s_col * job.kernels.lanes) * job.kernels.itemsize <= job.x.end)


cdef inline bint turnable(const Gather *job, const Block *block) noexcept nogil:
    """Whether panels are transposed pixels: of one tap, their channels neighbours in memory, all as far apart."""
    return (job.grid.inside and job.grid.R * job.grid.S == 1 and channels_last(&job.x)
            and (block.rows == 1 or block.s_row == block.cols * block.s_col)
            and (block.images == 1 or block.s_image == block.rows * block.cols * block.s_col))


cdef inline idx panel_pixels(const Gather *job, idx rest) noexcept nogil:
    """Pixels in the next panel where `rest` are left: one vector has too few sums to keep the units busy."""
    if job.width < rest <= job.width + job.kernels.lanes:
        return job.width - job.kernels.lanes
    return min(job.width, rest)


cdef void gather_panels(const Gather *job, idx group, Block *block, idx k0, idx k1, Scratch *scratch) noexcept nogil:
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, taps = job.grid.R * job.grid.S, most_tiles = job.tuning.tiles
    cdef idx pixels = block.images * block.rows * block.cols, n_panels = parts(pixels, job.width)
    cdef idx chunk, c0, channels, depth, first, count, vecs, k, rows, tiles, n_pieces, n_runs, to_row
    cdef const idx *offsets
    cdef char *a
    cdef char *y
    cdef char *to
    cdef bint whole, turned
    # Of the next panel's pieces and their channels, those that are asked for next, a share with each tile.
    cdef idx n_next, piece, asked, here, share
    cdef fc_ahead lines
    cdef Ahead next_rows
    cdef Block next_block
    cdef idx next_c, next_index = 1 + block.q0 // job.grid.cols + job.grid.blocks_q * (
        block.p0 // job.grid.rows + job.grid.blocks_p * (block.n0 // job.grid.images))
    for chunk in range(job.n_chunks):
        c0 = chunk * job.chunk
        channels = min(job.chunk, job.C - c0)
        depth = channels * taps
        in_place(&job.grid, &job.x, block, group * job.C + c0, itemsize)
        offsets = job.placed_taps
        turned = turnable(job, block)
        if not (turned or packable(job) and readable(job, block, channels)):
            stage(kernels, &job.x, &job.grid, block, group * job.C + c0, channels, scratch.stage)
            offsets = job.staged_taps
        next_block, next_c = block[0], c0 + channels
        if next_c == job.C:
            next_c = 0
            locate(&job.grid, next_index, &next_block)
        memset(&next_rows, 0, sizeof(Ahead))
        if offsets == job.staged_taps and (next_c > 0 or next_index < job.grid.blocks):
            look_ahead(&next_rows, &job.x, &job.grid, &next_block, group * job.C + next_c,
                       min(job.chunk, job.C - next_c), most_tiles * (depth // FC_AHEAD),
                       n_panels * parts(k1 - k0, most_tiles * kernels.product.rows), itemsize)
        first = 0
        while first < pixels:
            count = panel_pixels(job, pixels - first)
            vecs = parts(count, kernels.lanes)
            # What comes next is far, and asked for while this is computed: the next panel's pixels where they are
            # packed from where they lie, or rows of the next channels to be staged.
            n_next = 0
            if offsets != job.staged_taps and first + count < pixels and not turned:
                here = panel_pixels(job, pixels - first - count)
                n_next = pieces_of_source(block, first + count, here, 2 * LINE // (itemsize * block.s_col),
                                          scratch.next_pieces)
                scratch.next_pieces[n_next].to = here
            piece = asked = 0
            n_runs = runs_of_result(job, block, first, count, scratch.runs)
            if turned:
                kernels.move.transpose(scratch.panel, job.width,
                                       block.base + (offsets[0] + first * block.s_col) * itemsize, block.s_col, 1,
                                       count, channels)
            else:
                n_pieces = pieces_of_source(block, first, count, kernels.lanes, scratch.pieces)
                kernels.move.pack_pixels(scratch.panel, job.width, block.base, depth, offsets, n_pieces,
                                         scratch.pieces, block.s_col)
            whole = n_runs == 1 and count == vecs * kernels.lanes and job.y.s_w == 1
            k = k0
            while k < k1:
                rows = min(kernels.product.rows, k1 - k)
                tiles = min(most_tiles, (k1 - k) // rows)
                share = tiles * (depth // FC_AHEAD)
                a = job.filters + ((group * job.C + c0) * job.K + k * channels) * taps * itemsize
                y = job.y.data + (block.n0 * job.y.s_n + (group * job.K + k) * job.y.s_c) * itemsize
                lines.start, lines.step = scratch.panel, 0
                if offsets == job.staged_taps:
                    ask(&next_rows, itemsize, &lines)
                elif piece < n_next:
                    # Two lines, the second of which holds the piece's last pixel.
                    lines.step = job.x.s_c
                    lines.start = block.base - LINE + (
                        scratch.next_pieces[piece].source + min(asked, max(0, channels - share)) * job.x.s_c
                        + (scratch.next_pieces[piece + 1].to - scratch.next_pieces[piece].to - 1) * block.s_col
                    ) * itemsize
                    asked += share
                    if asked >= channels:
                        asked = 0
                        piece += 1
                to, to_row = y + scratch.runs[0].offset * itemsize, job.y.s_c
                if not whole:
                    to_row = vecs * kernels.lanes
                    to = scratch.sums
                    if job.n_chunks > 1:
                        to += (first * (k1 - k0) + (k - k0) * to_row) * itemsize
                kernels.product.panel[rows - 1][vecs - 1](tiles, depth, a, scratch.panel, to, to_row,
                                                          bias_of(job, group, k), chunk > 0, &lines)
                if not whole and chunk + 1 == job.n_chunks:
                    put_tile(job, to, to_row, y, tiles * rows, n_runs, scratch.runs)
                k += tiles * rows
            first += count


cdef void gather_tiles(const Gather *job, idx group, Block *block, idx k0, idx k1, Scratch *scratch) noexcept nogil:
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, depth = job.C * job.grid.R * job.grid.S
    cdef idx n, p, k, rows, q, vecs, most_vecs, run, n_rows, n_safe, left, tiles, s_row = job.y.s_h
    cdef const idx *offsets = job.placed_taps
    cdef const char *a
    cdef const char *bias
    cdef char *y
    cdef char *x
    cdef fc_run to
    in_place(&job.grid, &job.x, block, group * job.C, itemsize)
    n_rows, run = block.rows, block.cols
    if job.dense and block.cols == job.grid.Q:
        n_rows, run = 1, block.rows * block.cols
    if not (job.grid.inside and job.x.s_w == 1 and job.grid.step_w == 1 and run >= lanes):
        stage(kernels, &job.x, &job.grid, block, group * job.C, job.C, scratch.stage)
        offsets = job.staged_taps
        n_rows, run = block.rows, block.cols
    # Rows that whole vectors may be stored to: what is too much falls into rows still to be computed.
    n_safe = 0
    if job.y.s_w == 1 and run >= lanes:
        n_safe = n_rows
    elif job.y.s_w == 1 and job.y.s_h == run:
        n_safe = max(0, n_rows - (lanes - 1) // run)
    to.offset = 0
    # Whole planes of the next block, which will be staged, come near meanwhile: a share with each row.
    cdef bint ahead = (offsets == job.staged_taps and block.rows == job.grid.P and block.cols == job.grid.Q
                       and job.x.s_w == 1 and job.x.s_h == job.x.w and job.x.s_c == job.x.h * job.x.w)
    cdef idx share = parts(job.C * job.x.s_c, n_rows * parts(k1 - k0, kernels.product.rows)), done
    for n in range(block.images):
        k = k0
        ahead = ahead and block.n0 + block.images + n < job.x.n
        done = 0
        while k < k1:
            rows = min(kernels.product.rows, k1 - k)
            most_vecs = kernels.product.vecs[rows]
            a = job.filters + (group * job.K + k) * depth * itemsize
            bias = bias_of(job, group, k)
            x = block.base + n * block.s_image * itemsize
            y = result(job, group, k, block, n, 0, 0)
            p = 0
            while p < n_safe:
                # The last vector, or tile, of a row moves left until it fits, and computes some pixels again.
                if run < most_vecs * lanes:
                    vecs = min(most_vecs, n_safe - p)
                    q = 0
                    while q < run:
                        q = max(0, min(q, run - lanes))
                        kernels.product.strip[rows - 1][vecs - 1](depth, a, x + (p * block.s_row + q) * itemsize,
                                                                  offsets, block.s_row, y + (p * s_row + q) * itemsize,
                                                                  job.y.s_c, s_row, bias)
                        q += lanes
                    p += vecs
                else:
                    if ahead:
                        kernels.move.fetch(job.x.data + ((block.n0 + block.images + n) * job.x.s_n
                                                         + group * job.C * job.x.s_c + done) * itemsize, 0, 1,
                                           min(share, job.C * job.x.s_c - done))
                        done += share
                    q, left = 0, parts(run, lanes)
                    tiles = parts(left, most_vecs)
                    while q < run:
                        vecs = parts(left, tiles)
                        left -= vecs
                        tiles -= 1
                        q = min(q, run - vecs * lanes)
                        kernels.product.tile[rows - 1][vecs - 1](depth, a, x + (p * block.s_row + q) * itemsize,
                                                                 offsets, y + (p * s_row + q) * itemsize, job.y.s_c,
                                                                 bias, 0)
                        q += vecs * lanes
                    p += 1
            while p < n_rows:
                q = 0
                while q < run:
                    vecs = min(most_vecs, parts(run - q, lanes))
                    to.count = min(vecs * lanes, run - q)
                    kernels.product.tile[rows - 1][vecs - 1](depth, a, x + (p * block.s_row + q) * itemsize, offsets,
                                                             scratch.sums, vecs * lanes, bias, 0)
                    put_tile(job, scratch.sums, vecs * lanes, y + (p * s_row + q * job.y.s_w) * itemsize, rows, 1, &to)
                    q += vecs * lanes
                p += 1
            k += rows


cdef void gather_outer(const Gather *job, idx group, Block *block, idx k0, idx k1, Scratch *scratch) noexcept nogil:
    """As the weight gradient's outer form does: pixels are read one by one, in any layout, and meet all filters."""
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, depth = job.C * job.grid.R * job.grid.S
    cdef idx n_pixels = block.images * block.rows * block.cols, n, p, q, i = 0, k = k0, width, rows, r, n_rows, count
    cdef char *sums = scratch.sums
    cdef const idx *offsets = job.placed_taps
    cdef fc_ahead nothing
    cdef fc_run run
    cdef char *y
    if job.placed:
        in_place(&job.grid, &job.x, block, group * job.C, itemsize)
    else:
        stage(kernels, &job.x, &job.grid, block, group * job.C, job.C, scratch.stage)
        offsets = job.staged_taps
    for n in range(block.images):
        for p in range(block.rows):
            for q in range(block.cols):
                scratch.pixels[i] = n * block.s_image + p * block.s_row + q * block.s_col
                i += 1
    # A ragged last tile repeats the last pixel; what it sums there is not used.
    for i in range(n_pixels, up(n_pixels, kernels.correlate.outer_rows)):
        scratch.pixels[i] = scratch.pixels[n_pixels - 1]
    for i in range(depth):
        scratch.pairs[i] = <int32_t>offsets[i]
    nothing.start, nothing.step = block.base, 0
    # Rows of the result follow each other without a gap where the block has whole ones.
    n_rows, count = block.rows, block.cols
    if job.y.s_h == count * job.y.s_w:
        n_rows, count = 1, block.rows * block.cols
    while k < k1:
        width = job.k_tile if k1 - k > lanes else lanes
        rows = min(width, k1 - k)
        # Sums begin with the bias.
        memset(sums, 0, width * itemsize)
        if job.bias != NULL:
            memcpy(sums, bias_of(job, group, k), rows * itemsize)
        i = 1
        while i < n_pixels:
            memcpy(sums + i * width * itemsize, sums, min(i, n_pixels - i) * width * itemsize)
            i *= 2
        i = 0
        while i < n_pixels:
            kernels.correlate.outer[width // lanes - 1](
                depth, scratch.pairs, block.base, scratch.pixels + i,
                job.filters + (group * up(job.K, lanes) + k) * depth * itemsize, sums + i * width * itemsize, &nothing)
            i += kernels.correlate.outer_rows
        run.offset, run.count = 0, rows
        for i in range(block.images * n_rows):
            y = result(job, group, k, block, i // n_rows, i % n_rows, 0)
            if channels_last(&job.y):
                kernels.move.scatter(sums + i * count * width * itemsize, width, y, job.y.s_w, 1, count, 1, &run)
                continue
            r = 0
            while r < rows:
                kernels.move.untranspose(y + r * job.y.s_c * itemsize, job.y.s_c,
                                         sums + (i * count * width + r) * itemsize, width, min(lanes, rows - r), count)
                r += lanes
        k += width


cdef void dot_run(const Gather *job, idx group, idx n, idx p, idx q0, idx q1, idx k0, idx k1,
                  Scratch *scratch) noexcept nogil:
    """Outputs q0 ... q1 of row p: their windows where they lie, or staged with zeros around them."""
    cdef const fc_kernels *kernels = job.kernels
    cdef const Image *x = &job.x
    cdef const Grid *grid = &job.grid
    cdef idx itemsize = kernels.itemsize, apart_h = abs_of(grid.apart_h), apart_w = abs_of(grid.apart_w)
    cdef idx h0 = p * grid.step_h + grid.min_h, w0 = q0 * grid.step_w + grid.min_w, cols = kernels.correlate.dot_cols
    cdef idx width = (q1 - 1 - q0) * grid.step_w + (grid.S - 1) * apart_w + 1
    cdef idx row = apart_h * x.s_h, pixel = x.s_w, left = min(width, max(0, -w0)), r, q, c, k, filters, h
    cdef idx count = max(0, min(width, x.w - w0) - left), depth = job.C * grid.R * grid.S
    cdef char *data = x.data + (n * x.s_n + group * job.C + h0 * x.s_h + w0 * x.s_w) * itemsize
    cdef idx[FC_MAX_ROWS] places
    cdef fc_run to
    if (h0 < 0 or h0 + (grid.R - 1) * apart_h >= x.h or count < width
            or data + ((width - 1) * pixel + max(0, (grid.R - 1) * row) + job.C + kernels.lanes) * itemsize > x.end):
        for r in range(grid.R):
            h = h0 + r * apart_h
            c = count if 0 <= h < x.h else 0
            # Beyond the image there may be no address.
            kernels.move.stage(scratch.stage + r * width * job.C * itemsize, job.C,
                               data + (r * row + left * pixel) * itemsize if c > 0 else x.data, pixel, 1, width, left,
                               left + c, 0, job.C, 0, 0)
        data, pixel, row = scratch.stage, job.C, width * job.C
    cdef bint whole = apart_w * pixel == job.C
    to.offset = 0
    q = q0
    while q < q1:
        to.count = min(cols, q1 - q)
        # A ragged last tile repeats the last pixel; what it sums there is not used.
        for c in range(cols):
            places[c] = min(q - q0 + c, q1 - 1 - q0) * grid.step_w * pixel
        k = k0
        while k < k1:
            filters = min(job.k_tile, k1 - k)
            memcpy(scratch.sums, scratch.panel + (k - k0) * cols * itemsize, filters * cols * itemsize)
            kernels.correlate.dot[filters - 1](grid.R, 1 if whole else grid.S, grid.S * job.C if whole else job.C,
                                               job.filters + (group * job.K + k) * depth * itemsize, depth,
                                               grid.S * job.C, job.C, data, places, row, apart_w * pixel, scratch.sums)
            kernels.move.scatter(scratch.sums, cols,
                                 job.y.data + (n * job.y.s_n + (group * job.K + k) * job.y.s_c + p * job.y.s_h
                                               + q * job.y.s_w) * itemsize, job.y.s_c, job.y.s_w, filters, 1, &to)
            k += filters
        q += cols


cdef void gather_dot(const Gather *job, idx group, const Block *block, idx k0, idx k1,
                     Scratch *scratch) noexcept nogil:
    cdef const Grid *grid = &job.grid
    cdef idx itemsize = job.kernels.itemsize, cols = job.kernels.correlate.dot_cols, reach_w = abs_of(grid.apart_w)
    cdef idx k, i, n, p, h, first, last, end = block.q0 + block.cols
    memset(scratch.panel, 0, (k1 - k0) * cols * itemsize)
    for k in range(k1 - k0 if job.bias != NULL else 0):
        for i in range(cols):
            memcpy(scratch.panel + (k * cols + i) * itemsize, bias_of(job, group, k0 + k), itemsize)
    # Outputs whose columns are all inside.
    first = min(end, max(block.q0, parts(-grid.min_w, grid.step_w)))
    h = job.x.w - 1 - grid.min_w - (grid.S - 1) * reach_w
    last = max(first, min(end, h // grid.step_w + 1 if h >= 0 else 0))
    for n in range(block.n0, block.n0 + block.images):
        for p in range(block.p0, block.p0 + block.rows):
            h = p * grid.step_h + grid.min_h
            if block.cols <= FEW_COLS or h < 0 or h + (grid.R - 1) * abs_of(grid.apart_h) >= job.x.h:
                dot_run(job, group, n, p, block.q0, end, k0, k1, scratch)
                continue
            if block.q0 < first:
                dot_run(job, group, n, p, block.q0, first, k0, k1, scratch)
            if first < last:
                dot_run(job, group, n, p, first, last, k0, k1, scratch)
            if last < end:
                dot_run(job, group, n, p, last, end, k0, k1, scratch)


cdef void gather_block(const Gather *job, idx group, Block *block, idx k0, idx k1, char *memory) noexcept nogil:
    """Filters k0 ... k1 of a group and a block of pixels."""
    cdef Arena arena = Arena(memory, 0)
    cdef Scratch scratch
    lay_out_scratch(job, &arena, &scratch)
    if job.form == PANELS:
        gather_panels(job, group, block, k0, k1, &scratch)
    elif job.form == TILES:
        gather_tiles(job, group, block, k0, k1, &scratch)
    elif job.form == OUTER:
        gather_outer(job, group, block, k0, k1, &scratch)
    else:
        gather_dot(job, group, block, k0, k1, &scratch)


# ---- the run -------------------------------------------------------------------------------------------------------


cdef void pack_task(const void *job, idx task, char *memory) noexcept nogil:
    pack_chunk(<const Gather *>job, task)


cdef void gather_task(const void *of, idx task, char *memory) noexcept nogil:
    cdef const Gather *job = <const Gather *>of
    cdef idx part = task % job.k_parts, k0 = part * job.k_part
    cdef Block block
    locate(&job.grid, task // job.k_parts % job.grid.blocks, &block)
    gather_block(job, task // job.k_parts // job.grid.blocks, &block, k0, min(job.K, k0 + job.k_part), memory)


cdef int run_gather(Gather *job) except -1:
    cdef Arena tables = Arena(NULL, 0), arena = Arena(NULL, 0)
    cdef Scratch scratch
    cdef Workspace workspace
    cdef idx tasks, packs
    plan_gather(job)
    cdef double work = (<double>job.groups * job.K * (job.C * <double>job.grid.R * job.grid.S + 1)
                        * job.grid.N * job.grid.P * job.grid.Q)
    cdef int n_threads = threads_for(work, job.groups * job.grid.blocks * parts(job.K, job.k_tile))
    job.k_part = up(parts(job.K, max(1, n_threads // (job.groups * job.grid.blocks))), job.k_tile)
    job.k_parts = parts(job.K, job.k_part)
    lay_out_tables(job, &tables)
    lay_out_scratch(job, &arena, &scratch)
    reserve(&workspace, &tables, &arena, n_threads)
    lay_out_tables(job, &tables)
    tasks, packs = job.groups * job.grid.blocks * job.k_parts, job.groups * job.n_chunks
    with nogil:
        fill_tables(job)
        run_tasks(pack_task, job, packs, parts(packs, n_threads), &workspace)
        run_tasks(gather_task, job, tasks, max(1, tasks // (n_threads * 16)), &workspace)
    release(&workspace)
    return 0


cdef int gather_run(const Problem *problem, int form) except -1:
    cdef Gather job
    set_gather(problem, &job)
    inspect(&job)
    job.form = form
    return run_gather(&job)
