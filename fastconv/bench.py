"""``fastconv bench``: this machine's convolutions against NumPy on BLAS and, where installed, torch.

Each contender runs in a process of its own, for two OpenMP runtimes in one process spin against each other; they take
turns, and a ratio is the median over the turns of (their time / fastconv's time).
"""

import contextlib
import json
import math
import os
import signal
import statistics
import subprocess
import sys
import time
from collections.abc import Iterable, Iterator

import numpy as np

__all__ = ["CASES", "PASSES", "Contender", "geometric_mean", "measure", "operations", "table"]

PASSES = ("forward", "input", "weight")

# name: (N, C, H, W), (K, R, S), stride, padding, dilation, groups
CASES: dict[str, tuple] = {
    "textbook.conv1": ((128, 3, 32, 32), (3, 5, 5), 1, 0, 1, 1),
    "textbook.conv2": ((128, 3, 14, 14), (16, 5, 5), 1, 0, 1, 1),
    "lenet.conv2": ((128, 6, 14, 14), (16, 5, 5), 1, 0, 1, 1),
    "alexnet.conv1": ((4, 3, 224, 224), (64, 11, 11), 4, 2, 1, 1),
    "alexnet.conv2": ((8, 64, 27, 27), (192, 5, 5), 1, 2, 1, 1),
    "vgg.conv3": ((2, 256, 56, 56), (256, 3, 3), 1, 1, 1, 1),
    "resnet.layer1": ((8, 64, 56, 56), (64, 3, 3), 1, 1, 1, 1),
    "resnet.layer3": ((8, 256, 14, 14), (256, 3, 3), 1, 1, 1, 1),
    "resnet.stride2": ((8, 128, 56, 56), (128, 3, 3), 2, 1, 1, 1),
    "resnet.pointwise": ((8, 256, 56, 56), (64, 1, 1), 1, 0, 1, 1),
    "mobilenet.depthwise": ((16, 144, 56, 56), (144, 3, 3), 1, 1, 1, 144),
    "resnext.grouped": ((8, 128, 56, 56), (128, 3, 3), 1, 1, 1, 32),
    "deeplab.dilated": ((4, 256, 28, 28), (256, 3, 3), 1, 2, 2, 1),
    "inception.1x7": ((16, 192, 17, 17), (192, 1, 7), 1, (0, 3), 1, 1),
}
QUICK = ("textbook.conv1", "textbook.conv2", "lenet.conv2", "resnet.layer3", "resnet.pointwise")

SAMPLE_SECONDS = 5e-3  # a timed sample repeats its call until it lasts about this long


class Contender:
    """A process that runs the convolutions of ``"fastconv"``, ``"numpy"`` or ``"torch"`` when asked."""

    def __init__(self, name: str, threads: int) -> None:
        self.name = name
        variables = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTCONV_NUM_THREADS")
        package = os.path.dirname(os.path.dirname(os.path.abspath(__file__)))
        path = os.pathsep.join([package, *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, "-c", "from fastconv.bench import _serve; _serve()", name, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=os.environ | dict.fromkeys(variables, str(threads)) | {"PYTHONPATH": path},
        )
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._requests, self._answers = self._process.stdin, self._process.stdout
        self.version = self._answer()

    def prepare(self, case: str, which: str) -> None:
        """Make the case's arrays and run its pass once."""
        self._ask(case, which)

    def time(self) -> float:
        """Seconds a call takes, from one sample."""
        return self._ask()

    def _ask(self, *request: str):
        with contextlib.suppress(BrokenPipeError):  # whether it lives shows in its answer
            self._requests.write(json.dumps(request) + "\n")
            self._requests.flush()
        return self._answer()

    def _answer(self):
        line = self._answers.readline()
        if not line:
            raise RuntimeError(f"the process that measures {self.name} ended with status {self._process.wait()}")
        return json.loads(line)

    def __enter__(self) -> "Contender":
        return self

    def __exit__(self, *exception) -> None:
        self._process.kill()
        self._process.wait()
        for pipe in (self._requests, self._answers):
            with contextlib.suppress(BrokenPipeError):
                pipe.close()


def measure(contenders: Iterable[Contender], cases: Iterable[str], repeats: int) -> Iterator[dict]:
    """Time every pass of every case; the first contender is the one that the others' ratios refer to.

    Yields
    ------
    dict
        case, pass, gflops (of the first contender), seconds (median, by contender), ratio (by contender but the first:
        how many times as fast the first was).
    """
    contenders = list(contenders)
    for case in cases:
        for which in PASSES:
            for contender in contenders:
                contender.prepare(case, which)
            times: dict[str, list[float]] = {contender.name: [] for contender in contenders}
            for _ in range(repeats):
                for contender in contenders:
                    times[contender.name].append(contender.time())
                    time.sleep(2e-3)  # by then the threads of the one that ran have stopped spinning
            first, *others = times
            seconds = {name: statistics.median(samples) for name, samples in times.items()}
            ratio = {
                name: statistics.median(theirs / ours for theirs, ours in zip(times[name], times[first], strict=True))
                for name in others
            }
            gflops = operations(case) / seconds[first] * 1e-9
            yield {"case": case, "pass": which, "gflops": gflops, "seconds": seconds, "ratio": ratio}


def operations(case: str) -> int:
    """Floating-point operations of each pass of a case, counted as direct: ``2 N K P Q (C / groups) R S``."""
    _, w_shape, y_shape, _ = _shapes(case)
    return 2 * math.prod(y_shape) * math.prod(w_shape[1:])


def geometric_mean(values: Iterable[float]) -> float:
    """``exp`` of the mean logarithm; NaN of nothing."""
    values = list(values)
    return math.exp(statistics.fmean(map(math.log, values))) if values else math.nan


def table(records: Iterable[dict], others: list[str]) -> Iterator[str]:
    """The lines of a table of `records`, each as soon as its record is there, and the geometric means."""
    heading = f"{'case':<20} {'pass':<8} {'fastconv ms':>11} {'GFLOP/s':>8}"
    yield heading + "".join(f" {name + ' ms':>10} {'ratio':>6}" for name in others)
    ratios: dict[str, list[float]] = {name: [] for name in others}
    for record in records:
        seconds, ratio = record["seconds"], record["ratio"]
        line = f"{record['case']:<20} {record['pass']:<8} {seconds['fastconv'] * 1e3:>11.3f} {record['gflops']:>8.1f}"
        for name in others:
            ratios[name].append(ratio[name])
            line += f" {seconds[name] * 1e3:>10.3f} {ratio[name]:>5.2f}x"
        yield line
    yield f"{'geometric mean':<50}" + "".join(f" {'':>10} {geometric_mean(ratios[name]):>5.2f}x" for name in others)


def run(cases: list[str], threads: int, repeats: int, json_file: str | None = None) -> None:
    """Print the table; with `json_file`, also write all that was measured."""
    from importlib.util import find_spec

    from fastconv.info import versions

    names = ["fastconv", "numpy", *(["torch"] if find_spec("torch") else [])]
    with contextlib.ExitStack() as stack:
        contenders = [stack.enter_context(Contender(name, threads)) for name in names]
        about = ", ".join(f"{contender.name} {contender.version}" for contender in contenders)
        print(f"{about}; {threads} thread{'s' if threads > 1 else ''}, median of {repeats} turns")
        print("ratio: how many times as fast fastconv was", flush=True)
        if "torch" not in names:
            print("torch is not installed, so it is left out")
        records: list[dict] = []

        def kept() -> Iterator[dict]:
            for record in measure(contenders, cases, repeats):
                records.append(record)
                yield record

        for line in table(kept(), names[1:]):
            print(line, flush=True)
    if json_file is not None:
        settings = {"threads": threads, "repeats": repeats, "versions": versions()}
        with open(json_file, "w", encoding="utf-8") as file:
            json.dump({"about": settings, "records": records}, file, indent=1)


def _shapes(case: str) -> tuple[tuple, tuple, tuple, tuple]:
    """Shapes of x, w and y, and (stride, padding, dilation, groups), of a case."""
    x_shape, (k, *kernel), stride, padding, dilation, groups = CASES[case]
    padding = (padding, padding) if isinstance(padding, int) else padding
    output = (
        (size + 2 * pad - dilation * (extent - 1) - 1) // stride + 1
        for size, extent, pad in zip(x_shape[2:], kernel, padding, strict=True)
    )
    return x_shape, (k, x_shape[1] // groups, *kernel), (x_shape[0], k, *output), (stride, padding, dilation, groups)


def _serve() -> None:
    """The program of a contender's process: a JSON list a line is asked on stdin, a JSON value a line answered."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the asking process, which then ends this one
    name, threads = sys.argv[1], int(sys.argv[2])
    version, convolutions = {"fastconv": _fastconv, "numpy": _numpy, "torch": _torch}[name](threads)
    print(json.dumps(version), flush=True)
    call, calls = (lambda: None), 1
    for line in sys.stdin:
        request = json.loads(line)
        if request:
            case, which = request
            call = _prepared(convolutions, case, which)
            call()
            began = time.perf_counter()
            call()
            calls = max(1, round(SAMPLE_SECONDS / max(time.perf_counter() - began, 1e-7)))
            print("null", flush=True)
        else:
            call()  # untimed: the other processes had the caches
            began = time.perf_counter()
            for _ in range(calls):
                call()
            print(json.dumps((time.perf_counter() - began) / calls), flush=True)


def _prepared(convolutions: dict, case: str, which: str):
    """One pass of a case, on arrays of normal random numbers, as a function without arguments."""
    *shapes, options = _shapes(case)
    generator = np.random.default_rng(0)
    x, w, dy = (convolutions["array"](generator.standard_normal(shape, dtype=np.float32)) for shape in shapes)
    run_pass = convolutions[which]
    return lambda: run_pass(x, w, dy, options)


def _fastconv(threads: int) -> tuple[str, dict]:
    import fastconv
    from fastconv import ops

    fastconv.set_num_threads(threads)
    return fastconv.__version__, {
        "array": np.asarray,
        "forward": lambda x, w, dy, options: ops.conv2d(x, w, None, *options),
        "input": lambda x, w, dy, options: ops.conv2d_input(x.shape, w, dy, *options),
        "weight": lambda x, w, dy, options: ops.conv2d_weight(x, w.shape, dy, *options),
    }


def _numpy(threads: int) -> tuple[str, dict]:
    from fastconv import reference

    return np.__version__, {
        "array": np.asarray,
        "forward": lambda x, w, dy, options: reference.blas_conv2d(x, w, None, *options),
        "input": lambda x, w, dy, options: reference.blas_conv2d_input(x.shape, w, dy, *options),
        "weight": lambda x, w, dy, options: reference.blas_conv2d_weight(x, w.shape, dy, *options),
    }


def _torch(threads: int) -> tuple[str, dict]:
    import torch

    torch.set_num_threads(threads)
    torch.set_grad_enabled(False)

    def gradient(which, x, w, dy, options):
        stride, padding, dilation, groups = options
        sizes = [stride] * 2, list(padding), [dilation] * 2
        wanted = [which == 0, which == 1, False]
        return torch.ops.aten.convolution_backward(dy, x, w, None, *sizes, False, [0, 0], groups, wanted)[which]

    return torch.__version__, {
        "array": torch.from_numpy,
        "forward": lambda x, w, dy, options: torch.nn.functional.conv2d(x, w, None, *options),
        "input": lambda x, w, dy, options: gradient(0, x, w, dy, options),
        "weight": lambda x, w, dy, options: gradient(1, x, w, dy, options),
    }
