"""Modules that hold modules in order."""

from __future__ import annotations

import itertools
from collections.abc import Iterable, Iterator, Mapping
from operator import index as as_index
from typing import Any

from .._tensor import Tensor
from .fused import NORMS, fusible, rectified
from .module import Module
from .parameter import Parameter

__all__ = ["ModuleDict", "ModuleList", "ParameterDict", "ParameterList", "Sequential"]


class _Ordered(Module):
    """Modules named "0", "1", ... (or, from a mapping, by their keys)."""

    def _position(self, position: int) -> str:
        """The name of the module at this position, which may be negative."""
        names = list(self._modules)
        position = as_index(position)
        if not -len(names) <= position < len(names):
            raise IndexError(f"index {position} is out of range for {len(names)} modules")
        return names[position]

    def _refill(self, modules: Iterable[Module]) -> None:
        self._modules.clear()
        for i, module in enumerate(modules):
            self.register_module(str(i), module)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return self._slice(list(self._modules.items())[index])
        return self._modules[self._position(index)]

    def __setitem__(self, index: int, module: Module) -> None:
        setattr(self, self._position(index), module)

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[Module]:
        return iter(self._modules.values())

    def append(self, module: Module) -> Any:
        """Add a module at the end; returns self."""
        self.register_module(str(len(self)), module)
        return self

    def extend(self, modules: Iterable[Module]) -> Any:
        """Add modules at the end; returns self."""
        for module in list(modules):
            self.append(module)
        return self

    def __iadd__(self, modules: Iterable[Module]) -> Any:
        return self.extend(modules)

    def insert(self, index: int, module: Module) -> Any:
        """Put a module in before position `index`; returns self."""
        modules = list(self)
        modules.insert(index, module)
        self._refill(modules)
        return self

    def __delitem__(self, index: int | slice) -> None:
        modules = list(self)
        del modules[index]
        self._refill(modules)


class Sequential(_Ordered):
    """Modules called one after the other, each on the result of the one before.

    Parameters
    ----------
    *modules : Module
        Or a single mapping of names to modules.

    Examples
    --------
    >>> net = nn.Sequential(nn.Conv2d(1, 4, 3), nn.ReLU(), nn.Flatten(), nn.Linear(144, 10))
    >>> net(fastconv.randn(2, 1, 8, 8)).shape
    torch.Size([2, 10])
    >>> net[0]
    Conv2d(1, 4, kernel_size=(3, 3), stride=(1, 1))
    """

    def __init__(self, *modules: Module | Mapping[str, Module]) -> None:
        super().__init__()
        if len(modules) == 1 and isinstance(modules[0], Mapping):
            for name, module in modules[0].items():
                self.register_module(name, module)
        else:
            self._refill(modules)

    def _slice(self, items) -> Sequential:
        return Sequential(dict(items))

    def forward(self, input: Tensor) -> Tensor:
        """The result of the last module. Batch norm and ReLU or ReLU6 behind it are one operation, of the same bits."""
        norm = None
        for module in self:
            if norm is not None and fusible(norm, module):
                input, norm = rectified(norm, module, input), None
                continue
            if norm is not None:
                input, norm = norm(input), None
            if type(module) in NORMS:
                norm = module
            else:
                input = module(input)
        return input if norm is None else norm(input)


class ModuleList(_Ordered):
    """A list of modules, registered as children; it has no forward of its own.

    Parameters
    ----------
    modules : iterable of Module, optional
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._refill(() if modules is None else modules)

    def _shown_children(self) -> list[tuple[str, str]]:
        """Those that follow each other and look alike are shown once, with their number."""
        shown = []
        for text, run in itertools.groupby(super()._shown_children(), lambda child: child[1]):
            keys = [key for key, _ in run]
            alike = len(keys) > 1
            shown.append((f"{keys[0]}-{keys[-1]}", f"{len(keys)} x {text}") if alike else (keys[0], text))
        return shown

    def _slice(self, items) -> ModuleList:
        return ModuleList(module for _, module in items)


class ModuleDict(Module):
    """A mapping of names to modules, registered as children; it has no forward of its own.

    Parameters
    ----------
    modules : mapping of str to Module, or iterable of pairs, optional
    """

    def __init__(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]] | None = None) -> None:
        super().__init__()
        if modules is not None:
            self.update(modules)

    def __getitem__(self, key: str) -> Module:
        return self._modules[key]

    def __setitem__(self, key: str, module: Module) -> None:
        self.register_module(key, module)

    def __delitem__(self, key: str) -> None:
        del self._modules[key]

    def __len__(self) -> int:
        return len(self._modules)

    def __iter__(self) -> Iterator[str]:
        return iter(self._modules)

    def __contains__(self, key: str) -> bool:
        return key in self._modules

    def clear(self) -> None:
        """Remove all modules."""
        self._modules.clear()

    def pop(self, key: str) -> Module:
        """Remove a module; returns it."""
        return self._modules.pop(key)

    def keys(self) -> Any:
        """The names."""
        return self._modules.keys()

    def items(self) -> Any:
        """Pairs of names and modules."""
        return self._modules.items()

    def values(self) -> Any:
        """The modules."""
        return self._modules.values()

    def update(self, modules: Mapping[str, Module] | Iterable[tuple[str, Module]]) -> None:
        """Add modules, or put them in the place of those that have their names."""
        for name, module in modules.items() if hasattr(modules, "items") else modules:
            self[name] = module


class _Members(Module):
    """What the containers of parameters share: what is no parameter is kept as an attribute."""

    def _line(self, key: object, value: object) -> str:
        if not isinstance(value, Tensor):
            return f"({key}): Object of type: {type(value).__name__}"
        kind = "Parameter" if isinstance(value, Parameter) else "Tensor"
        size = "x".join(map(str, value.shape))
        return f"({key}): {kind} containing: [torch.{self._names(value.dtype)} of size {size}]"

    def __repr__(self) -> str:
        lines = [self._line(*item) for item in self._pairs()]
        return f"{type(self).__name__}(" + ("\n    " + "\n    ".join(lines) + "\n" if lines else "") + ")"


class ParameterList(_Members):
    """A list of parameters; tensors become parameters, other values are kept as they are.

    Parameters
    ----------
    values : iterable, optional
    """

    def __init__(self, values: Iterable[Any] | None = None) -> None:
        super().__init__()
        self._size = 0
        if values is not None:
            self.extend(values)

    def _pairs(self):
        return enumerate(self)

    def _names(self, dtype) -> str:
        return dtype.name

    def __len__(self) -> int:
        return self._size

    def __iter__(self) -> Iterator[Any]:
        return (getattr(self, str(i)) for i in range(self._size))

    def _position(self, index: int) -> str:
        index = as_index(index)
        if not -self._size <= index < self._size:
            raise IndexError(f"index {index} is out of range")
        return str(index % self._size)

    def __getitem__(self, index: int | slice) -> Any:
        if isinstance(index, slice):
            return ParameterList([getattr(self, str(i)) for i in range(self._size)[index]])
        return getattr(self, self._position(index))

    def __setitem__(self, index: int, value: Any) -> None:
        setattr(self, self._position(index), _as_parameter(value))

    def append(self, value: Any) -> Any:
        """Add a value at the end; returns self."""
        self._size += 1
        self[self._size - 1] = value
        return self

    def extend(self, values: Iterable[Any]) -> Any:
        """Add values at the end; returns self."""
        if isinstance(values, Tensor) or not isinstance(values, Iterable):
            raise TypeError(f"ParameterList.extend should be called with an iterable, but got {type(values).__name__}")
        for value in list(values):
            self.append(value)
        return self

    __iadd__ = extend


class ParameterDict(_Members):
    """A mapping of names to parameters; tensors become parameters, other values are kept as they are.

    Parameters
    ----------
    parameters : mapping or iterable of pairs, optional
    """

    def __init__(self, parameters: Mapping[str, Any] | Iterable[tuple[str, object]] | None = None) -> None:
        super().__init__()
        self._keys: dict[str, None] = {}
        if parameters is not None:
            self.update(parameters)

    def _pairs(self):
        return self.items()

    def _names(self, dtype) -> str:
        return {"float16": "HalfTensor", "float32": "FloatTensor", "float64": "DoubleTensor"}.get(
            dtype.name, dtype.name
        )

    def __getitem__(self, key: str) -> Any:
        if key not in self._keys:
            raise KeyError(key)
        return getattr(self, key)

    def __setitem__(self, key: str, value: Any) -> None:
        if not isinstance(key, str):
            raise TypeError(f"a name is a string, got {key!r} of type {type(key).__name__}")
        self._keys[key] = None
        setattr(self, key, _as_parameter(value))

    def __delitem__(self, key: str) -> None:
        del self._keys[key]
        delattr(self, key)

    def __len__(self) -> int:
        return len(self._keys)

    def __iter__(self) -> Iterator[str]:
        return iter(self._keys)

    def __contains__(self, key: str) -> bool:
        return key in self._keys

    def get(self, key: str, default: Any = None) -> Any:
        """The value of this name, or `default`."""
        return getattr(self, key) if key in self else default

    def pop(self, key: str) -> Any:
        """Remove a value; returns it."""
        value = self[key]
        del self[key]
        return value

    def clear(self) -> None:
        """Remove all values."""
        for key in list(self._keys):
            del self[key]

    def keys(self) -> Any:
        """The names."""
        return self._keys.keys()

    def values(self) -> Any:
        """The values."""
        return [self[key] for key in self._keys]

    def items(self) -> Any:
        """Pairs of names and values."""
        return [(key, self[key]) for key in self._keys]

    def update(self, parameters: Mapping[str, Any] | Iterable[tuple[str, object]]) -> None:
        """Add values, or put them in the place of those that have their names."""
        for name, value in parameters.items() if hasattr(parameters, "items") else parameters:
            self[name] = value


def _as_parameter(value):
    """A tensor as a parameter; anything else as it is."""
    return Parameter(value) if isinstance(value, Tensor) and not isinstance(value, Parameter) else value
