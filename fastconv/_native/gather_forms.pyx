"""The four forms of a gather, for a block of pixels and some filters of a group: gather.pyx says what they are."""

from libc.stdint cimport int32_t
from libc.string cimport memcpy, memset

from fastconv._native.ahead cimport Ahead, ask
from fastconv._native.gather cimport FEW_COLS, Gather, Scratch, abs_of, packable
from fastconv._native.grid cimport Block, Grid, in_place, locate, look_ahead, stage
from fastconv._native.kernels cimport FC_AHEAD, FC_MAX_ROWS, fc_ahead, fc_kernels, fc_piece, fc_run, idx, parts, up
from fastconv._native.memory cimport LINE
from fastconv._native.problem cimport Image, channels_last

# ---- where results and pixels lie -----------------------------------------------------------------------------------


cdef inline char *result(const Gather *job, idx group, idx k, const Block *block, idx n, idx p, idx q) noexcept nogil:
    """The address of filter k's pixel (p, q) of the block's n-th image."""
    return job.y.data + ((block.n0 + n) * job.y.s_n + (group * job.K + k) * job.y.s_c + (block.p0 + p) * job.y.s_h
                         + (block.q0 + q) * job.y.s_w) * job.kernels.itemsize


cdef inline const char *bias_of(const Gather *job, idx group, idx k) noexcept nogil:
    return job.bias + (group * job.K + k) * job.kernels.itemsize if job.bias != NULL else NULL


cdef void put_tile(const Gather *job, const char *tile, idx width, char *y, idx rows, idx n_runs,
                   const fc_run *runs) noexcept nogil:
    """Move a tile of sums [filter][pixel] to the runs of the result that its pixels are."""
    cdef idx itemsize = job.kernels.itemsize, lanes = job.kernels.lanes, i, q
    if not channels_last(&job.y):
        job.kernels.move.scatter(tile, width, y, job.y.s_c, job.y.s_w, rows, n_runs, runs)
        return
    # A pixel's channels are neighbours: the tile is transposed, a vector of pixels at a time.
    for i in range(n_runs):
        q = 0
        while q < runs[i].count:
            job.kernels.move.untranspose(y + (runs[i].offset + q * job.y.s_w) * itemsize, job.y.s_w,
                                         tile + q * itemsize, width, min(lanes, runs[i].count - q), rows)
            q += lanes
        tile += runs[i].count * itemsize


cdef void fetch_result(const Gather *job, const char *y, idx filters, idx n_runs, const fc_run *runs) noexcept nogil:
    """Ask for the lines of a large result that put_tile() will write, where they are those of single pixels: no CPU
    sees beforehand that they are wanted, as it does with rows of pixels."""
    cdef idx i
    if job.far and channels_last(&job.y):
        for i in range(n_runs):
            job.kernels.move.fetch(y + runs[i].offset * job.kernels.itemsize, job.y.s_w, runs[i].count, filters)


cdef idx runs_of_result(const Gather *job, const Block *block, idx first, idx count, fc_run *runs) noexcept nogil:
    """The runs of y that so many pixels of the block are, from its image n0 and filter 0."""
    cdef idx n_runs = 0, n, p, q, length
    cdef bint plane = job.y.s_h == block.cols * job.y.s_w
    while count > 0:
        n = first // (block.rows * block.cols)
        p = first // block.cols % block.rows
        q = first % block.cols
        length = min(count, (block.rows - p) * block.cols - q if plane else block.cols - q)
        runs[n_runs].offset = n * job.y.s_n + (block.p0 + p) * job.y.s_h + (block.q0 + q) * job.y.s_w
        runs[n_runs].count = length
        n_runs += 1
        first += length
        count -= length
    return n_runs


cdef idx pieces_of_source(const Block *block, idx first, idx count, idx most, fc_piece *pieces) noexcept nogil:
    """Where so many pixels of the block lie, from the block's base, in pieces of up to `most`."""
    cdef idx n_pieces = 0, n, p, q, length, to = 0
    cdef bint dense = block.s_row == block.cols * block.s_col
    while to < count:
        n = first // (block.rows * block.cols)
        p = first // block.cols % block.rows
        q = first % block.cols
        length = min(min(count - to, most), (block.rows - p) * block.cols - q if dense else block.cols - q)
        pieces[n_pieces].source = n * block.s_image + p * block.s_row + q * block.s_col
        pieces[n_pieces].to = to
        n_pieces += 1
        first += length
        to += length
    return n_pieces


cdef bint readable(const Gather *job, const Block *block, idx channels) noexcept nogil:
    """Whether whole vectors can be read in place of these channels without leaving the source's memory."""
    cdef idx far = 0, t
    for t in range(job.grid.R * job.grid.S):
        far = max(far, job.placed_taps[t])
    far += ((block.images - 1) * block.s_image + (block.rows - 1) * block.s_row + (channels - 1) * job.x.s_c
            + (block.cols - 1) * block.s_col)
    return (job.x.s_n >= 0 and job.x.s_c >= 0 and job.x.s_h >= 0
            and block.base + (far + block.s_col * job.kernels.lanes) * job.kernels.itemsize <= job.x.end)


# ---- PANELS --------------------------------------------------------------------------------------------------------


cdef inline bint turnable(const Gather *job, const Block *block) noexcept nogil:
    """Whether panels are transposed pixels: of one tap, their channels neighbours in memory, all as far apart."""
    return (job.grid.inside and job.grid.R * job.grid.S == 1 and channels_last(&job.x)
            and (block.rows == 1 or block.s_row == block.cols * block.s_col)
            and (block.images == 1 or block.s_image == block.rows * block.cols * block.s_col))


cdef inline idx panel_pixels(const Gather *job, idx rest) noexcept nogil:
    """Pixels in the next panel where `rest` are left: one vector has too few sums to keep the units busy."""
    if job.width < rest <= job.width + job.kernels.lanes:
        return job.width - job.kernels.lanes
    return min(job.width, rest)


cdef void gather_panels(const Gather *job, idx group, Block *block, idx k0, idx k1,
                        const Scratch *scratch) noexcept nogil:
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, taps = job.grid.R * job.grid.S, most_tiles = job.tuning.blocks.tiles
    cdef idx pixels = block.images * block.rows * block.cols, n_panels = parts(pixels, job.width)
    cdef idx chunk, c0, channels, depth, first, count, vecs, k, rows, tiles, n_pieces, n_runs, to_row
    cdef const idx *offsets
    cdef char *a
    cdef char *y
    cdef char *to
    cdef bint whole, turned
    # Of the next panel's pieces and their channels, those that are asked for next, a share with each tile.
    cdef idx n_next, piece, asked, here, share
    cdef fc_ahead lines
    cdef Ahead next_rows
    cdef Block next_block
    cdef idx next_c, next_index = 1 + block.q0 // job.grid.cols + job.grid.blocks_q * (
        block.p0 // job.grid.rows + job.grid.blocks_p * (block.n0 // job.grid.images))
    for chunk in range(job.n_chunks):
        c0 = chunk * job.chunk
        channels = min(job.chunk, job.C - c0)
        depth = channels * taps
        in_place(&job.grid, &job.x, block, group * job.C + c0, itemsize)
        offsets = job.placed_taps
        turned = turnable(job, block)
        if not (turned or packable(job) and readable(job, block, channels)):
            stage(kernels, &job.x, &job.grid, block, group * job.C + c0, channels, scratch.stage)
            offsets = job.staged_taps
        next_block, next_c = block[0], c0 + channels
        if next_c == job.C:
            next_c = 0
            locate(&job.grid, next_index, &next_block)
        memset(&next_rows, 0, sizeof(Ahead))
        if offsets == job.staged_taps and (next_c > 0 or next_index < job.grid.blocks):
            look_ahead(&next_rows, &job.x, &job.grid, &next_block, group * job.C + next_c,
                       min(job.chunk, job.C - next_c), most_tiles * (depth // FC_AHEAD),
                       n_panels * parts(k1 - k0, most_tiles * kernels.product.rows), itemsize)
        first = 0
        while first < pixels:
            count = panel_pixels(job, pixels - first)
            vecs = parts(count, kernels.lanes)
            # What comes next is far, and asked for while this is computed: the next panel's pixels where they are
            # packed from where they lie, or rows of the next channels to be staged.
            n_next = 0
            if offsets != job.staged_taps and first + count < pixels and not turned:
                here = panel_pixels(job, pixels - first - count)
                n_next = pieces_of_source(block, first + count, here, 2 * LINE // (itemsize * block.s_col),
                                          scratch.next_pieces)
                scratch.next_pieces[n_next].to = here
            piece = asked = 0
            n_runs = runs_of_result(job, block, first, count, scratch.runs)
            if turned:
                kernels.move.transpose(scratch.panel, job.width,
                                       block.base + (offsets[0] + first * block.s_col) * itemsize, block.s_col, 1,
                                       count, channels)
            else:
                n_pieces = pieces_of_source(block, first, count, kernels.lanes, scratch.pieces)
                kernels.move.pack_pixels(scratch.panel, job.width, block.base, depth, offsets, n_pieces,
                                         scratch.pieces, block.s_col)
            whole = n_runs == 1 and count == vecs * kernels.lanes and job.y.s_w == 1
            k = k0
            while k < k1:
                rows = min(kernels.product.rows, k1 - k)
                tiles = min(most_tiles, (k1 - k) // rows)
                share = tiles * (depth // FC_AHEAD)
                a = job.filters + ((group * job.C + c0) * job.K + k * channels) * taps * itemsize
                y = job.y.data + (block.n0 * job.y.s_n + (group * job.K + k) * job.y.s_c) * itemsize
                lines.start, lines.step = scratch.panel, 0
                if offsets == job.staged_taps:
                    ask(&next_rows, itemsize, &lines)
                elif piece < n_next:
                    # Two lines, the second of which holds the piece's last pixel.
                    lines.step = job.x.s_c
                    lines.start = block.base - LINE + (
                        scratch.next_pieces[piece].source + min(asked, max(0, channels - share)) * job.x.s_c
                        + (scratch.next_pieces[piece + 1].to - scratch.next_pieces[piece].to - 1) * block.s_col
                    ) * itemsize
                    asked += share
                    if asked >= channels:
                        asked = 0
                        piece += 1
                to, to_row = y + scratch.runs[0].offset * itemsize, job.y.s_c
                if not whole:
                    to_row = vecs * kernels.lanes
                    to = scratch.sums
                    if job.n_chunks > 1:
                        to += (first * (k1 - k0) + (k - k0) * to_row) * itemsize
                    if chunk + 1 == job.n_chunks:
                        fetch_result(job, y, tiles * rows, n_runs, scratch.runs)
                kernels.product.panel[rows - 1][vecs - 1](tiles, depth, a, scratch.panel, to, to_row,
                                                          bias_of(job, group, k), chunk > 0, &lines)
                if not whole and chunk + 1 == job.n_chunks:
                    put_tile(job, to, to_row, y, tiles * rows, n_runs, scratch.runs)
                k += tiles * rows
            first += count


# ---- TILES ---------------------------------------------------------------------------------------------------------


cdef void gather_tiles(const Gather *job, idx group, Block *block, idx k0, idx k1,
                       const Scratch *scratch) noexcept nogil:
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, depth = job.C * job.grid.R * job.grid.S
    cdef idx n, p, k, rows, q, vecs, most_vecs, run, n_rows, n_safe, left, tiles, s_row = job.y.s_h
    cdef const idx *offsets = job.placed_taps
    cdef const char *a
    cdef const char *bias
    cdef char *y
    cdef char *x
    cdef fc_run to
    in_place(&job.grid, &job.x, block, group * job.C, itemsize)
    n_rows, run = block.rows, block.cols
    if job.dense and block.cols == job.grid.Q:
        n_rows, run = 1, block.rows * block.cols
    if not (job.grid.inside and job.x.s_w == 1 and job.grid.step_w == 1 and run >= lanes):
        stage(kernels, &job.x, &job.grid, block, group * job.C, job.C, scratch.stage)
        offsets = job.staged_taps
        n_rows, run = block.rows, block.cols
    # Rows that whole vectors may be stored to: what is too much falls into rows still to be computed.
    n_safe = 0
    if job.y.s_w == 1 and run >= lanes:
        n_safe = n_rows
    elif job.y.s_w == 1 and job.y.s_h == run:
        n_safe = max(0, n_rows - (lanes - 1) // run)
    # A tile of the last pixels of a row in its place that is no whole number of vectors reads past them.
    cdef bint past = offsets == job.staged_taps or readable(job, block, job.C)
    to.offset = 0
    # Whole planes of the next block, which will be staged, come near meanwhile: a share with each row.
    cdef bint ahead = (offsets == job.staged_taps and block.rows == job.grid.P and block.cols == job.grid.Q
                       and job.x.s_w == 1 and job.x.s_h == job.x.w and job.x.s_c == job.x.h * job.x.w)
    cdef idx share = parts(job.C * job.x.s_c, n_rows * parts(k1 - k0, kernels.product.rows)), done
    for n in range(block.images):
        k = k0
        ahead = ahead and block.n0 + block.images + n < job.x.n
        done = 0
        while k < k1:
            rows = min(kernels.product.rows, k1 - k)
            most_vecs = kernels.product.vecs[rows]
            a = job.filters + (group * job.K + k) * depth * itemsize
            bias = bias_of(job, group, k)
            x = block.base + n * block.s_image * itemsize
            y = result(job, group, k, block, n, 0, 0)
            p = 0
            while p < n_safe:
                # The last vector, or tile, of a row moves left until it fits, and computes some pixels again.
                if run < most_vecs * lanes:
                    vecs = min(most_vecs, n_safe - p)
                    q = 0
                    while q < run:
                        q = max(0, min(q, run - lanes))
                        kernels.product.strip[rows - 1][vecs - 1](depth, a, x + (p * block.s_row + q) * itemsize,
                                                                  offsets, block.s_row, y + (p * s_row + q) * itemsize,
                                                                  job.y.s_c, s_row, bias)
                        q += lanes
                    p += vecs
                else:
                    if ahead:
                        kernels.move.fetch(job.x.data + ((block.n0 + block.images + n) * job.x.s_n
                                                         + group * job.C * job.x.s_c + done) * itemsize, 0, 1,
                                           min(share, job.C * job.x.s_c - done))
                        done += share
                    q, left = 0, parts(run, lanes)
                    tiles = parts(left, most_vecs)
                    while q < run:
                        vecs = parts(left, tiles)
                        left -= vecs
                        tiles -= 1
                        q = min(q, run - vecs * lanes)
                        kernels.product.tile[rows - 1][vecs - 1](depth, a, x + (p * block.s_row + q) * itemsize,
                                                                 offsets, y + (p * s_row + q) * itemsize, job.y.s_c,
                                                                 bias)
                        q += vecs * lanes
                    p += 1
            while p < n_rows:
                q = 0
                while q < run:
                    vecs = min(most_vecs, parts(run - q, lanes))
                    if not past:
                        # The last vector moves left to fit, and computes some pixels again.
                        vecs = min(vecs, max(1, (run - q) // lanes))
                        q = min(q, run - vecs * lanes)
                    to.count = min(vecs * lanes, run - q)
                    fetch_result(job, y + (p * s_row + q * job.y.s_w) * itemsize, rows, 1, &to)
                    kernels.product.tile[rows - 1][vecs - 1](depth, a, x + (p * block.s_row + q) * itemsize, offsets,
                                                             scratch.sums, vecs * lanes, bias)
                    put_tile(job, scratch.sums, vecs * lanes, y + (p * s_row + q * job.y.s_w) * itemsize, rows, 1, &to)
                    q += vecs * lanes
                p += 1
            k += rows


# ---- OUTER ---------------------------------------------------------------------------------------------------------


cdef void gather_outer(const Gather *job, idx group, Block *block, idx k0, idx k1,
                       const Scratch *scratch) noexcept nogil:
    """As the weight gradient's outer form does: pixels are read one by one, in any layout, and meet all filters."""
    cdef const fc_kernels *kernels = job.kernels
    cdef idx itemsize = kernels.itemsize, lanes = kernels.lanes, depth = job.C * job.grid.R * job.grid.S
    cdef idx n_pixels = block.images * block.rows * block.cols, n, p, q, i = 0, k = k0, width, rows, r, n_rows, count
    cdef char *sums = scratch.sums
    cdef const idx *offsets = job.placed_taps
    cdef fc_ahead nothing
    cdef fc_run run
    cdef char *y
    if job.placed:
        in_place(&job.grid, &job.x, block, group * job.C, itemsize)
    else:
        stage(kernels, &job.x, &job.grid, block, group * job.C, job.C, scratch.stage)
        offsets = job.staged_taps
    for n in range(block.images):
        for p in range(block.rows):
            for q in range(block.cols):
                scratch.pixels[i] = n * block.s_image + p * block.s_row + q * block.s_col
                i += 1
    # A ragged last tile repeats the last pixel; what it sums there is not used.
    for i in range(n_pixels, up(n_pixels, kernels.correlate.outer_rows)):
        scratch.pixels[i] = scratch.pixels[n_pixels - 1]
    for i in range(depth):
        scratch.pairs[i] = <int32_t>offsets[i]
    nothing.start, nothing.step = block.base, 0
    # Rows of the result follow each other without a gap where the block has whole ones.
    n_rows, count = block.rows, block.cols
    if job.y.s_h == count * job.y.s_w:
        n_rows, count = 1, block.rows * block.cols
    while k < k1:
        width = job.k_tile if k1 - k > lanes else lanes
        rows = min(width, k1 - k)
        # Sums begin with the bias.
        memset(sums, 0, width * itemsize)
        if job.bias != NULL:
            memcpy(sums, bias_of(job, group, k), rows * itemsize)
        i = 1
        while i < n_pixels:
            memcpy(sums + i * width * itemsize, sums, min(i, n_pixels - i) * width * itemsize)
            i *= 2
        run.offset, run.count = 0, count
        for i in range(block.images * n_rows):
            fetch_result(job, result(job, group, k, block, i // n_rows, i % n_rows, 0), rows, 1, &run)
        i = 0
        while i < n_pixels:
            kernels.correlate.outer[width // lanes - 1](
                depth, scratch.pairs, block.base, scratch.pixels + i,
                job.filters + (group * up(job.K, lanes) + k) * depth * itemsize, sums + i * width * itemsize, width,
                &nothing)
            i += kernels.correlate.outer_rows
        run.offset, run.count = 0, rows
        for i in range(block.images * n_rows):
            y = result(job, group, k, block, i // n_rows, i % n_rows, 0)
            if channels_last(&job.y):
                kernels.move.scatter(sums + i * count * width * itemsize, width, y, job.y.s_w, 1, count, 1, &run)
                continue
            r = 0
            while r < rows:
                kernels.move.untranspose(y + r * job.y.s_c * itemsize, job.y.s_c,
                                         sums + (i * count * width + r) * itemsize, width, min(lanes, rows - r), count)
                r += lanes
        k += width


# ---- DOT -----------------------------------------------------------------------------------------------------------


cdef void dot_run(const Gather *job, idx group, idx n, idx p, idx q0, idx q1, idx k0, idx k1,
                  const Scratch *scratch) noexcept nogil:
    """Outputs q0 ... q1 of row p: their windows where they lie, or staged with zeros around them."""
    cdef const fc_kernels *kernels = job.kernels
    cdef const Image *x = &job.x
    cdef const Grid *grid = &job.grid
    cdef idx itemsize = kernels.itemsize, apart_h = abs_of(grid.apart_h), apart_w = abs_of(grid.apart_w)
    cdef idx h0 = p * grid.step_h + grid.min_h, w0 = q0 * grid.step_w + grid.min_w, cols = kernels.correlate.dot_cols
    cdef idx width = (q1 - 1 - q0) * grid.step_w + (grid.S - 1) * apart_w + 1
    cdef idx row = apart_h * x.s_h, pixel = x.s_w, left = min(width, max(0, -w0)), r, q, c, k, filters, h
    cdef idx count = max(0, min(width, x.w - w0) - left), depth = job.C * grid.R * grid.S
    # The window's first element, which may lie far outside of the image: there is no address of it then.
    cdef idx start = n * x.s_n + group * job.C + h0 * x.s_h + w0 * x.s_w
    cdef char *data
    # Whether the columns of a window's row are summed as one: staged or not, for the order of sums is to be the same.
    cdef bint whole = apart_w * pixel == job.C
    cdef idx[FC_MAX_ROWS] places
    cdef fc_run to
    if (h0 < 0 or h0 + (grid.R - 1) * apart_h >= x.h or count < width
            or x.data + (start + max(0, (width - 1) * pixel) + max(0, (grid.R - 1) * row) + job.C + kernels.lanes)
            * itemsize > x.end):
        for r in range(grid.R):
            h = h0 + r * apart_h
            c = count if 0 <= h < x.h else 0
            kernels.move.stage(scratch.stage + r * width * job.C * itemsize, job.C,
                               x.data + (start + r * row + left * pixel) * itemsize if c > 0 else x.data, pixel, 1,
                               width, left, left + c, 0, job.C, 0, 0)
        data, pixel, row = scratch.stage, job.C, width * job.C
    else:
        data = x.data + start * itemsize
    to.offset = 0
    q = q0
    while q < q1:
        to.count = min(cols, q1 - q)
        # A ragged last tile repeats the last pixel; what it sums there is not used.
        for c in range(cols):
            places[c] = min(q - q0 + c, q1 - 1 - q0) * grid.step_w * pixel
        k = k0
        while k < k1:
            filters = min(job.k_tile, k1 - k)
            memcpy(scratch.sums, scratch.panel + (k - k0) * cols * itemsize, filters * cols * itemsize)
            kernels.correlate.dot[filters - 1](grid.R, 1 if whole else grid.S, grid.S * job.C if whole else job.C,
                                               job.filters + (group * job.K + k) * depth * itemsize, depth,
                                               grid.S * job.C, job.C, data, places, row, apart_w * pixel, scratch.sums)
            kernels.move.scatter(scratch.sums, cols,
                                 job.y.data + (n * job.y.s_n + (group * job.K + k) * job.y.s_c + p * job.y.s_h
                                               + q * job.y.s_w) * itemsize, job.y.s_c, job.y.s_w, filters, 1, &to)
            k += filters
        q += cols


cdef void gather_dot(const Gather *job, idx group, const Block *block, idx k0, idx k1,
                     const Scratch *scratch) noexcept nogil:
    cdef const Grid *grid = &job.grid
    cdef idx itemsize = job.kernels.itemsize, cols = job.kernels.correlate.dot_cols, reach_w = abs_of(grid.apart_w)
    cdef idx k, i, n, p, h, first, last, end = block.q0 + block.cols
    memset(scratch.panel, 0, (k1 - k0) * cols * itemsize)
    for k in range(k1 - k0 if job.bias != NULL else 0):
        for i in range(cols):
            memcpy(scratch.panel + (k * cols + i) * itemsize, bias_of(job, group, k0 + k), itemsize)
    # Outputs whose columns are all inside.
    first = min(end, max(block.q0, parts(-grid.min_w, grid.step_w)))
    h = job.x.w - 1 - grid.min_w - (grid.S - 1) * reach_w
    last = max(first, min(end, h // grid.step_w + 1 if h >= 0 else 0))
    for n in range(block.n0, block.n0 + block.images):
        for p in range(block.p0, block.p0 + block.rows):
            h = p * grid.step_h + grid.min_h
            if block.cols <= FEW_COLS or h < 0 or h + (grid.R - 1) * abs_of(grid.apart_h) >= job.x.h:
                dot_run(job, group, n, p, block.q0, end, k0, k1, scratch)
                continue
            if block.q0 < first:
                dot_run(job, group, n, p, block.q0, first, k0, k1, scratch)
            if first < last:
                dot_run(job, group, n, p, first, last, k0, k1, scratch)
            if last < end:
                dot_run(job, group, n, p, last, end, k0, k1, scratch)
