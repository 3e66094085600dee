"""Winograd's tiles: how a convolution is cut into them, and the transforms of a block of them."""

from fastconv._native.kernels cimport FC_MAX_VECS, fc_kernels, fc_plane, idx, parts, up
from fastconv._native.problem cimport Image, Problem
from fastconv._native.tuning cimport Tuning

cdef enum:
    MOST_STRIDE = 4

ctypedef void (*Transform)(void *points, idx point, idx tile, const void *image, const fc_plane *plane, idx h0, idx w0,
                           idx count) noexcept nogil


cdef struct Tiled:
    # Images in tiles, and what a block of their tiles is transformed to, or from: V of x; Z of dy, or M of y. It lies
    # [panel of channels][point][tile][channel of the panel].
    const Image *image
    Transform transform        # to V or Z
    idx channels               # of a group, those of every residue of the stride
    idx vecs                   # of channels of one residue
    idx stride                 # The residues of the images modulo it are channels of their own.
    idx h, w                   # of the images, or of their residues where these are split off beforehand
    idx pad_h, pad_w           # pixels of the first tile that lie outside
    idx reach_h, reach_w       # pixels that tiles see beyond those below their outputs
    idx split                  # the stride, where residues are split off beforehand; otherwise 1
    idx split_top, split_left  # pixels of the first residue that lie outside
    idx width, point, panel    # elements between tiles, which are the channels of a panel; between points, and panels


cdef struct Layer:
    # A convolution in tiles. The input gradient is forward on dy with the flipped filters: x is then dy, and y is dx.
    const fc_kernels *kernels
    const Tuning *tuning
    Tiled x, y
    idx kernel                 # number of the kernels for this size of filters and tiles
    bint upright               # Filters of one column are filters of one row in planes whose axes are exchanged.
    idx side, points           # of a tile, along a side and in all
    idx m_h, m_w               # outputs of a tile
    idx r, s                   # taps of a filter, of one residue of the stride
    idx zeros_h, zeros_w       # rows and columns of zeros before a filter's taps
    idx n, groups
    idx dilation_h, dilation_w
    idx out_h, out_w           # size of y, or of its residues
    # Residues of x's stride in each direction, and channels of each of all phases * phases. The first full_phases have
    # all taps; the filters of the others are zero at the point at infinity.
    idx phases, phase_channels, full_phases
    # Tiles in a row of them, of one residue of the dilation; segments that a band is cut into, each of `cols` tiles.
    idx all_cols, segments, cols
    idx bands                  # of an image, all segments
    idx residues, band_tiles   # of the dilation; tiles of all of them in a band
    idx block_bands, n_blocks  # bands in a block, blocks in all
    idx tiles                  # in a block, in whole tiles of the matrix product
    double stage               # elements of pixels that are laid out anew at a time


cdef struct Run:
    # Some bands of image n, `cols` tiles side by side: the first is number `tile` of the block, and begins with the
    # output at (top, left).
    idx n, bands, cols, tile
    idx top, left


# Describe the tiles of a problem, those of Winograd's filtering or, with `fourier`, of Fourier transforms; False where
# that cannot do it.
cdef bint describe(const Problem *problem, bint fourier, Layer *layer) noexcept nogil

# Cut the tiles into blocks of about `target`, as many for each thread; x.width and y.width are chosen before.
cdef void cut_blocks(Layer *layer, idx target, idx n_threads) noexcept nogil

# A block consists of runs: how many these are, one of them, and the tiles of all.
cdef idx n_runs(const Layer *layer, idx block) noexcept nogil
cdef Run run_of(const Layer *layer, idx block, idx index) noexcept nogil
cdef idx block_tiles(const Layer *layer, idx block) noexcept nogil

# Transform the tiles of a run, one vector of channels; or those of a block, all channels of a group.
cdef void transform_run(const Layer *layer, const Tiled *tiled, idx group, idx vec, const Run *run, char *points,
                        char *stage) noexcept nogil
cdef void transform_block(const Layer *layer, const Tiled *tiled, idx group, idx block, char *points,
                          char *stage) noexcept nogil

# Make y of a run and a vector of channels from k on, whose M begins at channel m_channel of `m`.
cdef void transform_output(const Layer *layer, const char *bias, idx group, const Run *run, idx k, const char *m,
                           idx m_channel, char *stage) noexcept nogil

# Whether the filters of a residue of x's stride are zero at a point.
cdef bint is_idle(const Layer *layer, idx point, idx phase) noexcept nogil

# Whether the taps of each filter and channel lie side by side.
cdef bint has_dense_taps(const Image *w) noexcept nogil

# Copy those taps of a filter and some channels that belong to a residue of the stride to r x s side by side, where
# zeros_h rows and zeros_w columns of zeros stand before them and are not written; or copy them back.
cdef void copy_taps(char *side_by_side, char *w, const Image *image, idx itemsize, idx channels, idx stride,
                    idx residue, idx zeros_h, idx zeros_w, bint back) noexcept nogil


cdef inline idx point_pitch(idx size) noexcept nogil:
    """Elements between points of `size` each. They are never a whole number of pages apart, for all points of a tile
    would then fall into one cache set."""
    return up(size, 16) + 48


cdef inline idx place(const Tiled *tiled, idx channel, idx tile) noexcept nogil:
    """Elements of a block before the first point of a channel and tile."""
    return channel // tiled.width * tiled.panel + channel % tiled.width + tile * tiled.width


cdef inline double block_size(const Layer *layer, const Tiled *tiled) noexcept nogil:
    """Elements of a block, and those beyond its last channel that tiles of the matrix product may reach."""
    return parts(tiled.channels, tiled.width) * <double>tiled.panel + FC_MAX_VECS * layer.kernels.lanes
