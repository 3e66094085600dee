"""Few channels a group with channels along the lanes."""

from fastconv._native.kernels cimport idx
from fastconv._native.problem cimport Problem

# Features of lanes, in counts. Row 0 of the tuning is forward's and the input gradient's, row 1 the weight gradient's.
# Rows 2 and 3 are the same for groups of several channels, which are spread over the lanes of their group when read.
cdef enum:
    LANES_PRODUCTS            # vectors of products, with the idle lanes of the last vector of channels
    LANES_LOADS               # vectors of pixels that are read for them
    LANES_COPIED              # vectors of channels that are copied between neighbours in memory and lanes
    LANES_TRANSPOSED          # vectors that are transposed between rows of pixels and lanes
    LANES_SINGLE              # elements that are moved one by one, or in runs shorter than a vector
    LANES_FAR                 # elements of arrays that no cache near holds
    LANES_CALLS               # calls of the kernel
    LANES_TAPS                # vectors of taps that are packed; or of sums that are added up to totals
    LANES_ONE

cdef void lanes_features(const Problem *problem, int *rows, double *features) noexcept nogil
cdef int lanes_run(const Problem *problem, int form) except -1
