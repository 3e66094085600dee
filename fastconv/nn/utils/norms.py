"""Weights divided by their norm, under the names that torch has had for it: those of hooks, and parametrizations."""

from __future__ import annotations

import numpy as np

from ..._tensor import Tensor
from ...checks import integer, number
from ...creation import from_numpy
from ...functions import norm
from ...random import fill_normal
from ..containers import ModuleDict
from ..convolution import ConvTranspose1d, ConvTranspose2d, ConvTranspose3d
from ..module import Module
from ..parameter import Parameter
from .computed import compute, is_computed, restore, take

__all__ = [
    "norm_except_dim",
    "parametrized_spectral_norm",
    "parametrized_weight_norm",
    "remove_spectral_norm",
    "remove_weight_norm",
    "spectral_norm",
    "weight_norm",
]


def norm_except_dim(v: Tensor, dim: int | None) -> Tensor:
    """The norm over all dimensions but `dim`, which are kept with a length of 1; over all if `dim` is None or -1."""
    if dim is None or dim == -1:
        return norm(v)
    return norm(v, 2, tuple(d for d in range(v.ndim) if d != dim % v.ndim), True)


def weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """Let a parameter be ``g * v / |v|``, with ``{name}_g`` and ``{name}_v`` as parameters (Salimans and Kingma, 2016).

    Parameters
    ----------
    module : Module
    name : str
    dim : int or None
        The norm is over all other dimensions; None is over all.

    Returns
    -------
    Module
        The same one.
    """
    weight = take(module, name)
    g, v = f"{name}_g", f"{name}_v"
    module.register_parameter(g, Parameter(norm_except_dim(weight.detach(), dim)))
    module.register_parameter(v, Parameter(weight.detach()))
    compute(module, name, lambda m: _weight_norm(m._parameters[g], m._parameters[v], dim))
    return module


def _weight_norm(g: Tensor, v: Tensor, dim: int | None) -> Tensor:
    return v * (g / norm_except_dim(v, dim))


def remove_weight_norm(module: Module, name: str = "weight") -> Module:
    """Undo :func:`weight_norm`: the parameter stays as it is now."""
    return _undo(module, name, (f"{name}_g", f"{name}_v"), "weight_norm")


def _undo(module: Module, name: str, members: tuple[str, ...], what: str) -> Module:
    if not is_computed(module, name) or not hasattr(module, members[0]):
        raise ValueError(f"{what} of '{name}' not found in {module}")
    value = Parameter(getattr(module, name).detach())
    for member in members:
        delattr(module, member)
    restore(module, name, value)
    return module


def _as_matrix(weight: Tensor, dim: int) -> Tensor:
    if dim:
        weight = weight.permute(dim, *(d for d in range(weight.ndim) if d != dim))
    return weight.reshape(weight.shape[0], -1)


def _unit(x: np.ndarray, eps: float) -> np.ndarray:
    return x / max(float(np.linalg.norm(x)), eps)


def _power_iterations(matrix: np.ndarray, u: np.ndarray, v: np.ndarray, count: int, eps: float) -> None:
    """Bring v, and then u, in place, nearer to the singular vectors of the largest singular value."""
    for _ in range(count):
        v[...] = _unit(matrix.T @ u, eps)
        u[...] = _unit(matrix @ v, eps)


def _divided(weight: Tensor, u: Tensor, v: Tensor, dim: int) -> Tensor:
    sigma = (_as_matrix(weight, dim) @ v.clone()) @ u.clone()
    return weight / sigma


def _start(weight: Tensor, dim: int, eps: float) -> tuple[Tensor, Tensor]:
    vectors = []
    for n in _as_matrix(weight.detach(), dim).shape:
        vector = np.empty(n, weight.dtype)
        fill_normal(vector, 0, 1, None)
        vectors.append(from_numpy(_unit(vector, eps)))
    return vectors[0], vectors[1]


def _default_dim(module: Module, dim: int | None) -> int:
    if dim is not None:
        return integer(dim, "dim")
    return 1 if isinstance(module, (ConvTranspose1d, ConvTranspose2d, ConvTranspose3d)) else 0


def spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """Divide a parameter by its largest singular value (Miyato et al., 2018).

    Parameters
    ----------
    module : Module
    name : str
        The parameter becomes ``{name}_orig``; the singular vectors are the buffers ``{name}_u`` and ``{name}_v``.
    n_power_iterations : int
        So many each time that the parameter is read, in training.
    eps : float
        The least norm that is divided by.
    dim : int, optional
        The dimension of the outputs: 1 for transposed convolutions, else 0.

    Returns
    -------
    Module
        The same one.
    """
    count, eps = integer(n_power_iterations, "n_power_iterations", 1), number(eps, "eps")
    dim = _default_dim(module, dim)
    weight = take(module, name)
    module.register_parameter(f"{name}_orig", weight)
    for end, vector in zip("uv", _start(weight, dim, eps), strict=True):
        module.register_buffer(f"{name}_{end}", vector)

    def read(m: Module) -> Tensor:
        own, (u, v) = m._parameters[f"{name}_orig"], (m._buffers[f"{name}_{end}"] for end in "uv")
        if m.training:
            _power_iterations(_as_matrix(own.detach(), dim).numpy(), u.numpy(), v.numpy(), count, eps)
        return _divided(own, u, v, dim)

    compute(module, name, read)
    return module


def remove_spectral_norm(module: Module, name: str = "weight") -> Module:
    """Undo :func:`spectral_norm`: the parameter stays as it is now."""
    training = module.training
    module.training = False
    _undo(module, name, tuple(f"{name}_{end}" for end in ("orig", "u", "v")), "spectral_norm")
    module.training = training
    return module


# Under the names of torch.nn.utils.parametrizations the members lie in modules of their own.


def _hold(module: Module, name: str, holder: Module) -> None:
    if "parametrizations" not in module._modules:
        module.register_module("parametrizations", ModuleDict())
    module.parametrizations[name] = holder


def parametrized_weight_norm(module: Module, name: str = "weight", dim: int | None = 0) -> Module:
    """:func:`weight_norm` with ``parametrizations.weight.original0`` and ``original1`` as parameters."""
    weight = take(module, name)
    holder = Module()
    holder.original0 = Parameter(norm_except_dim(weight.detach(), dim))
    holder.original1 = Parameter(weight.detach())
    _hold(module, name, holder)
    compute(
        module,
        name,
        lambda m: _weight_norm(m.parametrizations[name].original0, m.parametrizations[name].original1, dim),
    )
    return module


def parametrized_spectral_norm(
    module: Module, name: str = "weight", n_power_iterations: int = 1, eps: float = 1e-12, dim: int | None = None
) -> Module:
    """:func:`spectral_norm` with ``parametrizations.weight.original`` as the parameter."""
    count, eps = integer(n_power_iterations, "n_power_iterations", 1), number(eps, "eps")
    dim = _default_dim(module, dim)
    weight = take(module, name)
    holder, vectors = Module(), Module()
    holder.original = weight
    for end, vector in zip("uv", _start(weight, dim, eps), strict=True):
        vectors.register_buffer(f"_{end}", vector)
    holder.register_module("0", vectors)
    # As torch has it u comes first here, which is the iteration of the transposed matrix.
    _power_iterations(_as_matrix(weight.detach(), dim).numpy().T, vectors._v.numpy(), vectors._u.numpy(), 15, eps)
    _hold(module, name, holder)

    def read(m: Module) -> Tensor:
        held = m.parametrizations[name]
        own, vectors = held.original, held._modules["0"]
        if m.training:
            matrix = _as_matrix(own.detach(), dim).numpy()
            _power_iterations(matrix.T, vectors._v.numpy(), vectors._u.numpy(), count, eps)
        return _divided(own, vectors._u, vectors._v, dim)

    compute(module, name, read)
    return module
