"""Module: layers that hold parameters and other layers."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple

import numpy as np

from .._native.tape import wrap
from .._tensor import Tensor
from ..autograd import no_grad
from ..autograd.hooks import RemovableHandle, add_hook
from ..dtypes import DType, bfloat16, preserve_format
from . import hooks
from .parameter import Parameter, Uninitialized

__all__ = ["Module"]


class IncompatibleKeys(NamedTuple):
    """The names that a state_dict lacks, and those that the module has not."""

    missing_keys: list[str]
    unexpected_keys: list[str]

    def __repr__(self) -> str:
        if not self.missing_keys and not self.unexpected_keys:
            return "<All keys matched successfully>"
        return f"IncompatibleKeys(missing_keys={self.missing_keys!r}, unexpected_keys={self.unexpected_keys!r})"

    def __str__(self) -> str:
        return repr(self)


def _came_later(name: str, versions: Mapping[str, dict[Any, Any]]) -> bool:
    """Whether the file is too old for this name: batch norm counts its batches since torch 0.4.1, its version 2."""
    path, _, last = name.rpartition(".")
    return last == "num_batches_tracked" and (versions.get(path, {}).get("version") or 0) < 2


class Module:
    """The base of all layers and networks, as torch.nn.Module.

    A subclass calls ``super().__init__()`` first, assigns Parameters and Modules as attributes, which registers
    them, and defines ``forward``.

    Attributes
    ----------
    training : bool
        Whether layers such as dropout behave as in training; see :meth:`train` and :meth:`eval`.

    Examples
    --------
    >>> class Twice(nn.Module):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.layer = nn.Linear(2, 2)
    ...
    ...     def forward(self, x):
    ...         return self.layer(self.layer(x))
    >>> sum(p.numel() for p in Twice().parameters())
    6
    """

    training: bool
    _hooks: dict[str, dict[Any, Any]] | None = None  # by kind (of hooks.KINDS), once there are any

    def __init__(self) -> None:
        set_plain = super().__setattr__
        set_plain("training", True)
        set_plain("_parameters", {})
        set_plain("_buffers", {})
        set_plain("_transient_buffers", set())  # names of those that are not part of state_dict()
        set_plain("_modules", {})

    def forward(self, *args: Any, **kwargs: Any) -> Any:
        """What the module computes; subclasses define it."""
        raise NotImplementedError(f"{type(self).__name__} does not define forward()")

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        if self._hooks is None:
            return self.forward(*args, **kwargs)
        return hooks.call(self, self._hooks, args, kwargs)

    # Hooks

    def _add_hook(self, kind: str, hook: Callable[..., Any], first: bool, with_kwargs: bool = False) -> RemovableHandle:
        if not callable(hook):
            raise TypeError(f"a hook has to be callable, got {hook!r}")
        if self._hooks is None:
            self.__dict__["_hooks"] = {kind: {} for kind in hooks.KINDS}
        return add_hook(self._hooks[kind], (hook, with_kwargs), first)

    def register_forward_pre_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Have ``hook(module, args)`` called before forward; what it returns replaces the arguments.

        Parameters
        ----------
        hook : callable
        prepend : bool
            Call it before the hooks that there are.
        with_kwargs : bool
            Call ``hook(module, args, kwargs)``, which returns None or ``(args, kwargs)``.

        Returns
        -------
        RemovableHandle
            Its ``remove()`` takes the hook away.
        """
        return self._add_hook("forward_pre", hook, prepend, with_kwargs)

    def register_forward_hook(
        self, hook: Callable[..., Any], *, prepend: bool = False, with_kwargs: bool = False
    ) -> RemovableHandle:
        """Have ``hook(module, args, output)`` called after forward; what it returns replaces the output.

        With `with_kwargs` it is ``hook(module, args, kwargs, output)``. See :meth:`register_forward_pre_hook`.
        """
        return self._add_hook("forward", hook, prepend, with_kwargs)

    def register_full_backward_pre_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Have ``hook(module, grad_output)`` called with the gradients of the output; what it returns replaces them.

        See :meth:`register_full_backward_hook`.
        """
        return self._add_hook("backward_pre", hook, prepend)

    def register_full_backward_hook(self, hook: Callable[..., Any], prepend: bool = False) -> RemovableHandle:
        """Have ``hook(module, grad_input, grad_output)`` called when the gradients of the inputs have been computed.

        Both are tuples, of the gradients of the positional arguments and of the outputs, None for what is no tensor or
        needs none. What the hook returns, if not None, replaces `grad_input`.

        Returns
        -------
        RemovableHandle
            Its ``remove()`` takes the hook away.
        """
        return self._add_hook("backward", hook, prepend)

    def register_backward_hook(self, hook: Callable[..., Any]) -> RemovableHandle:
        """:meth:`register_full_backward_hook` under the name it had; gradients are always those of the arguments."""
        return self.register_full_backward_hook(hook)

    # Attributes

    def __getattr__(self, name: str) -> Any:
        own = self.__dict__
        if "_modules" in own:
            if name in (members := own["_modules"]) or name in (members := own["_parameters"]):
                return members[name]
            if name in (members := own["_buffers"]):
                return members[name]
        raise AttributeError(f"{type(self).__name__!r} object has no attribute {name!r}")

    def __setattr__(self, name: str, value: Any) -> None:
        if isinstance(value, Parameter):
            self._release(name, "_parameters")
            self.register_parameter(name, value)
        elif isinstance(value, Module):
            self._release(name, "_modules")
            self.register_module(name, value)
        else:
            for kind, expected in (("_parameters", Parameter), ("_modules", Module), ("_buffers", Tensor)):
                members = self.__dict__.get(kind, {})
                if name in members:
                    if value is not None and not isinstance(value, expected):
                        raise TypeError(
                            f"cannot assign {type(value).__name__} as {name!r}; expected a {expected.__name__} or None"
                        )
                    members[name] = value
                    return
            super().__setattr__(name, value)

    def _release(self, name: str, kind: str) -> None:
        """Drop what has this name, unless it is of this kind, in whose place the new one comes."""
        for other in {"_parameters", "_buffers", "_modules"} - {kind}:
            self.__dict__.get(other, {}).pop(name, None)
        self.__dict__.pop(name, None)

    def __delattr__(self, name: str) -> None:
        for kind in ("_parameters", "_buffers", "_modules"):
            if name in self.__dict__[kind]:
                del self.__dict__[kind][name]
                self._transient_buffers.discard(name)
                return
        super().__delattr__(name)

    def __dir__(self) -> list[str]:
        return sorted({*super().__dir__(), *self._parameters, *self._buffers, *self._modules})

    def _register(self, kind: str, name: str, value, expected: type[Any]) -> None:
        if kind not in self.__dict__:
            raise AttributeError(f"super().__init__() of {type(self).__name__} must come before {name!r} is assigned")
        if not isinstance(name, str) or not name or "." in name:
            raise KeyError(f"a name is a string that is not empty and has no dot, got {name!r}")
        if hasattr(self, name) and name not in self.__dict__[kind]:
            raise KeyError(f"attribute {name!r} already exists")
        if value is not None and not isinstance(value, expected):
            raise TypeError(f"expected a {expected.__name__} or None as {name!r}, got {type(value).__name__}")
        self.__dict__[kind][name] = value

    def register_parameter(self, name: str, param: Parameter | None) -> None:
        """Add a parameter, or None as a place for one."""
        if isinstance(param, Parameter) and not param.is_leaf:
            raise ValueError(f"parameter {name!r} must be a leaf tensor, not the result of an operation")
        self._register("_parameters", name, param, Parameter)

    def register_buffer(self, name: str, tensor: Tensor | None, persistent: bool = True) -> None:
        """Add a tensor that is not learned; a persistent one is part of the state_dict."""
        self._register("_buffers", name, tensor, Tensor)
        (self._transient_buffers.discard if persistent else self._transient_buffers.add)(name)

    def register_module(self, name: str, module: Module | None) -> None:
        """Add a child module."""
        self._register("_modules", name, module, Module)

    add_module = register_module

    # What it holds

    def named_modules(
        self, memo: set[Any] | None = None, prefix: str = "", remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Module]]:
        """This module and all modules below, each once or by each of their dotted names."""
        memo = set() if memo is None else memo
        if self not in memo:
            if remove_duplicate:
                memo.add(self)
            yield prefix, self
            for name, module in self._modules.items():
                if module is not None:
                    yield from module.named_modules(memo, f"{prefix}.{name}" if prefix else name, remove_duplicate)

    def modules(self) -> Iterator[Module]:
        """This module and all modules below, each once."""
        return (module for _, module in self.named_modules())

    def named_children(self) -> Iterator[tuple[str, Module]]:
        """The modules directly below, each once, with their names."""
        seen = set()
        for name, module in self._modules.items():
            if module is not None and module not in seen:
                seen.add(module)
                yield name, module

    def children(self) -> Iterator[Module]:
        """The modules directly below, each once."""
        return (module for _, module in self.named_children())

    def _named_members(self, kind: str, prefix: str, recurse: bool, remove_duplicate: bool):
        seen = set()
        modules = self.named_modules(prefix=prefix, remove_duplicate=remove_duplicate) if recurse else [(prefix, self)]
        for module_name, module in modules:
            for name, member in module.__dict__[kind].items():
                if member is not None and member not in seen:
                    if remove_duplicate:
                        seen.add(member)
                    yield f"{module_name}.{name}" if module_name else name, member

    def named_parameters(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Parameter]]:
        """The parameters, each once or by each of their dotted names; `recurse` includes those of the modules below."""
        return self._named_members("_parameters", prefix, recurse, remove_duplicate)

    def parameters(self, recurse: bool = True) -> Iterator[Parameter]:
        """The parameters, each once; `recurse` includes those of the modules below."""
        return (parameter for _, parameter in self.named_parameters(recurse=recurse))

    def named_buffers(
        self, prefix: str = "", recurse: bool = True, remove_duplicate: bool = True
    ) -> Iterator[tuple[str, Tensor]]:
        """The buffers, each once or by each of their dotted names; `recurse` includes those of the modules below."""
        return self._named_members("_buffers", prefix, recurse, remove_duplicate)

    def buffers(self, recurse: bool = True) -> Iterator[Tensor]:
        """The buffers, each once; `recurse` includes those of the modules below."""
        return (buffer for _, buffer in self.named_buffers(recurse=recurse))

    def get_submodule(self, target: str) -> Module:
        """The module of this dotted name; "" is the module itself."""
        module = self
        for name in target.split(".") if target else ():
            if name not in module._modules:
                raise AttributeError(f"{type(module).__name__} has no submodule {name!r}, looking for {target!r}")
            module = module._modules[name]
        return module

    def get_parameter(self, target: str) -> Tensor:
        """The parameter of this dotted name."""
        return self._member("_parameters", "parameter", target)

    def get_buffer(self, target: str) -> Tensor:
        """The buffer of this dotted name."""
        return self._member("_buffers", "buffer", target)

    def _member(self, kind: str, word: str, target: str) -> Tensor:
        path, _, name = target.rpartition(".")
        module = self.get_submodule(path)
        members = getattr(module, kind)
        if name not in members:
            raise AttributeError(f"{type(module).__name__} has no {word} {name!r}, looking for {target!r}")
        return members[name]

    # Modes

    def train(self, mode: bool = True) -> Module:
        """Set training mode here and below; returns self."""
        if not isinstance(mode, bool):
            raise ValueError(f"training mode is expected to be boolean, got {mode!r}")
        for module in self.modules():
            module.training = mode
        return self

    def eval(self) -> Module:
        """Set evaluation mode here and below; returns self."""
        return self.train(False)

    def requires_grad_(self, requires_grad: bool = True) -> Module:
        """Set ``requires_grad`` of all parameters; returns self."""
        for parameter in self.parameters():
            parameter.requires_grad_(requires_grad)
        return self

    def zero_grad(self, set_to_none: bool = True) -> None:
        """Drop the gradients of all parameters, or fill them with zeros."""
        for parameter in self.parameters():
            if parameter.grad is not None:
                if set_to_none:
                    parameter.grad = None
                else:
                    parameter.grad.zero_()

    def apply(self, fn: Callable[[Module], object]) -> Module:
        """Call `fn` with every module below and then with this one; returns self."""
        for module in self.children():
            module.apply(fn)
        fn(self)
        return self

    # Dtypes

    def to(self, *target: Any, **kwargs: Any) -> Module:
        """Convert floating parameters and buffers, in place, as :meth:`Tensor.to` would; returns self.

        A `memory_format` holds for those of four dimensions.

        Raises
        ------
        TypeError
            For a dtype that is no floating one.
        AssertionError, RuntimeError
            For any device but the CPU, as torch does on a machine without a GPU.
        """
        for dtype in (*target, kwargs.get("dtype")):
            if isinstance(dtype, (np.dtype, DType)) and dtype.kind != "f":
                raise TypeError(
                    f"nn.Module.to only accepts floating point or complex dtypes, but got desired dtype={dtype}"
                )
        memory_format = kwargs.pop("memory_format", preserve_format)

        def converted(tensor: Tensor) -> Tensor:
            tensor = tensor.to(*target, **kwargs)
            return tensor.contiguous(memory_format) if tensor.ndim == 4 else tensor

        return self._convert(converted)

    def _convert(self, function: Callable[[Tensor], Tensor], every: bool = False) -> Module:
        """Replace floating (or all) parameters, with their gradients, and buffers by what `function` makes of them."""
        for tensors in (self.parameters(), self.buffers()):
            for tensor in tensors:
                if every or tensor.is_floating_point():
                    tensor.data = function(tensor.detach())
                    if tensor.grad is not None:
                        tensor.grad = function(tensor.grad)
        return self

    def bfloat16(self) -> Module:
        """Convert floating parameters and buffers to bfloat16, in place; returns self."""
        return self.to(bfloat16)

    def half(self) -> Module:
        """Convert floating parameters and buffers to float16, in place; returns self."""
        return self.to(np.dtype("float16"))

    def float(self) -> Module:
        """Convert floating parameters and buffers to float32, in place; returns self."""
        return self.to(np.dtype("float32"))

    def double(self) -> Module:
        """Convert floating parameters and buffers to float64, in place; returns self."""
        return self.to(np.dtype("float64"))

    def type(self, dst_type: DType | np.dtype | str) -> Module:
        """Convert all parameters and buffers, as :meth:`Tensor.type` does, in place; returns self."""
        return self._convert(lambda tensor: tensor.type(dst_type), every=True)

    def cpu(self) -> Module:
        """Itself: every module is on the CPU."""
        return self

    def cuda(self, device: Any = None) -> Module:
        """Raise torch's AssertionError, unless there is nothing to move: there is no GPU."""
        return self._convert(lambda tensor: tensor.cuda(device))

    def share_memory(self) -> Module:
        """Move parameters and buffers, in place, into memory that processes share; returns self."""
        for tensor in (*self.parameters(), *self.buffers()):
            tensor.share_memory_()
        return self

    # State

    def _state(self, prefix: str = "") -> Iterator[tuple[str, Tensor]]:
        """Parameters and persistent buffers, under every name that they have."""
        for name, parameter in self._parameters.items():
            if parameter is not None:
                yield prefix + name, parameter
        for name, buffer in self._buffers.items():
            if buffer is not None and name not in self._transient_buffers:
                yield prefix + name, buffer
        for name, module in self._modules.items():
            if module is not None:
                yield from module._state(f"{prefix}{name}.")

    def state_dict(self) -> dict[str, Tensor]:
        """Parameters and persistent buffers by dotted name; the tensors share the module's memory."""
        return {name: tensor.detach() for name, tensor in self._state()}

    def load_state_dict(
        self, state_dict: Mapping[str, Tensor | np.ndarray], strict: bool = True, assign: bool = False
    ) -> IncompatibleKeys:
        """Copy parameters and buffers from a :meth:`state_dict`.

        Parameters
        ----------
        state_dict : mapping of str to Tensor, or to what NumPy takes for an array by `__array__`
            Values are cast to the dtypes that the module has.
        strict : bool
            Whether the names have to be the module's exactly.
        assign : bool
            Take over the tensors themselves, with their dtypes and their memory, in place of the module's.

        Returns
        -------
        named tuple ``(missing_keys, unexpected_keys)``

        Raises
        ------
        TypeError
            If `state_dict` is no mapping.
        RuntimeError
            With all that is wrong: with `strict` names that are missing or unexpected, and in any case values that are
            no tensors, and sizes that differ. Nothing has been changed then.
        """
        if not isinstance(state_dict, Mapping):
            raise TypeError(f"Expected state_dict to be dict-like, got {type(state_dict)}.")
        own = dict(self._state())
        versions = getattr(state_dict, "_metadata", {})
        missing = [name for name in own if name not in state_dict and not _came_later(name, versions)]
        unexpected = [name for name in state_dict if name not in own]
        errors = []
        for problem, names in (("Missing", missing), ("Unexpected", unexpected)):
            if strict and names:
                errors.append(f"{problem} key(s) in state_dict: " + ", ".join(f'"{name}"' for name in names) + ". ")
        values: dict[str, Tensor] = {}
        for name in own:
            if name in state_dict:
                value = state_dict[name]
                if not hasattr(value, "__array__"):
                    errors.append(
                        f'While copying the parameter named "{name}", expected torch.Tensor or Tensor-like object from '
                        f"checkpoint but received {type(value)}"
                    )
                    continue
                values[name] = value if isinstance(value, Tensor) else wrap(np.asarray(value))
                if isinstance(own[name], Uninitialized) and not isinstance(value, Uninitialized):
                    own[name].materialize(value.shape)
                if values[name].shape != own[name].shape:
                    errors.append(
                        f"size mismatch for {name}: copying a param with shape {list(values[name].shape)} from "
                        f"checkpoint, the shape in current model is {list(own[name].shape)}."
                    )
        if errors:
            raise RuntimeError(
                "Error(s) in loading state_dict for {}:\n\t{}".format(type(self).__name__, "\n\t".join(errors))
            )
        for name, value in values.items():
            if assign:
                self._assign(name, value)
            else:
                with no_grad():
                    own[name].copy_(value)
        return IncompatibleKeys(missing, unexpected)

    def _assign(self, name: str, value: Tensor) -> None:
        """Put a tensor in the place of the parameter or buffer of this dotted name."""
        path, _, last = name.rpartition(".")
        module = self.get_submodule(path)
        if last in module._parameters:
            requires_grad = module._parameters[last].requires_grad
            if not isinstance(value, Parameter):
                value = Parameter(value, requires_grad)
            value.requires_grad_(requires_grad)
        setattr(module, last, value)

    # Text

    def extra_repr(self) -> str:
        """What the repr shows of this module itself."""
        return ""

    def _shown_children(self) -> list[tuple[str, str]]:
        """Names and descriptions of the children, for the module's own."""
        return [(key, repr(module)) for key, module in self._modules.items()]

    def __repr__(self) -> str:
        name, extra = type(self).__name__, self.extra_repr()
        if not self._modules:
            return f"{name}({extra})"
        lines = extra.split("\n") if extra else []
        lines += [f"({key}): {text}".replace("\n", "\n  ") for key, text in self._shown_children()]
        return "\n  ".join([f"{name}(", *lines]) + "\n)"
