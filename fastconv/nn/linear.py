"""The linear layer, and those that change shapes or nothing."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor
from ..checks import integer
from ..creation import empty
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter, parameter_dtype

__all__ = ["Flatten", "Identity", "Linear", "Unflatten"]


def init_weight_and_bias(weight: Parameter, bias: Parameter | None) -> None:
    """Torch's defaults: both uniform within 1 / sqrt(fan_in) of 0."""
    init.kaiming_uniform_(weight, a=math.sqrt(5))
    if bias is not None:
        fan_in = math.prod(weight.shape[1:])
        bound = 1 / math.sqrt(fan_in) if fan_in else 0
        init.uniform_(bias, -bound, bound)


def weight_and_bias(layer: Module) -> tuple[Tensor, Tensor | None]:
    """The layer's attributes of these names, without the detour through Module.__getattr__."""
    own = layer._parameters
    try:
        return own["weight"], own["bias"]
    except KeyError:  # a tensor that is no parameter has taken the place of one
        return layer.weight, layer.bias


class Linear(Module):
    """``input @ weight.T + bias``.

    Parameters
    ----------
    in_features, out_features : int
    bias : bool
        Whether a bias is learned.
    device, dtype
        Of the parameters.

    Attributes
    ----------
    weight : Parameter (out_features, in_features)
    bias : Parameter (out_features,) or None
        Both drawn uniformly within ``1 / sqrt(in_features)`` of 0.

    Examples
    --------
    >>> nn.Linear(20, 10)(fastconv.randn(4, 20)).shape
    torch.Size([4, 10])
    """

    def __init__(
        self, in_features: int, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None
    ) -> None:
        super().__init__()
        in_features = integer(in_features, "in_features")
        self.in_features: int = in_features
        out_features = integer(out_features, "out_features")
        self.out_features: int = out_features
        dtype = parameter_dtype(device, dtype)
        self.weight: Parameter = Parameter(empty(out_features, in_features, dtype=dtype))
        self.register_parameter("bias", Parameter(empty(out_features, dtype=dtype)) if bias else None)
        self.reset_parameters()

    def reset_parameters(self) -> None:
        """Draw weight and bias anew, uniform within 1 / sqrt(in_features) of 0."""
        init_weight_and_bias(self.weight, self.bias)

    def forward(self, input: Tensor) -> Tensor:
        """(..., in_features) to (..., out_features)."""
        return F.linear(input, *weight_and_bias(self))

    def extra_repr(self) -> str:
        return f"in_features={self.in_features}, out_features={self.out_features}, bias={self.bias is not None}"


class Flatten(Module):
    """Make the dimensions `start_dim` to `end_dim` one; by default all but the batch's.

    Examples
    --------
    >>> nn.Flatten()(fastconv.randn(8, 16, 4, 4)).shape
    torch.Size([8, 256])
    """

    def __init__(self, start_dim: int = 1, end_dim: int = -1) -> None:
        super().__init__()
        self.start_dim = start_dim
        self.end_dim = end_dim

    def forward(self, input: Tensor) -> Tensor:
        """(N, ...) to (N, the product of the rest)."""
        return F.flatten(input, self.start_dim, self.end_dim)

    def extra_repr(self) -> str:
        return f"start_dim={self.start_dim}, end_dim={self.end_dim}"


class Unflatten(Module):
    """Make one dimension several; the inverse of :class:`Flatten`.

    Parameters
    ----------
    dim : int
        The dimension that is divided.
    unflattened_size : sequence of int
        What it becomes; one length may be -1.
    """

    def __init__(self, dim: int, unflattened_size: Sequence[int]) -> None:
        super().__init__()
        if not isinstance(dim, int):
            raise TypeError(f"unflatten's dim must be an int, got {dim!r} of type {type(dim).__name__}")
        if not isinstance(unflattened_size, (tuple, list)) or not all(isinstance(n, int) for n in unflattened_size):
            raise TypeError(f"unflattened_size must be a tuple of ints, got {unflattened_size!r}")
        self.dim = dim
        self.unflattened_size = unflattened_size

    def forward(self, input: Tensor) -> Tensor:
        """``(..., n, ...)`` to ``(..., *unflattened_size, ...)``."""
        dim = self.dim + input.ndim if self.dim < 0 else self.dim
        shape = input.shape
        return input.reshape(*shape[:dim], *self.unflattened_size, *shape[dim + 1 :])

    def extra_repr(self) -> str:
        return f"dim={self.dim}, unflattened_size={self.unflattened_size}"


class Identity(Module):
    """Returns its input; arguments of any kind are ignored."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:
        super().__init__()

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return input
