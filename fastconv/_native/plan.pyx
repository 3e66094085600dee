"""The choice of a form: one list of methods a pass, each of which says what it would do and can do it.

A method counts the features of a problem that cost time in each of its forms; the instruction set's tuning has the
cycles of each feature; the form of the fewest cycles runs. A new method is a file, a line in METHODS and rows of the
tuning. """

cimport numpy as cnp
from libc.math cimport INFINITY
from libc.stdint cimport uint64_t
from libc.string cimport memcmp, memset

from fastconv._native.checks cimport READ, RESULT, check_array, check_axis, check_convolution
from fastconv._native.column_taps cimport column_taps_features, column_taps_run
from fastconv._native.correlate cimport correlate_features, correlate_run
from fastconv._native.gather cimport gather_features, gather_run
from fastconv._native.kernels cimport idx
from fastconv._native.lanes cimport lanes_features, lanes_run
from fastconv._native.memory cimport new_array
from fastconv._native.phases cimport phases_features, phases_form, phases_run
from fastconv._native.problem cimport (
    FORWARD, INPUT_GRADIENT, NOMINAL_IMAGES, WEIGHT_GRADIENT, Image, Pass, Problem, as_image,
)
from fastconv._native.runtime cimport kernels_of, tuning_in_use
from fastconv._native.tuning cimport (
    COLUMN_TAPS, FEATURES, FORMS, FOURIER, LANES, OUTER, PANELS, PHASES, WINDOWS, WINOGRAD, cycles_of,
)
from fastconv._native.windows cimport windows_features, windows_run
from fastconv._native.winograd cimport winograd_features, winograd_run, winograd_tile

import os

cnp.import_array()

cdef enum:
    MOST_FORMS = 6         # of a method
    LEAST_WORK = 32768     # multiply-adds that are worth weighing minimal filtering, which a call would cost more than


# ---- the list of methods -------------------------------------------------------------------------------------------

cdef struct Method:
    int first, count     # its forms
    # For each form its row of the tuning, or -1 where it is impossible, and its features. Data is not read.
    void (*features)(const Problem *problem, int *rows, double *features) noexcept nogil
    int (*run)(const Problem *problem, int form) except -1


cdef enum:
    MOST_METHODS = 6

cdef Method[3][MOST_METHODS] METHODS
cdef int[3] N_METHODS


cdef void add_method(int which, Method method) noexcept:
    METHODS[which][N_METHODS[which]] = method
    N_METHODS[which] += 1


for _which in (FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT):
    add_method(_which, Method(WINOGRAD, 2, winograd_features, winograd_run))
    add_method(_which, Method(WINDOWS, 1, windows_features, windows_run))
    add_method(_which, Method(LANES, 1, lanes_features, lanes_run))
add_method(FORWARD, Method(PANELS, 4, gather_features, gather_run))
add_method(INPUT_GRADIENT, Method(PANELS, 4, gather_features, gather_run))
add_method(INPUT_GRADIENT, Method(COLUMN_TAPS, 1, column_taps_features, column_taps_run))
add_method(INPUT_GRADIENT, Method(PHASES, 1, phases_features, phases_run))
add_method(WEIGHT_GRADIENT, Method(OUTER, 6, correlate_features, correlate_run))


# ---- the choice ----------------------------------------------------------------------------------------------------

cdef int forced = -1           # a form that is taken wherever it is possible
cdef bint winograd_allowed = True


cdef void weigh(const Problem *problem, double *cycles) noexcept nogil:
    """Estimate the cycles of every form on one thread; infinity where it is impossible, or not worth asking."""
    cdef const Image *w = &problem.w
    cdef double work = <double>w.n * w.c * w.h * w.w * problem.y.n * problem.y.h * problem.y.w
    cdef double[MOST_FORMS * FEATURES] features
    cdef int[MOST_FORMS] rows
    cdef const Method *method
    cdef Problem nominal = problem[0]
    cdef double share = 1
    cdef int i, k
    # An image's bits shall not depend on its batch: forms that add in different orders are weighed for a batch of one
    # size. Minimal filtering is not, for a small batch does not repay its filters.
    if problem.which != WEIGHT_GRADIENT:
        nominal.x.n = nominal.y.n = NOMINAL_IMAGES
        share = problem.y.n / <double>NOMINAL_IMAGES
    for i in range(FORMS):
        cycles[i] = INFINITY
    for i in range(N_METHODS[problem.which]):
        method = &METHODS[problem.which][i]
        if method.first == WINOGRAD and work < LEAST_WORK and problem.forced not in (WINOGRAD, FOURIER):
            continue
        method.features(problem if method.first == WINOGRAD else &nominal, rows, features)
        for k in range(method.count):
            if rows[k] >= 0:
                cycles[method.first + k] = cycles_of(problem.tuning, method.first + k, problem.which, rows[k],
                                                     features + k * FEATURES)
                if method.first != WINOGRAD:
                    cycles[method.first + k] *= share


cdef int choose(const Problem *problem, const double *cycles) noexcept nogil:
    """The form of the fewest cycles, or the one that is forced. Residues of a stride have forms of their own."""
    cdef int form, best = -1
    if problem.forced >= 0 and cycles[problem.forced] < INFINITY:
        return problem.forced
    if problem.forced >= PANELS and problem.forced <= OUTER and cycles[PHASES] < INFINITY:
        return PHASES
    for form in range(FORMS):
        if (form > FOURIER or problem.winograd) and cycles[form] < (cycles[best] if best >= 0 else INFINITY):
            best = form
    return best


# ---- choices that are kept -----------------------------------------------------------------------------------------

cdef struct Choice:
    Problem problem      # without the addresses of its arrays; all zeros: nothing is kept here
    int form
    int (*run)(const Problem *problem, int form) except -1


cdef enum:
    KEPT_BITS = 8
    KEPT = 1 << KEPT_BITS    # the choices of a network's layers, each in the place that its sizes say

# To weigh takes as long as a tiny convolution, and a network asks for the same ones again and again. Whoever reads or
# writes here holds the GIL.
cdef Choice[KEPT] choices


cdef inline size_t place_of(const Problem *problem) noexcept nogil:
    """The sizes in one number, and its upper bits: those of a product are as different as all of its factor's bits
    (Knuth, The Art of Computer Programming, volume 3, section 6.4)."""
    cdef uint64_t mixed = problem.which
    mixed = mixed * 31 + problem.w.n
    mixed = mixed * 31 + problem.w.c
    mixed = mixed * 31 + problem.w.s_n   # alone tells a square linear layer's input gradient from its result
    mixed = mixed * 31 + problem.w.h
    mixed = mixed * 31 + problem.x.n
    mixed = mixed * 31 + problem.x.h
    mixed = mixed * 31 + problem.x.s_w
    mixed = mixed * 31 + problem.stride_h
    return <size_t>(mixed * <uint64_t>0x9E3779B97F4A7C15 >> 64 - KEPT_BITS)


cdef int run(const Problem *problem) except -1:
    cdef Choice *choice = &choices[place_of(problem)]
    cdef Problem key = problem[0]
    cdef double[FORMS] cycles
    cdef const Method *method
    cdef int i
    key.x.data = key.x.end = key.w.data = key.w.end = key.y.data = key.y.end = NULL
    key.bias = NULL
    if memcmp(&choice.problem, &key, sizeof(Problem)) != 0:
        weigh(problem, cycles)
        choice.problem = key
        choice.form = choose(problem, cycles)
        for i in range(N_METHODS[problem.which]):
            method = &METHODS[problem.which][i]
            if method.first <= choice.form and choice.form < method.first + method.count:
                choice.run = method.run
    # What runs may release the GIL, and another thread may keep a choice of its own here meanwhile.
    return choice.run(problem, choice.form)


cdef void state(Problem *problem, Pass which, cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, idx stride_h, idx stride_w,
                idx pad_h, idx pad_w, idx dilation_h, idx dilation_w, idx groups) noexcept:
    cdef idx itemsize = cnp.PyArray_ITEMSIZE(x)
    # Problems are compared byte by byte, with what lies between their members.
    memset(problem, 0, sizeof(Problem))
    problem.which, problem.kernels, problem.tuning = which, kernels_of(itemsize), tuning_in_use()
    problem.forced, problem.winograd = forced, winograd_allowed
    as_image(x, &problem.x)
    as_image(w, &problem.w)
    as_image(y, &problem.y)
    problem.groups = groups
    problem.stride_h, problem.stride_w, problem.pad_h, problem.pad_w = stride_h, stride_w, pad_h, pad_w
    problem.dilation_h, problem.dilation_w = dilation_h, dilation_w


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
    run(&problem)


cpdef weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                      idx dilation_h, idx dilation_w, idx groups):
    """dw[k,c,r,s] = sum_{n,p,q} dy[n,k,p,q] x[n, c, p*stride_h + r*dilation_h - pad_h, ...]: equation 12.5."""
    cdef Problem problem
    cdef cnp.ndarray dense = dw
    check_convolution(x, READ, dw, RESULT, dy, READ, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w,
                      groups)
    if cnp.PyArray_SIZE(dy) == 0:
        memset(cnp.PyArray_DATA(dw), 0, cnp.PyArray_NBYTES(dw))
        return
    # Sums are folded into rows of dw, which is small: with channels last it is written in C order, and moved.
    if not cnp.PyArray_IS_C_CONTIGUOUS(dw):
        dense = new_array(4, dw.shape, cnp.PyArray_TYPE(dw))
    state(&problem, WEIGHT_GRADIENT, x, dense, dy, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)
    run(&problem)
    if dense is not dw:
        cnp.PyArray_CopyInto(dw, dense)


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


def get_winograd() -> bool:
    """Whether Winograd's filtering may be taken."""
    return winograd_allowed


def set_winograd(bint allowed) -> None:
    """Set that."""
    global winograd_allowed
    winograd_allowed = allowed


def _from_environment(environment):
    value = environment.get("FASTCONV_WINOGRAD") or "1"
    if value not in ("0", "1"):
        raise ValueError(f"FASTCONV_WINOGRAD must be 0 or 1, got {value!r}")
    set_winograd(value == "1")


_from_environment(os.environ)


cdef void describe(Image *image, tuple size, bint last) noexcept:
    """An image of that size without data, dense in C order or with channels last. What is empty counts as one: nobody
    computes it, but sizes are divided by."""
    image.data = image.end = NULL
    image.n, image.c, image.h, image.w = [max(1, length) for length in size]
    image.s_w, image.s_h = 1, image.w
    image.s_c = image.h * image.w
    if last:
        image.s_c, image.s_w, image.s_h = 1, image.c, image.w * image.c
    image.s_n = image.c * image.h * image.w


def weigh_sizes(int which, tuple x, tuple w, tuple y, tuple parameters, idx itemsize, bint last, int force) -> tuple:
    """For pass `which` of these sizes, x and y with channels last or not: the form that is taken, with `force` if that
    is not -1; the cycles of each form, None where it is impossible; the tile (m_h, m_w, r, s) of Winograd's filtering;
    the forms of the residues of a stride; and for each form the row of its tuning and its features."""
    cdef Problem problem
    cdef double[FORMS] cycles
    cdef double[MOST_FORMS * FEATURES] features
    cdef int[MOST_FORMS] rows
    cdef int i, k, form
    cdef idx m_h, m_w, r, s
    cdef const Method *method
    problem.which, problem.kernels, problem.tuning = which, kernels_of(itemsize), tuning_in_use()
    problem.forced, problem.winograd, problem.bias = force if force >= 0 else forced, winograd_allowed, NULL
    describe(&problem.x, x, last)
    describe(&problem.w, w, False)
    describe(&problem.y, y, last)
    (problem.stride_h, problem.stride_w, problem.pad_h, problem.pad_w, problem.dilation_h, problem.dilation_w,
     problem.groups) = parameters
    weigh(&problem, cycles)
    form = choose(&problem, cycles)
    counts = {}
    for i in range(N_METHODS[which]):
        method = &METHODS[which][i]
        method.features(&problem, rows, features)
        for k in range(method.count):
            if rows[k] >= 0:
                counts[method.first + k] = (rows[k], [features[k * FEATURES + at] for at in range(FEATURES)])
    tile = (m_h, m_w, r, s) if winograd_tile(&problem, &m_h, &m_w, &r, &s) else None
    residues = []
    if cycles[PHASES] < INFINITY:
        i = 0
        while phases_form(&problem, i) > -2:
            residues.append(phases_form(&problem, i))
            i += 1
    return form, [value if value < INFINITY else None for value in cycles[:FORMS]], tile, residues, counts
