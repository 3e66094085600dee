"""The same seed, the same numbers as torch: draws of every kind, beside torch's or beside values that torch gave.

python -m tests.same_numbers [seeds]     every draw of that many seeds (24) beside torch, which must be installed
python -m tests.same_numbers --write     write known_numbers.json, which test_random.py reads where there is no torch
"""

import argparse
import json
import sys
import zlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np

import fastconv

KNOWN = Path(__file__).with_name("known_numbers.json")
# Both sides of every branch: pairs and blocks of normal numbers, whole blocks, and pieces of words.
SIZES = (0, 1, 2, 5, 15, 16, 17, 31, 32, 33, 100, 1000, 10007)
FEW = (0, 1, 5, 16, 33, 1000)
SEEDS = (0, 1, 42, 2**32 + 5, 2**63, -1)
FLOATS = ("float32", "float64", "float16", "bfloat16")
INTEGERS = ("int64", "int32", "int16", "int8", "uint8")
ALL = (*FLOATS, *INTEGERS, "bool")


def _probabilities(t: Any, library: Any, dtype: str) -> Any:
    p = np.linspace(0, 1, t.numel(), dtype=np.float32).reshape(tuple(t.shape))
    return library.from_numpy(p).to(getattr(library, dtype))


def _numbers(t: Any) -> np.ndarray:
    """The elements as NumPy has them, which knows no bfloat16."""
    return (t.float() if "bfloat16" in str(t.dtype) else t).numpy()


# What fills a tensor: the dtypes, and the call.
FILLS: dict[str, tuple[tuple[str, ...], Callable[[Any, Any], Any]]] = {
    "uniform_": (FLOATS, lambda t, _: t.uniform_()),
    "uniform_(-0.3, 0.7)": (FLOATS, lambda t, _: t.uniform_(-0.3, 0.7)),
    "uniform_(1000, 1001.7)": (FLOATS, lambda t, _: t.uniform_(1000, 1001.7)),
    "uniform_(0.3, 0.3)": (FLOATS, lambda t, _: t.uniform_(0.3, 0.3)),
    "normal_": (FLOATS, lambda t, _: t.normal_()),
    "normal_(0.1, 0.02)": (FLOATS, lambda t, _: t.normal_(0.1, 0.02)),
    "normal_(0.1, 0)": (FLOATS, lambda t, _: t.normal_(0.1, 0)),
    **{f"bernoulli_({p})": (ALL, lambda t, _, p=p: t.bernoulli_(p)) for p in (0, 1e-3, 0.3, 0.5, 1)},
    **{
        f"bernoulli_({kind})": (ALL, lambda t, library, kind=kind: t.bernoulli_(_probabilities(t, library, kind)))
        for kind in FLOATS
    },
    "random_": (ALL, lambda t, _: t.random_()),
    "random_(1)": (ALL, lambda t, _: t.random_(1)),
    "random_(100)": ((*FLOATS, *INTEGERS), lambda t, _: t.random_(100)),
    "random_(-5, 7)": ((*FLOATS, *INTEGERS[:-1]), lambda t, _: t.random_(-5, 7)),
    "random_(3, None)": (INTEGERS, lambda t, _: t.random_(3, None)),
    **{
        f"random_({low}, {high})": (kinds, lambda t, _, low=low, high=high: t.random_(low, high))
        for low, high, kinds in (
            (0, 2**28 - 1, INTEGERS[:2]),
            (0, 2**28, INTEGERS[:2]),
            (-(2**31), 2**31 - 1, INTEGERS[:2]),
            (0, 2**32, INTEGERS[:1]),
            (0, 2**32 + 1, INTEGERS[:1]),
            (-(2**63), 2**63 - 1, INTEGERS[:1]),
            (-(2**63), None, INTEGERS[:1]),
        )
    },
    "exponential_": (FLOATS, lambda t, _: t.exponential_()),
    "exponential_(0.3)": (FLOATS, lambda t, _: t.exponential_(0.3)),
    "cauchy_": (FLOATS, lambda t, _: t.cauchy_()),
    "cauchy_(0.1, 2.3)": (FLOATS, lambda t, _: t.cauchy_(0.1, 2.3)),
    "log_normal_": (FLOATS, lambda t, _: t.log_normal_()),
    "log_normal_(0.1, 0.3)": (FLOATS, lambda t, _: t.log_normal_(0.1, 0.3)),
    "geometric_(0.3)": ((*FLOATS, "int64", "int32"), lambda t, _: t.geometric_(0.3)),
    "geometric_(0.9)": ((*FLOATS, *INTEGERS), lambda t, _: t.geometric_(0.9)),
    # Of a tensor, a new one.
    "rand_like": (FLOATS, lambda t, library: library.rand_like(t)),
    "randn_like": (FLOATS, lambda t, library: library.randn_like(t)),
    "randint_like": (ALL[:-1], lambda t, library: library.randint_like(t, 5)),
    "bernoulli": (FLOATS, lambda t, library: library.bernoulli(t + 0.3)),
    "poisson": (FLOATS, lambda t, library: library.poisson(t * 0 + _probabilities(t, library, "float32") * 40)),
    "bernoulli(0.3)": (FLOATS, lambda t, library: library.bernoulli(t, 0.3)),
    "normal(tensor, tensor)": (FLOATS, lambda t, library: library.normal(t + 0.3, t + 2)),
    "normal(tensor, 2.3)": (FLOATS, lambda t, library: library.normal(t + 0.3, 2.3)),
    "normal(0.3, tensor)": (FLOATS, lambda t, library: library.normal(0.3, t + 2.3)),
    **{
        f"dropout({p:.2})": (FLOATS[:3], lambda t, library, p=p: library.nn.functional.dropout(t + 1, p))
        for p in (0.0, 0.1, 1 / 3, 0.5, 0.9, 1.0)
    },
}


def _weights(library: Any, dtype: str, *shape: int) -> Any:
    drawn = np.random.default_rng(shape).random(shape, np.float32)
    return library.from_numpy(drawn).to(getattr(library, dtype))


def _multinomial(dtype: str, shape: tuple[int, ...], *arguments: Any) -> Callable[[Any], Any]:
    return lambda library: library.multinomial(_weights(library, dtype, *shape), *arguments)


def _filled(name: str, shape: tuple[int, ...], **options: Any) -> Callable[[Any], Any]:
    return lambda library: getattr(library.nn.init, name)(library.zeros(*shape), **options)


# What makes a tensor.
CALLS: dict[str, Callable[[Any], Any]] = {
    "rand(3, 5)": lambda library: library.rand(3, 5),
    "randn(4, 5)": lambda library: library.randn(4, 5),
    "randint(10, (3, 4))": lambda library: library.randint(10, (3, 4)),
    "randint(-3, 2**40, (9,))": lambda library: library.randint(-3, 2**40, (9,)),
    "normal(2.0, 0.5, (20,))": lambda library: library.normal(2.0, 0.5, (20,)),
    **{f"randperm({n})": lambda library, n=n: library.randperm(n) for n in SIZES},
    **{
        f"multinomial({dtype} {shape}, {number}, {replacement})": _multinomial(dtype, shape, number, replacement)
        for dtype in FLOATS
        for shape in ((1,), (5,), (30,), (3, 7))
        for number, replacement in ((1, False), (1, True), (shape[-1], False), (40, True))
        # Among 16 bits there are equal quotients, which torch's sorting leaves in any order.
        if replacement or number == 1 or not dtype.endswith("16")
    },
    "trunc_normal_": _filled("trunc_normal_", (40, 30)),
    "trunc_normal_(0.5, 2, 0, 1)": _filled("trunc_normal_", (40, 30), mean=0.5, std=2, a=0, b=1),
    "trunc_normal_(tail)": _filled("trunc_normal_", (40, 30), a=1.5, b=3),
    "xavier_uniform_": _filled("xavier_uniform_", (8, 3, 5, 5), gain=1.3),
    "xavier_normal_": _filled("xavier_normal_", (8, 3, 5, 5), gain=1.3),
    "kaiming_uniform_": _filled("kaiming_uniform_", (8, 3, 5, 5), a=0.2),
    "kaiming_uniform_(fan_out)": _filled("kaiming_uniform_", (8, 3, 5, 5), mode="fan_out", nonlinearity="relu"),
    "kaiming_normal_": _filled("kaiming_normal_", (8, 3, 5, 5), a=0.2),
    "kaiming_normal_(fan_out)": _filled("kaiming_normal_", (8, 3, 5), mode="fan_out", nonlinearity="selu"),
    "sparse_": _filled("sparse_", (10, 7), sparsity=0.33),
    "dirac_": _filled("dirac_", (6, 4, 3, 3), groups=2),
    "eye_": _filled("eye_", (4, 6)),
    "Linear": lambda library: _parameters(library.nn.Linear(20, 7)),
    "Conv1d": lambda library: _parameters(library.nn.Conv1d(4, 6, 3, groups=2)),
    "Conv2d": lambda library: _parameters(library.nn.Conv2d(3, 8, (3, 5))),
    "Conv2d(bias=False)": lambda library: _parameters(library.nn.Conv2d(3, 8, 3, bias=False)),
    "ConvTranspose2d": lambda library: _parameters(library.nn.ConvTranspose2d(4, 6, 3, groups=2)),
    "BatchNorm2d": lambda library: _parameters(library.nn.BatchNorm2d(5)),
    "Conv3d": lambda library: _parameters(library.nn.Conv3d(2, 4, 3)),
    "ConvTranspose1d": lambda library: _parameters(library.nn.ConvTranspose1d(4, 6, 3)),
    "Embedding": lambda library: _parameters(library.nn.Embedding(30, 7, padding_idx=2)),
    "LSTM": lambda library: _parameters(library.nn.LSTM(5, 7, num_layers=2, bidirectional=True)),
    "GRU": lambda library: _parameters(library.nn.GRU(5, 7)),
    "RNN": lambda library: _parameters(library.nn.RNN(5, 7)),
    "LSTMCell": lambda library: _parameters(library.nn.LSTMCell(5, 7)),
    "MultiheadAttention": lambda library: _parameters(library.nn.MultiheadAttention(12, 3)),
    "MultiheadAttention(kdim)": lambda library: _parameters(library.nn.MultiheadAttention(12, 3, kdim=5, vdim=7)),
    "TransformerEncoderLayer": lambda library: _parameters(library.nn.TransformerEncoderLayer(12, 3, 20)),
    "dropout1d": lambda library: library.nn.functional.dropout1d(library.ones(3, 5, 7), 0.3),
    "dropout2d": lambda library: library.nn.functional.dropout2d(library.ones(3, 5, 7, 2), 0.3),
    "dropout3d": lambda library: library.nn.functional.dropout3d(library.ones(3, 5, 7, 2, 2), 0.3),
    "alpha_dropout": lambda library: library.nn.functional.alpha_dropout(library.ones(40, 30), 0.3, True),
    "feature_alpha_dropout": lambda library: library.nn.functional.feature_alpha_dropout(
        library.ones(3, 5, 7, 2), 0.3, True
    ),
}

# What is computed by libm, whose last digit is another one elsewhere.
BY_LIBM = ("normal", "randn", "exponential", "cauchy", "log_normal", "geometric", "trunc", "kaiming_n", "xavier_n")


def _parameters(layer: Any) -> Any:
    return [parameter.detach() for parameter in layer.parameters()]


def layouts(library: Any, n: int, dtype: str) -> Iterator[tuple[str, Any]]:
    """Tensors of zeros, of about n elements or some times as many, with their axes in any order."""
    kind = getattr(library, dtype)
    yield "contiguous", library.zeros(n, dtype=kind)
    if n >= 4:
        yield "transposed", library.zeros(n // 4, 4, dtype=kind).t()
        yield "column", library.zeros(n, 3, dtype=kind)[:, 1]
        yield "channels last", library.zeros(2, 2, n // 4 + 1, 3, dtype=kind).permute(0, 3, 1, 2)
        yield "part", library.zeros(4, n // 4, 3, dtype=kind)[::2, :, 1:].permute(2, 0, 1)


def draws(library: Any, sizes: tuple[int, ...], names: list[str] | None = None) -> Iterator[tuple[str, Any]]:
    """Every draw of a library, one after the other from its default generator: what it is, and its arrays."""
    for name, (dtypes, fill) in FILLS.items():
        if names is not None and name not in names:
            continue
        for dtype in dtypes:
            for n in sizes:
                for layout, t in layouts(library, n, dtype):
                    yield f"{name} {dtype} {layout} {n}", [_numbers(fill(t, library))]
    for name, call in CALLS.items():
        if names is None or name in names:
            result = call(library)
            yield name, [_numbers(t) for t in (result if isinstance(result, list) else [result])]


def state(library: Any) -> bytes:
    """The state of a library's default generator."""
    return library.get_rng_state().numpy().tobytes()


def compare(torch: Any, seed: int, sizes: tuple[int, ...], names: list[str] | None = None) -> list[str]:
    """What differs between the two libraries' draws from a seed, or between their states after them."""
    fastconv.manual_seed(seed)
    torch.manual_seed(seed)
    differing = []
    with np.errstate(all="ignore"):
        for (what, ours), (_, theirs) in zip(draws(fastconv, sizes, names), draws(torch, sizes, names), strict=True):
            alike = [
                a.shape == b.shape and a.dtype == b.dtype and np.array_equal(a, b, equal_nan=a.dtype.kind == "f")
                for a, b in zip(ours, theirs, strict=True)
            ]
            if not all(alike):
                differing.append(f"seed {seed}: {what}")
            if state(fastconv) != state(torch):
                differing.append(f"seed {seed}: the state after {what}")
                fastconv.set_rng_state(fastconv.from_numpy(torch.get_rng_state().numpy()))
    return differing


def summary(library: Any, name: str) -> dict[str, Any]:
    """A draw's numbers from seed 42 in short: a checksum, or, of what libm computes, their mean and the last one."""
    library.manual_seed(42)
    arrays = [array for _, result in draws(library, FEW, [name]) for array in result]
    short: dict[str, Any] = {"state": zlib.crc32(state(library)[:5016])}
    if name.startswith(BY_LIBM):
        finite = [array[np.isfinite(array)].astype(np.float64) for array in arrays]
        short["means"] = [float(f"{array.mean():.6g}") for array in finite if array.size]
    else:
        short["crc"] = zlib.crc32(b"".join(array.tobytes() for array in arrays))
    return short


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("seeds", type=int, nargs="?", default=24)
    parser.add_argument("--write", action="store_true")
    options = parser.parse_args()
    import torch

    if options.write:
        known = {name: summary(torch, name) for name in (*FILLS, *CALLS)}
        KNOWN.write_text("{\n" + ",\n".join(f"{json.dumps(k)}: {json.dumps(v)}" for k, v in known.items()) + "\n}\n")
        return
    differing = []
    for seed in (*SEEDS, *range(100, 100 + options.seeds))[: options.seeds]:
        found = compare(torch, seed, SIZES)
        print(f"seed {seed}: {len(found)} differences", flush=True)
        differing += found
    print(*differing[:50], sep="\n")
    sys.exit(bool(differing))


if __name__ == "__main__":
    main()
