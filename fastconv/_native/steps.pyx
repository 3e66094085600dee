"""The steps of optimisers over all parameters of a group, one pass over memory each, on threads where it pays.

Results do not depend on the number of threads: an element belongs to one task.
"""

cimport numpy as cnp

from fastconv._native.kernels cimport fc_kernels, fc_step, fc_step_kernel, idx, parts
from fastconv._native.memory cimport Workspace, no_memory
from fastconv._native.runtime cimport kernels_of, run_without_gil, threads_for

import numpy as np

cnp.import_array()

cdef enum:
    PIECE = 16384    # elements that a thread takes at a time


cdef struct Job:
    fc_step step
    fc_step_kernel kernel
    char *p
    char *dp
    char *states[3]
    idx count, itemsize


cdef inline char *at(char *memory, idx offset) noexcept nogil:
    return memory + offset if memory != NULL else NULL


cdef void step_task(const void *data, idx piece, char *_scratch) noexcept nogil:
    cdef const Job *job = <const Job *>data
    cdef idx offset = piece * PIECE * job.itemsize
    job.kernel(&job.step, job.p + offset, job.dp + offset, at(job.states[0], offset), at(job.states[1], offset),
               at(job.states[2], offset), min(<idx>PIECE, job.count - piece * PIECE))


cdef fc_step_kernel kernel_named(str rule, const fc_kernels *kernels):
    if rule == "sgd":
        return kernels.steps.sgd
    if rule == "adam":
        return kernels.steps.adam
    if rule == "rmsprop":
        return kernels.steps.rmsprop
    if rule == "adagrad":
        return kernels.steps.adagrad
    if rule == "adadelta":
        return kernels.steps.adadelta
    if rule == "adamax":
        return kernels.steps.adamax
    raise ValueError(f"there is no rule {rule!r}; there are sgd, adam, rmsprop, adagrad, adadelta and adamax")


cdef int check(cnp.ndarray a, cnp.ndarray p, str name, bint written) except -1:
    """That a kernel can pass over the array, or a copy of it, beside the parameter."""
    if a is None or p is None:
        raise TypeError(f"{name} must be an array, got None")
    if not cnp.PyArray_ISFLOAT(a) or cnp.PyArray_ITEMSIZE(a) > 8:
        raise TypeError(f"{name} must be of floats, got {a.dtype} of size {np.shape(a)}")
    if cnp.PyArray_SIZE(a) != cnp.PyArray_SIZE(p):
        raise ValueError(f"{name} must have the parameter's size {np.shape(p)}, got {np.shape(a)}")
    if written and not cnp.PyArray_ISWRITEABLE(a):
        raise ValueError(f"{name} of size {np.shape(a)} is read-only")
    return 0


cdef inline cnp.ndarray ready(cnp.ndarray a, int type_num):
    """The array itself where a kernel can pass over it, else a copy that it can pass over."""
    if cnp.PyArray_TYPE(a) == type_num and cnp.PyArray_ISCARRAY_RO(a):
        return a
    return np.require(a, cnp.PyArray_DescrFromType(type_num), "CA")


def take_step(str rule not None, list parameters not None, list gradients not None, tuple states not None=(), *,
              double lr, double sign=1, double decay=0, double keep=1, double first_old=0, double first_new=1,
              double second_old=0, double second_new=0, double scale=1, double eps=0, double lr_direct=0,
              bint nesterov=False):
    """Update parameters, and what the rule keeps of each, in place.

    Parameters
    ----------
    rule : {"sgd", "adam", "rmsprop", "adagrad", "adadelta", "adamax"}
    parameters, gradients : lists of ndarrays
        Of floats, each gradient of its parameter's size. float16 is computed in float32.
    states : tuple of up to three lists of ndarrays
        What the rule keeps, in the order of ``src_c/steps.h``, where the equations stand; None in a list's place where
        the rule can do without.
    lr, sign, decay, keep, first_old, first_new, second_old, second_new, scale, eps, lr_direct, nesterov
        The numbers of the rule.

    Raises
    ------
    TypeError, ValueError
        For arrays that are missing, no floats, read-only or of another size; nothing has been changed then.
    """
    cdef Job job
    cdef cnp.ndarray p, dp, dense, original
    cdef list copies
    cdef idx i, k, pieces
    cdef int type_num
    cdef Workspace workspace
    if len(gradients) != len(parameters) or len(states) > 3:
        raise ValueError(f"{len(parameters)} parameters have {len(gradients)} gradients and {len(states)} states")
    for kept in states:
        if kept is not None and len(kept) != len(parameters):
            raise ValueError(f"{len(parameters)} parameters have {len(kept)} arrays of a state")
    kernel_named(rule, kernels_of(4))
    for i in range(len(parameters)):
        p = parameters[i]
        check(p, p, "a parameter", True)
        check(gradients[i], p, "a gradient", False)
        for kept in states:
            if kept is not None:
                check(kept[i], p, "an array of a state", True)
    job.step = fc_step(sign, decay, keep, lr, first_old, first_new, second_old, second_new, scale, eps, lr_direct,
                       nesterov)
    for i in range(len(parameters)):
        p = parameters[i]
        type_num = cnp.NPY_FLOAT64 if cnp.PyArray_ITEMSIZE(p) == 8 else cnp.NPY_FLOAT32
        dense, dp, copies = ready(p, type_num), ready(gradients[i], type_num), []
        if dense is not p:
            copies.append((p, dense))
        job.itemsize, job.count = cnp.PyArray_ITEMSIZE(dense), cnp.PyArray_SIZE(dense)
        job.kernel = kernel_named(rule, kernels_of(job.itemsize))
        job.p, job.dp = <char *>cnp.PyArray_DATA(dense), <char *>cnp.PyArray_DATA(dp)
        for k in range(3):
            job.states[k] = NULL
            if k < len(states) and states[k] is not None:
                original = states[k][i]
                dense = ready(original, type_num)
                job.states[k] = <char *>cnp.PyArray_DATA(dense)
                if dense is not original:
                    copies.append((original, dense))
        # Without a gradient, moments would decay to subnormal numbers, which are slow, and stay there: they become 0.
        pieces = parts(job.count, PIECE)
        workspace = no_memory(threads_for(10.0 * job.count, pieces), False)
        run_without_gil(step_task, &job, pieces, parts(pieces, workspace.n_threads), &workspace, 10.0 * job.count)
        for original, dense in copies:
            original[...] = np.reshape(dense, np.shape(original))
