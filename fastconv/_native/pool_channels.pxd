"""The tasks of pooling by channels, for pool.pyx: a row of outputs or of the gradient, or an image."""

from fastconv._native.kernels cimport idx

cdef void max_row(const void *job, idx task, char *memory) noexcept nogil
cdef void average_row(const void *job, idx task, char *memory) noexcept nogil
cdef void average_backward_rows(const void *job, idx task, char *memory) noexcept nogil
cdef void max_backward_image(const void *job, idx task, char *memory) noexcept nogil
cdef void adaptive_row(const void *job, idx task, char *memory) noexcept nogil
cdef void adaptive_backward_row(const void *job, idx task, char *memory) noexcept nogil
