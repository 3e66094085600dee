"""Convolution by Winograd's minimal filtering."""

from fastconv._native.kernels cimport idx
from fastconv._native.problem cimport Problem

cdef void winograd_features(const Problem *problem, int *rows, double *features) noexcept nogil
cdef int winograd_run(const Problem *problem, int form) except -1

# What explain names: the outputs of a tile, m_h x m_w, and the taps of a filter, r x s. False where it cannot be done.
cdef bint winograd_tile(const Problem *problem, idx *m_h, idx *m_w, idx *r, idx *s) noexcept nogil
