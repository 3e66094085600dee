"""The input gradient of a stride, by the residues of the stride.

Pixels i of one residue modulo the stride see one subset of the taps, and see dy at dy's own pace: each residue is a
dense convolution with a flipped kernel (equation 12.6), and no zeros are inserted between dy's pixels. All residues
of a block are computed one after the other while dy's rows are near, and then interleaved into rows of dx. Where dx
has channels last, each residue writes its pixels by itself, for a pixel's channels are whole lines there. """

from libc.string cimport memset

from fastconv._native.gather cimport (
    Gather, Scratch, cheapest, fill_tables, gather_block, lay_out_scratch, lay_out_tables, pack_chunk,
    plan_gather, run_gather, set_gather,
)
from fastconv._native.grid cimport Block, common_divisor, locate
from fastconv._native.kernels cimport FC_MAX_VECS, fc_kernels, idx, parts
from fastconv._native.memory cimport Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport INPUT_GRADIENT, Image, Problem, channels_last, far_elements
from fastconv._native.runtime cimport run_tasks, threads_for
from fastconv._native.tuning cimport FEATURES


# ---- residues ------------------------------------------------------------------------------------------------------

cdef struct Axis:
    # The residues along one axis that taps fall on, numbered by the first of their taps.
    idx residues         # of the stride that dx has a pixel of
    idx size             # of dx
    idx taps             # of the filter
    idx stride, pad, dilation
    idx period           # from a tap to the next of the same residue


cdef Axis axis_of(idx size, idx taps, idx stride, idx pad, idx dilation) noexcept nogil:
    cdef Axis axis
    # A stride longer than the image leaves one pixel of each residue.
    axis.residues, axis.size, axis.taps = min(stride, size), size, taps
    axis.stride, axis.pad, axis.dilation = stride, pad, dilation
    axis.period = stride // common_divisor(stride, dilation)
    return axis


cdef inline idx first_taps(const Axis *axis) noexcept nogil:
    return min(axis.taps, axis.period)


cdef inline idx residue_of(const Axis *axis, idx tap) noexcept nogil:
    """The residue of dx's pixels that a tap serves, which may be one that dx has no pixel of."""
    cdef idx residue = (tap * axis.dilation - axis.pad) % axis.stride
    return residue + axis.stride if residue < 0 else residue


cdef bint set_residue(const Problem *problem, const Axis *rows, const Axis *cols, idx r, idx s,
                      Gather *job) noexcept nogil:
    """The gather of the residue whose first tap is (r, s); False if dx has no such pixel."""
    cdef idx a = residue_of(rows, r), b = residue_of(cols, s)
    if a >= rows.residues or b >= cols.residues:
        return False
    set_gather(problem, job)
    job.w += (r * job.w_row + s * job.w_col) * job.kernels.itemsize
    job.w_row *= rows.period
    job.w_col *= cols.period
    job.grid.R, job.grid.S = parts(rows.taps - r, rows.period), parts(cols.taps - s, cols.period)
    job.grid.first_h = (a + rows.pad - r * rows.dilation) // rows.stride
    job.grid.first_w = (b + cols.pad - s * cols.dilation) // cols.stride
    job.grid.apart_h = -(rows.period * rows.dilation // rows.stride)
    job.grid.apart_w = -(cols.period * cols.dilation // cols.stride)
    if channels_last(&problem.x):
        job.y.data += (a * job.y.s_h + b * job.y.s_w) * job.kernels.itemsize
        job.y.s_h *= rows.stride
        job.y.s_w *= cols.stride
        job.grid.P, job.grid.Q = parts(rows.size - a, rows.stride), parts(cols.size - b, cols.stride)
    else:
        # All residues share the grid of the longest one.
        job.grid.P, job.grid.Q = parts(rows.size, rows.residues), parts(cols.size, cols.residues)
    return True


cdef idx set_residues(const Problem *problem, const Axis *rows, const Axis *cols, Gather *jobs,
                      idx *job_of) noexcept nogil:
    """The gathers of all residues, and which of them each residue is; how many there are."""
    cdef idx r, s, n_jobs = 0
    for r in range(first_taps(rows)):
        for s in range(first_taps(cols)):
            if set_residue(problem, rows, cols, r, s, &jobs[n_jobs]):
                job_of[residue_of(rows, r) * cols.residues + residue_of(cols, s)] = n_jobs
                n_jobs += 1
    return n_jobs


cdef void phases_features(const Problem *problem, int *rows, double *features) noexcept nogil:
    cdef const Image *dx = &problem.x
    cdef Axis of_rows, of_cols
    cdef Gather job
    cdef idx r, s
    rows[0] = -1
    if problem.which != INPUT_GRADIENT or (problem.stride_h == 1 and problem.stride_w == 1):
        return
    of_rows = axis_of(dx.h, problem.w.h, problem.stride_h, problem.pad_h, problem.dilation_h)
    of_cols = axis_of(dx.w, problem.w.w, problem.stride_w, problem.pad_w, problem.dilation_w)
    memset(features, 0, FEATURES * sizeof(double))
    rows[0] = 0
    features[1] = <double>dx.n * dx.c * dx.h * dx.w
    features[2] = 1
    features[3] = far_elements(dx, problem.w.c, problem.tuning.blocks.stage_bytes, problem.kernels.itemsize)
    # Pixels of a residue lie apart in results with channels last, and are interleaved in others.
    features[4] = features[1] if channels_last(dx) else 0.0
    for r in range(first_taps(&of_rows)):
        for s in range(first_taps(&of_cols)):
            if set_residue(problem, &of_rows, &of_cols, r, s, &job):
                features[0] += cheapest(problem, &job)


cdef int phases_form(const Problem *problem, int index) noexcept nogil:
    cdef const Image *x = &problem.x
    cdef Axis rows = axis_of(x.h, problem.w.h, problem.stride_h, problem.pad_h, problem.dilation_h)
    cdef Axis cols = axis_of(x.w, problem.w.w, problem.stride_w, problem.pad_w, problem.dilation_w)
    cdef Gather job
    cdef idx count = first_taps(&cols)
    if index >= first_taps(&rows) * count:
        return -2
    if not set_residue(problem, &rows, &cols, index // count, index % count, &job):
        return -1
    cheapest(problem, &job)
    return job.form


# ---- the run -------------------------------------------------------------------------------------------------------

cdef struct Phases:
    const fc_kernels *kernels
    Image dx
    idx stride_h, stride_w   # residues along each axis
    idx n_jobs, n_packs
    Gather *jobs
    idx *job_of              # of each residue; -1 where no tap reaches, and dx is zero
    idx k_part, k_parts


cdef struct Planes:
    char *gather             # a gather's own scratch
    char *planes             # of each job: [image][channel][pixel] of a block
    double plane_size        # of a job, in bytes
    char *zeros
    const void **rows        # one of each residue of dx's columns


cdef void lay_out_jobs(Phases *phases, idx most, Arena *arena) noexcept nogil:
    phases.jobs = <Gather *>carve(arena, most, sizeof(Gather))
    phases.job_of = <idx *>carve(arena, <double>phases.stride_h * phases.stride_w, sizeof(idx))


cdef void lay_out_all_tables(Phases *phases, Arena *arena) noexcept nogil:
    cdef idx i
    for i in range(phases.n_jobs):
        lay_out_tables(&phases.jobs[i], arena)


cdef void lay_out_planes(const Phases *phases, Arena *arena, Planes *planes) noexcept nogil:
    cdef const Gather *job = &phases.jobs[0]
    cdef idx itemsize = phases.kernels.itemsize, i
    cdef Scratch scratch
    cdef Arena one
    cdef double largest = 0
    for i in range(phases.n_jobs):
        one.block, one.size = NULL, 0
        lay_out_scratch(&phases.jobs[i], &one, &scratch)
        largest = max(largest, one.size)
    planes.gather = <char *>carve(arena, largest, 1)
    one.block, one.size = NULL, 0
    carve(&one, <double>min(phases.k_part, job.K) * job.grid.images * job.grid.rows * job.grid.cols
          + FC_MAX_VECS * phases.kernels.lanes, itemsize)
    planes.plane_size = one.size
    planes.planes = <char *>carve(arena, phases.n_jobs * planes.plane_size, 1)
    planes.zeros = <char *>carve(arena, job.grid.cols, itemsize)
    planes.rows = <const void **>carve(arena, phases.stride_w, sizeof(void *))


cdef void interleave(const Phases *phases, const Planes *planes, idx channel, idx n, idx k, idx channels,
                     const Block *block) noexcept nogil:
    """Put the residues' pixels of one image and channel of a block in their places in rows of dx."""
    cdef idx itemsize = phases.kernels.itemsize, p, a, b, i, row, size = <idx>planes.plane_size
    cdef idx count = min(block.cols * phases.stride_w, phases.dx.w - block.q0 * phases.stride_w)
    cdef char *pixels
    cdef char *to
    cdef bint none
    for p in range(block.rows):
        pixels = planes.planes + ((n * channels + k) * block.rows + p) * block.cols * itemsize
        for a in range(phases.stride_h):
            row = (block.p0 + p) * phases.stride_h + a
            if row >= phases.dx.h:
                break
            to = phases.dx.data + ((block.n0 + n) * phases.dx.s_n + channel * phases.dx.s_c + row * phases.dx.s_h
                                   + block.q0 * phases.stride_w) * itemsize
            none = True
            for b in range(phases.stride_w):
                i = phases.job_of[a * phases.stride_w + b]
                planes.rows[b] = planes.zeros if i < 0 else pixels + i * size
                none &= i < 0
            if none:
                memset(to, 0, count * itemsize)
            else:
                phases.kernels.move.interleave(to, planes.rows, phases.stride_w, count)


cdef void block_task(const void *of, idx task, char *memory) noexcept nogil:
    """Gather each residue's pixels of a block by themselves, then interleave them."""
    cdef const Phases *phases = <const Phases *>of
    cdef const Gather *first = &phases.jobs[0]
    cdef idx k0 = task % phases.k_parts * phases.k_part, k1 = min(first.K, k0 + phases.k_part), i, n, k, pixels
    cdef idx group = task // phases.k_parts // first.grid.blocks, channel = group * first.K + k0
    cdef Arena arena = Arena(memory, 0)
    cdef Planes planes
    cdef Gather job
    cdef Block whole, block
    lay_out_planes(phases, &arena, &planes)
    locate(&first.grid, task // phases.k_parts % first.grid.blocks, &whole)
    pixels = whole.rows * whole.cols
    for i in range(phases.n_jobs):
        job, block = phases.jobs[i], whole
        job.y.s_n, job.y.s_c, job.y.s_h, job.y.s_w = (k1 - k0) * pixels, pixels, whole.cols, 1
        job.y.data = planes.planes + i * <idx>planes.plane_size - (
            whole.n0 * job.y.s_n + channel * job.y.s_c + whole.p0 * job.y.s_h + whole.q0) * job.kernels.itemsize
        gather_block(&job, group, &block, k0, k1, planes.gather)
    memset(planes.zeros, 0, whole.cols * phases.kernels.itemsize)
    for n in range(whole.images):
        for k in range(k1 - k0):
            interleave(phases, &planes, channel + k, n, k, k1 - k0, &whole)


cdef void pack_task(const void *of, idx task, char *memory) noexcept nogil:
    cdef const Phases *phases = <const Phases *>of
    pack_chunk(&phases.jobs[task % phases.n_jobs], task // phases.n_jobs)


cdef int run_woven(const Problem *problem, Phases *phases) except -1:
    """All residues of a block together; the gathers are set."""
    cdef Gather *first = phases.jobs
    cdef Gather *job
    cdef Arena tables = Arena(NULL, 0), arena = Arena(NULL, 0)
    cdef Planes planes
    cdef Workspace workspace
    cdef double work = 0
    cdef idx i, tasks, tile
    cdef int n_threads
    phases.n_packs = 0
    for i in range(phases.n_jobs):
        job = &phases.jobs[i]
        # All residues of a block wait in L2 for their turn.
        job.target = 4 * job.tuning.blocks.stage_bytes // (job.kernels.itemsize * job.K * phases.n_jobs)
        job.target = min(512, max(64, job.target))
        cheapest(problem, job)
        plan_gather(job)
        work += (<double>job.groups * job.K * (job.C * <double>job.grid.R * job.grid.S + 1)
                 * job.grid.N * job.grid.P * job.grid.Q)
        phases.n_packs = max(phases.n_packs, job.groups * job.n_chunks)
    n_threads = threads_for(work, first.groups * first.grid.blocks * parts(first.K, first.k_tile))
    # Whole tiles of every gather: forms are chosen by the number of taps, and have tiles of their own.
    tile = first.k_tile
    for i in range(1, phases.n_jobs):
        while tile % phases.jobs[i].k_tile != 0:
            tile += first.k_tile
    phases.k_part = parts(parts(first.K, max(1, n_threads // (first.groups * first.grid.blocks))), tile) * tile
    phases.k_parts = parts(first.K, phases.k_part)
    tasks = first.groups * first.grid.blocks * phases.k_parts
    lay_out_all_tables(phases, &tables)
    lay_out_planes(phases, &arena, &planes)
    reserve(&workspace, &tables, &arena, n_threads)
    lay_out_all_tables(phases, &tables)
    with nogil:
        for i in range(phases.n_jobs):
            fill_tables(&phases.jobs[i])
        run_tasks(pack_task, phases, phases.n_packs * phases.n_jobs,
                  parts(phases.n_packs * phases.n_jobs, n_threads), &workspace)
        run_tasks(block_task, phases, tasks, max(1, tasks // (n_threads * 16)), &workspace)
    release(&workspace)
    return 0


cdef int phases_run(const Problem *problem, int form) except -1:
    cdef const Image *dx = &problem.x
    cdef Axis rows = axis_of(dx.h, problem.w.h, problem.stride_h, problem.pad_h, problem.dilation_h)
    cdef Axis cols = axis_of(dx.w, problem.w.w, problem.stride_w, problem.pad_w, problem.dilation_w)
    cdef Arena arena = Arena(NULL, 0), none = Arena(NULL, 0)
    cdef Workspace workspace
    cdef Phases phases
    cdef idx i, most = first_taps(&rows) * first_taps(&cols)
    phases.kernels, phases.dx, phases.stride_h, phases.stride_w = problem.kernels, dx[0], rows.residues, cols.residues
    lay_out_jobs(&phases, most, &arena)
    reserve(&workspace, &arena, &none, 1)
    lay_out_jobs(&phases, most, &arena)
    try:
        for i in range(phases.stride_h * phases.stride_w):
            phases.job_of[i] = -1
        phases.n_jobs = set_residues(problem, &rows, &cols, phases.jobs, phases.job_of)
        if phases.n_jobs < phases.stride_h * phases.stride_w and (channels_last(dx) or phases.n_jobs == 0):
            memset(dx.data, 0, dx.end - dx.data)
        if channels_last(dx) or phases.stride_h * phases.stride_w == 1:
            for i in range(phases.n_jobs):
                cheapest(problem, &phases.jobs[i])
                run_gather(&phases.jobs[i])
        elif phases.n_jobs > 0:
            run_woven(problem, &phases)
    finally:
        release(&workspace)
    return 0
