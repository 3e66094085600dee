"""Where pixels come from: a grid of output pixels, the taps that each of them reads, and blocks of such pixels.

A block's pixels are read where they lie, where every tap falls inside the image, or out of a staged copy of the block's
rows, padded with zeros and split by the residues of the stride, so that neighbouring pixels are neighbours in memory.
"""

from fastconv._native.ahead cimport Ahead
from fastconv._native.kernels cimport fc_kernels, idx, parts, up
from fastconv._native.problem cimport Image


cdef struct Grid:
    # Output pixel (p, q) reads, at tap (r, s), source pixel (p * step_h + first_h + r * apart_h, ...).
    idx N, P, Q
    idx R, S
    idx step_h, step_w
    idx first_h, first_w
    idx apart_h, apart_w           # negative where the kernel is flipped
    # What follows from these and the source's size.
    idx min_h, min_w               # the lowest tap of pixel (0, 0)
    idx reach_h, reach_w           # from there to the highest, in steps
    idx slots_h, slots_w           # residues of the step that taps fall on
    bint inside                    # no tap of any pixel leaves the source
    # Blocks: some images, or some rows of one, or some columns of one row.
    idx images, rows, cols
    idx blocks_n, blocks_p, blocks_q, blocks
    # The staged layout [channel][image][slot][row][col].
    idx stage_rows, stage_pitch, stage_image, stage_channel


cdef struct Block:
    idx n0, p0, q0
    idx images, rows, cols
    # How the block's pixels are addressed, from `base`.
    char *base
    idx s_image, s_row, s_col


# The greatest common divisor of two positive numbers.
cdef idx common_divisor(idx a, idx b) noexcept nogil

# Fill in what follows from the sizes and taps for a source of this size.
cdef void survey(Grid *grid, const Image *x) noexcept nogil

# Blocks of about `target` pixels that fill panels of `width`, and the staged layout that goes with them.
cdef void cut_blocks(Grid *grid, idx target, idx width, idx lanes) noexcept nogil

# The place of block number `index`.
cdef void locate(const Grid *grid, idx index, Block *block) noexcept nogil

# Copy what a block reads of some channels into `buffer`, and address the block there.
cdef void stage(const fc_kernels *kernels, const Image *x, const Grid *grid, Block *block, idx c0, idx channels,
                char *buffer) noexcept nogil

# The same of one tap inside the image and channels that are neighbours in memory: [vector][pixel][channel].
cdef void stage_lanes(const fc_kernels *kernels, const Image *x, const Grid *grid, Block *block, idx c0, idx channels,
                      char *buffer) noexcept nogil

# Stage rows of some channels; where channels are neighbours in memory, a vector of them at a time.
cdef void stage_channels(const fc_kernels *kernels, char *dst, idx dst_channel, idx pitch, const Image *x, char *src,
                         idx src_h, idx src_w, idx channels, idx n_rows, idx first, idx last, idx left, idx count,
                         idx right) noexcept nogil

# Plan to ask for what stage() will copy of these channels.
cdef void look_ahead(Ahead *ahead, const Image *x, const Grid *grid, const Block *block, idx c0, idx channels,
                     idx steps, idx tiles, idx itemsize) noexcept nogil


cdef inline idx staged_offset(const Grid *grid, idx r, idx s) noexcept nogil:
    """Of a tap, from a staged block's base; residues recur with the period of the slots."""
    cdef idx slot = r % grid.slots_h * grid.slots_w + s % grid.slots_w
    return ((slot * grid.stage_rows + (grid.first_h + r * grid.apart_h - grid.min_h) // grid.step_h) * grid.stage_pitch
            + (grid.first_w + s * grid.apart_w - grid.min_w) // grid.step_w)


cdef inline idx placed_offset(const Grid *grid, const Image *x, idx r, idx s) noexcept nogil:
    """Of a tap, from the base of a block that is read where it lies."""
    return (grid.first_h + r * grid.apart_h) * x.s_h + (grid.first_w + s * grid.apart_w) * x.s_w


cdef inline void in_place(const Grid *grid, const Image *x, Block *block, idx c0, idx itemsize) noexcept nogil:
    """Address the block's pixels where they lie."""
    block.base = x.data + (block.n0 * x.s_n + c0 * x.s_c + block.p0 * grid.step_h * x.s_h
                           + block.q0 * grid.step_w * x.s_w) * itemsize
    block.s_image, block.s_row, block.s_col = x.s_n, grid.step_h * x.s_h, grid.step_w * x.s_w


cdef inline bint narrow(const Image *x) noexcept nogil:
    """Whether offsets between an image's pixels fit into 32 bits."""
    return (x.n * max(x.s_n, -x.s_n) + x.c * max(x.s_c, -x.s_c) + x.h * max(x.s_h, -x.s_h)
            + x.w * max(x.s_w, -x.s_w) < 2147483647)


cdef inline double staged_rows(const Grid *grid) noexcept nogil:
    """Rows of one channel that are staged for all images, were each plane one block."""
    return <double>grid.N * (grid.P + grid.reach_h) * grid.slots_h * grid.slots_w
