"""The weight gradient: products of dy's pixels with those of x that each tap reads."""

from fastconv._native.problem cimport Problem

# For each form from OUTER to TURNED_RUNS its row of the tuning, -1 where it is impossible, and its features.
cdef void correlate_features(const Problem *problem, int *rows, double *features) noexcept nogil

cdef int correlate_run(const Problem *problem, int form) except -1
