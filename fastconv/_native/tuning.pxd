"""What is fitted to an instruction set: block sizes, and what each form of a convolution costs.

The figures are in tuning.py; docs/decisions/tuning.md says how they were measured, and benchmarks/fit.py measures
again. """

from libc.math cimport INFINITY

from fastconv._native.kernels cimport idx

# The forms in which a pass can be computed; tuning.py has their names in this order.
cdef enum:
    WINOGRAD      # minimal filtering
    FOURIER       # Fourier transforms of tiles
    WINDOWS       # few channels a group: rows read where they lie
    LANES         # few channels a group: channels along the lanes
    COLUMN_TAPS   # (column tap, channel) pairs along the lanes, summed along the rows at the end
    PHASES        # each residue of the stride by itself, in the best of the four forms below
    PANELS        # pixels along the lanes, packed into panels
    TILES         # pixels along the lanes, read where they lie or in staged rows
    DOT           # channels along the lanes, summed over them at the end
    OUTER         # filters along the lanes
    MIRRORED      # ... or channels: OUTER with x and dy exchanged
    ROWS          # pixels along the lanes, row by row
    RUNS          # ... image by image, rows joined by zeros
    TURNED_ROWS   # ... a tile holds columns of taps, and filters
    TURNED_RUNS
    FORMS

cdef enum:
    CLASSES = 3
    FEATURES = 14

cdef struct Blocks:
    idx depth             # (channel, tap) pairs reduced in one go: a panel of pixels of this depth stays in L1
    idx tiles             # of filters that meet a panel in one call
    idx stage_bytes       # what a block's staged rows may take of L2
    idx part_filters      # of a part of the weight gradient, and its (channel, tap) pairs: their sums stay near L2
    idx part_pairs
    idx slice_pixels      # the fewest whose sums may leave L2
    idx group_bytes       # of pixels that stay in L2 beside the sums of the weight gradient
    # Winograd's filtering: tiles in a block, the fewest that are worth the reading of all filters, and those of a block
    # of forward that transforms its filters itself; bytes of transformed filters that are kept for all blocks, of V
    # that threads share, and of a block's V that can be read again and again: by panels of so many filters, whose M
    # hardly leaves L2, or else of so many; bytes of pixels that stay in L1 with what is made of them; of the weight
    # gradient, filters and channels whose sums of all points stay in L2.
    idx winograd_tiles, winograd_few_tiles, winograd_many_tiles
    idx winograd_kept_bytes, winograd_shared_bytes, winograd_near_bytes
    idx winograd_narrow, winograd_wide, winograd_pixel_bytes, winograd_filters, winograd_channels
    # Fourier transforms: tiles in a block, and bytes of transformed filters that are kept for all blocks.
    idx fourier_tiles, fourier_kept_bytes
    # Few channels a group: outputs in a band of rows, which stays in L1 or near it with what it reads, and of a channel
    # where channels lie along the lanes; bytes of neighbouring channels that are staged at once there; outputs in a
    # task; bytes of an array that no cache near holds, and none at all.
    idx windows_band, lanes_band, lanes_bytes, few_task, few_far_bytes, few_farthest_bytes
    # Passes over memory: bytes of a result that is stored past the caches.
    idx pass_far_bytes

cdef struct Tuning:
    Blocks blocks
    # Cycles a feature takes, by form, pass and class of layers.
    double[FORMS][3][CLASSES][FEATURES] cost


cdef inline double cycles_of(const Tuning *tuning, int form, int which, int row, const double *features) noexcept nogil:
    """What a form's features cost in a pass, or infinity where the form is impossible (a row of -1)."""
    cdef double cycles = 0
    cdef int i
    if row < 0:
        return INFINITY
    for i in range(FEATURES):
        cycles += tuning.cost[form][which][row][i] * features[i]
    return cycles
