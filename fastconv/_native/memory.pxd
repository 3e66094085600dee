"""Recycled memory: results, and the workspace of a computation, sized and carved in one place."""

cimport numpy as cnp

from fastconv._native.kernels cimport idx

cdef enum:
    LINE = 64   # bytes of a cache line, to which every piece of memory is aligned

# A block aligned to a cache line at the least; MemoryError if there is none. It goes back with the size it came with.
cdef void *take(size_t size) except NULL
cdef void give(void *block, size_t size) noexcept

# A C-contiguous array, from recycled memory if it is large.
cdef cnp.ndarray new_array(int ndim, const cnp.npy_intp *dims, int type_num)

# Images (N, C, H, W) so, in C order or with channels last.
cdef cnp.ndarray new_images(const cnp.npy_intp *dims, int type_num, bint last)


# A number of float32 (4 bytes) or float64 (8 bytes) in memory.
cdef inline double get(const char *a, idx i, idx itemsize) noexcept nogil:
    return (<const float *>a)[i] if itemsize == 4 else (<const double *>a)[i]


cdef inline void put(char *a, idx i, double value, idx itemsize) noexcept nogil:
    if itemsize == 4:
        (<float *>a)[i] = <float>value
    else:
        (<double *>a)[i] = value


cdef struct Arena:
    # Memory that is cut into pieces one after the other; without a block, only their sizes are added up.
    char *block
    double size


cdef inline void *carve(Arena *arena, double count, idx itemsize) noexcept nogil:
    """The next piece of the arena, of so many items. Products of sizes may be more than an integer holds: counts are
    doubles, and what is beyond all memory is left to reserve() to refuse."""
    cdef void *piece = arena.block + <idx>arena.size if arena.block != NULL else NULL
    cdef double size = count * itemsize
    # A signed integer is made of a double, and rounded up to lines, by one instruction each.
    arena.size += ((<idx>size + LINE - 1) & -LINE) if size < 4e18 else size
    return piece


cdef struct Workspace:
    # The memory of one computation: tables that all threads read, then the scratch of each thread.
    char *block
    size_t size
    char *scratch
    size_t each
    int n_threads
    bint keeps_subnormals   # results of its tasks may be subnormal numbers; otherwise these count as zero


# Allocate what `tables` and, for each thread, `scratch` have added up to, and give `tables` its block; NULL if that is
# nothing, MemoryError if it is more than there is. Whoever reserves a workspace releases it.
cdef int reserve(Workspace *workspace, Arena *tables, const Arena *scratch, int n_threads) except -1
cdef void release(Workspace *workspace) noexcept


cdef inline Workspace no_memory(int n_threads, bint keeps_subnormals) noexcept nogil:
    """The workspace of tasks that need none but their arrays; nobody releases it."""
    return Workspace(NULL, 0, NULL, 0, n_threads, keeps_subnormals)
