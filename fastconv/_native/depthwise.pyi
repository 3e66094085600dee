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
