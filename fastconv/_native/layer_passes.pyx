"""Single passes of layers beside those that every network has: activations, PReLU, norms of rows, and resizing.

Arrays are dense (C order) and of one float dtype, unless said otherwise. Results do not depend on the number of
threads: an element belongs to one task, and what is summed over tasks is added in their order.
"""

cimport numpy as cnp
from libc.stdint cimport int32_t
from libc.string cimport memset

from fastconv._native.checks cimport (
    DENSE, DENSE_RESULT, check_array, check_axis, check_number, check_plane, check_real, check_size, shape_of,
)
from fastconv._native.kernels cimport FC_ACTIVATIONS, fc_kernels, fc_rows, fc_taps, idx, parts
from fastconv._native.memory cimport Arena, Workspace, carve, no_memory, release, reserve
from fastconv._native.runtime cimport Task, kernels_of, run_without_gil, threads_for

cnp.import_array()

cdef enum:
    PIECE = 16384   # elements that a thread takes at a time, unless a plane or a row has more


cdef inline char *data(cnp.ndarray a) noexcept nogil:
    return <char *>cnp.PyArray_DATA(a) if a is not None else NULL


cdef int check_alike(cnp.ndarray a, str name, cnp.ndarray like, int flags) except -1:
    """An array of the type and the shape of another one."""
    check_array(a, name, cnp.PyArray_NDIM(like), cnp.PyArray_TYPE(like), flags)
    for axis in range(cnp.PyArray_NDIM(like)):
        check_axis(a, name, axis, like.shape[axis])
    return 0


cdef int run_tasks_of(Task task, const void *job, idx count, double work, Arena scratch) except -1:
    """Run tasks that need no memory but their arrays and some scratch."""
    cdef Workspace workspace
    cdef Arena tables = [NULL, 0]
    cdef int n_threads = threads_for(work, count)
    if scratch.size == 0:
        workspace = no_memory(n_threads, True)
        run_without_gil(task, job, count, parts(count, n_threads), &workspace, work)
        return 0
    reserve(&workspace, &tables, &scratch, n_threads)
    run_without_gil(task, job, count, parts(count, n_threads), &workspace, work)
    release(&workspace)
    return 0


# ---- activations --------------------------------------------------------------------------------------------------

cdef struct Curve:
    const fc_kernels *kernels
    int kind
    double p[3]
    char *y
    const char *dy
    const char *x
    idx count


cdef void curve_task(const void *job, idx piece, char *_scratch) noexcept nogil:
    cdef const Curve *c = <const Curve *>job
    cdef idx at = piece * PIECE * c.kernels.itemsize, count = min(<idx>PIECE, c.count - piece * PIECE)
    if c.dy == NULL:
        c.kernels.activations.activate(c.kind, c.y + at, c.x + at, c.p, count)
    else:
        c.kernels.activations.activate_backward(c.kind, c.y + at, c.dy + at, c.x + at, c.p, count)


cdef int run_curve(int kind, cnp.ndarray dy, cnp.ndarray x, cnp.ndarray y, double a, double b, double c) except -1:
    cdef Arena nothing = [NULL, 0]
    check_array(x, "x", -1, check_real(x, "x"), DENSE)
    check_alike(y, "the result", x, DENSE_RESULT)
    if not 0 <= kind < FC_ACTIVATIONS:
        raise ValueError(f"there are activations from 0 to {FC_ACTIVATIONS - 1}, got {kind}")
    cdef idx size = cnp.PyArray_SIZE(x)
    cdef Curve curve
    curve.kernels, curve.kind, curve.count = kernels_of(cnp.PyArray_ITEMSIZE(x)), kind, size
    curve.p[0], curve.p[1], curve.p[2] = a, b, c
    curve.y, curve.dy, curve.x = data(y), data(dy), data(x)
    return run_tasks_of(curve_task, &curve, parts(size, PIECE), 40.0 * size, nothing)


def activate(int kind, cnp.ndarray x, cnp.ndarray y, double a=0, double b=0, double c=0):
    """y = f(x), for one of the kinds of src_c/activations.h with its parameters."""
    run_curve(kind, None, x, y, a, b, c)


def activate_backward(int kind, cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dx, double a=0, double b=0, double c=0):
    """dx = f'(x) dy; dx may be dy."""
    check_array(x, "x", -1, check_real(x, "x"), DENSE)
    check_alike(dy, "dy", x, DENSE)
    run_curve(kind, dy, x, dx, a, b, c)


# ---- PReLU --------------------------------------------------------------------------------------------------------

cdef struct Slopes:
    const fc_kernels *kernels
    idx planes, pixels, some    # `some` planes make a task
    char *y
    const char *dy
    const char *x
    const double *slope
    double *sum


cdef void prelu_task(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Slopes *s = <const Slopes *>job
    cdef idx first = task * s.some, count = min(s.some, s.planes - first), at = first * s.pixels * s.kernels.itemsize
    if s.dy == NULL:
        s.kernels.activations.prelu(s.y + at, s.x + at, s.slope + first, count, s.pixels)
    else:
        s.kernels.activations.prelu_backward(s.y + at, s.dy + at, s.x + at, s.slope + first, s.sum + first, count,
                                             s.pixels)


cdef int run_prelu(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray slope, cnp.ndarray y, cnp.ndarray total) except -1:
    cdef Arena nothing = [NULL, 0]
    check_array(x, "x", 2, check_real(x, "x"), DENSE)
    check_alike(y, "the result", x, DENSE_RESULT)
    check_array(slope, "slope", 1, cnp.NPY_FLOAT64, DENSE)
    check_axis(slope, "slope", 0, x.shape[0])
    cdef Slopes s
    s.kernels, s.planes, s.pixels = kernels_of(cnp.PyArray_ITEMSIZE(x)), x.shape[0], x.shape[1]
    s.some = max(<idx>1, PIECE // max(s.pixels, <idx>1))
    s.y, s.dy, s.x, s.slope, s.sum = data(y), data(dy), data(x), <double *>data(slope), <double *>data(total)
    return run_tasks_of(prelu_task, &s, parts(s.planes, s.some), 10.0 * s.planes * s.pixels, nothing)


def prelu(cnp.ndarray x, cnp.ndarray slope, cnp.ndarray y):
    """y[i] = x[i] where that is positive, else slope[i] x[i], for x (planes, pixels) and slopes in float64."""
    run_prelu(None, x, slope, y, None)


def prelu_backward(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray slope, cnp.ndarray dx, cnp.ndarray total):
    """The gradients: dx, and total[i] (float64) of slope[i]; dx may be dy."""
    check_array(x, "x", 2, check_real(x, "x"), DENSE)
    check_alike(dy, "dy", x, DENSE)
    check_array(total, "total", 1, cnp.NPY_FLOAT64, DENSE_RESULT)
    check_axis(total, "total", 0, x.shape[0])
    run_prelu(dy, x, slope, dx, total)


# ---- layer, group and instance norm -------------------------------------------------------------------------------

cdef struct Norm:
    const fc_kernels *kernels
    fc_rows rows
    idx count, some    # rows, and how many of them make a task
    idx weights        # how many there are
    double eps
    char *y
    const char *dy
    const char *x
    double *mean
    double *inverse
    double *sums       # of each task, those of dw and those of db


cdef void norm_task(const void *job, idx task, char *scratch) noexcept nogil:
    cdef const Norm *m = <const Norm *>job
    cdef idx first = task * m.some, count = min(m.some, m.count - first), at = first * m.rows.n * m.kernels.itemsize
    cdef double *sums
    if m.dy == NULL:
        m.kernels.norms.normalise(m.y + at, m.x + at, &m.rows, m.eps, m.mean + first, m.inverse + first, first, count)
        return
    sums = m.sums + 2 * task * m.weights
    memset(sums, 0, 2 * m.weights * sizeof(double))
    m.kernels.norms.normalise_backward(m.y + at if m.y != NULL else NULL, m.dy + at, m.x + at, &m.rows, m.mean + first,
                                       m.inverse + first, sums, sums + m.weights, scratch, first, count)


cdef inline idx rows_of_task(idx n) noexcept:
    return max(<idx>1, PIECE // max(n, <idx>1))


def tasks_of(idx count, idx n):
    """How many parts the sums over `count` rows of n elements come in."""
    return parts(count, rows_of_task(n)) if count > 0 and n > 0 else 0


cdef int begin_norm(Norm *m, cnp.ndarray x, idx run, idx period, cnp.ndarray w, cnp.ndarray mean, cnp.ndarray inverse,
                    int flags) except -1:
    cdef int kind = check_real(x, "x")
    check_array(x, "x", 2, kind, DENSE)
    check_number(run, "the run", 1)
    check_number(period, "the period", 1)
    m.kernels, m.count = kernels_of(cnp.PyArray_ITEMSIZE(x)), x.shape[0] if x.shape[1] else 0
    m.rows.n, m.rows.run, m.rows.period, m.some = x.shape[1], run, period, rows_of_task(x.shape[1])
    if x.shape[1] % run or period > max(x.shape[0], <idx>1):
        raise ValueError(f"rows of size {shape_of(x)} do not divide into runs of {run}, in {period} rows")
    m.weights = period * (x.shape[1] // run)
    if w is not None:
        check_array(w, "w", 1, kind, DENSE)
        check_axis(w, "w", 0, m.weights)
    check_array(mean, "mean", 1, cnp.NPY_FLOAT64, flags)
    check_axis(mean, "mean", 0, x.shape[0])
    check_array(inverse, "inverse", 1, cnp.NPY_FLOAT64, flags)
    check_axis(inverse, "inverse", 0, x.shape[0])
    m.x, m.rows.w, m.mean, m.inverse = data(x), data(w), <double *>data(mean), <double *>data(inverse)
    return 0


def normalise(cnp.ndarray x, idx run, idx period, cnp.ndarray w, cnp.ndarray b, double eps, cnp.ndarray y,
              cnp.ndarray mean, cnp.ndarray inverse):
    """y = w (x - mean) inverse + b, where each row of x (rows, n) has its mean and inverse = 1 / sqrt(variance + eps).

    w and b are None or hold a number for each run of neighbours in each of `period` rows, after which they repeat.
    mean and inverse (rows,), of float64, are results, too.
    """
    cdef Norm m
    cdef Arena nothing = [NULL, 0]
    begin_norm(&m, x, run, period, w, mean, inverse, DENSE_RESULT)
    check_alike(y, "y", x, DENSE_RESULT)
    if b is not None:
        check_array(b, "b", 1, cnp.PyArray_TYPE(x), DENSE)
        check_axis(b, "b", 0, m.weights)
    m.eps, m.y, m.dy, m.rows.b, m.sums = eps, data(y), NULL, data(b), NULL
    run_tasks_of(norm_task, &m, parts(m.count, m.some), 30.0 * m.count * m.rows.n, nothing)


def normalise_backward(cnp.ndarray dy, cnp.ndarray x, idx run, idx period, cnp.ndarray w, cnp.ndarray mean,
                       cnp.ndarray inverse, cnp.ndarray dx, cnp.ndarray sums):
    """dx, unless it is None, and the gradients of w and b.

    The latter are parts, to be added: sums (tasks_of(rows, n), 2, weights) of float64.
    """
    cdef Norm m
    cdef Arena scratch = [NULL, 0]
    begin_norm(&m, x, run, period, w, mean, inverse, DENSE)
    check_alike(dy, "dy", x, DENSE)
    if dx is not None:
        check_alike(dx, "dx", x, DENSE_RESULT)
    cdef idx tasks = parts(m.count, m.some)
    check_array(sums, "sums", 3, cnp.NPY_FLOAT64, DENSE_RESULT)
    check_axis(sums, "sums", 0, tasks)
    check_axis(sums, "sums", 1, 2)
    check_axis(sums, "sums", 2, m.weights)
    m.eps, m.y, m.dy, m.rows.b, m.sums = 0, data(dx), data(dy), NULL, <double *>data(sums)
    if run == 1 and period == 1:
        carve(&scratch, 2.0 * m.rows.n, m.kernels.itemsize)
    run_tasks_of(norm_task, &m, tasks, 40.0 * m.count * m.rows.n, scratch)


# ---- resizing -----------------------------------------------------------------------------------------------------

cdef struct Resizing:
    const fc_kernels *kernels
    char *y
    const char *x
    idx height, width, size   # of x, and elements of a plane of y
    fc_taps rows, cols


cdef void resize_task(const void *job, idx plane, char *scratch) noexcept nogil:
    cdef const Resizing *r = <const Resizing *>job
    cdef idx itemsize = r.kernels.itemsize
    r.kernels.resample.plane(r.y + plane * r.size * itemsize, r.x + plane * r.height * r.width * itemsize, r.height,
                             r.width, &r.rows, &r.cols, scratch)


cdef int set_taps(fc_taps *taps, tuple table, str name, idx length, idx out, int kind) except -1:
    """The taps of one dimension: (index, weight) of size (taps, out), or None where it stays as it is."""
    cdef cnp.ndarray index, weight
    cdef idx i
    taps.index, taps.weight, taps.taps, taps.n = NULL, NULL, 0, out
    if table is None:
        if length != out:
            raise ValueError(f"{name} without taps keep their {length} elements, the result has {out}")
        return 0
    index, weight = table
    check_array(index, name, 2, cnp.NPY_INT32, DENSE)
    check_array(weight, f"the weights of {name}", 2, kind, DENSE)
    check_size(weight, f"the weights of {name}", index)
    check_axis(index, name, 1, out)
    check_axis(weight, f"the weights of {name}", 1, out)
    if index.shape[0] < 1:
        raise ValueError(f"{name} need a tap, got size ({index.shape[0]}, {index.shape[1]})")
    taps.index, taps.weight, taps.taps = <const int32_t *>data(index), data(weight), index.shape[0]
    for i in range(cnp.PyArray_SIZE(index)):
        if not 0 <= taps.index[i] < length:
            raise ValueError(f"{name} must name inputs from 0 to {length - 1}, got {taps.index[i]}")
    return 0


def resample(cnp.ndarray x, tuple rows, tuple cols, cnp.ndarray y):
    """Planes y[p, q] = sum_{s, t} rows' weight[s, p] cols' weight[t, q] x[rows' index[s, p], cols' index[t, q]].

    x is (planes, H, W), y (planes, P, Q); rows and cols are pairs (index of int32, weight) of size (taps, P) and
    (taps, Q), or None for a dimension that stays as it is.
    """
    cdef int kind = check_real(x, "x")
    cdef Resizing r
    cdef Arena scratch = [NULL, 0]
    check_array(x, "x", 3, kind, DENSE)
    check_array(y, "y", 3, kind, DENSE_RESULT)
    check_axis(y, "y", 0, x.shape[0])
    check_plane(x.shape[1], y.shape[2], "the image between")
    set_taps(&r.rows, rows, "rows", x.shape[1], y.shape[1], kind)
    set_taps(&r.cols, cols, "columns", x.shape[2], y.shape[2], kind)
    if rows is None and cols is None:
        raise ValueError("rows or columns must have taps, got None for both")
    r.kernels, r.y, r.x = kernels_of(cnp.PyArray_ITEMSIZE(x)), data(y), data(x)
    r.height, r.width, r.size = x.shape[1], x.shape[2], y.shape[1] * y.shape[2]
    if rows is not None and cols is not None:
        carve(&scratch, <double>r.height * r.cols.n, r.kernels.itemsize)
    if cnp.PyArray_SIZE(y) > 0:
        run_tasks_of(resize_task, &r, x.shape[0], (r.rows.taps + 4.0 * r.cols.taps) * cnp.PyArray_SIZE(y), scratch)
