from numpy import ndarray

def forward(
    x: ndarray,
    w: ndarray,
    b: ndarray | None,
    y: ndarray,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
) -> None: ...
def input_gradient(
    dy: ndarray,
    w: ndarray,
    dx: ndarray,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
) -> None: ...
def weight_gradient(
    x: ndarray,
    dy: ndarray,
    dw: ndarray,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
    groups: int,
) -> None: ...
def get_forced() -> int: ...
def set_forced(form: int) -> None: ...
def get_winograd() -> bool: ...
def set_winograd(allowed: bool) -> None: ...
def weigh_sizes(
    which: int,
    x: tuple[int, ...],
    w: tuple[int, ...],
    y: tuple[int, ...],
    parameters: tuple[int, ...],
    itemsize: int,
    last: bool,
    force: int,
) -> tuple[
    int,
    list[float | None],
    tuple[int, int, int, int] | None,
    list[int],
    dict[int, tuple[int, list[float]]],
]: ...
