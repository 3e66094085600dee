"""What the plans of a model depend on: its modules and their modes, its tensors, and what these hold.

Operations count their writes. Of writes past them the arrays tell: small ones are looked at as a whole, of large ones
some places, and all of it where the memory was handed out, or still is, or is not the array's own.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport PyObject
from libc.stdint cimport uint64_t
from libc.string cimport memcpy

from fastconv._native.kernels cimport fc_bring, idx
from fastconv._native.memory cimport LINE
from fastconv._native.tape cimport TensorBase

from collections import deque
from random import Random
from types import BuiltinFunctionType, FunctionType, MethodType, ModuleType

import numpy as np

from fastconv._native.memory import Block

cnp.import_array()

# What has no content that could change, or none that a model would change.
cdef tuple PLAIN = (
    bool, int, float, complex, str, bytes, type, ModuleType, FunctionType, BuiltinFunctionType, MethodType,
)

cdef extern from "Python.h":
    ctypedef struct PyDictObject:
        void *ma_keys
        void *ma_values
    Py_ssize_t Py_REFCNT(object o)
    int PyDict_Next(object p, Py_ssize_t *pos, PyObject **key, PyObject **value)
    Py_ssize_t PyDict_Size(object p)
    PyObject *PyList_GET_ITEM(list items, Py_ssize_t i)
    char *PyByteArray_AS_STRING(bytearray bytes)

cdef enum:
    SMALL = 16384    # bytes of an array that is looked at as a whole
    PLACES = 8       # of others, a cache line each
    DEEPEST = 3      # objects that are attributes of objects
    MOST_NESTED = 1000    # containers in containers: deeper ones are not looked at
    # After a network all that is looked at is far, and lies everywhere: objects are asked for so many ahead, and what
    # they point to half as many.
    DICTS_AHEAD = 64
    ARRAYS_AHEAD = 16


cdef struct Numbers:
    # Of an array: its version, how often it was shown, and fingerprints of some places and of all.
    long long version, shown
    uint64_t places, whole


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


cdef inline idx place(idx size, idx i) noexcept nogil:
    """Where the i-th place of a large array begins."""
    return (size - LINE) * i // (PLACES - 1) // 8 * 8


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
        number = number * 31 + fingerprint(data + place(size, i), LINE)
    return number


cdef bint same_members(object members, tuple known) noexcept:
    """Whether a dict still holds just these keys and values, one after the other."""
    cdef Py_ssize_t position = 0
    cdef Py_ssize_t n = 0
    cdef PyObject *key
    cdef PyObject *value
    if 2 * PyDict_Size(members) != len(known):
        return False
    while PyDict_Next(members, &position, &key, &value):
        if key != <PyObject *>known[n] or value != <PyObject *>known[n + 1]:
            return False
        n += 2
    return True


cdef bint same_items(object items, tuple known) noexcept:
    """Whether a sequence or a set still holds just these objects."""
    cdef Py_ssize_t i = 0
    if len(items) != len(known):
        return False
    for item in items:
        if <PyObject *>item != <PyObject *>known[i]:
            return False
        i += 1
    return True


cdef tuple members_of(object members):
    """The keys and values of a dict, one after the other, in the order in which PyDict_Next() tells them."""
    cdef Py_ssize_t position = 0
    cdef PyObject *key
    cdef PyObject *value
    cdef list found = []
    while PyDict_Next(members, &position, &key, &value):
        found.append(<object>key)
        found.append(<object>value)
    return tuple(found)


cdef inline void bring_items(PyObject *members) noexcept:
    """Ask for what same_members() will read of a dict."""
    fc_bring(<const char *>(<PyDictObject *>members).ma_keys, 4 * LINE)
    fc_bring(<const char *>(<PyDictObject *>members).ma_values, 2 * LINE)


cdef inline void bring_content(TensorBase tensor, cnp.ndarray array) noexcept:
    """Ask for what has_changed() will read of a tensor and its array."""
    fc_bring(<const char *><PyObject *>tensor.version, LINE)
    fc_bring(<const char *>cnp.PyArray_BASE(array), LINE)
    cdef idx size = cnp.PyArray_NBYTES(array), i
    if size <= SMALL:
        fc_bring(<const char *>cnp.PyArray_DATA(array), min(size, 4 * LINE))
    else:
        for i in range(PLACES):
            fc_bring(<const char *>cnp.PyArray_DATA(array) + place(size, i), LINE)


cdef bint is_lent(cnp.ndarray a):
    """Whether others may write there: the memory is a file's, another process's, or of an array that others view."""
    cdef PyObject *base = <PyObject *>cnp.PyArray_BASE(a)
    while base != NULL and cnp.PyArray_Check(<object>base):
        if Py_REFCNT(<object>base) > 1:
            return True
        base = <PyObject *>cnp.PyArray_BASE(<cnp.ndarray>base)
    return base != NULL and not isinstance(<object>base, Block)


@cython.final
@cython.auto_pickle(False)
cdef class Watch:
    """A model as it is now: `modules` is a list of modules' ``__dict__``.

    What these hold counts: the values, the items of containers among them, the attributes of other objects among
    them and of objects that these hold, and the content of all tensors and arrays that there are.

    Attributes
    ----------
    generators : list
        Of random numbers, which draw without a trace that is seen here.
    iterators : list
        Whose next item nobody can tell.
    """
    cdef list dicts                      # one after the other, each with what it holds
    cdef list containers                 # each with what it holds
    cdef list tensors, arrays
    cdef bytearray numbers               # of each array
    cdef list plain                      # arrays of no tensor, each with its fingerprint
    cdef list modules
    cdef readonly list generators, iterators

    def __init__(self, list modules not None):
        cdef set seen = set()
        self.modules, self.generators, self.iterators = modules, [], []
        self.dicts, self.containers, self.tensors, self.arrays, self.plain = [], [], [], [], []
        self.numbers = bytearray()
        for own in modules:
            seen.add(id(own))
        for own in modules:
            self.look_into(own, seen, 0, 0)

    cdef int look_at(self, value, set seen, int depth, int nested) except -1:
        if value is None or isinstance(value, PLAIN) or id(value) in seen or nested > MOST_NESTED:
            return 0
        seen.add(id(value))
        if isinstance(value, TensorBase):
            self.add([value])
        elif isinstance(value, np.ndarray):
            self.plain.append((value, number_of(value, True)))
        elif isinstance(value, dict):
            self.look_into(value, seen, depth, nested)
        elif isinstance(value, (list, tuple, set, frozenset, deque)):
            if not isinstance(value, tuple):
                self.containers.append((value, tuple(value)))
            for item in tuple(value):
                self.look_at(item, seen, depth, nested + 1)
        elif isinstance(value, Random) or hasattr(type(value), "bit_generator") or hasattr(type(value), "manual_seed"):
            self.generators.append(value)
        elif hasattr(type(value), "__next__"):
            self.iterators.append(value)
        if depth < DEEPEST:
            try:
                own = value.__dict__
            except Exception:  # whatever a program's class may raise
                own = None
            if type(own) is dict and id(own) not in seen:
                seen.add(id(own))
                self.look_into(own, seen, depth + 1, nested)
        return 0

    cdef int look_into(self, object members, set seen, int depth, int nested) except -1:
        self.dicts += members, members_of(members)
        if type(members) is not dict:  # it may have an order of its own
            self.containers.append((members, tuple(members)))
        for value in tuple(members.values()):
            self.look_at(value, seen, depth, nested + 1)
        return 0

    def add(self, list tensors not None) -> None:
        """Watch the content of some more tensors."""
        cdef TensorBase tensor
        cdef Numbers numbers
        for tensor in tensors:
            tensor._alias()  # from now on writes to it are counted
            self.tensors.append(tensor)
            self.arrays.append(tensor._array)
            numbers = Numbers(tensor.version.number, tensor.version.shown, number_of(tensor._array, False),
                              number_of(tensor._array, True))
            self.numbers += (<char *>&numbers)[:sizeof(Numbers)]

    def has_hooks(self) -> bool:
        """Whether calls of a module do more than forward."""
        for own in self.modules:
            hooks = (<dict>own).get("_hooks")
            if hooks is not None and any(hooks.values()):
                return True
        return False

    def has_changed(self) -> bool:
        """Whether anything is another than it was, or holds other numbers."""
        cdef Numbers *numbers = <Numbers *>PyByteArray_AS_STRING(self.numbers)
        cdef TensorBase tensor
        cdef cnp.ndarray array
        cdef tuple known
        cdef Py_ssize_t i, n = len(self.dicts)
        cdef bint whole
        for i in range(0, n, 2):
            if i + DICTS_AHEAD < n:
                fc_bring(<char *>PyList_GET_ITEM(self.dicts, i + DICTS_AHEAD), LINE)
                fc_bring(<char *>PyList_GET_ITEM(self.dicts, i + DICTS_AHEAD + 1), 2 * LINE)
            if i + DICTS_AHEAD // 2 < n:
                bring_items(PyList_GET_ITEM(self.dicts, i + DICTS_AHEAD // 2))
            if not same_members(self.dicts[i], <tuple>self.dicts[i + 1]):
                return True
        for known in self.containers:
            if not same_items(known[0], known[1]):
                return True
        n = len(self.tensors)
        for i in range(n):
            if i + ARRAYS_AHEAD < n:
                fc_bring(<char *>PyList_GET_ITEM(self.tensors, i + ARRAYS_AHEAD), LINE)
                fc_bring(<char *>PyList_GET_ITEM(self.arrays, i + ARRAYS_AHEAD), 2 * LINE)
            if i + ARRAYS_AHEAD // 2 < n:
                bring_content(self.tensors[i + ARRAYS_AHEAD // 2], self.arrays[i + ARRAYS_AHEAD // 2])
            tensor, array = self.tensors[i], self.arrays[i]
            if tensor._array is not array or tensor.version is None or tensor.version.number != numbers[i].version:
                return True
            # The tensor, the list and this function have it.
            whole = tensor.version.shown != numbers[i].shown or Py_REFCNT(array) > 3 or is_lent(array)
            if number_of(array, whole) != (numbers[i].whole if whole else numbers[i].places):
                return True
            numbers[i].shown = tensor.version.shown
        for known in self.plain:
            if number_of(known[0], True) != known[1]:
                return True
        return False
