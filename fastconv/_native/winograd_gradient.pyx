"""The weight gradient by Winograd's filtering: dw = G^T S G.

It is the adjoint of forward, whose V = B^T x B it shares. Z = A dy A^T, and at each point of the tiles, S of all
filters and channels is the product of two matrices, S[k, c] = sum_tile Z[tile, k] V[tile, c].

The order of the loops: for each group and block of tiles, V and Z of the block; then, for each pair of a panel of
filters and some panels of channels, whose sums of all points stay in L2, the product at each point. dw is made of the
sums at the end. Results must not depend on the number of threads: blocks are cut into slices by the shape alone, each
slice sums its blocks in order, and slices are added in order. Threads take slices; where these are too few, they share
the work of each block.
"""

from fastconv._native.kernels cimport FC_FOURIER, fc_kernels, idx, parts, up
from fastconv._native.memory cimport Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport Image, Problem, at
from fastconv._native.runtime cimport keeps_busy, run_tasks, threads_for
from fastconv._native.tuning cimport Blocks
from fastconv._native.winograd_tiles cimport (
    Layer, Run, block_size, block_tiles, copy_taps, cut_blocks, has_dense_taps, is_idle, n_runs, point_pitch,
    run_of, transform_block, transform_run,
)

cdef enum:
    SLICES = 8
    SLICES_BYTES = 16 << 20   # what the sums of all slices may take


cdef struct Gradient:
    Layer *layer
    const Image *dw
    idx stride
    bint in_place             # dw lies as the transform writes it.
    idx filter_panels, pairs  # panels of filters; pairs of such a panel and some channels
    idx channels              # of a pair
    idx point, panel          # elements between the sums of two points, and of two panels of channels
    idx pair_size             # elements of a pair's sums
    idx slices, slice_blocks  # blocks in a slice
    bint shared               # Threads share the work of a block.
    bint at_once              # All tiles are in one block, and a pair's sums need not leave the cache.
    idx group, block          # at work
    char *sums                # [slice][pair][panel of channels][point][filter][channel]
    char *v
    char *z


cdef struct Scratch:
    # Of one thread: pixels, taps of a filter and a panel of channels, sums of a pair, V and Z of a block.
    char *stage
    char *taps
    char *sums
    char *v
    char *z


cdef void lay_out(Gradient *gradient, Arena *arena) noexcept nogil:
    """What all threads share."""
    cdef const Layer *layer = gradient.layer
    cdef idx itemsize = layer.kernels.itemsize
    cdef double pairs = 0 if gradient.at_once else <double>gradient.slices * gradient.pairs
    gradient.sums = <char *>carve(arena, pairs * gradient.pair_size, itemsize)
    if gradient.shared:
        gradient.v = <char *>carve(arena, block_size(layer, &layer.x), itemsize)
        gradient.z = <char *>carve(arena, block_size(layer, &layer.y), itemsize)


cdef void lay_out_scratch(const Gradient *gradient, Arena *arena, Scratch *scratch) noexcept nogil:
    """What each thread has for itself."""
    cdef const Layer *layer = gradient.layer
    cdef idx itemsize = layer.kernels.itemsize
    scratch.stage = <char *>carve(arena, layer.stage, itemsize)
    scratch.taps = <char *>carve(arena, 0 if gradient.in_place else layer.x.width * layer.r * layer.s, itemsize)
    scratch.sums = <char *>carve(arena, gradient.pair_size if gradient.at_once else 0, itemsize)
    if not gradient.shared:
        scratch.v = <char *>carve(arena, block_size(layer, &layer.x), itemsize)
        scratch.z = <char *>carve(arena, block_size(layer, &layer.y), itemsize)


cdef inline Scratch scratch_of(const Gradient *gradient, char *block) noexcept nogil:
    cdef Arena arena
    cdef Scratch scratch
    arena.block, arena.size = block, 0
    lay_out_scratch(gradient, &arena, &scratch)
    return scratch


cdef void sum_point(const Gradient *gradient, idx tiles, idx pair, idx point, const char *v, const char *z, char *sums,
                    bint accumulate) noexcept nogil:
    """S of a pair at one point, of a block's V and Z."""
    cdef const Layer *layer = gradient.layer
    cdef idx itemsize = layer.kernels.itemsize, lanes = layer.kernels.lanes, width = layer.x.width
    cdef idx c0 = pair // gradient.filter_panels * gradient.channels, filter_panel = pair % gradient.filter_panels
    cdef idx channels = min(gradient.channels, up(layer.x.channels, lanes) - c0)
    cdef idx filters = min(layer.y.width, layer.y.channels - filter_panel * layer.y.width), n, c, phase
    v += (c0 // width * layer.x.panel + point * layer.x.point) * itemsize
    z += (filter_panel * layer.y.panel + point * layer.y.point) * itemsize
    sums += point * gradient.point * itemsize
    for n in range(parts(channels, width)):
        c = c0 + n * width
        # What is left out only reaches taps that there are not.
        if layer.full_phases < layer.phases and c + width <= layer.x.channels:
            phase = c // layer.phase_channels
            if phase == (c + width - 1) // layer.phase_channels and is_idle(layer, point, phase):
                continue
        layer.kernels.product.gemm[min(width, channels - n * width) // lanes - 1](
            filters, tiles, z, 1, layer.y.width, v + n * layer.x.panel * itemsize, width,
            sums + n * gradient.panel * itemsize, width, accumulate)


cdef void finish_panel(const Gradient *gradient, idx pair, idx n, const char *sums, idx n_slices,
                       char *taps) noexcept nogil:
    """dw of the n-th panel of channels of a pair, from the sums of the slices."""
    cdef const Layer *layer = gradient.layer
    cdef const Image *dw = gradient.dw
    cdef idx itemsize = layer.kernels.itemsize, width = layer.x.width, n_taps = layer.r * layer.s
    cdef idx c0 = pair // gradient.filter_panels * gradient.channels + n * width
    cdef idx k0 = pair % gradient.filter_panels * layer.y.width
    cdef idx end = min(c0 + width, layer.x.channels), k, c, residue, following
    cdef char *filter
    if c0 >= end:
        return
    for k in range(k0, min(k0 + layer.y.width, layer.y.channels)):
        filter = at(dw, itemsize, gradient.group * layer.y.channels + k, 0, 0, 0)
        layer.kernels.winograd.filter_gradient[layer.kernel](
            filter + c0 * dw.s_c * itemsize if gradient.in_place else taps,
            sums + (n * gradient.panel + (k - k0) * width) * itemsize, gradient.point,
            gradient.pairs * gradient.pair_size, n_slices, end - c0, layer.r, layer.s)
        if gradient.in_place:
            continue
        c = c0
        while c < end:
            residue = c // dw.c
            following = min(end, (residue + 1) * dw.c)
            copy_taps(taps + (c - c0) * n_taps * itemsize, filter + (c - residue * dw.c) * dw.s_c * itemsize, dw,
                      itemsize, following - c, gradient.stride, residue, 0, 0, True)
            c = following


# ---- tasks ---------------------------------------------------------------------------------------------------------

cdef void slice_task(const void *job, idx task, char *block) noexcept nogil:
    """The sums of all pairs and of one slice of the blocks."""
    cdef const Gradient *gradient = <const Gradient *>job
    cdef const Layer *layer = gradient.layer
    cdef Scratch scratch = scratch_of(gradient, block)
    cdef idx first = task * gradient.slice_blocks, end = min(layer.n_blocks, first + gradient.slice_blocks)
    cdef idx index, pair, point
    cdef char *sums = gradient.sums + task * gradient.pairs * gradient.pair_size * layer.kernels.itemsize
    for index in range(first, end):
        transform_block(layer, &layer.x, gradient.group, index, scratch.v, scratch.stage)
        transform_block(layer, &layer.y, gradient.group, index, scratch.z, scratch.stage)
        for pair in range(gradient.pairs):
            for point in range(layer.points):
                sum_point(gradient, block_tiles(layer, index), pair, point, scratch.v, scratch.z,
                          sums + pair * gradient.pair_size * layer.kernels.itemsize, index > first)


cdef void transform_task(const void *job, idx task, char *block) noexcept nogil:
    """V of a run and a vector of channels of the block at work, or after all of these Z of filters."""
    cdef const Gradient *gradient = <const Gradient *>job
    cdef const Layer *layer = gradient.layer
    cdef idx runs = n_runs(layer, gradient.block), vec = task // runs
    cdef Run run = run_of(layer, gradient.block, task % runs)
    cdef Scratch scratch = scratch_of(gradient, block)
    if vec < layer.x.vecs:
        transform_run(layer, &layer.x, gradient.group, vec, &run, gradient.v, scratch.stage)
    else:
        transform_run(layer, &layer.y, gradient.group, vec - layer.x.vecs, &run, gradient.z, scratch.stage)


cdef void point_task(const void *job, idx task, char *block) noexcept nogil:
    """The sums of a pair at one point over the block at work."""
    cdef const Gradient *gradient = <const Gradient *>job
    cdef const Layer *layer = gradient.layer
    cdef idx pair = task // layer.points, slice = gradient.block // gradient.slice_blocks
    sum_point(gradient, block_tiles(layer, gradient.block), pair, task % layer.points, gradient.v, gradient.z,
              gradient.sums + (slice * gradient.pairs + pair) * gradient.pair_size * layer.kernels.itemsize,
              gradient.block % gradient.slice_blocks > 0)


cdef void pair_task(const void *job, idx task, char *block) noexcept nogil:
    """dw of a pair, from first to last."""
    cdef const Gradient *gradient = <const Gradient *>job
    cdef const Layer *layer = gradient.layer
    cdef Scratch scratch = scratch_of(gradient, block)
    cdef idx i
    for i in range(layer.points):
        sum_point(gradient, block_tiles(layer, 0), task, i, gradient.v, gradient.z, scratch.sums, False)
    for i in range(gradient.channels // layer.x.width):
        finish_panel(gradient, task, i, scratch.sums, 1, scratch.taps)


cdef void finish_task(const void *job, idx task, char *block) noexcept nogil:
    cdef const Gradient *gradient = <const Gradient *>job
    cdef idx panels = gradient.channels // gradient.layer.x.width, pair = task // panels
    finish_panel(gradient, pair, task % panels,
                 gradient.sums + pair * gradient.pair_size * gradient.layer.kernels.itemsize, gradient.slices,
                 scratch_of(gradient, block).taps)


# ---- the order -----------------------------------------------------------------------------------------------------

cdef void run_group(Gradient *gradient, const Workspace *workspace) noexcept nogil:
    cdef const Layer *layer = gradient.layer
    cdef idx finishes = gradient.pairs * (gradient.channels // layer.x.width), block
    if gradient.shared:
        for block in range(layer.n_blocks):
            gradient.block = block
            run_tasks(transform_task, gradient, n_runs(layer, block) * (layer.x.vecs + layer.y.vecs), 1, workspace)
            if gradient.at_once:
                run_tasks(pair_task, gradient, gradient.pairs, 1, workspace)
                return
            run_tasks(point_task, gradient, gradient.pairs * layer.points, 1, workspace)
    else:
        run_tasks(slice_task, gradient, gradient.slices, 1, workspace)
    run_tasks(finish_task, gradient, finishes, parts(finishes, workspace.n_threads), workspace)


cdef int weight_gradient(const Problem *problem, Layer *layer) except -1:
    """dw[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n, c, p*stride + r*dilation_h - pad_h, ...]: equation 12.5."""
    cdef Gradient gradient
    cdef Arena tables, scratch
    cdef Scratch pieces
    cdef Workspace workspace
    cdef idx group
    cdef const fc_kernels *kernels = layer.kernels
    cdef const Blocks *blocks = &problem.tuning.blocks
    cdef idx lanes = kernels.lanes, padded_channels = up(layer.x.channels, lanes)
    cdef idx padded_filters = up(layer.y.channels, lanes)
    gradient.layer, gradient.dw, gradient.stride = layer, &problem.w, problem.stride_h
    gradient.in_place = (gradient.stride == 1 and has_dense_taps(gradient.dw)
                         and (gradient.dw.s_c == layer.r * layer.s or gradient.dw.c == 1))
    layer.x.width = min(kernels.product.gemm_vecs * lanes, padded_channels)
    # Whole vectors, and whole tiles of the product.
    layer.y.width = min(up(blocks.winograd_filters, lanes * (kernels.product.gemm_rows // 2)), padded_filters)
    cut_blocks(layer, blocks.fourier_tiles if layer.kernel == FC_FOURIER else blocks.winograd_tiles, 1)
    gradient.channels = up(min(blocks.winograd_channels, padded_channels), layer.x.width)
    gradient.filter_panels = parts(padded_filters, layer.y.width)
    gradient.pairs = parts(padded_channels, gradient.channels) * gradient.filter_panels
    gradient.panel = up(layer.y.width, kernels.product.gemm_rows) * layer.x.width
    gradient.point = point_pitch(gradient.channels // layer.x.width * gradient.panel)
    gradient.pair_size = layer.points * gradient.point
    cdef idx most_slices = SLICES_BYTES // (gradient.pairs * gradient.pair_size * kernels.itemsize)
    gradient.slice_blocks = parts(layer.n_blocks, max(1, min(min(SLICES, layer.n_blocks // 2), most_slices)))
    gradient.slices = parts(layer.n_blocks, gradient.slice_blocks)
    cdef double all_tiles = <double>layer.n * layer.bands * layer.band_tiles
    cdef int n_threads = threads_for(
        <double>layer.groups * layer.y.channels * layer.x.channels * layer.points * all_tiles, layer.points)
    gradient.shared = gradient.slices == 1 or not keeps_busy(gradient.slices, n_threads)
    gradient.at_once = layer.n_blocks == 1 and gradient.pairs >= 2 * n_threads
    tables.block = scratch.block = NULL
    tables.size = scratch.size = 0
    lay_out(&gradient, &tables)
    lay_out_scratch(&gradient, &scratch, &pieces)
    reserve(&workspace, &tables, &scratch, n_threads)
    lay_out(&gradient, &tables)
    with nogil:
        for group in range(layer.groups):
            gradient.group = group
            run_group(&gradient, &workspace)
    release(&workspace)
    return 0
