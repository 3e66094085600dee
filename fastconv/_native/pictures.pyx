"""A window of a Pillow image, resampled as Pillow does, mirrored, and written into a tensor by tables of values."""

cimport numpy as cnp
from cpython.mem cimport PyMem_Free, PyMem_Malloc
from cpython.pycapsule cimport PyCapsule_GetPointer
from libc.math cimport ceil, fabs
from libc.stdint cimport int64_t, uint8_t

cnp.import_array()

cdef extern from "pictures.h" nogil:
    int FC_PICTURE_TAPS
    void fc_picture_numbers(const uint8_t *bytes, int pixels, float *out)
    void fc_picture_across(
        const float *row, const int *first, const int *counts, const float *weights, int taps, int outputs, float *out
    )
    void fc_picture_down(
        const float *rows, int64_t stride, int count, const float *weight, int taps, int width, float *out
    )
    void fc_picture_planes(const float *row, int width, int flip, const float *tables, int64_t plane, float *out)

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


cdef int taps_of(int length, int outputs, bint cubic) noexcept nogil:
    """How many pixels an output is made of at most."""
    cdef double scale = <double>length / outputs
    return <int>ceil((2.0 if cubic else 1.0) * (scale if scale > 1 else 1.0)) * 2 + 1


cdef void weigh(int length, int outputs, bint cubic, int taps, int *first, int *counts, float *weights) noexcept nogil:
    """Pillow's weights: the first pixel of each output, how many there are, and their weights in two parts."""
    cdef double scale = <double>length / outputs
    cdef double wide = scale if scale > 1 else 1.0
    cdef double support = (2.0 if cubic else 1.0) * wide
    cdef double center, total, weight
    cdef double real[64]
    cdef int i, k, low, high, whole, upper
    for i in range(outputs):
        center = (i + 0.5) * scale
        low = <int>(center - support + 0.5)
        low = low if low > 0 else 0
        high = <int>(center + support + 0.5)
        high = high if high < length else length
        total = 0
        for k in range(high - low):
            real[k] = filter_at((k + low - center + 0.5) * (1.0 / wide), cubic)
            total += real[k]
        first[i] = low
        counts[i] = high - low
        for k in range(high - low):
            weight = real[k] / total if total != 0 else real[k]
            whole = <int>((-0.5 if weight < 0 else 0.5) + weight * (1 << 22))
            upper = whole >> 11     # rounded down, so that the lower part is not negative
            weights[2 * taps * i + k] = upper
            weights[2 * taps * i + taps + k] = whole - upper * (1 << 11)


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
    cdef int across = 0, down = 0
    if resized:
        across, down = taps_of(columns, new_columns, cubic), taps_of(rows, new_rows, cubic)
    if max(across, down) > FC_PICTURE_TAPS:
        raise ValueError(f"an output is made of up to {max(across, down)} pixels, at most {FC_PICTURE_TAPS} are known")
    # First pixels and counts of columns and rows, their weights, a row of the window, one of the result, and what is in
    # between: all rows resampled, or all rows of the window.
    cdef size_t places = 2 * (<size_t>new_columns + new_rows)
    cdef size_t weights = 2 * (<size_t>across * new_columns + <size_t>down * new_rows)
    cdef size_t pixels_between = 0
    if resized:
        pixels_between = <size_t>rows * (columns if down_first else new_columns)
    cdef float *memory = <float *>PyMem_Malloc(4 * (places + weights + 4 * (columns + new_columns + pixels_between)))
    if memory == NULL:
        raise MemoryError(f"no memory for {rows} rows of {max(columns, new_columns)} pixels")
    cdef int *first_x = <int *>memory
    cdef int *counts_x = first_x + new_columns
    cdef int *first_y = counts_x + new_columns
    cdef int *counts_y = first_y + new_rows
    cdef float *weights_x = memory + places
    cdef float *weights_y = weights_x + 2 * <size_t>across * new_columns
    cdef float *line = memory + places + weights
    cdef float *row = line + 4 * <size_t>columns
    cdef float *between = row + 4 * <size_t>new_columns
    cdef int64_t step = 4 * <int64_t>(columns if down_first else new_columns)
    with nogil:
        if resized:
            weigh(columns, new_columns, cubic, across, first_x, counts_x, weights_x)
            weigh(rows, new_rows, cubic, down, first_y, counts_y, weights_y)
            for i in range(rows):
                if down_first:
                    fc_picture_numbers(corner + i * stride, columns, between + i * step)
                else:
                    fc_picture_numbers(corner + i * stride, columns, line)
                    fc_picture_across(line, first_x, counts_x, weights_x, across, new_columns, between + i * step)
        for i in range(new_rows):
            if not resized:
                fc_picture_numbers(corner + i * stride, columns, row)
            elif down_first:
                fc_picture_down(
                    between + first_y[i] * step, step, counts_y[i], weights_y + 2 * <int64_t>down * i, down, columns,
                    line
                )
                fc_picture_across(line, first_x, counts_x, weights_x, across, new_columns, row)
            else:
                fc_picture_down(
                    between + first_y[i] * step, step, counts_y[i], weights_y + 2 * <int64_t>down * i, down,
                    new_columns, row
                )
            fc_picture_planes(row, new_columns, flip, &tables[0, 0], plane, &out[0, i, 0])
    PyMem_Free(memory)
