from typing import Any, final

from .tape import Node, TensorBase
from .tape import anomaly as anomaly
from .tape import recording as recording

@final
class Walk: ...

def connected_leaf(x: Any) -> Any: ...
def pass_on(dy: Any) -> tuple[Any, ...]: ...
def refuse_nan(node: Node, gradients: tuple[Any, ...]) -> None: ...
def walk_back(root: TensorBase, gradient: Any, retain_graph: bool) -> bool: ...
def run_backward(
    roots: list[Any],
    gradients: list[Any],
    retain_graph: bool,
    create_graph: bool = False,
    inputs: list[Any] | None = None,
) -> list[Any] | None: ...
