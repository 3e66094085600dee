"""Few channels a group by windows over rows that are read where they lie."""

from fastconv._native.kernels cimport idx
from fastconv._native.problem cimport Problem

# Features of windows, in counts.
cdef enum:
    WINDOWS_PRODUCTS          # vectors of products, with the idle lanes of ragged rows
    WINDOWS_LOADS             # vectors of pixels that are read for them: those of every second pixel count twice, others lanes times
    WINDOWS_MASKED            # of these, what is masked for columns beside the image
    WINDOWS_FAR               # elements of arrays that no cache near holds
    WINDOWS_COPIED            # elements of rows that cannot be read, or outputs that cannot be written, where they lie
    WINDOWS_ROWS              # rows that are put into tables
    WINDOWS_CALLS             # calls of the kernel
    WINDOWS_TAPS              # taps that are packed; or vectors of sums that are added up to totals
    WINDOWS_ONE
    WINDOWS_FEATURES

cdef void windows_features(const Problem *problem, int *rows, double *features) noexcept nogil
cdef int windows_run(const Problem *problem, int form) except -1
