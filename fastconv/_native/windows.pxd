"""Few channels a group by windows over rows that are read where they lie."""

from fastconv._native.kernels cimport idx
from fastconv._native.problem cimport Problem

# Features of windows, in counts.
cdef enum:
    WINDOWS_PRODUCTS          # vectors of products, with the idle lanes of ragged rows
    WINDOWS_LOADS             # reads for them: one a vector, with stride 2 or 4 so many, with other strides one a lane
    WINDOWS_MASKED            # of these, what is masked for columns beside the image
    WINDOWS_FAR               # elements of arrays that no cache near holds
    WINDOWS_COPIED            # elements of rows that cannot be read, or outputs that cannot be written, where they lie
    WINDOWS_ROWS              # rows that are put into tables
    WINDOWS_CALLS             # calls of the kernel
    WINDOWS_TAPS              # taps that are packed; or vectors of sums that are added up to totals
    WINDOWS_ONE

cdef void windows_features(const Problem *problem, int *rows, double *features) noexcept nogil
cdef int windows_run(const Problem *problem, int form) except -1
