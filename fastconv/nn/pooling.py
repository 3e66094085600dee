"""The poolings as layers."""

from __future__ import annotations

from collections.abc import Sequence

from .._tensor import Tensor
from ..checks import integers
from . import functional as F
from .module import Module

__all__ = [
    "AdaptiveAvgPool1d",
    "AdaptiveAvgPool2d",
    "AdaptiveAvgPool3d",
    "AdaptiveMaxPool1d",
    "AdaptiveMaxPool2d",
    "AvgPool1d",
    "AvgPool2d",
    "AvgPool3d",
    "LPPool1d",
    "LPPool2d",
    "MaxPool1d",
    "MaxPool2d",
    "MaxPool3d",
    "MaxUnpool1d",
    "MaxUnpool2d",
]

Size = int | Sequence[int]


class _MaxPool(Module):
    """The largest element of every window; arguments as of :func:`functional.max_pool2d`."""

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        dilation: Size = 1,
        return_indices: bool = False,
        ceil_mode: bool = False,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride: Size = kernel_size if stride is None else stride
        self.padding = padding
        self.dilation = dilation
        self.return_indices = return_indices
        self.ceil_mode = ceil_mode

    def _pool(self, function, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        return function(
            *(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class MaxPool1d(_MaxPool):
    __doc__ = _MaxPool.__doc__

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, L) or (C, L) to (N, C, Q) or (C, Q), with the indices if asked for."""
        return self._pool(F.max_pool1d, input)


class MaxPool2d(_MaxPool):
    __doc__ = _MaxPool.__doc__

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, H, W) or (C, H, W) to (N, C, P, Q) or (C, P, Q), with the indices if asked for."""
        return self._pool(F.max_pool2d, input)


class MaxPool3d(_MaxPool):
    __doc__ = _MaxPool.__doc__

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, D, H, W) or (C, D, H, W) to (N, C, O, P, Q) or (C, O, P, Q), with the indices if asked for."""
        return self._pool(F.max_pool3d, input)


class AvgPool1d(Module):
    """The mean of every window; arguments as of :func:`functional.avg_pool1d`."""

    kernel_size: tuple[int, ...]
    padding: tuple[int, ...]
    stride: tuple[int, ...]

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
    ) -> None:
        super().__init__()
        # Tuples, as torch has them and shows them.
        self.kernel_size = _single(kernel_size)
        self.stride = self.kernel_size if stride is None else _single(stride)
        self.padding = _single(padding)
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) or (C, L) to (N, C, Q) or (C, Q)."""
        return F.avg_pool1d(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


def _single(value: Size) -> tuple[int, ...]:
    return tuple(value) if isinstance(value, Sequence) else (value,)


class AvgPool2d(Module):
    """The mean of every window; arguments as of :func:`functional.avg_pool2d`.

    Examples
    --------
    >>> nn.AvgPool2d(2)(fastconv.randn(1, 8, 6, 6)).shape
    torch.Size([1, 8, 3, 3])
    """

    def __init__(
        self,
        kernel_size: Size,
        stride: Size | None = None,
        padding: Size = 0,
        ceil_mode: bool = False,
        count_include_pad: bool = True,
        divisor_override: int | None = None,
    ) -> None:
        super().__init__()
        self.kernel_size = kernel_size
        self.stride: Size = kernel_size if stride is None else stride
        self.padding = padding
        self.ceil_mode = ceil_mode
        self.count_include_pad = count_include_pad
        self.divisor_override = divisor_override

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, C, P, Q) or (C, P, Q)."""
        return F.avg_pool2d(
            *(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad),
            self.divisor_override,
        )

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class AvgPool3d(AvgPool2d):
    """The mean of every window; arguments as of :func:`functional.avg_pool3d`."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) or (C, D, H, W) to (N, C, O, P, Q) or (C, O, P, Q)."""
        return F.avg_pool3d(
            *(input, self.kernel_size, self.stride, self.padding, self.ceil_mode, self.count_include_pad),
            self.divisor_override,
        )


class _AdaptiveAvgPool(Module):
    """The mean of as many windows as the output shall have elements; see :func:`functional.adaptive_avg_pool2d`."""

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveAvgPool1d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) or (C, L) to (N, C, Q) or (C, Q)."""
        return F.adaptive_avg_pool1d(input, self.output_size)


class AdaptiveAvgPool2d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, C, P, Q) or (C, P, Q)."""
        return F.adaptive_avg_pool2d(input, self.output_size)


class AdaptiveAvgPool3d(_AdaptiveAvgPool):
    __doc__ = _AdaptiveAvgPool.__doc__

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) or (C, D, H, W) to (N, C, O, P, Q) or (C, O, P, Q)."""
        return F.adaptive_avg_pool3d(input, self.output_size)


class _AdaptiveMaxPool(Module):
    """The largest of as many windows as the output shall have; see :func:`functional.adaptive_max_pool2d`."""

    def __init__(self, output_size: int | Sequence[int | None] | None, return_indices: bool = False) -> None:
        super().__init__()
        self.output_size = output_size
        self.return_indices = return_indices

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class AdaptiveMaxPool1d(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, L) or (C, L) to (N, C, Q) or (C, Q), with the indices if asked for."""
        return F.adaptive_max_pool1d(input, self.output_size, self.return_indices)


class AdaptiveMaxPool2d(_AdaptiveMaxPool):
    __doc__ = _AdaptiveMaxPool.__doc__

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, H, W) or (C, H, W) to (N, C, P, Q) or (C, P, Q), with the indices if asked for."""
        return F.adaptive_max_pool2d(input, self.output_size, self.return_indices)


class _MaxUnpool(Module):
    """Maxima put back among zeros, where their indices say; see :func:`functional.max_unpool2d`."""

    dims: int

    def __init__(self, kernel_size: Size, stride: Size | None = None, padding: Size = 0) -> None:
        super().__init__()
        self.kernel_size: tuple[int, ...] = integers(kernel_size, "kernel_size", 1, self.dims)
        self.stride: tuple[int, ...] = self.kernel_size if stride is None else integers(stride, "stride", 1, self.dims)
        self.padding: tuple[int, ...] = integers(padding, "padding", 0, self.dims)

    def extra_repr(self) -> str:
        return f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}"


class MaxUnpool1d(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__
    dims = 1

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, Q) or (C, Q) to (N, C, L) or (C, L)."""
        return F.max_unpool1d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class MaxUnpool2d(_MaxUnpool):
    __doc__ = _MaxUnpool.__doc__
    dims = 2

    def forward(self, input: Tensor, indices: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, P, Q) or (C, P, Q) to (N, C, H, W) or (C, H, W)."""
        return F.max_unpool2d(input, indices, self.kernel_size, self.stride, self.padding, output_size)


class _LPPool(Module):
    """The p-norm of every window; see :func:`functional.lp_pool2d`."""

    def __init__(
        self, norm_type: float, kernel_size: Size, stride: Size | None = None, ceil_mode: bool = False
    ) -> None:
        super().__init__()
        self.norm_type = norm_type
        self.kernel_size = kernel_size
        self.stride = stride
        self.ceil_mode = ceil_mode

    def extra_repr(self) -> str:
        return (
            f"norm_type={self.norm_type}, kernel_size={self.kernel_size}, stride={self.stride}, "
            f"ceil_mode={self.ceil_mode}"
        )


class LPPool1d(_LPPool):
    __doc__ = _LPPool.__doc__

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) or (C, L) to (N, C, Q) or (C, Q)."""
        return F.lp_pool1d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)


class LPPool2d(_LPPool):
    __doc__ = _LPPool.__doc__

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, C, P, Q) or (C, P, Q)."""
        return F.lp_pool2d(input, self.norm_type, self.kernel_size, self.stride, self.ceil_mode)
