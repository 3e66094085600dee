"""Drawn invalid arguments: every public entry point, its good arguments spoiled one, two or three at a time.

A call has to raise: an error of the right family, whose message holds a value that was wrong (an array by its shape,
dtype or type), within a second, without taking 100 MB. ``fuzz.py`` runs the cases in a process of their own, so that a
crash or a hang is a finding too.
"""

import functools
import math
import resource
import time
import tracemalloc

import numpy as np

import fastconv
from fastconv import Tensor, backends, from_numpy, nn, ops, optim
from fastconv._native import memory, runtime
from fastconv.app import checkpoint, train
from fastconv.nn import functional as F
from fastconv.nn import grad, init
from fastconv.nn import utils as nn_utils
from fastconv.optim import lr_scheduler
from fastconv.utils import data
from fastconv.vision import datasets, transforms
from fastconv.vision.models import small as models

FAMILY = (ValueError, TypeError, RuntimeError, IndexError, KeyError, MemoryError, OSError)
ASSERTING = ("TensorDataset", "ConcatDataset")  # these raise AssertionError, as torch's do
SECONDS = 1.0
BYTES = 100_000_000


class Kind:
    """A parameter: a good value, values that no call may accept, and others that some can take, listed or drawn."""

    def __init__(self, good, bad=(), maybe=(), draw=None):
        self.good, self.bad, self.maybe, self.draw = good, list(bad), list(maybe), draw

    def but(self, good, *allowed):
        """The same with another good value, some bad values allowed."""
        bad = [value for value in self.bad if not any(value is a or _same(value, a) for a in allowed)]
        return Kind(good, bad, self.maybe, self.draw)


def _same(a, b):
    return type(a) is type(b) and isinstance(a, int | float | str | tuple | list | type(None)) and a == b


class Odd:
    """An object that is nothing in particular."""

    def __repr__(self):
        return "<an odd object>"


NAN, INF = float("nan"), float("inf")
HUGE = [2**31 - 1, 2**31, 2**40, 2**59, 2**60, 2**62]
JUNK = [None, "zebra", b"zebra", Odd(), {7: 8}, {9}, 3j, NAN, INF, 1.5, (), len, np.float32(2.5), np.array([1.5, 2.5])]
NOT_INT = [*JUNK, [1, None], ("3", 4), True, 2**63, 2**64, 10**30, -(10**30)]


def array(*shape, dtype=np.float32):
    return (np.arange(math.prod(shape)) % 7 + 1).astype(dtype).reshape(shape)


def giant(*shape):
    return np.broadcast_to(np.float32(1), shape)


def draw_integer(rng):
    """Small, or beyond all memory: what lies between may well be computed, if it takes its time."""
    magnitude = int(2 ** (rng.uniform(50, 66) if rng.random() < 0.2 else rng.uniform(0, 4)))
    return magnitude if rng.random() < 0.7 else -magnitude


def draw_size(rng):
    count = int(rng.choice([0, 1, 2, 3], p=[0.5, 0.1, 0.3, 0.1]))
    return tuple(draw_integer(rng) for _ in range(count)) or draw_integer(rng)


def draw_shape(rng):
    return tuple(int(n) for n in rng.integers(0, 10, size=rng.integers(0, 7)))


def draw_floats(rng):
    return array(*draw_shape(rng), dtype=rng.choice([np.float32, np.float32, np.float64, np.float16, np.int32]))


def size(good, least=1):
    """An integer or a pair of them."""
    low = [least - 1, -1, -7, -(2**31), -(2**63), (least - 1, 1), (1, -3)]
    return Kind(
        good, [*NOT_INT, *low, (1, 2, 3), (1.5, 2), (NAN, 1), [[1, 2]], (2**63, 1)], [*HUGE, (2**40, 1)], draw_size
    )


def integer(good, least=1):
    return Kind(good, [*NOT_INT, least - 1, -7, -(2**31), -(2**63), (1, 2)], HUGE[2:], draw_integer)


def number(good, low=None, high=None, closed=True):
    """A real number from `low` to `high`."""
    bad = [None, "zebra", b"zebra", Odd(), {7: 8}, 3j, (), len, np.array([1.5, 2.5]), (1, 2)]
    if low is not None:
        bad += [NAN, low - 0.5, -1e30, -INF] + ([] if closed else [low])
    if high is not None:
        bad += [high + 0.25, 1e30, INF]
    return Kind(good, bad)


def choice(good):
    return Kind(good, ["zebra", "", 3, 1.5, Odd(), b"zeros", ("zeros",), {}])


NOT_FLOAT = [array(2, 4, 6, 7, dtype=t) for t in (np.int64, np.uint8, bool, np.complex64, np.longdouble)]
NOT_FLOAT += [np.full((2, 4, 6, 7), "a"), np.full((2, 4, 6, 7), None), np.ma.masked_array(array(2, 4, 6, 7), False)]
NO_ARRAY = [None, "zebra", 3, 1.5, [[1.0, 2.0]], Odd(), {7: 8}, (), b"zebra", len]
RANKS = [array(*shape) for shape in ((), (5,), (5, 9), (2, 1, 4, 6, 7), (1,) * 7)]


def floats(good, *misfits, giants=True):
    """An array: bad ones are no arrays, no floats, or those named; giants take no memory themselves."""
    large = [giant(2**20, 2**20, 2**18, 3), giant(1, 4, 2**29, 2**29)] if giants else []
    return Kind(good, [*NO_ARRAY, *NOT_FLOAT, *misfits], [*large, good.astype(np.float64)], draw_floats)


def tensors(kind):
    """The same with Tensors for arrays where there can be such."""

    def wrap(value):
        if isinstance(value, np.ndarray) and value.dtype.kind in "fiub" and value.dtype.itemsize <= 8:
            return from_numpy(np.asarray(value)) if not isinstance(value, np.ma.MaskedArray) else value
        return value

    draw = None if kind.draw is None else lambda rng: wrap(kind.draw(rng))
    return Kind(wrap(kind.good), [wrap(v) for v in kind.bad], [wrap(v) for v in kind.maybe], draw)


def shape(good):
    n = len(good)
    bad = [*NOT_INT, 3, (-1,) * n, (*good[:-1], -5), good * 2, (1.5,) * n, ("a",) * n, (None,) * n, (2**61,) * n]
    return Kind(good, bad, [(*good[:-1], 2**50), (2**50, *good[1:]), (0,) * n, (1,) * n], draw_shape)


X, W, B, Y = array(2, 4, 6, 7), array(6, 2, 3, 3), array(6), array(2, 6, 4, 5)
X1, W1, Y1 = array(2, 4, 9), array(6, 2, 3), array(2, 6, 7)
WT, YT = array(4, 3, 3, 3), array(2, 6, 8, 9)
INDICES = np.zeros((2, 4, 3, 3), np.int64)


def _x(good=X):
    small = (*good.shape[:2], 1, 1) if good.ndim == 4 else (*good.shape[:2], 1)
    return floats(good, *RANKS, array(2, 5, *good.shape[2:]), array(*small))


def _w(good=W):
    return floats(good, *RANKS, array(6, 4, *good.shape[2:]), array(5, 2, *good.shape[2:]), array(6, 2, 0, 3))


def _b():
    return floats(B, array(5), array(6, 1), array(1, 6), array(), giants=False).but(B, None)


def _y(good):
    return floats(good, *RANKS, good[:1], good[:, :1], good[..., :1])


STEPS = {"stride": size(1), "padding": size(0, least=0), "dilation": size(1), "groups": integer(2)}
TRANSPOSED = {
    "stride": size(1),
    "padding": size(0, least=0),
    "output_padding": size(0, least=0),
    "groups": integer(2),
    "dilation": size(1),
}
POOL = {"kernel_size": size(2), "stride": size(2).but(2, None, ()), "padding": size(0, least=0)}
DIVISOR = Kind(None, [v for v in NOT_INT if v is not None] + [0, (1, 2), 2**61])
PADS = Kind((1, 1, 1, 1), [*NOT_INT, 3, (1, 2), (1, 1, 1, -9), (1, 1, 1, 1.5), (2**61, 0, 0, 0)], [(2**40, 0, 0, 0)])
MODE = choice("zeros")
OUTPUT = Kind((2, 3), [v for v in size(1, least=0).bad if v is not None] + [[], (1, None, 2)], HUGE).but(
    (2, 3), [1, None]
)


def _net():
    return nn.Sequential(nn.Conv2d(1, 2, 3), nn.Flatten(), nn.Linear(2 * 6 * 6, 3))


def _optimizer(**options):
    return optim.SGD(_net().parameters(), **options)


def _scheduled(cls, steps=3):
    def call(**options):
        optimizer = options.pop("optimizer") if "optimizer" in options else _optimizer(lr=0.1, momentum=0.9)
        scheduler = cls(optimizer, **options)
        for _ in range(steps):
            optimizer.step()
            scheduler.step(1.0) if cls is lr_scheduler.ReduceLROnPlateau else scheduler.step()

    return call


def _layer(cls, shape):
    """Make a layer, and call it."""

    def call(input=None, **options):
        layer = cls(**options)
        return layer(from_numpy(array(*shape)) if input is None else input)

    return call


def _loaded(cls=data.DataLoader, **fixed):
    def call(**options):
        return list(cls(_dataset(), **fixed, **options))

    return call


def _dataset():
    return data.TensorDataset(from_numpy(array(6, 1, 8, 8)), from_numpy(np.arange(6) % 3))


def _forced(**options):
    with backends.force(**options):
        return ops.conv2d(X, W, B, 1, 0, 1, 2)


def _picture():
    from PIL import Image

    return Image.fromarray(array(12, 10, 3, dtype=np.uint8))


def _transform(cls):
    def call(image=None, **options):
        return cls(**options)(_picture() if image is None else image)

    return call


def _method(name, good):
    return lambda *args, **kw: getattr(from_numpy(good.copy()), name)(*args, **kw)


def _fit(**options):
    model = options.pop("model", None) or _net()
    loader = options.pop("train_loader", None) or data.DataLoader(_dataset(), batch_size=3)
    optimizer = optim.SGD(model.parameters(), lr=0.01)
    train.fit(model, loader, optimizer, verbose=False, **options)


T = from_numpy(array(2, 3, 4))
TENSOR = Kind(T, [None, "zebra", 3, Odd(), {7: 8}, b"zebra", len])
DIM = Kind(1, [3, -4, 1.5, NAN, "zebra", 10**30, Odd(), {}, b"1"])
DIMS = DIM.but(1)
LOGITS = tensors(floats(array(5, 3), array(), giants=False))
IMAGE = Kind(None, [3, "zebra", array(3, 8, 8), Odd(), [1, 2], b"x"])
SIZES2 = Kind(
    (2, 3), [v for v in NOT_INT if not isinstance(v, tuple | bool)] + [(2, -3), (2, 1.5), ("a", 1), (2**62, 2)]
)
COUNT = integer(3, least=0)

# name: (function, its parameters)
ENTRIES = {
    "ops.conv2d": (ops.conv2d, {"x": _x(), "w": _w(), "b": _b(), **STEPS}),
    "ops.conv1d": (ops.conv1d, {"x": _x(X1), "w": _w(W1), "b": _b(), **STEPS}),
    "ops.conv2d_input": (ops.conv2d_input, {"input_size": shape(X.shape), "w": _w(), "dy": _y(Y), **STEPS}),
    "ops.conv1d_input": (ops.conv1d_input, {"input_size": shape(X1.shape), "w": _w(W1), "dy": _y(Y1), **STEPS}),
    "ops.conv2d_weight": (ops.conv2d_weight, {"x": _x(), "weight_size": shape(W.shape), "dy": _y(Y), **STEPS}),
    "ops.conv1d_weight": (ops.conv1d_weight, {"x": _x(X1), "weight_size": shape(W1.shape), "dy": _y(Y1), **STEPS}),
    "ops.conv_transpose2d": (
        ops.conv_transpose2d,
        {"x": floats(X, *RANKS), "w": floats(WT, *RANKS, WT[:3], WT[:, :0]), "b": _b(), **TRANSPOSED},
    ),
    "ops.conv_transpose2d_input": (
        ops.conv_transpose2d_input,
        {"input_size": shape(X.shape), "w": _y(WT), "dy": _y(YT), **TRANSPOSED},
    ),
    "ops.conv_transpose2d_weight": (
        ops.conv_transpose2d_weight,
        {"x": _y(X), "weight_size": shape(WT.shape), "dy": _y(YT), **TRANSPOSED},
    ),
    "ops.explain": (
        ops.explain,
        {
            "input_size": shape(X.shape),
            "weight_size": shape(W.shape),
            **STEPS,
            "dtype": Kind(np.float64, [np.int64, "zebra", Odd(), 3]),
            "memory_format": choice("channels_last"),
            "force": choice("panels"),
        },
    ),
    "backends.force": (_forced, {"form": choice("lanes")}),
    "ops.bias_gradient": (
        ops.bias_gradient,
        {"dy": floats(Y, array(), array(5), array(1, 1, 1, 1, 1), giants=False), "dims": Kind(2, [*NOT_INT, 0, 3, -1])},
    ),
    "ops.linear": (ops.linear, {"x": floats(array(3, 4), *RANKS), "w": floats(array(5, 4), *RANKS)}),
    "ops.linear_input": (
        ops.linear_input,
        {"w": floats(array(5, 4), *RANKS[:2], *RANKS[3:]), "dy": floats(array(3, 5), RANKS[0], *RANKS[2:])},
    ),
    "ops.linear_weight": (ops.linear_weight, {"x": floats(array(3, 4), *RANKS), "dy": floats(array(3, 5), *RANKS)}),
    "ops.pad2d": (ops.pad2d, {"x": floats(X, array(), array(5), array(5, 6)), "pads": PADS, "mode": MODE}),
    "ops.pad2d_backward": (ops.pad2d_backward, {"dy": floats(X, array(), array(5)), "pads": PADS, "mode": MODE}),
    "ops.max_pool2d": (ops.max_pool2d, {"x": floats(X, *RANKS), **POOL, "dilation": size(1)}),
    "ops.max_pool2d_backward": (
        ops.max_pool2d_backward,
        {
            "dy": floats(array(2, 4, 3, 3), *RANKS, array(2, 4, 3, 2)),
            "indices": Kind(
                INDICES, [*NO_ARRAY, *NOT_FLOAT[1:], INDICES - 1, INDICES + 42, INDICES[:1], INDICES + 2**40]
            ),
            "input_size": shape(X.shape),
        },
    ),
    "ops.avg_pool2d": (ops.avg_pool2d, {"x": floats(X, *RANKS), **POOL, "divisor_override": DIVISOR}),
    "ops.avg_pool2d_backward": (
        ops.avg_pool2d_backward,
        {"dy": _y(array(2, 4, 3, 3)), "input_size": shape(X.shape), **POOL, "divisor_override": DIVISOR},
    ),
    "ops.adaptive_avg_pool2d": (ops.adaptive_avg_pool2d, {"x": floats(X, *RANKS, giants=False), "output_size": OUTPUT}),
    "ops.adaptive_avg_pool2d_backward": (
        ops.adaptive_avg_pool2d_backward,
        {"dy": floats(array(2, 4, 3, 3), *RANKS), "input_size": shape(X.shape)},
    ),
    "F.conv2d": (F.conv2d, {"input": tensors(_x()), "weight": tensors(_w()), "bias": tensors(_b()), **STEPS}),
    "F.conv1d": (F.conv1d, {"input": tensors(_x(X1)), "weight": tensors(_w(W1)), "bias": tensors(_b()), **STEPS}),
    "F.conv_transpose2d": (
        F.conv_transpose2d,
        {
            "input": tensors(floats(X, *RANKS)),
            "weight": tensors(floats(WT, *RANKS, WT[:3])),
            "bias": tensors(_b()),
            **TRANSPOSED,
        },
    ),
    "nn.grad.conv2d_input": (
        grad.conv2d_input,
        {"input_size": shape(X.shape), "weight": tensors(_w()), "grad_output": tensors(_y(Y)), **STEPS},
    ),
    "nn.grad.conv2d_weight": (
        grad.conv2d_weight,
        {"input": tensors(_x()), "weight_size": shape(W.shape), "grad_output": tensors(_y(Y)), **STEPS},
    ),
    "F.max_pool2d": (F.max_pool2d, {"input": tensors(floats(X, *RANKS)), **POOL, "dilation": size(1)}),
    "F.avg_pool2d": (F.avg_pool2d, {"input": tensors(floats(X, *RANKS)), **POOL, "divisor_override": DIVISOR}),
    "F.adaptive_avg_pool2d": (
        F.adaptive_avg_pool2d,
        {"input": tensors(floats(X, *RANKS, giants=False)), "output_size": OUTPUT},
    ),
    "F.pad": (
        F.pad,
        {
            "input": Kind(from_numpy(X), NO_ARRAY),
            "pad": Kind((1, 1, 1, 1), [*JUNK[:10], 3, (1,), (1,) * 10, (1.5, 1), (-9, 0), ("a", "b")], [(2**40, 0)]),
            "mode": choice("constant"),
            "value": number(None).but(None, None),
        },
    ),
    "F.pad(reflect)": (
        functools.partial(F.pad, mode="reflect"),
        {
            "input": Kind(from_numpy(X), [*NO_ARRAY, *map(from_numpy, RANKS)]),
            "pad": Kind((1, 1, 1, 1), [*JUNK[:-1], 3, (1,), (7, 7, 1, 1), (1, 1), (2**40, 0, 0, 0)]),
        },
    ),
    "F.linear": (
        F.linear,
        {
            "input": tensors(floats(array(3, 4), array(), array(5), giants=False)),
            "weight": tensors(floats(array(5, 4), array(), array(5), array(5, 3))),
            "bias": tensors(floats(array(5), array(4), array(), giants=False)).but(from_numpy(array(5)), None),
        },
    ),
    "F.batch_norm": (
        functools.partial(F.batch_norm, training=True),
        {
            "input": tensors(floats(X, array(), array(5), array(2, 5, 6, 7), giants=False)),
            "running_mean": Kind(
                from_numpy(array(4)), [from_numpy(array(3)), 3, "zebra", from_numpy(array(1, 4)), Odd()]
            ),
            "running_var": Kind(
                from_numpy(array(4)), [from_numpy(array(3)), 3, "zebra", from_numpy(array(1, 4)), Odd()]
            ),
            "weight": tensors(floats(array(4), array(3), array(), giants=False)).but(from_numpy(array(4)), None),
            "bias": tensors(floats(array(4), array(3), array(), giants=False)).but(from_numpy(array(4)), None),
            "momentum": number(0.1),
            "eps": number(1e-5),
        },
    ),
    "F.dropout": (F.dropout, {"input": TENSOR, "p": number(0.5, 0, 1)}),
    "F.relu": (F.relu, {"input": TENSOR}),
    "F.leaky_relu": (F.leaky_relu, {"input": TENSOR, "negative_slope": number(0.01)}),
    "lerp": (fastconv.lerp, {"input": TENSOR, "end": TENSOR, "weight": number(0.5)}),
    "F.sigmoid": (F.sigmoid, {"input": TENSOR}),
    "F.tanh": (F.tanh, {"input": TENSOR}),
    "F.softmax": (F.softmax, {"input": TENSOR, "dim": DIMS}),
    "F.log_softmax": (F.log_softmax, {"input": TENSOR, "dim": DIMS}),
    "F.flatten": (F.flatten, {"input": TENSOR, "start_dim": DIM, "end_dim": DIM.but(2)}),
    "F.cross_entropy": (
        F.cross_entropy,
        {
            "input": LOGITS,
            "target": Kind(
                from_numpy(np.array([0, 1, 2, 0, 1])),
                [
                    None,
                    3,
                    "zebra",
                    Odd(),
                    from_numpy(np.array([0, 1, 2, 0, 3])),
                    from_numpy(np.array([0, 1, 2, 0, -1])),
                    from_numpy(np.array([0, 1])),
                    from_numpy(array(5)),
                    from_numpy(array(5, 2)),
                    [0, 1, 2, 0, 1],
                ],
            ),
            "weight": tensors(floats(array(3), array(4), array(3, 1), giants=False)).but(from_numpy(array(3)), None),
            "ignore_index": Kind(-100, [None, "zebra", 1.5, NAN, Odd(), (1, 2)]),
            "reduction": choice("mean"),
            "label_smoothing": number(0.1, 0, 1),
        },
    ),
    "F.mse_loss": (
        F.mse_loss,
        {"input": LOGITS, "target": tensors(floats(array(5, 3), array(5), array(3, 5))), "reduction": choice("mean")},
    ),
    "F.one_hot": (
        F.one_hot,
        {
            "tensor": Kind(from_numpy(np.array([0, 2])), [None, 3, "zebra", T, Odd(), from_numpy(np.array([-1]))]),
            "num_classes": Kind(4, [None, "zebra", 1.5, NAN, 0, -5, 2, (1, 2), Odd(), 10**30], [2**40, 2**59]),
        },
    ),
    "nn.Conv1d": (
        _layer(nn.Conv1d, (2, 4, 9)),
        {
            "in_channels": integer(4, least=0),
            "out_channels": integer(6, least=0),
            "kernel_size": size(3),
            **STEPS,
            "padding_mode": MODE,
            "input": tensors(floats(X1, array(5), array(2, 5, 9))).but(from_numpy(X1), None),
        },
    ),
    "nn.Conv2d": (
        _layer(nn.Conv2d, X.shape),
        {
            "in_channels": integer(4, least=0),
            "out_channels": integer(6, least=0),
            "kernel_size": size(3),
            **STEPS,
            "padding_mode": MODE,
            "input": tensors(floats(X, *RANKS)).but(from_numpy(X), None),
        },
    ),
    "nn.ConvTranspose2d": (
        _layer(nn.ConvTranspose2d, X.shape),
        {
            "in_channels": integer(4, least=0),
            "out_channels": integer(6, least=0),
            "kernel_size": size(3),
            **TRANSPOSED,
            "padding_mode": MODE,
        },
    ),
    "nn.MaxPool2d": (_layer(nn.MaxPool2d, X.shape), {**POOL, "dilation": size(1)}),
    "nn.AvgPool2d": (_layer(nn.AvgPool2d, X.shape), {**POOL, "divisor_override": DIVISOR}),
    "nn.AdaptiveAvgPool2d": (_layer(nn.AdaptiveAvgPool2d, X.shape), {"output_size": OUTPUT}),
    "nn.BatchNorm2d": (
        _layer(nn.BatchNorm2d, X.shape),
        {
            "num_features": integer(4, least=0),
            "eps": number(1e-5),
            "momentum": number(0.1).but(0.1, None),
            "input": tensors(floats(X, *RANKS[:4], array(2, 5, 6, 7), giants=False)).but(from_numpy(X), None),
        },
    ),
    "nn.Linear": (
        _layer(nn.Linear, (3, 4)),
        {"in_features": integer(4, least=0), "out_features": integer(5, least=0)},
    ),
    "nn.Dropout": (_layer(nn.Dropout, X.shape), {"p": number(0.5, 0, 1)}),
    "nn.Softmax": (_layer(nn.Softmax, (2, 3, 4)), {"dim": DIMS}),
    "nn.LogSoftmax": (_layer(nn.LogSoftmax, (2, 3, 4)), {"dim": DIMS}),
    "nn.Flatten": (_layer(nn.Flatten, (2, 3, 4)), {"start_dim": DIM, "end_dim": DIM.but(2)}),
    "nn.CrossEntropyLoss": (
        lambda **options: nn.CrossEntropyLoss(**options)(from_numpy(array(5, 3)), from_numpy(np.arange(5) % 3)),
        {
            "weight": Kind(None, [3, "zebra", Odd(), from_numpy(array(4)), array(3)]),
            "ignore_index": Kind(-100, [None, "zebra", 1.5, NAN, Odd(), (1, 2)]),
            "reduction": choice("mean"),
            "label_smoothing": number(0.1, 0, 1),
        },
    ),
    "nn.MSELoss": (lambda **options: nn.MSELoss(**options), {"reduction": choice("mean")}),
    "nn.Sequential": (nn.Sequential, {"*modules": Kind(nn.ReLU(), [3, "zebra", Odd(), len, [nn.ReLU()], T])}),
    "nn.ModuleList": (nn.ModuleList, {"modules": Kind([nn.ReLU()], [3, Odd(), [3], ["zebra"], [len]])}),
    "Module.load_state_dict": (
        lambda state_dict: nn.Linear(2, 3).load_state_dict(state_dict),
        {
            "state_dict": Kind(
                nn.Linear(2, 3).state_dict(),
                [
                    None,
                    3,
                    "zebra",
                    [1],
                    {},
                    {"weight": T},
                    {"weight": array(3, 2), "bias": array(4)},
                    {"weight": "zebra", "bias": array(3)},
                    {"weight": array(3, 2), "bias": array(3), "zebra": array(3)},
                ],
            )
        },
    ),
    "Module.to": (lambda target: nn.Linear(2, 3).to(target), {"target": Kind("cpu", ["zebra", 3, Odd()])}),
    "Module.train": (lambda mode: nn.ReLU().train(mode), {"mode": Kind(True, [3, "zebra", None, 1.5, Odd()])}),
    "init.uniform_": (
        lambda **options: init.uniform_(fastconv.zeros(3), **options),
        {"a": number(0.0), "b": number(1.0)},
    ),
    "init.normal_": (
        lambda **options: init.normal_(fastconv.zeros(3), **options),
        {"mean": number(0.0), "std": number(1.0, 0)},
    ),
    "init.constant_": (lambda val: init.constant_(fastconv.zeros(3), val), {"val": number(1.0)}),
    "init.kaiming_uniform_": (
        lambda tensor=None, **options: init.kaiming_uniform_(
            tensor if tensor is not None else fastconv.zeros(3, 4), **options
        ),
        {
            "tensor": Kind(None, [3, "zebra", Odd(), fastconv.zeros(3)]),
            "mode": choice("fan_in"),
            "nonlinearity": choice("relu"),
            "a": number(0.0),
        },
    ),
    "init.xavier_uniform_": (
        lambda **options: init.xavier_uniform_(fastconv.zeros(3, 4), **options),
        {"gain": number(1.0)},
    ),
    "utils.clip_grad_norm_": (
        nn_utils.clip_grad_norm_,
        {
            "parameters": Kind([fastconv.zeros(3)], [None, 3, "zebra", [3], Odd()]),
            "max_norm": number(1.0, 0),
            "norm_type": number(2.0),
        },
    ),
    "optim.SGD": (
        lambda params=None, **options: optim.SGD([fastconv.zeros(3)] if params is None else params, **options).step(),
        {
            "params": Kind(None, [3, "zebra", [], [3], Odd(), [None], [{"params": [3]}], [{"zebra": 1}], T]),
            "lr": number(0.1, 0),
            "momentum": number(0.9, 0),
            "dampening": number(0.0),
            "weight_decay": number(0.0, 0),
        },
    ),
    "Optimizer.load_state_dict": (
        lambda state_dict: _optimizer(lr=0.1).load_state_dict(state_dict),
        {
            "state_dict": Kind(
                _optimizer(lr=0.1).state_dict(),
                [
                    None,
                    3,
                    "zebra",
                    [1],
                    {},
                    {"state": {}, "param_groups": [{"params": [0]}]},
                    {"state": {99: {}}, "param_groups": _optimizer(lr=0.1).state_dict()["param_groups"]},
                    {"state": 3, "param_groups": "zebra"},
                    {"state": {}, "param_groups": [{"zebra": 3}]},
                ],
            )
        },
    ),
    "StepLR": (
        _scheduled(lr_scheduler.StepLR),
        {
            "step_size": integer(2),
            "gamma": number(0.1),
            "optimizer": Kind(_optimizer(lr=0.1), [None, 3, "zebra", Odd()]),
        },
    ),
    "MultiStepLR": (
        _scheduled(lr_scheduler.MultiStepLR),
        {"milestones": Kind([1, 2], [None, 3, "zebra", ["a"], [None], Odd(), [1.5]]), "gamma": number(0.1)},
    ),
    "ExponentialLR": (_scheduled(lr_scheduler.ExponentialLR), {"gamma": number(0.9)}),
    "LinearLR": (
        _scheduled(lr_scheduler.LinearLR),
        {"start_factor": number(0.5, 0, 1, closed=False), "end_factor": number(1.0, 0, 1), "total_iters": number(4, 0)},
    ),
    "CosineAnnealingLR": (
        _scheduled(lr_scheduler.CosineAnnealingLR),
        {"T_max": number(5, 0, closed=False), "eta_min": number(0.0)},
    ),
    "OneCycleLR": (
        _scheduled(lr_scheduler.OneCycleLR),
        {
            "max_lr": number(0.1).but(0.1, (1, 2)),
            "total_steps": Kind(
                9, [v for v in integer(9).bad if v is not None and not (isinstance(v, int) and v > 9)], HUGE
            ),
            "pct_start": number(0.3, 0, 1),
            "anneal_strategy": choice("cos"),
            "div_factor": number(25.0, 0, closed=False),
            "final_div_factor": number(1e4, 0, closed=False),
        },
    ),
    "ReduceLROnPlateau": (
        _scheduled(lr_scheduler.ReduceLROnPlateau),
        {
            "mode": choice("min"),
            "factor": Kind(0.1, [1.0, 1.5, None, "zebra", Odd(), NAN, INF]),
            "patience": number(2, 0),
            "threshold": number(1e-4),
            "threshold_mode": choice("rel"),
            "cooldown": number(0, 0),
            "min_lr": number(0.0).but(0.0, (1, 2)),
            "eps": number(1e-8),
        },
    ),
    "DataLoader": (
        _loaded(),
        {
            "batch_size": integer(2).but(2, None),
            "num_workers": Kind(0, [*NOT_INT, -1, -(2**31)]),
            "drop_last": Kind(False, [None, "zebra", 3, Odd()]),
            "generator": Kind(None, [3, "zebra", Odd(), np.random.default_rng(0)]),
            "sampler": Kind(None, [3, Odd(), [99], ["zebra"], [None], [1.5]]),
            "collate_fn": Kind(None, [3, "zebra", Odd()]),
        },
    ),
    "DataLoader(batch_sampler)": (
        lambda batch_sampler: list(data.DataLoader(_dataset(), batch_sampler=batch_sampler)),
        {"batch_sampler": Kind([[1, 2]], [3, Odd(), [[99]], [3], [["zebra"]]])},
    ),
    "DataLoader(dataset)": (
        lambda dataset: list(data.DataLoader(dataset)),
        {"dataset": Kind([1, 2], [None, 3, Odd(), {7}, [None], [Odd()], [{7: Odd()}]])},
    ),
    "TensorDataset": (
        data.TensorDataset,
        {"*tensors": Kind(T, [None, 3, "zebra", Odd(), array(2), fastconv.tensor(3.0)])},
    ),
    "TensorDataset.__getitem__": (
        lambda index: _dataset()[index],
        {"index": Kind(0, [6, -7, "zebra", 1.5, Odd(), 10**30])},
    ),
    "Subset": (
        lambda indices: list(data.DataLoader(data.Subset(_dataset(), indices))),
        {"indices": Kind([1, 2], [None, 3, "zebra", [99], [None], Odd(), ["a"], [1.5]])},
    ),
    "ConcatDataset": (data.ConcatDataset, {"datasets": Kind([[1], [2]], [None, 3, [3], [None], Odd()])}),
    "ConcatDataset.__getitem__": (
        lambda index: data.ConcatDataset([[1], [2]])[index],
        {"index": Kind(0, [2, -3, "zebra", 1.5, Odd(), 10**30, None])},
    ),
    "random_split": (
        lambda lengths: data.random_split(_dataset(), lengths),
        {
            "lengths": Kind(
                [4, 2], [None, 3, "zebra", [4, 3], [7, -1], [0.5, 0.6], [NAN, 1], ["a", "b"], Odd(), [], [1.5, 4.5]]
            )
        },
    ),
    "RandomSampler": (
        _loaded(lambda dataset, **options: data.RandomSampler(dataset, **options)),
        {
            "replacement": Kind(True, [None, "zebra", 3, Odd()]),
            "num_samples": Kind(3, [v for v in integer(3).bad if v is not None]),
            "generator": Kind(None, [3, "zebra", Odd()]),
        },
    ),
    "BatchSampler": (
        data.BatchSampler,
        {
            "sampler": Kind([1, 2]),
            "batch_size": integer(2),
            "drop_last": Kind(False, [None, "zebra", 3, Odd()]),
        },
    ),
    "default_collate": (
        data.default_collate,
        {
            "batch": Kind(
                [1, 2], [None, 3, [None], [Odd()], [T, fastconv.zeros(9)], [(1, 2), (1,)], [{1: 2}, {}], [], [1, "a"]]
            )
        },
    ),
    "Resize": (
        _transform(transforms.Resize),
        {"size": size(5).but((5, 4)), "max_size": Kind(None, ["zebra", 3, -1, Odd(), 1.5, 0]), "image": IMAGE},
    ),
    "RandomCrop": (
        _transform(transforms.RandomCrop),
        {
            "size": Kind((5, 4), size(5).bad, [2**31, 2**40, 2**60]),
            "padding": Kind(1, [*JUNK[1:], -1, (1, 2, 3), (1, -2), [1.5]], [2**31, 2**40]),
            "padding_mode": choice("constant"),
            "image": IMAGE.but(None, *IMAGE.bad[2:3]),
        },
    ),
    "CenterCrop": (_transform(transforms.CenterCrop), {"size": Kind((5, 4), size(5).bad), "image": IMAGE}),
    "RandomHorizontalFlip": (_transform(transforms.RandomHorizontalFlip), {"p": number(0.5, 0, 1), "image": IMAGE}),
    "Grayscale": (
        _transform(transforms.Grayscale),
        {"num_output_channels": integer(1, least=0).but(1), "image": IMAGE},
    ),
    "Normalize": (
        lambda mean, std, image: transforms.Normalize(mean, std)(image),
        {
            "mean": Kind((0.5,), [None, "zebra", (1, 2, 3), (), Odd(), ("a",), b"zebra"]),
            "std": Kind((0.5,), [None, "zebra", (1, 2, 3), (), Odd(), ("a",), (0.0,), 0]),
            "image": Kind(T, [None, 3, "zebra", _picture(), fastconv.zeros(3), from_numpy(np.arange(8)), Odd()]),
        },
    ),
    "ToTensor": (
        lambda image: transforms.ToTensor()(image),
        {"image": Kind(array(4, 4), [None, 3, "zebra", T, array(4), array(1, 1, 1, 1), Odd(), np.array([["a"]])])},
    ),
    "Lambda": (transforms.Lambda, {"lambd": Kind(len, [None, 3, "zebra", Odd()])}),
    "Compose": (
        lambda transforms_: transforms.Compose(transforms_)(_picture()),
        {"transforms_": Kind([transforms.ToTensor()], [None, 3, [3], ["zebra"], [None], Odd()])},
    ),
    "ConvNet": (
        models.ConvNet,
        {
            "in_channels": integer(3, least=0),
            "image_size": Kind(32, [*NOT_INT, 0, -1, 15, (32, 3), (1, 2, 3)]),
            "num_classes": integer(10, least=0),
        },
    ),
    "LeNet": (models.LeNet, {"in_channels": integer(1, least=0), "num_classes": integer(10, least=0)}),
    "zeros": (fastconv.zeros, {"*size": Kind((2, 3), SIZES2.bad, [(2**40, 2**10)])}),
    "ones(dtype)": (
        lambda dtype: fastconv.ones(3, dtype=dtype),
        {"dtype": Kind("float32", ["zebra", "complex64", "U3", object, 3, Odd(), "float128"])},
    ),
    "full": (fastconv.full, {"size": Kind((2, 3), SIZES2.bad), "fill_value": number(1.0)}),
    "arange": (
        fastconv.arange,
        {
            "start": number(0, 0).but(0, -0.5, -1e30),
            "end": number(5).but(5, None),
            "step": Kind(1, [0, NAN, "zebra", None, Odd()]),
        },
    ),
    "linspace": (fastconv.linspace, {"start": number(0.0), "end": number(1.0), "steps": integer(5, least=0)}),
    "logspace": (fastconv.logspace, {"start": number(0.0), "end": number(1.0), "steps": integer(5, least=0)}),
    "eye": (fastconv.eye, {"n": integer(3, least=0), "m": Kind(None, integer(3, least=0).but(3, None).bad)}),
    "rand": (
        fastconv.rand,
        {"*size": Kind((2, 3), SIZES2.bad, [(2**40, 2**10)]), "generator": Kind(None, [3, "zebra", Odd()])},
    ),
    "randint": (
        fastconv.randint,
        {
            "low": Kind(0, [5, 9, None, "zebra", Odd(), NAN, 10**30]),
            "high": Kind(5, [0, -3, "zebra", Odd(), NAN, 10**30]),
            "size": Kind((2,), SIZES2.but((2,), None).bad),
        },
    ),
    "randperm": (fastconv.randperm, {"n": integer(4, least=0)}),
    "tensor": (
        lambda data, dtype: fastconv.tensor(data, dtype=dtype),
        {
            "data": Kind([1.0], [None, "zebra", Odd(), [[1], [1, 2]], {7: 8}, [None], 3j, len, [1, "a"], b"zebra"]),
            "dtype": Kind(None, ["zebra", "complex64", "U3", object, 3, Odd()]),
        },
    ),
    "from_numpy": (
        from_numpy,
        {"ndarray": Kind(X, [*NO_ARRAY, array(2, dtype=np.complex64), array(2, dtype=">f4"), T])},
    ),
    "Tensor.reshape": (
        _method("reshape", X),
        {"*shape": Kind(336, [5, -2, "zebra", None, 1.5, Odd(), (-1, -1), (5, -1), 10**30])},
    ),
    "Tensor.view": (
        _method("view", X),
        {"*shape": Kind(336, [5, -2, "zebra", None, 1.5, Odd(), (-1, -1), (5, -1), 10**30])},
    ),
    "Tensor.permute": (
        _method("permute", X),
        {"*dims": Kind((3, 2, 1, 0), [(0, 1), (0, 0, 1, 2), "zebra", None, (0, 1, 2, 9), 1.5, Odd()])},
    ),
    "Tensor.transpose": (_method("transpose", T.numpy()), {"dim0": DIM, "dim1": DIM.but(2)}),
    "Tensor.squeeze": (_method("squeeze", T.numpy()), {"dim": DIM}),
    "Tensor.unsqueeze": (_method("unsqueeze", T.numpy()), {"dim": DIM.but(0, 3, -4)}),
    "Tensor.expand": (
        _method("expand", array(1, 3)),
        {"*shape": Kind((4, 3), [(4, 5), (3,), 1.5, "zebra", None, Odd(), (-5, 3)])},
    ),
    "Tensor.sum": (_method("sum", T.numpy()), {"dim": DIM.but(1, None)}),
    "Tensor.mean": (_method("mean", T.numpy()), {"dim": DIM}),
    "Tensor.var": (_method("var", T.numpy()), {"dim": DIM}),
    "Tensor.max": (_method("max", T.numpy()), {"dim": DIM}),
    "Tensor.argmax": (_method("argmax", T.numpy()), {"dim": DIM}),
    "Tensor.any": (_method("any", T.numpy()), {"dim": DIM}),
    "Tensor.norm": (_method("norm", T.numpy()), {"p": Kind(2, ["zebra", Odd(), (1, 2), 3j]), "dim": DIM}),
    "Tensor.clamp": (
        _method("clamp", T.numpy()),
        {"min": Kind(0.0, ["zebra", Odd(), {}, 3j]), "max": Kind(1.0, ["zebra", Odd(), {}])},
    ),
    "Tensor.to": (_method("to", T.numpy()), {"*target": Kind("cpu", ["zebra", 3, Odd(), "complex64", object])}),
    "Tensor.fill_": (_method("fill_", T.numpy().copy()), {"value": number(1.0)}),
    "Tensor.copy_": (
        _method("copy_", T.numpy().copy()),
        {"src": Kind(T, ["zebra", Odd(), from_numpy(array(9)), None, {}])},
    ),
    "Tensor.backward": (
        lambda gradient: from_numpy(array(3)).requires_grad_().backward(gradient),
        {"gradient": Kind(array(3), [array(4), "zebra", Odd(), T, 3])},
    ),
    "Tensor.__getitem__": (
        lambda index: T[index],
        {"index": Kind(0, [2, -3, "zebra", 1.5, Odd(), (0, 0, 0, 0), [99], 10**30, {}])},
    ),
    "Tensor.__setitem__": (
        lambda index, value: T.clone().__setitem__(index, value),
        {
            "index": Kind(0, [2, -3, "zebra", 1.5, Odd(), [99]]),
            "value": Kind(1.0, ["zebra", Odd(), array(9), None, {}]),
        },
    ),
    "Tensor.__add__": (
        lambda other: T + other,
        {"other": Kind(1, ["zebra", Odd(), None, array(9), from_numpy(array(9)), {}])},
    ),
    "matmul": (
        fastconv.matmul,
        {
            "input": Kind(fastconv.ones(2, 3), [None, 3, "zebra", fastconv.ones(2, 4), fastconv.tensor(3.0), Odd()]),
            "other": Kind(fastconv.ones(3, 2), [None, 3, fastconv.ones(4), fastconv.ones(3, 2).double(), Odd()]),
        },
    ),
    "cat": (
        fastconv.cat,
        {"tensors": Kind([T, T], [None, 3, [], [3], "zebra", [T, fastconv.zeros(9)], Odd()]), "dim": DIM},
    ),
    "stack": (
        fastconv.stack,
        {"tensors": Kind([T, T], [None, 3, [], [3], "zebra", [T, fastconv.zeros(9)], Odd()]), "dim": DIM.but(0, 3, -4)},
    ),
    "where": (
        fastconv.where,
        {
            "condition": Kind(T > 0, [None, "zebra", Odd(), from_numpy(array(9)) > 0]),
            "input": Kind(T, ["zebra", Odd(), None, from_numpy(array(9))]),
            "other": Kind(0.0, ["zebra", Odd(), None, {}]),
        },
    ),
    "exp": (fastconv.exp, {"input": TENSOR}),
    "log": (fastconv.log, {"input": TENSOR}),
    "sqrt": (fastconv.sqrt, {"input": TENSOR}),
    "set_num_threads": (lambda n: _restore_threads(n), {"n": integer(1)}),
    "set_isa": (
        lambda name: runtime.set_isa(name),
        {"name": Kind(runtime.get_isa(), ["zebra", "", None, 3, Odd(), b"avx2", "\0"])},
    ),
    "manual_seed": (fastconv.manual_seed, {"seed": Kind(0, [None, "zebra", Odd(), NAN, (1, 2), {}, INF, 3j])}),
    "Generator": (fastconv.Generator, {"device": Kind("cpu", ["zebra", Odd(), NAN, (1, 2), {}, INF, 3j])}),
    "MNIST": (datasets.MNIST, {"root": Kind(None, ["/no/such/zebra", 3, None, Odd(), 1.5])}),
    "CIFAR10": (datasets.CIFAR10, {"root": Kind(None, ["/no/such/zebra", 3, None, Odd(), 1.5])}),
    "ImageFolder": (datasets.ImageFolder, {"root": Kind(None, ["/no/such/zebra", 3, None, Odd(), 1.5, "\0"])}),
    "checkpoint.load": (checkpoint.load, {"path": Kind(None, ["/no/such/zebra", 1.5, None, Odd(), "\0"])}),
    "checkpoint.save": (
        lambda path, state: checkpoint.save(path, state),
        {
            "path": Kind("/dev/null/zebra", ["/no/such/zebra", 1.5, None, Odd(), "\0"]),
            "state": Kind(
                {}, [None, 3, {"a": "zebra"}, {"a": Odd()}, {3: array(2)}, {"a": array(2, dtype=np.complex64)}]
            ),
        },
    ),
    "train.fit": (
        _fit,
        {
            "epochs": Kind(1, [None, "zebra", Odd(), NAN, 1.5, -1]),
            "step_scheduler": choice("epoch"),
            "checkpoint_seconds": number(60.0, 0).but(60.0, INF),
            "resume": Kind(False, [True]),
            "loss_function": Kind(None, [3, "zebra", Odd()]),
            "train_loader": Kind(None, [3, Odd(), [(T, T)]]),
        },
    ),
}
# A good call of these cannot be made here: no file is there to be read.
NO_GOOD_CALL = {"MNIST", "CIFAR10", "ImageFolder", "checkpoint.load", "checkpoint.save"}


def _restore_threads(n):
    before = runtime.get_num_threads()
    fastconv.set_num_threads(n)
    fastconv.set_num_threads(before)


def call(name: str, arguments: dict) -> None:
    """Call an entry point; parameters named ``*x`` are handed over by their position."""
    function, _ = ENTRIES[name]
    positional = [value for key, value in arguments.items() if key.startswith("*")]
    function(*positional, **{key: value for key, value in arguments.items() if not key.startswith("*")})


def draw(seed: int, index: int):
    """The name of an entry point, its arguments, which of them are spoiled, and whether it has to refuse them."""
    rng = np.random.default_rng([seed, index])
    name = list(ENTRIES)[int(rng.integers(len(ENTRIES)))]
    kinds = ENTRIES[name][1]
    arguments = {key: kind.good for key, kind in kinds.items()}
    count = min(len(kinds), int(rng.choice([1, 2, 3], p=[0.7, 0.2, 0.1])))
    spoiled, certain = [], False
    for key in rng.permutation(list(kinds))[:count]:
        kind = kinds[str(key)]
        values = kind.bad + kind.maybe
        if kind.draw is not None and rng.random() < 0.4:
            arguments[str(key)] = kind.draw(rng)
        elif values:
            place = int(rng.integers(len(values)))
            arguments[str(key)] = values[place]
            certain = count == 1 and place < len(kind.bad)  # two that are spoiled may fit each other
        else:
            continue
        spoiled.append(str(key))
    return name, arguments, spoiled, certain


def described(value) -> str:
    if isinstance(value, Tensor | np.ndarray):
        return f"{type(value).__name__} {value.dtype} {list(value.shape)}"
    return repr(value)[:200]


def named(value, key: str) -> set[str]:
    """How a message may name a value: as it is written, or by its type; an array by its shape or dtype."""
    texts = {type(value).__name__}
    if isinstance(value, Tensor | np.ndarray):
        value = value._array if isinstance(value, Tensor) else value
        texts |= {str(list(value.shape)), str(value.shape), str(value.dtype), " x ".join(map(str, value.shape[-2:]))}
        texts |= {f"{value.ndim}-D", f"{value.ndim} dimension", str([1, *value.shape])}
        if value.dtype.kind in "iu" and value.size:
            texts |= {str(value.min()), str(value.max())}
        if value.size < 9:
            texts |= {str(value), repr(value), *map(str, value.ravel().tolist())}
        return texts
    texts |= {repr(value), str(value)}
    if isinstance(value, list | tuple | set):
        texts |= {str(list(value)), str(tuple(value)), str([1, *value])}
        # A fault within a sequence is named by the item.
        for item in value:
            small = isinstance(item, int) and 0 <= item <= 3
            texts |= {f"got {item!r}", f"is {item!r}", "got int"} if small else named(item, key)
    elif isinstance(value, dict):
        for item in (*value, *value.values()):
            texts |= named(item, key)
        if not value:
            texts |= {"missing", "empty", "no ", "lacks"}
    if value is None:
        texts |= {"None", "NoneType", "without", "missing"}
    if isinstance(value, str) and len(value) > 1:
        texts |= {repr(value[0])}  # as a sequence
    if isinstance(value, (list, tuple, str, bytes)) and not value:
        texts |= {"empty", "none", "no ", "at least one", "[]", "()"}
    return {text for text in texts if text}


def check_case(seed: int, index: int) -> str:
    """Run a case; "refused" or "accepted", or an AssertionError that tells what is wrong with it."""
    began, worked = time.monotonic(), time.process_time()
    name, arguments, spoiled, certain = draw(seed, index)
    outcome = check_call(name, arguments, spoiled, certain)
    took = min(time.monotonic() - began, time.process_time() - worked)
    assert took <= SECONDS, f"{told(name, arguments, spoiled)} took {took:.1f} s"
    return outcome


def told(name: str, arguments: dict, spoiled: list) -> str:
    return f"{name}({', '.join(f'{key}={described(arguments[key])}' for key in spoiled)})"


def check_call(name: str, arguments: dict, spoiled: list, certain: bool) -> str:
    """The same of one call, but for the time that it takes."""
    what = told(name, arguments, spoiled)
    rss = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    tracemalloc.start()
    error = None
    try:
        call(name, arguments)
    except Exception as raised:
        error = raised
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    memory.empty_cache()
    grown = (resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - rss) * 1024
    # NumPy counts memory that it asked for and did not get as well.
    used = grown if isinstance(error, MemoryError) else max(peak, grown)
    assert used <= BYTES, f"{what} took {used / 1e6:.0f} MB"
    if error is None:
        assert not certain, f"{what} was accepted"
        return "accepted"
    text = f"{type(error).__name__}: {error}"
    right = isinstance(error, FAMILY) or (isinstance(error, AssertionError) and name in ASSERTING)
    assert right, f"{what} raised {text}"
    message = str(error)
    if isinstance(error, MemoryError):
        # A number of bytes or elements is what was wrong.
        assert any(character.isdigit() for character in message), f"{what} raised {text}"
        return "refused"
    names = set().union(*(named(arguments[key], key) for key in spoiled))
    assert any(each in message for each in names), f"{what} raised a message without the value: {text}"
    return "refused"


def run(seed: int, first: int, seconds: float, most: int) -> tuple[int, list]:
    """Cases until the time is up, in child processes: a crash or a hang ends one of them, and is a finding."""
    import mmap
    import multiprocessing
    import signal

    place = mmap.mmap(-1, 16)  # shared: the case at work, and how many were refused
    failures: list = []
    deadline = time.monotonic() + seconds
    index = first
    refused = 0

    def child(connection, index):
        resource.setrlimit(resource.RLIMIT_AS, (8 << 30, 8 << 30))
        count = 0
        while time.monotonic() < deadline and index - first < most:
            place[:8] = index.to_bytes(8, "little")
            try:
                count += check_case(seed, index) == "refused"
            except AssertionError as finding:
                connection.send([index, str(finding)])
            place[8:] = count.to_bytes(8, "little")
            index += 1
        place[:8] = index.to_bytes(8, "little")
        connection.close()

    context = multiprocessing.get_context("fork")
    while time.monotonic() < deadline and index - first < most:
        ours, theirs = context.Pipe(duplex=False)
        process = context.Process(target=child, args=(theirs, index))
        process.start()
        theirs.close()
        seen, since = -1, time.monotonic()
        while True:
            try:
                if ours.poll(1.0):
                    failures.append(ours.recv())
                    print(f"case {failures[-1][0]} of seed {seed}: {failures[-1][1]}", flush=True)
            except EOFError:
                break
            index = int.from_bytes(place[:8], "little")
            if index != seen:
                seen, since = index, time.monotonic()
            elif time.monotonic() - since > 20:
                process.kill()
        process.join()
        index = int.from_bytes(place[:8], "little")
        refused += int.from_bytes(place[8:], "little")
        if process.exitcode:
            name, arguments, spoiled, _ = draw(seed, index)
            what = told(name, arguments, spoiled)
            why = signal.strsignal(-process.exitcode) if process.exitcode < 0 else f"exit status {process.exitcode}"
            failures.append([index, f"{what} ended the process: {why}"])
            print(f"case {index} of seed {seed}: {failures[-1][1]}", flush=True)
            index += 1
    print(f"{refused} refused", flush=True)
    return index - first, failures
