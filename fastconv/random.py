"""Random numbers: torch's generator, and arrays filled from it. The same seed gives the numbers that torch gives.

A function that fills an array draws its elements in the order in which they lie in memory, as torch does, whatever
the order of the axes. All of them draw from `generator`, or from the default generator where that is None.
"""

import math
import os
from collections.abc import Callable, Iterable, Iterator
from contextlib import contextmanager
from typing import Any

import numpy as np

from ._native.draws import STATE_BYTES, MersenneTwister
from ._native.memory import empty
from ._native.tape import TensorBase, wrap
from .dtypes import convert, dtype_of, float32

__all__ = [
    "Generator",
    "default_generator",
    "fork_rng",
    "get_rng_state",
    "initial_seed",
    "manual_seed",
    "seed",
    "set_rng_state",
]

# ---------------------------------------------------------------------------------------------------------
# Generators
# ---------------------------------------------------------------------------------------------------------

_UNSEEDED = 67280421310721  # what torch's generators start from until they are seeded


class Generator:
    """A seedable stream of random numbers, torch's ``Generator``: MT19937.

    Parameters
    ----------
    device : str
        Of torch's interface: ``"cpu"``.
    """

    def __init__(self, device: Any = "cpu") -> None:
        if isinstance(device, int | float):
            raise TypeError(
                f"Generator() takes a device, got {device!r}; Generator().manual_seed({device!r}) seeds one"
            )
        if str(device).split(":")[0] != "cpu":
            raise RuntimeError(f"fastconv computes on the CPU, got the device {str(device)!r}")
        self._engine = MersenneTwister(_UNSEEDED)

    @property
    def device(self) -> str:
        """Always ``"cpu"``."""
        return "cpu"

    def manual_seed(self, seed: int) -> "Generator":
        """Restart the stream at `seed`, from -2**63 to 2**64 - 1; returns self.

        Only the lowest 32 bits make a difference to the numbers.
        """
        try:
            number = int(seed)
        except TypeError:
            raise TypeError(f"a seed must be an integer, got {seed!r}") from None
        except (ValueError, OverflowError):
            raise ValueError(f"a seed must be an integer, got {seed!r}") from None
        if not -(2**63) <= number < 2**64:
            raise ValueError(f"Overflow when unpacking long long: a seed is from -2**63 to 2**64 - 1, got {number}")
        self._engine.seed(number % 2**64)
        return self

    def seed(self) -> int:
        """Restart the stream at a fresh seed from the operating system; returns that seed."""
        self._engine.seed(int.from_bytes(os.urandom(8), "little"))
        return self.initial_seed()

    def initial_seed(self) -> int:
        """The seed that the stream was started with."""
        return self._engine.initial_seed

    def get_state(self) -> TensorBase:
        """The whole state, a uint8 tensor of 5056 bytes: torch's own format."""
        state = np.empty(STATE_BYTES, np.uint8)
        self._engine.get_state(state)
        return wrap(state)

    def set_state(self, state: TensorBase) -> "Generator":
        """Continue from a state that :meth:`get_state` returned, here or in torch; returns self.

        Raises
        ------
        TypeError
            If it is not a uint8 tensor.
        RuntimeError
            If it is none of 5056 bytes, or no state.
        """
        if not isinstance(state, TensorBase) or state._array.dtype != np.uint8:
            raise TypeError(f"RNG state must be a uint8 tensor, got {_brief(state)}")
        if state._array.shape != (STATE_BYTES,):
            raise RuntimeError(
                f"Expected an RNG state of size {STATE_BYTES} but found the input RNG state size to be "
                f"{list(state._array.shape)}"
            )
        try:
            self._engine.set_state(np.ascontiguousarray(state._array))
        except ValueError as error:
            raise RuntimeError(str(error)) from None
        return self

    def clone_state(self) -> "Generator":
        """Another generator in the same state."""
        return type(self)().set_state(self.get_state())

    def __reduce__(self) -> Any:
        return _restored, (type(self), self.get_state())


def _restored(cls: type[Any], state: TensorBase) -> Generator:
    return cls().set_state(state)


def _brief(value: Any) -> str:
    if isinstance(value, TensorBase):
        return f"a tensor of {value._array.dtype}"
    return f"{str(value)[:60]!r} of type {type(value).__name__}"


default_generator: Generator = Generator()
default_generator.seed()


def manual_seed(seed: int) -> Generator:
    """Seed the default generator, from which layers, dropout, loaders and transforms draw; returns it.

    Examples
    --------
    >>> _ = fastconv.manual_seed(3)
    >>> a = fastconv.rand(2)
    >>> _ = fastconv.manual_seed(3)
    >>> fastconv.equal(a, fastconv.rand(2))
    True
    """
    return default_generator.manual_seed(seed)


def seed() -> int:
    """Restart the default generator at a fresh seed from the operating system; returns that seed."""
    return default_generator.seed()


def initial_seed() -> int:
    """The seed of the default generator."""
    return default_generator.initial_seed()


def get_rng_state() -> TensorBase:
    """The state of the default generator, a uint8 tensor."""
    return default_generator.get_state()


def set_rng_state(new_state: TensorBase) -> None:
    """Have the default generator continue from a state."""
    default_generator.set_state(new_state)


@contextmanager
def fork_rng(devices: Iterable[Any] | None = None, enabled: bool = True, device_type: str = "cpu") -> Iterator[None]:
    """A context at whose end the default generator is in the state that it was in at its beginning.

    Parameters
    ----------
    devices, device_type
        Of torch's interface, for other devices than the CPU.
    enabled : bool
        False leaves the generator alone.
    """
    state = get_rng_state()
    try:
        yield
    finally:
        if enabled:
            set_rng_state(state)


def engine_of(generator: Generator | None) -> MersenneTwister:
    """What a generator draws from, the default one for None."""
    if generator is None:
        return default_generator._engine
    if not isinstance(generator, Generator):
        raise TypeError(f"generator should be a fastconv.Generator or None, but got {generator!r}")
    return generator._engine


# ---------------------------------------------------------------------------------------------------------
# Arrays filled in place
# ---------------------------------------------------------------------------------------------------------

_FLOATS = {np.dtype(np.float32), np.dtype(np.float64)}


def fill_uniform(x: np.ndarray, low: float, high: float, generator: Generator | None) -> None:
    """Uniform in [low, high)."""
    _need_floats(x, "uniform_")
    if not -65504 <= low <= high <= 65504 or high - low > 65504:  # float16's largest number, the least of all
        _check_bounds(x.dtype, low, high)
    engine = engine_of(generator)
    _fill(x, x.dtype if x.dtype in _FLOATS else np.float32, lambda dense: engine.uniform(dense, low, high))
    if x.dtype not in _FLOATS:  # what is rounded to the upper bound once more becomes the lower one
        bounds = convert(np.array([low, high], np.float32), dtype_of(x))
        x[convert(x, float32) == convert(bounds, float32)[1]] = bounds[0]


def fill_normal(x: np.ndarray, mean: float, std: float, generator: Generator | None) -> None:
    """Normal with this mean and standard deviation."""
    if not std >= 0:
        raise RuntimeError(f"normal expects std >= 0.0, but found std {std}")
    _need_floats(x, "normal_")
    engine = engine_of(generator)
    if x.size < 16 or not x.flags.c_contiguous:
        _fill(x, np.float64, lambda dense: engine.normal_pairs(dense, mean, std))
    elif x.dtype in _FLOATS:
        _check_writeable(x)
        engine.normal_blocks(x, mean, std)
    else:
        # Unlike above, what lies beyond the last whole block is drawn once, not twice.
        drawn = np.empty(x.size, np.float32)
        whole = x.size // 16 * 16
        engine.normal_blocks(drawn[:whole], mean, std)
        if whole < x.size:
            engine.normal_blocks(drawn[-16:], mean, std)
        x[...] = convert(drawn.reshape(x.shape), dtype_of(x))


def fill_bernoulli(x: np.ndarray, p: float | np.ndarray, generator: Generator | None) -> None:
    """1 with probability p, else 0; an array of probabilities has one for each element, or broadcasts."""
    engine = engine_of(generator)
    if not isinstance(p, np.ndarray):
        if not 0 <= p <= 1:
            raise RuntimeError(f"bernoulli_ expects p to be in [0, 1], but got p={p}")
        _fill(x, x.dtype if x.dtype in _FLOATS else np.float32, lambda dense: engine.bernoulli(dense, p, 1))
        return
    _need_floats(p, "bernoulli_")
    p = p if p.dtype in _FLOATS else convert(p, float32)
    if not ((p >= 0) & (p <= 1)).all():
        raise RuntimeError("Expected p_in >= 0 && p_in <= 1 to be true, but got false: probabilities beyond [0, 1]")
    axes = _axes_in_memory(x)
    u = np.empty([x.shape[axis] for axis in axes], np.float64 if p.dtype == np.float64 else np.float32)
    engine.uniform(u, 0, 1)
    x.transpose(axes)[...] = convert(u < np.broadcast_to(p, x.shape).transpose(axes), dtype_of(x))


def fill_integers(x: np.ndarray, low: int, high: int | None, generator: Generator | None) -> None:
    """Integers from `low` up to but not including `high`, or up to the largest of the dtype where it is None."""
    least, most = _integer_range(x.dtype)
    high = most + 1 if high is None else high
    if not low < high:
        raise RuntimeError(f"random_ expects 'from' to be less than 'to', but got from={low} >= to={high}")
    for name, bound in (("from", low), ("to - 1", high - 1)):
        if not least <= bound <= most:
            raise RuntimeError(f"{name} is out of bounds for {x.dtype}: random_ got from={low} and to={high}")
    span = high - low
    if span == 2**64:  # any two words
        low, span = 0, 0
    engine = engine_of(generator)
    _fill(x, np.int64, lambda dense: engine.integers(dense, low, span, not 0 < span < 2**28))


def fill_any_integers(x: np.ndarray, generator: Generator | None) -> None:
    """Integers from 0 to the largest of an integer dtype; in a floating one, to the last without gaps."""
    if x.dtype.kind in "fV":
        span = 2 ** (8 if x.dtype.kind == "V" else np.finfo(x.dtype).nmant + 1) + 1
    else:
        span = _integer_range(x.dtype)[1] + 1
    engine = engine_of(generator)
    _fill(x, np.int64, lambda dense: engine.integers(dense, 0, span, x.dtype.itemsize == 8))


def fill_exponential(x: np.ndarray, rate: float, generator: Generator | None) -> None:
    """-log(1 - u) / rate."""
    if not rate > 0:
        raise RuntimeError(f"exponential_ expects lambda > 0.0, but found lambda={rate}")
    _need_continuous(x, "Exponential")
    engine = engine_of(generator)
    _fill(x, np.float64, lambda dense: engine.exponential(dense, rate))


def fill_cauchy(x: np.ndarray, median: float, sigma: float, generator: Generator | None) -> None:
    """median + sigma tan(pi (u - 1/2))."""
    if not sigma > 0:
        raise RuntimeError(f"cauchy_ expects sigma > 0.0, but found sigma={sigma}")
    _need_continuous(x, "Cauchy")
    engine = engine_of(generator)
    _fill(x, np.float64, lambda dense: engine.cauchy(dense, median, sigma))


def fill_log_normal(x: np.ndarray, mean: float, std: float, generator: Generator | None) -> None:
    """exp of normal numbers."""
    if not std > 0:
        raise RuntimeError(f"log_normal_ expects std > 0.0, but found std={std}")
    _need_floats(x, "log_normal_")
    engine = engine_of(generator)
    _fill(x, np.float64, lambda dense: engine.log_normal(dense, mean, std))


def fill_geometric(x: np.ndarray, p: float, generator: Generator | None) -> None:
    """How many trials of probability p the first success takes."""
    if not 0 < p < 1:
        raise RuntimeError(f"geometric_ expects p to be in (0, 1), but got p={p}")
    engine = engine_of(generator)
    _fill(x, np.float64, lambda dense: engine.geometric(dense, p))


def _check_bounds(dtype: np.dtype, low: float, high: float) -> None:
    largest = _largest(dtype)
    for name, bound in (("from", low), ("to", high)):
        if not -largest <= bound <= largest:
            raise RuntimeError(f"{name} is out of bounds for {dtype}: uniform_ got {name}={bound}")
    if low > high:
        raise RuntimeError(f"uniform_ expects to return a [from, to) range, but found from={low} > to={high}")
    if high - low > largest:
        raise RuntimeError(
            f"uniform_ expects to-from <= the largest number of {dtype}, but found to={high} and from={low}"
        )


def _fill(x: np.ndarray, dtype: Any, draw: Callable[[np.ndarray], None]) -> None:
    """Have `draw` fill a dense array of `dtype`, and x from it in the order in which its elements lie in memory."""
    flags = x.flags
    if flags.c_contiguous and flags.writeable and x.dtype == dtype:  # what is met most
        draw(x)
        return
    _check_writeable(x)
    ordered = x.transpose(_axes_in_memory(x))
    if x.dtype == dtype and ordered.flags.c_contiguous:
        draw(ordered)
        return
    dense = np.empty(ordered.shape, dtype)
    draw(dense)
    if x.dtype == np.float16 and dtype == np.float64:  # by way of float32, as torch
        dense = dense.astype(np.float32)
    ordered[...] = convert(dense, dtype_of(x))


def _axes_in_memory(x: np.ndarray) -> list[int]:
    """The axes of x, that of the longest steps in memory first."""
    return sorted(range(x.ndim), key=lambda axis: -abs(x.strides[axis]))


def _check_writeable(x: np.ndarray) -> None:
    if x.size and any(step == 0 and size > 1 for step, size in zip(x.strides, x.shape, strict=True)):
        raise RuntimeError(
            "unsupported operation: more than one element of the written-to tensor refers to a single memory "
            f"location, in size {list(x.shape)} of strides {list(x.strides)}. Please clone() the tensor before "
            "performing the operation."
        )
    if not x.flags.writeable:
        raise RuntimeError(f"unsupported operation: the tensor of size {list(x.shape)} is on read-only memory")


def _need_floats(x: np.ndarray, name: str) -> None:
    if x.dtype.kind not in "fV":
        raise NotImplementedError(f'"{name}" not implemented for {x.dtype}, only for floating-point dtypes')


def _need_continuous(x: np.ndarray, name: str) -> None:
    if x.dtype.kind not in "fV":
        raise RuntimeError(
            f"{name} distribution is a continuous probability distribution. dtype must be a floating point but you "
            f"specified {x.dtype}"
        )


def _largest(dtype: np.dtype) -> float:
    return 255 * 2.0**120 if dtype.kind == "V" else float(np.finfo(dtype).max)


def _integer_range(dtype: np.dtype) -> tuple[int, int]:
    """The least and the largest integer that numbers of `dtype` may be drawn between."""
    if dtype.kind == "b":
        return 0, 1
    if dtype.kind in "fV":
        most = min(int(_largest(dtype)), 2**63 - 1)
        return -most, most
    return int(np.iinfo(dtype).min), int(np.iinfo(dtype).max)


# ---------------------------------------------------------------------------------------------------------
# New arrays
# ---------------------------------------------------------------------------------------------------------


def dropout_noise(x: np.ndarray, p: float, shape: tuple[int, ...] | None = None) -> np.ndarray:
    """By what dropout multiplies x: 0 with probability p, else 1 / (1 - p).

    Of the shape of x, and like it in memory; or of `shape`, which broadcasts to it. p is from 0 up to but not
    including 1.
    """
    one = np.float64(1) if x.dtype == np.float64 else np.float32(1)
    scale = float(one / one.dtype.type(1 - p))
    noise = like(x) if shape is None else np.empty(shape, x.dtype)
    engine = default_generator._engine
    _fill(noise, x.dtype if x.dtype in _FLOATS else np.float32, lambda dense: engine.bernoulli(dense, 1 - p, scale))
    return noise


def like(x: np.ndarray, dtype: Any = None) -> np.ndarray:
    """An array of the shape of x with whatever was in the memory, with its axes in the order of those of x."""
    return empty(x.shape, dtype or x.dtype) if x.flags.c_contiguous else np.empty_like(x, dtype, subok=False)


def random_seed(generator: Generator | None = None) -> int:
    """A seed from 0 to 2**63 - 1 for another generator."""
    return engine_of(generator).integer(2**63)


def permutation(n: int, generator: Generator | None = None) -> np.ndarray:
    """0 ... n - 1 in random order, int64."""
    order = np.empty(n, np.int64)
    engine_of(generator).permutation(order)
    return order


def poisson(rates: np.ndarray, generator: Generator | None = None) -> np.ndarray:
    """A count of each rate's Poisson distribution, of the shape and the dtype of `rates`, dense."""
    _need_floats(rates, "poisson")
    counts = convert(rates, np.dtype(np.float64))
    if not (counts >= 0).all():
        raise RuntimeError("invalid Poisson rate, expected rate to be non-negative")
    counts = np.ascontiguousarray(counts)
    engine_of(generator).poisson(counts)
    return convert(counts, dtype_of(rates))


def multinomial(
    weights: np.ndarray, number: int, replacement: bool = False, generator: Generator | None = None
) -> np.ndarray:
    """Indices drawn with probabilities in proportion to `weights`, shape (n,) or (rows, n); int64, (..., number).

    Without replacement each weight is divided by an exponential number, and the largest quotients win.
    """
    if weights.dtype.kind not in "fV":
        raise RuntimeError(f"multinomial only supports floating-point dtypes for input, got: {weights.dtype}")
    dtype = dtype_of(weights)
    weights = weights if weights.dtype in _FLOATS else convert(weights, float32)
    if weights.ndim not in (1, 2):
        raise RuntimeError(f"prob_dist must be 1 or 2 dim, got size {list(weights.shape)}")
    categories = weights.shape[-1]
    if number <= 0:
        raise RuntimeError(f"cannot sample n_sample <= 0 samples, got {number}")
    if not replacement and number > categories:
        raise RuntimeError(
            f"cannot sample n_sample > prob_dist.size(-1) samples without replacement: {number} of {categories}"
        )
    if not (np.isfinite(weights) & (weights >= 0)).all():
        raise RuntimeError("probability tensor contains either `inf`, `nan` or element < 0")
    if categories == 0 or not (weights.sum(-1) > 0).all():
        raise RuntimeError("invalid multinomial distribution (sum of probabilities <= 0)")
    if not replacement or number == 1:
        drawn = np.empty(weights.shape, dtype)
        fill_exponential(drawn, 1, generator)
        with np.errstate(divide="ignore", invalid="ignore"):
            quotients = convert(convert(weights / convert(drawn, weights.dtype), dtype), weights.dtype)
        if number == 1:
            return quotients.argmax(-1, keepdims=True)
        return np.argsort(-quotients, axis=-1, kind="stable")[..., :number]
    sums = np.cumsum(weights, axis=-1)
    sums /= sums[..., -1:]
    sums[..., -1] = 1
    u = np.empty((*weights.shape[:-1], number), np.float64)
    engine_of(generator).uniform(u, 0, 1)
    if weights.ndim == 1:
        return np.searchsorted(sums, u)
    return np.stack([np.searchsorted(row, drawn) for row, drawn in zip(sums, u, strict=True)])


def dirichlet(concentration: np.ndarray, generator: Generator | None = None) -> np.ndarray:
    """Positive numbers of sum 1 along the last axis: gamma variates, divided by their sum."""
    gammas = np.array([_gamma(float(alpha), engine_of(generator)) for alpha in concentration.reshape(-1)])
    gammas = np.maximum(gammas, np.finfo(np.float64).tiny).reshape(concentration.shape)
    limits = np.finfo(concentration.dtype)
    return np.clip(gammas / gammas.sum(-1, keepdims=True), limits.tiny, 1 - limits.eps / 2).astype(concentration.dtype)


def _gamma(alpha: float, engine: MersenneTwister) -> float:
    """A gamma variate by the method of G. Marsaglia and W. W. Tsang (2000)."""
    number = np.empty(1, np.float64)

    def uniform() -> float:
        engine.uniform(number, 0, 1)
        return 1 - float(number[0])

    scale = 1.0
    if alpha < 1:
        if alpha == 0:
            return 0.0
        scale = uniform() ** (1 / alpha)
        alpha += 1
    # Constants are single-precision in the original, and what is accepted hangs on them.
    d = alpha - float(np.float32(1) / np.float32(3))
    c = 1 / math.sqrt(9 * d)
    while True:
        x, y = 0.0, 0.0
        while y <= 0:
            engine.normal_pairs(number, 0, 1)
            x = float(number[0])
            y = 1 + c * x
        v = y * y * y
        u = uniform()
        if u < 1 - float(np.float32(0.0331)) * x * x * x * x:
            return scale * d * v
        if math.log(u) < 0.5 * x * x + d * (1 - v + math.log(v)):
            return scale * d * v
