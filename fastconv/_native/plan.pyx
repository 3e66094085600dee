"""The choice of a form: one list of methods a pass, each of which says what it would do and can do it.

A method counts the features of a problem that cost time in each of its forms; the instruction set's tuning has the cycles
of each feature; the form of the fewest cycles runs. A new method is a file, a line in METHODS and rows of the tuning.
"""

cimport numpy as cnp
from libc.math cimport INFINITY
from libc.string cimport memset

from fastconv._native cimport depthwise, winograd
from fastconv._native.checks cimport DENSE_RESULT, READ, RESULT, check_array, check_axis, check_convolution
from fastconv._native.column_taps cimport column_taps_features, column_taps_run
from fastconv._native.correlate cimport correlate_features, correlate_run
from fastconv._native.gather cimport gather_features, gather_run
from fastconv._native.kernels cimport idx
from fastconv._native.phases cimport phases_features, phases_run
from fastconv._native.problem cimport (
    FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Pass, Problem, as_image,
)
from fastconv._native.runtime cimport kernels_of, tuning_in_use
from fastconv._native.tuning cimport (
    COLUMN_TAPS, FEATURES, FORMS, OUTER, PANELS, PHASES, WINOGRAD, cycles_of,
)

cnp.import_array()

cdef enum:
    MOST_FORMS = 6   # of a method


# ---- the list of methods -------------------------------------------------------------------------------------------

cdef struct Method:
    int first, count     # its forms
    # For each form its row of the tuning, or -1 where it is impossible, and its features. Data is not read.
    void (*features)(const Problem *problem, int *rows, double *features) noexcept nogil
    int (*run)(const Problem *problem, int form) except -1


cdef enum:
    MOST_METHODS = 3

cdef Method[3][MOST_METHODS] METHODS
cdef int[3] N_METHODS = [1, 3, 1]
METHODS[FORWARD][0] = Method(PANELS, 4, gather_features, gather_run)
METHODS[INPUT_GRADIENT][0] = Method(PANELS, 4, gather_features, gather_run)
METHODS[INPUT_GRADIENT][1] = Method(COLUMN_TAPS, 1, column_taps_features, column_taps_run)
METHODS[INPUT_GRADIENT][2] = Method(PHASES, 1, phases_features, phases_run)
METHODS[WEIGHT_GRADIENT][0] = Method(OUTER, 6, correlate_features, correlate_run)


# ---- the choice ----------------------------------------------------------------------------------------------------

cdef int forced = -1           # a form that is taken wherever it is possible
cdef bint winograd_allowed = True


cdef void weigh(const Problem *problem, double *cycles) noexcept nogil:
    """Estimate the cycles of every form on one thread; infinity where it is impossible."""
    cdef double[MOST_FORMS * FEATURES] features
    cdef int[MOST_FORMS] rows
    cdef const Method *method
    cdef int i, k
    for i in range(FORMS):
        cycles[i] = INFINITY
    for i in range(N_METHODS[problem.which]):
        method = &METHODS[problem.which][i]
        method.features(problem, rows, features)
        for k in range(method.count):
            if rows[k] >= 0:
                cycles[method.first + k] = cycles_of(problem.tuning, method.first + k, problem.which, rows[k],
                                                     features + k * FEATURES)


cdef int choose(const Problem *problem, const double *cycles) noexcept nogil:
    """The form of the fewest cycles, or the one that is forced. Residues of a stride have forms of their own."""
    cdef int form, best = -1
    if problem.forced >= 0 and cycles[problem.forced] < INFINITY:
        return problem.forced
    if problem.forced >= PANELS and problem.forced <= OUTER and cycles[PHASES] < INFINITY:
        return PHASES
    for form in range(FORMS):
        if (form != WINOGRAD or problem.winograd) and cycles[form] < (cycles[best] if best >= 0 else INFINITY):
            best = form
    return best


cdef int run(const Problem *problem) except -1:
    cdef double[FORMS] cycles
    cdef const Method *method
    cdef int form, i
    weigh(problem, cycles)
    form = choose(problem, cycles)
    for i in range(N_METHODS[problem.which]):
        method = &METHODS[problem.which][i]
        if method.first <= form and form < method.first + method.count:
            method.run(problem, form)
    return 0


cdef void state(Problem *problem, Pass which, cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, idx stride_h, idx stride_w,
                idx pad_h, idx pad_w, idx dilation_h, idx dilation_w, idx groups) noexcept:
    cdef idx itemsize = cnp.PyArray_ITEMSIZE(x)
    problem.which, problem.kernels, problem.tuning = which, kernels_of(itemsize), tuning_in_use()
    problem.forced, problem.winograd = forced, winograd_allowed
    as_image(x, &problem.x)
    as_image(w, &problem.w)
    as_image(y, &problem.y)
    problem.bias, problem.groups = NULL, groups
    problem.stride_h, problem.stride_w, problem.pad_h, problem.pad_w = stride_h, stride_w, pad_h, pad_w
    problem.dilation_h, problem.dilation_w = dilation_h, dilation_w


cdef int taken(const Problem *p) noexcept:
    cdef idx itemsize = p.kernels.itemsize
    if winograd.takes(p.which, p.x.n, p.x.c, p.x.h, p.x.w, p.w.n, p.w.c, p.w.h, p.w.w, p.y.h, p.y.w, p.stride_h,
                      p.stride_w, p.dilation_h, p.dilation_w, p.groups, itemsize):
        return 1
    if depthwise.takes(p.which, &p.y if p.which == 1 else &p.x, p.x.h, p.x.w, p.w.n, p.w.c, p.w.h, p.w.w, p.y.h, p.y.w,
                       p.stride_h, p.stride_w, p.pad_h, p.pad_w, p.dilation_h, p.dilation_w, p.groups, itemsize):
        return 2
    return 0


# ---- the three passes ----------------------------------------------------------------------------------------------


cpdef forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx stride_h, idx stride_w, idx pad_h,
              idx pad_w, idx dilation_h, idx dilation_w, idx groups):
    """y[n,k,p,q] = b[k] + sum_{c,r,s} w[k,c,r,s] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]: equation 12.3."""
    cdef Problem problem
    check_convolution(x, READ, w, READ, y, RESULT, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
    if b is not None:
        check_array(b, "b", 1, cnp.PyArray_TYPE(x), READ)
        check_axis(b, "b", 0, w.shape[0])
    if cnp.PyArray_SIZE(y) == 0:
        return
    state(&problem, FORWARD, x, w, y, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
    if b is not None:
        if not cnp.PyArray_IS_C_CONTIGUOUS(b):
            b = b.copy()
        problem.bias = <const char *>cnp.PyArray_DATA(b)
    cdef int way = taken(&problem)
    if way == 1:
        winograd.forward(x, w, b, y, stride_h, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    if way == 2:
        depthwise.forward(x, w, b, y, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    run(&problem)


cpdef input_gradient(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                     idx dilation_h, idx dilation_w, idx groups):
    """dx[n,c,i,j] = sum_{k,r,s} w[k,c,r,s] dy[n,k,p,q] over p*stride_h + r*dilation_h - pad_h = i, and so for j:
    equation 12.6."""
    cdef Problem problem
    check_convolution(dx, RESULT, w, READ, dy, READ, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
    if cnp.PyArray_SIZE(dx) == 0:
        return
    state(&problem, INPUT_GRADIENT, dx, w, dy, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
    cdef int way = taken(&problem)
    if way == 1:
        winograd.input_gradient(dy, w, dx, stride_h, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    if way == 2:
        depthwise.input_gradient(dy, w, dx, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    run(&problem)


cpdef weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                      idx dilation_h, idx dilation_w, idx groups):
    """dw[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]: equation 12.5."""
    cdef Problem problem
    check_convolution(x, READ, dw, DENSE_RESULT, dy, READ, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
                      groups)
    if cnp.PyArray_SIZE(dy) == 0:
        memset(cnp.PyArray_DATA(dw), 0, cnp.PyArray_NBYTES(dw))
        return
    state(&problem, WEIGHT_GRADIENT, x, dw, dy, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
    cdef int way = taken(&problem)
    if way == 1:
        winograd.weight_gradient(x, dy, dw, stride_h, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    if way == 2:
        depthwise.weight_gradient(x, dy, dw, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
        return
    run(&problem)


# ---- what is asked from Python -------------------------------------------------------------------------------------


def get_forced() -> int:
    """The number of the form that is taken wherever it is possible, or -1."""
    return forced


def set_forced(int form) -> None:
    """Have that form taken; ValueError unless it is one, or -1."""
    global forced
    if not -1 <= form < FORMS:
        raise ValueError(f"a form must be a number from -1 to {FORMS - 1}, got {form}")
    forced = form
