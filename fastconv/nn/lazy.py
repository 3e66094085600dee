"""Layers that learn from their first input how large they are."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from .._tensor import Tensor
from .convolution import Conv1d, Conv2d, Conv3d, ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from .linear import Linear
from .module import Module
from .normalisation import BatchNorm1d, BatchNorm2d, BatchNorm3d, InstanceNorm1d, InstanceNorm2d
from .parameter import Uninitialized, UninitializedBuffer, UninitializedParameter

__all__ = [
    "LazyBatchNorm1d",
    "LazyBatchNorm2d",
    "LazyBatchNorm3d",
    "LazyConv1d",
    "LazyConv2d",
    "LazyConv3d",
    "LazyConvTranspose1d",
    "LazyConvTranspose2d",
    "LazyConvTranspose3d",
    "LazyInstanceNorm1d",
    "LazyInstanceNorm2d",
    "LazyLinear",
]

Size = int | Sequence[int]


class _Lazy(Module):
    """What lazy layers share: on the first call they become their ordinary class, the second of their bases."""

    known_by_input: tuple[str, ...] = ("weight", "bias")

    def _uninitialize(self, bias: bool = False) -> None:
        """Let go of what has been made for no inputs, and add a `bias` to what is known by them.

        Layers whose bias is drawn are made without one: as torch's, they draw nothing before the first input.
        """
        for name in self.known_by_input:
            if self._parameters.get(name) is not None:
                self._parameters[name] = UninitializedParameter(dtype=self._parameters[name].dtype)
            elif self._buffers.get(name) is not None:
                self._buffers[name] = UninitializedBuffer(dtype=self._buffers[name].dtype)
        if bias:
            self._parameters["bias"] = UninitializedParameter(dtype=self._parameters["weight"].dtype)

    def __call__(self, *args: Any, **kwargs: Any) -> Any:
        self.initialize_parameters(*args, **kwargs)
        self.__class__ = type(self).__bases__[1]
        return self(*args, **kwargs)

    def has_uninitialized_params(self) -> bool:
        """Whether sizes are still unknown."""
        return any(isinstance(t, Uninitialized) for t in (*self._parameters.values(), *self._buffers.values()))

    def initialize_parameters(self, input: Tensor) -> None:
        """Give parameters and buffers the sizes that this input asks for, and their first values."""
        fresh = self.has_uninitialized_params()
        for name, size in self._learn(input).items():
            member = self._parameters.get(name, self._buffers.get(name))
            if isinstance(member, Uninitialized):
                member.materialize(size)
        if fresh:
            self.reset_parameters()

    def _learn(self, input: Tensor) -> dict[str, tuple[int, ...]]:
        """Set the number of inputs; returns the sizes of parameters and buffers."""
        raise NotImplementedError

    def reset_parameters(self) -> None:
        """Draw the parameters anew, where their sizes are known."""
        if not self.has_uninitialized_params():
            super().reset_parameters()


class LazyLinear(_Lazy, Linear):
    """A :class:`Linear` that takes its number of inputs from the first one."""

    in_features: int

    def __init__(self, out_features: int, bias: bool = True, device: Any = None, dtype: Any = None) -> None:
        super().__init__(0, out_features, False, device, dtype)
        self._uninitialize(bias)

    def _learn(self, input: Tensor) -> dict[str, tuple[int, ...]]:
        self.in_features = input.shape[-1]
        return {"weight": (self.out_features, self.in_features), "bias": (self.out_features,)}


class _LazyFilters(_Lazy):
    """What the lazy convolutions share."""

    def _learn(self, input: Tensor) -> dict[str, tuple[int, ...]]:
        dims = len(self.kernel_size)
        if input.ndim not in (dims + 1, dims + 2):
            raise RuntimeError(
                f"Expected {dims + 1}D (unbatched) or {dims + 2}D (batched) input to {type(self).__name__}, "
                f"but got input of size: {list(input.shape)}"
            )
        self.in_channels = input.shape[-dims - 1]
        if self.in_channels % self.groups:
            raise ValueError(f"in_channels must be divisible by groups, got {self.in_channels} and {self.groups}")
        return {"weight": (*self._filters(), *self.kernel_size), "bias": (self.out_channels,)}

    def _filters(self) -> tuple[int, int]:
        return self.out_channels, self.in_channels // self.groups


class _LazyConv(_LazyFilters):
    def __init__(
        self,
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
            0, out_channels, kernel_size, stride, padding, dilation, groups, False, padding_mode, device, dtype
        )
        self._uninitialize(bias)


class _LazyConvTranspose(_LazyFilters):
    def __init__(
        self,
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
        super().__init__(
            *(0, out_channels, kernel_size, stride, padding, output_padding, groups, False, dilation),
            *(padding_mode, device, dtype),
        )
        self._uninitialize(bias)

    def _filters(self) -> tuple[int, int]:
        return self.in_channels, self.out_channels // self.groups


class LazyConv1d(_LazyConv, Conv1d):
    """A :class:`Conv1d` that takes its number of input channels from the first input."""


class LazyConv2d(_LazyConv, Conv2d):
    """A :class:`Conv2d` that takes its number of input channels from the first input."""


class LazyConv3d(_LazyConv, Conv3d):
    """A :class:`Conv3d` that takes its number of input channels from the first input."""


class LazyConvTranspose1d(_LazyConvTranspose, ConvTranspose1d):
    """A :class:`ConvTranspose1d` that takes its number of input channels from the first input."""


class LazyConvTranspose2d(_LazyConvTranspose, ConvTranspose2d):
    """A :class:`ConvTranspose2d` that takes its number of input channels from the first input."""


class LazyConvTranspose3d(_LazyConvTranspose, ConvTranspose3d):
    """A :class:`ConvTranspose3d` that takes its number of input channels from the first input."""


class _LazyNorm(_Lazy):
    """What the lazy norms share."""

    known_by_input: tuple[str, ...] = ("weight", "bias", "running_mean", "running_var")

    def __init__(
        self,
        eps: float = 1e-5,
        momentum: float | None = 0.1,
        affine: bool = True,
        track_running_stats: bool = True,
        device: Any = None,
        dtype: Any = None,
        *,
        bias: bool = True,
    ) -> None:
        super().__init__(0, eps, momentum, affine, track_running_stats, device, dtype, bias=bias)
        self._uninitialize()

    def _learn(self, input: Tensor) -> dict[str, tuple[int, ...]]:
        self._check_rank(input)
        self.num_features = self._channels(input)
        return dict.fromkeys(self.known_by_input, (self.num_features,))


class LazyBatchNorm1d(_LazyNorm, BatchNorm1d):
    """A :class:`BatchNorm1d` that takes its number of channels from the first input."""


class LazyBatchNorm2d(_LazyNorm, BatchNorm2d):
    """A :class:`BatchNorm2d` that takes its number of channels from the first input."""


class LazyBatchNorm3d(_LazyNorm, BatchNorm3d):
    """A :class:`BatchNorm3d` that takes its number of channels from the first input."""


class LazyInstanceNorm1d(_LazyNorm, InstanceNorm1d):
    """A :class:`InstanceNorm1d` that takes its number of channels from the first input."""


class LazyInstanceNorm2d(_LazyNorm, InstanceNorm2d):
    """A :class:`InstanceNorm2d` that takes its number of channels from the first input."""
