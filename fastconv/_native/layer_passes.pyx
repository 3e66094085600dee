"""Single passes of layers beside those that every network has: activations, losses, norms of rows, and resizing.

Arrays are dense (C order) and of one float dtype, unless said otherwise. Results do not depend on the number of
threads: an element belongs to one task, and what is summed over tasks is added in their order.
"""

cimport numpy as cnp
from libc.stdint cimport int32_t
from libc.string cimport memset

from fastconv._native.checks cimport (
    DENSE, DENSE_RESULT, check_array, check_axis, check_number, check_plane, check_real, check_size, shape_of,
)
from fastconv._native.kernels cimport FC_ACTIVATIONS, FC_LOSSES, fc_edges, fc_kernels, fc_rows, fc_taps, idx, parts
from fastconv._native.memory cimport Arena, Workspace, carve, no_memory, release, reserve
from fastconv._native.runtime cimport Task, kernels_of, run_without_gil, threads_for

cnp.import_array()

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


# ---- losses -------------------------------------------------------------------------------------------------------

cdef struct Loss:
    const fc_kernels *kernels
    int kind
    double p, scale
    double *sums    # of each piece, or NULL
    char *y
    const char *dy
    const char *x
    const char *t
    idx count
    bint backward


cdef void loss_task(const void *job, idx piece, char *_scratch) noexcept nogil:
    cdef const Loss *s = <const Loss *>job
    cdef idx at = piece * PIECE * s.kernels.itemsize, count = min(<idx>PIECE, s.count - piece * PIECE)
    if s.backward:
        s.kernels.losses.loss_backward(s.kind, s.y + at, s.dy + at if s.dy != NULL else NULL, s.x + at, s.t + at, s.p,
                                       s.scale, count)
    elif s.sums == NULL:
        s.kernels.losses.each_loss(s.kind, s.y + at, s.x + at, s.t + at, s.p, count)
    else:
        s.sums[piece] = s.kernels.losses.sum_of_losses(s.kind, s.x + at, s.t + at, s.p, count)


cdef int begin_loss(Loss *s, int kind, cnp.ndarray x, cnp.ndarray t, double p) except -1:
    check_array(x, "x", -1, check_real(x, "x"), DENSE)
    check_alike(t, "the target", x, DENSE)
    if not 0 <= kind < FC_LOSSES:
        raise ValueError(f"there are losses from 0 to {FC_LOSSES - 1}, got {kind}")
    s.kernels, s.kind, s.p, s.scale = kernels_of(cnp.PyArray_ITEMSIZE(x)), kind, p, 1
    s.x, s.t, s.count = data(x), data(t), cnp.PyArray_SIZE(x)
    s.y, s.dy, s.sums, s.backward = NULL, NULL, NULL, False
    return 0


cdef int run_loss(Loss *s) except -1:
    cdef Arena nothing = [NULL, 0]
    return run_tasks_of(loss_task, s, parts(s.count, PIECE), 20.0 * s.count, nothing)


def each_loss(int kind, cnp.ndarray x, cnp.ndarray t, double p, cnp.ndarray y):
    """y = the loss of each prediction x with its target t, of the kinds of src_c/losses.h with their parameter."""
    cdef Loss s
    begin_loss(&s, kind, x, t, p)
    check_alike(y, "the result", x, DENSE_RESULT)
    s.y = data(y)
    run_loss(&s)


def sum_of_losses(int kind, cnp.ndarray x, cnp.ndarray t, double p):
    """The sum of all losses, in float64 over short runs."""
    cdef Loss s
    cdef Workspace workspace
    cdef Arena table = [NULL, 0], scratch = [NULL, 0]
    cdef double total = 0
    cdef idx piece
    begin_loss(&s, kind, x, t, p)
    cdef idx pieces = parts(s.count, PIECE)
    carve(&table, pieces + 1.0, sizeof(double))
    reserve(&workspace, &table, &scratch, 1)
    s.sums = <double *>carve(&table, pieces + 1.0, sizeof(double))
    run_loss(&s)
    for piece in range(pieces):
        total += s.sums[piece]
    release(&workspace)
    return total


def loss_backward(int kind, cnp.ndarray dy, cnp.ndarray x, cnp.ndarray t, double p, double scale, cnp.ndarray dx):
    """dx = slope times dy, or times the number `scale` if dy is None; dx may be dy."""
    cdef Loss s
    begin_loss(&s, kind, x, t, p)
    if dy is not None:
        check_alike(dy, "dy", x, DENSE)
    check_alike(dx, "dx", x, DENSE_RESULT)
    s.y, s.dy, s.scale, s.backward = data(dx), data(dy), scale, True
    run_loss(&s)


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
    bint columns       # whether those are summed by columns, for rows are long


cdef void norm_task(const void *job, idx task, char *scratch) noexcept nogil:
    cdef const Norm *m = <const Norm *>job
    cdef idx first = task * m.some, count = min(m.some, m.count - first), at = first * m.rows.n * m.kernels.itemsize
    cdef double *sums
    if m.dy == NULL:
        m.kernels.norms.normalise(m.y + at, m.x + at, &m.rows, m.eps, m.mean + first, m.inverse + first, first, count)
        return
    sums = m.sums + 2 * task * m.weights if not m.columns else NULL
    if sums != NULL:
        memset(sums, 0, 2 * m.weights * sizeof(double))
    m.kernels.norms.normalise_backward(m.y + at if m.y != NULL else NULL, m.dy + at, m.x + at, &m.rows, m.mean + first,
                                       m.inverse + first, sums, sums + m.weights if sums != NULL else NULL, scratch,
                                       first, count)


cdef void norm_columns_task(const void *job, idx task, char *_scratch) noexcept nogil:
    cdef const Norm *m = <const Norm *>job
    cdef idx first = task * COLUMNS, count = min(<idx>COLUMNS, m.rows.n - first)
    memset(m.sums + first, 0, count * sizeof(double))
    memset(m.sums + m.weights + first, 0, count * sizeof(double))
    m.kernels.norms.norm_weights(m.dy, m.x, m.rows.n, m.mean, m.inverse, m.sums + first, m.sums + m.weights + first,
                                 m.count, first, count)


cdef inline idx rows_of_task(idx n) noexcept:
    return max(<idx>1, PIECE // max(n, <idx>1))


cdef inline bint by_columns(idx n, idx run, idx period) noexcept:
    # Sums of as many elements as a row has stay in the nearest cache only for short rows.
    return run == 1 and period == 1 and n > COLUMNS


def tasks_of(idx count, idx n, idx run, idx period):
    """How many parts the sums over `count` rows of n elements come in."""
    if count < 1 or n < 1:
        return 0
    return 1 if by_columns(n, run, period) else parts(count, rows_of_task(n))


cdef int begin_norm(Norm *m, cnp.ndarray x, idx run, idx period, cnp.ndarray w, cnp.ndarray mean, cnp.ndarray inverse,
                    int flags) except -1:
    cdef int kind = check_real(x, "x")
    check_array(x, "x", 2, kind, DENSE)
    check_number(run, "the run", 1)
    check_number(period, "the period", 1)
    m.kernels, m.count = kernels_of(cnp.PyArray_ITEMSIZE(x)), x.shape[0] if x.shape[1] else 0
    m.columns = by_columns(x.shape[1], run, period)
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

    The latter are parts, to be added: sums (tasks_of(rows, n, run, period), 2, weights) of float64.
    """
    cdef Norm m
    cdef Arena scratch = [NULL, 0]
    begin_norm(&m, x, run, period, w, mean, inverse, DENSE)
    check_alike(dy, "dy", x, DENSE)
    if dx is not None:
        check_alike(dx, "dx", x, DENSE_RESULT)
    cdef idx tasks = parts(m.count, m.some)
    check_array(sums, "sums", 3, cnp.NPY_FLOAT64, DENSE_RESULT)
    check_axis(sums, "sums", 0, min(tasks, <idx>1) if m.columns else tasks)
    check_axis(sums, "sums", 1, 2)
    check_axis(sums, "sums", 2, m.weights)
    m.eps, m.y, m.dy, m.rows.b, m.sums = 0, data(dx), data(dy), NULL, <double *>data(sums)
    if run == 1 and period == 1:
        carve(&scratch, 2.0 * m.rows.n, m.kernels.itemsize)
    if dx is not None or not m.columns:
        run_tasks_of(norm_task, &m, tasks, 40.0 * m.count * m.rows.n, scratch)
    scratch = [NULL, 0]
    if m.columns and tasks > 0:
        run_tasks_of(norm_columns_task, &m, parts(m.rows.n, COLUMNS), 20.0 * m.count * m.rows.n, scratch)


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


# ---- padding ------------------------------------------------------------------------------------------------------

cdef struct Padding:
    const fc_kernels *kernels
    char *y
    const char *x
    fc_edges edges
    idx padded, image    # bytes of a plane
    bint backward


cdef void pad_task(const void *job, idx plane, char *_scratch) noexcept nogil:
    cdef const Padding *p = <const Padding *>job
    if p.backward:
        p.kernels.padding.pad_plane_backward(p.y + plane * p.image, p.x + plane * p.padded, &p.edges)
    else:
        p.kernels.padding.pad_plane(p.y + plane * p.padded, p.x + plane * p.image, &p.edges)


cdef const int32_t *places_of(cnp.ndarray index, str name, idx length, idx out) except NULL:
    cdef const int32_t *places
    cdef idx i
    check_array(index, name, 1, cnp.NPY_INT32, DENSE)
    check_axis(index, name, 0, out)
    places = <const int32_t *>data(index)
    for i in range(out):
        if not -1 <= places[i] < length:
            raise ValueError(f"{name} must name pixels from 0 to {length - 1}, or be -1, got {places[i]}")
    return places


cdef int run_padding(cnp.ndarray padded, cnp.ndarray image, cnp.ndarray rows, cnp.ndarray cols, double value,
                     bint backward) except -1:
    cdef Padding p
    cdef Arena nothing = [NULL, 0]
    cdef int kind = check_real(image, "the image")
    cdef idx q, best, start
    check_array(image, "the image", 3, kind, DENSE_RESULT if backward else DENSE)
    check_array(padded, "what is padded", 3, kind, DENSE if backward else DENSE_RESULT)
    check_axis(padded, "what is padded", 0, image.shape[0])
    p.edges.height, p.edges.width = padded.shape[1], padded.shape[2]
    p.edges.image_rows, p.edges.image_width, p.edges.value = image.shape[1], image.shape[2], value
    p.edges.rows = places_of(rows, "rows", image.shape[1], padded.shape[1])
    p.edges.cols = places_of(cols, "columns", image.shape[2], padded.shape[2])
    # The longest run of columns that are neighbours in the image.
    start = best = 0
    p.edges.left = 0
    for q in range(p.edges.width):
        if p.edges.cols[q] < 0:
            start = q + 1
        elif q > start and p.edges.cols[q] != p.edges.cols[q - 1] + 1:
            start = q
        if q + 1 - start > best:
            best, p.edges.left = q + 1 - start, start
    p.edges.middle = best
    p.kernels, p.backward = kernels_of(cnp.PyArray_ITEMSIZE(image)), backward
    p.padded = p.edges.height * p.edges.width * p.kernels.itemsize
    p.image = p.edges.image_rows * p.edges.image_width * p.kernels.itemsize
    p.y, p.x = (data(image), data(padded)) if backward else (data(padded), data(image))
    return run_tasks_of(pad_task, &p, image.shape[0], 5.0 * cnp.PyArray_SIZE(padded), nothing)


def pad_planes(cnp.ndarray x, cnp.ndarray rows, cnp.ndarray cols, double value, cnp.ndarray y):
    """y[n, p, q] = x[n, rows[p], cols[q]], or the value where either is -1; x is (n, H, W), y (n, P, Q).

    rows (P,) and cols (Q,) are int32.
    """
    run_padding(y, x, rows, cols, value, False)


def pad_planes_backward(cnp.ndarray dy, cnp.ndarray rows, cnp.ndarray cols, cnp.ndarray dx):
    """The gradient: each pixel's sum of dy, over all places that hold it."""
    run_padding(dy, dx, rows, cols, 0, True)
