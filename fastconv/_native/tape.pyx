"""The tape's core, which every operation on tensors passes: recording it, and in-place operations. walk.pyx goes back.

What the tape is tells `autograd`, what a tensor can do `_methods`; here is the little that has to be quick.
"""

cimport cython
cimport numpy as cnp
from cpython.contextvars cimport get_value
from cpython.ref cimport Py_REFCNT, PyObject

from fastconv._native.common cimport idx, sum_of

from contextvars import ContextVar

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
anomaly = ContextVar("anomaly", default=None)  # None, or whether detect_anomaly() looks for NaN

cdef long long operations = 0
cdef object tensor_type = None
twice = set()
cdef set moves = set()  # operations that move elements and do not compute with them


# ---- nodes and tensors ---------------------------------------------------------------------------------------------

@cython.final
@cython.freelist(64)
@cython.auto_pickle(False)
cdef class Version:
    pass


@cython.final
@cython.freelist(64)
@cython.auto_pickle(False)
cdef class Watch:
    pass


@cython.final
@cython.auto_pickle(False)
cdef class Node:
    """One recorded operation.

    Attributes
    ----------
    order : int
        Time of recording: an operation's inputs were recorded before it, so that descending order is a
        topological order of the graph.
    operation : callable
        What was recorded; the name comes from it.
    vjp : callable
        ``vjp(dy, *saved)``, the vector-Jacobian product.
    saved : tuple or None
        What the product takes beside dy; None once :meth:`Tensor.backward` has consumed it.
    parents : tuple
        For each input the Node that made it, the leaf Tensor that it is, or None where no gradient goes.
    """

    def __cinit__(self, operation, vjp, tuple saved, tuple parents):
        global operations
        self.order = operations
        operations += 1
        self.operation = operation
        self.vjp = vjp
        self.saved = saved
        self.parents = parents

    def name(self) -> str:
        """Name of the operation, as torch writes such names: ``AddBackward0``."""
        words = self.operation.__name__.strip("_").split("_")
        return "".join([word[:1].upper() + word[1:] for word in words]) + "Backward0"

    @property
    def next_functions(self) -> tuple:
        """For each input the node that made it, with 0, the number of its result; or None where no gradient goes."""
        return tuple([(AccumulateGrad(p) if isinstance(p, TensorBase) else p, 0) for p in self.parents])

    def __repr__(self) -> str:
        return f"<{self.name()}>"


class AccumulateGrad:
    """What :attr:`Node.next_functions` shows for a leaf: its gradient is added up there.

    Attributes
    ----------
    variable : Tensor
    """

    def __init__(self, variable) -> None:
        self.variable = variable
        self.next_functions = ()

    def name(self) -> str:
        return "AccumulateGrad"

    def __eq__(self, other) -> bool:
        return isinstance(other, AccumulateGrad) and self.variable is other.variable

    def __hash__(self) -> int:
        return hash(("AccumulateGrad", id(self.variable)))

    def __repr__(self) -> str:
        return "<AccumulateGrad>"


@cython.auto_pickle(False)
cdef class TensorBase:
    """What a tensor is to the tape: an array, its gradient, and the operation that made it or None for a leaf."""

    @property
    def _requires_grad(self) -> bool:
        return requires_grad(self)

    @_requires_grad.setter
    def _requires_grad(self, bint value):
        self.needs = value

    @property
    def _node(self):
        if self.base is not None:
            refresh(self)
        return self.node

    @_node.setter
    def _node(self, Node node):
        self.node = node

    @property
    def _version(self) -> int:
        """How often in-place operations have written to its memory."""
        return 0 if self.version is None else self.version.number

    @property
    def _shown(self) -> int:
        """How often its memory was handed to somebody whose writes are not counted."""
        return 0 if self.version is None else self.version.shown

    def _show(self) -> None:
        """Count that."""
        if self.version is not None:
            self.version.shown += 1

    @property
    def _base(self):
        """The tensor of which this one is a view, or None."""
        return self.base

    def _accumulate(self, cnp.ndarray gradient not None, bint own) -> None:
        """Add to the gradient of this leaf; an array that nobody else has is taken over."""
        accumulate(self, gradient, own)

    def _alias(self):
        """A leaf on the same memory, with the same version: it is noticed when either is written to."""
        cdef TensorBase out = wrap(self._array)
        out.version = version_of(self)
        return out

    def _adopt(self, Node node not None) -> None:
        """Make it the result of a node, after an operation that wrote to it."""
        mark_written(self)
        move_keeper(self, node)
        self.node, self.needs = node, True

    def _forget(self) -> None:
        """Make it a leaf that does not require a gradient."""
        self.node, self.needs, self.base = None, False, None


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


# ---- recording -----------------------------------------------------------------------------------------------------

def recorded() -> int:
    """How many operations have been recorded: the `order` of the next node."""
    return operations


def differentiable_twice(operation):
    """Say of an operation that its vjp also takes tensors, for create_graph; returns the operation."""
    twice.add(operation)
    return operation


def moving(operation):
    """Say of an operation that it moves elements, of any dtype, and does not compute with them; returns it."""
    moves.add(operation)
    return operation


cdef in_float32(function, tuple before, tuple inputs, dict options):
    """``function(*before, *inputs, **options)``, where inputs are floats of 16 bits: computed in float32, and rounded.

    The inputs are tensors, arrays and whatever else; the first of 16 bits gives the dtype. The result is a tensor or an
    array, or a tuple of such whose first alone has a history.
    """
    from fastconv.primitives import cast

    cdef list wide = [], rounded = []
    cdef TensorBase out
    cdef Watch w
    dtype = None
    for x in inputs:
        if is_narrow(x):
            if dtype is None:
                dtype = x.dtype
            x = apply(cast, x, dtype=np.dtype(np.float32))
        wide.append(x)
    result = function(*before, *wide, **options)
    for y in result if isinstance(result, tuple) else (result,):
        rounded.append(apply(cast, y, dtype=dtype) if y.dtype == np.float32 else y)
    # What is saved are copies: the tensors whose copies they are must not be written to either.
    y = result[0] if isinstance(result, tuple) else result
    if isinstance(y, TensorBase) and (<TensorBase>y).node is not None and (<TensorBase>y).node.watches is not None:
        out = rounded[0]
        for w in (<TensorBase>y).node.watches:
            if w is not None and (w.source == OUTPUT or isinstance(inputs[w.source], TensorBase)):
                w.version = version_of(out if w.source == OUTPUT else <TensorBase>inputs[w.source])
                w.number = w.version.number
    return tuple(rounded) if isinstance(result, tuple) else rounded[0]


def apply(op, *inputs, **options):
    """Call a differentiable operation and record it.

    Parameters
    ----------
    op : callable
        ``op(needs, *arrays, **options) -> (result, vjp, saved, *extra)`` over ndarrays; `needs` is a list of bools,
        one per input, telling which gradients will be asked for; ``vjp(dy, *saved)`` is the vector-Jacobian product;
        `extra` are further results without a gradient.
    *inputs : Tensor, ndarray, number or None
        Everything that is not a Tensor is handed to `op` as it is, and is a constant.
    **options
        Handed on to `op`.

    Returns
    -------
    Tensor or ndarray
        A Tensor where any input is one, else an ndarray; with `extra`, a tuple of such. Unless `op` is a moving one,
        floats of 16 bits are computed in float32 and the results rounded.
    """
    cdef bint recorded = is_recording(), is_tensor = False, tracked = False, narrow = False, need
    cdef list needs = [], arguments = [needs]
    cdef TensorBase tensor
    for x in inputs:
        if isinstance(x, TensorBase):
            tensor = <TensorBase>x
            is_tensor = True
            narrow |= narrow_type(tensor._array)
            need = recorded and requires_grad(tensor)
            needs.append(need)
            tracked |= need
            arguments.append(tensor._array)
        else:
            narrow |= is_narrow(x)
            needs.append(False)
            arguments.append(x)
    if narrow and op not in moves:
        return in_float32(apply, (op,), inputs, options)
    cdef tuple result = op(*arguments, **options) if options else op(*arguments)
    y, saved, extra = result[0], result[2], result[3:]
    if not isinstance(y, np.ndarray):  # NumPy makes scalars out of arrays without dimensions
        scalar, y = y, np.asarray(y)
        saved = tuple([y if array is scalar else array for array in saved])
    if not is_tensor:
        return (y, *extra) if extra else y
    cdef TensorBase out = record(y, op, result[1], saved, inputs) if tracked else wrap(y)
    cdef PyObject *base = <PyObject *>cnp.PyArray_BASE(<cnp.ndarray>y)
    if base == NULL or not cnp.PyArray_Check(<object>base):
        base = NULL
    for x in inputs:
        if isinstance(x, TensorBase):
            tensor = <TensorBase>x
            if tensor._array is y or base != NULL and (
                    <PyObject *>tensor._array == base or <PyObject *>cnp.PyArray_BASE(tensor._array) == base):
                link_view(out, tensor, recorded)
                break
    return (out, *[wrap(e) for e in extra]) if extra else out


cdef bint is_recording() except -1:
    return get_value(recording)


cdef TensorBase record(cnp.ndarray y, operation, vjp, tuple saved, tuple inputs):
    """The result of an operation on inputs of which some require a gradient."""
    cdef TensorBase out = wrap(y)
    cdef list parents = [edge(<TensorBase>x) if isinstance(x, TensorBase) else None for x in inputs]
    cdef Node node = Node(operation, vjp, saved, tuple(parents))
    if saved:
        node.watches = tuple([watch(array, out, inputs) for array in saved])
    if get_value(anomaly) is not None:
        import traceback

        node.trace = traceback.format_stack()
    out.needs, out.node = True, node
    return out


cdef Watch watch(array, TensorBase out, tuple inputs):
    """Whose array it is that a node saves."""
    cdef Py_ssize_t i
    if array is None:
        return None
    if array is out._array:
        return watch_of(out, OUTPUT)
    for i in range(len(inputs)):
        x = inputs[i]
        if isinstance(x, TensorBase) and (<TensorBase>x)._array is array:
            return watch_of(<TensorBase>x, i)
    return None


cdef Watch watch_of(TensorBase tensor, int source):
    cdef Watch w = Watch.__new__(Watch)
    w.version = version_of(tensor)
    w.number = w.version.number
    w.source = source
    return w


cdef Version version_of(TensorBase tensor):
    if tensor.version is None:
        tensor.version = Version.__new__(Version)
    return tensor.version


cpdef edge(TensorBase x):
    """Where a gradient with respect to x goes: to the Node that made it, to the leaf x itself, or nowhere (None)."""
    if x is None:
        raise TypeError("expected a tensor, got None")
    if not requires_grad(x):
        return None
    return x if x.node is None else x.node


# ---- views, and writing in place -----------------------------------------------------------------------------------

cdef int link_view(TensorBase out, TensorBase x, bint recording) except -1:
    """Note that `out`, made of x, shares its memory."""
    out.base = x if x.base is None else x.base
    out.version = version_of(out.base)
    out.seen = out.version.number
    out.loose = not recording or x.base is not None and x.loose
    out.sibling = x.base is not None and x.sibling
    return 0


def siblings(tuple views not None):
    """Say of views that one operation made them together: none of them can be written to where that is recorded."""
    cdef TensorBase view
    for view in views:
        view.sibling = view.base is not None
    return views


cdef int refresh(TensorBase view) except -1:
    """Record anew what a view is, if its memory was written to since: a part of what its base is now."""
    if view.loose:
        view.needs |= view.base.needs
        return 0
    if view.seen == view.version.number:
        return 0
    view.seen = view.version.number
    if view.base.needs:
        from fastconv import primitives

        geometry = primitives.geometry(view.base._array, view._array)
        node = Node(primitives.as_strided, primitives.as_strided_vjp(geometry), (), (edge(view.base),))
        move_keeper(view, node)
        view.node, view.needs = node, True
    return 0


cdef move_keeper(TensorBase tensor, Node node):
    """A tensor whose gradient is kept is the result of another node."""
    if tensor.node is not None and tensor.node.keeper is not None and tensor.node.keeper() is tensor:
        node.keeper, tensor.node.keeper = tensor.node.keeper, None


cpdef mark_written(TensorBase tensor):
    """Count a write to the memory of a tensor: what saved it for a gradient can no longer compute that."""
    if tensor is None:
        raise TypeError("expected a tensor, got None")
    if tensor.version is not None:
        tensor.version.number += 1


def mark_stepped(list leaves not None):
    """Count a write to those leaves that have a gradient."""
    cdef TensorBase leaf
    for leaf in leaves:
        if leaf is not None and leaf._grad is not None:
            mark_written(leaf)


def check_writable(TensorBase target not None, other=None):
    """Refuse the in-place operations that torch refuses: on memory that elements share, and on what is recorded.

    Parameters
    ----------
    target : Tensor
        What is to be written to.
    other : Tensor or None
        What goes into the result beside it.

    Returns
    -------
    bool
        Whether the operation has to be recorded.
    """
    if not cnp.PyArray_ISWRITEABLE(target._array) and 0 in (<object>target._array).strides:
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            f"location: it has shape {list((<object>target._array).shape)} and strides "
            f"{list((<object>target._array).strides)} in bytes. Please clone() the tensor before performing the "
            "operation"
        )
    cdef bint needed = requires_grad(target)
    if not is_recording() or not (needed or isinstance(other, TensorBase) and requires_grad(<TensorBase>other)):
        return False
    if target.base is not None:
        if target.loose:
            raise RuntimeError(
                "A view was created in no_grad mode and is being modified inplace with grad mode enabled: make the "
                "view and modify it both inside the no_grad block, or both outside"
            )
        if target.sibling:
            raise RuntimeError(
                "this view is the output of a function that returns multiple views and is being modified inplace: such "
                "functions do not allow the output views to be modified inplace. Replace the inplace operation by an "
                f"out-of-place one; the view has shape {list((<object>target._array).shape)}"
            )
        if needed and target.base.needs and target.base.node is None:
            raise RuntimeError(
                "a view of a leaf Variable that requires grad is being used in an in-place operation: do so under "
                f"no_grad(), or compute a new tensor; the view has shape {list((<object>target._array).shape)}, "
                f"the leaf {list((<object>target.base._array).shape)}"
            )
    if needed and target.node is None:
        raise RuntimeError(
            "a leaf Variable that requires grad is being used in an in-place operation: do so under no_grad(), or "
            f"compute a new tensor; the leaf has shape {list((<object>target._array).shape)}"
        )
    return True


def check_overlap(cnp.ndarray written not None, source, bint whole=False):
    """Refuse to write to memory that a source shows otherwise, or with `whole` in any way, as torch does.

    Parameters
    ----------
    written : ndarray
    source : Tensor, ndarray or anything else
        Another order and another number of dimensions are otherwise. Arrays whose memory has gaps are let pass.
    """
    cdef cnp.ndarray a = written, b
    cdef char *first
    cdef char *second
    if isinstance(source, TensorBase):
        b = (<TensorBase>source)._array
    elif cnp.PyArray_Check(source):
        b = <cnp.ndarray>source
    else:
        return
    if b is a and not whole:
        return
    first, second = <char *>cnp.PyArray_DATA(a), <char *>cnp.PyArray_DATA(b)
    if (first >= second + cnp.PyArray_NBYTES(b) or second >= first + cnp.PyArray_NBYTES(a)
            or not cnp.PyArray_SIZE(a) or not cnp.PyArray_SIZE(b) or not (without_gaps(a) and without_gaps(b))):
        return
    if (first == second and not whole and cnp.PyArray_NDIM(a) == cnp.PyArray_NDIM(b)
            and cnp.PyArray_NBYTES(a) == cnp.PyArray_NBYTES(b) and steps(a) == steps(b)):
        return
    raise RuntimeError(
        "unsupported operation: some elements of the input tensor and the written-to tensor refer to a single memory "
        f"location: they have the shapes {list((<object>b).shape)} and {list((<object>a).shape)}. Please clone() the "
        "tensor before performing the operation."
    )


cdef list steps(cnp.ndarray a):
    """Lengths and strides of the axes longer than one, which say what lies where."""
    return [(n, stride) for n, stride in zip((<object>a).shape, (<object>a).strides) if n > 1]


cdef bint without_gaps(cnp.ndarray a):
    """Whether its elements, in some order of its axes, lie one after the other."""
    cdef idx expected = cnp.PyArray_ITEMSIZE(a)
    if cnp.PyArray_IS_C_CONTIGUOUS(a) or cnp.PyArray_IS_F_CONTIGUOUS(a):
        return True
    for stride, n in sorted(zip((<object>a).strides, (<object>a).shape)):
        if n > 1:
            if stride != expected:
                return False
            expected *= n
    return True


def become(TensorBase target not None, TensorBase result not None):
    """Write the result of an operation into `target`, of its shape and dtype, and record it as what made `target`.

    The memory is changed, for all who share it. Of a view, the part that it is of its base is recorded as replaced.
    """
    cdef bint recorded = check_writable(target, result)
    cdef TensorBase base = target.base
    cdef Node node = result.node
    cdef bint unseen
    if recorded:
        if node is None:
            raise RuntimeError("an in-place operation on a tensor that requires grad must be recorded")
        keep_saved(node, target, result)
        if base is not None and is_watched(target.node, base.node):
            without_hooks(node, target)
        if narrow_type(target._array) and type(node.parents[0]) is Node:
            keep_copies(node.parents[0], target, result)
    # Nobody sees that memory is exchanged rather than written to if no other array shares it.
    unseen = (base is None and recorded and Py_REFCNT(target._array) == 1 and is_whole(target._array)
              and is_whole(result._array) and result.base is None
              and (<object>target._array).strides == (<object>result._array).strides)
    if unseen:
        target._array = result._array
    else:
        np.copyto(target._array, result._array, casting="same_kind")
    mark_written(target)
    if not recorded:
        return
    if base is None:
        move_keeper(target, node)
        target.node, target.needs = node, True
        return
    from fastconv import primitives

    geometry = primitives.geometry(base._array, target._array)
    whole = Node(primitives.copy_slices, primitives.copy_slices_vjp, (geometry,), (edge(base), node))
    move_keeper(base, whole)
    base.node, base.needs = whole, True


cdef keep_saved(Node node, TensorBase target, TensorBase result):
    """Before the memory of `target` is overwritten by the result: what the result's node saved of either."""
    cdef list saved = list(node.saved), watches
    cdef Watch w
    cdef Py_ssize_t i
    if not saved:
        return
    watches = list(node.watches)
    for i in range(len(saved)):
        if saved[i] is target._array:  # the old values, which are about to go
            saved[i] = (<object>target._array).copy()
            w = Watch.__new__(Watch)
            w.source = (<Watch>watches[i]).source
            watches[i] = w
        elif saved[i] is result._array:
            if target.base is None:
                saved[i] = target._array
            w = watch_of(target, OUTPUT)
            w.number += 1
            watches[i] = w
    node.saved, node.watches = tuple(saved), tuple(watches)


cdef bint is_watched(node, Node base):
    """Whether a hook, or a tensor that keeps its gradient, is on the way from a view back to its base."""
    while type(node) is Node and node is not base:
        if (<Node>node).hooks is not None or (<Node>node).keeper is not None:
            return True
        node = (<Node>node).parents[0] if (<Node>node).parents else None
    return False


cdef without_hooks(Node node, TensorBase target):
    """Let no hook of a view see what goes back to its base, now that the view is written to."""
    from fastconv import primitives

    geometry = primitives.geometry(target.base._array, target._array)
    cdef Node view = Node(primitives.as_strided, primitives.as_strided_vjp(geometry), (), (edge(target.base),))
    view.order = target.node.order
    node.parents = tuple([view if parent is target.node else parent for parent in node.parents])


cdef keep_copies(Node node, TensorBase target, TensorBase result):
    """The same of the node that computed in float32, whose copies of the old values are its own."""
    cdef Watch w
    for w in node.watches or ():
        if w is not None and w.version is not None:
            if w.version is target.version:
                w.version = None
            elif w.version is result.version:
                w.version = version_of(target)
                w.number = w.version.number + 1


# ---- gradients of leaves ---------------------------------------------------------------------------------------------

cdef cnp.ndarray laid_out_as(cnp.ndarray a, cnp.ndarray gradient):
    copy = np.empty_like(a)
    if not in_order_of(a, copy):
        copy = np.empty_like(a, order="C")
    np.copyto(copy, gradient, casting="unsafe")
    return copy


cdef int accumulate(TensorBase leaf, cnp.ndarray gradient, bint own) except -1:
    if not leaf.needs:
        return 0
    if cnp.PyArray_TYPE(leaf._array) == cnp.NPY_VOID:  # bfloat16, which NumPy cannot add
        if leaf._grad is not None:
            leaf._grad.add_(wrap(gradient))
        else:
            leaf._grad = wrap(gradient).to(leaf.dtype)
    elif leaf._grad is not None:
        total = (<TensorBase>leaf._grad)._array
        plus(total, gradient, total)
        mark_written(<TensorBase>leaf._grad)
    elif own and cnp.PyArray_TYPE(gradient) == cnp.PyArray_TYPE(leaf._array) and in_order_of(leaf._array, gradient):
        leaf._grad = wrap(gradient)
    else:
        leaf._grad = wrap(laid_out_as(leaf._array, gradient))
    return 0


cdef plus(a, b, out):
    total = sum_of(a, b, out)
    return np.asarray(np.add(a, b, out=out)) if total is None else total
