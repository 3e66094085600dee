"""Convolutional networks on the CPU, with torch's names: tensors, layers, losses, optimizers, loaders."""

# ruff: noqa: F401  (the names imported here are what the package offers)

from . import nn, optim, utils
from ._runtime import empty_cache, get_num_threads, set_num_threads
from .random import Generator, default_generator, initial_seed, manual_seed
from .tensor import (
    Tensor,
    abs,
    add,
    all,
    allclose,
    any,
    arange,
    argmax,
    argmin,
    as_tensor,
    cat,
    clamp,
    device,
    div,
    empty,
    empty_like,
    enable_grad,
    equal,
    exp,
    eye,
    flatten,
    float16,
    float32,
    float64,
    from_dlpack,
    from_numpy,
    full,
    full_like,
    int8,
    int16,
    int32,
    int64,
    is_grad_enabled,
    is_tensor,
    isfinite,
    isnan,
    linspace,
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
    no_grad,
    norm,
    numel,
    ones,
    ones_like,
    permute,
    pow,
    rand,
    rand_like,
    randint,
    randn,
    randn_like,
    randperm,
    relu,
    reshape,
    set_grad_enabled,
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
    zeros,
    zeros_like,
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
    from .info import describe

    print(describe())


def __getattr__(name: str):
    if name == "vision":  # on first use: it is needed for images only
        import importlib

        return importlib.import_module(".vision", __name__)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
