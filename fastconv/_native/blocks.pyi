from typing import Any, final

from typing_extensions import disjoint_base

@final
class Images:
    c: int
    itemsize: int
    size: int
    narrow: bool
    offset: int
    def __init__(
        self,
        shape: tuple[int, ...],
        halo: tuple[int, ...] = (0, 0, 0, 0),
        narrow: bool = False,
        itemsize: int = 4,
    ) -> None: ...
    @property
    def blocks(self) -> int: ...
    def part(self, first: int, channels: int) -> Images: ...

@disjoint_base
class Step: ...

@disjoint_base
class Layer(Step):
    def __init__(self, x: Images, y: Images, added: Images | None, after: tuple[Any, ...]) -> None: ...

@final
class Addition(Layer): ...

@final
class Scaling(Step):
    def __init__(self, x: Images, y: Images, factors: Images) -> None: ...

@final
class Pooling(Layer):
    def __init__(
        self,
        x: Images,
        y: Images,
        after: tuple[Any, ...],
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        pad: tuple[int, ...],
        dilation: tuple[int, ...],
        mean: bool,
        counts_padding: bool,
        divisor: float,
    ) -> None: ...

@final
class Entry(Step):
    def __init__(self, number: int, y: Images) -> None: ...

@final
class Exit(Step):
    def __init__(self, x: Images, number: int) -> None: ...

def all_meet(size: int, windows: int, taps: int, stride: int, pad: int, dilation: int) -> bool: ...
def lanes(itemsize: int) -> int: ...

@final
class Run: ...

def run_steps(steps: list[Any], size: int, arrays: list[Any]) -> None: ...
