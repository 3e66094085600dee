"""What the plans of a model depend on: its modules and their modes, its tensors, and what these hold.

Operations count their writes. Of writes past them the arrays tell: small ones are looked at as a whole, of large ones
some places, and all of it where the memory was handed out, or still is.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from fastconv._native.kernels cimport idx
from fastconv._native.memory cimport LINE
from fastconv._native.tape cimport TensorBase

import numpy as np

cnp.import_array()

cdef extern from "Python.h":
    Py_ssize_t Py_REFCNT(object o)
    int PyDict_Next(object p, Py_ssize_t *pos, PyObject **key, PyObject **value)

cdef enum:
    SMALL = 16384    # bytes of an array that is looked at as a whole
    PLACES = 8       # of others, a cache line each


cdef inline uint64_t mixed(uint64_t number, const char *word, idx size) noexcept nogil:
    cdef uint64_t bits = 0
    memcpy(&bits, word, size)
    number = (number ^ bits) * <uint64_t>0x9E3779B97F4A7C15
    return number ^ number >> 29


cdef uint64_t fingerprint(const char *data, idx size) noexcept nogil:
    # Four chains, so that multiplications need not wait for each other.
    cdef uint64_t[4] chains = [1, 2, 3, 4]
    cdef idx i = 0
    cdef int k
    while i + 32 <= size:
        for k in range(4):
            chains[k] = mixed(chains[k], data + i + 8 * k, 8)
        i += 32
    while i < size:
        chains[0] = mixed(chains[0], data + i, min(<idx>8, size - i))
        i += 8
    for k in range(1, 4):
        chains[0] = mixed(chains[0], <const char *>&chains[k], 8)
    return chains[0]


cdef uint64_t number_of(cnp.ndarray a, bint whole):
    """Of an array's content, all of it or, of a large one, of some places."""
    cdef idx size, i
    cdef const char *data
    cdef uint64_t number = 0
    if not cnp.PyArray_IS_C_CONTIGUOUS(a):
        a = np.ascontiguousarray(a)
    size, data = cnp.PyArray_NBYTES(a), <const char *>cnp.PyArray_DATA(a)
    if whole or size <= SMALL:
        return fingerprint(data, size)
    for i in range(PLACES):
        number = number * 31 + fingerprint(data + (size - LINE) * i // (PLACES - 1) // 8 * 8, LINE)
    return number


cdef bint same_values(dict members, tuple known) noexcept:
    """Whether a dict still holds just these objects."""
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t n = 0
    cdef PyObject *key
    cdef PyObject *value
    if len(members) != len(known):
        return False
    while PyDict_Next(members, &position, &key, &value):
        if value != <PyObject *>known[n]:
            return False
        n += 1
    return True


@cython.final
@cython.auto_pickle(False)
cdef class Watch:
    """A model as it is now: `modules` is a list of modules' ``__dict__``. Tensors that are plain attributes count."""
    cdef list modules                    # for each: its dict, its mode, and three dicts with their values
    cdef list attributes                 # tensors that are plain ones: dict, name, tensor
    cdef list tensors, arrays
    cdef list numbers                    # for each array: version, how often shown, fingerprints of places and of all

    def __init__(self, list modules not None):
        self.modules, self.attributes, self.tensors, self.arrays, self.numbers = [], [], [], [], []
        for own in modules:
            parameters, buffers, children = own["_parameters"], own["_buffers"], own["_modules"]
            self.modules.append((own, own["training"], parameters, tuple(parameters.values()), buffers,
                                 tuple(buffers.values()), children, tuple(children.values())))
            for name, value in own.items():
                if isinstance(value, TensorBase):
                    self.attributes.append((own, name, value))
            self.add([t for t in (*parameters.values(), *buffers.values()) if t is not None])
        self.add([attribute[2] for attribute in self.attributes])

    def add(self, list tensors not None) -> None:
        """Watch the content of some more tensors."""
        cdef TensorBase tensor
        for tensor in tensors:
            tensor._alias()  # from now on writes to it are counted
            self.tensors.append(tensor)
            self.arrays.append(tensor._array)
            self.numbers.append([tensor.version.number, tensor.version.shown, number_of(tensor._array, False),
                                 number_of(tensor._array, True)])

    def has_hooks(self) -> bool:
        """Whether calls of a module do more than forward."""
        cdef tuple module
        for module in self.modules:
            hooks = (<dict>module[0]).get("_hooks")
            if hooks is not None and any(hooks.values()):
                return True
        return False

    def has_changed(self) -> bool:
        """Whether anything is another than it was, or holds other numbers."""
        cdef TensorBase tensor
        cdef cnp.ndarray array
        cdef tuple module
        cdef list numbers
        cdef idx i
        cdef bint whole
        for module in self.modules:
            if ((<dict>module[0])["training"] is not module[1] or (<dict>module[0])["_parameters"] is not module[2]
                    or (<dict>module[0])["_buffers"] is not module[4] or (<dict>module[0])["_modules"] is not module[6]
                    or not same_values(module[2], module[3]) or not same_values(module[4], module[5])
                    or not same_values(module[6], module[7])):
                return True
        for own, name, value in self.attributes:
            if own.get(name) is not value:
                return True
        for i in range(len(self.tensors)):
            tensor, numbers, array = self.tensors[i], self.numbers[i], self.arrays[i]
            if tensor._array is not array or tensor.version is None or tensor.version.number != numbers[0]:
                return True
            # The tensor, the list and this function have it.
            whole = tensor.version.shown != numbers[1] or Py_REFCNT(array) > 3
            if number_of(array, whole) != numbers[3 if whole else 2]:
                return True
            numbers[1] = tensor.version.shown
        return False
