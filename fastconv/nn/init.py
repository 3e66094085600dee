"""Initial values for parameters, in place, by torch.nn.init's names and arguments; the same seed gives torch's values.

The standard deviations follow Glorot and Bengio (2010) and He et al. (2015), orthogonal matrices Saxe et al. (2013),
sparse ones Martens (2010).
"""

from __future__ import annotations

import functools
import math
import warnings
from collections.abc import Callable

import numpy as np

from .._tensor import Tensor
from ..checks import integer, number
from ..creation import from_numpy, randn, randperm
from ..random import Generator, like

__all__ = [
    "calculate_gain",
    "constant",
    "constant_",
    "dirac",
    "dirac_",
    "eye",
    "eye_",
    "kaiming_normal",
    "kaiming_normal_",
    "kaiming_uniform",
    "kaiming_uniform_",
    "normal",
    "normal_",
    "ones_",
    "orthogonal",
    "orthogonal_",
    "sparse",
    "sparse_",
    "trunc_normal_",
    "uniform",
    "uniform_",
    "xavier_normal",
    "xavier_normal_",
    "xavier_uniform",
    "xavier_uniform_",
    "zeros_",
]

_LINEAR = ("linear", *(f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)), "sigmoid")


def calculate_gain(nonlinearity: str, param: float | None = None) -> float:
    """Factor by which weights are larger before this nonlinearity, so that the variance of activations is kept.

    Parameters
    ----------
    nonlinearity : str
        "linear", "sigmoid", "conv1d" to "conv3d", "conv_transpose1d" to "conv_transpose3d", "tanh", "relu",
        "leaky_relu" or "selu".
    param : float, optional
        Slope of the leaky rectifier for negative numbers; 0.01 by default.
    """
    if nonlinearity in _LINEAR:
        return 1.0
    if nonlinearity == "tanh":
        return 5.0 / 3
    if nonlinearity == "relu":
        return math.sqrt(2.0)
    if nonlinearity == "leaky_relu":
        return math.sqrt(2.0 / (1 + (0.01 if param is None else number(param, "slope")) ** 2))
    if nonlinearity == "selu":
        return 3.0 / 4
    raise ValueError(f"Unsupported nonlinearity {nonlinearity!r}")


def _fans(tensor: Tensor) -> tuple[int, int]:
    """Number of inputs that an output sees, and of outputs that an input reaches."""
    if not isinstance(tensor, Tensor):
        raise TypeError(f"fan in and fan out need a Tensor, got {tensor!r}")
    if tensor.ndim < 2:
        raise ValueError(f"fan in and fan out need a tensor of at least 2 dimensions, got shape {list(tensor.shape)}")
    window = math.prod(tensor.shape[2:])
    return tensor.shape[1] * window, tensor.shape[0] * window


def _fan(tensor: Tensor, mode: str) -> int:
    if mode not in ("fan_in", "fan_out"):
        raise ValueError(f"mode {mode!r} is not supported; there are 'fan_in' and 'fan_out'")
    return _fans(tensor)[mode == "fan_out"]


def _data(tensor: Tensor) -> Tensor:
    if not isinstance(tensor, Tensor):
        raise TypeError(f"expected a Tensor to fill, got {tensor!r}")
    return tensor.data


def uniform_(tensor: Tensor, a: float = 0.0, b: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with random numbers, uniform in [a, b)."""
    _data(tensor).uniform_(a, b, generator=generator)
    return tensor


def normal_(tensor: Tensor, mean: float = 0.0, std: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill with random numbers from the normal distribution."""
    _data(tensor).normal_(mean, std, generator=generator)
    return tensor


def trunc_normal_(
    tensor: Tensor,
    mean: float = 0.0,
    std: float = 1.0,
    a: float = -2.0,
    b: float = 2.0,
    generator: Generator | None = None,
) -> Tensor:
    """Fill with random numbers from the normal distribution, of which those outside [a, b] are drawn again."""
    x = _data(tensor)
    mean, std = float(number(mean, "mean")), float(number(std, "std", above=0))
    a, b = float(number(a, "a")), float(number(b, "b"))
    if not a < b:
        raise ValueError(f"trunc_normal_ expects a < b, got a={a} and b={b}")
    if mean < a - 2 * std or mean > b + 2 * std:
        warnings.warn(
            f"trunc_normal_: the mean {mean} is more than 2 standard deviations of {std} from [{a}, {b}]. "
            "The distribution of values may be incorrect.",
            stacklevel=2,
        )
    share = (math.erf((b - mean) / std / math.sqrt(2.0)) - math.erf((a - mean) / std / math.sqrt(2.0))) / 2
    if share > 0.3:
        _redraw_outside(x, mean, std, a, b, generator)
    else:
        _accept_under_peak(x, mean, std, a, b, generator)
    return tensor


def _redraw_outside(x: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None) -> None:
    array = x.numpy()
    least, most = array.dtype.type(a), array.dtype.type(b)
    x.normal_(mean, std, generator=generator)
    candidates = None
    while (outside := (array < least) | (array > most)).any():
        candidates = from_numpy(like(array)) if candidates is None else candidates
        np.copyto(array, candidates.normal_(mean, std, generator=generator).numpy(), where=outside)


def _accept_under_peak(x: Tensor, mean: float, std: float, a: float, b: float, generator: Generator | None) -> None:
    """Rejection from a uniform distribution, for an interval far from the mean: the density's peak in it is 1."""
    kind = x.dtype.type
    highest = -0.5 * ((max(a, min(mean, b)) - mean) / std) ** 2
    candidates, chances = from_numpy(like(x.numpy())), from_numpy(like(x.numpy()))
    pending = np.ones(x.shape, bool)
    while pending.any():
        drawn = candidates.uniform_(a, b, generator=generator).numpy()
        np.copyto(x.numpy(), drawn, where=pending)
        density = ((drawn - kind(mean)) / kind(std)) ** 2 * kind(-0.5) - kind(highest)
        with np.errstate(divide="ignore"):
            pending &= np.log(chances.uniform_(generator=generator).numpy()) > density


def constant_(tensor: Tensor, val: float) -> Tensor:
    """Fill with one value."""
    _data(tensor).fill_(val)
    return tensor


def zeros_(tensor: Tensor) -> Tensor:
    """Fill with 0."""
    return constant_(tensor, 0)


def ones_(tensor: Tensor) -> Tensor:
    """Fill with 1."""
    return constant_(tensor, 1)


def eye_(tensor: Tensor) -> Tensor:
    """Fill a matrix with 1 on the diagonal and 0 elsewhere, so that a linear layer keeps its inputs."""
    x = _data(tensor)
    if x.ndim != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got shape {list(x.shape)}")
    x.numpy()[...] = np.eye(*x.shape)
    return tensor


def dirac_(tensor: Tensor, groups: int = 1) -> Tensor:
    """Fill filters so that a convolution, padded to the input's size, keeps as many of its channels as it can.

    Parameters
    ----------
    tensor : Tensor
        Shape (out, in, ...) of 3 to 5 dimensions.
    groups : int
        Each group of filters keeps channels of its own.
    """
    x = _data(tensor)
    if x.ndim not in (3, 4, 5):
        raise ValueError(f"Only tensors with 3, 4, or 5 dimensions are supported, got shape {list(x.shape)}")
    if x.shape[0] % integer(groups, "groups", 1):
        raise ValueError(f"dim 0 must be divisible by groups, got shape {list(x.shape)} and groups={groups}")
    x.zero_()
    filters = x.shape[0] // groups
    middle = tuple(n // 2 for n in x.shape[2:])
    for group in range(groups):
        for channel in range(min(filters, x.shape[1])):
            x[(group * filters + channel, channel, *middle)] = 1
    return tensor


def xavier_uniform_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill uniformly within ``gain * sqrt(6 / (fan_in + fan_out))`` of 0."""
    bound = math.sqrt(3.0) * (number(gain, "gain") * math.sqrt(2.0 / sum(_fans(tensor))))
    return uniform_(tensor, -bound, bound, generator)


def xavier_normal_(tensor: Tensor, gain: float = 1.0, generator: Generator | None = None) -> Tensor:
    """Fill normally with standard deviation ``gain * sqrt(2 / (fan_in + fan_out))``."""
    return normal_(tensor, 0.0, number(gain, "gain") * math.sqrt(2.0 / sum(_fans(tensor))), generator)


def kaiming_uniform_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill uniformly within ``gain * sqrt(3 / fan)`` of 0; `a` is the slope of a leaky rectifier."""
    bound = math.sqrt(3.0) * _kaiming_std(tensor, a, mode, nonlinearity)
    return uniform_(tensor, -bound, bound, generator)


def kaiming_normal_(
    tensor: Tensor,
    a: float = 0,
    mode: str = "fan_in",
    nonlinearity: str = "leaky_relu",
    generator: Generator | None = None,
) -> Tensor:
    """Fill normally with standard deviation ``gain / sqrt(fan)``; `a` is the slope of a leaky rectifier."""
    return normal_(tensor, 0.0, _kaiming_std(tensor, a, mode, nonlinearity), generator)


def _kaiming_std(tensor: Tensor, a: float, mode: str, nonlinearity: str) -> float:
    fan, a = _fan(tensor, mode), number(a, "a")
    return calculate_gain(nonlinearity, a) / math.sqrt(fan) if fan else 0.0


def orthogonal_(tensor: Tensor, gain: float = 1, generator: Generator | None = None) -> Tensor:
    """Fill with a matrix whose rows, or columns where there are fewer of them, are orthogonal and of norm `gain`.

    Of a tensor of more than 2 dimensions those but the first count as one.
    """
    x = _data(tensor)
    if x.ndim < 2:
        raise ValueError(f"Only tensors with 2 or more dimensions are supported, got shape {list(x.shape)}")
    if x.numel() == 0:
        return tensor
    rows, columns = x.shape[0], x.numel() // x.shape[0]
    drawn = randn(rows, columns, dtype=x.dtype, generator=generator).numpy().astype(np.float64)
    q, r = np.linalg.qr(drawn.T if rows < columns else drawn)
    q *= np.sign(np.diag(r))  # a QR factorization is unique, and then uniformly distributed, up to these signs
    x.numpy()[...] = number(gain, "gain") * (q.T if rows < columns else q).reshape(x.shape)
    return tensor


def sparse_(tensor: Tensor, sparsity: float, std: float = 0.01, generator: Generator | None = None) -> Tensor:
    """Fill a matrix normally, but for a share `sparsity` of each column, rounded up, that is 0."""
    x = _data(tensor)
    if x.ndim != 2:
        raise ValueError(f"Only tensors with 2 dimensions are supported, got shape {list(x.shape)}")
    zeros = math.ceil(number(sparsity, "sparsity", 0, 1) * x.shape[0])
    x.normal_(0, std, generator=generator)
    for column in range(x.shape[1]):
        x.numpy()[randperm(x.shape[0]).numpy()[:zeros], column] = 0
    return tensor


def _old_name(function: Callable[..., Tensor]) -> Callable[..., Tensor]:
    """The function under its name without the underscore, which warns."""
    name = function.__name__.removesuffix("_")

    @functools.wraps(function)
    def deprecated(*args, **kwargs):
        warnings.warn(f"`nn.init.{name}` is now deprecated in favor of `nn.init.{name}_`.", FutureWarning, stacklevel=2)
        return function(*args, **kwargs)

    deprecated.__name__ = deprecated.__qualname__ = name
    deprecated.__doc__ = f"The old name of :func:`{name}_`; it warns."
    return deprecated


constant: Callable[..., Tensor] = _old_name(constant_)
dirac: Callable[..., Tensor] = _old_name(dirac_)
eye: Callable[..., Tensor] = _old_name(eye_)
kaiming_normal: Callable[..., Tensor] = _old_name(kaiming_normal_)
kaiming_uniform: Callable[..., Tensor] = _old_name(kaiming_uniform_)
normal: Callable[..., Tensor] = _old_name(normal_)
orthogonal: Callable[..., Tensor] = _old_name(orthogonal_)
sparse: Callable[..., Tensor] = _old_name(sparse_)
uniform: Callable[..., Tensor] = _old_name(uniform_)
xavier_normal: Callable[..., Tensor] = _old_name(xavier_normal_)
xavier_uniform: Callable[..., Tensor] = _old_name(xavier_uniform_)
