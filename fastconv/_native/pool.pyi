from numpy import ndarray

def max_forward(
    x: ndarray,
    y: ndarray,
    indices: ndarray | None,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    dilation_h: int,
    dilation_w: int,
) -> None: ...
def max_backward(dy: ndarray, indices: ndarray, dx: ndarray) -> bool: ...
def average_forward(
    x: ndarray,
    y: ndarray,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    count_include_pad: bool,
    divisor_override: int,
) -> None: ...
def average_backward(
    dy: ndarray,
    dx: ndarray,
    kernel_h: int,
    kernel_w: int,
    stride_h: int,
    stride_w: int,
    pad_h: int,
    pad_w: int,
    count_include_pad: bool,
    divisor_override: int,
) -> None: ...
def adaptive_average_forward(x: ndarray, y: ndarray) -> None: ...
def adaptive_average_backward(dy: ndarray, dx: ndarray) -> None: ...
