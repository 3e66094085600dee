"""Convolutional networks on the CPU, with torch's names: tensors, layers, losses, optimizers, loaders."""

from typing import TYPE_CHECKING

from . import _openmp, backends, nn, optim, serialization, utils  # noqa: F401  (_openmp is imported for what it does)
from ._native.memory import empty_cache
from ._native.runtime import get_num_threads, set_num_threads
from ._tensor import Tensor
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .creation import (
    arange,
    as_tensor,
    empty,
    empty_like,
    eye,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    linspace,
    ones,
    ones_like,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    tensor,
    zeros,
    zeros_like,
)
from .dtypes import bool_ as bool
from .dtypes import device, float16, float32, float64, int8, int16, int32, int64, uint8
from .dtypes import float16 as half
from .dtypes import float32 as float
from .dtypes import float64 as double
from .dtypes import int32 as int
from .dtypes import int64 as long
from .functions import (
    abs,
    add,
    all,
    allclose,
    any,
    argmax,
    argmin,
    cat,
    clamp,
    div,
    equal,
    exp,
    flatten,
    is_tensor,
    isfinite,
    isnan,
    log,
    log_softmax,
    matmul,
    max,
    maximum,
    mean,
    min,
    minimum,
    mul,
    neg,
    norm,
    numel,
    permute,
    pow,
    relu,
    reshape,
    sigmoid,
    softmax,
    sqrt,
    squeeze,
    stack,
    std,
    sub,
    sum,
    tanh,
    transpose,
    unsqueeze,
    var,
    where,
)
from .ops import explain
from .random import Generator, default_generator, initial_seed, manual_seed
from .serialization import load, save

if TYPE_CHECKING:
    from . import vision as vision  # otherwise imported on first use, by __getattr__

__all__ = [
    "Generator",
    "Tensor",
    "__version__",
    "abs",
    "add",
    "all",
    "allclose",
    "any",
    "arange",
    "argmax",
    "argmin",
    "as_tensor",
    "backends",
    "bool",
    "cat",
    "clamp",
    "default_generator",
    "device",
    "div",
    "double",
    "empty",
    "empty_cache",
    "empty_like",
    "enable_grad",
    "equal",
    "exp",
    "explain",
    "eye",
    "flatten",
    "float",
    "float16",
    "float32",
    "float64",
    "from_dlpack",
    "from_numpy",
    "full",
    "full_like",
    "get_num_threads",
    "half",
    "initial_seed",
    "int",
    "int16",
    "int32",
    "int64",
    "int8",
    "is_grad_enabled",
    "is_tensor",
    "isfinite",
    "isnan",
    "linspace",
    "load",
    "log",
    "log_softmax",
    "long",
    "manual_seed",
    "matmul",
    "max",
    "maximum",
    "mean",
    "min",
    "minimum",
    "mul",
    "neg",
    "nn",
    "no_grad",
    "norm",
    "numel",
    "ones",
    "ones_like",
    "optim",
    "permute",
    "pow",
    "rand",
    "rand_like",
    "randint",
    "randn",
    "randn_like",
    "randperm",
    "relu",
    "reshape",
    "save",
    "serialization",
    "set_grad_enabled",
    "set_num_threads",
    "show_config",
    "sigmoid",
    "softmax",
    "sqrt",
    "squeeze",
    "stack",
    "std",
    "sub",
    "sum",
    "tanh",
    "tensor",
    "transpose",
    "uint8",
    "unsqueeze",
    "utils",
    "var",
    "where",
    "zeros",
    "zeros_like",
]

__version__ = "0.1.0"


def show_config() -> None:
    """Print versions, CPU, threads and the instruction set in use."""
    from .app.info import describe

    print(describe())


def __getattr__(name: str):
    if name in ("hub", "vision"):  # on first use: few need them
        import importlib

        return importlib.import_module(f".{name}", __name__)
    from ._compat import find  # what only programs written for torch name

    return find(__name__, name)
