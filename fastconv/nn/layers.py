"""The layers: each holds its parameters and calls the function of its name."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor
from ..checks import integer, integers, number
from ..creation import empty, ones, tensor, zeros
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter

__all__ = [
    "AdaptiveAvgPool2d",
    "AvgPool2d",
    "BatchNorm2d",
    "Conv1d",
    "Conv2d",
    "ConvTranspose2d",
    "Dropout",
    "Flatten",
    "Identity",
    "Linear",
    "LogSoftmax",
    "MaxPool2d",
    "ReLU",
    "Sigmoid",
    "Softmax",
    "Tanh",
]

Size = int | Sequence[int]

_PADDING_MODES = ("zeros", "reflect", "replicate", "circular")


def _init_weight_and_bias(weight: Parameter, bias: Parameter | None) -> None:
    """Torch's defaults: both uniform within 1 / sqrt(fan_in) of 0."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = math.prod(weight.shape[1:])
        bound = 1 / math.sqrt(fan_in) if fan_in else 0
        init.uniform_(bias, -bound, bound)


def _weight_and_bias(layer: Module) -> tuple[Tensor, Tensor | None]:
    """The layer's attributes of these names, without the detour through Module.__getattr__."""
    own = layer._parameters
    try:
        return own["weight"], own["bias"]
    except KeyError:  # a tensor that is no parameter has taken the place of one
        return layer.weight, layer.bias


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
        self.weight: Parameter = Parameter(empty(*channels, *self.kernel_size))
        self.register_parameter("bias", Parameter(empty(out_channels)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform within 1 / sqrt(fan_in) of 0."""
        _init_weight_and_bias(self.weight, self.bias)

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

    def _convolve(self, function, input: Tensor) -> Tensor:
        padding = self.padding
        if self.padding_mode != "zeros":
            input, padding = F.pad(input, self._pads(), mode=self.padding_mode), 0
        return function(input, self.weight, self.bias, self.stride, padding, self.dilation, self.groups)

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


class Conv1d(_Conv):
    """1-D convolution of many channels, (N, C, L) or (C, L); see :class:`Conv2d` for the arguments."""

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
    ) -> None:
        super().__init__(
            *(1, False, in_channels, out_channels, kernel_size, stride, padding, 0),
            *(dilation, groups, bias, padding_mode),
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, L) or (C, L) to (N, K, Q) or (K, Q)."""
        return self._convolve(F.conv1d, input)


class Conv2d(_Conv):
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
    ) -> None:
        super().__init__(
            *(2, False, in_channels, out_channels, kernel_size, stride, padding, 0),
            *(dilation, groups, bias, padding_mode),
        )

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, K, P, Q) or (K, P, Q)."""
        if self.padding_mode == "zeros":
            return F.conv2d(input, *_weight_and_bias(self), self.stride, self.padding, self.dilation, self.groups)
        return self._convolve(F.conv2d, input)


class ConvTranspose2d(_Conv):
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

    Attributes
    ----------
    weight : Parameter (in_channels, out_channels / groups, R, S)
    bias : Parameter (out_channels,) or None
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
    ) -> None:
        if padding_mode != "zeros":
            raise ValueError(f"only 'zeros' padding mode is supported for ConvTranspose2d, got {padding_mode!r}")
        if isinstance(padding, str):
            raise ValueError(f"ConvTranspose2d takes padding in numbers, got {padding!r}")
        super().__init__(
            *(2, True, in_channels, out_channels, kernel_size, stride, padding, output_padding),
            *(dilation, groups, bias, padding_mode),
        )

    def forward(self, input: Tensor, output_size: Sequence[int] | None = None) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, K, P, Q) or (K, P, Q); `output_size` (P, Q) sets the output padding."""
        output_padding = self.output_padding if output_size is None else self._output_padding(input, output_size)
        return F.conv_transpose2d(
            *(input, self.weight, self.bias, self.stride, self.padding, output_padding, self.groups, self.dilation)
        )

    def _output_padding(self, input: Tensor, output_size: Sequence[int]) -> tuple[int, ...]:
        sizes = tuple(output_size)
        if len(sizes) == input.ndim:
            sizes = sizes[-2:]
        if len(sizes) != 2:
            raise ValueError(f"output_size must have 2 or {input.ndim} elements, got {list(output_size)}")
        least = [
            (n - 1) * s - 2 * p + d * (k - 1) + 1
            for n, s, p, d, k in zip(
                input.shape[-2:], self.stride, self.padding, self.dilation, self.kernel_size, strict=True
            )
        ]
        most = [n + s - 1 for n, s in zip(least, self.stride, strict=True)]
        if any(not low <= n <= high for n, low, high in zip(sizes, least, most, strict=True)):
            raise ValueError(
                f"requested an output size of {list(sizes)}, but valid sizes range from {least} to {most} "
                f"for an input of size {list(input.shape)}"
            )
        return tuple(n - low for n, low in zip(sizes, least, strict=True))


class MaxPool2d(Module):
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

    def forward(self, input: Tensor) -> Tensor | tuple[Tensor, Tensor]:
        """(N, C, H, W) or (C, H, W) to (N, C, P, Q) or (C, P, Q), with the indices if asked for."""
        return F.max_pool2d(
            *(input, self.kernel_size, self.stride, self.padding, self.dilation, self.ceil_mode, self.return_indices)
        )

    def extra_repr(self) -> str:
        return (
            f"kernel_size={self.kernel_size}, stride={self.stride}, padding={self.padding}, "
            f"dilation={self.dilation}, ceil_mode={self.ceil_mode}"
        )


class AvgPool2d(Module):
    """The mean of every window; arguments as of :func:`functional.avg_pool2d`."""

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


class AdaptiveAvgPool2d(Module):
    """The mean of as many windows as the output shall have elements; see :func:`functional.adaptive_avg_pool2d`."""

    def __init__(self, output_size: int | Sequence[int | None] | None) -> None:
        super().__init__()
        self.output_size = output_size

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to (N, C, P, Q) or (C, P, Q)."""
        return F.adaptive_avg_pool2d(input, self.output_size)

    def extra_repr(self) -> str:
        return f"output_size={self.output_size}"


class BatchNorm2d(Module):
    """Normalise every channel of (N, C, H, W) by its mean and variance; see :func:`functional.batch_norm`.

    Parameters
    ----------
    num_features : int
        C.
    eps : float
        Added to the variance.
    momentum : float or None
        Share of the batch in the running statistics; None is the mean over all batches seen.
    affine : bool
        Whether a weight and a bias are learned.
    track_running_stats : bool
        Whether running statistics are kept, by which evaluation mode normalises.

    Attributes
    ----------
    weight, bias : Parameter (C,) or None
        1 and 0 at first.
    running_mean, running_var : Tensor (C,) or None
        Buffers, 0 and 1 at first.
    num_batches_tracked : Tensor () of int64, or None
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
    ) -> None:
        super().__init__()
        num_features = integer(num_features, "num_features")
        self.num_features: int = num_features
        self.eps: float = number(eps, "eps")
        self.momentum: float | None = None if momentum is None else number(momentum, "momentum")
        self.affine = affine
        self.track_running_stats = track_running_stats
        self.register_parameter("weight", Parameter(ones(num_features)) if affine else None)
        self.register_parameter("bias", Parameter(zeros(num_features)) if affine else None)
        self.register_buffer("running_mean", zeros(num_features) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features) if track_running_stats else None)
        self.register_buffer("num_batches_tracked", tensor(0) if track_running_stats else None)

    def reset_running_stats(self) -> None:
        """Start the running statistics anew."""
        if self.track_running_stats:
            self.running_mean.zero_()
            self.running_var.fill_(1)
            self.num_batches_tracked.zero_()

    def reset_parameters(self) -> None:
        """Start the running statistics, the weight and the bias anew."""
        self.reset_running_stats()
        if self.affine:
            init.ones_(self.weight)
            init.zeros_(self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) to the same."""
        F._check_array("BatchNorm2d", input)
        if input.ndim != 4:
            raise ValueError(f"expected 4D input (got {input.ndim}D input of size {list(input.shape)})")
        if input.shape[1] != self.num_features:
            raise ValueError(
                f"expected {self.num_features} channels, got {input.shape[1]} in input of size {list(input.shape)}"
            )
        batch_statistics = self.training or self.running_mean is None
        counter = self.num_batches_tracked if self.training else None
        momentum = self.momentum
        if momentum is None:
            momentum = 0.0 if counter is None else 1 / (counter.item() + 1)
        use_running = not batch_statistics or (self.training and self.track_running_stats)
        y = F.batch_norm(
            input,
            self.running_mean if use_running else None,
            self.running_var if use_running else None,
            self.weight,
            self.bias,
            batch_statistics,
            momentum,
            self.eps,
        )
        if counter is not None:
            counter += 1
        return y

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"track_running_stats={self.track_running_stats}"
        )


class Linear(Module):
    """``input @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether a bias is learned.

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
    bias : Parameter (out_features,) or None
        Both drawn uniformly within ``1 / sqrt(in_features)`` of 0.
    """

    def __init__(self, in_features: int, out_features: int, bias: bool = True) -> None:
        super().__init__()
        in_features = integer(in_features, "in_features")
        self.in_features: int = in_features
        out_features = integer(out_features, "out_features")
        self.out_features: int = out_features
        self.weight: Parameter = Parameter(empty(out_features, in_features))
        self.register_parameter("bias", Parameter(empty(out_features)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform within 1 / sqrt(in_features) of 0."""
        _init_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return F.linear(input, *_weight_and_bias(self))

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Dropout(Module):
    """In training, set elements to zero at random, each with probability p, and scale the rest by 1 / (1 - p)."""

    def __init__(self, p: float = 0.5, inplace: bool = False) -> None:
        super().__init__()
        self.p: float = number(p, "dropout probability", 0, 1)
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.dropout(input, self.p, self.training, self.inplace)

    def extra_repr(self) -> str:
        return f"p={self.p}, inplace={self.inplace}"


class ReLU(Module):
    """``max(input, 0)``, element-wise; with `inplace` the input takes the result over."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.relu(input, self.inplace)

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class Sigmoid(Module):
    """``1 / (1 + exp(-input))``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.sigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.tanh(input)


class Softmax(Module):
    """``exp(input) / sum(exp(input))`` over dimension `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class LogSoftmax(Module):
    """``log(softmax(input))`` over dimension `dim`."""

    def __init__(self, dim: int) -> None:
        super().__init__()
        self.dim = dim

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.log_softmax(input, self.dim)

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Flatten(Module):
    """Make the dimensions `start_dim` to `end_dim` one; by default all but the batch's."""

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) to (N, the product of the rest)."""
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Identity(Module):
    """Returns its input; arguments of any kind are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return input
