"""Convolution with few channels a group, as in depthwise layers, by windows over rows that are read where they lie.

Nothing but the filters is packed, and where rows are dense nothing is copied. A kernel reads rows of pixels through a
table of a band's rows and keeps its sums in registers. A row above or below the image is a row of zeros in that table,
and a row that whole vectors cannot be read from is a copy. Columns beside the image are masked in the kernel.

Forward and input gradient go over images, groups and bands of rows, of which a task does some; in a band over the
filters and the residues of rows. Even and odd columns of the input gradient with stride 2 have taps of their own, and
the kernel interleaves them as it stores them. A task of the weight gradient is a part of the groups in a slice of the
(image, band) pairs; the sums of the slices are added up in float64.

The figures behind this are in docs/decisions/depthwise.md.
"""

from libc.string cimport memset

from fastconv._native.few_channels cimport (
    LEAST_ROWS, MOST_RESIDUES, Layer, Slices, copy_number, cut_slices, elements, far_pixels, has_small_windows,
    lay_out_slices, lay_out_taps, put_total, set_axes, set_layer, taps_of,
)
from fastconv._native.kernels cimport (
    FC_WINDOW_SUMS, FC_WINDOW_TAPS, fc_fence, fc_kernels, fc_run, fc_tap, fc_windows, idx, parts,
    store_far, up,
)
from fastconv._native.memory cimport Arena, Workspace, carve, release, reserve
from fastconv._native.problem cimport INPUT_GRADIENT, WEIGHT_GRADIENT, Image, Problem, at, channels_last
from fastconv._native.runtime cimport run_tasks, threads_for
from fastconv._native.tuning cimport FEATURES, WINDOWS

cdef enum:
    MOST_PAIRS = 16           # of a channel and a filter of a group
    FOLD = 4096               # pixels that float32 sums before they are added to the total in float64
    GROUPS = 32               # whose sums of the weight gradient are kept together


# ---- where rows come from ------------------------------------------------------------------------------------------

cdef struct Rows:
    # The table of a band holds, of each channel of a group, the rows that its outputs see. A channel's rows begin where
    # those of the channel before would end in a full band.
    const fc_kernels *kernels
    Image source
    idx channels
    idx lowest, reach, step   # output row p sees rows p * step + lowest ... p * step + lowest + reach
    idx left, right           # columns -left ... right of every row are read
    idx start, stop           # outputs of a row in between see no column beside the image
    bint in_place             # rows lie dense and in order
    idx bands, band           # how many, and how many rows of outputs each has at the most
    char *zeros               # a row of them
    char *mask                # a row with all bits set where there are pixels, else none


cdef inline idx table_rows(const Rows *rows, idx outputs) noexcept nogil:
    return (outputs - 1) * rows.step + rows.reach + 1


cdef inline idx copy_width(const Rows *rows) noexcept nogil:
    return up(rows.left + rows.right, 16) + 16


cdef void set_rows(Rows *rows, const Layer *layer, const fc_kernels *kernels, idx outputs) noexcept nogil:
    """What is read for `outputs` rows of outputs: by the kernel, whole vectors."""
    cdef const Image *source = &layer.source
    cdef idx width = parts(layer.outputs.w, layer.columns.residues), stride = layer.columns.step
    cdef idx least = layer.columns.least, most = layer.columns.most, pixels
    rows.kernels, rows.source, rows.channels = kernels, layer.source, layer.channels
    rows.in_place = source.s_w == 1 and source.s_n >= 0 and source.s_c >= 0 and source.s_h >= 0
    rows.lowest, rows.reach, rows.step = layer.rows.least, layer.rows.most - layer.rows.least, layer.rows.step
    rows.start = parts(-least, stride) if least < 0 else 0
    rows.stop = (source.w - 1 - most) // stride + 1 if source.w > most else 0
    rows.left = max(0, -least)
    rows.right = max(source.w, max(width, kernels.lanes) * stride + most)
    # By what is read, or by what is written.
    pixels = outputs * max(layer.outputs.w * layer.rows.residues, rows.step * (rows.left + rows.right))
    rows.bands = max(1, min(parts(pixels, layer.tuning.blocks.windows_band), outputs // LEAST_ROWS))
    rows.band = parts(outputs, rows.bands)


cdef void lay_out_borders(Rows *rows, Arena *tables) noexcept nogil:
    cdef idx itemsize = rows.kernels.itemsize
    rows.zeros = <char *>carve(tables, copy_width(rows), itemsize) + rows.left * itemsize
    rows.mask = <char *>carve(tables, copy_width(rows), itemsize) + rows.left * itemsize


cdef void fill_borders(const Rows *rows) noexcept nogil:
    cdef idx itemsize = rows.kernels.itemsize
    memset(rows.zeros - rows.left * itemsize, 0, copy_width(rows) * itemsize)
    memset(rows.mask - rows.left * itemsize, 0, copy_width(rows) * itemsize)
    memset(rows.mask, 255, rows.source.w * itemsize)


cdef struct Scratch:
    const void **table
    char *copies              # rows that cannot be read where they lie
    char *tile                # outputs of a band, where these do not lie in dense rows or go past the caches
    char *sums                # of the weight gradient: [group][filter][tile of taps][sum][lane]
    char *dy                  # a copy of dy's rows


cdef void lay_out_table(const Rows *rows, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef idx count = rows.channels * table_rows(rows, rows.band)
    scratch.table = <const void **>carve(arena, count, sizeof(void *))
    scratch.copies = <char *>carve(arena, <double>count * copy_width(rows), rows.kernels.itemsize)


cdef void fill_table(const Rows *rows, idx n, idx group, idx p0, idx p1, const Scratch *scratch) noexcept nogil:
    """The rows that rows p0 ... p1 of outputs see."""
    cdef idx itemsize = rows.kernels.itemsize, width = copy_width(rows), first = p0 * rows.step + rows.lowest
    cdef idx count = table_rows(rows, p1 - p0), top = max(first, 0), bottom = min(first + count, rows.source.h), c, i
    cdef idx pitch = rows.source.s_h * itemsize
    cdef const Image *source = &rows.source
    cdef const void **to
    cdef char *copy = scratch.copies
    cdef char *plane
    cdef char *row
    cdef bint all_in_place
    for c in range(rows.channels):
        to = scratch.table + c * table_rows(rows, rows.band)
        plane = at(source, itemsize, n, group * rows.channels + c, 0, 0)
        # Only the first and the last planes of an array lie so close to its ends that vectors would leave it.
        all_in_place = (rows.in_place and top < bottom and plane + top * pitch - rows.left * itemsize >= source.data
                        and plane + (bottom - 1) * pitch + rows.right * itemsize <= source.end)
        for i in range(count):
            # A row outside of the image may have no address.
            if first + i < top or first + i >= bottom:
                to[i] = rows.zeros
                continue
            row = plane + (first + i) * pitch
            if all_in_place or (rows.in_place and row - rows.left * itemsize >= source.data
                                and row + rows.right * itemsize <= source.end):
                to[i] = row
            else:
                rows.kernels.move.stage(copy, width, row, 0, source.s_w, 1, 0, 1, rows.left, source.w,
                                        rows.right - source.w, 0)
                to[i] = copy + rows.left * itemsize
                copy += width * itemsize


cdef void choose_block(fc_windows *windows, idx n_rows, idx n_cols, bint side_by_side, idx outputs) noexcept nogil:
    """The block of taps, of n_rows x n_cols in all, that the kernels have a form for."""
    windows.height = windows.span = 1
    if not side_by_side or outputs < 4 or windows.step != windows.stride:
        return
    if windows.phases == 2:
        if windows.step == 1 and (n_rows == 2 or n_rows == 3):
            windows.height = n_rows
    elif n_rows == n_cols and (windows.step == 1 and (n_rows == 3 or n_rows == 5)
                               or windows.step == 2 and n_rows == 3):
        windows.height, windows.span = n_rows, n_cols
    elif windows.step == 1 and n_rows == 7 or windows.step == 2 and n_rows == 5:
        windows.height = n_rows


# ---- forward and input gradient ------------------------------------------------------------------------------------

cdef struct Residue:
    # What outputs in rows a, a + residues, ... have in common.
    fc_windows windows
    const char *w             # of each filter, its taps block after block
    idx n_taps                # of a filter


cdef struct Windows:
    Layer layer
    Rows rows
    Residue residues[MOST_RESIDUES]
    const char *bias
    bint farthest             # no cache holds the outputs, which lie dense: bands are stored past the caches
    idx height                # rows of outputs of each residue, at the most
    idx units, per_task       # (image, group, band) triples, in all and in a task
    char *w
    fc_tap *taps


cdef void set_windows(Windows *windows, const Problem *problem) noexcept nogil:
    cdef Layer *layer = &windows.layer
    cdef Rows *rows = &windows.rows
    cdef idx phases, i, b
    cdef bint side_by_side
    cdef fc_windows *seen
    set_layer(layer, problem)
    phases = layer.columns.residues
    windows.height = parts(layer.outputs.h, layer.rows.residues)
    windows.bias = problem.bias
    windows.farthest = not channels_last(&layer.outputs) and (
        elements(&layer.outputs) * problem.kernels.itemsize >= layer.tuning.blocks.few_farthest_bytes)
    set_rows(rows, layer, problem.kernels, windows.height)
    side_by_side = layer.rows.apart == 1 and (phases == 2 or layer.columns.apart == 1)
    for i in range(layer.rows.residues):
        seen = &windows.residues[i].windows
        seen.width, seen.phases = layer.outputs.w, phases
        seen.step, seen.stride = rows.step, layer.columns.step
        seen.start, seen.stop = rows.start, rows.stop
        choose_block(seen, taps_of(&layer.rows, i), layer.w.w, side_by_side,
                     min(windows.height, max(0, parts(layer.outputs.h - i, layer.rows.residues))))
        for b in range(phases):
            seen.n_blocks[b] = (taps_of(&layer.columns, b) // seen.span * (taps_of(&layer.rows, i) // seen.height)
                                * layer.channels)
        windows.residues[i].n_taps = taps_of(&layer.rows, i) * layer.w.w * layer.channels
    windows.units = layer.outputs.n * layer.groups * rows.bands
    windows.per_task = max(1, layer.tuning.blocks.few_task // (rows.band * layer.rows.residues * layer.outputs.w))


cdef void lay_out_windows(Windows *windows, Arena *tables) noexcept nogil:
    cdef Layer *layer = &windows.layer
    cdef double n_taps = layer.channels * layer.w.h * layer.w.w
    lay_out_taps(layer, tables)
    windows.taps = <fc_tap *>carve(tables, n_taps, sizeof(fc_tap))
    windows.w = <char *>carve(tables, n_taps * layer.groups * layer.filters, windows.rows.kernels.itemsize)
    lay_out_borders(&windows.rows, tables)


cdef void lay_out_band(const Windows *windows, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef const Image *outputs = &windows.layer.outputs
    lay_out_table(&windows.rows, arena, scratch)
    if windows.farthest or channels_last(outputs):
        scratch.tile = <char *>carve(arena, <double>windows.rows.band * windows.layer.rows.residues * outputs.w,
                                     windows.rows.kernels.itemsize)


cdef fc_tap *find_blocks(const Windows *windows, const Residue *residue, idx row0, idx n_rows,
                         fc_tap *tap) noexcept nogil:
    """Where the blocks of a residue with the taps' rows row0, row0 + 1, ... read; returns the place for the next."""
    cdef const Layer *layer = &windows.layer
    cdef const fc_windows *seen = &residue.windows
    cdef idx b, c, s, r
    for b in range(seen.phases):
        for c in range(layer.channels):
            # Not by range(), which counts in Python's integers where the step is no constant.
            s = layer.columns.first[b]
            while s < layer.columns.first[b + 1]:
                r = row0
                while r < row0 + n_rows:
                    tap.row = (layer.rows.at[r] - windows.rows.lowest
                               + c * table_rows(&windows.rows, windows.rows.band))
                    tap.col = layer.columns.at[s]
                    tap += 1
                    r += seen.height
                s += seen.span
    return tap


cdef char *pack_filter(const Windows *windows, const Residue *residue, idx row0, idx n_rows, const char *w,
                       char *to) noexcept nogil:
    """A filter's taps in the order of these blocks, and down the columns of each; returns the place for the next."""
    cdef const Layer *layer = &windows.layer
    cdef const fc_windows *seen = &residue.windows
    cdef idx itemsize = windows.rows.kernels.itemsize, b, c, s, r, column, row, place
    for b in range(seen.phases):
        for c in range(layer.channels):
            s = layer.columns.first[b]
            while s < layer.columns.first[b + 1]:
                r = row0
                while r < row0 + n_rows:
                    for column in range(s, s + seen.span):
                        for row in range(r, r + seen.height):
                            place = (c * layer.w_channel + layer.rows.tap[row] * layer.w.s_h
                                     + layer.columns.tap[column] * layer.w.s_w)
                            copy_number(to, w + place * itemsize, itemsize)
                            to += itemsize
                    r += seen.height
                s += seen.span
    return to


cdef void fill_tables(Windows *windows, const Problem *problem) noexcept nogil:
    cdef Layer *layer = &windows.layer
    cdef Residue *residue
    cdef fc_tap *tap = windows.taps
    cdef char *packed = windows.w
    cdef idx i, group, k, itemsize = windows.rows.kernels.itemsize
    set_axes(layer, problem)
    fill_borders(&windows.rows)
    for i in range(layer.rows.residues):
        residue = &windows.residues[i]
        residue.windows.taps, residue.windows.mask, residue.w = tap, windows.rows.mask, packed
        tap = find_blocks(windows, residue, layer.rows.first[i], taps_of(&layer.rows, i), tap)
        for group in range(layer.groups):
            for k in range(layer.filters):
                packed = pack_filter(windows, residue, layer.rows.first[i], taps_of(&layer.rows, i),
                                     layer.w.data + (group * layer.w_group + k * layer.w_filter) * itemsize, packed)


cdef void run_band(const Windows *windows, idx n, idx group, idx band, const Scratch *scratch) noexcept nogil:
    cdef const fc_kernels *kernels = windows.rows.kernels
    cdef const Image *outputs = &windows.layer.outputs
    cdef const Residue *residue
    cdef const char *bias
    cdef idx itemsize = kernels.itemsize, residues = windows.layer.rows.residues, p0 = 0, p1 = windows.height
    cdef idx k, i, f, row, count
    cdef bint dense = not channels_last(outputs)
    cdef fc_run whole_row = fc_run(0, outputs.w)
    cdef char *y
    cdef char *to
    if windows.rows.bands > 1:
        p0, p1 = band * p1 // windows.rows.bands, (band + 1) * p1 // windows.rows.bands
    fill_table(&windows.rows, n, group, p0, p1, scratch)
    for k in range(windows.layer.filters):
        f = group * windows.layer.filters + k
        bias = windows.bias + f * itemsize if windows.bias != NULL else NULL
        for i in range(residues):
            residue = &windows.residues[i]
            row = p0 * residues + i
            # The last residues may have a row less.
            count = p1 - p0 - (1 if row + (p1 - p0 - 1) * residues >= outputs.h else 0)
            if count <= 0:
                continue
            y = at(outputs, itemsize, n, f, row, 0)
            to = scratch.tile + i * outputs.w * itemsize if windows.farthest else y if dense else scratch.tile
            kernels.windows.rows(to, (residues if dense else 1) * outputs.w, count,
                                 scratch.table, &residue.windows, residue.w + f * residue.n_taps * itemsize, bias)
            if not dense:
                kernels.move.scatter(scratch.tile, outputs.w, y, residues * outputs.s_h, outputs.s_w, count, 1,
                                     &whole_row)
        if windows.farthest:
            row = p0 * residues
            store_far(kernels, at(outputs, itemsize, n, f, row, 0), scratch.tile,
                      (min(outputs.h, p1 * residues) - row) * outputs.w * itemsize)


cdef void run_bands(const void *job, idx task, char *memory) noexcept nogil:
    cdef const Windows *windows = <const Windows *>job
    cdef idx bands = windows.rows.bands, first = task * windows.per_task, band = first % bands
    cdef idx group = first // bands % windows.layer.groups, n = first // bands // windows.layer.groups
    cdef Scratch scratch
    cdef Arena arena = Arena(memory, 0)
    lay_out_band(windows, &arena, &scratch)
    for _ in range(first, min(windows.units, first + windows.per_task)):
        run_band(windows, n, group, band, &scratch)
        band += 1
        if band == bands:
            band = 0
            group += 1
        if group == windows.layer.groups:
            group = 0
            n += 1
    if windows.farthest:
        fc_fence()


# ---- weight gradient -----------------------------------------------------------------------------------------------

cdef struct WindowSums:
    Layer layer
    Rows rows
    fc_windows windows
    idx n_taps                # of a filter
    idx span                  # columns of a block in a tile of taps
    idx tiles, n_sums         # tiles of taps, and their sums
    Slices slices             # with totals [group][filter][tap]
    fc_tap *taps              # of each tile; single ones are repeated to fill the last tile
    idx *spans                # of each tile
    idx *slots                # of each sum, its tap, or -1


cdef void set_sums(WindowSums *sums, const Problem *problem) noexcept nogil:
    cdef Layer *layer = &sums.layer
    cdef const Image *w = &problem.w
    set_layer(layer, problem)
    set_rows(&sums.rows, layer, problem.kernels, layer.outputs.h)
    sums.n_taps = layer.channels * w.h * w.w
    sums.windows.width, sums.windows.phases = layer.outputs.w, 1
    sums.windows.step, sums.windows.stride = problem.stride_h, problem.stride_w
    sums.windows.start, sums.windows.stop = sums.rows.start, sums.rows.stop
    choose_block(&sums.windows, w.h, w.w, problem.dilation_h == 1 and problem.dilation_w == 1, 4)
    if sums.windows.height > 1:
        sums.span = FC_WINDOW_SUMS // sums.windows.height
        sums.tiles = layer.channels * parts(w.w, sums.span)
        sums.n_sums = sums.n_taps
    else:
        sums.span = FC_WINDOW_TAPS
        sums.tiles = parts(sums.n_taps, FC_WINDOW_TAPS)
        sums.n_sums = sums.tiles * FC_WINDOW_TAPS
    cut_slices(&sums.slices, layer.outputs.n * sums.rows.bands, layer.groups,
               parts(layer.groups, parts(layer.groups, GROUPS)), layer.filters * sums.n_taps)


cdef void lay_out_sums(WindowSums *sums, Arena *tables) noexcept nogil:
    sums.taps = <fc_tap *>carve(tables, sums.tiles * FC_WINDOW_TAPS, sizeof(fc_tap))
    sums.spans = <idx *>carve(tables, sums.tiles, sizeof(idx))
    sums.slots = <idx *>carve(tables, sums.n_sums, sizeof(idx))
    lay_out_slices(&sums.slices, tables)
    lay_out_borders(&sums.rows, tables)


cdef void lay_out_slice(const WindowSums *sums, Arena *arena, Scratch *scratch) noexcept nogil:
    cdef const fc_kernels *kernels = sums.rows.kernels
    cdef double count = sums.slices.together * sums.layer.filters * sums.n_sums
    scratch.sums = <char *>carve(arena, count * kernels.lanes, kernels.itemsize)
    # The kernel may read a vector more.
    scratch.dy = <char *>carve(arena, <double>sums.rows.band * sums.layer.outputs.w + kernels.lanes, kernels.itemsize)
    lay_out_table(&sums.rows, arena, scratch)


cdef void fill_sums_tables(WindowSums *sums, const Problem *problem) noexcept nogil:
    cdef const Image *w = &problem.w
    cdef idx tile, tile_parts = parts(w.w, sums.span), i, c, s, t, n = 0
    cdef idx channel_rows = table_rows(&sums.rows, sums.rows.band)
    cdef fc_tap *tap
    fill_borders(&sums.rows)
    sums.windows.mask = sums.rows.mask
    for tile in range(sums.tiles):
        sums.spans[tile] = sums.span
        tap = sums.taps + tile * FC_WINDOW_TAPS
        if sums.windows.height == 1:
            for i in range(FC_WINDOW_TAPS):
                t = min(n, sums.n_taps - 1)
                sums.slots[n] = t if n < sums.n_taps else -1
                tap[i].row = t // (w.h * w.w) * channel_rows + t // w.w % w.h * problem.dilation_h
                tap[i].col = t % w.w * problem.dilation_w - problem.pad_w
                n += 1
        else:
            c, s = tile // tile_parts, tile % tile_parts * sums.span
            tap.row, tap.col = c * channel_rows, s - problem.pad_w
            sums.spans[tile] = min(sums.span, w.w - s)
            for i in range(w.h * sums.spans[tile]):
                sums.slots[n] = (c * w.h + i // sums.spans[tile]) * w.w + s + i % sums.spans[tile]
                n += 1


cdef void fold(const WindowSums *sums, idx groups, char *lane_sums, double *totals) noexcept nogil:
    """Add up the lanes of the sums, and begin anew."""
    cdef idx lanes = sums.rows.kernels.lanes, step = lanes * sums.rows.kernels.itemsize, i, t
    cdef char *sum = lane_sums
    for i in range(groups * sums.layer.filters):
        for t in range(sums.n_sums):
            if sums.slots[t] >= 0:
                totals[i * sums.n_taps + sums.slots[t]] += sums.rows.kernels.passes.total(sum, lanes)
            sum += step
    memset(lane_sums, 0, sum - lane_sums)


cdef void sum_band(const WindowSums *sums, idx n, idx group, idx p0, idx p1, const Scratch *scratch,
                   char *to) noexcept nogil:
    """Add to a group's sums what some rows of dy and the rows that they see give."""
    cdef const fc_kernels *kernels = sums.rows.kernels
    cdef const Image *image = &sums.layer.outputs
    cdef idx itemsize = kernels.itemsize, k, t, dy_row
    cdef const char *dy
    cdef const char *last
    fill_table(&sums.rows, n, group, p0, p1, scratch)
    for k in range(sums.layer.filters):
        dy, dy_row = at(image, itemsize, n, group * sums.layer.filters + k, p0, 0), image.s_h
        last = dy + ((p1 - p0 - 1) * dy_row + kernels.lanes) * itemsize
        if image.s_w != 1 or dy_row < 0 or image.w < kernels.lanes and last > image.end:
            kernels.move.stage(scratch.dy, image.w, dy, dy_row, image.s_w, p1 - p0, 0, p1 - p0, 0, image.w, 0, 0)
            dy, dy_row = scratch.dy, image.w
        for t in range(sums.tiles):
            kernels.windows.row_sums(to, dy, dy_row, p1 - p0, scratch.table, &sums.windows, sums.spans[t],
                                     sums.taps + t * FC_WINDOW_TAPS)
            to += sums.windows.height * sums.spans[t] * kernels.lanes * itemsize


cdef void sum_slice(const void *job, idx task, char *memory) noexcept nogil:
    cdef const WindowSums *sums = <const WindowSums *>job
    cdef const Layer *layer = &sums.layer
    cdef idx part = task // sums.slices.n_slices, cut = task % sums.slices.n_slices, bands = sums.rows.bands
    cdef idx first = part * sums.slices.together, groups = min(sums.slices.together, layer.groups - first)
    cdef idx step = layer.filters * sums.n_sums * sums.rows.kernels.lanes * sums.rows.kernels.itemsize
    cdef idx P = layer.outputs.h, units = min(layer.outputs.n * bands, (cut + 1) * sums.slices.units)
    cdef idx unit, p0, p1, group, pixels = 0
    cdef double *totals = sums.slices.totals + task * sums.slices.pitch
    cdef Scratch scratch
    cdef Arena arena = Arena(memory, 0)
    lay_out_slice(sums, &arena, &scratch)
    memset(scratch.sums, 0, groups * step)
    memset(totals, 0, sums.slices.pitch * sizeof(double))
    for unit in range(cut * sums.slices.units, units):
        p0, p1 = unit % bands * P // bands, (unit % bands + 1) * P // bands
        for group in range(groups):
            sum_band(sums, unit // bands, first + group, p0, p1, &scratch, scratch.sums + group * step)
        pixels += (p1 - p0) * layer.outputs.w
        if pixels >= FOLD:
            fold(sums, groups, scratch.sums, totals)
            pixels = 0
    fold(sums, groups, scratch.sums, totals)


cdef void add_slices(const WindowSums *sums) noexcept nogil:
    """dw, out of the totals of all slices."""
    cdef const Image *w = &sums.layer.w
    cdef idx f, c, r, s, part_size = sums.slices.together * sums.layer.filters * sums.n_taps, i = 0
    cdef idx itemsize = sums.rows.kernels.itemsize
    for f in range(w.n):
        for c in range(w.c):
            for r in range(w.h):
                for s in range(w.w):
                    put_total(&sums.slices, i // part_size, i % part_size, at(w, itemsize, f, c, r, s), itemsize)
                    i += 1


# ---- the doors -----------------------------------------------------------------------------------------------------

cdef void count_reads(const Layer *layer, const Rows *rows, double *features) noexcept nogil:
    """What all passes share; products and loads are those of one tap in one row of outputs, which a pass multiplies."""
    cdef idx width = parts(layer.outputs.w, layer.columns.residues), lanes = rows.kernels.lanes
    cdef idx stride = layer.columns.step, vectors = parts(width, lanes)
    cdef idx inside = min(vectors, max(0, min(rows.stop, width) - rows.start) // lanes)
    cdef double images = <double>layer.outputs.n * layer.groups
    features[WINDOWS_ROWS] = images * rows.channels * rows.bands * table_rows(rows, rows.band)
    features[WINDOWS_COPIED] = 0 if rows.in_place else features[WINDOWS_ROWS] * layer.source.w
    features[WINDOWS_CALLS] = images * layer.filters * rows.bands
    features[WINDOWS_PRODUCTS] = images * layer.filters * vectors
    features[WINDOWS_LOADS] = features[WINDOWS_PRODUCTS] * (stride if stride in (1, 2, 4) else lanes)
    features[WINDOWS_MASKED] = features[WINDOWS_LOADS] * (vectors - inside) / vectors
    features[WINDOWS_FAR] = far_pixels(layer, True, rows.kernels.itemsize)
    features[WINDOWS_ONE] = 1


cdef void windows_features(const Problem *problem, int *rows, double *features) noexcept nogil:
    """Where many channels meet many filters, the general forms share what they load: this one is not asked about. The
    rows of tuning: others, or channels last."""
    cdef Windows windows
    cdef WindowSums sums
    cdef const Layer *layer = &sums.layer if problem.which == WEIGHT_GRADIENT else &windows.layer
    cdef const fc_windows *seen = &sums.windows
    cdef double products = 0, loads = 0, outputs
    cdef idx i, blocks, n_rows
    rows[0] = -1
    if problem.forced != WINDOWS and problem.w.n // problem.groups * problem.w.c > MOST_PAIRS:
        return
    if not has_small_windows(problem):
        return
    rows[0] = channels_last(&problem.x)
    memset(features, 0, FEATURES * sizeof(double))
    if problem.which == WEIGHT_GRADIENT:
        set_sums(&sums, problem)
        count_reads(layer, &sums.rows, features)
        products = loads = <double>sums.n_sums * layer.outputs.h
        if seen.height > 1:
            # Rows of dy that are done at once share what they load: four of them, or two with stride 2.
            n_rows = 4 // seen.step
            loads *= ((n_rows - 1.0) * seen.step + seen.height) / (n_rows * seen.height)
        features[WINDOWS_CALLS] *= sums.tiles
        outputs = <double>layer.outputs.n * layer.outputs.h * layer.outputs.w
        features[WINDOWS_COPIED] += outputs * layer.outputs.c if layer.outputs.s_w != 1 else 0
        features[WINDOWS_TAPS] = (outputs / FOLD + sums.slices.n_slices) * layer.outputs.c * sums.n_sums
    else:
        set_windows(&windows, problem)
        count_reads(layer, &windows.rows, features)
        for i in range(layer.rows.residues):
            seen = &windows.residues[i].windows
            blocks = seen.n_blocks[0] + (seen.n_blocks[1] if seen.phases == 2 else 0)
            # Kernels do four rows at once, the last of them anew; only single taps of fewer rows are done row by row.
            n_rows = windows.rows.band if seen.height == 1 and windows.rows.band < 4 else up(windows.rows.band, 4)
            n_rows *= windows.rows.bands * seen.span
            products += <double>n_rows * blocks * seen.height
            loads += <double>n_rows * blocks * (1 if seen.height == 1 else (3 * seen.step + seen.height) / 4.0)
        features[WINDOWS_CALLS] *= layer.rows.residues
        outputs = <double>layer.outputs.n * layer.outputs.c * layer.outputs.h * layer.outputs.w
        features[WINDOWS_COPIED] += outputs if channels_last(&layer.outputs) else 0
        features[WINDOWS_TAPS] = <double>layer.w.n * layer.w.c * layer.w.h * layer.w.w
    features[WINDOWS_PRODUCTS] *= products
    features[WINDOWS_LOADS] *= loads
    features[WINDOWS_MASKED] *= loads


cdef int windows_run(const Problem *problem, int form) except -1:
    cdef const Image *y = &problem.x if problem.which == INPUT_GRADIENT else &problem.y
    cdef double outputs = <double>y.n * y.c * y.h * y.w
    cdef Windows windows
    cdef WindowSums sums
    cdef Scratch scratch
    cdef Arena tables = Arena(NULL, 0), each = Arena(NULL, 0)
    cdef Workspace workspace
    cdef idx tasks, taps
    if problem.which == WEIGHT_GRADIENT:
        set_sums(&sums, problem)
        lay_out_sums(&sums, &tables)
        lay_out_slice(&sums, &each, &scratch)
        tasks = sums.slices.n_parts * sums.slices.n_slices
        reserve(&workspace, &tables, &each, threads_for(outputs * sums.n_taps, tasks))
        lay_out_sums(&sums, &tables)
        with nogil:
            fill_sums_tables(&sums, problem)
            run_tasks(sum_slice, &sums, tasks, 1, &workspace)
            add_slices(&sums)
    else:
        set_windows(&windows, problem)
        lay_out_windows(&windows, &tables)
        lay_out_band(&windows, &each, &scratch)
        tasks = parts(windows.units, windows.per_task)
        taps = (windows.layer.channels * problem.w.h * problem.w.w // windows.layer.rows.residues
                // windows.layer.columns.residues)
        reserve(&workspace, &tables, &each, threads_for(outputs * (taps + 4), tasks))
        lay_out_windows(&windows, &tables)
        with nogil:
            fill_tables(&windows, problem)
            run_tasks(run_bands, &windows, tasks, 1, &workspace)
    release(&workspace)
    return 0
