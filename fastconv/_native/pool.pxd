"""Pooling, for layers."""

cimport numpy as cnp

from fastconv._native.kernels cimport idx

cpdef max_forward(cnp.ndarray x, cnp.ndarray y, cnp.ndarray indices, idx kernel_h, idx kernel_w, idx stride_h,
                  idx stride_w, idx pad_h, idx pad_w, idx dilation_h, idx dilation_w)
cpdef average_forward(cnp.ndarray x, cnp.ndarray y, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w, idx pad_h,
                      idx pad_w, bint count_include_pad, idx divisor_override)
cpdef average_backward(cnp.ndarray dy, cnp.ndarray dx, idx kernel_h, idx kernel_w, idx stride_h, idx stride_w,
                       idx pad_h, idx pad_w, bint count_include_pad, idx divisor_override)
cpdef max_backward(cnp.ndarray dy, cnp.ndarray indices, cnp.ndarray dx)
cpdef adaptive_average_forward(cnp.ndarray x, cnp.ndarray y)
cpdef adaptive_average_backward(cnp.ndarray dy, cnp.ndarray dx)
