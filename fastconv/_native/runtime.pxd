"""The machine: the kernels in use, threads, and the one parallel loop."""

from fastconv._native.kernels cimport fc_kernels, idx
from fastconv._native.memory cimport Workspace
from fastconv._native.tuning cimport Tuning

# The kernels of the instruction set in use for elements of `itemsize` bytes: 4 (float32) or 8 (float64).
cdef const fc_kernels *kernels_of(idx itemsize) noexcept

# What is fitted to the instruction set in use.
cdef const Tuning *tuning_in_use() noexcept

# How many threads a job of `work` multiply-adds in `tasks` independent parts is worth: all or one.
cdef int threads_for(double work, idx tasks) noexcept


# Whether so many equal tasks keep the threads busy for three quarters of the time.
cdef inline bint keeps_busy(idx tasks, idx n_threads) noexcept nogil:
    return 4 * tasks >= 3 * ((tasks + n_threads - 1) // n_threads * n_threads)


# One task of a job: `scratch` is the workspace of the thread that it runs on.
ctypedef void (*Task)(const void *job, idx task, char *scratch) noexcept nogil

# Run task(job, 0 ... count - 1), `chunk` of them at a time, on the threads of a workspace, each with its own scratch.
cdef void run_tasks(Task task, const void *job, idx count, idx chunk, const Workspace *workspace) noexcept nogil

# The same for a caller that holds the GIL: it is released, unless `work`, as threads_for() counts it, is tiny.
cdef void run_without_gil(Task task, const void *job, idx count, idx chunk, const Workspace *workspace,
                          double work) noexcept

# Call lead(argument), which runs many jobs of so much work in all: their threads stay awake between them.
ctypedef void (*Led)(void *argument) noexcept nogil
cdef void together(Led lead, void *argument, double work) noexcept nogil
