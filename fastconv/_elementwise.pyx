"""Element-wise layers and updates as single passes over memory: over planes or pieces, on threads where it pays.

Arrays are dense (C order) and of one float dtype, unless said otherwise.
"""

cimport numpy as cnp
from cython.parallel cimport prange

from fastconv._runtime cimport fc_kernels, give, idx, kernels, parts, take, threads_for

cnp.import_array()

cdef enum:
    PIECE = 32768    # elements that a thread takes at a time


cdef inline char *data(cnp.ndarray a) noexcept:
    return <char *>cnp.PyArray_DATA(a)


def relu(cnp.ndarray x, cnp.ndarray y):
    """y = max(x, 0); NaN stays NaN."""
    cdef idx z = cnp.PyArray_ITEMSIZE(x), n = cnp.PyArray_SIZE(x), piece, pieces = parts(n, PIECE)
    cdef const fc_kernels *kern = kernels(z)
    cdef char *px = data(x)
    cdef char *py = data(y)
    cdef int n_threads = threads_for(10.0 * n, pieces)
    for piece in prange(pieces, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        kern.relu(py + piece * PIECE * z, px + piece * PIECE * z, min(PIECE, n - piece * PIECE))


def relu_backward(cnp.ndarray dy, cnp.ndarray y, cnp.ndarray dx):
    """dx = dy where y > 0, else 0."""
    cdef idx z = cnp.PyArray_ITEMSIZE(y), n = cnp.PyArray_SIZE(y), piece, pieces = parts(n, PIECE)
    cdef const fc_kernels *kern = kernels(z)
    cdef char *pd = data(dy)
    cdef char *py = data(y)
    cdef char *px = data(dx)
    cdef int n_threads = threads_for(10.0 * n, pieces)
    for piece in prange(pieces, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        kern.relu_backward(px + piece * PIECE * z, pd + piece * PIECE * z, py + piece * PIECE * z,
                           min(PIECE, n - piece * PIECE))


def sgd(cnp.ndarray p, cnp.ndarray dp, cnp.ndarray buffer, double sign, double lr, double momentum, double fresh,
        double decay, bint nesterov):
    """g = sign dp + decay p; buffer = momentum buffer + fresh g (unless None); p -= lr (g, buffer or nesterov's)."""
    cdef idx z = cnp.PyArray_ITEMSIZE(p), n = cnp.PyArray_SIZE(p), piece, pieces = parts(n, PIECE)
    cdef const fc_kernels *kern = kernels(z)
    cdef char *pp = data(p)
    cdef char *pd = data(dp)
    cdef char *pb = data(buffer) if buffer is not None else NULL
    cdef int n_threads = threads_for(10.0 * n, pieces)
    for piece in prange(pieces, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        kern.sgd(pp + piece * PIECE * z, pd + piece * PIECE * z, pb + piece * PIECE * z if pb != NULL else NULL,
                 sign, lr, momentum, fresh, decay, nesterov, min(PIECE, n - piece * PIECE))


def channel_sums(cnp.ndarray x, cnp.ndarray shift, cnp.ndarray total, cnp.ndarray square):
    """total[c] = sum of x[:, c] - shift[c], square[c] = sum of its squares (unless None).

    x is (N, C, pixels); shift, total and square are (C,) of float64. Every plane is summed by itself, and the planes in
    their order.
    """
    cdef idx z = cnp.PyArray_ITEMSIZE(x), N = x.shape[0], C = x.shape[1], pixels = x.shape[2], n, c
    cdef const fc_kernels *kern = kernels(z)
    cdef char *px = data(x)
    cdef double *by = <double *>data(shift)
    cdef double *to = <double *>data(total)
    cdef double *to2 = <double *>data(square) if square is not None else NULL
    cdef size_t size = 2 * max(N * C, 1) * sizeof(double)
    cdef double *sums = <double *>take(size)
    cdef double *squares = sums + N * C
    cdef int n_threads = threads_for(10.0 * N * C * pixels, N * C)
    cdef idx plane
    for plane in prange(N * C, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        kern.sums(px + plane * pixels * z, by[plane % C], pixels, &sums[plane], &squares[plane])
    for c in range(C):
        to[c] = 0
        for n in range(N):
            to[c] += sums[n * C + c]
        if to2 != NULL:
            to2[c] = 0
            for n in range(N):
                to2[c] += squares[n * C + c]
    give(sums, size)


def channel_dots(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray shift, cnp.ndarray total):
    """total[c] = sum of dy[:, c] (x[:, c] - shift[c]); arrays as in channel_sums."""
    cdef idx z = cnp.PyArray_ITEMSIZE(x), N = x.shape[0], C = x.shape[1], pixels = x.shape[2], n, c
    cdef const fc_kernels *kern = kernels(z)
    cdef char *px = data(x)
    cdef char *pd = data(dy)
    cdef double *by = <double *>data(shift)
    cdef double *to = <double *>data(total)
    cdef size_t size = max(N * C, 1) * sizeof(double)
    cdef double *sums = <double *>take(size)
    cdef int n_threads = threads_for(10.0 * N * C * pixels, N * C)
    cdef idx plane
    for plane in prange(N * C, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        sums[plane] = kern.dot_shifted(pd + plane * pixels * z, px + plane * pixels * z, by[plane % C], pixels)
    for c in range(C):
        to[c] = 0
        for n in range(N):
            to[c] += sums[n * C + c]
    give(sums, size)


def affine(cnp.ndarray x, cnp.ndarray y, cnp.ndarray shift, cnp.ndarray scale, cnp.ndarray offset):
    """y[:, c] = scale[c] (x[:, c] - shift[c]) + offset[c]; arrays as in channel_sums."""
    cdef idx z = cnp.PyArray_ITEMSIZE(x), N = x.shape[0], C = x.shape[1], pixels = x.shape[2], c
    cdef const fc_kernels *kern = kernels(z)
    cdef char *px = data(x)
    cdef char *py = data(y)
    cdef double *by = <double *>data(shift)
    cdef double *a = <double *>data(scale)
    cdef double *b = <double *>data(offset)
    cdef int n_threads = threads_for(10.0 * N * C * pixels, N * C)
    cdef idx plane
    for plane in prange(N * C, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        c = plane % C
        kern.affine(py + plane * pixels * z, px + plane * pixels * z, by[c], a[c], b[c], pixels)


def affine_pair(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dx, cnp.ndarray shift, cnp.ndarray scale, cnp.ndarray slope,
                cnp.ndarray offset):
    """dx[:, c] = scale[c] dy[:, c] + slope[c] (x[:, c] - shift[c]) + offset[c]; arrays as in channel_sums."""
    cdef idx z = cnp.PyArray_ITEMSIZE(x), N = x.shape[0], C = x.shape[1], pixels = x.shape[2], c
    cdef const fc_kernels *kern = kernels(z)
    cdef char *pd = data(dy)
    cdef char *px = data(x)
    cdef char *pr = data(dx)
    cdef double *by = <double *>data(shift)
    cdef double *a = <double *>data(scale)
    cdef double *b = <double *>data(slope)
    cdef double *o = <double *>data(offset)
    cdef int n_threads = threads_for(10.0 * N * C * pixels, N * C)
    cdef idx plane
    for plane in prange(N * C, nogil=True, num_threads=n_threads, use_threads_if=n_threads > 1, schedule="static"):
        c = plane % C
        kern.affine_pair(pr + plane * pixels * z, pd + plane * pixels * z, px + plane * pixels * z, by[c], a[c], b[c],
                         o[c], pixels)
