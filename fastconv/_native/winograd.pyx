"""The loop nests of convolution by Winograd's minimal filtering.

For filters of 2x2 to 5x5 taps, or of 3, 5 or 7 in a row or a column, and square ones of so many for each residue
of the stride.

Every tile of 6x6 pixels, or of 5x5, is transformed (V = B' x B), as is every filter (U = G w G'), and each of the
tile's points is then a matrix product of its own: over channels in forward and input gradient,
M[tile, k] = sum_c V[tile, c] U[c, k], over tiles in the weight gradient, S[k, c] = sum_tile Z[tile, k] V[tile, c],
where Z = A dy A'. The way back gives y = A' M A and dw = G' S G. Filters of a row or a column take tiles of 8 pixels
along it, and each matrix from one side.
Channels lie along the lanes, so that tiles of all images and of every residue of a dilation stand side by side in one
product.

A stride of s splits the image's pixels, and the filters' taps, by their residues modulo s: filters of R x R taps become
those of ceil(R / s) x ceil(R / s) and stride 1, which see s * s times as many channels: all channels of each residue in
turn, or in a result that is put together from its residues a vector of them. Filters of a residue that has a tap less
are zero at infinity, and there its channels are left out of the products.

Tiles come in blocks of whole bands, a band being the rows of tiles that one image's rows of outputs are cut into, as
many as a tile has times the dilation. Long bands are cut into segments, blocks of their own. A block's transformed
tiles stay in a cache.
"""

import os

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.string cimport memset

from fastconv._native.checks cimport DENSE_RESULT, READ, check_array, check_axis, check_bytes, check_convolution
from fastconv._native.kernels cimport (
    FC_LINES, FC_MAX_VECS, FC_SMALL, fc_flush_subnormals, fc_kernels, fc_plane, fc_restore_mode, idx, parts, up,
)
from fastconv._native.memory cimport LINE, give, take
from fastconv._native.problem cimport Image, as_image
from fastconv._native.runtime cimport keeps_busy, kernels_of, threads_for

cnp.import_array()

cdef enum:
    SIDE = 6                  # of a square tile
    SMALL_SIDE = 5            # the same, for 2x2 and 3x3 taps
    LENGTH = 8                # of a tile of one row or column
    TILES = 96                # in a block: all of a point's tiles of a panel stay in L1 or near it
    KEPT_BYTES = 16 << 20     # transformed filters that are kept for all blocks
    LARGE_TILES = 400         # in a block that transforms its filters itself
    FEW_TILES = 24            # in a block that is not worth the reading of all filters
    SHARED_BYTES = 64 << 20   # of V that threads share
    NEAR_BYTES = 8 << 20      # a block's V that can be read again and again: panels are then of
    NARROW = 32               # filters, whose products hardly leave L2, else of
    WIDE = 128
    # Of the weight gradient: filters in a panel, channels in a group. The sums of all 36 points stay in L2.
    FILTERS = 24
    GROUP = 128
    SLICES = 8
    SLICES_BYTES = 16 << 20   # what the sums of all slices may take
    CHUNK = 512               # channels reduced in one go
    MOST_DILATION = 1 << 30
    MOST_STRIDE = 4
    NEAR_PIXELS = 16384       # bytes of pixels, neighbours by channels, that stay in L1 with what is made of them
    LEAST_RUN = 32            # channels that are worth a product of their own


# ---- when it pays --------------------------------------------------------------------------------------------------

mode = IF_FASTER


def get_mode() -> int:
    """When convolutions are done this way: 0 never, 1 if estimated to be faster, 2 wherever possible."""
    return mode


def set_mode(int value) -> None:
    """Set that; ValueError unless it is 0, 1 or 2."""
    global mode
    if not NEVER <= value <= WHEREVER_POSSIBLE:
        raise ValueError(f"mode must be 0, 1 or 2, got {value}")
    mode = value


def _from_environment(environment):
    value = environment.get("FASTCONV_WINOGRAD") or "1"
    if value not in ("0", "1"):
        raise ValueError(f"FASTCONV_WINOGRAD must be 0 or 1, got {value!r}")
    set_mode(int(value))


_from_environment(os.environ)


cdef idx size_of(idx R, idx S, idx channels, idx stride_h, idx stride_w, idx dilation_h, idx dilation_w,
                 idx lanes) noexcept nogil:
    """Which of the kernels' sizes a residue of a filter has; -1: none, or a stride whose residues tear vectors of the
    result's channels."""
    if max(dilation_h, dilation_w) > MOST_DILATION or stride_h != stride_w or not 1 <= stride_h <= MOST_STRIDE:
        return -1
    if stride_h > 1 and (R != S or dilation_h != 1 or dilation_w != 1 or channels % lanes != 0):
        return -1
    R, S = parts(R, stride_h), parts(S, stride_h)
    if R == S and 2 <= R <= 5:
        return R - 2
    if min(R, S) == 1 and 3 <= max(R, S) <= 7 and max(R, S) % 2 == 1:
        return FC_LINES + (max(R, S) - 3) // 2
    return -1


cdef inline idx whole_phases(idx R, idx stride) noexcept nogil:
    """How many residues of the stride have as many of a filter's R taps as any."""
    return (R - 1) % stride + 1


cdef idx outputs(idx taps, idx side) noexcept nogil:
    """Of a tile of so many points along a side, along one where filters have `taps`."""
    return 1 if taps == 1 else side + 1 - taps


cdef double tiles_of(idx side, idx R, idx S, idx P, idx Q, idx dilation_h, idx dilation_w) noexcept nogil:
    """How many tiles of that side P x Q outputs are cut into."""
    return (<double>parts(P, outputs(R, side) * dilation_h) * dilation_h
            * parts(parts(Q, dilation_w), outputs(S, side)) * dilation_w)


cdef idx side_of(idx R, idx S, idx P, idx Q, idx dilation_h, idx dilation_w) noexcept nogil:
    """Points along a side of the tiles for P x Q outputs of filters of R x S taps: those of fewer points in all."""
    if min(R, S) == 1:
        return LENGTH
    if R <= 3 and (SMALL_SIDE * SMALL_SIDE * tiles_of(SMALL_SIDE, R, S, P, Q, dilation_h, dilation_w)
                   < SIDE * SIDE * tiles_of(SIDE, R, S, P, Q, dilation_h, dilation_w)):
        return SMALL_SIDE
    return SIDE


# What is done costs, in steps of the direct kernel's inner loop, a vector of multiply-adds; fitted to measured layers.
# For filters of one row or column, strides, and others; forward, input gradient and weight gradient. Where direct
# convolution, too, copies its input, that of the tiles costs nothing beyond.
cdef double[3][3][9] COSTS = [
    [[1.19, 13, 0, 57, 5.4, 0.24, 49, 22, 0], [1.19, 13, 0, 57, 5.4, 0.24, 49, 22, 0],
     [1.1, 5, 52, 107, 357, 0.12, 80, 4.3, 4.1]],
    [[1.1, 20, 190, 560, 90, 0, 0, 0, 10], [0.985, 19, 0, 580, 12, 0.13, 0, 0, 25],
     [1.13, 20, 170, 370, 990, 0, 0.75, 8.5, 0.24]],
    [[0.91, 5, 280, 640, 170, 0.78, 6.5, 0, 0], [0.91, 5, 280, 640, 170, 0.78, 6.5, 0, 0],
     [1.31, 5, 0, 640, 240, 0.32, 57, 0.63, 0]],
]


cdef int takes(int which, idx N, idx C, idx H, idx W, idx K, idx c, idx R, idx S, idx P, idx Q, idx stride_h,
               idx stride_w, idx dilation_h, idx dilation_w, idx groups, idx itemsize) noexcept:
    """The side of the tiles by which pass `which` (forward, input or weight gradient) is estimated to be faster than
    directly, or 0.

    Both estimates are sums of what is done and what it costs.
    """
    cdef const fc_kernels *kern = kernels_of(itemsize)
    if mode == NEVER or size_of(R, S, c if which == 1 else 0, stride_h, stride_w, dilation_h, dilation_w,
                                kern.lanes) < 0:
        return 0
    # Neither what is empty nor, where somebody asks by himself, what no convolution has.
    if min(N, min(H, W)) < 1 or min(K, c) < 1 or min(P, Q) < 1 or min(groups, min(dilation_h, dilation_w)) < 1:
        return 0
    cdef idx lanes = kern.lanes, s = stride_h, depth = c * s * s, filters = K // groups
    if which == 1:
        depth, filters, P, Q = filters, depth, parts(H, s), parts(W, s)
    cdef idx full = whole_phases(R, s)
    cdef double products, transforms, direct = <double>N * P * Q / lanes * c * (K // groups) * R * S
    R, S = parts(R, s), parts(S, s)
    dilation_h, dilation_w = 1 if R == 1 else dilation_h, 1 if S == 1 else dilation_w
    cdef idx taps = R * S, side = side_of(R, S, P, Q, dilation_h, dilation_w)
    if mode == WHEREVER_POSSIBLE:
        return side
    cdef double tiles = N * tiles_of(side, R, S, P, Q, dilation_h, dilation_w)
    cdef double depth_vecs = parts(depth, lanes), filter_vecs = parts(filters, lanes)
    # Rows that end within a vector cost direct convolution what its packing cannot save.
    cdef double ragged = min(2.0, <double>up(Q, lanes) / Q) - 1
    cdef const double *cost = COSTS[0 if R != S else 1 if s > 1 else 2][which]
    transforms = (cost[2] * depth_vecs + cost[3] * filter_vecs) * tiles
    if which < 2:
        products = cost[0] * depth * filter_vecs * (tiles + cost[1])
        transforms += cost[4] * filter_vecs * depth
        direct = direct * (1 + cost[5] * ragged) + (cost[7] + cost[8] * filters) * N * P * Q / lanes
    else:
        products = cost[0] * (filters + cost[1]) * depth_vecs * tiles
        transforms += cost[4] * filters * depth_vecs
        direct *= 1 + cost[5] * ragged + cost[7] / filters + cost[8] / depth
    direct += cost[6] * depth * filters * taps / lanes
    # Of the points of a side one is left out for residues that lack a tap.
    cdef double used = side - ((s - full) / <double>s if which != 1 else 0)
    # Costs of transforms are those of a tile of SIDE x SIDE.
    if side == SMALL_SIDE:
        transforms *= <double>(SMALL_SIDE * SMALL_SIDE) / (SIDE * SIDE)
    return side if (used * used if R == S else side) * products + transforms < direct else 0


cdef struct Winograd:
    const fc_kernels *kern
    idx size                     # of the filters: the kernels' number
    bint upright                 # filters of one column
    idx side, points             # of a tile, along a side and in all
    idx m_h, m_w                 # its outputs
    idx taps
    idx G, C, K                  # of a group: channels of x, filters; of every residue of the stride
    idx N, H, W                  # images, size of x
    idx P, Q                     # size of y, or of its residues
    idx x_stride, y_stride       # one of which is 1
    idx phases, phase_channels   # of x's stride, in each direction; channels of each of them squared
    idx full                     # phases whose filters have all taps: the others' are zero at infinity
    idx split                    # a stride whose residues are channels of an x split into them, zeros around it;
    idx split_top, split_left    # 1: none; and the pixels of its first residue that lie outside
    idx c_parts                  # vectors of x's channels
    idx y_h, y_w                 # size of y
    idx y_top, y_left            # pixels of its first residue that lie outside
    idx pad_h, pad_w, dilation_h, dilation_w
    idx reach_h, reach_w         # what a filter sees beyond a pixel
    idx all_cols                 # tiles side by side, of each residue of the dilation
    idx segments, cols           # that a band is cut into, and their tiles side by side
    idx bands                    # of an image, all segments
    idx residues, band_tiles     # of the dilation; tiles of all of them
    idx block_bands, n_blocks, tiles
    idx wide, panels             # filters in a panel of the product; panels of a group
    idx unit                     # filters in a tile of the product
    idx c_lanes, k_lanes         # channels and filters, in whole vectors
    # A block's tiles lie [panel][point][tile][channel of the panel]: elements between tiles, points and panels.
    idx c_tile, c_point, c_panel
    idx k_tile, k_point, k_panel
    # Weight gradient: pairs of a group of channels, some panels wide, and a panel of filters, each with its S.
    idx k_panels, pairs, s_point, s_unit
    idx group
    size_t s_size, c_size, k_size, stage_size


cdef struct Run:
    # Some bands of one image, `cols` of their tiles side by side, the tile of the block that the first begins with; and
    # the output that this tile begins with.
    idx n, bands, cols, tile
    idx top, left


cdef idx point_pitch(idx size) noexcept nogil:
    # Never a whole number of pages apart: all points of a tile would fall into one cache set.
    return up(size, 16) + 48


cdef void plan(Winograd *j, idx target, idx threads) noexcept:
    """Cut the tiles into blocks of about `target`, as many for each thread."""
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes
    if j.band_tiles > 2 * target:
        j.cols = parts(j.all_cols, parts(j.band_tiles, target))
        j.segments = parts(j.all_cols, j.cols)
        j.bands *= j.segments
        j.band_tiles = j.cols * j.residues
    cdef idx all_bands = j.N * j.bands
    j.block_bands = max(1, min(all_bands, target // j.band_tiles)) if j.segments == 1 else 1
    j.n_blocks = parts(all_bands, j.block_bands)
    if j.n_blocks > 1:
        j.n_blocks = min(all_bands, up(j.n_blocks, threads))
    j.block_bands = parts(all_bands, j.n_blocks)
    j.n_blocks = parts(all_bands, j.block_bands)
    j.tiles = up(j.block_bands * j.band_tiles, j.kern.product.gemm_rows)
    j.c_point = point_pitch(j.tiles * j.c_tile)
    j.c_panel = j.points * j.c_point
    j.k_point = point_pitch(j.tiles * j.k_tile)
    j.k_panel = j.points * j.k_point
    cdef idx s = j.x_stride * j.y_stride
    cdef idx rows = s * (j.block_bands * j.m_h * j.dilation_h + j.reach_h)
    cdef idx width = s * (j.cols * j.m_w * j.dilation_w + j.reach_w)
    j.stage_size = up(max(min(rows, j.H) * min(width, j.W) * (1 if j.split == 1 else 2),
                          min(rows, j.y_h) * min(width, j.y_w)) * lanes * z, LINE)
    # Tiles of the product may reach past the last filter.
    j.c_size = up((parts(j.c_lanes, j.c_tile) * j.c_panel + FC_MAX_VECS * lanes) * z, LINE)
    j.k_size = up((parts(j.k_lanes, j.k_tile) * j.k_panel + FC_MAX_VECS * lanes) * z, LINE)


cdef idx n_runs(const Winograd *j, idx block) noexcept nogil:
    cdef idx first = block * j.block_bands, last = min(j.N * j.bands, first + j.block_bands) - 1
    return last // j.bands - first // j.bands + 1


cdef idx most_runs(const Winograd *j) noexcept nogil:
    return min(j.N, (j.block_bands + j.bands - 2) // j.bands + 1)


cdef Run run_of(const Winograd *j, idx block, idx index) noexcept nogil:
    cdef idx first = block * j.block_bands, last = min(j.N * j.bands, first + j.block_bands)
    cdef Run run
    run.n = first // j.bands + index
    cdef idx start = max(first, run.n * j.bands)
    cdef idx band = start - run.n * j.bands
    cdef idx col = band % j.segments * j.cols
    run.bands = min(last, (run.n + 1) * j.bands) - start
    run.cols = min(j.cols, j.all_cols - col)
    run.tile = (start - first) * j.band_tiles
    run.top, run.left = band // j.segments * j.m_h * j.dilation_h, col * j.m_w * j.dilation_w
    return run


cdef idx block_tiles(const Winograd *j, idx block) noexcept nogil:
    # Segments are blocks of their own.
    return min(j.block_bands, j.N * j.bands - block * j.block_bands) * run_of(j, block, 0).cols * j.residues


cdef void span(idx at, idx size, idx limit, idx *first, idx *last) noexcept nogil:
    first[0] = max(0, min(limit, at))
    last[0] = max(first[0], min(limit, at + size))


cdef void place_tiles(const Winograd *j, fc_plane *plane, idx h, idx w, idx stride) noexcept nogil:
    """The plane of h x w pixels as its tiles' kernels see it."""
    plane.h, plane.w, plane.dilation_h, plane.dilation_w = h, w, stride * j.dilation_h, stride * j.dilation_w
    plane.step_h, plane.step_w = 0, stride * j.m_w * j.dilation_w
    if j.upright:
        plane.h, plane.w, plane.dilation_h, plane.dilation_w = w, h, j.dilation_w, j.dilation_h
        plane.row, plane.col = plane.col, plane.row
        plane.step_h, plane.step_w = plane.step_w, plane.step_h


cdef const char *lay(const Winograd *j, const Image *x, idx n, idx c0, idx channels, idx top, idx bottom, idx left,
                     idx right, idx stride, char *buffer, fc_plane *plane) noexcept nogil:
    """A vector of channels of a part of image n, channels along the lanes: in place or in `buffer`."""
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes, h = bottom - top, w = right - left, i
    cdef const char *data = x.data + (n * x.s_n + c0 * x.s_c + top * x.s_h + left * x.s_w) * z
    if x.s_c == 1 and c0 + lanes <= x.c:
        plane.row, plane.col = x.s_h, x.s_w
    else:
        plane.row, plane.col = w * lanes, lanes
        if x.s_h == w * x.s_w:
            j.kern.move.transpose(buffer, lanes, data, x.s_c, x.s_w, channels, h * w)
        else:
            for i in range(h):
                j.kern.move.transpose(buffer + i * w * lanes * z, lanes, data + i * x.s_h * z, x.s_c, x.s_w, channels, w)
        data = buffer
    place_tiles(j, plane, h, w, stride)
    return data


cdef const char *lay_split(const Winograd *j, const Image *x, idx n, idx g, idx pair0, idx top, idx bottom, idx left,
                           idx right, char *buffer, fc_plane *plane) noexcept nogil:
    """A vector of (residue of the stride, channel) pairs of a part of image n, along the lanes in `buffer`."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, lanes = kern.lanes, s = j.split, h = bottom - top, w = right - left, i, c, h0, w0
    cdef idx pairs = min(lanes, j.C - pair0), first, last, begin, end, at
    cdef char *rows = buffer + h * w * lanes * z
    for i in range(pairs):
        c = g * j.phase_channels + (pair0 + i) % j.phase_channels
        h0 = s * top + (pair0 + i) // j.phase_channels // s - j.split_top
        w0 = s * left + (pair0 + i) // j.phase_channels % s - j.split_left
        first = min(h, parts(-h0, s)) if h0 < 0 else 0
        last = max(first, min(h, parts(x.h - h0, s))) if x.h > h0 else first
        begin = min(w, parts(-w0, s)) if w0 < 0 else 0
        end = max(begin, min(w, parts(x.w - w0, s))) if x.w > w0 else begin
        if begin == end:
            first = last = h
        # Of a pixel outside of the image there may be no address.
        at = (h0 + first * s) * x.s_h + (w0 + begin * s) * x.s_w if first < last else 0
        kern.move.stage(rows + i * h * w * z, w, x.data + (n * x.s_n + c * x.s_c + at) * z, s * x.s_h, s * x.s_w, h, first,
                   last, begin, end - begin, w - end, 0)
    kern.move.transpose(buffer, lanes, rows, h * w, 1, pairs, h * w)
    plane.row, plane.col = w * lanes, lanes
    place_tiles(j, plane, h, w, 1)
    return buffer


cdef void transform_input(const Winograd *j, const Image *x, idx g, idx part, Run run, char *v,
                          char *buffer) noexcept nogil:
    """V of a vector of channels and a run of bands."""
    cdef const fc_kernels *kern = j.kern
    cdef unsigned mode = fc_flush_subnormals()
    cdef idx z = kern.itemsize, s = j.x_stride, c0 = part * kern.lanes, C = j.C // (s * s)
    cdef idx band, a, b, e, c, h, w, top, bottom, left, right
    cdef idx tile = run.tile, h0 = s * run.top - j.pad_h, w0 = s * run.left - j.pad_w
    span(h0, s * (run.bands * j.m_h * j.dilation_h + j.reach_h), j.H, &top, &bottom)
    span(w0, s * (run.cols * j.m_w * j.dilation_w + j.reach_w), j.W, &left, &right)
    cdef fc_plane plane
    cdef const char *data
    if j.split > 1:
        data = lay_split(j, x, run.n, g, c0, top, bottom, left, right, buffer, &plane)
    else:
        data = lay(j, x, run.n, g * C + c0, min(kern.lanes, C - c0), top, bottom, left, right, s, buffer, &plane)
    for band in range(run.bands):
        for a in range(j.dilation_h):
            for b in range(j.dilation_w):
                for e in range(s * s):
                    c = e * C + c0
                    h = h0 + s * (band * j.m_h * j.dilation_h + a) + e // s - top
                    w = w0 + s * b + e % s - left
                    kern.winograd.input[(j.size >= FC_SMALL) + (j.size >= FC_LINES)](
                        v + (c // j.c_tile * j.c_panel + c % j.c_tile + tile * j.c_tile) * z, j.c_point, j.c_tile,
                        data, &plane, w if j.upright else h, h if j.upright else w, run.cols)
                tile += run.cols
    fc_restore_mode(mode)


cdef void transform_output_gradient(const Winograd *j, const Image *dy, idx g, idx part, Run run, char *v,
                                    char *buffer) noexcept nogil:
    """Z of a vector of filters and a run of bands."""
    cdef const fc_kernels *kern = j.kern
    cdef unsigned mode = fc_flush_subnormals()
    cdef idx z = kern.itemsize, k0 = part * kern.lanes, band, a, b, h, bottom, right
    bottom = min(j.P, run.top + run.bands * j.m_h * j.dilation_h)
    right = min(j.Q, run.left + run.cols * j.m_w * j.dilation_w)
    cdef fc_plane plane
    cdef const char *data = lay(j, dy, run.n, g * j.K + k0, min(kern.lanes, j.K - k0), run.top, bottom, run.left,
                                right, 1, buffer, &plane)
    v += (k0 // j.k_tile * j.k_panel + k0 % j.k_tile + run.tile * j.k_tile) * z
    for band in range(run.bands):
        for a in range(j.dilation_h):
            h = band * j.m_h * j.dilation_h + a
            for b in range(j.dilation_w):
                kern.winograd.output_gradient[j.size](v, j.k_point, j.k_tile, data, &plane, b if j.upright else h,
                                             h if j.upright else b, run.cols)
                v += run.cols * j.k_tile * z
    fc_restore_mode(mode)


cdef void fetch_seen(const Winograd *j, const Image *x, bint gradient, const Run *run, idx part,
                     idx n_parts) noexcept nogil:
    """Bring near one of the parts of the columns that a run's tiles see, all channels of each."""
    cdef idx s = 1 if gradient else j.x_stride, reach_h = 0, reach_w = 0, pad_h = 0, pad_w = 0
    cdef idx top, bottom, left, right, first
    if not gradient:
        reach_h, reach_w, pad_h, pad_w = j.reach_h, j.reach_w, j.pad_h, j.pad_w
    span(s * run.top - pad_h, s * (run.bands * j.m_h * j.dilation_h + reach_h), x.h, &top, &bottom)
    span(s * run.left - pad_w, s * (run.cols * j.m_w * j.dilation_w + reach_w), x.w, &left, &right)
    first = left + (right - left) * part // n_parts
    right = left + (right - left) * (part + 1) // n_parts
    j.kern.move.fetch(x.data + (run.n * x.s_n + top * x.s_h + first * x.s_w) * j.kern.itemsize, x.s_h, bottom - top,
                 (right - first) * x.s_w)


cdef void transform_block(const Winograd *j, const Image *x, idx g, idx block, bint gradient, char *v,
                          char *buffer) noexcept nogil:
    """V of a block, or Z if x is the output's gradient."""
    cdef idx n_parts = j.k_lanes // j.kern.lanes if gradient else j.c_parts, s = 1 if gradient else j.x_stride
    cdef idx runs = n_runs(j, block), i, part, cols, height = j.m_h * j.dilation_h
    cdef idx tile_bytes = s * s * (height + j.reach_h) * j.m_w * n_parts * j.kern.lanes * j.kern.itemsize
    cdef Run run, piece, next
    if x.s_c != 1 or x.c < j.kern.lanes or not gradient and j.split > 1:
        for i in range(runs * n_parts):
            if gradient:
                transform_output_gradient(j, x, g, i // runs, run_of(j, block, i % runs), v, buffer)
            else:
                transform_input(j, x, g, i // runs, run_of(j, block, i % runs), v, buffer)
        return
    # Vectors of channels that are neighbours in memory share lines. So all channels of a few tiles' pixels are taken
    # while these are in L1, and those of the next tiles come near meanwhile.
    for i in range(runs):
        run = run_of(j, block, i)
        cols = run.cols
        if j.residues == 1:
            cols = parts(cols, parts(cols, max(1, NEAR_PIXELS // tile_bytes)))
        piece = run
        piece.bands, piece.cols = 1, min(cols, run.cols)
        while piece.top < run.top + run.bands * height:
            next = piece
            next.tile += piece.cols * j.residues
            next.left += piece.cols * j.m_w
            next.cols = min(cols, run.left // j.m_w + run.cols - next.left // j.m_w)
            if next.cols <= 0:
                next.left, next.cols = run.left, min(cols, run.cols)
                next.top += height
            for part in range(n_parts):
                if gradient:
                    transform_output_gradient(j, x, g, part, piece, v, buffer)
                else:
                    transform_input(j, x, g, part, piece, v, buffer)
                if j.G == 1:
                    fetch_seen(j, x, gradient, &next, part, n_parts)
            piece = next


cdef void transform_output(const Winograd *j, const Image *y, const char *bias, idx g, idx block, idx k0, idx vec,
                           idx run_index, const char *t, char *buffer) noexcept nogil:
    """y of a vector of its channels, from k0 on, and a run of bands, from vectors `vec` ... of t."""
    cdef const fc_kernels *kern = j.kern
    cdef unsigned mode = fc_flush_subnormals()
    cdef idx z = kern.itemsize, lanes = kern.lanes, s = j.y_stride, K = j.K // (s * s), band, a, b, e, k, h, w, i
    cdef Run run = run_of(j, block, run_index)
    cdef idx tile = run.tile, h0 = s * run.top - j.y_top, w0 = s * run.left - j.y_left, top, bottom, left, right
    span(h0, s * run.bands * j.m_h * j.dilation_h, j.y_h, &top, &bottom)
    span(w0, s * run.cols * j.m_w * j.dilation_w, j.y_w, &left, &right)
    cdef idx rows = bottom - top, width = right - left
    cdef fc_plane plane
    plane.row, plane.col = width * lanes, lanes
    place_tiles(j, &plane, rows, width, s)
    if bias != NULL:
        bias += (g * j.k_lanes + k0) * z
    for band in range(run.bands):
        for a in range(j.dilation_h):
            for b in range(j.dilation_w):
                for e in range(s * s):
                    k = (vec + e) * lanes
                    h = h0 + s * (band * j.m_h * j.dilation_h + a) + e // s - top
                    w = w0 + s * b + e % s - left
                    kern.winograd.output[j.size](
                        buffer, &plane, w if j.upright else h, h if j.upright else w, run.cols,
                        t + (k // j.unit * j.k_panel + k % j.unit + tile * j.unit) * z, j.k_point, j.unit, bias)
                tile += run.cols
    cdef char *to = y.data + (run.n * y.s_n + (g * K + k0) * y.s_c + top * j.y_w + left) * z
    cdef idx pieces = 1 if width == j.y_w else rows
    for i in range(pieces):
        kern.move.untranspose(to + i * j.y_w * z, y.s_c, buffer + i * width * lanes * z, lanes, min(lanes, K - k0),
                         rows // pieces * width)
    fc_restore_mode(mode)


# ---- forward and input gradient ------------------------------------------------------------------------------------

cdef struct Filters:
    const char *data
    const char *end
    idx group, filter, channel   # elements between
    bint flip
    # U: [group][panel][point][channel][filter of the panel], of a chunk of channels if not kept
    char *u
    bint kept
    idx point
    size_t panel_size


cdef idx panel_width(const Winograd *j, idx panel) noexcept nogil:
    return min(j.wide, j.k_lanes - panel * j.wide)


cdef void transform_filters(const Winograd *j, const Filters *w, idx g, idx panel, char *u) noexcept nogil:
    """U of a panel."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, lanes = kern.lanes, width = panel_width(j, panel), k0 = panel * j.wide
    cdef idx n, c, i, k, depth
    for n in range(parts(width, j.unit)):
        c = 0
        while c < j.C:
            # A few channels at a time, so that whole lines are written together.
            depth = min(8, j.C - c)
            for i in range(min(j.unit, width - n * j.unit) // lanes):
                k = k0 + n * j.unit + i * lanes
                kern.winograd.filters[j.size](
                    u + ((n * j.C + c) * j.unit + i * lanes) * z, w.point, j.unit,
                    w.data + (g * w.group + k * w.filter + c * w.channel) * z, w.filter, w.channel,
                    min(lanes, j.K - k), depth, w.flip, w.end)
            c += depth


cdef inline bint idle(const Winograd *j, idx point, idx phase) noexcept nogil:
    """Whether a residue's filters are zero at a point of a square tile: at infinity, where they lack the last tap."""
    return (point // j.side == j.side - 1 and phase // j.phases >= j.full
            or point % j.side == j.side - 1 and phase % j.phases >= j.full)


cdef idx runs_of_channels(const Winograd *j, idx point, idx *first, idx *last) noexcept nogil:
    """The runs of channels whose filters are not zero at a point."""
    cdef idx n = 0, phase
    for phase in range(j.phases * j.phases):
        if j.full < j.phases and idle(j, point, phase):
            # Short runs are not worth it, but for what is left out at the end.
            if j.phase_channels >= LEAST_RUN or phase // j.phases >= j.full and point // j.side == j.side - 1:
                continue
        if n == 0 or last[n - 1] < phase * j.phase_channels:
            first[n] = phase * j.phase_channels
            n += 1
        last[n - 1] = (phase + 1) * j.phase_channels
    return n


cdef void gather_panel(const Winograd *j, const Filters *w, const Image *y, const char *bias, idx g, idx block,
                       idx panel, const char *v, char *scratch) noexcept nogil:
    """One panel of filters of a block of tiles, whose V is there."""
    cdef const fc_kernels *kern = j.kern
    cdef unsigned mode = fc_flush_subnormals()
    cdef idx z = kern.itemsize, lanes = kern.lanes, width = panel_width(j, panel)
    cdef idx tiles = block_tiles(j, block), runs = n_runs(j, block), phases = j.y_stride * j.y_stride
    cdef idx c, depth, point, n, i, vecs, run, n_runs_c
    cdef idx[MOST_STRIDE * MOST_STRIDE] first
    cdef idx[MOST_STRIDE * MOST_STRIDE] last
    cdef const char *a
    cdef const char *b
    cdef char *t = scratch
    cdef char *to
    cdef char *buffer = t + j.k_size
    cdef char *u = buffer + j.stage_size
    if w.kept:
        u = w.u + (g * j.panels + panel) * w.panel_size
    else:
        transform_filters(j, w, g, panel, u)
    for point in range(j.points):
        n_runs_c = runs_of_channels(j, point, first, last)
        for n in range(parts(width, j.unit)):
            vecs = min(j.unit, width - n * j.unit) // lanes
            to = t + (n * j.k_panel + point * j.k_point) * z
            for run in range(n_runs_c):
                c = first[run]
                while c < last[run]:
                    depth = min(j.c_tile - c % j.c_tile, last[run] - c)
                    a = v + (c // j.c_tile * j.c_panel + point * j.c_point + c % j.c_tile) * z
                    b = u + (point * w.point + (n * j.C + c) * j.unit) * z
                    kern.product.gemm[vecs - 1](tiles, depth, a, j.c_tile, 1, b, j.unit, to, j.unit, c > first[0])
                    c += depth
    for n in range(width // lanes // phases):
        for i in range(runs):
            transform_output(j, y, bias, g, block, panel * j.wide // phases + n * lanes, n * phases, i, t, buffer)
    fc_restore_mode(mode)


cdef void gather_block(const Winograd *j, const Filters *w, const Image *x, const Image *y, const char *bias, idx task,
                       char *scratch) noexcept nogil:
    cdef idx g = task // j.n_blocks, block = task % j.n_blocks, i
    cdef char *v = scratch
    cdef char *rest = v + j.c_size
    transform_block(j, x, g, block, False, v, rest)
    for i in range(j.panels):
        gather_panel(j, w, y, bias, g, block, i, v, rest)


cdef void transform_shared(const Winograd *j, const Image *x, idx g, idx first, idx task, char *v,
                           char *buffer) noexcept nogil:
    """One of the parts of V of some blocks, from `first` on, that threads share."""
    cdef idx runs = most_runs(j), run = task % runs, part = task // runs % j.c_parts, block = task // runs // j.c_parts
    if run < n_runs(j, first + block):
        transform_input(j, x, g, part, run_of(j, first + block, run), v + block * j.c_size, buffer)


cdef int gather(Winograd *j, const Image *x, const Image *y, Filters *w, const char *bias) except -1:
    """y = A' [U V] A: forward on x and w, or the input gradient on dy and the flipped w."""
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes
    cdef idx g, i, task, first, here
    j.unit = min(j.kern.product.gemm_vecs * lanes, j.k_lanes)
    cdef double all_tiles = <double>j.N * j.bands * j.band_tiles
    cdef int n_threads = threads_for(j.G * j.K * j.C * j.points * all_tiles,
                                     j.G * j.N * j.bands * parts(j.k_lanes, j.unit))
    w.kept = j.points * j.C * j.k_lanes * z <= KEPT_BYTES
    # Threads take blocks by themselves; or they share some blocks' V and take panels of filters of each.
    cdef bint shared = n_threads > 1 and (not w.kept or j.G * all_tiles < FEW_TILES * <double>n_threads)
    cdef idx target = TILES if w.kept else LARGE_TILES
    if shared:
        j.unit = min(j.unit, up(max(2 * lanes, parts(j.k_lanes, n_threads)), lanes))
        if w.kept:
            target = max(FEW_TILES, <idx>all_tiles // parts(2 * n_threads, parts(j.k_lanes, max(NARROW, j.unit))))
    j.c_tile, j.k_tile = up(parts(j.C, parts(j.C, CHUNK)), lanes), j.unit
    plan(j, target, n_threads if w.kept and not shared else 1)
    w.kept &= j.n_blocks > 1
    shared |= not keeps_busy(j.G * j.n_blocks, n_threads)
    # Whole tiles of the product, and whole vectors of y's channels, of every residue.
    cdef idx least = j.y_stride * j.y_stride * lanes, step = least
    while step % j.unit != 0:
        step += least
    # Every panel reads all of V again.
    j.wide = up(WIDE if j.c_size > NEAR_BYTES else NARROW, step)
    j.wide = min(j.wide, up(j.k_lanes if w.kept or not shared else parts(j.k_lanes, n_threads), step))
    j.panels = parts(j.k_lanes, j.wide)
    # Blocks whose V is there at a time.
    cdef idx together = max(1, min(j.n_blocks, SHARED_BYTES // <idx>j.c_size)) if w.kept else 1
    cdef idx times = parts(j.n_blocks, together)
    w.point = point_pitch(j.C * j.wide)
    w.panel_size = up(j.points * w.point * z, LINE)
    j.k_size = up(j.wide // j.unit * j.k_panel * z, LINE)
    cdef size_t u_size = j.G * j.panels * w.panel_size if w.kept else 0, bias_size = up(j.G * j.k_lanes * z, LINE)
    cdef size_t each = j.k_size + j.stage_size + (0 if w.kept else w.panel_size) + (0 if shared else j.c_size)
    cdef size_t size = u_size + bias_size + n_threads * each + (together * j.c_size if shared else 0)
    w.u = <char *>take(size)
    cdef char *padded = w.u + u_size
    cdef char *scratch = padded + bias_size
    cdef char *v = scratch + n_threads * each
    if bias != NULL:
        memset(padded, 0, bias_size)
        for g in range(j.G):
            for i in range(j.K * z):
                padded[g * j.k_lanes * z + i] = bias[g * j.K * z + i]
        bias = padded
    with nogil:
        if n_threads == 1:
            if w.kept:
                for task in range(j.G * j.panels):
                    transform_filters(j, w, task // j.panels, task % j.panels, w.u + task * w.panel_size)
            for task in range(j.G * j.n_blocks):
                gather_block(j, w, x, y, bias, task, scratch)
        else:
            if w.kept:
                for task in prange(j.G * j.panels, num_threads=n_threads, schedule="dynamic"):
                    transform_filters(j, w, task // j.panels, task % j.panels, w.u + task * w.panel_size)
            if not shared:
                for task in prange(j.G * j.n_blocks, num_threads=n_threads, schedule="dynamic"):
                    gather_block(j, w, x, y, bias, task, scratch + threadid() * each)
            else:
                for i in range(j.G * times):
                    g, first = i // times, i % times * together
                    here = min(together, j.n_blocks - first)
                    for task in prange(here * most_runs(j) * j.c_parts, num_threads=n_threads, schedule="dynamic"):
                        transform_shared(j, x, g, first, task, v, scratch + threadid() * each)
                    for task in prange(here * j.panels, num_threads=n_threads, schedule="dynamic"):
                        gather_panel(j, w, y, bias, g, first + task % here, task // here, v + task % here * j.c_size,
                                     scratch + threadid() * each)
    give(w.u, size)
    return 0


cdef int prepare(Winograd *j, cnp.ndarray x, cnp.ndarray y, idx channels, idx filters, idx R, idx S, idx x_stride,
                 idx y_stride, idx pad_h, idx pad_w, idx dilation_h, idx dilation_w) except -1:
    """What the three passes share: the size of tiles and of what they are cut from.

    V is made of x's `channels`, with a stride of x_stride; where y is the result, it has `filters` and y_stride.
    """
    cdef idx s = x_stride * y_stride
    j.kern = kernels_of(cnp.PyArray_ITEMSIZE(x))
    j.size = size_of(R, S, filters if y_stride > 1 else 0, s, s, dilation_h, dilation_w, j.kern.lanes)
    if j.size < 0:
        raise ValueError(
            "filters must be of 2x2 to 5x5 taps for each residue of the stride, or of 3, 5 or 7 in a row or column, "
            f"and with a stride a result must have vectors of {j.kern.lanes} channels, and there must be no dilation, "
            f"got {R}x{S}, stride {s}, {filters} channels of the result and dilation {dilation_h}, {dilation_w}")
    cdef idx taps_h = R
    R, S = parts(R, s), parts(S, s)
    j.upright = S == 1
    j.taps = R * S
    j.x_stride, j.y_stride, j.split = x_stride, y_stride, 1
    j.C, j.K = channels * x_stride * x_stride, filters * y_stride * y_stride
    j.N, j.H, j.W, j.y_h, j.y_w = y.shape[0], x.shape[2], x.shape[3], y.shape[2], y.shape[3]
    # The first residues that y has a pixel of.
    j.y_top, j.y_left = pad_h % y_stride, pad_w % y_stride
    j.P, j.Q = parts(j.y_h + j.y_top, y_stride), parts(j.y_w + j.y_left, y_stride)
    if y_stride > 1:
        pad_h, pad_w = R - 1 - pad_h // s, S - 1 - pad_w // s
    j.pad_h, j.pad_w, j.reach_h, j.reach_w = pad_h, pad_w, (R - 1) * dilation_h, (S - 1) * dilation_w
    # What has no second tap has no dilation.
    j.dilation_h, j.dilation_w = 1 if R == 1 else dilation_h, 1 if S == 1 else dilation_w
    j.side = side_of(R, S, parts(j.y_h, y_stride), parts(j.y_w, y_stride), j.dilation_h, j.dilation_w)
    if j.side == SMALL_SIDE:
        j.size += FC_SMALL
    j.points = LENGTH if j.size >= FC_LINES else j.side * j.side
    j.m_h, j.m_w = outputs(R, j.side), outputs(S, j.side)
    j.residues = j.dilation_h * j.dilation_w
    j.all_cols = parts(parts(j.Q, j.dilation_w), j.m_w)
    j.bands, j.segments, j.cols = parts(j.P, j.m_h * j.dilation_h), 1, j.all_cols
    j.band_tiles = j.cols * j.residues
    j.c_lanes, j.k_lanes = up(j.C, j.kern.lanes), up(j.K, j.kern.lanes)
    j.phases, j.phase_channels, j.full = x_stride, channels, whole_phases(taps_h, x_stride)
    # Where residues would tear vectors of channels, x is split by them beforehand, and has the channels of all.
    if x_stride > 1 and channels % j.kern.lanes != 0:
        j.split, j.x_stride, j.split_top, j.split_left = x_stride, 1, pad_h, pad_w
        j.H, j.W, j.pad_h, j.pad_w = j.P + j.reach_h, j.Q + j.reach_w, 0, 0
    j.c_parts = j.c_lanes // j.kern.lanes // (j.x_stride * j.x_stride)
    # Blocks are a band at the least, on every thread.
    check_bytes(4096.0 * 2 * j.points * (<double>j.cols * j.dilation_h * j.dilation_w + LARGE_TILES)
                * (j.c_lanes + j.k_lanes) * j.kern.itemsize)
    return 0


ctypedef fused real:
    float
    double


cdef void part_filter(real *w, real *parted, idx channels, idx R, idx stride, idx run, bint back, idx lead_h,
                      idx lead_w) noexcept nogil:
    """The taps of each residue of the stride by themselves, ceil(R / stride) a side, those that w has not zero, lead_h
    and lead_w before the first among them; or, `back`, w from that: of R x R taps of each channel, those of each
    residue of `run` channels after the other."""
    cdef idx r = parts(R, stride), c, i, k, row, col
    cdef real *to
    if not back:
        memset(parted, 0, channels * stride * stride * r * r * sizeof(real))
    for c in range(channels):
        for i in range(R):
            row = i + lead_h
            to = parted + (((c // run * stride + row % stride) * stride * run + c % run) * r + row // stride) * r
            for k in range(R):
                col = k + lead_w
                if back:
                    w[k] = to[col % stride * run * r * r + col // stride]
                else:
                    to[col % stride * run * r * r + col // stride] = w[k]
            w += R


cdef cnp.ndarray part_filters(cnp.ndarray w, idx stride, idx run, cnp.ndarray parted, idx lead_h=0, idx lead_w=0):
    """w in (K, C / run * stride * stride * run, r, r), or, if that is given, back from there."""
    cdef idx z = cnp.PyArray_ITEMSIZE(w), r = parts(w.shape[2], stride), K = w.shape[0]
    cdef idx C = w.shape[1], R = w.shape[2], k
    cdef bint back = parted is not None
    cdef cnp.npy_intp[4] shape = [K, C * stride * stride, r, r]
    if not back:
        w = cnp.PyArray_GETCONTIGUOUS(w)
        parted = cnp.PyArray_EMPTY(4, shape, cnp.PyArray_TYPE(w), False)
    cdef char *data = <char *>cnp.PyArray_DATA(w)
    cdef char *to = <char *>cnp.PyArray_DATA(parted)
    cdef int n_threads = threads_for(8.0 * K * C * R * R, K)
    for k in prange(K, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        if z == 4:
            part_filter(<float *>data + k * C * R * R, <float *>to + k * shape[1] * r * r, C, R, stride, run, back,
                        lead_h, lead_w)
        else:
            part_filter(<double *>data + k * C * R * R, <double *>to + k * shape[1] * r * r, C, R, stride, run, back,
                        lead_h, lead_w)
    return parted


cdef idx lead(idx R, idx stride, idx pad) noexcept:
    """Zeros before a filter's taps by which each residue of dx begins with its first pixel, where they fit in."""
    cdef idx zeros = (stride - pad % stride) % stride
    return zeros if parts(R + zeros, stride) == parts(R, stride) else 0


cdef cnp.ndarray dense_taps(cnp.ndarray w, idx stride, idx run, idx lead_h=0, idx lead_w=0):
    """w, or a copy whose taps, of each residue of the stride of `run` channels, lie side by side."""
    if stride > 1:
        return part_filters(w, stride, run, None, lead_h, lead_w)
    if w.strides[3] == w.itemsize and w.strides[2] == w.shape[3] * w.itemsize:
        return w
    return w.copy()


cpdef forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx stride, idx pad_h, idx pad_w,
              idx dilation_h, idx dilation_w, idx groups):
    """y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n, c, p*stride + r*dilation_h - pad_h, ...]: equation 12.3."""
    cdef Winograd j
    cdef Filters u
    cdef Image image_x, image_y, f
    check_convolution(x, READ, w, READ, y, DENSE_RESULT, stride, stride, pad_h, pad_w, dilation_h, dilation_w, groups)
    if b is not None:
        check_array(b, "b", 1, cnp.PyArray_TYPE(x), READ)
        check_axis(b, "b", 0, w.shape[0])
    as_image(x, &image_x)
    as_image(y, &image_y)
    if image_y.n * image_y.h * image_y.w == 0:
        return
    j.G = groups
    prepare(&j, x, y, w.shape[1], w.shape[0] // groups, w.shape[2], w.shape[3], stride, 1, pad_h, pad_w, dilation_h,
            dilation_w)
    w = dense_taps(w, stride, w.shape[1])
    as_image(w, &f)
    u.data, u.end, u.flip = f.data, f.end, False
    u.group, u.filter, u.channel = j.K * f.s_n, f.s_n, f.s_c
    if b is not None and not cnp.PyArray_IS_C_CONTIGUOUS(b):
        b = b.copy()
    gather(&j, &image_x, &image_y, &u, <const char *>cnp.PyArray_DATA(b) if b is not None else NULL)


cpdef input_gradient(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx stride, idx pad_h, idx pad_w, idx dilation_h,
                     idx dilation_w, idx groups):
    """dx = forward on dy with the flipped kernel, and channels and filters exchanged: equation 12.6. `dx` is dense."""
    cdef Winograd j
    cdef Filters u
    cdef Image image_x, image_y, f
    check_convolution(dx, DENSE_RESULT, w, READ, dy, READ, stride, stride, pad_h, pad_w, dilation_h, dilation_w, groups)
    as_image(dy, &image_x)
    as_image(dx, &image_y)
    if image_y.n * image_y.h * image_y.w == 0:
        return
    j.G = groups
    cdef idx lead_h = lead(w.shape[2], stride, pad_h), lead_w = lead(w.shape[3], stride, pad_w)
    if stride == 1:
        pad_h, pad_w = (w.shape[2] - 1) * dilation_h - pad_h, (w.shape[3] - 1) * dilation_w - pad_w
    else:
        pad_h, pad_w = pad_h + lead_h, pad_w + lead_w
    prepare(&j, dy, dx, w.shape[0] // groups, w.shape[1], w.shape[2], w.shape[3], 1, stride, pad_h, pad_w, dilation_h,
            dilation_w)
    w = dense_taps(w, stride, j.kern.lanes, lead_h, lead_w)
    as_image(w, &f)
    u.data, u.end, u.flip = f.data, f.end, True
    u.group, u.filter, u.channel = j.C * f.s_n, f.s_c, f.s_n
    gather(&j, &image_x, &image_y, &u, NULL)


# ---- weight gradient -----------------------------------------------------------------------------------------------


cdef void correlate(const Winograd *j, idx tiles, idx pair, idx point, const char *v, const char *zs, char *s,
                    bint accumulate) noexcept nogil:
    """S of one point of a group of channels and a panel of filters."""
    cdef const fc_kernels *kern = j.kern
    cdef unsigned mode = fc_flush_subnormals()
    cdef idx z = kern.itemsize, n, phase
    cdef idx c0 = pair // j.k_panels * j.group, k_panel = pair % j.k_panels, vecs
    cdef idx channels = min(j.group, j.c_lanes - c0), filters = min(j.k_tile, j.K - k_panel * j.k_tile)
    v += (c0 // j.c_tile * j.c_panel + point * j.c_point) * z
    zs += (k_panel * j.k_panel + point * j.k_point) * z
    s += point * j.s_point * z
    for n in range(parts(channels, j.c_tile)):
        vecs = min(j.c_tile, channels - n * j.c_tile) // kern.lanes
        # What is left out only reaches taps that there are not.
        if j.full < j.phases and c0 + (n + 1) * j.c_tile <= j.C:
            phase = (c0 + n * j.c_tile) // j.phase_channels
            if phase == (c0 + (n + 1) * j.c_tile - 1) // j.phase_channels and idle(j, point, phase):
                continue
        kern.product.gemm[vecs - 1](filters, tiles, zs, 1, j.k_tile, v + n * j.c_panel * z, j.c_tile, s + n * j.s_unit * z,
                            j.c_tile, accumulate)
    fc_restore_mode(mode)


cdef void finish(const Winograd *j, idx pair, idx n, const char *s, idx n_slices, char *dw) noexcept nogil:
    """dw of the n-th panel of channels of a group and a panel of filters, from the sum of the slices' S."""
    cdef idx z = j.kern.itemsize, k
    cdef idx c0 = pair // j.k_panels * j.group + n * j.c_tile, k0 = pair % j.k_panels * j.k_tile
    cdef unsigned mode = fc_flush_subnormals()
    if c0 < j.C:
        for k in range(min(j.k_tile, j.K - k0)):
            j.kern.winograd.filter_gradient[j.size](dw + ((k0 + k) * j.C + c0) * j.taps * z,
                                            s + (n * j.s_unit + k * j.c_tile) * z, j.s_point,
                                            j.pairs * <idx>j.s_size // z, n_slices, min(j.c_tile, j.C - c0))
    fc_restore_mode(mode)


cdef void correlate_pair(const Winograd *j, idx tiles, idx pair, const char *v, const char *zs, char *s,
                         char *dw) noexcept nogil:
    """dw of a pair from first to last, where all tiles are in one block: S need not leave the cache."""
    for point in range(j.points):
        correlate(j, tiles, pair, point, v, zs, s, False)
    for n in range(j.group // j.c_tile):
        finish(j, pair, n, s, 1, dw)


cdef void correlate_slice(const Winograd *j, const Image *x, const Image *dy, idx g, idx first, idx last, char *s,
                          char *scratch) noexcept nogil:
    """S of all pairs and of blocks first ... last."""
    cdef idx block, i
    cdef char *zs = scratch + j.c_size
    cdef char *buffer = zs + j.k_size
    for block in range(first, last):
        transform_block(j, x, g, block, False, scratch, buffer)
        transform_block(j, dy, g, block, True, zs, buffer)
        for i in range(j.pairs * j.points):
            correlate(j, block_tiles(j, block), i // j.points, i % j.points, scratch, zs,
                      s + i // j.points * j.s_size, block > first)


cpdef weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx stride, idx pad_h, idx pad_w,
                      idx dilation_h, idx dilation_w, idx groups):
    """dw[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n, c, p*stride + r*dilation_h - pad_h, ...]: equation 12.5.

    `dw` is dense."""
    cdef Winograd j
    cdef Image image_x, image_y, f
    check_convolution(x, READ, dw, DENSE_RESULT, dy, READ, stride, stride, pad_h, pad_w, dilation_h, dilation_w,
                      groups)
    as_image(x, &image_x)
    as_image(dy, &image_y)
    if image_y.n * image_y.h * image_y.w == 0:
        memset(cnp.PyArray_DATA(dw), 0, cnp.PyArray_NBYTES(dw))
        return
    j.G = groups
    prepare(&j, x, dy, dw.shape[1], dw.shape[0] // groups, dw.shape[2], dw.shape[3], stride, 1, pad_h, pad_w,
            dilation_h, dilation_w)
    cdef cnp.ndarray parted = dw
    cdef cnp.npy_intp[4] shape = [dw.shape[0], j.C, parts(dw.shape[2], stride), parts(dw.shape[3], stride)]
    if stride > 1:
        parted = cnp.PyArray_EMPTY(4, shape, cnp.PyArray_TYPE(dw), False)
    as_image(parted, &f)
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes
    cdef idx k_parts = j.k_lanes // lanes, runs, g, block, task
    cdef idx all_tiles = j.N * j.bands * j.band_tiles
    j.c_tile = min(j.kern.product.gemm_vecs * lanes, j.c_lanes)
    j.k_tile = min(up(FILTERS, lanes * (j.kern.product.gemm_rows // 2)), j.k_lanes)  # whole vectors and whole tiles
    j.k_panels = parts(j.k_lanes, j.k_tile)
    j.group = up(min(GROUP, j.c_lanes), j.c_tile)
    cdef idx units = j.group // j.c_tile
    plan(&j, TILES, 1)
    j.s_unit = up(j.k_tile, j.kern.product.gemm_rows) * j.c_tile
    j.s_point = point_pitch(units * j.s_unit)
    j.s_size = up(j.points * j.s_point * z, LINE)
    j.pairs = parts(j.c_lanes, j.group) * j.k_panels
    # Slices of whole blocks, by the shape alone, so that sums never depend on the number of threads. Where they are too
    # few for these, the threads share each block's work.
    cdef idx slices = max(1, min(min(SLICES, j.n_blocks // 2), SLICES_BYTES // (j.pairs * <idx>j.s_size)))
    cdef idx slice_blocks = parts(j.n_blocks, slices)
    slices = parts(j.n_blocks, slice_blocks)
    cdef int n_threads = threads_for(<double>j.G * j.K * j.C * j.points * all_tiles, j.points)
    cdef bint shared = slices == 1 or not keeps_busy(slices, n_threads)
    cdef bint hot = j.n_blocks == 1 and j.pairs >= 2 * n_threads
    cdef size_t tiles_size = j.c_size + j.k_size
    cdef size_t sums_size = 0 if hot else slices * j.pairs * j.s_size
    cdef size_t each = j.stage_size + (j.s_size if hot else 0) + (0 if shared else tiles_size)
    cdef size_t size = sums_size + n_threads * each + (tiles_size if shared else 0)
    cdef char *s = <char *>take(size)
    cdef char *scratch = s + sums_size
    cdef char *v = scratch + n_threads * each
    cdef char *zs = v + j.c_size
    cdef char *dw_g
    with nogil:
        for g in range(j.G):
            dw_g = f.data + g * j.K * j.C * f.h * f.w * z
            if not shared:
                for task in prange(slices, num_threads=n_threads, schedule="dynamic"):
                    correlate_slice(&j, &image_x, &image_y, g, task * slice_blocks,
                                    min(j.n_blocks, (task + 1) * slice_blocks), s + task * j.pairs * j.s_size,
                                    scratch + threadid() * each)
            else:
                for block in range(j.n_blocks):
                    runs = n_runs(&j, block)
                    for task in prange(runs * j.c_parts, num_threads=n_threads, schedule="dynamic"):
                        transform_input(&j, &image_x, g, task // runs, run_of(&j, block, task % runs), v,
                                        scratch + threadid() * each)
                    for task in prange(runs * k_parts, num_threads=n_threads, schedule="dynamic"):
                        transform_output_gradient(&j, &image_y, g, task // runs, run_of(&j, block, task % runs), zs,
                                                  scratch + threadid() * each)
                    if hot:
                        for task in prange(j.pairs, num_threads=n_threads, schedule="dynamic"):
                            correlate_pair(&j, all_tiles, task, v, zs,
                                           scratch + threadid() * each + j.stage_size, dw_g)
                    else:
                        for task in prange(j.pairs * j.points, num_threads=n_threads, schedule="dynamic"):
                            correlate(&j, block_tiles(&j, block), task // j.points, task % j.points, v, zs,
                                      s + (block // slice_blocks * j.pairs + task // j.points) * j.s_size,
                                      block % slice_blocks > 0)
            if not hot:
                for task in prange(j.pairs * units, num_threads=n_threads, schedule="static"):
                    finish(&j, task // units, task % units, s + task // units * j.s_size, slices, dw_g)
    give(s, size)
    if stride > 1:
        part_filters(dw, stride, dw.shape[1], parted)
