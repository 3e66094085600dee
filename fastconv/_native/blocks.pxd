"""Images in blocks of channels, and the steps of a plan that work on them."""

from libc.math cimport INFINITY

from fastconv._native.kernels cimport fc_kernels, idx
from fastconv._native.runtime cimport Task


cdef struct Memory:
    # What a plan's images lie in.
    char *block
    idx size


cdef struct Planes:
    # Images as tasks see them.
    char *data                           # the first image's first pixel
    idx n, blocks, h, w, top, left, bottom, right
    idx width, row, plane, image         # elements of a pixel; from a row, a block, and an image to the next


cdef inline char *at(const Planes *x, idx itemsize, idx n, idx block, idx h, idx w) noexcept nogil:
    return x.data + (n * x.image + block * x.plane + h * x.row + w * x.width) * itemsize


cdef inline bint is_dense(const Planes *x) noexcept nogil:
    """Whether a plane's pixels follow each other."""
    return x.row == x.w * x.width


cdef inline double work_of(const Planes *x, idx times) noexcept nogil:
    """That of so many multiply-adds for each element."""
    return <double>x.n * x.blocks * x.h * x.w * x.width * times


cdef class Images:
    cdef Planes planes
    cdef readonly idx c, itemsize, size
    cdef readonly bint narrow
    cdef public idx offset
    cdef idx first                       # block
    cdef Images whole                    # what this is a part of

    cdef Planes locate(self, Memory memory) except *


cdef class Step:
    cdef bint ready    # Its sizes have been checked.
    cdef double work   # multiply-adds, or what takes as long

    cdef int run(self, Memory memory, list arrays) except -1


cdef struct Common:
    # What a task of any layer reads: images y are made of images x, and of others that are added to them.
    const fc_kernels *kernels
    Planes x, y, added
    bint adds
    # What is done with results: limits; an activation of src_c/activations.h, or -1, and its parameters.
    double low, high
    int kind
    double[3] p


cdef inline void activate(const Common *c, char *y, idx pixels) noexcept nogil:
    if c.kind >= 0:
        c.kernels.activations.activate(c.kind, y, y, c.p, pixels * c.kernels.lanes)


cdef inline void finish(const Common *c, char *y, const char *x, const char *added, idx pixels) noexcept nogil:
    """What follows sums x, which may stand in y: what is added to them or NULL, limits, an activation."""
    if x != y or added != NULL or c.low > -INFINITY or c.high < INFINITY:
        c.kernels.blocks.add(y, x, added, c.low, c.high, pixels)
    activate(c, y, pixels)


cdef class Layer(Step):
    cdef Common common
    cdef Images x, y, added

    cdef int locate(self, Memory memory, Common *c) except -1

cdef void clear_margins(const Planes *x, idx itemsize) noexcept nogil
cdef void run_on_threads(Task task, const void *job, idx tasks, int threads) noexcept
