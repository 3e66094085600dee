from typing import Any

import numpy as np

PANEL: int

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

class Step: ...

class Layer(Step):
    def __init__(self, x: Images, y: Images, added: Images | None, after: tuple[Any, ...]) -> None: ...

class Convolution(Layer):
    def __init__(
        self,
        x: Images,
        y: Images,
        added: Images | None,
        after: tuple[Any, ...],
        w: np.ndarray,
        b: np.ndarray,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        pad: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> None: ...

class Winograd(Layer):
    def __init__(
        self,
        x: Images,
        y: Images,
        added: Images | None,
        after: tuple[Any, ...],
        u: np.ndarray,
        b: np.ndarray,
        taps: int,
        pad: tuple[int, ...],
        small: bool,
    ) -> None: ...

class Depthwise(Layer):
    def __init__(
        self,
        x: Images,
        y: Images,
        added: Images | None,
        after: tuple[Any, ...],
        w: np.ndarray,
        b: np.ndarray,
        kernel: tuple[int, ...],
        stride: tuple[int, ...],
        pad: tuple[int, ...],
        dilation: tuple[int, ...],
    ) -> None: ...

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

class Addition(Layer): ...

class Scaling(Step):
    def __init__(self, x: Images, y: Images, factors: Images) -> None: ...

class Entry(Step):
    def __init__(self, number: int, y: Images) -> None: ...

class Exit(Step):
    def __init__(self, x: Images, number: int) -> None: ...

def lanes(itemsize: int) -> int: ...
def transform(w: np.ndarray, small: bool) -> np.ndarray: ...
def run_steps(steps: list[Any], size: int, arrays: list[Any]) -> None: ...
