"""The input gradient of few channels, by column taps."""

from fastconv._native.problem cimport Problem

cdef void column_taps_features(const Problem *problem, int *rows, double *features) noexcept nogil
cdef int column_taps_run(const Problem *problem, int form) except -1
