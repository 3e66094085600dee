"""Winograd's tiles: how a convolution is cut into them, and the transforms of a block of them."""

from fastconv._native.kernels cimport FC_MAX_VECS, fc_kernels, fc_plane, idx, parts, up
from fastconv._native.problem cimport Image, Problem

cdef enum:
    MOST_STRIDE = 4
    LARGE_TILES = 400         # in a block of forward that transforms its filters itself

ctypedef void (*Transform)(void *points, idx point, idx tile, const void *image, const fc_plane *plane, idx h0, idx w0,
                           idx count) noexcept nogil


cdef struct Tiled:
    # Images in tiles, and what their tiles are transformed to or from: V of x, and Z of dy or M of y. A block of it lies
    # [panel of channels][point][tile][channel of the panel].
    const Image *image
    Transform transform
    idx channels              # of a group, of every residue of the stride
    idx vecs                  # of channels of one residue
    idx stride                # whose residues are channels of their own
    idx h, w                  # size of the images, or of their residues where these are split off
    idx pad_h, pad_w          # pixels of the first tile that lie outside
    idx reach_h, reach_w      # of a tile beyond its outputs
    idx width, point, panel   # channels in a panel, which are the elements between tiles; elements between points, panels
    idx split                 # A stride whose residues are split off beforehand, as channels of their own; otherwise 1.
    idx split_top, split_left # pixels of the first of these that lie outside


cdef struct Layer:
    # A convolution in tiles. The input gradient is forward on dy with the flipped filters: x is then dy, and y is dx.
    const fc_kernels *kernels
    Tiled x, y
    idx kernel                # number of the kernels for filters of this size, and tiles
    bint upright              # Filters of one column are of one row in planes whose axes are exchanged.
    idx side, points          # of a tile, along a side and in all
    idx m_h, m_w              # outputs of a tile
    idx r, s                  # taps of a filter, of one residue of the stride
    idx n, groups
    idx dilation_h, dilation_w
    idx out_h, out_w          # size of y, or of its residues
    idx phases                # residues of x's stride in each direction, the first of which have all taps: the filters of
    idx full_phases           # the others are zero at the point at infinity
    idx phase_channels        # of each of the phases x phases residues
    idx zeros_h, zeros_w      # rows and columns of zeros before the taps of a filter
    # Tiles in a row of them, of one residue of the dilation; the segments that a band is cut into, with `cols` in each.
    idx all_cols, segments, cols
    idx bands                 # of an image, all segments
    idx residues, band_tiles  # of the dilation; tiles of all of them in a band
    idx block_bands, n_blocks # bands in a block, blocks in all
    idx tiles                 # in a block, in whole tiles of the matrix product
    double stage              # elements of x or y that are laid out anew at a time


cdef struct Run:
    # Some bands of image n, `cols` of their tiles side by side: the first is tile `tile` of the block, and begins with
    # the output at (top, left).
    idx n, bands, cols, tile
    idx top, left


# Describe the tiles of a problem; False where Winograd's filtering cannot do it.
cdef bint describe(const Problem *problem, Layer *layer) noexcept nogil

# Cut the tiles into blocks of about `target`, as many for each thread, of panels of x.width and y.width channels.
cdef void cut_blocks(Layer *layer, idx target, idx n_threads) noexcept nogil

# Of the runs that a block consists of: how many these are, and one of them.
cdef idx n_runs(const Layer *layer, idx block) noexcept nogil
cdef Run run_of(const Layer *layer, idx block, idx index) noexcept nogil
cdef idx block_tiles(const Layer *layer, idx block) noexcept nogil

# Transform the tiles of a run, a vector of channels from vec * lanes on; or of a block, all of a group's channels.
cdef void transform_run(const Layer *layer, const Tiled *tiled, idx group, idx vec, const Run *run, char *points,
                        char *stage) noexcept nogil
cdef void transform_block(const Layer *layer, const Tiled *tiled, idx group, idx block, char *points,
                          char *stage) noexcept nogil

# y of a run, a vector of channels from channel `k` on, whose M begins with channel `m_channel` of `m`.
cdef void transform_output(const Layer *layer, const char *bias, idx group, const Run *run, idx k, const char *m,
                           idx m_channel, char *stage) noexcept nogil

# Whether the filters of a residue of x's stride are zero at a point.
cdef bint is_idle(const Layer *layer, idx point, idx phase) noexcept nogil

# Whether the taps of each filter and channel lie side by side.
cdef bint has_dense_taps(const Image *w) noexcept nogil

# Copy the taps of some channels of a filter that belong to one residue of the stride, in both directions, to r x s
# side by side; or back. Before them stand zeros_h rows and zeros_w columns of zeros, which are left as they are.
cdef void copy_taps(char *side_by_side, char *w, const Image *image, idx itemsize, idx channels, idx stride,
                    idx residue, idx zeros_h, idx zeros_w, bint back) noexcept nogil


cdef inline idx point_pitch(idx size) noexcept nogil:
    """Elements between points, for so many in each: never a whole number of pages, which would have all points of a tile
    fall into one cache set."""
    return up(size, 16) + 48


cdef inline idx place(const Tiled *tiled, idx channel, idx tile) noexcept nogil:
    """Elements before the first point of a tile and channel of a block."""
    return channel // tiled.width * tiled.panel + channel % tiled.width + tile * tiled.width


cdef inline double block_size(const Layer *layer, const Tiled *tiled) noexcept nogil:
    """Elements of a block, and those that tiles of the matrix product may reach beyond its last channel."""
    return parts(tiled.channels, tiled.width) * <double>tiled.panel + FC_MAX_VECS * layer.kernels.lanes
