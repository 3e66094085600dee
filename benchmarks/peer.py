"""Contenders in processes of their own, timed in turns.

Two OpenMP runtimes in one process spin against each other, so each contender (``fastconv``, ``torch``, ``numpy``)
runs in a worker process that this file is also the program of; :func:`alternate` has them take turns: A B A B ...
A worker reads one JSON request a line and answers with one JSON line.

A workload is a dict: ``op`` names an entry of a contender's table (``forward``, ``weight``, ``input``,
``max_forward``, ``max_backward``, ``average_forward``, ``average_backward``, ``step``); the other keys are its sizes.
Inputs are normal random numbers, the same for every contender.
"""

import json
import os
import statistics
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent
MIN_SAMPLE_S = 5e-3  # a timed sample loops until it lasts this long
REWARM_BELOW_S = 50e-3  # calls shorter than this get an untimed call first: the other process had the caches

# glibc malloc settings under which torch keeps its memory instead of faulting pages in again on every call
KEEP_MEMORY = {
    "MALLOC_MMAP_MAX_": "0",
    "MALLOC_TRIM_THRESHOLD_": "16000000000",
    "MALLOC_TOP_PAD_": "100000000",
}

PASSES = {"f": "forward", "i": "input", "w": "weight"}
POOLING = ("max_forward", "max_backward", "average_forward", "average_backward")


class Unavailable(Exception):
    """The contender is not installed, or has no such operation."""


# ---------------------------------------------------------------------------------------------------------------------
# The asking side


class Peer:
    """A worker process that runs one contender.

    Parameters
    ----------
    kind : {"fastconv", "torch", "torch_channels_last", "numpy"}
    threads : int
        Threads of the contender's kernels.
    keep_memory : bool
        Set glibc's malloc to keep its memory (:data:`KEEP_MEMORY`).

    Raises
    ------
    Unavailable
        The contender cannot be imported.
    """

    def __init__(self, kind: str, threads: int = 1, keep_memory: bool = False) -> None:
        self.kind = kind
        names = ("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS", "MKL_NUM_THREADS", "FASTCONV_NUM_THREADS")
        environment = os.environ | dict.fromkeys(names, str(threads)) | (KEEP_MEMORY if keep_memory else {})
        environment["PYTHONPATH"] = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        self._process = subprocess.Popen(
            [sys.executable, __file__, kind, str(threads)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            env=environment,
        )
        self.about = self._answer()

    def _ask(self, **request) -> dict:
        assert self._process.stdin is not None
        self._process.stdin.write(json.dumps(request) + "\n")
        self._process.stdin.flush()
        return self._answer()

    def _answer(self) -> dict:
        assert self._process.stdout is not None
        line = self._process.stdout.readline()
        if not line:
            raise RuntimeError(f"the {self.kind} worker ended with status {self._process.wait()}")
        answer = json.loads(line)
        if "unavailable" in answer:
            raise Unavailable(f"{self.kind}: {answer['unavailable']}")
        if "error" in answer:
            raise RuntimeError(f"the {self.kind} worker failed:\n{answer['error']}")
        return answer

    def prepare(self, workload: dict) -> list[float]:
        """Build the workload, run it once and choose how often a sample calls it; returns a sample of the result."""
        return self._ask(do="prepare", workload=workload)["sample"]

    def time(self) -> float:
        """Seconds a call, over one timed sample."""
        return self._ask(do="time")["seconds"]

    def peak_gflops(self) -> float:
        """The float32 FMA peak of one core in GFLOP/s, as the worker measures it now (fastconv only)."""
        return self._ask(do="peak")["gflops"]

    def close(self) -> None:
        """End the worker."""
        if self._process.stdin is not None:
            self._process.stdin.close()
        self._process.wait()
        if self._process.stdout is not None:
            self._process.stdout.close()


def alternate(peers: list[Peer], repeats: int) -> list[list[float]]:
    """Times of the prepared workloads, ``times[peer][turn]`` in seconds: the peers take turns, `repeats` times."""
    times: list[list[float]] = [[] for _ in peers]
    for _ in range(repeats):
        for peer, of_peer in zip(peers, times, strict=True):
            of_peer.append(peer.time())
            time.sleep(2e-3)  # lets the threads of the one that just ran stop spinning
    return times


def median_ratio(times: list[float], base: list[float]) -> float:
    """Median over the turns of ``times / base``: how many times as fast the base was."""
    return statistics.median(t / b for t, b in zip(times, base, strict=True))


def output_size(case: dict) -> tuple[int, int]:
    """(P, Q) of a convolution of the suite: ``(H + 2 pad - dilation (R - 1) - 1) // stride + 1``."""
    height, width = (
        (case[n] + 2 * pad - case["dilation"] * (case[k] - 1) - 1) // case["stride"] + 1
        for n, k, pad in zip("HW", "RS", case["padding"], strict=True)
    )
    return height, width


def operations(case: dict) -> int:
    """Floating-point operations of any of the three passes, counted as direct: ``2 N K P Q (C / groups) R S``."""
    p, q = output_size(case)
    return 2 * case["N"] * case["K"] * p * q * (case["C"] // case["groups"]) * case["R"] * case["S"]


# ---------------------------------------------------------------------------------------------------------------------
# The worker's side: each contender is a table from op to a function (workload, make) -> callable, where
# make(name, *shape) gives an array, for every contender the same.


def normal(name: str, *shape: int):
    """A float32 array of normal random numbers, seeded by its name."""
    import zlib

    import numpy as np

    return np.random.default_rng(zlib.crc32(name.encode())).standard_normal(shape, dtype=np.float32)


def _conv_shapes(case: dict) -> tuple[tuple, tuple, tuple]:
    x = case["N"], case["C"], case["H"], case["W"]
    w = case["K"], case["C"] // case["groups"], case["R"], case["S"]
    return x, w, (case["N"], case["K"], *output_size(case))


def _pool_shapes(pool: dict) -> tuple[tuple, tuple]:
    k, s, p = pool["kernel"], pool["stride"], pool["padding"]
    size = ((pool[n] + 2 * p - k) // s + 1 for n in "HW")
    return (pool["N"], pool["C"], pool["H"], pool["W"]), (pool["N"], pool["C"], *size)


def _numpy_contender(threads: int) -> dict:
    from fastconv import reference

    def conv(op):
        def build(case, make):
            xs, ws, ys = _conv_shapes(case)
            rest = case["stride"], tuple(case["padding"]), case["dilation"], case["groups"]
            if op == "forward":
                x, w = make("x", *xs), make("w", *ws)
                return lambda: reference.blas_conv2d(x, w, None, *rest)
            dy = make("dy", *ys)
            if op == "input":
                w = make("w", *ws)
                return lambda: reference.blas_conv2d_input(xs, w, dy, *rest)
            x = make("x", *xs)
            return lambda: reference.blas_conv2d_weight(x, ws, dy, *rest)

        return build

    def pool(op):
        return lambda pool, make: _numpy_pooling(op, pool, make)

    return {op: conv(op) for op in PASSES.values()} | {op: pool(op) for op in POOLING}


def _numpy_pooling(op: str, pool: dict, make):
    """Pooling on whole arrays: one pass for each place in the window."""
    import numpy as np

    xs, ys = _pool_shapes(pool)
    k, s, p = pool["kernel"], pool["stride"], pool["padding"]
    frame = (0, 0), (0, 0), (p, p), (p, p)
    windows = [np.s_[:, :, r : r + s * ys[2] : s, c : c + s * ys[3] : s] for r in range(k) for c in range(k)]
    x, dy = make("x", *xs), make("dy", *ys)

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

    if op == "max_forward":
        return max_forward
    if op == "average_forward":
        return average_forward
    if op == "average_backward":
        return lambda: spread([dy * np.float32(1 / k**2)] * k**2)
    _, place = max_forward()
    return lambda: spread(dy * (place == t) for t in range(k**2))


def _fastconv_contender(threads: int) -> dict:
    import fastconv
    from fastconv import ops

    fastconv.set_num_threads(threads)

    def conv(op):
        def build(case, make):
            xs, ws, ys = _conv_shapes(case)
            rest = case["stride"], tuple(case["padding"]), case["dilation"], case["groups"]
            if op == "forward":
                x, w = make("x", *xs), make("w", *ws)
                return lambda: ops.conv2d(x, w, None, *rest)
            dy = make("dy", *ys)
            if op == "input":
                w = make("w", *ws)
                return lambda: ops.conv2d_input(xs, w, dy, *rest)
            x = make("x", *xs)
            return lambda: ops.conv2d_weight(x, ws, dy, *rest)

        return build

    def pool(op):
        def build(pool, make):
            xs, ys = _pool_shapes(pool)
            window = pool["kernel"], pool["stride"], pool["padding"]
            x, dy = make("x", *xs), make("dy", *ys)
            if op == "max_forward":
                return lambda: ops.max_pool2d(x, *window)
            if op == "average_forward":
                return lambda: ops.avg_pool2d(x, *window)
            if op == "average_backward":
                return lambda: ops.avg_pool2d_backward(dy, xs, *window)
            _, indices = ops.max_pool2d(x, *window)
            return lambda: ops.max_pool2d_backward(dy, indices, xs)

        return build

    table = {op: conv(op) for op in PASSES.values()}
    table |= {op: pool(op) for op in POOLING}
    return table | {"step": lambda workload, make: _training_step(fastconv, workload, make)}


def _torch_contender(threads: int, channels_last: bool = False) -> dict:
    try:
        import torch
    except ImportError as error:
        raise Unavailable(str(error)) from None

    torch.set_num_threads(threads)
    layout = torch.channels_last if channels_last else torch.contiguous_format
    aten = torch.ops.aten

    def tensors(make):
        return lambda name, *shape: torch.from_numpy(make(name, *shape)).contiguous(memory_format=layout)

    def conv(op):
        def build(case, make):
            make = tensors(make)
            xs, ws, ys = _conv_shapes(case)
            stride, padding, dilation, groups = (
                [case["stride"]] * 2,
                case["padding"],
                [case["dilation"]] * 2,
                case["groups"],
            )
            x, w = make("x", *xs), make("w", *ws)
            if op == "forward":
                return lambda: torch.nn.functional.conv2d(x, w, None, stride, padding, dilation, groups)
            dy = make("dy", *ys)
            wanted = [op == "input", op == "weight", False]
            which = wanted.index(True)
            rest = None, stride, padding, dilation, False, [0, 0], groups, wanted
            return lambda: aten.convolution_backward(dy, x, w, *rest)[which]

        return build

    def pool(op):
        def build(pool, make):
            make = tensors(make)
            xs, ys = _pool_shapes(pool)
            window = [pool["kernel"]] * 2, [pool["stride"]] * 2, [pool["padding"]] * 2
            x, dy = make("x", *xs), make("dy", *ys)
            if op == "max_forward":
                return lambda: aten.max_pool2d_with_indices(x, *window)
            if op == "average_forward":
                return lambda: aten.avg_pool2d(x, *window)
            if op == "average_backward":
                return lambda: aten.avg_pool2d_backward(dy, x, *window, False, True, None)
            _, indices = aten.max_pool2d_with_indices(x, *window)
            return lambda: aten.max_pool2d_with_indices_backward(dy, x, *window, [1, 1], False, indices)

        return build

    def without_tape(build):
        def build_without_tape(workload, make):
            call = build(workload, make)

            def run():
                with torch.no_grad():
                    return call()

            return run

        return build_without_tape

    table = {op: conv(op) for op in PASSES.values()}
    table |= {op: pool(op) for op in POOLING}
    table = {op: without_tape(build) for op, build in table.items()}
    return table | {"step": lambda workload, make: _training_step(torch, workload, make)}


def _training_step(library, workload: dict, make):
    """One step of SGD on the textbook's network (section 12.4): forward, cross-entropy, backward, update."""
    import importlib

    import numpy as np

    nn, optim = (importlib.import_module(f"{library.__name__}.{name}") for name in ("nn", "optim"))
    net = nn.Sequential(
        *(nn.Conv2d(3, 3, 5), nn.ReLU(), nn.MaxPool2d(2, 2)),
        *(nn.Conv2d(3, 16, 5), nn.ReLU(), nn.AvgPool2d(2, 2)),
        *(nn.Flatten(), nn.Linear(16 * 5 * 5, 120), nn.ReLU(), nn.Linear(120, 10)),
    )
    start = {name: make(name, *value.shape) / 8 for name, value in net.state_dict().items()}
    net.load_state_dict({name: library.from_numpy(value) for name, value in start.items()})
    images = library.from_numpy(make("x", workload["N"], 3, 32, 32))
    labels = library.from_numpy(np.arange(workload["N"]) % 10)
    loss_function, optimizer = nn.CrossEntropyLoss(), optim.SGD(net.parameters(), lr=1e-3)

    def step():
        optimizer.zero_grad()
        loss = loss_function(net(images), labels)
        loss.backward()
        optimizer.step()
        return loss.detach()

    return step


CONTENDERS = {
    "fastconv": _fastconv_contender,
    "torch": _torch_contender,
    "torch_channels_last": lambda threads: _torch_contender(threads, channels_last=True),
    "numpy": _numpy_contender,
}


def _sample(result) -> list[float]:
    """Up to about a thousand values spread over the result, to compare the contenders' answers by."""
    import numpy as np

    if isinstance(result, tuple):  # max pooling's (values, indices)
        result = result[0]
    flat = np.asarray(result, dtype=np.float64).ravel()
    return flat[:: max(1, flat.size // 1009)].tolist()


def _serve(kind: str, threads: int, requests, answer) -> None:
    import gc
    import traceback

    try:
        table = CONTENDERS[kind](threads)
    except Unavailable as error:
        return answer({"unavailable": str(error)})
    except Exception:
        return answer({"error": traceback.format_exc()})
    answer({"kind": kind, "threads": threads})
    gc.disable()
    call, loops, seconds = None, 1, 0.0
    for line in requests:
        request = json.loads(line)
        try:
            if request["do"] == "prepare":
                call = None  # releases the last workload's arrays
                workload = request["workload"]
                if workload["op"] not in table:
                    answer({"unavailable": f"no {workload['op']!r}"})
                    continue
                call = table[workload["op"]](workload, normal)
                sample = _sample(call())
                loops, seconds = _calibrate(call)
                answer({"sample": sample})
            elif request["do"] == "time":
                if seconds < REWARM_BELOW_S:
                    call()
                start = time.perf_counter()
                for _ in range(loops):
                    call()
                answer({"seconds": (time.perf_counter() - start) / loops})
            elif request["do"] == "peak":
                from fastconv import _runtime

                answer({"gflops": _runtime.peak_gflops()})
        except Exception:
            answer({"error": traceback.format_exc()})


def _calibrate(call) -> tuple[int, float]:
    """How many calls make a sample of at least MIN_SAMPLE_S, and the seconds of one."""
    loops = 1
    while True:
        start = time.perf_counter()
        for _ in range(loops):
            call()
        elapsed = time.perf_counter() - start
        if elapsed >= MIN_SAMPLE_S:
            return loops, elapsed / loops
        loops = max(2 * loops, min(round(1.2 * MIN_SAMPLE_S / max(elapsed / loops, 1e-7)), 100 * loops))


def main() -> None:
    # What a library prints must not mix with the answers.
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)

    def answer(message: dict) -> None:
        answers.write(json.dumps(message) + "\n")
        answers.flush()

    _serve(sys.argv[1], int(sys.argv[2]), sys.stdin, answer)


if __name__ == "__main__":
    main()
