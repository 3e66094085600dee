"""Modules that hold modules in order."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from operator import index as as_index
from typing import Any

from .._tensor import Tensor
from .module import Module

__all__ = ["ModuleList", "Sequential"]


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
        """The result of the last module."""
        for module in self:
            input = module(input)
        return input


class ModuleList(_Ordered):
    """A list of modules, registered as children; it has no forward of its own.

    Parameters
    ----------
    modules : iterable of Module, optional
    """

    def __init__(self, modules: Iterable[Module] | None = None) -> None:
        super().__init__()
        self._refill(() if modules is None else modules)

    def _slice(self, items) -> ModuleList:
        return ModuleList(module for _, module in items)
