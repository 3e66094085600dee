"""Element-wise layers and updates as single passes over memory: over planes or pieces, on threads where it pays.

Arrays are dense (C order) and of one float dtype, unless said otherwise.
"""

cimport numpy as cnp
from cython.parallel cimport prange
from libc.math cimport NAN, log
from libc.stdint cimport int64_t
from libc.string cimport memset

from fastconv._native.checks cimport DENSE, DENSE_RESULT, check_array, check_axis, check_real, check_size
from fastconv._native.kernels cimport fc_flush_subnormals, fc_kernels, fc_restore_mode, idx, parts
from fastconv._native.memory cimport give, take
from fastconv._native.runtime cimport kernels_of, threads_for

cnp.import_array()

cdef enum:
    PIECE = 32768    # elements that a thread takes at a time
    SOME = 16384     # of planes


cdef inline char *data(cnp.ndarray a) noexcept nogil:
    return <char *>cnp.PyArray_DATA(a)


cdef int check_alike(cnp.ndarray result, str name, cnp.ndarray a, str a_name) except -1:
    """Arrays of one size and type, the first to be written."""
    cdef int kind = check_real(result, name)
    check_array(result, name, -1, kind, DENSE_RESULT)
    check_array(a, a_name, -1, kind, DENSE)
    return check_size(a, a_name, result)


cdef int check_planes(cnp.ndarray x, str name, int flags, cnp.ndarray like) except -1:
    """(N, C, pixels), of the size of `like`."""
    check_array(x, name, 3, check_real(like, "x"), flags)
    for axis in range(3):
        check_axis(x, name, axis, like.shape[axis])
    return 0


cdef int check_row(cnp.ndarray a, str name, int flags, cnp.ndarray row, str row_name, int row_flags) except -1:
    """(N, C) beside (C,), of one type."""
    cdef int kind = check_real(a, name)
    check_array(a, name, 2, kind, flags)
    check_array(row, row_name, 1, kind, row_flags)
    return check_axis(row, row_name, 0, a.shape[1])


cdef int check_channels(cnp.ndarray a, str name, int flags, cnp.ndarray x) except -1:
    """A float64 for each channel of x."""
    check_array(a, name, 1, cnp.NPY_FLOAT64, flags)
    return check_axis(a, name, 0, x.shape[1])


cdef inline double get(const char *a, idx i, idx itemsize) noexcept nogil:
    return (<const float *>a)[i] if itemsize == 4 else (<const double *>a)[i]


cdef inline void put(char *a, idx i, double value, idx itemsize) noexcept nogil:
    if itemsize == 4:
        (<float *>a)[i] = <float>value
    else:
        (<double *>a)[i] = value


cpdef relu(cnp.ndarray x, cnp.ndarray y):
    """y = max(x, 0); NaN stays NaN."""
    check_alike(y, "y", x, "x")
    cdef idx z = cnp.PyArray_ITEMSIZE(x), n = cnp.PyArray_SIZE(x), piece, pieces = parts(n, PIECE)
    cdef const fc_kernels *kern = kernels_of(z)
    cdef char *px = data(x)
    cdef char *py = data(y)
    cdef int n_threads = threads_for(10.0 * n, pieces)
    if n_threads == 1:
        with nogil:
            kern.passes.relu(py, px, n)
        return
    for piece in prange(pieces, nogil=True, num_threads=n_threads, schedule="static"):
        kern.passes.relu(py + piece * PIECE * z, px + piece * PIECE * z, min(PIECE, n - piece * PIECE))


cdef void combine(void (*kernel)(void *, const void *, const void *, idx) noexcept nogil, cnp.ndarray a, cnp.ndarray b,
                  cnp.ndarray y) noexcept:
    """y from a and b of its shape, of which it may be either, element by element."""
    cdef idx z = cnp.PyArray_ITEMSIZE(y), n = cnp.PyArray_SIZE(y), piece, pieces = parts(n, PIECE)
    cdef char *pa = data(a)
    cdef char *pb = data(b)
    cdef char *py = data(y)
    cdef int n_threads = threads_for(10.0 * n, pieces)
    if n_threads == 1:
        with nogil:
            kernel(py, pa, pb, n)
        return
    for piece in prange(pieces, nogil=True, num_threads=n_threads, schedule="static"):
        kernel(py + piece * PIECE * z, pa + piece * PIECE * z, pb + piece * PIECE * z, min(PIECE, n - piece * PIECE))


cpdef relu_backward(cnp.ndarray dy, cnp.ndarray y, cnp.ndarray dx):
    """dx = dy where y > 0, else 0."""
    check_alike(dx, "dx", dy, "dy")
    check_alike(dx, "dx", y, "y")
    combine(kernels_of(cnp.PyArray_ITEMSIZE(y)).passes.relu_backward, dy, y, dx)


cpdef add(cnp.ndarray a, cnp.ndarray b, cnp.ndarray y):
    """y = a + b; y may be either."""
    check_alike(y, "y", a, "a")
    check_alike(y, "y", b, "b")
    combine(kernels_of(cnp.PyArray_ITEMSIZE(y)).passes.add, a, b, y)


def sgd(list parameters, list gradients, list buffers, double sign, double lr, double momentum, double fresh,
        double decay, bint nesterov):
    """g = sign dp + decay p; buffer = momentum buffer + fresh g (unless None); p -= lr (g, buffer or nesterov's).

    The lists hold one array for each parameter. Returns whether that was done: nothing is unless all of them are dense
    and of native float32 or float64, and with momentum there is a buffer for each.
    """
    cdef cnp.ndarray p, dp, buffer
    cdef idx z, n, piece, pieces, i
    cdef const fc_kernels *kern
    cdef char *pp
    cdef char *pd
    cdef char *pb
    cdef int n_threads
    if len(gradients) != len(parameters) or len(buffers) != len(parameters):
        raise ValueError(f"{len(parameters)} parameters have {len(gradients)} gradients and {len(buffers)} buffers")
    for i in range(len(parameters)):
        p = parameters[i]
        buffer = buffers[i]
        if not (dense(p, p) and dense(gradients[i], p) and cnp.PyArray_ISWRITEABLE(p)):
            return False
        if buffer is None and momentum != 0:
            return False
        if buffer is not None and not (dense(buffer, p) and cnp.PyArray_ISWRITEABLE(buffer)):
            return False
    for i in range(len(parameters)):
        p, dp, buffer = parameters[i], gradients[i], buffers[i]
        z, n = cnp.PyArray_ITEMSIZE(p), cnp.PyArray_SIZE(p)
        kern = kernels_of(z)
        pieces = parts(n, PIECE)
        pp, pd, pb = data(p), data(dp), data(buffer) if buffer is not None else NULL
        n_threads = threads_for(10.0 * n, pieces)
        if n_threads == 1:
            with nogil:
                update(kern, pp, pd, pb, sign, lr, momentum, fresh, decay, nesterov, n)
            continue
        for piece in prange(pieces, nogil=True, num_threads=n_threads, schedule="static"):
            update(kern, pp + piece * PIECE * z, pd + piece * PIECE * z, pb + piece * PIECE * z if pb != NULL else NULL,
                   sign, lr, momentum, fresh, decay, nesterov, min(PIECE, n - piece * PIECE))
    return True


cdef void update(const fc_kernels *kern, char *p, char *dp, char *buffer, double sign, double lr, double momentum,
                 double fresh, double decay, bint nesterov, idx n) noexcept nogil:
    # The momentum of a weight without a gradient decays until it is subnormal, and there it stays.
    cdef unsigned mode = fc_flush_subnormals()
    kern.passes.sgd(p, dp, buffer, sign, lr, momentum, fresh, decay, nesterov, n)
    fc_restore_mode(mode)


cdef bint dense(cnp.ndarray a, cnp.ndarray p) noexcept:
    """Whether the kernels can pass over a beside p, whose type it has."""
    if a is None or p is None:
        return False
    cdef int type_num = cnp.PyArray_TYPE(p)
    return (cnp.PyArray_TYPE(a) == type_num and (type_num == cnp.NPY_FLOAT32 or type_num == cnp.NPY_FLOAT64)
            and cnp.PyArray_ISCARRAY_RO(a) and cnp.PyArray_SIZE(a) == cnp.PyArray_SIZE(p))


cpdef bias_gradient(cnp.ndarray dy, cnp.ndarray db):
    """db[c] = sum of dy[:, c]. Every plane is summed by itself, in float64 over short runs, and the planes in order."""
    cdef int kind = check_real(dy, "dy")
    check_array(dy, "dy", 4, kind, DENSE)
    check_array(db, "db", 1, kind, DENSE_RESULT)
    check_axis(db, "db", 0, dy.shape[1])
    cdef idx z = cnp.PyArray_ITEMSIZE(dy), N = dy.shape[0], C = dy.shape[1], pixels = dy.shape[2] * dy.shape[3], n, c
    if pixels == 0:
        # There may be more such planes than memory.
        N = 0
    cdef const fc_kernels *kern = kernels_of(z)
    cdef char *py = data(dy)
    cdef size_t size = max(N * C, 1) * sizeof(double)
    cdef double *sums = <double *>take(size)
    cdef double total
    cdef int n_threads = threads_for(5.0 * N * C * pixels, N * C)
    cdef idx plane
    if n_threads == 1:
        with nogil:
            for plane in range(N * C):
                sums[plane] = kern.passes.total(py + plane * pixels * z, pixels)
    else:
        for plane in prange(N * C, nogil=True, num_threads=n_threads, schedule="static"):
            sums[plane] = kern.passes.total(py + plane * pixels * z, pixels)
    for c in range(C):
        total = 0
        for n in range(N):
            total += sums[n * C + c]
        put(data(db), c, total, z)
    give(sums, size)


cpdef add_row(cnp.ndarray y, cnp.ndarray b):
    """y[n] += b for every row n of y (N, C)."""
    check_row(y, "y", DENSE_RESULT, b, "b", DENSE)
    cdef idx z = cnp.PyArray_ITEMSIZE(y), C = y.shape[1], n
    cdef const fc_kernels *kern = kernels_of(z)
    for n in range(y.shape[0]):
        kern.passes.add(data(y) + n * C * z, data(y) + n * C * z, data(b), C)


cpdef column_sums(cnp.ndarray y, cnp.ndarray total):
    """total[c] = sum of y[:, c], row after row in float64, for y (N, C)."""
    check_row(y, "y", DENSE, total, "total", DENSE_RESULT)
    cdef idx z = cnp.PyArray_ITEMSIZE(y), C = y.shape[1], n, c
    cdef const fc_kernels *kern = kernels_of(z)
    cdef size_t size = max(C, 1) * sizeof(double)
    cdef double *sums = <double *>take(size)
    memset(sums, 0, C * sizeof(double))
    for n in range(y.shape[0]):
        kern.passes.add_to_doubles(sums, data(y) + n * C * z, C)
    for c in range(C):
        put(data(total), c, sums[c], z)
    give(sums, size)


cpdef cross_entropy(cnp.ndarray x, cnp.ndarray labels, cnp.ndarray dx, long long ignored, bint mean):
    """Cross entropy of the softmax of every row of x (M, C) with its class, summed or the mean of those not ignored.

    dx takes its gradient, unless it is None; labels are int64. Returns the loss, or None if a class is not from 0 to
    C - 1; dx is garbage then.
    """
    cdef int kind = check_real(x, "x")
    check_array(x, "x", 2, kind, DENSE)
    check_array(labels, "labels", 1, cnp.NPY_INT64, DENSE)
    check_axis(labels, "labels", 0, x.shape[0])
    if dx is not None:
        check_array(dx, "dx", 2, kind, DENSE_RESULT)
        check_axis(dx, "dx", 0, x.shape[0])
        check_axis(dx, "dx", 1, x.shape[1])
    cdef idx z = cnp.PyArray_ITEMSIZE(x), M = x.shape[0], C = x.shape[1], m, counted = 0
    cdef const fc_kernels *kern = kernels_of(z)
    cdef const int64_t *label = <const int64_t *>data(labels)
    cdef char *row
    cdef double loss = 0, largest, total
    cdef size_t size = C * z
    cdef char *memory = <char *>take(size) if dx is None else NULL
    for m in range(M):
        if label[m] != ignored:
            if not 0 <= label[m] < C:
                counted = -1
                break
            counted += 1
    cdef double weight = 1.0 / max(counted, 1) if mean else 1.0
    if counted >= 0:
        with nogil:
            for m in range(M):
                row = memory if memory != NULL else data(dx) + m * C * z
                if label[m] == ignored:
                    memset(row, 0, C * z)
                    continue
                kern.passes.softmax(row, data(x) + m * C * z, C, weight, &largest, &total)
                loss += log(total) + largest - get(data(x), m * C + label[m], z)
                put(row, label[m], get(row, label[m], z) - weight, z)
    if memory != NULL:
        give(memory, size)
    if counted < 0:
        return None
    if not mean:
        return loss
    return loss / counted if counted else NAN


# Batch norm passes over planes in the order of memory, some of an image at a time.

cdef struct Planes:
    idx N, C, pixels
    idx some, tasks


cdef Planes planes_of(cnp.ndarray x) noexcept:
    """x is (N, C, pixels)."""
    cdef Planes p
    p.N, p.C, p.pixels = x.shape[0], x.shape[1], x.shape[2]
    if p.pixels == 0:
        # There may be more such planes than memory.
        p.N = 0
    p.some = max(1, min(p.C, SOME // max(p.pixels, 1)))
    p.tasks = p.N * parts(p.C, p.some)
    return p


cdef void sum_channels(const fc_kernels *kern, const Planes *p, const char *a, const double *a_shift, const char *b,
                       const double *b_shift, double *sums, double *dots, double *total, double *dot) noexcept:
    """Sums of a - a_shift (unless NULL) and of its products with b - b_shift over each channel.

    Every plane is summed by itself, into `sums` and `dots`, and the planes in their order.
    """
    cdef idx z = kern.itemsize, chunks = parts(p.C, p.some), task, c, n, first
    cdef unsigned mode
    cdef int n_threads = threads_for(10.0 * p.N * p.C * p.pixels, p.tasks)
    for task in prange(p.tasks, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        mode = fc_flush_subnormals()
        c = task % chunks * p.some
        first = task // chunks * p.C + c
        kern.passes.sums(a + first * p.pixels * z, a_shift + c if a_shift != NULL else NULL, b + first * p.pixels * z,
                  b_shift + c, min(p.some, p.C - c), p.pixels, sums + first, dots + first)
        fc_restore_mode(mode)
    memset(total, 0, p.C * sizeof(double))
    memset(dot, 0, p.C * sizeof(double))
    for n in range(p.N):
        for c in range(p.C):
            total[c] += sums[n * p.C + c]
            dot[c] += dots[n * p.C + c]


def channel_statistics(cnp.ndarray x, cnp.ndarray shift, cnp.ndarray offset, cnp.ndarray variance):
    """The mean of x[:, c], which is shift[c] + offset[c], the former as exact as x, and its biased variance.

    x is (N, C, pixels); the others are (C,) of float64. One pass sums x less the mean of an eighth of the images, and
    corrects for what that lacks. Where it lacks more than the deviation, digits of the variance were lost, and there is
    another pass, with the mean itself.
    """
    check_planes(x, "x", DENSE, x)
    check_channels(shift, "shift", DENSE_RESULT, x)
    check_channels(offset, "offset", DENSE_RESULT, x)
    check_channels(variance, "variance", DENSE_RESULT, x)
    cdef Planes p = planes_of(x)
    cdef const fc_kernels *kern = kernels_of(cnp.PyArray_ITEMSIZE(x))
    cdef double *by = <double *>data(shift)
    cdef double *rest = <double *>data(offset)
    cdef double *square = <double *>data(variance)
    cdef double n = max(p.N * p.pixels, 1)
    cdef size_t size = 2 * max(p.N * p.C, 1) * sizeof(double)
    cdef double *sums = <double *>take(size)
    cdef double *squares = sums + p.N * p.C
    cdef idx c
    cdef int _attempt
    cdef bint far
    cdef Planes first = p
    first.N = parts(p.N, 8)
    first.tasks = first.N * parts(p.C, p.some)
    memset(by, 0, p.C * sizeof(double))
    sum_channels(kern, &first, data(x), NULL, data(x), by, sums, squares, rest, square)
    for c in range(p.C):
        rest[c] /= max(first.N * p.pixels, 1)
    for _attempt in range(2):
        for c in range(p.C):
            by[c] = <float>(by[c] + rest[c]) if kern.itemsize == 4 else by[c] + rest[c]
        sum_channels(kern, &p, data(x), by, data(x), by, sums, squares, rest, square)
        far = False
        for c in range(p.C):
            rest[c] /= n
            square[c] /= n
            far |= rest[c] * rest[c] > square[c] / 2
        if not far:
            break
    for c in range(p.C):
        square[c] -= rest[c] * rest[c]
        if square[c] < 0:
            square[c] = 0
    give(sums, size)


def channel_dots(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray shift, cnp.ndarray total, cnp.ndarray dot):
    """total[c] = sum of dy[:, c], dot[c] = sum of dy[:, c] (x[:, c] - shift[c]); arrays as in channel_statistics."""
    check_planes(x, "x", DENSE, x)
    check_planes(dy, "dy", DENSE, x)
    check_channels(shift, "shift", DENSE, x)
    check_channels(total, "total", DENSE_RESULT, x)
    check_channels(dot, "dot", DENSE_RESULT, x)
    cdef Planes p = planes_of(x)
    cdef size_t size = 2 * max(p.N * p.C, 1) * sizeof(double)
    cdef double *sums = <double *>take(size)
    sum_channels(kernels_of(cnp.PyArray_ITEMSIZE(x)), &p, data(dy), NULL, data(x), <double *>data(shift), sums,
                 sums + p.N * p.C, <double *>data(total), <double *>data(dot))
    give(sums, size)


def affine(cnp.ndarray x, cnp.ndarray y, cnp.ndarray shift, cnp.ndarray scale, cnp.ndarray offset):
    """y[:, c] = scale[c] (x[:, c] - shift[c]) + offset[c]; arrays as in channel_statistics."""
    check_planes(x, "x", DENSE, x)
    check_planes(y, "y", DENSE_RESULT, x)
    check_channels(shift, "shift", DENSE, x)
    check_channels(scale, "scale", DENSE, x)
    check_channels(offset, "offset", DENSE, x)
    cdef Planes p = planes_of(x)
    cdef idx z = cnp.PyArray_ITEMSIZE(x), chunks = parts(p.C, p.some), task, c, at
    cdef const fc_kernels *kern = kernels_of(z)
    cdef char *px = data(x)
    cdef char *py = data(y)
    cdef double *by = <double *>data(shift)
    cdef double *a = <double *>data(scale)
    cdef double *b = <double *>data(offset)
    cdef int n_threads = threads_for(10.0 * p.N * p.C * p.pixels, p.tasks)
    cdef unsigned mode
    for task in prange(p.tasks, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        mode = fc_flush_subnormals()
        c = task % chunks * p.some
        at = (task // chunks * p.C + c) * p.pixels * z
        kern.passes.affine(py + at, px + at, by + c, a + c, b + c, min(p.some, p.C - c), p.pixels)
        fc_restore_mode(mode)


def affine_pair(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dx, cnp.ndarray shift, cnp.ndarray scale, cnp.ndarray slope,
                cnp.ndarray offset):
    """dx[:, c] = scale[c] dy[:, c] + slope[c] (x[:, c] - shift[c]) + offset[c]; arrays as in channel_statistics."""
    check_planes(x, "x", DENSE, x)
    check_planes(dy, "dy", DENSE, x)
    check_planes(dx, "dx", DENSE_RESULT, x)
    check_channels(shift, "shift", DENSE, x)
    check_channels(scale, "scale", DENSE, x)
    check_channels(slope, "slope", DENSE, x)
    check_channels(offset, "offset", DENSE, x)
    cdef Planes p = planes_of(x)
    cdef idx z = cnp.PyArray_ITEMSIZE(x), chunks = parts(p.C, p.some), task, c, at
    cdef const fc_kernels *kern = kernels_of(z)
    cdef char *pd = data(dy)
    cdef char *px = data(x)
    cdef char *pr = data(dx)
    cdef double *by = <double *>data(shift)
    cdef double *a = <double *>data(scale)
    cdef double *b = <double *>data(slope)
    cdef double *o = <double *>data(offset)
    cdef int n_threads = threads_for(10.0 * p.N * p.C * p.pixels, p.tasks)
    cdef unsigned mode
    for task in prange(p.tasks, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        mode = fc_flush_subnormals()
        c = task % chunks * p.some
        at = (task // chunks * p.C + c) * p.pixels * z
        kern.passes.affine_pair(pr + at, pd + at, px + at, by + c, a + c, b + c, o + c, min(p.some, p.C - c), p.pixels)
        fc_restore_mode(mode)
