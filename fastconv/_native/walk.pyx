"""The tape's walk back: from results to leaves, node by node, in the reverse order of recording."""

cimport cython
cimport numpy as cnp
from cpython.contextvars cimport PyContextVar_Reset, PyContextVar_Set

from fastconv._native.common cimport new_array, same
from fastconv._native.tape cimport (
    OUTPUT, Node, TensorBase, Watch, accumulate, edge, in_order_of, is_whole, laid_out_as, plus, requires_grad, twice,
    wrap,
)

from heapq import heappop, heappush

import numpy as np

from fastconv._native.tape import anomaly, recording

cnp.import_array()


cdef inline bint is_own(cnp.ndarray gradient, dy) noexcept:
    """Whether a product's result is memory of its own, neither `dy` nor a view."""
    return gradient is not dy and is_whole(gradient)


cdef inline bint has_hooks(TensorBase leaf) noexcept:
    return leaf._hooks is not None or leaf._post_hooks is not None


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
    missing : dict or None
        By leaf that has hooks: how many gradients are still to come. None until the first has come.
    targets, needed : set or None
        Nodes and leaves whose gradient is asked for, and the nodes on the way to them; None for all leaves.
    """
    cdef list heap
    cdef dict arrived, held, missing
    cdef set targets, needed
    cdef bint create_graph

    cdef int deliver(self, parent, gradient, bint own) except -1:
        """Let a gradient arrive at a node or a leaf."""
        cdef dict place = self.arrived
        if type(parent) is not Node:
            if self.targets is None:
                if not has_hooks(<TensorBase?>parent):
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
        cdef TensorBase total, like = leaf if leaf._grad is None else leaf._grad
        if leaf.needs:
            total = (gradient.clone() if leaf._grad is None else leaf._grad + gradient).to(leaf.dtype)
            if not in_order_of(like._array, total._array):
                total._array = laid_out_as(like._array, total._array)
            leaf._grad = total
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
        cdef bint own, spent, hooked
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
                if parent is None:
                    continue
                hooked = self.targets is None and type(parent) is not Node and has_hooks(<TensorBase?>parent)
                if hooked and self.missing is None:
                    self.count(parents, i)
                if gradient is not None:
                    if self.create_graph:
                        if not isinstance(gradient, TensorBase):
                            gradient = wrap(np.asarray(gradient))
                        self.deliver(parent, gradient, False)
                    else:
                        if not isinstance(gradient, np.ndarray):
                            gradient = np.asarray(gradient)
                        self.deliver(parent, gradient, spent or is_own(gradient, dy))
                if hooked and parent in self.missing:  # else a hook has just put one there
                    self.missing[parent] -= 1
                    if self.missing[parent] == 0 and parent in self.held:
                        self.finish(<TensorBase>parent)
            del gradient, gradients, dy
        return 0

    cdef int count(self, tuple parents, Py_ssize_t first) except -1:
        """How many gradients leaves with hooks still wait for: from the node in turn on, from its parent `first` on.

        So hooks run as soon as a leaf has all of its gradient, while the walk goes on. A node that no gradient reaches
        is counted as well: the leaves that wait for it have their turn at the end.
        """
        cdef set seen = set()
        cdef list stack = [node for _, node in self.heap]
        cdef Node node
        self.missing = {}
        stack.extend([parent for parent in parents if type(parent) is Node])
        self.count_edges(parents[first:])
        while stack:
            node = stack.pop()
            if node not in seen:
                seen.add(node)
                self.count_edges(node.parents)
                stack.extend([parent for parent in node.parents if type(parent) is Node])
        return 0

    cdef int count_edges(self, tuple parents) except -1:
        for parent in parents:
            if parent is not None and type(parent) is not Node and has_hooks(<TensorBase?>parent):
                self.missing[parent] = self.missing.get(parent, 0) + 1
        return 0

    cdef int finish(self, TensorBase leaf) except -1:
        """A leaf has all of its gradient: its hooks run, and unless it was asked for, it is added up."""
        gradient, own = self.held[leaf]
        if leaf._hooks is not None:
            gradient, own = self.through_hooks(leaf._hooks, gradient), False
            self.held[leaf] = gradient, own
        if self.targets is None:
            del self.held[leaf]
            self.add_up(leaf, gradient, own)
            for hook in list((leaf._post_hooks or {}).values()):
                hook(leaf)
        return 0

    cdef int settle(self) except -1:
        """The leaves whose gradients are still held have their turn."""
        for leaf in list(self.held):
            if type(leaf) is not Node:
                self.finish(<TensorBase>leaf)
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


def walk_back(TensorBase root not None, gradient, bint retain_graph):
    """The commonest walk back: from one result to all leaves, given a gradient of its shape and dtype, or 1 if None.

    Returns
    -------
    bool
        False where it is not as common as that, and nothing has been done.
    """
    cdef cnp.ndarray y = root._array, dy
    cdef int type_num = cnp.PyArray_TYPE(y)
    if not requires_grad(root) or type_num != cnp.NPY_FLOAT32 and type_num != cnp.NPY_FLOAT64:
        return False
    if gradient is None:
        if cnp.PyArray_SIZE(y) != 1:
            return False
        dy = new_array(cnp.PyArray_NDIM(y), y.shape, type_num)
        if type_num == cnp.NPY_FLOAT32:
            (<float *>cnp.PyArray_DATA(dy))[0] = 1
        else:
            (<double *>cnp.PyArray_DATA(dy))[0] = 1
    elif isinstance(gradient, TensorBase):
        dy = (<TensorBase>gradient)._array
        if (cnp.PyArray_TYPE(dy) != type_num or cnp.PyArray_NDIM(dy) != cnp.PyArray_NDIM(y)
                or not same(dy.shape, y.shape, cnp.PyArray_NDIM(y))):
            return False
    else:
        return False
    cdef Walk walk = Walk.__new__(Walk)
    walk.heap, walk.arrived, walk.held = [], {}, {}
    token = PyContextVar_Set(recording, False)
    try:
        walk.deliver(root if root.node is None else root.node, dy, False)
        walk.run(retain_graph)
        if walk.held:
            walk.settle()
    finally:
        PyContextVar_Reset(recording, token)
    return True


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
