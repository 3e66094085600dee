"""Tiles of Winograd's filtering and of Fourier transforms: how a convolution is cut into them, and the transforms of a
block of them.

Images are cut into bands: a band makes as many rows of outputs as a tile has, times the dilation, and holds the tiles
of every residue of the dilation. A block is some whole bands, of one image or of several, or a segment of a band that
is longer than a block.

Channels lie along the lanes: a tile's shape then never leaves a lane idle, and tiles of all images and of every residue
of a dilation stand side by side in one matrix product. Images whose channels are neighbours in memory are read, and
written, where they lie; of others, a vector of channels of some rows is transposed into `stage` first.

A stride of s splits the pixels of an image, and the taps of a filter, by their residues modulo s: filters of R x R taps
become those of ceil(R / s) x ceil(R / s) at a stride of 1, which see s * s times as many channels. These stand residue
after residue, or in a result that is put together from its residues a vector of each in turn.
"""

from libc.stdint cimport int32_t, int64_t
from libc.string cimport memcpy

from fastconv._native.kernels cimport (
    FC_FOURIER, FC_LINES, FC_SMALL, fc_kernels, fc_plane, idx, parts, up,
)
from fastconv._native.problem cimport INPUT_GRADIENT, Image, Problem, at, channels_last

cdef extern from "fourier.h":
    enum:
        FC_SIDE
        FC_FOURIER_POINTS

cdef enum:
    SIDE = 6                  # of a square tile
    SMALL_SIDE = 5            # the same, for 2x2 and 3x3 taps
    LENGTH = 8                # of a tile of one row or column
    LEAST_FOURIER = 4         # taps along a side that are worth Fourier transforms, and the most that leave outputs
    MOST_FOURIER = 13
    MOST_DILATION = 1 << 30

cdef idx MOST_SIZE = <idx>1 << 48      # of any axis: the sums and products below it fit into an integer
cdef double MOST_BYTES = 2.0**62


# ---- the shape of tiles --------------------------------------------------------------------------------------------

cdef idx kernel_of(idx r, idx s) noexcept nogil:
    """The number of the kernels for filters of r x s taps in large tiles; -1: none."""
    if r == s:
        return r - 2 if 2 <= r <= 5 else -1
    cdef idx taps = max(r, s)
    return FC_LINES + (taps - 3) // 2 if min(r, s) == 1 and 3 <= taps <= 7 and taps % 2 == 1 else -1


cdef inline idx outputs(idx taps, idx side) noexcept nogil:
    """Of a tile of so many points along a side, along one where filters have so many taps."""
    return 1 if taps == 1 else side + 1 - taps


cdef double tiles_of(idx side, idx taps, idx out_h, idx out_w, idx dilation_h, idx dilation_w) noexcept nogil:
    """How many square tiles of that side out_h x out_w outputs are cut into."""
    cdef idx m = outputs(taps, side)
    return <double>parts(out_h, m * dilation_h) * dilation_h * parts(parts(out_w, dilation_w), m) * dilation_w


cdef idx side_of(idx r, idx s, idx out_h, idx out_w, idx dilation_h, idx dilation_w) noexcept nogil:
    """Points along a side of the tiles for out_h x out_w outputs: of those that make fewer points in all."""
    if r != s:
        return LENGTH
    if r <= 3 and (SMALL_SIDE * SMALL_SIDE * tiles_of(SMALL_SIDE, r, out_h, out_w, dilation_h, dilation_w)
                   < SIDE * SIDE * tiles_of(SIDE, r, out_h, out_w, dilation_h, dilation_w)):
        return SMALL_SIDE
    return SIDE


cdef idx zeros_before(idx taps, idx stride, idx pad) noexcept nogil:
    """Zeros before a filter's taps by which each residue of dx begins with its first pixel, where there is room."""
    cdef idx zeros = (stride - pad % stride) % stride
    return zeros if parts(taps + zeros, stride) == parts(taps, stride) else 0


cdef bint describe(const Problem *problem, bint fourier, Layer *layer) noexcept nogil:
    # What cannot be done is found first.
    cdef const Image *w = &problem.w
    cdef const Image *image_x = &problem.x
    cdef const Image *image_y = &problem.y
    cdef bint backward = problem.which == INPUT_GRADIENT
    cdef idx stride = problem.stride_h, groups = problem.groups, lanes = problem.kernels.lanes
    cdef idx pad_h = problem.pad_h, pad_w = problem.pad_w
    cdef idx dilation_h = problem.dilation_h, dilation_w = problem.dilation_w
    if stride != problem.stride_w or not 1 <= stride <= MOST_STRIDE:
        return False
    if stride > 1 and (w.h != w.w or dilation_h != 1 or dilation_w != 1):
        return False
    layer.r, layer.s = parts(w.h, stride), parts(w.w, stride)
    layer.kernel = kernel_of(layer.r, layer.s)
    if fourier:
        layer.kernel = FC_FOURIER if LEAST_FOURIER <= max(layer.r, layer.s) <= MOST_FOURIER else -1
    if layer.kernel < 0 or not 1 <= min(dilation_h, dilation_w) <= max(dilation_h, dilation_w) <= MOST_DILATION:
        return False
    # What is empty has no tiles.
    if (min(min(image_x.n, image_x.h), min(image_x.w, groups)) < 1 or min(w.n, w.c) < 1
            or min(image_y.h, image_y.w) < 1):
        return False
    if (max(max(image_x.n, image_x.h), max(image_x.w, groups)) > MOST_SIZE or max(w.n, w.c) > MOST_SIZE
            or max(max(image_y.h, image_y.w), max(pad_h, pad_w)) > MOST_SIZE):
        return False
    cdef idx channels = w.c, filters = w.n // groups, y_stride = 1
    layer.zeros_h = layer.zeros_w = layer.y.pad_h = layer.y.pad_w = 0
    if backward:
        image_x, image_y, channels, filters = image_y, image_x, filters, channels
        y_stride, stride = stride, 1
        # Residues of the stride must not tear vectors of the result's channels.
        if y_stride > 1 and filters % lanes != 0:
            return False
        layer.zeros_h = zeros_before(w.h, y_stride, pad_h)
        layer.zeros_w = zeros_before(w.w, y_stride, pad_w)
        pad_h, pad_w = pad_h + layer.zeros_h, pad_w + layer.zeros_w
        # The first residues that dx has a pixel of.
        layer.y.pad_h, layer.y.pad_w = pad_h % y_stride, pad_w % y_stride
        pad_h = (layer.r - 1) * dilation_h - pad_h // y_stride
        pad_w = (layer.s - 1) * dilation_w - pad_w // y_stride
    layer.kernels, layer.tuning, layer.n, layer.groups = problem.kernels, problem.tuning, image_x.n, groups
    layer.upright = layer.s == 1 and not fourier
    layer.phases, layer.phase_channels, layer.full_phases = stride, channels, (w.h - 1) % stride + 1
    layer.out_h = parts(image_y.h + layer.y.pad_h, y_stride)
    layer.out_w = parts(image_y.w + layer.y.pad_w, y_stride)
    cdef Tiled *x = &layer.x
    x.image, x.channels, x.stride, x.split = image_x, channels * stride * stride, stride, 1
    x.h, x.w, x.pad_h, x.pad_w = image_x.h, image_x.w, pad_h, pad_w
    x.reach_h, x.reach_w = (layer.r - 1) * dilation_h, (layer.s - 1) * dilation_w
    # Where residues would tear vectors of channels, x is split into them beforehand, zeros around.
    if stride > 1 and channels % lanes != 0:
        x.stride, x.split, x.split_top, x.split_left = 1, stride, pad_h, pad_w
        x.h, x.w, x.pad_h, x.pad_w = layer.out_h + x.reach_h, layer.out_w + x.reach_w, 0, 0
    x.vecs = parts(x.channels // (x.stride * x.stride), lanes)
    cdef Tiled *y = &layer.y
    y.image, y.channels, y.stride, y.split = image_y, filters * y_stride * y_stride, y_stride, 1
    y.h, y.w, y.reach_h, y.reach_w, y.vecs = image_y.h, image_y.w, 0, 0, parts(filters, lanes)
    # What has no second tap has no dilation.
    layer.dilation_h = 1 if layer.r == 1 else dilation_h
    layer.dilation_w = 1 if layer.s == 1 else dilation_w
    if fourier:
        # Filters that lack a tap are zero at no point.
        layer.full_phases = layer.phases
        layer.side, layer.points = FC_SIDE, FC_FOURIER_POINTS
        layer.m_h, layer.m_w = FC_SIDE + 1 - layer.r, FC_SIDE + 1 - layer.s
    else:
        layer.side = side_of(layer.r, layer.s, parts(y.h, y_stride), parts(y.w, y_stride), layer.dilation_h,
                             layer.dilation_w)
        if layer.side == SMALL_SIDE:
            layer.kernel += FC_SMALL
        layer.points = LENGTH if layer.kernel >= FC_LINES else layer.side * layer.side
        layer.m_h, layer.m_w = outputs(layer.r, layer.side), outputs(layer.s, layer.side)
    x.transform = problem.kernels.winograd.input[(layer.kernel >= FC_SMALL) + (layer.kernel >= FC_LINES)
                                                 + (layer.kernel >= FC_FOURIER)]
    y.transform = problem.kernels.winograd.output_gradient[layer.kernel]
    layer.residues = layer.dilation_h * layer.dilation_w
    layer.all_cols = layer.cols = parts(parts(layer.out_w, layer.dilation_w), layer.m_w)
    layer.bands, layer.segments = parts(layer.out_h, layer.m_h * layer.dilation_h), 1
    # A block is a band at the least, on each of up to 4096 threads.
    if (4096.0 * 2 * layer.points * (<double>layer.cols * layer.residues + problem.tuning.blocks.winograd_many_tiles)
            * (up(x.channels, lanes) + up(y.channels, lanes)) * problem.kernels.itemsize > MOST_BYTES):
        return False
    layer.band_tiles = layer.cols * layer.residues
    return True


# ---- blocks --------------------------------------------------------------------------------------------------------

cdef void cut_blocks(Layer *layer, idx target, idx n_threads) noexcept nogil:
    cdef Tiled *x = &layer.x
    cdef Tiled *y = &layer.y
    if layer.band_tiles > 2 * target:
        layer.cols = parts(layer.all_cols, parts(layer.band_tiles, target))
        layer.segments = parts(layer.all_cols, layer.cols)
        layer.bands *= layer.segments
        layer.band_tiles = layer.cols * layer.residues
    cdef idx all_bands = layer.n * layer.bands
    layer.block_bands = max(1, min(all_bands, target // layer.band_tiles)) if layer.segments == 1 else 1
    layer.n_blocks = parts(all_bands, layer.block_bands)
    if layer.n_blocks > 1:
        layer.n_blocks = min(all_bands, up(layer.n_blocks, n_threads))
    layer.block_bands = parts(all_bands, layer.n_blocks)
    layer.n_blocks = parts(all_bands, layer.block_bands)
    layer.tiles = up(layer.block_bands * layer.band_tiles, layer.kernels.product.gemm_rows)
    x.point, y.point = point_pitch(layer.tiles * x.width), point_pitch(layer.tiles * y.width)
    x.panel, y.panel = layer.points * x.point, layer.points * y.point
    cdef idx height = layer.block_bands * layer.m_h * layer.dilation_h
    cdef idx width = layer.cols * layer.m_w * layer.dilation_w
    cdef double pixels_x = <double>min(x.stride * (height + x.reach_h), x.h) * min(x.stride * (width + x.reach_w), x.w)
    cdef double pixels_y = <double>min(y.stride * height, y.h) * min(y.stride * width, y.w)
    layer.stage = max(pixels_x * (1 if x.split == 1 else 2), pixels_y) * layer.kernels.lanes


cdef idx n_runs(const Layer *layer, idx block) noexcept nogil:
    cdef idx first = block * layer.block_bands, last = min(layer.n * layer.bands, first + layer.block_bands) - 1
    return last // layer.bands - first // layer.bands + 1


cdef Run run_of(const Layer *layer, idx block, idx index) noexcept nogil:
    cdef idx first = block * layer.block_bands, end = min(layer.n * layer.bands, first + layer.block_bands)
    cdef Run run
    run.n = first // layer.bands + index
    cdef idx start = max(first, run.n * layer.bands)
    cdef idx band = start - run.n * layer.bands
    cdef idx col = band % layer.segments * layer.cols
    run.bands = min(end, (run.n + 1) * layer.bands) - start
    run.cols = min(layer.cols, layer.all_cols - col)
    run.tile = (start - first) * layer.band_tiles
    run.top = band // layer.segments * layer.m_h * layer.dilation_h
    run.left = col * layer.m_w * layer.dilation_w
    return run


cdef idx block_tiles(const Layer *layer, idx block) noexcept nogil:
    # Segments are blocks of their own.
    cdef idx bands = min(layer.block_bands, layer.n * layer.bands - block * layer.block_bands)
    return bands * run_of(layer, block, 0).cols * layer.residues


# ---- pixels --------------------------------------------------------------------------------------------------------

cdef struct Area:
    # Rows top to bottom - 1 and columns left to right - 1 of an image.
    idx top, bottom, left, right


cdef inline void clip(idx start, idx size, idx limit, idx *first, idx *end) noexcept nogil:
    first[0] = max(0, min(limit, start))
    end[0] = max(first[0], min(limit, start + size))


cdef Area area_of(const Layer *layer, const Tiled *tiled, const Run *run) noexcept nogil:
    """The pixels of a run's tiles."""
    cdef Area area
    cdef idx s = tiled.stride
    clip(s * run.top - tiled.pad_h, s * (run.bands * layer.m_h * layer.dilation_h + tiled.reach_h), tiled.h, &area.top,
         &area.bottom)
    clip(s * run.left - tiled.pad_w, s * (run.cols * layer.m_w * layer.dilation_w + tiled.reach_w), tiled.w, &area.left,
         &area.right)
    return area


cdef fc_plane plane_of(const Layer *layer, const Area *area, idx stride, idx row, idx col) noexcept nogil:
    """Pixels of an area, `row` and `col` elements apart, as the transforms of a row of tiles see them."""
    cdef fc_plane plane
    cdef idx h = area.bottom - area.top, w = area.right - area.left, step = stride * layer.m_w * layer.dilation_w
    if layer.upright:
        plane.h, plane.w, plane.row, plane.col, plane.step_h, plane.step_w = w, h, col, row, step, 0
        plane.dilation_h, plane.dilation_w = stride * layer.dilation_w, stride * layer.dilation_h
    else:
        plane.h, plane.w, plane.row, plane.col, plane.step_h, plane.step_w = h, w, row, col, 0, step
        plane.dilation_h, plane.dilation_w = stride * layer.dilation_h, stride * layer.dilation_w
    plane.tall, plane.wide = layer.m_h, layer.m_w
    return plane


cdef const char *lay_channels(const Layer *layer, const Tiled *tiled, idx n, idx group, idx c0, const Area *area,
                              char *stage, fc_plane *plane) noexcept nogil:
    """A vector of channels of an area of image n, channels along the lanes: where they lie, or in `stage`."""
    cdef const fc_kernels *kernels = layer.kernels
    cdef const Image *image = tiled.image
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, h = area.bottom - area.top, w = area.right - area.left
    cdef idx channels = tiled.channels // (tiled.stride * tiled.stride), c = group * channels + c0, i
    cdef const char *pixels = at(image, itemsize, n, c, area.top, area.left)
    if image.s_c == 1 and c + lanes <= image.c:
        plane[0] = plane_of(layer, area, tiled.stride, image.s_h, image.s_w)
        return pixels
    plane[0] = plane_of(layer, area, tiled.stride, w * lanes, lanes)
    channels = min(lanes, channels - c0)
    if image.s_h == w * image.s_w:
        kernels.move.transpose(stage, lanes, pixels, image.s_c, image.s_w, channels, h * w)
    else:
        for i in range(h):
            kernels.move.transpose(stage + i * w * lanes * itemsize, lanes, pixels + i * image.s_h * itemsize,
                                   image.s_c, image.s_w, channels, w)
    return stage


cdef const char *lay_residues(const Layer *layer, const Tiled *tiled, idx n, idx group, idx c0, const Area *area,
                              char *stage, fc_plane *plane) noexcept nogil:
    """The same of (residue of the stride, channel) pairs, an area of the residues: always in `stage`."""
    cdef const fc_kernels *kernels = layer.kernels
    cdef const Image *image = tiled.image
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, h = area.bottom - area.top, w = area.right - area.left
    cdef idx s = tiled.split, channels = layer.phase_channels, pairs = min(lanes, tiled.channels - c0), i
    cdef idx h0, w0, first, last, begin, end
    cdef char *planes = stage + h * w * lanes * itemsize
    cdef const char *pixels
    for i in range(pairs):
        h0 = s * area.top + (c0 + i) // channels // s - tiled.split_top
        w0 = s * area.left + (c0 + i) // channels % s - tiled.split_left
        # The pixels of the residue that lie within the image.
        first = min(h, parts(-h0, s)) if h0 < 0 else 0
        last = max(first, min(h, parts(image.h - h0, s))) if image.h > h0 else first
        begin = min(w, parts(-w0, s)) if w0 < 0 else 0
        end = max(begin, min(w, parts(image.w - w0, s))) if image.w > w0 else begin
        if begin == end:
            first = last = h
        # Of a pixel outside of the image there may be no address.
        if first == last:
            h0, w0 = -first * s, -begin * s
        pixels = at(image, itemsize, n, group * channels + (c0 + i) % channels, h0 + first * s, w0 + begin * s)
        kernels.move.stage(planes + i * h * w * itemsize, w, pixels, s * image.s_h, s * image.s_w, h, first, last,
                           begin, end - begin, w - end, 0)
    kernels.move.transpose(stage, lanes, planes, h * w, 1, pairs, h * w)
    plane[0] = plane_of(layer, area, 1, w * lanes, lanes)
    return stage


# ---- transforms of images ------------------------------------------------------------------------------------------

cdef void transform_run(const Layer *layer, const Tiled *tiled, idx group, idx vec, const Run *run, char *points,
                        char *stage) noexcept nogil:
    cdef idx itemsize = layer.kernels.itemsize, s = tiled.stride, c0 = vec * layer.kernels.lanes
    cdef idx channels = tiled.channels // (s * s), tile = run.tile, band, a, b, residue, h, w
    cdef Area area = area_of(layer, tiled, run)
    cdef fc_plane plane
    cdef const char *pixels
    if tiled.split > 1:
        pixels = lay_residues(layer, tiled, run.n, group, c0, &area, stage, &plane)
    else:
        pixels = lay_channels(layer, tiled, run.n, group, c0, &area, stage, &plane)
    for band in range(run.bands):
        for a in range(layer.dilation_h):
            for b in range(layer.dilation_w):
                for residue in range(s * s):
                    h = s * (run.top + band * layer.m_h * layer.dilation_h + a) + residue // s - tiled.pad_h - area.top
                    w = s * (run.left + b) + residue % s - tiled.pad_w - area.left
                    tiled.transform(points + place(tiled, residue * channels + c0, tile) * itemsize, tiled.point,
                                    tiled.width, pixels, &plane, w if layer.upright else h, h if layer.upright else w,
                                    run.cols)
                tile += run.cols


cdef void fetch_part(const Layer *layer, const Tiled *tiled, const Run *run, idx part) noexcept nogil:
    """Bring near one of as many parts as there are vectors of the columns of a run's tiles, all channels of each."""
    cdef const Image *image = tiled.image
    cdef idx itemsize = layer.kernels.itemsize
    cdef Area area = area_of(layer, tiled, run)
    cdef idx cols = area.right - area.left
    cdef idx first = area.left + cols * part // tiled.vecs, end = area.left + cols * (part + 1) // tiled.vecs
    layer.kernels.move.fetch(at(image, itemsize, run.n, 0, area.top, first), image.s_h, area.bottom - area.top,
                             (end - first) * image.s_w)


cdef void transform_block(const Layer *layer, const Tiled *tiled, idx group, idx block, char *points,
                          char *stage) noexcept nogil:
    cdef idx runs = n_runs(layer, block), lanes = layer.kernels.lanes, height = layer.m_h * layer.dilation_h
    cdef idx tile_bytes = (tiled.stride * tiled.stride * (height + tiled.reach_h) * layer.m_w * tiled.vecs * lanes
                           * layer.kernels.itemsize)
    cdef idx i, vec, cols
    cdef Run run, piece, following
    if tiled.image.s_c != 1 or tiled.image.c < lanes or tiled.split > 1:
        for vec in range(tiled.vecs):
            for i in range(runs):
                run = run_of(layer, block, i)
                transform_run(layer, tiled, group, vec, &run, points, stage)
        return
    # Vectors of channels that are neighbours in memory share lines. So all channels of a few tiles' pixels are taken
    # while these are in L1, and those of the next tiles come near meanwhile.
    for i in range(runs):
        run = run_of(layer, block, i)
        cols = run.cols
        if layer.residues == 1:
            cols = parts(cols, parts(cols, max(1, layer.tuning.blocks.winograd_pixel_bytes // tile_bytes)))
        piece = run
        piece.bands, piece.cols = 1, min(cols, run.cols)
        while piece.top < run.top + run.bands * height:
            following = piece
            following.tile += piece.cols * layer.residues
            following.left += piece.cols * layer.m_w
            following.cols = min(cols, run.left // layer.m_w + run.cols - following.left // layer.m_w)
            if following.cols <= 0:
                following.left, following.cols = run.left, min(cols, run.cols)
                following.top += height
            for vec in range(tiled.vecs):
                transform_run(layer, tiled, group, vec, &piece, points, stage)
                if layer.groups == 1:
                    fetch_part(layer, tiled, &following, vec)
            piece = following


cdef void transform_output(const Layer *layer, const char *bias, idx group, const Run *run, idx k, const char *m,
                           idx m_channel, char *stage) noexcept nogil:
    cdef const fc_kernels *kernels = layer.kernels
    cdef const Tiled *y = &layer.y
    cdef const Image *image = y.image
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, s = y.stride, channels = y.channels // (s * s)
    cdef idx count = min(lanes, channels - k), tile = run.tile, band, a, b, residue, h, w
    cdef Area area = area_of(layer, y, run)
    cdef idx rows = area.bottom - area.top, cols = area.right - area.left
    cdef char *pixels = at(image, itemsize, run.n, group * channels + k, area.top, area.left)
    # Whole vectors of channels that are neighbours in memory are written where they belong.
    cdef bint in_place = image.s_c == 1 and count == lanes
    cdef fc_plane plane
    if in_place:
        plane = plane_of(layer, &area, s, image.s_h, image.s_w)
    else:
        plane = plane_of(layer, &area, s, cols * lanes, lanes)
    for band in range(run.bands):
        for a in range(layer.dilation_h):
            for b in range(layer.dilation_w):
                for residue in range(s * s):
                    h = s * (run.top + band * layer.m_h * layer.dilation_h + a) + residue // s - y.pad_h - area.top
                    w = s * (run.left + b) + residue % s - y.pad_w - area.left
                    kernels.winograd.output[layer.kernel](
                        pixels if in_place else stage, &plane, w if layer.upright else h, h if layer.upright else w,
                        run.cols, m + place(y, m_channel + residue * lanes, tile) * itemsize, y.point, y.width, bias)
                tile += run.cols
    if in_place:
        return
    if channels_last(image):
        for h in range(rows):
            for w in range(cols):
                memcpy(pixels + (h * image.s_h + w * image.s_w) * itemsize, stage + (h * cols + w) * lanes * itemsize,
                       count * itemsize)
    elif cols == image.s_h:
        kernels.move.untranspose(pixels, image.s_c, stage, lanes, count, rows * cols)
    else:
        for h in range(rows):
            kernels.move.untranspose(pixels + h * image.s_h * itemsize, image.s_c, stage + h * cols * lanes * itemsize,
                                     lanes, count, cols)


# ---- filters -------------------------------------------------------------------------------------------------------

cdef bint is_idle(const Layer *layer, idx point, idx phase) noexcept nogil:
    # Where a residue lacks the last tap, its filters are zero at infinity, the last point.
    return (point // layer.side == layer.side - 1 and phase // layer.phases >= layer.full_phases
            or point % layer.side == layer.side - 1 and phase % layer.phases >= layer.full_phases)


cdef bint has_dense_taps(const Image *w) noexcept nogil:
    return (w.s_w == 1 or w.w == 1) and (w.s_h == w.w or w.h == 1)


ctypedef fused item:
    int32_t
    int64_t


cdef void copy_items(item *side_by_side, item *w, const Image *image, idx channels, idx stride, idx residue,
                     idx zeros_h, idx zeros_w, bint back) noexcept nogil:
    cdef idx r = parts(image.h, stride), s = parts(image.w, stride), c, row, col
    # The first tap of the residue, which is the next one where zeros stand before it.
    cdef idx top = residue // stride - zeros_h, left = residue % stride - zeros_w
    cdef idx first_row = 1 if top < 0 else 0, first_col = 1 if left < 0 else 0
    cdef idx end_row = parts(image.h - top, stride), end_col = parts(image.w - left, stride)
    cdef item *taps
    cdef item *dense
    for c in range(channels):
        for row in range(first_row, end_row):
            taps = w + c * image.s_c + (top + row * stride) * image.s_h + left * image.s_w
            dense = side_by_side + (c * r + row) * s
            if back:
                for col in range(first_col, end_col):
                    taps[col * stride * image.s_w] = dense[col]
            else:
                for col in range(first_col, end_col):
                    dense[col] = taps[col * stride * image.s_w]


cdef void copy_taps(char *side_by_side, char *w, const Image *image, idx itemsize, idx channels, idx stride,
                    idx residue, idx zeros_h, idx zeros_w, bint back) noexcept nogil:
    if itemsize == 4:
        copy_items(<int32_t *>side_by_side, <int32_t *>w, image, channels, stride, residue, zeros_h, zeros_w, back)
    else:
        copy_items(<int64_t *>side_by_side, <int64_t *>w, image, channels, stride, residue, zeros_h, zeros_w, back)
