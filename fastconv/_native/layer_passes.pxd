"""What passes of layers share: arrays that have been checked, and tasks over them."""

cimport numpy as cnp

from fastconv._native.kernels cimport idx
from fastconv._native.memory cimport Arena
from fastconv._native.runtime cimport Task

cdef enum:
    PIECE = 16384    # elements that a thread takes at a time, unless a plane or a row has more
    COLUMNS = 4096   # columns that it takes at a time


cdef inline char *data(cnp.ndarray a) noexcept nogil:
    return <char *>cnp.PyArray_DATA(a) if a is not None else NULL


# An array of the type and the shape of another one, or an error.
cdef int check_alike(cnp.ndarray a, str name, cnp.ndarray like, int flags) except -1

# Run tasks that need no memory but their arrays and some scratch.
cdef int run_tasks_of(Task task, const void *job, idx count, double work, Arena scratch) except -1
