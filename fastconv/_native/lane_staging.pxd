"""A source with channels along the lanes: how it is cut into bands and vectors of channels, and how these are staged.

A vector of channels of some rows is copied to [row][column][lane] with zeros around it. Of channels that are neighbours
in memory as many vectors are copied at once as stay in L2, and the rows that the next band sees too are moved.
"""

from libc.string cimport memmove, memset

from fastconv._native.few_channels cimport LEAST_ROWS, MOST_BYTES, Layer, has_small_windows, set_layer
from fastconv._native.kernels cimport fc_kernels, idx, parts, up
from fastconv._native.memory cimport LINE
from fastconv._native.problem cimport INPUT_GRADIENT, Image, Problem, at, channels_last

cdef enum:
    UNITS = 8                 # pieces of the work there, at the least


cdef struct Lanes:
    # What all passes share: the layer, and how its source is cut and staged.
    Layer layer
    const fc_kernels *kernels
    idx mix                   # neighbours along the lanes that see each other: channels of a group, or 1
    idx channels              # of the source
    idx filters               # of each channel; or 1 of a group's, and then with `mix` channels
    idx vectors               # of channels
    idx lowest, reach, step   # output row p sees rows p * step + lowest ... p * step + lowest + reach
    idx left, columns         # zeros to the left of a staged row; its columns in all
    idx height                # rows of outputs of each residue, at the most
    idx bands, band           # how many, and how many rows of outputs each has at the most
    idx together              # vectors of channels that are staged at once
    idx pitch                 # bytes from one of them to the next


cdef inline idx table_rows(const Lanes *lanes, idx outputs) noexcept nogil:
    return (outputs - 1) * lanes.step + lanes.reach + 1


cdef inline idx odd_lines(idx vectors, const fc_kernels *kernels) noexcept nogil:
    """Bytes for so many vectors, an odd number of lines: else a pixel of many of them would fall into one cache set."""
    return (parts(vectors * kernels.lanes * kernels.itemsize, LINE) | 1) * LINE


cdef inline bint set_lanes(Lanes *lanes, const Problem *problem) noexcept nogil:
    """Whether there are kernels for it, and how the source is cut."""
    cdef Layer *layer = &lanes.layer
    cdef const fc_kernels *kernels = problem.kernels
    cdef idx width, row, line, most, written, least = LEAST_ROWS, bytes = problem.tuning.blocks.lanes_bytes
    cdef idx channels = problem.w.c, filters = problem.w.n // problem.groups
    lanes.mix = filters if problem.which == INPUT_GRADIENT else channels
    if lanes.mix > 1 and (channels != filters or lanes.mix > kernels.lanes or lanes.mix not in (2, 4, 8)):
        return False
    if not has_small_windows(problem):
        return False
    set_layer(layer, problem)
    lanes.kernels = kernels
    lanes.channels = layer.groups * lanes.mix
    lanes.filters = layer.filters if lanes.mix == 1 else 1
    lanes.vectors = parts(lanes.channels, kernels.lanes)
    lanes.lowest, lanes.reach, lanes.step = layer.rows.least, layer.rows.most - layer.rows.least, layer.rows.step
    lanes.height = parts(layer.outputs.h, layer.rows.residues)
    width = parts(layer.outputs.w, layer.columns.residues)
    lanes.left = max(0, -layer.columns.least)
    lanes.columns = lanes.left + max(layer.source.w, (width - 1) * layer.columns.step + layer.columns.most + 1)
    if (lanes.reach + 1.0 + 2.0 * LEAST_ROWS * lanes.step) * lanes.columns * LINE > MOST_BYTES:
        return False
    written = layer.outputs.w * layer.rows.residues
    row = lanes.columns * kernels.lanes * kernels.itemsize
    most = problem.tuning.blocks.lanes_band // max(written, lanes.step * lanes.columns)
    lanes.together = 1
    if channels_last(&layer.source):
        # Rows that the next band sees too are moved, so that it may be low.
        least = max(2, lanes.reach // lanes.step)
        # Of a pixel as many neighbours as there is room for in some rows; a band is as high as the room is then.
        line = max(1, LINE // (kernels.lanes * kernels.itemsize))
        lanes.together = max(line, bytes // (row * table_rows(lanes, min(lanes.height, least))) // line * line)
        # Few images are shared out among threads by channels.
        lanes.together = min(lanes.together,
                             parts(lanes.vectors, parts(UNITS, layer.outputs.n * parts(lanes.height, 16))))
        lanes.together = min(lanes.vectors, up(parts(lanes.vectors, parts(lanes.vectors, lanes.together)), line))
        most = min(most, (bytes // (row * lanes.together) - lanes.reach - 1) // lanes.step + 1)
    lanes.bands = max(1, min(parts(lanes.height, max(1, most)), lanes.height // least))
    lanes.band = parts(lanes.height, lanes.bands)
    lanes.pitch = odd_lines(table_rows(lanes, lanes.band) * lanes.columns, kernels)
    return True


cdef struct Unit:
    # Rows p0 ... p1 of outputs of vectors v0 ... v1 of an image's channels.
    idx n, p0, p1, v0, v1
    idx held, moved           # rows that the unit before has staged too, and from which of its rows on


cdef inline void set_unit(Unit *unit, const Lanes *lanes, idx n, idx v0, idx v1, idx band,
                          bint follows) noexcept nogil:
    """With `follows`, `unit` is the band before of the same channels."""
    cdef idx p0 = band * lanes.height // lanes.bands
    follows = follows and band > 0
    unit.held = max(0, lanes.reach + 1 - lanes.step) if follows else 0
    unit.moved = (p0 - unit.p0) * lanes.step if follows else 0
    unit.n, unit.p0, unit.p1, unit.v0, unit.v1 = n, p0, (band + 1) * lanes.height // lanes.bands, v0, v1


cdef inline void put_lanes(const fc_kernels *kernels, const Image *image, const char *source, idx apart, idx channels,
                           idx n_rows, char *to, idx columns, idx pitch) noexcept nogil:
    """Put rows of some channels, `apart` elements apart, along the lanes of vectors `pitch` bytes apart."""
    # Where no vector can leave the array, vectors are read for single elements too.
    cdef idx far = max(0, (n_rows - 1) * image.s_h) + max(0, (channels - 1) * apart) + kernels.lanes
    far += max(image.w - kernels.lanes, 0) if image.s_w == 1 else max(0, (image.w - 1) * image.s_w)
    kernels.windows.to_lanes(to, columns, pitch // kernels.itemsize, source, image.s_h, apart, image.s_w, channels,
                             n_rows, image.w, source + far * kernels.itemsize <= image.end)


cdef inline void stage(const Lanes *lanes, const Unit *unit, char *to) noexcept nogil:
    """What a unit sees; beside its columns lie zeros already."""
    cdef const Image *source = &lanes.layer.source
    cdef idx itemsize = lanes.kernels.itemsize, width = lanes.kernels.lanes
    cdef idx row = lanes.columns * width * itemsize, c = unit.v0 * width
    cdef idx first = unit.p0 * lanes.step + lanes.lowest, start = first + unit.held
    cdef idx end = first + table_rows(lanes, unit.p1 - unit.p0)
    cdef idx top = min(max(start, 0), end), bottom = max(top, min(end, source.h))
    cdef char *vector = to
    for _ in range(unit.v0, unit.v1):
        memmove(vector, vector + unit.moved * row, unit.held * row)
        memset(vector + unit.held * row, 0, (top - start) * row)
        memset(vector + (bottom - first) * row, 0, (end - bottom) * row)
        vector += lanes.pitch
    if bottom > top:
        put_lanes(lanes.kernels, source, at(source, itemsize, unit.n, c, top, 0), source.s_c,
                  min(unit.v1 * width, lanes.channels) - c, bottom - top,
                  to + (top - first) * row + lanes.left * width * itemsize, lanes.columns, lanes.pitch)
