"""A window of a Pillow image, resampled as Pillow does, mirrored, and written into a tensor by tables of values."""

cimport numpy as cnp
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport ceil, fabs
from libc.stdint cimport int16_t, int64_t, uint8_t
from libc.string cimport memcpy, memset

cnp.import_array()

cdef extern from "pictures.h" nogil:
    int FC_PICTURE_TAPS
    int FC_PICTURE_WEIGHTS
    void fc_picture_across(
        const uint8_t *row, const int *first, const int16_t *weights, int pairs, int outputs, uint8_t *out
    )
    void fc_picture_down(
        const uint8_t *rows, int64_t stride, int count, const int16_t *weights, int width, uint8_t *out
    )
    void fc_picture_planes(
        const uint8_t *row, int width, int flip, const float *tables, int64_t plane, float *out
    )

cdef struct ArrowArray:
    # Of the Arrow C data interface, by which Pillow shows its pixels.
    int64_t length
    int64_t null_count
    int64_t offset
    int64_t n_buffers
    int64_t n_children
    const void **buffers
    ArrowArray **children
    ArrowArray *dictionary
    void *release
    void *private_data

MOST_TAPS = FC_PICTURE_TAPS     # pixels that an output may be made of


cdef const uint8_t *pixels_of(object capsule, int64_t count) except NULL:
    """The pixels in an "arrow_array" of lists of four bytes, `count` of them."""
    cdef ArrowArray *array = <ArrowArray *>PyCapsule_GetPointer(capsule, "arrow_array")
    if array.length != count or array.n_children != 1 or array.offset != 0:
        raise ValueError(f"expected an array of {count} pixels, got {array.length} in {array.n_children} parts")
    cdef ArrowArray *bytes_ = array.children[0]
    if bytes_.length != 4 * count or bytes_.n_buffers != 2 or bytes_.offset != 0 or bytes_.buffers[1] == NULL:
        raise ValueError(f"expected pixels of 4 bytes, got {bytes_.length} bytes for {count} pixels")
    return <const uint8_t *>bytes_.buffers[1]


cdef inline double filter_at(double x, bint cubic) noexcept nogil:
    """The triangle of width 2, or Keys' cubic of a = -0.5."""
    x = fabs(x)
    if not cubic:
        return 1 - x if x < 1 else 0
    if x < 1:
        return ((-0.5 + 2.0) * x - (-0.5 + 3.0)) * x * x + 1
    if x < 2:
        return (((x - 5) * x + 8) * x - 4) * -0.5
    return 0


cdef struct Resampling:
    # Of one dimension: how many pixels an output is made of at most, the first of each output, how many there are, and
    # their weights, two by two as pictures.h takes them; of outputs up to a multiple of four, the last ones of nothing.
    int length, outputs, places, pairs
    bint cubic
    double scale, wide
    int *first
    int *counts
    int16_t *weights


cdef int plan(Resampling *r, int length, int outputs, bint cubic) noexcept nogil:
    """How many pixels an output is made of at most."""
    r.length, r.outputs, r.cubic = length, outputs, cubic
    r.places = (outputs + 3) // 4 * 4
    r.scale = <double>length / outputs
    r.wide = r.scale if r.scale > 1 else 1.0
    cdef int taps = <int>ceil((2.0 if cubic else 1.0) * r.wide) * 2 + 1
    r.pairs = (taps + 1) // 2
    return taps


cdef size_t size_of(const Resampling *r) noexcept nogil:
    """Bytes of a plan's tables."""
    return r.places * (2 * sizeof(int) + FC_PICTURE_WEIGHTS * r.pairs * sizeof(int16_t))


cdef void weigh(Resampling *r, char *memory) noexcept nogil:
    """Pillow's weights."""
    cdef double support = (2.0 if r.cubic else 1.0) * r.wide
    cdef double center, total, weight
    cdef double real[64]
    cdef int i, k, low, high, whole, upper, most = 0
    cdef int16_t *at
    r.first = <int *>memory
    r.counts = r.first + r.places
    r.weights = <int16_t *>(r.counts + r.places)
    memset(memory, 0, size_of(r))
    for i in range(r.outputs):
        center = (i + 0.5) * r.scale
        low = <int>(center - support + 0.5)
        low = low if low > 0 else 0
        high = <int>(center + support + 0.5)
        high = high if high < r.length else r.length
        r.first[i] = low
        r.counts[i] = high - low
        most = max(most, high - low)
    r.pairs = (most + 1) // 2
    for i in range(r.outputs):
        center = (i + 0.5) * r.scale
        total = 0
        for k in range(r.counts[i]):
            real[k] = filter_at((k + r.first[i] - center + 0.5) * (1.0 / r.wide), r.cubic)
            total += real[k]
        for k in range(2 * r.pairs):
            whole = 0
            if k < r.counts[i]:
                weight = real[k] / total if total != 0 else real[k]
                whole = <int>((-0.5 if weight < 0 else 0.5) + weight * (1 << 22))
            upper = whole >> 11     # rounded down, so that the lower part is not negative
            at = r.weights + FC_PICTURE_WEIGHTS * (<int64_t>r.pairs * i + k // 2) + k % 2
            at[0] = at[2] = at[4] = at[6] = <int16_t>upper
            at[8] = at[10] = at[12] = at[14] = <int16_t>(whole - upper * (1 << 11))


def window_into(
    object capsule, int height, int width, int top, int left, int rows, int columns, bint cubic, bint flip,
    bint down_first, float[:, ::1] tables, float[:, :, ::1] out
):
    """The window of `rows` x `columns` at (top, left) of an RGB image, in the size of `out`, through `tables`.

    Parameters
    ----------
    capsule : PyCapsule
        What Pillow's ``__arrow_c_array__`` gives as the array of an image of `height` x `width` pixels of four bytes.
    height, width, top, left, rows, columns : int
    cubic : bool
        Pillow's BICUBIC rather than its BILINEAR.
    flip : bool
        Mirror left and right.
    down_first : bool
        Resample along columns first, and then along rows; what is in between is rounded to bytes.
    tables : float32 (3, 256)
        What each byte of each channel becomes.
    out : float32 (3, H, W)

    Raises
    ------
    ValueError
        If the window is not in the image, or an output is made of more than MOST_TAPS pixels.
    """
    cdef int new_rows = out.shape[1], new_columns = out.shape[2], i
    if out.shape[0] != 3 or tables.shape[0] != 3 or tables.shape[1] != 256:
        raise ValueError("expected tables (3, 256) and out (3, H, W)")
    if min(height, width, rows, columns, new_rows, new_columns) < 1 or top < 0 or left < 0:
        raise ValueError("a window has at least one pixel")
    if top > height - rows or left > width - columns:
        raise ValueError(f"a window of {rows} x {columns} at ({top}, {left}) is not in {height} x {width} pixels")
    cdef const uint8_t *pixels = pixels_of(capsule, <int64_t>height * width)
    cdef const uint8_t *corner = pixels + 4 * (<int64_t>top * width + left)
    cdef int64_t stride = 4 * <int64_t>width, plane = <int64_t>new_rows * new_columns
    cdef bint resized = rows != new_rows or columns != new_columns
    cdef Resampling across, down
    cdef int taps = max(plan(&across, columns, new_columns, cubic), plan(&down, rows, new_rows, cubic))
    if resized and taps > FC_PICTURE_TAPS:
        raise ValueError(f"an output is made of up to {taps} pixels, at most {FC_PICTURE_TAPS} are known")
    # The tables; a row of the window, with room behind it; a row of the result; and all rows that are resampled across.
    cdef size_t tables_across = size_of(&across) if resized else 0, tables_down = size_of(&down) if resized else 0
    cdef size_t line_bytes = 4 * (<size_t>columns + 2 * across.pairs), row_bytes = 4 * <size_t>across.places
    cdef size_t between_bytes = rows * row_bytes if resized and not down_first else 0
    cdef char *memory = <char *>PyMem_Malloc(tables_across + tables_down + line_bytes + row_bytes + between_bytes)
    if memory == NULL:
        raise MemoryError(f"no memory for {rows} rows of {max(columns, new_columns)} pixels")
    cdef uint8_t *line = <uint8_t *>memory + tables_across + tables_down
    cdef uint8_t *row = line + line_bytes
    cdef uint8_t *between = row + row_bytes
    cdef const uint8_t *rows_down = corner
    cdef int64_t step = stride
    with nogil:
        if resized:
            weigh(&across, memory)
            weigh(&down, memory + tables_across)
            memset(line, 0, line_bytes)
        if resized and not down_first:
            rows_down, step = between, <int64_t>row_bytes
            for i in range(rows):
                memcpy(line, corner + i * stride, 4 * <size_t>columns)
                fc_picture_across(
                    line, across.first, across.weights, across.pairs, new_columns, between + i * step
                )
        for i in range(new_rows):
            if not resized:
                fc_picture_planes(corner + i * stride, new_columns, flip, &tables[0, 0], plane, &out[0, i, 0])
                continue
            fc_picture_down(
                rows_down + down.first[i] * step, step, down.counts[i],
                down.weights + FC_PICTURE_WEIGHTS * <int64_t>down.pairs * i, columns if down_first else new_columns,
                line if down_first else row
            )
            if down_first:
                fc_picture_across(line, across.first, across.weights, across.pairs, new_columns, row)
            fc_picture_planes(row, new_columns, flip, &tables[0, 0], plane, &out[0, i, 0])
    PyMem_Free(memory)
