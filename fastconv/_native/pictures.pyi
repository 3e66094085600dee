from typing import Any

from numpy import ndarray

MOST_TAPS: int

def window_into(
    capsule: Any,
    height: int,
    width: int,
    top: int,
    left: int,
    rows: int,
    columns: int,
    cubic: bool,
    flip: bool,
    down_first: bool,
    tables: ndarray,
    out: ndarray,
) -> None: ...
