"""fastconv, torch and NumPy timed in turns, each in a process of its own.

Two OpenMP runtimes in one process spin against each other, so each contender runs in a worker process, and
:func:`alternate` has them take turns: A B A B ... A worker reads one JSON request a line, and
answers with one JSON line.

A workload is a dict: ``op`` is one of :data:`PASSES`, one of :data:`POOLING`, ``"step"`` or ``"call"``; the others are
its sizes:

* a pass: N, C, H, W (images), K, R, S (filters), stride, padding (h, w), dilation, groups, all but `padding` integers;
* pooling: N, C, H, W, kernel, stride, padding, integers for both directions;
* ``step``, one training step of the textbook's network (section 12.4): N;
* ``call``, a layer forward and backward on so few numbers that calling it is what takes the time: layer, one of
  :data:`LAYERS`, of which ``"SGD"`` is an optimizer's step over the parameters of that network.

Inputs are normal random numbers in float32, the same for every contender.
"""

import contextlib
import gc
import importlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
import traceback
import zlib
from collections.abc import Callable, Iterable, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Self

import numpy as np

__all__ = [
    "LAYERS",
    "PASSES",
    "POOLING",
    "Contender",
    "Unavailable",
    "Worker",
    "alternate",
    "convolution_shapes",
    "measure",
    "median_ratio",
    "operations",
    "prepare",
    "running",
]

PASSES = ("forward", "input", "weight")
POOLING = ("max_forward", "max_backward", "average_forward", "average_backward")
LAYERS = ("Conv2d", "ReLU", "MaxPool2d", "AvgPool2d", "Flatten", "Linear", "CrossEntropyLoss", "SGD")

MIN_SAMPLE_S = 5e-3  # a timed sample repeats its call until it lasts this long
# By default GCC's idle OpenMP threads spin through 300,000 pauses of up to 40 ns.
TURN_PAUSE_S = 25e-3
REWARM_BELOW_S = 50e-3  # calls shorter than this get an untimed call first: the other processes had the caches

# glibc malloc settings under which torch keeps its memory instead of faulting pages in again on every call
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "16000000000",
    "MALLOC_TOP_PAD_": "100000000",
}


class Unavailable(Exception):
    """The contender is not installed, or has no such operation."""


# ---------------------------------------------------------------------------------------------------------------------
# The asking side


class Worker:
    """A process that answers every line of JSON with one; a context manager that ends it.

    Parameters
    ----------
    name : str
        What it measures, for errors.
    command : sequence of str
        What follows the interpreter.
    threads : int
        Threads of its libraries.
    environment : dict of str
        Variables beside those.
    still : bool
        Stop it between a question's answer and the next question, where the system can: the idle threads of some
        libraries spin. One that is stopped does not end when this process is killed.

    Attributes
    ----------
    name : str
    first : dict
        Its first answer, which it gives unasked.

    Raises
    ------
    Unavailable
        An answer says so.
    RuntimeError
        It has ended, or an answer tells of an error.
    """

    def __init__(
        self,
        name: str,
        command: Sequence[str],
        threads: int,
        environment: dict[str, str] | None = None,
        still: bool = False,
    ) -> None:
        self.name = name
        self._still = still and os.name == "posix"
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTCONV_NUM_THREADS")
        variables = os.environ | dict.fromkeys(variables, str(threads)) | (environment or {})
        # OpenBLAS's idle threads would spin through the next contender's turn: 2^20 clock cycles, then they sleep.
        variables.setdefault("OPENBLAS_THREAD_TIMEOUT", "20")
        self._process = subprocess.Popen(
            [sys.executable, *command], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True, env=variables
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        try:
            self.first = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, **request: Any) -> dict[Any, Any]:
        """The answer to a request."""
        if self._still:
            self._process.send_signal(signal.SIGCONT)
        with contextlib.suppress(BrokenPipeError):  # whether the worker lives shows in its answer
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        return self._answer()

    def time(self) -> float:
        """Seconds of what it has prepared, over one timed sample."""
        return self.ask(do="time")["seconds"]

    def _answer(self) -> dict[Any, Any]:
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the process that measures {self.name} ended with status {self._process.wait()}")
        if self._still:
            self._process.send_signal(signal.SIGSTOP)
        answer = json.loads(line)
        if "unavailable" in answer:
            raise Unavailable(f"{self.name}: {answer['unavailable']}")
        if "error" in answer:
            raise RuntimeError(f"the process that measures {self.name} failed:\n{answer['error']}")
        return answer

    def close(self) -> None:
        """End the process, whatever it is doing."""
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *exception) -> None:
        self.close()


class Contender(Worker):
    """A worker that runs the workloads of one contender.

    Parameters
    ----------
    kind : {"fastconv", "fastconv_channels_last", "torch", "torch_channels_last", "numpy"}
        ``"fastconv"`` is the package that this module belongs to, wherever the asking process is.
    threads : int
        Threads of the contender's kernels.
    keep_memory : bool
        Set glibc's malloc to keep its memory (:data:`KEEP_MEMORY`).

    Attributes
    ----------
    version : str
        The contender's version.

    Raises
    ------
    Unavailable
        torch cannot be imported.
    """

    def __init__(self, kind: str, threads: int = 1, keep_memory: bool = False) -> None:
        if kind not in _PREPARE:
            raise ValueError(f"expected one of the contenders {', '.join(_PREPARE)}, got {kind!r}")
        # The worker imports this very package: not another one in the working directory (-P), nor one installed.
        package = str(Path(__file__).resolve().parents[2])
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        environment = {"PYTHONPATH": path} | (KEEP_MEMORY if keep_memory else {})
        super().__init__(kind, ["-P", "-m", "fastconv.app.contenders", kind, str(threads)], threads, environment)
        self.version: str = self.first["version"]

    def prepare(self, workload: dict[Any, Any]) -> list[float]:
        """Build the workload, run it once and choose how often a sample calls it; returns a sample of the result."""
        return self.ask(do="prepare", workload=workload)["sample"]

    def peak_gflops(self) -> float:
        """The float32 FMA peak of one core in GFLOP/s, as fastconv's kernels reach it in the worker now."""
        return self.ask(do="peak")["gflops"]


@contextlib.contextmanager
def running(kinds: Iterable[str], threads: int = 1, keep_memory: bool = False) -> Iterator[list[Contender]]:
    """Contenders of those `kinds` that are installed; a line on stderr tells which are not.

    `keep_memory` concerns torch's kinds alone.
    """
    with contextlib.ExitStack() as stack:
        contenders = []
        for kind in kinds:
            keeps = keep_memory and kind.startswith("torch")
            try:
                contenders.append(stack.enter_context(Contender(kind, threads, keeps)))
            except Unavailable as error:
                print(f"left out: {error}", file=sys.stderr)
        yield contenders


def alternate(contenders: Sequence[Worker], repeats: int) -> list[list[float]]:
    """Times of the prepared workloads, ``times[contender][turn]`` in seconds: they take turns, `repeats` times."""
    times: list[list[float]] = [[] for _ in contenders]
    for _ in range(repeats):
        for contender, its_times in zip(contenders, times, strict=True):
            its_times.append(contender.time())
            time.sleep(TURN_PAUSE_S)
    return times


def measure(workload: dict[Any, Any], contenders: Sequence[Contender], repeats: int) -> dict[str, dict[Any, Any]]:
    """Time a workload in turns and compare the results; the first contender is the one that the others refer to.

    Returns
    -------
    dict of dicts by contender, those without such an operation left out
        ``times`` (seconds of each turn), ``seconds`` (their median); and of all but the first: ``ratio`` (how many
        times as fast the first was, see :func:`median_ratio`) and ``difference`` (norm-wise, relative, between a
        sample of the first's result and theirs).
    """
    samples, ready = {}, []
    for contender in contenders:
        try:
            samples[contender.name] = contender.prepare(workload)
        except Unavailable:
            continue
        ready.append(contender)
    times = dict(zip(samples, alternate(ready, repeats), strict=True))
    first, *others = samples
    return {
        "times": times,
        "seconds": {kind: statistics.median(times[kind]) for kind in times},
        "ratio": {kind: median_ratio(times[kind], times[first]) for kind in others},
        "difference": {kind: _difference(samples[first], samples[kind]) for kind in others},
    }


def median_ratio(times: Sequence[float], base: Sequence[float]) -> float:
    """Median over the turns of ``times / base``: how many times as fast the base was."""
    return statistics.median(t / b for t, b in zip(times, base, strict=True))


def _difference(a: list[float], b: list[float]) -> float:
    """``||a - b|| / ||b||``."""
    if len(a) != len(b):
        return math.inf
    return math.dist(a, b) / max(math.hypot(*b), 1e-300)


# ---------------------------------------------------------------------------------------------------------------------
# The workloads


def convolution_shapes(workload: dict[Any, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...], tuple[Any, ...]]:
    """Shapes of x, w and y: (N, C, H, W), (K, C / groups, R, S) and (N, K, P, Q) with
    ``P = (H + 2 padding - dilation (R - 1) - 1) // stride + 1``.
    """
    case = workload
    output = (
        (case[size] + 2 * pad - case["dilation"] * (case[extent] - 1) - 1) // case["stride"] + 1
        for size, extent, pad in zip("HW", "RS", case["padding"], strict=True)
    )
    return (
        (case["N"], case["C"], case["H"], case["W"]),
        (case["K"], case["C"] // case["groups"], case["R"], case["S"]),
        (case["N"], case["K"], *output),
    )


def operations(workload: dict[Any, Any]) -> int:
    """Floating-point operations of any of a convolution's three passes, counted as direct:
    ``2 N K P Q (C / groups) R S``.
    """
    _, w_shape, y_shape = convolution_shapes(workload)
    return 2 * math.prod(y_shape) * math.prod(w_shape[1:])


def prepare(kind: str, workload: dict[Any, Any]) -> Callable[[], Any]:
    """The workload as a function without arguments, which runs it once in this process, on arrays made beforehand.

    Raises
    ------
    Unavailable
        The contender has no such operation.
    """
    return _PREPARE[kind](workload)


def _normal(name: str, shape: Sequence[int]) -> np.ndarray:
    """A float32 array of normal random numbers, seeded by its name."""
    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)


def _prepare_fastconv(workload: dict[Any, Any], channels_last: bool = False) -> Callable[[], Any]:
    import fastconv
    from fastconv import ops

    op = workload["op"]
    if op in PASSES:
        return _convolution(workload, ops.conv2d, ops.conv2d_input, ops.conv2d_weight, channels_last)
    if channels_last:
        raise Unavailable("channels_last concerns convolutions")
    if op == "step":
        return _training_step(fastconv, workload)
    if op == "call":
        return _layer_call(fastconv, workload)
    x_shape, y_shape, *window = _pooling(workload)
    x, dy = _normal("x", x_shape), _normal("dy", y_shape)
    if op == "max_forward":
        return lambda: ops.max_pool2d(x, *window)
    if op == "average_forward":
        return lambda: ops.avg_pool2d(x, *window)
    if op == "average_backward":
        return lambda: ops.avg_pool2d_backward(dy, x_shape, *window)
    _, indices = ops.max_pool2d(x, *window)
    return lambda: ops.max_pool2d_backward(dy, indices, x_shape)


def _prepare_numpy(workload: dict[Any, Any]) -> Callable[[], Any]:
    from fastconv import reference as r

    op = workload["op"]
    if op in PASSES:
        return _convolution(workload, r.blas_conv2d, r.blas_conv2d_input, r.blas_conv2d_weight)
    if op in ("step", "call"):
        raise Unavailable("NumPy has no training step")
    return _numpy_pooling(workload)


def _prepare_torch(workload: dict[Any, Any], channels_last: bool = False) -> Callable[[], Any]:
    import torch

    layout = torch.channels_last if channels_last else torch.contiguous_format
    aten = torch.ops.aten

    def normal(name: str, shape: Sequence[int]):  # requires no gradient, so no tape is recorded
        return torch.from_numpy(_normal(name, shape)).contiguous(memory_format=layout)

    op = workload["op"]
    if op == "step":
        return _training_step(torch, workload)
    if op == "call":
        return _layer_call(torch, workload)
    if op in PASSES:
        x, w, dy = (normal(name, shape) for name, shape in zip("xwy", convolution_shapes(workload), strict=True))
        stride, dilation = ([workload[name]] * 2 for name in ("stride", "dilation"))
        padding, groups = list(workload["padding"]), workload["groups"]
        if op == "forward":
            return lambda: torch.nn.functional.conv2d(x, w, None, stride, padding, dilation, groups)
        wanted = [op == "input", op == "weight", False]
        rest = None, stride, padding, dilation, False, [0, 0], groups, wanted
        return lambda: aten.convolution_backward(dy, x, w, *rest)[wanted.index(True)]
    x_shape, y_shape, *sizes = _pooling(workload)
    x, dy, window = normal("x", x_shape), normal("dy", y_shape), [[size] * 2 for size in sizes]
    if op == "max_forward":
        return lambda: aten.max_pool2d_with_indices(x, *window)
    if op == "average_forward":
        return lambda: aten.avg_pool2d(x, *window)
    if op == "average_backward":
        return lambda: aten.avg_pool2d_backward(dy, x, *window, False, True, None)
    _, indices = aten.max_pool2d_with_indices(x, *window)
    return lambda: aten.max_pool2d_with_indices_backward(dy, x, *window, [1, 1], False, indices)


_PREPARE: dict[str, Callable[[dict[Any, Any]], Callable[[], Any]]] = {
    "fastconv": _prepare_fastconv,
    "torch": _prepare_torch,
    "torch_channels_last": partial(_prepare_torch, channels_last=True),
    "numpy": _prepare_numpy,
    "fastconv_channels_last": partial(_prepare_fastconv, channels_last=True),
}


def _convolution(
    workload: dict[Any, Any],
    forward: Callable[..., Any],
    input_gradient: Callable[..., Any],
    weight_gradient: Callable[..., Any],
    channels_last: bool = False,
):
    """One pass, by three functions of ndarrays with the arguments of torch.nn.functional.conv2d and torch.nn.grad."""
    x_shape, w_shape, y_shape = convolution_shapes(workload)
    x, w, dy = _normal("x", x_shape), _normal("w", w_shape), _normal("y", y_shape)
    if channels_last:
        x, dy = (np.ascontiguousarray(a.transpose(0, 2, 3, 1)).transpose(0, 3, 1, 2) for a in (x, dy))
    options = workload["stride"], tuple(workload["padding"]), workload["dilation"], workload["groups"]
    passes = {
        "forward": lambda: forward(x, w, None, *options),
        "input": lambda: input_gradient(x_shape, w, dy, *options),
        "weight": lambda: weight_gradient(x, w_shape, dy, *options),
    }
    return passes[workload["op"]]


def _pooling(workload: dict[Any, Any]) -> tuple[tuple[Any, ...], tuple[Any, ...], int, int, int]:
    """Shapes of x and y, then kernel, stride and padding."""
    if workload["op"] not in POOLING:
        raise ValueError(
            f"expected op to be one of {', '.join((*PASSES, *POOLING, 'step', 'call'))}, got {workload['op']!r}"
        )
    kernel, stride, padding = workload["kernel"], workload["stride"], workload["padding"]
    output = ((workload[size] + 2 * padding - kernel) // stride + 1 for size in "HW")
    x_shape = workload["N"], workload["C"], workload["H"], workload["W"]
    return x_shape, (*x_shape[:2], *output), kernel, stride, padding


def _numpy_pooling(workload: dict[Any, Any]) -> Callable[[], Any]:
    """Pooling on whole arrays: one pass over them for each place in the window."""
    xs, ys, k, s, p = _pooling(workload)
    frame = (0, 0), (0, 0), (p, p), (p, p)
    windows = [np.s_[:, :, r : r + s * ys[2] : s, c : c + s * ys[3] : s] for r in range(k) for c in range(k)]
    x, dy = _normal("x", xs), _normal("dy", ys)

    def max_forward():
        padded = np.pad(x, frame, constant_values=-np.inf)
        y, place = padded[windows[0]].copy(), np.zeros(ys, np.int8)
        for t, window in enumerate(windows[1:], 1):
            larger = padded[window] > y
            np.copyto(y, padded[window], where=larger)
            np.copyto(place, np.int8(t), where=larger)
        return y, place

    def spread(shares):
        dx = np.zeros((*xs[:2], xs[2] + 2 * p, xs[3] + 2 * p), np.float32)
        for window, share in zip(windows, shares, strict=True):
            dx[window] += share
        return dx[:, :, p : p + xs[2], p : p + xs[3]]

    def average_forward():
        padded = np.pad(x, frame)
        return sum((padded[window] for window in windows[1:]), padded[windows[0]]) * np.float32(1 / k**2)

    if workload["op"] == "max_forward":
        return max_forward
    if workload["op"] == "average_forward":
        return average_forward
    if workload["op"] == "average_backward":
        return lambda: spread([dy * np.float32(1 / k**2)] * k**2)
    _, place = max_forward()
    return lambda: spread(dy * (place == t) for t in range(k**2))


def _network(library, nn):
    """The textbook's network (section 12.4), with the same random weights in every library."""
    net = nn.Sequential(
        *(nn.Conv2d(3, 3, 5), nn.ReLU(), nn.MaxPool2d(2, 2)),
        *(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.AvgPool2d(2, 2)),
        *(nn.Flatten(), nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 10)),
    )
    start = {name: _normal(name, value.shape) / 8 for name, value in net.state_dict().items()}
    net.load_state_dict({name: library.from_numpy(value) for name, value in start.items()})
    return net


def _layer_call(library, workload: dict[Any, Any]) -> Callable[[], Any]:
    """A layer, forward and backward, on a handful of numbers; or a step of the optimizer."""
    nn, optim = (importlib.import_module(f"{library.__name__}.{name}") for name in ("nn", "optim"))
    layer = workload["layer"]
    if layer not in LAYERS:
        raise ValueError(f"expected one of the layers {', '.join(LAYERS)}, got {layer!r}")
    if layer == "SGD":
        net = _network(library, nn)
        for name, parameter in net.named_parameters():
            parameter.grad = library.from_numpy(_normal(f"gradient of {name}", parameter.shape))
        optimizer = optim.SGD(net.parameters(), lr=1e-6, momentum=0.9)

        def update():
            optimizer.step()
            return net[0].bias.detach()

        return update
    arguments = {"Conv2d": (1, 1, 3), "MaxPool2d": (2,), "AvgPool2d": (2,), "Linear": (4, 2)}
    module = getattr(nn, layer)(*arguments.get(layer, ()))
    for name, parameter in module.named_parameters():
        parameter.data = library.from_numpy(_normal(name, parameter.shape))
    x = library.from_numpy(_normal("x", (2, 4) if layer in ("Linear", "CrossEntropyLoss") else (1, 1, 4, 4)))
    x.requires_grad_()
    inputs = (x, library.from_numpy(np.array([1, 3]))) if layer == "CrossEntropyLoss" else (x,)
    dy = library.from_numpy(_normal("dy", module(*inputs).shape))

    def call():
        x.grad = None
        module(*inputs).backward(dy)
        return x.grad

    return call


def _training_step(library, workload: dict[Any, Any]) -> Callable[[], Any]:
    """One step of SGD on the textbook's network: forward, cross-entropy, backward, update."""
    nn, optim = (importlib.import_module(f"{library.__name__}.{name}") for name in ("nn", "optim"))
    net = _network(library, nn)
    images = library.from_numpy(_normal("x", (workload["N"], 3, 32, 32)))
    labels = library.from_numpy(np.arange(workload["N"]) % 10)
    loss_function, optimizer = nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        loss = loss_function(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


# ---------------------------------------------------------------------------------------------------------------------
# The worker's side


def _main() -> None:
    """The program of a worker: ``python -m fastconv.app.contenders KIND THREADS``."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the asking process, which then ends this one
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what a library prints must not mix with the answers

    def answer(message: dict[Any, Any]) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    with contextlib.suppress(BrokenPipeError):  # the asking process has gone
        _serve(sys.argv[1], int(sys.argv[2]), sys.stdin, answer)


def _serve(kind: str, threads: int, requests: Iterable[str], answer: Callable[[dict[Any, Any]], None]) -> None:
    try:
        library = importlib.import_module(kind.removesuffix("_channels_last"))
    except ImportError as error:
        if not kind.startswith("torch"):
            raise
        return answer({"unavailable": str(error)})
    if kind != "numpy":  # whose BLAS has its threads from the environment
        library.set_num_threads(threads)
    answer({"version": library.__version__})
    gc.disable()
    call, loops, seconds = _nothing, 1, 0.0
    for line in requests:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                call = _nothing  # releases the last workload's arrays
                call = prepare(kind, request["workload"])
                sample = _sample(call())
                loops, seconds = _calibrate(call)
                answer({"sample": sample})
            elif request["do"] == "time":
                if seconds < REWARM_BELOW_S:
                    call()
                answer({"seconds": _timed(call, loops) / loops})
            elif request["do"] == "peak":
                from fastconv._native import runtime

                answer({"gflops": runtime.peak_gflops()})
        except Unavailable as error:
            answer({"unavailable": str(error)})
        except Exception:
            answer({"error": traceback.format_exc()})


def _nothing() -> None:
    pass


def _timed(call: Callable[[], Any], loops: int) -> float:
    """Seconds that `loops` calls take."""
    start = time.perf_counter()
    for _ in range(loops):
        call()
    return time.perf_counter() - start


def _calibrate(call: Callable[[], Any]) -> tuple[int, float]:
    """How many calls make a sample of at least MIN_SAMPLE_S, and the seconds of one."""
    loops = 1
    while (elapsed := _timed(call, loops)) < MIN_SAMPLE_S:
        loops = max(2 * loops, min(round(1.2 * MIN_SAMPLE_S / max(elapsed / loops, 1e-7)), 100 * loops))
    return loops, elapsed / loops


def _sample(result: Any) -> list[float]:
    """Up to about a thousand values spread over the result, to compare the contenders' answers by."""
    if isinstance(result, tuple):  # max pooling's (values, indices)
        result = result[0]
    flat = np.asarray(result, dtype=np.float64).ravel()
    return flat[:: max(1, flat.size // 1009)].tolist()


if __name__ == "__main__":
    _main()
