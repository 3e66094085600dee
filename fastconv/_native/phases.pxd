"""The input gradient of a stride: each residue of the stride is a gather of its own."""

from fastconv._native.problem cimport Problem

# Its features are the cycles of its residues in their best forms, and the elements of dx that are interleaved.
cdef void phases_features(const Problem *problem, int *rows, double *features) noexcept nogil

# The form of the residue whose first tap is number `index`: -1 where dx has no such pixel, -2 where there is no such
# tap.
cdef int phases_form(const Problem *problem, int index) noexcept nogil

cdef int phases_run(const Problem *problem, int form) except -1
