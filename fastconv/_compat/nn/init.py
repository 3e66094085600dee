"""``torch.nn.init`` under its names of before torch 0.4, and what is not public there."""

from __future__ import annotations

import functools
import warnings
from collections.abc import Callable

from ..._tensor import Tensor
from ...nn import init

__all__ = ["constant", "kaiming_normal", "kaiming_uniform", "normal", "uniform", "xavier_normal", "xavier_uniform"]


def _renamed(function: Callable) -> Callable:
    """The function under its old name, with torch's warning."""
    name = function.__name__

    @functools.wraps(function)
    def old(*args, **kwargs):
        warnings.warn(
            f"`nn.init.{name[:-1]}` is now deprecated in favor of `nn.init.{name}`.", FutureWarning, stacklevel=2
        )
        return function(*args, **kwargs)

    old.__name__ = old.__qualname__ = name[:-1]
    return old


constant, normal, uniform = _renamed(init.constant_), _renamed(init.normal_), _renamed(init.uniform_)
kaiming_normal, kaiming_uniform = _renamed(init.kaiming_normal_), _renamed(init.kaiming_uniform_)
xavier_normal, xavier_uniform = _renamed(init.xavier_normal_), _renamed(init.xavier_uniform_)


def _calculate_fan_in_and_fan_out(tensor: Tensor) -> tuple[int, int]:
    """How many inputs and outputs an element of a weight's result and input has."""
    if tensor.ndim < 2:
        raise ValueError("Fan in and fan out can not be computed for tensor with fewer than 2 dimensions")
    area = tensor[0, 0].numel()
    return tensor.shape[1] * area, tensor.shape[0] * area
