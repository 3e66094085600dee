"""The activations as layers; each calls the function of its name."""

from __future__ import annotations

from typing import Any

from .._tensor import Tensor
from ..checks import integer, number
from ..creation import full
from . import functional as F
from . import init
from .module import Module
from .parameter import Parameter, parameter_dtype

__all__ = [
    "CELU",
    "ELU",
    "GELU",
    "GLU",
    "Hardshrink",
    "Hardsigmoid",
    "Hardswish",
    "Hardtanh",
    "LeakyReLU",
    "LogSigmoid",
    "LogSoftmax",
    "Mish",
    "PReLU",
    "ReLU",
    "ReLU6",
    "SELU",
    "SiLU",
    "Sigmoid",
    "Softmax",
    "Softmax2d",
    "Softmin",
    "Softplus",
    "Softshrink",
    "Softsign",
    "Tanh",
    "Tanhshrink",
    "Threshold",
]


class _InPlace(Module):
    """What activations share that can let the input take the result over."""

    def __init__(self, inplace: bool = False) -> None:
        super().__init__()
        self.inplace = inplace

    def extra_repr(self) -> str:
        return "inplace=True" if self.inplace else ""


class ReLU(_InPlace):
    """``max(input, 0)``, element-wise; with `inplace` the input takes the result over.

    Examples
    --------
    >>> nn.ReLU()(fastconv.tensor([-1.0, 2.0]))
    tensor([0., 2.])
    """

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.relu(input, self.inplace)


class LeakyReLU(_InPlace):
    """``input`` where it is above 0, else ``negative_slope * input``, element-wise."""

    negative_slope: Any

    def __init__(self, negative_slope: float = 0.01, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.negative_slope = number(negative_slope, "negative_slope")

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.leaky_relu(input, self.negative_slope, self.inplace)

    def extra_repr(self) -> str:
        return f"negative_slope={self.negative_slope}{', inplace=True' if self.inplace else ''}"


class ReLU6(_InPlace):
    """``min(max(input, 0), 6)``, element-wise."""

    max_val: float
    min_val: float

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.relu6(input, self.inplace)

    def __init__(self, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.min_val, self.max_val = 0.0, 6.0


class Hardtanh(_InPlace):
    """``min(max(input, min_val), max_val)``, element-wise."""

    max_val: float
    min_val: float

    def __init__(
        self,
        min_val: float = -1.0,
        max_val: float = 1.0,
        inplace: bool = False,
    ) -> None:
        super().__init__(inplace)
        if not max_val > min_val:
            raise AssertionError(f"max_val must be above min_val, got {max_val} and {min_val}")
        self.min_val, self.max_val = min_val, max_val

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.hardtanh(input, self.min_val, self.max_val, self.inplace)

    def extra_repr(self) -> str:
        return f"min_val={self.min_val}, max_val={self.max_val}" + (", inplace=True" if self.inplace else "")


class Hardsigmoid(_InPlace):
    """``min(max(input + 3, 0), 6) / 6``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.hardsigmoid(input, self.inplace)

    def extra_repr(self) -> str:
        return ""


class Hardswish(Hardsigmoid):
    """``input * hardsigmoid(input)``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.hardswish(input, self.inplace)


class ELU(_InPlace):
    """``input`` where it is positive, else ``alpha * (exp(input) - 1)``."""

    def __init__(self, alpha: float = 1.0, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.alpha = alpha

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.elu(input, self.alpha, self.inplace)

    def extra_repr(self) -> str:
        return f"alpha={self.alpha}" + (", inplace=True" if self.inplace else "")


class CELU(ELU):
    """``max(input, 0) + min(0, alpha * (exp(input / alpha) - 1))``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.celu(input, self.alpha, self.inplace)


class SELU(_InPlace):
    """A scaled :class:`ELU`, for networks that normalise themselves."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.selu(input, self.inplace)


class SiLU(_InPlace):
    """``input * sigmoid(input)``, element-wise: the swish."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.silu(input, self.inplace)


class Mish(_InPlace):
    """``input * tanh(softplus(input))``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.mish(input, self.inplace)


class GELU(Module):
    """``input * P(X <= input)`` of a standard normal X, element-wise; see :func:`functional.gelu`."""

    def __init__(self, approximate: str = "none") -> None:
        super().__init__()
        self.approximate = approximate

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.gelu(input, approximate=self.approximate)

    def extra_repr(self) -> str:
        return f"approximate={self.approximate!r}"


class Sigmoid(Module):
    """``1 / (1 + exp(-input))``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.sigmoid(input)


class LogSigmoid(Module):
    """``log(sigmoid(input))``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.logsigmoid(input)


class Tanh(Module):
    """Hyperbolic tangent, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.tanh(input)


class Tanhshrink(Module):
    """``input - tanh(input)``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.tanhshrink(input)


class _Shrink(Module):
    """What is 0 from -lambd to lambd."""

    def __init__(self, lambd: float = 0.5) -> None:
        super().__init__()
        self.lambd = lambd

    def extra_repr(self) -> str:
        return f"{self.lambd}"


class Hardshrink(_Shrink):
    """The elements beyond -lambd and lambd, and 0 in place of the others."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.hardshrink(input, self.lambd)


class Softshrink(_Shrink):
    """The elements beyond -lambd and lambd, nearer to 0 by `lambd`, and 0 in place of the others."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softshrink(input, self.lambd)


class Threshold(_InPlace):
    """The elements above `threshold`, and `value` in place of the others."""

    def __init__(self, threshold: float, value: float, inplace: bool = False) -> None:
        super().__init__(inplace)
        self.threshold = threshold
        self.value = value

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.threshold(input, self.threshold, self.value, self.inplace)

    def extra_repr(self) -> str:
        return f"threshold={self.threshold}, value={self.value}" + (", inplace=True" if self.inplace else "")


class Softplus(Module):
    """``log(1 + exp(beta * input)) / beta``, element-wise; the input itself where ``beta * input > threshold``."""

    def __init__(self, beta: float = 1.0, threshold: float = 20.0) -> None:
        super().__init__()
        self.beta = beta
        self.threshold = threshold

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softplus(input, self.beta, self.threshold)

    def extra_repr(self) -> str:
        return f"beta={self.beta}, threshold={self.threshold}"


class Softsign(Module):
    """``input / (1 + abs(input))``, element-wise."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softsign(input)


class _AlongDim(Module):
    """What the functions along a dimension share."""

    def __init__(self, dim: int | None = None) -> None:
        super().__init__()
        self.dim = dim

    def extra_repr(self) -> str:
        return f"dim={self.dim}"


class Softmax(_AlongDim):
    """``exp(input) / sum(exp(input))`` over dimension `dim`; without one, see :func:`functional.softmax`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softmax(input, self.dim, 4)


class LogSoftmax(_AlongDim):
    """``log(softmax(input))`` over dimension `dim`; without one, see :func:`functional.softmax`."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.log_softmax(input, self.dim, 4)


class Softmin(_AlongDim):
    """``softmax(-input)`` over dimension `dim`; without one, over the channels, with a warning."""

    def forward(self, input: Tensor) -> Tensor:
        """Any shape to the same."""
        return F.softmin(input, self.dim)


class Softmax2d(Module):
    """:class:`Softmax` over the channels of every pixel."""

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, H, W) or (C, H, W) to the same."""
        if input.ndim not in (3, 4):
            raise ValueError(f"Softmax2d: expected input to be 3D or 4D, got {input.ndim}D instead")
        return F.softmax(input, -3)


class GLU(_AlongDim):
    """``a * sigmoid(b)``, where a and b are the halves of the input along `dim`."""

    def __init__(self, dim: int = -1) -> None:
        super().__init__(dim)

    def forward(self, input: Tensor) -> Tensor:
        """(..., 2 n, ...) to (..., n, ...)."""
        return F.glu(input, self.dim)


class PReLU(Module):
    """``max(input, 0) + weight * min(input, 0)`` with a learned weight.

    Parameters
    ----------
    num_parameters : int
        1, or as many as there are channels.
    init : float
        What the weight is at first.
    device, dtype
        Of the parameter.

    Attributes
    ----------
    weight : Parameter (num_parameters,)
    """

    num_parameters: int
    weight: Parameter

    def __init__(self, num_parameters: int = 1, init: float = 0.25, device: Any = None, dtype: Any = None) -> None:
        super().__init__()
        self.num_parameters = integer(num_parameters, "num_parameters", 1)
        self.init = init
        self.weight = Parameter(full((self.num_parameters,), init, dtype=parameter_dtype(device, dtype)))

    def reset_parameters(self) -> None:
        """Set the weight to `init` again."""
        init.constant_(self.weight, self.init)

    def forward(self, input: Tensor) -> Tensor:
        """(N, C, ...) or any shape to the same."""
        return F.prelu(input, self.weight)

    def extra_repr(self) -> str:
        return f"num_parameters={self.num_parameters}"
