"""The input gradient of few channels, by column taps.

dx[n, c, i, j] = sum_s z[n, i, j - s][s, c]   where   z[n, i, q][s, c] = sum_{r, k} w[k, c, r, s] dy[n, k, i - r, q]

Along the lanes lie pairs of a column tap and a channel, which fill vectors where channels alone do not. Each row of z
is a product of the outer form: dy's pixels are read where they lie, with no zeros around them. The sums over s then
run along a row of z while it is in L1. Images are small, not padded, and not strided. """

from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from fastconv._native.grid cimport narrow
from fastconv._native.kernels cimport even, fc_ahead, fc_kernels, fc_run, idx, parts, up
from fastconv._native.memory cimport Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport INPUT_GRADIENT, Image, Problem, channels_last
from fastconv._native.runtime cimport run_tasks, threads_for
from fastconv._native.tuning cimport FEATURES

cdef enum:
    MOST_DEPTH = 1024      # (row tap, filter) pairs of all columns in one sum: a longer one would round worse


cdef struct ColumnTaps:
    const fc_kernels *kernels
    Image dy, w, dx
    idx K, C, R, S, dilation_h, dilation_w
    idx lane_width           # pairs in a panel
    idx pairs                # in whole vectors; a pixel of z has as many
    idx chunk                # images in a task
    idx margin               # pixels of zeros before and after a row of z, for the column taps to reach into
    char *filters            # packed: [panel][row tap, the last one first][k][pair]
    int32_t *taps            # of each (row tap, k) in dy


cdef struct Scratch:
    idx *pixels              # of a row of dy of all images of a chunk
    char *sums               # of a panel of pairs of these pixels
    char *z                  # of a row of dx of all these images
    char *row                # of dx, a vector of channels


cdef void set_job(const Problem *problem, ColumnTaps *job) noexcept nogil:
    cdef const Image *w = &problem.w
    cdef idx lanes = problem.kernels.lanes
    job.kernels, job.dy, job.w, job.dx = problem.kernels, problem.y, w[0], problem.x
    job.K, job.C, job.R, job.S = w.n, w.c, w.h, w.w
    job.dilation_h, job.dilation_w = problem.dilation_h, problem.dilation_w
    job.lane_width = job.kernels.correlate.outer_vecs * lanes
    job.pairs = up(job.S * job.C, lanes)
    job.margin = (job.S - 1) * job.dilation_w
    # Images whose rows fill tiles, while dy stays in L1.
    job.chunk = even(job.dy.n, max(1, 32 // max(1, job.dy.w)))


cdef void column_taps_features(const Problem *problem, int *rows, double *features) noexcept nogil:
    cdef ColumnTaps job
    cdef const Image *w = &problem.w
    cdef const Image *dx = &problem.x
    cdef idx lanes = problem.kernels.lanes, itemsize = problem.kernels.itemsize
    rows[0] = -1
    if (problem.which != INPUT_GRADIENT or problem.groups != 1 or problem.stride_h != 1 or problem.stride_w != 1
            or problem.pad_h != 0 or problem.pad_w != 0 or w.h * w.w == 1 or w.h * w.w * w.n > MOST_DEPTH
            or dx.h * dx.w < lanes or not narrow(&problem.y)
            or <double>w.n * dx.h * dx.w * itemsize > problem.tuning.blocks.stage_bytes):
        return
    set_job(problem, &job)
    # What is padded at the bottom or at the right alone does not fit either.
    if job.dy.h + (job.R - 1) * job.dilation_h != dx.h or job.dy.w + job.margin != dx.w:
        return
    rows[0] = 0
    memset(features, 0, FEATURES * sizeof(double))
    features[0] = <double>dx.n * job.dy.h * job.dy.w * job.R * job.K * job.pairs / (2 * lanes)
    features[1] = <double>dx.n * dx.h * dx.w * (job.S + 2) * parts(job.C, lanes)
    features[2] = <double>dx.n * dx.h * job.dy.w * parts(job.pairs, job.lane_width)
    features[3] = <double>dx.n * dx.h
    features[6] = <double>job.K * job.C * job.R * job.S


cdef void lay_out_tables(ColumnTaps *job, Arena *arena) noexcept nogil:
    job.filters = <char *>carve(arena, <double>job.R * job.K * job.pairs, job.kernels.itemsize)
    job.taps = <int32_t *>carve(arena, job.R * job.K, sizeof(int32_t))


cdef void lay_out_scratch(const ColumnTaps *job, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef idx itemsize = job.kernels.itemsize, pixels = up(job.chunk * job.dy.w, job.kernels.correlate.outer_rows)
    scratch.pixels = <idx *>carve(arena, pixels, sizeof(idx))
    scratch.sums = <char *>carve(arena, <double>pixels * job.lane_width, itemsize)
    scratch.z = <char *>carve(arena, <double>(job.chunk * (job.dy.w + job.margin) + job.margin + 1) * job.pairs,
                              itemsize)
    scratch.row = <char *>carve(arena, <double>job.dx.w * job.kernels.lanes, itemsize)


cdef inline idx panel_pairs(const ColumnTaps *job, idx rest) noexcept nogil:
    """Pairs in the next panel where `rest` are left."""
    return job.lane_width if rest > job.kernels.lanes else job.kernels.lanes


cdef void fill_tables(const ColumnTaps *job) noexcept nogil:
    cdef const Image *w = &job.w
    cdef idx itemsize = job.kernels.itemsize, first = 0, width, r, k, pair, source, to
    for r in range(job.R):
        for k in range(job.K):
            job.taps[r * job.K + k] = <int32_t>(k * job.dy.s_c + r * job.dilation_h * job.dy.s_h)
    memset(job.filters, 0, job.R * job.K * job.pairs * itemsize)
    while first < job.pairs:
        width = panel_pairs(job, job.pairs - first)
        for pair in range(first, min(first + width, job.S * job.C)):
            for r in range(job.R):
                to = first * job.R * job.K + (job.R - 1 - r) * job.K * width + pair - first
                source = pair % job.C * w.s_c + r * w.s_h + pair // job.C * w.s_w
                for k in range(job.K):
                    if itemsize == 4:
                        (<float *>job.filters)[to + k * width] = (<const float *>w.data)[source + k * w.s_n]
                    else:
                        (<double *>job.filters)[to + k * width] = (<const double *>w.data)[source + k * w.s_n]
        first += width


cdef void multiply_row(const ColumnTaps *job, idx i, idx images, const Scratch *scratch) noexcept nogil:
    """Row i of z of some images."""
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, pixels = images * job.dy.w, gap = job.dy.w + job.margin
    cdef idx pair = 0, width, f, n, to
    # Rows of the kernel that fall inside dy.
    cdef idx last = min(job.R - 1, i // job.dilation_h)
    cdef idx first = (i - job.dy.h) // job.dilation_h + 1 if i >= job.dy.h else 0
    cdef idx depth = max(0, last + 1 - first) * job.K
    cdef const char *dy = job.dy.data
    cdef const char *filters = job.filters
    cdef fc_run whole
    cdef fc_ahead nothing
    nothing.start, nothing.step = scratch.sums, 0
    whole.offset = 0
    if depth > 0:
        dy += (i - last * job.dilation_h) * job.dy.s_h * itemsize
    while pair < job.pairs:
        width = panel_pairs(job, job.pairs - pair)
        memset(scratch.sums, 0, up(pixels, kernels.correlate.outer_rows) * width * itemsize)
        f = 0
        while f < pixels:
            kernels.correlate.outer[width // kernels.lanes - 1](
                depth, job.taps, dy, scratch.pixels + f, filters + (job.R - 1 - last) * job.K * width * itemsize,
                scratch.sums + f * width * itemsize, width, &nothing)
            f += kernels.correlate.outer_rows
        whole.count = width
        for n in range(images):
            to = ((job.margin + n * gap) * job.pairs + pair) * itemsize
            if width == job.pairs:
                memcpy(scratch.z + to, scratch.sums + n * job.dy.w * width * itemsize, job.dy.w * width * itemsize)
            else:
                kernels.move.scatter(scratch.sums + n * job.dy.w * width * itemsize, width, scratch.z + to, job.pairs,
                                     1, job.dy.w, 1, &whole)
        filters += job.R * job.K * width * itemsize
        pair += width


cdef void images_task(const void *of, idx task, char *memory) noexcept nogil:
    cdef const ColumnTaps *job = <const ColumnTaps *>of
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, gap = job.dy.w + job.margin
    cdef idx n0 = task * job.chunk, images = min(job.chunk, job.dy.n - n0), pixels = images * job.dy.w, i, n, q, c
    cdef Arena arena = Arena(memory, 0)
    cdef Scratch scratch
    cdef fc_run run
    cdef char *dx
    lay_out_scratch(job, &arena, &scratch)
    for n in range(images):
        for q in range(job.dy.w):
            scratch.pixels[n * job.dy.w + q] = (n0 + n) * job.dy.s_n + q * job.dy.s_w
    # A ragged last tile repeats the last pixel; what it sums there is not used.
    for i in range(pixels, up(pixels, kernels.correlate.outer_rows)):
        scratch.pixels[i] = scratch.pixels[pixels - 1]
    # The margins of z stay zero: rows are written between them.
    memset(scratch.z, 0, (job.chunk * gap + job.margin + 1) * job.pairs * itemsize)
    run.offset = 0
    for i in range(job.dx.h):
        multiply_row(job, i, images, &scratch)
        for n in range(images):
            c = 0
            while c < job.C:
                # Whole vectors are read: what is not of these channels is not used.
                kernels.correlate.shifted_sums(scratch.row,
                                               scratch.z + ((job.margin + n * gap) * job.pairs + c) * itemsize,
                                               job.pairs, job.C - job.dilation_w * job.pairs, job.S, job.dx.w)
                dx = job.dx.data + ((n0 + n) * job.dx.s_n + c * job.dx.s_c + i * job.dx.s_h) * itemsize
                run.count = min(lanes, job.C - c)
                if channels_last(&job.dx):
                    kernels.move.scatter(scratch.row, lanes, dx, job.dx.s_w, 1, job.dx.w, 1, &run)
                else:
                    kernels.move.untranspose(dx, job.dx.s_c, scratch.row, lanes, run.count, job.dx.w)
                c += lanes


cdef int column_taps_run(const Problem *problem, int form) except -1:
    cdef ColumnTaps job
    cdef Arena tables = Arena(NULL, 0), arena = Arena(NULL, 0)
    cdef Scratch scratch
    cdef Workspace workspace
    set_job(problem, &job)
    cdef idx tasks = parts(job.dy.n, job.chunk)
    cdef double work = <double>job.dy.n * job.C * job.K * job.R * job.S * job.dy.h * job.dy.w
    lay_out_tables(&job, &tables)
    lay_out_scratch(&job, &arena, &scratch)
    reserve(&workspace, &tables, &arena, threads_for(work, tasks))
    lay_out_tables(&job, &tables)
    with nogil:
        fill_tables(&job)
        run_tasks(images_task, &job, tasks, 1, &workspace)
    release(&workspace)
    return 0
