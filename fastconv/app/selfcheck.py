"""``fastconv info --check``: is what this installation computes right, is it as fast as it should be, and what to do?

It takes some five seconds. Results are held against :mod:`fastconv.reference` in float64; speed against what this
core's multiply-add units do at most, measured in between, so that a busy machine shows as such.
"""

import os
import re
import sys
import sysconfig
import time
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np

import fastconv
from fastconv import ops, reference
from fastconv._native import runtime
from fastconv.app import info

__all__ = ["check"]

# Of the norm of a result. Winograd's filtering in float32 has the largest errors, some 1e-6.
TOLERANCE = {"float32": 2e-5, "float64": 1e-12}

# Sizes that no tile divides: dense, strided, dilated, depthwise, grouped, pointwise, of few channels.
LAYERS: tuple[tuple[tuple[int, ...], tuple[int, ...], dict[str, Any]], ...] = (
    ((2, 17, 19, 21), (18, 17, 3, 3), {"padding": 1}),
    ((2, 3, 23, 21), (8, 3, 5, 5), {"stride": 2, "padding": 2}),
    ((2, 12, 15, 14), (7, 12, 3, 3), {"dilation": 2}),
    ((2, 9, 18, 17), (9, 1, 3, 3), {"padding": 1, "groups": 9}),
    ((2, 8, 13, 12), (12, 4, 3, 3), {"padding": 1, "groups": 2}),
    ((3, 20, 9, 11), (21, 20, 1, 1), {}),
)
LARGE = ((4, 64, 56, 56), (64, 64, 3, 3))  # the layer that is timed: the 3x3 layers of ResNet's first stage


def check() -> bool:
    """Print what runs here, what the check finds, and what to do about it; returns whether the results are right."""
    print(info.describe())
    for name, text in surroundings().items():
        print(info.line(name, text))
    print("\nself-check")
    advice = [text for finding in (one_thread, slow_kernels, two_runtimes, gil) if (text := finding())]
    right = True
    for title, checked in (("results", results), ("threads", threads), ("training", training), ("speed", speed)):
        try:
            good, text, what_to_do = checked()
        except Exception as error:  # whatever it is, the report must go on: it is what helps to find the reason
            good, text, what_to_do = False, f"{type(error).__name__}: {error}", [REPORT]
        if title != "speed":
            right &= good
        print(info.line(f"  {title}", ("" if good else "NOT GOOD: ") + text), flush=True)
        advice += what_to_do
    print("\nwhat to do: " + ("nothing" if not advice else ""))
    for text in dict.fromkeys(advice):
        print(f"  * {text}")
    return right


REPORT = (
    "The results are wrong: please report it, with all that is printed here. Until then another instruction set may be "
    "right: FASTCONV_ISA=baseline."
)


def surroundings() -> dict[str, str]:
    """What else decides how fast it runs: the process's OpenMP, its variables, the container, the load."""
    prefixes = ("FASTCONV_", "OMP_", "GOMP_", "KMP_", "OPENBLAS_", "MKL_", "MALLOC_")
    variables = [f"{name}={value}" for name, value in sorted(os.environ.items()) if name.startswith(prefixes)]
    load = f"{os.getloadavg()[0]:.1f} in the last minute" if hasattr(os, "getloadavg") else "unknown"
    quota = cpu_quota()
    return {
        "OpenMP": ", ".join(openmp_runtimes()) or ("unknown" if runtime.has_openmp() else "none"),
        "environment": " ".join(variables) or "none of the variables that matter",
        "load": load + (f"; the container may use {quota:g} cores" if quota else ""),
    }


def openmp_runtimes() -> list[str]:
    """The files of the OpenMP libraries in this process, where the system tells (Linux)."""
    try:
        with open("/proc/self/maps", encoding="utf-8", errors="replace") as file:
            paths = {line.split(maxsplit=5)[5].strip() for line in file if line.count("/")}
    except (OSError, IndexError):
        return []
    return sorted(path for path in paths if re.match(r"lib(gomp|omp|iomp5)\b", os.path.basename(path)))


def cpu_quota() -> float | None:
    """How many cores' time the container may use, where the system tells and there is a limit."""
    for file, second in (
        ("/sys/fs/cgroup/cpu.max", None),
        ("/sys/fs/cgroup/cpu/cpu.cfs_quota_us", "cpu.cfs_period_us"),
    ):
        try:
            with open(file) as opened:
                numbers = opened.read().split()
            if second is not None:
                with open(os.path.join(os.path.dirname(file), second)) as opened:
                    numbers += opened.read().split()
            quota, period = float(numbers[0]), float(numbers[1])
        except (OSError, ValueError, IndexError):  # no such file, or "max": no limit
            continue
        if quota > 0 and period > 0:
            return quota / period
    return None


# ---- findings that need no measurement


def one_thread() -> str | None:
    if not runtime.has_openmp():
        return (
            "This build has one thread only: its compiler had no OpenMP. Install one that has (Linux: gcc, or clang "
            "with libomp-dev; macOS: brew install libomp), then build again: pip install --force-reinstall --no-deps ."
        )
    quota = cpu_quota()
    cores = info.usable_cores()
    if quota and quota < fastconv.get_num_threads():
        most = max(1, int(quota))
        return f"More threads than the container has cores wait for each other: FASTCONV_NUM_THREADS={most}."
    if fastconv.get_num_threads() > cores:
        return f"More threads than usable cores wait for each other: FASTCONV_NUM_THREADS={cores}."
    if fastconv.get_num_threads() < cores:
        return (
            f"{fastconv.get_num_threads()} of {cores} usable cores are in use, which FASTCONV_NUM_THREADS or "
            "OMP_NUM_THREADS says; unset them, or call fastconv.set_num_threads, to use more."
        )
    return None


def slow_kernels() -> str | None:
    best = runtime.available_isas()[-1]
    if runtime.get_isa() != best:
        return f"The kernels for {runtime.get_isa()} are in use where {best} would be faster: unset FASTCONV_ISA."
    if best == "baseline":
        return "This CPU has neither AVX2 with FMA nor NEON: the kernels are right, but several times as slow as there."
    return None


def two_runtimes() -> str | None:
    found = openmp_runtimes()
    if len(found) > 1:
        return (
            f"{len(found)} OpenMP libraries are in this process; each has threads of its own, which compete where both "
            "compute at once. That costs speed, not correctness: give one of them a single thread."
        )
    return None


def gil() -> str | None:
    if sysconfig.get_config_var("Py_GIL_DISABLED") and sys._is_gil_enabled():
        return (
            "This free-threaded Python runs with its GIL, because of PYTHON_GIL, -X gil or a module that asked for "
            "it; Python warns of such a module when it is imported."
        )
    return None


# ---- the measurements: whether it is good, what to print, what to do


def results() -> tuple[bool, str, list[str]]:
    """All layers by all instruction sets of this machine, in both precisions, beside the reference."""
    in_use = runtime.get_isa()
    worst, wrong, count = dict.fromkeys(TOLERANCE, 0.0), [], 0
    try:
        for name, expected, of in _questions():
            for dtype, limit in TOLERANCE.items():
                for isa in runtime.available_isas():
                    runtime.set_isa(isa)
                    got = of(dtype)
                    error = _distance(got, expected)
                    count += 1
                    if error <= limit:
                        worst[dtype] = max(worst[dtype], error)
                    else:  # a NaN too
                        wrong.append(f"{name} in {dtype} on {isa} is off by {error:.1e} of its norm")
    finally:
        runtime.set_isa(in_use)
    if wrong:
        return False, f"{len(wrong)} of {count} are wrong: {'; '.join(wrong[:4])}", [REPORT]
    errors = ", ".join(f"{error:.0e} in {dtype}" for dtype, error in worst.items())
    return True, f"{count} are right, on {', '.join(runtime.available_isas())}; largest error {errors}", []


def _questions() -> Iterator[tuple[str, np.ndarray, Callable[[str], Any]]]:
    """Name, expected result, and the function that computes it in a precision."""
    random = np.random.default_rng(0)
    for x_shape, w_shape, options in LAYERS:
        x, w = random.standard_normal(x_shape), random.standard_normal(w_shape)
        y = reference.conv2d(x, w, None, **options)
        dy = random.standard_normal(y.shape)
        names = f"of {x_shape} by {w_shape}"
        yield f"conv2d {names}", y, lambda t, x=x, w=w, o=options: ops.conv2d(x.astype(t), w.astype(t), None, **o)
        yield (
            f"input gradient {names}",
            reference.conv2d_input(x_shape, w, dy, **options),
            lambda t, s=x_shape, w=w, dy=dy, o=options: ops.conv2d_input(s, w.astype(t), dy.astype(t), **o),
        )
        yield (
            f"weight gradient {names}",
            reference.conv2d_weight(x, w_shape, dy, **options),
            lambda t, x=x, s=w_shape, dy=dy, o=options: ops.conv2d_weight(x.astype(t), s, dy.astype(t), **o),
        )
    x = random.standard_normal((2, 5, 15, 17))
    yield "max_pool2d", reference.max_pool2d(x, 3, 2, 1)[0], lambda t: ops.max_pool2d(x.astype(t), 3, 2, 1)[0]
    yield "avg_pool2d", reference.avg_pool2d(x, 3, 2, 1), lambda t: ops.avg_pool2d(x.astype(t), 3, 2, 1)
    a, b = random.standard_normal((9, 33)), random.standard_normal((14, 33))
    yield "linear", a @ b.T, lambda t: ops.linear(a.astype(t), b.astype(t), None)


def _distance(got: Any, expected: np.ndarray) -> float:
    difference = np.asarray(got, np.float64) - expected
    return float(np.sqrt((difference**2).sum()) / np.sqrt((expected**2).sum()))


def threads() -> tuple[bool, str, list[str]]:
    """The same bits from one thread and from all."""
    count = fastconv.get_num_threads()
    if count == 1:
        return True, "one, so there is nothing to compare", []
    random = np.random.default_rng(1)
    x, w = (random.standard_normal(shape, np.float32) for shape in LARGE)

    def passes() -> list[Any]:
        y = ops.conv2d(x, w, None, padding=1)
        return [y, ops.conv2d_input(x.shape, w, y, padding=1), ops.conv2d_weight(x, w.shape, y, padding=1)]

    try:
        fastconv.set_num_threads(1)
        alone = passes()
    finally:
        fastconv.set_num_threads(count)
    if all(np.array_equal(a, b) for a, b in zip(alone, passes(), strict=True)):
        return True, f"the same bits on 1 and on {count}", []
    return (
        False,
        f"1 and {count} give different bits",
        [REPORT.replace("FASTCONV_ISA=baseline", "FASTCONV_NUM_THREADS=1")],
    )


def training() -> tuple[bool, str, list[str]]:
    """A small network learns which half of an image is bright."""
    from fastconv import nn

    state = fastconv.get_rng_state()
    try:
        fastconv.manual_seed(0)
        labels = fastconv.randint(0, 2, (64,))
        images = fastconv.randn(64, 1, 8, 8)
        images[:, :, :4] += labels.reshape(-1, 1, 1, 1)
        net = nn.Sequential(nn.Conv2d(1, 8, 3), nn.ReLU(), nn.MaxPool2d(2), nn.Flatten(), nn.Linear(72, 2))
        optimizer = fastconv.optim.SGD(net.parameters(), lr=0.1, momentum=0.9)
        losses = []
        for _ in range(40):
            optimizer.zero_grad()
            loss = nn.functional.cross_entropy(net(images), labels)
            loss.backward()
            optimizer.step()
            losses.append(loss.item())
    finally:
        fastconv.set_rng_state(state)
    good = losses[-1] < losses[0] / 4
    return good, f"the loss of a small network goes from {losses[0]:.2f} to {losses[-1]:.2f}", [] if good else [REPORT]


def speed() -> tuple[bool, str, list[str]]:
    """A large layer against the peak of this core, and all threads against one."""
    random = np.random.default_rng(2)
    x, w = (random.standard_normal(shape, np.float32) for shape in LARGE)
    work = 2e-9 * np.prod(LARGE[0]) * LARGE[1][0] * np.prod(LARGE[1][2:])
    count = fastconv.get_num_threads()

    def seconds() -> float:
        start = time.perf_counter()
        ops.conv2d(x, w, None, padding=1)
        return time.perf_counter() - start

    one, many, peak = [], [], []
    try:
        deadline = time.perf_counter() + 1.5
        seconds()
        while time.perf_counter() < deadline:
            fastconv.set_num_threads(1)
            peak.append(runtime.peak_gflops(0.02))
            one.append(seconds())
            fastconv.set_num_threads(count)
            if count > 1:
                many.append(seconds())
    finally:
        fastconv.set_num_threads(count)
    share = work / min(one) / max(peak)
    text = (
        f"conv2d {LARGE[0]} by {LARGE[1]}: {min(one) * 1e3:.1f} ms on one thread, {work / min(one):.0f} GFLOP/s, "
        f"{share:.0%} of this core's multiply-add peak"
        + (" (minimal filtering does with fewer multiply-adds)" if share > 1 else "")
    )
    advice = []
    if share < 0.7:
        advice.append(
            "A core does less than it could: is the machine busy, in a power-saving mode, or emulated? Close other "
            "programs and check again; if it stays so, please report it with all that is printed here."
        )
    if max(peak) > 1.5 * sorted(peak)[len(peak) // 2]:
        advice.append("The speed of this core changed while it was measured: other programs use it. Check again alone.")
    if many:
        gain = min(one) / min(many)
        text += f"; {gain:.2g} times as fast on {count} threads"
        if gain < 1 + 0.4 * (min(count, info.usable_cores()) - 1):
            advice.append(
                f"{count} threads are {gain:.2g} times as fast as one: other programs use the cores (see the load "
                "above), or they are two sides of one core. Close those, or try FASTCONV_NUM_THREADS with fewer."
            )
    return not advice, text, advice
