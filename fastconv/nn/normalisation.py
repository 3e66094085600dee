"""The layers that normalise."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from .._tensor import Tensor
from ..checks import integer, integers, number
from ..creation import ones, tensor, zeros
from . import functional as F
from . import init
from .functions.arguments import check_array
from .module import Module
from .parameter import Parameter, parameter_dtype

__all__ = [
    "BatchNorm1d",
    "BatchNorm2d",
    "BatchNorm3d",
    "GroupNorm",
    "InstanceNorm1d",
    "InstanceNorm2d",
    "InstanceNorm3d",
    "LayerNorm",
    "LocalResponseNorm",
    "RMSNorm",
]


class _Affine(Module):
    """What the norms share that learn a weight and a bias: 1 and 0 at first, or None."""

    def _add_weight_and_bias(self, size: Sequence[int], weight: bool, bias: bool, device, dtype) -> None:
        dtype = parameter_dtype(device, dtype)
        self.register_parameter("weight", Parameter(ones(*size, dtype=dtype)) if weight else None)
        self.register_parameter("bias", Parameter(zeros(*size, dtype=dtype)) if weight and bias else None)

    def reset_parameters(self) -> None:
        """Set the weight to 1 and the bias to 0."""
        if self.weight is not None:
            init.ones_(self.weight)
        if self.bias is not None:
            init.zeros_(self.bias)


class _Tracking(_Affine):
    """What batch and instance norm share: running statistics of each channel beside the weight and the bias."""

    ranks: tuple[int, ...]  # numbers of dimensions that an input may have

    def __init__(
        self,
        num_features: int,
        eps: float,
        momentum: float | None,
        affine: bool,
        track_running_stats: bool,
        device: Any,
        dtype: Any,
        bias: bool,
    ) -> None:
        super().__init__()
        num_features = integer(num_features, "num_features")
        self.num_features: int = num_features
        self.eps: float = number(eps, "eps")
        self.momentum: float | None = None if momentum is None else number(momentum, "momentum")
        self.affine = affine
        self.track_running_stats = track_running_stats
        self._add_weight_and_bias((num_features,), affine, bias, device, dtype)
        dtype = parameter_dtype(device, dtype)
        self.register_buffer("running_mean", zeros(num_features, dtype=dtype) if track_running_stats else None)
        self.register_buffer("running_var", ones(num_features, dtype=dtype) if track_running_stats else None)
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
        super().reset_parameters()

    def _check_rank(self, input: Tensor) -> None:
        check_array(type(self).__name__, input)
        if input.ndim not in self.ranks:
            expected = " or ".join(f"{rank}D" for rank in self.ranks)
            raise ValueError(f"expected {expected} input (got {input.ndim}D input of size {list(input.shape)})")

    def _channels(self, input: Tensor) -> int:
        return input.shape[1]

    def _check_channels(self, input: Tensor) -> None:
        if self._channels(input) != self.num_features:
            raise ValueError(
                f"expected {self.num_features} channels, got {self._channels(input)} in input of size "
                f"{list(input.shape)}"
            )

    def extra_repr(self) -> str:
        return (
            f"{self.num_features}, eps={self.eps}, momentum={self.momentum}, affine={self.affine}, "
            f"bias={self.bias is not None}, track_running_stats={self.track_running_stats}"
        )


class _BatchNorm(_Tracking):
    """Normalise every channel by its mean and variance; see :func:`functional.batch_norm`.

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
    device, dtype
        Of parameters and buffers.
    bias : bool
        Whether a bias is learned beside the weight.

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
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        return self._normalised(input, F.batch_norm)

    def _normalised(self, input: Tensor, function: Callable[..., Tensor], *more: Any) -> Tensor:
        """What a function of batch norm's arguments and some more makes of the input; the statistics move on."""
        self._check_rank(input)
        self._check_channels(input)
        batch_statistics = self.training or self.running_mean is None
        counter = self.num_batches_tracked if self.training else None
        momentum = self.momentum
        if momentum is None:
            momentum = 0.0 if counter is None else 1 / (counter.item() + 1)
        use_running = not batch_statistics or (self.training and self.track_running_stats)
        y = function(
            input,
            self.running_mean if use_running else None,
            self.running_var if use_running else None,
            self.weight,
            self.bias,
            batch_statistics,
            momentum,
            self.eps,
            *more,
        )
        if counter is not None:
            counter += 1
        return y


class BatchNorm1d(_BatchNorm):
    __doc__ = f"Batch norm of (N, C) or (N, C, L).\n\n    {_BatchNorm.__doc__}"
    ranks: tuple[int, ...] = 2, 3


class BatchNorm2d(_BatchNorm):
    __doc__ = f"Batch norm of (N, C, H, W).\n\n    {_BatchNorm.__doc__}"
    ranks: tuple[int, ...] = (4,)


class BatchNorm3d(_BatchNorm):
    __doc__ = f"Batch norm of (N, C, D, H, W).\n\n    {_BatchNorm.__doc__}"
    ranks: tuple[int, ...] = (5,)


class _InstanceNorm(_Tracking):
    """Normalise every channel of every image by its mean and variance; see :func:`functional.instance_norm`.

    Parameters
    ----------
    num_features, eps, momentum, device, dtype, bias
        As of batch norm.
    affine : bool
        Whether a weight and a bias are learned; not by default.
    track_running_stats : bool
        Whether running statistics are kept, by which evaluation mode normalises; not by default.
    """

    def __init__(
        self,
        num_features: int,
        eps: float = 1e-5,
        momentum: float = 0.1,
        affine: bool = False,
        track_running_stats: bool = False,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(num_features, eps, momentum, affine, track_running_stats, device, dtype, bias)

    def _channels(self, input: Tensor) -> int:
        return input.shape[input.ndim - max(self.ranks) + 1]

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) or (C, ...) to the same."""
        self._check_rank(input)
        single = input.ndim == min(self.ranks)
        if self.affine or self.track_running_stats:
            self._check_channels(input)
        y = F.instance_norm(
            input.unsqueeze(0) if single else input,
            self.running_mean,
            self.running_var,
            self.weight,
            self.bias,
            self.training or not self.track_running_stats,
            self.momentum or 0.0,
            self.eps,
        )
        return y.squeeze(0) if single else y


class InstanceNorm1d(_InstanceNorm):
    __doc__ = f"Instance norm of (N, C, L) or (C, L).\n\n    {_InstanceNorm.__doc__}"
    ranks: tuple[int, ...] = 2, 3


class InstanceNorm2d(_InstanceNorm):
    __doc__ = f"Instance norm of (N, C, H, W) or (C, H, W).\n\n    {_InstanceNorm.__doc__}"
    ranks: tuple[int, ...] = 3, 4


class InstanceNorm3d(_InstanceNorm):
    __doc__ = f"Instance norm of (N, C, D, H, W) or (C, D, H, W).\n\n    {_InstanceNorm.__doc__}"
    ranks: tuple[int, ...] = 4, 5


class GroupNorm(_Affine):
    """Normalise every group of channels of every image; see :func:`functional.group_norm`.

    Parameters
    ----------
    num_groups, num_channels : int
        The channels are split into so many groups.
    eps : float
        Added to the variance.
    affine : bool
        Whether a weight and a bias are learned.
    device, dtype
        Of the parameters.
    bias : bool
        Whether a bias is learned beside the weight.

    Attributes
    ----------
    weight, bias : Parameter (num_channels,) or None
        1 and 0 at first.
    """

    eps: Any
    num_channels: int
    num_groups: int

    def __init__(
        self,
        num_groups: int,
        num_channels: int,
        eps: float = 1e-5,
        affine: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__()
        self.num_groups = integer(num_groups, "num_groups", 1)
        self.num_channels = integer(num_channels, "num_channels")
        if self.num_channels % self.num_groups:
            raise ValueError(f"num_channels must be divisible by num_groups, got {num_channels} and {num_groups}")
        self.eps = number(eps, "eps")
        self.affine = affine
        self._add_weight_and_bias((self.num_channels,), affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        return F.group_norm(input, self.num_groups, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.num_groups}, {self.num_channels}, eps={self.eps}, affine={self.affine}, "
            f"bias={self.bias is not None}"
        )


class LayerNorm(_Affine):
    """Normalise over the last dimensions; see :func:`functional.layer_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The lengths of the dimensions that are normalised over together.
    eps : float
        Added to the variance.
    elementwise_affine : bool
        Whether a weight is learned.
    bias : bool
        Whether a bias is learned beside the weight.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight, bias : Parameter of size normalized_shape, or None
        1 and 0 at first.
    """

    eps: Any
    normalized_shape: tuple[int, ...]

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float = 1e-5,
        elementwise_affine: bool = True,
        bias: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        count = len(normalized_shape) if isinstance(normalized_shape, Sequence) else 1
        self.normalized_shape = integers(normalized_shape, "normalized_shape", 0, count)
        self.eps = number(eps, "eps")
        self.elementwise_affine = elementwise_affine
        self._add_weight_and_bias(self.normalized_shape, elementwise_affine, bias, device, dtype)

    def forward(self, input: Tensor) -> Tensor:
        """``(..., *normalized_shape)`` to the same."""
        return F.layer_norm(input, self.normalized_shape, self.weight, self.bias, self.eps)

    def extra_repr(self) -> str:
        return (
            f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}, "
            f"bias={self.bias is not None}"
        )


class RMSNorm(Module):
    """Divide by the root of the mean of squares over the last dimensions; see :func:`functional.rms_norm`.

    Parameters
    ----------
    normalized_shape : int or sequence of int
        The lengths of the dimensions that the mean is taken over together.
    eps : float, optional
        Added to the mean; the resolution of the input's dtype by default.
    elementwise_affine : bool
        Whether a weight is learned.
    device, dtype
        Of the weight.

    Attributes
    ----------
    weight : Parameter of size normalized_shape, or None
        1 at first.
    """

    eps: Any
    normalized_shape: tuple[int, ...]

    def __init__(
        self,
        normalized_shape: int | Sequence[int],
        eps: float | None = None,
        elementwise_affine: bool = True,
        device: Any = None,
        dtype: Any = None,
    ) -> None:
        super().__init__()
        count = len(normalized_shape) if isinstance(normalized_shape, Sequence) else 1
        self.normalized_shape = integers(normalized_shape, "normalized_shape", 0, count)
        self.eps = None if eps is None else number(eps, "eps")
        self.elementwise_affine = elementwise_affine
        weight = Parameter(ones(*self.normalized_shape, dtype=parameter_dtype(device, dtype)))
        self.register_parameter("weight", weight if elementwise_affine else None)

    def reset_parameters(self) -> None:
        """Set the weight to 1."""
        if self.weight is not None:
            init.ones_(self.weight)

    def forward(self, input: Tensor) -> Tensor:
        """``(..., *normalized_shape)`` to the same."""
        return F.rms_norm(input, self.normalized_shape, self.weight, self.eps)

    def extra_repr(self) -> str:
        return f"{self.normalized_shape}, eps={self.eps}, elementwise_affine={self.elementwise_affine}"


class LocalResponseNorm(Module):
    """Divide by the mean of squares over neighbouring channels; see :func:`functional.local_response_norm`."""

    def __init__(self, size: int, alpha: float = 1e-4, beta: float = 0.75, k: float = 1.0) -> None:
        super().__init__()
        self.size = size
        self.alpha = alpha
        self.beta = beta
        self.k = k

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) to the same."""
        return F.local_response_norm(input, self.size, self.alpha, self.beta, self.k)

    def extra_repr(self) -> str:
        return f"{self.size}, alpha={self.alpha}, beta={self.beta}, k={self.k}"
