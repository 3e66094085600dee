"""The tape's core, for layers to record on."""

cimport cython
cimport numpy as cnp
from cpython.ref cimport PyObject


@cython.final
cdef class Version:
    # How often in-place operations wrote to memory, and how often it was handed to somebody whose writes are not
    # counted; tensors that share the memory share this object.
    cdef readonly long long number
    cdef readonly long long shown


@cython.final
cdef class Watch:
    # What is known of an array that a node saved: the number of the input that it is, or OUTPUT; the version of its
    # memory (None if it was copied since), and that version's number when it was saved.
    cdef Version version
    cdef long long number
    cdef int source


@cython.final
cdef class Node:
    cdef readonly long long order
    cdef readonly object operation
    cdef public object vjp
    cdef public tuple saved      # None once a walk has freed it
    cdef public tuple parents
    cdef tuple watches           # a Watch for each of `saved` that is an input's array or the result's, else None
    cdef bint spends             # vjp is also told, last, whether it may write over the gradient that it takes
    cdef public dict hooks       # by number: functions of the gradient of the result; None if there are none
    cdef public object keeper    # a weak reference to the result, if its gradient is kept (retain_grad)
    cdef public object restore   # a function that computes `saved` again (checkpoint), or None
    cdef public object trace     # under detect_anomaly(), the Python stack where it was recorded


cdef class TensorBase:
    cdef public cnp.ndarray _array
    cdef bint needs              # requires_grad; of a view ask requires_grad(), since its base may have changed
    cdef public object _grad
    cdef Node node               # the operation that made it; of a view ask edge()
    cdef Version version         # None as long as nobody has to know it
    cdef TensorBase base         # the tensor, itself no view, of whose memory this one is a view; or None
    cdef long long seen          # of a view, the version at which `node` described it
    cdef bint loose              # a view made under no_grad()
    cdef bint sibling            # a view that was made together with others, by split() and the like, or a view of such
    cdef public dict _hooks      # of a leaf, by number: functions of its gradient, before it is added up ...
    cdef public dict _post_hooks  # ... and functions of the tensor afterwards


cdef enum:
    OUTPUT = -1  # the source of a saved array that is the result's

cdef set twice   # operations whose vjp also takes tensors, and is recorded then

cpdef wrap(cnp.ndarray array)
cpdef edge(TensorBase x)
cdef bint is_recording() except -1
cdef TensorBase record(cnp.ndarray y, operation, vjp, tuple saved, tuple inputs)
cdef int link_view(TensorBase out, TensorBase x, bint recording) except -1
cdef int refresh(TensorBase view) except -1
cdef in_float32(function, tuple before, tuple inputs, dict options)

# Add an array to the gradient of a leaf, which takes it over if nobody else has it. a + b, in `out` if there is one.
cdef int accumulate(TensorBase leaf, cnp.ndarray gradient, bint own) except -1
cdef plus(a, b, out)

# A copy of a gradient in the order of a's axes, or in C order where a has gaps or repeats itself.
cdef cnp.ndarray laid_out_as(cnp.ndarray a, cnp.ndarray gradient)


cdef inline bint narrow_type(cnp.ndarray a) noexcept:
    """Whether it holds floats of 16 bits: float16, or bfloat16, which is stored as NumPy's void."""
    cdef int type_num = cnp.PyArray_TYPE(a)
    return type_num == cnp.NPY_FLOAT16 or type_num == cnp.NPY_VOID


cdef inline bint is_narrow(object x) noexcept:
    """Whether it is a tensor, or an array, of such."""
    if isinstance(x, TensorBase):
        return narrow_type((<TensorBase>x)._array)
    return cnp.PyArray_Check(x) and narrow_type(<cnp.ndarray>x)


cdef inline bint requires_grad(TensorBase x) except -1:
    """Whether operations on it are recorded."""
    if x.base is not None:
        refresh(x)
    return x.needs


cdef inline bint is_whole(cnp.ndarray array) noexcept:
    """Whether it is no view of another array."""
    cdef PyObject *base = <PyObject *>cnp.PyArray_BASE(array)
    return base == NULL or not cnp.PyArray_Check(<object>base)


cdef inline bint in_order_of(cnp.ndarray a, cnp.ndarray b) noexcept:
    """Whether b, of a's shape, lies in memory as a does."""
    cdef int axis
    if cnp.PyArray_IS_C_CONTIGUOUS(a) and cnp.PyArray_IS_C_CONTIGUOUS(b):
        return True
    for axis in range(cnp.PyArray_NDIM(a)):
        if a.shape[axis] > 1 and a.strides[axis] != b.strides[axis]:
            return False
    return True
