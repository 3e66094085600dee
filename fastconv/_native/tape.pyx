"""The tape's core, which every operation on tensors passes: recording it, in-place operations, and the walk back.

What the tape is tells autograd.py, what a tensor can do _tensor.py; here is the little that has to be quick.
"""

cimport cython
cimport numpy as cnp
from cpython.contextvars cimport PyContextVar_Reset, PyContextVar_Set, get_value
from cpython.ref cimport Py_REFCNT, PyObject

from fastconv._native.common cimport sum_of

import traceback
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
anomaly = ContextVar("anomaly", default=None)  # None, or whether detect_anomaly() looks for NaN

cdef enum:
    OUTPUT = -1  # the source of a saved array that is the result's

cdef long long operations = 0
cdef object tensor_type = None
cdef set twice = set()  # operations whose vjp also takes tensors, and is recorded then
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
    if view.seen == view.version.number or view.loose:
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


cdef inline bint is_whole(cnp.ndarray array) noexcept:
    """Whether it is no view of another array."""
    cdef PyObject *base = <PyObject *>cnp.PyArray_BASE(array)
    return base == NULL or not cnp.PyArray_Check(<object>base)


# ---- the walk back -------------------------------------------------------------------------------------------------

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
    elif own and cnp.PyArray_TYPE(gradient) == cnp.PyArray_TYPE(leaf._array):
        leaf._grad = wrap(gradient)
    else:
        leaf._grad = wrap(gradient.astype(leaf._array.dtype))
    return 0


cdef plus(a, b, out):
    total = sum_of(a, b, out)
    return np.asarray(np.add(a, b, out=out)) if total is None else total


cdef inline bint is_own(cnp.ndarray gradient, dy) noexcept:
    """Whether a product's result is memory of its own, neither `dy` nor a view."""
    return gradient is not dy and is_whole(gradient)


cdef set towards(list roots, set targets):
    """The nodes from which a gradient reaches any of the targets, which are nodes and leaves."""
    cdef set seen = set(), needed = set()
    cdef list stack = [root for root in roots if type(root) is Node], nodes = []
    cdef Node node
    while stack:
        node = stack.pop()
        if node not in seen:
            seen.add(node)
            nodes.append(node)
            stack.extend([parent for parent in node.parents if type(parent) is Node])
    for node in sorted(nodes, key=lambda node: node.order):  # parents come before what is made of them
        for parent in node.parents:
            if parent is not None and (parent in targets or parent in needed):
                needed.add(node)
                break
    return needed


@cython.final
@cython.auto_pickle(False)
cdef class Walk:
    """One walk back: the gradients that have arrived, and where they may go on to.

    Attributes
    ----------
    heap : list
        The nodes that wait, latest first.
    arrived : dict
        By node: its gradient so far, and whether it may be written to. Gradients are arrays, or tensors to be
        differentiated again.
    held : dict
        The same by leaf, for leaves whose gradient is asked for, or that have hooks, which want its sum.
    targets, needed : set or None
        Nodes and leaves whose gradient is asked for, and the nodes on the way to them; None for all leaves.
    """
    cdef list heap
    cdef dict arrived, held
    cdef set targets, needed
    cdef bint create_graph

    cdef int deliver(self, parent, gradient, bint own) except -1:
        """Let a gradient arrive at a node or a leaf."""
        cdef dict place = self.arrived
        if type(parent) is not Node:
            if self.targets is None:
                if (<TensorBase?>parent)._hooks is None and (<TensorBase>parent)._post_hooks is None:
                    return self.add_up(<TensorBase>parent, gradient, own)
            elif parent not in self.targets:
                return 0
            place = self.held
        elif self.targets is not None and parent not in self.targets and parent not in self.needed:
            return 0
        if parent not in place:
            place[parent] = gradient, own
            if place is self.arrived:
                heappush(self.heap, (-(<Node>parent).order, parent))
            return 0
        other, other_own = place[parent]
        if self.create_graph:
            place[parent] = other + gradient, True
        else:
            place[parent] = plus(other, gradient, other if other_own else gradient if own else None), True
        return 0

    cdef int add_up(self, TensorBase leaf, gradient, bint own) except -1:
        if not self.create_graph:
            return accumulate(leaf, gradient, own)
        if leaf.needs:
            gradient = gradient.clone() if leaf._grad is None else leaf._grad + gradient
            leaf._grad = gradient.to(leaf.dtype)
        return 0

    cdef through_hooks(self, dict hooks, gradient):
        """The gradient that hooks make of a gradient."""
        tensor = gradient if self.create_graph else wrap(gradient)
        for hook in list(hooks.values()):
            changed = hook(tensor)
            if changed is not None:
                if not isinstance(changed, TensorBase) or (
                        (<object>(<TensorBase>changed)._array).shape != (<object>(<TensorBase>tensor)._array).shape):
                    raise RuntimeError(
                        f"a hook must return None or a gradient of shape {list(tensor.shape)}, "
                        f"got {changed!r}"
                    )
                tensor = changed
        return tensor if self.create_graph else (<TensorBase>tensor)._array

    cdef int keep(self, Node node, gradient) except -1:
        """Retain the gradient of a result that was told to."""
        cdef TensorBase tensor = node.keeper()
        if tensor is not None:
            if self.create_graph:
                tensor._grad = gradient if tensor._grad is None else tensor._grad + gradient
            else:
                accumulate(tensor, gradient, False)
        return 0

    cdef gradients_of(self, Node node, dy, bint spent):
        """The gradients of a node's inputs, given the one of its result."""
        cdef tuple saved = node.saved
        cdef Watch w
        cdef Py_ssize_t i
        if saved is None and node.restore is not None:
            node.restore()
            saved = node.saved
        if saved is None:
            raise RuntimeError(
                f"Trying to backward through the graph a second time: what {node!r} saved for it was freed by the "
                "first backward(). Specify retain_graph=True there to go through the graph again"
            )
        if saved and node.watches is not None:
            for i in range(len(node.watches)):
                w = node.watches[i]
                if w is not None and w.version is not None and w.version.number != w.number:
                    raise RuntimeError(
                        "one of the variables needed for gradient computation has been modified by an inplace "
                        f"operation: what {node!r} saved, of shape {list(saved[i].shape)}, is at version "
                        f"{w.version.number}; expected version {w.number} instead. Under "
                        "autograd.set_detect_anomaly(True) the error shows where it was recorded"
                    )
        if self.create_graph:
            return self.recorded_gradients(node, dy, saved)
        return node.vjp(dy, *saved, spent) if node.spends else node.vjp(dy, *saved)

    cdef recorded_gradients(self, Node node, TensorBase dy, tuple saved):
        """The same of tensors, recorded so that they can be differentiated again."""
        cdef list tensors = []
        cdef Watch w
        cdef Py_ssize_t i
        if node.operation not in twice:
            return self.last_gradients(node, dy, saved)
        for i in range(len(saved)):
            array = saved[i]
            w = node.watches[i] if node.watches is not None else None
            if w is None:
                tensors.append(array)
            else:
                tensors.append(connected(array, node if w.source == OUTPUT else node.parents[w.source], w))
        return node.vjp(dy, *tensors)

    cdef last_gradients(self, Node node, TensorBase dy, tuple saved):
        """Gradients of an operation whose product is not differentiable: asking for theirs is an error."""
        name = node.name()

        def vjp(_):
            raise NotImplementedError(
                f"the gradient of {name} cannot be differentiated again: double backward (create_graph=True) is not "
                "implemented for it"
            )

        cdef tuple parents = (edge(dy), *node.parents)
        cdef TensorBase out
        cdef list gradients = []
        for gradient in node.vjp(dy._array, *saved, False) if node.spends else node.vjp(dy._array, *saved):
            if gradient is not None:
                out = wrap(np.asarray(gradient))
                out.node, out.needs = Node(node.operation, vjp, (), parents), True
                gradient = out
            gradients.append(gradient)
        return gradients

    cdef int run(self, bint retain_graph) except -1:
        """Visit the nodes in reverse order of recording, each when all of its gradient has arrived."""
        cdef Node node
        cdef tuple parents, gradients
        cdef bint own, spent
        cdef Py_ssize_t i
        while self.heap:
            node = heappop(self.heap)[1]
            dy, own = self.arrived.pop(node)
            if node.hooks is not None:
                dy, own = self.through_hooks(node.hooks, dy), False
            if node.keeper is not None:
                self.keep(node, dy)
                own = False
            if self.targets is not None:
                if node in self.targets:
                    self.held[node] = dy, False
                    own = False
                if node not in self.needed:
                    continue
            spent = node.spends and own and not self.create_graph
            gradients = tuple(self.gradients_of(node, dy, spent))
            parents = node.parents
            if not retain_graph and node.saved:
                node.saved, node.watches, node.restore = None, None, None
            if len(gradients) != len(parents):
                raise ValueError(f"{node!r} of {len(parents)} inputs has {len(gradients)} gradients")
            if node.trace is not None:
                refuse_nan(node, gradients)
            for i in range(len(parents)):
                parent, gradient = parents[i], gradients[i]
                if parent is None or gradient is None:
                    continue
                if self.create_graph:
                    if not isinstance(gradient, TensorBase):
                        gradient = wrap(np.asarray(gradient))
                    self.deliver(parent, gradient, False)
                    continue
                if not isinstance(gradient, np.ndarray):
                    gradient = np.asarray(gradient)
                own = spent or is_own(gradient, dy)
                self.deliver(parent, gradient, own)
            del gradient, gradients, dy
        return 0

    cdef int settle(self) except -1:
        """The leaves whose gradients were held: their hooks run, and unless it was asked for, it is added up."""
        for leaf, (gradient, own) in list(self.held.items()):
            if type(leaf) is Node:
                continue
            if (<TensorBase>leaf)._hooks is not None:
                gradient, own = self.through_hooks((<TensorBase>leaf)._hooks, gradient), False
                self.held[leaf] = gradient, own
            if self.targets is None:
                self.add_up(<TensorBase>leaf, gradient, own)
                for hook in list(((<TensorBase>leaf)._post_hooks or {}).values()):
                    hook(leaf)
        return 0

    cdef result(self, target):
        """The gradient of a target, memory of its own; None if none has reached it."""
        if target not in self.held:
            return None
        gradient, own = self.held[target]
        return gradient if own or self.create_graph else gradient.copy()


cdef connected(array, parent, Watch w):
    """A saved array as the tensor that it was, with the history that it had."""
    cdef TensorBase out
    if isinstance(parent, TensorBase) and (<TensorBase>parent)._array is array:
        return parent
    out = wrap(array)
    out.version = w.version
    if parent is not None:
        if isinstance(parent, TensorBase):  # a leaf that has taken another array since
            parent = Node(connected_leaf, pass_on, (), (parent,))
            twice.add(connected_leaf)
        out.node, out.needs = parent, True
    return out


def connected_leaf(x):
    """The operation of a leaf as it was."""
    return x


def pass_on(dy):
    return (dy,)


def refuse_nan(Node node, tuple gradients):
    """Under detect_anomaly(): an error for a gradient that is not a number."""
    for i, gradient in enumerate(gradients):
        if gradient is not None and anomaly.get():
            array = (<TensorBase>gradient)._array if isinstance(gradient, TensorBase) else np.asarray(gradient)
            if array.dtype.kind == "f" and np.isnan(array).any():
                raise RuntimeError(
                    f"Function {node.name()!r} returned nan values in its {i}th output. It was recorded here:\n"
                    + "".join(node.trace)
                )


def run_backward(list roots not None, list gradients not None, bint retain_graph, bint create_graph=False, inputs=None):
    """The walk back from some results, given the gradient of each.

    Parameters
    ----------
    roots : list
        The :func:`edge` of each result: nodes or leaves.
    gradients : list of ndarrays, or with `create_graph` of tensors
    retain_graph : bool
        If not, what a node saved is freed right before its turn is over.
    create_graph : bool
        Record the walk, so that the gradients can be differentiated.
    inputs : list of nodes and leaves, optional
        Whose gradients to return. Without, every leaf's is added to its ``grad``.

    Returns
    -------
    list or None
        The gradients of `inputs`, arrays or with `create_graph` tensors; None where there is no way to one.
    """
    cdef Walk walk = Walk.__new__(Walk)
    if len(roots) != len(gradients):
        raise ValueError(f"{len(roots)} results have {len(gradients)} gradients")
    walk.heap, walk.arrived, walk.held, walk.create_graph = [], {}, {}, create_graph
    if inputs is not None:
        walk.targets = set(inputs)
        walk.needed = towards(roots, walk.targets)
    token = PyContextVar_Set(recording, create_graph)
    try:
        for root, dy in zip(roots, gradients):
            kind = TensorBase if create_graph else np.ndarray
            if not isinstance(root, (Node, TensorBase)) or not isinstance(dy, kind):
                raise TypeError(f"expected a Node or a leaf and its gradient, got {root!r} and {dy!r}")
            walk.deliver(root, dy, False)
        walk.run(retain_graph)
        walk.settle()
    finally:
        PyContextVar_Reset(recording, token)
    if inputs is not None:
        return [walk.result(x) for x in inputs]
