"""Recycled memory: results, and the workspace of a computation.

Fresh pages cost more than the arithmetic of a cheap layer, so what is given back waits for the next one of its size.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from libc.stddef cimport size_t

cdef extern from "Python.h":
    const Py_ssize_t PY_SSIZE_T_MAX

cdef extern from *:
    """
    #include <stdlib.h>
    #if defined(_WIN32)
    #include <malloc.h>
    static void *aligned_block(size_t alignment, size_t size) { return _aligned_malloc(size, alignment); }
    static void free_aligned(void *block) { _aligned_free(block); }
    #else
    static void *aligned_block(size_t alignment, size_t size)
    {
        void *block;
        return posix_memalign(&block, alignment, size) ? NULL : block;
    }
    static void free_aligned(void *block) { free(block); }
    #endif
    #if defined(__linux__)
    #include <sys/mman.h>
    #endif
    #if defined(MADV_HUGEPAGE)
    static void ask_for_huge_pages(void *block, size_t size) { madvise(block, size, MADV_HUGEPAGE); }
    #else
    static void ask_for_huge_pages(void *block, size_t size) { (void)block; (void)size; }
    #endif
    /* Memory checkers see neither an overrun into a block's spare bytes nor what its former user left in it. */
    #if defined(__has_feature)
    #if __has_feature(address_sanitizer)
    #define FASTCONV_EXACT_MEMORY
    #endif
    #endif
    #if defined(__SANITIZE_ADDRESS__) || defined(FASTCONV_EXACT_MEMORY)
    enum { EXACT_MEMORY = 1 };
    #else
    enum { EXACT_MEMORY = 0 };
    #endif
    """
    const bint EXACT_MEMORY
    void *aligned_block(size_t alignment, size_t size) nogil
    void free_aligned(void *block) nogil
    void ask_for_huge_pages(void *block, size_t size) nogil

import numpy as np

cnp.import_array()

# Blocks of one size class wait in a list, linked through their own first bytes, until a block of that class is wanted.
# All blocks together are bounded by little more than the most that was in use. A training step wants each class at
# another time: up to SPARE bytes no block ever goes back, and beyond that the largest go first, whose pages cost least
# beside what is written into them.

cdef enum:
    CLASSES = 4 * 60
    LEAST = 4096            # smallest block
    HUGE_PAGE = 2097152
    SPARE = 33554432

cdef size_t MOST = PY_SSIZE_T_MAX // 2   # bytes of a block: size classes beyond it would not end

cdef void *waiting[CLASSES]
cdef size_t waiting_bytes = 0, used_bytes = 0, most_used_bytes = 0


cdef (int, size_t) size_class(size_t size) noexcept:
    # Four classes to each doubling: at most a quarter is wasted.
    if EXACT_MEMORY:
        return 0, size
    cdef size_t octave = LEAST
    cdef int k = 0
    while octave * 2 <= size:
        octave *= 2
        k += 4
    cdef size_t step = octave // 4
    cdef size_t extra = 0 if size <= octave else (size - octave + step - 1) // step
    return k + <int>extra, octave + extra * step


cdef inline size_t most_bytes(size_t used) noexcept:
    """The bound of all blocks, while so much is in use."""
    cdef size_t most = max(most_used_bytes, used)
    return most + most // 8 + SPARE


cdef void make_room(size_t size) noexcept:
    """Give waiting blocks back so that a new one of this size stays within the bound."""
    global waiting_bytes
    cdef void *block
    cdef int k = CLASSES - 1
    cdef size_t most = most_bytes(used_bytes + size)
    while waiting_bytes > 0 and waiting_bytes + used_bytes + size > most:
        while waiting[k] == NULL:
            k -= 1
        block = waiting[k]
        waiting[k] = (<void **>block)[0]
        waiting_bytes -= class_bytes(k)
        free_aligned(block)


cdef size_t class_bytes(int k) noexcept:
    cdef size_t octave = <size_t>LEAST << (k // 4)
    return octave + k % 4 * (octave // 4)


cdef void *take(size_t size) except NULL:
    global waiting_bytes, used_bytes, most_used_bytes
    cdef int k
    cdef size_t whole
    cdef void *block = NULL
    if size > MOST:
        raise MemoryError(f"{size} bytes are more than can be addressed")
    k, whole = size_class(size)
    block = waiting[k]
    if block != NULL:
        waiting[k] = (<void **>block)[0]
        waiting_bytes -= whole
    else:
        make_room(whole)
        block = aligned_block(HUGE_PAGE if whole >= HUGE_PAGE else LINE, whole)
        if block == NULL:
            # Perhaps what waits for reuse is what is missing.
            empty_cache()
            block = aligned_block(HUGE_PAGE if whole >= HUGE_PAGE else LINE, whole)
            if block == NULL:
                raise MemoryError(f"could not allocate {size} bytes")
        if whole >= HUGE_PAGE:
            ask_for_huge_pages(block, whole)
    used_bytes += whole
    most_used_bytes = max(most_used_bytes, used_bytes)
    return block


cdef void give(void *block, size_t size) noexcept:
    global waiting_bytes, used_bytes
    cdef int k
    cdef size_t whole
    k, whole = size_class(size)
    used_bytes -= whole
    if EXACT_MEMORY or waiting_bytes + used_bytes + whole > most_bytes(used_bytes):
        free_aligned(block)
        return
    (<void **>block)[0] = waiting[k]
    waiting[k] = block
    waiting_bytes += whole


def empty_cache() -> None:
    """Return memory that waits for reuse to the operating system."""
    global waiting_bytes, most_used_bytes
    cdef void *block
    for k in range(CLASSES):
        while waiting[k] != NULL:
            block = waiting[k]
            waiting[k] = (<void **>block)[0]
            free_aligned(block)
    waiting_bytes = 0
    most_used_bytes = used_bytes


def memory_stats() -> dict:
    """Bytes of recycled memory: ``in_use`` by arrays and scratch, ``waiting`` for reuse."""
    return {"in_use": used_bytes, "waiting": waiting_bytes}


# ---- workspaces ---------------------------------------------------------------------------------------------------


cdef int reserve(Workspace *workspace, Arena *tables, const Arena *scratch, int n_threads) except -1:
    cdef double size = tables.size + n_threads * scratch.size
    if size > MOST:
        raise MemoryError(f"{size:.3g} bytes are more than can be addressed")
    workspace.n_threads, workspace.keeps_subnormals = n_threads, False
    workspace.size, workspace.each = <idx>size, <idx>scratch.size
    workspace.block = <char *>take(workspace.size) if workspace.size > 0 else NULL
    workspace.scratch = workspace.block + <idx>tables.size
    tables.block, tables.size = workspace.block, 0
    return 0


cdef void release(Workspace *workspace) noexcept:
    if workspace.block != NULL:
        give(workspace.block, workspace.size)


# ---- results ------------------------------------------------------------------------------------------------------


@cython.final
@cython.auto_pickle(False)
cdef class Block:
    """Memory of one array, given back when the last view of it is gone."""
    cdef void *data
    cdef size_t size

    def __dealloc__(self):
        if self.data != NULL:
            give(self.data, self.size)


cdef object allocator = None


def set_allocator(function) -> None:
    """Have results allocated by ``function(shape, dtype)``, so that tests see who writes where; None ends it."""
    global allocator
    allocator = function


cdef cnp.ndarray new_array(int ndim, const cnp.npy_intp *dims, int type_num):
    cdef int i
    if allocator is not None:
        return allocator(tuple([dims[i] for i in range(ndim)]), cnp.PyArray_DescrFromType(type_num))
    cdef double size = 1
    for i in range(ndim):
        size *= dims[i]
    # To ask for an element's size takes longer than to see that it is no matter, for none is of more than 32 bytes.
    if size >= LEAST // 32:
        size *= cnp.PyArray_DescrFromType(type_num).itemsize
    # NumPy says what is wrong with a shape that is negative or beyond all memory.
    if size < LEAST or size > MOST:
        return cnp.PyArray_EMPTY(ndim, <cnp.npy_intp *>dims, type_num, 0)
    cdef Block block = Block.__new__(Block)
    block.data = take(<size_t>size)
    block.size = <size_t>size
    cdef cnp.ndarray array = cnp.PyArray_SimpleNewFromData(ndim, <cnp.npy_intp *>dims, type_num, block.data)
    Py_INCREF(block)
    cnp.PyArray_SetBaseObject(array, block)
    return array


cdef cnp.ndarray new_images(const cnp.npy_intp *dims, int type_num, bint last):
    cdef cnp.npy_intp[4] stored = [dims[0], dims[2], dims[3], dims[1]]
    cdef cnp.npy_intp[4] order = [0, 3, 1, 2]
    cdef cnp.PyArray_Dims axes
    if not last:
        return new_array(4, dims, type_num)
    axes.ptr, axes.len = order, 4
    return cnp.PyArray_Transpose(new_array(4, stored, type_num), &axes)


def empty(shape, dtype) -> np.ndarray:
    """A C-contiguous array like ``numpy.empty``, from recycled memory if it is large."""
    cdef cnp.dtype descr = np.dtype(dtype)
    cdef cnp.npy_intp dims[8]
    cdef int ndim = len(shape)
    if ndim > 8 or not cnp.PyDataType_ISNUMBER(descr) or not descr.isnative:
        return np.empty(shape, descr)
    for i in range(ndim):
        dims[i] = shape[i]
    return new_array(ndim, dims, descr.num)
