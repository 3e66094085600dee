from typing import Any, final

import numpy as np

from .blocks import Images, Layer

PANEL: int

def blocks_in_sum(n_blocks: int, tap: int) -> int: ...

@final
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

@final
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

@final
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
        before: Convolution | None = None,
    ) -> None: ...

def transform(w: np.ndarray, small: bool) -> np.ndarray: ...
