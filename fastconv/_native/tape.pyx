"""The tape's core, which every operation on tensors passes: recording it, and the walk back.

What the tape is tells autograd.py, what a tensor can do _tensor.py; here is the little that has to be quick.
"""

cimport cython
cimport numpy as cnp
from cpython.contextvars cimport get_value
from cpython.ref cimport PyObject

from fastconv._native cimport quick

from contextvars import ContextVar
from heapq import heappop, heappush

import numpy as np

cnp.import_array()

cdef extern from *:
    """
    static PyObject *new_of(PyObject *type, PyObject *no_arguments)
    {
        return ((PyTypeObject *)type)->tp_new((PyTypeObject *)type, no_arguments, NULL);
    }
    """
    object new_of(object type, object no_arguments)

recording = ContextVar("recording", default=True)  # per thread, as torch's

cdef long long operations = 0
cdef object tensor_type = None


@cython.final
@cython.auto_pickle(False)
cdef class Node:
    """One recorded operation.

    Attributes
    ----------
    order : int
        Time of recording: an operation's inputs were recorded before it, so that descending order is a
        topological order of the graph.
    name : str
        Name of the operation.
    vjp : callable or None
        The vector-Jacobian product; None once :meth:`Tensor.backward` has consumed it.
    parents : tuple
        For each input the Node that made it, the leaf Tensor that it is, or None where no gradient goes.
    """

    def __cinit__(self, operation, vjp, tuple parents):
        global operations
        self.order = operations
        operations += 1
        self.operation = operation
        self.vjp = vjp
        self.parents = parents

    @property
    def name(self) -> str:
        return self.operation.__name__.lstrip("_")

    def __repr__(self) -> str:
        return f"<{self.name}>"


@cython.auto_pickle(False)
cdef class TensorBase:
    """What a tensor is to the tape: an array, its gradient, and the operation that made it or None for a leaf."""

    def _accumulate(self, cnp.ndarray gradient not None, bint own) -> None:
        """Add to the gradient of this leaf; an array that nobody else has is taken over."""
        accumulate(self, gradient, own)


cdef int accumulate(TensorBase leaf, cnp.ndarray gradient, bint own) except -1:
    if not leaf._requires_grad:
        return 0
    if leaf._grad is not None:
        total = (<TensorBase>leaf._grad)._array
        plus(total, gradient, total)
    elif own and cnp.PyArray_TYPE(gradient) == cnp.PyArray_TYPE(leaf._array):
        leaf._grad = wrap(gradient)
    else:
        leaf._grad = wrap(gradient.astype(leaf._array.dtype))
    return 0


cdef plus(a, b, out):
    total = quick.add(a, b, out)
    return np.asarray(np.add(a, b, out=out)) if total is None else total


def set_tensor_type(cls: type) -> None:
    """Tell the subclass of TensorBase that results are; TypeError if it is none."""
    global tensor_type
    if not (isinstance(cls, type) and issubclass(cls, TensorBase)):
        raise TypeError(f"results must be a subclass of TensorBase, got {cls!r}")
    tensor_type = cls


cpdef wrap(cnp.ndarray array):
    """A leaf tensor over this very array."""
    cdef TensorBase tensor = <TensorBase>new_of(tensor_type, ())
    tensor._array = array
    return tensor


def with_gradient(list leaves not None):
    """Those of the tensors that have a gradient, their arrays, and their gradients' arrays: three lists."""
    cdef list chosen = [], arrays = [], gradients = []
    cdef TensorBase leaf
    for leaf in leaves:
        if leaf is not None and leaf._grad is not None:
            chosen.append(leaf)
            arrays.append(leaf._array)
            gradients.append((<TensorBase?>leaf._grad)._array)
    return chosen, arrays, gradients


def apply(op, *inputs, **options):
    """Call a differentiable operation and record it.

    Parameters
    ----------
    op : callable
        ``op(needs, *arrays, **options) -> (result, vjp, *extra)`` over ndarrays; `needs` is a list of bools, one
        per input, telling which gradients will be asked for; `extra` are further results without a gradient.
    *inputs : Tensor, ndarray, number or None
        Everything that is not a Tensor is handed to `op` as it is, and is a constant.
    **options
        Handed on to `op`.

    Returns
    -------
    Tensor or ndarray
        A Tensor where any input is one, else an ndarray; with `extra`, a tuple of such.
    """
    cdef bint recorded = is_recording(), is_tensor = False, tracked = False
    cdef list needs = [], arguments = [needs]
    cdef TensorBase tensor
    for x in inputs:
        if isinstance(x, TensorBase):
            tensor = <TensorBase>x
            is_tensor = True
            needs.append(recorded and tensor._requires_grad)
            tracked |= recorded and tensor._requires_grad
            arguments.append(tensor._array)
        else:
            needs.append(False)
            arguments.append(x)
    cdef tuple result = op(*arguments, **options) if options else op(*arguments)
    y = result[0]
    if not isinstance(y, np.ndarray):  # NumPy makes scalars out of arrays without dimensions
        y = np.asarray(y)
    extra = result[2:]
    if not is_tensor:
        return (y, *extra) if extra else y
    out = record(y, op, result[1], inputs) if tracked else wrap(y)
    return (out, *[wrap(e) for e in extra]) if extra else out


cdef bint is_recording() except -1:
    return get_value(recording)


cdef TensorBase record(cnp.ndarray y, operation, vjp, tuple inputs):
    """The result of an operation on inputs of which some require a gradient."""
    cdef TensorBase out = wrap(y)
    out._requires_grad = True
    out._node = Node(operation, vjp, tuple([parent_of(x) for x in inputs]))
    return out


cdef inline parent_of(x):
    if not (isinstance(x, TensorBase) and (<TensorBase>x)._requires_grad):
        return None
    return x if (<TensorBase>x)._node is None else (<TensorBase>x)._node


cdef inline bint is_own(cnp.ndarray gradient, dy) noexcept:
    """Whether a product's result is memory of its own, neither `dy` nor a view."""
    cdef PyObject *base = <PyObject *>cnp.PyArray_BASE(gradient)
    return gradient is not dy and (base == NULL or not cnp.PyArray_Check(<object>base))


def run_backward(Node root not None, dy, bint retain_graph):
    """Add the gradient of every leaf to it, given the gradient of what `root` made.

    The nodes are visited in reverse order of recording, each when all of its gradient has arrived. Unless
    `retain_graph`, what a node saved is freed right before its turn is over.
    """
    cdef list heap = [(-root.order, root)]
    cdef dict arrived = {root: (dy, False)}  # by node: its gradient so far, and whether it may be written to
    cdef Node node
    cdef tuple parents, gradients
    cdef bint own, spent
    cdef Py_ssize_t i
    while heap:
        node = heappop(heap)[1]
        dy, own = arrived.pop(node)
        vjp, parents = node.vjp, node.parents
        if vjp is None:
            raise RuntimeError(
                f"Trying to backward through the graph a second time: what {node!r} saved for it was freed by the "
                "first backward(). Specify retain_graph=True there to go through the graph again"
            )
        if not retain_graph:
            node.vjp, node.parents = None, ()
        spent = node.spends and own
        gradients = tuple(vjp(dy, spent) if node.spends else vjp(dy))
        del vjp  # and with it the saved arrays
        if len(gradients) != len(parents):
            raise ValueError(f"{node!r} of {len(parents)} inputs has {len(gradients)} gradients")
        for i in range(len(parents)):
            parent, gradient = parents[i], gradients[i]
            if parent is None:
                continue
            if not isinstance(gradient, np.ndarray):
                gradient = np.asarray(gradient)
            own = spent or is_own(gradient, dy)
            if type(parent) is not Node:
                accumulate(<TensorBase?>parent, gradient, own)
            elif parent not in arrived:
                arrived[parent] = gradient, own
                heappush(heap, (-(<Node>parent).order, parent))
            else:
                other, other_own = arrived[parent]
                out = other if other_own else gradient if own else None
                arrived[parent] = plus(other, gradient, out), True
                del other, out
        del gradient, gradients, dy
