"""The convolutions as layers."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor
from ..checks import integer, integers
from ..creation import empty
from . import functional as F
from .linear import init_weight_and_bias, weight_and_bias
from .module import Module
from .parameter import Parameter, parameter_dtype

__all__ = ["Conv1d", "Conv2d", "Conv3d", "ConvTranspose1d", "ConvTranspose2d", "ConvTranspose3d"]

Size = int | Sequence[int]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


class _Conv(Module):
    """What the convolutions share: their arguments, checked, and their parameters."""

    def __init__(
        self,
        dims: int,
        transposed: bool,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size,
        padding: Size | str,
        output_padding: Size,
        dilation: Size,
        groups: int,
        bias: bool,
        padding_mode: str,
        device: Any,
        dtype: Any,
    ) -> None:
        super().__init__()
        in_channels, out_channels = integer(in_channels, "in_channels"), integer(out_channels, "out_channels")
        groups = integer(groups, "groups", 1)
        if in_channels % groups:
            raise ValueError(f"in_channels must be divisible by groups, got {in_channels} and {groups}")
        if out_channels % groups:
            raise ValueError(f"out_channels must be divisible by groups, got {out_channels} and {groups}")
        if padding_mode not in _PADDING_MODES:
            raise ValueError(f"padding_mode must be one of {list(_PADDING_MODES)}, got {padding_mode!r}")
        stride = integers(stride, "stride", 1, dims)
        if isinstance(padding, str):
            if padding not in ("valid", "same"):
                raise ValueError(f"Invalid padding string {padding!r}, should be one of 'valid', 'same'")
            if padding == "same" and any(s != 1 for s in stride):
                raise ValueError(f"padding='same' is not supported for strided convolutions, got stride {stride}")
        self.in_channels = in_channels
        self.out_channels = out_channels
        self.kernel_size: tuple[int, ...] = integers(kernel_size, "kernel_size", 1, dims)
        self.stride = stride
        self.padding = padding if isinstance(padding, str) else integers(padding, "padding", 0, dims)
        self.dilation: tuple[int, ...] = integers(dilation, "dilation", 1, dims)
        self.output_padding: tuple[int, ...] = integers(output_padding, "output_padding", 0, dims)
        self.groups = groups
        self.padding_mode = padding_mode
        channels = (in_channels, out_channels // groups) if transposed else (out_channels, in_channels // groups)
        dtype = parameter_dtype(device, dtype)
        self.weight: Parameter = Parameter(empty(*channels, *self.kernel_size, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_channels, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform within 1 / sqrt(fan_in) of 0."""
        init_weight_and_bias(self.weight, self.bias)

    def extra_repr(self) -> str:
        parts = [f"{self.in_channels}, {self.out_channels}, kernel_size={self.kernel_size}, stride={self.stride}"]
        zeros = (0,) * len(self.kernel_size)
        if self.padding != zeros:
            parts.append(f"padding={self.padding}")
        if self.dilation != (1,) * len(self.kernel_size):
            parts.append(f"dilation={self.dilation}")
        if self.output_padding != zeros:
            parts.append(f"output_padding={self.output_padding}")
        if self.groups != 1:
            parts.append(f"groups={self.groups}")
        if self.bias is None:
            parts.append("bias=False")
        if self.padding_mode != "zeros":
            parts.append(f"padding_mode={self.padding_mode}")
        return ", ".join(parts)


class _Convolution(_Conv):
    """What the convolutions share that are not transposed."""

    def _pads(self) -> list[int]:
        """What F.pad() adds for the padding modes other than zeros: (left, right, top, bottom)."""
        pads = []
        for i in reversed(range(len(self.kernel_size))):
            if self.padding == "same":
                total = self.dilation[i] * (self.kernel_size[i] - 1)
                pads += [total // 2, total - total // 2]
            else:
                pads += [0, 0] if self.padding == "valid" else [self.padding[i]] * 2
        return pads

    def _conv_forward(self, input: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """forward() with another weight and bias: what torch's layer has, for layers that make their weight anew."""
        convolve, padding = (F.conv1d, F.conv2d, F.conv3d)[len(self.kernel_size) - 1], self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._pads(), mode=self.padding_mode), 0
        return convolve(input, weight, bias, self.stride, padding, self.dilation, self.groups)


class Conv1d(_Convolution):
    """1-D convolution of many channels, (N, C, L) or (C, L); see :class:`Conv2d` for the arguments.

    Examples
    --------
    >>> nn.Conv1d(8, 16, 5, padding="same")(fastconv.randn(4, 8, 100)).shape
    torch.Size([4, 16, 100])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            *(1, False, in_channels, out_channels, kernel_size, stride, padding, 0),
            *(dilation, groups, bias, padding_mode, device, dtype),
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) or (C, L) to (N, K, Q) or (K, Q)."""
        return self._conv_forward(input, self.weight, self.bias)


class Conv2d(_Convolution):
    """2-D convolution of many channels, a layer of the textbook's section 12.2.

    Parameters
    ----------
    in_channels, out_channels : int
        C and K.
    kernel_size, stride, dilation : int or (int, int)
    padding : int, (int, int), "same" or "valid"
    groups : int
        Channels are split into so many groups; divides C and K.
    bias : bool
        Whether a bias is learned.
    padding_mode : {"zeros", "reflect", "replicate", "circular"}
        What the padding is filled with.

    Attributes
    ----------
    weight : Parameter (K, C / groups, R, S)
    bias : Parameter (K,) or None
        Both drawn uniformly within ``1 / sqrt(C / groups * R * S)`` of 0.

    Raises
    ------
    ValueError
        If `groups` is not positive or does not divide the channels, `padding` or `padding_mode` is unknown, or
        `padding` is "same" with a stride.

    Notes
    -----
    Two things are called "same". Here ``padding="same"`` is a size, as in torch: so much padding that the output
    is as large as the input, d(k - 1) in all with the odd one right and below. The textbook's "same" padding
    (section 12.2) is a value: the border is filled with the nearest pixel of the image, which here is
    ``padding_mode="replicate"``. The two can be combined.

    Examples
    --------
    >>> layer = nn.Conv2d(3, 16, 3, stride=2, padding=1)
    >>> layer(fastconv.randn(8, 3, 32, 32)).shape
    torch.Size([8, 16, 16, 16])
    >>> layer.weight.shape, layer.bias.shape
    (torch.Size([16, 3, 3, 3]), torch.Size([16]))
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            *(2, False, in_channels, out_channels, kernel_size, stride, padding, 0),
            *(dilation, groups, bias, padding_mode, device, dtype),
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, K, P, Q) or (K, P, Q)."""
        if self.padding_mode == "zeros":
            return F.conv2d(input, *weight_and_bias(self), self.stride, self.padding, self.dilation, self.groups)
        return self._conv_forward(input, self.weight, self.bias)


class Conv3d(_Convolution):
    """3-D convolution of many channels, (N, C, D, H, W) or (C, D, H, W); see :class:`Conv2d` for the arguments."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size | str = 0,
        dilation: Size = 1,
        groups: int = 1,
        bias: bool = True,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__(
            *(3, False, in_channels, out_channels, kernel_size, stride, padding, 0),
            *(dilation, groups, bias, padding_mode, device, dtype),
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, D, H, W) or (C, D, H, W) to (N, K, O, P, Q) or (K, O, P, Q)."""
        return self._conv_forward(input, self.weight, self.bias)


class _ConvTranspose(_Conv):
    """What the transposed convolutions share: the padding that an output of a given size needs."""

    def _check(self, padding: Size | str, padding_mode: str) -> None:
        name = type(self).__name__
        if padding_mode != "zeros":
            raise ValueError(f"only 'zeros' padding mode is supported for {name}, got {padding_mode!r}")
        if isinstance(padding, str):
            raise ValueError(f"{name} takes padding in numbers, got {padding!r}")

    def _transpose(self, function, input: Tensor, output_size: Sequence[int] | None) -> Tensor:
        padding = self.output_padding if output_size is None else self._output_padding(input, output_size)
        return function(
            *(input, self.weight, self.bias, self.stride, self.padding, padding, self.groups, self.dilation)
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        sizes = tuple(output_size)
        dims = len(self.kernel_size)
        if len(sizes) == input.ndim:
            sizes = sizes[-dims:]
        if len(sizes) != dims:
            raise ValueError(f"output_size must have {dims} or {input.ndim} elements, got {list(output_size)}")
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-dims:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if any(not low <= n <= high for n, low, high in zip(sizes, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {list(sizes)}, but valid sizes range from {least} to {most} "
                f"for an input of size {list(input.shape)}"
            )
        return tuple(n - low for n, low in zip(sizes, least, strict=True))


class ConvTranspose1d(_ConvTranspose):
    """Transposed 1-D convolution, (N, C, L) or (C, L); see :class:`ConvTranspose2d` for the arguments."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._check(padding, padding_mode)
        super().__init__(
            *(1, True, in_channels, out_channels, kernel_size, stride, padding, output_padding),
            *(dilation, groups, bias, padding_mode, device, dtype),
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, L) or (C, L) to (N, K, Q) or (K, Q); `output_size` (Q,) sets the output padding."""
        return self._transpose(F.conv_transpose1d, input, output_size)


class ConvTranspose2d(_ConvTranspose):
    """Transposed 2-D convolution: the gradient of a :class:`Conv2d` with respect to its input, as a layer.

    Parameters
    ----------
    in_channels, out_channels : int
    kernel_size, stride, padding, dilation : int or (int, int)
        Those of the convolution that is transposed. Mind the order: dilation comes after bias.
    output_padding : int or (int, int)
        Added to the size of the output on one side.
    groups : int
    bias : bool
    padding_mode : {"zeros"}
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight : Parameter (in_channels, out_channels / groups, R, S)
    bias : Parameter (out_channels,) or None

    Examples
    --------
    >>> nn.ConvTranspose2d(16, 3, 2, stride=2)(fastconv.randn(1, 16, 8, 8)).shape
    torch.Size([1, 3, 16, 16])
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._check(padding, padding_mode)
        super().__init__(
            *(2, True, in_channels, out_channels, kernel_size, stride, padding, output_padding),
            *(dilation, groups, bias, padding_mode, device, dtype),
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, K, P, Q) or (K, P, Q); `output_size` (P, Q) sets the output padding."""
        return self._transpose(F.conv_transpose2d, input, output_size)


class ConvTranspose3d(_ConvTranspose):
    """Transposed 3-D convolution, (N, C, D, H, W) or (C, D, H, W); see :class:`ConvTranspose2d` for the arguments."""

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        kernel_size: Size,
        stride: Size = 1,
        padding: Size = 0,
        output_padding: Size = 0,
        groups: int = 1,
        bias: bool = True,
        dilation: Size = 1,
        padding_mode: str = "zeros",
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        self._check(padding, padding_mode)
        super().__init__(
            *(3, True, in_channels, out_channels, kernel_size, stride, padding, output_padding),
            *(dilation, groups, bias, padding_mode, device, dtype),
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, D, H, W) or (C, D, H, W) to (N, K, O, P, Q) or (K, O, P, Q); `output_size` (O, P, Q) as in 2-D."""
        return self._transpose(F.conv_transpose3d, input, output_size)
