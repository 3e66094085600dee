"""A model in evaluation mode, run by plans: one for each size of its inputs, made of a recorded forward pass."""

from __future__ import annotations

from typing import Any

from .._native import plan as forms
from .._native import runtime
from .._native.watch import Watch
from .._tensor import Tensor
from ..autograd import is_grad_enabled
from ..nn import Module
from ..onnx.trace import Trace, tensors_of
from ..random import default_generator
from .lowering import lower
from .schedule import Plan

__all__ = ["InferenceModule"]

KEPT = 8  # plans, each for other inputs

# Whoever calls these with what was computed may go another way with other inputs.
_READERS = {
    getattr(Tensor, name).__code__
    for name in ("item", "tolist", "numpy", "__array__", "__dlpack__", "__bool__", "__index__", "__format__")
}


class _Trace(Trace):
    """A record that notes whether values were read."""

    def _event(self, frame: Any, event: str, argument: Any) -> None:
        reads = event == "call" and frame.f_code in _READERS and self._inside is None
        if reads and self._is_computed(frame.f_locals["self"]):
            self.problems.append(f"what was computed is read as numbers (Tensor.{frame.f_code.co_name})")
        super()._event(frame, event, argument)


class InferenceModule(Module):
    """A model whose forward pass in evaluation mode is recorded and run as a plan; see :func:`fastconv.optimize`.

    Results are the model's, up to rounding; they have no graph, so the model itself computes whenever one is asked
    for: when gradients are recorded and an input requires one. It also does so in training mode, while modules have
    hooks, and for what cannot be recorded, which :meth:`report` tells.

    The first call for inputs of a size records the model and packs its filters. This is done anew when a parameter, a
    buffer or a submodule was changed. Plans are kept for eight sizes of inputs.

    Parameters
    ----------
    model : Module
    """

    def __init__(self, model: Module) -> None:
        super().__init__()
        own = self.__dict__
        own["model"] = model
        own["training"] = model.training
        for members in ("_parameters", "_buffers", "_transient_buffers", "_modules"):
            own[members] = model.__dict__[members]
        own["_plans"] = {}
        own["_watch"] = None
        own["_prepared"] = {}

    def __getattr__(self, name: str) -> Any:
        return getattr(self.__dict__["model"], name)

    def train(self, mode: bool = True) -> Module:
        """Set training mode here and below; returns self."""
        super().train(mode)
        self.model.train(mode)
        return self

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the model computes."""
        run = self._plan(args, kwargs)
        if not isinstance(run, Plan):
            return self.model(*args, **kwargs)
        return run.run([x._array for x in args])

    def report(self) -> str:
        """What is done for each size of inputs that there was: the steps of its plan, or why there is none."""
        if not self._plans:
            return "no inputs yet"
        lines = []
        for key, made in self._plans.items():
            lines.append("inputs of shape " + ", ".join(f"{list(shape)} ({dtype})" for shape, dtype in key[0]) + ":")
            names = made.names if isinstance(made, Plan) else [f"the model itself, for {made}"]
            lines += [f"    {name}" for name in names]
        return "\n".join(lines)

    def extra_repr(self) -> str:
        plans = [made for made in self._plans.values() if isinstance(made, Plan)]
        return f"plans={len(plans)}, without={len(self._plans) - len(plans)}"

    def __repr__(self) -> str:
        return f"InferenceModule({self.extra_repr()}): {self.model!r}"

    # Plans

    def _plan(self, args: tuple[Any, ...], kwargs: dict[str, Any]) -> Plan | str:
        """The plan for these inputs, or why the model itself computes."""
        if self.model.training or self.training:
            return "it is in training mode"
        if kwargs or not args or not all(type(x) is Tensor for x in args):
            return "its inputs are not tensors alone"
        if is_grad_enabled() and any(x.requires_grad for x in args):
            return "gradients are recorded"
        if self._watch is None or self._watch.has_changed():
            self._plans.clear()
            self._prepared.clear()
            self.__dict__["_watch"] = Watch([module.__dict__ for module in self.model.modules()])
        if self._watch.has_hooks():
            return "modules have hooks"
        key = (
            tuple((tuple(x.shape), x.dtype) for x in args),
            (runtime.get_isa(), forms.get_forced(), forms.get_winograd()),
        )
        made = self._plans.get(key)
        if made is None:
            made = self._record(args)
            while len(self._plans) >= KEPT:
                self._plans.pop(next(iter(self._plans)))
            self._plans[key] = made
        return made

    def _record(self, args: tuple[Tensor, ...]) -> Plan | str:
        model = self.model
        tensors = {**dict(model.named_parameters()), **dict(model.named_buffers())}
        trace = _Trace()
        for name, tensor in tensors.items():
            trace.parameter(tensor, name)
        inputs = [x.detach() for x in args]
        versions = [x._version for x in inputs]
        draws = default_generator.get_state()._array.tobytes()
        trace.run(model, (inputs, {}), lambda x: x)
        if default_generator.get_state()._array.tobytes() != draws:
            return "random numbers are drawn"
        if self._watch.has_changed() or versions != [x._version for x in inputs]:
            return "it writes to its parameters, buffers or inputs"
        missing = ", ".join(trace.missing)
        if missing or trace.problems:
            return "; ".join([*([f"there is no record of {missing}"] if missing else []), *trace.problems])
        made = {id(value) for call in trace.calls for value in tensors_of(call.result)}
        if not trace.outputs or not all(id(value) in made for value in trace.outputs):
            return "its result was not computed of its inputs"
        held = [(ref(), value) for ref, _, value in trace._values.values() if value.array is not None]
        known = {id(tensor) for tensor in tensors.values()}
        self._watch.add([tensor for tensor, _ in held if tensor is not None and id(tensor) not in known])
        return lower(trace, self._prepared)
