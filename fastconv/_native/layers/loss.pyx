"""The loss that a training step passes."""

cimport cython
cimport numpy as cnp
from cpython.long cimport PyLong_AsLongAndOverflow, PyLong_CheckExact

from fastconv._native cimport passes
from fastconv._native.common cimport dense, new_array, plain, real_type
from fastconv._native.layers.inputs cimport array_of, asked, is_narrow_tensor
from fastconv._native.memory cimport put
from fastconv._native.tape cimport TensorBase, in_float32, record, wrap

from fastconv import elementwise
from fastconv._native.tape import differentiable_twice
from fastconv.arguments import loss as arguments

cnp.import_array()


@cython.final
@cython.freelist(4)
cdef class Product:
    """The kernel computes dx along with the loss. Without it, and to be differentiated again, it comes from x."""

    cdef object labels, weight, ignored, reduction, smoothing

    def __call__(self, g, x, dx):
        if dx is not None and not isinstance(g, TensorBase):
            return dx * g, None
        a = array_of(x)
        dim = 0 if a.ndim == 1 else 1
        target, divisor = elementwise.targets(a, self.labels, self.weight, self.ignored, self.reduction, self.smoothing)
        total = target.sum(axis=dim, keepdims=True)
        g = g / divisor
        if self.reduction == "none" and a.ndim > 1:
            g = g.reshape(a.shape[:1] + (1,) + a.shape[2:])
        p = x.softmax(dim) if isinstance(x, TensorBase) else elementwise.softmax(x, dim)
        return (p * total - target) * g, None


def cross_entropy(x, target, weight=None, ignore_index=-100, reduction="mean", label_smoothing=0.0):
    """-sum_c w[c] t[c] log p[c], p = softmax(x), with the classes' weights and t, which is 1 for the target's class.

    The target are classes; with `label_smoothing` a share of t is spread evenly over all of them.
    """
    cdef int gradients = asked(x), overflow = 0
    cdef long ignored = 0
    cdef Product product
    a, labels, w = array_of(x), array_of(target), array_of(weight)
    cdef int real = real_type(a)
    cdef bint mean = reduction == "mean"
    cdef bint easy = ((mean or reduction == "sum") and w is None
                      and (type(label_smoothing) is float or type(label_smoothing) is int) and label_smoothing == 0)
    y = dx = None
    if real < 0 and is_narrow_tensor(x):
        return in_float32(cross_entropy, (), (x, target, weight), dict(
            ignore_index=ignore_index, reduction=reduction, label_smoothing=label_smoothing))
    if (easy and real >= 0 and plain(a, 2, real) and dense(a, real) and plain(labels, 1, cnp.NPY_INT64)
            and dense(labels, cnp.NPY_INT64) and (<cnp.ndarray>a).shape[0] == (<cnp.ndarray>labels).shape[0]
            and PyLong_CheckExact(ignore_index)):
        ignored = PyLong_AsLongAndOverflow(ignore_index, &overflow)
        if not overflow:
            dx = new_array(2, (<cnp.ndarray>a).shape, real) if gradients > 0 else None
            y = loss_of(a, labels, dx, ignored, mean)
    if y is None:
        dx = None
        rows, classes = arguments.of_cross_entropy(a, labels, w, ignore_index, reduction, label_smoothing)
        if easy:
            y = loss_of(rows, classes, None, arguments.IGNORED, mean)
        else:
            y = elementwise.weighted_cross_entropy(rows, classes, w, reduction, label_smoothing, labels.shape)
        y = y.astype(a.dtype, copy=False)
    if gradients <= 0:
        return y if gradients < 0 else wrap(y)
    product = Product.__new__(Product)
    product.labels, product.weight, product.ignored = labels, w, ignore_index
    product.reduction, product.smoothing = reduction, label_smoothing
    return record(y, cross_entropy, product, (a, dx), (x, target))


cdef loss_of(cnp.ndarray x, cnp.ndarray labels, cnp.ndarray dx, long ignored, bint mean):
    """The loss, an array without dimensions; None if a label is no class."""
    loss = passes.cross_entropy(x, labels, dx, ignored, mean)
    if loss is None:
        return None
    cdef cnp.ndarray y = new_array(0, NULL, cnp.PyArray_TYPE(x))
    put(<char *>cnp.PyArray_DATA(y), 0, loss, cnp.PyArray_ITEMSIZE(x))
    return y


differentiable_twice(cross_entropy)
