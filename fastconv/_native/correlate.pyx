"""The loop nest of the weight gradient: over groups, slices of the images, blocks of pixels, filters and channels.

dw[k, c, r, s] = sum_{n, p, q} dy[n, k, p, q] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]      (equation 12.5)

OUTER         filters along the lanes: dy is transposed, x's pixels are read one by one, in any layout
MIRRORED      the same of one tap with x and dy exchanged, where the other is cheaper to transpose
ROWS          pixels along the lanes, row by row, of filters and (channel, tap) pairs
RUNS          the same over a whole image in one run, its rows joined by zeros
TURNED_ROWS   the same two where filters are many and taps few: a tile holds columns of taps, and filters
TURNED_RUNS

Images are cut into slices by the shape alone, each with sums of its own, which are added up in their order: results do
not depend on the number of threads.
"""

from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from fastconv._native.ahead cimport Ahead, ask, plan_ahead
from fastconv._native.grid cimport (
    Block, Grid, cut_blocks, in_place, locate, look_ahead, narrow, placed_offset, stage, stage_channels, stage_lanes,
    staged_offset, staged_rows, survey,
)
from fastconv._native.kernels cimport FC_AHEAD, FC_MAX_ROWS, FC_MAX_VECS, even, fc_ahead, fc_kernels, idx, parts, up
from fastconv._native.memory cimport LINE, Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport WEIGHT_GRADIENT, Image, Problem, channels_last, far_elements
from fastconv._native.runtime cimport run_tasks, threads_for
from fastconv._native.tuning cimport FEATURES, MIRRORED, OUTER, RUNS, TURNED_ROWS, TURNED_RUNS, Tuning

cdef enum:
    PIXELS = 16            # whose filters, neighbours in memory, are copied at a time
    LEAST_SLICES = 16      # tasks enough for the threads of a large machine
    # Pixels in a block, about. OUTER reads a block again for each tile of pairs, from L1 or near it; of pixels that lie
    # in lines of their own there is room for fewer.
    OUTER_BLOCK = 448
    SPARSE_BLOCK = 112
    # The other forms sum each pair along a block, whose rows of x and dy share L2; the longer they are, the fewer ends.
    LEAST_BLOCK = 256
    MOST_BLOCK_VECTORS = 512
    MOST_PART = 512        # (channel, tap) pairs of a part of theirs


cdef struct Correlate:
    const fc_kernels *kernels
    const Tuning *tuning
    int form
    idx groups, K, C
    Image x, dy
    Grid grid
    char *dw
    idx dw_group, dw_filter, dw_pair   # its strides; one of the last two is 1
    # The schedule.
    bint outer           # OUTER or MIRRORED
    bint runs, turned
    bint placed          # x is read where it lies
    bint by_lanes        # or its channels, neighbours in memory, are staged along the lanes: [vector][pixel][lane]
    idx k_part, k_parts, c_part, c_parts
    idx slices, slice_blocks
    bint direct          # of one slice, MIRRORED's sums are added up in rows of dw
    idx lane_width       # OUTER: filters in a panel
    idx tile_pairs       # (channel, tap) pairs in a tile
    # Tables.
    idx *pairs           # of a (channel, tap) pair, from a block's base
    char *sums           # [group][k part][c part][slice]
    idx sums_size        # of one of these, in elements


cdef struct Scratch:
    char *stage
    char *tile           # that reaches beyond dw's rows or its part
    char *dy             # transposed, or its rows one filter after the other
    int32_t *pixels      # OUTER: where the block's pixels lie
    idx *pairs


# ---- what the forms would do ---------------------------------------------------------------------------------------


cdef void set_job(const Problem *problem, Correlate *job) noexcept nogil:
    cdef const Image *dw = &problem.w
    cdef idx taps = dw.h * dw.w
    job.kernels, job.tuning, job.groups = problem.kernels, problem.tuning, problem.groups
    job.x, job.dy, job.K, job.C = problem.x, problem.y, dw.n // problem.groups, dw.c
    job.grid.N, job.grid.P, job.grid.Q = job.dy.n, job.dy.h, job.dy.w
    job.grid.R, job.grid.S = dw.h, dw.w
    job.grid.step_h, job.grid.step_w = problem.stride_h, problem.stride_w
    job.grid.first_h, job.grid.first_w = -problem.pad_h, -problem.pad_w
    job.grid.apart_h, job.grid.apart_w = problem.dilation_h, problem.dilation_w
    job.dw, job.dw_group, job.dw_filter, job.dw_pair = dw.data, job.K * job.C * taps, job.C * taps, 1
    job.lane_width = job.kernels.correlate.outer_vecs * job.kernels.lanes
    survey(&job.grid, &job.x)


cdef void exchange(Correlate *job) noexcept nogil:
    """Let x and dy trade places."""
    job.x, job.dy = job.dy, job.x
    job.K, job.C = job.C, job.K
    job.dw_filter, job.dw_pair = job.dw_pair, job.dw_filter


cdef bint exchangeable(const Problem *problem) noexcept nogil:
    return (problem.w.h * problem.w.w == 1 and problem.x.h == problem.y.h and problem.x.w == problem.y.w
            and problem.pad_h == 0 and problem.pad_w == 0)


cdef bint stays(const Correlate *job) noexcept nogil:
    """OUTER: whether x is read where it lies. Single pixels can be, in any layout; but where a stride leaves out most
    of a row, not that again and again for all filters, nor pixels that fall into few sets of the caches."""
    return (job.grid.inside and narrow(&job.x) and not lanes_staged(job)
            and (job.grid.R * job.grid.S >= job.grid.step_w if job.x.s_w == 1
                 else job.x.s_w * job.kernels.itemsize % 2048 != 0))


cdef bint lanes_staged(const Correlate *job) noexcept nogil:
    return (job.grid.inside and job.grid.R * job.grid.S == 1 and channels_last(&job.x)
            and job.C >= job.kernels.lanes)


cdef inline double blocks_of(const Correlate *job, double target) noexcept nogil:
    """How many blocks of about so many pixels there are, the last rows and images being what they are."""
    cdef double pixels = <double>job.grid.N * job.grid.P * job.grid.Q
    return max(1.0, pixels / target)


cdef inline void count_far(const Correlate *job, double *features) noexcept nogil:
    cdef idx near = job.tuning.blocks.stage_bytes, itemsize = job.kernels.itemsize
    features[10] = far_elements(&job.x, job.C, near, itemsize)
    features[11] = far_elements(&job.dy, job.K, near, itemsize)


cdef void outer_features(const Correlate *job, double *features) noexcept nogil:
    """Products of whole vectors of filters with whole tiles of pairs; what is transposed of dy, once for each part of
    the channels; what is staged of x; calls, and sums that are folded."""
    cdef const fc_kernels *kernels = job.kernels
    cdef idx taps = job.grid.R * job.grid.S, pairs = up(job.C * taps, kernels.correlate.outer_rows)
    cdef double pixels = <double>job.groups * job.grid.N * job.grid.P * job.grid.Q
    cdef double filters = up(job.K, kernels.lanes)
    cdef double c_parts = parts(job.C, max(1, job.tuning.blocks.part_pairs // taps))
    cdef bint placed = stays(job)
    features[0] = pixels * filters * (pairs / (2.0 * kernels.lanes))
    features[2 if channels_last(&job.dy) else 1] = pixels * filters * c_parts
    features[5] = 0.0 if placed else job.groups * job.C * staged_rows(&job.grid)
    features[4 if channels_last(&job.x) else 12 if job.grid.step_w > 1 else 3] = (
        features[5] * (job.grid.Q + job.grid.reach_w))
    count_far(job, features)
    features[6] = job.groups * filters * pairs * min(<double>LEAST_SLICES, <double>job.grid.N)
    features[8] = (job.groups * blocks_of(job, OUTER_BLOCK) * (pairs // kernels.correlate.outer_rows)
                   * parts(job.K, job.lane_width))
    features[9] = 1


cdef void dot_features(const Correlate *job, bint runs, bint turned, double *features) noexcept nogil:
    """Steps of a vector of a row, or of a whole image's rows as one; ends of rows, or the zeros between them; elements
    of dy and of x that are copied; calls, each of which sums along the lanes in the end; and sums that are folded.

    A row's end costs more than idle lanes, of which there are none where two rows share a vector. What is joined, or
    not dense, is copied.
    """
    cdef const fc_kernels *kernels = job.kernels
    cdef const Grid *grid = &job.grid
    cdef idx lanes = kernels.lanes, Q = grid.Q, pairs = job.C * grid.R * grid.S, tiles
    cdef double rows = <double>job.groups * grid.N * grid.P, pixels = rows * Q, target
    cdef bint shared = Q >= lanes and 2 * (Q % lanes) == lanes
    cdef bint dy_stays = not runs and job.dy.s_w == 1 and Q >= lanes
    cdef bint x_stays = not runs and grid.inside and job.x.s_w == 1 and grid.step_w == 1 and Q >= lanes
    tiles = parts(job.K, kernels.correlate.dot_rows) * parts(pairs, kernels.correlate.dot_cols)
    if turned:
        tiles = (parts(job.K, kernels.correlate.dot_cols) * parts(grid.S, kernels.correlate.dot_rows)
                 * (pairs // grid.S))
    cdef double sums = <double>tiles * kernels.correlate.dot_rows * kernels.correlate.dot_cols
    target = min(job.C, MOST_PART) + min(job.K, 4 * job.lane_width)
    target = job.tuning.blocks.stage_bytes / (2.0 * kernels.itemsize * target)
    features[0] = rows * sums / (2 * lanes) * (Q if shared or runs else up(Q, lanes))
    features[1] = rows * sums / (2 * lanes) * (grid.reach_w if runs else lanes)
    features[3 if channels_last(&job.dy) else 2] = 0.0 if dy_stays else pixels * job.K
    features[5] = 0.0 if x_stays else job.groups * job.C * staged_rows(grid)
    features[13 if channels_last(&job.x) else 12 if grid.step_w > 1 else 4] = features[5] * (Q + grid.reach_w)
    count_far(job, features)
    features[6] = job.groups * sums * min(<double>LEAST_SLICES, <double>grid.N)
    features[7] = rows * tiles
    target = min(<double>MOST_BLOCK_VECTORS * lanes, max(<double>LEAST_BLOCK, target))
    features[8] = job.groups * tiles * blocks_of(job, target)
    features[9] = 1


cdef void correlate_features(const Problem *problem, int *rows, double *features) noexcept nogil:
    """The rows of tuning: more taps than one, or one."""
    cdef Correlate job, mirrored
    cdef int i
    for i in range(6):
        rows[i] = problem.w.h * problem.w.w == 1 if problem.which == WEIGHT_GRADIENT else -1
    if problem.which != WEIGHT_GRADIENT:
        return
    set_job(problem, &job)
    memset(features, 0, 6 * FEATURES * sizeof(double))
    outer_features(&job, features)
    if exchangeable(problem):
        mirrored = job
        exchange(&mirrored)
        outer_features(&mirrored, features + FEATURES)
    else:
        rows[1] = -1
    # Rows of pixels are joined where taps read neighbours, and columns of taps are neighbours likewise.
    if job.grid.slots_h * job.grid.slots_w > 1:
        rows[3] = rows[4] = rows[5] = -1
    if job.K > job.kernels.lanes:
        rows[4] = rows[5] = -1
    for i in range(4):
        if rows[2 + i] >= 0:
            dot_features(&job, i % 2, i >= 2, features + (2 + i) * FEATURES)


# ---- the schedule --------------------------------------------------------------------------------------------------


cdef void plan_correlate(Correlate *job, idx threads) noexcept nogil:
    """Cut the work of the chosen form; slices by the shape alone, so that sums do not depend on the threads."""
    cdef const fc_kernels *kernels = job.kernels
    cdef const Tuning *tuning = job.tuning
    cdef Grid *grid = &job.grid
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, taps = grid.R * grid.S, target, tiles, images
    job.outer = job.form == OUTER or job.form == MIRRORED
    job.runs = job.form == RUNS or job.form == TURNED_RUNS
    job.turned = job.form == TURNED_ROWS or job.form == TURNED_RUNS
    job.tile_pairs = kernels.correlate.outer_rows if job.outer else kernels.correlate.dot_cols
    job.by_lanes = job.outer and lanes_staged(job)
    job.placed = job.outer and stays(job)
    # What is staged is staged again for each part of the filters.
    job.k_part = even(job.K, (tuning.blocks.part_filters if job.placed else 2 * tuning.blocks.part_filters) if job.outer
                      else 4 * job.lane_width)
    if job.outer:
        job.k_part = min(up(job.k_part, job.lane_width), up(job.K, lanes))
    job.c_part = even(job.C, max(1, (tuning.blocks.part_pairs if job.outer else MOST_PART) // taps))
    job.k_parts = parts(job.K, job.k_part)
    if job.outer:
        target = SPARSE_BLOCK if job.placed and grid.step_w * itemsize >= LINE else OUTER_BLOCK
    else:
        target = min(MOST_BLOCK_VECTORS * lanes,
                     max(LEAST_BLOCK, tuning.blocks.stage_bytes // (2 * itemsize * (job.c_part + job.k_part))))
    cut_blocks(grid, target, 1, lanes)
    # Of one image there is one slice: its channels are shared out, each summed over the same blocks.
    if grid.N == 1:
        job.c_part = min(job.c_part, max(job.tile_pairs, parts(job.C, threads)))
    job.c_parts = parts(job.C, job.c_part)
    images = grid.blocks_n
    job.slices = min(images, max(1, parts(LEAST_SLICES, job.groups * job.k_parts * job.c_parts)))
    tiles = parts(job.c_part * taps, job.tile_pairs) * job.tile_pairs
    job.sums_size = tiles * up(job.k_part, lanes if job.outer else kernels.correlate.dot_cols)
    job.sums_size = up(job.sums_size * itemsize, LINE) // itemsize
    # Sums that leave L2 are not worth it for a few pixels.
    if job.sums_size * itemsize > tuning.blocks.stage_bytes:
        job.slices = min(job.slices, max(1, grid.N * grid.P * grid.Q // tuning.blocks.slice_pixels))
    job.slice_blocks = parts(images, max(job.slices, 1))
    job.slices = parts(images, job.slice_blocks)
    job.direct = job.form == MIRRORED and job.slices == 1
    if job.direct:
        job.sums_size = 0
    # The other forms read whole vectors, which stay within rows that are as long as one.
    if not job.outer and not job.runs and grid.inside and job.x.s_w == 1 and grid.step_w == 1:
        job.placed = (grid.Q - 1) % grid.cols + 1 >= lanes
    if job.by_lanes:
        grid.stage_channel = grid.images * grid.rows * grid.cols + lanes


cdef void lay_out_tables(Correlate *job, Arena *arena) noexcept nogil:
    cdef double tasks = <double>job.groups * job.k_parts * job.c_parts * job.slices
    job.sums = <char *>carve(arena, tasks * job.sums_size, job.kernels.itemsize)
    job.pairs = <idx *>carve(arena, <double>job.c_part * job.grid.R * job.grid.S + job.tile_pairs, sizeof(idx))


cdef void lay_out_scratch(const Correlate *job, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef const Grid *grid = &job.grid
    cdef idx itemsize = job.kernels.itemsize, lanes = job.kernels.lanes
    cdef double pixels = <double>grid.images * grid.rows * grid.cols
    if not job.placed:
        scratch.stage = <char *>carve(arena, <double>up(job.c_part, lanes) * grid.stage_channel + FC_MAX_VECS * LINE,
                                      itemsize)
    if job.outer:
        scratch.dy = <char *>carve(arena, pixels * up(job.k_part, lanes), itemsize)
        scratch.pixels = <int32_t *>carve(arena, pixels, sizeof(int32_t))
        scratch.tile = <char *>carve(arena, job.tile_pairs * job.lane_width, itemsize)
    else:
        if job.runs:
            pixels = <double>grid.images * up(grid.rows * grid.stage_pitch, lanes)
        scratch.dy = <char *>carve(arena, job.k_part * (up(<idx>pixels, 16) + 16.0) + LINE, itemsize)
    scratch.pairs = <idx *>carve(arena, <double>job.c_part * grid.R * grid.S + job.tile_pairs, sizeof(idx))


cdef void fill_pairs(const Correlate *job) noexcept nogil:
    cdef idx c, r, s, i = 0, lanes = job.kernels.lanes
    for c in range(job.c_part):
        if job.by_lanes:
            job.pairs[c] = c // lanes * lanes * job.grid.stage_channel + c % lanes
            continue
        for r in range(job.grid.R):
            for s in range(job.grid.S):
                if job.placed:
                    job.pairs[i] = c * job.x.s_c + placed_offset(&job.grid, &job.x, r, s)
                else:
                    job.pairs[i] = c * job.grid.stage_channel + staged_offset(&job.grid, r, s)
                i += 1


# ---- the forms -----------------------------------------------------------------------------------------------------

cdef struct Part:
    # What a task computes: pairs of some channels with some filters, of the group's and of all.
    idx c0, channels, n_pairs
    idx k0, k_count, first_channel, first_filter


cdef Part part_of(const Correlate *job, idx index) noexcept nogil:
    cdef Part part
    cdef idx group = index // job.c_parts // job.k_parts
    part.c0 = index % job.c_parts * job.c_part
    part.channels = min(job.c_part, job.C - part.c0)
    part.n_pairs = part.channels * job.grid.R * job.grid.S
    part.k0 = index // job.c_parts % job.k_parts * job.k_part
    part.k_count = min(job.k_part, job.K - part.k0)
    part.first_channel, part.first_filter = group * job.C + part.c0, group * job.K + part.k0
    return part


cdef inline idx panel_filters(const Correlate *job, idx rest) noexcept nogil:
    """Filters in the next panel of dy where `rest` are left."""
    return job.lane_width if rest > job.kernels.lanes else job.kernels.lanes


cdef inline char *dy_of(const Correlate *job, const Part *part, const Block *block, idx k, idx n) noexcept nogil:
    """The address of the first pixel of the block's n-th image, of the part's k-th filter."""
    return job.dy.data + ((block.n0 + n) * job.dy.s_n + (part.first_filter + k) * job.dy.s_c + block.p0 * job.dy.s_h
                          + block.q0 * job.dy.s_w) * job.kernels.itemsize


cdef void turn_filters(const Correlate *job, const Part *part, idx first, idx end, const Block *block, idx count,
                       char *dy) noexcept nogil:
    """Transpose dy of panels of filters, `count` pixels of all of them at a time."""
    cdef idx itemsize = job.kernels.itemsize, k, i, q, width, pixels = block.images * block.rows * block.cols
    cdef idx n_runs = 1 if job.dy.s_h == block.cols * job.dy.s_w else block.rows
    cdef idx run = pixels // (block.images * n_runs)
    for i in range(block.images * n_runs):
        q = 0
        while q < run:
            k = first
            while k < end:
                width = panel_filters(job, part.k_count - k)
                job.kernels.move.transpose(
                    dy + (k * pixels + (i * run + q) * width) * itemsize, width,
                    dy_of(job, part, block, k, i // n_runs) + (i % n_runs * job.dy.s_h + q * job.dy.s_w) * itemsize,
                    job.dy.s_c, job.dy.s_w, min(width, part.k_count - k), min(count, run - q))
                k += width
            q += count


cdef void move_tile(const Correlate *job, char *dw, char *tile, idx width, idx rows, idx cols,
                    bint back) noexcept nogil:
    """Copy so much of a tile out of dw, or back."""
    cdef idx itemsize = job.kernels.itemsize, r
    for r in range(rows):
        if back:
            memcpy(dw + r * job.dw_pair * itemsize, tile + r * width * itemsize, cols * itemsize)
        else:
            memcpy(tile + r * width * itemsize, dw + r * job.dw_pair * itemsize, cols * itemsize)


cdef void correlate_outer(const Correlate *job, const Part *part, const Block *block, const Block *next_block,
                          Ahead *next_rows, Scratch *scratch, char *sums) noexcept nogil:
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, n, p, q, i = 0, k, pair, first, width, last = 0
    cdef idx pixels = block.images * block.rows * block.cols, n_sums = up(part.n_pairs, job.tile_pairs)
    # Where filters are neighbours in memory, all panels of a few pixels are turned, else all pixels of a panel.
    cdef bint together = channels_last(&job.dy)
    cdef Ahead next_dy
    cdef const Block *of
    cdef char *dw = job.dw + (part.first_channel // job.C * job.dw_group + part.k0 * job.dw_filter
                              + part.c0 * job.dw_pair) * itemsize
    cdef char *to
    cdef idx row, rows, cols
    cdef bint ragged = False
    cdef fc_ahead lines
    for n in range(block.images):
        for p in range(block.rows):
            for q in range(block.cols):
                scratch.pixels[i] = <int32_t>(n * block.s_image + p * block.s_row + q * block.s_col)
                i += 1
    if together:
        turn_filters(job, part, 0, part.k_count, block, PIXELS, scratch.dy)
    memset(&next_dy, 0, sizeof(Ahead))
    # Pairs whose pixels stay in L2 for all filters; of these, a panel of filters' dy stays in L1 for all pairs.
    cdef idx near = up(max(1, job.tuning.blocks.group_bytes // (pixels * itemsize)) * job.grid.R * job.grid.S,
                       job.tile_pairs)
    while last < part.n_pairs:
        first = last
        last = min(last + near, part.n_pairs)
        k = 0
        while k < part.k_count:
            width = panel_filters(job, part.k_count - k)
            if first == 0 and not together:
                turn_filters(job, part, k, k + width, block, pixels, scratch.dy)
                # The next panel's dy is far, as is what the next block stages: both are asked for meanwhile.
                n = k + width if k + width < part.k_count else 0
                of = block if n > 0 else next_block
                if job.dy.s_w == 1 and job.dy.s_h > 0 and of != NULL:
                    next_dy.data = dy_of(job, part, of, n, 0)
                    next_dy.s_n, next_dy.s_c = job.dy.s_n * itemsize, job.dy.s_c * itemsize
                    next_dy.extent = ((of.rows - 1) * job.dy.s_h + of.cols) * itemsize
                    next_dy.images = of.images
                    next_dy.channels = min(panel_filters(job, part.k_count - n), part.k_count - n)
                    plan_ahead(&next_dy, pixels // FC_AHEAD, parts(last, job.tile_pairs))
            pair = first
            while pair < last:
                lines.start, lines.step = scratch.dy, 0
                ask(&next_dy, itemsize, &lines)
                if lines.step == 0:
                    ask(next_rows, itemsize, &lines)
                to, row = sums + (k * n_sums + pair * width) * itemsize, width
                if job.direct:
                    to, row = dw + (k * job.dw_filter + pair * job.dw_pair) * itemsize, job.dw_pair
                    rows, cols = min(job.tile_pairs, part.n_pairs - pair), min(width, part.k_count - k)
                    ragged = rows < job.tile_pairs or cols < width
                    if ragged:
                        move_tile(job, to, scratch.tile, width, rows, cols, False)
                kernels.correlate.outer[width // kernels.lanes - 1](
                    pixels, scratch.pixels, block.base, scratch.pairs + pair, scratch.dy + k * pixels * itemsize,
                    scratch.tile if ragged else to, width if ragged else row, &lines)
                if ragged:
                    move_tile(job, to, scratch.tile, width, rows, cols, True)
                pair += job.tile_pairs
            k += width


cdef bint seal_finite(const Correlate *job, const Part *part, const Block *block) noexcept nogil:
    """Whether all staged pixels of a block are finite; puts zeros where a vector may reach past their end."""
    cdef idx itemsize = job.kernels.itemsize, c
    cdef idx count = (block.images - 1) * block.s_image + (block.rows + job.grid.reach_h) * block.s_row
    for c in range(part.channels):
        memset(block.base + (c * job.grid.stage_channel + count) * itemsize, 0, job.kernels.lanes * itemsize)
        if not job.kernels.passes.finite(block.base + c * job.grid.stage_channel * itemsize, count):
            return False
    return True


cdef void correlate_dot(const Correlate *job, const Part *part, const Block *block, Scratch *scratch,
                        char *sums) noexcept nogil:
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, n, k = 0, rows, pair, S = job.grid.S
    cdef char *dy = scratch.dy
    # dy's rows, one filter after the other: dense, or as far apart as x's rows are, with zeros between them. Then an
    # image is one run of both, without an end of a row to mask; but zero times what is not finite is not zero. Rows as
    # long as a vector stay where they are otherwise.
    cdef bint run = job.runs and block.cols == job.grid.cols and seal_finite(job, part, block)
    cdef idx pitch = block.s_row if run else block.cols
    cdef idx plane = up(block.rows * pitch, lanes) if run else block.rows * block.cols
    cdef idx filter_pitch = up(block.images * plane, 16) + 16
    cdef bint copied = True
    if run:
        memset(dy, 0, part.k_count * filter_pitch * itemsize)
    elif job.dy.s_w == 1 and block.cols >= lanes:
        dy = dy_of(job, part, block, 0, 0)
        filter_pitch, plane, pitch = job.dy.s_c, job.dy.s_n, job.dy.s_h
        copied = False
    for n in range(block.images if copied else 0):
        stage_channels(kernels, dy + n * plane * itemsize, filter_pitch, pitch, &job.dy,
                       dy_of(job, part, block, 0, n), job.dy.s_h, job.dy.s_w, part.k_count, block.rows, 0, block.rows,
                       0, block.cols, 0)
    cdef idx n_rows = block.rows, n_cols = block.cols, x_pitch = block.s_row
    cdef idx shift = scratch.pairs[1] - scratch.pairs[0] if S > 1 else 0
    cdef idx[FC_MAX_ROWS] places
    if run:
        n_rows, n_cols, pitch, x_pitch = 1, up((block.rows - 1) * pitch + block.cols, lanes), 0, 0
    while k < part.k_count:
        rows = min(kernels.correlate.dot_rows, part.k_count - k)
        # A ragged last tile repeats the last filter; what it sums there is not used.
        for n in range(kernels.correlate.dot_cols):
            places[n] = min(k + n, part.k_count - 1) * filter_pitch
        pair = 0
        while pair < part.n_pairs:
            if job.turned:
                rows = min(kernels.correlate.dot_rows, S - pair % S)
                kernels.correlate.dot[rows - 1](block.images, n_rows, n_cols,
                                                block.base + scratch.pairs[pair] * itemsize, shift, block.s_image,
                                                x_pitch, dy, places, plane, pitch, sums)
                pair += rows
            else:
                kernels.correlate.dot[rows - 1](block.images, n_rows, n_cols, dy + k * filter_pitch * itemsize,
                                                filter_pitch, plane, pitch, block.base, scratch.pairs + pair,
                                                block.s_image, x_pitch, sums)
                pair += kernels.correlate.dot_cols
            sums += rows * kernels.correlate.dot_cols * itemsize
        k += kernels.correlate.dot_cols if job.turned else rows


cdef void slice_task(const void *of, idx task, char *memory) noexcept nogil:
    """The sums of one part over one slice of the images."""
    cdef const Correlate *job = <const Correlate *>of
    cdef const fc_kernels *kernels = job.kernels
    cdef Part part = part_of(job, task // job.slices)
    cdef idx cut = task % job.slices, i, per_image = job.grid.blocks_p * job.grid.blocks_q
    cdef idx end = min(job.grid.blocks_n, (cut + 1) * job.slice_blocks) * per_image
    cdef char *sums = job.sums + task * job.sums_size * kernels.itemsize
    cdef Arena arena = Arena(memory, 0)
    cdef Scratch scratch
    cdef Block block, next_block
    cdef Ahead next_rows
    lay_out_scratch(job, &arena, &scratch)
    memset(sums, 0, job.sums_size * kernels.itemsize)
    # A ragged last tile repeats the last pair; what it sums there is not used.
    for i in range(up(part.n_pairs, job.tile_pairs)):
        scratch.pairs[i] = job.pairs[min(i, part.n_pairs - 1)]
    for i in range(cut * job.slice_blocks * per_image, end):
        locate(&job.grid, i, &block)
        if job.placed:
            in_place(&job.grid, &job.x, &block, part.first_channel, kernels.itemsize)
        elif job.by_lanes:
            stage_lanes(kernels, &job.x, &job.grid, &block, part.first_channel, part.channels, scratch.stage)
        else:
            stage(kernels, &job.x, &job.grid, &block, part.first_channel, part.channels, scratch.stage)
        if not job.outer:
            correlate_dot(job, &part, &block, &scratch, sums)
            continue
        memset(&next_rows, 0, sizeof(Ahead))
        if i + 1 < end:
            locate(&job.grid, i + 1, &next_block)
            look_ahead(&next_rows, &job.x, &job.grid, &next_block, part.first_channel, part.channels,
                       block.images * block.rows * block.cols // FC_AHEAD,
                       parts(part.n_pairs, job.tile_pairs) * parts(part.k_count, job.lane_width), kernels.itemsize)
        correlate_outer(job, &part, &block, &next_block if i + 1 < end else NULL, &next_rows, &scratch, sums)


cdef void fold_task(const void *of, idx task, char *memory) noexcept nogil:
    """Add up a part's slices in their order, and put them where they belong in dw."""
    cdef const Correlate *job = <const Correlate *>of
    cdef const fc_kernels *kernels = job.kernels
    cdef Part part = part_of(job, task)
    cdef idx itemsize = kernels.itemsize, k = 0, pair, tile_k, pairs, row, col, filters, here, S = job.grid.S
    cdef idx group = task // job.c_parts // job.k_parts
    cdef char *sums = job.sums + task * job.slices * job.sums_size * itemsize
    cdef char *dw
    while k < part.k_count:
        if job.outer:
            tile_k = panel_filters(job, part.k_count - k)
        else:
            tile_k = kernels.correlate.dot_cols if job.turned else min(kernels.correlate.dot_rows, part.k_count - k)
        pair = 0
        while pair < part.n_pairs:
            pairs = min(kernels.correlate.dot_rows, S - pair % S) if job.turned else job.tile_pairs
            dw = job.dw + (group * job.dw_group + (part.k0 + k) * job.dw_filter
                           + (part.c0 * job.grid.R * S + pair) * job.dw_pair) * itemsize
            filters, here = min(tile_k, part.k_count - k), min(pairs, part.n_pairs - pair)
            # Filters are neighbours in the outer and the turned forms.
            row, col = tile_k if job.outer or job.turned else 1, 1 if job.outer or job.turned else pairs
            if job.dw_pair == 1:
                kernels.correlate.fold(dw, job.dw_filter, sums, job.sums_size, job.slices, row, col, filters, here)
            else:
                kernels.correlate.fold(dw, job.dw_pair, sums, job.sums_size, job.slices, col, row, here, filters)
            sums += tile_k * pairs * itemsize
            pair += pairs
        k += tile_k


cdef int correlate_run(const Problem *problem, int form) except -1:
    cdef Correlate job
    cdef Arena tables = Arena(NULL, 0), arena = Arena(NULL, 0)
    cdef Scratch scratch
    cdef Workspace workspace
    cdef double work
    cdef idx folds
    set_job(problem, &job)
    work = (<double>job.groups * job.K * job.C * job.grid.R * job.grid.S * job.grid.N * job.grid.P * job.grid.Q)
    job.form = form
    if form == MIRRORED:
        exchange(&job)
    plan_correlate(&job, threads_for(work, job.C))
    # OUTER's table of pixels is of 32 bits.
    if job.outer and not job.placed and job.grid.images * <double>job.grid.stage_image > 2147483647.0:
        raise MemoryError(f"{job.grid.images} x {job.grid.stage_image} pixels to be staged are too many")
    lay_out_tables(&job, &tables)
    lay_out_scratch(&job, &arena, &scratch)
    folds = job.groups * job.k_parts * job.c_parts
    reserve(&workspace, &tables, &arena, threads_for(work, folds * job.slices))
    lay_out_tables(&job, &tables)
    with nogil:
        fill_pairs(&job)
        if job.direct:
            memset(job.dw, 0, problem.w.end - problem.w.data)
        run_tasks(slice_task, &job, folds * job.slices, 1, &workspace)
        if not job.direct:
            run_tasks(fold_task, &job, folds, parts(folds, workspace.n_threads), &workspace)
    release(&workspace)
    return 0
