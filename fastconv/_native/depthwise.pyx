"""Layers of few channels a group: the doors of windows and lanes, with a choice between them, until plan.pyx."""

# ---- until plan.pyx ----

cimport numpy as cnp

from fastconv._native.checks cimport DENSE_RESULT, READ, check_array, check_axis, check_convolution
from fastconv._native.few_channels cimport has_small_windows
from fastconv._native.kernels cimport idx, parts, up
from fastconv._native.lanes cimport lanes_features, lanes_run
from fastconv._native.problem cimport (
    FORWARD, INPUT_GRADIENT, WEIGHT_GRADIENT, Image, Pass, Problem, as_image, channels_last,
)
from fastconv._native.runtime cimport kernels_of
from fastconv._native.windows cimport windows_features, windows_run

cnp.import_array()

cdef enum:
    MOST_FILTERS = 2          # a group


cdef inline bint fills(idx groups, idx lanes) noexcept nogil:
    return 4 * groups >= 3 * up(groups, lanes)


cdef inline bint mixes(idx channels, idx lanes) noexcept nogil:
    return channels <= lanes and (channels == 2 or channels == 4 or channels == 8)


cdef bint takes(int which, const Image *x, idx H, idx W, idx K, idx c, idx R, idx S, idx P, idx Q, idx stride_h,
                idx stride_w, idx pad_h, idx pad_w, idx dilation_h, idx dilation_w, idx groups,
                idx itemsize) noexcept:
    """Whether pass `which` (forward, input or weight gradient) is faster in these nests than in the general ones."""
    cdef idx lanes = kernels_of(itemsize).lanes, width = W // stride_w if which == 1 else Q
    cdef Problem problem
    # Groups of few channels that are neighbours in memory, or of one.
    cdef bint few = (channels_last(x) and c * groups == K and mixes(c, lanes) and 2 * K >= lanes if c > 1 else
                     K // groups <= MOST_FILTERS and (2 * width > lanes or fills(groups, lanes)))
    if not few or R * S <= 1:
        return False
    problem.which, problem.groups = <Pass>which, groups
    problem.w.n, problem.w.c, problem.w.h, problem.w.w = K, c, R, S
    problem.x.h, problem.x.w, problem.y.h, problem.y.w = H, W, P, Q
    problem.stride_h, problem.stride_w, problem.pad_h, problem.pad_w = stride_h, stride_w, pad_h, pad_w
    problem.dilation_h, problem.dilation_w = dilation_h, dilation_w
    return has_small_windows(&problem)


cdef bint by_lanes(const Problem *problem) noexcept:
    cdef bint backward = problem.which == INPUT_GRADIENT
    cdef const Image *x = &problem.y if backward else &problem.x
    cdef idx lanes = problem.kernels.lanes, phases = problem.stride_w if backward else 1
    cdef idx W = problem.x.w if backward else problem.y.w, filters = problem.w.n // problem.groups
    cdef idx C = filters if backward else problem.w.c, K = problem.w.c if backward else filters
    if phases == 2 and x.s_w == 1 and W > lanes:
        return False
    if C > 1 and not (C == K and mixes(C, lanes) and channels_last(x)):
        return False
    if x.s_w == 1:
        return parts(W, phases) <= lanes and fills(problem.groups, lanes)
    return x.s_c == 1 and 2 * problem.groups * C >= lanes


def run(method, int which, cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx stride_h, idx stride_w,
        idx pad_h, idx pad_w, idx dilation_h, idx dilation_w, idx groups):
    """Pass `which` by "windows" or "lanes", or as `method` None chooses."""
    cdef Problem problem
    cdef cnp.ndarray result = (y, x, w)[which]
    cdef double features[10]
    dense = result is None or not result.flags.writeable or not result.transpose(0, 2, 3, 1).flags.c_contiguous
    check_convolution(x, DENSE_RESULT if dense and which == 1 else READ, w, DENSE_RESULT if dense and which == 2 else
                      READ, y, DENSE_RESULT if dense and which == 0 else READ, stride_h, stride_w, pad_h, pad_w,
                      dilation_h, dilation_w, groups)
    if b is not None:
        check_array(b, "b", 1, cnp.PyArray_TYPE(x), READ)
        check_axis(b, "b", 0, w.shape[0])
        b = b if b.flags.c_contiguous else b.copy()
    if result.size == 0:
        return
    if which == 2 and y.size == 0:
        result[...] = 0
        return
    as_image(x, &problem.x)
    as_image(w, &problem.w)
    as_image(y, &problem.y)
    problem.which, problem.kernels, problem.groups = <Pass>which, kernels_of(cnp.PyArray_ITEMSIZE(x)), groups
    problem.bias = <const char *>cnp.PyArray_DATA(b) if b is not None else NULL
    problem.stride_h, problem.stride_w, problem.pad_h, problem.pad_w = stride_h, stride_w, pad_h, pad_w
    problem.dilation_h, problem.dilation_w = dilation_h, dilation_w
    if method != "windows" and (method == "lanes" or by_lanes(&problem)) and lanes_features(&problem, features) >= 0:
        lanes_run(&problem)
    elif method != "lanes" and windows_features(&problem, features) >= 0:
        windows_run(&problem)
    else:
        raise ValueError(f"windows of {w.shape[2]}x{w.shape[3]} taps at these strides are for the general loop nests")


cpdef forward(cnp.ndarray x, cnp.ndarray w, cnp.ndarray b, cnp.ndarray y, idx stride_h, idx stride_w, idx pad_h,
              idx pad_w, idx dilation_h, idx dilation_w, idx groups):
    run(None, FORWARD, x, w, b, y, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)


cpdef input_gradient(cnp.ndarray dy, cnp.ndarray w, cnp.ndarray dx, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                     idx dilation_h, idx dilation_w, idx groups):
    run(None, INPUT_GRADIENT, dx, w, None, dy, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)


cpdef weight_gradient(cnp.ndarray x, cnp.ndarray dy, cnp.ndarray dw, idx stride_h, idx stride_w, idx pad_h, idx pad_w,
                      idx dilation_h, idx dilation_w, idx groups):
    run(None, WEIGHT_GRADIENT, x, dw, None, dy, stride_h, stride_w, pad_h, pad_w, dilation_h, dilation_w, groups)


def features(method, int which, cnp.ndarray x, cnp.ndarray w, cnp.ndarray y, idx stride_h, idx stride_w, idx pad_h,
             idx pad_w, idx dilation_h, idx dilation_w, idx groups):
    """The features of "windows" or "lanes" as a list, after the row of their tuning."""
    cdef Problem problem
    cdef double counts[10]
    cdef int row
    as_image(x, &problem.x)
    as_image(w, &problem.w)
    as_image(y, &problem.y)
    problem.which, problem.kernels, problem.groups = <Pass>which, kernels_of(cnp.PyArray_ITEMSIZE(x)), groups
    problem.stride_h, problem.stride_w, problem.pad_h, problem.pad_w = stride_h, stride_w, pad_h, pad_w
    problem.dilation_h, problem.dilation_w = dilation_h, dilation_w
    row = windows_features(&problem, counts) if method == "windows" else lanes_features(&problem, counts)
    return [row] if row < 0 else [row] + [counts[i] for i in range(9)]
