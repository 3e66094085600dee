"""The machine: the instruction set in use, threads, and the one parallel loop."""

from cython.parallel cimport parallel, prange, threadid
from libc.string cimport memset, strcmp

from fastconv._native.kernels cimport fc_flush_subnormals, fc_isa, fc_restore_mode, fc_usable_isas
from fastconv._native.tuning cimport CLASSES, FEATURES

cdef extern from *:
    """
    #ifdef _OPENMP
    #include <omp.h>
    enum { HAS_OPENMP = 1 };
    #else
    static int omp_get_max_threads(void) { return 1; }
    enum { HAS_OPENMP = 0 };
    #endif
    #ifdef __clang__
    #define COMPILER __VERSION__
    #else
    #define COMPILER "GCC " __VERSION__
    #endif
    """
    const bint HAS_OPENMP
    const char *COMPILER
    int omp_get_max_threads() nogil

cdef extern from "team.h" nogil:
    ctypedef struct fc_job:
        Task run
        const void *job
        idx count, chunk
        char *scratch
        size_t each
        int threads
        bint flushes
    bint fc_leads_team()
    bint fc_run_in_team(const fc_job *job)
    void fc_with_team(int threads, void (*lead)(void *) noexcept nogil, void *argument)

import os
import time

import numpy as np

from fastconv._native.tuning import FORMS, PASSES, tuning_of

# ---- instruction set ---------------------------------------------------------------------------------------------

cdef const fc_isa *isas[8]
cdef int n_isas = fc_usable_isas(isas)
cdef const fc_isa *isa = isas[n_isas - 1]
cdef Tuning tuning
cdef double NEVER = 1e12   # cycles of any feature of a form without costs, which is only taken when it is forced


cdef const fc_kernels *kernels_of(idx itemsize) noexcept:
    return isa.f32 if itemsize == 4 else isa.f64


cdef const Tuning *tuning_in_use() noexcept:
    return &tuning


def _load_tuning() -> None:
    cdef int form, which, i, k
    blocks, costs = tuning_of(isa.name.decode())
    global tuning
    memset(&tuning, 0, sizeof(Tuning))
    tuning.blocks = blocks
    for form, name in enumerate(FORMS):
        for which, pass_name in enumerate(PASSES):
            rows = costs.get((name, pass_name), ())
            for i in range(CLASSES):
                row = rows[i] if i < len(rows) else [NEVER] * FEATURES
                for k, cost in enumerate(row):
                    tuning.cost[form][which][i][k] = cost


_load_tuning()


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
            _load_tuning()
            return
    raise ValueError(f"instruction set {name!r} is not available here; choose one of {', '.join(available_isas())}")


def lanes() -> int:
    """How many float32 numbers a vector of the instruction set in use holds."""
    return isa.f32.lanes


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


# ---- threads -----------------------------------------------------------------------------------------------------

cdef int chosen_threads = 0  # 0: as many as OpenMP would start
# One thread is all there is without OpenMP, and in a forked child, which must not enter its parent's pool of threads.
cdef bint alone = not HAS_OPENMP


cdef int max_threads() noexcept nogil:
    if alone:
        return 1
    return chosen_threads if chosen_threads > 0 else omp_get_max_threads()


cdef int threads_for(double work, idx tasks) noexcept:
    # A second thread must have some 40 microseconds of work to be worth waking, and some 4 where it is awake. All or
    # one: OpenMP ends the threads that a smaller team leaves over, and starts them anew for the next one.
    return max_threads() if tasks > 1 and (work >= 4e6 or work >= 4e5 and fc_leads_team()) else 1


cdef void together(Led lead, void *argument, double work) noexcept nogil:
    fc_with_team(max_threads() if work >= 4e6 else 1, lead, argument)


def has_openmp() -> bool:
    """Whether the compiled modules were built with OpenMP; otherwise everything runs on one thread."""
    return HAS_OPENMP


def compiler() -> str:
    """The compiler that built this module, and its version."""
    return COMPILER.decode()


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
    global alone
    alone = True


if hasattr(os, "register_at_fork"):
    os.register_at_fork(after_in_child=_after_fork_in_child)


cdef void run_tasks(Task task, const void *job, idx count, idx chunk, const Workspace *workspace) noexcept nogil:
    cdef unsigned mode = 0
    cdef idx i
    cdef char *scratch = NULL
    cdef bint flushes = not workspace.keeps_subnormals
    if workspace.n_threads == 1:
        mode = fc_flush_subnormals() if flushes else 0
        for i in range(count):
            task(job, i, workspace.scratch)
        if flushes:
            fc_restore_mode(mode)
        return
    cdef fc_job posted = [
        task, job, count, chunk, workspace.scratch, workspace.each, workspace.n_threads, flushes]
    if fc_run_in_team(&posted):
        return
    with parallel(num_threads=workspace.n_threads):
        mode = fc_flush_subnormals() if flushes else 0
        scratch = workspace.scratch + threadid() * workspace.each
        for i in prange(count, schedule="dynamic", chunksize=chunk):
            task(job, i, scratch)
        if flushes:
            fc_restore_mode(mode)


cdef void run_without_gil(Task task, const void *job, idx count, idx chunk, const Workspace *workspace,
                          double work) noexcept:
    # Below some three microseconds, to release the GIL and to take it again would cost as much as many a layer.
    if work < 3e5:
        run_tasks(task, job, count, chunk, workspace)
        return
    with nogil:
        run_tasks(task, job, count, chunk, workspace)


# ---- the environment's wishes ------------------------------------------------------------------------------------


def _from_environment(environment):
    name = environment.get("FASTCONV_ISA")
    if name:
        set_isa(name)
    count = environment.get("FASTCONV_NUM_THREADS")
    if count:
        if not count.isdecimal() or not 1 <= int(count) <= 4096:
            raise ValueError(f"FASTCONV_NUM_THREADS must be a number of threads from 1 to 4096, got {count!r}")
        set_num_threads(int(count))


_from_environment(os.environ)
