"""Sums and softmax along an axis.

Arrays are dense (C order) and of one float dtype, unless said otherwise. Results do not depend on the number of
threads: what is summed is cut into parts by its size alone, and the parts are added in order.
"""

cimport numpy as cnp
from libc.string cimport memset

from fastconv._native.checks cimport DENSE, DENSE_RESULT, check_array, check_axis, check_real
from fastconv._native.kernels cimport fc_columns, fc_kernels, idx, parts, up
from fastconv._native.layer_passes cimport COLUMNS, PIECE, check_alike, data, run_tasks_of
from fastconv._native.memory cimport Arena, Workspace, carve, put, release, reserve
from fastconv._native.runtime cimport kernels_of

cnp.import_array()


cdef struct Axis:
    # Arrays (outer, n, inner): an axis of length n, of which each task takes some rows of some columns.
    const fc_kernels *kernels
    idx outer, n, inner
    idx rows, row_parts        # of a task, and how many such parts the axis has
    idx width, column_parts    # the same for columns
    bint logarithm
    char *y
    const char *a
    const char *b
    double *sums               # for each part of the axis (outer, row_parts, inner)


cdef int begin(Axis *axis, cnp.ndarray x, idx outer, idx n, idx inner, idx rows) noexcept:
    """Begin a pass over x, whose tasks take so many rows of an axis (or as many as make a task worth it, if 0)."""
    axis.kernels = kernels_of(cnp.PyArray_ITEMSIZE(x))
    axis.outer, axis.n, axis.inner = outer, n, inner
    axis.width = min(max(inner, <idx>1), <idx>COLUMNS)
    axis.column_parts = parts(inner, axis.width)
    axis.rows = rows if rows > 0 else up(max(<idx>1, PIECE // axis.width), 32)
    axis.row_parts = parts(n, axis.rows)
    axis.a, axis.b, axis.sums = data(x), NULL, NULL
    return 0


cdef int run_axis(Axis *axis, void (*task)(const void *, idx, char *) noexcept nogil, double cost) except -1:
    cdef Arena nothing = [NULL, 0]
    return run_tasks_of(task, axis, axis.outer * axis.row_parts * axis.column_parts,
                        cost * axis.outer * axis.n * axis.inner, nothing)


cdef inline idx columns_of_task(const Axis *axis, idx task, fc_columns *columns, idx *sums_at) noexcept nogil:
    """What a task takes; returns the place of its first element, and where its sums begin."""
    cdef idx column = task % axis.column_parts * axis.width, rest = task // axis.column_parts
    cdef idx row = rest % axis.row_parts * axis.rows, image = rest // axis.row_parts
    columns.rows, columns.stride = min(axis.rows, axis.n - row), axis.inner
    columns.width = min(axis.width, axis.inner - column)
    sums_at[0] = rest * axis.inner + column
    return (image * axis.n + row) * axis.inner + column


cdef void sum_task(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Axis *axis = <const Axis *>job
    cdef fc_columns columns
    cdef idx sums_at, at = columns_of_task(axis, task, &columns, &sums_at) * axis.kernels.itemsize
    memset(axis.sums + sums_at, 0, columns.width * sizeof(double))
    axis.kernels.axes.sum_columns(axis.sums + sums_at, axis.a + at, &columns)


cdef void total_task(const void *job, idx task, char *_scratch) noexcept nogil:
    # Rows as long as the axis: (outer, row_parts) runs of neighbours.
    cdef const Axis *axis = <const Axis *>job
    cdef idx row, part, first = task * axis.width, stop = min(first + axis.width, axis.outer * axis.row_parts)
    for part in range(first, stop):
        row = part % axis.row_parts * axis.rows
        axis.sums[part] = axis.kernels.passes.total(
            axis.a + (part // axis.row_parts * axis.n + row) * axis.kernels.itemsize, min(axis.rows, axis.n - row))


cdef int add_parts(const Axis *axis, const double *of_parts, double *total, char *y) noexcept:
    """The sums of the parts of each axis, in order, as float64 in total or as y's dtype."""
    cdef idx image, part, c
    cdef double s
    cdef const double *first
    for image in range(axis.outer):
        for c in range(axis.inner):
            first = of_parts + image * axis.row_parts * axis.inner + c
            s = 0
            for part in range(axis.row_parts):
                s += first[part * axis.inner]
            if y == NULL:
                total[image * axis.inner + c] = s
            else:
                put(y, image * axis.inner + c, s, axis.kernels.itemsize)
    return 0


cdef double *reserve_sums(Workspace *workspace, double count) except NULL:
    cdef Arena table = [NULL, 0], scratch = [NULL, 0]
    count = max(count, 1)
    carve(&table, count, sizeof(double))
    reserve(workspace, &table, &scratch, 1)
    return <double *>carve(&table, count, sizeof(double))


def sum_axis(cnp.ndarray x, cnp.ndarray y):
    """y[o, i] = sum over n of x[o, n, i], in float64 over short runs; y is of x's dtype or of float64."""
    cdef int kind = check_real(x, "x")
    cdef Axis axis
    cdef Workspace workspace
    cdef Arena nothing = [NULL, 0]
    cdef idx outer, n, inner
    check_array(x, "x", 3, kind, DENSE)
    check_array(y, "y", 2, kind if cnp.PyArray_TYPE(y) == kind else cnp.NPY_FLOAT64, DENSE_RESULT)
    outer, n, inner = x.shape[0], x.shape[1], x.shape[2]
    check_axis(y, "y", 0, outer)
    check_axis(y, "y", 1, inner)
    if outer * inner == 0:
        return
    begin(&axis, x, outer, n, inner, 2 * PIECE if inner == 1 else 0)
    axis.sums = reserve_sums(&workspace, <double>outer * axis.row_parts * inner)
    if inner == 1:
        axis.width = max(<idx>1, PIECE // max(min(n, axis.rows), <idx>1))
        run_tasks_of(total_task, &axis, parts(outer * axis.row_parts, axis.width), 5.0 * outer * n, nothing)
    else:
        run_axis(&axis, sum_task, 5.0)
    if cnp.PyArray_TYPE(y) == kind:
        add_parts(&axis, axis.sums, NULL, data(y))
    else:
        add_parts(&axis, axis.sums, <double *>data(y), NULL)
    release(&workspace)


# ---- softmax ------------------------------------------------------------------------------------------------------

cdef void softmax_task(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Axis *axis = <const Axis *>job
    cdef fc_columns columns
    cdef idx itemsize = axis.kernels.itemsize, sums_at, at, row, size = axis.n * itemsize
    if axis.inner > 1:
        at = columns_of_task(axis, task, &columns, &sums_at) * itemsize
        if axis.b == NULL:
            axis.kernels.axes.softmax_columns(axis.y + at, axis.a + at, &columns, axis.logarithm)
        else:
            axis.kernels.axes.softmax_columns_backward(axis.y + at, axis.a + at, axis.b + at, &columns, axis.logarithm)
        return
    for row in range(task * axis.width, min((task + 1) * axis.width, axis.outer)):
        at = row * size
        if axis.b == NULL:
            axis.kernels.axes.softmax_row(axis.y + at, axis.a + at, axis.n, axis.logarithm)
        else:
            axis.kernels.axes.softmax_row_backward(axis.y + at, axis.a + at, axis.b + at, axis.n, axis.logarithm)


cdef int run_softmax(cnp.ndarray a, cnp.ndarray b, cnp.ndarray y, bint logarithm) except -1:
    cdef Axis axis
    cdef Arena nothing = [NULL, 0]
    check_array(a, "x", 3, check_real(a, "x"), DENSE)
    check_alike(y, "the result", a, DENSE_RESULT)
    if cnp.PyArray_SIZE(a) == 0:
        return 0
    begin(&axis, a, a.shape[0], a.shape[1], a.shape[2], a.shape[1])
    axis.b, axis.y, axis.logarithm = data(b), data(y), logarithm
    if axis.inner > 1:
        # As many columns as keep a task's elements near.
        axis.width = min(axis.inner, up(max(<idx>1, 2 * PIECE // axis.n), 64))
        axis.column_parts = parts(axis.inner, axis.width)
        return run_axis(&axis, softmax_task, 40.0)
    axis.width = max(<idx>1, PIECE // axis.n)
    return run_tasks_of(softmax_task, &axis, parts(axis.outer, axis.width), 40.0 * axis.outer * axis.n, nothing)


def softmax_axis(cnp.ndarray x, cnp.ndarray y, bint logarithm):
    """y = exp(x) / sum exp(x) over the middle axis of (outer, n, inner), or its logarithm."""
    run_softmax(x, None, y, logarithm)


def softmax_axis_backward(cnp.ndarray dy, cnp.ndarray y, cnp.ndarray dx, bint logarithm):
    """The gradient: y (dy - sum dy y), or dy - exp(y) sum dy."""
    check_array(dy, "dy", 3, check_real(dy, "dy"), DENSE)
    check_alike(y, "y", dy, DENSE)
    run_softmax(dy, y, dx, logarithm)
