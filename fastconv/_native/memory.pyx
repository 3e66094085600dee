"""Recycled memory: results, and the workspace of a computation.

Fresh pages cost more than the arithmetic of a cheap layer, so what is given back waits for the next one of its size.
"""

cimport cython
cimport numpy as cnp
from cpython.ref cimport Py_INCREF
from libc.stddef cimport size_t
from libc.stdlib cimport realloc
from libc.string cimport memmove

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
    #if !defined(_WIN32)
    #include <sys/mman.h>
    #endif
    #if defined(MADV_HUGEPAGE)
    static void ask_for_huge_pages(void *block, size_t size) { madvise(block, size, MADV_HUGEPAGE); }
    #else
    static void ask_for_huge_pages(void *block, size_t size) { (void)block; (void)size; }
    #endif
    /* Pages that hold nothing of worth; on Windows they stay. */
    #if defined(_WIN32)
    static void forget_pages(void *block, size_t size) { (void)block; (void)size; }
    #elif defined(__linux__)
    static void forget_pages(void *block, size_t size) { madvise(block, size, MADV_DONTNEED); }
    #else
    static void forget_pages(void *block, size_t size) { madvise(block, size, MADV_FREE); }
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
    void forget_pages(void *block, size_t size) nogil

import numpy as np

cnp.import_array()

cdef enum:
    CLASSES = 4 * 8 + 1     # of blocks up to LARGE
    LEAST = 4096            # smallest block
    LARGE = 1048576         # from here on blocks are cut from regions
    UNIT = 65536            # ... in pieces of so many bytes
    HUGE_PAGE = 2097152
    REGION = 33554432       # smallest region
    SPARE = 33554432

cdef size_t MOST = PY_SSIZE_T_MAX // 2   # bytes of a block

# Bytes of blocks in use, and of those that wait and whose pages the process holds. Both together are bounded by little
# more than the most that was in use.
cdef size_t used_bytes = 0, waiting_bytes = 0, most_used_bytes = 0


cdef inline bint is_too_much(size_t more) noexcept:
    """Whether so many bytes more, in use, would be beyond the bound."""
    cdef size_t most = max(most_used_bytes, used_bytes + more)
    return waiting_bytes + used_bytes + more > most + most // 8 + SPARE


cdef void *allocate(size_t size) except NULL:
    cdef size_t alignment = HUGE_PAGE if size >= HUGE_PAGE else LINE
    cdef void *block = aligned_block(alignment, size)
    if block == NULL:
        # Perhaps what waits for reuse is what is missing.
        empty_cache()
        block = aligned_block(alignment, size)
        if block == NULL:
            raise MemoryError(f"could not allocate {size} bytes")
    if size >= HUGE_PAGE:
        ask_for_huge_pages(block, size)
    return block


# ---- small blocks ---------------------------------------------------------------------------------------------------

# Those of one size class wait in a list, linked through their own first bytes, until a block of that class is wanted.

cdef void *waiting[CLASSES]


cdef inline (int, size_t) size_class(size_t size) noexcept:
    # Four classes to each doubling: at most a quarter is wasted.
    cdef size_t octave = LEAST
    cdef int k = 0
    while octave * 2 <= size:
        octave *= 2
        k += 4
    cdef size_t step = octave // 4
    cdef size_t extra = 0 if size <= octave else (size - octave + step - 1) // step
    return k + <int>extra, octave + extra * step


# ---- large blocks ---------------------------------------------------------------------------------------------------

# A training step wants other sizes on its way back than it gave, so large blocks are pieces of regions: the smallest
# free span that is large enough gives its beginning, and what comes back is joined with its free neighbours (best fit;
# Wilson et al. 1995, Dynamic Storage Allocation: A Survey and Critical Review).

cdef struct Span:
    # Free bytes of a region. The process holds the pages of about so many of them, the first ones.
    char *begin
    size_t size, held


cdef struct Region:
    char *begin
    size_t size


cdef Span *spans = NULL          # in order of their addresses
cdef Region *regions = NULL
cdef Py_ssize_t n_spans = 0, n_regions = 0, n_large = 0, room_spans = 0, room_regions = 0
cdef size_t region_bytes = 0


cdef void *grown(void *table, Py_ssize_t room, size_t size) except NULL:
    """A table with room for so many items of a size."""
    cdef void *larger = realloc(table, room * size)
    if larger == NULL:
        raise MemoryError(f"could not allocate {room * size} bytes")
    return larger


cdef inline size_t in_units(size_t size) noexcept:
    return (size + UNIT - 1) // UNIT * UNIT


cdef bint begins_region(const char *p) noexcept:
    cdef Py_ssize_t i
    for i in range(n_regions):
        if regions[i].begin == p:
            return True
    return False


cdef void remove_span(Py_ssize_t i) noexcept:
    global n_spans
    n_spans -= 1
    memmove(&spans[i], &spans[i + 1], (n_spans - i) * sizeof(Span))


cdef Py_ssize_t insert_span(char *begin, size_t size, size_t held) noexcept:
    """Join free bytes with their neighbours; returns the number of their span. There is room for it."""
    global n_spans
    cdef Py_ssize_t i = 0, end = n_spans, middle
    while i < end:
        middle = (i + end) // 2
        if spans[middle].begin < begin:
            i = middle + 1
        else:
            end = middle
    if i > 0 and spans[i - 1].begin + spans[i - 1].size == begin and not begins_region(begin):
        i -= 1
        spans[i].size += size
        spans[i].held += held
    else:
        memmove(&spans[i + 1], &spans[i], (n_spans - i) * sizeof(Span))
        spans[i] = Span(begin, size, held)
        n_spans += 1
    if i + 1 < n_spans and spans[i].begin + spans[i].size == spans[i + 1].begin and not begins_region(
            spans[i + 1].begin):
        spans[i].size += spans[i + 1].size
        spans[i].held += spans[i + 1].held
        remove_span(i + 1)
    return i


cdef void give_back(Py_ssize_t i) noexcept:
    """Return a span's pages to the operating system: its region, if nothing else is in it."""
    global waiting_bytes, n_regions, region_bytes
    cdef Py_ssize_t k
    waiting_bytes -= spans[i].held
    for k in range(n_regions):
        if regions[k].begin == spans[i].begin and regions[k].size == spans[i].size:
            free_aligned(regions[k].begin)
            region_bytes -= regions[k].size
            n_regions -= 1
            regions[k] = regions[n_regions]
            remove_span(i)
            return
    forget_pages(spans[i].begin, spans[i].size)
    spans[i].held = 0


cdef void trim(size_t more) noexcept:
    """Return pages that wait, those of the largest spans first, until so many bytes more stay within the bound."""
    cdef Py_ssize_t i, largest
    while is_too_much(more):
        largest = -1
        for i in range(n_spans):
            if spans[i].held > 0 and (largest < 0 or spans[i].held > spans[largest].held):
                largest = i
        if largest < 0:
            return
        give_back(largest)


cdef Py_ssize_t add_region(size_t size) except -1:
    """A span of so many bytes at the least."""
    global regions, n_regions, room_regions, region_bytes
    cdef size_t whole
    cdef char *begin
    if n_regions == room_regions:
        regions = <Region *>grown(regions, 2 * (n_regions + 8), sizeof(Region))
        room_regions = 2 * (n_regions + 8)
    # Pages that nothing is written to cost nothing.
    whole = max(size, max(<size_t>REGION, region_bytes // 4))
    whole = (whole + HUGE_PAGE - 1) // HUGE_PAGE * HUGE_PAGE
    begin = <char *>aligned_block(HUGE_PAGE, whole)
    if begin != NULL:
        ask_for_huge_pages(begin, whole)
    else:
        whole = size
        begin = <char *>allocate(whole)
    regions[n_regions] = Region(begin, whole)
    n_regions += 1
    region_bytes += whole
    return insert_span(begin, whole, 0)


cdef void *take_large(size_t size) except NULL:
    global spans, room_spans, n_large, waiting_bytes
    cdef Py_ssize_t i, best = -1
    cdef size_t held
    cdef char *block
    # Each block may be a span of its own once it is given back.
    if n_spans + n_large + 2 > room_spans:
        spans = <Span *>grown(spans, 2 * (n_spans + n_large + 32), sizeof(Span))
        room_spans = 2 * (n_spans + n_large + 32)
    for i in range(n_spans):
        if spans[i].size >= size and (best < 0 or spans[i].size < spans[best].size):
            best = i
    if best < 0:
        trim(size)
        best = add_region(size)
    block = spans[best].begin
    held = min(spans[best].held, size)
    waiting_bytes -= held
    spans[best].begin += size
    spans[best].size -= size
    spans[best].held -= held
    if spans[best].size == 0:
        remove_span(best)
    if held < size:
        trim(size)
    n_large += 1
    return block


# ---- all blocks -----------------------------------------------------------------------------------------------------

cdef void *take(size_t size) except NULL:
    global waiting_bytes, used_bytes, most_used_bytes
    cdef int k
    cdef size_t whole = size
    cdef void *block
    if size > MOST:
        raise MemoryError(f"{size} bytes are more than can be addressed")
    if EXACT_MEMORY:
        block = allocate(whole)
    elif size >= LARGE:
        whole = in_units(size)
        block = take_large(whole)
    else:
        k, whole = size_class(size)
        block = waiting[k]
        if block != NULL:
            waiting[k] = (<void **>block)[0]
            waiting_bytes -= whole
        else:
            block = allocate(whole)
    used_bytes += whole
    most_used_bytes = max(most_used_bytes, used_bytes)
    return block


cdef void give(void *block, size_t size) noexcept:
    global waiting_bytes, used_bytes, n_large
    cdef int k
    cdef size_t whole = size
    if EXACT_MEMORY:
        free_aligned(block)
    elif size >= LARGE:
        whole = in_units(size)
        insert_span(<char *>block, whole, whole)
        n_large -= 1
        waiting_bytes += whole
    else:
        k, whole = size_class(size)
        if is_too_much(0):
            free_aligned(block)
        else:
            (<void **>block)[0] = waiting[k]
            waiting[k] = block
            waiting_bytes += whole
    used_bytes -= whole


def empty_cache() -> None:
    """Return memory that waits for reuse to the operating system."""
    global waiting_bytes, most_used_bytes
    cdef void *block
    cdef Py_ssize_t i
    for i in range(CLASSES):
        while waiting[i] != NULL:
            block = waiting[i]
            waiting[i] = (<void **>block)[0]
            free_aligned(block)
    for i in range(n_spans - 1, -1, -1):
        give_back(i)
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
