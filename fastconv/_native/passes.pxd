"""Single passes over memory, for layers."""

cimport numpy as cnp

cpdef relu(cnp.ndarray x, cnp.ndarray y)
cpdef relu_backward(cnp.ndarray dy, cnp.ndarray y, cnp.ndarray dx)
cpdef leaky_relu(cnp.ndarray a, cnp.ndarray x, double slope, cnp.ndarray y)
cpdef add(cnp.ndarray a, cnp.ndarray b, cnp.ndarray y)
cpdef bias_gradient(cnp.ndarray dy, cnp.ndarray db)
cpdef add_row(cnp.ndarray y, cnp.ndarray b)
cpdef column_sums(cnp.ndarray y, cnp.ndarray total)
cpdef cross_entropy(cnp.ndarray x, cnp.ndarray labels, cnp.ndarray dx, long long ignored, bint mean)

# Passes over planes of channels: arrays (N, C, ...) in C order or with channels last, which planes_last() tells, and
# pointers to a number for each channel. Their twins in passes.pyx, which take arrays, say what they compute.
cdef bint planes_last(cnp.ndarray a) noexcept
cdef int statistics_of(cnp.ndarray x, double *shift, double *offset, double *variance) except -1
cdef int dots_of(cnp.ndarray dy, cnp.ndarray x, const double *shift, double *total, double *dot) except -1
cdef int affine_of(cnp.ndarray a, cnp.ndarray x, cnp.ndarray y, const double *shift, const double *scale,
                   const double *slope, const double *offset) except -1
cdef int rectified_of(cnp.ndarray x, cnp.ndarray residual, cnp.ndarray y, const double *shift, const double *scale,
                      const double *offset, double ceiling) except -1
cdef int rectified_dots_of(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray y, cnp.ndarray g, const double *shift,
                           const double *scale, const double *offset, double ceiling, double *total,
                           double *dot) except -1
cdef int rectified_pair_of(cnp.ndarray dy, cnp.ndarray x, cnp.ndarray dx, const double *shift, const double *scale,
                           const double *offset, double ceiling, const double *of_g, const double *of_x,
                           const double *rest) except -1
