"""Tensors and arrays alike as the inputs of an operation."""

cimport numpy as cnp

from fastconv._native.tape cimport TensorBase, is_recording, narrow_type, requires_grad


cdef inline object array_of(object x):
    """A tensor's array; anything else as it is."""
    return (<TensorBase>x)._array if isinstance(x, TensorBase) else x


# Which of an operation's inputs a gradient will be asked of: a bit each from 1 on; -1 if none of them is a tensor.

cdef inline int bit_of(object x, int bit) except -2:
    if not isinstance(x, TensorBase):
        return -1
    return bit if requires_grad(<TensorBase>x) else 0


cdef inline int joined(int a, int b) noexcept:
    return b if a < 0 else a if b < 0 else a | b


cdef inline int while_recording(int bits) except -2:
    return bits if bits <= 0 or is_recording() else 0


cdef inline int asked(object x) except -2:
    return while_recording(bit_of(x, 1))


cdef inline int asked_of_two(object a, object b) except -2:
    return while_recording(joined(bit_of(a, 1), bit_of(b, 2)))


cdef inline int asked_of_three(object a, object b, object c) except -2:
    return while_recording(joined(joined(bit_of(a, 1), bit_of(b, 2)), bit_of(c, 4)))


# Floats of 16 bits are computed in float32. Of arrays so is the result; that of tensors is rounded to their dtype.

cdef inline bint is_narrow_tensor(object x) noexcept:
    return isinstance(x, TensorBase) and narrow_type((<TensorBase>x)._array)


cdef inline tuple of_one_dtype(str op, tuple operands):
    """The operands themselves; TypeError if they are of several dtypes. None is of any."""
    dtypes = {x.dtype for x in operands if x is not None and hasattr(x, "dtype")}
    if len(dtypes) > 1:
        raise TypeError(f"{op}: input, weight and bias must have the same dtype, got "
                        + ", ".join([str(x.dtype) for x in operands if x is not None and hasattr(x, "dtype")]))
    return operands
