"""The loop nests of convolution by Winograd's minimal filtering, strides of 1 and filters of 3x3 or 5x5.

Every tile of 6x6 pixels is transformed (V = B' x B), as is every filter (U = G w G'), and each of the tile's 36 points is
then a matrix product of its own: over channels in forward and input gradient, M[tile, k] = sum_c V[tile, c] U[c, k],
over tiles in the weight gradient, S[k, c] = sum_tile Z[tile, k] V[tile, c], where Z = A dy A'. The way back gives
y = A' M A and dw = G' S G. Channels lie along the lanes, so that tiles of all images and of every residue of a dilation
stand side by side in one product.

Tiles come in blocks of whole bands, a band being the rows of tiles that one image's m * dilation rows of outputs are cut
into. A block's transformed tiles stay in a cache.
"""

cimport numpy as cnp
from cython.parallel cimport prange, threadid
from libc.string cimport memset

from fastconv._runtime cimport (
    FC_MAX_VECS, Image, as_image, fc_flush_subnormals, fc_kernels, fc_plane, fc_restore_mode, give, idx, kernels, parts,
    take, threads_for, up,
)

cnp.import_array()

cdef enum:
    LINE = 64
    POINTS = 36
    SIDE = 6               # of a tile
    DEPTH = 256            # channels reduced in one go: a panel of filters of this depth stays near
    BLOCK_BYTES = 1 << 20  # what a block's transformed tiles may take of L2
    LEAST_TILES = 96       # a block's, so that reading all filters anew for each block does not matter

# For measurements.
block_bytes = BLOCK_BYTES
least_tiles = LEAST_TILES
depth_step = DEPTH


cdef struct Winograd:
    const fc_kernels *kern
    idx size                     # 0: filters of 3x3, 1: of 5x5
    idx m                        # outputs of a tile, a side
    idx G, C, K                  # of a group: channels of x, filters
    idx N, P, Q
    idx pad_h, pad_w, dilation_h, dilation_w
    idx bands, cols              # bands of an image; tiles side by side
    idx band_tiles
    idx block_bands, n_blocks, tiles
    idx c_pitch, k_pitch         # channels and filters in memory, whole vectors
    idx c_point, k_point         # elements between a block's points
    idx step
    size_t c_size, k_size, stage_size


cdef struct Run:
    # Some bands of one image, and the tile that the first begins with.
    idx n, band0, bands, tile


cdef idx point_pitch(idx size) noexcept nogil:
    # Never a whole number of pages apart: all points of a tile would fall into one cache set.
    return up(size, 16) + 48


cdef void plan(Winograd *j, idx itemsize, bint backward) noexcept:
    j.bands = parts(j.P, j.m * j.dilation_h)
    j.cols = parts(parts(j.Q, j.dilation_w), j.m)
    j.band_tiles = j.cols * j.dilation_h * j.dilation_w
    cdef idx lanes = j.kern.lanes
    j.c_pitch, j.k_pitch = up(j.C, lanes), up(j.K, lanes)
    cdef idx all_bands = j.N * j.bands
    cdef idx tiles = max(block_bytes // (POINTS * itemsize * (j.c_pitch + j.k_pitch)), least_tiles)
    j.block_bands = max(1, min(all_bands, tiles // j.band_tiles))
    j.n_blocks = parts(all_bands, j.block_bands)
    j.block_bands = parts(all_bands, j.n_blocks)
    j.n_blocks = parts(all_bands, j.block_bands)
    j.tiles = up(j.block_bands * j.band_tiles, j.kern.gemm_rows)
    j.c_point = point_pitch(j.tiles * j.c_pitch)
    j.k_point = point_pitch(j.tiles * j.k_pitch)
    # A tile of filters may reach past the last.
    j.c_size = up((POINTS * j.c_point + FC_MAX_VECS * lanes) * itemsize, LINE)
    j.k_size = up((POINTS * j.k_point + FC_MAX_VECS * lanes) * itemsize, LINE)
    j.step = depth_step


cdef idx n_runs(const Winograd *j, idx block) noexcept nogil:
    cdef idx first = block * j.block_bands, last = min(j.N * j.bands, first + j.block_bands) - 1
    return last // j.bands - first // j.bands + 1


cdef idx block_tiles(const Winograd *j, idx block) noexcept nogil:
    return min(j.block_bands, j.N * j.bands - block * j.block_bands) * j.band_tiles


cdef Run run_of(const Winograd *j, idx block, idx index) noexcept nogil:
    cdef idx first = block * j.block_bands, last = min(j.N * j.bands, first + j.block_bands)
    cdef Run run
    run.n = first // j.bands + index
    cdef idx start = max(first, run.n * j.bands)
    run.band0 = start - run.n * j.bands
    run.bands = min(last, (run.n + 1) * j.bands) - start
    run.tile = (start - first) * j.band_tiles
    return run


cdef const char *lay(const Winograd *j, const Image *x, idx n, idx c0, idx channels, idx first, idx last, char *buffer,
                     fc_plane *plane) noexcept nogil:
    """A vector of channels of rows first ... last of image n with the channels along the lanes: in place or in `buffer`."""
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes, i
    cdef const char *data = x.data + (n * x.s_n + c0 * x.s_c + first * x.s_h) * z
    plane.h, plane.w = last - first, x.w
    plane.dilation_h, plane.dilation_w = j.dilation_h, j.dilation_w
    if x.s_c == 1 and c0 + lanes <= x.c:
        plane.row, plane.col = x.s_h, x.s_w
        return data
    plane.row, plane.col = x.w * lanes, lanes
    if x.s_h == x.w * x.s_w:
        j.kern.transpose(buffer, lanes, data, x.s_c, x.s_w, channels, plane.h * x.w)
    else:
        for i in range(plane.h):
            j.kern.transpose(buffer + i * plane.row * z, lanes, data + i * x.s_h * z, x.s_c, x.s_w, channels, x.w)
    return buffer


cdef void transform_input(const Winograd *j, const Image *x, idx g, idx block, idx part, idx run_index, char *v,
                          char *buffer) noexcept nogil:
    """V of a vector of channels and a run of bands."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, c0 = part * kern.lanes, band, a, b, tile
    cdef Run run = run_of(j, block, run_index)
    cdef idx top = run.band0 * j.m * j.dilation_h - j.pad_h
    cdef idx first = max(0, min(x.h, top))
    cdef idx last = max(first, min(x.h, top + (run.bands * j.m + SIDE - j.m) * j.dilation_h))
    cdef fc_plane plane
    cdef const char *data = lay(j, x, run.n, g * j.C + c0, min(kern.lanes, j.C - c0), first, last, buffer, &plane)
    tile = run.tile
    for band in range(run.bands):
        for a in range(j.dilation_h):
            for b in range(j.dilation_w):
                kern.winograd_input(v + (tile * j.c_pitch + c0) * z, j.c_point, j.c_pitch, data, &plane,
                                    top + band * j.m * j.dilation_h + a - first, b - j.pad_w, j.m * j.dilation_w,
                                    j.cols)
                tile += j.cols


cdef void transform_output_gradient(const Winograd *j, const Image *dy, idx g, idx block, idx part, idx run_index,
                                    char *v, char *buffer) noexcept nogil:
    """Z of a vector of filters and a run of bands."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, k0 = part * kern.lanes, band, a, b, tile
    cdef Run run = run_of(j, block, run_index)
    cdef idx first = run.band0 * j.m * j.dilation_h
    cdef idx last = min(j.P, first + run.bands * j.m * j.dilation_h)
    cdef fc_plane plane
    cdef const char *data = lay(j, dy, run.n, g * j.K + k0, min(kern.lanes, j.K - k0), first, last, buffer, &plane)
    tile = run.tile
    for band in range(run.bands):
        for a in range(j.dilation_h):
            for b in range(j.dilation_w):
                kern.winograd_spread[j.size](v + (tile * j.k_pitch + k0) * z, j.k_point, j.k_pitch, data, &plane,
                                             band * j.m * j.dilation_h + a, b, j.m * j.dilation_w, j.cols)
                tile += j.cols


cdef void transform_output(const Winograd *j, const Image *y, const char *bias, idx g, idx block, idx part,
                           idx run_index, const char *t, char *buffer) noexcept nogil:
    """y of a vector of filters and a run of bands."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, lanes = kern.lanes, k0 = part * lanes, band, a, b, tile
    cdef Run run = run_of(j, block, run_index)
    cdef idx first = run.band0 * j.m * j.dilation_h
    cdef fc_plane plane
    plane.h, plane.w = min(j.P - first, run.bands * j.m * j.dilation_h), j.Q
    plane.row, plane.col = j.Q * lanes, lanes
    plane.dilation_h, plane.dilation_w = j.dilation_h, j.dilation_w
    tile = run.tile
    for band in range(run.bands):
        for a in range(j.dilation_h):
            for b in range(j.dilation_w):
                kern.winograd_output[j.size](buffer, &plane, band * j.m * j.dilation_h + a, b, j.m * j.dilation_w,
                                             j.cols, t + (tile * j.k_pitch + k0) * z, j.k_point, j.k_pitch,
                                             bias + (g * j.k_pitch + k0) * z if bias != NULL else NULL)
                tile += j.cols
    kern.untranspose(y.data + (run.n * y.s_n + (g * j.K + k0) * y.s_c + first * j.Q) * z, y.s_c, buffer,
                     min(lanes, j.K - k0), plane.h * j.Q)


# ---- forward and input gradient ------------------------------------------------------------------------------------

cdef struct Filters:
    const char *data
    const char *end
    idx group, filter, channel   # elements between
    bint flip


cdef void transform_filters(const Winograd *j, const Filters *w, idx g, idx part, char *u) noexcept nogil:
    """U of a vector of filters, laid out [group][point][panel][channel][filter of the panel]."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, lanes = kern.lanes, wide = kern.gemm_vecs * lanes
    cdef idx k0 = part * lanes, panel = k0 // wide * wide
    kern.winograd_filters[j.size](
        u + (g * POINTS * j.C * j.k_pitch + panel * j.C + k0 - panel) * z, j.C * j.k_pitch, min(wide, j.k_pitch - panel),
        w.data + (g * w.group + k0 * w.filter) * z, w.filter, w.channel, min(lanes, j.K - k0), j.C, w.flip, w.end)


cdef void multiply(const Winograd *j, idx g, idx block, idx point, const char *u, const char *v,
                   char *t) noexcept nogil:
    """M of one point."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, wide = kern.gemm_vecs * kern.lanes, k, c, depth, width, row
    cdef idx tiles = block_tiles(j, block)
    u += (g * POINTS + point) * j.C * j.k_pitch * z
    v += point * j.c_point * z
    t += point * j.k_point * z
    k = 0
    while k < j.k_pitch:
        width = min(wide, j.k_pitch - k)
        c = 0
        while c < j.C:
            depth = min(j.step, j.C - c)
            row = 0
            while row < tiles:
                kern.gemm[width // kern.lanes - 1](depth, v + (row * j.c_pitch + c) * z, j.c_pitch, 1,
                                                   u + (k * j.C + c * width) * z, width,
                                                   t + (row * j.k_pitch + k) * z, j.k_pitch, c > 0)
                row += kern.gemm_rows
            c += depth
        k += width


cdef void whole_block(const Winograd *j, const Image *x, const Image *y, const char *u, const char *bias, idx task,
                      char *scratch) noexcept nogil:
    cdef idx g = task // j.n_blocks, block = task % j.n_blocks, runs = n_runs(j, block), i
    cdef char *v = scratch
    cdef char *t = v + j.c_size
    cdef char *buffer = t + j.k_size
    cdef unsigned mode = fc_flush_subnormals()
    for i in range(runs * (j.c_pitch // j.kern.lanes)):
        transform_input(j, x, g, block, i // runs, i % runs, v, buffer)
    for i in range(POINTS):
        multiply(j, g, block, i, u, v, t)
    for i in range(runs * (j.k_pitch // j.kern.lanes)):
        transform_output(j, y, bias, g, block, i // runs, i % runs, t, buffer)
    fc_restore_mode(mode)


cdef int gather(Winograd *j, const Image *x, const Image *y, const Filters *w, const char *bias) except -1:
    """y = A' [U V] A: forward on x and w, or the input gradient on dy and the flipped w."""
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes
    cdef idx g, i, task, block, runs, tasks
    plan(j, z, False)
    cdef idx c_parts = j.c_pitch // lanes, k_parts = j.k_pitch // lanes
    cdef double work = <double>j.G * j.K * j.C * POINTS * j.n_blocks * j.tiles
    cdef int n_threads = threads_for(work, j.G * POINTS)
    cdef bint shared = j.G * j.n_blocks < 2 * n_threads and n_threads > 1
    cdef idx rows = j.block_bands * j.m * j.dilation_h + (SIDE - j.m) * j.dilation_h
    j.stage_size = up(max(min(rows, x.h) * x.w, min(rows, j.P) * j.Q) * lanes * z, LINE)
    cdef size_t u_size = up(j.G * POINTS * j.C * j.k_pitch * z, LINE), bias_size = up(j.G * j.k_pitch * z, LINE)
    cdef size_t each = j.stage_size + (0 if shared else j.c_size + j.k_size)
    cdef size_t size = u_size + bias_size + n_threads * each + (j.c_size + j.k_size if shared else 0)
    cdef char *u = <char *>take(size)
    cdef char *padded = u + u_size
    cdef char *scratch = padded + bias_size
    cdef char *v
    cdef char *t
    if bias != NULL:
        memset(padded, 0, bias_size)
        for g in range(j.G):
            for i in range(j.K * z):
                padded[g * j.k_pitch * z + i] = bias[g * j.K * z + i]
        bias = padded
    with nogil:
        if n_threads == 1:
            for task in range(j.G * k_parts):
                transform_filters(j, w, task // k_parts, task % k_parts, u)
            for task in range(j.G * j.n_blocks):
                whole_block(j, x, y, u, bias, task, scratch)
        else:
            for task in prange(j.G * k_parts, num_threads=n_threads, schedule="dynamic"):
                transform_filters(j, w, task // k_parts, task % k_parts, u)
            if not shared:
                for task in prange(j.G * j.n_blocks, num_threads=n_threads, schedule="dynamic"):
                    whole_block(j, x, y, u, bias, task, scratch + threadid() * each)
            else:
                v = scratch + n_threads * each
                t = v + j.c_size
                for g in range(j.G):
                    for block in range(j.n_blocks):
                        runs = n_runs(j, block)
                        for task in prange(runs * c_parts, num_threads=n_threads, schedule="dynamic"):
                            transform_input(j, x, g, block, task // runs, task % runs, v,
                                            scratch + threadid() * each)
                        for task in prange(POINTS, num_threads=n_threads, schedule="dynamic"):
                            multiply(j, g, block, task, u, v, t)
                        for task in prange(runs * k_parts, num_threads=n_threads, schedule="dynamic"):
                            transform_output(j, y, bias, g, block, task // runs, task % runs, t,
                                             scratch + threadid() * each)
    give(u, size)
    return 0


cdef cnp.ndarray dense_taps(cnp.ndarray w):
    """w, or a copy whose taps lie side by side."""
    if w.strides[3] == w.itemsize and w.strides[2] == w.shape[3] * w.itemsize:
        return w
    return w.copy()


def forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx pad_h, idx pad_w, idx dilation_h,
            idx dilation_w, idx groups):
    """y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n, c, p + r*dilation_h - pad_h, ...]: equation 12.3."""
    cdef Winograd j
    cdef Filters u
    cdef Image image_x, image_y, f
    w = dense_taps(w)
    as_image(x, &image_x)
    as_image(y, &image_y)
    as_image(w, &f)
    if image_y.n * image_y.h * image_y.w == 0:
        return
    j.kern = kernels(cnp.PyArray_ITEMSIZE(x))
    j.size, j.m = (f.h - 3) // 2, SIDE + 1 - f.h
    j.G, j.K, j.C = groups, f.n // groups, f.c
    j.N, j.P, j.Q = image_y.n, image_y.h, image_y.w
    j.pad_h, j.pad_w, j.dilation_h, j.dilation_w = pad_h, pad_w, dilation_h, dilation_w
    u.data, u.end, u.flip = f.data, f.end, False
    u.group, u.filter, u.channel = j.K * f.s_n, f.s_n, f.s_c
    if b is not None and not cnp.PyArray_IS_C_CONTIGUOUS(b):
        b = b.copy()
    gather(&j, &image_x, &image_y, &u, <const char *>cnp.PyArray_DATA(b) if b is not None else NULL)


def input_gradient(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx pad_h, idx pad_w, idx dilation_h,
                   idx dilation_w, idx groups):
    """dx = forward on dy with the flipped kernel, and channels and filters exchanged: equation 12.6. `dx` is dense."""
    cdef Winograd j
    cdef Filters u
    cdef Image image_x, image_y, f
    w = dense_taps(w)
    as_image(dy, &image_x)
    as_image(dx, &image_y)
    as_image(w, &f)
    if image_y.n * image_y.h * image_y.w == 0:
        return
    j.kern = kernels(cnp.PyArray_ITEMSIZE(dy))
    j.size, j.m = (f.h - 3) // 2, SIDE + 1 - f.h
    j.G, j.K, j.C = groups, f.c, f.n // groups
    j.N, j.P, j.Q = image_y.n, image_y.h, image_y.w
    j.pad_h, j.pad_w = (f.h - 1) * dilation_h - pad_h, (f.w - 1) * dilation_w - pad_w
    j.dilation_h, j.dilation_w = dilation_h, dilation_w
    u.data, u.end, u.flip = f.data, f.end, True
    u.group, u.filter, u.channel = j.C * f.s_n, f.s_c, f.s_n
    gather(&j, &image_x, &image_y, &u, NULL)


# ---- weight gradient -----------------------------------------------------------------------------------------------


cdef void correlate(const Winograd *j, idx block, idx point, const char *v, const char *zs, char *s,
                    bint accumulate) noexcept nogil:
    """S of one point."""
    cdef const fc_kernels *kern = j.kern
    cdef idx z = kern.itemsize, wide = kern.gemm_vecs * kern.lanes, c, k, t, depth, width
    cdef idx tiles = block_tiles(j, block)
    v += point * j.c_point * z
    zs += point * j.k_point * z
    s += point * up(j.K, kern.gemm_rows) * j.c_pitch * z
    c = 0
    while c < j.c_pitch:
        width = min(wide, j.c_pitch - c)
        t = 0
        while t < tiles:
            depth = min(j.step, tiles - t)
            k = 0
            while k < j.K:
                kern.gemm[width // kern.lanes - 1](depth, zs + (t * j.k_pitch + k) * z, 1, j.k_pitch,
                                                   v + (t * j.c_pitch + c) * z, j.c_pitch,
                                                   s + (k * j.c_pitch + c) * z, j.c_pitch, accumulate or t > 0)
                k += kern.gemm_rows
            t += depth
        c += width


def weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx pad_h, idx pad_w, idx dilation_h,
                    idx dilation_w, idx groups):
    """dw[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n, c, p + r*dilation_h - pad_h, ...]: equation 12.5. `dw` is dense."""
    cdef Winograd j
    cdef Image image_x, image_y, f
    as_image(x, &image_x)
    as_image(dy, &image_y)
    as_image(dw, &f)
    if image_y.n * image_y.h * image_y.w == 0:
        memset(f.data, 0, cnp.PyArray_NBYTES(dw))
        return
    j.kern = kernels(cnp.PyArray_ITEMSIZE(x))
    j.size, j.m = (f.h - 3) // 2, SIDE + 1 - f.h
    j.G, j.K, j.C = groups, f.n // groups, f.c
    j.N, j.P, j.Q = image_y.n, image_y.h, image_y.w
    j.pad_h, j.pad_w, j.dilation_h, j.dilation_w = pad_h, pad_w, dilation_h, dilation_w
    cdef idx z = j.kern.itemsize, lanes = j.kern.lanes
    plan(&j, z, True)
    cdef idx c_parts = j.c_pitch // lanes, k_parts = j.k_pitch // lanes, runs, g, block, task, i
    cdef idx s_point = up(j.K, j.kern.gemm_rows) * j.c_pitch
    cdef idx rows = j.block_bands * j.m * j.dilation_h + (SIDE - j.m) * j.dilation_h
    cdef double work = <double>j.G * j.K * j.C * POINTS * j.n_blocks * j.tiles
    cdef int n_threads = threads_for(work, j.G * POINTS)
    cdef size_t each = up(max(min(rows, image_x.h) * image_x.w, min(rows, j.P) * j.Q) * lanes * z, LINE)
    cdef size_t s_size = up(POINTS * s_point * z, LINE)
    cdef size_t size = j.c_size + j.k_size + s_size + n_threads * each
    cdef char *v = <char *>take(size)
    cdef char *zs = v + j.c_size
    cdef char *s = zs + j.k_size
    cdef char *scratch = s + s_size
    with nogil:
        for g in range(j.G):
            for block in range(j.n_blocks):
                runs = n_runs(&j, block)
                for task in prange(runs * c_parts, num_threads=n_threads, schedule="dynamic"):
                    transform_input(&j, &image_x, g, block, task // runs, task % runs, v,
                                    scratch + threadid() * each)
                for task in prange(runs * k_parts, num_threads=n_threads, schedule="dynamic"):
                    transform_output_gradient(&j, &image_y, g, block, task // runs, task % runs, zs,
                                              scratch + threadid() * each)
                for task in prange(POINTS, num_threads=n_threads, schedule="dynamic"):
                    correlate(&j, block, task, v, zs, s, block > 0)
            for task in prange(j.K, num_threads=n_threads, schedule="static"):
                j.kern.winograd_weights[j.size](f.data + (g * j.K + task) * j.C * f.h * f.w * z,
                                                s + task * j.c_pitch * z, s_point, 0, 1, j.C)
    give(v, size)
