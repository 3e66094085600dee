"""Forward, and the input gradient of a stride of 1: each output pixel gathers, through its taps, from a source."""

from libc.stdint cimport int32_t

from fastconv._native.grid cimport Block, Grid
from fastconv._native.kernels cimport fc_kernels, fc_piece, fc_run, idx
from fastconv._native.memory cimport Arena
from fastconv._native.problem cimport Image, Problem
from fastconv._native.tuning cimport Tuning

cdef enum:
    FEW_COLS = 16          # in a row that DOT stages as a whole rather than at its ends


cdef struct Gather:
    # y[n, group*K + k, p, q] = bias[group*K + k]
    #     + sum_{c, r, s} w[group, k, c, r, s] * x[n, group*C + c, pixel of (r, s)]
    const fc_kernels *kernels
    const Tuning *tuning
    int form
    idx groups, K, C
    Image x, y
    Grid grid
    const char *w             # of the first tap; its strides follow
    idx w_group, w_filter, w_channel, w_row, w_col
    const char *bias          # dense, or NULL
    # The schedule.
    bint dense                # rows of pixels follow each other without a gap, in the source and in the result
    bint staged               # pixels that lie side by side in the source are too few: rows are staged
    bint placed               # OUTER: x is read where it lies
    bint far                  # the result leaves the caches near
    idx target                # pixels in a block, or 0 to choose
    idx chunk, n_chunks       # channels reduced in one go
    idx k_tile                # filters in a tile
    idx k_part, k_parts       # filters in a task: they are split too where there are fewer blocks than threads
    idx width                 # of a panel, in pixels
    # Tables.
    char *filters             # packed: [group][chunk][tile][channel, tap][filter]
    idx *filter_taps          # of each tap in w
    idx *staged_taps          # of each (channel, tap) pair from the base of a block that is staged, or in its place
    idx *placed_taps


cdef struct Scratch:
    char *stage               # staged rows
    char *panel               # packed pixels; DOT: what sums begin with
    char *sums                # tiles that are not stored at once
    fc_piece *pieces          # of the panel, and of the next one
    fc_piece *next_pieces
    fc_run *runs              # of the result
    idx *pixels               # OUTER: where the block's pixels lie, and the offsets of the pairs
    int32_t *pairs


# For each form from PANELS to OUTER its row of the tuning, -1 where it is impossible, and its features.
cdef void gather_features(const Problem *problem, int *rows, double *features) noexcept nogil
cdef int gather_run(const Problem *problem, int form) except -1

# What the residues of a stride need of it, one by one. set_gather() states the problem, which a residue alters; then
# inspect() fills in what follows from the sizes, cheapest() chooses a form and says its cycles, plan_gather() cuts
# the work.
cdef void set_gather(const Problem *problem, Gather *job) noexcept nogil
cdef idx inspect(Gather *job) noexcept nogil
cdef double cheapest(const Problem *problem, Gather *job) noexcept nogil
cdef void plan_gather(Gather *job) noexcept nogil
cdef int run_gather(Gather *job) except -1
cdef void lay_out_tables(Gather *job, Arena *arena) noexcept nogil
cdef void lay_out_scratch(const Gather *job, Arena *arena, Scratch *scratch) noexcept nogil
cdef void fill_tables(const Gather *job) noexcept nogil
cdef void pack_chunk(const Gather *job, idx index) noexcept nogil
cdef void gather_block(const Gather *job, idx group, Block *block, idx k0, idx k1, char *memory) noexcept nogil


cdef inline bint packable(const Gather *job) noexcept nogil:
    """Whether pixels can be packed from where they lie: neighbours, or every second where each is read once."""
    return (job.grid.inside and job.x.s_w == 1
            and (job.grid.step_w == 1 or (job.grid.step_w == 2 and job.grid.R * job.grid.S == 1)))


cdef inline idx abs_of(idx a) noexcept nogil:
    return a if a >= 0 else -a
