"""Convolutional networks on the CPU, with torch's names: tensors, layers, losses, optimizers, loaders."""

# ruff: noqa: F401  (the names imported here are what the package offers)

from . import _openmp, backends, nn, optim, utils
from ._native.memory import empty_cache
from ._native.runtime import get_num_threads, set_num_threads
from .autograd import enable_grad, is_grad_enabled, no_grad, set_grad_enabled
from .creation import (
    arange,
    empty,
    empty_like,
    eye,
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
    zeros,
    zeros_like,
)
from .ops import explain
from .random import Generator, default_generator, initial_seed, manual_seed
from .tensor import (
    Tensor,
    abs,
    add,
    all,
    allclose,
    any,
    argmax,
    argmin,
    as_tensor,
    cat,
    clamp,
    device,
    div,
    equal,
    exp,
    flatten,
    float16,
    float32,
    float64,
    from_dlpack,
    from_numpy,
    int8,
    int16,
    int32,
    int64,
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
    tensor,
    transpose,
    uint8,
    unsqueeze,
    var,
    where,
)
from .tensor import bool_ as bool
from .tensor import float16 as half
from .tensor import float32 as float
from .tensor import float64 as double
from .tensor import int32 as int
from .tensor import int64 as long

__version__ = "0.1.0"


def show_config() -> None:
    """Print versions, CPU, threads and the instruction set in use."""
    from .app.info import describe

    print(describe())


def __getattr__(name: str):
    if name == "vision":  # on first use: it is needed for images only
        import importlib

        return importlib.import_module(".vision", __name__)
    from ._compat import find  # what only programs written for torch name

    return find(__name__, name)
