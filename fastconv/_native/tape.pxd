"""The tape's core, for _layers to record on."""

cimport cython
cimport numpy as cnp


@cython.final
cdef class Node:
    cdef readonly long long order
    cdef object operation
    cdef public object vjp
    cdef public tuple parents
    cdef bint spends     # vjp is also told whether it may write over the gradient that it takes


cdef class TensorBase:
    cdef public cnp.ndarray _array
    cdef public bint _requires_grad
    cdef public object _grad
    cdef public Node _node


cpdef wrap(cnp.ndarray array)
cdef bint is_recording() except -1
cdef TensorBase record(cnp.ndarray y, operation, vjp, tuple inputs)
