"""Convolution by Winograd's minimal filtering (Winograd 1980; Lavin and Gray 2016): the doors, and forward.

It serves filters of 2x2 to 5x5 taps, those of 3, 5 or 7 in a row or a column, and square ones of 2x2 to 5x5 for each
residue of the stride. src_c/winograd.h has the transforms with their matrices, docs/decisions/winograd.md what was
measured.

F(m x m, r x r) makes m x m outputs of a tile of (m + r - 1) x (m + r - 1) pixels. Each tile is transformed,
V = B^T x B, as is each filter, U = G w G^T. At each point of the tiles, M of all tiles and filters is then a product of
two matrices, M[tile, k] = sum_c V[tile, c] U[c, k], and y = A^T M A. Filters of a row or a column take tiles of 8
pixels along it, and each matrix from one side. The input gradient is forward on dy with the flipped filters, channels
and filters exchanged: x is then dy here, and y is dx. The weight gradient is in winograd_gradient.pyx, and what both
have in common in winograd_tiles.pyx.

Fourier transforms of tiles of 16x16 pixels, for filters of 4 to 13 taps along a side, are a second form: the same with
other transforms and 382 points (src_c/fourier.h, docs/decisions/fourier.md).

The order of the loops: U of all filters comes first, if they are few enough to be kept. Then, for each group and block
of tiles, V of the block, which stays in a cache; and for each panel of filters M at all points, and y of it.
"""

from libc.string cimport memcpy, memset

from fastconv._native.kernels cimport FC_FOURIER, fc_kernels, idx, parts, up
from fastconv._native.memory cimport Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport INPUT_GRADIENT, WEIGHT_GRADIENT, Image, Problem, at, far_elements
from fastconv._native.runtime cimport keeps_busy, run_tasks, threads_for
from fastconv._native.tuning cimport FEATURES, FOURIER, Blocks
from fastconv._native.winograd_gradient cimport weight_gradient as run_weight_gradient
from fastconv._native.winograd_tiles cimport (
    MOST_STRIDE, Layer, Run, block_size, block_tiles, copy_taps, cut_blocks, describe, has_dense_taps,
    is_idle, n_runs, place, point_pitch, run_of, transform_block, transform_output, transform_run,
)

cdef enum:
    CHUNK = 512               # channels reduced in one go
    LEAST_RUN = 32            # channels that are worth a product of their own


# ---- the doors -----------------------------------------------------------------------------------------------------

cdef void winograd_features(const Problem *problem, int *rows, double *features) noexcept nogil:
    """The products' multiply-adds, in vectors, and the same for a single tile (of the weight gradient: a filter), which
    stands for what a product costs beyond; vectors of tiles of x and of y, and of filters, that are transformed, in
    units of 6x6 or of 1x8 points; 1; and vectors of products' results. The same by Fourier transforms, whose tiles are
    units. The rows of tuning: filters of a row or a column; strides; others."""
    count(problem, False, rows, features)
    count(problem, True, rows + 1, features + FEATURES)


cdef void count(const Problem *problem, bint fourier, int *row, double *features) noexcept nogil:
    cdef Layer layer
    row[0] = -1
    if not describe(problem, fourier, &layer):
        return
    if fourier and layer.groups * filter_bytes(&layer) > problem.tuning.blocks.fourier_kept_bytes:
        return
    row[0] = 0 if layer.r != layer.s else 1 if problem.stride_h > 1 else 2
    memset(features, 0, FEATURES * sizeof(double))
    cdef idx lanes = layer.kernels.lanes
    cdef const Image *image_x = layer.x.image
    cdef const Image *image_y = layer.y.image
    cdef double channels = layer.x.channels, filters = layer.y.channels
    cdef double channel_vecs = parts(layer.x.channels, lanes), filter_vecs = parts(layer.y.channels, lanes)
    cdef double tiles = <double>layer.n * layer.bands * layer.band_tiles
    cdef double scale = problem.groups * (layer.points / 36.0 if layer.r == layer.s and not fourier else 1)
    cdef double points = layer.points, side = layer.side
    # The filters of residues that lack a tap are zero at the last point of a side.
    if layer.full_phases < layer.phases:
        side -= (layer.phases - layer.full_phases) / <double>layer.phases
        points = side * side
    points *= problem.groups
    if problem.which == WEIGHT_GRADIENT:
        features[0] = points * filters * channel_vecs * tiles
        features[6] = points * filters * channel_vecs
        features[1] = points * channel_vecs * tiles
        features[4] = scale * filters * channel_vecs
    else:
        features[0] = points * channels * filter_vecs * tiles
        features[6] = points * filter_vecs * tiles
        features[1] = points * channels * filter_vecs
        features[4] = scale * channels * filter_vecs
    features[2], features[3], features[5] = scale * channel_vecs * tiles, scale * filter_vecs * tiles, 1
    # A block's V leaves the cache that holds it near; or the filters of Fourier transforms do, or the sums of their
    # gradients, which each block reads again.
    cdef const Blocks *blocks = &problem.tuning.blocks
    if (filter_bytes(&layer) > blocks.winograd_near_bytes if fourier else layer.points * channels
            * blocks.winograd_tiles * layer.kernels.itemsize > 4 * blocks.stage_bytes):
        features[7] = features[0]
    # Channels are brought along the lanes: one by one where a stride splits the pixels.
    features[9 if layer.x.split > 1 else 8] = 0.0 if image_x.s_c == 1 and layer.x.split == 1 else (
        <double>image_x.n * image_x.h * image_x.w * problem.groups * (
            channel_vecs if layer.x.split > 1 else parts(layer.phase_channels, lanes)))
    if image_y.s_c != 1:
        features[8] += <double>image_y.n * image_y.h * image_y.w * problem.groups * layer.y.vecs
    features[10] = far_elements(image_x, problem.w.c, blocks.stage_bytes, layer.kernels.itemsize)
    features[11] = far_elements(image_y, problem.w.n // problem.groups, blocks.stage_bytes, layer.kernels.itemsize)
    # Pixels with channels last that are written.
    features[12] = features[11] if image_y.s_c == 1 else 0.0


cdef inline double filter_bytes(const Layer *layer) noexcept nogil:
    """Of all transformed filters of a group."""
    cdef idx lanes = layer.kernels.lanes
    return <double>layer.points * layer.x.channels * up(layer.y.channels, lanes) * layer.kernels.itemsize


cdef bint winograd_tile(const Problem *problem, idx *m_h, idx *m_w, idx *r, idx *s) noexcept nogil:
    cdef Layer layer
    if not describe(problem, False, &layer):
        return False
    m_h[0], m_w[0], r[0], s[0] = layer.m_h, layer.m_w, layer.r, layer.s
    return True


cdef int winograd_run(const Problem *problem, int form) except -1:
    cdef Layer layer
    if not describe(problem, form == FOURIER, &layer):
        raise ValueError(
            "filters must be of 2x2 to 5x5 taps for each residue of the stride, or of 3, 5 or 7 in a row or column; "
            f"with a stride, an input's gradient must have vectors of {problem.kernels.lanes} channels, and there must "
            f"be no dilation: got {problem.w.h}x{problem.w.w} taps, stride {problem.stride_h}, {problem.stride_w}, "
            f"{problem.w.c} channels and dilation {problem.dilation_h}, {problem.dilation_w}")
    if problem.which == WEIGHT_GRADIENT:
        return run_weight_gradient(problem, &layer)
    return run_forward(problem, &layer)


# ---- forward -------------------------------------------------------------------------------------------------------

cdef struct Forward:
    Layer *layer
    const Image *w
    const char *b
    bint flip                 # the filters, for the input gradient
    bint copied               # The taps do not lie side by side, or have a stride, and a copy of them is used: the
    idx stride, run           # residues of the stride follow each other, each with `run` channels at a time.
    idx filter, channel       # elements of the taps between filters and between channels
    idx taps_bytes            # from the first of them to the last one's end
    idx wide, panels          # filters in a panel, panels of a group
    idx point, panel          # elements of U between points and panels
    bint kept                 # U of all panels is made once, for all blocks.
    bint shared               # Threads share V, of `together` blocks at a time.
    idx together, v_size      # v_size: elements of a block's V
    idx group, first, here    # at work, where V is shared: `here` blocks from `first` on
    char *u                   # [group][panel][point][tile of the product][channel][filter]
    char *bias                # of each group, whole vectors
    char *taps
    char *v


cdef struct Scratch:
    # Of one thread: V of a block, M and U of a panel, and pixels.
    char *v
    char *m
    char *u
    char *stage


cdef void lay_out(Forward *forward, Arena *arena) noexcept nogil:
    """What all threads share."""
    cdef const Layer *layer = forward.layer
    cdef const Image *w = forward.w
    cdef idx itemsize = layer.kernels.itemsize
    if forward.kept:
        forward.u = <char *>carve(arena, <double>layer.groups * forward.panels * forward.panel, itemsize)
    if forward.b != NULL:
        forward.bias = <char *>carve(arena, layer.groups * <double>layer.y.vecs * layer.kernels.lanes, itemsize)
    if forward.copied:
        forward.taps = <char *>carve(
            arena, <double>w.n * w.c * (forward.stride * forward.stride * layer.r * layer.s), itemsize)
    if forward.shared:
        forward.v = <char *>carve(arena, <double>forward.together * forward.v_size, itemsize)


cdef void lay_out_scratch(const Forward *forward, Arena *arena, Scratch *scratch) noexcept nogil:
    """What each thread has for itself."""
    cdef const Layer *layer = forward.layer
    cdef idx itemsize = layer.kernels.itemsize
    if not forward.shared:
        scratch.v = <char *>carve(arena, forward.v_size, itemsize)
    scratch.m = <char *>carve(arena, <double>(forward.wide // layer.y.width) * layer.y.panel, itemsize)
    scratch.stage = <char *>carve(arena, layer.stage, itemsize)
    if not forward.kept:
        scratch.u = <char *>carve(arena, forward.panel, itemsize)


cdef inline Scratch scratch_of(const Forward *forward, char *block) noexcept nogil:
    cdef Arena arena
    cdef Scratch scratch
    arena.block, arena.size = block, 0
    lay_out_scratch(forward, &arena, &scratch)
    return scratch


cdef void transform_filters(const Forward *forward, idx group, idx panel, char *u) noexcept nogil:
    """U of a panel of filters."""
    cdef const Layer *layer = forward.layer
    cdef idx itemsize = layer.kernels.itemsize, lanes = layer.kernels.lanes, unit = layer.y.width
    cdef idx channels = layer.x.channels, first = panel * forward.wide, n, c, i, k, depth
    cdef idx width = min(forward.wide, up(layer.y.channels, lanes) - first)
    # A group has filters of w of its own: in the input gradient these are its channels.
    cdef idx start = group * (channels * forward.channel if forward.flip else layer.y.channels * forward.filter)
    cdef const char *taps = forward.taps if forward.copied else forward.w.data
    for n in range(parts(width, unit)):
        c = 0
        while c < channels:
            # A few channels at a time, so that whole lines are written together.
            depth = min(8, channels - c)
            for i in range(min(unit, width - n * unit) // lanes):
                k = first + n * unit + i * lanes
                layer.kernels.winograd.filters[layer.kernel](
                    u + ((n * channels + c) * unit + i * lanes) * itemsize, forward.point, unit,
                    taps + (start + k * forward.filter + c * forward.channel) * itemsize, forward.filter,
                    forward.channel, min(lanes, layer.y.channels - k), depth, forward.flip,
                    taps + forward.taps_bytes, layer.r, layer.s)
            c += depth


cdef idx runs_of_channels(const Layer *layer, idx point, idx *first, idx *end) noexcept nogil:
    """The runs of channels whose filters are not zero at a point."""
    cdef idx n = 0, phase
    for phase in range(layer.phases * layer.phases):
        if layer.full_phases < layer.phases and is_idle(layer, point, phase):
            # Short runs are not worth it, but for what is left out at the end.
            if (layer.phase_channels >= LEAST_RUN
                    or phase // layer.phases >= layer.full_phases and point // layer.side == layer.side - 1):
                continue
        if n == 0 or end[n - 1] < phase * layer.phase_channels:
            first[n] = phase * layer.phase_channels
            n += 1
        end[n - 1] = (phase + 1) * layer.phase_channels
    return n


cdef void multiply(const Forward *forward, idx tiles, idx width, const char *v, const char *u, char *m) noexcept nogil:
    """M of a block's tiles and a panel of `width` filters."""
    cdef const Layer *layer = forward.layer
    cdef const fc_kernels *kernels = layer.kernels
    cdef idx itemsize = kernels.itemsize, unit = layer.y.width, point, n, run, runs, c, depth, vecs
    cdef idx[MOST_STRIDE * MOST_STRIDE] first
    cdef idx[MOST_STRIDE * MOST_STRIDE] end
    for point in range(layer.points):
        runs = runs_of_channels(layer, point, first, end)
        for n in range(parts(width, unit)):
            vecs = min(unit, width - n * unit) // kernels.lanes
            for run in range(runs):
                c = first[run]
                while c < end[run]:
                    depth = min(layer.x.width - c % layer.x.width, end[run] - c)
                    kernels.product.gemm[vecs - 1](
                        tiles, depth, v + (place(&layer.x, c, 0) + point * layer.x.point) * itemsize, layer.x.width, 1,
                        u + (point * forward.point + (n * layer.x.channels + c) * unit) * itemsize, unit,
                        m + (n * layer.y.panel + point * layer.y.point) * itemsize, unit, c > first[0])
                    c += depth


cdef void make_panel(const Forward *forward, idx group, idx block, idx panel, const char *v,
                     const Scratch *scratch) noexcept nogil:
    """y of a block of tiles, whose V is there, and a panel of filters."""
    cdef const Layer *layer = forward.layer
    cdef idx itemsize = layer.kernels.itemsize, lanes = layer.kernels.lanes, residues = layer.y.stride * layer.y.stride
    cdef idx width = min(forward.wide, up(layer.y.channels, lanes) - panel * forward.wide), n, i, k
    cdef const char *u = scratch.u
    cdef const char *bias = NULL
    cdef Run run
    if forward.kept:
        u = forward.u + (group * forward.panels + panel) * forward.panel * itemsize
    else:
        transform_filters(forward, group, panel, scratch.u)
    multiply(forward, block_tiles(layer, block), width, v, u, scratch.m)
    for n in range(width // lanes // residues):
        k = panel * forward.wide // residues + n * lanes
        if forward.b != NULL:
            bias = forward.bias + (group * layer.y.vecs * lanes + k) * itemsize
        for i in range(n_runs(layer, block)):
            run = run_of(layer, block, i)
            transform_output(layer, bias, group, &run, k, scratch.m, n * residues * lanes, scratch.stage)


# ---- tasks ---------------------------------------------------------------------------------------------------------

cdef void copy_task(const void *job, idx task, char *block) noexcept nogil:
    """The taps of a filter, those of each residue of the stride side by side."""
    cdef const Forward *forward = <const Forward *>job
    cdef const Image *w = forward.w
    cdef idx itemsize = forward.layer.kernels.itemsize, n_taps = forward.layer.r * forward.layer.s
    cdef idx residues = forward.stride * forward.stride, c = 0, residue, channels
    cdef char *taps = forward.taps + task * w.c * residues * n_taps * itemsize
    if forward.stride > 1:
        memset(taps, 0, w.c * residues * n_taps * itemsize)
    while c < w.c:
        channels = min(forward.run, w.c - c)
        for residue in range(residues):
            copy_taps(taps, at(w, itemsize, task, c, 0, 0), w, itemsize, channels, forward.stride, residue,
                      forward.layer.zeros_h, forward.layer.zeros_w, False)
            taps += channels * n_taps * itemsize
        c += channels


cdef void filters_task(const void *job, idx task, char *block) noexcept nogil:
    """U of a panel of filters, where it is kept."""
    cdef const Forward *forward = <const Forward *>job
    transform_filters(forward, task // forward.panels, task % forward.panels,
                      forward.u + task * forward.panel * forward.layer.kernels.itemsize)


cdef void block_task(const void *job, idx task, char *block) noexcept nogil:
    """y of a block of tiles of a group."""
    cdef const Forward *forward = <const Forward *>job
    cdef const Layer *layer = forward.layer
    cdef idx group = task // layer.n_blocks, i
    cdef Scratch scratch = scratch_of(forward, block)
    transform_block(layer, &layer.x, group, task % layer.n_blocks, scratch.v, scratch.stage)
    for i in range(forward.panels):
        make_panel(forward, group, task % layer.n_blocks, i, scratch.v, &scratch)


cdef inline idx most_runs(const Layer *layer) noexcept nogil:
    """That a block consists of."""
    return min(layer.n, (layer.block_bands + layer.bands - 2) // layer.bands + 1)


cdef void input_task(const void *job, idx task, char *block) noexcept nogil:
    """V of a vector of channels and a run of one of the blocks whose V is shared."""
    cdef const Forward *forward = <const Forward *>job
    cdef const Layer *layer = forward.layer
    cdef idx runs = most_runs(layer), index = task // runs // layer.x.vecs
    cdef Run run
    if task % runs < n_runs(layer, forward.first + index):
        run = run_of(layer, forward.first + index, task % runs)
        transform_run(layer, &layer.x, forward.group, task // runs % layer.x.vecs, &run,
                      forward.v + index * forward.v_size * layer.kernels.itemsize, scratch_of(forward, block).stage)


cdef void panel_task(const void *job, idx task, char *block) noexcept nogil:
    """y of one of these blocks and a panel of filters."""
    cdef const Forward *forward = <const Forward *>job
    cdef Scratch scratch = scratch_of(forward, block)
    cdef idx index = task % forward.here
    make_panel(forward, forward.group, forward.first + index, task // forward.here,
               forward.v + index * forward.v_size * forward.layer.kernels.itemsize, &scratch)


# ---- the order -----------------------------------------------------------------------------------------------------

cdef void run_shared(Forward *forward, idx group, const Workspace *workspace) noexcept nogil:
    """Threads share some blocks' V, and take panels of filters of each."""
    cdef const Layer *layer = forward.layer
    forward.group, forward.first = group, 0
    while forward.first < layer.n_blocks:
        forward.here = min(forward.together, layer.n_blocks - forward.first)
        run_tasks(input_task, forward, forward.here * most_runs(layer) * layer.x.vecs, 1, workspace)
        run_tasks(panel_task, forward, forward.here * forward.panels, 1, workspace)
        forward.first += forward.here


cdef int run_forward(const Problem *problem, Layer *layer) except -1:
    """y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n, c, p*stride + r*dilation_h - pad_h, ...]: equation 12.3; or dx of
    dy, equation 12.6."""
    cdef Forward forward
    cdef const Image *w = &problem.w
    cdef const Blocks *blocks = &problem.tuning.blocks
    cdef const fc_kernels *kernels = problem.kernels
    cdef Arena tables, scratch
    cdef Scratch pieces
    cdef Workspace workspace
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, group
    cdef idx padded_filters = up(layer.y.channels, lanes), bands = layer.n * layer.bands
    cdef double all_tiles = bands * <double>layer.band_tiles
    forward.layer, forward.w, forward.b, forward.stride = layer, w, problem.bias, problem.stride_h
    forward.flip = problem.which == INPUT_GRADIENT
    layer.y.width = min(kernels.product.gemm_vecs * lanes, padded_filters)
    cdef int n_threads = threads_for(
        <double>layer.groups * layer.y.channels * layer.x.channels * layer.points * all_tiles,
        layer.groups * bands * parts(padded_filters, layer.y.width))
    cdef bint fourier = layer.kernel == FC_FOURIER
    forward.kept = filter_bytes(layer) <= (blocks.fourier_kept_bytes if fourier else blocks.winograd_kept_bytes)
    # Threads take blocks by themselves; or, where these are few or read many filters, they share some blocks.
    forward.shared = n_threads > 1 and (
        not forward.kept or layer.groups * all_tiles < blocks.winograd_few_tiles * <double>n_threads)
    cdef idx target = (blocks.fourier_tiles if fourier else blocks.winograd_tiles if forward.kept
                       else blocks.winograd_many_tiles)
    if forward.shared:
        layer.y.width = min(layer.y.width, up(max(2 * lanes, parts(padded_filters, n_threads)), lanes))
        if forward.kept and not fourier:
            target = max(blocks.winograd_few_tiles, <idx>all_tiles // parts(
                2 * n_threads, parts(padded_filters, max(blocks.winograd_narrow, layer.y.width))))
    layer.x.width = up(parts(layer.x.channels, parts(layer.x.channels, CHUNK)), lanes)
    cut_blocks(layer, target, n_threads if forward.kept and not forward.shared else 1)
    forward.kept = forward.kept and layer.n_blocks > 1
    forward.shared = forward.shared or not keeps_busy(layer.groups * layer.n_blocks, n_threads)
    # Whole tiles of the product, and whole vectors of y's channels, of every residue.
    cdef idx least = layer.y.stride * layer.y.stride * lanes, step = least
    while step % layer.y.width != 0:
        step += least
    # Every panel reads all of V again.
    forward.v_size = up(<idx>block_size(layer, &layer.x), 16)
    forward.wide = padded_filters if forward.kept or not forward.shared else parts(padded_filters, n_threads)
    forward.wide = up(min(forward.wide, blocks.winograd_wide if forward.v_size * itemsize > blocks.winograd_near_bytes
                          else blocks.winograd_narrow), step)
    forward.panels = parts(padded_filters, forward.wide)
    forward.together = 1
    if forward.kept:
        forward.together = max(1, min(layer.n_blocks, blocks.winograd_shared_bytes // (forward.v_size * itemsize)))
    forward.point = point_pitch(layer.x.channels * forward.wide)
    forward.panel = layer.points * forward.point
    forward.copied = forward.stride > 1 or not has_dense_taps(w)
    # Residues follow each other in x, and alternate in y by vectors of channels.
    forward.run = lanes if forward.flip else w.c
    cdef idx s_n = w.s_n, s_c = w.s_c
    forward.taps_bytes = w.end - w.data
    if forward.copied:
        s_c = layer.r * layer.s
        s_n = w.c * forward.stride * forward.stride * s_c
        forward.taps_bytes = w.n * s_n * itemsize
    forward.filter, forward.channel = s_c if forward.flip else s_n, s_n if forward.flip else s_c
    tables.block = scratch.block = NULL
    tables.size = scratch.size = 0
    lay_out(&forward, &tables)
    lay_out_scratch(&forward, &scratch, &pieces)
    reserve(&workspace, &tables, &scratch, n_threads)
    lay_out(&forward, &tables)
    cdef idx bias_size = layer.y.channels * itemsize, bias_pitch = layer.y.vecs * lanes * itemsize
    with nogil:
        if forward.b != NULL:
            memset(forward.bias, 0, layer.groups * bias_pitch)
            for group in range(layer.groups):
                memcpy(forward.bias + group * bias_pitch, forward.b + group * bias_size, bias_size)
        if forward.copied:
            run_tasks(copy_task, &forward, w.n, parts(w.n, n_threads), &workspace)
        if forward.kept:
            run_tasks(filters_task, &forward, layer.groups * forward.panels, 1, &workspace)
        if forward.shared:
            for group in range(layer.groups):
                run_shared(&forward, group, &workspace)
        else:
            run_tasks(block_task, &forward, layer.groups * layer.n_blocks, 1, &workspace)
    release(&workspace)
    return 0
