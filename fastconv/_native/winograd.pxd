"""Convolution by Winograd's minimal filtering."""

from fastconv._native.kernels cimport idx
from fastconv._native.problem cimport Problem

cdef int winograd_features(const Problem *problem, double *features) noexcept nogil
cdef int winograd_run(const Problem *problem) except -1

# What explain names: the outputs of a tile, m_h x m_w, and the taps of a filter, r x s. False where it cannot be done.
cdef bint winograd_tile(const Problem *problem, idx *m_h, idx *m_w, idx *r, idx *s) noexcept nogil

# ---- until plan.pyx ----

cimport numpy as cnp


cdef enum:
    NEVER = 0
    IF_FASTER = 1
    WHEREVER_POSSIBLE = 2   # for tests and measurements

cdef int mode

cdef int takes(int which, idx N, idx C, idx H, idx W, idx K, idx c, idx R, idx S, idx P, idx Q, idx stride_h,
               idx stride_w, idx dilation_h, idx dilation_w, idx groups, idx itemsize) noexcept

cpdef forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx stride, idx pad_h, idx pad_w,
              idx dilation_h, idx dilation_w, idx groups)
cpdef input_gradient(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx stride, idx pad_h, idx pad_w, idx dilation_h,
                     idx dilation_w, idx groups)
cpdef weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx stride, idx pad_h, idx pad_w,
                      idx dilation_h, idx dilation_w, idx groups)
