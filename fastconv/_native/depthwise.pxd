"""Few channels a group, for the general loop nests to hand over to."""

cimport numpy as cnp

from fastconv._native.kernels cimport idx
from fastconv._native.problem cimport Image

cdef bint takes(int which, const Image *x, idx H, idx W, idx K, idx c, idx R, idx S, idx P, idx Q, idx stride_h,
                idx stride_w, idx pad_h, idx pad_w, idx dilation_h, idx dilation_w, idx groups,
                idx itemsize) noexcept

cpdef forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx stride_h, idx stride_w, idx pad_h,
              idx pad_w, idx dilation_h, idx dilation_w, idx groups)
cpdef input_gradient(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                     idx dilation_h, idx dilation_w, idx groups)
cpdef weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                      idx dilation_h, idx dilation_w, idx groups)
