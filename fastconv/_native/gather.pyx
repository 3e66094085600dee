"""The loop nests of forward and of the input gradient: over groups, blocks of pixels, channels and filters.

y[n, k, p, q] = b[k] + sum_{c,r,s} w[k, c, r, s] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]      (equation 12.3)

The input gradient of a stride of 1 is the same sum over dy with the kernel flipped and channels and filters exchanged
(equation 12.6); that of a stride is one such sum for each of its residues (phases.pyx). There are four forms:

PANELS   pixels along the lanes: a panel of packed pixels meets all filters, tile by tile, while it is in L1
TILES    the same without packing: tiles read runs of pixels where they lie, or in staged rows
OUTER    filters along the lanes: pixels are read one by one, in any layout
DOT      channels along the lanes: each result is the sum over the lanes of products with its window

The tiles of the first two follow Goto and van de Geijn, "Anatomy of high-performance matrix multiplication" (2008),
with the matrix of windows never stored. """

from libc.math cimport INFINITY
from libc.stdint cimport int32_t
from libc.string cimport memset

from fastconv._native.gather_forms cimport gather_dot, gather_outer, gather_panels, gather_tiles
from fastconv._native.grid cimport (
    Block, Grid, cut_blocks, locate, narrow, placed_offset, staged_offset, staged_rows, survey,
)
from fastconv._native.kernels cimport (
    FC_MAX_ROWS, FC_MAX_VECS, even, fc_kernels, fc_piece, fc_run, idx, parts, up,
)
from fastconv._native.memory cimport LINE, Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport (
    FORWARD, INPUT_GRADIENT, NOMINAL_IMAGES, Image, Problem, channels_last, far_elements,
)
from fastconv._native.runtime cimport run_tasks, threads_for
from fastconv._native.tuning cimport DOT, FEATURES, OUTER, PANELS, TILES, cycles_of

cdef enum:
    MOST_DEPTH = 1024      # (channel, tap) pairs in one sum where nothing is packed: a longer one would round worse
    NEAR_BYTES = 32768     # of filters that meet a few pixels at a time in DOT
    # Pixels in a block, about. What a block repeats is paid less often the larger it is, until it leaves a cache:
    PANELS_BLOCK = 512     # its staged rows are read once for each panel, and meet all filters while they are in L2
    MOST_TILES_BLOCK = 8192   # all that TILES stages stays in L2, which stage_bytes sees to between these two
    LEAST_TILES_BLOCK = 256
    OUTER_BLOCK = 128      # its sums, of a panel of filters, stay in L1
    FEW_CHANNELS = 16      # whose filters are packed at a time
    DOT_BLOCK = 2048       # nothing is kept for it but the ends of a row: it is a task for a thread


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
    cut_blocks(&job.grid, job.target if job.target else PANELS_BLOCK, job.width, job.kernels.lanes)


cdef double staged_channels(Gather *job) noexcept nogil:
    """Elements of all channels that a block stages, or fewer than matter where all images together have no more."""
    cdef const Grid *grid = &job.grid
    cdef double least = job.tuning.blocks.stage_bytes // job.kernels.itemsize
    cdef double all_of_them = (<double>grid.N * (grid.P + grid.reach_h) * (grid.Q + grid.reach_w) * grid.slots_h
                               * grid.slots_w + 32) * job.C
    if all_of_them <= least:
        return 0
    cut_for_panels(job)
    return <double>job.C * grid.stage_channel


cdef double tile_calls(const Gather *job, idx run) noexcept nogil:
    """Of one image and group, where rows of the source are runs of so many pixels."""
    cdef const fc_kernels *kernels = job.kernels
    cdef idx lanes = kernels.lanes, rows = job.grid.P * job.grid.Q // run, filters = min(job.K, kernels.product.rows)
    cdef idx vecs = kernels.product.vecs[filters], tiles = parts(job.K, kernels.product.rows)
    if run < vecs * lanes:
        # A strip holds a vector of each of several rows.
        return <double>tiles * parts(rows, vecs) * parts(run, lanes)
    return <double>tiles * rows * parts(run, vecs * lanes)


cdef inline bint reads_in_place(const Gather *job) noexcept nogil:
    """Whether OUTER reads pixels where they lie."""
    return job.grid.inside and narrow(&job.x)


cdef void features_of(Gather *job, int *rows, double *features) noexcept nogil:
    """Counts of what costs time: steps of a vector of multiply-adds at two a cycle, elements moved, rows, calls.

    Tiles that read pixels in their place lose the lanes past the end of a run, and load each vector for every tile of
    filters. Packing moves pieces of runs. OUTER transposes its sums. Results with channels last are transposed, or not.
    What a batch reads and writes beyond the caches counts by itself. The rows of tuning: more taps than one; one;
    results with channels last.
    """
    cdef idx run = inspect(job), i
    cdef const Grid *grid = &job.grid
    cdef const fc_kernels *kernels = job.kernels
    cdef idx lanes = kernels.lanes, taps = grid.R * grid.S, K = job.K, C = job.C
    cdef double images = <double>job.groups * grid.N, pixels = images * grid.P * grid.Q, depth = <double>C * taps
    cdef double steps = pixels * depth * K / (2 * lanes), filters = job.groups * K * depth
    cdef bint last = channels_last(&job.x), single = taps == 1, strided = grid.step_w > 1
    cdef double near = job.tuning.blocks.stage_bytes, far_results = far_elements(&job.y, K, near, kernels.itemsize)
    cdef double results = pixels * K, last_results = results if channels_last(&job.y) else 0.0
    cdef double moved_rows = job.groups * C * staged_rows(grid), moved = moved_rows * (grid.Q + grid.reach_w)
    # stage_channels() moves pixels with channels last by vectors, and single ones of what is left, but where pixels
    # have two to four channels.
    cdef idx left = C if grid.Q < lanes else C % lanes if 2 * (C % lanes) < lanes and job.x.s_w * grid.step_w > 4 else 0
    cdef double turned = moved * (C - left) / C if last else 0.0, copied = moved if job.staged and not last else 0.0
    cdef double single_moves = moved * left / C if last else copied if strided else 0.0
    cdef double copied_rows = moved_rows if job.staged and not last else 0.0
    cdef double staged = staged_channels(job)
    cdef double *of_tiles = features + FEATURES
    cdef double *of_dot = features + 2 * FEATURES
    cdef double *of_outer = features + 3 * FEATURES
    memset(features, 0, 4 * FEATURES * sizeof(double))
    for i in range(4):
        rows[i] = 2 if channels_last(&job.y) else 1 if single else 0
        # What all forms have in common: filters are packed, pixels perhaps staged, something is called.
        features[i * FEATURES + 4], features[i * FEATURES + 12] = turned, single_moves
        features[i * FEATURES + 5] = 0.0 if strided else copied
        features[i * FEATURES + 10] = far_elements(&job.x, C, near, kernels.itemsize)
        features[i * FEATURES + 11] = far_results
        features[i * FEATURES + 6], features[i * FEATURES + 7], features[i * FEATURES + 9] = filters, copied_rows, 1
    # PANELS. Where a panel's depth is short, storing the result takes the time, in pieces as wide as a panel.
    features[0] = steps
    features[1] = pixels * depth / lanes
    features[2] = pixels * depth / run
    features[3] = results * parts(C, max(1, job.tuning.blocks.depth // taps))
    features[13] = last_results
    features[8] = parts(<idx>pixels, job.width) * <double>parts(K, kernels.product.rows * job.tuning.blocks.tiles)
    # TILES. A tile writes a part of each pixel's channels, and comes back to their line with the next filters.
    of_tiles[0] = steps * up(run, lanes) / run
    of_tiles[1] = last_results if K > kernels.product.rows else 0.0
    of_tiles[2] = last_results
    of_tiles[3] = 0.0 if last_results > 0 or job.y.s_w == 1 and run >= lanes else results
    of_tiles[8] = images * tile_calls(job, run)
    of_tiles[13] = pixels * depth / lanes * up(run, lanes) / run * parts(K, kernels.product.rows)
    # OUTER. Its offsets are of 32 bits, which a window dilated by billions would not fit.
    cdef idx width = kernels.correlate.outer_vecs * lanes, rest = parts(K % width, lanes)
    cdef double tiles = K // width * kernels.correlate.outer_vecs / 2.0
    if rest > 0:
        # A narrow tile has too few sums to keep two units busy: each waits four cycles for itself.
        tiles += max(rest / 2.0, 4.0 / kernels.correlate.outer_rows)
    if depth > MOST_DEPTH or staged >= 1 << 30:
        rows[3] = -1
    if reads_in_place(job):
        of_outer[4] = of_outer[5] = of_outer[7] = of_outer[12] = 0
    of_outer[0] = pixels * depth * tiles
    of_outer[1] = results
    of_outer[2] = last_results
    of_outer[8] = parts(<idx>pixels, kernels.correlate.outer_rows) * <double>parts(K, width)
    # DOT. Only the ends of rows are staged, but for short rows.
    if not last or K * depth * kernels.itemsize > NEAR_BYTES:
        rows[2] = -1
        return
    cdef double calls = parts(K, kernels.correlate.dot_rows), sums = K / calls * kernels.correlate.dot_cols
    cdef idx vecs = grid.R * (parts(grid.S * C, lanes) if abs_of(grid.apart_w) == 1 else grid.S * parts(C, lanes))
    # The two ends of a row are runs of their own.
    calls *= images * grid.P * (parts(grid.Q, kernels.correlate.dot_cols)
                                + (2.0 if grid.Q > FEW_COLS and not grid.inside else 0.0))
    of_dot[0] = calls * vecs * max(4.0, sums / 2)
    of_dot[1] = calls
    of_dot[2] = calls * sums
    of_dot[3] = pixels * grid.R * C / lanes if grid.Q <= FEW_COLS else 0.0
    of_dot[4] = of_dot[7] = of_dot[12] = 0


cdef void gather_features(const Problem *problem, int *rows, double *features) noexcept nogil:
    cdef Gather job
    rows[0] = rows[1] = rows[2] = rows[3] = -1
    if problem.which == FORWARD or problem.which == INPUT_GRADIENT and problem.stride_h == problem.stride_w == 1:
        set_gather(problem, &job)
        features_of(&job, rows, features)


cdef double cheapest(const Problem *problem, Gather *job) noexcept nogil:
    cdef int[4] rows
    cdef double[4 * FEATURES] features
    cdef double cycles, least = INFINITY, share = job.grid.N / <double>NOMINAL_IMAGES
    cdef Gather nominal = job[0]
    cdef int i
    nominal.x.n = nominal.y.n = nominal.grid.N = NOMINAL_IMAGES
    features_of(&nominal, rows, features)
    inspect(job)
    for i in range(4):
        cycles = share * cycles_of(job.tuning, PANELS + i, problem.which, rows[i], features + i * FEATURES)
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
    job.far = <double>job.y.n * job.y.c * job.y.h * job.y.w * kernels.itemsize > job.tuning.blocks.stage_bytes
    if job.form == OUTER:
        job.k_tile = kernels.correlate.outer_vecs * lanes
        job.placed = reads_in_place(job)
    elif job.form == DOT:
        job.k_tile = even(job.K, kernels.correlate.dot_rows)
    # Residues of a stride share blocks, which panels are cut for.
    if job.form == PANELS:
        job.chunk = even(job.C, max(1, job.tuning.blocks.depth // (grid.R * grid.S)))
        cut_for_panels(job)
    elif target != 0:
        cut_for_panels(job)
    elif job.form == TILES:
        # As many rows as the staging budget holds: each block stages the rows at its seams again.
        target = job.tuning.blocks.stage_bytes // (kernels.itemsize * job.C * slots)
        if channels_last(&job.y):
            # Each tile of filters writes a part of every pixel's line: the lines stay near until the last one.
            target = min(target, job.tuning.blocks.stage_bytes // (kernels.itemsize * job.K))
        target = min(MOST_TILES_BLOCK, max(LEAST_TILES_BLOCK, target))
        cut_blocks(grid, target, 1, lanes)
    elif job.form == OUTER:
        cut_blocks(grid, OUTER_BLOCK, kernels.correlate.outer_rows, lanes)
    else:
        cut_blocks(grid, DOT_BLOCK, 1, lanes)
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
        area = job.tuning.blocks.tiles * rows * job.width
        if job.n_chunks > 1:
            area = up(<idx>pixels, lanes) * <double>job.K
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


cdef void fill_tables(const Gather *job) noexcept nogil:
    """Where the taps of each channel of a chunk read."""
    cdef const Grid *grid = &job.grid
    cdef idx r, s, i = 0, taps = grid.R * grid.S
    for r in range(grid.R):
        for s in range(grid.S):
            job.filter_taps[i] = r * job.w_row + s * job.w_col
            job.staged_taps[i] = staged_offset(grid, r, s)
            i += 1
    for i in range(taps, job.chunk * taps):
        job.staged_taps[i] = job.staged_taps[i - taps] + grid.stage_channel
    # Of a tap outside of the image there may be no address, and nobody asks for one.
    if not grid.inside:
        return
    i = 0
    for r in range(grid.R):
        for s in range(grid.S):
            job.placed_taps[i] = placed_offset(grid, &job.x, r, s)
            i += 1
    for i in range(taps, job.chunk * taps):
        job.placed_taps[i] = job.placed_taps[i - taps] + job.x.s_c


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
    cdef idx group = index // job.n_chunks, c0 = index % job.n_chunks * job.chunk, c = 0, few, k, rows
    cdef idx channels = min(job.chunk, job.C - c0), taps = job.grid.R * job.grid.S, itemsize = job.kernels.itemsize
    if job.form == OUTER:
        pack_for_outer(job, group)
        return
    if job.form == DOT:
        pack_for_dot(job, group)
        return
    # Where filters are nearer to each other than channels, all filters are packed of a few channels, which share lines.
    few = channels if job.w_channel < job.w_filter else FEW_CHANNELS
    while c < channels:
        few, k = min(few, channels - c), 0
        while k < job.K:
            rows = min(job.kernels.product.rows, job.K - k)
            job.kernels.move.pack_filters(
                job.filters + ((group * job.C + c0) * job.K + k * channels + c * rows) * taps * itemsize,
                job.w + (group * job.w_group + k * job.w_filter + (c0 + c) * job.w_channel) * itemsize, rows,
                job.w_filter, few, job.w_channel, taps, job.filter_taps)
            k += rows
        c += few


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
