"""What tests share: norm-wise errors, the three passes beside the reference, and programs of their own."""

import os
import subprocess
import sys

import numpy as np
from cases import fenced, parameters, w_shape, x_shape

from fastconv import ops, reference

# Norm-wise: float32 carries 6e-8 an operation, which blocked sums of some thousand random terms raise to about 3e-7;
# float64 carries 1e-16. Ten times more than that is a bug.
TOLERANCE = {np.dtype(np.float32): 2e-6, np.dtype(np.float64): 1e-13}


def assert_near(actual, expected, floor: float = 0.0, tolerance: float | None = None) -> None:
    """``||actual - expected|| <= tolerance * max(||expected||, floor)``, and equal shapes."""
    assert isinstance(actual, np.ndarray)
    assert actual.shape == expected.shape, f"shape {actual.shape}, expected {expected.shape}"
    assert actual.dtype in TOLERANCE, actual.dtype
    tolerance = tolerance or TOLERANCE[actual.dtype]
    error = np.linalg.norm(np.subtract(actual, expected, dtype=np.float64))
    bound = tolerance * max(np.linalg.norm(expected), floor)
    assert error <= bound, f"error {error:.2e}, at most {bound:.2e} expected"


def spread(a: np.ndarray, b: np.ndarray, terms: int) -> float:
    """The norm that `terms` random products of elements of a and b have, where no outputs happen to cancel."""
    size = max(a.size * b.size, 1)
    norms = [np.linalg.norm(array.astype(np.float64)) for array in (a, b)]  # float16 would overflow
    return float(norms[0] * norms[1] * np.sqrt(terms / size))


def check_passes(
    case: dict,
    rng: np.random.Generator,
    dtype,
    layouts=(fenced,) * 3,
    bias: bool = True,
    tolerance: float | None = None,
) -> None:
    """The three passes of a case on normal random numbers, against the reference; inputs must stay as they were."""
    arguments = parameters(case)
    x = rng.standard_normal(x_shape(case)).astype(dtype)
    w = rng.standard_normal(w_shape(case)).astype(dtype)
    b = rng.standard_normal(case["K"]).astype(dtype) if bias else None
    y64 = reference.conv2d(x, w, b, *arguments)
    dy = rng.standard_normal(y64.shape).astype(dtype)
    inputs = [layout(array) for layout, array in zip(layouts, (x, w, dy), strict=True)]
    in_x, in_w, in_dy = inputs

    # What one output sums, if all its taps meet the image.
    terms = y64.size * case["R"] * case["S"] * case["C"] // case["groups"]
    assert_near(ops.conv2d(in_x, in_w, b, *arguments), y64, spread(x, w, terms), tolerance)
    dx64 = reference.conv2d_input(x.shape, w, dy, *arguments)
    assert_near(ops.conv2d_input(x.shape, in_w, in_dy, *arguments), dx64, spread(w, dy, terms), tolerance)
    dw64 = reference.conv2d_weight(x, w.shape, dy, *arguments)
    assert_near(ops.conv2d_weight(in_x, w.shape, in_dy, *arguments), dw64, spread(x, dy, terms), tolerance)

    for array, original in zip(inputs, (x, w, dy), strict=True):
        assert (array == original).all(), "an input was written to"


def output_of(program: str, *arguments: object, **environment: str) -> str:
    """The standard output of a Python program, which may not fail, hang or complain."""
    command = [sys.executable, "-c", program, *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=120, env=os.environ | environment)
    assert (done.returncode, done.stderr) == (0, "")
    return done.stdout
