"""Where pixels come from: see grid.pxd."""

from fastconv._native.ahead cimport Ahead, plan_ahead
from fastconv._native.kernels cimport even, fc_kernels, idx, parts, up
from fastconv._native.problem cimport Image


cdef idx common_divisor(idx a, idx b) noexcept nogil:
    while b:
        a, b = b, a % b
    return a


cdef void survey(Grid *grid, const Image *x) noexcept nogil:
    # What has no second tap has no distance to it, and a step that is never taken is none.
    if grid.R == 1:
        grid.apart_h = 1
    if grid.S == 1:
        grid.apart_w = 1
    if grid.P == 1:
        grid.step_h = 1
    if grid.Q == 1:
        grid.step_w = 1
    cdef idx max_h, max_w, span_h = (grid.R - 1) * grid.apart_h, span_w = (grid.S - 1) * grid.apart_w
    grid.min_h, max_h = grid.first_h + min(0, span_h), grid.first_h + max(0, span_h)
    grid.min_w, max_w = grid.first_w + min(0, span_w), grid.first_w + max(0, span_w)
    grid.reach_h = (max_h - grid.min_h) // grid.step_h
    grid.reach_w = (max_w - grid.min_w) // grid.step_w
    grid.inside = (grid.min_h >= 0 and grid.min_w >= 0 and max_h + (grid.P - 1) * grid.step_h < x.h
                   and max_w + (grid.Q - 1) * grid.step_w < x.w)
    # Flipped kernels have no step: their taps all fall on one residue.
    grid.slots_h = grid.slots_w = 1
    if grid.step_h > 1:
        grid.slots_h = min(grid.R, grid.step_h // common_divisor(grid.step_h, grid.apart_h))
    if grid.step_w > 1:
        grid.slots_w = min(grid.S, grid.step_w // common_divisor(grid.step_w, grid.apart_w))


cdef idx fullest(idx most, idx pixels, idx lanes) noexcept nogil:
    """How many images of so many pixels, from half of `most` to `most`, fill vectors best."""
    cdef idx n, best = most
    cdef double waste, least = 1e30
    for n in range(most, max(0, (most - 1) // 2), -1):
        waste = <double>up(n * pixels, lanes) / (n * pixels)
        if waste < least - 1e-9:
            best, least = n, waste
    return best


cdef void cut_blocks(Grid *grid, idx target, idx width, idx lanes) noexcept nogil:
    target = max(target, 1)
    grid.cols = grid.Q if grid.Q <= 2 * target else up(even(grid.Q, target), width)
    grid.rows = 1
    grid.images = 1
    if grid.cols == grid.Q:
        grid.rows = even(grid.P, max(1, min(grid.P, target // max(grid.cols, 1))))
        if grid.rows == grid.P:
            grid.images = even(grid.N, max(1, min(grid.N, (2 if width > 1 else 1) * target // (grid.P * grid.Q))))
            if 1 < grid.images < grid.N:
                grid.images = fullest(grid.images, grid.P * grid.Q, min(width, lanes))
    grid.blocks_n = parts(grid.N, grid.images)
    grid.blocks_p = parts(grid.P, grid.rows)
    grid.blocks_q = parts(grid.Q, grid.cols)
    grid.blocks = grid.blocks_n * grid.blocks_p * grid.blocks_q
    grid.stage_rows = grid.rows + grid.reach_h
    grid.stage_pitch = grid.cols + grid.reach_w
    grid.stage_image = grid.slots_h * grid.slots_w * grid.stage_rows * grid.stage_pitch
    # Channels are never a whole number of pages apart: the same pixel of many would fall into one cache set.
    grid.stage_channel = up(grid.images * grid.stage_image, 16) + 16


cdef void locate(const Grid *grid, idx index, Block *block) noexcept nogil:
    block.n0 = index // (grid.blocks_p * grid.blocks_q) * grid.images
    block.p0 = index // grid.blocks_q % grid.blocks_p * grid.rows
    block.q0 = index % grid.blocks_q * grid.cols
    block.images = min(grid.images, grid.N - block.n0)
    block.rows = min(grid.rows, grid.P - block.p0)
    block.cols = min(grid.cols, grid.Q - block.q0)


cdef void stage_channels(const fc_kernels *kernels, char *dst, idx dst_channel, idx pitch, const Image *x, char *src,
                         idx src_h, idx src_w, idx channels, idx n_rows, idx first, idx last, idx left, idx count,
                         idx right) noexcept nogil:
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, whole = 0, piece = even(count, 8 * lanes)
    cdef idx c, i, q, n, offset, here
    if x.s_c == 1 and src_w != 1 and count >= lanes:
        # A last vector of less than half is not worth it.
        whole = channels
        if 2 * (channels % lanes) < lanes:
            whole -= channels % lanes
    for c in range(whole if left + right > 0 or last - first < n_rows else 0):
        kernels.move.stage(dst + c * dst_channel * itemsize, pitch, src, 0, 1, n_rows, 0, n_rows, left + count + right,
                           0, 0, 0)
    for i in range(first, last if whole > 0 else first):
        q = 0
        # All channels of a few pixels are moved while these are in L1.
        while q < count:
            n = min(piece, count - q)
            c = 0
            while c < whole:
                here = min(lanes, whole - c)
                offset = (i - first) * src_h + q * src_w + c
                if src + (offset + max(0, (n - 1) * src_w) + lanes) * itemsize <= x.end:
                    kernels.move.untranspose(dst + (c * dst_channel + i * pitch + left + q) * itemsize, dst_channel,
                                             src + offset * itemsize, src_w, here, n)
                else:
                    for offset in range(c, c + here):
                        kernels.move.stage(dst + (offset * dst_channel + i * pitch + left + q) * itemsize, pitch,
                                           src + ((i - first) * src_h + q * src_w + offset) * itemsize, 0, src_w, 1, 0,
                                           1, 0, n, 0, 0)
                c += lanes
            q += n
    for c in range(whole, channels):
        kernels.move.stage(dst + c * dst_channel * itemsize, pitch, src + c * x.s_c * itemsize, src_h, src_w, n_rows,
                           first, last, left, count, right, 0)


cdef void stage(const fc_kernels *kernels, const Image *x, const Grid *grid, Block *block, idx c0, idx channels,
                char *buffer) noexcept nogil:
    cdef idx itemsize = kernels.itemsize, c = 0, n, slot, h0, w0, first, last, left, count, offset
    cdef idx n_rows = block.rows + grid.reach_h, n_cols = block.cols + grid.reach_w
    cdef idx slots = grid.slots_h * grid.slots_w
    # Residues share lines: all of them are taken of a few channels, while these are in L1.
    cdef idx few = channels if slots == 1 else kernels.lanes
    while c < channels:
        for slot in range(slots):
            h0 = block.p0 * grid.step_h + grid.min_h + slot // grid.slots_w * grid.apart_h % grid.step_h
            w0 = block.q0 * grid.step_w + grid.min_w + slot % grid.slots_w * grid.apart_w % grid.step_w
            first = min(max(0, parts(-h0, grid.step_h)), n_rows) if h0 < 0 else 0
            last = max(first, min(n_rows, parts(x.h - h0, grid.step_h))) if x.h > h0 else first
            left = min(parts(-w0, grid.step_w), n_cols) if w0 < 0 else 0
            count = max(0, min(n_cols, parts(x.w - w0, grid.step_w)) - left) if x.w > w0 else 0
            if count == 0:
                first = last = n_rows
            # Beyond the image there may be no address of a pixel.
            offset = (h0 + first * grid.step_h) * x.s_h + (w0 + left * grid.step_w) * x.s_w if first < last else 0
            for n in range(block.images):
                stage_channels(kernels, buffer + (c * grid.stage_channel + n * grid.stage_image
                                                  + slot * grid.stage_rows * grid.stage_pitch) * itemsize,
                               grid.stage_channel, grid.stage_pitch, x,
                               x.data + ((block.n0 + n) * x.s_n + (c0 + c) * x.s_c + offset) * itemsize,
                               grid.step_h * x.s_h, grid.step_w * x.s_w, min(few, channels - c), n_rows, first, last,
                               left, count, n_cols - left - count)
        c += few
    block.base = buffer
    block.s_image, block.s_row, block.s_col = grid.stage_image, grid.stage_pitch, 1


cdef void stage_lanes(const fc_kernels *kernels, const Image *x, const Grid *grid, Block *block, idx c0, idx channels,
                      char *buffer) noexcept nogil:
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, whole = channels - channels % lanes, n
    cdef idx apart = lanes * grid.stage_channel
    cdef char *to
    cdef const char *data
    in_place(grid, x, block, c0, itemsize)
    for n in range(block.images):
        to = buffer + n * block.rows * block.cols * lanes * itemsize
        data = block.base + (n * block.s_image + placed_offset(grid, x, 0, 0)) * itemsize
        kernels.windows.to_lanes(to, block.cols, apart, data, block.s_row, 1, block.s_col, whole, block.rows,
                                 block.cols, False)
        if whole < channels:
            kernels.windows.to_lanes(to + whole * grid.stage_channel * itemsize, block.cols, apart,
                                     data + whole * itemsize, block.s_row, 1, block.s_col, channels - whole, block.rows,
                                     block.cols, False)
    block.base = buffer
    block.s_image, block.s_row, block.s_col = block.rows * block.cols * lanes, block.cols * lanes, lanes


cdef void look_ahead(Ahead *ahead, const Image *x, const Grid *grid, const Block *block, idx c0, idx channels,
                     idx steps, idx tiles, idx itemsize) noexcept nogil:
    cdef idx first = max(0, block.p0 * grid.step_h + grid.min_h)
    cdef idx last = min(x.h, (block.p0 + block.rows + grid.reach_h) * grid.step_h + grid.min_h)
    if x.s_w != 1 or x.s_h <= 0 or first >= last:
        return
    ahead.data = x.data + (block.n0 * x.s_n + c0 * x.s_c + first * x.s_h) * itemsize
    ahead.s_n, ahead.s_c = x.s_n * itemsize, x.s_c * itemsize
    ahead.extent = ((last - first - 1) * x.s_h + x.w) * itemsize
    ahead.images, ahead.channels = block.images, channels
    plan_ahead(ahead, steps, tiles)
