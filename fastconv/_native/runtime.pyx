"""The machine: instruction set, threads and recycled memory."""

cimport cython
cimport numpy as cnp
from libc.stddef cimport size_t
from libc.stdlib cimport free
from libc.string cimport strcmp
from cpython.ref cimport Py_INCREF

cdef extern from "stdlib.h" nogil:
    int posix_memalign(void **block, size_t alignment, size_t size)

cdef extern from *:
    """
    #if defined(__linux__)
    #include <sys/mman.h>
    static void ask_for_huge_pages(void *block, size_t size) { madvise(block, size, MADV_HUGEPAGE); }
    #else
    static void ask_for_huge_pages(void *block, size_t size) { (void)block; (void)size; }
    #endif
    #ifdef _OPENMP
    #include <omp.h>
    #else
    static int omp_get_max_threads(void) { return 1; }
    #endif
    /* Memory checkers see neither an overrun into a block's spare bytes nor what its former user left in it. */
    #if defined(__SANITIZE_ADDRESS__) || defined(FASTCONV_EXACT_MEMORY)
    enum { EXACT_MEMORY = 1 };
    #else
    enum { EXACT_MEMORY = 0 };
    #endif
    """
    const bint EXACT_MEMORY
    void ask_for_huge_pages(void *block, size_t size) nogil
    int omp_get_max_threads() nogil

import os
import time

import numpy as np

cnp.import_array()

# ---- instruction set ---------------------------------------------------------------------------------------------

cdef const fc_isa *isas[8]
cdef int n_isas = fc_usable_isas(isas)
cdef const fc_isa *isa = isas[n_isas - 1]


cdef const fc_kernels *kernels(idx itemsize) noexcept:
    return isa.f32 if itemsize == 4 else isa.f64


def available_isas() -> list:
    """Names of the instruction sets that this build holds and this CPU runs, slowest first."""
    return [isas[i].name.decode() for i in range(n_isas)]


def get_isa() -> str:
    """Name of the instruction set in use."""
    return isa.name.decode()


def set_isa(name: str) -> None:
    """Use the kernels of instruction set `name`, one of :func:`available_isas`; ValueError otherwise."""
    global isa
    if not isinstance(name, str):
        raise TypeError(f"an instruction set is chosen by its name, got {name!r} of type {type(name).__name__}")
    for i in range(n_isas):
        if strcmp(isas[i].name, name.encode()) == 0:
            isa = isas[i]
            return
    raise ValueError(f"instruction set {name!r} is not available here; choose one of {', '.join(available_isas())}")


def peak_gflops(seconds: float = 0.1) -> float:
    """Measured float32 multiply-add peak of one core in GFLOP/s: independent FMA chains in registers."""
    cdef double done, best = 0.0
    cdef idx n = 20_000
    deadline = time.perf_counter() + seconds
    while True:
        start = time.perf_counter()
        with nogil:
            done = isa.fma_burst(n)
        stop = time.perf_counter()
        best = max(best, done / (stop - start) * 1e-9)
        if stop >= deadline:
            return best


# ---- images ------------------------------------------------------------------------------------------------------


cdef void as_image(cnp.ndarray a, Image *image) noexcept:
    cdef idx z = cnp.PyArray_ITEMSIZE(a)
    image.data = image.end = <char *>cnp.PyArray_DATA(a)
    image.n, image.c, image.h, image.w = a.shape[0], a.shape[1], a.shape[2], a.shape[3]
    image.s_n, image.s_c, image.s_h, image.s_w = (
        a.strides[0] // z, a.strides[1] // z, a.strides[2] // z, a.strides[3] // z)
    for i in range(4):
        if a.strides[i] > 0:
            image.end += (a.shape[i] - 1) * a.strides[i]
    image.end += z


# ---- threads -----------------------------------------------------------------------------------------------------

cdef int chosen_threads = 0  # 0: as many as OpenMP would start
cdef bint forked = False     # a forked child must not enter OpenMP's inherited thread pool


cdef int max_threads() noexcept:
    if forked:
        return 1
    return chosen_threads if chosen_threads > 0 else omp_get_max_threads()


cdef int threads_for(double work, idx tasks) noexcept:
    # A second thread must have some 40 microseconds of work to be worth waking. All or one: OpenMP ends the threads
    # that a smaller team leaves over, and starts them anew for the next one.
    return max_threads() if work >= 4e6 and tasks > 1 else 1


def get_num_threads() -> int:
    """How many threads a large operation uses."""
    return max_threads()


def set_num_threads(n: int) -> None:
    """Let operations use up to `n` threads; ValueError unless n >= 1. Results do not depend on it."""
    global chosen_threads
    if isinstance(n, bool) or not isinstance(n, (int, np.integer)):
        raise TypeError(f"set_num_threads expects an integer, got {n!r} of type {type(n).__name__}")
    if not 1 <= n <= 4096:
        raise ValueError(f"set_num_threads expects 1 to 4096 threads, got {n}")
    chosen_threads = n


def _after_fork_in_child():
    global forked
    forked = True


os.register_at_fork(after_in_child=_after_fork_in_child)


# ---- recycled memory ---------------------------------------------------------------------------------------------
# Fresh pages cost more than the arithmetic of a cheap layer. Blocks of one size class wait in a list, linked through
# their own first bytes, until an array of that class is wanted. All blocks together are bounded by twice the most that
# was in use: a training step wants each class at another time.

cdef enum:
    CLASSES = 4 * 60
    LEAST = 4096            # smallest block
    HUGE_PAGE = 2097152

cdef size_t MOST = <size_t>1 << 62   # bytes of a block: size classes beyond it would not end

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
        if posix_memalign(&block, HUGE_PAGE if whole >= HUGE_PAGE else 64, whole) != 0:
            # Perhaps what waits for reuse is what is missing.
            empty_cache()
            if posix_memalign(&block, HUGE_PAGE if whole >= HUGE_PAGE else 64, whole) != 0:
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
    if EXACT_MEMORY or waiting_bytes + used_bytes + whole > 2 * most_used_bytes:
        free(block)
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
            free(block)
    waiting_bytes = 0
    most_used_bytes = used_bytes


def memory_stats() -> dict:
    """Bytes of recycled memory: ``in_use`` by arrays and scratch, ``waiting`` for reuse."""
    return {"in_use": used_bytes, "waiting": waiting_bytes}


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
    cdef double size = cnp.PyArray_DescrFromType(type_num).itemsize
    for i in range(ndim):
        size *= dims[i]
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


# ---- the environment's wishes ------------------------------------------------------------------------------------


def _from_environment(environment):
    name = environment.get("FASTCONV_ISA")
    if name:
        set_isa(name)
    count = environment.get("FASTCONV_NUM_THREADS")
    if count:
        if not count.isdecimal():
            raise ValueError(f"FASTCONV_NUM_THREADS must be a number of threads, got {count!r}")
        set_num_threads(int(count))


_from_environment(os.environ)
