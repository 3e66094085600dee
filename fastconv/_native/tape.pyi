from collections.abc import Callable
from contextvars import ContextVar
from typing import Any, final

from numpy import ndarray
from typing_extensions import disjoint_base

recording: ContextVar[bool]

@final
class Node:
    vjp: Callable | None
    parents: tuple
    def __new__(cls, operation: Callable, vjp: Callable, parents: tuple) -> Node: ...
    @property
    def order(self) -> int: ...
    @property
    def name(self) -> str: ...

@disjoint_base
class TensorBase:
    _array: ndarray
    _requires_grad: bool
    _grad: Any
    _node: Node | None
    def _accumulate(self, gradient: ndarray, own: bool) -> None: ...

def set_tensor_type(cls: type) -> None: ...
def wrap(array: ndarray) -> Any: ...
def apply(op: Callable, *inputs: Any, **options: Any) -> Any: ...
def run_backward(root: Node, dy: ndarray, retain_graph: bool) -> None: ...
def with_gradient(leaves: list) -> tuple[list, list[ndarray], list[ndarray]]: ...
