from numpy import ndarray

def activate(kind: int, x: ndarray, y: ndarray, a: float = 0.0, b: float = 0.0, c: float = 0.0) -> None: ...
def activate_backward(
    kind: int, dy: ndarray, x: ndarray, dx: ndarray, a: float = 0.0, b: float = 0.0, c: float = 0.0
) -> None: ...
def prelu(x: ndarray, slope: ndarray, y: ndarray) -> None: ...
def prelu_backward(dy: ndarray, x: ndarray, slope: ndarray, dx: ndarray, total: ndarray) -> None: ...
def tasks_of(count: int, n: int) -> int: ...
def normalise(
    x: ndarray,
    run: int,
    period: int,
    w: ndarray | None,
    b: ndarray | None,
    eps: float,
    y: ndarray,
    mean: ndarray,
    inverse: ndarray,
) -> None: ...
def normalise_backward(
    dy: ndarray,
    x: ndarray,
    run: int,
    period: int,
    w: ndarray | None,
    mean: ndarray,
    inverse: ndarray,
    dx: ndarray | None,
    sums: ndarray,
) -> None: ...
def resample(
    x: ndarray, rows: tuple[ndarray, ndarray] | None, cols: tuple[ndarray, ndarray] | None, y: ndarray
) -> None: ...
