"""A model in evaluation mode, run by plans: one for each size of its inputs, made of a recorded forward pass."""

from __future__ import annotations

import contextlib
import random
from collections.abc import Iterator
from typing import Any

import numpy as np

from .._native import plan as forms
from .._native import runtime
from .._native.watch import Watch
from .._tensor import Tensor
from ..autograd import backward, grad, is_grad_enabled, no_grad
from ..creation import tensor
from ..functions import allclose, equal
from ..nn import Module
from ..nn.fused import is_apart
from ..nn.parameter import Uninitialized
from ..onnx.graph import Value
from ..onnx.trace import Trace, tensors_of
from ..random import default_generator
from .lowering import lower
from .schedule import Plan, SizesDiffer

__all__ = ["InferenceModule"]

KEPT = 8  # plans, each for other inputs

# Whoever calls these with what was computed may go another way with other inputs.
_READERS = {
    *(Tensor.item, Tensor.tolist, Tensor.numpy, Tensor.new_tensor, Tensor.backward, Tensor.__init__, Tensor.__repr__),
    *(Tensor.__array__, Tensor.__dlpack__, Tensor.__bool__, Tensor.__index__, Tensor.__format__, Tensor.__contains__),
    *(Tensor.__deepcopy__, Tensor.__reduce_ex__, equal, allclose, backward, grad, tensor),
}
_READING = {function.__code__ for function in _READERS}


_UNSTEADY = "it changes its own attributes, parameters or buffers"

_DATA = (Value, bool, int, float, complex, str, bytes, type(None), np.dtype, np.generic)


def _random_states(others: list[Any]) -> list[Any]:
    """Of fastconv's generator, NumPy's and Python's, and of some others of these kinds."""
    states = [default_generator.get_state()._array.tobytes(), random.getstate()]
    states.append(repr(np.random.get_state()))  # noqa: NPY002 a program's forward() may draw from it
    for other in others:
        if hasattr(other, "bit_generator"):
            states.append(repr(other.bit_generator.state))
        elif isinstance(other, random.Random):
            states.append(other.getstate())
        elif hasattr(other, "get_state"):
            states.append(other.get_state()._array.tobytes())
    return states


def _leaves(x: Any) -> Iterator[Any]:
    """What a result holds in nested lists, tuples and dicts."""
    if isinstance(x, (list, tuple, dict)):
        for item in x.values() if isinstance(x, dict) else x:
            yield from _leaves(item)
    else:
        yield x


class _Changed(Exception):
    """The model is another than the one that a plan was made of."""


class _Trace(Trace):
    """A record that notes whether values were read."""

    def _event(self, frame: Any, event: str, argument: Any) -> None:
        reads = event == "call" and frame.f_code in _READING and self._inside is None
        if reads and any(map(self._is_computed, tensors_of(dict(frame.f_locals)))):
            self.problems.append(f"what was computed is read by {frame.f_code.co_name}()")
        super()._event(frame, event, argument)


class InferenceModule(Module):
    """A model whose forward pass in evaluation mode is recorded and run as a plan; see :func:`fastconv.optimize`.

    Results are the model's, up to rounding; they have no graph, so the model itself computes whenever one is asked
    for: when gradients are recorded and an input requires one. It also does so in training mode, while modules have
    hooks, and for what cannot be recorded, which :meth:`report` tells.

    The first call for inputs of a size records the model and packs its filters. This is done anew when a parameter, a
    buffer, a submodule or another attribute of a module was changed, or what such attributes hold. What forward()
    reads elsewhere, global variables and files, is taken as it was. Plans are kept for eight sizes of inputs.

    Its attributes are the model's. A copy of it, or one that was pickled, is made of a copy of the model, and records
    anew.

    Parameters
    ----------
    model : Module
    """

    def __init__(self, model: Module) -> None:
        super().__init__()
        own = self.__dict__
        own["model"] = model
        del own["training"]
        for members in ("_parameters", "_buffers", "_transient_buffers", "_modules"):
            own[members] = model.__dict__[members]
        own["_plans"] = {}
        own["_watch"] = None
        own["_prepared"] = {}
        own["_unsteady"] = 0  # records one after the other in which the model changed itself

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self.model, name, value)

    def __delattr__(self, name: str) -> None:
        delattr(self.model, name)

    def __reduce_ex__(self, protocol: Any) -> tuple[Any, ...]:
        return InferenceModule, (self.model,)

    def train(self, mode: bool = True) -> Module:
        """Set training mode of the model and of what is in it; returns self."""
        self.model.train(mode)
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model computes."""
        if not self._takes(args, kwargs):
            return self.model(*args, **kwargs)
        arrays = [x._array if x._array.flags.aligned else x._array.copy() for x in args]
        key = (
            tuple((tuple(x.shape), x.dtype) for x in args),
            tuple(None if x.is_contiguous() else x.stride() for x in args),
            (runtime.get_isa(), forms.get_forced(), forms.get_winograd()),
        )
        watch, made, recorded = self._watch, self._plans.get(key), []

        def check(_: list[Any]) -> None:
            if watch is None or watch.has_changed() or watch.has_hooks():
                raise _Changed

        try:
            if isinstance(made, Plan) and self._unsteady <= 1:
                with contextlib.suppress(_Changed):
                    return made.run(arrays, check)
            made, recorded = self._plan(args, key)
            if isinstance(made, Plan):
                return made.run(arrays)
        except SizesDiffer as error:
            plans = self._plans.copy()
            self.__dict__["_plans"] = {key: str(error) if p is made else p for key, p in plans.items()}
        if recorded:  # a second pass would do twice what a pass does beside its result
            return recorded[0]
        if made is None:
            return self.model(*args)
        with no_grad():
            return self.model(*args)

    def report(self) -> str:
        """What is done for each size of inputs that there was: the steps of its plan, or why there is none."""
        if not self._plans:
            return "no inputs yet"
        lines = []
        for key, made in self._plans.copy().items():
            lines.append("inputs of shape " + ", ".join(f"{list(shape)} ({dtype})" for shape, dtype in key[0]) + ":")
            names = made.names if isinstance(made, Plan) else [f"the model itself, for {made}"]
            lines += [f"    {name}" for name in names]
        return "\n".join(lines)

    def extra_repr(self) -> str:
        plans = [made for made in self._plans.copy().values() if isinstance(made, Plan)]
        return f"plans={len(plans)}, without={len(self._plans) - len(plans)}"

    def __repr__(self) -> str:
        return f"InferenceModule({self.extra_repr()}): {self.model!r}"

    # Plans

    def _takes(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> bool:
        """Whether a plan may stand in for the model."""
        if self.model.training or is_apart() or kwargs or not args or not all(type(x) is Tensor for x in args):
            return False
        return not (is_grad_enabled() and any(x.requires_grad for x in args))

    def _plan(self, args: tuple[Any, ...], key: tuple[Any, ...]) -> tuple[Plan | str | None, list[Any]]:
        """The plan for these inputs, or why there is none, or None where the model is called as it stands; and the
        result, if it just has been computed."""
        if self._unsteady > 1:
            return _UNSTEADY, []
        if self._watch is None or self._watch.has_changed():
            # Threads that still make plans of what the model was write to those dicts that they have begun with.
            self.__dict__["_plans"], self.__dict__["_prepared"] = {}, {}
            if any(isinstance(x, Uninitialized) for x in (*self.model.parameters(), *self.model.buffers())):
                return None, []
            self.__dict__["_watch"] = Watch([module.__dict__ for module in self.model.modules()])
        watch, plans = self._watch, self._plans
        if watch.has_hooks():
            return None, []
        if (known := plans.get(key)) is not None:
            return known, []
        made, result = self._record(args, watch)
        if self._watch is not watch:  # another thread has seen a change meanwhile
            return made, [result]
        while len(plans) >= KEPT:
            plans.pop(next(iter(plans)), None)
        plans[key] = made
        return made, [result]

    def _record(self, args: tuple[Tensor, ...], watch: Watch) -> tuple[Plan | str, Any]:
        """The same for inputs of a new size; and the result."""
        model, prepared, unsteady = self.model, self._prepared, self._unsteady
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        trace = _Trace()
        for name, known in tensors.items():
            trace.parameter(known, name)
        inputs = [x.detach() for x in args]
        before = [x._array.copy() for x in inputs]
        draws = _random_states(watch.generators)
        result = trace.run(model, (inputs, {}), lambda x: x)
        reason = None
        made = {id(value) for call in trace.calls for value in tensors_of(call.result)}
        kinds = {type(x).__name__ for x in _leaves(trace.result) if not isinstance(x, _DATA)}
        missing = ", ".join(trace.missing)
        changed = watch.has_changed()
        self.__dict__["_unsteady"] = unsteady + 1 if changed else 0
        if changed:
            reason = _UNSTEADY
        elif _random_states(watch.generators) != draws:
            reason = "random numbers are drawn"
        elif watch.iterators:
            reason = "it has an iterator as an attribute"
        elif any(x._array.tobytes() != array.tobytes() for x, array in zip(inputs, before, strict=True)):
            reason = "it writes to its inputs"
        elif any(value.array is not None and (view or owner() is not None) for value, owner, view in trace.written):
            reason = "it writes to a tensor that is held elsewhere, or that it returns, or to a view of one"
        elif missing or trace.problems:
            reason = "; ".join([*([f"there is no record of {missing}"] if missing else []), *trace.problems])
        elif not trace.outputs or not all(id(value) in made for value in trace.outputs):
            reason = "its result was not computed of its inputs"
        elif kinds:
            reason = f"its result holds what may be anything ({', '.join(sorted(kinds))})"
        if reason is not None:
            return reason, result
        held = [ref() for ref, _, value in trace._values.values() if value.array is not None]
        named = {id(x) for x in tensors.values()}
        watch.add([x for x in held if x is not None and id(x) not in named])
        return lower(trace, prepared), result
